/* SPDX-License-Identifier: MIT */
/* Fault cases of streams. */
#include "faults.h"

#define RING 4096

static const struct stoa_stream_options small = {.ring = RING};
static char bytes[2 * RING];

/* ---- making and opening ---- */

static int create(struct run *run)
{
	return stoa_stream_create(run->name, &small, &run->ret.stream);
}

static void close_stream(struct run *run, int result)
{
	if (result >= 0)
		stoa_stream_close(run->ret.stream);
}

static int create_or_open(struct run *run)
{
	return stoa_stream_create_or_open(run->name, &small, &run->ret.stream);
}

static void make_named(struct run *run)
{
	CHECK_RC(stoa_stream_create(run->name, &small, &run->stream), 0);
}

static int open_named(struct run *run)
{
	return stoa_stream_open(run->name, 0, &run->ret.stream);
}

static void close_named(struct run *run, int result)
{
	close_stream(run, result);
	stoa_stream_close(run->stream);
}

static int size(struct run *run)
{
	return stoa_stream_size(&small, &run->ret.bits);
}

#define PLACE (UINT64_C(1) << 20)

static void make_segment(struct run *run)
{
	CHECK_RC(stoa_segment_create(NULL, RESERVE, NULL, &run->fresh), 0);
}

static int place(struct run *run)
{
	return stoa_stream_place(run->fresh, PLACE, &small, &run->ret.stream);
}

static void close_segment(struct run *run, int result)
{
	close_stream(run, result);
	stoa_segment_close(run->fresh);
}

static void make_placed(struct run *run)
{
	make_segment(run);
	CHECK_RC(stoa_stream_place(run->fresh, PLACE, &small, &run->stream), 0);
	stoa_stream_close(run->stream);
}

static int attach(struct run *run)
{
	return stoa_stream_attach(run->fresh, PLACE, &run->ret.stream);
}

static void make_unnamed(struct run *run)
{
	CHECK_RC(stoa_stream_create(NULL, &small, &run->stream), 0);
}

static int close_call(struct run *run)
{
	stoa_stream_close(run->stream);
	return 0;
}

/* ---- ends ---- */

static int join_writer(struct run *run)
{
	return stoa_writer_join(run->stream, NULL, &run->ret.writer);
}

static void leave_writer(struct run *run, int result)
{
	if (result >= 0)
		stoa_writer_leave(run->ret.writer);
	stoa_stream_close(run->stream);
}

static int join_reader(struct run *run)
{
	return stoa_reader_join(run->stream, NULL, &run->ret.reader);
}

static void leave_reader(struct run *run, int result)
{
	if (result >= 0)
		stoa_reader_leave(run->ret.reader);
	stoa_stream_close(run->stream);
}

static void make_ends(struct run *run)
{
	make_unnamed(run);
	CHECK_RC(stoa_writer_join(run->stream, NULL, &run->writer), 0);
	CHECK_RC(stoa_reader_join(run->stream, NULL, &run->reader), 0);
}

static int leave_writer_call(struct run *run)
{
	stoa_writer_leave(run->writer);
	return 0;
}

static void end_reader(struct run *run, int result)
{
	uint64_t got;

	(void)result;
	CHECK_RC(stoa_stream_read(run->reader, bytes, 1, STOA_TRY, &got), -STOA_ETRUNCATED);
	stoa_reader_leave(run->reader);
	stoa_stream_close(run->stream);
}

static int leave_reader_call(struct run *run)
{
	stoa_reader_leave(run->reader);
	return 0;
}

static void end_writer(struct run *run, int result)
{
	(void)result;
	CHECK_RC(stoa_stream_write(run->writer, "x", 1, STOA_TRY, NULL), -STOA_ECLOSED);
	stoa_writer_leave(run->writer);
	stoa_stream_close(run->stream);
}

static void close_ends(struct run *run)
{
	stoa_writer_leave(run->writer);
	stoa_reader_leave(run->reader);
	stoa_stream_close(run->stream);
}

