/* SPDX-License-Identifier: MIT */
/* A store's server as a process, and clients as others: what they give each other, what is waited for, and what is left when one is stopped or killed. */
#include <store/kit.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct stoa_server_options small = {.limit = 64 * MIB};
static const struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};

static void ready(struct kit *kit, unsigned word)
{
	store_rel(&kit->words[word], 1);
}

/* ---- across processes ---- */

static void make_some(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	char id[20];

	for (unsigned i = 0; i < 30; i++) {
		struct stoa_object_options options = {.kind = i % 4, .flags = STOA_OBJECT_REPLACE};

		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_put(store, id, 16 + i * 997, i, &options), 0);
		CHECK_RC(kit_put(store, id, 16 + i * 1999, i + 100, &options), 0);
	}
	stoa_store_close(store);
}

TEST(what_one_process_makes_others_get)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	char id[20];

	for (unsigned round = 0; round < 3; round++) {
		CHECK_EQ(test_join(test_role(make_some, kit)), 0);
		for (unsigned i = 0; i < 30; i++) {
			snprintf(id, sizeof(id), "object %u", i);
			CHECK_RC(kit_get(store, id, 0), 0);
		}
		kit_await_clients(store, 1);
		kit_look(kit);
	}
	for (unsigned i = 0; i < 30; i++) {
		snprintf(id, sizeof(id), "object %u", i);
		CHECK_RC(kit_delete(store, id), 0);
		CHECK_RC(kit_get(store, id, 0), -STOA_ENOENT);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

static void wait_for_it(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);

	ready(kit, 0);
	CHECK_RC(kit_get(store, "late", UINT64_MAX), 0);
	CHECK_RC(kit_delete(store, "late"), 0);
	stoa_store_close(store);
}

TEST(a_get_is_woken_by_another_process)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);

	for (unsigned i = 0; i < 5; i++) {
		struct stoa_object_options options = {.kind = i % 4};
		pid_t role = test_role(wait_for_it, kit);

		test_await(&kit->words[0], 1);
		test_await_sleep(role);
		CHECK_RC(kit_put(store, "late", 5000, i, &options), 0);
		CHECK_EQ(test_join(role), 0);
		store_rlx(&kit->words[0], 0);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- room ---- */

/* Put objects "0", "1", ... until there is no room; how many. */
static unsigned fill(struct stoa_store *store, const char *prefix, uint64_t size, int expected)
{
	unsigned count = 0;
	char id[32];
	int rc;

	for (;; count++) {
		snprintf(id, sizeof(id), "%s%u", prefix, count);
		rc = kit_put(store, id, size, count, NULL);
		if (rc)
			break;
	}
	CHECK_RC(rc, expected);
	return count;
}

static void put_when_there_is_room(void *argument)
{
	struct stoa_object_options options = {.deadline = UINT64_MAX};
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);

	ready(kit, 0);
	CHECK_RC(kit_put(store, "waits", 4 * MIB, 1, &options), 0);
	ready(kit, 1);
	stoa_store_close(store);
}

static pid_t start_waiting(struct kit *kit)
{
	pid_t role = test_role(put_when_there_is_room, kit);

	test_await(&kit->words[0], 1);
	test_await_sleep(role);
	CHECK_EQ(load_rlx(&kit->words[1]), 0);
	return role;
}

