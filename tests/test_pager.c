/* SPDX-License-Identifier: MIT */
/* Pagers: what a touch does, what comes back, errors, pins, budgets, ranks, and other processes. */
#include "pager/common.h"

#include <os/os.h>
#include <pager/pager.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MIB (UINT64_C(1) << 20)

/* A region of `blocks` pages, each filled with its own number, and a pager on it. */
struct region {
	struct store *store;
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	volatile uint64_t *words;
};

static struct region make_region(uint64_t blocks, const struct stoa_pager_options *options)
{
	struct region region;

	region.store = store_make(blocks * PAGE);
	for (uint64_t i = 0; i < blocks; i++)
		memset(region.store->bytes + i * PAGE, (int)(i + 1) & 255, PAGE);
	region.backing = store_backing(region.store);
	region.pager = pager_make(region.backing, options);
	region.words = stoa_pager_address(region.pager);
	return region;
}

static void end_region(struct region *region)
{
	CHECK_RC(stoa_pager_close(region->pager), 0);
	stoa_backing_close(region->backing);
}

static uint64_t expected(uint64_t block)
{
	return ((block + 1) & 255) * UINT64_C(0x0101010101010101);
}

static volatile uint64_t *word_of(const struct region *region, uint64_t block)
{
	return region->words + block * PAGE / 8;
}

static const struct stoa_pager_options quiet = {.read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};

/* ---- touches ---- */

TEST(pages_are_filled_once_and_come_back_when_dirty)
{
	struct region region = make_region(16, &quiet);

	for (uint64_t i = 0; i < 16; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_EQ(load_rlx(&region.store->fills), 16);
	for (uint64_t i = 0; i < 16; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_EQ(load_rlx(&region.store->fills), 16);
	CHECK_RC(stoa_pager_flush(region.pager, 0, 16 * PAGE, 0), 0);
	CHECK_EQ(load_rlx(&region.store->writes), 0); /* nothing is dirty */
	*word_of(&region, 3) = 7;
	*word_of(&region, 9) = 8;
	CHECK_EQ(load_rlx(&region.store->writes), 0);
	CHECK_RC(stoa_pager_flush(region.pager, 0, 4 * PAGE, 0), 0);
	CHECK_EQ(load_rlx(&region.store->writes), 1);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 3 * PAGE), 7);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 9 * PAGE), expected(9));
	CHECK_EQ(load_rlx(&region.store->flushes), 0);
	*word_of(&region, 3) = 9; /* dirty again */
	CHECK_RC(stoa_pager_flush(region.pager, 0, 16 * PAGE, STOA_DURABLE), 0);
	CHECK_EQ(load_rlx(&region.store->flushes), 1);
	CHECK_EQ(load_rlx(&region.store->writes), 3);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 3 * PAGE), 9);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 9 * PAGE), 8);
	end_region(&region);
}

TEST(a_first_write_takes_one_fault)
{
	struct region region = make_region(8, &quiet);

	*word_of(&region, 2) = 5;
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_FAULTS]), 1);
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_OPENS]), 1);
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_REFAULTS]), 0);
	CHECK_EQ(word_of(&region, 2)[1], expected(2));
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_FAULTS]), 1);
	CHECK_RC(stoa_pager_close(region.pager), 0); /* and closing writes it back */
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 2 * PAGE), 5);
	stoa_backing_close(region.backing);
}

static void *read_all(void *argument)
{
	const struct region *region = argument;

	for (uint64_t i = 0; i < 64; i++)
		CHECK_EQ(*word_of(region, i), expected(i));
	return NULL;
}

TEST_THREADS(threads_that_touch_one_page_have_it_filled_once, 20)
{
	struct region region = make_region(64, &quiet);
	pthread_t threads[8];

	store_rlx(&region.store->delay, 200);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, read_all, &region), 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(load_rlx(&region.store->fills), 64);
	CHECK_INT(load_rlx(&region.pager->seat->counters[PAGER_WAITS]), >, 0);
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_MISSES]), 64);
	/* Who waited found it filled: each touch is one or the other. */
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_HITS]),
		 load_rlx(&region.pager->seat->counters[PAGER_FAULTS]) - 64);
	end_region(&region);
}

