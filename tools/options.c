/* SPDX-License-Identifier: MIT */
/*
 * Command lines from a table: parsing, help and "did you mean". Uses libc only. Our own rather than getopt_long(), as the same table
 * must also print the help, convert the arguments, and name what it does not know.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define WORD_MAX 32

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits (insert, drop, change, swap two neighbours) that turn `a` into `b`; both at most WORD_MAX long. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[WORD_MAX + 1][WORD_MAX + 1];
	size_t m = strlen(a);
	size_t n = strlen(b);

	for (size_t i = 0; i <= m; i++)
		rows[i][0] = i;
	for (size_t k = 0; k <= n; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= m; i++) {
		for (size_t k = 1; k <= n; k++) {
			size_t best = rows[i - 1][k - 1] + (a[i - 1] != b[k - 1]);

			best = smaller(best, smaller(rows[i - 1][k], rows[i][k - 1]) + 1);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				best = smaller(best, rows[i - 2][k - 2] + 1);
			rows[i][k] = best;
		}
	}
	return rows[m][n];
}

const char *nearest_word(const char *word, const char *(*next)(const void *list, size_t i), const void *list)
{
	const char *nearest = NULL;
	const char *entry;
	size_t best = strlen(word) <= 3 ? 2 : 3; /* first distance that is too far */

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; (entry = next(list, i)) != NULL; i++) {
		size_t distance = strlen(entry) <= WORD_MAX ? edit_distance(word, entry) : best;

		if (distance < best) {
			best = distance;
			nearest = entry;
		}
	}
	return nearest;
}

static const char *option_name(const void *list, size_t i)
{
	const struct usage *usage = list;

	if (i < usage->option_count)
		return usage->options[i].name;
	return i == usage->option_count ? "help" : NULL;
}

/* The option's left column, "-n, --name GLOB", and its lines of help in the right one. */
static void print_option(const struct option_spec *option)
{
	char left[64];
	const char *line = option->help;
	const char *end;

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
		 option->argument ? " " : "", option->argument ? option->argument : "");
	printf("  %-26s", left);
	if (strlen(left) > 26)
		printf("\n%28s", "");
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		printf(" %.*s\n%28s", (int)(end - line), line, "");
	printf(" %s\n", line);
}

static void print_usage(const struct usage *usage)
{
	static const struct option_spec help = {'h', "help", OPTION_FLAG, NULL, NULL, "this text"};

	printf("usage: stoa %s [OPTIONS]%s%s\n\n%s\n\noptions:\n", usage->command, usage->operands[0] ? " " : "",
	       usage->operands, usage->about);
	for (size_t i = 0; i < usage->option_count; i++)
		print_option(&usage->options[i]);
	print_option(&help);
	if (usage->examples)
		printf("\nexamples:\n%s\n", usage->examples);
}

static int unknown_option(const struct usage *usage, const char *given, const char *name)
{
	const char *nearest = nearest_word(name, option_name, usage);

	if (nearest)
		return tool_misuse("%s: no option '%s'; did you mean '--%s'? Try 'stoa %s --help'", usage->command,
				   given, nearest, usage->command);
	return tool_misuse("%s: no option '%s'; try 'stoa %s --help'", usage->command, given, usage->command);
}

static int set_option(const struct usage *usage, const struct option_spec *option, const char *argument)
{
	char subject[64];

	snprintf(subject, sizeof(subject), "%s: --%s", usage->command, option->name);
	switch (option->kind) {
	case OPTION_FLAG: *(bool *)option->value = true; return TOOL_GO;
	case OPTION_TEXT: *(const char **)option->value = argument; return TOOL_GO;
	case OPTION_NUMBER: return number_argument(subject, argument, option->value);
	case OPTION_SIZE: return size_argument(subject, argument, option->value);
	case OPTION_DURATION: return duration_argument(subject, argument, option->value);
	}
	return TOOL_GO;
}

/* Where the parser is. */
struct parse {
	const struct usage *usage;
	int argc;
	char **argv;
	int at;
	int operands;
};

/* The option's argument: `attached` (behind = or the letter), else the next word. */
static int take_argument(struct parse *parse, const struct option_spec *option, const char *attached)
{
	if (option->kind == OPTION_FLAG || attached)
		return set_option(parse->usage, option, attached);
	if (parse->at + 1 >= parse->argc)
		return tool_misuse("%s: --%s needs %s behind it; try 'stoa %s --help'", parse->usage->command,
				   option->name, option->argument, parse->usage->command);
	return set_option(parse->usage, option, parse->argv[++parse->at]);
}

static int parse_long(struct parse *parse, const char *word)
{
	const struct usage *usage = parse->usage;
	size_t length = strcspn(word, "=");
	const char *attached = word[length] ? word + length + 1 : NULL;
	char name[WORD_MAX + 1];

	snprintf(name, sizeof(name), "%.*s", (int)smaller(length, WORD_MAX), word);
	for (size_t i = 0; i < usage->option_count && length <= WORD_MAX; i++) {
		if (strcmp(usage->options[i].name, name) != 0)
			continue;
		if (usage->options[i].kind == OPTION_FLAG && attached)
			return tool_misuse("%s: --%s takes no argument, but got '%s'", usage->command, name, attached);
		return take_argument(parse, &usage->options[i], attached);
	}
	if (strcmp(name, "help") == 0 && !attached) {
		print_usage(usage);
		return TOOL_OK;
	}
	return unknown_option(usage, word - 2, name);
}

/* -a, or several in one word: -ab; the rest of the word is the argument of one that takes any. */
static int parse_short(struct parse *parse, const char *letters)
{
	const struct usage *usage = parse->usage;

	for (; *letters; letters++) {
		const struct option_spec *found = NULL;
		const char given[3] = {'-', *letters, 0};
		int status;

		for (size_t i = 0; i < usage->option_count && !found; i++)
			if (usage->options[i].letter == *letters)
				found = &usage->options[i];
		if (!found && *letters == 'h') {
			print_usage(usage);
			return TOOL_OK;
		}
		if (!found)
			return unknown_option(usage, given, letters);
		if (found->kind != OPTION_FLAG)
			return take_argument(parse, found, letters[1] ? letters + 1 : NULL);
		status = set_option(usage, found, NULL);
		if (status != TOOL_GO)
			return status;
	}
	return TOOL_GO;
}

static int check_operands(const struct usage *usage, int operands, char **argv)
{
	if (operands < usage->operands_min)
		return tool_misuse("%s: needs %s; try 'stoa %s --help'", usage->command, usage->operands,
				   usage->command);
	if (usage->operands_max >= 0 && operands > usage->operands_max)
		return tool_misuse("%s: does not know what to do with '%s'; try 'stoa %s --help'", usage->command,
				   argv[1 + usage->operands_max], usage->command);
	return TOOL_GO;
}

int options_parse(const struct usage *usage, int argc, char **argv, int *ret_operands)
{
	struct parse parse = {usage, argc, argv, 1, 0};
	bool options_end = false;

	for (; parse.at < argc; parse.at++) {
		char *word = argv[parse.at];
		int status = TOOL_GO;

		if (options_end || word[0] != '-' || word[1] == 0)
			argv[1 + parse.operands++] = word;
		else if (strcmp(word, "--") == 0)
			options_end = true;
		else if (word[1] == '-')
			status = parse_long(&parse, word + 2);
		else
			status = parse_short(&parse, word + 1);
		if (status != TOOL_GO)
			return status;
	}
	*ret_operands = parse.operands;
	return check_operands(usage, parse.operands, argv);
}
