/* SPDX-License-Identifier: MIT */
/*
 * Slabs of frames. What is committed in a section stays so until the section goes: so there are no more slabs than it takes for the frames
 * in use, and one to spare, and a unit may have any frame. Thus what a trap takes from the commit limit is what is there at most at a
 * time, rounded up to slabs; a slab is closed when all of its frames have come back.
 */
#include <os/win32/frames.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/memory.h>

#define SLAB (UINT64_C(1) << 20)

struct slab {
	HANDLE section;
	unsigned char *view;
	struct slab *before, *after; /* in the list of those with a free frame */
	struct frame *free;
	uint32_t free_count;
	struct frame frame[];
};

static uint64_t slab_bytes(const struct frames *frames)
{
	return frames->unit < SLAB ? SLAB : frames->unit;
}

static uint32_t per_slab(const struct frames *frames)
{
	return (uint32_t)(slab_bytes(frames) / frames->unit);
}

/* ---- the list ---- */

static void link_slab(struct frames *frames, struct slab *slab)
{
	slab->before = NULL;
	slab->after = frames->with_free;
	if (slab->after)
		slab->after->before = slab;
	frames->with_free = slab;
}

static void unlink_slab(struct frames *frames, struct slab *slab)
{
	if (slab->before)
		slab->before->after = slab->after;
	else
		frames->with_free = slab->after;
	if (slab->after)
		slab->after->before = slab->before;
}

/* ---- slabs ---- */

static void close_slab(struct slab *slab)
{
	if (slab->view)
		(void)UnmapViewOfFile(slab->view);
	if (slab->section)
		(void)CloseHandle(slab->section);
	os_free(slab);
}

/*
 * Reserved, and committed afterwards, in whole: a view of what is committed from the start Wine makes of private memory first, which can be touched,
 * and then puts the section there.
 */
static bool make_memory(struct slab *slab, uint64_t bytes)
{
	slab->section = CreateFileMappingW(INVALID_HANDLE_VALUE, sys_handle_only(), SEC_RESERVE | PAGE_READWRITE, 0,
					   (DWORD)(bytes + MEMORY_SPARE), NULL);
	if (slab->section)
		slab->view = MapViewOfFile(slab->section, FILE_MAP_WRITE, 0, 0, 0);
	return slab->view && VirtualAlloc(slab->view, (SIZE_T)bytes, MEM_COMMIT, PAGE_READWRITE);
}

static struct slab *new_slab(const struct frames *frames, int *ret_error)
{
	uint32_t count = per_slab(frames);
	struct slab *slab = os_allocate(sizeof(*slab) + count * sizeof(slab->frame[0]));

	*ret_error = -STOA_ENOMEM;
	if (!slab)
		return NULL;
	if (!make_memory(slab, slab_bytes(frames))) {
		*ret_error = sys_failed("committing memory for %" PRIu64 " bytes of pages", slab_bytes(frames));
		close_slab(slab);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		slab->frame[i] = (struct frame){slab, slab->free};
		slab->free = &slab->frame[i];
	}
	slab->free_count = count;
	return slab;
}

/* ---- frames ---- */

struct frame *frame_take(struct frames *frames, int *ret_error)
{
	struct frame *frame = NULL;
	struct slab *slab;

	os_lock(&frames->lock);
	if (!frames->with_free) {
		slab = new_slab(frames, ret_error);
		if (slab)
			link_slab(frames, slab);
	}
	/* The spare one last, so that it can be closed when another one is empty. */
	slab = frames->with_free;
	if (slab && slab == frames->spare && slab->after)
		slab = slab->after;
	if (slab) {
		frame = slab->free;
		slab->free = frame->next;
		if (slab == frames->spare)
			frames->spare = NULL;
		if (!--slab->free_count)
			unlink_slab(frames, slab);
	}
	os_unlock(&frames->lock);
	return frame;
}

void frame_give(struct frames *frames, struct frame *frame)
{
	struct slab *slab = frame->slab, *closed = NULL;

	os_lock(&frames->lock);
	frame->next = slab->free;
	slab->free = frame;
	if (!slab->free_count++)
		link_slab(frames, slab);
	if (slab->free_count == per_slab(frames)) {
		closed = frames->spare;
		frames->spare = slab;
		if (closed)
			unlink_slab(frames, closed);
	}
	os_unlock(&frames->lock);
	if (closed)
		close_slab(closed);
}

static uint64_t offset_of(const struct frames *frames, const struct frame *frame)
{
	return (uint64_t)(frame - frame->slab->frame) * frames->unit;
}

unsigned char *frame_bytes(const struct frames *frames, const struct frame *frame)
{
	return frame->slab->view + offset_of(frames, frame);
}

HANDLE frame_section(const struct frames *frames, const struct frame *frame, uint64_t *ret_offset)
{
	*ret_offset = offset_of(frames, frame);
	return frame->slab->section;
}

void frames_close(struct frames *frames)
{
	if (frames->spare) {
		unlink_slab(frames, frames->spare);
		close_slab(frames->spare);
	}
	frames->spare = NULL;
}
