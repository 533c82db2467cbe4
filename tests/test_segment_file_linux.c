/* SPDX-License-Identifier: MIT */
/*
 * As test_segment_file.c, by what Linux alone has or tells: modes, links and pipes, other users, file systems of several kinds, what is
 * dirty and what is in memory, and disks that fail.
 */
#include "files.h"

#include <segment/badfile.h>
#include <segment/linux.h>

#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static uint64_t size_of(const char *path)
{
	struct stat status;

	CHECK_SYS(stat(path, &status));
	return (uint64_t)status.st_size;
}

TEST(made_for_its_user_alone)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE};
	char *path = test_path("new");
	struct stoa_segment *segment;
	struct stat status;

	CHECK_RC(stoa_segment_file(path, GIB, &create, &segment), 0);
	CHECK_SYS(stat(path, &status));
	CHECK_EQ(status.st_mode & 07777, 0600);
	CHECK_EQ(status.st_nlink, 1);
	stoa_segment_close(segment);
}

TEST(pipes_links_and_huge_files)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY}, create = {.flags = STOA_FILE_CREATE};
	struct stoa_segment *segment = NULL;
	char *path = test_path("file");

	write_text(path, "twelve bytes");
	CHECK_SYS(truncate(path, (off_t)(STOA_RESERVE_MAX + PAGE)));
	CHECK_RC(stoa_segment_file(path, 0, NULL, &segment), -STOA_ERANGE);
	CHECK_SYS(truncate(path, 12));
	CHECK_SYS(mkfifo(test_path("fifo"), 0600));
	CHECK_RC(stoa_segment_file(test_path("fifo"), PAGE, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_path("fifo"), PAGE, &reader, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_path("fifo"), PAGE, &create, &segment), -STOA_EKIND);
	CHECK_SYS(symlink("nowhere", test_path("dangling")));
	CHECK_RC(stoa_segment_file(test_path("dangling"), PAGE, &create, &segment), -STOA_ENOENT);
	check_detail("leads nowhere");
	CHECK_EQ(access(test_path("nowhere"), F_OK), -1);
	CHECK(segment == NULL);
	CHECK_SYS(symlink(path, test_path("link")));
	CHECK_RC(stoa_segment_file(test_path("link"), 0, &reader, &segment), 0);
	CHECK_EQ(memcmp(bytes_of(segment), "twelve bytes", 12), 0);
	CHECK_EQ(touch(bytes_of(segment)), SIGSEGV);
	stoa_segment_close(segment);
}

/* Paths without a directory, and in the root's. */
static void make_here(void *directory)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 1};
	struct stoa_segment *segment = NULL;
	char path[64];

	CHECK_SYS(chdir(directory));
	CHECK_RC(stoa_segment_file("here", PAGE, &create, &segment), 0);
	stoa_segment_close(segment);
	CHECK_SYS(unlink("here"));
	snprintf(path, sizeof(path), "/stoa-test-%d", getpid());
	if (geteuid() != 0)
		return;
	CHECK_RC(stoa_segment_file(path, PAGE, &create, &segment), 0);
	stoa_segment_close(segment);
	CHECK_SYS(unlink(path));
}

TEST(made_in_the_present_directory_and_the_root)
{
	CHECK_EQ(test_join(test_role(make_here, (void *)(uintptr_t)test_dir())), 0);
}

static void make_beyond_a_limit(void *path)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = MIB};
	struct rlimit limit = {65536, 65536};
	struct stoa_segment *segment = NULL;

	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_RC(stoa_segment_file(path, GIB, &create, &segment), -STOA_ELIMIT);
	check_detail(path);
	limit = (struct rlimit){GIB, GIB};
	CHECK_SYS(setrlimit(RLIMIT_AS, &limit));
	create.commit = 1;
	CHECK_INT(stoa_segment_file(path, 4 * GIB, &create, &segment), <, 0);
	CHECK(segment == NULL);
}

TEST(nothing_is_left_of_a_file_that_meets_a_limit)
{
	char *path = test_path("limited");

	CHECK_EQ(test_join(test_role(make_beyond_a_limit, path)), 0);
	CHECK_EQ(access(path, F_OK), -1);
}

