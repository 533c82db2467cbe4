/* SPDX-License-Identifier: MIT */
/*
 * Committing. Windows is honest about memory: VirtualAlloc() takes the page from the commit limit or fails. Pages of a
 * section stay committed until the section goes, so giving them back and cutting are refused.
 *
 * Only pages that are not yet committed are asked for, as committing one again would undo what os_protect() did to it.
 *
 * A file grows by its section being extended; the map's view was made for that when the system has such views (map.c).
 * Otherwise, or when the file was empty, its first part is mapped when it comes into being: nobody can have touched the
 * map.
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/nt.h>

#define STEP (UINT64_C(16) << 20)
#define FLUSH_TRIES 100
#define LOOK_FROM (UINT64_C(2) << 20) /* smaller requests are taken or refused as a whole by the system */

/* One file's growth at a time in this process. */
static struct os_lock file_lock;

int os_length_allowed(uint64_t length)
{
	(void)length; /* no limit but the object's size */
	return 0;
}

static uint64_t room_left(void)
{
	MEMORYSTATUSEX status = {.dwLength = sizeof(status)};

	return GlobalMemoryStatusEx(&status) ? status.ullAvailPageFile : UINT64_MAX;
}

static int refused(uint64_t at, uint64_t bytes)
{
	DWORD error = GetLastError();

	if (sys_error(error) == -STOA_ENOMEM)
		return error_set(-STOA_ENOMEM,
				 "committing %" PRIu64 " bytes at %" PRIu64
				 ": the commit limit (memory and paging file, or a "
				 "job's limit) leaves %" PRIu64,
				 bytes, at, room_left());
	return sys_failed("committing %" PRIu64 " bytes at %" PRIu64, bytes, at);
}

/* The run of pages at `at` that are all committed, or all not. */
static uint64_t next_run(const unsigned char *at, uint64_t length, bool *ret_committed)
{
	MEMORY_BASIC_INFORMATION info;
	uint64_t bytes;

	*ret_committed = false;
	if (!VirtualQuery(at, &info, sizeof(info)))
		return length;
	*ret_committed = info.State == MEM_COMMIT;
	bytes = (uint64_t)((unsigned char *)info.BaseAddress + info.RegionSize - at);
	return bytes < length ? bytes : length;
}

/* A request that cannot be met is refused before any of it is taken. */
static int check_room(const unsigned char *view, uint64_t length)
{
	uint64_t need = 0, at = 0, room;

	if (length < LOOK_FROM)
		return 0;
	while (at < length) {
		bool committed;
		uint64_t bytes = next_run(view + at, length - at, &committed);

		need += committed ? 0 : bytes;
		at += bytes;
	}
	room = need ? room_left() : 0;
	if (need <= room)
		return 0;
	return error_set(-STOA_ENOMEM,
			 "%" PRIu64 " more bytes: the commit limit (memory and paging file) leaves only %" PRIu64, need,
			 room);
}

static int commit_view(unsigned char *view, uint64_t offset, uint64_t length, uint64_t *ret_done)
{
	uint64_t at = 0;
	int rc = check_room(view, length);

	while (rc == 0 && at < length) {
		bool committed;
		uint64_t bytes = next_run(view + at, length - at, &committed);

		if (!committed && bytes > STEP)
			bytes = STEP;
		if (!committed && !VirtualAlloc(view + at, (SIZE_T)bytes, MEM_COMMIT, PAGE_READWRITE))
			return refused(offset + at, bytes);
		at += bytes;
		*ret_done = at;
	}
	return rc;
}

/* Through a view of its own. */
static int commit_elsewhere(const struct os_extent *extent, uint64_t from, uint64_t to, uint64_t *ret_done)
{
	struct memory_glance glance = {NULL, NULL};
	int rc = memory_glance(extent->memory, extent->offset + from, to - from, FILE_MAP_WRITE, &glance);

	if (rc < 0)
		return rc;
	rc = commit_view(glance.at, extent->offset + from, to - from, ret_done);
	memory_look_away(&glance);
	return rc;
}

/* ---- files ---- */

static int cannot_grow(void)
{
	return error_set(-STOA_ENOTSUP,
			 "this system cannot grow a mapped file: make it as long as it will be before it is "
			 "mapped");
}

static int grow_failed(uint64_t length)
{
	if (GetLastError() == ERROR_DISK_FULL)
		return error_set(-STOA_ENOMEM, "no space left on the file's disk for a length of %" PRIu64 " bytes",
				 length);
	return sys_failed("making the file %" PRIu64 " bytes long", length);
}

