/* SPDX-License-Identifier: MIT */
/* The portable half of the test harness: the list of tests, checks, and the report in TAP. Runs tests through harness.h. */
#include <harness/harness.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

struct test_status *test_status;
static struct test *tests, **tests_end = &tests;

void test_register(struct test *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

/* ---- outcomes ---- */

void test_conclude(int state, const char *file, int line, const char *format, ...)
{
	char text[sizeof(test_status->message)];
	int running = TEST_RUNNING, used = file ? snprintf(text, sizeof(text) / 2, "%s:%d: ", file, line) : 0;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
	va_end(arguments);
	if (atomic_compare_exchange_strong(&test_status->state, &running, state))
		memcpy(test_status->message, text, sizeof(text));
}

void test_check_equal(const char *file, int line, const char *text, unsigned long long a, unsigned long long b)
{
	if (a != b)
		test_fail(file, line, "%s: %lld (0x%llx), %lld (0x%llx)", text, (long long)a, a, (long long)b, b);
}

void test_check_string(const char *file, int line, const char *text, const char *a, const char *b)
{
	if (!a || !b || strcmp(a, b) != 0)
		test_fail(file, line, "%s: \"%s\", \"%s\"", text, a ? a : "(null)", b ? b : "(null)");
}

void test_check_result(const char *file, int line, const char *call, int result, int expected)
{
	if (result != expected)
		test_fail(file, line, "%s: %s (%d), expected %s (%d); detail: %s", call, stoa_error_name(result),
			  result, stoa_error_name(expected), expected, stoa_error_detail());
}

void test_leaks_ok(const char *reason)
{
	test_note("leaks are not looked for: %s", reason);
	atomic_store(&test_status->leaks_ok, 1);
}

/* ---- surroundings ---- */

static void print_line(const char *before, const char *format, va_list arguments)
{
	fputs(before, stdout);
	vprintf(format, arguments);
	printf("\n");
	fflush(stdout);
}

void test_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("", format, arguments);
	va_end(arguments);
}

void test_figure(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("= ", format, arguments);
	va_end(arguments);
}

const char *test_name(const char *suffix)
{
	static _Thread_local char names[16][256];
	static _Thread_local unsigned next;
	char *name = names[next++ % CC_COUNT(names)];

	snprintf(name, sizeof(names[0]), "t%" PRIu32 "-%s", atomic_load(&test_status->pid), suffix);
	return name;
}

uint64_t test_seed(void)
{
	const char *given = getenv("STOA_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0) : ((uint64_t)now.tv_sec << 20) ^ (uint64_t)now.tv_nsec;
	test_note("STOA_SEED=%" PRIu64, seed);
	return seed;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static bool asked(const char *variable, const char *value)
{
	const char *found = getenv(variable);

	return found && strcmp(found, value) == 0;
}

unsigned test_rounds(unsigned few, unsigned soak)
{
	return asked("STOA_SOAK", "1") ? soak : few;
}

bool test_roles_are_threads(void)
{
	return asked("STOA_ROLES", "threads");
}

void test_nap(unsigned milliseconds)
{
	struct timespec t = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};

	nanosleep(&t, NULL);
}

noreturn void test_pause(void)
{
	for (;;)
		test_nap(1000000);
}

void test_await(const _Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) != value)
		test_nap(2);
}

/* ---- the report ---- */

static unsigned counts[TEST_SKIPPED + 1];

static void print_output(FILE *output)
{
	char line[1024];

	if (!output)
		return;
	rewind(output);
	while (fgets(line, sizeof(line), output))
		printf("# %s%s", line, strchr(line, '\n') ? "" : "\n");
	fclose(output);
}

/* A test that must fail passes when it failed in the way foretold. */
static void judge(const struct test *test)
{
	bool foretold = test_status->state == TEST_FAILED && strstr(test_status->message, test->must_fail);
	char was[200];

	if (test_status->state == TEST_SKIPPED)
		return;
	snprintf(was, sizeof(was), "%.180s", test_status->message);
	test_status->state = foretold ? TEST_PASSED : TEST_FAILED;
	snprintf(test_status->message, sizeof(test_status->message), "should have failed with \"%s\", but: %s",
		 test->must_fail, was);
}

static void run(const struct test *test, unsigned number)
{
	const char *slow = getenv("STOA_TEST_SLOW"); /* how many times slower than usual: sanitizers, valgrind, soak */
	unsigned factor = slow ? (unsigned)strtoul(slow, NULL, 10) : test_rounds(1, 60);
	static const char *const notes[] = {"", "", " # ", " # SKIP "};
	FILE *output = NULL;

	memset(test_status, 0, sizeof(*test_status));
	fflush(NULL);
	system_run(test, test->seconds * (factor ? factor : 1), &output);
	if (test->must_fail)
		judge(test);
	if (!test->must_fail || test_status->state == TEST_FAILED)
		print_output(output);
	else if (output)
		fclose(output);
	counts[test_status->state]++;
	printf("%sok %u - %s%s%s\n", test_status->state == TEST_FAILED ? "not " : "", number, test->name,
	       notes[test_status->state], test_status->state == TEST_PASSED ? "" : test_status->message);
	fflush(stdout);
}

static bool chosen(const struct test *test, int count, char **filters)
{
	if (test_roles_are_threads() && !test->threads)
		return false;
	for (int i = 0; i < count; i++)
		if (strstr(test->name, filters[i]))
			return true;
	return count == 0;
}

int main(int count, char **arguments)
{
	bool list = count > 1 && strcmp(arguments[1], "--list") == 0;
	unsigned number = 0, planned = 0;

	system_child(count, arguments);
	for (const struct test *test = tests; test; test = test->next) {
		if (list)
			printf("%s\n", test->name);
		planned += chosen(test, count - 1, arguments + 1);
	}
	if (list)
		return 0;
	system_start();
	printf("1..%u\n", planned);
	for (const struct test *test = tests; test; test = test->next)
		if (chosen(test, count - 1, arguments + 1))
			run(test, ++number);
	printf("%u passed, %u failed, %u skipped\n", counts[TEST_PASSED], counts[TEST_FAILED], counts[TEST_SKIPPED]);
	return counts[TEST_FAILED] > 0;
}
