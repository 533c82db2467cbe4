/* SPDX-License-Identifier: MIT */
/* What is told of a pager from outside, by its handle and by an inspector: numbers, and whether it is as it should be. */
#include "pager/common.h"

#include <pager/pager.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCKS 256

/* One that has a name, and does nothing by itself. */
static struct stoa_pager *make_named(struct store *store, const struct stoa_pager_options *options,
				     struct stoa_backing **ret_backing)
{
	struct stoa_pager_options quiet = *options;
	struct stoa_pager *pager;

	*ret_backing = store_backing(store);
	quiet.flags |= STOA_PAGER_NO_BACKGROUND;
	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_pager_create(test_name("p"), *ret_backing, &quiet, &pager), 0);
	return pager;
}

struct told {
	unsigned counts[2];
	char first[2][512];
};

static void tell(void *argument, int severity, const char *sentence)
{
	struct told *told = argument;

	CHECK(severity == STOA_REMARK || severity == STOA_DAMAGE);
	if (!told->counts[severity]++)
		snprintf(told->first[severity], sizeof(told->first[severity]), "%s", sentence);
}

static struct told check_it(void)
{
	struct told told = {0};
	struct stoa_inspector *inspector;
	int damages;

	CHECK_RC(stoa_inspect_open(test_name("p"), 0, &inspector), 0);
	damages = stoa_inspect_check(inspector, tell, &told);
	CHECK(damages >= 0 && (unsigned)damages >= told.counts[STOA_DAMAGE]);
	stoa_inspect_close(inspector);
	return told;
}

static void check_in_order(void)
{
	struct told told = check_it();

	CHECK_STR(told.first[STOA_DAMAGE], "");
	CHECK_STR(told.first[STOA_REMARK], "");
}

/* By the handle; an inspector tells the same. */
static struct stoa_pager_stat stat_of(const struct stoa_pager *pager)
{
	struct stoa_pager_stat stat, seen;
	struct stoa_inspector *inspector;

