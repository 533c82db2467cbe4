/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe file, and the compressed one, where the system refuses: full disks, limits of files' lengths, directories and files that may not be
 * written. Errors are told by name, nothing is lost, and all goes on once there is room, or leave.
 */
#include "files.h"

#include <segment/common.h>
#include <segment/linux.h>

#include <backing/guard.h>
#include <base/atomic.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define BLOCK 65536u
#define BLOCKS 8u
#define SIZE ((uint64_t)BLOCKS * BLOCK)
#define SAFE STOA_BACKING_CRASH_SAFE
#define DISK 4 /* MiB of the small one */

static struct stoa_backing *open_it(const char *name, uint32_t flags)
{
	struct stoa_backing *backing;

	CHECK_RC(stoa_backing_file(test_path(name), flags, SIZE, &backing), 0);
	return backing;
}

static int put(struct stoa_backing *backing, unsigned block, unsigned char value)
{
	static unsigned char bytes[BLOCK];

	memset(bytes, value, BLOCK);
	return stoa_backing_write(backing, (uint64_t)block * BLOCK, BLOCK, bytes);
}

/* Its value; the block must be of one. */
static unsigned char get(struct stoa_backing *backing, unsigned block)
{
	static unsigned char bytes[BLOCK];

	CHECK_RC(stoa_backing_fill(backing, (uint64_t)block * BLOCK, BLOCK, bytes), 0);
	for (unsigned i = 1; i < BLOCK; i++)
		if (bytes[i] != bytes[0])
			test_fail(__FILE__, __LINE__, "block %u is torn: %u, at %u %u", block, bytes[0], i, bytes[i]);
	return bytes[0];
}

/* All blocks, with their numbers + 1. */
static void write_all(struct stoa_backing *backing)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		CHECK_RC(put(backing, i, (unsigned char)(i + 1)), 0);
}

static void check_all(struct stoa_backing *backing, unsigned but)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (i != but)
			CHECK_EQ(get(backing, i), i + 1);
}

static void refused(const char *name, uint32_t flags, int rc, const char *detail)
{
	struct stoa_backing *backing = NULL;

	CHECK_RC(stoa_backing_file(test_path(name), flags, SIZE, &backing), rc);
	check_detail(detail);
	CHECK(backing == NULL);
}

/* ---- full disks ---- */

static void mount_small(void)
{
	char size[32];

	need_root("a small file system");
	snprintf(size, sizeof(size), "size=%dm", DISK);
	CHECK_SYS(mkdir(test_path("small"), 0700));
	if (mount("test", test_path("small"), "tmpfs", 0, size) != 0)
		SKIP("no mounts here: %s", strerror(errno));
}

static void unmount_small(void)
{
	CHECK_SYS(umount2(test_path("small"), MNT_DETACH));
	CHECK_SYS(rmdir(test_path("small")));
}

/* All of the disk but so many pages. */
static void take_all_but(unsigned pages)
{
	static const char page[4096] = "ballast";
	int fd = open(test_path("small/ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	off_t length = 0;

	CHECK_SYS(fd);
	while (pwrite(fd, page, sizeof(page), length) == (ssize_t)sizeof(page))
		length += (off_t)sizeof(page);
	CHECK_EQ(errno, ENOSPC);
	CHECK_SYS(ftruncate(fd, length - (off_t)pages * (off_t)sizeof(page)));
	close(fd);
}

static void make_room(void)
{
	CHECK_SYS(unlink(test_path("small/ballast")));
}

TEST(no_room_for_a_log)
{
	struct stoa_backing *backing;

	mount_small();
	backing = open_it("small/file", STOA_BACKING_CREATE);
	write_all(backing);
	stoa_backing_close(backing);
	take_all_but(0);
	refused("small/file", SAFE, -STOA_ENOMEM, "small/file");
	refused("small/new", SAFE | STOA_BACKING_CREATE, -STOA_ENOMEM, "small/new");
	for (unsigned i = 0; i < 2; i++) { /* without a log; and with what was left of one */
		backing = open_it("small/file", STOA_BACKING_READ_ONLY);
		check_all(backing, BLOCKS);
		stoa_backing_close(backing);
	}
	make_room();
	backing = open_it("small/file", SAFE);
	check_all(backing, BLOCKS);
	CHECK_RC(put(backing, 3, 100), 0);
	stoa_backing_close(backing);
	backing = open_it("small/new", SAFE); /* made, complete and empty */
	CHECK_EQ(get(backing, BLOCKS - 1), 0);
	stoa_backing_close(backing);
	CHECK_EQ(access(test_path("small/file" GUARD_SUFFIX), F_OK), -1);
	unmount_small();
}

/* The log grows until the disk is full. */
TEST(a_log_that_fills_the_disk)
{
	struct stoa_backing *backing, *other;
	unsigned written[BLOCKS] = {0}, turn = 0, block;
	int rc = 0;

	mount_small();
	backing = open_it("small/file", SAFE | STOA_BACKING_CREATE);
	other = open_it("small/file", SAFE);
	while (rc == 0) {
		block = turn % BLOCKS;
		rc = put(turn % 3 ? backing : other, block, (unsigned char)(turn % 250 + 1));
		if (rc == 0)
			written[block] = turn % 250 + 1;
		CHECK_INT(++turn, <, 2 * DISK << 4);
	}
	CHECK_RC(rc, -STOA_ENOMEM);
	check_detail("do not fit");
	CHECK_INT(turn, >, BLOCKS + 2);
	CHECK_RC(put(other, block, 255), -STOA_ENOMEM);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned i = 0; i < BLOCKS; i++)
			CHECK_EQ(get(again ? backing : other, i), written[i]);
		if (!again)
			CHECK_RC(stoa_backing_flush(backing), 0);
	}
	stoa_backing_close(backing);
	stoa_backing_close(other);
	CHECK_EQ(access(test_path("small/file" GUARD_SUFFIX), F_OK), -1); /* and there is room again */
	backing = open_it("small/file", SAFE);
	for (unsigned i = 0; i < BLOCKS; i++)
		CHECK_EQ(get(backing, i), written[i]);
	CHECK_RC(put(backing, block, 77), 0);
	CHECK_EQ(get(backing, block), 77);
	stoa_backing_close(backing);
	unmount_small();
}

