/* SPDX-License-Identifier: MIT */
/*
 * Channels whose parts are apart, each in an unnamed segment of its own: so somebody can be given the one to write and the other to
 * read, which the system enforces. Making them, putting a handle together of two segments that came from elsewhere, and seals. Uses
 * segment.
 */
#include <channel/channel.h>

#include <inttypes.h>
#include <string.h>

static uint64_t part_length(const struct channel_plan *plan, bool of_senders)
{
	return of_senders ? plan->sending_length : plan->receiving_length;
}

static uint64_t part_reserve(const struct channel_plan *plan, bool of_senders)
{
	return of_senders ? plan->sending_reserve : plan->receiving_length;
}

/* A part, as it is made. */
struct part {
	const struct channel_plan *plan;
	uint64_t length;
};

static int fill(struct stoa_segment *segment, void *argument)
{
	const struct part *part = argument;
	int rc = stoa_segment_commit(segment, part->length);

	/* Who can only read it cannot back the page with the relay word. */
	if (!rc)
		rc = segment_back_slot(segment, 1);
	if (!rc)
		channel_header_write(part->plan, segment->data);
	return rc;
}

int channel_create_apart(struct channel_plan *plan, struct stoa_channel **ret_channel)
{
	const struct stoa_segment_options options = {.flags = 0};
	struct stoa_segment *segments[2] = {NULL, NULL};
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++) {
		struct part part = {plan, part_length(plan, i)};

		rc = segment_create_kind(NULL, part_reserve(plan, i), &options, SEGMENT_KIND_CHANNEL, fill, &part,
					 false, &segments[i]);
	}
	if (!rc)
		rc = channel_handle(segments, segments[0]->data, segments[1]->data, plan, true, ret_channel);
	if (!rc)
		return 0;
	stoa_segment_close(segments[0]);
	stoa_segment_close(segments[1]);
	return rc;
}

/* ---- what came from elsewhere: any of it may be wrong ---- */

static int read_header(const struct stoa_segment *segment, struct channel_plan *ret_plan)
{
	struct channel_header header;

	if (segment->of_other_system || segment->out_of_sight)
		return error_set(-STOA_ENOTSUP,
				 "the channel is one of another operating system's programs or of another session");
	if (stoa_segment_committed(segment) < OS_PAGE)
		return error_set(-STOA_EFORMAT, "not a channel: nothing is committed there");
	memcpy(&header, segment->data, sizeof(header));
	return channel_header_read(&header, ret_plan);
}

/* Is the whole part there, for as long as we use it? */
static int check_length(struct stoa_segment *segment, uint64_t length, uint64_t reserve)
{
	if (reserve > segment->reserve || stoa_segment_committed(segment) < length)
		return error_set(-STOA_EFORMAT,
				 "a channel's part of %" PRIu64 " bytes that ends beyond what is committed", length);
	return segment->writable ? stoa_segment_commit(segment, length) : 0;
}

int channel_open_apart(struct stoa_segment *const segments[2], bool stream, struct stoa_channel **ret_channel)
{
	struct channel_plan plans[2];
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = read_header(segments[i], &plans[i]);
	if (!rc)
		rc = channel_check_kind(&plans[0], stream);
	if (!rc && memcmp(&plans[0].shape, &plans[1].shape, sizeof(plans[0].shape)) != 0)
		rc = error_set(-STOA_EFORMAT, "a channel's two parts do not belong together");
	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = check_length(segments[i], part_length(&plans[0], i), part_reserve(&plans[0], i));
	return rc ? rc : channel_handle(segments, segments[0]->data, segments[1]->data, &plans[0], true, ret_channel);
}

/* ---- rights ---- */

uint32_t stoa_channel_grants(const struct stoa_channel *channel)
{
	uint32_t grants = 0;

	if (channel && channel_segment(channel, true)->writable)
		grants |= STOA_GRANT_SENDER;
	if (channel && channel_segment(channel, false)->writable)
		grants |= STOA_GRANT_RECEIVER;
	return grants;
}

int channel_check_grant(const struct stoa_channel *channel, uint32_t grant)
{
	bool stream = channel && channel_is_stream(channel);
	uint32_t lacking = grant & ~stoa_channel_grants(channel);

	if (!channel)
		return error_set(-STOA_EINVAL, "no channel was given");
	if (!grant || grant & ~CHANNEL_GRANTS)
		return error_set(-STOA_EINVAL, "a grant of 0x%" PRIx32 " is neither STOA_GRANT_%s nor STOA_GRANT_%s",
				 grant, stream ? "WRITER" : "SENDER", stream ? "READER" : "RECEIVER");
	if (!channel_is_apart(channel))
		return error_set(-STOA_ENOTSUP,
				 "a %s by name or in a segment is one piece of memory: only unnamed "
				 "ones can be handed over",
				 channel_noun(stream));
	return lacking ? channel_refuse_end(stream, lacking & STOA_GRANT_SENDER) : 0;
}

bool channel_is_granted(uint32_t grant, bool to_send)
{
	return grant & (to_send ? STOA_GRANT_SENDER : STOA_GRANT_RECEIVER);
}

int stoa_channel_seal(struct stoa_channel *channel, uint32_t grants)
{
	int rc = channel_check_grant(channel, grants);

	for (unsigned i = 0; i < 2 && !rc; i++)
		if (channel_is_granted(grants, i))
			rc = os_memory_seal(channel->segments[i]->memory, OS_SEAL_FUTURE_WRITE);
	return rc;
}
