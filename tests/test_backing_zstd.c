/* SPDX-License-Identifier: MIT */
/*
 * Compressed files: frames of all kinds come back, one writes and others read beside it, damage is told and never believed; and crashes, over a
 * disk that loses its power at random, also of the library with safeguards taken out (base/mutant.h).
 */
#include "files.h"

#include <backing/crash.h>

#include <backing/packed.h>
#include <base/mutant.h>
#include <pthread.h>
#include <segment/common.h>
#include <sys/stat.h>

/* ---- crashes ---- */

static int open_packed(struct sim *sim, struct stoa_backing **ret_backing)
{
	os_handle file = sim_file(sim, "packed", 0);

	if (sim->files[file].length == 0) {
		CHECK_RC(pack_format(&sim->disk, file, CRASH_SIZE, CRASH_BLOCK), 0);
		CHECK_RC(sim->disk.sync(&sim->disk, file), 0);
	}
	return packed_attach(&sim->disk, file, true, 1, ret_backing);
}

static const struct crash_store packed = {.open = open_packed, .dies = true};

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;

#define MUST_FIND(name, mutant, message)                      \
	TEST_DEFINE(name, 120, false, message)                \
	{                                                     \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant); \
		crash_rounds(&packed, 20000);                 \
	}

MUST_FIND(index_before_frames, INDEX_FIRST, "block ")
MUST_FIND(old_frames_overwritten, SPACE_REUSED, "block ")
#else
TEST_TIMEOUT(no_crash_tears_or_loses_a_frame, 120)
{
	crash_rounds(&packed, test_rounds(2000, 100000));
}

TEST_TIMEOUT(nor_one_in_the_middle_of_a_write, 120)
{
	struct crash_store store = packed;

	store.in_the_middle = true;
	crash_rounds(&store, test_rounds(2000, 100000));
}

TEST_TIMEOUT(nor_one_where_operations_fail_too, 120)
{
	struct crash_store store = packed;

	store.in_the_middle = store.faults = true;
	store.dies = false;
	crash_rounds(&store, test_rounds(2000, 100000));
}

TEST_DEFINE(a_disk_that_lies_is_found, 120, false, "block ")
{
	struct crash_store store = packed;

	store.lies = true;
	crash_rounds(&store, 20000);
}

/* ---- files ---- */

#define FRAME 4096u
#define FRAMES 40u
#define SIZE ((uint64_t)FRAMES * FRAME - 1000)

static struct stoa_backing *open_it(const char *name, uint32_t flags)
{
	const struct stoa_backing_zstd_options options = {.flags = flags, .frame = FRAME, .size = SIZE};
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_zstd(test_path(name), &options, &backing), 0);
	return backing;
}

/* A frame that can be compressed the less the larger `noise`; the first and last words tell what it is. */
static void make_frame(unsigned char *bytes, uint64_t number, uint64_t version, unsigned noise)
{
	uint64_t *words = (uint64_t *)(void *)bytes, state = number * 1000003 + version;

	for (unsigned i = 0; i < FRAME / sizeof(*words); i++)
		words[i] = i % 100 < noise ? test_random(&state) : number + version;
	words[0] = version;
	words[1] = number;
}

static void check_frame(struct stoa_backing *backing, uint64_t number, uint64_t version, unsigned noise)
{
	_Alignas(8) unsigned char expected[FRAME], found[FRAME];

	make_frame(expected, number, version, noise);
	if (number == FRAMES - 1)
		memset(expected + SIZE % FRAME, 0, FRAME - SIZE % FRAME);
	CHECK_RC(stoa_backing_fill(backing, number * FRAME, FRAME, found), 0);
	CHECK_EQ(memcmp(expected, found, FRAME), 0);
}

static void write_frame(struct stoa_backing *backing, uint64_t number, uint64_t version, unsigned noise)
{
	_Alignas(8) unsigned char bytes[FRAME];

	make_frame(bytes, number, version, noise);
	CHECK_RC(stoa_backing_write(backing, number * FRAME, FRAME, bytes), 0);
}

