/* SPDX-License-Identifier: MIT */
/*
 * Stores that promise something about crashes, over a simulated disk that loses its power at random: after each crash what was durable
 * must be there, and no block may be of two writes.
 */
#ifndef TESTS_BACKING_CRASH_H
#define TESTS_BACKING_CRASH_H

#include "sim.h"

#include <harness/test.h>

#define CRASH_BLOCKS 48u
#define CRASH_BLOCK 4096u
#define CRASH_SIZE ((uint64_t)CRASH_BLOCKS * CRASH_BLOCK - 1000) /* the last block reaches beyond */

struct crash_store {
	int (*open)(struct sim *sim, struct stoa_backing **ret_backing); /* makes it if it is not there */
	bool writes_are_durable;                                         /* else what was flushed is */
	bool dies;          /* now and then the process alone dies, and the machine goes on */
	bool lies;          /* the disk lies about syncs */
	bool faults;        /* operations fail, too, with the power there */
	bool in_the_middle; /* of the last write, a part is done */
};

/* Prints its seed; fails with "block N is torn", "is lost" or "cannot be read". */
void crash_rounds(const struct crash_store *store, unsigned rounds);

#endif
