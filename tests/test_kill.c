/* SPDX-License-Identifier: MIT */
/*
 * kill -9 at random moments, at full rate: three workers go through their roles, and workers of each role are killed and replaced
 * in turn. After each kill every survivor must make progress, and what the mutex guards must be whole or be told as abandoned.
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

/* What a worker tells about itself: so that it can be killed while it comes, or goes. */
enum phase { AT_WORK, COMING, GOING };

struct board {
	_Alignas(64) struct {
		_Alignas(64) _Atomic uint64_t beats;
		_Atomic uint32_t phase;
	} workers[WORKERS];
	_Atomic uint64_t repairs;
};

struct role {
	const char *name;
	void (*turn)(unsigned number);
	unsigned workers;
	bool needed;     /* the others stand still without it: its replacement comes before they are looked at */
	enum phase when; /* killed then; AT_WORK: at any time */
};

struct worker {
	unsigned number;
	const struct role *role;
	pid_t process;
};

static struct stoa_segment *segment;
static struct guarded *guarded;
static struct board *board;
static struct worker workers[WORKERS];
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

static void tell(unsigned number, enum phase phase)
{
	atomic_store(&board->workers[number].phase, phase);
}

/* Takes part for about as long as coming and going takes. */
static void *enrol_and_leave(void *argument)
{
	unsigned number = *(const unsigned *)argument;

	for (unsigned i = 0; i < 100; i++) {
		hold(number);
		tell(number, AT_WORK);
	}
	tell(number, GOING);
	return argument;
}

