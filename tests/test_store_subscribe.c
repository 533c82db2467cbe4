/* SPDX-License-Identifier: MIT */
/* Events: who subscribed learns of what is sealed and of what goes, once and in order, and of exactly how much it has missed, whoever dies meanwhile. */
#include <store/kit.h>
#include <store/raw.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/object_parts.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM 4096u /* events */

static const struct stoa_server_options small = {.limit = 64 * MIB};
static const struct stoa_server_options held = {.limit = 64 * MIB, .flags = STOA_SERVER_HELD};
static const struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};

static struct stoa_subscription *subscribe(struct stoa_store *store, const char *prefix, uint32_t flags)
{
	struct stoa_subscription *subscription;

	CHECK_RC(stoa_store_subscribe(store, prefix, (uint32_t)strlen(prefix), flags, &subscription), 0);
	return subscription;
}

static struct stoa_store_event next(struct stoa_subscription *subscription)
{
	struct stoa_store_event event;

	CHECK_RC(stoa_subscription_next(subscription, kit_later(10000), &event), 0);
	return event;
}

static void expect(struct stoa_subscription *subscription, uint32_t what, const char *id, uint64_t size)
{
	struct stoa_store_event event = next(subscription);

	CHECK_EQ(event.what, what);
	CHECK_EQ(event.id_length, strlen(id));
	CHECK(memcmp(event.id, id, strlen(id)) == 0);
	CHECK_EQ(event.size, size);
	CHECK_EQ(event.lost, 0);
}

static void expect_nothing(struct stoa_subscription *subscription)
{
	struct stoa_store_event event;

	CHECK_RC(stoa_subscription_next(subscription, 0, &event), STOA_TIMED_OUT);
}

static void end(struct kit *kit, struct stoa_store *store)
{
	stoa_store_close(store);
	kit_stop(kit);
	if (kit->options.flags & STOA_SERVER_HELD)
		while (waitpid(-1, NULL, 0) > 0)
			; /* the holder is the harness's child now */
}

TEST(what_is_sealed_and_what_goes_is_told)
{
	struct stoa_object_options keep = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *all = subscribe(store, "", 0), *some = subscribe(store, "so", 0);
	char longest[STOA_ID_MAX + 1];
	struct stoa_object object;
	struct stoa_draft draft;

	expect_nothing(all);
	CHECK_RC(kit_put(store, "other", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "so", 200, 1, NULL), 0);
	CHECK_RC(kit_put(store, "s", 16, 1, NULL), 0);
	CHECK_RC(kit_put(store, "some", 100000, 1, &keep), 0);
	CHECK_RC(kit_put(store, "some", 30000, 1, &replacing), 0);
	CHECK_RC(kit_delete(store, "some"), 0);
	expect(some, STOA_EVENT_SEALED, "so", 200);
	expect(some, STOA_EVENT_SEALED, "some", 100000);
	expect(some, STOA_EVENT_SEALED, "some", 30000);
	expect(some, STOA_EVENT_DELETED, "some", 30000);
	expect_nothing(some);
	expect(all, STOA_EVENT_SEALED, "other", 100);
	expect(all, STOA_EVENT_SEALED, "so", 200);
	expect(all, STOA_EVENT_SEALED, "s", 16);
	/* What nobody has sealed is no object. */
	CHECK_RC(stoa_store_create(store, "sober", 5, 100, NULL, &draft), 0);
	stoa_draft_abort(store, &draft);
	CHECK_RC(kit_put(store, "so", 100, 1, NULL), -STOA_EEXIST);
	/* The longest id, told after the object has gone, and its entry has become another one. */
	memset(longest, 'x', STOA_ID_MAX);
	memcpy(longest, "so", 2);
	longest[STOA_ID_MAX] = 0;
	CHECK_RC(kit_put(store, longest, 500, 1, NULL), 0);
	CHECK_RC(stoa_store_get(store, longest, STOA_ID_MAX, 0, &object), 0);
	stoa_object_release(store, &object);
	CHECK_RC(kit_delete(store, longest), 0);
	kit_look(kit);
	for (unsigned i = 0; i < 100; i++)
		CHECK_RC(kit_put(store, "another", 500, i, &replacing), 0);
	expect(some, STOA_EVENT_SEALED, longest, 500);
	expect(some, STOA_EVENT_DELETED, longest, 500);
	expect_nothing(some);
	stoa_subscription_close(all);
	/* It outlives the handle that it was made with. */
	stoa_store_close(store);
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "so late", 100, 1, NULL), 0);
	expect(some, STOA_EVENT_SEALED, "so late", 100);
	stoa_subscription_close(some);
	stoa_subscription_close(NULL);
	kit_await_clients(store, 1);
	end(kit, store);
}

