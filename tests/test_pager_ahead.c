/* SPDX-License-Identifier: MIT */
/* Reading ahead: who walks through a pager in order, backward or by steps finds blocks there; who touches at random has nothing filled in vain. */
#include "pager/common.h"

#include <pager/pager.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE 4096
#define BLOCKS 3000

struct walk {
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	struct stoa_pager_stat before;
};

static struct store *store;

static struct walk begin_by(uint32_t way, uint64_t frames)
{
	const struct stoa_pager_options options = {
		.budget = frames * PAGE, .read_ahead = 32 * PAGE, .way = way, .flags = STOA_PAGER_NO_BACKGROUND};
	struct walk walk;

	store = store_make((uint64_t)BLOCKS * PAGE);
	for (uint64_t i = 0; i < BLOCKS; i++)
		memcpy(store->bytes + i * PAGE, &i, sizeof(i));
	walk.backing = store_backing(store);
	walk.pager = pager_make(walk.backing, &options);
	CHECK_RC(stoa_pager_stat(walk.pager, &walk.before), 0);
	return walk;
}

static struct walk begin(uint64_t frames)
{
	return begin_by(STOA_PAGER_AUTO, frames);
}

static void end(struct walk *walk)
{
	CHECK_RC(stoa_pager_close(walk->pager), 0);
	stoa_backing_close(walk->backing);
}

/* Nothing is there any more, and what follows is counted from 0 on. */
static void begin_again(struct walk *walk)
{
	CHECK_RC(stoa_pager_discard(walk->pager, 0, BLOCKS * PAGE), 0);
	CHECK_RC(stoa_pager_stat(walk->pager, &walk->before), 0);
}

static struct stoa_pager_stat counted(const struct walk *walk)
{
	struct stoa_pager_stat stat;

	CHECK_RC(stoa_pager_stat(walk->pager, &stat), 0);
	stat.faults -= walk->before.faults;
	stat.fills -= walk->before.fills;
	stat.fill_calls -= walk->before.fill_calls;
	stat.evictions -= walk->before.evictions;
	return stat;
}

static void touch(const struct walk *walk, int64_t block)
{
	CHECK_EQ(((volatile uint64_t *)stoa_pager_address(walk->pager))[block * PAGE / 8], (uint64_t)block);
}

static bool is_there(const struct walk *walk, int64_t block)
{
	return word_is_there(load_rlx(&walk->pager->words[block]));
}

/* To the end of the region, or to its beginning. Returns the number of blocks. */
static uint64_t go(const struct walk *walk, int64_t first, int64_t step)
{
	uint64_t count = 0;

	for (int64_t block = first; block >= 0 && block < BLOCKS; block += step, count++)
		touch(walk, block);
	return count;
}

/* ---- ways that are believed ---- */

static void go_all_ways(uint32_t way)
{
	static const struct {
		int64_t first, step;
	} ways[] = {{0, 1}, {BLOCKS - 1, -1}, {1, 2}, {5, 3}, {BLOCKS - 7, -3}, {0, 17}, {BLOCKS - 1, -20}};
	struct walk walk = begin_by(way, BLOCKS);

	for (size_t i = 0; i < CC_COUNT(ways); i++) {
		uint64_t count = go(&walk, ways[i].first, ways[i].step);
		struct stoa_pager_stat stat = counted(&walk);

		/* A handful until the way is known and many are filled at a time; then one of 32. */
		CHECK_INT(stat.faults, <=, 12 + count / 32);
		CHECK_EQ(stat.fills, count); /* nothing lies beside the way */
		if (ways[i].step * ways[i].step == 1)
			CHECK_INT(stat.fill_calls, <=, 2 * stat.faults);
		test_figure("by %d: %u blocks, %u faults, %u calls", (int)ways[i].step, (unsigned)count,
			    (unsigned)stat.faults, (unsigned)stat.fill_calls);
		begin_again(&walk);
	}
	end(&walk);
}

TEST(steps_of_all_kinds)
{
	go_all_ways(STOA_PAGER_AUTO);
}

TEST(the_same_by_protection)
{
	go_all_ways(STOA_PAGER_PROTECT);
}

TEST(three_steps_on_end_are_believed)
{
	struct walk walk = begin(BLOCKS);

	for (int64_t i = 0; i < 3; i++)
		touch(&walk, 100 + 40 * i);
	CHECK_EQ(counted(&walk).fills, 3);
	touch(&walk, 220);
	CHECK_EQ(counted(&walk).fills, 5);
	CHECK(is_there(&walk, 260));
	touch(&walk, 260);
	touch(&walk, 300);
	CHECK_EQ(counted(&walk).fills, 9);
	touch(&walk, 1000); /* another way */
	touch(&walk, 1040);
	CHECK_EQ(counted(&walk).fills, 11);
	end(&walk);
}

TEST(who_advises_random_is_believed)
{
	struct walk walk = begin(BLOCKS);
	uint64_t count;

	CHECK_RC(stoa_pager_advise(walk.pager, 0, 0, STOA_ADVISE_RANDOM), 0);
	count = go(&walk, 0, 3);
	CHECK_EQ(counted(&walk).faults, count);
	begin_again(&walk);
	CHECK_RC(stoa_pager_advise(walk.pager, 0, 0, STOA_ADVISE_NORMAL), 0);
	count = go(&walk, 0, 3);
	CHECK_INT(counted(&walk).faults, <=, count / 16);
	end(&walk);
}

