/* SPDX-License-Identifier: MIT */
/*
 * The mutex against glibc's: alone against the process-shared one that survives nothing, contended against the robust one,
 * which is the one with the same promise; and against Boost.Interprocess where its helper was built.
 */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/atomic.h>
#include <stoa/sync.h>

#include "crew.h"

/* Everything the processes share, at the start of a segment's data. Each part has cache lines of its own. */
struct arena {
	struct stoa_mutex mutex;
	char pad0[64 - sizeof(struct stoa_mutex)];
	union {
		pthread_mutex_t mutex;
		char pad[128];
	} glibc;
	uint64_t guarded; /* what the lock protects: plain, so a lock that fails to exclude loses counts */
	char pad1[56];
	_Atomic uint32_t ready;
	_Atomic uint32_t stop;
	char pad2[56];
	struct {
		uint64_t count;
		uint64_t nanoseconds;
		char pad[48];
	} members[CREW_MAX];
};

struct contest {
	struct bench *bench;
	struct stoa_segment *segment;
	struct arena *arena;
	struct crew crew;
	unsigned processes;
	pid_t helper;
	int helper_socket;
};

static int arena_open(struct contest *contest, bool robust)
{
	pthread_mutexattr_t attributes;
	int rc = stoa_segment_create(NULL, sizeof(struct arena), NULL, &contest->segment);

	if (rc)
		return bench_fail_result(contest->bench, "stoa_segment_create", rc);
	rc = stoa_segment_commit(contest->segment, sizeof(struct arena));
	if (rc)
		return bench_fail_result(contest->bench, "stoa_segment_commit", rc);
	contest->arena = stoa_segment_address(contest->segment);
	rc = stoa_mutex_init(contest->segment, &contest->arena->mutex, 0);
	if (rc)
		return bench_fail_result(contest->bench, "stoa_mutex_init", rc);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	rc = pthread_mutex_init(&contest->arena->glibc.mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return rc ? bench_fail(contest->bench, "pthread_mutex_init: %s", strerror(rc)) : 0;
}

/* ---- uncontended ---- */

#define ALONE_CALLS 10000u
#define ALONE_SAMPLES 10u

static int alone_stoa(void *context, struct series *samples)
{
	struct contest *contest = context;
	struct arena *arena = contest->arena;
	struct stoa_segment *segment = contest->segment;
	int rc = 0;

	arena->guarded = 0;
	for (unsigned k = 0; k < ALONE_SAMPLES; k++) {
		uint64_t start = measure_now();

		for (unsigned i = 0; i < ALONE_CALLS; i++) {
			rc |= stoa_mutex_lock(segment, &arena->mutex, STOA_FOREVER);
			arena->guarded++;
			rc |= stoa_mutex_unlock(segment, &arena->mutex);
		}
		series_add(samples, (double)(measure_now() - start) / ALONE_CALLS);
	}
	if (rc || arena->guarded != ALONE_CALLS * ALONE_SAMPLES)
		return bench_fail(contest->bench, "the lock failed: %s", stoa_error_detail());
	return 0;
}

static int alone_glibc(void *context, struct series *samples)
{
	struct contest *contest = context;
	struct arena *arena = contest->arena;
	int rc = 0;

	arena->guarded = 0;
	for (unsigned k = 0; k < ALONE_SAMPLES; k++) {
		uint64_t start = measure_now();

		for (unsigned i = 0; i < ALONE_CALLS; i++) {
			rc |= pthread_mutex_lock(&arena->glibc.mutex);
			arena->guarded++;
			rc |= pthread_mutex_unlock(&arena->glibc.mutex);
		}
		series_add(samples, (double)(measure_now() - start) / ALONE_CALLS);
	}
	if (rc || arena->guarded != ALONE_CALLS * ALONE_SAMPLES)
		return bench_fail(contest->bench, "the pthread mutex failed");
	return 0;
}

static int run_alone(struct bench *bench)
{
	struct contest contest = {.bench = bench};
	int status = arena_open(&contest, bench->which->variant != 0);

	measure_pin(0);
	if (!status)
		status = bench_pairs(bench, alone_stoa, alone_glibc, &contest);
	stoa_segment_close(contest.segment);
	return status;
}

/* ---- contended ---- */

enum { JOB_STOA = 1, JOB_GLIBC };

/* Turns of an empty loop inside the lock and between two locks: a short update, then some work of one's own. */
#define WORK_INSIDE 20u
#define WORK_OUTSIDE 200u
#define BLOCK_US 20000u

static void work(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		cc_compiler_barrier();
}

static int one_turn(struct contest *contest, unsigned job)
{
	struct arena *arena = contest->arena;
	int rc = job == JOB_STOA ? stoa_mutex_lock(contest->segment, &arena->mutex, STOA_FOREVER)
				 : pthread_mutex_lock(&arena->glibc.mutex);

	arena->guarded++;
	work(WORK_INSIDE);
	rc |= job == JOB_STOA ? stoa_mutex_unlock(contest->segment, &arena->mutex)
			      : pthread_mutex_unlock(&arena->glibc.mutex);
	work(WORK_OUTSIDE);
	return rc;
}

static int contend(void *context, unsigned member, unsigned job)
{
	struct contest *contest = context;
	struct arena *arena = contest->arena;
	uint64_t count = 0;
	uint64_t start;
	int rc = 0;

	add_rlx(&arena->ready, 1);
	while (load_rlx(&arena->ready) < contest->processes)
		sched_yield();
	start = measure_now();
	for (; !rc && !load_rlx(&arena->stop); count++)
		rc = one_turn(contest, job);
	arena->members[member].nanoseconds = measure_now() - start;
	arena->members[member].count = count;
	return rc;
}

/* The block begins when all are at it; a member that never comes is found by crew_end(). */
static void wait_ready(struct contest *contest)
{
	uint64_t end = measure_now() + UINT64_C(5000000000);

	while (load_rlx(&contest->arena->ready) < contest->processes && measure_now() < end)
		usleep(50);
}

static int contest_block(struct contest *contest, unsigned job, struct series *samples)
{
	struct arena *arena = contest->arena;
	uint64_t total = 0;
	double rate = 0;

	arena->guarded = 0;
	store_rlx(&arena->ready, 0);
	store_rlx(&arena->stop, 0);
	if (crew_begin(&contest->crew, job))
		return bench_fail(contest->bench, "a process of the contest is gone");
	wait_ready(contest);
	usleep(bench_scale(contest->bench, BLOCK_US, BLOCK_US / 4));
	store_rlx(&arena->stop, 1);
	if (crew_end(&contest->crew))
		return bench_fail(contest->bench, "a process of the contest failed or hangs");
	for (unsigned i = 0; i < contest->processes; i++) {
		total += arena->members[i].count;
		rate += (double)arena->members[i].count * 1e3 / (double)arena->members[i].nanoseconds;
	}
	if (total != arena->guarded)
		return bench_fail(contest->bench, "no mutual exclusion: %" PRIu64 " locks, %" PRIu64 " counted", total,
				  arena->guarded);
	series_add(samples, rate);
	return 0;
}

static int contest_stoa(void *context, struct series *samples)
{
	return contest_block(context, JOB_STOA, samples);
}

static int contest_glibc(void *context, struct series *samples)
{
	return contest_block(context, JOB_GLIBC, samples);
}

static int contest_open(struct contest *contest)
{
	struct bench *bench = contest->bench;
	int status;

	contest->processes = bench->which->variant;
	if (measure_cpus() < 2)
		return bench_skip(bench, "one CPU only: no two processes run at the same time");
	status = arena_open(contest, true);
	contest->crew.work = contend;
	contest->crew.context = contest;
	if (!status && crew_start(&contest->crew, contest->processes, 0))
		status = bench_fail_errno(bench, "starting the processes of the contest");
	return status;
}

static void contest_close(struct contest *contest)
{
	crew_stop(&contest->crew);
	stoa_segment_close(contest->segment);
}

static int run_contended(struct bench *bench)
{
	struct contest contest = {.bench = bench};
	int status = contest_open(&contest);

	if (!status)
		status = bench_pairs(bench, contest_stoa, contest_glibc, &contest);
	contest_close(&contest);
	return status;
}

/* ---- Boost.Interprocess, in a helper program that does blocks on request (boost_mutex.cpp) ---- */

#define HELPER_NAME "stoa-bench-boost"
#define HELPER_PLACE "/../bench/" HELPER_NAME /* from the tool's folder: in the build tree, as it is not installed */

static int helper_path(char *path, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (length <= 0)
		return -1;
	path[length] = 0;
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + sizeof(HELPER_PLACE) > size)
		return -1;
	memcpy(slash, HELPER_PLACE, sizeof(HELPER_PLACE));
	return access(path, X_OK);
}

