/* SPDX-License-Identifier: MIT */
/* A store that outlives its server: kill -9 at any moment, and a successor goes on with all that was sealed, and with the same clients. */
#include <harness/test.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <sys/wait.h>

#define MIB (UINT64_C(1) << 20)

static char socket_path[512];

static const char *path(void)
{
	if (!*socket_path)
		snprintf(socket_path, sizeof(socket_path), "%s/store", test_dir());
	return socket_path;
}

struct shared {
	_Atomic uint32_t running; /* counts servers that have taken over */
	_Atomic uint32_t stop;
	_Atomic uint64_t done[8];
};
static struct shared *shared;

static struct stoa_server *leaver;

static void leave(int number)
{
	(void)number;
	stoa_server_leave(leaver);
}

static void serve(void *argument)
{
	struct stoa_server_options options = {.socket = path(), .limit = 256 * MIB, .flags = STOA_SERVER_HELD};
	struct stoa_server *server;

	(void)argument;
	CHECK_RC(stoa_server_start(&options, &server), 0);
	shared->running++;
	leaver = server;
	signal(SIGUSR1, leave);
	CHECK_RC(stoa_server_run(server), 0);
	stoa_server_close(server);
}

static pid_t start_server(void)
{
	uint32_t before = shared->running;
	pid_t server = test_role(serve, NULL);

	while (shared->running == before)
		test_nap(1);
	return server;
}

/* The last server ends its holder, and with it everything. */
static void end_store(void)
{
	struct stoa_server_options options = {.socket = path(), .limit = 256 * MIB, .flags = STOA_SERVER_HELD};
	struct stoa_server *server;

	CHECK_RC(stoa_server_start(&options, &server), 0);
	stoa_server_close(server);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void begin(void)
{
	(void)path();
	shared = test_shared(sizeof(*shared));
}

static void put(struct stoa_store *store, const char *id, const void *data, uint64_t size, uint32_t kind)
{
	struct stoa_object_options options = {.kind = kind};

	CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), data, size, &options), 0);
}

static void check_object(struct stoa_store *store, const char *id, int byte, uint64_t size)
{
	struct stoa_object object;

	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
	CHECK_EQ(object.size, size);
	for (uint64_t i = 0; i < size; i++)
		CHECK_EQ(((const unsigned char *)object.data)[i], byte);
	stoa_object_release(store, &object);
}

static void *bytes(int byte, uint64_t size)
{
	void *data = malloc(size);

	CHECK(data != NULL);
	memset(data, byte, size);
	return data;
}

TEST(what_was_sealed_is_there_after_a_kill)
{
	struct stoa_store *store, *other;
	struct stoa_store_stat stat;
	struct stoa_object held;
	pid_t server;
	void *data = bytes(7, 3 * MIB);

	begin();
	server = start_server();
	CHECK_RC(stoa_store_open(path(), NULL, &store), 0);
	put(store, "copied", data, 1000, STOA_OBJECT_COPIED);
	put(store, "private", data, 3 * MIB, STOA_OBJECT_PRIVATE);
	put(store, "sealed", data, 2 * MIB, STOA_OBJECT_SEALED);
	put(store, "deleted", data, 1000, STOA_OBJECT_COPIED);
	CHECK_RC(stoa_store_delete(store, "deleted", 7), 0);
	CHECK_RC(stoa_store_get(store, "copied", 6, 0, &held), 0);
	test_kill(server);
	/* Without a server. */
	check_object(store, "copied", 7, 1000);
	check_object(store, "private", 7, 3 * MIB);
	server = start_server();
	check_object(store, "sealed", 7, 2 * MIB);
	CHECK_EQ(stoa_store_contains(store, "deleted", 7), 0);
	put(store, "new", data, 1000, STOA_OBJECT_COPIED);
	put(store, "new private", data, 100000, STOA_OBJECT_PRIVATE);
	CHECK_RC(stoa_store_open(path(), NULL, &other), 0);
	check_object(other, "copied", 7, 1000);
	check_object(other, "private", 7, 3 * MIB);
	check_object(other, "sealed", 7, 2 * MIB);
	check_object(other, "new", 7, 1000);
	check_object(other, "new private", 7, 100000);
	CHECK_RC(stoa_store_stat(other, &stat), 0);
	CHECK_EQ(stat.objects, 5);
	CHECK_EQ(stat.servers, 2);
	CHECK_EQ(stat.clients, 2);
	CHECK(memcmp(held.data, data, 1000) == 0);
	stoa_object_release(store, &held);
	stoa_store_close(store);
	stoa_store_close(other);
	test_kill(server);
	end_store();
	free(data);
}

TEST(drafts_go_on_with_the_successor)
{
	struct stoa_draft draft, dropped;
	struct stoa_store *store, *other;
	struct stoa_store_stat stat;
	pid_t server;

	begin();
	server = start_server();
	CHECK_RC(stoa_store_open(path(), NULL, &store), 0);
	CHECK_RC(stoa_store_open(path(), NULL, &other), 0);
	CHECK_RC(stoa_store_create(store, "draft", 5, 100000, NULL, &draft), 0);
	CHECK_RC(stoa_store_create(other, "dropped", 7, 100000, NULL, &dropped), 0);
	memset(draft.data, 1, 50000);
	test_kill(server);
	memset((char *)draft.data + 50000, 1, 50000);
	/* A client that goes while there is no server. */
	stoa_store_close(other);
	server = start_server();
	CHECK_RC(stoa_draft_seal(store, &draft, 100000), 0);
	check_object(store, "draft", 1, 100000);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_EQ(stat.objects, 1);
	while (stat.clients != 1) {
		test_nap(1);
		CHECK_RC(stoa_store_stat(store, &stat), 0);
	}
	stoa_store_close(store);
	test_kill(server);
	end_store();
}

