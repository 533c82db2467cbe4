/* SPDX-License-Identifier: MIT */
/*
 * R3, waiting for several things that are shared by name: for any of them, work or the death of who gives it; and for all of them, in
 * one step or not at all.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define SECOND UINT64_C(1000000000)

static struct stoa_waitable work = {.kind = STOA_WAIT_SEMAPHORE}, ready = {.kind = STOA_WAIT_EVENT};
static char name[2][64];

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "waits: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

/* As every process does it: whoever comes first makes them. */
static void open_by_name(void)
{
	struct stoa_semaphore *semaphore;
	struct stoa_event *event;

	check(stoa_semaphore_open(name[0], NULL, &work.segment, &semaphore), "open the semaphore");
	check(stoa_event_open(name[1], NULL, &ready.segment, &event), "open the event");
	work.object = semaphore;
	ready.object = event;
}

/* Gives three pieces of work, and is killed before it could say that this was all. */
static void giver(void)
{
	open_by_name();
	check(stoa_semaphore_post(work.segment, work.object, 3), "post");
	kill(getpid(), SIGKILL);
}

int main(void)
{
	struct stoa_waitable set[2];
	struct stoa_process *process;
	int pieces = 0, some, all, rest;
	size_t which;
	pid_t child;

	snprintf(name[0], sizeof(name[0]), "waits-%ld", (long)getpid());
	snprintf(name[1], sizeof(name[1]), "waits-%ld-event", (long)getpid());
	open_by_name();
	child = fork();
	if (child == 0)
		giver();
	check(stoa_process_open(child, &process), "the child");
	set[0] = work;
	set[1] = (struct stoa_waitable){.object = process, .kind = STOA_WAIT_PROCESS};
	while (check(stoa_wait_any(set, 2, STOA_FOREVER, &which), "wait for any") == 0 && which == 0)
		pieces++; /* of several that are there the first is taken: work before the end */
	printf("any: %d pieces of work, then the end of process %ld, which could not tell\n", pieces, (long)child);

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
