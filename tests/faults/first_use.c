/* SPDX-License-Identifier: MIT */
/*
 * What processes do that have not used the library before: more is set up then than ever again (hooks, keys, helper threads, the
 * exits' epoll descriptor). Each gives 0, or the error that it met, after which it has left nothing.
 */
#include "faults.h"

#include <stdio.h>
#include <unistd.h>

/* In a new segment with new objects: the event unset, the semaphore 0. */
static int with_objects(int (*body)(struct stoa_segment *segment, struct objects *objects))
{
	const struct stoa_segment_options options = {.commit = sizeof(struct objects), .roster_slots = 4};
	struct stoa_segment *segment;
	struct objects *objects;
	int rc = stoa_segment_create(NULL, 65536, &options, &segment);

	if (rc)
		return rc;
	objects = stoa_segment_address(segment);
	rc = stoa_mutex_init(segment, &objects->mutex, 0);
	if (!rc)
		rc = stoa_event_init(segment, &objects->event, 0);
	if (!rc)
		rc = stoa_semaphore_init(segment, &objects->semaphore, 0, 10);
	if (!rc)
		rc = body(segment, objects);
	stoa_segment_close(segment);
	return rc;
}

/* A wait that must time out. */
static int timed_out(int rc)
{
	return rc == STOA_TIMED_OUT ? 0 : rc ? rc : 1;
}

static uint64_t soon(void)
{
	return stoa_deadline_in(1000000);
}

static int mutex_body(struct stoa_segment *segment, struct objects *objects)
{
	int rc = stoa_mutex_lock(segment, &objects->mutex, STOA_FOREVER);

	return rc ? rc : stoa_mutex_unlock(segment, &objects->mutex);
}

static int event_body(struct stoa_segment *segment, struct objects *objects)
{
	int rc = stoa_event_set(segment, &objects->event);

	return rc ? rc : stoa_event_wait(segment, &objects->event, STOA_FOREVER);
}

static int event_asleep_body(struct stoa_segment *segment, struct objects *objects)
{
	return timed_out(stoa_event_wait(segment, &objects->event, soon()));
}

static int semaphore_body(struct stoa_segment *segment, struct objects *objects)
{
	int rc = stoa_semaphore_post(segment, &objects->semaphore, 1);

	return rc ? rc : stoa_semaphore_wait(segment, &objects->semaphore, STOA_FOREVER);
}

static int any_body(struct stoa_segment *segment, struct objects *objects)
{
	const struct stoa_waitable set[] = {{segment, &objects->event, STOA_WAIT_EVENT, 0},
					    {segment, &objects->mutex, STOA_WAIT_MUTEX, 0}};
	size_t index = 2;
	int rc = stoa_wait_any(set, 2, soon(), &index);

	if (rc < 0)
		return index == 2 ? rc : 1;
	return index == 1 ? stoa_mutex_unlock(segment, &objects->mutex) : 1;
}

static int all_body(struct stoa_segment *segment, struct objects *objects)
{
	const struct stoa_waitable set[] = {{segment, &objects->event, STOA_WAIT_EVENT, 0},
					    {segment, &objects->semaphore, STOA_WAIT_SEMAPHORE, 0}};
	size_t index = 2;
	int rc = timed_out(stoa_wait_all(set, 2, soon(), &index));

	return index == 2 ? rc : 1;
}

static int watch_body(struct stoa_segment *segment, struct objects *objects)
{
	const struct stoa_waitable thing = {segment, &objects->event, STOA_WAIT_EVENT, 0};
	struct stoa_watch *watch;
	int rc = stoa_watch_open(&thing, &watch);

	if (rc)
		return rc;
	rc = stoa_watch_arm(watch);
	stoa_watch_close(watch);
	return rc;
}

static int use_mutex(void)
{
	return with_objects(mutex_body);
}

static int use_event(void)
{
	return with_objects(event_body);
}

static int use_event_asleep(void)
{
	return with_objects(event_asleep_body);
}

static int use_semaphore(void)
{
	return with_objects(semaphore_body);
}

