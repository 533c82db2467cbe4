/* SPDX-License-Identifier: MIT */
/*
 * A reader of Prometheus' text format that lets nothing pass: lines, names, labels and their escapes, values, one HELP and one TYPE of each metric before its
 * samples, all samples of a metric together, no series twice. Beyond the format: each metric has both, and counters end with _total.
 */
#include <store/exposition.h>

#include <harness/test.h>
#include <stdio.h>
#include <stdlib.h>

#define SERIES_MAX 500
#define NAME_ROOM 128

struct reader {
	const char *at;
	unsigned line;
	char current[NAME_ROOM]; /* the metric whose lines these are */
	bool help, type, counter, sampled;
	char *seen[SERIES_MAX]; /* metrics as "# name", series as they are written */
	unsigned seen_count;
	char wrong[200];
};

static bool fail(struct reader *reader, const char *why)
{
	if (!reader->wrong[0])
		snprintf(reader->wrong, sizeof(reader->wrong), "line %u: %s", reader->line, why);
	return false;
}

static bool begins_name(char letter, bool label)
{
	return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_' ||
	       (letter == ':' && !label);
}

static bool read_name(struct reader *reader, bool label, char name[NAME_ROOM])
{
	size_t length = 0;

	while (begins_name(*reader->at, label) || (length && *reader->at >= '0' && *reader->at <= '9')) {
		if (length == NAME_ROOM - 1)
			return fail(reader, "a name is very long");
		name[length++] = *reader->at++;
	}
	name[length] = 0;
	return length ? true : fail(reader, "there is no name");
}

static bool read_char(struct reader *reader, char wanted, const char *why)
{
	if (*reader->at != wanted)
		return fail(reader, why);
	reader->at++;
	return true;
}

/* Once only. */
static bool note(struct reader *reader, const char *format, const char *text, size_t length, const char *why)
{
	char line[1024];

	snprintf(line, sizeof(line), format, (int)length, text);
	for (unsigned i = 0; i < reader->seen_count; i++)
		if (strcmp(reader->seen[i], line) == 0)
			return fail(reader, why);
	if (reader->seen_count == SERIES_MAX)
		return fail(reader, "there are more series than this reader knows");
	reader->seen[reader->seen_count++] = strdup(line);
	return true;
}

/* The metric that the next lines are about; another one than before begins. */
static bool enter(struct reader *reader, const char *name)
{
	if (strcmp(reader->current, name) == 0)
		return true;
	if (reader->current[0] && !reader->sampled)
		return fail(reader, "the metric before has no sample");
	if (!note(reader, "# %.*s", name, strlen(name), "a metric's lines are not together"))
		return false;
	snprintf(reader->current, sizeof(reader->current), "%s", name);
	reader->help = reader->type = reader->counter = reader->sampled = false;
	return true;
}

static bool read_help(struct reader *reader)
{
	char name[NAME_ROOM];

	if (!read_name(reader, false, name) || !enter(reader, name) ||
	    !read_char(reader, ' ', "no blank behind a name"))
		return false;
	if (reader->help || reader->sampled)
		return fail(reader, "HELP comes twice, or late");
	reader->help = true;
	if (*reader->at == '\n')
		return fail(reader, "a help that says nothing");
	for (; *reader->at && *reader->at != '\n'; reader->at++)
		if (*reader->at == '\\' && *++reader->at != '\\' && *reader->at != 'n')
			return fail(reader, "an escape in a help that is none");
	return true;
}

static bool read_type(struct reader *reader)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "summary", "untyped"};
	char name[NAME_ROOM], type[NAME_ROOM];
	size_t length, i = 0;

	if (!read_name(reader, false, name) || !enter(reader, name) ||
	    !read_char(reader, ' ', "no blank behind a name") || !read_name(reader, false, type))
		return false;
	if (reader->type || reader->sampled)
		return fail(reader, "TYPE comes twice, or late");
	while (i < CC_COUNT(types) && strcmp(types[i], type) != 0)
		i++;
	if (i == CC_COUNT(types))
		return fail(reader, "no such type");
	reader->type = true;
	reader->counter = i == 0;
	length = strlen(name);
	if (reader->counter != (length > 6 && strcmp(name + length - 6, "_total") == 0))
		return fail(reader, "counters, and nothing else, end with _total");
	return true;
}

static bool read_label_value(struct reader *reader)
{
	if (!read_char(reader, '"', "a label's value is not quoted"))
		return false;
	while (*reader->at != '"') {
		if (!*reader->at || *reader->at == '\n')
			return fail(reader, "a label's value does not end");
		if (*reader->at == '\\' && *++reader->at != '\\' && *reader->at != '"' && *reader->at != 'n')
			return fail(reader, "an escape in a label's value that is none");
		reader->at++;
	}
	reader->at++;
	return true;
}

static bool read_labels(struct reader *reader)
{
	char name[NAME_ROOM];

	if (*reader->at != '{')
		return true;
	do {
		reader->at++;
		if (!read_name(reader, true, name) || !read_char(reader, '=', "no = behind a label's name") ||
		    !read_label_value(reader))
			return false;
	} while (*reader->at == ',');
	return read_char(reader, '}', "labels do not end");
}

static bool read_value(struct reader *reader)
{
	char *end;
	double value;

	if (*reader->at == ' ' || *reader->at == '\n')
		return fail(reader, "there is no value");
	value = strtod(reader->at, &end);
	if (end == reader->at)
		return fail(reader, "a value is no number");
	if (reader->counter && !(value >= 0))
		return fail(reader, "a counter is negative");
	reader->at = end;
	return true;
}

static bool read_sample(struct reader *reader)
{
	const char *begin = reader->at;
	char name[NAME_ROOM];

	if (!read_name(reader, false, name) || !enter(reader, name))
		return false;
	if (!reader->help || !reader->type)
		return fail(reader, "a sample without HELP and TYPE before it");
	reader->sampled = true;
	if (!read_labels(reader) || !note(reader, "%.*s", begin, (size_t)(reader->at - begin), "a series comes twice"))
		return false;
	return read_char(reader, ' ', "no blank before a value") && read_value(reader);
}

static bool read_line(struct reader *reader)
{
	bool good;

	reader->line++;
	if (strncmp(reader->at, "# HELP ", 7) == 0) {
		reader->at += 7;
		good = read_help(reader);
	} else if (strncmp(reader->at, "# TYPE ", 7) == 0) {
		reader->at += 7;
		good = read_type(reader);
	} else {
		good = read_sample(reader);
	}
	return good && read_char(reader, '\n', "something behind the line, or no end");
}

const char *metrics_wrong(const char *text)
{
	static struct reader reader;

	reader = (struct reader){.at = text};
	while (*reader.at && read_line(&reader))
		;
	if (!reader.wrong[0] && !reader.sampled)
		fail(&reader, "the last metric has no sample");
	while (reader.seen_count)
		free(reader.seen[--reader.seen_count]);
	return reader.wrong[0] ? reader.wrong : NULL;
}

void metrics_check(const char *text)
{
	const char *wrong = metrics_wrong(text);

	if (wrong)
		test_fail(__FILE__, __LINE__, "metrics: %s", wrong);
}

double metrics_value(const char *text, const char *series)
{
	size_t length = strlen(series);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, length) == 0 && line[length] == ' ')
			return strtod(line + length + 1, NULL);
	}
	test_fail(__FILE__, __LINE__, "metrics: there is no '%s'", series);
	return 0;
}
