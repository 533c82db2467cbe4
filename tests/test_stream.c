/* SPDX-License-Identifier: MIT */
/* Streams: what a single process can see of bytes, their order and room, of how a stream ends, and of its bounds. */
#include <harness/test.h>

#include <channel/stream.h>
#include <stoa/stoa.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)
#define RING UINT64_C(4096)

struct pair {
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
};

static struct pair open_pair(uint64_t ring)
{
	const struct stoa_stream_options options = {.ring = ring};
	struct pair pair = {NULL, NULL, NULL};

	CHECK_RC(stoa_stream_create(NULL, &options, &pair.stream), 0);
	CHECK_RC(stoa_writer_join(pair.stream, NULL, &pair.writer), 0);
	CHECK_RC(stoa_reader_join(pair.stream, NULL, &pair.reader), 0);
	return pair;
}

static void close_pair(struct pair *pair)
{
	stoa_writer_leave(pair->writer);
	stoa_reader_leave(pair->reader);
	stoa_stream_close(pair->stream);
}

/* The byte at a position: no two laps of a ring are alike. */
static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)(position * 31 + position / 4096 * 7 + position / 65536);
}

static void fill(void *to, uint64_t position, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		((unsigned char *)to)[i] = byte_at(position + i);
}

static void check_bytes(const void *from, uint64_t position, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		CHECK_EQ(((const unsigned char *)from)[i], byte_at(position + i));
}

static void write_text(struct pair *pair, const char *text)
{
	uint64_t done;

	CHECK_RC(stoa_stream_write(pair->writer, text, strlen(text), STOA_TRY, &done), 0);
	CHECK_EQ(done, strlen(text));
}

static void read_text(struct pair *pair, const char *text)
{
	char buffer[64] = "";
	uint64_t got;

	CHECK_RC(stoa_stream_read(pair->reader, buffer, sizeof(buffer) - 1, STOA_TRY, &got), 0);
	CHECK_EQ(got, strlen(text));
	CHECK_STR(buffer, text);
}

static void read_end(struct pair *pair, int expected)
{
	const void *bytes;
	char buffer[8];
	uint64_t got = 7;

	CHECK_RC(stoa_stream_read(pair->reader, buffer, sizeof(buffer), STOA_FOREVER, &got), expected);
	CHECK_EQ(got, expected < 0 ? 7 : 0);
	CHECK_RC(stoa_stream_peek(pair->reader, STOA_TRY, &bytes, &got), expected);
}

/* ---- bytes ---- */

TEST(small_writes_are_one_stream)
{
	struct pair pair = open_pair(0);
	uint64_t got = 9;
	char byte;

	CHECK_RC(stoa_stream_read(pair.reader, &byte, 1, STOA_TRY, &got), STOA_TIMED_OUT);
	CHECK_EQ(got, 0);
	CHECK_RC(stoa_stream_read(pair.reader, &byte, 1, stoa_deadline_in(MILLISECOND), &got), STOA_TIMED_OUT);
	write_text(&pair, "end");
	write_text(&pair, "less");
	write_text(&pair, "");
	write_text(&pair, " bytes");
	read_text(&pair, "endless bytes");
	CHECK_RC(stoa_stream_read(pair.reader, &byte, 1, STOA_TRY, &got), STOA_TIMED_OUT);
	close_pair(&pair);
}

