/* SPDX-License-Identifier: MIT */
/*
 * Round trips between two processes through events and wait sets, against the system's own (futexes, kernel events) and against a bare cache
 * line.
 * Both ways carry 64 bytes, written before and read after, in memory of the same segment.
 *
 * The one hard idea: "blocking" has three meanings that must not be mixed. As it comes: both run on CPUs of their own and an
 * event may be caught while still spinning, which the system's own never is. Asleep: each side waits until the other surely
 * sleeps before it signals, so the time is signal to running again, twice. One CPU: nobody can run meanwhile.
 */
#include "bench.h"

#include <string.h>

#include <base/atomic.h>
#include <stoa/sync.h>
#include <stoa/wait.h>

#include "crew.h"
#include "os/host.h"
#include "os/rival.h"

#define PAYLOAD 64
#define EIGHT 8
#define WRONG 1000 /* the signal came, with something else than it should announce; no stoa function returns this */
#define NAP UINT64_C(100000) /* asleep: longer than anybody spins */

/* One way: all the kinds of signals that may announce its payload, each in a cache line of its own. */
struct way {
	struct {
		struct stoa_event event;
		char pad[64 - sizeof(struct stoa_event)];
	} events[EIGHT];
	struct rival_signal signals[EIGHT];
	_Atomic uint32_t line;
	char pad0[60];
	char payload[PAYLOAD];
	uint64_t sent; /* asleep: when the signal was given */
	char pad1[56];
};

struct arena {
	struct way ways[2]; /* there, back */
	uint64_t one_way;   /* asleep: how long "there" took */
};

struct trip;
struct signal_kind {
	int (*give)(struct trip *trip, struct way *way, uint32_t turn);
	int (*take)(struct trip *trip, struct way *way, uint32_t turn);
};

struct trip {
	struct bench *bench;
	struct stoa_segment *segment;
	struct arena *arena;
	const struct signal_kind *subject;
	const struct signal_kind *baseline;
	struct crew crew;
	uint32_t turn;  /* counts on over all blocks, in both processes alike */
	unsigned trips; /* of a block */
	unsigned batch; /* trips of a sample */
	bool asleep;
};

/* ---- the kinds of signals; turn counts from 1 ---- */

static int event_give(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)turn;
	return stoa_event_set(trip->segment, &way->events[0].event);
}

static int event_take(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)turn;
	return stoa_event_wait(trip->segment, &way->events[0].event, STOA_FOREVER);
}

static int any_give(struct trip *trip, struct way *way, uint32_t turn)
{
	return stoa_event_set(trip->segment, &way->events[turn % EIGHT].event);
}

static int any_take(struct trip *trip, struct way *way, uint32_t turn)
{
	struct stoa_waitable set[EIGHT];
	size_t place = EIGHT;
	int rc;

	for (unsigned i = 0; i < EIGHT; i++)
		set[i] = (struct stoa_waitable){trip->segment, &way->events[i].event, STOA_WAIT_EVENT, 0};
	rc = stoa_wait_any(set, EIGHT, STOA_FOREVER, &place);
	return rc || place == turn % EIGHT ? rc : WRONG;
}

static int rival_give(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	return rival_signal_give(&way->signals[0], turn);
}

static int rival_take(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	return rival_signal_take(&way->signals[0], turn);
}

static int rival_give_any(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	return rival_signal_give(&way->signals[turn % EIGHT], turn);
}

static int rival_take_any(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	return rival_signal_take_any(way->signals, EIGHT, turn % EIGHT, turn);
}

static int line_give(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	/* R1: publishes the payload without a system call; pairs with A1 in line_take() */
	store_rel(&way->line, turn);
	return 0;
}

static int line_take(struct trip *trip, struct way *way, uint32_t turn)
{
	(void)trip;
	/* A1: the payload is there; pairs with R1 in line_give() */
	while (load_acq(&way->line) != turn)
		;
	return 0;
}

static const struct signal_kind event_kind = {event_give, event_take};
static const struct signal_kind any_kind = {any_give, any_take};
static const struct signal_kind rival_kind = {rival_give, rival_take};
static const struct signal_kind rival_any_kind = {rival_give_any, rival_take_any};
static const struct signal_kind line_kind = {line_give, line_take};

/* ---- going there and back ---- */

static int send_payload(struct trip *trip, const struct signal_kind *kind, struct way *way, uint32_t turn)
{
	measure_fill(way->payload, PAYLOAD, turn);
	return kind->give(trip, way, turn);
}