	CHECK_RC(stoa_pager_stat(pager, &stat), 0);
	CHECK_RC(stoa_inspect_open(test_name("p"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_pager(inspector, &seen), 0);
	CHECK_EQ(memcmp(&stat, &seen, sizeof(stat)), 0);
	stoa_inspect_close(inspector);
	CHECK_STR(check_it().first[STOA_DAMAGE], "");
	return stat;
}

static void close_all(struct stoa_pager *pager, struct stoa_backing *backing)
{
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

static uint64_t sum_of(const uint64_t *counts, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

static unsigned char *byte(struct stoa_pager *pager, uint64_t block)
{
	return (unsigned char *)stoa_pager_address(pager) + block * PAGE;
}

static void look_at(struct stoa_pager *pager, uint64_t block)
{
	(void)*(volatile unsigned char *)byte(pager, block);
}

TEST(what_it_was_made_with)
{
	const struct stoa_pager_options options = {.size = BLOCKS * PAGE - 100,
						   .budget = 32 * PAGE,
						   .read_ahead = 2 * PAGE,
						   .on_error = STOA_PAGER_ZEROS,
						   .rank = 7,
						   .dirty_age = 1234,
						   .dirty_percent = 56};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct stoa_pager_stat stat = stat_of(pager);

	CHECK_EQ(stat.size, BLOCKS * PAGE);
	CHECK_EQ(stat.length, BLOCKS * PAGE - 100);
	CHECK_EQ(stat.block, PAGE);
	CHECK_EQ(stat.budget, 32);
	CHECK_EQ(stat.read_ahead, 2 * PAGE);
	CHECK_EQ(stat.on_error, STOA_PAGER_ZEROS);
	CHECK_EQ(stat.rank, 7);
	CHECK_EQ(stat.dirty_age, 1234);
	CHECK_EQ(stat.dirty_percent, 56);
	CHECK(stat.way == STOA_PAGER_INLINE || stat.way == STOA_PAGER_PROTECT);
	CHECK_EQ(stat.resident, 0);
	CHECK_EQ(stat.faults, 0);
	CHECK_EQ(stat.members, 1);
	CHECK_EQ(stat.members_alive, 1);
	CHECK_EQ(stat.member[0].state, STOA_END_ALIVE);
	CHECK_EQ(stat.member[0].process, (uint64_t)getpid());
	close_all(pager, backing);
}

TEST(blocks_and_faults_are_counted)
{
	const struct stoa_pager_options options = {.budget = 64 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct stoa_pager_stat stat;

	for (unsigned i = 0; i < 10; i++)
		look_at(pager, 5 * i);
	for (unsigned i = 0; i < 3; i++)
		*byte(pager, 5 * i) = 1;
	*byte(pager, 200) = 1;
	CHECK_RC(stoa_pager_pin(pager, 0, 2 * PAGE, STOA_READ), 0);
	stat = stat_of(pager);
	CHECK_EQ(stat.resident, 12);
	CHECK_EQ(stat.dirty, 4);
	CHECK_EQ(stat.clean, 8);
	CHECK_EQ(stat.busy, 0);
	CHECK_EQ(stat.pinned, 2);
	CHECK_EQ(stat.member[0].pinned, 2);
	CHECK_EQ(stat.fills, 12);
	CHECK_EQ(stat.fill_calls, 12);
	CHECK_EQ(stat.opens, 4);
	CHECK_EQ(stat.faults, 14); /* 10 reads, 3 writes to what was there, 1 to what was not; the pin is none */
	CHECK_EQ(sum_of(stat.latency, STOA_PAGER_LATENCIES), 14);
	CHECK_EQ(stat.member[0].faults, 14);
	CHECK_EQ(stat.hits, 4); /* the 3 writes, and one of the pin's blocks */
	CHECK_EQ(stat.misses, 12);
	CHECK_EQ(stat.member[0].fills, 12);
	CHECK_RC(stoa_pager_unpin(pager, 0, 2 * PAGE), 0);
	CHECK_RC(stoa_pager_flush(pager, 0, BLOCKS * PAGE, 0), 0);
	stat = stat_of(pager);
	CHECK_EQ(stat.dirty, 0);
	CHECK_EQ(stat.clean, 12);
	CHECK_EQ(stat.pinned, 0);
	CHECK_EQ(stat.writes, 4);
	CHECK_EQ(stat.write_calls, 4);
	CHECK_EQ(stat.hits, 4);
	close_all(pager, backing);
}

TEST(what_was_read_ahead_is_no_miss)
{
	const struct stoa_pager_options options = {.budget = 64 * PAGE};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct stoa_pager_stat stat;

	for (unsigned i = 0; i < 32; i++)
		look_at(pager, i);
	stat = stat_of(pager);
	CHECK_INT(stat.faults, <, 32);
	CHECK_EQ(stat.misses, stat.faults);
	CHECK_EQ(stat.hits, 0); /* what was there before it was touched was seen by nobody, */
	CHECK_RC(stoa_pager_get(pager, 0, 32 * PAGE, STOA_READ), 0);
	CHECK_EQ(stat_of(pager).hits, 32); /* unless it is asked for */
	CHECK_EQ(stat_of(pager).misses, stat.misses);
	close_all(pager, backing);
}

TEST(what_is_evicted_and_comes_back)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct stoa_pager_stat stat;

	for (unsigned i = 0; i < BLOCKS; i++)
		look_at(pager, i);
	for (unsigned i = BLOCKS; i-- > 0;)
		look_at(pager, i);
	stat = stat_of(pager);
	CHECK(stat.resident <= stat.budget);
	CHECK(stat.resident > 0);
	CHECK_EQ(stat.fills, stat.evictions + stat.resident);
	CHECK(stat.refaults > 0);
	CHECK(stat.refaults < stat.fills);
	CHECK_RC(stoa_pager_discard(pager, 0, BLOCKS * PAGE), 0);
	CHECK_EQ(stat_of(pager).resident, 0);
	close_all(pager, backing);
}

TEST(why_a_block_is_poisoned)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct store *store = store_make(BLOCKS * PAGE);
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store, &options, &backing);
	int error = 1;

	store_rlx(&store->fail_fill, -99);
	store_rlx(&store->fail_from, 3 * PAGE);
	store_rlx(&store->fail_end, 4 * PAGE);
	CHECK_RC(stoa_pager_error(pager, 3 * PAGE, &error), 0);
	CHECK_EQ(error, 0);
	CHECK_RC(stoa_pager_get(pager, 3 * PAGE, 1, STOA_READ), -99);
	CHECK_RC(stoa_pager_error(pager, 3 * PAGE + 17, &error), 0);
	CHECK_EQ(error, -99);
	CHECK_RC(stoa_pager_error(pager, 4 * PAGE, &error), 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(stat_of(pager).poisoned, 1);
	CHECK_EQ(stat_of(pager).errors, 1);
	CHECK_EQ(stat_of(pager).resident, 0);
	CHECK_EQ(stat_of(pager).hits + stat_of(pager).misses, 0); /* it was refused */
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 3 * PAGE, 1, STOA_READ), 0);
	CHECK_RC(stoa_pager_error(pager, 3 * PAGE, &error), 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(stat_of(pager).poisoned, 0);
	CHECK_EQ(stat_of(pager).misses, 1);
	CHECK_RC(stoa_pager_error(pager, BLOCKS * PAGE, &error), -STOA_ERANGE);
	CHECK_RC(stoa_pager_error(pager, 0, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_pager_error(NULL, 0, &error), -STOA_EINVAL);
	close_all(pager, backing);
}

static struct store *common;
static _Atomic uint32_t *joined;
static int sockets[2];

static void join_and_die(void *argument)
{
	struct stoa_pager *pager = pager_take(sockets, store_backing(common));

	(void)argument;
	*byte(pager, 9) = 9;
	CHECK_RC(stoa_pager_pin(pager, 9 * PAGE, PAGE, STOA_READ), 0);
	for (unsigned i = 0; i < 5; i++)
		*byte(pager, i) = 1; /* what the first has filled */
	store_rlx(joined, 1);
	for (;;)
		pause();
}

TEST(members_alive_and_dead)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	struct stoa_pager_stat stat;
	pid_t role;

	joined = test_shared(sizeof(*joined));
	common = store_make(BLOCKS * PAGE);
	pager = make_named(common, &options, &backing);
	stat = stat_of(pager);
	if (stat.way != STOA_PAGER_INLINE)
		SKIP("no userfaultfd here");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	pager_pass(sockets, pager);
	for (unsigned i = 0; i < 5; i++)
		look_at(pager, i);
	role = test_role(join_and_die, NULL);
	test_await(joined, 1);
	stat = stat_of(pager);
	CHECK_EQ(stat.hits, 6); /* the writes, and the pin of what it had filled itself */
	CHECK_EQ(stat.misses, 6);
	CHECK_EQ(stat.members, 2);
	CHECK_EQ(stat.members_alive, 2);
	CHECK_EQ(stat.member[1].process, (uint64_t)role);
	CHECK_EQ(stat.member[1].fills, 1);
	CHECK_EQ(stat.member[0].fills, 5);
	CHECK_EQ(stat.pinned, 1);
	test_kill(role);
	stat = stat_of(pager);
	CHECK_EQ(stat.members, 2);
	CHECK_EQ(stat.members_alive, 1);
	CHECK_EQ(stat.member[1].state, STOA_END_DEAD);
	CHECK_EQ(stat.pinned, 0);
	CHECK_EQ(stat.dirty, 6);
	CHECK_EQ(stat.hits, 6); /* the dead's counts stay */
	close(sockets[0]);
	close(sockets[1]);
	close_all(pager, backing);
}

TEST(what_is_asked_wrongly)
{
	struct stoa_inspector *inspector;
	struct stoa_segment *segment;
	struct stoa_pager_stat stat;

	CHECK_RC(stoa_pager_stat(NULL, &stat), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_pager(NULL, &stat), -STOA_EINVAL);
	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_inspect_open(test_name("s"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_pager(inspector, &stat), -STOA_EFORMAT);
	CHECK_RC(stoa_inspect_pager(inspector, NULL), -STOA_EINVAL);
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

/* ---- whether it is as it should be ---- */

TEST(one_that_is_in_order)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);

	check_in_order();
	for (unsigned i = 0; i < BLOCKS; i++)
		*byte(pager, i) = 1;
	check_in_order();
	CHECK_RC(stoa_pager_pin(pager, 0, 3 * PAGE, STOA_WRITE), 0);
	check_in_order();
	CHECK_RC(stoa_pager_unpin(pager, 0, 3 * PAGE), 0);
	CHECK_RC(stoa_pager_advise(pager, 0, BLOCKS * PAGE, STOA_ADVISE_DONT_NEED), 0);
	CHECK_STR(check_it().first[STOA_DAMAGE], "");
	close_all(pager, backing);
}

/* One word of it is changed, told, and changed back. */
static void check_damage(_Atomic uint64_t *word, uint64_t value, const char *sentence)
{
	uint64_t before = load_rlx(word);
	struct told told;

	store_rlx(word, value);
	told = check_it();
	store_rlx(word, before);
	if (!strstr(told.first[STOA_DAMAGE], sentence))
		CHECK_STR(told.first[STOA_DAMAGE], sentence);
}

TEST(damage_is_told)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct pager_shared *shared = pager->shared;
	_Atomic uint64_t *word = &pager->words[5];
	uint64_t good, frame = 0;

	look_at(pager, 5);
	good = load_rlx(word);
	check_damage(word, good | 7, "a holder in a state that has none");
	check_damage(word, word_next(good, BLOCK_FILLING, 0), "no holder in a state that has one");
	check_damage(word, word_next(good, BLOCK_FILLING, ROSTER_SLOT_MASK), "a holder that does not exist");
	check_damage(word, word_next(good, BLOCK_POISONED, 0), "no error that poisons it");
	check_damage(word, word_next(good, BLOCK_STATES, 0), "a state that does not exist");
	check_damage(word, good | WORD_WAITERS, "somebody who waits for nobody");
	check_damage(word, good | UINT64_C(1) << 39, "a bit that is not used");
	while ((load_rlx(&pager->frame_table[frame]) & FRAME_BLOCK) != 6)
		frame++;
	check_damage(&pager->frame_table[frame], BLOCKS + 1, "it names block 256, which does not exist");
	check_damage(&pager->frame_table[frame], 0, "block 5: it is there, and no frame names it");
	check_damage(&shared->cursors.stack, 33, "free frames: the first is 32 of 32");
	check_damage(&shared->members[0].identity, ROSTER_SLOT_MASK, "which does not exist");
	check_damage(&shared->seats[3].pins_used, 193, "member 3: 193 pins");
	store_rlx(&shared->seats[0].pins_used, 1);
	store_rlx(&shared->seats[0].pins[0].count, 7);
	check_damage(&shared->seats[0].pins[0].first, 251, "it pins 7 blocks from 250 on, of 256");
	store_rlx(&shared->seats[0].pins_used, 0);
	shared->header.block = 4097;
	CHECK(strstr(check_it().first[STOA_DAMAGE], "pager: a block of 4097 bytes") != NULL);
	shared->header.block = 4096;
	shared->header.frames = 257;
	CHECK(strstr(check_it().first[STOA_DAMAGE], "pager: ") != NULL);
	shared->header.frames = 32;
	shared->pad_88[7] = 1;
	CHECK(strstr(check_it().first[STOA_DAMAGE], "header: byte 95 is not used") != NULL);
	shared->pad_88[7] = 0;
	check_in_order();
	close_all(pager, backing);
}

/* A frame for the block that nobody has taken away with it. */
TEST(what_a_death_leaves_is_a_remark)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct told told;

