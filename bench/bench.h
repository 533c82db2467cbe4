/* SPDX-License-Identifier: MIT */
/*
 * What a benchmark case is. A case names itself, its unit, its baseline and its target in a table at the end of its file, and its
 * run() sets things up, calls bench_pairs() with one block of itself and one of the baseline, and cleans up.
 *
 * Cases use the public headers, libc and base/{cc,atomic}.h; what a system does otherwise than another lies in os/SYSTEM, behind the
 * headers in os/. On Linux the library is the shared one that users link: the calls measured here cross the same PLT as theirs.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>

#include <base/cc.h>

#include "measure.h"

/* Bounds that the ratio, or with `absolute` the case's own p50, has to keep; 0 is no bound. */
struct bench_target {
	double low;
	double high;
	bool absolute;
};
#define NO_TARGET        \
	{                \
		.low = 0 \
	} /* beside others, for orientation */

struct bench;
struct crew_member;
struct bench_case {
	const char *name; /* dotted; a prefix of whole words selects all below it */
	const char *unit; /* a rate ("GB/s", "M/s") where more is better, else a time where less is */
	const char *baseline;
	const char *about;
	struct bench_target target;
	int (*run)(struct bench *bench);              /* 0, BENCH_SKIPPED, BENCH_FAILED */
	unsigned variant;                             /* what run() of several cases differs in */
	int (*serve)(const struct crew_member *self); /* in the processes that crew_start() makes (crew.h) */
};

/* A case at work. */
struct bench {
	const struct bench_case *which;
	bool quick;
	unsigned pairs;
	const char *directory; /* for files */
	bool directory_named;  /* the user said so: not being able to use it is a failure */
	const char *baseline;  /* what it was compared with this time; run() may change it */
	unsigned place;        /* progress: this is case `place` of `places` */
	unsigned places;
	struct measure_result result;
	char reason[512];
};

#define BENCH_SKIPPED 1
#define BENCH_FAILED 2

/* Leave a case early; both return what run() then returns. */
int bench_skip(struct bench *bench, const char *format, ...) CC_PRINTF(2, 3);
int bench_fail(struct bench *bench, const char *format, ...) CC_PRINTF(2, 3);
/* `what` returned the stoa result `result`; or the system's error number `error`. */
int bench_fail_result(struct bench *bench, const char *what, int result);
int bench_fail_system(struct bench *bench, const char *what, int error);

/* Alternate blocks; the result is in bench->result. A block that fails calls bench_fail() and returns its value. */
int bench_pairs(struct bench *bench, int (*subject)(void *context, struct series *samples),
		int (*baseline)(void *context, struct series *samples), void *context);

/* `full`, or `quick` when the run is a short one. */
unsigned bench_scale(const struct bench *bench, unsigned full, unsigned quick);

/* The case of that very name, or NULL. */
const struct bench_case *bench_find_case(const char *name);

/* Every file's cases, ended by one without a name. */
extern const struct bench_case bench_segment_cases[];
extern const struct bench_case bench_file_cases[];
extern const struct bench_case bench_pager_cases[];
extern const struct bench_case bench_mutex_cases[];
extern const struct bench_case bench_wait_cases[];
extern const struct bench_case bench_channel_cases[];
extern const struct bench_case bench_count_cases[];
extern const struct bench_case bench_stream_cases[];
extern const struct bench_case bench_peer_cases[];
extern const struct bench_case bench_get_cases[];
extern const struct bench_case bench_put_cases[];
extern const struct bench_case bench_held_cases[];
extern const struct bench_case bench_find_cases[];

#endif
