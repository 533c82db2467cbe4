/* SPDX-License-Identifier: MIT */
/*
 * The mutex against the system's locks: alone against one that survives nothing, contended against the one with the same promise,
 * which tells of an owner's death; and against Boost.Interprocess where its helper was built.
 */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>

#include <base/atomic.h>
#include <stoa/sync.h>

#include "crew.h"
#include "os/host.h"
#include "os/rival.h"

/* Everything the processes share, at the start of a segment's data. Each part has cache lines of its own. */
struct arena {
	struct stoa_mutex mutex;
	char pad0[64 - sizeof(struct stoa_mutex)];
	struct rival_lock rival;
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
	struct peer helper;
};

static int arena_open(struct contest *contest, bool robust)
{
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
	rc = rival_lock_make(&contest->arena->rival, robust);
	return rc ? bench_fail_system(contest->bench, contest->bench->baseline, rc) : 0;
}

static void arena_close(struct contest *contest)
{
	if (contest->arena)
		rival_lock_end(&contest->arena->rival);
	stoa_segment_close(contest->segment);
}

static void spin(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		cc_compiler_barrier();
}

static inline int stoa_rounds_of(struct contest *contest, unsigned rounds, unsigned inside, unsigned outside)
{
	struct arena *arena = contest->arena;
	struct stoa_segment *segment = contest->segment;
	int rc = 0;

	for (unsigned i = 0; i < rounds; i++) {
		rc |= stoa_mutex_lock(segment, &arena->mutex, STOA_FOREVER);
		arena->guarded++;
		spin(inside);
		rc |= stoa_mutex_unlock(segment, &arena->mutex);
		spin(outside);
	}
	return rc;
}

/* As rival_lock_rounds(). A loop of its own where nothing is spun: a few nanoseconds are measured there. */
static int stoa_rounds(struct contest *contest, unsigned rounds, unsigned inside, unsigned outside)
{
	return inside || outside ? stoa_rounds_of(contest, rounds, inside, outside)
				 : stoa_rounds_of(contest, rounds, 0, 0);
}

static int rival_rounds(struct contest *contest, unsigned rounds, unsigned inside, unsigned outside)
{
	return rival_lock_rounds(&contest->arena->rival, &contest->arena->guarded, rounds, inside, outside);
}

/* ---- uncontended ---- */

#define ALONE_SAMPLES 10u

static int alone(struct contest *contest,
		 int (*rounds)(struct contest *contest, unsigned rounds, unsigned inside, unsigned outside),
		 struct series *samples)
{
	unsigned calls = bench_scale(contest->bench, 10000, 1000);
	int rc = 0;

	contest->arena->guarded = 0;
	for (unsigned k = 0; k < ALONE_SAMPLES; k++) {
		uint64_t start = host_now();

		rc |= rounds(contest, calls, 0, 0);
		series_add(samples, (double)(host_now() - start) / calls);
	}
	if (rc || contest->arena->guarded != calls * ALONE_SAMPLES)
		return bench_fail(contest->bench, "the lock failed: %s", stoa_error_detail());
	return 0;
}

static int alone_stoa(void *context, struct series *samples)
{
	return alone(context, stoa_rounds, samples);
}

static int alone_rival(void *context, struct series *samples)
{
	return alone(context, rival_rounds, samples);
}

static int run_alone(struct bench *bench)
{
	struct contest contest = {.bench = bench};
	int status = arena_open(&contest, bench->which->variant != 0);

	host_pin(0);
	if (!status)
		status = bench_pairs(bench, alone_stoa, alone_rival, &contest);
	arena_close(&contest);
	return status;
}

/* ---- contended ---- */

enum { JOB_STOA = 1, JOB_RIVAL };

/* Turns of an empty loop inside the lock and between two locks: a short update, then some work of one's own. */
#define WORK_INSIDE 20u
#define WORK_OUTSIDE 200u
#define BLOCK UINT64_C(20000000) /* nanoseconds */

static int contend(void *context, unsigned member, unsigned job)
{
	struct contest *contest = context;
	struct arena *arena = contest->arena;
	uint64_t count = 0;
	uint64_t start;
	int rc = 0;

	add_rlx(&arena->ready, 1);
	while (load_rlx(&arena->ready) < contest->processes)
		host_yield();
	start = host_now();
	for (; !rc && !load_rlx(&arena->stop); count++)
		rc = job == JOB_STOA ? stoa_rounds(contest, 1, WORK_INSIDE, WORK_OUTSIDE)
				     : rival_rounds(contest, 1, WORK_INSIDE, WORK_OUTSIDE);
	arena->members[member].nanoseconds = host_now() - start;
	arena->members[member].count = count;
	return rc;
}