	look_at(pager, 5);
	store_rlx(&pager->frame_table[20], 6);
	store_rlx(&pager->frame_table[21], 8);
	told = check_it();
	CHECK_STR(told.first[STOA_DAMAGE], "");
	CHECK(strstr(told.first[STOA_REMARK], "2 frames name a block that is not there") != NULL);
	CHECK_EQ(stat_of(pager).resident, 1);
	close_all(pager, backing);
}

static _Atomic uint32_t ended;

static void *touch_all(void *argument)
{
	struct stoa_pager *pager = argument;
	uint64_t random = (uintptr_t)&random;

	while (!load_rlx(&ended)) {
		uint64_t drawn = test_random(&random);

		_Atomic unsigned char *touched = (_Atomic unsigned char *)byte(pager, drawn / 3 % BLOCKS);

		if (drawn % 3)
			(void)load_rlx(touched);
		else
			store_rlx(touched, 1);
		if (drawn % 17 == 0)
			(void)stoa_pager_discard(pager, drawn / 17 % BLOCKS * PAGE, PAGE);
	}
	return NULL;
}

/* Nothing that happens meanwhile is taken for damage. */
TEST_THREADS(in_order_while_it_is_used, 20)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	pthread_t threads[2];
	struct stoa_pager_stat stat;

	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, touch_all, pager), 0);
	for (unsigned round = 0; round < test_rounds(40, 20000); round++) {
		CHECK_STR(check_it().first[STOA_DAMAGE], "");
		CHECK_RC(stoa_pager_stat(pager, &stat), 0);
		CHECK(stat.resident <= stat.budget);
	}
	store_rlx(&ended, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	close_all(pager, backing);
}

