/* SPDX-License-Identifier: MIT */
/*
 * An enemy who may write a segment writes random bytes over all of it, header, roster pages and objects, while a victim works
 * in it. The victim may get wrong results, as its data is the enemy's to write, but it never crashes, never sleeps past its
 * deadline, and in a segment that the enemy cannot reach its death is told as ever.
 *
 * Built a second time for the library with a check taken out (base/mutant.h), where it must crash.
 */
#include <harness/test.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/mutant.h>
#include <os/os.h>
#include <segment/segment.h>
#include <stoa/stoa.h>

#define SLOTS 6
#define WAIT (UINT64_C(3) * 1000000)      /* each of the victim's deadlines */
#define SLACK (UINT64_C(20) * 1000000000) /* a loaded machine, but no hang */
#define ROUND (UINT64_C(250) * 1000000)   /* how long each victim lives */

struct objects {
	_Alignas(64) struct stoa_mutex mutex;
	_Alignas(64) struct stoa_event automatic, manual;
	_Alignas(64) struct stoa_semaphore semaphore;
	_Alignas(64) uint64_t data[64];
};

struct board {
	_Atomic uint32_t held, begun, ready, told, rescued;
	_Atomic uint64_t turns, writes, errors;
	_Atomic uint64_t entered[2]; /* when the present call of each of the victim's threads began; 0 outside */
	_Atomic uint32_t stop;
};

static struct stoa_segment *attacked, *unrelated;
static struct objects *objects;
static struct stoa_mutex *refuge; /* in the unrelated segment */
static struct board *board;
static uint64_t seed;

/* ---- the enemy ---- */

struct target {
	unsigned char *map;
	size_t length; /* of header, roster and data, without the hole between them */
	size_t roster_end, data;
	int memory;
};

static uint64_t nasty_value(uint64_t *random, const struct target *target, size_t at)
{
	static const uint64_t values[] = {0,           1,      UINT64_MAX, 0x8000000080000000, 0x4000000040000000,
					  0xffffffff,  0x3fff, INT64_MAX,  0x7fffffff,         0xc0000000,
					  0x100000000, 4096};
	const volatile uint64_t *words = (const uint64_t *)(const void *)target->map;
	uint64_t choice = test_random(random), other;

	switch (choice % 6) {
	case 0: return values[(choice >> 8) % CC_COUNT(values)];
	case 1: return words[at] ^ (UINT64_C(1) << ((choice >> 8) % 64));
	case 2: return words[at] + (choice >> 8) % 5 - 2;
	case 3: /* what stands elsewhere: identities, life words */
		other = (choice >> 8) % ((SLOTS + 1) * 512);
		return words[other];
	case 4: return (uint64_t)getpid() | choice << 32 | (choice & 0x8000000000) >> 8;
	default: return choice;
	}
}

/* The words that locks and waits turn on; all else is left whole, so that the victim gets that far. */
static size_t sharp_place(uint64_t *random, const struct target *target)
{
	static const size_t words[] = {offsetof(struct objects, mutex), offsetof(struct objects, automatic),
				       offsetof(struct objects, manual), offsetof(struct objects, semaphore)};
	uint64_t choice = test_random(random);
	size_t slot = 1 + (choice >> 16) % SLOTS;

	switch (choice % 4) {
	case 0: return slot * 4096 + OS_LIFE_OFFSET;
	case 1: return slot * 4096 + ((choice >> 32) % 264);
	default: return target->data + words[(choice >> 32) % CC_COUNT(words)];
	}
}

/* Everywhere, mostly where it hurts: header, claim logs, life words, objects. */
static size_t blunt_place(uint64_t *random, const struct target *target)
{
	uint64_t choice = test_random(random);
	size_t slot = 1 + (choice >> 16) % SLOTS, inside = (choice >> 32) % 4096;

	switch (choice % 5) {
	case 0: return inside % 512;
	case 1: return slot * 4096 + (inside % 264);
	case 2: return slot * 4096 + OS_LIFE_OFFSET + inside % 24;
	case 3: return slot * 4096 + inside;
	default: return target->data + inside % sizeof(struct objects);
	}
}

static void map_target(struct target *target)
{
	target->roster_end = (size_t)(SLOTS + 1) * OS_PAGE;
	target->data = (size_t)attacked->data_offset;
	target->length = target->data + OS_PAGE;
	target->map = mmap(NULL, target->length, PROT_READ | PROT_WRITE, MAP_SHARED, target->memory, 0);
	CHECK(target->map != MAP_FAILED);
}

