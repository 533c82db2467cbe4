/* SPDX-License-Identifier: MIT */
/*
 * The promises of the operating system that segments and names rest on, each tried by itself with bare system calls, so that
 * a kernel that breaks one fails here first, by its name. None of stoa's own code is called.
 */
#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MIB (1 << 20)

static int memory(off_t length)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK_SYS(fd);
	CHECK_SYS(ftruncate(fd, length));
	return fd;
}

static unsigned char *map(int fd, size_t length, int protection)
{
	unsigned char *address = mmap(NULL, length, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);

	CHECK(address != MAP_FAILED);
	return address;
}

static long blocks(int fd)
{
	struct stat status;

	CHECK_SYS(fstat(fd, &status));
	return status.st_blocks / (PAGE / 512);
}

static off_t length_of(int fd)
{
	struct stat status;

	CHECK_SYS(fstat(fd, &status));
	return status.st_size;
}

/* The signal that ends a child running body(argument), or 0. */
static int signal_of(void (*body)(void *argument), void *argument)
{
	int status = test_join(test_role(body, argument));

	return status < 0 ? -status : 0;
}

static void store(void *byte)
{
	signal(SIGBUS, SIG_DFL); /* sanitizers catch it */
	*(volatile unsigned char *)byte = 1;
}

static int refused(long result)
{
	CHECK_EQ(result, -1);
	return errno;
}

/* ---- memory ---- */

TEST(a_touch_past_the_end_is_sigbus_and_growth_shows_in_every_map)
{
	int fd = memory(PAGE);
	unsigned char *one = map(fd, 64 * MIB, PROT_READ | PROT_WRITE), *two = map(fd, 64 * MIB, PROT_READ);

	CHECK_EQ(signal_of(store, one + PAGE), SIGBUS);
	CHECK_SYS(fallocate(fd, 0, PAGE, PAGE));
	CHECK_EQ(signal_of(store, one + PAGE), 0);
	CHECK_EQ(two[PAGE], 1);
	CHECK_EQ(signal_of(store, one + 2 * PAGE), SIGBUS);
	munmap(one, 64 * MIB);
	munmap(two, 64 * MIB);
	close(fd);
}

TEST(fallocate_makes_pages_and_never_cuts)
{
	int fd = memory(0);

	CHECK_SYS(fallocate(fd, 0, 0, 8 * PAGE));
	CHECK_EQ(length_of(fd), 8 * PAGE);
	CHECK_EQ(blocks(fd), 8);
	CHECK_SYS(fallocate(fd, 0, 0, PAGE));
	CHECK_EQ(length_of(fd), 8 * PAGE);
	CHECK_EQ(blocks(fd), 8);
	close(fd);
}

TEST(a_hole_costs_nothing_even_when_read_by_a_call)
{
	int fd = memory(64 * MIB);
	char byte;

	CHECK_EQ(blocks(fd), 0);
	CHECK_EQ(pread(fd, &byte, 1, 32 * MIB), 1);
	CHECK_EQ(byte, 0);
	CHECK_EQ(blocks(fd), 0);
	close(fd);
}

TEST(punching_gives_pages_back_and_zeroes)
{
	int fd = memory(4 * PAGE);
	unsigned char *address = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE);

	memset(address, 7, 4 * PAGE);
	CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE));
	CHECK_EQ(blocks(fd), 2);
	CHECK_EQ(length_of(fd), 4 * PAGE);
	CHECK_EQ(address[PAGE], 0);
	CHECK_EQ(address[PAGE - 1], 7);
	munmap(address, 4 * PAGE);
	close(fd);
}

