/* SPDX-License-Identifier: MIT */
/* Mutex, event and semaphore: what each call promises, between real processes. Deaths are in test_death.c. */
#include <sync/board.h>

#include <pthread.h>
#include <stdlib.h>

/* ---- mutex ---- */

TEST(mutex_misuse_is_an_error)
{
	struct stoa_mutex *outside = malloc(sizeof(*outside));

	set_up();
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), -STOA_ENOTOWNER);
	CHECK(strstr(stoa_error_detail(), "does not hold"));
	CHECK_SAYS(stoa_mutex_init(segment, outside, 0), -STOA_EINVAL,
		   "lies outside this segment's data (an object of another handle?)");
	CHECK_SAYS(stoa_mutex_init(segment, (void *)((char *)board + 4), 0), -STOA_EINVAL,
		   "offset 4 is not 8-byte aligned");
	CHECK_RC(stoa_mutex_init(segment, (void *)((char *)board + (1 << 20) - 8), 0), -STOA_EINVAL);
	CHECK_RC(stoa_mutex_init(segment, (void *)((char *)board + (1 << 19)), 0), -STOA_EUNCOMMITTED);
	CHECK_SAYS(stoa_mutex_init(segment, &board->mutex, STOA_MANUAL | 0x80), -STOA_EINVAL,
		   "a mutex does not take STOA_MANUAL|0x80");
	CHECK_SAYS(stoa_event_init(segment, &board->event, STOA_OWNED), -STOA_EINVAL,
		   "an event does not take STOA_OWNED");
	CHECK_SAYS(stoa_event_wait(segment, (void *)&board->mutex, STOA_TRY), -STOA_EFORMAT,
		   "the value at offset 0 is a mutex, not an event");
	CHECK_RC(stoa_semaphore_post(segment, (void *)&board->event, 1), -STOA_EFORMAT);
	CHECK_SAYS(stoa_event_set(NULL, &board->event), -STOA_EINVAL, "no segment was given");
	CHECK_RC(stoa_mutex_lock(NULL, &board->mutex, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_mutex_unlock(NULL, &board->mutex), -STOA_EINVAL);
	CHECK_RC(stoa_mutex_lock(segment, (void *)&board->event, STOA_TRY), -STOA_EFORMAT);
	CHECK_SAYS(stoa_mutex_lock(segment, (void *)&board->plain, STOA_TRY), -STOA_EFORMAT,
		   "no mutex was initialised at offset ");
	CHECK_SAYS(stoa_semaphore_post(segment, (void *)&board->plain, 1), -STOA_EFORMAT, "(stoa_semaphore_init)");
	CHECK_RC(stoa_mutex_lock(segment, outside, STOA_TRY), -STOA_EINVAL);
	CHECK_SAYS(stoa_event_set(segment, NULL), -STOA_EINVAL, "no object was given");
	free(outside);
	tear_down();
}

TEST(raw_segments_hold_no_mutexes)
{
	struct stoa_segment_options options = {.flags = STOA_RAW, .commit = 4096};
	struct stoa_mutex mutex;

	(void)mutex;
	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &segment), 0);
	CHECK_SAYS(stoa_mutex_init(segment, stoa_segment_address(segment), 0), -STOA_ENOTSUP, "this segment is raw");
	CHECK_RC(stoa_event_init(segment, stoa_segment_address(segment), 0), -STOA_ENOTSUP);
	tear_down();
}

