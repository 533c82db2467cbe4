/* SPDX-License-Identifier: MIT */
/*
 * Clients that do everything at once under a small limit, some of them killed at random moments and replaced: whatever anybody gets is whole, and when they are
 * gone nothing is left of what they had.
 */
#include <store/worker.h>

#include <stdio.h>

#define WORKERS 3u

static const struct stoa_server_options tight = {
	.limit = 24 * MIB, .client_limit = 14 * MIB, .user_limit = 20 * MIB, .objects = 3000};

struct job {
	struct kit *kit;
	uint64_t seed;
	unsigned number, turns;
};

static void work(void *argument)
{
	const struct job *job = argument;

	worker_run(job->kit, job->number, job->seed, job->turns);
}

static int delete_it(const struct stoa_object_info *info, void *argument)
{
	CHECK_RC(stoa_store_delete(argument, info->id, info->id_length), 0);
	return 0;
}

/* When all clients are gone, and all objects, the server has what it began with: its directory, the journal, one client, and arenas without pages. */
static void check_nothing_left(struct kit *kit, struct stoa_store *store)
{
	char id[20];
	unsigned count = 0;

	kit_await_clients(store, 1);
	kit_look(kit);
	CHECK_RC(stoa_store_list(store, delete_it, store), 0);
	CHECK_EQ(kit_drafts(kit), 0);
	for (;; count++) {
		snprintf(id, sizeof(id), "full %u", count);
		if (kit_put(store, id, MIB, count, NULL))
			break;
	}
	/* By its own limit. */
	CHECK_INT(count, ==, 13);
	while (count--) {
		snprintf(id, sizeof(id), "full %u", count);
		CHECK_RC(kit_delete(store, id), 0);
	}
}

TEST_TIMEOUT(all_at_once_under_a_small_limit, 120)
{
	struct kit *kit = kit_start(&tight);
	struct stoa_store *store = kit_open(kit);
	struct job *jobs = test_shared(WORKERS * sizeof(*jobs));
	pid_t roles[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		jobs[i] = (struct job){kit, test_seed(), i, test_rounds(2000, 200000)};
		roles[i] = test_role(work, &jobs[i]);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	check_nothing_left(kit, store);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST_TIMEOUT(clients_are_killed_at_any_time, 240)
{
	struct kit *kit = kit_start(&tight);
	struct stoa_store *store = kit_open(kit);
	struct job *jobs = test_shared(WORKERS * sizeof(*jobs));
	uint64_t seed = test_seed(), random = seed + 5;
	pid_t roles[WORKERS] = {0};

	for (unsigned round = 0; round < test_rounds(60, 3000); round++) {
		unsigned victim = (unsigned)(test_random(&random) % WORKERS);

		if (roles[victim])
			test_kill(roles[victim]);
		for (unsigned i = 0; i < WORKERS; i++) {
			if (roles[i] && i != victim)
				continue;
			jobs[i] = (struct job){kit, seed + round, i, UINT32_MAX};
			roles[i] = test_role(work, &jobs[i]);
		}
		test_nap((unsigned)(test_random(&random) % 40));
		if (round % 8 == 7)
			kit_look(kit);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		test_kill(roles[i]);
	check_nothing_left(kit, store);
	stoa_store_close(store);
	kit_stop(kit);
}
