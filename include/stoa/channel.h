/* SPDX-License-Identifier: MIT */
/*
 * Channels: messages of any size between processes, without copies and, while nobody sleeps, without system calls.
 *
 * A channel has a fixed number of places for senders and for receivers, which join and leave at any time, or die. A queue gives
 * each message to exactly one receiver, a broadcast to every receiver. Messages of one sender arrive in its order; those of
 * several senders are not ordered among each other.
 *
 * An end (a sender or a receiver) is used by one thread at a time, and belongs to the thread that joined: to the others it is
 * gone when that thread ends, or lets its process be killed; what is left of it fails with ENOTOWNER when it would wait, and must
 * leave still. A forked child must not use its parent's ends (ENOTOWNER); it opens the channel and joins itself. An end that is
 * watched (stoa_watch_open()) leaves after its watch was closed. Nothing here may be called from a signal handler.
 *
 * What a dead sender had not committed is never seen; what it had committed is received. What a dead receiver of a queue had
 * received, released or not, is gone with it; the rest goes to others. Nobody waits on the dead.
 */
#ifndef STOA_CHANNEL_H
#define STOA_CHANNEL_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>
#include <stoa/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_channel; /* a handle, of this process only; so are the ends */
struct stoa_sender;
struct stoa_receiver;

#define STOA_ENDS_MAX 64 /* senders of a channel, and receivers */

/* stoa_channel_options.kind */
#define STOA_QUEUE 0
#define STOA_BROADCAST 1

/* stoa_channel_options.flags */
#define STOA_TIMES (1u << 0) /* each message carries the time of its commit */

struct stoa_channel_options { /* all zero: a queue from one sender to one receiver */
	uint32_t kind;
	uint32_t flags;
	uint32_t
		senders; /* places, at most STOA_ENDS_MAX; 0 is 1. One place is wait-free; so is each sender of several */
	uint32_t receivers;
	uint64_t
		ring; /* bytes for messages on their way, of each sender; a power of two from 4 KiB to 1 GiB; 0 is 256 KiB */
	uint32_t alignment;     /* of messages: a power of two, 16 (0) to 4096 */
	uint32_t segment_flags; /* by name: STOA_PERSISTENT, STOA_GLOBAL */
	uint64_t
		large; /* bytes for messages on their way that are too large for the ring (a quarter of it), of each sender; at most 1 TiB. Reserved,
			  and committed as they are needed: 0 is 64 MiB. In a segment of yours committed at once: 0 is none */
};

/*
 * A channel by name, or unnamed (NULL) for threads and forked children of this process, and for whom it is handed to
 * (stoa/grant.h). Creating commits its memory. The caller
 * owns *ret_channel. create_or_open: STOA_EXISTED when it was there; it keeps its own options. Errors as
 * stoa_segment_create_or_open(); EINVAL with the option in the sentence; EFORMAT.
 */
STOA_API int stoa_channel_create(const char *name, const struct stoa_channel_options *options,
				 struct stoa_channel **ret_channel);
STOA_API int stoa_channel_open(const char *name, uint32_t segment_flags, struct stoa_channel **ret_channel);
STOA_API int stoa_channel_create_or_open(const char *name, const struct stoa_channel_options *options,
					 struct stoa_channel **ret_channel);

/*
 * A channel inside a segment of yours, at `offset` of its data (whole pages): stoa_channel_size() tells the bytes it takes, which
 * place() commits and fills; nobody else may use them yet. attach() opens what was placed there, through a read-only handle to look only
 * (joining: ERIGHTS). Both borrow the segment, which must outlive the channel. EINVAL, ERANGE, ERIGHTS, ENOTSUP, EFORMAT, ENOMEM, ELIMIT.
 */
STOA_API int stoa_channel_size(const struct stoa_channel_options *options, uint64_t *ret_size);
STOA_API int stoa_channel_place(struct stoa_segment *segment, uint64_t offset,
				const struct stoa_channel_options *options, struct stoa_channel **ret_channel);
