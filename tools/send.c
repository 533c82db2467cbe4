/* SPDX-License-Identifier: MIT */
/*
 * `stoa send`: the input into a channel. Bytes are read where they will be received, on loan from the ring; lines and small records, whose
 * lengths are known only once they are here, are copied there from a buffer.
 */
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "os/console.h"
#include "os/flow.h"

#define BUFFER ((size_t)256 << 10) /* grows with the longest line */
#define CHUNK ((uint64_t)128 << 10)
#define PREFIX 4
#define ENDED (-2) /* beside TOOL_GO: there is no more, or nobody wants it */

struct sending {
	struct transfer transfer;
	struct stoa_sender *sender;
	bool alone; /* goes on without receivers */
	uint64_t message_max;
	char *buffer;
	size_t room, used;
	size_t scanned; /* of what is in the buffer: there is no line's end */
};

/* ---- messages ---- */

static int nobody_left(const struct sending *sending)
{
	return tool_fail("channel '%s': the receivers left before all was sent", sending->transfer.options.name);
}

static int timed_out(const struct sending *sending, const char *what)
{
	char time[DURATION_TEXT];

	if (flow_asked())
		return ENDED;
	return tool_fail("channel '%s': %s in %s", sending->transfer.options.name, what,
			 duration_text(sending->transfer.options.timeout, time));
}

/* TOOL_GO, or the status. ERANGE is told only if `told`; else it is the result. */
static int loan(struct sending *sending, uint64_t length, bool told, struct stoa_loan *ret_loan)
{
	struct patience patience;
	int result = stoa_sender_loan(sending->sender, length, STOA_TRY, ret_loan);

	if (result == 0)
		return TOOL_GO;
	patience = patience_new(&sending->transfer);
	while (result == STOA_TIMED_OUT && patience_left(&patience))
		result = stoa_sender_loan(sending->sender, length, patience_piece(&patience), ret_loan);
	if (result == 0)
		return TOOL_GO;
	if (result == STOA_CLOSED)
		return nobody_left(sending);
	if (result == STOA_TIMED_OUT)
		return timed_out(sending, "nobody received anything");
	return result == -STOA_ERANGE && !told ? result : transfer_fail(&sending->transfer, result);
}

static int commit(struct sending *sending, const struct stoa_loan *loan)
{
	int result = stoa_sender_commit(sending->sender, loan);

	if (result)
		return transfer_fail(&sending->transfer, result);
	transfer_count(&sending->transfer, loan->length);
	return transfer_counted_all(&sending->transfer) ? ENDED : TOOL_GO;
}

static int send_copy(struct sending *sending, const char *bytes, size_t length)
{
	struct stoa_loan lent;
	int status = loan(sending, length, true, &lent);

	if (status != TOOL_GO)
		return status;
	if (length)
		memcpy(lent.bytes, bytes, length);
	return commit(sending, &lent);
}

/* ---- input ---- */

/* *ret_got: 0 at the end. Where there is more to send, somebody must be there to receive it. */
static int take_input(struct sending *sending, void *to, size_t room, size_t *ret_got)
{
	const struct stoa_waitable nobody = {NULL, sending->sender, STOA_WAIT_NO_RECEIVERS, 0};
	ptrdiff_t got = flow_read(to, room);

	if (got < 0)
		return tool_fail("cannot read the input: %s", strerror(errno));
	transfer_progress(&sending->transfer);
	*ret_got = (size_t)got;
	if (got > 0 && !sending->alone && stoa_wait_any(&nobody, 1, STOA_TRY, NULL) == 0)
		return nobody_left(sending);
	return TOOL_GO;
}

/* More of the input behind what the buffer has. */
static int fill_buffer(struct sending *sending, size_t *ret_got)
{
	int status;

	if (sending->used == sending->room) {
		size_t room = sending->room ? 2 * sending->room : BUFFER;
		char *larger, most[SIZE_TEXT];

		if (sending->used > sending->message_max)
			return tool_fail("channel '%s': a line of %zu bytes and more: this channel carries at most %s; "
					 "--bytes does without lines",
					 sending->transfer.options.name, sending->used,
					 size_text(sending->message_max, most));
		larger = realloc(sending->buffer, room);
		if (!larger)
			return tool_fail("out of memory");
		sending->buffer = larger;
		sending->room = room;
	}
	status = take_input(sending, sending->buffer + sending->used, sending->room - sending->used, ret_got);
	if (status == TOOL_GO)
		sending->used += *ret_got;
	return status;
}

static void drop_front(struct sending *sending, size_t count)
{
	memmove(sending->buffer, sending->buffer + count, sending->used - count);
	sending->used -= count;
}

