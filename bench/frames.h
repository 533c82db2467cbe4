/* SPDX-License-Identifier: MIT */
/*
 * A file of compressed frames without the library: each compressed by itself with libzstd, one after the other, and where they lie is kept in
 * memory. Errors are the system's numbers. Where the build did not find libzstd, there are none (no_frames.c).
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "os/rival.h"

#define FRAMES_LEVEL 3

struct frames {
	struct rival_file *file; /* NULL: none were made */
	size_t frame, count, room;
	uint64_t *ends; /* of each in the file */
	char *stored;
	void *compressor, *expander;
};

extern const char frames_name[];
const char *frames_missing(void); /* why there are none; NULL: there are */

/* Up to `room` frames of `frame` bytes, in the file, which is borrowed. */
int frames_make(struct frames *frames, struct rival_file *file, size_t frame, size_t room);
void frames_end(struct frames *frames);

int frames_add(struct frames *frames, const void *bytes);
int frames_read(struct frames *frames, size_t number, void *bytes);

#endif
