/* SPDX-License-Identifier: MIT */
/*
 * Members of a pager killed at random moments, at full rate, and replaced. Each worker has a word of its own in every block, which it counts up, and
 * notes afterwards; so of a dead one's words each is as noted, or one further. Survivors go on after each kill; what was flushed is in the store.
 */
#include "pager/common.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 3
#define PAGE 4096
#define BLOCKS 96
#define FRAMES 24
#define PATIENCE (UINT64_C(30) * 1000000000)

struct board {
	uint64_t seed;
	_Atomic uint64_t turns[WORKERS];
	_Atomic uint64_t noted[WORKERS][BLOCKS];   /* what its word has at least */
	_Atomic uint64_t flushed[WORKERS][BLOCKS]; /* what the store has at least */
	_Atomic uint32_t stop;
	_Atomic uint32_t serves; /* the last, which is not killed */
};

static struct board *board;
static struct store *store;
static int sockets[2];

struct worker {
	struct stoa_pager *pager;
	unsigned number;
	uint64_t random;
};

static volatile uint64_t *word_of(const struct worker *worker, uint64_t block)
{
	return (volatile uint64_t *)stoa_pager_address(worker->pager) + block * PAGE / 8 + worker->number * 8;
}

static void count_up(struct worker *worker)
{
	uint64_t block = test_random(&worker->random) % BLOCKS, noted = load_rlx(&board->noted[worker->number][block]);
	uint64_t value = *word_of(worker, block);

	CHECK(value == noted || value == noted + 1);
	*word_of(worker, block) = value + 1;
	store_rel(&board->noted[worker->number][block], value + 1);
}

static void flush_some(struct worker *worker)
{
	uint64_t block = test_random(&worker->random) % BLOCKS, noted = load_rlx(&board->noted[worker->number][block]);

	CHECK_RC(stoa_pager_flush(worker->pager, block * PAGE, PAGE, STOA_DURABLE), 0);
	store_rel(&board->flushed[worker->number][block], noted);
}

static void push_out(struct worker *worker)
{
	uint64_t block = test_random(&worker->random) % (BLOCKS - 8);
	int rc = stoa_pager_advise(worker->pager, block * PAGE, 8 * PAGE, STOA_ADVISE_DONT_NEED);

	CHECK(rc == 0 || rc == -STOA_EBUSY);
}

static void hold_some(struct worker *worker)
{
	uint64_t block = test_random(&worker->random) % (BLOCKS - 4);

	CHECK_RC(stoa_pager_pin(worker->pager, block * PAGE, 4 * PAGE, STOA_READ), 0);
	count_up(worker);
	CHECK_RC(stoa_pager_unpin(worker->pager, block * PAGE, 4 * PAGE), 0);
}

static void turn(struct worker *worker)
{
	count_up(worker);
	switch (test_random(&worker->random) % 24) {
	case 0: flush_some(worker); break;
	case 1: push_out(worker); break;
	case 2: hold_some(worker); break;
	default: break;
	}
	add_rlx(&board->turns[worker->number], 1);
}

static void work(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct worker worker = {.number = (unsigned)(uintptr_t)argument % WORKERS,
				.random = board->seed + (uintptr_t)argument};

	worker.pager = pager_take(sockets, backing);
	while (!load_rlx(&board->stop))
		turn(&worker);
	CHECK_RC(stoa_pager_close(worker.pager), 0);
	stoa_backing_close(backing);
}

/* Comes and goes, so that it is mostly killed doing that. */
static void come_and_go(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct worker worker = {.number = (unsigned)(uintptr_t)argument % WORKERS,
				.random = board->seed + (uintptr_t)argument};
	int again[2];

	worker.pager = pager_take(sockets, backing);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, again));
	while (!load_rlx(&board->stop)) {
		pager_pass(again, worker.pager);
		CHECK_RC(stoa_pager_close(worker.pager), 0);
		worker.pager = pager_take(again, backing);
		for (unsigned i = 0; i < 4; i++)
			turn(&worker);
	}
	CHECK_RC(stoa_pager_close(worker.pager), 0);
	stoa_backing_close(backing);
	close(again[0]);
	close(again[1]);
}

/* The same, served by others. */
static void work_without_a_backing(void *argument)
{
	struct worker worker = {.number = (unsigned)(uintptr_t)argument % WORKERS,
				.random = board->seed + (uintptr_t)argument};

	worker.pager = pager_take(sockets, NULL);
	while (!load_rlx(&board->stop))
		turn(&worker);
	CHECK_RC(stoa_pager_close(worker.pager), 0);
}

static pid_t start(struct stoa_pager *pager, void (*body)(void *argument), uintptr_t life)
{
	pager_pass(sockets, pager);
	return test_role(body, (void *)life);
}

