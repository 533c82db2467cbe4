/* SPDX-License-Identifier: MIT */
/*
 * As test_tool_segment.c, where names stay without users, and are files: what was left behind, huge pages, other users, wrong lengths, and
 * what the system tells of pages and processes.
 */
#include <harness/test.h>

#include "tool/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

/* The file behind a local name, for damaging it: the tool must stand whatever it finds there. */
static int open_object(const char *name)
{
	char path[400];
	int file;

	snprintf(path, sizeof(path), "/dev/shm/stoa.%u/%s.seg", (unsigned)geteuid(), name);
	file = open(path, O_RDWR | O_CLOEXEC);
	CHECK_SYS(file);
	return file;
}

static const char *made(const char *suffix)
{
	const char *name = test_name(suffix);
	const struct run *run = run_stoa("create", name, "--reserve", "1GiB", "--commit", "1MiB", NULL);

	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	return name;
}

/* Where huge pages cannot be had the sentence is the segment's too. */
TEST(huge_pages_that_cannot_be_had_are_named)
{
	const char *name = test_name("huge");
	const struct run *run = run_stoa("create", name, "--reserve", "1GiB", "--huge", "require", NULL);

	if (run->status == 0) {
		CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
		SKIP("huge pages can be had");
	}
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, name);
	CHECK_EQ(strncmp(run->err, "stoa: segment '", 15), 0);
}

TEST(making_and_removing_speak_json)
{
	const char *name = test_name("json");
	const struct run *run = run_stoa("create", name, "--reserve", "1GiB", "--commit", "1MiB", "--json", NULL);

	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, name);
	CHECK_HAS(run->out, "\",\"reserve\":1073741824,\"committed\":1048576,\"flags\":[\"persistent\"]}\n");
	run = run_stoa("commit", "--json", name, "3MiB", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, "\",\"committed\":3145728}\n");
	run = run_stoa("commit", "--json", name, "2GiB", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_STR(run->out, "");
	CHECK_HAS(run->err, "commit 2GiB is more than its reserve, 1GiB");
	run = run_stoa("rm", "--json", name, "no such", NULL);
	CHECK_EQ(run->status, 1);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, name), "\"removed\":true");
	CHECK_HAS(line_with(run->out, "no such"), "\"removed\":false");
	run = run_stoa("rm", "-f", "--json", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "\"removed\":false");
}

TEST(stat_tells_threads_and_processes)
{
	char text[64];
	const char *name = made("stat");
	struct stoa_segment *segment;
	const struct run *run;

	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), STOA_OWNED), 0);
	run = run_stoa("stat", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, "reserve "), "1GiB (1073741824 bytes)");
	CHECK_HAS(line_with(run->out, "roster "), "1 thread takes part");
	snprintf(text, sizeof(text), "thread %d", (int)gettid());
	CHECK_HAS(run->out, text);
	snprintf(text, sizeof(text), "%d test_tool", (int)getpid());
	CHECK_HAS(line_with(run->out, "used by"), text);
	run = run_stoa("stat", "--json", name, name, NULL);
	check_json(run->out);
	CHECK_HAS(run->out, "\"roster_slots\":1023");
	CHECK_RC(stoa_mutex_unlock(segment, stoa_segment_address(segment)), 0);
	stoa_segment_close(segment);
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
}

TEST(a_segment_from_birth_to_removal)
{
	const char *name = made("life");
	const struct run *run = run_stoa("create", name, "--reserve", "1GiB", NULL);

	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, name);
	run = run_stoa("ls", NULL);
	CHECK_HAS(line_with(run->out, name), "1GiB");
	CHECK_HAS(line_with(run->out, name), "1MiB");
	CHECK_HAS(line_with(run->out, name), "unused");
	CHECK_HAS(line_with(run->out, name), "persistent");
	CHECK_EQ(run_stoa("commit", name, "3MiB", NULL)->status, 0);
	CHECK_EQ(run_stoa("commit", name, "1MiB", NULL)->status, 0); /* changes nothing */
	run = run_stoa("ls", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, name), "\"committed\":3145728");
	CHECK_EQ(run_stoa("commit", name, "2GiB", NULL)->status, 1); /* beyond the reserve */
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
	CHECK_EQ(line_with(run_stoa("ls", NULL)->out, name), NULL);
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 1);
	CHECK_EQ(run_stoa("rm", "--force", name, NULL)->status, 0);
	CHECK_EQ(run_stoa("stat", name, NULL)->status, 1);
}

