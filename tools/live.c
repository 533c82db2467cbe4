/* SPDX-License-Identifier: MIT */
/* What is shown again and again; see live.h. Uses os/screen.h and os/console.h. */
#include "live.h"

#include "find.h"
#include "os/console.h"
#include "os/screen.h"

#include <stoa/stoa.h>
#include <string.h>

#define NAME_LEAST 10
#define INTERVAL_LEAST UINT64_C(100000000)
#define INTERVAL_MOST UINT64_C(60000000000)

/* ---- lines and cells ---- */

void live_cell(char line[LIVE_LINE], const char *text, unsigned width, bool right)
{
	size_t used = strlen(line), columns = text_columns(text);
	int padding = columns < width ? (int)(width - columns) : 0;

	if (right)
		snprintf(line + used, LIVE_LINE - used, " %*s%s", padding, "", text);
	else
		snprintf(line + used, LIVE_LINE - used, "%s%s%*s", used ? " " : "", text, padding, "");
}

const char *live_name(const char *name, unsigned width, char buffer[LIVE_LINE])
{
	size_t room = 4 * (size_t)width + 1 < LIVE_LINE ? 4 * (size_t)width + 1 : LIVE_LINE;

	text_safe_string(name, buffer, room);
	while (text_columns(buffer) > width)
		text_safe_string(name, buffer, --room);
	return buffer;
}

void live_line(unsigned row, char line[LIVE_LINE], unsigned how)
{
	unsigned width = screen_columns();

	for (size_t length = strlen(line); length && text_columns(line) > width; length--)
		line[length - 1] = 0;
	screen_line(row, line, how);
}

unsigned live_name_width(const unsigned *widths, unsigned columns)
{
	unsigned others = 0, all = screen_columns();

	for (unsigned i = 1; i < columns; i++)
		others += widths[i] + 1;
	return all > others + NAME_LEAST ? all - others : NAME_LEAST;
}

void live_count(char cell[LIVE_CELL], double count)
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	while (count >= 9999.5 && unit + 2 < sizeof(units)) {
		count /= 1000;
		unit++;
	}
	if (unit)
		snprintf(cell, LIVE_CELL, "%.*f%c", count < 99.95 ? 1 : 0, count, units[unit]);
	else
		snprintf(cell, LIVE_CELL, "%.0f", count);
}

void live_size(char cell[LIVE_CELL], double bytes)
{
	char text[SIZE_TEXT];

	snprintf(cell, LIVE_CELL, "%s", size_text(bytes < 1.8e19 ? (uint64_t)bytes : UINT64_MAX, text));
}

double live_rate(uint64_t now, uint64_t before, uint64_t nanoseconds)
{
	return now > before && nanoseconds ? (double)(now - before) * 1e9 / (double)nanoseconds : 0;
}

bool live_wants(char *const *patterns, int count, const char *name)
{
	bool wanted = !count;

	for (int i = 0; i < count && !wanted; i++)
		wanted = find_glob_matches(patterns[i], strlen(patterns[i]), name, strlen(name));
	return wanted;
}

/* ---- on a screen ---- */

static int look(struct live *live)
{
	int status = live->calls->look(live->context);

	live->next = stoa_now() + live->interval;
	return status;
}

static void change_interval(struct live *live, bool longer)
{
	uint64_t interval = longer ? live->interval * 2 : live->interval / 2;

	live->interval = interval < INTERVAL_LEAST  ? INTERVAL_LEAST
			 : interval > INTERVAL_MOST ? INTERVAL_MOST
						    : interval;
	live->next = stoa_now() + live->interval;
}

static void obey(struct live *live, int key)
{
	switch (key) {
	case SCREEN_END: live->asked = screen_asked(); /* fall through */
	case 'q':
	case 'Q': live->ended = true; break;
	case '+': change_interval(live, true); break;
	case '-': change_interval(live, false); break;
	case ' ': live->paused = !live->paused; break;
	default: live->calls->obey(live->context, key); break;
	}
}

static int go(struct live *live)
{
	int status = look(live);

	for (uint64_t looks = 1; status == TOOL_GO && !live->ended;) {
		uint64_t now = stoa_now();

		live->calls->draw(live->context);
		obey(live, screen_key(live->next > now ? live->next - now : 0));
		if (live->ended || stoa_now() < live->next)
			continue;
		if (live->count && looks++ > live->count)
			break;
		if (live->paused)
			live->next = stoa_now() + live->interval;
		else
			status = look(live);
	}
	return status == TOOL_GO ? TOOL_OK : status;
}

bool live_screen(struct live *live, int *ret_status, int *ret_asked)
{
	if (!screen_begin())
		return false;
	*ret_status = go(live);
	screen_end();
	*ret_asked = live->asked;
	return true;
}

/* ---- below each other ---- */

int live_tables(struct live *live)
{
	int status = live->calls->look(live->context);

	for (uint64_t i = 0; status == TOOL_GO && (!live->count || i < live->count); i++) {
		screen_pause(live->interval);
		status = live->calls->look(live->context);
		if (status != TOOL_GO)
			return status;
		status = live->calls->print(live->context, i == 0);
		if (status != TOOL_OK || fflush(stdout) != 0)
			return status;
		status = TOOL_GO;
	}
	return status == TOOL_GO ? TOOL_OK : status;
}

int live_run(struct live *live, bool plain)
{
	int status = TOOL_OK, asked = 0;

	if (!live->count && !live->interval && !console_is_terminal(stdout))
		live->count = 1;
	live->interval = live->interval ? live->interval : UINT64_C(1000000000);
	if (plain || !live_screen(live, &status, &asked))
		return live_tables(live);
	if (asked)
		console_end_as(asked);
	return status;
}
