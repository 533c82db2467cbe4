/* SPDX-License-Identifier: MIT */
/* `stoa check`: is a named object as it should be? The comparing is done by the library; here it is told. */
#include "object.h"

#include <inttypes.h>
#include <string.h>

#define NO_OFFSET UINT64_MAX

struct told {
	const char *name;
	uint64_t at; /* of the channel in its data; NO_OFFSET: the object itself */
	bool json;
	bool quiet;
};

/* The name, safe to print, and which channel in it. */
static const char *subject(const struct told *told, char *text, size_t room)
{
	size_t length;

	text_safe_string(told->name, text, room);
	length = strlen(text);
	if (told->at != NO_OFFSET)
		snprintf(text + length, room - length, ", channel at %" PRIu64, told->at);
	return text;
}

static void begin_line(const struct told *told, struct json *json)
{
	json_begin(json, stdout);
	json_text(json, "name", told->name);
	if (told->at != NO_OFFSET)
		json_number(json, "channel", told->at);
}

static void tell(void *argument, int severity, const char *sentence)
{
	const struct told *told = argument;
	char name[256];
	char safe[512];
	struct json json;

	if (told->json) {
		begin_line(told, &json);
		json_text(&json, "severity", severity == STOA_DAMAGE ? "damage" : "remark");
		json_text(&json, "text", sentence);
		json_end(&json);
		return;
	}
	if (severity != STOA_DAMAGE && told->quiet)
		return;
	printf("%s: %s%s%s: %s\n", subject(told, name, sizeof(name)),
	       colour(stdout, severity == STOA_DAMAGE ? COLOUR_RED : COLOUR_DIM),
	       severity == STOA_DAMAGE ? "damage" : "remark", colour(stdout, COLOUR_OFF),
	       text_safe_string(sentence, safe, sizeof(safe)));
}

static void tell_result(const struct told *told, int damages)
{
	char name[256];
	struct json json;

	if (told->json) {
		begin_line(told, &json);
		json_number(&json, "damages", (uint64_t)damages);
		json_end(&json);
		return;
	}
	subject(told, name, sizeof(name));
	if (damages == 0 && !told->quiet)
		printf("%s: in order\n", name);
	if (damages > 0)
		printf("%s: %d %s. Whoever may write the memory can have done that; close it everywhere, %s it anew\n",
		       name, damages, damages == 1 ? "damage" : "damages",
		       told->at == NO_OFFSET ? "'stoa rm' it, and make" : "and place");
}

static int result_of(const struct told *told, int damages)
{
	if (damages < 0)
		return tool_fail_named(told->name, damages);
	tell_result(told, damages);
	return damages ? TOOL_DAMAGED : TOOL_OK;
}

static int worse(int status, int other)
{
	return status > other ? status : other;
}

static int check_channel(struct told *told, const struct stoa_inspector *inspector, uint64_t at)
{
	told->at = at;
	return result_of(told, stoa_inspect_check_channel(inspector, at, tell, told));
}

/* Where a mark of one lies. */
static int check_channels(struct told *told, const struct stoa_inspector *inspector)
{
	uint64_t at = 0, length, found = 0;
	int rc, status = TOOL_OK;
	char name[256];

	while ((rc = stoa_inspect_find_channel(inspector, at, &at, &length)) == 0) {
		status = worse(status, check_channel(told, inspector, at));
		at += length;
		found++;
	}
	if (rc == -STOA_ENOENT && !found && !told->json && !told->quiet)
		printf("%s: no channel is found in its data\n", text_safe_string(told->name, name, sizeof(name)));
	return rc == -STOA_ENOENT ? status : worse(status, tool_fail_named(told->name, rc));
}

struct what {
	bool global;
	bool channels; /* all that are found */
	uint64_t channel;
};

static int check_one(struct told *told, const struct what *what)
{
	struct object object;
	int status = object_open(told->name, what->global ? STOA_GLOBAL : 0, &object);

	if (status != TOOL_GO)
		return status;
	told->at = NO_OFFSET;
	status = result_of(told, stoa_inspect_check(object.inspector, tell, told));
	if (what->channel != NO_OFFSET)
		status = worse(status, check_channel(told, object.inspector, what->channel));
	if (what->channels)
		status = worse(status, check_channels(told, object.inspector));
	object_close(&object);
	return status;
}

int command_check(int argc, char **argv)
{
	struct told told = {0};
	struct what what = {.channel = NO_OFFSET};
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &what.global, NULL, "names of the host, not of this user"},
		{'c', "channel", OPTION_SIZE, &what.channel, "OFFSET",
		 "also the channel, or stream, that was placed\nthere in the data: bytes, or e.g. 1MiB"},
		{'a', "channels", OPTION_FLAG, &what.channels, NULL, "also each that is found in the data by its mark"},
		{'q', "quiet", OPTION_FLAG, &told.quiet, NULL, "tell damage only"},
		{0, "json", OPTION_FLAG, &told.json, NULL, "one JSON object per line: each finding, then the count"},
	};
	const struct usage usage = {
		"check",
		"NAME...",
		"Compare a named segment, mutex, event, semaphore, channel or pager with what it may be: header, lengths,\n"
		"every roster page, the object in it, a channel's words and records, a pager's words and frames. Your data means\n"
		"nothing to stoa and is not looked at, but for channels and streams in it that you tell of. Changes nothing.\n"
		"Exit status 3 when something is damaged, 1 when something is not there or cannot be read.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		-1,
		"  $ stoa check cache           says 'in order', or what is wrong\n"
		"  $ stoa check -c 1MiB cache   and the channel at that offset of its data\n"
		"  $ stoa check --quiet cache; [ $? -eq 3 ] && stoa rm cache    goes only if it is damaged",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);
	int worst = TOOL_OK;

	if (status != TOOL_GO)
		return status;
	for (int i = 1; i <= operands; i++) {
		told.name = argv[i];
		worst = worse(worst, check_one(&told, &what));
	}
	return worst;
}
