/* SPDX-License-Identifier: MIT */
/*
 * The store's page of `stoa top`: how full it is, how fast objects come and go, and its clients. A server that has ended is looked for again and again: the
 * page says so meanwhile. Uses the public API, live.h and os/screen.h.
 */
#include "top.h"

#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/local.h"
#include "os/names.h"
#include "os/screen.h"

#define COLUMNS 8
#define HEAD_ROWS 5 /* before the first client */
#define NAME_TEXT 64
#define BAR_MOST 40u

static const struct table_column columns[COLUMNS] = {
	{"PID", TABLE_RIGHT},    {"USER", 0},
	{"COMMAND", 0},          {"HOLDS", TABLE_RIGHT},
	{"MADE", TABLE_RIGHT},   {"MAKING", TABLE_RIGHT},
	{"MEMORY", TABLE_RIGHT}, {"WAITS", TABLE_RIGHT},
};
static const unsigned widths[COLUMNS] = {8, 12, 16, 7, 8, 6, 6, 6};

struct top_store {
	const char *where;
	char path[4096];
	struct stoa_store *store; /* NULL: not connected */
	char problem[300];        /* why not */
	struct stoa_store_stat stat;
	uint64_t time; /* of `stat`; 0: none */
	double seconds, puts, deletes, evictions, refusals;
	struct stoa_store_client *clients;
	size_t count, room, first;
	bool failed; /* out of memory */
};

/* ---- looking ---- */

struct top_store *top_store_begin(const char *where)
{
	struct top_store *page = calloc(1, sizeof(*page));

	if (!page)
		return NULL;
	page->where = where && *where ? where : NULL;
	if (page->where)
		snprintf(page->path, sizeof(page->path), "%s", page->where);
	else if (stoa_store_path(page->path, sizeof(page->path)) < 0)
		snprintf(page->path, sizeof(page->path), "(no default)");
	return page;
}

void top_store_end(struct top_store *page)
{
	if (!page)
		return;
	stoa_store_close(page->store);
	free(page->clients);
	free(page);
}

static int note_client(const struct stoa_store_client *client, void *argument)
{
	struct top_store *page = argument;

	if (client->flags & STOA_CLIENT_SELF)
		return 0;
	if (page->count == page->room) {
		size_t room = page->room ? 2 * page->room : 32;
		struct stoa_store_client *clients = realloc(page->clients, room * sizeof(*clients));

		page->failed = !clients;
		if (!clients)
			return 1;
		page->clients = clients;
		page->room = room;
	}
	page->clients[page->count++] = *client;
	return 0;
}

/* Who has made most comes first. */
static int by_charge(const void *left, const void *right)
{
	const struct stoa_store_client *a = left, *b = right;

	if (a->charged != b->charged)
		return a->charged < b->charged ? 1 : -1;
	if (a->leases != b->leases)
		return a->leases < b->leases ? 1 : -1;
	return a->connection < b->connection ? -1 : a->connection > b->connection;
}

static void compare(struct top_store *page, const struct stoa_store_stat *now, uint64_t time)
{
	uint64_t passed = page->time ? time - page->time : 0;

	page->puts = live_rate(now->puts, page->stat.puts, passed);
	page->deletes = live_rate(now->deletes, page->stat.deletes, passed);
	page->evictions = live_rate(now->evictions, page->stat.evictions, passed);
	page->refusals = live_rate(now->refusals, page->stat.refusals, passed);
	page->seconds = (double)passed / 1e9;
	page->stat = *now;
	page->time = time;
}

static int take(struct top_store *page)
{
	struct stoa_store_stat stat;
	int result = page->store ? 0 : stoa_store_open(page->where, NULL, &page->store);

	page->count = 0;
	if (result == 0)
		result = stoa_store_clients(page->store, note_client, page);
	if (page->failed)
		return -STOA_ENOMEM;
	if (result == 0)
		result = stoa_store_stat(page->store, &stat);
	if (result < 0)
		return result;
	/* This one's connection is none that anybody asks about. */
	stat.clients -= stat.clients > 0;
	compare(page, &stat, stoa_now());
	if (page->count > 1)
		qsort(page->clients, page->count, sizeof(*page->clients), by_charge);
	return 0;
}

