/* SPDX-License-Identifier: MIT */
/*
 * An enemy who may write a stream's memory writes random bytes and chosen ones over all of it, while others join, write, read, sleep,
 * leave and are killed. What they get may be wrong, as it is the enemy's to write; but they never crash, never come out of the stream's
 * memory, and never stay beyond their deadlines.
 */
#include <harness/test.h>

#include <channel/stream.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

#define WAIT (UINT64_C(2) * 1000000)      /* each deadline */
#define SLACK (UINT64_C(20) * 1000000000) /* a loaded machine, but no hang */
#define ROUND (UINT64_C(200) * 1000000)
#define VICTIMS 3
#define RING UINT64_C(4096)
#define MARGIN UINT64_C(4096) /* before and behind the stream: nobody's to write */
#define ARENA (UINT64_C(1) << 20)
#define PATTERN 0xa5

struct board {
	_Atomic uint32_t stop;
	_Atomic uint64_t entered[VICTIMS + 1], calls, errors, written, read, writes;
	_Atomic uint32_t number, ready; /* of the next victim; victims that have begun */
	uint64_t seed, length;
};

static struct stoa_segment *arena;
static struct board *board;

static unsigned char *begin_of_stream(void)
{
	return (unsigned char *)stoa_segment_address(arena) + MARGIN;
}

/* ---- the enemy ---- */

static uint64_t nasty_value(uint64_t *random, uint64_t present, uint64_t position)
{
	static const uint64_t values[] = {0, 1, RING, UINT64_MAX, INT64_MAX, UINT64_C(1) << 62, 0xffffffff, 0x80000000};
	uint64_t choice = test_random(random);

	switch (choice % 7) {
	case 0: return values[(choice >> 8) % CC_COUNT(values)];
	case 1: return present ^ UINT64_C(1) << ((choice >> 8) % 64);
	case 2: return present + (choice >> 8) % 5 - 2;
	case 3: return position + (choice >> 8) % (2 * RING);
	case 4: return position - (choice >> 8) % (2 * RING);
	case 5: return present;
	default: return choice;
	}
}

/* What the ends go by, more often than the rest. */
static void strike(const struct stoa_channel *channel, uint64_t *random)
{
	uint64_t choice = test_random(random), tail = load_rlx(&channel->lanes[0].tail), at;
	_Atomic uint64_t *word;

	switch (choice % 8) {
	case 0: word = &channel->lanes[0].tail; break;
	case 1: word = channel_hold(channel, 0, 0); break;
	case 2: word = (_Atomic uint64_t *)(void *)&channel->lanes[0].ending; break;
	case 3: word = &channel->lanes[0].owner + (choice >> 8) % (sizeof(struct channel_lane) / 8); break;
	case 4: word = &channel->readers[0].owner + (choice >> 8) % (sizeof(struct channel_reader) / 8); break;
	case 5:
		word = (_Atomic uint64_t *)(void *)(choice & 256 ? channel->receiving_bells : channel->sending_bells) +
		       (choice >> 9) % 10;
		break;
	default:
		at = (choice >> 8) % board->length;
		word = (_Atomic uint64_t *)(void *)(channel->receiving + at / 8 * 8);
	}
	store_rlx(word, nasty_value(random, load_rlx(word), tail));
}

static void attack(void *argument)
{
	struct stoa_stream *stream;
	unsigned char *whole;
	uint64_t random;

	board = argument;
	random = board->seed ^ 0x5eed;
	CHECK_RC(stoa_stream_attach(arena, MARGIN, &stream), 0);
	whole = malloc(board->length);
	CHECK(whole != NULL);
	memcpy(whole, stream->channel.receiving, board->length);
	while (!atomic_load(&board->stop)) {
		unsigned few = (unsigned)(test_random(&random) % 3), strikes = few ? few * few * 4 : 1000;

		/* As it was at first: others can join once more. */
		if (test_random(&random) % 2)
			memcpy(stream->channel.receiving, whole, board->length);
		if (few)
			test_nap(1);
		for (unsigned i = 0; i < strikes; i++)
			strike(&stream->channel, &random);
		atomic_fetch_add(&board->writes, strikes);
	}
	free(whole);
	stoa_stream_close(stream);
}

