/* SPDX-License-Identifier: MIT */
/*
 * Several processes, two threads each, that count words up at random all over a region four times as large as its budget, and flush, get, pin
 * and give back meanwhile. Afterwards each count must be what all have added, in the backing.
 */
#include "pager/common.h"

#include <base/mutant.h>
#include <os/trap.h>
#include <pthread.h>

#define PROCESSES 3
#define THREADS 2
#define PAGE 4096
#define WORDS (PAGE / 8)

struct board {
	uint64_t seed;
	uint64_t operations; /* of each thread */
	uint32_t block;
	uint32_t way;
	bool clients;              /* only the first process has the backing */
	_Atomic uint64_t added[2]; /* per parity of the word, so that lost ones are not made good by doubled ones */
	int sockets[2];
	_Atomic uint32_t pins_refused;
	_Atomic uint32_t taken; /* by so many: it comes in two messages, which two that take at once would share */
};

static struct board *board;
static struct store *store;

struct worker {
	struct stoa_pager *pager;
	uint64_t seed;
};

static void count_up(struct stoa_pager *pager, uint64_t *random)
{
	uint64_t words = stoa_pager_size(pager) / 8, at = test_random(random) % words;
	_Atomic uint64_t *all = stoa_pager_address(pager);

	if (test_random(random) % 2)
		(void)load_rlx(&all[at]);
	add_rlx(&all[at], 1);
	add_rlx(&board->added[at % 2], 1);
}

