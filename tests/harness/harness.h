/* SPDX-License-Identifier: MIT */
/* Between the harness's portable part (harness.c) and its part for one system (linux.c, win32.c). */
#ifndef HARNESS_HARNESS_H
#define HARNESS_HARNESS_H

#include <harness/test.h>
#include <stdio.h>

/* Shared by the program, the running test and its roles. */
struct test_status {
	_Atomic int state; /* TEST_RUNNING ...; who moves it from there writes the message */
	_Atomic int leaks_ok;
	_Atomic uint32_t pid; /* of the test */
	char message[1024];
};
extern struct test_status *test_status; /* valid from system_start() on */
void system_start(void);

/* Called first: does not return where this program was started again as a test or role. */
void system_child(int count, char **arguments);

/*
 * Run test->body in an isolated child, at most `seconds` long; afterwards nothing of it runs any more. The outcome is in
 * test_status; what it printed comes back in *ret_output, for the caller to close.
 */
void system_run(const struct test *test, unsigned seconds, FILE **ret_output);

/* Windows: the exit code of what test_kill() or its like has ended. */
#define HARNESS_KILLED 0x4b494c4cu

#endif