TEST(frames_of_all_kinds_come_back)
{
	static unsigned char bytes[(FRAMES + 2) * FRAME], found[(FRAMES + 2) * FRAME];
	struct stoa_backing *backing = open_it("kinds", STOA_BACKING_CREATE);
	uint64_t size;

	CHECK_RC(stoa_backing_size(backing, &size), 0);
	CHECK_EQ(size, SIZE);
	memset(found, 1, sizeof(found));
	CHECK_RC(stoa_backing_fill(backing, 0, sizeof(found), found), 0);
	CHECK_EQ(memcmp(bytes, found, sizeof(bytes)), 0);
	for (unsigned i = 0; i < FRAMES + 2; i++)
		make_frame(bytes + (size_t)i * FRAME, i, 3, i % 11 * 10);
	memset(bytes + FRAME, 0, FRAME);
	CHECK_RC(stoa_backing_write(backing, 0, sizeof(bytes), bytes), 0);
	memset(bytes + SIZE, 0, sizeof(bytes) - SIZE);
	for (unsigned again = 0; again < 2; again++) {
		memset(found, 1, sizeof(found));
		CHECK_RC(stoa_backing_fill(backing, 0, sizeof(found), found), 0);
		CHECK_EQ(memcmp(bytes, found, sizeof(bytes)), 0);
		CHECK_RC(stoa_backing_flush(backing), 0);
		stoa_backing_close(backing);
		backing = open_it("kinds", again ? 0 : STOA_BACKING_READ_ONLY);
	}
	write_frame(backing, 1, 8, 0); /* what was zero */
	CHECK_RC(stoa_backing_write(backing, 2 * FRAME, FRAME, found + SIZE + 1000), 0);
	check_frame(backing, 1, 8, 0);
	CHECK_RC(stoa_backing_fill(backing, 2 * FRAME, FRAME, found), 0);
	CHECK_EQ(memcmp(found, found + SIZE + 1000, FRAME), 0);
	stoa_backing_close(backing);
}

/* Written over and over it does not grow, as old frames make room. */
TEST(it_is_small_and_stays_so)
{
	const struct stoa_backing_zstd_options options = {.flags = STOA_BACKING_CREATE, .size = 8 << 20, .level = 1};
	static unsigned char bytes[1 << 20];
	struct stoa_backing *backing;
	int64_t once = 0;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i / 64 % 7);
	CHECK_RC(stoa_backing_zstd(test_path("small"), &options, &backing), 0);
	for (unsigned round = 0; round < 20; round++) {
		for (uint64_t at = 0; at < 8 << 20; at += sizeof(bytes)) {
			bytes[at % 1000] = (unsigned char)round;
			CHECK_RC(stoa_backing_write(backing, at, sizeof(bytes), bytes), 0);
		}
		CHECK_RC(stoa_backing_flush(backing), 0);
		once = round ? once : test_file_size(test_path("small"));
	}
	CHECK_INT(once, <, 1 << 20);
	CHECK_INT(test_file_size(test_path("small")), <, 3 * once);
	stoa_backing_close(backing);
}

/* More frames than have room twice, never flushed. */
TEST(old_frames_are_let_go_of_when_there_is_no_room)
{
	struct stoa_backing *backing = open_it("room", STOA_BACKING_CREATE);

	for (unsigned version = 1; version < 20; version++) {
		for (unsigned i = 0; i < FRAMES; i++)
			write_frame(backing, i, version, version % 2 ? 100 : i % 11 * 10);
		for (unsigned i = 0; i < FRAMES; i++)
			check_frame(backing, i, version, version % 2 ? 100 : i % 11 * 10);
		if (version % 5 == 0)
			CHECK_RC(stoa_backing_flush(backing), 0);
	}
	stoa_backing_close(backing);
}

