/* SPDX-License-Identifier: MIT */
/* Sleepers behind an owner, in a known order, of whom some are to die: what the tests of several deaths at once share. */
#ifndef TESTS_MULTIKILL_CROWD_H
#define TESTS_MULTIKILL_CROWD_H

#include <harness/test.h>

#include <base/mutant.h>
#include <stoa/stoa.h>

#define WAITERS 8
#define LOST "a wake-up was lost"

#ifdef STOA_MUTANTS
#define LIMIT (UINT64_C(2) * 1000000000)
#else
#define LIMIT (UINT64_C(15) * 1000000000)
#endif

struct reports {
	_Atomic uint32_t held, release, ready, done, rescued, died;
};

extern struct stoa_segment *segment;
extern struct stoa_mutex *mutex;
extern struct stoa_event *event;
extern struct stoa_semaphore *semaphore;
extern struct reports *reports;
extern uint32_t rescues; /* of the survivors of all rounds */

void set_up(void);
void fresh(void); /* before each round */

/* Roles. They begin with this: who sleeps runs on CPU 0, who wakes on CPU 1, which makes the bad order likely; any order is right. */
void begin(void *argument, unsigned cpu);
void waiter(void *argument); /* for the mutex */
void report_and_stay(int result);

/* Whether at least `count` come through, by wake-ups alone where the system passes them on. */
void expect_done(uint32_t count, unsigned round);
void expect_no_rescue(unsigned round);

#endif
