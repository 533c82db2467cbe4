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
#include <base/mutant.h>
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

#define LEASE_CHANGED 1 /* the state is another: look again */

/* Write the lease into a free word of this thread's line; then look at the state once more. */
static CC_INLINED int lease_hold(const struct leases *leases, struct lease_line *line, uint32_t at, uint64_t lease,
				 const _Atomic uint64_t *state, uint64_t expected, uint32_t *ret_lease)
{
	line->next = (at + 1) % LEASES_PER_LINE;
	/* R2: who had the word before is done; pairs with A3 in lease_scan() */
	store_rel(&line->words[at], lease);
	if (CC_UNLIKELY(load_rlx(leases->fences)))
		fence_seq(); /* pairs with that in lease_barrier() */
	else
		cc_compiler_barrier(); /* the server imposes the rest */
	/* A2: the object is what it was, and its bytes can be read; pairs with R2 in directory_enter(), R6 in directory_set_state() */
	if (CC_UNLIKELY(load_acq(state) != expected) && !MUTANT(LEASE_UNCHECKED)) {
		store_rlx(&line->words[at], 0);
		return LEASE_CHANGED;
	}
	*ret_lease = line->first + at;
	return 0;
}

/* With the next word in use, or no line at hand. */
int lease_take_slowly(struct leases *leases, uint64_t lease, const _Atomic uint64_t *state, uint64_t expected,
		      uint32_t *ret_lease);

/*
 * Hold `entry`, whose state word `*state` was seen as `expected`: once this has returned 0 the object stays what and where it is.
 * LEASE_CHANGED. -STOA_ELIMIT: all are in use. -STOA_ECLOSED: in a forked child.
 */
static CC_INLINED int lease_take(struct leases *leases, uint32_t entry, const _Atomic uint64_t *state,
				 uint64_t expected, uint32_t *ret_lease)
{
	struct lease_line *line = &lease_lines[leases->slot];
	uint64_t lease = lease_word(entry, expected), before = 0;

	/* A4: who had the word is done with the object; pairs with R1 in lease_release() */
	if (CC_UNLIKELY(line->serial != leases->serial || leases->made_in != load_rlx(&os_forks) ||
			(before = load_acq(&line->words[line->next])) & LEASE_IN_USE))
		return lease_take_slowly(leases, lease, state, expected, ret_lease);
	lease |= ~before & LEASE_FLIP; /* another one than at the last use */
	return lease_hold(leases, line, line->next, lease, state, expected, ret_lease);
}

/* Of any thread of this process. In a forked child, and of what is no lease, it does nothing. */
static CC_INLINED void lease_release(struct leases *leases, uint32_t lease)
{
	_Atomic uint64_t *word = &leases->shared->words[lease];

	if (CC_UNLIKELY(leases->made_in != load_rlx(&os_forks) || lease / LEASES_PER_LINE >= leases->lines))
		return;
	/* R1: the object was read before; pairs with A3 in lease_scan(), A1 in free_word(), A4 in lease_take() */
	store_rel(word, load_rlx(word) & ~LEASE_IN_USE);
}

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

/*
 * Tell those that are in use, or were used since the last such look: `seen` has a word for each lease, of zeros at first, and is this function's. It is
 * a guess about the past, and needs no barrier. Arguments as above.
 */
void lease_used(const struct store_leases *shared, uint32_t lines, uint32_t entries, uint64_t *seen,
		void (*visit)(void *argument, uint32_t entry, uint64_t generation), void *argument);

#endif
