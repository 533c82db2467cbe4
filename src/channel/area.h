/* SPDX-License-Identifier: MIT */
/* The area of a lane, for messages too large for its ring. One sender's, and not shared between threads. */
#ifndef CHANNEL_AREA_H
#define CHANNEL_AREA_H

#include <channel/channel.h>

#define AREA_KEPT_MAX 256u /* messages in it at a time */

struct area_kept {
	uint64_t offset;
	uint64_t size;
	uint64_t end; /* position: of its record's end. Free when nobody reads before that */
};

struct channel_area {
	const struct stoa_segment *segment;
	unsigned char *bytes;
	uint64_t size;          /* of the reserve */
	uint64_t backed;        /* this process has committed it up to here */
	uint64_t most;          /* the furthest end of a message; also in *used */
	_Atomic uint64_t *used; /* the lane's */
	uint32_t first;         /* of the kept ones, modulo AREA_KEPT_MAX */
	uint32_t next;          /* behind the last of them */
	struct area_kept kept[AREA_KEPT_MAX];
};

/* Of a lane that goes on at `tail`: what the last owner left there counts as kept until all before that is received. */
void area_open(struct channel_area *area, const struct stoa_channel *channel, uint32_t lane, uint64_t tail);

/*
 * Room for a message of `size` bytes, whole pages, at most the area's. 1, or 0: there is none before the oldest that is kept is free. What was
 * taken is nobody's until it is kept. Errors as stoa_segment_commit().
 */
int area_take(struct channel_area *area, uint64_t size, uint64_t *ret_offset);
void area_keep(struct channel_area *area, uint64_t offset, uint64_t size, uint64_t end);

/* Nobody reads before `floor`. */
void area_pass(struct channel_area *area, uint64_t floor);

/* No record ends behind `position`: those that would have are given back. */
void area_drop(struct channel_area *area, uint64_t position);

/* Something is kept: where does the oldest one's record end? */
uint64_t area_waits_for(const struct channel_area *area);

/* Where do the records of the oldest end that have to go for less than `bytes` to be kept? 0: none have to. */
uint64_t area_surplus(const struct channel_area *area, uint64_t bytes);

#endif
