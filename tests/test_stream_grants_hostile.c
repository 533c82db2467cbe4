/* SPDX-License-Identifier: MIT */
/*
 * An enemy with one role of a stream writes random and chosen bytes over all that it may write, its side's roster too, while another
 * has the other role: that never crashes, never comes out of the stream's memory, and never stays beyond its deadlines; and what is its own
 * stays as it wrote it. (test_stream_hostile.c has the enemy who may write everything.)
 */
#include <channel/enemy.h>

#include <inttypes.h>

#define WAIT (UINT64_C(2) * 1000000)      /* each deadline */
#define SLACK (UINT64_C(20) * 1000000000) /* a loaded machine, but no hang */
#define RING UINT64_C(4096)

struct board {
	uint32_t enemys; /* grant */
	_Atomic uint32_t stop, ready;
	_Atomic uint64_t calls, refused, bytes, joins, writes;
	uint64_t seed;
};
static struct board *board;
static struct stoa_stream *whole;

static struct stoa_stream *only(uint32_t grant)
{
	struct stoa_stream *stream = stream_granted(whole, grant);

	stoa_stream_close(whole);
	whole = NULL;
	return stream;
}

/* ---- the enemy ---- */

/* What the other end goes by, near to where that is. */
static void strike_at_words(const struct stoa_channel *channel, uint64_t *random)
{
	bool writes = board->enemys == STOA_GRANT_WRITER;
	_Atomic uint64_t *word = writes ? &channel->lanes[0].tail : channel_hold(channel, 0, 0);
	uint64_t choice = test_random(random);
	uint64_t theirs = load_rlx(writes ? channel_hold(channel, 0, 0) : &channel->lanes[0].tail);

	if (choice % 16 == 0)
		store_rlx(writes ? &channel->lanes[0].ending : &channel->readers[0].ending, (uint32_t)(choice >> 32));
	else
		store_rlx(word, theirs + (writes ? (choice >> 8) % (RING + 2) : -((choice >> 8) % (RING + 2))));
}

static void attack(void *argument)
{
	struct stoa_stream *stream = only(board->enemys);
	bool writes = board->enemys == STOA_GRANT_WRITER;
	struct stoa_segment *mine = channel_segment(&stream->channel, writes);
	uint64_t random = board->seed ^ 0x5eed, length = stream->channel.plan.rings;
	struct roster *roster;
	unsigned char *first = malloc(length);

	(void)argument;
	if (!writes)
		length = stoa_segment_committed(mine) < length ? stoa_segment_committed(mine) : length;
	CHECK(first != NULL);
	memcpy(first, bytes_of(mine), length);
	CHECK_EQ(touch(bytes_of(channel_segment(&stream->channel, !writes)) + CHANNEL_BELLS), REFUSED);
	CHECK_RC(roster_attach(mine, &roster), 0);
	add_rlx(&board->ready, 1);
	test_await(&board->ready, 2);
	while (!load_rlx(&board->stop)) {
		uint64_t choice = test_random(&random), strikes = choice % 3 ? choice % 3 * 20 : 1000;

		/* As it was at first, so that more comes through. */
		if (choice >> 8 & 1)
			memcpy(bytes_of(mine) + CHANNEL_BELLS, first + CHANNEL_BELLS, length - CHANNEL_BELLS);
		for (uint64_t i = 0; i < strikes; i++) {
			strike_at_words(&stream->channel, &random);
			if (i % 8 == 0)
				enemy_strike(mine, roster, &random);
		}
		add_rlx(&board->writes, strikes + strikes / 8);
		if (choice >> 9 & 1)
			test_nap(1);
	}
	free(first);
	stoa_stream_close(stream);
}

/* ---- the other ---- */

static uint64_t began; /* of the present call */

static void begin(void)
{
	began = stoa_now();
}

static int timed(int result)
{
	uint64_t spent = stoa_now() - began;

	if (spent > WAIT + SLACK)
		test_fail(__FILE__, __LINE__, "a call took %" PRIu64 " ms", spent / 1000000);
	add_rlx(&board->calls, 1);
	add_rlx(&board->refused, result < 0);
	return result;
}
#define TIMED(call) (begin(), timed(call))

static void check_inside(const struct stoa_stream *stream, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel_ring(&stream->channel, 0));

	CHECK(at < RING && length > 0 && length <= RING - at);
}

