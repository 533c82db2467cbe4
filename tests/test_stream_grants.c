/* SPDX-License-Identifier: MIT */
/*
 * Streams that are handed over with the right to write or to read alone: what such a handle can do, what the system keeps it from, how the
 * end and the death of either side are told across, and that nothing comes by halves when who hands over, or who is handed it, dies.
 */
#include <channel/grant.h>

#include <inttypes.h>

#define BOTH (STOA_GRANT_WRITER | STOA_GRANT_READER)
#define RING UINT64_C(4096)

static struct stoa_stream *make(void)
{
	const struct stoa_stream_options options = {.ring = RING};
	struct stoa_stream *stream;

	CHECK_RC(stoa_stream_create(NULL, &options, &stream), 0);
	CHECK_EQ(stoa_stream_grants(stream), BOTH);
	return stream;
}

static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)(position * 31 + position / RING * 7);
}

/* ---- rights ---- */

/* From join to the end, through the two handles. */
static void exchange(struct stoa_stream *writing, struct stoa_stream *reading)
{
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	char text[16];
	uint64_t got;

	CHECK_RC(stoa_writer_join(writing, NULL, &writer), 0);
	CHECK_RC(stoa_reader_join(reading, NULL, &reader), 0);
	CHECK_RC(stoa_stream_write(writer, "granted", 8, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_read(reader, text, sizeof(text), STOA_TRY, &got), 0);
	CHECK_EQ(got, 8);
	CHECK_STR(text, "granted");
	CHECK_RC(stoa_stream_flush(writer, STOA_TRY), 0);
	CHECK_RC(stoa_stream_finish(writer), 0);
	CHECK_RC(stoa_stream_read(reader, text, sizeof(text), STOA_TRY, &got), STOA_CLOSED);
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
}

TEST(one_role_each)
{
	struct stoa_stream *whole = make(), *writing = stream_granted(whole, STOA_GRANT_WRITER);
	struct stoa_stream *reading = stream_granted(whole, STOA_GRANT_READER), *more;
	struct stoa_reader *reader = NULL;
	struct stoa_writer *writer = NULL;

	CHECK_RC(stoa_reader_join(writing, NULL, &reader), -STOA_ERIGHTS);
	check_detail("without the right to read");
	CHECK_RC(stoa_writer_join(reading, NULL, &writer), -STOA_ERIGHTS);
	check_detail("without the right to write");
	exchange(writing, reading);
	/* It has had both, whatever handle one comes with. */
	more = stream_granted(whole, BOTH);
	CHECK_RC(stoa_writer_join(more, NULL, &writer), -STOA_ECLOSED);
	CHECK_RC(stoa_reader_join(whole, NULL, &reader), -STOA_ECLOSED);
	CHECK(!reader && !writer);
	stoa_stream_close(more);
	stoa_stream_close(reading);
	stoa_stream_close(writing);
	stoa_stream_close(whole);
}

/* What one has one can pass on, and no more. */
TEST(passed_on)
{
	struct stoa_stream *whole = make(), *writing = stream_granted(whole, STOA_GRANT_WRITER);
	struct stoa_stream *reading = stream_granted(whole, STOA_GRANT_READER), *more = NULL;
	char token[STOA_TOKEN_SIZE];
	int ends[2];

	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_stream_send_with_socket(writing, STOA_GRANT_READER, ends[0]), -STOA_ERIGHTS);
	check_detail("without the right to read");
	CHECK_RC(stoa_stream_send_with_socket(reading, BOTH, ends[0]), -STOA_ERIGHTS);
	check_detail("without the right to write");
	CHECK_RC(stoa_stream_inherit(writing, STOA_GRANT_READER, token), -STOA_ERIGHTS);
	check_refusal(stoa_stream_send_with_socket(whole, 0, ends[0]), "neither STOA_GRANT_WRITER nor");
	check_refusal(stoa_stream_send_with_socket(whole, 4, ends[0]), "a grant of 0x4");
	check_refusal(stoa_stream_send_with_socket(NULL, STOA_GRANT_WRITER, ends[0]), "no stream");
	check_refusal(stoa_stream_receive_with_socket(ends[1], NULL, NULL), "no place");
	check_refusal(stoa_stream_inherit(NULL, STOA_GRANT_WRITER, token), "no stream");
	check_refusal(stoa_stream_seal(NULL, STOA_GRANT_WRITER), "no stream");
	CHECK_EQ(stoa_stream_grants(NULL), 0);
	channel_close(ends[0]);
	CHECK_RC(stoa_stream_receive_with_socket(ends[1], &more, NULL), -STOA_ECLOSED); /* nothing had come */
	channel_close(ends[1]);
	CHECK(more == NULL);
	more = stream_granted(writing, STOA_GRANT_WRITER);
	stoa_stream_close(whole);
	stoa_stream_close(writing);
	exchange(more, reading);
	stoa_stream_close(more);
	stoa_stream_close(reading);
}

