/* SPDX-License-Identifier: MIT */
/* The object store through its public functions, with the server in a thread of the test. */
#include <harness/test.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

static struct stoa_store *open_store(void)
{
	struct stoa_store *store;

	CHECK_RC(stoa_store_open("embedded:64MiB", NULL, &store), 0);
	return store;
}

static uint64_t later(unsigned milliseconds)
{
	return stoa_now() + milliseconds * UINT64_C(1000000);
}

static void put(struct stoa_store *store, const char *id, const void *data, uint64_t size, uint32_t kind)
{
	struct stoa_object_options options = {.kind = kind};

	CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), data, size, &options), 0);
}

static int get(struct stoa_store *store, const char *id, struct stoa_object *object)
{
	return stoa_store_get(store, id, (uint32_t)strlen(id), 0, object);
}

static void *pattern(uint64_t size, uint64_t seed)
{
	unsigned char *bytes = malloc(size ? size : 1);

	CHECK(bytes != NULL);
	for (uint64_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)((seed + i) * 2654435761u >> 13);
	return bytes;
}

static void check_object(struct stoa_store *store, const char *id, const void *data, uint64_t size)
{
	struct stoa_object object;

	CHECK_RC(get(store, id, &object), 0);
	CHECK_EQ(object.size, size);
	CHECK(memcmp(object.data, data, size) == 0);
	stoa_object_release(store, &object);
}

TEST(what_is_put_is_got)
{
	static const uint64_t sizes[] = {0, 1, 63, 64, 65, 1000, 4096, 4097, 65536, 100000, 3 * MIB + 5};
	struct stoa_store *store = open_store();

	for (size_t i = 0; i < CC_COUNT(sizes); i++)
		for (uint32_t kind = STOA_OBJECT_AUTO; kind <= STOA_OBJECT_SEALED; kind++) {
			void *data;
			char id[40];

			if (kind == STOA_OBJECT_COPIED && sizes[i] > 65536)
				continue;
			data = pattern(sizes[i], i);
			snprintf(id, sizeof(id), "object %zu of kind %u", i, kind);
			put(store, id, data, sizes[i], kind);
			check_object(store, id, data, sizes[i]);
			CHECK_EQ(stoa_store_contains(store, id, (uint32_t)strlen(id)), 1);
			free(data);
		}
	stoa_store_close(store);
}

TEST(ids_are_bytes)
{
	struct stoa_store *store = open_store();
	uint8_t id[STOA_ID_MAX];
	struct stoa_object object;

	for (uint32_t length = 1; length <= STOA_ID_MAX; length++) {
		memset(id, 0, sizeof(id));
		id[length - 1] = (uint8_t)length;
		CHECK_RC(stoa_store_put(store, id, length, &length, sizeof(length), NULL), 0);
		CHECK_RC(stoa_store_put(store, id, length, &length, sizeof(length), NULL), -STOA_EEXIST);
	}
	for (uint32_t length = 1; length <= STOA_ID_MAX; length++) {
		memset(id, 0, sizeof(id));
		id[length - 1] = (uint8_t)length;
		CHECK_RC(stoa_store_get(store, id, length, 0, &object), 0);
		CHECK_EQ(*(const uint32_t *)object.data, length);
		stoa_object_release(store, &object);
	}
	CHECK_RC(stoa_store_get(store, id, 0, 0, &object), -STOA_EINVAL);
	CHECK_RC(stoa_store_get(store, id, STOA_ID_MAX + 1, 0, &object), -STOA_EINVAL);
	stoa_store_close(store);
}

TEST(metadata_comes_with_the_object)
{
	struct stoa_store *store = open_store();
	char meta[STOA_META_MAX];

	memset(meta, 'm', sizeof(meta));
	for (uint32_t kind = STOA_OBJECT_COPIED; kind <= STOA_OBJECT_SEALED; kind++)
		for (uint32_t length = 0; length <= STOA_META_MAX; length += 73) {
			struct stoa_object_options options = {.kind = kind, .meta = meta, .meta_length = length};
			struct stoa_object object;
			char id[40];

			snprintf(id, sizeof(id), "%u %u", kind, length);
			CHECK_RC(stoa_store_put(store, id, (uint32_t)strlen(id), "data!", 5, &options), 0);
			CHECK_RC(get(store, id, &object), 0);
			CHECK_EQ(object.meta_length, length);
			CHECK(length == 0 || memcmp(object.meta, meta, length) == 0);
			CHECK(memcmp(object.data, "data!", 5) == 0);
			stoa_object_release(store, &object);
		}
	stoa_store_close(store);
}