TEST(a_server_makes_way_for_the_next)
{
	struct stoa_draft draft;
	struct stoa_store *store;
	struct stoa_store_stat stat;
	pid_t server;
	void *data = bytes(5, MIB);

	begin();
	server = start_server();
	CHECK_RC(stoa_store_open(path(), NULL, &store), 0);
	put(store, "there", data, MIB, STOA_OBJECT_PRIVATE);
	put(store, "small", data, 100, STOA_OBJECT_COPIED);
	CHECK_RC(stoa_store_create(store, "draft", 5, 100000, NULL, &draft), 0);
	memset(draft.data, 5, 100000);
	CHECK_SYS(kill(server, SIGUSR1));
	CHECK_EQ(test_join(server), 0);
	check_object(store, "there", 5, MIB);
	server = start_server();
	CHECK_RC(stoa_draft_seal(store, &draft, 100000), 0);
	check_object(store, "draft", 5, 100000);
	check_object(store, "small", 5, 100);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_EQ(stat.objects, 3);
	CHECK_EQ(stat.clients, 1);
	stoa_store_close(store);
	test_kill(server);
	end_store();
	free(data);
}

static void get_late(void *argument)
{
	struct stoa_store *store;
	struct stoa_object object;

	(void)argument;
	CHECK_RC(stoa_store_open(path(), NULL, &store), 0);
	shared->done[0] = 1;
	CHECK_RC(stoa_store_get(store, "late", 4, UINT64_MAX, &object), 0);
	CHECK_EQ(object.size, 4);
	stoa_object_release(store, &object);
	stoa_store_close(store);
}

TEST(who_waits_goes_on_waiting)
{
	struct stoa_store *store;
	pid_t server, waiter;

	begin();
	server = start_server();
	waiter = test_role(get_late, NULL);
	while (!shared->done[0])
		test_nap(1);
	test_nap(20);
	test_kill(server);
	server = start_server();
	CHECK_RC(stoa_store_open(path(), NULL, &store), 0);
	put(store, "late", "late", 4, STOA_OBJECT_AUTO);
	CHECK_EQ(test_join(waiter), 0);
	stoa_store_close(store);
	test_kill(server);
	end_store();
}

/* A greeting that a server's death interrupts is begun again. */
static struct stoa_store *open_again(void)
{
	struct stoa_store *store;
	int rc;

	while ((rc = stoa_store_open(path(), NULL, &store)) != 0) {
		CHECK(rc == -STOA_ECLOSED || rc == -STOA_ENOENT);
		test_nap(1);
	}
	return store;
}

/* One client: puts, replaces, deletes what it knows, and looks whether each answer fits. */
static void work(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	struct stoa_object_options options = {0};
	uint64_t state = test_seed() + number;
	bool there[16] = {false};
	unsigned char last[16] = {0};
	struct stoa_store *store = open_again();
	static unsigned char data[20000];

	for (uint64_t turn = 1; !shared->stop; turn++) {
		unsigned which = (unsigned)(test_random(&state) % 16),
			 size = (unsigned)(test_random(&state) % sizeof(data));
		char id[20];
		int rc;

		snprintf(id, sizeof(id), "%u.%u", number, which);
		if (test_random(&state) % 3 == 0) {
			rc = stoa_store_delete(store, id, (uint32_t)strlen(id));
			CHECK_RC(rc, there[which] ? 0 : -STOA_ENOENT);
			there[which] = false;
		} else {
			memset(data, (int)(turn & 255), size);
			options.kind = (uint32_t)(test_random(&state) % 3);
			options.flags = test_random(&state) % 2 ? STOA_OBJECT_REPLACE : 0;
			rc = stoa_store_put(store, id, (uint32_t)strlen(id), data, size, &options);
			CHECK_RC(rc, there[which] && !options.flags ? -STOA_EEXIST : 0);
			if (rc == 0) {
				there[which] = true;
				last[which] = (unsigned char)turn;
			}
		}
		if (there[which]) {
			struct stoa_object object;

			CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
			for (uint64_t i = 0; i < object.size; i++)
				CHECK_EQ(((const unsigned char *)object.data)[i], last[which]);
			stoa_object_release(store, &object);
		} else {
			CHECK_EQ(stoa_store_contains(store, id, (uint32_t)strlen(id)), 0);
		}
		shared->done[number] = turn;
	}
	stoa_store_close(store);
}

TEST_TIMEOUT(servers_killed_at_random_lose_nothing_and_repeat_nothing, 120)
{
	unsigned kills = test_rounds(20, 1000);
	uint64_t state = test_seed();
	pid_t server, clients[3];

	begin();
	server = start_server();
	for (unsigned i = 0; i < CC_COUNT(clients); i++)
		clients[i] = test_role(work, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < kills; i++) {
		uint64_t before = shared->done[i % CC_COUNT(clients)];

		while (shared->done[i % CC_COUNT(clients)] < before + 3)
			test_nap(1);
		test_nap((unsigned)(test_random(&state) % 8));
		test_kill(server);
		server = start_server();
	}
	shared->stop = 1;
	for (unsigned i = 0; i < CC_COUNT(clients); i++)
		CHECK_EQ(test_join(clients[i]), 0);
	test_kill(server);
	end_store();
}
