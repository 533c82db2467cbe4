/* SPDX-License-Identifier: MIT */
/*
 * The pager against the bare mechanism that it is made of: the same signal, the same fill and the same call of the kernel, in the same
 * process, without a word per block, a budget, members or anybody's death in mind. And against mapped files where both could be used.
 *
 * The one hard idea: what is compared must find nothing there, but all else warm; so pages are taken away before each block, outside of the times.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include <base/atomic.h>
#include <stoa/backing.h>
#include <stoa/pager.h>
#include <stoa/segment.h>

#include "frames.h"
#include "os/host.h"
#include "os/peer.h"
#include "os/rival.h"
#include "os/walk.h"

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)

/* ---- a pager, and the bare mechanism beside it ---- */

struct paging {
	struct bench *bench;
	struct stoa_backing *backing;
	struct stoa_pager *pager;
	char *address;
	struct rival_pages bare;
	bool has_bare;
	size_t length, block;
	unsigned threads;
	uint32_t way;       /* 0: inline */
	struct peer helper; /* with another library */
	/* With another process. */
	struct stoa_segment *segment;
	struct meeting *meeting;
};

static void make_bytes(void *bytes, size_t length, uint64_t offset)
{
	measure_fill(bytes, length, offset);
}

static int fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	(void)context;
	make_bytes(bytes, length, offset);
	return 0;
}

static int write_nowhere(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	(void)context;
	(void)offset;
	(void)length;
	(void)bytes;
	return 0;
}

static int size_of(void *context, uint64_t *ret_size)
{
	*ret_size = *(size_t *)context;
	return 0;
}

static int open_backing(struct paging *paging)
{
	const struct stoa_backing_calls calls = {.fill = fill, .write = write_nowhere, .size = size_of};
	int rc = stoa_backing_create(&calls, &paging->length, &paging->backing);

	return rc ? bench_fail_result(paging->bench, "stoa_backing_create", rc) : 0;
}

/* Nothing but touches fills, writes back or evicts. */
static int open_pager(struct paging *paging, size_t budget)
{
	const struct stoa_pager_options options = {.budget = budget,
						   .block = (uint32_t)paging->block,
						   .way = paging->way ? paging->way : STOA_PAGER_INLINE,
						   .flags = STOA_PAGER_NO_BACKGROUND};
	int rc = stoa_pager_install_handlers();

	if (!rc)
		rc = stoa_pager_create(NULL, paging->backing, &options, &paging->pager);
	if (!rc)
		paging->address = stoa_pager_address(paging->pager);
	return rc ? bench_fail_result(paging->bench, "stoa_pager_create", rc) : 0;
}

static int one_at_a_time(struct paging *paging)
{
	int rc = stoa_pager_advise(paging->pager, 0, paging->length, STOA_ADVISE_RANDOM);

	return rc ? bench_fail_result(paging->bench, "stoa_pager_advise", rc) : 0;
}

static int open_bare(struct paging *paging, size_t keep)
{
	int error;

	paging->bare = (struct rival_pages){
		.fill = make_bytes, .length = paging->length, .block = paging->block, .keep = keep};
	error = rival_pages_make(&paging->bare);
	paging->has_bare = !error;
	return error ? bench_fail_system(paging->bench, rival_pages_name, error) : 0;
}

static void close_all(struct paging *paging)
{
	(void)stoa_pager_close(paging->pager);
	stoa_backing_close(paging->backing);
	if (paging->has_bare)
		rival_pages_end(&paging->bare);
	if (paging->helper.process)
		(void)peer_end(&paging->helper, true);
}

/* Nothing is there afterwards. */
static int forget(struct paging *paging)
{
	int rc = stoa_pager_discard(paging->pager, 0, paging->length);

	return rc ? bench_fail_result(paging->bench, "stoa_pager_discard", rc) : 0;
}

/* ---- touching ---- */

static void read_page(char *page)
{
	(void)*(volatile char *)page;
}

static void write_page(char *page)
{
	*(volatile char *)page = 1;
}

#define BATCH 64 /* pages of a sample, at least */

