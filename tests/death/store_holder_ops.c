/* SPDX-License-Identifier: MIT */
/*
 * Scenes of stores whose holder is the victim: the process that keeps everything for a server's successor. The server is a helper, whose client puts
 * and deletes; it must find out by itself that its holder has gone, have another one, and give that all there is. Then the server is killed, too, and a
 * successor in the world's process finds all objects. Or the server is closed: then all holders end, and nothing is left.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_scene.h"

#include <store/hold.h>

struct holder_report {
	_Atomic uint32_t go;    /* the victim is about to let the server in */
	_Atomic uint32_t ready; /* the client has done its work */
	_Atomic uint32_t lost;  /* the victim is dead */
	_Atomic uint32_t kept;  /* another holder has all */
	_Atomic uint32_t end;   /* the server is to be closed */
	_Atomic uint32_t done;  /* it is */
	_Atomic int32_t error;
};

static struct holder_report *report_of(const struct step_world *world)
{
	return world->hidden;
}

/* ---- the server, and its client ---- */

/* As a service manager does it: a server that cannot start is started again. */
static int serve(struct step_world *world)
{
	const uint64_t deadline = death_deadline(world);
	int rc;

	do
		rc = scene_try_serve(world, true);
	while (rc < 0 && stoa_now() < deadline);
	return rc < 0 ? rc : scene_run(world);
}

/* Until it can be: while there is no holder, the server takes in nothing that would not be held. */
static int put(struct step_world *world, struct stoa_store *store, const char *id, uint32_t kind)
{
	const struct stoa_object_options options = {.kind = kind, .flags = STOA_OBJECT_REPLACE};
	const uint64_t deadline = death_deadline(world);
	unsigned char bytes[SCENE_LARGE];
	int rc;

	memset(bytes, SCENE_NEW, sizeof(bytes));
	do
		rc = stoa_store_put(store, id, (uint32_t)strlen(id), bytes, sizeof(bytes), &options);
	while (rc == -STOA_EBUSY && stoa_now() < deadline);
	return rc;
}

static int come(struct step_world *world, struct stoa_store **ret_store)
{
	const struct stoa_store_options options = {.leases = 8};
	const uint64_t deadline = death_deadline(world);
	int rc;

	do
		rc = stoa_store_open(store_scene(world)->path, &options, ret_store);
	while (rc == -STOA_EBUSY && stoa_now() < deadline);
	return rc;
}

/* All that a holder has to do with: a session and memory that come, and that go. */
static int work(struct step_world *world)
{
	struct stoa_store *store;
	int rc = come(world, &store);

	if (rc)
		return rc;
	rc = put(world, store, "new", STOA_OBJECT_SEALED);
	if (rc == 0)
		rc = put(world, store, "gone", STOA_OBJECT_SEALED);
	if (rc == 0)
		rc = stoa_store_delete(store, "gone", 4);
	if (rc == 0)
		rc = put(world, store, "own", STOA_OBJECT_PRIVATE);
	stoa_store_close(store);
	return rc;
}

/* What needs a holder is done behind what the server does when it has another one. */
static int be_kept(struct step_world *world)
{
	struct stoa_store *store;
	int rc = come(world, &store);

	if (rc)
		return rc;
	rc = put(world, store, "later", STOA_OBJECT_SEALED);
	stoa_store_close(store);
	return rc;
}

static void live(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	struct holder_report *report = report_of(world);
	int rc;

	os_local_disown(&scene->holder);
	while (!report->go)
		sched_yield();
	rc = serve(world);
	if (rc == 0)
		rc = work(world);
	report->error = rc;
	report->ready = 1;
	while (!report->lost && !report->end)
		sched_yield();
	if (report->lost) {
		report->error = rc ? rc : be_kept(world);
		report->kept = 1;
		for (;;)
			pause();
	}
	scene_halt(world);
	stoa_server_close(scene->server);
	report->done = 1;
}

/* ---- the scene ---- */

static int set_up(struct step_world *world)
{
	struct store_scene *scene;
	char path[160];
	int rc = scene_begin(world);

	if (rc)
		return rc;
	scene = store_scene(world);
	snprintf(path, sizeof(path), "%s.held", scene->path);
	if (os_local_listen(path, 0600, &scene->holder))
		return step_bad(world, "listen: %s", stoa_error_detail());
	return step_helper(world, live) < 0 ? -1 : 0;
}

static void operate(struct step_world *world)
{
	struct os_listener *listener = &store_scene(world)->holder;
	const os_handle handles[] = {listener->socket, listener->lock};

	hold_run(listener, handles);
}

/* From now on only the victim listens. */
static void let_go(struct step_world *world)
{
	struct holder_report *report = report_of(world);

	if (!report->go)
		os_local_disown(&store_scene(world)->holder);
	report->go = 1;
}

static void unblock(struct step_world *world)
{
	const struct timespec pause = {0, 500000};

	let_go(world);
	if (report_of(world)->ready)
		report_of(world)->end = 1;
	nanosleep(&pause, NULL);
}

/* The server dies next. */
static int look_kept(struct step_world *world)
{
	struct store_scene *scene = store_scene(world);
	static const char *const ids[] = {"new", "own", "later"};

	step_kill_helper(world, 0);
	if (scene_serve(world, true) < 0 || scene_check_books(world) < 0 || scene_run(world) < 0)
		return -1;
	if (come(world, &scene->reads))
		return step_bad(world, "open: %s", stoa_error_detail());
	for (unsigned i = 0; i < CC_COUNT(ids); i++)
		if (scene_read(world, ids[i]) != SCENE_NEW)
			return step_bad(world, "'%s' is lost", ids[i]);
	if (scene_read(world, "gone") != SCENE_ABSENT || scene_work(world) < 0)
		return -1;
	scene_halt(world);
	return scene_end(world);
}

static int settle(struct step_world *world)
{
	struct holder_report *report = report_of(world);

	let_go(world);
	if (!report->end) {
		report->lost = 1;
		if (!step_reaches(world, &report->kept, 1))
			return step_bad(world, "no other holder has the store");
	} else if (!step_reaches(world, &report->done, 1)) {
		return step_bad(world, "the server cannot end");
	}
	if (report->error)
		return step_bad(world, "a client was told %s", stoa_error_name(report->error));
	return report->end ? scene_check_names(world) : look_kept(world);
}

static int verify(struct step_world *world)
{
	return (int)report_of(world)->end;
}

const struct step_operation store_holder_operations[] = {
	{.name = "holder: dies",
	 .outcome_names = {"the server has another", "the server ends"},
	 .setup = set_up,
	 .operate = operate,
	 .unblock = unblock,
	 .settle = settle,
	 .verify = verify,
	 .unordered = true},
	{.name = NULL},
};
