/* SPDX-License-Identifier: MIT */
/*
 * Memory for the pages of a trap. A *frame* is a unit's worth of a *slab*, a section of this process alone, all of which is mapped where only the
 * library knows: there a frame is filled, and from there it can be read, whatever is seen of it elsewhere.
 */
#ifndef OS_WIN32_FRAMES_H
#define OS_WIN32_FRAMES_H

#include <os/win32/sys.h>

struct slab;

struct frame {
	struct slab *slab;
	struct frame *next; /* of the slab's free ones */
};

struct frames {
	uint32_t unit;          /* bytes of a frame */
	struct os_lock lock;    /* guards what follows */
	struct slab *with_free; /* slabs that have a free frame */
	struct slab *spare;     /* the one of them that has nothing else */
};

/* NULL with the sentence set: -STOA_ENOMEM, and what *ret_error says. */
struct frame *frame_take(struct frames *frames, int *ret_error);
void frame_give(struct frames *frames, struct frame *frame);

/* Its bytes, and where they lie in which section. */
unsigned char *frame_bytes(const struct frames *frames, const struct frame *frame);
HANDLE frame_section(const struct frames *frames, const struct frame *frame, uint64_t *ret_offset);

/* All were given back. */
void frames_close(struct frames *frames);

#endif
