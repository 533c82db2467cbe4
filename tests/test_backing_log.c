/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe file on real files, in several processes: the log comes and goes, what a dead process left half done is finished by the
 * others, and logs that are damaged, or no logs, are refused by name.
 */
#include "files.h"

#include <harness/test.h>

#include <backing/guard.h>
#include <base/atomic.h>
#include <segment/common.h>

#define BLOCK 65536u /* more than a page: a death can cut it */
#define BLOCKS 16u
#define SIZE ((uint64_t)BLOCKS * BLOCK)
#define SAFE STOA_BACKING_CRASH_SAFE

/* Change bytes behind the library's back. */
static void poke(const char *path, long at, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "rb+");

	if (!file)
		file = fopen(path, "wb+");
	CHECK(file && fseek(file, at, SEEK_SET) == 0 && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static struct stoa_backing *open_it(const char *name, uint32_t flags)
{
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_file(test_path(name), flags, SIZE, &backing), 0);
	return backing;
}

static void write_block(struct stoa_backing *backing, unsigned block, unsigned char value)
{
	static CC_THREAD unsigned char bytes[BLOCK];

	memset(bytes, value, BLOCK);
	CHECK_RC(stoa_backing_write(backing, (uint64_t)block * BLOCK, BLOCK, bytes), 0);
}

/* Its value; the block must be of one. */
static unsigned char read_block(struct stoa_backing *backing, unsigned block)
{
	static CC_THREAD unsigned char bytes[BLOCK];

	CHECK_RC(stoa_backing_fill(backing, (uint64_t)block * BLOCK, BLOCK, bytes), 0);
	for (unsigned i = 1; i < BLOCK; i++)
		if (bytes[i] != bytes[0])
			test_fail(__FILE__, __LINE__, "block %u is torn: %u, at %u %u", block, bytes[0], i, bytes[i]);
	return bytes[0];
}

TEST(the_log_goes_with_its_last_user)
{
	struct stoa_backing *backing = open_it("file", SAFE | STOA_BACKING_CREATE), *other = open_it("file", SAFE);

	CHECK_INT(test_file_size(test_path("file" GUARD_SUFFIX)), >, 0);
	write_block(backing, 3, 7);
	CHECK_EQ(read_block(other, 3), 7);
	write_block(other, 3, 8);
	CHECK_EQ(read_block(backing, 3), 8);
	stoa_backing_close(backing);
	CHECK_INT(test_file_size(test_path("file" GUARD_SUFFIX)), >, 0);
	write_block(other, 4, 9);
	CHECK_RC(stoa_backing_flush(other), 0);
	stoa_backing_close(other);
	CHECK_EQ(test_file_size(test_path("file" GUARD_SUFFIX)), -1);
	backing = open_it("file", STOA_BACKING_READ_ONLY);
	CHECK_EQ(read_block(backing, 3), 8);
	CHECK_EQ(read_block(backing, 4), 9);
	stoa_backing_close(backing);
}

/* The last block reaches beyond the size; one write is larger than half a log. */
TEST(ranges_of_all_lengths)
{
	static unsigned char bytes[3 * BLOCK], found[3 * BLOCK];
	const uint64_t half = UINT64_C(40) << 10;
	char *path = test_path("ranges" GUARD_SUFFIX);
	struct stoa_backing *backing;
	os_handle data;

	CHECK_RC(os_file_prepare(test_path("ranges"), &data), 0);
	CHECK_RC(os_file_set_length(data, sizeof(bytes) - 100), 0);
	CHECK_RC(os_file_publish(data, test_path("ranges")), 0);
	CHECK_RC(guard_attach(&disk_system, data, path, 0, half, &backing), 0);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + i / 251);
	CHECK_RC(stoa_backing_write(backing, 0, sizeof(bytes), bytes), 0);
	CHECK_RC(stoa_backing_write(backing, sizeof(bytes), BLOCK, bytes), 0); /* beyond */
	for (unsigned length = 1; length < BLOCK; length = length * 3 + 1)
		CHECK_RC(stoa_backing_write(backing, 777, length, bytes + 777), 0);
	memset(found, 1, sizeof(found));
	memset(bytes + sizeof(bytes) - 100, 0, 100);
	CHECK_RC(stoa_backing_fill(backing, 0, sizeof(found), found), 0);
	CHECK_EQ(memcmp(bytes, found, sizeof(bytes)), 0);
	CHECK_INT(test_file_size(path), <=, LOG_START + 2 * half);
	stoa_backing_close(backing);
}

