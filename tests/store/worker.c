/* SPDX-License-Identifier: MIT */
/* What a worker does: one thing after the other, each at random, and what may come of it. */
#include <store/worker.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define IDS 40u
#define HOLDS 6u
#define DRAFTS 4u
#define SIZES 5u

struct held {
	struct stoa_object object;
	char id[80];
};

struct drafted {
	struct stoa_draft draft;
	char id[80];
};

struct worker {
	struct stoa_store *store;
	uint64_t random;
	struct held held[HOLDS];
	struct drafted drafts[DRAFTS];
};

static uint64_t any(struct worker *worker, uint64_t below)
{
	return test_random(&worker->random) % below;
}

/* Some are long. */
static void choose_id(struct worker *worker, char *id, size_t size)
{
	unsigned number = (unsigned)any(worker, IDS);

	if (number % 5)
		snprintf(id, size, "a worker's %u", number);
	else
		snprintf(id, size, "an id that is longer than those for which there is a place in an entry %u", number);
}

static uint64_t choose_size(struct worker *worker)
{
	static const uint64_t most[SIZES] = {100, 4000, 20000, 70000, 1200000};

	return 16 + any(worker, most[any(worker, SIZES)]);
}

static struct stoa_object_options choose_options(struct worker *worker, uint64_t size)
{
	struct stoa_object_options options = {.kind = (uint32_t)any(worker, 4)};

	if (options.kind == STOA_OBJECT_COPIED && size > 64 * KIB)
		options.kind = STOA_OBJECT_PRIVATE;
	options.flags = any(worker, 2) ? STOA_OBJECT_REPLACE : 0;
	options.deadline = any(worker, 8) ? 0 : kit_later(5);
	return options;
}

/* What may come of an attempt among others. */
static void expect(int rc)
{
	CHECK(rc == 0 || rc == -STOA_EEXIST || rc == -STOA_ENOENT || rc == -STOA_ENOMEM || rc == -STOA_ELIMIT ||
	      rc == STOA_TIMED_OUT);
}

static void put(struct worker *worker)
{
	struct stoa_object_options options;
	uint64_t size = choose_size(worker);
	char id[80];

	choose_id(worker, id, sizeof(id));
	options = choose_options(worker, size);
	expect(kit_put(worker->store, id, size, worker->random, &options));
}

static void put_several(struct worker *worker)
{
	enum { SEVERAL = 10, ROOM = 600 };
	struct stoa_object_options options = {.flags = STOA_OBJECT_REPLACE};
	static CC_THREAD unsigned char bytes[SEVERAL][ROOM];
	struct stoa_put puts[SEVERAL];
	char ids[SEVERAL][80];

	for (unsigned i = 0; i < SEVERAL; i++) {
		uint64_t size = 16 + any(worker, ROOM - 16);

		choose_id(worker, ids[i], sizeof(ids[i]));
		kit_make(bytes[i], size, ids[i], strlen(ids[i]), worker->random);
		puts[i] = (struct stoa_put){ids[i], bytes[i], size, (uint32_t)strlen(ids[i]), 1};
	}
	expect(stoa_store_put_many(worker->store, puts, SEVERAL, &options));
	for (unsigned i = 0; i < SEVERAL; i++)
		expect(puts[i].result);
}

static void get(struct worker *worker)
{
	char id[80];

	choose_id(worker, id, sizeof(id));
	expect(kit_get(worker->store, id, any(worker, 50) ? 0 : kit_later(2)));
}

/* Hold it until another one comes to its place: whatever happened to it meanwhile, its bytes are the same. */
static void hold(struct worker *worker)
{
	struct held *held = &worker->held[any(worker, HOLDS)];
	int rc;

	if (held->object.data) {
		CHECK(kit_whole(held->object.data, held->object.size, held->id, strlen(held->id)));
		stoa_object_release(worker->store, &held->object);
	}
	choose_id(worker, held->id, sizeof(held->id));
	rc = stoa_store_get(worker->store, held->id, (uint32_t)strlen(held->id), 0, &held->object);
	expect(rc);
	if (rc)
		held->object.data = NULL;
}

static void delete (struct worker *worker)
{
	char id[80];

	choose_id(worker, id, sizeof(id));
	expect(kit_delete(worker->store, id));
}

/* Begin one; what was begun in its place before is sealed, or not. */
static void draft(struct worker *worker)
{
	struct drafted *drafted = &worker->drafts[any(worker, DRAFTS)];
	uint64_t size = choose_size(worker);
	struct stoa_object_options options = choose_options(worker, size);
	int rc;

	if (drafted->draft.data && any(worker, 3) == 0) {
		stoa_draft_abort(worker->store, &drafted->draft);
	} else if (drafted->draft.data) {
		uint64_t length = 16 + any(worker, drafted->draft.room - 15);

		kit_make(drafted->draft.data, length, drafted->id, strlen(drafted->id), worker->random);
		expect(stoa_draft_seal(worker->store, &drafted->draft, length));
	}
	if (options.kind == STOA_OBJECT_COPIED)
		options.kind = STOA_OBJECT_AUTO;
	choose_id(worker, drafted->id, sizeof(drafted->id));
	rc = stoa_store_create(worker->store, drafted->id, (uint32_t)strlen(drafted->id), size, &options,
			       &drafted->draft);
	expect(rc);
	if (rc)
		drafted->draft.data = NULL;
}

static void let_go(struct worker *worker)
{
	for (unsigned i = 0; i < HOLDS; i++)
		if (worker->held[i].object.data)
			stoa_object_release(worker->store, &worker->held[i].object);
	for (unsigned i = 0; i < DRAFTS; i++)
		if (worker->drafts[i].draft.data)
			stoa_draft_abort(worker->store, &worker->drafts[i].draft);
}

void worker_turns(struct stoa_store *store, uint64_t seed, unsigned turns)
{
	static void (*const actions[])(struct worker * worker) = {put,   put,    put,    get,    get,        get,
								  get,   hold,   hold,   hold,   draft,      draft,
								  draft, delete, delete, delete, put_several};
	struct worker worker = {.store = store, .random = seed};

	for (unsigned i = 0; i < turns; i++)
		actions[any(&worker, CC_COUNT(actions))](&worker);
	let_go(&worker);
}

struct part {
	struct stoa_store *store;
	uint64_t seed;
	unsigned turns;
};

static void *run_part(void *argument)
{
	const struct part *part = argument;

	worker_turns(part->store, part->seed, part->turns);
	return NULL;
}

/* The server may just be dead, or die while it is asked. */
static struct stoa_store *open_sometime(const struct kit *kit)
{
	struct stoa_store *store;
	int rc;

	while ((rc = stoa_store_open(kit->path, NULL, &store)) == -STOA_ECLOSED || rc == -STOA_ENOENT)
		test_nap(1);
	CHECK_RC(rc, 0);
	return store;
}

void worker_run(const struct kit *kit, unsigned number, uint64_t seed, unsigned turns)
{
	struct stoa_store *store = open_sometime(kit);
	struct part part = {store, seed * 2 + number * UINT64_C(1000003) + 1, turns};
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, run_part, &part), 0);
	worker_turns(store, part.seed + 77, turns);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stoa_store_close(store);
}
