/* SPDX-License-Identifier: MIT */
/* A server's figures as text for a monitor. */
#ifndef STORE_METRICS_H
#define STORE_METRICS_H

#include <store/layout.h>

/* As stoa_store_metrics(). -STOA_ERANGE */
int store_metrics_write(const uint64_t figures[FIGURE_COUNT], char *ret_text, uint64_t room, uint64_t *ret_length);

#endif
