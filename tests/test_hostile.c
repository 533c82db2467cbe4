/* SPDX-License-Identifier: MIT */
/*
 * An enemy who may write a segment writes random bytes over all of it, header, roster pages and objects, while a victim works
 * in it. The victim may get wrong results, as its data is the enemy's to write, but it never crashes, never sleeps past its
 * deadline, and in a segment that the enemy cannot reach its death is told as ever.
 *
 * Built a second time for the library with a check taken out (base/mutant.h), where it must crash.
 */
#include <harness/test.h>

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/mutant.h>
#include <kill/system.h>
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
	_Atomic uint64_t entered[2];  /* when the present call of each of the victim's threads began; 0 outside */
	_Atomic uint32_t stop, truce; /* 1: the enemy shall put the header back, and rest; 2: it has */
	uint64_t seed;
};

static struct stoa_segment *attacked, *unrelated;
static struct objects *objects;
static struct stoa_mutex *refuge; /* in the unrelated segment */
static struct board *board;

static void find_objects(void)
{
	objects = stoa_segment_address(attacked);
}

static void find_refuge(void)
{
	refuge = stoa_segment_address(unrelated);
}

/* ---- the enemy ---- */

struct target {
	unsigned char *map;
	size_t length; /* of header, roster and data, without the hole between them */
	size_t roster_end, data;
	unsigned char header[512]; /* as it was */
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

static void map_target(struct target *target, struct os_extent *extent)
{
	void *map;
	uint64_t done;

	target->roster_end = (size_t)(SLOTS + 1) * OS_PAGE;
	target->data = (size_t)attacked->data_offset;
	target->length = target->data + OS_PAGE;
	CHECK_RC(os_map(attacked->memory, 0, target->length, OS_READ | OS_WRITE, &map), 0);
	target->map = map;
	*extent = (struct os_extent){.memory = attacked->memory, .address = map, .in_memory = true};
	CHECK_RC(os_commit(extent, 0, target->roster_end, &done), 0);
	memcpy(target->header, map, sizeof(target->header));
}

/* So that roles can open the segment: from then on nothing but the fight is. */
static void keep_truce(const struct target *target)
{
	memcpy(target->map, target->header, sizeof(target->header));
	atomic_store(&board->truce, 2);
	while (atomic_load(&board->truce) && !atomic_load(&board->stop))
		sched_yield();
}

static void attack(void *argument)
{
	struct target target;
	struct os_extent extent;
	uint64_t random;

	board = argument;
	random = board->seed ^ 0x5eed;
	map_target(&target, &extent);
	while (!atomic_load(&board->stop)) {
		bool sharp = stoa_now() / (ROUND / 4) % 2; /* turn about, several times in each victim's life */

		if (atomic_load(&board->truce))
			keep_truce(&target);
		for (unsigned i = 0; i < 2000; i++) {
			size_t at = (sharp ? sharp_place(&random, &target) : blunt_place(&random, &target)) / 8;
			volatile uint64_t *words = (uint64_t *)(void *)target.map;

			words[at] = nasty_value(&random, &target, at);
		}
		atomic_fetch_add(&board->writes, 2000);
		if (test_random(&random) % 64 == 0) /* holes, where there can be: the pages read as zero again */
			(void)os_discard(&extent, 0, target.roster_end);
		if (test_random(&random) % 4 == 0)
			sched_yield();
	}
	CHECK_RC(os_unmap(target.map, target.length), 0);
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

static void open_and_close(void)
{
	struct stoa_segment *other;
	os_handle memory;
	int copy;

	CHECK_RC(os_memory_duplicate(attacked->memory, OS_READ | OS_WRITE, &memory), 0);
	copy = (int)memory;
	begin();
	if (stoa_segment_take_descriptor(copy, 0, NULL, &other) == 0)
		stoa_segment_close(other);
	else
		os_handle_close(memory);
	finish(0);
}

static void victim(void *argument)
{
	board = argument;
	CHECK_INT(stoa_mutex_lock(unrelated, refuge, STOA_FOREVER), >=, 0);
	atomic_store(&board->held, 1);
	test_await(&board->begun, 1);
	for (;;) {
		pthread_t thread;

		one_turn();
		open_and_close();
		CHECK_EQ(pthread_create(&thread, NULL, short_life, NULL), 0);
		one_turn();
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
}

/* Waits in the other segment for the victim's death. */
static void mourner(void *argument)
{
	struct stoa_wait_stat stat;

	board = argument;
	atomic_store(&board->ready, 1);
	CHECK_RC(stoa_mutex_lock(unrelated, refuge, STOA_FOREVER), STOA_OWNER_DIED);
	stoa_wait_stat(&stat);
	atomic_store(&board->rescued, (uint32_t)stat.rescues);
	CHECK_RC(stoa_mutex_unlock(unrelated, refuge), 0);
	atomic_store(&board->told, 1);
}

/* ---- the fight ---- */

static void set_up(void)
{
	const struct stoa_segment_options options = {.commit = sizeof(struct objects), .roster_slots = SLOTS};

	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &options, &attacked), 0);
	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &(struct stoa_segment_options){.commit = 4096}, &unrelated), 0);
	find_objects();
	find_refuge();
	test_share(&attacked, find_objects);
	test_share(&unrelated, find_refuge);
	CHECK_RC(stoa_mutex_init(unrelated, refuge, 0), 0);
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

