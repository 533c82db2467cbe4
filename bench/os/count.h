/* SPDX-License-Identifier: MIT */
/*
 * Counting what a piece of work costs without a clock: its instructions, or its calls of the system. Implemented once per system
 * under bench/os/<system>/, or said to be missing there.
 */
#ifndef BENCH_OS_COUNT_H
#define BENCH_OS_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Why nothing can be counted here; NULL: it can. */
const char *count_missing(void);

/* Done one after the other, in a process of its own that this one forks: 0, or non-zero. */
struct counted {
	int (*prepare)(void *context);
	int (*work)(void *context);
	void *context;
};

/*
 * What work() and the end of the process took: its instructions outside the kernel, or with `calls` its calls of the system. The end costs always
 * the same, so the difference of two runs is the work's. 0, the system's error number, or -1: it failed.
 */
int count_run(const struct counted *what, bool calls, uint64_t *ret_count);

#endif
