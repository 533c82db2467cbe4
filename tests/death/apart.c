/* SPDX-License-Identifier: MIT */
/* A channel or stream with its parts apart, and handles of it that can write but one. Uses the channel's insides. */
#include <channel/stream.h>
#include <sys/socket.h>
#include <unistd.h>

#include "death.h"

/* With few roster slots, as all of them are looked at after each step. */
static int make_part(const struct channel_plan *plan, uint64_t length, uint64_t reserve,
		     struct stoa_segment **ret_segment)
{
	const struct stoa_segment_options options = {.roster_slots = 12};
	int rc = segment_create_kind(NULL, reserve, &options, SEGMENT_KIND_CHANNEL, NULL, NULL, false, ret_segment);

	if (!rc)
		rc = stoa_segment_commit(*ret_segment, length);
	if (!rc)
		rc = segment_back_slot(*ret_segment, 1);
	if (!rc)
		channel_header_write(plan, (*ret_segment)->data);
	return rc;
}

static int attach_rosters(const struct stoa_channel *channel)
{
	struct roster *roster;
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = roster_attach(channel->segments[i], &roster);
	return rc;
}

static int grant(const struct stoa_channel *channel, uint32_t what, struct stoa_channel **ret_channel)
{
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -STOA_ESYSTEM;
	rc = stoa_channel_send_with_socket(channel, what, ends[0]);
	if (!rc)
		rc = channel_receive(ends[1], channel_is_stream(channel), ret_channel, NULL);
	close(ends[0]);
	close(ends[1]);
	return rc ? rc : attach_rosters(*ret_channel);
}

static int make_whole(const struct channel_plan *plan, struct stoa_channel **ret_whole)
{
	bool stream = plan->shape.kind == CHANNEL_STREAM;
	struct stoa_segment *segments[2];
	int rc = make_part(plan, plan->receiving_length, plan->receiving_length, &segments[0]);

	if (!rc)
		rc = make_part(plan, plan->sending_length, plan->sending_reserve, &segments[1]);
	if (!rc)
		rc = channel_open_apart(segments, stream, ret_whole);
	return rc ? rc : attach_rosters(*ret_whole);
}

static int make_three(const struct channel_plan *plan, struct stoa_channel **ret_whole,
		      struct stoa_channel **ret_to_send, struct stoa_channel **ret_to_receive)
{
	int rc = make_whole(plan, ret_whole);

	if (!rc)
		rc = grant(*ret_whole, STOA_GRANT_SENDER, ret_to_send);
	if (!rc)
		rc = grant(*ret_whole, STOA_GRANT_RECEIVER, ret_to_receive);
	return rc;
}

int death_make_apart(const struct stoa_channel_options *options, struct stoa_channel **ret_whole,
		     struct stoa_channel **ret_to_send, struct stoa_channel **ret_to_receive)
{
	struct channel_plan plan;
	int rc = channel_plan(options, &plan);

	return rc ? rc : make_three(&plan, ret_whole, ret_to_send, ret_to_receive);
}

int death_make_stream_apart(uint64_t ring, struct stoa_stream **ret_whole, struct stoa_stream **ret_to_write,
			    struct stoa_stream **ret_to_read)
{
	struct stoa_channel *three[3];
	struct channel_plan plan;
	int rc = channel_plan_stream(ring, &plan);

	if (!rc)
		rc = make_three(&plan, &three[0], &three[1], &three[2]);
	if (rc)
		return rc;
	*ret_whole = (struct stoa_stream *)(void *)three[0];
	*ret_to_write = (struct stoa_stream *)(void *)three[1];
	*ret_to_read = (struct stoa_stream *)(void *)three[2];
	return 0;
}
