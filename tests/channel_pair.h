/* SPDX-License-Identifier: MIT */
/* A channel with one sender and one receiver in this process, as many tests want it. Uses the harness. */
#ifndef TESTS_CHANNEL_PAIR_H
#define TESTS_CHANNEL_PAIR_H

#include <harness/test.h>

#include <stoa/stoa.h>

struct pair {
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
};

static inline struct pair open_named_pair(const char *name, const struct stoa_channel_options *options,
					  const struct stoa_receiver_options *receiving)
{
	struct pair pair = {NULL, NULL, NULL};

	CHECK_RC(stoa_channel_create(name, options, &pair.channel), 0);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	CHECK_RC(stoa_receiver_join(pair.channel, receiving, &pair.receiver), 0);
	return pair;
}

static inline struct pair open_pair(const struct stoa_channel_options *options,
				    const struct stoa_receiver_options *receiving)
{
	return open_named_pair(NULL, options, receiving);
}

static inline void close_pair(struct pair *pair)
{
	stoa_sender_leave(pair->sender);
	stoa_receiver_leave(pair->receiver);
	stoa_channel_close(pair->channel);
}

#endif
