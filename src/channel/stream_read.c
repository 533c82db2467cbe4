/* SPDX-License-Identifier: MIT */
/*
 * The reader of a stream. Wait-free but for waiting for bytes. What lies before its hold is read, and may be overwritten; what lies
 * before the tail is there. See stream.h. Uses channel.h.
 */
#include <channel/stream.h>

#include <inttypes.h>
#include <string.h>

/* ---- looking ---- */

/* Also asked by a thread that watches this end through a descriptor: nothing is changed. */
static bool has_something(void *end, bool thorough)
{
	const struct stoa_reader *reader = end;

	if (load_rlx(&reader->lane->tail) != load_rlx(&reader->next) || load_rlx(&reader->lane->ending))
		return true;
	return thorough && channel_peers_left(end);
}

/* Go by what was written meanwhile. */
static inline int look(struct stoa_reader *reader)
{
	uint64_t next = load_rlx(&reader->next);
	uint64_t tail = load_acq(&reader->lane->tail); /* A1: the bytes; pairs with R1 in stream_write.c */

	if (CC_UNLIKELY(tail - next > reader->size || tail - next < reader->seen - next))
		return error_set(-STOA_EFORMAT, "the stream was overwritten: its writer is where it cannot be");
	reader->seen = tail;
	return 0;
}

static int tell_end(const struct stoa_reader *reader)
{
	if (reader->ending == ENDING_FINISHED)
		return STOA_CLOSED;
	if (reader->ending)
		return stream_told("writer", reader->ending);
	return error_set(-STOA_ETRUNCATED, "the writer died, or left, before it had finished");
}

/*
 * Has the stream ended? First whether its writer is gone, then what it said, then what it had written: it did these in the opposite order. So
 * bytes that are found now come first.
 */
static CC_NOINLINE int look_for_end(struct stoa_reader *reader)
{
	bool gone = channel_peers_left(&reader->end);
	uint32_t ending = load_acq(&reader->lane->ending); /* A2: the last tail; pairs with R2 in stream_write.c */
	int rc = look(reader);

	if (rc || reader->seen != load_rlx(&reader->next) || !(gone || ending))
		return rc;
	reader->has_ended = true;
	reader->ending = ending;
	return tell_end(reader);
}

#define WORTH UINT64_C(4096) /* bytes: more is not waited for */
#define LOOKS 2              /* at the tail, while it moves */
#define PAUSES 40            /* before each: some hundred nanoseconds */
#define PROBE 64             /* reads, before it is tried again */

/*
 * Who reads each small write as it comes takes the tail's line from the writer each time, and both are slow. So while more keeps
 * coming, let a little of it come. Where none did, this is not tried for a while: an answer that is alone is not held up.
 */
static CC_NOINLINE void let_more_come(struct stoa_reader *reader, uint64_t wanted)
{
	uint64_t next = load_rlx(&reader->next), before;

	if (reader->quiet) {
		reader->quiet--;
		return;
	}
	for (unsigned looks = 0; looks < LOOKS && reader->seen - next < wanted; looks++) {
		before = reader->seen;
		for (unsigned i = 0; i < PAUSES; i++)
			cc_pause();
		if (!look(reader) && reader->seen != before)
			continue;
		reader->quiet = looks ? 0 : PROBE;
		return;
	}
}

/* How many bytes are there, at least one; all of them, if those known before are fewer than `wanted`. */
static int some_bytes(struct stoa_reader *reader, uint64_t wanted, uint64_t deadline, uint64_t *ret_there)
{
	uint64_t next = load_rlx(&reader->next);
	bool late = false;
	int rc = 0;

	if (CC_UNLIKELY(reader->has_ended))
		return tell_end(reader);
	for (;;) {
		if (reader->seen - next < wanted)
			rc = look(reader);
		if (!rc && reader->seen == next)
			rc = look_for_end(reader);
		if (rc)
			return rc;
		if (reader->seen - next < wanted && reader->seen - next < WORTH && reader->seen != next &&
		    deadline != STOA_TRY && reader->end.waiting != STOA_SLEEP)
			let_more_come(reader, wanted < WORTH ? wanted : WORTH);
		*ret_there = reader->seen - next;
		if (CC_LIKELY(*ret_there))
			return 0;
		if (late)
			return STOA_TIMED_OUT;
		rc = channel_end_wait(&reader->end, deadline);
		if (rc < 0)
			return rc;
		late = rc || channel_too_late(deadline);
		rc = 0;
	}
}

/* ---- reading ---- */

static CC_NOINLINE int refuse(const struct stoa_reader *reader)
{
	if (reader && channel_end_is_parents(&reader->end))
		return channel_end_check(&reader->end);
	if (reader && reader->has_failed)
		return error_set(-STOA_EINVAL, "this reader has failed before");
	return error_set(-STOA_EINVAL, "no reader, no room, or no place for the bytes was given");
}