STOA_API int stoa_channel_attach(struct stoa_segment *segment, uint64_t offset, struct stoa_channel **ret_channel);

/* All its ends of this process must have left. NULL is allowed. */
STOA_API void stoa_channel_close(struct stoa_channel *channel);

/* How an end waits: stoa_sender_options.waiting, stoa_receiver_options.waiting. */
#define STOA_BALANCED 0 /* looks for a short while, as long as that pays, then sleeps */
#define STOA_SPIN \
	1 /* looks until the deadline: lowest latency, a whole CPU. (A receiver that took eight or more in a row looks away for
			   a microsecond, and as long as as many come in each, for up to about six: it takes less of the sender's time) */
#define STOA_SLEEP 2 /* sleeps at once: least CPU */

/* stoa_sender_options.flags, stoa_receiver_options.flags */
#define STOA_UNTIL_PEERS_LEAVE \
	(1u << 0) /* waiting ends with STOA_CLOSED when there were ends on the other side and none is left */
/*
 * Of a receiver of a broadcast: an observer, which takes no place, writes nothing that others read, and is waited for by nobody. What it
 * is too slow for is lost to it, as with STOA_DROP_OLDEST; it looks every few milliseconds, as nobody wakes it, and not in wait sets.
 */
#define STOA_OBSERVE (1u << 1)

struct stoa_sender_options { /* all zero is the default */
	uint32_t waiting;
	uint32_t flags;
};

/* stoa_receiver_options.when_slow: of a broadcast, what happens when this receiver is in the way of a sender that needs room. */
#define STOA_BLOCK 0       /* the sender waits */
#define STOA_DROP_OLDEST 1 /* what it has not received is overwritten, the oldest first; it is told how many it lost */
#define STOA_DETACH \
	2 /* the same, but its next receive fails with ECLOSED; also once it lags by more than `lag` messages */

/* stoa_receiver_options.from: where in a broadcast it begins. */
#define STOA_FROM_NOW 0
#define STOA_FROM_OLDEST 1 /* the oldest message still kept, of each sender */

struct stoa_receiver_options { /* all zero is the default */
	uint32_t waiting;
	uint32_t flags;
	uint32_t when_slow;
	uint32_t from;
	uint64_t lag; /* STOA_DETACH; 0: only when it is in the way */
};

/*
 * Take part. ELIMIT: all places are taken by the living (or the roster is full). ERIGHTS: this handle was opened, or handed over, without
 * that right. leave() cancels what is on loan, releases what is unreleased, and frees the end; NULL is allowed. EINVAL, ENOMEM, ENOTSUP
 * (the system proves no lives), EFORMAT (a lane that was overwritten).
 */
STOA_API int stoa_sender_join(struct stoa_channel *channel, const struct stoa_sender_options *options,
			      struct stoa_sender **ret_sender);
STOA_API void stoa_sender_leave(struct stoa_sender *sender);
STOA_API int stoa_receiver_join(struct stoa_channel *channel, const struct stoa_receiver_options *options,
				struct stoa_receiver **ret_receiver);
STOA_API void stoa_receiver_leave(struct stoa_receiver *receiver);

/* A message being written, in place. */
struct stoa_loan {
	void *bytes;
	uint64_t length; /* may be lowered before the commit */
	uint64_t opaque[2];
};

/*
 * loan: room for a message of `length` bytes, waiting for it until `deadline` (STOA_TRY, STOA_FOREVER, stoa_deadline_in()). Up to
 * STOA_LOANS_MAX may be out at a time, counted from the oldest that is; messages go in the order of their loans, so one that is committed before
 * an earlier one waits for that. 0, STOA_TIMED_OUT, STOA_CLOSED. ERANGE: longer than the channel can ever carry
 * (stoa_channel_stat()). ELIMIT: too many loans. EINVAL.
 * commit: send it; the other side can receive it from now on. cancel: give it back unsent. EINVAL: not on loan. Neither waits.
 */