/* Random lengths by all four ways in, and all four ways out, many times around the smallest ring. */
static uint64_t write_some(struct pair *pair, uint64_t position, uint64_t *seed)
{
	unsigned char bytes[2 * RING];
	uint64_t length = test_random(seed) % (test_random(seed) % 8 ? 200 : sizeof(bytes)) + 1, done, room;
	void *at;
	int rc;

	if (test_random(seed) % 2) {
		fill(bytes, position, length);
		rc = stoa_stream_write(pair->writer, bytes, length, STOA_TRY, &done);
		CHECK(rc == 0 ? done == length : rc == STOA_TIMED_OUT && done < length);
		return done;
	}
	rc = stoa_stream_reserve(pair->writer, length, STOA_TRY, &at, &room);
	if (rc == STOA_TIMED_OUT)
		return 0;
	CHECK_RC(rc, 0);
	CHECK(room >= 1 && room <= length);
	memset(at, 0xee, room);
	done = test_random(seed) % (room + 1);
	fill(at, position, done);
	CHECK_RC(stoa_stream_commit(pair->writer, room + 1), -STOA_EINVAL);
	CHECK_RC(stoa_stream_commit(pair->writer, done), 0);
	CHECK_RC(stoa_stream_commit(pair->writer, 1), -STOA_EINVAL); /* once only */
	return done;
}

static uint64_t read_some(struct pair *pair, uint64_t position, uint64_t there, uint64_t *seed)
{
	unsigned char bytes[2 * RING];
	uint64_t length = test_random(seed) % (test_random(seed) % 8 ? 200 : sizeof(bytes)) + 1, got;
	const void *at;
	int rc;

	if (test_random(seed) % 2) {
		rc = stoa_stream_read(pair->reader, bytes, length, STOA_TRY, &got);
		CHECK_RC(rc, there ? 0 : STOA_TIMED_OUT);
		CHECK_EQ(got, length < there ? length : there);
		check_bytes(bytes, position, got);
		return got;
	}
	rc = stoa_stream_peek(pair->reader, STOA_TRY, &at, &got);
	CHECK_RC(rc, there ? 0 : STOA_TIMED_OUT);
	if (rc)
		return 0;
	CHECK_EQ(got, there < RING - position % RING ? there : RING - position % RING);
	check_bytes(at, position, got);
	CHECK_RC(stoa_stream_consume(pair->reader, got + 1), -STOA_EINVAL);
	length = test_random(seed) % (got + 1);
	CHECK_RC(stoa_stream_consume(pair->reader, length / 2), 0);
	CHECK_RC(stoa_stream_consume(pair->reader, length - length / 2), 0);
	CHECK_RC(stoa_stream_consume(pair->reader, got - length + 1), -STOA_EINVAL);
	return length;
}

TEST(sizes_and_laps)
{
	struct pair pair = open_pair(RING);
	uint64_t seed = test_seed(), written = 0, read = 0;

	while (read < 100 * RING) {
		if (test_random(&seed) % 2)
			written += write_some(&pair, written, &seed);
		else
			read += read_some(&pair, read, written - read, &seed);
		CHECK(written - read <= RING);
	}
	close_pair(&pair);
}

/* As much as there is room for; then nothing. What was written is there, whatever became of the rest. */
TEST(a_full_ring)
{
	struct pair pair = open_pair(RING);
	unsigned char bytes[2 * RING];
	uint64_t done = 1, got;
	void *at;

	fill(bytes, 0, sizeof(bytes));
	CHECK_RC(stoa_stream_write(pair.writer, bytes, sizeof(bytes), STOA_TRY, &done), STOA_TIMED_OUT);
	CHECK_EQ(done, RING);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 1, STOA_TRY, &done), STOA_TIMED_OUT);
	CHECK_EQ(done, 0);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 1, stoa_deadline_in(MILLISECOND), NULL), STOA_TIMED_OUT);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 0, STOA_TRY, &done), 0);
	CHECK_RC(stoa_stream_reserve(pair.writer, 10, STOA_TRY, &at, &got), STOA_TIMED_OUT);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, 10, STOA_TRY, &got), 0);
	CHECK_EQ(got, 10);
	fill(bytes, RING, RING);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, RING, stoa_deadline_in(MILLISECOND), &done), STOA_TIMED_OUT);
	CHECK_EQ(done, 10);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, sizeof(bytes), STOA_TRY, &got), 0);
	CHECK_EQ(got, RING);
	check_bytes(bytes, 10, RING);
	close_pair(&pair);
}

