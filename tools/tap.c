/* SPDX-License-Identifier: MIT */
/*
 * `stoa tap`: watching a broadcast. As an observer it takes no place in the channel, and nobody knows of it; what it is too slow for it does
 * not see, and says so.
 */
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "os/console.h"
#include "os/flow.h"
#include "os/local.h"

#define PAYLOAD 64 /* bytes shown of each message */
#define PAYLOAD_MAX 65536

struct tapping {
	struct transfer transfer;
	struct stoa_receiver *receiver;
	struct transfer_buffer buffer;
	uint64_t payload;
	bool oldest, hex;
	int error; /* of writing */
};

/* ---- rendering ---- */

/* Nanoseconds since 1970, of a time of the clock that deadlines have. */
static uint64_t wall_time(uint64_t time)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec - (stoa_now() - time);
}

/* "23:59:59.123456" */
static void clock_text(uint64_t wall, char *buffer, size_t size)
{
	char text[64];

	if (!local_time_text((int64_t)(wall / 1000000000), text, sizeof(text)) || strlen(text) < 19)
		snprintf(text, sizeof(text), "%19" PRIu64, wall / 1000000000);
	snprintf(buffer, size, "%.8s.%06" PRIu64, text + 11, wall % 1000000000 / 1000);
}

/* As many bytes as are shown; of text that is cut, whole characters. */
static size_t shown_length(const struct tapping *tapping, const struct stoa_message *message)
{
	const char *bytes = message->bytes;
	size_t length = (size_t)(message->length < tapping->payload ? message->length : tapping->payload);
	size_t whole = length;

	for (int i = 0; i < 3 && length < message->length && whole > 0 && !utf8_valid(bytes, whole); i++)
		whole--;
	return utf8_valid(bytes, whole) ? whole : length;
}

/* Text with a few controls at most: blanks and ends of lines. */
static bool is_text(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)bytes[i] < 0x20 && !strchr("\t\n\r", bytes[i] ? bytes[i] : 'x'))
			return false;
	return utf8_valid(bytes, length);
}

static void print_payload(const struct tapping *tapping, const struct stoa_message *message)
{
	static char safe[8 * PAYLOAD_MAX + 16];
	const unsigned char *bytes = message->bytes;
	size_t length = shown_length(tapping, message);

	if (!tapping->hex && is_text(message->bytes, length)) {
		printf("\"%s\"", text_safe(message->bytes, length, safe, sizeof(safe)));
	} else {
		for (size_t i = 0; i < length; i++)
			printf(i ? " %02x" : "%02x", bytes[i]);
	}
	printf("%s\n", length < message->length ? "..." : "");
}

static void print_message(const struct tapping *tapping, const struct stoa_message *message)
{
	char when[64];

	clock_text(wall_time(message->time ? message->time : stoa_now()), when, sizeof(when));
	if (message->lost)
		printf("%s%" PRIu64 " of sender %" PRIu32 " not seen%s\n", colour(stdout, COLOUR_YELLOW), message->lost,
		       message->sender, colour(stdout, COLOUR_OFF));
	printf("%s%s%s %2" PRIu32 " %8" PRIu64 " %8" PRIu64 "  ", colour(stdout, COLOUR_DIM), when,
	       colour(stdout, COLOUR_OFF), message->sender, message->sequence, message->length);
	if (tapping->payload)
		print_payload(tapping, message);
	else
		printf("\n");
}

static void print_json(const struct tapping *tapping, const struct stoa_message *message)
{
	struct json json;

	json_begin(&json, stdout);
	json_number(&json, "time", wall_time(message->time ? message->time : stoa_now()));
	json_bool(&json, "time_of_sender", message->time != 0);
	json_number(&json, "sender", message->sender);
	json_number(&json, "sequence", message->sequence);
	json_number(&json, "length", message->length);
	json_number(&json, "lost", message->lost);
	if (tapping->payload)
		json_bytes(&json, "payload", message->bytes, shown_length(tapping, message));
	json_end(&json);
}

/* ---- watching ---- */

/* The next message; 0, or as the call. What was printed is shown before it waits. */
static int next_message(struct tapping *tapping, struct stoa_message *ret_message)
{
	int result = flow_asked() ? STOA_TIMED_OUT
				  : transfer_receive(tapping->receiver, &tapping->buffer, STOA_TRY, ret_message);
	struct patience patience;

	if (result != STOA_TIMED_OUT)
		return result;
	if (fflush(stdout) != 0) {
		tapping->error = errno;
		return result;
	}
	patience = patience_new(&tapping->transfer);
	while (result == STOA_TIMED_OUT && patience_left(&patience))
		result = transfer_receive(tapping->receiver, &tapping->buffer, patience_piece(&patience), ret_message);
	return result;
}

