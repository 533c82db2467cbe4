/* SPDX-License-Identifier: MIT */
/* What asks the server: making objects, and deleting them. */
#include <store/client.h>

#include <base/error.h>
#include <os/local.h>
#include <stoa/store.h>
#include <string.h>

#define AUTO_COPIED UINT64_C(4096) /* up to here the server's copy costs less than room in an arena of one's own */
#define NAPS_MAX 50u
#define PUTS_AT_A_TIME 256u
#define PUTS_PER_RING 16u /* the server begins while the rest is asked for */

static const struct stoa_object_options no_options;

/* ---- what is asked for ---- */

static int check(const struct stoa_store *store, const void *id, uint32_t id_length, uint64_t size,
		 const struct stoa_object_options *options)
{
	int rc = client_usable(store);

	if (rc < 0)
		return rc;
	if (!id || !id_length || id_length > STOA_ID_MAX)
		return error_set(-STOA_EINVAL, "an id has 1 to %u bytes, not %u", STOA_ID_MAX, id_length);
	if (size > STOA_OBJECT_MAX)
		return error_set(-STOA_ERANGE, "an object has 1TiB at most");
	if (options->kind > STOA_OBJECT_SEALED || options->access > STOA_ACCESS_ALL)
		return error_set(-STOA_EINVAL, "no such kind (%u) or access (%u)", options->kind, options->access);
	if (options->flags & ~(uint32_t)STOA_OBJECT_FLAGS)
		return error_set(-STOA_EINVAL, "no such flags: 0x%x", options->flags & ~(uint32_t)STOA_OBJECT_FLAGS);
	if (options->meta_length > STOA_META_MAX || (options->meta_length && !options->meta))
		return error_set(-STOA_EINVAL, "metadata has at most %u bytes", STOA_META_MAX);
	if (options->flags & STOA_OBJECT_FOLLOWED &&
	    (options->flags & STOA_OBJECT_REPLACE || (options->kind && options->kind != STOA_OBJECT_PRIVATE)))
		return error_set(-STOA_EINVAL, "only private objects that replace nothing can be followed");
	if (options->kind == STOA_OBJECT_COPIED && size > SESSION_COPY_MAX)
		return error_set(-STOA_EINVAL, "copied objects have at most 64KiB");
	return 0;
}

static uint8_t kind_of(const struct stoa_object_options *options, uint64_t size)
{
	switch (options->kind) {
	case STOA_OBJECT_COPIED: return STORE_IMMUTABLE;
	case STOA_OBJECT_PRIVATE: return STORE_PRIVATE;
	case STOA_OBJECT_SEALED: return STORE_OWN;
	default: return size <= AUTO_COPIED ? STORE_IMMUTABLE : STORE_PRIVATE;
	}
}

static struct store_request request_for(enum store_op op, uint32_t id_length, uint64_t size, uint8_t kind,
					const struct stoa_object_options *options)
{
	return (struct store_request){.op = (uint16_t)op,
				      .id_length = (uint16_t)id_length,
				      .size = size,
				      .flags = options->flags,
				      .kind = kind,
				      .access = (uint8_t)options->access,
				      .reader = options->reader};
}

/* Wait until there may be room for `size` bytes. */
static int wait_for_room(struct stoa_store *store, uint64_t size, uint64_t deadline)
{
	struct store_request request = {.op = STORE_OP_ROOM, .size = size};

	return client_await(store, &request, &(struct client_bytes){0}, deadline);
}

int client_ask_for_room(struct stoa_store *store, struct store_request *request, const struct client_bytes *bytes,
			uint64_t deadline, struct store_completion *ret)
{
	int rc;

	for (unsigned tries = 0;; tries++) {
		rc = client_call(store, request, bytes, ret, client_patience(deadline));
		if (rc != -STOA_ENOMEM || os_now() >= deadline)
			return rc;
		/* There may be as much as that, and yet no such object: not in one piece, or not where the server needs it. */
		if (tries)
			client_nap(tries < NAPS_MAX ? tries : NAPS_MAX, deadline);
		rc = wait_for_room(store, request->size, deadline);
		if (rc)
			return rc;
	}
}

/* ---- made in place ---- */

enum { DRAFT_ENTRY, DRAFT_STATE, DRAFT_ARENA, DRAFT_OWN };