/* ---- the others ---- */

static uint32_t number;

static void begin(void)
{
	atomic_store(&board->entered[number], stoa_now());
}

static int finish(int result)
{
	uint64_t spent = stoa_now() - atomic_exchange(&board->entered[number], 0);

	if (spent > WAIT + SLACK)
		test_fail(__FILE__, __LINE__, "a call with a deadline of %d ms took %" PRIu64 " ms",
			  (int)(WAIT / 1000000), spent / 1000000);
	atomic_fetch_add(&board->calls, 1);
	atomic_fetch_add(&board->errors, result < 0);
	return result;
}

#define CALL(call) (begin(), finish(call))

static void check_inside(const struct stoa_stream *stream, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel_ring(&stream->channel, 0));

	CHECK(at < RING && length > 0 && length <= RING - at);
}

static int write_some(const struct stoa_stream *stream, struct stoa_writer *writer, uint64_t *random)
{
	static const unsigned char bytes[3 * RING];
	uint64_t choice = test_random(random), length = (choice >> 8) % sizeof(bytes), done = 0, room;
	void *at;
	int rc;

	if (choice & 1) {
		rc = CALL(stoa_stream_write(writer, bytes, length, stoa_deadline_in(WAIT), &done));
		CHECK(done <= length);
	} else {
		rc = CALL(stoa_stream_reserve(writer, length + 1, stoa_deadline_in(WAIT), &at, &room));
		if (rc)
			return rc;
		check_inside(stream, at, room);
		memset(at, 0x77, room);
		done = (choice >> 4) % (room + 1);
		CHECK_RC(CALL(stoa_stream_commit(writer, done)), 0);
	}
	if (choice & 2)
		(void)CALL(stoa_stream_flush(writer, stoa_deadline_in(WAIT)));
	atomic_fetch_add(&board->written, done);
	return rc;
}

static int read_some(const struct stoa_stream *stream, struct stoa_reader *reader, uint64_t *random)
{
	static unsigned char bytes[3 * RING];
	uint64_t choice = test_random(random), got = 0;
	const void *at;
	int rc;

	if (choice & 1) {
		rc = CALL(stoa_stream_read(reader, bytes, (choice >> 8) % sizeof(bytes) + 1, stoa_deadline_in(WAIT),
					   &got));
		CHECK(got <= RING);
	} else {
		rc = CALL(stoa_stream_peek(reader, stoa_deadline_in(WAIT), &at, &got));
		if (rc)
			return rc;
		check_inside(stream, at, got);
		memcpy(bytes, at, got);
		CHECK_RC(CALL(stoa_stream_consume(reader, got)), 0);
	}
	atomic_fetch_add(&board->read, got);
	return rc;
}

static void wait_for_both(struct stoa_writer *writer, struct stoa_reader *reader)
{
	struct stoa_waitable set[2];
	size_t count = 0, index;

	if (writer)
		set[count++] = (struct stoa_waitable){NULL, writer, STOA_WAIT_WRITER, 0};
	if (reader)
		set[count++] = (struct stoa_waitable){NULL, reader, STOA_WAIT_READER, 0};
	if (count)
		(void)CALL(stoa_wait_any(set, count, stoa_deadline_in(WAIT), &index));
}

/* As one, the other, or both ends, from joining to leaving. */
static void live_once(struct stoa_stream *stream, uint64_t *random)
{
	uint64_t choice = test_random(random);
	struct stoa_writer_options writing = {.waiting = (uint32_t)(choice % 3)};
	struct stoa_reader_options reading = {.waiting = (uint32_t)(choice >> 8) % 3};
	struct stoa_writer *writer = NULL;
	struct stoa_reader *reader = NULL;

	if (choice >> 32 & 1)
		(void)CALL(stoa_writer_join(stream, &writing, &writer));
	if (choice >> 33 & 3)
		(void)CALL(stoa_reader_join(stream, &reading, &reader));
	for (unsigned turns = (unsigned)(choice >> 36) % 16; turns; turns--) {
		if (writer)
			(void)write_some(stream, writer, random);
		if (reader)
			(void)read_some(stream, reader, random);
		if (turns % 4 == 0)
			wait_for_both(writer, reader);
	}
	if (writer && choice & 1 << 20)
		(void)CALL(choice & 1 << 21 ? stoa_stream_finish(writer) : stoa_writer_fail(writer, -STOA_EIO));
	if (reader && choice & 1 << 22)
		(void)CALL(stoa_reader_fail(reader, -STOA_EIO));
	begin();
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
	(void)finish(0);
}