static int ready(const struct stoa_subscription *subscription, int timeout)
{
	struct pollfd ask = {.fd = stoa_subscription_descriptor(subscription), .events = POLLIN};

	return poll(&ask, 1, timeout);
}

TEST(the_descriptor_is_ready_as_long_as_there_is_something)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription = subscribe(store, "it", 0);
	uint64_t random = test_seed();
	unsigned put = 0, got = 0;
	char id[20];

	expect_nothing(subscription);
	for (unsigned round = 0; round < 2000; round++) {
		CHECK_EQ(ready(subscription, 0), 0);
		for (unsigned i = 0; i <= test_random(&random) % 4; i++) {
			snprintf(id, sizeof(id), "it %u", put++);
			CHECK_RC(kit_put(store, id, 16, put, NULL), 0);
			/* Some are taken one at a time, as they come. */
			if (test_random(&random) % 2 && got < put) {
				CHECK_EQ(ready(subscription, 10000), 1);
				snprintf(id, sizeof(id), "it %u", got++);
				expect(subscription, STOA_EVENT_SEALED, id, 16);
			}
		}
		while (got < put) {
			CHECK_EQ(ready(subscription, 10000), 1);
			snprintf(id, sizeof(id), "it %u", got++);
			expect(subscription, STOA_EVENT_SEALED, id, 16);
		}
		expect_nothing(subscription);
	}
	stoa_subscription_close(subscription);
	end(kit, store);
}

/* ---- what is there already ---- */

#define LISTED 6000u

static void put_and_delete(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	uint64_t random = test_seed();
	char id[20];

	store_rel(&kit->words[0], 1);
	for (unsigned i = 0; !load_rlx(&kit->words[1]); i++) {
		snprintf(id, sizeof(id), "it %u", (unsigned)(test_random(&random) % LISTED));
		if (kit_delete(store, id) < 0)
			CHECK_RC(kit_put(store, id, 16, i, NULL), 0);
	}
	stoa_store_close(store);
}

static unsigned number_of(const struct stoa_store_event *event)
{
	char id[STOA_ID_MAX + 1] = {0};
	unsigned number = LISTED;

	memcpy(id, event->id, event->id_length);
	CHECK_EQ(sscanf(id, "it %u", &number), 1);
	CHECK_INT(number, <, LISTED);
	return number;
}

/* Each event must fit to those before it. */
static void apply(const struct stoa_store_event *event, bool there[LISTED])
{
	CHECK_EQ(event->lost, 0);
	if (event->what == STOA_EVENT_LISTED)
		return;
	CHECK_EQ(there[number_of(event)], event->what == STOA_EVENT_DELETED);
	there[number_of(event)] = event->what != STOA_EVENT_DELETED;
}

TEST(between_list_and_events_nothing_is_missing_and_nothing_told_twice)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	char id[20];

	CHECK_RC(kit_put(store, "of no interest", 100, 1, NULL), 0);
	for (unsigned i = 0; i < LISTED; i += 1 + i % 2) {
		snprintf(id, sizeof(id), "it %u", i);
		CHECK_RC(kit_put(store, id, 16, i, NULL), 0);
	}
	for (unsigned round = 0; round < test_rounds(4, 40); round++) {
		static bool there[LISTED];
		pid_t role = test_role(put_and_delete, kit);
		struct stoa_subscription *subscription;
		struct stoa_store_event event;
		bool listed = false;

		memset(there, 0, sizeof(there));
		test_await(&kit->words[0], 1);
		subscription = subscribe(store, "it ", STOA_SUBSCRIBE_LIST);
		for (unsigned i = 0; i < 200 || !listed; i++) {
			event = next(subscription);
			CHECK(!listed || event.what == STOA_EVENT_SEALED || event.what == STOA_EVENT_DELETED);
			listed = listed || event.what == STOA_EVENT_LISTED;
			apply(&event, there);
		}
		store_rlx(&kit->words[1], 1);
		CHECK_EQ(test_join(role), 0);
		while (stoa_subscription_next(subscription, 0, &event) == 0)
			apply(&event, there);
		for (unsigned i = 0; i < LISTED; i++) {
			snprintf(id, sizeof(id), "it %u", i);
			CHECK_EQ(stoa_store_contains(store, id, (uint32_t)strlen(id)), there[i]);
		}
		stoa_subscription_close(subscription);
		store_rlx(&kit->words[0], 0);
		store_rlx(&kit->words[1], 0);
	}
	end(kit, store);
}

