/* SPDX-License-Identifier: MIT */
/*
 * `stoa recv`: a channel to the output. Small messages are gathered in a buffer, which is written when it is full, or when nothing more
 * is there; large ones are written from where they were received.
 */
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "os/console.h"
#include "os/flow.h"

#define BUFFER ((size_t)256 << 10)
#define LARGE ((uint64_t)32 << 10) /* written from where it is */
#define PREFIX 4
#define ENDED (-2) /* beside TOOL_GO: all senders have left, or we were asked to */

struct receiving {
	struct transfer transfer;
	struct stoa_receiver *receiver;
	const char *detach_text;
	bool drop, oldest;
	bool copies; /* what is received may be overwritten meanwhile */
	struct transfer_buffer copy;
	char *buffer;
	size_t room, used;
	int error; /* of writing */
	bool sender_died;
};

/* ---- output ---- */

static int write_out(struct receiving *receiving, const void *bytes, size_t length)
{
	if (!receiving->error)
		receiving->error = flow_write(bytes, length);
	return receiving->error ? ENDED : TOOL_GO;
}

static int empty_buffer(struct receiving *receiving)
{
	int status = receiving->used ? write_out(receiving, receiving->buffer, receiving->used) : TOOL_GO;

	receiving->used = 0;
	return status;
}

static int put(struct receiving *receiving, const void *bytes, size_t length)
{
	if (length > receiving->room - receiving->used && empty_buffer(receiving) != TOOL_GO)
		return ENDED;
	if (length >= LARGE) {
		int status = empty_buffer(receiving);

		return status == TOOL_GO ? write_out(receiving, bytes, length) : status;
	}
	memcpy(receiving->buffer + receiving->used, bytes, length);
	receiving->used += length;
	return TOOL_GO;
}

static void put_length(const struct stoa_message *message, unsigned char prefix[PREFIX])
{
	for (unsigned i = 0; i < PREFIX; i++)
		prefix[i] = (unsigned char)(message->length >> 8 * i);
}

/* The message, in its format. Its room is given back as soon as it is written or copied. */
static int put_message(struct receiving *receiving, const struct stoa_message *message)
{
	const struct transfer_options *options = &receiving->transfer.options;
	unsigned char prefix[PREFIX];
	int status = TOOL_GO;

	transfer_count(&receiving->transfer, message->length);
	receiving->transfer.lost += message->lost;
	if (options->records && message->length > UINT32_MAX)
		return tool_fail("channel '%s': a message of %" PRIu64 " bytes: a record's length has 4 bytes",
				 options->name, message->length);
	put_length(message, prefix);
	if (options->records)
		status = put(receiving, prefix, PREFIX);
	if (status == TOOL_GO && message->length)
		status = put(receiving, message->bytes, (size_t)message->length);
	if (status == TOOL_GO && !options->records && !options->bytes)
		status = put(receiving, "\n", 1);
	return status;
}

/* ---- input ---- */

static int receive(struct receiving *receiving, uint64_t deadline, struct stoa_message *ret_message)
{
	return receiving->copies ? transfer_receive(receiving->receiver, &receiving->copy, deadline, ret_message)
				 : stoa_receiver_receive(receiving->receiver, deadline, ret_message);
}

/* Nothing is there: write what was gathered, then wait. 0, or as the call. */
static int await_message(struct receiving *receiving, struct stoa_message *ret_message)
{
	struct patience patience;
	int result = STOA_TIMED_OUT;

	if (empty_buffer(receiving) != TOOL_GO)
		return result;
	transfer_progress(&receiving->transfer);
	patience = patience_new(&receiving->transfer);
	while (result == STOA_TIMED_OUT && patience_left(&patience))
		result = receive(receiving, patience_piece(&patience), ret_message);
	return result;
}

/* Who leaves in order gives its place back, and the next to come takes that of the dead. */
static bool has_dead_sender(const struct receiving *receiving)
{
	static struct stoa_channel_stat stat;
	bool died = false;

	if (stoa_channel_stat(receiving->transfer.channel, &stat) < 0)
		return false;
	for (uint32_t i = 0; i < stat.senders; i++)
		died |= stat.sender[i].state == STOA_END_DEAD;
	return died;
}

static int stop(struct receiving *receiving, int result)
{
	char time[DURATION_TEXT];

	if (result == STOA_CLOSED)
		receiving->sender_died = has_dead_sender(receiving);
	if (result == STOA_CLOSED || receiving->error || flow_asked())
		return ENDED;
	if (result == STOA_TIMED_OUT)
		return tool_fail("channel '%s': nothing came in %s", receiving->transfer.options.name,
				 duration_text(receiving->transfer.options.timeout, time));
	return transfer_fail(&receiving->transfer, result);
}

static int receive_all(struct receiving *receiving)
{
	int status = TOOL_GO;

	while (status == TOOL_GO && !transfer_counted_all(&receiving->transfer)) {
		struct stoa_message message;
		int result = flow_asked() ? STOA_TIMED_OUT : receive(receiving, STOA_TRY, &message);

		if (result == STOA_TIMED_OUT)
			result = await_message(receiving, &message);
		if (result)
			return stop(receiving, result);
		status = put_message(receiving, &message);
		if (!receiving->copies)
			stoa_receiver_release(receiving->receiver, &message);
		if (receiving->transfer.messages % 256 == 0)
			transfer_progress(&receiving->transfer);
	}
	return status;
}

/* ---- begin and end ---- */