TEST(made_in_place_and_sealed)
{
	struct stoa_store *store = open_store();
	struct stoa_object object;
	struct stoa_draft draft;

	for (uint32_t kind = STOA_OBJECT_PRIVATE; kind <= STOA_OBJECT_SEALED; kind++) {
		struct stoa_object_options options = {.kind = kind};
		char id[20];

		snprintf(id, sizeof(id), "kind %u", kind);
		CHECK_RC(stoa_store_create(store, id, 6, 100000, &options, &draft), 0);
		CHECK_EQ(draft.room, 100000);
		memset(draft.data, 'x', 100000);
		CHECK_RC(get(store, id, &object), -STOA_ENOENT);
		CHECK_EQ(stoa_store_contains(store, id, 6), 0);
		CHECK_RC(stoa_draft_seal(store, &draft, 60000), 0);
		CHECK_RC(get(store, id, &object), 0);
		CHECK_EQ(object.size, 60000);
		for (unsigned i = 0; i < 60000; i++)
			CHECK(((const char *)object.data)[i] == 'x');
		stoa_object_release(store, &object);
	}
	CHECK_RC(stoa_store_create(store, "gone", 4, 1000, NULL, &draft), 0);
	stoa_draft_abort(store, &draft);
	CHECK_RC(get(store, "gone", &object), -STOA_ENOENT);
	CHECK_RC(stoa_store_create(store, "gone", 4, 1000, NULL, &draft), 0);
	CHECK_RC(stoa_draft_seal(store, &draft, 1001), -STOA_ERANGE);
	CHECK_RC(stoa_draft_seal(store, &draft, 1000), 0);
	stoa_store_close(store);
}

TEST(of_two_who_make_it_the_first_to_seal_wins)
{
	struct stoa_store *store = open_store();
	struct stoa_draft first, second;

	CHECK_RC(stoa_store_create(store, "id", 2, 10, NULL, &first), 0);
	CHECK_RC(stoa_store_create(store, "id", 2, 10, NULL, &second), 0);
	memset(first.data, 1, 10);
	memset(second.data, 2, 10);
	CHECK_RC(stoa_draft_seal(store, &second, 10), 0);
	CHECK_RC(stoa_draft_seal(store, &first, 10), -STOA_EEXIST);
	CHECK_RC(stoa_draft_seal(store, &first, 10), -STOA_ENOENT);
	check_object(store, "id", "\2\2\2\2\2\2\2\2\2\2", 10);
	stoa_store_close(store);
}

TEST(held_bytes_outlive_delete_and_replace)
{
	struct stoa_object_options replace = {.flags = STOA_OBJECT_REPLACE};
	struct stoa_store *store = open_store();
	struct stoa_object old, new;

	put(store, "id", "old bytes", 9, STOA_OBJECT_AUTO);
	CHECK_RC(get(store, "id", &old), 0);
	CHECK_RC(stoa_store_put(store, "id", 2, "new ones", 8, NULL), -STOA_EEXIST);
	CHECK_RC(stoa_store_put(store, "id", 2, "new ones", 8, &replace), 0);
	CHECK_RC(get(store, "id", &new), 0);
	CHECK_RC(stoa_store_delete(store, "id", 2), 0);
	CHECK_RC(stoa_store_delete(store, "id", 2), -STOA_ENOENT);
	/* What is freed is used again at once: by much that would be in their place. */
	for (unsigned i = 0; i < 200; i++) {
		char id[20];

		snprintf(id, sizeof(id), "other %u", i);
		put(store, id, "other one", 9, STOA_OBJECT_AUTO);
	}
	test_nap(20);
	for (unsigned i = 200; i < 400; i++) {
		char id[20];

		snprintf(id, sizeof(id), "other %u", i);
		put(store, id, "other one", 9, STOA_OBJECT_AUTO);
	}
	CHECK(memcmp(old.data, "old bytes", 9) == 0);
	CHECK(memcmp(new.data, "new ones", 8) == 0);
	stoa_object_release(store, &old);
	stoa_object_release(store, &new);
	stoa_store_close(store);
}

