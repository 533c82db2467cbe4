/* SPDX-License-Identifier: MIT */
/* In place of frames.c, in builds without libzstd; see frames.h. */
#include "frames.h"

#include <errno.h>

const char frames_name[] = "nothing";

const char *frames_missing(void)
{
	return "this build has no libzstd (-Dzstd=enabled asks for it)";
}

int frames_make(struct frames *frames, struct rival_file *file, size_t frame, size_t room)
{
	(void)frames, (void)file, (void)frame, (void)room;
	return ENOSYS;
}

void frames_end(struct frames *frames)
{
	(void)frames;
}

int frames_add(struct frames *frames, const void *bytes)
{
	(void)frames, (void)bytes;
	return ENOSYS;
}

int frames_read(struct frames *frames, size_t number, void *bytes)
{
	(void)frames, (void)number, (void)bytes;
	return ENOSYS;
}