static void lock_once(void *argument)
{
	int rc = stoa_mutex_lock(segment, &board->mutex, stoa_deadline_in(15 * SECOND));

	(void)argument;
	CHECK(rc == 0 || rc == STOA_OWNER_DIED);
	board->plain += rc == STOA_OWNER_DIED ? 1000 : 1;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

TEST(a_dead_owner_is_told_to_exactly_one)
{
	pid_t owner, waiters[8];
	struct stoa_wait_stat before, after;

	set_up();
	owner = test_role(hold_until_killed, NULL);
	test_await(&board->ready, 1);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, stoa_deadline_in(SECOND / 100)), STOA_TIMED_OUT);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), -STOA_ENOTOWNER);
	for (int i = 0; i < 8; i++) {
		waiters[i] = test_role(lock_once, NULL);
		test_await_sleep(waiters[i]);
	}
	test_kill(owner);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(test_join(waiters[i]), 0);
	CHECK_EQ(board->plain, 1007);
	stoa_wait_stat(&before);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	stoa_wait_stat(&after);
	CHECK_EQ(after.wakes, before.wakes); /* nobody sleeps: no system call */
	tear_down();
}

static void *lock_and_end(void *argument)
{
	CHECK_RC(stoa_mutex_lock(argument, &board->mutex, STOA_TRY), 0);
	return NULL;
}

TEST(a_thread_that_ends_abandons)
{
	pthread_t thread;

	set_up();
	CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, segment), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);

	tear_down();
}

TEST(two_handles_on_a_segment_are_one_membership)
{
	struct stoa_segment *second;
	int descriptor;

	set_up();
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &second), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(second, stoa_segment_address(second)), 0);
	CHECK_RC(stoa_mutex_lock(second, stoa_segment_address(second), STOA_TRY), 0);
	stoa_segment_close(second);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	tear_down();
}

static void add_many(void *argument)
{
	unsigned rounds = board->rounds;

	(void)argument;
	for (unsigned i = 0; i < rounds; i++) {
		CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
		board->plain++;
		CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	}
}

TEST_THREADS(the_mutex_excludes, 60)
{
	unsigned rounds = test_rounds(50000, 5000000);
	pid_t roles[4];

	set_up();
	board->rounds = rounds;
	for (int i = 0; i < 4; i++)
		roles[i] = test_role(add_many, NULL);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(board->plain, 4ull * rounds);
	tear_down();
}

/* A thread that takes part in another thread's segment, and then idles. */
static void *take_part(void *argument)
{
	_Atomic uint32_t *step = argument;

	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	atomic_store(step, 1);
	test_await(step, 2);
	return NULL;
}

/* The last handle lets go of everything, whoever else in the process took part. */
TEST(closing_abandons_what_other_threads_hold)
{
	_Atomic uint32_t step = 0;
	pthread_t thread;
	int descriptor;

	set_up();
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_EQ(pthread_create(&thread, NULL, take_part, &step), 0);
	test_await(&step, 1);
	tear_down();
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &segment), 0);
	board = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	atomic_store(&step, 2);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	tear_down();
}

static uint32_t alive(void)
{
	struct stoa_segment_stat stat;

	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	return stat.roster_alive;
}

static void take_part_until_killed(void *argument)
{
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	atomic_fetch_add(&board->ready, 1);
	(void)argument;
	test_pause();
}

TEST(the_threads_that_take_part_are_counted)
{
	pid_t roles[3];
	pthread_t thread;

	set_up();
	CHECK_EQ(alive(), 0);
	for (uint32_t i = 0; i < 3; i++) {
		roles[i] = test_role(take_part_until_killed, NULL);
		test_await(&board->ready, i + 1);
		CHECK_EQ(alive(), i + 1);
	}
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_EQ(alive(), 4);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, segment), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(alive(), 4);
	for (uint32_t i = 0; i < 3; i++) {
		test_kill(roles[i]);
		CHECK_EQ(alive(), 3 - i);
	}
	tear_down();
}

/* ---- the program's own robust mutexes, in the same list of the kernel's as ours ---- */

/* ---- event and semaphore ---- */

