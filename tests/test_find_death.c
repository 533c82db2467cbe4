/* SPDX-License-Identifier: MIT */
/* `stoa find` while its processes are killed, stopped, or refused: the entries are the same, and nobody stays behind. */
#include <harness/test.h>

#include "tool/run.h"
#include "tool/search.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

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

static unsigned rounds(void)
{
	return test_rounds(50, 1000);
}

/* How long a search of the tree takes, to spread the moments of death over. */
static uint64_t typical_time(void)
{
	uint64_t start = now();

	CHECK_EQ(await_end(STOA_FIND("a", tree_path(), "-0", "--jobs", "3")), 0);
	return now() - start;
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
	test_figure("%u servers killed in %u searches", noticed, rounds());
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
	uint64_t longest = 0;
	pid_t client = 0;
	char user[32];
	uint64_t time;

	make_middling_tree(&random);
	time = typical_time();
	for (unsigned i = 0; i < rounds(); i++) {
		pid_t servers[8];
		unsigned count;
		uint64_t start;

		client = STOA_FIND("a", tree_path(), "-0", "--jobs", "3");
		sleep_for(test_random(&random) % time);
		count = servers_of(client, servers, 8);
		kill(client, signals[test_random(&random) % CC_COUNT(signals)]);
		start = now();
		await_end(client);
		orphans += await_orphans();
		longest = now() - start > longest ? now() - start : longest;
		for (unsigned k = 0; k < count; k++)
			CHECK(kill(servers[k], 0) != 0 && errno == ESRCH);
	}
	test_figure("%u servers were orphaned; all had ended within %u ms", orphans, (unsigned)(longest / 1000000));
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

/* A search whose output goes to a pipe that nobody reads yet, so that it cannot have finished when it is stopped. */
struct stuck {
	pid_t client;
	int pipe;
	unsigned count;
	pid_t servers[64];
};

/* Stop the client when it has started `jobs` servers. */
static void start_stuck(const char *jobs, const char *patience, struct stuck *ret_stuck)
{
	struct stuck *stuck = ret_stuck;
	unsigned want = (unsigned)atoi(jobs);

	CHECK_SYS(mkfifo(file_path("a.out"), 0600));
	stuck->pipe = open(file_path("a.out"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK_SYS(stuck->pipe);
	stuck->client = STOA_FIND("a", tree_path(), "-0", "--jobs", jobs, "--patience", patience, "--stats");
	while ((stuck->count = servers_of(stuck->client, stuck->servers, 64)) < want)
		sleep_for(100000);
	kill(stuck->client, SIGSTOP);
}

static void await_servers(const struct stuck *stuck)
{
	for (unsigned i = 0; i < stuck->count; i++)
		await_zombie(stuck->servers[i]);
}

/* Let it go on, read what it prints, and see that it is all there. */
static void finish_stuck(struct stuck *stuck, struct text want)
{
	struct text got;
	int status;

	kill(stuck->client, SIGCONT);
	got = read_to_end(stuck->pipe);
	status = await_end(stuck->client);
	if (status != 0)
		test_fail(__FILE__, __LINE__, "status %d: %.800s", status, read_file(file_path("a.err")).bytes);
	check_same("after a stop", sorted(got, 0), want);
	CHECK_SYS(unlink(file_path("a.out")));
}

TEST_TIMEOUT(servers_leave_a_stuck_client_and_come_back, 60)
{
	static const char *const jobs[] = {"3", "40"};
	uint64_t random = test_seed();
	struct stuck stuck;
	struct text want;

	make_middling_tree(&random);
	want = wanted(tree_path());
	for (size_t i = 0; i < CC_COUNT(jobs); i++) {
		start_stuck(jobs[i], "500ms", &stuck);
		await_servers(&stuck);
		finish_stuck(&stuck, copy_of(want));
		CHECK_HAS(read_file(file_path("a.err")).bytes, "left while the client was stuck");
	}
}

/* It cannot be told from a slow one but by asking the system, and may hold a lock that all need. */
TEST_TIMEOUT(stopped_servers_are_replaced, 60)
{
	uint64_t random = test_seed();
	struct stuck stuck;
	struct text want;

	make_middling_tree(&random);
	want = wanted(tree_path());
	start_stuck("3", "2s", &stuck);
	for (unsigned i = 0; i < stuck.count; i++)
		CHECK_SYS(kill(stuck.servers[i], SIGSTOP));
	finish_stuck(&stuck, want);
	CHECK_HAS(read_file(file_path("a.err")).bytes, "was stopped for more than 1s, so it is killed");
}

/* One of them, at any moment of its work: how many were replaced. */
static unsigned stop_one(struct text want, uint64_t time, uint64_t *random)
{
	pid_t servers[8];
	pid_t client = STOA_FIND("a", tree_path(), "-0", "--jobs", "4", "--patience", "200ms");
	unsigned count;
	int status;

	sleep_for(test_random(random) % time);
	count = servers_of(client, servers, 8);
	if (count)
		kill(servers[test_random(random) % count], SIGSTOP);
	status = await_end(client);
	if (status != 0)
		test_fail(__FILE__, __LINE__, "status %d: %.800s", status, read_file(file_path("a.err")).bytes);
	check_same("after a stop", sorted(read_file(file_path("a.out")), 0), copy_of(want));
	return count_words(read_file(file_path("a.err")).bytes, "was stopped");
}

TEST_TIMEOUT(a_server_stopped_at_any_time_loses_nothing, 120)
{
	uint64_t random = test_seed();
	unsigned replaced = 0;
	unsigned left = test_rounds(20, 400);
	struct text want;
	uint64_t time;

	make_middling_tree(&random);
	want = wanted(tree_path());
	time = typical_time();
	for (; left > 0 || replaced<3; left -= left> 0)
		replaced += stop_one(want, time, &random);
	await_orphans();
	test_note("%u servers replaced", replaced);
}

/* More at a time than the client would start one after the other without any progress. */
TEST_TIMEOUT(many_servers_killed_at_once_are_replaced, 60)
{
	uint64_t random = test_seed();
	struct stuck stuck;
	struct text want;

	make_middling_tree(&random);
	want = wanted(tree_path());
	start_stuck("64", "5s", &stuck);
	for (unsigned i = 0; i < stuck.count; i++)
		kill(stuck.servers[i], SIGKILL);
	await_servers(&stuck);
	finish_stuck(&stuck, want);
	CHECK_EQ(count_words(read_file(file_path("a.err")).bytes, "was ended by a signal"), 64);
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

/* What a shell may leave us: no standard descriptors, few addresses, or few descriptors. */
TEST(poor_surroundings_do)
{
	char command[3 * PATH_MAX];
	struct text want;

	make_dir("%s", tree_path());
	make_odd_names(tree_path());
	make_deep(tree_path());
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
	check_same("few addresses", read_file(file_path("poor")), copy_of(want));
	/* So few that no directory can stay open when the next one is. */
	snprintf(command, sizeof(command), "(ulimit -n 9; exec %s find %s -0 --sort) >%s", STOA_TOOL, tree_path(),
		 file_path("poor"));
	CHECK_EQ(system(command), 0);
	check_same("few descriptors", read_file(file_path("poor")), want);
}

static void search_without_processes(void *unused)
{
	const struct rlimit none = {0, 0};

	(void)unused;
	if (geteuid() == 0)
		CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	CHECK_SYS(setrlimit(RLIMIT_NPROC, &none));
	/* This very process becomes the client, as it cannot have children any more. */
	search_become(STOA_TOOL, (char *const *)(uintptr_t)ARGUMENTS("stoa", "find", "/usr"), file_path("a.out"),
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
