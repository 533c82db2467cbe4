/* SPDX-License-Identifier: MIT */
/*
 * Writers and readers killed at random moments, from joining on, at full rate. The other end gets all that was written, and then what
 * it must be told; nobody who is killed before it took part does any harm. First in a segment that all share; then with streams that are handed
 * over, where each end can write but its own part.
 */
#include <channel/grant.h>

#include <channel/look.h>
#include <sched.h>
#include <stdlib.h>
#include <stoa/stoa.h>

#define PLACE UINT64_C(4096)
#define RING UINT64_C(4096)
#define LONGEST (2 * RING)
#define TAIL 100 /* bytes of a writer that comes after one that never was */

struct board {
	uint32_t waiting;
	bool granted; /* the stream is handed over */
	uint64_t seed;
	_Atomic uint64_t got;   /* by the reader; while it reads */
	_Atomic uint64_t told;  /* when the survivor was told */
	_Atomic int32_t result; /* what it was told */
};
static struct board *board;
static struct stoa_segment *arena;
static struct stoa_stream *whole; /* that is handed over: the test's own process has both rights */

static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)(position * 31 + position / RING * 7);
}

/* As one that may become that, and nothing else. */
static struct stoa_stream *be_handed(uint32_t grant)
{
	struct stoa_stream *stream;
	int end;

	stoa_stream_close(whole); /* what came with a fork */
	whole = NULL;
	end = channel_connect(channel_name(), CHANNEL_PACKETS);
	CHECK(end != -1);
	stream = stream_granted_over(end, grant);
	channel_close(end);
	CHECK(!channel_segment(&stream->channel, grant != STOA_GRANT_WRITER)->writable);
	return stream;
}

static struct stoa_stream *attach(void *argument, uint32_t grant)
{
	struct stoa_stream *stream;

	board = argument;
	if (board->granted)
		return be_handed(grant);
	CHECK_RC(stoa_stream_attach(arena, PLACE, &stream), 0);
	return stream;
}

