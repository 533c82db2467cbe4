/* SPDX-License-Identifier: MIT */
/* A mapped file against read(2) and write(2), the file in the page cache. Uses the public headers and libc. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stoa/segment.h>

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

struct file {
	struct bench *bench;
	char path[4096];
	int descriptor;
	size_t length;
	struct stoa_segment *segment;
	char *mapped;
	char *buffer; /* for read and write */
	uint64_t state;
	uint64_t sums[2]; /* of the same pages through the map and through pread: must agree */
};

/* What a block of read/write copying moves at a time: fits in the second-level cache, large against a system call. */
#define BUFFER (256 * (size_t)1024)

static int write_file(struct file *file)
{
	for (size_t at = 0; at < file->length; at += BUFFER) {
		for (size_t page = 0; page < BUFFER; page += PAGE)
			measure_fill(file->buffer + page, PAGE, (at + page) * UINT64_C(0x9e3779b97f4a7c15));
		if (pwrite(file->descriptor, file->buffer, BUFFER, (off_t)at) != (ssize_t)BUFFER)
			return bench_fail(file->bench, "writing %zu MiB to %s: %s", file->length / MIB, file->path,
					  strerror(errno));
	}
	return 0;
}

static int map_file(struct file *file)
{
	int rc = stoa_segment_file(file->path, 0, NULL, &file->segment);

	if (rc)
		return bench_fail_result(file->bench, "stoa_segment_file", rc);
	file->mapped = stoa_segment_address(file->segment);
	measure_use(measure_sum(file->mapped, file->length)); /* warm: in the cache and in the page tables */
	return 0;
}

static void file_close(struct file *file)
{
	stoa_segment_close(file->segment);
	if (file->descriptor >= 0)
		close(file->descriptor);
	free(file->buffer);
}

/* The file loses its name at once when it is mapped, so nothing is left of it however the bench ends later. */
static int file_open(struct file *file)
{
	struct bench *bench = file->bench;
	int status;

	file->state = UINT64_C(0x2545f4914f6cdd1d);
	file->length = bench_scale(bench, 64, 4) * MIB;
	snprintf(file->path, sizeof(file->path), "%s/stoa-bench-XXXXXX", bench->directory);
	file->descriptor = mkostemp(file->path, O_CLOEXEC);
	if (file->descriptor < 0)
		return (bench->directory_named ? bench_fail : bench_skip)(bench, "no file in %s (see --directory): %s",
									  bench->directory, strerror(errno));
	file->buffer = aligned_alloc(PAGE, BUFFER);
	status = file->buffer ? write_file(file) : bench_fail(bench, "out of memory");
	if (!status)
		status = map_file(file);
	unlink(file->path);
	return status;
}

static int with_file(struct bench *bench, int (*subject)(void *context, struct series *samples),
		     int (*baseline)(void *context, struct series *samples))
{
	struct file file = {.bench = bench, .descriptor = -1};
	int status;

	measure_pin(0);
	status = file_open(&file);
	if (!status)
		status = bench_pairs(bench, subject, baseline, &file);
	if (!status && file.sums[0] != file.sums[1])
		status = bench_fail(bench, "the map and pread disagree about the file's bytes");
	file_close(&file);
	return status;
}

/* ---- random reads ---- */

#define READS 500u
#define READ_SAMPLES 10u

static size_t random_page(const struct file *file, uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % (file->length / PAGE) * PAGE;
}

static int read_mapped(void *context, struct series *samples)
{
	struct file *file = context;
	uint64_t state = file->state;

	file->sums[0] = 0;
	for (unsigned k = 0; k < READ_SAMPLES; k++) {
		uint64_t start = measure_now();

		for (unsigned i = 0; i < READS; i++)
			file->sums[0] += measure_sum(file->mapped + random_page(file, &state), PAGE);
		series_add(samples, (double)(measure_now() - start) / READS);
	}
	return 0;
}

static int read_pread(void *context, struct series *samples)
{
	struct file *file = context;
	uint64_t state = file->state;

	file->sums[1] = 0;
	for (unsigned k = 0; k < READ_SAMPLES; k++) {
		uint64_t start = measure_now();

		for (unsigned i = 0; i < READS; i++) {
			if (pread(file->descriptor, file->buffer, PAGE, (off_t)random_page(file, &state)) !=
			    (ssize_t)PAGE)
				return bench_fail_errno(file->bench, "pread");
			file->sums[1] += measure_sum(file->buffer, PAGE);
		}
		series_add(samples, (double)(measure_now() - start) / READS);
	}
	return 0;
}

static int run_random_read(struct bench *bench)
{
	return with_file(bench, read_mapped, read_pread);
}

/* ---- copying one half of the file over the other ---- */

static void add_rate(struct series *samples, size_t bytes, uint64_t start)
{
	uint64_t taken = measure_now() - start;

	series_add(samples, (double)bytes / (double)(taken ? taken : 1));
}

static int copy_mapped(void *context, struct series *samples)
{
	struct file *file = context;
	size_t half = file->length / 2;
	uint64_t start = measure_now();

	memcpy(file->mapped + half, file->mapped, half);
	cc_compiler_barrier();
	add_rate(samples, half, start);
	if (memcmp(file->mapped + half, file->mapped, half) != 0)
		return bench_fail(file->bench, "the copy differs");
	return 0;
}

static int copy_system_calls(void *context, struct series *samples)
{
	struct file *file = context;
	size_t half = file->length / 2;
	uint64_t start = measure_now();

	for (size_t at = 0; at < half; at += BUFFER) {
		if (pread(file->descriptor, file->buffer, BUFFER, (off_t)at) != (ssize_t)BUFFER ||
		    pwrite(file->descriptor, file->buffer, BUFFER, (off_t)(half + at)) != (ssize_t)BUFFER)
			return bench_fail_errno(file->bench, "copying by pread and pwrite");
	}
	add_rate(samples, half, start);
	if (memcmp(file->mapped + half, file->mapped, half) != 0)
		return bench_fail(file->bench, "the copy differs");
	return 0;
}

static int run_copy(struct bench *bench)
{
	return with_file(bench, copy_mapped, copy_system_calls);
}

const struct bench_case bench_file_cases[] = {
	{"file.random_read",
	 "ns",
	 "pread",
	 "read and add up 4 KiB at random in a mapped file",
	 {.high = 1.0},
	 run_random_read,
	 0},
	{"file.copy",
	 "GB/s",
	 "pread and pwrite of 256 KiB",
	 "memcpy of 32 MiB inside a mapped file",
	 {.low = 1.0},
	 run_copy,
	 0},
	{0},
};
