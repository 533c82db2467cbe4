/* SPDX-License-Identifier: MIT */
/* Pagers with as little memory as they may have: what is touched is there in the end, whoever else needs the same frames. */
#include "pager/common.h"

#include <pthread.h>

#define PAGE 4096
#define WORDS (PAGE / 8)

/* All frames are of blocks that were read, then written: the hand has to come by twice. */
TEST(the_hottest_cool_down)
{
	enum { FRAMES = 8, BLOCKS = 64 };
	struct stoa_pager_options options = {.budget = FRAMES * PAGE, .flags = STOA_PAGER_NO_BACKGROUND};
	struct store *store = store_make((uint64_t)BLOCKS * PAGE);
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_make(backing, &options);

	for (uint64_t i = 0; i < BLOCKS; i++) {
		CHECK_RC(stoa_pager_get(pager, i * PAGE, PAGE, STOA_READ), 0);
		CHECK_RC(stoa_pager_get(pager, i * PAGE, PAGE, STOA_WRITE), 0);
	}
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

enum { READERS = 24 };

struct reader {
	struct stoa_pager *pager;
	uint64_t first, end; /* blocks */
	uint64_t sum;
};

static void *read_in_order(void *argument)
{
	struct reader *reader = argument;
	const uint64_t *words = stoa_pager_address(reader->pager);

	for (uint64_t block = reader->first; block < reader->end; block++)
		reader->sum += words[block * WORDS];
	return NULL;
}

/* Each reads ahead, and so holds frames while it asks for more: all of them together want more than there are. */
TEST_THREADS(many_read_in_order, 60)
{
	enum { FRAMES = 32, EACH = 64 };
	struct stoa_pager_options options = {.budget = FRAMES * PAGE, .read_ahead = 8 * PAGE};
	struct store *store = store_make((uint64_t)READERS * EACH * PAGE);
	struct stoa_backing *backing = store_backing(store);
	struct stoa_pager *pager = pager_make(backing, &options);
	struct reader readers[READERS];
	pthread_t threads[READERS];

	for (uint64_t i = 0; i < READERS * EACH; i++)
		memcpy(store->bytes + i * PAGE, &i, sizeof(i));
	CHECK_RC(stoa_pager_advise(pager, 0, stoa_pager_size(pager), STOA_ADVISE_SEQUENTIAL), 0);
	for (unsigned round = 0; round < test_rounds(10, 1000); round++) {
		for (uint64_t i = 0; i < READERS; i++) {
			readers[i] = (struct reader){pager, i * EACH, (i + 1) * EACH, 0};
			CHECK_EQ(pthread_create(&threads[i], NULL, read_in_order, &readers[i]), 0);
		}
		for (uint64_t i = 0; i < READERS; i++) {
			CHECK_EQ(pthread_join(threads[i], NULL), 0);
			CHECK_EQ(readers[i].sum, EACH * (2 * i * EACH + EACH - 1) / 2);
		}
	}
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}