TEST(nobody_waits_so_nobody_is_woken)
{
	struct stoa_wait_stat before, after;

	set_up();
	stoa_wait_stat(&before);
	for (int i = 0; i < 3; i++) {
		CHECK_RC(stoa_event_set(segment, &board->event), 0);
		CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
		CHECK_RC(stoa_event_set(segment, &board->manual), 0);
		CHECK_RC(stoa_event_reset(segment, &board->manual), 0);
		CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), 0);
		CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), 0);
		CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
		CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	}
	stoa_wait_stat(&after);
	CHECK_EQ(after.wakes, before.wakes); /* system calls */
	CHECK_EQ(after.sleeps, before.sleeps);
	tear_down();
}

/* Nobody can tell that a sleeper has given up but who wakes it: once. */
TEST(who_gave_up_is_woken_once)
{
	struct stoa_wait_stat before, after;

	set_up();
	stoa_wait_stat(&before);
	CHECK_RC(stoa_event_wait(segment, &board->event, stoa_deadline_in(SECOND / 100)), STOA_TIMED_OUT);
	stoa_wait_stat(&after);
	CHECK_INT(after.sleeps, >, before.sleeps);
	CHECK_EQ(after.wakes, before.wakes);
	for (int i = 0; i < 3; i++) {
		CHECK_RC(stoa_event_set(segment, &board->event), 0);
		CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	}
	stoa_wait_stat(&after);
	CHECK_EQ(after.wakes, before.wakes + 1);
	tear_down();
}

static void answer(void *argument)
{
	unsigned rounds = board->rounds;

	(void)argument;
	for (unsigned i = 0; i < rounds; i++) {
		CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
		board->plain++; /* ordered by the events */
		CHECK_RC(stoa_event_set(segment, &board->reply), 0);
	}
}

TEST_THREADS(automatic_events_pass_the_turn, 60)
{
	unsigned rounds = test_rounds(5000, 500000);
	pid_t role;

	set_up();
	board->rounds = rounds;
	role = test_role(answer, NULL);
	for (unsigned i = 0; i < rounds; i++) {
		board->plain++;
		CHECK_RC(stoa_event_set(segment, &board->event), 0);
		CHECK_RC(stoa_event_wait(segment, &board->reply, STOA_FOREVER), 0);
		CHECK_EQ(board->plain, 2ull * (i + 1));
	}
	CHECK_EQ(test_join(role), 0);
	tear_down();
}

static void pass_manual(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_event_wait(segment, &board->manual, stoa_deadline_in(15 * SECOND)), 0);
	atomic_fetch_add(&board->done, 1);
}

TEST(a_manual_event_lets_all_pass_until_reset)
{
	pid_t roles[6];

	set_up();
	for (int i = 0; i < 6; i++) {
		roles[i] = test_role(pass_manual, NULL);
		test_await_sleep(roles[i]);
	}
	CHECK_EQ(atomic_load(&board->done), 0);
	CHECK_RC(stoa_event_set(segment, &board->manual), 0);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_TRY), 0);
	CHECK_RC(stoa_event_reset(segment, &board->manual), 0);
	CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_init(segment, &board->event, STOA_SIGNALED), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	tear_down();
}

TEST(semaphores_count_and_refuse_to_overflow)
{
	set_up();
	CHECK_SAYS(stoa_semaphore_init(segment, &board->semaphore, 11, 10), -STOA_EINVAL,
		   "initial 11 exceeds maximum 10");
	CHECK_SAYS(stoa_semaphore_init(segment, &board->semaphore, 0, 0), -STOA_EINVAL, "not 0");
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 0, STOA_SEMAPHORE_MAX + 1), -STOA_EINVAL);
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 2, 3), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), -STOA_EOVERFLOW);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, UINT32_MAX), -STOA_EOVERFLOW);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	for (int i = 0; i < 3; i++)
		CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), 0);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, stoa_deadline_in(SECOND / 100)), STOA_TIMED_OUT);
	tear_down();
}

static void take_many(void *argument)
{
	unsigned rounds = board->rounds;

	(void)argument;
	for (unsigned i = 0; i < rounds; i++)
		CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_FOREVER), 0);
	atomic_fetch_add(&board->done, rounds);
}

