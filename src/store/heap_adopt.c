/* SPDX-License-Identifier: MIT */
/*
 * Adoption: a book is made from the extents that a dead server had handed out, which come in any order, and may be damaged. Until it is
 * complete there are no free runs, but two bits for each page: used, and warm (of what is free, and of spans). In the end one walk over them makes all runs, in order.
 */
#include <store/heap_book.h>

#include <inttypes.h>

static uint64_t chunks_of(const struct store_heap *heap)
{
	return (heap->pages + (uint64_t)CHUNK_PAGES - 1) / CHUNK_PAGES;
}

void heap_adoption_end(struct store_heap *heap)
{
	if (!heap->chunks)
		return;
	for (uint64_t i = 0; i < chunks_of(heap); i++)
		os_free(heap->chunks[i]);
	os_free(heap->chunks);
	heap->chunks = NULL;
}

/* The heap is new: one run, which is all of it. */
static int begin(struct store_heap *heap)
{
	if (heap->chunks)
		return 0;
	assert(!heap->used && !heap->warm && heap->lowest && !heap->lowest->after && !heap->lowest->used);
	heap->chunks =
		os_allocate((size_t)chunks_of(heap) * sizeof(*heap->chunks)); // NOLINT(bugprone-sizeof-expression)
	if (!heap->chunks)
		return -STOA_ENOMEM;
	heap_run_forget(heap, heap->lowest);
	heap->lowest = NULL;
	return 0;
}

/* ---- bits ---- */

/* Those of [page, end) in the word of `page`. */
static uint64_t word_bits(uint64_t page, uint64_t end)
{
	uint64_t bits = end - page < 64 ? (UINT64_C(1) << (end - page)) - 1 : UINT64_MAX;

	return bits << page % 64;
}

#define WORD_OF(page) ((page) % CHUNK_PAGES / 64)
#define NEXT_WORD(page) (((page) | 63) + 1)

static bool any_used(const struct store_heap *heap, uint64_t page, uint64_t end)
{
	for (; page < end; page = NEXT_WORD(page)) {
		const struct chunk *chunk = heap->chunks[page / CHUNK_PAGES];

		if (chunk && chunk->used[WORD_OF(page)] & word_bits(page, end))
			return true;
	}
	return false;
}

static int make_chunks(struct store_heap *heap, uint64_t page, uint64_t end)
{
	for (uint64_t i = page / CHUNK_PAGES; i * CHUNK_PAGES < end; i++) {
		if (!heap->chunks[i])
			heap->chunks[i] = os_allocate(sizeof(struct chunk));
		if (!heap->chunks[i])
			return -STOA_ENOMEM;
	}
	return 0;
}

static void set_used(struct store_heap *heap, uint64_t page, uint64_t end)
{
	for (; page < end; page = NEXT_WORD(page))
		heap->chunks[page / CHUNK_PAGES]->used[WORD_OF(page)] |= word_bits(page, end);
}

static void set_warm(struct store_heap *heap, uint64_t page, uint64_t end)
{
	for (; page < end; page = NEXT_WORD(page))
		heap->chunks[page / CHUNK_PAGES]->warm[WORD_OF(page)] |= word_bits(page, end);
}

/* ---- marks ---- */

/* A used run that nothing overlaps. It is in no list yet. */
static int mark_run(struct store_heap *heap, uint64_t page, uint32_t pages, struct run **ret_run)
{
	struct run *run;

	if (any_used(heap, page, page + pages))
		return error_set(-STOA_EEXIST, "another extent has pages from %" PRIu64 " on", page);
	if (make_chunks(heap, page, page + pages) || heap_leaf_make(heap, page) || heap_run_reserve(heap, 1))
		return -STOA_ENOMEM;
	run = heap_run_new(heap);
	run->first = (uint32_t)page;
	run->pages = pages;
	run->used = run->begins = true;
	*ret_run = run;
	return 0;
}

static int mark_pages(struct store_heap *heap, uint64_t page, uint32_t pages)
{
	struct run *run;
	int result = mark_run(heap, page, pages, &run);

	if (result)
		return result;
	run->warm = true;
	leaf_at(heap, page)->runs[page % LEAF_PAGES] = run;
	set_used(heap, page, page + pages);
	return 0;
}

static int mark_span(struct store_heap *heap, uint64_t page, unsigned class, struct span **ret_span)
{
	struct run *run;
	int result = mark_run(heap, page, SPAN_PAGES, &run);

	if (result)
		return result;
	run->span = true;
	result = heap_span_make(heap, run, class, ret_span);
	if (result) {
		heap_run_drop(heap, run);
		return result;
	}
	set_used(heap, page, page + SPAN_PAGES);
	return 0;
}