/* What was reserved or peeked at is forgotten with the next call of its end. */
TEST(in_place_is_until_the_next_call)
{
	struct pair pair = open_pair(RING);
	const void *bytes;
	uint64_t length;
	void *at;

	CHECK_RC(stoa_stream_commit(pair.writer, 0), 0);
	CHECK_RC(stoa_stream_reserve(pair.writer, 10, STOA_TRY, &at, &length), 0);
	CHECK_EQ(length, 10);
	memcpy(at, "forgotten!", 10);
	write_text(&pair, "abc");
	CHECK_RC(stoa_stream_commit(pair.writer, 1), -STOA_EINVAL);
	CHECK_RC(stoa_stream_peek(pair.reader, STOA_TRY, &bytes, &length), 0);
	CHECK_EQ(length, 3);
	CHECK_EQ(memcmp(bytes, "abc", 3), 0);
	write_text(&pair, "def");
	CHECK_RC(stoa_stream_consume(pair.reader, 4), -STOA_EINVAL);
	CHECK_RC(stoa_stream_consume(pair.reader, 1), 0);
	CHECK_RC(stoa_stream_peek(pair.reader, STOA_TRY, &bytes, &length), 0);
	CHECK_EQ(length, 5);
	CHECK_EQ(memcmp(bytes, "bcdef", 5), 0);
	read_text(&pair, "bcdef");
	CHECK_RC(stoa_stream_consume(pair.reader, 1), -STOA_EINVAL);
	close_pair(&pair);
}

/* ---- how it ends ---- */

TEST(finished)
{
	struct pair pair = open_pair(RING);
	uint64_t done = 7;

	write_text(&pair, "all of it");
	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	CHECK_RC(stoa_stream_finish(pair.writer), -STOA_EINVAL);
	CHECK_RC(stoa_writer_fail(pair.writer, -STOA_EIO), -STOA_EINVAL);
	CHECK_RC(stoa_stream_write(pair.writer, "more", 4, STOA_TRY, &done), -STOA_EINVAL);
	CHECK_EQ(done, 7);
	stoa_writer_leave(pair.writer);
	pair.writer = NULL;
	read_text(&pair, "all of it");
	read_end(&pair, STOA_CLOSED);
	read_end(&pair, STOA_CLOSED);
	close_pair(&pair);
}

/* A full ring has no room for anything, and can be finished. */
TEST(finished_when_full)
{
	struct pair pair = open_pair(RING);
	unsigned char bytes[RING];
	uint64_t got;

	fill(bytes, 0, RING);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, RING, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	memset(bytes, 0, RING);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, RING, STOA_TRY, &got), 0);
	CHECK_EQ(got, RING);
	check_bytes(bytes, 0, RING);
	read_end(&pair, STOA_CLOSED);
	close_pair(&pair);
}

TEST(empty)
{
	struct pair pair = open_pair(RING);

	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_TRY), 0);
	read_end(&pair, STOA_CLOSED);
	close_pair(&pair);
}

TEST(left_unfinished)
{
	struct pair pair = open_pair(RING);

	write_text(&pair, "a part");
	stoa_writer_leave(pair.writer);
	pair.writer = NULL;
	read_text(&pair, "a part");
	read_end(&pair, -STOA_ETRUNCATED);
	read_end(&pair, -STOA_ETRUNCATED);
	close_pair(&pair);
}

TEST(the_writer_fails)
{
	struct pair pair = open_pair(RING);

	write_text(&pair, "before");
	CHECK_RC(stoa_writer_fail(pair.writer, 0), -STOA_EINVAL);
	CHECK_RC(stoa_writer_fail(pair.writer, STOA_EIO), -STOA_EINVAL);
	CHECK_RC(stoa_writer_fail(pair.writer, -STOA_EIO), 0);
	CHECK_RC(stoa_stream_finish(pair.writer), -STOA_EINVAL);
	stoa_writer_leave(pair.writer);
	pair.writer = NULL;
	read_text(&pair, "before");
	read_end(&pair, -STOA_EIO);
	CHECK(strstr(stoa_error_detail(), "the writer failed") != NULL);
	read_end(&pair, -STOA_EIO);
	close_pair(&pair);
	pair = open_pair(RING);
	CHECK_RC(stoa_writer_fail(pair.writer, -123456), 0);
	read_end(&pair, -123456);
	close_pair(&pair);
}

