/* SPDX-License-Identifier: MIT */
/*
 * Files as segments: opening, growing to the byte, cutting, flushing and prefetching. What a system cannot do with a file that is
 * mapped is refused by name, and nothing has changed then.
 */
#include "files.h"

#include <segment/channel.h>
#include <segment/common.h>

static void write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");

	CHECK(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

TEST(created_committed_and_flushed)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE};
	char *path = test_path("new");
	struct stoa_segment *segment = NULL, *other;

	CHECK_RC(stoa_segment_file(path, GIB, NULL, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_segment_file(path, 0, &create, &segment), -STOA_EINVAL);
	check_detail("say how far it may grow");
	CHECK_EQ(test_file_size(path), -1); /* not made: nothing could be mapped without a reserve */
	CHECK(segment == NULL);
	CHECK_RC(stoa_segment_file(path, GIB, &create, &segment), 0);
	CHECK_EQ(test_file_size(path), 0);
	CHECK_EQ(touch(bytes_of(segment)), ABSENT);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_EQ(test_file_size(path), 5000);
	CHECK_EQ(stoa_segment_committed(segment), 5000);
	memcpy(bytes_of(segment) + 4990, "0123456789", 10);
	CHECK_EQ(touch(bytes_of(segment) + 2 * PAGE), ABSENT);
	CHECK_RC(stoa_segment_file(path, 0, NULL, &other), 0);
	CHECK_EQ(stoa_segment_reserve(other), 2 * PAGE);
	CHECK_EQ(memcmp(bytes_of(other) + 4990, "0123456789", 10), 0);
	bytes_of(other)[0] = 4;
	CHECK_EQ(bytes_of(segment)[0], 4);
	CHECK_RC(stoa_segment_commit(segment, 100), 0);
	CHECK_EQ(test_file_size(path), 5000);
	CHECK_RC(stoa_segment_commit(other, 2 * PAGE + 1), -STOA_ERANGE);
	CHECK_RC(stoa_segment_flush(segment, 10, 4990, 0), 0);
	CHECK_RC(stoa_segment_flush(segment, 0, 5000, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_flush(segment, 0, GIB, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_flush(segment, 5 * PAGE, PAGE, STOA_DURABLE), 0); /* nothing is there */
	CHECK_RC(stoa_segment_flush(segment, 0, 0, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_flush(segment, GIB, 1, 0), -STOA_ERANGE);
	CHECK_RC(stoa_segment_flush(segment, 0, 1, 2), -STOA_EINVAL);
	stoa_segment_close(segment);
	stoa_segment_close(other);
	CHECK_RC(stoa_segment_file(path, 0, NULL, &segment), 0);
	CHECK_EQ(memcmp(bytes_of(segment) + 4990, "0123456789", 10), 0);
	stoa_segment_close(segment);
}

/* Whoever grows it: all have it, and nothing moves. Where a mapped file cannot grow, it stays what it was. */
TEST(grown_where_the_system_can)
{
	static unsigned char bytes[5000];
	char *path = test_path("grows");
	struct stoa_segment *segment, *other;
	unsigned char *before;
	bool grows = files_grow();

	memset(bytes, 7, sizeof(bytes));
	write_file(path, bytes, sizeof(bytes));
	CHECK_RC(stoa_segment_file(path, GIB, NULL, &segment), 0);
	CHECK_RC(stoa_segment_file(path, 4 * MIB, NULL, &other), 0);
	before = bytes_of(segment);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE + 1), grows ? 0 : -STOA_ENOTSUP);
	if (!grows)
		check_detail("cannot grow a mapped file");
	CHECK_EQ(test_file_size(path), grows ? 3 * PAGE + 1 : 5000);
	CHECK_EQ(stoa_segment_committed(segment), test_file_size(path));
	CHECK_EQ(touch(before + 2 * PAGE), grows ? 0 : ABSENT);
	CHECK_RC(stoa_segment_commit(other, 2 * MIB), grows ? 0 : -STOA_ENOTSUP);
	CHECK_EQ(test_file_size(path), grows ? 2 * MIB : 5000);
	CHECK_RC(stoa_segment_commit(segment, 2 * MIB), grows ? 0 : -STOA_ENOTSUP);
	CHECK_EQ(touch(before + 2 * MIB - 1), grows ? 0 : ABSENT);
	if (grows)
		CHECK_EQ(bytes_of(other)[2 * MIB - 1], 1);
	CHECK(bytes_of(segment) == before);
	CHECK_EQ(before[4999], 7);
	before[0] = 8;
	CHECK_EQ(bytes_of(other)[0], 8);
	stoa_segment_close(other);
	stoa_segment_close(segment);
	CHECK_EQ(test_file_size(path), grows ? 2 * MIB : 5000);
}

TEST(cut_where_the_system_can)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 5000};
	char *path = test_path("cut");
	struct stoa_segment *segment, *other;

	CHECK_RC(stoa_segment_file(path, 2 * PAGE, &create, &segment), 0);
	CHECK_RC(stoa_segment_file(path, 2 * PAGE, &create, &other), 0);
	memset(bytes_of(segment), 9, 5000);
	CHECK_RC(stoa_segment_shrink(segment, 10), gives_back ? 0 : -STOA_ENOTSUP);
	CHECK_EQ(test_file_size(path), gives_back ? 10 : 5000);
	CHECK_EQ(stoa_segment_committed(other), test_file_size(path));
	CHECK_EQ(touch(bytes_of(other) + PAGE), gives_back ? ABSENT : 0);
	CHECK_EQ(bytes_of(other)[9], 9);
	CHECK_RC(stoa_segment_discard(segment, 0, PAGE), gives_back ? 0 : -STOA_ENOTSUP);
	CHECK_EQ(bytes_of(segment)[9], gives_back ? 0 : 9);
	CHECK_RC(stoa_segment_commit(other, 5000), 0);
	CHECK_EQ(bytes_of(segment)[4999], gives_back ? 0 : 9);
	stoa_segment_close(segment);
	stoa_segment_close(other);
}

