/* SPDX-License-Identifier: MIT */
/*
 * Fault cases of what the other tables do with objects long in use: segments whose roster this process has not yet attached, and waits
 * and watches on processes and prefetches.
 */
#include "faults.h"

#include <pthread.h>
#include <unistd.h>

/* ---- a segment in which nobody takes part yet ---- */

static struct objects *fresh(struct run *run)
{
	return stoa_segment_address(run->fresh);
}

static void make_fresh(struct run *run)
{
	const struct stoa_segment_options options = {.commit = sizeof(struct objects), .roster_slots = 4};

	CHECK_RC(stoa_segment_create(NULL, RESERVE, &options, &run->fresh), 0);
	CHECK_RC(stoa_mutex_init(run->fresh, &fresh(run)->mutex, 0), 0);
	CHECK_RC(stoa_event_init(run->fresh, &fresh(run)->event, 0), 0);
	CHECK_RC(stoa_semaphore_init(run->fresh, &fresh(run)->semaphore, 0, 10), 0);
}

static void make_fresh_set(struct run *run)
{
	make_fresh(run);
	CHECK_RC(stoa_event_init(run->fresh, &fresh(run)->event, STOA_SIGNALED), 0);
	CHECK_RC(stoa_semaphore_init(run->fresh, &fresh(run)->semaphore, 1, 10), 0);
}

/* Nothing was taken or given by a call that failed. */
static void expect_state(struct run *run, int result, int unless_failed, int failed)
{
	struct objects *objects = fresh(run);
	int expected = result < 0 ? failed : unless_failed;

	CHECK_RC(stoa_event_wait(run->fresh, &objects->event, STOA_TRY), expected);
	CHECK_RC(stoa_semaphore_wait(run->fresh, &objects->semaphore, STOA_TRY), expected);
	stoa_segment_close(run->fresh);
}

static void close_fresh(struct run *run, int result)
{
	(void)result;
	stoa_segment_close(run->fresh);
}

static void expect_unset(struct run *run, int result)
{
	expect_state(run, result, STOA_TIMED_OUT, STOA_TIMED_OUT);
}

static void expect_taken(struct run *run, int result)
{
	expect_state(run, result, STOA_TIMED_OUT, 0);
}

static int lock_fresh(struct run *run)
{
	return stoa_mutex_lock(run->fresh, &fresh(run)->mutex, STOA_TRY);
}

static void unlock_fresh(struct run *run, int result)
{
	CHECK_RC(stoa_mutex_unlock(run->fresh, &fresh(run)->mutex), result ? -STOA_ENOTOWNER : 0);
	stoa_segment_close(run->fresh);
}

/* Who has never taken part holds nothing. */
static int unlock_unheld(struct run *run)
{
	int result = stoa_mutex_unlock(run->fresh, &fresh(run)->mutex);

	CHECK_INT(result, <, 0);
	return result == -STOA_ENOTOWNER ? 0 : result;
}

static int set_fresh(struct run *run)
{
	return stoa_event_set(run->fresh, &fresh(run)->event);
}

static int reset_fresh(struct run *run)
{
	return stoa_event_reset(run->fresh, &fresh(run)->event);
}

static void expect_set(struct run *run, int result)
{
	CHECK_RC(stoa_event_wait(run->fresh, &fresh(run)->event, STOA_TRY), result ? STOA_TIMED_OUT : 0);
	stoa_segment_close(run->fresh);
}

static int wait_fresh(struct run *run)
{
	return stoa_event_wait(run->fresh, &fresh(run)->event, stoa_deadline_in(1000000));
}

static int post_fresh(struct run *run)
{
	return stoa_semaphore_post(run->fresh, &fresh(run)->semaphore, 1);
}

static void expect_posted(struct run *run, int result)
{
	CHECK_RC(stoa_semaphore_wait(run->fresh, &fresh(run)->semaphore, STOA_TRY), result ? STOA_TIMED_OUT : 0);
	stoa_segment_close(run->fresh);
}