/* Each block once, in order; a sample is the mean time for a page. */
static void touch_all(const struct paging *paging, char *address, void (*touch)(char *page), struct series *samples)
{
	size_t batch = paging->block * 4 < BATCH * PAGE ? BATCH * PAGE : paging->block * 4;

	for (size_t at = 0; at + batch <= paging->length; at += batch) {
		uint64_t start = host_now();

		for (size_t i = 0; i < batch; i += paging->block)
			touch(address + at + i);
		if (samples)
			series_add(samples, (double)(host_now() - start) / ((double)batch / (double)PAGE));
	}
}

static int fault_subject(void *context, struct series *samples)
{
	struct paging *paging = context;
	int status = forget(paging);

	if (!status)
		touch_all(paging, paging->address, read_page, samples);
	return status;
}

/* What the bare mechanism is asked to do, between taking its faults over and giving them back. */
static int with_bare(struct paging *paging, void (*work)(struct paging *paging, struct series *samples),
		     struct series *samples)
{
	int error = rival_pages_use(&paging->bare);

	if (!error)
		error = rival_pages_forget(&paging->bare);
	if (!error)
		work(paging, samples);
	if (!error)
		error = rival_pages_use(NULL);
	return error ? bench_fail_system(paging->bench, rival_pages_name, error) : 0;
}

static void read_bare(struct paging *paging, struct series *samples)
{
	touch_all(paging, paging->bare.address, read_page, samples);
}

static int fault_baseline(void *context, struct series *samples)
{
	return with_bare(context, read_bare, samples);
}

static int start(struct bench *bench, struct paging *paging, size_t block, size_t budget, size_t keep)
{
	const char *missing = rival_pages_missing();
	int status;

	if (missing)
		return bench_skip(bench, "%s", missing);
	*paging = (struct paging){
		.bench = bench, .length = bench_scale(bench, 16, 2) * MIB, .block = block, .way = paging->way};
	host_pin(0);
	status = open_backing(paging);
	if (!status)
		status = open_pager(paging, budget ? budget : paging->length);
	if (!status)
		status = one_at_a_time(paging);
	if (!status)
		status = open_bare(paging, keep);
	if (!status)
		status = fault_subject(paging, NULL); /* all but the pages is there from now on */
	return status;
}

/* The thread that serves on the same processor: the next one to run there. On another one it is woken each time. */
static int run_served(struct bench *bench)
{
	struct paging paging = {.bench = bench};
	int status;

	paging.way = STOA_PAGER_SERVED;
	status = start(bench, &paging, PAGE, 0, 0);
	if (!status)
		status = bench_pairs(bench, fault_subject, fault_baseline, &paging);
	close_all(&paging);
	return status;
}

static int run_fault(struct bench *bench)
{
	struct paging paging = {.bench = bench};
	int status = start(bench, &paging, bench->which->variant * PAGE, 0, 0);

	if (!status)
		status = bench_pairs(bench, fault_subject, fault_baseline, &paging);
	close_all(&paging);
	return status;
}

/* ---- GNU libsigsegv, in a helper program that does blocks on request (sigsegv_pages.c) ---- */

static int helper_start(struct paging *paging)
{
	char path[4096], pages[24];
	const char *const arguments[] = {"stoa-bench-sigsegv", pages, NULL};
	const char *missing;
	int error;

	if (!rival_helper_path(arguments[0], path, sizeof(path), &missing))
		return bench_skip(paging->bench, "%s: %s", arguments[0], missing);
	snprintf(pages, sizeof(pages), "%zu", paging->length / PAGE);
	error = peer_start(&paging->helper, path, arguments, PEER_READS | PEER_WRITES);
	return error ? bench_fail_system(paging->bench, path, error) : 0;
}

static int sigsegv_baseline(void *context, struct series *samples)
{
	struct paging *paging = context;

	if (!peer_write(&paging->helper, "x", 1))
		return bench_fail(paging->bench, "the helper with libsigsegv is gone");
	for (size_t i = 0; i < paging->length / PAGE / BATCH; i++) {
		double mean;

		if (peer_read(&paging->helper, &mean, sizeof(mean)) != sizeof(mean) || mean < 0)
			return bench_fail(paging->bench, "the helper with libsigsegv has failed");
		series_add(samples, mean);
	}
	return 0;
}

