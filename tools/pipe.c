/* SPDX-License-Identifier: MIT */
/*
 * `stoa pipe`: programs one behind the other, as a shell's `a | b | c` with `pipefail`. What carries the bytes is the system's half,
 * os/pipeline.h.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/sync.h>

#include "os/console.h"
#include "os/pipeline.h"
#include "os/process.h"
#include "os/walk.h"

#define BUFFER (UINT64_C(1) << 20)
#define COMMANDS_MAX 64

struct pipe_options {
	const char *separator;
	uint64_t buffer;
	bool stats, json;
};

static void refused(const char *command, bool found, int error)
{
	if (found)
		tool_fail("pipe: '%s': %s", command, walk_error_text(error));
	else
		tool_fail("pipe: '%s': no such command", command);
}

/* The last word of a path: what a program is called. */
static const char *name_of(const struct pipeline *pipeline, size_t i, char *buffer, size_t size)
{
	size_t length = 0;
	const char *name = walk_last_name(pipeline->commands[i][0], &length);

	return text_safe(name, length, buffer, size);
}

static void print_link(const struct pipeline *pipeline, size_t i, double seconds)
{
	const struct pipeline_link *link = &pipeline->links[i];
	char names[2][64], size[SIZE_TEXT], speed[SIZE_TEXT], waits[2][DURATION_TEXT];

	name_of(pipeline, i, names[0], sizeof(names[0]));
	name_of(pipeline, i + 1, names[1], sizeof(names[1]));
	fprintf(stderr, "pipe: %s to %s: %s in %.3gs, %s/s; waited %s for %s, %s for %s\n", names[0], names[1],
		size_text(link->bytes, size), seconds,
		size_text((uint64_t)((double)link->bytes / (seconds > 0 ? seconds : 1)), speed),
		duration_text(link->waited_for_input, waits[0]), names[0],
		duration_text(link->waited_for_output, waits[1]), names[1]);
}

static void print_json(const struct pipeline *pipeline, double seconds, int status)
{
	struct json json;

	json_begin(&json, stderr);
	json_real(&json, "seconds", seconds);
	json_number(&json, "status", (uint64_t)(unsigned)status);
	json_array_begin(&json, "commands");
	for (size_t i = 0; i < pipeline->count; i++) {
		json_object_begin(&json, NULL);
		json_text(&json, "command", pipeline->commands[i][0]);
		json_number(&json, "status", (uint64_t)(unsigned)pipeline->statuses[i]);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_array_begin(&json, "links");
	for (size_t i = 0; i + 1 < pipeline->count; i++) {
		const struct pipeline_link *link = &pipeline->links[i];

		json_object_begin(&json, NULL);
		json_number(&json, "bytes", link->bytes);
		json_real(&json, "waited_for_input", (double)link->waited_for_input / 1e9);
		json_real(&json, "waited_for_output", (double)link->waited_for_output / 1e9);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_end(&json);
}

/* The last that failed, as with pipefail. */
static int last_failure(const struct pipeline *pipeline)
{
	int status = TOOL_OK;

	for (size_t i = 0; i < pipeline->count; i++)
		if (pipeline->statuses[i])
			status = pipeline->statuses[i];
	return status;
}

static int run(struct pipeline *pipeline, const struct pipe_options *options)
{
	uint64_t begun = stoa_now();
	double seconds;
	int status, error;

	error = pipeline_run(pipeline);
	if (error)
		return tool_fail("pipe: %s", walk_error_text(error));
	seconds = (double)(stoa_now() - begun) / 1e9;
	status = last_failure(pipeline);
	if (options->json)
		print_json(pipeline, seconds, status);
	for (size_t i = 0; i + 1 < pipeline->count && options->stats && !options->json; i++)
		print_link(pipeline, i, seconds);
	fflush(stderr);
	if (pipeline_ended_by(status))
		console_end_as(pipeline_ended_by(status));
	return status;
}

/* Names that nothing else has. What is made by them is made, and goes, with those who use it. */
static char **link_names(size_t count)
{
	static char room[COMMANDS_MAX][64];
	static char *names[COMMANDS_MAX];

	for (size_t i = 0; i < count; i++) {
		snprintf(room[i], sizeof(room[i]), "pipe-%" PRId64 "-%" PRIx64 "-%zu", process_self(), stoa_now(), i);
		names[i] = room[i];
	}
	return names;
}

/* Cut the words at the separators, which become the ends of lists. */
static int cut(char **words, int count, const char *separator, struct pipeline *pipeline)
{
	bool begins = true;

	for (int i = 0; i < count; i++) {
		bool separates = strcmp(words[i], separator) == 0;

		if (separates && begins)
			return tool_misuse("pipe: no command before a '%s'; try 'stoa pipe --help'", separator);
		if (begins && pipeline->count == COMMANDS_MAX)
			return tool_misuse("pipe: more than %d commands", COMMANDS_MAX);
		if (begins)
			pipeline->commands[pipeline->count++] = &words[i];
		if (separates)
			words[i] = NULL;
		begins = separates;
	}
	words[count] = NULL; /* whatever stood there was an option's */
	if (begins)
		return tool_misuse("pipe: no command behind the last '%s'; try 'stoa pipe --help'", separator);
	return TOOL_GO;
}

int command_pipe(int argc, char **argv)
{
	struct pipe_options given = {.separator = "--", .buffer = BUFFER};
	const struct option_spec options[] = {
		{0, "separator", OPTION_TEXT, &given.separator, "WORD",
		 "what stands between two commands, where one has a '--' of its own (--)"},
		{0, "buffer", OPTION_SIZE, &given.buffer, "SIZE", "room between two commands, at least 64KiB (1MiB)"},
		{0, "stats", OPTION_FLAG, &given.stats, NULL,
		 "count: for each pipe say how much it was, how fast, and who waited\nfor whom"},
		{0, "json", OPTION_FLAG, &given.json, NULL,
		 "the same as one JSON object, on the error output: seconds, status,\ncommands, links"},
	};
	const struct usage usage = {
		"pipe",
		"-- COMMAND [-- COMMAND...]",
		"Run commands one behind the other, the output of each the input of the next, as a shell's a | b | c does, with\n"
		"more room between them. The exit status is that of the last command that failed, or 0; 127: no such\n"
		"command, 126: it cannot be run, 128 and more: ended by a signal.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		-1,
		"  $ stoa pipe -- tar c . -- zstd -- tee copy.zst -- sha256sum\n"
		"  $ stoa pipe --stats -- generate -- consume\n"
		"                          which of the two is the slow one?\n"
		"  $ stoa pipe --separator '|' -- git log -- src '|' wc -l",
	};
	char **commands[COMMANDS_MAX];
	struct pipeline_link links[COMMANDS_MAX] = {0};
	int statuses[COMMANDS_MAX] = {0};
	struct pipeline pipeline = {.commands = commands, .links = links, .statuses = statuses, .refused = refused};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = cut(argv + 1, operands, given.separator, &pipeline);
	if (status != TOOL_GO)
		return status;
	pipeline.buffer = given.buffer;
	pipeline.names = link_names(pipeline.count - 1);
	pipeline.counts = given.stats || given.json;
	return run(&pipeline, &given);
}
