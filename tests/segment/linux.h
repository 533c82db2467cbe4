/* SPDX-License-Identifier: MIT */
/* What the tests of segments share that is about Linux: its calls, other users, files of text. */
#ifndef TESTS_SEGMENT_LINUX_H
#define TESTS_SEGMENT_LINUX_H

#include <segment/common.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* Become another user for good. Only in a role, as root. */
static inline void become_nobody(void)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setgid(NOBODY));
	CHECK_SYS(setuid(NOBODY));
}

static inline void need_root(const char *what)
{
	if (geteuid() != 0)
		SKIP("%s needs root", what);
}

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

#endif
