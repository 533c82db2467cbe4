/* SPDX-License-Identifier: MIT */
/* Fault cases of mutexes, events, semaphores, waits, watches, and of looking at objects from outside. */
#include "faults.h"

#include <unistd.h>

/* ---- sync: in threads of their own, so that each run enrols anew ---- */

static int init_mutex(struct run *run)
{
	return stoa_mutex_init(run->segment, &run->objects->fresh_mutex, STOA_OWNED);
}

static int lock_mutex(struct run *run)
{
	return stoa_mutex_lock(run->segment, &run->objects->mutex, STOA_TRY);
}

static void lock_first(struct run *run)
{
	CHECK_INT(lock_mutex(run), >=, 0);
}

static int unlock_mutex(struct run *run)
{
	return stoa_mutex_unlock(run->segment, &run->objects->mutex);
}

static void unlock_again(struct run *run, int result)
{
	CHECK_RC(unlock_mutex(run), result ? 0 : -STOA_ENOTOWNER);
}

static void unlock_if_locked(struct run *run, int result)
{
	if (result >= 0 && result != STOA_TIMED_OUT)
		CHECK_RC(unlock_mutex(run), 0);
}

static int init_event(struct run *run)
{
	return stoa_event_init(run->segment, &run->objects->fresh_event, STOA_SIGNALED);
}

static int set_event(struct run *run)
{
	return stoa_event_set(run->segment, &run->objects->event);
}

static void set_back(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_event_reset(run->segment, &run->objects->event), 0);
}

static int reset_event(struct run *run)
{
	return stoa_event_reset(run->segment, &run->objects->event);
}

static int wait_event(struct run *run)
{
	return stoa_event_wait(run->segment, &run->objects->event, stoa_deadline_in(1000000));
}

static int init_semaphore(struct run *run)
{
	return stoa_semaphore_init(run->segment, &run->objects->fresh_semaphore, 1, 2);
}

static int post_semaphore(struct run *run)
{
	return stoa_semaphore_post(run->segment, &run->objects->semaphore, 1);
}

static void take_back(struct run *run, int result)
{
	CHECK_RC(stoa_semaphore_wait(run->segment, &run->objects->semaphore, STOA_TRY), result ? STOA_TIMED_OUT : 0);
}

static int wait_semaphore(struct run *run)
{
	return stoa_semaphore_wait(run->segment, &run->objects->semaphore, stoa_deadline_in(1000000));
}

static struct stoa_sync_options persistent(void)
{
	return (struct stoa_sync_options){.segment_flags = STOA_PERSISTENT, .flags = STOA_OWNED};
}

static int open_mutex(struct run *run)
{
	struct stoa_sync_options options = persistent();
	int result = stoa_mutex_open(run->name, &options, &run->ret.segment, &run->second.mutex);

	if (result < 0)
		CHECK_EQ(run->second.bits, UNTOUCHED);
	return result;
}

static int open_event(struct run *run)
{
	int result = stoa_event_open(run->name, NULL, &run->ret.segment, &run->second.event);

	if (result < 0)
		CHECK_EQ(run->second.bits, UNTOUCHED);
	return result;
}

static int open_semaphore(struct run *run)
{
	int result = stoa_semaphore_open(run->name, NULL, &run->ret.segment, &run->second.semaphore);

	if (result < 0)
		CHECK_EQ(run->second.bits, UNTOUCHED);
	return result;
}

/* ---- waiting ---- */

static void make_set(struct run *run, struct stoa_waitable *set)
{
	set[0] = (struct stoa_waitable){run->segment, &run->objects->mutex, STOA_WAIT_MUTEX, 0};
	set[1] = (struct stoa_waitable){run->segment, &run->objects->event, STOA_WAIT_EVENT, 0};
}

static int wait_any(struct run *run)
{
	struct stoa_waitable set[2];

	make_set(run, set);
	return stoa_wait_any(set + 1, 1, stoa_deadline_in(1000000), &run->ret.index);
}

static int wait_all(struct run *run)
{
	struct stoa_waitable set[2];

	make_set(run, set);
	return stoa_wait_all(set, 2, stoa_deadline_in(1000000), &run->ret.index);
}

static void set_first(struct run *run)
{
	CHECK_RC(set_event(run), 0);
}

static void all_back(struct run *run, int result)
{
	unlock_if_locked(run, result);
	CHECK_RC(reset_event(run), 0);
}

