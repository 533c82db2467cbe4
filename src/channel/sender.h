/* SPDX-License-Identifier: MIT */
/*
 * The sending end, as the files that make it up see it: sender.c lends and publishes, room.c finds room. Uses sync and all below it.
 */
#ifndef CHANNEL_SENDER_H
#define CHANNEL_SENDER_H

#include <channel/area.h>

#define NOT_OUT UINT64_MAX      /* no position */
#define OTHERS (UINT64_MAX - 1) /* nor is this */
#define RESOLVED UINT64_C(1)    /* beside the position: committed or cancelled before an earlier one was */
#define WIDE UINT64_C(2)        /* beside the position: a wide record */

/* A loan that is out, or was resolved before an earlier one. In the order of positions. */
struct outstanding {
	uint64_t position;
	uint64_t room; /* payload bytes */
	uint32_t size;
	uint32_t info; /* of the record's word; without its length while it is out */
	uint64_t unused;
};

struct stoa_sender {
	struct channel_end end; /* first: see stoa_sender_leave() */

	/* What each message needs. */
	uint64_t position; /* of the next loan */
	uint64_t clear;    /* a plain record that ends here or before needs no look at lap, limit and zeroes; 0: none */
	uint64_t plain_max; /* the longest message of a plain record: one whose payload follows the header */
	/*
	 * A loan that is the only one out is noted here alone, as long as it is straightforward: where it is, WIDE beside it, and its
	 * length. NOT_OUT: none is out; OTHERS: they are among the outstanding ones. See settle().
	 */
	uint64_t only;
	uint64_t only_room;
	unsigned char *ring;
	uint64_t mask;
	uint32_t header;
	uint32_t first; /* of the outstanding ones, modulo STOA_LOANS_MAX */
	uint32_t next;  /* behind the last of them */
	bool timed;
	struct channel_lane *lane;
	uint64_t sequence; /* of the next message to be published */
	uint64_t bytes;
	struct outstanding outstanding[STOA_LOANS_MAX];

	uint64_t limit;  /* floor + ring: what it may write lies before */
	uint64_t low;    /* a plain record that ends behind this: zero more */
	uint64_t zeroed; /* the words of units from `position` up to here are zero */
	struct record_form form;
	uint64_t payload_max;
	uint64_t wide_max; /* the longest message of a wide record whose payload begins the line behind its header */
	_Atomic uint64_t floor; /* nobody reads what lies before */
	_Atomic uint64_t needs; /* what the last loan that found no room needs it up to */
	struct channel_shape shape;
	struct channel_area area;
};

static inline struct channel_record *sender_record(const struct stoa_sender *sender, uint64_t position)
{
	return record_at(sender->ring, sender->mask, position);
}

/* ---- room (room.c) ---- */

/* Is there room up to `needs`? `more` is what a broadcast gives up beyond what is needed, so as not to come back for each record. */
bool sender_find_room(struct stoa_sender *sender, uint64_t needs, uint64_t more, bool ask_life);

/* The end's ready(): could there be, up to what was needed last? */
bool sender_has_room(void *end, bool thorough);

/* Wait for room up to `needs`. As channel_end_wait(). */
int sender_wait_for_room(struct stoa_sender *sender, uint64_t needs, uint64_t more, uint64_t deadline);

#endif
