/* SPDX-License-Identifier: MIT */
/* Errors, colours and progress: what the tool says beside its results. Uses os/console.h and the public API. */
#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/error.h>
#include <stoa/wait.h>

#include "os/console.h"

#define SENTENCE 1024
#define SAFE_MOST 16 /* bytes of one character made harmless */

const char *tool_program = "stoa";

static bool progress_visible;

/* Sentences are ours but for the names in them: keep backslashes, and make the rest of text_safe()'s list harmless. */
static void make_safe(const char *sentence, char *safe, size_t size)
{
	size_t length = strlen(sentence);
	size_t used = 0;

	for (size_t i = 0; i < length && used + SAFE_MOST < size;) {
		size_t step = utf8_next(sentence + i, length - i, NULL);

		step = step ? step : 1;
		if (sentence[i] == '\\')
			safe[used++] = '\\';
		else
			used += strlen(text_safe(sentence + i, step, safe + used, size - used));
		i += step;
	}
	safe[used] = 0;
}

/* However long the name in it, the reason at its end is told. Without memory what fits is. */
static void print_sentence(const char *kind, const char *format, va_list arguments)
{
	char few[SENTENCE];
	char few_safe[4 * SENTENCE + SAFE_MOST];
	va_list again;
	int length;
	size_t size;
	char *many = NULL;

	va_copy(again, arguments);
	length = vsnprintf(few, sizeof(few), format, arguments);
	size = length > 0 ? (size_t)length + 1 : 1;
	if (size > sizeof(few))
		many = malloc(size + 4 * size + SAFE_MOST);
	if (many) {
		vsnprintf(many, size, format, again);
		make_safe(many, many + size, 4 * size + SAFE_MOST);
	} else {
		make_safe(few, few_safe, sizeof(few_safe));
	}
	va_end(again);
	progress_end();
	fflush(stdout);
	fprintf(stderr, "%s: %s%s\n", tool_program, kind, many ? many + size : few_safe);
	fflush(stderr);
	free(many);
}

int tool_fail_format(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_sentence("", format, arguments);
	va_end(arguments);
	return TOOL_FAILED;
}

int tool_misuse_format(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_sentence("", format, arguments);
	va_end(arguments);
	return TOOL_MISUSE;
}

void tool_warn_format(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_sentence("warning: ", format, arguments);
	va_end(arguments);
}

void tool_note_format(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_sentence("", format, arguments);
	va_end(arguments);
}

int tool_fail_result(const char *subject, int result)
{
	const char *detail = stoa_error_detail();

	if (detail[0] == 0)
		detail = stoa_error_text(result);
	if (subject)
		return tool_fail("%s: %s", subject, detail);
	return tool_fail("%s", detail);
}

int tool_fail_named(const char *name, int result)
{
	const char *detail = stoa_error_detail();
	char subject[TOOL_SUBJECT];

	tool_subject(name, subject);
	if (detail[0] == 0)
		detail = stoa_error_text(result);
	if (strncmp(detail, subject, strlen(subject)) == 0)
		tool_fail("%s", detail);
	else
		tool_fail("%s: %s", subject, detail);
	/* What can never be a name, and options that exclude each other: no matter of this system's state. */
	return result == -STOA_ENAME || result == -STOA_EINVAL ? TOOL_MISUSE : TOOL_FAILED;
}

const char *tool_subject(const char *name, char buffer[TOOL_SUBJECT])
{
	snprintf(buffer, TOOL_SUBJECT, "segment '%s'", name);
	return buffer;
}

static bool colours_wanted(FILE *out)
{
	const char *none = getenv("NO_COLOR");

	return console_knows_escapes(out) && !(none && none[0]);
}

const char *colour(FILE *out, enum colour which)
{
	static const char *const codes[] = {
		[COLOUR_OFF] = "\033[0m",   [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
		[COLOUR_RED] = "\033[31m",  [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
		[COLOUR_BLUE] = "\033[34m", [COLOUR_CYAN] = "\033[36m",
	};

	return colours_wanted(out) ? codes[which] : "";
}

unsigned terminal_width(FILE *out)
{
	unsigned told = console_columns(out);
	const char *text = getenv("COLUMNS");
	uint64_t columns;

	if (told > 0)
		return told;
	if (text && number_parse(text, &columns) && columns >= 20 && columns <= 10000)
		return (unsigned)columns;
	return 80;
}

/* Since the last time, or the first: what is done at once shows no progress. */
static bool tenth_passed(void)
{
	static uint64_t last;
	uint64_t milliseconds = stoa_now() / 1000000;

	if (last && milliseconds - last >= 100) {
		last = milliseconds;
		return true;
	}
	last = last ? last : milliseconds;
	return false;
}

void progress_show_format(const char *format, ...)
{
	char line[SENTENCE];
	char safe[SENTENCE];
	unsigned width;
	va_list arguments;

	if (!console_knows_escapes(stderr) || !tenth_passed())
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	width = terminal_width(stderr);
	text_safe_string(line, safe, width < sizeof(safe) ? width : sizeof(safe));
	fprintf(stderr, "\r\033[K%s", safe);
	fflush(stderr);
	progress_visible = true;
}

void progress_end(void)
{
	if (!progress_visible)
		return;
	progress_visible = false;
	fprintf(stderr, "\r\033[K");
	fflush(stderr);
}
