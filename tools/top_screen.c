/* SPDX-License-Identifier: MIT */
/* `stoa top` on a terminal: a head line, the titles, as many rows as fit, and what the keys do. Uses os/screen.h. */
#include "top.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "os/local.h"
#include "os/screen.h"

#define WIDE 90 /* columns from which on there is a last one */

/* Widths of the columns behind the name. */
static const unsigned widths[TOP_COLUMNS] = {0, 9, 5, 7, 8, 6, 5, 8, 5, 8};

static unsigned columns_shown(void)
{
	return screen_columns() < WIDE ? TOP_COLUMNS - 1 : TOP_COLUMNS;
}

static unsigned name_width(void)
{
	return live_name_width(widths, columns_shown());
}

static void show_head(const struct top *top)
{
	char line[LIVE_LINE], now[64] = "", interval[DURATION_TEXT];
	size_t channels = 0;

	for (size_t i = 0; i < top->sample.count; i++)
		channels += top->sample.rows[i].is_channel;
	local_time_text(time(NULL), now, sizeof(now));
	snprintf(line, sizeof(line), "stoa top  %zu channels of %zu names  every %s  by %s%s%s  %.19s", channels,
		 top->sample.count, duration_text(top->live.interval, interval), top_sort_name(top->options.sort),
		 top->options.reverse ? ", reversed" : "", top->live.paused ? "  PAUSED" : "", now);
	live_line(0, line, SCREEN_BOLD);
	line[0] = 0;
	live_cell(line, "NAME", name_width(), false);
	for (unsigned i = 1; i < columns_shown(); i++)
		live_cell(line, top_columns[i].title, widths[i], top_columns[i].flags & TABLE_RIGHT);
	live_line(1, line, SCREEN_REVERSE);
}

static void show_row(unsigned at, const struct top_row *row)
{
	char line[LIVE_LINE] = "", cells[TOP_COLUMNS][LIVE_CELL], name[LIVE_LINE];

	top_cells(row, cells);
	live_cell(line, live_name(row->name, name_width(), name), name_width(), false);
	for (unsigned i = 1; i < columns_shown(); i++)
		live_cell(line, cells[i], widths[i], top_columns[i].flags & TABLE_RIGHT);
	live_line(at, line, row->messages > 0 ? SCREEN_BOLD : 0);
}

static size_t rows_room(void)
{
	return screen_rows() > 3 ? screen_rows() - 3 : 1;
}

void top_draw(void *context)
{
	struct top *top = context;
	char keys[LIVE_LINE] = "q quit  s/S sort  r reverse  +/- interval  space pause  arrows scroll  o store";
	size_t room = rows_room();

	top->on_screen = true;
	if (top->shows_store) {
		top_store_draw(top->store, &top->live);
		return;
	}
	if (top->first + room > top->sample.count)
		top->first = top->sample.count > room ? top->sample.count - room : 0;
	show_head(top);
	for (size_t i = 0; i < room && top->first + i < top->sample.count; i++)
		show_row((unsigned)i + 2, &top->sample.rows[top->first + i]);
	if (screen_rows() > 3)
		live_line(screen_rows() - 1, keys, 0);
	screen_show();
}

static void scroll_by(struct top *top, int64_t rows)
{
	if (rows < 0)
		top->first -= top->first < (size_t)-rows ? top->first : (size_t)-rows;
	else
		top->first += (size_t)rows;
}

void top_obey(void *context, int key)
{
	struct top *top = context;
	struct top_options *options = &top->options;

	if (key == 'o') {
		top->shows_store = !top->shows_store;
		if (top->shows_store)
			(void)top_store_look(top->store, false); /* the page says what is wrong */
		return;
	}
	if (top->shows_store) {
		top_store_obey(top->store, key);
		return;
	}
	switch (key) {
	case 's':
	case SCREEN_RIGHT: options->sort = (options->sort + 1) % TOP_SORTS; break;
	case 'S':
	case SCREEN_LEFT: options->sort = (options->sort + TOP_SORTS - 1) % TOP_SORTS; break;
	case 'r': options->reverse = !options->reverse; break;
	case SCREEN_UP: scroll_by(top, -1); break;
	case SCREEN_DOWN: scroll_by(top, 1); break;
	case SCREEN_PAGE_UP: scroll_by(top, -(int64_t)rows_room()); break;
	case SCREEN_PAGE_DOWN: scroll_by(top, (int64_t)rows_room()); break;
	default: break;
	}
	top_order(options, &top->sample);
}
