/* SPDX-License-Identifier: MIT */
/*
 * A store's directory in which the input overwrites words, here and there: what a client may find, and what a server may have to take over. Everything ends,
 * nothing outside is read, an object that is found has the id, and what was taken over is sound.
 */
#include <stdlib.h>
#include <store/directory.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define OBJECTS 40u

static int back(void *argument, uint64_t from, uint64_t to)
{
	(void)argument;
	return from <= to ? 0 : -STOA_EINVAL;
}

/* Ids of 1, 8, 15 ... bytes, so that some are long. */
static uint32_t make_id(uint32_t number, uint8_t id[STOA_ID_MAX])
{
	memset(id, (int)number, STOA_ID_MAX);
	return 1 + number * 7 % STOA_ID_MAX;
}

static void fill(struct directory_book *book)
{
	const struct store_arena arena = {.kind = STORE_PRIVATE, .size = 1 << 20};
	uint8_t id[STOA_ID_MAX];
	uint32_t entry, at;

	if (directory_arena_add(book, &arena, &at))
		abort();
	for (uint32_t i = 1; i <= OBJECTS; i++) {
		struct store_entry fields = {
			.arena = at, .kind = STORE_PRIVATE, .offset = i * 1024, .room = 512, .extent = 576};

		if (directory_enter(book, id, make_id(i, id), &fields, &entry) || directory_place(book, entry))
			abort();
		directory_seal(book, entry, i);
	}
}

static void use(const uint8_t *map, uint64_t length)
{
	struct directory directory;
	struct directory_object object;
	uint8_t id[STOA_ID_MAX];
	uint32_t entry;
	uint64_t state;

	if (directory_open(map, length, &directory))
		return;
	for (uint32_t i = 1; i <= OBJECTS; i++) {
		uint32_t id_length = make_id(i, id);

		if (directory_find(&directory, id, id_length, &entry, &state) == DIRECTORY_FOUND &&
		    directory_read(&directory, entry, state, &object) == 0 &&
		    (object.entry.id_length != id_length || memcmp(object.id, id, id_length) != 0))
			abort();
	}
	for (entry = 1; entry < directory_limit(&directory); entry++)
		(void)directory_read(&directory, entry, load_rlx(directory_state(&directory, entry)), &object);
	(void)directory_valid(map, length);
}

static void left(void *argument, uint32_t entry, enum directory_finding finding)
{
	struct directory_book *book = argument;

	if (finding != DIRECTORY_LEFT)
		return;
	directory_set_state(book, entry, STORE_DYING);
	directory_free(book, entry);
}

static void take_over(uint8_t *map, uint64_t length)
{
	struct directory_book book;
	struct directory_tally tally;

	/* `back` looks at nothing, so that its argument can be the book. */
	if (directory_adopt(map, length, back, &book, left, &book, &tally))
		return;
	if (directory_valid(map, length))
		abort();
	directory_close(&book);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct store_shape shape = {8, OBJECTS + 9, OBJECTS, 4};
	static const uint64_t key[2] = {1, 2};
	struct directory_book book;
	struct directory_plan plan;
	uint8_t *map;

	if (directory_plan(&shape, &plan))
		abort();
	map = calloc(1, plan.length);
	if (!map || directory_create(map, &shape, key, back, NULL, &book))
		abort();
	fill(&book);
	directory_close(&book);
	/* Ten bytes: where, in words, and what. */
	for (; length >= 10; bytes += 10, length -= 10) {
		uint16_t at;

		memcpy(&at, bytes, sizeof(at));
		memcpy(map + at % (plan.length / 8) * 8, bytes + 2, 8);
	}
	use(map, plan.length);
	take_over(map, plan.length);
	use(map, plan.length);
	free(map);
	return 0;
}
