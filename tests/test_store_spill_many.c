/* SPDX-License-Identifier: MIT */
/* Objects that are in files, got several at a time; and who is told of objects, while they go to files and come back. */
#include <store/kit.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/subscription.h>
#include <string.h>

#define LIMIT (32 * MIB)
#define OBJECTS 1600u
#define SIZE (UINT64_C(32) << 10)
#define SECOND UINT64_C(1000000000)

static struct kit *start(void)
{
	static char folder[200];
	struct stoa_server_options options = {.limit = LIMIT, .objects = 5000, .spill_folder = folder};

	snprintf(folder, sizeof(folder), "%s/files", test_dir());
	return kit_start(&options);
}

/* Ids of one length, so that they can be compared. */
static const char *name_of(unsigned number)
{
	static _Thread_local char names[64][16];
	static _Thread_local unsigned next;
	char *name = names[next++ % CC_COUNT(names)];

	snprintf(name, sizeof(names[0]), "object %05u", number);
	return name;
}

static void put(struct stoa_store *store, unsigned number, uint64_t size)
{
	CHECK_RC(kit_put(store, name_of(number), size, number, NULL), 0);
}

static int see(const struct stoa_object_info *info, void *argument)
{
	*(unsigned *)argument += !!(info->flags & STOA_OBJECT_SPILLED);
	return 0;
}

static unsigned count_spilled(struct stoa_store *store)
{
	unsigned spilled = 0;

	CHECK_RC(stoa_store_list(store, see, &spilled), 0);
	return spilled;
}

/* ---- several at a time ---- */

static void ask_for(struct stoa_get *gets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		gets[i] = (struct stoa_get){.id = name_of(i), .id_length = 12};
}

TEST(several_come_back_at_a_time)
{
	struct kit *kit = start();
	struct stoa_store *store = kit_open(kit);
	struct stoa_get gets[48];

	for (unsigned i = 0; i < CC_COUNT(gets); i++)
		put(store, i, MIB);
	CHECK_INT(count_spilled(store), >, 16);
	for (unsigned round = 0; round < 10; round++) {
		ask_for(gets, 16);
		CHECK_RC(stoa_store_get_many(store, gets, 16, STOA_GET_ALL, stoa_deadline_in(60 * SECOND)), 0);
		for (unsigned i = 0; i < 16; i++) {
			CHECK_EQ(gets[i].object.size, MIB);
			CHECK(kit_whole(gets[i].object.data, gets[i].object.size, name_of(i), 12));
			stoa_object_release(store, &gets[i].object);
		}
		/* Others take their place. */
		for (unsigned i = 16; i < CC_COUNT(gets); i++)
			CHECK_RC(kit_get(store, name_of(i), stoa_deadline_in(60 * SECOND)), 0);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

/* All of them do not fit side by side: some are held, and the others are told so at the deadline. */
TEST(more_than_there_is_room_for)
{
	struct kit *kit = start();
	struct stoa_store *store = kit_open(kit);
	struct stoa_get gets[48];
	unsigned held = 0;
	int rc;

	for (unsigned i = 0; i < CC_COUNT(gets); i++)
		put(store, i, MIB);
	ask_for(gets, CC_COUNT(gets));
	rc = stoa_store_get_many(store, gets, CC_COUNT(gets), 0, stoa_deadline_in(SECOND / 2));
	CHECK(rc == STOA_TIMED_OUT || rc == -STOA_ENOMEM);
	for (unsigned i = 0; i < CC_COUNT(gets); i++) {
		CHECK(gets[i].result == 0 || gets[i].result == STOA_TIMED_OUT || gets[i].result == -STOA_ENOMEM);
		held += gets[i].result == 0;
		if (gets[i].result == 0) {
			CHECK(kit_whole(gets[i].object.data, gets[i].object.size, name_of(i), 12));
			stoa_object_release(store, &gets[i].object);
		}
	}
	CHECK_INT(held, >, 8);
	CHECK_INT(held, <, 32);
	/* Without a deadline what is in a file is not waited for; it is begun. */
	ask_for(gets, CC_COUNT(gets));
	CHECK_RC(stoa_store_get_many(store, gets, CC_COUNT(gets), STOA_GET_ALL, 0), STOA_TIMED_OUT);
	for (unsigned i = 0; i < CC_COUNT(gets); i++)
		CHECK_RC(kit_get(store, name_of(i), stoa_deadline_in(60 * SECOND)), 0);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- who is told ---- */

struct told {
	bool there[OBJECTS];
	bool listed;
};

static void hear(struct stoa_subscription *subscription, struct told *told, uint64_t deadline)
{
	struct stoa_store_event event;
	unsigned number;

	while (stoa_subscription_next(subscription, deadline, &event) == 0) {
		CHECK_EQ(event.lost, 0);
		if (event.what == STOA_EVENT_LISTED) {
			told->listed = true;
			return;
		}
		CHECK_EQ(event.id_length, 12);
		number = (unsigned)strtoul((const char *)event.id + 7, NULL, 10);
		CHECK_INT(number, <, OBJECTS);
		told->there[number] = event.what == STOA_EVENT_PRESENT || event.what == STOA_EVENT_SEALED;
	}
}

/* Somebody who makes objects go and come back, as fast as can be, but while it is held up. */
struct changer {
	struct kit *kit;
	bool there[OBJECTS];
	uint64_t random;
	_Atomic bool hold, held, end;
};

static void change(struct stoa_store *store, struct changer *changer)
{
	unsigned number = (unsigned)(test_random(&changer->random) % OBJECTS);

	if (!changer->there[number]) {
		put(store, number, SIZE);
		changer->there[number] = true;
	} else if (test_random(&changer->random) % 4) {
		CHECK_RC(kit_get(store, name_of(number), stoa_deadline_in(60 * SECOND)), 0);
	} else {
		CHECK_RC(kit_delete(store, name_of(number)), 0);
		changer->there[number] = false;
	}
}

static void *change_all(void *argument)
{
	struct changer *changer = argument;
	struct stoa_store *store = kit_open(changer->kit);

	for (unsigned i = 0; i < OBJECTS; i++) {
		put(store, i, SIZE);
		changer->there[i] = true;
	}
	while (!changer->end) {
		if (!changer->hold)
			change(store, changer);
		changer->held = changer->hold;
	}
	stoa_store_close(store);
	return NULL;
}

static void hold(struct changer *changer, bool held)
{
	changer->hold = held;
	while (changer->held != held)
		sched_yield();
}

TEST(what_moves_while_it_is_listed_is_told)
{
	struct changer changer = {.kit = start(), .random = test_seed(), .hold = true};
	struct stoa_store *store = kit_open(changer.kit);
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, change_all, &changer), 0);
	for (unsigned round = 0; round < test_rounds(60, 2000); round++) {
		struct stoa_subscription *subscription;
		struct told told = {.listed = false};

		hold(&changer, false);
		CHECK_RC(stoa_store_subscribe(store, "object ", 7, STOA_SUBSCRIBE_LIST, &subscription), 0);
		while (!told.listed)
			hear(subscription, &told, stoa_deadline_in(60 * SECOND));
		hold(&changer, true);
		hear(subscription, &told, 0);
		for (unsigned i = 0; i < OBJECTS; i++)
			if (told.there[i] != changer.there[i])
				test_fail(__FILE__, __LINE__, "round %u: of object %u it was told the wrong thing",
					  round, i);
		stoa_subscription_close(subscription);
	}
	changer.end = true;
	pthread_join(thread, NULL);
	CHECK_INT(count_spilled(store), >, 100);
	stoa_store_close(store);
	kit_stop(changer.kit);
}
