/* SPDX-License-Identifier: MIT */
/* What is known of a pager, and of the processes that have it. Threads: any may ask. Not for signal handlers. Blocks on nobody. */
#ifndef STOA_PAGER_STAT_H
#define STOA_PAGER_STAT_H

#include <stdint.h>
#include <stoa/channel_stat.h>
#include <stoa/error.h>
#include <stoa/pager.h>

#ifdef __cplusplus
extern "C" {
#endif

/* stoa_pager_member_stat.flags */
#define STOA_MEMBER_CLIENT (1u << 0) /* it has no backing: another one serves its touches */
#define STOA_MEMBER_SERVES (1u << 1) /* it serves those */
#define STOA_MEMBER_CALLS (1u << 2)  /* its system calls may touch what is not there */

/* A process that has it. */
struct stoa_pager_member_stat {
	uint64_t process; /* its id, as in its own container */
	uint32_t place;   /* of STOA_PAGER_MEMBERS */
	uint32_t state;   /* STOA_END_ALIVE; _DEAD: its place is for the next who joins; _UNKNOWN */
	uint32_t flags;   /* STOA_MEMBER_*, of STOA_PAGER_SERVED */
	uint32_t unused;  /* 0 */
	uint64_t pinned;  /* blocks; those of two pins twice */
	uint64_t faults;  /* its touches that came to the handler, */
	uint64_t fills;   /* and blocks that it filled: both of all that have had the place */
};

#define STOA_PAGER_LATENCIES 32

/*
 * Read from the words that members keep for each other, without taking part. Each number is one of its moment. Counts are of all members
 * together, from the beginning on. Uses of what is open to a process already cost nothing and are seen by nobody: of what was seen,
 * hits / (hits + misses) found its block there, and of all uses at least as many. Whoever has the pager can make the counts say anything;
 * but no more blocks are there than the budget has.
 */
struct stoa_pager_stat {
	uint64_t size;   /* bytes of the region, in whole blocks */
	uint64_t length; /* bytes of it that are the user's */
	uint32_t block;  /* bytes */
	uint32_t budget; /* blocks */
	uint32_t way;    /* STOA_PAGER_INLINE ... */
	uint32_t on_error;
	uint32_t rank;
	uint32_t read_ahead; /* bytes */
	uint32_t dirty_age;
	uint32_t dirty_percent;
	/* Blocks, as they are now. */
	uint64_t resident; /* that take memory: clean, dirty and busy ones */
	uint64_t clean;
	uint64_t dirty;
	uint64_t busy;     /* being filled, opened for writing, written back or evicted */
	uint64_t poisoned; /* that could not be filled, as long as the clock's hand has not come by */
	uint64_t pinned;   /* of members alive; those of two pins twice */
	/* Counts. */
	uint64_t faults;     /* touches that came to the handler: first reads and first writes */
	uint64_t fills;      /* blocks filled, */
	uint64_t fill_calls; /* with so many calls of the backing */
	uint64_t
		refaults; /* of them, those that had been evicted only shortly before: the budget is too small for them */
	uint64_t opens;   /* blocks that became dirty */
	uint64_t writes; /* blocks written back */
	uint64_t write_calls;
	uint64_t evictions; /* blocks whose memory was taken for others */
	uint64_t dropped;   /* dirty blocks that were discarded */
	uint64_t waits;     /* touches that waited for somebody else's fill, write-back or eviction */
	uint64_t errors;    /* calls of the backing that failed */
	uint64_t repairs;   /* blocks that somebody had died over */
	/* Of touches, and of the blocks that were asked for to be there; those that were refused are in neither. */
	uint64_t hits;   /* those that found it there, or waited for another's fill: they needed none of their own */
	uint64_t misses; /* those that filled it */
	/* Faults that took less than 2^(i + 8) ns and not less than half of that; in the last, all that took longer. */
	uint64_t latency[STOA_PAGER_LATENCIES];
	uint32_t members; /* entries below */
	uint32_t members_alive;
	struct stoa_pager_member_stat member[STOA_PAGER_MEMBERS];
};

/* How it is now. Of a pager that this process has not: stoa_inspect_pager(). EINVAL, ENOTOWNER, EFORMAT, ENOMEM, ESYSTEM. */
STOA_API int stoa_pager_stat(const struct stoa_pager *pager, struct stoa_pager_stat *ret_stat);

/*
 * Why the block at `offset` is poisoned, also while it is tried once more: what fill() returned, at least -127. 0: it is not. EINVAL, ENOTOWNER,
 * ERANGE, ESYSTEM.
 */
STOA_API int stoa_pager_error(const struct stoa_pager *pager, uint64_t offset, int *ret_error);

#ifdef __cplusplus
}
#endif
#endif
