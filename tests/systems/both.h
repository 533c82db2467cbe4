/* SPDX-License-Identifier: MIT */
/*
 * What a Linux process and a Windows process that map the same files do and check, each with its own build of the library: the
 * same source for both. A check that fails is a sentence.
 */
#ifndef SYSTEMS_BOTH_H
#define SYSTEMS_BOTH_H

#include <segment/header.h>
#include <segment/segment.h>
#include <stoa/stoa.h>

#define BOTH_RESERVE (UINT64_C(1) << 20)
#define BOTH_COMMIT (UINT64_C(64) << 10)
#define BOTH_ROUNDS 100000u
#define BOTH_STEP (UINT64_C(64) << 10)
#define BOTH_SIGHTS 2000u
#define BOTH_BYTES 300001u /* of the raw file: no whole pages */

/* At the beginning of the data of either's segment. */
struct both {
	_Atomic uint32_t turn; /* in the Linux process's: whose it is */
	uint32_t unused;
	struct segment_header header; /* as its maker has it */
	uint64_t sizes[4];
	uint64_t owner; /* the maker's roster identity */
	struct stoa_mutex mutex;
	struct stoa_event event, manual;
	struct stoa_semaphore semaphore;
	_Atomic uint64_t added, swapped;
	_Atomic uint64_t grown, followed; /* bytes committed by the maker; seen by the other */
	_Atomic uint64_t twins;           /* two equal halves */
	_Atomic uint64_t sights;          /* how often the other has seen them change */
};

static inline struct both *both_of(const struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

/* Open a file with a header in it; or one that is made now, by writing what a segment begins with. */
int both_open(const char *path, struct stoa_segment **ret_segment);
int both_make(const char *path, struct stoa_segment **ret_segment);

/* What the maker does to the objects, first at stage 1, then at 2. NULL, or what went wrong. */
const char *both_change(struct stoa_segment *segment, unsigned stage);

/* What the other one finds. */
const char *both_check(struct stoa_segment *segment, unsigned stage);

/* Count up, as the other does at the same time. */
void both_count(struct both *both);

/*
 * Commit step by step, by `extend`, while the other follows: each step is seen at once in the length, and so are the bytes
 * behind it.
 */
const char *both_grow(struct stoa_segment *segment, int (*extend)(struct stoa_segment *segment, uint64_t length));
const char *both_follow(struct stoa_segment *segment);

/* The maker uses all objects, until the other has often seen that; who finds every word whole and possible, at any time. */
const char *both_toil(struct stoa_segment *segment);
const char *both_watch(struct stoa_segment *segment);

#endif
