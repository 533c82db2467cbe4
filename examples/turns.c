/* SPDX-License-Identifier: MIT */
/*
 * R3, sharing by name: two processes that know only a name take a mutex, and one of them is killed while it holds it. The other
 * is told, repairs what the mutex guards, and goes on. (`stoa find` is the larger example.)
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

static struct stoa_segment *mutexes, *events;
static struct stoa_mutex *mutex;
static struct stoa_event *event;

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "turns: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

/* As both do it: whoever comes first makes them. */
static void open_by_name(const char *name)
{
	char event_name[80];

	snprintf(event_name, sizeof(event_name), "%s-event", name);
	check(stoa_mutex_open(name, NULL, &mutexes, &mutex), "open the mutex");
	check(stoa_event_open(event_name, NULL, &events, &event), "open the event");
}

/* Takes the mutex, says so by the event, and never gives the mutex back. */
static void victim(const char *name)
{
	open_by_name(name);
	check(stoa_mutex_lock(mutexes, mutex, STOA_FOREVER), "lock");
	printf("child:  I hold the mutex\n");
	fflush(stdout);
	check(stoa_event_set(events, event), "set");
	child_sleep();
}

int main(int argc, char **argv)
{
	uint64_t second = UINT64_C(1000000000), before, took;
	struct child child;
	char name[64];
	int result;

	if (argc > 1)
		victim(argv[1]);
	snprintf(name, sizeof(name), "turns-%llu", (unsigned long long)stoa_now());
	open_by_name(name);
	if (child_start(&child, name))
		return 1;
	result = check(stoa_event_wait(events, event, stoa_deadline_in(10 * second)), "wait for the child");
	if (result == STOA_TIMED_OUT)
		return 1;
	result = check(stoa_mutex_lock(mutexes, mutex, stoa_deadline_in(second / 10)), "lock with a deadline");
	printf("parent: 0.1 s later: %s\n", stoa_error_name(result));

	child_kill(&child);
	before = stoa_now();
	result = check(stoa_mutex_lock(mutexes, mutex, STOA_FOREVER), "lock");
	took = stoa_now() - before;
	printf("parent: killed it, and have the mutex %llu us later: %s (%s)\n", (unsigned long long)(took / 1000),
	       stoa_error_name(result), stoa_error_text(result));
	check(stoa_mutex_unlock(mutexes, mutex), "unlock");
	child_wait(&child);
	stoa_segment_close(events);
	stoa_segment_close(mutexes);
	return result == STOA_OWNER_DIED ? 0 : 1;
}
