/* SPDX-License-Identifier: MIT */
/*
 * As test_segment_transfer.c, by what Linux alone has: other users, seals, datagrams, several descriptors in a message, memory that
 * its maker can cut.
 */
#include <segment/channel.h>
#include <segment/linux.h>

#include <sys/resource.h>
#include <sys/socket.h>

static struct stoa_segment *make(uint64_t commit)
{
	struct stoa_segment_options options = {.commit = commit};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	return segment;
}

static int other_end; /* of the socket that a role uses */

static void socket_pair(int type, int *ret_ends)
{
	CHECK_SYS(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_ends));
	other_end = ret_ends[1];
}

static struct stoa_segment *receive(uint32_t sender)
{
	struct stoa_segment *segment;
	uint32_t from;

	CHECK_RC(stoa_segment_receive_with_socket(other_end, &segment, &from), 0);
	CHECK_EQ(from, sender);
	CHECK_EQ(fcntl((int)segment->memory, F_GETFD), FD_CLOEXEC);
	return segment;
}

static void add_and_commit(void *argument)
{
	struct stoa_segment *segment = receive(geteuid());

	(void)argument;
	CHECK_EQ(stoa_segment_reserve(segment), GIB);
	CHECK_EQ(bytes_of(segment)[0], 1);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE), 0);
	bytes_of(segment)[2 * PAGE] = 2;
	stoa_segment_close(segment);
}

TEST(sent_over_datagrams_and_pairs)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET};

	for (size_t i = 0; i < CC_COUNT(types); i++) {
		struct stoa_segment *segment = make(PAGE);
		int ends[2];
		pid_t role;

		socket_pair(types[i], ends);
		bytes_of(segment)[0] = 1;
		role = test_role(add_and_commit, NULL);
		CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, ends[0]), 0);
		CHECK_EQ(test_join(role), 0);
		CHECK_EQ(bytes_of(segment)[2 * PAGE], 2);
		close(ends[0]);
		close(ends[1]);
		stoa_segment_close(segment);
	}
}

static void expect_reader(struct stoa_segment *segment)
{
	unsigned char *data = bytes_of(segment);

	CHECK_EQ(data[0], 1);
	CHECK_EQ(touch(data), SIGSEGV);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	check_no_way_to_write((int)segment->memory, data);
}

static int reopen(const struct stoa_segment *segment, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)segment->memory);
	return open(path, flags | O_CLOEXEC);
}

static void be_a_granted_stranger(void *argument)
{
	struct stoa_segment *segment;
	int descriptor = -1;

	(void)argument;
	become_nobody();
	segment = receive(0);
	expect_reader(segment);
	CHECK_EQ(reopen(segment, O_RDWR), -1);
	CHECK_EQ(errno, EACCES);
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_GROW), -STOA_ERIGHTS);
	CHECK_EQ(descriptor, -1);
	stoa_segment_close(segment);

	segment = receive(0); /* and one to write */
	bytes_of(segment)[1] = 9;
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	bytes_of(segment)[PAGE] = 10;
	CHECK_EQ(ftruncate((int)segment->memory, 0), -1);
	stoa_segment_close(segment);
}

TEST(a_stranger_gets_what_it_was_granted_and_no_more)
{
	struct stoa_segment *segment = make(PAGE);
	int ends[2];
	pid_t role;

	need_root("another user");
	socket_pair(SOCK_SEQPACKET, ends);
	bytes_of(segment)[0] = 1;
	role = test_role(be_a_granted_stranger, NULL);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, ends[0]), 0);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(bytes_of(segment)[1], 9);
	CHECK_EQ(bytes_of(segment)[PAGE], 10);
	/* The grant took nothing from the owner. */
	CHECK_RC(stoa_segment_discard(segment, 0, PAGE), 0);
	close(ends[0]);
	close(ends[1]);
	stoa_segment_close(segment);
}

/* The same user can reopen a descriptor for writing; against it there is the seal. */
static void be_a_granted_friend(void *argument)
{
	struct stoa_segment *segment = receive(geteuid());
	int wider = reopen(segment, O_RDWR);

	(void)argument;
	expect_reader(segment);
	if (wider >= 0) {
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, wider, 4 * MIB) == MAP_FAILED);
		CHECK_EQ(pwrite(wider, "x", 1, 0), -1);
		CHECK_EQ(ftruncate(wider, 0), -1);
		close(wider);
	}
	stoa_segment_close(segment);
}

