/* SPDX-License-Identifier: MIT */
/* One traced victim: start, step, run to a breakpoint, kill. Linux on x86-64. Used by stepper.c only. */
#ifndef TESTS_STEPPER_TRACE_H
#define TESTS_STEPPER_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum trace_stop {
	TRACE_STEPPED, /* at the next instruction, or at a breakpoint */
	TRACE_MARK,    /* at a marker */
	TRACE_ASLEEP,  /* not stopped: it sleeps in a system call */
	TRACE_ENDED,   /* gone */
	TRACE_CRASHED, /* a signal that nobody expected */
};

struct trace {
	pid_t pid;
	int memory; /* /proc/PID/mem */
	int status; /* of the latest wait */
};

/* In the victim: be traced, and stop at a marker. */
bool trace_me(void);
void trace_mark(void);

/* Follow a child that called trace_me() and runs to its first marker. */
bool trace_begin(struct trace *trace, pid_t pid);

uint64_t trace_ip(const struct trace *trace);
bool trace_at_system_call(const struct trace *trace, uint64_t ip);

/* Let it run; one instruction, or freely. trace_wait() tells where it stopped. */
bool trace_step(struct trace *trace);
bool trace_go(struct trace *trace);
enum trace_stop trace_wait(struct trace *trace, bool may_sleep, uint64_t limit);

/* Run to the `visit`-th time (from 1) that it comes to `ip`; `asleep(argument)` is called when it sleeps instead. */
enum trace_stop trace_run_to(struct trace *trace, uint64_t ip, uint32_t visit, uint64_t limit,
			     bool (*asleep)(void *argument), void *argument);

void trace_kill(struct trace *trace);

/* The state letter of /proc/PID/stat, '?' when there is none. */
char trace_state(pid_t pid);

#endif
