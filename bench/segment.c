/* SPDX-License-Identifier: MIT */
/*
 * Commit against what the system has for it, and shared memory against private memory. Page sizes are made equal on both sides: the library
 * is told never to use huge pages, private memory is advised the same.
 */
#include "bench.h"

#include <string.h>

#include <stoa/segment.h>

#include "os/host.h"
#include "os/rival.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

/* ---- commit ---- */

struct commit {
	struct bench *bench;
	size_t length;
	size_t step; /* bytes per call */
	unsigned repeat;
};

/* The whole length in steps; a sample is the mean time of a call among `batch` calls. */
static int commit_steps(struct commit *commit, struct stoa_segment *segment, double scale, struct series *samples)
{
	size_t calls = commit->length / commit->step;
	size_t batch = calls < 256 ? calls : 256;
	uint64_t start;

	for (size_t done = 0; done < calls; done += batch) {
		start = host_now();
		for (size_t i = done; i < done + batch; i++) {
			int rc = stoa_segment_commit(segment, (i + 1) * commit->step);

			if (rc)
				return bench_fail_result(commit->bench, "stoa_segment_commit", rc);
		}
		series_add(samples, (double)(host_now() - start) / (double)batch * scale);
	}
	return 0;
}

static int rival_steps(struct commit *commit, struct rival_reserve *reserve, double scale, struct series *samples)
{
	size_t calls = commit->length / commit->step;
	size_t batch = calls < 256 ? calls : 256;
	uint64_t start;

	for (size_t done = 0; done < calls; done += batch) {
		start = host_now();
		for (size_t i = done; i < done + batch; i++) {
			int error = rival_reserve_commit(reserve, i * commit->step, commit->step);

			if (error)
				return bench_fail_system(commit->bench, commit->bench->which->baseline, error);
		}
		series_add(samples, (double)(host_now() - start) / (double)batch * scale);
	}
	return 0;
}

static int create(struct bench *bench, size_t length, uint32_t huge, struct stoa_segment **ret_segment)
{
	const struct stoa_segment_options options = {.huge = huge};
	int rc = stoa_segment_create(NULL, length, &options, ret_segment);

	return rc ? bench_fail_result(bench, "stoa_segment_create", rc) : 0;
}

/* Nanoseconds for small steps, microseconds for large ones. */
static double step_scale(const struct commit *commit)
{
	return commit->step == PAGE ? 1.0 : 1e-3;
}

static int commit_subject(void *context, struct series *samples)
{
	struct commit *commit = context;
	int status = 0;

	for (unsigned i = 0; !status && i < commit->repeat; i++) {
		struct stoa_segment *segment;

		status = create(commit->bench, commit->length, STOA_HUGE_NEVER, &segment);
		if (status)
			break;
		status = commit_steps(commit, segment, step_scale(commit), samples);
		stoa_segment_close(segment);
	}
	return status;
}

static int commit_baseline(void *context, struct series *samples)
{
	struct commit *commit = context;
	int status = 0;

	for (unsigned i = 0; !status && i < commit->repeat; i++) {
		struct rival_reserve reserve;
		int error = rival_reserve_make(commit->length, &reserve);

		if (error)
			return bench_fail_system(commit->bench, "reserving memory", error);
		status = rival_steps(commit, &reserve, step_scale(commit), samples);
		rival_reserve_free(&reserve);
	}
	return status;
}

static int run_commit(struct bench *bench)
{
	struct commit commit = {
		.bench = bench,
		.length = bench_scale(bench, 64, 4) * MIB,
		.step = 64 * MIB,
		.repeat = 2,
	};

	if (commit.step > commit.length)
		commit.step = commit.length;
	host_pin(0);
	return bench_pairs(bench, commit_subject, commit_baseline, &commit);
}

static int run_commit_page(struct bench *bench)
{
	struct commit commit = {
		.bench = bench,
		.length = bench_scale(bench, 16, 1) * MIB,
		.step = PAGE,
		.repeat = 1,
	};

	host_pin(0);
	return bench_pairs(bench, commit_subject, commit_baseline, &commit);
}

