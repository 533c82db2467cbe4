/* SPDX-License-Identifier: MIT */
/* A strict reader of Prometheus' text format (version 0.0.4). */
#ifndef TESTS_STORE_EXPOSITION_H
#define TESTS_STORE_EXPOSITION_H

/* What is wrong with it, with the line's number; NULL: nothing. The text is valid until the next call. */
const char *metrics_wrong(const char *text);

/* It must be right. */
void metrics_check(const char *text);

/* The value of the series that is written so, e.g. "a_total{op=\"put\"}"; fails the test when there is none. */
double metrics_value(const char *text, const char *series);

#endif