TEST(what_was_deleted_gives_its_memory_back)
{
	struct stoa_store *store = open_store();
	void *data = pattern(5 * MIB, 1);

	/* 64 MiB, twenty times. */
	for (unsigned i = 0; i < 240; i++) {
		uint32_t kind = i % 2 ? STOA_OBJECT_PRIVATE : STOA_OBJECT_SEALED;

		put(store, "big", data, 5 * MIB, kind);
		check_object(store, "big", data, 5 * MIB);
		CHECK_RC(stoa_store_delete(store, "big", 3), 0);
	}
	free(data);
	stoa_store_close(store);
}

TEST(no_room_is_an_error_and_nothing_is_lost)
{
	struct stoa_store *store = open_store();
	struct stoa_store_stat stat;
	void *data = pattern(4 * MIB, 1);
	unsigned count = 0;
	char id[20];
	int rc;

	for (;;) {
		snprintf(id, sizeof(id), "%u", count);
		rc = stoa_store_put(store, id, (uint32_t)strlen(id), data, 4 * MIB, NULL);
		if (rc)
			break;
		count++;
	}
	CHECK_RC(rc, -STOA_ENOMEM);
	CHECK_INT(count, >=, 10);
	CHECK_INT(count, <=, 16);
	CHECK_RC(stoa_store_put(store, "all", 3, data, 65 * MIB, NULL), -STOA_ERANGE);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	CHECK_INT(stat.committed, <=, stat.limit);
	CHECK_EQ(stat.objects, count);
	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "%u", i);
		check_object(store, id, data, 4 * MIB);
	}
	free(data);
	stoa_store_close(store);
}

static int count_object(const struct stoa_object_info *info, void *argument)
{
	unsigned *count = argument;

	CHECK_EQ(info->size, 3);
	CHECK(memcmp(info->id, "id", 2) == 0);
	++*count;
	return *count == 50 ? 7 : 0;
}

TEST(all_are_listed)
{
	struct stoa_store *store = open_store();
	unsigned count = 0;

	for (unsigned i = 0; i < 100; i++) {
		char id[20];

		snprintf(id, sizeof(id), "id%u", i);
		put(store, id, "abc", 3, STOA_OBJECT_AUTO);
	}
	CHECK_EQ(stoa_store_list(store, count_object, &count), 7);
	CHECK_EQ(stoa_store_list(store, count_object, &count), 0);
	CHECK_EQ(count, 150);
	stoa_store_close(store);
}

TEST(many_are_put_in_one_go)
{
	enum { MANY = 5000 };
	static struct stoa_put puts[MANY];
	static char ids[MANY][12], bytes[MANY][100];
	struct stoa_store *store = open_store();

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "%u", i);
		memset(bytes[i], (int)i, sizeof(bytes[i]));
		puts[i] = (struct stoa_put){ids[i], bytes[i], i % 100, (uint32_t)strlen(ids[i]), 1};
	}
	CHECK_RC(stoa_store_put_many(store, puts, MANY, NULL), 0);
	for (unsigned i = 0; i < MANY; i++) {
		CHECK_EQ(puts[i].result, 0);
		check_object(store, ids[i], bytes[i], i % 100);
	}
	CHECK_RC(stoa_store_put_many(store, puts, 3, NULL), -STOA_EEXIST);
	CHECK_EQ(puts[2].result, -STOA_EEXIST);
	stoa_store_close(store);
}

TEST(a_get_waits_until_its_deadline)
{
	struct stoa_store *store = open_store();
	struct stoa_object object;
	uint64_t begin = stoa_now();

	CHECK_RC(stoa_store_get(store, "x", 1, later(30), &object), STOA_TIMED_OUT);
	CHECK_INT(stoa_now() - begin, >=, 30000000);
	/* The request that waits is gone: what follows is not told to it. */
	put(store, "x", "1", 1, STOA_OBJECT_AUTO);
	CHECK_RC(stoa_store_get(store, "x", 1, later(30), &object), 0);
	stoa_object_release(store, &object);
	stoa_store_close(store);
}

static void *follow_some(void *argument)
{
	struct stoa_store *reader = argument;
	struct stoa_object object;
	char id[8];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(stoa_store_follow(reader, id, (uint32_t)strlen(id), later(10000), &object), 0);
		if (object.size == 0)
			CHECK_RC(stoa_object_await(reader, &object, later(10000)), 0);
		CHECK_EQ(object.size, 1);
		stoa_object_release(reader, &object);
	}
	return NULL;
}

