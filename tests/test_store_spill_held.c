/* SPDX-License-Identifier: MIT */
/*
 * Spilled objects whose server dies: kill -9 at any moment, while it writes files and while it reads them, and a successor goes on with all that was
 * sealed, in memory and in files, and with the same clients.
 */
#include <store/kit.h>

#include <dirent.h>
#include <fcntl.h>
#include <os/ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 3u
#define IDS 24u
#define LARGEST (900 * KIB)

struct shared {
	_Atomic uint32_t running; /* counts servers that have taken over */
	_Atomic uint32_t stop;
	_Atomic uint64_t done[CLIENTS];
};
static struct shared *shared;
static char socket_path[200], folder[200];

static void begin(void)
{
	snprintf(socket_path, sizeof(socket_path), "%s/store", test_dir());
	snprintf(folder, sizeof(folder), "%s/files", test_dir());
	shared = test_shared(sizeof(*shared));
}

static int start(struct stoa_server **ret_server)
{
	const struct stoa_server_options options = {.socket = socket_path,
						    .limit = 24 * MIB,
						    .objects = 2000,
						    .clients = 16,
						    .flags = STOA_SERVER_HELD,
						    .spill_folder = *folder ? folder : NULL};

	return stoa_server_start(&options, ret_server);
}

static void serve(void *argument)
{
	struct stoa_server *server;

	(void)argument;
	CHECK_RC(start(&server), 0);
	kit_check_books(server);
	add_rlx(&shared->running, 1);
	CHECK_RC(stoa_server_run(server), 0);
	stoa_server_close(server);
}

static pid_t start_server(void)
{
	uint32_t before = load_rlx(&shared->running);
	pid_t server = test_role(serve, NULL);

	test_await(&shared->running, before + 1);
	return server;
}

/* The last server ends its holder, and with it everything. */
static void end_store(void)
{
	struct stoa_server *server;

	CHECK_RC(start(&server), 0);
	stoa_server_close(server);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static struct stoa_store *open_store(void)
{
	struct stoa_store *store;
	int rc;

	while ((rc = stoa_store_open(socket_path, NULL, &store)) != 0) {
		CHECK(rc == -STOA_ECLOSED || rc == -STOA_ENOENT);
		test_nap(1);
	}
	return store;
}

static struct stoa_store_stat stat_of(struct stoa_store *store)
{
	struct stoa_store_stat stat;

	CHECK_RC(stoa_store_stat(store, &stat), 0);
	return stat;
}

/* Names of files in the folder that end so; returns how many, and the last one's path. */
static unsigned files(const char *ending, char path[600])
{
	DIR *list = opendir(folder);
	const struct dirent *entry;
	unsigned count = 0;

	CHECK(list != NULL);
	while ((entry = readdir(list)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ending) != 0)
			continue;
		count++;
		if (path)
			snprintf(path, 600, "%s/%s", folder, entry->d_name);
	}
	closedir(list);
	return count;
}

/* Objects "0", "1" ... until some are in files. */
static unsigned fill(struct stoa_store *store)
{
	unsigned count = 0;
	char id[20];

	do {
		snprintf(id, sizeof(id), "%u", count);
		CHECK_RC(kit_put(store, id, MIB, count, NULL), 0);
		count++;
	} while (stat_of(store).spilled < 5);
	return count;
}

static unsigned gets(struct stoa_store *store, unsigned count)
{
	unsigned there = 0;
	char id[20];

	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "%u", i);
		if (!stoa_store_contains(store, id, (uint32_t)strlen(id)))
			continue;
		CHECK_RC(kit_get(store, id, kit_later(30000)), 0);
		there++;
	}
	return there;
}

TEST_TIMEOUT(what_was_spilled_is_there_after_a_kill, 60)
{
	struct stoa_store *store;
	unsigned count;
	pid_t server;

	begin();
	server = start_server();
	store = open_store();
	count = fill(store);
	test_kill(server);
	server = start_server();
	CHECK_EQ(stat_of(store).objects, count);
	CHECK_INT(stat_of(store).spilled, >=, 5);
	CHECK_EQ(gets(store, count), count);
	CHECK_EQ(stat_of(store).spill_losses, 0);
	stoa_store_close(store);
	test_kill(server);
	end_store();
	CHECK_EQ(files(".object", NULL), 0);
	CHECK_EQ(files(".store", NULL), 0);
}

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CHECK_SYS(fd);
	close(fd);
}

/* While there is no server a file goes, and some come that are none of its objects'. */
TEST_TIMEOUT(a_successor_looks_for_the_files, 60)
{
	char path[600], other[700];
	struct stoa_store *store;
	unsigned count;
	pid_t server;

	begin();
	server = start_server();
	store = open_store();
	count = fill(store);
	test_kill(server);
	CHECK_INT(files(".object", path), >=, 5);
	CHECK_SYS(unlink(path));
	*strrchr(path, '-') = 0;
	snprintf(other, sizeof(other), "%s-ffffff.object", path);
	make_file(other);
	snprintf(other, sizeof(other), "%s-ffffff.half", path);
	make_file(other);
	server = start_server();
	CHECK_EQ(stat_of(store).spill_losses, 1);
	CHECK_EQ(stat_of(store).objects, count - 1);
	CHECK_INT(access(other, F_OK), ==, -1);
	CHECK_EQ(files(".half", NULL), 0);
	CHECK_EQ(gets(store, count), count - 1);
	CHECK_EQ(stat_of(store).spill_losses, 1);
	stoa_store_close(store);
	test_kill(server);
	end_store();
}

