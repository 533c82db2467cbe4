/* SPDX-License-Identifier: MIT */
/* `stoa find` as users run it, beside find(1): the same entries on odd trees, the same complaints. */
#include <harness/test.h>

#include "tool/run.h"
#include "tool/search.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* ---- the same entries as find(1) ---- */

TEST_TIMEOUT(odd_trees_come_out_as_from_find, 60)
{
	uint64_t random = test_seed();
	struct text want;

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	make_other_kinds(tree_path());
	make_deep(tree_path());
	make_wide(tree_path(), 20000);
	make_random(tree_path(), 500, &random);
	want = wanted(tree_path());

	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0")), 0);
	check_same("-0", sorted(read_file(file_path("a.out")), 0), copy_of(want));
	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--sort")), 0);
	check_same("--sort", read_file(file_path("a.out")), copy_of(want));
	for (unsigned jobs = 1; jobs <= 64; jobs *= 4) {
		char number[8];

		snprintf(number, sizeof(number), "%u", jobs);
		CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--jobs", number)), 0);
		check_same(number, sorted(read_file(file_path("a.out")), 0), copy_of(want));
		CHECK_EQ(read_file(file_path("a.err")).length, 0);
	}
	/* Line by line, newlines in names and all. */
	CHECK_EQ(await_end(STOA_FIND("a", tree_path())), 0);
	CHECK_EQ(await_end(GNU_FIND("gnu", tree_path())), 0);
	check_same("lines", sorted(read_file(file_path("a.out")), '\n'), sorted(read_file(file_path("gnu.out")), '\n'));
	free_text(want);
	remove_tree();
}

TEST(roots_of_every_form_come_out_as_from_find)
{
	static const char *const roots[] = {".",
					    "./",
					    "tree",
					    "tree/",
					    "tree//",
					    "./tree/../tree",
					    "tree/to-plain",
					    "tree/to-plain/",
					    "tree/dangling",
					    "tree/pipe",
					    "tree/sized",
					    "tree/loop/plain",
					    "tree/plain/empty/.hidden"};

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	make_other_kinds(tree_path());
	make_file("%s/a.out", test_dir());
	make_file("%s/a.err", test_dir());
	make_file("%s/gnu.out", test_dir());
	make_file("%s/gnu.err", test_dir());
	for (size_t i = 0; i < CC_COUNT(roots); i++) {
		CHECK_SYS(chdir(test_dir()));
		check_same(roots[i],
			   (await_end(STOA_FIND("a", roots[i], "-0", "--sort")), read_file(file_path("a.out"))),
			   wanted(roots[i]));
	}
	CHECK_SYS(chdir("/"));
	CHECK_EQ(await_end(STOA_FIND("a", "tree/nothing")), 1);
	CHECK_HAS(read_file(file_path("a.err")).bytes, "'tree/nothing': No such file or directory");
	CHECK_EQ(await_end(STOA_FIND("a", "")), 2);
}

TEST(a_directory_as_input_comes_out_as_from_find)
{
	char command[3 * PATH_MAX];

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	wanted(tree_path()); /* skips where there is no find(1) */
	snprintf(command, sizeof(command), "find /dev/stdin/ -print0 <%s >%s", tree_path(), file_path("gnu.out"));
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command), "%s find /dev/stdin/ -0 --sort <%s >%s", STOA_TOOL, tree_path(),
		 file_path("a.out"));
	CHECK_EQ(system(command), 0);
	check_same("input", read_file(file_path("a.out")), sorted(read_file(file_path("gnu.out")), 0));
}

