/* SPDX-License-Identifier: MIT */
/*
 * A channel as it lies in shared memory. Two parts, each written by one side only, so that the system can keep either side
 * from writing the other's: senders write the sending part, receivers the receiving part.
 *
 *   receiving part, 0          4096        4096 + 640           + 128 each           whole lines each         + 64 each
 *   +--------------------------+-----------+--------------------+--------------------+------------------------+-------+
 *   | header (constant)        | waiting,  | readers            | holds: a row per   | heads: a line per lane | pad   |
 *   |                          | bells     | 0 .. receivers - 1 | reader, a word per | (queue only)           |       |
 *   |                          |           |                    | lane               |                        |       |
 *   +--------------------------+-----------+--------------------+--------------------+------------------------+-------+
 *   sending part, 0            4096        4096 + 640           whole pages              whole pages, committed as needed
 *   +--------------------------+-----------+--------------------+-------------------------+- - - - - - - - - - - - - - - +
 *   | header (the same)        | waiting,  | lanes              | rings: one per lane     | areas: one per lane, for     |
 *   |                          | bells     | 0 .. senders - 1   |                         | messages too large for it    |
 *   +--------------------------+-----------+--------------------+-------------------------+- - - - - - - - - - - - - - - +
 *
 * A *lane* belongs to one sender at a time: a ring of records that it alone writes. Positions in a lane count bytes from its first
 * owner on and never wrap; a position modulo the ring's size is a place in the ring.
 *
 * Record, at the begin of a line:
 *   0        8          16                  (32 with STOA_TIMES)
 *   +--------+----------+- - - - - - - - - -+- - - - - - -+------------------- - - -
 *   | word   | sequence | time, 0           | alignment   | payload
 *   +--------+----------+- - - - - - - - - -+- - - - - - -+------------------- - - -
 *   word: {position / 64 + 1 : 32 | kind : 4 | length : 28}, 0: not published.
 *
 * A message that is too large for the ring lies in its lane's area, in whole pages, which come back in the order of the records. Its record's
 * payload, with no alignment, is the place: {offset in the area : 64 | length : 64}.
 *
 * The word is written last. The word behind a record is zeroed before the record is published; so a reader at that place polls
 * a word that is either 0 or the record's, and never what an earlier lap's payload left there. No two records share a line:
 * who polls for the next one takes no line from the sender that it still writes, and had to get back. The payload of a wide one
 * begins a line, as what it costs is the copy.
 *
 *   field                written by                    a crash between two stores leaves
 *   lane.owner           CAS of who joins or leaves    a dead owner: the place is free for who joins next
 *   lane.sent, tail      owner, in this order, after   the next owner walks on from `tail` over what is published
 *                        the record's word
 *   lane.floor           owner, before it overwrites   raised, and the holds not looked at again: the next owner lowers it
 *   lane.given_up        owner, after that look        less is kept than could be
 *   lane.area_used       owner, before it uses it      the next owner uses nothing before it until all is received
 *   reader.owner         CAS of who joins or leaves    a dead owner: its holds count for nothing
 *   reader.settled       reader, when it has joined    somebody who is not, or no longer, the owner: it is not there
   hold[r][l]           reader r                      all from here on is (still) its; HOLD_NONE: nothing
 *   head[l]              queue: receivers (CAS when    what was taken by the dead is lost with it
 *                        there may be several)
 *   waiting, sleeps_on   the sleeper                   a bit of the dead: a bell is rung for nobody
 *   bells                whoever wakes                 a sleeper that was not woken: the relay word wakes it, or it sees the other half
 *
 * A stream has one lane and one reader, and no records: its ring holds bytes. `tail` and the reader's hold are exact then, and count
 * bytes; they are what the other side goes by.
 */
#ifndef CHANNEL_LAYOUT_H
#define CHANNEL_LAYOUT_H

#include <base/atomic.h>
#include <os/os.h>
#include <stoa/channel.h>

#define CHANNEL_LINE 64u
#define CHANNEL_RECORD_UNIT ((uint64_t)CHANNEL_LINE)
#define CHANNEL_RING_MIN UINT64_C(4096)
#define CHANNEL_RING_MAX (UINT64_C(1) << 30)
#define CHANNEL_RING_DEFAULT (UINT64_C(256) << 10)
#define CHANNEL_LARGE_MAX (UINT64_C(1) << 40)
#define CHANNEL_LARGE_DEFAULT (UINT64_C(64) << 20) /* where it is committed as needed */

