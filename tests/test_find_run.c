/* SPDX-License-Identifier: MIT */
/*
 * `stoa find` as users run it, beside find(1): the same entries on odd trees, the same complaints, and still the same when its
 * processes are killed or stopped at random moments.
 */
#include <harness/test.h>

#include "tool/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

/* ---- running programs with their output in files ---- */

static const char *file_path(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", test_dir(), name);
	return path;
}

static void become(const char *program, char *const *arguments, const char *out, const char *err)
{
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
	dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
	execvp(program, arguments);
	_exit(127);
}

/* `arguments` end with NULL; what it says goes to the files NAME.out and NAME.err. */
static pid_t launch(const char *name, const char *program, const char *const *arguments)
{
	char out[PATH_MAX];
	char err[PATH_MAX];
	pid_t pid;

	snprintf(out, sizeof(out), "%s/%s.out", test_dir(), name);
	snprintf(err, sizeof(err), "%s/%s.err", test_dir(), name);
	pid = fork();
	CHECK_SYS(pid);
	if (pid == 0)
		become(program, (char *const *)(uintptr_t)arguments, out, err);
	return pid;
}

static int await_end(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define STOA_FIND(name, ...) launch(name, STOA_TOOL, ARGUMENTS("stoa", "find", __VA_ARGS__))
#define GNU_FIND(name, ...) launch(name, "find", ARGUMENTS("find", __VA_ARGS__))

struct text {
	char *bytes;
	size_t length;
};

/* Texts that a test does not free are still known here at its end: no leaks to a sanitizer. */
struct block {
	struct block *next;
	struct block **place; /* what points here */
	char bytes[];
};
static struct block *blocks;

static struct text new_text(size_t size)
{
	struct block *block = malloc(sizeof(*block) + size + 1);

	CHECK(block != NULL);
	block->next = blocks;
	block->place = &blocks;
	if (blocks)
		blocks->place = &block->next;
	blocks = block;
	return (struct text){block->bytes, 0};
}

static void free_text(struct text text)
{
	struct block *block = cc_container_of(text.bytes, struct block, bytes);

	*block->place = block->next;
	if (block->next)
		block->next->place = block->place;
	free(block);
}

static struct text read_file(const char *path)
{
	struct text text;
	struct stat status;
	int file = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_SYS(file);
	CHECK_SYS(fstat(file, &status));
	text = new_text((size_t)status.st_size);
	while (text.length < (size_t)status.st_size) {
		ssize_t got = read(file, text.bytes + text.length, (size_t)status.st_size - text.length);

		CHECK_INT(got, >, 0);
		text.length += (size_t)got;
	}
	text.bytes[text.length] = 0;
	close(file);
	return text;
}

static char record_end;

static int compare_records(const void *a, const void *b)
{
	const char *left = *(char *const *)a;
	const char *right = *(char *const *)b;
	const char *left_end = strchr(left, record_end);
	const char *right_end = strchr(right, record_end);
	size_t left_length = (size_t)(left_end - left);
	size_t right_length = (size_t)(right_end - right);
	int order = memcmp(left, right, left_length < right_length ? left_length : right_length);

	return order ? order : (left_length > right_length) - (left_length < right_length);
}

/* What sort(1) would make of it; `end` is 0 or a newline. */
static struct text sorted(struct text text, char end)
{
	struct text result = new_text(text.length);
	size_t count = 0;
	char **records;

	for (size_t i = 0; i < text.length; i++)
		count += text.bytes[i] == end;
	records = malloc((count + 1) * sizeof(*records));
	CHECK(records != NULL);
	count = 0;
	for (size_t i = 0; i < text.length; i++)
		if (i == 0 || text.bytes[i - 1] == end)
			records[count++] = text.bytes + i;
	record_end = end;
	qsort(records, count, sizeof(*records), compare_records);
	for (size_t i = 0; i < count; i++) {
		size_t length = (size_t)(strchr(records[i], end) - records[i]) + 1;

		memcpy(result.bytes + result.length, records[i], length);
		result.length += length;
	}
	free(records);
	free_text(text);
	return result;
}

static void check_same(const char *what, struct text a, struct text b)
{
	size_t at = 0;

	while (at < a.length && at < b.length && a.bytes[at] == b.bytes[at])
		at++;
	if (a.length != b.length || at != a.length)
		test_fail(__FILE__, __LINE__, "%s: %zu and %zu bytes, different at %zu: '%.80s' and '%.80s'", what,
			  a.length, b.length, at, a.bytes + (at < 40 ? 0 : at - 40), b.bytes + (at < 40 ? 0 : at - 40));
	free_text(a);
	free_text(b);
}

static struct text wanted(const char *dir)
{
	int status = await_end(GNU_FIND("gnu", dir, "-print0"));

	if (status == 127)
		SKIP("find(1) is not installed");
	CHECK_EQ(status, 0);
	return sorted(read_file(file_path("gnu.out")), 0);
}

static struct text copy_of(struct text text)
{
	struct text copy = new_text(text.length);

	copy.length = text.length;
	memcpy(copy.bytes, text.bytes, text.length);
	copy.bytes[copy.length] = 0;
	return copy;
}

/* ---- trees ---- */

static const char *tree_path(void)
{
	return file_path("tree");
}

static void make_dir(const char *format, ...)
{
	char path[PATH_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(path, sizeof(path), format, list);
	va_end(list);
	CHECK_SYS(mkdir(path, 0755));
}

static void make_file(const char *format, ...)
{
	char path[PATH_MAX];
	va_list list;
	int file;

	va_start(list, format);
	vsnprintf(path, sizeof(path), format, list);
	va_end(list);
	file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	CHECK_SYS(file);
	close(file);
}

static void make_odd_names(const char *tree)
{
	static const char *const names[] = {"plain",       "new\nline", "\xff\xfe", "\xc3\xbc",   " space ",
					    "-dash",       "tab\t",     "*",        "quo'te\"",   "\xed\xa0\x80",
					    "back\\slash", ".hidden",   "...",      "esc\x1b[31m"};

	for (size_t i = 0; i < CC_COUNT(names); i++) {
		make_dir("%s/%s", tree, names[i]);
		make_dir("%s/%s/empty", tree, names[i]);
		make_file("%s/%s/%s", tree, names[i], names[i]);
		for (size_t k = 0; k < CC_COUNT(names); k++)
			make_dir("%s/%s/empty/%s", tree, names[i], names[k]);
	}
}

static void make_other_kinds(const char *tree)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/pipe", tree);
	CHECK_SYS(mkfifo(path, 0600));
	snprintf(path, sizeof(path), "%s/socket", tree);
	CHECK_SYS(mknod(path, S_IFSOCK | 0600, 0));
	snprintf(path, sizeof(path), "%s/dangling", tree);
	CHECK_SYS(symlink("nowhere", path));
	snprintf(path, sizeof(path), "%s/to-plain", tree);
	CHECK_SYS(symlink("plain", path));
	snprintf(path, sizeof(path), "%s/loop", tree);
	CHECK_SYS(symlink(".", path));
	snprintf(path, sizeof(path), "%s/other-name", tree);
	CHECK_SYS(link(file_path("tree/plain/plain"), path));
	snprintf(path, sizeof(path), "%s/sized", tree);
	CHECK_SYS(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)));
	CHECK_SYS(truncate(path, 123456));
}