TEST(stat_tells_when_it_was_made_where_that_is_known)
{
	const char *name = made("born");
	char expected[64] = "\"made\":null,";
	struct statx status;
	int file = open_object(name);

	CHECK_SYS(statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &status));
	if (status.stx_mask & STATX_BTIME)
		snprintf(expected, sizeof(expected), "\"made\":%lld,", (long long)status.stx_btime.tv_sec);
	CHECK_HAS(run_stoa("stat", name, "--json", NULL)->out, expected);
	CHECK_SYS(close(file));
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
}

/* What is drawn is what is there: pages touched, backed but not touched, and given back. */
TEST(map_draws_the_pages)
{
	const char *name = test_name("map");
	struct stoa_segment_options options = {.flags = STOA_PERSISTENT};
	struct stoa_segment *segment;
	const struct run *run;

	CHECK_RC(stoa_segment_create(name, 64 << 20, &options, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, 1 << 20), 0);
	CHECK_RC(stoa_segment_commit(segment, 2 << 20), 0);
	memset(stoa_segment_address(segment), 1, 2 << 20);
	CHECK_RC(stoa_segment_discard(segment, 512 << 10, 512 << 10), 0);
	run = run_stoa("map", name, "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, "\"part\":\"data\",\"offset\":0,\"length\":524288,");
	CHECK_HAS(line_with(run->out, "\"part\":\"data\",\"offset\":0,"), "\"state\":\"resident\",\"backed\":524288");
	CHECK_HAS(run->out, "\"part\":\"data\",\"offset\":524288,\"length\":524288,");
	if (!strstr(run->out, "\"state\":\"untouched\""))
		CHECK_HAS(line_with(run->out, "\"part\":\"data\",\"offset\":524288,"),
			  "\"state\":\"hole\",\"backed\":0");
	CHECK_HAS(run->out, "\"part\":\"data\",\"offset\":1048576,\"length\":1048576,");
	CHECK_HAS(run->out, "\"part\":\"reserve\",\"offset\":2097152,\"length\":65011712,");
	run = run_stoa("map", name, NULL);
	CHECK_EQ(run->status, 0);
	/* 2 MiB in 8 lines of 32 cells of 8 KiB: the first two lines are there, the next two not. */
	CHECK_HAS(run->out, "data            0 ################################\n");
	CHECK_HAS(run->out, "256KiB ################################\n");
	CHECK_LACKS(line_with(run->out, "512KiB"), "#");
	CHECK_LACKS(line_with(run->out, "768KiB"), "#");
	CHECK_HAS(run->out, "1MiB ################################\n");
	CHECK_EQ(run_stoa("map", name, "--lines", "0", NULL)->status, 2);
	stoa_segment_close(segment);
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
}

#define COLLAPSE 25 /* MADV_COLLAPSE, Linux 6.1 */

TEST(map_knows_huge_pages)
{
	const char *name = test_name("huge");
	struct stoa_segment_options options = {.flags = STOA_PERSISTENT, .commit = 6 << 20};
	struct stoa_segment *segment;
	const struct run *run;
	char *second;
	bool told;

	CHECK_RC(stoa_segment_create(name, 64 << 20, &options, &segment), 0);
	memset(stoa_segment_address(segment), 1, 6 << 20);
	second = (char *)stoa_segment_address(segment) + (2 << 20);
	if (madvise(second, 2 << 20, COLLAPSE) != 0) {
		int error = errno;

		stoa_segment_close(segment);
		run_stoa("rm", name, NULL);
		SKIP("no huge page can be made: %s", strerror(error));
	}
	told = strstr(run_stoa("map", name, NULL)->out, "are not told apart") == NULL;
	run = run_stoa("map", "--json", name, NULL);
	if (told)
		CHECK_HAS(line_with(run->out, "\"part\":\"data\",\"offset\":2097152,\"length\":2097152,"),
			  "\"state\":\"huge\"");
	stoa_segment_close(segment);
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
	if (!told)
		SKIP("this kernel does not tell huge pages");
}

