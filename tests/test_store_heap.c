/* SPDX-License-Identifier: MIT */
/*
 * The book of an arena, beside a model that knows of each page whether it is warm, and of each 64 bytes whose they are: no two extents overlap,
 * what is committed is what was said to be, warm pages go first. Also: the book made anew from extents, as by a server that
 * comes after a dead one, and from extents that are damaged. Built a second time for a library whose allocations fail.
 */
#include <harness/test.h>

#include <os/os.h>
#include <stdlib.h>
#include <store/heap.h>

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (MIB << 10)
#define SMALL_MAX (16 * KIB)
#define UNIT UINT64_C(64)

#ifdef STOA_FAULTS
#include <os/linux/sys.h>
#define FAULTS true
#define ARM(nth) os_fault_arm(nth, ENOMEM)
#define ALLOCATIONS() os_fault_allocations()
#else
#define FAULTS false
#define ARM(nth) ((void)(nth))
#define ALLOCATIONS() INT64_C(0)
#endif

struct extent {
	uint64_t offset, length;
};

struct model {
	struct store_heap *heap;
	uint64_t size;
	uint64_t random;
	unsigned small;  /* of 100 extents */
	bool *warm;      /* page by page */
	uint32_t *owner; /* unit by unit: number of an extent + 1 */
	struct extent extents[20000];
	uint32_t count;
	uint64_t committed, used;
	unsigned refused, marked;
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return test_random(&model->random) % limit;
}

/* The next allocation fails, or the one after it; or none does. */
static void arm(struct model *model)
{
	ARM(below(model, 3));
}

/* Once more, when it has failed for want of memory. */
#define AGAIN(model, result, call)                      \
	do {                                            \
		arm(model);                             \
		(result) = (call);                      \
		ARM(0);                                 \
		if (FAULTS && (result) == -STOA_ENOMEM) \
			(result) = (call);              \
	} while (0)

static struct model *model_start(uint64_t size, unsigned small, uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	CHECK(model);
	model->size = size;
	model->small = small;
	model->random = seed;
	model->warm = calloc(size / OS_PAGE, sizeof(*model->warm));
	model->owner = calloc(size / UNIT, sizeof(*model->owner));
	CHECK(model->warm && model->owner);
	CHECK_RC(store_heap_create(size, &model->heap), 0);
	return model;
}

static void model_end(struct model *model)
{
	store_heap_destroy(model->heap);
	free(model->warm);
	free(model->owner);
	free(model);
}

static void model_compare(const struct model *model)
{
	CHECK_EQ(store_heap_committed(model->heap), model->committed);
	CHECK_EQ(store_heap_used(model->heap), model->used);
	CHECK(store_heap_valid(model->heap));
}

static void own(struct model *model, struct extent extent, uint32_t before, uint32_t after)
{
	CHECK(extent.offset + extent.length <= model->size);
	for (uint64_t unit = extent.offset / UNIT; unit < (extent.offset + extent.length) / UNIT; unit++) {
		CHECK_EQ(model->owner[unit], before);
		model->owner[unit] = after;
	}
}

static void add(struct model *model, struct extent extent)
{
	CHECK_EQ(extent.offset % (extent.length > SMALL_MAX ? OS_PAGE : UNIT), 0);
	own(model, extent, 0, model->count + 1);
	model->extents[model->count++] = extent;
	model->used += extent.length;
}

static struct extent drop(struct model *model, uint32_t number)
{
	struct extent extent = model->extents[number], last = model->extents[--model->count];

	own(model, extent, number + 1, 0);
	if (number < model->count)
		own(model, last, model->count + 1, number + 1);
	model->extents[number] = last;
	model->used -= extent.length;
	return extent;
}

static bool unused(const struct model *model, uint64_t page)
{
	for (uint64_t unit = page * OS_PAGE / UNIT; unit < (page + 1) * OS_PAGE / UNIT; unit++)
		if (model->owner[unit])
			return false;
	return true;
}

/* The most unused pages together; with `warm`, of those. */
static uint64_t longest(const struct model *model, bool warm)
{
	uint64_t most = 0, together = 0;

	for (uint64_t page = 0; page < model->size / OS_PAGE; page++) {
		together = unused(model, page) && (!warm || model->warm[page]) ? together + 1 : 0;
		most = together > most ? together : most;
	}
	return most;
}