static int place_draft(struct stoa_store *store, const struct store_completion *made, bool own,
		       const struct stoa_object_options *options, struct stoa_draft *draft)
{
	unsigned char *address;
	uint64_t size;
	int rc = client_arena(store, made->arena, own, &address, &size);

	if (rc)
		return rc;
	if (made->offset > size || store_extent(draft->room, options->meta_length) > size - made->offset) {
		if (own)
			client_arena_release(store, made->arena);
		return error_set(-STOA_EFORMAT, "room that lies outside its arena");
	}
	draft->data = address + made->offset;
	draft->hold[DRAFT_ENTRY] = made->entry;
	draft->hold[DRAFT_STATE] = made->state;
	draft->hold[DRAFT_ARENA] = made->arena;
	draft->hold[DRAFT_OWN] = own;
	draft->tail =
		address + made->offset + store_extent(draft->room, options->meta_length) - sizeof(struct store_tail);
	follow_begin(draft->tail);
	if (options->meta_length)
		memcpy(address + made->offset + store_line_up(draft->room), options->meta, options->meta_length);
	return 0;
}

static void tell_abort(struct stoa_store *store, uint64_t entry, uint64_t state)
{
	client_tell(store, &(struct store_request){.op = STORE_OP_ABORT, .entry = (uint32_t)entry, .state = state});
}

/* A descriptor of the memory of a draft of its own, which has `extent` bytes at least. */
static int fetch_own(struct stoa_store *store, uint32_t arena, uint64_t extent, os_handle *ret_memory)
{
	bool writable;
	int rc = client_fetch(store, arena, ret_memory, &writable);

	if (rc == 0 && os_memory_length(*ret_memory) < extent) {
		os_handle_close(*ret_memory);
		rc = error_set(-STOA_EFORMAT, "memory of an object that is shorter than that");
	}
	return rc;
}

/* Its pages are this process's to make: so nobody else waits for that. The server has counted them. */
static int back_own(struct stoa_store *store, const struct store_completion *made, uint64_t extent)
{
	struct os_extent all = {.in_memory = true, .cannot_shrink = true, .huge = OS_HUGE_NEVER};
	uint64_t done;
	int rc = fetch_own(store, made->arena, extent, &all.memory);

	if (rc)
		return rc;
	rc = os_commit(&all, 0, (extent + OS_PAGE - 1) & ~(OS_PAGE - 1), &done);
	os_handle_close(all.memory);
	return rc;
}

/* Nobody can write it from now on. The server looks whether that is so; to seal may take long, as pages may be under way somewhere. */
static int seal_own(os_handle memory)
{
	return os_memory_seals(memory) & OS_SEAL_WRITE ? 0 : os_memory_seal(memory, OS_SEAL_WRITE);
}

static int seal_draft(struct stoa_store *store, const struct stoa_draft *draft)
{
	os_handle memory;
	int rc = fetch_own(store, (uint32_t)draft->hold[DRAFT_ARENA], draft->room, &memory);

	if (rc)
		return rc;
	rc = seal_own(memory);
	os_handle_close(memory);
	return rc;
}

static int create(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t room, uint8_t kind,
		  const struct stoa_object_options *options, struct stoa_draft *ret_draft)
{
	struct store_request request = request_for(STORE_OP_CREATE, id_length, room, kind, options);
	struct client_bytes bytes = {.id = id};
	struct stoa_draft draft = {.room = room};
	struct store_completion made;
	int rc;

	request.of = options->meta_length;
	rc = client_ask_for_room(store, &request, &bytes, options->deadline, &made);
	if (rc)
		return rc < 0 ? client_refuse_told(rc, id, id_length) : rc;
	rc = kind == STORE_OWN ? back_own(store, &made, store_extent(room, options->meta_length)) : 0;
	if (rc == 0)
		rc = place_draft(store, &made, kind == STORE_OWN, options, &draft);
	if (rc) {
		tell_abort(store, made.entry, made.state);
		return rc;
	}
	*ret_draft = draft;
	return 0;
}

int stoa_store_create(struct stoa_store *store, const void *id, uint32_t id_length, uint64_t room,
		      const struct stoa_object_options *options, struct stoa_draft *ret_draft)
{
	int rc;

	options = options ? options : &no_options;
	rc = check(store, id, id_length, room, options);
	if (rc < 0)
		return rc;
	if (options->kind == STOA_OBJECT_COPIED)
		return error_set(-STOA_EINVAL, "copied objects are made by put");
	return create(store, id, id_length, room, options->kind == STOA_OBJECT_SEALED ? STORE_OWN : STORE_PRIVATE,
		      options, ret_draft);
}

/* The maker's map of an object of its own goes before it is sealed. */
static void leave(struct stoa_store *store, struct stoa_draft *draft)
{
	if (draft->hold[DRAFT_OWN] && draft->data)
		client_arena_release(store, (uint32_t)draft->hold[DRAFT_ARENA]);
	draft->data = NULL;
}

