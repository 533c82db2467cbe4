/* SPDX-License-Identifier: MIT */
/*
 * A store's memory: what takes long is done in steps between which others have their turn, and begins anew when the server dies in it; and what the server
 * has counted is what there is, whoever reads holes, writes beyond, or keeps maps of what is gone. And no user takes what others need.
 */
#include <store/raw.h>
#include <store/worker.h>

#include <fcntl.h>
#include <os/local.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUCH (512 * MIB)

static const struct stoa_server_options roomy = {.limit = 1024 * MIB};
static const struct stoa_server_options roomy_held = {.limit = 1024 * MIB, .flags = STOA_SERVER_HELD};

static struct store_request create_much(void)
{
	return (struct store_request){.op = STORE_OP_CREATE, .id_length = 4, .kind = STORE_PRIVATE, .size = MUCH};
}

static uint64_t committed_of(struct stoa_store *store)
{
	struct stoa_store_stat stat;

	CHECK_RC(stoa_store_stat(store, &stat), 0);
	return stat.committed;
}

static bool answered(const struct raw *raw)
{
	return load_acq(&raw->session->completed) != raw->seen;
}

/* ---- in steps ---- */

/* What others ask is done while much is committed for one, and what they delete is freed. */
TEST(others_go_on_while_much_is_committed)
{
	const struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = kit_start(&roomy);
	struct stoa_store *store = kit_open(kit), *late;
	struct store_completion made;
	uint64_t before;
	struct raw raw;

	CHECK_RC(kit_put(store, "first", 100, 1, NULL), 0);
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	raw_ask(&raw, create_much(), "much", NULL, 0);
	while (committed_of(store) < MUCH)
		test_nap(0);
	CHECK_RC(kit_put(store, "second", 100, 2, NULL), 0);
	CHECK_RC(kit_put(store, "large", MIB, 3, &sealed), 0);
	CHECK_RC(kit_get(store, "large", 0), 0);
	before = committed_of(store);
	CHECK_RC(kit_delete(store, "large"), 0);
	while (committed_of(store) >= before)
		test_nap(0);
	late = kit_open(kit);
	CHECK_RC(kit_get(late, "second", 0), 0);
	CHECK(!answered(&raw));
	CHECK(raw_answer(&raw, &made));
	CHECK_RC(made.result, 0);
	CHECK_EQ(kit_drafts(kit), 1);
	stoa_store_close(late);
	stoa_store_close(store);
	raw_close(&raw);
	kit_stop(kit);
}

/* Its maker goes in the middle of it: all of it comes back. */
TEST(much_that_nobody_waits_for_any_more_comes_back)
{
	struct kit *kit = kit_start(&roomy);
	struct stoa_store *store = kit_open(kit);
	struct store_request allocate = {
		.op = STORE_OP_CREATE, .id_length = 4, .kind = STORE_REGION, .size = MUCH, .of = MUCH};
	uint64_t after[4];

	for (unsigned round = 0; round < CC_COUNT(after); round++) {
		struct raw raw;

		CHECK_RC(raw_open(kit, 0, &raw), 0);
		raw_ask(&raw, round % 2 ? allocate : create_much(), "much", NULL, 0);
		while (committed_of(store) < MUCH)
			test_nap(0);
		kit_look(kit);
		CHECK(!answered(&raw));
		raw_close(&raw);
		kit_await_clients(store, 1);
		after[round] = kit_look(kit);
		CHECK_INT(after[round], <, 64 * MIB);
	}
	CHECK_EQ(after[3], after[1]); /* the directory has what it needs */
	stoa_store_close(store);
	kit_stop(kit);
}

/* Who changes what it has asked for, while that is under way, gets the one or the other, or an error, and harms nobody. */
TEST(what_is_under_way_may_be_changed)
{
	struct kit *kit = kit_start(&roomy);
	struct stoa_store *store = kit_open(kit);
	uint64_t random = test_seed();
	struct store_completion made;

	for (unsigned round = 0; round < test_rounds(12, 200); round++) {
		struct store_request *asked, other = create_much();
		struct raw raw;

		CHECK_RC(raw_open(kit, 0, &raw), 0);
		raw_ask(&raw, create_much(), "much", NULL, 0);
		asked = (struct store_request *)(void *)raw.ring;
		while (committed_of(store) < MUCH)
			test_nap(0);
		other.length = asked->length;
		other.serial = asked->serial;
		switch (test_random(&random) % 4) {
		case 0: other.size = 100; break;
		case 1: other.kind = STORE_REGION, other.of = MUCH + MIB, other.size = 64 * MIB; break;
		case 2: other.op = STORE_OP_WAIT; break;
		default: other.op = STORE_OP_DELETE; break;
		}
		memcpy(asked, &other, sizeof(other));
		if (other.op != STORE_OP_WAIT)
			CHECK(raw_answer(&raw, &made));
		kit_look(kit);
		raw_close(&raw);
		kit_await_clients(store, 1);
		kit_look(kit);
	}
	stoa_store_close(store);
	kit_stop(kit);
}

