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
#define SEGMENT_KIND_CHANNEL 4u
#define SEGMENT_KIND_PAGER 5u
#define SEGMENT_KIND_LAST SEGMENT_KIND_PAGER

struct roster;

struct stoa_segment {
	/* Read by every lock and wait: one cache line, constant after opening but for `roster`. */
	uint32_t rights;                 /* STOA_RIGHT_* of this handle; 0 in raw and read-only segments */
	uint32_t roster_slots;           /* 0 in raw segments */
	_Atomic(struct roster *) roster; /* roster layer: attached at first use */
	unsigned char *data;
	uint64_t reserve;

	os_handle memory;
	uint64_t data_offset; /* of the data in the memory object */
	uint64_t identity[2]; /* the same for all handles of one memory object in this process */
	uint32_t kind;
	uint32_t flags; /* STOA_RAW ... */

	/*
	 * Bytes that this process has seen backed with memory, and that nobody can take away: what commit() compares with. A
	 * hostile peer may grow the object without backing it, so the object's length would not do.
	 */
	_Atomic uint64_t verified;
	_Atomic uint64_t backed; /* the same where others may cut the object, so that it is only a hint; else equal */
	uint64_t header_identity;
	struct os_extent extent; /* the main map, for os.h */
	struct os_name *name;    /* our use of the name, or NULL */
	uint32_t huge;           /* STOA_HUGE_* */
	bool writable;
	bool is_file;                   /* a user's file: its length is exact, in bytes */
	bool can_be_cut;                /* STOA_SHRINKABLE, a file, or not sealed by whoever sent it */
	bool of_other_system;           /* the objects inside are those of another system's threads, */
	bool out_of_sight;              /* or of threads whose life and sleep this process cannot know of */
	_Atomic uint64_t *backed_slots; /* bits: roster pages that this handle has seen backed */
	struct stoa_segment *next;      /* of this process's handles */
};

/*
 * Make a handle for an object that is open, and map it. `header` has been checked. On success the handle owns `memory` and
 * `name` (may be NULL). `writable` is what the object allows and the caller wants.
 */
struct segment_header;
int segment_attach(os_handle memory, const struct segment_header *header, bool writable, struct os_name *name,
		   struct stoa_segment **ret_segment);

/*
 * An object may not be as long as `length` bytes of data and what lies before them: -STOA_ELIMIT says so as one number. Put
 * before it what the number consists of. Returns `rc`, and does nothing to others.
 */
int segment_explain_length(int rc, uint64_t data_offset, uint64_t length);

/*
 * Back [from, to) of the data, in whole pages of the reserve, whatever lies before: that stays a hole if it is one. Only for who keeps
 * book of such ranges itself, since the segment's own length then says nothing about what lies before. Errors as stoa_segment_commit().
 */
int segment_commit_range(const struct stoa_segment *segment, uint64_t from, uint64_t to);

/* Can this range, of whole pages, be touched without a signal? Where others may write the segment, and take pages back, it may read as zeros. */
bool segment_is_there(const struct stoa_segment *segment, uint64_t offset, uint64_t length);

/* Check a range of whole pages in the reserve. -STOA_EINVAL, -STOA_ERANGE. */
int segment_check_range(const struct stoa_segment *segment, uint64_t offset, uint64_t length);

/* 0, or why the string cannot be a name: -STOA_ENAME. */
int segment_check_name(const char *name);

static inline uint64_t segment_round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* How the roster lets go when the handle closes. Set once by the roster layer (the segment layer must not call upwards). */
extern void (*segment_roster_detach)(struct stoa_segment *segment, struct roster *roster);

/*
 * The last handle that used the roster lets go: give it to another one of this process on the same memory, which has none yet, so
 * that what is held there stays held. false: there is none. Called with the roster layer's lock held.
 */
bool segment_pass_roster(const struct stoa_segment *from, struct roster *roster);

/*
 * Make sure that roster page `slot` (1..roster_slots) is backed by memory, so that touching it cannot fault. Cheap when
 * this handle has done it before. A read-only handle only looks whether it is: EFORMAT. ENOMEM, ELIMIT.
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

/*
 * For layers above that hand on segments of their own (transfer.c): another handle to the memory, with OS_WRITE only if who is at the other
 * end may have that; and the way back, where a `sender` of another user is refused memory that it could cut. On success the
 * segment owns `memory`. The third mixes what tells one object from another, for tokens.
 */
int segment_dup_for(const struct stoa_segment *segment, uint32_t access, int socket, os_handle *ret_memory);
int segment_take_from(os_handle memory, uint32_t sender, uint32_t kind, struct stoa_segment **ret_segment);
int segment_token_check(os_handle memory, uint32_t *ret_check);

/* What a prefetch does, step by step, in a thread of its own: for layers above, too. `owner` must outlive it. */
struct segment_fetch {
	int (*bring)(const struct segment_fetch *fetch, uint64_t at,
		     uint64_t length); /* 0 or an error, which ends it */
	void *owner;
	uint64_t offset, length, step;
};
int segment_prefetch_start(const struct segment_fetch *fetch, struct stoa_prefetch **ret_prefetch);

/* A running or finished prefetch ends in a signal word (base/signal.h), manual-reset. */
_Atomic uint64_t *segment_prefetch_word(struct stoa_prefetch *prefetch);
int segment_prefetch_result(const struct stoa_prefetch *prefetch);

#endif