TEST(the_same_user_is_held_by_a_seal)
{
	struct stoa_segment *segment = make(PAGE);
	int ends[2];
	pid_t role;

	socket_pair(SOCK_SEQPACKET, ends);
	bytes_of(segment)[0] = 1;
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_FUTURE_WRITE), 0);
	role = test_role(be_a_granted_friend, NULL);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	CHECK_EQ(test_join(role), 0);
	bytes_of(segment)[0] = 2;
	close(ends[0]);
	close(ends[1]);
	stoa_segment_close(segment);
}

/* ---- what enemies send ---- */

static void send_raw(int socket, const void *bytes, size_t length, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 16)];
	} control = {0};
	struct iovec piece = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	struct cmsghdr *header;

	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
	}
	CHECK_EQ(sendmsg(socket, &message, 0), length);
}

struct wire {
	char magic[8];
	uint32_t version, flags;
	uint64_t reserve, unused;
};
static const struct wire good = {"STOASND\n", 1, 0, 0, 0};

static void expect_refusal(const struct wire *message, size_t length, const int *fds, unsigned count, int expected)
{
	struct stoa_segment *segment = NULL;
	char padded[64] = {0};
	int ends[2];

	memcpy(padded, message, sizeof(*message));
	socket_pair(SOCK_SEQPACKET, ends);
	send_raw(ends[0], padded, length, fds, count);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &segment, NULL), expected);
	CHECK(segment == NULL);
	close(ends[0]);
	close(ends[1]);
}

/* The harness sees any descriptor that is not closed. */
TEST(messages_with_more_than_one_descriptor)
{
	struct stoa_segment *segment = make(PAGE);
	int many[16];

	for (size_t i = 0; i < CC_COUNT(many); i++)
		many[i] = (int)segment->memory;
	expect_refusal(&good, sizeof(good), many, 2, -STOA_EFORMAT);
	expect_refusal(&good, sizeof(good), many, 16, -STOA_EFORMAT);
	stoa_segment_close(segment);
}

/* Whoever sends must hear that nobody takes it, and nothing of what it sent may stay. */
TEST(a_socket_that_is_full)
{
	struct stoa_segment *segment = make(PAGE), *received = NULL;
	int ends[2], rc = 0;
	unsigned sent = 0;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
	other_end = ends[1];
	while (rc == 0 && sent < 10000) {
		rc = stoa_segment_send_with_socket(segment, STOA_READ, ends[0]);
		sent += rc == 0;
	}
	CHECK_EQ(rc, -STOA_EBUSY);
	check_detail("would block");
	CHECK_INT(sent, >, 1);
	while (sent--) {
		received = receive(geteuid());
		stoa_segment_close(received);
	}
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_EBUSY);
	close(ends[0]);
	close(ends[1]);
	stoa_segment_close(segment);
}

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* Sockets whose owner wants to know the sender's process bring a second descriptor. */
TEST(a_process_descriptor_that_comes_along_is_closed)
{
	struct stoa_segment *segment = make(PAGE), *received;
	int ends[2], on = 1;

	socket_pair(SOCK_SEQPACKET, ends);
	if (setsockopt(ends[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) != 0)
		SKIP("no SO_PASSPIDFD: %s", strerror(errno));
	CHECK_SYS(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	received = receive(geteuid());
	stoa_segment_close(received);
	stoa_segment_close(segment);
	close(ends[0]);
	close(ends[1]);
}

static void receive_without_descriptors(void *argument)
{
	struct rlimit limit = {64, 64};
	struct stoa_segment *received = NULL;

	(void)argument;
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(0) >= 0)
		;
	CHECK_RC(stoa_segment_receive_with_socket(other_end, &received, NULL), -STOA_ELIMIT);
	CHECK(received == NULL);
}

TEST(no_descriptor_left_to_receive_with)
{
	struct stoa_segment *segment = make(PAGE);
	int ends[2];

	socket_pair(SOCK_SEQPACKET, ends);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	CHECK_EQ(test_join(test_role(receive_without_descriptors, NULL)), 0);
	close(ends[0]);
	close(ends[1]);
	stoa_segment_close(segment);
}

static struct sockaddr_storage listener;
static socklen_t listener_length = sizeof(listener);

static void send_what_can_be_cut(void *argument)
{
	struct wire message = good;
	int fd = memfd_create("enemy", MFD_CLOEXEC), end = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)argument;
	become_nobody();
	CHECK_SYS(ftruncate(fd, 4096));
	message.flags = STOA_RAW;
	message.reserve = 4096;
	CHECK_SYS(connect(end, (struct sockaddr *)&listener, listener_length));
	send_raw(end, &message, sizeof(message), &fd, 1);
}

