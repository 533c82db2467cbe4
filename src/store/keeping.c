/* SPDX-License-Identifier: MIT */
/*
 * What outlives the server: which memory objects and sockets its holder has, under which names. Arenas are told before an object lies in
 * them, sessions before their client is welcomed; so whatever a client knows of, a successor has.
 */
#include <store/server.h>

#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void keep_name_arena(char name[STORE_HOLDER_NAME], uint32_t arena, uint64_t generation)
{
	snprintf(name, STORE_HOLDER_NAME, "a%" PRIu32 ".%" PRIu64, arena, generation);
}

void keep_name_session(char name[STORE_HOLDER_NAME], uint64_t key, unsigned part)
{
	snprintf(name, STORE_HOLDER_NAME, "s%" PRIu64 ".%u", key, part);
}

/* Of a holder that is lost the client knows nothing; the server will have another. */
static int kept(int rc)
{
	return rc == -STOA_ECLOSED ? error_set(-STOA_EBUSY, "the store's memory is not held now") : rc;
}

int keep_arena(struct stoa_server *server, const struct server_arena *arena)
{
	char name[STORE_HOLDER_NAME];

	if (!server->holder || MUTANT(ARENAS_UNKEPT))
		return 0;
	keep_name_arena(name, arena->number, load_rlx(&server->book.directory.arenas[arena->number].generation));
	return kept(store_holder_put(server->holder, name, arena->memory));
}

void keep_drop_arena(struct stoa_server *server, uint32_t arena, uint64_t generation)
{
	char name[STORE_HOLDER_NAME];

	if (!server->holder || server->leaving)
		return;
	keep_name_arena(name, arena, generation);
	(void)store_holder_drop(server->holder, name);
}

static void session_parts(const struct server_session *session, struct store_held held[KEEP_PARTS])
{
	const os_handle handles[KEEP_PARTS] = {session->socket, session->memory, session->leases_memory, session->bell,
					       session->client_bell};

	for (unsigned i = 0; i < KEEP_PARTS; i++) {
		keep_name_session(held[i].name, session->key, i);
		held[i].memory = handles[i];
	}
}

int keep_session(struct stoa_server *server, const struct server_session *session)
{
	struct store_held held[KEEP_PARTS];

	if (!server->holder || MUTANT(SESSIONS_UNKEPT))
		return 0;
	session_parts(session, held);
	return kept(store_holder_put_many(server->holder, held, KEEP_PARTS));
}

void keep_drop_session(struct stoa_server *server, const struct server_session *session)
{
	struct store_held held[KEEP_PARTS];

	if (!server->holder || !session->greeted)
		return;
	session_parts(session, held);
	for (unsigned i = 0; i < KEEP_PARTS; i++)
		(void)store_holder_drop(server->holder, held[i].name);
}

int keep_all(struct stoa_server *server)
{
	int rc = store_holder_put(server->holder, KEEP_JOURNAL, server->journal_memory);

	for (uint32_t i = 1; rc == 0 && i <= SERVER_ARENAS; i++)
		if (server->arenas[i])
			rc = keep_arena(server, server->arenas[i]);
	for (uint32_t i = 0; rc == 0 && i < server->session_count; i++)
		if (server->sessions[i] && server->sessions[i]->greeted)
			rc = keep_session(server, server->sessions[i]);
	/* Last: without a directory a successor begins anew. */
	return rc == 0 ? store_holder_put(server->holder, KEEP_DIRECTORY, server->directory_extent.memory) : rc;
}
