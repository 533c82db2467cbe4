/* SPDX-License-Identifier: MIT */
/*
 * The directory of a store beside a map kept by hand: random changes, ids that fall together, limits; readers beside the one who writes;
 * damage.
 */
#include <base/atomic.h>
#include <base/mutant.h>
#include <harness/test.h>
#include <store/directory_parts.h>
#include <sys/mman.h>

#include "store/index.h"

static void change_randomly(uint32_t buckets, uint32_t entries, uint32_t ids, unsigned rounds)
{
	static struct world world;

	index_begin(&world, buckets, entries, ids);
	for (unsigned i = 0; i < rounds; i++) {
		struct id *id = &world.id[test_random(&world.random) % world.ids];

		index_change(&world, id);
		CHECK_EQ(index_version_found(&world.book.directory, id), id->version);
		if (i % 64 == 0)
			index_check_all(&world);
	}
	index_check_all(&world);
	index_end(&world);
}

TEST(random_changes)
{
	change_randomly(128, 600, 400, test_rounds(40000, 4000000));
}

TEST(random_changes_with_few_entries)
{
	change_randomly(32, 100, 300, test_rounds(40000, 4000000));
}

TEST(random_changes_in_full_buckets)
{
	change_randomly(32, 250, 300, test_rounds(40000, 4000000));
}

TEST(random_changes_in_one_bucket)
{
	change_randomly(1, 30, 40, test_rounds(20000, 1000000));
}

TEST(taking_over_what_is_whole)
{
	static struct world world;
	struct told told = {0};
	uint32_t objects = 0;

	index_begin(&world, 128, 600, 400);
	for (unsigned i = 0; i < 3000; i++)
		index_change(&world, &world.id[test_random(&world.random) % world.ids]);
	index_check_all(&world);
	directory_close(&world.book);
	CHECK_SYS(mprotect(world.map, world.plan.length, PROT_READ | PROT_WRITE));
	index_adopt(world.map, world.plan.length, &world.book, &told);
	for (uint32_t i = 0; i < world.ids; i++)
		objects += world.id[i].entry != 0;
	CHECK_EQ(told.good, objects);
	CHECK_EQ(told.left + told.lost, 0);
	index_check_all(&world);
	world.book.commit = index_back;
	world.book.argument = &world;
	for (unsigned i = 0; i < 3000; i++)
		index_change(&world, &world.id[test_random(&world.random) % world.ids]);
	index_check_all(&world);
	world.backed = world.book.committed;
	index_end(&world);
}

/* ---- ids that fall together, and limits ---- */

/* One of many ids with the same hash. */
static void make_falling(const struct world *world, uint64_t number, struct id *ret_id)
{
	const uint64_t words[4] = {world->key[0], number, world->key[0] ^ HASH_A, ~number};

	*ret_id = (struct id){.length = 32};
	memcpy(ret_id->bytes, words, sizeof(words));
}

TEST(ids_with_one_hash)
{
	static struct world world;
	uint32_t reach = STORE_REACH * STORE_PLACES;
	uint32_t entry, passed = 0;

	index_begin(&world, 64, 1000, 0);
	for (world.ids = 0; world.ids < reach; world.ids++) {
		make_falling(&world, world.ids, &world.id[world.ids]);
		do
			index_put(&world, &world.id[world.ids]);
		while (world.id[world.ids].writing && (index_end_entry(&world, world.id[world.ids].entry), true));
		CHECK(world.id[world.ids].version);
	}
	index_check_all(&world);
	make_falling(&world, 1000, &world.id[world.ids]);
	CHECK_RC(index_enter(&world, &world.id[world.ids], 1000, &entry), 0);
	CHECK_RC(directory_place(&world.book, entry), -STOA_ELIMIT);
	index_end_entry(&world, entry);
	for (unsigned i = 0; i < 5000; i++)
		index_change(&world, &world.id[test_random(&world.random) % world.ids]);
	index_check_all(&world);
	for (uint32_t i = 0; i < world.ids; i++)
		if (world.id[i].entry)
			index_end_entry(&world, world.id[i].entry);
	for (uint32_t i = 0; i < world.shape.buckets; i++)
		passed += load_rlx(&world.book.directory.buckets[i].passed);
	CHECK_EQ(passed, 0);
	index_end(&world);
}