TEST(a_terabyte_can_be_mapped)
{
	int fd = memory(0);
	void *address = mmap(NULL, (size_t)1 << 40, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (address == MAP_FAILED)
		SKIP("a map of 1 TiB: %s (valgrind, RLIMIT_AS?)", strerror(errno));
	munmap(address, (size_t)1 << 40);
	close(fd);
}

TEST(populating_reports_instead_of_signalling)
{
	int fd = memory(2 * PAGE);
	unsigned char *address = map(fd, 4 * PAGE, PROT_READ);

	if (madvise(address, PAGE, 22 /* MADV_POPULATE_READ */) < 0 && errno == EINVAL)
		SKIP("no MADV_POPULATE_READ before Linux 5.14");
	CHECK_SYS(madvise(address, 2 * PAGE, 22));
	CHECK_EQ(refused(madvise(address, 3 * PAGE, 22)), EFAULT);
	munmap(address, 4 * PAGE);
	close(fd);
}

#define POPULATE_WRITE 23 /* MADV_POPULATE_WRITE, MADV_COLLAPSE */
#define COLLAPSE 25

TEST(populating_for_writing_makes_the_pages)
{
	int fd = memory(2 * PAGE);
	unsigned char *address = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE);

	if (madvise(address, PAGE, POPULATE_WRITE) < 0 && errno == EINVAL)
		SKIP("no MADV_POPULATE_WRITE before Linux 5.14");
	CHECK_EQ(blocks(fd), 1);
	address[0] = 7;
	CHECK_SYS(madvise(address, 2 * PAGE, POPULATE_WRITE));
	CHECK_EQ(blocks(fd), 2);
	CHECK_EQ(address[0], 7);
	CHECK_EQ(refused(madvise(address, 3 * PAGE, POPULATE_WRITE)), EFAULT);
	CHECK_EQ(length_of(fd), 2 * PAGE);
	munmap(address, 4 * PAGE);
	close(fd);
}

/* Whether it succeeds or not; and whatever the setting says, as long as that is not "deny". */
TEST(collapsing_into_a_huge_page_keeps_what_was_there)
{
	int fd = memory(2 * MIB);
	unsigned char *room = map(fd, 4 * MIB, PROT_NONE), *address = room + (2 * MIB - (uintptr_t)room % (2 * MIB));
	int rc, error;

	CHECK(mmap(address, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == address);
	for (int page = 0; page < 2 * MIB / PAGE; page += 2)
		address[(size_t)page * PAGE] = (unsigned char)(page | 1);
	rc = madvise(address, 2 * MIB, COLLAPSE);
	error = errno;
	for (int page = 0; page < 2 * MIB / PAGE; page++)
		CHECK_EQ(address[(size_t)page * PAGE], page % 2 ? 0 : (unsigned char)(page | 1));
	CHECK_EQ(length_of(fd), 2 * MIB);
	munmap(room, 4 * MIB);
	close(fd);
	if (rc < 0)
		SKIP("no huge page was made: %s", strerror(error));
}

TEST(a_memfds_file_system_has_no_size)
{
	int fd = memory(PAGE), named = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct statfs system;

	CHECK_SYS(fstatfs(fd, &system));
	CHECK_EQ(system.f_blocks, 0); /* told from one that has: a full one has 0 left, not 0 in all */
	CHECK_EQ(system.f_type, 0x01021994 /* TMPFS_MAGIC */);
	CHECK_SYS(fstatfs(named, &system));
	CHECK_EQ(system.f_type, 0x01021994);
	close(named);
	close(fd);
}

static void ignore_signal(int number)
{
	(void)number;
}

/* Interrupted by signals, it leaves what was there, and a small enough piece gets through. */
TEST(an_interrupted_fallocate_takes_nothing_that_was_there)
{
	const struct itimerval often = {{0, 300}, {0, 300}}, never = {0};
	struct sigaction action = {.sa_handler = ignore_signal}; /* not SA_RESTART */
	unsigned interrupted = 0;
	int fd = memory(0), rc;
	unsigned char *address = map(fd, PAGE, PROT_READ | PROT_WRITE);

	CHECK_SYS(fallocate(fd, 0, 0, MIB));
	address[0] = 7;
	CHECK_SYS(sigaction(SIGALRM, &action, NULL));
	CHECK_SYS(setitimer(ITIMER_REAL, &often, NULL));
	for (unsigned i = 0; i < 20 && interrupted < 3; i++) {
		rc = fallocate(fd, 0, MIB, 128 * MIB);
		CHECK(rc == 0 || errno == EINTR);
		interrupted += rc != 0;
		CHECK_INT(length_of(fd), >=, MIB);
		CHECK_INT(blocks(fd), >=, MIB / PAGE);
		CHECK_EQ(address[0], 7);
		if (rc == 0)
			CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, 128 * MIB));
	}
	do
		rc = fallocate(fd, 0, 200 * MIB, PAGE);
	while (rc < 0 && errno == EINTR);
	CHECK_EQ(rc, 0);
	CHECK_SYS(setitimer(ITIMER_REAL, &never, NULL));
	CHECK_EQ(length_of(fd), 200 * MIB + PAGE);
	munmap(address, PAGE);
	close(fd);
	if (!interrupted)
		SKIP("no signal came in between: newer kernels let only deaths do");
}

