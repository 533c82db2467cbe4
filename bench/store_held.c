/* SPDX-License-Identifier: MIT */
/*
 * How long a store is without a server: it is killed, and the time goes from the start of its successor, which takes over a million objects, until that has
 * answered a request. A second thread gets objects all the while.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "os/host.h"

#define OBJECTS 1000000u
#define SIZE 64u
#define BATCH 256u
#define LIMIT (UINT64_C(2) << 30)
#define ENTRY 128u /* bytes that a store keeps for an object, at least */

struct held {
	struct depot depot;
	unsigned objects;
	unsigned char *entries; /* private memory */
	_Atomic uint32_t answered;
	int asked, got; /* what the two threads end with */
	uint64_t begin, end;
	unsigned gets;
};

static void fill_payload(unsigned char *payload, unsigned number)
{
	measure_fill(payload, SIZE, number);
}

static int put_all(struct held *held)
{
	static unsigned char payloads[BATCH][SIZE];
	static char ids[BATCH][DEPOT_ID];
	struct stoa_put list[BATCH];

	for (unsigned done = 0; done < held->objects; done += BATCH) {
		unsigned count = held->objects - done < BATCH ? held->objects - done : BATCH;
		int rc;

		for (unsigned i = 0; i < count; i++) {
			fill_payload(payloads[i], done + i);
			list[i] = (struct stoa_put){.id = ids[i],
						    .data = payloads[i],
						    .size = SIZE,
						    .id_length = depot_id(done + i, ids[i])};
		}
		rc = stoa_store_put_many(held->depot.store, list, count, NULL);
		if (rc)
			return depot_fail(&held->depot, "stoa_store_put_many", rc);
	}
	return 0;
}

static int get_one(struct held *held, unsigned number)
{
	unsigned char expected[SIZE];
	struct stoa_object object;
	char id[DEPOT_ID];
	int rc = stoa_store_get(held->depot.store, id, depot_id(number, id), 0, &object);

	if (rc)
		return rc;
	fill_payload(expected, number);
	rc = object.size == SIZE && memcmp(object.data, expected, SIZE) == 0 ? 0 : -STOA_EFORMAT;
	stoa_object_release(held->depot.store, &object);
	return rc;
}

static void get_meanwhile(struct held *held)
{
	for (held->gets = 0; !held->got && !load_rlx(&held->answered); held->gets++)
		held->got = get_one(held, held->gets * 7919 % held->objects);
}

/* The second thread, on the new server's CPU, asks it for something, and the first gets objects until it has answered. */
static void take_part(void *context, unsigned number)
{
	struct held *held = context;

	if (number == 1) {
		held->asked = stoa_store_delete(held->depot.store, "not there", 9);
		held->end = host_now();
		store_rlx(&held->answered, 1);
	} else {
		get_meanwhile(held);
	}
}

static int restart_subject(void *context, struct series *samples)
{
	struct held *held = context;
	uint64_t time;
	int status, error;

	depot_kill(&held->depot);
	store_rlx(&held->answered, 0);
	held->begin = host_now();
	status = depot_serve(&held->depot);
	if (status)
		return status;
	error = rival_threads(2, take_part, held, &time);
	if (error)
		return bench_fail_system(held->depot.bench, "starting threads", error);
	if (held->asked != -STOA_ENOENT)
		return depot_fail(&held->depot, "stoa_store_delete", held->asked);
	if (held->got || !held->gets)
		return bench_fail(held->depot.bench, "a get without a server: %s", stoa_error_name(held->got));
	series_add(samples, (double)(held->end - held->begin) * 1e-9);
	return 0;
}

/* To read as many entries. */
static int read_baseline(void *context, struct series *samples)
{
	struct held *held = context;
	uint64_t begin = host_now();

	measure_use(measure_sum(held->entries, (size_t)held->objects * ENTRY));
	series_add(samples, (double)(host_now() - begin) * 1e-9);
	return 0;
}

static int check_all(struct held *held)
{
	struct stoa_store_stat stat;
	int rc = stoa_store_stat(held->depot.store, &stat);

	for (unsigned i = 0; i < held->objects && !rc; i++)
		rc = get_one(held, i);
	if (rc)
		return depot_fail(&held->depot, "stoa_store_get", rc);
	return stat.objects == held->objects ? 0
					     : bench_fail(held->depot.bench, "%llu of %u objects are left",
							  (unsigned long long)stat.objects, held->objects);
}

static int make_entries(struct held *held)
{
	void *entries;
	int error = rival_memory_make((size_t)held->objects * ENTRY, &entries);

	if (error)
		return bench_fail_system(held->depot.bench, "private memory", error);
	held->entries = entries;
	measure_fill(entries, (size_t)held->objects * ENTRY, 1);
	return 0;
}

static int run_restart(struct bench *bench)
{
	struct held held = {.objects = bench_scale(bench, OBJECTS, OBJECTS / 100)};
	int status = depot_open(&held.depot, bench, LIMIT, true);

	if (!status)
		status = make_entries(&held);
	if (!status)
		status = put_all(&held);
	if (!status)
		status = bench_pairs(bench, restart_subject, read_baseline, &held);
	if (!status)
		status = check_all(&held);
	depot_close(&held.depot);
	if (held.entries)
		rival_memory_free(held.entries, (size_t)held.objects * ENTRY);
	return status;
}

const struct bench_case bench_held_cases[] = {
	{"store.restart",
	 "s",
	 "reading 128 bytes for each of them",
	 "a killed server's successor, with 10^6 objects, until it answers",
	 {.high = 1, .absolute = true},
	 run_restart,
	 0,
	 NULL},
	{0},
};
