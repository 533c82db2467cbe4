/* SPDX-License-Identifier: MIT */
/*
 * Stopping a thread at a chosen call of the system, before or after it, to be killed there or to go on. Memory changes only in between, so
 * that these are all the moments of a death that others can tell apart, but for those inside calls and within the code between two.
 *
 * The hard idea: all places through which the program and the library call the system are made to lead to a few lines of assembler
 * (steps_x86_64.S), which tell before and after. Only threads that have orders are held up.
 */
#ifndef TESTS_WINDOWS_STEPS_H
#define TESTS_WINDOWS_STEPS_H

#include <harness/test.h>

/* In test_shared() memory. */
struct steps {
	/* steps_x86_64.S: where calls return to, and which they are; some call back */
	void **top;
	void *returns[2 * 16];
	/* where to stop: */
	uint32_t number; /* of the step, from 1, two for each call; 0: by name */
	char call[40];
	bool after;
	/* what became of it: */
	_Atomic uint32_t taken;   /* steps */
	_Atomic uint32_t stopped; /* 1: there */
	_Atomic uint32_t go_on;   /* set it to 1, after new orders and with `stopped` 0 for another stop */
	char place[48];           /* where it stopped */
	uint32_t calls;           /* of the system, all of them */
	const char *first;        /* of those */
};

/* The calling thread has orders from now on; or no more. */
void steps_begin(struct steps *steps);
void steps_end(void);

#endif