TEST(one_writes_and_others_read_what_was_flushed)
{
	struct stoa_backing *writer = open_it("two", STOA_BACKING_CREATE), *reader, *other = NULL;
	unsigned char bytes[FRAME];

	write_frame(writer, 0, 1, 50);
	CHECK_RC(stoa_backing_flush(writer), 0);
	reader = open_it("two", STOA_BACKING_READ_ONLY);
	CHECK_RC(stoa_backing_zstd(test_path("two"), NULL, &other), -STOA_EBUSY);
	check_detail("writes to it");
	CHECK_RC(stoa_backing_write(reader, 0, FRAME, bytes), -STOA_ERIGHTS);
	write_frame(writer, 0, 2, 50);
	check_frame(reader, 0, 1, 50);
	/* The old place is used again: the reader finds the new one. */
	for (unsigned version = 3; version < 9; version++) {
		write_frame(writer, 0, version, 50);
		write_frame(writer, 1, version, 50);
		CHECK_RC(stoa_backing_flush(writer), 0);
	}
	CHECK_RC(stoa_backing_fill(reader, 0, FRAME, bytes), 0);
	stoa_backing_close(writer);
	writer = open_it("two", 0);
	check_frame(writer, 0, 8, 50);
	stoa_backing_close(writer);
	stoa_backing_close(reader);
}

static void write_and_flush(void *argument)
{
	struct stoa_backing *backing = open_it("race", 0);
	_Atomic uint32_t *stop = argument;

	for (unsigned version = 1; !atomic_load(stop); version++) {
		for (unsigned i = 0; i < 8; i++)
			write_frame(backing, i, version, 70);
		CHECK_RC(stoa_backing_flush(backing), 0);
	}
	stoa_backing_close(backing);
}

TEST_TIMEOUT(a_reader_beside_a_writer_in_a_hurry, 60)
{
	_Atomic uint32_t *stop = test_shared(sizeof(*stop));
	_Alignas(8) unsigned char found[FRAME], expected[FRAME];
	struct stoa_backing *backing;
	uint64_t last[8] = {0};
	pid_t role;

	stoa_backing_close(open_it("race", STOA_BACKING_CREATE));
	backing = open_it("race", STOA_BACKING_READ_ONLY);
	role = test_role(write_and_flush, (void *)stop);
	for (unsigned i = 0; i < test_rounds(20000, 1000000); i++) {
		CHECK_RC(stoa_backing_fill(backing, i % 8 * FRAME, FRAME, found), 0);
		make_frame(expected, i % 8, *(uint64_t *)(void *)found, 70);
		if (*(uint64_t *)(void *)found || last[i % 8])
			CHECK_EQ(memcmp(expected, found, FRAME), 0);
		CHECK(*(uint64_t *)(void *)found >= last[i % 8]);
		last[i % 8] = *(uint64_t *)(void *)found;
	}
	atomic_store(stop, 1);
	CHECK_EQ(test_join(role), 0);
	stoa_backing_close(backing);
}

static struct stoa_backing *many;

static void *write_some(void *argument)
{
	uint64_t first = *(uint64_t *)argument;

	for (unsigned version = 1; version <= 200; version++) {
		for (uint64_t i = first; i < FRAMES; i += 4)
			write_frame(many, i, version, (unsigned)(i + version) % 100);
		for (uint64_t i = first; i < FRAMES; i += 4)
			check_frame(many, i, version, (unsigned)(i + version) % 100);
		if (version % 8 == first)
			CHECK_RC(stoa_backing_flush(many), 0);
	}
	return NULL;
}

