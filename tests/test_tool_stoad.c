/* SPDX-License-Identifier: MIT */
/* stoad, as its users run it: how it starts, is told what to do, ends, is killed and comes again. */
#include <harness/test.h>

#include "tool/daemon.h"
#include "tool/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

static void put(const char *id, const char *text)
{
	struct stoa_store *store;

	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), text, strlen(text), NULL), 0);
	stoa_store_close(store);
}

static bool is_there(const char *place, const char *suffix)
{
	char path[400];

	snprintf(path, sizeof(path), "%s%s", place, suffix);
	return access(path, F_OK) == 0;
}

/* ---- starting and ending ---- */

TEST(it_serves_until_it_is_asked_to_end)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
	static const char *const names[] = {"SIGTERM", "SIGINT", "SIGHUP"};

	for (size_t i = 0; i < CC_COUNT(ends); i++) {
		struct daemon daemon;
		char text[64];

		start_daemon(&daemon, "s", "--limit", "64MiB", NULL);
		CHECK_STR(daemon.errors, "");
		put("one", "1");
		CHECK_STR(run_stoa("get", "one", NULL)->out, "1");
		CHECK_EQ(end_daemon(&daemon, ends[i]), 0);
		CHECK_HAS(daemon.errors, daemon.place);
		CHECK_HAS(line_with(daemon.errors, "serving at"), "64MiB");
		snprintf(text, sizeof(text), "ended by %s with 1 object in ", names[i]);
		CHECK_HAS(daemon.errors, text);
		CHECK(!is_there(daemon.place, "") && !is_there(daemon.place, ".lock"));
		CHECK_EQ(run_stoa("get", "one", NULL)->status, 1);
	}
}

TEST(it_says_as_much_as_it_is_asked_to)
{
	struct daemon daemon;

	start_daemon(&daemon, "s", "-q", "--limit=64MiB", NULL);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	CHECK_STR(daemon.errors, "");
	start_daemon(&daemon, "s", "-v", "--limit=64MiB", "--client-limit", "1MiB", "--clients", "7", NULL);
	put("one", "1");
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	CHECK_HAS(daemon.errors, "1MiB of a client");
	CHECK_HAS(daemon.errors, "7 clients");
	CHECK_HAS(daemon.errors, "1 put, 0 deleted");
}

/* Whoever starts it may have few descriptors at first. */
TEST(it_takes_the_descriptors_that_it_may_have)
{
	struct rlimit before, few;
	struct daemon daemon;
	char text[64];

	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &before));
	few = before;
	few.rlim_cur = 64;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
	start_daemon(&daemon, "s", "-v", "--limit=64MiB", NULL);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &before));
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	snprintf(text, sizeof(text), "up to %llu descriptors", (unsigned long long)before.rlim_max);
	CHECK_HAS(daemon.errors, text);
}

