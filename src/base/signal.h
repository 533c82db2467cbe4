/* SPDX-License-Identifier: MIT */
/*
 * The signal word: the 64-bit state of everything that can be waited for and is not a mutex (events, semaphores, finished
 * prefetches, ended processes). Only the bits are defined here; src/sync/signal.c has the algorithm. The low half is the
 * futex; its bits 30 and 31 are FUTEX_OWNER_DIED and FUTEX_WAITERS to the kernel, and its low 30 bits (a thread id to the
 * kernel) are zero whenever nobody claims the object, which lets the kernel pass on the wake of a dying thread.
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
#define SIGNAL_CLAIM_MASK UINT64_C(0x3fffffff)

#endif
