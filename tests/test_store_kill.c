/* SPDX-License-Identifier: MIT */
/*
 * Clients that do everything at once under a small limit, some of them killed at random moments and replaced: whatever anybody gets is whole, and when they are
 * gone nothing is left of what they had.
 */
#include <store/worker.h>

#include <stdio.h>
#include <sys/wait.h>

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

#define RACED 64u

/* As fast as can be: who is put to sleep in the middle finds the object replaced, and its bytes another's. */
static void race(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	char ids[RACED][20];

	for (unsigned i = 0; i < RACED; i++)
		snprintf(ids[i], sizeof(ids[i]), "raced %u", i);
	while (!load_rlx(&kit->words[0]))
		for (unsigned i = 0; i < RACED; i++)
			CHECK_RC(kit_get(store, ids[i], 0), 0);
	stoa_store_close(store);
}

static void replace_all(struct stoa_store *store, unsigned round)
{
	static const struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};
	unsigned char bytes[RACED][64];
	struct stoa_put puts[RACED];
	char ids[RACED][20];

	for (unsigned i = 0; i < RACED; i++) {
		snprintf(ids[i], sizeof(ids[i]), "raced %u", (i * 7 + round) % RACED);
		kit_make(bytes[i], 64, ids[i], strlen(ids[i]), round);
		puts[i] = (struct stoa_put){ids[i], bytes[i], 64, (uint32_t)strlen(ids[i]), 0};
	}
	CHECK_RC(stoa_store_put_many(store, puts, RACED, &replacing), 0);
}

TEST_TIMEOUT(what_is_got_is_what_was_asked_for, 120)
{
	static const struct stoa_server_options options = {.limit = 24 * MIB};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	pid_t roles[4];

	replace_all(store, 0);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(race, kit);
	for (unsigned round = 1; round < test_rounds(4000, 400000); round++)
		replace_all(store, round);
	store_rlx(&kit->words[0], 1);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

static void start_missing(struct kit *kit, struct job *jobs, pid_t *roles, uint64_t seed)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		if (roles[i])
			continue;
		jobs[i] = (struct job){kit, seed, i, UINT32_MAX};
		roles[i] = test_role(work, &jobs[i]);
	}
}

static void kill_one(pid_t *role)
{
	if (*role)
		test_kill(*role);
	*role = 0;
}

TEST_TIMEOUT(clients_are_killed_at_any_time, 240)
{
	struct kit *kit = kit_start(&tight);
	struct stoa_store *store = kit_open(kit);
	struct job *jobs = test_shared(WORKERS * sizeof(*jobs));
	uint64_t seed = test_seed(), random = seed + 5;
	pid_t roles[WORKERS] = {0};

	for (unsigned round = 0; round < test_rounds(60, 3000); round++) {
		kill_one(&roles[test_random(&random) % WORKERS]);
		start_missing(kit, jobs, roles, seed + round);
		test_nap((unsigned)(test_random(&random) % 40));
		if (round % 8 == 7)
			kit_look(kit);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		kill_one(&roles[i]);
	check_nothing_left(kit, store);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST_TIMEOUT(servers_are_killed_at_any_time, 240)
{
	struct stoa_server_options options = tight;
	struct job *jobs = test_shared(WORKERS * sizeof(*jobs));
	uint64_t seed = test_seed(), random = seed + 5;
	pid_t roles[WORKERS] = {0};
	struct stoa_store *store;
	struct kit *kit;

	options.flags = STOA_SERVER_HELD;
	kit = kit_start(&options);
	store = kit_open(kit);
	for (unsigned round = 0; round < test_rounds(40, 2000); round++) {
		uint64_t chance = test_random(&random);

		start_missing(kit, jobs, roles, seed + round);
		test_nap((unsigned)(test_random(&random) % 60));
		/* Who is killed before or after the server, or while there is none. */
		if (chance % 4 == 0)
			kill_one(&roles[chance / 8 % WORKERS]);
		test_kill(kit->server);
		if (chance % 4 == 1)
			kill_one(&roles[chance / 8 % WORKERS]);
		kit_serve(kit);
		if (chance % 4 == 2)
			kit_look(kit);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		kill_one(&roles[i]);
	check_nothing_left(kit, store);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void map_anew(void *argument)
{
	struct kit *kit = argument;

	while (!load_rlx(&kit->words[0])) {
		struct stoa_store *store;

		if (stoa_store_open(kit->path, NULL, &store))
			continue;
		for (unsigned i = 0; i < 8; i++) {
			char id[20];

			snprintf(id, sizeof(id), "object %u", i);
			CHECK_RC(kit_get(store, id, 0), 0);
		}
		stoa_store_close(store);
		add_rlx(&kit->words[1], 1);
	}
}

/* Where an object lies is asked over the socket: a server that dies with the question in hand must not be waited for. */
TEST_TIMEOUT(no_question_dies_with_its_server, 120)
{
	const struct stoa_server_options options = {.limit = 64 * MIB, .flags = STOA_SERVER_HELD};
	struct stoa_object_options kind = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	uint64_t random = test_seed();
	pid_t roles[3];
	char id[20];

	for (unsigned i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_put(store, id, 5000, i, &kind), 0);
	}
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(map_anew, kit);
	for (unsigned round = 0; round < test_rounds(40, 2000); round++) {
		test_nap((unsigned)(test_random(&random) % 20));
		test_kill(kit->server);
		kit_serve(kit);
	}
	store_rlx(&kit->words[0], 1);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_INT(load_rlx(&kit->words[1]), >, 0);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}