/* ---- what an enemy, who has the pager, may write ---- */

static uint64_t *words_of(const struct stoa_pager *pager, const void *at, size_t *ret_count)
{
	*ret_count = (pager->control->reserve - (size_t)((const unsigned char *)at - pager->control->data)) / 8;
	return (uint64_t *)(uintptr_t)at;
}

TEST(any_bytes_can_be_looked_at)
{
	const struct stoa_pager_options options = {.budget = 32 * PAGE, .read_ahead = 1};
	struct stoa_backing *backing;
	struct stoa_pager *pager = make_named(store_make(BLOCKS * PAGE), &options, &backing);
	struct pager_shared *shared = pager->shared;
	struct pager_header header = shared->header;
	uint64_t random = test_seed();
	struct stoa_inspector *inspector;
	struct stoa_pager_stat stat;
	size_t count;
	uint64_t *words;

	for (unsigned i = 0; i < 32; i++)
		look_at(pager, i);
	words = words_of(pager, shared->members, &count);
	CHECK_RC(stoa_inspect_open(test_name("p"), 0, &inspector), 0);
	for (unsigned round = 0; round < test_rounds(10, 2000); round++) {
		for (unsigned i = 0; i < 2000; i++)
			words[test_random(&random) % count] = test_random(&random) >> test_random(&random) % 64;
		CHECK_RC(stoa_inspect_pager(inspector, &stat), 0);
		CHECK(stat.resident + stat.poisoned <= stat.budget);
		CHECK(stat.members <= STOA_PAGER_MEMBERS);
		CHECK_EQ(stat.resident, stat.clean + stat.dirty + stat.busy);
		CHECK(check_it().counts[STOA_DAMAGE] > 0);
	}
	for (unsigned round = 0; round < test_rounds(60, 100000); round++) {
		uint64_t *at = (uint64_t *)(void *)&shared->header;

		at[test_random(&random) % (sizeof(header) / 8)] = test_random(&random) >> test_random(&random) % 64;
		(void)stoa_inspect_pager(inspector, &stat);
		(void)check_it();
		shared->header = header;
	}
	stoa_inspect_close(inspector);
	/* Closing writes back what the enemy's words say; the memory is the test's own. */
	memset(pager->words, 0, BLOCKS * 8);
	memset((void *)pager->frame_table, 0, pager->frames * 8);
	close_all(pager, backing);
}