static int run_fault_sigsegv(struct bench *bench)
{
	struct paging paging = {.bench = bench};
	int status = start(bench, &paging, PAGE, 0, 0);

	if (!status)
		status = helper_start(&paging);
	if (!status)
		status = bench_pairs(bench, fault_subject, sigsegv_baseline, &paging);
	close_all(&paging);
	return status;
}

/* ---- first writes ---- */

static int write_subject(void *context, struct series *samples)
{
	struct paging *paging = context;
	int status = fault_subject(paging, NULL);

	if (!status)
		touch_all(paging, paging->address, write_page, samples);
	return status;
}

static void write_bare(struct paging *paging, struct series *samples)
{
	read_bare(paging, NULL);
	touch_all(paging, paging->bare.address, write_page, samples);
}

static int write_baseline(void *context, struct series *samples)
{
	return with_bare(context, write_bare, samples);
}

static int run_write_fault(struct bench *bench)
{
	struct paging paging = {.bench = bench};
	int status = start(bench, &paging, PAGE, 0, 0);

	if (!status)
		status = bench_pairs(bench, write_subject, write_baseline, &paging);
	close_all(&paging);
	return status;
}

/* ---- faults that need others' memory ---- */

static int run_evict_cycle(struct bench *bench)
{
	size_t budget = bench_scale(bench, 4, 1) * MIB;
	struct paging paging = {.bench = bench};
	int status = start(bench, &paging, PAGE, budget, budget);

	if (!status)
		status = bench_pairs(bench, fault_subject, fault_baseline, &paging);
	close_all(&paging);
	return status;
}

/* ---- threads ---- */

static void touch_share(void *context, unsigned number)
{
	struct paging *paging = context;
	size_t share = paging->length / paging->threads / PAGE;

	for (size_t i = 0; i < share; i++)
		read_page(paging->address + (number * share + i) * PAGE);
}

/* So many threads at once, each with its share: millions of faults a second, times `scale`. */
static int threads_rate(struct paging *paging, unsigned threads, double scale, struct series *samples)
{
	size_t share = paging->length / paging->threads / PAGE;
	uint64_t taken = 1;
	int status = forget(paging), error;

	if (status)
		return status;
	error = rival_threads(threads, touch_share, paging, &taken);
	if (error)
		return bench_fail_system(paging->bench, "starting threads", error);
	series_add(samples, (double)(threads * share) * 1e3 / (double)taken * scale);
	return 0;
}

static int threads_subject(void *context, struct series *samples)
{
	struct paging *paging = context;
	int status = 0;

	for (unsigned i = 0; i < 3 && !status; i++)
		status = threads_rate(paging, paging->threads, 1, samples);
	return status;
}

static int threads_baseline(void *context, struct series *samples)
{
	struct paging *paging = context;
	int status = 0;

	for (unsigned i = 0; i < 3 && !status; i++)
		status = threads_rate(paging, 1, paging->threads, samples);
	return status;
}

/* As many threads with the bare mechanism: what the kernel and the processor make of them. */
static void touch_bare_share(void *context, unsigned number)
{
	struct paging *paging = context;
	size_t share = paging->length / paging->threads / PAGE;

	for (size_t i = 0; i < share; i++)
		read_page(paging->bare.address + (number * share + i) * PAGE);
}

static void bare_threads(struct paging *paging, struct series *samples)
{
	uint64_t taken = 1;

	if (rival_threads(paging->threads, touch_bare_share, paging, &taken) == 0)
		series_add(samples, (double)paging->length / (double)PAGE * 1e3 / (double)taken);
}

static int bare_threads_baseline(void *context, struct series *samples)
{
	int status = 0;

	for (unsigned i = 0; i < 3 && !status; i++)
		status = with_bare(context, bare_threads, samples);
	return status;
}

