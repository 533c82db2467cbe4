/* SPDX-License-Identifier: MIT */
/* What this process's waits have met; read by stoa_wait_stat(). Counted only next to system calls, so sharing is cheap. */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <base/atomic.h>

enum counter {
	COUNTER_SLEEPS,
	COUNTER_WAKES,
	COUNTER_OWNER_DEATHS,
	COUNTER_CLAIMS_UNDONE,
	COUNTER_RESCUES,
	COUNTER_ENROLMENTS,
	COUNTER_KINDS,
};

extern _Atomic uint64_t counters[COUNTER_KINDS];

static inline void counters_add(enum counter which)
{
	add_rlx(&counters[which], 1);
}

#endif
