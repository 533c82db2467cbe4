/* SPDX-License-Identifier: MIT */
/*
 * As test_stream_grants.c, by what Linux alone has: other users, and seals against the same one.
 */
#include <channel/grant_linux.h>

#include <sys/resource.h>
#include <sys/socket.h>

static int ends[2]; /* of the socket to a role */
static _Atomic uint32_t *ready;

static struct stoa_stream *make(void)
{
	struct stoa_stream *stream;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	ready = test_shared(sizeof(*ready));
	CHECK_RC(stoa_stream_create(NULL, NULL, &stream), 0);
	return stream;
}

static void close_ends(void)
{
	close(ends[0]);
	close(ends[1]);
}

static int read_text(struct stoa_reader *reader, const char *expected)
{
	char text[32];
	uint64_t got;
	int rc = stoa_stream_read(reader, text, sizeof(text), STOA_FOREVER, &got);

	if (!rc)
		CHECK_STR(text, expected);
	return rc;
}

/* ---- another user ---- */

static struct stoa_stream *receive_as_nobody(uint32_t grant)
{
	struct stoa_stream *stream;
	uint32_t from;

	become_nobody();
	CHECK_RC(stoa_stream_receive_with_socket(ends[1], &stream, &from), 0);
	CHECK_EQ(from, 0);
	CHECK_EQ(stoa_stream_grants(stream), grant);
	expect_only_reads_linux(&stream->channel, grant == STOA_GRANT_READER, false);
	return stream;
}

static void be_a_strange_reader(void *argument)
{
	struct stoa_stream *whole = argument, *stream;
	struct stoa_reader *reader;
	struct stoa_writer *writer;
	struct stoa_wait_stat stat;

	stoa_stream_close(whole);
	stream = receive_as_nobody(STOA_GRANT_READER);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), -STOA_ERIGHTS);
	CHECK_RC(stoa_reader_join(stream, &(struct stoa_reader_options){.waiting = STOA_SLEEP}, &reader), 0);
	CHECK_RC(read_text(reader, "to a stranger"), 0);
	store_rlx(ready, 1);
	CHECK_RC(read_text(reader, "and another"), 0);
	store_rlx(ready, 2);
	CHECK_RC(read_text(reader, ""), STOA_CLOSED);
	stoa_wait_stat(&stat);
	CHECK_EQ(stat.rescues, 0);
	CHECK_INT(stat.sleeps, >, 0);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

TEST(a_strange_reader)
{
	struct stoa_stream *whole;
	struct stoa_writer *writer;
	pid_t role;

	need_root("another user");
	whole = make();
	role = test_role(be_a_strange_reader, whole);
	CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_READER, ends[0]), 0);
	CHECK_RC(stoa_writer_join(whole, &(struct stoa_writer_options){.waiting = STOA_SLEEP}, &writer), 0);
	CHECK_RC(stoa_stream_write(writer, "to a stranger", 14, STOA_TRY, NULL), 0);
	test_await(ready, 1);
	test_await_sleep(role);
	CHECK_RC(stoa_stream_write(writer, "and another", 12, STOA_TRY, NULL), 0);
	test_await(ready, 2);
	test_await_sleep(role);
	CHECK_RC(stoa_stream_finish(writer), 0);
	CHECK_EQ(test_join(role), 0);
	stoa_writer_leave(writer);
	stoa_stream_close(whole);
	close_ends();
}

static void be_a_strange_writer(void *argument)
{
	struct stoa_stream *whole = argument, *stream;
	struct stoa_segment *mine;
	struct stoa_writer *writer;

	stoa_stream_close(whole);
	stream = receive_as_nobody(STOA_GRANT_WRITER);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
	/* What one may write one may also spoil: the other side lives with it. */
	mine = stream->channel.segments[1];
	CHECK_SYS(
		fallocate((int)mine->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)mine->data_offset));
	CHECK_EQ(ftruncate((int)mine->memory, 0), -1);
	CHECK_RC(stoa_stream_write(writer, "from a stranger", 16, STOA_TRY, NULL), 0);
	store_rlx(ready, 1);
	test_pause();
}

/* It takes the pages of its own roster away, and is dead to the other from then on; that, and its end, harms nobody who reads. */
TEST(a_strange_writer)
{
	struct stoa_stream *whole, *stream;
	struct stoa_reader *reader;
	pid_t role;

	need_root("another user");
	whole = make();
	stream = stream_granted(whole, STOA_GRANT_READER);
	role = test_role(be_a_strange_writer, whole);
	CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_WRITER, ends[0]), 0);
	stoa_stream_close(whole);
	CHECK_RC(stoa_reader_join(stream, &(struct stoa_reader_options){.waiting = STOA_SLEEP}, &reader), 0);
	test_await(ready, 1);
	CHECK_RC(read_text(reader, "from a stranger"), 0);
	test_kill(role);
	CHECK_RC(read_text(reader, ""), -STOA_ETRUNCATED);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
	close_ends();
}

