/* SPDX-License-Identifier: MIT */
/*
 * Measuring one thing against a baseline on a machine that is not quiet. Uses libc only, so that it can be trusted whatever
 * state the library is in.
 *
 * The one hard idea: a host changes phase (clock speed, neighbours, where virtual CPUs run) within seconds, so two runs
 * one after the other say little. Short blocks of case and baseline alternate, B C B C ... B; each block of the case is divided
 * by the mean of the two baseline blocks around it, and the median of those quotients is the result.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pair is dropped when its two baseline blocks differ by more than this factor: the host changed phase between them. */
#define MEASURE_SHIFT_MAX 1.3

/* Samples in a growing array; an allocation that fails is remembered, so that adding needs no check. */
struct series {
	double *values;
	size_t count;
	size_t capacity;
	bool failed;
};
void series_add(struct series *series, double value);
double series_percentile(struct series *series, double fraction); /* sorts; NAN when empty */
void series_free(struct series *series);

/* What a run of pairs found. `ratio` is the median quotient; `dropped` pairs did not count for it. */
struct measure_result {
	struct series samples;
	struct series baseline;
	double ratio;
	unsigned pairs;
	unsigned dropped;
};
void measure_result_free(struct measure_result *result);

struct measure_plan {
	unsigned pairs;
	/* One block: do the work a few times and add a sample per time. 0, or non-zero to end the run. */
	int (*subject)(void *context, struct series *samples);
	int (*baseline)(void *context, struct series *samples);
	void *context;
	void (*progress)(void *argument, unsigned done, unsigned pairs); /* may be NULL */
	void *progress_argument;
};

/* Run the plan. 0, what a block returned, or -1 when memory ran out. The result is to be freed in any case. */
int measure_run(const struct measure_plan *plan, struct measure_result *ret_result);

void measure_spin(uint64_t nanoseconds); /* stay busy that long */

/* Write and read every byte of a payload. The read's result goes to a place that the compiler must believe in. */
void measure_fill(void *bytes, size_t length, uint64_t value);
uint64_t measure_sum(const void *bytes, size_t length);
void measure_use(uint64_t value);
extern volatile uint64_t measure_sink; /* that place */

#endif
