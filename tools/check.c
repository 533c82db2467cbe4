/* SPDX-License-Identifier: MIT */
/* `stoa check`: is a named object as it should be? The comparing is done by the library; here it is told. */
#include "object.h"

struct told {
	const char *name;
	bool json;
	bool quiet;
};

static void tell(void *argument, int severity, const char *sentence)
{
	const struct told *told = argument;
	char name[256];
	char safe[512];
	struct json json;

	if (told->json) {
		json_begin(&json, stdout);
		json_text(&json, "name", told->name);
		json_text(&json, "severity", severity == STOA_DAMAGE ? "damage" : "remark");
		json_text(&json, "text", sentence);
		json_end(&json);
		return;
	}
	if (severity != STOA_DAMAGE && told->quiet)
		return;
	printf("%s: %s%s%s: %s\n", text_safe_string(told->name, name, sizeof(name)),
	       colour(stdout, severity == STOA_DAMAGE ? COLOUR_RED : COLOUR_DIM),
	       severity == STOA_DAMAGE ? "damage" : "remark", colour(stdout, COLOUR_OFF),
	       text_safe_string(sentence, safe, sizeof(safe)));
}

static void tell_result(const struct told *told, int damages)
{
	char name[256];
	struct json json;

	if (told->json) {
		json_begin(&json, stdout);
		json_text(&json, "name", told->name);
		json_number(&json, "damages", (uint64_t)damages);
		json_end(&json);
		return;
	}
	text_safe_string(told->name, name, sizeof(name));
	if (damages == 0 && !told->quiet)
		printf("%s: in order\n", name);
	if (damages > 0)
		printf("%s: %d %s. Whoever may write the memory can have done that; close it everywhere, 'stoa rm' it, and make "
		       "it anew\n",
		       name, damages, damages == 1 ? "damage" : "damages");
}

static int check_one(struct told *told, uint32_t flags)
{
	struct object object;
	int status = object_open(told->name, flags, &object);
	int damages;

	if (status != TOOL_GO)
		return status;
	damages = stoa_inspect_check(object.inspector, tell, told);
	object_close(&object);
	if (damages < 0)
		return tool_fail_named(told->name, damages);
	tell_result(told, damages);
	return damages ? TOOL_DAMAGED : TOOL_OK;
}

int command_check(int argc, char **argv)
{
	struct told told = {0};
	bool global = false;
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &global, NULL, "names of the host, not of this user"},
		{'q', "quiet", OPTION_FLAG, &told.quiet, NULL, "tell damage only"},
		{0, "json", OPTION_FLAG, &told.json, NULL, "one JSON object per line: each finding, then the count"},
	};
	const struct usage usage = {
		"check",
		"NAME...",
		"Compare a named segment, mutex, event, semaphore or channel with what it may be: header, lengths,\n"
		"every roster page, the object in it, a channel's words and records. Your data means nothing to stoa\n"
		"and is not looked at. Changes nothing.\n"
		"Exit status 3 when something is damaged, 1 when something is not there or cannot be read.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		-1,
		"  $ stoa check cache           says 'in order', or what is wrong\n"
		"  $ stoa check --quiet cache; [ $? -eq 3 ] && stoa rm cache    goes only if it is damaged",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);
	int worst = TOOL_OK;

	if (status != TOOL_GO)
		return status;
	for (int i = 1; i <= operands; i++) {
		told.name = argv[i];
		status = check_one(&told, global ? STOA_GLOBAL : 0);
		worst = status > worst ? status : worst;
	}
	return worst;
}