/* Links lead to one log. */
TEST(one_log_by_all_paths)
{
	struct stoa_backing *backing = open_it("./one", SAFE | STOA_BACKING_CREATE), *other = open_it("one", SAFE);

	CHECK_INT(test_file_size(test_path("one" GUARD_SUFFIX)), >, 0);
	stoa_backing_close(backing);
	write_block(other, 0, 1);
	stoa_backing_close(other);
	CHECK_EQ(test_file_size(test_path("one" GUARD_SUFFIX)), -1);
}

/* ---- deaths ---- */

/* The system's files, but that writing in place ends half-way, as if the process had died there. */
static int die_in_place(const struct disk *disk, os_handle file, uint64_t offset, const void *bytes, size_t length)
{
	if (length == BLOCK && offset % BLOCK == 0 && offset < SIZE) {
		CHECK_RC(disk_system.write(disk, file, offset, bytes, length / 2), 0);
		return -STOA_EIO;
	}
	return disk_system.write(disk, file, offset, bytes, length);
}

TEST(what_was_left_half_done_is_finished_by_who_comes_next)
{
	struct stoa_backing *dying, *backing = open_it("half", SAFE | STOA_BACKING_CREATE);
	static unsigned char bytes[BLOCK];
	struct disk disk = disk_system;
	os_handle data;

	disk.write = die_in_place;
	CHECK_RC(os_file_open(test_path("half"), true, &data), 0);
	CHECK_RC(guard_attach(&disk, data, test_path("half" GUARD_SUFFIX), 0, LOG_HALF, &dying), 0);
	memset(bytes, 5, BLOCK);
	CHECK_RC(stoa_backing_write(dying, 2 * BLOCK, BLOCK, bytes), -STOA_EIO);
	CHECK_EQ(read_block(backing, 2), 5); /* who reads it */
	CHECK_RC(stoa_backing_write(dying, 3 * BLOCK, BLOCK, bytes), -STOA_EIO);
	CHECK_EQ(read_block(backing, 4), 0); /* another block does not matter */
	write_block(backing, 5, 6);          /* who writes another */
	stoa_backing_close(dying);
	stoa_backing_close(backing);
	backing = open_it("half", 0);
	CHECK_EQ(read_block(backing, 3), 5);
	CHECK_EQ(read_block(backing, 5), 6);
	stoa_backing_close(backing);
}

struct works {
	uint32_t seats[4];        /* their numbers: what a role is given is the place of its own */
	_Atomic uint32_t written; /* writes of all */
	_Atomic uint32_t begun[BLOCKS], done[BLOCKS];
};
static struct works *works;

/* Each has some blocks, and writes them with values that go up. */
static void work(void *argument)
{
	unsigned own = *(uint32_t *)argument;
	struct stoa_backing *backing = open_it("deaths", SAFE);

	works = (struct works *)(void *)((uint32_t *)argument - own);
	for (unsigned i = 0;; i++) {
		unsigned block = own * 4 + i % 4;
		uint32_t value = load_rlx(&works->done[block]) + 1;

		store_rlx(&works->begun[block], value);
		write_block(backing, block, (unsigned char)value);
		store_rlx(&works->done[block], value);
		atomic_fetch_add(&works->written, 1);
	}
}

static void check_works(struct stoa_backing *backing, unsigned own)
{
	for (unsigned block = own * 4; block < own * 4 + 4; block++) {
		unsigned char value = read_block(backing, block);
		uint32_t begun = load_rlx(&works->begun[block]), done = load_rlx(&works->done[block]);

		if (value != (unsigned char)begun && value != (unsigned char)done)
			test_fail(__FILE__, __LINE__, "block %u has %u, of %u begun, %u done", block, value, begun,
				  done);
		store_rlx(&works->done[block], value == (unsigned char)begun ? begun : done);
	}
}

static void set_works(void)
{
	works = test_shared(sizeof(*works));
	for (unsigned i = 0; i < 4; i++)
		works->seats[i] = i;
}

