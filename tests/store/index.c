/* SPDX-License-Identifier: MIT */
/* See index.h. Uses the harness, the directory and Linux's memory. */
#include "index.h"

#include <base/atomic.h>
#include <harness/test.h>
#include <sys/mman.h>

/* Pages that were not committed cannot be touched. */
int index_back(void *argument, uint64_t from, uint64_t to)
{
	struct world *world = argument;

	if (world->refuse)
		return world->refuse;
	CHECK(from % OS_PAGE == 0 && to % OS_PAGE == 0 && from < to && to <= world->plan.length);
	CHECK_SYS(mprotect(world->map + from, to - from, PROT_READ | PROT_WRITE));
	world->backed += to - from;
	return 0;
}

uint8_t *index_map_pages(uint64_t length, int protection)
{
	void *map = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	return map;
}

static void make_id(struct world *world, struct id *id)
{
	uint32_t kind = test_random(&world->random) % 8;

	*id = (struct id){.length = kind < 6 ? 1 + (uint32_t)test_random(&world->random) % 40
					     : 1 + (uint32_t)test_random(&world->random) % STOA_ID_MAX};
	for (uint32_t i = 0; i < id->length; i++)
		id->bytes[i] = (uint8_t)(test_random(&world->random) % (kind % 2 ? 2 : 256));
}