int top_store_look(struct top_store *page, bool must)
{
	int result = take(page);

	page->problem[0] = 0;
	if (result == 0)
		return TOOL_GO;
	if (must || page->failed)
		return page->failed ? tool_fail("out of memory") : tool_fail_result(NULL, result);
	snprintf(page->problem, sizeof(page->problem), "%s",
		 stoa_error_detail()[0] ? stoa_error_detail() : stoa_error_text(result));
	/* Another one may come; the rates begin anew with it. */
	if (result == -STOA_ECLOSED || !page->store) {
		stoa_store_close(page->store);
		page->store = NULL;
		page->time = 0;
	}
	return TOOL_GO;
}

/* ---- a client's cells ---- */

static void number_cell(char cell[LIVE_CELL], uint32_t number)
{
	snprintf(cell, LIVE_CELL, number ? "%" PRIu32 : "-", number);
}

static void fill_cells(const struct stoa_store_client *client, char cells[COLUMNS][NAME_TEXT])
{
	uint32_t process = client->flags & STOA_CLIENT_ELSEWHERE ? 0 : client->process;

	number_cell(cells[0], process);
	if (!local_user_name(client->user, cells[1], NAME_TEXT))
		snprintf(cells[1], NAME_TEXT, "%" PRIu32, client->user);
	if (!process || !names_process(process, cells[2], NAME_TEXT))
		strcpy(cells[2], "-");
	live_count(cells[3], client->leases);
	live_size(cells[4], (double)client->charged);
	number_cell(cells[5], client->drafts);
	number_cell(cells[6], client->allocations);
	number_cell(cells[7], client->waits);
}

static double share(const struct top_store *page)
{
	return page->stat.limit ? (double)page->stat.committed / (double)page->stat.limit : 0;
}

static void rates_text(const struct top_store *page, char *text, size_t size)
{
	char puts_text[LIVE_CELL], deletes[LIVE_CELL], evictions[LIVE_CELL], refusals[LIVE_CELL];

	live_count(puts_text, page->puts);
	live_count(deletes, page->deletes);
	live_count(evictions, page->evictions);
	live_count(refusals, page->refusals);
	snprintf(text, size, "objects %" PRIu64 "  puts/s %s  deletes/s %s  evictions/s %s  refusals/s %s",
		 page->stat.objects, puts_text, deletes, evictions, refusals);
}

static void memory_text(const struct top_store *page, char *text, size_t size)
{
	char used[SIZE_TEXT], limit[SIZE_TEXT];

	snprintf(text, size, "%s of %s (%.0f%%)", size_text(page->stat.committed, used),
		 size_text(page->stat.limit, limit), 100 * share(page));
}

/* ---- on a screen ---- */

static void show_memory(const struct top_store *page)
{
	char line[LIVE_LINE], text[80], bar[BAR_MOST + 1];
	unsigned width = screen_columns() > 60 ? screen_columns() - 60 + 20 : 20, full;

	width = width > BAR_MOST ? BAR_MOST : width;
	full = (unsigned)(share(page) * width + 0.5);
	for (unsigned i = 0; i < width; i++)
		bar[i] = i < full ? '#' : '.';
	bar[width] = 0;
	memory_text(page, text, sizeof(text));
	snprintf(line, sizeof(line), "memory [%s] %s", bar, text);
	live_line(1, line, 0);
}

static void show_figures(const struct top_store *page)
{
	char line[LIVE_LINE];

	if (page->problem[0]) {
		char safe[300];

		snprintf(line, sizeof(line), "%s", text_safe_string(page->problem, safe, sizeof(safe)));
		live_line(1, line, SCREEN_BOLD);
		return;
	}
	show_memory(page);
	rates_text(page, line, sizeof(line));
	live_line(2, line, 0);
	snprintf(line, sizeof(line), "clients %" PRIu64 "  servers so far %" PRIu64, page->stat.clients,
		 page->stat.servers);
	live_line(3, line, 0);
	line[0] = 0;
	for (unsigned i = 0; i < COLUMNS; i++)
		live_cell(line, columns[i].title, widths[i], columns[i].flags & TABLE_RIGHT);
	live_line(HEAD_ROWS - 1, line, SCREEN_REVERSE);
}

