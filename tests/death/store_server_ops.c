/* SPDX-License-Identifier: MIT */
/*
 * Scenes of stores whose server is the victim. It has taken over from one that is gone, so that it has all that a server has, and does one thing;
 * two clients in the world's process have maps of the store meanwhile. One has asked for something, and must be told by the successor what
 * a server that had not died would have told it. The other one reads, while the victim stands, and while there is no server: it finds all
 * as before, or as after.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_scene.h"

struct server_plan {
	int (*ready)(struct step_world *world);    /* a server runs; may be NULL */
	int (*half)(struct step_world *world);     /* it has stopped, and dies in the middle of this; may be NULL */
	int (*ask)(struct step_world *world);      /* there is none; may be NULL */
	int (*before)(struct step_world *world);   /* in the victim, when it has taken over; may be NULL */
	void (*operate)(struct step_world *world); /* NULL: what the first client has asked for */
	int (*look)(struct step_world *world);     /* the outcome: 0, 1; -1 */
	int (*after)(struct step_world *world);    /* a successor runs, and has done what was asked for; may be NULL */
	int last;                                  /* the outcome when all is done; 0: 1 */
	bool takes_over;                           /* that is what the victim is to do */
	bool same;                                 /* as seen by readers, before and after */
};

struct server_report {
	_Atomic int32_t outcome;
	_Atomic uint32_t waits; /* a helper does, for `go` */
	_Atomic uint32_t go;
	_Atomic uint32_t got; /* it has what it was to get */
	_Atomic int32_t result;
	_Atomic uint32_t done;
};

static const struct server_plan *plan_of(const struct step_world *world)
{
	return store_scene(world)->plan;
}

static struct server_report *report_of(const struct step_world *world)
{
	return world->hidden;
}

static struct server_session *first_session(const struct step_world *world)
{
	return store_scene(world)->server->sessions[0];
}

/* ---- the scene ---- */

static int set_up(struct step_world *world, const struct server_plan *plan)
{
	struct store_scene *scene;
	int rc = scene_setup(world, true);

	if (rc)
		return rc;
	scene = store_scene(world);
	scene->plan = plan;
	if (plan->ready)
		rc = plan->ready(world);
	scene_halt(world);
	if (rc == 0 && plan->half)
		rc = plan->half(world);
	if (rc == 0)
		scene_leave(world);
	return rc == 0 && plan->ask ? plan->ask(world) : rc;
}

static void prepare(struct step_world *world)
{
	const struct server_plan *plan = plan_of(world);

	if (!plan->takes_over && (scene_serve(world, true) < 0 || (plan->before && plan->before(world) < 0)))
		_exit(98);
}

static void operate(struct step_world *world)
{
	if (plan_of(world)->takes_over)
		(void)scene_serve(world, true);
	else if (plan_of(world)->operate)
		plan_of(world)->operate(world);
	else
		(void)session_work(store_scene(world)->server, first_session(world));
}

/* The victim waits for the holder, which answers by itself. */
static void unblock(struct step_world *world)
{
	const struct timespec pause = {0, 500000};

	(void)world;
	nanosleep(&pause, NULL);
}

/* What the reader finds, always. */
static int look(struct step_world *world)
{
	int outcome = plan_of(world)->look(world);

	if (outcome >= 0 && scene_read(world, "keep") != SCENE_KEEP)
		return step_bad(world, "'keep' is not there");
	return outcome;
}

static int meet(struct step_world *world)
{
	return look(world) < 0 ? -1 : 0;
}

/* The successor comes to it by itself. */
static int await(struct step_world *world, int outcome)
{
	const uint64_t deadline = death_deadline(world);
	int found;

	while ((found = look(world)) != outcome) {
		if (found < 0 || stoa_now() > deadline)
			return step_bad(world, "the successor did not do it");
		sched_yield();
	}
	return 0;
}

