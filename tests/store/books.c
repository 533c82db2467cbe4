/* SPDX-License-Identifier: MIT */
/* A server's books beside what is there: each object's bytes counted where it lies, for who made it and for whose it is; each page once. */
#include <store/books.h>
#include <store/kit.h>

#include <stdlib.h>
#include <store/server.h>
#include <store/spill.h>

struct sums {
	uint64_t sealed, writing, dying, spilled, files;
	uint64_t *used;     /* of each arena: bytes of extents */
	uint32_t *objects;  /* of each arena */
	uint64_t *sessions; /* charged */
	uint64_t committed;
};

/* Memory that may grow is charged as it is; what the server is moving, once. */
static uint64_t charge_of(const struct store_entry *entry)
{
	if (store_state_of(load_rlx(&entry->state)) == STORE_WRITING && !entry->serial)
		return 0;
	return entry->kind == STORE_REGION ? load_rlx(&entry->size) : entry->extent;
}

static void add_object(const struct stoa_server *server, struct sums *sums, uint32_t number)
{
	const struct store_entry *entry = &server->book.directory.entries[number];
	enum store_state state = store_state_of(load_rlx(&entry->state));
	uint32_t maker = entry->session & 4095;

	if (state == STORE_FREE)
		return;
	if (entry->kind != STORE_FILE)
		CHECK(entry->arena && entry->arena <= SERVER_ARENAS && server->arenas[entry->arena]);
	sums->sealed += state == STORE_SEALED || state == STORE_SPILLED;
	sums->spilled += state == STORE_SPILLED;
	sums->writing += state == STORE_WRITING && entry->serial;
	sums->dying += state == STORE_DYING;
	CHECK_EQ(directory_has_place(&server->book, number),
		 state == STORE_SEALED || state == STORE_SPILLED ||
			 (state == STORE_WRITING && entry->flags & STOA_OBJECT_FOLLOWED));
	if (entry->kind == STORE_FILE) {
		sums->files += sizeof(struct spill_header) + load_rlx(&entry->size);
	} else {
		sums->used[entry->arena] += entry->extent;
		sums->objects[entry->arena]++;
	}
	if (maker < server->options.clients && server->sessions[maker] &&
	    object_session_tag(server->sessions[maker]) == entry->session)
		sums->sessions[maker] += charge_of(entry);
}

/* What a request is to have, before it has an entry. */
static void add_coming(const struct server_coming *coming, struct sums *sums)
{
	sums->used[coming->arena->number] += coming->extent;
	sums->objects[coming->arena->number]++;
}

static void check_arena(const struct stoa_server *server, struct sums *sums, uint32_t number)
{
	const struct server_arena *arena = server->arenas[number];
	struct os_memory_info info;

	if (!arena) {
		CHECK_EQ(sums->objects[number], 0);
		return;
	}
	CHECK_EQ(arena->objects, sums->objects[number]);
	CHECK_RC(os_memory_info(arena->memory, &info), 0);
	if (arena->lingers) {
		CHECK_EQ(arena->objects, 0);
		if (info.seals & OS_SEAL_WRITE)
			CHECK_EQ(info.resident, arena->resident);
		sums->committed += arena->resident;
		return;
	}
	if (!arena->heap) {
		CHECK_EQ(arena->objects, 1);
		/* Its maker commits it, and then seals it. */
		if (arena->class.kind == STORE_OWN && (arena->class.writer || !(info.seals & OS_SEAL_WRITE)))
			CHECK_INT(info.resident, <=, arena->resident);
		else if (arena->class.kind == STORE_OWN)
			CHECK_EQ(info.resident, arena->resident);
		sums->committed += arena->resident;
		return;
	}
	CHECK(store_heap_valid(arena->heap));
	CHECK_EQ(store_heap_used(arena->heap), sums->used[number]);
	/* A client that can write more than its objects may have done so. */
	if (!arena->class.writer)
		CHECK_EQ(info.resident, store_heap_committed(arena->heap));
	else
		CHECK_INT(info.resident, >=, store_heap_committed(arena->heap));
	sums->committed += store_heap_committed(arena->heap);
}

static uint64_t check_session(const struct server_session *session, struct sums *sums, uint32_t number)
{
	struct os_memory_info info[2];

	if (!session)
		return 0;
	CHECK_EQ(session->charged, sums->sessions[number]);
	if (!session->greeted)
		return 0;
	sums->committed += session->coming.owed;
	CHECK_RC(os_memory_info(session->memory, &info[0]), 0);
	CHECK_RC(os_memory_info(session->leases_memory, &info[1]), 0);
	CHECK_EQ(session->own, info[0].length + info[1].length);
	return info[0].length + info[1].length;
}

