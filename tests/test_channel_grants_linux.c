/* SPDX-License-Identifier: MIT */
/*
 * As test_channel_grants.c, by what Linux alone has: other users, seals against the same one, descriptors that are none of a
 * channel's parts.
 */
#include <channel/grant_linux.h>

#include <sys/resource.h>
#include <sys/socket.h>

static int ends[2]; /* of the socket to a role */
static _Atomic uint32_t *ready;

static struct stoa_channel *make(void)
{
	const struct stoa_channel_options options = {.senders = 2, .receivers = 2};
	struct stoa_channel *channel;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	ready = test_shared(sizeof(*ready));
	CHECK_RC(stoa_channel_create(NULL, &options, &channel), 0);
	return channel;
}

static void close_ends(void)
{
	close(ends[0]);
	close(ends[1]);
}

static void receive_text(struct stoa_receiver *receiver, const char *expected)
{
	struct stoa_message message;
	char text[32];

	CHECK_RC(stoa_receiver_recv(receiver, text, sizeof(text), STOA_FOREVER, &message), 0);
	CHECK_STR(text, expected);
}

/* ---- another user ---- */

static struct stoa_channel *receive_as_nobody(void)
{
	struct stoa_channel *channel;
	uint32_t from;

	become_nobody();
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &channel, &from), 0);
	CHECK_EQ(from, 0);
	return channel;
}

static void be_a_strange_receiver(void *argument)
{
	const struct stoa_receiver_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_channel *whole = argument, *channel;
	struct stoa_receiver *receiver;
	struct stoa_message message;
	struct stoa_wait_stat stat;

	stoa_channel_close(whole);
	channel = receive_as_nobody();
	CHECK_EQ(stoa_channel_grants(channel), STOA_GRANT_RECEIVER);
	expect_only_reads_linux(channel, 1, false);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	receive_text(receiver, "to a stranger");
	store_rlx(ready, 1);
	receive_text(receiver, "and another");
	store_rlx(ready, 2);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), STOA_CLOSED);
	stoa_wait_stat(&stat);
	CHECK_EQ(stat.rescues, 0);
	CHECK_INT(stat.sleeps, >, 0);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

TEST(a_strange_receiver)
{
	const struct stoa_sender_options options = {.waiting = STOA_SLEEP};
	struct stoa_channel *whole;
	struct stoa_sender *sender;
	pid_t role;

	need_root("another user");
	whole = make();
	role = test_role(be_a_strange_receiver, whole);
	CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_RECEIVER, ends[0]), 0);
	CHECK_RC(stoa_sender_join(whole, &options, &sender), 0);
	CHECK_RC(stoa_sender_send(sender, "to a stranger", 14, STOA_TRY), 0);
	test_await(ready, 1);
	test_await_sleep(role);
	CHECK_RC(stoa_sender_send(sender, "and another", 12, STOA_TRY), 0);
	test_await(ready, 2);
	test_await_sleep(role);
	stoa_sender_leave(sender);
	CHECK_EQ(test_join(role), 0);
	stoa_channel_close(whole);
	close_ends();
}

static void be_a_strange_sender(void *argument)
{
	struct stoa_channel *whole = argument, *channel;
	struct stoa_sender *sender;

	stoa_channel_close(whole);
	channel = receive_as_nobody();
	CHECK_EQ(stoa_channel_grants(channel), STOA_GRANT_SENDER);
	expect_only_reads_linux(channel, 0, false);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	/* What one may write one may also spoil: the other side lives with it. */
	CHECK_SYS(fallocate((int)channel->segments[1]->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			    (off_t)channel->segments[1]->data_offset));
	CHECK_EQ(ftruncate((int)channel->segments[1]->memory, 0), -1);
	CHECK_RC(stoa_sender_send(sender, "from a stranger", 16, STOA_TRY), 0);
	store_rlx(ready, 1);
	test_pause();
}

/* It takes the pages of its own roster away, and is dead to the others from then on; that, and its end, harms nobody who reads. */
TEST(a_strange_sender)
{
	const struct stoa_receiver_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_channel *whole, *channel;
	struct stoa_receiver *receiver;
	struct stoa_message message;
	pid_t role;

	need_root("another user");
	whole = make();
	channel = granted(whole, STOA_GRANT_RECEIVER);
	role = test_role(be_a_strange_sender, whole);
	CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_SENDER, ends[0]), 0);
	stoa_channel_close(whole);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	test_await(ready, 1); /* before, its peers may already have left */
	receive_text(receiver, "from a stranger");
	test_kill(role);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), STOA_CLOSED);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
	close_ends();
}

