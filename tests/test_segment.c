/* SPDX-License-Identifier: MIT */
/*
 * Segments by themselves: creation, what a commit does and does not do, discarding, shrinking, names. Uses the public API;
 * looks at the memory object only where the promise is about the object.
 */
#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
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
#define GIB (UINT64_C(1) << 30)

/* What a child that touches the byte gets: 0 or a signal number. */
static int touch(volatile unsigned char *byte)
{
	pid_t child = fork();
	int status;

	CHECK_SYS(child);
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		*byte = 1;
		_exit(0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static uint64_t blocks(const struct stoa_segment *segment)
{
	struct stat status;

	CHECK_SYS(fstat((int)segment->memory, &status));
	return (uint64_t)status.st_blocks * 512;
}

TEST(commit_makes_exactly_the_pages)
{
	struct stoa_segment *segment;
	unsigned char *data;

	CHECK_RC(stoa_segment_create(NULL, 300 * GIB, NULL, &segment), 0);
	data = stoa_segment_address(segment);
	CHECK_EQ(stoa_segment_reserve(segment), 300 * GIB);
	CHECK_EQ(stoa_segment_committed(segment), 0);
	CHECK_EQ(touch(data), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_EQ(touch(data + 2 * PAGE - 1), 0);
	CHECK_EQ(data[2 * PAGE - 1], 1);
	CHECK_EQ(touch(data + 2 * PAGE), SIGBUS);
	CHECK_RC(stoa_segment_commit(segment, 1), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_commit(segment, 300 * GIB + 1), -STOA_ERANGE);
	stoa_segment_close(segment);
}

TEST(smallest_segments)
{
	struct stoa_segment_options options = {.commit = 1};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, 1, &options, &segment), 0);
	CHECK_EQ(blocks(segment), 2 * PAGE);
	stoa_segment_close(segment);
	options.flags = STOA_RAW;
	CHECK_RC(stoa_segment_create(NULL, 1, &options, &segment), 0);
	CHECK_EQ(blocks(segment), PAGE);
	stoa_segment_close(segment);
}

TEST(a_name_lives_while_it_is_used)
{
	const char *name = test_name("a");
	struct stoa_segment *first, *second;

	CHECK_RC(stoa_segment_open(name, NULL, &first), -STOA_ENOENT);
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &first), 0);
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &second), -STOA_EEXIST);
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &second), STOA_EXISTED);
	CHECK_RC(stoa_segment_commit(second, PAGE), 0);
	CHECK_EQ(touch(stoa_segment_address(first)), 0);
	CHECK_EQ(*(unsigned char *)stoa_segment_address(second), 1);
	stoa_segment_close(first);
	CHECK_RC(stoa_segment_open(name, NULL, &first), 0);
	stoa_segment_close(first);
	stoa_segment_close(second);
	CHECK_RC(stoa_segment_open(name, NULL, &first), -STOA_ENOENT);
}

TEST(raw_names_keep_their_reserve)
{
	const char *name = test_name("raw");
	struct stoa_segment_options options = {.flags = STOA_RAW};
	struct stoa_segment *first, *second;

	CHECK_RC(stoa_segment_create(name, 3 * GIB, &options, &first), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &second), 0);
	CHECK_EQ(stoa_segment_reserve(second), 3 * GIB);
	stoa_segment_close(first);
	stoa_segment_close(second);
}

TEST(persistent_names_stay)
{
	const char *name = test_name("p");
	struct stoa_segment_options options = {.flags = STOA_PERSISTENT};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), -STOA_EEXIST);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	CHECK_RC(stoa_segment_unlink(name, 0), 0);
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	stoa_segment_close(segment);
}

TEST(roster_pages_are_backed_on_demand)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	CHECK_EQ(blocks(segment), PAGE);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1023), 0);
	CHECK_EQ(blocks(segment), 3 * PAGE);
	CHECK_RC(segment_back_slot(segment, 0), -STOA_EINVAL);
	CHECK_RC(segment_back_slot(segment, 1024), -STOA_EINVAL);
	stoa_segment_close(segment);
}