#define CHANNEL_STREAM 2 /* kind, beside STOA_QUEUE and STOA_BROADCAST: a ring of bytes */

/* What was asked for, with defaults filled in. Everything else follows from it. */
struct channel_shape {
	uint32_t kind;
	uint32_t flags;
	uint32_t senders;
	uint32_t receivers;
	uint64_t ring;
	uint32_t alignment;
	uint32_t unused;
	uint64_t large; /* bytes of a lane's area */
};
_Static_assert(sizeof(struct channel_shape) == 40, "layout");

struct channel_header {
	uint8_t magic[8]; /* "STOACHN\n" */
	uint64_t layout;  /* hash of the layout's description */
	struct channel_shape shape;
	uint64_t check; /* hash of the bytes before */
};
_Static_assert(offsetof(struct channel_header, layout) == 8, "layout");
_Static_assert(offsetof(struct channel_header, shape) == 16, "layout");
_Static_assert(offsetof(struct channel_header, check) == 56, "layout");
_Static_assert(sizeof(struct channel_header) == 64, "layout");

/* One side's part in waking: bit n of `waiting` is set by end n of this side while it sleeps; bells are rung for the other's. */
struct channel_bells {
	_Atomic uint64_t waiting;
	_Atomic uint32_t fences; /* 1: an end of this side cannot impose barriers on the others */
	uint8_t pad_12[52];
	_Atomic uint64_t
		bells[STOA_ENDS_MAX]; /* a count, twice: the low half is slept on, the high half only compared */
	uint8_t pad_576[64];
};
_Static_assert(offsetof(struct channel_bells, bells) == 64, "layout");
_Static_assert(sizeof(struct channel_bells) == 640, "layout");

struct channel_lane {
	/* One line, that the others seldom look at. */
	_Atomic uint64_t owner; /* roster identity; 0: nobody */
	_Atomic uint64_t tail;  /* where the next record goes; may be behind */
	_Atomic uint64_t sent;  /* messages, of all owners; may be behind */
	_Atomic uint64_t bytes;
	_Atomic uint64_t sleeps;
	_Atomic uint64_t wakes;
	_Atomic uint64_t most; /* bytes of the ring in use, at the most */
	uint8_t pad_56[8];
	/* Another, that changes a few times per lap. */
	_Atomic uint64_t floor;     /* what lies before this may be overwritten */
	_Atomic uint64_t wants;     /* a sleeping sender: holds that are not beyond this are no news */
	_Atomic uint32_t sleeps_on; /* value of its bell */
	_Atomic uint32_t joined;    /* owners so far */
	_Atomic uint64_t given_up;  /* what lies before this may have been overwritten */
	_Atomic uint32_t ending;    /* of a stream: how its writer ended it */
	uint8_t pad_100[4];
	_Atomic uint64_t area_used; /* bytes of its area that messages may lie in */
	uint8_t pad_112[16];
};
_Static_assert(offsetof(struct channel_lane, floor) == 64, "layout");
_Static_assert(offsetof(struct channel_lane, joined) == 84, "layout");
_Static_assert(offsetof(struct channel_lane, given_up) == 88, "layout");
_Static_assert(offsetof(struct channel_lane, ending) == 96, "layout");
_Static_assert(offsetof(struct channel_lane, area_used) == 104, "layout");
_Static_assert(sizeof(struct channel_lane) == 128, "layout");

struct channel_reader {
	_Atomic uint64_t owner; /* roster identity; 0: nobody */
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
	_Atomic uint64_t lost;
	_Atomic uint64_t sleeps;
	_Atomic uint64_t wakes;
	uint8_t pad_48[16];
	/* Looked at by senders that need room, or wake. */
	_Atomic uint64_t lag;
	_Atomic uint32_t when_slow; /* STOA_BLOCK ... */
	_Atomic uint32_t sleeps_on; /* value of its bell */
	_Atomic uint32_t joined;
	_Atomic uint32_t ending;  /* of a stream: how its reader failed */
	_Atomic uint64_t settled; /* the owner that has set its holds: senders may wait for it to come */
	uint8_t pad_96[32];
};
_Static_assert(offsetof(struct channel_reader, lag) == 64, "layout");
_Static_assert(offsetof(struct channel_reader, joined) == 80, "layout");
_Static_assert(offsetof(struct channel_reader, ending) == 84, "layout");
_Static_assert(offsetof(struct channel_reader, settled) == 88, "layout");
_Static_assert(sizeof(struct channel_reader) == 128, "layout");