static int send_lines(struct sending *sending)
{
	for (;;) {
		size_t got = 0, at = 0;
		const char *end;
		int status = fill_buffer(sending, &got);

		if (status == TOOL_GO && got == 0)
			return sending->used && !flow_asked() ? send_copy(sending, sending->buffer, sending->used)
							      : ENDED;
		while (status == TOOL_GO &&
		       (end = memchr(sending->buffer + sending->scanned, '\n', sending->used - sending->scanned))) {
			status = send_copy(sending, sending->buffer + at, (size_t)(end - sending->buffer) - at);
			at = sending->scanned = (size_t)(end - sending->buffer) + 1;
		}
		if (status != TOOL_GO)
			return status;
		drop_front(sending, at);
		sending->scanned = sending->used;
	}
}

/* A record that is longer than what the buffer has of it: its rest is read to where it will be received. */
static int send_long_record(struct sending *sending, uint64_t length)
{
	struct stoa_loan lent;
	size_t have = sending->used - PREFIX;
	int status = loan(sending, length, true, &lent);

	if (status != TOOL_GO)
		return status;
	memcpy(lent.bytes, sending->buffer + PREFIX, have);
	while (have < length) {
		size_t got = 0;

		status = take_input(sending, (char *)lent.bytes + have, (size_t)length - have, &got);
		if (status == TOOL_GO && got == 0)
			status = flow_asked() ? ENDED
					      : tool_fail("the input ends within a record: %zu of %" PRIu64
							  " bytes are there",
							  have, length);
		if (status != TOOL_GO)
			return status; /* leaving cancels it */
		have += got;
	}
	sending->used = 0;
	return commit(sending, &lent);
}

/* The records that the buffer has, whole. */
static int send_buffered_records(struct sending *sending, uint64_t *ret_next)
{
	const unsigned char *bytes = (const unsigned char *)sending->buffer;
	int status = TOOL_GO;
	size_t at = 0;

	*ret_next = 0;
	while (status == TOOL_GO && sending->used - at >= PREFIX) {
		uint64_t length = bytes[at] | (uint64_t)bytes[at + 1] << 8 | (uint64_t)bytes[at + 2] << 16 |
				  (uint64_t)bytes[at + 3] << 24;

		*ret_next = length;
		if (sending->used - at - PREFIX < length)
			break;
		status = send_copy(sending, sending->buffer + at + PREFIX, (size_t)length);
		at += PREFIX + (size_t)length;
		*ret_next = 0;
	}
	drop_front(sending, at);
	return status;
}

static int send_records(struct sending *sending)
{
	for (;;) {
		uint64_t next;
		size_t got = 0;
		int status = fill_buffer(sending, &got);

		if (status == TOOL_GO && got == 0 && (!sending->used || flow_asked()))
			return ENDED;
		if (status == TOOL_GO && got == 0)
			return tool_fail("the input ends within a record: %zu bytes are left", sending->used);
		if (status == TOOL_GO)
			status = send_buffered_records(sending, &next);
		if (status == TOOL_GO && next > BUFFER / 4)
			status = send_long_record(sending, next);
		if (status != TOOL_GO)
			return status;
	}
}

static int send_bytes(struct sending *sending)
{
	uint64_t chunk = CHUNK;

	for (;;) {
		struct stoa_loan lent;
		size_t got = 0;
		int status = loan(sending, chunk, chunk == 1, &lent);

		if (status == -STOA_ERANGE) { /* a small ring */
			chunk /= 2;
			continue;
		}
		if (status == TOOL_GO)
			status = take_input(sending, lent.bytes, (size_t)chunk, &got);
		if (status == TOOL_GO && got == 0)
			status = ENDED;
		if (status != TOOL_GO)
			return status; /* leaving cancels what is on loan */
		lent.length = got;
		status = commit(sending, &lent);
		if (status != TOOL_GO)
			return status;
	}
}

/* ---- begin and end ---- */

static int await_receivers(struct sending *sending)
{
	const struct stoa_waitable somebody = {NULL, sending->sender, STOA_WAIT_RECEIVERS, 0};
	struct patience patience = patience_new(&sending->transfer);
	int result = STOA_TIMED_OUT;

	while (result == STOA_TIMED_OUT && patience_left(&patience)) {
		progress_show("%s: waits for a receiver", sending->transfer.command);
		result = stoa_wait_any(&somebody, 1, patience_piece(&patience), NULL);
	}
	if (result < 0)
		return transfer_fail(&sending->transfer, result);
	return result ? timed_out(sending, "no receiver came") : TOOL_GO;
}

