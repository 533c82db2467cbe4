/* SPDX-License-Identifier: MIT */
/* The storage of counters.h. */
#include <base/counters.h>

_Atomic uint64_t counters[COUNTER_KINDS];
