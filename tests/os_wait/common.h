/* SPDX-License-Identifier: MIT */
/* What the tests of waits and lives at the level of the system share: words in memory that roles have too, and a life word there. */
#ifndef TESTS_OS_WAIT_COMMON_H
#define TESTS_OS_WAIT_COMMON_H

#include <base/atomic.h>
#include <harness/test.h>
#include <os/os.h>

#define SECOND UINT64_C(1000000000)

struct board {
	_Atomic uint32_t words[4];
	_Atomic uint32_t ready;
	_Atomic uint32_t woken; /* the index that the sleeper got, + 10 */
	uint64_t cover;         /* which word the sleeper covers, + 1 */
};
extern struct board *board;
extern _Atomic uint64_t *life_word;

void set_up(void);
void tear_down(void);

/* A role that sleeps on the first `count` words, each 0. */
pid_t asleep(unsigned count);

/* Become the owner of the life word, after whoever owned it. */
struct os_life *map_life(void);
struct os_life *enter(void);

/* The owner of that generation has ended; anybody finds it out. */
void check_dead(uint32_t generation, uint32_t flags);

/* A role: owns the life word, says so in `ready`, until it is killed. */
void live(void *unused);

#endif
