/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong around those who serve: no threads or descriptors to be had, backings that only read, places that are taken again while
 * somebody is at a request, forked children, older systems.
 */
#include "pager/served.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_pager_options with = {.way = STOA_PAGER_SERVED, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};

/* ---- what is healed ---- */

static void writer_into_the_healed(void *argument)
{
	struct stoa_backing *mine = store_backing(store);
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	tell(1);
	await(2);
	*word_of(other, 5) = 9;
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

/* Where it cannot be shown but open it counts as written. */
TEST(what_is_healed_open_for_who_never_touched_it_is_written_back)
{
	pid_t role;

	set_up();
	store_rlx(&os_trap_without, OS_WITHOUT_SHOWING);
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	role = test_role(writer_into_the_healed, NULL);
	await(1);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGBUS);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	tell(2);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(*word_of(pager, 5), 9);
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK_EQ(stored(5), 9);
	end_all();
}

/* What was forbidden to be written leaves its trace in a map when its pages are taken away. */
TEST(errors_of_what_was_there_before)
{
	set_up();
	begin(store_backing(store), &with);
	*word_of(pager, 5) = 9;
	CHECK_EQ(*word_of(pager, 6), expected(6));
	CHECK_RC(stoa_pager_advise(pager, 0, stoa_pager_size(pager), STOA_ADVISE_DONT_NEED), 0);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGBUS);
	fail_at(6, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 6), true), SIGBUS);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 2 * PAGE, STOA_READ), 0);
	CHECK_EQ(*word_of(pager, 5), 9);
	CHECK_EQ(*word_of(pager, 6), expected(6));
	end_all();
}

/* How errors are told must not change in between. */
TEST(errors_without_descriptors_are_healed)
{
	struct rlimit before, none;

	set_up();
	begin(store_backing(store), &with);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 3;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &none));
	CHECK(touch(word_of(pager, 5), false));
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &before));
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(touch(word_of(pager, 5), false), 0);
	end_all();
}

/* As in the other ways. */
TEST(what_was_given_up_is_filled_anew)
{
	set_up();
	begin(store_backing(store), &with);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGBUS);
	store_rlx(&store->fail_fill, 0);
	CHECK_RC(stoa_pager_advise(pager, 0, stoa_pager_size(pager), STOA_ADVISE_DONT_NEED), 0);
	CHECK_EQ(touch(word_of(pager, 5), false), 0);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	end_all();
}