TEST(files_that_cannot_be)
{
	static const struct {
		struct stoa_segment_options options;
		const char *detail;
	} wrong[] = {{{.flags = STOA_GLOBAL}, "a file does not take STOA_GLOBAL"},
		     {{.flags = STOA_PERSISTENT}, "a file does not take STOA_PERSISTENT"},
		     {{.flags = STOA_READ_ONLY, .commit = 1}, "read-only handle cannot commit"},
		     {{.flags = STOA_READ_ONLY | STOA_FILE_CREATE}, "read-only handle cannot create"},
		     {{.huge = 3}, "huge 3 is none"},
		     {{.reserved = 1}, "'reserved' is 1, not 0"}};
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY}, create = {.flags = STOA_FILE_CREATE};
	struct stoa_segment *segment = NULL;
	char *path = test_path("file"), *empty = test_path("empty");

	write_file(path, "twelve bytes", 12);
	write_file(empty, "", 0);
	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		check_refusal(stoa_segment_file(path, 0, &wrong[i].options, &segment), wrong[i].detail);
	check_refusal(stoa_segment_file(NULL, 0, NULL, &segment), "no path");
	check_refusal(stoa_segment_file(path, 0, NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_file(path, STOA_RESERVE_MAX + 1, NULL, &segment), "more than 2^40");
	check_refusal(stoa_segment_file(empty, 0, NULL, &segment), "the file is empty");
	check_refusal(stoa_segment_flush(NULL, 0, 0, 0), "no segment");
	CHECK_RC(stoa_segment_file(path, 11, NULL, &segment), -STOA_ERANGE);
	check_detail("12 bytes");
	CHECK_RC(stoa_segment_file(test_dir(), 0, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_dir(), 0, &reader, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_dir(), PAGE, &create, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(device_path, PAGE, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(device_path, PAGE, &reader, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_path("no/where"), PAGE, NULL, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_segment_file(test_path("no/where"), PAGE, &create, &segment), -STOA_ENOENT);
	CHECK(segment == NULL);
	CHECK_EQ(test_file_size(path), 12);
}

TEST(opened_to_read_only)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment, *writer;
	char *path = test_path("read");
	void *view = NULL;

	write_file(path, "twelve bytes", 12);
	CHECK_RC(stoa_segment_file(path, 0, NULL, &writer), 0);
	CHECK_RC(stoa_segment_file(path, 0, &reader, &segment), 0);
	CHECK_EQ(stoa_segment_committed(segment), 12);
	CHECK_EQ(memcmp(bytes_of(segment), "twelve bytes", 12), 0);
	CHECK_EQ(touch(bytes_of(segment)), REFUSED);
	CHECK_RC(stoa_segment_commit(segment, 13), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_flush(segment, 0, 12, STOA_DURABLE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_shrink(segment, 1), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE, &view), -STOA_ERIGHTS);
	check_no_way_to_write((int)segment->memory, bytes_of(segment));
	bytes_of(writer)[0] = 'T';
	CHECK_EQ(bytes_of(segment)[0], 'T'); /* it reads what others write */
	/* A private view is one's own, also of a file that is only read. */
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE | STOA_PRIVATE, &view), 0);
	memcpy(view, "mine", 4);
	CHECK_EQ(memcmp(bytes_of(writer), "Twelve", 6), 0);
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);
	stoa_segment_close(segment);
	stoa_segment_close(writer);
}

