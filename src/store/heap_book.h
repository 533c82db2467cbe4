/* SPDX-License-Identifier: MIT */
/* The book of an arena, between the files that keep it (heap*.c); heap.h explains it. */
#ifndef STORE_HEAP_BOOK_H
#define STORE_HEAP_BOOK_H

#include <base/error.h>
#include <os/os.h>
#include <store/heap.h>

#include <assert.h>
#include <string.h>

struct run {
	uint32_t first, pages;
	bool used;
	bool warm;
	bool begins;                        /* used: the first of its extent */
	bool span;                          /* used: a span, which knows itself which of its pages are warm */
	struct run *before, *after;         /* by address */
	struct run *bin_before, *bin_after; /* free: in its bin; spare: bin_after is the next one */
};

/* Bins of up to 31 pages are exact; above, eight for each doubling. */
#define BINS 248u
#define BIN_WORDS 4u
struct bins {
	struct run *heads[BINS];
	uint64_t filled[BIN_WORDS]; /* a bit for each that is not empty */
	uint64_t pages;             /* in them, all in all */
};

#define SPAN_BYTES UINT64_C(65536)
#define SPAN_PAGES 16u
#define SMALL_MAX UINT64_C(16384)
#define UNIT UINT64_C(64)
#define CLASSES 42u

struct span {
	uint32_t first; /* page: its run's */
	uint16_t free;  /* places */
	uint16_t cold;  /* a bit for each page */
	uint8_t class;
	uint8_t word;                /* of `places`: all before it are 0 */
	struct span *before, *after; /* in its class's list, if it has room */
	uint64_t places[];           /* a bit for each that is free */
};

/* Where extents begin in 4 MiB of the arena. */
#define LEAF_PAGES 1024u
struct leaf {
	struct run *runs[LEAF_PAGES];                /* by the extent's first page */
	struct span *spans[LEAF_PAGES / SPAN_PAGES]; /* by its place */
};

/* While it is adopted: bits of 128 MiB. */
#define CHUNK_PAGES 32768u
struct chunk {
	uint64_t used[CHUNK_PAGES / 64];
	uint64_t warm[CHUNK_PAGES / 64];
};

struct slab; /* of runs */

struct store_heap {
	struct span *roomy[CLASSES]; /* spans with free places */
	uint8_t class_of[SMALL_MAX / UNIT + 1];
	struct leaf **leaves;
	uint64_t used; /* bytes */
	uint64_t warm; /* pages */
	uint64_t top;  /* there are no leaves for pages from here on */
	uint32_t pages;
	uint32_t hopeless
		[2]; /* so many pages were not free together when last looked for; at any page, and where spans may be */
	struct run *lowest;
	struct bins bins[2]; /* of cold runs, and of warm ones */
	struct run *spare;
	uint64_t spares;
	uint64_t owed; /* runs that store_heap_warmed() may need: one for each extent that begins with cold pages */
	struct slab *slabs;
	struct chunk **chunks; /* while it is adopted; else NULL */
};

static inline uint64_t pages_of(uint64_t bytes)
{
	return (bytes + OS_PAGE - 1) / OS_PAGE;
}

static inline struct leaf *leaf_at(const struct store_heap *heap, uint64_t page)
{
	return heap->leaves[page / LEAF_PAGES];
}

static inline struct run *heap_run_at(const struct store_heap *heap, uint64_t page)
{
	return leaf_at(heap, page)->runs[page % LEAF_PAGES];
}

static inline struct span *heap_span_at(const struct store_heap *heap, uint64_t offset)
{
	return leaf_at(heap, offset / OS_PAGE)->spans[offset / SPAN_BYTES % (LEAF_PAGES / SPAN_PAGES)];
}

/* heap_runs.c */

/* A place for an extent: it begins at `first`, in `run`, and goes on through those after it; run NULL: there is none. */
struct heap_place {
	struct run *run;
	uint32_t first;
};
struct heap_place heap_run_find(const struct store_heap *heap, uint32_t pages, uint32_t align);
uint64_t heap_place_cold(struct heap_place place, uint32_t pages); /* how many of the first `pages` are cold */

unsigned heap_bin_of(uint32_t pages);
int heap_leaf_make(struct store_heap *heap, uint64_t page);     /* ENOMEM */
int heap_run_reserve(struct store_heap *heap, unsigned count);  /* beside those that are owed. ENOMEM */
struct run *heap_run_new(struct store_heap *heap);              /* of those reserved, zeroed */
void heap_run_drop(struct store_heap *heap, struct run *run);   /* it becomes a spare one */
void heap_run_forget(struct store_heap *heap, struct run *run); /* one that is free */
void heap_run_free(struct store_heap *heap, struct run *run);   /* it is in no bin: put it there, as it is */
struct run *heap_run_cut(struct store_heap *heap, struct run *run,
			 uint32_t pages);                       /* what remains, the same but `begins`; in no bin */
void heap_run_absorb(struct store_heap *heap, struct run *run); /* the one after it */
struct run *heap_run_carve(struct store_heap *heap, struct heap_place place,
			   uint32_t pages);                      /* two runs are reserved */
void heap_run_release(struct store_heap *heap, struct run *run); /* one run, used until now */
struct run *heap_run_largest(const struct store_heap *heap);     /* among the warm free ones; NULL: there are none */
struct run *heap_run_chill(struct store_heap *heap, struct run *run,
			   uint64_t pages); /* the last pages, now cold; in no bin */
void heap_runs_end(struct store_heap *heap);

/* heap.c */
struct heap_place heap_place_or_tidy(struct store_heap *heap, uint32_t pages, uint32_t align);

/* heap_adopt.c */
void heap_adoption_end(struct store_heap *heap);

/* heap_spans.c */
void heap_classes_init(struct store_heap *heap);
uint32_t heap_class_size(unsigned class);
unsigned heap_class_places(unsigned class); /* in a span */
int heap_span_take(struct store_heap *heap, uint64_t length, uint64_t *ret_offset);
void heap_span_give(struct store_heap *heap, uint64_t offset, uint64_t length);
uint64_t heap_span_need(const struct store_heap *heap, uint64_t length);
uint32_t heap_span_cold(const struct span *span, uint64_t offset, uint64_t length); /* bits of pages of an extent */
int heap_span_make(struct store_heap *heap, struct run *run, unsigned class,
		   struct span **ret_span); /* the leaf is there */
void heap_span_list(struct store_heap *heap, struct span *span);
void heap_spans_tidy(struct store_heap *heap); /* give back those that hold nothing */

#endif