static int watch(struct tapping *tapping)
{
	struct stoa_message message;
	char time[DURATION_TEXT];
	int result = 0;

	while (!tapping->error && !ferror(stdout) && !transfer_counted_all(&tapping->transfer)) {
		result = next_message(tapping, &message);
		if (result)
			break;
		transfer_count(&tapping->transfer, message.length);
		tapping->transfer.lost += message.lost;
		if (tapping->transfer.options.json)
			print_json(tapping, &message);
		else
			print_message(tapping, &message);
	}
	if (result < 0)
		return transfer_fail(&tapping->transfer, result);
	if (result == STOA_TIMED_OUT && !flow_asked() && !tapping->error)
		return tool_fail("channel '%s': nothing came in %s", tapping->transfer.options.name,
				 duration_text(tapping->transfer.options.timeout, time));
	return flow_asked() ? TOOL_FAILED : TOOL_OK;
}

static int tap(struct tapping *tapping)
{
	const struct transfer_options *given = &tapping->transfer.options;
	const struct stoa_receiver_options options = {
		.flags = STOA_OBSERVE | STOA_UNTIL_PEERS_LEAVE,
		.from = tapping->oldest ? STOA_FROM_OLDEST : STOA_FROM_NOW,
	};
	static struct stoa_channel_stat stat;
	int result = stoa_channel_open(given->name, given->global ? STOA_GLOBAL : 0, &tapping->transfer.channel);
	int status;

	if (result == 0)
		result = stoa_channel_stat(tapping->transfer.channel, &stat);
	flow_begin();
	if (result == 0 && stat.kind == STOA_BROADCAST)
		result = stoa_receiver_join(tapping->transfer.channel, &options, &tapping->receiver);
	if (result < 0)
		status = transfer_fail(&tapping->transfer, result);
	else if (!tapping->receiver)
		status = tool_fail("channel '%s': a queue cannot be watched: each of its messages is for one receiver",
				   given->name);
	else
		status = watch(tapping);
	stoa_receiver_leave(tapping->receiver);
	transfer_close(&tapping->transfer);
	transfer_buffer_free(&tapping->buffer);
	if (fflush(stdout) != 0 && !tapping->error)
		tapping->error = errno;
	if (tapping->transfer.options.stats)
		transfer_say(&tapping->transfer);
	if (tapping->error == EPIPE && flow_broken())
		console_end_as(flow_broken());
	if (flow_asked())
		console_end_as(flow_asked());
	return status;
}

int command_tap(int argc, char **argv)
{
	struct tapping tapping = {.transfer.command = "tap", .payload = PAYLOAD};
	struct transfer_options *o = &tapping.transfer.options;
	const struct option_spec options[] = {
		{0, "from-oldest", OPTION_FLAG, &tapping.oldest, NULL, "begin with what is still kept"},
		{'p', "payload", OPTION_SIZE, &tapping.payload, "SIZE",
		 "show so many bytes of each message, 0 to 64KiB (64)"},
		{0, "hex", OPTION_FLAG, &tapping.hex, NULL, "show them as numbers, text too"},
		{'t', "timeout", OPTION_DURATION, &o->timeout, "TIME", "give up after TIME in which nothing comes"},
		{'n', "count", OPTION_NUMBER, &o->count, "N", "end after N messages"},
		{'g', "global", OPTION_FLAG, &o->global, NULL, "a name of the host, not of this user"},
		{0, "stats", OPTION_FLAG, &o->stats, NULL, "at the end say how much it was, and how fast"},
		{0, "json", OPTION_FLAG, &o->json, NULL,
		 "one JSON object per message: time (nanoseconds since 1970),\ntime_of_sender, sender, sequence, length, lost, payload"},
	};
	const struct usage usage = {
		"tap",
		"NAME",
		"Watch the broadcast NAME: when each message was sent (by the sender's clock if the channel has --times, else\n"
		"when it was seen), by which sender, its number, its length, its first bytes. Nobody waits for this\n"
		"watcher, or knows of it. Ends when senders were there and have left.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		1,
		"  $ stoa tap ticks                      every message, as it comes\n"
		"  $ stoa tap ticks --from-oldest -n 10  the last that are kept\n"
		"  $ stoa tap ticks --json | jq 'select(.length > 1000)'",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (tapping.payload > PAYLOAD_MAX)
		return tool_misuse("tap: --payload is at most 64KiB");
	o->name = argv[1];
	return tap(&tapping);
}
