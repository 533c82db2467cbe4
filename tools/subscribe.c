/* SPDX-License-Identifier: MIT */
/* `stoa subscribe`: what is sealed in an object store, and what goes, line by line as it happens. */
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "os/console.h"
#include "os/flow.h"
#include "os/local.h"

#define PIECE UINT64_C(50000000) /* nanoseconds: a request to end is seen after so long at most */

struct subscribing {
	const char *where;
	uint64_t timeout; /* UINT64_MAX: none */
	uint64_t count;   /* UINT64_MAX: no end */
	bool list, as_json;
	struct store_id prefix;
	struct stoa_store *store;
	struct stoa_subscription *subscription;
	int error; /* of the output */
};

static const char *what_text(uint32_t what)
{
	static const char *const names[] = {"?", "sealed", "deleted", "evicted", "present", "listed", "lost"};

	return names[what < sizeof(names) / sizeof(names[0]) ? what : 0];
}

/* Does it speak of an object? */
static bool has_object(const struct stoa_store_event *event)
{
	return event->what != STOA_EVENT_LISTED && event->what != STOA_EVENT_LOST;
}

static void print_json(const struct stoa_store_event *event)
{
	char text[STORE_ID_TEXT];
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "event", what_text(event->what));
	if (has_object(event)) {
		json_text(&json, "id", store_id_text(event->id, event->id_length, text));
		json_number(&json, "size", event->size);
	} else {
		json_null(&json, "id");
		json_null(&json, "size");
	}
	json_number(&json, "date", event->date);
	json_number(&json, "lost", event->lost);
	json_end(&json);
}

static void print_line(const struct stoa_store_event *event)
{
	char text[STORE_ID_TEXT], when[64] = "", size[SIZE_TEXT];

	if (event->lost)
		printf("%s%" PRIu64 " events lost%s\n", colour(stdout, COLOUR_YELLOW), event->lost,
		       colour(stdout, COLOUR_OFF));
	if (!has_object(event))
		return;
	(void)local_time_text((int64_t)(event->date / 1000000000), when, sizeof(when));
	printf("%s%s%s  %-7s %9s  %s\n", colour(stdout, COLOUR_DIM), when, colour(stdout, COLOUR_OFF),
	       what_text(event->what), size_text(event->size, size), store_id_text(event->id, event->id_length, text));
}

/* The next one; what was printed is shown before it waits. STOA_TIMED_OUT: in time, or until this was asked to end. */
static int next_event(struct subscribing *subscribing, struct stoa_store_event *ret_event)
{
	uint64_t end = subscribing->timeout == UINT64_MAX ? STOA_FOREVER : stoa_deadline_in(subscribing->timeout);
	int result = stoa_subscription_next(subscribing->subscription, 0, ret_event);

	if (result != STOA_TIMED_OUT)
		return result;
	if (fflush(stdout) != 0) {
		subscribing->error = errno;
		return result;
	}
	while (result == STOA_TIMED_OUT && !flow_asked() && stoa_now() < end) {
		uint64_t piece = stoa_deadline_in(PIECE);

		result = stoa_subscription_next(subscribing->subscription, piece < end ? piece : end, ret_event);
	}
	return result;
}

static int watch(struct subscribing *subscribing)
{
	struct stoa_store_event event;
	char time[DURATION_TEXT];
	int result = 0;

	for (uint64_t seen = 0; seen < subscribing->count && !subscribing->error && !ferror(stdout);) {
		result = flow_asked() ? STOA_TIMED_OUT : next_event(subscribing, &event);
		if (result)
			break;
		seen += has_object(&event);
		if (subscribing->as_json)
			print_json(&event);
		else
			print_line(&event);
	}
	if (result < 0)
		return tool_fail_result(NULL, result);
	if (result == STOA_TIMED_OUT && !flow_asked() && !subscribing->error)
		return tool_fail("subscribe: nothing happened in %s", duration_text(subscribing->timeout, time));
	return flow_asked() ? TOOL_FAILED : TOOL_OK;
}

static int subscribe(struct subscribing *subscribing)
{
	int result, status = store_connect("subscribe", subscribing->where, 0, &subscribing->store);

	if (status != TOOL_GO)
		return status;
	flow_begin();
	result = stoa_store_subscribe(subscribing->store, subscribing->prefix.bytes, subscribing->prefix.length,
				      subscribing->list ? STOA_SUBSCRIBE_LIST : 0, &subscribing->subscription);
	status = result < 0 ? tool_fail_result(NULL, result) : watch(subscribing);
	stoa_subscription_close(result < 0 ? NULL : subscribing->subscription);
	stoa_store_close(subscribing->store);
	if (fflush(stdout) != 0 && !subscribing->error)
		subscribing->error = errno;
	if (subscribing->error == EPIPE && flow_broken())
		console_end_as(flow_broken());
	if (flow_asked())
		console_end_as(flow_asked());
	return status;
}

int command_subscribe(int argc, char **argv)
{
	struct subscribing subscribing = {.timeout = UINT64_MAX, .count = UINT64_MAX};
	const struct option_spec options[] = {
		{'l', "list", OPTION_FLAG, &subscribing.list, NULL, "first what is there already"},
		{'t', "timeout", OPTION_DURATION, &subscribing.timeout, "TIME",
		 "give up after TIME in which nothing happens"},
		{'n', "count", OPTION_NUMBER, &subscribing.count, "N", "end after N objects"},
		{'s', "store", OPTION_TEXT, &subscribing.where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &subscribing.as_json, NULL,
		 "one JSON object each: event (sealed, deleted, evicted; present,\nlisted with --list; lost), id, size, date (nanoseconds "
		 "since\n1970), lost"},
	};
	const struct usage usage = {
		"subscribe",
		"[PREFIX]",
		"Tell of the objects of a store, as they are sealed, deleted and evicted: of those whose ids begin with PREFIX, or of all\n"
		"that this user may read. Who reads this too slowly stops nobody, and is told how many events were lost.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		1,
		"  $ stoa subscribe                     everything, as it happens\n"
		"  $ stoa subscribe frame- --list -n 1  the first that is there, or comes\n"
		"  $ stoa subscribe --json | jq 'select(.event == \"evicted\")'",
	};
	int operands, status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO && operands)
		status = store_id_parse("subscribe", argv[1], &subscribing.prefix);
	return status == TOOL_GO ? subscribe(&subscribing) : status;
}
