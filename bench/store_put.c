/* SPDX-License-Identifier: MIT */
/*
 * Putting objects: small ones many at a time and one at a time, large ones in both kinds of memory, against copying the same bytes into memory that is
 * there, against a bare ring to another process that copies them in and out, or against a round trip between two processes. Redis takes the same
 * puts over a Unix socket.
 *
 * The one hard idea: what was put is read, checked and deleted between the samples, and time passes until the server has freed it: so each put
 * finds warm memory, as it does in a store that has been in use for a while.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include <stoa/segment.h>

#include "os/host.h"

#define OBJECTS 2048u
#define SMALL ((size_t)1024)
#define COPY ((size_t)64 << 10)
#define LARGE ((size_t)100 * 1000 * 1000)
#define LIMIT (UINT64_C(256) << 20)
#define SETTLE UINT64_C(15000000) /* nanoseconds until the server has freed what was deleted */
#define NAP UINT64_C(2000000)     /* until the server sleeps */

enum {
	MANY,
	AS_IT_COMES,
	ASLEEP,
	COPIED,
	IN_PLACE,
	SEALED,
	SEALED_NEW,
	SEALED_BARE,
	REDIS_MANY,
	REDIS_ONE,
	REDIS_LARGE
};

/* Of slots of 1 KiB. */
#define SLOTS 256u
struct ring {
	_Atomic uint64_t tail;
	char pad0[56];
	_Atomic uint64_t head;
	char pad1[56];
	_Atomic uint32_t awake; /* the turn that the other process waits for */
	char pad2[60];
	unsigned char slots[SLOTS][SMALL];
};

struct puts {
	struct depot depot;
	unsigned count; /* objects of a sample */
	size_t size;    /* of each */
	struct stoa_object_options options;
	char (*ids)[DEPOT_ID];
	struct stoa_put *list;
	unsigned char *source; /* what is put */
	unsigned char *target; /* private memory for the baseline, as large */
	uint64_t value;        /* what was written last */
	struct stoa_segment *segment;
	struct ring *ring; /* in there */
	struct rival_twin partner;
	bool partnered;
	uint32_t turn;
};

/* ---- before and after a sample ---- */

static void write_payloads(struct puts *puts)
{
	puts->value++;
	for (unsigned i = 0; i < puts->count; i++)
		measure_fill(puts->source + i * puts->size, puts->size, puts->value * OBJECTS + i);
}

static int read_back(struct puts *puts)
{
	for (unsigned i = 0; i < puts->count; i++) {
		struct stoa_object object;
		int rc = stoa_store_get(puts->depot.store, puts->ids[i], puts->list[i].id_length, 0, &object);

		if (rc)
			return depot_fail(&puts->depot, "stoa_store_get", rc);
		if (object.size != puts->size || memcmp(object.data, puts->list[i].data, puts->size) != 0)
			return bench_fail(puts->depot.bench, "an object is not what was put");
		stoa_object_release(puts->depot.store, &object);
	}
	return 0;
}

static int clear(struct puts *puts)
{
	int status = read_back(puts);

	for (unsigned i = 0; i < puts->count && !status; i++) {
		int rc = stoa_store_delete(puts->depot.store, puts->ids[i], puts->list[i].id_length);

		if (rc)
			status = depot_fail(&puts->depot, "stoa_store_delete", rc);
	}
	host_sleep(SETTLE);
	return status;
}

/* ---- many ---- */

static int many_subject(void *context, struct series *samples)
{
	struct puts *puts = context;
	int status = 0;

	for (unsigned i = 0; i < 4 && !status; i++) {
		uint64_t begin;
		int rc;

		write_payloads(puts);
		begin = host_now();
		rc = stoa_store_put_many(puts->depot.store, puts->list, puts->count, &puts->options);
		if (rc)
			return depot_fail(&puts->depot, "stoa_store_put_many", rc);
		series_add(samples, puts->count * 1e3 / (double)(host_now() - begin));
		status = clear(puts);
	}
	return status;
}

static void copy_all(struct puts *puts)
{
	for (unsigned i = 0; i < puts->count; i++)
		memcpy(puts->target + i * puts->size, puts->source + i * puts->size, puts->size);
	cc_compiler_barrier();
}

