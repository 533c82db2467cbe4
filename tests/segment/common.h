/* SPDX-License-Identifier: MIT */
/* What the tests of segments share: touching memory that may fault, other users, sizes. */
#ifndef TESTS_SEGMENT_COMMON_H
#define TESTS_SEGMENT_COMMON_H

#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <segment/header.h>
#include <segment/segment.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NOBODY 65534

/* The signal that a child gets which reads or writes the byte; 0 when it may. */
static inline int probe_byte(volatile unsigned char *byte, bool write)
{
	pid_t child = fork();
	int status;

	CHECK_SYS(child);
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		if (write)
			*byte = 1;
		else
			(void)*byte;
		_exit(0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static inline int touch(void *byte)
{
	return probe_byte(byte, true);
}

/* Memory behind the segment's object, in bytes. */
static inline uint64_t committed_blocks(const struct stoa_segment *segment)
{
	struct stat status;

	CHECK_SYS(fstat((int)segment->memory, &status));
	return (uint64_t)status.st_blocks * 512;
}

/* The same where the system does not round pages up, so that counting them makes sense. */
static inline uint64_t blocks(const struct stoa_segment *segment)
{
	const char *setting;

	if (os_huge_offered(&setting) && strcmp(setting, "advise") != 0)
		SKIP("shmem_enabled is '%s': the system gives everybody huge pages", setting);
	return committed_blocks(segment);
}

static inline unsigned char *bytes_of(const struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

/* Become another user for good. Only in a role, as root. */
static inline void become_nobody(void)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setgid(NOBODY));
	CHECK_SYS(setuid(NOBODY));
}

/* A map as large as a reserve of that many bytes takes, asked for without stoa: RLIMIT_AS or valgrind may refuse it. */
static inline void need_room(uint64_t reserve)
{
	size_t length = (size_t)(reserve + 2 * MIB);
	void *room = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		SKIP("no room for a map of %llu bytes: %s", (unsigned long long)length, strerror(errno));
	munmap(room, length);
}

static inline void need_root(const char *what)
{
	if (geteuid() != 0)
		SKIP("%s needs root", what);
}

/* The sentence of the last failure must mention `text`. */
static inline void check_detail(const char *text)
{
	if (!strstr(stoa_error_detail(), text))
		test_fail(__FILE__, __LINE__, "the detail is '%s', without '%s'", stoa_error_detail(), text);
}

/* The call refused an argument, and says which. */
static inline void check_refusal(int rc, const char *text)
{
	CHECK_RC(rc, -STOA_EINVAL);
	check_detail(text);
}

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

#endif
