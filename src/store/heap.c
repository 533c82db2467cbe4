/* SPDX-License-Identifier: MIT */
/* The server's book of an arena: what it hands out, page by page or from spans, and what is committed. See heap.h. */
#include <store/heap_book.h>

#include <inttypes.h>

#define PAGES_MAX (UINT64_C(1) << 31)

static uint64_t leaves_bytes(const struct store_heap *heap)
{
	return (heap->pages + (uint64_t)LEAF_PAGES - 1) / LEAF_PAGES * sizeof(struct leaf *);
}

int store_heap_create(uint64_t size, struct store_heap **ret_heap)
{
	struct store_heap *heap;

	if (!size || size % OS_PAGE || size / OS_PAGE > PAGES_MAX)
		return error_set(-STOA_ERANGE, "an arena has whole pages, up to 8TiB, not %" PRIu64 " bytes", size);
	heap = os_allocate(sizeof(*heap));
	if (!heap)
		return -STOA_ENOMEM;
	heap->pages = (uint32_t)(size / OS_PAGE);
	heap->hopeless[0] = heap->hopeless[1] = UINT32_MAX;
	heap_classes_init(heap);
	heap->leaves = leaves_bytes(heap) > OS_PAGE ? os_pages_allocate(leaves_bytes(heap))
						    : os_allocate((size_t)leaves_bytes(heap));
	if (!heap->leaves || heap_run_reserve(heap, 1)) {
		store_heap_destroy(heap);
		return -STOA_ENOMEM;
	}
	heap->lowest = heap_run_new(heap);
	heap->lowest->pages = heap->pages;
	heap_run_free(heap, heap->lowest);
	*ret_heap = heap;
	return 0;
}

/* Leaves that were never made are in pages that were never touched: they stay so. */
static void leaves_end(struct store_heap *heap)
{
	for (uint64_t page = 0; page < heap->top; page += LEAF_PAGES) {
		struct leaf *leaf = leaf_at(heap, page);

		for (unsigned i = 0; leaf && i < CC_COUNT(leaf->spans); i++)
			os_free(leaf->spans[i]);
		os_free(leaf);
	}
	if (leaves_bytes(heap) > OS_PAGE)
		os_pages_free(heap->leaves, leaves_bytes(heap));
	else
		os_free(heap->leaves);
}

void store_heap_destroy(struct store_heap *heap)
{
	if (!heap)
		return;
	if (heap->leaves)
		leaves_end(heap);
	heap_adoption_end(heap);
	heap_runs_end(heap);
	os_free(heap);
}

struct heap_place heap_place_or_tidy(struct store_heap *heap, uint32_t pages, uint32_t align)
{
	struct heap_place place = heap_run_find(heap, pages, align);

	if (!place.run) {
		heap_spans_tidy(heap);
		place = heap_run_find(heap, pages, align);
	}
	if (!place.run && pages < heap->hopeless[align > 1])
		heap->hopeless[align > 1] = pages;
	return place;
}

static int take_pages(struct store_heap *heap, uint32_t pages, uint64_t *ret_offset)
{
	struct heap_place place = heap_place_or_tidy(heap, pages, 1);

	if (!place.run)
		return error_set(-STOA_ENOMEM, "no %" PRIu32 " pages together are free in an arena of %" PRIu32, pages,
				 heap->pages);
	if (heap_run_reserve(heap, 3) || heap_leaf_make(heap, place.first))
		return -STOA_ENOMEM;
	leaf_at(heap, place.first)->runs[place.first % LEAF_PAGES] = heap_run_carve(heap, place, pages);
	*ret_offset = place.first * OS_PAGE;
	return 0;
}

int store_heap_take(struct store_heap *heap, uint64_t length, uint64_t *ret_offset)
{
	int result;

	assert(!heap->chunks && length && length % UNIT == 0);
	if (length <= SMALL_MAX)
		result = heap_span_take(heap, length, ret_offset);
	else if (length > heap->pages * OS_PAGE)
		return error_set(-STOA_ENOMEM, "%" PRIu64 " bytes are more than the arena has", length);
	else
		result = take_pages(heap, (uint32_t)pages_of(length), ret_offset);
	if (!result)
		heap->used += length;
	return result;
}

uint64_t store_heap_need(const struct store_heap *heap, uint64_t length)
{
	struct heap_place place = {NULL, 0};

	if (length <= SMALL_MAX)
		return heap_span_need(heap, length);
	if (length <= heap->pages * OS_PAGE)
		place = heap_run_find(heap, (uint32_t)pages_of(length), 1);
	return OS_PAGE * (place.run ? heap_place_cold(place, (uint32_t)pages_of(length)) : pages_of(length));
}

/* ---- what is committed ---- */

static bool bits_run(uint32_t bits, uint64_t base, uint64_t *ret_from, uint64_t *ret_to)
{
	unsigned first;

	if (!bits)
		return false;
	first = cc_lowest_bit(bits);
	*ret_from = base + first * OS_PAGE;
	*ret_to = *ret_from + cc_lowest_bit(~((uint64_t)bits >> first)) * OS_PAGE;
	return true;
}