TEST(blocks_of_many_pages_and_an_end_within_one)
{
	const struct stoa_pager_options options = {.block = 64 * 1024, .size = 10 * 64 * 1024 + 100, .read_ahead = 1};
	struct region region = make_region(161, &options);

	CHECK_EQ(stoa_pager_size(region.pager), 10 * 64 * 1024 + 100);
	CHECK_EQ(*word_of(&region, 17), expected(17));
	CHECK_EQ(load_rlx(&region.store->fills), 1);
	CHECK_EQ(*word_of(&region, 31), expected(31));
	CHECK_EQ(load_rlx(&region.store->fills), 1);
	((volatile char *)region.words)[10 * 64 * 1024 + 99] = 1;
	CHECK_RC(stoa_pager_flush(region.pager, 0, stoa_pager_size(region.pager), 0), 0);
	CHECK_EQ(region.store->bytes[10 * 64 * 1024 + 99], 1);
	CHECK_RC(stoa_pager_flush(region.pager, 0, stoa_pager_size(region.pager) + 1, 0), -STOA_ERANGE);
	end_region(&region);
}

TEST(reading_ahead)
{
	const struct stoa_pager_options options = {.read_ahead = 64 * 1024, .budget = 4 * MIB};
	struct region region = make_region(1024, &options);
	uint64_t fills;

	for (uint64_t i = 0; i < 1024; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_INT(load_rlx(&region.store->fills), <, 1024 / 8);
	CHECK_RC(stoa_pager_discard(region.pager, 0, 1024 * PAGE), 0);
	fills = load_rlx(&region.store->fills);
	CHECK_RC(stoa_pager_advise(region.pager, 0, 0, STOA_ADVISE_RANDOM), 0);
	for (uint64_t i = 0; i < 64; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_EQ(load_rlx(&region.store->fills) - fills, 64);
	CHECK_RC(stoa_pager_advise(region.pager, 512 * PAGE, 64 * PAGE, STOA_ADVISE_WILL_NEED), 0);
	while (!word_is_there(load_rlx(&region.pager->words[575])))
		test_nap(1);
	end_region(&region);
}

TEST_THREADS(prefetches_end_and_tell_of_errors, 20)
{
	struct region region = make_region(256, &quiet);
	struct stoa_prefetch *prefetch;
	struct stoa_waitable thing = {.kind = STOA_WAIT_PREFETCH};
	size_t which;

	CHECK_RC(stoa_pager_prefetch(region.pager, 10 * PAGE, 200 * PAGE, &prefetch), 0);
	thing.object = prefetch;
	CHECK_RC(stoa_wait_any(&thing, 1, STOA_FOREVER, &which), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_TRY), 0);
	CHECK_EQ(load_rlx(&region.store->fills), 200);
	stoa_prefetch_close(prefetch);
	store_rlx(&region.store->fail_fill, -STOA_EIO);
	store_rlx(&region.store->fail_end, 5 * PAGE);
	CHECK_RC(stoa_pager_prefetch(region.pager, 0, 200 * PAGE, &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), -STOA_EIO);
	stoa_prefetch_close(prefetch);
	CHECK_RC(stoa_pager_prefetch(region.pager, 0, 0, &prefetch), -STOA_EINVAL);
	CHECK_RC(stoa_pager_prefetch(region.pager, 0, 257 * PAGE, &prefetch), -STOA_ERANGE);
	store_rlx(&region.store->delay, 1000); /* closed while it is at work */
	store_rlx(&region.store->fail_fill, 0);
	CHECK_RC(stoa_pager_discard(region.pager, 0, 256 * PAGE), 0);
	CHECK_RC(stoa_pager_prefetch(region.pager, 0, 256 * PAGE, &prefetch), 0);
	stoa_prefetch_close(prefetch);
	end_region(&region);
}

/* ---- the budget ---- */

static uint64_t resident(const struct stoa_pager *pager)
{
	struct os_memory_info info;

	CHECK_EQ(os_memory_info(pager->memory, &info), 0);
	return info.resident;
}

TEST(the_budget_is_kept)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 8 * PAGE};
	struct region region = make_region(512, &options);
	uint64_t most = 0;

	for (uint64_t i = 0; i < 4096; i++) {
		uint64_t block = i * 37 % 512;

		if (i % 3 == 0)
			*word_of(&region, block) += 1;
		else
			(void)*word_of(&region, block);
		if (resident(region.pager) > most)
			most = resident(region.pager);
	}
	for (uint64_t i = 0; i < 512; i++)
		(void)*word_of(&region, i);
	CHECK_INT(most, <=, 32 * PAGE);
	CHECK_INT(most, >=, 16 * PAGE);
	CHECK_INT(load_rlx(&region.store->writes), >, 0);
	end_region(&region);
}

