/* SPDX-License-Identifier: MIT */
/* What the roster and the waits rely on in every system, each promise by name. What only one system promises has a file of its own. */
#include <os_wait/common.h>

/* ---- sleeping and waking ---- */

TEST(a_wait_compares_first_and_keeps_its_deadline)
{
	struct os_wait_word words[2];

	set_up();
	words[0] = (struct os_wait_word){&board->words[0], 0, OS_WORD_WOKEN};
	words[1] = (struct os_wait_word){&board->words[1], 1, OS_WORD_WOKEN};
	CHECK_INT(os_wait(words, 2, UINT64_MAX), ==, OS_WAIT_CHANGED);
	CHECK_INT(os_wait(words + 1, 1, UINT64_MAX), ==, OS_WAIT_CHANGED);
	CHECK_INT(os_wait(words, 1, os_now() + SECOND / 100), ==, OS_WAIT_TIMED_OUT);
	words[1].value = 0;
	CHECK_INT(os_wait(words, 2, os_now() + SECOND / 100), ==, OS_WAIT_TIMED_OUT);
	CHECK_INT(os_wait(words, 2, 1), ==, OS_WAIT_TIMED_OUT);
	tear_down();
}

TEST(a_wake_reaches_all_sleepers_in_all_processes)
{
	pid_t roles[3];

	set_up();
	for (int i = 0; i < 3; i++)
		roles[i] = asleep((unsigned)i + 1);
	os_wake(&board->words[0]);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	tear_down();
}

TEST(a_sleep_takes_128_words)
{
	static struct os_wait_word words[OS_WAIT_WORDS_MAX];
	static _Atomic uint32_t many[OS_WAIT_WORDS_MAX];

	if (!os_capabilities()->waits_on_many)
		SKIP("this system sleeps on one word at a time");
	for (unsigned i = 0; i < OS_WAIT_WORDS_MAX; i++)
		words[i] = (struct os_wait_word){&many[i], 0, OS_WORD_WOKEN};
	/* Where the system takes fewer at a time, a look comes in between. */
	for (uint64_t end = os_now() + SECOND / 100; os_now() < end;)
		CHECK_INT(os_wait(words, OS_WAIT_WORDS_MAX, end), <, 0);
	words[OS_WAIT_WORDS_MAX - 1].value = 1;
	CHECK_INT(os_wait(words, OS_WAIT_WORDS_MAX, UINT64_MAX), ==, OS_WAIT_CHANGED);
}

/*
 * A word is compared after the sleeper was queued on those before it: who changes the second word and then wakes the first
 * is never missed, although no change shows in the first.
 */
struct race {
	_Atomic uint32_t first, second, round, ended;
	unsigned rounds;
};

static void change_and_wake(void *argument)
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
	atomic_store(&race->ended, 1);
}

TEST_TIMEOUT(the_words_are_compared_in_their_order, 60)
{
	static struct race race;

	if (!os_capabilities()->waits_on_many)
		SKIP("this system sleeps on one word at a time");
	race.rounds = test_rounds(20000, 500000);
	CHECK_RC(os_thread_start("waker", change_and_wake, &race), 0);
	for (uint32_t round = 1; round <= race.rounds; round++) {
		struct os_wait_word words[] = {{&race.first, 0, OS_WORD_WOKEN},
					       {&race.second, round - 1, OS_WORD_WOKEN}};

		atomic_store(&race.round, round);
		CHECK(os_wait(words, 2, os_now() + 10 * SECOND) != OS_WAIT_TIMED_OUT);
		while (atomic_load(&race.second) != round)
			os_yield();
	}
	test_await(&race.ended, 1);
}

/* ---- life words ---- */

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

	set_up();
	owner = test_role(live, NULL);
	while (!atomic_load(&board->ready))
		test_nap(1);
	atomic_fetch_or(life_word, OS_LIFE_WAITERS);
	waiter = test_role(wait_for_end, NULL);
	test_await_sleep(waiter);
	test_kill(owner);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(atomic_load(&board->woken), 10);
	check_dead(1, OS_LIFE_WAITERS);
	tear_down();
}

static void live_in_a_thread(void *argument)
{
	*(struct os_life **)argument = enter();
}

TEST(the_end_of_a_thread_marks_its_life_word)
{
	static struct os_life *life;

	set_up();
	CHECK_RC(os_thread_start("owner", live_in_a_thread, &life), 0);
	while (!(os_life_look(life_word) & OS_LIFE_DIED))
		test_nap(1);
	check_dead(1, 0);
	os_life_unmap(life);
	tear_down();
}

TEST(leaving_and_retiring_mark_it_too)
{
	struct os_life *life;

	set_up();
	life = enter();
	os_life_leave(life, NULL);
	check_dead(1, 0);
	life = enter();
	CHECK_EQ(atomic_load(life_word) >> 32, 2);
	os_life_retire(life, &board->words[0]);
	check_dead(2, 0);
	os_life_leave(life, NULL);
	check_dead(2, 0);
	tear_down();
}

TEST(a_taken_or_changed_slot_is_not_entered)
{
	struct os_life *life;
	uint64_t word = 99;

	set_up();
	atomic_store(life_word, (uint64_t)5 << 32 | 4242);
	life = map_life();
	CHECK(!os_life_enter(life, (uint64_t)5 << 32 | OS_LIFE_DIED, &word));
	CHECK_EQ(word, 99);
	CHECK_EQ(atomic_load(life_word), (uint64_t)5 << 32 | 4242);
	os_life_unmap(life);
	tear_down();
}

/* ---- the rest ---- */

static void idle(void *argument)
{
	(void)argument;
	test_pause();
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

TEST(a_notifier_is_readable_until_cleared)
{
	os_handle notifier;

	CHECK_RC(os_notifier_create(&notifier), 0);
	CHECK(!test_readable(notifier, 0));
	os_notifier_raise(notifier);
	os_notifier_raise(notifier);
	CHECK(test_readable(notifier, 0));
	os_notifier_clear(notifier);
	CHECK(!test_readable(notifier, 0));
	os_handle_close(notifier);
}

static struct os_lock count_lock;
static uint64_t counted;

static void count_up(void *argument)
{
	for (int i = 0; i < 20000; i++) {
		os_lock(&count_lock);
		counted++;
		os_unlock(&count_lock);
	}
	atomic_fetch_add((_Atomic uint32_t *)argument, 1);
}

TEST(a_lock_of_the_process_excludes)
{
	static _Atomic uint32_t ended;

	for (int i = 0; i < 3; i++)
		CHECK_RC(os_thread_start("counter", count_up, (void *)&ended), 0);
	test_await(&ended, 3);
	CHECK_EQ(counted, 60000);
}
