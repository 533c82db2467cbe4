/* SPDX-License-Identifier: MIT */
/*
 * A connection: greeting, the maps of what the server hands out, arenas as they are first needed, forks. What comes from the server is
 * checked against the sizes of the memory that came with it.
 */
#include <store/client.h>

#include <base/error.h>
#include <base/mutant.h>
#include <inttypes.h>
#include <os/local.h>
#include <stdio.h>
#include <stoa/store.h>
#include <store/embedded.h>
#include <string.h>

#define PATIENCE UINT64_C(10000000000) /* nanoseconds that a call waits for a server, unless it is told how long */
#define RECHECK UINT64_C(100000000)    /* nanoseconds: who waits for an answer looks whether the server is another */

/* ---- all of this process's, for forks ---- */

static struct os_lock all_lock;
static struct stoa_store *all;
static bool hooked; /* under all_lock */

static void before_fork(void)
{
	embedded_hold();
	os_lock(&all_lock);
}

static void after_fork(void)
{
	os_unlock(&all_lock);
	embedded_go_on();
}

/* The child keeps no connection of its parent's open, lest the server thinks that the parent lives. */
static void after_fork_child(void)
{
	for (struct stoa_store *store = all; store; store = store->next) {
		os_handle_close(store->socket);
		os_handle_close(store->bell);
		os_handle_close(store->client_bell);
		store->socket = store->bell = store->client_bell = OS_NO_HANDLE;
	}
	all = NULL;
	os_unlock(&all_lock);
	embedded_go_on();
}

static int enlist(struct stoa_store *store)
{
	int rc = 0;

	os_lock(&all_lock);
	if (!hooked)
		rc = os_fork_hooks(before_fork, after_fork, after_fork_child);
	if (rc == 0) {
		hooked = true;
		store->next = all;
		all = store;
	}
	os_unlock(&all_lock);
	return rc;
}

static void delist(const struct stoa_store *store)
{
	os_lock(&all_lock);
	for (struct stoa_store **link = &all; *link; link = &(*link)->next)
		if (*link == store) {
			*link = store->next;
			break;
		}
	os_unlock(&all_lock);
}

int client_usable(const struct stoa_store *store)
{
	if (CC_LIKELY(load_rlx(&os_forks) == store->forks))
		return 0;
	return error_set(-STOA_ECLOSED, "a forked child must open the store itself");
}

uint64_t client_patience(uint64_t deadline)
{
	uint64_t least = os_now() + PATIENCE;

	return deadline > least ? deadline : least;
}

void client_nap(unsigned milliseconds, uint64_t deadline)
{
	static const _Atomic uint32_t nobody;
	uint64_t until = os_now() + milliseconds * UINT64_C(1000000);

	(void)os_wait(&(struct os_wait_word){&nobody, 0, OS_WORD_WOKEN}, 1, until < deadline ? until : deadline);
}

/* Say whose error it is: of the present sentence, or, where there is none of it, of the general one. */
static int name_object(int rc, const void *id, uint32_t id_length, bool told)
{
	const uint8_t *bytes = id;
	char text[2 * STOA_ID_MAX + 3];
	bool name = true;

	if (!told)
		(void)error_set(rc, "%s", stoa_error_text(rc));
	for (uint32_t i = 0; i < id_length; i++)
		name = name && bytes[i] >= 0x20 && bytes[i] != 0x7f;
	if (name)
		return error_prefix(rc, "object '%.*s'", (int)id_length, (const char *)id);
	snprintf(text, sizeof(text), "0x");
	for (uint32_t i = 0; i < id_length; i++)
		snprintf(text + 2 + (size_t)2 * i, 3, "%02x", bytes[i]);
	return error_prefix(rc, "object %s", text);
}

int client_refuse(int rc, const void *id, uint32_t id_length)
{
	return name_object(rc, id, id_length, false);
}

int client_refuse_told(int rc, const void *id, uint32_t id_length)
{
	return name_object(rc, id, id_length, true);
}

/* ---- the socket: one question at a time, under the lock for mapping ---- */

static int ask(const struct stoa_store *store, struct store_message *message)
{
	store_message_mark(message);
	return os_local_send(store->socket, message, sizeof(*message), NULL, 0);
}