TEST(a_put_waits_for_a_delete)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	pid_t role;

	fill(store, "", 4 * MIB, -STOA_ENOMEM);
	role = start_waiting(kit);
	CHECK_RC(kit_delete(store, "3"), 0);
	CHECK_EQ(test_join(role), 0);
	CHECK_RC(kit_get(store, "waits", 0), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(a_put_waits_for_a_release)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object object;
	pid_t role;

	fill(store, "", 4 * MIB, -STOA_ENOMEM);
	CHECK_RC(stoa_store_get(store, "0", 1, 0, &object), 0);
	CHECK_RC(kit_delete(store, "0"), 0);
	role = start_waiting(kit);
	test_nap(20);
	CHECK_EQ(load_rlx(&kit->words[1]), 0);
	CHECK(kit_whole(object.data, object.size, "0", 1));
	stoa_object_release(store, &object);
	CHECK_EQ(test_join(role), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* Room for two more, and it is all this client's. */
static void take_the_rest(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_options options = {0};
	unsigned count = 0;
	int rc;

	do {
		struct stoa_draft draft;
		char id[20];

		snprintf(id, sizeof(id), "draft %u", count);
		options.kind = count++ % 2 ? STOA_OBJECT_PRIVATE : STOA_OBJECT_SEALED;
		rc = stoa_store_create(store, id, (uint32_t)strlen(id), 4 * MIB, &options, &draft);
	} while (rc == 0);
	CHECK_RC(rc, -STOA_ENOMEM);
	ready(kit, 2);
	test_pause();
}

TEST(a_put_waits_for_a_death)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	pid_t drafts, waits;

	drafts = test_role(take_the_rest, kit);
	test_await(&kit->words[2], 1);
	waits = start_waiting(kit);
	test_kill(drafts);
	CHECK_EQ(test_join(waits), 0);
	CHECK_RC(kit_get(store, "waits", 0), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* A place among many of its size is enough: no page has to become free for it. */
TEST(one_small_object_does_not_empty_a_cache)
{
	const struct stoa_server_options options = {.limit = 24 * MIB, .flags = STOA_SERVER_EVICT};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	struct stoa_store_stat stat, after;
	unsigned count = 0;
	char id[20];

	/* No page becomes free as a whole. */
	do {
		const struct stoa_object_options pinned = {.flags = count % 4 ? 0 : STOA_OBJECT_PINNED};

		snprintf(id, sizeof(id), "small %u", count++);
		CHECK_RC(kit_put(store, id, 1000, count, &pinned), 0);
		CHECK_RC(stoa_store_stat(store, &stat), 0);
	} while (!stat.evictions);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "more %u", i);
		CHECK_RC(kit_put(store, id, 1000, i, NULL), 0);
	}
	CHECK_RC(stoa_store_stat(store, &after), 0);
	CHECK_INT(after.evictions - stat.evictions, <=, 500 + 100);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(what_is_followed_is_not_replaced)
{
	const struct stoa_object_options followed = {.flags = STOA_OBJECT_FOLLOWED};
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_draft draft;

	CHECK_RC(stoa_store_create(store, "grows", 5, 1000, &followed, &draft), 0);
	CHECK_RC(kit_put(other, "grows", 1000, 1, &replacing), -STOA_EEXIST);
	CHECK_RC(kit_put(store, "grows", 1000000, 1, &replacing), -STOA_EEXIST);
	CHECK_EQ(kit_drafts(kit), 1);
	kit_make(draft.data, 1000, "grows", 5, 1);
	CHECK_RC(stoa_draft_seal(store, &draft, 1000), 0);
	CHECK_RC(kit_get(other, "grows", 0), 0);
	stoa_store_close(other);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(a_quota_does_not_count_what_was_deleted)
{
	const struct stoa_server_options options = {.limit = 64 * MIB, .client_limit = 10 * MIB};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit), *other = kit_open(kit);
	struct stoa_draft draft;

	for (unsigned i = 0; i < 50; i++) {
		CHECK_RC(kit_put(store, "mine", 6 * MIB, i, NULL), 0);
		CHECK_RC(kit_put(store, "more", 6 * MIB, i, NULL), -STOA_ELIMIT);
		CHECK_RC(kit_delete(store, "mine"), 0);
		CHECK_RC(stoa_store_create(store, "at once", 7, 6 * MIB, NULL, &draft), 0);
		stoa_draft_abort(store, &draft);
	}
	CHECK_RC(kit_put(other, "theirs", 6 * MIB, 0, NULL), 0);
	CHECK_RC(kit_put(store, "mine", 6 * MIB, 0, NULL), 0);
	stoa_store_close(store);
	stoa_store_close(other);
	kit_stop(kit);
}

TEST(why_the_server_refuses_is_told)
{
	const struct stoa_server_options options = {.limit = 64 * MIB, .client_limit = 10 * MIB};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	struct stoa_draft draft;

	CHECK_RC(kit_put(store, "mine", 11 * MIB, 0, NULL), -STOA_ELIMIT);
	CHECK_STR(stoa_error_detail(), "object 'mine': a client may have 10MiB");
	CHECK_RC(stoa_store_create(store, "\0\xff", 2, 11 * MIB, NULL, &draft), -STOA_ELIMIT);
	CHECK_STR(stoa_error_detail(), "object 0x00ff: a client may have 10MiB");
	/* Where it says no more than the number, nothing is told of what was before. */
	CHECK_RC(kit_put(store, "one", 100, 0, NULL), 0);
	CHECK_RC(kit_put(store, "one", 100, 0, NULL), -STOA_EEXIST);
	CHECK_STR(stoa_error_detail(), "object 'one': something already has that name");
	CHECK_RC(kit_get(store, "none", 0), -STOA_ENOENT);
	CHECK_STR(stoa_error_detail(), "object 'none': nothing has that name");
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(a_user_has_what_its_clients_have)
{
	const struct stoa_server_options options = {.limit = 64 * MIB,
						    .user_limit = 21 * MIB}; /* two connections take 2.3 MiB of it */
	struct kit *kit = kit_start(&options);
	struct stoa_store *first = kit_open(kit), *second = kit_open(kit);
	unsigned count = fill(first, "a", 3 * MIB, -STOA_ELIMIT);

	CHECK_INT(count, ==, 6);
	CHECK_RC(kit_put(second, "b", 3 * MIB, 0, NULL), -STOA_ELIMIT);
	stoa_store_close(first);
	kit_await_clients(second, 1);
	/* What the dead made is still its user's. */
	CHECK_RC(kit_put(second, "b", 3 * MIB, 0, NULL), -STOA_ELIMIT);
	CHECK_RC(kit_put(second, "a0", 3 * MIB, 7, &replacing), -STOA_ELIMIT);
	CHECK_RC(kit_delete(second, "a0"), 0);
	CHECK_RC(kit_put(second, "b", 3 * MIB, 0, NULL), 0);
	stoa_store_close(second);
	kit_stop(kit);
}

/* ---- clients that are killed or stopped ---- */

static void have_everything(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_options options = {0};
	struct stoa_object object;
	struct stoa_draft draft;
	char id[20];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(stoa_store_get(store, id, (uint32_t)strlen(id), 0, &object), 0);
		snprintf(id, sizeof(id), "draft %u", i);
		options.kind = i % 2 ? STOA_OBJECT_PRIVATE : STOA_OBJECT_SEALED;
		CHECK_RC(stoa_store_create(store, id, (uint32_t)strlen(id), 1000 + i * 10000, &options, &draft), 0);
		memset(draft.data, (int)i, draft.room);
	}
	CHECK_RC(kit_put(store, "stays", 100000, 1, &replacing), 0);
	ready(kit, 0);
	(void)kit_get(store, "never", UINT64_MAX);
	test_pause();
}

TEST(what_a_killed_client_had_comes_back)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	uint64_t before = 0;
	char id[20];

	for (unsigned round = 0; round < 10; round++) {
		pid_t role;

		for (unsigned i = 0; i < 20; i++) {
			struct stoa_object_options options = {.kind = i % 4};

			snprintf(id, sizeof(id), "%u", i);
			CHECK_RC(kit_put(store, id, 1000 + i * 3000, i, &options), 0);
		}
		role = test_role(have_everything, kit);
		test_await(&kit->words[0], 1);
		store_rlx(&kit->words[0], 0);
		if (round % 2)
			test_await_sleep(role);
		for (unsigned i = 0; i < 20; i++) {
			snprintf(id, sizeof(id), "%u", i);
			CHECK_RC(kit_delete(store, id), 0);
		}
		kit_look(kit);
		test_kill(role);
		kit_await_clients(store, 1);
		CHECK_RC(kit_get(store, "stays", 0), 0);
		/* Filled to the brim and emptied, it is as it was. */
		for (unsigned i = fill(store, "full ", MIB, -STOA_ENOMEM); i--;) {
			snprintf(id, sizeof(id), "full %u", i);
			CHECK_RC(kit_delete(store, id), 0);
		}
		if (!round)
			before = kit_look(kit);
		else
			CHECK_INT(kit_look(kit), <=, before + MIB);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

static void be_busy(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);

	for (unsigned i = 0;; i++) {
		struct stoa_object_options options = {.kind = i % 4, .flags = STOA_OBJECT_REPLACE};

		CHECK_RC(kit_put(store, "busy", 16 + i % 20000, i, &options), 0);
		CHECK_RC(kit_get(store, "busy", 0), 0);
		store_rel(&kit->words[0], i + 1);
	}
}

TEST(a_stopped_client_stops_nobody)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	pid_t role = test_role(be_busy, kit);

	for (unsigned round = 0; round < 20; round++) {
		uint32_t at = load_rlx(&kit->words[0]);

		while (load_rlx(&kit->words[0]) == at)
			test_nap(1);
		CHECK_SYS(kill(role, SIGSTOP));
		for (unsigned i = 0; i < 50; i++) {
			CHECK_RC(kit_put(store, "mine", 16 + i * 500, i, &replacing), 0);
			CHECK_RC(kit_get(store, "mine", 0), 0);
			CHECK_RC(kit_put(store, "busy", 1000, i, &replacing), 0);
			CHECK_RC(kit_get(store, "busy", 0), 0);
		}
		CHECK_SYS(kill(role, SIGCONT));
	}
	test_kill(role);
	kit_await_clients(store, 1);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- a server that is stopped or killed ---- */

static void stop(pid_t process)
{
	siginfo_t info;

	CHECK_SYS(kill(process, SIGSTOP));
	CHECK_SYS(waitid(P_PID, (id_t)process, &info, WSTOPPED));
}

TEST(while_the_server_is_stopped_gets_go_on)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object object;
	struct stoa_draft draft;
	char id[20];

	CHECK_RC(kit_put(store, "there", 10000, 1, NULL), 0);
	CHECK_RC(kit_get(store, "there", 0), 0);
	CHECK_RC(stoa_store_create(store, "draft", 5, 10000, NULL, &draft), 0);
	kit_make(draft.data, 10000, "draft", 5, 1);
	stop(kit->server);
	for (unsigned i = 0; i < 1000; i++)
		CHECK_RC(kit_get(store, "there", 0), 0);
	CHECK_RC(stoa_store_get(store, "there", 5, 0, &object), 0);
	CHECK_RC(kit_get(store, "not there", kit_later(20)), STOA_TIMED_OUT);
	CHECK_RC(kit_get(store, "not there", 1), STOA_TIMED_OUT);
	/* More than there is room for. */
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_get(store, id, kit_later(0)), STOA_TIMED_OUT);
	}
	CHECK_SYS(kill(kit->server, SIGCONT));
	CHECK_RC(stoa_draft_seal(store, &draft, 10000), 0);
	CHECK_RC(kit_get(store, "draft", 0), 0);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_put(store, id, 100, i, NULL), 0);
	}
	CHECK(kit_whole(object.data, object.size, "there", 5));
	stoa_object_release(store, &object);
	stoa_store_close(store);
	kit_stop(kit);
}