static void attack(void *argument)
{
	struct target target = {.memory = *(int *)argument};
	uint64_t random = seed ^ 0x5eed;

	map_target(&target);
	while (!atomic_load(&board->stop)) {
		bool sharp = stoa_now() / (ROUND / 4) % 2; /* turn about, several times in each victim's life */

		for (unsigned i = 0; i < 2000; i++) {
			size_t at = (sharp ? sharp_place(&random, &target) : blunt_place(&random, &target)) / 8;
			volatile uint64_t *words = (uint64_t *)(void *)target.map;

			words[at] = nasty_value(&random, &target, at);
		}
		atomic_fetch_add(&board->writes, 2000);
		if (test_random(&random) % 64 == 0) /* holes: the pages read as zero again */
			fallocate(target.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  (off_t)target.roster_end);
		if (test_random(&random) % 4 == 0)
			sched_yield();
	}
	munmap(target.map, target.length);
}

/* ---- the victim ---- */

static _Thread_local unsigned thread_number;

static void begin(void)
{
	atomic_store(&board->entered[thread_number], stoa_now());
}

static void finish(int result)
{
	uint64_t spent = stoa_now() - atomic_exchange(&board->entered[thread_number], 0);

	if (spent > WAIT + SLACK)
		test_fail(__FILE__, __LINE__, "a call with a deadline of %d ms took %" PRIu64 " ms",
			  (int)(WAIT / 1000000), spent / 1000000);
	atomic_fetch_add(&board->turns, 1);
	atomic_fetch_add(&board->errors, result < 0);
}

#define CALL(call)            \
	do {                  \
		begin();      \
		finish(call); \
	} while (0)

static void one_turn(void)
{
	const struct stoa_waitable set[] = {
		{attacked, &objects->mutex, STOA_WAIT_MUTEX, 0},
		{attacked, &objects->automatic, STOA_WAIT_EVENT, 0},
		{attacked, &objects->semaphore, STOA_WAIT_SEMAPHORE, 0},
	};
	struct stoa_segment_stat stat;
	size_t index;

	CALL(stoa_mutex_lock(attacked, &objects->mutex, stoa_deadline_in(WAIT)));
	CALL(stoa_mutex_unlock(attacked, &objects->mutex));
	CALL(stoa_event_set(attacked, &objects->automatic));
	CALL(stoa_event_wait(attacked, &objects->automatic, stoa_deadline_in(WAIT)));
	CALL(stoa_event_wait(attacked, &objects->manual, stoa_deadline_in(WAIT)));
	CALL(stoa_event_reset(attacked, &objects->manual));
	CALL(stoa_semaphore_post(attacked, &objects->semaphore, 2));
	CALL(stoa_semaphore_wait(attacked, &objects->semaphore, stoa_deadline_in(WAIT)));
	CALL(stoa_wait_any(set, CC_COUNT(set), stoa_deadline_in(WAIT), &index));
	CALL(stoa_wait_all(set, CC_COUNT(set), stoa_deadline_in(WAIT), &index));
	CALL(stoa_mutex_unlock(attacked, &objects->mutex));
	CALL(stoa_segment_stat(attacked, &stat));
	CALL(stoa_mutex_init(attacked, &objects->mutex, 0));
	CALL(stoa_event_init(attacked, &objects->automatic, 0));
	CALL(stoa_event_init(attacked, &objects->manual, STOA_MANUAL));
	CALL(stoa_semaphore_init(attacked, &objects->semaphore, 1, 100));
}

/* Threads enrol and leave. */
static void *short_life(void *argument)
{
	thread_number = 1;
	for (unsigned i = 0; i < 3; i++)
		one_turn();
	return argument;
}

static void open_and_close(int memory)
{
	struct stoa_segment *other;
	int copy = fcntl(memory, F_DUPFD_CLOEXEC, 0);

	CHECK_SYS(copy);
	begin();
	if (stoa_segment_take_descriptor(copy, 0, NULL, &other) == 0)
		stoa_segment_close(other);
	else
		close(copy);
	finish(0);
}

