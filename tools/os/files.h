/* SPDX-License-Identifier: MIT */
/* Files as input and output of put and get. Errors are the system's numbers, positive, for strerror(). */
#ifndef TOOLS_OS_FILES_H
#define TOOLS_OS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- input ---- */

struct files_input {
	int descriptor;
	bool known;    /* how much there is, as of a file; not of a pipe */
	uint64_t size; /* then: bytes that are to come */
};

/* `path` NULL or "-": the standard input. */
int files_open(const char *path, struct files_input *ret_input);
void files_close(struct files_input *input);

/* How many bytes, `room` unless it ends before; less than 0: an error, negated. */
int64_t files_read(const struct files_input *input, void *to, uint64_t room);

/* As many as there are, up to `room`; waits for one. 0: the end. */
int64_t files_read_some(const struct files_input *input, void *to, uint64_t room);

/* ---- output ---- */

/*
 * A file that is there whole or not at all: what is written goes to another one beside it, which takes its place in the end. What is no ordinary file,
 * such as a device or a pipe, is written as it is.
 */
struct files_output {
	int descriptor;
	char *path;      /* where it is to be */
	char *temporary; /* where it is; NULL: there already */
};

int files_create(const char *path, struct files_output *ret_output);
/* EINTR: asked to end (os/flow.h). */
int files_write(const struct files_output *output, const void *from, uint64_t length);
int files_commit(struct files_output *output); /* it is closed then, and dropped where that fails */
void files_drop(struct files_output *output);

#endif
