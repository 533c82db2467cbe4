/* SPDX-License-Identifier: MIT */
/*
 * R2, a file as memory: a table of records in a file that grows, is copied inside by memcpy, is flushed to stable storage, and
 * is brought back into memory by a prefetch whose end can be waited for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/stoa.h>

#define RECORDS 65536u
#define MIB (UINT64_C(1) << 20)

struct record {
	uint64_t key;
	char text[56];
};

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "file: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "example.records";
	struct stoa_segment_options options = {.flags = STOA_FILE_CREATE};
	uint64_t half = RECORDS * sizeof(struct record), sum = 0;
	struct stoa_prefetch *prefetch;
	struct stoa_segment *segment;
	struct record *records;
	int result;

	check(stoa_segment_file(path, 1024 * MIB, &options, &segment), "map the file");
	records = stoa_segment_address(segment);
	check(stoa_segment_commit(segment, half), "grow the file");
	for (unsigned i = 0; i < RECORDS; i++) {
		records[i].key = i;
		snprintf(records[i].text, sizeof(records[i].text), "record %u", i);
	}
	printf("wrote %u records into a file of %llu MiB that may grow to 1024 MiB\n", RECORDS,
	       (unsigned long long)(stoa_segment_committed(segment) / MIB));

	result = stoa_segment_commit(segment, 2 * half); /* `records` stays where it is */
	if (result == -STOA_ENOTSUP) {
		printf("that is all here: %s\n", stoa_error_detail());
		stoa_segment_close(segment);
		return remove(path);
	}
	check(result, "grow the file again");
	memcpy(records + RECORDS, records, half);
	printf("copied them inside the file with one memcpy: it is %llu MiB now\n",
	       (unsigned long long)(stoa_segment_committed(segment) / MIB));
	check(stoa_segment_flush(segment, 0, 2 * half, STOA_DURABLE), "flush");
	stoa_segment_close(segment);

	check(stoa_segment_file(path, 0, &options, &segment), "map the file again");
	records = stoa_segment_address(segment);
	check(stoa_segment_prefetch(segment, 0, 2 * half, &prefetch), "prefetch");
	check(stoa_prefetch_wait(prefetch, STOA_FOREVER), "wait for the prefetch");
	stoa_prefetch_close(prefetch);
	for (unsigned i = 0; i < 2 * RECORDS; i++)
		sum += records[i].key;
	printf("read it all back: '%s', keys sum to %llu\n", records[2 * RECORDS - 1].text, (unsigned long long)sum);
	stoa_segment_close(segment);
	remove(path);
	return sum == (uint64_t)RECORDS * (RECORDS - 1) ? 0 : 1;
}