/* As bare as can be: bytes go in, the other process copies them out to memory of its own, and that is all. It sleeps between samples. */
static void empty_ring(void *context, int socket)
{
	struct puts *puts = context;
	struct ring *ring = puts->ring;
	struct rival_signal *wanted = &puts->depot.shared->signals[0];
	uint64_t head = 0;

	(void)socket;
	host_pin(1);
	for (uint32_t turn = 1; !rival_signal_take(wanted, turn); turn++) {
		store_rlx(&ring->awake, turn);
		for (unsigned i = 0; i < puts->count; i++, head++) {
			while (load_acq(&ring->tail) == head) /* A1: what it has; pairs with R1 in fill_ring() */
				cc_pause();
			memcpy(puts->target + i * SMALL, ring->slots[head % SLOTS], SMALL);
			store_rel(&ring->head, head + 1); /* R2: it is copied; pairs with A2 in fill_ring() */
		}
	}
}

static void fill_ring(const struct puts *puts)
{
	struct ring *ring = puts->ring;
	uint64_t tail = load_rlx(&ring->tail), end = tail + puts->count;

	for (unsigned i = 0; i < puts->count; i++, tail++) {
		while (tail - load_acq(&ring->head) >= SLOTS) /* A2: nobody needs it; pairs with R2 in empty_ring() */
			cc_pause();
		memcpy(ring->slots[tail % SLOTS], puts->source + i * SMALL, SMALL);
		store_rel(&ring->tail, tail + 1); /* R1: a slot is full; pairs with A1 in empty_ring() */
	}
	while (load_acq(&ring->head) != end) /* A3: all are copied; pairs with R2 in empty_ring() */
		cc_pause();
}

static int ring_baseline(void *context, struct series *samples)
{
	struct puts *puts = context;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t turn = ++puts->turn;
		uint64_t begin;

		write_payloads(puts);
		if (rival_signal_give(&puts->depot.shared->signals[0], turn))
			return bench_fail(puts->depot.bench, "%s failed", rival_signal_name);
		while (load_rlx(&puts->ring->awake) != turn)
			cc_pause();
		begin = host_now();
		fill_ring(puts);
		series_add(samples, puts->count * 1e3 / (double)(host_now() - begin));
	}
	return 0;
}

/* ---- one at a time ---- */

static int one_subject(void *context, struct series *samples)
{
	struct puts *puts = context;
	bool asleep = puts->depot.bench->which->variant == ASLEEP;

	write_payloads(puts);
	for (unsigned i = 0; i < puts->count; i++) {
		const struct stoa_put *put = &puts->list[i];
		uint64_t begin;
		int rc;

		if (asleep)
			measure_spin(NAP);
		begin = host_now();
		rc = stoa_store_put(puts->depot.store, put->id, put->id_length, put->data, put->size, &puts->options);
		if (rc)
			return depot_fail(&puts->depot, "stoa_store_put", rc);
		series_add(samples, (double)(host_now() - begin));
	}
	return clear(puts);
}

static void partner(void *context, int socket)
{
	struct puts *puts = context;
	struct rival_signal *signals = puts->depot.shared->signals;

	(void)socket;
	host_pin(1);
	for (uint32_t turn = 1; !rival_signal_take(&signals[0], turn) && !rival_signal_give(&signals[1], turn);)
		turn++;
}

static int trip_baseline(void *context, struct series *samples)
{
	struct puts *puts = context;
	struct rival_signal *signals = puts->depot.shared->signals;

	for (unsigned i = 0; i < puts->count; i++) {
		uint32_t turn = ++puts->turn;
		uint64_t begin;

		if (puts->depot.bench->which->variant == ASLEEP)
			measure_spin(NAP);
		begin = host_now();
		if (rival_signal_give(&signals[0], turn) || rival_signal_take(&signals[1], turn))
			return bench_fail(puts->depot.bench, "%s failed", rival_signal_name);
		series_add(samples, (double)(host_now() - begin));
	}
	return 0;
}

/* ---- large ones ---- */

/* Bytes of all, in GB/s. */
static double speed(const struct puts *puts, uint64_t begin)
{
	return (double)(puts->count * puts->size) / (double)(host_now() - begin);
}

static int large_subject(void *context, struct series *samples)
{
	struct puts *puts = context;
	uint64_t begin;

	write_payloads(puts);
	begin = host_now();
	for (unsigned i = 0; i < puts->count; i++) {
		const struct stoa_put *put = &puts->list[i];
		int rc = stoa_store_put(puts->depot.store, put->id, put->id_length, put->data, put->size,
					&puts->options);

		if (rc)
			return depot_fail(&puts->depot, "stoa_store_put", rc);
	}
	series_add(samples, speed(puts, begin));
	return clear(puts);
}

