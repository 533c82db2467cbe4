/* SPDX-License-Identifier: MIT */
/* What programs with another library (peers/) answer. */
#ifndef BENCH_HELPER_H
#define BENCH_HELPER_H

#include "bench.h"
#include "os/peer.h"

/* Its samples are added; there may be none, when it says that it is ready. 0, or what bench_fail() returns. */
int helper_answer(struct bench *bench, struct peer *helper, struct series *samples);

#endif