static void enrol(unsigned number)
{
	pthread_t thread;

	tell(number, COMING);
	CHECK_EQ(pthread_create(&thread, NULL, enrol_and_leave, &workers[number].number), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- the killing ---- */

static void work(void *argument)
{
	const struct worker *worker = argument;

	for (;;) {
		worker->role->turn(worker->number);
		atomic_fetch_add(&board->workers[worker->number].beats, 1);
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
		before[i] = atomic_load(&board->workers[i].beats);
	for (unsigned i = 0; i < WORKERS; i++) {
		while (i != victim && atomic_load(&board->workers[i].beats) < before[i] + 2) {
			if (stoa_now() - start > PATIENCE)
				test_fail(__FILE__, __LINE__,
					  "worker %u (%s) stands still after worker %u was killed (kill %u)", i,
					  workers[i].role->name, victim, kill_number);
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

static void start(struct worker *worker)
{
	worker->process = test_role_start(worker->role->name, work, worker);
}

/* One of the role's workers, at a random moment of what it is to be killed in. */
static struct worker *strike(const struct role *role, uint64_t *random)
{
	struct worker *victim = workers;
	uint64_t end = stoa_deadline_in(PATIENCE), moment;

	while (victim->role != role)
		victim++;
	victim += test_random(random) % role->workers;
	usleep((useconds_t)(test_random(random) % 3000));
	while (role->when != AT_WORK && atomic_load(&board->workers[victim->number].phase) != role->when)
		if (stoa_now() > end)
			test_fail(__FILE__, __LINE__, "worker %u (%s) stands still", victim->number, role->name);
	moment = stoa_deadline_in(test_random(random) % 20000);
	while (role->when != AT_WORK && stoa_now() < moment)
		;
	test_kill(victim->process);
	return victim;
}

static void report(const struct role *role, uint64_t *times, unsigned kills)
{
	qsort(times, kills, sizeof(*times), by_size);
	test_note("%s: %u kills, %u recovered; recovery p50 %" PRIu64 " us, p99 %" PRIu64 " us, worst %" PRIu64 " us",
		  role->name, kills, kills, times[kills / 2] / 1000, times[kills - 1 - kills / 100] / 1000,
		  times[kills - 1] / 1000);
}

/* Each role is the victim KILLS times, in turn with the others. */
static void kill_each(const struct role *roles, unsigned count)
{
	unsigned kills = KILLS, number = 0;
	uint64_t *times = calloc((size_t)count * kills, sizeof(*times)), random = test_seed();

	set_up();
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < roles[i].workers; k++, number++) {
			workers[number] = (struct worker){.number = number, .role = &roles[i]};
			start(&workers[number]);
		}
	CHECK_EQ(number, WORKERS);
	for (unsigned i = 0; i < count * kills; i++) {
		const struct role *role = &roles[i % count];
		struct worker *victim;

		recovery(WORKERS, i);
		victim = strike(role, &random);
		if (role->needed)
			start(victim);
		times[i % count * kills + i / count] = recovery(victim->number, i);
		if (!role->needed)
			start(victim);
		CHECK_EQ(atomic_load(&guarded->torn), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		test_kill(workers[i].process);
	for (unsigned i = 0; i < count; i++)
		report(&roles[i], &times[i * kills], kills);
	test_note("%" PRIu64 " abandoned locks repaired", atomic_load(&board->repairs));
	free(times);
	stoa_segment_close(segment);
}

#define ROLE(...)           \
	{                   \
		__VA_ARGS__ \
	} /* the fields of a struct role */
#define KILL_EACH(...)                                                 \
	do {                                                           \
		const struct role roles_[] = {__VA_ARGS__};            \
		kill_each(roles_, sizeof(roles_) / sizeof(roles_[0])); \
	} while (0)

#ifdef STOA_MUTANTS
unsigned mutants_chosen;

TEST_DEFINE(dead_owners_live, 120, false, "stands still")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEAD_OWNERS_LIVE);
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_DEFINE(death_not_told, 120, false, "guarded->torn")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEATH_NOT_TOLD);
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_DEFINE(life_not_linked, 120, false, "worker")
{
	mutants_chosen = MUTANT_BIT(MUTANT_UNLINKED);
	KILL_EACH(ROLE("enroller", enrol, 3, false, AT_WORK));
}
#else
static void set(unsigned number)
{
	(void)number;
	CHECK_RC(stoa_event_set(segment, &guarded->event), 0);
}

static void wait_for_event(unsigned number)
{
	(void)number;
	CHECK_INT(stoa_event_wait(segment, &guarded->event, STOA_FOREVER), >=, 0);
}

static void post(unsigned number)
{
	int result = stoa_semaphore_post(segment, &guarded->semaphore, 1);

	(void)number;
	if (result != -STOA_EOVERFLOW)
		CHECK_INT(result, >=, 0);
	else
		sched_yield();
}

static void take(unsigned number)
{
	(void)number;
	CHECK_INT(stoa_semaphore_wait(segment, &guarded->semaphore, STOA_FOREVER), >=, 0);
}

static void use_and_close(struct stoa_segment *own, unsigned number)
{
	if (stoa_segment_committed(own) < 4096 || stoa_segment_reserve(own) != 1 << 20)
		test_fail(__FILE__, __LINE__, "an incomplete segment was opened");
	*(volatile uint64_t *)stoa_segment_address(own) = number;
	tell(number, GOING);
	stoa_segment_close(own);
	tell(number, COMING);
}

static void open_and_close(unsigned number)
{
	struct stoa_segment *own;
	int result = stoa_segment_open(name, NULL, &own);

	if (result == -STOA_ENOENT)
		return;
	if (result < 0)
		test_fail(__FILE__, __LINE__, "open: %s", stoa_error_detail());
	use_and_close(own, number);
}

static void create_and_close(unsigned number)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = 4};
	struct stoa_segment *own;
	int result = stoa_segment_create_or_open(name, 1 << 20, &options, &own);

	if (result < 0)
		test_fail(__FILE__, __LINE__, "create or open: %s", stoa_error_detail());
	use_and_close(own, number);
}

static void commit(unsigned number)
{
	static uint64_t length = 4096;
	volatile uint64_t *last;

	length = length % (UINT64_C(32) << 20) + 64 * 4096;
	CHECK_RC(stoa_segment_commit(segment, length), 0);
	last = (uint64_t *)(void *)((char *)stoa_segment_address(segment) + 4096);
	*last = number;
}

static void shrink(unsigned number)
{
	CHECK_RC(stoa_segment_shrink(segment, 4096 + 64 * 4096), 0);
	commit(number);
}

static void claim(unsigned number)
{
	const struct stoa_waitable all[] = {
		{segment, &guarded->mutex, STOA_WAIT_MUTEX, 0},
		{segment, &guarded->semaphore, STOA_WAIT_SEMAPHORE, 0},
	};
	int result = stoa_wait_all(all, 2, STOA_FOREVER, NULL);

	(void)number;
	CHECK_INT(result, >=, 0);
	change(result);
	CHECK_RC(stoa_mutex_unlock(segment, &guarded->mutex), 0);
}

TEST_TIMEOUT(lock_holders, 240)
{
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_TIMEOUT(setters_and_waiters, 240)
{
	KILL_EACH(ROLE("setter", set, 1, true, AT_WORK), ROLE("waiter", wait_for_event, 2, false, AT_WORK));
}

TEST_TIMEOUT(posters_and_takers, 240)
{
	KILL_EACH(ROLE("poster", post, 1, true, AT_WORK), ROLE("taker", take, 2, false, AT_WORK));
}

TEST_TIMEOUT(enrollers_and_leavers, 240)
{
	KILL_EACH(ROLE("enroller", enrol, 2, false, COMING), ROLE("leaver", enrol, 1, false, GOING));
}

TEST_TIMEOUT(creators_openers_closers, 240)
{
	KILL_EACH(ROLE("creator", create_and_close, 1, false, COMING), ROLE("opener", open_and_close, 1, false, COMING),
		  ROLE("closer", create_and_close, 1, false, GOING));
	/* What the last one left goes with the next opener. */
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
}

TEST_TIMEOUT(committers_and_shrinkers, 240)
{
	KILL_EACH(ROLE("committer", commit, 2, false, AT_WORK), ROLE("shrinker", shrink, 1, false, AT_WORK));
}

TEST_TIMEOUT(claimers, 240)
{
	KILL_EACH(ROLE("claimer", claim, 2, false, AT_WORK), ROLE("poster to claimers", post, 1, true, AT_WORK));
}
#endif