/* ---- who falls behind ---- */

static void put_some(struct stoa_store *store, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_RC(kit_put(store, "it", 16, i, &replacing), 0);
}

TEST(who_falls_behind_learns_how_much_it_has_lost)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *slow = subscribe(store, "", 0), *none = subscribe(store, "no", 0);
	struct stoa_store_event event;

	put_some(store, ROOM + 100);
	for (unsigned i = 0; i < ROOM; i++)
		expect(slow, STOA_EVENT_SEALED, "it", 16);
	/* Also when there is no more event to tell it with, and once. */
	event = next(slow);
	CHECK(event.what == STOA_EVENT_LOST && event.lost == 100 && event.id_length == 0);
	expect_nothing(slow);
	put_some(store, ROOM + 7);
	expect(slow, STOA_EVENT_SEALED, "it", 16);
	put_some(store, 1);
	for (unsigned i = 1; i < ROOM; i++)
		expect(slow, STOA_EVENT_SEALED, "it", 16);
	event = next(slow);
	CHECK(event.what == STOA_EVENT_SEALED && event.lost == 7);
	expect_nothing(slow);
	expect_nothing(none);
	stoa_subscription_close(slow);
	stoa_subscription_close(none);
	end(kit, store);
}

static void take_all(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription = subscribe(store, "", 0);
	uint64_t seen = 0;

	store_rel(&kit->words[0], 1);
	while (seen < 3 * ROOM) {
		struct stoa_store_event event = next(subscription);

		seen += event.lost + (event.what == STOA_EVENT_SEALED);
	}
	CHECK_EQ(seen, 3 * ROOM);
	expect_nothing(subscription);
	stoa_subscription_close(subscription);
	stoa_store_close(store);
}

TEST(a_stopped_subscriber_stops_nobody)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	pid_t role = test_role(take_all, kit);

	test_await(&kit->words[0], 1);
	put_some(store, 10);
	CHECK_SYS(kill(role, SIGSTOP));
	put_some(store, 3 * ROOM - 10);
	CHECK_RC(kit_get(store, "it", 0), 0);
	CHECK_SYS(kill(role, SIGCONT));
	CHECK_EQ(test_join(role), 0);
	end(kit, store);
}

TEST(a_killed_subscriber_leaves_nothing)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	uint64_t before = 0;

	for (unsigned i = 0; i < 10; i++) {
		pid_t role = test_role(take_all, kit);

		test_await(&kit->words[0], 1);
		put_some(store, 500);
		test_kill(role);
		store_rlx(&kit->words[0], 0);
		kit_await_clients(store, 1);
		if (i == 0)
			before = kit_look(kit);
	}
	/* Less than one of them had: some entries more may have been touched. */
	CHECK_INT(kit_look(kit), <, before + MIB);
	end(kit, store);
}

TEST(what_makes_room_is_told)
{
	static const struct stoa_server_options cache = {
		.limit = 24 * MIB, .objects = 1000, .flags = STOA_SERVER_EVICT};
	struct kit *kit = kit_start(&cache);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription = subscribe(store, "", 0);
	unsigned sealed = 0, evicted = 0;
	struct stoa_store_event event;
	struct stoa_store_stat stat;
	char id[20];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(id, sizeof(id), "it %u", i);
		CHECK_RC(kit_put(store, id, 200000, i, NULL), 0);
	}
	while (stoa_subscription_next(subscription, 0, &event) == 0) {
		sealed += event.what == STOA_EVENT_SEALED;
		evicted += event.what == STOA_EVENT_EVICTED;
		CHECK(event.size == 200000 && event.lost == 0);
	}
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_EQ(sealed, 200);
	CHECK_INT(evicted, >, 0);
	CHECK_EQ(evicted, stat.evictions);
	CHECK_EQ(stat.objects, sealed - evicted);
	stoa_subscription_close(subscription);
	end(kit, store);
}