TEST(what_is_used_often_stays)
{
	const struct stoa_pager_options options = {
		.budget = 64 * PAGE, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct region region = make_region(1024, &options);
	uint64_t cold = 0, hot = 0;

	/* Eight blocks of every ninth touch, the rest once. */
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t before = load_rlx(&region.store->fills);

		(void)*word_of(&region, 8 + i);
		cold += load_rlx(&region.store->fills) - before;
		before = load_rlx(&region.store->fills);
		(void)*word_of(&region, i % 8);
		hot += load_rlx(&region.store->fills) - before;
	}
	CHECK_EQ(cold, 1000);
	CHECK_INT(hot, <, 130); /* by age alone it would be each time that 64 others came */
	end_region(&region);
}

TEST(what_cannot_be_written_back_stays_and_the_rest_goes_on)
{
	const struct stoa_pager_options options = {
		.budget = 16 * PAGE, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct region region = make_region(64, &options);

	store_rlx(&region.store->fail_write, -STOA_EIO);
	store_rlx(&region.store->fail_end, 8 * PAGE);
	for (uint64_t i = 0; i < 8; i++)
		*word_of(&region, i) = 77;
	for (uint64_t i = 8; i < 64; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_RC(stoa_pager_flush(region.pager, 0, 64 * PAGE, 0), -STOA_EIO);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_EQ(*word_of(&region, i), 77);
	/* All of the budget: no memory for another, which is an error here and nothing worse. */
	store_rlx(&region.store->fail_end, 64 * PAGE);
	for (uint64_t i = 8; i < 16; i++)
		CHECK_RC(stoa_pager_get(region.pager, i * PAGE, 1, STOA_READ | STOA_WRITE), 0);
	CHECK_RC(stoa_pager_get(region.pager, 20 * PAGE, 1, STOA_READ), -STOA_ENOMEM);
	store_rlx(&region.store->fail_write, 0);
	CHECK_RC(stoa_pager_get(region.pager, 20 * PAGE, 1, STOA_READ), 0);
	CHECK_RC(stoa_pager_flush(region.pager, 0, 64 * PAGE, 0), 0);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 7 * PAGE), 77);
	end_region(&region);
}

/* ---- errors ---- */

static sigjmp_buf back;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	signals = number;
	siglongjmp(back, 1);
}

static void catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	CHECK_SYS(sigaction(SIGBUS, &action, NULL));
	CHECK_SYS(sigaction(SIGSEGV, &action, NULL));
}

/* The signal that a touch raises; 0: none. */
static int touch(volatile uint64_t *word, bool write)
{
	signals = 0;
	if (sigsetjmp(back, 1))
		return signals;
	if (write)
		*word = 1;
	else
		(void)*word;
	return 0;
}

TEST(a_block_that_cannot_be_filled_is_poisoned_until_it_can)
{
	struct region region;

	catch_signals(); /* before the pager's: what is not resolved comes here */
	region = make_region(16, &quiet);
	store_rlx(&region.store->fail_fill, -STOA_EIO);
	store_rlx(&region.store->fail_from, 5 * PAGE);
	store_rlx(&region.store->fail_end, 6 * PAGE);
	CHECK_EQ(touch(word_of(&region, 4), false), 0);
	CHECK_EQ(touch(word_of(&region, 5), false), SIGBUS);
	CHECK_EQ(touch(word_of(&region, 5), true), SIGBUS);
	CHECK_EQ(load_rlx(&region.store->fills), 2); /* a touch does not try again */
	CHECK_RC(stoa_pager_get(region.pager, 5 * PAGE, 8, STOA_READ), -STOA_EIO);
	CHECK_RC(stoa_pager_pin(region.pager, 5 * PAGE, 8, STOA_READ), -STOA_EIO);
	CHECK_EQ(load_rlx(&region.store->fills), 4);
	CHECK_EQ(touch(word_of(&region, 6), true), 0);
	store_rlx(&region.store->fail_fill, 0);
	CHECK_EQ(touch(word_of(&region, 5), false), SIGBUS);
	CHECK_RC(stoa_pager_get(region.pager, 5 * PAGE, 8, STOA_READ), 0);
	CHECK_EQ(touch(word_of(&region, 5), true), 0);
	end_region(&region);
}