static int open_process(struct run *run)
{
	return stoa_process_open(getpid(), &run->ret.process);
}

static void close_process(struct run *run, int result)
{
	if (!result)
		stoa_process_close(run->ret.process);
}

static void make_process(struct run *run)
{
	CHECK_RC(open_process(run), 0);
}

static int exited(struct run *run)
{
	return stoa_process_exited(run->ret.process);
}

static int close_process_call(struct run *run)
{
	stoa_process_close(run->ret.process);
	return 0;
}

static void close_process_always(struct run *run, int result)
{
	(void)result;
	stoa_process_close(run->ret.process);
}

static int open_watch(struct run *run)
{
	const struct stoa_waitable thing = {run->segment, &run->objects->event, STOA_WAIT_EVENT, 0};

	return stoa_watch_open(&thing, &run->ret.watch);
}

static void close_watch(struct run *run, int result)
{
	if (!result)
		stoa_watch_close(run->ret.watch);
}

static void make_watch(struct run *run)
{
	CHECK_RC(open_watch(run), 0);
}

static int watch_descriptor(struct run *run)
{
	return stoa_watch_descriptor(run->ret.watch) < 0 ? -STOA_ESYSTEM : 0;
}

static int arm_watch(struct run *run)
{
	return stoa_watch_arm(run->ret.watch);
}

static int close_watch_call(struct run *run)
{
	stoa_watch_close(run->ret.watch);
	return 0;
}

static void close_watch_always(struct run *run, int result)
{
	(void)result;
	stoa_watch_close(run->ret.watch);
}

/* ---- inspecting ---- */

static int inspect(struct run *run)
{
	return stoa_inspect_open(run->taken, 0, &run->ret.inspector);
}

static void make_inspector(struct run *run)
{
	CHECK_RC(inspect(run), 0);
}

static void close_inspector(struct run *run, int result)
{
	if (!result)
		stoa_inspect_close(run->ret.inspector);
}

static void close_inspector_always(struct run *run, int result)
{
	(void)result;
	stoa_inspect_close(run->ret.inspector);
}

static int close_inspector_call(struct run *run)
{
	stoa_inspect_close(run->ret.inspector);
	return 0;
}

static int inspect_get(struct run *run)
{
	return stoa_inspect_get(run->ret.inspector, &run->big.inspection);
}

static int inspect_descriptor(struct run *run)
{
	return stoa_inspect_descriptor(run->ret.inspector) < 0 ? -STOA_ESYSTEM : 0;
}

/* The roster of a segment that nobody used is empty. */
static int inspect_member(struct run *run)
{
	int result = stoa_inspect_member(run->ret.inspector, 1, &run->big.member);

	return result == -STOA_ENOENT ? 0 : result;
}

static void ignore_report(void *argument, int severity, const char *sentence)
{
	(void)argument, (void)severity, (void)sentence;
}

static int inspect_check(struct run *run)
{
	return stoa_inspect_check(run->ret.inspector, ignore_report, NULL);
}

static int inspect_capabilities(struct run *run)
{
	return stoa_inspect_capabilities(&run->big.capabilities);
}

static int texts(struct run *run)
{
	struct stoa_wait_stat stat;

	(void)run;
	stoa_wait_stat(&stat);
	CHECK_STR(stoa_error_name(-STOA_EIO), "STOA_EIO");
	CHECK(stoa_error_text(-STOA_EIO)[0] && stoa_error_detail() && stoa_version()[0]);
	CHECK(stoa_now() <= stoa_deadline_in(1));
	CHECK(stoa_page_size() >= 4096);
	return 0;
}

/* This system has none: without a fault it says so, and that is as it should be. */
static int open_kernel(struct run *run)
{
	struct stoa_kernel *object = NULL;
	int result = stoa_kernel_open(run->name, STOA_KERNEL_EVENT, NULL, &object);

	CHECK(!object);
	return result == -STOA_ENOTSUP ? 0 : result;
}

static int make_section(struct run *run)
{
	int result = stoa_kernel_segment(run->name, RESERVE, 0, 0, &run->ret.segment);

	return result == -STOA_ENOTSUP ? 0 : result;
}