/* What is there on the way is passed by, and the way goes on behind it. */
TEST(a_way_over_what_is_there)
{
	struct walk walk = begin(BLOCKS);
	uint64_t count;

	CHECK_RC(stoa_pager_get(walk.pager, 603 * PAGE, 1, STOA_READ), 0);
	CHECK_RC(stoa_pager_stat(walk.pager, &walk.before), 0);
	count = go(&walk, 0, 3);
	CHECK_EQ(counted(&walk).fills, count - 1);
	CHECK_INT(counted(&walk).faults, <=, 20 + count / 32);
	end(&walk);
}

/* ---- and those that are not ---- */

/* Each block once; but not in order, nor by what would be a step that is believed: three of a size on end. */
static void go_at_random(const struct walk *walk, uint64_t random, unsigned count)
{
	bool *touched = calloc(BLOCKS, sizeof(*touched));
	int64_t block = 0, last = 0, before = 0;

	CHECK(touched != NULL);
	for (unsigned i = 0; i < count; i++) {
		int64_t next = (int64_t)(test_random(&random) % BLOCKS), step = next - block;

		if (touched[next] || step == 1 || (step == last && step == before)) {
			i--;
			continue;
		}
		touch(walk, next);
		touched[next] = true;
		before = last;
		last = step;
		block = next;
	}
	free(touched);
}

TEST(at_random_nothing_is_filled_in_vain)
{
	struct walk walk = begin(BLOCKS);

	go_at_random(&walk, test_seed(), BLOCKS / 2);
	CHECK_EQ(counted(&walk).faults, BLOCKS / 2);
	CHECK_EQ(counted(&walk).fills, BLOCKS / 2);
	end(&walk);
}

/* ---- with little memory, errors, and others ---- */

/* What was read ahead stays until it is touched. */
TEST(blocks_on_the_way_do_not_push_out_each_other)
{
	static const int64_t steps[] = {5, -5, -1};

	for (size_t i = 0; i < CC_COUNT(steps); i++) {
		struct walk walk = begin(64); /* 8 at a time */
		uint64_t count = go(&walk, steps[i] > 0 ? 0 : BLOCKS - 1, steps[i]);
		struct stoa_pager_stat stat = counted(&walk);

		CHECK_EQ(stat.fills, count);
		CHECK_INT(stat.faults, <=, 8 + count / 8);
		CHECK_INT(stat.resident, <=, 64);
		CHECK_EQ(stat.evictions, stat.fills - stat.resident);
		end(&walk);
	}
}

TEST(ways_over_what_cannot_be_filled)
{
	static const int64_t steps[] = {3, -3, -1};

	for (size_t i = 0; i < CC_COUNT(steps); i++) {
		struct walk walk = begin(BLOCKS);

		store_rlx(&store->fail_from, 900 * PAGE);
		store_rlx(&store->fail_end, 901 * PAGE);
		store_rlx(&store->fail_fill, -STOA_EIO);
		for (int64_t block = steps[i] > 0 ? 0 : 1800; block >= 0 && block < 1801; block += steps[i]) {
			int rc = stoa_pager_get(walk.pager, (uint64_t)block * PAGE, 1, STOA_READ);

			CHECK_RC(rc, block == 900 ? -STOA_EIO : 0);
		}
		CHECK_EQ(counted(&walk).poisoned, 1);
		CHECK_EQ(counted(&walk).busy, 0);
		store_rlx(&store->fail_fill, 0);
		CHECK_RC(stoa_pager_get(walk.pager, 900 * PAGE, 1, STOA_READ), 0);
		(void)go(&walk, 0, 1);
		end(&walk);
	}
}

#define THREADS 4

struct walker {
	struct walk *walk;
	int64_t first, step;
};

static void *go_alone(void *argument)
{
	const struct walker *walker = argument;

	(void)go(walker->walk, walker->first, walker->step);
	return NULL;
}

/* The steps of each lie between those of the others; two come from the end. */
TEST(several_threads_step_through_one_another)
{
	for (unsigned round = 0; round < test_rounds(20, 2000); round++) {
		struct walk walk = begin(round % 2 ? 64 : BLOCKS);
		struct walker walkers[THREADS];
		pthread_t threads[THREADS];

		for (int64_t i = 0; i < THREADS; i++) {
			walkers[i] = (struct walker){&walk, i, THREADS};
			if (i % 2)
				walkers[i] = (struct walker){&walk, BLOCKS - THREADS + i, -THREADS};
			CHECK_EQ(pthread_create(&threads[i], NULL, go_alone, &walkers[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			CHECK_EQ(pthread_join(threads[i], NULL), 0);
		CHECK_EQ(counted(&walk).busy, 0);
		if (round % 2 == 0)
			CHECK_EQ(counted(&walk).fills, BLOCKS);
		end(&walk);
	}
}

/* One thread serves both, and follows the way of each. */
TEST(ways_of_those_who_are_served)
{
	struct walk walk = begin_by(STOA_PAGER_SERVED, BLOCKS);
	struct walker walkers[2] = {{&walk, 0, 1}, {&walk, BLOCKS - 1, -1}};
	pthread_t threads[2];
	uint64_t calls;

	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, go_alone, &walkers[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	calls = counted(&walk).fill_calls;
	CHECK_INT(calls, <=, BLOCKS / 6);
	test_figure("%u calls", (unsigned)calls);
	end(&walk);
}
