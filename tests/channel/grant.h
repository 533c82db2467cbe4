/* SPDX-License-Identifier: MIT */
/* What the tests of granted channels and streams share: a handle that has only what was granted. On every system. */
#ifndef TESTS_CHANNEL_GRANT_H
#define TESTS_CHANNEL_GRANT_H

#include <channel/stream.h>
#include <segment/channel.h>
#include <segment/common.h>

/* What came over the test's channel of bytes. */
static inline struct stoa_channel *granted_over(int end, uint32_t grant)
{
	struct stoa_channel *channel;
	uint32_t from;

	CHECK_RC(stoa_channel_receive_with_socket(end, &channel, &from), 0);
	CHECK_EQ(from, os_user_id());
	CHECK_EQ(stoa_channel_grants(channel), grant);
	for (unsigned i = 0; i < 2; i++)
		CHECK(!os_handle_inherited(channel->segments[i]->memory));
	return channel;
}

/* As somebody else would get it of this process. */
static inline struct stoa_channel *granted(const struct stoa_channel *whole, uint32_t grant)
{
	struct stoa_channel *channel;
	int ends[2];

	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_channel_send_with_socket(whole, grant, ends[0]), 0);
	channel = granted_over(ends[1], grant);
	channel_close(ends[0]);
	channel_close(ends[1]);
	return channel;
}

static inline struct stoa_stream *stream_granted_over(int end, uint32_t grant)
{
	struct stoa_stream *stream;
	uint32_t from;

	CHECK_RC(stoa_stream_receive_with_socket(end, &stream, &from), 0);
	CHECK_EQ(from, os_user_id());
	CHECK_EQ(stoa_stream_grants(stream), grant);
	for (unsigned i = 0; i < 2; i++)
		CHECK(!os_handle_inherited(stream->channel.segments[i]->memory));
	return stream;
}

static inline struct stoa_stream *stream_granted(const struct stoa_stream *whole, uint32_t grant)
{
	struct stoa_stream *stream;
	int ends[2];

	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_stream_send_with_socket(whole, grant, ends[0]), 0);
	stream = stream_granted_over(ends[1], grant);
	channel_close(ends[0]);
	channel_close(ends[1]);
	return stream;
}

/* A part that only reads, its records and its roster, and the other part, that writes. */
static inline void expect_only_reads(const struct stoa_channel *channel, unsigned part)
{
	struct stoa_segment *segment = channel->segments[part];
	struct roster *roster;

	CHECK_EQ(bytes_of(segment)[0], 'S'); /* its header */
	CHECK_EQ(touch(bytes_of(segment)), REFUSED);
	CHECK_EQ(touch(bytes_of(segment) + CHANNEL_BELLS), REFUSED);
	CHECK_EQ(touch(bytes_of(segment) + stoa_segment_committed(segment) - 1), REFUSED);
	CHECK_RC(roster_attach(segment, &roster), 0);
	CHECK_EQ(touch(roster_page(roster, 1)), REFUSED);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	check_no_way_to_write((int)segment->memory, bytes_of(segment));
	CHECK_EQ(touch(bytes_of(channel->segments[1 - part]) + CHANNEL_BELLS + 8), 0);
}

#endif
