/* SPDX-License-Identifier: MIT */
/* Making and opening streams, handing them on, and becoming one of their ends. See stream.h. Uses channel.h. */
#include <channel/stream.h>

#include <inttypes.h>

/* ---- the handle ---- */

static struct stoa_stream *as_stream(struct stoa_channel *channel)
{
	return (struct stoa_stream *)(void *)channel;
}

static int check_place_for(struct stoa_stream **ret_stream)
{
	return ret_stream ? 0 : error_set(-STOA_EINVAL, "no place for the stream was given");
}

static int plan_stream(const struct stoa_stream_options *options, struct channel_plan *ret_plan)
{
	if (options && options->flags)
		return error_set(-STOA_EINVAL, "a stream takes no flags; 0x%" PRIx32 " was given", options->flags);
	return channel_plan_stream(options ? options->ring : 0, ret_plan);
}

int stoa_stream_size(const struct stoa_stream_options *options, uint64_t *ret_size)
{
	struct channel_plan plan;
	int rc = ret_size ? plan_stream(options, &plan) : error_set(-STOA_EINVAL, "no place for the size was given");

	if (!rc)
		*ret_size = plan.receiving_length + plan.sending_length;
	return rc;
}

static int create(const char *name, const struct stoa_stream_options *options, bool may_open,
		  struct stoa_stream **ret_stream)
{
	struct stoa_channel *channel;
	struct channel_plan plan;
	int rc = check_place_for(ret_stream);

	if (rc)
		return rc;
	rc = plan_stream(options, &plan);
	if (rc)
		return name ? error_prefix(rc, "stream '%s'", name) : rc;
	rc = channel_create(name, options ? options->segment_flags : 0, &plan, may_open, &channel);
	if (rc >= 0)
		*ret_stream = as_stream(channel);
	return rc;
}

int stoa_stream_create(const char *name, const struct stoa_stream_options *options, struct stoa_stream **ret_stream)
{
	return create(name, options, false, ret_stream);
}

int stoa_stream_create_or_open(const char *name, const struct stoa_stream_options *options,
			       struct stoa_stream **ret_stream)
{
	return create(name, options, true, ret_stream);
}

int stoa_stream_open(const char *name, uint32_t segment_flags, struct stoa_stream **ret_stream)
{
	struct stoa_channel *channel;
	int rc = check_place_for(ret_stream);

	if (!rc)
		rc = channel_open(name, segment_flags, true, &channel);
	if (!rc)
		*ret_stream = as_stream(channel);
	return rc;
}

int stoa_stream_place(struct stoa_segment *segment, uint64_t offset, const struct stoa_stream_options *options,
		      struct stoa_stream **ret_stream)
{
	struct stoa_channel *channel;
	struct channel_plan plan;
	int rc = check_place_for(ret_stream);

	if (!rc)
		rc = plan_stream(options, &plan);
	if (!rc && options && options->segment_flags)
		rc = error_set(-STOA_EINVAL, "segment_flags are for streams by name");
	if (!rc)
		rc = channel_place(segment, offset, &plan, &channel);
	if (!rc)
		*ret_stream = as_stream(channel);
	return rc;
}

int stoa_stream_attach(struct stoa_segment *segment, uint64_t offset, struct stoa_stream **ret_stream)
{
	struct stoa_channel *channel;
	int rc = check_place_for(ret_stream);

	if (!rc)
		rc = channel_attach(segment, offset, true, &channel);
	if (!rc)
		*ret_stream = as_stream(channel);
	return rc;
}

void stoa_stream_close(struct stoa_stream *stream)
{
	stoa_channel_close(stream ? &stream->channel : NULL);
}

/* ---- handing on: as the channel that it is ---- */

static int refuse_none(void)
{
	return error_set(-STOA_EINVAL, "no stream was given");
}

uint32_t stoa_stream_grants(const struct stoa_stream *stream)
{
	return stream ? stoa_channel_grants(&stream->channel) : 0;
}

int stoa_stream_send_with_socket(const struct stoa_stream *stream, uint32_t grant, int socket)
{
	return stream ? stoa_channel_send_with_socket(&stream->channel, grant, socket) : refuse_none();
}

int stoa_stream_receive_with_socket(int socket, struct stoa_stream **ret_stream, uint32_t *ret_sender)
{
	struct stoa_channel *channel;
	int rc = check_place_for(ret_stream);

	if (!rc)
		rc = channel_receive(socket, true, &channel, ret_sender);
	if (!rc)
		*ret_stream = as_stream(channel);
	return rc;
}

int stoa_stream_inherit(struct stoa_stream *stream, uint32_t grant, char *token)
{
	return stream ? stoa_channel_inherit(&stream->channel, grant, token) : refuse_none();
}

int stoa_stream_adopt(const char *token, struct stoa_stream **ret_stream)
{
	struct stoa_channel *channel;
	int rc = check_place_for(ret_stream);

	if (!rc)
		rc = channel_adopt(token, true, &channel);
	if (!rc)
		*ret_stream = as_stream(channel);
	return rc;
}

int stoa_stream_seal(struct stoa_stream *stream, uint32_t grants)
{
	return stream ? stoa_channel_seal(&stream->channel, grants) : refuse_none();
}

/* ---- ends ---- */

static int refuse_second(const struct stoa_channel *channel, bool is_writer)
{
	uint64_t owner = load_rlx(channel_owner(channel, is_writer, 0));
	const char *who = is_writer ? "writer" : "reader";

	if (owner && channel_lives(channel, is_writer, owner))
		return error_set(-STOA_ELIMIT, "the stream has a %s, which is alive", who);
	return error_set(-STOA_ECLOSED, "the stream has had its %s: it is not used again", who);
}

int stream_join(struct stoa_stream *stream, struct channel_end *end, uint32_t waiting, uint32_t flags, bool is_writer)
{
	struct stoa_channel *channel = &stream->channel;
	const _Atomic uint32_t *joined = is_writer ? &channel->lanes[0].joined : &channel->readers[0].joined;
	int rc;

	if (waiting > STOA_SLEEP || flags)
		return error_set(-STOA_EINVAL, "a stream's end does not take waiting %" PRIu32 ", flags 0x%" PRIx32,
				 waiting, flags);
	end->waiting = waiting;
	if (!channel_segment(channel, is_writer)->writable)
		return channel_refuse_end(true, is_writer);
	if (load_rlx(joined))
		return refuse_second(channel, is_writer);
	rc = channel_end_join(end, channel, is_writer);
	if (rc)
		return rc == -STOA_ELIMIT && load_rlx(joined) ? refuse_second(channel, is_writer) : rc;
	/* Somebody may have come and gone since we looked. Only who has the place counts `joined` up. */
	if (load_rlx(joined) == 1)
		return 0;
	channel_end_leave(end);
	return refuse_second(channel, is_writer);
}

int stream_check_error(int error)
{
	return error < 0 ? 0 : error_set(-STOA_EINVAL, "%d is not an error to fail with: those are negative", error);
}

int stream_told(const char *who, uint32_t ending)
{
	if (ending <= INT32_MAX)
		return error_set(-STOA_EFORMAT, "how the %s ended was overwritten", who);
	return error_set((int)ending, "the %s failed: %" PRId32 ", %s", who, (int32_t)ending,
			 stoa_error_text((int)ending));
}
