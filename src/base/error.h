/* SPDX-License-Identifier: MIT */
/* The sentence behind a failure. Every layer that first meets an error writes it; those above pass the number on. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <base/cc.h>
#include <stdbool.h>
#include <stoa/error.h>

/*
 * Record the sentence for this thread and return `error` (a negative -STOA_E*), so that callers can write
 *     return error_set(-STOA_ERANGE, "commit %" PRIu64 " is beyond the reserve of %" PRIu64, length, reserve);
 * Keeps errno.
 */
int error_set(int error, const char *format, ...) CC_PRINTF(2, 3);

/* Put "context: " before the present sentence: error_prefix(rc, "segment '%s'", name) at the layer that knows the name. */
int error_prefix(int error, const char *format, ...) CC_PRINTF(2, 3);

/* There is no present sentence: what is there afterwards is of a later failure. */
void error_forget(void);

/*
 * From now on no sentences are made in this process: for the child of a fork in the middle of a program, where other threads may have held
 * the locks of whatever formats them. error_set() then only returns its number.
 */
void error_mute(void);
bool error_muted(void);

/* What a word of flags says. */
enum error_flags {
	ERROR_SEGMENT_FLAGS,
	ERROR_ACCESS,
	ERROR_SEALS,
	ERROR_FLUSH_FLAGS,
	ERROR_SYNC_FLAGS,
	ERROR_RIGHTS,
	ERROR_BACKING_FLAGS,
};

/* Record "<what> does not take STOA_READ_ONLY|0x400", the flags by their names, and return -STOA_EINVAL. */
int error_refuse(const char *what, enum error_flags of, uint32_t flags);

/*
 * A size for a sentence: exact where that is short ("64GiB", "1020KiB", "4097B"), else with one
 * digit, rounded down ("255.9GiB"); never shown as a whole number that it is not. Returns `text`.
 */
#define ERROR_SIZE 32
const char *error_size(uint64_t bytes, char text[ERROR_SIZE]);

/* Static analysers look at one source file: they do not see that these return the error they were given. */
#ifdef STOA_ANALYSIS
#define error_set(error, ...) ((void)error_set(error, __VA_ARGS__), (error))
#define error_prefix(error, ...) ((void)error_prefix(error, __VA_ARGS__), (error))
#define error_refuse(...) ((void)error_refuse(__VA_ARGS__), -STOA_EINVAL)
#endif

#endif