/* ---- the same user ---- */

static void be_a_friend(void *argument)
{
	struct stoa_stream *whole = argument, *stream;
	struct stoa_reader *reader;

	stoa_stream_close(whole);
	CHECK_RC(stoa_stream_receive_with_socket(ends[1], &stream, NULL), 0);
	expect_only_reads_linux(&stream->channel, 1, true);
	CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
	CHECK_RC(read_text(reader, "sealed"), 0);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

TEST(the_same_user_is_held_by_a_seal)
{
	struct stoa_stream *whole = make(), *handle;
	struct stoa_writer *writer, *another = NULL;
	char token[STOA_TOKEN_SIZE];
	pid_t role;

	CHECK_RC(stoa_writer_join(whole, NULL, &writer), 0);
	CHECK_RC(stoa_stream_seal(whole, 0), -STOA_EINVAL);
	handle = stream_granted(whole, STOA_GRANT_READER);
	CHECK_RC(stoa_stream_seal(handle, STOA_GRANT_WRITER), -STOA_ERIGHTS);
	stoa_stream_close(handle);
	CHECK_RC(stoa_stream_seal(whole, STOA_GRANT_WRITER), 0);
	/* Nobody becomes the writer any more, */
	CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_WRITER, ends[0]), -STOA_ERIGHTS);
	check_detail("the stream is sealed: nobody can become a writer");
	CHECK_RC(stoa_stream_inherit(whole, STOA_GRANT_WRITER, token), -STOA_ERIGHTS);
	handle = stream_granted(whole, STOA_GRANT_READER);
	CHECK_RC(stoa_writer_join(handle, NULL, &another), -STOA_ERIGHTS);
	stoa_stream_close(handle);
	/* who has joined goes on. */
	role = test_role(be_a_friend, whole);
	CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_READER, ends[0]), 0);
	CHECK_RC(stoa_stream_write(writer, "sealed", 7, STOA_TRY, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	stoa_writer_leave(writer);
	stoa_stream_close(whole);
	close_ends();
}

/* ---- one who lies about its life ---- */

static void be_a_forger(void *argument)
{
	struct stoa_stream *whole = argument, *stream;
	struct stoa_reader *reader;
	struct roster_sight sight;
	uint64_t owner;

	stoa_stream_close(whole);
	CHECK_RC(stoa_stream_receive_with_socket(ends[1], &stream, NULL), 0);
	CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
	owner = load_rlx(&stream->channel.readers[0].owner);
	CHECK_RC(roster_look(stream->channel.segments[0], owner, false, &sight), 1);
	store_rlx(sight.life, owner >> 32 << 32 | (uint32_t)getppid());
	store_rlx(ready, 1);
	test_pause();
}

/* What is written in stoa_grant(3): dead, it is waited for as if it lived; and by nobody beyond a deadline. */
TEST(a_forger_outlives_itself_and_no_deadline)
{
	for (uint32_t waiting = STOA_BALANCED; waiting <= STOA_SLEEP; waiting++) {
		const struct stoa_writer_options options = {.waiting = waiting};
		struct stoa_stream *whole = make();
		struct stoa_writer *writer;
		char byte = 0;
		pid_t role = test_role(be_a_forger, whole);
		int rc;

		CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_READER, ends[0]), 0);
		test_await(ready, 1);
		test_kill(role);
		CHECK_RC(stoa_writer_join(whole, &options, &writer), 0);
		while ((rc = stoa_stream_write(writer, &byte, 1, stoa_deadline_in(20000000), NULL)) == 0)
			;
		CHECK_RC(rc, STOA_TIMED_OUT);
		CHECK_RC(stoa_stream_flush(writer, stoa_deadline_in(20000000)), STOA_TIMED_OUT);
		stoa_writer_leave(writer);
		stoa_stream_close(whole);
		close_ends();
	}
}

TEST(no_descriptor_left_to_receive_with)
{
	struct stoa_stream *whole = make(), *none = NULL;
	struct rlimit limit, tight;
	int highest = dup(0);

	CHECK_SYS(highest);
	close(highest);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	for (unsigned left = 0; left < 2; left++) {
		CHECK_RC(stoa_stream_send_with_socket(whole, STOA_GRANT_WRITER, ends[0]), 0);
		tight = (struct rlimit){(rlim_t)highest + left, limit.rlim_max};
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &tight));
		CHECK_RC(stoa_stream_receive_with_socket(ends[1], &none, NULL), -STOA_ELIMIT);
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	}
	CHECK(none == NULL);
	stoa_stream_close(whole);
	close_ends();
}
