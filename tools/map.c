/* SPDX-License-Identifier: MIT */
/*
 * `stoa map`: a picture of a named object's pages. The object has three parts, each drawn in cells of equally many pages: the
 * header, the roster's pages, and the committed data; a bar shows how much of the reserve that is.
 */
#include "object.h"

#include "os/pages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_PAGES ((size_t)1 << 16) /* 256 MiB looked at in one go: whole huge pages */

/* Up to where neighbouring pages are alike. */
struct run {
	uint64_t first; /* page in the object */
	uint64_t count;
	unsigned char state;
};

/* One cell of the picture. */
struct cell {
	uint64_t pages;
	uint64_t present;
	uint64_t huge;
	uint64_t backed;
	uint64_t swapped;
	bool backed_known;
};

/* A part of the object as it is being drawn or listed. */
struct part {
	const struct object *object;
	const char *name;
	uint64_t offset; /* in the object */
	uint64_t length;
	uint64_t cell_pages;
	struct cell *cells; /* NULL: list runs as JSON */
	struct run run;
	bool huge_known;
};

static const char *run_state(const struct part *part, const struct run *run, uint64_t *ret_backed)
{
	uint64_t backed;
	uint64_t swapped;

	*ret_backed = run->count;
	if (run->state & PAGES_HUGE)
		return "huge";
	if (run->state & PAGES_PRESENT)
		return "resident";
	if (!pages_backed(stoa_inspect_descriptor(part->object->inspector), run->first * PAGES_UNIT,
			  run->count * PAGES_UNIT, &backed, &swapped))
		return "untouched";
	*ret_backed = backed;
	if (backed == 0)
		return "hole";
	if (backed < run->count)
		return "mixed";
	return swapped == run->count ? "swapped" : "backed";
}

static void list_run(const struct part *part, const struct run *run)
{
	uint64_t backed;
	const char *state = run_state(part, run, &backed);
	bool known = strcmp(state, "untouched") != 0;
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", part->object->name);
	json_text(&json, "part", part->name);
	json_number(&json, "offset", run->first * PAGES_UNIT - part->offset);
	json_number(&json, "length", run->count * PAGES_UNIT);
	json_number(&json, "object_offset", run->first * PAGES_UNIT);
	json_text(&json, "state", state);
	if (known)
		json_number(&json, "backed", backed * PAGES_UNIT);
	else
		json_null(&json, "backed");
	json_end(&json);
}

static void take_page(struct part *part, uint64_t page, unsigned char state)
{
	struct cell *cell;

	if (part->cells) {
		cell = &part->cells[(page - part->offset / PAGES_UNIT) / part->cell_pages];
		cell->pages++;
		cell->present += state & PAGES_PRESENT;
		cell->huge += (state & PAGES_HUGE) != 0;
	} else if (part->run.count && part->run.state == state) {
		part->run.count++;
	} else {
		if (part->run.count)
			list_run(part, &part->run);
		part->run = (struct run){page, 1, state};
	}
}

/* Go through a part's pages, chunk by chunk. TOOL_GO or TOOL_FAILED. */
static int walk_part(struct part *part)
{
	static unsigned char states[CHUNK_PAGES];
	uint64_t page = part->offset / PAGES_UNIT;
	uint64_t end = (part->offset + part->length + PAGES_UNIT - 1) / PAGES_UNIT;

	part->huge_known = true;
	while (page < end) {
		/* Chunks begin and end on multiples of huge pages. */
		size_t count = CHUNK_PAGES - page % CHUNK_PAGES;
		bool known = true;
		int error;

		count = end - page < count ? (size_t)(end - page) : count;
		error = pages_states(stoa_inspect_descriptor(part->object->inspector), page * PAGES_UNIT, count, states,
				     &known);
		if (error == EACCES)
			return tool_fail(
				"segment '%s': the system tells only those who may write it which of its pages are there",
				part->object->name);
		if (error)
			return tool_fail("segment '%s': cannot look at its pages: %s", part->object->name,
					 strerror(error));
		part->huge_known &= known;
		for (size_t i = 0; i < count; i++)
			take_page(part, page + i, states[i]);
		page += count;
		progress_show("%s: %" PRIu64 "%%", part->name,
			      100 * (page - part->offset / PAGES_UNIT) /
				      ((part->length + PAGES_UNIT - 1) / PAGES_UNIT));
	}
	if (!part->cells && part->run.count)
		list_run(part, &part->run);
	return TOOL_GO;
}

/* ---- the picture ---- */

struct symbol {
	char letter;
	enum colour colour;
	const char *meaning;
};