/* In a mount namespace of its own. A loop that leads to DIR, one that leads to a directory below, and a mount that is no loop. */
static void search_loops(void *unused)
{
	(void)unused;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount(tree_path(), file_path("tree/a/to-top"), "", MS_BIND, NULL) != 0 ||
	    mount(file_path("tree/a"), file_path("tree/a/b/to-a"), "", MS_BIND, NULL) != 0 ||
	    mount(file_path("tree/a/b"), file_path("tree/other"), "", MS_BIND, NULL) != 0)
		_exit(2);
	CHECK_EQ(await_end(GNU_FIND("gnu", tree_path(), "-print0")), 1);
	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--sort")), 1);
	check_same("loops", read_file(file_path("a.out")), sorted(read_file(file_path("gnu.out")), 0));
	CHECK_EQ(count_words(read_file(file_path("gnu.err")).bytes, "File system loop detected"), 2);
	CHECK_EQ(count_words(read_file(file_path("a.err")).bytes, "File system loop detected"), 2);
	CHECK_HAS(read_file(file_path("a.err")).bytes, "tree/a/to-top': File system loop detected");
	CHECK_HAS(read_file(file_path("a.err")).bytes, "tree/a/b/to-a': File system loop detected");
}

TEST(file_system_loops_are_reported_as_by_find)
{
	int status;

	make_dir("%s", tree_path());
	make_dir("%s/a", tree_path());
	make_dir("%s/a/b", tree_path());
	make_dir("%s/a/b/to-a", tree_path());
	make_dir("%s/a/to-top", tree_path());
	make_dir("%s/other", tree_path());
	make_file("%s/a/b/file", tree_path());
	wanted(tree_path());
	status = test_join(test_role(search_loops, NULL));
	if (status == 2)
		SKIP("no mount namespace, or no bind mounts in it");
	CHECK_EQ(status, 0);
}

TEST(filters_select_as_those_of_find)
{
	static const char *const same[][2][4] = {
		{{"-name", "*e*"}, {"--name", "*e*"}},
		{{"-name", "tree"}, {"--name", "tree"}},
		{{"-name", "?"}, {"--name=?"}},
		{{"-type", "d"}, {"--type", "d"}},
		{{"-type", "l,p,s"}, {"--type", "l,p,s"}},
		{{"-size", "+123455c"}, {"--size", "+123455"}},
		{{"-size", "123456c"}, {"--size", "123456"}},
		{{"-size", "-1c"}, {"--size", "-1"}},
		{{"-type", "f", "-size", "-1c"}, {"--type", "f", "--size=-1"}},
		{{"-name", "*", "-type", "f"}, {"-n*", "-tf"}},
	};

	setenv("LC_ALL", "C.UTF-8", 1);
	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	make_other_kinds(tree_path());
	for (size_t i = 0; i < CC_COUNT(same); i++) {
		const char *gnu[8] = {"find", tree_path()};
		const char *stoa[10] = {"stoa", "find", tree_path(), "-0", "--sort"};
		unsigned k;

		for (k = 0; k < 4 && same[i][0][k]; k++)
			gnu[2 + k] = same[i][0][k];
		gnu[2 + k] = "-print0";
		for (k = 0; k < 4 && same[i][1][k]; k++)
			stoa[5 + k] = same[i][1][k];
		if (await_end(launch("gnu", "find", gnu)) == 127)
			SKIP("find(1) is not installed");
		CHECK_EQ(await_end(launch("a", STOA_TOOL, stoa)), 0);
		check_same(same[i][1][1] ? same[i][1][1] : same[i][1][0], read_file(file_path("a.out")),
			   sorted(read_file(file_path("gnu.out")), 0));
	}
}

/* Names of any length are told to their end, and so is what is wrong with them. */
TEST(long_names_are_told_with_the_reason)
{
	char root[6001];
	struct text errors;

	memset(root, 'x', 6000);
	memcpy(root + 5990, "\x1b[31mend", 8);
	root[6000] = 0;
	CHECK_EQ(await_end(STOA_FIND("a", root)), 1);
	errors = read_file(file_path("a.err"));
	CHECK_INT(errors.length, >, 6000);
	CHECK_HAS(errors.bytes, "xx\\e[31mendxx': File name too long");
	CHECK_EQ(count_words(errors.bytes, "x"), 5992);
}

