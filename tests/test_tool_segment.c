/* SPDX-License-Identifier: MIT */
/*
 * The tool's commands on named objects: create, commit, ls, stat, map, check, rm, gc; in order, in use, damaged. On every system: the
 * objects are this process's own, so they need no names that outlive their users.
 */
#include <harness/test.h>

#include "tool/run.h"

#include <os/os.h>
#include <segment/segment.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define DATA_OFFSET (4 << 20) /* of a segment with 1023 slots */

/* One GiB, of which the first MiB is committed. */
static struct stoa_segment *make(const char *name)
{
	struct stoa_segment_options options = {.commit = 1 << 20};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, 1 << 30, &options, &segment), 0);
	return segment;
}

/* The tool must stand whatever it finds. */
static void scribble(struct stoa_segment *segment, uint64_t offset, const void *bytes, size_t length)
{
	CHECK_RC(os_memory_write(segment->memory, offset, bytes, length), 0);
}

static int status_of(const char *command, const char *name)
{
	return run_stoa(command, name, NULL)->status;
}

/* ---- create, commit, rm ---- */

TEST(create_needs_a_size)
{
	char expected[300];
	const char *name = test_name("x");
	const struct run *run = run_stoa("create", name, "--reserve", "0", NULL);

	snprintf(expected, sizeof(expected), "stoa: segment '%s': reserve 0 is not a size; use e.g. 1GiB\n", name);
	CHECK_EQ(run->status, 2);
	CHECK_STR(run->err, expected);
	CHECK_EQ(run_stoa("create", name, NULL)->status, 2);
	CHECK_EQ(run_stoa("create", name, "--reserve", "much", NULL)->status, 2);
	CHECK_EQ(run_stoa("create", "a\033b", "--reserve", "1MiB", NULL)->status, 2);
	CHECK_EQ(strchr(run_stoa("create", "a\033b", "--reserve", "1MiB", NULL)->err, '\033'), NULL);
}

/* Each sentence names the segment, in sizes as people write them; what is wrong on every system is misuse. */
TEST(errors_name_the_segment)
{
	static const struct {
		const char *words[6];
		int status;
		const char *sentence;
	} cases[] = {
		{{"create", "x", "--reserve", "999TiB"},
		 2,
		 "'x': reserve 999TiB is more than a segment can have; use at most 1TiB"},
		{{"create", "x", "--reserve=1GiB", "--commit", "2GiB"},
		 2,
		 "'x': commit 2GiB is more than the reserve, 1GiB; use e.g. --reserve 2GiB"},
		{{"create", "x", "--reserve=1GiB", "--slots", "4000000000"},
		 2,
		 "'x': slots 4000000000 is not 1 to 16383; use e.g. 1023"},
		{{"create", "x", "--reserve=1GiB", "--slots", "99999999999"},
		 2,
		 "'x': slots 99999999999 is not 1 to 16383; use e.g. 1023"},
		{{"create", "x", "--reserve=1GiB", "--slots=0"}, 2, "'x': slots 0 is not 1 to 16383; use e.g. 1023"},
		{{"create", "x", "--reserve=1GiB", "--huge", "perhaps"},
		 2,
		 "'x': huge perhaps is none of auto, never, require"},
		{{"create", "x", "--reserve=1GiB", "--raw", "--world-readable"},
		 2,
		 "'x': a raw segment cannot be world-readable: other users could not learn its reserve"},
		{{"create", "", "--reserve=1GiB", "--hold"}, 2, "'': the name is empty"},
		{{"create", "a/b", "--reserve=1GiB", "--hold"}, 2, "'a/b': the name has a '/'"},
		{{"rm", "a/b"}, 2, "'a/b': the name has a '/'"},
		{{"rm", "no such"}, 1, "'no such': nothing has that name"},
		{{"stat", "no such"}, 1, "'no such': nothing has that name"},
		{{"map", "no such"}, 1, "'no such': nothing has that name"},
		{{"check", "no such"}, 1, "'no such': nothing has that name"},
		{{"commit", "no such", "1MiB"}, 1, "'no such': nothing has that name"},
	};

	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		const char *const *w = cases[i].words;
		const struct run *run = run_stoa(w[0], w[1], w[2], w[3], w[4], NULL);
		char expected[200];

		snprintf(expected, sizeof(expected), "stoa: segment %s\n", cases[i].sentence);
		CHECK_STR(run->err, expected);
		CHECK_EQ(run->status, cases[i].status);
	}
}

