/* SPDX-License-Identifier: MIT */
/* Pagers by page protection, where the system has guard pages and where not. */
#include "pager/common.h"

#include <os/trap.h>
#include <stdio.h>

#define PAGE 4096

static unsigned count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned count = 0;
	int got;

	CHECK(file != NULL);
	while ((got = fgetc(file)) != EOF)
		count += got == '\n';
	CHECK_EQ(fclose(file), 0);
	return count;
}

/* Every other page is touched: as many maps as pages, where nothing else tells them apart. */
static unsigned maps_of_alternate_pages(unsigned blocks)
{
	const struct stoa_pager_options options = {
		.read_ahead = 1, .way = STOA_PAGER_PROTECT, .flags = STOA_PAGER_NO_BACKGROUND};
	struct store *store = store_make((uint64_t)blocks * PAGE);
	struct stoa_backing *backing = store_backing(store);
	unsigned before = count_maps(), after;
	struct stoa_pager *pager;
	volatile char *bytes;

	memset(store->bytes, 7, (uint64_t)blocks * PAGE);
	pager = pager_make(backing, &options);
	bytes = stoa_pager_address(pager);
	for (uint64_t i = 0; i < blocks; i += 2)
		CHECK_EQ(bytes[i * PAGE], 7);
	after = count_maps();
	for (uint64_t i = 0; i < blocks; i++) {
		bytes[i * PAGE] = 8;
		CHECK_EQ(bytes[i * PAGE + 1], 7);
	}
	CHECK_RC(stoa_pager_discard(pager, 0, PAGE), 0); /* what is taken away is told again */
	CHECK_EQ(bytes[0], 7);
	CHECK_RC(stoa_pager_close(pager), 0);
	CHECK_EQ(store->bytes[PAGE], 8);
	stoa_backing_close(backing);
	return after - before;
}

TEST(guard_pages_split_no_map)
{
	unsigned maps, without;

	store_rlx(&os_trap_without, OS_WITHOUT_GUARDS);
	without = maps_of_alternate_pages(400);
	CHECK_INT(without, >=, 399);
	store_rlx(&os_trap_without, 0);
	maps = maps_of_alternate_pages(400);
	if (maps >= 399)
		SKIP("this system has no guard pages in mapped files: they came with Linux 6.15");
	CHECK_INT(maps, <, 40);
	test_figure("%u maps, %u without guard pages", maps, without);
}