static inline bool is_usable(const struct stoa_reader *reader)
{
	return CC_LIKELY(reader && !reader->has_failed && !channel_end_is_parents(&reader->end));
}

/* So many bytes are read: the writer may have their room. */
static inline void give_back(struct stoa_reader *reader, uint64_t length)
{
	uint64_t next = load_rlx(&reader->next) + length, waiting;

	store_rlx(&reader->next, next);
	store_rel(reader->hold, next); /* R1: what was read; pairs with A1 in stream_write.c */
	waiting = channel_waiting(&reader->end);
	if (CC_UNLIKELY(waiting) && next >= load_rlx(&reader->lane->wants))
		channel_ring_bells(&reader->end, waiting);
}

#define PIECE UINT64_C(16384) /* of a long read, so that the writer can go on */

/* They are there. */
static inline void get(struct stoa_reader *reader, unsigned char *buffer, uint64_t length)
{
	while (length) {
		uint64_t next = load_rlx(&reader->next), to_end = stream_to_end(reader->size, next);
		uint64_t piece = length < PIECE ? length : PIECE;

		piece = piece < to_end ? piece : to_end;
		memcpy(buffer, reader->ring + (next & (reader->size - 1)), piece);
		give_back(reader, piece);
		buffer += piece;
		length -= piece;
	}
}

int stoa_stream_read(struct stoa_reader *reader, void *buffer, uint64_t room, uint64_t deadline, uint64_t *ret_got)
{
	uint64_t there;
	int rc;

	if (CC_UNLIKELY(!is_usable(reader) || !buffer || !room || !ret_got))
		return refuse(reader);
	reader->peeked = 0;
	rc = some_bytes(reader, room, deadline, &there);
	if (CC_UNLIKELY(rc)) {
		if (rc > 0)
			*ret_got = 0;
		return rc;
	}
	there = there < room ? there : room;
	get(reader, buffer, there);
	*ret_got = there;
	return 0;
}

int stoa_stream_peek(struct stoa_reader *reader, uint64_t deadline, const void **ret_bytes, uint64_t *ret_length)
{
	uint64_t there, next, to_end;
	int rc;

	if (CC_UNLIKELY(!is_usable(reader) || !ret_bytes || !ret_length))
		return refuse(reader);
	reader->peeked = 0;
	rc = some_bytes(reader, UINT64_MAX, deadline, &there);
	if (rc)
		return rc;
	next = load_rlx(&reader->next);
	to_end = stream_to_end(reader->size, next);
	reader->peeked = there < to_end ? there : to_end;
	*ret_bytes = reader->ring + (next & (reader->size - 1));
	*ret_length = reader->peeked;
	return 0;
}

int stoa_stream_consume(struct stoa_reader *reader, uint64_t length)
{
	if (CC_UNLIKELY(!is_usable(reader)))
		return refuse(reader);
	if (CC_UNLIKELY(length > reader->peeked))
		return error_set(-STOA_EINVAL, "%" PRIu64 " bytes: %" PRIu64 " were peeked at", length, reader->peeked);
	reader->peeked -= length;
	if (length)
		give_back(reader, length);
	return 0;
}

int stoa_reader_fail(struct stoa_reader *reader, int error)
{
	int rc = stream_check_error(error);
	uint64_t waiting;

	if (!rc)
		rc = is_usable(reader) ? channel_end_check(&reader->end) : refuse(reader);
	if (rc)
		return rc;
	reader->has_failed = true;
	store_rlx(&reader->self->ending, (uint32_t)error);
	waiting = channel_waiting(&reader->end);
	if (waiting)
		channel_ring_bells(&reader->end, waiting);
	return 0;
}

/* ---- joining and leaving ---- */

int stoa_reader_join(struct stoa_stream *stream, const struct stoa_reader_options *options,
		     struct stoa_reader **ret_reader)
{
	struct stoa_reader *reader;
	struct stoa_channel *channel;
	int rc;

	if (!stream || !ret_reader)
		return error_set(-STOA_EINVAL, "no stream, or no place for the reader, was given");
	reader = os_allocate(sizeof(*reader));
	if (!reader)
		return -STOA_ENOMEM;
	channel = &stream->channel;
	reader->end.ready = has_something;
	reader->ring = channel_ring(channel, 0);
	reader->size = channel->plan.shape.ring;
	reader->lane = &channel->lanes[0];
	reader->self = &channel->readers[0];
	reader->hold = channel_hold(channel, 0, 0);
	rc = stream_join(stream, &reader->end, options ? options->waiting : STOA_BALANCED, options ? options->flags : 0,
			 false);
	if (rc) {
		os_free(reader);
		return rc;
	}
	*ret_reader = reader;
	return 0;
}

void stoa_reader_leave(struct stoa_reader *reader)
{
	if (!reader)
		return;
	channel_end_leave(&reader->end);
	os_free(reader);
}
