/* SPDX-License-Identifier: MIT */
/* What ls, stat and rm do with --store where there is no object store. */
#include "store.h"

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
