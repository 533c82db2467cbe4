/* SPDX-License-Identifier: MIT */
/* Looking at named objects from outside: what it tells, that it changes nothing, and that misuse is an error. */
#include <harness/test.h>

#include <os/os.h>
#include <segment/header.h>
#include <segment/segment.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <stoa/stoa.h>

static void count(void *argument, int severity, const char *sentence)
{
	unsigned *counts = argument;

	CHECK(sentence[0] != 0);
	CHECK(severity == STOA_REMARK || severity == STOA_DAMAGE);
	counts[severity]++;
}

TEST(misuse_is_an_error_and_touches_nothing)
{
	struct stoa_inspector *inspector = (struct stoa_inspector *)&inspector;
	struct stoa_inspector *before = inspector;
	struct stoa_inspection inspection = {.kind = 77};
	struct stoa_member member = {.slot = 77};
	unsigned counts[2] = {0};

	CHECK_RC(stoa_inspect_open(NULL, 0, &inspector), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_open("x", STOA_RAW, &inspector), -STOA_EINVAL);
	CHECK(strstr(stoa_error_detail(), "inspecting does not take STOA_RAW") != NULL);
	CHECK_RC(stoa_inspect_open("x", 0, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_open("", 0, &inspector), -STOA_ENAME);
	CHECK_RC(stoa_inspect_open("a/b", 0, &inspector), -STOA_ENAME);
	CHECK_RC(stoa_inspect_open(test_name("nothing"), 0, &inspector), -STOA_ENOENT);
	CHECK(strstr(stoa_error_detail(), test_name("nothing")) != NULL);
	CHECK_EQ(inspector, before);
	CHECK_RC(stoa_inspect_get(NULL, &inspection), -STOA_EINVAL);
	CHECK_EQ(inspection.kind, 77);
	CHECK_RC(stoa_inspect_member(NULL, 1, &member), -STOA_EINVAL);
	CHECK_EQ(member.slot, 77);
	CHECK_RC(stoa_inspect_descriptor(NULL), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_check(NULL, count, counts), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_capabilities(NULL), -STOA_EINVAL);
	stoa_inspect_close(NULL);
}

TEST(what_it_tells)
{
	struct stoa_segment_options options = {.commit = 12288, .roster_slots = 5};
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
	struct stoa_segment_stat stat;
	struct stoa_segment *segment;
	unsigned counts[2] = {0};
	size_t got;
	char byte;

	CHECK_RC(stoa_segment_create(test_name("x"), 1 << 20, &options, &segment), 0);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_get(inspector, &is), 0);
	CHECK_EQ(is.kind, STOA_KIND_DATA);
	CHECK_EQ(is.header, 0);
	CHECK_EQ(is.reserve, 1 << 20);
	CHECK_EQ(is.committed, 12288);
	CHECK_EQ(is.data_offset, 2 << 20);
	CHECK_EQ(is.length, (2 << 20) + 12288);
	CHECK_EQ(is.identity, stat.identity);
	CHECK_EQ(is.resident, stat.resident);
	CHECK_EQ(is.roster_slots, 5);
	CHECK_EQ(is.roster_alive, 0);
	CHECK_EQ(is.owner, os_user_id());
	CHECK_RC(stoa_inspect_check(inspector, count, counts), 0);
	CHECK_EQ(counts[STOA_DAMAGE], 0);
	/* The descriptor reads, and does not write. */
	CHECK_RC(os_memory_read(stoa_inspect_descriptor(inspector), 0, &byte, 1, &got), 0);
	CHECK_EQ(byte, 'S');
	CHECK_INT(os_memory_write(stoa_inspect_descriptor(inspector), 0, &byte, 1), <, 0);
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

static void take_part(void *argument)
{
	struct stoa_segment *segment;

	(void)argument;
	CHECK_RC(stoa_segment_open(test_name("x"), NULL, &segment), 0);
	CHECK_RC(stoa_mutex_lock(segment, stoa_segment_address(segment), STOA_FOREVER), 0);
	CHECK_RC(stoa_mutex_unlock(segment, stoa_segment_address(segment)), 0);
	_exit(0); /* without leaving: the kernel marks it */
}

TEST(members_come_and_go)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_inspector *inspector;
	struct stoa_segment *segment;
	struct stoa_member member = {0};
	unsigned counts[2] = {0};

	CHECK_RC(stoa_segment_create(test_name("x"), 1 << 20, &options, &segment), 0);
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_member(inspector, 1, &member), -STOA_ENOENT);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), 0), 0);
	CHECK_RC(stoa_mutex_lock(segment, stoa_segment_address(segment), STOA_FOREVER), 0);
	CHECK_RC(stoa_inspect_member(inspector, 0, &member), 0);
	CHECK_EQ(member.slot, 1);
	CHECK_EQ(member.generation, 1);
	CHECK_EQ(member.thread, os_thread_id());
	CHECK_RC(stoa_inspect_member(inspector, 2, &member), -STOA_ENOENT);
	CHECK_RC(stoa_mutex_unlock(segment, stoa_segment_address(segment)), 0);
	CHECK_EQ(test_join(test_role(take_part, NULL)), 0);
	CHECK_RC(stoa_inspect_member(inspector, 2, &member), 0);
	CHECK_EQ(member.slot, 2);
	CHECK_EQ(member.thread, 0); /* dead */
	CHECK_RC(stoa_inspect_check(inspector, count, counts), 0);
	CHECK_EQ(counts[STOA_DAMAGE], 0);
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

