/* SPDX-License-Identifier: MIT */
/*
 * Runs of pages: where there is a place, cutting them, and joining free neighbours that are alike. See heap.h.
 *
 * Nothing here allocates but heap_run_reserve() and heap_leaf_make(), which are called first; so what frees cannot fail. A run that is
 * needed later, when the first cold pages of an extent that begins with them become warm, is *owed* from when the extent is taken.
 */
#include <assert.h>
#include <store/heap_book.h>

#define EXACT 32u

unsigned heap_bin_of(uint32_t pages)
{
	unsigned high;

	if (pages < EXACT)
		return pages;
	high = cc_highest_bit(pages);
	return EXACT + (high - 5) * 8 + (pages >> (high - 3) & 7);
}

static void bin_add(struct store_heap *heap, struct run *run)
{
	struct bins *bins = &heap->bins[run->warm];
	unsigned bin = heap_bin_of(run->pages);

	run->bin_before = NULL;
	run->bin_after = bins->heads[bin];
	if (run->bin_after)
		run->bin_after->bin_before = run;
	bins->heads[bin] = run;
	bins->filled[bin / 64] |= UINT64_C(1) << bin % 64;
	bins->pages += run->pages;
}

static void bin_remove(struct store_heap *heap, struct run *run)
{
	struct bins *bins = &heap->bins[run->warm];
	unsigned bin = heap_bin_of(run->pages);

	if (run->bin_after)
		run->bin_after->bin_before = run->bin_before;
	if (run->bin_before)
		run->bin_before->bin_after = run->bin_after;
	else
		bins->heads[bin] = run->bin_after;
	if (!bins->heads[bin])
		bins->filled[bin / 64] &= ~(UINT64_C(1) << bin % 64);
	bins->pages -= run->pages;
}

/* The first bin from `bin` on, or the last one before it, that is not empty; BINS: there is none. */
static unsigned bin_from(const struct bins *bins, unsigned bin)
{
	for (unsigned word = bin / 64; word < BIN_WORDS; word++) {
		uint64_t filled = bins->filled[word] & (word == bin / 64 ? UINT64_MAX << bin % 64 : UINT64_MAX);

		if (filled)
			return word * 64 + cc_lowest_bit(filled);
	}
	return BINS;
}

static unsigned bin_below(const struct bins *bins, unsigned bin)
{
	for (unsigned word = BIN_WORDS; word-- > 0;) {
		uint64_t filled = word * 64 >= bin        ? 0
				  : word * 64 + 64 <= bin ? bins->filled[word]
							  : bins->filled[word] & ((UINT64_C(1) << bin % 64) - 1);

		if (filled)
			return word * 64 + cc_highest_bit(filled);
	}
	return BINS;
}

struct run *heap_run_largest(const struct store_heap *heap)
{
	unsigned bin = bin_below(&heap->bins[true], BINS);

	return bin == BINS ? NULL : heap->bins[true].heads[bin];
}

/* ---- memory of the book ---- */

#define SLAB_RUNS 64u
struct slab {
	struct slab *next;
	struct run runs[SLAB_RUNS];
};

void heap_run_drop(struct store_heap *heap, struct run *run)
{
	run->bin_after = heap->spare;
	heap->spare = run;
	heap->spares++;
}

int heap_run_reserve(struct store_heap *heap, unsigned count)
{
	while (heap->spares < heap->owed + count) {
		struct slab *slab = os_allocate(sizeof(*slab));

		if (!slab)
			return -STOA_ENOMEM;
		slab->next = heap->slabs;
		heap->slabs = slab;
		for (unsigned i = SLAB_RUNS; i-- > 0;)
			heap_run_drop(heap, &slab->runs[i]);
	}
	return 0;
}

struct run *heap_run_new(struct store_heap *heap)
{
	struct run *run = heap->spare;

	assert(run);
	heap->spare = run->bin_after;
	heap->spares--;
	memset(run, 0, sizeof(*run));
	return run;
}

int heap_leaf_make(struct store_heap *heap, uint64_t page)
{
	struct leaf **leaf = &heap->leaves[page / LEAF_PAGES];

	if (!*leaf)
		*leaf = os_allocate(sizeof(**leaf));
	if (page >= heap->top)
		heap->top = page + 1;
	return *leaf ? 0 : -STOA_ENOMEM;
}

void heap_runs_end(struct store_heap *heap)
{
	while (heap->slabs) {
		struct slab *slab = heap->slabs;

		heap->slabs = slab->next;
		os_free(slab);
	}
}

/* ---- cutting and joining ---- */

struct run *heap_run_cut(struct store_heap *heap, struct run *run, uint32_t pages)
{
	struct run *rest = heap_run_new(heap);

	*rest = *run;
	rest->begins = false;
	rest->first += pages;
	rest->pages -= pages;
	rest->before = run;
	if (rest->after)
		rest->after->before = rest;
	run->pages = pages;
	run->after = rest;
	return rest;
}

void heap_run_absorb(struct store_heap *heap, struct run *run)
{
	struct run *after = run->after;

	run->pages += after->pages;
	run->after = after->after;
	if (run->after)
		run->after->before = run;
	heap_run_drop(heap, after);
}

void heap_run_forget(struct store_heap *heap, struct run *run)
{
	bin_remove(heap, run);
	heap_run_drop(heap, run);
}

static bool alike(const struct run *run, const struct run *other)
{
	return other && !other->used && other->warm == run->warm;
}

void heap_run_free(struct store_heap *heap, struct run *run)
{
	if (alike(run, run->after)) {
		bin_remove(heap, run->after);
		heap_run_absorb(heap, run);
	}
	if (alike(run, run->before)) {
		run = run->before;
		bin_remove(heap, run);
		heap_run_absorb(heap, run);
	}
	bin_add(heap, run);
}

