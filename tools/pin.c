/* SPDX-License-Identifier: MIT */
/* `stoa pin` and `stoa unpin`: keep objects of a store from being evicted, or no longer. Uses the public API. */
#include "store.h"

struct pinning {
	const char *command; /* "pin" or "unpin" */
	bool pinned;         /* what they are to be */
	bool as_json;
};

static int pin_one(const struct pinning *pinning, struct stoa_store *store, const char *word)
{
	struct store_id id;
	int result, status = store_id_parse(pinning->command, word, &id);
	char text[STORE_ID_TEXT];
	struct json json;

	if (status != TOOL_GO)
		return status;
	result = pinning->pinned ? stoa_store_pin(store, id.bytes, id.length)
				 : stoa_store_unpin(store, id.bytes, id.length);
	if (pinning->as_json) {
		json_begin(&json, stdout);
		json_text(&json, "id", store_id_text(id.bytes, id.length, text));
		if (result == 0)
			json_bool(&json, "pinned", pinning->pinned);
		else
			json_null(&json, "pinned");
		json_end(&json);
	}
	return result == 0 ? TOOL_OK : store_fail(&id, result);
}

static int pin_each(const struct pinning *pinning, const char *where, char **words, int count)
{
	struct stoa_store *store;
	int worst = TOOL_OK, status = store_connect(pinning->command, where, 0, &store);

	if (status != TOOL_GO)
		return status;
	for (int i = 0; i < count; i++) {
		status = pin_one(pinning, store, words[i]);
		worst = status > worst ? status : worst;
	}
	stoa_store_close(store);
	return worst;
}

static int run_pinning(struct pinning *pinning, const char *about, const char *examples, int argc, char **argv)
{
	const char *where = NULL;
	const struct option_spec options[] = {
		{'s', "store", OPTION_TEXT, &where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &pinning->as_json, NULL,
		 "one JSON object for each: id, pinned (null: it could not be done)"},
	};
	const struct usage usage = {
		pinning->command, "ID...", about, options, sizeof(options) / sizeof(options[0]), 1, -1, examples,
	};
	int operands, status = options_parse(&usage, argc, argv, &operands);

	return status == TOOL_GO ? pin_each(pinning, where, argv + 1, operands) : status;
}

int command_pin(int argc, char **argv)
{
	struct pinning pinning = {.command = "pin", .pinned = true};

	return run_pinning(&pinning,
			   "Keep objects in the store: where the server evicts, these do not make room for others.\n"
			   "Who may remove an object may pin it; 'stoa ls --store' shows which are pinned.",
			   "  $ stoa pin model index\n"
			   "  $ stoa put model weights.bin --pinned     from the beginning",
			   argc, argv);
}

int command_unpin(int argc, char **argv)
{
	struct pinning pinning = {.command = "unpin"};

	return run_pinning(&pinning, "Let objects make room for others again, where the server evicts.",
			   "  $ stoa unpin model", argc, argv);
}