/* The file was empty when it was mapped: its map is only room so far. */
static int map_first_part(struct map *map, uint64_t length)
{
	unsigned char *base = map->address - map->offset % MEMORY_GRAIN;
	int rc;

	map->section = map_file_section(map, length);
	if (!map->section)
		return grow_failed(length);
	map_remove(map);
	if (map_place(map, base, length) == 0) {
		map_changed(map);
		return 0;
	}
	rc = map_failed(map->length);
	(void)CloseHandle(map->section);
	map->section = NULL;
	/* The room again, so that the map stays one. */
	if (map_place(map, base, 0) == 0)
		map_changed(map);
	return rc;
}

static int extend(struct map *map, uint64_t length)
{
	LARGE_INTEGER size = {.QuadPart = (LONGLONG)length};
	uint64_t end = (length + OS_PAGE - 1) & ~(OS_PAGE - 1);
	LONG status;

	if (!map->grows || end > map->offset + map->length)
		return cannot_grow();
	status = nt_functions()->extend_section(map->section, &size);
	if (status == NT_NOT_IMPLEMENTED)
		return cannot_grow();
	if (!NT_DONE(status)) {
		nt_set_error(status);
		return grow_failed(length);
	}
	map->mapped = end - map->offset;
	map_changed(map);
	return 0;
}

/* Make the file at least `length` bytes long, and the map show them. */
static int grow_file(const struct os_extent *extent, uint64_t length)
{
	uint64_t present = os_memory_length(extent->memory);
	struct map map;

	/* A section of others over a file, received without it. */
	if (!map_at(extent->address, &map) || !map.of_file)
		return length <= present ? 0 : cannot_grow();
	if (!map.section)
		return map_first_part(&map, length > present ? length : present);
	/* Where another process has made it that long this section is still to follow. */
	return length <= present && length <= map.offset + map.mapped ? 0 : extend(&map, length);
}

int os_commit_allowed(const struct os_extent *extent, uint64_t from, uint64_t to)
{
	(void)extent, (void)from, (void)to; /* what is too much is refused when it is committed */
	return 0;
}

int os_commit(const struct os_extent *extent, uint64_t from, uint64_t to, uint64_t *ret_done)
{
	int rc;

	*ret_done = 0;
	if (from >= to)
		return 0;
	if (extent->in_memory && extent->address)
		return commit_view(extent->address + from, extent->offset + from, to - from, ret_done);
	if (extent->in_memory)
		return commit_elsewhere(extent, from, to, ret_done);
	os_lock(&file_lock);
	rc = grow_file(extent, extent->offset + to);
	os_unlock(&file_lock);
	if (rc == 0)
		*ret_done = to - from;
	return rc;
}

int os_discard(const struct os_extent *extent, uint64_t from, uint64_t to)
{
	(void)extent;
	return error_set(-STOA_ENOTSUP, "Windows takes no pages back from memory that is shared (%" PRIu64 " bytes)",
			 to - from);
}

int os_cut(const struct os_extent *extent, uint64_t length)
{
	(void)extent;
	return error_set(-STOA_ENOTSUP, "Windows cuts nothing that is mapped (to %" PRIu64 " bytes)", length);
}

/* While the system itself is writing the same pages it refuses. */
static bool flush_view(const unsigned char *address, uint64_t length)
{
	for (unsigned tries = 0; tries < FLUSH_TRIES; tries++) {
		if (FlushViewOfFile(address, (SIZE_T)length))
			return true;
		if (GetLastError() != ERROR_LOCK_VIOLATION)
			return false;
		Sleep(1);
	}
	return false;
}

int os_flush(const struct os_extent *extent, uint64_t from, uint64_t to, bool durable)
{
	struct map map;
	uint64_t end;

	/* Memory has nowhere to be flushed to. */
	if (extent->in_memory || !map_at(extent->address, &map))
		return 0;
	end = os_memory_length(extent->memory);
	end = end > extent->offset ? end - extent->offset : 0;
	if (end > map.mapped && !map.grows)
		end = map.mapped;
	if (to > end)
		to = end;
	if (from < to && !flush_view(extent->address + from, to - from))
		return sys_failed("flushing %" PRIu64 " bytes", to - from);
	if (durable && !FlushFileBuffers(sys_handle(extent->memory)))
		return sys_failed("flushing the file to its disk");
	return 0;
}
