/* SPDX-License-Identifier: MIT */
/* Backings: what each of the ready ones does with ranges, sizes and errors, and that functions of one's own are called as promised. */
#include "files.h"

#include <harness/test.h>

#include <backing/backing.h>
#include <segment/common.h>

#define BLOCK 4096u

static void write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");

	CHECK(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static bool all_are(const unsigned char *bytes, size_t length, unsigned char value)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

/* ---- what holds for each that is of 10 000 bytes, zeros at first ---- */

#define SIZE 10000u

static void check_ranges(struct stoa_backing *backing)
{
	static unsigned char bytes[4 * BLOCK], found[4 * BLOCK];
	uint64_t size = 0;

	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, SIZE);
	memset(found, 7, sizeof(found));
	CHECK_RC(stoa_backing_fill(backing, 0, sizeof(found), found), 0);
	CHECK(all_are(found, sizeof(found), 0));
	/* The last block reaches beyond the size; one lies there as a whole. */
	memset(bytes, 9, sizeof(bytes));
	CHECK_RC(stoa_backing_write(backing, BLOCK, sizeof(bytes) - BLOCK, bytes), 0);
	CHECK_RC(stoa_backing_write(backing, 16 * BLOCK, BLOCK, bytes), 0);
	memset(found, 7, sizeof(found));
	CHECK_RC(stoa_backing_fill(backing, 0, sizeof(found), found), 0);
	CHECK(all_are(found, BLOCK, 0));
	CHECK(all_are(found + BLOCK, SIZE - BLOCK, 9));
	CHECK(all_are(found + SIZE, sizeof(found) - SIZE, 0));
	memset(found, 7, sizeof(found));
	CHECK_RC(stoa_backing_fill(backing, 16 * BLOCK, BLOCK, found), 0);
	CHECK(all_are(found, BLOCK, 0));
	CHECK_EQ(found[BLOCK], 7);
	CHECK_RC(stoa_backing_flush(backing), 0);
	/* Nothing is done for nothing. */
	CHECK_RC(stoa_backing_fill(backing, 0, 0, NULL), 0);
	CHECK_RC(stoa_backing_write(backing, 0, 0, NULL), 0);
	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, SIZE);
}

TEST(memory_has_its_bytes)
{
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_memory(SIZE, &backing), 0);
	check_ranges(backing);
	stoa_backing_close(backing);
}

TEST(a_file_has_its_bytes)
{
	struct stoa_backing *backing;
	char *path = test_path("new");

	CHECK_RC(stoa_backing_file(path, STOA_BACKING_CREATE, SIZE, &backing), 0);
	CHECK_EQ(test_file_size(path), SIZE);
	check_ranges(backing);
	stoa_backing_close(backing);
	CHECK_EQ(test_file_size(path), SIZE);
}

/* ---- files ---- */

TEST(a_file_that_is_there_keeps_its_bytes_and_size)
{
	struct stoa_backing *backing;
	unsigned char found[BLOCK];
	char *path = test_path("old");
	uint64_t size;

	write_file(path, "twelve bytes", 12);
	CHECK_RC(stoa_backing_file(path, STOA_BACKING_CREATE, 1000, &backing), 0);
	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, 12);
	CHECK_RC(stoa_backing_fill(backing, 0, BLOCK, found), 0);
	CHECK_EQ(memcmp(found, "twelve bytes", 12), 0);
	CHECK(all_are(found + 12, BLOCK - 12, 0));
	memset(found, 'x', sizeof(found));
	CHECK_RC(stoa_backing_write(backing, 0, BLOCK, found), 0);
	stoa_backing_close(backing);
	CHECK_EQ(test_file_size(path), 12);
}

TEST(a_file_to_read_only)
{
	struct stoa_backing *backing;
	unsigned char found[16];
	char *path = test_path("read");

	write_file(path, "twelve bytes", 12);
	CHECK_RC(stoa_backing_file(path, STOA_BACKING_READ_ONLY, 0, &backing), 0);
	CHECK_RC(stoa_backing_fill(backing, 8, 8, found), 0);
	CHECK_EQ(memcmp(found, "ytes\0\0\0\0", 8), 0);
	CHECK_RC(stoa_backing_write(backing, 0, 4, "TEST"), -STOA_ERIGHTS);
	check_detail("only reads");
	CHECK_RC(stoa_backing_flush(backing), 0);
	stoa_backing_close(backing);
}

/* The size is that of the opening: a backing does not grow, nor does a file that was cut hurt. */
TEST(a_file_that_others_cut)
{
	struct stoa_backing *backing, *cut;
	unsigned char found[BLOCK];
	char *path = test_path("cut");
	uint64_t size;

	memset(found, 3, sizeof(found));
	write_file(path, found, sizeof(found));
	CHECK_RC(stoa_backing_file(path, 0, 0, &backing), 0);
	write_file(path, found, 100);
	CHECK_RC(stoa_backing_file(path, 0, 0, &cut), 0);
	CHECK_RC(stoa_backing_fill(backing, 0, BLOCK, found), 0);
	CHECK(all_are(found, 100, 3));
	CHECK(all_are(found + 100, BLOCK - 100, 0));
	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, BLOCK);
	CHECK_RC(stoa_backing_size(cut, &size), 0);
	CHECK_EQ(size, 100);
	stoa_backing_close(backing);
	stoa_backing_close(cut);
}