TEST_THREADS(several_threads, 60)
{
	uint64_t numbers[4] = {0, 1, 2, 3};
	pthread_t threads[4];

	many = open_it("many", STOA_BACKING_CREATE);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, write_some, &numbers[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_RC(stoa_backing_flush(many), 0);
	stoa_backing_close(many);
	many = open_it("many", 0);
	for (unsigned i = 0; i < FRAMES; i++)
		check_frame(many, i, 200, (i + 200) % 100);
	stoa_backing_close(many);
}

/* ---- what cannot be ---- */

TEST(options_are_checked)
{
	static const struct {
		struct stoa_backing_zstd_options options;
		const char *detail;
	} wrong[] = {{{.flags = STOA_BACKING_CRASH_SAFE}, "does not take STOA_BACKING_CRASH_SAFE"},
		     {{.flags = STOA_BACKING_CREATE}, "say of how many bytes"},
		     {{.frame = 5000}, "a frame of 5000 bytes"},
		     {{.frame = 2048}, "a frame of 2048 bytes"},
		     {{.frame = 4 << 20}, "a power of two"},
		     {{.level = 1000}, "no level 1000"},
		     {{.reserved = 1}, "'reserved' is 1"},
		     {{.flags = STOA_BACKING_CREATE, .size = UINT64_C(1) << 50}, "take larger ones"}};
	struct stoa_backing *backing = NULL, *made;
	unsigned char bytes[FRAME];

	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		check_refusal(stoa_backing_zstd(test_path("wrong"), &wrong[i].options, &backing), wrong[i].detail);
	CHECK_EQ(test_file_size(test_path("wrong")), -1);
	CHECK_RC(stoa_backing_zstd(test_path("wrong"), NULL, &backing), -STOA_ENOENT);
	CHECK_RC(stoa_backing_zstd(test_dir(), NULL, &backing), -STOA_EKIND);
	CHECK(backing == NULL);
	made = open_it("right", STOA_BACKING_CREATE);
	check_refusal(stoa_backing_fill(made, 100, FRAME, bytes), "no whole frames");
	check_refusal(stoa_backing_write(made, 0, 100, bytes), "no whole frames");
	stoa_backing_close(made);
}

/* Any byte may be another: what is wrong is told, and what is given is right. */
TEST(damage_is_told)
{
	uint64_t random = test_seed();
	struct stoa_backing *backing;
	unsigned told = 0;
	struct sim sim;
	os_handle file;

	sim_init(&sim, random);
	CHECK_RC(open_packed(&sim, &backing), 0);
	for (unsigned i = 0; i < FRAMES; i++)
		write_frame(backing, i, 1, i);
	CHECK_RC(stoa_backing_flush(backing), 0);
	stoa_backing_close(backing);
	file = sim_file(&sim, "packed", 0);
	for (unsigned round = 0; round < test_rounds(3000, 100000); round++) {
		uint64_t at = test_random(&random) % sim.files[file].length;
		unsigned char flip = (unsigned char)(1 + test_random(&random) % 255), found[FRAME];
		int rc = 0;

		if (round % 2)
			at = at % 9000; /* begin and index */
		sim.files[file].bytes[at] ^= flip;
		rc = packed_attach(&sim.disk, file, round % 3, 1, &backing);
		for (unsigned i = 0; i < FRAMES && rc == 0; i++) {
			_Alignas(8) unsigned char expected[FRAME];

			make_frame(expected, i, 1, i);
			rc = stoa_backing_fill(backing, i * FRAME, FRAME, found);
			if (rc == 0)
				rc = memcmp(expected, found, FRAME) ? 1 : 0;
			/* A page with its other copy gives what was there before: nothing. */
			if (rc == 1 && at >= PACK_INDEX && at < 8192 && found[0] == 0)
				rc = 0;
			CHECK_INT(rc, <=, 0);
			if (rc < 0)
				stoa_backing_close(backing);
		}
		if (rc == 0)
			stoa_backing_close(backing);
		else if (rc != -STOA_EVERSION)
			CHECK_RC(rc, -STOA_EFORMAT);
		told += rc < 0;
		sim.files[file].bytes[at] ^= flip;
	}
	CHECK_INT(told, >, 100);
	sim_destroy(&sim);
}
#endif