/* The peer's user is that of its connect(); what it sent stays readable after its end. */
TEST(memory_that_a_stranger_could_cut_is_refused)
{
	int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client;
	struct sockaddr any = {.sa_family = AF_UNIX};
	struct stoa_segment *segment = NULL;
	pid_t role;

	need_root("another user");
	CHECK_SYS(bind(server, &any, sizeof(sa_family_t)));
	CHECK_SYS(listen(server, 1));
	CHECK_SYS(getsockname(server, (struct sockaddr *)&listener, &listener_length));
	role = test_role(send_what_can_be_cut, NULL);
	client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	CHECK_SYS(client);
	CHECK_RC(stoa_segment_receive_with_socket(client, &segment, NULL), -STOA_EACCES);
	check_detail("65534");
	CHECK(segment == NULL);
	close(client);
	close(server);
	CHECK_EQ(test_join(role), 0);
}

/* ---- what is not handed to a stranger ---- */

static void be_a_stranger_who_reads(void *argument)
{
	const unsigned *count = argument;
	struct stoa_segment *segment;

	other_end = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	become_nobody();
	CHECK_SYS(connect(other_end, (struct sockaddr *)&listener, listener_length));
	for (unsigned i = 0; i < *count; i++) {
		segment = receive(0);
		expect_reader(segment);
		CHECK_EQ(reopen(segment, O_RDWR), -1);
		CHECK_EQ(errno, EACCES);
		stoa_segment_close(segment);
	}
	segment = receive(0); /* sealed, to be written; nothing else came in between */
	bytes_of(segment)[1] = 9;
	CHECK_EQ(ftruncate((int)segment->memory, 0), -1);
	stoa_segment_close(segment);
}

static int accept_a_stranger(unsigned *reads, pid_t *ret_role)
{
	int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client;
	struct sockaddr any = {.sa_family = AF_UNIX};

	CHECK_SYS(bind(server, &any, sizeof(sa_family_t)));
	CHECK_SYS(listen(server, 1));
	CHECK_SYS(getsockname(server, (struct sockaddr *)&listener, &listener_length));
	*ret_role = test_role(be_a_stranger_who_reads, reads);
	client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	CHECK_SYS(client);
	close(server);
	return client;
}

/* Named, of a file, shrinkable, and foreign memory without a seal: all that a writer could cut. */
static unsigned make_what_can_be_cut(struct stoa_segment **segments)
{
	struct stoa_segment_options options = {.commit = PAGE}, create = {.commit = PAGE, .flags = STOA_FILE_CREATE};
	int descriptor = memfd_create("stoa-foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[600];

	snprintf(path, sizeof(path), "%s/file", test_dir());
	CHECK_SYS(fchmod(descriptor, 0600));
	CHECK_RC(stoa_segment_create(test_name("mine"), GIB, &options, &segments[0]), 0);
	CHECK_RC(stoa_segment_file(path, GIB, &create, &segments[1]), 0);
	options.flags = STOA_SHRINKABLE;
	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segments[2]), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, GIB, NULL, &segments[3]), 0);
	CHECK_RC(stoa_segment_commit(segments[3], PAGE), 0);
	for (unsigned i = 0; i < 4; i++)
		bytes_of(segments[i])[0] = 1;
	return 4;
}

TEST(what_a_stranger_could_cut_is_sent_to_be_read_only)
{
	struct stoa_segment *segments[4], *sealed;
	unsigned count;
	pid_t role;
	int client;

	need_root("another user");
	count = make_what_can_be_cut(segments);
	client = accept_a_stranger(&count, &role);
	for (unsigned i = 0; i < count; i++) {
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ | STOA_WRITE, client), -STOA_ERIGHTS);
		check_detail("65534");
		check_detail("read-only");
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ, client), 0);
	}
	sealed = make(PAGE);
	CHECK_RC(stoa_segment_send_with_socket(sealed, STOA_READ | STOA_WRITE, client), 0);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(bytes_of(sealed)[1], 9);
	close(client);
	stoa_segment_close(sealed);
	for (unsigned i = 0; i < count; i++)
		stoa_segment_close(segments[i]);
}