static bool same_id(const struct id *a, const struct id *b)
{
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

void index_make_ids(struct world *world, uint32_t count)
{
	for (world->ids = 0; world->ids < count;) {
		bool known = false;

		make_id(world, &world->id[world->ids]);
		for (uint32_t i = 0; i < world->ids; i++)
			known = known || same_id(&world->id[i], &world->id[world->ids]);
		world->ids += !known;
	}
}

void index_begin(struct world *world, uint32_t buckets, uint32_t entries, uint32_t ids)
{
	*world = (struct world){.shape = {buckets, entries, entries, 8}, .random = test_seed()};
	world->key[0] = test_random(&world->random);
	world->key[1] = test_random(&world->random);
	CHECK_RC(directory_plan(&world->shape, &world->plan), 0);
	world->map = index_map_pages(world->plan.length, PROT_NONE);
	CHECK_RC(directory_create(world->map, &world->shape, world->key, index_back, world, &world->book), 0);
	CHECK_RC(directory_arena_add(
			 &world->book,
			 &(struct store_arena){.kind = STORE_PRIVATE, .access = STORE_BY_ALL, .size = ARENA_SIZE},
			 &world->arena),
		 0);
	index_make_ids(world, ids);
}

void index_end(struct world *world)
{
	CHECK_RC(directory_valid(world->map, world->plan.length), 0);
	CHECK_EQ(world->book.committed, world->backed);
	directory_close(&world->book);
	CHECK_SYS(munmap(world->map, world->plan.length));
}

/* All that an entry says follows from its version. */
static struct store_entry fields_of(const struct world *world, uint64_t version)
{
	uint16_t meta_length = (uint16_t)(version * 7 % (STOA_META_MAX + 1));
	uint64_t room = version * 1001 % 100000;

	return (struct store_entry){.arena = world->arena,
				    .kind = STORE_PRIVATE,
				    .meta_length = meta_length,
				    .offset = version * 64 % (ARENA_SIZE / 2),
				    .size = room,
				    .owner = (uint32_t)version * 3,
				    .access = (uint32_t)version % 4,
				    .reader = (uint32_t)version * 5,
				    .flags = (uint32_t)version % 8,
				    .session = (uint32_t)version % 100,
				    .serial = version * 11,
				    .room = room,
				    .extent = store_extent(room, meta_length),
				    .made = version};
}

int index_enter(struct world *world, const struct id *id, uint64_t version, uint32_t *ret_entry)
{
	struct store_entry fields = fields_of(world, version);

	return directory_enter(&world->book, id->bytes, id->length, &fields, ret_entry);
}

uint64_t index_sealed_size(uint64_t version)
{
	return version * 1001 % 100000 / 2;
}

/* What find says must be this version of the id, or (0) nothing. */
uint64_t index_version_found(const struct directory *directory, const struct id *id)
{
	struct directory_object object;
	struct directory_where where = {0};
	uint32_t entry;
	uint64_t state;

	if (directory_find(directory, id->bytes, id->length, &entry, &state) != DIRECTORY_FOUND)
		return 0;
	CHECK(entry && entry < directory->shape.entries);
	CHECK_RC(directory_read(directory, entry, state, &object), 0);
	CHECK(object.entry.id_length == id->length && memcmp(object.id, id->bytes, id->length) == 0);
	CHECK_RC(directory_look(directory, entry, &where), 0);
	CHECK(where.arena == object.entry.arena && where.offset == object.entry.offset &&
	      where.size == load_rlx(&object.entry.size) && where.meta_length == object.entry.meta_length &&
	      where.kind == object.entry.kind);
	if (store_state_of(state) == STORE_WRITING)
		return 0;
	CHECK_EQ(where.size, index_sealed_size(object.entry.made));
	CHECK_EQ(object.entry.serial, object.entry.made * 11);
	return object.entry.made;
}

void index_check_all(const struct world *world)
{
	for (uint32_t i = 0; i < world->ids; i++) {
		const struct id *id = &world->id[i];

		CHECK_EQ(index_version_found(&world->book.directory, id), id->version);
		CHECK_EQ(directory_lookup(&world->book, id->bytes, id->length), id->entry);
		CHECK(!id->entry || directory_has_place(&world->book, id->entry));
	}
	CHECK_RC(directory_valid(world->map, world->plan.length), 0);
}

/* ---- random changes ---- */

void index_end_entry(struct world *world, uint32_t entry)
{
	directory_set_state(&world->book, entry, STORE_DYING);
	directory_remove(&world->book, entry);
	directory_free(&world->book, entry);
}

void index_put(struct world *world, struct id *id)
{
	uint64_t version = world->versions + 1;
	uint32_t entry;
	int rc = index_enter(world, id, version, &entry);

	if (rc < 0) {
		CHECK_RC(rc, -STOA_ELIMIT);
		return;
	}
	rc = directory_place(&world->book, entry);
	if (rc < 0) {
		CHECK_RC(rc, -STOA_ELIMIT);
		index_end_entry(world, entry);
		return;
	}
	world->versions = version;
	id->entry = entry;
	id->writing = test_random(&world->random) % 8 == 0;
	if (id->writing)
		return;
	directory_seal(&world->book, entry, index_sealed_size(version));
	id->version = version;
}

void index_replace(struct world *world, struct id *id)
{
	uint64_t version = world->versions + 1;
	uint32_t entry, old = id->entry;
	int rc = index_enter(world, id, version, &entry);

	if (rc < 0) {
		CHECK_RC(rc, -STOA_ELIMIT);
		return;
	}
	world->versions = version;
	directory_seal(&world->book, entry, index_sealed_size(version));
	directory_hand_over(&world->book, old, entry);
	id->entry = entry;
	id->version = version;
	id->spilled = false;
	index_end_entry(world, old);
}

void index_finish_draft(struct world *world, struct id *id)
{
	uint64_t version = world->book.directory.entries[id->entry].made;

	id->writing = false;
	if (test_random(&world->random) % 2) {
		directory_seal(&world->book, id->entry, index_sealed_size(version));
		id->version = version;
		return;
	}
	index_end_entry(world, id->entry);
	id->entry = 0;
}

void index_change(struct world *world, struct id *id)
{
	uint32_t choice = test_random(&world->random) % 8;

	if (!id->entry) {
		index_put(world, id);
	} else if (id->writing) {
		index_finish_draft(world, id);
	} else if (choice < 3) {
		index_replace(world, id);
	} else if (choice == 3) {
		id->spilled = !id->spilled;
		directory_set_state(&world->book, id->entry, id->spilled ? STORE_SPILLED : STORE_SEALED);
	} else if (choice == 4) {
		directory_set_flags(&world->book, id->entry, (uint32_t)test_random(&world->random));
	} else {
		index_end_entry(world, id->entry);
		id->entry = 0;
		id->version = 0;
		id->spilled = false;
	}
}

/* ---- taking over ---- */

static void tell(void *argument, uint32_t entry, enum directory_finding finding)
{
	struct told *told = argument;

	CHECK(entry > told->last);
	told->last = entry;
	told->good += finding == DIRECTORY_GOOD;
	told->left += finding == DIRECTORY_LEFT;
	told->lost += finding == DIRECTORY_LOST;
	if (finding == DIRECTORY_LEFT && told->count < CC_COUNT(told->ended))
		told->ended[told->count++] = entry;
}

int index_back_nothing(void *argument, uint64_t from, uint64_t to)
{
	(void)argument;
	(void)from;
	(void)to;
	return 0;
}

/* Take over `map`, and see that what was told is what is there. */
void index_adopt(uint8_t *map, uint64_t length, struct directory_book *ret_book, struct told *told)
{
	struct directory_tally tally;

	CHECK_RC(directory_adopt(map, length, index_back_nothing, told, tell, ret_book, &tally), 0);
	CHECK_EQ(tally.good, told->good);
	CHECK_EQ(tally.left, told->left);
	CHECK_EQ(tally.lost, told->lost);
	for (uint32_t i = 0; i < told->count; i++) {
		CHECK(!directory_has_place(ret_book, told->ended[i]));
		directory_set_state(ret_book, told->ended[i], STORE_DYING);
		directory_free(ret_book, told->ended[i]);
	}
	CHECK_RC(directory_valid(map, length), 0);
	CHECK_EQ(ret_book->entries.count + told->good, ret_book->entries.reached - 1);
}