static void victim(void *argument)
{
	int memory = *(int *)argument;

	CHECK_INT(stoa_mutex_lock(unrelated, refuge, STOA_FOREVER), >=, 0);
	atomic_store(&board->held, 1);
	test_await(&board->begun, 1);
	for (;;) {
		pthread_t thread;

		one_turn();
		open_and_close(memory);
		CHECK_EQ(pthread_create(&thread, NULL, short_life, NULL), 0);
		one_turn();
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
}

/* Waits in the other segment for the victim's death. */
static void mourner(void *argument)
{
	struct stoa_wait_stat stat;

	(void)argument;
	atomic_store(&board->ready, 1);
	CHECK_RC(stoa_mutex_lock(unrelated, refuge, STOA_FOREVER), STOA_OWNER_DIED);
	stoa_wait_stat(&stat);
	atomic_store(&board->rescued, (uint32_t)stat.rescues);
	CHECK_RC(stoa_mutex_unlock(unrelated, refuge), 0);
	atomic_store(&board->told, 1);
}

/* ---- the fight ---- */

static void set_up(int *memory)
{
	const struct stoa_segment_options options = {.commit = sizeof(struct objects), .roster_slots = SLOTS};

	seed = test_seed();
	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &options, &attacked), 0);
	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &(struct stoa_segment_options){.commit = 4096}, &unrelated), 0);
	CHECK_RC(stoa_segment_dup_descriptor(attacked, STOA_READ | STOA_WRITE, memory), 0);
	objects = stoa_segment_address(attacked);
	refuge = stoa_segment_address(unrelated);
	CHECK_RC(stoa_mutex_init(unrelated, refuge, 0), 0);
	board = test_shared(sizeof(*board));
}

/* Watches that no call lasts: a hang would else only show as the test's time limit. */
static void watch_victim(uint64_t until)
{
	while (stoa_now() < until) {
		for (unsigned i = 0; i < 2; i++) {
			uint64_t entered = atomic_load(&board->entered[i]), now = stoa_now();

			if (entered && entered < now && now - entered > WAIT + 2 * SLACK)
				test_fail(__FILE__, __LINE__, "the victim hangs in a call for %" PRIu64 " ms",
					  (now - entered) / 1000000);
		}
		usleep(1000);
	}
}

static void fight(int memory)
{
	pid_t fighter, waiter;

	atomic_store(&board->held, 0);
	atomic_store(&board->begun, 0);
	atomic_store(&board->ready, 0);
	atomic_store(&board->told, 0);
	atomic_store(&board->entered[0], 0);
	atomic_store(&board->entered[1], 0);
	fighter = test_role(victim, &memory);
	test_await(&board->held, 1);
	waiter = test_role(mourner, NULL);
	test_await(&board->ready, 1);
	test_await_sleep(waiter);
	atomic_store(&board->begun, 1);
	watch_victim(stoa_deadline_in(ROUND));
	CHECK_SYS(kill(fighter, SIGKILL));
	CHECK_EQ(test_join(fighter), -SIGKILL);
	for (uint64_t end = stoa_deadline_in(SLACK); !atomic_load(&board->told) && stoa_now() < end;)
		usleep(200);
	if (!atomic_load(&board->told))
		test_fail(__FILE__, __LINE__, "the victim's death was not told in an unrelated segment");
	CHECK_EQ(test_join(waiter), 0);
	if (os_capabilities()->relays_wakes)
		CHECK_EQ(atomic_load(&board->rescued), 0);
}

#ifdef STOA_MUTANTS
unsigned mutants_chosen = MUTANT_BIT(MUTANT_OFFSET_UNCHECKED);

TEST_DEFINE(offset_unchecked, 120, false, "test_join(fighter) == -SIGKILL")
#else
TEST_TIMEOUT(random_bytes_over_everything, 120)
#endif
{
	unsigned rounds = test_rounds(12, 1000);
	uint64_t turns = 0;
	pid_t enemy;
	int memory;

	set_up(&memory);
	enemy = test_role(attack, &memory);
	for (unsigned i = 0; i < rounds; i++) {
		fight(memory);
		CHECK_INT(atomic_load(&board->turns), >, turns);
		turns = atomic_load(&board->turns);
	}
	atomic_store(&board->stop, 1);
	CHECK_EQ(test_join(enemy), 0);
	test_figure("%u victims made %" PRIu64 " calls, %" PRIu64 " of them refused, under %" PRIu64 " hostile writes",
		    rounds, turns, atomic_load(&board->errors), atomic_load(&board->writes));
	CHECK_SYS(close(memory));
	stoa_segment_close(attacked);
	stoa_segment_close(unrelated);
}