static int wait_fresh_semaphore(struct run *run)
{
	return stoa_semaphore_wait(run->fresh, &fresh(run)->semaphore, stoa_deadline_in(1000000));
}

static void fresh_set(struct run *run, struct stoa_waitable *set)
{
	set[0] = (struct stoa_waitable){run->fresh, &fresh(run)->event, STOA_WAIT_EVENT, 0};
	set[1] = (struct stoa_waitable){run->fresh, &fresh(run)->semaphore, STOA_WAIT_SEMAPHORE, 0};
}

static int any_fresh(struct run *run)
{
	struct stoa_waitable set[2];

	fresh_set(run, set);
	return stoa_wait_any(set, 2, stoa_deadline_in(1000000), &run->ret.index);
}

static int all_fresh(struct run *run)
{
	struct stoa_waitable set[2];

	fresh_set(run, set);
	return stoa_wait_all(set, 2, stoa_deadline_in(1000000), &run->ret.index);
}

static int watch_fresh(struct run *run)
{
	struct stoa_waitable set[2];

	fresh_set(run, set);
	return stoa_watch_open(&set[1], &run->ret.watch);
}

static void make_fresh_watch(struct run *run)
{
	make_fresh(run);
	CHECK_RC(watch_fresh(run), 0);
}

static int arm(struct run *run)
{
	return stoa_watch_arm(run->ret.watch);
}

static int close_watch(struct run *run)
{
	stoa_watch_close(run->ret.watch);
	return 0;
}

static void close_watch_and_fresh(struct run *run, int result)
{
	if (result >= 0)
		stoa_watch_close(run->ret.watch);
	stoa_segment_close(run->fresh);
}

/* ---- a close that retires another thread's membership ---- */

static pthread_t member;
static _Atomic uint32_t stage; /* 1: it takes part; 2: it may end */

static void *take_part(void *argument)
{
	struct run *run = argument;

	CHECK_RC(stoa_mutex_lock(run->fresh, &fresh(run)->mutex, STOA_TRY), 0);
	CHECK_RC(stoa_mutex_unlock(run->fresh, &fresh(run)->mutex), 0);
	atomic_store(&stage, 1);
	test_await(&stage, 2);
	return NULL;
}

static void make_member(struct run *run)
{
	make_fresh(run);
	atomic_store(&stage, 0);
	CHECK_EQ(pthread_create(&member, NULL, take_part, run), 0);
	test_await(&stage, 1);
}

static int close_with_member(struct run *run)
{
	stoa_segment_close(run->fresh);
	return 0;
}

static void end_member(struct run *run, int result)
{
	(void)run, (void)result;
	atomic_store(&stage, 2);
	CHECK_EQ(pthread_join(member, NULL), 0);
}

/* ---- processes and prefetches ---- */

static void make_process(struct run *run)
{
	CHECK_RC(stoa_process_open(getpid(), &run->process), 0);
}

static void make_dead_process(struct run *run)
{
	pid_t child = fork();

	CHECK_SYS(child);
	if (!child)
		_exit(0);
	CHECK_RC(stoa_process_open(child, &run->process), 0);
	test_join(child);
}

static void close_process(struct run *run, int result)
{
	(void)result;
	stoa_process_close(run->process);
}

static int close_watched_process(struct run *run)
{
	stoa_process_close(run->process);
	return 0;
}

static int any_process(struct run *run)
{
	const struct stoa_waitable set[] = {{run->segment, &run->objects->event, STOA_WAIT_EVENT, 0},
					    {NULL, run->process, STOA_WAIT_PROCESS, 0}};

	return stoa_wait_any(set, 2, stoa_deadline_in(1000000), &run->ret.index);
}

static int any_dead_process(struct run *run)
{
	const struct stoa_waitable thing = {NULL, run->process, STOA_WAIT_PROCESS, 0};

	return stoa_wait_any(&thing, 1, STOA_FOREVER, &run->ret.index);
}

static void make_watched_process(struct run *run)
{
	make_process(run);
	CHECK_RC(any_process(run), STOA_TIMED_OUT);
}

