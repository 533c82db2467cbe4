/* SPDX-License-Identifier: MIT */
/* Names: how long they live, that the dead leave nothing in the way, what cannot be a name, and what is refused under one. */
#include <segment/common.h>

#include <unistd.h>

static struct stoa_segment *make(const char *name, uint32_t flags)
{
	struct stoa_segment_options options = {.flags = flags};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	return segment;
}

TEST(a_name_lives_while_it_is_used)
{
	const char *name = test_name("a");
	struct stoa_segment *first, *second;

	CHECK_RC(stoa_segment_open(name, NULL, &first), -STOA_ENOENT);
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &first), 0);
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &second), -STOA_EEXIST);
	check_detail("it exists and is in use: open it, or remove its name (stoa rm)");
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &second), STOA_EXISTED);
	CHECK_RC(stoa_segment_commit(second, PAGE), 0);
	CHECK_EQ(touch(stoa_segment_address(first)), 0);
	CHECK_EQ(bytes_of(second)[0], 1);
	/* New programs get nothing of it, neither from who made it nor from who opened it. */
	CHECK(!os_handle_inherited(first->memory));
	CHECK(!os_handle_inherited(second->memory));
	CHECK(!os_handle_inherited(os_name_handle(first->name)));
	CHECK(!os_handle_inherited(os_name_handle(second->name)));
	stoa_segment_close(first);
	CHECK_RC(stoa_segment_open(name, NULL, &first), 0);
	stoa_segment_close(first);
	stoa_segment_close(second);
	CHECK(!name_exists(name));
	CHECK_RC(stoa_segment_open(name, NULL, &first), -STOA_ENOENT);
}

TEST(a_raw_name_keeps_its_reserve)
{
	const char *name = test_name("raw");
	struct stoa_segment_options options = {.flags = STOA_RAW, .commit = 1};
	struct stoa_segment *first, *second;

	CHECK_RC(stoa_segment_create(name, 3 * GIB, &options, &first), 0);
	CHECK_EQ(blocks(first), PAGE);
	CHECK_RC(stoa_segment_open(name, NULL, &second), 0);
	CHECK_EQ(stoa_segment_reserve(second), 3 * GIB);
	stoa_segment_close(first);
	stoa_segment_close(second);
}

TEST(unlinking_leaves_the_users_alone)
{
	const char *name = test_name("u");
	struct stoa_segment *old = make(name, 0), *young;

	CHECK_RC(stoa_segment_unlink(name, 0), 0);
	young = make(name, 0);
	CHECK_RC(stoa_segment_commit(old, PAGE), 0);
	CHECK_EQ(stoa_segment_committed(young), 0);
	stoa_segment_close(old);
	CHECK(name_exists(name)); /* closing the old one must not take the young one's name */
	stoa_segment_close(young);
	CHECK(!name_exists(name));
}

/* Non-zero when the name is listed. */
static int count_named(const struct stoa_segment_entry *entry, void *argument)
{
	const char **name = argument;

	return strcmp(entry->name, *name) == 0;
}

/* Those who still use what had the name do not hold up the next one's, nor does who only looks at it. */
TEST(users_of_a_removed_name_keep_no_other)
{
	const char *name = test_name("r");
	struct stoa_segment *old = make(name, 0), *young, *segment = NULL;
	struct stoa_inspector *inspector;
	int descriptor;

	CHECK_RC(stoa_segment_unlink(name, 0), 0);
	young = make(name, 0);
	CHECK_RC(stoa_inspect_open(name, 0, &inspector), 0);
	CHECK_RC(stoa_segment_dup_descriptor(young, STOA_READ, &descriptor), 0);
	CHECK_RC(stoa_segment_unlink(name, 0), 0);
	stoa_segment_close(young);
	young = make(name, 0);
	stoa_inspect_close(inspector);
	CHECK_RC(stoa_inspect_open(name, 0, &inspector), 0);
	os_handle_close(descriptor);
	CHECK_RC(stoa_segment_dup_descriptor(young, STOA_READ, &descriptor), 0);
	stoa_segment_close(young);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
	young = make(name, 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
	stoa_segment_close(segment);
	stoa_inspect_close(inspector);
	os_handle_close(descriptor);
	stoa_segment_close(old);
	CHECK(name_exists(name));
	stoa_segment_close(young);
	CHECK(!name_exists(name));
}

TEST(a_name_is_removed_and_made_again_and_again)
{
	const char *name = test_name("again");
	struct stoa_segment *all[12], *segment;
	struct stoa_segment_stat last, found;

	for (size_t i = 0; i < CC_COUNT(all); i++) {
		all[i] = make(name, 0);
		CHECK_RC(stoa_segment_create(name, MIB, NULL, &segment), -STOA_EEXIST);
		CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
		CHECK_RC(stoa_segment_stat(all[i], &last), 0);
		CHECK_RC(stoa_segment_stat(segment, &found), 0);
		CHECK_EQ(found.identity, last.identity);
		stoa_segment_close(segment);
		CHECK_RC(stoa_segment_list(0, count_named, &name), 1);
		CHECK_RC(stoa_segment_unlink(name, 0), 0);
		CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
		CHECK(!name_exists(name));
	}
	for (size_t i = 0; i < CC_COUNT(all); i++)
		stoa_segment_close(all[i]);
	stoa_segment_close(make(name, 0));
	CHECK(!name_exists(name));
}

static void die_with_it(void *argument)
{
	_Atomic uint32_t *ready = argument;

	make(test_name("dead"), 0);
	atomic_store(ready, 1);
	test_pause();
}

static void leave_behind(void)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	pid_t role = test_role(die_with_it, (void *)ready);

	test_await(ready, 1);
	test_kill(role);
}

