/* SPDX-License-Identifier: MIT */
/* The sentence behind a failure. Every layer that first meets an error writes it; those above pass the number on. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <base/cc.h>
#include <stoa/error.h>

/*
 * Record the sentence for this thread and return `error` (a negative -STOA_E*), so that callers can write
 *     return error_set(-STOA_ERANGE, "commit %" PRIu64 " is beyond the reserve of %" PRIu64, length, reserve);
 * Keeps errno.
 */
int error_set(int error, const char *format, ...) CC_PRINTF(2, 3);

/* Put "context: " before the present sentence: error_prefix(rc, "segment '%s'", name) at the layer that knows the name. */
int error_prefix(int error, const char *format, ...) CC_PRINTF(2, 3);

#endif