/* As a user who may not read everything. */
static void search_as_nobody(void *unused)
{
	struct text errors;
	unsigned gnu_errors = 0;
	unsigned our_errors = 0;

	(void)unused;
	if (geteuid() == 0)
		CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	CHECK_EQ(await_end(GNU_FIND("gnu", tree_path(), "-print0")), 1);
	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--sort")), 1);
	check_same("unreadable", read_file(file_path("a.out")), sorted(read_file(file_path("gnu.out")), 0));
	errors = read_file(file_path("gnu.err"));
	for (char *line = strtok(errors.bytes, "\n"); line; line = strtok(NULL, "\n"))
		gnu_errors += strstr(line, "Permission denied") != NULL;
	errors = read_file(file_path("a.err"));
	CHECK_HAS(errors.bytes, "tree/nothing': Permission denied");
	CHECK_HAS(errors.bytes, "tree/listed/inside': Permission denied");
	for (char *line = strtok(errors.bytes, "\n"); line; line = strtok(NULL, "\n"))
		our_errors += strstr(line, "Permission denied") != NULL;
	CHECK_EQ(our_errors, gnu_errors);
	CHECK_EQ(our_errors, 3);
}

TEST(unreadable_directories_are_reported_as_by_find)
{
	char path[PATH_MAX];

	if (await_end(GNU_FIND("gnu", "/dev/null")) == 127)
		SKIP("find(1) is not installed");
	snprintf(path, sizeof(path), "%s", test_dir());
	CHECK_SYS(chmod(path, 0777));
	CHECK_SYS(unlink(file_path("gnu.out")));
	CHECK_SYS(unlink(file_path("gnu.err")));
	make_dir("%s", tree_path());
	make_dir("%s/nothing", tree_path());
	make_dir("%s/listed", tree_path());
	make_dir("%s/listed/inside", tree_path());
	make_file("%s/listed/file", tree_path());
	make_dir("%s/entered", tree_path());
	make_dir("%s/entered/inside", tree_path());
	CHECK_SYS(chmod(file_path("tree/nothing"), 0));
	CHECK_SYS(chmod(file_path("tree/listed"), 0444));
	CHECK_SYS(chmod(file_path("tree/entered"), 0111));
	CHECK_EQ(test_join(test_role(search_as_nobody, NULL)), 0);
	CHECK_SYS(chmod(file_path("tree/listed"), 0755));
	CHECK_SYS(chmod(file_path("tree/entered"), 0755));
}

TEST(json_has_an_object_for_each_entry)
{
	const struct run *run;

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	make_other_kinds(tree_path());
	run = run_stoa("find", tree_path(), "--json", "--name", "*s*", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "\"type\":\"socket\"");
	CHECK_HAS(run->out, "\"size\":123456");
	CHECK_HAS(line_with(run->out, "sized"), "\"links\":1");
	check_json(run->out);
	run = run_stoa("find", tree_path(), "--json", "--sort", "--name", "\xff*", NULL);
	CHECK_HAS(run->out, "\"path_hex\":\"");
	CHECK_HAS(run->out, "fffe\"");
	check_json(run->out);
	run = run_stoa("find", tree_path(), "--json", "-0", NULL);
	CHECK_EQ(run->status, 2);
}

/* What find(1) says of one file. */
struct facts {
	char path[512];
	unsigned mode;
	unsigned user;
	unsigned group;
	unsigned links;
	unsigned long long inode;
	unsigned long long size;
	long long seconds[3]; /* modified, changed, accessed */
	unsigned nanoseconds[3];
};

static bool parse_facts(const char *line, struct facts *ret_facts)
{
	struct facts *to = ret_facts;

	return sscanf(line, "%o %u %u %u %llu %llu %lld.%9u%*u %lld.%9u%*u %lld.%9u%*u %511s", &to->mode, &to->user,
		      &to->group, &to->links, &to->inode, &to->size, &to->seconds[0], &to->nanoseconds[0],
		      &to->seconds[1], &to->nanoseconds[1], &to->seconds[2], &to->nanoseconds[2], to->path) == 13;
}

