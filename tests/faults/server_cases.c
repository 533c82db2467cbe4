/* SPDX-License-Identifier: MIT */
/*
 * Fault cases of a store's server: starting, alone, held for a successor, after a dead one, with a socket that was given; serving, which goes
 * on whatever fails; stopping and closing. A start that fails leaves what is held for the next, which finds everything.
 */
#include "faults.h"

#include <os/linux/sys.h>
#include <pthread.h>
#include <stdio.h>
#include <store/kit.h>
#include <store/server.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define START_ERRORS "EINVAL ENAME EEXIST ENOENT EACCES EKIND EBUSY ENOTSUP"
#define HELD_ERRORS START_ERRORS " ECLOSED EFORMAT EVERSION"

static void count_self(struct run *run)
{
	run->counted = os_thread_id();
}

/* ---- starting ---- */

static int start_with(struct run *run, const struct stoa_server_options *options)
{
	return stoa_server_start(options, &run->ret.server);
}

/* It serves, and ends. */
static void serve_started(struct run *run, int result, int (*call)(struct run *run))
{
	if (result < 0)
		CHECK_RC(call(run), 0);
	run->server = run->ret.server;
	begin_serving(run);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	CHECK_RC(store_put(run->store, "it", 100, 0), 0);
	stoa_store_close(run->store);
	stop_serving(run);
	stoa_server_close(run->server);
}

static int start_alone(struct run *run)
{
	struct stoa_server_options options = store_options(0);

	options.socket = NULL;
	return start_with(run, &options);
}

static void close_alone(struct run *run, int result)
{
	if (result < 0)
		CHECK_RC(start_alone(run), 0);
	stoa_server_close(run->ret.server);
}

static int start_listening(struct run *run)
{
	const struct stoa_server_options options = store_options(0);

	return start_with(run, &options);
}

static void end_listening(struct run *run, int result)
{
	serve_started(run, result, start_listening);
}

static int start_held(struct run *run)
{
	const struct stoa_server_options options = store_options(STOA_SERVER_HELD);

	return start_with(run, &options);
}

static void end_held(struct run *run, int result)
{
	serve_started(run, result, start_held);
	reap_holders();
}