/* The addresses run out, and no memory: a limit. */
TEST(a_map_that_no_address_space_holds)
{
	char *path = test_path("large");
	os_handle file;
	void *address;

	write_file(path, "twelve bytes", 12);
	CHECK_RC(os_file_open(path, true, &file), 0);
	CHECK_RC(os_map(file, 0, UINT64_C(1) << 47, OS_READ | OS_WRITE, &address), -STOA_ELIMIT);
	check_detail("no room for a map of 140737488355328 bytes");
	CHECK_RC(os_map(file, 0, PAGE, OS_READ | OS_WRITE, &address), 0);
	CHECK_RC(os_unmap(address, PAGE), 0);
	os_handle_close(file);
}

TEST(nothing_is_left_of_a_file_that_could_not_be_committed)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 2 * PAGE};
	struct stoa_segment *segment = NULL;
	char *path = test_path("not");

	CHECK_RC(stoa_segment_file(path, PAGE, &create, &segment), -STOA_ERANGE);
	check_detail(path);
	CHECK_EQ(test_file_size(path), -1);
	CHECK(segment == NULL);
	/* What was there before is not removed, nor what is made with less. */
	write_file(path, "", 0);
	CHECK_RC(stoa_segment_file(path, PAGE, &create, &segment), -STOA_ERANGE);
	CHECK_EQ(test_file_size(path), 0);
	create.commit = PAGE;
	CHECK_RC(stoa_segment_file(test_path("small"), PAGE, &create, &segment), 0);
	CHECK_EQ(test_file_size(test_path("small")), PAGE);
	stoa_segment_close(segment);
}

static char *race_path(unsigned round)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/race%u", test_dir(), round);
	return path;
}

static void race_to_make(void *argument)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = PAGE};
	_Atomic uint32_t *ready = argument;
	unsigned rounds = test_rounds(30, 1000);

	for (unsigned i = 0; i < rounds; i++) {
		struct stoa_segment *segment;

		atomic_fetch_add(ready, 1);
		while (atomic_load(ready) < 3 * (i + 1))
			;
		CHECK_RC(stoa_segment_file(race_path(i), 4 * PAGE, &create, &segment), 0);
		atomic_fetch_add((_Atomic uint32_t *)stoa_segment_address(segment), 1);
		stoa_segment_close(segment);
	}
}

/* Whoever makes it, all have the same file. */
TEST_TIMEOUT(makers_of_one_file_race, 120)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	struct stoa_segment *segment;
	pid_t roles[3];

	test_dir();
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(race_to_make, (void *)ready);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	for (unsigned i = 0; i < test_rounds(30, 1000); i++) {
		CHECK_RC(stoa_segment_file(race_path(i), 0, NULL, &segment), 0);
		CHECK_EQ(*(uint32_t *)stoa_segment_address(segment), CC_COUNT(roles));
		stoa_segment_close(segment);
	}
}

/* ---- the scenario of memory-mapped files ---- */

#define PART MIB

static void copy_inside(void *argument)
{
	_Atomic uint32_t *step = argument;
	struct stoa_segment *segment;
	unsigned char *data;

	test_await(step, 1);
	CHECK_RC(stoa_segment_file(test_path("r2"), 4 * PART, NULL, &segment), 0);
	data = bytes_of(segment);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PART);
	memcpy(data + PART, data, PART);
	CHECK_RC(stoa_segment_flush(segment, PART, PART, STOA_DURABLE), 0);
	atomic_store(step, 2);
	test_await(step, 3);
	CHECK_EQ(stoa_segment_committed(segment), files_grow() ? 3 * PART : 2 * PART);
	if (files_grow()) {
		CHECK_RC(stoa_segment_commit(segment, 3 * PART), 0);
		CHECK_EQ(data[3 * PART - 1], 3);
	}
	stoa_segment_close(segment);
}

static unsigned char pattern(uint64_t at)
{
	return (unsigned char)(at * 7 + at / PAGE);
}