static void healer(void *argument)
{
	struct stoa_backing *mine = store_backing(store);
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	CHECK_RC(stoa_pager_get(other, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_RC(stoa_pager_advise(other, 0, stoa_pager_size(other), STOA_ADVISE_DONT_NEED), 0);
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

/* Older systems poison by page protection, which makes one map of several: what goes over their borders is done in each. */
TEST(errors_by_page_protection_are_that_page_s_alone)
{
	set_up();
	store_rlx(&os_trap_without, OS_WITHOUT_POISON | OS_WITHOUT_SHOWING);
	with.read_ahead = 16 * PAGE;
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGSEGV);
	store_rlx(&store->fail_fill, 0);
	CHECK_EQ(test_join(test_role(healer, NULL)), 0);
	CHECK_RC(stoa_pager_advise(pager, 0, 1, STOA_ADVISE_SEQUENTIAL), 0);
	for (uint64_t i = 0; i < BLOCKS; i++)
		if (i != 5)
			CHECK_EQ(touch(word_of(pager, i), i % 2), 0);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK_EQ(stored(7), 1);
	end_all();
}

/* ---- clients ---- */

static void client_to_be_killed(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	store_rlx(&board->place, client->place);
	*word_of(client, 1) = 10;
	tell(1);
	await(2);
	(void)stoa_pager_flush(client, PAGE, PAGE, 0);
}

static void client_that_only_joins(void *argument)
{
	(void)argument;
	(void)join_as_client();
	store_rlx(&board->hangs, 2);
	test_pause();
}

/* Who joins tidies up: a few of those who are gone, each time. */
static void have_place_freed(void)
{
	while (load_rlx(&pager->shared->members[load_rlx(&board->place)].serial)) {
		pid_t role;

		store_rlx(&board->hangs, 0);
		pager_pass(board->sockets, pager);
		role = test_role(client_that_only_joins, NULL);
		while (!load_rlx(&board->hangs))
			usleep(1000);
		test_kill(role);
	}
}

static void client_in_its_place(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	CHECK_EQ(client->place, load_rlx(&board->place));
	*word_of(client, 2) = 20;
	tell(3);
	CHECK_RC(stoa_pager_flush(client, 2 * PAGE, PAGE, 0), 0);
	CHECK_EQ(stored(2), 20);
	CHECK_RC(stoa_pager_close(client), 0);
}

/* Who serves is at the request of one that is dead: its answer is not the next one's. */
TEST(no_answer_to_who_had_the_place_before)
{
	pid_t before, after;

	set_up();
	begin(hanging_backing(), &with);
	pager_pass(board->sockets, pager);
	before = test_role(client_to_be_killed, NULL);
	await(1);
	hang_at(1);
	tell(2);
	await_hanging();
	test_kill(before);
	have_place_freed();
	pager_pass(board->sockets, pager);
	after = test_role(client_in_its_place, NULL);
	await(3);
	while (!(load_rlx(&pager->shared->seats[load_rlx(&board->place)].request.state) & 1))
		usleep(1000);
	store_rlx(&board->hang, 0);
	CHECK_EQ(test_join(after), 0);
	end_all();
}

static void client_that_gets_at_once(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	CHECK_RC(stoa_pager_get(client, 7 * PAGE, 1, STOA_READ), 0);
	store_rlx(&board->hang, 0);
	CHECK_EQ(*word_of(client, 7), expected(7));
	CHECK_RC(stoa_pager_close(client), 0);
}

static void *touch_hanging(void *argument)
{
	store_rlx(&board->place, os_thread_id());
	CHECK_EQ(*word_of(argument, 5), expected(5));
	return NULL;
}

/* Who serves need not have heard of it before. */
TEST(a_new_client_asks_at_once)
{
	pthread_t thread;

	set_up();
	begin(hanging_backing(), &with);
	pager_pass(board->sockets, pager);
	hang_at(5);
	CHECK_EQ(pthread_create(&thread, NULL, touch_hanging, pager), 0);
	await_hanging();
	CHECK_EQ(test_join(test_role(client_that_gets_at_once, NULL)), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	end_all();
}

static void client_that_reads(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	tell(1);
	CHECK_EQ(*word_of(client, 7), expected(7));
	CHECK_RC(stoa_pager_close(client), 0);
}

/* Those who join while their descriptors cannot be taken are served later. */
TEST(clients_that_cannot_be_reached_are_served_later)
{
	struct rlimit before, none;
	pid_t role;

	set_up();
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	while (!load_rlx(&pager->shared->cursors.server))
		usleep(1000);
	test_nap(50);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &before));
	none = before;
	none.rlim_cur = 3;
	role = test_role(client_that_reads, NULL);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &none));
	await(1);
	test_nap(50);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &before));
	CHECK_EQ(test_join(role), 0);
	end_all();
}

/* ---- servers that are killed ---- */