TEST(its_default_place_is_where_clients_look)
{
	struct daemon daemon;
	char directory[300];

	if (geteuid() == 0) {
		start_daemon(&daemon, "default", "--limit=64MiB", NULL); /* STOA_STORE */
		CHECK(is_there(daemon.place, ""));
		CHECK_EQ(run_stoa("ls", "--store", NULL)->status, 0);
		CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
		return;
	}
	snprintf(directory, sizeof(directory), "%s", test_dir());
	CHECK_SYS(unsetenv("STOA_STORE"));
	CHECK_SYS(setenv("XDG_RUNTIME_DIR", directory, 1));
	start_daemon(&daemon, NULL, "--limit=64MiB", NULL);
	CHECK(is_there(directory, "/stoad.socket"));
	CHECK_EQ(run_stoa("ls", "--store", NULL)->status, 0);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* ---- the command line ---- */

TEST(what_makes_no_sense_is_misuse)
{
	static const char *const wrong[][3] = {
		{"--limit", "12Q", "stoad: --limit '12Q' is not a size; use e.g. 1GiB, or 50% of the memory"},
		{"--limit", "0", "leaves no room"},
		{"--limit", "0%", "is not a size"},
		{"--limit", "101%", "is not a size"},
		{"--limit", "-5%", "is not a size"},
		{"--limit", "1MiB", "16MiB at least"},
		{"--client-limit", "much", "stoad: --client-limit 'much' is not a size"},
		{"--user-limit", "%", "stoad: --user-limit '%' is not a size"},
		{"--mode", "rw", "is not the mode of a socket"},
		{"--mode", "01777", "is not the mode of a socket"},
		{"--mode", "0444", "lets nobody connect"},
		{"--objects", "x", "stoad: --objects x is not a number; use e.g. 4"},
		{"--objects", "99999999", "more than a store can have"},
		{"--clients", "99999", "more than a store can have"},
		{"--clients", "99999999999", "more than a store can have"},
		{"--socket", "", "is not a path"},
		{"--bogus", "1", "stoad: no option '--bogus'; try 'stoad --help'"},
		{"--limits", "1", "did you mean '--limit'? Try 'stoad --help'"},
		{"--help=no", "1", "no option"},
		{"--quiet", "--verbose", "exclude each other"},
		{"--quiet=1", "-v", "stoad: --quiet takes no argument, but got '1'"},
		{"-q", "operand", "stoad: does not know what to do with 'operand'; try 'stoad --help'"},
		{"-q", "--limit", "stoad: --limit needs SIZE behind it; try 'stoad --help'"},
	};

	for (size_t i = 0; i < CC_COUNT(wrong); i++) {
		struct daemon daemon;

		start_daemon(&daemon, "s", wrong[i][0], wrong[i][1], NULL);
		CHECK_EQ(daemon.process, 0);
		CHECK_HAS(daemon.errors, wrong[i][2]);
		CHECK_EQ(daemon.status, 2);
		CHECK_EQ(strncmp(daemon.errors, "stoad: ", 7), 0);
		CHECK(!is_there(daemon.place, ""));
	}
}

TEST(limits_are_sizes_or_parts_of_the_memory)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	struct stoa_store_stat stat;
	struct stoa_store *store;
	struct daemon daemon;

	start_daemon(&daemon, "s", "--limit", "25%", NULL);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_EQ(stat.limit, memory / 100 * 25);
	stoa_store_close(store);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(help_teaches_and_the_version_is_told)
{
	char command[400];

	snprintf(command, sizeof(command), "%s --help | grep -q '^usage: stoad \\[OPTIONS\\]$'", STOA_DAEMON);
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command), "%s --help | grep -q '  \\$ stoad --socket'", STOA_DAEMON);
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command), "test \"$(%s --version)\" = 'stoad %s'", STOA_DAEMON, stoa_version());
	CHECK_EQ(system(command), 0);
}

/* ---- places ---- */

TEST(one_place_has_one_server)
{
	struct daemon first, second;

	start_daemon(&first, "s", "--limit=64MiB", NULL);
	put("one", "1");
	start_daemon(&second, "s", "--limit=64MiB", NULL);
	CHECK_EQ(second.process, 0);
	CHECK_EQ(second.status, 1);
	CHECK_HAS(second.errors, "listens at");
	CHECK_HAS(second.errors, "--socket PATH");
	CHECK_STR(run_stoa("get", "one", NULL)->out, "1");
	CHECK_EQ(end_daemon(&first, SIGTERM), 0);
}

