/* SPDX-License-Identifier: MIT */
/* `stoa put`, `get`, `wait`, and ls, stat and rm with --store, beside a stoad of the test's own. */
#include <harness/test.h>

#include "tool/daemon.h"
#include "tool/job.h"
#include "tool/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stoa/stoa.h>
#include <store/exposition.h>

#define MIB ((size_t)1 << 20)

static void *pattern(size_t size, uint32_t seed)
{
	unsigned char *bytes = malloc(size + 1);

	CHECK(bytes != NULL);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)(((uint32_t)i + seed) * 2654435761u >> 17);
	return bytes;
}

static void check_output(const char *name, const void *bytes, size_t size)
{
	size_t length;
	char *got = read_output(name, &length);

	CHECK_EQ(length, size);
	CHECK(memcmp(got, bytes, size) == 0);
	free(got);
}

/* Through the standard input and output. */
static int put_input(const char *input, const char *id)
{
	return end_stoa(start_stoa(input, JOB_NOTHING, "put", id, NULL));
}

static int get_output(const char *id, const char *name)
{
	return end_stoa(start_stoa(JOB_NOTHING, job_path(name), "get", id, NULL));
}

static unsigned files_in(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	CHECK(directory != NULL);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* ---- there and back ---- */

TEST(files_of_all_sizes_and_kinds_come_back)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, 65537, 3 * MIB + 7};
	static const char *const kinds[] = {"auto", "copied", "private", "sealed"};
	struct daemon daemon;

	start_daemon(&daemon, "s", "--limit=256MiB", "-q", NULL);
	for (size_t i = 0; i < CC_COUNT(sizes); i++) {
		void *bytes = pattern(sizes[i], (uint32_t)i);
		char file[300];

		snprintf(file, sizeof(file), "%s", make_input("in", bytes, sizes[i]));
		for (size_t kind = 0; kind < CC_COUNT(kinds); kind++) {
			bool fits = sizes[i] <= 65536 || kind != 1;
			const struct run *run = run_stoa("put", "x", file, "--replace", "--kind", kinds[kind], NULL);

			CHECK_STR(run->out, "");
			if (!fits) {
				CHECK_INT(run->status, >, 0);
				continue;
			}
			CHECK_STR(run->err, "");
			CHECK_EQ(run->status, 0);
			CHECK_EQ(run_stoa("get", "x", job_path("out"), NULL)->status, 0);
			check_output("out", bytes, sizes[i]);
			CHECK_EQ(get_output("x", "out2"), 0);
			check_output("out2", bytes, sizes[i]);
		}
		free(bytes);
	}
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(large_ones_come_back_by_any_way)
{
	void *bytes = pattern(64 * MIB, 1);
	const char *file = make_input("in", bytes, 64 * MIB);
	struct daemon daemon;
	struct job *job;

	start_daemon(&daemon, "s", "--limit=512MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "file", file, NULL)->status, 0);
	CHECK_EQ(put_input(file, "input"), 0);
	job = start_stoa(JOB_PIPE, JOB_NOTHING, "put", "pipe", NULL);
	write_job(job, bytes, 64 * MIB);
	CHECK_EQ(end_stoa(job), 0);
	CHECK_STR(job_errors(job), "");
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(get_output(i == 0 ? "file" : i == 1 ? "input" : "pipe", "out"), 0);
		check_output("out", bytes, 64 * MIB);
	}
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* From where it was left, as other programs do it. */
TEST(an_input_is_taken_from_where_it_stands)
{
	struct daemon daemon;
	char command[900];

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	make_input("in", "first\nsecond\n", 13);
	snprintf(command, sizeof(command), "{ head -c 0 && read -r line && %s put rest; } <'%s'", STOA_TOOL,
		 job_path("in"));
	CHECK_EQ(system(command), 0);
	CHECK_STR(run_stoa("get", "rest", NULL)->out, "second\n");
	snprintf(command, sizeof(command), "%s put proc /proc/self/stat && %s get proc | grep -q ' (stoa) '", STOA_TOOL,
		 STOA_TOOL);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(metadata_comes_with_it)
{
	char longest[STOA_META_MAX + 2] = "";
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("in", "data", 4), "--meta", "640x480 \xc3\xa9", NULL)->status, 0);
	CHECK_STR(run_stoa("get", "x", "--meta", NULL)->out, "640x480 \xc3\xa9");
	CHECK_STR(run_stoa("get", "x", NULL)->out, "data");
	CHECK_HAS(line_with(run_stoa("stat", "--store", "x", NULL)->out, "meta"), "640x480 \xc3\xa9");
	run = run_stoa("get", "x", "--json", NULL);
	check_json(run->out);
	CHECK_STR(run->out, "{\"id\":\"x\",\"size\":4,\"meta\":\"640x480 \xc3\xa9\"}\n");
	run = run_stoa("get", "x", job_path("out"), "--json", NULL);
	CHECK_STR(run->out, "{\"id\":\"x\",\"size\":4,\"meta\":\"640x480 \xc3\xa9\"}\n");
	check_output("out", "data", 4);
	memset(longest, 'm', STOA_META_MAX + 1);
	CHECK_EQ(run_stoa("put", "y", "--meta", longest, NULL)->status, 2);
	longest[STOA_META_MAX] = 0;
	CHECK_EQ(run_stoa("put", "y", "--meta", longest, NULL)->status, 0);
	CHECK_STR(run_stoa("get", "y", "-m", NULL)->out, longest);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(another_takes_the_place_when_it_is_asked_for)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("one", "1", 1), NULL)->status, 0);
	run = run_stoa("put", "x", make_input("two", "2", 1), NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "stoa: object 'x': ");
	CHECK_HAS(run->err, "--replace");
	CHECK_STR(run_stoa("get", "x", NULL)->out, "1");
	run = run_stoa("put", "x", job_path("two"), "-r", "--json", NULL);
	CHECK_STR(run->out, "{\"id\":\"x\",\"size\":1}\n");
	CHECK_STR(run_stoa("get", "x", NULL)->out, "2");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- ids ---- */