TEST(nothing_is_left_of_a_file_on_a_full_file_system)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 3 * MIB};
	char *path = test_path("small"), *file = test_path("small/file");
	struct stoa_segment *segment = NULL;
	struct statfs system;

	need_root("a small file system");
	CHECK_SYS(mkdir(path, 0700));
	if (mount("test", path, "tmpfs", 0, "size=2m") != 0)
		SKIP("no file system of its own here: %s", strerror(errno));
	CHECK_RC(stoa_segment_file(file, GIB, &create, &segment), -STOA_ENOMEM);
	CHECK_EQ(access(file, F_OK), -1);
	CHECK_SYS(statfs(path, &system));
	CHECK_EQ(system.f_bfree, system.f_blocks);
	create.commit = MIB;
	CHECK_RC(stoa_segment_file(file, GIB, &create, &segment), 0);
	CHECK_EQ(size_of(file), MIB);
	stoa_segment_close(segment);
	CHECK_SYS(umount2(path, MNT_DETACH));
}

static void make_until_killed(void *path)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE, .commit = 3 * PAGE};
	struct stoa_segment *segment;

	for (;;) {
		CHECK_RC(stoa_segment_file(path, GIB, &create, &segment), 0);
		stoa_segment_close(segment);
		CHECK_SYS(unlink(path));
	}
}

/* Whoever looks, and whenever its maker is killed: it is there as it was to be, or it is not. */
TEST_TIMEOUT(nobody_sees_half_a_file, 60)
{
	unsigned rounds = test_rounds(30, 1000), seen = 0;
	uint64_t random = test_seed();
	char *path = test_path("whole");
	struct stat status;

	for (unsigned i = 0; i < rounds || !seen; i++) {
		unsigned looks = 200 + (unsigned)(test_random(&random) % 2000);
		pid_t role = test_role(make_until_killed, path);

		while (looks--) {
			if (stat(path, &status) != 0)
				continue;
			CHECK_EQ(status.st_size, 3 * PAGE);
			seen++;
		}
		test_kill(role);
		if (stat(path, &status) == 0)
			CHECK_EQ(status.st_size, 3 * PAGE);
		(void)unlink(path);
		CHECK_SYS(rmdir(test_dir())); /* nothing else lies there */
		test_dir();
	}
}

/* Where a file has its name from the start: only what is still as it was made is taken away. */
TEST(files_that_have_their_name_at_once)
{
	char *path = test_path("named");
	os_handle file;

	for (unsigned i = 0; i < 3; i++) {
		file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		CHECK_SYS(file);
		CHECK_RC(os_file_publish(file, path), 0);
		if (i == 1)
			CHECK_EQ(write((int)file, "x", 1), 1);
		if (i == 2) {
			CHECK_SYS(unlink(path));
			write_text(path, "");
		}
		os_file_unmake(file, path);
		CHECK_EQ(access(path, F_OK), i == 0 ? -1 : 0);
		if (i)
			CHECK_SYS(unlink(path));
	}
}

static void open_anothers_file(void *path)
{
	struct stoa_segment *segment = NULL;

	become_nobody();
	CHECK_RC(stoa_segment_file(path, 0, NULL, &segment), -STOA_EACCES);
	check_detail("root (user id 0)");
	CHECK(segment == NULL);
}

TEST(anothers_file_is_refused_by_owner)
{
	char *path = test_path("mine");

	need_root("another user");
	CHECK_SYS(chmod(test_dir(), 0755));
	write_text(path, "mine");
	CHECK_EQ(test_join(test_role(open_anothers_file, path)), 0);
}

