/* SPDX-License-Identifier: MIT */
/* Maps that are there: changing their access, and bringing their pages in. */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/populate.h>
#include <os/win32/nt.h>

#define REMAP_TRIES 100

/*
 * The view has to go before another one can take its place, and for a moment anybody's may: another thread that maps or
 * allocates. The places of maps are random among terabytes, so it would have to be aimed at. It is tried again; where
 * the place is lost for good the map is gone.
 */
int os_map_read_only(os_handle memory, uint64_t offset, void *address, uint64_t length)
{
	struct map map;
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0)
		return rc;
	if (!map_at(address, &map) || map.address != address || map.offset != offset || map.length < length)
		return error_set(-STOA_EINVAL, "%p with %" PRIu64 " bytes is not a view", address, length);
	map_remove(&map);
	map.access = OS_READ;
	for (unsigned tries = 0; tries < REMAP_TRIES; tries++) {
		if (map_place(&map, (unsigned char *)address - offset % MEMORY_GRAIN, now.size + now.spare) == 0) {
			map_changed(&map);
			return 0;
		}
		os_yield();
	}
	return map_failed(length);
}

static int more_than_mapped(void)
{
	return error_set(-STOA_ERIGHTS, "this map cannot be given more access than it was made with: map another view");
}

/* Pages that are not committed have no access to change. What the map was not made with is refused before the system is asked. */
int os_protect(void *address, uint64_t length, uint32_t access)
{
	struct map map;
	DWORD before;

	if (!map_at(address, &map))
		return error_set(-STOA_EINVAL, "%p with %" PRIu64 " bytes is in no view", address, length);
	if (access & ~map.access & (OS_WRITE | OS_EXEC))
		return more_than_mapped();
	if (VirtualProtect(address, (SIZE_T)length, map_protection(access, map.access & OS_PRIVATE), &before))
		return 0;
	switch (GetLastError()) {
	case ERROR_INVALID_PARAMETER:
	case ERROR_ACCESS_DENIED: return more_than_mapped();
	case ERROR_INVALID_ADDRESS:
	case ERROR_NOACCESS:
		return error_set(-STOA_EUNCOMMITTED,
				 "some of the %" PRIu64 " bytes are not committed: Windows knows no "
				 "access of such pages",
				 length);
	default: return sys_failed("changing access to %" PRIu64 " bytes", length);
	}
}

/* A file that others have made longer can be read there while a map of it shows nothing: touching that would be fatal. */
static int check_shown(const unsigned char *address, uint64_t length)
{
	struct map map;
	uint64_t at;

	if (!map_at(address, &map) || !map.of_file || map.grows)
		return 0;
	at = (uint64_t)(address - map.address);
	if (at <= map.mapped && length <= map.mapped - at)
		return 0;
	return error_set(-STOA_EIO,
			 "the file has become longer than this map of it shows, %" PRIu64 " bytes: open it again",
			 map.mapped);
}

int os_populate(os_handle memory, uint64_t offset, void *address, uint64_t length)
{
	struct {
		void *address;
		SIZE_T length;
	} range = {address, (SIZE_T)length};
	const struct nt *nt = nt_functions();
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0)
		return rc;
	if (now.kind == MEMORY_FILE) {
		rc = check_shown(address, length);
		return rc < 0 ? rc : populate_by_reading(memory, offset, length);
	}
	if (memory_run(address, length) < length)
		return error_set(-STOA_EIO, "of %" PRIu64 " bytes at %" PRIu64 " not all are committed", length,
				 offset);
	/* Advice; the loop makes it true. */
	if (nt->prefetch)
		(void)nt->prefetch(GetCurrentProcess(), 1, &range, 0);
	for (uint64_t at = 0; at < length; at += OS_PAGE)
		(void)*((const volatile unsigned char *)address + at);
	return 0;
}

bool os_huge_offered(const char **ret_setting)
{
	*ret_setting = "none";
	return false;
}

int os_huge_refused(void)
{
	return error_set(-STOA_ENOTSUP, "no huge pages: Windows has none for memory that is committed bit by bit");
}

void os_huge_apply(void *address, uint64_t length, uint32_t huge)
{
	(void)address, (void)length, (void)huge;
}
