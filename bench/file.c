/* SPDX-License-Identifier: MIT */
/* A mapped file against reading and writing by the system's calls, the file in its cache. Uses the public headers and libc. */
#include "bench.h"

#include <string.h>

#include <stoa/segment.h>

#include "os/host.h"
#include "os/rival.h"
#include "os/walk.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

struct file {
	struct bench *bench;
	struct rival_file rival;
	size_t length;
	struct stoa_segment *segment;
	char *mapped;
	char *buffer; /* for read and write */
	uint64_t state;
	uint64_t sums[2]; /* of the same pages through the map and by the system's call: must agree */
};

/* What a block of read/write copying moves at a time: fits in the second-level cache, large against a system call. */
#define BUFFER (256 * (size_t)1024)

static int write_file(struct file *file)
{
	for (size_t at = 0; at < file->length; at += BUFFER) {
		int error;

		for (size_t page = 0; page < BUFFER; page += PAGE)
			measure_fill(file->buffer + page, PAGE, (at + page) * UINT64_C(0x9e3779b97f4a7c15));
		error = rival_file_write(&file->rival, file->buffer, BUFFER, at);
		if (error)
			return bench_fail_system(file->bench, file->rival.path, error);
	}
	return 0;
}

static int map_file(struct file *file)
{
	int rc = stoa_segment_file(file->rival.path, 0, NULL, &file->segment);

	if (rc)
		return bench_fail_result(file->bench, "stoa_segment_file", rc);
	file->mapped = stoa_segment_address(file->segment);
	measure_use(measure_sum(file->mapped, file->length)); /* warm: in the cache and in the page tables */
	return 0;
}

static void file_close(struct file *file)
{
	stoa_segment_close(file->segment);
	rival_file_end(&file->rival);
	if (file->buffer)
		rival_memory_free(file->buffer, BUFFER);
}

/* Where the system can, the file loses its name at once when it is mapped: nothing is left of it then however the bench ends later. */
static int file_open(struct file *file)
{
	struct bench *bench = file->bench;
	void *buffer;
	int status;

	file->state = UINT64_C(0x2545f4914f6cdd1d);
	file->length = bench_scale(bench, 64, 4) * MIB;
	status = rival_file_make(bench->directory, &file->rival);
	if (status)
		return (bench->directory_named ? bench_fail : bench_skip)(bench, "no file in %s (see --directory): %s",
									  bench->directory, walk_error_text(status));
	status = rival_memory_make(BUFFER, &buffer);
	if (status)
		return bench_fail_system(bench, "a buffer", status);
	file->buffer = buffer;
	status = write_file(file);
	if (!status)
		status = map_file(file);
	rival_file_hide(&file->rival);
	return status;
}

static int with_file(struct bench *bench, int (*subject)(void *context, struct series *samples),
		     int (*baseline)(void *context, struct series *samples))
{
	struct file file = {.bench = bench, .rival.handle = -1};
	int status;

	host_pin(0);
	status = file_open(&file);
	if (!status)
		status = bench_pairs(bench, subject, baseline, &file);
	if (!status && file.sums[0] != file.sums[1])
		status = bench_fail(bench, "the map and %s disagree about the file's bytes", rival_read_name);
	file_close(&file);
	return status;
}

/* ---- random reads ---- */

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
	unsigned reads = bench_scale(file->bench, 500, 50);
	uint64_t state = file->state;

	file->sums[0] = 0;
	for (unsigned k = 0; k < READ_SAMPLES; k++) {
		uint64_t start = host_now();

		for (unsigned i = 0; i < reads; i++)
			file->sums[0] += measure_sum(file->mapped + random_page(file, &state), PAGE);
		series_add(samples, (double)(host_now() - start) / reads);
	}
	return 0;
}

static int read_by_call(void *context, struct series *samples)
{
	struct file *file = context;
	unsigned reads = bench_scale(file->bench, 500, 50);
	uint64_t state = file->state;

	file->sums[1] = 0;
	for (unsigned k = 0; k < READ_SAMPLES; k++) {
		uint64_t start = host_now();

		for (unsigned i = 0; i < reads; i++) {
			int error = rival_file_read(&file->rival, file->buffer, PAGE, random_page(file, &state));

			if (error)
				return bench_fail_system(file->bench, rival_read_name, error);
			file->sums[1] += measure_sum(file->buffer, PAGE);
		}
		series_add(samples, (double)(host_now() - start) / reads);
	}
	return 0;
}

static int run_random_read(struct bench *bench)
{
	return with_file(bench, read_mapped, read_by_call);
}

/* ---- copying one half of the file over the other ---- */

static void add_rate(struct series *samples, size_t bytes, uint64_t start)
{
	uint64_t taken = host_now() - start;

	series_add(samples, (double)bytes / (double)(taken ? taken : 1));
}

static int copy_mapped(void *context, struct series *samples)
{
	struct file *file = context;
	size_t half = file->length / 2;
	uint64_t start = host_now();

	memcpy(file->mapped + half, file->mapped, half);
	cc_compiler_barrier();
	add_rate(samples, half, start);
	if (memcmp(file->mapped + half, file->mapped, half) != 0)
		return bench_fail(file->bench, "the copy differs");
	return 0;
}

static int copy_by_calls(void *context, struct series *samples)
{
	struct file *file = context;
	size_t half = file->length / 2;
	uint64_t start = host_now();

	for (size_t at = 0; at < half; at += BUFFER) {
		int error = rival_file_read(&file->rival, file->buffer, BUFFER, at);

		if (!error)
			error = rival_file_write(&file->rival, file->buffer, BUFFER, half + at);
		if (error)
			return bench_fail_system(file->bench, rival_copy_name, error);
	}
	add_rate(samples, half, start);
	if (memcmp(file->mapped + half, file->mapped, half) != 0)
		return bench_fail(file->bench, "the copy differs");
	return 0;
}

static int run_copy(struct bench *bench)
{
	return with_file(bench, copy_mapped, copy_by_calls);
}

const struct bench_case bench_file_cases[] = {
	{"file.random_read",
	 "ns",
	 rival_read_name,
	 "read and add up 4 KiB at random in a mapped file",
	 {.high = 1.0},
	 run_random_read,
	 0,
	 NULL},
	{"file.copy",
	 "GB/s",
	 rival_copy_name,
	 "memcpy of 32 MiB inside a mapped file",
	 {.low = 1.0},
	 run_copy,
	 0,
	 NULL},
	{0},
};