static uint64_t some_length(struct model *model)
{
	bool small = below(model, 100) < model->small;
	uint64_t most = (small ? SMALL_MAX : model->size / 32) >> below(model, 7);

	return (small ? 0 : SMALL_MAX) + UNIT * (1 + below(model, most / UNIT));
}

/* Commit an extent, in steps; maybe not all of it. What is named must be cold, and all that is cold be named. */
static void commit(struct model *model, struct extent extent, bool all)
{
	uint64_t from, to, step;

	while (store_heap_cold(model->heap, extent.offset, extent.length, &from, &to)) {
		CHECK(from < to && from % OS_PAGE == 0 && to % OS_PAGE == 0);
		CHECK(to > extent.offset && from < extent.offset + extent.length);
		if (!all && below(model, 3) == 0)
			return;
		step = below(model, 2) ? to - from : OS_PAGE * (1 + below(model, (to - from) / OS_PAGE));
		for (uint64_t page = from / OS_PAGE; page < (from + step) / OS_PAGE; page++) {
			CHECK(!model->warm[page]);
			model->warm[page] = true;
		}
		model->committed += step;
		store_heap_warmed(model->heap, extent.offset, extent.length, from, from + step);
		CHECK_EQ(store_heap_committed(model->heap), model->committed);
	}
	for (uint64_t page = extent.offset / OS_PAGE; page * OS_PAGE < extent.offset + extent.length; page++)
		CHECK(model->warm[page]);
}

static void take(struct model *model)
{
	struct extent extent = {.length = some_length(model)};
	uint64_t pages = (extent.length + OS_PAGE - 1) / OS_PAGE, before = model->committed;
	uint64_t need = store_heap_need(model->heap, extent.length);
	bool all = below(model, 8) > 0;
	int result;

	CHECK(need <= (pages + (extent.length <= SMALL_MAX)) * OS_PAGE); /* a small one may lie across a page more */
	/* Without spans it is known what must be found. */
	if (!model->small && pages <= longest(model, true) * 7 / 8)
		CHECK_EQ(need, 0);
	AGAIN(model, result, store_heap_take(model->heap, extent.length, &extent.offset));
	if (!model->small)
		CHECK_EQ(result == 0, pages <= longest(model, false));
	if (result) {
		CHECK_EQ(result, -STOA_ENOMEM);
		model->refused++;
		return;
	}
	add(model, extent);
	commit(model, extent, all);
	CHECK(model->committed - before <= need);
	if (all && need < pages * OS_PAGE)
		CHECK_EQ(model->committed - before, need);
	if (!all) { /* committing failed */
		drop(model, model->count - 1);
		store_heap_give(model->heap, extent.offset, extent.length);
	}
}

static void give(struct model *model)
{
	struct extent extent;

	if (!model->count)
		return;
	extent = drop(model, (uint32_t)below(model, model->count));
	arm(model);
	store_heap_give(model->heap, extent.offset, extent.length);
	ARM(0);
}

static void cool(struct model *model)
{
	uint64_t bytes = 1 + below(model, model->size / 16), from, to;
	uint64_t cooled;

	arm(model);
	cooled = store_heap_cool(model->heap, bytes, &from, &to);
	ARM(0);
	if (!cooled) {
		CHECK_EQ(store_heap_coolable(model->heap), 0);
		return;
	}
	CHECK_EQ(cooled, to - from);
	CHECK(FAULTS || cooled < bytes + OS_PAGE); /* all of a run that cannot be cut */
	for (uint64_t page = from / OS_PAGE; page < to / OS_PAGE; page++) {
		CHECK(model->warm[page] && unused(model, page));
		model->warm[page] = false;
	}
	model->committed -= cooled;
}

/* An extent that may be anything. What is accepted is one that nothing overlaps. */
static void mark_any(struct model *model)
{
	struct extent extent = {test_random(&model->random), some_length(model)};
	int result;

	extent.offset = below(model, 4) == 0        ? extent.offset
			: extent.length > SMALL_MAX ? extent.offset % model->size & ~(OS_PAGE - 1)
						    : extent.offset % model->size & ~(UNIT - 1);
	if (below(model, 20) == 0)
		extent.length = test_random(&model->random);
	if (below(model, 4) == 0 && model->count)
		extent = model->extents[below(model, model->count)];
	AGAIN(model, result, store_heap_mark(model->heap, extent.offset, extent.length));
	if (result) {
		CHECK(result == -STOA_EFORMAT || result == -STOA_EEXIST);
		return;
	}
	model->marked++;
	for (uint64_t page = extent.offset / OS_PAGE; page * OS_PAGE < extent.offset + extent.length; page++) {
		model->committed += model->warm[page] ? 0 : OS_PAGE;
		model->warm[page] = true;
	}
	add(model, extent);
}

