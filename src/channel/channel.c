/* SPDX-License-Identifier: MIT */
/* Making and opening channels: by name or in a segment of the user's, which hold both parts; unnamed ones are apart.c's. Uses segment. */
#include <channel/channel.h>

#include <inttypes.h>
#include <string.h>

/* Both parts behind one another: what is committed at once, and with the areas. */
static uint64_t whole_length(const struct channel_plan *plan)
{
	return plan->receiving_length + plan->sending_length;
}

static uint64_t whole_reserve(const struct channel_plan *plan)
{
	return plan->receiving_length + plan->sending_reserve;
}

int stoa_channel_size(const struct stoa_channel_options *options, uint64_t *ret_size)
{
	struct channel_plan plan;
	int rc = ret_size ? channel_plan(options, &plan) : error_set(-STOA_EINVAL, "no place for the size was given");

	if (!rc)
		*ret_size = whole_reserve(&plan);
	return rc;
}

/* ---- the handle ---- */

int channel_handle(struct stoa_segment *const segments[2], unsigned char *receiving, unsigned char *sending,
		   const struct channel_plan *plan, bool owns, struct stoa_channel **ret_channel)
{
	struct stoa_channel *channel = os_allocate(sizeof(*channel));

	if (!channel)
		return -STOA_ENOMEM;
	*channel = (struct stoa_channel){
		.plan = *plan,
		.segments = {segments[0], segments[1]},
		.owns_segments = owns,
		.lent = {OS_NO_HANDLE, OS_NO_HANDLE},
		.receiving = receiving,
		.sending = sending,
	};
	channel->receiving_bells = (void *)(channel->receiving + CHANNEL_BELLS);
	channel->sending_bells = (void *)(channel->sending + CHANNEL_BELLS);
	channel->readers = (void *)(channel->receiving + plan->readers);
	channel->lanes = (void *)(channel->sending + plan->lanes);
	*ret_channel = channel;
	return 0;
}

/* Of both parts in one segment. */
static int make_handle(struct stoa_segment *segment, unsigned char *at, const struct channel_plan *plan, bool owns,
		       struct stoa_channel **ret_channel)
{
	return channel_handle((struct stoa_segment *[]){segment, segment}, at, at + plan->receiving_length, plan, owns,
			      ret_channel);
}

/* Can there be a channel? */
static int check_segment(const struct stoa_segment *segment, uint64_t offset)
{
	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (segment->of_other_system)
		return error_set(-STOA_ENOTSUP, "the segment was made by a program of another operating system");
	if (!segment->roster_slots)
		return error_set(-STOA_ENOTSUP, "this segment is raw: channels need one with a header");
	if (offset % OS_PAGE)
		return error_set(-STOA_EINVAL, "offset %" PRIu64 " is not in whole pages", offset);
	if (offset >= segment->reserve)
		return error_set(-STOA_ERANGE, "offset %" PRIu64 " is beyond the segment's reserve", offset);
	return 0;
}

const char *channel_noun(bool stream)
{
	return stream ? "stream" : "channel";
}

int channel_check_kind(const struct channel_plan *plan, bool stream)
{
	bool is_stream = plan->shape.kind == CHANNEL_STREAM;

	if (is_stream == stream)
		return 0;
	return error_set(-STOA_EKIND, "a %s, not a %s", is_stream ? "stream of bytes" : "channel of messages",
			 stream ? "stream of bytes" : "channel of messages");
}

static int open_at(struct stoa_segment *segment, uint64_t offset, bool owns, bool stream,
		   struct stoa_channel **ret_channel)
{
	unsigned char *at = segment->data + offset;
	struct channel_plan plan, other;
	struct channel_header header;
	uint64_t length;
	int rc;

	if (stoa_segment_committed(segment) < offset + OS_PAGE)
		return error_set(-STOA_EFORMAT, "not a channel: nothing is committed there");
	memcpy(&header, at, sizeof(header));
	rc = channel_header_read(&header, &plan);
	if (!rc)
		rc = channel_check_kind(&plan, stream);
	if (rc)
		return rc;
	/* In a segment of the user's all is committed. */
	length = owns ? whole_length(&plan) : whole_reserve(&plan);
	if (whole_reserve(&plan) > segment->reserve - offset || stoa_segment_committed(segment) < offset + length)
		return error_set(-STOA_EFORMAT, "a channel of %" PRIu64 " bytes that ends beyond what is committed",
				 length);
	if (segment->writable) /* for this process too; who only looks reads, see look.h */
		rc = stoa_segment_commit(segment, offset + length);
	if (rc)
		return rc;
	memcpy(&header, at + plan.receiving_length, sizeof(header));
	rc = channel_header_read(&header, &other);
	if (rc)
		return rc;
	if (memcmp(&plan.shape, &other.shape, sizeof(plan.shape)) != 0)
		return error_set(-STOA_EFORMAT, "a channel's two parts do not belong together");
	return make_handle(segment, at, &plan, owns, ret_channel);
}

/* ---- by name ---- */

static int fill(struct stoa_segment *segment, void *argument)
{
	const struct channel_plan *plan = argument;
	int rc = stoa_segment_commit(segment, whole_length(plan));

	if (rc)
		return rc;
	channel_header_write(plan, segment->data);
	channel_header_write(plan, segment->data + plan->receiving_length);
	return 0;
}

int channel_create(const char *name, uint32_t segment_flags, struct channel_plan *plan, bool may_open,
		   struct stoa_channel **ret_channel)
{
	const struct stoa_segment_options options = {.flags = segment_flags};
	uint32_t unknown = segment_flags & ~(STOA_PERSISTENT | STOA_GLOBAL);
	bool stream = plan->shape.kind == CHANNEL_STREAM;
	struct stoa_segment *segment;
	int rc, outcome;