static void write_refused(struct pair *pair, int expected)
{
	uint64_t room = 7;
	void *at;

	CHECK_RC(stoa_stream_write(pair->writer, "x", 1, STOA_FOREVER, &room), expected);
	CHECK_RC(stoa_stream_reserve(pair->writer, 1, STOA_FOREVER, &at, &room), expected);
	CHECK_EQ(room, 7);
}

TEST(the_reader_fails)
{
	struct pair pair = open_pair(RING);
	char byte;
	uint64_t got;

	write_text(&pair, "never read");
	CHECK_RC(stoa_reader_fail(pair.reader, 1), -STOA_EINVAL);
	CHECK_RC(stoa_reader_fail(pair.reader, -STOA_ERANGE), 0);
	CHECK_RC(stoa_reader_fail(pair.reader, -STOA_ERANGE), -STOA_EINVAL);
	CHECK_RC(stoa_stream_read(pair.reader, &byte, 1, STOA_TRY, &got), -STOA_EINVAL);
	write_refused(&pair, -STOA_ERANGE);
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_FOREVER), -STOA_ERANGE);
	stoa_reader_leave(pair.reader);
	pair.reader = NULL;
	write_refused(&pair, -STOA_ERANGE);
	CHECK_RC(stoa_stream_finish(pair.writer), 0); /* nobody hears it */
	close_pair(&pair);
}

TEST(the_reader_leaves)
{
	struct pair pair = open_pair(RING);

	write_text(&pair, "read");
	read_text(&pair, "read");
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_TRY), 0);
	write_text(&pair, "not read");
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_stream_flush(pair.writer, stoa_deadline_in(MILLISECOND)), STOA_TIMED_OUT);
	stoa_reader_leave(pair.reader);
	pair.reader = NULL;
	write_refused(&pair, -STOA_ECLOSED);
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_FOREVER), -STOA_ECLOSED);
	close_pair(&pair);
}

/* All was read, and then it left: it was flushed. */
TEST(the_reader_leaves_after_all)
{
	struct pair pair = open_pair(RING);

	write_text(&pair, "read");
	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_TRY), STOA_TIMED_OUT);
	read_text(&pair, "read");
	stoa_reader_leave(pair.reader);
	pair.reader = NULL;
	CHECK_RC(stoa_stream_flush(pair.writer, STOA_FOREVER), 0);
	close_pair(&pair);
}

/* The reader comes when the writer has been. */
TEST(one_after_the_other)
{
	struct pair pair = {NULL, NULL, NULL};

	CHECK_RC(stoa_stream_create(test_name("late"), NULL, &pair.stream), 0);
	CHECK_RC(stoa_writer_join(pair.stream, NULL, &pair.writer), 0);
	write_text(&pair, "waiting for you");
	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	stoa_writer_leave(pair.writer);
	pair.writer = NULL;
	CHECK_RC(stoa_reader_join(pair.stream, NULL, &pair.reader), 0);
	read_text(&pair, "waiting for you");
	read_end(&pair, STOA_CLOSED);
	close_pair(&pair);
}

/* ---- what cannot be ---- */