static int mark_small(struct store_heap *heap, uint64_t offset, uint64_t length)
{
	unsigned class = heap->class_of[length / UNIT];
	uint32_t size = heap_class_size(class), place = (uint32_t)(offset % SPAN_BYTES) / size;
	uint64_t page = offset / SPAN_BYTES * SPAN_PAGES;
	struct span *span = leaf_at(heap, page) ? heap_span_at(heap, offset) : NULL;
	int result;

	if (offset % SPAN_BYTES % size || place >= SPAN_BYTES / size || page + SPAN_PAGES > heap->pages ||
	    (span && span->class != class))
		return error_set(-STOA_EFORMAT, "no extent of %" PRIu64 " bytes can be at %" PRIu64, length, offset);
	if (!span) {
		result = mark_span(heap, page, class, &span);
		if (result)
			return result;
	} else if (!(span->places[place / 64] >> place % 64 & 1)) {
		return error_set(-STOA_EEXIST, "another extent is at %" PRIu64, offset);
	}
	span->places[place / 64] &= ~(UINT64_C(1) << place % 64);
	span->free--;
	set_warm(heap, offset / OS_PAGE, pages_of(offset + length));
	return 0;
}

int store_heap_mark(struct store_heap *heap, uint64_t offset, uint64_t length)
{
	uint64_t size = heap->pages * OS_PAGE;
	int result;

	if (!length || length % UNIT || length > size || offset % UNIT || offset > size - length ||
	    (length > SMALL_MAX && offset % OS_PAGE))
		return error_set(-STOA_EFORMAT, "no extent of %" PRIu64 " bytes can be at %" PRIu64, length, offset);
	if (begin(heap))
		return -STOA_ENOMEM;
	result = length <= SMALL_MAX ? mark_small(heap, offset, length)
				     : mark_pages(heap, offset / OS_PAGE, (uint32_t)pages_of(length));
	if (!result)
		heap->used += length;
	return result;
}

int store_heap_mark_warm(struct store_heap *heap, uint64_t from, uint64_t to)
{
	assert(from <= to && to <= heap->pages * OS_PAGE);
	if (begin(heap) || make_chunks(heap, from / OS_PAGE, pages_of(to)))
		return -STOA_ENOMEM;
	set_warm(heap, from / OS_PAGE, pages_of(to));
	return 0;
}

/* ---- the end ---- */

/* How far it goes on from `page` without being used, warm or cold as `page` is. */
static uint64_t free_stretch(const struct store_heap *heap, uint64_t page, bool warm)
{
	uint64_t end = page;

	while (end < heap->pages) {
		const struct chunk *chunk = heap->chunks[end / CHUNK_PAGES];
		uint64_t stop;

		if (!chunk && !warm) {
			end = (end / CHUNK_PAGES + 1) * CHUNK_PAGES;
			continue;
		}
		stop = !chunk ? UINT64_MAX
			      : chunk->used[WORD_OF(end)] |
					(warm ? ~chunk->warm[WORD_OF(end)] : chunk->warm[WORD_OF(end)]);
		stop &= UINT64_MAX << end % 64;
		if (stop) {
			end = end / 64 * 64 + cc_lowest_bit(stop);
			break;
		}
		end = NEXT_WORD(end);
	}
	return (end < heap->pages ? end : heap->pages) - page;
}

static void finish_span(struct store_heap *heap, struct run *run)
{
	const struct chunk *chunk = heap->chunks[run->first / CHUNK_PAGES];
	struct span *span = heap_span_at(heap, run->first * OS_PAGE);
	uint16_t warm = (uint16_t)(chunk->warm[WORD_OF(run->first)] >> run->first % 64);

	span->cold = (uint16_t)~warm;
	heap->warm += cc_count_bits(warm);
	if (span->free)
		heap_span_list(heap, span);
}

/* The run that begins at `page`: a marked one, or what is free up to the next. NULL: no memory. */
static struct run *run_from(struct store_heap *heap, uint64_t page)
{
	const struct chunk *chunk = heap->chunks[page / CHUNK_PAGES];
	struct run *run;

	if (chunk && chunk->used[WORD_OF(page)] >> page % 64 & 1)
		return heap_run_at(heap, page);
	if (heap_run_reserve(heap, 1))
		return NULL;
	run = heap_run_new(heap);
	run->first = (uint32_t)page;
	run->warm = chunk && chunk->warm[WORD_OF(page)] >> page % 64 & 1;
	run->pages = (uint32_t)free_stretch(heap, page, run->warm);
	return run;
}

int store_heap_adopted(struct store_heap *heap)
{
	struct run *before = NULL;

	if (begin(heap))
		return -STOA_ENOMEM;
	for (uint64_t page = 0; page < heap->pages; page += before->pages) {
		struct run *run = run_from(heap, page);

		if (!run)
			return -STOA_ENOMEM;
		run->before = before;
		*(before ? &before->after : &heap->lowest) = run;
		before = run;
		if (run->span)
			finish_span(heap, run);
		else
			heap->warm += run->warm ? run->pages : 0;
		if (!run->used)
			heap_run_free(heap, run);
	}
	heap_adoption_end(heap);
	return 0;
}