TEST(lengths_of_ids)
{
	static struct world world;
	uint8_t zeros[STOA_ID_MAX + 1] = {0};
	uint32_t entry;
	uint64_t state;

	/* Ids that are one the begin of another, and all zeros. */
	index_begin(&world, 128, 600, 0);
	for (world.ids = 0; world.ids < STOA_ID_MAX; world.ids++) {
		world.id[world.ids].length = world.ids + 1;
		index_put(&world, &world.id[world.ids]);
	}
	index_check_all(&world);
	CHECK_EQ(directory_find(&world.book.directory, zeros, 0, &entry, &state), DIRECTORY_ABSENT);
	CHECK_EQ(directory_find(&world.book.directory, zeros, STOA_ID_MAX + 1, &entry, &state), DIRECTORY_ABSENT);
	CHECK_EQ(directory_lookup(&world.book, zeros, STOA_ID_MAX + 1), 0);
	index_end(&world);
}

TEST(all_entries_and_names_and_what_cannot_be_committed)
{
	static struct world world;
	uint32_t entries[10], other, arena;
	struct id id = {.length = 100};

	index_begin(&world, 16, 10, 0);
	for (uint32_t i = 1; i < 10; i++) {
		id.bytes[0] = (uint8_t)i;
		CHECK_RC(index_enter(&world, &id, i, &entries[i]), 0);
	}
	CHECK_RC(index_enter(&world, &id, 10, &other), -STOA_ELIMIT);
	for (uint32_t i = 1; i < 10; i++)
		index_end_entry(&world, entries[i]);
	for (uint32_t i = 2; i < 8; i++)
		CHECK_RC(directory_arena_add(&world.book, &(struct store_arena){.kind = STORE_OWN, .size = i}, &arena),
			 0);
	CHECK_RC(directory_arena_add(&world.book, &(struct store_arena){.kind = STORE_OWN}, &arena), -STOA_ELIMIT);
	index_end(&world);

	index_begin(&world, 64, 2000, 0);
	world.refuse = -STOA_ENOMEM;
	id.length = 16;
	CHECK_RC(index_enter(&world, &id, 1, &other), -STOA_ENOMEM);
	world.refuse = 0;
	CHECK_RC(index_enter(&world, &id, 1, &other), 0);
	id.length = 33;
	world.refuse = -STOA_ENOMEM;
	CHECK_RC(index_enter(&world, &id, 1, &other), -STOA_ENOMEM);
	world.refuse = 0;
	CHECK_RC(index_enter(&world, &id, 1, &other), 0);
	CHECK_EQ(other, 2);
	index_end(&world);
}

TEST(shapes)
{
	struct store_shape shape = {0};
	struct directory_plan plan;

	CHECK_RC(directory_shape(0, 10, &shape), -STOA_ERANGE);
	CHECK_RC(directory_shape(STORE_ENTRIES_MAX, 10, &shape), -STOA_ERANGE);
	CHECK_RC(directory_shape(10, 0, &shape), -STOA_ERANGE);
	CHECK_RC(directory_plan(&shape, &plan), -STOA_ERANGE);
	for (uint32_t objects = 1; objects < STORE_ENTRIES_MAX; objects = objects * 3 / 2 + 1) {
		CHECK_RC(directory_shape(objects, 100, &shape), 0);
		CHECK_RC(directory_plan(&shape, &plan), 0);
		CHECK(shape.buckets * UINT64_C(14) >= shape.entries * UINT64_C(3));
	}
	shape.buckets = 3;
	CHECK_RC(directory_plan(&shape, &plan), -STOA_ERANGE);
}

