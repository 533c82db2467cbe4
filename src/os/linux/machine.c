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

bool os_memory_next(os_handle memory, uint64_t from, uint64_t *ret_begin, uint64_t *ret_end)
{
	off_t begin = lseek(sys_fd(memory), (off_t)from, SEEK_DATA),
	      end; /* fails only behind the last; not through SYS() */

	if (begin < 0)
		return false;
	end = lseek(sys_fd(memory), begin, SEEK_HOLE);
	if (end < 0)
		return false;
	*ret_begin = (uint64_t)begin;
	*ret_end = (uint64_t)end;
	return true;
}
