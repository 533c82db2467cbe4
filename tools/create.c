/* SPDX-License-Identifier: MIT */
/* `stoa create`, `commit`, `rm` and `gc`: segments from the command line, for scripts, trying out and cleaning up. */
#include "tool.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <stoa/stoa.h>

static int parse_huge(const char *text, uint32_t *ret_huge)
{
	static const char *const names[] = {"auto", "never", "require"};

	for (uint32_t i = 0; i < 3; i++) {
		if (text && strcmp(text, names[i]) == 0) {
			*ret_huge = i;
			return TOOL_GO;
		}
	}
	return text ? tool_misuse("create: --huge %s is none of auto, never, require", text) : TOOL_GO;
}

/* A size option, whose errors name the segment. */
static int parse_size(const char *name, const char *what, const char *text, uint64_t *ret_bytes)
{
	char subject[320];

	snprintf(subject, sizeof(subject), "segment '%s': %s", name, what);
	return text ? size_argument(subject, text, ret_bytes) : TOOL_GO;
}

/* Keep a transient segment until the input ends: Ctrl-D, or the end of the script that feeds it. */
static void hold(void)
{
	char byte;

	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

struct creation {
	const char *reserve_text;
	const char *commit_text;
	const char *huge_text;
	uint64_t slots;
	bool global;
	bool world;
	bool shrinkable;
	bool executable;
	bool raw;
	bool hold;
};

static uint32_t creation_flags(const struct creation *creation)
{
	return (creation->hold ? 0 : STOA_PERSISTENT) | (creation->global || creation->world ? STOA_GLOBAL : 0) |
	       (creation->world ? STOA_WORLD_READABLE : 0) | (creation->shrinkable ? STOA_SHRINKABLE : 0) |
	       (creation->executable ? STOA_EXECUTABLE : 0) | (creation->raw ? STOA_RAW : 0);
}

static int create(const char *name, const struct creation *creation)
{
	struct stoa_segment_options options = {.flags = creation_flags(creation)};
	struct stoa_segment *segment;
	uint64_t reserve = 0;
	int status = parse_size(name, "reserve", creation->reserve_text, &reserve);
	int result;

	if (status == TOOL_GO)
		status = parse_size(name, "commit", creation->commit_text, &options.commit);
	if (status == TOOL_GO)
		status = parse_huge(creation->huge_text, &options.huge);
	if (status != TOOL_GO)
		return status;
	if (!creation->reserve_text)
		return tool_misuse("segment '%s': say how far it may grow: --reserve 1GiB", name);
	if (reserve == 0)
		return tool_misuse("segment '%s': reserve 0 is not a size; use e.g. 1GiB", name);
	if (creation->slots > UINT32_MAX)
		return tool_misuse("segment '%s': %" PRIu64 " roster slots are too many", name, creation->slots);
	options.roster_slots = (uint32_t)creation->slots;
	result = stoa_segment_create(name, reserve, &options, &segment);
	if (result < 0)
		return tool_fail_result(NULL, result);
	if (creation->hold)
		hold();
	stoa_segment_close(segment);
	return TOOL_OK;
}

int command_create(int argc, char **argv)
{
	struct creation creation = {0};
	const struct option_spec options[] = {
		{'r', "reserve", OPTION_TEXT, &creation.reserve_text, "SIZE",
		 "how far it may grow, e.g. 1GiB; costs no memory. Required"},
		{'c', "commit", OPTION_TEXT, &creation.commit_text, "SIZE", "memory to commit at once"},
		{0, "huge", OPTION_TEXT, &creation.huge_text, "WHEN", "2 MiB pages: auto, never, require"},
		{0, "hold", OPTION_FLAG, &creation.hold, NULL,
		 "transient: keep it until the input ends (Ctrl-D), then it goes"},
		{0, "global", OPTION_FLAG, &creation.global, NULL, "a name of the host, not of this user"},
		{0, "world-readable", OPTION_FLAG, &creation.world, NULL, "global, and other users may read it"},
		{0, "shrinkable", OPTION_FLAG, &creation.shrinkable, NULL, "users may cut it"},
		{0, "executable", OPTION_FLAG, &creation.executable, NULL, "users may map it executable"},
		{0, "raw", OPTION_FLAG, &creation.raw, NULL, "no header: no mutexes, events and semaphores inside"},
		{0, "slots", OPTION_NUMBER, &creation.slots, "N", "threads that can take part at a time (1023)"},
	};
	const struct usage usage = {
		"create",
		"NAME",
		"Create a named segment. It stays until 'stoa rm', also when nobody uses it, unless --hold is given.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		1,
		"  $ stoa create cache --reserve 1TiB --commit 1MiB\n"
		"  $ stoa commit cache 64MiB      programs that have it open can use them at once\n"
		"  $ stoa map cache\n"
		"  $ stoa rm cache",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	return status == TOOL_GO ? create(argv[1], &creation) : status;
}

int command_commit(int argc, char **argv)
{
	bool global = false;
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &global, NULL, "a name of the host, not of this user"},
	};
	const struct usage usage = {
		"commit",
		"NAME SIZE",
		"Make at least SIZE bytes of a named segment usable, in every process that has it open. A size that is\n"
		"committed already changes nothing. Fails, and harms nobody, when there is no memory.",
		options,
		sizeof(options) / sizeof(options[0]),
		2,
		2,
		"  $ stoa commit cache 64MiB",
	};
	struct stoa_segment_options open_options = {0};
	struct stoa_segment *segment;
	uint64_t bytes = 0;
	int operands;
	int result;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse_size(argv[1], "commit", argv[2], &bytes);
	if (status != TOOL_GO)
		return status;
	open_options.flags = global ? STOA_GLOBAL : 0;
	result = stoa_segment_open(argv[1], &open_options, &segment);
	if (result < 0)
		return tool_fail_result(NULL, result);
	result = stoa_segment_commit(segment, bytes);
	if (result < 0)
		tool_fail_result(NULL, result);
	stoa_segment_close(segment);
	return result < 0 ? TOOL_FAILED : TOOL_OK;
}