/* What a message with a report has behind its head. */
struct heard {
	struct store_report report;
	size_t length; /* bytes, with the head */
	os_handle passed[PASSED_COUNT];
	unsigned count;
};

static void close_passed(struct heard *heard)
{
	while (heard->count)
		os_handle_close(heard->passed[--heard->count]);
}

/* The next message of the server's. STOA_TIMED_OUT. What came with it is the caller's. */
static int hear(const struct stoa_store *store, struct heard *heard, uint64_t deadline)
{
	const struct store_message *message = &heard->report.head;
	int rc;

	heard->count = 0;
	for (;;) {
		uint32_t ready;

		rc = os_local_receive(store->socket, &heard->report, sizeof(heard->report), &heard->length,
				      heard->passed, PASSED_COUNT, &heard->count);
		if (rc != -STOA_EBUSY)
			break;
		rc = os_wait_readable(&store->socket, 1, deadline, &ready);
		if (rc)
			return rc;
	}
	if (rc == -STOA_ECLOSED)
		return error_set(rc, "the store's server has ended");
	if (rc < 0)
		return rc;
	if (heard->length >= sizeof(*message) && store_message_is_marked(message) &&
	    (heard->length == sizeof(*message) || message->kind == STORE_REPORT))
		return 0;
	close_passed(heard);
	return error_set(-STOA_EVERSION, "what listens there is no stoad, or one of another version");
}

/* ---- greeting ---- */

/* Map a memory object of exactly `length` bytes. */
static int map_exactly(os_handle memory, uint64_t length, uint32_t access, void **ret_address)
{
	struct os_memory_info info;
	int rc = os_memory_info(memory, &info);

	if (rc < 0)
		return rc;
	/* So that it cannot be cut under us. */
	if (info.length != length || !(info.seals & OS_SEAL_SHRINK))
		return error_set(-STOA_EFORMAT, "the server's memory is not what it says");
	return os_map(memory, 0, length, access, ret_address);
}

static int map_session(struct stoa_store *store, const struct store_message *welcome, const os_handle *passed)
{
	struct os_memory_info info;
	void *address = NULL;
	uint32_t lines;
	int rc = os_memory_info(passed[PASSED_LEASES], &info);

	if (rc < 0)
		return rc;
	if (welcome->size < OS_PAGE || welcome->size > (UINT64_C(1) << 30) || welcome->size % OS_PAGE ||
	    info.length < lease_bytes(1) || info.length > (UINT64_C(1) << 30))
		return error_set(-STOA_EFORMAT, "a welcome that is not one");
	rc = map_exactly(passed[PASSED_SESSION], sizeof(struct store_session) + welcome->size, OS_READ | OS_WRITE,
			 &address);
	if (rc < 0)
		return rc;
	store->session = address;
	store->ring = (unsigned char *)(store->session + 1);
	store->ring_size = welcome->size;
	rc = map_exactly(passed[PASSED_LEASES], info.length, OS_READ | OS_WRITE, &address);
	if (rc < 0)
		return rc;
	store->leases_length = info.length;
	lines = (uint32_t)((info.length - lease_bytes(0)) / (LEASES_PER_LINE * sizeof(uint64_t)));
	rc = lease_open(address, lines, &store->directory.header->fences, &store->leases);
	if (rc < 0)
		os_unmap(address, info.length);
	return rc;
}

static int map_directory(struct stoa_store *store, uint64_t length, os_handle memory)
{
	void *address;
	int rc = map_exactly(memory, length, OS_READ, &address);

	if (rc < 0)
		return rc;
	rc = directory_open(address, length, &store->directory);
	if (rc < 0)
		os_unmap(address, length);
	return rc;
}