TEST(reading_ahead_over_what_cannot_be_filled)
{
	const struct stoa_pager_options options = {.read_ahead = 64 * 1024};
	struct region region;

	catch_signals();
	region = make_region(64, &options);
	CHECK_RC(stoa_pager_advise(region.pager, 0, 0, STOA_ADVISE_SEQUENTIAL), 0);
	store_rlx(&region.store->fail_fill, -STOA_EIO);
	store_rlx(&region.store->fail_from, 5 * PAGE);
	store_rlx(&region.store->fail_end, 6 * PAGE);
	for (uint64_t i = 0; i < 64; i++)
		CHECK_EQ(touch(word_of(&region, i), false), i == 5 ? SIGBUS : 0);
	end_region(&region);
}

TEST(zeros_instead)
{
	const struct stoa_pager_options options = {
		.read_ahead = 1, .on_error = STOA_PAGER_ZEROS, .flags = STOA_PAGER_NO_BACKGROUND};
	struct region region = make_region(16, &options);

	store_rlx(&region.store->fail_fill, -STOA_EIO);
	store_rlx(&region.store->fail_end, 2 * PAGE);
	CHECK_EQ(*word_of(&region, 1), 0);
	CHECK_EQ(*word_of(&region, 2), expected(2));
	CHECK_RC(stoa_pager_flush(region.pager, 0, 16 * PAGE, 0), 0);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + PAGE), expected(1));
	end_region(&region);
}

static void *heal_later(void *argument)
{
	struct store *store = argument;

	while (load_rlx(&store->fills) < 4)
		usleep(1000);
	store_rlx(&store->fail_fill, 0);
	return NULL;
}

TEST(a_touch_that_waits_until_it_is_healed)
{
	const struct stoa_pager_options options = {.read_ahead = 1, .on_error = STOA_PAGER_RETRY};
	struct region region = make_region(16, &options);
	pthread_t healer;

	store_rlx(&region.store->fail_fill, -STOA_EIO);
	store_rlx(&region.store->fail_end, 16 * PAGE);
	CHECK_EQ(pthread_create(&healer, NULL, heal_later, region.store), 0);
	CHECK_EQ(*word_of(&region, 1), expected(1));
	CHECK_EQ(pthread_join(healer, NULL), 0);
	CHECK_INT(load_rlx(&region.store->fills), >=, 4);
	end_region(&region);
}

static int no_size(void *context, uint64_t *ret_size)
{
	*ret_size = *(uint64_t *)context;
	return 0;
}

static int fill_sevens(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	(void)offset;
	memset(bytes, 7, length);
	return 0;
}

static void *write_the_fifth(void *argument)
{
	*word_of(argument, 5) = 55;
	return NULL;
}

static void *push_out_the_fifth(void *argument)
{
	const struct region *region = argument;

	CHECK_RC(stoa_pager_advise(region->pager, UINT64_C(5) * PAGE, PAGE, STOA_ADVISE_DONT_NEED), 0);
	return NULL;
}

