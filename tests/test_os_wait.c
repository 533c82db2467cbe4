/* SPDX-License-Identifier: MIT */
/*
 * What the roster and the waits rely on in the system, each promise by name: a kernel that breaks one fails here first.
 */
#include <base/atomic.h>
#include <harness/test.h>
#include <os/os.h>

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* ---- sleeping and waking ---- */

struct board {
	_Atomic uint32_t words[4];
	_Atomic uint32_t ready;
	_Atomic uint32_t woken; /* the index that the sleeper got, + 10 */
	uint64_t cover;         /* which word the sleeper covers, + 1 */
};

static struct board *board;

static void sleeper(void *argument)
{
	unsigned count = *(unsigned *)argument;
	struct os_wait_word words[4];

	for (unsigned i = 0; i < count; i++)
		words[i] = (struct os_wait_word){&board->words[i], 0, OS_WORD_WOKEN};
	if (board->cover)
		(void)os_wake_cover(&board->words[board->cover - 1]);
	atomic_store(&board->woken, (uint32_t)(os_wait(words, count, os_now() + 15 * SECOND) + 10));
}

static pid_t asleep(unsigned count)
{
	static unsigned counts[5] = {0, 1, 2, 3, 4};
	pid_t role = test_role(sleeper, &counts[count]);

	test_await_sleep(role);
	return role;
}

TEST(a_wait_compares_first_and_keeps_its_deadline)
{
	struct os_wait_word words[2];

	board = test_shared(sizeof(*board));
	words[0] = (struct os_wait_word){&board->words[0], 0, OS_WORD_WOKEN};
	words[1] = (struct os_wait_word){&board->words[1], 1, OS_WORD_WOKEN};
	CHECK_INT(os_wait(words, 2, UINT64_MAX), ==, OS_WAIT_CHANGED);
	CHECK_INT(os_wait(words + 1, 1, UINT64_MAX), ==, OS_WAIT_CHANGED);
	CHECK_INT(os_wait(words, 1, os_now() + SECOND / 100), ==, OS_WAIT_TIMED_OUT);
	words[1].value = 0;
	CHECK_INT(os_wait(words, 2, os_now() + SECOND / 100), ==, OS_WAIT_TIMED_OUT);
	CHECK_INT(os_wait(words, 2, 1), ==, OS_WAIT_TIMED_OUT);
}

TEST(a_wake_reaches_all_sleepers_in_all_processes)
{
	pid_t roles[3];

	board = test_shared(sizeof(*board));
	for (int i = 0; i < 3; i++)
		roles[i] = asleep((unsigned)i + 1);
	os_wake(&board->words[0]);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
}

/* The order of the words in a sleep is built on this. One call that wakes two words leaves the sleeper no time between. */
TEST(of_several_words_that_were_woken_the_last_is_reported)
{
	int if_zero = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0);
	pid_t role;

	board = test_shared(sizeof(*board));
	role = asleep(3);
	CHECK_EQ(syscall(SYS_futex, &board->words[0], FUTEX_WAKE_OP, 1, (void *)1, &board->words[2], if_zero), 2);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 12);
	role = asleep(3);
	CHECK_EQ(syscall(SYS_futex, &board->words[2], FUTEX_WAKE_OP, 1, (void *)1, &board->words[0], if_zero), 2);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 12);
}

TEST(a_sleep_takes_128_words)
{
	static struct os_wait_word words[OS_WAIT_WORDS_MAX];
	_Atomic uint32_t *many = test_shared(OS_WAIT_WORDS_MAX * sizeof(*many));
	struct futex_waitv too_many[OS_WAIT_WORDS_MAX + 1] = {{0}};

	if (!os_capabilities()->waits_on_many)
		SKIP("no futex_waitv(2)");
	for (unsigned i = 0; i < OS_WAIT_WORDS_MAX; i++)
		words[i] = (struct os_wait_word){&many[i], 0, OS_WORD_WOKEN};
	CHECK_INT(os_wait(words, OS_WAIT_WORDS_MAX, os_now() + SECOND / 100), ==, OS_WAIT_TIMED_OUT);
	words[OS_WAIT_WORDS_MAX - 1].value = 1;
	CHECK_INT(os_wait(words, OS_WAIT_WORDS_MAX, UINT64_MAX), ==, OS_WAIT_CHANGED);
	CHECK_EQ(syscall(SYS_futex_waitv, too_many, OS_WAIT_WORDS_MAX + 1, 0, NULL, CLOCK_MONOTONIC), -1);
	CHECK_EQ(errno, EINVAL);
	munmap((void *)many, OS_WAIT_WORDS_MAX * sizeof(*many));
}