TEST(files_that_cannot_be)
{
	struct stoa_backing *backing = NULL;
	char *path = test_path("file");

	write_file(path, "twelve bytes", 12);
	check_refusal(stoa_backing_file(NULL, 0, 0, &backing), "no path");
	check_refusal(stoa_backing_file(path, 0, 0, NULL), "no place for the handle");
	check_refusal(stoa_backing_file(path, UINT32_C(1) << 30, 0, &backing), "does not take 0x40000000");
	check_refusal(stoa_backing_file(path, STOA_BACKING_READ_ONLY | STOA_BACKING_CREATE, 5, &backing),
		      "cannot create its file");
	check_refusal(stoa_backing_file(path, STOA_BACKING_CREATE, 0, &backing), "say of how many bytes");
	check_refusal(stoa_backing_file(path, STOA_BACKING_CREATE, BACKING_SIZE_MAX + 1, &backing), "more than 2^62");
	CHECK_RC(stoa_backing_file(test_path("none"), 0, 0, &backing), -STOA_ENOENT);
	CHECK_RC(stoa_backing_file(test_path("no/where"), STOA_BACKING_CREATE, 5, &backing), -STOA_ENOENT);
	CHECK_RC(stoa_backing_file(test_dir(), 0, 0, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(test_dir(), STOA_BACKING_READ_ONLY, 0, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(device_path, STOA_BACKING_READ_ONLY, 0, &backing), -STOA_EKIND);
	CHECK_RC(stoa_backing_file(device_path, STOA_BACKING_CREATE, 5, &backing), -STOA_EKIND);
	CHECK(backing == NULL);
	CHECK_EQ(test_file_size(path), 12);
}

#define WRITERS 3u
#define BLOCKS 64u

static void fill_with(unsigned char *block, unsigned number, unsigned writer)
{
	memset(block, (int)(number ^ writer << 4 ^ 0x5a), BLOCK);
	memcpy(block, &number, sizeof(number));
}

/* Each writer has a backing of its own, and makes the file if it is the first. */
static void write_every_third(void *argument)
{
	unsigned writer = (unsigned)(uintptr_t)argument;
	unsigned char block[BLOCK];
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_file(test_path("shared"), STOA_BACKING_CREATE, BLOCKS * BLOCK - 100, &backing), 0);
	for (unsigned i = writer; i < BLOCKS; i += WRITERS) {
		fill_with(block, i, writer);
		CHECK_RC(stoa_backing_write(backing, i * BLOCK, BLOCK, block), 0);
	}
	CHECK_RC(stoa_backing_flush(backing), 0);
	stoa_backing_close(backing);
}

TEST_THREADS(processes_share_a_file, 60)
{
	unsigned char block[BLOCK], expected[BLOCK];
	struct stoa_backing *backing;
	pid_t roles[WRITERS];

	test_dir();
	for (unsigned i = 0; i < WRITERS; i++)
		roles[i] = test_role(write_every_third, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < WRITERS; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_RC(stoa_backing_file(test_path("shared"), STOA_BACKING_READ_ONLY, 0, &backing), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		fill_with(expected, i, i % WRITERS);
		if (i == BLOCKS - 1)
			memset(expected + BLOCK - 100, 0, 100);
		CHECK_RC(stoa_backing_fill(backing, i * BLOCK, BLOCK, block), 0);
		CHECK_EQ(memcmp(block, expected, BLOCK), 0);
	}
	stoa_backing_close(backing);
}

/* ---- functions of one's own ---- */

struct own {
	int result;
	unsigned fills, writes, flushes, closes;
	uint64_t offset, length, size;
};

static int own_fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	struct own *own = context;

	own->fills++;
	own->offset = offset;
	own->length = length;
	memset(bytes, 5, (size_t)length);
	return own->result;
}

static int own_write(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	struct own *own = context;

	own->writes++;
	own->offset = offset;
	own->length = length + *(const unsigned char *)bytes;
	return own->result;
}

static int own_flush(void *context)
{
	struct own *own = context;

	own->flushes++;
	return own->result;
}

static int own_size(void *context, uint64_t *ret_size)
{
	const struct own *own = context;

	*ret_size = own->size;
	return own->result;
}

static void own_close(void *context)
{
	((struct own *)context)->closes++;
}

TEST(own_functions_are_called)
{
	struct stoa_backing_calls calls = {own_fill, own_write, own_flush, own_size, own_close};
	struct own own = {.size = 100};
	struct stoa_backing *backing;
	unsigned char bytes[8] = {1};
	uint64_t size;

	CHECK_RC(stoa_backing_create(&calls, &own, &backing), 0);
	memset(&calls, 0, sizeof(calls)); /* they were copied */
	CHECK_RC(stoa_backing_fill(backing, 64, 8, bytes), 0);
	CHECK_EQ(own.fills, 1);
	CHECK_EQ(own.offset, 64);
	CHECK_EQ(own.length, 8);
	CHECK_EQ(bytes[7], 5);
	CHECK_RC(stoa_backing_write(backing, 32, 8, bytes), 0);
	CHECK_EQ(own.writes, 1);
	CHECK_EQ(own.offset, 32);
	CHECK_EQ(own.length, 8 + 5);
	CHECK_RC(stoa_backing_flush(backing), 0);
	CHECK_EQ(own.flushes, 1);
	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, 100);
	CHECK_EQ(own.closes, 0);
	stoa_backing_close(backing);
	CHECK_EQ(own.closes, 1);
}

