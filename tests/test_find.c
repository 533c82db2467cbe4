/* SPDX-License-Identifier: MIT */
/* The parts of `stoa find` by themselves: patterns, filters, batches, the directory table and its repair. */
#include <harness/test.h>

#include "../tools/find.h"
#include "../tools/tool.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- patterns ---- */

static bool matches(const char *glob, const char *name)
{
	return find_glob_matches(glob, strlen(glob), name, strlen(name));
}

TEST(patterns_mean_what_they_say)
{
	CHECK(matches("*", "") && matches("*", "anything") && matches("*.c", ".c") && matches("*.c", "a.c.c"));
	CHECK(!matches("*.c", "a.h") && !matches("", "a") && matches("", "") && !matches("?", ""));
	CHECK(matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-c-b"));
	CHECK(matches("[a-c]x[!0-9]", "bxz") && !matches("[a-c]x[!0-9]", "bx7") && matches("[]]", "]"));
	CHECK(matches("[^a]", "b") && matches("[a-]", "-") && matches("[\\]x]", "]") && matches("[x", "[x"));
	CHECK(matches("\\*", "*") && !matches("\\*", "x") && matches("a\\", "a\\"));
	CHECK(matches("*", ".hidden"));
}

TEST(a_question_mark_is_one_character_or_one_bad_byte)
{
	CHECK(matches("?", "\xc3\xbc") && !matches("??", "\xc3\xbc"));
	CHECK(matches("?", "\xff") && matches("??", "\xff\xfe") && matches("[\xc3\xa4-\xc3\xbc]", "\xc3\xb6"));
	CHECK(matches("\xff*", "\xff\xc3\xbc") && !matches("\xff", "\xc3\xbf"));
}

/* A pattern full of stars against a name that nearly matches: exponential in a naive matcher. */
TEST(patterns_with_many_stars_end_soon)
{
	char glob[129];
	char name[255];

	for (unsigned i = 0; i < 128; i += 2)
		memcpy(glob + i, "*a", 2);
	glob[127] = 'b';
	glob[128] = 0;
	memset(name, 'a', sizeof(name) - 1);
	name[254] = 0;
	CHECK(!matches(glob, name));
}

TEST(filters_combine)
{
	struct find_filter filter = {.glob_length = FIND_NO_GLOB, .size_max = UINT64_MAX};
	uint64_t size = 100;

	CHECK(find_filter_accepts(&filter, "a", 1, 'f', NULL));
	filter.types = 1u << 0 | 1u << 2; /* f and l */
	CHECK(find_filter_accepts(&filter, "a", 1, 'l', NULL));
	CHECK(!find_filter_accepts(&filter, "a", 1, 'd', NULL) && !find_filter_accepts(&filter, "a", 1, '?', NULL));
	filter.size_min = 100;
	CHECK(find_filter_needs_size(&filter));
	CHECK(find_filter_accepts(&filter, "a", 1, 'f', &size));
	CHECK(!find_filter_accepts(&filter, "a", 1, 'f', NULL));
	size = 99;
	CHECK(!find_filter_accepts(&filter, "a", 1, 'f', &size));
	filter.size_min = 0;
	filter.size_max = 98;
	CHECK(!find_filter_accepts(&filter, "a", 1, 'f', &size));
}

/* ---- batches ---- */

static void fill_random(void *bytes, size_t length, uint64_t *random)
{
	for (size_t i = 0; i < length; i++)
		((unsigned char *)bytes)[i] = (unsigned char)test_random(random);
}

TEST(batches_carry_what_was_written)
{
	unsigned char *buffer = calloc(1, FIND_BATCH);
	struct find_item item = {.name = "name", .length = 4, .kind = FIND_KIND_NAME, .type = 'f'};
	struct find_writer writer;
	struct find_section section;
	size_t at = 0;
	size_t inside;

	CHECK(buffer != NULL);
	find_writer_start(&writer, buffer);
	CHECK(find_writer_open(&writer, 4096, FIND_FIRST));
	CHECK(find_writer_add(&writer, &item));
	item = (struct find_item){.name = "sized", .length = 5, .kind = FIND_KIND_ATTRIBUTES, .type = 'l'};
	item.attributes.size = 12345;
	item.attributes.born.known = 1;
	CHECK(find_writer_add(&writer, &item));
	find_writer_close(&writer, FIND_LAST);
	CHECK(find_writer_open(&writer, 8192, FIND_FIRST));
	item = (struct find_item){.name = "", .length = 0, .kind = FIND_KIND_ERROR, .error = 13};
	CHECK(find_writer_add(&writer, &item));
	find_writer_close(&writer, 0);

	CHECK_EQ(find_batch_section(buffer, writer.used, &at, &section), 1);
	CHECK_EQ(section.directory, 4096);
	CHECK_EQ(section.flags, FIND_FIRST | FIND_LAST);
	inside = 0;
	CHECK_EQ(find_batch_item(buffer + at, section.bytes, &inside, &item), 1);
	CHECK(item.kind == FIND_KIND_NAME && item.type == 'f' && item.length == 4 && memcmp(item.name, "name", 4) == 0);
	CHECK_EQ(find_batch_item(buffer + at, section.bytes, &inside, &item), 1);
	CHECK(item.kind == FIND_KIND_ATTRIBUTES && item.type == 'l' && memcmp(item.name, "sized", 5) == 0);
	CHECK(item.attributes.size == 12345 && item.attributes.born.known == 1);
	CHECK_EQ(find_batch_item(buffer + at, section.bytes, &inside, &item), 0);
	at += section.bytes;
	CHECK_EQ(find_batch_section(buffer, writer.used, &at, &section), 1);
	CHECK_EQ(section.flags, FIND_FIRST);
	inside = 0;
	CHECK_EQ(find_batch_item(buffer + at, section.bytes, &inside, &item), 1);
	CHECK(item.kind == FIND_KIND_ERROR && item.error == 13 && item.length == 0);
	at += section.bytes;
	CHECK_EQ(find_batch_section(buffer, writer.used, &at, &section), 0);
	free(buffer);
}

TEST(a_full_batch_refuses_and_stays_whole)
{
	unsigned char *buffer = malloc(FIND_BATCH);
	char name[256];
	struct find_item item = {.name = name, .kind = FIND_KIND_NAME, .type = 'f'};
	struct find_writer writer;
	struct find_section section;
	uint64_t random = test_seed();
	unsigned written = 0;
	unsigned read = 0;
	size_t at = 0;
	size_t inside = 0;

	CHECK(buffer != NULL);
	memset(name, 'x', sizeof(name));
	find_writer_start(&writer, buffer);
	CHECK(find_writer_open(&writer, 8, 0));
	do
		item.length = (uint32_t)(1 + test_random(&random) % 255);
	while (find_writer_add(&writer, &item) && ++written);
	CHECK_INT(writer.used, <=, FIND_BATCH);
	CHECK_INT(writer.used, >, FIND_BATCH - 300);
	find_writer_close(&writer, 0);
	CHECK_EQ(find_batch_section(buffer, writer.used, &at, &section), 1);
	while (find_batch_item(buffer + at, section.bytes, &inside, &item) == 1)
		read++;
	CHECK_EQ(read, written);
	free(buffer);
}

/* Random bytes, and good batches with some bytes changed: read to the end without leaving them. An exact allocation lets ASan see. */
TEST(damaged_batches_are_read_within_their_bounds)
{
	uint64_t random = test_seed();
	unsigned items = 0;
	unsigned refused = 0;

	for (unsigned round = 0; round < 20000; round++) {
		size_t length = test_random(&random) % 512;
		unsigned char *bytes = malloc(length ? length : 1);
		struct find_section section;
		struct find_item item;
		size_t at = 0;
		int result;

		CHECK(bytes != NULL);
		fill_random(bytes, length, &random);
		for (size_t i = 8; round % 2 && i + 8 <= length; i += 4)
			memcpy(bytes + i, (uint32_t[2]){(uint32_t)(test_random(&random) % 64), 0}, 8);
		while ((result = find_batch_section(bytes, length, &at, &section)) == 1) {
			size_t inside = 0;

			while (find_batch_item(bytes + at, section.bytes, &inside, &item) == 1) {
				CHECK((const unsigned char *)item.name >= bytes + at);
				CHECK((const unsigned char *)item.name + item.length <= bytes + at + section.bytes);
				items++;
			}
			at += section.bytes;
			CHECK_INT(at, <=, length);
		}
		refused += result < 0;
		free(bytes);
	}
	CHECK_INT(items, >, 100);
	CHECK_INT(refused, >, 100);
}

/* ---- the directory table ---- */

static void make_area(struct find_area *area)
{
	const struct find_options options = {.root = "/root",
					     .jobs = 2,
					     .patience = 1,
					     .filter = {.glob_length = 3, .glob = "*.c", .size_max = UINT64_MAX}};

	CHECK_RC(find_area_create(&options, false, area), 0);
}

/* Spread as by `server`, its sub-directories. */
static void spread(struct find_area *area, uint32_t server, uint64_t directory, const char *const *names)
{
	struct find_text records = {0};

	for (; *names; names++)
		CHECK(find_table_collect(&records, directory, *names, strlen(*names)));
	CHECK_RC(find_table_spread(area, server, records.bytes, records.length), 0);
	find_text_free(&records);
}

TEST(the_area_is_laid_out_as_its_users_read_it)
{
	struct find_area area;
	struct find_filter filter;
	char token[STOA_TOKEN_SIZE];
	struct find_area adopted;

	make_area(&area);
	CHECK_STR(find_area_root(&area), "/root");
	find_area_filter(&area, &filter);
	CHECK_EQ(filter.glob_length, 3);
	CHECK_STR(filter.glob, "*.c");
	CHECK(find_table_valid(&area));
	CHECK_RC(stoa_segment_inherit(area.segment, token), 0);
	CHECK_RC(find_area_adopt(token, &adopted), 0);
	CHECK_STR(find_area_root(&adopted), "/root");
	find_area_close(&adopted);
	find_area_close(&area);
}

TEST(the_directories_found_last_are_claimed_first)
{
	struct find_area area;
	uint64_t offsets[8];
	struct find_text path = {0};
	uint64_t root;

	make_area(&area);
	CHECK_EQ(area.shared->table.waiting, 1);
	CHECK_EQ(find_table_claim(&area, 7, 8, offsets), 1);
	root = offsets[0];
	CHECK_EQ(find_table_claim(&area, 7, 8, offsets), 0);
	spread(&area, 7, root, (const char *const[]){"one", "two\n", NULL});
	CHECK_EQ(((const struct find_directory *)(const void *)(area.base + root))->spread, 1);
	CHECK_EQ(area.shared->table.total, 3);
	CHECK_EQ(find_table_claim(&area, 7, 1, offsets), 1);
	CHECK_EQ(find_table_claim(&area, 8, 8, offsets + 1), 1);
	CHECK_RC(find_table_path(&area, offsets[0], area.shared->table.top, "/p/", 3, &path), 0);
	CHECK_STR(path.bytes, "/p/two\n/");
	CHECK_RC(find_table_path(&area, offsets[1], area.shared->table.top, "", 0, &path), 0);
	CHECK_STR(path.bytes, "one/");
	CHECK_RC(find_table_path(&area, root, area.shared->table.top, "/p/", 3, &path), 0);
	CHECK_STR(path.bytes, "/p/");
	CHECK(find_table_valid(&area));
	find_text_free(&path);
	find_area_close(&area);
}

TEST(what_a_dead_server_left_is_queued_again_once)
{
	struct find_area area;
	uint64_t offsets[8];
	struct find_requeued requeued;
	struct find_record record;

	make_area(&area);
	CHECK_EQ(find_table_claim(&area, 1, 8, offsets), 1);
	spread(&area, 1, offsets[0], (const char *const[]){"a", "b", "c", NULL});
	CHECK_EQ(find_table_claim(&area, 1, 2, offsets + 1), 2);
	CHECK_EQ(find_table_claim(&area, 2, 2, offsets + 3), 1);
	/* The client has all of "a": it is not done again. */
	CHECK(find_table_look(&area, offsets[1], area.shared->table.top, &record));
	record.directory->acknowledged = 1;
	find_table_requeue(&area, 1, &requeued);
	CHECK_EQ(requeued.directories, 2);
	CHECK_EQ(requeued.spread, 1);
	/* A second death does not queue the first one's again. */
	find_table_requeue(&area, 2, &requeued);
	CHECK_EQ(requeued.directories, 1);
	CHECK(find_table_valid(&area));
	CHECK_EQ(find_table_claim(&area, 3, 2, offsets), 2);
	CHECK_EQ(find_table_claim(&area, 3, 8, offsets + 2), 1);
	CHECK_EQ(find_table_claim(&area, 3, 8, offsets + 3), 0);
	CHECK(offsets[0] != offsets[1] && offsets[1] != offsets[2] && offsets[0] != offsets[2]);
	CHECK(find_table_valid(&area));
	find_area_close(&area);
}

/* Random bytes over the table: every function ends, and reads nothing outside. */
TEST(a_scribbled_table_is_survived)
{
	struct find_area area;
	uint64_t random = test_seed();

	make_area(&area);
	for (unsigned round = 0; round < 2000; round++) {
		struct find_table *table = &area.shared->table;
		uint64_t arena = area.shared->arena;
		struct find_requeued requeued;
		struct find_text path = {0};
		uint64_t offsets[16];
		unsigned claimed;

		fill_random(area.base + arena, 4096, &random);
		for (uint64_t at = arena; round % 2 && at < arena + 4096; at += 32) {
			struct find_directory *directory = (struct find_directory *)(void *)(area.base + at);

			directory->parent = at > arena ? arena + (test_random(&random) % ((at - arena) / 8) * 8) : 0;
			directory->length = (uint32_t)(test_random(&random) % 8);
		}
		table->top = arena + test_random(&random) % 4096;
		for (unsigned i = 0; i < FIND_JOBS_MAX; i++)
			table->chains[i] = test_random(&random) % 3 ? 0 : arena + test_random(&random) % 4096 / 8 * 8;
		claimed = find_table_claim(&area, 2, 16, offsets);
		CHECK_INT(claimed, <=, 16);
		find_table_valid(&area);
		find_table_repair(&area);
		find_table_requeue(&area, (uint32_t)test_random(&random), &requeued);
		claimed = find_table_claim(&area, 1, 16, offsets);
		for (unsigned i = 0; i < claimed; i++)
			find_table_path(&area, offsets[i], table->top, "/", 1, &path);
		find_table_valid(&area);
		find_text_free(&path);
	}
	find_area_close(&area);
}
