/* SPDX-License-Identifier: MIT */
/*
 * Scenes of stores with a client as the victim. The server is the world's process, which makes one round whenever the victim sleeps, as it does when it
 * has asked; so the victim takes the same path each time. After its death the server ends its session, and then all is as if it had done
 * what it had asked for, or had never come: its quota, leases, drafts and memory are back, and the other client finds whole objects.
 *
 * The victim is made of a client that the world had: with copies of its handles, which the world closes after the death.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "store_scene.h"

#include <base/mutant.h>

struct client_plan {
	int (*ready)(struct step_world *world);    /* a server runs; may be NULL */
	void (*operate)(struct step_world *world); /* in the victim */
	int (*look)(struct step_world *world);     /* the outcome; -1 */
	int (*after)(struct step_world *world);    /* a server runs; may be NULL */
	bool comes;                                /* the victim is a client only by what it does */
};

static const char *const many_ids[] = {"new", "newer", "newest"};

static const struct client_plan *plan_of(const struct step_world *world)
{
	return store_scene(world)->plan;
}

/* ---- the scene ---- */

static int set_up(struct step_world *world, const struct client_plan *plan)
{
	struct store_scene *scene;
	int rc = scene_setup(world, false);

	if (rc)
		return rc;
	scene = store_scene(world);
	scene->plan = plan;
	if (plan->ready)
		rc = plan->ready(world);
	scene_halt(world);
	/* Whatever was deleted. */
	(void)object_reap(scene->server);
	if (scene->asks) {
		scene->spare[0] = dup((int)scene->asks->socket);
		scene->spare[1] = dup((int)scene->asks->bell);
		scene->spare[2] = dup((int)scene->asks->client_bell);
	}
	return rc;
}

/* The victim becomes the client. */
static void prepare(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	struct stoa_store *store = scene->asks;

	/* When it looks again would be another time each time; and thousands of looks in vain would be stepped through. */
	mutants_chosen |= MUTANT_BIT(MUTANT_NO_RECHECK) | MUTANT_BIT(MUTANT_NO_LOOKS);
	if (plan_of(world)->comes)
		return;
	store->socket = scene->spare[0];
	store->bell = scene->spare[1];
	store->client_bell = scene->spare[2];
	store->forks = store->leases.made_in = os_fork_generation();
}

static void operate(struct step_world *world)
{
	plan_of(world)->operate(world);
}

static void unblock(struct step_world *world)
{
	(void)scene_round(store_scene(world)->server);
}

static int settle(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	int rc;

	if (!plan_of(world)->comes)
		for (unsigned i = 0; i < CC_COUNT(scene->spare); i++)
			close((int)scene->spare[i]);
	stoa_store_close(scene->asks);
	scene->asks = NULL;
	scene_rounds(scene->server);
	(void)object_reap(scene->server);
	if (scene_check_books(world) < 0)
		return -1;
	if (load_rlx(&scene->server->header->sessions) != 1)
		return step_bad(world, "the session of the dead stays");
	if (scene_count(world, STORE_WRITING) || scene_count(world, STORE_DYING))
		return step_bad(world, "what the dead was making, or held, stays");
	((_Atomic int32_t *)world->hidden)[0] = plan_of(world)->look(world);
	if (((_Atomic int32_t *)world->hidden)[0] < 0)
		return -1;
	if (scene_read(world, "keep") != SCENE_KEEP)
		return step_bad(world, "'keep' is not there");
	if (scene_run(world) < 0)
		return -1;
	rc = plan_of(world)->after ? plan_of(world)->after(world) : 0;
	if (rc >= 0)
		rc = scene_work(world);
	scene_halt(world);
	return rc < 0 ? -1 : scene_end(world);
}

static int verify(struct step_world *world)
{
	return ((_Atomic int32_t *)world->hidden)[0];
}

/* ---- what the other client finds ---- */

/* The server works when the victim sleeps, so it was asked for all of them, or for none. */
static int look_many(struct step_world *world)
{
	int first = scene_is_new(world, many_ids[0], SCENE_ABSENT);

	for (unsigned i = 1; first >= 0 && i < CC_COUNT(many_ids); i++) {
		int found = scene_is_new(world, many_ids[i], SCENE_ABSENT);

		if (found != first)
			return found < 0 ? -1 : step_bad(world, "'%s' is there, or not, unlike the first", many_ids[i]);
	}
	return first;
}

