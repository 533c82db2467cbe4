/* SPDX-License-Identifier: MIT */
/*
 * Workers that share one model: each that does not find it reads its file into the store, and the first to be done has put it there, for all. It is
 * sealed, so that none can spoil it. The server is a thread here; stoad(8) is the same for programs that come and go. Linux only.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "child.h"
#include <stoa/stoa.h>

#define SIZE (8u << 20)
#define WORKERS 4

static void check(int result, const char *what)
{
	if (!result)
		return;
	fprintf(stderr, "store_model: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
	exit(99);
}

/* Exit status 1: it has put the model there; 0: another was quicker. */
static int work(const char *place)
{
	const struct stoa_object_options options = {.kind = STOA_OBJECT_SEALED};
	struct stoa_object model;
	struct stoa_store *store;
	struct stoa_draft draft;
	FILE *file = fopen("example.model", "rb");
	int result;

	check(stoa_store_open(place, NULL, &store), "open");
	result = stoa_store_create(store, "model", 5, SIZE, &options, &draft);
	if (result == 0) {
		check(!file || fread(draft.data, 1, SIZE, file) != SIZE, "read");
		result = stoa_draft_seal(store, &draft, SIZE);
	}
	check(result == -STOA_EEXIST ? 0 : result, "put");
	check(stoa_store_get(store, "model", 5, STOA_FOREVER, &model), "get");
	for (unsigned i = 0; i < SIZE; i++)
		check(((const unsigned char *)model.data)[i] != (unsigned char)(i / 4096), "use");
	return result == 0;
}

static void *serve(void *server)
{
	check(stoa_server_run(server), "run");
	return NULL;
}

int main(int argc, char **argv)
{
	const struct stoa_server_options options = {.socket = "example.socket", .limit = 64 << 20};
	struct child children[WORKERS];
	struct stoa_server *server;
	pthread_t thread;
	int loaded = 0;
	FILE *file;

	if (argc > 1)
		return work(argv[1]);
	file = fopen("example.model", "wb");
	for (unsigned i = 0; file && i < SIZE; i++)
		fputc((int)(i / 4096), file);
	check(!file || fclose(file), "write");
	check(stoa_server_start(&options, &server), "server");
	check(pthread_create(&thread, NULL, serve, server), "thread");
	for (int i = 0; i < WORKERS; i++)
		check(child_start(&children[i], options.socket), "child");
	for (int i = 0; i < WORKERS; i++)
		loaded += child_wait(&children[i]);
	stoa_server_stop(server);
	pthread_join(thread, NULL);
	stoa_server_close(server);
	printf("%d workers used one model of %u MiB in place; %d of them had put it there\n", WORKERS, SIZE >> 20,
	       loaded);
	return remove("example.model") || loaded != 1;
}