static void check_charges(const struct stoa_server *server)
{
	for (const struct server_user *user = server->users; user; user = user->next) {
		uint64_t charged = 0;
		uint32_t arenas = 0;

		for (uint32_t i = 1; i < server->book.entries.reached; i++) {
			const struct store_entry *entry = &server->book.directory.entries[i];

			if (store_state_of(load_rlx(&entry->state)) != STORE_FREE && entry->owner == user->user)
				charged += charge_of(entry);
		}
		for (uint32_t i = 0; i < server->options.clients; i++)
			if (server->sessions[i] && server->sessions[i]->peer.user == user->user)
				charged += server->sessions[i]->own;
		CHECK_EQ(user->charged, charged);
		for (uint32_t i = 1; i <= SERVER_ARENAS; i++)
			arenas += server->arenas[i] && server->arenas[i]->class.owner == user->user &&
				  !server->arenas[i]->lingers;
		CHECK_EQ(user->arenas, arenas);
	}
}

static void check_waiters(const struct stoa_server *server)
{
	uint32_t waits[SERVER_CLIENTS_MAX] = {0};

	for (const struct server_waiter *waiter = server->waiters; waiter; waiter = waiter->next) {
		CHECK(waiter->session < server->options.clients && server->sessions[waiter->session]);
		waits[waiter->session]++;
	}
	for (uint32_t i = 0; i < server->options.clients; i++)
		if (server->sessions[i])
			CHECK_EQ(server->sessions[i]->waits, waits[i]);
}

void kit_check_books(struct stoa_server *server)
{
	struct sums sums = {.used = calloc(SERVER_ARENAS + 1, sizeof(uint64_t)),
			    .objects = calloc(SERVER_ARENAS + 1, sizeof(uint32_t)),
			    .sessions = calloc(SERVER_CLIENTS_MAX, sizeof(uint64_t))};
	struct os_memory_info info;
	uint64_t drafts = 0;

	CHECK_RC(os_memory_info(server->directory_extent.memory, &info), 0);
	CHECK_EQ(info.resident, server->book.committed);
	CHECK(sums.used && sums.objects && sums.sessions);
	CHECK_RC(directory_valid(server->directory_extent.address, server->book.directory.length), 0);
	for (uint32_t i = 1; i < server->book.entries.reached; i++)
		add_object(server, &sums, i);
	CHECK_EQ(load_rlx(&server->header->objects), sums.sealed);
	CHECK_EQ(load_rlx(&server->header->spilled), sums.spilled);
	/* Of some that are no entries any more the files are being removed. */
	if (server->spill) {
		CHECK_INT(load_rlx(&server->header->spilled_bytes), >=, sums.files);
		CHECK_INT(load_rlx(&server->header->spilled_bytes), <=, server->options.spill_limit);
	}
	CHECK_EQ(server->dying_count, sums.dying);
	for (uint32_t i = 0; i < server->options.clients; i++)
		if (server->sessions[i] && server->sessions[i]->coming.arena)
			add_coming(&server->sessions[i]->coming, &sums);
	for (uint32_t i = 1; i <= SERVER_ARENAS; i++)
		check_arena(server, &sums, i);
	for (uint32_t i = 0; i < server->options.clients; i++) {
		sums.committed += check_session(server->sessions[i], &sums, i);
		drafts += server->sessions[i] ? server->sessions[i]->draft_count : 0;
	}
	CHECK_EQ(drafts, sums.writing);
	check_charges(server);
	check_waiters(server);
	sums.committed += server->book.committed + os_memory_length(server->journal_memory);
	CHECK_EQ(server->committed, sums.committed);
	CHECK_INT(server->committed, <=, server->options.limit);
	free(sums.used);
	free(sums.objects);
	free(sums.sessions);
}

void kit_go_on(struct stoa_server *server)
{
	store_rlx(&server->stopping, 0);
}

uint64_t kit_committed(const struct stoa_server *server)
{
	return server->committed;
}

uint32_t kit_drafts_of(const struct stoa_server *server)
{
	uint32_t drafts = 0;

	for (uint32_t i = 0; i < server->options.clients; i++)
		drafts += server->sessions[i] ? server->sessions[i]->draft_count : 0;
	return drafts;
}
