/* SPDX-License-Identifier: MIT */
/*
 * Another library as a way for messages between two processes, for `stoa bench`: each is a program of its own (main.c, with one file
 * that implements this), so that the tool links none of them. They get what channels get: payloads written and read, in place
 * where the library lets, and the way of calling that its own documents or measurements call the fastest.
 */
#ifndef BENCH_PEERS_WIRE_H
#define BENCH_PEERS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wire_plan {
	const char *kind; /* for one that has several */
	bool trip;        /* both sides send and receive, in turns; else side 0 sends and side 1 receives */
	bool spin;        /* never asleep, where there is a choice */
	size_t size;      /* of all messages */
	size_t room;      /* bytes of messages on their way, about; 0 with trip: a few messages */
};

/*
 * Its own threads carry the messages. For many messages the processes are not pinned then, as their threads have to run beside them; trips,
 * where one waits for the other, are shorter when a process and its threads share a CPU.
 */
extern const bool wire_has_threads;

/* Before the processes part, and in each of them, side 1 first. 0; or -1, with the reason in wire_reason. */
int wire_open(const struct wire_plan *plan);
int wire_join(const struct wire_plan *plan, unsigned side);
extern char wire_reason[256];
int wire_refuse(const char *what, const char *why); /* sets it; -1 */

/* Write a message and send it; receive one and read it. 0, or -1. */
int wire_put(const struct wire_plan *plan, unsigned side, uint64_t number);
int wire_take(const struct wire_plan *plan, unsigned side);

#ifdef __cplusplus
}
#endif
#endif