static int be_told(struct step_world *world, struct scene_call *asked)
{
	int rc = client_wait(asked->store, &asked->call, asked->server, death_deadline(world));

	if (rc && !(asked->server && rc == STOA_EXISTED)) /* it is to look again */
		return step_bad(world, "the client was told %s", stoa_error_name(rc));
	return 0;
}

/* What was asked for, and what strangers do. */
static int go_on(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	const struct server_plan *plan = plan_of(world);

	for (unsigned i = 0; i < scene->called; i++)
		if (be_told(world, &scene->calls[i]) < 0)
			return -1;
	if (plan->after && plan->after(world) < 0)
		return -1;
	return await(world, plan->same ? 0 : plan->last ? plan->last : 1) < 0 ? -1 : scene_work(world);
}

static int settle(struct step_world *world)
{
	int outcome = look(world), rc;

	if (outcome < 0)
		return -1;
	report_of(world)->outcome = outcome;
	if (scene_serve(world, true) < 0 || scene_check_books(world) < 0 || scene_run(world) < 0)
		return -1;
	rc = go_on(world);
	scene_halt(world);
	if (rc < 0)
		return -1;
	(void)object_reap(store_scene(world)->server);
	return scene_check_books(world) < 0 ? -1 : scene_end(world);
}

static int verify(struct step_world *world)
{
	return report_of(world)->outcome;
}

/* ---- asking, without a server ---- */

static int ask_by(struct step_world *world, struct stoa_store *store, struct store_request request, const char *id,
		  const void *data, uint64_t length)
{
	struct scene_call *asked = &store_scene(world)->calls[store_scene(world)->called++];
	struct client_bytes bytes = {.id = id, .data = data, .data_length = length};

	request.id_length = (uint16_t)(id ? strlen(id) : 0);
	asked->store = store;
	return client_ask(store, &request, &bytes, &asked->call, death_deadline(world))
		       ? step_bad(world, "ask: %s", stoa_error_detail())
		       : 0;
}

static int ask(struct step_world *world, struct store_request request, const char *id, const void *data,
	       uint64_t length)
{
	return ask_by(world, store_scene(world)->asks, request, id, data, length);
}

static int ask_put(struct step_world *world, const char *id, uint32_t flags, uint8_t access)
{
	unsigned char bytes[SCENE_SIZE];

	memset(bytes, SCENE_NEW, sizeof(bytes));
	return ask(world,
		   (struct store_request){.op = STORE_OP_PUT,
					  .size = sizeof(bytes),
					  .kind = STORE_IMMUTABLE,
					  .flags = flags,
					  .access = access},
		   id, bytes, sizeof(bytes));
}

/* ---- put ---- */

static int ask_new(struct step_world *world)
{
	return ask_put(world, "new", 0, STORE_BY_OWNER);
}

static int ask_old(struct step_world *world)
{
	return ask_put(world, "old", STOA_OBJECT_REPLACE, STORE_BY_OWNER);
}

/* So that the reader has the arena: an object of that class, which is gone again. */
static int ask_for_all(struct step_world *world)
{
	return ask_put(world, "new", 0, STORE_BY_ALL);
}

static const struct server_plan put_plan = {.ask = ask_new, .look = scene_look_new};
static const struct server_plan replace_plan = {.ask = ask_old, .look = scene_look_old};
static const struct server_plan arena_plan = {.ask = ask_for_all, .look = scene_look_sealed, .after = scene_look_new};

/* ---- made in place ---- */

static int ask_create(struct step_world *world)
{
	return ask(world, (struct store_request){.op = STORE_OP_CREATE, .size = SCENE_LARGE, .kind = STORE_PRIVATE},
		   "new", NULL, 0);
}

static int look_made(struct step_world *world)
{
	uint32_t made = scene_count(world, STORE_WRITING);

	return made <= 1 ? (int)made : step_bad(world, "%u objects are being made", made);
}