TEST(what_is_in_one_piece_stays_with_its_user)
{
	struct stoa_stream *named, *placed;
	struct stoa_segment *segment;
	char token[STOA_TOKEN_SIZE];
	int ends[2];

	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_stream_create(test_name("whole"), NULL, &named), 0);
	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &segment), 0);
	CHECK_RC(stoa_stream_place(segment, 0, NULL, &placed), 0);
	CHECK_RC(stoa_stream_send_with_socket(named, STOA_GRANT_WRITER, ends[0]), -STOA_ENOTSUP);
	check_detail("a stream by name or in a segment");
	CHECK_RC(stoa_stream_send_with_socket(placed, STOA_GRANT_READER, ends[0]), -STOA_ENOTSUP);
	CHECK_RC(stoa_stream_inherit(named, STOA_GRANT_WRITER, token), -STOA_ENOTSUP);
	CHECK_RC(stoa_stream_seal(named, STOA_GRANT_WRITER), -STOA_ENOTSUP);
	CHECK_EQ(stoa_stream_grants(named), BOTH);
	channel_close(ends[0]);
	channel_close(ends[1]);
	stoa_stream_close(named);
	stoa_stream_close(placed);
	stoa_segment_close(segment);
}

TEST(the_other_part_cannot_be_written)
{
	struct stoa_stream *whole = make(), *writing = stream_granted(whole, STOA_GRANT_WRITER);
	struct stoa_stream *reading = stream_granted(whole, STOA_GRANT_READER);

	stoa_stream_close(whole);
	expect_only_reads(&writing->channel, 0);
	expect_only_reads(&reading->channel, 1);
	stoa_stream_close(writing);
	stoa_stream_close(reading);
}

/* ---- between processes that have one role each ---- */

#define BYTES (UINT64_C(2) << 20)

struct board {
	uint32_t waiting;
	_Atomic uint32_t ready, rescues, sleeps, handed;
	_Atomic uint64_t read;
};
static struct board *board;

static struct stoa_stream *stream_of_role(void *argument, uint32_t grant)
{
	int end = channel_connect(channel_name(), CHANNEL_PACKETS);
	struct stoa_stream *stream;

	board = argument;
	CHECK(end != -1);
	stream = stream_granted_over(end, grant);
	channel_close(end);
	return stream;
}

static void tell_of_sleeps(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	add_rlx(&board->sleeps, (uint32_t)stat.sleeps);
	add_rlx(&board->rescues, (uint32_t)stat.rescues);
}

static struct stoa_writer *join_as_writer(struct stoa_stream *stream)
{
	struct stoa_writer *writer;

	CHECK_RC(stoa_writer_join(stream, &(struct stoa_writer_options){.waiting = board->waiting}, &writer), 0);
	return writer;
}

static struct stoa_reader *join_as_reader(struct stoa_stream *stream)
{
	struct stoa_reader *reader;

	CHECK_RC(stoa_reader_join(stream, &(struct stoa_reader_options){.waiting = board->waiting}, &reader), 0);
	return reader;
}

static void only_write(void *argument)
{
	struct stoa_stream *stream = stream_of_role(argument, STOA_GRANT_WRITER);
	struct stoa_writer *writer = join_as_writer(stream);
	static unsigned char bytes[3 * RING];
	uint64_t seed = test_seed();

	for (uint64_t done = 0, turn = 0; done < BYTES; turn++) {
		uint64_t length = test_random(&seed) % sizeof(bytes);

		length = length < BYTES - done ? length : BYTES - done;
		for (uint64_t i = 0; i < length; i++)
			bytes[i] = byte_at(done + i);
		CHECK_RC(stoa_stream_write(writer, bytes, length, STOA_FOREVER, NULL), 0);
		done += length;
		if (turn % 20 == 0)
			test_nap(3); /* so that the reader sleeps */
	}
	CHECK_RC(stoa_stream_flush(writer, STOA_FOREVER), 0);
	CHECK_RC(stoa_stream_finish(writer), 0);
	stoa_writer_leave(writer);
	tell_of_sleeps();
	stoa_stream_close(stream);
}