TEST(what_the_dead_left_is_in_nobodys_way)
{
	const char *name = test_name("dead");
	struct stoa_segment *segment;

	leave_behind();
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	CHECK(!name_exists(name));
	leave_behind();
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &segment), 0);
	stoa_segment_close(segment);
	leave_behind();
	CHECK_RC(stoa_segment_create(name, GIB, NULL, &segment), 0);
	stoa_segment_close(segment);
	leave_behind();
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_ENOENT);
	CHECK(!name_exists(name));
}

TEST(names_that_cannot_be)
{
	static const char *const wrong[] = {"",         ".",
					    "..",       "a/b",
					    "/",        "a\\b",
					    "a\nb",     "\x7f",
					    "\xc3",     "\xff",
					    "\xc0\x80", "\xed\xa0\x80",
					    "\xc2\x85", "\xf4\x90\x80\x80",
					    "a\xe2\x82"};
	static const char *const right[] = {"a", "...", "x.seg", "x.lock", " ", "\xc3\xa4", "\xf0\x9f\x8f\x9b"};
	struct stoa_segment *segment = NULL;
	char longest[302], name[256];

	for (size_t i = 0; i < CC_COUNT(wrong); i++) {
		CHECK_RC(stoa_segment_create(wrong[i], GIB, NULL, &segment), -STOA_ENAME);
		CHECK_RC(stoa_segment_open(wrong[i], NULL, &segment), -STOA_ENAME);
		CHECK_RC(stoa_segment_unlink(wrong[i], 0), -STOA_ENAME);
	}
	CHECK_RC(stoa_segment_create("\x1b[2J\n\xff\xc2\x85\xc0\x80\xed\xa0\x80\xc3\xa4", GIB, NULL, &segment),
		 -STOA_ENAME);
	check_detail("segment '\\x1b[2J\\x0a\\xff\\xc2\\x85\\xc0\\x80\\xed\\xa0\\x80\xc3\xa4': the name");
	memset(longest, 'n', sizeof(longest));
	longest[300] = 0;
	CHECK_RC(stoa_segment_create(longest, GIB, NULL, &segment), -STOA_ENAME);
	longest[STOA_NAME_MAX + 1] = 0;
	CHECK_RC(stoa_segment_create(longest, GIB, NULL, &segment), -STOA_ENAME);
	CHECK(segment == NULL);
	for (size_t i = 0; i < CC_COUNT(right); i++) {
		snprintf(name, sizeof(name), "%s%s", os_user_id() == 0 ? "" : test_name("n"), right[i]);
		stoa_segment_close(make(name, 0));
	}
	snprintf(longest, sizeof(longest), "%s", test_name("l"));
	memset(longest + strlen(longest), 'n', sizeof(longest) - strlen(longest));
	longest[STOA_NAME_MAX] = 0;
	stoa_segment_close(make(longest, 0));
}

TEST(damaged_and_strange_headers)
{
	const char *name = test_name("bad");
	struct stoa_segment *owner = make(name, 0), *segment = NULL;
	uint64_t original, other = 1;
	size_t got;

	CHECK_RC(os_memory_read(owner->memory, 8, &original, 8, &got), 0);
	CHECK_RC(os_memory_write(owner->memory, 8, &other, 8), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EVERSION);
	check_detail("same version of stoa");
	CHECK_RC(os_memory_write(owner->memory, 8, &original, 8), 0);
	CHECK_RC(os_memory_write(owner->memory, 16, &other, 8), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EVERSION);
	check_detail("features");
	other = 0;
	CHECK_RC(os_memory_write(owner->memory, 16, &other, 8), 0);
	CHECK_RC(os_memory_write(owner->memory, 56, "X", 1), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	check_detail("damaged");
	CHECK_RC(os_memory_write(owner->memory, 0, "X", 1), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EFORMAT);
	CHECK(segment == NULL);
	stoa_segment_close(owner);
}

static int fill_byte(struct stoa_segment *segment, void *argument)
{
	CHECK_RC(stoa_segment_commit(segment, 1), 0);
	bytes_of(segment)[0] = *(unsigned char *)argument;
	return argument ? 0 : -STOA_EINVAL;
}

TEST(kinds_do_not_mix)
{
	const char *name = test_name("kind");
	struct stoa_segment_options any = {.flags = STOA_ANY_KIND | STOA_READ_ONLY};
	struct stoa_segment *owner, *segment = NULL;
	struct stoa_segment_stat stat;
	unsigned char byte = 77;

	CHECK_RC(segment_create_kind(name, PAGE, NULL, SEGMENT_KIND_EVENT, fill_byte, &byte, true, &owner), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EKIND);
	check_detail("an event");
	CHECK_RC(stoa_segment_create_or_open(name, GIB, NULL, &segment), -STOA_EKIND);
	CHECK_RC(segment_open_kind(name, NULL, SEGMENT_KIND_MUTEX, &segment), -STOA_EKIND);
	CHECK(segment == NULL);
	CHECK_RC(stoa_segment_open(name, &any, &segment), 0);
	CHECK_EQ(bytes_of(segment)[0], 77);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.kind, STOA_KIND_EVENT);
	stoa_segment_close(segment);
	CHECK_RC(segment_open_kind(name, NULL, SEGMENT_KIND_EVENT, &segment), 0);
	stoa_segment_close(segment);
	stoa_segment_close(owner);
}

