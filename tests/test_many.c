/* SPDX-License-Identifier: MIT */
/* Many at once: sleepers on one word in several processes, of whom each gets what is its own; words with as many owners as a wait takes. */
#include <sync/board.h>

#include <os/os.h>
#include <pthread.h>
#include <roster/roster.h>

#define PROCESSES 4
#define THREADS 8
#define ALL (PROCESSES * THREADS)

struct many {
	_Atomic uint32_t asleep; /* processes all of whose threads have begun to sleep */
	_Atomic uint32_t done, died, quit;
	uint64_t rescues;
	struct stoa_mutex mutexes[STOA_WAIT_MAX];
	_Atomic uint32_t owners, release[STOA_WAIT_MAX];
};

static struct many *many(void)
{
	return (void *)(board + 1);
}

static uint64_t sleeps(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	return stat.sleeps;
}

/* ---- the sleepers ---- */

static void *sleep_for_event(void *event)
{
	CHECK_RC(stoa_event_wait(segment, event, STOA_FOREVER), 0);
	atomic_fetch_add(&many()->done, 1);
	return NULL;
}

static void *sleep_for_semaphore(void *semaphore)
{
	CHECK_RC(stoa_semaphore_wait(segment, semaphore, STOA_FOREVER), 0);
	atomic_fetch_add(&many()->done, 1);
	return NULL;
}

static void *sleep_for_mutex(void *mutex)
{
	int rc = stoa_mutex_lock(segment, mutex, STOA_FOREVER);

	CHECK(rc >= 0);
	board->plain++;
	atomic_fetch_add(&many()->died, rc == STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, mutex), 0);
	atomic_fetch_add(&many()->done, 1);
	return NULL;
}

static void sleep_in_threads(void *(*body)(void *object), void *object)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		uint64_t before = sleeps();

		CHECK_EQ(pthread_create(&threads[i], NULL, body, object), 0);
		while (sleeps() == before)
			test_nap(1);
	}
	atomic_fetch_add(&many()->asleep, 1);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void for_manual_event(void *unused)
{
	(void)unused;
	sleep_in_threads(sleep_for_event, &board->manual);
}

static void for_event(void *unused)
{
	(void)unused;
	sleep_in_threads(sleep_for_event, &board->event);
}

static void for_semaphore(void *unused)
{
	(void)unused;
	sleep_in_threads(sleep_for_semaphore, &board->semaphore);
}

static void for_mutex(void *unused)
{
	(void)unused;
	sleep_in_threads(sleep_for_mutex, &board->mutex);
}

static pid_t roles[PROCESSES];

static void gather(void (*body)(void *unused))
{
	for (unsigned i = 0; i < PROCESSES; i++)
		roles[i] = test_role_start("sleepers", body, NULL);
	test_await(&many()->asleep, PROCESSES);
}

static void disperse(void)
{
	for (unsigned i = 0; i < PROCESSES; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&many()->done), ALL);
	tear_down();
}

/* System calls of this process that wake. */
static uint64_t wakes(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	return stat.wakes;
}

TEST_TIMEOUT(a_manual_event_wakes_all_by_one_call, 60)
{
	uint64_t before;

	set_up();
	gather(for_manual_event);
	before = wakes();
	CHECK_RC(stoa_event_set(segment, &board->manual), 0);
	CHECK_EQ(wakes(), before + 1);
	test_await(&many()->done, ALL);
	disperse();
}

TEST_TIMEOUT(each_set_of_an_automatic_event_wakes_one, 60)
{
	set_up();
	gather(for_event);
	for (uint32_t sets = 1; sets <= ALL; sets++) {
		uint64_t before = wakes();

		CHECK_RC(stoa_event_set(segment, &board->event), 0);
		CHECK_INT(wakes(), <=, before + 1);
		while (atomic_load(&many()->done) < sets)
			test_nap(1);
		CHECK_EQ(atomic_load(&many()->done), sets);
	}
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	disperse();
}

TEST_TIMEOUT(a_post_wakes_as_many_as_it_counts, 60)
{
	uint64_t before;

	set_up();
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 0, ALL), 0);
	gather(for_semaphore);
	for (uint32_t posted = 5; posted <= ALL; posted += 27) {
		before = wakes();
		CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, posted == 5 ? 5 : 27), 0);
		CHECK_EQ(wakes(), before + 1);
		while (atomic_load(&many()->done) < posted)
			test_nap(1);
		CHECK_EQ(atomic_load(&many()->done), posted);
	}
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), STOA_TIMED_OUT);
	disperse();
}

