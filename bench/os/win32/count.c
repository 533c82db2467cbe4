/* SPDX-License-Identifier: MIT */
/* Nothing is counted on Windows; see count.h. */
#include "../count.h"

#include <stddef.h>

const char *count_missing(void)
{
	return "not on this system: instructions and calls of the system are counted on Linux";
}

int count_run(const struct counted *what, bool calls, uint64_t *ret_count)
{
	(void)what, (void)calls, (void)ret_count;
	return -1;
}
