/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a memory object are there: the system-specific half of `stoa map` and `stoa stat`. Implemented once per system under
 * tools/os/<system>/. Looks only: never makes a page, and a peer that cuts the object meanwhile does no harm.
 */
#ifndef TOOLS_OS_PAGES_H
#define TOOLS_OS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGES_UNIT UINT64_C(4096)

/* What is known of a page. */
#define PAGES_PRESENT 1 /* in memory, and has been touched */
#define PAGES_HUGE 2    /* part of a huge page */

/*
 * The states of `count` pages from byte `offset` of the object; offset and count should be multiples of a huge page's, or the ends
 * of the object, as huge pages across them are not seen. *ret_huge_known: the system tells huge pages. 0 or an errno
 * value: EACCES for objects that this user may not write, as the system tells only those who may.
 */
int pages_states(int descriptor, uint64_t offset, size_t count, unsigned char *states, bool *ret_huge_known);

/*
 * How many pages of [offset, offset + length) have memory, touched or not, swapped ones included, and how many of them are swapped
 * out. False: this system does not tell.
 */
bool pages_backed(int descriptor, uint64_t offset, uint64_t length, uint64_t *ret_backed, uint64_t *ret_swapped);

/* When the object was made, in seconds since 1970; 0 when the system does not know. */
int64_t pages_born(int descriptor);

#endif
