/* SPDX-License-Identifier: MIT */
/*
 * Getting objects: pinned, read and released in place, by one client and by several, against a bare hazard pointer over a private table, and reading
 * against private memory. Redis answers the same gets over a Unix socket.
 *
 * The one hard idea: the objects are as many and as large on both sides, and come in the same order, so that caches hold as much of both.
 */
#include "store.h"

#include <string.h>

#include <stoa/segment.h>

#include "os/host.h"

#define OBJECTS 256u /* a power of two */
#define SMALL ((size_t)1024)
#define LIMIT (UINT64_C(64) << 20)
#define LARGE ((size_t)100 * 1000 * 1000)
#define ALONE 1000u /* a job: one client gets, the others do not */

/* variants: clients, or ... */
enum { ONE = 1, WHOLE = 100, LARGE_OBJECT, REDIS_SMALL, REDIS_LARGE };

/* A slot of a table as bare as can be: what a pin has to look at again. */
struct bare_entry {
	_Atomic uint64_t state;
	const unsigned char *data;
	char pad[112];
};

struct gets {
	struct depot depot;
	struct stoa_store *store;
	struct crew crew;
	unsigned clients;
	unsigned rounds; /* of a sample */
	size_t size;
	size_t read; /* bytes that are read of each object */
	uint64_t random;
	char ids[OBJECTS][DEPOT_ID];
	uint32_t id_length;
	unsigned char *bytes; /* private: all objects, one after the other */
	struct bare_entry entries[OBJECTS];
	char pad0[64];
	_Atomic uint64_t pin;
	char pad1[56];
};

static unsigned next(struct gets *gets)
{
	gets->random ^= gets->random << 13;
	gets->random ^= gets->random >> 7;
	gets->random ^= gets->random << 17;
	return gets->random % OBJECTS;
}

static uint64_t look(const unsigned char *bytes, size_t length)
{
	uint64_t first;

	if (length > sizeof(first))
		return measure_sum(bytes, length);
	memcpy(&first, bytes, sizeof(first));
	return first;
}

/* ---- the two ways ---- */

static int get_rounds(struct gets *gets, unsigned rounds)
{
	struct stoa_object object;
	uint64_t sum = 0;
	int rc = 0;

	for (unsigned i = 0; !rc && i < rounds; i++) {
		rc = stoa_store_get(gets->store, gets->ids[next(gets)], gets->id_length, 0, &object);
		if (rc)
			break;
		sum += look(object.data, gets->read);
		stoa_object_release(gets->store, &object);
	}
	measure_use(sum);
	return rc;
}

static int get_subject(void *context, struct series *samples)
{
	struct gets *gets = context;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t begin = host_now();
		int rc = get_rounds(gets, gets->rounds);

		if (rc)
			return depot_fail(&gets->depot, "stoa_store_get", rc);
		series_add(samples, (double)(host_now() - begin) / gets->rounds);
	}
	return 0;
}

/* Pinned by a locked exchange, so that whoever frees sees it or the pin sees that it was freed. */
static int pin_baseline(void *context, struct series *samples)
{
	struct gets *gets = context;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t begin = host_now(), sum = 0;

		for (unsigned k = 0; k < gets->rounds; k++) {
			unsigned at = next(gets);
			const struct bare_entry *entry = &gets->entries[at];
			uint64_t state = load_rlx(&entry->state);

			store_seq(&gets->pin,
				  state | at); /* Q1: the pin, then the look; would pair with one in who frees */
			if (load_rlx(&entry->state) != state)
				return bench_fail(gets->depot.bench, "somebody writes private memory");
			sum += look(entry->data, gets->read);
			store_rel(&gets->pin, 0); /* R1: it was read; would pair with a look in who frees */
		}
		measure_use(sum);
		series_add(samples, (double)(host_now() - begin) / gets->rounds);
	}
	return 0;
}

static int read_baseline(void *context, struct series *samples)
{
	struct gets *gets = context;

	for (unsigned i = 0; i < 20; i++) {
		uint64_t begin = host_now(), sum = 0;

		for (unsigned k = 0; k < gets->rounds; k++)
			sum += measure_sum(gets->entries[next(gets)].data, gets->size);
		measure_use(sum);
		series_add(samples, (double)(host_now() - begin) / gets->rounds);
	}
	return 0;
}

/* ---- what both need ---- */

