/* SPDX-License-Identifier: MIT */
/* `stoa create`, `commit`, `rm` and `gc`: segments from the command line, for scripts, trying out and cleaning up. */
#include "object.h"
#include "store.h"

#include <inttypes.h>
#include <string.h>

#include "os/console.h"

#define SLOTS_DEFAULT UINT64_MAX /* not given */
#define SLOTS_MAX 16383u         /* stoa_segment_options.roster_slots */

static int parse_huge(const char *name, const char *text, uint32_t *ret_huge)
{
	static const char *const names[] = {"auto", "never", "require"};

	for (uint32_t i = 0; i < 3; i++) {
		if (text && strcmp(text, names[i]) == 0) {
			*ret_huge = i;
			return TOOL_GO;
		}
	}
	return text ? tool_misuse("segment '%s': huge %s is none of auto, never, require", name, text) : TOOL_GO;
}

/* A size option, whose errors name the segment. */
static int parse_size(const char *name, const char *what, const char *text, uint64_t *ret_bytes)
{
	char subject[TOOL_SUBJECT + 16];

	snprintf(subject, sizeof(subject), "segment '%.*s': %s", TOOL_SUBJECT - 16, name, what);
	return text ? size_argument(subject, text, ret_bytes) : TOOL_GO;
}

struct creation {
	const char *reserve_text;
	const char *commit_text;
	const char *huge_text;
	uint64_t slots;
	bool json;
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

/* What can be told to be wrong without asking the system. */
static int check_numbers(const char *name, const struct creation *creation, uint64_t reserve, uint64_t commit)
{
	char texts[2][SIZE_TEXT];

	if (!creation->reserve_text)
		return tool_misuse("segment '%s': say how far it may grow: --reserve 1GiB", name);
	if (reserve == 0)
		return tool_misuse("segment '%s': reserve 0 is not a size; use e.g. 1GiB", name);
	if (reserve > STOA_RESERVE_MAX)
		return tool_misuse("segment '%s': reserve %s is more than a segment can have; use at most %s", name,
				   creation->reserve_text, size_text(STOA_RESERVE_MAX, texts[0]));
	if (commit > reserve)
		return tool_misuse("segment '%s': commit %s is more than the reserve, %s; use e.g. --reserve %s", name,
				   creation->commit_text, size_text(reserve, texts[0]), creation->commit_text);
	if (creation->slots != SLOTS_DEFAULT && (creation->slots == 0 || creation->slots > SLOTS_MAX))
		return tool_misuse("segment '%s': slots %" PRIu64 " is not 1 to %u; use e.g. 1023", name,
				   creation->slots, SLOTS_MAX);
	return TOOL_GO;
}

static int parse_creation(const char *name, const struct creation *creation, uint64_t *ret_reserve,
			  struct stoa_segment_options *options)
{
	int status = parse_size(name, "reserve", creation->reserve_text, ret_reserve);

