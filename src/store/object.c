/* SPDX-License-Identifier: MIT */
/*
 * Objects, on the server: made, sealed, replaced, deleted.
 *
 * Each call changes what clients see with one store: the place of an id, or an entry's state.
 */
#include <store/object_parts.h>

#include <base/error.h>
#include <string.h>

#define DIRECTORY_ROOM (UINT64_C(64) << 10) /* what an entry may need */

/* SEALED, or SPILLED: to its clients the same. */
static bool object_is_whole(const struct stoa_server *server, uint32_t entry)
{
	enum store_state state = store_state_of(load_rlx(&object_entry(server, entry)->state));

	return state == STORE_SEALED || state == STORE_SPILLED;
}

int object_find(const struct stoa_server *server, const struct server_request *request, uint32_t *ret_entry)
{
	uint32_t entry = directory_lookup(&server->book, request->id, request->head.id_length);

	if (!entry || !object_is_whole(server, entry))
		return -STOA_ENOENT;
	*ret_entry = entry;
	return 0;
}

int object_may_make(struct stoa_server *server, const struct server_session *session, const uint8_t *id,
		    uint32_t id_length, uint32_t entry, uint32_t flags, uint32_t *ret_old)
{
	*ret_old = directory_lookup(&server->book, id, id_length);
	if (*ret_old == entry)
		*ret_old = 0;
	if (!*ret_old)
		return 0;
	/* One that is followed is its maker's as long as it is made. */
	if (!(flags & STOA_OBJECT_REPLACE) || !object_is_whole(server, *ret_old))
		return -STOA_EEXIST;
	if (!object_may_delete(session, object_entry(server, *ret_old)))
		return -STOA_EACCES;
	return object_dying_room(server);
}

struct server_class object_class(const struct server_session *session, const struct store_request *head)
{
	return (struct server_class){
		.kind = head->kind,
		.owner = session->peer.user,
		.access = head->access,
		.reader = head->access == STORE_BY_USER || head->access == STORE_BY_GROUP ? head->reader : 0,
		.writer = head->kind == STORE_IMMUTABLE ? 0 : session->key};
}

void object_fill_entry(const struct stoa_server *server, const struct server_session *session,
		       const struct store_request *head, const struct server_arena *arena, struct store_entry *fields)
{
	fields->arena = arena->number;
	store_rlx(&fields->size, fields->room);
	fields->owner = arena->class.owner;
	fields->access = arena->class.access;
	fields->reader = arena->class.reader;
	store_rlx(&fields->flags, head->flags);
	fields->session = object_session_tag(session);
	fields->serial = head->serial;
	fields->made = server->date;
}

/* Without entries of its own the server could move nothing any more. */
static int enter_one(struct stoa_server *server, const struct server_request *request, const struct store_entry *fields,
		     uint32_t *ret_entry)
{
	if (server->spill && directory_left(&server->book) <= SPILL_ENTRIES)
		return error_set(-STOA_ELIMIT, "the store has no room for more objects: there are %u",
				 server->options.objects);
	return directory_enter(&server->book, request->id, request->head.id_length, fields, ret_entry);
}

int object_enter(struct stoa_server *server, const struct server_request *request, const struct store_entry *fields,
		 uint32_t *ret_entry)
{
	int rc;

	do {
		rc = enter_one(server, request, fields, ret_entry);
		if (rc != -STOA_ENOMEM && rc != -STOA_ELIMIT)
			return rc;
		if (object_reap(server))
			continue;
		if (rc == -STOA_ENOMEM && spill_some(server, DIRECTORY_ROOM))
			return SERVER_LATER;
		if (!object_evict(server))
			return rc;
	} while (true);
}

/* ---- making ---- */