static void write_until_full(void *argument)
{
	struct stoa_backing *backing = open_it("small/file", SAFE);
	_Atomic uint32_t *done = argument;

	for (unsigned turn = 0;; turn++)
		if (put(backing, turn % BLOCKS, (unsigned char)(turn % BLOCKS + 1)) < 0)
			break;
	atomic_store(done, 1);
	test_pause();
}

/* Who comes after a death needs no room to bring it in order. */
TEST(a_death_with_the_disk_full)
{
	_Atomic uint32_t *done = test_shared(sizeof(*done));
	struct stoa_backing *backing;
	pid_t role;

	mount_small();
	stoa_backing_close(open_it("small/file", STOA_BACKING_CREATE));
	role = test_role(write_until_full, (void *)done);
	test_await(done, 1);
	test_kill(role);
	backing = open_it("small/file", SAFE);
	check_all(backing, BLOCKS);
	CHECK_RC(put(backing, 0, 9), 0);
	CHECK_EQ(get(backing, 0), 9);
	stoa_backing_close(backing);
	unmount_small();
}

/* The log has room for a write, and its place in the file, which has holes, has none. What the log has counts, and is finished when it can be. */
static void write_without_room_in_place(struct stoa_backing *backing, unsigned block)
{
	unsigned char byte;

	take_all_but(BLOCK / 4096 + 2);
	CHECK_RC(put(backing, block, 200), -STOA_ENOMEM);
	check_detail("do not fit");
	CHECK_RC(stoa_backing_fill(backing, (uint64_t)block * BLOCK, 1, &byte), -STOA_ENOMEM);
	CHECK_RC(put(backing, 0, 1), -STOA_ENOMEM); /* nothing overtakes it */
	CHECK_RC(stoa_backing_flush(backing), -STOA_ENOMEM);
	CHECK_EQ(get(backing, 0), 1); /* what does not matter can be read */
	CHECK_EQ(get(backing, 6), 0);
}

TEST(no_room_in_place)
{
	struct stoa_backing *backing;

	mount_small();
	backing = open_it("small/file", SAFE | STOA_BACKING_CREATE);
	CHECK_RC(put(backing, 0, 1), 0);
	write_without_room_in_place(backing, 4);
	make_room();
	CHECK_EQ(get(backing, 4), 200);
	CHECK_RC(put(backing, 1, 2), 0);
	write_without_room_in_place(backing, 5);
	stoa_backing_close(backing);
	refused("small/file", SAFE, -STOA_ENOMEM, "small/file");
	CHECK_SYS(access(test_path("small/file" GUARD_SUFFIX), F_OK));
	make_room();
	backing = open_it("small/file", SAFE);
	CHECK_EQ(get(backing, 5), 200);
	CHECK_EQ(get(backing, 4), 200);
	CHECK_EQ(get(backing, 1), 2);
	CHECK_EQ(get(backing, 0), 1);
	CHECK_EQ(get(backing, 6), 0);
	stoa_backing_close(backing);
	CHECK_EQ(access(test_path("small/file" GUARD_SUFFIX), F_OK), -1);
	unmount_small();
}

