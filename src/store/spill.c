/* SPDX-License-Identifier: MIT */
/*
 * Spilling: what nobody holds and was not used for longest goes to a file when there is no room, instead of being lost, and comes back when
 * somebody gets it. Here is decided what goes and comes, and in which order those get room who wait for it.
 *
 * Order: whoever cannot have room yet, a client's request or an object that is to come back, gets a number, and nobody with a higher one,
 * or with none, takes room before. So a big one is not passed by small ones for ever. Two objects that do not fit side by side, and that two
 * clients want, come back in turns: what has come back is guarded for a while, or until it was held; so each is held in its turn.
 *
 * Room in the folder: new objects leave some of it, for as much must go out, before its own file is removed, as one that comes back needs.
 */
#include <store/spill.h>

#include <base/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAUSE UINT64_C(1000000000)    /* nanoseconds without a try, after one that failed */
#define TRY_EVERY UINT64_C(100000000) /* nanoseconds between tries of those who wait for room */
#define AGAIN UINT64_C(10000000)      /* until the ring is tried again */
#define GUARDED UINT64_C(500000000)   /* until what has come back may go again, if nobody has held it */
#define BATCH_SHARE 64u               /* of the limit, this part goes at a time, if less is needed */
#define BATCH_MAX (UINT64_C(8) << 20)

/* ---- turns ---- */

bool spill_is_turn(const struct stoa_server *server, const struct server_turn *turn)
{
	const struct spill_fetch *first = server->spill ? server->spill->first : NULL;
	uint64_t number = turn->number ? turn->number : UINT64_MAX;

	if (first && first->turn.number < number)
		return false;
	for (uint32_t i = 0; server->turn_count && i < server->session_count; i++)
		if (server->sessions[i] && server->sessions[i]->turn.number &&
		    server->sessions[i]->turn.number < number)
			return false;
	return true;
}

void spill_wait_turn(struct stoa_server *server, struct server_turn *turn)
{
	if (!turn->number) {
		turn->number = ++server->turns;
		server->turn_count++;
	}
	turn->rooms = server->rooms;
}

void spill_end_turn(struct stoa_server *server, struct server_turn *turn)
{
	if (!turn->number)
		return;
	turn->number = 0;
	server->turn_count--;
	server->rooms++; /* it is the next one's turn */
}

/* ---- what goes ---- */

void spill_count(struct stoa_server *server, uint64_t more)
{
	server->spill->bytes += more;
	store_rlx(&server->header->spilled_bytes, server->spill->bytes);
}

static CC_PRINTF(2, 3) void tell(const struct stoa_server *server, const char *format, ...)
{
	char sentence[1024];
	va_list arguments;

	if (!server->options.tell)
		return;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	server->options.tell(sentence, server->options.tell_argument);
}

void spill_failed(struct stoa_server *server, int result)
{
	if (!server->spill->failing)
		tell(server, "no object can be written to '%s' now: %s", server->options.spill_folder,
		     stoa_error_text(result));
	server->spill->failing = true;
	server_count(&server->header->spill_failures, 1);
	server->spill->paused = os_now() + PAUSE;
}

void spill_guard(struct stoa_server *server, uint32_t number)
{
	struct server_spill *spill = server->spill;

	spill->guards[spill->next_guard++ % SPILL_GUARDS] =
		(struct spill_guard){number, load_rlx(&object_entry(server, number)->state), os_now() + GUARDED};
}

static bool is_guarded(const struct stoa_server *server, uint32_t number)
{
	uint64_t state = load_rlx(&object_entry(server, number)->state), now = os_now();

	for (unsigned i = 0; i < SPILL_GUARDS; i++) {
		const struct spill_guard *guard = &server->spill->guards[i];

		if (guard->entry == number && guard->state == state && guard->until > now)
			return true;
	}
	return false;
}

