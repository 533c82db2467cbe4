/* SPDX-License-Identifier: MIT */
/*
 * A server that dies at each store into its directory: what it leaves there is looked at, as by readers who go on, and taken over, by one that dies at
 * each store of that, too. Built for the library with safeguards that can be taken out, each of which must be missed.
 */
#include <base/atomic.h>
#include <base/mutant.h>
#include <harness/test.h>
#include <store/directory_parts.h>
#include <sys/mman.h>

#include "store/index.h"

uint64_t mutants_chosen;

/* ---- death at each store: what is left is the directory before the change, or after it, and no other id is touched ---- */

static struct cut {
	struct world *world;
	uint8_t *scratch;
	uint8_t *second;        /* of one that dies taking over */
	const struct id *id;    /* that is being changed */
	uint64_t before, after; /* versions that may be found */
	uint64_t cuts, twice;
	unsigned depth;
} cut;

static void check_found(const struct directory *directory)
{
	for (uint32_t i = 0; i < cut.world->ids; i++) {
		const struct id *id = &cut.world->id[i];
		uint64_t version = index_version_found(directory, id);

		if (id != cut.id)
			CHECK_EQ(version, id->version);
		else
			CHECK(version == cut.before || version == cut.after);
	}
}

static void take_over(uint8_t *map)
{
	struct directory directory;
	struct directory_book book;
	struct told told = {0};

	CHECK_RC(directory_open(map, cut.world->plan.length, &directory), 0);
	check_found(&directory); /* as those do who go on without a server */
	index_adopt(map, cut.world->plan.length, &book, &told);
	CHECK_EQ(told.lost, 0);
	check_found(&book.directory);
	directory_close(&book);
}

static void look(void)
{
	uint64_t length = cut.world->plan.length;

	if (cut.depth == 2)
		return;
	if (cut.depth == 1) {
		cut.depth = 2;
		memcpy(cut.second, cut.scratch, length);
		take_over(cut.second);
		cut.depth = 1;
		cut.twice++;
		return;
	}
	cut.depth = cut.cuts++ % 16 ? 2 : 1;
	memcpy(cut.scratch, cut.world->map, length);
	take_over(cut.scratch);
	cut.depth = 0;
}

/* What the id's version may be after the next change: nothing, what it was, the next one, or that of the draft. */
static void change_cut(struct world *world, struct id *id)
{
	cut.id = id;
	cut.before = id->version;
	cut.after = id->writing ? world->book.directory.entries[id->entry].made : world->versions + 1;
	if (id->entry && !id->writing && test_random(&world->random) % 2) {
		cut.after = 0;
		index_end_entry(world, id->entry);
		id->entry = 0;
		id->version = 0;
		id->spilled = false;
	} else if (!id->entry) {
		index_put(world, id);
	} else if (id->writing) {
		index_finish_draft(world, id);
	} else {
		index_replace(world, id);
	}
	cut.id = NULL;
}

static void cut_everywhere(uint32_t buckets, uint32_t entries, uint32_t ids, unsigned rounds)
{
	static struct world world;

	index_begin(&world, buckets, entries, ids);
	cut = (struct cut){.world = &world,
			   .scratch = index_map_pages(world.plan.length, PROT_READ | PROT_WRITE),
			   .second = index_map_pages(world.plan.length, PROT_READ | PROT_WRITE)};
	CHECK_SYS(mprotect(world.map, world.plan.length, PROT_READ | PROT_WRITE));
	directory_stored = look;
	for (unsigned i = 0; i < rounds; i++)
		change_cut(&world, &world.id[test_random(&world.random) % world.ids]);
	directory_stored = NULL;
	test_figure("%llu cuts, %llu of them twice", (unsigned long long)cut.cuts, (unsigned long long)cut.twice);
	CHECK(cut.cuts > rounds * 5 && cut.twice > 0);
	index_check_all(&world);
	munmap(cut.scratch, world.plan.length);
	munmap(cut.second, world.plan.length);
	index_end(&world);
}

TEST_TIMEOUT(death_at_each_store, 120)
{
	cut_everywhere(16, 64, 60, test_rounds(400, 20000));
}

TEST_TIMEOUT(death_at_each_store_where_ids_pass_others, 120)
{
	cut_everywhere(8, 64, 60, test_rounds(400, 20000));
}

#define MUST_BE_MISSED(mutant, message)                       \
	TEST_DEFINE(without_##mutant, 120, false, message)    \
	{                                                     \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant); \
		cut_everywhere(8, 64, 60, 2000);              \
	}

MUST_BE_MISSED(ENTRY_STATE_FIRST, "told.lost == 0")
MUST_BE_MISSED(PLACE_TAKEN_FIRST, "version == cut.before || version == cut.after")
MUST_BE_MISSED(PASSED_BELIEVED, "passed ids, and there are")