/* Bytes that cannot be compressed. */
static int put_noise(struct stoa_backing *backing, unsigned block, uint64_t seed)
{
	static uint64_t words[BLOCK / 8];

	for (unsigned i = 0; i < CC_COUNT(words); i++)
		words[i] = test_random(&seed);
	return stoa_backing_write(backing, (uint64_t)block * BLOCK, BLOCK, words);
}

static void check_noise(struct stoa_backing *backing, unsigned block, uint64_t seed)
{
	static uint64_t words[BLOCK / 8];

	CHECK_RC(stoa_backing_fill(backing, (uint64_t)block * BLOCK, BLOCK, words), 0);
	for (unsigned i = 0; i < CC_COUNT(words); i++)
		CHECK_EQ(words[i], test_random(&seed));
}

TEST(no_room_for_compressed_frames)
{
	const struct stoa_backing_zstd_options options = {.flags = STOA_BACKING_CREATE, .size = SIZE};
	struct stoa_backing *backing;
	int rc;

	mount_small();
	rc = stoa_backing_zstd(test_path("small/file"), &options, &backing);
	if (rc == -STOA_ENOTSUP) {
		unmount_small();
		SKIP("built without libzstd");
	}
	CHECK_RC(rc, 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		CHECK_RC(put_noise(backing, i, i + 1), 0);
	CHECK_RC(stoa_backing_flush(backing), 0);
	take_all_but(0);
	CHECK_RC(put_noise(backing, 3, 100), -STOA_ENOMEM);
	check_detail("do not fit");
	for (unsigned i = 0; i < BLOCKS; i++)
		check_noise(backing, i, i + 1);
	make_room();
	CHECK_RC(put_noise(backing, 3, 100), 0);
	CHECK_RC(stoa_backing_flush(backing), 0);
	stoa_backing_close(backing);
	CHECK_RC(stoa_backing_zstd(test_path("small/file"), NULL, &backing), 0);
	for (unsigned i = 0; i < BLOCKS; i++)
		check_noise(backing, i, i == 3 ? 100 : i + 1);
	stoa_backing_close(backing);
	unmount_small();
}

/* ---- the limit of files' lengths ---- */

static void set_limit(rlim_t bytes)
{
	struct rlimit limit;

	CHECK_SYS(getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = bytes;
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
}

TEST(a_limit_that_the_file_exceeds)
{
	struct stoa_backing *backing = open_it("limited", SAFE | STOA_BACKING_CREATE);

	write_all(backing);
	stoa_backing_close(backing);
	backing = open_it("limited", SAFE);
	set_limit(SIZE / 2);
	CHECK_RC(put(backing, 7, 100), -STOA_ELIMIT);
	check_detail("ulimit -f");
	CHECK_RC(put(backing, 0, 1), 0); /* below it all is as it was */
	check_all(backing, BLOCKS);
	CHECK_RC(stoa_backing_flush(backing), 0);
	set_limit(RLIM_INFINITY);
	CHECK_RC(put(backing, 7, 8), 0);
	check_all(backing, BLOCKS);
	stoa_backing_close(backing);
}

TEST(a_limit_that_the_log_exceeds)
{
	struct stoa_backing *backing = open_it("limited", SAFE | STOA_BACKING_CREATE);
	unsigned writes = 0;
	int rc = 0;

	write_all(backing);
	stoa_backing_close(backing);
	backing = open_it("limited", SAFE);
	set_limit(SIZE);
	for (; rc == 0 && writes < 100; writes++)
		rc = put(backing, 2, 3);
	CHECK_RC(rc, -STOA_ELIMIT);
	check_detail("ulimit -f");
	CHECK_INT(writes, <=, BLOCKS);
	check_all(backing, BLOCKS);
	set_limit(RLIM_INFINITY);
	CHECK_RC(put(backing, 2, 33), 0);
	CHECK_EQ(get(backing, 2), 33);
	check_all(backing, 2);
	stoa_backing_close(backing);
}

/* ---- what may not be written ---- */

/* Whoever may write to all is to be somebody else. */
static void run_as_user(void (*body)(void *argument))
{
	if (geteuid() != 0) {
		body(NULL);
		return;
	}
	CHECK_SYS(chmod(test_dir(), 0755));
	CHECK_EQ(test_join(test_role(body, NULL)), 0);
}

static void become_user(void)
{
	if (geteuid() == 0)
		become_nobody();
}

static void give_to_user(const char *name, mode_t mode)
{
	if (geteuid() == 0)
		CHECK_SYS(chown(test_path(name), NOBODY, NOBODY));
	CHECK_SYS(chmod(test_path(name), mode));
}

static void use_closed_folder(void *argument)
{
	struct stoa_backing *backing;

	(void)argument;
	become_user();
	refused("closed/file", SAFE, -STOA_EACCES, "file" GUARD_SUFFIX);
	refused("closed/new", SAFE | STOA_BACKING_CREATE, -STOA_EACCES, "closed");
	CHECK_EQ(access(test_path("closed/new"), F_OK), -1);
	backing = open_it("closed/file", SAFE | STOA_BACKING_READ_ONLY); /* which needs no log */
	check_all(backing, BLOCKS);
	stoa_backing_close(backing);
	CHECK_SYS(chmod(test_path("closed"), 0700));
	backing = open_it("closed/file", SAFE);
	CHECK_RC(put(backing, 0, 1), 0);
	CHECK_SYS(chmod(test_path("closed"), 0500));
	CHECK_RC(put(backing, 1, 2), 0); /* what is open works */
	stoa_backing_close(backing);     /* the log stays, and says that it is over */
	CHECK_SYS(access(test_path("closed/file" GUARD_SUFFIX), F_OK));
	backing = open_it("closed/file", SAFE);
	check_all(backing, BLOCKS);
	stoa_backing_close(backing);
	CHECK_SYS(chmod(test_path("closed"), 0700));
	stoa_backing_close(open_it("closed/file", SAFE));
	CHECK_EQ(access(test_path("closed/file" GUARD_SUFFIX), F_OK), -1);
}

TEST(a_folder_that_may_not_be_written)
{
	struct stoa_backing *backing;

	CHECK_SYS(mkdir(test_path("closed"), 0700));
	backing = open_it("closed/file", STOA_BACKING_CREATE);
	write_all(backing);
	stoa_backing_close(backing);
	give_to_user("closed/file", 0600);
	give_to_user("closed", 0500);
	run_as_user(use_closed_folder);
}

static void leave_a_log(void *argument)
{
	CHECK_RC(put(open_it("open/file", SAFE), 2, 100), 0);
	atomic_store((_Atomic uint32_t *)argument, 1);
	test_pause();
}

/* There is a log that must be looked at; the file, or the log, may not be written. */
static void use_what_is_forbidden(void *argument)
{
	bool log;

	(void)argument;
	become_user();
	log = access(test_path("open/file"), W_OK) == 0;
	refused("open/file", SAFE, -STOA_EACCES, log ? "file" GUARD_SUFFIX : "open/file");
	refused("open/file", SAFE | STOA_BACKING_READ_ONLY, -STOA_EACCES, log ? "file" GUARD_SUFFIX : "has a log");
}

TEST(files_that_may_not_be_written)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	struct stoa_backing *backing;
	pid_t role;

	CHECK_SYS(mkdir(test_path("open"), 0755));
	backing = open_it("open/file", STOA_BACKING_CREATE);
	write_all(backing);
	stoa_backing_close(backing);
	role = test_role(leave_a_log, (void *)ready);
	test_await(ready, 1);
	test_kill(role);
	give_to_user("open", 0755);
	give_to_user("open/file", 0400);
	give_to_user("open/file" GUARD_SUFFIX, 0600);
	run_as_user(use_what_is_forbidden);
	give_to_user("open/file", 0600);
	give_to_user("open/file" GUARD_SUFFIX, 0400);
	run_as_user(use_what_is_forbidden);
	give_to_user("open/file" GUARD_SUFFIX, 0600);
	backing = open_it("open/file", SAFE); /* nothing was lost meanwhile */
	CHECK_EQ(get(backing, 2), 100);
	check_all(backing, 2);
	stoa_backing_close(backing);
}

TEST(a_file_system_that_may_not_be_written)
{
	struct stoa_backing *backing;

	mount_small();
	backing = open_it("small/file", SAFE | STOA_BACKING_CREATE);
	write_all(backing);
	stoa_backing_close(backing);
	CHECK_SYS(mount("test", test_path("small"), NULL, MS_REMOUNT | MS_RDONLY, NULL));
	refused("small/file", SAFE, -STOA_EACCES, "small/file");
	backing = open_it("small/file", SAFE | STOA_BACKING_READ_ONLY);
	check_all(backing, BLOCKS);
	stoa_backing_close(backing);
	unmount_small();
}
