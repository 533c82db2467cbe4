/* SPDX-License-Identifier: MIT */
/* `stoa find` against find(1) over one tree, both as programs with their output thrown away. Uses libc only. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct search {
	struct bench *bench;
	char self[4096]; /* this program */
	const char *tree;
};

/* In the child: `stoa find TREE`, or `find TREE`, into `out`; complaints about unreadable folders are not our subject. */
static void become(const struct search *search, bool ours, int out)
{
	int null = open("/dev/null", O_WRONLY);

	if (null < 0 || dup2(out >= 0 ? out : null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(126);
	if (ours)
		execl(search->self, "stoa", "find", search->tree, (char *)NULL);
	else
		execlp("find", "find", search->tree, (char *)NULL);
	_exit(127);
}

/* Exit status 1 of both means that some folder could not be read. */
static int reap(struct search *search, pid_t pid, bool ours)
{
	const char *who = ours ? "stoa find" : "find";
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return bench_fail_errno(search->bench, "waitpid");
	}
	if (!WIFEXITED(status))
		return bench_fail(search->bench, "%s was killed by signal %d", who, WTERMSIG(status));
	if (WEXITSTATUS(status) > 1)
		return bench_fail(search->bench, "%s ended with status %d", who, WEXITSTATUS(status));
	return 0;
}

static int run_program(struct search *search, bool ours, struct series *samples)
{
	uint64_t start = measure_now();
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return bench_fail_errno(search->bench, "fork");
	if (pid == 0)
		become(search, ours, -1);
	status = reap(search, pid, ours);
	if (!status)
		series_add(samples, (double)(measure_now() - start) * 1e-6);
	return status;
}

/* What a program printed, without regard to order: bytes and a sum over all of them. */
struct digest {
	uint64_t bytes;
	uint64_t sum;
};

static int digest_program(struct search *search, bool ours, struct digest *ret_digest)
{
	static unsigned char buffer[65536];
	int pipe_ends[2];
	ssize_t length;
	pid_t pid;

	memset(ret_digest, 0, sizeof(*ret_digest));
	if (pipe2(pipe_ends, O_CLOEXEC))
		return bench_fail_errno(search->bench, "pipe");
	pid = fork();
	if (pid < 0)
		return bench_fail_errno(search->bench, "fork");
	if (pid == 0)
		become(search, ours, pipe_ends[1]);
	close(pipe_ends[1]);
	while ((length = read(pipe_ends[0], buffer, sizeof(buffer))) > 0 || (length < 0 && errno == EINTR)) {
		for (ssize_t i = 0; i < length; i++)
			ret_digest->sum += (uint64_t)buffer[i] * buffer[i];
		ret_digest->bytes += length > 0 ? (uint64_t)length : 0;
	}
	close(pipe_ends[0]);
	return reap(search, pid, ours);
}

/* A search that prints something else may well be faster. A tree that changes meanwhile gets a second chance, and a third. */
static int check_same(struct search *search)
{
	struct digest ours, theirs;
	int status = 0;

	for (unsigned chance = 0; !status && chance < 3; chance++) {
		status = digest_program(search, true, &ours);
		if (!status)
			status = digest_program(search, false, &theirs);
		if (!status && ours.bytes == theirs.bytes && ours.sum == theirs.sum)
			return 0;
	}
	if (status)
		return status;
	return bench_fail(search->bench,
			  "stoa find and find print different things: %" PRIu64 " against %" PRIu64 " bytes",
			  ours.bytes, theirs.bytes);
}

static int search_subject(void *context, struct series *samples)
{
	return run_program(context, true, samples);
}

static int search_baseline(void *context, struct series *samples)
{
	return run_program(context, false, samples);
}

static int run_find(struct bench *bench)
{
	struct search search = {.bench = bench, .tree = bench->quick ? "/usr/include" : "/usr"};
	ssize_t length = readlink("/proc/self/exe", search.self, sizeof(search.self) - 1);
	int status;

	if (length <= 0)
		return bench_skip(bench, "this program cannot find itself: no /proc");
	search.self[length] = 0;
	bench->baseline = bench->quick ? "find /usr/include" : "find /usr";
	if (system("command -v find >/dev/null 2>&1") != 0)
		return bench_skip(bench, "no find on the PATH");
	status = check_same(&search);
	return status ? status : bench_pairs(bench, search_subject, search_baseline, &search);
}

const struct bench_case bench_find_cases[] = {
	{"find.usr", "ms", "find /usr", "stoa find /usr, everything in the cache", {.high = 1.0}, run_find, 0},
	{0},
};
