/* SPDX-License-Identifier: MIT */
/* Pagers in words, for stat, ls and pages: what the library tells of one without joining it. Uses the public API. */
#ifndef TOOLS_PAGER_H
#define TOOLS_PAGER_H

#include "object.h"

#include <stoa/pager_stat.h>

/* False: it is no pager, or cannot be read as one. */
bool pager_inspect(const struct object *object, struct stoa_pager_stat *ret_stat);

/* "pager, 12MiB of 128MiB, 3 dirty, 2 processes". */
#define PAGER_SUMMARY 96
const char *pager_summary(const struct stoa_pager_stat *stat, char buffer[PAGER_SUMMARY]);

const char *pager_way(uint32_t way);           /* "inline", ... */
const char *pager_on_error(uint32_t on_error); /* "poison", ... */

/* "4711, 4712 dead": as many as fit. */
const char *pager_members(const struct stoa_pager_stat *stat, char *buffer, size_t size);

/* "2GiB in blocks of 4KiB, budget 128MiB, inline, reads 128KiB ahead": one line. */
#define PAGER_SHAPE 160
const char *pager_shape(const struct stoa_pager_stat *stat, char buffer[PAGER_SHAPE]);

/* "50%"; "-" of nothing. */
#define PAGER_PERCENT 32
const char *pager_percent(uint64_t part, uint64_t all, char buffer[PAGER_PERCENT]);

void pager_print(const struct stoa_pager_stat *stat);
/* The member "pager": an object; null for none. With histogram and members if `all`. */
void pager_json(struct json *json, const struct stoa_pager_stat *stat, bool all);
/* The same as members of the object that is being written. */
void pager_json_fields(struct json *json, const struct stoa_pager_stat *stat, bool all);

/* ---- how long faults took ---- */

/* The bucket that this part of all falls in; STOA_PAGER_LATENCIES: there are none. */
unsigned pager_latency(const uint64_t latency[STOA_PAGER_LATENCIES], double part);

/* "<4.1us": what a bucket has. */
#define PAGER_BUCKET 16
const char *pager_bucket(unsigned bucket, char buffer[PAGER_BUCKET]);

/*
 * A picture of them: a line for each bucket from the first to the last that has any, at most `most` of them; `line` is called with each. The bars are
 * as long as the width allows.
 */
void pager_picture(const uint64_t latency[STOA_PAGER_LATENCIES], unsigned width, unsigned most,
		   void (*line)(void *argument, const char *text), void *argument);

#endif