/* ---- the same user ---- */

static void be_a_friend(void *argument)
{
	struct stoa_channel *whole = argument, *channel;
	struct stoa_receiver *receiver;

	stoa_channel_close(whole);
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &channel, NULL), 0);
	expect_only_reads_linux(channel, 1, true);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	receive_text(receiver, "sealed");
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

TEST(the_same_user_is_held_by_a_seal)
{
	struct stoa_channel *whole = make(), *handle, *sealed;
	struct stoa_sender *sender, *another = NULL;
	char token[STOA_TOKEN_SIZE];
	pid_t role;

	CHECK_RC(stoa_sender_join(whole, NULL, &sender), 0);
	CHECK_RC(stoa_channel_seal(whole, 0), -STOA_EINVAL);
	CHECK_RC(stoa_channel_seal(NULL, STOA_GRANT_SENDER), -STOA_EINVAL);
	handle = granted(whole, STOA_GRANT_RECEIVER);
	CHECK_RC(stoa_channel_seal(handle, STOA_GRANT_SENDER), -STOA_ERIGHTS);
	stoa_channel_close(handle);
	CHECK_RC(stoa_channel_seal(whole, STOA_GRANT_SENDER), 0);
	/* Nobody becomes a sender any more, */
	CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_SENDER, ends[0]), -STOA_ERIGHTS);
	check_detail("the channel is sealed");
	CHECK_RC(stoa_channel_inherit(whole, STOA_GRANT_SENDER, token), -STOA_ERIGHTS);
	sealed = granted(whole, STOA_GRANT_RECEIVER);
	CHECK_RC(stoa_sender_join(sealed, NULL, &another), -STOA_ERIGHTS);
	stoa_channel_close(sealed);
	/* who has joined goes on, */
	role = test_role(be_a_friend, whole);
	CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_RECEIVER, ends[0]), 0);
	CHECK_RC(stoa_sender_send(sender, "sealed", 7, STOA_TRY), 0);
	CHECK_EQ(test_join(role), 0);
	/* also as another sender. */
	CHECK_RC(stoa_sender_join(whole, NULL, &another), 0);
	stoa_sender_leave(another);
	stoa_sender_leave(sender);
	stoa_channel_close(whole);
	close_ends();
}

/* ---- one who lies about its life ---- */

/* Its roster is its own to write: it has the kernel's mark of its death go nowhere, and seems to be a thread that lives. */
static void forge_a_life(const struct stoa_channel *channel, uint64_t owner)
{
	struct roster_sight sight;

	CHECK_RC(roster_look(channel->segments[0], owner, false, &sight), 1);
	store_rlx(sight.life, owner >> 32 << 32 | (uint32_t)getppid());
}

static void be_a_forger(void *argument)
{
	struct stoa_channel *whole = argument, *channel;
	struct stoa_receiver *receiver;

	stoa_channel_close(whole);
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &channel, NULL), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	forge_a_life(channel, load_rlx(&channel->readers[0].owner));
	store_rlx(ready, 1);
	test_pause();
}

/* What is written in stoa_grant(3): it is waited for when it is dead, by who would wait for it alive; and by nobody beyond a deadline. */
TEST(a_forger_outlives_itself_and_no_deadline)
{
	struct stoa_channel *whole = make();
	struct stoa_channel_stat stat;
	struct stoa_sender *sender;
	pid_t role = test_role(be_a_forger, whole);

	CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_RECEIVER, ends[0]), 0);
	test_await(ready, 1);
	test_kill(role);
	CHECK_RC(stoa_channel_stat(whole, &stat), 0);
	CHECK_EQ(stat.receivers_alive, 1);
	for (uint32_t waiting = STOA_BALANCED; waiting <= STOA_SLEEP; waiting++) {
		const struct stoa_sender_options options = {.waiting = waiting, .flags = STOA_UNTIL_PEERS_LEAVE};
		int rc;

		CHECK_RC(stoa_sender_join(whole, &options, &sender), 0);
		while ((rc = stoa_sender_send(sender, "text", 5, stoa_deadline_in(20000000))) == 0)
			;
		CHECK_RC(rc, STOA_TIMED_OUT);
		CHECK_RC(stoa_sender_flush(sender, stoa_deadline_in(20000000)), STOA_TIMED_OUT);
		stoa_sender_leave(sender);
	}
	stoa_channel_close(whole);
	close_ends();
}

