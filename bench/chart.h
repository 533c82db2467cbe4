/* SPDX-License-Identifier: MIT */
/*
 * A chart of what channels and others measured, as an SVG file: round trips and rates on logarithmic scales. Uses libc only. It is
 * drawn from what was run; what was skipped is not in it.
 *
 * The one hard idea: a machine changes its pace between cases, which a ratio does not show and a chart of times would. So a case is
 * to be measured again while its baseline ran at another pace than those of the rest of its panel; what stays apart is noted in the chart.
 */
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "bench.h"

/* Does the chart show such a case? */
bool chart_shows(const struct bench_case *which);

/*
 * What it measured (its result's samples get sorted); a case that the chart does not show is left out. Of one that was measured again, that is
 * kept whose pace is nearer to the others'.
 */
void chart_add(struct bench *bench);

/* It was added, and its baseline ran at another pace than is usual in its panel. */
bool chart_is_apart(const struct bench_case *which);

/* Draw all that was added. `machine` says where it was measured. False: it could not be written. */
bool chart_write(FILE *out, const char *machine);

#endif
