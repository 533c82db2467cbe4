/* SPDX-License-Identifier: MIT */
/*
 * An external sort that looks like one in memory: numbers, eight times as many as the memory that they may have, are sorted in runs by qsort(), and
 * the runs merged, through plain pointers into a paged region with a temporary file behind it.
 *
 * pager_sort [PATH]: 256 MiB of numbers, or as many MiB as STOA_EXAMPLE_MIB says. Linux only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "pager_sort: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* Two sorted runs, [0, middle) and [middle, end), into one. */
static void merge(const uint64_t *from, uint64_t middle, uint64_t end, uint64_t *to)
{
	uint64_t left = 0, right = middle;

	for (uint64_t i = 0; i < end; i++)
		to[i] = right == end || (left < middle && from[left] <= from[right]) ? from[left++] : from[right++];
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where the result is: in `numbers` or in `spare`. */
static uint64_t *sort(uint64_t *numbers, uint64_t *spare, uint64_t count, uint64_t run)
{
	unsigned passes = 0;

	for (uint64_t at = 0; at < count; at += run)
		qsort(&numbers[at], smaller(run, count - at), sizeof(*numbers), compare);
	for (; run < count; run *= 2, passes++) {
		uint64_t *to = spare;

		for (uint64_t at = 0; at < count; at += 2 * run)
			merge(&numbers[at], smaller(run, count - at), smaller(2 * run, count - at), &to[at]);
		spare = numbers;
		numbers = to;
	}
	printf("sorted in runs, and merged in %u passes\n", passes);
	return numbers;
}

/* Numbers in no order; the sum tells whether all are there afterwards. */
static uint64_t draw(uint64_t *numbers, uint64_t count)
{
	uint64_t sum = 0, next = 88172645463325252;

	for (uint64_t i = 0; i < count; i++) {
		next ^= next << 13;
		next ^= next >> 7;
		next ^= next << 17;
		numbers[i] = next;
		sum += next;
	}
	return sum;
}

static int verify(const uint64_t *numbers, uint64_t count, uint64_t sum)
{
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < count; i++) {
		sum -= numbers[i];
		wrong += i && numbers[i - 1] > numbers[i];
	}
	printf("%s order, %s\n", wrong ? "not in" : "in", sum ? "and not all of them" : "and all are there");
	return wrong || sum;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "example.sort", *mib = getenv("STOA_EXAMPLE_MIB");
	uint64_t bytes = (mib ? strtoull(mib, NULL, 10) : 256) * MIB, count = bytes / sizeof(uint64_t), sum;
	struct stoa_pager_options options = {.budget = bytes / 8};
	struct stoa_pager_stat stat;
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	uint64_t *numbers;
	int wrong;

	check(stoa_pager_install_handlers(), "handlers");
	check(stoa_backing_file(path, STOA_BACKING_CREATE, 2 * bytes, &backing), "backing");
	remove(path); /* it has no name any more, and goes with us */
	check(stoa_pager_create(NULL, backing, &options, &pager), "pager");
	numbers = stoa_pager_address(pager);
	sum = draw(numbers, count);
	printf("%" PRIu64 " MiB of numbers, %" PRIu64 " MiB of memory\n", bytes / MIB, options.budget / MIB);
	numbers = sort(numbers, numbers + count, count, count / 32);
	check(stoa_pager_stat(pager, &stat), "stat");
	wrong = verify(numbers, count, sum) || stat.resident > stat.budget;
	check(stoa_pager_close(pager), "close");
	stoa_backing_close(backing);
	return wrong;
}