int command_rm(int argc, char **argv)
{
	bool global = false;
	bool force = false;
	const struct option_spec options[] = {
		{'f', "force", OPTION_FLAG, &force, NULL, "a name that is not there is no failure"},
		{'g', "global", OPTION_FLAG, &global, NULL, "names of the host, not of this user"},
	};
	const struct usage usage = {
		"rm",
		"NAME...",
		"Remove names of segments, mutexes, events and semaphores. Programs that have them open keep them, and\n"
		"their memory, until they close; nobody else finds them.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		-1,
		"  $ stoa rm cache old-cache",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	status = TOOL_OK;
	for (int i = 1; i <= operands; i++) {
		int result = stoa_segment_unlink(argv[i], global ? STOA_GLOBAL : 0);

		if (result < 0 && !(force && result == -STOA_ENOENT))
			status = tool_fail_result(NULL, result);
	}
	return status;
}

int command_gc(int argc, char **argv)
{
	bool as_json = false;
	const struct option_spec options[] = {
		{0, "json", OPTION_FLAG, &as_json, NULL, "one JSON object: how many names were removed"},
	};
	const struct usage usage = {
		"gc",
		"",
		"Remove the names of transient segments whose users are all dead, e.g. by kill -9: this user's own, and this user's\n"
		"among those of the host. Opening or creating such a name does the same for that one, so nothing waits for gc\n"
		"but memory.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		0,
		"  $ stoa gc                    says how many names it removed",
	};
	uint32_t removed = 0;
	uint32_t removed_global = 0;
	int operands;
	int result;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	result = stoa_segment_gc(0, &removed);
	if (result < 0)
		return tool_fail_result(NULL, result);
	result = stoa_segment_gc(STOA_GLOBAL, &removed_global);
	if (result < 0)
		return tool_fail_result(NULL, result);
	if (as_json) {
		struct json json;

		json_begin(&json, stdout);
		json_number(&json, "removed", removed + removed_global);
		json_end(&json);
	} else {
		printf("%" PRIu32 " names removed\n", removed + removed_global);
	}
	return TOOL_OK;
}
