/* SPDX-License-Identifier: MIT */
/*
 * What operations use inside a world: helpers, waiting for what must come, and saying what went wrong. Uses libc only.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stepper.h"
#include "trace.h"

uint64_t step_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int step_bad(struct step_world *world, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!world->message[0])
		vsnprintf(world->message, STEP_MESSAGE_SIZE, format, arguments);
	va_end(arguments);
	return -1;
}

int step_helper(struct step_world *world, void (*body)(struct step_world *world))
{
	pid_t parent = getpid(), pid;

	if (world->helper_count == STEP_HELPERS_MAX)
		return step_bad(world, "more than %d helpers", STEP_HELPERS_MAX);
	pid = fork();
	if (pid < 0)
		return step_bad(world, "fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		body(world);
		_exit(0);
	}
	world->helpers[world->helper_count++] = pid;
	return (int)world->helper_count - 1;
}

static void short_pause(unsigned round)
{
	const struct timespec pause = {0, 100000};

	if (round < 50)
		sched_yield();
	else
		nanosleep(&pause, NULL);
}

bool step_asleep(const struct step_world *world, pid_t process)
{
	uint64_t end = step_now() + world->limit;
	unsigned asleep = 0;

	for (unsigned round = 0; step_now() < end; round++) {
		asleep = trace_state(process) == 'S' ? asleep + 1 : 0;
		if (asleep == 3)
			return true;
		short_pause(round);
	}
	return false;
}

bool step_asleep_or(const struct step_world *world, unsigned number, const _Atomic uint32_t *counter, uint32_t least)
{
	uint64_t end = step_now() + world->limit;
	unsigned asleep = 0;

	for (unsigned round = 0; step_now() < end; round++) {
		if (atomic_load(counter) >= least)
			return true;
		asleep = trace_state(world->helpers[number]) == 'S' ? asleep + 1 : 0;
		if (asleep == 5)
			return true;
		short_pause(round);
	}
	return false;
}

static bool is_quiet(pid_t process)
{
	char state = process > 0 ? trace_state(process) : 'Z';

	return state == 'S' || state == 'Z' || state == 'X' || state == '?';
}

bool step_all_quiet(const struct step_world *world)
{
	uint64_t end = step_now() + world->limit;
	unsigned quiet = 0;

	for (unsigned round = 0; step_now() < end; round++) {
		unsigned i = 0;

		while (i < world->helper_count && is_quiet(world->helpers[i]))
			i++;
		quiet = i == world->helper_count ? quiet + 1 : 0;
		if (quiet == 3)
			return true;
		short_pause(round);
	}
	return false;
}

bool step_reaches(const struct step_world *world, const _Atomic uint32_t *counter, uint32_t least)
{
	uint64_t end = step_now() + world->limit;

	for (unsigned round = 0; atomic_load(counter) < least; round++) {
		if (step_now() > end)
			return false;
		short_pause(round);
	}
	return true;
}

void step_kill_helper(struct step_world *world, unsigned number)
{
	if (number >= world->helper_count || world->helpers[number] <= 0)
		return;
	kill(world->helpers[number], SIGKILL);
	waitpid(world->helpers[number], NULL, 0);
	world->helpers[number] = 0;
}