static void check_facts(const char *json, const struct facts *facts)
{
	static const char *const times[] = {"modified", "changed", "accessed"};
	char part[700];
	const char *line;

	snprintf(part, sizeof(part), "\"path\":\"%s\"", facts->path);
	line = line_with(json, part);
	snprintf(part, sizeof(part), "\"size\":%llu,\"mode\":%u,\"user\":%u,\"group\":%u,\"links\":%u,\"inode\":%llu,",
		 facts->size, facts->mode, facts->user, facts->group, facts->links, facts->inode);
	CHECK_HAS(line, part);
	for (size_t i = 0; i < CC_COUNT(times); i++) {
		snprintf(part, sizeof(part), "\"%s\":%lld,\"%s_nanoseconds\":%u", times[i], facts->seconds[i], times[i],
			 facts->nanoseconds[i]);
		CHECK_HAS(line, part);
	}
}

static void make_facts(void)
{
	const struct timespec long_ago[2] = {{.tv_sec = 1, .tv_nsec = 7}, {.tv_sec = 123456789, .tv_nsec = 987654321}};
	const struct timespec far_ahead[2] = {{.tv_sec = 4000000000, .tv_nsec = 5},
					      {.tv_sec = 4100000000, .tv_nsec = 60}};

	make_dir("%s", tree_path());
	make_file("%s/old", tree_path());
	make_file("%s/new", tree_path());
	make_file("%s/anothers", tree_path());
	CHECK_SYS(link(file_path("tree/old"), file_path("tree/twice")));
	CHECK_SYS(symlink("old", file_path("tree/link")));
	CHECK_SYS(truncate(file_path("tree/new"), 5000000001));
	if (geteuid() == 0)
		CHECK_SYS(chown(file_path("tree/anothers"), 12345, 54321));
	CHECK_SYS(chmod(file_path("tree/anothers"), 06750));
	CHECK_SYS(chmod(file_path("tree/new"), 01007));
	CHECK_SYS(utimensat(AT_FDCWD, file_path("tree/old"), long_ago, 0));
	CHECK_SYS(utimensat(AT_FDCWD, file_path("tree/new"), far_ahead, 0));
}

TEST(json_tells_of_files_what_find_does)
{
	struct facts facts;
	struct text list;
	unsigned count = 0;
	int status;

	make_facts();
	/* Not of directories: reading them changes when they were read. */
	status = await_end(
		GNU_FIND("gnu", tree_path(), "!", "-type", "d", "-printf", "%m %U %G %n %i %s %T@ %C@ %A@ %p\\n"));
	if (status == 127)
		SKIP("find(1) is not installed");
	CHECK_EQ(status, 0);
	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "--json")), 0);
	list = read_file(file_path("gnu.out"));
	for (char *end, *line = list.bytes; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = 0;
		if (!parse_facts(line, &facts))
			test_fail(__FILE__, __LINE__, "find(1) says '%s'", line);
		check_facts(read_file(file_path("a.out")).bytes, &facts);
		count++;
	}
	CHECK_EQ(count, 5);
}

TEST(a_server_for_each_processor_is_the_default)
{
	cpu_set_t all;
	cpu_set_t some;
	unsigned cpus = 0;
	char part[64];

	make_dir("%s", tree_path());
	CHECK_SYS(sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&some);
	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_SET(i, &some);
		cpus++;
		if (cpus > 2 && cpus < (unsigned)CPU_COUNT(&all))
			continue; /* one, two, and all */
		CHECK_SYS(sched_setaffinity(0, sizeof(some), &some));
		snprintf(part, sizeof(part), "1 client and %u servers, ", cpus < 64 ? cpus : 64);
		CHECK_HAS(run_stoa("find", tree_path(), "--stats", NULL)->err, part);
	}
}

TEST(misuse_is_explained)
{
	CHECK_HAS(run_stoa("find", "--type", "q", NULL)->err, "--type knows no 'q'");
	CHECK_EQ(run_stoa("find", "--type", "", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "big", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "-0", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "..", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "5..3", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--jobs", "0", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--jobs", "65", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--patience", "1ms", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "/", "/", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--server", NULL)->status, 2);
	CHECK_INT(run_stoa("find", "--server", "nonsense", "0", "1", NULL)->status, !=, 0);
}
