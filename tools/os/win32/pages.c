/* SPDX-License-Identifier: MIT */
/*
 * The pages of a section on Windows. The system tells which are committed, through a view that is mapped for the purpose and never
 * touched; which of them a process has touched it tells of that process's own views only.
 */
#include "../pages.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <errno.h>
#include <string.h>

#define GRANULE UINT64_C(65536) /* views begin at its multiples */
#define WINDOW (UINT64_C(1) << 30)

/* Call `take` for each run of committed bytes of [offset, end); offsets are the object's. False: no view to be had. */
static bool each_committed(HANDLE section, uint64_t offset, uint64_t end,
			   void (*take)(uint64_t from, uint64_t to, void *argument), void *argument)
{
	while (offset < end) {
		uint64_t base = offset / GRANULE * GRANULE, stop = end - base > WINDOW ? base + WINDOW : end;
		unsigned char *view =
			MapViewOfFile(section, FILE_MAP_READ, (DWORD)(base >> 32), (DWORD)base, (SIZE_T)(stop - base));
		MEMORY_BASIC_INFORMATION region;

		if (!view)
			return false;
		for (uint64_t at = base; at < stop; at += region.RegionSize) {
			uint64_t from = at > offset ? at : offset, to;

			if (!VirtualQuery(view + (at - base), &region, sizeof(region)) || !region.RegionSize)
				break;
			to = at + region.RegionSize < stop ? at + region.RegionSize : stop;
			if (region.State == MEM_COMMIT && from < to)
				take(from, to, argument);
		}
		UnmapViewOfFile(view);
		offset = stop;
	}
	return true;
}

struct painting {
	uint64_t offset;
	size_t count;
	unsigned char *states;
};

static void paint(uint64_t from, uint64_t to, void *argument)
{
	struct painting *painting = argument;

	for (uint64_t page = (from - painting->offset) / PAGES_UNIT;
	     page < painting->count && painting->offset + page * PAGES_UNIT < to; page++)
		painting->states[page] = PAGES_PRESENT;
}

int pages_states(int descriptor, uint64_t offset, size_t count, unsigned char *states, bool *ret_huge_known)
{
	struct painting painting = {offset, count, states};

	memset(states, 0, count);
	if (!each_committed((HANDLE)(intptr_t)descriptor, offset, offset + count * PAGES_UNIT, paint, &painting))
		return GetLastError() == ERROR_ACCESS_DENIED ? EACCES : ENOMEM;
	*ret_huge_known = true; /* there are none in memory that is committed bit by bit */
	return 0;
}

static void add(uint64_t from, uint64_t to, void *argument)
{
	*(uint64_t *)argument += (to - from) / PAGES_UNIT;
}

bool pages_backed(int descriptor, uint64_t offset, uint64_t length, uint64_t *ret_backed, uint64_t *ret_swapped)
{
	uint64_t backed = 0;

	if (!each_committed((HANDLE)(intptr_t)descriptor, offset, offset + length, add, &backed))
		return false;
	*ret_backed = backed;
	*ret_swapped = 0;
	return true;
}

int64_t pages_born(int descriptor)
{
	(void)descriptor; /* sections have no time */
	return 0;
}
