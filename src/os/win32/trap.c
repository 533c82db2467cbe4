/* SPDX-License-Identifier: MIT */
/*
 * Traps by page protection, in one process: a unit of pages is filled where nobody sees it (frames.c), and shown complete, as a view at its place
 * (places.c); to take it away its view goes. So nothing that can be touched is ever half made.
 *
 * The one hard idea is what a view that is just made lets through. Where a view is mapped it can be touched at once, and access cannot be
 * raised above what it was mapped with: so it is made writable, and forbidden to be written afterwards. What was written in between is found
 * by comparing. For the same reason a unit is a view, which is 64 KiB at least: a larger view, some of whose pages are not there, could be touched
 * there before that is forbidden; on Windows in the moment of committing one, under Wine, which lets uncommitted pages be touched, at any time.
 */
#include <os/trap.h>
#include <os/win32/frames.h>
#include <os/win32/memory.h>
#include <os/win32/places.h>

#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <string.h>

/* What lies at the place of each unit: NULL for none, and all of it for a piece that was never used. */
struct piece {
	_Atomic(struct frame **) frames;
	uint32_t used; /* frames, and those just being put there */
};

struct os_trap {
	struct places places;
	struct frames frames;
	struct os_lock lock; /* guards what pieces have, but not each unit's frame: that is whose the unit is, above */
	bool writable;
	uint32_t pieces;
	struct piece *piece;
};

/* At the place of a unit where others' memory is. */
static struct frame lost;

int os_trap_probe(enum os_trap_way way)
{
	if (way == OS_TRAP_PROTECT)
		return 0;
	return error_set(-STOA_ENOTSUP, "Windows has no faults that one process handles for others (userfaultfd)");
}

uint32_t os_trap_unit(enum os_trap_way way)
{
	(void)way;
	return (uint32_t)MEMORY_GRAIN;
}

int os_trap_map(const struct os_trap_plan *plan, struct os_trap **ret_trap)
{
	struct os_trap *trap;
	int rc = os_trap_probe(plan->way);

	if (rc)
		return rc;
	trap = os_allocate(sizeof(*trap));
	if (!trap)
		return -STOA_ENOMEM;
	trap->writable = plan->writable;
	trap->frames.unit = trap->places.unit = plan->unit;
	trap->places.length = plan->length;
	rc = places_reserve(&trap->places);
	if (!rc) {
		trap->pieces = (uint32_t)((plan->length + trap->places.piece - 1) / trap->places.piece);
		trap->piece = os_allocate(trap->pieces * sizeof(*trap->piece));
		rc = trap->piece ? 0 : -STOA_ENOMEM;
	}
	if (rc) {
		os_trap_unmap(trap);
		return rc;
	}
	*ret_trap = trap;
	return 0;
}

void *os_trap_address(const struct os_trap *trap)
{
	return trap->places.address;
}

os_handle os_trap_remote(const struct os_trap *trap)
{
	(void)trap;
	return OS_NO_HANDLE;
}

/* ---- units ---- */

static struct piece *piece_of(const struct os_trap *trap, uint64_t offset)
{
	return &trap->piece[offset / trap->places.piece];
}

/* NULL: its piece was never used. */
static struct frame **slot_of(const struct os_trap *trap, uint64_t offset)
{
	struct frame **frames = load_acq(&piece_of(trap, offset)->frames); /* A1: pairs with R1 in split() */

	return frames ? &frames[offset % trap->places.piece / trap->places.unit] : NULL;
}

static enum place_state state_of(const struct frame *frame)
{
	return frame == &lost ? PLACE_LOST : frame ? PLACE_VIEWED : PLACE_RESERVED;
}

/* The frame of a unit that is there. */
static struct frame *frame_at(const struct os_trap *trap, uint64_t offset)
{
	struct frame **slot = slot_of(trap, offset);

	return slot && *slot != &lost ? *slot : NULL;
}

/* The lock is held. */
static int split(struct os_trap *trap, struct piece *piece)
{
	uint64_t offset = (uint64_t)(piece - trap->piece) * trap->places.piece;
	uint32_t count = (uint32_t)(trap->places.piece / trap->places.unit);
	struct frame **frames = os_allocate(count * sizeof(struct frame *));
	enum place_state state;
	int rc;

	if (!frames)
		return -STOA_ENOMEM;
	rc = places_split(&trap->places, offset, &state);
	if (rc && state == PLACE_RESERVED) {
		os_free(frames);
		return rc;
	}
	for (uint32_t i = 0; i < count && state == PLACE_LOST; i++)
		frames[i] = &lost;
	store_rel(&piece->frames, frames); /* R1: what is in it; pairs with A1 in slot_of() */
	return rc;
}

static int begin_use(struct os_trap *trap, uint64_t offset)
{
	struct piece *piece = piece_of(trap, offset);
	int rc;

	os_lock(&trap->lock);
	rc = load_rlx(&piece->frames) ? 0 : split(trap, piece);
	piece->used += !rc;
	os_unlock(&trap->lock);
	return rc;
}

static void end_use(struct os_trap *trap, uint64_t offset)
{
	struct piece *piece = piece_of(trap, offset);

	os_lock(&trap->lock);
	if (!--piece->used)
		places_join(&trap->places, offset - offset % trap->places.piece);
	os_unlock(&trap->lock);
}

/* A view's access, which is as it was made where nothing else was said. */
static int protect(struct os_trap *trap, uint64_t offset, DWORD protection)
{
	DWORD before;

	if (!frame_at(trap, offset))
		return error_set(-STOA_EFORMAT, "no pages are at %" PRIu64, offset);
	if (!VirtualProtect(trap->places.address + offset, trap->places.unit, protection, &before))
		return sys_failed("protecting %" PRIu32 " bytes of pages", trap->places.unit);
	return 0;
}

