/* SPDX-License-Identifier: MIT */
/* A server whose memory a keeper of the program's own keeps: what it is asked to keep, what the next server takes over, and what happens when it cannot. */
#include <harness/test.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)
#define KEPT_MAX 200

struct table {
	struct {
		char name[STOA_KEPT_NAME];
		int descriptor;
	} kept[KEPT_MAX];
	unsigned count;
	int put_result; /* not 0: what put returns instead */
	unsigned cleared;
};

static int find(const struct table *table, const char *name)
{
	for (unsigned i = 0; i < table->count; i++)
		if (strcmp(table->kept[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int drop(void *argument, const char *name)
{
	struct table *table = argument;
	int at = find(table, name);

	if (at < 0)
		return -STOA_ENOENT;
	close(table->kept[at].descriptor);
	table->kept[at] = table->kept[--table->count];
	return 0;
}

static int put(void *argument, const struct stoa_kept *kept, uint32_t count)
{
	struct table *table = argument;

	if (table->put_result)
		return table->put_result;
	for (uint32_t i = 0; i < count; i++) {
		CHECK_INT(strlen(kept[i].name), <, STOA_KEPT_NAME);
		(void)drop(table, kept[i].name);
		CHECK_INT(table->count, <, KEPT_MAX);
		snprintf(table->kept[table->count].name, STOA_KEPT_NAME, "%s", kept[i].name);
		table->kept[table->count].descriptor = fcntl((int)kept[i].descriptor, F_DUPFD_CLOEXEC, 3);
		CHECK_SYS(table->kept[table->count++].descriptor);
	}
	return 0;
}

static int visit(void *argument, int (*visit_one)(const char *name, intptr_t descriptor, void *visit_argument),
		 void *visit_argument)
{
	struct table *table = argument;
	int rc = 0;

	for (unsigned i = 0; i < table->count && rc == 0; i++)
		rc = visit_one(table->kept[i].name, fcntl(table->kept[i].descriptor, F_DUPFD_CLOEXEC, 3),
			       visit_argument);
	return rc;
}

static int clear(void *argument)
{
	struct table *table = argument;

	table->cleared++;
	while (table->count)
		close(table->kept[--table->count].descriptor);
	return 0;
}

static struct table table;
static struct stoa_keeper keeper;
static char path[200];

static int start(struct stoa_server **ret_server)
{
	struct stoa_server_options options = {
		.socket = path, .limit = 64 * MIB, .flags = STOA_SERVER_HELD, .keeper = &keeper};

	return stoa_server_start(&options, ret_server);
}

static void begin(void)
{
	table = (struct table){0};
	keeper = (struct stoa_keeper){put, drop, visit, clear, &table};
	snprintf(path, sizeof(path), "%s/s", test_dir());
}

static void *run(void *argument)
{
	CHECK_RC(stoa_server_run(argument), 0);
	return NULL;
}

static pthread_t start_running(struct stoa_server **ret_server)
{
	pthread_t thread;

	CHECK_RC(start(ret_server), 0);
	CHECK_EQ(pthread_create(&thread, NULL, run, *ret_server), 0);
	return thread;
}

static void end_running(struct stoa_server *server, pthread_t thread, bool leave)
{
	if (leave)
		stoa_server_leave(server);
	else
		stoa_server_stop(server);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stoa_server_close(server);
}

static void check(struct stoa_store *store, const char *id, const char *text)
{
	struct stoa_object object;

	CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
	CHECK_EQ(object.size, strlen(text));
	CHECK(memcmp(object.data, text, object.size) == 0);
	stoa_object_release(store, &object);
}

TEST(the_next_server_takes_over_what_is_kept)
{
	const struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct stoa_server *server;
	struct stoa_store_stat stat;
	struct stoa_store *store;
	pthread_t thread;

	begin();
	thread = start_running(&server);
	CHECK_RC(stoa_store_open(path, NULL, &store), 0);
	CHECK_RC(stoa_store_put(store, "copied", 6, "a", 1, NULL), 0);
	CHECK_RC(stoa_store_put(store, "sealed", 6, "bc", 2, &sealed), 0);
	CHECK_INT(find(&table, "directory"), >=, 0);
	CHECK_INT(find(&table, "journal"), >=, 0);
	CHECK_EQ(table.count, 2 + 5 + 2);
	for (unsigned i = 1; i < 4; i++) {
		end_running(server, thread, true);
		CHECK_EQ(table.cleared, 0);
		thread = start_running(&server);
		check(store, "copied", "a");
		check(store, "sealed", "bc");
		CHECK_RC(stoa_store_stat(store, &stat), 0);
		CHECK_EQ(stat.servers, i + 1);
	}
	CHECK_RC(stoa_store_delete(store, "sealed", 6), 0);
	while (*(volatile unsigned *)&table.count != 2 + 5 + 1)
		test_nap(1);
	end_running(server, thread, false);
	CHECK_EQ(table.cleared, 1);
	CHECK_EQ(table.count, 0);
	stoa_store_close(store);
}

/* Who cannot be kept is not let in; what cannot be kept is not made; all else goes on. */
TEST(what_cannot_be_kept_is_refused)
{
	const struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct stoa_store *store, *other;
	struct stoa_server *server;
	pthread_t thread;

	begin();
	thread = start_running(&server);
	CHECK_RC(stoa_store_open(path, NULL, &store), 0);
	CHECK_RC(stoa_store_put(store, "copied", 6, "a", 1, NULL), 0);
	table.put_result = -STOA_ELIMIT;
	CHECK_RC(stoa_store_open(path, NULL, &other), -STOA_ELIMIT);
	CHECK_RC(stoa_store_put(store, "sealed", 6, "b", 1, &sealed), -STOA_ELIMIT);
	CHECK_RC(stoa_store_put(store, "more", 4, "b", 1, NULL), 0);
	table.put_result = 77;
	CHECK_RC(stoa_store_put(store, "sealed", 6, "b", 1, &sealed), -STOA_EFORMAT);
	table.put_result = 0;
	CHECK_RC(stoa_store_put(store, "sealed", 6, "b", 1, &sealed), 0);
	CHECK_RC(stoa_store_open(path, NULL, &other), 0);
	check(other, "sealed", "b");
	stoa_store_close(other);
	end_running(server, thread, false);
	stoa_store_close(store);
}

TEST(a_keeper_that_keeps_nothing_starts_no_server)
{
	struct stoa_server *server;

	begin();
	table.put_result = -STOA_EBUSY;
	CHECK_RC(start(&server), -STOA_EBUSY);
	CHECK_STR(stoa_error_detail(), "what keeps the store's memory: in use");
	table.put_result = 0;
	keeper.visit = NULL;
	CHECK_RC(start(&server), -STOA_EINVAL);
	keeper.visit = visit;
	CHECK_RC(start(&server), 0);
	stoa_server_close(server);
	CHECK_EQ(table.count, 0);
}
