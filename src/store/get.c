/* SPDX-License-Identifier: MIT */
/*
 * What asks nobody: get, release, contains, list. The directory and the arenas are maps that this process can only read; an object is held
 * by a word in memory that only this process writes (lease.h).
 */
#include <store/client.h>

#include <base/error.h>
#include <stoa/store.h>
#include <stoa/sync.h>
#include <string.h>

#define NAPS_MAX 50u
#define HOLD_OWN (UINT64_C(1) << 63) /* it lies in an arena of its own */

/*
 * Find the entry of an object that is sealed, or in another state. 0, -STOA_ENOENT; 1: the server has to finish something first; CLIENT_SPILLED.
 */
static int find(const struct stoa_store *store, const void *id, uint32_t id_length, enum store_state other,
		uint32_t *ret_entry, uint64_t *ret_state)
{
	switch (directory_find(&store->directory, id, id_length, ret_entry, ret_state)) {
	case DIRECTORY_FOUND:
		if (store_state_of(*ret_state) == STORE_SEALED || store_state_of(*ret_state) == other)
			return 0;
		return store_state_of(*ret_state) == STORE_SPILLED ? CLIENT_SPILLED : -STOA_ENOENT;
	case DIRECTORY_ABSENT: return -STOA_ENOENT;
	default: return 1;
	}
}

/* The object of an entry that is leased. */
static int locate(struct stoa_store *store, uint32_t entry, struct stoa_object *ret)
{
	struct directory_where where = {0};
	unsigned char *address;
	uint64_t size, room;
	bool own;
	int rc = directory_look(&store->directory, entry, &where);

	if (rc < 0)
		return rc;
	if (where.kind == STORE_REGION)
		return error_set(-STOA_EKIND, "that id belongs to memory, not to an object");
	own = where.kind == STORE_OWN;
	rc = client_arena(store, where.arena, own, &address, &size);
	if (rc)
		return rc;
	room = where.meta_length ? store->directory.entries[entry].room : where.size;
	if (room > STOA_OBJECT_MAX || where.offset > size || where.size > room ||
	    store_extent(room, where.meta_length) > size - where.offset) {
		if (own)
			client_arena_release(store, where.arena);
		return error_set(-STOA_EFORMAT, "an object lies outside its arena");
	}
	ret->data = address + where.offset;
	ret->size = where.size;
	ret->meta = where.meta_length ? address + where.offset + store_line_up(room) : NULL;
	ret->meta_length = where.meta_length;
	ret->hold[1] = where.arena | (own ? HOLD_OWN : 0);
	return 0;
}

bool client_is_spilled(const struct stoa_store *store, const void *id, uint32_t id_length)
{
	uint32_t entry;
	uint64_t state;

	return find(store, id, id_length, STORE_SEALED, &entry, &state) == CLIENT_SPILLED;
}

/* Hold it, if it is there. 0; -STOA_ENOENT; 1: not sure; CLIENT_SPILLED; STOA_TIMED_OUT: no server to ask where its bytes are. */
int client_hold(struct stoa_store *store, const void *id, uint32_t id_length, enum store_state other,
		struct stoa_object *ret_object)
{
	struct stoa_object object = {0};
	uint32_t entry, lease;
	uint64_t state;
	int rc;

	do {
		rc = find(store, id, id_length, other, &entry, &state);
		if (rc)
			return rc;
		rc = lease_take(&store->leases, entry, directory_state(&store->directory, entry), state, &lease);
	} while (rc == LEASE_CHANGED);
	if (rc < 0)
		return rc;
	rc = locate(store, entry, &object);
	if (rc) {
		lease_release(&store->leases, lease);
		return rc;
	}
	object.hold[0] = lease;
	object.hold[2] = entry;
	object.hold[3] = store_generation_of(state);
	*ret_object = object;
	return 0;
}

/* Until an object of that id is sealed, or, for WRITING, can be followed. 0: look again. */
static int wait_sealed(struct stoa_store *store, const void *id, uint32_t id_length, enum store_state other,
		       uint64_t deadline)
{
	struct store_request request = {.op = STORE_OP_WAIT,
					.id_length = (uint16_t)id_length,
					.flags = other == STORE_WRITING ? STOA_OBJECT_FOLLOWED : 0};
	struct client_bytes bytes = {.id = id};

	return client_await(store, &request, &bytes, deadline);
}

int client_check_id(const void *id, uint32_t id_length)
{
	if (id && id_length && id_length <= STOA_ID_MAX)
		return 0;
	return error_set(-STOA_EINVAL, "an id has 1 to %u bytes, not %u", STOA_ID_MAX, id_length);
}

/* What is neither there nor absent: a server was killed in the middle of it, and its successor has not come. */
static int wait_unsure(uint64_t deadline)
{
	if (os_now() >= deadline)
		return STOA_TIMED_OUT;
	client_nap(1, deadline);
	return 0;
}

/*
 * Have it brought back. 0: look again; -STOA_ENOENT: there is none any more. Without a deadline it is begun, and not waited for. There may be no room
 * for it now, which is waited for, too.
 */
