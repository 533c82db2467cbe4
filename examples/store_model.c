/* SPDX-License-Identifier: MIT */
/*
 * Workers that share one model: whoever comes first reads its file into the store, and each uses it there, in place. It is sealed, so that
 * none can spoil it for the others. The server is a thread here; stoad(8) is the same for programs that come and go. Linux only.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <stoa/stoa.h>

#include "child.h"

#define SIZE (8u << 20)
#define WORKERS 4

static void check(int result, const char *what)
{
	if (!result)
		return;
	fprintf(stderr, "store_model: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
	exit(99);
}

/* Exit status 1: it has read the file; 0: another has. */
static int work(void)
{
	const struct stoa_object_options options = {.kind = STOA_OBJECT_SEALED};
	struct stoa_object model;
	struct stoa_store *store;
	struct stoa_draft draft;
	int result;

	check(stoa_store_open("example.socket", NULL, &store), "open");
	result = stoa_store_create(store, "model", 5, SIZE, &options, &draft);
	if (result == 0) {
		FILE *file = fopen("example.model", "rb");

		check(!file || fread(draft.data, 1, SIZE, file) != SIZE, "read");
		check(stoa_draft_seal(store, &draft, SIZE), "seal");
	}
	check(result == -STOA_EEXIST ? 0 : result, "create");
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
	int loaded = 0;
	pthread_t thread;
	FILE *file;

	if (argc > 1 && argv[1])
		return work();
	file = fopen("example.model", "wb");
	for (unsigned i = 0; file && i < SIZE; i++)
		fputc((int)(i / 4096), file);
	check(!file || fclose(file), "write");
	check(stoa_server_start(&options, &server), "server");
	check(pthread_create(&thread, NULL, serve, server), "thread");
	for (int i = 0; i < WORKERS; i++)
		check(child_start(&children[i], "work"), "child");
	for (int i = 0; i < WORKERS; i++)
		loaded += child_wait(&children[i]);
	stoa_server_stop(server);
	pthread_join(thread, NULL);
	stoa_server_close(server);
	printf("%d workers used a model of %u MiB in place; %d of them had read its file\n", WORKERS, SIZE >> 20,
	       loaded);
	return remove("example.model") || loaded != 1;
}