TEST(ids_are_names_or_bytes)
{
	static const char *const words[][2] = {
		/* as they are put, as they are shown */
		{"name", "name"},
		{"two words", "two words"},
		{"\xc3\xa9", "\xc3\xa9"},
		{"0x00ff17", "0x00ff17"},
		{"0x00FF18", "0x00ff18"},
		{"0x6e616d6532", "name2"},
		{"line\nbreak", "0x6c696e650a627265616b"},
		{"\x1b[31m", "0x1b5b33316d"},
		{"\xff", "0xff"},
		{"0x307861", "0x307861"}, /* the name "0xa" */
		{"--", NULL},
	};
	struct daemon daemon;
	char text[80];

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	for (size_t i = 0; words[i][1]; i++) {
		CHECK_EQ(run_stoa("put", words[i][0], make_input("in", words[i][1], strlen(words[i][1])), NULL)->status,
			 0);
		CHECK_STR(run_stoa("get", words[i][1], NULL)->out, words[i][1]);
		snprintf(text, sizeof(text), "\n%s ", words[i][1]);
		CHECK_HAS(run_stoa("ls", "--store", NULL)->out, text);
		snprintf(text, sizeof(text), "{\"id\":\"%s\",", words[i][1]);
		CHECK_HAS(run_stoa("ls", "--store", "--json", NULL)->out, text);
		CHECK_HAS(run_stoa("stat", "--store", words[i][0], NULL)->out, words[i][1]);
		CHECK_EQ(run_stoa("wait", words[i][1], NULL)->status, 0);
	}
	for (size_t i = 0; words[i][1]; i++)
		CHECK_EQ(run_stoa("rm", "--store", words[i][1], NULL)->status, 0);
	CHECK_STR(run_stoa("ls", "--store", "--json", NULL)->out, "");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(the_longest_id)
{
	char name[STOA_ID_MAX + 2], hex[2 * STOA_ID_MAX + 5] = "0x";
	struct daemon daemon;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	memset(name, 'n', sizeof(name) - 1);
	name[STOA_ID_MAX + 1] = 0;
	CHECK_EQ(run_stoa("put", name, NULL)->status, 2);
	name[STOA_ID_MAX] = 0;
	CHECK_EQ(run_stoa("put", name, NULL)->status, 0);
	CHECK_EQ(run_stoa("get", name, NULL)->status, 0);
	CHECK_HAS(run_stoa("ls", "--store", NULL)->out, name);
	memset(hex + 2, 'a', (size_t)2 * STOA_ID_MAX + 2);
	CHECK_EQ(run_stoa("put", hex, NULL)->status, 2);
	hex[2 + 2 * STOA_ID_MAX] = 0;
	CHECK_EQ(run_stoa("put", hex, NULL)->status, 0);
	CHECK_HAS(run_stoa("stat", "--store", hex, NULL)->out, hex);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- looking ---- */

TEST(ls_and_stat_tell_all_about_objects)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	run = run_stoa("ls", "-s", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "ID");
	make_input("in", "data", 4);
	CHECK_EQ(run_stoa("put", "z", job_path("in"), "--access", "all", "--kind", "sealed", "--pinned", NULL)->status,
		 0);
	CHECK_EQ(run_stoa("put", "b", job_path("in"), "--access=user:12345", "--meta", "hello", NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "a", job_path("in"), "--access", "group:root", "--shared-delete", NULL)->status, 0);
	run = run_stoa("ls", "--store", NULL);
	CHECK_HAS(line_with(run->out, "z  "), "sealed");
	CHECK_HAS(line_with(run->out, "sealed"), "  all  ");
	CHECK_HAS(line_with(run->out, "sealed"), "pinned");
	CHECK_HAS(line_with(run->out, "user:12345"), "  5B  ");
	CHECK_HAS(line_with(run->out, "group:root"), "shared-delete");
	CHECK(strstr(run->out, "group:root") < strstr(run->out, "user:12345")); /* in the order of ids */
	run = run_stoa("ls", "--store", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, "\"id\":\"b\""), "\"size\":4,\"kind\":\"copied\"");
	CHECK_HAS(line_with(run->out, "\"id\":\"b\""), "\"access\":\"user\",\"reader\":12345,\"meta_length\":5,");
	CHECK_HAS(line_with(run->out, "\"id\":\"z\""), "\"access\":\"all\",\"reader\":null,");
	CHECK_HAS(line_with(run->out, "\"id\":\"z\""), "\"flags\":[\"pinned\"]");
	run = run_stoa("stat", "--store", "--json", "b", "z", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, "\"id\":\"b\""), "\"meta\":\"hello\",\"readable\":true");
	run = run_stoa("stat", "--store", "z", "nothing", "a", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->out, "4B (4 bytes)");
	CHECK_HAS(run->out, "group:root");
	CHECK_HAS(run->err, "stoa: object 'nothing': ");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(memory_that_a_server_handed_out_is_listed)
{
	struct stoa_allocation_options options = {.id = "ours", .id_length = 4, .flags = STOA_ALLOCATION_KEEP};
	struct stoa_allocation allocation;
	struct stoa_store *store;
	struct daemon daemon;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_manager_alloc(store, MIB, STOA_READ, &options, &allocation), 0);
	CHECK_HAS(line_with(run_stoa("ls", "--store", NULL)->out, "ours"), "1MiB  memory");
	CHECK_HAS(line_with(run_stoa("ls", "--store", NULL)->out, "ours"), "kept");
	CHECK_HAS(run_stoa("stat", "--store", "ours", NULL)->out, "memory");
	CHECK_EQ(run_stoa("get", "ours", NULL)->status, 1);
	stoa_manager_release(store, &allocation);
	stoa_store_close(store);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(stat_tells_how_full_the_store_is)
{
	struct daemon daemon;
	const struct run *run;
	char option[220];

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	run = run_stoa("stat", "--store", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, "store"), daemon.place);
	CHECK_HAS(line_with(run->out, "objects"), " 1");
	CHECK_HAS(line_with(run->out, "memory"), " of 64MiB (");
	CHECK_HAS(line_with(run->out, "so far"), "1 put, 0 deleted");
	run = run_stoa("stat", "--store", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(run->out, "\"objects\":1,");
	CHECK_HAS(run->out, "\"limit\":67108864,");
	/* Named, where the environment says nothing, or something else. */
	CHECK_SYS(setenv("STOA_STORE", "/nowhere", 1));
	snprintf(option, sizeof(option), "--store=%s", daemon.place);
	CHECK_HAS(run_stoa("stat", option, "--json", NULL)->out, "\"objects\":1,");
	CHECK_EQ(run_stoa("ls", option, NULL)->status, 0);
	CHECK_EQ(run_stoa("get", "x", option, NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "y", "--store", daemon.place, NULL)->status, 0);
	CHECK_EQ(run_stoa("wait", "x", "y", "-s", daemon.place, NULL)->status, 0);
	CHECK_EQ(run_stoa("rm", option, "x", "y", NULL)->status, 0);
	CHECK_EQ(run_stoa("ls", "--store", NULL)->status, 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(rm_removes_objects)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "y", NULL)->status, 0);
	run = run_stoa("rm", "--store", "nothing", "x", "--json", NULL);
	CHECK_EQ(run->status, 1);
	check_json(run->out);
	CHECK_STR(run->out, "{\"id\":\"nothing\",\"removed\":false}\n{\"id\":\"x\",\"removed\":true}\n");
	CHECK_HAS(run->err, "stoa: object 'nothing': ");
	run = run_stoa("rm", "-fs", "nothing", "y", NULL);
	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	CHECK_EQ(run_stoa("get", "y", NULL)->status, 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- pinning ---- */

/* More than the store holds, so that what may go goes. */
static void fill_store(const char *prefix)
{
	const char *file;
	void *bytes = pattern(MIB, 7);
	char id[40];

	file = make_input("fill", bytes, MIB);
	free(bytes);
	for (int i = 0; i < 40; i++) {
		snprintf(id, sizeof(id), "%s%d", prefix, i);
		CHECK_EQ(run_stoa("put", id, file, NULL)->status, 0);
	}
}

TEST(what_is_pinned_stays_and_what_is_unpinned_goes)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=24MiB", "--objects=1000", "--clients=8", "--evict", "-q", NULL);
	make_input("in", "data", 4);
	CHECK_EQ(run_stoa("put", "kept", job_path("in"), NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "two words", job_path("in"), NULL)->status, 0);
	run = run_stoa("pin", "kept", "two words", NULL);
	CHECK_STR(run->err, "");
	CHECK_STR(run->out, "");
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run_stoa("ls", "--store", NULL)->out, "kept"), "pinned");
	fill_store("a");
	CHECK_STR(run_stoa("get", "kept", NULL)->out, "data");
	run = run_stoa("unpin", "kept", "nothing", "--json", NULL);
	CHECK_EQ(run->status, 1);
	check_json(run->out);
	CHECK_STR(run->out, "{\"id\":\"kept\",\"pinned\":false}\n{\"id\":\"nothing\",\"pinned\":null}\n");
	CHECK_HAS(run->err, "stoa: object 'nothing': ");
	fill_store("b");
	CHECK_EQ(run_stoa("get", "kept", NULL)->status, 1);
	CHECK_STR(run_stoa("get", "two words", NULL)->out, "data");
	run = run_stoa("pin", "nothing", "two words", "--store", daemon.place, "--json", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_STR(run->out, "{\"id\":\"nothing\",\"pinned\":null}\n{\"id\":\"two words\",\"pinned\":true}\n");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	CHECK_EQ(run_stoa("pin", "kept", NULL)->status, 1);
}