/* What the completion says can be used. */
static int seal_made(struct step_world *world)
{
	const struct store_completion *made = &store_scene(world)->calls[0].call.completion;
	const struct store_entry *entry = &store_scene(world)->reads->directory.entries[made->entry];

	if (load_rlx(&entry->state) != made->state || entry->arena != made->arena || entry->offset != made->offset)
		return step_bad(world, "the client was told of another entry");
	return 0;
}

static const struct server_plan create_plan = {.ask = ask_create, .look = look_made, .after = seal_made};

static int make_draft(struct step_world *world, const char *id, uint32_t kind, uint32_t flags)
{
	const struct stoa_object_options options = {.kind = kind, .flags = flags};
	struct store_scene *scene = store_scene(world);
	int rc;

	/* The reader has a map of the arena, so as to need no server. */
	if (kind == STOA_OBJECT_PRIVATE) {
		if (scene_put(world, scene->asks, "warm", SCENE_NEW, SCENE_LARGE, kind, 0) < 0 ||
		    scene_read(world, "warm") != SCENE_NEW || stoa_store_delete(scene->asks, "warm", 4))
			return step_bad(world, "no arena");
	}
	rc = stoa_store_create(scene->asks, id, (uint32_t)strlen(id), SCENE_LARGE, &options, &scene->draft);
	if (rc)
		return step_bad(world, "create: %s", stoa_error_detail());
	memset(scene->draft.data, SCENE_NEW, SCENE_LARGE);
	scene->entry = (uint32_t)scene->draft.hold[0];
	scene->state = scene->draft.hold[1];
	return 0;
}

static int draft_new(struct step_world *world)
{
	return make_draft(world, "new", STOA_OBJECT_PRIVATE, 0);
}

static int draft_old(struct step_world *world)
{
	return make_draft(world, "old", STOA_OBJECT_PRIVATE, STOA_OBJECT_REPLACE);
}

/* Its maker has sealed its memory, as it does before it asks for the object to be. */
static int draft_own(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	uint32_t arena;
	os_handle memory;
	bool writable;
	int rc = make_draft(world, "new", STOA_OBJECT_SEALED, 0);

	if (rc < 0)
		return rc;
	/* Its maker seals it, and then asks. */
	arena = (uint32_t)scene->draft.hold[2];
	client_arena_release(scene->asks, arena);
	scene->draft.hold[3] = 0;
	rc = client_fetch(scene->asks, arena, &memory, &writable);
	if (rc == 0) {
		rc = os_memory_seal(memory, OS_SEAL_WRITE);
		os_handle_close(memory);
	}
	return rc ? step_bad(world, "sealing: %s", stoa_error_detail()) : 0;
}

static int ask_about_draft(struct step_world *world, enum store_op op)
{
	struct store_scene *scene = store_scene(world);

	if (scene->draft.hold[3])
		client_arena_release(scene->asks, (uint32_t)scene->draft.hold[2]);
	return ask(world,
		   (struct store_request){.op = (uint16_t)op,
					  .entry = scene->entry,
					  .state = scene->state,
					  .size = op == STORE_OP_SEAL ? SCENE_LARGE : 0},
		   NULL, NULL, 0);
}

static int ask_seal(struct step_world *world)
{
	return ask_about_draft(world, STORE_OP_SEAL);
}

static int ask_abort(struct step_world *world)
{
	return ask_about_draft(world, STORE_OP_ABORT);
}

static int look_aborted(struct step_world *world)
{
	int made = look_made(world);

	return made < 0 ? -1 : !made;
}

static const struct server_plan seal_plan = {.ready = draft_new, .ask = ask_seal, .look = scene_look_new};
static const struct server_plan seal_replace_plan = {.ready = draft_old, .ask = ask_seal, .look = scene_look_old};
static const struct server_plan seal_own_plan = {
	.ready = draft_own, .ask = ask_seal, .look = scene_look_sealed, .after = scene_look_new};
static const struct server_plan abort_plan = {.ready = draft_new, .ask = ask_abort, .look = look_aborted};

/* ---- delete ---- */