/* All blocks but the fifth, more than the budget has, while somebody hangs in a call for that one. */
static void use_the_others(struct region *region, void *(*hanging)(void *argument))
{
	pthread_t thread;

	store_rlx(&region->store->hangs, 1);
	CHECK_EQ(pthread_create(&thread, NULL, hanging, region), 0);
	test_nap(20);
	for (unsigned round = 0; round < 3; round++)
		for (uint64_t i = 6; i < 64; i++)
			*word_of(region, i) += 1;
	store_rlx(&region->store->hangs, 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

TEST(a_backing_that_hangs_holds_up_who_needs_it_alone)
{
	struct stoa_pager_options options = quiet;
	struct region region;

	options.budget = 16 * PAGE;
	region = make_region(64, &options);
	store_rlx(&region.store->fail_from, 5 * PAGE);
	store_rlx(&region.store->fail_end, 6 * PAGE);
	use_the_others(&region, write_the_fifth);
	CHECK_EQ(*word_of(&region, 5), 55);
	use_the_others(&region, push_out_the_fifth);
	CHECK_EQ(*word_of(&region, 5), 55);
	CHECK_EQ(*word_of(&region, 30), expected(30) + 6);
	end_region(&region);
}

TEST(a_backing_that_only_reads)
{
	const struct stoa_backing_calls calls = {.fill = fill_sevens, .size = no_size};
	uint64_t size = 16 * PAGE;
	struct stoa_backing *backing;
	struct stoa_pager *pager;

	catch_signals();
	CHECK_RC(stoa_backing_create(&calls, &size, &backing), 0);
	pager = pager_make(backing, &quiet);
	CHECK_EQ(touch(stoa_pager_address(pager), false), 0);
	CHECK_EQ(touch(stoa_pager_address(pager), true), SIGBUS);
	CHECK_RC(stoa_pager_get(pager, 0, 1, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	CHECK_RC(stoa_pager_flush(pager, 0, size, STOA_DURABLE), 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

/* ---- pins, discards ---- */

TEST(pins_stay)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct region region = make_region(256, &options);
	uint64_t faults;

	CHECK_RC(stoa_pager_pin(region.pager, 10 * PAGE + 5, 4 * PAGE, STOA_READ), 0); /* five pages */
	for (uint64_t i = 20; i < 256; i++)
		(void)*word_of(&region, i);
	faults = load_rlx(&region.pager->seat->counters[PAGER_FAULTS]);
	for (uint64_t i = 10; i < 15; i++)
		CHECK_EQ(*word_of(&region, i), expected(i));
	CHECK_EQ(load_rlx(&region.pager->seat->counters[PAGER_FAULTS]), faults);
	*word_of(&region, 12) = 5;
	CHECK_RC(stoa_pager_discard(region.pager, 12 * PAGE, PAGE), -STOA_EBUSY);
	CHECK_RC(stoa_pager_flush(region.pager, 0, 256 * PAGE, 0), 0); /* what is pinned is written back, too */
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 12 * PAGE), 5);
	CHECK_RC(stoa_pager_pin(region.pager, 100 * PAGE, 20 * PAGE, STOA_READ), -STOA_ELIMIT);
	CHECK_RC(stoa_pager_pin(region.pager, 100 * PAGE, 19 * PAGE, STOA_READ), 0);
	CHECK_RC(stoa_pager_unpin(region.pager, 100 * PAGE, 19 * PAGE), 0);
	CHECK_RC(stoa_pager_unpin(region.pager, 100 * PAGE, 19 * PAGE), -STOA_EINVAL);
	CHECK_RC(stoa_pager_unpin(region.pager, 10 * PAGE + 5, 4 * PAGE), 0);
	CHECK_RC(stoa_pager_discard(region.pager, 12 * PAGE, PAGE), 0);
	for (unsigned i = 0; i < STOA_PINS_MAX; i++)
		CHECK_RC(stoa_pager_pin(region.pager, i % 20 * PAGE, PAGE, STOA_READ),
			 i < 24 ? 0 : -STOA_ELIMIT); /* three quarters of the budget */
	for (unsigned i = 0; i < 24; i++)
		CHECK_RC(stoa_pager_unpin(region.pager, i % 20 * PAGE, PAGE), 0);
	end_region(&region);
}

TEST(what_is_pinned_can_be_given_to_the_system)
{
	struct region region = make_region(16, &quiet);
	int ends[2];
	uint64_t got;

	CHECK_SYS(pipe(ends));
	/* The kernel does not run our handler: it says so. */
	CHECK_EQ(write(ends[1], (const void *)word_of(&region, 2), 8), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_RC(stoa_pager_pin(region.pager, 2 * PAGE, 8, STOA_READ), 0);
	CHECK_EQ(write(ends[1], (const void *)word_of(&region, 2), 8), 8);
	CHECK_EQ(read(ends[0], &got, 8), 8);
	CHECK_EQ(got, expected(2));
	CHECK_EQ(write(ends[1], &got, 8), 8);
	CHECK_RC(stoa_pager_pin(region.pager, 3 * PAGE, 8, STOA_READ | STOA_WRITE), 0);
	CHECK_EQ(read(ends[0], (void *)(uintptr_t)word_of(&region, 3), 8), 8);
	CHECK_RC(stoa_pager_flush(region.pager, 0, 16 * PAGE, 0), 0);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 3 * PAGE), expected(2));
	close(ends[0]);
	close(ends[1]);
	end_region(&region);
}

TEST(discards)
{
	struct region region = make_region(16, &quiet);

	*word_of(&region, 3) = 7;
	*word_of(&region, 4) = 8;
	CHECK_RC(stoa_pager_discard(region.pager, 3 * PAGE, PAGE), 0);
	CHECK_EQ(*word_of(&region, 3), expected(3));
	CHECK_RC(stoa_pager_advise(region.pager, 0, 16 * PAGE, STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(resident(region.pager), 0);
	CHECK_EQ(*word_of(&region, 4), 8);
	CHECK_EQ(load_rlx(&region.store->writes), 1);
	CHECK_RC(stoa_pager_discard(region.pager, 1, PAGE), -STOA_EINVAL);
	CHECK_RC(stoa_pager_discard(region.pager, 0, PAGE + 1), -STOA_EINVAL);
	CHECK_RC(stoa_pager_discard(region.pager, 0, 17 * PAGE), -STOA_ERANGE);
	CHECK_RC(stoa_pager_advise(region.pager, 0, PAGE, 99), -STOA_EINVAL);
	end_region(&region);
}

TEST_THREADS(the_background_writes_back_what_is_old, 20)
{
	const struct stoa_pager_options options = {.dirty_age = 50};
	struct region region = make_region(16, &options);

	*word_of(&region, 3) = 7;
	while (!load_seq(&region.store->writes))
		test_nap(5);
	CHECK_EQ(*(uint64_t *)(void *)(region.store->bytes + 3 * PAGE), 7);
	*word_of(&region, 3) = 8;
	while (load_rlx(&region.store->writes) < 2)
		test_nap(5);
	end_region(&region);
}

TEST_THREADS(the_background_writes_back_when_much_is_dirty, 20)
{
	const struct stoa_pager_options options = {.budget = 64 * PAGE, .dirty_age = 1000000, .dirty_percent = 25};
	struct region region = make_region(64, &options);

	for (uint64_t i = 0; i < 10; i++)
		*word_of(&region, i) = 7;
	test_nap(300);
	CHECK_EQ(load_rlx(&region.store->writes), 0);
	for (uint64_t i = 10; i < 30; i++)
		*word_of(&region, i) = 7;
	while (!load_rlx(&region.store->writes))
		test_nap(5);
	end_region(&region);
}

/* ---- ranks ---- */

struct nested {
	volatile uint64_t *words; /* of another pager */
	struct stoa_pager *pager;
	int result;
};

static int fill_from_another(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct nested *nested = context;

	nested->result = stoa_pager_get(nested->pager, offset, length, STOA_READ);
	if (nested->result)
		return nested->result;
	memcpy(bytes, (const char *)(uintptr_t)nested->words + offset, length);
	return 0;
}

static int nested_size(void *context, uint64_t *ret_size)
{
	(void)context;
	*ret_size = 16 * PAGE;
	return 0;
}

TEST(a_fill_touches_pagers_of_lower_ranks_only)
{
	const struct stoa_backing_calls calls = {.fill = fill_from_another, .size = nested_size};
	const struct stoa_pager_options above = {.rank = 1, .read_ahead = 1}, same = {.rank = 0, .read_ahead = 1};
	struct region region = make_region(16, &quiet);
	struct nested nested = {.words = region.words, .pager = region.pager};
	struct stoa_backing *backing;
	struct stoa_pager *pager;

	CHECK_RC(stoa_backing_create(&calls, &nested, &backing), 0);
	pager = pager_make(backing, &above);
	CHECK_EQ(((volatile uint64_t *)stoa_pager_address(pager))[PAGE / 8], expected(1));
	CHECK_EQ(nested.result, 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	pager = pager_make(backing, &same);
	CHECK_RC(stoa_pager_get(pager, 2 * PAGE, 1, STOA_READ), -STOA_EDEADLOCK);
	CHECK_EQ(nested.result, -STOA_EDEADLOCK);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	end_region(&region);
}

static int fill_that_flushes(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct nested *nested = context;

	memset(bytes, 1, length);
	nested->result = stoa_pager_discard(nested->pager, offset == 0 ? PAGE : 0, PAGE);
	return 0;
}

/* Two fills that wait for each other's blocks in such calls would wait for ever. */
TEST(a_fill_that_flushes_or_drops_is_refused)
{
	const struct stoa_backing_calls calls = {.fill = fill_that_flushes, .size = nested_size};
	struct stoa_backing *backing;
	struct nested nested;

	CHECK_RC(stoa_backing_create(&calls, &nested, &backing), 0);
	nested.pager = pager_make(backing, &quiet);
	CHECK_RC(stoa_pager_get(nested.pager, 0, 1, STOA_READ), 0);
	CHECK_EQ(nested.result, -STOA_EDEADLOCK);
	CHECK_RC(stoa_pager_close(nested.pager), 0);
	stoa_backing_close(backing);
}

static int fill_touching_itself(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct nested *nested = context;

	memset(bytes, 1, length);
	*(volatile char *)bytes = *((volatile char *)(uintptr_t)nested->words + offset);
	return 0;
}

static void touch_in_circles(void *argument)
{
	const struct stoa_backing_calls calls = {.fill = fill_touching_itself, .size = nested_size};
	struct stoa_backing *backing;
	struct nested nested;

	(void)argument;
	CHECK_RC(stoa_backing_create(&calls, &nested, &backing), 0);
	nested.pager = pager_make(backing, &quiet);
	nested.words = stoa_pager_address(nested.pager);
	(void)*nested.words;
}

TEST(a_fill_that_touches_its_own_pager_is_refused_loudly)
{
	pid_t role = test_role(touch_in_circles, NULL);

	CHECK_EQ(test_join(role), -SIGBUS);
}

/* ---- handlers ---- */

TEST(without_handlers_there_is_no_pager)
{
	struct store *store = store_make(16 * PAGE);
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_create(NULL, backing, NULL, &pager), -STOA_ENOTOWNER);
	stoa_backing_close(backing);
}

TEST(faults_of_others_go_to_their_handler)
{
	struct region region;
	volatile uint64_t *none;

	catch_signals();
	region = make_region(16, &quiet);
	none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(touch(none, false), SIGSEGV);
	CHECK_EQ(touch(word_of(&region, 1), false), 0);
	CHECK_SYS(munmap((void *)(uintptr_t)none, PAGE));
	end_region(&region);
}

static void touch_nothing(void *argument)
{
	volatile uint64_t *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_pager_install_handlers(), 0);
	(void)*none;
}

static void be_sent_one(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_pager_install_handlers(), 0);
	kill(getpid(), SIGBUS);
	test_pause();
}

TEST(faults_of_nobody_end_the_process)
{
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR); /* a sanitizer's handler would tell of it */
	CHECK_EQ(test_join(test_role(touch_nothing, NULL)), -SIGSEGV);
	CHECK_EQ(test_join(test_role(be_sent_one, NULL)), -SIGBUS);
}

/* ---- processes ---- */

static int sockets[2];
static struct store *shared_store;

static void other_member(void *argument)
{
	struct stoa_backing *backing = store_backing(shared_store);
	struct stoa_pager *pager = pager_take(sockets, backing);
	volatile uint64_t *words = stoa_pager_address(pager);

	(void)argument;
	CHECK_EQ(words[0], 11); /* what the creator wrote, not flushed */
	words[PAGE / 8] = 12;
	CHECK_EQ(words[2 * PAGE / 8], expected(2));
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

TEST(processes_share_pages)
{
	struct region region = make_region(16, &quiet);

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	shared_store = region.store;
	region.words[0] = 11;
	CHECK_EQ(*word_of(&region, 2), expected(2));
	pager_pass(sockets, region.pager);
	CHECK_EQ(test_join(test_role(other_member, NULL)), 0);
	CHECK_EQ(region.words[PAGE / 8], 12);
	CHECK_EQ(load_rlx(&region.store->fills), 3); /* two of them by the other */
	close(sockets[0]);
	close(sockets[1]);
	end_region(&region);
}

TEST(what_is_received_must_be_a_pager)
{
	struct store *store = store_make(16 * PAGE);
	struct stoa_backing *backing = store_backing(store);
	struct stoa_segment *segment;
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &segment), 0);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, sockets[0]), 0);
	CHECK_RC(stoa_pager_receive_with_socket(sockets[1], backing, &pager), -STOA_EFORMAT);
	close(sockets[0]);
	CHECK_RC(stoa_pager_receive_with_socket(sockets[1], backing, &pager), -STOA_ECLOSED);
	close(sockets[1]);
	stoa_segment_close(segment);
	stoa_backing_close(backing);
}