/* A file system without fallocate: growth appends zeros, which takes memory or space just as surely. */
TEST(file_systems_that_cannot_allocate)
{
	char *path = test_path("simple"), *file = test_path("simple/file");
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE};
	struct stoa_segment *segment, *other;

	need_root("mounting a file system");
	CHECK_SYS(mkdir(path, 0700));
	if (mount("test", path, "ramfs", 0, NULL) != 0)
		SKIP("no ramfs here: %s", strerror(errno));
	CHECK_RC(stoa_segment_file(file, GIB, &create, &segment), 0);
	CHECK_RC(stoa_segment_file(file, GIB, NULL, &other), 0);
	CHECK_RC(stoa_segment_commit(segment, MIB + 5), 0);
	CHECK_EQ(size_of(file), MIB + 5);
	CHECK_EQ(blocks(segment), segment_round_up(MIB + 5, PAGE));
	memset(bytes_of(segment), 3, MIB + 5);
	CHECK_RC(stoa_segment_commit(other, 2 * MIB), 0);
	CHECK_EQ(bytes_of(segment)[MIB + 4], 3);
	CHECK_EQ(bytes_of(segment)[2 * MIB - 1], 0);
	CHECK_RC(stoa_segment_commit(segment, MIB), 0);
	CHECK_EQ(size_of(file), 2 * MIB);
	CHECK_RC(stoa_segment_discard(segment, 0, PAGE), -STOA_ENOTSUP);
	stoa_segment_close(segment);
	stoa_segment_close(other);
	CHECK_SYS(umount2(path, MNT_DETACH));
}

/* ---- prefetch ---- */

/* A file on a disk that can drop it from memory, already unlinked; skips where there is none. */
static int disk_file(uint64_t size)
{
	static const char *const places[] = {"/var/tmp", "/tmp", "."};
	static char block[65536];
	struct statfs system;

	memset(block, 'd', sizeof(block));
	for (size_t i = 0; i < CC_COUNT(places); i++) {
		int fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

		if (fd < 0)
			continue;
		CHECK_SYS(fstatfs(fd, &system));
		if ((uint64_t)system.f_type == TMPFS_MAGIC) {
			close(fd);
			continue;
		}
		for (uint64_t at = 0; at < size; at += sizeof(block))
			CHECK_EQ(pwrite(fd, block, sizeof(block), (off_t)at), sizeof(block));
		CHECK_SYS(fsync(fd));
		return fd;
	}
	SKIP("no directory on a disk with nameless files");
}

static uint64_t pages_present(void *address, uint64_t length)
{
	unsigned char present[4096];
	uint64_t count = 0;

	CHECK_INT(length / PAGE, <=, sizeof(present));
	CHECK_SYS(mincore(address, length, present));
	for (uint64_t i = 0; i < length / PAGE; i++)
		count += present[i] & 1;
	return count;
}

TEST(prefetch_brings_every_page_in)
{
	const uint64_t size = 16 * MIB;
	int fd = disk_file(size);
	struct stoa_prefetch *prefetch;
	struct stoa_segment *segment;
	uint64_t before;

	CHECK_RC(stoa_segment_take_descriptor(fd, 0, NULL, &segment), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	before = pages_present(bytes_of(segment), size);
	CHECK_RC(stoa_segment_prefetch(segment, 0, size, &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_TRY), 0);
	CHECK_EQ(pages_present(bytes_of(segment), size), size / PAGE);
	stoa_prefetch_close(prefetch);
	CHECK_EQ(bytes_of(segment)[size - 1], 'd');
	stoa_segment_close(segment);
	if (before == size / PAGE)
		SKIP("this file system drops nothing from memory when told to");
}

#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* Pages of the file that are dirty or being written. -1 where the system does not tell (before Linux 6.5). */
static int64_t unwritten_of_file(const struct stoa_segment *segment)
{
	uint64_t range[2] = {0, 0}, counts[5] = {0}; /* cached, dirty, in writing, evicted, lately evicted */

	return syscall(SYS_cachestat, (int)segment->memory, range, counts, 0) ? -1 : (int64_t)(counts[1] + counts[2]);
}

/* Dirty pages of the segment's map, which every kernel tells: those that this process has touched. */
static int64_t dirty_of_map(const struct stoa_segment *segment)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long long start, end, kib, dirty = 0;
	bool ours = false;
	char line[512];

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = (uintptr_t)bytes_of(segment) >= start && (uintptr_t)bytes_of(segment) < end;
		if (ours &&
		    (sscanf(line, "Shared_Dirty: %llu", &kib) == 1 || sscanf(line, "Private_Dirty: %llu", &kib) == 1))
			dirty += kib * 1024 / PAGE;
	}
	fclose(maps);
	return (int64_t)dirty;
}