/* ---- rights ---- */

static void listen_as_another(void *argument)
{
	struct kit *kit = argument;
	struct stoa_subscription *subscription;
	struct stoa_store *store;

	CHECK_SYS(setgid(65534));
	CHECK_SYS(setuid(65534));
	store = kit_open(kit);
	subscription = subscribe(store, "", STOA_SUBSCRIBE_LIST);
	expect(subscription, STOA_EVENT_PRESENT, "for all", 100);
	expect(subscription, STOA_EVENT_LISTED, "", 0);
	store_rel(&kit->words[0], 1);
	expect(subscription, STOA_EVENT_SEALED, "for all 2", 200);
	/* What came in its place is nothing to it. */
	expect(subscription, STOA_EVENT_DELETED, "for all 2", 200);
	expect(subscription, STOA_EVENT_DELETED, "for all", 100);
	expect(subscription, STOA_EVENT_SEALED, "for it", 300);
	expect_nothing(subscription);
	stoa_subscription_close(subscription);
	stoa_store_close(store);
}

TEST(who_may_not_read_an_object_learns_nothing_of_it)
{
	static const struct stoa_server_options open_to_all = {.limit = 64 * MIB, .socket_mode = 0666};
	struct stoa_object_options all = {.access = STOA_ACCESS_ALL};
	struct stoa_object_options nobody = {.access = STOA_ACCESS_USER, .reader = 65534};
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	if (getuid() != 0)
		SKIP("only the system's administrator can be somebody else");
	CHECK_SYS(chmod(test_dir(), 0755));
	kit = kit_start(&open_to_all);
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "for all", 100, 1, &all), 0);
	CHECK_RC(kit_put(store, "mine", 100, 1, NULL), 0);
	role = test_role(listen_as_another, kit);
	test_await(&kit->words[0], 1);
	CHECK_RC(kit_put(store, "for me", 100, 1, NULL), 0);
	CHECK_RC(kit_put(store, "for all 2", 200, 1, &all), 0);
	CHECK_RC(kit_put(store, "for all 2", 250, 1, &replacing), 0);
	CHECK_RC(kit_delete(store, "mine"), 0);
	CHECK_RC(kit_delete(store, "for all"), 0);
	CHECK_RC(kit_put(store, "for it", 300, 1, &nobody), 0);
	CHECK_EQ(test_join(role), 0);
	end(kit, store);
}

/* ---- deaths of the server ---- */

static void put_in_order(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store = kit_open(kit);
	struct stoa_object_options options = {.deadline = kit_later(100000)};
	char id[20];

	for (unsigned i = 0; !load_rlx(&kit->words[1]); i++) {
		snprintf(id, sizeof(id), "it %u", i);
		options.kind = i % 3;
		CHECK_RC(kit_put(store, id, 16 + i % 100, i, &options), 0);
		if (i % 3 == 0)
			CHECK_RC(kit_put(store, id, 16 + i % 100, i, &replacing), 0);
		CHECK_RC(kit_delete(store, id), 0);
		store_rlx(&kit->words[2], i + 1);
	}
	stoa_store_close(store);
}

/* The events of one object: it is made, perhaps replaced, and deleted. */
static void expect_turn(struct stoa_subscription *subscription, unsigned i)
{
	char id[20];

	snprintf(id, sizeof(id), "it %u", i);
	expect(subscription, STOA_EVENT_SEALED, id, 16 + i % 100);
	if (i % 3 == 0)
		expect(subscription, STOA_EVENT_SEALED, id, 16 + i % 100);
	expect(subscription, STOA_EVENT_DELETED, id, 16 + i % 100);
}

