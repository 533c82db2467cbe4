/* SPDX-License-Identifier: MIT */
/* What ls, stat, top and rm do with --store where there is no object store. */
#include "store.h"
#include "top.h"

static int refuse(void)
{
	return tool_fail("--store: there is no object store on this system; it is for Linux only");
}

int store_ls(const char *where, bool as_json)
{
	(void)where, (void)as_json;
	return refuse();
}

int store_stat(const char *where, char **words, int count, bool as_json)
{
	(void)where, (void)words, (void)count, (void)as_json;
	return refuse();
}

int store_metrics(const char *where)
{
	(void)where;
	return refuse();
}

int store_rm(const char *where, char **words, int count, bool force, bool as_json)
{
	(void)where, (void)words, (void)count, (void)force, (void)as_json;
	return refuse();
}

/* ---- the page of top ---- */

struct top_store {
	int nothing;
};

struct top_store *top_store_begin(const char *where)
{
	static struct top_store page;

	(void)where;
	return &page;
}

void top_store_end(struct top_store *page)
{
	(void)page;
}

int top_store_look(struct top_store *page, bool must)
{
	(void)page;
	return must ? refuse() : TOOL_GO;
}

void top_store_draw(struct top_store *page, const struct live *live)
{
	(void)page, (void)live;
}

void top_store_obey(struct top_store *page, int key)
{
	(void)page, (void)key;
}

int top_store_print(const struct top_store *page, bool as_json, bool first)
{
	(void)page, (void)as_json, (void)first;
	return refuse();
}