TEST_TIMEOUT(deaths_of_some_harm_no_block, 120)
{
	uint64_t random = test_seed();
	struct stoa_backing *backing;
	pid_t roles[4];

	set_works();
	backing = open_it("deaths", SAFE | STOA_BACKING_CREATE);
	for (unsigned i = 0; i < 4; i++)
		roles[i] = test_role(work, &works->seats[i]);
	for (unsigned round = 0; round < test_rounds(60 / test_start_cost + 4, 3000); round++) {
		unsigned victim = (unsigned)(test_random(&random) % 4);
		uint32_t before = atomic_load(&works->written);

		while (atomic_load(&works->written) - before < test_random(&random) % 8)
			test_nap(1);
		test_kill(roles[victim]);
		check_works(backing, victim);
		roles[victim] = test_role(work, &works->seats[victim]);
	}
	for (unsigned i = 0; i < 4; i++)
		test_kill(roles[i]);
	/* Nobody is left; all are found in order by the next. */
	for (unsigned i = 0; i < 4; i++)
		check_works(backing, i);
	stoa_backing_close(backing);
	CHECK_EQ(test_file_size(test_path("deaths" GUARD_SUFFIX)), -1);
}

TEST_TIMEOUT(deaths_of_all_harm_no_block, 120)
{
	uint64_t random = test_seed();
	struct stoa_backing *backing;
	pid_t roles[4];

	set_works();
	stoa_backing_close(open_it("deaths", SAFE | STOA_BACKING_CREATE));
	for (unsigned round = 0; round < test_rounds(10 / test_start_cost + 2, 500); round++) {
		uint32_t before = atomic_load(&works->written);

		for (unsigned i = 0; i < 4; i++)
			roles[i] = test_role(work, &works->seats[i]);
		while (atomic_load(&works->written) - before < 4 + test_random(&random) % 8)
			test_nap(1);
		for (unsigned i = 0; i < 4; i++)
			test_kill(roles[i]);
		CHECK_INT(test_file_size(test_path("deaths" GUARD_SUFFIX)), >, 0);
		backing = open_it("deaths", SAFE | (round % 2 ? STOA_BACKING_READ_ONLY : 0));
		for (unsigned i = 0; i < 4; i++)
			check_works(backing, i);
		stoa_backing_close(backing);
		CHECK_EQ(test_file_size(test_path("deaths" GUARD_SUFFIX)), -1);
	}
}

static void open_and_close(void *argument)
{
	_Atomic uint32_t *ready = argument;
	uint32_t number = atomic_fetch_add(ready, 1);

	while (atomic_load(ready) < 3)
		os_yield();
	for (unsigned i = 0; i < test_rounds(60, 2000); i++) {
		struct stoa_backing *backing = open_it("crowd", SAFE | STOA_BACKING_CREATE);

		CHECK_INT(test_file_size(test_path("crowd" GUARD_SUFFIX)), >, 0); /* what it has is what others find */
		write_block(backing, number, (unsigned char)(i + 1));
		CHECK_EQ(read_block(backing, number), (unsigned char)(i + 1));
		stoa_backing_close(backing);
	}
}

/* The log is made and removed all the time. */
TEST_TIMEOUT(first_and_last_users_race, 120)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	pid_t roles[3];

	test_dir();
	for (unsigned i = 0; i < 3; i++)
		roles[i] = test_role(open_and_close, (void *)ready);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(test_file_size(test_path("crowd" GUARD_SUFFIX)), -1);
}

/* ---- what is no log ---- */

TEST(readers_make_no_log)
{
	struct stoa_backing *backing, *writer;

	stoa_backing_close(open_it("read", STOA_BACKING_CREATE));
	backing = open_it("read", SAFE | STOA_BACKING_READ_ONLY);
	CHECK_EQ(test_file_size(test_path("read" GUARD_SUFFIX)), -1);
	CHECK_RC(stoa_backing_write(backing, 0, 1, "x"), -STOA_ERIGHTS);
	writer = open_it("read", SAFE);
	write_block(writer, 1, 2);
	CHECK_EQ(read_block(backing, 1), 2);
	stoa_backing_close(backing);
	backing = open_it("read", SAFE | STOA_BACKING_READ_ONLY);
	CHECK_EQ(read_block(backing, 1), 2);
	CHECK_RC(stoa_backing_flush(backing), 0);
	stoa_backing_close(writer);
	stoa_backing_close(backing);
	CHECK_EQ(test_file_size(test_path("read" GUARD_SUFFIX)), -1);
}

