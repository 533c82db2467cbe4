/* SPDX-License-Identifier: MIT */
/*
 * Spans: 64 KiB for extents of up to 16 KiB of one class. A class is as large as can be for the number of places that it gives, so that little is lost
 * at the end; an extent is rounded up by an eighth at most up to 8 KiB, by a fifth above. See heap.h.
 *
 * The lowest free place is taken, so that a span's pages become warm one by one. A span that holds nothing is given back, unless its class has no
 * other with room: who takes and gives one extent in turn would make and give back a span each time.
 */
#include <assert.h>
#include <store/heap_book.h>

static const uint16_t sizes[CLASSES] = {
	64,   128,  192,  256,  320,  384,  448,  512,  576,  640,  704,  768,   832,   896,
	960,  1024, 1152, 1280, 1408, 1536, 1664, 1792, 1920, 2048, 2304, 2560,  2816,  3072,
	3392, 3584, 3840, 4096, 4672, 5440, 5952, 6528, 7232, 8192, 9344, 10880, 13056, 16384,
};

uint32_t heap_class_size(unsigned class)
{
	return sizes[class];
}

void heap_classes_init(struct store_heap *heap)
{
	unsigned class = 0;

	for (unsigned units = 0; units < CC_COUNT(heap->class_of); units++) {
		class += units * UNIT > sizes[class];
		heap->class_of[units] = (uint8_t) class;
	}
}

unsigned heap_class_places(unsigned class)
{
	return (unsigned)SPAN_BYTES / sizes[class];
}

void heap_span_list(struct store_heap *heap, struct span *span)
{
	struct span **head = &heap->roomy[span->class];

	span->before = NULL;
	span->after = *head;
	if (*head)
		(*head)->before = span;
	*head = span;
}

static void unlist(struct store_heap *heap, struct span *span)
{
	if (span->after)
		span->after->before = span->before;
	if (span->before)
		span->before->after = span->after;
	else
		heap->roomy[span->class] = span->after;
}

/* In no list. */
int heap_span_make(struct store_heap *heap, struct run *run, unsigned class, struct span **ret_span)
{
	unsigned places = heap_class_places(class);
	struct span *span = os_allocate(sizeof(*span) + (places + 63) / 64 * sizeof(span->places[0]));

	if (!span)
		return -STOA_ENOMEM;
	span->class = (uint8_t) class;
	span->free = (uint16_t)places;
	span->first = run->first;
	for (unsigned word = 0; word * 64 < places; word++)
		span->places[word] = places - word * 64 < 64 ? (UINT64_C(1) << places % 64) - 1 : UINT64_MAX;
	leaf_at(heap, run->first)->spans[run->first / SPAN_PAGES % (LEAF_PAGES / SPAN_PAGES)] = span;
	leaf_at(heap, run->first)->runs[run->first % LEAF_PAGES] = run;
	*ret_span = span;
	return 0;
}

/* The pages of runs that were carved become one run; which of them are cold. */
static uint16_t join(struct store_heap *heap, struct run *run)
{
	uint32_t cold = run->warm ? 0 : (UINT32_C(1) << run->pages) - 1;

	heap->owed -= !run->warm;
	run->span = true;
	while (run->pages < SPAN_PAGES) {
		if (!run->after->warm)
			cold |= ((UINT32_C(1) << run->after->pages) - 1) << run->pages;
		heap_run_absorb(heap, run);
	}
	return (uint16_t)cold;
}

/* A span's run becomes free: as many runs as its pages differ. SPAN_PAGES - 1 runs are reserved. */
static void span_run_free(struct store_heap *heap, struct run *run, uint32_t cold)
{
	uint32_t left = SPAN_PAGES;

	while (left) {
		bool warm = !(cold & 1);
		uint32_t alike = cc_lowest_bit((warm ? cold : ~cold) | UINT64_C(1) << left);
		struct run *rest = alike < left ? heap_run_cut(heap, run, alike) : NULL;

		assert(run);
		run->warm = warm;
		heap_run_release(heap, run);
		left -= alike;
		cold >>= alike;
		run = rest;
	}
}