static int helper_start(struct contest *contest)
{
	char path[4096];
	char processes[16], inside[16], outside[16];
	int pair[2];

	if (helper_path(path, sizeof(path)))
		return bench_skip(contest->bench, "no %s in the build tree: it is made where Boost's headers are",
				  HELPER_NAME);
	snprintf(processes, sizeof(processes), "%u", contest->processes);
	snprintf(inside, sizeof(inside), "%u", WORK_INSIDE);
	snprintf(outside, sizeof(outside), "%u", WORK_OUTSIDE);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return bench_fail_errno(contest->bench, "socketpair");
	contest->helper = fork();
	if (contest->helper == 0) {
		if (dup2(pair[1], STDIN_FILENO) == STDIN_FILENO)
			execl(path, HELPER_NAME, processes, inside, outside, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	contest->helper_socket = pair[0];
	return contest->helper < 0 ? bench_fail_errno(contest->bench, "fork") : 0;
}

static void helper_stop(struct contest *contest)
{
	if (contest->helper_socket >= 0)
		close(contest->helper_socket);
	if (contest->helper > 0) {
		while (waitpid(contest->helper, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
}

static int contest_boost(void *context, struct series *samples)
{
	struct contest *contest = context;
	uint32_t microseconds = bench_scale(contest->bench, BLOCK_US, BLOCK_US / 4);
	double rate;

	if (send(contest->helper_socket, &microseconds, sizeof(microseconds), MSG_NOSIGNAL) !=
		    (ssize_t)sizeof(microseconds) ||
	    recv(contest->helper_socket, &rate, sizeof(rate), 0) != (ssize_t)sizeof(rate))
		return bench_fail(contest->bench, "%s is gone", HELPER_NAME);
	if (rate < 0)
		return bench_fail(contest->bench, "%s: no mutual exclusion", HELPER_NAME);
	series_add(samples, rate);
	return 0;
}

static int run_boost(struct bench *bench)
{
	struct contest contest = {.bench = bench, .helper_socket = -1};
	int status = contest_open(&contest);

	if (!status)
		status = helper_start(&contest);
	if (!status)
		status = bench_pairs(bench, contest_stoa, contest_boost, &contest);
	helper_stop(&contest);
	contest_close(&contest);
	return status;
}

const struct bench_case bench_mutex_cases[] = {
	{"sync.mutex",
	 "ns",
	 "glibc, process-shared",
	 "lock, count, unlock; nobody else wants it",
	 {.high = 1.0},
	 run_alone,
	 0},
	{"sync.mutex.robust", "ns", "glibc, robust", "the same beside the one with the same promise", NO_TARGET,
	 run_alone, 1},
	{"sync.mutex_contended.2",
	 "M/s",
	 "glibc, robust",
	 "2 processes lock, count, unlock",
	 {.low = 1.0},
	 run_contended,
	 2},
	{"sync.mutex_contended.4",
	 "M/s",
	 "glibc, robust",
	 "4 processes lock, count, unlock",
	 {.low = 1.0},
	 run_contended,
	 4},
	{"sync.mutex_contended.2.boost", "M/s", "Boost.Interprocess", "2 processes lock, count, unlock", NO_TARGET,
	 run_boost, 2},
	{"sync.mutex_contended.4.boost", "M/s", "Boost.Interprocess", "4 processes lock, count, unlock", NO_TARGET,
	 run_boost, 4},
	{0},
};