static void victim(void *argument)
{
	struct stoa_stream *stream, *other;
	uint64_t random;

	board = argument;
	number = atomic_fetch_add(&board->number, 1) % (VICTIMS + 1);
	random = board->seed + number;
	atomic_fetch_add(&board->ready, 1);
	/* Until the enemy has put back what it begins with. */
	while (stoa_stream_attach(arena, MARGIN, &stream) && !atomic_load(&board->stop))
		;
	if (atomic_load(&board->stop))
		return;
	while (!atomic_load(&board->stop)) {
		live_once(stream, &random);
		if (CALL(stoa_stream_attach(arena, MARGIN, &other)) == 0)
			stoa_stream_close(other);
	}
	stoa_stream_close(stream);
}

/* ---- the fight ---- */

static void watch_victims(uint64_t until)
{
	while (stoa_now() < until) {
		for (unsigned i = 0; i <= VICTIMS; i++) {
			uint64_t entered = atomic_load(&board->entered[i]), now = stoa_now();

			if (entered && entered < now && now - entered > WAIT + 2 * SLACK)
				test_fail(__FILE__, __LINE__, "a call hangs for %" PRIu64 " ms",
					  (now - entered) / 1000000);
		}
		test_nap(1);
	}
}

static void check_margins(void)
{
	const unsigned char *at = begin_of_stream();

	for (uint64_t i = 0; i < MARGIN; i++) {
		CHECK_EQ(at[i - MARGIN], PATTERN);
		CHECK_EQ(at[board->length + i], PATTERN);
	}
}

static void set_up(void)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 2 * VICTIMS};
	const struct stoa_stream_options options = {.ring = RING};
	struct stoa_stream *stream;

	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	CHECK_RC(stoa_stream_size(&options, &board->length), 0);
	CHECK_RC(stoa_segment_create(NULL, ARENA, &segment_options, &arena), 0);
	CHECK_RC(stoa_segment_commit(arena, MARGIN + board->length + MARGIN), 0);
	CHECK_RC(stoa_stream_place(arena, MARGIN, &options, &stream), 0);
	memset(begin_of_stream() - MARGIN, PATTERN, MARGIN);
	memset(begin_of_stream() + board->length, PATTERN, MARGIN);
	stoa_stream_close(stream);
	test_share(&arena, NULL);
}

/* Whoever is killed in between leaves its place to others. It goes on until some bytes came through. */
TEST_TIMEOUT(an_enemy, 120)
{
	pid_t enemy, victims[VICTIMS];

	set_up();
	enemy = test_role(attack, board);
	for (unsigned i = 0; i < VICTIMS; i++)
		victims[i] = test_role(victim, board);
	test_await(&board->ready, VICTIMS);
	for (unsigned i = 0; i < test_rounds(6, 200) || !atomic_load(&board->written) || !atomic_load(&board->read);
	     i++) {
		pid_t mortal;

		atomic_store(&board->number, VICTIMS);
		atomic_store(&board->ready, 0);
		mortal = test_role(victim, board);
		test_await(&board->ready, 1);
		watch_victims(stoa_deadline_in(ROUND));
		test_kill(mortal);
		atomic_store(&board->entered[VICTIMS], 0);
	}
	atomic_store(&board->stop, 1);
	for (unsigned i = 0; i < VICTIMS; i++)
		CHECK_EQ(test_join(victims[i]), 0);
	CHECK_EQ(test_join(enemy), 0);
	check_margins();
	test_figure("%" PRIu64 " calls, %" PRIu64 " of them refused, %" PRIu64 " bytes written and %" PRIu64
		    " read under %" PRIu64 " hostile writes",
		    atomic_load(&board->calls), atomic_load(&board->errors), atomic_load(&board->written),
		    atomic_load(&board->read), atomic_load(&board->writes));
	stoa_segment_close(arena);
}