/* Room and an entry for what is asked for, WRITING. MEMORY_STEPS: not yet. */
static int enter(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		 uint32_t *ret_entry)
{
	const struct store_request *head = &request->head;
	struct server_class class = object_class(session, head);
	uint64_t meta_length = head->op == STORE_OP_CREATE ? head->of : head->meta_length;
	struct store_entry fields = {.kind = head->kind, .meta_length = (uint16_t)meta_length};
	struct server_arena *arena;
	int rc;

	if (meta_length > STOA_META_MAX)
		return -STOA_EINVAL;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	fields.extent = store_extent(head->size, fields.meta_length);
	if (head->kind == STORE_OWN) /* so that what it costs is charged */
		fields.extent = (fields.extent + OS_PAGE - 1) & ~(OS_PAGE - 1);
	rc = account_charge(server, session, fields.extent);
	if (rc < 0)
		return rc;
	rc = memory_take(server, &session->coming, &class, fields.extent, &arena, &fields.offset);
	if (rc)
		goto refund;
	fields.room = head->size;
	object_fill_entry(server, session, head, arena, &fields);
	rc = object_enter(server, request, &fields, ret_entry);
	if (rc == 0)
		return 0;
	memory_give(server, arena, fields.offset, fields.extent);
refund:
	account_refund(server, session, session->peer.user, fields.extent);
	return rc;
}

int object_publish(struct stoa_server *server, uint32_t number, uint32_t old, uint64_t size)
{
	uint32_t length;
	const uint8_t *id;
	int rc = 0;

	/* What was placed by a server that died before it was sealed has its place. */
	if (!old && !directory_has_place(&server->book, number))
		rc = directory_place(&server->book, number);
	if (rc < 0)
		return rc;
	events_before(server, STOA_EVENT_SEALED, number, old);
	directory_seal(&server->book, number, size);
	if (old)
		directory_hand_over(&server->book, old, number);
	directory_set_flags(&server->book, number, object_entry(server, number)->flags & ~STOA_OBJECT_REPLACE);
	evict_used(server, number);
	server_count(&server->header->objects, 1);
	server_count(&server->header->puts, 1);
	if (old)
		object_end_with_room(server, old, 0);
	events_after(server);
	id = directory_id(&server->book, number, &length);
	waiting_sealed(server, id, length);
	return 0;
}

void object_describe(const struct stoa_server *server, uint32_t number, struct store_completion *ret)
{
	const struct store_entry *entry = object_entry(server, number);

	ret->entry = number;
	ret->state = load_rlx(&entry->state);
	ret->arena = entry->arena;
	ret->offset = entry->offset;
	ret->size = load_rlx(&server->book.directory.arenas[entry->arena].generation);
}

static void fill_extent(struct stoa_server *server, uint32_t number, const struct server_request *request)
{
	const struct store_entry *entry = object_entry(server, number);
	unsigned char *at = server->arenas[entry->arena]->address + entry->offset;
	struct store_tail *tail;

	memcpy(at, request->data, request->head.size);
	at += store_line_up(request->head.size);
	memcpy(at, request->meta, request->head.meta_length);
	tail = (struct store_tail *)(void *)(at + store_line_up(request->head.meta_length));
	store_rlx(&tail->length, request->head.size);
}

int object_put(struct stoa_server *server, struct server_session *session, const struct server_request *request,
	       struct store_completion *ret)
{
	uint32_t number, old;
	int rc = object_may_make(server, session, request->id, request->head.id_length, 0, request->head.flags, &old);

	if (rc == 0)
		rc = enter(server, session, request, &number);
	if (rc)
		return rc;
	/* Room for it may have been made of the one that it replaces. */
	if (old)
		old = directory_lookup(&server->book, request->id, request->head.id_length);
	rc = old ? object_dying_room(server) : 0;
	if (rc == 0) {
		fill_extent(server, number, request);
		rc = object_publish(server, number, old, request->head.size);
	}
	if (rc < 0) {
		object_undo(server, number);
		return rc;
	}
	object_describe(server, number, ret);
	return 0;
}

int object_create(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		  struct store_completion *ret)
{
	uint32_t number, old;
	int rc = object_may_make(server, session, request->id, request->head.id_length, 0, request->head.flags, &old);

	if (rc == 0 && session->draft_count == SERVER_DRAFTS)
		rc = error_set(-STOA_ELIMIT, "a client may make %u objects at a time", SERVER_DRAFTS);
	if (rc == 0)
		rc = enter(server, session, request, &number);
	if (rc)
		return rc;
	/* So that it is found while it is made. */
	if (request->head.flags & STOA_OBJECT_FOLLOWED)
		rc = directory_place(&server->book, number);
	if (rc < 0) {
		object_undo(server, number);
		return rc;
	}
	session->drafts[session->draft_count++] = number;
	object_describe(server, number, ret);
	if (request->head.flags & STOA_OBJECT_FOLLOWED)
		waiting_sealed(server, request->id, request->head.id_length);
	return 0;
}

