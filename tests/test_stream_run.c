/* SPDX-License-Identifier: MIT */
/*
 * Streams between processes: every byte arrives once and in its place, whatever the sizes, the calls and how the ends wait; and whoever
 * sleeps is told how the other ended.
 */
#include <harness/test.h>

#include <base/atomic.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>

#define RING UINT64_C(8192)
#define LONGEST (3 * RING)

/* In memory that the roles share. */
struct plan {
	char name[64];
	uint32_t waiting;
	bool impatient;  /* with deadlines that pass */
	uint64_t length; /* of the stream */
	uint64_t seed;
	_Atomic uint64_t sleeps, timeouts, got;
	_Atomic uint32_t joined;
	_Atomic int32_t result;
};
static struct plan *plan;

static unsigned char byte_at(uint64_t position)
{
	return (unsigned char)(position * 31 + position / RING * 7 + position / 65536);
}

static void fill(unsigned char *to, uint64_t position, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		to[i] = byte_at(position + i);
}

static void check_bytes(const unsigned char *from, uint64_t position, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		if (from[i] != byte_at(position + i))
			test_fail(__FILE__, __LINE__, "byte %llu is %u, not %u", (unsigned long long)(position + i),
				  from[i], byte_at(position + i));
}

static uint64_t deadline(uint64_t *seed)
{
	return plan->impatient ? stoa_deadline_in(test_random(seed) % 20000) : STOA_FOREVER;
}

static uint64_t some_length(uint64_t *seed)
{
	return test_random(seed) % (test_random(seed) % 16 ? 300 : LONGEST) + 1;
}

static void count_waits(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	add_rlx(&plan->sleeps, stat.sleeps);
	CHECK_EQ(stat.rescues, 0);
}

static struct stoa_writer *join_as_writer(struct stoa_stream **ret_stream)
{
	const struct stoa_writer_options options = {.waiting = plan->waiting};
	struct stoa_writer *writer;

	CHECK_RC(stoa_stream_open(plan->name, 0, ret_stream), 0);
	CHECK_RC(stoa_writer_join(*ret_stream, &options, &writer), 0);
	add_rlx(&plan->joined, 1);
	return writer;
}

static struct stoa_reader *join_as_reader(struct stoa_stream **ret_stream)
{
	const struct stoa_reader_options options = {.waiting = plan->waiting};
	struct stoa_reader *reader;

	CHECK_RC(stoa_stream_open(plan->name, 0, ret_stream), 0);
	CHECK_RC(stoa_reader_join(*ret_stream, &options, &reader), 0);
	add_rlx(&plan->joined, 1);
	return reader;
}

static uint64_t write_once(struct stoa_writer *writer, uint64_t position, uint64_t most, uint64_t *seed)
{
	static unsigned char bytes[LONGEST];
	uint64_t length = some_length(seed), done = 0;
	void *at;
	int rc;

	length = length < most ? length : most;
	if (test_random(seed) % 2) {
		fill(bytes, position, length);
		rc = stoa_stream_write(writer, bytes, length, deadline(seed), &done);
		CHECK(rc == 0 ? done == length : rc == STOA_TIMED_OUT && done < length);
	} else {
		rc = stoa_stream_reserve(writer, length, deadline(seed), &at, &done);
		if (rc == 0) {
			fill(at, position, done);
			CHECK_RC(stoa_stream_commit(writer, done), 0);
		}
		CHECK(rc == 0 || rc == STOA_TIMED_OUT);
	}
	add_rlx(&plan->timeouts, rc == STOA_TIMED_OUT);
	return done;
}

static void write_all(void *argument)
{
	uint64_t seed, written = 0;
	struct stoa_stream *stream;
	struct stoa_writer *writer;

	plan = argument;
	seed = plan->seed;
	writer = join_as_writer(&stream);
	while (written < plan->length)
		written += write_once(writer, written, plan->length - written, &seed);
	CHECK_RC(stoa_stream_finish(writer), 0);
	CHECK_RC(stoa_stream_flush(writer, STOA_FOREVER), 0);
	count_waits();
	stoa_writer_leave(writer);
	stoa_stream_close(stream);
}

static int read_once(struct stoa_reader *reader, uint64_t *position, uint64_t *seed)
{
	static unsigned char bytes[LONGEST];
	const void *at;
	uint64_t got;
	int rc;

	if (test_random(seed) % 2) {
		rc = stoa_stream_read(reader, bytes, some_length(seed), deadline(seed), &got);
		if (rc == 0)
			check_bytes(bytes, *position, got);
	} else {
		rc = stoa_stream_peek(reader, deadline(seed), &at, &got);
		if (rc == 0) {
			check_bytes(at, *position, got);
			got -= test_random(seed) % 4 ? 0 : got / 2;
			CHECK_RC(stoa_stream_consume(reader, got), 0);
		}
	}
	add_rlx(&plan->timeouts, rc == STOA_TIMED_OUT);
	if (rc == 0) {
		CHECK(got > 0);
		*position += got;
	}
	return rc;
}