TEST_TIMEOUT(a_mutex_goes_from_one_to_the_next, 60)
{
	set_up();
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	gather(for_mutex);
	CHECK_EQ(atomic_load(&many()->done), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	test_await(&many()->done, ALL);
	CHECK_EQ(board->plain, ALL);
	CHECK_EQ(atomic_load(&many()->died), 0);
	disperse();
}

TEST_TIMEOUT(a_death_is_told_to_one_and_wakes_all, 60)
{
	pid_t owner;

	set_up();
	owner = test_role(hold_until_killed, NULL);
	test_await(&board->ready, 1);
	gather(for_mutex);
	test_kill(owner);
	test_await(&many()->done, ALL);
	CHECK_EQ(board->plain, ALL);
	CHECK_EQ(atomic_load(&many()->died), 1);
	disperse();
}

/* ---- as many owners as a wait takes: with their lives more than some systems wait for at once ---- */

enum release { HOLD, UNLOCK, END };

static void *own_one(void *number)
{
	size_t i = (size_t)(uintptr_t)number;

	CHECK_RC(stoa_mutex_init(segment, &many()->mutexes[i], STOA_OWNED), 0);
	atomic_fetch_add(&many()->owners, 1);
	while (atomic_load(&many()->release[i]) == HOLD)
		test_nap(1);
	if (atomic_load(&many()->release[i]) == END)
		return NULL;
	CHECK_RC(stoa_mutex_unlock(segment, &many()->mutexes[i]), 0);
	test_pause();
}

static void own_all(void *unused)
{
	pthread_t threads[STOA_WAIT_MAX];

	(void)unused;
	for (uintptr_t i = 0; i < STOA_WAIT_MAX; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, own_one, (void *)i), 0);
	test_pause();
}

static void list_mutexes(struct stoa_waitable set[STOA_WAIT_MAX])
{
	for (unsigned i = 0; i < STOA_WAIT_MAX; i++)
		set[i] = mutex_of(&many()->mutexes[i]);
}

static void wait_for_one(void *unused)
{
	struct stoa_waitable set[STOA_WAIT_MAX];
	size_t index = 77;

	(void)unused;
	list_mutexes(set);
	atomic_fetch_add(&board->ready, 1);
	atomic_store(&board->done, (uint32_t)stoa_wait_any(set, STOA_WAIT_MAX, STOA_FOREVER, &index));
	board->plain = index;
}

static void wait_for_all(void *unused)
{
	struct stoa_waitable set[STOA_WAIT_MAX];

	(void)unused;
	list_mutexes(set);
	atomic_fetch_add(&board->ready, 1);
	CHECK_RC(stoa_wait_all(set, STOA_WAIT_MAX, STOA_FOREVER, NULL), 0);
	board->plain = 99;
}

/* Asleep, if time serves. Where so many words are more than the system waits for at once, it looks again and again: no sleep to see. */
static void await_waiter(void)
{
	static uint32_t waiters;

	test_await(&board->ready, ++waiters);
	test_nap(100);
}

TEST_TIMEOUT(a_full_set_has_an_owner_for_each, 60)
{
	const struct {
		unsigned which;
		enum release how;
		int outcome;
	} cases[] = {
		{STOA_WAIT_MAX - 1, UNLOCK, 0},
		{0, UNLOCK, 0},
		{STOA_WAIT_MAX - 2, END, STOA_OWNER_DIED},
		{1, END, STOA_OWNER_DIED},
	};
	pid_t owners, waiter;

	set_up();
	owners = test_role(own_all, NULL);
	test_await(&many()->owners, STOA_WAIT_MAX);
	for (unsigned i = 0; i < CC_COUNT(cases); i++) {
		waiter = test_role(wait_for_one, NULL);
		await_waiter();
		atomic_store(&many()->release[cases[i].which], cases[i].how);
		CHECK_EQ(test_join(waiter), 0);
		CHECK_EQ(board->plain, cases[i].which);
		CHECK_EQ(atomic_load(&board->done), cases[i].outcome);
		/* It ended with that one; here it stays, for the next wait. */
		CHECK_RC(stoa_mutex_lock(segment, &many()->mutexes[cases[i].which], STOA_TRY), STOA_OWNER_DIED);
	}
	waiter = test_role(wait_for_all, NULL);
	await_waiter();
	for (unsigned i = STOA_WAIT_MAX; i--;)
		atomic_store(&many()->release[i], UNLOCK);
	for (unsigned i = 0; i < CC_COUNT(cases); i++)
		CHECK_RC(stoa_mutex_unlock(segment, &many()->mutexes[cases[i].which]), 0);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(board->plain, 99);
	test_kill(owners);
	tear_down();
}