/* A chain of long names, its path several times longer than PATH_MAX. */
static void make_deep(const char *tree)
{
	char name[201];
	int at = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(name, 'n', 200);
	name[200] = 0;
	for (unsigned i = 0; i < 80; i++) {
		int next;

		CHECK_SYS(mkdirat(at, name, 0755));
		CHECK_SYS(mkdirat(at, "beside", 0755));
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK_SYS(next);
		close(at);
		at = next;
	}
	close(at);
}

/* Directories below random others, with a few files each. */
static void make_random(const char *tree, unsigned count, uint64_t *random)
{
	char(*dirs)[256] = malloc((count + 1) * sizeof(*dirs));
	unsigned made = 1;

	CHECK(dirs != NULL);
	snprintf(dirs[0], sizeof(dirs[0]), "%s", tree);
	while (made < count) {
		char parent[256];

		snprintf(parent, sizeof(parent), "%s", dirs[test_random(random) % made]);
		if (strlen(parent) > 200)
			continue;
		snprintf(dirs[made], sizeof(dirs[made]), "%.230s/d%u", parent, made);
		make_dir("%s", dirs[made]);
		for (uint64_t k = test_random(random) % 8; k > 0; k--)
			make_file("%s/file-%u", dirs[made], (unsigned)k);
		made++;
	}
	free(dirs);
}

static void make_wide(const char *tree, unsigned count)
{
	make_dir("%s/wide", tree);
	for (unsigned i = 0; i < count; i++)
		make_file("%s/wide/%06u a name that fills the batches", tree, i);
}