/* Whatever failed, bytes still come. */
static void end_all(struct run *run, int result)
{
	uint64_t got;

	(void)result;
	while (stoa_stream_read(run->reader, bytes, sizeof(bytes), STOA_TRY, &got) == 0)
		;
	CHECK_RC(stoa_stream_write(run->writer, "xy", 2, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_read(run->reader, bytes, sizeof(bytes), STOA_TRY, &got), 0);
	CHECK_EQ(got, 2);
	CHECK_EQ(memcmp(bytes, "xy", 2), 0);
	close_ends(run);
}

/* ---- bytes ---- */

static void fill_ring(struct run *run)
{
	make_ends(run);
	CHECK_RC(stoa_stream_write(run->writer, bytes, RING, STOA_TRY, NULL), 0);
}

static int write_call(struct run *run)
{
	return stoa_stream_write(run->writer, "text", 4, stoa_deadline_in(1000000), &run->ret.bits);
}

static int reserve(struct run *run)
{
	return stoa_stream_reserve(run->writer, 100, stoa_deadline_in(1000000), &run->ret.address, &run->second.bits);
}

static void make_reserved(struct run *run)
{
	void *at;
	uint64_t room;

	make_ends(run);
	CHECK_RC(stoa_stream_reserve(run->writer, 100, STOA_TRY, &at, &room), 0);
}

static int commit(struct run *run)
{
	return stoa_stream_commit(run->writer, 50);
}

static int flush(struct run *run)
{
	return stoa_stream_flush(run->writer, stoa_deadline_in(1000000));
}

static int read_call(struct run *run)
{
	return stoa_stream_read(run->reader, bytes, sizeof(bytes), stoa_deadline_in(1000000), &run->ret.bits);
}

static int peek(struct run *run)
{
	return stoa_stream_peek(run->reader, stoa_deadline_in(1000000), (const void **)&run->ret.address,
				&run->second.bits);
}

static void make_peeked(struct run *run)
{
	const void *at;
	uint64_t length;

	make_ends(run);
	CHECK_RC(stoa_stream_write(run->writer, "text", 4, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_peek(run->reader, STOA_TRY, &at, &length), 0);
}

static int consume(struct run *run)
{
	return stoa_stream_consume(run->reader, 2);
}

/* ---- the end ---- */

static int finish(struct run *run)
{
	return stoa_stream_finish(run->writer);
}

static int fail_writer(struct run *run)
{
	return stoa_writer_fail(run->writer, -STOA_EIO);
}

static int fail_reader(struct run *run)
{
	return stoa_reader_fail(run->reader, -STOA_EIO);
}

static void expect_end(struct run *run, int result)
{
	uint64_t got;
	int rc = stoa_stream_read(run->reader, bytes, 1, STOA_TRY, &got);

	if (result == 0)
		CHECK(rc == STOA_CLOSED || rc == -STOA_EIO);
	else
		CHECK_RC(rc, STOA_TIMED_OUT);
	close_ends(run);
}

static void expect_refusal(struct run *run, int result)
{
	CHECK_RC(stoa_stream_write(run->writer, "x", 1, STOA_TRY, NULL), result == 0 ? -STOA_EIO : 0);
	close_ends(run);
}

const struct fault_case stream_cases[] = {
	{"stoa_stream_create", CREATE_ERRORS, NULL, create, close_stream},
	{"stoa_stream_create_or_open", BOTH_ERRORS, NULL, create_or_open, close_stream},
	{"stoa_stream_open", OPEN_ERRORS, make_named, open_named, close_named},
	{"stoa_stream_size", "EINVAL", NULL, size, NULL},
	{"stoa_stream_place", "EINVAL ERANGE ERIGHTS ENOTSUP", make_segment, place, close_segment},
	{"stoa_stream_attach", "EINVAL ERANGE ERIGHTS ENOTSUP EFORMAT EKIND", make_placed, attach, close_segment},
	{"stoa_stream_close", "", make_unnamed, close_call, NULL},
	{"stoa_writer_join", "EINVAL ECLOSED ENOTSUP", make_unnamed, join_writer, leave_writer},
	{"stoa_writer_leave", "", make_ends, leave_writer_call, end_reader},
	{"stoa_reader_join", "EINVAL ECLOSED ENOTSUP", make_unnamed, join_reader, leave_reader},
	{"stoa_reader_leave", "", make_ends, leave_reader_call, end_writer},
	{"stoa_stream_write", "EINVAL EFORMAT ECLOSED", fill_ring, write_call, end_all},
	{"stoa_stream_reserve", "EINVAL EFORMAT ECLOSED", fill_ring, reserve, end_all},
	{"stoa_stream_commit", "EINVAL", make_reserved, commit, end_all},
	{"stoa_stream_flush", "EINVAL EFORMAT ECLOSED", fill_ring, flush, end_all},
	{"stoa_stream_finish", "EINVAL ENOTOWNER", make_ends, finish, expect_end},
	{"stoa_writer_fail", "EINVAL ENOTOWNER", make_ends, fail_writer, expect_end},
	{"stoa_stream_read", "EINVAL EFORMAT ETRUNCATED", make_ends, read_call, end_all},
	{"stoa_stream_peek", "EINVAL EFORMAT ETRUNCATED", make_ends, peek, end_all},
	{"stoa_stream_consume", "EINVAL", make_peeked, consume, end_all},
	{"stoa_reader_fail", "EINVAL ENOTOWNER", make_ends, fail_reader, expect_refusal},
	{0},
};