static int use_any(void)
{
	return with_objects(any_body);
}

static int use_all(void)
{
	return with_objects(all_body);
}

static int use_watch(void)
{
	return with_objects(watch_body);
}

static int with_process(int64_t id, int (*body)(struct stoa_process *process))
{
	struct stoa_process *process;
	int rc = stoa_process_open(id, &process);

	if (rc)
		return rc;
	rc = body(process);
	stoa_process_close(process);
	return rc;
}

static int process_asleep_body(struct stoa_process *process)
{
	const struct stoa_waitable thing = {NULL, process, STOA_WAIT_PROCESS, 0};
	size_t index;

	return timed_out(stoa_wait_any(&thing, 1, soon(), &index));
}

static int process_end_body(struct stoa_process *process)
{
	const struct stoa_waitable thing = {NULL, process, STOA_WAIT_PROCESS, 0};
	size_t index;

	return stoa_wait_any(&thing, 1, STOA_FOREVER, &index);
}

static int process_watch_body(struct stoa_process *process)
{
	const struct stoa_waitable thing = {NULL, process, STOA_WAIT_PROCESS, 0};
	struct stoa_watch *watch;
	int rc = stoa_watch_open(&thing, &watch);

	if (!rc)
		stoa_watch_close(watch);
	return rc;
}

static int use_process(void)
{
	return with_process(getpid(), process_asleep_body);
}

/* It ends while it is waited for, most times: whatever fails, the wait ends. */
static int use_process_end(void)
{
	pid_t child = fork();
	int rc;

	if (!child) {
		usleep(5000);
		_exit(0);
	}
	rc = with_process(child, process_end_body);
	test_join(child);
	return rc;
}

static int use_process_watch(void)
{
	return with_process(getpid(), process_watch_body);
}

static int use_prefetch(void)
{
	const struct stoa_segment_options options = {.commit = 65536};
	struct stoa_segment *segment;
	struct stoa_prefetch *prefetch;
	size_t index;
	int rc = stoa_segment_create(NULL, 65536, &options, &segment);

	if (rc)
		return rc;
	rc = stoa_segment_prefetch(segment, 0, 65536, &prefetch);
	if (!rc) {
		rc = stoa_wait_any(&(struct stoa_waitable){NULL, prefetch, STOA_WAIT_PREFETCH, 0}, 1, STOA_FOREVER,
				   &index);
		stoa_prefetch_close(prefetch);
	}
	stoa_segment_close(segment);
	return rc;
}

/* The user's directory of names is made as well. */
static int use_name(void)
{
	struct stoa_segment *segment;
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/dev/shm/stoa.%u", (unsigned)geteuid());
	(void)rmdir(path);
	rc = stoa_segment_create(test_name("first"), 65536, NULL, &segment);
	if (!rc)
		stoa_segment_close(segment);
	return rc;
}

#define WAIT_ERRORS CREATE_ERRORS " " OBJECT_ERRORS " EDEADLOCK ENOENT EACCES"

const struct first_use first_uses[] = {
	{"stoa_mutex_lock", WAIT_ERRORS, use_mutex},
	{"stoa_event_set", WAIT_ERRORS, use_event},
	{"stoa_event_wait", WAIT_ERRORS, use_event_asleep},
	{"stoa_semaphore_post", WAIT_ERRORS, use_semaphore},
	{"stoa_wait_any", WAIT_ERRORS, use_any},
	{"stoa_wait_all", WAIT_ERRORS, use_all},
	{"stoa_watch_open", WAIT_ERRORS, use_watch},
	{"stoa_wait_any on a process", WAIT_ERRORS, use_process},
	{"stoa_wait_any on a death", WAIT_ERRORS, use_process_end},
	{"stoa_watch_open on a process", WAIT_ERRORS, use_process_watch},
	{"stoa_wait_any on a prefetch", WAIT_ERRORS, use_prefetch},
	{"stoa_segment_create of a name", CREATE_ERRORS, use_name},
	{0},
};