struct channel_head {
	_Atomic uint64_t position; /* of the next record to be taken */
	uint8_t pad_8[56];
};
_Static_assert(sizeof(struct channel_head) == 64, "layout");

#define HOLD_NONE UINT64_MAX

/* ---- records ---- */

struct channel_record {
	_Atomic uint64_t word;
	_Atomic uint64_t sequence;
	_Atomic uint64_t time; /* STOA_TIMES; else payload */
	uint8_t pad_24[8];
};
_Static_assert(sizeof(struct channel_record) == 32, "layout");
#define RECORD_HEADER UINT64_C(16)
#define RECORD_HEADER_TIMED UINT64_C(32)

#define RECORD_LENGTH_BITS 28
#define RECORD_LENGTH_MASK ((UINT32_C(1) << RECORD_LENGTH_BITS) - 1)
#define RECORD_MESSAGE (UINT32_C(1) << RECORD_LENGTH_BITS)
#define RECORD_SKIP (UINT32_C(2) << RECORD_LENGTH_BITS)     /* nothing: cancelled; `length` counts lines, all in all */
#define RECORD_SKIP_LAP (UINT32_C(3) << RECORD_LENGTH_BITS) /* nothing up to the ring's end */
#define RECORD_WIDE (UINT32_C(4) << RECORD_LENGTH_BITS)     /* a message whose payload begins a line */
#define RECORD_LARGE (UINT32_C(5) << RECORD_LENGTH_BITS)    /* a message elsewhere: the payload is the place */
#define RECORD_KIND_MASK (~RECORD_LENGTH_MASK)

static inline uint32_t record_tag(uint64_t position)
{
	return (uint32_t)(position / CHANNEL_RECORD_UNIT + 1);
}

/* A loan of this many bytes is a wide record. */
#define RECORD_WIDE_FROM UINT64_C(512)

static inline uint64_t record_word(uint64_t position, uint32_t info)
{
	return (uint64_t)record_tag(position) << 32 | info;
}

/* The payload of a large one. */
struct channel_place {
	_Atomic uint64_t offset; /* in the lane's area, in whole pages */
	_Atomic uint64_t length;
};
_Static_assert(sizeof(struct channel_place) == 16, "layout");

/* ---- where everything is ---- */

/* What a record looks like in this channel: follows from the shape. */
struct record_form {
	uint64_t ring;
	uint32_t payload;        /* offset of the payload, where that is the same in every record */
	uint32_t alignment;      /* 0: it is */
	uint32_t wide_alignment; /* of the wide ones */
	uint32_t unused;
};

struct channel_plan {
	struct channel_shape shape;
	struct record_form form;
	uint64_t readers, holds, hold_row, heads, receiving_length; /* offsets in, and length of, the receiving part */
	uint64_t lanes, rings, sending_length; /* and of the sending part's, as far as it is committed */
	uint64_t areas, sending_reserve;       /* and of all of it */
	uint64_t payload_max;                  /* bytes of a message in a ring */
};
#define CHANNEL_BELLS UINT64_C(4096) /* offset of the bells in both parts */

/* Check the options, fill in their defaults and lay everything out. EINVAL. */
int channel_plan(const struct stoa_channel_options *options, struct channel_plan *ret_plan);
int channel_plan_stream(uint64_t ring, struct channel_plan *ret_plan);

/* Write a part's header; check one that was copied from shared memory, and lay out what it says. EFORMAT, EVERSION. */
void channel_header_write(const struct channel_plan *plan, void *part);
int channel_header_read(const struct channel_header *header, struct channel_plan *ret_plan);

/* Is it the begin of one, of this layout, whatever else is wrong with it? */
bool channel_header_is_marked(const struct channel_header *header);

#endif
