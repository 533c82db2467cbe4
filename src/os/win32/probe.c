/* SPDX-License-Identifier: MIT */
/* What the memory functions have: Windows has no seals and no huge pages for memory that is committed later. */
#include <os/win32/nt.h>

const struct os_memory_capabilities *os_memory_capabilities(void)
{
	static struct os_memory_capabilities capabilities = {.read_only_maps = true};

	capabilities.populate = nt_functions()->prefetch != NULL;
	return &capabilities;
}