static int run_threads_against(struct bench *bench, int (*baseline)(void *context, struct series *samples))
{
	struct paging paging = {.bench = bench};
	int status;

	if (host_cpus() < bench->which->variant)
		return bench_skip(bench, "%u threads need as many CPUs, and there are %u", bench->which->variant,
				  host_cpus());
	status = start(bench, &paging, PAGE, 0, 0);
	paging.threads = bench->which->variant;
	if (!status)
		status = bench_pairs(bench, threads_subject, baseline, &paging);
	close_all(&paging);
	return status;
}

static int run_threads(struct bench *bench)
{
	return run_threads_against(bench, threads_baseline);
}

static int run_threads_bare(struct bench *bench)
{
	return run_threads_against(bench, bare_threads_baseline);
}

/* ---- two processes ---- */

/* Lies in a segment that both have. */
struct meeting {
	_Atomic uint32_t job; /* counts */
	_Atomic int32_t failed;
	char pad0[56];
	_Atomic uint32_t done; /* the last job that the other has done */
	char pad1[60];
};

static void other_process(void *context, int socket)
{
	struct paging *paging = context, own = *paging;
	int rc = open_backing(&own);

	host_pin(1);
	if (!rc)
		rc = stoa_pager_install_handlers();
	if (!rc)
		rc = stoa_pager_receive_with_socket(socket, own.backing, &own.pager);
	if (!rc)
		rc = one_at_a_time(&own);
	own.address = stoa_pager_address(own.pager);
	own.threads = 2;
	store_rlx(&paging->meeting->failed, rc);
	for (uint32_t job = 1;; job++) {
		/* A1: its pages were taken away before; pairs with R1 in two_subject() */
		while (load_acq(&paging->meeting->job) < job)
			cc_pause();
		if (!rc)
			touch_share(&own, 1);
		store_rel(&paging->meeting->done, job); /* R2: all its touches; pairs with A2 in two_subject() */
	}
}

static int two_subject(void *context, struct series *samples)
{
	struct paging *paging = context;
	struct meeting *meeting = paging->meeting;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t job = load_rlx(&meeting->job) + 1;
		int status = forget(paging);
		uint64_t begin = host_now();

		if (status)
			return status;
		store_rel(&meeting->job, job); /* R1: pairs with A1 in other_process() */
		touch_share(paging, 0);
		while (load_acq(&meeting->done) < job) /* A2: pairs with R2 in other_process() */
			cc_pause();
		if (load_rlx(&meeting->failed))
			return bench_fail_result(paging->bench, "the other process", load_rlx(&meeting->failed));
		if (samples)
			series_add(samples, (double)paging->length / (double)PAGE * 1e3 / (double)(host_now() - begin));
	}
	return 0;
}

static int two_baseline(void *context, struct series *samples)
{
	struct paging *paging = context;

	for (unsigned i = 0; i < 3; i++) {
		int status = forget(paging);
		uint64_t begin = host_now();

		if (status)
			return status;
		touch_share(paging, 0);
		series_add(samples, (double)paging->length / (double)PAGE * 1e3 / (double)(host_now() - begin));
	}
	return 0;
}

static int open_meeting(struct bench *bench, struct stoa_segment **ret_segment)
{
	const struct stoa_segment_options options = {.commit = PAGE};
	int rc = stoa_segment_create(NULL, PAGE, &options, ret_segment);

	return rc ? bench_fail_result(bench, "stoa_segment_create", rc) : 0;
}

