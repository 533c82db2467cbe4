/* SPDX-License-Identifier: MIT */
/*
 * Freeing. What is DYING has no place any more; it is freed when a look at all leases, after a barrier on all clients, finds it in none
 * (object_reap()).
 */
#include <store/object_parts.h>

#include <string.h>

int object_dying_room(struct stoa_server *server)
{
	uint32_t room = server->dying_room ? server->dying_room * 2 : 1024, *more;

	if (server->dying_count < server->dying_room)
		return 0;
	more = os_allocate(room * sizeof(*more));
	if (!more)
		return -STOA_ENOMEM;
	if (server->dying_count)
		memcpy(more, server->dying, server->dying_count * sizeof(*more));
	os_free(server->dying);
	server->dying = more;
	server->dying_room = room;
	return 0;
}

void object_free(struct stoa_server *server, uint32_t number)
{
	struct store_entry *entry = object_entry(server, number);
	struct server_arena *arena = server->arenas[entry->arena];
	uint64_t offset = entry->offset, extent = entry->extent;
	bool file = entry->kind == STORE_FILE;

	if (file)
		spill_forget(server, number);
	account_refund(server, object_maker(server, entry), entry->owner, account_size_of(entry));
	directory_free(&server->book, number);
	if (!file)
		memory_give(server, arena, offset, extent);
}

void object_hide(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);
	uint32_t flags = load_rlx(&entry->flags);

	if (store_state_of(load_rlx(&entry->state)) == STORE_SPILLED)
		server_count(&server->header->spilled, UINT64_MAX);
	if (flags & STOA_OBJECT_FOLLOWED && store_state_of(load_rlx(&entry->state)) == STORE_SEALED)
		directory_set_flags(&server->book, number, flags | STORE_COMPLETE);
	directory_set_state(&server->book, number, STORE_DYING);
	directory_remove(&server->book, number);
	server->dying[server->dying_count++] = number;
}

void object_undo(struct stoa_server *server, uint32_t number)
{
	directory_set_state(&server->book, number, STORE_DYING);
	object_free(server, number);
}

void object_end_with_room(struct stoa_server *server, uint32_t number, uint32_t what)
{
	const struct store_entry *entry = object_entry(server, number);
	struct server_session *maker = object_maker(server, entry);

	if (maker && entry->kind == STORE_REGION && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP))
		maker->regions--;
	if (what)
		events_before(server, what, number, 0);
	object_hide(server, number);
	server_count(&server->header->objects, UINT64_MAX);
	if (what)
		events_after(server);
}

/* Leases are their client's to write. Of what it may not read it holds nothing, so it cannot keep that from being freed. */
bool object_may_hold(const struct stoa_server *server, const struct server_session *session, uint32_t number,
		     uint64_t generation)
{
	const struct store_entry *entry = object_entry(server, number);

	return generation == store_generation_of(load_rlx(&entry->state)) &&
	       object_may_read(session, entry->owner, entry->access, entry->reader);
}

static void note_lease(void *argument, uint32_t number, uint64_t generation, bool in_use)
{
	struct object_look *look = argument;
	uint64_t *word = &look->server->held[number / 64], bit = UINT64_C(1) << number % 64;

	if (!in_use || *word & bit || !object_may_hold(look->server, look->session, number, generation))
		return;
	*word |= bit;
	look->found[look->count++] = number;
}

/* All leases there can be. */
static uint64_t lease_count(const struct stoa_server *server)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < server->session_count; i++)
		if (server->sessions[i])
			count += (uint64_t)server->sessions[i]->lines * LEASES_PER_LINE;
	return count;
}

bool object_look_begin(struct stoa_server *server, struct object_look *look)
{
	*look = (struct object_look){.server = server};
	look->found = os_allocate((size_t)(lease_count(server) + 1) * sizeof(*look->found));
	if (!look->found)
		return false;
	/* What the server has changed, then the leases; pairs with order() in lease_take() */
	if (!lease_barrier(&server->header->fences)) {
		os_free(look->found);
		return false;
	}
	for (uint32_t i = 0; i < server->session_count; i++) {
		look->session = server->sessions[i];
		if (look->session && look->session->leases)
			lease_scan(look->session->leases, look->session->lines, server->book.entries.reached,
				   note_lease, look);
	}
	return true;
}

bool object_look_held(const struct object_look *look, uint32_t number)
{
	return look->server->held[number / 64] >> number % 64 & 1;
}

void object_look_end(struct object_look *look)
{
	while (look->count) {
		uint32_t number = look->found[--look->count];

		look->server->held[number / 64] &= ~(UINT64_C(1) << number % 64);
	}
	os_free(look->found);
}

bool object_reap(struct stoa_server *server)
{
	uint32_t kept = 0, before = server->dying_count;
	struct object_look look;

	/* They are DYING, then the look. */
	if (!before || !object_look_begin(server, &look))
		return false;
	for (uint32_t i = 0; i < before; i++) {
		uint32_t number = server->dying[i];

		if (object_look_held(&look, number))
			server->dying[kept++] = number;
		else
			object_free(server, number);
	}
	server->dying_count = kept;
	object_look_end(&look);
	return kept != before;
}

int object_end(struct stoa_server *server, uint32_t number, uint32_t what)
{
	int rc = object_dying_room(server);

	if (rc == 0)
		object_end_with_room(server, number, what);
	return rc;
}
