/* SPDX-License-Identifier: MIT */
/*
 * ptrace(2) of one victim. The hard idea: a point is reached fast by a breakpoint and a count of visits instead of by
 * single steps, and a victim that sleeps in the kernel is told from one that is merely slow by its state.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stepper.h"

static pid_t victim, victim_thread;

bool trace_me(void)
{
	victim = getpid();
	victim_thread = (pid_t)syscall(SYS_gettid);
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

/* One system call, the last of the recorded run. */
void trace_mark(void)
{
	syscall(SYS_tgkill, victim, victim_thread, SIGSTOP);
}

bool trace_begin(struct trace *trace, pid_t pid)
{
	char path[64];

	trace->pid = pid;
	trace->memory = -1;
	if (trace_wait(trace, false, 0) != TRACE_MARK)
		return false;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	trace->memory = open(path, O_RDWR | O_CLOEXEC);
	return trace->memory >= 0;
}

uint64_t trace_ip(const struct trace *trace)
{
	long value;

	errno = 0;
	value = ptrace(PTRACE_PEEKUSER, trace->pid, (void *)offsetof(struct user_regs_struct, rip), NULL);
	return errno ? 0 : (uint64_t)value;
}

static bool set_ip(const struct trace *trace, uint64_t ip)
{
	return ptrace(PTRACE_POKEUSER, trace->pid, (void *)offsetof(struct user_regs_struct, rip),
		      (void *)(uintptr_t)ip) == 0;
}

bool trace_at_system_call(const struct trace *trace, uint64_t ip)
{
	unsigned char bytes[2];

	return pread(trace->memory, bytes, 2, (off_t)ip) == 2 && bytes[0] == 0x0f && bytes[1] == 0x05;
}

bool trace_step(struct trace *trace)
{
	return ptrace(PTRACE_SINGLESTEP, trace->pid, NULL, NULL) == 0;
}

bool trace_go(struct trace *trace)
{
	return ptrace(PTRACE_CONT, trace->pid, NULL, NULL) == 0;
}

char trace_state(pid_t pid)
{
	char path[64], text[512], *end;
	ssize_t got;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return '?';
	got = read(file, text, sizeof(text) - 1);
	close(file);
	if (got <= 0)
		return '?';
	text[got] = 0;
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : '?';
}

static enum trace_stop stop_kind(int status)
{
	if (!WIFSTOPPED(status))
		return TRACE_ENDED;
	if (WSTOPSIG(status) == SIGTRAP)
		return TRACE_STEPPED;
	return WSTOPSIG(status) == SIGSTOP ? TRACE_MARK : TRACE_CRASHED;
}

enum trace_stop trace_wait(struct trace *trace, bool may_sleep, uint64_t limit)
{
	const struct timespec pause = {0, 100000};
	uint64_t start = may_sleep ? step_now() : 0;
	unsigned asleep = 0;

	for (;;) {
		pid_t got = waitpid(trace->pid, &trace->status, __WALL | (may_sleep ? WNOHANG : 0));
		uint64_t spent;

		if (got == trace->pid)
			return stop_kind(trace->status);
		if (got < 0 && errno != EINTR)
			return TRACE_ENDED;
		if (!may_sleep)
			continue;
		spent = step_now() - start;
		if (spent < 200000) {
			sched_yield();
			continue;
		}
		asleep = trace_state(trace->pid) == 'S' ? asleep + 1 : 0;
		if (asleep >= 4 || (limit && spent > limit))
			return TRACE_ASLEEP;
		nanosleep(&pause, NULL);
	}
}

static enum trace_stop wait_awake(struct trace *trace, uint64_t limit, bool (*asleep)(void *argument), void *argument)
{
	enum trace_stop stop;

	do
		stop = trace_wait(trace, true, limit);
	while (stop == TRACE_ASLEEP && asleep(argument));
	return stop;
}

enum trace_stop trace_run_to(struct trace *trace, uint64_t ip, uint32_t visit, uint64_t limit,
			     bool (*asleep)(void *argument), void *argument)
{
	const unsigned char trap = 0xcc;
	unsigned char original;
	enum trace_stop stop = TRACE_STEPPED;

	if (pread(trace->memory, &original, 1, (off_t)ip) != 1)
		return TRACE_ENDED;
	if (trace_ip(trace) == ip && --visit == 0)
		return TRACE_STEPPED;
	for (;;) {
		/* Off the breakpoint first; one step may come back to it (a repeated string instruction). */
		if (trace_ip(trace) == ip) {
			if (!trace_step(trace))
				return TRACE_ENDED;
			stop = wait_awake(trace, limit, asleep, argument);
			if (stop != TRACE_STEPPED)
				return stop;
			if (trace_ip(trace) == ip && --visit == 0)
				return TRACE_STEPPED;
			if (trace_ip(trace) == ip)
				continue;
		}
		if (pwrite(trace->memory, &trap, 1, (off_t)ip) != 1 || !trace_go(trace))
			return TRACE_ENDED;
		stop = wait_awake(trace, limit, asleep, argument);
		if (stop == TRACE_ASLEEP || stop == TRACE_ENDED)
			return stop;
		if (pwrite(trace->memory, &original, 1, (off_t)ip) != 1)
			return TRACE_ENDED;
		if (stop != TRACE_STEPPED)
			return stop;
		set_ip(trace, ip);
		if (--visit == 0)
			return TRACE_STEPPED;
	}
}

void trace_kill(struct trace *trace)
{
	kill(trace->pid, SIGKILL);
	while (waitpid(trace->pid, &trace->status, __WALL) == trace->pid &&
	       !(WIFEXITED(trace->status) || WIFSIGNALED(trace->status)))
		;
	if (trace->memory >= 0)
		close(trace->memory);
	trace->memory = -1;
}