/* 128 words: more than one call of some systems takes. Each is a wake-up, if perhaps not at once. */
static void sleep_on_all(void *unused)
{
	static struct os_wait_word words[OS_WAIT_WORDS_MAX];
	_Atomic uint32_t *first = (void *)(many() + 1);

	(void)unused;
	for (unsigned i = 0; i < OS_WAIT_WORDS_MAX; i++)
		words[i] = (struct os_wait_word){&first[i], 0, OS_WORD_WOKEN};
	while (!atomic_load(&first[board->rounds]))
		CHECK(os_wait(words, OS_WAIT_WORDS_MAX, UINT64_MAX) != OS_WAIT_TIMED_OUT);
}

TEST_TIMEOUT(each_of_128_words_wakes, 60)
{
	const unsigned which[] = {0, 61, 62, 64, OS_WAIT_WORDS_MAX - 1};
	_Atomic uint32_t *first;

	set_up();
	CHECK_RC(stoa_segment_commit(segment, 8192), 0);
	first = (void *)(many() + 1);
	for (unsigned i = 0; i < CC_COUNT(which); i++) {
		pid_t sleeper;

		board->rounds = which[i];
		sleeper = test_role(sleep_on_all, NULL);
		test_await_sleep(sleeper);
		atomic_store(&first[which[i]], 1);
		os_wake(&first[which[i]]);
		CHECK_EQ(test_join(sleeper), 0);
		atomic_store(&first[which[i]], 0);
	}
	tear_down();
}

/* ---- handles that close meanwhile ---- */

static _Atomic uint32_t waited;

static void wait_through(void *handle)
{
	CHECK_RC(stoa_event_wait(handle, stoa_segment_address(handle), STOA_FOREVER), 0);
	atomic_store(&waited, 1);
}

TEST(a_handle_closes_while_another_is_waited_through)
{
	struct stoa_segment *second;
	struct stoa_event *event;
	uint64_t before = sleeps();

	set_up();
	CHECK_RC(stoa_event_init(segment, stoa_segment_address(segment), 0), 0);
	second = open_again(segment);
	event = stoa_segment_address(second);
	CHECK_RC(os_thread_start("waiter", wait_through, second), 0);
	while (sleeps() == before)
		test_nap(1);
	tear_down();
	CHECK_RC(stoa_event_set(second, event), 0);
	test_await(&waited, 1);
	stoa_segment_close(second);
}

static void wait_and_tell(void *unused)
{
	struct stoa_wait_stat stat;

	(void)unused;
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), STOA_OWNER_DIED);
	stoa_wait_stat(&stat);
	many()->rescues = stat.rescues;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

static void *hold(void *unused)
{
	(void)unused;
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	atomic_store(&board->ready, 1);
	test_pause(); /* the board goes */
	return NULL;
}

static void close_under_a_holder(void *unused)
{
	struct stoa_segment *closed = segment;
	pthread_t thread;

	(void)unused;
	CHECK_EQ(pthread_create(&thread, NULL, hold, NULL), 0);
	test_await(&board->ready, 1);
	test_await(&many()->quit, 1);
	stoa_segment_close(closed);
	test_pause(); /* the holder lives */
}

/* Who closes the last handle lets go of what other threads of its process hold; that is told, and not found by looking again. */
TEST(a_close_under_a_holder_wakes)
{
	pid_t closer, waiter;

	set_up();
	many()->rescues = 77;
	closer = test_role(close_under_a_holder, NULL);
	test_await(&board->ready, 1);
	waiter = test_role(wait_and_tell, NULL);
	test_await_sleep(waiter);
	atomic_store(&many()->quit, 1);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(many()->rescues, 0);
	test_kill(closer);
	tear_down();
}

/* Nobody sleeps for its own end, but nothing is wrong with it either. */
TEST(a_thread_does_not_wake_of_its_own_life)
{
	struct os_wait_word words[2];
	_Atomic uint64_t *life;
	uint64_t self, word;

	set_up();
	CHECK_RC(roster_enrol(segment, &self), 0);
	life = &roster_page(segment->roster, (uint32_t)(self & ROSTER_SLOT_MASK))->life;
	word = atomic_load(life);
	words[0] = (struct os_wait_word){os_low_half(life), (uint32_t)word, OS_WORD_LIFE};
	words[1] = (struct os_wait_word){os_high_half(life), (uint32_t)(word >> 32), OS_WORD_COMPARED};
	CHECK_EQ(os_wait(words, 2, os_now() + SECOND / 50), OS_WAIT_TIMED_OUT);
	words[1].value++;
	CHECK_EQ(os_wait(words, 2, UINT64_MAX), OS_WAIT_CHANGED);
	tear_down();
}