/* ---- waiting ---- */

TEST(wait_and_get_wait_until_objects_come)
{
	struct job *waits, *gets;
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "first", NULL)->status, 0);
	waits = start_stoa(JOB_NOTHING, JOB_NOTHING, "wait", "first", "second", "third", NULL);
	gets = start_stoa(JOB_NOTHING, job_path("out"), "get", "third", "--wait", "1min", NULL);
	test_await_sleep((pid_t)job_process(waits));
	test_await_sleep((pid_t)job_process(gets));
	make_input("in", "3", 1);
	CHECK_EQ(run_stoa("put", "third", job_path("in"), NULL)->status, 0);
	CHECK_EQ(end_stoa(gets), 0);
	check_output("out", "3", 1);
	CHECK_EQ(run_stoa("put", "second", NULL)->status, 0);
	CHECK_EQ(end_stoa(waits), 0);
	run = run_stoa("wait", "first", "second", "--json", NULL);
	CHECK_STR(run->out, "{\"id\":\"first\"}\n{\"id\":\"second\"}\n");
	run = run_stoa("wait", "first", "never", "--timeout", "20ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_STR(run->err, "stoa: object 'never': it did not come in time\n");
	CHECK_EQ(run_stoa("wait", "never", "--timeout", "0", NULL)->status, 1);
	CHECK_EQ(run_stoa("get", "never", "--wait", "20ms", NULL)->status, 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- following ---- */

static void await_output(const char *name, size_t size)
{
	struct stat status;

	while (stat(job_path(name), &status) != 0 || (size_t)status.st_size < size)
		test_nap(2);
}

TEST(what_grows_is_followed)
{
	struct job *put, *get, *into;
	char fifo[400];
	struct daemon daemon;
	const struct run *run;
	char line[] = "line 0\n";
	int ends;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	snprintf(fifo, sizeof(fifo), "%s/fifo", test_dir());
	CHECK_SYS(mkfifo(fifo, 0600));
	for (unsigned killed = 0; killed < 2; killed++) {
		ends = open(fifo, O_RDWR | O_CLOEXEC); /* so that nobody waits for the other end */
		CHECK_SYS(ends);
		put = start_stoa(fifo, JOB_NOTHING, "put", "log", "--follow", "1MiB", NULL);
		get = start_stoa(JOB_NOTHING, job_path("out"), "get", "log", "--follow", "--wait", "1min", NULL);
		/* Of a killed one nothing is left to be followed by who comes late. */
		into = killed ? NULL
			      : start_stoa(JOB_NOTHING, JOB_NOTHING, "get", "log", job_path("out2"), "-f", "-w", "1min",
					   NULL);
		for (unsigned i = 0; i < 5; i++) {
			line[5] = (char)('0' + i);
			CHECK_EQ(write(ends, line, 7), 7);
			/* It is out while the object still grows. */
			await_output("out", 7 * (i + 1));
			CHECK_EQ(run_stoa("get", "log", NULL)->status, 1);
		}
		if (killed)
			CHECK_SYS(kill((pid_t)job_process(put), SIGKILL));
		CHECK_SYS(close(ends));
		CHECK_EQ(end_stoa(put) == 0, !killed);
		CHECK_EQ(end_stoa(get), killed);
		if (into)
			CHECK_EQ(end_stoa(into), 0);
		check_output("out", "line 0\nline 1\nline 2\nline 3\nline 4\n", 35);
		check_output("out2", "line 0\nline 1\nline 2\nline 3\nline 4\n", 35);
		if (!killed)
			CHECK_EQ(run_stoa("rm", "--store", "log", NULL)->status, 0);
	}
	make_input("in", "12345", 5);
	CHECK_EQ(run_stoa("put", "five", job_path("in"), "-f", "5B", NULL)->status, 0);
	CHECK_STR(run_stoa("get", "five", "--follow", NULL)->out, "12345");
	run = run_stoa("put", "four", job_path("in"), "-f", "4B", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "has more bytes than --follow gives room for, 4B");
	CHECK_EQ(run_stoa("get", "four", "-f", NULL)->status, 1);
	CHECK_EQ(run_stoa("put", "x", "-f", "4B", "--replace", NULL)->status, 2);
	CHECK_EQ(run_stoa("put", "x", "-f", "4B", "--kind=sealed", NULL)->status, 2);
	CHECK_EQ(run_stoa("get", "x", "-f", "-m", NULL)->status, 2);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- what cannot be ---- */

TEST(what_makes_no_sense_is_misuse)
{
	static const char *const wrong[][5] = {
		{"put: needs ID [FILE]", "put", NULL},
		{"does not know what to do with 'c'", "put", "a", "b", "c"},
		{"put: --kind 'soft' is not one of auto, copied, private, sealed", "put", "x", "--kind=soft", NULL},
		{"put: --access 'me' is not one of owner, all, user:NAME, group:NAME", "put", "x", "--access", "me"},
		{"put: an id is not empty", "put", "", NULL},
		{"get: '0x' is no id", "get", "0x", NULL},
		{"get: '0xabc' is no id", "get", "0xabc", NULL},
		{"get: '0xgg' is no id", "get", "0xgg", NULL},
		{"get: needs ID [FILE]", "get", NULL},
		{"--wait soon is not a time", "get", "x", "--wait", "soon"},
		{"wait: needs ID...", "wait", NULL},
		{"wait: '0x1' is no id", "wait", "0x1", NULL},
		{"pin: needs ID...", "pin", NULL},
		{"pin: '0x1' is no id", "pin", "0x1", NULL},
		{"unpin: needs ID...", "unpin", NULL},
		{"who: '0x' is no id", "who", "x", "0x", NULL},
		{"stat: --metrics goes with --store", "stat", "--metrics", NULL},
		{"stat: --metrics goes with --store", "stat", "--store", "x", "--metrics"},
		{"unpin: no option '--store-path'", "unpin", "x", "--store-path", NULL},
		{"--store lists objects, and goes with neither --all nor --global", "ls", "--store", "--all", NULL},
		{"--store lists objects, and goes with neither --all nor --global", "ls", "-s", "-g", NULL},
		{"does not go with --global", "stat", "--store", "-g", NULL},
		{"does not go with --global", "rm", "--store", "-g", "x"},
		{"stat: needs NAME...", "stat", NULL},
		{"rm: needs NAME...", "rm", "--store", NULL},
		{"rm: '0x' is no id", "rm", "--store", "0x", NULL},
		{"an embedded store is seen by its own program alone", "ls", "--store=embedded:", NULL},
		{"get: no option '--waits'; did you mean '--wait'?", "get", "x", "--waits", NULL},
	};
	struct daemon daemon;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	for (size_t i = 0; i < CC_COUNT(wrong); i++) {
		const struct run *run = run_stoa(wrong[i][1], wrong[i][2], wrong[i][2] ? wrong[i][3] : NULL,
						 wrong[i][2] && wrong[i][3] ? wrong[i][4] : NULL, NULL);

		CHECK_HAS(run->err, wrong[i][0]);
		CHECK_EQ(run->status, 2);
		CHECK_STR(run->out, "");
	}
	CHECK_EQ(run_stoa("put", "x", "--access", "user:nobody such", NULL)->status, 1);
	CHECK_EQ(run_stoa("put", "x", "--access", "group:nobody such", NULL)->status, 1);
	CHECK_STR(run_stoa("ls", "--store", "--json", NULL)->out, "");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(help_teaches)
{
	static const char *const commands[] = {"put",   "get", "wait", "subscribe", "pin",
					       "unpin", "who", "ls",   "stat",      "rm"};

	for (size_t i = 0; i < CC_COUNT(commands); i++) {
		const struct run *run = run_stoa(commands[i], "--help", NULL);

		CHECK_EQ(run->status, 0);
		CHECK_HAS(run->out, "\nexamples:\n  $ stoa ");
		CHECK_HAS(run->out, i < 7 ? "--store PATH" : "--store[=PATH]");
		CHECK_HAS(run_stoa("--help", NULL)->out, commands[i]);
	}
}

TEST(without_a_server_each_says_how_to_start_one)
{
	static const char *const commands[] = {"put", "get", "wait", "subscribe", "pin", "unpin", "who"};
	char place[300];

	snprintf(place, sizeof(place), "%s/nobody", test_dir());
	CHECK_SYS(setenv("STOA_STORE", place, 1));
	for (size_t i = 0; i < CC_COUNT(commands); i++) {
		const struct run *run = run_stoa(commands[i], "x", NULL);

		CHECK_EQ(run->status, 1);
		CHECK_HAS(run->err, place);
		CHECK_HAS(run->err, "'stoad --socket PATH' starts a server");
	}
	CHECK_EQ(run_stoa("ls", "--store", NULL)->status, 1);
	CHECK_EQ(run_stoa("stat", "--store", NULL)->status, 1);
	CHECK_EQ(run_stoa("rm", "--store", "x", NULL)->status, 1);
	CHECK_SYS(unsetenv("STOA_STORE"));
	CHECK_SYS(unsetenv("XDG_RUNTIME_DIR"));
	if (geteuid() != 0)
		CHECK_HAS(run_stoa("ls", "--store", NULL)->err, "--store=PATH");
}

TEST(inputs_that_cannot_be_read)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	run = run_stoa("put", "x", job_path("nothing"), NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "cannot be read: No such file");
	CHECK_HAS(run_stoa("put", "x", test_dir(), NULL)->err, "cannot be read: Is a directory");
	CHECK_EQ(run_stoa("put", "x", "/proc/self/mem", NULL)->status, 1);
	CHECK_STR(run_stoa("ls", "--store", "--json", NULL)->out, "");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(a_put_that_finds_no_room)
{
	struct daemon daemon;
	const struct run *run;
	void *bytes = pattern(16 * MIB, 1);
	const char *file = make_input("in", bytes, 16 * MIB);
	char id[16];
	int count = 0;
	struct job *job;

	start_daemon(&daemon, "s", "--limit=62MiB", "--objects=1000", "-q", NULL);
	do {
		snprintf(id, sizeof(id), "%d", count++);
		run = run_stoa("put", id, file, "--pinned", NULL);
		CHECK_INT(count, <=, 4);
	} while (run->status == 0);
	CHECK_INT(count, >, 2);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "stoa: object '");
	CHECK_HAS(run->err, "'stoa stat --store' tells the limit");
	run = run_stoa("put", id, file, "--wait", "20ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "there was no room in time");
	/* As soon as there is room it goes on. */
	job = start_stoa(JOB_NOTHING, JOB_NOTHING, "put", id, file, "--wait", "1min", NULL);
	test_await_sleep((pid_t)job_process(job));
	CHECK_EQ(run_stoa("rm", "--store", "0", NULL)->status, 0);
	CHECK_EQ(end_stoa(job), 0);
	CHECK_STR(job_errors(job), "");
	CHECK_HAS(run_stoa("ls", "--store", "--json", NULL)->out, "\"size\":16777216");
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(a_cache_makes_room)
{
	struct daemon daemon;
	void *bytes = pattern(16 * MIB, 1);
	char file[300], id[16];
	const struct run *run;

	snprintf(file, sizeof(file), "%s", make_input("in", bytes, 16 * MIB));
	start_daemon(&daemon, "s", "--limit=62MiB", "--objects=1000", "--evict", "-q", NULL);
	CHECK_EQ(run_stoa("put", "pinned", file, "--pinned", NULL)->status, 0);
	for (int i = 0; i < 6; i++) {
		snprintf(id, sizeof(id), "%d", i);
		run = run_stoa("put", id, file, NULL);
		CHECK_STR(run->err, "");
		CHECK_EQ(run->status, 0);
	}
	CHECK_EQ(run_stoa("wait", "pinned", "5", "-t", "0", NULL)->status, 0);
	CHECK_EQ(run_stoa("get", "0", NULL)->status, 1);
	CHECK_LACKS(run_stoa("stat", "--store", NULL)->out, " 0 evicted");
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(what_can_never_fit_is_refused)
{
	struct daemon daemon;
	void *bytes = pattern(65 * MIB, 1);
	const char *file = make_input("in", bytes, 65 * MIB);
	struct job *job;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", file, NULL)->status, 1);
	/* Of an input without an end no more is collected than could ever fit. */
	job = start_stoa("/dev/zero", JOB_NOTHING, "put", "x", NULL);
	CHECK_EQ(end_stoa(job), 1);
	CHECK_HAS(job_errors(job), "has more bytes than the store's limit, 64MiB");
	CHECK_STR(run_stoa("ls", "--store", "--json", NULL)->out, "");
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- files that get writes ---- */

TEST(get_leaves_nothing_half_written)
{
	struct rlimit before, short_files;
	struct daemon daemon;
	const struct run *run;
	void *bytes = pattern(8 * MIB, 1);
	unsigned files;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("in", bytes, 8 * MIB), NULL)->status, 0);
	make_input("out", "old", 3);
	files = files_in(test_dir());
	CHECK_EQ(run_stoa("get", "nothing", job_path("out"), NULL)->status, 1);
	check_output("out", "old", 3);
	CHECK_EQ(run_stoa("get", "nothing", job_path("new"), NULL)->status, 1);
	CHECK_SYS(getrlimit(RLIMIT_FSIZE, &before));
	short_files = before;
	short_files.rlim_cur = 5 * MIB;
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &short_files));
	run = run_stoa("get", "x", job_path("out"), NULL);
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &before));
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "cannot be written: File too large; it is as it was");
	check_output("out", "old", 3);
	CHECK_HAS(run_stoa("get", "x", job_path("no/such/file"), NULL)->err, "cannot be made: No such file");
	CHECK_EQ(files_in(test_dir()), files);
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(get_into_what_is_no_ordinary_file)
{
	struct daemon daemon;
	struct stat status;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("in", "data", 4), NULL)->status, 0);
	CHECK_EQ(run_stoa("get", "x", "/dev/null", NULL)->status, 0);
	CHECK_STR(run_stoa("get", "x", "-", NULL)->out, "data");
	run = run_stoa("get", "x", "/dev/full", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "No space left on device");
	CHECK_EQ(end_stoa(start_stoa(JOB_NOTHING, "/dev/full", "get", "x", NULL)), 1);
	/* The file that a link leads to, with the rights that it has. */
	make_input("target", "old", 3);
	CHECK_SYS(chmod(job_path("target"), 0640));
	CHECK_SYS(symlink("target", job_path("link")));
	CHECK_EQ(run_stoa("get", "x", job_path("link"), NULL)->status, 0);
	check_output("target", "data", 4);
	CHECK_SYS(lstat(job_path("link"), &status));
	CHECK(S_ISLNK(status.st_mode));
	CHECK_SYS(stat(job_path("target"), &status));
	CHECK_EQ(status.st_mode & 07777, 0640u);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(an_output_that_nobody_reads)
{
	struct daemon daemon;
	void *bytes = pattern(8 * MIB, 1);
	struct job *job;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("in", bytes, 8 * MIB), NULL)->status, 0);
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "get", "x", NULL);
	end_job_output(job);
	CHECK_EQ(end_stoa(job), -SIGPIPE);
	CHECK_STR(job_errors(job), "");
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "get", "x", NULL);
	CHECK_EQ(read_job(job, bytes, 1), 1);
	CHECK_SYS(kill((pid_t)job_process(job), SIGINT));
	CHECK_EQ(end_stoa(job), -SIGINT);
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* What a dead put had begun is dropped, and the id is free. */
TEST(a_put_that_is_killed_leaves_nothing)
{
	struct daemon daemon;
	struct stoa_store_stat stat;
	struct stoa_store *store;
	void *bytes = pattern(8 * MIB, 1);
	struct job *job;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	job = start_stoa(JOB_PIPE, JOB_NOTHING, "put", "x", NULL);
	write_job(job, bytes, 8 * MIB);
	kill_stoa(job);
	CHECK_EQ(run_stoa("put", "x", make_input("in", bytes, 8 * MIB), NULL)->status, 0);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_EQ(stat.objects, 1u);
	stoa_store_close(store);
	free(bytes);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* Whatever the tool holds when its server dies. */
TEST(gets_go_on_when_the_server_is_killed)
{
	struct daemon daemon;
	void *bytes = pattern(8 * MIB, 1);
	char *got = malloc(8 * MIB);
	size_t length = 0, more;
	struct job *job;

	CHECK(got != NULL);
	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", make_input("in", bytes, 8 * MIB), NULL)->status, 0);
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "get", "x", NULL);
	CHECK_EQ(read_job(job, got, 1), 1);
	CHECK_EQ(end_daemon(&daemon, SIGKILL), -SIGKILL);
	for (length = 1; (more = read_job(job, got + length, 8 * MIB - length)) > 0;)
		length += more;
	CHECK_EQ(end_stoa(job), 0);
	CHECK_EQ(length, 8 * MIB);
	CHECK(memcmp(got, bytes, length) == 0);
	free(got);
	free(bytes);
}