static void only_read(void *argument)
{
	struct stoa_stream *stream = stream_of_role(argument, STOA_GRANT_READER);
	struct stoa_reader *reader = join_as_reader(stream);
	uint64_t position = 0, got;
	const void *bytes;
	int rc;

	for (uint64_t turn = 0; (rc = stoa_stream_peek(reader, STOA_FOREVER, &bytes, &got)) == 0; turn++) {
		for (uint64_t i = 0; i < got; i++)
			CHECK_EQ(((const unsigned char *)bytes)[i], byte_at(position + i));
		CHECK_RC(stoa_stream_consume(reader, got), 0);
		position += got;
		if (turn % 30 == 0)
			test_nap(3); /* so that the writer finds no room */
	}
	CHECK_RC(rc, STOA_CLOSED);
	atomic_store(&board->read, position);
	stoa_reader_leave(reader);
	tell_of_sleeps();
	stoa_stream_close(stream);
}

/* A role that gets its stream of this process. */
static pid_t start(void (*body)(void *argument), const struct stoa_stream *whole, uint32_t grant)
{
	int listener = channel_listen(CHANNEL_PACKETS), end;
	pid_t role;

	CHECK(listener != -1);
	role = test_role(body, board);
	end = channel_accept(listener);
	CHECK(end != -1);
	CHECK_RC(stoa_stream_send_with_socket(whole, grant, end), 0);
	channel_close(end);
	return role;
}

static void expect_no_rescues(void)
{
	if (board->waiting == STOA_SLEEP)
		CHECK_INT(load_rlx(&board->sleeps), >, 0);
	if (os_capabilities()->relays_wakes)
		CHECK_EQ(load_rlx(&board->rescues), 0);
}

static void traffic(uint32_t waiting)
{
	struct stoa_stream *whole = make();
	pid_t roles[2];

	board = test_shared(sizeof(*board));
	board->waiting = waiting;
	roles[0] = start(only_read, whole, STOA_GRANT_READER);
	roles[1] = start(only_write, whole, STOA_GRANT_WRITER);
	stoa_stream_close(whole); /* nobody has both any more */
	CHECK_EQ(test_join(roles[1]), 0);
	CHECK_EQ(test_join(roles[0]), 0);
	CHECK_EQ(atomic_load(&board->read), BYTES);
	expect_no_rescues();
}

TEST_TIMEOUT(all_bytes_come_across, 60)
{
	traffic(STOA_SLEEP);
	traffic(STOA_BALANCED);
}

/* ---- the end of the other side ---- */

static void write_until_killed(void *argument)
{
	struct stoa_stream *stream = stream_of_role(argument, STOA_GRANT_WRITER);
	struct stoa_writer *writer = join_as_writer(stream);

	CHECK_RC(stoa_stream_write(writer, "last", 5, STOA_TRY, NULL), 0);
	add_rlx(&board->ready, 1);
	test_pause();
}

static void read_until_killed(void *argument)
{
	(void)join_as_reader(stream_of_role(argument, STOA_GRANT_READER));
	add_rlx(&board->ready, 1);
	test_pause();
}

static void outlive_writer(void *argument)
{
	struct stoa_stream *stream = stream_of_role(argument, STOA_GRANT_READER);
	struct stoa_reader *reader = join_as_reader(stream);
	char text[8];
	uint64_t got;

	CHECK_RC(stoa_stream_read(reader, text, sizeof(text), STOA_FOREVER, &got), 0);
	CHECK_STR(text, "last");
	add_rlx(&board->ready, 1);
	CHECK_RC(stoa_stream_read(reader, text, sizeof(text), STOA_FOREVER, &got), -STOA_ETRUNCATED);
	stoa_reader_leave(reader);
	tell_of_sleeps();
	stoa_stream_close(stream);
}

