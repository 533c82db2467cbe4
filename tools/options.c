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

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
		 !option->argument               ? ""
		 : option->kind == OPTION_CHOICE ? "[="
						 : " ",
		 option->argument ? option->argument : "", option->kind == OPTION_CHOICE ? "]" : "");
	printf("  %-26s", left);
	if (strlen(left) > 26)
		printf("\n%28s", "");
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		printf(" %.*s\n%28s", (int)(end - line), line, "");
	printf(" %s\n", line);
}

/* How it is called: "stoa ls", or the program alone where it has no commands. */
#define CALL_TEXT 64
static const char *call_of(const struct usage *usage, char buffer[CALL_TEXT])
{
	snprintf(buffer, CALL_TEXT, "%s%s%s", tool_program, usage->command ? " " : "",
		 usage->command ? usage->command : "");
	return buffer;
}

/* What sentences about it begin with, behind the program's name: "ls: ". */
static const char *subject_of(const struct usage *usage, char buffer[CALL_TEXT])
{
	snprintf(buffer, CALL_TEXT, "%s%s", usage->command ? usage->command : "", usage->command ? ": " : "");
	return buffer;
}

static void print_usage(const struct usage *usage)
{
	static const struct option_spec help = {'h', "help", OPTION_FLAG, NULL, NULL, "this text"};
	char call[CALL_TEXT];

	printf("usage: %s [OPTIONS]%s%s\n\n%s\n\noptions:\n", call_of(usage, call), usage->operands[0] ? " " : "",
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
	char subject[CALL_TEXT], call[CALL_TEXT];

	subject_of(usage, subject);
	call_of(usage, call);
	if (nearest)
		return tool_misuse("%sno option '%s'; did you mean '--%s'? Try '%s --help'", subject, given, nearest,
				   call);
	return tool_misuse("%sno option '%s'; try '%s --help'", subject, given, call);
}

static int set_option(const struct usage *usage, const struct option_spec *option, const char *argument)
{
	char command[CALL_TEXT], subject[2 * CALL_TEXT];

	snprintf(subject, sizeof(subject), "%s--%s", subject_of(usage, command), option->name);
	switch (option->kind) {
	case OPTION_FLAG: *(bool *)option->value = true; return TOOL_GO;
	case OPTION_TEXT: *(const char **)option->value = argument; return TOOL_GO;
	case OPTION_CHOICE: *(const char **)option->value = argument ? argument : ""; return TOOL_GO;
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
	char subject[CALL_TEXT], call[CALL_TEXT];

	if (option->kind == OPTION_FLAG || option->kind == OPTION_CHOICE || attached)
		return set_option(parse->usage, option, attached);
	if (parse->at + 1 >= parse->argc)
		return tool_misuse("%s--%s needs %s behind it; try '%s --help'", subject_of(parse->usage, subject),
				   option->name, option->argument, call_of(parse->usage, call));
	return set_option(parse->usage, option, parse->argv[++parse->at]);
}

static int parse_long(struct parse *parse, const char *word)
{
	const struct usage *usage = parse->usage;
	size_t length = strcspn(word, "=");
	const char *attached = word[length] ? word + length + 1 : NULL;
	char name[WORD_MAX + 1], subject[CALL_TEXT];

	snprintf(name, sizeof(name), "%.*s", (int)smaller(length, WORD_MAX), word);
	for (size_t i = 0; i < usage->option_count && length <= WORD_MAX; i++) {
		if (strcmp(usage->options[i].name, name) != 0)
			continue;
		if (usage->options[i].kind == OPTION_FLAG && attached)
			return tool_misuse("%s--%s takes no argument, but got '%s'", subject_of(usage, subject), name,
					   attached);
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
		if (found->kind != OPTION_FLAG && found->kind != OPTION_CHOICE)
			return take_argument(parse, found, letters[1] ? letters + 1 : NULL);
		status = set_option(usage, found, NULL);
		if (status != TOOL_GO)
			return status;
	}
	return TOOL_GO;
}

static int check_operands(const struct usage *usage, int operands, char **argv)
{
	char subject[CALL_TEXT], call[CALL_TEXT];

	subject_of(usage, subject);
	call_of(usage, call);
	if (operands < usage->operands_min)
		return tool_misuse("%sneeds %s; try '%s --help'", subject, usage->operands, call);
	if (usage->operands_max >= 0 && operands > usage->operands_max)
		return tool_misuse("%sdoes not know what to do with '%s'; try '%s --help'", subject,
				   argv[1 + usage->operands_max], call);
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
