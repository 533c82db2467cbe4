/* SPDX-License-Identifier: MIT */
/*
 * A program for pipelines, which knows nothing of stoa: makes bytes, passes them on, counts them, takes some, ends as it is told.
 *
 *   make N     N bytes that follow from their places      pass      the input to the output, byte by byte as it comes
 *   sum        how many there were, and a sum of them     take N    N bytes, and no more
 *   say W...   the words, each in a line                  exit N    with this status, the input unread
 *   names WORD into its error output: WORD, and how streams are called; then as pass
 *   die        as killed                                  wait      until the input ends, then say so
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_system.h"

#define PIECE 30000

static unsigned char bytes[PIECE];

static int make(uint64_t count)
{
	uint64_t state = 1;

	for (uint64_t done = 0; done < count;) {
		size_t length = count - done < PIECE ? (size_t)(count - done) : PIECE;

		for (size_t i = 0; i < length; i++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
			bytes[i] = (unsigned char)(state >> 56);
		}
		if (fwrite(bytes, 1, length, stdout) != length)
			return 1;
		done += length;
	}
	return fflush(stdout) != 0;
}

static int pass(void)
{
	size_t got;

	while ((got = fread(bytes, 1, PIECE, stdin)) > 0)
		if (fwrite(bytes, 1, got, stdout) != got)
			return 1;
	return fflush(stdout) != 0;
}

static int sum(void)
{
	uint64_t count = 0, total = 0;
	size_t got;

	while ((got = fread(bytes, 1, PIECE, stdin)) > 0) {
		for (size_t i = 0; i < got; i++)
			total = total * 31 + bytes[i];
		count += got;
	}
	return printf("%" PRIu64 " %016" PRIx64 "\n", count, total) < 0;
}

static int tell_names(const char *word)
{
	const char *in = getenv("STOA_STREAM_IN"), *out = getenv("STOA_STREAM_OUT");

	fprintf(stderr, "%s: from %s to %s.\n", word, in ? in : "nobody", out ? out : "nobody");
	return pass();
}

static int wait_for_end(void)
{
	while (fread(bytes, 1, PIECE, stdin) > 0)
		;
	return puts("ended") < 0;
}

static int take(uint64_t count)
{
	for (; count; count--)
		if (getchar() == EOF)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t number = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;

	filter_start();
	if (strcmp(what, "make") == 0)
		return make(number);
	if (strcmp(what, "pass") == 0)
		return pass();
	if (strcmp(what, "sum") == 0)
		return sum();
	if (strcmp(what, "take") == 0)
		return take(number);
	if (strcmp(what, "wait") == 0)
		return wait_for_end();
	if (strcmp(what, "names") == 0)
		return tell_names(argc > 2 ? argv[2] : "");
	if (strcmp(what, "die") == 0)
		filter_die();
	if (strcmp(what, "say") == 0)
		for (int i = 2; i < argc; i++)
			puts(argv[i]);
	return strcmp(what, "exit") == 0 ? (int)number : 0;
}