TEST(making_growing_and_removing)
{
	const char *name = test_name("x");
	struct stoa_segment *segment;
	const struct run *run = run_stoa("create", name, "--reserve", "1GiB", "-c", "1MiB", "--hold", "--json", NULL);

	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, "\",\"reserve\":1073741824,\"committed\":1048576,\"flags\":[]}\n");
	CHECK_EQ(status_of("stat", name), 1); /* its input ended */
	segment = make(name);
	run = run_stoa("create", name, "--reserve", "1GiB", "--hold", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "it exists and is in use");
	CHECK_EQ(run_stoa("commit", name, "2MiB", NULL)->status, 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 << 20);
	memset(stoa_segment_address(segment), 1, 2 << 20);
	CHECK_EQ(run_stoa("commit", name, "1MiB", NULL)->status, 0); /* changes nothing */
	run = run_stoa("commit", "--json", name, "3MiB", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out, "\",\"committed\":3145728}\n");
	run = run_stoa("commit", "--json", name, "2GiB", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_STR(run->out, "");
	CHECK_HAS(run->err, "commit 2GiB is more than its reserve, 1GiB");
	run = run_stoa("rm", "--json", name, "no such", NULL);
	CHECK_EQ(run->status, 1);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, name), "\"removed\":true");
	CHECK_HAS(line_with(run->out, "no such"), "\"removed\":false");
	CHECK_EQ(status_of("stat", name), 1);
	CHECK_EQ(status_of("rm", name), 1);
	run = run_stoa("rm", "-f", "--json", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "\"removed\":false");
	stoa_segment_close(segment);
}

/* Each flag by its name; a name of the host is not one of this user. */
TEST(flags_are_told)
{
	static const char *const words[][2] = {
		{"--raw", "[\"raw\"]"},
		{"--executable", "[\"executable\"]"},
		{"--global", "[\"global\"]"},
		{"--world-readable", "[\"global\",\"world-readable\"]"},
	};

	for (size_t i = 0; i < CC_COUNT(words); i++) {
		const struct run *run =
			run_stoa("create", test_name("x"), "-r1MiB", "--hold", "--json", words[i][0], NULL);

		CHECK_STR(run->err, "");
		CHECK_EQ(run->status, 0);
		CHECK_HAS(run->out, words[i][1]);
	}
}

TEST(names_of_the_host_are_asked_for)
{
	const char *name = test_name("host");
	struct stoa_segment_options options = {.flags = STOA_GLOBAL};
	struct stoa_segment *segment;
	static const char *const looks[] = {"stat", "map", "check", "rm"};

	CHECK_RC(stoa_segment_create(name, 1 << 20, &options, &segment), 0);
	CHECK_EQ(line_with(run_stoa("ls", NULL)->out, name), NULL);
	CHECK_HAS(line_with(run_stoa("ls", "-g", NULL)->out, name), "global");
	for (size_t i = 0; i < CC_COUNT(looks); i++) {
		CHECK_EQ(status_of(looks[i], name), 1);
		CHECK_EQ(run_stoa(looks[i], "--global", name, NULL)->status, 0);
	}
	stoa_segment_close(segment);
}

TEST(blanks_around_a_name_are_shown)
{
	char name[300];
	struct stoa_segment *segment;

	snprintf(name, sizeof(name), " %s ", test_name("blank"));
	segment = make(name);
	snprintf(name, sizeof(name), "\\x20%s\\x20  segment ", test_name("blank"));
	CHECK(line_with(run_stoa("ls", NULL)->out, name) != NULL);
	stoa_segment_close(segment);
}

