/* SPDX-License-Identifier: MIT */
/* The harness tests itself: what it promises on Linux alone, of descriptors, mappings, names, signals and children. Uses libc. */
#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TEST_MUST_FAIL(failing_system_call, "Bad file descriptor")
{
	CHECK_SYS(close(-1));
}

TEST_MUST_FAIL(crash, "crash: killed by signal 11")
{
	signal(SIGSEGV, SIG_DFL); /* also under a sanitizer */
	raise(SIGSEGV);
}

TEST_MUST_FAIL(leaked_descriptor, "leak: 1 descriptor(s)")
{
	CHECK_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST_MUST_FAIL(leaked_mapping, "leak: 1 mapping(s), e.g. ")
{
	int memory = memfd_create("stoa", MFD_CLOEXEC);

	CHECK_SYS(memory);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, memory, 0) != MAP_FAILED);
	CHECK_SYS(close(memory));
}

TEST_MUST_FAIL(leaked_name, "leak: 1 name(s), e.g. /dev/shm/stoa.test/t")
{
	char path[300];
	int file;

	if (mkdir("/dev/shm/stoa.test", 0700) != 0)
		CHECK_EQ(errno, EEXIST);
	snprintf(path, sizeof(path), "/dev/shm/stoa.test/%s", test_name("left"));
	file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	CHECK_SYS(close(file));
}

/* Also where /dev/shm is shared with others: the name of the test above is not there any more, only its directory. */
TEST(leaked_name_is_removed)
{
	if (rmdir("/dev/shm/stoa.test") != 0)
		CHECK_EQ(errno, ENOENT);
}

static void sleep_for_ever(void *argument)
{
	(void)argument;
	test_pause();
}

TEST_MUST_FAIL(unreaped_child, "leak: a child process")
{
	pid_t pid = fork();

	CHECK_SYS(pid);
	if (pid == 0)
		_exit(0);
}

/* A grandchild that left the process group and whose parent is gone. */
TEST_MUST_FAIL(leaked_daemon, "leak: a child process")
{
	pid_t pid = fork();

	CHECK_SYS(pid);
	if (pid == 0) {
		setsid();
		if (fork() == 0)
			sleep_for_ever(NULL);
		_exit(0);
	}
	CHECK_EQ(test_join(pid), 0);
}

TEST(roles_end_by_signals)
{
	pid_t sleeper = test_role(sleep_for_ever, NULL);

	test_await_sleep(sleeper);
	CHECK_SYS(kill(sleeper, SIGTERM));
	CHECK_EQ(test_join(sleeper), -SIGTERM);
	sleeper = test_role(sleep_for_ever, NULL);
	test_kill(sleeper);
	CHECK_EQ(kill(sleeper, 0), -1);
}

TEST(directory_is_private_and_empty)
{
	char path[5000];
	int file;

	CHECK_EQ(rmdir(test_dir()), 0);
	snprintf(path, sizeof(path), "%s/file", test_dir());
	file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	CHECK_SYS(close(file));
}