/* ---- what enemies send ---- */

static const char good[24] = "STOACHG\n\1";

static void send_parts(const char *bytes, size_t length, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 4)];
	} control = {0};
	struct iovec piece = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *header;

	message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
	CHECK_EQ(sendmsg(ends[0], &message, 0), length);
}

/* The harness sees what is not closed. */
static void expect(int expected, const char *bytes, size_t length, int first, int second, unsigned count)
{
	struct stoa_channel *none = NULL;

	send_parts(bytes, length, (const int[]){first, second, first}, count);
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &none, NULL), expected);
	CHECK(none == NULL);
}

TEST(messages_that_are_not_ours)
{
	struct stoa_channel *whole = make(), *other;
	const struct stoa_channel_options options = {.senders = 2};
	int receiving = (int)whole->segments[0]->memory, sending = (int)whole->segments[1]->memory, others;
	struct stoa_segment *segment;
	char wrong[24];

	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &segment), 0);
	CHECK_RC(stoa_channel_create(NULL, &options, &other), 0);
	others = (int)other->segments[1]->memory;
	expect(-STOA_EFORMAT, good, sizeof(good), receiving, sending, 1);
	expect(-STOA_EFORMAT, good, sizeof(good), receiving, sending, 3);
	expect(-STOA_EFORMAT, good, sizeof(good) - 1, receiving, sending, 2);
	for (size_t i = 0; i < sizeof(wrong); i++) {
		memcpy(wrong, good, sizeof(wrong));
		wrong[i] ^= 4;
		expect(i >= 8 && i < 12 ? -STOA_EVERSION : -STOA_EFORMAT, wrong, sizeof(wrong), receiving, sending, 2);
	}
	/* The parts in the other order, of two channels, of a segment, of nothing. */
	expect(-STOA_EFORMAT, good, sizeof(good), sending, receiving, 2);
	expect(-STOA_EFORMAT, good, sizeof(good), receiving, others, 2);
	expect(-STOA_EKIND, good, sizeof(good), receiving, (int)segment->memory, 2);
	expect(-STOA_EKIND, good, sizeof(good), ends[0], sending, 2);
	/* A header that was overwritten. */
	bytes_of(whole->segments[1])[20] ^= 1;
	expect(-STOA_EFORMAT, good, sizeof(good), receiving, sending, 2);
	stoa_segment_close(segment);
	stoa_channel_close(other);
	stoa_channel_close(whole);
	close_ends();
}

static void send_what_can_be_cut(void *argument)
{
	const struct stoa_channel *whole = argument;
	int copies[2];

	for (unsigned i = 0; i < 2; i++) {
		uint64_t length = whole->segments[i]->data_offset + stoa_segment_committed(whole->segments[i]);
		off_t from = 0;

		copies[i] = memfd_create("copy", MFD_CLOEXEC);
		CHECK_SYS(copies[i]);
		CHECK_SYS(ftruncate(copies[i], (off_t)length));
		while ((uint64_t)from < length)
			CHECK_SYS(copy_file_range((int)whole->segments[i]->memory, &from, copies[i], NULL,
						  length - (uint64_t)from, 0));
	}
	become_nobody();
	send_parts(good, sizeof(good), copies, 2);
}

/* A stranger's channel that it could cut under our feet. */
TEST(memory_that_a_stranger_could_cut_is_refused)
{
	struct stoa_channel *whole, *none = NULL;
	int one = 1;
	pid_t role;

	need_root("another user");
	whole = make();
	CHECK_SYS(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	role = test_role(send_what_can_be_cut, whole);
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &none, NULL), -STOA_EACCES);
	check_detail("not sealed against cutting");
	CHECK_EQ(test_join(role), 0);
	stoa_channel_close(whole);
	close_ends();
}

TEST(no_descriptor_left_to_receive_with)
{
	struct stoa_channel *whole = make(), *none = NULL;
	struct rlimit limit, tight;
	int highest = dup(0);

	CHECK_SYS(highest);
	close(highest);
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &limit));
	for (unsigned left = 0; left < 2; left++) {
		CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_SENDER, ends[0]), 0);
		tight = (struct rlimit){(rlim_t)highest + left, limit.rlim_max};
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &tight));
		CHECK_RC(stoa_channel_receive_with_socket(ends[1], &none, NULL), -STOA_ELIMIT);
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &limit));
	}
	CHECK(none == NULL);
	stoa_channel_close(whole);
	close_ends();
}
