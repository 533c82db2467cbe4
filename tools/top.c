/* SPDX-License-Identifier: MIT */
/*
 * `stoa top`: channels and all else that has a name, live. On a terminal a screen (top_screen.c), else tables or JSON, one after another.
 * Nothing is joined, changed or kept: who looks is not seen.
 */
#include "top.h"

#include <inttypes.h>
#include <string.h>

#include "os/console.h"
#include "os/screen.h"

const struct table_column top_columns[TOP_COLUMNS] = {
	{"NAME", 0},
	{"KIND", 0},
	{"ENDS", TABLE_RIGHT},
	{"MSG/S", TABLE_RIGHT},
	{"BYTES/S", TABLE_RIGHT},
	{"LAG", TABLE_RIGHT},
	{"USED", TABLE_RIGHT},
	{"SLEEPS/S", TABLE_RIGHT},
	{"USERS", TABLE_RIGHT},
	{"RESIDENT", TABLE_RIGHT},
};

/* "999", "12.3k", "4M" */
static void count_cell(char cell[TOP_CELL], double count)
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	while (count >= 9999.5 && unit + 2 < sizeof(units)) {
		count /= 1000;
		unit++;
	}
	if (unit)
		snprintf(cell, TOP_CELL, "%.*f%c", count < 99.95 ? 1 : 0, count, units[unit]);
	else
		snprintf(cell, TOP_CELL, "%.0f", count);
}

static void size_cell(char cell[TOP_CELL], double bytes)
{
	char text[SIZE_TEXT];

	snprintf(cell, TOP_CELL, "%s", size_text(bytes < 1.8e19 ? (uint64_t)bytes : UINT64_MAX, text));
}

void top_cells(const struct top_row *row, char cells[TOP_COLUMNS][TOP_CELL])
{
	for (size_t i = 0; i < TOP_COLUMNS; i++)
		strcpy(cells[i], "-");
	snprintf(cells[1], TOP_CELL, "%s", row->is_channel ? channel_kind(row->channel_kind) : object_kind(row->kind));
	snprintf(cells[8], TOP_CELL, "%" PRIu32, row->users);
	size_cell(cells[9], (double)row->resident);
	if (!row->is_channel)
		return;
	snprintf(cells[2], TOP_CELL, "%" PRIu32 ":%" PRIu32, row->senders, row->receivers);
	count_cell(cells[3], row->messages);
	size_cell(cells[4], row->bytes);
	count_cell(cells[5], (double)row->totals.lag);
	snprintf(cells[6], TOP_CELL, "%.0f%%", row->ring ? 100.0 * (double)row->totals.used / (double)row->ring : 0.0);
	count_cell(cells[7], row->sleeps);
}

static int print_table(const struct top_sample *sample)
{
	struct table *table = table_create(top_columns, TOP_COLUMNS);
	int status;

	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < sample->count; i++) {
		char cells[TOP_COLUMNS][TOP_CELL];

		top_cells(&sample->rows[i], cells);
		table_cell(table, sample->rows[i].name, COLOUR_BOLD);
		for (size_t column = 1; column < TOP_COLUMNS; column++)
			table_cell(table, cells[column], COLOUR_OFF);
	}
	status = table_print(table, stdout);
	table_destroy(table);
	return status;
}

static void print_json(const struct top_row *row, double seconds)
{
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", row->name);
	json_text(&json, "kind", row->is_channel ? channel_kind(row->channel_kind) : object_kind(row->kind));
	json_bool(&json, "global", (row->flags & STOA_GLOBAL) != 0);
	json_real(&json, "seconds", seconds);
	json_number(&json, "users", row->users);
	json_number(&json, "resident", row->resident);
	if (row->is_channel) {
		json_number(&json, "senders_alive", row->senders);
		json_number(&json, "receivers_alive", row->receivers);
		json_real(&json, "messages_per_second", row->messages);
		json_real(&json, "bytes_per_second", row->bytes);
		json_real(&json, "sleeps_per_second", row->sleeps);
		json_real(&json, "lost_per_second", row->lost);
		json_number(&json, "sent", row->totals.sent);
		json_number(&json, "received", row->totals.received);
		json_number(&json, "lost", row->totals.lost);
		json_number(&json, "lag", row->totals.lag);
		json_number(&json, "lag_bytes", row->totals.lag_bytes);
		json_number(&json, "used", row->totals.used);
		json_number(&json, "rings", row->ring);
	}
	json_end(&json);
}