	if (unknown)
		return error_refuse(stream ? "a stream" : "a channel", ERROR_SEGMENT_FLAGS, unknown);
	if (!name)
		return segment_flags ? error_set(-STOA_EINVAL, "segment_flags are for channels by name")
				     : channel_create_apart(plan, ret_channel);
	outcome = segment_create_kind(name, whole_reserve(plan), &options, SEGMENT_KIND_CHANNEL, fill, plan, may_open,
				      &segment);
	if (outcome < 0)
		return outcome;
	rc = outcome == STOA_EXISTED ? open_at(segment, 0, true, stream, ret_channel)
				     : make_handle(segment, segment->data, plan, true, ret_channel);
	if (rc) {
		stoa_segment_close(segment);
		return error_prefix(rc, "%s '%s'", channel_noun(stream), name);
	}
	return outcome;
}

static int create(const char *name, const struct stoa_channel_options *options, bool may_open,
		  struct stoa_channel **ret_channel)
{
	struct stoa_channel_options with_area = {.large = CHANNEL_LARGE_DEFAULT};
	struct channel_plan plan;
	int rc;

	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	if (options) {
		with_area = *options;
		with_area.large = options->large ? options->large : CHANNEL_LARGE_DEFAULT;
	}
	rc = channel_plan(&with_area, &plan);
	if (rc)
		return name ? error_prefix(rc, "channel '%s'", name) : rc;
	return channel_create(name, options ? options->segment_flags : 0, &plan, may_open, ret_channel);
}

int stoa_channel_create(const char *name, const struct stoa_channel_options *options, struct stoa_channel **ret_channel)
{
	return create(name, options, false, ret_channel);
}

int stoa_channel_create_or_open(const char *name, const struct stoa_channel_options *options,
				struct stoa_channel **ret_channel)
{
	return create(name, options, true, ret_channel);
}

int channel_open(const char *name, uint32_t segment_flags, bool stream, struct stoa_channel **ret_channel)
{
	struct stoa_segment_options options = {.flags = segment_flags};
	struct stoa_segment *segment;
	int rc;

	if (segment_flags & ~STOA_GLOBAL)
		return error_refuse(stream ? "opening a stream" : "opening a channel", ERROR_SEGMENT_FLAGS,
				    segment_flags & ~STOA_GLOBAL);
	rc = segment_open_kind(name, &options, SEGMENT_KIND_CHANNEL, &segment);
	if (rc)
		return rc;
	rc = open_at(segment, 0, true, stream, ret_channel);
	if (rc) {
		stoa_segment_close(segment);
		return error_prefix(rc, "%s '%s'", channel_noun(stream), name);
	}
	return 0;
}

int stoa_channel_open(const char *name, uint32_t segment_flags, struct stoa_channel **ret_channel)
{
	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	return channel_open(name, segment_flags, false, ret_channel);
}

/* ---- in a segment ---- */

int channel_place(struct stoa_segment *segment, uint64_t offset, const struct channel_plan *plan,
		  struct stoa_channel **ret_channel)
{
	int rc = check_segment(segment, offset);

	if (!rc && !segment->writable)
		rc = error_set(-STOA_ERIGHTS, "this handle is read-only: a channel cannot be placed through it");
	if (rc)
		return rc;
	if (whole_reserve(plan) > segment->reserve - offset)
		return error_set(-STOA_ERANGE, "%" PRIu64 " bytes at %" PRIu64 " go beyond the segment's reserve",
				 whole_reserve(plan), offset);
	rc = stoa_segment_commit(segment, offset + whole_reserve(plan));
	if (rc)
		return rc;
	memset(segment->data + offset, 0, whole_length(plan)); /* there may have been something else before */
	channel_header_write(plan, segment->data + offset);
	channel_header_write(plan, segment->data + offset + plan->receiving_length);
	return make_handle(segment, segment->data + offset, plan, false, ret_channel);
}

int stoa_channel_place(struct stoa_segment *segment, uint64_t offset, const struct stoa_channel_options *options,
		       struct stoa_channel **ret_channel)
{
	struct channel_plan plan;
	int rc;

	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	rc = channel_plan(options, &plan);
	if (rc)
		return rc;
	if (options && options->segment_flags)
		return error_set(-STOA_EINVAL, "segment_flags are for channels by name");
	return channel_place(segment, offset, &plan, ret_channel);
}

int channel_attach(struct stoa_segment *segment, uint64_t offset, bool stream, struct stoa_channel **ret_channel)
{
	int rc = check_segment(segment, offset);

	return rc ? rc : open_at(segment, offset, false, stream, ret_channel);
}

int stoa_channel_attach(struct stoa_segment *segment, uint64_t offset, struct stoa_channel **ret_channel)
{
	if (!ret_channel)
		return error_set(-STOA_EINVAL, "no place for the channel was given");
	return channel_attach(segment, offset, false, ret_channel);
}

void stoa_channel_close(struct stoa_channel *channel)
{
	if (!channel)
		return;
	if (channel->owns_segments)
		stoa_segment_close(channel->segments[0]);
	if (channel->owns_segments && channel_is_apart(channel))
		stoa_segment_close(channel->segments[1]);
	for (unsigned i = 0; i < 2; i++)
		if (channel->lent[i] != OS_NO_HANDLE)
			os_handle_close(channel->lent[i]);
	os_free(channel);
}
