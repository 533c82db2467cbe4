/* SPDX-License-Identifier: MIT */
/* As test_os_wait.c, of what only Linux promises: a kernel that breaks it fails here first. */
#include <os_wait/common.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- sleeping and waking ---- */

/* The order of the words in a sleep is built on this. One call that wakes two words leaves the sleeper no time between. */
TEST(of_several_words_that_were_woken_the_last_is_reported)
{
	int if_zero = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
	pid_t role;

	set_up();
	role = asleep(3);
	CHECK_EQ(syscall(SYS_futex, &board->words[0], FUTEX_WAKE_OP, 1, (void *)1, &board->words[2], if_zero), 2);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 12);
	role = asleep(3);
	CHECK_EQ(syscall(SYS_futex, &board->words[2], FUTEX_WAKE_OP, 1, (void *)1, &board->words[0], if_zero), 2);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 12);
	tear_down();
}

TEST(a_sleep_takes_no_more_than_128_words)
{
	struct futex_waitv too_many[OS_WAIT_WORDS_MAX + 1] = {{0}};

	if (!os_capabilities()->waits_on_many)
		SKIP("no futex_waitv(2)");
	CHECK_EQ(syscall(SYS_futex_waitv, too_many, OS_WAIT_WORDS_MAX + 1, 0, NULL, CLOCK_MONOTONIC), -1);
	CHECK_EQ(errno, EINVAL);
}

/* ---- a death marks ---- */

/* A robust list of our own making: what counts is what the kernel makes of it. */
struct node {
	struct robust_list list;
	_Atomic uint32_t word; /* 1: of who dies; else what it says */
	uint32_t unused;
};
struct nodes {
	unsigned count;
	struct node at[4096];
};

static void die_with_nodes(void *argument)
{
	struct nodes *nodes = argument;
	struct robust_list_head head = {.futex_offset = offsetof(struct node, word)};

	head.list.next = &nodes->at[0].list;
	for (unsigned i = 0; i < nodes->count; i++) {
		nodes->at[i].list.next = i + 1 < nodes->count ? &nodes->at[i + 1].list : &head.list;
		if (atomic_load(&nodes->at[i].word) == 1)
			atomic_store(&nodes->at[i].word, os_thread_id());
	}
	CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
	raise(SIGKILL);
}

static unsigned count_marked(const struct nodes *nodes)
{
	unsigned marked = 0;

	while (marked < nodes->count && atomic_load(&nodes->at[marked].word) == FUTEX_OWNER_DIED)
		marked++;
	return marked;
}

/* A thread takes part in half as many segments at most: the program's own robust mutexes count as well. */
TEST(a_death_marks_2048_words)
{
	struct nodes *nodes = test_shared(sizeof(*nodes));

	nodes->count = CC_COUNT(nodes->at);
	for (unsigned i = 0; i < nodes->count; i++)
		nodes->at[i].word = 1;
	CHECK_EQ(test_join(test_role(die_with_nodes, nodes)), -SIGKILL);
	test_note("%u of %u words marked", count_marked(nodes), nodes->count);
	CHECK_INT(count_marked(nodes), >=, 2048);
	munmap(nodes, sizeof(*nodes));
}

/* As of a membership that another thread retired: its page is a new one, its node still in the list. */
TEST(a_death_passes_over_words_that_name_nobody_or_another)
{
	struct nodes *nodes = test_shared(sizeof(*nodes));
	const uint32_t other = UINT32_C(0x3ffffff0);

	nodes->count = 6;
	for (unsigned i = 0; i < nodes->count; i++)
		nodes->at[i].word = i % 3 == 0 ? 0 : i % 3 == 1 ? other : 1;
	CHECK_EQ(test_join(test_role(die_with_nodes, nodes)), -SIGKILL);
	for (unsigned i = 0; i < nodes->count; i++)
		CHECK_EQ(atomic_load(&nodes->at[i].word), i % 3 == 0 ? 0 : i % 3 == 1 ? other : FUTEX_OWNER_DIED);
	munmap(nodes, sizeof(*nodes));
}

/* ---- a death wakes ---- */

static void die_covering(void *argument)
{
	(void)argument;
	(void)os_wake_cover(&board->words[0]);
	atomic_store(&board->ready, 1);
	for (;;)
		pause();
}

TEST(a_covered_word_is_woken_by_death)
{
	pid_t role, other;

	set_up();
	role = asleep(2);
	other = test_role(die_covering, NULL);
	while (!atomic_load(&board->ready))
		test_nap(1);
	test_kill(other);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	CHECK(os_probe_relay());
	tear_down();
}

