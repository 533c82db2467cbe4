/* SPDX-License-Identifier: MIT */
/*
 * Memory that is handed out and is no object: each has an arena of its own, and is committed as far as it has grown.
 */
#include <store/object_parts.h>

int object_allocate(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		    struct store_completion *ret)
{
	const struct store_request *head = &request->head;
	struct server_class class = object_class(session, head);
	struct store_entry fields = {.kind = STORE_REGION, .room = head->of, .extent = head->of};
	struct server_arena *arena;
	uint32_t number, old;
	int rc = object_may_make(server, session, request->id, head->id_length, 0, 0, &old);

	if (rc < 0)
		return rc;
	if (!head->size || head->size > head->of || head->of > STOA_MANAGER_RESERVE_MAX ||
	    (head->size | head->of) % OS_PAGE)
		return -STOA_EINVAL;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	rc = object_dying_room(server);
	if (rc == 0)
		rc = account_charge(server, session, head->size);
	if (rc < 0)
		return rc;
	rc = memory_take_region(server, &session->coming, &class, head->size, head->of, &arena);
	if (rc)
		goto refund;
	arena->writable = head->flags & STORE_WRITABLE;
	object_fill_entry(server, session, head, arena, &fields);
	store_rlx(&fields.size, head->size); /* what is committed, and charged, from the beginning */
	rc = object_enter(server, request, &fields, &number);
	if (rc < 0) {
		memory_give(server, arena, 0, head->of);
		goto refund;
	}
	rc = object_publish(server, number, 0, head->size);
	if (rc < 0) {
		object_undo(server, number);
		return rc;
	}
	if (!(head->flags & STOA_ALLOCATION_KEEP))
		session->regions++;
	object_describe(server, number, ret);
	return 0;
refund:
	account_refund(server, session, session->peer.user, head->size);
	return rc;
}

int object_grow(struct stoa_server *server, struct server_session *session, const struct store_request *head)
{
	struct store_entry *entry;
	struct server_arena *arena;
	uint64_t more, length;
	int rc;

	if (!head->entry || head->entry >= server->book.entries.reached)
		return -STOA_ENOENT;
	entry = object_entry(server, head->entry);
	if (load_rlx(&entry->state) != head->state || store_state_of(head->state) != STORE_SEALED)
		return -STOA_ENOENT;
	arena = server->arenas[entry->arena];
	if (entry->kind != STORE_REGION || head->size > entry->room || head->size % OS_PAGE)
		return -STOA_EINVAL;
	if (arena->class.writer != session->key &&
	    !(arena->writable && object_may_read(session, entry->owner, entry->access, entry->reader)))
		return -STOA_ERIGHTS;
	if (head->size <= load_rlx(&entry->size))
		return 0;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	more = head->size - load_rlx(&entry->size);
	rc = account_charge_for(server, object_maker(server, entry), entry->owner, more);
	if (rc < 0)
		return rc;
	/* Each step is one of growing, which is told and charged: so a long one can end anywhere. */
	rc = memory_grow(server, arena, head->size, &length);
	if (rc < 0)
		length = head->size - more;
	account_refund(server, object_maker(server, entry), entry->owner, head->size - length);
	if (rc < 0)
		return rc;
	directory_grow(&server->book, head->entry, length);
	return length < head->size ? MEMORY_STEPS : 0;
}

void object_end_regions(struct stoa_server *server, struct server_session *session)
{
	uint32_t tag = object_session_tag(session);

	for (uint32_t i = 1; session->regions && i < server->book.entries.reached; i++) {
		const struct store_entry *entry = object_entry(server, i);

		if (store_state_of(load_rlx(&entry->state)) == STORE_SEALED && entry->kind == STORE_REGION &&
		    entry->session == tag && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP) &&
		    object_dying_room(server) == 0)
			object_end_with_room(server, i, 0);
	}
}