int stoa_draft_seal(struct stoa_store *store, struct stoa_draft *draft, uint64_t size)
{
	struct store_request request = {.op = STORE_OP_SEAL,
					.entry = (uint32_t)draft->hold[DRAFT_ENTRY],
					.state = draft->hold[DRAFT_STATE],
					.size = size};
	struct store_completion sealed;
	int rc = client_usable(store);

	if (rc < 0)
		return rc;
	if (size > draft->room)
		return error_set(-STOA_ERANGE, "the object has room for less than is to be sealed");
	leave(store, draft);
	if (draft->hold[DRAFT_OWN])
		rc = seal_draft(store, draft);
	if (rc == -STOA_ENOENT) /* its memory is gone: the server says why */
		rc = 0;
	if (rc == 0)
		rc = client_call(store, &request, &(struct client_bytes){0}, &sealed, client_patience(0));
	return rc < 0 ? error_prefix(rc, "the object cannot be sealed") : rc;
}

void stoa_draft_abort(struct stoa_store *store, struct stoa_draft *draft)
{
	if (client_usable(store) < 0)
		return;
	leave(store, draft);
	tell_abort(store, draft->hold[DRAFT_ENTRY], draft->hold[DRAFT_STATE]);
}

/* ---- put ---- */

/* Metadata and tail, which are in the object's last pages: so all of them are written. */
static int write_end(os_handle memory, uint64_t size, const struct stoa_object_options *options)
{
	unsigned char end[STOA_META_MAX + STORE_LINE + sizeof(struct store_tail)] = {0};
	uint64_t from = store_line_up(size);

	if (options->meta_length)
		memcpy(end, options->meta, options->meta_length);
	return os_memory_write(memory, from, end, store_extent(size, options->meta_length) - from);
}

/*
 * Through the descriptor, not a map: the system makes the pages as they are written, and so clears none of them before, and nothing is touched
 * for the first time.
 */
static int fill_own(os_handle memory, const void *data, uint64_t size, const struct stoa_object_options *options)
{
	struct os_extent extent = {.memory = memory, .in_memory = true, .cannot_shrink = true};
	uint64_t length = os_memory_length(memory);
	int rc = os_commit_allowed(&extent, 0, length);

	if (rc == 0)
		rc = os_memory_write(memory, 0, data, size);
	if (rc == 0)
		rc = write_end(memory, size, options);
	return rc < 0 ? rc : seal_own(memory);
}

static int put_own(struct stoa_store *store, const void *id, uint32_t id_length, const void *data, uint64_t size,
		   const struct stoa_object_options *options)
{
	struct store_request request = request_for(STORE_OP_CREATE, id_length, size, STORE_OWN, options);
	struct client_bytes bytes = {.id = id};
	struct store_completion made, sealed;
	os_handle memory;
	int rc;

	request.of = options->meta_length;
	rc = client_ask_for_room(store, &request, &bytes, options->deadline, &made);
	if (rc)
		return rc < 0 ? client_refuse(rc, id, id_length) : rc;
	rc = fetch_own(store, made.arena, store_extent(size, options->meta_length), &memory);
	if (rc == 0) {
		rc = fill_own(memory, data, size, options);
		os_handle_close(memory);
	}
	request = (struct store_request){.op = STORE_OP_SEAL, .entry = made.entry, .state = made.state, .size = size};
	if (rc == 0)
		rc = client_call(store, &request, &(struct client_bytes){0}, &sealed, client_patience(0));
	if (rc)
		tell_abort(store, made.entry, made.state);
	return rc < 0 ? client_refuse(rc, id, id_length) : rc;
}

static int put_in_place(struct stoa_store *store, const void *id, uint32_t id_length, const void *data, uint64_t size,
			const struct stoa_object_options *options)
{
	struct stoa_draft draft;
	int rc = create(store, id, id_length, size, STORE_PRIVATE, options, &draft);

	if (rc)
		return rc;
	if (size)
		memcpy(draft.data, data, size);
	rc = stoa_draft_seal(store, &draft, size);
	if (rc)
		stoa_draft_abort(store, &draft); /* what was not sealed, or never will be */
	return rc < 0 ? client_refuse_told(rc, id, id_length) : rc;
}

int stoa_store_put(struct stoa_store *store, const void *id, uint32_t id_length, const void *data, uint64_t size,
		   const struct stoa_object_options *options)
{
	struct client_bytes bytes = {.id = id, .data = data, .data_length = size};
	struct store_completion made;
	struct store_request request;
	uint8_t kind;
	int rc;

	options = options ? options : &no_options;
	rc = check(store, id, id_length, size, options);
	if (rc < 0)
		return rc;
	kind = kind_of(options, size);
	if (kind == STORE_OWN)
		return put_own(store, id, id_length, data, size, options);
	if (kind != STORE_IMMUTABLE)
		return put_in_place(store, id, id_length, data, size, options);
	bytes.meta = options->meta;
	request = request_for(STORE_OP_PUT, id_length, size, kind, options);
	request.meta_length = (uint16_t)options->meta_length;
	rc = client_ask_for_room(store, &request, &bytes, options->deadline, &made);
	return rc < 0 ? client_refuse_told(rc, id, id_length) : rc;
}

