/* SPDX-License-Identifier: MIT */
/*
 * Other processes of a benchmark, which end with it. Implemented once per system under bench/os/<system>/. Errors are the system's
 * numbers, positive, for bench_fail_system().
 */
#ifndef BENCH_OS_PEER_H
#define BENCH_OS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer {
	intptr_t process;
	intptr_t to;   /* its standard input, -1: leads nowhere */
	intptr_t from; /* its standard output, likewise */
};

#define PEER_READS 1  /* peer_write() gives it input */
#define PEER_WRITES 2 /* peer_read() gets its output */
#define PEER_QUIET 4  /* its complaints lead nowhere, else where ours do */

/*
 * Start `program`, or with NULL this very one, on any of our CPUs. `arguments` begin with the program's name and end with NULL; they
 * have neither quotes nor a backslash at the end. What the library or a rival (rival.h) lets children inherit comes along.
 */
int peer_start(struct peer *peer, const char *program, const char *const *arguments, unsigned how);

/* All of it, or false: the peer is gone. */
bool peer_write(struct peer *peer, const void *bytes, size_t length);
/* Some of it; 0: no more will come. */
size_t peer_read(struct peer *peer, void *bytes, size_t size);

/* Let go of its input and output; with `kill`, end it; wait until it has. Its exit status, -1: it was killed. */
int peer_end(struct peer *peer, bool kill);

#endif
