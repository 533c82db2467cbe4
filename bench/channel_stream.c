/* SPDX-License-Identifier: MIT */
/*
 * Streams: bytes from one process to another against a pipe, both with as much room on the way; by copies, which is all that a pipe
 * has, and in place. Every byte is written before and read after. Uses the public headers.
 *
 * The one hard idea: the reader counts bytes in a line of its own, and a block's time ends when the count is full; so there is no wake-up
 * at its end in it.
 */
#include "bench.h"

#include <stdlib.h>

#include <base/atomic.h>
#include <stoa/stream.h>

#include "crew.h"
#include "os/host.h"
#include "os/rival.h"

#define PIECE (64u << 10) /* of a call */
#define ROOM (1u << 20)   /* on the way: as a pipe of Linux may have */

enum { BY_COPY, IN_PLACE }; /* variants */

struct arena {
	_Atomic uint64_t got; /* over all blocks */
	char pad8[120];
	struct rival_pipe pipe;
	char pad144[4096 - 128 - sizeof(struct rival_pipe)];
};

struct passage {
	struct bench *bench;
	struct arena *arena;
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	unsigned char *piece;
	uint64_t bytes; /* of a block */
	struct crew crew;
};

static const struct stoa_stream_options stream_options = {.ring = ROOM};

/* ---- so many bytes, at most a piece: all written, or some read ---- */

static int stream_put(struct passage *passage, uint64_t length)
{
	measure_fill(passage->piece, length, length);
	return stoa_stream_write(passage->writer, passage->piece, length, STOA_FOREVER, NULL);
}

static int stream_take(struct passage *passage, uint64_t *ret_got)
{
	int rc = stoa_stream_read(passage->reader, passage->piece, PIECE, STOA_FOREVER, ret_got);

	if (!rc)
		measure_use(measure_sum(passage->piece, *ret_got));
	return rc;
}

static int place_put(struct passage *passage, uint64_t length)
{
	uint64_t room;
	void *bytes;
	int rc = 0;

	for (; !rc && length; length -= room) {
		rc = stoa_stream_reserve(passage->writer, length, STOA_FOREVER, &bytes, &room);
		if (rc)
			return rc;
		measure_fill(bytes, room, room);
		rc = stoa_stream_commit(passage->writer, room);
	}
	return rc;
}

static int place_take(struct passage *passage, uint64_t *ret_got)
{
	const void *bytes;
	int rc = stoa_stream_peek(passage->reader, STOA_FOREVER, &bytes, ret_got);

	if (rc)
		return rc;
	*ret_got = *ret_got < PIECE ? *ret_got : PIECE; /* so that its room comes back in pieces too */
	measure_use(measure_sum(bytes, *ret_got));
	return stoa_stream_consume(passage->reader, *ret_got);
}

static int pipe_put(struct passage *passage, uint64_t length)
{
	measure_fill(passage->piece, length, length);
	return rival_pipe_write(&passage->arena->pipe, passage->piece, length);
}

static int pipe_take(struct passage *passage, uint64_t *ret_got)
{
	size_t got = 0;
	int rc = rival_pipe_read(&passage->arena->pipe, passage->piece, PIECE, &got);

	measure_use(measure_sum(passage->piece, got));
	*ret_got = got;
	return rc ? rc : got ? 0 : -1;
}

/* ---- blocks ---- */

static int read_block(void *context, unsigned member, unsigned job)
{
	struct passage *passage = context;
	uint64_t count = load_rlx(&passage->arena->got), end = count + passage->bytes;
	int rc = 0;

	(void)member;
	while (!rc && count < end) {
		uint64_t got = 0;

		rc = job == 2                         ? pipe_take(passage, &got)
		     : passage->bench->which->variant ? place_take(passage, &got)
						      : stream_take(passage, &got);
		count += got;
		store_rlx(&passage->arena->got, count);
	}
	return rc;
}

