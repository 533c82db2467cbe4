/* SPDX-License-Identifier: MIT */
/* Tables: cells are collected first, so that each column is as wide as its widest cell. Uses libc and os/console.h. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#include "os/console.h"

#define CELL_TEXT 1024

struct cell {
	char *text;
	enum colour colour;
};

struct table {
	const struct table_column *columns;
	size_t column_count;
	struct cell *cells;
	size_t count;
	size_t room;
	bool failed; /* memory ran out: said once, when printing */
};

struct table *table_create(const struct table_column *columns, size_t count)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	table->column_count = count;
	return table;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

static bool make_room(struct table *table)
{
	size_t room = table->room ? 2 * table->room : 64;
	struct cell *cells;

	if (table->count < table->room)
		return true;
	cells = realloc(table->cells, room * sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->room = room;
	return true;
}

/* What begins or ends with a blank, as a name may, would look like another or like nothing. */
static char *copy_cell(const char *text)
{
	char safe[CELL_TEXT];
	char shown[CELL_TEXT + 8];
	size_t length = strlen(text_safe_string(text, safe, sizeof(safe)));
	bool first = length > 0 && safe[0] == ' ';
	bool last = length > 1 && safe[length - 1] == ' ';

	snprintf(shown, sizeof(shown), "%s%.*s%s", first ? "\\x20" : "", (int)(length - first - last), safe + first,
		 last ? "\\x20" : "");
	return strdup(shown);
}

void table_cell(struct table *table, const char *text, enum colour colour)
{
	char *copy = copy_cell(text);

	if (!copy || !make_room(table)) {
		free(copy);
		table->failed = true;
		return;
	}
	table->cells[table->count].text = copy;
	table->cells[table->count].colour = colour;
	table->count++;
}

size_t table_rows(const struct table *table)
{
	return table->count / table->column_count;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = text_columns(table->columns[column].title);

	for (size_t i = column; i < table->count; i += table->column_count) {
		size_t cell = text_columns(table->cells[i].text);

		width = cell > width ? cell : width;
	}
	return width;
}

/* Bytes of `text` that fit in `columns`. */
static size_t cut_to(const char *text, size_t columns)
{
	size_t bytes = 0;
	size_t length = strlen(text);

	while (bytes < length) {
		size_t step = utf8_next(text + bytes, length - bytes, NULL);
		char one[5] = {0};

		step = step ? step : 1;
		memcpy(one, text + bytes, step);
		if (text_columns(one) > columns)
			break;
		columns -= text_columns(one);
		bytes += step;
	}
	return bytes;
}

/* One cell of a line; `room` is what the terminal has left for the last column. */
static void print_cell(FILE *out, const struct table *table, size_t column, const struct cell *cell, size_t width,
		       size_t room)
{
	bool last = column + 1 == table->column_count;
	int padding = (int)(width - text_columns(cell->text));
	size_t bytes = last ? cut_to(cell->text, room) : strlen(cell->text);

	if (table->columns[column].flags & TABLE_RIGHT)
		fprintf(out, "%*s", padding, "");
	if (cell->colour != COLOUR_OFF)
		fputs(colour(out, cell->colour), out);
	fwrite(cell->text, 1, bytes, out);
	if (cell->colour != COLOUR_OFF)
		fputs(colour(out, COLOUR_OFF), out);
	if (!last && !(table->columns[column].flags & TABLE_RIGHT))
		fprintf(out, "%*s", padding, "");
	fputs(last ? "\n" : "  ", out);
}

static void print_lines(const struct table *table, const size_t *widths, FILE *out)
{
	size_t room = console_is_terminal(out) ? terminal_width(out) : SIZE_MAX / 2;

	for (size_t column = 0; column + 1 < table->column_count; column++)
		room = room > widths[column] + 2 + 8 ? room - widths[column] - 2 : 8;
	for (size_t column = 0; column < table->column_count; column++) {
		struct cell title = {NULL, COLOUR_BOLD};
		char text[64];

		snprintf(text, sizeof(text), "%s", table->columns[column].title);
		title.text = text;
		print_cell(out, table, column, &title, widths[column], room);
	}
	for (size_t i = 0; i < table_rows(table) * table->column_count; i++)
		print_cell(out, table, i % table->column_count, &table->cells[i], widths[i % table->column_count],
			   room);
}

int table_print(struct table *table, FILE *out)
{
	size_t *widths = calloc(table->column_count, sizeof(*widths));

	if (!widths || table->failed) {
		free(widths);
		return tool_fail("out of memory for a table of %zu rows", table_rows(table));
	}
	for (size_t column = 0; column < table->column_count; column++)
		widths[column] = column_width(table, column);
	print_lines(table, widths, out);
	free(widths);
	return TOOL_OK;
}