/* ---- another system's threads ---- */

/* Make the header say that it is the other kind of system's, which tells otherwise who lives. */
static void give_away(struct stoa_segment *segment)
{
	struct segment_header header;

	CHECK_RC(header_read(segment->memory, &header), 0);
	header.may_ignore ^= HEADER_LIVES_BY_NAME;
	header.check = header_check(&header);
	CHECK_RC(os_memory_write(segment->memory, 0, &header, sizeof(header)), 0);
}

static void lock_and_die(void *argument)
{
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;

	(void)argument;
	CHECK_INT(stoa_mutex_open(test_name("x"), NULL, &segment, &mutex), >=, 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	_exit(0);
}

static void expect_stranger(void *argument, int severity, const char *sentence)
{
	CHECK_EQ(severity, STOA_REMARK);
	CHECK(strstr(sentence, "cannot be told") != NULL);
	++*(unsigned *)argument;
}

/* Their words say what they said when they were last written: who looks from here neither believes nor mends them. */
TEST(another_systems_threads_are_neither_alive_nor_dead)
{
	const uint64_t stranger = UINT64_C(7) << 32 | 4242, place = 2 * OS_PAGE + OS_LIFE_OFFSET;
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;
	struct stoa_member member;
	unsigned told = 0;
	uint64_t word;
	size_t got;

	CHECK_INT(stoa_mutex_open(test_name("x"), NULL, &segment, &mutex), >=, 0);
	CHECK_EQ(test_join(test_role(lock_and_die, NULL)), 0);
	give_away(segment);
	CHECK_RC(os_memory_write(segment->memory, place, &stranger, sizeof(stranger)), 0);
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_get(inspector, &is), 0);
	CHECK_EQ(is.other_system, 1);
	CHECK_EQ(is.roster_alive, 0);
	CHECK_EQ(is.reserved, 0);
	CHECK_RC(stoa_inspect_member(inspector, 2, &member), 0);
	CHECK_EQ(member.slot, 2);
	CHECK_EQ(member.generation, 7);
	CHECK_EQ(member.thread, 4242);
	CHECK_RC(stoa_inspect_check(inspector, expect_stranger, &told), 0);
	CHECK_EQ(told, 1); /* and nothing of the mutex's owner */
	CHECK_RC(os_memory_read(segment->memory, place, &word, sizeof(word), &got), 0);
	CHECK_EQ(word, stranger);
	stoa_inspect_close(inspector);
	give_away(segment); /* ours again */
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_get(inspector, &is), 0);
	CHECK_EQ(is.other_system, 0);
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

/* ---- death ---- */

enum { MUTEX, EVENT, SEMAPHORE, THINGS };

/* One named object of each kind. */
struct things {
	struct stoa_segment *segments[THINGS];
	struct stoa_mutex *mutex;
	struct stoa_event *event;
	struct stoa_semaphore *semaphore;
};

static const char *const suffixes[THINGS] = {"mutex", "event", "semaphore"};

static void open_things(struct things *things)
{
	struct stoa_sync_options options = {.maximum = 3};

	CHECK_INT(stoa_mutex_open(test_name(suffixes[MUTEX]), &options, &things->segments[MUTEX], &things->mutex), >=,
		  0);
	CHECK_INT(stoa_event_open(test_name(suffixes[EVENT]), &options, &things->segments[EVENT], &things->event), >=,
		  0);
	CHECK_INT(stoa_semaphore_open(test_name(suffixes[SEMAPHORE]), &options, &things->segments[SEMAPHORE],
				      &things->semaphore),
		  >=, 0);
}

/* Everything that writes to roster pages and objects, for ever. */
static void toil(void *argument)
{
	struct things things;
	struct stoa_waitable set[THINGS];

	(void)argument;
	open_things(&things);
	set[0] = (struct stoa_waitable){things.segments[MUTEX], things.mutex, STOA_WAIT_MUTEX, 0};
	set[1] = (struct stoa_waitable){things.segments[EVENT], things.event, STOA_WAIT_EVENT, 0};
	set[2] = (struct stoa_waitable){things.segments[SEMAPHORE], things.semaphore, STOA_WAIT_SEMAPHORE, 0};
	for (;;) {
		int rc = stoa_wait_all(set, THINGS, stoa_deadline_in(1000000), NULL);

		CHECK_INT(rc, >=, 0);
		if (rc != STOA_TIMED_OUT)
			CHECK_RC(stoa_mutex_unlock(things.segments[MUTEX], things.mutex), 0);
		CHECK_RC(stoa_event_set(things.segments[EVENT], things.event), 0);
		rc = stoa_semaphore_post(things.segments[SEMAPHORE], things.semaphore, 1);
		CHECK(rc == 0 || rc == -STOA_EOVERFLOW);
	}
}