static void outlive_reader(void *argument)
{
	struct stoa_stream *stream = stream_of_role(argument, STOA_GRANT_WRITER);
	struct stoa_writer *writer = join_as_writer(stream);
	static const unsigned char bytes[RING];

	CHECK_RC(stoa_stream_write(writer, bytes, sizeof(bytes), STOA_TRY, NULL), 0);
	add_rlx(&board->ready, 1);
	CHECK_RC(stoa_stream_write(writer, bytes, 1, STOA_FOREVER, NULL), -STOA_ECLOSED);
	stoa_writer_leave(writer);
	tell_of_sleeps();
	stoa_stream_close(stream);
}

/* Told by the system, and not found out when the wait looked again. */
static void end_of(void (*mortal)(void *argument), uint32_t grant, void (*survivor)(void *argument))
{
	for (unsigned i = 0; i < test_rounds(5, 100); i++) {
		struct stoa_stream *whole = make();
		pid_t dies, lives;

		board = test_shared(sizeof(*board));
		board->waiting = STOA_SLEEP;
		dies = start(mortal, whole, grant);
		test_await(&board->ready, 1);
		lives = start(survivor, whole, grant ^ BOTH);
		stoa_stream_close(whole);
		test_await(&board->ready, 2);
		test_await_sleep(lives);
		test_kill(dies);
		CHECK_EQ(test_join(lives), 0);
		expect_no_rescues();
	}
}

TEST_TIMEOUT(a_writers_death_is_told, 60)
{
	end_of(write_until_killed, STOA_GRANT_WRITER, outlive_writer);
}

TEST_TIMEOUT(a_readers_death_is_told, 60)
{
	end_of(read_until_killed, STOA_GRANT_READER, outlive_reader);
}

TEST(errors_go_both_ways)
{
	struct stoa_stream *whole = make(), *writing, *reading;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	char text[8];
	uint64_t got;

	for (unsigned i = 0; i < 2; i++) {
		writing = stream_granted(whole, STOA_GRANT_WRITER);
		reading = stream_granted(whole, STOA_GRANT_READER);
		CHECK_RC(stoa_writer_join(writing, NULL, &writer), 0);
		CHECK_RC(stoa_reader_join(reading, NULL, &reader), 0);
		CHECK_RC(i ? stoa_reader_fail(reader, -4711) : stoa_writer_fail(writer, -4711), 0);
		CHECK_RC(i ? stoa_stream_write(writer, "x", 1, STOA_TRY, NULL)
			   : stoa_stream_read(reader, text, sizeof(text), STOA_TRY, &got),
			 -4711);
		stoa_writer_leave(writer);
		stoa_reader_leave(reader);
		stoa_stream_close(writing);
		stoa_stream_close(reading);
		stoa_stream_close(whole);
		whole = make();
	}
	stoa_stream_close(whole);
}

/* ---- death while it is handed over ---- */

static void hand_over_until_killed(void *argument)
{
	int end = channel_connect(channel_name(), CHANNEL_PACKETS);

	board = argument;
	for (uint32_t i = 0;; i++) {
		struct stoa_stream *stream = make();
		struct stoa_writer *writer = join_as_writer(stream);

		CHECK_RC(stoa_stream_write(writer, &i, sizeof(i), STOA_TRY, NULL), 0);
		CHECK_RC(stoa_stream_send_with_socket(stream, STOA_GRANT_READER, end), 0);
		stoa_writer_leave(writer);
		stoa_stream_close(stream);
	}
}

/* All that has come is whole, and in order; what has not come entirely is not there. */
static uint32_t take_all(int end, uint32_t until, pid_t role)
{
	struct stoa_stream *stream;
	struct stoa_reader *reader;
	uint32_t count = 0, number;
	uint64_t got;
	int rc;

	while ((rc = stoa_stream_receive_with_socket(end, &stream, NULL)) == 0) {
		CHECK_EQ(stoa_stream_grants(stream), STOA_GRANT_READER);
		CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
		CHECK_RC(stoa_stream_read(reader, &number, sizeof(number), STOA_TRY, &got), 0);
		CHECK_EQ(got, sizeof(number));
		CHECK_EQ(number, count++);
		stoa_reader_leave(reader);
		stoa_stream_close(stream);
		if (count == until)
			test_kill(role);
	}
	CHECK_RC(rc, -STOA_ECLOSED);
	return count;
}