bool store_heap_cold(const struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t *ret_from,
		     uint64_t *ret_to)
{
	uint64_t end = offset / OS_PAGE + pages_of(length);

	if (length <= SMALL_MAX)
		return bits_run(heap_span_cold(heap_span_at(heap, offset), offset, length), offset & ~(SPAN_BYTES - 1),
				ret_from, ret_to);
	for (const struct run *run = heap_run_at(heap, offset / OS_PAGE); run && run->first < end; run = run->after) {
		if (run->warm)
			continue;
		*ret_from = run->first * OS_PAGE;
		*ret_to = *ret_from + run->pages * OS_PAGE;
		return true;
	}
	return false;
}

bool store_heap_cold_around(const struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t *ret_from,
			    uint64_t *ret_to)
{
	return length <= SMALL_MAX &&
	       bits_run(heap_span_at(heap, offset)->cold, offset & ~(SPAN_BYTES - 1), ret_from, ret_to);
}

void store_heap_visit_cold(const struct store_heap *heap, void (*visit)(void *argument, uint64_t from, uint64_t to),
			   void *argument)
{
	for (const struct run *run = heap->lowest; run; run = run->after) {
		uint64_t base = run->first * OS_PAGE, from, to;
		uint32_t bits;

		if (!run->span) {
			if (!run->warm)
				visit(argument, base, base + run->pages * OS_PAGE);
			continue;
		}
		bits = heap_span_at(heap, base)->cold;
		while (bits_run(bits, base, &from, &to)) {
			visit(argument, from, to);
			bits &= ~(UINT32_C(0)) << ((to - base) / OS_PAGE);
		}
	}
}

/* The first pages of a cold run of an extent; its neighbours in the extent are warm. */
static void run_warmed(struct store_heap *heap, struct run *run, uint32_t pages)
{
	assert(run->used && !run->warm && pages <= run->pages);
	heap->warm += pages;
	if (!run->begins && pages < run->pages) {
		run->before->pages += pages;
		run->first += pages;
		run->pages -= pages;
		return;
	}
	if (pages < run->pages)
		(void)heap_run_cut(heap, run, pages);
	run->warm = true;
	heap->owed -= run->begins;
	if (run->after && run->after->used && run->after->warm && !run->after->begins)
		heap_run_absorb(heap, run);
	if (!run->begins)
		heap_run_absorb(heap, run->before);
}

void store_heap_warmed(struct store_heap *heap, uint64_t offset, uint64_t length, uint64_t from, uint64_t to)
{
	uint32_t pages = (uint32_t)((to - from) / OS_PAGE);
	struct span *span;
	struct run *run;
	uint16_t bits;

	if (length > SMALL_MAX) {
		for (run = heap_run_at(heap, offset / OS_PAGE); run->first < from / OS_PAGE;)
			run = run->after;
		run_warmed(heap, run, pages);
		return;
	}
	span = heap_span_at(heap, offset);
	bits = (uint16_t)(((UINT32_C(1) << pages) - 1) << from % SPAN_BYTES / OS_PAGE);
	assert((span->cold & bits) == bits);
	span->cold &= (uint16_t)~bits;
	heap->warm += pages;
}

static void give_pages(struct store_heap *heap, uint64_t page, uint64_t pages)
{
	struct run *run = heap_run_at(heap, page);

	assert(run && run->begins && !run->span);
	leaf_at(heap, page)->runs[page % LEAF_PAGES] = NULL;
	while (pages) {
		struct run *after = run->after;

		assert(run->used && run->pages <= pages);
		pages -= run->pages;
		heap_run_release(heap, run);
		run = after;
	}
}

void store_heap_give(struct store_heap *heap, uint64_t offset, uint64_t length)
{
	assert(!heap->chunks && heap->used >= length);
	heap->used -= length;
	if (length <= SMALL_MAX)
		heap_span_give(heap, offset, length);
	else
		give_pages(heap, offset / OS_PAGE, pages_of(length));
}

uint64_t store_heap_cool(struct store_heap *heap, uint64_t bytes, uint64_t *ret_from, uint64_t *ret_to)
{
	struct run *run = heap_run_largest(heap);

	if (!run) {
		heap_spans_tidy(heap);
		run = heap_run_largest(heap);
	}
	if (!run || !bytes)
		return 0;
	run = heap_run_chill(heap, run, pages_of(bytes));
	*ret_from = run->first * OS_PAGE;
	*ret_to = *ret_from + run->pages * OS_PAGE;
	bytes = run->pages * OS_PAGE;
	heap->warm -= run->pages;
	heap_run_free(heap, run);
	return bytes;
}

uint64_t store_heap_committed(const struct store_heap *heap)
{
	return heap->warm * OS_PAGE;
}

uint64_t store_heap_used(const struct store_heap *heap)
{
	return heap->used;
}

uint64_t store_heap_coolable(const struct store_heap *heap)
{
	return heap->bins[true].pages * OS_PAGE;
}
