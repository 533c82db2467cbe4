/* SPDX-License-Identifier: MIT */
/* What is known of a channel, of its places, and of who has them. Threads: any may ask. Not for signal handlers. Blocks on nobody. */
#ifndef STOA_CHANNEL_STAT_H
#define STOA_CHANNEL_STAT_H

#include <stdint.h>
#include <stoa/channel.h>
#include <stoa/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Read from the words that the ends keep anyway, without taking part. Each number is one of its moment, and of all that have had the
 * place; what is being sent just now may be missing, and a lag in messages is an estimate where they move too fast to be counted. Whoever
 * may write the channel can make the counts say anything; but no lag, use or hold is more than the rings have.
 */
#define STOA_END_FREE 0 /* stoa_sender_stat.state, stoa_receiver_stat.state */
#define STOA_END_ALIVE 1
#define STOA_END_DEAD 2 /* the next to join takes the place */
#define STOA_END_UNKNOWN \
	3 /* taken by a thread of another operating system, or session: whether it lives cannot be told */

struct stoa_sender_stat {
	uint32_t state;
	uint32_t slot;     /* its thread's place in the segment's roster: stoa_inspect_member() */
	uint32_t joined;   /* how many have had the place */
	uint32_t asleep;   /* 1: it waits for room, asleep */
	uint64_t messages; /* sent */
	uint64_t bytes;    /* of them, without what the ring needs beside them */
	uint64_t sleeps;   /* how often it slept */
	uint64_t wakes;    /* how often it woke a receiver */
	uint64_t used;     /* bytes of its ring that nobody may overwrite yet */
	uint64_t most;     /* at the most, as far as it looked: it does when the room that it knows of is used up */
	uint64_t area;     /* bytes that messages too large for the ring took at the most; they are used again */
	uint64_t lag;      /* messages not taken yet; of a broadcast: by the slowest living receiver */
	uint64_t lag_bytes;
};

struct stoa_receiver_stat {
	uint32_t state;
	uint32_t slot;
	uint32_t joined;
	uint32_t asleep;    /* 1: it waits for messages, asleep */
	uint32_t when_slow; /* STOA_BLOCK ... */
	uint32_t reserved;  /* 0 */
	uint64_t messages;  /* received */
	uint64_t bytes;
	uint64_t lost; /* overwritten before it came to them, as far as it knows */
	uint64_t sleeps;
	uint64_t wakes;     /* how often it woke a sender */
	uint64_t lag;       /* messages that nobody has taken; of a broadcast: that it has not released */
	uint64_t lag_bytes; /* of the rings */
	uint64_t holds;     /* bytes of the rings that are not overwritten because of it */
};

#define STOA_STREAM 2 /* stoa_channel_stat.kind, beside STOA_QUEUE and STOA_BROADCAST: bytes, and no messages */

struct stoa_channel_stat {
	uint32_t kind; /* as created */
	uint32_t flags;
	uint32_t senders; /* places: so many entries below count */
	uint32_t receivers;
	uint64_t ring;
	uint64_t large; /* bytes that each sender may take for messages too large for its ring */
	uint32_t alignment;
	uint32_t senders_alive;
	uint32_t receivers_alive;
	uint32_t reserved;    /* 0 */
	uint64_t message_max; /* the longest message in bytes */
	uint64_t size;        /* as stoa_channel_size() */
	struct stoa_sender_stat sender[STOA_ENDS_MAX];
	struct stoa_receiver_stat receiver[STOA_ENDS_MAX];
};

/*
 * How it is now; also through a segment's read-only handle. Of a channel that is not open: stoa_inspect_channel().
 * EINVAL, EFORMAT, EVERSION, ENOMEM, EIO, ESYSTEM.
 */
STOA_API int stoa_channel_stat(const struct stoa_channel *channel, struct stoa_channel_stat *ret_stat);

#ifdef __cplusplus
}
#endif
#endif
