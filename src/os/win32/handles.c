/* SPDX-License-Identifier: MIT */
/*
 * Handles: what the system does not know about them is kept here, the identity that os_memory_identify() was told and a
 * window to read through; closing and inheriting them.
 *
 * Programs close and reuse handles that they were given. Each entry therefore says which object it is about, and goes
 * when its handle is seen to refer to another.
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <string.h>

struct known {
	os_handle handle;
	uint64_t object[2];
	struct sys_place place; /* identity and space */
	bool identified;
	unsigned char *window;
	uint64_t window_length;
};

static struct os_lock lock;
static struct known *table;
static size_t table_used, table_room;

/* The lock is held. */
static struct known *find(os_handle handle)
{
	for (size_t i = 0; i < table_used; i++)
		if (table[i].handle == handle)
			return &table[i];
	return NULL;
}

/* The lock is held. The entry is empty where the handle now refers to something else: somebody closed it without us. */
static struct known *enter(os_handle handle, const uint64_t object[2], unsigned char **ret_stale)
{
	struct known *known = find(handle);

	*ret_stale = NULL;
	if (known && !memcmp(known->object, object, sizeof(known->object)))
		return known;
	if (!known && table_used == table_room) {
		size_t room = table_room ? 2 * table_room : 32;
		struct known *bigger = os_allocate(room * sizeof(*bigger));

		if (!bigger)
			return NULL;
		if (table_used)
			memcpy(bigger, table, table_used * sizeof(*bigger));
		os_free(table);
		table = bigger;
		table_room = room;
	}
	if (known)
		*ret_stale = known->window;
	else
		known = &table[table_used++];
	*known = (struct known){.handle = handle, .object = {object[0], object[1]}};
	return known;
}

static void drop_window(unsigned char *window)
{
	if (window)
		(void)UnmapViewOfFile(window);
}

int memory_identify(os_handle memory, const struct memory *now, const uint64_t identity[2])
{
	unsigned char *stale;
	struct known *known;

	os_lock(&lock);
	known = enter(memory, now->object, &stale);
	if (known) {
		known->place = (struct sys_place){.identity = {identity[0], identity[1]}, .space = now->space};
		known->identified = true;
	}
	os_unlock(&lock);
	drop_window(stale);
	return known ? 0 : -STOA_ENOMEM;
}

unsigned char *memory_window(os_handle memory, uint64_t *ret_length)
{
	unsigned char *window;
	struct known *known;

	os_lock(&lock);
	known = find(memory);
	window = known ? known->window : NULL;
	if (window)
		*ret_length = known->window_length;
	os_unlock(&lock);
	return window;
}

unsigned char *memory_set_window(os_handle memory, unsigned char *window, uint64_t length)
{
	unsigned char *kept = NULL, *stale = NULL;
	struct known *known;
	struct memory now;

	if (memory_look(memory, &now) == 0) {
		os_lock(&lock);
		known = enter(memory, now.object, &stale);
		if (known && !known->window) {
			known->window = window;
			known->window_length = length;
		}
		kept = known ? known->window : NULL;
		os_unlock(&lock);
	}
	drop_window(stale);
	if (kept != window)
		drop_window(window);
	return kept;
}

bool sys_identity_of(os_handle memory, struct sys_place *place)
{
	struct known *known;
	bool identified;

	os_lock(&lock);
	known = find(memory);
	identified = known && known->identified;
	if (identified) {
		memcpy(place->identity, known->place.identity, sizeof(place->identity));
		place->space = known->place.space;
	}
	os_unlock(&lock);
	return identified;
}

int os_memory_identify(os_handle memory, const uint64_t identity[2])
{
	struct memory now;
	struct sys_place place = {{0}, 0, 0};
	int rc = memory_look(memory, &now);

	if (rc == 0 && now.space == SYS_ELSEWHERE)
		return error_set(-STOA_ENOTSUP, "the memory is of another session, whose names are not seen here");
	if (rc == 0)
		rc = memory_identify(memory, &now, identity);
	if (rc == 0 && sys_identity_of(memory, &place))
		map_identified(memory, &place);
	return rc;
}

/* Take the handle's entry out. The lock is held. */
static unsigned char *take_out(struct known *known)
{
	unsigned char *window = known->window;

	*known = table[--table_used];
	if (table_used)
		return window;
	os_free(table);
	table = NULL;
	table_room = 0;
	return window;
}

void memory_refresh(os_handle memory, const uint64_t object[2])
{
	unsigned char *window = NULL;
	struct known *known;

	os_lock(&lock);
	known = find(memory);
	if (known && (!object || memcmp(known->object, object, sizeof(known->object)) != 0))
		window = take_out(known);
	os_unlock(&lock);
	drop_window(window);
}

void os_handle_close(os_handle handle)
{
	if (handle == OS_NO_HANDLE)
		return;
	memory_refresh(handle, NULL);
	map_forget_handle(handle);
	(void)CloseHandle(sys_handle(handle));
}

int os_handle_inherit(os_handle handle)
{
	return SetHandleInformation(sys_handle(handle), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)
		       ? 0
		       : sys_failed("letting a handle be inherited");
}

bool os_handle_inherited(os_handle handle)
{
	DWORD flags;

	return GetHandleInformation(sys_handle(handle), &flags) && flags & HANDLE_FLAG_INHERIT;
}

int os_handle_keep(os_handle handle)
{
	return SetHandleInformation(sys_handle(handle), HANDLE_FLAG_INHERIT, 0)
		       ? 0
		       : sys_failed("keeping a handle from being inherited");
}
