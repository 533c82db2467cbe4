/* SPDX-License-Identifier: MIT */
/*
 * A file of compressed frames: layout, index, and which parts of it are free. Uses base and os; how a frame is compressed is not known here.
 *
 *      0          4096                          data, a multiple of 4096
 *      +----------+------+------+------+------+-+--------+----+---------+------+
 *      | super    | page 0      | page 1      | | frame  |    | frame   | ...  |
 *      +----------+------+------+------+------+-+--------+----+---------+------+
 *                   two copies of 512 each         in units, anywhere
 *
 *   super (64)   0 magic "STOAZST\n"  8 layout  16 size  24 frame  32 unit  40 0  48 0  56 check
 *   page (512)   0 sequence  8 check  16 31 entries, of frames 31 n and following
 *   entry (16)   0 place: unit << 24 | length; length 0: all zeros, length of a frame: not compressed  8 check of these bytes
 *
 * All numbers little-endian. check: hash_words() of what follows it (a page), precedes it (super), or of a frame's stored bytes, begun with the frame's
 * number; a page's with its own number. Of a page the copy sequence % 2 is written; the higher valid one counts, and none (zeros): zeros.
 *
 * Who writes: one process, with the lock WRITER; super only before the file has its name. A frame goes to free units; flush syncs it, then writes the
 * pages that name it, each over its older copy, then syncs these. Only then the units of what the frame was before are free. So after a crash:
 *   frames not synced            no page names them
 *   frames, no page              as before; their units are free again, as who opens the file learns from the index what is used
 *   some pages                   each of them whole: its frames are new, those of the others old, and all of them there
 *   a page in part               its check tells: the other copy
 * Nothing is to be repaired. Who only reads keeps a copy of the index, which the writer may have left behind: when a frame's check fails its page
 * is read again.
 */
#ifndef BACKING_PACK_H
#define BACKING_PACK_H

#include <backing/disk.h>
#include <stddef.h>

#define PACK_LAYOUT "zstd 1: super 4096; pages of 2 x 512, 31 entries of 16; frames in units"
#define PACK_INDEX 4096u
#define PACK_ENTRIES 31u
#define PACK_FRAME_MIN 4096u
#define PACK_FRAME_MAX (2u << 20)
#define PACK_FRAME_DEFAULT 65536u
#define PACK_FRAMES_MAX (UINT64_C(1) << 26)
#define PACK_BYTE_WRITER 0
#define PACK_LENGTH_BITS 24

struct pack_super {
	uint8_t magic[8];
	uint64_t layout, size, frame, unit, zero[2], check;
};
_Static_assert(sizeof(struct pack_super) == 64 && offsetof(struct pack_super, check) == 56, "the table above");

struct pack_entry {
	uint64_t place, check;
};

struct pack_page {
	uint64_t sequence, check;
	struct pack_entry entries[PACK_ENTRIES];
};
_Static_assert(sizeof(struct pack_page) == DISK_SECTOR && offsetof(struct pack_page, entries) == 16, "the table above");

/* A handle's index. What changes it is called by one thread at a time. */
struct pack {
	const struct disk *disk;
	os_handle file;
	uint64_t size, frame, unit; /* bytes */
	uint64_t frames, pages, units, data;
	bool writable, failed;
	struct pack_entry *entries; /* of frames */
	uint64_t *sequences;        /* of pages */
	uint64_t *used, *stale;     /* bits of units: in use; to be free after the next flush */
	uint64_t *fresh;            /* bits of frames: written since the last flush */
	uint64_t *dirty;            /* bits of pages */
	uint64_t next;              /* unit from which on a free run is looked for */
};

static inline uint64_t pack_length(const struct pack_entry *entry)
{
	return entry->place & ((UINT64_C(1) << PACK_LENGTH_BITS) - 1);
}

/* Where a frame's bytes lie in the file. */
static inline uint64_t pack_offset(const struct pack *pack, const struct pack_entry *entry)
{
	return pack->data + (entry->place >> PACK_LENGTH_BITS) * pack->unit;
}

/* The frame a file is made with: 4 KiB to 2 MiB, a power of two. */
bool pack_frame_valid(uint64_t frame);

/* Write the begin of an empty file, of which nothing is there yet. Not synced. */
int pack_format(const struct disk *disk, os_handle file, uint64_t size, uint64_t frame);

/* Read an index; pack_close() in any case. The file is the caller's. -STOA_EFORMAT, -STOA_EVERSION, -STOA_ENOMEM. */
int pack_open(struct pack *pack, const struct disk *disk, os_handle file, bool writable);
void pack_close(struct pack *pack);

uint64_t pack_hash(uint64_t frame, const void *bytes, size_t length);

/* Room for `length` bytes: *ret_place. pack_switch() makes the frame's bytes be there, or pack_release() gives it back. -STOA_ENOMEM. */
int pack_reserve(struct pack *pack, uint64_t length, uint64_t *ret_place);
void pack_release(struct pack *pack, uint64_t place);
void pack_switch(struct pack *pack, uint64_t frame, struct pack_entry entry);

/* All switches before become durable. After a failure nothing is written any more. */
int pack_flush(struct pack *pack);

/* Who reads: read the page of the frame again. */
int pack_reload(struct pack *pack, uint64_t frame);

#endif