static const struct symbol symbols[] = {
	{'H', COLOUR_CYAN, "huge pages"},
	{'#', COLOUR_GREEN, "in memory"},
	{'+', COLOUR_GREEN, "partly in memory"},
	{'s', COLOUR_YELLOW, "swapped out"},
	{'o', COLOUR_BLUE, "has memory, not touched yet"},
	{'.', COLOUR_DIM, "hole: no memory (never used, or given back)"},
	{'-', COLOUR_DIM, "not touched: backed or a hole, this kernel does not tell"},
};
enum { HUGE, RESIDENT, PARTLY, SWAPPED, BACKED, HOLE, UNTOLD, SYMBOLS };

static int cell_symbol(const struct cell *cell)
{
	if (cell->huge == cell->pages)
		return HUGE;
	if (cell->present == cell->pages)
		return RESIDENT;
	if (cell->present)
		return PARTLY;
	if (!cell->backed_known)
		return UNTOLD;
	if (cell->swapped)
		return SWAPPED;
	return cell->backed ? BACKED : HOLE;
}

static size_t cell_count(const struct part *part)
{
	uint64_t pages = (part->length + PAGES_UNIT - 1) / PAGES_UNIT;

	return (size_t)((pages + part->cell_pages - 1) / part->cell_pages);
}

static void print_cells(const struct part *part, size_t width, bool *used)
{
	size_t count = cell_count(part);
	int last = -1; /* the colour that is on */
	char at[SIZE_TEXT];

	for (size_t i = 0; i < count; i++) {
		int symbol = cell_symbol(&part->cells[i]);

		if (i % width == 0) {
			printf("%s%s%-8s %8s ", colour(stdout, COLOUR_OFF), i ? "\n" : "", i ? "" : part->name,
			       size_text(i * part->cell_pages * PAGES_UNIT, at));
			last = -1;
		}
		if (symbol != last)
			printf("%s%s", colour(stdout, COLOUR_OFF), colour(stdout, symbols[symbol].colour));
		putchar(symbols[symbol].letter);
		used[symbol] = true;
		last = symbol;
	}
	printf("%s\n%18s %s each\n", colour(stdout, COLOUR_OFF), "", size_text(part->cell_pages * PAGES_UNIT, at));
}

/* Cells of a power of two of pages, so that `lines` suffice. */
static int draw_part(struct part *part, size_t width, size_t lines, bool *used)
{
	uint64_t pages = (part->length + PAGES_UNIT - 1) / PAGES_UNIT;
	int descriptor = stoa_inspect_descriptor(part->object->inspector);
	int status;

	part->cell_pages = 1;
	while ((pages + part->cell_pages - 1) / part->cell_pages > width * lines)
		part->cell_pages *= 2;
	part->cells = calloc(cell_count(part) + 1, sizeof(*part->cells));
	if (!part->cells)
		return tool_fail("out of memory");
	status = walk_part(part);
	for (size_t i = 0; i < cell_count(part) && status == TOOL_GO; i++) {
		struct cell *cell = &part->cells[i];

		cell->backed_known = pages_backed(descriptor, part->offset + i * part->cell_pages * PAGES_UNIT,
						  cell->pages * PAGES_UNIT, &cell->backed, &cell->swapped);
	}
	progress_end();
	if (status == TOOL_GO)
		print_cells(part, width, used);
	free(part->cells);
	part->cells = NULL;
	return status;
}

/* How much of the reserve is committed; a little is still something. */
static void print_reserve(const struct object *object, size_t width)
{
	uint64_t reserve = object->is.reserve;
	uint64_t committed = object->is.committed < reserve ? object->is.committed : reserve;
	size_t full = (size_t)((double)committed / (double)reserve * (double)width);
	char text[SIZE_TEXT];

	full = full == 0 && committed > 0 ? 1 : full;
	printf("%-8s %8s ", "reserve", "");
	for (size_t i = 0; i < width; i++)
		putchar(i < full ? '=' : '_');
	printf("\n%18s %s each; = committed, _ reserved: an address range, no memory\n", "",
	       size_text(reserve / width ? reserve / width : 1, text));
}

static void print_title(const struct object *object)
{
	char name[256];
	char texts[3][SIZE_TEXT];

	printf("%s%s%s: ", colour(stdout, COLOUR_BOLD), text_safe_string(object->name, name, sizeof(name)),
	       colour(stdout, COLOUR_OFF));
	if (object->is.header)
		printf("damaged, %s long, ", size_text(object->is.length, texts[0]));
	else
		printf("%s reserved, %s committed, ", size_text(object->is.reserve, texts[0]),
		       size_text(object->is.committed, texts[1]));
	printf("%s resident\n\n", size_text(object->is.resident, texts[2]));
}