static int run_two_processes(struct bench *bench)
{
	struct paging paging = {.bench = bench, .length = bench_scale(bench, 16, 2) * MIB, .block = PAGE};
	struct stoa_segment *segment;
	struct rival_twin twin;
	int status, error;

	if (rival_pages_missing())
		return bench_skip(bench, "%s", rival_pages_missing());
	if (host_cpus() < 2)
		return bench_skip(bench, "two processes need as many CPUs");
	status = open_meeting(bench, &segment);
	if (status)
		return status;
	paging.meeting = stoa_segment_address(segment);
	error = rival_twin_start(&twin, other_process, &paging);
	if (error) {
		stoa_segment_close(segment);
		return bench_fail_system(bench, "starting another process", error);
	}
	status = start(bench, &paging, PAGE, 0, 0);
	paging.threads = 2;
	paging.meeting = stoa_segment_address(segment);
	if (!status) {
		int rc = stoa_pager_send_with_socket(paging.pager, (int)twin.socket);

		status = rc ? bench_fail_result(bench, "stoa_pager_send_with_socket", rc) : two_subject(&paging, NULL);
	}
	if (!status)
		status = bench_pairs(bench, two_subject, two_baseline, &paging);
	rival_twin_end(&twin);
	close_all(&paging);
	stoa_segment_close(segment);
	return status;
}

/* ---- a file ---- */

#define CHUNK ((size_t)128 << 10)
#define FRAME ((size_t)64 << 10) /* of a compressed file: its block */

struct paged_file {
	struct paging paging;
	struct rival_file file;
	struct rival_mapped mapped;
	bool is_mapped;
	struct frames frames; /* the same, compressed by hand */
	char *buffer;         /* of a chunk */
	uint64_t state;
	uint64_t sum; /* of all bytes, where that is checked */
};

static int store_plain(struct paged_file *file)
{
	int error = 0, rc;

	for (size_t at = 0; !error && at < file->paging.length; at += CHUNK) {
		measure_fill(file->buffer, CHUNK, at);
		error = rival_file_write(&file->file, file->buffer, CHUNK, at);
	}
	if (error)
		return bench_fail_system(file->paging.bench, "writing a file", error);
	rc = stoa_backing_file(file->file.path, STOA_BACKING_READ_ONLY, 0, &file->paging.backing);
	return rc ? bench_fail_result(file->paging.bench, "stoa_backing_file", rc) : 0;
}

static int store_mapped(struct paged_file *file)
{
	int status = store_plain(file), error;

	if (status)
		return status;
	error = rival_mapped_make(file->file.path, file->paging.length, (unsigned)(file->paging.length / 8 / PAGE),
				  &file->mapped);
	file->is_mapped = !error;
	return error ? bench_fail_system(file->paging.bench, rival_mapped_name, error) : 0;
}

/* `store` makes what the case reads, by the library and without it; the file loses its name afterwards. */
static int open_file(struct bench *bench, struct paged_file *file, size_t block, int (*store)(struct paged_file *file))
{
	struct paging *paging = &file->paging;
	void *buffer;
	int status, error;

	*file = (struct paged_file){.file.handle = -1, .state = UINT64_C(0x2545f4914f6cdd1d)};
	*paging = (struct paging){.bench = bench, .length = bench_scale(bench, 64, 4) * MIB, .block = block};
	if (rival_pages_missing())
		return bench_skip(bench, "%s", rival_pages_missing());
	host_pin(0);
	error = rival_file_make(bench->directory, &file->file);
	if (error)
		return (bench->directory_named ? bench_fail : bench_skip)(bench, "no file in %s (see --directory): %s",
									  bench->directory, walk_error_text(error));
	error = rival_memory_make(CHUNK, &buffer);
	if (error)
		return bench_fail_system(bench, "a buffer", error);
	file->buffer = buffer;
	status = store(file);
	rival_file_hide(&file->file);
	if (!status)
		status = open_pager(paging, paging->length / 8);
	return status;
}

static void close_file(struct paged_file *file)
{
	close_all(&file->paging);
	if (file->is_mapped)
		rival_mapped_end(&file->mapped);
	frames_end(&file->frames);
	if (file->buffer)
		rival_memory_free(file->buffer, CHUNK);
	if (file->file.handle != -1)
		rival_file_end(&file->file);
}

static int sequential_subject(void *context, struct series *samples)
{
	struct paged_file *file = context;
	size_t length = file->paging.length;
	int status = forget(&file->paging);
	uint64_t begin = host_now(), sum = 0;

	for (size_t at = 0; at < length && !status; at += CHUNK)
		sum += measure_sum(file->paging.address + at, CHUNK);
	series_add(samples, (double)length / (double)(host_now() - begin));
	measure_use(sum);
	file->sum = sum;
	return status;
}