static int greet(struct stoa_store *store, uint32_t leases)
{
	struct store_message hello = {.kind = STORE_HELLO, .count = (leases + LEASES_PER_LINE - 1) / LEASES_PER_LINE};
	const struct store_message *welcome;
	struct heard heard = {.count = 0};
	int rc = ask(store, &hello);

	welcome = &heard.report.head;
	/* Who is refused at once may find the socket closed already; why is in there. */
	if (rc == 0 || rc == -STOA_ECLOSED)
		rc = hear(store, &heard, rc ? 0 : client_patience(0));
	if (rc == STOA_TIMED_OUT)
		rc = error_set(-STOA_EBUSY, "the store's server does not answer");
	if (rc == 0 && welcome->result < 0)
		rc = error_set(welcome->result, "the store's server refused: %s", stoa_error_text(welcome->result));
	else if (rc == 0 && (welcome->kind != STORE_WELCOME || heard.count != PASSED_COUNT))
		rc = error_set(-STOA_EFORMAT, "a welcome that is not one");
	if (rc == 0)
		rc = map_directory(store, welcome->length, heard.passed[PASSED_DIRECTORY]);
	if (rc == 0)
		rc = map_session(store, welcome, heard.passed);
	if (rc == 0) {
		store->bell = heard.passed[PASSED_BELL];
		store->client_bell = heard.passed[PASSED_CLIENT_BELL];
		heard.count = PASSED_BELL;
	}
	close_passed(&heard);
	return rc;
}

static uint32_t chunk_count(const struct stoa_store *store)
{
	return store->directory.shape.arenas / CLIENT_ARENA_CHUNK + 1;
}

