/* SPDX-License-Identifier: MIT */
/* Files as segments: opening, growing to the byte, cutting, flushing, and prefetching, from disks good and bad. */
#include <segment/badfile.h>
#include <segment/linux.h>

#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static char *path_of(const char *name)
{
	static char paths[16][600];
	static unsigned next;
	char *path = paths[next++ % CC_COUNT(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_dir(), name);
	return path;
}

static uint64_t size_of(const char *path)
{
	struct stat status;

	CHECK_SYS(stat(path, &status));
	return (uint64_t)status.st_size;
}

TEST(created_grown_cut_and_flushed)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE};
	char *path = path_of("new");
	struct stoa_segment *segment = NULL, *other;
	struct stat status;

	CHECK_RC(stoa_segment_file(path, GIB, NULL, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_segment_file(path, 0, &create, &segment), -STOA_EINVAL);
	CHECK(stat(path, &status) == -1 && errno == ENOENT); /* not made: nothing could be mapped without a reserve */
	CHECK(segment == NULL);
	CHECK_RC(stoa_segment_file(path, GIB, &create, &segment), 0);
	CHECK_SYS(stat(path, &status));
	CHECK_EQ(status.st_mode & 0777, 0600);
	CHECK_EQ(touch(bytes_of(segment)), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_EQ(size_of(path), 5000);
	CHECK_EQ(stoa_segment_committed(segment), 5000);
	memcpy(bytes_of(segment) + 4990, "0123456789", 10);
	CHECK_RC(stoa_segment_file(path, 0, NULL, &other), 0);
	CHECK_EQ(stoa_segment_reserve(other), 2 * PAGE);
	CHECK_EQ(memcmp(bytes_of(other) + 4990, "0123456789", 10), 0);
	CHECK_RC(stoa_segment_commit(segment, 100), 0);
	CHECK_EQ(size_of(path), 5000);
	CHECK_RC(stoa_segment_commit(other, 2 * PAGE + 1), -STOA_ERANGE);
	CHECK_RC(stoa_segment_flush(segment, 10, 4990, 0), 0);
	CHECK_RC(stoa_segment_flush(segment, 0, 5000, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_flush(segment, 0, 0, STOA_DURABLE), 0);
	CHECK_RC(stoa_segment_flush(segment, GIB, 1, 0), -STOA_ERANGE);
	CHECK_RC(stoa_segment_flush(segment, 0, 1, 2), -STOA_EINVAL);
	CHECK_RC(stoa_segment_shrink(segment, 10), 0);
	CHECK_EQ(size_of(path), 10);
	CHECK_EQ(stoa_segment_committed(other), 10);
	CHECK_EQ(touch(bytes_of(other) + PAGE), SIGBUS);
	CHECK_RC(stoa_segment_commit(other, 2 * PAGE), 0);
	CHECK_EQ(bytes_of(segment)[4999], 0);
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
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment = NULL;
	char *path = path_of("file");

	write_text(path, "twelve bytes");
	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		check_refusal(stoa_segment_file(path, 0, &wrong[i].options, &segment), wrong[i].detail);
	check_refusal(stoa_segment_file(NULL, 0, NULL, &segment), "no path");
	check_refusal(stoa_segment_file(path, 0, NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_file(path, STOA_RESERVE_MAX + 1, NULL, &segment), "more than 2^40");
	check_refusal(stoa_segment_flush(NULL, 0, 0, 0), "no segment");
	CHECK_RC(stoa_segment_file(path, 11, NULL, &segment), -STOA_ERANGE);
	CHECK_RC(stoa_segment_file(test_dir(), 0, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(test_dir(), 0, &reader, &segment), -STOA_EKIND);
	CHECK_SYS(truncate(path, (off_t)(STOA_RESERVE_MAX + PAGE)));
	CHECK_RC(stoa_segment_file(path, 0, NULL, &segment), -STOA_ERANGE);
	CHECK_SYS(truncate(path, 12));
	CHECK_SYS(mkfifo(path_of("fifo"), 0600));
	CHECK_RC(stoa_segment_file(path_of("fifo"), PAGE, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(path_of("fifo"), PAGE, &reader, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file("/dev/null", PAGE, NULL, &segment), -STOA_EKIND);
	CHECK_RC(stoa_segment_file(path_of("no/where"), PAGE, NULL, &segment), -STOA_ENOENT);
	CHECK(segment == NULL);
	CHECK_SYS(symlink(path, path_of("link")));
	CHECK_RC(stoa_segment_file(path_of("link"), 0, &reader, &segment), 0);
	CHECK_EQ(memcmp(bytes_of(segment), "twelve bytes", 12), 0);
	CHECK_EQ(touch(bytes_of(segment)), SIGSEGV);
	stoa_segment_close(segment);
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
	char *path = path_of("mine");

	need_root("another user");
	CHECK_SYS(chmod(test_dir(), 0755));
	write_text(path, "mine");
	CHECK_EQ(test_join(test_role(open_anothers_file, path)), 0);
}

/* A file system without fallocate: growth appends zeros, which takes memory or space just as surely. */
TEST(file_systems_that_cannot_allocate)
{
	char *path = path_of("simple"), *file = path_of("simple/file");
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
	stoa_prefetch_close(prefetch); /* without a wait */
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