static int new_span(struct store_heap *heap, unsigned class, struct span **ret_span)
{
	struct heap_place place = heap_place_or_tidy(heap, SPAN_PAGES, SPAN_PAGES);
	struct run *run;
	uint16_t cold;

	if (!place.run)
		return error_set(-STOA_ENOMEM, "no 64KiB are free in the arena");
	if (heap_run_reserve(heap, 2) || heap_leaf_make(heap, place.first))
		return -STOA_ENOMEM;
	run = heap_run_carve(heap, place, SPAN_PAGES);
	cold = join(heap, run);
	if (heap_span_make(heap, run, class, ret_span)) { /* to cut it again takes as many runs as joining gave */
		span_run_free(heap, run, cold);
		return -STOA_ENOMEM;
	}
	(*ret_span)->cold = cold;
	heap_span_list(heap, *ret_span);
	return 0;
}

int heap_span_take(struct store_heap *heap, uint64_t length, uint64_t *ret_offset)
{
	unsigned class = heap->class_of[length / UNIT], bit;
	struct span *span = heap->roomy[class];
	int result;

	if (CC_UNLIKELY(!span)) {
		result = new_span(heap, class, &span);
		if (result)
			return result;
	}
	while (!span->places[span->word])
		span->word++;
	bit = cc_lowest_bit(span->places[span->word]);
	span->places[span->word] &= span->places[span->word] - 1;
	if (!--span->free)
		unlist(heap, span);
	*ret_offset = span->first * OS_PAGE + (span->word * 64 + bit) * (uint64_t)sizes[class];
	return 0;
}

uint32_t heap_span_cold(const struct span *span, uint64_t offset, uint64_t length)
{
	uint64_t within = offset % SPAN_BYTES, last = (within + length - 1) / OS_PAGE;

	return span->cold & ((UINT32_C(2) << last) - 1) & ~((UINT32_C(1) << within / OS_PAGE) - 1);
}

uint64_t heap_span_need(const struct store_heap *heap, uint64_t length)
{
	unsigned class = heap->class_of[length / UNIT], word;
	const struct span *span = heap->roomy[class];
	struct heap_place place;

	if (!span) {
		place = heap_run_find(heap, SPAN_PAGES, SPAN_PAGES);
		return OS_PAGE * (place.run ? heap_place_cold(place, (uint32_t)pages_of(length)) : pages_of(length));
	}
	for (word = span->word; !span->places[word];)
		word++;
	return OS_PAGE *
	       cc_count_bits(heap_span_cold(
		       span, (word * 64 + cc_lowest_bit(span->places[word])) * (uint64_t)sizes[class], length));
}

/* ---- giving back ---- */

/* It holds nothing. Stays where there is no memory to cut it. */
static void give_span(struct store_heap *heap, struct span *span)
{
	struct run *run = heap_run_at(heap, span->first);
	struct leaf *leaf = leaf_at(heap, run->first);

	if (heap_run_reserve(heap, SPAN_PAGES))
		return;
	unlist(heap, span);
	leaf->spans[run->first / SPAN_PAGES % (LEAF_PAGES / SPAN_PAGES)] = NULL;
	leaf->runs[run->first % LEAF_PAGES] = NULL;
	span_run_free(heap, run, span->cold);
	os_free(span);
}

void heap_span_give(struct store_heap *heap, uint64_t offset, uint64_t length)
{
	struct span *span = heap_span_at(heap, offset);
	unsigned class = heap->class_of[length / UNIT], place = (unsigned)(offset % SPAN_BYTES) / sizes[class];
	uint64_t bit = UINT64_C(1) << place % 64;

	assert(span && span->class == class && !(span->places[place / 64] & bit));
	span->places[place / 64] |= bit;
	if (place / 64 < span->word)
		span->word = (uint8_t)(place / 64);
	if (!span->free++)
		heap_span_list(heap, span);
	if (span->free == heap_class_places(class) && (span->before || span->after))
		give_span(heap, span);
}

void heap_spans_tidy(struct store_heap *heap)
{
	for (unsigned class = 0; class < CLASSES; class ++) {
		struct span *next;

		for (struct span *span = heap->roomy[class]; span; span = next) {
			next = span->after;
			if (span->free == heap_class_places(class))
				give_span(heap, span);
		}
	}
}