/* ---- commit of what is committed ---- */

struct again {
	struct bench *bench;
	struct stoa_segment *segment;
	size_t length;
};

#define AGAIN_CALLS 20000u
#define AGAIN_SAMPLES 10u

static int again_subject(void *context, struct series *samples)
{
	struct again *again = context;
	int rc = 0;

	for (unsigned k = 0; k < AGAIN_SAMPLES; k++) {
		uint64_t start = host_now();

		for (unsigned i = 0; i < AGAIN_CALLS; i++)
			rc |= stoa_segment_commit(again->segment, again->length);
		series_add(samples, (double)(host_now() - start) / AGAIN_CALLS);
	}
	return rc ? bench_fail(again->bench, "a commit of committed memory failed") : 0;
}

static int empty_function(struct stoa_segment *segment, uint64_t length)
{
	(void)segment;
	return length == 0;
}

static int again_baseline(void *context, struct series *samples)
{
	static int (*volatile call)(struct stoa_segment * segment, uint64_t length) = empty_function;
	struct again *again = context;
	int rc = 0;

	for (unsigned k = 0; k < AGAIN_SAMPLES; k++) {
		uint64_t start = host_now();

		for (unsigned i = 0; i < AGAIN_CALLS; i++)
			rc |= call(again->segment, again->length);
		series_add(samples, (double)(host_now() - start) / AGAIN_CALLS);
	}
	return rc ? bench_fail(again->bench, "the empty call failed") : 0;
}

static int run_commit_again(struct bench *bench)
{
	struct again again = {.bench = bench, .length = MIB};
	int status = create(bench, 2 * MIB, STOA_HUGE_NEVER, &again.segment);
	int rc;

	if (status)
		return status;
	host_pin(0);
	rc = stoa_segment_commit(again.segment, again.length);
	status = rc ? bench_fail_result(bench, "stoa_segment_commit", rc)
		    : bench_pairs(bench, again_subject, again_baseline, &again);
	stoa_segment_close(again.segment);
	return status;
}

/* ---- huge pages ---- */

/*
 * Commit and touch every page: with 2 MiB pages commit does all the work, with 4 KiB pages half of it happens at the touch,
 * so only the sum compares what a user waits for.
 */
static int commit_and_touch(struct commit *commit, uint32_t huge, struct series *samples)
{
	struct stoa_segment *segment;
	volatile char *bytes;
	uint64_t start;
	int status = create(commit->bench, commit->length, huge, &segment);
	int rc;

	if (status)
		return status;
	start = host_now();
	rc = stoa_segment_commit(segment, commit->length);
	if (!rc) {
		bytes = stoa_segment_address(segment);
		for (size_t at = 0; at < commit->length; at += PAGE)
			bytes[at] = 1;
		series_add(samples, (double)(host_now() - start) * 1e-3);
	}
	stoa_segment_close(segment);
	return rc ? bench_fail_result(commit->bench, "stoa_segment_commit", rc) : 0;
}

static int huge_subject(void *context, struct series *samples)
{
	return commit_and_touch(context, STOA_HUGE_REQUIRE, samples);
}

static int huge_baseline(void *context, struct series *samples)
{
	return commit_and_touch(context, STOA_HUGE_NEVER, samples);
}

static int run_commit_huge(struct bench *bench)
{
	const struct stoa_segment_options options = {.huge = STOA_HUGE_REQUIRE};
	struct commit commit = {.bench = bench, .length = bench_scale(bench, 64, 4) * MIB};
	struct stoa_segment *segment;
	int rc = stoa_segment_create(NULL, commit.length, &options, &segment);

	if (rc == -STOA_ENOTSUP)
		return bench_skip(bench, "%s", stoa_error_detail());
	if (rc)
		return bench_fail_result(bench, "stoa_segment_create", rc);
	stoa_segment_close(segment);
	host_pin(0);
	return bench_pairs(bench, huge_subject, huge_baseline, &commit);
}

/* ---- shared against private ---- */

