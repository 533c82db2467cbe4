/* SPDX-License-Identifier: MIT */
/*
 * `stoa ls --all` where seeing all is hard: processes that live on in threads, threads with descriptors of their own, processes that
 * are hidden. Whoever believes a file to be orphaned removes it.
 */
#include <harness/test.h>

#include "tool/run.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (1 << 20)

static _Atomic uint32_t *ready; /* threads of the role that have their objects */

static int make_memory(const char *label)
{
	int memory = memfd_create(label, MFD_CLOEXEC);

	CHECK_SYS(memory);
	CHECK_SYS(ftruncate(memory, SIZE));
	return memory;
}

static void report_and_stay(void)
{
	atomic_fetch_add(ready, 1);
	for (;;)
		pause();
}

static void *map_a_file(void *name)
{
	int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	void *map;

	CHECK_SYS(file);
	CHECK_SYS(ftruncate(file, SIZE));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(map != MAP_FAILED);
	CHECK_SYS(close(file));
	make_memory("memory without a main thread");
	report_and_stay();
	return NULL;
}

static void *open_alone(void *unused)
{
	CHECK_SYS(unshare(CLONE_FILES));
	make_memory("memory of one thread");
	report_and_stay();
	return unused;
}

static void live_on_in_threads(void *name)
{
	pthread_t threads[2];

	CHECK_EQ(pthread_create(&threads[0], NULL, map_a_file, name), 0);
	CHECK_EQ(pthread_create(&threads[1], NULL, open_alone, NULL), 0);
	pthread_exit(NULL);
}

static void live_with_threads(void *unused)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, open_alone, unused), 0);
	for (;;)
		pause();
}

/* The main thread of the role is a zombie, as the process itself looks to most tools. */
static void await_end_of_main_thread(pid_t role)
{
	char path[64];
	char line[512] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)role);
	while (!strstr(line, ") Z ")) {
		FILE *file = fopen(path, "re");

		CHECK(file && fgets(line, sizeof(line), file));
		fclose(file);
		usleep(1000);
	}
}

TEST(a_process_without_its_main_thread_is_seen)
{
	static char name[256]; /* used when the main thread, and its stack, are gone */
	char path[300];
	char pid[32];
	const struct run *run;
	pid_t role;

	ready = test_shared(sizeof(*ready));
	snprintf(name, sizeof(name), "/%s", test_name("living"));
	snprintf(path, sizeof(path), "/dev/shm%s\"", name);
	role = test_role(live_on_in_threads, name);
	test_await(ready, 2);
	await_end_of_main_thread(role);
	snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)role);
	run = run_stoa("ls", "--all", "--json", NULL);
	CHECK_HAS(line_with(run->out, path), pid);
	CHECK_HAS(line_with(run->out, path), "\"maps\":true");
	CHECK_HAS(line_with(run->out, path), "\"orphaned\":false");
	CHECK_HAS(line_with(run->out, "memory without a main thread"), pid);
	CHECK_HAS(line_with(run->out, "memory of one thread"), pid);
	test_kill(role);
	CHECK_SYS(shm_unlink(name));
}

TEST(descriptors_of_one_thread_are_seen)
{
	char pid[32];
	pid_t role;

	ready = test_shared(sizeof(*ready));
	role = test_role(live_with_threads, NULL);
	test_await(ready, 1);
	snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)role);
	CHECK_HAS(line_with(run_stoa("ls", "--all", "--json", NULL)->out, "memory of one thread"), pid);
	test_kill(role);
}

/* What `stoa ls --all --json` says of a file that nobody uses, run by the shell after `before`, and warns. */
static void check_not_known(const char *before, const char *user, const char *warning)
{
	char command[2000];
	char name[256];
	int status;
	int file;

	if (geteuid() != 0)
		SKIP("only root can mount");
	snprintf(command, sizeof(command), "%s true' 2>/dev/null", before);
	if (system(command) != 0)
		SKIP("no namespaces, or no mounts in them");
	snprintf(name, sizeof(name), "/%s", test_name("unused"));
	file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK_SYS(file);
	CHECK_SYS(ftruncate(file, SIZE));
	CHECK_SYS(close(file));
	CHECK_SYS(chmod(test_dir(), 0777));
	snprintf(command, sizeof(command), "%s %s %s ls --all --json' >%s/out 2>%s/err", before, user, STOA_TOOL,
		 test_dir(), test_dir());
	status = WEXITSTATUS(system(command));
	CHECK_SYS(shm_unlink(name));
	if (status == 127 || status == 126)
		SKIP("another user cannot reach %s", STOA_TOOL);
	CHECK_EQ(status, 0);
	snprintf(command, sizeof(command), "grep -F '%s\"' %s/out | grep -q '\"orphaned\":null'", name, test_dir());
	CHECK_EQ(system(command), 0);
	snprintf(command, sizeof(command), "grep -qF '%s' %s/err", warning, test_dir());
	CHECK_EQ(system(command), 0);
}

TEST(in_a_container_nobody_can_tell_what_is_orphaned)
{
	check_not_known("unshare -m -p -f --mount-proc sh -c '", "", "pid namespace");
}

TEST(hidden_processes_may_use_what_looks_orphaned)
{
	check_not_known("unshare -m sh -ec 'mount -t proc -o hidepid=2 proc /proc; grep -q hidepid /proc/mounts;",
			"setpriv --reuid 65534 --regid 65534 --clear-groups", "(hidepid)");
}

TEST(closed_processes_may_use_what_looks_orphaned)
{
	check_not_known("unshare -m sh -ec 'mount -t proc -o hidepid=1 proc /proc; grep -q hidepid /proc/mounts;",
			"setpriv --reuid 65534 --regid 65534 --clear-groups", "run as root to see all");
}