void spill_used(struct stoa_server *server, const uint64_t *recent)
{
	for (unsigned i = 0; i < SPILL_GUARDS; i++) {
		struct spill_guard *guard = &server->spill->guards[i];

		if (guard->entry && recent[guard->entry / 64] >> guard->entry % 64 & 1)
			*guard = (struct spill_guard){0};
	}
}

struct wanted {
	uint64_t bytes;   /* of memory */
	uint64_t reserve; /* of the folder, which must be left */
	bool later;       /* something is there that may go soon */
};

/* Of a cache the files that have been there for long make room for others. */
static bool drop_one(struct stoa_server *server)
{
	struct server_spill *spill = server->spill;
	uint32_t reached = server->book.entries.reached, length;
	const uint8_t *id;

	if (!(server->options.flags & STOA_SERVER_EVICT))
		return false;
	for (uint32_t steps = 0; steps < reached; steps++) {
		uint32_t number = spill->hand = spill->hand + 1 < reached ? spill->hand + 1 : 1;

		if (number >= reached ||
		    store_state_of(load_rlx(&object_entry(server, number)->state)) != STORE_SPILLED ||
		    load_rlx(&object_entry(server, number)->flags) & STOA_OBJECT_PINNED ||
		    spill_is_moved(spill, number) || object_end(server, number, STOA_EVENT_EVICTED) < 0)
			continue;
		id = directory_id(&server->book, number, &length);
		waiting_fetched(server, id, length, -STOA_ENOENT);
		server_count(&server->header->evictions, 1);
		return object_reap(server);
	}
	return false;
}

/* 0; SERVER_LATER: when files are gone that are being removed; -STOA_ENOMEM. */
static int folder_has_room(struct stoa_server *server, uint64_t length, uint64_t reserve)
{
	const struct server_spill *spill = server->spill;
	uint64_t limit = server->options.spill_limit;

	while (spill->bytes - spill->removing + length + reserve > limit)
		if (length + reserve > limit || !drop_one(server))
			return -STOA_ENOMEM;
	return spill->bytes + length + reserve > limit ? SERVER_LATER : 0;
}

/* For evict_visit(). */
static enum evict_answer spill_one(struct stoa_server *server, uint32_t number, void *argument)
{
	struct wanted *wanted = argument;
	const struct store_entry *entry = object_entry(server, number);
	uint64_t extent = entry->extent, length = spill_length(load_rlx(&entry->size));
	int rc;

	if (!wanted->bytes)
		return EVICT_ENOUGH;
	if (spill_is_moved(server->spill, number))
		return EVICT_PASSED;
	if (is_guarded(server, number)) {
		wanted->later = true;
		return EVICT_PASSED;
	}
	rc = folder_has_room(server, length, wanted->reserve);
	if (rc == SERVER_LATER)
		wanted->later = true;
	if (rc < 0)
		return rc == SERVER_LATER ? EVICT_ENOUGH : EVICT_PASSED;
	if (spill_move_out(server, number) < 0)
		return EVICT_ENOUGH;
	wanted->bytes -= extent < wanted->bytes ? extent : wanted->bytes;
	return EVICT_TAKEN;
}

static void go(struct stoa_server *server)
{
	server->spill->again = os_ring_go(server->spill->ring) < 0 ? os_now() + AGAIN : 0;
}

bool spill_some(struct stoa_server *server, uint64_t bytes)
{
	struct server_spill *spill = server->spill;
	struct wanted wanted = {0};
	uint64_t batch = server->options.limit / BATCH_SHARE;

	if (!spill)
		return false;
	if (batch > BATCH_MAX)
		batch = BATCH_MAX;
	/* What comes back may take all of the folder: its own file goes when it is back. */
	wanted.reserve = spill->restoring ? 0 : 2 * spill->largest;
	if (!spill->restoring && bytes < batch)
		bytes = batch;
	wanted.bytes = bytes > spill->going ? bytes - spill->going : 0;
	if (wanted.bytes && os_now() >= spill->paused) {
		evict_visit(server, false, spill_one, &wanted);
		if (wanted.bytes && !spill->outs)
			evict_visit(server, true, spill_one, &wanted);
		go(server);
	}
	return spill->outs || wanted.later;
}