static int ask_delete(struct step_world *world)
{
	return ask(world, (struct store_request){.op = STORE_OP_DELETE}, "old", NULL, 0);
}

static const struct server_plan delete_plan = {.ask = ask_delete, .look = scene_look_deleted};

/* ---- several at once ---- */

static int ask_two(struct step_world *world)
{
	return ask_new(world) < 0 ? -1 : ask_delete(world);
}

static int look_two(struct step_world *world)
{
	int made = scene_look_new(world), deleted = scene_look_deleted(world);

	if (made < 0 || deleted < 0)
		return -1;
	return deleted > made ? step_bad(world, "the second was done before the first") : made + deleted;
}

static const struct server_plan batch_plan = {.ask = ask_two, .look = look_two, .last = 2};

/* ---- who waits ---- */

/* The reader waits for what the other client is about to put. */
static int ask_and_await(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	int rc = ask_new(world);

	if (rc == 0)
		rc = ask_by(world, scene->reads, (struct store_request){.op = STORE_OP_WAIT}, "new", NULL, 0);
	scene->calls[1].server = load_rlx(&scene->reads->directory.header->server) + 1;
	return rc;
}

/* The victim knows of it. */
static int take_wait(struct step_world *world)
{
	struct stoa_server *server = store_scene(world)->server;

	return session_work(server, server->sessions[1]) && server->waiters ? 0 : step_bad(world, "nobody waits");
}

/* Its completions go on where they were, whether it has been told or not. */
static int ask_as_reader(struct step_world *world)
{
	struct stoa_store *reads = store_scene(world)->reads;

	if (scene_put(world, reads, "reader's", SCENE_KEEP, SCENE_SIZE, STOA_OBJECT_COPIED, 0) < 0)
		return -1;
	return stoa_store_delete(reads, "reader's", 8) ? step_bad(world, "delete: %s", stoa_error_detail()) : 0;
}

static const struct server_plan wake_plan = {
	.ask = ask_and_await, .before = take_wait, .look = scene_look_new, .after = ask_as_reader};

/* ---- memory that is no object ---- */

static int ask_region(struct step_world *world)
{
	return ask(world,
		   (struct store_request){.op = STORE_OP_CREATE,
					  .kind = STORE_REGION,
					  .flags = STORE_WRITABLE,
					  .size = OS_PAGE,
					  .of = 4 * OS_PAGE},
		   "region", NULL, 0);
}

static int allocate(struct step_world *world)
{
	const struct stoa_allocation_options options = {.id = "region", .id_length = 6, .reserve = 4 * OS_PAGE};
	struct store_scene *scene = store_scene(world);

	if (stoa_manager_alloc(scene->asks, OS_PAGE, STOA_READ | STOA_WRITE, &options, &scene->region))
		return step_bad(world, "alloc: %s", stoa_error_detail());
	memset(scene->region.address, SCENE_NEW, OS_PAGE);
	scene->entry = (uint32_t)scene->region.hold[1];
	scene->state = scene->region.hold[2];
	return 0;
}

static int ask_grow(struct step_world *world)
{
	const struct store_scene *scene = store_scene(world);

	return ask(world,
		   (struct store_request){
			   .op = STORE_OP_GROW, .entry = scene->entry, .state = scene->state, .size = 3 * OS_PAGE},
		   NULL, NULL, 0);
}

static int look_grown(struct step_world *world)
{
	const struct store_scene *scene = store_scene(world);
	uint64_t size = load_rlx(&scene->reads->directory.entries[scene->entry].size);

	if (*(const unsigned char *)scene->region.address != SCENE_NEW)
		return step_bad(world, "the memory's bytes are others");
	return size == OS_PAGE || size == 3 * OS_PAGE ? size > OS_PAGE
						      : step_bad(world, "a size that nobody asked for");
}

static int use_grown(struct step_world *world)
{
	memset(store_scene(world)->region.address, SCENE_NEW, 3 * OS_PAGE);
	return 0;
}

