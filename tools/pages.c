/* SPDX-License-Identifier: MIT */
/*
 * `stoa pages`: pagers live. On a terminal a screen, with the one that is chosen in more detail, else tables or JSON, one after another. Nothing is
 * joined, changed or kept: who looks is not seen.
 */
#include "live.h"
#include "pager.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/local.h"
#include "os/screen.h"

/* One pager, as it is now, and since the look before. */
struct page_row {
	char *name;
	uint32_t flags;
	uint64_t identity; /* the same name can be another object */
	struct stoa_pager_stat stat;
	bool compared; /* it was there before, and these are since then: */
	double seconds;
	uint64_t faults, fills, fill_calls, refaults, writes, evictions, hits, misses;
	uint64_t latency[STOA_PAGER_LATENCIES];
};

struct pages {
	struct live live;
	bool json, global, picture;
	char *const *names;
	int name_count;
	uint64_t time;
	struct page_row *rows;
	size_t count, room;
	bool failed;
	size_t chosen; /* on the screen */
};

static void drop(struct page_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(rows[i].name);
	free(rows);
}

/* ---- looking ---- */

static int add(struct pages *pages, const struct stoa_segment_entry *found, const struct object *object,
	       const struct stoa_pager_stat *stat)
{
	struct page_row *row;

	if (pages->count == pages->room) {
		size_t room = pages->room ? 2 * pages->room : 16;
		struct page_row *rows = realloc(pages->rows, room * sizeof(*rows));

		pages->failed = !rows;
		if (!rows)
			return 1;
		pages->rows = rows;
		pages->room = room;
	}
	row = &pages->rows[pages->count];
	*row = (struct page_row){.name = strdup(found->name), .flags = found->flags, .identity = object->is.identity};
	row->stat = *stat;
	pages->failed = !row->name;
	pages->count += row->name != NULL;
	return pages->failed;
}

/* What has gone meanwhile, or is another user's, is left out. */
static int gather(const struct stoa_segment_entry *found, void *argument)
{
	struct pages *pages = argument;
	struct object object = {.name = found->name};
	struct stoa_pager_stat stat;

	if (!live_wants(pages->names, pages->name_count, found->name) ||
	    stoa_inspect_open(found->name, found->flags & STOA_GLOBAL, &object.inspector) < 0)
		return 0;
	if (stoa_inspect_get(object.inspector, &object.is) == 0 && pager_inspect(&object, &stat))
		(void)add(pages, found, &object, &stat);
	object_close(&object);
	return pages->failed;
}

