/* SPDX-License-Identifier: MIT */
/*
 * The other processes of a case: forked once, then given the same job many times, so that blocks of case and baseline run in
 * one set of processes. Uses sockets only; between jobs a member sleeps in recv(2), and it ends when the bench does.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <sys/types.h>

#define CREW_MAX 16

struct crew {
	/* What a member does for job number `job`; 0, or non-zero to fail the case. */
	int (*work)(void *context, unsigned member, unsigned job);
	void *context;
	unsigned count;
	pid_t pids[CREW_MAX];
	int sockets[CREW_MAX];
};

/* With `work` and `context` set: fork `count` members; member i is pinned to CPU first_cpu + i. 0 or -1 with errno. */
int crew_start(struct crew *crew, unsigned count, unsigned first_cpu);

/* Hand out a job; later wait until all have done it. 0, or -1: a member failed, died or took longer than a minute. */
int crew_begin(struct crew *crew, unsigned job);
int crew_end(struct crew *crew);

/* End and reap all members; also after a failure. */
void crew_stop(struct crew *crew);

#endif