static int sequential_baseline(void *context, struct series *samples)
{
	struct paged_file *file = context;
	size_t length = file->paging.length;
	uint64_t begin = host_now(), sum = 0;

	for (size_t at = 0; at < length; at += CHUNK) {
		int error = rival_file_read(&file->file, file->buffer, CHUNK, at);

		if (error)
			return bench_fail_system(file->paging.bench, rival_read_name, error);
		sum += measure_sum(file->buffer, CHUNK);
	}
	series_add(samples, (double)length / (double)(host_now() - begin));
	measure_use(sum);
	return 0;
}

static int run_sequential(struct bench *bench)
{
	struct paged_file file;
	int status = open_file(bench, &file, PAGE, store_plain);

	if (!status)
		status = bench_pairs(bench, sequential_subject, sequential_baseline, &file);
	close_file(&file);
	return status;
}

/* ---- a compressed file ---- */

/* Numbers that go up, with two bytes of each that nobody can foretell: a third of them is left. */
static void make_numbers(struct paged_file *file, size_t at)
{
	uint64_t number = at;

	for (size_t i = 0; i < FRAME; i += sizeof(number)) {
		file->state = file->state * UINT64_C(6364136223846793005) + 1;
		number = (at + i) << 16 | file->state >> 48;
		memcpy(file->buffer + i, &number, sizeof(number));
	}
}

static int write_packed(struct paged_file *file, struct stoa_backing *backing)
{
	struct bench *bench = file->paging.bench;
	int rc = 0;

	for (size_t at = 0; at < file->paging.length; at += FRAME) {
		int error;

		make_numbers(file, at);
		error = frames_add(&file->frames, file->buffer);
		if (error)
			return bench_fail_system(bench, frames_name, error);
		rc = stoa_backing_write(backing, at, FRAME, file->buffer);
		if (rc)
			return bench_fail_result(bench, "stoa_backing_write", rc);
	}
	rc = stoa_backing_flush(backing);
	return rc ? bench_fail_result(bench, "stoa_backing_flush", rc) : 0;
}

/* The library's file gets a name that is free, beside the other's. */
static int store_packed(struct paged_file *file)
{
	struct bench *bench = file->paging.bench;
	const struct stoa_backing_zstd_options options = {
		.flags = STOA_BACKING_CREATE, .frame = FRAME, .size = file->paging.length, .level = FRAMES_LEVEL};
	char path[sizeof(file->file.path) + 8];
	int rc, error;

	if (frames_missing())
		return bench_skip(bench, "%s", frames_missing());
	error = frames_make(&file->frames, &file->file, FRAME, file->paging.length / FRAME);
	if (error)
		return bench_fail_system(bench, frames_name, error);
	snprintf(path, sizeof(path), "%s.zstd", file->file.path);
	rc = stoa_backing_zstd(path, &options, &file->paging.backing);
	if (rc)
		return bench_fail_result(bench, "stoa_backing_zstd", rc);
	remove(path);
	return write_packed(file, file->paging.backing);
}

static int frames_baseline(void *context, struct series *samples)
{
	struct paged_file *file = context;
	size_t length = file->paging.length;
	uint64_t begin = host_now(), sum = 0;

	for (size_t at = 0; at < length; at += FRAME) {
		int error = frames_read(&file->frames, at / FRAME, file->buffer);

		if (error)
			return bench_fail_system(file->paging.bench, frames_name, error);
		sum += measure_sum(file->buffer, FRAME);
	}
	series_add(samples, (double)length / (double)(host_now() - begin));
	measure_use(sum);
	return file->sum && sum != file->sum ? bench_fail(file->paging.bench, "other bytes were read") : 0;
}

static int run_sequential_packed(struct bench *bench)
{
	struct paged_file file;
	int status = open_file(bench, &file, FRAME, store_packed);

	if (!status)
		status = bench_pairs(bench, sequential_subject, frames_baseline, &file);
	close_file(&file);
	return status;
}