TEST(own_results_are_passed_on_or_named)
{
	const struct stoa_backing_calls calls = {own_fill, own_write, own_flush, own_size, own_close};
	struct own own = {.size = 100, .result = -100};
	struct stoa_backing *backing;
	unsigned char bytes[8] = {1};
	uint64_t size = 77;

	CHECK_RC(stoa_backing_create(&calls, &own, &backing), 0);
	CHECK_RC(stoa_backing_fill(backing, 0, 8, bytes), -100);
	CHECK_RC(stoa_backing_write(backing, 0, 8, bytes), -100);
	CHECK_RC(stoa_backing_flush(backing), -100);
	CHECK_RC(stoa_backing_size(backing, &size), -100);
	own.result = -127;
	CHECK_RC(stoa_backing_fill(backing, 0, 8, bytes), -127);
	own.result = -128;
	CHECK_RC(stoa_backing_fill(backing, 0, 8, bytes), -STOA_ESYSTEM);
	check_detail("fill() returned -128");
	own.result = 1;
	CHECK_RC(stoa_backing_write(backing, 0, 8, bytes), -STOA_ESYSTEM);
	CHECK_RC(stoa_backing_size(backing, &size), -STOA_ESYSTEM);
	own = (struct own){.size = BACKING_SIZE_MAX + 1};
	CHECK_RC(stoa_backing_size(backing, &size), -STOA_ESYSTEM);
	check_detail("more than 2^62");
	CHECK_EQ(size, 77);
	stoa_backing_close(backing);
}

TEST(arguments_are_checked)
{
	const struct stoa_backing_calls calls = {.fill = own_fill, .size = own_size};
	const struct stoa_backing_calls no_fill = {.size = own_size}, no_size = {.fill = own_fill},
					no_write = {.fill = own_fill, .size = own_size, .flush = own_flush};
	struct own own = {.size = 100};
	struct stoa_backing *backing = NULL;
	unsigned char bytes[8] = {1};
	uint64_t size;

	check_refusal(stoa_backing_create(NULL, &own, &backing), "no functions");
	check_refusal(stoa_backing_create(&no_fill, &own, &backing), "fill and size");
	check_refusal(stoa_backing_create(&no_size, &own, &backing), "fill and size");
	check_refusal(stoa_backing_create(&no_write, &own, &backing), "nothing to flush");
	check_refusal(stoa_backing_create(&calls, &own, NULL), "no place for the handle");
	check_refusal(stoa_backing_memory(0, &backing), "0 bytes of memory");
	check_refusal(stoa_backing_memory(BACKING_SIZE_MAX + 1, &backing), "1 to 2^62");
	check_refusal(stoa_backing_memory(5, NULL), "no place for the handle");
	CHECK(backing == NULL);
	CHECK_RC(stoa_backing_create(&calls, &own, &backing), 0);
	check_refusal(stoa_backing_fill(NULL, 0, 8, bytes), "no backing");
	check_refusal(stoa_backing_fill(backing, 0, 8, NULL), "no bytes");
	check_refusal(stoa_backing_fill(backing, BACKING_SIZE_MAX, 8, bytes), "no range");
	check_refusal(stoa_backing_fill(backing, UINT64_MAX, 8, bytes), "no range");
	check_refusal(stoa_backing_fill(backing, 8, UINT64_MAX, bytes), "no range");
	check_refusal(stoa_backing_write(NULL, 0, 8, bytes), "no backing");
	check_refusal(stoa_backing_write(backing, 0, 8, NULL), "no bytes");
	CHECK_RC(stoa_backing_write(backing, 0, 8, bytes), -STOA_ERIGHTS);
	check_refusal(stoa_backing_flush(NULL), "no backing");
	CHECK_RC(stoa_backing_flush(backing), 0);
	check_refusal(stoa_backing_size(NULL, &size), "no backing");
	check_refusal(stoa_backing_size(backing, NULL), "no place for the size");
	CHECK_EQ(own.fills, 0);
	stoa_backing_close(backing);
	stoa_backing_close(NULL);
}

TEST(more_memory_than_there_is)
{
	struct stoa_backing *backing = NULL;

	CHECK_RC(stoa_backing_memory(BACKING_SIZE_MAX, &backing), -STOA_ENOMEM);
	CHECK(backing == NULL);
}