/* The name goes with its last user, so stay until all has arrived. */
static int await_arrival(struct sending *sending)
{
	struct patience patience = patience_new(&sending->transfer);
	int result = stoa_sender_flush(sending->sender, STOA_TRY);

	while (result == STOA_TIMED_OUT && patience_left(&patience))
		result = stoa_sender_flush(sending->sender, patience_piece(&patience));
	if (result < 0)
		return transfer_fail(&sending->transfer, result);
	if (result == STOA_CLOSED)
		return tool_fail("channel '%s': the receivers left before they had received all",
				 sending->transfer.options.name);
	return result ? timed_out(sending, "not all was received") : TOOL_GO;
}

static int send_all(struct sending *sending)
{
	const struct transfer_options *options = &sending->transfer.options;
	int status = sending->alone ? TOOL_GO : await_receivers(sending);

	if (status == TOOL_GO)
		status = options->bytes     ? send_bytes(sending)
			 : options->records ? send_records(sending)
					    : send_lines(sending);
	/* Behind the last line without an end. */
	if (status == TOOL_GO)
		status = ENDED;
	if (status == ENDED && !flow_asked())
		status = await_arrival(sending);
	return status;
}

static int send(struct sending *sending)
{
	const struct stoa_sender_options options = {.flags = sending->alone ? 0 : STOA_UNTIL_PEERS_LEAVE};
	static struct stoa_channel_stat stat;
	int status = transfer_open(&sending->transfer), result;

	if (status != TOOL_GO)
		return status;
	flow_begin();
	result = stoa_channel_stat(sending->transfer.channel, &stat);
	sending->message_max = stat.message_max;
	if (result == 0)
		result = stoa_sender_join(sending->transfer.channel, &options, &sending->sender);
	status = result < 0 ? transfer_fail(&sending->transfer, result) : send_all(sending);
	status = status == TOOL_GO || status == ENDED ? TOOL_OK : status;
	stoa_sender_leave(sending->sender);
	transfer_close(&sending->transfer);
	free(sending->buffer);
	status = transfer_report(&sending->transfer, flow_asked() ? TOOL_FAILED : status);
	if (flow_asked())
		console_end_as(flow_asked());
	return status;
}

int command_send(int argc, char **argv)
{
	struct sending sending = {.transfer.command = "send"};
	struct transfer_options *o = &sending.transfer.options;
	const struct option_spec options[] = {
		{0, "records", OPTION_FLAG, &o->records, NULL,
		 "the input is records: each has its length before it, 4 bytes, the lowest first"},
		{0, "bytes", OPTION_FLAG, &o->bytes, NULL, "the input is bytes, sent as they come: the fastest"},
		{'b', "broadcast", OPTION_FLAG, &o->broadcast, NULL, "made: each message goes to every receiver"},
		{0, "ring", OPTION_SIZE, &o->ring, "SIZE", "made: bytes on their way, a power of two (1MiB)"},
		{0, "senders", OPTION_NUMBER, &o->senders, "N", "made: for N senders at a time (1)"},
		{0, "receivers", OPTION_NUMBER, &o->receivers, "N", "made: for N receivers (1; a broadcast: 16)"},
		{0, "times", OPTION_FLAG, &o->times, NULL, "made: messages carry their time, which tap shows"},
		{0, "no-wait", OPTION_FLAG, &sending.alone, NULL, "begin, and go on, also where nobody receives"},
		{'t', "timeout", OPTION_DURATION, &o->timeout, "TIME", "give up after TIME in which nothing moves"},
		{'n', "count", OPTION_NUMBER, &o->count, "N", "end after N messages"},
		{'g', "global", OPTION_FLAG, &o->global, NULL, "a name of the host, not of this user"},
		{0, "stats", OPTION_FLAG, &o->stats, NULL, "at the end say how much it was, and how fast"},
		{0, "json", OPTION_FLAG, &o->json, NULL,
		 "the same as a JSON object, on the error output: command, name,\nmessages, bytes, lost, seconds, complete"},
	};
	const struct usage usage = {
		"send",
		"NAME",
		"Send the input through the channel NAME, a message for each line. The channel is made if it is not\n"
		"there. Waits for a receiver, and in the end until all is received; fails when the receivers\n"
		"leave before.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		1,
		"  $ stoa send jobs <list              a message for each line; somewhere else: stoa recv jobs\n"
		"  $ tar c . | stoa send copy --bytes  somewhere else: stoa recv copy --bytes | tar x\n"
		"  $ tail -f log | stoa send log --broadcast --no-wait\n"
		"                                      whoever wants: stoa recv log",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	o->name = argv[1];
	return send(&sending);
}