static char *copy_text(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = os_allocate(size);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

int stoa_store_open(const char *where, const struct stoa_store_options *options, struct stoa_store **ret_store)
{
	struct stoa_store *store;
	char path[OS_PATH_ROOM];
	int rc;

	if (options && (options->flags || options->leases > STOA_LEASES_MAX))
		return error_set(-STOA_EINVAL, "no such flags (0x%x), or more than %u leases", options->flags,
				 STOA_LEASES_MAX);
	store = os_allocate(sizeof(*store));
	if (!store)
		return -STOA_ENOMEM;
	store->bell = store->client_bell = OS_NO_HANDLE;
	rc = embedded_connect(where, path, &store->socket, &store->embedded);
	if (rc < 0) {
		os_free(store);
		return rc;
	}
	store->where = copy_text(path);
	store->forks = os_fork_generation();
	(void)os_barrier_join();
	rc = store->where ? greet(store, options ? options->leases : 0) : -STOA_ENOMEM;
	if (rc == 0) {
		store->chunks = os_allocate(chunk_count(store) * sizeof(*store->chunks));
		rc = store->chunks ? enlist(store) : -STOA_ENOMEM;
	}
	if (rc < 0) {
		stoa_store_close(store);
		return rc;
	}
	*ret_store = store;
	return 0;
}

static void unmap_arenas(struct stoa_store *store)
{
	for (uint32_t i = 0; store->chunks && i < chunk_count(store); i++) {
		struct client_arena *chunk = load_rlx(&store->chunks[i]);

		for (uint32_t k = 0; chunk && k < CLIENT_ARENA_CHUNK; k++)
			if (chunk[k].address)
				os_unmap(chunk[k].address, chunk[k].size);
		os_free(chunk);
	}
	os_free(store->chunks);
}

void stoa_store_close(struct stoa_store *store)
{
	bool ours;

	if (!store)
		return;
	ours = client_usable(store) == 0;
	if (ours)
		delist(store);
	unmap_arenas(store);
	if (store->leases.shared) {
		struct store_leases *shared = store->leases.shared;

		lease_close(&store->leases);
		os_unmap(shared, store->leases_length);
	}
	if (store->session)
		os_unmap(store->session, sizeof(*store->session) + store->ring_size);
	if (store->directory.header)
		os_unmap(store->directory.header, store->directory.length);
	if (store->client_bell != OS_NO_HANDLE)
		os_handle_close(store->client_bell);
	if (store->bell != OS_NO_HANDLE)
		os_handle_close(store->bell);
	if (store->socket != OS_NO_HANDLE)
		os_handle_close(store->socket);
	if (store->embedded && ours)
		embedded_release();
	os_free(store->where);
	os_free(store);
}

/* ---- arenas ---- */

/* Where this process notes the arena; NULL: no memory. The lock for mapping is held. */
static struct client_arena *note_of(struct stoa_store *store, uint32_t arena)
{
	struct client_arena *chunk = load_rlx(&store->chunks[arena / CLIENT_ARENA_CHUNK]);

	if (!chunk) {
		chunk = os_allocate(CLIENT_ARENA_CHUNK * sizeof(*chunk));
		if (!chunk)
			return NULL;
		/* R4: the notes, all zero; pairs with A5 in find_mapped() */
		store_rel(&store->chunks[arena / CLIENT_ARENA_CHUNK], chunk);
	}
	return &chunk[arena % CLIENT_ARENA_CHUNK];
}

static bool find_mapped(const struct stoa_store *store, uint32_t arena, unsigned char **ret_address, uint64_t *ret_size)
{
	/* A5: the notes; pairs with R4 in note_of() */
	struct client_arena *note = load_acq(&store->chunks[arena / CLIENT_ARENA_CHUNK]);
	uint64_t generation;

	if (!note)
		return false;
	note += arena % CLIENT_ARENA_CHUNK;
	generation = load_acq(&note->generation); /* A6: address and size; pairs with R5 in map_arena() */
	if (!generation || generation != load_rlx(&store->directory.arenas[arena].generation))
		return false;
	*ret_address = load_rlx(&note->address);
	*ret_size = note->size;
	return true;
}

/* The answer to the question, if it is the next message; STOA_TIMED_OUT: it has not come yet, or another one has. What came with it is the caller's. */
static int hear_answer(const struct stoa_store *store, const struct store_message *question, uint64_t deadline,
		       struct heard *heard)
{
	const struct store_message *answer = &heard->report.head;
	int rc = hear(store, heard, deadline);

	if (rc)
		return rc;
	/* What was asked for by somebody who did not wait as long; or the welcome, once more, by a server that came since. */
	if (answer->kind == question->kind + 1 && answer->arena == question->arena &&
	    answer->generation == question->generation && answer->length == question->length)
		return 0;
	close_passed(heard);
	return STOA_TIMED_OUT;
}

/* Who drops a message is done soon. */
static void hear_alone(struct stoa_store *store)
{
	uint32_t free = 0;

	/* A8: what another one took is not there any more; pairs with R6 in hear_no_more() */
	while (!cas_acq(&store->hearing, &free, 1)) {
		free = 0;
		os_yield();
	}
}

static void hear_no_more(struct stoa_store *store)
{
	store_rel(
		&store->hearing,
		0); /* R6: the next one hears what comes after; pairs with A8 in hear_alone(), A9 in client_discard() */
}

void client_discard(struct stoa_store *store)
{
	struct heard heard;
	uint32_t free = 0;

	/* A9: the same; pairs with R6 in hear_no_more(). Who hears already is about to take it. */
	if (!cas_acq(&store->hearing, &free, 1)) {
		os_yield();
		return;
	}
	if (hear(store, &heard, 0) == 0)
		close_passed(&heard);
	hear_no_more(store);
}

/* Ask the server; and again, if that one died with the question. */
static int inquire(struct stoa_store *store, struct store_message *question, struct heard *heard)
{
	const _Atomic uint64_t *servers = &store->directory.header->server;
	uint64_t deadline = client_patience(0), server = 0;
	int rc = STOA_TIMED_OUT;

	hear_alone(store);
	while (rc == STOA_TIMED_OUT) {
		uint64_t now = os_now();

		if (now >= deadline)
			break;
		if (server != load_rlx(servers)) {
			server = load_rlx(servers);
			rc = ask(store, question);
			if (rc < 0)
				break;
		}
		rc = hear_answer(store, question, MUTANT(NO_RECHECK) ? deadline : now + RECHECK, heard);
	}
	hear_no_more(store);
	return rc;
}

/* A descriptor of an arena. */
static int fetch(struct stoa_store *store, uint32_t arena, uint64_t generation, os_handle *ret_memory,
		 struct store_message *ret_answer)
{
	struct store_message question = {.kind = STORE_ASK_ARENA, .arena = arena, .generation = generation};
	struct heard heard;
	int rc = inquire(store, &question, &heard);

	if (rc)
		return rc;
	*ret_answer = heard.report.head;
	if (ret_answer->result < 0)
		rc = error_set(ret_answer->result, "the object's memory: %s", stoa_error_text(ret_answer->result));
	else if (heard.count != 1)
		rc = error_set(-STOA_EFORMAT, "an answer without its descriptor");
	else
		*ret_memory = heard.passed[--heard.count];
	close_passed(&heard);
	return rc;
}

int client_report(struct stoa_store *store, struct store_message *question, uint64_t each, uint32_t most,
		  struct store_report *ret_report)
{
	struct heard heard;
	int rc;

	question->kind = STORE_ASK_REPORT;
	os_lock(&store->mapping);
	/* So that what somebody else did not wait for is not taken for the answer. */
	question->length = ++store->questions;
	rc = inquire(store, question, &heard);
	os_unlock(&store->mapping);
	if (rc)
		return rc;
	close_passed(&heard);
	*ret_report = heard.report;
	if (ret_report->head.result < 0)
		return error_set(ret_report->head.result, "the store's server: %s",
				 stoa_error_text(ret_report->head.result));
	if (ret_report->head.count > most || heard.length != sizeof(ret_report->head) + ret_report->head.count * each)
		return error_set(-STOA_EFORMAT, "a report that is not as long as it says");
	return 0;
}

/* The lock for mapping is held. */
static int map_arena(struct stoa_store *store, uint32_t arena, struct client_arena *note)
{
	struct store_message message;
	struct store_arena record;
	os_handle memory = OS_NO_HANDLE;
	void *address;
	int rc = directory_arena_read(&store->directory, arena, &record);

	if (rc == DIRECTORY_CHANGED)
		return -STOA_ENOENT;
	if (rc == 0)
		rc = fetch(store, arena, load_rlx(&record.generation), &memory, &message);
	if (rc)
		return rc;
	/* Of an arena that is gone nobody holds anything. */
	if (note->address)
		os_unmap(note->address, note->size);
	store_rlx(&note->generation, 0);
	note->address = NULL;
	if (!(os_memory_seals(memory) & OS_SEAL_SHRINK))
		rc = error_set(-STOA_EFORMAT, "the server's memory can be cut");
	else
		rc = os_map(memory, 0, record.size, message.count ? OS_READ | OS_WRITE : OS_READ, &address);
	os_handle_close(memory);
	if (rc < 0)
		return rc;
	store_rlx(&note->address, address);
	note->size = record.size;
	note->holds = 0;
	/* R5: where it is; pairs with A6 in find_mapped() */
	store_rel(&note->generation, load_rlx(&record.generation));
	return 0;
}

int client_fetch(struct stoa_store *store, uint32_t arena, os_handle *ret_memory, bool *ret_writable)
{
	struct store_message message;
	struct store_arena record;
	int rc = directory_arena_read(&store->directory, arena, &record);

	if (rc == DIRECTORY_CHANGED)
		return -STOA_ENOENT;
	if (rc < 0)
		return rc;
	os_lock(&store->mapping);
	rc = fetch(store, arena, load_rlx(&record.generation), ret_memory, &message);
	os_unlock(&store->mapping);
	if (rc == 0 && !(os_memory_seals(*ret_memory) & OS_SEAL_SHRINK)) {
		os_handle_close(*ret_memory);
		return error_set(-STOA_EFORMAT, "the server's memory can be cut");
	}
	if (rc == 0)
		*ret_writable = message.count;
	return rc;
}

static int arena_slow(struct stoa_store *store, uint32_t arena, bool one_object, unsigned char **ret_address,
		      uint64_t *ret_size)
{
	struct client_arena *note;
	int rc = client_usable(store);

	if (rc < 0)
		return rc;
	os_lock(&store->mapping);
	note = note_of(store, arena);
	rc = note ? 0 : -STOA_ENOMEM;
	if (rc == 0 && !find_mapped(store, arena, ret_address, ret_size)) {
		rc = map_arena(store, arena, note);
		*ret_address = note->address;
		*ret_size = note->size;
	}
	if (rc == 0 && one_object)
		note->holds++;
	os_unlock(&store->mapping);
	return rc;
}

int client_arena(struct stoa_store *store, uint32_t arena, bool one_object, unsigned char **ret_address,
		 uint64_t *ret_size)
{
	if (arena >= store->directory.shape.arenas)
		return error_set(-STOA_EFORMAT, "an arena that there is not");
	if (CC_LIKELY(!one_object && find_mapped(store, arena, ret_address, ret_size)))
		return 0;
	return arena_slow(store, arena, one_object, ret_address, ret_size);
}

void client_arena_release(struct stoa_store *store, uint32_t arena)
{
	struct client_arena *note;

	os_lock(&store->mapping);
	note = note_of(store, arena);
	if (note && note->holds && --note->holds == 0) {
		store_rlx(&note->generation, 0);
		os_unmap(note->address, note->size);
		note->address = NULL;
	}
	os_unlock(&store->mapping);
}
