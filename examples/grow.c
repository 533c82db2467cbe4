/* SPDX-License-Identifier: MIT */
/*
 * R1, growth in place: 64 GiB are reserved, nothing is used; memory that the child commits can be used by the parent at once,
 * at the same addresses, without a call. And committing too much is an error, never a signal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define GIB (UINT64_C(1) << 30)

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "grow: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

static void show(const struct stoa_segment *segment, const char *when)
{
	struct stoa_segment_stat stat;

	check(stoa_segment_stat(segment, &stat), "stat");
	printf("%-34s reserved %llu GiB, committed %llu KiB, memory in use %llu KiB\n", when,
	       (unsigned long long)(stat.reserve / GIB), (unsigned long long)(stat.committed >> 10),
	       (unsigned long long)(stat.resident >> 10));
}

int main(void)
{
	struct stoa_segment *segment;
	unsigned char *data;
	int result, status, byte;
	pid_t child;

	check(stoa_segment_create(NULL, 64 * GIB, NULL, &segment), "create");
	data = stoa_segment_address(segment);
	show(segment, "created:");
	check(stoa_segment_commit(segment, 4096), "commit");
	show(segment, "parent committed one page:");

	child = fork();
	if (child == 0) {
		check(stoa_segment_commit(segment, 1 << 20), "commit in the child");
		data[(1 << 20) - 1] = 42; /* the last byte of what is now committed */
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status) {
		fprintf(stderr, "grow: the child failed\n");
		return 1;
	}
	show(segment, "child committed 1 MiB:");
	byte = data[(1 << 20) - 1];
	printf("the parent reads the child's byte:  %d, at the address it always had\n", byte);

	check(stoa_segment_commit(segment, 8192), "commit less"); /* nothing to do: takes nanoseconds */
	check(stoa_segment_discard(segment, 4096, (1 << 20) - 4096), "discard");
	show(segment, "all but a page given back:");

	result = stoa_segment_commit(segment, 65 * GIB);
	printf("committing 65 of 64 GiB:            %s (%s)\n", stoa_error_name(result), stoa_error_detail());
	stoa_segment_close(segment);
	return byte == 42 && result == -STOA_ERANGE ? 0 : 1;
}