/* As another user, who may only read: 0, 1 for what is wrong, 77 when the build is out of that user's reach. */
static void look_as_another(void *argument)
{
	const struct run *run;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(1);
	run = run_stoa("ls", "--global", NULL);
	if (run->status == 127)
		_exit(77);
	CHECK_HAS(line_with(run->out, argument), "world-readable");
	/* The kernel would call every page present: better no picture than a wrong one. */
	run = run_stoa("map", "--global", argument, NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "only those who may write it");
	CHECK_EQ(run_stoa("stat", "--global", argument, NULL)->status, 0);
	CHECK_EQ(run_stoa("check", "--global", argument, NULL)->status, 0);
	CHECK_EQ(run_stoa("commit", "--global", argument, "1MiB", NULL)->status, 1);
	run = run_stoa("rm", "--global", argument, NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "root");
	_exit(0);
}

TEST(anothers_segment_is_looked_at_unchanged)
{
	char name[256];
	struct stoa_segment *segment;
	struct stoa_segment_options options = {.flags = STOA_GLOBAL};
	struct stoa_segment_stat before;
	struct stoa_segment_stat after;
	int status;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	snprintf(name, sizeof(name), "%s", test_name("shared"));
	CHECK_EQ(run_stoa("create", name, "--reserve", "64MiB", "--commit", "8KiB", "--world-readable", NULL)->status,
		 0);
	CHECK_RC(stoa_segment_open(name, &options, &segment), 0);
	CHECK_RC(stoa_segment_stat(segment, &before), 0);
	status = test_join(test_role(look_as_another, name));
	CHECK_RC(stoa_segment_stat(segment, &after), 0);
	stoa_segment_close(segment);
	CHECK_EQ(run_stoa("rm", "--global", name, NULL)->status, 0);
	if (status == 77)
		SKIP("another user cannot reach %s", STOA_TOOL);
	CHECK_EQ(status, 0);
	CHECK_EQ(before.resident, after.resident);
	CHECK_EQ(before.committed, after.committed);
}

/* ---- check ---- */

#define DATA_OFFSET (4 << 20) /* of a segment with 1023 slots */

TEST(check_finds_a_wrong_length)
{
	const char *name = made("length");
	int file = open_object(name);

	CHECK_SYS(ftruncate(file, DATA_OFFSET + 5000));
	CHECK_HAS(run_stoa("check", name, NULL)->out, "are not whole pages");
	CHECK_SYS(ftruncate(file, DATA_OFFSET + (UINT64_C(1) << 31)));
	CHECK_HAS(run_stoa("check", name, NULL)->out, "are more than the reserve");
	CHECK_SYS(ftruncate(file, 8192));
	CHECK_HAS(run_stoa("check", name, NULL)->out, "before its data");
	CHECK_EQ(run_stoa("map", name, NULL)->status, 0);
	CHECK_SYS(ftruncate(file, 10));
	CHECK_EQ(run_stoa("check", name, NULL)->status, 3);
	CHECK_EQ(run_stoa("map", name, NULL)->status, 0);
	CHECK_SYS(ftruncate(file, 0));
	CHECK_EQ(run_stoa("map", name, NULL)->status, 0);
	CHECK_SYS(close(file));
	CHECK_EQ(run_stoa("rm", name, NULL)->status, 0);
}

/* ---- leftovers ---- */

static void hold_for_ever(void *argument)
{
	struct stoa_segment_options options = {.commit = 1 << 20};
	struct stoa_segment *segment;
	_Atomic uint32_t *ready = argument;

	CHECK_RC(stoa_segment_create(test_name("left"), 1 << 30, &options, &segment), 0);
	atomic_store(ready, 1);
	for (;;)
		pause();
}

