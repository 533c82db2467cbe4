/* SPDX-License-Identifier: MIT */
/*
 * Two ways in which programs use segments, told whole and taken by the letter: memory of variable size seen by many
 * processes, and the ways in which processes come to share one.
 */
#include <segment/linux.h>

#include <sys/socket.h>

#define RESERVE (200 * GIB)

struct stage {
	char name[128];
	_Atomic uint32_t step;    /* what is to be done next */
	_Atomic uint32_t done[4]; /* by each role */
};
static struct stage *stage;
static unsigned part;

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

static uint64_t page_tables(void)
{
	char line[256];
	unsigned long long kib = 0;
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		(void)sscanf(line, "VmPTE: %llu", &kib);
	if (status)
		fclose(status);
	return kib * 1024;
}

/* One of four processes: it makes no stoa call after opening, but for the one whose turn it is. */
static void share_variable_memory(void *argument)
{
	struct stoa_segment *segment;
	unsigned char *data;

	part = (unsigned)(uintptr_t)argument;
	CHECK_RC(stoa_segment_open(stage->name, NULL, &segment), 0);
	data = bytes_of(segment);
	wait_step(1); /* nothing is committed: touching faults, everywhere */
	CHECK_EQ(probe_byte(data, false), SIGBUS);
	CHECK_EQ(probe_byte(data + RESERVE - 1, true), SIGBUS);
	step_done(1);
	wait_step(2); /* one has committed three pages; all have exactly those */
	data[part] = (unsigned char)(part + 1);
	CHECK_EQ(touch(data + 3 * PAGE - 1), 0);
	CHECK_EQ(touch(data + 3 * PAGE), SIGBUS);
	step_done(2);
	wait_step(3); /* what was written is there; a smaller commit changes nothing */
	for (unsigned i = 0; i < CC_COUNT(stage->done); i++)
		CHECK_EQ(data[i], i + 1);
	CHECK_RC(stoa_segment_commit(segment, PAGE * (part % 3)), 0);
	CHECK_EQ(touch(data + 3 * PAGE - 1), 0);
	CHECK_EQ(touch(data + 3 * PAGE), SIGBUS);
	step_done(3);
	wait_step(4); /* each commits something else; the furthest counts */
	CHECK_RC(stoa_segment_commit(segment, MIB * (part + 1)), 0);
	step_done(4);
	wait_step(5);
	CHECK_EQ(touch(data + 4 * MIB - 1), 0);
	CHECK_EQ(touch(data + 4 * MIB), SIGBUS);
	CHECK_EQ(stoa_segment_committed(segment), 4 * MIB);
	step_done(5);
	stoa_segment_close(segment);
}

TEST(r1_memory_of_variable_size)
{
	struct stoa_segment *segment;
	uint64_t tables = page_tables();
	pid_t roles[4];

	stage = test_shared(sizeof(*stage));
	snprintf(stage->name, sizeof(stage->name), "%s", test_name("r1"));
	CHECK_RC(stoa_segment_create(stage->name, RESERVE, NULL, &segment), 0);
	CHECK_INT(blocks(segment), ==, PAGE);
	CHECK_INT(page_tables() - tables, <=, MIB); /* for 200 GiB that nobody uses */
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(share_variable_memory, (void *)(uintptr_t)i);
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
	CHECK_RC(stoa_segment_discard(segment, MIB, 3 * MIB), 0);
	CHECK_EQ(blocks(segment), MIB + PAGE);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	stoa_segment_close(segment);
	munmap(stage, sizeof(*stage));
}

static void child_of(void *segment)
{
	bytes_of(segment)[0]++;
	CHECK_RC(stoa_segment_commit(segment, 4 * PAGE), 0);
	bytes_of(segment)[3 * PAGE] = 33;
}

TEST(r4_parent_and_child)
{
	struct stoa_segment_options options = {.commit = 1};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	bytes_of(segment)[0] = 1;
	CHECK_EQ(test_join(test_role(child_of, segment)), 0);
	CHECK_EQ(bytes_of(segment)[0], 2);
	CHECK_EQ(bytes_of(segment)[3 * PAGE], 33); /* what the child committed, the parent can use */
	stoa_segment_close(segment);
}

static int sockets[2];

static void one_sibling(void *argument)
{
	struct stoa_segment_options options = {.commit = 1};
	struct stoa_segment *segment;

	(void)argument;
	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	memcpy(bytes_of(segment), "from one", 9);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, sockets[0]), 0);
	stoa_segment_close(segment);
}

static void other_sibling(void *argument)
{
	struct stoa_segment *segment;
	uint32_t sender;

	(void)argument;
	CHECK_RC(stoa_segment_receive_with_socket(sockets[1], &segment, &sender), 0);
	CHECK_EQ(sender, geteuid());
	CHECK_STR((const char *)bytes_of(segment), "from one");
	stoa_segment_close(segment);
}

TEST(r4_siblings)
{
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	CHECK_EQ(test_join(test_role(one_sibling, NULL)), 0); /* it is gone before the other begins */
	CHECK_EQ(test_join(test_role(other_sibling, NULL)), 0);
	close(sockets[0]);
	close(sockets[1]);
}

static void producer(void *argument)
{
	struct stoa_segment_options options = {.flags = STOA_PERSISTENT, .commit = 1};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(argument, GIB, &options, &segment), 0);
	memcpy(bytes_of(segment), "produced", 9);
	stoa_segment_close(segment);
}

static void consumer(void *argument)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_open(argument, NULL, &segment), 0);
	CHECK_RC(stoa_segment_unlink(argument, 0), 0);
	CHECK_STR((const char *)bytes_of(segment), "produced");
	stoa_segment_close(segment);
}

TEST(r4_strangers_by_name)
{
	struct stoa_segment *segment = NULL;
	char name[128];

	snprintf(name, sizeof(name), "%s", test_name("r4"));
	CHECK_EQ(test_join(test_role(producer, name)), 0);
	CHECK_EQ(test_join(test_role(consumer, name)), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
}

static void write_to_file(void *segment)
{
	memcpy(bytes_of(segment) + PAGE, "by the child", 13);
}

TEST(r4_unlinked_temporary_file)
{
	struct stoa_segment_options options = {.commit = 2 * PAGE};
	struct stoa_segment *segment;
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/tmpXXXXXX", test_dir());
	fd = mkstemp(path);
	CHECK_SYS(fd);
	CHECK_SYS(unlink(path));
	CHECK_RC(stoa_segment_take_descriptor(fd, MIB, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, options.commit), 0);
	CHECK_EQ(test_join(test_role(write_to_file, segment)), 0);
	CHECK_STR((const char *)bytes_of(segment) + PAGE, "by the child");
	stoa_segment_close(segment);

	CHECK_SYS(close(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
	CHECK_RC(stoa_segment_file(path, MIB, &options, &segment), 0);
	CHECK_SYS(unlink(path));
	CHECK_EQ(test_join(test_role(write_to_file, segment)), 0);
	CHECK_STR((const char *)bytes_of(segment) + PAGE, "by the child");
	stoa_segment_close(segment);
}