TEST(a_dying_sleeper_wakes_another)
{
	pid_t first, second;

	set_up();
	board->cover = 1; /* the sleepers cover the word that they sleep on */
	first = asleep(2);
	second = asleep(2);
	test_kill(first);
	CHECK_EQ(test_join(second), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	tear_down();
}

TEST(uncovering_gives_back_what_was_covered)
{
	const void *none, *first;

	set_up();
	none = os_wake_cover(&board->words[0]);
	first = os_wake_cover(&board->words[1]);
	CHECK(none == NULL);
	CHECK(first != NULL);
	os_wake_uncover(first);
	CHECK(os_wake_cover(&board->words[2]) == first);
	os_wake_uncover(none);
	CHECK(os_wake_cover(&board->words[0]) == NULL);
	os_wake_uncover(NULL);
	tear_down();
}

/* ---- life words ---- */

/* Robust mutexes of the program itself before and after ours in the thread's list. */
static void live_among_mutexes(void *argument)
{
	pthread_mutex_t *mutexes = argument;

	CHECK_EQ(pthread_mutex_lock(&mutexes[0]), 0);
	(void)enter();
	CHECK_EQ(pthread_mutex_lock(&mutexes[1]), 0);
	CHECK_EQ(pthread_mutex_lock(&mutexes[2]), 0);
	CHECK_EQ(pthread_mutex_unlock(&mutexes[1]), 0);
	CHECK_EQ(pthread_mutex_unlock(&mutexes[0]), 0);
	CHECK_EQ(pthread_mutex_lock(&mutexes[1]), 0);
	raise(SIGKILL);
}

TEST(the_programs_own_robust_mutexes_are_left_alone)
{
	pthread_mutexattr_t robust;
	pthread_mutex_t *mutexes;
	pid_t role;

	set_up();
	mutexes = test_shared(3 * sizeof(*mutexes));
	CHECK_EQ(pthread_mutexattr_init(&robust), 0);
	CHECK_EQ(pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED), 0);
	CHECK_EQ(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_mutex_init(&mutexes[i], &robust), 0);
	role = test_role(live_among_mutexes, mutexes);
	CHECK_EQ(test_join(role), -SIGKILL);
	check_dead(1, 0);
	CHECK_EQ(pthread_mutex_lock(&mutexes[0]), 0);
	CHECK_EQ(pthread_mutex_lock(&mutexes[1]), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_lock(&mutexes[2]), EOWNERDEAD);
	for (int i = 1; i < 3; i++)
		CHECK_EQ(pthread_mutex_consistent(&mutexes[i]), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_mutex_unlock(&mutexes[i]), 0);
	tear_down();
}

static void live_and_exec(void *argument)
{
	(void)argument;
	(void)enter();
	execl("/bin/sleep", "sleep", "30", (char *)NULL);
}

TEST(an_exec_marks_the_life_word)
{
	pid_t role;

	set_up();
	role = test_role(live_and_exec, NULL);
	while (!(atomic_load(life_word) & OS_LIFE_DIED))
		test_nap(1);
	check_dead(1, 0);
	test_kill(role);
	tear_down();
}

static void look_as_child(void *argument)
{
	struct os_life *life = argument;

	CHECK(life->word == NULL); /* wiped */
	CHECK_EQ(atomic_load(&life->identity), 0);
	os_life_leave(life, NULL);
}

TEST(a_forked_child_is_not_a_member_and_its_end_marks_nothing)
{
	struct os_life *life;

	set_up();
	life = enter();
	atomic_store(&life->identity, 7);
	CHECK_EQ(test_join(test_role(look_as_child, life)), 0);
	CHECK_EQ(atomic_load(life_word) & OS_LIFE_ID, os_thread_id());
	CHECK_EQ(atomic_load(&life->identity), 7);
	os_life_leave(life, NULL);
	tear_down();
}

/* ---- the rest ---- */

static void idle(void *argument)
{
	(void)argument;
	for (;;)
		pause();
}

static void count_end(void *argument)
{
	atomic_fetch_add((_Atomic uint32_t *)argument, 1);
}

/* Of the descriptors of this process, the one that the helper sleeps in. */
static int find_epoll(void)
{
	char path[64], target[64];

	for (int fd = 3; fd < 1000; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = 0;
		if (strstr(target, "eventpoll"))
			return fd;
	}
	return -1;
}

/* As programs do that close all they did not open. */
TEST(the_end_of_a_process_is_told_although_somebody_closed_our_descriptor)
{
	struct os_process_watch *watches[2];
	_Atomic uint32_t ends[2] = {0};
	os_handle processes[2];
	pid_t roles[2];

	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	for (unsigned i = 0; i < 2; i++) {
		roles[i] = test_role(idle, NULL);
		CHECK_RC(os_process_open(roles[i], &processes[i]), 0);
		CHECK_RC(os_process_watch(processes[i], count_end, (void *)&ends[i], &watches[i]), 0);
	}
	CHECK_SYS(close(find_epoll()));
	for (unsigned i = 0; i < 2; i++) {
		test_kill(roles[i]);
		test_await(&ends[i], 1);
	}
	for (unsigned i = 0; i < 2; i++) {
		os_process_unwatch(watches[i]);
		os_handle_close(processes[i]);
		CHECK_EQ(atomic_load(&ends[i]), 1);
	}
}

static void check_generation(void *argument)
{
	CHECK_EQ(os_fork_generation(), *(uint64_t *)argument + 1);
}

TEST(forks_are_counted)
{
	uint64_t generation = os_fork_generation();

	CHECK_EQ(test_join(test_role(check_generation, &generation)), 0);
	CHECK_EQ(os_fork_generation(), generation);
}