/* Orphans come to this process. They end by themselves, or the time limit finds them. */
static unsigned await_orphans(void)
{
	unsigned count = 0;

	while (waitpid(-1, NULL, 0) > 0)
		count++;
	CHECK_EQ(errno, ECHILD);
	return count;
}

/* The harness removes what path names reach; this takes deeper ones and unreadable ones too. */
static void remove_tree(void)
{
	CHECK_EQ(await_end(launch("rm", "rm", ARGUMENTS("rm", "-rf", tree_path()))), 0);
}

static void sleep_for(uint64_t nanoseconds)
{
	struct timespec time = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};

	nanosleep(&time, NULL);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* A child may also be one that a sanitizer started. */
static bool is_server(int pid)
{
	char path[64];
	char line[512] = "";
	bool found = false;
	FILE *file;
	size_t length;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	file = fopen(path, "re");
	length = file ? fread(line, 1, sizeof(line), file) : 0;
	for (size_t at = 0; at + 9 <= length; at++)
		found |= memcmp(line + at, "--server", 9) == 0;
	if (file)
		fclose(file);
	return found;
}

/* The server processes of client `pid`. */
static unsigned servers_of(pid_t pid, pid_t *ret_servers, unsigned max)
{
	char path[64];
	FILE *file;
	unsigned count = 0;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	while (file && count < max && fscanf(file, "%d", &child) == 1)
		if (is_server(child))
			ret_servers[count++] = (pid_t)child;
	if (file)
		fclose(file);
	return count;
}

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

