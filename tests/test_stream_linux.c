/* SPDX-License-Identifier: MIT */
/* Streams over a fork: a child that uses its parent's ends is refused, and does them no harm. */
#include <harness/test.h>

#include <stoa/stoa.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stoa_stream *stream;
static struct stoa_writer *writer;
static struct stoa_reader *reader;

static int use_parents_ends(void)
{
	struct stoa_waitable set[] = {{NULL, reader, STOA_WAIT_READER, 0}};
	const void *bytes;
	uint64_t length;
	char byte;
	void *at;

	if (stoa_stream_write(writer, "b", 1, STOA_TRY, NULL) != -STOA_ENOTOWNER ||
	    stoa_stream_reserve(writer, 1, STOA_FOREVER, &at, &length) != -STOA_ENOTOWNER ||
	    stoa_stream_commit(writer, 1) != -STOA_ENOTOWNER || stoa_stream_finish(writer) != -STOA_ENOTOWNER ||
	    stoa_writer_fail(writer, -1) != -STOA_ENOTOWNER ||
	    stoa_stream_flush(writer, STOA_FOREVER) != -STOA_ENOTOWNER)
		return 1;
	if (stoa_stream_read(reader, &byte, 1, STOA_FOREVER, &length) != -STOA_ENOTOWNER ||
	    stoa_stream_peek(reader, STOA_FOREVER, &bytes, &length) != -STOA_ENOTOWNER ||
	    stoa_stream_consume(reader, 1) != -STOA_ENOTOWNER || stoa_reader_fail(reader, -1) != -STOA_ENOTOWNER)
		return 2;
	if (stoa_wait_any(set, 1, STOA_TRY, NULL) != -STOA_ENOTOWNER)
		return 3;
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
	return 0;
}

TEST(a_child_is_not_its_parent)
{
	const void *bytes;
	uint64_t length;
	int status;
	pid_t child;
	void *at;

	CHECK_RC(stoa_stream_create(NULL, NULL, &stream), 0);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
	CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
	CHECK_RC(stoa_stream_write(writer, "a", 1, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_reserve(writer, 1, STOA_TRY, &at, &length), 0);
	CHECK_RC(stoa_stream_peek(reader, STOA_TRY, &bytes, &length), 0);
	child = fork();
	CHECK_SYS(child);
	if (!child)
		_exit(use_parents_ends());
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_EQ(length, 1);
	CHECK_RC(stoa_stream_consume(reader, 1), 0);
	*(char *)at = 'c';
	CHECK_RC(stoa_stream_commit(writer, 1), 0);
	CHECK_RC(stoa_stream_peek(reader, STOA_TRY, &bytes, &length), 0);
	CHECK_EQ(length, 1);
	CHECK_EQ(*(const char *)bytes, 'c');
	CHECK_RC(stoa_stream_consume(reader, 1), 0);
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}