/* ---- at random ---- */

static size_t random_page(struct paged_file *file)
{
	file->state ^= file->state << 13;
	file->state ^= file->state >> 7;
	file->state ^= file->state << 17;
	return file->state % (file->paging.length / PAGE);
}

#define RANDOM_SAMPLES 10u
#define RANDOM_TOUCHES 500u

static int random_subject(void *context, struct series *samples)
{
	struct paged_file *file = context;

	for (unsigned k = 0; k < RANDOM_SAMPLES; k++) {
		uint64_t begin = host_now();

		for (unsigned i = 0; i < RANDOM_TOUCHES; i++)
			read_page(file->paging.address + random_page(file) * PAGE);
		series_add(samples, (double)(host_now() - begin) / RANDOM_TOUCHES);
	}
	return 0;
}

static int random_baseline(void *context, struct series *samples)
{
	struct paged_file *file = context;

	for (unsigned k = 0; k < RANDOM_SAMPLES; k++) {
		uint64_t begin = host_now(), sum = 0;

		for (unsigned i = 0; i < RANDOM_TOUCHES; i++)
			sum += rival_mapped_touch(&file->mapped, random_page(file));
		series_add(samples, (double)(host_now() - begin) / RANDOM_TOUCHES);
		measure_use(sum);
	}
	return 0;
}

static int run_random(struct bench *bench)
{
	struct paged_file file;
	int status = open_file(bench, &file, PAGE, store_mapped);

	if (!status)
		status = one_at_a_time(&file.paging);
	if (!status)
		status = bench_pairs(bench, random_subject, random_baseline, &file);
	close_file(&file);
	return status;
}

/* ---- the table ---- */

#define LINEAR              \
	{                   \
		.low = 0.85 \
	}

const struct bench_case bench_pager_cases[] = {
	{"pager.fault", "ns", rival_pages_name, "first touch of a page of 4 KiB", {.high = 1.1}, run_fault, 1, NULL},
	{"pager.block64",
	 "ns",
	 rival_pages_name,
	 "the same for a block of 64 pages, each page",
	 {.high = 1.1},
	 run_fault,
	 64,
	 NULL},
	{"pager.fault.sigsegv", "ns", "libsigsegv, mprotect, fill in place", "first touch of a page of 4 KiB",
	 NO_TARGET, run_fault_sigsegv, 0, NULL},
	{"pager.served", "ns", rival_pages_name, "first touch of a page of 4 KiB that a thread serves", NO_TARGET,
	 run_served, 1, NULL},
	{"pager.write_fault", "ns", "SIGBUS, UFFDIO_WRITEPROTECT, no more", "first write to a page that is there",
	 NO_TARGET, run_write_fault, 0, NULL},
	{"pager.evict_cycle", "ns", "the same, and 64 pages away at a time, in order",
	 "first touch of a page that needs another's memory", NO_TARGET, run_evict_cycle, 0, NULL},
	{"pager.threads.2", "M/s", "one thread, twice", "first touches by 2 threads", LINEAR, run_threads, 2, NULL},
	{"pager.threads.4", "M/s", "one thread, four times", "first touches by 4 threads", LINEAR, run_threads, 4,
	 NULL},
	{"pager.threads_bare.2", "M/s", "2 threads with SIGBUS, fill, UFFDIO_COPY", "first touches by 2 threads",
	 NO_TARGET, run_threads_bare, 2, NULL},
	{"pager.two_processes", "M/s", "one process, twice", "first touches by 2 processes", LINEAR, run_two_processes,
	 0, NULL},
	{"pager.random_over_budget", "ns", rival_mapped_name, "read a byte at random in a file eight times the budget",
	 NO_TARGET, run_random, 0, NULL},
	{"pager.sequential", "GB/s", rival_read_name, "read a file eight times the budget in order", NO_TARGET,
	 run_sequential, 0, NULL},
	{"pager.seq_compressed", "GB/s", frames_name, "the same, compressed in frames of 64 KiB", NO_TARGET,
	 run_sequential_packed, 0, NULL},
	{0},
};