TEST(misuse_is_explained)
{
	CHECK_HAS(run_stoa("find", "--type", "q", NULL)->err, "--type knows no 'q'");
	CHECK_EQ(run_stoa("find", "--type", "", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "big", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--size", "-0", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--jobs", "65", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--patience", "1ms", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "/", "/", NULL)->status, 2);
	CHECK_EQ(run_stoa("find", "--server", NULL)->status, 2);
	CHECK_INT(run_stoa("find", "--server", "nonsense", "0", "1", NULL)->status, !=, 0);
}

/* ---- death and stopping ---- */

static unsigned rounds(void)
{
	return test_rounds(50, 1000);
}

static void make_middling_tree(uint64_t *random)
{
	make_dir("%s", tree_path());
	make_random(tree_path(), 1200, random);
	make_wide(tree_path(), 6000);
}

/* How long a search of the tree takes, to spread the moments of death over. */
static uint64_t typical_time(void)
{
	uint64_t start = now();

	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--jobs", "3")), 0);
	return now() - start;
}

static unsigned count_words(const char *text, const char *word)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
		count++;
	return count;
}

/* One search, in which `victims` servers (0: all) are killed at random moments. Returns how many it noticed. */
static unsigned search_with_deaths(struct text want, uint64_t time, unsigned victims, uint64_t *random)
{
	pid_t client = STOA_FIND("a", tree_path(), "-0", "--jobs", "3");
	struct text errors;
	unsigned noticed;
	int status;

	for (unsigned i = 0; i < (victims ? victims : 1); i++) {
		pid_t servers[8];
		unsigned count;

		sleep_for(test_random(random) % time);
		count = servers_of(client, servers, 8);
		for (unsigned k = 0; !victims && k < count; k++)
			kill(servers[k], SIGKILL);
		if (victims && count)
			kill(servers[test_random(random) % count], SIGKILL);
	}
	status = await_end(client);
	errors = read_file(file_path("a.err"));
	if (status != 0)
		test_fail(__FILE__, __LINE__, "status %d: %.800s", status, errors.bytes);
	check_same("after deaths", sorted(read_file(file_path("a.out")), 0), copy_of(want));
	noticed = count_words(errors.bytes, "was ended by a signal");
	free_text(errors);
	return noticed;
}

TEST_TIMEOUT(killed_servers_lose_and_double_nothing, 120)
{
	uint64_t random = test_seed();
	unsigned noticed = 0;
	struct text want;
	uint64_t time;

	make_middling_tree(&random);
	want = wanted(tree_path());
	time = typical_time();
	for (unsigned i = 0; i < rounds(); i++)
		noticed += search_with_deaths(want, time, 1 + (unsigned)(test_random(&random) % 3), &random);
	await_orphans(); /* children of killed servers, where a sanitizer makes some */
	test_note("%u servers killed in %u searches", noticed, rounds());
	CHECK_INT(noticed, >=, rounds() / 10);
}

TEST_TIMEOUT(all_servers_killed_at_once_are_replaced, 120)
{
	uint64_t random = test_seed();
	unsigned noticed = 0;
	struct text want;
	uint64_t time;

	make_middling_tree(&random);
	want = wanted(tree_path());
	time = typical_time();
	for (unsigned i = 0; i < rounds() / 2; i++)
		noticed += search_with_deaths(want, time, 0, &random);
	await_orphans();
	CHECK_INT(noticed, >=, 3);
}

/* Kill whatever server there is, until the client ends. */
static int search_without_mercy(void)
{
	pid_t client = STOA_FIND("a", tree_path(), "-0", "--jobs", "2");
	int status;

	while (waitpid(client, &status, WNOHANG) == 0) {
		pid_t servers[8];
		unsigned count = servers_of(client, servers, 8);

		for (unsigned i = 0; i < count; i++)
			kill(servers[i], SIGKILL);
	}
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/*
 * One directory that takes longer than its servers live: the client gives up, says why, and leaves nobody behind. Should the machine
 * be so busy that a server gets through all the same, then everything is there.
 */
TEST_TIMEOUT(a_client_gives_up_when_no_server_lives, 60)
{
	unsigned given_up = 0;
	struct text want;

	make_dir("%s", tree_path());
	make_wide(tree_path(), 40000);
	want = wanted(tree_path());
	for (unsigned i = 0; i < 20 && !given_up; i++) {
		if (search_without_mercy() == 0) {
			check_same("lucky", sorted(read_file(file_path("a.out")), 0), copy_of(want));
			continue;
		}
		given_up++;
		CHECK_HAS(read_file(file_path("a.err")).bytes,
			  "16 servers in a row ended without finishing a single directory");
	}
	await_orphans();
	CHECK_INT(given_up, >, 0);
}

TEST_TIMEOUT(killed_clients_take_their_servers_along, 120)
{
	static const int signals[] = {SIGKILL, SIGKILL, SIGINT, SIGTERM};
	uint64_t random = test_seed();
	unsigned orphans = 0;
	pid_t client = 0;
	char user[32];
	uint64_t time;

	make_middling_tree(&random);
	time = typical_time();
	for (unsigned i = 0; i < rounds(); i++) {
		client = STOA_FIND("a", tree_path(), "-0", "--jobs", "3");

		sleep_for(test_random(&random) % time);
		kill(client, signals[test_random(&random) % CC_COUNT(signals)]);
		await_end(client);
		orphans += await_orphans();
	}
	test_note("%u servers were orphaned", orphans);
	CHECK_INT(orphans, >=, rounds() / 2);
	/* No memory of the last one is left, with a name or without. */
	snprintf(user, sizeof(user), " %d stoa", (int)client);
	CHECK_EQ(await_end(launch("a", STOA_TOOL, ARGUMENTS("stoa", "ls", "--all"))), 0);
	CHECK_LACKS(read_file(file_path("a.out")).bytes, user);
}

/* Until the process is a zombie, with no memory of its own any more; or gone. */
static void await_zombie(pid_t pid)
{
	char path[64];
	char line[256] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (!strstr(line, ") Z ")) {
		FILE *file = fopen(path, "re");

		if (!file)
			return;
		CHECK(fgets(line, sizeof(line), file) != NULL);
		fclose(file);
		sleep_for(1000000);
	}
}

static struct text read_to_end(int pipe)
{
	struct text text = new_text(1 << 22);
	ssize_t got;

	CHECK_SYS(fcntl(pipe, F_SETFL, 0));
	while ((got = read(pipe, text.bytes + text.length, (1 << 22) - text.length)) > 0)
		text.length += (size_t)got;
	CHECK_EQ(got, 0);
	text.bytes[text.length] = 0;
	close(pipe);
	return text;
}

/* Its output goes to a pipe that nobody reads, so that it cannot have finished when it is stopped. */
TEST_TIMEOUT(servers_leave_a_stuck_client_and_come_back, 60)
{
	uint64_t random = test_seed();
	struct text want;
	pid_t client;
	pid_t servers[8];
	unsigned count;
	int pipe;

	make_middling_tree(&random);
	want = wanted(tree_path());
	CHECK_SYS(mkfifo(file_path("a.out"), 0600));
	pipe = open(file_path("a.out"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK_SYS(pipe);
	client = STOA_FIND("a", tree_path(), "-0", "--jobs", "3", "--patience", "500ms", "--stats");
	while (servers_of(client, servers, 8) == 0)
		sleep_for(100000);
	kill(client, SIGSTOP);
	count = servers_of(client, servers, 8);
	for (unsigned i = 0; i < count; i++)
		await_zombie(servers[i]);
	CHECK_INT(count, >, 0);
	kill(client, SIGCONT);
	check_same("after a stop", sorted(read_to_end(pipe), 0), want);
	CHECK_EQ(await_end(client), 0);
	CHECK_HAS(read_file(file_path("a.err")).bytes, "left while the client was stuck");
}

TEST_TIMEOUT(a_reader_that_goes_away_ends_all, 60)
{
	uint64_t random = test_seed();
	char command[3 * PATH_MAX];

	make_middling_tree(&random);
	snprintf(command, sizeof(command), "%s find %s | head -n 1 >%s", STOA_TOOL, tree_path(), file_path("head"));
	CHECK_EQ(system(command), 0);
	CHECK_STR(strtok(read_file(file_path("head")).bytes, "\n"), tree_path());
	await_orphans();
	if (access("/dev/full", W_OK) == 0) {
		snprintf(command, sizeof(command), "%s find %s >/dev/full 2>%s", STOA_TOOL, tree_path(),
			 file_path("full"));
		CHECK_EQ(WEXITSTATUS(system(command)), 1);
		CHECK_HAS(read_file(file_path("full")).bytes, "cannot write the output: No space left on device");
	}
}

/* A reader slower than the servers' patience: they leave and come back, and the list is whole. */
TEST_TIMEOUT(a_slow_reader_gets_everything, 60)
{
	uint64_t random = test_seed();
	char command[3 * PATH_MAX];
	struct text want;

	make_middling_tree(&random);
	want = wanted(tree_path());
	snprintf(command, sizeof(command), "%s find %s -0 --patience 100ms | { sleep 0.5; cat; } >%s", STOA_TOOL,
		 tree_path(), file_path("slow"));
	CHECK_EQ(system(command), 0);
	check_same("slow", sorted(read_file(file_path("slow")), 0), want);
	await_orphans();
}

/* What a shell may leave us: no standard descriptors, or few addresses. */
TEST(poor_surroundings_do)
{
	char command[3 * PATH_MAX];
	struct text want;

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	want = wanted(tree_path());
	snprintf(command, sizeof(command), "%s find %s -0 --sort <&- 2>&- >%s", STOA_TOOL, tree_path(),
		 file_path("poor"));
	CHECK_EQ(system(command), 0);
	check_same("closed", read_file(file_path("poor")), copy_of(want));
	snprintf(command, sizeof(command), "%s find %s >&- 2>%s", STOA_TOOL, tree_path(), file_path("poor"));
	CHECK_EQ(WEXITSTATUS(system(command)), 1);
	CHECK_HAS(read_file(file_path("poor")).bytes, "cannot write the output: Bad file descriptor");
	if (sizeof(STOA_SANITIZED) > 1)
		return; /* which reserve more than that for themselves */
	snprintf(command, sizeof(command), "ulimit -v 3000000; %s find %s -0 --sort >%s", STOA_TOOL, tree_path(),
		 file_path("poor"));
	CHECK_EQ(system(command), 0);
	check_same("few addresses", read_file(file_path("poor")), want);
}

static void search_without_processes(void *unused)
{
	const struct rlimit none = {0, 0};

	(void)unused;
	if (geteuid() == 0)
		CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	CHECK_SYS(setrlimit(RLIMIT_NPROC, &none));
	/* This very process becomes the client, as it cannot have children any more. */
	become(STOA_TOOL, (char *const *)(uintptr_t)ARGUMENTS("stoa", "find", "/usr"), file_path("a.out"),
	       file_path("a.err"));
}

TEST(a_server_that_cannot_start_is_an_error)
{
	CHECK_SYS(chmod(test_dir(), 0777));
	CHECK_EQ(test_join(test_role(search_without_processes, NULL)), 1);
	CHECK_HAS(read_file(file_path("a.err")).bytes, "cannot start server 1 of");
}

TEST(a_killed_server_on_demand_is_summed_up)
{
	const struct run *run;
	uint64_t random = test_seed();

	make_middling_tree(&random);
	run = run_stoa("find", tree_path(), "--type", "d", "--stats", "--kill-server-at", "300", "--jobs", "2", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_EQ(count_words(run->out, "\n"), 1201);
	CHECK_HAS(run->err, "killed       1 server, the last was process");
	CHECK_HAS(run->err, "memory       16GiB reserved, ");
	CHECK_HAS(run->err, "processes    1 client and 2 servers");
}