TEST_TIMEOUT(servers_killed_at_random_lose_no_event_and_tell_none_twice, 120)
{
	struct kit *kit = kit_start(&held);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription = subscribe(store, "it", 0);
	uint64_t random = test_seed();
	pid_t role = test_role(put_in_order, kit);
	unsigned turn = 0;

	for (unsigned i = 0; i < test_rounds(40, 2000); i++) {
		for (uint32_t more = load_rlx(&kit->words[2]) + 1 + (uint32_t)(test_random(&random) % 20); turn < more;
		     turn++)
			expect_turn(subscription, turn);
		test_kill(kit->server);
		kit_serve(kit);
	}
	store_rlx(&kit->words[1], 1);
	CHECK_EQ(test_join(role), 0);
	for (; turn < load_rlx(&kit->words[2]); turn++)
		expect_turn(subscription, turn);
	expect_nothing(subscription);
	stoa_subscription_close(subscription);
	end(kit, store);
}

/* A server in a thread of this program, to be left in the middle of a change, as one that is killed there. */
static void *run_server(void *server)
{
	CHECK_RC(stoa_server_run(server), 0);
	return NULL;
}

struct inside {
	struct stoa_server *server;
	pthread_t thread;
};

static void begin_inside(struct inside *inside)
{
	static char path[200];
	struct stoa_server_options options = held;

	snprintf(path, sizeof(path), "%s/store", test_dir());
	options.socket = path;
	CHECK_RC(stoa_server_start(&options, &inside->server), 0);
	CHECK_EQ(pthread_create(&inside->thread, NULL, run_server, inside->server), 0);
}

static void stand_still(struct inside *inside)
{
	stoa_server_stop(inside->server);
	CHECK_EQ(pthread_join(inside->thread, NULL), 0);
}

static void die_inside(struct inside *inside)
{
	inside->server->leaving = true;
	stoa_server_close(inside->server);
	begin_inside(inside);
}

static uint32_t entry_of(const struct inside *inside, const char *id)
{
	uint32_t number = directory_lookup(&inside->server->book, id, (uint32_t)strlen(id));

	CHECK_INT(number, !=, 0);
	return number;
}

static void hide(const struct inside *inside, uint32_t number)
{
	CHECK_RC(object_dying_room(inside->server), 0);
	object_hide(inside->server, number);
}

TEST(a_change_is_told_by_the_next_server_if_it_was_made_and_not_told)
{
	struct stoa_subscription *subscription;
	struct inside inside;
	struct stoa_store *store;
	struct stoa_draft draft;
	uint32_t number;
	uint64_t of;

	begin_inside(&inside);
	CHECK_RC(stoa_store_open(inside.server->options.socket, NULL, &store), 0);
	subscription = subscribe(store, "i", 0);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_RC(kit_put(store, (const char *[]){"i0", "i1", "i2"}[i], 100, i, NULL), 0);
		expect(subscription, STOA_EVENT_SEALED, (const char *[]){"i0", "i1", "i2"}[i], 100);
	}
	/* Noted, and not made. */
	stand_still(&inside);
	events_note(inside.server, STOA_EVENT_DELETED, entry_of(&inside, "i0"), 0);
	die_inside(&inside);
	expect_nothing(subscription);
	CHECK_RC(kit_delete(store, "i0"), 0);
	expect(subscription, STOA_EVENT_DELETED, "i0", 100);
	/* Made, and not told. */
	stand_still(&inside);
	number = entry_of(&inside, "i1");
	events_note(inside.server, STOA_EVENT_DELETED, number, 0);
	hide(&inside, number);
	die_inside(&inside);
	expect(subscription, STOA_EVENT_DELETED, "i1", 100);
	expect_nothing(subscription);
	/* Told, and not noted that it was. */
	stand_still(&inside);
	number = entry_of(&inside, "i2");
	events_note(inside.server, STOA_EVENT_DELETED, number, 0);
	of = load_rlx(&inside.server->journal->event_of);
	hide(&inside, number);
	events_noted(inside.server);
	store_rlx(&inside.server->journal->event_of, of);
	die_inside(&inside);
	expect(subscription, STOA_EVENT_DELETED, "i2", 100);
	expect_nothing(subscription);
	/* Sealed, and not told. */
	CHECK_RC(stoa_store_create(store, "i3", 2, 5000, NULL, &draft), 0);
	stand_still(&inside);
	events_note(inside.server, STOA_EVENT_SEALED, (uint32_t)draft.hold[0], 0);
	CHECK_RC(directory_place(&inside.server->book, (uint32_t)draft.hold[0]), 0);
	directory_seal(&inside.server->book, (uint32_t)draft.hold[0], 4000);
	die_inside(&inside);
	expect(subscription, STOA_EVENT_SEALED, "i3", 4000);
	expect_nothing(subscription);
	stoa_subscription_close(subscription);
	stoa_store_close(store);
	stand_still(&inside);
	stoa_server_close(inside.server);
	while (waitpid(-1, NULL, 0) > 0)
		; /* the holder is the harness's child now */
}