/* Also checks that it is the payload of this turn: a signal that overtook its data would show here. */
static int receive_payload(struct trip *trip, const struct signal_kind *kind, struct way *way, uint32_t turn)
{
	char bytes[PAYLOAD];
	uint64_t first;
	int rc = kind->take(trip, way, turn);

	if (rc)
		return rc;
	memcpy(bytes, way->payload, PAYLOAD);
	memcpy(&first, bytes, sizeof(first));
	return first != turn || bytes[PAYLOAD - 1] != (char)(turn & 0xff) ? WRONG : 0;
}

static int there_and_back(struct trip *trip, const struct signal_kind *kind)
{
	uint32_t turn = ++trip->turn;
	int rc = send_payload(trip, kind, &trip->arena->ways[0], turn);

	return rc ? rc : receive_payload(trip, kind, &trip->arena->ways[1], turn);
}

static int answer(struct trip *trip, const struct signal_kind *kind)
{
	uint32_t turn = ++trip->turn;
	int rc = receive_payload(trip, kind, &trip->arena->ways[0], turn);

	return rc ? rc : send_payload(trip, kind, &trip->arena->ways[1], turn);
}

/* Asleep: each signal is given NAP after its giver could, and timed from there to when its taker runs. */
static int there_and_back_asleep(struct trip *trip, const struct signal_kind *kind, double *ret_time)
{
	struct arena *arena = trip->arena;
	int rc;

	measure_spin(NAP);
	arena->ways[0].sent = host_now();
	rc = there_and_back(trip, kind);
	if (!rc)
		*ret_time = (double)(arena->one_way + (host_now() - arena->ways[1].sent));
	return rc;
}

static int answer_asleep(struct trip *trip, const struct signal_kind *kind)
{
	struct arena *arena = trip->arena;
	uint32_t turn = ++trip->turn;
	int rc = receive_payload(trip, kind, &arena->ways[0], turn);

	if (rc)
		return rc;
	arena->one_way = host_now() - arena->ways[0].sent;
	measure_spin(NAP);
	arena->ways[1].sent = host_now();
	return send_payload(trip, kind, &arena->ways[1], turn);
}

/* The other process: job 1 is a block of the subject, 2 of the baseline. */
static int partner(void *context, unsigned member, unsigned job)
{
	struct trip *trip = context;
	const struct signal_kind *kind = job == 1 ? trip->subject : trip->baseline;
	int rc = 0;

	(void)member;
	for (unsigned i = 0; !rc && i < trip->trips; i++)
		rc = trip->asleep ? answer_asleep(trip, kind) : answer(trip, kind);
	return rc;
}

static int sample(struct trip *trip, const struct signal_kind *kind, struct series *samples)
{
	uint64_t start = host_now();
	double time = 0;
	int rc = 0;

	if (trip->asleep) {
		rc = there_and_back_asleep(trip, kind, &time);
	} else {
		for (unsigned i = 0; !rc && i < trip->batch; i++)
			rc = there_and_back(trip, kind);
		time = (double)(host_now() - start) / trip->batch;
	}
	series_add(samples, time);
	return rc;
}

static int trip_block(struct trip *trip, unsigned job, struct series *samples)
{
	const struct signal_kind *kind = job == 1 ? trip->subject : trip->baseline;
	int rc = 0;

	if (crew_begin(&trip->crew, job))
		return bench_fail(trip->bench, "the other process is gone");
	for (unsigned i = 0; !rc && i < trip->trips; i += trip->batch)
		rc = sample(trip, kind, samples);
	if (rc)
		return bench_fail(trip->bench, "round trip %u: %s", trip->turn,
				  rc == WRONG ? "wrong payload or wrong event" : stoa_error_detail());
	if (crew_end(&trip->crew))
		return bench_fail(trip->bench, "the other process failed or hangs");
	return 0;
}

static int trip_subject(void *context, struct series *samples)
{
	return trip_block(context, 1, samples);
}

static int trip_baseline(void *context, struct series *samples)
{
	return trip_block(context, 2, samples);
}

/* ---- cases ---- */