TEST(flushing_memory_is_done_at_once_or_invalid)
{
	int fd = memory(2 * PAGE);
	unsigned char *address = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE);

	address[0] = 7;
	CHECK_SYS(msync(address, 2 * PAGE, MS_SYNC));
	CHECK(sync_file_range(fd, 0, 2 * PAGE, SYNC_FILE_RANGE_WRITE) == 0 || errno == EINVAL);
	munmap(address, 2 * PAGE);
	close(fd);
}

/* A file on a disk: both take a part, and what was written through a map is in the file for who reads it. */
TEST(flushing_a_part_of_a_file)
{
	char path[] = "/var/tmp/stoa-test-XXXXXX", byte;
	int fd = mkostemp(path, O_CLOEXEC);
	unsigned char *address;

	CHECK_SYS(fd);
	CHECK_SYS(unlink(path));
	CHECK_SYS(ftruncate(fd, 3 * PAGE));
	address = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE);
	memset(address, 7, 3 * PAGE);
	if (sync_file_range(fd, PAGE, PAGE, SYNC_FILE_RANGE_WRITE) != 0)
		SKIP("the file system of /var/tmp: %s", strerror(errno));
	CHECK_SYS(msync(address + PAGE, PAGE, MS_SYNC));
	CHECK_EQ(pread(fd, &byte, 1, 2 * PAGE), 1);
	CHECK_EQ(byte, 7);
	CHECK_EQ(refused(msync(address + 1, PAGE, MS_SYNC)), EINVAL);
	munmap(address, 3 * PAGE);
	close(fd);
}

static void small_shm(void)
{
	if (geteuid() != 0 || mount("test", "/dev/shm", "tmpfs", MS_REMOUNT, "size=1m") != 0)
		SKIP("a small file system needs root and a mount namespace");
}

TEST(a_full_tmpfs_is_an_error_that_takes_nothing)
{
	int fd;

	small_shm();
	fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_SYS(fd);
	CHECK_SYS(fallocate(fd, 0, 0, MIB / 2));
	CHECK_EQ(refused(fallocate(fd, 0, MIB / 2, MIB)), ENOSPC);
	CHECK_EQ(length_of(fd), MIB / 2);
	CHECK_EQ(blocks(fd), MIB / 2 / PAGE);
	close(fd);
}

static void grow_past_the_limit(void *fd)
{
	struct rlimit limit = {MIB, MIB};

	signal(SIGXFSZ, SIG_DFL);
	setrlimit(RLIMIT_FSIZE, &limit);
	fallocate(*(int *)fd, 0, 0, MIB); /* up to it, and below the length: fine */
	fallocate(*(int *)fd, 0, 2 * MIB - PAGE, PAGE);
	fallocate(*(int *)fd, 0, 2 * MIB, PAGE); /* beyond both: the signal that commit must never meet */
}

TEST(the_file_size_limit_counts_growth_only)
{
	int fd = memory(2 * MIB);

	CHECK_EQ(signal_of(grow_past_the_limit, &fd), SIGXFSZ);
	CHECK_EQ(blocks(fd), MIB / PAGE + 1);
	CHECK_EQ(length_of(fd), 2 * MIB);
	close(fd);
}

/* ---- seals and rights ---- */

TEST(a_shrink_seal_stops_cuts_and_nothing_else)
{
	int fd = memory(4 * PAGE);

	CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_EQ(refused(ftruncate(fd, PAGE)), EPERM);
	CHECK_SYS(ftruncate(fd, 8 * PAGE));
	CHECK_SYS(fallocate(fd, 0, 8 * PAGE, PAGE));
	CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	close(fd);
}

TEST(a_grow_seal_stops_growth)
{
	int fd = memory(PAGE);

	CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_EQ(refused(fallocate(fd, 0, 0, 2 * PAGE)), EPERM);
	CHECK_SYS(fallocate(fd, 0, 0, PAGE));
	close(fd);
}

TEST(a_future_write_seal_leaves_present_maps)
{
	int fd = memory(PAGE);
	unsigned char *address = map(fd, PAGE, PROT_READ | PROT_WRITE), *reader;

	CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	address[0] = 1;
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	reader = map(fd, PAGE, PROT_READ);
	CHECK_EQ(refused(mprotect(reader, PAGE, PROT_READ | PROT_WRITE)), EACCES);
	CHECK_EQ(refused(pwrite(fd, "x", 1, 0)), EPERM);
	CHECK_EQ(refused(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE)), EPERM);
	munmap(address, PAGE);
	munmap(reader, PAGE);
	close(fd);
}

