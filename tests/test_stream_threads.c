/* SPDX-License-Identifier: MIT */
/* Streams between threads on one mapping, for the thread sanitizer: whatever one end writes, the other may read, and the reverse. */
#include <harness/test.h>

#include <stoa/stoa.h>
#include <string.h>

#define RING UINT64_C(4096)
#define LENGTH (UINT64_C(200) * 1000)

struct board {
	uint32_t waiting;
	_Atomic uint64_t got;
};

static struct stoa_segment *segment;

static struct stoa_stream *attach(void)
{
	struct stoa_stream *stream;

	CHECK_RC(stoa_stream_attach(segment, 0, &stream), 0);
	return stream;
}

static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)(position * 31 + position / RING * 7);
}

static void write_all(void *argument)
{
	struct board *board = argument;
	struct stoa_stream *stream = attach();
	struct stoa_writer *writer;
	unsigned char bytes[2 * RING];
	uint64_t written = 0;

	CHECK_RC(stoa_writer_join(stream, &(struct stoa_writer_options){.waiting = board->waiting}, &writer), 0);
	for (uint64_t turn = 0; written < LENGTH; turn++) {
		uint64_t length = turn % 20 ? turn % 97 + 1 : sizeof(bytes);
		void *to = bytes;

		if (turn % 2)
			CHECK_RC(stoa_stream_reserve(writer, length, STOA_FOREVER, &to, &length), 0);
		for (uint64_t i = 0; i < length; i++)
			((unsigned char *)to)[i] = byte_at(written + i);
		if (turn % 2)
			CHECK_RC(stoa_stream_commit(writer, length), 0);
		else
			CHECK_RC(stoa_stream_write(writer, to, length, STOA_FOREVER, NULL), 0);
		written += length;
	}
	CHECK_RC(stoa_stream_finish(writer), 0);
	CHECK_RC(stoa_stream_flush(writer, STOA_FOREVER), 0);
	stoa_writer_leave(writer);
	stoa_stream_close(stream);
}

static void read_all(void *argument)
{
	struct board *board = argument;
	struct stoa_stream *stream = attach();
	struct stoa_reader *reader;
	unsigned char bytes[2 * RING];
	uint64_t position = 0, got;
	int rc = 0;

	CHECK_RC(stoa_reader_join(stream, &(struct stoa_reader_options){.waiting = board->waiting}, &reader), 0);
	for (uint64_t turn = 0;; turn++) {
		const void *from = bytes;

		if (turn % 2)
			rc = stoa_stream_peek(reader, STOA_FOREVER, &from, &got);
		else
			rc = stoa_stream_read(reader, bytes, turn % 10 ? 50 : sizeof(bytes), STOA_FOREVER, &got);
		if (rc)
			break;
		for (uint64_t i = 0; i < got; i++)
			CHECK_EQ(((const unsigned char *)from)[i], byte_at(position + i));
		position += got;
		if (turn % 2)
			CHECK_RC(stoa_stream_consume(reader, got), 0);
	}
	CHECK_RC(rc, STOA_CLOSED);
	CHECK(position >= LENGTH);
	atomic_store(&board->got, position);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

static void run(uint32_t waiting)
{
	const struct stoa_stream_options options = {.ring = RING};
	struct board *board = test_shared(sizeof(*board));
	struct stoa_stream *stream;
	pid_t roles[2];
	uint64_t size;

	board->waiting = waiting;
	CHECK_RC(stoa_stream_size(&options, &size), 0);
	CHECK_RC(stoa_segment_create(NULL, size, NULL, &segment), 0);
	CHECK_RC(stoa_stream_place(segment, 0, &options, &stream), 0);
	test_share(&segment, NULL);
	roles[0] = test_role(read_all, board);
	roles[1] = test_role(write_all, board);
	CHECK_EQ(test_join(roles[0]), 0);
	CHECK_EQ(test_join(roles[1]), 0);
	CHECK(atomic_load(&board->got) >= LENGTH);
	stoa_stream_close(stream);
	stoa_segment_close(segment);
}

TEST_THREADS(balanced, 60)
{
	run(STOA_BALANCED);
}

TEST_THREADS(asleep, 60)
{
	run(STOA_SLEEP);
}
