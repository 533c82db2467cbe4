/* SPDX-License-Identifier: MIT */
/*
 * Scenes of stores whose server is the victim. It has taken over from one that is gone, so that it has all that a server has, and does one thing;
 * two clients in the world's process have maps of the store meanwhile. One has asked for something, and must be told by the successor what
 * a server that had not died would have told it. The other one reads, while the victim stands, and while there is no server: it finds all
 * as before, or as after.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_scene.h"

struct server_plan {
	int (*ready)(struct step_world *world);    /* a server runs; may be NULL */
	int (*ask)(struct step_world *world);      /* there is none; may be NULL */
	int (*before)(struct step_world *world);   /* in the victim, when it has taken over; may be NULL */
	void (*operate)(struct step_world *world); /* NULL: what the first client has asked for */
	int (*look)(struct step_world *world);     /* the outcome: 0, 1; -1 */
	int (*after)(struct step_world *world);    /* a successor runs, and has done what was asked for; may be NULL */
	int result;                                /* of what was asked for */
	bool takes_over;                           /* that is what the victim is to do */
	bool gone;                                 /* the first client is */
};

struct server_report {
	_Atomic int32_t outcome;
	_Atomic uint32_t waits; /* a helper is about to */
	_Atomic int32_t result; /* of it */
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

/* What was asked for, and what strangers do. */
static int go_on(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	const struct server_plan *plan = plan_of(world);

	if (scene->asked) {
		int rc = client_wait(scene->asks, &scene->call, 0, death_deadline(world));

		if (rc != plan->result)
			return step_bad(world, "the client was told %s", rc ? stoa_error_name(rc) : "that all is well");
	}
	if (plan->after && plan->after(world) < 0)
		return -1;
	if (look(world) != 1)
		return step_bad(world, "the successor did not do it");
	return scene_work(world);
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

static int ask(struct step_world *world, struct store_request request, const char *id, const void *data,
	       uint64_t length)
{
	struct store_scene *scene = store_scene(world);
	struct client_bytes bytes = {.id = id, .data = data, .data_length = length};

	request.id_length = (uint16_t)(id ? strlen(id) : 0);
	scene->asked = true;
	return client_ask(scene->asks, &request, &bytes, &scene->call, death_deadline(world))
		       ? step_bad(world, "ask: %s", stoa_error_detail())
		       : 0;
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

static int is_new(struct step_world *world, const char *id, int before)
{
	int found = scene_read(world, id);

	if (found == before || found == SCENE_NEW)
		return found == SCENE_NEW;
	return found < 0 ? -1 : step_bad(world, "'%s' is full of %#x", id, (unsigned)found);
}

/* ---- put ---- */

static int look_new(struct step_world *world)
{
	return is_new(world, "new", SCENE_ABSENT);
}

static int look_old(struct step_world *world)
{
	return is_new(world, "old", SCENE_OLD);
}

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

/* It lies in memory that was made for it, which the reader cannot have: so entries tell. */
static int look_sealed(struct step_world *world)
{
	uint32_t sealed = scene_count(world, STORE_SEALED);

	return sealed == 2 || sealed == 3 ? (int)sealed - 2 : step_bad(world, "%u objects", sealed);
}

static const struct server_plan put_plan = {.ask = ask_new, .look = look_new};
static const struct server_plan replace_plan = {.ask = ask_old, .look = look_old};
static const struct server_plan arena_plan = {.ask = ask_for_all, .look = look_sealed, .after = look_new};

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
	const struct store_completion *made = &store_scene(world)->call.completion;
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

static int draft_own(struct step_world *world)
{
	return make_draft(world, "new", STOA_OBJECT_SEALED, 0);
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

static const struct server_plan seal_plan = {.ready = draft_new, .ask = ask_seal, .look = look_new};
static const struct server_plan seal_replace_plan = {.ready = draft_old, .ask = ask_seal, .look = look_old};
static const struct server_plan seal_own_plan = {
	.ready = draft_own, .ask = ask_seal, .look = look_sealed, .after = look_new};
static const struct server_plan abort_plan = {.ready = draft_new, .ask = ask_abort, .look = look_aborted};

/* ---- delete ---- */

static int ask_delete(struct step_world *world)
{
	return ask(world, (struct store_request){.op = STORE_OP_DELETE}, "old", NULL, 0);
}

static int look_deleted(struct step_world *world)
{
	int found = scene_read(world, "old");

	return found == SCENE_OLD || found == SCENE_ABSENT ? found == SCENE_ABSENT : -1;
}

static const struct server_plan delete_plan = {.ask = ask_delete, .look = look_deleted};

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

#define SERVER_DIES(name_, plan, first, second)                                                              \
	{                                                                                                    \
		.name = name_, .outcome_names = {first, second}, .setup = set_up_##plan, .prepare = prepare, \
		.operate = operate, .unblock = unblock, .meet = meet, .settle = settle, .verify = verify     \
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
	{.name = NULL},
};