TEST(a_write_seal_needs_no_writable_map)
{
	int fd = memory(PAGE), reader;
	unsigned char *address = map(fd, PAGE, PROT_READ | PROT_WRITE);
	char path[64];

	CHECK_EQ(refused(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)), EBUSY);
	CHECK_SYS(mprotect(address, PAGE, PROT_READ));
	CHECK_EQ(refused(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)), EBUSY); /* it could be made writable again */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_SYS(reader);
	CHECK(mmap(address, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, reader, 0) == address);
	CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_EQ(refused(mprotect(address, PAGE, PROT_READ | PROT_WRITE)), EACCES);
	munmap(address, PAGE);
	/* Kernels before 6.7 refuse a shared map of it, and none refuses a private one. */
	address = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(address != MAP_FAILED);
	munmap(address, PAGE);
	close(reader);
	close(fd);
}

TEST(tmpfs_files_take_no_seals)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_EQ(refused(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)), EPERM);
	close(fd);
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

TEST(memory_sealed_against_execution_stays_so)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL), seals;

	CHECK_EQ(refused(memfd_create("test", 0x00800000U)), EINVAL); /* how a kernel without a flag says so */
	if (fd < 0 && errno == EINVAL)
		SKIP("no MFD_NOEXEC_SEAL before Linux 6.3");
	CHECK_SYS(fd);
	seals = fcntl(fd, F_GET_SEALS);
	CHECK_EQ(seals, 0x0020 /* F_SEAL_EXEC, and it can be sealed further */);
	CHECK_EQ(refused(fchmod(fd, 0700)), EPERM);
	CHECK_SYS(fchmod(fd, 0600));
	CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	close(fd);
}

static void widen(void *fd)
{
	char path[64];

	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setgid(65534));
	CHECK_SYS(setuid(65534));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *(int *)fd);
	CHECK_EQ(refused(open(path, O_RDWR | O_CLOEXEC)), EACCES);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *(int *)fd, 0) == MAP_FAILED);
	CHECK_EQ(refused(mprotect(map(*(int *)fd, PAGE, PROT_READ), PAGE, PROT_READ | PROT_WRITE)), EACCES);
	CHECK_EQ(refused(ftruncate(*(int *)fd, 0)), EINVAL);
}

TEST(a_read_only_descriptor_of_a_private_memfd_cannot_be_widened_by_others)
{
	int fd = memory(PAGE), reader;
	char path[64];

	if (geteuid() != 0)
		SKIP("another user needs root");
	CHECK_SYS(fchmod(fd, 0600));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_SYS(reader);
	CHECK_EQ(test_join(test_role(widen, &reader)), 0);
	close(reader);
	close(fd);
}

/* ---- names ---- */

static int lock(int fd, short type, off_t byte)
{
	struct flock request = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &request);
}

static short holder(int fd, off_t byte)
{
	struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	CHECK_SYS(fcntl(fd, F_OFD_GETLK, &request));
	return request.l_type;
}

static char *shm_path(void)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/lock", test_dir());
	return path;
}

