/* SPDX-License-Identifier: MIT */
/*
 * The header: what a segment is, in its first page, for whoever opens it. Written once, before anybody else can see the
 * segment; constant from then on. It is read with a copy and checked, once, at opening: whoever may write to the segment can
 * scribble on it later, and no handle looks again.
 *
 *   offset size field         written by  meaning
 *   0      8    magic         creator     "STOASEG\n"
 *   8      8    layout        creator     hash of the layout's description; another one is another format
 *   16     8    must_know     creator     features; one that the opener does not know refuses it
 *   24     8    may_ignore    creator     features that an opener need not know: HEADER_LIVES_BY_NAME
 *   32     4    kind          creator     SEGMENT_KIND_*
 *   36     4    flags         creator     STOA_* of the creation that stay with the segment
 *   40     4    huge          creator     STOA_HUGE_*
 *   44     4    roster_slots  creator     1..16383; 0 in raw records
 *   48     8    data_offset   creator     of the data; follows from roster_slots
 *   56     8    reserve       creator     bytes, whole pages, at most STOA_RESERVE_MAX
 *   64     16   identity      creator     random
 *   80     4    owner         creator     user id, for people
 *   84     4    unused        creator     0
 *   88     8    check         creator     hash of bytes 0..87
 *
 *   0        16          32     48            64         80         96
 *   +--------+-----------+------+-------------+----------+----------+ - - -
 *   | magic  | must_know | kind | data_offset | identity | owner    |  zero up to the page's end
 *   | layout | may_ignore| ...  | reserve     |          | check    |
 *   +--------+-----------+------+-------------+----------+----------+ - - -
 *
 * A creator that dies between any two stores leaves an object without a name, which ends with the process: there is nothing
 * to repair. A raw segment that has a name keeps the same 96 bytes as the name's record instead.
 */
#ifndef SEGMENT_HEADER_H
#define SEGMENT_HEADER_H

#include <os/os.h>
#include <stddef.h>
#include <stdint.h>

struct segment_header {
	uint8_t magic[8];
	uint64_t layout;
	uint64_t must_know;
	uint64_t may_ignore;
	uint32_t kind;
	uint32_t flags;
	uint32_t huge;
	uint32_t roster_slots;
	uint64_t data_offset;
	uint64_t reserve;
	uint64_t identity[2];
	uint32_t owner;
	uint32_t unused;
	uint64_t check;
};
_Static_assert(offsetof(struct segment_header, magic) == 0, "layout");
_Static_assert(offsetof(struct segment_header, layout) == 8, "layout");
_Static_assert(offsetof(struct segment_header, must_know) == 16, "layout");
_Static_assert(offsetof(struct segment_header, may_ignore) == 24, "layout");
_Static_assert(offsetof(struct segment_header, kind) == 32, "layout");
_Static_assert(offsetof(struct segment_header, flags) == 36, "layout");
_Static_assert(offsetof(struct segment_header, huge) == 40, "layout");
_Static_assert(offsetof(struct segment_header, roster_slots) == 44, "layout");
_Static_assert(offsetof(struct segment_header, data_offset) == 48, "layout");
_Static_assert(offsetof(struct segment_header, reserve) == 56, "layout");
_Static_assert(offsetof(struct segment_header, identity) == 64, "layout");
_Static_assert(offsetof(struct segment_header, owner) == 80, "layout");
_Static_assert(offsetof(struct segment_header, unused) == 84, "layout");
_Static_assert(offsetof(struct segment_header, check) == 88, "layout");
_Static_assert(sizeof(struct segment_header) == 96, "layout");

#define HEADER_KNOWN_FEATURES UINT64_C(0) /* of must_know */

/*
 * of may_ignore: the segment's threads are those of a system with os_capabilities()->lives_by_name. Where it is the other way the
 * memory can be shared, but who lives cannot be told, and nobody woken: its objects are refused.
 */
#define HEADER_LIVES_BY_NAME (UINT64_C(1) << 0)

/* Are the segment's threads those of a system that tells otherwise who lives? */
bool header_of_other_system(const struct segment_header *header);

/* Where the data begins behind the pages of so many roster slots. */
uint64_t header_data_offset(uint32_t roster_slots);

/* Fill in magic, layout, identity, owner and check; the caller has set the rest. */
int header_seal(struct segment_header *header);

/* The hash that belongs into `check`. */
uint64_t header_check(const struct segment_header *header);

/* Do the bytes begin as ours do? Says nothing about the rest. */
bool header_is_ours(const void *bytes, size_t length);

/* Check everything. -STOA_EFORMAT, -STOA_EVERSION. `raw`: it is the record of a raw segment. */
int header_valid(const struct segment_header *header, bool raw);

/* Read the object's header and check it: -STOA_EFORMAT also when there is none. */
int header_read(os_handle memory, struct segment_header *ret_header);

#endif