TEST_THREADS(every_post_is_taken_once, 60)
{
	unsigned rounds = test_rounds(5000, 500000);
	pid_t roles[3];

	set_up();
	board->rounds = rounds;
	for (int i = 0; i < 3; i++)
		roles[i] = test_role(take_many, NULL);
	for (unsigned posted = 0; posted < 3 * rounds;) {
		int rc = stoa_semaphore_post(segment, &board->semaphore, 1);

		CHECK(rc == 0 || rc == -STOA_EOVERFLOW);
		if (rc)
			os_yield();
		else
			posted++;
	}
	for (int i = 0; i < 3; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&board->done), 3 * rounds);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), STOA_TIMED_OUT);
	tear_down();
}

/* ---- by name ---- */

static void by_name(void *argument)
{
	const char *name = test_name("event");
	struct stoa_sync_options options = {.disposition = STOA_OPEN_ONLY, .rights = STOA_RIGHT_SIGNAL};
	struct stoa_segment *handle;
	struct stoa_event *event;

	(void)argument;
	CHECK_RC(stoa_event_open(name, &options, &handle, &event), STOA_EXISTED);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_set(handle, event), 0);
	stoa_segment_close(handle);
}

TEST(named_objects_meet_by_name_with_reduced_rights)
{
	const char *name = test_name("event");
	struct stoa_sync_options options = {.disposition = STOA_CREATE_ONLY};
	struct stoa_segment *handle, *other;
	struct stoa_event *event;
	struct stoa_mutex *mutex;
	pid_t role;

	CHECK_RC(stoa_event_open(name, &options, &handle, &event), 0);
	CHECK_SAYS(stoa_event_open(name, &options, &other, &event), -STOA_EEXIST, "event '");
	CHECK_SAYS(stoa_mutex_open(name, NULL, &other, &mutex), -STOA_EKIND, "mutex '");
	CHECK_RC(stoa_segment_open(name, NULL, &other), -STOA_EKIND);
	role = test_role(by_name, NULL);
	CHECK_RC(stoa_event_wait(handle, event, STOA_FOREVER), 0);
	CHECK_EQ(test_join(role), 0);
	memset(event, 0, sizeof(*event));
	options.disposition = STOA_OPEN_ONLY;
	CHECK_SAYS(stoa_event_open(name, &options, &other, &event), -STOA_EFORMAT, "event '");
	CHECK(strstr(stoa_error_detail(), "no event was initialised at offset 0 (stoa_event_init)"));
	stoa_segment_close(handle);
	CHECK_RC(stoa_event_open(name, &options, &handle, &event), -STOA_ENOENT);
}

TEST(named_objects_begin_as_their_creator_says)
{
	struct stoa_sync_options options = {.flags = STOA_OWNED};
	struct stoa_segment *mutexes, *again, *semaphores, *waiter;
	struct stoa_mutex *mutex, *same;
	struct stoa_semaphore *semaphore;

	CHECK_RC(stoa_mutex_open(test_name("m"), &options, &mutexes, &mutex), 0);
	CHECK_RC(stoa_mutex_open(test_name("m"), &options, &again, &same), STOA_EXISTED);
	CHECK_RC(stoa_mutex_lock(again, same, STOA_TRY), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_unlock(mutexes, mutex), 0);
	stoa_segment_close(again);
	stoa_segment_close(mutexes);
	options = (struct stoa_sync_options){.initial = 2, .maximum = 2};
	CHECK_RC(stoa_semaphore_open(test_name("s"), &options, &semaphores, &semaphore), 0);
	CHECK_RC(stoa_semaphore_post(semaphores, semaphore, 1), -STOA_EOVERFLOW);
	options.rights = STOA_RIGHT_WAIT;
	CHECK_RC(stoa_semaphore_open(test_name("s"), &options, &waiter, &semaphore), STOA_EXISTED);
	CHECK_RC(stoa_semaphore_wait(waiter, semaphore, STOA_TRY), 0);
	CHECK_RC(stoa_semaphore_post(waiter, semaphore, 1), -STOA_ERIGHTS);
	stoa_segment_close(waiter);
	stoa_segment_close(semaphores);
	options.rights = 0x10;
	CHECK_SAYS(stoa_semaphore_open(test_name("s"), &options, &waiter, &semaphore), -STOA_EINVAL,
		   "does not take 0x10");
	options = (struct stoa_sync_options){.segment_flags = STOA_RAW};
	CHECK_SAYS(stoa_semaphore_open(test_name("s"), &options, &waiter, &semaphore), -STOA_EINVAL,
		   "a named object does not take STOA_RAW");
	options = (struct stoa_sync_options){.disposition = 7};
	CHECK_SAYS(stoa_semaphore_open(test_name("s"), &options, &waiter, &semaphore), -STOA_EINVAL, "disposition 7");
}