static int parse_policy(struct receiving *receiving, struct stoa_receiver_options *options)
{
	int status = TOOL_GO;

	*options = (struct stoa_receiver_options){.flags = STOA_UNTIL_PEERS_LEAVE};
	if (receiving->drop && receiving->detach_text)
		return tool_misuse("recv: --drop-oldest and --detach exclude each other");
	if (receiving->detach_text) {
		options->when_slow = STOA_DETACH;
		status = number_argument("recv: --detach", receiving->detach_text, &options->lag);
	} else if (receiving->drop) {
		options->when_slow = STOA_DROP_OLDEST;
	}
	options->from = receiving->oldest ? STOA_FROM_OLDEST : STOA_FROM_NOW;
	receiving->copies = options->when_slow != STOA_BLOCK;
	return status;
}

/* What became of it, where nothing was said so far. */
static int conclude(const struct receiving *receiving, int status)
{
	uint64_t lost = receiving->transfer.lost;

	if (receiving->error && receiving->error != EINTR && !(receiving->error == EPIPE && flow_broken()))
		return tool_fail("cannot write the output: %s", strerror(receiving->error));
	if (status != TOOL_GO && status != ENDED)
		return status;
	if (receiving->error || flow_asked())
		return TOOL_FAILED;
	if (receiving->sender_died)
		return tool_fail("channel '%s': a sender died; what it had sent was received",
				 receiving->transfer.options.name);
	if (!lost)
		return TOOL_OK;
	tool_warn("channel '%s': %" PRIu64 " %s lost, as this receiver was too slow", receiving->transfer.options.name,
		  lost, lost == 1 ? "message was" : "messages were");
	return TOOL_LOST;
}

static int recv_joined(struct receiving *receiving)
{
	int status;

	receiving->room = BUFFER;
	receiving->buffer = malloc(BUFFER);
	if (!receiving->buffer)
		return tool_fail("out of memory");
	status = receive_all(receiving);
	empty_buffer(receiving);
	free(receiving->buffer);
	transfer_buffer_free(&receiving->copy);
	return status;
}

static int recv(struct receiving *receiving, const struct stoa_receiver_options *options)
{
	int status = transfer_open(&receiving->transfer), result;

	if (status != TOOL_GO)
		return status;
	flow_begin();
	result = stoa_receiver_join(receiving->transfer.channel, options, &receiving->receiver);
	status = result < 0 ? transfer_fail(&receiving->transfer, result) : recv_joined(receiving);
	stoa_receiver_leave(receiving->receiver);
	transfer_close(&receiving->transfer);
	progress_end();
	status = transfer_report(&receiving->transfer, conclude(receiving, status));
	if (flow_asked())
		console_end_as(flow_asked());
	if (receiving->error == EPIPE && flow_broken())
		console_end_as(flow_broken());
	return status;
}

int command_recv(int argc, char **argv)
{
	struct receiving receiving = {.transfer.command = "recv"};
	struct transfer_options *o = &receiving.transfer.options;
	const struct option_spec options[] = {
		{0, "records", OPTION_FLAG, &o->records, NULL,
		 "write records: each with its length before it, 4 bytes, the lowest first"},
		{0, "bytes", OPTION_FLAG, &o->bytes, NULL, "write the messages' bytes and nothing between them"},
		{0, "drop-oldest", OPTION_FLAG, &receiving.drop, NULL,
		 "of a broadcast: never make a sender wait; lose the oldest instead"},
		{0, "detach", OPTION_TEXT, &receiving.detach_text, "N",
		 "the same, but fail instead, also when N messages behind; 0: any number"},
		{0, "from-oldest", OPTION_FLAG, &receiving.oldest, NULL,
		 "of a broadcast: begin with what is still kept"},
		{'b', "broadcast", OPTION_FLAG, &o->broadcast, NULL, "made: each message goes to every receiver"},
		{0, "ring", OPTION_SIZE, &o->ring, "SIZE", "made: bytes on their way, a power of two (1MiB)"},
		{0, "senders", OPTION_NUMBER, &o->senders, "N", "made: for N senders at a time (1)"},
		{0, "receivers", OPTION_NUMBER, &o->receivers, "N", "made: for N receivers (1; a broadcast: 16)"},
		{0, "times", OPTION_FLAG, &o->times, NULL, "made: messages carry their time, which tap shows"},
		{'t', "timeout", OPTION_DURATION, &o->timeout, "TIME", "give up after TIME in which nothing comes"},
		{'n', "count", OPTION_NUMBER, &o->count, "N", "end after N messages"},
		{'g', "global", OPTION_FLAG, &o->global, NULL, "a name of the host, not of this user"},
		{0, "stats", OPTION_FLAG, &o->stats, NULL, "at the end say how much it was, and how fast"},
		{0, "json", OPTION_FLAG, &o->json, NULL,
		 "the same as a JSON object, on the error output: command, name,\nmessages, bytes, lost, seconds, complete"},
	};
	const struct usage usage = {
		"recv",
		"NAME",
		"Write what comes through the channel NAME to the output, a line for each message. The channel is made if\n"
		"it is not there. Ends when senders were there and have left; fails when one of them died. Exit status 4:\n"
		"messages were lost.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		1,
		"  $ stoa recv jobs                      somewhere else: stoa send jobs <list\n"
		"  $ stoa recv jobs --count 1            one job, for this worker\n"
		"  $ stoa recv log --drop-oldest | less  of a broadcast, and nobody waits for less",
	};
	struct stoa_receiver_options policy;
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse_policy(&receiving, &policy);
	if (status != TOOL_GO)
		return status;
	o->name = argv[1];
	return recv(&receiving, &policy);
}
