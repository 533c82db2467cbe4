/* SPDX-License-Identifier: MIT */
/* Fault cases of channels and streams that are handed over. */
#include "faults.h"

#include <channel/stream.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct stoa_channel_options small = {.ring = 4096};

static void make_unnamed(struct run *run)
{
	CHECK_RC(stoa_channel_create(NULL, &small, &run->channel), 0);
}

static void make_sockets(struct run *run)
{
	make_unnamed(run);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->sockets));
}

static void close_all(struct run *run, int result)
{
	(void)result;
	CHECK_SYS(close(run->sockets[0]));
	CHECK_SYS(close(run->sockets[1]));
	stoa_channel_close(run->channel);
}

static int grants(struct run *run)
{
	return stoa_channel_grants(run->channel) == 3 ? 0 : -STOA_ESYSTEM;
}

static void close_made(struct run *run, int result)
{
	(void)result;
	stoa_channel_close(run->channel);
}

static int send_it(struct run *run)
{
	return stoa_channel_send_with_socket(run->channel, STOA_GRANT_RECEIVER, run->sockets[0]);
}

/* All of it has come, or nothing. */
static void receive_sent(struct run *run, int result)
{
	struct stoa_channel *channel;

	CHECK_RC(shutdown(run->sockets[0], SHUT_WR), 0);
	CHECK_RC(stoa_channel_receive_with_socket(run->sockets[1], &channel, NULL), result < 0 ? -STOA_ECLOSED : 0);
	if (result == 0)
		stoa_channel_close(channel);
	close_all(run, result);
}

static void make_sent(struct run *run)
{
	make_sockets(run);
	CHECK_RC(stoa_channel_send_with_socket(run->channel, STOA_GRANT_SENDER, run->sockets[0]), 0);
}

static int receive_it(struct run *run)
{
	return stoa_channel_receive_with_socket(run->sockets[1], &run->ret.channel, &run->second.user);
}

static void close_received(struct run *run, int result)
{
	if (result == 0)
		stoa_channel_close(run->ret.channel);
	close_all(run, result);
}

static int inherit(struct run *run)
{
	return stoa_channel_inherit(run->channel, STOA_GRANT_RECEIVER, run->big.token);
}

/* Nothing is inherited by half. */
static void check_inherited(struct run *run, int result)
{
	if (result < 0)
		for (unsigned i = 0; i < 2; i++)
			CHECK(!os_handle_inherited(run->channel->segments[i]->memory));
	stoa_channel_close(run->channel);
}

/* As after exec: the descriptors are there, inherited, and no handle. */
static void make_token(struct run *run)
{
	make_unnamed(run);
	CHECK_RC(stoa_channel_inherit(run->channel, STOA_GRANT_SENDER | STOA_GRANT_RECEIVER, run->token), 0);
	for (unsigned i = 0; i < 2; i++) {
		run->sockets[i] = (int)run->channel->segments[i]->memory;
		run->channel->segments[i]->memory = OS_NO_HANDLE;
	}
	stoa_channel_close(run->channel);
}

static int adopt(struct run *run)
{
	return stoa_channel_adopt(run->token, &run->ret.channel);
}

static void close_adopted(struct run *run, int result)
{
	if (result == 0) {
		stoa_channel_close(run->ret.channel);
		return;
	}
	CHECK_SYS(close(run->sockets[0])); /* the caller's still */
	CHECK_SYS(close(run->sockets[1]));
}

static int seal(struct run *run)
{
	return stoa_channel_seal(run->channel, STOA_GRANT_SENDER | STOA_GRANT_RECEIVER);
}

/* ---- ends that can write but one part ---- */

static struct stoa_channel *only;

static void make_ends(struct run *run)
{
	make_sockets(run);
	CHECK_RC(stoa_channel_send_with_socket(run->channel, STOA_GRANT_RECEIVER, run->sockets[0]), 0);
	CHECK_RC(stoa_channel_receive_with_socket(run->sockets[1], &only, NULL), 0);
	CHECK_RC(stoa_sender_join(run->channel, NULL, &run->sender), 0);
	CHECK_RC(stoa_receiver_join(only, &(struct stoa_receiver_options){.flags = STOA_UNTIL_PEERS_LEAVE},
				    &run->receiver),
		 0);
}

static int receive(struct run *run)
{
	int rc = stoa_receiver_receive(run->receiver, STOA_TRY, &run->big.message);

	return rc == STOA_TIMED_OUT ? stoa_receiver_receive(run->receiver, stoa_deadline_in(1000000), &run->big.message)
				    : rc;
}

/* Whatever failed, the sender is not taken for dead, and messages still come. */
static void end_all(struct run *run, int result)
{
	struct stoa_message message;

	CHECK_INT(result, !=, STOA_CLOSED);
	CHECK_RC(stoa_sender_send(run->sender, "x", 1, STOA_TRY), 0);
	CHECK_RC(stoa_receiver_receive(run->receiver, STOA_TRY, &message), 0);
	CHECK_RC(stoa_receiver_release(run->receiver, &message), 0);
	stoa_sender_leave(run->sender);
	stoa_receiver_leave(run->receiver);
	stoa_channel_close(only);
	close_all(run, result);
}

/* ---- streams: the same ---- */

static void make_stream(struct run *run)
{
	CHECK_RC(stoa_stream_create(NULL, &(struct stoa_stream_options){.ring = 4096}, &run->stream), 0);
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->sockets));
}

static void close_stream(struct run *run, int result)
{
	(void)result;
	CHECK_SYS(close(run->sockets[0]));
	CHECK_SYS(close(run->sockets[1]));
	stoa_stream_close(run->stream);
}

static int stream_grants(struct run *run)
{
	return stoa_stream_grants(run->stream) == 3 ? 0 : -STOA_ESYSTEM;
}

