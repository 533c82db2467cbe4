/* SPDX-License-Identifier: MIT */
/*
 * Taking over from a dead server: its holder has the directory, the journal, the arenas, and of each client its memory and its socket, which is
 * why clients notice nothing but a pause. Sessions come first, then arenas, as entries name them, then the entries, each checked against
 * all that was taken over before; what does not pass is dropped by itself. While this goes on clients get what they got before.
 */
#include <store/server.h>

#include <base/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct found {
	char name[STORE_HOLDER_NAME];
	os_handle memory; /* OS_NO_HANDLE: it has been taken */
};

struct adoption {
	struct stoa_server *server;
	struct found *found; /* sorted by name */
	uint32_t count, room;
	int result; /* why not all entries could be taken over: for want of something */
};

static int collect(const char *name, os_handle memory, void *argument)
{
	struct adoption *adoption = argument;

	if (adoption->count == adoption->room) {
		uint32_t room = adoption->room ? adoption->room * 2 : 64;
		struct found *more = os_allocate(room * sizeof(*more));

		if (!more) {
			os_handle_close(memory);
			return -STOA_ENOMEM;
		}
		if (adoption->count)
			memcpy(more, adoption->found, adoption->count * sizeof(*more));
		os_free(adoption->found);
		adoption->found = more;
		adoption->room = room;
	}
	snprintf(adoption->found[adoption->count].name, STORE_HOLDER_NAME, "%s", name);
	adoption->found[adoption->count++].memory = memory;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* What has the name, which is the caller's then; OS_NO_HANDLE: there is none. */
static os_handle take(struct adoption *adoption, const char *name)
{
	struct found key = {.memory = OS_NO_HANDLE}, *found;
	os_handle memory;

	snprintf(key.name, sizeof(key.name), "%s", name);
	found = adoption->count ? bsearch(&key, adoption->found, adoption->count, sizeof(key), by_name) : NULL;
	if (!found)
		return OS_NO_HANDLE;
	memory = found->memory;
	found->memory = OS_NO_HANDLE;
	return memory;
}

/* ---- the journal, and sessions ---- */

static int take_journal(struct adoption *adoption)
{
	struct stoa_server *server = adoption->server;
	os_handle memory = take(adoption, KEEP_JOURNAL);
	struct os_memory_info info;
	uint64_t length;
	void *address;
	int rc;

	if (memory == OS_NO_HANDLE)
		return error_set(-STOA_EFORMAT, "the journal of the last server is not among what was held");
	rc = os_memory_info(memory, &info);
	length = rc == 0 ? info.length : 0;
	if (rc == 0 && length < journal_length(1))
		rc = error_set(-STOA_EFORMAT, "what was held is no journal");
	if (rc == 0)
		rc = os_map(memory, 0, length, OS_READ | OS_WRITE, &address);
	if (rc < 0) {
		os_handle_close(memory);
		return rc;
	}
	server->journal_memory = memory;
	server->journal = address;
	server->journal_length = length;
	server->committed += length;
	rc = journal_check(server->journal, length);
	if (rc < 0)
		return rc;
	if (server->options.clients > server->journal->sessions)
		server->options.clients = server->journal->sessions;
	server->keys = load_rlx(&server->journal->keys);
	server->redo = (struct server_redo){.key = load_rlx(&server->journal->key),
					    .serial = load_rlx(&server->journal->serial),
					    .entry = load_rlx(&server->journal->entry),
					    .state = load_rlx(&server->journal->state)};
	return 0;
}

/* It is nobody's any more; its client is told by the end of its socket. */
static void drop_session(struct adoption *adoption, uint64_t key, os_handle parts[KEEP_PARTS])
{
	for (unsigned i = 0; i < KEEP_PARTS; i++) {
		char name[STORE_HOLDER_NAME];

		os_handle_close(parts[i]);
		keep_name_session(name, key, i);
		(void)store_holder_drop(adoption->server->holder, name);
	}
}

/* One that is not what it says is dropped by itself. */
static int take_session(struct adoption *adoption, uint32_t number)
{
	struct journal_session *record = &adoption->server->journal->session[number];
	os_handle parts[KEEP_PARTS];
	uint64_t key = load_rlx(&record->key);
	bool whole = number < adoption->server->options.clients;
	int rc = -STOA_EFORMAT;

	if (!key)
		return 0;
	for (unsigned i = 0; i < KEEP_PARTS; i++) {
		char name[STORE_HOLDER_NAME];

		keep_name_session(name, key, i);
		parts[i] = take(adoption, name);
		whole = whole && parts[i] != OS_NO_HANDLE;
	}
	if (whole) {
		rc = session_adopt(adoption->server, number, parts);
		for (unsigned i = 0; rc < 0 && i < KEEP_PARTS; i++)
			parts[i] = OS_NO_HANDLE;
	}
	if (rc != -STOA_EFORMAT)
		return rc;
	drop_session(adoption, key, parts);
	store_rlx(&record->key, 0);
	return 0;
}

/* ---- arenas and objects ---- */

/* The arena of an entry, if it is there and not yet taken. */
static int take_arena(struct adoption *adoption, uint32_t arena)
{
	struct stoa_server *server = adoption->server;
	uint64_t generation = load_rlx(&server->book.directory.arenas[arena].generation);
	char name[STORE_HOLDER_NAME];
	os_handle memory;
	int rc;

	keep_name_arena(name, arena, generation);
	memory = take(adoption, name);
	rc = memory != OS_NO_HANDLE ? memory_adopt_arena(server, arena, memory) : 0;
	if (rc != -STOA_EFORMAT)
		return rc;
	keep_drop_arena(server, arena, generation);
	return 0;
}

/* For want of something nothing more is taken over; what is damaged is dropped. */
static void take_object(void *argument, uint32_t number, enum directory_finding finding)
{
	struct adoption *adoption = argument;
	struct stoa_server *server = adoption->server;
	uint32_t arena = server->book.directory.entries[number].arena;

	if (adoption->result == 0 && finding != DIRECTORY_LOST && arena && arena <= SERVER_ARENAS &&
	    !server->arenas[arena])
		adoption->result = take_arena(adoption, arena);
	if (adoption->result == 0)
		adoption->result = object_adopt(server, number, finding);
}

/* What nothing was found for: arenas that had no objects yet, sessions that were not welcomed. */
static void drop_rest(struct adoption *adoption)
{
	for (uint32_t i = 0; i < adoption->count; i++) {
		if (adoption->found[i].memory == OS_NO_HANDLE)
			continue;
		os_handle_close(adoption->found[i].memory);
		(void)store_holder_drop(adoption->server->holder, adoption->found[i].name);
	}
	os_free(adoption->found);
}

static int adopt(struct adoption *adoption)
{
	struct stoa_server *server = adoption->server;
	os_handle directory = take(adoption, KEEP_DIRECTORY);
	int rc;

	if (directory == OS_NO_HANDLE)
		return ADOPT_NOTHING;
	rc = take_journal(adoption);
	if (rc < 0) {
		os_handle_close(directory);
		return rc;
	}
	rc = memory_adopt(server, directory);
	for (uint32_t i = 0; rc == 0 && i < server->journal->sessions; i++)
		rc = take_session(adoption, i);
	if (rc == 0)
		rc = memory_adopt_entries(server, take_object, adoption);
	if (rc == 0)
		rc = adoption->result;
	/* In those that are left there is nothing; but who has them open keeps what they have. */
	for (uint32_t i = 1; rc == 0 && i < server->book.arenas.reached; i++)
		if (!server->arenas[i] && load_rlx(&server->book.directory.arenas[i].generation) & 1)
			rc = take_arena(adoption, i);
	if (rc == 0)
		rc = memory_adopted(server);
	if (rc == 0)
		rc = object_adopted(server);
	if (rc == 0)
		events_adopted(server);
	return rc;
}

int adopt_all(struct stoa_server *server)
{
	struct adoption adoption = {.server = server};
	int rc = store_holder_visit(server->holder, collect, &adoption);

	if (rc == 0 && adoption.count)
		qsort(adoption.found, adoption.count, sizeof(*adoption.found), by_name);
	if (rc == 0)
		rc = adopt(&adoption);
	if (rc < 0)
		for (uint32_t i = 0; i < adoption.count; i++)
			if (adoption.found[i].memory != OS_NO_HANDLE) {
				os_handle_close(adoption.found[i].memory);
				adoption.found[i].memory = OS_NO_HANDLE;
			}
	drop_rest(&adoption);
	return rc;
}