static int use_no_kernel(struct run *run)
{
	struct stoa_kernel *none = NULL;

	CHECK_RC(stoa_kernel_wait(none, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_wait_any(&none, 1, STOA_TRY, &run->ret.index), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_unlock(none), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_set(none), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_reset(none), -STOA_EINVAL);
	CHECK_RC(stoa_kernel_post(none, 1), -STOA_EINVAL);
	stoa_kernel_close(none);
	return 0;
}

const struct fault_case sync_cases[] = {
	{"stoa_mutex_init", OBJECT_ERRORS, NULL, init_mutex, NULL},
	{"stoa_mutex_lock", OBJECT_ERRORS " EDEADLOCK", NULL, lock_mutex, unlock_if_locked},
	{"stoa_mutex_unlock", "ENOTOWNER", lock_first, unlock_mutex, unlock_again},
	{"stoa_event_init", OBJECT_ERRORS, NULL, init_event, NULL},
	{"stoa_event_set", OBJECT_ERRORS, NULL, set_event, set_back},
	{"stoa_event_reset", OBJECT_ERRORS, NULL, reset_event, NULL},
	{"stoa_event_wait", OBJECT_ERRORS, NULL, wait_event, NULL},
	{"stoa_semaphore_init", OBJECT_ERRORS, NULL, init_semaphore, NULL},
	{"stoa_semaphore_post", OBJECT_ERRORS " EOVERFLOW", NULL, post_semaphore, take_back},
	{"stoa_semaphore_wait", OBJECT_ERRORS, NULL, wait_semaphore, NULL},
	{"stoa_mutex_open", BOTH_ERRORS " EUNCOMMITTED", NULL, open_mutex, close_and_unlink},
	{"stoa_event_open", BOTH_ERRORS " EUNCOMMITTED", NULL, open_event, close_ret},
	{"stoa_semaphore_open", BOTH_ERRORS " EUNCOMMITTED", NULL, open_semaphore, close_ret},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", NULL, wait_any, NULL},
	{"stoa_wait_any", OBJECT_ERRORS " EDEADLOCK", set_first, wait_any, set_back},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", NULL, wait_all, all_back},
	{"stoa_wait_all", OBJECT_ERRORS " EDEADLOCK", set_first, wait_all, all_back},
	{"stoa_process_open", "ENOENT EACCES", NULL, open_process, close_process},
	{"stoa_process_exited", "", make_process, exited, close_process_always},
	{"stoa_process_close", "", make_process, close_process_call, NULL},
	{"stoa_watch_open", "EINVAL ERIGHTS", NULL, open_watch, close_watch},
	{"stoa_watch_descriptor", "", make_watch, watch_descriptor, close_watch_always},
	{"stoa_watch_arm", "EINVAL", make_watch, arm_watch, close_watch_always},
	{"stoa_watch_close", "", make_watch, close_watch_call, NULL},
	{"stoa_inspect_open", OPEN_ERRORS, NULL, inspect, close_inspector},
	{"stoa_inspect_close", "", make_inspector, close_inspector_call, NULL},
	{"stoa_inspect_get", "EINVAL", make_inspector, inspect_get, close_inspector_always},
	{"stoa_inspect_descriptor", "", make_inspector, inspect_descriptor, close_inspector_always},
	{"stoa_inspect_member", "ENOENT EFORMAT", make_inspector, inspect_member, close_inspector_always},
	{"stoa_inspect_check", "EFORMAT EVERSION", make_inspector, inspect_check, close_inspector_always},
	{"stoa_inspect_capabilities", "", NULL, inspect_capabilities, NULL},
	{"stoa_kernel_open", "EINVAL ENOTSUP", NULL, open_kernel, NULL},
	{"stoa_kernel_segment", "EINVAL ENOTSUP", NULL, make_section, NULL},
	{"stoa_kernel_wait", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_wait_any", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_unlock", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_set", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_reset", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_post", "", NULL, use_no_kernel, NULL},
	{"stoa_kernel_close", "", NULL, use_no_kernel, NULL},
	{"stoa_page_size", "", NULL, texts, NULL},
	{"stoa_wait_stat", "", NULL, texts, NULL},
	{"stoa_now", "", NULL, texts, NULL},
	{"stoa_deadline_in", "", NULL, texts, NULL},
	{"stoa_error_name", "", NULL, texts, NULL},
	{"stoa_error_text", "", NULL, texts, NULL},
	{"stoa_error_detail", "", NULL, texts, NULL},
	{"stoa_version", "", NULL, texts, NULL},
	{0},
};