struct putter {
	struct stoa_store *store;
	unsigned number;
	int rc;
};

static void *put_in_vain(void *argument)
{
	struct putter *putter = argument;
	struct stoa_draft draft;
	char id[20];

	snprintf(id, sizeof(id), "draft %u", putter->number);
	putter->rc = stoa_store_create(putter->store, id, (uint32_t)strlen(id), 1000, NULL, &draft);
	return NULL;
}

/* Their patience is 10 s, which they spend together. */
TEST_TIMEOUT(what_timed_out_is_dropped_when_the_server_goes_on, 60)
{
	enum { PUTTERS = 30 };
	struct putter putters[PUTTERS];
	pthread_t threads[PUTTERS];
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);

	stop(kit->server);
	for (unsigned i = 0; i < PUTTERS; i++) {
		putters[i] = (struct putter){store, i, 0};
		CHECK_EQ(pthread_create(&threads[i], NULL, put_in_vain, &putters[i]), 0);
	}
	/* Their cancels find no slot: these have the rest of them. */
	for (unsigned i = 0; i < 1024; i++)
		CHECK_RC(kit_get(store, "nothing", kit_later(0)), STOA_TIMED_OUT);
	for (unsigned i = 0; i < PUTTERS; i++) {
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
		CHECK_RC(putters[i].rc, STOA_TIMED_OUT);
	}
	CHECK_SYS(kill(kit->server, SIGCONT));
	CHECK_RC(kit_put(store, "first", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "second", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "third", 100, 1, NULL), 0);
	CHECK_EQ(kit_drafts(kit), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

TEST(when_the_server_is_dead_gets_go_on)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct stoa_object object;
	struct stoa_draft draft;

	CHECK_RC(kit_put(store, "small", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "big", 100000, 1, NULL), 0);
	CHECK_RC(kit_put(store, "sealed", 100000, 1, &sealed), 0);
	CHECK_RC(kit_get(store, "small", 0), 0);
	CHECK_RC(kit_get(store, "big", 0), 0);
	CHECK_RC(stoa_store_create(store, "draft", 5, 10000, NULL, &draft), 0);
	CHECK_RC(stoa_store_get(store, "sealed", 6, 0, &object), 0);
	test_kill(kit->server);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_RC(kit_get(store, "small", 0), 0);
		CHECK_RC(kit_get(store, "big", 0), 0);
		CHECK_RC(kit_get(store, "draft", 0), -STOA_ENOENT);
	}
	CHECK(kit_whole(object.data, object.size, "sealed", 6));
	CHECK_RC(kit_put(store, "no", 100, 1, NULL), -STOA_ECLOSED);
	CHECK_RC(kit_put(store, "no", 100000, 1, NULL), -STOA_ECLOSED);
	CHECK_RC(kit_delete(store, "small"), -STOA_ECLOSED);
	CHECK_RC(kit_get(store, "no", UINT64_MAX), -STOA_ECLOSED);
	memset(draft.data, 1, 10000);
	CHECK_RC(stoa_draft_seal(store, &draft, 10000), -STOA_ECLOSED);
	stoa_draft_abort(store, &draft);
	stoa_object_release(store, &object);
	stoa_store_close(store);
}