static int make_private(struct gets *gets, unsigned objects)
{
	void *bytes;
	int error = rival_memory_make(objects * gets->size, &bytes);

	if (error)
		return bench_fail_system(gets->depot.bench, "private memory", error);
	gets->bytes = bytes;
	for (unsigned i = 0; i < objects; i++) {
		measure_fill(gets->bytes + i * gets->size, gets->size, i);
		gets->entries[i].data = gets->bytes + i * gets->size;
		store_rlx(&gets->entries[i].state, (uint64_t)i << 24);
	}
	return 0;
}

static void choose(struct gets *gets, struct bench *bench)
{
	gets->random = UINT64_C(0x9e3779b97f4a7c15);
	gets->rounds = bench_scale(bench, 2000, 200);
	for (unsigned i = 0; i < OBJECTS; i++)
		gets->id_length = depot_id(i, gets->ids[i]);
}

static int fill_store(struct gets *gets, unsigned objects)
{
	for (unsigned i = 0; i < objects; i++) {
		int rc = stoa_store_put(gets->store, gets->ids[i], gets->id_length, gets->bytes + i * gets->size,
					gets->size, NULL);

		if (rc)
			return depot_fail(&gets->depot, "stoa_store_put", rc);
	}
	return 0;
}

static int start(struct gets *gets, struct bench *bench, unsigned objects, uint64_t limit)
{
	int status;

	choose(gets, bench);
	status = depot_open(&gets->depot, bench, limit, false);
	gets->store = gets->depot.store;
	if (!status)
		status = make_private(gets, objects);
	return status ? status : fill_store(gets, objects);
}

static void end(struct gets *gets, unsigned objects)
{
	depot_close(&gets->depot);
	if (gets->bytes)
		rival_memory_free(gets->bytes, objects * gets->size);
}

static int run_get(struct bench *bench)
{
	bool whole = bench->which->variant == WHOLE;
	struct gets gets = {.size = SMALL, .read = whole ? SMALL : sizeof(uint64_t)};
	int status = start(&gets, bench, OBJECTS, LIMIT);

	if (!status)
		status = bench_pairs(bench, get_subject, whole ? read_baseline : pin_baseline, &gets);
	end(&gets, OBJECTS);
	return status;
}

/* ---- several clients ---- */

static int client_job(void *context, unsigned member, unsigned job)
{
	struct gets *gets = context;
	struct depot_shared *shared = gets->depot.shared;
	int rc;

	if (job == ALONE && member)
		return 0;
	add_rlx(&shared->arrived, 1);
	while (job != ALONE && load_rlx(&shared->arrived) < job)
		host_yield();
	shared->spans[member].begin = host_now();
	rc = get_rounds(gets, gets->rounds * 50);
	shared->spans[member].end = host_now();
	return rc;
}

static int client_serve(const struct crew_member *self)
{
	struct bench bench = self->bench;
	struct gets gets = {.size = SMALL, .read = sizeof(uint64_t)};
	int status;

	gets.depot.shared = stoa_segment_address(self->segment);
	choose(&gets, &bench);
	gets.random += self->number;
	if (stoa_store_open(gets.depot.shared->path, NULL, &gets.store))
		return 1;
	status = crew_serve(self, client_job, &gets);
	stoa_store_close(gets.store);
	return status;
}

/* So many at once; millions of gets a second, times `scale`. */
static int clients_rate(struct gets *gets, unsigned clients, double scale, struct series *samples)
{
	struct depot_shared *shared = gets->depot.shared;
	uint64_t begin = UINT64_MAX, last = 0;

	store_rlx(&shared->arrived, 0);
	if (crew_begin(&gets->crew, clients == 1 ? ALONE : clients) || crew_end(&gets->crew))
		return bench_fail(gets->depot.bench, "a client failed");
	for (unsigned i = 0; i < clients; i++) {
		begin = shared->spans[i].begin < begin ? shared->spans[i].begin : begin;
		last = shared->spans[i].end > last ? shared->spans[i].end : last;
	}
	series_add(samples, clients * gets->rounds * 50 * 1e3 / (double)(last - begin) * scale);
	return 0;
}

static int clients_subject(void *context, struct series *samples)
{
	struct gets *gets = context;
	int status = 0;

	for (unsigned i = 0; i < 3 && !status; i++)
		status = clients_rate(gets, gets->clients, 1, samples);
	return status;
}

