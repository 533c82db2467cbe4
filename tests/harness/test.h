/* SPDX-License-Identifier: MIT */
/*
 * The test harness. A test program is a file of TEST()s linked with the harness; each test runs in a child process of its own,
 * in its own process group, under a time limit, and must leave nothing behind: no descriptor, mapping of shared memory,
 * thread, name or child process. A test may split itself into roles (test_role), which are processes and can be killed.
 *
 * The first CHECK that fails, in the test or in any of its roles, ends the whole test as failed.
 */
#ifndef HARNESS_TEST_H
#define HARNESS_TEST_H

#include <base/cc.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <stoa/error.h>
#include <string.h>
#include <sys/types.h>

struct test {
	const char *name;
	void (*body)(void);
	unsigned seconds;      /* time limit */
	bool threads;          /* roles may run as threads of one process, for the thread sanitizer */
	const char *must_fail; /* the test passes when it fails with this text in its message */
	struct test *next;     /* harness */
};
#define TEST_SECONDS 20

#define TEST_DEFINE(name_, seconds_, threads_, must_fail_)                                       \
	static void name_(void);                                                                 \
	CC_CONSTRUCTOR static void register_##name_(void)                                        \
	{                                                                                        \
		static struct test test = {#name_, name_, seconds_, threads_, must_fail_, NULL}; \
		test_register(&test);                                                            \
	}                                                                                        \
	static void name_(void)

#define TEST(name) TEST_DEFINE(name, TEST_SECONDS, false, NULL)
#define TEST_TIMEOUT(name, seconds) TEST_DEFINE(name, seconds, false, NULL)
/* Also run under the thread sanitizer, with roles as threads: kills nobody, and shares its segment by one handle. */
#define TEST_THREADS(name, seconds) TEST_DEFINE(name, seconds, true, NULL)
#define TEST_MUST_FAIL(name, message) TEST_DEFINE(name, TEST_SECONDS, false, message)

/* ---- checks: all print the place and the values, and end the test ---- */

#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, "%s", #condition))

/* Any two integers or pointers. */
#define CHECK_EQ(a, b) \
	test_check_equal(__FILE__, __LINE__, #a " == " #b, (unsigned long long)(a), (unsigned long long)(b))

/* Two signed integers and an operator: CHECK_INT(count, >=, 3). */
#define CHECK_INT(a, op, b)                                                                                 \
	do {                                                                                                \
		long long test_a = (long long)(a), test_b = (long long)(b);                                 \
		if (!(test_a op test_b))                                                                    \
			test_fail(__FILE__, __LINE__, "%s: %lld, %lld", #a " " #op " " #b, test_a, test_b); \
	} while (0)

#define CHECK_STR(a, b) test_check_string(__FILE__, __LINE__, #a " is " #b, (a), (b))

/* A stoa call and the result it must give: CHECK_RC(stoa_segment_open(...), -STOA_ENOENT). */
#define CHECK_RC(call, expected) test_check_result(__FILE__, __LINE__, #call, (call), (expected))

/* A system call that must not return -1: CHECK_SYS(ftruncate(fd, 0)). */
#define CHECK_SYS(call) ((call) != -1 ? (void)0 : test_fail(__FILE__, __LINE__, "%s: %s", #call, strerror(errno)))

/* End the test as failed, or as skipped with a reason. */
#define test_fail(file, line, ...) (test_conclude(TEST_FAILED, file, line, __VA_ARGS__), test_end())
#define SKIP(...) (test_conclude(TEST_SKIPPED, NULL, 0, __VA_ARGS__), test_end())
#define TEST_LEAKS_OK(reason) test_leaks_ok(reason) /* do not look for leaks after this test, because... */

/* ---- surroundings ---- */

const char *test_dir(void);                /* a private, empty directory in memory; removed afterwards */
const char *test_name(const char *suffix); /* a name for this test alone, the same in all its roles; 16 stay valid */
void *test_shared(size_t size);            /* zeroed memory shared with roles started later */
uint64_t test_seed(void);                  /* printed; STOA_SEED repeats a run */
uint64_t test_random(uint64_t *state);     /* next number; start with a seed */
unsigned test_rounds(unsigned few, unsigned soak); /* few, or soak with STOA_SOAK=1 */
extern const unsigned
	test_start_cost; /* how much longer than on Linux a process takes to start, roughly, and the system to answer */
void test_note(const char *format, ...) CC_PRINTF(1, 2);
void test_figure(const char *format, ...) CC_PRINTF(1, 2); /* a note that is shown also of a test that passes */
bool test_roles_are_threads(void);

/* ---- roles ---- */

/*
 * Run body(argument) as a process that dies with the thread that started it. Every role must be joined or killed.
 * With roles as threads (TEST_THREADS under STOA_ROLES=threads) it is a thread.
 *
 * Where the system has no fork, a role knows nothing of its parent but the argument: a number, or an address of test_shared(), of a
 * function or of something static (which has its first value there). test_share() gives it segments.
 */
#define test_role(body, argument) test_role_start(#body, (body), (argument))
pid_t test_role_start(const char *name, void (*body)(void *argument), void *argument);
int test_join(pid_t role);  /* exit status, or minus the signal that killed it */
#define TEST_KILLED (-9)    /* of what test_kill() or its like has ended */
void test_kill(pid_t role); /* SIGKILL, and reaped */

/*
 * Roles that are started later have *segment too, as long as it is not NULL. They have it anyhow after a fork; elsewhere they get a
 * handle of their own before their body runs, and then `after` (may be NULL) sets what hangs on it. `segment` is static.
 */
struct stoa_segment;
#define test_share(segment, after) test_share_with((segment), (after), stoa_segment_inherit, stoa_segment_adopt)
void test_share_with(struct stoa_segment **segment, void (*after)(void),
		     int (*inherit)(struct stoa_segment *segment, char *token),
		     int (*adopt)(const char *token, struct stoa_segment **ret_segment));

noreturn void test_pause(void); /* until killed */
void test_nap(unsigned milliseconds);
bool test_readable(intptr_t descriptor, int milliseconds); /* as poll(2), or its like, says; -1: waits */

/* Wait, sleeping, until *word == value; and until the process sleeps in the kernel. The time limit bounds both. */
void test_await(const _Atomic uint32_t *word, uint32_t value);
void test_await_sleep(pid_t role);

/* ---- what the macros call ---- */

enum { TEST_RUNNING, TEST_PASSED, TEST_FAILED, TEST_SKIPPED };
void test_register(struct test *test);
void test_conclude(int state, const char *file, int line, const char *format, ...)
	CC_PRINTF(4, 5);      /* the first counts */
noreturn void test_end(void); /* of the calling process, and with it of the test */
void test_check_equal(const char *file, int line, const char *text, unsigned long long a, unsigned long long b);
void test_check_string(const char *file, int line, const char *text, const char *a, const char *b);
void test_check_result(const char *file, int line, const char *call, int result, int expected);
void test_leaks_ok(const char *reason);

#endif
