/* SPDX-License-Identifier: MIT */
/* In place of store*.c where there are no stores. */
#include "bench.h"

const struct bench_case bench_get_cases[] = {{0}};
const struct bench_case bench_put_cases[] = {{0}};
const struct bench_case bench_held_cases[] = {{0}};
