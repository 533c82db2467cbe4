/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the library makes fails once, in turn, in every public function: the function then returns a documented
 * error, or manages without; it leaves its outputs alone on failure, and no descriptor, map, name or memory behind in any case.
 *
 * Linked with a library built with STOA_FAULTS (os/linux/sys.h); the cases are in faults/. The list of functions is checked against what the
 * library exports, so none is forgotten.
 */
#include <harness/test.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/error.h>
#include <faults/faults.h>
#include <os/linux/sys.h>

struct stock {
	unsigned descriptors, maps, names, global_names;
	int64_t allocations;
};

static unsigned count_entries(const char *path, const char *part)
{
	DIR *list = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	while (list && (entry = readdir(list)))
		count += entry->d_name[0] != '.' && (!part || strstr(entry->d_name, part));
	if (list)
		closedir(list);
	return count;
}

static struct stock take_stock(const struct run *run)
{
	char path[64], line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	struct stock stock = {0};

	while (maps && fgets(line, sizeof(line), maps))
		stock.maps += strstr(line, "/memfd:") || strstr(line, "/dev/shm/");
	if (maps)
		fclose(maps);
	snprintf(path, sizeof(path), "/dev/shm/stoa.%u", (unsigned)geteuid());
	stock.names = count_entries(path, run->name);
	stock.global_names = count_entries("/dev/shm", run->name);
	stock.descriptors = count_entries("/proc/self/fd", NULL);
	stock.allocations = os_fault_allocations();
	return stock;
}

static bool is_all_back(const struct stock *now, const struct stock *before)
{
	return now->descriptors == before->descriptors && now->maps == before->maps && now->names == before->names &&
	       now->global_names == before->global_names && now->allocations <= before->allocations;
}