/* The same in another order. */
static void shuffle(struct model *model)
{
	for (uint32_t i = 0; i < model->count; i++)
		add(model, drop(model, (uint32_t)below(model, model->count)));
}

static int adopt(struct model *model)
{
	int result;

	store_heap_destroy(model->heap);
	CHECK_RC(store_heap_create(model->size, &model->heap), 0);
	shuffle(model);
	for (uint32_t i = 0, count = model->count; i < count; i++) {
		AGAIN(model, result, store_heap_mark(model->heap, model->extents[i].offset, model->extents[i].length));
		CHECK_RC(result, 0);
	}
	for (unsigned i = 0; i < 20; i++)
		mark_any(model);
	for (uint64_t page = 0, end; page < model->size / OS_PAGE; page = end + 1) {
		for (end = page; end < model->size / OS_PAGE && model->warm[end];)
			end++;
		AGAIN(model, result, store_heap_mark_warm(model->heap, page * OS_PAGE, end * OS_PAGE));
		CHECK_RC(result, 0);
	}
	arm(model);
	result = store_heap_adopted(model->heap);
	ARM(0);
	return result;
}

/* The heap is as before, but for what mark_any() added. */
static void restart(struct model *model)
{
	while (adopt(model))
		CHECK(FAULTS);
	model_compare(model);
}

static void model_run(uint64_t size, unsigned small, unsigned rounds)
{
	int64_t allocations = ALLOCATIONS();
	struct model *model = model_start(size, small, test_seed() + size + small);

	for (unsigned round = 0; round < rounds; round++) {
		unsigned pressure = 30 + round / 512 % 2 * 30; /* it fills up, and empties */
		uint64_t what = below(model, 1000);

		if (what < 3)
			restart(model);
		else if (what < 30)
			cool(model);
		else if (below(model, 100) < pressure || model->count == CC_COUNT(model->extents))
			give(model);
		else
			take(model);
		if (round % 16 == 0)
			model_compare(model);
	}
	test_note("%u refused, %u marked that were not there, %u left", model->refused, model->marked, model->count);
	while (model->count)
		give(model);
	while (store_heap_coolable(model->heap))
		cool(model);
	cool(model);
	model_compare(model);
	model_end(model);
	CHECK_EQ(ALLOCATIONS(), allocations);
}

TEST_TIMEOUT(pages_as_a_model_has_them, 60)
{
	model_run(4 * MIB, 0, test_rounds(4000, 200000));
}

TEST_TIMEOUT(extents_of_all_sizes, 60)
{
	model_run(16 * MIB, 50, test_rounds(6000, 200000));
	model_run(16 * MIB + 12 * KIB, 95, test_rounds(10000, 400000)); /* the last span would not be whole */
}

/* Refused, and then marked without its extents: what a store under pressure does for long. */
TEST_TIMEOUT(a_full_arena, 60)
{
	model_run(1 * MIB, 0, test_rounds(6000, 200000));
	model_run(1 * MIB, 80, test_rounds(6000, 200000));
}

/* ---- scenarios ---- */

static uint64_t taken(struct store_heap *heap, uint64_t length)
{
	uint64_t offset, from, to;

	CHECK_RC(store_heap_take(heap, length, &offset), 0);
	while (store_heap_cold(heap, offset, length, &from, &to))
		store_heap_warmed(heap, offset, length, from, to);
	return offset;
}

/*
 * Objects of 1 MB, every second of which goes; then larger ones, under a limit. What is between those that stay can be cooled, so that the
 * limit holds, and all the room under it can be had.
 */
