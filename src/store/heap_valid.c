/* SPDX-License-Identifier: MIT */
/* Does the book of an arena agree with itself? For tests: it walks everything. See heap.h. */
#include <store/heap_book.h>

struct counts {
	uint64_t warm, owed, spans;
	uint64_t free_runs[2], free_pages[2];
	uint64_t room; /* bytes that used extents may have */
};

static bool span_valid(const struct store_heap *heap, const struct run *run, struct counts *counts)
{
	const struct span *span = heap_span_at(heap, run->first * OS_PAGE);
	unsigned free = 0, places;
	uint64_t lost = 0;

	if (!span || span->first != run->first || run->pages != SPAN_PAGES || run->first % SPAN_PAGES ||
	    span->class >= CLASSES)
		return false;
	places = heap_class_places(span->class);
	for (unsigned word = 0; word * 64 < places; word++) {
		uint64_t there = places >= word * 64 + 64 ? UINT64_MAX : (UINT64_C(1) << places % 64) - 1;

		free += cc_count_bits(span->places[word]);
		lost |= span->places[word] & (word < span->word ? UINT64_MAX : ~there);
	}
	counts->spans += span->free > 0;
	counts->warm += SPAN_PAGES - cc_count_bits(span->cold);
	counts->room += (uint64_t)(places - free) * heap_class_size(span->class);
	return free == span->free && !lost;
}

static bool used_valid(const struct store_heap *heap, const struct run *run, struct counts *counts)
{
	const struct run *before = run->before;

	if (run->begins ? heap_run_at(heap, run->first) != run
			: !before || !before->used || before->span || before->warm == run->warm)
		return false;
	if (run->span)
		return run->begins && span_valid(heap, run, counts);
	counts->warm += run->warm ? run->pages : 0;
	counts->owed += run->begins && !run->warm;
	counts->room += run->pages * OS_PAGE;
	return true;
}

static bool run_valid(const struct store_heap *heap, const struct run *run, struct counts *counts)
{
	const struct run *before = run->before;

	if (!run->pages || run->first != (before ? before->first + before->pages : 0) ||
	    (before && before->after != run))
		return false;
	if (run->used)
		return used_valid(heap, run, counts);
	counts->warm += run->warm ? run->pages : 0;
	counts->free_runs[run->warm]++;
	counts->free_pages[run->warm] += run->pages;
	return !run->begins && !run->span && !(before && !before->used && before->warm == run->warm);
}

static bool bins_valid(const struct bins *bins, bool warm, uint64_t runs, uint64_t pages)
{
	for (unsigned bin = 0; bin < BIN_WORDS * 64; bin++) {
		const struct run *before = NULL, *run = bin < BINS ? bins->heads[bin] : NULL;

		if (!run != !(bins->filled[bin / 64] >> bin % 64 & 1))
			return false;
		for (; run; before = run, run = run->bin_after, runs--)
			if (!runs || run->used || run->warm != warm || heap_bin_of(run->pages) != bin ||
			    run->bin_before != before)
				return false;
	}
	return !runs && bins->pages == pages;
}

static bool lists_valid(const struct store_heap *heap, uint64_t spans)
{
	for (unsigned class = 0; class < CLASSES; class ++) {
		const struct span *before = NULL;

		for (const struct span *span = heap->roomy[class]; span; before = span, span = span->after, spans--)
			if (!spans || span->class != class || !span->free || span->before != before)
				return false;
	}
	return !spans;
}

static bool spares_valid(const struct store_heap *heap)
{
	uint64_t spares = heap->spares;

	for (const struct run *run = heap->spare; run; run = run->bin_after)
		if (!spares--)
			return false;
	return !spares && heap->spares >= heap->owed;
}

bool store_heap_valid(const struct store_heap *heap)
{
	struct counts counts = {0};
	uint64_t end = 0;

	for (const struct run *run = heap->lowest; run; end = (uint64_t)run->first + run->pages, run = run->after)
		if (run->first != end || !run_valid(heap, run, &counts))
			return false;
	return end == heap->pages && counts.warm == heap->warm && counts.owed == heap->owed &&
	       counts.room >= heap->used &&
	       bins_valid(&heap->bins[0], false, counts.free_runs[0], counts.free_pages[0]) &&
	       bins_valid(&heap->bins[1], true, counts.free_runs[1], counts.free_pages[1]) &&
	       lists_valid(heap, counts.spans) && spares_valid(heap);
}