static int trip_open(struct trip *trip)
{
	struct bench *bench = trip->bench;
	int rc = stoa_segment_create(NULL, sizeof(struct arena), NULL, &trip->segment);

	if (rc)
		return bench_fail_result(bench, "stoa_segment_create", rc);
	rc = stoa_segment_commit(trip->segment, sizeof(struct arena));
	if (rc)
		return bench_fail_result(bench, "stoa_segment_commit", rc);
	trip->arena = stoa_segment_address(trip->segment);
	for (unsigned i = 0; i < 2 * EIGHT; i++) {
		struct way *way = &trip->arena->ways[i / EIGHT];

		rc = stoa_event_init(trip->segment, &way->events[i % EIGHT].event, 0);
		if (rc)
			return bench_fail_result(bench, "stoa_event_init", rc);
		rc = rival_signal_make(&way->signals[i % EIGHT]);
		if (rc)
			return bench_fail_system(bench, bench->baseline, rc);
	}
	return 0;
}

enum {
	AS_IT_COMES,
	ASLEEP,
	ONE_CPU,
	SPINNING,
	HOW_MASK = 3,
	ANY_OF_EIGHT = 4, /* or-ed in */
};

static void choose_lengths(struct trip *trip, unsigned how)
{
	trip->asleep = how == ASLEEP;
	trip->batch = how == SPINNING ? 20 : 1;
	if (how == SPINNING)
		trip->trips = bench_scale(trip->bench, 20000, 2000);
	else if (how == ASLEEP)
		trip->trips = bench_scale(trip->bench, 100, 20);
	else
		trip->trips = bench_scale(trip->bench, 500, 50);
}

/* What follows from the case's variant, in both processes. */
static void choose(struct trip *trip)
{
	unsigned how = trip->bench->which->variant & HOW_MASK;
	bool any = trip->bench->which->variant & ANY_OF_EIGHT;

	trip->subject = any ? &any_kind : &event_kind;
	trip->baseline = any ? &rival_any_kind : how == SPINNING ? &line_kind : &rival_kind;
	choose_lengths(trip, how);
}

static int trip_serve(const struct crew_member *self)
{
	struct bench bench = self->bench;
	struct trip trip = {
		.bench = &bench,
		.segment = self->segment,
		.arena = stoa_segment_address(self->segment),
	};

	choose(&trip);
	return crew_serve(self, partner, &trip);
}

static void trip_close(struct trip *trip)
{
	for (unsigned i = 0; trip->arena && i < EIGHT; i++) {
		rival_signal_end(&trip->arena->ways[0].signals[i]);
		rival_signal_end(&trip->arena->ways[1].signals[i]);
	}
	stoa_segment_close(trip->segment);
}

static int run_trip(struct bench *bench)
{
	unsigned how = bench->which->variant & HOW_MASK;
	const char *missing = bench->which->variant & ANY_OF_EIGHT ? rival_any_missing() : NULL;
	struct trip trip = {.bench = bench};
	int status;

	if (host_cpus() < 2 && how != ONE_CPU)
		return bench_skip(bench, "one CPU only; sync.event_rtt.one_cpu runs");
	if (missing)
		return bench_skip(bench, "%s", missing);
	choose(&trip);
	status = trip_open(&trip);
	host_pin(0);
	if (!status)
		status = crew_start(&trip.crew, bench, trip.segment, 1, how == ONE_CPU ? 0 : 1);
	if (!status)
		status = bench_pairs(bench, trip_subject, trip_baseline, &trip);
	crew_stop(&trip.crew);
	trip_close(&trip);
	return status;
}

const struct bench_case bench_wait_cases[] = {
	{"sync.event_rtt",
	 "ns",
	 rival_signal_name,
	 "events there and back, two CPUs",
	 {.high = 1.05},
	 run_trip,
	 AS_IT_COMES,
	 trip_serve},
	{"sync.event_rtt.asleep",
	 "ns",
	 rival_signal_name,
	 "the same, each wakes a sleeper",
	 {.high = 1.05},
	 run_trip,
	 ASLEEP,
	 trip_serve},
	{"sync.event_rtt.one_cpu", "ns", rival_signal_name, "the same, both on one CPU", NO_TARGET, run_trip, ONE_CPU,
	 trip_serve},
	{"sync.event_rtt.spin", "ns", "a bare cache line", "events beside what the CPUs can do", NO_TARGET, run_trip,
	 SPINNING, trip_serve},
	{"sync.wait_any8", "ns", rival_any_name, "one of 8 events there, one of 8 back", NO_TARGET, run_trip,
	 ANY_OF_EIGHT, trip_serve},
	{"sync.wait_any8.asleep", "ns", rival_any_name, "the same, each wakes a sleeper", NO_TARGET, run_trip,
	 ANY_OF_EIGHT | ASLEEP, trip_serve},
	{0},
};
