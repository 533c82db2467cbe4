/* SPDX-License-Identifier: MIT */
/*
 * The writer of a stream. Wait-free but for waiting for room. What is written is there with the store of the lane's tail; before
 * that, nothing is. See stream.h. Uses channel.h.
 */
#include <channel/stream.h>

#include <inttypes.h>
#include <string.h>

/* ---- the reader ---- */

/* How the reader failed, left or died; 0: it has not. */
static CC_NOINLINE int reader_gone(struct stoa_writer *writer)
{
	bool gone = channel_peers_left(&writer->end);
	uint32_t ending = load_rlx(&writer->reader->ending);

	if (ending)
		return stream_told("reader", ending);
	return gone ? error_set(-STOA_ECLOSED, "the reader has left, or died") : 0;
}

/* The same in few instructions, where it has not. That it died is found when room is looked for. */
static inline int check_reader(struct stoa_writer *writer)
{
	if (CC_LIKELY(load_rlx(&writer->reader->owner) && !load_rlx(&writer->reader->ending)))
		return 0;
	return reader_gone(writer);
}

/* ---- room ---- */

/* Also asked by a thread that watches this end through a descriptor: nothing is changed. */
static bool has_room(void *end, bool thorough)
{
	const struct stoa_writer *writer = end;
	uint64_t needs = load_rlx(&writer->needs);

	if (needs <= writer->size || load_rlx(writer->hold) >= needs - writer->size ||
	    load_rlx(&writer->reader->ending))
		return true;
	return thorough && channel_peers_left(end);
}

/* Go by what the reader has read meanwhile. */
static CC_NOINLINE int find_room(struct stoa_writer *writer)
{
	/* A1: what it read; pairs with R1 in stream_read.c */
	uint64_t hold = load_acq(writer->hold), before = writer->limit - writer->size;
	uint64_t used = writer->position - hold;

	if (hold - before > writer->position - before)
		return error_set(-STOA_EFORMAT, "the stream was overwritten: its reader is where it cannot be");
	writer->limit = hold + writer->size;
	if (used > load_rlx(&writer->lane->most))
		store_rlx(&writer->lane->most, used);
	return 0;
}

/* Wait until the reader has read so much that the limit can be `needs`, it is gone, or the deadline passes. */
static int wait_for_limit(struct stoa_writer *writer, uint64_t needs, uint64_t deadline)
{
	store_rlx(&writer->needs, needs);
	store_rlx(&writer->lane->wants, needs - writer->size);
	return channel_end_wait(&writer->end, deadline);
}

/*
 * How much may be written, at least a byte; as much as `wanted` if that is there. Who waits does so for more than a byte, lest each byte that is
 * read wakes it.
 */
static int some_room(struct stoa_writer *writer, uint64_t wanted, uint64_t deadline, uint64_t *ret_room)
{
	uint64_t enough = wanted < writer->size / 4 ? wanted : writer->size / 4;
	bool late = false;
	int rc;

	for (;;) {
		rc = wanted > writer->limit - writer->position ? find_room(writer) : 0;
		if (rc)
			return rc;
		*ret_room = writer->limit - writer->position;
		if (CC_LIKELY(*ret_room))
			return 0;
		rc = reader_gone(writer);
		if (rc || late)
			return rc ? rc : STOA_TIMED_OUT;
		rc = wait_for_limit(writer, writer->position + enough, deadline);
		if (rc < 0)
			return rc;
		late = rc || channel_too_late(deadline);
	}
}

/* ---- writing ---- */

static CC_NOINLINE int refuse(const struct stoa_writer *writer)
{
	if (writer && channel_end_is_parents(&writer->end))
		return channel_end_check(&writer->end);
	if (writer && writer->has_ended)
		return error_set(-STOA_EINVAL, "the stream was finished, or failed, by this writer before");
	return error_set(-STOA_EINVAL, "no writer, no bytes, or no place for them was given");
}

static inline bool is_usable(const struct stoa_writer *writer)
{
	return CC_LIKELY(writer && !writer->has_ended && !channel_end_is_parents(&writer->end));
}

static inline void tell_reader(struct stoa_writer *writer)
{
	uint64_t waiting = channel_waiting(&writer->end);

	if (CC_UNLIKELY(waiting))
		channel_ring_bells(&writer->end, waiting);
}

/* So many bytes more are there. */
static inline void advance_tail(struct stoa_writer *writer, uint64_t length)
{
	writer->position += length;
	store_rel(&writer->lane->tail, writer->position); /* R1: the bytes; pairs with A1 in stream_read.c */
	tell_reader(writer);
}

#define PIECE UINT64_C(16384) /* of a long write, so that the reader can begin */

/* There is room for them. */
static inline void put(struct stoa_writer *writer, const unsigned char *bytes, uint64_t length)
{
	while (length) {
		uint64_t piece = length < PIECE ? length : PIECE,
			 to_end = stream_to_end(writer->size, writer->position);

		piece = piece < to_end ? piece : to_end;
		memcpy(writer->ring + (writer->position & (writer->size - 1)), bytes, piece);
		advance_tail(writer, piece);
		bytes += piece;
		length -= piece;
	}
}

