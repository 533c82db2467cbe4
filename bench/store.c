/* SPDX-License-Identifier: MIT */
/* A store for cases, its server as a process, and Redis in its place; see store.h. */
#include "store.h"

#include <stdio.h>
#include <string.h>

#include <stoa/segment.h>

#include "helper.h"
#include "os/host.h"
#include "os/walk.h"

#define POLL UINT64_C(200000) /* nanoseconds between looks whether a server has come up */

uint32_t depot_id(unsigned number, char id[DEPOT_ID])
{
	return (uint32_t)snprintf(id, DEPOT_ID, "bench/%06u", number);
}

int depot_fail(const struct depot *depot, const char *which, int result)
{
	return bench_fail_result(depot->bench, which, result);
}

/* ---- the server's process ---- */

struct serving {
	struct stoa_server *server;
	int socket;
};

/* Threads have the CPU of their number; the bench has the first. */
static void take_part(void *context, unsigned number)
{
	const struct serving *serving = context;

	if (number == 1) {
		(void)stoa_server_run(serving->server);
		return;
	}
	rival_twin_wait(serving->socket);
	stoa_server_stop(serving->server);
}

static void serve(void *context, int socket)
{
	const struct depot *depot = context;
	struct depot_shared *shared = depot->shared;
	struct serving serving = {.socket = socket};
	uint64_t time;

	rival_twin_outlast();
	host_pin(1);
	shared->result = stoa_server_start(&depot->options, &serving.server);
	if (shared->result)
		snprintf(shared->reason, sizeof(shared->reason), "%s", stoa_error_detail());
	/* R1: the result; pairs with A1 in await_server() */
	store_rel(&shared->servers, load_rlx(&shared->servers) + 1);
	if (shared->result)
		return;
	(void)rival_threads(2, take_part, &serving, &time);
	stoa_server_close(serving.server);
}

int depot_serve(struct depot *depot)
{
	int error = rival_twin_start(&depot->server, serve, depot);

	if (error)
		return bench_fail_system(depot->bench, "starting another process", error);
	depot->served = true;
	return 0;
}

void depot_kill(struct depot *depot)
{
	if (depot->served)
		rival_twin_end(&depot->server);
	depot->served = false;
}

/* ---- the store ---- */

/* The socket lies where files of cases do. */
static int choose_place(struct depot *depot)
{
	struct bench *bench = depot->bench;
	int error = rival_directory_check(bench->directory), length;

	if (error && bench->directory_named)
		return bench_fail_system(bench, bench->directory, error);
	if (error)
		return bench_skip(bench, "'%s': %s", bench->directory, walk_error_text(error));
	length = snprintf(depot->shared->path, sizeof(depot->shared->path), "%s/stoa-bench-%llx.socket",
			  bench->directory, (unsigned long long)host_now());
	if (length >= (int)sizeof(depot->shared->path))
		return bench_skip(bench, "'%s': a path too long for a socket", bench->directory);
	depot->options.socket = depot->shared->path;
	return 0;
}

static int share(struct depot *depot)
{
	int rc = stoa_segment_create(NULL, sizeof(*depot->shared), NULL, &depot->segment);

	if (!rc)
		rc = stoa_segment_commit(depot->segment, sizeof(*depot->shared));
	if (rc)
		return bench_fail_result(depot->bench, "stoa_segment_create", rc);
	depot->shared = stoa_segment_address(depot->segment);
	for (unsigned i = 0; i < CC_COUNT(depot->shared->signals); i++)
		if (rival_signal_make(&depot->shared->signals[i]))
			return bench_fail(depot->bench, "no signals");
	return 0;
}

static int await_server(struct depot *depot)
{
	struct depot_shared *shared = depot->shared;

	/* A1: how it went; pairs with R1 in serve() */
	while (!load_acq(&shared->servers))
		host_sleep(POLL);
	return shared->result ? bench_fail(depot->bench, "stoa_server_start: %s: %s", stoa_error_name(shared->result),
					   shared->reason)
			      : 0;
}

int depot_open(struct depot *depot, struct bench *bench, uint64_t limit, bool held)
{
	int status, rc;

	*depot = (struct depot){.bench = bench, .options = {.limit = limit, .flags = held ? STOA_SERVER_HELD : 0}};
	host_pin(0);
	status = share(depot);
	if (!status)
		status = choose_place(depot);
	if (!status)
		status = depot_serve(depot);
	if (!status)
		status = await_server(depot);
	if (status)
		return status;
	rc = stoa_store_open(depot->shared->path, NULL, &depot->store);
	return rc ? depot_fail(depot, "stoa_store_open", rc) : 0;
}

void depot_close(struct depot *depot)
{
	stoa_store_close(depot->store);
	if (depot->served)
		rival_twin_leave(&depot->server);
	if (depot->helped)
		(void)peer_end(&depot->helper, false);
	for (unsigned i = 0; depot->shared && i < CC_COUNT(depot->shared->signals); i++)
		rival_signal_end(&depot->shared->signals[i]);
	stoa_segment_close(depot->segment);
}

/* ---- Redis ---- */

int depot_open_other(struct depot *depot, struct bench *bench, const char *what, size_t size)
{
	char path[4096], bytes[24];
	const char *const arguments[] = {"stoa-bench-peer-redis", what, bytes, bench->directory, NULL};
	const char *missing;
	int error, status;

	*depot = (struct depot){.bench = bench};
	host_pin(0);
	status = share(depot);
	if (status)
		return status;
	if (!rival_helper_path(arguments[0], path, sizeof(path), &missing))
		return bench_skip(bench, "%s: %s", arguments[0], missing);
	snprintf(bytes, sizeof(bytes), "%zu", size);
	error = peer_start(&depot->helper, path, arguments, PEER_READS | PEER_WRITES);
	if (error)
		return bench_fail_system(bench, path, error);
	depot->helped = true;
	return helper_answer(bench, &depot->helper, NULL);
}

int depot_other_block(struct depot *depot, uint32_t times, struct series *samples)
{
	if (!peer_write(&depot->helper, &times, sizeof(times)))
		return bench_fail(depot->bench, "the helper is gone");
	return helper_answer(depot->bench, &depot->helper, samples);
}