TEST_TIMEOUT(who_hands_over_is_killed, 60)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < test_rounds(10, 300); i++) {
		int listener = channel_listen(CHANNEL_PACKETS), end;
		uint32_t until = (uint32_t)(test_random(&seed) % 40) + 1;
		pid_t role;

		board = test_shared(sizeof(*board));
		role = test_role(hand_over_until_killed, board);
		end = channel_accept(listener);
		CHECK(end != -1);
		CHECK_INT(take_all(end, until, role), >=, until);
		channel_close(end);
	}
}

static void be_handed_until_killed(void *argument)
{
	int end = channel_connect(channel_name(), CHANNEL_PACKETS);

	board = argument;
	for (;;) {
		stoa_stream_close(stream_granted_over(end, STOA_GRANT_WRITER));
		add_rlx(&board->handed, 1);
	}
}

/* Who was handing it learns of that, and still has the stream: it can be handed to another. */
TEST_TIMEOUT(who_is_handed_it_is_killed, 60)
{
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < test_rounds(10, 300); i++) {
		int listener = channel_listen(CHANNEL_PACKETS), end, rc = 0;
		uint32_t until = (uint32_t)(test_random(&seed) % 40) + 1;
		struct stoa_stream *whole = make(), *writing, *reading;
		pid_t role;

		board = test_shared(sizeof(*board));
		role = test_role(be_handed_until_killed, board);
		end = channel_accept(listener);
		CHECK(end != -1);
		for (bool killed = false; !rc;) {
			rc = stoa_stream_send_with_socket(whole, STOA_GRANT_WRITER, end);
			if (!killed && load_rlx(&board->handed) >= until) {
				test_kill(role);
				killed = true;
			}
		}
		CHECK_RC(rc, -STOA_ECLOSED);
		channel_close(end);
		writing = stream_granted(whole, STOA_GRANT_WRITER);
		reading = stream_granted(whole, STOA_GRANT_READER);
		exchange(writing, reading);
		stoa_stream_close(writing);
		stoa_stream_close(reading);
		stoa_stream_close(whole);
	}
}

/* ---- programs that inherit ---- */

static int be_an_heir(const char *token)
{
	struct stoa_channel *channel;
	struct stoa_stream *stream, *again;
	struct stoa_reader *reader;
	struct stoa_writer *writer;
	char text[16];
	uint64_t got;

	if (stoa_channel_adopt(token, &channel) != -STOA_EKIND) /* which takes nothing */
		return 2;
	if (stoa_stream_adopt(token, &stream) != 0)
		return 3;
	if (stoa_stream_adopt(token, &again) != -STOA_ENOENT)
		return 4;
	if (stoa_stream_grants(stream) != STOA_GRANT_READER || stoa_writer_join(stream, NULL, &writer) != -STOA_ERIGHTS)
		return 5;
	if (stoa_reader_join(stream, NULL, &reader) != 0 ||
	    stoa_stream_read(reader, text, sizeof(text), STOA_TRY, &got) != 0 || strcmp(text, "to an heir") != 0)
		return 6;
	/* No handle came that writes. */
	for (intptr_t handle = 3; handle < 400; handle++) {
		const struct stoa_channel *inside = &stream->channel;
		struct os_memory_info info;

		if (handle != inside->segments[0]->memory && os_memory_info(handle, &info) == 0 && info.in_memory &&
		    info.writable && info.identity[0] == inside->segments[1]->identity[0] &&
		    info.identity[1] == inside->segments[1]->identity[1])
			return 7;
	}
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
	return 0;
}

CC_CONSTRUCTOR static void be_what_we_were_told(void)
{
	const char *token = getenv("STOA_TEST_GRANT");
	int rc;

	if (!token)
		return;
	rc = be_an_heir(token);
	if (rc)
		fprintf(stderr, "step %d: %s\n", rc, stoa_error_detail());
	fflush(stderr);
	_Exit(rc);
}