/* ---- several threads, several handles, children ---- */

static void *put_and_get(void *argument)
{
	struct putter *putter = argument;
	char id[20];

	snprintf(id, sizeof(id), "thread %u", putter->number);
	for (unsigned i = 0; i < 300; i++) {
		struct stoa_object_options options = {.kind = (putter->number + i) % 4, .flags = STOA_OBJECT_REPLACE};

		CHECK_RC(kit_put(putter->store, id, 16 + i * 37, i, &options), 0);
		CHECK_RC(kit_get(putter->store, id, 0), 0);
	}
	return NULL;
}

TEST(threads_of_a_client_do_not_disturb_each_other)
{
	enum { THREADS = 8 };
	struct putter putters[THREADS];
	pthread_t threads[THREADS];
	struct kit *kit = kit_start(&small);
	struct stoa_store *stores[2] = {kit_open(kit), kit_open(kit)};

	for (unsigned i = 0; i < THREADS; i++) {
		putters[i] = (struct putter){stores[i % 2], i, 0};
		CHECK_EQ(pthread_create(&threads[i], NULL, put_and_get, &putters[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	stoa_store_close(stores[0]);
	stoa_store_close(stores[1]);
	kit_stop(kit);
}

static void *get_the_last(void *argument)
{
	struct putter *putter = argument;

	putter->rc = kit_get(putter->store, "the last", UINT64_MAX);
	return NULL;
}

static void *get_for_ever(void *argument)
{
	struct putter *putter = argument;

	putter->rc = kit_get(putter->store, "to come", UINT64_MAX);
	pthread_testcancel();
	return NULL;
}

TEST(a_thread_is_not_cancelled_in_the_middle)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct putter putter = {store, 0, 1};
	pthread_t thread;
	void *result;

	CHECK_EQ(pthread_create(&thread, NULL, get_for_ever, &putter), 0);
	test_nap(20);
	CHECK_EQ(pthread_cancel(thread), 0);
	test_nap(20);
	CHECK_RC(kit_put(store, "another", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "to come", 100, 1, NULL), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK_RC(putter.rc, 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* What waits longest has a place in a ring of 1024. */
TEST(a_get_that_waits_does_not_stop_what_it_waits_for)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct putter putter = {store, 0, 1};
	pthread_t thread;
	char id[20];

	CHECK_EQ(pthread_create(&thread, NULL, get_the_last, &putter), 0);
	test_nap(20);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_put(store, id, 20, i, NULL), 0);
	}
	CHECK_RC(kit_put(store, "the last", 20, 1, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_RC(putter.rc, 0);
	stoa_store_close(store);
	kit_stop(kit);
}

static void use_the_parents(struct stoa_store *store, const struct kit *kit)
{
	struct stoa_object object;
	struct stoa_store *own;

	CHECK_RC(stoa_store_get(store, "there", 5, 0, &object), -STOA_ECLOSED);
	CHECK_RC(stoa_store_get(store, "not there", 9, kit_later(10), &object), -STOA_ECLOSED);
	CHECK_RC(stoa_store_contains(store, "there", 5), -STOA_ECLOSED);
	CHECK_RC(stoa_store_put(store, "new", 3, "new", 3, NULL), -STOA_ECLOSED);
	CHECK_RC(stoa_store_delete(store, "there", 5), -STOA_ECLOSED);
	own = kit_open(kit);
	CHECK_RC(kit_get(own, "there", 0), 0);
	CHECK_RC(kit_put(own, "of the child", 1000, 1, NULL), 0);
	stoa_store_close(own);
	stoa_store_close(store);
}

TEST(a_child_opens_a_store_of_its_own)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object held;
	pid_t child;
	int status;

	CHECK_RC(kit_put(store, "there", 5000, 1, NULL), 0);
	CHECK_RC(stoa_store_get(store, "there", 5, 0, &held), 0);
	child = fork();
	CHECK_SYS(child);
	if (!child) {
		CHECK(kit_whole(held.data, held.size, "there", 5));
		use_the_parents(store, kit);
		_exit(0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_RC(kit_get(store, "of the child", 0), 0);
	CHECK_RC(kit_put(store, "more", 5000, 1, NULL), 0);
	stoa_object_release(store, &held);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- those who ask to be let in ---- */

static int connect_silently(const struct kit *kit)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK_SYS(fd);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", kit->path);
	CHECK_SYS(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
	return fd;
}

TEST(who_says_nothing_gives_way)
{
	const struct stoa_server_options options = {.limit = 64 * MIB, .clients = 8};
	struct kit *kit = kit_start(&options);
	struct stoa_store *stores[8], *more;
	int silent[20];

	for (unsigned i = 0; i < CC_COUNT(silent); i++)
		silent[i] = connect_silently(kit);
	for (unsigned i = 0; i < 8; i++)
		stores[i] = kit_open(kit);
	CHECK_RC(stoa_store_open(kit->path, NULL, &more), -STOA_ELIMIT);
	stoa_store_close(stores[3]);
	while (stoa_store_open(kit->path, NULL, &stores[3]) != 0)
		test_nap(1);
	for (unsigned i = 0; i < 8; i++)
		stoa_store_close(stores[i]);
	for (unsigned i = 0; i < CC_COUNT(silent); i++)
		close(silent[i]);
	kit_stop(kit);
}

static struct kit *start_with_handles(unsigned handles)
{
	struct kit *kit = test_shared(sizeof(*kit));

	kit->options = small;
	kit->handles = handles;
	snprintf(kit->path, sizeof(kit->path), "%s/store", test_dir());
	kit_serve(kit);
	return kit;
}

TEST(without_descriptors_who_asks_is_told)
{
	struct kit *kit = start_with_handles(100);
	struct stoa_store *stores[60];
	unsigned count = 0;
	int rc;

	while ((rc = stoa_store_open(kit->path, NULL, &stores[count])) == 0)
		CHECK_INT(++count, <, 60);
	CHECK_RC(rc, -STOA_ELIMIT);
	CHECK_INT(count, >, 3);
	test_await_sleep(kit->server);
	CHECK_RC(stoa_store_open(kit->path, NULL, &stores[count]), -STOA_ELIMIT);
	/* Objects with a descriptor each leave some for clients. */
	stoa_store_close(stores[--count]);
	stoa_store_close(stores[--count]);
	while (stoa_store_open(kit->path, NULL, &stores[count]) != 0)
		test_nap(1);
	count++;
	CHECK_RC(kit_put(stores[0], "small", 100, 1, NULL), 0);
	CHECK_RC(kit_get(stores[1], "small", 0), 0);
	while (count)
		stoa_store_close(stores[--count]);
	kit_stop(kit);
}

TEST(who_says_nothing_keeps_no_descriptors_from_others)
{
	struct kit *kit = start_with_handles(100);
	struct stoa_store *store;
	int silent[200];

	for (unsigned i = 0; i < CC_COUNT(silent); i++) {
		silent[i] = connect_silently(kit);
		test_nap(i % 8 == 0);
	}
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "small", 100, 1, NULL), 0);
	test_await_sleep(kit->server);
	for (unsigned i = 0; i < CC_COUNT(silent); i++)
		close(silent[i]);
	stoa_store_close(store);
	kit_stop(kit);
}
