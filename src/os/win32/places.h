/* SPDX-License-Identifier: MIT */
/*
 * A range of addresses in which views come and go, one unit each. What has no view is reserved: it faults when touched, and nobody else's
 * memory is put there.
 */
#ifndef OS_WIN32_PLACES_H
#define OS_WIN32_PLACES_H

#include <os/win32/sys.h>

struct places {
	unsigned char *address;
	uint64_t length;
	uint64_t piece; /* bytes: whole units, of which the range has at most PLACES_PIECES */
	uint32_t unit;
	bool placeholders; /* the system exchanges views and reserved room at one stroke */
};
#define PLACES_PIECES 4096

/* Fill in unit and length before. -STOA_ELIMIT. */
int places_reserve(struct places *places);

enum place_state { PLACE_RESERVED, PLACE_VIEWED, PLACE_LOST };

/* Divide the piece at `offset` into its units, before the first view of them. -STOA_ELIMIT: *ret_state tells how it is now, all of it. */
int places_split(const struct places *places, uint64_t offset, enum place_state *ret_state);
void places_join(const struct places *places, uint64_t offset); /* it has no view any more */

/*
 * Show a unit of a section, which can be read and perhaps written at once, at a place that is *state: reserved, or lost, which is tried again. Afterwards
 * *state tells how it is. -STOA_ELIMIT.
 */
int place_show(const struct places *places, uint64_t offset, HANDLE section, uint64_t from, bool writable,
	       enum place_state *state);

/* Reserve it, in place of its view, or of what is there if it is lost. -STOA_ELIMIT: it is lost, to memory of others, but the view is gone. */
int place_hide(const struct places *places, uint64_t offset, enum place_state *state);

/* All is gone, but for what `is_lost` says. */
void places_release(const struct places *places, bool (*is_lost)(void *argument, uint64_t offset), void *argument);

#endif
