/* SPDX-License-Identifier: MIT */
/*
 * A stream whose memory an enemy writes between the calls of both ends. The input's first bytes choose the ring, the rest what is overwritten
 * where, and what is done. Whatever comes out lies within the ring.
 */
#include <channel/stream.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define ARENA (UINT64_C(1) << 16)

struct input {
	const uint8_t *next;
	size_t left;
};

static uint64_t take(struct input *input, unsigned count)
{
	uint64_t value = 0;

	for (; count && input->left; count--, input->left--)
		value = value << 8 | *input->next++;
	return value;
}

static void judge(const struct stoa_stream *stream, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel_ring(&stream->channel, 0));
	uint64_t ring = stream->channel.plan.shape.ring;

	if (at >= ring || !length || length > ring - at)
		abort();
}

/* What an enemy may write: what the ends go by, near where they are; or a word anywhere. */
static void overwrite(struct stoa_channel *channel, struct input *input)
{
	uint64_t where = take(input, 2), kind = take(input, 1), value = take(input, 1 + kind % 8);
	uint64_t all = channel->plan.receiving_length + channel->plan.sending_length;

	if (kind & 16)
		store_rlx(&channel->lanes[0].tail, load_rlx(&channel->lanes[0].tail) + value - (kind & 8 ? 4096 : 0));
	else if (kind & 32)
		store_rlx(channel_hold(channel, 0, 0),
			  load_rlx(channel_hold(channel, 0, 0)) + value - (kind & 8 ? 4096 : 0));
	else if (kind & 64)
		store_rlx(kind & 8 ? &channel->lanes[0].ending : &channel->readers[0].ending, (uint32_t)value);
	else
		store_rlx((_Atomic uint64_t *)(void *)(channel->receiving + where * 8 % all), value);
}

static void write_some(struct stoa_stream *stream, struct stoa_writer *writer, struct input *input)
{
	static const unsigned char bytes[10000];
	uint64_t choice = take(input, 2), deadline = choice & 1 ? STOA_TRY : stoa_deadline_in(1), done = 0, room;
	void *at;

	if (!writer)
		return;
	if (choice & 2) {
		(void)stoa_stream_write(writer, bytes, choice % sizeof(bytes), deadline, &done);
		if (done > choice % sizeof(bytes))
			abort();
	} else if (stoa_stream_reserve(writer, choice + 1, deadline, &at, &room) == 0) {
		judge(stream, at, room);
		memset(at, 1, room);
		if (stoa_stream_commit(writer, choice % (room + 1)))
			abort();
	}
	if (choice % 32 == 31)
		(void)stoa_stream_flush(writer, STOA_TRY);
	if (choice % 64 == 63)
		(void)(choice & 64 ? stoa_stream_finish(writer) : stoa_writer_fail(writer, -STOA_EIO));
}

static void read_some(struct stoa_stream *stream, struct stoa_reader *reader, struct input *input)
{
	static unsigned char copy[10000];
	uint64_t choice = take(input, 2), deadline = choice & 1 ? STOA_TRY : stoa_deadline_in(1), got = 0;
	const void *at;

	if (!reader)
		return;
	if (choice & 2) {
		if (stoa_stream_read(reader, copy, choice % sizeof(copy) + 1, deadline, &got) == 0 &&
		    (!got || got > choice % sizeof(copy) + 1))
			abort();
	} else if (stoa_stream_peek(reader, deadline, &at, &got) == 0) {
		judge(stream, at, got);
		memcpy(copy, at, got);
		if (stoa_stream_consume(reader, choice % (got + 1)))
			abort();
	}
	if (choice % 64 == 63)
		(void)stoa_reader_fail(reader, -STOA_EIO);
}

static void use(struct stoa_stream *stream, struct input *input)
{
	struct stoa_writer *writer = NULL;
	struct stoa_reader *reader = NULL;

	while (input->left) {
		switch (take(input, 1) % 8) {
		case 0:
		case 1: overwrite(&stream->channel, input); break;
		case 2:
		case 3: write_some(stream, writer, input); break;
		case 4:
		case 5: read_some(stream, reader, input); break;
		case 6:
			stoa_writer_leave(writer);
			writer = NULL;
			store_rlx(&stream->channel.lanes[0].joined, 0);
			(void)stoa_writer_join(stream, NULL, &writer);
			break;
		default:
			stoa_reader_leave(reader);
			reader = NULL;
			store_rlx(&stream->channel.readers[0].joined, 0);
			(void)stoa_reader_join(stream, NULL, &reader);
		}
	}
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
}

static struct stoa_segment *arena(void)
{
	static struct stoa_segment *segment;
	static const struct stoa_segment_options options = {.commit = ARENA};

	if (!segment && stoa_segment_create(NULL, ARENA, &options, &segment))
		abort();
	return segment;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input input = {bytes, length};
	const struct stoa_stream_options options = {.ring = take(&input, 1) & 1 ? 4096 : 8192};
	struct stoa_stream *stream;
	uint64_t size;

	/* At the end of the memory, so that what lies behind it is nobody's. */
	if (stoa_stream_size(&options, &size) || stoa_stream_place(arena(), ARENA - size, &options, &stream))
		abort();
	use(stream, &input);
	stoa_stream_close(stream);
	return 0;
}
