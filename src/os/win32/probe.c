/* SPDX-License-Identifier: MIT */
/* What the memory functions have: no seals, no huge pages for memory that is committed later, nothing that takes pages back. */
#include <os/win32/nt.h>

const struct os_memory_capabilities *os_memory_capabilities(void)
{
	static struct os_memory_capabilities capabilities = {.read_only_maps = true};

	capabilities.populate = nt_functions()->prefetch != NULL;
	return &capabilities;
}