/* ---- what comes back ---- */

static bool is_fetched(const struct server_spill *spill, uint32_t number, uint64_t state)
{
	const struct spill_fetch *fetch = spill->first;

	while (fetch && (fetch->entry != number || fetch->state != state))
		fetch = fetch->next;
	return fetch || spill_is_moved(spill, number);
}

int spill_fetch(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint32_t number = directory_lookup(&server->book, request->id, request->head.id_length);
	const struct store_entry *entry = object_entry(server, number);
	uint64_t state = number ? load_rlx(&entry->state) : 0;
	struct spill_fetch *fetch;

	if (!number || store_state_of(state) != STORE_SPILLED)
		return number && store_state_of(state) == STORE_SEALED ? 0 : -STOA_ENOENT;
	if (!object_may_read(session, entry->owner, entry->access, entry->reader))
		return -STOA_EACCES;
	if (is_fetched(server->spill, number, state))
		return waiting_add_fetch(server, session, request);
	fetch = os_allocate(sizeof(*fetch));
	if (!fetch)
		return -STOA_ENOMEM;
	*fetch = (struct spill_fetch){
		.entry = number, .state = state, .turn = {.number = ++server->turns, .rooms = server->rooms - 1}};
	*server->spill->last = fetch;
	server->spill->last = &fetch->next;
	return waiting_add_fetch(server, session, request);
}

void spill_lost(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);
	char name[SPILL_NAME];

	server_count(&server->header->spill_losses, 1);
	spill_name(server, number, store_generation_of(load_rlx(&entry->state)), SPILL_WHOLE, name);
	tell(server, "an object is lost: its file '%s/%s' is gone, or is not what was written",
	     server->options.spill_folder, name);
}

void spill_unrestored(struct stoa_server *server, uint32_t number, int result, bool lost)
{
	uint32_t length;
	const uint8_t *id = directory_id(&server->book, number, &length);

	if (lost && object_end(server, number, STOA_EVENT_EVICTED) == 0) {
		spill_lost(server, number);
		result = -STOA_EFORMAT;
	} else if (result != -STOA_ENOMEM) {
		server_count(&server->header->spill_failures, 1);
	}
	waiting_fetched(server, id, length, result);
}

/* The first of those that are to come back. false: it has to wait. */
static bool begin_first(struct stoa_server *server)
{
	struct server_spill *spill = server->spill;
	struct spill_fetch *fetch = spill->first;
	int rc = 0;

	if (spill->ins == SPILL_MOVES || fetch->turn.rooms == server->rooms ||
	    (!spill->coming.arena && !spill_is_turn(server, &fetch->turn)))
		return false;
	if (load_rlx(&object_entry(server, fetch->entry)->state) == fetch->state) {
		spill->restoring = true;
		rc = spill_move_in(server, fetch->entry);
		spill->restoring = false;
	}
	if (rc == SERVER_LATER) {
		fetch->turn.rooms = server->rooms;
		return false;
	}
	if (rc == MEMORY_STEPS) {
		fetch->turn.rooms = server->rooms - 1;
		return false;
	}
	memory_drop_coming(server, &spill->coming); /* it was deleted meanwhile */
	if (rc < 0)
		spill_unrestored(server, fetch->entry, rc, false);
	spill->first = fetch->next;
	if (!spill->first)
		spill->last = &spill->first;
	os_free(fetch);
	server->rooms++; /* it is the next one's turn */
	return true;
}

/* ---- files that go ---- */

static void begin_removal(struct server_spill *spill, struct spill_removal *removal)
{
	removal->job = (struct os_job){.kind = OS_JOB_REMOVE, .file = spill->folder, .name = removal->name, .user = 1};
	spill->removals++;
	(void)os_ring_submit(spill->ring, &removal->job);
}

