/* SPDX-License-Identifier: MIT */
/*
 * R4, memory by its name: one process makes a list of numbers under a name, another opens it by that name alone, adds them up and
 * writes the sum beside them. The name goes with its last user.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

struct list {
	uint64_t sum;
	uint64_t count;
	uint64_t numbers[1000];
};

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "named: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

/* Where a segment lies differs from process to process: what is shared holds offsets and numbers, no pointers. */
static int add_up(const char *name)
{
	struct stoa_segment *segment;
	struct list *list;

	check(stoa_segment_open(name, NULL, &segment), "open");
	list = stoa_segment_address(segment);
	for (uint64_t i = 0; i < list->count; i++)
		list->sum += list->numbers[i];
	printf("child:  added up %llu numbers\n", (unsigned long long)list->count);
	stoa_segment_close(segment);
	return 0;
}

int main(int argc, char **argv)
{
	struct stoa_segment_options options = {.commit = sizeof(struct list)};
	struct stoa_segment *segment, *gone;
	struct list *list;
	struct child child;
	char name[64];
	int result;

	if (argc > 1)
		return add_up(argv[1]);
	snprintf(name, sizeof(name), "named-%llu", (unsigned long long)stoa_now());
	check(stoa_segment_create(name, sizeof(struct list), &options, &segment), "create");
	list = stoa_segment_address(segment);
	list->count = sizeof(list->numbers) / sizeof(list->numbers[0]);
	for (uint64_t i = 0; i < list->count; i++)
		list->numbers[i] = i + 1;
	printf("parent: wrote %llu numbers\n", (unsigned long long)list->count);
	if (child_start(&child, name) || child_wait(&child) != 0)
		return 1;
	printf("parent: their sum is %llu\n", (unsigned long long)list->sum);
	result = list->sum == 500500;
	stoa_segment_close(segment);
	printf("the name afterwards: %s\n", stoa_error_name(stoa_segment_open(name, NULL, &gone)));
	return result ? 0 : 1;
}