static int fetch(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t deadline)
{
	struct store_request request = {.op = STORE_OP_FETCH, .id_length = (uint16_t)id_length};
	struct client_bytes bytes = {.id = id};
	int rc;

	if (!deadline) {
		client_begin(store, &request, &bytes);
		return STOA_TIMED_OUT;
	}
	for (unsigned tries = 1;; tries++) {
		rc = client_await(store, &request, &bytes, deadline);
		if (rc != -STOA_ENOMEM || os_now() >= deadline)
			return rc == 0 && os_now() >= deadline ? STOA_TIMED_OUT : rc;
		client_nap(tries < NAPS_MAX ? tries : NAPS_MAX, deadline);
	}
}

int client_refuse_hold(int rc, const void *id, uint32_t id_length)
{
	return rc == -STOA_ENOENT || rc == -STOA_ENOMEM ? client_refuse(rc, id, id_length)
							: client_refuse_told(rc, id, id_length);
}

CC_NOINLINE int client_hold_later(struct stoa_store *store, int rc, const void *id, uint32_t id_length,
				  uint64_t deadline, enum store_state other, struct stoa_object *ret_object)
{
	uint64_t patience = client_patience(deadline);

	if (client_usable(store) < 0)
		return -STOA_ECLOSED;
	for (;;) {
		if (rc == 1)
			rc = wait_unsure(patience);
		else if (rc == -STOA_ENOENT && deadline)
			rc = wait_sealed(store, id, id_length, other, deadline);
		else if (rc == CLIENT_SPILLED)
			rc = fetch(store, id, id_length, deadline);
		if (rc == -STOA_ENOENT && deadline)
			continue;
		if (rc)
			return rc < 0 ? client_refuse_hold(rc, id, id_length) : rc;
		rc = client_hold(store, id, id_length, other, ret_object);
		if (rc == 0)
			return 0;
	}
}

int stoa_store_get(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t deadline,
		   struct stoa_object *ret_object)
{
	int rc;

	if (CC_UNLIKELY(!id || !id_length || id_length > STOA_ID_MAX))
		return client_check_id(id, id_length);
	rc = client_hold(store, id, id_length, STORE_SEALED, ret_object);
	return CC_LIKELY(rc == 0) ? 0 : client_hold_later(store, rc, id, id_length, deadline, STORE_SEALED, ret_object);
}

void stoa_object_release(struct stoa_store *store, struct stoa_object *object)
{
	if (!object->data)
		return;
	if (CC_UNLIKELY(object->hold[1] & HOLD_OWN) && client_usable(store) == 0)
		client_arena_release(store, (uint32_t)object->hold[1]);
	lease_release(&store->leases, (uint32_t)object->hold[0]);
	object->data = NULL;
}

int client_find(struct stoa_store *store, const void *id, uint32_t id_length, uint32_t *ret_entry, uint64_t *ret_state)
{
	uint64_t patience = client_patience(0);
	int rc;

	while ((rc = find(store, id, id_length, STORE_SEALED, ret_entry, ret_state)) == 1) {
		rc = wait_unsure(patience);
		if (rc)
			return error_set(-STOA_EBUSY,
					 "the store's server died while it changed something near the object");
	}
	return rc == CLIENT_SPILLED ? 0 : rc;
}

int stoa_store_contains(struct stoa_store *store, const void *id, uint32_t id_length)
{
	uint64_t state;
	uint32_t entry;
	int rc = client_check_id(id, id_length);

	if (rc == 0)
		rc = client_usable(store);
	if (rc == 0)
		rc = client_find(store, id, id_length, &entry, &state);
	return rc == -STOA_ENOENT ? 0 : rc < 0 ? rc : 1;
}

static void describe(const struct directory_object *object, struct stoa_object_info *ret)
{
	bool file = object->entry.kind == STORE_FILE;

	*ret = (struct stoa_object_info){
		.id = object->id,
		.size = load_rlx(&object->entry.size),
		.made = object->entry.made,
		.id_length = object->entry.id_length,
		.meta_length = object->entry.meta_length,
		.kind = file ? (uint32_t)object->entry.offset : object->entry.kind,
		.owner = object->entry.owner,
		.access = object->entry.access,
		.reader = object->entry.reader,
		.flags = (object->entry.flags & ~STORE_COMPLETE) | (file ? STOA_OBJECT_SPILLED : 0),
	};
}

int stoa_store_list(struct stoa_store *store, int (*visit)(const struct stoa_object_info *info, void *argument),
		    void *argument)
{
	uint32_t limit = directory_limit(&store->directory);
	struct directory_object object;
	struct stoa_object_info info;
	int rc = client_usable(store);

	for (uint32_t entry = 1; rc == 0 && entry < limit; entry++) {
		uint64_t state = load_rlx(directory_state(&store->directory, entry));

		if ((store_state_of(state) != STORE_SEALED && store_state_of(state) != STORE_SPILLED) ||
		    directory_read(&store->directory, entry, state, &object))
			continue;
		describe(&object, &info);
		rc = visit(&info, argument);
	}
	return rc;
}

int stoa_store_stat(struct stoa_store *store, struct stoa_store_stat *ret_stat)
{
	store_header_stat(store->directory.header, ret_stat);
	return 0;
}