static void make_socket(struct run *run)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", store_path());
	run->descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK_SYS(run->descriptor);
	CHECK_SYS(bind(run->descriptor, (const struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(listen(run->descriptor, 8));
	run->counted = os_thread_id();
}

static int start_given(struct run *run)
{
	struct stoa_server_options options = store_options(STOA_SERVER_ADOPT);

	options.descriptor = run->descriptor;
	return start_with(run, &options);
}

/* "Then it is the server's": when it has been started. */
static void end_given(struct run *run, int result)
{
	serve_started(run, result, start_given);
	CHECK_SYS(unlink(store_path()));
}

/* ---- after a dead server ---- */

/* What its client was at: an object being made, memory that goes with it, and an object in its hands. */
static void make_dead(struct run *run)
{
	const struct stoa_allocation_options options = {.id = "memory", .id_length = 6};

	start_store(run, STOA_SERVER_HELD);
	CHECK_RC(stoa_store_create(run->store, "draft", 5, STORE_PRIVATE_SIZE, NULL, &run->draft), 0);
	memcpy(run->draft.data, "what is put", 12);
	CHECK_RC(stoa_manager_alloc(run->store, 8192, STOA_READ, &options, &run->allocation), 0);
	CHECK_RC(stoa_store_get(run->store, "copied", 6, 0, &run->object), 0);
	sleep_serving(run);
	die_serving(run);
}

static void end_successor(struct run *run, int result)
{
	struct stoa_allocation allocation;

	if (result < 0)
		CHECK_RC(start_held(run), 0);
	run->server = run->ret.server;
	begin_serving(run);
	check_other(run);
	CHECK(!strcmp(run->object.data, "what is put"));
	stoa_object_release(run->store, &run->object);
	CHECK_RC(stoa_draft_seal(run->store, &run->draft, 1000), 0);
	CHECK_RC(store_check(run->other, "draft", 1000), 0);
	CHECK_RC(stoa_manager_get(run->other, "memory", 6, &allocation), 0);
	stoa_manager_release(run->other, &allocation);
	CHECK_RC(stoa_manager_free(run->store, &run->allocation), 0);
	CHECK_RC(store_put(run->store, "new", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED), 0);
	end_store(run);
	reap_holders();
}

/* ---- serving ---- */

/* A client's life beside a server whose calls fail: what it is told is right, and it never waits for long. */
static void *live(void *argument)
{
	struct run *run = argument;
	struct stoa_store *store;
	struct stoa_object object;

	if (stoa_store_open(store_path(), NULL, &store) == 0) {
		(void)store_put(store, "ours", 100, 0);
		(void)store_put(store, "ours too", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED);
		(void)store_check(store, "private", STORE_PRIVATE_SIZE);
		if (stoa_store_get(store, "sealed", 6, 0, &object) == 0)
			stoa_object_release(store, &object);
		(void)stoa_store_delete(store, "ours", 4);
		stoa_store_close(store);
	}
	stoa_server_stop(run->server);
	return NULL;
}

static void make_stopped(struct run *run)
{
	start_store(run, 0);
	stop_serving(run);
	store_rlx(&run->server->stopping, 0);
}

static void make_stopped_held(struct run *run)
{
	start_store(run, STOA_SERVER_HELD);
	stop_serving(run);
	store_rlx(&run->server->stopping, 0);
}

static int run_it(struct run *run)
{
	pthread_t client;
	int rc;

	CHECK_EQ(pthread_create(&client, NULL, live, run), 0);
	rc = stoa_server_run(run->server);
	CHECK_EQ(pthread_join(client, NULL), 0);
	return rc;
}

static void end_stopped(struct run *run, int result)
{
	(void)result;
	begin_serving(run);
	end_store(run);
}

static void end_stopped_held(struct run *run, int result)
{
	end_stopped(run, result);
	reap_holders();
}

/* ---- spilling ---- */

#define BIG (UINT64_C(1) << 20)
#define BIGS 16u

static struct stoa_server_options spilling(void)
{
	static char folder[200];
	struct stoa_server_options options = store_options(0);

	snprintf(folder, sizeof(folder), "%s/files", test_dir());
	options.limit = 16 * BIG;
	options.objects = 1000;
	options.spill_folder = folder;
	return options;
}

static int start_spilling(struct run *run)
{
	const struct stoa_server_options options = spilling();

	return start_with(run, &options);
}

static int put_big(struct stoa_store *store, unsigned number)
{
	static char bytes[BIG] = "what is put";
	char id[16];

	snprintf(id, sizeof(id), "big %u", number);
	return stoa_store_put(store, id, (uint32_t)strlen(id), bytes, BIG, NULL);
}

static int get_big(struct stoa_store *store, unsigned number)
{
	struct stoa_object object;
	char id[16];
	int rc;

	snprintf(id, sizeof(id), "big %u", number);
	rc = stoa_store_get(store, id, (uint32_t)strlen(id), stoa_deadline_in(UINT64_C(10000000000)), &object);
	if (rc)
		return rc;
	CHECK_EQ(object.size, BIG);
	CHECK(!strcmp(object.data, "what is put"));
	stoa_object_release(store, &object);
	return 0;
}

/* One that is in a file comes back, for which another one goes to a file. */
static void *live_spilling(void *argument)
{
	struct run *run = argument;

	for (unsigned i = 0; i < 3; i++)
		(void)get_big(run->store, i);
	stoa_server_stop(run->server);
	return NULL;
}

static void make_spilling(struct run *run)
{
	const struct stoa_server_options options = spilling();

	CHECK_RC(stoa_server_start(&options, &run->server), 0);
	begin_serving(run);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	for (unsigned i = 0; i < BIGS; i++)
		CHECK_RC(put_big(run->store, i), 0);
	stop_serving(run);
	store_rlx(&run->server->stopping, 0);
	run->counted = os_thread_id();
}

static int run_spilling(struct run *run)
{
	pthread_t client;
	int rc;

	CHECK_EQ(pthread_create(&client, NULL, live_spilling, run), 0);
	rc = stoa_server_run(run->server);
	CHECK_EQ(pthread_join(client, NULL), 0);
	return rc;
}

/* Whatever failed, every object is there, where it was or where it was to go. */
static void end_spilling(struct run *run, int result)
{
	struct stoa_store_stat stat;

	(void)result;
	begin_serving(run);
	/* It may have been sent away, as nothing could be read from its socket. */
	stoa_store_close(run->store);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	for (unsigned i = 0; i < BIGS; i++)
		CHECK_RC(get_big(run->store, i), 0);
	CHECK_RC(stoa_store_stat(run->store, &stat), 0);
	CHECK_EQ(stat.spill_losses, 0);
	stop_serving(run);
	kit_check_books(run->server);
	begin_serving(run);
	stoa_store_close(run->store);
	stop_serving(run);
	stoa_server_close(run->server);
}

static void serve_spilling(struct run *run, int result)
{
	serve_started(run, result, start_spilling);
}

static void make_served(struct run *run)
{
	start_store(run, 0);
}

static int stop_it(struct run *run)
{
	stoa_server_stop(run->server);
	return 0;
}

static int leave_it(struct run *run)
{
	stoa_server_leave(run->server);
	return 0;
}

/* A server that sleeps is told once more. */
static void end_told(struct run *run, int result)
{
	(void)result;
	stop_serving(run);
	begin_serving(run);
	end_store(run);
}

static int look(struct run *run)
{
	return stoa_server_stat(run->server, &run->big.store_stat);
}

static int ask_metrics(struct run *run)
{
	static char text[STOA_METRICS_ROOM];

	return stoa_server_metrics(run->server, text, sizeof(text), NULL);
}

static void end_served(struct run *run, int result)
{
	(void)result;
	end_store(run);
}

static int close_it(struct run *run)
{
	stoa_server_close(run->server);
	return 0;
}

/* Its clients are told. */
static void end_closed(struct run *run, int result)
{
	(void)result;
	CHECK_RC(store_put(run->other, "more", 100, 0), -STOA_ECLOSED);
	stoa_store_close(run->store);
	stoa_store_close(run->other);
	unlink(store_path());
}

/* A holder that was not told to end is told by the next server. */
static void end_closed_held(struct run *run, int result)
{
	end_closed(run, result);
	end_held(run, -1);
}

const struct fault_case server_cases[] = {
	{"stoa_server_start", START_ERRORS, count_self, start_alone, close_alone},
	{"stoa_server_start", START_ERRORS, count_self, start_listening, end_listening},
	{"stoa_server_start", START_ERRORS, make_socket, start_given, end_given},
	{"stoa_server_start, held", HELD_ERRORS, count_self, start_held, end_held},
	{"stoa_server_start, a successor", HELD_ERRORS, make_dead, start_held, end_successor},
	{"stoa_server_run", "", make_stopped, run_it, end_stopped},
	{"stoa_server_run, held", "", make_stopped_held, run_it, end_stopped_held},
	{"stoa_server_start, spilling", START_ERRORS, count_self, start_spilling, serve_spilling},
	{"stoa_server_run, spilling", "", make_spilling, run_spilling, end_spilling},
	{"stoa_server_stop", "", make_served, stop_it, end_told},
	{"stoa_server_leave", "", make_served, leave_it, end_told},
	{"stoa_server_stat", "", make_served, look, end_served},
	{"stoa_server_metrics", "EBUSY", make_served, ask_metrics, end_served},
	{"stoa_server_close", "", make_stopped, close_it, end_closed},
	{"stoa_server_close, held", "", make_stopped_held, close_it, end_closed_held},
	{0},
};