static int copy_baseline(void *context, struct series *samples)
{
	struct puts *puts = context;
	uint64_t begin;

	write_payloads(puts);
	begin = host_now();
	copy_all(puts);
	series_add(samples, speed(puts, begin));
	measure_use(measure_sum(puts->target, puts->count * puts->size));
	return 0;
}

/* Into memory that is made for it. */
static int new_memory_baseline(void *context, struct series *samples)
{
	struct puts *puts = context;
	uint64_t begin;
	void *bytes;
	int error;

	write_payloads(puts);
	begin = host_now();
	error = rival_memory_make(puts->size, &bytes);
	if (error)
		return bench_fail_system(puts->depot.bench, "private memory", error);
	memcpy(bytes, puts->source, puts->size);
	series_add(samples, speed(puts, begin));
	measure_use(measure_sum(bytes, puts->size));
	rival_memory_free(bytes, puts->size);
	return 0;
}

/* What any sealed object costs at least: the system makes its pages, and they are filled. */
static int bare_baseline(void *context, struct series *samples)
{
	struct puts *puts = context;
	uint64_t begin;
	intptr_t handle;
	int error;

	write_payloads(puts);
	begin = host_now();
	error = rival_sealed_make(puts->source, puts->size, &handle);
	if (error)
		return bench_fail_system(puts->depot.bench, "sealed memory", error);
	series_add(samples, speed(puts, begin));
	if (!rival_sealed_end(handle, puts->source, puts->size))
		return bench_fail(puts->depot.bench, "sealed memory is not what was written");
	return 0;
}

/* ---- Redis ---- */

static int other_subject(void *context, struct series *samples)
{
	struct puts *puts = context;

	return depot_other_block(&puts->depot, puts->count, samples);
}

/* ---- cases ---- */

static int make_list(struct puts *puts)
{
	void *source, *target;
	int error;

	puts->ids = calloc(puts->count, sizeof(*puts->ids));
	puts->list = calloc(puts->count, sizeof(*puts->list));
	if (!puts->ids || !puts->list)
		return bench_fail(puts->depot.bench, "out of memory");
	error = rival_memory_make(puts->count * puts->size, &source);
	if (error)
		return bench_fail_system(puts->depot.bench, "private memory", error);
	puts->source = source;
	error = rival_memory_make(puts->count * puts->size, &target);
	if (error)
		return bench_fail_system(puts->depot.bench, "private memory", error);
	puts->target = target;
	for (unsigned i = 0; i < puts->count; i++)
		puts->list[i] = (struct stoa_put){.id = puts->ids[i],
						  .data = puts->source + i * puts->size,
						  .size = puts->size,
						  .id_length = depot_id(i, puts->ids[i])};
	return 0;
}

static int make_ring(struct puts *puts)
{
	int rc = stoa_segment_create(NULL, sizeof(*puts->ring), NULL, &puts->segment);

	if (!rc)
		rc = stoa_segment_commit(puts->segment, sizeof(*puts->ring));
	if (rc)
		return depot_fail(&puts->depot, "stoa_segment_create", rc);
	puts->ring = stoa_segment_address(puts->segment);
	return 0;
}

static int start_partner(struct puts *puts, void (*work)(void *context, int socket))
{
	int error = rival_twin_start(&puts->partner, work, puts);

	puts->partnered = !error;
	return error ? bench_fail_system(puts->depot.bench, "starting another process", error) : 0;
}

static void end(struct puts *puts)
{
	if (puts->partnered)
		rival_twin_end(&puts->partner);
	depot_close(&puts->depot);
	stoa_segment_close(puts->segment);
	if (puts->source)
		rival_memory_free(puts->source, puts->count * puts->size);
	if (puts->target)
		rival_memory_free(puts->target, puts->count * puts->size);
	free(puts->list);
	free(puts->ids);
}