struct memory {
	struct bench *bench;
	size_t length;
	struct stoa_segment *segment;
	char *shared;
	char *private;
	int (*pass)(struct memory *memory, char *bytes, struct series *samples);
	unsigned blocks;
	uint64_t turn;
};

/*
 * Blocks after which both memories are made afresh, so that no lucky or unlucky choice of pages decides. Odd, and the order
 * alternates, so that each kind is as often the one that was touched last.
 */
#define MEMORY_LIFE 5

static void memory_free(struct memory *memory)
{
	stoa_segment_close(memory->segment);
	if (memory->private)
		rival_memory_free(memory->private, memory->length);
	memory->segment = NULL;
	memory->private = NULL;
}

static int make_private(struct memory *memory)
{
	void *bytes;
	int error = rival_memory_make(memory->length, &bytes);

	if (error)
		return bench_fail_system(memory->bench, "private memory", error);
	memory->private = bytes;
	memset(bytes, 1, memory->length);
	return 0;
}

static int make_shared(struct memory *memory)
{
	int status = create(memory->bench, memory->length, STOA_HUGE_NEVER, &memory->segment);
	int rc;

	if (status)
		return status;
	rc = stoa_segment_commit(memory->segment, memory->length);
	if (rc)
		return bench_fail_result(memory->bench, "stoa_segment_commit", rc);
	memory->shared = stoa_segment_address(memory->segment);
	memset(memory->shared, 1, memory->length);
	return 0;
}

static int memory_renew(struct memory *memory)
{
	bool private_first = memory->blocks / MEMORY_LIFE % 2;
	int status;

	if (memory->blocks++ % MEMORY_LIFE)
		return 0;
	memory_free(memory);
	status = private_first ? make_private(memory) : make_shared(memory);
	if (!status)
		status = private_first ? make_shared(memory) : make_private(memory);
	return status;
}

static int memory_subject(void *context, struct series *samples)
{
	struct memory *memory = context;
	int status = memory_renew(memory);

	return status ? status : memory->pass(memory, memory->shared, samples);
}

static int memory_baseline(void *context, struct series *samples)
{
	struct memory *memory = context;
	int status = memory_renew(memory);

	return status ? status : memory->pass(memory, memory->private, samples);
}

#define MEMORY_PASSES 3

static void add_rate(struct series *samples, size_t bytes, uint64_t start)
{
	uint64_t taken = host_now() - start;

	series_add(samples, (double)bytes / (double)(taken ? taken : 1)); /* bytes per ns is GB/s */
}

static int pass_read(struct memory *memory, char *bytes, struct series *samples)
{
	measure_use(measure_sum(bytes, memory->length)); /* page tables and caches as after a use */
	for (unsigned i = 0; i < MEMORY_PASSES; i++) {
		uint64_t start = host_now();

		measure_use(measure_sum(bytes, memory->length));
		add_rate(samples, memory->length, start);
	}
	return 0;
}

static int pass_write(struct memory *memory, char *bytes, struct series *samples)
{
	measure_fill(bytes, memory->length, memory->turn++);
	for (unsigned i = 0; i < MEMORY_PASSES; i++) {
		uint64_t start = host_now();

		measure_fill(bytes, memory->length, memory->turn++);
		add_rate(samples, memory->length, start);
	}
	return 0;
}

static int pass_copy(struct memory *memory, char *bytes, struct series *samples)
{
	size_t half = memory->length / 2;

	memcpy(bytes + half, bytes, half);
	for (unsigned i = 0; i < MEMORY_PASSES; i++) {
		uint64_t start = host_now();

		memcpy(bytes + half, bytes, half);
		cc_compiler_barrier();
		add_rate(samples, half, start);
	}
	return 0;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define LINE ((size_t)64)

/* One cycle through all cache lines in an order that no prefetcher guesses; the same for both memories. */
static void lay_chain(char *bytes, size_t length)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
	size_t lines = length / LINE;

	for (size_t i = 0; i < lines; i++)
		*(size_t *)(void *)(bytes + i * LINE) = i * LINE;
	for (size_t i = lines - 1; i > 0; i--) { /* Sattolo's shuffle: one cycle */
		size_t *one = (void *)(bytes + i * LINE);
		size_t *other = (void *)(bytes + next_random(&state) % i * LINE);
		size_t kept = *one;

		*one = *other;
		*other = kept;
	}
}

