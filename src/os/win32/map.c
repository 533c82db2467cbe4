/* SPDX-License-Identifier: MIT */
/*
 * Maps. Views begin at multiples of 64 KiB, maps at any page: a map's view begins at the multiple below. Where each
 * lies is random, so that programs which keep addresses in shared memory fail at once and not one day.
 *
 * A view cannot be longer than its section: behind what there is of a file, the map's remaining room is reserved and
 * faults. Where the system can, the view of a file is made as long as the map and follows the file as that grows (see
 * commit.c).
 *
 * The table of maps also tells which word lies where in which memory. It is sorted by address.
 */
#include <os/win32/memory.h>

#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <os/win32/nt.h>
#include <string.h>

#define TRIES 16

static struct os_lock lock;
static struct map *table;
static size_t table_used, table_room;

/* ---- the table ---- */

/* The lock is held. The number of maps that begin at or below the address. */
static size_t count_below(const volatile void *address)
{
	size_t low = 0, high = table_used;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if ((uintptr_t)table[middle].address <= (uintptr_t)address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct map *find(const volatile void *address)
{
	size_t below = count_below(address);
	struct map *map = below ? &table[below - 1] : NULL;

	return map && (uint64_t)((uintptr_t)address - (uintptr_t)map->address) < map->length ? map : NULL;
}

bool map_at(const volatile void *address, struct map *ret_map)
{
	struct map *map;

	os_lock(&lock);
	map = find(address);
	if (map)
		*ret_map = *map;
	os_unlock(&lock);
	return map != NULL;
}

bool map_longest(os_handle memory, struct map *ret_map)
{
	bool found = false;

	os_lock(&lock);
	for (size_t i = 0; i < table_used; i++) {
		if (table[i].memory != memory || (found && table[i].length <= ret_map->length))
			continue;
		*ret_map = table[i];
		found = true;
	}
	os_unlock(&lock);
	return found;
}

void map_identified(os_handle memory, const struct sys_place *place)
{
	os_lock(&lock);
	for (size_t i = 0; i < table_used; i++)
		if (table[i].memory == memory)
			table[i].place = *place;
	os_unlock(&lock);
}

void map_forget_handle(os_handle memory)
{
	os_lock(&lock);
	for (size_t i = 0; i < table_used; i++)
		if (table[i].memory == memory)
			table[i].memory = OS_NO_HANDLE;
	os_unlock(&lock);
}

void map_changed(const struct map *map)
{
	struct map *entry;

	os_lock(&lock);
	entry = find(map->address);
	if (entry)
		*entry = *map;
	os_unlock(&lock);
}

static bool has_identity(const struct map *map)
{
	return map->place.identity[0] | map->place.identity[1];
}

bool sys_place_of(const volatile void *address, struct sys_place *ret_place)
{
	struct map map;

	if (!map_at(address, &map) || !has_identity(&map) || map.access & OS_PRIVATE)
		return false;
	*ret_place = map.place;
	ret_place->offset = map.offset + (uint64_t)((uintptr_t)address - (uintptr_t)map.address);
	return true;
}

static int enter(const struct map *map)
{
	size_t at;

	os_lock(&lock);
	if (table_used == table_room) {
		size_t room = table_room ? 2 * table_room : 32;
		struct map *bigger = os_allocate(room * sizeof(*bigger));

		if (!bigger) {
			os_unlock(&lock);
			return -STOA_ENOMEM;
		}
		if (table_used)
			memcpy(bigger, table, table_used * sizeof(*bigger));
		os_free(table);
		table = bigger;
		table_room = room;
	}
	at = count_below(map->address);
	memmove(table + at + 1, table + at, (table_used - at) * sizeof(*table));
	table[at] = *map;
	table_used++;
	os_unlock(&lock);
	return 0;
}

/* Take out the map that begins at the address. *ret_last: no other map shows memory of its identity. */
static bool take_out(const void *address, uint64_t length, struct map *ret_map, bool *ret_last)
{
	struct map *map;
	bool found;

	os_lock(&lock);
	map = find(address);
	found = map && map->address == address && map->length == length;
	*ret_last = found && has_identity(map);
	if (found) {
		*ret_map = *map;
		table_used--;
		memmove(map, map + 1, (table_used - (size_t)(map - table)) * sizeof(*map));
		for (size_t i = 0; i < table_used; i++)
			if (!memcmp(&table[i].place, &ret_map->place, sizeof(ret_map->place)))
				*ret_last = false;
	}
	if (!table_used) {
		os_free(table);
		table = NULL;
		table_room = 0;
	}
	os_unlock(&lock);
	return found;
}

/* ---- views ---- */

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

/* Bytes between the view's beginning and the map's. */
static uint64_t lead_of(const struct map *map)
{
	return map->offset % MEMORY_GRAIN;
}

static uint64_t mixed(uint64_t bits)
{
	bits ^= bits << 13;
	bits ^= bits >> 7;
	return bits ^ bits << 17;
}

/*
 * A random place for a map at `offset`, at the same remainder modulo OS_HUGE_PAGE. NULL: anywhere. Most lie in a range of this
 * process's own, so that the tables for them stay small; between 1 and 66 TiB, out of the way of what the system places.
 */
static unsigned char *random_base(const struct map *map)
{
	static _Atomic uint64_t seed, state;
	const uint64_t range = UINT64_C(1) << 38, all = UINT64_C(1) << 46;
	uint64_t bits = load_rlx(&state), place = UINT64_C(1) << 40;

	if (!bits) {
		if (os_random(&bits, sizeof(bits)) < 0)
			return NULL;
		store_rlx(&seed, bits);
	}
	bits = mixed(bits);
	store_rlx(&state, bits);
	if (map->length < range / 16)
		place += (load_rlx(&seed) & (all - 1) & ~(range - 1)) + ((bits >> 8) & (range - 1));
	else
		place += (bits >> 8) & (all - 1);
	place = (place & ~(OS_HUGE_PAGE - 1)) + map->offset % OS_HUGE_PAGE - lead_of(map);
	return (unsigned char *)(uintptr_t)place; // NOLINT(performance-no-int-to-ptr)
}

unsigned char *map_random_base(uint64_t length)
{
	const struct map map = {.length = length};

	return random_base(&map);
}

static DWORD view_access(uint32_t access)
{
	DWORD kind = access & OS_PRIVATE ? FILE_MAP_COPY : access & OS_WRITE ? FILE_MAP_WRITE : FILE_MAP_READ;

	return kind | (access & OS_EXEC ? FILE_MAP_EXECUTE : 0);
}

DWORD map_protection(uint32_t access, bool copies)
{
	if (access & OS_EXEC && access & OS_WRITE)
		return copies ? PAGE_EXECUTE_WRITECOPY : PAGE_EXECUTE_READWRITE;
	if (access & OS_EXEC)
		return PAGE_EXECUTE_READ;
	if (access & OS_WRITE)
		return copies ? PAGE_WRITECOPY : PAGE_READWRITE;
	return access & OS_READ ? PAGE_READONLY : PAGE_NOACCESS;
}

/* What CreateFileMapping() asks for, and the right to extend the section, which that does not. */
static ACCESS_MASK section_access(uint32_t access)
{
	return STANDARD_RIGHTS_REQUIRED | SECTION_QUERY | SECTION_EXTEND_SIZE | SECTION_MAP_READ |
	       (access & OS_WRITE ? SECTION_MAP_WRITE : 0) |
	       (access & OS_EXEC ? SECTION_MAP_EXECUTE | SECTION_MAP_EXECUTE_EXPLICIT : 0);
}

HANDLE map_file_section(const struct map *map, uint64_t length)
{
	/* Private maps write to copies: the file needs only be read. */
	uint32_t access = map->access & OS_PRIVATE ? map->access & ~OS_WRITE : map->access;
	SECURITY_ATTRIBUTES *rights = sys_owner_only();
	struct nt_object_attributes attributes = {.length = sizeof(attributes)};
	LARGE_INTEGER size = {.QuadPart = (LONGLONG)length};
	HANDLE section = NULL;
	LONG status;

	if (!nt_functions()->create_section)
		return CreateFileMappingW(sys_handle(map->memory), rights, map_protection(access | OS_READ, false),
					  (DWORD)(length >> 32), (DWORD)length, NULL);
	attributes.descriptor = rights ? rights->lpSecurityDescriptor : NULL;
	status = nt_functions()->create_section(&section, section_access(access), &attributes, length ? &size : NULL,
						map_protection(access | OS_READ, false), SEC_COMMIT,
						sys_handle(map->memory));
	if (NT_DONE(status))
		return section;
	nt_set_error(status);
	return NULL;
}

/* A view of a file that is as long as the map and shows more as the file grows; NULL where the system has none. */
static unsigned char *growing_view(const struct map *map, HANDLE section, unsigned char *base)
{
	const struct nt *nt = nt_functions();
	LARGE_INTEGER offset = {.QuadPart = (LONGLONG)(map->offset - lead_of(map))};
	SIZE_T length = (SIZE_T)(lead_of(map) + map->length);
	void *address = base;

	if (!nt->map_view || !nt->extend_section || map->access & OS_PRIVATE || !(map->access & OS_WRITE))
		return NULL;
	if (!NT_DONE(nt->map_view(section, GetCurrentProcess(), &address, 0, 0, &offset, &length, NT_VIEW_UNMAP,
				  MEM_RESERVE, map_protection(map->access | OS_READ, false))))
		return NULL;
	return address;
}

/* Room that nobody can touch, behind the view or instead of one; it lies at `base` unless that is NULL. */
static unsigned char *reserve_room(unsigned char *base, uint64_t length)
{
	return length ? VirtualAlloc(base, (SIZE_T)length, MEM_RESERVE, PAGE_NOACCESS) : base;
}

/* What the view and the room behind it take, from the view's beginning. */
static uint64_t end_of_view(const struct map *map)
{
	return map->mapped ? round_up(lead_of(map) + map->mapped + map->spare, MEMORY_GRAIN) : 0;
}

static uint64_t end_of_room(const struct map *map)
{
	return round_up(lead_of(map) + map->length + map->spare, MEMORY_GRAIN);
}

/* `mapped` bytes of the view, and room behind it. */
static unsigned char *fixed_view(const struct map *map, HANDLE section, uint64_t present, unsigned char *base)
{
	uint64_t lead = lead_of(map), start = map->offset - lead, room = end_of_room(map) - end_of_view(map);
	uint64_t bytes = lead + map->mapped + map->spare;
	unsigned char *view;

	if (!map->mapped)
		return reserve_room(base, room);
	/* To the byte: a view may not go beyond its section, whose last page may be part of one. */
	if (bytes > present - start)
		bytes = present - start;
	view = MapViewOfFileEx(section, view_access(map->access), (DWORD)(start >> 32), (DWORD)start, (SIZE_T)bytes,
			       base);
	if (!view || reserve_room(view + end_of_view(map), room))
		return view;
	(void)UnmapViewOfFile(view);
	SetLastError(ERROR_NOT_ENOUGH_MEMORY);
	return NULL;
}

void map_remove(const struct map *map)
{
	unsigned char *base = map->address - lead_of(map);

	if (map->mapped)
		(void)UnmapViewOfFile(base);
	if (!map->grows && end_of_view(map) < end_of_room(map))
		(void)VirtualFree(base + end_of_view(map), 0, MEM_RELEASE);
}

int map_place(struct map *map, unsigned char *base, uint64_t present)
{
	uint64_t mapped = present > map->offset ? round_up(present - map->offset, OS_PAGE) : 0;
	HANDLE section = map->section ? map->section : sys_handle(map->memory);
	bool grows = map->section && mapped && mapped < map->length;
	unsigned char *view;

	map->spare = mapped > map->length && !map->section ? MEMORY_SPARE : 0;
	map->mapped = mapped < map->length ? mapped : map->length;
	view = grows ? growing_view(map, section, base) : NULL;
	map->grows = view != NULL;
	if (!view)
		view = fixed_view(map, section, present, base);
	if (!view)
		return -1;
	map->address = view + lead_of(map);
	return 0;
}

int map_failed(uint64_t length)
{
	DWORD error = GetLastError();

	if (error == ERROR_ACCESS_DENIED)
		return error_set(-STOA_ERIGHTS, "the map is refused: the handle only reads, or may not be executed");
	if (error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_INVALID_ADDRESS)
		return error_set(-STOA_ELIMIT, "no room for a map of %" PRIu64 " bytes: the address space is used up",
				 length);
	if (error == ERROR_COMMITMENT_LIMIT)
		return error_set(-STOA_ENOMEM,
				 "no memory for a map of %" PRIu64
				 " bytes: the paging file or a job's limit is used up",
				 length);
	return sys_failed("mapping %" PRIu64 " bytes", length);
}

static int place_anywhere(struct map *map, uint64_t present)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		unsigned char *base = tries + 1 < TRIES ? random_base(map) : NULL;

		if (map_place(map, base, present) == 0)
			return 0;
		if (GetLastError() == ERROR_ACCESS_DENIED)
			break;
	}
	return map_failed(map->length);
}