TEST(after_kill_it_starts_again_at_the_same_place)
{
	struct daemon daemon;

	for (int round = 0; round < 3; round++) {
		start_daemon(&daemon, "s", "--limit=64MiB", NULL);
		CHECK_STR(daemon.errors, "");
		CHECK_EQ(run_stoa("get", "one", NULL)->status, 1);
		put("one", "1");
		CHECK_EQ(end_daemon(&daemon, SIGKILL), -SIGKILL);
		CHECK(is_there(daemon.place, ""));
		CHECK_HAS(run_stoa("get", "one", NULL)->err, "nobody listens at");
	}
	start_daemon(&daemon, "s", "--limit=64MiB", NULL);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(what_is_held_outlives_kill)
{
	struct daemon daemon;

	for (int round = 0; round < 3; round++) {
		start_daemon(&daemon, "s", "--limit=64MiB", "--held", "-v", NULL);
		CHECK_STR(daemon.errors, "");
		if (round)
			CHECK_STR(run_stoa("get", "one", NULL)->out, "1");
		else
			put("one", "1");
		CHECK_EQ(end_daemon(&daemon, SIGKILL), -SIGKILL);
		CHECK_HAS(line_with(daemon.errors, "serving at"), round ? "1 object is there" : "0 objects are there");
	}
	start_daemon(&daemon, "s", "--limit=64MiB", "--held", NULL);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	start_daemon(&daemon, "s", "--limit=64MiB", "--held", NULL);
	CHECK_EQ(run_stoa("get", "one", NULL)->status, 1);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	/* Who held it is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* What lies there and is no socket stays. */
TEST(a_place_that_cannot_be_one_is_refused)
{
	struct daemon daemon;
	char path[300];
	int file;

	snprintf(path, sizeof(path), "%s/file", test_dir());
	file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	close(file);
	start_daemon(&daemon, "file", "--limit=64MiB", NULL);
	CHECK_EQ(daemon.status, 1);
	CHECK_HAS(daemon.errors, "is no socket");
	CHECK(is_there(path, ""));
	start_daemon(&daemon, "no/such/directory", "--limit=64MiB", NULL);
	CHECK_EQ(daemon.status, 1);
	CHECK_HAS(daemon.errors, "make the directory of");
}

TEST(the_socket_has_the_mode_that_was_asked_for)
{
	struct daemon daemon;
	struct stat status;

	umask(077);
	start_daemon(&daemon, "s", "--limit=64MiB", "--mode", "0660", NULL);
	CHECK_SYS(stat(daemon.place, &status));
	CHECK_EQ(status.st_mode & 0777, 0660u);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	start_daemon(&daemon, "s", "--limit=64MiB", NULL);
	CHECK_SYS(stat(daemon.place, &status));
	CHECK_EQ(status.st_mode & 0777, 0600u);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

/* 0: as it should be; 77: the build is out of that user's reach. */
static void try_as_another(void *argument)
{
	const struct run *run;
	bool let_in = *(const bool *)argument;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(1);
	run = run_stoa("get", "ours", NULL);
	if (run->status == 127)
		_exit(77);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, let_in ? "object 'ours'" : "store '");
	run = run_stoa("get", "for all", NULL);
	CHECK_EQ(run->status, let_in ? 0 : 1);
	if (!let_in)
		_exit(0);
	CHECK_STR(run->out, "all");
	CHECK_EQ(run_stoa("wait", "ours", "--timeout", "0", NULL)->status, 0);
	run = run_stoa("ls", "--store", NULL);
	CHECK_HAS(line_with(run->out, "for all"), "all");
	CHECK_HAS(run_stoa("stat", "--store", "ours", NULL)->out, "ours");
	CHECK_EQ(run_stoa("rm", "--store", "for all", NULL)->status, 1);
	_exit(0);
}

static int as_another(bool let_in)
{
	bool *argument = test_shared(sizeof(*argument));

	*argument = let_in;
	return test_join(test_role(try_as_another, argument));
}

TEST(other_users_come_in_where_the_mode_says_so)
{
	struct stoa_object_options all = {.access = STOA_ACCESS_ALL};
	struct stoa_store *store;
	struct daemon daemon;
	int status;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	for (int let_in = 0; let_in < 2; let_in++) {
		CHECK_SYS(chmod(test_dir(), 0755));
		start_daemon(&daemon, "s", "--limit=64MiB", "--mode", let_in ? "0666" : "0600", NULL);
		CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
		CHECK_RC(stoa_store_put(store, "ours", 4, "ours", 4, NULL), 0);
		CHECK_RC(stoa_store_put(store, "for all", 7, "all", 3, &all), 0);
		stoa_store_close(store);
		status = as_another(let_in);
		CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
		if (status == 77)
			SKIP("another user cannot reach %s", STOA_TOOL);
		CHECK_EQ(status, 0);
	}
}

/* ---- under a service manager ---- */

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	CHECK_SYS(listening);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK_SYS(bind(listening, (struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(listen(listening, 8));
	return listening;
}

TEST(it_takes_the_socket_that_a_service_manager_has_made)
{
	char *arguments[] = {(char *)(uintptr_t) "stoad", (char *)(uintptr_t) "--limit=64MiB", NULL, NULL};
	struct daemon daemon;
	char path[200];
	int listening;

	snprintf(path, sizeof(path), "%s/manager", test_dir());
	listening = listen_at(path, SOCK_SEQPACKET);
	for (int round = 0; round < 2; round++) {
		start_daemon_with(&daemon, "manager", listening, arguments);
		CHECK_STR(daemon.errors, "");
		put("one", "1");
		CHECK_STR(run_stoa("get", "one", NULL)->out, "1");
		CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
		CHECK_HAS(daemon.errors, "the service manager's socket");
		CHECK(is_there(path, "")); /* the manager's, and still listening */
	}
	/* Held, and killed: the path says where, and clients wait in the socket meanwhile. */
	arguments[2] = (char *)(uintptr_t) "--held";
	for (int round = 0; round < 2; round++) {
		start_daemon_with(&daemon, "manager", listening, arguments);
		CHECK_STR(daemon.errors, "");
		if (round)
			CHECK_STR(run_stoa("get", "one", NULL)->out, "1");
		else
			put("one", "1");
		CHECK_EQ(end_daemon(&daemon, round ? SIGTERM : SIGKILL), round ? 0 : -SIGKILL);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	arguments[2] = NULL;
	close(listening);
	snprintf(path, sizeof(path), "%s/stream", test_dir());
	listening = listen_at(path, SOCK_STREAM);
	start_daemon_with(&daemon, NULL, listening, arguments);
	CHECK_EQ(daemon.status, 1);
	CHECK_HAS(daemon.errors, "ListenSequentialPacket=");
	close(listening);
}
