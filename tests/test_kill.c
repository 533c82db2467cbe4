/* SPDX-License-Identifier: MIT */
/*
 * kill -9 at random moments, at full rate: workers of one role after the other are killed and replaced while their like go on.
 * After each kill every survivor must make progress, and what the mutex guards must be whole or be told as abandoned.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where this must fail.
 *
 * Random kills find gross mistakes in all the paths at once; the rare orders are found by test_death.c and test_multikill.c.
 */
#include <harness/test.h>

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/mutant.h>
#include <stoa/stoa.h>

#define WORKERS 3
#ifdef STOA_MUTANTS /* where to stand still is expected */
#define PATIENCE (UINT64_C(3) * 1000000000)
#define KILLS 1000
#else
#define PATIENCE (UINT64_C(30) * 1000000000)
#define KILLS test_rounds(50, 1000)
#endif

/* In the segment's data. */
struct guarded {
	_Alignas(64) struct stoa_mutex mutex;
	_Alignas(64) struct stoa_event event;
	_Alignas(64) struct stoa_semaphore semaphore;
	_Alignas(64) uint64_t turn, inside, values[16], sum; /* under the mutex */
	_Atomic uint32_t torn;                               /* found broken by a locker who was not told */
};

struct board {
	_Alignas(64) _Atomic uint64_t beats[WORKERS][8];
	_Atomic uint64_t repairs;
};

struct worker {
	unsigned number;
	void (*turn)(unsigned number);
};

static struct stoa_segment *segment;
static struct guarded *guarded;
static struct board *board;
static char name[256];

static uint64_t sum_of_values(void)
{
	uint64_t sum = guarded->turn;

	for (unsigned i = 0; i < CC_COUNT(guarded->values); i++)
		sum = sum * 31 + guarded->values[i];
	return sum;
}

/* Under the mutex: check what the last owner left, then change it in many steps. */
static void change(int locked)
{
	volatile uint64_t *values = guarded->values;

	if (locked == STOA_OWNER_DIED)
		atomic_fetch_add(&board->repairs, 1);
	else if (guarded->inside || guarded->sum != sum_of_values())
		atomic_store(&guarded->torn, 1);
	*(volatile uint64_t *)&guarded->inside = 1;
	*(volatile uint64_t *)&guarded->turn = guarded->turn + 1;
	for (unsigned i = 0; i < CC_COUNT(guarded->values); i++)
		values[i] = values[i] + guarded->turn + i;
	guarded->sum = sum_of_values();
	*(volatile uint64_t *)&guarded->inside = 0;
}

/* ---- roles: one turn each ---- */

static void hold(unsigned number)
{
	int locked = stoa_mutex_lock(segment, &guarded->mutex, STOA_FOREVER);

	(void)number;
	CHECK_INT(locked, >=, 0);
	change(locked);
	CHECK_RC(stoa_mutex_unlock(segment, &guarded->mutex), 0);
}

/* Takes part for about as long as coming and going takes. */
static void *enrol_and_leave(void *argument)
{
	for (unsigned i = 0; i < 100; i++)
		hold(0);
	return argument;
}

