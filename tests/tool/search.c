/* SPDX-License-Identifier: MIT */
/* Trees, searches and comparisons for the tests of `stoa find`. Uses POSIX and the harness. */
#include "search.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- running programs with their output in files ---- */

const char *file_path(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", test_dir(), name);
	return path;
}

void search_become(const char *program, char *const *arguments, const char *out, const char *err)
{
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
	dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
	execvp(program, arguments);
	_exit(127);
}

/* `arguments` end with NULL; what it says goes to the files NAME.out and NAME.err. */
pid_t launch(const char *name, const char *program, const char *const *arguments)
{
	char out[PATH_MAX];
	char err[PATH_MAX];
	pid_t pid;

	snprintf(out, sizeof(out), "%s/%s.out", test_dir(), name);
	snprintf(err, sizeof(err), "%s/%s.err", test_dir(), name);
	pid = fork();
	CHECK_SYS(pid);
	if (pid == 0)
		search_become(program, (char *const *)(uintptr_t)arguments, out, err);
	return pid;
}

int await_end(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Texts that a test does not free are still known here at its end: no leaks to a sanitizer. */
struct block {
	struct block *next;
	struct block **place; /* what points here */
	char bytes[];
};
static struct block *blocks;

struct text new_text(size_t size)
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

void free_text(struct text text)
{
	struct block *block = cc_container_of(text.bytes, struct block, bytes);

	*block->place = block->next;
	if (block->next)
		block->next->place = block->place;
	free(block);
}

struct text read_file(const char *path)
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
struct text sorted(struct text text, char end)
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

void check_same(const char *what, struct text a, struct text b)
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

struct text wanted(const char *dir)
{
	int status = await_end(GNU_FIND("gnu", dir, "-print0"));

	if (status == 127)
		SKIP("find(1) is not installed");
	CHECK_EQ(status, 0);
	return sorted(read_file(file_path("gnu.out")), 0);
}

struct text copy_of(struct text text)
{
	struct text copy = new_text(text.length);

	copy.length = text.length;
	memcpy(copy.bytes, text.bytes, text.length);
	copy.bytes[copy.length] = 0;
	return copy;
}

/* ---- trees ---- */

const char *tree_path(void)
{
	return file_path("tree");
}

void make_dir(const char *format, ...)
{
	char path[PATH_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(path, sizeof(path), format, list);
	va_end(list);
	CHECK_SYS(mkdir(path, 0755));
}

void make_file(const char *format, ...)
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

void make_odd_names(const char *tree)
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

void make_other_kinds(const char *tree)
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
void make_deep(const char *tree)
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
void make_random(const char *tree, unsigned count, uint64_t *random)
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

void make_wide(const char *tree, unsigned count)
{
	make_dir("%s/wide", tree);
	for (unsigned i = 0; i < count; i++)
		make_file("%s/wide/%06u a name that fills the batches", tree, i);
}

/* Orphans come to this process. They end by themselves, or the time limit finds them. */
unsigned await_orphans(void)
{
	unsigned count = 0;

	while (waitpid(-1, NULL, 0) > 0)
		count++;
	CHECK_EQ(errno, ECHILD);
	return count;
}

/* The harness removes what path names reach; this takes deeper ones and unreadable ones too. */
void remove_tree(void)
{
	CHECK_EQ(await_end(launch("rm", "rm", ARGUMENTS("rm", "-rf", tree_path()))), 0);
}

void make_middling_tree(uint64_t *random)
{
	make_dir("%s", tree_path());
	make_random(tree_path(), 1200, random);
	make_wide(tree_path(), 6000);
}

unsigned count_words(const char *text, const char *word)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
		count++;
	return count;
}
