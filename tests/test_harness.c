/* SPDX-License-Identifier: MIT */
/* The harness tests itself: what must not pass does not pass, and what it promises to tests holds. On every system. */
#include <harness/test.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

static void fail_in_role(void *argument)
{
	CHECK_STR("role", argument);
}

TEST_MUST_FAIL(failing_check_in_role, "\"role\", \"other\"")
{
	static char other[] = "other";
	pid_t role = test_role(fail_in_role, other);

	test_join(role);
}

TEST_MUST_FAIL(early_exit, "ended early with exit status 0")
{
	_exit(0);
}

TEST_DEFINE(hang, 1, false, "hang: not finished after")
{
	test_pause();
}

static void sleep_for_ever(void *argument)
{
	(void)argument;
	test_pause();
}

TEST_MUST_FAIL(leaked_child, "leak: a child process")
{
	test_role(sleep_for_ever, NULL);
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

TEST_MUST_FAIL(leaked_file, "leak: 1 ")
{
	char path[5000];

	snprintf(path, sizeof(path), "%s/file", test_dir());
	CHECK(fopen(path, "w"));
}

TEST(leaks_can_be_excepted)
{
	char path[5000];

	TEST_LEAKS_OK("this test shows that it can be said");
	snprintf(path, sizeof(path), "%s/file", test_dir());
	CHECK(fopen(path, "w"));
}

/* The address of a number that the compiler does not know to be none. */
static int *nowhere(void)
{
	static int *volatile address = (int *)8;

	return address;
}

TEST_MUST_FAIL(crash, "crash: ")
{
	signal(SIGSEGV, SIG_DFL); /* also under a sanitizer */
	*nowhere() = 1;
}

static void crash_here(void *argument)
{
	(void)argument;
	signal(SIGSEGV, SIG_DFL);
	*nowhere() = 1;
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
	CHECK_INT(test_join(test_role(crash_here, NULL)), <, 0);
	test_await_sleep(sleeper);
	test_kill(sleeper);
}

struct progress {
	_Atomic uint32_t begun, may_end;
};

static void spin_then_sleep(void *argument)
{
	struct progress *progress = argument;

	atomic_store(&progress->begun, 1);
	while (!atomic_load(&progress->may_end))
		cc_pause();
	test_pause();
}

static void *let_end(void *argument)
{
	struct progress *progress = argument;

	test_await(&progress->begun, 1);
	test_nap(100);
	atomic_store(&progress->may_end, 1);
	return NULL;
}

TEST(who_is_busy_does_not_sleep)
{
	struct progress *progress = test_shared(sizeof(*progress));
	pid_t role = test_role(spin_then_sleep, progress);
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, let_end, progress), 0);
	test_await_sleep(role);
	CHECK_EQ(atomic_load(&progress->may_end), 1);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	test_kill(role);
}