static void wait_for_late(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *store;

	test_await(&kit->words[1], 1);
	store = kit_open(kit);
	store_rel(&kit->words[0], 1);
	CHECK_RC(kit_get(store, "late", UINT64_MAX), 0);
	stoa_store_close(store);
}

static bool sleeps(pid_t role)
{
	char path[40], text[200] = {0};
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)role);
	file = fopen(path, "r");
	CHECK(file != NULL && fgets(text, sizeof(text), file));
	fclose(file);
	return strstr(text, ") S ") != NULL;
}

/* A server that is killed when it has said welcome, and has not noted that: the next one says it once more, and nobody asks for that. */
TEST(who_is_welcomed_twice_sleeps_all_the_same)
{
	struct kit *kit = test_shared(sizeof(*kit));
	struct inside inside;
	struct stoa_store *store;
	pid_t role = test_role(wait_for_late, kit); /* before there is a holder, whose server it would seem to be */
	unsigned asleep = 0;

	begin_inside(&inside);
	snprintf(kit->path, sizeof(kit->path), "%s", inside.server->options.socket);
	store = kit_open(kit);
	store_rel(&kit->words[1], 1);
	test_await(&kit->words[0], 1);
	stand_still(&inside);
	for (unsigned i = 0; i < inside.server->session_count; i++)
		store_rlx(&inside.server->journal->session[i].welcomed, 0);
	die_inside(&inside);
	CHECK_RC(kit_get(store, "nothing", kit_later(50)), STOA_TIMED_OUT);
	for (unsigned i = 0; i < 40; i++, test_nap(5))
		asleep += sleeps(role);
	CHECK_INT(asleep, >=, 20);
	CHECK_RC(kit_put(store, "late", 100000, 1, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	stoa_store_close(store);
	stand_still(&inside);
	stoa_server_close(inside.server);
	while (waitpid(-1, NULL, 0) > 0)
		; /* the holder is the harness's child now */
}

TEST(a_list_goes_on_with_the_successor)
{
	struct kit *kit = kit_start(&held);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription;
	static bool there[LISTED];
	struct stoa_store_event event;
	uint64_t changes = 0;
	char id[20];

	for (unsigned i = 0; i < LISTED; i++) {
		snprintf(id, sizeof(id), "it %u", i);
		CHECK_RC(kit_put(store, id, 16, i, NULL), 0);
	}
	subscription = subscribe(store, "it", STOA_SUBSCRIBE_LIST);
	event = next(subscription);
	apply(&event, there);
	test_nap(5); /* the ring is full, and the list waits */
	test_kill(kit->server);
	kit_serve(kit);
	CHECK_RC(kit_delete(store, "it 0"), 0); /* told, or lost, as there may be no room */
	do {
		event = next(subscription);
		changes += event.lost + (event.what == STOA_EVENT_DELETED);
		event.lost = 0;
		if (event.what == STOA_EVENT_PRESENT)
			apply(&event, there);
	} while (event.what != STOA_EVENT_LISTED);
	CHECK_EQ(changes, 1);
	for (unsigned i = 0; i < LISTED; i++)
		CHECK(there[i]);
	stoa_subscription_close(subscription);
	end(kit, store);
}

TEST(the_end_of_the_server_is_told_after_what_came_before)
{
	struct kit *kit = kit_start(&small);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *subscription = subscribe(store, "", 0), *none;
	struct stoa_store_event event;
	pid_t child;
	int status;

	put_some(store, 3);
	child = fork();
	CHECK_SYS(child);
	if (child == 0)
		_exit(stoa_subscription_next(subscription, 0, &event) == -STOA_ECLOSED ? 0 : 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	test_kill(kit->server);
	CHECK_EQ(ready(subscription, 10000), 1);
	for (unsigned i = 0; i < 3; i++)
		expect(subscription, STOA_EVENT_SEALED, "it", 16);
	CHECK_RC(stoa_subscription_next(subscription, kit_later(10000), &event), -STOA_ECLOSED);
	CHECK_RC(stoa_subscription_next(subscription, 0, &event), -STOA_ECLOSED);
	CHECK_EQ(ready(subscription, 0), 1);
	/* Another store in that place is not this one. */
	kit_serve(kit);
	CHECK(stoa_store_subscribe(store, "", 0, 0, &none) < 0);
	CHECK_RC(stoa_store_subscribe(store, NULL, 1, 0, &none), -STOA_EINVAL);
	CHECK_RC(stoa_store_subscribe(store, "", STOA_ID_MAX + 1, 0, &none), -STOA_EINVAL);
	CHECK_RC(stoa_store_subscribe(store, "", 0, 2, &none), -STOA_EINVAL);
	stoa_subscription_close(subscription);
	end(kit, store);
}

TEST(an_embedded_store_tells_too)
{
	struct stoa_subscription *subscription;
	struct stoa_store *store;

	CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &store), 0);
	subscription = subscribe(store, "i", STOA_SUBSCRIBE_LIST);
	expect(subscription, STOA_EVENT_LISTED, "", 0);
	put_some(store, 2);
	expect(subscription, STOA_EVENT_SEALED, "it", 16);
	expect(subscription, STOA_EVENT_SEALED, "it", 16);
	stoa_store_close(store);
	stoa_subscription_close(subscription);
}

/* ---- enemies ---- */

TEST(who_scribbles_over_its_events_harms_itself_alone)
{
	struct store_request head = {.op = STORE_OP_SUBSCRIBE, .flags = STOA_SUBSCRIBE_LIST};
	struct kit *kit = kit_start(&held);
	struct stoa_store *store = kit_open(kit);
	struct stoa_subscription *good = subscribe(store, "", 0);
	struct store_completion done;
	uint64_t random = test_seed(), before;
	struct raw raw;

	put_some(store, 1000);
	for (unsigned i = 0; i < 1000; i++)
		expect(good, STOA_EVENT_SEALED, "it", 16);
	CHECK_RC(raw_open(kit, 1, &raw), 0);
	/* Not as the second request, nor with flags that there are not. */
	CHECK_RC(raw_call(&raw, (struct store_request){.op = STORE_OP_CANCEL}, NULL, NULL, 0, &done), 0);
	CHECK_RC(raw_call(&raw, head, "i", NULL, 0, &done), -STOA_EINVAL);
	raw_close(&raw);
	kit_await_clients(store, 2);
	before = kit_look(kit);
	for (unsigned round = 0; round < 30; round++) {
		CHECK_RC(raw_open(kit, 1, &raw), 0);
		head.flags = 2;
		if (round == 0)
			CHECK_RC(raw_call(&raw, head, "i", NULL, 0, &done), -STOA_EINVAL);
		head.flags = STOA_SUBSCRIBE_LIST;
		if (round)
			CHECK_RC(raw_call(&raw, head, "i", NULL, 0, &done), 0);
		for (unsigned i = 0; i < 300; i++) {
			unsigned char *bytes = (unsigned char *)raw.session;
			uint64_t at = i % 2 ? test_random(&random) % 1024 : test_random(&random) % raw.session_length;

			bytes[at] = (unsigned char)test_random(&random);
			if (i % 10 == 0)
				put_some(store, 1);
			if (i % 10 == 0)
				expect(good, STOA_EVENT_SEALED, "it", 16);
		}
		if (round % 10 == 9) {
			test_kill(kit->server);
			kit_serve(kit);
		}
		(void)shutdown((int)raw.socket,
			       SHUT_RDWR); /* the next server has it, too, as a child of this process */
		raw_close(&raw);
		kit_await_clients(store, 2);
	}
	CHECK_INT(kit_look(kit), <, before + MIB);
	expect_nothing(good);
	stoa_subscription_close(good);
	end(kit, store);
}