/* Its own words are what it made them, whatever the reader does; so are the bytes. */
static void write_some(const struct stoa_stream *stream, struct stoa_writer *writer, uint64_t *random)
{
	static unsigned char bytes[2 * RING];
	const struct channel_lane *lane = &stream->channel.lanes[0];
	uint64_t position = 0, choice, done, room;
	void *at;
	int rc = 0;

	for (unsigned i = 0; i < 20 && rc >= 0; i++) {
		choice = test_random(random);
		done = 0;
		if (choice & 1) {
			rc = TIMED(stoa_stream_write(writer, bytes, (choice >> 8) % sizeof(bytes),
						     stoa_deadline_in(WAIT), &done));
		} else {
			rc = TIMED(stoa_stream_reserve(writer, (choice >> 8) % RING + 1, stoa_deadline_in(WAIT), &at,
						       &room));
			if (rc)
				continue;
			check_inside(stream, at, room);
			memset(at, (int)choice, room);
			test_nap(0);
			for (uint64_t k = 0; k < room; k++)
				CHECK_EQ(((unsigned char *)at)[k], (unsigned char)choice);
			CHECK_RC(stoa_stream_commit(writer, done = room), 0);
		}
		position += done;
		CHECK_EQ(load_rlx(&lane->tail), position);
	}
	add_rlx(&board->bytes, position);
	(void)TIMED(stoa_stream_flush(writer, stoa_deadline_in(WAIT)));
}

static void read_some(const struct stoa_stream *stream, struct stoa_reader *reader, uint64_t *random)
{
	static unsigned char bytes[2 * RING];
	uint64_t position = 0, choice, got;
	const void *at;
	int rc = 0;

	for (unsigned i = 0; i < 20 && rc >= 0 && rc != STOA_CLOSED; i++) {
		choice = test_random(random);
		got = 0;
		if (choice & 1) {
			rc = TIMED(stoa_stream_read(reader, bytes, (choice >> 8) % sizeof(bytes) + 1,
						    stoa_deadline_in(WAIT), &got));
			CHECK(got <= RING);
		} else {
			rc = TIMED(stoa_stream_peek(reader, stoa_deadline_in(WAIT), &at, &got));
			if (rc)
				continue;
			check_inside(stream, at, got);
			memcpy(bytes, at, got);
			CHECK_RC(stoa_stream_consume(reader, got), 0);
		}
		position += got;
		CHECK_EQ(load_rlx(channel_hold(&stream->channel, 0, 0)), position);
	}
	add_rlx(&board->bytes, position);
}

/* A stream is used once: its own part is made as new for each life, which is this side's to do. */
static void victim(void *argument)
{
	bool sends = board->enemys == STOA_GRANT_READER;
	struct stoa_stream *stream = only(sends ? STOA_GRANT_WRITER : STOA_GRANT_READER);
	struct stoa_channel *channel = &stream->channel;
	uint64_t random = board->seed + 1;

	(void)argument;
	add_rlx(&board->ready, 1);
	while (!load_rlx(&board->stop)) {
		uint32_t waiting = (uint32_t)(test_random(&random) % 3);
		struct stoa_writer_options writing = {.waiting = waiting};
		struct stoa_reader_options reading = {.waiting = waiting};
		struct stoa_writer *writer = NULL;
		struct stoa_reader *reader = NULL;

		if (sends)
			memset(channel->lanes, 0, sizeof(*channel->lanes));
		else
			memset(channel->readers, 0, channel->plan.heads - channel->plan.readers);
		if (sends && TIMED(stoa_writer_join(stream, &writing, &writer)) == 0)
			write_some(stream, writer, &random);
		if (!sends && TIMED(stoa_reader_join(stream, &reading, &reader)) == 0)
			read_some(stream, reader, &random);
		add_rlx(&board->joins, writer || reader);
		if (writer && test_random(&random) % 2)
			(void)TIMED(stoa_stream_finish(writer));
		stoa_writer_leave(writer);
		stoa_reader_leave(reader);
	}
	stoa_stream_close(stream);
}

static void fight(uint32_t enemys)
{
	const struct stoa_stream_options options = {.ring = RING};
	struct stoa_segment *theirs;
	unsigned char before[OS_PAGE];
	pid_t enemy, other;

	CHECK_RC(stoa_stream_create(NULL, &options, &whole), 0);
	theirs = channel_segment(&whole->channel, enemys != STOA_GRANT_WRITER);
	memcpy(before, bytes_of(theirs), sizeof(before));
	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	board->enemys = enemys;
	enemy = test_role(attack, NULL);
	other = test_role(victim, NULL);
	test_await(&board->ready, 2);
	test_nap(test_rounds(1000, 60000));
	store_rlx(&board->stop, 1);
	CHECK_EQ(test_join(other), 0);
	CHECK_EQ(test_join(enemy), 0);
	CHECK(!memcmp(before, bytes_of(theirs), sizeof(before)));
	CHECK_INT(load_rlx(&board->bytes), >, 0);
	CHECK_INT(load_rlx(&board->joins), >, 1);
	test_figure("%" PRIu64 " lives, %" PRIu64 " calls, %" PRIu64 " of them refused, %" PRIu64
		    " bytes, under %" PRIu64 " hostile writes",
		    load_rlx(&board->joins), load_rlx(&board->calls), load_rlx(&board->refused),
		    load_rlx(&board->bytes), load_rlx(&board->writes));
	stoa_stream_close(whole);
}

TEST_TIMEOUT(an_enemy_who_reads, 120)
{
	fight(STOA_GRANT_READER);
}

TEST_TIMEOUT(an_enemy_who_writes, 120)
{
	fight(STOA_GRANT_WRITER);
}