TEST(named_events_begin_as_their_creator_says)
{
	struct stoa_sync_options options = {.flags = STOA_SIGNALED};
	struct stoa_segment *handle, *again;
	struct stoa_event *event, *same;

	CHECK_RC(stoa_event_open(test_name("set"), &options, &handle, &event), 0);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_open(test_name("set"), &options, &again, &same), STOA_EXISTED);
	CHECK_RC(stoa_event_wait(again, same, STOA_TRY), STOA_TIMED_OUT); /* the opener's flags mean nothing */
	stoa_segment_close(again);
	stoa_segment_close(handle);
	options.flags = STOA_MANUAL;
	CHECK_RC(stoa_event_open(test_name("manual"), &options, &handle, &event), 0);
	CHECK_RC(stoa_event_open(test_name("manual"), NULL, &again, &same), STOA_EXISTED);
	CHECK_RC(stoa_event_wait(again, same, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_set(handle, event), 0);
	CHECK_RC(stoa_event_wait(again, same, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), 0);
	stoa_segment_close(again);
	stoa_segment_close(handle);
	options.flags = STOA_MANUAL | STOA_SIGNALED;
	CHECK_RC(stoa_event_open(test_name("both"), &options, &handle, &event), 0);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), 0);
	CHECK_RC(stoa_event_wait(handle, event, STOA_TRY), 0);
	stoa_segment_close(handle);
	options.flags = STOA_OWNED;
	CHECK_SAYS(stoa_event_open(test_name("owned"), &options, &handle, &event), -STOA_EINVAL, "STOA_OWNED");
}

/* No kind of wait gets past a handle without the right to wait. */
static void check_no_waits(struct stoa_segment *handle, void *object, uint32_t kind)
{
	struct stoa_waitable thing = {handle, object, kind, 0};
	struct stoa_watch *watch;
	size_t index = 77;

	CHECK_SAYS(stoa_wait_any(&thing, 1, STOA_TRY, &index), -STOA_ERIGHTS, "thing 0 of the wait set: ");
	CHECK_SAYS(stoa_wait_all(&thing, 1, STOA_TRY, &index), -STOA_ERIGHTS, "thing 0 of the wait set: ");
	CHECK_EQ(index, 77);
	CHECK_RC(stoa_watch_open(&thing, &watch), -STOA_ERIGHTS);
}