	if (status == TOOL_GO)
		status = parse_size(name, "commit", creation->commit_text, &options->commit);
	if (status == TOOL_GO)
		status = parse_huge(name, creation->huge_text, &options->huge);
	if (status == TOOL_GO)
		status = check_numbers(name, creation, *ret_reserve, options->commit);
	options->roster_slots = creation->slots == SLOTS_DEFAULT ? 0 : (uint32_t)creation->slots;
	return status;
}

static void print_created(const char *name, const struct stoa_segment *segment, uint32_t flags)
{
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", name);
	json_number(&json, "reserve", stoa_segment_reserve(segment));
	json_number(&json, "committed", stoa_segment_committed(segment));
	object_json_flags(&json, flags);
	json_end(&json);
}

static int fail_creation(const char *name, const struct creation *creation, int result)
{
	int status = tool_fail_named(name, result);

	/* Names that outlive their users are not to be had everywhere. */
	if (result == -STOA_ENOTSUP && !creation->hold && !creation->huge_text)
		tool_fail("'stoa create %s --hold' makes one that is there as long as that command runs", name);
	return status;
}

static int create(const char *name, const struct creation *creation)
{
	struct stoa_segment_options options = {.flags = creation_flags(creation)};
	struct stoa_segment *segment;
	uint64_t reserve = 0;
	int ended = 0;
	int status = parse_creation(name, creation, &reserve, &options);
	int result;

	if (status != TOOL_GO)
		return status;
	result = stoa_segment_create(name, reserve, &options, &segment);
	if (result < 0)
		return fail_creation(name, creation, result);
	if (creation->json)
		print_created(name, segment, options.flags);
	if (creation->hold)
		ended = console_hold();
	stoa_segment_close(segment);
	if (ended)
		console_end_as(ended);
	return TOOL_OK;
}

int command_create(int argc, char **argv)
{
	struct creation creation = {.slots = SLOTS_DEFAULT};
	const struct option_spec options[] = {
		{'r', "reserve", OPTION_TEXT, &creation.reserve_text, "SIZE",
		 "how far it may grow, e.g. 1GiB; costs no memory. Required"},
		{'c', "commit", OPTION_TEXT, &creation.commit_text, "SIZE", "memory to commit at once"},
		{0, "huge", OPTION_TEXT, &creation.huge_text, "WHEN", "2 MiB pages: auto, never, require"},
		{0, "hold", OPTION_FLAG, &creation.hold, NULL,
		 "transient: keep it until the input ends (Ctrl-D; on Windows\nCtrl-Z and return), then it goes. Windows has no other"},
		{0, "global", OPTION_FLAG, &creation.global, NULL, "a name of the host, not of this user"},
		{0, "world-readable", OPTION_FLAG, &creation.world, NULL, "global, and other users may read it"},
		{0, "shrinkable", OPTION_FLAG, &creation.shrinkable, NULL, "users may cut it"},
		{0, "executable", OPTION_FLAG, &creation.executable, NULL, "users may map it executable"},
		{0, "raw", OPTION_FLAG, &creation.raw, NULL, "no header: no mutexes, events and semaphores inside"},
		{0, "slots", OPTION_NUMBER, &creation.slots, "N", "threads that can take part at a time (1023)"},
		{0, "json", OPTION_FLAG, &creation.json, NULL, "one JSON object: name, reserve, committed, flags"},
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

static int commit(const char *name, uint32_t flags, uint64_t bytes, bool as_json)
{
	struct stoa_segment_options options = {.flags = flags};
	char texts[2][SIZE_TEXT];
	struct stoa_segment *segment;
	int status = TOOL_OK;
	int result = stoa_segment_open(name, &options, &segment);
	struct json json;

	if (result < 0)
		return tool_fail_named(name, result);
	if (bytes > stoa_segment_reserve(segment)) {
		status = tool_fail("segment '%s': commit %s is more than its reserve, %s", name,
				   size_text(bytes, texts[0]), size_text(stoa_segment_reserve(segment), texts[1]));
	} else {
		result = stoa_segment_commit(segment, bytes);
		if (result < 0)
			status = tool_fail_named(name, result);
	}
	if (status == TOOL_OK && as_json) {
		json_begin(&json, stdout);
		json_text(&json, "name", name);
		json_number(&json, "committed", stoa_segment_committed(segment));
		json_end(&json);
	}
	stoa_segment_close(segment);
	return status;
}

int command_commit(int argc, char **argv)
{
	bool global = false;
	bool as_json = false;
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &global, NULL, "a name of the host, not of this user"},
		{0, "json", OPTION_FLAG, &as_json, NULL, "one JSON object: name, committed"},
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
	uint64_t bytes = 0;
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse_size(argv[1], "commit", argv[2], &bytes);
	return status == TOOL_GO ? commit(argv[1], global ? STOA_GLOBAL : 0, bytes, as_json) : status;
}

struct removal {
	uint32_t flags;
	bool force;
	bool json;
};

static int remove_one(const char *name, const struct removal *removal)
{
	int result = stoa_segment_unlink(name, removal->flags);
	struct json json;

	if (removal->json) {
		json_begin(&json, stdout);
		json_text(&json, "name", name);
		json_bool(&json, "removed", result >= 0);
		json_end(&json);
	}
	if (result >= 0 || (removal->force && result == -STOA_ENOENT))
		return TOOL_OK;
	return tool_fail_named(name, result);
}

int command_rm(int argc, char **argv)
{
	struct removal removal = {0};
	bool global = false;
	const char *where = NULL;
	const struct option_spec options[] = {
		{'f', "force", OPTION_FLAG, &removal.force, NULL, "a name that is not there is no failure"},
		{'g', "global", OPTION_FLAG, &global, NULL, "names of the host, not of this user"},
		{'s', "store", OPTION_CHOICE, &where, "PATH",
		 "objects of an object store, by their ids: of the server at\nthis socket, or the default one"},
		{0, "json", OPTION_FLAG, &removal.json, NULL, "one JSON object for each name: name, removed"},
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
		"  $ stoa rm cache old-cache\n"
		"  $ stoa rm --store model      the object 'model'; who holds it keeps it",
	};
	int operands;
	int worst = TOOL_OK;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (where && global)
		return tool_misuse("rm: --store is about objects, and does not go with --global");
	if (where)
		return store_rm(where, argv + 1, operands, removal.force, removal.json);
	removal.flags = global ? STOA_GLOBAL : 0;
	for (int i = 1; i <= operands; i++) {
		status = remove_one(argv[i], &removal);
		worst = status > worst ? status : worst;
	}
	return worst;
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
		removed += removed_global;
		printf("%" PRIu32 " %s removed\n", removed, removed == 1 ? "name" : "names");
	}
	return TOOL_OK;
}