static int look_same(struct step_world *world)
{
	return scene_read(world, "old") == SCENE_OLD && scene_count(world, STORE_SEALED) == 2
		       ? 0
		       : step_bad(world, "the objects are others");
}

/* ---- what the victim does ---- */

static void open_store(struct step_world *world)
{
	const struct stoa_store_options options = {.leases = 8};
	struct stoa_store *store;

	death_must(world, stoa_store_open(store_scene(world)->path, &options, &store));
}

static int without_first(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	stoa_store_close(scene->asks);
	scene->asks = NULL;
	return 0;
}

static void close_store(struct step_world *world)
{
	stoa_store_close(store_scene(world)->asks);
}

static void put(struct step_world *world, const char *id, uint32_t size, uint32_t kind, uint32_t flags)
{
	death_must(world, scene_put(world, store_scene(world)->asks, id, SCENE_NEW, size, kind, flags));
}

static void put_new(struct step_world *world)
{
	put(world, "new", SCENE_SIZE, STOA_OBJECT_COPIED, 0);
}

static void put_old(struct step_world *world)
{
	put(world, "old", SCENE_SIZE, STOA_OBJECT_COPIED, STOA_OBJECT_REPLACE);
}

static void put_many(struct step_world *world)
{
	unsigned char bytes[SCENE_SIZE];
	struct stoa_put puts[CC_COUNT(many_ids)];

	memset(bytes, SCENE_NEW, sizeof(bytes));
	for (unsigned i = 0; i < CC_COUNT(puts); i++)
		puts[i] = (struct stoa_put){.id = many_ids[i],
					    .id_length = (uint32_t)strlen(many_ids[i]),
					    .data = bytes,
					    .size = sizeof(bytes)};
	death_must(world, stoa_store_put_many(store_scene(world)->asks, puts, CC_COUNT(puts), NULL));
}

/* Create, write, seal, in an arena that it has had before. */
static void put_private(struct step_world *world)
{
	put(world, "new", SCENE_LARGE, STOA_OBJECT_PRIVATE, 0);
}

static int have_private(struct step_world *world)
{
	if (scene_put(world, store_scene(world)->asks, "old", SCENE_OLD, SCENE_LARGE, STOA_OBJECT_PRIVATE,
		      STOA_OBJECT_REPLACE) < 0)
		return -1;
	/* So that the reader has the arena, and needs no server. */
	return scene_read(world, "old") == SCENE_OLD ? 0 : step_bad(world, "'old' is not there");
}

/* The same in memory of its own, which it gives up the right to write. */
static void put_own(struct step_world *world)
{
	put(world, "new", SCENE_LARGE, STOA_OBJECT_SEALED, 0);
}

static void abort_draft(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_store_create(scene->asks, "new", 3, SCENE_LARGE, NULL, &scene->draft));
	memset(scene->draft.data, SCENE_NEW, SCENE_LARGE);
	stoa_draft_abort(scene->asks, &scene->draft);
}

static void get_and_release(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_store_get(scene->asks, "old", 3, 0, &scene->held));
	stoa_object_release(scene->asks, &scene->held);
}

/* What it has never mapped: it asks for the descriptor. */
static void get_foreign(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_store_get(scene->asks, "foreign", 7, 0, &scene->held));
	stoa_object_release(scene->asks, &scene->held);
}

static int have_foreign(struct step_world *world)
{
	return scene_put(world, store_scene(world)->reads, "foreign", SCENE_KEEP, SCENE_LARGE, STOA_OBJECT_SEALED, 0);
}

static int look_foreign(struct step_world *world)
{
	return scene_count(world, STORE_SEALED) == 3 ? 0 : step_bad(world, "the objects are others");
}

static void get_late(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	(void)stoa_store_get(scene->asks, "never", 5, stoa_now() + 1000000, &scene->held);
}

static void delete_old(struct step_world *world)
{
	death_must(world, stoa_store_delete(store_scene(world)->asks, "old", 3));
}

