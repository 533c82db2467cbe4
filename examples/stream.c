/* SPDX-License-Identifier: MIT */
/*
 * A stream: a child writes more bytes than fit, its parent reads them as they come, and knows at the end whether it got
 * all. A child that ends in the middle is told from one that has finished.
 */
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "stream: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

/* A hundred lines are not all that were wanted: it ends without a word. */
static int write_lines(const char *name, int lines)
{
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	char line[32];

	check(stoa_stream_open(name, 0, &stream), "open");
	check(stoa_writer_join(stream, NULL, &writer), "join");
	for (int i = 1; i <= lines; i++) {
		int length = snprintf(line, sizeof(line), "line %d\n", i);

		check(stoa_stream_write(writer, line, (uint64_t)length, STOA_FOREVER, NULL), "write");
	}
	if (lines == 100)
		exit(0);
	check(stoa_stream_finish(writer), "finish");
	stoa_writer_leave(writer);
	stoa_stream_close(stream);
	return 0;
}

/* Reads in place, a piece of the ring at a time, and counts lines. */
static void read_lines(const char *how)
{
	unsigned long long all = 0, lines = 0;
	struct stoa_stream *stream;
	struct stoa_reader *reader;
	struct child child;
	const void *bytes;
	uint64_t length;
	char name[80];
	int result;

	snprintf(name, sizeof(name), "%s-%llu", how, (unsigned long long)stoa_now());
	check(stoa_stream_create(name, NULL, &stream), "create");
	check(stoa_reader_join(stream, NULL, &reader), "join");
	if (child_start(&child, name))
		exit(1);
	while ((result = stoa_stream_peek(reader, STOA_FOREVER, &bytes, &length)) == 0) {
		for (uint64_t i = 0; i < length; i++)
			lines += ((const char *)bytes)[i] == '\n';
		all += length;
		check(stoa_stream_consume(reader, length), "consume");
	}
	printf("%llu lines, %llu bytes, then: %s\n", lines, all, stoa_error_name(result));
	child_wait(&child);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return write_lines(argv[1], argv[1][0] == 'a' ? 1000000 : 100);
	read_lines("all");
	read_lines("part");
	return 0;
}