static CC_NOINLINE int write_long(struct stoa_writer *writer, const unsigned char *bytes, uint64_t length,
				  uint64_t deadline, uint64_t *done)
{
	for (;;) {
		uint64_t rest = length - *done, room;
		int rc = some_room(writer, rest, deadline, &room);

		if (rc)
			return rc;
		room = room < rest ? room : rest;
		put(writer, bytes + *done, room);
		*done += room;
		if (*done == length)
			return 0;
		if (channel_too_late(deadline))
			return STOA_TIMED_OUT;
	}
}

int stoa_stream_write(struct stoa_writer *writer, const void *bytes, uint64_t length, uint64_t deadline,
		      uint64_t *ret_done)
{
	uint64_t done = 0;
	int rc;

	if (CC_UNLIKELY(!is_usable(writer) || (!bytes && length)))
		return refuse(writer);
	writer->reserved = 0;
	rc = check_reader(writer);
	if (CC_LIKELY(!rc && length <= writer->limit - writer->position)) {
		put(writer, bytes, length);
		done = length;
	} else if (!rc) {
		rc = write_long(writer, bytes, length, deadline, &done);
	}
	if (ret_done && (done || rc >= 0))
		*ret_done = done;
	return rc;
}

int stoa_stream_reserve(struct stoa_writer *writer, uint64_t most, uint64_t deadline, void **ret_bytes,
			uint64_t *ret_room)
{
	uint64_t room, to_end;
	int rc;

	if (CC_UNLIKELY(!is_usable(writer) || !most || !ret_bytes || !ret_room))
		return refuse(writer);
	writer->reserved = 0;
	rc = check_reader(writer);
	if (!rc)
		rc = some_room(writer, most, deadline, &room);
	if (rc)
		return rc;
	to_end = stream_to_end(writer->size, writer->position);
	room = room < most ? room : most;
	room = room < to_end ? room : to_end;
	writer->reserved = room;
	*ret_bytes = writer->ring + (writer->position & (writer->size - 1));
	*ret_room = room;
	return 0;
}

int stoa_stream_commit(struct stoa_writer *writer, uint64_t length)
{
	if (CC_UNLIKELY(!is_usable(writer)))
		return refuse(writer);
	if (CC_UNLIKELY(length > writer->reserved))
		return error_set(-STOA_EINVAL, "%" PRIu64 " bytes: %" PRIu64 " are reserved", length, writer->reserved);
	writer->reserved = 0;
	if (length)
		advance_tail(writer, length);
	return 0;
}

/* ---- the end ---- */

static int end_with(struct stoa_writer *writer, uint32_t ending)
{
	int rc = is_usable(writer) ? channel_end_check(&writer->end) : refuse(writer);

	if (rc)
		return rc;
	writer->has_ended = true;
	store_rel(&writer->lane->ending, ending); /* R2: the last tail; pairs with A2 in stream_read.c */
	tell_reader(writer);
	return 0;
}

int stoa_stream_finish(struct stoa_writer *writer)
{
	return end_with(writer, ENDING_FINISHED);
}

int stoa_writer_fail(struct stoa_writer *writer, int error)
{
	int rc = stream_check_error(error);

	return rc ? rc : end_with(writer, (uint32_t)error);
}

/* All is read when the reader leaves room for a whole ring. */
int stoa_stream_flush(struct stoa_writer *writer, uint64_t deadline)
{
	bool late = false;
	int rc;

	if (!writer || channel_end_is_parents(&writer->end))
		return refuse(writer);
	for (;;) {
		int gone = reader_gone(writer);

		rc = find_room(writer);
		if (rc || writer->limit == writer->position + writer->size)
			return rc;
		if (gone || late)
			return gone ? gone : STOA_TIMED_OUT;
		rc = wait_for_limit(writer, writer->position + writer->size, deadline);
		if (rc < 0)
			return rc;
		late = rc || channel_too_late(deadline);
	}
}

/* ---- joining and leaving ---- */

int stoa_writer_join(struct stoa_stream *stream, const struct stoa_writer_options *options,
		     struct stoa_writer **ret_writer)
{
	struct stoa_writer *writer;
	struct stoa_channel *channel;
	int rc;

	if (!stream || !ret_writer)
		return error_set(-STOA_EINVAL, "no stream, or no place for the writer, was given");
	writer = os_allocate(sizeof(*writer));
	if (!writer)
		return -STOA_ENOMEM;
	channel = &stream->channel;
	writer->end.ready = has_room;
	writer->ring = channel_ring(channel, 0);
	writer->size = channel->plan.shape.ring;
	writer->lane = &channel->lanes[0];
	writer->reader = &channel->readers[0];
	writer->hold = channel_hold(channel, 0, 0);
	writer->limit = writer->size;
	rc = stream_join(stream, &writer->end, options ? options->waiting : STOA_BALANCED, options ? options->flags : 0,
			 true);
	if (rc) {
		os_free(writer);
		return rc;
	}
	*ret_writer = writer;
	return 0;
}

void stoa_writer_leave(struct stoa_writer *writer)
{
	if (!writer)
		return;
	channel_end_leave(&writer->end);
	os_free(writer);
}