static int open_lock(void)
{
	int fd = open(shm_path(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	return fd;
}

TEST(description_locks_exclude_each_other_within_one_process)
{
	int one = open_lock(), two = open_lock();

	CHECK_SYS(lock(one, F_WRLCK, 0));
	CHECK_EQ(refused(lock(two, F_RDLCK, 0)), EAGAIN);
	CHECK_EQ(holder(two, 0), F_WRLCK);
	CHECK_EQ(holder(two, 1), F_UNLCK); /* another byte is another lock */
	CHECK_SYS(lock(one, F_RDLCK, 0));  /* changed, not dropped and taken */
	CHECK_SYS(lock(two, F_RDLCK, 0));
	CHECK_EQ(refused(lock(one, F_WRLCK, 0)), EAGAIN);
	CHECK_EQ(holder(one, 0), F_RDLCK); /* a refused change leaves what was */
	close(one);
	CHECK_SYS(lock(two, F_WRLCK, 0));
	close(two);
}

static void close_the_copy(void *fd)
{
	close(*(int *)fd);
}

TEST(a_childs_close_does_not_drop_its_parents_lock)
{
	int one = open_lock(), two = open_lock();

	CHECK_SYS(lock(one, F_RDLCK, 0));
	CHECK_EQ(test_join(test_role(close_the_copy, &one)), 0);
	CHECK_EQ(holder(two, 0), F_RDLCK);
	close(one);
	CHECK_EQ(holder(two, 0), F_UNLCK);
	close(two);
}

static void hold_until_killed(void *ready)
{
	CHECK_SYS(lock(open_lock(), F_RDLCK, 0));
	atomic_store((_Atomic uint32_t *)ready, 1);
	for (;;)
		pause();
}

TEST(death_drops_locks)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	int fd = open_lock();
	pid_t role = test_role(hold_until_killed, (void *)ready);

	test_await(ready, 1);
	CHECK_EQ(holder(fd, 0), F_RDLCK);
	test_kill(role);
	CHECK_EQ(holder(fd, 0), F_UNLCK);
	close(fd);
	munmap((void *)ready, sizeof(*ready));
}

TEST(a_nameless_file_gets_its_name_whole_or_not_at_all)
{
	char from[64], to[600], byte;
	int fd = open(test_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), again;

	CHECK_SYS(fd);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	snprintf(to, sizeof(to), "%s/name", test_dir());
	CHECK_SYS(linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW));
	CHECK_EQ(refused(linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW)), EEXIST);
	again = open(to, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(pread(again, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'x');
	close(again);
	close(fd);
}

TEST(a_file_keeps_a_sticky_bit_and_an_empty_page_costs_nothing)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat status;

	CHECK_SYS(fchmod(fd, 0600 | S_ISVTX));
	CHECK_SYS(ftruncate(fd, 1));
	CHECK_SYS(fstat(fd, &status));
	CHECK_EQ(status.st_mode & 07777, 01600);
	CHECK_EQ(status.st_blocks, 0);
	close(fd);
}

TEST(links_are_not_followed_when_told_so)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/link", test_dir());
	CHECK_SYS(symlink("/etc/passwd", path));
	CHECK_EQ(refused(open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)), ELOOP);
	CHECK_EQ(refused(open(path, O_RDWR | O_NOFOLLOW | O_CREAT | O_CLOEXEC, 0600)), ELOOP);
}

/* ---- transfer ---- */

TEST(a_socket_tells_who_connected_it)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	int ends[2];

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	CHECK_SYS(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &who, &size));
	CHECK_EQ(who.uid, geteuid());
	close(ends[0]);
	close(ends[1]);
	ends[0] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK_SYS(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &who, &size));
	CHECK_EQ(who.uid, UINT32_MAX); /* nobody's, as yet */
	close(ends[0]);
}

static void receive_with_none_left(void *argument)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))];
	struct iovec piece = {&byte, 1};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
	struct rlimit limit = {32, 32};

	message.msg_controllen = sizeof(control);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(0) >= 0)
		;
	CHECK_EQ(recvmsg(*(int *)argument, &message, MSG_CMSG_CLOEXEC), 1);
	CHECK_EQ(byte, 'x');
	CHECK(message.msg_flags & MSG_CTRUNC);
	CHECK(CMSG_FIRSTHDR(&message) == NULL || CMSG_FIRSTHDR(&message)->cmsg_len == CMSG_LEN(0));
}

TEST(a_message_whose_descriptor_finds_no_place_says_so)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec piece = {&byte, 1};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control};
	struct cmsghdr *header;
	int ends[2];

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	message.msg_controllen = sizeof(control);
	header = CMSG_FIRSTHDR(&message);
	*header =
		(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(header), &ends[0], sizeof(int));
	CHECK_EQ(sendmsg(ends[0], &message, 0), 1);
	CHECK_EQ(test_join(test_role(receive_with_none_left, &ends[1])), 0);
	close(ends[0]);
	close(ends[1]);
}

TEST(appending_never_overwrites)
{
	char path[600], text[8] = "";
	struct iovec piece = {(void *)(uintptr_t) "zz", 2};
	int fd;

	snprintf(path, sizeof(path), "%s/append", test_dir());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(pwrite(fd, "abcd", 4, 0), 4);
	CHECK_EQ(pwritev2(fd, &piece, 1, -1, RWF_APPEND), 2);
	CHECK_EQ(pread(fd, text, 7, 0), 6);
	CHECK_STR(text, "abcdzz");
	close(fd);
}