TEST(headers)
{
	static struct world world;
	struct directory directory;

	index_begin(&world, 16, 10, 0);
	CHECK_RC(directory_open(world.map, world.plan.length, &directory), 0);
	CHECK_RC(directory_open(world.map, world.plan.length - 1, &directory), -STOA_EFORMAT);
	CHECK_RC(directory_open(world.map, 100, &directory), -STOA_EFORMAT);
	for (uint32_t i = 0; i < offsetof(struct store_header, fences); i++) {
		world.map[i] ^= 1;
		CHECK_RC(directory_open(world.map, world.plan.length, &directory),
			 i >= 8 && i < 16 ? -STOA_EVERSION : -STOA_EFORMAT);
		world.map[i] ^= 1;
	}
	index_end(&world);
}

TEST(arenas)
{
	static struct world world;
	struct store_arena arena = {
		.kind = STORE_OWN, .access = STORE_BY_GROUP, .reader = 7, .owner = 8, .size = 9, .key = 10};
	struct store_arena seen;
	uint32_t first, second;

	index_begin(&world, 16, 10, 0);
	CHECK_RC(directory_arena_add(&world.book, &arena, &first), 0);
	CHECK_RC(directory_arena_read(&world.book.directory, first, &seen), 0);
	CHECK(seen.kind == STORE_OWN && seen.access == STORE_BY_GROUP && seen.reader == 7 && seen.owner == 8 &&
	      seen.size == 9 && seen.key == 10 && load_rlx(&seen.generation) == 1);
	directory_arena_set_session(&world.book, first, 5);
	CHECK_RC(directory_arena_read(&world.book.directory, first, &seen), 0);
	CHECK_EQ(load_rlx(&seen.session), 5);
	directory_arena_drop(&world.book, first);
	CHECK_RC(directory_arena_read(&world.book.directory, first, &seen), DIRECTORY_CHANGED);
	CHECK_RC(directory_arena_add(&world.book, &arena, &second), 0);
	CHECK_EQ(first, second);
	CHECK_RC(directory_arena_read(&world.book.directory, 0, &seen), -STOA_EFORMAT);
	CHECK_RC(directory_arena_read(&world.book.directory, 8, &seen), -STOA_EFORMAT);
	world.book.directory.arenas[first].size++;
	CHECK_RC(directory_arena_read(&world.book.directory, first, &seen), -STOA_EFORMAT);
	world.book.directory.arenas[first].size--;
	index_end(&world);
}

/* ---- damage ---- */

static void scribble(struct world *world, uint64_t from, uint64_t to, unsigned count)
{
	while (count--) {
		uint64_t at = from + test_random(&world->random) % (to - from);

		switch (test_random(&world->random) % 4) {
		case 0: world->map[at] = (uint8_t)test_random(&world->random); break;
		case 1: world->map[at] ^= (uint8_t)(1u << test_random(&world->random) % 8); break;
		case 2: memset(world->map + at, 0, to - at < 64 ? to - at : 64); break;
		default: /* from elsewhere, so that it looks right */
			at &= ~UINT64_C(63);
			memcpy(world->map + at,
			       world->map + (from + test_random(&world->random) % (to - from)) / 64 * 64, 64);
		}
	}
}

/* Everything ends, and stays within the map. */
static void use_damaged(struct world *world)
{
	struct directory directory;
	struct directory_object object;
	uint32_t entry;
	uint64_t state;

	if (directory_open(world->map, world->plan.length, &directory) < 0)
		return;
	for (uint32_t i = 0; i < world->ids; i++) {
		if (directory_find(&directory, world->id[i].bytes, world->id[i].length, &entry, &state) !=
		    DIRECTORY_FOUND)
			continue;
		CHECK(entry && entry < directory.shape.entries);
		if (directory_read(&directory, entry, state, &object) == 0)
			CHECK(object.entry.id_length == world->id[i].length &&
			      memcmp(object.id, world->id[i].bytes, object.entry.id_length) == 0 &&
			      object.entry.offset + object.entry.extent <= ARENA_SIZE);
	}
	for (entry = 0; entry < directory_limit(&directory) + 3; entry++) {
		struct directory_where where;

		if (entry < directory.shape.entries)
			(void)directory_look(&directory, entry, &where);
		(void)directory_read(&directory, entry,
				     entry < directory.shape.entries ? load_rlx(directory_state(&directory, entry)) : 1,
				     &object);
	}
	(void)directory_valid(world->map, world->plan.length);
}