struct way {
	unsigned count, quick_count;
	size_t size, quick_size;
	uint32_t kind;
	int (*subject)(void *context, struct series *samples);
	int (*baseline)(void *context, struct series *samples);
	const char *other;
};
#define HUGE LARGE, LARGE / 25
static const struct way ways[] = {
	[MANY] = {OBJECTS, 256, SMALL, SMALL, STOA_OBJECT_AUTO, many_subject, ring_baseline, NULL},
	[AS_IT_COMES] = {1000, 100, SMALL, SMALL, STOA_OBJECT_AUTO, one_subject, trip_baseline, NULL},
	[ASLEEP] = {40, 4, SMALL, SMALL, STOA_OBJECT_AUTO, one_subject, trip_baseline, NULL},
	[COPIED] = {256, 16, COPY, COPY, STOA_OBJECT_COPIED, large_subject, copy_baseline, NULL},
	[IN_PLACE] = {1, 1, HUGE, STOA_OBJECT_PRIVATE, large_subject, copy_baseline, NULL},
	[SEALED] = {1, 1, HUGE, STOA_OBJECT_SEALED, large_subject, copy_baseline, NULL},
	[SEALED_NEW] = {1, 1, HUGE, STOA_OBJECT_SEALED, large_subject, new_memory_baseline, NULL},
	[SEALED_BARE] = {1, 1, HUGE, STOA_OBJECT_SEALED, large_subject, bare_baseline, NULL},
	[REDIS_MANY] = {OBJECTS, 256, SMALL, SMALL, 0, other_subject, ring_baseline, "put_many"},
	[REDIS_ONE] = {1000, 100, SMALL, SMALL, 0, other_subject, trip_baseline, "put"},
	[REDIS_LARGE] = {1, 1, HUGE, 0, other_subject, copy_baseline, "put"},
};

static int run_put(struct bench *bench)
{
	const struct way *way = &ways[bench->which->variant];
	struct puts puts = {.count = bench_scale(bench, way->count, way->quick_count),
			    .size = bench->quick ? way->quick_size : way->size,
			    .options.kind = way->kind};
	uint64_t limit = puts.size > COPY ? 4 * (uint64_t)puts.size + LIMIT : LIMIT;
	int status;

	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only, and server and client need one each");
	status = way->other ? depot_open_other(&puts.depot, bench, way->other, puts.size)
			    : depot_open(&puts.depot, bench, limit, false);
	if (!status)
		status = make_list(&puts);
	if (!status && way->baseline == ring_baseline)
		status = make_ring(&puts);
	if (!status && way->baseline == ring_baseline)
		status = start_partner(&puts, empty_ring);
	if (!status && way->baseline == trip_baseline)
		status = start_partner(&puts, partner);
	if (!status)
		status = bench_pairs(bench, way->subject, way->baseline, &puts);
	end(&puts);
	return status;
}

#define RATE                                 \
	{                                    \
		.low = 2.5, .absolute = true \
	}
#define COPYING            \
	{                  \
		.low = 0.9 \
	}
#define PUT(name, unit, baseline, about, target, variant)                            \
	{                                                                            \
		"store." name, unit, baseline, about, target, run_put, variant, NULL \
	}

const struct bench_case bench_put_cases[] = {
	PUT("put_1k", "M/s", "a bare ring, copied in and out", "put objects of 1 KiB, many at a time", RATE, MANY),
	PUT("put_latency", "ns", rival_signal_name, "put an object of 1 KiB, until it is there", NO_TARGET,
	    AS_IT_COMES),
	PUT("put_latency.asleep", "ns", rival_signal_name, "the same, and the server sleeps before", NO_TARGET, ASLEEP),
	PUT("put_64k.copied", "GB/s", "memcpy into private memory", "put objects of 64 KiB that the server copies",
	    NO_TARGET, COPIED),
	PUT("put_100m.private", "GB/s", "memcpy into private memory", "put 100 MB, in memory that its maker can write",
	    COPYING, IN_PLACE),
	PUT("put_100m.sealed", "GB/s", "memcpy into private memory", "put 100 MB, in memory that is sealed", COPYING,
	    SEALED),
	PUT("put_100m.sealed_new", "GB/s", "memcpy into new private memory",
	    "the same, against what new memory costs everybody", COPYING, SEALED_NEW),
	PUT("put_100m.sealed_bare", "GB/s", "a bare memfd, written and sealed",
	    "the same, against the least that the system needs for it", COPYING, SEALED_BARE),
	PUT("peers.put_1k.redis", "M/s", "a bare ring, copied in and out", "Redis over a Unix socket, many at a time",
	    NO_TARGET, REDIS_MANY),
	PUT("peers.put_latency.redis", "ns", rival_signal_name, "Redis over a Unix socket, 1 KiB", NO_TARGET,
	    REDIS_ONE),
	PUT("peers.put_100m.redis", "GB/s", "memcpy into private memory", "Redis over a Unix socket, 100 MB", NO_TARGET,
	    REDIS_LARGE),
	{0},
};
