/* SPDX-License-Identifier: MIT */
/*
 * Pages of a memory object on Linux. mincore(2) tells what is in memory and was touched, cachestat(2) what has memory at all, and
 * PAGEMAP_SCAN what is mapped by huge pages. None of them brings a page in; MADV_POPULATE_READ does, for the last, and is used
 * only on parts that mincore() shows to be wholly in memory, where it just maps them. Whom mincore() tells nothing is turned away.
 */
#include "../pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE PAGES_UNIT
#define HUGE_PAGE (UINT64_C(2) << 20)

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* As the kernel's. */
struct cachestat_range {
	uint64_t offset, length;
};
struct cachestat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};
struct scan_request {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof_mask, return_mask;
};
struct scan_region {
	uint64_t start, end, categories;
};
#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct scan_request)
#define CATEGORY_HUGE (UINT64_C(1) << 6)
#define POPULATE_READ 22 /* MADV_POPULATE_READ, Linux 5.14 */

/* Map at an address that huge pages fit: congruent to the offset. MAP_FAILED as mmap(2). */
static void *map_congruent(int descriptor, uint64_t offset, uint64_t length)
{
	char *room = mmap(NULL, length + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t skip;
	void *map;

	if (room == MAP_FAILED)
		return MAP_FAILED;
	skip = (offset - (uint64_t)(uintptr_t)room) & (HUGE_PAGE - 1);
	map = mmap(room + skip, length, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, (off_t)offset);
	if (map == MAP_FAILED) {
		munmap(room, length + HUGE_PAGE);
		return MAP_FAILED;
	}
	if (skip)
		munmap(room, skip);
	if (HUGE_PAGE > skip)
		munmap(room + skip + length, HUGE_PAGE - skip);
	return map;
}

/* Mark what huge pages map in [map, map + length). False when the kernel does not tell. */
static bool mark_huge(int pagemap, char *map, uint64_t length, unsigned char *states)
{
	struct scan_region regions[64];
	struct scan_request request = {.size = sizeof(request), .mask = CATEGORY_HUGE, .return_mask = CATEGORY_HUGE};
	uint64_t base = (uint64_t)(uintptr_t)map;

	for (request.start = base; request.start < base + length; request.start = request.walk_end) {
		int got;

		request.end = base + length;
		request.vec = (uint64_t)(uintptr_t)regions;
		request.vec_len = sizeof(regions) / sizeof(regions[0]);
		got = ioctl(pagemap, PAGEMAP_SCAN_REQUEST, &request);
		if (got < 0 || request.walk_end <= request.start)
			return got >= 0;
		for (int i = 0; i < got; i++)
			for (uint64_t at = regions[i].start; at < regions[i].end; at += PAGE)
				states[(at - base) / PAGE] |= PAGES_HUGE;
	}
	return true;
}

/* Map, with no page made, those parts of a huge page's size that are wholly in memory. */
static void map_whole_parts(char *map, uint64_t offset, uint64_t length, const unsigned char *states)
{
	uint64_t at = (HUGE_PAGE - offset % HUGE_PAGE) % HUGE_PAGE;

	for (; at + HUGE_PAGE <= length; at += HUGE_PAGE) {
		bool whole = true;

		for (uint64_t i = 0; i < HUGE_PAGE / PAGE && whole; i++)
			whole = states[at / PAGE + i] & PAGES_PRESENT;
		if (whole)
			madvise(map + at, HUGE_PAGE, POPULATE_READ);
	}
}

/* To those who may not write the object the kernel says that every page is there. */
static bool may_look(int descriptor)
{
	char path[64];
	struct stat st;

	if (fstat(descriptor, &st) == 0 && st.st_uid == geteuid())
		return true;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

int pages_states(int descriptor, uint64_t offset, size_t count, unsigned char *states, bool *ret_huge_known)
{
	uint64_t length = count * PAGE;
	int pagemap;
	char *map;
	int error = 0;

	if (count == 0)
		return 0;
	if (!may_look(descriptor))
		return EACCES;
	map = map_congruent(descriptor, offset, length);
	if (map == MAP_FAILED)
		return errno;
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (mincore(map, length, states) != 0)
		error = errno;
	for (size_t i = 0; i < count && !error; i++)
		states[i] &= PAGES_PRESENT;
	if (!error)
		map_whole_parts(map, offset, length, states);
	*ret_huge_known = !error && pagemap >= 0 && mark_huge(pagemap, map, length, states);
	if (pagemap >= 0)
		close(pagemap);
	munmap(map, length);
	return error;
}

bool pages_backed(int descriptor, uint64_t offset, uint64_t length, uint64_t *ret_backed, uint64_t *ret_swapped)
{
	struct cachestat_range range = {offset, length};
	struct cachestat stat;

	/* A length of 0 would mean up to the end. */
	if (length == 0 || syscall(SYS_cachestat, descriptor, &range, &stat, 0) != 0)
		return false;
	*ret_backed = stat.cached + stat.evicted;
	*ret_swapped = stat.evicted;
	return true;
}

int64_t pages_born(int descriptor)
{
	struct statx st;

	if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BTIME | STATX_CTIME, &st) != 0)
		return 0;
	if (st.stx_mask & STATX_BTIME)
		return st.stx_btime.tv_sec;
	return st.stx_mask & STATX_CTIME ? st.stx_ctime.tv_sec : 0;
}
