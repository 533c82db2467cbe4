/* SPDX-License-Identifier: MIT */
/* Several objects got in one go: what is there, what comes, what does not come in time, and what dies or is deleted meanwhile. */
#include <store/kit.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 300u

static const struct stoa_server_options small = {.limit = 64 * MIB};

struct list {
	struct stoa_get gets[4 * MANY];
	char ids[4 * MANY][24];
	unsigned count;
};

/* "PREFIX 0" and so on. */
static struct list *list_of(const char *prefix, unsigned count)
{
	struct list *list = calloc(1, sizeof(*list));

	CHECK(list != NULL);
	list->count = count;
	for (unsigned i = 0; i < count; i++) {
		snprintf(list->ids[i], sizeof(list->ids[i]), "%s %u", prefix, i);
		list->gets[i] = (struct stoa_get){.id = list->ids[i], .id_length = (uint32_t)strlen(list->ids[i])};
	}
	return list;
}

static int get_list(struct stoa_store *store, struct list *list, uint32_t flags, uint64_t deadline)
{
	return stoa_store_get_many(store, list->gets, list->count, flags, deadline);
}

static void put_list(struct stoa_store *store, const struct list *list)
{
	for (unsigned i = 0; i < list->count; i++)
		CHECK_RC(kit_put(store, list->ids[i], 16 + i * 7, i, NULL), 0);
}

/* Checks what is held, and releases it. Returns how many. */
static unsigned release_list(struct stoa_store *store, struct list *list)
{
	unsigned held = 0;

	for (unsigned i = 0; i < list->count; i++) {
		struct stoa_get *get = &list->gets[i];

		CHECK_EQ(get->result == 0, get->object.data != NULL);
		if (get->result)
			continue;
		CHECK(kit_whole(get->object.data, get->object.size, get->id, get->id_length));
		stoa_object_release(store, &get->object);
		held++;
	}
	return held;
}