static int all_process(struct run *run)
{
	const struct stoa_waitable set[] = {{run->segment, &run->objects->mutex, STOA_WAIT_MUTEX, 0},
					    {NULL, run->process, STOA_WAIT_PROCESS, 0}};

	return stoa_wait_all(set, 2, stoa_deadline_in(1000000), &run->ret.index);
}

static int watch_process(struct run *run)
{
	const struct stoa_waitable thing = {NULL, run->process, STOA_WAIT_PROCESS, 0};

	return stoa_watch_open(&thing, &run->ret.watch);
}

static void close_watch_and_process(struct run *run, int result)
{
	if (result >= 0)
		stoa_watch_close(run->ret.watch);
	stoa_process_close(run->process);
}

static void make_prefetch(struct run *run)
{
	CHECK_RC(stoa_segment_prefetch(run->segment, 0, 65536, &run->prefetch), 0);
}

static void close_prefetch(struct run *run, int result)
{
	(void)result;
	stoa_prefetch_close(run->prefetch);
}

static int any_prefetch(struct run *run)
{
	const struct stoa_waitable thing = {NULL, run->prefetch, STOA_WAIT_PREFETCH, 0};

	return stoa_wait_any(&thing, 1, STOA_FOREVER, &run->ret.index);
}

static int all_prefetch(struct run *run)
{
	const struct stoa_waitable thing = {NULL, run->prefetch, STOA_WAIT_PREFETCH, 0};

	return stoa_wait_all(&thing, 1, STOA_FOREVER, &run->ret.index);
}

static int watch_prefetch(struct run *run)
{
	const struct stoa_waitable thing = {NULL, run->prefetch, STOA_WAIT_PREFETCH, 0};

	return stoa_watch_open(&thing, &run->ret.watch);
}

static void close_watch_and_prefetch(struct run *run, int result)
{
	if (result >= 0)
		stoa_watch_close(run->ret.watch);
	stoa_prefetch_close(run->prefetch);
}

const struct fault_case wait_cases[] = {
	{"stoa_mutex_lock", OBJECT_ERRORS " EDEADLOCK", make_fresh, lock_fresh, unlock_fresh},
	{"stoa_mutex_unlock", OBJECT_ERRORS, make_fresh, unlock_unheld, close_fresh},
	{"stoa_event_set", OBJECT_ERRORS, make_fresh, set_fresh, expect_set},
	{"stoa_event_reset", OBJECT_ERRORS, make_fresh, reset_fresh, expect_unset},
	{"stoa_event_wait", OBJECT_ERRORS, make_fresh, wait_fresh, expect_unset},
	{"stoa_semaphore_post", OBJECT_ERRORS " EOVERFLOW", make_fresh, post_fresh, expect_posted},
	{"stoa_semaphore_wait", OBJECT_ERRORS, make_fresh, wait_fresh_semaphore, expect_unset},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", make_fresh, any_fresh, expect_unset},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", make_fresh, all_fresh, expect_unset},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", make_fresh_set, all_fresh, expect_taken},
	{"stoa_watch_open", OBJECT_ERRORS, make_fresh, watch_fresh, close_watch_and_fresh},
	{"stoa_watch_arm", "EINVAL", make_fresh_watch, arm, close_watch_and_fresh},
	{"stoa_watch_close", "", make_fresh_watch, close_watch, close_fresh},
	{"stoa_segment_close", "", make_member, close_with_member, end_member},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", make_process, any_process, close_process},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", make_dead_process, any_dead_process, close_process},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", make_process, all_process, close_process},
	{"stoa_process_close", "", make_watched_process, close_watched_process, NULL},
	{"stoa_watch_open", OBJECT_ERRORS, make_process, watch_process, close_watch_and_process},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", make_prefetch, any_prefetch, close_prefetch},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", make_prefetch, all_prefetch, close_prefetch},
	{"stoa_watch_open", OBJECT_ERRORS, make_prefetch, watch_prefetch, close_watch_and_prefetch},
	{0},
};
