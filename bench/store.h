/* SPDX-License-Identifier: MIT */
/*
 * A store with its server, for the cases that measure stores: the server is a process of its own, a twin of the bench on the next CPU. It
 * does not die with the bench, but ends when that is gone, and leaves nothing behind. Linux only.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include "bench.h"

#include <stoa/store.h>

#include <base/atomic.h>

#include "crew.h"
#include "os/peer.h"
#include "os/rival.h"

#define DEPOT_PATH 108 /* of a socket, with its end */
#define DEPOT_CLIENTS 4u
#define DEPOT_ID 16u

/* What the bench, servers and other clients share. */
struct depot_shared {
	_Atomic uint32_t servers; /* that came up, or failed to */
	int32_t result;
	char reason[120];
	char path[DEPOT_PATH];
	char pad[20];
	struct rival_signal signals[2]; /* there, back */
	_Atomic uint32_t arrived;       /* clients that are about to begin */
	char pad1[60];
	struct {
		uint64_t begin, end;
		char pad[48];
	} spans[DEPOT_CLIENTS];
};

struct depot {
	struct bench *bench;
	struct stoa_server_options options;
	struct stoa_segment *segment;
	struct depot_shared *shared;
	struct rival_twin server;
	bool served;
	struct stoa_store *store;
	struct peer helper; /* another store in our place (peers/) */
	bool helped;
};

/*
 * A store of `limit` bytes, held for a successor or not; with it a connection. Each returns 0 or what bench_fail() and bench_skip() return. Close
 * also after a failure.
 */
int depot_open(struct depot *depot, struct bench *bench, uint64_t limit, bool held);
void depot_close(struct depot *depot);

/* A server that was killed, and the next one, which may take a while. */
void depot_kill(struct depot *depot);
int depot_serve(struct depot *depot);

/* In its place Redis, that does one of "put", "put_many", "get" with `size` bytes. A block is so many of them. */
int depot_open_other(struct depot *depot, struct bench *bench, const char *what, size_t size);
int depot_other_block(struct depot *depot, uint32_t times, struct series *samples);

/* The id of an object; its length. */
uint32_t depot_id(unsigned number, char id[DEPOT_ID]);

/* `which` did not succeed. */
int depot_fail(const struct depot *depot, const char *which, int result);

#endif