/* ---- looking ---- */

TEST(ls_lists_what_is_used)
{
	const char *name = test_name("x");
	struct stoa_segment *segment = make(name);
	const struct run *run = run_stoa("ls", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, name), "1GiB");
	CHECK_HAS(line_with(run->out, name), "1MiB");
	CHECK_HAS(line_with(run->out, name), " used ");
	run = run_stoa("ls", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, name), "\"kind\":\"segment\",\"state\":\"used\",\"owner\":");
	CHECK_HAS(line_with(run->out, name), "\"reserve\":1073741824,\"committed\":1048576,\"resident\":");
	CHECK_EQ(run_stoa("ls", "--files", NULL)->status, 2);
	stoa_segment_close(segment);
	CHECK_EQ(line_with(run_stoa("ls", NULL)->out, name), NULL);
	CHECK_HAS(run_stoa("gc", NULL)->out, " removed\n");
	check_json(run_stoa("gc", "--json", NULL)->out);
}

/* Under the name that the system has for it, with its full length where that is reserved; and it is used. */
TEST(ls_all_lists_it_too)
{
	const char *name = test_name("everywhere");
	struct stoa_segment *segment = make(name);
	const struct run *run = run_stoa("ls", "--all", "--json", NULL);

	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, name), "\"orphaned\":false");
	CHECK_HAS(line_with(run_stoa("ls", "-a", NULL)->out, name), "used");
	CHECK_EQ(line_with(run_stoa("ls", "-a", "-o", "--json", NULL)->out, name), NULL);
	stoa_segment_close(segment);
	CHECK_EQ(line_with(run_stoa("ls", "--all", NULL)->out, name), NULL);
}

TEST(stat_tells_sizes_and_threads)
{
	char text[64];
	const char *name = test_name("stat");
	struct stoa_segment *segment = make(name);
	const struct run *run;

	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), STOA_OWNED), 0);
	run = run_stoa("stat", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, "reserve "), "1GiB (1073741824 bytes)");
	CHECK_HAS(line_with(run->out, "committed "), "1MiB (1048576 bytes)");
	CHECK_HAS(line_with(run->out, "roster "), "1023 slots, 1 thread takes part");
	snprintf(text, sizeof(text), "thread %u", (unsigned)os_thread_id());
	CHECK_HAS(run->out, text);
	run = run_stoa("stat", "--json", name, name, NULL);
	check_json(run->out);
	CHECK_HAS(run->out, "\"roster_slots\":1023");
	CHECK_HAS(run->out, "\"header\":\"STOA_OK\"");
	CHECK_RC(stoa_mutex_unlock(segment, stoa_segment_address(segment)), 0);
	stoa_segment_close(segment);
}

TEST(map_draws_the_pages)
{
	const char *name = test_name("map");
	struct stoa_segment *segment = make(name);
	const struct run *run;

	memset(stoa_segment_address(segment), 1, 1 << 20);
	run = run_stoa("map", name, "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_HAS(run->out,
		  "\"part\":\"header\",\"offset\":0,\"length\":4096,\"object_offset\":0,\"state\":\"resident\"");
	CHECK_HAS(run->out, "\"part\":\"data\",\"offset\":0,\"length\":1048576,");
	CHECK_HAS(line_with(run->out, "\"part\":\"data\""), "\"backed\":1048576");
	CHECK_HAS(run->out, "\"part\":\"reserve\",\"offset\":1048576,\"length\":1072693248,");
	run = run_stoa("map", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "1GiB reserved, 1MiB committed");
	if (!strchr(run->out, 'H')) /* a huge page has cells of its own */
		CHECK_HAS(run->out, "data            0 ################################\n");
	CHECK_EQ(run_stoa("map", name, "--lines", "2", NULL)->status, 0);
	CHECK_EQ(run_stoa("map", name, "--lines", "0", NULL)->status, 2);
	CHECK_EQ(run_stoa("map", name, name, NULL)->status, 2);
	stoa_segment_close(segment);
}