static uint64_t more(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void compare(struct page_row *row, const struct page_row *old, double seconds)
{
	if (old->identity != row->identity || (old->flags ^ row->flags) & STOA_GLOBAL ||
	    strcmp(old->name, row->name) != 0)
		return;
	row->compared = true;
	row->seconds = seconds;
	row->faults = more(row->stat.faults, old->stat.faults);
	row->fills = more(row->stat.fills, old->stat.fills);
	row->fill_calls = more(row->stat.fill_calls, old->stat.fill_calls);
	row->refaults = more(row->stat.refaults, old->stat.refaults);
	row->writes = more(row->stat.writes, old->stat.writes);
	row->evictions = more(row->stat.evictions, old->stat.evictions);
	row->hits = more(row->stat.hits, old->stat.hits);
	row->misses = more(row->stat.misses, old->stat.misses);
	for (unsigned i = 0; i < STOA_PAGER_LATENCIES; i++)
		row->latency[i] = more(row->stat.latency[i], old->stat.latency[i]);
}

static int by_name(const void *left, const void *right)
{
	const struct page_row *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order ? order : (a->flags & STOA_GLOBAL) > (b->flags & STOA_GLOBAL);
}

static int look(void *context)
{
	struct pages *pages = context;
	struct page_row *before = pages->rows;
	size_t count = pages->count;
	uint64_t time = stoa_now();
	double seconds = (double)(time - pages->time) / 1e9;
	int result;

	pages->rows = NULL;
	pages->count = pages->room = 0;
	result = stoa_segment_list(0, gather, pages);
	if (result >= 0 && !pages->failed && pages->global)
		result = stoa_segment_list(STOA_GLOBAL, gather, pages);
	for (size_t i = 0; i < pages->count; i++)
		for (size_t k = 0; k < count; k++)
			compare(&pages->rows[i], &before[k], seconds);
	drop(before, count);
	pages->time = time;
	if (pages->failed || result < 0)
		return pages->failed ? tool_fail("out of memory") : tool_fail_result(NULL, result);
	if (pages->count > 1)
		qsort(pages->rows, pages->count, sizeof(pages->rows[0]), by_name);
	return TOOL_GO;
}

/* ---- cells ---- */

#define COLUMNS 11
#define P50 8

static const struct table_column columns[COLUMNS] = {
	{"NAME", 0},
	{"RESIDENT", TABLE_RIGHT},
	{"USED", TABLE_RIGHT},
	{"DIRTY", TABLE_RIGHT},
	{"FAULTS/S", TABLE_RIGHT},
	{"FILLS/S", TABLE_RIGHT},
	{"HIT", TABLE_RIGHT},
	{"REFAULT", TABLE_RIGHT},
	[P50] = {"P50", TABLE_RIGHT},
	{"P99", TABLE_RIGHT},
	{"PROCS", TABLE_RIGHT},
};

static double per_second(const struct page_row *row, uint64_t count)
{
	return row->seconds > 0 ? (double)count / row->seconds : 0;
}

/* In the time that was looked at; if nothing was seen in it, since it was made. */
struct hits {
	uint64_t hits, all;
};

static struct hits hits_shown(const struct page_row *row)
{
	struct hits now = {row->hits, row->hits + row->misses};

	return now.all ? now : (struct hits){row->stat.hits, row->stat.hits + row->stat.misses};
}

static void percent_cell(char cell[LIVE_CELL], uint64_t part, uint64_t all)
{
	char percent[PAGER_PERCENT];

	snprintf(cell, LIVE_CELL, "%s", pager_percent(part, all, percent));
}

static void fill_cells(const struct page_row *row, char cells[COLUMNS][LIVE_CELL])
{
	const struct stoa_pager_stat *stat = &row->stat;
	struct hits hits = hits_shown(row);
	char bucket[PAGER_BUCKET];

	live_size(cells[1], (double)stat->resident * stat->block);
	percent_cell(cells[2], stat->resident, stat->budget);
	live_size(cells[3], (double)stat->dirty * stat->block);
	live_count(cells[4], per_second(row, row->faults));
	live_count(cells[5], per_second(row, row->fills));
	percent_cell(cells[6], hits.hits, hits.all);
	percent_cell(cells[7], row->refaults, row->fills);
	snprintf(cells[8], LIVE_CELL, "%s", pager_bucket(pager_latency(row->latency, 0.5), bucket));
	snprintf(cells[9], LIVE_CELL, "%s", pager_bucket(pager_latency(row->latency, 0.99), bucket));
	snprintf(cells[10], LIVE_CELL, "%" PRIu32, stat->members_alive);
}

/* ---- below each other ---- */

static void print_json(const struct page_row *row)
{
	struct hits hits = hits_shown(row);
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", row->name);
	json_bool(&json, "global", (row->flags & STOA_GLOBAL) != 0);
	json_real(&json, "seconds", row->seconds);
	json_real(&json, "faults_per_second", per_second(row, row->faults));
	json_real(&json, "fills_per_second", per_second(row, row->fills));
	json_real(&json, "refaults_per_second", per_second(row, row->refaults));
	json_real(&json, "writes_per_second", per_second(row, row->writes));
	json_real(&json, "evictions_per_second", per_second(row, row->evictions));
	json_real(&json, "hit_ratio", hits.all ? (double)hits.hits / (double)hits.all : NAN);
	pager_json_fields(&json, &row->stat, true);
	json_end(&json);
}

static void print_line(void *argument, const char *text)
{
	(void)argument;
	printf("%s\n", text);
}

static bool any_latency(const struct page_row *row)
{
	return pager_latency(row->latency, 1) < STOA_PAGER_LATENCIES;
}

/* In the time that was looked at; if nothing happened in it, since it was made. */
static const uint64_t *latency_shown(const struct page_row *row, char *title, size_t size)
{
	bool now = any_latency(row);

	snprintf(title, size, "how long faults took %s:", now ? "since the look before" : "since it was made");
	return now ? row->latency : row->stat.latency;
}

static void print_picture(const struct page_row *row)
{
	char title[64], name[LIVE_LINE], shape[PAGER_SHAPE];
	const uint64_t *latency = latency_shown(row, title, sizeof(title));

	printf("\n%s: %s; %s\n", text_safe_string(row->name, name, sizeof(name)), pager_shape(&row->stat, shape),
	       title);
	pager_picture(latency, terminal_width(stdout), STOA_PAGER_LATENCIES, print_line, NULL);
}

static int print_table(const struct pages *pages)
{
	struct table *table = table_create(columns, COLUMNS);
	int status;

	if (!table)
		return tool_fail("out of memory");
	for (size_t i = 0; i < pages->count; i++) {
		char cells[COLUMNS][LIVE_CELL];

		fill_cells(&pages->rows[i], cells);
		table_cell(table, pages->rows[i].name, COLOUR_BOLD);
		for (size_t column = 1; column < COLUMNS; column++)
			table_cell(table, cells[column], COLOUR_OFF);
	}
	status = table_print(table, stdout);
	table_destroy(table);
	for (size_t i = 0; i < pages->count && pages->picture; i++)
		print_picture(&pages->rows[i]);
	return status;
}

static int print(void *context, bool first)
{
	const struct pages *pages = context;

	for (size_t i = 0; pages->json && i < pages->count; i++)
		print_json(&pages->rows[i]);
	if (pages->json)
		return TOOL_OK;
	if (!first)
		printf("\n");
	return print_table(pages);
}

/* ---- on a screen ---- */

#define WIDE 90 /* columns from which on P50 is shown, too */

static const unsigned widths[COLUMNS] = {0, 8, 4, 7, 8, 7, 4, 7, 7, 7, 5};

static bool is_shown(unsigned column)
{
	return column != P50 || screen_columns() >= WIDE;
}

static unsigned name_width(void)
{
	unsigned shown[COLUMNS], count = 0;

	for (unsigned i = 0; i < COLUMNS; i++)
		if (is_shown(i))
			shown[count++] = widths[i];
	return live_name_width(shown, count);
}

static void show_head(const struct pages *pages)
{
	char line[LIVE_LINE], now[64] = "", interval[DURATION_TEXT];

	local_time_text(time(NULL), now, sizeof(now));
	snprintf(line, sizeof(line), "stoa pages  %zu %s  every %s%s  %.19s", pages->count,
		 pages->count == 1 ? "pager" : "pagers", duration_text(pages->live.interval, interval),
		 pages->live.paused ? "  PAUSED" : "", now);
	live_line(0, line, SCREEN_BOLD);
	line[0] = 0;
	live_cell(line, "NAME", name_width(), false);
	for (unsigned i = 1; i < COLUMNS; i++)
		if (is_shown(i))
			live_cell(line, columns[i].title, widths[i], columns[i].flags & TABLE_RIGHT);
	live_line(1, line, SCREEN_REVERSE);
}

static void show_row(unsigned at, const struct page_row *row, bool chosen)
{
	unsigned width = name_width();
	char line[LIVE_LINE] = "", cells[COLUMNS][LIVE_CELL], name[LIVE_LINE];

	fill_cells(row, cells);
	live_cell(line, live_name(row->name, width, name), width, false);
	for (unsigned i = 1; i < COLUMNS; i++)
		if (is_shown(i))
			live_cell(line, cells[i], widths[i], columns[i].flags & TABLE_RIGHT);
	live_line(at, line, chosen ? SCREEN_BOLD : 0);
}

struct place {
	unsigned row, end; /* the first that is not ours */
};

static void put(void *argument, const char *text)
{
	struct place *place = argument;
	char line[LIVE_LINE];

	if (place->row >= place->end)
		return;
	snprintf(line, sizeof(line), "%s", text);
	live_line(place->row++, line, 0);
}

static void show_blocks(struct place *place, const struct stoa_pager_stat *stat)
{
	char text[LIVE_LINE], percent[PAGER_PERCENT], members[400];

	snprintf(text, sizeof(text),
		 "%" PRIu64 " of %" PRIu32 " blocks: %" PRIu64 " clean, %" PRIu64 " dirty, %" PRIu64 " busy; %" PRIu64
		 " pinned, %" PRIu64 " poisoned",
		 stat->resident, stat->budget, stat->clean, stat->dirty, stat->busy, stat->pinned, stat->poisoned);
	put(place, text);
	snprintf(text, sizeof(text),
		 "%" PRIu64 " faults, %" PRIu64 " hits (%s), %" PRIu64 " fills, %" PRIu64 " refaults, %" PRIu64
		 " written, %" PRIu64 " evicted, %" PRIu64 " errors",
		 stat->faults, stat->hits, pager_percent(stat->hits, stat->hits + stat->misses, percent), stat->fills,
		 stat->refaults, stat->writes, stat->evictions, stat->errors);
	put(place, text);
	snprintf(text, sizeof(text), "processes: %s", pager_members(stat, members, sizeof(members)));
	put(place, text);
}

static void show_detail(struct place place, const struct page_row *row)
{
	char title[64], line[LIVE_LINE], shape[PAGER_SHAPE], name[LIVE_LINE];
	const uint64_t *latency = latency_shown(row, title, sizeof(title));

	snprintf(line, sizeof(line), "%.300s: %s", text_safe_string(row->name, name, 300),
		 pager_shape(&row->stat, shape));
	if (place.row < place.end)
		live_line(place.row++, line, SCREEN_BOLD);
	show_blocks(&place, &row->stat);
	put(&place, title);
	if (place.row < place.end)
		pager_picture(latency, screen_columns(), place.end - place.row, put, &place);
}

static void draw(void *context)
{
	struct pages *pages = context;
	char keys[LIVE_LINE] = "q quit  up/down choose  +/- interval  space pause";
	unsigned rows = screen_rows();
	unsigned end = rows > 3 ? rows - 1 : rows, room = end > 5 ? (end - 2) / 3 : end > 2 ? end - 2 : 0;
	size_t first;

	if (pages->chosen >= pages->count)
		pages->chosen = pages->count ? pages->count - 1 : 0;
	first = room && pages->chosen >= room ? pages->chosen - room + 1 : 0;
	show_head(pages);
	for (size_t i = first; i < pages->count && i - first < room; i++)
		show_row((unsigned)(i - first) + 2, &pages->rows[i], i == pages->chosen);
	if (pages->count) {
		unsigned shown = pages->count - first < room ? (unsigned)(pages->count - first) : room;

		show_detail((struct place){2 + shown + 1, end}, &pages->rows[pages->chosen]);
	}
	if (rows > 3)
		live_line(rows - 1, keys, 0);
	screen_show();
}

static void obey(void *context, int key)
{
	struct pages *pages = context;

	if (key == SCREEN_UP && pages->chosen)
		pages->chosen--;
	if (key == SCREEN_DOWN)
		pages->chosen++;
}

int command_pages(int argc, char **argv)
{
	static const struct live_calls calls = {look, draw, obey, print};
	struct pages pages = {.live = {.calls = &calls, .context = &pages}};
	bool plain = false;
	const struct option_spec options[] = {
		{'i', "interval", OPTION_DURATION, &pages.live.interval, "TIME", "between two looks (1s)"},
		{'n', "count", OPTION_NUMBER, &pages.live.count, "N", "end after N of them"},
		{'l', "latency", OPTION_FLAG, &pages.picture, NULL, "tables with a picture of how long faults took"},
		{'p', "plain", OPTION_FLAG, &plain, NULL, "tables below each other, also on a terminal"},
		{'g', "global", OPTION_FLAG, &pages.global, NULL, "also names of the host"},
		{0, "json", OPTION_FLAG, &pages.json, NULL, "one JSON object per line and look"},
	};
	const struct usage usage = {
		"pages",
		"[NAME...]",
		"Show this user's pagers that have a name, live: memory in use and how much of the budget that is, what is\n"
		"dirty, touches that faulted and blocks filled a second, living processes. HIT is the share of the touches seen\n"
		"that found their block there; of all it is the least, as uses of what is open already are seen by nobody.\n"
		"REFAULT is the share of the fills that brought back what had been evicted within the last round of the clock's\n"
		"hand: a somewhat larger budget would have kept it. P50 and P99: half, and all but a hundredth, of the faults\n"
		"took less. On a terminal a screen, with the chosen one in detail: q quits, up and down choose, + and - change\n"
		"the interval, space pauses. Elsewhere tables.\n"
		"With names, which may be patterns ('index-*'), only those. Looking joins nothing and changes nothing.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		-1,
		"  $ stoa pages                       live\n"
		"  $ stoa pages --latency | cat       one table, of one second, and pictures\n"
		"  $ stoa pages 'index-*' -n 5        some of them, five times\n"
		"  $ stoa pages --json -i 10s -n 6    a minute, for a program",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	pages.names = argv + 1;
	pages.name_count = operands;
	status = live_run(&pages.live, plain || pages.json || pages.picture);
	drop(pages.rows, pages.count);
	return status;
}