/* ---- filling and taking away ---- */

static int show(struct os_trap *trap, uint64_t offset, struct frame *frame)
{
	struct frame **slot = slot_of(trap, offset);
	enum place_state state = state_of(*slot);
	uint64_t from;
	HANDLE section = frame_section(&trap->frames, frame, &from);
	int rc = place_show(&trap->places, offset, section, from, trap->writable, &state);

	*slot = state == PLACE_VIEWED ? frame : state == PLACE_LOST ? &lost : NULL;
	return rc;
}

static int put(struct os_trap *trap, uint64_t offset, const void *bytes)
{
	int rc = begin_use(trap, offset);
	struct frame *frame;

	if (rc)
		return rc;
	frame = frame_take(&trap->frames, &rc);
	if (frame) {
		memcpy(frame_bytes(&trap->frames, frame), bytes, trap->places.unit);
		rc = show(trap, offset, frame);
		if (rc)
			frame_give(&trap->frames, frame);
	}
	if (rc)
		end_use(trap, offset);
	return rc;
}

static int fill_unit(struct os_trap *trap, uint64_t offset, const void *bytes, bool writable)
{
	bool was_there = frame_at(trap, offset) != NULL;
	int rc = was_there ? 0 : put(trap, offset, bytes);

	if (rc || (!was_there && (writable || !trap->writable)))
		return rc;
	rc = protect(trap, offset, writable ? PAGE_READWRITE : PAGE_READONLY);
	if (rc || was_there)
		return rc;
	return memcmp(trap->places.address + offset, bytes, trap->places.unit) ? OS_TRAP_WRITTEN : 0;
}

int os_trap_fill(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length,
		 const void *bytes, bool writable)
{
	const unsigned char *next = bytes;
	bool written = false;

	(void)other;
	for (uint64_t at = 0; at < length; at += trap->places.unit) {
		int rc = fill_unit(trap, offset + at, next + at, writable);

		if (rc < 0)
			return rc;
		written |= rc == OS_TRAP_WRITTEN;
	}
	return written ? OS_TRAP_WRITTEN : 0;
}

bool os_trap_has(const struct os_trap *trap, uint64_t offset)
{
	return frame_at(trap, offset) != NULL;
}

static int take_away(struct os_trap *trap, uint64_t offset)
{
	struct frame **slot = slot_of(trap, offset), *frame = slot ? *slot : NULL;
	enum place_state state = state_of(frame);
	int rc;

	if (!frame)
		return 0;
	rc = place_hide(&trap->places, offset, &state);
	if (state == PLACE_VIEWED)
		return rc;
	*slot = state == PLACE_LOST ? &lost : NULL;
	if (frame != &lost) {
		frame_give(&trap->frames, frame);
		end_use(trap, offset);
	}
	return rc;
}

int os_trap_empty(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	int failed = 0;

	/* All that can be: what is lost takes nothing else with it. */
	for (uint64_t at = 0; at < length; at += trap->places.unit) {
		int rc = take_away(trap, offset + at);

		failed = rc ? rc : failed;
	}
	return failed;
}

int os_trap_read(struct os_trap *trap, uint64_t offset, uint64_t length, void *bytes)
{
	unsigned char *next = bytes;

	for (uint64_t at = 0; at < length; at += trap->places.unit) {
		const struct frame *frame = frame_at(trap, offset + at);

		if (!frame)
			return error_set(-STOA_EFORMAT, "no pages are at %" PRIu64, offset + at);
		memcpy(next + at, frame_bytes(&trap->frames, frame), trap->places.unit);
	}
	return 0;
}

/* ---- access ---- */

int os_trap_arm(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	(void)trap, (void)offset, (void)length; /* what is not there cannot be touched as it is */
	return 0;
}

/* Each unit by itself: a call reaches no further than one view. */
static int protect_all(struct os_trap *trap, uint64_t offset, uint64_t length, DWORD protection)
{
	int rc = 0;

	for (uint64_t at = 0; at < length && !rc; at += trap->places.unit)
		rc = protect(trap, offset + at, protection);
	return rc;
}

int os_trap_allow(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	(void)other;
	return protect_all(trap, offset, length, PAGE_READWRITE);
}

int os_trap_forbid(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	return protect_all(trap, offset, length, PAGE_READONLY);
}

/* ---- the end ---- */

static bool is_lost(void *argument, uint64_t offset)
{
	const struct os_trap *trap = argument;
	struct frame **slot = trap->piece ? slot_of(trap, offset) : NULL;

	return slot && *slot == &lost;
}

void os_trap_unmap(struct os_trap *trap)
{
	if (!trap)
		return;
	for (uint32_t i = 0; trap->piece && i < trap->pieces; i++)
		for (uint64_t at = 0; load_rlx(&trap->piece[i].frames) && at < trap->places.piece;
		     at += trap->places.unit)
			(void)take_away(trap, i * trap->places.piece + at);
	if (trap->places.address)
		places_release(&trap->places, is_lost, trap);
	for (uint32_t i = 0; trap->piece && i < trap->pieces; i++)
		os_free(load_rlx(&trap->piece[i].frames));
	frames_close(&trap->frames);
	os_free(trap->piece);
	os_free(trap);
}

void os_trap_forget(struct os_trap *trap)
{
	os_trap_unmap(trap); /* no process is a copy of another */
}