static int contest_serve(const struct crew_member *self)
{
	struct contest contest = {
		.segment = self->segment,
		.arena = stoa_segment_address(self->segment),
		.processes = self->bench.which->variant,
	};

	return crew_serve(self, contend, &contest);
}

/* The block begins when all are at it; a member that never comes is found by crew_end(). */
static void wait_ready(struct contest *contest)
{
	uint64_t end = host_now() + UINT64_C(5000000000);

	while (load_rlx(&contest->arena->ready) < contest->processes && host_now() < end)
		host_sleep(50000);
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
	host_sleep(contest->bench->quick ? BLOCK / 4 : BLOCK);
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

static int contest_rival(void *context, struct series *samples)
{
	return contest_block(context, JOB_RIVAL, samples);
}

static int contest_open(struct contest *contest)
{
	struct bench *bench = contest->bench;
	int status;

	contest->processes = bench->which->variant;
	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only: no two processes run at the same time");
	status = arena_open(contest, true);
	return status ? status : crew_start(&contest->crew, bench, contest->segment, contest->processes, 0);
}

static void contest_close(struct contest *contest)
{
	crew_stop(&contest->crew);
	arena_close(contest);
}

static int run_contended(struct bench *bench)
{
	struct contest contest = {.bench = bench};
	int status = contest_open(&contest);

	if (!status)
		status = bench_pairs(bench, contest_stoa, contest_rival, &contest);
	contest_close(&contest);
	return status;
}

/* ---- Boost.Interprocess, in a helper program that does blocks on request (boost_mutex.cpp) ---- */

static int helper_start(struct contest *contest)
{
	char path[4096];
	char processes[16], inside[16], outside[16];
	const char *const arguments[] = {"stoa-bench-boost", processes, inside, outside, NULL};
	const char *missing;
	int error;

	if (!rival_helper_path(arguments[0], path, sizeof(path), &missing))
		return bench_skip(contest->bench, "%s: %s", arguments[0], missing);
	snprintf(processes, sizeof(processes), "%u", contest->processes);
	snprintf(inside, sizeof(inside), "%u", WORK_INSIDE);
	snprintf(outside, sizeof(outside), "%u", WORK_OUTSIDE);
	error = peer_start(&contest->helper, path, arguments, PEER_READS | PEER_WRITES);
	return error ? bench_fail_system(contest->bench, path, error) : 0;
}

static int contest_boost(void *context, struct series *samples)
{
	struct contest *contest = context;
	uint32_t microseconds = (uint32_t)((contest->bench->quick ? BLOCK / 4 : BLOCK) / 1000);
	double rate;

	if (!peer_write(&contest->helper, &microseconds, sizeof(microseconds)) ||
	    peer_read(&contest->helper, &rate, sizeof(rate)) != sizeof(rate))
		return bench_fail(contest->bench, "the helper with Boost is gone");
	if (rate < 0)
		return bench_fail(contest->bench, "Boost: no mutual exclusion");
	series_add(samples, rate);
	return 0;
}

static int run_boost(struct bench *bench)
{
	struct contest contest = {.bench = bench, .helper = {-1, -1, -1}};
	int status = contest_open(&contest);

	if (!status)
		status = helper_start(&contest);
	if (!status)
		status = bench_pairs(bench, contest_stoa, contest_boost, &contest);
	(void)peer_end(&contest.helper, true);
	contest_close(&contest);
	return status;
}

const struct bench_case bench_mutex_cases[] = {
	{"sync.mutex",
	 "ns",
	 rival_lock_name,
	 "lock, count, unlock; nobody else wants it",
	 {.high = 1.0},
	 run_alone,
	 0,
	 NULL},
	{"sync.mutex.robust", "ns", rival_robust_lock_name, "the same beside the one with the same promise", NO_TARGET,
	 run_alone, 1, NULL},
	{"sync.mutex_contended.2",
	 "M/s",
	 rival_robust_lock_name,
	 "2 processes lock, count, unlock",
	 {.low = 1.0},
	 run_contended,
	 2,
	 contest_serve},
	{"sync.mutex_contended.4",
	 "M/s",
	 rival_robust_lock_name,
	 "4 processes lock, count, unlock",
	 {.low = 1.0},
	 run_contended,
	 4,
	 contest_serve},
	{"sync.mutex_contended.2.boost", "M/s", "Boost.Interprocess", "2 processes lock, count, unlock", NO_TARGET,
	 run_boost, 2, contest_serve},
	{"sync.mutex_contended.4.boost", "M/s", "Boost.Interprocess", "4 processes lock, count, unlock", NO_TARGET,
	 run_boost, 4, contest_serve},
	{0},
};