/* Ask for one of several. Those that are not small, or find no room, go one by one. */
static int start_put(struct stoa_store *store, const struct stoa_put *put, const struct stoa_object_options *options,
		     uint64_t patience, struct client_call *call)
{
	struct client_bytes bytes = {put->id, options->meta, put->data, put->size};
	struct store_request request = request_for(STORE_OP_PUT, put->id_length, put->size, STORE_IMMUTABLE, options);

	request.meta_length = (uint16_t)options->meta_length;
	return client_ask(store, &request, &bytes, call, patience);
}

/* Puts under way. The oldest is waited for when there are as many as may be; so the server never runs out of work meanwhile. */
struct flight {
	struct stoa_store *store;
	const struct stoa_object_options *options;
	uint64_t patience;
	int first; /* result that is not 0 */
	struct client_call calls[PUTS_AT_A_TIME];
	bool asked[PUTS_AT_A_TIME];
};

static void begin_put(struct flight *flight, struct stoa_put *put, uint32_t place)
{
	struct stoa_store *store = flight->store;
	const struct stoa_object_options *options = flight->options;

	flight->asked[place] = false;
	put->result = check(store, put->id, put->id_length, put->size, options);
	if (put->result < 0)
		return;
	if (kind_of(options, put->size) != STORE_IMMUTABLE) {
		put->result = stoa_store_put(store, put->id, put->id_length, put->data, put->size, options);
		return;
	}
	put->result = start_put(store, put, options, flight->patience, &flight->calls[place]);
	flight->asked[place] = put->result == 0;
}

static void end_put(struct flight *flight, struct stoa_put *put, uint32_t place)
{
	uint64_t deadline = flight->options->deadline;

	if (flight->asked[place])
		put->result = client_wait(flight->store, &flight->calls[place], 0, flight->patience);
	if (put->result == -STOA_ENOMEM && deadline && os_now() < deadline)
		put->result =
			stoa_store_put(flight->store, put->id, put->id_length, put->data, put->size, flight->options);
	if (put->result && !flight->first)
		flight->first =
			put->result < 0 ? client_refuse_told(put->result, put->id, put->id_length) : put->result;
}

int stoa_store_put_many(struct stoa_store *store, struct stoa_put *puts, uint32_t count,
			const struct stoa_object_options *options)
{
	struct flight flight = {.store = store, .options = options ? options : &no_options};
	uint32_t ended = 0;
	int before = os_cancel_hold();

	for (uint32_t i = 0; i < count; i++) {
		if (i % PUTS_PER_RING == 0)
			flight.patience = client_patience(flight.options->deadline);
		for (; i - ended == PUTS_AT_A_TIME; ended++)
			end_put(&flight, &puts[ended], ended % PUTS_AT_A_TIME);
		begin_put(&flight, &puts[i], i % PUTS_AT_A_TIME);
		if (i % PUTS_PER_RING == PUTS_PER_RING - 1)
			client_ring(store);
	}
	client_ring(store);
	flight.patience = client_patience(flight.options->deadline);
	for (; ended < count; ended++)
		end_put(&flight, &puts[ended], ended % PUTS_AT_A_TIME);
	os_cancel_again(before);
	return flight.first;
}

static int mark(struct stoa_store *store, const void *id, uint32_t id_length, uint32_t flags)
{
	struct store_request request = {.op = STORE_OP_MARK, .id_length = (uint16_t)id_length, .flags = flags};
	struct client_bytes bytes = {.id = id};
	struct store_completion marked;
	int rc = check(store, id, id_length, 0, &no_options);

	if (rc < 0)
		return rc;
	rc = client_call(store, &request, &bytes, &marked, client_patience(0));
	return rc < 0 ? client_refuse_told(rc, id, id_length) : rc;
}

int stoa_store_pin(struct stoa_store *store, const void *id, uint32_t id_length)
{
	return mark(store, id, id_length, STOA_OBJECT_PINNED);
}

int stoa_store_unpin(struct stoa_store *store, const void *id, uint32_t id_length)
{
	return mark(store, id, id_length, 0);
}

int stoa_store_delete(struct stoa_store *store, const void *id, uint32_t id_length)
{
	struct store_request request = {.op = STORE_OP_DELETE, .id_length = (uint16_t)id_length};
	struct client_bytes bytes = {.id = id};
	struct store_completion gone;
	int rc = check(store, id, id_length, 0, &no_options);

	if (rc < 0)
		return rc;
	rc = client_call(store, &request, &bytes, &gone, client_patience(0));
	return rc < 0 ? client_refuse_told(rc, id, id_length) : rc;
}