TEST(holes_between_pinned_extents_do_not_count)
{
	const uint64_t length = 1000000, limit = 500000000;
	static uint64_t pinned[476];
	struct store_heap *heap;
	uint64_t from, to, large = 0;

	CHECK_RC(store_heap_create(GIB, &heap), 0);
	for (unsigned i = 0; i < CC_COUNT(pinned); i++)
		pinned[i] = taken(heap, length - length % UNIT);
	for (unsigned i = 0; i < CC_COUNT(pinned); i += 2)
		store_heap_give(heap, pinned[i], length - length % UNIT);
	for (;; large++) {
		uint64_t need = store_heap_need(heap, 2 * length), over;

		while (store_heap_committed(heap) + need > limit) {
			over = store_heap_committed(heap) + need - limit;
			if (!store_heap_cool(heap, over, &from, &to))
				break;
			need = store_heap_need(heap, 2 * length);
		}
		if (store_heap_committed(heap) + need > limit)
			break;
		(void)taken(heap, 2 * length);
		CHECK(store_heap_committed(heap) <= limit);
		CHECK(store_heap_valid(heap));
	}
	CHECK_INT(large, >=, (limit - 238 * (length + OS_PAGE)) / (2 * length + OS_PAGE) - 1);
	store_heap_destroy(heap);
}

TEST(warm_pages_go_first)
{
	struct store_heap *heap;
	uint64_t large, small, offset, from, to;

	CHECK_RC(store_heap_create(GIB, &heap), 0);
	large = taken(heap, 2 * MIB);
	(void)taken(heap, OS_PAGE * 5);
	small = taken(heap, MIB);
	(void)taken(heap, OS_PAGE * 5);
	store_heap_give(heap, large, 2 * MIB);
	store_heap_give(heap, small, MIB);
	CHECK_EQ(store_heap_coolable(heap), 3 * MIB);
	CHECK_EQ(store_heap_need(heap, 3 * MIB), 3 * MIB);
	CHECK_EQ(store_heap_need(heap, 2 * MIB), 0);
	CHECK_EQ(taken(heap, MIB), small); /* the smaller one that fits */
	CHECK_EQ(taken(heap, 2 * MIB), large);
	/* What is warm at the end of all goes on with pages that are cold. */
	offset = taken(heap, MIB);
	store_heap_give(heap, offset, MIB);
	CHECK_EQ(store_heap_need(heap, 4 * MIB), 3 * MIB);
	CHECK_EQ(taken(heap, 4 * MIB), offset);
	/* Cooled, it is taken last. */
	store_heap_give(heap, offset, 4 * MIB);
	CHECK_EQ(store_heap_cool(heap, MIB, &from, &to), MIB);
	CHECK_EQ(from, offset + 3 * MIB);
	CHECK_EQ(taken(heap, 3 * MIB), offset);
	CHECK_EQ(store_heap_cool(heap, MIB, &from, &to), 0);
	store_heap_destroy(heap);
}

TEST(the_smaller_of_two_that_fit)
{
	const uint64_t lengths[2] = {257 * OS_PAGE, 260 * OS_PAGE};
	uint64_t extents[2];
	struct store_heap *heap;

	for (unsigned first = 0; first < 2; first++) {
		CHECK_RC(store_heap_create(GIB, &heap), 0);
		for (unsigned i = 0; i < 2; i++) {
			extents[i] = taken(heap, lengths[i]);
			(void)taken(heap, 32 * KIB);
		}
		store_heap_give(heap, extents[first], lengths[first]);
		store_heap_give(heap, extents[!first], lengths[!first]);
		CHECK_EQ(taken(heap, 256 * OS_PAGE), extents[0]);
		store_heap_destroy(heap);
	}
}

/* All places of some spans, for each length; given back in another order, some taken again in between. */
TEST(every_length_of_small_extents)
{
	static uint64_t offsets[3 * 1024];
	struct store_heap *heap;

	CHECK_RC(store_heap_create(64 * MIB, &heap), 0);
	for (uint64_t length = UNIT; length <= SMALL_MAX; length += UNIT) {
		unsigned count = (unsigned)(3 * 65536 / length), step = count % 7 ? 7 : 11;

		step = count % step ? step : 13;
		for (unsigned i = 0; i < count; i++)
			offsets[i] = taken(heap, length);
		for (unsigned i = 0; i < 3 * count; i++) {
			unsigned which = i * step % count;

			CHECK_EQ(offsets[which] % UNIT, 0);
			CHECK(offsets[which] / 65536 == (offsets[which] + length - 1) / 65536);
			store_heap_give(heap, offsets[which], length);
			if (i < 2 * count && i % 3)
				store_heap_give(heap, taken(heap, length), length);
			if (i < 2 * count)
				offsets[which] = taken(heap, length);
			else
				CHECK(i > 2 * count || store_heap_used(heap) == (count - 1) * length);
		}
		CHECK_EQ(store_heap_used(heap), 0);
		CHECK(store_heap_valid(heap));
	}
	/* Of each class at most one span stays that holds nothing. */
	CHECK(store_heap_committed(heap) - store_heap_coolable(heap) <= UINT64_C(42) * 65536);
	store_heap_destroy(heap);
}