static int print(const struct top_options *options, struct top_sample *sample, const struct top_sample *before)
{
	top_order(options, sample);
	for (size_t i = 0; options->json && i < sample->count; i++)
		print_json(&sample->rows[i], (double)(sample->time - before->time) / 1e9);
	return options->json ? TOOL_OK : print_table(sample);
}

/* Tables below each other. Rates need two looks, so the first comes after an interval. */
static int print_all(const struct top_options *options)
{
	struct top_sample before, sample;
	int status = top_take(options, NULL, &before);

	if (status != TOOL_GO)
		return status;
	for (uint64_t i = 0; !options->count || i < options->count; i++) {
		screen_pause(options->interval);
		status = top_take(options, &before, &sample);
		if (status != TOOL_GO)
			break;
		if (i && !options->json)
			printf("\n");
		status = print(options, &sample, &before);
		top_drop(&before);
		before = sample;
		if (status != TOOL_OK || fflush(stdout) != 0)
			break;
	}
	top_drop(&before);
	return status;
}

static int parse_sort(const char *word, enum top_sort *ret_sort)
{
	for (enum top_sort sort = 0; word && sort < TOP_SORTS; sort++)
		if (strcmp(word, top_sort_name(sort)) == 0) {
			*ret_sort = sort;
			return TOOL_GO;
		}
	return word ? tool_misuse(
			      "top: no order '%s'; there are name, messages, bytes, lag, used, sleeps, users, memory",
			      word)
		    : TOOL_GO;
}

int command_top(int argc, char **argv)
{
	struct top_options top = {.sort = TOP_MESSAGES};
	const char *sort = NULL;
	bool plain = false;
	const struct option_spec options[] = {
		{'i', "interval", OPTION_DURATION, &top.interval, "TIME", "between two looks (1s)"},
		{'n', "count", OPTION_NUMBER, &top.count, "N", "end after N of them"},
		{'s', "sort", OPTION_TEXT, &sort, "ORDER",
		 "name, messages (the default), bytes, lag, used, sleeps, users\nor memory: the most first"},
		{'r', "reverse", OPTION_FLAG, &top.reverse, NULL, "the other way round"},
		{'p', "plain", OPTION_FLAG, &plain, NULL, "tables below each other, also on a terminal"},
		{'g', "global", OPTION_FLAG, &top.global, NULL, "also names of the host"},
		{0, "json", OPTION_FLAG, &top.json, NULL, "one JSON object per line and look"},
	};
	const struct usage usage = {
		"top",
		"[NAME...]",
		"Show this user's channels, and what else has a name, live: messages and bytes a second, how many are not\n"
		"received yet (LAG), how much of the rings is in use, sleeps a second, living senders:receivers, threads\n"
		"that take part. On a terminal a screen: q quits, s sorts, r reverses, + and - change the interval, space\n"
		"pauses, arrows scroll. Elsewhere, and on Windows, tables: one, or with --count or --interval more.\n"
		"With names, which may be patterns ('frames-*'), only those. Looking joins nothing and changes nothing.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		-1,
		"  $ stoa top                       live\n"
		"  $ stoa top | cat                 one table, of one second\n"
		"  $ stoa top 'frames-*' prices     some of them\n"
		"  $ stoa top --json -i 10s -n 6    a minute, for a program",
	};
	int operands, asked = 0;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse_sort(sort, &top.sort);
	if (status != TOOL_GO)
		return status;
	top.names = argv + 1;
	top.name_count = operands;
	if (!top.count && !top.interval && !console_is_terminal(stdout))
		top.count = 1;
	top.interval = top.interval ? top.interval : UINT64_C(1000000000);
	if (plain || top.json || !top_screen(&top, &status, &asked))
		return print_all(&top);
	if (asked)
		console_end_as(asked);
	return status;
}