TEST(overwritten)
{
	struct pair pair = open_pair(RING);
	struct channel_lane *lane = &pair.stream->channel.lanes[0];
	_Atomic uint64_t *hold = channel_hold(&pair.stream->channel, 0, 0);
	unsigned char bytes[RING];
	uint64_t got;

	fill(bytes, 0, RING);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, RING, STOA_TRY, NULL), 0);
	store_rlx(hold, RING + 1); /* more than was written */
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 1, STOA_FOREVER, NULL), -STOA_EFORMAT);
	store_rlx(hold, 10);
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 10, STOA_FOREVER, NULL), 0);
	store_rlx(hold, 9); /* less than before */
	CHECK_RC(stoa_stream_write(pair.writer, bytes, 1, STOA_FOREVER, NULL), -STOA_EFORMAT);
	store_rlx(&lane->tail, RING + 1); /* more than the ring holds */
	CHECK_RC(stoa_stream_read(pair.reader, bytes, RING, STOA_FOREVER, &got), -STOA_EFORMAT);
	store_rlx(&lane->tail, 100);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, 50, STOA_FOREVER, &got), 0);
	store_rlx(&lane->tail, 99);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, RING, STOA_FOREVER, &got), -STOA_EFORMAT);
	store_rlx(&lane->tail, 50);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, RING, STOA_FOREVER, &got), -STOA_EFORMAT);
	close_pair(&pair);
	pair = open_pair(RING);
	store_rlx(&pair.stream->channel.lanes[0].ending, 2); /* neither finished nor an error */
	read_end(&pair, -STOA_EFORMAT);
	close_pair(&pair);
}

/* ---- one of each, once ---- */

TEST(once)
{
	struct pair pair = open_pair(RING);
	struct stoa_writer *writer = NULL;
	struct stoa_reader *reader = NULL;

	CHECK_RC(stoa_writer_join(pair.stream, NULL, &writer), -STOA_ELIMIT);
	CHECK_RC(stoa_reader_join(pair.stream, NULL, &reader), -STOA_ELIMIT);
	stoa_writer_leave(pair.writer);
	CHECK_RC(stoa_writer_join(pair.stream, NULL, &writer), -STOA_ECLOSED);
	read_end(&pair, -STOA_ETRUNCATED);
	stoa_reader_leave(pair.reader);
	CHECK_RC(stoa_reader_join(pair.stream, NULL, &reader), -STOA_ECLOSED);
	CHECK(!writer && !reader);
	stoa_stream_close(pair.stream);
}

