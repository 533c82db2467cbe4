/* SPDX-License-Identifier: MIT */
/*
 * The signal word: the 64-bit state of everything that can be waited for and is not a mutex (events, semaphores, finished
 * prefetches, ended processes). Only the bits are defined here; src/sync/signal.c has the algorithm. The low half is the
 * futex that waiters sleep on.
 *
 *  63            40 39       32 31 30 29              14 13             0
 * +----------------+-----------+--+--+------------------+---------------+
 * | count          | sequence  |W |A | claim generation | claim slot    |
 * +----------------+-----------+--+--+------------------+---------------+
 *   A available: count > 0 and nobody claims.   W somebody may sleep.
 */
#ifndef BASE_SIGNAL_H
#define BASE_SIGNAL_H

#include <stdint.h>

#define SIGNAL_COUNT_SHIFT 40
#define SIGNAL_COUNT_MAX UINT64_C(0xffffff)
#define SIGNAL_SEQUENCE_SHIFT 32
#define SIGNAL_SEQUENCE_MASK UINT64_C(0xff)
#define SIGNAL_WAITERS (UINT64_C(1) << 31)
#define SIGNAL_AVAILABLE (UINT64_C(1) << 30)
#define SIGNAL_CLAIM_MASK UINT64_C(0x3fffffff) /* the low half of a roster identity; 0 is nobody */

static inline uint64_t signal_count(uint64_t word)
{
	return word >> SIGNAL_COUNT_SHIFT;
}

/* The word with that count and claim, AVAILABLE as they imply; sequence and WAITERS are kept from `word`. */
static inline uint64_t signal_with(uint64_t word, uint64_t count, uint64_t claim)
{
	uint64_t kept = word & (SIGNAL_SEQUENCE_MASK << SIGNAL_SEQUENCE_SHIFT | SIGNAL_WAITERS);

	return count << SIGNAL_COUNT_SHIFT | kept | (count && !claim ? SIGNAL_AVAILABLE : 0) | claim;
}

#endif
