/* SPDX-License-Identifier: MIT */
/* R3, waiting for things shared by name: for any of them, work or the death of who gives it; and for all, in one step or not at all. */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

#define SECOND UINT64_C(1000000000)

static struct stoa_waitable work = {.kind = STOA_WAIT_SEMAPHORE}, ready = {.kind = STOA_WAIT_EVENT};

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "waits: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

/* As every process does it: whoever comes first makes them. */
static void open_by_name(const char *name)
{
	struct stoa_semaphore *semaphore;
	struct stoa_event *event;
	char event_name[80];

	snprintf(event_name, sizeof(event_name), "%s-event", name);
	check(stoa_semaphore_open(name, NULL, &work.segment, &semaphore), "open the semaphore");
	check(stoa_event_open(event_name, NULL, &ready.segment, &event), "open the event");
	work.object = semaphore;
	ready.object = event;
}

/* Gives three pieces of work, and ends as a crash would, before it could say that this was all. */
static void giver(const char *name)
{
	open_by_name(name);
	check(stoa_semaphore_post(work.segment, work.object, 3), "post");
	_Exit(1);
}

int main(int argc, char **argv)
{
	struct stoa_waitable set[2];
	struct stoa_process *process;
	int pieces = 0, some, all, rest;
	struct child child;
	char name[64];
	size_t which;

	if (argc > 1)
		giver(argv[1]);
	snprintf(name, sizeof(name), "waits-%llu", (unsigned long long)stoa_now());
	open_by_name(name);
	if (child_start(&child, name))
		return 1;
	check(stoa_process_open(child.id, &process), "the child");
	set[0] = work;
	set[1] = (struct stoa_waitable){.object = process, .kind = STOA_WAIT_PROCESS};
	while (check(stoa_wait_any(set, 2, STOA_FOREVER, &which), "wait for any") == 0 && which == 0)
		pieces++; /* of several that are there the first is taken: work before the end */
	printf("any: %d pieces of work, then the end of the child, which could not tell\n", pieces);

	set[1] = ready;
	check(stoa_semaphore_post(work.segment, work.object, 1), "post");
	some = check(stoa_wait_all(set, 2, stoa_deadline_in(SECOND / 10), NULL), "wait for all");
	printf("all: work is there, the event is not set: %s, and the work is still there\n", stoa_error_name(some));
	check(stoa_event_set(ready.segment, ready.object), "set");
	all = check(stoa_wait_all(set, 2, stoa_deadline_in(10 * SECOND), NULL), "wait for all");
	rest = check(stoa_semaphore_wait(work.segment, work.object, STOA_TRY), "look again");
	printf("all: both are there:  %s, and both are taken: %s\n", stoa_error_name(all), stoa_error_name(rest));
	stoa_process_close(process);
	stoa_segment_close(ready.segment);
	stoa_segment_close(work.segment);
	return pieces == 3 && some == STOA_TIMED_OUT && all == 0 && rest == STOA_TIMED_OUT ? 0 : 1;
}