/* Whoever asks for it while it is being made, too: nothing is ever sealed here. */
TEST(who_follows_finds_it_whenever_it_comes)
{
	struct stoa_object_options options = {.flags = STOA_OBJECT_FOLLOWED};
	struct stoa_store *store = open_store(), *reader = open_store();
	struct stoa_draft drafts[300];
	pthread_t thread;
	char id[8];

	CHECK_EQ(pthread_create(&thread, NULL, follow_some, reader), 0);
	for (unsigned i = 0; i < CC_COUNT(drafts); i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(stoa_store_create(store, id, (uint32_t)strlen(id), 10, &options, &drafts[i]), 0);
		memset(drafts[i].data, 1, 1);
		CHECK_RC(stoa_draft_advance(store, &drafts[i], 1), 0);
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stoa_store_close(reader);
	stoa_store_close(store);
}

TEST(an_object_is_followed_while_it_grows)
{
	struct stoa_object_options options = {.flags = STOA_OBJECT_FOLLOWED, .meta = "meta", .meta_length = 4};
	struct stoa_store *store = open_store(), *reader = open_store();
	struct stoa_object object, early;
	struct stoa_draft draft;

	CHECK_RC(stoa_store_follow(reader, "log", 3, 0, &object), -STOA_ENOENT);
	CHECK_RC(stoa_store_follow(reader, "log", 3, later(10), &object), STOA_TIMED_OUT);
	CHECK_RC(stoa_store_create(store, "log", 3, 100000, &options, &draft), 0);
	CHECK_RC(stoa_store_create(store, "log", 3, 100000, &options, &draft), -STOA_EEXIST);
	CHECK_RC(get(reader, "log", &early), -STOA_ENOENT);
	CHECK_RC(stoa_store_follow(reader, "log", 3, later(10000), &object), 0);
	CHECK_EQ(object.size, 0);
	CHECK(object.meta_length == 4 && memcmp(object.meta, "meta", 4) == 0);
	CHECK_RC(stoa_object_await(reader, &object, later(10)), STOA_TIMED_OUT);
	for (unsigned length = 1000; length <= 50000; length += 1000) {
		memset((char *)draft.data + length - 1000, (int)(length / 1000), 1000);
		CHECK_RC(stoa_draft_advance(store, &draft, length), 0);
		CHECK_RC(stoa_object_await(reader, &object, 0), 0);
		CHECK_EQ(object.size, length);
		CHECK_EQ(((const unsigned char *)object.data)[length - 1], length / 1000);
	}
	CHECK_RC(stoa_draft_advance(store, &draft, 100), -STOA_ERANGE);
	CHECK_RC(stoa_draft_advance(store, &draft, 100001), -STOA_ERANGE);
	CHECK_RC(stoa_draft_seal(store, &draft, 50000), 0);
	CHECK_RC(stoa_object_await(reader, &object, 0), STOA_CLOSED);
	CHECK_EQ(object.size, 50000);
	stoa_object_release(reader, &object);
	CHECK_RC(get(reader, "log", &early), 0);
	CHECK_EQ(early.size, 50000);
	stoa_object_release(reader, &early);
	/* Sealed, and then deleted or replaced: who follows has all of it. */
	for (unsigned i = 0; i < 2; i++) {
		struct stoa_object_options replacing = {.flags = STOA_OBJECT_REPLACE};

		CHECK_RC(stoa_store_create(store, "gone", 4, 1000, &options, &draft), 0);
		memcpy(draft.data, "begin and end", 13);
		CHECK_RC(stoa_draft_advance(store, &draft, 5), 0);
		CHECK_RC(stoa_store_follow(reader, "gone", 4, 0, &object), 0);
		CHECK_RC(stoa_draft_seal(store, &draft, 13), 0);
		if (i)
			CHECK_RC(stoa_store_put(store, "gone", 4, "", 0, &replacing), 0);
		CHECK_RC(stoa_store_delete(store, "gone", 4), 0);
		CHECK_EQ(object.size, 5);
		CHECK_RC(stoa_object_await(reader, &object, 0), STOA_CLOSED);
		CHECK_EQ(object.size, 13);
		CHECK(memcmp(object.data, "begin and end", 13) == 0);
		CHECK_RC(stoa_object_await(reader, &object, 0), STOA_CLOSED);
		stoa_object_release(reader, &object);
	}
	/* Given up: who follows is told, and reads what it holds as long as it does. */
	CHECK_RC(stoa_store_create(store, "cut", 3, 1000, &options, &draft), 0);
	memcpy(draft.data, "begin", 5);
	CHECK_RC(stoa_draft_advance(store, &draft, 5), 0);
	CHECK_RC(stoa_store_follow(reader, "cut", 3, 0, &object), 0);
	CHECK_EQ(object.size, 5);
	stoa_draft_abort(store, &draft);
	CHECK_RC(stoa_object_await(reader, &object, later(10000)), -STOA_ETRUNCATED);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_RC(stoa_store_create(store, "other", 5, 1000, NULL, &draft), 0);
		memset(draft.data, 0, 1000);
		stoa_draft_abort(store, &draft);
	}
	CHECK(memcmp(object.data, "begin", 5) == 0);
	stoa_object_release(reader, &object);
	stoa_store_close(reader);
	stoa_store_close(store);
}