void spill_remove(struct stoa_server *server, const char *name, uint64_t length)
{
	struct server_spill *spill = server->spill;
	struct spill_removal *removal = os_allocate(sizeof(*removal));

	if (!removal) {
		(void)os_folder_remove(spill->folder, name);
		spill_count(server, 0 - length);
		return;
	}
	removal->length = length;
	spill->removing += length;
	snprintf(removal->name, sizeof(removal->name), "%s", name);
	if (spill->removals < SPILL_REMOVALS) {
		begin_removal(spill, removal);
		return;
	}
	removal->next = spill->waiting;
	spill->waiting = removal;
}

void spill_removed(struct stoa_server *server, struct spill_removal *removal)
{
	struct server_spill *spill = server->spill;
	struct spill_removal *next = spill->waiting;

	spill_count(server, 0 - removal->length);
	spill->removing -= removal->length;
	server->rooms++;
	os_free(removal);
	spill->removals--;
	if (!next)
		return;
	spill->waiting = next->next;
	begin_removal(spill, next);
}

void spill_forget(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);
	char name[SPILL_NAME];

	if (!server->spill)
		return;
	spill_name(server, number, store_generation_of(load_rlx(&entry->state)), SPILL_WHOLE, name);
	spill_remove(server, name, spill_length(load_rlx(&entry->size)));
}

/* ---- the loop ---- */

static void greet_waiting(struct stoa_server *server)
{
	for (uint32_t i = 0; server->turn_count && i < server->session_count; i++) {
		struct server_session *session = server->sessions[i];

		if (session && !session->greeted && session->turn.number && session->turn.rooms != server->rooms)
			session_greet_again(server, session);
	}
}

/* What was guarded may go: for those who wait that is as good as room. */
static void end_guards(struct stoa_server *server)
{
	for (unsigned i = 0; i < SPILL_GUARDS; i++) {
		struct spill_guard *guard = &server->spill->guards[i];

		if (!guard->entry || guard->until > os_now())
			continue;
		*guard = (struct spill_guard){0};
		server->rooms++;
	}
}

static bool anybody_waits(const struct stoa_server *server)
{
	return server->turn_count || server->spill->first;
}

void spill_work(struct stoa_server *server)
{
	struct server_spill *spill = server->spill;

	if (!spill)
		return;
	if (spill->outs || spill->ins || spill->removals)
		(void)spill_move_on(server);
	if (anybody_waits(server)) {
		end_guards(server);
		greet_waiting(server);
		while (spill->first && begin_first(server))
			;
	}
	if (os_now() >= spill->tries && waiting_for_room(server)) {
		spill->tries = os_now() + TRY_EVERY;
		waiting_try(server);
	}
	if (!spill->again || os_now() >= spill->again)
		go(server);
}

uint64_t spill_wake_up(const struct stoa_server *server)
{
	const struct server_spill *spill = server->spill;
	uint64_t at = UINT64_MAX;

	if (!spill)
		return at;
	if (spill->again)
		at = spill->again;
	if (waiting_for_room(server) && spill->tries < at)
		at = spill->tries;
	for (unsigned i = 0; anybody_waits(server) && i < SPILL_GUARDS; i++)
		if (spill->guards[i].entry && spill->guards[i].until < at)
			at = spill->guards[i].until;
	return at;
}

/* ---- starting and ending ---- */

os_handle spill_event(const struct stoa_server *server)
{
	return os_ring_event(server->spill->ring);
}