TEST(read_only_handles)
{
	const char *name = test_name("ro");
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *owner = make(name, 0), *segment;

	CHECK_RC(stoa_segment_commit(owner, 2 * PAGE), 0);
	bytes_of(owner)[0] = 3;
	CHECK_RC(stoa_segment_open(name, &reader, &segment), 0);
	CHECK_EQ(bytes_of(segment)[0], 3);
	CHECK_EQ(touch(bytes_of(segment)), REFUSED);
	CHECK_EQ(segment->rights, 0);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_discard(segment, 0, PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_recommit(segment, 0, PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_shrink(segment, 0), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_flush(segment, 0, PAGE, 0), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_GROW), -STOA_ENOTSUP); /* no named one can be sealed */
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	stoa_segment_close(owner);
	CHECK_RC(stoa_segment_open(name, NULL, &owner), 0); /* a reader keeps the name, too */
	stoa_segment_close(owner);
	stoa_segment_close(segment);
}

static int count_entry(const struct stoa_segment_entry *entry, void *argument)
{
	const char **looked_for = argument;

	if (strcmp(entry->name, looked_for[0]) != 0)
		return 0;
	CHECK_EQ(entry->owner, os_user_id());
	return (int)(1 + entry->in_use + entry->flags);
}

TEST(listing)
{
	const char *name = test_name("list");
	struct stoa_segment *segment = make(name, 0);

	CHECK_RC(stoa_segment_list(0, count_entry, &name), 2);
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_list(0, count_entry, &name), 0);
	CHECK_RC(stoa_segment_list(STOA_RAW, count_entry, &name), -STOA_EINVAL);
	CHECK_RC(stoa_segment_list(0, NULL, NULL), -STOA_EINVAL);
}

static void race_to_create(void *argument)
{
	struct stoa_segment *segment;
	_Atomic uint32_t *shared = argument; /* name, created, opened, in order */

	for (unsigned i = 0; i < 200; i++) {
		int rc = stoa_segment_create_or_open(test_name("race"), MIB, NULL, &segment);

		CHECK(rc == 0 || rc == STOA_EXISTED);
		atomic_fetch_add(&shared[rc == 0 ? 1 : 2], 1);
		CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
		atomic_fetch_add((_Atomic uint32_t *)stoa_segment_address(segment), 1);
		stoa_segment_close(segment);
	}
}

TEST_TIMEOUT(creators_openers_and_closers_race, 60)
{
	_Atomic uint32_t *shared = test_shared(3 * sizeof(uint32_t));
	pid_t roles[6];

	test_name("race");
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(race_to_create, (void *)shared);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(shared[1] + shared[2], 200 * CC_COUNT(roles));
	CHECK_INT(shared[1], >=, 1);
	CHECK(!name_exists(test_name("race")));
}

static void create_until_killed(void *argument)
{
	(void)argument;
	for (;;) {
		struct stoa_segment *segment;
		int rc = stoa_segment_create_or_open(test_name("killed"), MIB, NULL, &segment);

		if (rc < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", stoa_error_name(rc), stoa_error_detail());
		stoa_segment_close(segment);
	}
}

TEST_TIMEOUT(killed_at_any_time_nothing_stays, 120)
{
	unsigned rounds = test_rounds(50, 1000);
	uint64_t random = test_seed();
	uint32_t removed;

	test_name("killed");
	for (unsigned i = 0; i < rounds; i++) {
		pid_t roles[3];

		for (size_t k = 0; k < CC_COUNT(roles); k++)
			roles[k] = test_role(create_until_killed, NULL);
		usleep((unsigned)(test_random(&random) % 3000));
		for (size_t k = 0; k < CC_COUNT(roles); k++)
			test_kill(roles[k]);
		CHECK_RC(stoa_segment_gc(0, &removed), 0);
		CHECK(!name_exists(test_name("killed")));
	}
}