TEST(reduced_rights_hold_in_every_wait)
{
	const char *mutexes = test_name("m"), *events = test_name("e");
	struct stoa_sync_options options = {.rights = 0};
	struct stoa_segment *mutex_handle, *event_handle, *reduced;
	struct stoa_mutex *mutex;
	struct stoa_event *event;
	struct stoa_waitable thing;

	CHECK_RC(stoa_mutex_open(mutexes, NULL, &mutex_handle, &mutex), 0);
	CHECK_RC(stoa_event_open(events, NULL, &event_handle, &event), 0);
	options.rights = STOA_RIGHT_SIGNAL;
	CHECK_RC(stoa_mutex_open(mutexes, &options, &reduced, &mutex), STOA_EXISTED);
	CHECK_RC(stoa_mutex_lock(reduced, mutex, STOA_TRY), -STOA_ERIGHTS);
	CHECK_RC(stoa_mutex_unlock(reduced, mutex), -STOA_ERIGHTS);
	check_no_waits(reduced, mutex, STOA_WAIT_MUTEX);
	stoa_segment_close(reduced);
	CHECK_RC(stoa_event_open(events, &options, &reduced, &event), STOA_EXISTED);
	CHECK_RC(stoa_event_set(reduced, event), 0);
	check_no_waits(reduced, event, STOA_WAIT_EVENT);
	stoa_segment_close(reduced);
	options.rights = STOA_RIGHT_WAIT;
	CHECK_RC(stoa_mutex_open(mutexes, &options, &reduced, &mutex), STOA_EXISTED);
	CHECK_RC(stoa_mutex_lock(reduced, mutex, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(reduced, mutex), 0);
	stoa_segment_close(reduced);
	CHECK_RC(stoa_event_open(events, &options, &reduced, &event), STOA_EXISTED);
	CHECK_RC(stoa_event_set(reduced, event), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_reset(reduced, event), -STOA_ERIGHTS);
	thing = (struct stoa_waitable){reduced, event, STOA_WAIT_EVENT, 0};
	CHECK_RC(stoa_wait_any(&thing, 1, STOA_TRY, NULL), 0); /* still set from above */
	stoa_segment_close(reduced);
	stoa_segment_close(event_handle);
	stoa_segment_close(mutex_handle);
}

TEST(a_read_only_handle_neither_waits_nor_signals)
{
	const struct stoa_segment_options options = {.commit = sizeof(struct board)},
					  reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *only;
	struct board *seen;

	CHECK_RC(stoa_segment_create(test_name("b"), 1 << 20, &options, &segment), 0);
	board = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_init(segment, &board->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &board->event, STOA_SIGNALED), 0);
	CHECK_RC(stoa_semaphore_init(segment, &board->semaphore, 1, 2), 0);
	CHECK_RC(stoa_segment_open(test_name("b"), &reader, &only), 0);
	seen = stoa_segment_address(only);
	CHECK_SAYS(stoa_mutex_lock(only, &seen->mutex, STOA_TRY), -STOA_ERIGHTS, "this handle is read-only");
	CHECK_RC(stoa_mutex_unlock(only, &seen->mutex), -STOA_ERIGHTS);
	CHECK_RC(stoa_mutex_init(only, &seen->mutex, 0), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_init(only, &seen->event, 0), -STOA_ERIGHTS);
	CHECK_RC(stoa_semaphore_init(only, &seen->semaphore, 0, 1), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_set(only, &seen->event), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_reset(only, &seen->event), -STOA_ERIGHTS);
	CHECK_RC(stoa_event_wait(only, &seen->event, STOA_TRY), -STOA_ERIGHTS);
	CHECK_RC(stoa_semaphore_post(only, &seen->semaphore, 1), -STOA_ERIGHTS);
	CHECK_RC(stoa_semaphore_wait(only, &seen->semaphore, STOA_TRY), -STOA_ERIGHTS);
	check_no_waits(only, &seen->mutex, STOA_WAIT_MUTEX);
	check_no_waits(only, &seen->event, STOA_WAIT_EVENT);
	check_no_waits(only, &seen->semaphore, STOA_WAIT_SEMAPHORE);
	stoa_segment_close(only);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	tear_down();
}

TEST(a_full_roster_is_an_error)
{
	struct stoa_segment_options options = {.commit = 4096, .roster_slots = 1};
	pid_t owner;

	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &segment), 0);
	share_board();
	CHECK_RC(stoa_mutex_init(segment, &board->mutex, 0), 0);
	owner = test_role(hold_until_killed, NULL);
	test_await(&board->ready, 1);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), -STOA_ELIMIT);
	test_kill(owner);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), STOA_OWNER_DIED);
	tear_down();
}