/* Read as others would, who know nothing of the segment. */
static void check_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	int byte;

	CHECK(file);
	for (uint64_t at = 0; at < 2 * PART; at++) {
		byte = fgetc(file);
		if (byte != pattern(at % PART))
			test_fail(__FILE__, __LINE__, "byte %d at %llu", byte, (unsigned long long)at);
	}
	fclose(file);
}

TEST(r2_a_mapped_file)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 2 * PART};
	_Atomic uint32_t *step = test_shared(sizeof(*step));
	char *path = test_path("r2");
	pid_t other = test_role(copy_inside, (void *)step);
	struct stoa_prefetch *prefetch;
	struct stoa_segment *segment;
	struct stoa_waitable thing;
	size_t index;

	CHECK_RC(stoa_segment_file(path, 4 * PART, &create, &segment), 0);
	for (uint64_t at = 0; at < PART; at++)
		bytes_of(segment)[at] = pattern(at);
	atomic_store(step, 1);
	test_await(step, 2);
	CHECK_EQ(memcmp(bytes_of(segment), bytes_of(segment) + PART, PART), 0);
	check_file(path);
	CHECK_RC(stoa_segment_prefetch(segment, 0, 2 * PART, &prefetch), 0);
	thing = (struct stoa_waitable){NULL, prefetch, STOA_WAIT_PREFETCH, 0};
	CHECK_RC(stoa_wait_any(&thing, 1, STOA_FOREVER, &index), 0);
	stoa_prefetch_close(prefetch);
	CHECK_RC(stoa_segment_commit(segment, 3 * PART), files_grow() ? 0 : -STOA_ENOTSUP);
	if (files_grow())
		bytes_of(segment)[3 * PART - 1] = 3;
	atomic_store(step, 3);
	CHECK_EQ(test_join(other), 0);
	stoa_segment_close(segment);
	check_file(path);
}

/* ---- prefetch ---- */

TEST(prefetch_reads_a_file)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	static unsigned char bytes[9 * 4096 + 100];
	struct stoa_prefetch *prefetch;
	struct stoa_segment *segment;
	char *path = test_path("prefetched");

	memset(bytes, 'd', sizeof(bytes));
	write_file(path, bytes, sizeof(bytes));
	CHECK_RC(stoa_segment_file(path, 0, &reader, &segment), 0);
	CHECK_RC(stoa_segment_prefetch(segment, 0, sizeof(bytes), &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_TRY), 0);
	stoa_prefetch_close(prefetch);
	CHECK_EQ(bytes_of(segment)[sizeof(bytes) - 1], 'd');
	CHECK_RC(stoa_segment_prefetch(segment, 0, sizeof(bytes) + 1, &prefetch), -STOA_EUNCOMMITTED);
	stoa_segment_close(segment);
}

TEST(prefetches_are_checked)
{
	struct stoa_segment_options options = {.commit = 3 * PAGE};
	struct stoa_prefetch *prefetch = NULL;
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	check_refusal(stoa_segment_prefetch(NULL, 0, PAGE, &prefetch), "no segment");
	check_refusal(stoa_segment_prefetch(segment, 0, PAGE, NULL), "no place for the prefetch");
	check_refusal(stoa_segment_prefetch(segment, 1, PAGE, &prefetch), "offset 1 is not that of a page");
	check_refusal(stoa_segment_prefetch(segment, 0, 0, &prefetch), "0 bytes");
	check_refusal(stoa_segment_flush(segment, 0, PAGE, STOA_DURABLE | 8), "flushing does not take 0x8");
	CHECK_RC(stoa_segment_prefetch(segment, GIB, PAGE, &prefetch), -STOA_ERANGE);
	CHECK_RC(stoa_segment_prefetch(segment, 0, UINT64_MAX, &prefetch), -STOA_ERANGE);
	CHECK_RC(stoa_segment_prefetch(segment, 0, 3 * PAGE + 1, &prefetch), -STOA_EUNCOMMITTED);
	check_refusal(stoa_prefetch_wait(NULL, 0), "no prefetch");
	CHECK(prefetch == NULL);
	stoa_prefetch_close(NULL);
	CHECK_RC(stoa_segment_prefetch(segment, PAGE, 2 * PAGE, &prefetch), 0);
	stoa_prefetch_close(prefetch);                                   /* without a wait */
	CHECK_RC(stoa_segment_flush(segment, 0, PAGE, STOA_DURABLE), 0); /* memory has nowhere to go */
	stoa_segment_close(segment);
}
