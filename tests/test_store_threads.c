/* SPDX-License-Identifier: MIT */
/*
 * Threads of one program with one handle, and the server in another of its threads, for the thread sanitizer. It knows an order only between accesses at one
 * address, and what passes through the server passes through other maps: so what a thread reads is what the server wrote, or itself.
 */
#include <store/kit.h>

#include <pthread.h>
#include <stdio.h>

#define THREADS 4u
#define IDS 12u

struct part {
	struct stoa_store *store;
	uint64_t random;
	unsigned number, turns;
};

static void expect(int rc)
{
	CHECK(rc == 0 || rc == -STOA_EEXIST || rc == -STOA_ENOENT || rc == -STOA_ENOMEM || rc == STOA_TIMED_OUT);
}

static void share(struct part *part, const char *id)
{
	struct stoa_object_options options = {.kind = STOA_OBJECT_COPIED, .flags = STOA_OBJECT_REPLACE};

	switch (test_random(&part->random) % 6) {
	case 0: expect(kit_put(part->store, id, 16 + test_random(&part->random) % 3000, part->random, &options)); break;
	case 1: expect(kit_delete(part->store, id)); break;
	case 2: expect(kit_get(part->store, id, kit_later(1))); break;
	default: expect(kit_get(part->store, id, 0)); break;
	}
}

static void keep(struct part *part, unsigned turn)
{
	struct stoa_object_options options = {.kind = STOA_OBJECT_PRIVATE + turn % 2, .flags = STOA_OBJECT_REPLACE};
	char id[20];

	snprintf(id, sizeof(id), "of thread %u", part->number);
	CHECK_RC(kit_put(part->store, id, 16 + test_random(&part->random) % 30000, turn, &options), 0);
	CHECK_RC(kit_get(part->store, id, 0), 0);
}

static void *run(void *argument)
{
	struct part *part = argument;
	char id[20];

	for (unsigned turn = 0; turn < part->turns; turn++) {
		snprintf(id, sizeof(id), "shared %u", (unsigned)(test_random(&part->random) % IDS));
		share(part, id);
		if (turn % 16 == 0)
			keep(part, turn / 16);
	}
	return NULL;
}

TEST_THREADS(threads_share_a_handle, 60)
{
	struct part parts[THREADS];
	pthread_t threads[THREADS];
	struct stoa_store *store, *other;
	uint64_t seed = test_seed();

	CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &store), 0);
	CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &other), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		parts[i] = (struct part){i % 4 == 3 ? other : store, seed + i, i, test_rounds(1500, 100000)};
		CHECK_EQ(pthread_create(&threads[i], NULL, run, &parts[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	stoa_store_close(store);
	stoa_store_close(other);
}

static void *open_and_close(void *argument)
{
	struct part *part = argument;

	for (unsigned i = 0; i < part->turns; i++) {
		struct stoa_store *store;
		char id[20];

		CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &store), 0);
		snprintf(id, sizeof(id), "of thread %u", part->number);
		expect(kit_put(store, id, 1000, i, NULL));
		expect(kit_get(store, id, 0));
		stoa_store_close(store);
	}
	return NULL;
}

/* More at a time than the server takes at once; and now and then the last one closes, with which the server ends. */
TEST_THREADS(handles_come_and_go, 60)
{
	enum { MANY = 12 };
	struct part parts[MANY];
	pthread_t threads[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		parts[i] = (struct part){.number = i, .turns = test_rounds(20, 1000)};
		CHECK_EQ(pthread_create(&threads[i], NULL, open_and_close, &parts[i]), 0);
	}
	for (unsigned i = 0; i < MANY; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
