/* SPDX-License-Identifier: MIT */
/*
 * Pagers whose touches wait for those who serve them: a process's own threads, or another process for those that have no backing. System
 * calls into the range, errors, servers that hang or die, and what older systems lack.
 */
#include "pager/served.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct stoa_pager_options served = {
	.way = STOA_PAGER_SERVED, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};

/* ---- touches ---- */

TEST(touches_are_served_without_a_handler)
{
	set_up();
	begin(store_backing(store), &served);
	for (uint64_t i = 0; i < BLOCKS; i++)
		CHECK_EQ(*word_of(pager, i), expected(i));
	CHECK_EQ(load_rlx(&store->fills), BLOCKS);
	*word_of(pager, 3) = 7;
	CHECK_EQ(load_rlx(&store->writes), 0);
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK_EQ(load_rlx(&store->writes), 1);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 3 * PAGE), 7);
	*word_of(pager, 3) = 8; /* told again */
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 3 * PAGE), 8);
	CHECK_RC(stoa_pager_discard(pager, 0, stoa_pager_size(pager)), 0);
	CHECK_EQ(*word_of(pager, 3), 8);
	CHECK_EQ(*word_of(pager, 4), expected(4));
	CHECK_EQ(load_rlx(&store->fills), BLOCKS + 2);
	end_all();
}

TEST(a_first_write_waits_once)
{
	set_up();
	begin(store_backing(store), &served);
	*word_of(pager, 2) = 5;
	CHECK_EQ(word_of(pager, 2)[1], expected(2));
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	/* The thread that serves counts after it has woken who touched. */
	while (load_rlx(&pager->seat->counters[PAGER_FAULTS]) == 0)
		test_nap(1);
	CHECK_EQ(load_rlx(&pager->seat->counters[PAGER_FAULTS]), 1);
	CHECK_EQ(load_rlx(&pager->seat->counters[PAGER_OPENS]), 1);
	end_all();
}

static void need_calls(void)
{
	if (!os_trap_serves_calls(pager->trap)) {
		end_all();
		SKIP("touches by system calls need CAP_SYS_PTRACE, /dev/userfaultfd or vm.unprivileged_userfaultfd=1");
	}
}

TEST(system_calls_read_and_write_the_range)
{
	char *bytes, text[16];
	int file;

	set_up();
	begin(store_backing(store), &served);
	need_calls();
	bytes = stoa_pager_address(pager);
	CHECK_SYS(file = memfd_create("file", MFD_CLOEXEC));
	CHECK_EQ(write(file, bytes + 5 * PAGE - 8, 16), 16); /* over a border, out of what is not there */
	CHECK_EQ(pread(file, text, 16, 0), 16);
	CHECK(text[0] == 5 && text[8] == 6);
	CHECK_EQ(pwrite(file, "what was written", 16, 0), 16);
	CHECK_EQ(pread(file, bytes + 9 * PAGE - 8, 16, 0), 16);
	CHECK(memcmp(bytes + 9 * PAGE - 8, "what was written", 16) == 0);
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK(memcmp(store->bytes + 9 * PAGE - 8, "what was written", 16) == 0);
	CHECK_SYS(close(file));
	end_all();
}