static int write_block(struct passage *passage, unsigned job, struct series *samples)
{
	uint64_t end = load_rlx(&passage->arena->got) + passage->bytes, start;
	int rc = 0;

	if (crew_begin(&passage->crew, job))
		return bench_fail(passage->bench, "the reader is gone");
	start = host_now();
	for (uint64_t sent = 0; !rc && sent < passage->bytes; sent += PIECE)
		rc = job == 2                         ? pipe_put(passage, PIECE)
		     : passage->bench->which->variant ? place_put(passage, PIECE)
						      : stream_put(passage, PIECE);
	while (!rc && load_rlx(&passage->arena->got) < end)
		host_yield();
	series_add(samples, (double)passage->bytes / (double)(host_now() - start));
	if (rc)
		return job == 2 ? bench_fail_system(passage->bench, "writing to a pipe", rc)
				: bench_fail_result(passage->bench, "writing to a stream", rc);
	return crew_end(&passage->crew) ? bench_fail(passage->bench, "the reader failed or hangs") : 0;
}

static int by_stream(void *context, struct series *samples)
{
	return write_block(context, 1, samples);
}

static int by_pipe(void *context, struct series *samples)
{
	return write_block(context, 2, samples);
}

/* ---- setting up ---- */

static void choose(struct passage *passage)
{
	passage->bytes = (uint64_t)bench_scale(passage->bench, 64, 4) << 20;
}

static int passage_serve(const struct crew_member *self)
{
	struct bench bench = self->bench;
	struct passage passage = {.bench = &bench, .arena = stoa_segment_address(self->segment)};
	int rc = stoa_stream_attach(self->segment, sizeof(struct arena), &passage.stream);

	choose(&passage);
	passage.piece = malloc(PIECE);
	if (!rc)
		rc = stoa_reader_join(passage.stream, NULL, &passage.reader);
	if (!rc)
		rc = passage.piece ? crew_serve(self, read_block, &passage) : -1;
	stoa_reader_leave(passage.reader);
	stoa_stream_close(passage.stream);
	free(passage.piece);
	return rc;
}

static int passage_open(struct passage *passage, struct stoa_segment **ret_segment)
{
	uint64_t size = 0, length;
	int rc = stoa_stream_size(&stream_options, &size);

	length = sizeof(struct arena) + size;
	if (!rc)
		rc = stoa_segment_create(NULL, length, NULL, ret_segment);
	if (!rc)
		rc = stoa_segment_commit(*ret_segment, length);
	if (!rc)
		rc = stoa_stream_place(*ret_segment, sizeof(struct arena), &stream_options, &passage->stream);
	if (!rc)
		rc = stoa_writer_join(passage->stream, NULL, &passage->writer);
	if (rc)
		return bench_fail_result(passage->bench, "setting up a stream", rc);
	passage->arena = stoa_segment_address(*ret_segment);
	passage->piece = malloc(PIECE);
	rc = rival_pipe_make(&passage->arena->pipe);
	if (rc)
		return bench_fail_system(passage->bench, rival_pipe_name, rc);
	return passage->piece ? 0 : bench_fail(passage->bench, "out of memory");
}

static int run_stream(struct bench *bench)
{
	struct passage passage = {.bench = bench};
	struct stoa_segment *segment = NULL;
	int status;

	if (host_cpus() < 2)
		return bench_skip(bench, "one CPU only");
	choose(&passage);
	status = passage_open(&passage, &segment);
	host_pin(0);
	if (!status)
		status = crew_start(&passage.crew, bench, segment, 1, 1);
	if (!status)
		status = bench_pairs(bench, by_stream, by_pipe, &passage);
	crew_stop(&passage.crew);
	if (passage.arena && passage.arena->pipe.to)
		rival_pipe_end(&passage.arena->pipe);
	stoa_writer_leave(passage.writer);
	stoa_stream_close(passage.stream);
	stoa_segment_close(segment);
	free(passage.piece);
	return status;
}

const struct bench_case bench_stream_cases[] = {
	{"channel.stream", "GB/s", rival_pipe_name, "bytes in pieces of 64 KiB, by copies", NO_TARGET, run_stream,
	 BY_COPY, passage_serve},
	{"channel.stream.in_place", "GB/s", rival_pipe_name, "the same, written and read in place", NO_TARGET,
	 run_stream, IN_PLACE, passage_serve},
	{0},
};
