/* SPDX-License-Identifier: MIT */
/*
 * A server's books beside what is there: each object's bytes counted where it lies, for who made it and for whose it is; each page of memory
 * once; and in the holder's hands exactly what a successor needs. The server stands still. Uses the store's insides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_scene.h"

#define ARENAS 64u /* a scene has no more */

struct sums {
	struct step_world *world;
	const struct stoa_server *server;
	uint32_t sealed, writing, dying;
	uint64_t used[ARENAS];    /* bytes of extents */
	uint32_t objects[ARENAS]; /* entries */
	uint64_t charged[8];      /* to sessions */
	uint64_t user;            /* to the user: there is one */
	uint64_t committed;
	uint32_t held; /* what the holder must have */
};

static const char *number(uint64_t value, char text[24])
{
	snprintf(text, 24, "%llu", (unsigned long long)value);
	return text;
}

static int same(const struct sums *sums, const char *what, uint64_t is, uint64_t must)
{
	char texts[2][24];

	return is == must ? 0
			  : step_bad(sums->world, "%s: %s, and it must be %s", what, number(is, texts[0]),
				     number(must, texts[1]));
}

static int add_object(struct sums *sums, uint32_t entry_number)
{
	const struct stoa_server *server = sums->server;
	const struct store_entry *entry = &server->book.directory.entries[entry_number];
	enum store_state state = store_state_of(load_rlx(&entry->state));
	uint64_t charge = entry->kind == STORE_REGION ? load_rlx(&entry->size) : entry->extent;
	bool placed = directory_has_place(&server->book, entry_number);

	if (state == STORE_FREE)
		return placed ? step_bad(sums->world, "a free entry has a place") : 0;
	if (!entry->arena || entry->arena >= ARENAS || !server->arenas[entry->arena])
		return step_bad(sums->world, "entry %u lies nowhere", entry_number);
	sums->sealed += state == STORE_SEALED;
	sums->writing += state == STORE_WRITING;
	sums->dying += state == STORE_DYING;
	sums->used[entry->arena] += entry->extent;
	sums->objects[entry->arena]++;
	sums->user += charge;
	for (uint32_t i = 0; i < server->session_count; i++)
		if (server->sessions[i] && object_session_tag(server->sessions[i]) == entry->session)
			sums->charged[i] += charge;
	if (state == STORE_DYING && placed)
		return step_bad(sums->world, "what is dying has a place");
	return state == STORE_SEALED && !placed ? step_bad(sums->world, "what is sealed has no place") : 0;
}

static int check_resident(struct sums *sums, const char *what, os_handle memory, uint64_t must)
{
	struct os_memory_info info;

	if (os_memory_info(memory, &info))
		return step_bad(sums->world, "%s: %s", what, stoa_error_detail());
	sums->committed += must;
	return same(sums, what, info.resident, must);
}

/* Its maker commits it, and then seals it. */
static int check_own(struct sums *sums, const struct server_arena *arena)
{
	struct os_memory_info info;

	if (os_memory_info(arena->memory, &info))
		return step_bad(sums->world, "an object's own memory: %s", stoa_error_detail());
	if (arena->class.kind != STORE_OWN || (!arena->class.writer && info.seals & OS_SEAL_WRITE))
		return check_resident(sums, "pages of an object's own", arena->memory, arena->resident);
	sums->committed += arena->resident;
	return info.resident <= arena->resident ? 0 : step_bad(sums->world, "an object has more pages than it may");
}

static int check_arena(struct sums *sums, uint32_t i)
{
	const struct server_arena *arena = sums->server->arenas[i];
	int rc;

	if (!arena)
		return same(sums, "objects in no arena", sums->objects[i], 0);
	sums->held++;
	rc = same(sums, "an arena's objects", arena->objects, sums->objects[i]);
	/* A draft's pages are its maker's to make. */
	if (rc == 0 && !arena->heap && arena->class.kind == STORE_OWN && arena->class.writer) {
		sums->committed += arena->resident;
		return 0;
	}
	if (rc == 0 && !arena->heap)
		return check_own(sums, arena);
	if (rc == 0 && !store_heap_valid(arena->heap))
		rc = step_bad(sums->world, "an arena's heap is not valid");
	if (rc == 0)
		rc = same(sums, "bytes used in an arena", store_heap_used(arena->heap), sums->used[i]);
	if (rc == 0)
		rc = check_resident(sums, "pages of an arena", arena->memory, store_heap_committed(arena->heap));
	return rc;
}