/* Adopted, a damaged directory is sound; and what was found and not hit is found. */
static void adopt_damaged(struct world *world, const uint8_t *whole)
{
	struct directory_book book;
	struct told told = {0};

	index_adopt(world->map, world->plan.length, &book, &told);
	for (uint32_t i = 0; i < world->ids; i++) {
		const struct id *id = &world->id[i];
		uint64_t entry = world->plan.entries + id->entry * sizeof(struct store_entry);
		uint32_t reached = load_rlx(&book.directory.header->reached_entries), found;
		uint64_t state;

		if (directory_find(&book.directory, id->bytes, id->length, &found, &state) != DIRECTORY_FOUND)
			found = 0;
		CHECK(!found || !memcmp(world->map + world->plan.entries + found * sizeof(struct store_entry) + 8,
					book.directory.entries[found].id, 32));
		if (id->version && id->entry < reached &&
		    !memcmp(world->map + entry, whole + entry, sizeof(struct store_entry)) &&
		    !memcmp(world->map + world->plan.names, whole + world->plan.names,
			    world->plan.length - world->plan.names))
			CHECK(found != 0);
	}
	directory_close(&book);
}

static void damage(uint64_t (*from)(const struct world *world), uint64_t (*to)(const struct world *world),
		   unsigned rounds)
{
	static struct world world;
	uint8_t *whole;

	index_begin(&world, 64, 300, 200);
	CHECK_SYS(mprotect(world.map, world.plan.length, PROT_READ | PROT_WRITE));
	for (unsigned i = 0; i < 2000; i++)
		index_change(&world, &world.id[test_random(&world.random) % world.ids]);
	whole = index_map_pages(world.plan.length, PROT_READ | PROT_WRITE);
	memcpy(whole, world.map, world.plan.length);
	for (unsigned i = 0; i < rounds; i++) {
		memcpy(world.map, whole, world.plan.length);
		scribble(&world, from(&world), to(&world), 1u << i % 10);
		use_damaged(&world);
		memcpy(world.map, whole, offsetof(struct store_header, fences));
		adopt_damaged(&world, whole);
	}
	memcpy(world.map, whole, world.plan.length);
	world.backed = world.book.committed;
	munmap(whole, world.plan.length);
	index_end(&world);
}

static uint64_t at_begin(const struct world *world)
{
	(void)world;
	return 0;
}

static uint64_t at_buckets(const struct world *world)
{
	return world->plan.buckets;
}

static uint64_t at_entries(const struct world *world)
{
	return world->plan.entries;
}

static uint64_t after_entries(const struct world *world)
{
	return world->plan.entries + 300 * sizeof(struct store_entry);
}

static uint64_t at_end(const struct world *world)
{
	return world->plan.length;
}

TEST(damage_anywhere)
{
	damage(at_begin, at_end, test_rounds(1000, 100000));
}

TEST(damaged_buckets)
{
	damage(at_buckets, at_entries, test_rounds(1000, 100000));
}

TEST(damaged_entries)
{
	damage(at_entries, after_entries, test_rounds(1000, 100000));
}

/* ---- readers beside the one who writes ---- */

#define KEPT 100 /* ids that are always there */

struct board {
	_Atomic uint32_t over, ready;
	_Atomic uint64_t finds;
	struct world world;
};