/* Every second extent of a span could not be committed: it becomes many runs, for which there may be no memory. */
TEST(spans_of_warm_and_cold_pages)
{
	const uint64_t length = 12 * KIB;
	static uint64_t offsets[500];
	struct store_heap *heap;
	uint64_t from, to, committed, cooled;

	CHECK_RC(store_heap_create(64 * MIB, &heap), 0);
	for (unsigned i = 0; i < CC_COUNT(offsets); i++) {
		CHECK_RC(store_heap_take(heap, length, &offsets[i]), 0);
		while (i % 2 && store_heap_cold(heap, offsets[i], length, &from, &to))
			store_heap_warmed(heap, offsets[i], length, from, to);
	}
	committed = store_heap_committed(heap);
	for (unsigned i = 0; i < CC_COUNT(offsets); i++) {
		ARM(1);
		store_heap_give(heap, offsets[i], length);
		ARM(0);
	}
	CHECK(store_heap_valid(heap));
	CHECK_EQ(store_heap_committed(heap), committed);
	while ((cooled = store_heap_cool(heap, GIB, &from, &to)) > 0)
		committed -= cooled;
	CHECK_EQ(committed, 0);
	CHECK_EQ(store_heap_committed(heap), 0);
	CHECK_EQ(store_heap_need(heap, 64 * MIB), 64 * MIB);
	CHECK_EQ(taken(heap, 64 * MIB), 0);
	store_heap_destroy(heap);
}

TEST(an_arena_that_is_full)
{
	struct store_heap *heap = NULL;
	uint64_t offset = 7, extents[16];

	for (unsigned nth = 1; FAULTS && nth < 4; nth++) {
		ARM(nth);
		CHECK_RC(store_heap_create(64 * GIB, &heap), -STOA_ENOMEM);
		ARM(0);
	}
	CHECK_RC(store_heap_create(0, &heap), -STOA_ERANGE);
	CHECK_RC(store_heap_create(OS_PAGE + 1, &heap), -STOA_ERANGE);
	CHECK_RC(store_heap_create(UINT64_MAX & ~(OS_PAGE - 1), &heap), -STOA_ERANGE);
	CHECK(!heap);
	CHECK_RC(store_heap_create(MIB, &heap), 0);
	CHECK_RC(store_heap_take(heap, MIB + UNIT, &offset), -STOA_ENOMEM);
	CHECK_RC(store_heap_take(heap, UINT64_MAX & ~(UNIT - 1), &offset), -STOA_ENOMEM);
	CHECK_EQ(offset, 7);
	CHECK_EQ(taken(heap, MIB), 0);
	CHECK_RC(store_heap_take(heap, UNIT, &offset), -STOA_ENOMEM);
	store_heap_give(heap, 0, MIB);
	for (unsigned i = 0; i < CC_COUNT(extents); i++)
		extents[i] = taken(heap, UNIT * (1023 - i)); /* 16 pages each */
	CHECK_RC(store_heap_take(heap, SMALL_MAX + UNIT, &offset), -STOA_ENOMEM);
	CHECK_RC(store_heap_take(heap, UNIT, &offset), -STOA_ENOMEM);
	store_heap_give(heap, extents[3], UNIT * 1020);
	offset = taken(heap, UNIT);
	store_heap_give(heap, offset, UNIT);
	CHECK_EQ(taken(heap, UNIT * 1024), extents[3]); /* a span that holds nothing is in nobody's way */
	CHECK(store_heap_valid(heap));
	store_heap_destroy(heap);
}