static int ask_free(struct step_world *world)
{
	return ask(world, (struct store_request){.op = STORE_OP_DELETE}, "region", NULL, 0);
}

static int look_freed(struct step_world *world)
{
	int sealed = scene_look_sealed(world);

	return sealed < 0 ? -1 : !sealed;
}

static const struct server_plan alloc_plan = {.ask = ask_region, .look = scene_look_sealed};
static const struct server_plan grow_plan = {
	.ready = allocate, .ask = ask_grow, .look = look_grown, .after = use_grown};
static const struct server_plan free_plan = {.ready = allocate, .ask = ask_free, .look = look_freed};

/* ---- sessions ---- */

static int greet(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	struct store_message hello = {.kind = STORE_HELLO, .count = 1};

	store_message_mark(&hello);
	if (os_local_connect(scene->path, &scene->socket) ||
	    os_local_send(scene->socket, &hello, sizeof(hello), NULL, 0))
		return step_bad(world, "connect: %s", stoa_error_detail());
	return 0;
}

static int hear_welcome(struct step_world *world)
{
	struct store_message welcome;
	os_handle passed[PASSED_COUNT];
	unsigned count = 0;
	uint32_t ready;
	size_t length;
	int rc = os_wait_readable(&store_scene(world)->socket, 1, death_deadline(world), &ready);

	if (rc == 0)
		rc = os_local_receive(store_scene(world)->socket, &welcome, sizeof(welcome), &length, passed,
				      PASSED_COUNT, &count);
	if (rc == 0 && (welcome.kind != STORE_WELCOME || welcome.result || count != PASSED_COUNT))
		rc = -STOA_EFORMAT;
	while (rc == 0 && count)
		os_handle_close(passed[--count]);
	return rc;
}

/* It is welcomed; or it is told that the server has gone, and comes again. */
static int be_let_in(struct step_world *world)
{
	int rc = hear_welcome(world);

	if (rc == -STOA_ECLOSED) {
		os_handle_close(store_scene(world)->socket);
		if (greet(world) < 0)
			return -1;
		rc = hear_welcome(world);
	}
	return rc ? step_bad(world, "who came when the server died got %s", stoa_error_name(rc)) : 0;
}

static void let_in(struct step_world *world)
{
	scene_rounds(store_scene(world)->server);
}

static int look_let_in(struct step_world *world)
{
	uint64_t sessions = load_rlx(&store_scene(world)->reads->directory.header->sessions);

	return sessions == 2 || sessions == 3 ? (int)sessions - 2 : step_bad(world, "%d sessions", (int)sessions);
}

static const struct server_plan begin_plan = {.ask = greet, .operate = let_in, .look = look_let_in, .after = be_let_in};

/* It has all that a client can have: a draft, memory, an object that was deleted, and something asked for. */
static int have_all(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	if (allocate(world) < 0 || draft_new(world) < 0)
		return -1;
	if (stoa_store_get(scene->asks, "old", 3, 0, &scene->held) || stoa_store_delete(scene->asks, "old", 3))
		return step_bad(world, "delete: %s", stoa_error_detail());
	return 0;
}

static int go(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	stoa_store_close(scene->asks);
	scene->asks = NULL;
	return 0;
}

static void end_first(struct step_world *world)
{
	session_message(store_scene(world)->server, first_session(world));
}

static const struct server_plan end_plan = {.ready = have_all, .ask = go, .operate = end_first, .look = look_aborted};

/* ---- an arena's descriptor ---- */

/* A client that is a process of its own, as it waits: it has not mapped the arena that is private to the first one. */
static void get_new(struct step_world *world)
{
	struct server_report *report = report_of(world);
	struct stoa_object object;
	struct stoa_store *store;
	int rc;

	/* What is the server's, among it its connection with the holder, goes with the server. */
	for (int i = 3; i < 200; i++)
		close(i);
	rc = stoa_store_open(store_scene(world)->path, NULL, &store);
	report->waits = 1;
	while (rc == 0 && !report->go)
		sched_yield();
	if (rc == 0)
		rc = stoa_store_get(store, "new", 3, 0, &object);
	if (rc == 0 && object.size == SCENE_LARGE && *(const unsigned char *)object.data == SCENE_NEW)
		report->got = 1;
	report->result = rc;
	report->done = 1;
	stoa_store_close(store);
}

