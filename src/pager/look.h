/* SPDX-License-Identifier: MIT */
/*
 * Looking at a pager from outside: its words are copied out of the control segment by reading, never mapped, so that who looks takes no part and
 * cannot be harmed by what lies there. Uses roster's layout, segment and os.
 */
#ifndef PAGER_LOOK_H
#define PAGER_LOOK_H

#include <pager/layout.h>
#include <segment/segment.h>
#include <stoa/inspect.h>
#include <stoa/pager_stat.h>

/* Where a pager's control segment lies. */
struct pager_site {
	os_handle memory;
	uint64_t at;    /* of its data in the memory object */
	uint64_t room;  /* bytes from there on, up to the end of the reserve */
	uint32_t slots; /* of its roster */
	bool lives_known;
};

struct pager_look {
	struct pager_site site;
	struct pager_header header;
	struct pager_plan plan;
	uint64_t words; /* that have memory: the others are 0 */
};

struct pager_site pager_site(const struct stoa_segment *control);

/* Read the header, and check it. EFORMAT, EVERSION, ESYSTEM. */
int pager_look(const struct pager_site *site, struct pager_look *ret_look);

/* Copy bytes of the data from `offset` on; what is not there reads as zero. */
int pager_look_read(const struct pager_look *look, uint64_t offset, void *bytes, size_t length);

/* STOA_END_*: what of a member of that identity is known; or an error of reading. */
int pager_look_identity(const struct pager_look *look, uint64_t identity);

/* A set of blocks: bit b of [b / 64]. Freed with os_free(). NULL: no memory. */
uint64_t *pager_look_set(const struct pager_look *look);

/* Call `visit` for each frame, with what it holds, until that is negative, which is the result then. */
int pager_look_frames(const struct pager_look *look, int (*visit)(void *argument, uint32_t frame, uint64_t held),
		      void *argument);

/* Call `visit` for the word of each block in the set (NULL: of all that have memory), in order, likewise. */
int pager_look_words(const struct pager_look *look, const uint64_t *set,
		     int (*visit)(void *argument, uint64_t block, uint64_t word), void *argument);

int pager_stat(const struct pager_site *site, struct stoa_pager_stat *ret_stat);

/* Is it as it should be? Tells each finding, as stoa_inspect_check() does. 0, or why it cannot be read. */
int pager_valid(const struct pager_site *site, void (*report)(void *argument, int severity, const char *sentence),
		void *argument);

#endif
