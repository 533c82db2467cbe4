/* SPDX-License-Identifier: MIT */
/* Opening channels for the tool, waiting in pieces, counting. Uses the public API and os/flow.h. */
#include "transfer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "os/console.h"
#include "os/flow.h"

#define RING (UINT64_C(1) << 20)
#define LISTENERS 16 /* places for receivers of a broadcast */
#define PIECE UINT64_C(100000000)

static uint64_t either(uint64_t given, uint64_t usual)
{
	return given ? given : usual;
}

int transfer_fail(const struct transfer *transfer, int result)
{
	const char *detail = stoa_error_detail();
	const char *name = transfer->options.name;
	char subject[2][TOOL_SUBJECT];

	snprintf(subject[0], TOOL_SUBJECT, "channel '%s'", name);
	tool_subject(name, subject[1]);
	if (detail[0] == 0)
		detail = stoa_error_text(result);
	if (strncmp(detail, subject[1], strlen(subject[1])) == 0)
		detail += strlen(subject[1]) + strlen(": ");
	if (strncmp(detail, subject[0], strlen(subject[0])) == 0)
		tool_fail("%s", detail);
	else
		tool_fail("%s: %s", subject[0], detail);
	return result == -STOA_ENAME || result == -STOA_EINVAL ? TOOL_MISUSE : TOOL_FAILED;
}

void transfer_close(struct transfer *transfer)
{
	stoa_channel_close(transfer->channel);
	transfer->channel = NULL;
}

/* One that was there keeps its kind; who asked for a broadcast must not share a queue with others. */
static int check_broadcast(struct transfer *transfer)
{
	static struct stoa_channel_stat stat;
	int result = stoa_channel_stat(transfer->channel, &stat);

	if (result == 0 && stat.kind == STOA_BROADCAST)
		return TOOL_GO;
	transfer_close(transfer);
	if (result < 0)
		return transfer_fail(transfer, result);
	return tool_fail("channel '%s': it is there, as a queue, and no broadcast", transfer->options.name);
}

int transfer_open(struct transfer *transfer)
{
	const struct transfer_options *options = &transfer->options;
	struct stoa_channel_options made = {
		.kind = options->broadcast ? STOA_BROADCAST : STOA_QUEUE,
		.flags = options->times ? STOA_TIMES : 0,
		.ring = either(options->ring, RING),
		.segment_flags = options->global ? STOA_GLOBAL : 0,
	};
	int result;

	if (options->records && options->bytes)
		return tool_misuse("%s: --records and --bytes exclude each other", transfer->command);
	if (options->senders > STOA_ENDS_MAX || options->receivers > STOA_ENDS_MAX)
		return tool_misuse("%s: a channel has at most %d senders, and as many receivers", transfer->command,
				   STOA_ENDS_MAX);
	made.senders = (uint32_t)options->senders;
	made.receivers = (uint32_t)either(options->receivers, options->broadcast ? LISTENERS : 1);
	result = stoa_channel_create_or_open(options->name, &made, &transfer->channel);
	if (result < 0)
		return transfer_fail(transfer, result);
	return options->broadcast && result == STOA_EXISTED ? check_broadcast(transfer) : TOOL_GO;
}

/* ---- waiting ---- */

struct patience patience_new(const struct transfer *transfer)
{
	uint64_t timeout = transfer->options.timeout;

	return (struct patience){timeout ? stoa_deadline_in(timeout) : STOA_FOREVER};
}

uint64_t patience_piece(const struct patience *patience)
{
	uint64_t piece = stoa_deadline_in(PIECE);

	return piece < patience->end ? piece : patience->end;
}

bool patience_left(const struct patience *patience)
{
	return !flow_asked() && (patience->end == STOA_FOREVER || stoa_now() < patience->end);
}

/* ---- receiving ---- */

#define BUFFER ((size_t)256 << 10)

int transfer_receive(struct stoa_receiver *receiver, struct transfer_buffer *buffer, uint64_t deadline,
		     struct stoa_message *ret_message)
{
	for (;;) {
		size_t larger = buffer->room ? 2 * buffer->room : BUFFER;
		int result = -STOA_ERANGE;
		char *grown;

		if (buffer->room)
			result = stoa_receiver_recv(receiver, buffer->bytes, buffer->room, deadline, ret_message);
		if (result != -STOA_ERANGE)
			return result;
		grown = realloc(buffer->bytes, larger);
		if (!grown)
			return -STOA_ENOMEM;
		*buffer = (struct transfer_buffer){grown, larger};
	}
}

void transfer_buffer_free(struct transfer_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct transfer_buffer){NULL, 0};
}

/* ---- counting ---- */

void transfer_count(struct transfer *transfer, uint64_t bytes)
{
	if (!transfer->messages)
		transfer->begun = stoa_now();
	transfer->messages++;
	transfer->bytes += bytes;
}

bool transfer_counted_all(const struct transfer *transfer)
{
	return transfer->options.count && transfer->messages >= transfer->options.count;
}

static double seconds_since(uint64_t begun)
{
	return begun ? (double)(stoa_now() - begun) / 1e9 : 0;
}

/* A second, at the least. */
static uint64_t rate(uint64_t count, double seconds)
{
	return (uint64_t)((double)count / (seconds > 0 ? seconds : 1));
}

void transfer_progress(const struct transfer *transfer)
{
	char size[SIZE_TEXT], speed[SIZE_TEXT];
	double seconds;

	if (!console_knows_escapes(stderr) || (console_is_terminal(stdout) && strcmp(transfer->command, "send") != 0))
		return;
	seconds = seconds_since(transfer->begun);
	progress_show("%s: %" PRIu64 " messages, %s, %s/s", transfer->command, transfer->messages,
		      size_text(transfer->bytes, size), size_text(rate(transfer->bytes, seconds), speed));
}

void transfer_say(const struct transfer *transfer)
{
	double seconds = seconds_since(transfer->begun);
	char size[SIZE_TEXT], speed[SIZE_TEXT];

	fprintf(stderr, "%s: %" PRIu64 " messages, %s in %.3gs: %s/s, %" PRIu64 " messages/s\n", transfer->command,
		transfer->messages, size_text(transfer->bytes, size), seconds,
		size_text(rate(transfer->bytes, seconds), speed), rate(transfer->messages, seconds));
}

int transfer_report(const struct transfer *transfer, int status)
{
	struct json json;

	progress_end();
	if (transfer->options.json) {
		json_begin(&json, stderr);
		json_text(&json, "command", transfer->command);
		json_text(&json, "name", transfer->options.name);
		json_number(&json, "messages", transfer->messages);
		json_number(&json, "bytes", transfer->bytes);
		json_number(&json, "lost", transfer->lost);
		json_real(&json, "seconds", seconds_since(transfer->begun));
		json_bool(&json, "complete", status == TOOL_OK);
		json_end(&json);
	} else if (transfer->options.stats) {
		transfer_say(transfer);
	}
	fflush(stderr);
	return status;
}
