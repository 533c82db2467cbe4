/* SPDX-License-Identifier: MIT */
/* `stoa doctor`: what this system offers, what follows, and how to turn on what is off. The probes are in os/. */
#include "tool.h"

#include "os/doctor.h"

#include <string.h>

struct counts {
	size_t ok;
	size_t warn;
	size_t off;
};

static const char *level_name(enum doctor_level level)
{
	return level == DOCTOR_OK ? "ok" : level == DOCTOR_WARN ? "warn" : "off";
}

static enum colour level_colour(enum doctor_level level)
{
	return level == DOCTOR_OK ? COLOUR_GREEN : level == DOCTOR_WARN ? COLOUR_YELLOW : COLOUR_RED;
}

/* Words of `text` in lines of `width`, each behind `indent` blanks; the first line is begun already. */
static void print_wrapped(const char *text, int indent, int width)
{
	int at = 0;

	while (*text) {
		int word = (int)strcspn(text, " ");

		if (at > 0 && at + 1 + word > width) {
			printf("\n%*s", indent, "");
			at = 0;
		}
		at += printf("%s%.*s", at > 0 ? " " : "", word, text);
		text += word;
		text += strspn(text, " ");
	}
	printf("\n");
}

static void print_line(const char *label, const char *text, int width)
{
	if (!text[0])
		return;
	printf("%24s%s%s%s ", "", colour(stdout, COLOUR_DIM), label, colour(stdout, COLOUR_OFF));
	print_wrapped(text, 24 + (int)strlen(label) + 1, width - 25 - (int)strlen(label));
}

static void print_finding(const struct doctor_finding *finding)
{
	char state[2 * sizeof(finding->state)];
	unsigned columns = terminal_width(stdout);
	int width = columns < 60 ? 60 : columns > 120 ? 120 : (int)columns;

	text_safe_string(finding->state, state, sizeof(state));
	printf("%s%-5s%s %-17s ", colour(stdout, level_colour(finding->level)), level_name(finding->level),
	       colour(stdout, COLOUR_OFF), finding->topic);
	print_wrapped(state, 24, width - 24);
	print_line("so:", finding->consequence, width);
	print_line("do:", finding->remedy, width);
}

static void print_json(const struct doctor_finding *finding)
{
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "topic", finding->topic);
	json_text(&json, "level", level_name(finding->level));
	json_text(&json, "state", finding->state);
	json_text(&json, "consequence", finding->consequence);
	json_text(&json, "remedy", finding->remedy);
	json_end(&json);
}

static void count(struct counts *counts, enum doctor_level level)
{
	counts->ok += level == DOCTOR_OK;
	counts->warn += level == DOCTOR_WARN;
	counts->off += level == DOCTOR_OFF;
}

int command_doctor(int argc, char **argv)
{
	bool json = false;
	bool quiet = false;
	const struct option_spec options[] = {
		{'q', "quiet", OPTION_FLAG, &quiet, NULL, "only what is not as it should be"},
		{0, "json", OPTION_FLAG, &json, NULL, "one JSON object per line"},
	};
	const struct usage usage = {
		"doctor",
		"",
		"Tell what this system offers to stoa: for each thing whether it is there, what follows where it is not,\n"
		"and how to turn it on. Changes nothing. 'ok' is as it should be, 'warn' works with a consequence, 'off'\n"
		"is not there and stoa does without it. The exit status is 0 whatever is found.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		0,
		"  $ stoa doctor                 everything\n"
		"  $ stoa doctor --quiet         what could be better\n"
		"  $ stoa doctor --json | jq -r 'select(.level != \"ok\") | .remedy'",
	};
	struct doctor_finding finding;
	struct counts counts = {0};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	for (size_t i = 0; doctor_probe(i, &finding); i++) {
		count(&counts, finding.level);
		if (quiet && finding.level == DOCTOR_OK)
			continue;
		if (json)
			print_json(&finding);
		else
			print_finding(&finding);
	}
	if (!json)
		printf("\n%zu ok, %zu warn, %zu off\n", counts.ok, counts.warn, counts.off);
	return TOOL_OK;
}