static void read_all(void *argument)
{
	uint64_t seed, position = 0;
	struct stoa_stream *stream;
	struct stoa_reader *reader;
	int rc = 0;

	plan = argument;
	seed = ~plan->seed;
	reader = join_as_reader(&stream);
	while (rc == 0 || rc == STOA_TIMED_OUT)
		rc = read_once(reader, &position, &seed);
	atomic_store(&plan->result, rc);
	atomic_store(&plan->got, position);
	count_waits();
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

static struct stoa_stream *make(uint32_t waiting, uint64_t length)
{
	const struct stoa_stream_options options = {.ring = RING};
	struct stoa_stream *stream;

	plan = test_shared(sizeof(*plan));
	snprintf(plan->name, sizeof(plan->name), "%s", test_name("stream"));
	plan->waiting = waiting;
	plan->length = length;
	plan->seed = test_seed();
	CHECK_RC(stoa_stream_create(plan->name, &options, &stream), 0);
	return stream;
}

/* ---- whole streams ---- */

static void run(uint32_t waiting, bool impatient, uint64_t length)
{
	struct stoa_stream *stream = make(waiting, length);
	pid_t roles[2];

	plan->impatient = impatient;
	roles[0] = test_role(read_all, plan);
	roles[1] = test_role(write_all, plan);
	CHECK_EQ(test_join(roles[1]), 0);
	CHECK_EQ(test_join(roles[0]), 0);
	CHECK_RC(atomic_load(&plan->result), STOA_CLOSED);
	CHECK_EQ(atomic_load(&plan->got), length);
	if (waiting == STOA_SLEEP)
		CHECK_INT(atomic_load(&plan->sleeps), >, 0);
	if (impatient)
		CHECK_INT(atomic_load(&plan->timeouts), >, 0);
	stoa_stream_close(stream);
}

TEST_TIMEOUT(balanced, 60)
{
	run(STOA_BALANCED, false, test_rounds(8, 2000) << 20);
}

TEST_TIMEOUT(asleep, 60)
{
	run(STOA_SLEEP, false, test_rounds(4, 500) << 20);
}

TEST_TIMEOUT(awake, 60)
{
	run(STOA_SPIN, false, test_rounds(1, 200) << 20);
}

TEST_TIMEOUT(impatient, 60)
{
	run(STOA_BALANCED, true, test_rounds(2, 200) << 20);
}

/* ---- ends that sleep are told ---- */

static void begin(void (*role)(void *argument), pid_t *ret_role)
{
	uint32_t joined = load_rlx(&plan->joined);

	*ret_role = test_role(role, plan);
	while (load_rlx(&plan->joined) == joined)
		test_nap(1);
}

static void write_a_part(void *argument)
{
	unsigned char bytes[100];
	struct stoa_stream *stream;
	struct stoa_writer *writer;

	plan = argument;
	writer = join_as_writer(&stream);
	fill(bytes, 0, sizeof(bytes));
	CHECK_RC(stoa_stream_write(writer, bytes, sizeof(bytes), STOA_TRY, NULL), 0);
	test_pause();
}

TEST(a_writer_is_killed)
{
	struct stoa_stream *stream = make(STOA_SLEEP, 0);
	pid_t reader, writer;

	begin(read_all, &reader);
	begin(write_a_part, &writer);
	test_await_sleep(reader);
	test_kill(writer);
	CHECK_EQ(test_join(reader), 0);
	CHECK_RC(atomic_load(&plan->result), -STOA_ETRUNCATED);
	CHECK_EQ(atomic_load(&plan->got), 100);
	stoa_stream_close(stream);
}

/* It ends without a word; and its reader comes after that. */
static void write_and_end(void *argument)
{
	unsigned char bytes[100];
	struct stoa_stream *stream;
	struct stoa_writer *writer;

	plan = argument;
	writer = join_as_writer(&stream);
	fill(bytes, 0, sizeof(bytes));
	CHECK_RC(stoa_stream_write(writer, bytes, sizeof(bytes), STOA_TRY, NULL), 0);
}

TEST(a_writer_ends)
{
	struct stoa_stream *stream = make(STOA_SLEEP, 0);
	pid_t reader, writer;

	TEST_LEAKS_OK("a role ends with its stream open");
	begin(write_and_end, &writer);
	CHECK_EQ(test_join(writer), 0);
	begin(read_all, &reader);
	CHECK_EQ(test_join(reader), 0);
	CHECK_RC(atomic_load(&plan->result), -STOA_ETRUNCATED);
	CHECK_EQ(atomic_load(&plan->got), 100);
	stoa_stream_close(stream);
}

static void write_until_told(void *argument)
{
	unsigned char bytes[1000];
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	uint64_t written = 0, done = 0;
	int rc = 0;

	plan = argument;
	writer = join_as_writer(&stream);
	for (; rc == 0; written += done) {
		fill(bytes, written, sizeof(bytes));
		rc = stoa_stream_write(writer, bytes, sizeof(bytes), STOA_FOREVER, &done);
	}
	atomic_store(&plan->result, rc);
	count_waits();
	stoa_writer_leave(writer);
	stoa_stream_close(stream);
}

static void join_and_pause(void *argument)
{
	struct stoa_stream *stream;

	plan = argument;
	(void)join_as_reader(&stream);
	test_pause();
}

TEST(a_reader_is_killed)
{
	struct stoa_stream *stream = make(STOA_SLEEP, 0);
	pid_t reader, writer;

	begin(join_and_pause, &reader);
	begin(write_until_told, &writer);
	test_await_sleep(writer);
	test_kill(reader);
	CHECK_EQ(test_join(writer), 0);
	CHECK_RC(atomic_load(&plan->result), -STOA_ECLOSED);
	stoa_stream_close(stream);
}

/* Nobody is there to begin with; then a reader comes, fails and stays. */
TEST(a_reader_fails)
{
	struct stoa_stream *stream = make(STOA_SLEEP, 0);
	struct stoa_reader *reader;
	pid_t writer;

	begin(write_until_told, &writer);
	test_await_sleep(writer);
	CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
	CHECK_RC(stoa_reader_fail(reader, -4711), 0);
	CHECK_EQ(test_join(writer), 0);
	CHECK_RC(atomic_load(&plan->result), -4711);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

static int fail(struct stoa_writer *writer)
{
	return stoa_writer_fail(writer, -STOA_EACCES);
}

static int leave(struct stoa_writer *writer)
{
	stoa_writer_leave(writer);
	return 0;
}

/* The reader sleeps before there is a writer, and is told by that alone: the writer stays. */
static void told(int (*end)(struct stoa_writer *writer), int expected)
{
	struct stoa_stream *stream = make(STOA_SLEEP, 0);
	struct stoa_writer *writer;
	pid_t reader;

	begin(read_all, &reader);
	test_await_sleep(reader);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
	test_await_sleep(reader);
	CHECK_RC(end(writer), 0);
	CHECK_EQ(test_join(reader), 0);
	CHECK_RC(atomic_load(&plan->result), expected);
	if (end != leave)
		stoa_writer_leave(writer);
	stoa_stream_close(stream);
}

TEST(a_writer_finishes)
{
	told(stoa_stream_finish, STOA_CLOSED);
}

TEST(a_writer_fails)
{
	told(fail, -STOA_EACCES);
}

TEST(a_writer_leaves)
{
	told(leave, -STOA_ETRUNCATED);
}

/* ---- many short ones: their ends come together with their bytes ---- */

#define STREAMS 400
#define STRIDE (UINT64_C(64) << 10)

static struct stoa_segment *arena;

static struct stoa_stream *attach(uint32_t which)
{
	struct stoa_stream *stream;

	CHECK_RC(stoa_stream_attach(arena, which * STRIDE, &stream), 0);
	return stream;
}

static void write_short_ones(void *argument)
{
	static const char bytes[64];

	plan = argument;
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct stoa_stream *stream = attach(i);
		struct stoa_writer *writer;

		CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
		CHECK_RC(stoa_stream_write(writer, bytes, i % 60 + 1, STOA_FOREVER, NULL), 0);
		if (i % 3)
			CHECK_RC(i % 3 == 1 ? stoa_stream_finish(writer) : stoa_writer_fail(writer, -STOA_EIO), 0);
		stoa_writer_leave(writer);
		stoa_stream_close(stream);
	}
}

static void read_short_ones(void *argument)
{
	static const int ends[] = {-STOA_ETRUNCATED, STOA_CLOSED, -STOA_EIO};
	static char bytes[64];

	plan = argument;
	for (uint32_t i = 0; i < STREAMS; i++) {
		const uint64_t until = i % 4 ? STOA_TRY : STOA_FOREVER;
		struct stoa_stream *stream = attach(i);
		struct stoa_reader *reader;
		uint64_t all = 0, got;
		int rc;

		CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
		while ((rc = stoa_stream_read(reader, bytes, sizeof(bytes), until, &got)) == 0 || rc == STOA_TIMED_OUT)
			all += got;
		CHECK_EQ(all, i % 60 + 1);
		CHECK_RC(rc, ends[i % 3]);
		stoa_reader_leave(reader);
		stoa_stream_close(stream);
	}
}

TEST(short_ones)
{
	const struct stoa_stream_options options = {.ring = 4096};
	struct stoa_stream *stream;
	pid_t roles[2];

	plan = test_shared(sizeof(*plan));
	CHECK_RC(stoa_segment_create(NULL, STREAMS * STRIDE, NULL, &arena), 0);
	for (uint32_t i = 0; i < STREAMS; i++) {
		CHECK_RC(stoa_stream_place(arena, i * STRIDE, &options, &stream), 0);
		stoa_stream_close(stream);
	}
	test_share(&arena, NULL);
	roles[0] = test_role(read_short_ones, plan);
	roles[1] = test_role(write_short_ones, plan);
	CHECK_EQ(test_join(roles[0]), 0);
	CHECK_EQ(test_join(roles[1]), 0);
	stoa_segment_close(arena);
}