/*
 * A word is compared after the sleeper was queued on those before it: who changes the second word and then wakes the first
 * is never missed, although no change shows in the first.
 */
struct race {
	_Atomic uint32_t first, second, round;
	unsigned rounds;
};

static void *change_and_wake(void *argument)
{
	struct race *race = argument;
	uint64_t random = 7;

	for (uint32_t round = 1; round <= race->rounds; round++) {
		while (atomic_load(&race->round) != round)
			os_yield();
		for (uint64_t spin = test_random(&random) % 3000; spin; spin--)
			cc_compiler_barrier();
		atomic_store(&race->second, round);
		os_wake(&race->first);
	}
	return NULL;
}

TEST(the_words_are_compared_in_their_order)
{
	static struct race race;
	pthread_t thread;

	if (!os_capabilities()->waits_on_many)
		SKIP("no futex_waitv(2)");
	race.rounds = test_rounds(20000, 500000);
	CHECK_EQ(pthread_create(&thread, NULL, change_and_wake, &race), 0);
	for (uint32_t round = 1; round <= race.rounds; round++) {
		struct os_wait_word words[] = {{&race.first, 0, OS_WORD_WOKEN},
					       {&race.second, round - 1, OS_WORD_WOKEN}};

		atomic_store(&race.round, round);
		CHECK(os_wait(words, 2, os_now() + 10 * SECOND) != OS_WAIT_TIMED_OUT);
		while (atomic_load(&race.second) != round)
			os_yield();
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
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

	board = test_shared(sizeof(*board));
	role = asleep(2);
	other = test_role(die_covering, NULL);
	while (!atomic_load(&board->ready))
		usleep(1000);
	test_kill(other);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	CHECK(os_probe_relay());
}

TEST(a_dying_sleeper_wakes_another)
{
	pid_t first, second;

	board = test_shared(sizeof(*board));
	board->cover = 1; /* the sleepers cover the word that they sleep on */
	first = asleep(2);
	second = asleep(2);
	test_kill(first);
	CHECK_EQ(test_join(second), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
}

TEST(uncovering_gives_back_what_was_covered)
{
	const void *none, *first;

	board = test_shared(sizeof(*board));
	none = os_wake_cover(&board->words[0]);
	first = os_wake_cover(&board->words[1]);
	CHECK(none == NULL);
	CHECK(first != NULL);
	os_wake_uncover(first);
	CHECK(os_wake_cover(&board->words[2]) == first);
	os_wake_uncover(none);
	CHECK(os_wake_cover(&board->words[0]) == NULL);
	os_wake_uncover(NULL);
}

/* ---- life words ---- */

static os_handle memory;
static _Atomic uint64_t *life_word;

static void set_up_life(void)
{
	void *page;

	board = test_shared(sizeof(*board));
	CHECK_RC(os_memory_create(OS_PAGE, 0, &memory), 0);
	CHECK_RC(os_memory_set_length(memory, OS_PAGE), 0);
	CHECK_RC(os_map(memory, 0, OS_PAGE, OS_READ | OS_WRITE, &page), 0);
	life_word = (_Atomic uint64_t *)(void *)((char *)page + OS_LIFE_OFFSET);
}

static void tear_down_life(void)
{
	CHECK_RC(os_unmap((char *)(uintptr_t)life_word - OS_LIFE_OFFSET, OS_PAGE), 0);
	os_handle_close(memory);
}

static struct os_life *enter(void)
{
	struct os_life *life;
	uint64_t word, seen = atomic_load(life_word);

	CHECK_RC(os_life_map(memory, 0, &life), 0);
	CHECK(os_life_enter(life, seen, &word));
	CHECK_EQ(word & OS_LIFE_ID, os_thread_id());
	CHECK_EQ(word >> 32, (seen >> 32) + 1);
	CHECK_EQ(word & OS_LIFE_WAITERS, seen & OS_LIFE_WAITERS);
	return life;
}

static void check_dead(uint32_t generation, uint32_t flags)
{
	CHECK_EQ(atomic_load(life_word), (uint64_t)generation << 32 | OS_LIFE_DIED | flags);
}

static void live(void *argument)
{
	(void)argument;
	(void)enter();
	atomic_store(&board->ready, 1);
	for (;;)
		pause();
}

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

static void wait_for_end(void *argument)
{
	uint64_t word = atomic_load(life_word);
	struct os_wait_word words[2] = {{os_low_half(life_word), (uint32_t)word, OS_WORD_LIFE},
					{os_high_half(life_word), (uint32_t)(word >> 32), OS_WORD_COMPARED}};

	(void)argument;
	atomic_store(&board->woken, (uint32_t)(os_wait(words, 2, os_now() + 15 * SECOND) + 10));
}

TEST(a_kill_marks_the_life_word_and_wakes)
{
	pid_t owner, waiter;

	set_up_life();
	owner = test_role(live, NULL);
	while (!atomic_load(&board->ready))
		usleep(1000);
	atomic_fetch_or(life_word, OS_LIFE_WAITERS);
	waiter = test_role(wait_for_end, NULL);
	test_await_sleep(waiter);
	test_kill(owner);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	check_dead(1, OS_LIFE_WAITERS);
	tear_down_life();
}

TEST(the_programs_own_robust_mutexes_are_left_alone)
{
	pthread_mutexattr_t robust;
	pthread_mutex_t *mutexes;
	pid_t role;

	set_up_life();
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
	tear_down_life();
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

	set_up_life();
	role = test_role(live_and_exec, NULL);
	while (!(atomic_load(life_word) & OS_LIFE_DIED))
		usleep(1000);
	check_dead(1, 0);
	test_kill(role);
	tear_down_life();
}

static void *live_in_a_thread(void *argument)
{
	*(struct os_life **)argument = enter();
	return NULL;
}

TEST(the_end_of_a_thread_marks_its_life_word)
{
	struct os_life *life;
	pthread_t thread;

	set_up_life();
	CHECK_EQ(pthread_create(&thread, NULL, live_in_a_thread, &life), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	check_dead(1, 0);
	os_life_unmap(life);
	tear_down_life();
}

TEST(leaving_and_retiring_mark_it_too)
{
	struct os_life *life;

	set_up_life();
	life = enter();
	os_life_leave(life, NULL);
	check_dead(1, 0);
	life = enter();
	CHECK_EQ(atomic_load(life_word) >> 32, 2);
	os_life_retire(life, NULL);
	check_dead(2, 0);
	os_life_leave(life, NULL);
	check_dead(2, 0);
	tear_down_life();
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

	set_up_life();
	life = enter();
	atomic_store(&life->identity, 7);
	CHECK_EQ(test_join(test_role(look_as_child, life)), 0);
	CHECK_EQ(atomic_load(life_word) & OS_LIFE_ID, os_thread_id());
	CHECK_EQ(atomic_load(&life->identity), 7);
	os_life_leave(life, NULL);
	tear_down_life();
}

TEST(a_taken_or_changed_slot_is_not_entered)
{
	struct os_life *life;
	uint64_t word = 99;

	set_up_life();
	atomic_store(life_word, (uint64_t)5 << 32 | 4242);
	CHECK_RC(os_life_map(memory, 0, &life), 0);
	CHECK(!os_life_enter(life, (uint64_t)5 << 32 | OS_LIFE_DIED, &word));
	CHECK_EQ(word, 99);
	CHECK_EQ(atomic_load(life_word), (uint64_t)5 << 32 | 4242);
	os_life_unmap(life);
	tear_down_life();
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

TEST(the_end_of_a_process_is_told_once)
{
	struct os_process_watch *watch;
	_Atomic uint32_t ends = 0;
	os_handle process;
	pid_t role = test_role(idle, NULL);

	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	CHECK_RC(os_process_open(role, &process), 0);
	CHECK_RC(os_process_watch(process, count_end, &ends, &watch), 0);
	CHECK(!os_process_ended(process));
	test_kill(role);
	test_await(&ends, 1);
	CHECK(os_process_ended(process));
	os_process_unwatch(watch);
	CHECK_EQ(atomic_load(&ends), 1);
	os_handle_close(process);
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

TEST(a_notifier_is_readable_until_cleared)
{
	struct pollfd descriptor = {.events = POLLIN};
	os_handle notifier;

	CHECK_RC(os_notifier_create(&notifier), 0);
	descriptor.fd = (int)notifier;
	CHECK_EQ(poll(&descriptor, 1, 0), 0);
	os_notifier_raise(notifier);
	os_notifier_raise(notifier);
	CHECK_EQ(poll(&descriptor, 1, 0), 1);
	os_notifier_clear(notifier);
	CHECK_EQ(poll(&descriptor, 1, 0), 0);
	os_handle_close(notifier);
}

static struct os_lock count_lock;
static uint64_t counted;

static void *count_up(void *argument)
{
	(void)argument;
	for (int i = 0; i < 20000; i++) {
		os_lock(&count_lock);
		counted++;
		os_unlock(&count_lock);
	}
	return NULL;
}

TEST(a_lock_of_the_process_excludes)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(counted, 60000);
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