TEST(what_is_there_is_held_and_the_rest_is_told)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct list *there = list_of("there", 40), *list = list_of("there", 50);

	put_list(store, there);
	CHECK_RC(get_list(store, there, 0, 0), 0);
	CHECK_EQ(release_list(store, there), 40);
	CHECK_RC(get_list(store, list, 0, 0), -STOA_ENOENT);
	CHECK_EQ(list->gets[40].result, -STOA_ENOENT);
	CHECK_EQ(release_list(store, list), 40);
	CHECK_RC(get_list(store, list, 0, kit_later(30)), STOA_TIMED_OUT);
	CHECK_EQ(list->gets[49].result, STOA_TIMED_OUT);
	CHECK_EQ(release_list(store, list), 40);
	/* The requests that waited are gone with their slots. */
	for (unsigned i = 0; i < 100; i++)
		CHECK_RC(get_list(store, list, STOA_GET_ALL, kit_later(1)), STOA_TIMED_OUT);
	CHECK_RC(stoa_store_get_many(store, list->gets, 0, 0, 0), 0);
	CHECK_RC(stoa_store_get_many(store, list->gets, 1, 2, 0), -STOA_EINVAL);
	CHECK_RC(stoa_store_get_many(store, NULL, 1, 0, 0), -STOA_EINVAL);
	list->gets[7].id_length = 0;
	CHECK_RC(get_list(store, list, 0, 0), -STOA_EINVAL);
	CHECK_EQ(release_list(store, list), 39);
	free(list);
	free(there);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(all_or_none_are_held)
{
	/* As many as fit into the one page that is the least. */
	struct stoa_store_options few = {.leases = 8};
	const unsigned least = (4096 - 64) / 8;
	struct kit *kit = kit_start(&small);
	struct list *list = list_of("it", 600);
	struct stoa_store *store;

	CHECK_RC(stoa_store_open(kit->path, &few, &store), 0);
	put_list(store, list);
	/* More than this process may hold. */
	CHECK_RC(get_list(store, list, 0, 0), -STOA_ELIMIT);
	CHECK_EQ(list->gets[least].result, -STOA_ELIMIT);
	CHECK_EQ(release_list(store, list), least);
	CHECK_RC(get_list(store, list, STOA_GET_ALL, kit_later(10000)), -STOA_ELIMIT);
	for (unsigned i = 0; i < 600; i++)
		CHECK(list->gets[i].object.data == NULL);
	/* None is in use. */
	list->count = least;
	CHECK_RC(get_list(store, list, STOA_GET_ALL, 0), 0);
	CHECK_RC(kit_get(store, "it 599", 0), -STOA_ELIMIT);
	CHECK_EQ(release_list(store, list), least);
	/* Nor where one of them is missing. */
	CHECK_RC(kit_delete(store, "it 5"), 0);
	CHECK_RC(get_list(store, list, STOA_GET_ALL, 0), -STOA_ENOENT);
	CHECK_EQ(list->gets[4].result, 0);
	CHECK_EQ(list->gets[5].result, -STOA_ENOENT);
	CHECK_RC(get_list(store, list, STOA_GET_ALL, kit_later(20)), STOA_TIMED_OUT);
	CHECK_RC(kit_put(store, "it 5", 100, 1, NULL), 0);
	CHECK_RC(get_list(store, list, STOA_GET_ALL, 0), 0);
	CHECK_EQ(release_list(store, list), least);
	free(list);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(an_id_may_be_there_twice)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_get gets[] = {
		{.id = "a", .id_length = 1}, {.id = "b", .id_length = 1}, {.id = "a", .id_length = 1}};

	CHECK_RC(kit_put(store, "a", 100, 1, NULL), 0);
	CHECK_RC(stoa_store_get_many(store, gets, 3, 0, kit_later(10)), STOA_TIMED_OUT);
	CHECK(gets[0].result == 0 && gets[1].result == STOA_TIMED_OUT && gets[2].result == 0);
	CHECK(gets[0].object.data == gets[2].object.data);
	CHECK_RC(kit_delete(store, "a"), 0);
	stoa_object_release(store, &gets[0].object);
	kit_look(kit);
	CHECK(kit_whole(gets[2].object.data, 100, "a", 1));
	stoa_object_release(store, &gets[2].object);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- what comes later ---- */

static void get_later(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("late", MANY);

	store_rel(&kit->words[0], 1);
	CHECK_RC(get_list(store, list, 0, UINT64_MAX), 0);
	CHECK_EQ(release_list(store, list), MANY);
	free(list);
	stoa_store_close(store);
}

static pid_t start_getting(struct kit *kit)
{
	pid_t role;

	store_rlx(&kit->words[0], 0);
	role = test_role(get_later, kit);
	test_await(&kit->words[0], 1);
	test_await_sleep(role);
	return role;
}

TEST(all_that_are_missing_are_waited_for)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("late", MANY);
	pid_t role = start_getting(kit);

	/* The last one first: none waits for another. */
	for (unsigned i = MANY; i--;)
		CHECK_RC(kit_put(store, list->ids[i], 100, i, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	free(list);
	kit_await_clients(store, 1);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Two that are never there at the same time. */
static void get_two(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("short", 2);

	store_rel(&kit->words[0], 1);
	if (get_list(store, list, 0, kit_later(1000)) == 0) {
		store_rel(&kit->words[1], 1);
	}
	(void)release_list(store, list);
	free(list);
	stoa_store_close(store);
}

TEST(each_is_held_as_it_comes)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);

	/* Who is kept from running for long may miss one. */
	for (unsigned i = 0; i < 20 && !load_rlx(&kit->words[1]); i++) {
		pid_t role;

		store_rlx(&kit->words[0], 0);
		role = test_role(get_two, kit);
		test_await(&kit->words[0], 1);
		test_await_sleep(role);
		CHECK_RC(kit_put(store, "short 1", 1000, i, NULL), 0);
		test_nap(20);
		CHECK_RC(kit_delete(store, "short 1"), 0);
		CHECK_RC(kit_put(store, "short 0", 1000, i, NULL), 0);
		CHECK_EQ(test_join(role), 0);
		CHECK_RC(kit_delete(store, "short 0"), 0);
	}
	CHECK_EQ(load_rlx(&kit->words[1]), 1);
	stoa_store_close(store);
	kit_stop(kit);
}

struct getter {
	struct stoa_store *store;
	_Atomic uint32_t *begun;
	char prefix[8];
};

static void *get_in_thread(void *argument)
{
	struct getter *getter = argument;
	struct list *list = list_of(getter->prefix, 3 * MANY);

	add_rlx(getter->begun, 1);
	CHECK_RC(get_list(getter->store, list, STOA_GET_ALL, kit_later(60000)), 0);
	CHECK_EQ(release_list(getter->store, list), 3 * MANY);
	free(list);
	return NULL;
}

/* What they wait for comes through their own session, whose slots they must not use up. */
TEST(threads_that_wait_for_many_leave_room_for_puts)
{
	enum { THREADS = 6 };
	struct stoa_store_options leases = {.leases = 8192};
	struct kit *kit = kit_start(&small);
	struct getter getters[THREADS];
	pthread_t threads[THREADS];
	struct stoa_store *store;
	_Atomic uint32_t begun = 0;

	CHECK_RC(stoa_store_open(kit->path, &leases, &store), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		getters[i] = (struct getter){.store = store, .begun = &begun};
		snprintf(getters[i].prefix, sizeof(getters[i].prefix), "%u", i / 2); /* two want the same */
		CHECK_EQ(pthread_create(&threads[i], NULL, get_in_thread, &getters[i]), 0);
	}
	test_await(&begun, THREADS);
	test_nap(20);
	for (unsigned i = 0; i < THREADS; i += 2) {
		struct list *list = list_of(getters[i].prefix, 3 * MANY);

		put_list(store, list);
		free(list);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- deaths ---- */

TEST(the_successor_is_asked_for_all_again)
{
	static const struct stoa_server_options held = {.limit = 64 * MIB, .flags = STOA_SERVER_HELD};
	struct kit *kit = kit_start(&held);
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("late", MANY);
	pid_t role = start_getting(kit);

	for (unsigned i = 0; i < 100; i++)
		CHECK_RC(kit_put(store, list->ids[i], 100, i, NULL), 0);
	test_kill(kit->server);
	test_nap(5);
	kit_serve(kit);
	for (unsigned i = 100; i < MANY; i++)
		CHECK_RC(kit_put(store, list->ids[i], 100, i, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	free(list);
	stoa_store_close(store);
	kit_stop(kit);
	while (waitpid(-1, NULL, 0) > 0)
		; /* the holder is the harness's child now */
}

TEST(without_a_server_what_is_there_is_held_all_the_same)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("it", 50);

	put_list(store, list);
	CHECK_RC(get_list(store, list, 0, 0), 0);
	CHECK_EQ(release_list(store, list), 50);
	CHECK_RC(kit_delete(store, "it 20"), 0);
	test_kill(kit->server);
	CHECK_RC(get_list(store, list, 0, kit_later(10000)), -STOA_ECLOSED);
	CHECK_EQ(list->gets[20].result, -STOA_ECLOSED);
	CHECK_EQ(release_list(store, list), 49);
	CHECK_RC(get_list(store, list, 0, 0), -STOA_ENOENT);
	CHECK_EQ(release_list(store, list), 49);
	free(list);
	stoa_store_close(store);
}

TEST(a_forked_child_is_told)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct list *list = list_of("it", 3);
	pid_t child;
	int status;

	put_list(store, list);
	child = fork();
	CHECK_SYS(child);
	if (child == 0)
		_exit(get_list(store, list, 0, 0) == -STOA_ECLOSED ? 0 : 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	free(list);
	stoa_store_close(store);
	kit_stop(kit);
}
