/* SPDX-License-Identifier: MIT */
/* The tool's commands that look at a Linux host, and what only Linux hands to a program. */
#include <harness/test.h>

#include "tool/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(a_full_output_is_a_failure)
{
	int status = system(STOA_TOOL " doctor > /dev/full 2> /dev/null");

	CHECK_EQ(WEXITSTATUS(status), 1);
}

TEST(bytes_that_are_no_characters_are_shown)
{
	const struct run *run = run_stoa("\xff\n", NULL);

	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "'\\xff\\n'");
}

/* ---- ls --all ---- */

#define ODD_NAME "odd\033[31m\n\xff name"

/* Whether some process of this host hides from us: then nobody can tell that a file is unused. */
static bool all_seen(void)
{
	return strstr(run_stoa("ls", "--all", NULL)->err, "'orphaned?'") == NULL;
}

TEST(ls_all_finds_a_memfd_and_its_user)
{
	char pid[32];
	const struct run *run;
	int memory = memfd_create(ODD_NAME, MFD_CLOEXEC);
	void *map;

	CHECK_SYS(memory);
	CHECK_SYS(ftruncate(memory, 3 << 20));
	map = mmap(NULL, 3 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	CHECK(map != MAP_FAILED);
	memset(map, 1, 2 << 20);
	run = run_stoa("ls", "--all", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "odd\\e[31m\\n\\xff name");
	CHECK_EQ(strchr(run->out, '\033'), NULL);
	run = run_stoa("ls", "--all", "--json", NULL);
	snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)getpid());
	CHECK_HAS(line_with(run->out, "odd\\u001b[31m\\n\\ufffd name"), pid);
	CHECK_HAS(line_with(run->out, "odd\\u001b"), "\"kind\":\"memfd\"");
	CHECK_HAS(line_with(run->out, "odd\\u001b"), "\"size\":3145728,\"resident\":2097152,");
	CHECK_HAS(line_with(run->out, "odd\\u001b"), "\"name_hex\":\"6f6464");
	CHECK_HAS(line_with(run->out, "odd\\u001b"), "\"orphaned\":false");
	check_json(run->out);
	CHECK_SYS(munmap(map, 3 << 20));
	CHECK_SYS(close(memory));
	CHECK_EQ(strstr(run_stoa("ls", "--all", NULL)->out, "odd\\e"), NULL);
}

TEST(ls_all_finds_files_and_who_left_them)
{
	char name[256];
	char path[300];
	bool sure = all_seen();
	const struct run *run;
	int file;

	snprintf(name, sizeof(name), "/%s", test_name("file"));
	snprintf(path, sizeof(path), "/dev/shm%s", name);
	file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK_SYS(file);
	CHECK_SYS(ftruncate(file, 100000));
	run = run_stoa("ls", "--all", "--json", NULL);
	CHECK_HAS(line_with(run->out, path), "\"kind\":\"file\"");
	CHECK_HAS(line_with(run->out, path), "\"size\":100000,\"resident\":0,");
	CHECK_HAS(line_with(run->out, path), "\"orphaned\":false");
	CHECK_HAS(line_with(run->out, path), "\"maps\":false,\"opens\":true");
	CHECK_SYS(close(file));
	run = run_stoa("ls", "--all", "--json", "--orphaned", NULL);
	CHECK_HAS(line_with(run->out, path), sure ? "\"orphaned\":true" : "\"orphaned\":null");
	CHECK_HAS(line_with(run->out, path), "\"users\":[]");
	CHECK_SYS(shm_unlink(name));
}

TEST(ls_all_finds_system_v)
{
	char name[64];
	const struct run *run;
	void *map;
	int id = shmget(IPC_PRIVATE, 2 << 20, IPC_CREAT | 0600);

	if (id < 0 && (errno == ENOSYS || errno == EACCES))
		SKIP("no System V shared memory: %s", strerror(errno));
	CHECK_SYS(id);
	snprintf(name, sizeof(name), "key 0x00000000 id %d\"", id);
	run = run_stoa("ls", "--all", "--json", NULL);
	CHECK_HAS(line_with(run->out, name), "\"kind\":\"sysv\"");
	CHECK_HAS(line_with(run->out, name), "\"size\":2097152");
	CHECK_HAS(line_with(run->out, name), "\"orphaned\":true");
	map = shmat(id, NULL, 0);
	CHECK(map != (void *)-1);
	run = run_stoa("ls", "--all", "--json", NULL);
	CHECK_HAS(line_with(run->out, name), "\"orphaned\":false");
	CHECK_HAS(line_with(run->out, name), "\"maps\":true");
	CHECK_SYS(shmdt(map));
	CHECK_SYS(shmctl(id, IPC_RMID, NULL));
}