/* While it holds it. */
static void delete_held(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_store_get(scene->asks, "old", 3, 0, &scene->held));
	death_must(world, stoa_store_delete(scene->asks, "old", 3));
	stoa_object_release(scene->asks, &scene->held);
}

static void allocate(struct step_world *world)
{
	const struct stoa_allocation_options options = {.id = "region", .id_length = 6, .reserve = 4 * OS_PAGE};
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_manager_alloc(scene->asks, OS_PAGE, STOA_READ | STOA_WRITE, &options, &scene->region));
	*(unsigned char *)scene->region.address = SCENE_NEW;
}

static int have_region(struct step_world *world)
{
	allocate(world);
	return 0;
}

static void grow(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_manager_grow(scene->asks, &scene->region, 3 * OS_PAGE));
	((unsigned char *)scene->region.address)[2 * OS_PAGE] = SCENE_NEW;
}

static void free_region(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);

	death_must(world, stoa_manager_free(scene->asks, &scene->region));
}

#define CLIENT_OPERATION(name, ...)                                  \
	static const struct client_plan name##_plan = {__VA_ARGS__}; \
	static int set_up_##name(struct step_world *world)           \
	{                                                            \
		return set_up(world, &name##_plan);                  \
	}

CLIENT_OPERATION(open, .ready = without_first, .operate = open_store, .look = look_same, .comes = true)
CLIENT_OPERATION(close, .operate = close_store, .look = look_same)
CLIENT_OPERATION(put, .operate = put_new, .look = scene_look_new)
CLIENT_OPERATION(replace, .operate = put_old, .look = scene_look_old)
CLIENT_OPERATION(many, .operate = put_many, .look = look_many)
CLIENT_OPERATION(private, .ready = have_private, .operate = put_private, .look = scene_look_new)
CLIENT_OPERATION(own, .operate = put_own, .look = scene_look_sealed, .after = scene_look_new)
CLIENT_OPERATION(abort, .operate = abort_draft, .look = look_same)
CLIENT_OPERATION(get, .operate = get_and_release, .look = look_same)
CLIENT_OPERATION(foreign, .ready = have_foreign, .operate = get_foreign, .look = look_foreign)
CLIENT_OPERATION(late, .operate = get_late, .look = look_same)
CLIENT_OPERATION(delete, .operate = delete_old, .look = scene_look_deleted)
CLIENT_OPERATION(held, .operate = delete_held, .look = scene_look_deleted)
CLIENT_OPERATION(alloc, .operate = allocate, .look = look_same)
CLIENT_OPERATION(grow, .ready = have_region, .operate = grow, .look = look_same)
CLIENT_OPERATION(free, .ready = have_region, .operate = free_region, .look = look_same)

#define CLIENT_DIES(name_, plan, ...)                                                                      \
	{                                                                                                  \
		.name = name_, .outcome_names = {__VA_ARGS__}, .setup = set_up_##plan, .prepare = prepare, \
		.operate = operate, .unblock = unblock, .settle = settle, .verify = verify                 \
	}

const struct step_operation store_client_operations[] = {
	CLIENT_DIES("client: open", open, "as before"),
	CLIENT_DIES("client: close", close, "as before"),
	CLIENT_DIES("client: put", put, "absent", "there"),
	CLIENT_DIES("client: put, replace", replace, "old", "new"),
	CLIENT_DIES("client: put many", many, "none", "all"),
	CLIENT_DIES("client: put in place", private, "absent", "there"),
	CLIENT_DIES("client: put, its own", own, "absent", "there"),
	CLIENT_DIES("client: create, abort", abort, "as before"),
	CLIENT_DIES("client: get, release", get, "as before"),
	CLIENT_DIES("client: get, first of an arena", foreign, "as before"),
	CLIENT_DIES("client: get, with a deadline", late, "as before"),
	CLIENT_DIES("client: delete", delete, "there", "gone"),
	CLIENT_DIES("client: delete what it holds", held, "there", "gone"),
	CLIENT_DIES("client: alloc", alloc, "as before"),
	CLIENT_DIES("client: grow", grow, "as before"),
	CLIENT_DIES("client: free", free, "as before"),
	{.name = NULL},
};