static void expect_no_damage(void *argument, int severity, const char *sentence)
{
	(void)argument;
	CHECK_STR(severity == STOA_DAMAGE ? sentence : "", "");
}

static void check_things(struct stoa_inspector *const inspectors[THINGS])
{
	for (int i = 0; i < THINGS; i++)
		CHECK_RC(stoa_inspect_check(inspectors[i], expect_no_damage, NULL), 0);
}

/* What a crash leaves, at whatever instruction, is never called damage; nor is what a check sees of live users. */
TEST_TIMEOUT(death_leaves_no_damage, 300)
{
	struct stoa_inspector *inspectors[THINGS];
	unsigned rounds = test_rounds(60 / test_start_cost, 1500);
	struct things things;
	uint64_t state = test_seed();

	open_things(&things);
	for (int i = 0; i < THINGS; i++)
		CHECK_RC(stoa_inspect_open(test_name(suffixes[i]), 0, &inspectors[i]), 0);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t roles[2] = {test_role(toil, NULL), test_role(toil, NULL)};

		usleep((useconds_t)(test_random(&state) % 10000));
		check_things(inspectors);
		test_kill(roles[0]);
		test_kill(roles[1]);
		check_things(inspectors);
	}
	for (int i = 0; i < THINGS; i++) {
		stoa_inspect_close(inspectors[i]);
		stoa_segment_close(things.segments[i]);
	}
}

/* Raw segments have no header of their own; a record beside the name says what they are. */
TEST(raw_segments)
{
	struct stoa_segment_options options = {.flags = STOA_RAW, .commit = 8192};
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
	struct stoa_segment *segment;
	unsigned counts[2] = {0};

	CHECK_RC(stoa_segment_create(test_name("raw"), 1 << 20, &options, &segment), 0);
	CHECK_RC(stoa_inspect_open(test_name("raw"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_get(inspector, &is), 0);
	CHECK_EQ(is.header, 0);
	CHECK_EQ(is.flags, STOA_RAW);
	CHECK_EQ(is.data_offset, 0);
	CHECK_EQ(is.committed, 8192);
	CHECK_EQ(is.roster_slots, 0);
	CHECK_RC(stoa_inspect_check(inspector, count, counts), 0);
	CHECK_EQ(counts[STOA_REMARK], 1);
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

/* The last user removes a transient name; who looks keeps the memory, and can go on. */
TEST(an_inspector_is_no_user)
{
	struct stoa_segment_options options = {.commit = 8192};
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(test_name("x"), 1 << 20, &options, &segment), 0);
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	stoa_segment_close(segment);
	CHECK_RC(stoa_segment_open(test_name("x"), NULL, &segment), -STOA_ENOENT);
	CHECK_RC(stoa_inspect_get(inspector, &is), 0);
	CHECK_EQ(is.committed, 8192);
	CHECK_EQ(is.left, 0);
	stoa_inspect_close(inspector);
}

TEST(capabilities_are_tried)
{
	struct stoa_capabilities found;
	struct stoa_capabilities again;

	memset(&found, 0xff, sizeof(found));
	CHECK_RC(stoa_inspect_capabilities(&found), 0);
	CHECK_RC(stoa_inspect_capabilities(&again), 0);
	CHECK_EQ(found.life_words, 1); /* nothing of roster and sync works without */
	CHECK_EQ(found.waits_on_many, again.waits_on_many);
	CHECK_INT(found.relays_wakes, <=, 1);
}

/* Programs that trim memory ask beforehand: what is refused is refused whole. */
TEST(memory_is_given_back_where_the_capability_says_so)
{
	struct stoa_segment_options options = {.commit = 8192}, shrinkable = {.commit = 8192, .flags = STOA_SHRINKABLE};
	struct stoa_capabilities found;
	struct stoa_segment *segment;
	unsigned char *bytes;
	int rc;

	CHECK_RC(stoa_inspect_capabilities(&found), 0);
	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &options, &segment), 0);
	bytes = stoa_segment_address(segment);
	memset(bytes, 7, 8192);
	CHECK_RC(stoa_segment_discard(segment, 4096, 4096), found.gives_back ? 0 : -STOA_ENOTSUP);
	CHECK_RC(stoa_segment_recommit(segment, 4096, 4096), 0);
	CHECK_EQ(bytes[4095], 7);
	CHECK_EQ(bytes[4096], found.gives_back ? 0 : 7);
	CHECK_EQ(stoa_segment_committed(segment), 8192);
	stoa_segment_close(segment);
	rc = stoa_segment_create(NULL, 1 << 20, &shrinkable, &segment);
	CHECK_EQ(rc, found.gives_back ? 0 : -STOA_ENOTSUP);
	if (rc < 0)
		return;
	CHECK_RC(stoa_segment_shrink(segment, 4096), 0);
	CHECK_EQ(stoa_segment_committed(segment), 4096);
	stoa_segment_close(segment);
}