static bool is_documented(const char *errors, int result)
{
	const char *name = stoa_error_name(result) + strlen("STOA_");
	size_t length = strlen(name);

	/* stoa/error.h: whatever asks the system may give these. */
	if (result == -STOA_ENOMEM || result == -STOA_ELIMIT || result == -STOA_EIO || result == -STOA_ESYSTEM)
		return errors[0];
	for (const char *at = errors; (at = strstr(at, name)); at += length)
		if ((at == errors || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
			return true;
	return false;
}

/* One faulty run, in a thread of its own: it enrols anew, and leaves at its end. */
struct attempt {
	const struct fault_case *fault_case;
	struct run *run;
	uint64_t nth;
	int error, result;
	const char *hit;
	const char *meant; /* part of the name of the call that is to fail; NULL: any */
};

/* All that is wrong is told, and fails the test at the end. */
static unsigned complaints;

static void complain(const struct attempt *attempt, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	test_note("WRONG: %s with %s failing by %s (call %" PRIu64 "), result %s: %s", attempt->fault_case->function,
		  attempt->hit ? attempt->hit : "nothing", strerror(attempt->error), attempt->nth,
		  stoa_error_name(attempt->result), text);
	complaints++;
}

#define STALE "a sentence of an earlier failure"

static void *attempt_body(void *argument)
{
	struct attempt *attempt = argument;
	const struct fault_case *fault_case = attempt->fault_case;
	struct run *run = attempt->run;
	union big_output big;
	uint64_t before;

	run->ret.bits = run->second.bits = UNTOUCHED;
	memset(&run->big, 0x5a, sizeof(run->big));
	run->counted = 0;
	if (fault_case->prepare)
		fault_case->prepare(run);
	before = run->ret.bits;
	big = run->big;
	(void)error_set(0, STALE);
	os_fault_count(run->counted);
	os_fault_arm(attempt->nth, attempt->error);
	attempt->result = fault_case->call(run);
	attempt->hit = os_fault_hit();
	os_fault_arm(0, 0);
	if (attempt->result < 0 && (!*stoa_error_detail() || !strcmp(stoa_error_detail(), STALE)))
		complain(attempt, "there is no sentence about it");
	if (attempt->result < 0 && (run->ret.bits != before || memcmp(&run->big, &big, sizeof(big))))
		complain(attempt, "it failed and wrote its output");
	if (fault_case->undo)
		fault_case->undo(run, attempt->result);
	return NULL;
}

static void check_leaks(const struct attempt *attempt, const struct stock *before)
{
	struct stock now = take_stock(attempt->run);

	/* Helper threads may still be ending; also one of the attempt before, that we had counted in. */
	for (unsigned i = 0; i < 200 && !is_all_back(&now, before); i++) {
		if (attempt->hit && !strcmp(attempt->hit, "munmap"))
			now.maps = before->maps; /* a map that the system does not take back stays */
		else
			usleep(1000);
		if (!is_all_back(&now, before))
			now = take_stock(attempt->run);
	}
	if (!is_all_back(&now, before))
		complain(attempt,
			 "descriptors %u -> %u, maps %u -> %u, names %u -> %u, global names %u -> %u, "
			 "allocations %" PRId64 " -> %" PRId64,
			 before->descriptors, now.descriptors, before->maps, now.maps, before->names, now.names,
			 before->global_names, now.global_names, before->allocations, now.allocations);
}

/* A helper thread's calls move the count: so another one may have failed, by an error that it never gives. */
static bool as_meant(const struct attempt *attempt)
{
	return !attempt->meant || !attempt->hit || strstr(attempt->hit, attempt->meant);
}

static const char *try_once(struct attempt *attempt)
{
	struct stock before = take_stock(attempt->run);
	uint32_t removed;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, attempt_body, attempt), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	if (as_meant(attempt) && attempt->result < 0 && !is_documented(attempt->fault_case->errors, attempt->result))
		complain(attempt, "not one of the documented errors (%s)", attempt->fault_case->errors);
	/* A lock file that nobody could remove any more is what the next opener or gc removes. */
	CHECK_RC(os_name_sweep(0, &removed), 0);
	CHECK_RC(os_name_sweep(OS_NAME_GLOBAL, &removed), 0);
	if (attempt->nth)
		check_leaks(attempt, &before);
	return as_meant(attempt) ? attempt->hit : NULL;
}

/* A little below what they are, as kernels differ. Fewer: a case has come to do nothing. */
#define PAIRS_AT_LEAST 315
#define FIRST_PAIRS_AT_LEAST 190
#define STORE_PAIRS_AT_LEAST 290

struct coverage {
	const char *calls[4096], *functions[4096];
	unsigned pairs, runs, failures;
};

static void cover(struct coverage *coverage, const char *call, const char *function)
{
	for (unsigned i = 0; i < coverage->pairs; i++)
		if (!strcmp(coverage->calls[i], call) && !strcmp(coverage->functions[i], function))
			return;
	CHECK(coverage->pairs < CC_COUNT(coverage->calls));
	coverage->calls[coverage->pairs] = call;
	coverage->functions[coverage->pairs++] = function;
}

/* Beside ENOMEM, which every call may give: what fits which calls. */
static const struct {
	const char *call;
	int error;
} fitting[] = {
	{"open", EMFILE},      {"open", EINTR},       {"memfd_create", EMFILE},
	{"dup", EMFILE},       {"fcntl", EMFILE},     {"fallocate", ENOSPC},
	{"fallocate", EINTR},  {"fallocate", EIO},    {"ftruncate", EIO},
	{"ftruncate", EINTR},  {"fsync", EIO},        {"msync", EIO},
	{"fdatasync", EIO},    {"read", EIO},         {"read", EINTR},
	{"write", ENOSPC},     {"write", EINTR},      {"flock", ENOLCK},
	{"flock", EINTR},      {"link", EIO},         {"unlink", EIO},
	{"mkdir", EACCES},     {"stat", EIO},         {"sendmsg", EINTR},
	{"sendmsg", EPIPE},    {"recvmsg", EINTR},    {"recvmsg", EMFILE},
	{"eventfd", EMFILE},   {"open_pidfd", ESRCH}, {"pthread", EAGAIN},
	{"getrandom", EINTR},  {"timerfd", EMFILE},   {"socket", EMFILE},
	{"poll", EINTR},       {"epoll", EMFILE},     {"rename", EIO},
	{"epoll_wait", EINTR}, {"readdir", EIO},      {"wait_one", EINTR},
	{"wait_many", EINTR},  {"poll", EAGAIN},      {"open_nameless", EOPNOTSUPP},
};

static void try_error(struct attempt *attempt, int error, struct coverage *coverage)
{
	attempt->error = error;
	if (!try_once(attempt))
		return;
	coverage->runs++;
	coverage->failures += attempt->result < 0;
	cover(coverage, attempt->hit, attempt->fault_case->function);
}

static void try_all(const struct fault_case *fault_case, struct run *run, struct coverage *coverage)
{
	struct attempt attempt = {.fault_case = fault_case, .run = run};

	unsigned misses = 0;

	try_once(&attempt); /* once without a fault: what is made at first use is there */
	CHECK_INT(attempt.result, >=, 0);
	/* A server that had just looked before it was asked makes fewer calls than one that was asleep. */
	for (attempt.nth = 1; misses < (run->counted ? 3 : 1); attempt.nth++) {
		const char *call;

		CHECK_INT(attempt.nth, <, 10000);
		try_error(&attempt, ENOMEM, coverage);
		call = attempt.hit;
		misses = call ? 0 : misses + 1;
		if (!call)
			continue;
		for (unsigned i = 0; i < CC_COUNT(fitting); i++)
			if (strstr(call, fitting[i].call)) {
				attempt.meant = fitting[i].call;
				try_error(&attempt, fitting[i].error, coverage);
			}
		attempt.meant = NULL;
	}
	CHECK_INT(attempt.result, >=, 0);
}

/* How many functions it has. */
static unsigned try_table(const struct fault_case *cases, struct run *run, struct coverage *coverage)
{
	unsigned functions = 0;

	for (unsigned i = 0; cases[i].function; i++) {
		unsigned before = coverage->pairs;

		functions += i == 0 || strcmp(cases[i].function, cases[i - 1].function);
		try_all(&cases[i], run, coverage);
		if (coverage->pairs > before)
			test_note("%-34s %3u system calls", cases[i].function, coverage->pairs - before);
	}
	return functions;
}

static void set_up(struct run *run)
{
	const struct stoa_segment_options options = {.commit = 65536, .flags = STOA_SHRINKABLE, .roster_slots = 8};
	const struct stoa_segment_options few_slots = {.flags = STOA_PERSISTENT, .roster_slots = 2};
	static char path[5000];
	struct stoa_segment *taken;
	int file;

	memset(run, 0, sizeof(*run));
	run->name = test_name("fault");
	run->taken = test_name("taken");
	snprintf(path, sizeof(path), "%s/file", test_dir());
	run->path = path;
	file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK_SYS(file);
	CHECK_SYS(ftruncate(file, 8192));
	CHECK_SYS(close(file));
	CHECK_RC(stoa_segment_create(NULL, RESERVE, &options, &run->segment), 0);
	CHECK_RC(stoa_segment_file(path, RESERVE, NULL, &run->file), 0);
	CHECK_RC(stoa_segment_create(run->taken, RESERVE, &few_slots, &taken), 0);
	stoa_segment_close(taken);
	run->objects = stoa_segment_address(run->segment);
	CHECK_RC(stoa_mutex_init(run->segment, &run->objects->mutex, 0), 0);
	CHECK_RC(stoa_event_init(run->segment, &run->objects->event, 0), 0);
	CHECK_RC(stoa_semaphore_init(run->segment, &run->objects->semaphore, 0, 10), 0);
}

TEST_TIMEOUT(every_call_fails_in_every_function, 240)
{
	static struct coverage coverage;
	unsigned functions;
	struct run run;

	TEST_LEAKS_OK("this test looks for them itself, and munmap() fails as well");
	set_up(&run);
	functions = try_table(segment_cases, &run, &coverage) + try_table(sync_cases, &run, &coverage) +
		    try_table(channel_cases, &run, &coverage) + try_table(stream_cases, &run, &coverage) +
		    try_table(grant_cases, &run, &coverage) + try_table(backing_cases, &run, &coverage) +
		    try_table(pager_cases, &run, &coverage);
	try_table(wait_cases, &run, &coverage);
	test_figure(
		"%u pairs of a system call and a function covered, %u functions, %u faults injected, %u of them reported",
		coverage.pairs, functions, coverage.runs, coverage.failures);
	CHECK_INT(coverage.pairs, >=, PAIRS_AT_LEAST);
	stoa_segment_close(run.file);
	stoa_segment_close(run.segment);
	CHECK_RC(stoa_segment_unlink(run.taken, 0), 0);
	CHECK_EQ(complaints, 0);
}

/* In a store the calls of one thread are counted: its client's, or its server's. */
TEST_TIMEOUT(every_call_fails_in_a_store, 600)
{
	static struct coverage coverage;
	unsigned functions;
	struct run run = {0};

	TEST_LEAKS_OK("this test looks for them itself, and munmap() fails as well");
	run.name = test_name("fault");
	functions = try_table(store_cases, &run, &coverage) + try_table(manager_cases, &run, &coverage) +
		    try_table(server_cases, &run, &coverage);
	test_figure(
		"%u pairs of a system call and a function covered, %u functions, %u faults injected, %u of them reported",
		coverage.pairs, functions, coverage.runs, coverage.failures);
	CHECK_INT(coverage.pairs, >=, STORE_PAIRS_AT_LEAST);
	CHECK_EQ(complaints, 0);
}

/* ---- a process's first use, where more is set up than ever again ---- */

#define FIRST_FAILED 1 /* reported, as it may be */
#define FIRST_WRONG 2

/* Shared with the process that tries it, which has the same constants at the same places. */
struct first_report {
	_Atomic(const char *) call; /* that failed, or NULL */
};

/* What failed once must be possible later, and has left nothing behind that was not there after the second time as well. */
static int first_use(const struct first_use *first, uint64_t nth, struct first_report *report)
{
	int rc, again;

	os_fault_arm(nth, ENOMEM);
	rc = first->use();
	atomic_store(&report->call, os_fault_hit());
	os_fault_arm(0, 0);
	if (rc < 0 && !is_documented(first->errors, rc)) {
		test_note("WRONG: %s with %s failing: %s is not documented", first->function,
			  report->call ? report->call : "nothing", stoa_error_name(rc));
		return FIRST_WRONG;
	}
	again = first->use();
	if (again || rc > 0)
		test_note("WRONG: %s after %s failed: %d, then %d: %s", first->function,
			  report->call ? report->call : "nothing", rc, again, stoa_error_detail());
	return again || rc > 0 ? FIRST_WRONG : rc ? FIRST_FAILED : 0;
}

/* In a process of its own, which has used nothing yet. */
static int first_use_apart(const struct first_use *first, uint64_t nth, struct first_report *report)
{
	pid_t child = fork();
	int status;

	CHECK_SYS(child);
	if (!child)
		_exit(first_use(first, nth, report));
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status)) {
		test_note("WRONG: %s with call %" PRIu64 " failing: status %x", first->function, nth, status);
		return FIRST_WRONG;
	}
	return WEXITSTATUS(status);
}