static size_t follow(const char *bytes, size_t at, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++)
		at = *(const size_t *)(const void *)(bytes + at);
	return at;
}

static int pass_latency(struct memory *memory, char *bytes, struct series *samples)
{
	const unsigned steps = 20000;
	uint64_t state = UINT64_C(0xd1342543de82ef95);
	size_t at;

	if (memory->blocks % MEMORY_LIFE == 1) { /* both are fresh */
		bool private_first = memory->blocks / MEMORY_LIFE % 2;

		lay_chain(private_first ? memory->private : memory->shared, memory->length);
		lay_chain(private_first ? memory->shared : memory->private, memory->length);
	}
	/* A start of its own for each pair, else the caches would keep the way. */
	for (unsigned i = 0; i <= memory->blocks / 2; i++)
		next_random(&state);
	at = follow(bytes, state % (memory->length / LINE) * LINE, steps);
	for (unsigned i = 0; i < MEMORY_PASSES; i++) {
		uint64_t start = host_now();

		at = follow(bytes, at, steps);
		series_add(samples, (double)(host_now() - start) / steps);
	}
	measure_use(at);
	return 0;
}

enum { MEMORY_READ, MEMORY_WRITE, MEMORY_COPY, MEMORY_LATENCY };

static int run_memory(struct bench *bench)
{
	static int (*const passes[])(struct memory * memory, char *bytes, struct series *samples) = {
		[MEMORY_READ] = pass_read,
		[MEMORY_WRITE] = pass_write,
		[MEMORY_COPY] = pass_copy,
		[MEMORY_LATENCY] = pass_latency,
	};
	struct memory memory = {
		.bench = bench,
		.length = bench_scale(bench, 64, 2) * MIB,
		.pass = passes[bench->which->variant],
	};
	int status;

	host_pin(0);
	status = bench_pairs(bench, memory_subject, memory_baseline, &memory);
	memory_free(&memory);
	return status;
}

#define SAME_AS_PRIVATE                   \
	{                                 \
		.low = 0.97, .high = 1.03 \
	}

const struct bench_case bench_segment_cases[] = {
	{"segment.commit", "us", rival_commit_name, "commit 64 MiB in one call", {.high = 1.05}, run_commit, 0, NULL},
	{"segment.commit_page",
	 "ns",
	 rival_commit_page_name,
	 "commit one page more, 4096 times",
	 {.high = 1.3},
	 run_commit_page,
	 0,
	 NULL},
	{"segment.commit_again",
	 "ns",
	 "an empty call",
	 "commit what is committed",
	 {.high = 5, .absolute = true},
	 run_commit_again,
	 0,
	 NULL},
	{"segment.commit_huge",
	 "us",
	 "the same with 4 KiB pages",
	 "commit and touch 64 MiB in 2 MiB pages",
	 {.high = 1.0 / 8},
	 run_commit_huge,
	 0,
	 NULL},
	{"segment.bandwidth.read", "GB/s", "private memory", "read 64 MiB of shared memory", SAME_AS_PRIVATE,
	 run_memory, MEMORY_READ, NULL},
	{"segment.bandwidth.write", "GB/s", "private memory", "write 64 MiB of shared memory", SAME_AS_PRIVATE,
	 run_memory, MEMORY_WRITE, NULL},
	{"segment.bandwidth.copy", "GB/s", "private memory", "memcpy of 32 MiB in shared memory", SAME_AS_PRIVATE,
	 run_memory, MEMORY_COPY, NULL},
	{"segment.latency", "ns", "private memory", "follow pointers at random through 64 MiB", SAME_AS_PRIVATE,
	 run_memory, MEMORY_LATENCY, NULL},
	{0},
};
