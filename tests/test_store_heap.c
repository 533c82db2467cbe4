/* SPDX-License-Identifier: MIT */
/* x */
#include <harness/test.h>

#include <store/heap.h>

TEST(first)
{
	struct store_heap *heap;
	uint64_t o;
	CHECK_RC(store_heap_create(1 << 30, &heap), 0);
	CHECK_RC(store_heap_take(heap, 64, &o), 0);
	CHECK(store_heap_valid(heap));
	store_heap_destroy(heap);
}