/* The server dies in the middle: its successor does it from the beginning, once. */
TEST_TIMEOUT(much_is_made_once_though_the_server_dies_in_it, 120)
{
	struct kit *kit = kit_start(&roomy_held);
	struct stoa_store *store = kit_open(kit);
	struct store_completion made;
	struct raw raw;

	CHECK_RC(kit_put(store, "first", 100, 1, NULL), 0);
	CHECK_RC(raw_open(kit, 0, &raw), 0);
	raw_ask(&raw, create_much(), "much", NULL, 0);
	for (unsigned round = 0; round < 3; round++) {
		/* Another request is done between two steps, so it is the one that the journal names. */
		CHECK_RC(kit_put(store, "between", 100, round,
				 &(struct stoa_object_options){.flags = STOA_OBJECT_REPLACE}),
			 0);
		CHECK(!answered(&raw));
		test_kill(kit->server);
		kit_serve(kit);
	}
	CHECK(raw_answer(&raw, &made));
	CHECK_RC(made.result, 0);
	CHECK_EQ(kit_drafts(kit), 1);
	CHECK(!answered(&raw));
	CHECK_RC(kit_get(store, "first", 0), 0);
	CHECK_RC(kit_get(store, "between", 0), 0);
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* Memory handed out that grows by much does so in steps, and has what it asked for in the end. */
TEST(a_region_grows_while_others_go_on)
{
	struct kit *kit = kit_start(&roomy);
	struct stoa_store *store = kit_open(kit);
	struct store_request allocate = {
		.op = STORE_OP_CREATE, .id_length = 4, .kind = STORE_REGION, .size = MIB, .of = MUCH};
	struct store_request grow = {.op = STORE_OP_GROW, .size = MUCH};
	struct store_completion made, grown;
	uint64_t before;
	os_handle memory;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(raw_call(&raw, allocate, "much", NULL, 0, &made), 0);
	CHECK_RC(raw_arena(&raw, made.arena, &memory), 0);
	before = committed_of(store);
	grow.entry = made.entry;
	grow.state = made.state;
	raw_ask(&raw, grow, NULL, NULL, 0);
	while (committed_of(store) == before)
		test_nap(0);
	CHECK_RC(kit_put(store, "other", 100, 1, NULL), 0);
	CHECK(!answered(&raw));
	CHECK(raw_answer(&raw, &grown));
	CHECK_RC(grown.result, 0);
	CHECK_EQ(os_memory_length(memory), MUCH);
	kit_look(kit);
	os_handle_close(memory);
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- what is there, and what is counted ---- */

static uint64_t resident_of(os_handle memory)
{
	struct os_memory_info info;

	CHECK_RC(os_memory_info(memory, &info), 0);
	return info.resident;
}

/* Touch a byte of each page. */
static void read_all(os_handle memory, uint64_t length)
{
	volatile const unsigned char *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, (int)memory, 0);
	unsigned sum = 0;

	CHECK(bytes != MAP_FAILED);
	for (uint64_t at = 0; at < length; at += 4096)
		sum += bytes[at];
	CHECK_INT(sum, <, UINT32_MAX);
	munmap((void *)(uintptr_t)bytes, length);
}

static void await_resident(os_handle memory, uint64_t most)
{
	uint64_t limit = kit_later(60000);

	while (resident_of(memory) > most) {
		CHECK(stoa_now() < limit);
		test_nap(5);
	}
}

/* Whoever may read may read holes, which gives them pages; whoever may write, beyond what it was given. All that comes back, and nothing else. */
TEST(what_nobody_was_given_is_taken_back)
{
	const struct stoa_server_options options = {.limit = 64 * MIB};
	const struct stoa_object_options copied = {.kind = STOA_OBJECT_COPIED}, sealed = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	char id[20];
	struct store_request allocate = {
		.op = STORE_OP_CREATE, .id_length = 6, .kind = STORE_REGION, .size = MIB, .of = 4 * MIB};
	struct store_completion put, made;
	os_handle arena, region;
	struct raw raw;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(kit_put(store, "object", 3000, 1, NULL), 0);
	for (unsigned i = 0; i < 640; i++) {
		snprintf(id, sizeof(id), "%u", i % 320);
		CHECK_RC(i < 320 ? kit_put(store, id, 64 * KIB, i, &copied) : kit_delete(store, id), 0);
	}
	CHECK_RC(
		raw_call(&raw,
			 (struct store_request){.op = STORE_OP_PUT, .id_length = 1, .kind = STORE_IMMUTABLE, .size = 1},
			 "x", "x", 1, &put),
		0);
	CHECK_RC(raw_arena(&raw, put.arena, &arena), 0);
	CHECK_RC(raw_call(&raw, allocate, "region", NULL, 0, &made), 0);
	CHECK_RC(raw_arena(&raw, made.arena, &region), 0);
	for (unsigned round = 0; round < 3; round++) {
		/* Pages that were given back, as there was need for them, are holes. */
		CHECK_RC(kit_put(store, "needed", 35 * MIB, round, &sealed), 0);
		CHECK_RC(kit_delete(store, "needed"), 0);
		await_resident(arena, 12 * MIB);
		do
			read_all(arena, os_memory_length(arena));
		while (resident_of(arena) <= 15 * MIB); /* a look may have come between */
		read_all(raw.passed[PASSED_DIRECTORY], raw.directory_length);
		CHECK_EQ(pwrite((int)region, "there", 5, 0), 5);
		CHECK_SYS(fallocate((int)region, 0, 0, 24 << 20));
		await_resident(arena, 12 * MIB);
		await_resident(raw.passed[PASSED_DIRECTORY], raw.directory_length / 2);
		await_resident(region, MIB);
		CHECK_EQ(resident_of(region), MIB);
		CHECK_RC(kit_get(store, "object", 0), 0);
		kit_look(kit);
	}
	os_handle_close(arena);
	os_handle_close(region);
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
}

#define WARM (UINT64_C(64) << 10) /* of a span that has a small object, which goes back when room is needed */

/* Memory that is deleted lives as long as somebody has a map of it: so long it is counted, by a successor, too. */
TEST_TIMEOUT(what_is_gone_counts_as_long_as_somebody_has_it, 120)
{
	const struct stoa_server_options options = {.limit = 64 * MIB, .flags = STOA_SERVER_HELD};
	const struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = kit_start(&options);
	struct stoa_store *store = kit_open(kit);
	struct stoa_object object;
	uint64_t before, with;
	os_handle memory;
	struct raw raw;
	void *map;

	CHECK_RC(raw_open(kit, 0, &raw), 0);
	CHECK_RC(kit_put(store, "small", 100, 1, NULL), 0);
	for (unsigned round = 0; round < 3; round++) {
		before = kit_look(kit);
		CHECK_RC(kit_put(store, "large", 20 * MIB, 1, &sealed), 0);
		CHECK_RC(stoa_store_get(store, "large", 5, 0, &object), 0);
		CHECK_RC(raw_arena(&raw, (uint32_t)object.hold[1] & 0xffff, &memory), 0);
		stoa_object_release(store, &object);
		map = mmap(NULL, 20 * MIB, PROT_READ, MAP_SHARED, (int)memory, 0);
		CHECK(map != MAP_FAILED);
		CHECK_SYS(madvise(map, 20 * MIB, MADV_DONTFORK)); /* a server is made by a fork here */
		if (round)
			os_handle_close(memory);
		with = kit_look(kit);
		CHECK_INT(with, >=, before + 20 * MIB);
		CHECK_RC(kit_delete(store, "large"), 0);
		/* The server looks whether anybody holds it before it refuses anybody. */
		CHECK_RC(kit_put(store, "too large", 50 * MIB, 1, NULL), -STOA_ENOMEM);
		CHECK_INT(kit_look(kit) + WARM, >=, before + 20 * MIB);
		if (round == 2) {
			test_kill(kit->server);
			kit_serve(kit);
			CHECK_RC(kit_get(store, "small", 0), 0);
			CHECK_INT(kit_look(kit) + WARM, >=, before + 20 * MIB);
		}
		munmap(map, 20 * MIB);
		if (!round)
			os_handle_close(memory);
		CHECK_RC(kit_put(store, "too large", 40 * MIB, 1, &sealed), 0);
		CHECK_RC(kit_delete(store, "too large"), 0);
		while (committed_of(store) >= before + 20 * MIB)
			test_nap(1);
	}
	raw_close(&raw);
	stoa_store_close(store);
	kit_stop(kit);
	/* The holder is nobody's child, so it becomes the harness's. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* Small objects get memory for many of them at a time, not page by page. */
TEST(small_objects_do_not_ask_for_each_page)
{
	struct kit *kit = kit_start(&roomy);
	struct stoa_store *store = kit_open(kit);
	uint64_t before = committed_of(store), now;
	unsigned changes = 0;
	char id[20];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(kit_put(store, id, KIB, i, NULL), 0);
		now = committed_of(store);
		changes += now != before;
		before = now;
	}
	CHECK_INT(changes, <=, 12);
	kit_look(kit);
	stoa_store_close(store);
	kit_stop(kit);
}

/* ---- one user, and all the others ---- */

static const struct stoa_server_options shared_out = {.limit = 64 * MIB,
						      .user_limit = 8 * MIB,
						      .clients = 8,
						      .user_clients = 5,
						      .user_pieces = 6,
						      .socket_mode = 0666};

/* As many as it gets; the last answer is returned. */
static unsigned connect_all(const struct kit *kit, struct stoa_store **stores, unsigned room, int *ret_last)
{
	unsigned count = 0;

	while (count < room && (*ret_last = stoa_store_open(kit->path, NULL, &stores[count])) == 0)
		count++;
	return count;
}

static void take_all(void *argument)
{
	const struct stoa_object_options sealed = {.kind = STOA_OBJECT_SEALED};
	struct kit *kit = argument;
	struct stoa_store *stores[8];
	unsigned count, made = 0;
	char id[20];
	int rc;

	CHECK(kit_become_another());
	count = connect_all(kit, stores, CC_COUNT(stores), &rc);
	CHECK_EQ(count, 5);
	CHECK_RC(rc, -STOA_ELIMIT);
	do {
		snprintf(id, sizeof(id), "piece %u", made);
		rc = kit_put(stores[made % count], id, 5000, made, &sealed);
	} while (rc == 0 && ++made < 100);
	CHECK_EQ(made, 6);
	CHECK_RC(rc, -STOA_ELIMIT);
	CHECK_RC(stoa_store_put(stores[0], "copied", 6, "x", 1, NULL), -STOA_ELIMIT);
	store_rlx(&kit->words[0], 1);
	while (!load_rlx(&kit->words[1]))
		test_nap(1);
	/* One that is freed makes place for one. */
	CHECK_RC(kit_delete(stores[0], "piece 0"), 0);
	CHECK_RC(kit_put(stores[1], "again", 5000, 1, &sealed), 0);
	for (unsigned i = 0; i < count; i++)
		stoa_store_close(stores[i]);
}

/* Five connections take more than 4 MiB of the user's 8. */
static void fill_beside(void *argument)
{
	struct kit *kit = argument;
	struct stoa_store *stores[5];
	int rc;

	CHECK(kit_become_another());
	CHECK_EQ(connect_all(kit, stores, 1, &rc), 1);
	CHECK_RC(kit_put(stores[0], "most", 6 * MIB, 1, NULL), 0);
	CHECK_EQ(connect_all(kit, stores + 1, 4, &rc), 0);
	CHECK_RC(rc, -STOA_ELIMIT);
	CHECK_RC(kit_delete(stores[0], "most"), 0);
	CHECK_EQ(connect_all(kit, stores + 1, 4, &rc), 4);
	CHECK_RC(kit_put(stores[0], "most", 6 * MIB, 1, NULL), -STOA_ELIMIT);
	CHECK_RC(kit_put(stores[0], "less", MIB, 1, NULL), 0);
	for (unsigned i = 0; i < 5; i++)
		stoa_store_close(stores[i]);
}

/* Connections, pieces of memory, and the memory of connections: no user takes what others need. */
TEST(a_user_does_not_take_all)
{
	struct stoa_store *store;
	struct kit *kit;
	pid_t role;

	if (geteuid() != 0)
		SKIP("another user needs root");
	kit = kit_start(&shared_out);
	CHECK_SYS(chmod(test_dir(), 0711));
	role = test_role(take_all, kit);
	while (!load_rlx(&kit->words[0]))
		test_nap(1);
	/* Who is not bound goes on. */
	store = kit_open(kit);
	CHECK_RC(kit_put(store, "alive", 5000, 1, NULL), 0);
	CHECK_RC(kit_delete(store, "alive"), 0);
	stoa_store_close(store);
	kit_look(kit);
	store_rlx(&kit->words[1], 1);
	CHECK_EQ(test_join(role), 0);
	store = kit_open(kit);
	kit_await_clients(store, 1);
	for (unsigned i = 1; i < 6; i++) {
		char id[20];

		snprintf(id, sizeof(id), "piece %u", i);
		CHECK_RC(kit_delete(store, id), 0);
	}
	CHECK_RC(kit_delete(store, "again"), 0);
	stoa_store_close(store);
	CHECK_EQ(test_join(test_role(fill_beside, kit)), 0);
	kit_look(kit);
	kit_stop(kit);
}