TEST(damaged_marks)
{
	struct store_heap *heap;

	CHECK_RC(store_heap_create(MIB + 12 * KIB, &heap), 0);
	CHECK_RC(store_heap_mark(heap, 0, 0), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, 0, 65), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, 32, 64), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, 64, 128), -STOA_EFORMAT); /* not at a place of that size */
	CHECK_RC(store_heap_mark(heap, 64, 32 * KIB), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, MIB, 64), -STOA_EFORMAT); /* no whole span is there */
	CHECK_RC(store_heap_mark(heap, MIB, 16 * KIB + 64), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, UINT64_MAX - 63, 64), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, UINT64_MAX & ~(OS_PAGE - 1), 32 * KIB), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, OS_PAGE, UINT64_MAX - 63), -STOA_EFORMAT);
	CHECK_RC(store_heap_mark(heap, 128, 128), 0);
	CHECK_RC(store_heap_mark(heap, 128, 128), -STOA_EEXIST);
	CHECK_RC(store_heap_mark(heap, 192, 64), -STOA_EFORMAT); /* another class */
	CHECK_RC(store_heap_mark(heap, 0, 32 * KIB), -STOA_EEXIST);
	CHECK_RC(store_heap_mark(heap, 64 * KIB, 32 * KIB), 0);
	CHECK_RC(store_heap_mark(heap, 64 * KIB + 7 * OS_PAGE, 32 * KIB), -STOA_EEXIST);
	CHECK_RC(store_heap_mark(heap, 64 * KIB + 8 * OS_PAGE, 1024), -STOA_EEXIST);
	CHECK_RC(store_heap_mark(heap, 64 * KIB + 8 * OS_PAGE, 32 * KIB), 0);
	CHECK_RC(store_heap_mark(heap, 65408, 128), 0); /* the last place */
	CHECK_RC(store_heap_mark_warm(heap, 0, 0), 0);
	CHECK_RC(store_heap_adopted(heap), 0);
	CHECK(store_heap_valid(heap));
	CHECK_EQ(store_heap_committed(heap), 18 * OS_PAGE);
	CHECK_EQ(store_heap_used(heap), 64 * KIB + 256);
	store_heap_give(heap, 128, 128);
	store_heap_give(heap, 65408, 128);
	store_heap_give(heap, 64 * KIB, 32 * KIB);
	store_heap_give(heap, 96 * KIB, 32 * KIB);
	CHECK(store_heap_valid(heap));
	CHECK_EQ(store_heap_committed(heap), 18 * OS_PAGE);
	store_heap_destroy(heap);
}

/* An arena as large as can be, of which little is used: what the book takes. Also how long things take, which nothing depends on. */
TEST_TIMEOUT(what_it_costs, 60)
{
	const unsigned extents = 1000000, length = 1024 + 64;
	uint64_t *offsets = calloc(extents, sizeof(*offsets)), begun, took[5], offset;
	struct store_heap *heap;

	CHECK(offsets);
	CHECK_RC(store_heap_create(1024 * GIB, &heap), 0);
	begun = os_now();
	for (unsigned i = 0; i < extents; i++)
		CHECK_RC(store_heap_take(heap, length, &offsets[i]), 0);
	took[0] = os_now() - begun;
	begun = os_now();
	for (unsigned i = 0; i < extents; i++) { /* in a steady state */
		unsigned other = (unsigned)(i * UINT64_C(2654435761) % extents);

		store_heap_give(heap, offsets[other], length);
		CHECK_RC(store_heap_take(heap, length, &offsets[other]), 0);
	}
	took[1] = os_now() - begun;
	store_heap_destroy(heap);
	CHECK_RC(store_heap_create(1024 * GIB, &heap), 0);
	begun = os_now();
	for (unsigned i = 0; i < extents; i++)
		CHECK_RC(store_heap_mark(heap, offsets[i], length), 0);
	took[2] = os_now() - begun;
	begun = os_now();
	CHECK_RC(store_heap_adopted(heap), 0);
	took[3] = os_now() - begun;
	CHECK(store_heap_valid(heap));
	begun = os_now();
	for (unsigned i = 0; i < extents / 10; i++) {
		CHECK_RC(store_heap_take(heap, MIB, &offset), 0);
		store_heap_give(heap, offset, MIB);
	}
	took[4] = (os_now() - begun) * 10;
	test_figure(
		"1 KiB: first %llu ns, give and take %llu ns, mark %llu ns, adopted %llu us; 1 MiB: take and give %llu ns",
		(unsigned long long)took[0] / extents, (unsigned long long)took[1] / extents,
		(unsigned long long)took[2] / extents, (unsigned long long)took[3] / 1000,
		(unsigned long long)took[4] / extents);
	store_heap_destroy(heap);
	free(offsets);
}
