/* SPDX-License-Identifier: MIT */
/* `stoa top` on a terminal: a head line, the titles, as many rows as fit, and what the keys do. Uses os/screen.h. */
#include "top.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "os/local.h"
#include "os/screen.h"

#define WIDE 90 /* columns from which on there is a last one */
#define LINE 1024
#define NAME_LEAST 10
#define INTERVAL_LEAST UINT64_C(100000000)
#define INTERVAL_MOST UINT64_C(60000000000)

struct view {
	struct top_options *options;
	struct top_sample sample, before;
	size_t first; /* row shown */
	bool paused, ended;
	uint64_t next; /* when to look again */
	int asked;
};

/* Widths of the columns behind the name. */
static const unsigned widths[TOP_COLUMNS] = {0, 9, 5, 7, 8, 6, 5, 8, 5, 8};

static unsigned columns_shown(void)
{
	return screen_columns() < WIDE ? TOP_COLUMNS - 1 : TOP_COLUMNS;
}

static unsigned name_width(void)
{
	unsigned others = 0, columns = screen_columns();

	for (unsigned i = 1; i < columns_shown(); i++)
		others += widths[i] + 1;
	return columns > others + NAME_LEAST ? columns - others : NAME_LEAST;
}

/* Append a cell, cut and padded to its width. Cells behind the name are ASCII. */
static void append(char line[LINE], const char *text, unsigned width, bool right)
{
	size_t used = strlen(line), columns = text_columns(text);
	int padding = columns < width ? (int)(width - columns) : 0;

	if (right)
		snprintf(line + used, LINE - used, " %*s%s", padding, "", text);
	else
		snprintf(line + used, LINE - used, "%s%s%*s", used ? " " : "", text, padding, "");
}

/* A name that is too long loses its end. */
static const char *fit_name(const char *name, unsigned width, char buffer[LINE])
{
	size_t room = 4 * (size_t)width + 1 < LINE ? 4 * (size_t)width + 1 : LINE;

	text_safe_string(name, buffer, room);
	while (text_columns(buffer) > width)
		text_safe_string(name, buffer, --room);
	return buffer;
}

/* Lines are cut at the screen's width: what does not fit would go on in the next one. */
static void show(unsigned row, char line[LINE], unsigned how)
{
	unsigned width = screen_columns();

	for (size_t length = strlen(line); length && text_columns(line) > width; length--)
		line[length - 1] = 0;
	screen_line(row, line, how);
}

static void show_head(const struct view *view)
{
	char line[LINE], now[64] = "", interval[DURATION_TEXT];
	size_t channels = 0;

	for (size_t i = 0; i < view->sample.count; i++)
		channels += view->sample.rows[i].is_channel;
	local_time_text(time(NULL), now, sizeof(now));
	snprintf(line, sizeof(line), "stoa top  %zu channels of %zu names  every %s  by %s%s%s  %.19s", channels,
		 view->sample.count, duration_text(view->options->interval, interval),
		 top_sort_name(view->options->sort), view->options->reverse ? ", reversed" : "",
		 view->paused ? "  PAUSED" : "", now);
	show(0, line, SCREEN_BOLD);
	line[0] = 0;
	append(line, "NAME", name_width(), false);
	for (unsigned i = 1; i < columns_shown(); i++)
		append(line, top_columns[i].title, widths[i], top_columns[i].flags & TABLE_RIGHT);
	show(1, line, SCREEN_REVERSE);
}

static void show_row(unsigned at, const struct top_row *row)
{
	char line[LINE] = "", cells[TOP_COLUMNS][TOP_CELL], name[LINE];

	top_cells(row, cells);
	append(line, fit_name(row->name, name_width(), name), name_width(), false);
	for (unsigned i = 1; i < columns_shown(); i++)
		append(line, cells[i], widths[i], top_columns[i].flags & TABLE_RIGHT);
	show(at, line, row->messages > 0 ? SCREEN_BOLD : 0);
}

static size_t rows_room(void)
{
	return screen_rows() > 3 ? screen_rows() - 3 : 1;
}

static void draw(struct view *view)
{
	char keys[LINE] = "q quit  s/S sort  r reverse  +/- interval  space pause  arrows scroll";
	size_t room = rows_room();

	if (view->first + room > view->sample.count)
		view->first = view->sample.count > room ? view->sample.count - room : 0;
	show_head(view);
	for (size_t i = 0; i < room && view->first + i < view->sample.count; i++)
		show_row((unsigned)i + 2, &view->sample.rows[view->first + i]);
	if (screen_rows() > 3)
		show(screen_rows() - 1, keys, 0);
	screen_show();
}

static int look(struct view *view)
{
	struct top_sample now;
	int status = top_take(view->options, &view->sample, &now);

	if (status != TOOL_GO)
		return status;
	top_drop(&view->sample);
	view->sample = now;
	top_order(view->options, &view->sample);
	view->next = stoa_now() + view->options->interval;
	return TOOL_GO;
}

static void scroll_by(struct view *view, int64_t rows)
{
	if (rows < 0)
		view->first -= view->first < (size_t)-rows ? view->first : (size_t)-rows;
	else
		view->first += (size_t)rows;
}

static void change_interval(struct view *view, bool longer)
{
	uint64_t *interval = &view->options->interval;

	*interval = longer ? *interval * 2 : *interval / 2;
	*interval = *interval < INTERVAL_LEAST ? INTERVAL_LEAST : *interval > INTERVAL_MOST ? INTERVAL_MOST : *interval;
	view->next = stoa_now() + *interval;
}

static void obey(struct view *view, int key)
{
	struct top_options *options = view->options;

	switch (key) {
	case SCREEN_END: view->asked = screen_asked(); /* fall through */
	case 'q':
	case 'Q': view->ended = true; break;
	case 's':
	case SCREEN_RIGHT: options->sort = (options->sort + 1) % TOP_SORTS; break;
	case 'S':
	case SCREEN_LEFT: options->sort = (options->sort + TOP_SORTS - 1) % TOP_SORTS; break;
	case 'r': options->reverse = !options->reverse; break;
	case '+': change_interval(view, true); break;
	case '-': change_interval(view, false); break;
	case ' ': view->paused = !view->paused; break;
	case SCREEN_UP: scroll_by(view, -1); break;
	case SCREEN_DOWN: scroll_by(view, 1); break;
	case SCREEN_PAGE_UP: scroll_by(view, -(int64_t)rows_room()); break;
	case SCREEN_PAGE_DOWN: scroll_by(view, (int64_t)rows_room()); break;
	default: break;
	}
	top_order(options, &view->sample);
}

static int run(struct view *view)
{
	int status = look(view);

	for (uint64_t looks = 1; status == TOOL_GO && !view->ended;) {
		uint64_t now = stoa_now();

		draw(view);
		obey(view, screen_key(view->next > now ? view->next - now : 0));
		if (view->ended || stoa_now() < view->next)
			continue;
		if (view->options->count && looks++ > view->options->count)
			break;
		if (view->paused)
			view->next = stoa_now() + view->options->interval;
		else
			status = look(view);
	}
	return status == TOOL_GO ? TOOL_OK : status;
}

bool top_screen(struct top_options *options, int *ret_status, int *ret_asked)
{
	struct view view = {.options = options};

	if (!screen_begin())
		return false;
	*ret_status = run(&view);
	screen_end();
	top_drop(&view.sample);
	*ret_asked = view.asked;
	return true;
}