static int start_to_get(struct step_world *world)
{
	if (scene_put(world, store_scene(world)->asks, "new", SCENE_NEW, SCENE_LARGE, STOA_OBJECT_PRIVATE, 0) < 0 ||
	    step_helper(world, get_new) < 0)
		return -1;
	return step_reaches(world, &report_of(world)->waits, 1) ? 0 : step_bad(world, "no client");
}

static int go_and_get(struct step_world *world)
{
	report_of(world)->go = 1;
	return step_asleep(world, world->helpers[0]) ? 0 : step_bad(world, "who gets does not wait");
}

static void hand_out(struct step_world *world)
{
	session_message(store_scene(world)->server, store_scene(world)->server->sessions[2]);
}

static int look_got(struct step_world *world)
{
	return (int)report_of(world)->got;
}

static int await_got(struct step_world *world)
{
	struct server_report *report = report_of(world);

	if (!step_reaches(world, &report->done, 1))
		return step_bad(world, "who gets sleeps on");
	return report->result ? step_bad(world, "who gets was told %s", stoa_error_name(report->result)) : 0;
}

static const struct server_plan hand_out_plan = {
	.ready = start_to_get, .ask = go_and_get, .operate = hand_out, .look = look_got, .after = await_got};

/* ---- reaping ---- */

static int delete_held(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	if (stoa_store_get(scene->asks, "old", 3, 0, &scene->held) || stoa_store_delete(scene->asks, "old", 3))
		return step_bad(world, "delete: %s", stoa_error_detail());
	return 0;
}

static int release(struct step_world *world)
{
	stoa_object_release(store_scene(world)->asks, &store_scene(world)->held);
	return 0;
}

static void reap(struct step_world *world)
{
	(void)object_reap(store_scene(world)->server);
}

static int look_reaped(struct step_world *world)
{
	return !scene_count(world, STORE_DYING);
}

static const struct server_plan reap_plan = {
	.ready = delete_held, .ask = release, .operate = reap, .look = look_reaped};

/* ---- taking over ---- */

static int have_all_and_ask(struct step_world *world)
{
	return ask_new(world);
}

/* The last server died when the entry was dying, and had its place. */
static int half_deleted(struct step_world *world)
{
	struct stoa_server *server = store_scene(world)->server;
	const struct server_session *session = first_session(world);
	uint32_t entry = directory_lookup(&server->book, "old", 3);

	if (ask_delete(world) < 0 || !entry)
		return -1;
	journal_request(server->journal, session->key, store_scene(world)->calls[0].call.serial);
	journal_change(server->journal, entry, load_rlx(&server->book.directory.entries[entry].state));
	directory_set_state(&server->book, entry, STORE_DYING);
	return 0;
}

static int look_half_deleted(struct step_world *world)
{
	return scene_read(world, "old") == SCENE_ABSENT ? 0 : step_bad(world, "'old' is there again");
}

/* The last server died when the draft was sealed, and the place still led to what it replaces. */
static int half_sealed(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	const struct server_session *session = first_session(world);

	if (ask_seal(world) < 0)
		return -1;
	journal_request(scene->server->journal, session->key, scene->calls[0].call.serial);
	journal_change(scene->server->journal, scene->entry, scene->state);
	directory_seal(&scene->server->book, scene->entry, SCENE_LARGE);
	return 0;
}

static const struct server_plan adopt_plan = {
	.ready = have_all, .ask = have_all_and_ask, .look = scene_look_new, .takes_over = true};
static const struct server_plan adopt_deleted_plan = {
	.half = half_deleted, .look = look_half_deleted, .takes_over = true, .same = true};