static void find_what_is_kept(void *argument)
{
	struct board *board = argument;
	uint64_t random = load_rlx(&board->finds) + 1, finds = 0;
	struct directory directory;

	CHECK_RC(directory_open(board->world.map, board->world.plan.length, &directory), 0);
	add_rlx(&board->ready, 1);
	while (!load_rlx(&board->over)) {
		const struct id *id = &board->world.id[test_random(&random) % board->world.ids];
		bool kept = id < &board->world.id[KEPT];
		struct directory_object object;
		enum directory_found found;
		uint32_t entry;
		uint64_t state;
		int rc;

		finds++;
		found = directory_find(&directory, id->bytes, id->length, &entry, &state);
		CHECK(!kept || found == DIRECTORY_FOUND);
		if (found != DIRECTORY_FOUND)
			continue;
		rc = directory_read(&directory, entry, state, &object);
		if (rc == DIRECTORY_CHANGED)
			continue;
		CHECK_RC(rc, 0);
		CHECK(object.entry.id_length == id->length && memcmp(object.id, id->bytes, id->length) == 0);
		CHECK_EQ(object.entry.serial, object.entry.made * 11);
		CHECK_EQ(object.entry.owner, (uint32_t)object.entry.made * 3);
	}
	add_rlx(&board->finds, finds);
}

static void put_kept(struct world *world)
{
	for (uint32_t i = 0; i < KEPT; i++)
		while (!world->id[i].version)
			index_change(world, &world->id[i]);
}

/* The ids that are kept are only replaced; the others come and go. Now and then the server is another. */
static void write_beside(struct board *board, unsigned rounds)
{
	struct world *world = &board->world;

	for (unsigned i = 0; i < rounds; i++) {
		struct id *id = &world->id[test_random(&world->random) % world->ids];
		struct told told = {0};

		if (id < &world->id[KEPT])
			index_replace(world, id);
		else
			index_change(world, id);
		if (i % 512)
			continue;
		directory_close(&world->book);
		index_adopt(world->map, world->plan.length, &world->book, &told);
		CHECK_EQ(told.left + told.lost, 0);
	}
}

TEST_THREADS(finding_while_it_changes, 60)
{
	struct board *board = test_shared(sizeof(*board));
	struct world *world = &board->world;
	pid_t roles[2];

	*world = (struct world){.shape = {64, 300, 300, 8}, .random = test_seed()};
	world->key[0] = test_random(&world->random);
	CHECK_RC(directory_plan(&world->shape, &world->plan), 0);
	world->map = test_shared(world->plan.length);
	CHECK_RC(directory_create(world->map, &world->shape, world->key, index_back_nothing, NULL, &world->book), 0);
	CHECK_RC(directory_arena_add(&world->book, &(struct store_arena){.kind = STORE_PRIVATE, .size = ARENA_SIZE},
				     &world->arena),
		 0);
	index_make_ids(world, 200);
	put_kept(world);
	for (unsigned i = 0; i < 2; i++)
		roles[i] = test_role(find_what_is_kept, board);
	test_await(&board->ready, 2);
	write_beside(board, test_rounds(60000, 3000000));
	atomic_store(&board->over, 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK(load_rlx(&board->finds) > 0);
	CHECK_RC(directory_valid(world->map, world->plan.length), 0);
	directory_close(&world->book);
}

/* A word like that of a place that changes for ever: who looks gives up. No server does this. */
TEST(what_does_not_come_to_rest)
{
	static struct world world;
	uint32_t entry;
	uint64_t state;

	index_begin(&world, 16, 10, 1);
	while (!world.id[0].version)
		index_change(&world, &world.id[0]);
	/* The entry ended, its place still there: absent, at once. */
	directory_set_state(&world.book, world.id[0].entry, STORE_DYING);
	CHECK_EQ(directory_find(&world.book.directory, world.id[0].bytes, world.id[0].length, &entry, &state),
		 DIRECTORY_ABSENT);
	directory_remove(&world.book, world.id[0].entry);
	directory_free(&world.book, world.id[0].entry);
	index_end(&world);
}