TEST(without_the_privilege_only_programs_touches_are_served)
{
	char *bytes;
	int file;

	set_up();
	store_rlx(&os_trap_without, OS_WITHOUT_CALLS);
	begin(store_backing(store), &served);
	bytes = stoa_pager_address(pager);
	CHECK(!os_trap_serves_calls(pager->trap));
	CHECK_SYS(file = open("/dev/zero", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(read(file, bytes, 10), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(*word_of(pager, 0), expected(0));
	*word_of(pager, 0) = 1;
	CHECK_EQ(read(file, bytes, 10), 10); /* now it is there, and open */
	CHECK_SYS(close(file));
	end_all();
}

static void *read_all(void *argument)
{
	for (uint64_t i = 0; i < BLOCKS; i++)
		CHECK_EQ(*word_of(argument, i), expected(i));
	return NULL;
}

TEST(threads_that_touch_one_page_have_it_filled_once)
{
	pthread_t threads[8];

	set_up();
	begin(store_backing(store), &served);
	store_rlx(&store->delay, 200);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, read_all, pager), 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(load_rlx(&store->fills), BLOCKS);
	end_all();
}

TEST(blocks_of_many_pages_within_a_budget)
{
	struct stoa_pager_options options = served;

	options.block = 4 * PAGE;
	options.budget = UINT64_C(8) * 4 * PAGE;
	set_up();
	begin(store_backing(store), &options);
	for (uint64_t round = 1; round < 4; round++) {
		for (uint64_t i = 0; i < BLOCKS; i++)
			*word_of(pager, i) = round * 1000 + i;
		for (uint64_t i = 0; i < BLOCKS; i++)
			CHECK_EQ(*word_of(pager, i), round * 1000 + i);
	}
	CHECK_INT(load_rlx(&pager->seat->counters[PAGER_EVICTIONS]), >, 24);
	end_all();
}

/* ---- errors ---- */

static void errors_are_signals_until_healed(void)
{
	int error = 0;

	set_up();
	begin(store_backing(store), &served);
	fail_at(5, -STOA_ESYSTEM);
	CHECK(touch(word_of(pager, 5), false));
	CHECK(touch(word_of(pager, 5), true));
	CHECK_EQ(load_rlx(&store->fills), 1); /* it was not tried again */
	CHECK_RC(stoa_pager_error(pager, 5 * PAGE, &error), 0);
	CHECK_EQ(error, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 4), false), 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), -STOA_ESYSTEM);
	CHECK(touch(word_of(pager, 5), false));
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(touch(word_of(pager, 5), false), 0);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	*word_of(pager, 5) = 9;
	/* Discarding makes good, too. */
	fail_at(6, -STOA_ESYSTEM);
	CHECK(touch(word_of(pager, 6), false));
	store_rlx(&store->fail_fill, 0);
	CHECK(touch(word_of(pager, 6), false));
	CHECK_RC(stoa_pager_discard(pager, 6 * PAGE, PAGE), 0);
	CHECK_EQ(touch(word_of(pager, 6), false), 0);
	CHECK_EQ(*word_of(pager, 6), expected(6));
	end_all();
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 5 * PAGE), 9);
}

TEST(errors_last_until_they_are_healed)
{
	errors_are_signals_until_healed();
}

TEST(errors_by_page_protection)
{
	store_rlx(&os_trap_without, OS_WITHOUT_POISON);
	errors_are_signals_until_healed();
}

