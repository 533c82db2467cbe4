/* SPDX-License-Identifier: MIT */
/* Between the harness's portable part (harness.c) and its part for one system (linux.c). */
#ifndef HARNESS_HARNESS_H
#define HARNESS_HARNESS_H

#include <harness/test.h>
#include <stdio.h>

enum test_state { TEST_RUNNING, TEST_PASSED, TEST_FAILED, TEST_SKIPPED };

/* Shared by the program, the running test and its roles. */
struct test_status {
	_Atomic int state; /* enum test_state; the first to leave TEST_RUNNING writes the message */
	_Atomic int leaks_ok;
	_Atomic uint32_t pid; /* of the test */
	char message[1024];
};
extern struct test_status *test_status; /* valid from system_start() on */

/* First call: map test_status. */
void system_start(void);

/*
 * Run test->body in an isolated child, at most `seconds` long; afterwards nothing of it runs any more. The outcome is in
 * test_status. What it printed comes back in *ret_output (not on Windows-like systems: NULL), to be closed by the caller.
 */
void system_run(const struct test *test, unsigned seconds, FILE **ret_output);

/* End the calling process, and with it the test, whose status is already written. */
noreturn void system_end(void);

/* Write the outcome, unless there is one. */
void test_conclude(enum test_state state, const char *format, ...) CC_PRINTF(2, 3);

#endif
