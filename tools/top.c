/* SPDX-License-Identifier: MIT */
/*
 * `stoa top`: channels and all else that has a name, live. On a terminal a screen (top_screen.c), else tables or JSON, one after another.
 * Nothing is joined, changed or kept: who looks is not seen.
 */
#include "top.h"

#include <inttypes.h>
#include <string.h>

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

void top_cells(const struct top_row *row, char cells[TOP_COLUMNS][LIVE_CELL])
{
	for (size_t i = 0; i < TOP_COLUMNS; i++)
		strcpy(cells[i], "-");
	snprintf(cells[1], LIVE_CELL, "%s", row->is_channel ? channel_kind(row->channel_kind) : object_kind(row->kind));
	snprintf(cells[8], LIVE_CELL, "%" PRIu32, row->users);
	live_size(cells[9], (double)row->resident);
	if (!row->is_channel)
		return;
	snprintf(cells[2], LIVE_CELL, "%" PRIu32 ":%" PRIu32, row->senders, row->receivers);
	live_count(cells[3], row->messages);
	live_size(cells[4], row->bytes);
	live_count(cells[5], (double)row->totals.lag);
	snprintf(cells[6], LIVE_CELL, "%.0f%%", row->ring ? 100.0 * (double)row->totals.used / (double)row->ring : 0.0);
	live_count(cells[7], row->sleeps);
}

static int print_table(const struct top_sample *sample)
{
	struct table *table = table_create(top_columns, TOP_COLUMNS);
	int status;

	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < sample->count; i++) {
		char cells[TOP_COLUMNS][LIVE_CELL];

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

static int look(void *context)
{
	struct top *top = context;
	struct top_sample now;
	int status;

	if (top->shows_store)
		return top_store_look(top->store, !top->on_screen);
	status = top_take(&top->options, &top->sample, &now);

	if (status != TOOL_GO)
		return status;
	top_drop(&top->sample);
	top->sample = now;
	top_order(&top->options, &top->sample);
	return TOOL_GO;
}

static int print(void *context, bool first)
{
	const struct top *top = context;

	if (top->shows_store)
		return top_store_print(top->store, top->options.json, first);
	for (size_t i = 0; top->options.json && i < top->sample.count; i++)
		print_json(&top->sample.rows[i], top->sample.seconds);
	if (top->options.json)
		return TOOL_OK;
	if (!first)
		printf("\n");
	return print_table(&top->sample);
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
	static const struct live_calls calls = {look, top_draw, top_obey, print};
	struct top top = {.options.sort = TOP_MESSAGES, .live = {.calls = &calls, .context = &top}};
	const char *sort = NULL;
	const char *where = NULL;
	bool plain = false;
	const struct option_spec options[] = {
		{'i', "interval", OPTION_DURATION, &top.live.interval, "TIME", "between two looks (1s)"},
		{'n', "count", OPTION_NUMBER, &top.live.count, "N", "end after N of them"},
		{'s', "sort", OPTION_TEXT, &sort, "ORDER",
		 "name, messages (the default), bytes, lag, used, sleeps, users\nor memory: the most first"},
		{'r', "reverse", OPTION_FLAG, &top.options.reverse, NULL, "the other way round"},
		{'p', "plain", OPTION_FLAG, &plain, NULL, "tables below each other, also on a terminal"},
		{'g', "global", OPTION_FLAG, &top.options.global, NULL, "also names of the host"},
		{0, "store", OPTION_CHOICE, &where, "PATH",
		 "an object store instead: that of the server at this socket, or\nthe default one"},
		{0, "json", OPTION_FLAG, &top.options.json, NULL, "one JSON object per line and look"},
	};
	const struct usage usage = {
		"top",
		"[NAME...]",
		"Show this user's channels, and what else has a name, live: messages and bytes a second, how many are not\n"
		"received yet (LAG), how much of the rings is in use, sleeps a second, living senders:receivers, threads\n"
		"that take part. On a terminal a screen: q quits, s sorts, r reverses, + and - change the interval, space\n"
		"pauses, arrows scroll, o shows the object store and its clients. Elsewhere, and on Windows, tables: one, or with --count or --interval more.\n"
		"With names, which may be patterns ('frames-*'), only those. Looking joins nothing and changes nothing.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		-1,
		"  $ stoa top                       live\n"
		"  $ stoa top | cat                 one table, of one second\n"
		"  $ stoa top 'frames-*' prices     some of them\n"
		"  $ stoa top --json -i 10s -n 6    a minute, for a program\n"
		"  $ stoa top --store               an object store: how full, how fast, whose",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = parse_sort(sort, &top.options.sort);
	if (status != TOOL_GO)
		return status;
	top.options.names = argv + 1;
	top.options.name_count = operands;
	top.shows_store = where != NULL;
	if (where && (operands || sort || top.options.reverse || top.options.global))
		return tool_misuse("top: --store goes with neither NAME, --sort, --reverse nor --global");
	top.store = top_store_begin(where);
	if (!top.store)
		return tool_fail("out of memory");
	status = live_run(&top.live, plain || top.options.json);
	top_store_end(top.store);
	top_drop(&top.sample);
	return status;
}
