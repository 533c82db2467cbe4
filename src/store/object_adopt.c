/* SPDX-License-Identifier: MIT */
/*
 * Objects after a dead server: each entry that it left is one again, goes on being made, or is freed; and what it was doing is finished.
 */
#include <store/object_parts.h>

#include <base/mutant.h>

/* Its bytes cannot be told from others', or are gone: it never was. */
static void drop_adopted(struct stoa_server *server, uint32_t number)
{
	directory_set_state(&server->book, number, STORE_DYING);
	directory_remove(&server->book, number);
	directory_free(&server->book, number);
}

/* Its extent is marked as its own in the arena's book. */
static int mark_adopted(struct stoa_server *server, const struct store_entry *entry)
{
	struct server_arena *arena = server->arenas[entry->arena];
	int rc = arena ? 0 : -STOA_EFORMAT;

	if (rc == 0 && arena->heap)
		rc = store_heap_mark(arena->heap, entry->offset, entry->extent);
	else if (rc == 0 && (arena->objects || entry->extent > arena->size))
		rc = -STOA_EFORMAT;
	if (rc == 0)
		arena->objects++;
	return rc;
}

/* One that is being made: it goes on if its maker lives, and is not the server itself. */
static bool goes_on(struct stoa_server *server, const struct store_entry *entry, uint32_t number)
{
	struct server_session *session = object_maker(server, entry);

	if (!session || !entry->serial || (entry->kind != STORE_PRIVATE && entry->kind != STORE_OWN) ||
	    session->draft_count == SERVER_DRAFTS)
		return false;
	session->drafts[session->draft_count++] = number;
	return true;
}

static bool was_being_made(const struct stoa_server *server, const struct store_entry *entry)
{
	const struct server_session *session = object_maker(server, entry);

	return session && session->key == server->redo.key && entry->serial == server->redo.serial;
}

/* Is it what a dead server had sealed, but had not given the place of the one that it replaces? */
static bool was_left(const struct stoa_server *server, const struct store_entry *entry, uint32_t number)
{
	const struct server_session *session = object_maker(server, entry);
	uint64_t state = load_rlx(&entry->state);

	if (!session || session->key != server->redo.key || store_state_of(state) != STORE_SEALED ||
	    MUTANT(LEFT_DROPPED))
		return false;
	return entry->serial == server->redo.serial ||
	       (number == server->redo.entry &&
		server->redo.state == store_state_word(store_generation_of(state), STORE_WRITING));
}

/* Memory that goes with its maker, who is gone? */
static bool is_orphan(const struct store_entry *entry, const struct server_session *maker)
{
	return entry->kind == STORE_REGION && !maker && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP);
}

static void adopt_region(struct stoa_server *server, const struct store_entry *entry, struct server_session *maker)
{
	uint32_t flags = load_rlx(&entry->flags);

	if (entry->kind != STORE_REGION)
		return;
	server->arenas[entry->arena]->writable = flags & STORE_WRITABLE;
	memory_adopt_region(server->arenas[entry->arena], load_rlx(&entry->size));
	if (maker && store_state_of(load_rlx(&entry->state)) == STORE_SEALED && !(flags & STOA_ALLOCATION_KEEP))
		maker->regions++;
}

/* One whose bytes are in a file, or were to be. */
static int adopt_file(struct stoa_server *server, uint32_t number, enum directory_finding finding)
{
	const struct store_entry *entry = object_entry(server, number);
	bool spilled = store_state_of(load_rlx(&entry->state)) == STORE_SPILLED;
	int rc = spilled ? spill_knows(server) : 0;

	if (rc < 0)
		return rc;
	account_move(server, object_maker(server, entry), entry->owner, account_size_of(entry));
	spill_adopt(server, number);
	if (spilled && finding == DIRECTORY_GOOD && spill_has_file(server, number)) {
		server_count(&server->header->objects, 1);
		return 0;
	}
	if (spilled && finding == DIRECTORY_GOOD)
		spill_lost(server, number);
	object_hide(server, number);
	return 0;
}

int object_adopt(struct stoa_server *server, uint32_t number, enum directory_finding finding)
{
	const struct store_entry *entry = object_entry(server, number);
	enum store_state state = store_state_of(load_rlx(&entry->state));
	struct server_user *account;
	struct server_session *session;
	int rc;

	if (finding == DIRECTORY_LOST)
		return 0;
	account = account_of_user(server, entry->owner);
	if (!account || object_dying_room(server) < 0)
		return -STOA_ENOMEM;
	if (entry->kind == STORE_FILE)
		return adopt_file(server, number, finding);
	rc = state == STORE_SPILLED ? -STOA_EFORMAT : mark_adopted(server, entry);
	if (rc == -STOA_ENOMEM)
		return rc;
	if (rc < 0) {
		server->lost += state == STORE_SEALED || state == STORE_SPILLED;
		drop_adopted(server, number);
		return 0;
	}
	session = object_maker(server, entry);
	account->charged += account_size_of(entry);
	if (session)
		session->charged += account_size_of(entry);
	adopt_region(server, entry, session);
	if (is_orphan(entry, session))
		finding = DIRECTORY_LEFT;
	else if (finding == DIRECTORY_LEFT && was_left(server, entry, number)) {
		server->redo.left = number;
		return 0;
	}
	if (finding == DIRECTORY_GOOD &&
	    (state == STORE_SEALED || (state == STORE_WRITING && goes_on(server, entry, number)))) {
		if (was_being_made(server, entry))
			server->redo.made = number;
		if (state == STORE_SEALED)
			server_count(&server->header->objects, 1);
		return 0;
	}
	/* Of those that nobody can hold, too, as the arena's book is not complete yet. */
	object_hide(server, number);
	return 0;
}

int object_adopted(struct stoa_server *server)
{
	uint32_t number = server->redo.left, old, length;
	const uint8_t *id;
	int rc = number ? object_dying_room(server) : 0;

	if (rc < 0 || !number)
		return rc;
	id = directory_id(&server->book, number, &length);
	old = directory_lookup(&server->book, id, length);
	if (old)
		directory_hand_over(&server->book, old, number);
	else
		rc = directory_place(&server->book, number);
	if (rc < 0)
		return rc;
	directory_set_flags(&server->book, number, object_entry(server, number)->flags & ~STOA_OBJECT_REPLACE);
	server_count(&server->header->objects, 1);
	if (was_being_made(server, object_entry(server, number)))
		server->redo.made = number;
	if (old)
		object_end_with_room(server, old, 0);
	return 0;
}
