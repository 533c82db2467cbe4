/* SPDX-License-Identifier: MIT */
/* A store that is a cache: what goes when there is no room, and what does not. */
#include <harness/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

static char socket_path[512];
static _Atomic uint32_t *ready;

static void serve(void *argument)
{
	struct stoa_server_options options = {
		.socket = socket_path, .limit = 64 * MIB, .objects = 10000, .flags = STOA_SERVER_EVICT};
	struct stoa_server *server;

	(void)argument;
	CHECK_RC(stoa_server_start(&options, &server), 0);
	*ready = 1;
	CHECK_RC(stoa_server_run(server), 0);
}

static pid_t start_server(void)
{
	pid_t server;

	snprintf(socket_path, sizeof(socket_path), "%s/cache", test_dir());
	ready = test_shared(sizeof(*ready));
	server = test_role(serve, NULL);
	test_await(ready, 1);
	return server;
}

static void put(struct stoa_store *store, unsigned number, const void *data, uint64_t size, uint32_t flags)
{
	struct stoa_object_options options = {.flags = flags};
	char id[20];

	snprintf(id, sizeof(id), "%u", number);
	CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), data, size, &options), 0);
}

static bool there(struct stoa_store *store, unsigned number)
{
	char id[20];

	snprintf(id, sizeof(id), "%u", number);
	return stoa_store_contains(store, id, (uint32_t)strlen(id)) == 1;
}

static void use(struct stoa_store *store, unsigned number)
{
	struct stoa_object object;
	char id[20];

	snprintf(id, sizeof(id), "%u", number);
	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
	stoa_object_release(store, &object);
}

TEST_TIMEOUT(what_was_not_used_for_longest_goes, 60)
{
	struct stoa_store *store;
	struct stoa_store_stat stat;
	struct stoa_object held;
	pid_t server = start_server();
	void *data = malloc(MIB);
	unsigned old = 0;

	CHECK(data != NULL);
	memset(data, 'e', MIB);
	CHECK_RC(stoa_store_open(socket_path, NULL, &store), 0);
	put(store, 0, data, MIB, STOA_OBJECT_PINNED);
	put(store, 1, data, MIB, 0);
	put(store, 2, data, MIB, 0);
	put(store, 3, data, MIB, 0);
	CHECK_RC(stoa_store_pin(store, "3", 1), 0);
	CHECK_RC(stoa_store_get(store, "1", 1, 0, &held), 0);
	for (unsigned i = 4; i < 300; i++) {
		put(store, i, data, MIB, 0);
		use(store, 2);
	}
	CHECK(there(store, 0));
	CHECK(there(store, 1));
	CHECK(there(store, 2));
	CHECK(there(store, 3));
	CHECK(there(store, 299));
	for (unsigned i = 4; i < 200; i++)
		old += there(store, i);
	CHECK_EQ(old, 0);
	for (uint64_t i = 0; i < held.size; i++)
		CHECK(((const char *)held.data)[i] == 'e');
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_INT(stat.committed, <=, stat.limit);
	CHECK_INT(stat.evictions, >=, 200);
	stoa_object_release(store, &held);
	CHECK_RC(stoa_store_unpin(store, "3", 1), 0);
	CHECK_RC(stoa_store_unpin(store, "nothing", 7), -STOA_ENOENT);
	for (unsigned i = 300; i < 500; i++)
		put(store, i, data, MIB, 0);
	CHECK(there(store, 0));
	CHECK(!there(store, 1));
	CHECK(!there(store, 2));
	CHECK(!there(store, 3));
	/* Room that only pinned objects could give is an error. */
	for (unsigned i = 500;; i++) {
		struct stoa_object_options options = {.flags = STOA_OBJECT_PINNED};
		char id[20];
		int rc;

		snprintf(id, sizeof(id), "%u", i);
		rc = stoa_store_put(store, id, (uint32_t)strlen(id), data, MIB, &options);
		if (rc) {
			CHECK_RC(rc, -STOA_ENOMEM);
			CHECK_INT(i, <, 600);
			break;
		}
	}
	CHECK(there(store, 0) && there(store, 500));
	free(data);
	stoa_store_close(store);
	test_kill(server);
}