TEST_TIMEOUT(first_use_in_a_process, 120)
{
	static struct coverage coverage;
	struct first_report *report = test_shared(sizeof(*report));
	unsigned wrong = 0;

	for (const struct first_use *first = first_uses; first->function; first++) {
		unsigned failed = 0, before = coverage.pairs;
		uint64_t nth = 0;

		do {
			int outcome;

			atomic_store(&report->call, NULL);
			outcome = first_use_apart(first, ++nth, report);
			failed += outcome == FIRST_FAILED;
			wrong += outcome == FIRST_WRONG;
			if (report->call)
				cover(&coverage, report->call, first->function);
		} while (report->call);
		test_note("%-34s %3u system calls, %" PRIu64 " failed in turn, %u of them reported", first->function,
			  coverage.pairs - before, nth - 1, failed);
		CHECK_INT(failed, >, 5);
	}
	test_figure("%u pairs of a system call and a function's first use", coverage.pairs);
	CHECK_EQ(wrong, 0);
	CHECK_INT(coverage.pairs, >=, FIRST_PAIRS_AT_LEAST);
}

static bool has_case(const struct fault_case *cases, const char *function)
{
	while (cases->function && strcmp(cases->function, function))
		cases++;
	return cases->function != NULL;
}

/* Every function that the library exports stands in the table, and no other. */
TEST(no_function_is_forgotten)
{
	char line[256], command[1000];
	const char *library = getenv("STOA_LIBRARY");
	unsigned exported = 0;
	FILE *symbols;

	if (!library)
		SKIP("STOA_LIBRARY does not say where libstoa.so is");
	snprintf(command, sizeof(command), "nm -D --defined-only '%s'", library);
	symbols = popen(command, "r");
	CHECK(symbols != NULL);
	while (fgets(line, sizeof(line), symbols)) {
		char *symbol = strrchr(line, ' ');

		if (!symbol || strncmp(symbol + 1, "stoa_", 5))
			continue;
		symbol[1 + strcspn(symbol + 1, "@\n")] = 0;
		if (!has_case(segment_cases, symbol + 1) && !has_case(sync_cases, symbol + 1) &&
		    !has_case(channel_cases, symbol + 1) && !has_case(stream_cases, symbol + 1) &&
		    !has_case(grant_cases, symbol + 1) && !has_case(backing_cases, symbol + 1) &&
		    !has_case(pager_cases, symbol + 1) && !has_case(store_cases, symbol + 1) &&
		    !has_case(manager_cases, symbol + 1) && !has_case(server_cases, symbol + 1))
			test_fail(__FILE__, __LINE__, "%s has no entry in the table of functions", symbol + 1);
		exported++;
	}
	CHECK_EQ(pclose(symbols), 0);
	CHECK_INT(exported, >=, 50);
}
