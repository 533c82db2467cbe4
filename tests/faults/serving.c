/* SPDX-License-Identifier: MIT */
/*
 * A store for fault cases: its server runs in a thread of this program, so that a fault can be the server's own or its client's. It can be left
 * as a killed one is, with all that its holder has, and what it did for another client is looked at in the end.
 */
#include "faults.h"

#include <os/linux/sys.h>
#include <pthread.h>
#include <stdio.h>
#include <store/kit.h>
#include <store/server.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/atomic.h>

static pthread_t thread;
static _Atomic uint32_t thread_id;

const char *store_path(void)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/store", test_dir());
	return path;
}

struct stoa_server_options store_options(uint32_t flags)
{
	return (struct stoa_server_options){
		.socket = store_path(), .limit = 64 * STORE_MIB, .objects = 1000, .clients = 8, .flags = flags};
}

static void *serve(void *server)
{
	store_rel(&thread_id, os_thread_id());
	CHECK_RC(stoa_server_run(server), 0);
	return NULL;
}

void begin_serving(struct run *run)
{
	store_rlx(&run->server->stopping, 0);
	store_rlx(&thread_id, 0);
	CHECK_EQ(pthread_create(&thread, NULL, serve, run->server), 0);
	while (!load_acq(&thread_id))
		os_yield();
}

void stop_serving(struct run *run)
{
	stoa_server_stop(run->server);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

void sleep_serving(struct run *run)
{
	for (unsigned calm = 0; calm < 3; usleep(200))
		calm = load_rlx(&run->server->header->asleep) ? calm + 1 : 0;
}

void die_serving(struct run *run)
{
	stop_serving(run);
	run->server->leaving = true;
	stoa_server_close(run->server);
	run->server = NULL;
}

/* Holders are nobody's children, so they become the harness's. */
void reap_holders(void)
{
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

int store_put(struct stoa_store *store, const char *id, uint64_t size, uint32_t kind)
{
	static const char bytes[STORE_PRIVATE_SIZE] = "what is put";
	const struct stoa_object_options options = {.kind = kind};
	int rc = stoa_store_put(store, id, (uint32_t)strlen(id), bytes, size, &options);

	CHECK_INT(rc, <=, 0); /* nothing that fails makes anybody wait for long */
	return rc;
}

int store_check(struct stoa_store *store, const char *id, uint64_t size)
{
	struct stoa_object object;
	int rc = stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object);

	CHECK_INT(rc, <=, 0);
	if (rc)
		return rc;
	CHECK_EQ(object.size, size);
	CHECK(!strcmp(object.data, "what is put"));
	stoa_object_release(store, &object);
	return 0;
}

static void put_all(struct stoa_store *store)
{
	CHECK_RC(store_put(store, "copied", 100, STOA_OBJECT_COPIED), 0);
	CHECK_RC(store_put(store, "private", STORE_PRIVATE_SIZE, STOA_OBJECT_PRIVATE), 0);
	CHECK_RC(store_put(store, "sealed", STORE_PRIVATE_SIZE, STOA_OBJECT_SEALED), 0);
}

void start_store(struct run *run, uint32_t flags)
{
	struct stoa_server_options options = store_options(flags);

	CHECK_RC(stoa_server_start(&options, &run->server), 0);
	begin_serving(run);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->other), 0);
	put_all(run->other);
	CHECK_RC(stoa_store_open(store_path(), NULL, &run->store), 0);
	sleep_serving(run);
	run->counted = os_thread_id();
}

void count_server(struct run *run)
{
	run->counted = load_rlx(&thread_id);
}

void check_other(struct run *run)
{
	CHECK_RC(store_check(run->other, "copied", 100), 0);
	CHECK_RC(store_check(run->other, "private", STORE_PRIVATE_SIZE), 0);
	CHECK_RC(store_check(run->other, "sealed", STORE_PRIVATE_SIZE), 0);
	CHECK_RC(store_put(run->other, "more", 100, STOA_OBJECT_COPIED), 0);
	CHECK_RC(stoa_store_delete(run->other, "more", 4), 0);
}

void end_store(struct run *run)
{
	check_other(run);
	stop_serving(run);
	kit_check_books(run->server);
	begin_serving(run);
	stoa_store_close(run->store);
	stoa_store_close(run->other);
	stop_serving(run);
	stoa_server_close(run->server);
	run->store = run->other = NULL;
	run->server = NULL;
}
