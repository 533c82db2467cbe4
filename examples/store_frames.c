/* SPDX-License-Identifier: MIT */
/*
 * Frames by number: a child draws each in its place in the store, its parent looks at it there and deletes it. As they are pinned, the child
 * waits when the store is full. The server is a thread here; stoad(8) is the same for programs that come and go. Linux only.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stoa/stoa.h>

#include "child.h"

#define FRAMES 600u
#define PIXELS (640u * 480u)

static void check(int result, const char *what)
{
	if (!result)
		return;
	fprintf(stderr, "store_frames: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
	exit(1);
}

static int draw(const char *place)
{
	const struct stoa_object_options options = {.flags = STOA_OBJECT_PINNED, .deadline = STOA_FOREVER};
	struct stoa_store *store;
	struct stoa_draft frame;

	check(stoa_store_open(place, NULL, &store), "open");
	for (uint32_t number = 0; number < FRAMES; number++) {
		check(stoa_store_create(store, &number, sizeof(number), PIXELS, &options, &frame), "create");
		memset(frame.data, (int)(number & 0xff), PIXELS);
		check(stoa_draft_seal(store, &frame, PIXELS), "seal");
	}
	return 0;
}

static void *serve(void *server)
{
	check(stoa_server_run(server), "run");
	return NULL;
}

int main(int argc, char **argv)
{
	const struct stoa_server_options options = {.socket = "example.socket", .limit = 32 << 20, .objects = 1000};
	struct stoa_server *server;
	struct stoa_object frame;
	struct stoa_store *store;
	struct child child;
	uint64_t right = 0;
	pthread_t thread;

	if (argc > 1)
		return draw(argv[1]);
	check(stoa_server_start(&options, &server), "server");
	check(pthread_create(&thread, NULL, serve, server), "thread");
	check(child_start(&child, options.socket), "child");
	check(stoa_store_open("example.socket", NULL, &store), "open");
	for (uint32_t number = 0; number < FRAMES; number++) {
		check(stoa_store_get(store, &number, sizeof(number), STOA_FOREVER, &frame), "get");
		for (uint64_t i = 0; i < frame.size; i++)
			right += ((const unsigned char *)frame.data)[i] == (number & 0xff);
		stoa_object_release(store, &frame);
		check(stoa_store_delete(store, &number, sizeof(number)), "delete");
	}
	stoa_store_close(store);
	check(child_wait(&child), "child");
	stoa_server_stop(server);
	pthread_join(thread, NULL);
	stoa_server_close(server);
	printf("%u frames, %u MiB in all, went through a store of 32 MiB, each looked at in place\n", FRAMES,
	       FRAMES * PIXELS >> 20);
	return right != (uint64_t)FRAMES * PIXELS;
}