int spill_start(struct stoa_server *server)
{
	struct server_spill *spill;
	int rc;

	if (!server->options.spill_folder)
		return 0;
	spill = os_allocate(sizeof(*spill));
	if (!spill)
		return -STOA_ENOMEM;
	spill->last = &spill->first;
	rc = os_folder_open(server->options.spill_folder, &spill->folder);
	if (rc == 0) {
		rc = os_ring_create(OS_RING_ANY, 2 * SPILL_MOVES + SPILL_REMOVALS, &spill->ring);
		if (rc == 0)
			rc = os_poller_add(server->poller, os_ring_event(spill->ring), SERVER_KEY_FILES);
		if (rc < 0) {
			os_ring_close(spill->ring);
			os_handle_close(spill->folder);
		}
	}
	if (rc < 0)
		os_free(spill);
	else
		server->spill = spill;
	return rc < 0 ? error_prefix(rc, "where objects are spilled to") : 0;
}

bool spill_has_file(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);
	char name[SPILL_NAME];
	uint64_t length;

	spill_name(server, number, store_generation_of(load_rlx(&entry->state)), SPILL_WHOLE, name);
	return os_folder_look(server->spill->folder, name, &length) == 0 &&
	       length == spill_length(load_rlx(&entry->size));
}

int spill_knows(struct stoa_server *server)
{
	char name[SPILL_NAME];
	uint64_t length;

	if (!server->spill)
		return error_set(-STOA_EINVAL, "the last server has spilled objects: this one must be told where to");
	if (server->spill->known)
		return 0;
	spill_store_name(server, name);
	if (os_folder_look(server->spill->folder, name, &length) < 0)
		return error_set(-STOA_EINVAL,
				 "'%s' is not where the last server has spilled objects to; if their files are lost, "
				 "make an empty file '%s' there",
				 server->options.spill_folder, name);
	server->spill->known = true;
	return 0;
}

void spill_adopt(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);

	if (!server->spill)
		return;
	spill_count(server, spill_length(load_rlx(&entry->size)));
	if (store_state_of(load_rlx(&entry->state)) == STORE_SPILLED)
		server_count(&server->header->spilled, 1);
}

/* A file that no entry names, or, when all ends, any of this store's. Of others it knows nothing. */
static int tidy(const char *name, void *argument)
{
	struct stoa_server *server = argument;
	uint64_t generation;
	uint32_t number;
	bool whole, named = false;

	if (!spill_name_parse(server, name, &number, &generation, &whole))
		return 0;
	if (number && number < server->book.entries.reached && whole && !server->spill->ends) {
		const struct store_entry *entry = object_entry(server, number);

		named = entry->kind == STORE_FILE && store_state_of(load_rlx(&entry->state)) != STORE_FREE &&
			store_generation_of(load_rlx(&entry->state)) == generation;
	}
	if (!named)
		(void)os_folder_remove(server->spill->folder, name);
	return 0;
}

int spill_started(struct stoa_server *server)
{
	char name[SPILL_NAME];
	int rc;

	if (!server->spill)
		return 0;
	spill_store_name(server, name);
	rc = os_folder_mark(server->spill->folder, name);
	return rc == 0 ? os_folder_visit(server->spill->folder, tidy, server) : rc;
}

static void remove_all(struct stoa_server *server)
{
	char name[SPILL_NAME];

	server->spill->ends = true;
	(void)os_folder_visit(server->spill->folder, tidy, server);
	spill_store_name(server, name);
	(void)os_folder_remove(server->spill->folder, name);
}

/* What is under way when it ends is as if the server had been killed then. */
void spill_end(struct stoa_server *server)
{
	struct server_spill *spill = server->spill;

	if (!spill)
		return;
	os_poller_remove(server->poller, os_ring_event(spill->ring));
	spill_close_moves(server);
	if (!server->leaving && server->header)
		remove_all(server);
	while (spill->first) {
		struct spill_fetch *fetch = spill->first;

		spill->first = fetch->next;
		os_free(fetch);
	}
	while (spill->waiting) {
		struct spill_removal *removal = spill->waiting;

		spill->waiting = removal->next;
		os_free(removal);
	}
	os_handle_close(spill->folder);
	os_free(spill);
	server->spill = NULL;
}