/* Who is told of no folder, or of another, does not take over, and nothing is lost by it. */
TEST_TIMEOUT(a_successor_needs_the_same_folder, 60)
{
	struct stoa_server *other;
	struct stoa_store *store;
	char right[200];
	unsigned count;
	pid_t server;

	begin();
	server = start_server();
	store = open_store();
	count = fill(store);
	test_kill(server);
	strcpy(right, folder);
	*folder = 0;
	CHECK_RC(start(&other), -STOA_EINVAL);
	snprintf(folder, sizeof(folder), "%s/another", test_dir());
	CHECK_RC(start(&other), -STOA_EINVAL);
	strcpy(folder, right);
	server = start_server();
	CHECK_EQ(gets(store, count), count);
	stoa_store_close(store);
	test_kill(server);
	end_store();
}

/* ---- killed at random ---- */

struct known {
	bool there;
	uint64_t seed, size;
};

static void check_known(struct stoa_store *store, const char *id, const struct known *known)
{
	struct stoa_object object;

	CHECK_EQ(stoa_store_contains(store, id, (uint32_t)strlen(id)), known->there);
	if (!known->there)
		return;
	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), kit_later(60000), &object), 0);
	CHECK_EQ(object.size, known->size);
	CHECK(kit_whole(object.data, object.size, id, strlen(id)));
	stoa_object_release(store, &object);
}

static void change(struct stoa_store *store, const char *id, struct known *known, uint64_t *state)
{
	struct stoa_object_options options = {.flags = STOA_OBJECT_REPLACE, .deadline = kit_later(60000)};
	struct known now = {true, test_random(state), 16 + test_random(state) % LARGEST};

	if (test_random(state) % 5 == 0) {
		CHECK_RC(kit_delete(store, id), known->there ? 0 : -STOA_ENOENT);
		known->there = false;
		return;
	}
	options.kind = test_random(state) % 2 ? STOA_OBJECT_PRIVATE : STOA_OBJECT_SEALED;
	CHECK_RC(kit_put(store, id, now.size, now.seed, &options), 0);
	*known = now;
}

/* One client: all of them have more than there is memory for; it changes one, and looks at another. */
static void work(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	uint64_t state = test_seed() + number;
	struct known known[IDS] = {{0}};
	struct stoa_store *store = open_store();

	for (uint64_t turn = 1; !load_rlx(&shared->stop); turn++) {
		char id[20];
		unsigned which = (unsigned)(test_random(&state) % IDS);

		snprintf(id, sizeof(id), "%u.%u", number, which);
		if (test_random(&state) % 2)
			change(store, id, &known[which], &state);
		check_known(store, id, &known[which]);
		store_rlx(&shared->done[number], turn);
	}
	for (unsigned i = 0; i < IDS; i++) {
		char id[20];

		snprintf(id, sizeof(id), "%u.%u", number, i);
		check_known(store, id, &known[i]);
	}
	stoa_store_close(store);
}

static void kill_at_random(void)
{
	unsigned kills = test_rounds(15, 500);
	uint64_t state = test_seed();
	pid_t server, clients[CLIENTS];
	struct stoa_store *store;
	struct stoa_store_stat stat;

	begin();
	server = start_server();
	store = open_store();
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = test_role(work, (void *)(uintptr_t)i);
	/* From when there is more than memory has room for. */
	while (stat_of(store).spills < 20)
		test_nap(1);
	for (unsigned i = 0; i < kills; i++) {
		uint64_t before = load_rlx(&shared->done[i % CLIENTS]);

		while (load_rlx(&shared->done[i % CLIENTS]) < before + 3)
			test_nap(1);
		test_nap((unsigned)(test_random(&state) % 20));
		test_kill(server);
		server = start_server();
	}
	store_rlx(&shared->stop, 1);
	for (unsigned i = 0; i < CLIENTS; i++)
		CHECK_EQ(test_join(clients[i]), 0);
	stat = stat_of(store);
	CHECK_EQ(stat.spill_losses, 0);
	CHECK_INT(stat.restores, >, 0);
	stoa_store_close(store);
	test_kill(server);
	end_store();
	CHECK_EQ(files(".object", NULL) + files(".half", NULL), 0);
}

TEST_TIMEOUT(servers_killed_while_they_spill_by_the_kernel, 240)
{
	struct os_ring *ring;

	if (os_ring_create(OS_RING_KERNEL, 8, &ring) < 0)
		SKIP("no io_uring here: %s", stoa_error_detail());
	os_ring_close(ring);
	kill_at_random();
}

TEST_TIMEOUT(servers_killed_while_they_spill_by_threads, 240)
{
	store_rlx(&os_ring_without, 1);
	kill_at_random();
}