static int send_stream(struct run *run)
{
	return stoa_stream_send_with_socket(run->stream, STOA_GRANT_READER, run->sockets[0]);
}

static void receive_sent_stream(struct run *run, int result)
{
	struct stoa_stream *stream;

	CHECK_RC(shutdown(run->sockets[0], SHUT_WR), 0);
	CHECK_RC(stoa_stream_receive_with_socket(run->sockets[1], &stream, NULL), result < 0 ? -STOA_ECLOSED : 0);
	if (result == 0)
		stoa_stream_close(stream);
	close_stream(run, result);
}

static void make_sent_stream(struct run *run)
{
	make_stream(run);
	CHECK_RC(stoa_stream_send_with_socket(run->stream, STOA_GRANT_WRITER, run->sockets[0]), 0);
}

static int receive_stream(struct run *run)
{
	return stoa_stream_receive_with_socket(run->sockets[1], &run->ret.stream, &run->second.user);
}

static void close_received_stream(struct run *run, int result)
{
	if (result == 0)
		stoa_stream_close(run->ret.stream);
	close_stream(run, result);
}

static int inherit_stream(struct run *run)
{
	return stoa_stream_inherit(run->stream, STOA_GRANT_READER, run->big.token);
}

static void check_inherited_stream(struct run *run, int result)
{
	if (result < 0)
		for (unsigned i = 0; i < 2; i++)
			CHECK(!os_handle_inherited(run->stream->channel.segments[i]->memory));
	close_stream(run, result);
}

static void make_stream_token(struct run *run)
{
	struct stoa_stream *stream;

	CHECK_RC(stoa_stream_create(NULL, &(struct stoa_stream_options){.ring = 4096}, &stream), 0);
	CHECK_RC(stoa_stream_inherit(stream, STOA_GRANT_WRITER | STOA_GRANT_READER, run->token), 0);
	for (unsigned i = 0; i < 2; i++) {
		run->sockets[i] = (int)stream->channel.segments[i]->memory;
		stream->channel.segments[i]->memory = OS_NO_HANDLE;
	}
	stoa_stream_close(stream);
}

static int adopt_stream(struct run *run)
{
	return stoa_stream_adopt(run->token, &run->ret.stream);
}

static void close_adopted_stream(struct run *run, int result)
{
	if (result == 0) {
		stoa_stream_close(run->ret.stream);
		return;
	}
	CHECK_SYS(close(run->sockets[0])); /* the caller's still */
	CHECK_SYS(close(run->sockets[1]));
}

static int seal_stream(struct run *run)
{
	return stoa_stream_seal(run->stream, STOA_GRANT_WRITER | STOA_GRANT_READER);
}

/* A writer and a reader that can write but one part. */
static struct stoa_stream *only_reads;

static void make_stream_ends(struct run *run)
{
	make_stream(run);
	CHECK_RC(stoa_stream_send_with_socket(run->stream, STOA_GRANT_READER, run->sockets[0]), 0);
	CHECK_RC(stoa_stream_receive_with_socket(run->sockets[1], &only_reads, NULL), 0);
	CHECK_RC(stoa_writer_join(run->stream, NULL, &run->writer), 0);
	CHECK_RC(stoa_reader_join(only_reads, NULL, &run->reader), 0);
}

static int read_stream(struct run *run)
{
	char byte;

	return stoa_stream_read(run->reader, &byte, 1, stoa_deadline_in(1000000), &run->ret.bits);
}

/* Whatever failed, bytes still come. */
static void end_stream(struct run *run, int result)
{
	uint64_t got;
	char byte;

	CHECK_RC(stoa_stream_write(run->writer, "x", 1, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_stream_read(run->reader, &byte, 1, STOA_TRY, &got), 0);
	stoa_writer_leave(run->writer);
	stoa_reader_leave(run->reader);
	stoa_stream_close(only_reads);
	close_stream(run, result);
}

const struct fault_case grant_cases[] = {
	{"stoa_channel_grants", "", make_unnamed, grants, close_made},
	{"stoa_channel_send_with_socket", "EINVAL ERIGHTS ENOTSUP ECLOSED EACCES", make_sockets, send_it, receive_sent},
	{"stoa_channel_receive_with_socket", OPEN_ERRORS " ECLOSED", make_sent, receive_it, close_received},
	{"stoa_channel_inherit", "EINVAL ERIGHTS ENOTSUP EACCES", make_unnamed, inherit, check_inherited},
	{"stoa_channel_adopt", OPEN_ERRORS, make_token, adopt, close_adopted},
	{"stoa_channel_seal", "EINVAL ERIGHTS ENOTSUP", make_unnamed, seal, close_made},
	{"stoa_receiver_receive", "EINVAL EFORMAT ECLOSED", make_ends, receive, end_all},
	{"stoa_stream_grants", "", make_stream, stream_grants, close_stream},
	{"stoa_stream_send_with_socket", "EINVAL ERIGHTS ENOTSUP ECLOSED EACCES", make_stream, send_stream,
	 receive_sent_stream},
	{"stoa_stream_receive_with_socket", OPEN_ERRORS " ECLOSED", make_sent_stream, receive_stream,
	 close_received_stream},
	{"stoa_stream_inherit", "EINVAL ERIGHTS ENOTSUP EACCES", make_stream, inherit_stream, check_inherited_stream},
	{"stoa_stream_adopt", OPEN_ERRORS, make_stream_token, adopt_stream, close_adopted_stream},
	{"stoa_stream_seal", "EINVAL ERIGHTS ENOTSUP", make_stream, seal_stream, close_stream},
	{"stoa_stream_read", "EINVAL EFORMAT ETRUNCATED", make_stream_ends, read_stream, end_stream},
	{0},
};
