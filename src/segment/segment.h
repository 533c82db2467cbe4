/* SPDX-License-Identifier: MIT */
/*
 * The segment handle, and what the layers above may ask of a segment beyond the public API.
 *
 * A segment with a header lies in its memory object like this (raw segments and files: data from byte 0):
 *
 *   0          4096                     4096 * (slots + 1)    data offset (2 MiB aligned)
 *   +----------+------------------------+ - - - - - - - - - - +------------------------------+ - - - - - - - +
 *   | header   | roster page 1 .. slots |  hole               | data, committed              | reserve       |
 *   +----------+------------------------+ - - - - - - - - - - +------------------------------+ - - - - - - - +
 *   A roster page takes memory only once a thread has used its slot; its number is its page's number, so 0 is nobody.
 */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include <os/os.h>
#include <stdatomic.h>
#include <stoa/segment.h>
#include <stoa/transfer.h>

#define SEGMENT_SLOTS_DEFAULT 1023u
#define SEGMENT_SLOTS_MAX 16383u

/* What a header says the segment holds. */
#define SEGMENT_KIND_DATA 0u
#define SEGMENT_KIND_MUTEX 1u
#define SEGMENT_KIND_EVENT 2u
#define SEGMENT_KIND_SEMAPHORE 3u

struct roster;

struct stoa_segment {
	/* Read by every lock and wait: one cache line, constant after opening but for `roster`. */
	uint32_t rights;	/* STOA_RIGHT_* of this handle; 0 in raw and read-only segments */
	uint32_t roster_slots;	/* 0 in raw segments */
	_Atomic(struct roster *) roster; /* roster layer: attached at first use */
	unsigned char *data;
	uint64_t reserve;

	os_handle memory;
	uint64_t data_offset;	/* of the data in the memory object */
	uint64_t identity[2];	/* the same for all handles of one memory object in this process */
	uint32_t kind;
	uint32_t flags;		/* STOA_RAW ... */
};

/* How the roster lets go when the handle closes. Set once by the roster layer (the segment layer must not call upwards). */
extern void (*segment_roster_detach)(struct roster *roster);

/*
 * Make sure that roster page `slot` (1..roster_slots) is backed by memory, so that touching it cannot fault. Cheap when
 * this handle has done it before. ENOMEM, ELIMIT.
 */
int segment_back_slot(struct stoa_segment *segment, uint32_t slot);

/*
 * Create, or create-or-open, a segment of one object of `kind`; `fill(segment, argument)` initialises it before its name
 * appears to anybody. Results as stoa_segment_create_or_open(); opening a name of another kind is EKIND.
 */
int segment_create_kind(const char *name, uint64_t reserve, const struct stoa_segment_options *options, uint32_t kind,
			int (*fill)(struct stoa_segment *segment, void *argument), void *argument, bool may_open,
			struct stoa_segment **ret_segment);
int segment_open_kind(const char *name, const struct stoa_segment_options *options, uint32_t kind,
		      struct stoa_segment **ret_segment);

/* A running or finished prefetch ends in a signal word (base/signal.h), manual-reset. */
_Atomic uint64_t *segment_prefetch_word(struct stoa_prefetch *prefetch);
int segment_prefetch_result(const struct stoa_prefetch *prefetch);

#endif