static const struct server_plan twice_deleted_plan = {.half = half_deleted, .look = look_half_deleted, .same = true};
static const struct server_plan adopt_sealed_plan = {
	.ready = draft_old, .half = half_sealed, .look = scene_look_old, .takes_over = true};

#define SERVER_OPERATION(plan)                             \
	static int set_up_##plan(struct step_world *world) \
	{                                                  \
		return set_up(world, &plan);               \
	}

SERVER_OPERATION(put_plan)
SERVER_OPERATION(replace_plan)
SERVER_OPERATION(arena_plan)
SERVER_OPERATION(create_plan)
SERVER_OPERATION(seal_plan)
SERVER_OPERATION(seal_replace_plan)
SERVER_OPERATION(seal_own_plan)
SERVER_OPERATION(abort_plan)
SERVER_OPERATION(delete_plan)
SERVER_OPERATION(batch_plan)
SERVER_OPERATION(wake_plan)
SERVER_OPERATION(hand_out_plan)
SERVER_OPERATION(adopt_sealed_plan)
SERVER_OPERATION(twice_deleted_plan)
SERVER_OPERATION(adopt_deleted_plan)
SERVER_OPERATION(adopt_plan)
SERVER_OPERATION(reap_plan)
SERVER_OPERATION(end_plan)
SERVER_OPERATION(begin_plan)
SERVER_OPERATION(free_plan)
SERVER_OPERATION(grow_plan)
SERVER_OPERATION(alloc_plan)

#define SERVER_DIES(name_, plan, ...)                                                                      \
	{                                                                                                  \
		.name = name_, .outcome_names = {__VA_ARGS__}, .setup = set_up_##plan, .prepare = prepare, \
		.operate = operate, .unblock = unblock, .meet = meet, .settle = settle, .verify = verify   \
	}

const struct step_operation store_server_operations[] = {
	SERVER_DIES("server: put", put_plan, "absent", "there"),
	SERVER_DIES("server: put, replace", replace_plan, "old", "new"),
	SERVER_DIES("server: put, new arena", arena_plan, "absent", "there"),
	SERVER_DIES("server: create", create_plan, "absent", "there"),
	SERVER_DIES("server: seal", seal_plan, "absent", "there"),
	SERVER_DIES("server: seal, replace", seal_replace_plan, "old", "new"),
	SERVER_DIES("server: seal its own", seal_own_plan, "absent", "there"),
	SERVER_DIES("server: abort", abort_plan, "made", "gone"),
	SERVER_DIES("server: delete", delete_plan, "there", "gone"),
	SERVER_DIES("server: put, delete", batch_plan, "neither", "put", "both"),
	SERVER_DIES("server: put what is waited for", wake_plan, "absent", "there"),
	SERVER_DIES("server: alloc", alloc_plan, "absent", "there"),
	SERVER_DIES("server: grow", grow_plan, "short", "long"),
	SERVER_DIES("server: free", free_plan, "there", "gone"),
	SERVER_DIES("server: session begins", begin_plan, "out", "in"),
	SERVER_DIES("server: session ends", end_plan, "in", "out"),
	{.name = "server: hand out",
	 .outcome_names = {"waits", "has it"},
	 .setup = set_up_hand_out_plan,
	 .prepare = prepare,
	 .operate = operate,
	 .unblock = unblock,
	 .settle = settle,
	 .verify = verify,
	 .unordered = true},
	SERVER_DIES("server: reap", reap_plan, "dying", "gone"),
	SERVER_DIES("server: delete, done by another", twice_deleted_plan, "gone"),
	{.name = NULL},
};

const struct step_operation store_adoption_operations[] = {
	SERVER_DIES("server: take over", adopt_plan, "absent"),
	SERVER_DIES("server: take over, half deleted", adopt_deleted_plan, "gone"),
	SERVER_DIES("server: take over, half sealed", adopt_sealed_plan, "old", "new"),
	{.name = NULL},
};
