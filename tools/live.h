/* SPDX-License-Identifier: MIT */
/*
 * What `stoa top` and `stoa pages` share: looking again and again, on a whole screen or as tables below each other; lines of cells; which names are
 * wanted; rates. Uses os/screen.h.
 */
#ifndef TOOLS_LIVE_H
#define TOOLS_LIVE_H

#include "tool.h"

struct live {
	uint64_t interval; /* nanoseconds */
	uint64_t count;    /* looks; 0: no end */
	bool paused;       /* by the user */
	const struct live_calls *calls;
	void *context;
	/* The rest is live.c's. */
	bool ended;
	uint64_t next; /* when to look again */
	int asked;
};

struct live_calls {
	int (*look)(void *context); /* TOOL_GO, or a status, said */
	void (*draw)(void *context);
	void (*obey)(void *context, int key); /* a key that is not one of all screens */
	int (*print)(void *context, bool first);
};

/* The screen until it is left: false when there can be none. *ret_asked: a number for console_end_as(); 0: by the user. */
bool live_screen(struct live *live, int *ret_status, int *ret_asked);

/* Tables, or whatever print() prints. Rates need two looks, so the first comes after an interval. */
int live_tables(struct live *live);

/*
 * All of a command behind its options: tables when asked for with `plain`, or where no screen is, one of them unless `live` says more; else a screen.
 * The exit status.
 */
int live_run(struct live *live, bool plain);

/* ---- lines ---- */

#define LIVE_LINE 1024

/* Append a cell, cut and padded to its width. Cells behind the first are ASCII. */
void live_cell(char line[LIVE_LINE], const char *text, unsigned width, bool right);

/* A name, made safe; one that is too long loses its end. Returns `buffer`. */
const char *live_name(const char *name, unsigned width, char buffer[LIVE_LINE]);

/* Show a line, cut at the screen's width: what does not fit would go on in the next one. `how` as screen_line(). */
void live_line(unsigned row, char line[LIVE_LINE], unsigned how);

/* What is left of the screen's width for names, beside the other columns of these widths; and at least what a name needs. */
unsigned live_name_width(const unsigned *widths, unsigned columns);

/* ---- cells ---- */

#define LIVE_CELL 24
void live_count(char cell[LIVE_CELL], double count); /* "999", "12.3k", "4M" */
void live_size(char cell[LIVE_CELL], double bytes);  /* "1.5MiB" */

/* Per second. Counts that went down are another's who overwrote them, or lies. */
double live_rate(uint64_t now, uint64_t before, uint64_t nanoseconds);

/* Does the name match one of the patterns, as of `stoa find --name`? Without any all do. */
bool live_wants(char *const *patterns, int count, const char *name);

#endif
