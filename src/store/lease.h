/* SPDX-License-Identifier: MIT */
/*
 * Leases: how a client holds an object without asking anybody. layout.h says what they are, models/store_lease.pml that they suffice.
 *
 * A thread takes leases from a line of its own, so nothing is changed by two at once: free to taken by the line's thread, taken to
 * free by whoever releases, with one store. The fast path is: a word of the line, a store, a load. There should be a line for each thread, and
 * one for each eight leases.
 *
 * Take is wait-free but for finding another line, which locks (this process only). It takes effect at the second load of the state. A process that dies
 * anywhere in here leaves words that say IN_USE, which go with its session.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include <base/cc.h>
#include <os/os.h>
#include <store/layout.h>

/* ---- the client ---- */

struct leases {
	struct store_leases *shared;
	/* The store's header's; or one that is always 1, where barriers do not reach this process. */
	const _Atomic uint32_t *fences;
	uint32_t lines;
	uint32_t slot;    /* in lease_lines */
	uint64_t serial;  /* of this struct, in this process */
	uint64_t made_in; /* os_fork_generation() */
	struct os_lock lock;
	uint32_t next;    /* where the search for a line begins */
	uint32_t *owners; /* of each line: a thread's id, 0 none; under the lock */
};

/* What a thread knows of its line in a few stores. */
#define LEASE_CACHE 4u
struct lease_line {
	uint64_t serial;         /* of whose leases; 0 none */
	_Atomic uint64_t *words; /* LEASES_PER_LINE */
	uint32_t next;           /* to be tried first */
	uint32_t first;          /* index of words[0] */
};
extern CC_THREAD struct lease_line lease_lines[LEASE_CACHE];

/* Bytes of the memory object for so many lines; and how many lines there are in such an object. */
static inline uint64_t lease_bytes(uint32_t lines)
{
	return sizeof(struct store_leases) + (uint64_t)lines * LEASES_PER_LINE * sizeof(uint64_t);
}

/*
 * Use `lines` lines at `shared`, of zeros, until lease_close(). `fences` is the word of the directory's header. -STOA_ENOMEM. close: no thread is in
 * any of these functions; what is held stays so.
 */
int lease_open(struct store_leases *shared, uint32_t lines, const _Atomic uint32_t *fences, struct leases *ret_leases);
void lease_close(struct leases *leases);

/*
 * Hold `entry`, whose state word `*state` was seen as `expected`: once this has returned 0 the object stays what and where it is.
 * LEASE_CHANGED: the state is another, look again. -STOA_ELIMIT: all are in use. -STOA_ECLOSED: in a forked child.
 */
#define LEASE_CHANGED 1
int lease_take(struct leases *leases, uint32_t entry, const _Atomic uint64_t *state, uint64_t expected,
	       uint32_t *ret_lease);

/* Of any thread of this process. In a forked child it does nothing. */
void lease_release(struct leases *leases, uint32_t lease);

/* ---- the server ---- */

/*
 * Between changing states and looking at leases: what is not in use after this nobody has, or can still get. `fences` is the
 * header's word; the server sets it, before anybody connects, when !os_barrier_can_impose(). false: not done; free nothing.
 */
bool lease_barrier(const _Atomic uint32_t *fences);

/*
 * Tell each lease of `shared`, which has `lines` lines: those in use, and those that were lately. `entry` is 1 .. entries - 1; all else is as the
 * client has it, and of another generation, or no object, when it lies.
 */
void lease_scan(const struct store_leases *shared, uint32_t lines, uint32_t entries,
		void (*visit)(void *argument, uint32_t entry, uint64_t generation, bool in_use), void *argument);

#endif
