/* SPDX-License-Identifier: MIT */
/* What the tests of granted channels share: a handle that has only what was granted. On every system. */
#ifndef TESTS_CHANNEL_GRANT_H
#define TESTS_CHANNEL_GRANT_H

#include <channel/channel.h>
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

#endif