/* ---- the parts ---- */

#define PARTS 3

/* Header, roster, data, as far as the object reaches; empty ones are left out. */
static size_t find_parts(const struct object *object, struct part parts[PARTS])
{
	const struct stoa_inspection *is = &object->is;
	uint64_t roster_end = is->roster_slots ? (is->roster_slots + UINT64_C(1)) * PAGES_UNIT : 0;
	struct part all[PARTS] = {
		{.name = "header", .offset = 0, .length = is->data_offset ? PAGES_UNIT : 0},
		{.name = "roster",
		 .offset = PAGES_UNIT,
		 .length = roster_end > PAGES_UNIT ? roster_end - PAGES_UNIT : 0},
		{.name = is->kind == STOA_KIND_DAMAGED ? "object" : "data",
		 .offset = is->data_offset,
		 .length = UINT64_MAX},
	};
	size_t count = 0;

	for (size_t i = 0; i < PARTS; i++) {
		uint64_t left = all[i].offset < is->length ? is->length - all[i].offset : 0;

		all[i].object = object;
		all[i].length = all[i].length < left ? all[i].length : left;
		if (all[i].length)
			parts[count++] = all[i];
	}
	return count;
}

static void list_reserve(const struct object *object)
{
	struct json json;

	if (object->is.reserve <= object->is.committed)
		return;
	json_begin(&json, stdout);
	json_text(&json, "name", object->name);
	json_text(&json, "part", "reserve");
	json_number(&json, "offset", object->is.committed);
	json_number(&json, "length", object->is.reserve - object->is.committed);
	json_number(&json, "object_offset", object->is.data_offset + object->is.committed);
	json_text(&json, "state", "reserved");
	json_number(&json, "backed", 0);
	json_end(&json);
}

static int list_object(const struct object *object)
{
	struct part parts[PARTS];
	size_t count = find_parts(object, parts);
	int status = TOOL_GO;

	for (size_t i = 0; i < count && status == TOOL_GO; i++)
		status = walk_part(&parts[i]);
	if (status == TOOL_GO)
		list_reserve(object);
	return status;
}

static int draw_object(const struct object *object, size_t lines)
{
	struct part parts[PARTS];
	size_t count = find_parts(object, parts);
	unsigned columns = terminal_width(stdout);
	size_t width = columns < 48 ? 16 : columns >= 148 ? 128 : columns >= 84 ? 64 : 32;
	bool used[SYMBOLS] = {false};
	bool huge_known = true;
	int status = TOOL_GO;

	print_title(object);
	for (size_t i = 0; i < count && status == TOOL_GO; i++) {
		status = draw_part(&parts[i], width, strcmp(parts[i].name, "roster") == 0 ? 1 : lines, used);
		huge_known &= parts[i].huge_known;
	}
	if (status != TOOL_GO)
		return status;
	if (object->is.reserve > object->is.committed)
		print_reserve(object, width);
	printf("\n");
	for (int i = 0; i < SYMBOLS; i++)
		if (used[i])
			printf("  %s%c%s  %s\n", colour(stdout, symbols[i].colour), symbols[i].letter,
			       colour(stdout, COLOUR_OFF), symbols[i].meaning);
	if (!huge_known)
		printf("  huge pages are not told apart: that takes Linux 6.7\n");
	return TOOL_GO;
}

int command_map(int argc, char **argv)
{
	bool global = false;
	bool as_json = false;
	uint64_t lines = 8;
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &global, NULL, "a name of the host, not of this user"},
		{'n', "lines", OPTION_NUMBER, &lines, "N", "draw the data in at most N lines (8)"},
		{0, "json", OPTION_FLAG, &as_json, NULL, "one JSON object per line: a range of pages that are alike"},
	};
	const struct usage usage = {
		"map",
		"NAME",
		"Draw the pages of a named segment: which of them are in memory, which have memory and were not touched,\n"
		"where the holes are, and how much of the reserve is committed. Makes no page.",
		options,
		sizeof(options) / sizeof(options[0]),
		1,
		1,
		"  $ stoa map cache             a picture as wide as the terminal\n"
		"  $ stoa map cache --json | jq 'select(.state == \"hole\")'",
	};
	struct object object;
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (lines < 1 || lines > 1000)
		return tool_misuse("map: --lines %" PRIu64 " must be 1 to 1000", lines);
	status = object_open(argv[1], global ? STOA_GLOBAL : 0, &object);
	if (status != TOOL_GO)
		return status;
	status = as_json ? list_object(&object) : draw_object(&object, (size_t)lines);
	object_close(&object);
	return status == TOOL_GO ? TOOL_OK : status;
}
