/* SPDX-License-Identifier: MIT */
/*
 * The other processes of a case: this program started again, as `stoa bench --member`, then given the same job many times, so
 * that blocks of case and baseline run in one set of processes. They share a segment with the bench, and find in the case's table
 * what they are there for. Between jobs a member sleeps in a read of its input, and it ends when the bench does.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include "bench.h"
#include "os/peer.h"

#define CREW_MAX 16

struct stoa_segment;

struct crew {
	unsigned count;
	struct peer peers[CREW_MAX];
};

/*
 * Start `count` members of the running case, with the segment that they share; member i is pinned to CPU first_cpu + i. 0, or what
 * bench_fail() returns.
 */
int crew_start(struct crew *crew, struct bench *bench, struct stoa_segment *segment, unsigned count,
	       unsigned first_cpu);

/* Hand out a job; later wait until all have done it. 0, or -1: a member failed or died. */
int crew_begin(struct crew *crew, unsigned job);
int crew_end(struct crew *crew);

/* End all members; also after a failure. */
void crew_stop(struct crew *crew);

/* In a member: who it is, and its life. A case's serve() makes a context from this, and work() does job number `job` with it: 0, or
   non-zero to fail the case. */
struct crew_member {
	struct bench bench; /* as in the process that measures, with what its command line says */
	struct stoa_segment *segment;
	unsigned number;
};
int crew_serve(const struct crew_member *self, int (*work)(void *context, unsigned member, unsigned job),
	       void *context);

/* `stoa bench --member ...`: operands as crew_start() gives them. The exit status. */
int crew_member(int count, char **words);

#endif