/* Every survivor takes two turns more. Returns how long that took. */
static uint64_t await_turns(unsigned victim)
{
	uint64_t start_time = stoa_now(), before[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		before[i] = load_rlx(&board->turns[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		while (i != victim && load_rlx(&board->turns[i]) < before[i] + 2) {
			if (stoa_now() - start_time > PATIENCE)
				test_fail(__FILE__, __LINE__, "worker %u stands still after a kill", i);
			usleep(20);
		}
	return stoa_now() - start_time;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void check_store(void)
{
	for (unsigned number = 0; number < WORKERS; number++)
		for (uint64_t block = 0; block < BLOCKS; block++) {
			uint64_t flushed = load_acq(&board->flushed[number][block]);
			uint64_t value = ((const uint64_t *)(const void *)store->bytes)[block * PAGE / 8 + number * 8];

			CHECK_INT(value, >=, flushed);
		}
}

/* All there is, read by the test's own process: what is noted, or one further. */
static void check_words(struct stoa_pager *pager)
{
	for (unsigned number = 0; number < WORKERS; number++) {
		const struct worker worker = {.pager = pager, .number = number};

		for (uint64_t block = 0; block < BLOCKS; block++) {
			uint64_t noted = load_rlx(&board->noted[number][block]), value = *word_of(&worker, block);

			CHECK(value == noted || value == noted + 1);
		}
	}
}

static const struct stoa_pager_options options = {.budget = FRAMES * PAGE, .read_ahead = 4 * PAGE, .dirty_age = 20};

static void set_up(void)
{
	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	store = store_make(BLOCKS * PAGE);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
}

/* Kill workers in turn, and check that the others go on. `begun`, `before_end`: while they work. */
static void kill_workers(struct stoa_pager *pager, void (*const bodies[WORKERS])(void *argument), unsigned kills,
			 void (*begun)(void), void (*before_end)(struct stoa_pager *pager))
{
	pid_t workers[WORKERS];
	uint64_t random = board->seed, *took = calloc(kills, sizeof(*took));
	uintptr_t lives = 0;

	for (; lives < WORKERS; lives++)
		workers[lives] = start(pager, bodies[lives], lives);
	if (begun)
		begun();
	for (unsigned i = 0; i < kills; i++) {
		unsigned victim = i % WORKERS;

		if (begun) /* where one of two is needed by the others, the last one must be back */
			(void)await_turns(WORKERS);
		usleep((useconds_t)(test_random(&random) % 4000));
		test_kill(workers[victim]);
		took[i] = await_turns(victim);
		check_store();
		while (lives % WORKERS != victim)
			lives++;
		workers[victim] = start(pager, bodies[victim], lives++);
	}
	if (before_end)
		before_end(pager);
	store_rlx(&board->stop, 1);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_EQ(test_join(workers[i]), 0);
	check_words(pager);
	CHECK_RC(stoa_pager_flush(pager, 0, BLOCKS * PAGE, 0), 0);
	CHECK_EQ(memcmp(stoa_pager_address(pager), store->bytes, BLOCKS * PAGE), 0);
	qsort(took, kills, sizeof(*took), compare);
	test_figure("%u kills, %u recovered; p50 %llu us, p99 %llu us, worst %llu us", kills, kills,
		    (unsigned long long)took[kills / 2] / 1000,
		    (unsigned long long)took[kills - 1 - kills / 100] / 1000,
		    (unsigned long long)took[kills - 1] / 1000);
	free(took);
}

static void kill_each(void (*const bodies[WORKERS])(void *argument), unsigned kills)
{
	struct stoa_backing *backing;
	struct stoa_pager *pager;

	set_up();
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	kill_workers(pager, bodies, kills, NULL, NULL);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	close(sockets[0]);
	close(sockets[1]);
}

/* Serves until the others have ended. */
static void serve_the_rest(void *argument)
{
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_take(sockets, backing);

	(void)argument;
	store_rlx(&board->serves, 1);
	while (load_rlx(&board->stop) < 2)
		usleep(1000);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

/* Begins, and hands it to the test's own process, which has no backing either. */
static void create_served(void *argument)
{
	struct stoa_pager_options with = options;
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager;

	(void)argument;
	with.way = STOA_PAGER_SERVED;
	CHECK_RC(stoa_pager_create(NULL, backing, &with, &pager), 0);
	pager_pass(sockets, pager);
	test_pause();
}

TEST_TIMEOUT(members_at_work, 300)
{
	void (*const bodies[WORKERS])(void *argument) = {work, work, work};

	kill_each(bodies, test_rounds(75, 3000));
}

TEST_TIMEOUT(members_that_come_and_go, 300)
{
	void (*const bodies[WORKERS])(void *argument) = {come_and_go, work, come_and_go};

	kill_each(bodies, test_rounds(75, 3000));
}

static pid_t first, last;

static void kill_first(void)
{
	(void)await_turns(WORKERS);
	test_kill(first);
	(void)await_turns(WORKERS);
}

static void start_last(struct stoa_pager *pager)
{
	last = start(pager, serve_the_rest, 0);
	while (!load_rlx(&board->serves))
		usleep(1000);
}

/* Who serves is killed as well: another of those who have a backing takes its place. */
TEST_TIMEOUT(those_who_serve_and_those_who_are_served, 300)
{
	void (*const bodies[WORKERS])(void *argument) = {work, work_without_a_backing, work};
	struct stoa_pager *pager;

	set_up();
	first = test_role(create_served, NULL);
	pager = pager_take(sockets, NULL);
	kill_workers(pager, bodies, test_rounds(45, 1000), kill_first, start_last);
	CHECK_RC(stoa_pager_close(pager), 0);
	store_rlx(&board->stop, 2);
	CHECK_EQ(test_join(last), 0);
	close(sockets[0]);
	close(sockets[1]);
}