/* A role that finds the stream where it is, or is handed it. */
static pid_t start(void (*body)(void *argument), uint32_t grant)
{
	int listener, end;
	pid_t role;

	if (!board->granted)
		return test_role(body, board);
	listener = channel_listen(CHANNEL_PACKETS);
	CHECK(listener != -1);
	role = test_role(body, board);
	end = channel_accept(listener);
	CHECK(end != -1);
	CHECK_RC(stoa_stream_send_with_socket(whole, grant, end), 0);
	channel_close(end);
	return role;
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

static void be_told(int result)
{
	atomic_store(&board->told, stoa_now());
	atomic_store(&board->result, result);
}

static uint64_t write_some(struct stoa_writer *writer, uint64_t position, uint64_t *seed, int *ret_result)
{
	static unsigned char bytes[LONGEST];
	uint64_t length = test_random(seed) % (test_random(seed) % 8 ? 100 : LONGEST) + 1, done = 0;
	unsigned char *to = bytes;
	void *at;

	if (test_random(seed) % 2) {
		*ret_result = stoa_stream_reserve(writer, length, STOA_FOREVER, &at, &length);
		if (*ret_result)
			return 0;
		to = at;
	}
	for (uint64_t i = 0; i < length; i++)
		to[i] = byte_at(position + i);
	if (to == bytes)
		*ret_result = stoa_stream_write(writer, bytes, length, STOA_FOREVER, &done);
	else
		*ret_result = stoa_stream_commit(writer, done = length);
	return done;
}

static void write_on(void *argument)
{
	struct stoa_stream *stream = attach(argument, STOA_GRANT_WRITER);
	struct stoa_writer *writer = join_as_writer(stream);
	uint64_t position = 0, seed = board->seed;
	int rc = 0;

	while (rc == 0)
		position += write_some(writer, position, &seed, &rc);
	be_told(rc);
	stoa_writer_leave(writer);
	stoa_stream_close(stream);
}

static void check_bytes(const unsigned char *bytes, uint64_t length)
{
	uint64_t position = atomic_load(&board->got);

	CHECK(length > 0);
	for (uint64_t i = 0; i < length; i++)
		CHECK_EQ(bytes[i], byte_at(position + i));
	atomic_store(&board->got, position + length);
}

static int read_some(struct stoa_reader *reader, uint64_t *seed)
{
	static unsigned char bytes[LONGEST];
	const void *at;
	uint64_t got;
	int rc;

	if (test_random(seed) % 2) {
		rc = stoa_stream_read(reader, bytes, test_random(seed) % LONGEST + 1, STOA_FOREVER, &got);
		if (rc == 0)
			check_bytes(bytes, got);
		return rc;
	}
	rc = stoa_stream_peek(reader, STOA_FOREVER, &at, &got);
	if (rc == 0) {
		got -= got / 2;
		check_bytes(at, got);
		CHECK_RC(stoa_stream_consume(reader, got), 0);
	}
	return rc;
}

static void read_on(void *argument)
{
	struct stoa_stream *stream = attach(argument, STOA_GRANT_READER);
	struct stoa_reader *reader = join_as_reader(stream);
	uint64_t seed = ~board->seed;
	int rc;

	do
		rc = read_some(reader, &seed);
	while (rc == 0);
	be_told(rc);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

/* ---- kills ---- */

/* Some after a while of work; some before, at any time from the start on. */
static void let_it_live(uint64_t *seed)
{
	static uint64_t usual; /* until the first byte */
	uint64_t choice = test_random(seed), begin = stoa_now(), latest = begin + (choice >> 8) % (2 * usual + 1);

	while (choice % 3 == 0 && stoa_now() < latest)
		sched_yield();
	if (choice % 3 == 0)
		return;
	while (!atomic_load(&board->got))
		sched_yield();
	usual = stoa_now() - begin;
	while (atomic_load(&board->got) < (choice >> 8 & 0xffff))
		sched_yield();
}

/* How long it took until the survivor was told. */
static uint64_t wait_for(pid_t survivor, uint64_t killed, int expected)
{
	uint64_t told;

	CHECK_EQ(test_join(survivor), 0);
	CHECK_RC(atomic_load(&board->result), expected);
	told = atomic_load(&board->told);
	return told > killed ? told - killed : 0;
}

/* A writer that never took part left its place to another. */
static void end_as_another(struct stoa_stream *stream)
{
	unsigned char bytes[TAIL];
	struct stoa_writer *writer = join_as_writer(stream);

	for (uint64_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte_at(i);
	CHECK_RC(stoa_stream_write(writer, bytes, sizeof(bytes), STOA_FOREVER, NULL), 0);
	CHECK_RC(stoa_stream_finish(writer), 0);
	CHECK_RC(stoa_stream_flush(writer, STOA_FOREVER), 0);
	stoa_writer_leave(writer);
}

static uint64_t kill_writer(struct stoa_stream *stream, uint64_t *seed)
{
	pid_t reader = start(read_on, STOA_GRANT_READER), writer = start(write_on, STOA_GRANT_WRITER);
	struct channel_lane *lane = &stream->channel.lanes[0];
	uint64_t killed;

	let_it_live(seed);
	killed = stoa_now();
	test_kill(writer);
	if (load_rlx(&lane->joined)) {
		killed = wait_for(reader, killed, -STOA_ETRUNCATED);
		CHECK_EQ(atomic_load(&board->got), load_rlx(&lane->tail));
		return killed;
	}
	end_as_another(stream);
	(void)wait_for(reader, killed, STOA_CLOSED);
	CHECK_EQ(atomic_load(&board->got), TAIL);
	return 0;
}

static uint64_t kill_reader(struct stoa_stream *stream, uint64_t *seed)
{
	pid_t writer = start(write_on, STOA_GRANT_WRITER), reader = start(read_on, STOA_GRANT_READER);
	struct stoa_reader *another;
	uint64_t killed;

	let_it_live(seed);
	killed = stoa_now();
	test_kill(reader);
	if (load_rlx(&stream->channel.readers[0].joined))
		return wait_for(writer, killed, -STOA_ECLOSED);
	CHECK_EQ(atomic_load(&board->got), 0);
	another = join_as_reader(stream);
	CHECK_RC(stoa_reader_fail(another, -4711), 0);
	(void)wait_for(writer, killed, -4711);
	stoa_reader_leave(another);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void expect_no_damage(void *argument, int severity, const char *sentence)
{
	(void)argument;
	if (severity == STOA_DAMAGE)
		test_fail(__FILE__, __LINE__, "%s", sentence);
}

/* What they left is in order. */
static void check_remains(const struct stoa_stream *stream)
{
	const struct channel_site site = channel_site(&stream->channel);

	CHECK_RC(channel_valid(&site, expect_no_damage, NULL), 0);
}

static void kill_many(uint64_t (*one)(struct stoa_stream *stream, uint64_t *seed), bool granted)
{
	const struct stoa_stream_options options = {.ring = RING};
	const struct stoa_segment_options few = {.roster_slots = 4}; /* each place is taken many times */
	unsigned rounds = test_rounds(30, 1000), taken = 0;
	static uint64_t times[1000];
	uint64_t seed = test_seed();

	board = test_shared(sizeof(*board));
	CHECK_RC(stoa_segment_create(NULL, UINT64_C(1) << 20, &few, &arena), 0);
	test_share(&arena, NULL);
	for (unsigned i = 0; i < rounds; i++) {
		struct stoa_stream *stream = NULL;

		*board = (struct board){.waiting = i % 3 == 1 ? STOA_SLEEP : STOA_BALANCED,
					.granted = granted,
					.seed = test_random(&seed)};
		if (granted)
			CHECK_RC(stoa_stream_create(NULL, &options, &whole), 0);
		else
			CHECK_RC(stoa_stream_place(arena, PLACE, &options, &stream), 0);
		stream = granted ? whole : stream;
		times[taken] = one(stream, &seed);
		taken += times[taken] != 0;
		check_remains(stream);
		stoa_stream_close(stream);
		whole = NULL;
	}
	qsort(times, taken, sizeof(times[0]), compare);
	CHECK_INT(taken, >, 0);
	test_figure("%u killed at work of %u; the other was told within %llu us (median), %llu us (99th percentile)",
		    taken, rounds, (unsigned long long)times[taken / 2] / 1000,
		    (unsigned long long)times[taken * 99 / 100] / 1000);
	stoa_segment_close(arena);
}

TEST_TIMEOUT(writers, 120)
{
	kill_many(kill_writer, false);
}

TEST_TIMEOUT(readers, 120)
{
	kill_many(kill_reader, false);
}

TEST_TIMEOUT(granted_writers, 120)
{
	kill_many(kill_writer, true);
}

TEST_TIMEOUT(granted_readers, 120)
{
	kill_many(kill_reader, true);
}
