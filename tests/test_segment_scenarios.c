/* SPDX-License-Identifier: MIT */
/*
 * Two ways in which programs use segments, told whole and taken by the letter: memory of variable size seen by many
 * processes, and the ways in which processes come to share one.
 */
#include <segment/common.h>

#define RESERVE (200 * GIB)

struct stage {
	_Atomic uint32_t step;    /* what is to be done next */
	_Atomic uint32_t done[4]; /* by each role */
};
static struct stage *stage;
static unsigned part;

struct actor {
	struct stage *stage;
	unsigned part;
};

static void wait_step(uint32_t step)
{
	test_await(&stage->step, step);
}

static void step_done(uint32_t step)
{
	atomic_store(&stage->done[part], step);
}

static void all_do(uint32_t step)
{
	atomic_store(&stage->step, step);
	for (size_t i = 0; i < CC_COUNT(stage->done); i++)
		test_await(&stage->done[i], step);
}

/* One of four processes: it makes no stoa call after opening, but for the one whose turn it is. */
static void share_variable_memory(void *argument)
{
	const struct actor *actor = argument;
	struct stoa_segment *segment;
	unsigned char *data;

	stage = actor->stage;
	part = actor->part;
	CHECK_RC(stoa_segment_open(test_name("r1"), NULL, &segment), 0);
	data = bytes_of(segment);
	wait_step(1); /* nothing is committed: touching faults, everywhere */
	CHECK_EQ(probe_byte(data, false), ABSENT);
	CHECK_EQ(probe_byte(data + RESERVE - 1, true), ABSENT);
	step_done(1);
	wait_step(2); /* one has committed three pages; all have exactly those */
	data[part] = (unsigned char)(part + 1);
	CHECK_EQ(touch(data + 3 * PAGE - 1), 0);
	CHECK_EQ(touch(data + 3 * PAGE), ABSENT);
	step_done(2);
	wait_step(3); /* what was written is there; a smaller commit changes nothing */
	for (unsigned i = 0; i < CC_COUNT(stage->done); i++)
		CHECK_EQ(data[i], i + 1);
	CHECK_RC(stoa_segment_commit(segment, PAGE * (part % 3)), 0);
	CHECK_EQ(touch(data + 3 * PAGE - 1), 0);
	CHECK_EQ(touch(data + 3 * PAGE), ABSENT);
	step_done(3);
	wait_step(4); /* each commits something else; the furthest counts */
	CHECK_RC(stoa_segment_commit(segment, MIB * (part + 1)), 0);
	step_done(4);
	wait_step(5);
	CHECK_EQ(touch(data + 4 * MIB - 1), 0);
	CHECK_EQ(touch(data + 4 * MIB), ABSENT);
	CHECK_EQ(stoa_segment_committed(segment), 4 * MIB);
	step_done(5);
	stoa_segment_close(segment);
}

TEST(r1_memory_of_variable_size)
{
	struct stoa_segment *segment;
	uint64_t tables = page_table_bytes();
	struct actor *actors;
	pid_t roles[4];

	stage = test_shared(sizeof(*stage));
	actors = test_shared(sizeof(*actors) * CC_COUNT(roles));
	CHECK_RC(stoa_segment_create(test_name("r1"), RESERVE, NULL, &segment), 0);
	CHECK_INT(blocks(segment), ==, PAGE);
	CHECK_INT(page_table_bytes() - tables, <=, MIB); /* for 200 GiB that nobody uses */
	for (unsigned i = 0; i < CC_COUNT(roles); i++) {
		actors[i] = (struct actor){stage, i};
		roles[i] = test_role(share_variable_memory, &actors[i]);
	}
	all_do(1);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE + 1), 0);
	CHECK_EQ(blocks(segment), 4 * PAGE); /* three of data and the header */
	all_do(2);
	all_do(3);
	CHECK_EQ(blocks(segment), 4 * PAGE);
	all_do(4);
	all_do(5);
	CHECK_EQ(blocks(segment), 4 * MIB + PAGE);
	CHECK_RC(stoa_segment_commit(segment, RESERVE), -STOA_ENOMEM);
	CHECK_EQ(stoa_segment_committed(segment), 4 * MIB);
	CHECK_RC(stoa_segment_discard(segment, MIB, 3 * MIB), gives_back ? 0 : -STOA_ENOTSUP);
	CHECK_EQ(blocks(segment), (gives_back ? MIB : 4 * MIB) + PAGE);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	stoa_segment_close(segment);
}

static struct stoa_segment *inherited;

static void child_of(void *argument)
{
	(void)argument;
	bytes_of(inherited)[0]++;
	CHECK_RC(stoa_segment_commit(inherited, 4 * PAGE), 0);
	bytes_of(inherited)[3 * PAGE] = 33;
}

TEST(r4_parent_and_child)
{
	struct stoa_segment_options options = {.commit = 1};

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &inherited), 0);
	test_share(&inherited, NULL);
	bytes_of(inherited)[0] = 1;
	CHECK_EQ(test_join(test_role(child_of, NULL)), 0);
	CHECK_EQ(bytes_of(inherited)[0], 2);
	CHECK_EQ(bytes_of(inherited)[3 * PAGE], 33); /* what the child committed, the parent can use */
	stoa_segment_close(inherited);
}

static void producer(void *argument)
{
	_Atomic uint32_t *step = argument;
	struct stoa_segment_options options = {.commit = 1};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(test_name("r4"), GIB, &options, &segment), 0);
	memcpy(bytes_of(segment), "produced", 9);
	atomic_store(step, 1);
	test_await(step, 2);
	stoa_segment_close(segment);
}

static void consumer(void *argument)
{
	_Atomic uint32_t *step = argument;
	struct stoa_segment *segment;

	test_await(step, 1);
	CHECK_RC(stoa_segment_open(test_name("r4"), NULL, &segment), 0);
	atomic_store(step, 2);
	CHECK_STR((const char *)bytes_of(segment), "produced");
	stoa_segment_close(segment);
}

TEST(r4_strangers_by_name)
{
	_Atomic uint32_t *step = test_shared(sizeof(*step));
	pid_t one = test_role(producer, (void *)step), other = test_role(consumer, (void *)step);
	struct stoa_segment *segment = NULL;

	CHECK_EQ(test_join(one), 0);
	CHECK_EQ(test_join(other), 0);
	CHECK_RC(stoa_segment_open(test_name("r4"), NULL, &segment), -STOA_ENOENT);
}