static void server_to_be_killed(void *argument)
{
	(void)argument;
	begin(hanging_backing(), &with);
	*word_of(pager, 9) = 90;
	for (unsigned i = 0; i < 4; i++)
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

/* He had not heard of the client, and the first is gone for good when he looks. */
TEST(what_the_dead_had_taken_is_served_by_one_who_was_stopped)
{
	struct stoa_pager *client;
	pid_t first, second;
	pthread_t thread;

	set_up();
	first = test_role(server_to_be_killed, NULL);
	await(1);
	second = test_role(second_server, NULL);
	await(2);
	client = join_as_client();
	hang_at(5);
	CHECK_EQ(pthread_create(&thread, NULL, touch_hanging, client), 0);
	await_hanging();
	CHECK_SYS(kill(second, SIGSTOP));
	test_kill(first);
	store_rlx(&board->hang, 0);
	test_nap(20);
	CHECK_SYS(kill(second, SIGCONT));
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_RC(stoa_pager_close(client), 0);
	tell(3);
	CHECK_EQ(test_join(second), 0);
	pager_sockets_close(board->sockets);
}

static void client_that_discards(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	store_rlx(&board->place, client->place + 1);
	await(2);
	(void)stoa_pager_discard(client, 0, stoa_pager_size(client));
}

/* What it would have discarded others have written to since. */
TEST(nobody_does_what_the_dead_had_asked_for)
{
	struct stoa_pager *client;
	struct pager_request *request;
	pid_t first, dead;

	set_up();
	first = test_role(server_to_be_killed, NULL);
	await(1);
	client = join_as_client();
	CHECK_EQ(*word_of(client, 9), 90);
	dead = test_role(client_that_discards, NULL);
	while (!load_rlx(&board->place))
		usleep(1000);
	request = &client->shared->seats[load_rlx(&board->place) - 1].request;
	CHECK_SYS(kill(first, SIGSTOP));
	CHECK_SYS(waitpid(first, NULL, WUNTRACED)); /* it may answer until then */
	tell(2);
	while (!(load_rlx(&request->state) & 1))
		usleep(1000);
	test_kill(dead);
	test_kill(first);
	*word_of(client, 9) = 91;
	backing = store_backing(store);
	pager = pager_take(board->sockets, backing);
	CHECK_RC(stoa_pager_flush(client, 0, PAGE, 0), 0); /* he answers now */
	CHECK_EQ(*word_of(client, 9), 91);
	CHECK_RC(stoa_pager_close(client), 0);
	CHECK_EQ(stored(9), 91);
	end_all();
}

/* ---- no more threads ---- */

static void server_with_few_threads(void *argument)
{
	const struct rlimit few = {3, 3}; /* this one, the keeper and one that serves */

	(void)argument;
	CHECK_SYS(setresuid(54321, 54321, 54321));
	CHECK_SYS(setrlimit(RLIMIT_NPROC, &few));
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	await(2);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

TEST(one_thread_serves_clients_too)
{
	pid_t server;

	if (geteuid() != 0)
		SKIP("a limit of threads is put on a user of its own");
	set_up();
	server = test_role(server_with_few_threads, NULL);
	CHECK_EQ(test_join(test_role(client_that_reads, NULL)), 0);
	tell(2);
	CHECK_EQ(test_join(server), 0);
	pager_sockets_close(board->sockets);
}

/* ---- some backings write, some do not ---- */

static void writing_creator(void *argument)
{
	(void)argument;
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	pager_pass(board->sockets, pager);
	tell(1);
	test_pause();
}

static void client_that_writes(void *argument)
{
	struct stoa_pager *client = join_as_client();
	int refused;

	(void)argument;
	tell(2);
	await(3);
	(void)touch(word_of(client, 3), false);
	refused = touch(word_of(client, 3), true);
	CHECK(refused || stoa_pager_flush(client, 0, stoa_pager_size(client), 0) || stored(3) == 1);
	(void)stoa_pager_close(client);
}

/* Whose backing cannot write serves nobody who may. */
TEST(a_backing_that_only_reads_serves_no_writers)
{
	pid_t creator, client;

	set_up();
	creator = test_role(writing_creator, NULL);
	await(1);
	client = test_role(client_that_writes, NULL);
	await(2);
	backing = reading_backing();
	pager = pager_take(board->sockets, backing);
	test_kill(creator);
	CHECK_EQ(*word_of(pager, 3), expected(3)); /* so that it is there */
	tell(3);
	CHECK_EQ(test_join(client), 0);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	pager_sockets_close(board->sockets);
}

static void reader_that_heals(void *argument)
{
	struct stoa_backing *mine = reading_backing();
	struct stoa_pager *other = pager_take(board->sockets, mine);

	(void)argument;
	CHECK_RC(stoa_pager_get(other, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_RC(stoa_pager_close(other), 0);
	stoa_backing_close(mine);
}

TEST(who_only_reads_shows_nothing_open)
{
	set_up();
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	fail_at(5, -STOA_ESYSTEM);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGBUS);
	CHECK_EQ(test_join(test_role(reader_that_heals, NULL)), 0);
	*word_of(pager, 5) = 9;
	CHECK_RC(stoa_pager_flush(pager, 0, stoa_pager_size(pager), 0), 0);
	CHECK_EQ(stored(5), 9);
	end_all();
}

/* ---- callbacks ---- */

TEST(who_was_in_a_callback_may_touch_what_is_served_later)
{
	static const struct stoa_pager_options below = {
		.way = STOA_PAGER_PROTECT, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct stoa_pager *protected;
	struct stoa_backing *mine;
	pthread_t thread;

	set_up();
	CHECK_RC(stoa_pager_install_handlers(), 0);
	mine = hanging_backing();
	CHECK_RC(stoa_pager_create(NULL, mine, &below, &protected), 0);
	begin(store_backing(store), &with);
	hang_at(5);
	CHECK_EQ(pthread_create(&thread, NULL, touch_hanging, protected), 0);
	await_hanging();
	CHECK_RC(stoa_pager_close(pager), 0);
	store_rlx(&board->hang, 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(pager_rank_within((uint32_t)load_rlx(&board->place)), 0);
	CHECK_RC(stoa_pager_close(protected), 0);
	stoa_backing_close(mine);
	stoa_backing_close(backing);
	pager_sockets_close(board->sockets);
}

static int fill_touching_itself(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	memset(bytes, 1, length);
	*(volatile char *)bytes = ((volatile char *)stoa_pager_address(pager))[(offset + PAGE) % (BLOCKS * PAGE)];
	return 0;
}

static void touch_in_circles_deafly(void *argument)
{
	const struct stoa_backing_calls calls = {.fill = fill_touching_itself, .size = size_of_store};
	sigset_t all;

	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	CHECK_RC(stoa_backing_create(&calls, NULL, &backing), 0);
	CHECK_RC(stoa_pager_create(NULL, backing, &with, &pager), 0);
	if (argument)
		CHECK(signal(SIGBUS, SIG_IGN) != SIG_ERR);
	sigfillset(&all);
	if (!argument)
		CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	(void)stoa_pager_get(pager, 0, 1, STOA_READ);
}

TEST(a_touch_in_circles_is_refused_to_the_deaf)
{
	CHECK_EQ(test_join(test_role(touch_in_circles_deafly, NULL)), -SIGBUS);
	CHECK_EQ(test_join(test_role(touch_in_circles_deafly, &with)), -SIGBUS);
}

/* ---- forked children ---- */

static void *flush_on(void *argument)
{
	while (load_rlx(&board->turn) == 0) {
		*word_of(argument, 3) = 1;
		CHECK_RC(stoa_pager_flush(argument, 0, stoa_pager_size(argument), 0), 0);
	}
	return NULL;
}

static unsigned count_descriptors(void)
{
	unsigned count = 0;

	for (int i = 0; i < 256; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

static void reader_that_waits(void *argument)
{
	struct stoa_pager *client = join_as_client();

	(void)argument;
	CHECK_EQ(*word_of(client, 7), expected(7));
	store_rlx(&board->place, 1);
	await(1);
	CHECK_RC(stoa_pager_close(client), 0);
}

TEST(a_forked_child_closes_it)
{
	unsigned before;
	pthread_t thread;
	pid_t role;

	set_up();
	before = count_descriptors();
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	role = test_role(reader_that_waits, NULL);
	while (!load_rlx(&board->place))
		usleep(1000);
	CHECK_EQ(pthread_create(&thread, NULL, flush_on, pager), 0);
	for (unsigned i = 0; i < 200; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			alarm(10);
			_exit(stoa_pager_close(pager) || count_descriptors() > before);
		}
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK_EQ(status, 0);
	}
	tell(1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	end_all();
}

/* ---- enemies ---- */

TEST(a_block_poisoned_by_nothing)
{
	set_up();
	begin(store_backing(store), &with);
	CHECK_EQ(*word_of(pager, 4), expected(4));
	store_rlx(&pager->words[5], (uint64_t)BLOCK_POISONED << WORD_STATE_SHIFT);
	CHECK_EQ(touch(word_of(pager, 5), false), SIGBUS);
	CHECK_RC(stoa_pager_get(pager, 5 * PAGE, 1, STOA_READ), 0);
	CHECK_EQ(*word_of(pager, 5), expected(5));
	end_all();
}

static void enemy(void *argument)
{
	struct stoa_pager *client = join_as_client();
	struct pager_member *member = &client->shared->members[client->place];
	struct pager_note note = {.serial = 1000, .place = client->place, .flags = MEMBER_CLIENT};
	int ends[2];

	(void)argument;
	store_rlx(&board->place, client->place);
	CHECK_EQ(*word_of(client, 7), expected(7));
	CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	CHECK_SYS(close(ends[1]));
	store_rlx(&member->serial, 1000);
	add_seq(&client->shared->cursors.changes, 1);
	CHECK_RC(os_board_post(client->board, &note, ends[0]), 0);
	test_pause();
}

/* Always ready, and never a touch: it is not looked at again and again. */
TEST(a_remote_that_tells_of_no_touches)
{
	struct pager_remote *remote;
	bool watched = true;
	pid_t role;

	set_up();
	begin(store_backing(store), &with);
	pager_pass(board->sockets, pager);
	role = test_role(enemy, NULL);
	while (!load_rlx(&board->place))
		usleep(1000);
	remote = &pager->remotes[load_rlx(&board->place)];
	for (bool known = false; !known || watched; usleep(1000)) {
		os_lock(&pager->reaching);
		known = remote->serial == 1000;
		watched = remote->watched;
		os_unlock(&pager->reaching);
	}
	test_kill(role);
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
	pager_sockets_close(board->sockets);
}
