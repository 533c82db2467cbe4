/* SPDX-License-Identifier: MIT */
/* See system.h. */
#include <kill/system.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

const unsigned kills_each = 50;

const char *killer_name(void)
{
	return "SIGKILL";
}

void note_objects(const volatile void *address)
{
	(void)address;
}

/* Nothing but files, which the harness looks for. */
unsigned count_objects(void)
{
	return 0;
}

void slay(pid_t role)
{
	CHECK_SYS(kill(role, SIGKILL));
}

void halt(pid_t role)
{
	CHECK_SYS(kill(role, SIGSTOP));
	CHECK_SYS(waitpid(role, NULL, WUNTRACED));
}

void resume(pid_t role)
{
	CHECK_SYS(kill(role, SIGCONT));
}

void run_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}