void heap_run_release(struct store_heap *heap, struct run *run)
{
	if (run->begins && !run->span)
		heap->owed -= !run->warm;
	run->used = run->begins = run->span = false;
	heap->hopeless[0] = heap->hopeless[1] = UINT32_MAX;
	heap_run_free(heap, run);
}

struct run *heap_run_carve(struct store_heap *heap, struct heap_place place, uint32_t pages)
{
	struct run *run = place.run, *begin;

	bin_remove(heap, run);
	if (run->first < place.first) {
		struct run *rest = heap_run_cut(heap, run, place.first - run->first);

		bin_add(heap, run);
		run = rest;
	}
	begin = run;
	for (;;) {
		if (run->pages > pages)
			bin_add(heap, heap_run_cut(heap, run, pages));
		run->used = true;
		pages -= run->pages;
		if (!pages)
			break;
		run = run->after;
		bin_remove(heap, run);
	}
	begin->begins = true;
	heap->owed += !begin->warm;
	return begin;
}

struct run *heap_run_chill(struct store_heap *heap, struct run *run, uint64_t pages)
{
	bin_remove(heap, run);
	if (pages < run->pages && heap_run_reserve(heap, 1) == 0) {
		struct run *rest = heap_run_cut(heap, run, run->pages - (uint32_t)pages);

		bin_add(heap, run);
		run = rest;
	}
	run->warm = false;
	return run;
}

/* ---- finding a place ---- */

#define LOOKS 16u /* at runs of one bin; at warm ones that are too small by themselves */

static uint64_t aligned(uint64_t page, uint32_t align)
{
	return (page + align - 1) & ~(uint64_t)(align - 1);
}

static bool fits(const struct run *run, uint32_t pages, uint32_t align)
{
	return aligned(run->first, align) + pages <= (uint64_t)run->first + run->pages;
}

/* The smallest of a bin's first runs that has the place. */
static struct run *fit_in_bin(struct run *run, uint32_t pages, uint32_t align)
{
	struct run *best = NULL;

	for (unsigned i = 0; run && i < LOOKS; i++, run = run->bin_after)
		if ((!best || run->pages < best->pages) && fits(run, pages, align))
			best = run;
	return best;
}

static struct run *fit(const struct bins *bins, uint32_t pages, uint32_t align)
{
	for (unsigned bin = heap_bin_of(pages); (bin = bin_from(bins, bin)) < BINS; bin++) {
		struct run *run = fit_in_bin(bins->heads[bin], pages, align);

		if (run)
			return run;
	}
	return NULL;
}

/* In a warm run and its cold neighbours: from its first page on, or up to the end of what is free. */
static struct heap_place beside(struct run *run, uint32_t pages, uint32_t align)
{
	struct run *low = run->before && !run->before->used ? run->before : run;
	struct run *high = run->after && !run->after->used ? run->after : run;
	uint64_t end = (uint64_t)high->first + high->pages, first = aligned(run->first, align);

	if (first + pages > end && end >= (uint64_t)low->first + pages)
		first = (end - pages) & ~(uint64_t)(align - 1);
	if (first + pages > end || first < low->first)
		return (struct heap_place){NULL, 0};
	while (low->first + low->pages <= first) {
		assert(low->after);
		low = low->after;
	}
	return (struct heap_place){low, (uint32_t)first};
}

/* Large warm runs first. */
static struct heap_place mixed(const struct store_heap *heap, uint32_t pages, uint32_t align)
{
	const struct bins *warm = &heap->bins[true];
	unsigned looks = LOOKS;

	for (unsigned bin = BINS; looks && (bin = bin_below(warm, bin)) < BINS;) {
		for (struct run *run = warm->heads[bin]; looks && run; looks--, run = run->bin_after) {
			struct heap_place place = beside(run, pages, align);

			if (place.run)
				return place;
		}
	}
	return (struct heap_place){NULL, 0};
}

/* Any place at all, through as many free runs as are beside each other. */
static struct heap_place anywhere(const struct store_heap *heap, uint32_t pages, uint32_t align)
{
	struct run *low = NULL;

	for (struct run *run = heap->lowest; run; run = run->after) {
		uint64_t first;

		if (run->used) {
			low = NULL;
			continue;
		}
		if (!low)
			low = run;
		first = aligned(low->first, align);
		if (first + pages > (uint64_t)run->first + run->pages)
			continue;
		while (low->first + low->pages <= first)
			low = low->after;
		return (struct heap_place){low, (uint32_t)first};
	}
	return (struct heap_place){NULL, 0};
}

struct heap_place heap_run_find(const struct store_heap *heap, uint32_t pages, uint32_t align)
{
	struct run *run = fit(&heap->bins[true], pages, align);
	struct heap_place place = {run, run ? (uint32_t)aligned(run->first, align) : 0};

	if (!run)
		place = mixed(heap, pages, align);
	if (!place.run) {
		run = fit(&heap->bins[false], pages, align);
		place = (struct heap_place){run, run ? (uint32_t)aligned(run->first, align) : 0};
	}
	if (!place.run && pages < heap->hopeless[align > 1] && pages <= heap->bins[0].pages + heap->bins[1].pages)
		place = anywhere(heap, pages, align);
	return place;
}

uint64_t heap_place_cold(struct heap_place place, uint32_t pages)
{
	uint64_t cold = 0, first = place.first, end = first + pages;

	for (const struct run *run = place.run; first < end; first = run->first + run->pages, run = run->after) {
		uint64_t stop = (uint64_t)run->first + run->pages;

		if (!run->warm)
			cold += (stop < end ? stop : end) - first;
	}
	return cold;
}