TEST(ls_all_finds_anonymous_shared_memory)
{
	char pid[32];
	void *map = mmap(NULL, 3 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool found = false;

	CHECK(map != MAP_FAILED);
	snprintf(pid, sizeof(pid), "\"pid\":%d,", (int)getpid());
	for (char *line = strtok((char *)(uintptr_t)run_stoa("ls", "-a", "--json", NULL)->out, "\n"); line;
	     line = strtok(NULL, "\n"))
		found |= strstr(line, "\"kind\":\"anon\"") && strstr(line, "\"size\":3145728") && strstr(line, pid);
	CHECK(found);
	CHECK_SYS(munmap(map, 3 << 20));
}

/* An ordinary user sees what is its own, and is told that there is more. */
TEST(ls_all_without_privilege)
{
	int status;
	const struct run *run;
	pid_t pid;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	pid = fork();
	CHECK_SYS(pid);
	if (pid == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(99);
		run = run_stoa("ls", "--all", NULL);
		if (run->status == 127)
			_exit(77); /* the build lies where this user cannot go */
		_exit(run->status != 0 || !strstr(run->err, "could not be looked into"));
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		SKIP("another user cannot reach %s", STOA_TOOL);
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* A file system of another mount namespace, as containers have: only the map of its file tells of it. */
static void map_in_a_namespace(void *argument)
{
	_Atomic uint32_t *state = argument;
	int file;
	void *map;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("stoa", "/mnt", "tmpfs", 0, "size=8M") != 0) {
		atomic_store(state, 2);
		return;
	}
	file = open("/mnt/contained file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	CHECK_SYS(ftruncate(file, 1 << 20));
	map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(map != MAP_FAILED);
	memset(map, 1, 1 << 20);
	atomic_store(state, 1);
	for (;;)
		pause();
}

TEST(ls_all_sees_into_containers)
{
	_Atomic uint32_t *state = test_shared(sizeof(*state));
	pid_t role = test_role(map_in_a_namespace, state);
	const struct run *run;

	while (atomic_load(state) == 0)
		usleep(1000);
	if (atomic_load(state) == 2) {
		test_join(role);
		SKIP("this user cannot make a mount namespace");
	}
	run = run_stoa("ls", "--all", "--json", NULL);
	CHECK_HAS(line_with(run->out, "contained file"), "\"kind\":\"file\"");
	CHECK_HAS(line_with(run->out, "contained file"), "\"size\":1048576");
	test_kill(role);
}

/* ---- doctor ---- */

/* Run doctor as that user, in a mount namespace that `prepare` has changed; its line about `topic` must have `part`. */
static void doctor_in(const char *prepare, unsigned user, const char *topic, const char *part)
{
	char command[2000];
	int status;

	if (geteuid() != 0)
		SKIP("only root can mount");
	if (access("/usr/bin/unshare", X_OK) != 0 || access("/usr/bin/setpriv", X_OK) != 0)
		SKIP("no unshare or setpriv");
	if (system("unshare -m true 2> /dev/null") != 0)
		SKIP("no mount namespace can be made");
	snprintf(command, sizeof(command),
		 "unshare -m sh -ec \"%s; setpriv --reuid %u --clear-groups '%s' doctor --json\" > '%s/out'", prepare,
		 user, STOA_TOOL, test_dir());
	status = system(command);
	if (WEXITSTATUS(status) == 127)
		SKIP("another user cannot reach %s", STOA_TOOL);
	CHECK_EQ(status, 0);
	snprintf(command, sizeof(command), "grep -F '\"topic\":\"%s\"' '%s/out' | grep -qF '%s'", topic, test_dir(),
		 part);
	CHECK_EQ(system(command), 0);
}

TEST(doctor_reads_the_login_manager)
{
	const char *running = "mount -t tmpfs x /run; mkdir -p /run/systemd/system /run/systemd/logind.conf.d";
	char prepare[1000];

	doctor_in("mount -t tmpfs x /run", 54321, "RemoveIPC", "\"level\":\"ok\",\"state\":\"systemd does not run");
	doctor_in(running, 54321, "RemoveIPC", "\"level\":\"warn\"");
	doctor_in(running, 0, "RemoveIPC", "\"level\":\"ok\"");
	/* The later of two files counts, and a comment does not. */
	snprintf(prepare, sizeof(prepare),
		 "%s; echo RemoveIPC=yes > /run/systemd/logind.conf.d/10.conf; "
		 "printf '[Login]\nRemoveIPC = no\n#RemoveIPC=yes\n' > /run/systemd/logind.conf.d/20.conf",
		 running);
	doctor_in(prepare, 54321, "RemoveIPC", "\"state\":\"no: names outlive logins\"");
}

TEST(doctor_looks_at_dev_shm)
{
	doctor_in("mount -t tmpfs -o size=1M x /dev/shm", 0, "/dev/shm", "\"level\":\"warn\",\"state\":\"1MiB");
	doctor_in("mount -t tmpfs -o size=1M x /dev/shm", 0, "/dev/shm", "size=2048M");
	doctor_in("mount -t tmpfs x /dev/shm; mkdir -m 755 /dev/shm/stoa.54321; chown 54321 /dev/shm/stoa.54321", 54321,
		  "names", "\"remedy\":\"chmod 700 /dev/shm/stoa.54321\"");
	doctor_in("mount -t ramfs x /dev/shm", 0, "/dev/shm", "\"level\":\"off\"");
	doctor_in("mount -t tmpfs x /dev/shm; mkdir -m 777 /dev/shm/stoa.54321", 54321, "names", "user root, mode 777");
}

TEST(doctor_examines)
{
	const struct run *run = run_stoa("doctor", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "kernel");
	CHECK_HAS(run->out, "/dev/shm");
	run = run_stoa("doctor", "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, "\"topic\":\"RemoveIPC\"");
	CHECK_HAS(run->out, "\"topic\":\"huge pages\"");
}

/*
 * Under a limit, set by this word of ulimit, a remedy that is a command must lift the warning, and one that is none must say who can. As
 * that user; `is` tells which kind of remedy it must be, as a shell pattern.
 */
static void doctor_lifts(const char *limit, const char *topic, unsigned user, const char *is)
{
	char command[2000];
	int status;

	snprintf(command, sizeof(command),
		 "exec setpriv --reuid %u --clear-groups sh -c '"
		 "warns() { %s doctor --quiet --json | grep -F \"\\\"topic\\\":\\\"%s\\\"\"; }; [ -x %s ] || exit 127; "
		 "ulimit %s || exit 2; remedy=$(warns | sed \"s/.*\\\"remedy\\\":\\\"\\([^\\\"]*\\).*/\\1/\"); "
		 "case $remedy in %s) ;; *) echo \"$remedy\" >&2; exit 3 ;; esac; "
		 "case $remedy in ulimit*) eval \"$remedy\" && ! warns ;; esac'",
		 user, STOA_TOOL, topic, STOA_TOOL, limit, is);
	status = system(command);
	if (WEXITSTATUS(status) == 127)
		SKIP("user %u cannot reach %s", user, STOA_TOOL);
	CHECK_EQ(status, 0);
}

TEST(doctor_remedies_for_limits_work)
{
	if (geteuid() != 0)
		SKIP("only root can become another user");
	if (access("/usr/bin/setpriv", X_OK) != 0)
		SKIP("no setpriv");
	doctor_lifts("-S -n 100", "RLIMIT_NOFILE", 54321, "ulimit\\ -S*");
	doctor_lifts("-n 100", "RLIMIT_NOFILE", 54321, "*only\\ root*--nofile=4096*limits.conf");
	doctor_lifts("-S -f 1000", "RLIMIT_FSIZE", 54321, "ulimit\\ -S*");
	doctor_lifts("-f 1000", "RLIMIT_FSIZE", 54321, "*only\\ root*--fsize=unlimited*limits.conf");
	if (!getenv("STOA_TEST_SLOW")) /* a sanitizer's shadow takes more */
		doctor_lifts("-S -v 4000000", "RLIMIT_AS", 54321, "ulimit\\ -S*");
	/* Root may, or in some containers not: either way it must be true. */
	doctor_lifts("-n 100", "RLIMIT_NOFILE", 0, "ulimit\\ -n*|*only\\ root*");
	doctor_lifts("-f 1000", "RLIMIT_FSIZE", 0, "ulimit\\ -f*|*only\\ root*");
}

/* It reports what is, not what should be: under a limit of our making it says so. */
TEST(doctor_sees_a_limit)
{
	int status = system("ulimit -f 2048; " STOA_TOOL
			    " doctor --json --quiet | grep -q '\"RLIMIT_FSIZE\",\"level\":\"warn\"'");

	CHECK_EQ(WEXITSTATUS(status), 0);
}