TEST(not_a_channel)
{
	const struct stoa_channel_options stream_kind = {.kind = CHANNEL_STREAM};
	struct stoa_channel *channel = NULL;
	struct stoa_stream *stream, *other = NULL;
	struct stoa_segment *segment;

	CHECK_RC(stoa_channel_create(NULL, &stream_kind, &channel), -STOA_EINVAL);
	CHECK_RC(stoa_stream_create(test_name("stream"), NULL, &stream), 0);
	CHECK_RC(stoa_channel_open(test_name("stream"), 0, &channel), -STOA_EKIND);
	CHECK_RC(stoa_channel_create_or_open(test_name("stream"), NULL, &channel), -STOA_EKIND);
	CHECK(!channel);
	CHECK_RC(stoa_stream_create(test_name("stream"), NULL, &other), -STOA_EEXIST);
	CHECK_RC(stoa_stream_create_or_open(test_name("stream"), NULL, &other), STOA_EXISTED);
	stoa_stream_close(other);
	CHECK_RC(stoa_stream_open(test_name("stream"), 0, &other), 0);
	stoa_stream_close(other);
	stoa_stream_close(stream);
	CHECK_RC(stoa_channel_create(test_name("channel"), NULL, &channel), 0);
	other = NULL;
	CHECK_RC(stoa_stream_open(test_name("channel"), 0, &other), -STOA_EKIND);
	CHECK_RC(stoa_stream_create_or_open(test_name("channel"), NULL, &other), -STOA_EKIND);
	CHECK(!other);
	stoa_channel_close(channel);
	CHECK_RC(stoa_segment_create(NULL, 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_stream_place(segment, 4096, NULL, &stream), 0);
	CHECK_RC(stoa_channel_attach(segment, 4096, &channel), -STOA_EKIND);
	CHECK_RC(stoa_stream_attach(segment, 4096, &other), 0);
	stoa_stream_close(other);
	stoa_stream_close(stream);
	CHECK_RC(stoa_stream_attach(segment, 0, &other), -STOA_EFORMAT);
	stoa_segment_close(segment);
}

TEST(options)
{
	const struct stoa_stream_options odd = {.ring = 5000}, flags = {.flags = 1}, small = {.ring = RING},
					 persistent = {.segment_flags = STOA_PERSISTENT};
	struct stoa_stream *stream = NULL;
	struct stoa_segment *segment;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	uint64_t size = 0;

	CHECK_RC(stoa_stream_create(NULL, &odd, &stream), -STOA_EINVAL);
	CHECK_RC(stoa_stream_create(NULL, &flags, &stream), -STOA_EINVAL);
	CHECK_RC(stoa_stream_create(NULL, NULL, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_stream_open("x", STOA_PERSISTENT, &stream), -STOA_EINVAL);
	CHECK_RC(stoa_stream_size(&odd, &size), -STOA_EINVAL);
	CHECK_RC(stoa_stream_size(&small, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_stream_size(&small, &size), 0);
	CHECK_RC(stoa_segment_create(NULL, size, NULL, &segment), 0);
	CHECK_RC(stoa_stream_place(segment, 0, &persistent, &stream), -STOA_EINVAL);
	CHECK_RC(stoa_stream_place(segment, 4096, &small, &stream), -STOA_ERANGE);
	CHECK_RC(stoa_stream_place(segment, 1, &small, &stream), -STOA_EINVAL);
	CHECK(!stream);
	CHECK_RC(stoa_stream_place(segment, 0, &small, &stream), 0);
	CHECK_RC(stoa_writer_join(stream, &(struct stoa_writer_options){.waiting = 3}, &writer), -STOA_EINVAL);
	CHECK_RC(stoa_reader_join(stream, &(struct stoa_reader_options){.flags = 1}, &reader), -STOA_EINVAL);
	CHECK_RC(stoa_writer_join(NULL, NULL, &writer), -STOA_EINVAL);
	CHECK_RC(stoa_reader_join(stream, NULL, NULL), -STOA_EINVAL);
	stoa_stream_close(stream);
	stoa_stream_close(NULL);
	stoa_writer_leave(NULL);
	stoa_reader_leave(NULL);
	stoa_segment_close(segment);
}

TEST(arguments)
{
	struct pair pair = open_pair(RING);
	const void *bytes;
	uint64_t number = 7;
	void *at;

	CHECK_RC(stoa_stream_write(NULL, "x", 1, STOA_TRY, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_write(pair.writer, NULL, 1, STOA_TRY, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_reserve(pair.writer, 0, STOA_TRY, &at, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_reserve(pair.writer, 1, STOA_TRY, NULL, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_commit(NULL, 0), -STOA_EINVAL);
	CHECK_RC(stoa_stream_finish(NULL), -STOA_EINVAL);
	CHECK_RC(stoa_stream_flush(NULL, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_writer_fail(NULL, -1), -STOA_EINVAL);
	CHECK_RC(stoa_stream_read(pair.reader, &number, 0, STOA_TRY, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_read(pair.reader, NULL, 1, STOA_TRY, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_read(pair.reader, &number, 1, STOA_TRY, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_stream_peek(NULL, STOA_TRY, &bytes, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_peek(pair.reader, STOA_TRY, NULL, &number), -STOA_EINVAL);
	CHECK_RC(stoa_stream_consume(NULL, 0), -STOA_EINVAL);
	CHECK_RC(stoa_reader_fail(NULL, -1), -STOA_EINVAL);
	CHECK_EQ(number, 7);
	close_pair(&pair);
}

/* ---- beside other things ---- */

static struct stoa_waitable end_of(void *end, uint32_t kind)
{
	return (struct stoa_waitable){NULL, end, kind, 0};
}

TEST(ends_in_wait_sets)
{
	struct pair pair = open_pair(RING);
	const struct stoa_waitable readable = end_of(pair.reader, STOA_WAIT_READER),
				   writable = end_of(pair.writer, STOA_WAIT_WRITER);
	struct stoa_waitable set[2] = {readable, end_of(pair.reader, STOA_WAIT_RECEIVER)};
	unsigned char bytes[RING] = {0};
	struct stoa_watch *watch;
	uint64_t got;
	size_t index = 9;

	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_RC(stoa_wait_any(&(struct stoa_waitable){NULL, pair.reader, STOA_WAIT_WRITER, 0}, 1, STOA_TRY, NULL),
		 -STOA_EINVAL);
	set[1] = writable;
	CHECK_RC(stoa_wait_any(set, 1, stoa_deadline_in(MILLISECOND), &index), STOA_TIMED_OUT);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_watch_open(&readable, &watch), 0);
	CHECK(!test_readable(stoa_watch_descriptor(watch), 10));
	CHECK_RC(stoa_stream_write(pair.writer, bytes, RING, STOA_TRY, NULL), 0);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);
	CHECK_RC(stoa_wait_any(set, 1, STOA_FOREVER, &index), 0);

	CHECK_RC(stoa_stream_write(pair.writer, bytes, 100, STOA_TRY, NULL), STOA_TIMED_OUT);
	CHECK_RC(stoa_wait_any(&writable, 1, STOA_TRY, NULL), STOA_TIMED_OUT);
	CHECK_RC(stoa_watch_open(&writable, &watch), 0);
	CHECK_RC(stoa_stream_read(pair.reader, bytes, 99, STOA_TRY, &got), 0);
	CHECK(!test_readable(stoa_watch_descriptor(watch), 10));
	CHECK_RC(stoa_stream_read(pair.reader, bytes, 1, STOA_TRY, &got), 0);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);
	close_pair(&pair);
}

/* How the other side ended is something to be told. */
TEST(ends_are_told_in_wait_sets)
{
	struct pair pair = open_pair(RING);
	struct stoa_watch *watch;

	CHECK_RC(stoa_watch_open(&(struct stoa_waitable){NULL, pair.reader, STOA_WAIT_READER, 0}, &watch), 0);
	CHECK_RC(stoa_stream_finish(pair.writer), 0);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);
	close_pair(&pair);
	pair = open_pair(RING);
	CHECK_RC(stoa_watch_open(&(struct stoa_waitable){NULL, pair.reader, STOA_WAIT_READER, 0}, &watch), 0);
	stoa_writer_leave(pair.writer);
	pair.writer = NULL;
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);
	close_pair(&pair);
	pair = open_pair(RING);
	while (stoa_stream_write(pair.writer, "full", 4, STOA_TRY, NULL) == 0)
		;
	CHECK_RC(stoa_watch_open(&(struct stoa_waitable){NULL, pair.writer, STOA_WAIT_WRITER, 0}, &watch), 0);
	CHECK_RC(stoa_reader_fail(pair.reader, -STOA_EIO), 0);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);
	close_pair(&pair);
}

/* While nobody sleeps, nothing is asked of the system. */
TEST(no_wakes_where_nobody_sleeps)
{
	struct stoa_wait_stat before, after;
	struct pair pair = open_pair(RING);
	char bytes[100] = {0};
	uint64_t got;

	stoa_wait_stat(&before);
	for (unsigned i = 0; i < 1000; i++) {
		CHECK_RC(stoa_stream_write(pair.writer, bytes, sizeof(bytes), STOA_FOREVER, NULL), 0);
		CHECK_RC(stoa_stream_read(pair.reader, bytes, sizeof(bytes), STOA_FOREVER, &got), 0);
		CHECK_EQ(got, sizeof(bytes));
	}
	stoa_wait_stat(&after);
	CHECK_EQ(before.sleeps, after.sleeps);
	CHECK_EQ(before.wakes, after.wakes);
	close_pair(&pair);
}
