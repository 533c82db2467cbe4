/* SPDX-License-Identifier: MIT */
/* Compressed frames by hand; see frames.h. Uses libzstd. */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

const char frames_name[] = "pread, ZSTD_decompressDCtx";

const char *frames_missing(void)
{
	return NULL;
}

int frames_make(struct frames *frames, struct rival_file *file, size_t frame, size_t room)
{
	*frames = (struct frames){.file = file, .frame = frame, .room = room};
	frames->ends = calloc(room, sizeof(*frames->ends));
	frames->stored = malloc(ZSTD_compressBound(frame));
	frames->compressor = ZSTD_createCCtx();
	frames->expander = ZSTD_createDCtx();
	return frames->ends && frames->stored && frames->compressor && frames->expander ? 0 : ENOMEM;
}

void frames_end(struct frames *frames)
{
	if (!frames->file)
		return;
	free(frames->ends);
	free(frames->stored);
	ZSTD_freeCCtx(frames->compressor);
	ZSTD_freeDCtx(frames->expander);
}

static uint64_t begin_of(const struct frames *frames, size_t number)
{
	return number ? frames->ends[number - 1] : 0;
}

int frames_add(struct frames *frames, const void *bytes)
{
	uint64_t begin = begin_of(frames, frames->count);
	size_t length;

	if (frames->count == frames->room)
		return ENOSPC;
	length = ZSTD_compressCCtx(frames->compressor, frames->stored, ZSTD_compressBound(frames->frame), bytes,
				   frames->frame, FRAMES_LEVEL);
	if (ZSTD_isError(length))
		return EINVAL;
	frames->ends[frames->count++] = begin + length;
	return rival_file_write(frames->file, frames->stored, length, begin);
}

int frames_read(struct frames *frames, size_t number, void *bytes)
{
	uint64_t begin = begin_of(frames, number);
	size_t length = (size_t)(frames->ends[number] - begin);
	int error = rival_file_read(frames->file, frames->stored, length, begin);

	if (error)
		return error;
	length = ZSTD_decompressDCtx(frames->expander, bytes, frames->frame, frames->stored, length);
	return length == frames->frame ? 0 : EIO;
}