static void leave_a_log(void *argument)
{
	write_block(open_it("bad", SAFE), 1, 3);
	atomic_store((_Atomic uint32_t *)argument, 1);
	test_pause();
}

/* A log with an entry that is not over, and nobody who has it. */
static void make_a_log(void)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	pid_t role;

	remove(test_path("bad" GUARD_SUFFIX));
	remove(test_path("bad"));
	stoa_backing_close(open_it("bad", STOA_BACKING_CREATE));
	role = test_role(leave_a_log, (void *)ready);
	test_await(ready, 1);
	test_kill(role);
}

static void check_bad(int rc, const char *detail)
{
	struct stoa_backing *backing = NULL;

	CHECK_RC(stoa_backing_file(test_path("bad"), SAFE, 0, &backing), rc);
	check_detail(detail);
	check_detail("bad");
	CHECK(backing == NULL);
}

TEST(logs_that_are_none)
{
	static const unsigned char other[16] = "something else.";
	struct stoa_backing *backing;

	make_a_log();
	poke(test_path("bad" GUARD_SUFFIX), 0, other, sizeof(other)); /* one copy is enough */
	backing = open_it("bad", SAFE);
	CHECK_EQ(read_block(backing, 1), 3);
	stoa_backing_close(backing);
	CHECK_EQ(test_file_size(test_path("bad" GUARD_SUFFIX)), -1);
	make_a_log();
	poke(test_path("bad" GUARD_SUFFIX), 0, other, sizeof(other));
	poke(test_path("bad" GUARD_SUFFIX), 4096, other, sizeof(other));
	check_bad(-STOA_EFORMAT, "its header is none");
	remove(test_path("bad" GUARD_SUFFIX));
	poke(test_path("bad" GUARD_SUFFIX), 0, other, sizeof(other));
	check_bad(-STOA_EFORMAT, "no log");
	CHECK_EQ(test_file_size(test_path("bad" GUARD_SUFFIX)), sizeof(other)); /* and stays */
	remove(test_path("bad" GUARD_SUFFIX));
	make_folder(test_path("bad" GUARD_SUFFIX));
	check_bad(-STOA_EKIND, "directory");
}

/* An entry that is damaged ends the log; one of a longer file does not belong to this one. */
TEST(entries_that_are_none)
{
	struct stoa_backing *backing;
	os_handle file;

	make_a_log();
	CHECK_RC(os_file_open(test_path("bad"), true, &file), 0);
	CHECK_RC(os_file_set_length(file, BLOCK), 0);
	check_bad(-STOA_EFORMAT, "of another file");
	CHECK_RC(os_file_set_length(file, SIZE), 0);
	os_handle_close(file);
	poke(test_path("bad" GUARD_SUFFIX), (long)LOG_START + 512 + 700, "x", 1);
	backing = open_it("bad", SAFE);
	CHECK_EQ(read_block(backing, 1), 0); /* as the file was cut */
	stoa_backing_close(backing);
}

/* The live ones notice. */
TEST(a_log_that_is_taken_away_while_it_is_used)
{
	struct stoa_backing *backing = open_it("taken", SAFE | STOA_BACKING_CREATE);
	unsigned char nothing[512] = {0}, bytes[16];

	poke(test_path("taken" GUARD_SUFFIX), (long)LOG_BOARD, nothing, sizeof(nothing));
	CHECK_RC(stoa_backing_write(backing, 0, 1, "x"), -STOA_EFORMAT);
	CHECK_RC(stoa_backing_flush(backing), -STOA_EFORMAT);
	CHECK_RC(stoa_backing_fill(backing, 0, sizeof(bytes), bytes), -STOA_EFORMAT);
	stoa_backing_close(backing);
	backing = open_it("taken", SAFE);
	CHECK_EQ(read_block(backing, 0), 0);
	stoa_backing_close(backing);
}