TEST(errors_in_system_calls)
{
	int file;

	set_up();
	begin(store_backing(store), &served);
	need_calls();
	fail_at(5, -STOA_ESYSTEM);
	CHECK_SYS(file = open("/dev/zero", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(read(file, (void *)(uintptr_t)word_of(pager, 5), 10), -1);
	CHECK_EQ(errno, EFAULT);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(read(file, (void *)(uintptr_t)word_of(pager, 5), 10), 10);
	CHECK_SYS(close(file));
	end_all();
}

TEST(a_budget_that_is_all_pinned)
{
	struct stoa_pager_options options = served;

	options.budget = 8 * PAGE;
	set_up();
	begin(store_backing(store), &options);
	CHECK_RC(stoa_pager_pin(pager, 0, 6 * PAGE, STOA_WRITE), 0);
	store_rlx(&store->fail_write, -STOA_ESYSTEM); /* so that the others cannot be evicted either */
	store_rlx(&store->fail_end, UINT64_MAX);
	*word_of(pager, 10) = 1;
	*word_of(pager, 11) = 1;
	CHECK(touch(word_of(pager, 12), false));
	store_rlx(&store->fail_write, 0);
	CHECK_RC(stoa_pager_get(pager, 12 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(*word_of(pager, 12), expected(12));
	CHECK_RC(stoa_pager_unpin(pager, 0, 6 * PAGE), 0);
	end_all();
}

TEST(what_cannot_be_written_is_not)
{
	set_up();
	begin(reading_backing(), &served);
	CHECK_EQ(*word_of(pager, 3), expected(3));
	CHECK_EQ(touch(word_of(pager, 3), true), SIGSEGV);
	CHECK_EQ(touch(word_of(pager, 4), true), SIGSEGV);
	CHECK_EQ(*word_of(pager, 3), expected(3));
	CHECK_RC(stoa_pager_get(pager, 0, 1, STOA_WRITE), -STOA_ERIGHTS);
	end_all();
}

static int fill_touching_itself(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	memset(bytes, 1, length);
	*(volatile char *)bytes = ((volatile char *)stoa_pager_address(pager))[(offset + PAGE) % (BLOCKS * PAGE)];
	return 0;
}

static void touch_in_circles(void *argument)
{
	const struct stoa_backing_calls calls = {.fill = fill_touching_itself, .size = size_of_store};

	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	CHECK_RC(stoa_backing_create(&calls, NULL, &backing), 0);
	CHECK_RC(stoa_pager_create(NULL, backing, &served, &pager), 0);
	if (argument)
		(void)stoa_pager_get(pager, 0, 1, STOA_READ);
	(void)*word_of(pager, 0);
}

TEST(a_fill_that_touches_its_own_pager_is_refused_loudly)
{
	/* In the thread that serves, and in one of the program's. */
	CHECK_EQ(test_join(test_role(touch_in_circles, NULL)), -SIGBUS);
	CHECK_EQ(test_join(test_role(touch_in_circles, (void *)(uintptr_t)&served)), -SIGBUS);
}

static struct stoa_pager *below;

static int fill_from_below(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	memcpy(bytes, (const char *)stoa_pager_address(below) + offset, length);
	return 0;
}

/* A pager on a pager: the lower one's pages are made while the upper one's are. */
static void stack_up(uint32_t way_below)
{
	const struct stoa_backing_calls calls = {.fill = fill_from_below, .size = size_of_store};
	struct stoa_pager_options upper = served, lower = served;
	struct stoa_backing *of_upper;

	upper.rank = 1;
	lower.way = way_below;
	CHECK_RC(stoa_pager_install_handlers(), 0);
	set_up();
	begin(store_backing(store), &lower);
	below = pager;
	CHECK_RC(stoa_backing_create(&calls, NULL, &of_upper), 0);
	CHECK_RC(stoa_pager_create(NULL, of_upper, &upper, &pager), 0);
	read_all(pager);
	CHECK_EQ(load_rlx(&store->fills), BLOCKS);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(of_upper);
	pager = below;
	end_all();
}

TEST(served_over_served)
{
	stack_up(STOA_PAGER_SERVED);
}

TEST(served_over_inline)
{
	stack_up(STOA_PAGER_INLINE);
}

TEST(served_over_protected)
{
	stack_up(STOA_PAGER_PROTECT);
}

/* Linux before 6.4 shows pages open: what is shown counts as dirty. */
static void other_that_reads(void *argument)
{
	struct stoa_backing *mine = store_backing(store);
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	for (uint64_t i = 0; i < BLOCKS; i++)
		CHECK_EQ(*word_of(other, i), expected(i));
	await(1);
	*word_of(other, 7) = 70; /* not told where it was shown open */
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

static void share(uint32_t without)
{
	pid_t role;

	set_up();
	store_rlx(&os_trap_without, without);
	begin(store_backing(store), &served);
	for (uint64_t i = 0; i < BLOCKS; i++)
		CHECK_EQ(*word_of(pager, i), expected(i));
	pager_pass(board->sockets, pager);
	role = test_role(other_that_reads, NULL);
	tell(1);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(load_rlx(&store->fills), BLOCKS);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 7 * PAGE), 70);
	if (!without)
		CHECK_EQ(load_rlx(&store->writes), 1);
	end_all();
}

TEST(two_that_serve_themselves)
{
	share(0);
}

TEST(pages_that_are_shown_open_are_written_back)
{
	share(OS_WITHOUT_SHOWING);
}

static void other_that_is_refused(void *argument)
{
	struct stoa_backing *mine = store_backing(store);
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	CHECK(touch(word_of(other, 5), false));
	tell(1);
	await(2);
	*word_of(other, 5) = 50; /* shown open there: it is not told */
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

TEST(what_is_healed_open_is_written_back)
{
	pid_t role;

	set_up();
	store_rlx(&os_trap_without, OS_WITHOUT_SHOWING);
	begin(store_backing(store), &served);
	fail_at(5, -STOA_ESYSTEM);
	pager_pass(board->sockets, pager);
	role = test_role(other_that_is_refused, NULL);
	await(1);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	tell(2);
	CHECK_EQ(test_join(role), 0);
	CHECK_RC(stoa_pager_advise(pager, 0, stoa_pager_size(pager), STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 5 * PAGE), 50);
	end_all();
}

/* Who serves wakes whoever touched before he lets go. */
static uint64_t unheld_word(uint64_t block)
{
	uint64_t word;

	while (word_is_busy(word = load_rlx(&pager->words[block])))
		test_nap(1);
	return word;
}

/* A mark that nobody needed any more: the next who comes to the block takes it away. */
TEST(a_refusal_that_came_too_late)
{
	pid_t role;

	set_up();
	begin(store_backing(store), &served);
	fail_at(5, -STOA_ESYSTEM);
	pager_pass(board->sockets, pager);
	role = test_role(other_that_is_refused, NULL);
	await(1);
	store_rlx(&store->fail_fill, 0);
	/* As it is when what is there was marked, for which nobody of ours does it any more. */
	store_rlx(&pager->words[5], unheld_word(5) & ~WORD_STATE);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	CHECK_EQ(unheld_word(5) & WORD_ERROR, 0);
	store_rlx(&pager->words[5], unheld_word(5) | WORD_ERROR);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(unheld_word(5) & WORD_ERROR, 0);
	tell(2);
	CHECK_EQ(test_join(role), 0);
	end_all();
}

/* ---- those who have no backing ---- */

static void client_that_uses_it(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	CHECK_EQ(*word_of(client, 0), 11); /* what the server wrote, not flushed */
	for (uint64_t i = 1; i < BLOCKS; i++)
		CHECK_EQ(*word_of(client, i), expected(i));
	*word_of(client, 1) = 12;
	*word_of(client, 2) = 13;
	CHECK_RC(stoa_pager_flush(client, 2 * PAGE, PAGE, STOA_DURABLE), 0);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 2 * PAGE), 13);
	CHECK_EQ(load_rlx(&store->flushes), 1);
	CHECK_RC(stoa_pager_discard(client, 3 * PAGE, PAGE), 0);
	CHECK_EQ(*word_of(client, 3), expected(3));
	CHECK_RC(stoa_pager_pin(client, 0, 4 * PAGE, STOA_READ), 0);
	CHECK_RC(stoa_pager_discard(client, 0, PAGE), -STOA_EBUSY);
	CHECK_RC(stoa_pager_unpin(client, 0, 4 * PAGE), 0);
	CHECK_RC(stoa_pager_advise(client, 0, stoa_pager_size(client), STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(*word_of(client, 1), 12);
	CHECK_RC(stoa_pager_get(client, 8 * PAGE, 1, STOA_READ | STOA_WRITE), 0);
	*word_of(client, 9) = 19; /* written back by close */
	CHECK_RC(stoa_pager_close(client), 0);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 9 * PAGE), 19);
}

TEST(a_process_without_a_backing_is_served)
{
	set_up();
	begin(store_backing(store), &served);
	*word_of(pager, 0) = 11;
	pager_pass(board->sockets, pager);
	CHECK_EQ(test_join(test_role(client_that_uses_it, NULL)), 0);
	CHECK_EQ(*word_of(pager, 1), 12);
	end_all();
}

static void client_that_meets_errors(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(client, 5), false), SIGBUS);
	tell(1);
	await(2); /* it was refused there as well */
	CHECK_RC(stoa_pager_get(client, 5 * PAGE, 1, STOA_READ), -STOA_ESYSTEM);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(client, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(*word_of(client, 5), expected(5));
	tell(3);
	CHECK_RC(stoa_pager_close(client), 0);
}

TEST(errors_reach_all_and_are_healed_for_all)
{
	pid_t role;

	set_up();
	begin(store_backing(store), &served);
	pager_pass(board->sockets, pager);
	role = test_role(client_that_meets_errors, NULL);
	await(1);
	CHECK_EQ(touch(word_of(pager, 5), true), SIGBUS);
	CHECK_EQ(load_rlx(&store->fills), 1);
	tell(2);
	await(3);
	CHECK_EQ(touch(word_of(pager, 5), false), 0);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	CHECK_EQ(test_join(role), 0);
	end_all();
}

TEST(who_has_no_backing_joins_served_ones_only)
{
	struct stoa_pager_options options = {.way = STOA_PAGER_INLINE};
	struct stoa_pager *client;

	set_up();
	CHECK_RC(stoa_pager_install_handlers(), 0);
	begin(store_backing(store), &options);
	pager_pass(board->sockets, pager);
	CHECK_RC(stoa_pager_receive_with_socket(board->sockets[1], NULL, &client), -STOA_EINVAL);
	end();
	/* Nor where the system could not tell it of errors. */
	begin(store_backing(store), &served);
	pager_pass(board->sockets, pager);
	store_rlx(&os_trap_without, OS_WITHOUT_POISON);
	CHECK_RC(stoa_pager_receive_with_socket(board->sockets[1], NULL, &client), -STOA_ENOTSUP);
	end_all();
}

TEST(what_does_not_go_together)
{
	struct stoa_pager_options options = served;

	set_up();
	backing = store_backing(store);
	options.flags |= STOA_PAGER_NO_THREAD;
	CHECK_RC(stoa_pager_create(NULL, backing, &options, &pager), -STOA_EINVAL);
	stoa_backing_close(backing);
	pager_sockets_close(board->sockets);
}

static void client_that_is_told_of(void *argument)
{
	struct stoa_pager *client = join_as_client();
	struct stoa_pager_stat stat;

	(void)argument;
	CHECK_EQ(*word_of(client, 0), expected(0));
	CHECK_EQ(*word_of(client, 1), expected(1));
	CHECK_EQ(*word_of(client, 2), expected(2));
	while (stat.members = 0, stoa_pager_stat(client, &stat) == 0 && stat.member[1].faults < 3)
		test_nap(1); /* the thread that serves counts after it has woken who touched */
	CHECK_EQ(stat.way, STOA_PAGER_SERVED);
	CHECK_EQ(stat.members, 2);
	CHECK_EQ(stat.member[0].flags & (STOA_MEMBER_SERVES | STOA_MEMBER_CLIENT), STOA_MEMBER_SERVES);
	CHECK_EQ(stat.member[1].flags & (STOA_MEMBER_SERVES | STOA_MEMBER_CLIENT), STOA_MEMBER_CLIENT);
	CHECK_EQ(!(stat.member[1].flags & STOA_MEMBER_CALLS), !os_trap_serves_calls(client->trap));
	CHECK_EQ(stat.member[1].process, (uint64_t)getpid());
	CHECK_EQ(stat.member[1].faults, 3);
	CHECK_EQ(stat.member[0].fills, 3); /* by who serves */
	CHECK_EQ(stat.misses, 3);
	CHECK_EQ(stat.hits, 2); /* it had touched two of them itself, so they had only to be shown */
	CHECK_RC(stoa_pager_close(client), 0);
}

TEST(statistics_tell_who_serves_whom)
{
	set_up();
	begin(store_backing(store), &served);
	pager_pass(board->sockets, pager);
	CHECK_EQ(*word_of(pager, 1), expected(1));
	CHECK_EQ(*word_of(pager, 2), expected(2));
	CHECK_EQ(test_join(test_role(client_that_is_told_of, NULL)), 0);
	end_all();
}

/* ---- servers that die ---- */

static void server_to_be_killed(void *argument)
{
	const struct stoa_pager_options *options = argument;

	begin(store_backing(store), options);
	*word_of(pager, 0) = 11;
	pager_pass(board->sockets, pager);
	tell(1);
	test_pause();
}

static void second_server(void *argument)
{
	struct stoa_backing *mine = store_backing(store);
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	tell(2);
	await(3);
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

/* What the client touches while nobody serves waits for the next who does. */
TEST(another_server_takes_over)
{
	struct stoa_pager *client;
	pid_t first, second;

	set_up();
	first = test_role(server_to_be_killed, (void *)(uintptr_t)&served);
	await(1);
	client = join_as_client();
	CHECK_EQ(*word_of(client, 1), expected(1));
	pager_pass(board->sockets, client);
	second = test_role(second_server, NULL);
	await(2);
	test_kill(first);
	CHECK_EQ(*word_of(client, 2), expected(2));
	CHECK_EQ(*word_of(client, 0), 11);
	*word_of(client, 3) = 14;
	CHECK_RC(stoa_pager_flush(client, 0, stoa_pager_size(client), 0), 0);
	CHECK_EQ(*(uint64_t *)(void *)(store->bytes + 3 * PAGE), 14);
	CHECK_EQ(*(uint64_t *)(void *)store->bytes, 11);
	tell(3);
	CHECK_EQ(test_join(second), 0);
	/* It left, and nobody is there any more. */
	CHECK(touch(word_of(client, 20), false));
	CHECK_RC(stoa_pager_close(client), -STOA_ECLOSED);
	pager_sockets_close(board->sockets);
}

TEST(without_any_server_touches_fail)
{
	struct stoa_pager *client;
	pid_t role;

	set_up();
	role = test_role(server_to_be_killed, (void *)(uintptr_t)&served);
	await(1);
	client = join_as_client();
	CHECK_EQ(*word_of(client, 1), expected(1));
	*word_of(client, 1) = 5;
	test_kill(role);
	CHECK_EQ(touch(word_of(client, 2), false), SIGBUS);
	/* What is there can be read and written, also what this process had not touched. */
	CHECK_EQ(*word_of(client, 1), 5);
	CHECK_EQ(*word_of(client, 0), 11);
	*word_of(client, 0) = 12;
	CHECK_RC(stoa_pager_flush(client, 0, PAGE, 0), -STOA_ECLOSED);
	CHECK_RC(stoa_pager_get(client, 3 * PAGE, 1, STOA_READ), -STOA_ECLOSED);
	/* Until somebody with a backing joins. */
	pager_pass(board->sockets, client);
	backing = store_backing(store);
	pager = pager_take(board->sockets, backing);
	CHECK_RC(stoa_pager_get(client, 2 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(*word_of(client, 2), expected(2));
	CHECK_EQ(*word_of(client, 30), expected(30));
	CHECK_RC(stoa_pager_close(client), 0);
	CHECK_EQ(*(uint64_t *)(void *)store->bytes, 12);
	end_all();
}

/* ---- a backing that hangs ---- */

static void *touch_hanging(void *argument)
{
	CHECK_EQ(*word_of(argument, 5), expected(5));
	return NULL;
}

TEST(a_fill_that_hangs_holds_up_nobody_else)
{
	pthread_t thread;

	set_up();
	begin(hanging_backing(), &served);
	for (unsigned round = 0; round < 4; round++) {
		hang_at(5);
		CHECK_EQ(pthread_create(&thread, NULL, touch_hanging, pager), 0);
		await_hanging();
		for (uint64_t i = 10; i < BLOCKS; i++)
			CHECK_EQ(*word_of(pager, i), expected(i));
		store_rlx(&board->hang, 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
		CHECK_RC(stoa_pager_discard(pager, 0, stoa_pager_size(pager)), 0);
	}
	end_all();
}