/* It is none any more. */
static void forget_draft(struct server_session *session, uint32_t number)
{
	for (uint32_t i = 0; i < session->draft_count; i++)
		if (session->drafts[i] == number) {
			session->drafts[i] = session->drafts[--session->draft_count];
			return;
		}
}

/* Is that an entry which the session makes? */
static bool is_draft(const struct stoa_server *server, const struct server_session *session, uint32_t number,
		     uint64_t state)
{
	const struct store_entry *entry;

	if (!number || number >= server->book.entries.reached || store_state_of(state) != STORE_WRITING)
		return false;
	entry = object_entry(server, number);
	return load_rlx(&entry->state) == state && entry->session == object_session_tag(session) && entry->serial;
}

int object_abort(struct stoa_server *server, struct server_session *session, uint32_t number, uint64_t state)
{
	bool followed;

	if (!is_draft(server, session, number, state))
		return -STOA_ENOENT;
	followed = directory_has_place(&server->book, number);
	if (followed && object_dying_room(server) < 0)
		return -STOA_ENOMEM;
	forget_draft(session, number);
	journal_change(server->journal, number, state);
	if (followed) /* somebody may hold it */
		object_hide(server, number);
	else
		object_undo(server, number);
	return 0;
}

int object_seal(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	const struct store_request *head = &request->head;
	struct store_entry *entry;
	const uint8_t *id;
	uint32_t length, old;
	int rc;

	if (!is_draft(server, session, head->entry, head->state))
		return -STOA_ENOENT;
	entry = object_entry(server, head->entry);
	if (head->size > entry->room)
		return -STOA_ERANGE;
	id = directory_id(&server->book, head->entry, &length);
	rc = object_may_make(server, session, id, length, head->entry, entry->flags, &old);
	if (rc == 0 && entry->kind == STORE_OWN)
		rc = memory_seal(server, server->arenas[entry->arena]);
	if (rc == 0) {
		journal_change(server->journal, head->entry, head->state);
		rc = object_publish(server, head->entry, old, head->size);
	}
	if (rc == 0)
		forget_draft(session, head->entry);
	else if (rc == -STOA_EEXIST || rc == -STOA_EACCES) /* it never can be; else its maker may try again */
		(void)object_abort(server, session, head->entry, head->state);
	return rc;
}

void object_abort_all(struct stoa_server *server, struct server_session *session, uint64_t serial)
{
	for (uint32_t i = session->draft_count; i--;) {
		const struct store_entry *entry = object_entry(server, session->drafts[i]);

		if (!serial || entry->serial == serial)
			(void)object_abort(server, session, session->drafts[i], load_rlx(&entry->state));
	}
}

int object_mark(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint32_t number;
	int rc = object_find(server, request, &number);

	if (rc == 0 && !object_may_delete(session, object_entry(server, number)))
		rc = -STOA_EACCES;
	if (rc == 0 && request->head.flags & ~STOA_OBJECT_PINNED)
		rc = -STOA_EINVAL;
	if (rc == 0)
		directory_set_flags(&server->book, number,
				    (load_rlx(&object_entry(server, number)->flags) & ~STOA_OBJECT_PINNED) |
					    request->head.flags);
	return rc;
}

int object_delete(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint32_t number;
	int rc = object_find(server, request, &number);

	/* Who names an entry means that one, not what has its id since. */
	if (rc == 0 && request->head.entry &&
	    (request->head.entry != number || request->head.state != load_rlx(&object_entry(server, number)->state)))
		rc = -STOA_ENOENT;
	if (rc == 0 && !object_may_delete(session, object_entry(server, number)))
		rc = -STOA_EACCES;
	if (rc == 0)
		rc = object_dying_room(server);
	if (rc < 0)
		return rc;
	journal_change(server->journal, number, load_rlx(&object_entry(server, number)->state));
	object_end_with_room(server, number, STOA_EVENT_DELETED);
	server_count(&server->header->deletes, 1);
	waiting_fetched(server, request->id, request->head.id_length, -STOA_ENOENT);
	return 0;
}
