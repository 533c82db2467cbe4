/* SPDX-License-Identifier: MIT */
/*
 * Channels whose parts are apart, each in an unnamed segment of its own: so somebody can be given the one to write and the other to
 * read. Uses segment.
 */
#include <channel/channel.h>

static int fill(struct stoa_segment *segment, void *argument)
{
	int rc = stoa_segment_commit(segment, segment->reserve);

	/* Who can only read it cannot back the page with the relay word. */
	if (!rc)
		rc = segment_back_slot(segment, 1);
	if (!rc)
		channel_header_write(argument, segment->data);
	return rc;
}

int channel_create_apart(struct channel_plan *plan, struct stoa_channel **ret_channel)
{
	const struct stoa_segment_options options = {.flags = 0};
	const uint64_t lengths[2] = {plan->receiving_length, plan->sending_length};
	struct stoa_segment *segments[2] = {NULL, NULL};
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = segment_create_kind(NULL, lengths[i], &options, SEGMENT_KIND_CHANNEL, fill, plan, false,
					 &segments[i]);
	if (!rc)
		rc = channel_handle(segments, segments[0]->data, segments[1]->data, plan, true, ret_channel);
	if (!rc)
		return 0;
	stoa_segment_close(segments[0]);
	stoa_segment_close(segments[1]);
	return rc;
}