static int check_session(struct sums *sums, uint32_t i)
{
	const struct server_session *session = sums->server->sessions[i];
	int rc;

	if (!session)
		return same(sums, "the journal's key of a session that is none",
			    load_rlx(&sums->server->journal->session[i].key), 0);
	rc = same(sums, "a session's charge", session->charged, sums->charged[i]);
	sums->user += session->own;
	if (rc || !session->greeted)
		return rc;
	sums->held += KEEP_PARTS;
	sums->writing -= session->draft_count;
	rc = check_resident(sums, "pages of a session", session->memory,
			    sizeof(struct store_session) + session->ring_size);
	if (rc == 0)
		rc = check_resident(sums, "pages of leases", session->leases_memory,
				    (lease_bytes(session->lines) + OS_PAGE - 1) & ~(OS_PAGE - 1));
	return rc == 0 ? same(sums, "the journal's key of a session", load_rlx(&session->record->key), session->key)
		       : rc;
}

static int look_at_held(const char *name, os_handle memory, void *argument)
{
	(void)name;
	os_handle_close(memory);
	++*(uint32_t *)argument;
	return 0;
}

static int check_held(struct sums *sums)
{
	uint32_t held = 0;

	if (!sums->server->holder)
		return 0;
	if (store_holder_visit(sums->server->holder, look_at_held, &held))
		return step_bad(sums->world, "the holder: %s", stoa_error_detail());
	return same(sums, "things held", held, sums->held + 2);
}

static int check_rest(struct sums *sums)
{
	const struct stoa_server *server = sums->server;
	int rc = same(sums, "objects that nobody makes", sums->writing, 0);

	if (rc == 0)
		rc = same(sums, "the header's objects", load_rlx(&server->header->objects), sums->sealed);
	if (rc == 0)
		rc = same(sums, "the dying", server->dying_count, sums->dying);
	if (rc == 0 && server->users)
		rc = same(sums, "a user's charge", server->users->charged, sums->user);
	if (rc == 0)
		rc = check_resident(sums, "pages of the directory", server->directory_extent.memory,
				    server->book.committed);
	if (rc == 0)
		rc = check_resident(sums, "pages of the journal", server->journal_memory,
				    os_memory_length(server->journal_memory));
	if (rc == 0)
		rc = same(sums, "bytes committed", server->committed, sums->committed);
	if (rc == 0)
		rc = same(sums, "the header's bytes", load_rlx(&server->header->bytes), sums->committed);
	return rc;
}

int scene_check_books(struct step_world *world)
{
	struct stoa_server *server = store_scene(world)->server;
	struct sums sums = {.world = world, .server = server};
	uint32_t sessions = 0;
	int rc = directory_valid(server->directory_extent.address, server->book.directory.length);

	if (rc)
		return step_bad(world, "the directory: %s", stoa_error_detail());
	for (uint32_t i = 1; rc == 0 && i < server->book.entries.reached; i++)
		rc = add_object(&sums, i);
	for (uint32_t i = 1; rc == 0 && i < ARENAS; i++)
		rc = check_arena(&sums, i);
	for (uint32_t i = 0; rc == 0 && i < server->options.clients; i++) {
		rc = check_session(&sums, i);
		sessions += server->sessions[i] && server->sessions[i]->greeted;
	}
	if (rc == 0)
		rc = same(&sums, "the header's sessions", load_rlx(&server->header->sessions), sessions);
	if (rc == 0)
		rc = check_rest(&sums);
	return rc == 0 ? check_held(&sums) : rc;
}