static void flush_and_count(int64_t (*count)(const struct stoa_segment *segment))
{
	const uint64_t size = MIB;
	const int64_t pages = (int64_t)(size / PAGE);
	int fd = disk_file(size);
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_take_descriptor(fd, 0, NULL, &segment), 0);
	memset(bytes_of(segment), 'n', size);
	if (count(segment) < 0)
		SKIP("no cachestat(2): %s", strerror(errno));
	if (count(segment) == 0)
		SKIP("this file system writes at once");
	CHECK_RC(stoa_segment_flush(segment, 0, size / 2, STOA_DURABLE), 0);
	CHECK_INT(count(segment), <=, pages / 2);
	CHECK_RC(stoa_segment_flush(segment, size / 2 + 1, size / 2 - 1, STOA_DURABLE), 0);
	CHECK_EQ(count(segment), 0);
	memset(bytes_of(segment), 'm', size);
	CHECK_RC(stoa_segment_flush(segment, 0, size, 0), 0);
	CHECK_RC(stoa_segment_flush(segment, 0, size, STOA_DURABLE), 0);
	CHECK_EQ(count(segment), 0);
	stoa_segment_close(segment);
}

TEST(flush_writes_what_was_changed)
{
	flush_and_count(unwritten_of_file);
}

TEST(flush_leaves_no_dirty_page_in_the_map)
{
	flush_and_count(dirty_of_map);
}

/* Without waiting it is on its way, if not there. */
TEST(flush_starts_without_waiting)
{
	const uint64_t size = MIB;
	struct stoa_segment *segment;
	int fd = disk_file(size);
	int64_t before;

	CHECK_RC(stoa_segment_take_descriptor(fd, 0, NULL, &segment), 0);
	memset(bytes_of(segment), 'm', size);
	before = dirty_of_map(segment);
	if (before == 0)
		SKIP("this file system writes at once");
	CHECK_RC(stoa_segment_flush(segment, 0, size, 0), 0);
	CHECK_INT(dirty_of_map(segment), <, before);
	stoa_segment_close(segment);
}

/* A device that does not answer holds up the worker and not the caller. */
TEST(prefetching_is_no_waiting)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_prefetch *prefetch;
	struct stoa_segment *segment;
	char directory[600], path[640];
	pid_t server;
	int device;

	badfile_mount(directory, sizeof(directory), &device);
	server = test_role(badfile_serve, &device);
	snprintf(path, sizeof(path), "%s/file", directory);
	CHECK_RC(stoa_segment_file(path, 0, &reader, &segment), 0);
	CHECK_SYS(kill(server, SIGSTOP));
	CHECK_RC(stoa_segment_prefetch(segment, 0, BADFILE_GOOD, &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_prefetch_wait(prefetch, os_now() + 1000000), STOA_TIMED_OUT);
	CHECK_SYS(kill(server, SIGCONT));
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), 0);
	stoa_prefetch_close(prefetch);
	stoa_segment_close(segment);
	badfile_unmount(directory, device, server);
}

TEST(an_unreadable_page_is_an_error_number)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_prefetch *good, *bad;
	struct stoa_segment *segment;
	char directory[600], path[640];
	pid_t server;
	int device;

	badfile_mount(directory, sizeof(directory), &device);
	server = test_role(badfile_serve, &device);
	snprintf(path, sizeof(path), "%s/file", directory);
	CHECK_RC(stoa_segment_file(path, 0, &reader, &segment), 0);
	CHECK_RC(stoa_segment_prefetch(segment, 0, BADFILE_GOOD, &good), 0);
	CHECK_RC(stoa_segment_prefetch(segment, 0, BADFILE_SIZE, &bad), 0);
	CHECK_RC(stoa_prefetch_wait(good, STOA_FOREVER), 0);
	CHECK_RC(stoa_prefetch_wait(bad, STOA_FOREVER), -STOA_EIO);
	check_detail("cannot be read");
	CHECK_RC(stoa_prefetch_wait(bad, STOA_TRY), -STOA_EIO);
	CHECK_EQ(bytes_of(segment)[BADFILE_GOOD - 1], BADFILE_BYTE);
	CHECK_EQ(probe_byte(bytes_of(segment) + BADFILE_GOOD, false), SIGBUS); /* what the caller was spared */
	stoa_prefetch_close(good);
	stoa_prefetch_close(bad);
	stoa_segment_close(segment);
	badfile_unmount(directory, device, server);
}
