/* SPDX-License-Identifier: MIT */
/* The harness tests itself: what must not pass does not pass, and what it promises to tests holds. Uses libc and /proc. */
#include <harness/test.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TEST_MUST_FAIL(failing_check, "1 + 1 == 3")
{
	CHECK(1 + 1 == 3);
}

TEST_MUST_FAIL(failing_equal, "2 (0x2), -1 (0xffffffffffffffff)")
{
	CHECK_EQ(2, -1);
}

TEST_MUST_FAIL(failing_int, "(-1) > 0: -1, 0")
{
	CHECK_INT((-1), >, 0);
}

TEST_MUST_FAIL(failing_string, "\"a\", \"b\"")
{
	CHECK_STR("a", "b");
}

TEST_MUST_FAIL(failing_result, "STOA_ENOMEM (-6), expected STOA_OK (0)")
{
	CHECK_RC(-STOA_ENOMEM, 0);
}

TEST_MUST_FAIL(failing_system_call, "Bad file descriptor")
{
	CHECK_SYS(close(-1));
}

static void fail_in_role(void *argument)
{
	CHECK_STR("role", argument);
}

TEST_MUST_FAIL(failing_check_in_role, "\"role\", \"other\"")
{
	char other[] = "other";
	pid_t role = test_role(fail_in_role, other);

	test_join(role);
}

TEST_MUST_FAIL(crash, "crash: killed by signal 11")
{
	signal(SIGSEGV, SIG_DFL); /* also under a sanitizer */
	raise(SIGSEGV);
}

TEST_MUST_FAIL(early_exit, "ended early with exit status 0")
{
	_exit(0);
}

TEST_DEFINE(hang, 1, false, "hang: not finished after")
{
	for (;;)
		pause();
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
	for (;;)
		pause();
}

TEST_MUST_FAIL(leaked_child, "leak: a child process")
{
	test_role(sleep_for_ever, NULL);
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

static void *thread_for_ever(void *argument)
{
	sleep_for_ever(argument);
	return NULL;
}

TEST_MUST_FAIL(leaked_thread, "leak: 1 thread(s)")
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, thread_for_ever, NULL), 0);
}

TEST(leaks_can_be_excepted)
{
	TEST_LEAKS_OK("this test shows that it can be said");
	CHECK_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void count_up(void *argument)
{
	_Atomic uint32_t *shared = argument;

	atomic_fetch_add(shared, 1);
}

TEST_THREADS(roles_share_memory, TEST_SECONDS)
{
	_Atomic uint32_t *shared = test_shared(sizeof(*shared));
	pid_t roles[4];

	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(count_up, shared);
	test_await(shared, CC_COUNT(roles));
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
}

static void exit_with_7(void *argument)
{
	(void)argument;
	_exit(7);
}

TEST(roles_end_as_told)
{
	pid_t sleeper = test_role(sleep_for_ever, NULL);

	CHECK_EQ(test_join(test_role(exit_with_7, NULL)), 7);
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

TEST(names_are_the_same_in_roles)
{
	char mine[256];

	snprintf(mine, sizeof(mine), "%s", test_name("x"));
	CHECK_STR(test_name("x"), mine);
	CHECK(strcmp(test_name("y"), mine) != 0);
}

TEST(random_numbers_repeat)
{
	uint64_t a = 1, b = 1, c = 2;

	CHECK_EQ(test_random(&a), test_random(&b));
	CHECK(test_random(&a) != test_random(&c));
}