/* A datagram socket that was connected to an address has nobody's user at its other end. */
TEST(who_is_not_known_is_a_stranger)
{
	int ends[2] = {socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	struct sockaddr any = {.sa_family = AF_UNIX};
	struct stoa_segment *segments[4], *received;
	unsigned count = make_what_can_be_cut(segments);

	CHECK_SYS(bind(ends[0], &any, sizeof(sa_family_t)));
	CHECK_SYS(getsockname(ends[0], (struct sockaddr *)&listener, &listener_length));
	CHECK_SYS(connect(ends[1], (struct sockaddr *)&listener, listener_length));
	for (unsigned i = 0; i < count; i++) {
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ | STOA_WRITE, ends[1]), -STOA_ERIGHTS);
		check_detail("does not tell");
	}
	close(ends[0]);
	close(ends[1]);
	/* Of a pair it is who made it: ourselves. */
	socket_pair(SOCK_DGRAM, ends);
	for (unsigned i = 0; i < count; i++) {
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ | STOA_WRITE, ends[0]), 0);
		received = receive(geteuid());
		CHECK_EQ(touch(bytes_of(received)), 0);
		stoa_segment_close(received);
		stoa_segment_close(segments[i]);
	}
	close(ends[0]);
	close(ends[1]);
}

/* ---- descriptors ---- */

TEST(sealed_memory_is_taken_read_only)
{
	struct stoa_segment *segment = make(PAGE), *again;
	int descriptor;

	bytes_of(segment)[0] = 1;
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	expect_reader(again);
	stoa_segment_close(again);
	stoa_segment_close(segment);
}

TEST(any_memory_object_can_be_taken_raw)
{
	int descriptor = memfd_create("stoa-foreign", MFD_CLOEXEC);
	struct stoa_segment_options raw = {.flags = STOA_RAW};
	struct stoa_segment *segment, *none = NULL;

	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &none), -STOA_EINVAL); /* empty, and no reserve */
	CHECK_EQ(pwrite(descriptor, "hello", 5, 0), 5);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 4, NULL, &none), -STOA_ERANGE);
	CHECK(none == NULL);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, MIB, &raw, &segment), 0);
	CHECK_EQ(memcmp(bytes_of(segment), "hello", 5), 0);
	CHECK_EQ(segment->roster_slots, 0);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	bytes_of(segment)[2 * PAGE - 1] = 1;
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_GROW), -STOA_ENOTSUP); /* made without seals */
	stoa_segment_close(segment);
}

TEST(pools_of_huge_pages_are_another_kind)
{
	int descriptor = memfd_create("pool", MFD_CLOEXEC | MFD_HUGETLB);
	struct stoa_segment *none = NULL;

	if (descriptor < 0)
		SKIP("no pools of huge pages: %s", strerror(errno));
	CHECK_RC(stoa_segment_take_descriptor(descriptor, MIB, NULL, &none), -STOA_EKIND);
	CHECK(none == NULL);
	close(descriptor);
}

/* Whoever made it has set no seals, so a commit must look each time. */
TEST(foreign_memory_may_be_cut_by_whoever_made_it)
{
	int descriptor = memfd_create("stoa-foreign", MFD_CLOEXEC), maker = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_take_descriptor(descriptor, MIB, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	CHECK_SYS(ftruncate(maker, 0));
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_EQ(touch(bytes_of(segment) + PAGE), 0);
	stoa_segment_close(segment);
	close(maker);
}

/* The number is there, but is another thing now; it must stay as it is. */
TEST(a_token_whose_number_was_used_again)
{
	struct stoa_segment *segment = make(PAGE), *none = NULL;
	char token[STOA_TOKEN_SIZE];
	int pipes[2];

	CHECK_RC(stoa_segment_inherit(segment, token), 0);
	CHECK_SYS(pipe2(pipes, O_CLOEXEC));
	CHECK_SYS(dup2(pipes[0], (int)segment->memory));
	CHECK_RC(stoa_segment_adopt(token, &none), -STOA_ENOENT);
	CHECK_EQ(fcntl((int)segment->memory, F_GETFD), 0);
	CHECK(none == NULL);
	close(pipes[0]);
	close(pipes[1]);
	stoa_segment_close(segment);
}