static void show_client(unsigned row, const struct stoa_store_client *client)
{
	char line[LIVE_LINE] = "", cells[COLUMNS][NAME_TEXT], name[LIVE_LINE];

	fill_cells(client, cells);
	for (unsigned i = 0; i < COLUMNS; i++)
		live_cell(line, live_name(cells[i], widths[i], name), widths[i], columns[i].flags & TABLE_RIGHT);
	live_line(row, line, 0);
}

static size_t rows_room(void)
{
	return screen_rows() > HEAD_ROWS + 1 ? screen_rows() - HEAD_ROWS - 1 : 0;
}

void top_store_draw(struct top_store *page, const struct live *live)
{
	char line[LIVE_LINE], now[64] = "", interval[DURATION_TEXT], safe[300];
	char keys[LIVE_LINE] = "q quit  o channels  +/- interval  space pause  arrows scroll";
	size_t room = rows_room();

	if (page->first + room > page->count)
		page->first = page->count > room ? page->count - room : 0;
	local_time_text(time(NULL), now, sizeof(now));
	snprintf(line, sizeof(line), "stoa top  store %s  every %s%s  %.19s",
		 text_safe_string(page->path, safe, sizeof(safe)), duration_text(live->interval, interval),
		 live->paused ? "  PAUSED" : "", now);
	live_line(0, line, SCREEN_BOLD);
	show_figures(page);
	for (size_t i = 0; !page->problem[0] && i < room && page->first + i < page->count; i++)
		show_client((unsigned)i + HEAD_ROWS, &page->clients[page->first + i]);
	if (screen_rows() > HEAD_ROWS)
		live_line(screen_rows() - 1, keys, 0);
	screen_show();
}

void top_store_obey(struct top_store *page, int key)
{
	size_t by = key == SCREEN_PAGE_UP || key == SCREEN_PAGE_DOWN ? rows_room() : 1;

	if (key == SCREEN_UP || key == SCREEN_PAGE_UP)
		page->first -= page->first < by ? page->first : by;
	else if (key == SCREEN_DOWN || key == SCREEN_PAGE_DOWN)
		page->first += by;
}

/* ---- below each other ---- */

static void print_json(const struct top_store *page)
{
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "store", page->path);
	json_real(&json, "seconds", page->seconds);
	json_number(&json, "objects", page->stat.objects);
	json_number(&json, "committed", page->stat.committed);
	json_number(&json, "limit", page->stat.limit);
	json_real(&json, "puts_per_second", page->puts);
	json_real(&json, "deletes_per_second", page->deletes);
	json_real(&json, "evictions_per_second", page->evictions);
	json_real(&json, "refusals_per_second", page->refusals);
	json_number(&json, "servers", page->stat.servers);
	json_array_begin(&json, "clients");
	for (size_t i = 0; i < page->count; i++) {
		const struct stoa_store_client *client = &page->clients[i];

		json_object_begin(&json, NULL);
		if (client->flags & STOA_CLIENT_ELSEWHERE || !client->process)
			json_null(&json, "pid");
		else
			json_number(&json, "pid", client->process);
		json_number(&json, "user", client->user);
		json_number(&json, "leases", client->leases);
		json_number(&json, "charged", client->charged);
		json_number(&json, "drafts", client->drafts);
		json_number(&json, "allocations", client->allocations);
		json_number(&json, "waits", client->waits);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_end(&json);
}

int top_store_print(const struct top_store *page, bool as_json, bool first)
{
	struct table *table;
	char text[400];
	int status;

	if (as_json) {
		print_json(page);
		return TOOL_OK;
	}
	memory_text(page, text, sizeof(text));
	printf("%smemory %s", first ? "" : "\n", text);
	rates_text(page, text, sizeof(text));
	printf("  %s\n", text);
	table = table_create(columns, COLUMNS);
	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < page->count; i++) {
		char cells[COLUMNS][NAME_TEXT];

		fill_cells(&page->clients[i], cells);
		for (size_t column = 0; column < COLUMNS; column++)
			table_cell(table, cells[column], COLOUR_OFF);
	}
	status = table_print(table, stdout);
	table_destroy(table);
	return status;
}