static void enrol(unsigned number)
{
	pthread_t thread;

	(void)number;
	CHECK_EQ(pthread_create(&thread, NULL, enrol_and_leave, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- the killing ---- */

static void work(void *argument)
{
	const struct worker *worker = argument;

	for (;;) {
		worker->turn(worker->number);
		atomic_fetch_add(&board->beats[worker->number][0], 1);
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Until all survivors have done two more turns: the second began after the kill. */
static uint64_t recovery(unsigned victim, unsigned kill_number)
{
	uint64_t start = stoa_now(), before[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		before[i] = atomic_load(&board->beats[i][0]);
	for (unsigned i = 0; i < WORKERS; i++) {
		while (i != victim && atomic_load(&board->beats[i][0]) < before[i] + 2) {
			if (stoa_now() - start > PATIENCE)
				test_fail(__FILE__, __LINE__,
					  "worker %u stands still after worker %u was killed (kill %u)", i, victim,
					  kill_number);
			usleep(20);
		}
	}
	return stoa_now() - start;
}

static void set_up(void)
{
	const struct stoa_segment_options options = {
		.flags = STOA_SHRINKABLE, .commit = sizeof(struct guarded), .roster_slots = 16};

	CHECK_RC(stoa_segment_create(NULL, UINT64_C(64) << 20, &options, &segment), 0);
	guarded = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_init(segment, &guarded->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &guarded->event, 0), 0);
	CHECK_RC(stoa_semaphore_init(segment, &guarded->semaphore, 0, 1000), 0);
	guarded->sum = sum_of_values();
	board = test_shared(sizeof(*board));
	snprintf(name, sizeof(name), "%s", test_name("kill"));
}

/*
 * `lonely`: the workers need number 0, so the replacement comes before the survivors are looked at; else they must go on alone.
 */
static void kill_many(const char *role, void (*turn)(unsigned number), bool lonely)
{
	unsigned kills = KILLS;
	uint64_t *times = calloc(kills, sizeof(*times)), random = test_seed();
	struct worker workers[WORKERS];
	pid_t roles[WORKERS];

	set_up();
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){i, turn};
		roles[i] = test_role_start(role, work, &workers[i]);
	}
	for (unsigned i = 0; i < kills; i++) {
		unsigned victim = (unsigned)(test_random(&random) % WORKERS);

		recovery(WORKERS, i);
		usleep((useconds_t)(test_random(&random) % 3000));
		test_kill(roles[victim]);
		if (lonely && victim == 0)
			roles[victim] = test_role_start(role, work, &workers[victim]);
		times[i] = recovery(victim, i);
		if (!lonely || victim != 0)
			roles[victim] = test_role_start(role, work, &workers[victim]);
		CHECK_EQ(atomic_load(&guarded->torn), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		test_kill(roles[i]);
	qsort(times, kills, sizeof(*times), by_size);
	test_note("%s: %u kills, %u recovered, %" PRIu64 " abandoned locks repaired; recovery p50 %" PRIu64
		  " us, p99 %" PRIu64 " us, worst %" PRIu64 " us",
		  role, kills, kills, atomic_load(&board->repairs), times[kills / 2] / 1000,
		  times[kills - 1 - kills / 100] / 1000, times[kills - 1] / 1000);
	free(times);
	stoa_segment_close(segment);
}

#ifdef STOA_MUTANTS
unsigned mutants_chosen;

TEST_DEFINE(dead_owners_live, 120, false, "stands still")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEAD_OWNERS_LIVE);
	kill_many("lock holder", hold, false);
}

TEST_DEFINE(death_not_told, 120, false, "guarded->torn")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEATH_NOT_TOLD);
	kill_many("lock holder", hold, false);
}

TEST_DEFINE(life_not_linked, 120, false, "worker")
{
	mutants_chosen = MUTANT_BIT(MUTANT_UNLINKED);
	kill_many("enroller", enrol, false);
}
#else
static void set_or_wait(unsigned number)
{
	if (number == 0)
		CHECK_RC(stoa_event_set(segment, &guarded->event), 0);
	else
		CHECK_INT(stoa_event_wait(segment, &guarded->event, STOA_FOREVER), >=, 0);
}

/* Roles change with the number, so that each is killed while the others need it: its replacement goes on. */
static void post_or_take(unsigned number)
{
	int result = number == 0 ? stoa_semaphore_post(segment, &guarded->semaphore, 1)
				 : stoa_semaphore_wait(segment, &guarded->semaphore, STOA_FOREVER);

	if (result != -STOA_EOVERFLOW)
		CHECK_INT(result, >=, 0);
	else
		sched_yield();
}

static void create_open_close(unsigned number)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = 4};
	struct stoa_segment *own;
	int result = number == 0 ? stoa_segment_open(name, NULL, &own)
				 : stoa_segment_create_or_open(name, 1 << 20, &options, &own);

	if (number == 0 && result == -STOA_ENOENT)
		return;
	if (result < 0)
		test_fail(__FILE__, __LINE__, "create or open: %s", stoa_error_detail());
	if (stoa_segment_committed(own) < 4096 || stoa_segment_reserve(own) != 1 << 20)
		test_fail(__FILE__, __LINE__, "an incomplete segment was opened");
	*(volatile uint64_t *)stoa_segment_address(own) = number;
	stoa_segment_close(own);
}

static void commit(unsigned number)
{
	static uint64_t length = 4096;
	volatile uint64_t *last;

	length = length % (UINT64_C(32) << 20) + 64 * 4096;
	if (number == 2)
		CHECK_RC(stoa_segment_shrink(segment, 4096 + 64 * 4096), 0);
	CHECK_RC(stoa_segment_commit(segment, length), 0);
	last = (uint64_t *)(void *)((char *)stoa_segment_address(segment) + 4096);
	*last = number;
}

static void wait_for_all(unsigned number)
{
	const struct stoa_waitable set[] = {
		{segment, &guarded->mutex, STOA_WAIT_MUTEX, 0},
		{segment, &guarded->semaphore, STOA_WAIT_SEMAPHORE, 0},
	};
	int result;

	if (number == 0) {
		post_or_take(0);
		return;
	}
	result = stoa_wait_all(set, 2, STOA_FOREVER, NULL);
	CHECK_INT(result, >=, 0);
	change(result);
	CHECK_RC(stoa_mutex_unlock(segment, &guarded->mutex), 0);
}

TEST_TIMEOUT(lock_holders, 120)
{
	kill_many("lock holder", hold, false);
}

TEST_TIMEOUT(setters_and_waiters, 120)
{
	kill_many("setter, waiter", set_or_wait, true);
}

TEST_TIMEOUT(posters_and_takers, 120)
{
	kill_many("poster, taker", post_or_take, true);
}

TEST_TIMEOUT(enrollers_and_leavers, 120)
{
	kill_many("enroller", enrol, false);
}

TEST_TIMEOUT(creators_openers_closers, 120)
{
	kill_many("creator", create_open_close, false);
	/* What the last one left goes with the next opener. */
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
}

TEST_TIMEOUT(committers, 120)
{
	kill_many("committer", commit, false);
}

TEST_TIMEOUT(claimers, 120)
{
	kill_many("claimer", wait_for_all, true);
}
#endif