/* Looking makes no page. */
TEST(looking_changes_nothing)
{
	static const char *const looks[] = {"map", "stat", "check"};
	const char *name = test_name("look");
	struct stoa_segment *segment = make(name);
	struct stoa_segment_stat before;
	struct stoa_segment_stat after;

	CHECK_RC(stoa_segment_stat(segment, &before), 0);
	for (size_t i = 0; i < CC_COUNT(looks); i++)
		CHECK_EQ(status_of(looks[i], name), 0);
	CHECK_EQ(run_stoa("ls", NULL)->status, 0);
	CHECK_RC(stoa_segment_stat(segment, &after), 0);
	CHECK_EQ(before.resident, after.resident);
	CHECK_EQ(before.committed, after.committed);
	stoa_segment_close(segment);
}

/* ---- check ---- */

TEST(check_finds_a_damaged_header)
{
	const char *name = test_name("header");
	struct stoa_segment *segment = make(name);
	const struct run *run = run_stoa("check", name, NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, ": in order\n");
	scribble(segment, 40, "\xff\xff", 2);
	run = run_stoa("check", name, NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, "damage: header:");
	run = run_stoa("check", "--json", name, NULL);
	CHECK_EQ(run->status, 3);
	check_json(run->out);
	CHECK_HAS(run->out, "\"damages\":1");
	/* The others live with it. */
	CHECK_HAS(line_with(run_stoa("ls", NULL)->out, name), "damaged");
	CHECK_HAS(run_stoa("stat", name, NULL)->out, "STOA_EFORMAT");
	CHECK_EQ(status_of("map", name), 0);
	CHECK_EQ(run_stoa("commit", name, "2MiB", NULL)->status, 1);
	CHECK_EQ(status_of("rm", name), 0);
	stoa_segment_close(segment);
}

TEST(check_finds_what_nobody_writes)
{
	static const struct {
		uint64_t offset;
		const char *bytes;
		size_t length;
		const char *finding;
	} damages[] = {
		{200, "x", 1, "header: byte 200 is not used"},
		{4096 + 0, "\7", 1, "slot 1: claim state 7"},
		{4096 * 9 + 8 + 8, "\4", 1, "slot 9: it claims an object at offset 3"},
		{4096 * 3 + 2000, "x", 1, "slot 3: byte 2000 is not used"},
		{4096 * 5 + 4072, "\1\0\0\0\0\0\0\0", 8, "slot 5: thread 1 has generation 0"},
		{4096 * 6 + 4072, "\1\0\0\x40\1\0\0\0", 8, "slot 6: thread 1 is there and dead at once"},
		{4096 * 1023 + 4090, "x", 1, "slot 1023: byte 4090 is not used"},
	};
	const char *name = test_name("odd");
	struct stoa_segment *segment = make(name);

	for (size_t i = 0; i < CC_COUNT(damages); i++) {
		char zeros[8] = {0};
		const struct run *run;

		scribble(segment, damages[i].offset, damages[i].bytes, damages[i].length);
		run = run_stoa("check", name, NULL);
		CHECK_EQ(run->status, 3);
		CHECK_HAS(run->out, damages[i].finding);
		CHECK_HAS(run->out, ": 1 damage.");
		scribble(segment, damages[i].offset, zeros, damages[i].length);
		CHECK_EQ(status_of("check", name), 0);
	}
	stoa_segment_close(segment);
}

