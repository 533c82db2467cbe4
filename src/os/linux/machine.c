/* SPDX-License-Identifier: MIT */
/* What the machine is like: its memory, and the date. Uses base. */
#include <os/linux/sys.h>
#include <os/local.h>

#include <time.h>
#include <unistd.h>

uint64_t os_memory_total(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages * OS_PAGE : 0;
}

uint64_t os_date(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