/* A section never grows: the room behind it would be committed as memory of this process alone. */
static int check_section(const struct memory *section, uint64_t offset, uint64_t length)
{
	uint64_t end = round_up(section->size, OS_PAGE);

	if (offset <= end && length <= end - offset)
		return 0;
	return error_set(-STOA_ERANGE,
			 "%" PRIu64 " bytes at %" PRIu64 ": the section has %" PRIu64 ", and sections do not grow",
			 length, offset, section->size);
}

int os_map(os_handle memory, uint64_t offset, uint64_t length, uint32_t access, void **ret_address)
{
	struct map map = {.offset = offset, .length = round_up(length, OS_PAGE), .memory = memory, .access = access};
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0)
		return rc;
	if (now.kind == MEMORY_OTHER)
		return error_set(-STOA_EKIND, "the handle does not refer to memory or a file");
	rc = now.kind == MEMORY_SECTION ? check_section(&now, offset, map.length) : 0;
	if (rc < 0)
		return rc;
	(void)sys_identity_of(memory, &map.place);
	/* An empty file has no section; the first commit makes it. */
	if (now.kind == MEMORY_FILE && now.size > 0) {
		map.section = map_file_section(&map, 0);
		if (!map.section)
			return map_failed(length);
	}
	map.of_file = now.kind == MEMORY_FILE;
	rc = place_anywhere(&map, now.size + now.spare);
	if (rc == 0) {
		rc = enter(&map);
		if (rc < 0)
			map_remove(&map);
	}
	if (rc < 0) {
		if (map.section)
			(void)CloseHandle(map.section);
		return rc;
	}
	*ret_address = map.address;
	return 0;
}

int os_unmap(void *address, uint64_t length)
{
	struct map map;
	bool last;

	if (!take_out(address, round_up(length, OS_PAGE), &map, &last))
		return error_set(-STOA_EINVAL, "%p with %" PRIu64 " bytes is not a view", address, length);
	map_remove(&map);
	if (map.section)
		(void)CloseHandle(map.section);
	if (last)
		sys_forget_waits(&map.place);
	return 0;
}
