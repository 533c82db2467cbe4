/* SPDX-License-Identifier: MIT */
/*
 * Which bytes of an arena are whose: the server's book of one arena, a memory object of fixed size whose pages are committed and
 * punched by the caller. The book is in the server's private memory; nothing of it is in the arena, whose bytes others write.
 *
 * A page is *warm* when it is committed, else *cold*; and it is used, or free. What is free and warm is used first, since the first touch of a
 * page costs more than to copy a page; only cooling (store_heap_cool()) makes it cold.
 *
 * The one hard idea: the arena is cut into *runs* of pages that are alike (used or free, warm or cold), in a list by address; free
 * neighbours that are alike are always one run. Free runs wait in bins by size, warm ones and cold ones apart, so that a good fit is found by
 * looking at one word of bits. A used extent is one run, or a few if some of its pages are still cold. Extents up to 16 KiB lie in
 * *spans*, runs of 64 KiB at multiples of that, cut into equal places; a bit says whether one is free. As a span's address and the place's
 * size follow from an extent's offset and length, a successor can rebuild the book from extents alone, in any order.
 *
 *   call                     costs
 *   take, give up to 16 KiB  O(1): a bit of a span; one in so many as fit in a span makes or gives back a run
 *   take, give above         O(1), but for a search through all runs when no bin has enough and several free runs together might
 *   need                     as take
 *   cool                     O(1)
 *   mark                     O(length / 256 KiB); adopted: O(extents + size / 128 MiB + warm pages / 64)
 *
 * Memory of the book: 8 KiB; 8 bytes for each 4 MiB of the arena, which count only once they are touched where the arena is large; 9 KiB for
 * each 4 MiB in which an extent or a span was ever begun; 48 bytes for a run, 64 to 168 for a span. So 0.25 % of the addresses in use,
 * or 0.5 % where the extents are small. An adoption takes 8 KiB more for each 128 MiB in use, until it ends.
 *
 * Invariants, which store_heap_valid() looks at: runs follow each other without a gap, and no two free neighbours are alike; each free run is
 * in its bin; a span's free places are counted, and it is in its class's list if it has any.
 *
 * One thread at a time. No system calls but to allocate. Lengths are multiples of 64, and at least that; so are offsets, and those of extents above
 * 16 KiB are multiples of the page. Calls but mark trust their arguments (asserts).
 */
#ifndef STORE_HEAP_H
#define STORE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct store_heap;

/* Of an arena of `size` bytes, whole pages, all cold and free. ENOMEM, ERANGE (none, or more than 8 TiB). */
int store_heap_create(uint64_t size, struct store_heap **ret_heap);
void store_heap_destroy(struct store_heap *heap); /* NULL is allowed */

/*
 * Take an extent: of warm pages if there are enough of them together, among these a small one that fits, else of as few cold ones as is
 * quickly found. Then the caller commits what store_heap_cold() names, and tells it with store_heap_warmed(); if that fails it
 * gives the extent back. ENOMEM: no such run of addresses is free, or the book cannot grow.
 */
int store_heap_take(struct store_heap *heap, uint64_t length, uint64_t *ret_offset);

/*
 * By how many bytes store_heap_committed() would grow if this were taken now, and committed; by less, maybe, when spans that hold nothing have to make
 * way. Cooling can take away what would have been used: ask again after it.
 */
uint64_t store_heap_need(const struct store_heap *heap, uint64_t length);

/* The first run of an extent's pages, [*ret_from, *ret_to), that are cold; false: all are warm. */
bool store_heap_cold(const struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t *ret_from,
		     uint64_t *ret_to);

/* The same of the span that a small extent lies in; false also for extents that lie in none. */
bool store_heap_cold_around(const struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t *ret_from,
			    uint64_t *ret_to);

/* Pages of that extent, or of its span, are committed now: from where store_heap_cold() said, up to there or less far. */
void store_heap_warmed(struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t from, uint64_t to);

/* Each run of pages that are cold, used or free, from the lowest up. */
void store_heap_visit_cold(const struct store_heap *heap, void (*visit)(void *argument, uint64_t from, uint64_t to),
			   void *argument);

/* Free it. Its warm pages stay warm. */
void store_heap_give(struct store_heap *heap, uint64_t offset, uint64_t length);

/*
 * Name warm pages that hold nothing, about `bytes` of them if the largest run has as many, else that run. They count as cold from now
 * on; the caller punches them before it takes anything. Returns how many bytes: less than asked, call again; 0: there are none.
 */
uint64_t store_heap_cool(struct store_heap *heap, uint64_t bytes, uint64_t *ret_from, uint64_t *ret_to);

/* Bytes: of warm pages, used or free; of extents, as they were asked for; of warm pages that store_heap_cool() could name, or a little less. */
uint64_t store_heap_committed(const struct store_heap *heap);
uint64_t store_heap_used(const struct store_heap *heap);
uint64_t store_heap_coolable(const struct store_heap *heap);

/*
 * Adoption of an arena, as a dead server left it, by a new heap. First mark each extent, in any order; its pages are warm.
 * The arguments may be anything. EFORMAT: no heap hands out such an extent, or not beside those marked before; EEXIST: it overlaps one of
 * them; ENOMEM. After an error it is not marked. Then say which other pages are committed, whatever they hold, in as many runs as there are. Last,
 * adopted: from then on all other calls are allowed. If that fails (ENOMEM) the heap is good only to be destroyed.
 */
int store_heap_mark(struct store_heap *heap, uint64_t offset, uint64_t length);
int store_heap_mark_warm(struct store_heap *heap, uint64_t from, uint64_t to);
int store_heap_adopted(struct store_heap *heap);

/* Does the book agree with itself? For tests; walks everything. */
bool store_heap_valid(const struct store_heap *heap);

#endif