/* One of them, times as many as can run at a time. */
static int alone_baseline(void *context, struct series *samples)
{
	struct gets *gets = context;
	unsigned most = gets->clients < host_cpus() ? gets->clients : host_cpus();
	int status = 0;

	for (unsigned i = 0; i < 3 && !status; i++)
		status = clients_rate(gets, 1, most, samples);
	return status;
}

static int run_clients(struct bench *bench)
{
	struct gets gets = {.size = SMALL, .read = sizeof(uint64_t), .clients = bench->which->variant};
	int status;

	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only; store.get_release runs");
	status = start(&gets, bench, OBJECTS, LIMIT);
	if (!status)
		status = crew_start(&gets.crew, bench, gets.depot.segment, gets.clients, 0);
	if (!status)
		status = bench_pairs(bench, clients_subject, alone_baseline, &gets);
	crew_stop(&gets.crew);
	end(&gets, OBJECTS);
	return status;
}

/* ---- one large object ---- */

static int large_subject(void *context, struct series *samples)
{
	struct gets *gets = context;
	struct stoa_object object;
	uint64_t begin = host_now();
	int rc = stoa_store_get(gets->store, gets->ids[0], gets->id_length, 0, &object);

	if (rc)
		return depot_fail(&gets->depot, "stoa_store_get", rc);
	measure_use(measure_sum(object.data, object.size));
	stoa_object_release(gets->store, &object);
	series_add(samples, (double)gets->size / (double)(host_now() - begin));
	return 0;
}

static int large_baseline(void *context, struct series *samples)
{
	struct gets *gets = context;
	uint64_t begin = host_now();

	measure_use(measure_sum(gets->bytes, gets->size));
	series_add(samples, (double)gets->size / (double)(host_now() - begin));
	return 0;
}

static size_t large_size(const struct bench *bench)
{
	return bench->quick ? LARGE / 25 : LARGE;
}

static int run_large(struct bench *bench)
{
	struct gets gets = {.size = large_size(bench)};
	int status = start(&gets, bench, 1, 4 * LARGE);

	if (!status)
		status = bench_pairs(bench, large_subject, large_baseline, &gets);
	end(&gets, 1);
	return status;
}

/* ---- Redis ---- */

static int other_subject(void *context, struct series *samples)
{
	struct gets *gets = context;

	return depot_other_block(&gets->depot, gets->size == SMALL ? gets->rounds : 1, samples);
}

static int run_other(struct bench *bench)
{
	bool large = bench->which->variant == REDIS_LARGE;
	unsigned objects = large ? 1 : OBJECTS;
	struct gets gets = {.size = large ? large_size(bench) : SMALL};
	int status = depot_open_other(&gets.depot, bench, "get", gets.size);

	choose(&gets, bench);
	if (!status)
		status = make_private(&gets, objects);
	if (!status)
		status = bench_pairs(bench, other_subject, large ? large_baseline : read_baseline, &gets);
	end(&gets, objects);
	return status;
}

#define LINEAR              \
	{                   \
		.low = 0.85 \
	}

const struct bench_case bench_get_cases[] = {
	{"store.get_release",
	 "ns",
	 "a bare pin with a locked exchange",
	 "get an object of 1 KiB, look at it, release it",
	 {.high = 5.5},
	 run_get,
	 ONE,
	 NULL},
	{"store.get_release.2", "M/s", "one client, for each CPU", "the same by 2 clients", LINEAR, run_clients, 2,
	 client_serve},
	{"store.get_release.4", "M/s", "one client, for each CPU", "the same by 4 clients", LINEAR, run_clients, 4,
	 client_serve},
	{"store.get_1k", "ns", "reading private memory", "get 1 KiB, read all of it, release it", NO_TARGET, run_get,
	 WHOLE, NULL},
	{"store.get_100m", "GB/s", "reading private memory", "get 100 MB, read all of it, release it", NO_TARGET,
	 run_large, LARGE_OBJECT, NULL},
	{"store.peers.get_1k.redis", "ns", "reading private memory", "Redis over a Unix socket, 1 KiB", NO_TARGET,
	 run_other, REDIS_SMALL, NULL},
	{"store.peers.get_100m.redis", "GB/s", "reading private memory", "Redis over a Unix socket, 100 MB", NO_TARGET,
	 run_other, REDIS_LARGE, NULL},
	{0},
};
