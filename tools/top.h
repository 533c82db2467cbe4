/* SPDX-License-Identifier: MIT */
/*
 * `stoa top`: what it shows. top_sample.c gathers it, top.c prints it, top_screen.c shows it live; top_store.c is the store's page. Uses
 * channel.h, live.h.
 */
#ifndef TOOLS_TOP_H
#define TOOLS_TOP_H

#include "channel.h"
#include "live.h"

/* One named object, as it is now, and how fast it moves since the sample before. */
struct top_row {
	char *name;
	uint32_t flags;
	uint64_t identity; /* the same name can be another object */
	uint32_t kind;     /* STOA_KIND_* */
	uint32_t users;    /* threads that take part */
	uint64_t resident;
	bool is_channel;
	uint32_t channel_kind, senders, receivers;
	uint64_t ring; /* bytes of all rings together */
	struct channel_totals totals;
	/* Per second; 0 when it is new. */
	double messages, bytes, sleeps, lost;
};

struct top_sample {
	uint64_t time;  /* stoa_now(), */
	double seconds; /* since the sample before */
	struct top_row *rows;
	size_t count;
};

enum top_sort { TOP_NAME, TOP_MESSAGES, TOP_BYTES, TOP_LAG, TOP_USED, TOP_SLEEPS, TOP_USERS, TOP_MEMORY, TOP_SORTS };

struct top_options {
	enum top_sort sort;
	bool reverse, global, json;
	char *const *names; /* patterns as of `stoa find --name`; */
	int name_count;     /* 0: all */
};

/* What live.h's calls are given. */
struct top {
	struct top_options options;
	struct top_sample sample;
	struct live live;
	size_t first; /* row shown */
	struct top_store *store;
	bool shows_store; /* the page that is shown */
	bool on_screen;   /* it has been drawn */
};

const char *top_sort_name(enum top_sort sort);

/* All that has a name. `before` (may be NULL) is what the rates are against. TOOL_GO, or a status, said. */
int top_take(const struct top_options *options, const struct top_sample *before, struct top_sample *ret_sample);
void top_drop(struct top_sample *sample);
void top_order(const struct top_options *options, struct top_sample *sample);

/* A row's cells, in the order of top_columns. */
#define TOP_COLUMNS 10
extern const struct table_column top_columns[TOP_COLUMNS];
void top_cells(const struct top_row *row,
	       char cells[TOP_COLUMNS][LIVE_CELL]); /* all but the name, which is the first */

/*
 * top_store.c, or no_store.c where there is none. `where`: a socket's path; "" or NULL: the default. begin: NULL: no memory. end: NULL is allowed. look: TOOL_GO, or a status,
 * said; where it need not be (`must`), the page says what is wrong.
 */
struct top_store *top_store_begin(const char *where);
void top_store_end(struct top_store *page);
int top_store_look(struct top_store *page, bool must);
void top_store_draw(struct top_store *page, const struct live *live);
void top_store_obey(struct top_store *page, int key);
int top_store_print(const struct top_store *page, bool as_json, bool first);

/* top_screen.c */
void top_draw(void *context);
void top_obey(void *context, int key);

#endif
