/* SPDX-License-Identifier: MIT */
/*
 * R1, growth in place: 64 GiB are reserved, nothing is used; memory that the child commits can be used by the parent at once,
 * at the same addresses, without a call. And committing too much is an error, never a signal.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

#define GIB (UINT64_C(1) << 30)
#define LAST ((1 << 20) - 1) /* the last byte of what the child commits */

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

/* Another process, which knows the segment by a token only. */
static int grow(const char *token)
{
	struct stoa_segment *segment;

	check(stoa_segment_adopt(token, &segment), "adopt");
	check(stoa_segment_commit(segment, LAST + 1), "commit in the child");
	((unsigned char *)stoa_segment_address(segment))[LAST] = 42;
	stoa_segment_close(segment);
	return 0;
}

int main(int argc, char **argv)
{
	struct stoa_segment *segment;
	struct child child;
	char token[STOA_TOKEN_SIZE];
	unsigned char *data;
	int result, byte;

	if (argc > 1)
		return grow(argv[1]);
	check(stoa_segment_create(NULL, 64 * GIB, NULL, &segment), "create");
	data = stoa_segment_address(segment);
	show(segment, "created:");
	check(stoa_segment_commit(segment, 4096), "commit");
	show(segment, "parent committed one page:");

	check(stoa_segment_inherit(segment, token), "inherit");
	if (child_start(&child, token) || child_wait(&child) != 0)
		return fprintf(stderr, "grow: the child failed\n") != 0;
	show(segment, "child committed 1 MiB:");
	byte = data[LAST];
	printf("the parent reads the child's byte:  %d, at the address it always had\n", byte);

	result = stoa_segment_discard(segment, 4096, LAST - 4095); /* Windows cannot */
	show(segment, result < 0 ? stoa_error_name(result) : "all but a page given back:");

	result = stoa_segment_commit(segment, 65 * GIB);
	printf("committing 65 of 64 GiB:            %s (%s)\n", stoa_error_name(result), stoa_error_detail());
	stoa_segment_close(segment);
	return byte == 42 && result == -STOA_ERANGE ? 0 : 1;
}