TEST(gc_removes_what_kill_left)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	pid_t role = test_role(hold_for_ever, ready);
	const struct run *run;
	char name[256];

	snprintf(name, sizeof(name), "%s", test_name("left"));
	test_await(ready, 1);
	run = run_stoa("ls", NULL);
	CHECK_HAS(line_with(run->out, name), " used ");
	CHECK_EQ(run_stoa("gc", NULL)->status, 0);
	CHECK(line_with(run_stoa("ls", NULL)->out, name) != NULL); /* in use: kept */
	test_kill(role);
	run = run_stoa("ls", NULL);
	CHECK_HAS(line_with(run->out, name), " leftover ");
	CHECK_HAS(line_with(run_stoa("ls", NULL)->out, name), " leftover "); /* looking did not remove it */
	CHECK_HAS(line_with(run_stoa("ls", "--json", NULL)->out, name), "\"state\":\"leftover\"");
	CHECK_HAS(line_with(run_stoa("ls", "--json", NULL)->out, name),
		  "\"reserve\":1073741824,\"committed\":1048576,");
	/* Nor does any other look. */
	CHECK_HAS(run_stoa("stat", name, NULL)->out, "its users are dead; 'stoa gc' removes it");
	CHECK_HAS(run_stoa("stat", name, "--json", NULL)->out, "\"leftover\":true");
	CHECK_HAS(run_stoa("check", name, NULL)->out, "its users are dead");
	CHECK_EQ(run_stoa("map", name, NULL)->status, 0);
	CHECK_HAS(line_with(run_stoa("ls", NULL)->out, name), " leftover ");
	run = run_stoa("gc", "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_EQ(line_with(run_stoa("ls", NULL)->out, name), NULL);
}

/* Ctrl-C, or a kill, ends `create --hold` as the end of its input does: nothing is left. */
TEST(a_held_segment_goes_with_ctrl_c)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	const char *name = test_name("held");

	for (size_t i = 0; i < CC_COUNT(ends); i++) {
		int input[2];
		int output[2];
		int status;
		char line[300];
		pid_t pid;

		CHECK_SYS(pipe2(input, O_CLOEXEC));
		CHECK_SYS(pipe2(output, O_CLOEXEC));
		pid = fork();
		CHECK_SYS(pid);
		if (pid == 0) {
			dup2(input[0], 0);
			dup2(output[1], 1);
			execl(STOA_TOOL, "stoa", "create", name, "--reserve", "1MiB", "--hold", "--json", (char *)NULL);
			_exit(127);
		}
		close(input[0]);
		close(output[1]);
		CHECK_INT(read(output[0], line, sizeof(line)), >, 0); /* it is there */
		CHECK_HAS(line_with(run_stoa("ls", NULL)->out, name), " used ");
		CHECK_SYS(kill(pid, ends[i]));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == ends[i]);
		CHECK_EQ(line_with(run_stoa("ls", NULL)->out, name), NULL);
		close(input[1]);
		close(output[0]);
	}
}

/* What lies in the directory and is none of ours. */
TEST(ls_stands_foreign_files)
{
	char path[300];
	struct stoa_segment *segment;
	int file;

	/* Makes the directory. */
	CHECK_RC(stoa_segment_create(test_name("a"), 4096, NULL, &segment), 0);
	snprintf(path, sizeof(path), "/dev/shm/stoa.%u/%s.seg", (unsigned)geteuid(), test_name("foreign"));
	file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	CHECK_EQ(write(file, "hello", 5), 5);
	CHECK_SYS(close(file));
	CHECK_EQ(run_stoa("ls", NULL)->status, 0);
	CHECK_INT(run_stoa("check", test_name("foreign"), NULL)->status, ==, 1);
	CHECK_SYS(unlink(path));
	CHECK_SYS(symlink("/etc/passwd", path));
	CHECK_EQ(run_stoa("ls", NULL)->status, 0);
	CHECK_EQ(run_stoa("map", test_name("foreign"), NULL)->status, 1);
	CHECK_EQ(run_stoa("stat", test_name("foreign"), NULL)->status, 1);
	CHECK_SYS(unlink(path));
	stoa_segment_close(segment);
}
