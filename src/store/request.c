/* SPDX-License-Identifier: MIT */
/* What clients ask for: which function does it, and what they are told. */
#include <store/server.h>

#include <base/error.h>
#include <base/mutant.h>
#include <stdio.h>
#include <string.h>

/* PUT and CREATE: are kind and access what they may be? */
static bool describes_object(const struct store_request *head)
{
	bool copied = head->op == STORE_OP_PUT, region = head->kind == STORE_REGION;
	uint32_t flags = region ? STOA_ALLOCATION_KEEP | STORE_WRITABLE : STOA_OBJECT_FLAGS;

	if (head->flags & STOA_OBJECT_FOLLOWED && (head->kind != STORE_PRIVATE || head->flags & STOA_OBJECT_REPLACE))
		return false;

	return head->access <= STORE_BY_ALL && !(head->flags & ~flags) &&
	       (copied ? head->kind == STORE_IMMUTABLE : head->kind >= STORE_PRIVATE && head->kind <= STORE_REGION);
}

/* STORE_OP_ROOM and STORE_OP_WAIT may complete later: then 1. MEMORY_STEPS: see request_execute(). */
static int execute(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		   struct store_completion *ret)
{
	const struct store_request *head = &request->head;

	switch (head->op) {
	case STORE_OP_PUT: return describes_object(head) ? object_put(server, session, request, ret) : -STOA_EINVAL;
	case STORE_OP_CREATE:
		if (!describes_object(head))
			return -STOA_EINVAL;
		return head->kind == STORE_REGION ? object_allocate(server, session, request, ret)
						  : object_create(server, session, request, ret);
	case STORE_OP_GROW: return object_grow(server, session, head);
	case STORE_OP_SEAL: return object_seal(server, session, request);
	case STORE_OP_ABORT: return object_abort(server, session, head->entry, head->state);
	case STORE_OP_DELETE: return object_delete(server, session, request);
	case STORE_OP_MARK: return object_mark(server, session, request);
	case STORE_OP_SUBSCRIBE: return events_subscribe(server, session, request);
	case STORE_OP_WAIT:
	case STORE_OP_ROOM: return waiting_add(server, session, request);
	case STORE_OP_FETCH: return spill_fetch(server, session, request);
	case STORE_OP_CANCEL:
		waiting_cancel(server, session, head->of);
		object_abort_all(server, session, head->of);
		return 0;
	default: return -STOA_EINVAL;
	}
}

/*
 * The request that a dead server was doing: has it been done? An entry that it made is there, or the one that it was to change is no longer as
 * it was. What it had not come to is done now.
 */
static bool was_done(struct stoa_server *server, const struct server_session *session,
		     const struct server_request *request, struct store_completion *ret)
{
	struct server_redo redo = server->redo;
	const struct store_entry *entry;

	server->redo.key = 0;
	if (redo.key != session->key || redo.serial != request->head.serial || MUTANT(DONE_AGAIN))
		return false;
	if (redo.made) {
		object_describe(server, redo.made, ret);
		return true;
	}
	if (!redo.entry || redo.entry >= server->book.entries.reached)
		return false;
	entry = &server->book.directory.entries[redo.entry];
	return load_rlx(&entry->state) != redo.state;
}

/* Does it take room, for which others may be waiting already? What has been given some, in steps, does not. */
static bool takes_room(const struct server_session *session, const struct store_request *head)
{
	return (head->op == STORE_OP_PUT || head->op == STORE_OP_CREATE || head->op == STORE_OP_GROW) &&
	       !session->coming.arena;
}

/* Where there is more to say than the number does, its client can read it. */
static void explain(struct server_session *session, uint64_t serial)
{
	struct store_sentence *to = &session->shared->sentences[serial % SESSION_SENTENCES];
	const char *sentence = stoa_error_detail();

	if (!*sentence)
		return;
	store_rlx(&to->serial, 0);
	fence_rel(); /* R1: no serial while the text changes; pairs with A7 in call.c */
	snprintf(to->text, sizeof(to->text), "%s", sentence);
	store_rel(&to->serial, serial); /* R2: the text; pairs with A6 in call.c */
}

bool request_execute(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	struct store_completion completion = {.serial = request->head.serial};

	if (MUTANT(DONE_OVERWRITTEN))
		journal_request(server->journal, session->key, request->head.serial);
	/* What the journal says of a request that was done must stay, should this server die before it has moved on. */
	if (!server->redo.key || !was_done(server, session, request, &completion)) {
		journal_request(server->journal, session->key, request->head.serial);
		error_forget();
		completion.result = takes_room(session, &request->head) && !spill_is_turn(server, &session->turn)
					    ? SERVER_LATER
					    : execute(server, session, request, &completion);
	}
	if (completion.result == SERVER_LATER) {
		spill_wait_turn(server, &session->turn);
		return false;
	}
	if (completion.result == MEMORY_STEPS) {
		session->turn.rooms = server->rooms - 1; /* if it has waited: it need not any longer */
		return false;
	}
	server->tally.requests[request->head.op % CC_COUNT(server->tally.requests)]++;
	spill_end_turn(server, &session->turn);
	memory_drop_coming(server, &session->coming);
	if (CC_UNLIKELY(completion.result < 0))
		explain(session, request->head.serial);
	if (completion.result <= 0)
		session_complete(session, &completion);
	/* Whoever waits for room may have it now; not in the middle of what made it. */
	if (server->room_came) {
		server->room_came = false;
		waiting_room(server);
	}
	return true;
}
