/* SPDX-License-Identifier: MIT */
/* As test_segment_scenarios.c, by ways that other systems have not: socket pairs, names that outlive their users, files without a name. */
#include <segment/linux.h>

#include <sys/socket.h>

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

TEST(r4_strangers_by_persistent_name)
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