static void disturb(struct stoa_pager *pager, uint64_t *random)
{
	uint64_t size = stoa_pager_size(pager), offset = test_random(random) % size;
	uint64_t length = test_random(random) % (8 * board->block) + 1;
	int rc;

	length = length < size - offset ? length : size - offset;
	switch (test_random(random) % 5) {
	case 0: CHECK_RC(stoa_pager_flush(pager, offset, length, 0), 0); break;
	case 1: CHECK_RC(stoa_pager_get(pager, offset, length, STOA_READ | STOA_WRITE), 0); break;
	case 2:
		rc = stoa_pager_advise(pager, offset, length, STOA_ADVISE_DONT_NEED);
		CHECK(rc == 0 || rc == -STOA_EBUSY);
		break;
	case 3: CHECK_RC(stoa_pager_advise(pager, offset, length, STOA_ADVISE_WILL_NEED), 0); break;
	default:
		rc = stoa_pager_pin(pager, offset, length, STOA_READ);
		if (rc == -STOA_ELIMIT) {
			add_rlx(&board->pins_refused, 1);
			break;
		}
		CHECK_EQ(rc, 0);
		count_up(pager, random);
		CHECK_RC(stoa_pager_unpin(pager, offset, length), 0);
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (uint64_t i = 0; i < board->operations; i++) {
		count_up(worker->pager, &worker->seed);
		if (test_random(&worker->seed) % 64 == 0)
			disturb(worker->pager, &worker->seed);
	}
	return NULL;
}

static void run(struct stoa_pager *pager, uint64_t seed)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){pager, seed + i};
		CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void member(void *argument)
{
	struct stoa_backing *backing = board->clients ? NULL : store_backing(store);
	struct stoa_pager *pager = pager_take(board->sockets, backing);

	add_rlx(&board->taken, 1);
	run(pager, board->seed + 100 * (uintptr_t)argument);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

static void check_all(void)
{
	const uint64_t *words = (const uint64_t *)(const void *)store->bytes;
	uint64_t sums[2] = {0, 0};

	for (uint64_t i = 0; i < store->size / 8; i++)
		sums[i % 2] += words[i];
	CHECK_EQ(sums[0], load_rlx(&board->added[0]));
	CHECK_EQ(sums[1], load_rlx(&board->added[1]));
}

#define CLIENTS 100 /* beside a way */

static void stress(uint32_t block, uint64_t blocks, uint32_t way, unsigned processes, uint64_t operations)
{
	struct stoa_pager_options options = {
		.block = block, .budget = blocks * block / 4, .way = way % CLIENTS, .dirty_age = 20};
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	pid_t roles[PROCESSES];

	if (processes > 1 && !pager_is_shared())
		SKIP("a pager is one process's here");
	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	board->block = block;
	board->clients = way >= CLIENTS;
	board->operations = operations;
	store = store_make(blocks * block);
	pager_sockets(board->sockets);
	backing = store_backing(store);
	pager = pager_make(backing, &options);
	for (uintptr_t i = 1; i < processes; i++) {
		pager_pass(board->sockets, pager);
		roles[i] = test_role(member, (void *)i);
		while (load_rlx(&board->taken) < i)
			test_nap(1);
	}
	run(pager, board->seed);
	for (unsigned i = 1; i < processes; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_RC(stoa_pager_flush(pager, 0, store->size, STOA_DURABLE), 0);
	CHECK_INT(load_rlx(&store->flushes), >, 0);
	check_all();
	CHECK_RC(stoa_pager_close(pager), 0);
	check_all();
	stoa_backing_close(backing);
	pager_sockets_close(board->sockets);
	test_figure("%llu operations, %llu fills, %llu writes, %u pins refused",
		    (unsigned long long)(processes * THREADS * operations), (unsigned long long)load_rlx(&store->fills),
		    (unsigned long long)load_rlx(&store->writes), load_rlx(&board->pins_refused));
}

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;

/* Without a safeguard counts must be lost. */
#define MUST_LOSE(name, mutant)                                                           \
	TEST_DEFINE(name, 120, false, "sums[")                                            \
	{                                                                                 \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant) | MUTANT_BIT(MUTANT_DAWDLE); \
		stress(PAGE, 256, STOA_PAGER_INLINE, PROCESSES, 20000);                   \
	}

MUST_LOSE(writers_go_on, WRITERS_GO_ON)
MUST_LOSE(opened_unclaimed, OPENED_UNCLAIMED)

/* Nothing is lost where all are slow. */
TEST_TIMEOUT(slow_at_each_step, 120)
{
	mutants_chosen = MUTANT_BIT(MUTANT_DAWDLE);
	stress(PAGE, 256, STOA_PAGER_INLINE, PROCESSES, test_rounds(5000, 200000));
}
#else
TEST_TIMEOUT(pages, 120)
{
	stress(PAGE, 512, STOA_PAGER_INLINE, PROCESSES, test_rounds(100000, 10000000));
}

TEST_TIMEOUT(blocks, 120)
{
	stress(16 * PAGE, 128, STOA_PAGER_INLINE, PROCESSES, test_rounds(40000, 4000000));
}

TEST_TIMEOUT(served, 120)
{
	stress(PAGE, 512, STOA_PAGER_SERVED, PROCESSES, test_rounds(10000, 1000000));
}

TEST_TIMEOUT(served_blocks, 120)
{
	stress(16 * PAGE, 128, STOA_PAGER_SERVED, PROCESSES, test_rounds(10000, 1000000));
}

TEST_TIMEOUT(served_by_one, 120)
{
	stress(PAGE, 512, STOA_PAGER_SERVED + CLIENTS, PROCESSES, test_rounds(10000, 1000000));
}

/* With one process all three are something for the thread sanitizer. */
TEST_THREADS(one_process, 120)
{
	if (!pager_is_shared())
		SKIP("there is but one way here: by protection");
	stress(PAGE, 512, STOA_PAGER_INLINE, 1, test_rounds(20000, 2000000));
}

TEST_THREADS(one_process_served, 120)
{
	if (!pager_is_shared())
		SKIP("no touch waits in the kernel here");
	stress(PAGE, 512, STOA_PAGER_SERVED, 1, test_rounds(5000, 500000));
}

TEST_THREADS(one_process_by_protection, 120)
{
	/* Where blocks are larger that many are evicted, too, though fewer are touched. */
	stress(PAGE, 512, STOA_PAGER_PROTECT, 1,
	       pager_is_shared() ? test_rounds(20000, 1000000) : test_rounds(2000, 100000));
}

/* As on Linux before 6.15. */
TEST_TIMEOUT(one_process_without_guard_pages, 120)
{
	if (!pager_is_shared())
		SKIP("there are no guard pages here");
	store_rlx(&os_trap_without, OS_WITHOUT_GUARDS);
	stress(PAGE, 512, STOA_PAGER_PROTECT, 1, test_rounds(1000, 100000));
}
#endif