static struct region forked;

static void touch_in_child(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_pager_get(forked.pager, 0, 1, STOA_READ), -STOA_ENOTOWNER);
	CHECK_RC(stoa_pager_flush(forked.pager, 0, 1, 0), -STOA_ENOTOWNER);
	(void)*word_of(&forked, 1);
}

static void close_in_child(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_pager_close(forked.pager), 0);
	stoa_backing_close(forked.backing);
}

TEST(a_forked_child_has_nothing_of_it)
{
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	forked = make_region(16, &quiet);
	*word_of(&forked, 1) = 5;
	CHECK_EQ(test_join(test_role(touch_in_child, NULL)), -SIGSEGV);
	CHECK_EQ(test_join(test_role(close_in_child, NULL)), 0);
	CHECK_EQ(*word_of(&forked, 1), 5);
	*word_of(&forked, 2) = 6;
	end_region(&forked);
	CHECK_EQ(*(uint64_t *)(void *)(forked.store->bytes + 2 * PAGE), 6);
}

/* ---- sizes ---- */

static int fill_with_offset(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	memset(bytes, 0, length);
	memcpy(bytes, &offset, sizeof(offset));
	return 0;
}

TEST(a_terabyte)
{
	const struct stoa_backing_calls calls = {.fill = fill_with_offset, .size = no_size};
	const struct stoa_pager_options options = {.budget = 4 * MIB, .read_ahead = 1};
	uint64_t size = UINT64_C(1) << 40, random = test_seed(), start = stoa_now(), joined;
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	volatile char *bytes;

	CHECK_RC(stoa_backing_create(&calls, &size, &backing), 0);
	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_pager_create(NULL, backing, &options, &pager), 0);
	joined = stoa_now();
	bytes = stoa_pager_address(pager);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t offset = test_random(&random) % size & ~UINT64_C(4095), got;

		memcpy(&got, (const char *)(uintptr_t)bytes + offset, sizeof(got));
		CHECK_EQ(got, offset);
	}
	CHECK_EQ(bytes[size - 1], 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	test_figure("made in %llu us, 3000 pages all over it in %llu us", (unsigned long long)(joined - start) / 1000,
		    (unsigned long long)(stoa_now() - joined) / 1000);
}

