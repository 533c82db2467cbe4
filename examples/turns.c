/* SPDX-License-Identifier: MIT */
/*
 * R3, sharing by name: two processes that know only a name take a mutex, and one of them is killed while it holds it. The other
 * is told, repairs what the mutex guards, and goes on. (`stoa find` is the larger example.)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

static char name[64], event_name[64];

static int check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "turns: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
	return result;
}

/* Takes the mutex, says so by the event, and never gives the mutex back. */
static void victim(void)
{
	struct stoa_segment *mutexes, *events;
	struct stoa_mutex *mutex;
	struct stoa_event *event;

	check(stoa_mutex_open(name, NULL, &mutexes, &mutex), "open the mutex");
	check(stoa_event_open(event_name, NULL, &events, &event), "open the event");
	check(stoa_mutex_lock(mutexes, mutex, STOA_FOREVER), "lock");
	printf("process %ld: I hold the mutex\n", (long)getpid());
	fflush(stdout);
	check(stoa_event_set(events, event), "set");
	for (;;)
		pause();
}

int main(void)
{
	uint64_t second = UINT64_C(1000000000), before, took;
	struct stoa_segment *mutexes, *events;
	struct stoa_mutex *mutex;
	struct stoa_event *event;
	pid_t child;
	int result;

	snprintf(name, sizeof(name), "turns-%ld", (long)getpid());
	snprintf(event_name, sizeof(event_name), "turns-%ld-event", (long)getpid());
	check(stoa_mutex_open(name, NULL, &mutexes, &mutex), "create the mutex");
	check(stoa_event_open(event_name, NULL, &events, &event), "create the event");
	child = fork();
	if (child == 0)
		victim();
	result = check(stoa_event_wait(events, event, stoa_deadline_in(10 * second)), "wait for the child");
	if (result == STOA_TIMED_OUT)
		return 1;
	result = check(stoa_mutex_lock(mutexes, mutex, stoa_deadline_in(second / 10)), "lock with a deadline");
	printf("process %ld: 0.1 s later: %s\n", (long)getpid(), stoa_error_name(result));

	kill(child, SIGKILL);
	before = stoa_now();
	result = check(stoa_mutex_lock(mutexes, mutex, STOA_FOREVER), "lock");
	took = stoa_now() - before;
	printf("process %ld: killed it, and have the mutex %llu us later: %s (%s)\n", (long)getpid(),
	       (unsigned long long)(took / 1000), stoa_error_name(result), stoa_error_text(result));
	check(stoa_mutex_unlock(mutexes, mutex), "unlock");
	waitpid(child, NULL, 0);
	stoa_segment_close(events);
	stoa_segment_close(mutexes);
	return result == STOA_OWNER_DIED ? 0 : 1;
}