TEST(check_looks_into_named_objects)
{
	struct stoa_sync_options options = {.maximum = 3, .initial = 2};
	const char *name = test_name("semaphore");
	struct stoa_segment *segment;
	struct stoa_semaphore *semaphore;
	const struct run *run;

	CHECK_RC(stoa_semaphore_open(name, &options, &segment, &semaphore), 0);
	CHECK_EQ(status_of("check", name), 0);
	CHECK_HAS(line_with(run_stoa("ls", NULL)->out, name), "semaphore");
	semaphore->opaque[0] = UINT64_C(200) << 40 | UINT64_C(1) << 30;
	run = run_stoa("check", name, NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, "its count 200 is above its maximum 3");
	semaphore->opaque[0] = UINT64_C(2) << 40;
	CHECK_HAS(run_stoa("check", name, NULL)->out, "available and unavailable at once");
	semaphore->opaque[0] = UINT64_C(2) << 40 | 16000;
	CHECK_HAS(run_stoa("check", name, NULL)->out, "roster slot 16000, which does not exist");
	semaphore->opaque[1] = 1;
	CHECK_HAS(run_stoa("check", name, NULL)->out, "its mark is 00000001");
	stoa_segment_close(segment);
}

/* Several names: the worst counts, and damage is told from what cannot be read. */
TEST(check_tells_damage_from_absence)
{
	const char *name = test_name("worst");
	struct stoa_segment *segment = make(name);

	CHECK_EQ(status_of("check", name), 0);
	CHECK_EQ(run_stoa("check", "no such", name, NULL)->status, 1);
	scribble(segment, 200, "x", 1);
	CHECK_EQ(run_stoa("check", "no such", name, NULL)->status, 3);
	CHECK_EQ(run_stoa("check", name, "no such", NULL)->status, 3);
	CHECK_EQ(run_stoa("check", "a/b", NULL)->status, 2);
	stoa_segment_close(segment);
}

/* An event that was set while somebody claims it counts two: in order, and only then. */
TEST(check_knows_a_set_beside_a_claim)
{
	const char *name = test_name("event");
	struct stoa_segment *segment;
	struct stoa_event *event;

	CHECK_RC(stoa_event_open(name, NULL, &segment, &event), 0);
	event->opaque[0] = UINT64_C(2) << 40 | 1 << 14 | 1;
	CHECK_EQ(run_stoa("check", name, NULL)->status, 0);
	event->opaque[0] = UINT64_C(2) << 40 | 1 << 30;
	CHECK_HAS(run_stoa("check", name, NULL)->out, "its count 2 is above its maximum 1");
	stoa_segment_close(segment);
}

static void die_with_the_lock(void *argument)
{
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;

	(void)argument;
	CHECK_RC(stoa_mutex_open(test_name("mutex"), NULL, &segment, &mutex), STOA_EXISTED);
	CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	_exit(0);
}

/* A dead owner is no damage: that is what the mutex is for. */
TEST(check_remarks_a_dead_owner)
{
	const char *name = test_name("mutex");
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;
	const struct run *run;

	CHECK_RC(stoa_mutex_open(name, NULL, &segment, &mutex), 0);
	CHECK_EQ(test_join(test_role(die_with_the_lock, NULL)), 0);
	run = run_stoa("check", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "remark: mutex: its owner is dead");
	CHECK_STR(run_stoa("check", "--quiet", name, NULL)->out, "");
	stoa_segment_close(segment);
}

/* Random bytes all over the object: told, and nothing worse. */
TEST_TIMEOUT(looking_at_random_bytes, 60)
{
	const char *name = test_name("random");
	struct stoa_segment *segment = make(name);
	uint64_t state = test_seed();
	unsigned rounds = test_rounds(10, 300);

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t words[64];
		int status;

		for (size_t k = 0; k < CC_COUNT(words); k++)
			words[k] = test_random(&state);
		scribble(segment, test_random(&state) % (DATA_OFFSET / 8) * 8, words, sizeof(words));
		status = status_of("check", name);
		CHECK(status == 0 || status == 3);
		CHECK_EQ(status_of("stat", name), 0);
		CHECK_EQ(status_of("map", name), 0);
	}
	CHECK_EQ(status_of("check", name), 3);
	CHECK_EQ(status_of("rm", name), 0);
	stoa_segment_close(segment);
}