#define STOA_LOANS_MAX 64
STOA_API int stoa_sender_loan(struct stoa_sender *sender, uint64_t length, uint64_t deadline,
			      struct stoa_loan *ret_loan);
STOA_API int stoa_sender_commit(struct stoa_sender *sender, const struct stoa_loan *loan);
STOA_API int stoa_sender_cancel(struct stoa_sender *sender, const struct stoa_loan *loan);

/*
 * Wait until all that was sent has been received and released: of a queue by whoever it went to, of a broadcast by all who
 * make its senders wait (STOA_BLOCK); where there are none, it has been. Nothing has to be flushed to arrive: this is for who wants to
 * know, e.g. before the last to have the name open goes. 0, STOA_TIMED_OUT, STOA_CLOSED (STOA_UNTIL_PEERS_LEAVE). EINVAL.
 */
STOA_API int stoa_sender_flush(struct stoa_sender *sender, uint64_t deadline);

/* A message that was received, in place: valid until released. */
struct stoa_message {
	const void *bytes;
	uint64_t length;
	uint64_t sequence; /* counts the messages of its sender's place, from 0 */
	uint64_t time;     /* STOA_TIMES: stoa_now() at its commit; else 0 */
	uint64_t lost;     /* of a broadcast: how many of this sender's were overwritten before this one */
	uint32_t sender;   /* its place */
	uint32_t reserved;
	uint64_t opaque[2];
};

/*
 * receive: the next message, waiting for it until `deadline`. Up to STOA_UNRELEASED_MAX may be unreleased at a time, per sender, counted from
 * the oldest that is, released in any order; a sender's room comes back in its order. 0, STOA_TIMED_OUT, STOA_CLOSED (STOA_UNTIL_PEERS_LEAVE, and all is received).
 * ECLOSED: detached. ELIMIT: too many unreleased. EFORMAT: the memory was overwritten.
 * release: done with it. STOA_OVERRUN (only with STOA_DROP_OLDEST and STOA_DETACH): it was being overwritten while you had it; what was
 * read may be of a later message. EINVAL: not received, or released before.
 */
#define STOA_UNRELEASED_MAX 64
STOA_API int stoa_receiver_receive(struct stoa_receiver *receiver, uint64_t deadline, struct stoa_message *ret_message);
STOA_API int stoa_receiver_release(struct stoa_receiver *receiver, const struct stoa_message *message);

/*
 * With copies. send: results as loan. recv: into `buffer`, of `room` bytes, whose address is then the message's; it is not to be
 * released, and is never one that was overwritten meanwhile. ERANGE: it is longer, and stays. Other results as receive.
 */
STOA_API int stoa_sender_send(struct stoa_sender *sender, const void *bytes, uint64_t length, uint64_t deadline);
STOA_API int stoa_receiver_recv(struct stoa_receiver *receiver, void *buffer, uint64_t room, uint64_t deadline,
				struct stoa_message *ret_message);

/*
 * Several at once, for less each. send_batch: copies, in this order; *ret_sent tells how many were sent, also where it fails: results as
 * send, of the first that was not. receive_batch: waits as receive for one, and takes what else is there, up to `most`.
 * release_batch: STOA_OVERRUN if any of them was; EINVAL: one was not held, those before it are released.
 */
struct stoa_bytes {
	const void *bytes;
	uint64_t length;
};
STOA_API int stoa_sender_send_batch(struct stoa_sender *sender, const struct stoa_bytes *messages, uint32_t count,
				    uint64_t deadline, uint32_t *ret_sent);
STOA_API int stoa_receiver_receive_batch(struct stoa_receiver *receiver, struct stoa_message *messages, uint32_t most,
					 uint64_t deadline, uint32_t *ret_count);
STOA_API int stoa_receiver_release_batch(struct stoa_receiver *receiver, const struct stoa_message *messages,
					 uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