static void fight(void)
{
	pid_t fighter, waiter;

	atomic_store(&board->held, 0);
	atomic_store(&board->begun, 0);
	atomic_store(&board->ready, 0);
	atomic_store(&board->told, 0);
	atomic_store(&board->entered[0], 0);
	atomic_store(&board->entered[1], 0);
	atomic_store(&board->truce, 1);
	test_await(&board->truce, 2);
	fighter = test_role(victim, board);
	test_await(&board->held, 1);
	waiter = test_role(mourner, board);
	test_await(&board->ready, 1);
	test_await_sleep(waiter);
	atomic_store(&board->truce, 0);
	atomic_store(&board->begun, 1);
	watch_victim(stoa_deadline_in(ROUND));
	slay(fighter);
	CHECK_EQ(test_join(fighter), TEST_KILLED);
	for (uint64_t end = stoa_deadline_in(SLACK); !atomic_load(&board->told) && stoa_now() < end;)
		usleep(200);
	if (!atomic_load(&board->told))
		test_fail(__FILE__, __LINE__, "the victim's death was not told in an unrelated segment");
	CHECK_EQ(test_join(waiter), 0);
	if (os_capabilities()->relays_wakes)
		CHECK_EQ(atomic_load(&board->rescued), 0);
}

#ifdef STOA_MUTANTS
uint64_t mutants_chosen = MUTANT_BIT(MUTANT_OFFSET_UNCHECKED);

TEST_DEFINE(offset_unchecked, 120, false, "test_join(fighter) == TEST_KILLED")
#else
TEST_TIMEOUT(random_bytes_over_everything, 120)
#endif
{
	unsigned rounds = test_rounds(12, 1000);
	uint64_t turns = 0;
	pid_t enemy;

	set_up();
	enemy = test_role(attack, board);
	for (unsigned i = 0; i < rounds; i++) {
		fight();
		CHECK_INT(atomic_load(&board->turns), >, turns);
		turns = atomic_load(&board->turns);
	}
	atomic_store(&board->stop, 1);
	CHECK_EQ(test_join(enemy), 0);
	test_figure("%u victims made %" PRIu64 " calls, %" PRIu64 " of them refused, under %" PRIu64 " hostile writes",
		    rounds, turns, atomic_load(&board->errors), atomic_load(&board->writes));
	stoa_segment_close(attacked);
	stoa_segment_close(unrelated);
}