TEST(a_program_inherits_a_role)
{
	struct stoa_stream *whole = make();
	struct stoa_segment *also; /* a program is started with handles of ours only with a segment among them */
	char token[STOA_TOKEN_SIZE], setting[STOA_TOKEN_SIZE + 32];
	struct stoa_writer *writer;

	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &also), 0);
	CHECK_RC(stoa_writer_join(whole, NULL, &writer), 0);
	CHECK_RC(stoa_stream_write(writer, "to an heir", 11, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_inherit(whole, STOA_GRANT_WRITER, token), 0); /* undone by the next */
	CHECK_RC(stoa_stream_inherit(whole, STOA_GRANT_READER, token), 0);
	CHECK(!os_handle_inherited(whole->channel.segments[1]->memory));
	snprintf(setting, sizeof(setting), "STOA_TEST_GRANT=%s", token);
	CHECK_EQ(program_join(program_start(also, setting)), 0);
	stoa_writer_leave(writer);
	stoa_stream_close(whole);
	stoa_segment_close(also);
}

TEST(tokens_that_are_not_ours)
{
	struct stoa_stream *whole = make(), *none = NULL;
	char token[STOA_TOKEN_SIZE], wrong[STOA_TOKEN_SIZE];
	struct stoa_channel *channel;

	CHECK_RC(stoa_stream_adopt("", &none), -STOA_EFORMAT);
	CHECK_RC(stoa_stream_adopt("stoach1:3:3:0:0", &none), -STOA_EFORMAT);
	check_detail("not a token of an inherited channel or stream");
	CHECK_RC(stoa_stream_inherit(whole, STOA_GRANT_WRITER, token), 0);
	/* The parts in the other order. */
	snprintf(wrong, sizeof(wrong), "stoach1:%" PRIu64 ":%" PRIu64 ":0:0", (uint64_t)whole->channel.lent[0],
		 (uint64_t)whole->channel.segments[1]->memory);
	CHECK_RC(stoa_stream_adopt(wrong, &none), -STOA_ENOENT);
	check_refusal(stoa_stream_adopt(NULL, &none), "no token");
	check_refusal(stoa_stream_adopt(token, NULL), "no place");
	check_refusal(stoa_stream_inherit(whole, STOA_GRANT_WRITER, NULL), "no room");
	CHECK_RC(stoa_channel_create(NULL, NULL, &channel), 0);
	CHECK_RC(stoa_channel_inherit(channel, BOTH, token), 0);
	CHECK_RC(stoa_stream_adopt(token, &none), -STOA_EKIND);
	CHECK(none == NULL);
	stoa_channel_close(channel);
	stoa_stream_close(whole);
}

/* ---- what is not a stream ---- */

/* The harness sees what is not closed. */
TEST(streams_channels_and_segments_are_not_mistaken)
{
	static const enum channel_kind kinds[] = {CHANNEL_PACKETS, CHANNEL_BYTES};
	struct stoa_stream *whole = make(), *none = NULL;
	struct stoa_channel *channel, *no_channel = NULL;
	struct stoa_segment *segment, *nothing = NULL;
	int ends[2];

	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &segment), 0);
	CHECK_RC(stoa_channel_create(NULL, NULL, &channel), 0);
	for (size_t i = 0; i < CC_COUNT(kinds); i++) {
		CHECK_EQ(channel_pair(kinds[i], true, ends), 0);
		for (uint32_t grant = 1; grant <= BOTH; grant++) {
			CHECK_RC(stoa_channel_send_with_socket(channel, grant, ends[0]), 0);
			CHECK_RC(stoa_stream_receive_with_socket(ends[1], &none, NULL), -STOA_EKIND);
			check_detail("a channel of messages, not a stream");
			CHECK_RC(stoa_stream_send_with_socket(whole, grant, ends[0]), 0);
			CHECK_RC(stoa_channel_receive_with_socket(ends[1], &no_channel, NULL), -STOA_EKIND);
			check_detail("a stream of bytes, not a channel");
		}
		CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_READER, ends[0]), 0);
		CHECK_RC(stoa_segment_receive_with_socket(ends[1], &nothing, NULL), -STOA_EFORMAT);
		channel_close(ends[0]);
		channel_close(ends[1]);
		CHECK_EQ(channel_pair(kinds[i], true, ends), 0);
		CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
		channel_close(ends[0]);
		CHECK_RC(stoa_stream_receive_with_socket(ends[1], &none, NULL), -STOA_EFORMAT);
		channel_close(ends[1]);
	}
	CHECK(none == NULL && no_channel == NULL && nothing == NULL);
	stoa_segment_close(segment);
	stoa_channel_close(channel);
	stoa_stream_close(whole);
}
