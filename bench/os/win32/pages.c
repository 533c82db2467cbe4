/* SPDX-License-Identifier: MIT */
/* Pages that are made on first touch are not there on Windows, so nothing is measured; see rival.h. */
#include "../rival.h"

#include <errno.h>

const char rival_pages_name[] = "nothing";
const char rival_mapped_name[] = "nothing";

const char *rival_pages_missing(void)
{
	return "pages that are made on first touch are not there on this system";
}

int rival_pages_make(struct rival_pages *pages)
{
	(void)pages;
	return ENOSYS;
}

void rival_pages_end(struct rival_pages *pages)
{
	(void)pages;
}

int rival_pages_use(struct rival_pages *pages)
{
	(void)pages;
	return ENOSYS;
}

int rival_pages_forget(struct rival_pages *pages)
{
	(void)pages;
	return ENOSYS;
}

int rival_pages_clean(struct rival_pages *pages)
{
	(void)pages;
	return ENOSYS;
}

int rival_mapped_make(const char *path, size_t length, unsigned keep, struct rival_mapped *ret_mapped)
{
	(void)path;
	(void)length;
	(void)keep;
	(void)ret_mapped;
	return ENOSYS;
}

void rival_mapped_end(struct rival_mapped *mapped)
{
	(void)mapped;
}

unsigned char rival_mapped_touch(struct rival_mapped *mapped, size_t page)
{
	(void)mapped;
	(void)page;
	return 0;
}

int rival_threads(unsigned count, void (*work)(void *context, unsigned number), void *context, uint64_t *ret_time)
{
	(void)count;
	(void)work;
	(void)context;
	(void)ret_time;
	return ENOSYS;
}

int rival_twin_start(struct rival_twin *twin, void (*work)(void *context, int socket), void *context)
{
	(void)twin;
	(void)work;
	(void)context;
	return ENOSYS;
}

void rival_twin_end(struct rival_twin *twin)
{
	(void)twin;
}

void rival_twin_outlast(void)
{
}

void rival_twin_wait(int socket)
{
	(void)socket;
}

void rival_twin_leave(struct rival_twin *twin)
{
	(void)twin;
}