/* ---- room ---- */

TEST(holes_between_objects_do_not_count_against_the_limit)
{
	/* Of 500 MB: 476 of 1 MB, every second freed, then as many of 2 MB as fit. A quarter of that where it is not a soak. */
	uint64_t unit = test_rounds(250000, 1000000), limit = 500 * unit, count = 0;
	struct stoa_store *store;
	struct stoa_store_stat stat;
	void *data = pattern(2 * unit, 3);
	char where[64], id[20];
	int rc;

	snprintf(where, sizeof(where), "embedded:%llu", (unsigned long long)limit);
	CHECK_RC(stoa_store_open(where, NULL, &store), 0);
	CHECK_RC(stoa_store_stat(store, &stat), 0);
	/* What the store notes about a million objects is much of the smaller limit. */
	for (unsigned i = 0; i < 476 && stat.committed + 2 * unit < limit; i++, count++) {
		snprintf(id, sizeof(id), "%u", i);
		put(store, id, data, unit, STOA_OBJECT_PRIVATE);
		CHECK_RC(stoa_store_stat(store, &stat), 0);
	}
	CHECK_INT(count, >=, 400);
	for (unsigned i = 0; i < count; i += 2) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK_RC(stoa_store_delete(store, id, (uint32_t)strlen(id)), 0);
	}
	for (unsigned i = 0;; i++) {
		snprintf(id, sizeof(id), "two %u", i);
		rc = stoa_store_put(store, id, (uint32_t)strlen(id), data, 2 * unit, NULL);
		CHECK_RC(stoa_store_stat(store, &stat), 0);
		CHECK_INT(stat.committed, <=, limit);
		if (rc) {
			CHECK_RC(rc, -STOA_ENOMEM);
			CHECK_INT(i, >=, count / 4 - 3);
			break;
		}
	}
	for (unsigned i = 1; i < count; i += 2) {
		snprintf(id, sizeof(id), "%u", i);
		check_object(store, id, data, unit);
	}
	free(data);
	stoa_store_close(store);
}

TEST(misuse_is_told)
{
	struct stoa_object_options options = {.kind = 9};
	struct stoa_store *store = NULL;
	struct stoa_draft draft;

	CHECK_RC(stoa_store_open("embedded:64QiB", NULL, &store), -STOA_EINVAL);
	CHECK_RC(stoa_store_open("embedded:1KiB", NULL, &store), -STOA_EINVAL);
	CHECK_RC(stoa_store_open("/nowhere/at/all", NULL, &store), -STOA_ENOENT);
	CHECK(store == NULL);
	store = open_store();
	CHECK_RC(stoa_store_put(store, "x", 1, "", 0, &options), -STOA_EINVAL);
	options = (struct stoa_object_options){.access = 4};
	CHECK_RC(stoa_store_put(store, "x", 1, "", 0, &options), -STOA_EINVAL);
	options = (struct stoa_object_options){.flags = 0x800};
	CHECK_RC(stoa_store_put(store, "x", 1, "", 0, &options), -STOA_EINVAL);
	options = (struct stoa_object_options){.meta = "", .meta_length = STOA_META_MAX + 1};
	CHECK_RC(stoa_store_put(store, "x", 1, "", 0, &options), -STOA_EINVAL);
	options = (struct stoa_object_options){.kind = STOA_OBJECT_COPIED};
	CHECK_RC(stoa_store_create(store, "x", 1, 1, &options, &draft), -STOA_EINVAL);
	CHECK_RC(stoa_store_put(store, "x", 1, "", 65537, &options), -STOA_EINVAL);
	stoa_store_close(store);
	stoa_store_close(NULL);
}
