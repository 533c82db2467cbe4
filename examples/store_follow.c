/* SPDX-License-Identifier: MIT */
/* One appends to an object, and two read it in place as it grows. One of these is killed on the way: it is nothing to the others. Linux only. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include <stoa/stoa.h>

enum { PIECES = 2000, PIECE = 4096 }; /* bytes, the last 8 of which are the sum of all others so far */
static const struct stoa_server_options serving = {.socket = "follow.socket", .limit = 32 << 20, .objects = 1000};
static const struct stoa_object_options followed = {.flags = STOA_OBJECT_FOLLOWED};

static void check(int result, const char *what)
{
	if (result)
		exit(fprintf(stderr, "store_follow: %s: %s\n", what, stoa_error_detail()) > 0);
}

static uint64_t sum_piece(uint64_t sum, const unsigned char *piece)
{
	for (unsigned i = 0; i < PIECE - 8; i++)
		sum = sum * 31 + piece[i];
	return sum;
}

static int follow(struct stoa_store *store)
{
	struct stoa_object log;
	uint64_t done = 0, sum = 0;
	int result = stoa_store_follow(store, "log", 3, STOA_FOREVER, &log);

	while (result == 0) {
		result = stoa_object_await(store, &log, STOA_FOREVER);
		for (; done < log.size; done += PIECE) {
			sum = sum_piece(sum, (const unsigned char *)log.data + done);
			check(memcmp(&sum, (const char *)log.data + done + PIECE - 8, 8), "a sum that is wrong");
		}
	}
	return result != STOA_CLOSED || done != PIECES * PIECE; /* all of it, and its maker says so */
}

static void *serve(void *server)
{
	return stoa_server_run(server) ? server : NULL;
}

int main(int argc, char **argv)
{
	struct child reader, victim;
	struct stoa_server *server;
	struct stoa_store *store;
	struct stoa_draft log;
	uint64_t sum = 0;
	pthread_t thread;

	if (argc > 1)
		return stoa_store_open(argv[1], NULL, &store) || follow(store);
	check(stoa_server_start(&serving, &server) || pthread_create(&thread, NULL, serve, server), "server");
	check(child_start(&reader, serving.socket) || child_start(&victim, serving.socket) ||
		      stoa_store_open(serving.socket, NULL, &store),
	      "start");
	check(stoa_store_create(store, "log", 3, PIECES * PIECE, &followed, &log), "create");
	for (unsigned i = 0; i < PIECES; i++) {
		unsigned char *piece = memset((char *)log.data + (size_t)i * PIECE, (int)(i % 251), PIECE);

		sum = sum_piece(sum, piece);
		memcpy(piece + PIECE - 8, &sum, 8);
		check(stoa_draft_advance(store, &log, (uint64_t)(i + 1) * PIECE), "advance");
		if (i == PIECES / 2)
			child_kill(&victim);
	}
	check(stoa_draft_seal(store, &log, PIECES * PIECE) || child_wait(&reader) || child_wait(&victim) != -1,
	      "the end");
	printf("a reader had all %d pieces as they came; another one was killed\n", PIECES);
	stoa_server_stop(server);
	pthread_join(thread, NULL);
	stoa_server_close(server);
}