TEST(options_are_checked)
{
	static const struct {
		struct stoa_pager_options options;
		int rc;
	} cases[] = {
		{{.block = 100}, -STOA_EINVAL},
		{{.block = 4 << 20}, -STOA_EINVAL},
		{{.budget = 7 * PAGE}, -STOA_EINVAL},
		{{.size = (UINT64_C(1) << 40) + 1}, -STOA_EINVAL},
		{{.way = 9}, -STOA_EINVAL},
		{{.on_error = 9}, -STOA_EINVAL},
		{{.flags = 1u << 9}, -STOA_EINVAL},
		{{.rank = 256}, -STOA_EINVAL},
		{{.dirty_percent = 101}, -STOA_EINVAL},
	};
	struct store *store = store_make(64 * PAGE);
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		CHECK_RC(stoa_pager_create(NULL, backing, &cases[i].options, &pager), cases[i].rc);
		CHECK(stoa_error_detail()[0]);
	}
	CHECK_RC(stoa_pager_create(NULL, NULL, NULL, &pager), -STOA_EINVAL);
	CHECK_RC(stoa_pager_create(NULL, backing, NULL, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_pager_create("a/b", backing, NULL, &pager), -STOA_ENAME);
	CHECK_RC(stoa_pager_close(NULL), 0);
	stoa_backing_close(backing);
}
