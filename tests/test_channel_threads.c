/* SPDX-License-Identifier: MIT */
/* Channels between threads on one mapping, for the thread sanitizer: whatever one end writes, the other may read, and the reverse. */
#include <harness/test.h>

#include <base/atomic.h>
#include <stoa/stoa.h>
#include <string.h>

#define SENDERS 2
#define RECEIVERS 2
#define MESSAGES 2000 /* of each sender */

struct message {
	uint64_t sender, number, sum[6];
};

struct board {
	uint32_t kind, waiting, shared;   /* shared: a queue with several receivers */
	_Atomic uint32_t senders, joined; /* numbers given out; ends that are there */
	_Atomic uint64_t received;
};

static struct stoa_segment *segment;

static struct stoa_channel *attach(void)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_attach(segment, 0, &channel), 0);
	return channel;
}

/* Receivers that share a queue look at words which others may have taken meanwhile, and find out afterwards: so each is written whole. */
static void write_words(void *to, const struct message *message)
{
	_Atomic uint64_t *words = to;
	uint64_t from[sizeof(*message) / sizeof(uint64_t)];

	memcpy(from, message, sizeof(from));
	for (size_t i = 0; i < CC_COUNT(from); i++)
		store_rlx(&words[i], from[i]);
}

static void send_all(void *argument)
{
	struct board *board = argument;
	const struct stoa_sender_options options = {.waiting = board->waiting};
	struct stoa_channel *channel = attach();
	uint64_t self = atomic_fetch_add(&board->senders, 1);
	struct stoa_sender *sender;

	CHECK_RC(stoa_sender_join(channel, &options, &sender), 0);
	atomic_fetch_add(&board->joined, 1);
	test_await(&board->joined, SENDERS + RECEIVERS); /* else the first might be the last */
	for (uint64_t i = 0; i < MESSAGES; i++) {
		const struct message message = {self, i, {i, i + 1, i + 2, i + 3, i + 4, i + 5}};
		struct stoa_loan loan;

		CHECK_RC(stoa_sender_loan(sender, sizeof(message) + 100, STOA_FOREVER, &loan), 0);
		write_words(loan.bytes, &message);
		loan.length -= i % 3 * 50;
		if (i % 7 == 3 && !board->shared) {
			CHECK_RC(stoa_sender_cancel(sender, &loan), 0);
			CHECK_RC(stoa_sender_send(sender, &message, sizeof(message), STOA_FOREVER), 0);
		} else {
			CHECK_RC(stoa_sender_commit(sender, &loan), 0);
		}
	}
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

static void receive_all(void *argument)
{
	struct board *board = argument;
	const struct stoa_receiver_options options = {.waiting = board->waiting, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_channel *channel = attach();
	struct stoa_receiver *receiver;
	struct stoa_message received;
	uint64_t next[SENDERS] = {0};
	int rc;

	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	atomic_fetch_add(&board->joined, 1);
	while ((rc = stoa_receiver_receive(receiver, STOA_FOREVER, &received)) == 0) {
		struct message message;

		memcpy(&message, received.bytes, sizeof(message));
		CHECK(message.sender < SENDERS);
		CHECK(message.number >= next[message.sender]);
		if (board->kind == STOA_BROADCAST)
			CHECK_EQ(message.number, next[message.sender]);
		next[message.sender] = message.number + 1;
		for (uint64_t i = 0; i < 6; i++)
			CHECK_EQ(message.sum[i], message.number + i);
		CHECK_RC(stoa_receiver_release(receiver, &received), 0);
		atomic_fetch_add(&board->received, 1);
	}
	CHECK_RC(rc, STOA_CLOSED);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

static void run(uint32_t kind, uint32_t waiting, unsigned senders, unsigned receivers)
{
	const struct stoa_channel_options options = {
		.kind = kind, .ring = 8192, .senders = senders, .receivers = receivers};
	struct board *board = test_shared(sizeof(*board));
	pid_t roles[SENDERS + RECEIVERS];
	struct stoa_channel *channel;
	uint64_t size;

	board->kind = kind;
	board->waiting = waiting;
	board->shared = kind == STOA_QUEUE && receivers > 1;
	atomic_store(&board->joined, SENDERS + RECEIVERS - senders - receivers);
	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_RC(stoa_segment_create(NULL, size, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 0, &options, &channel), 0);
	test_share(&segment, NULL);
	for (unsigned i = 0; i < receivers; i++)
		roles[i] = test_role(receive_all, board);
	for (unsigned i = 0; i < senders; i++)
		roles[receivers + i] = test_role(send_all, board);
	for (unsigned i = 0; i < senders + receivers; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&board->received),
		 (uint64_t)senders * MESSAGES * (kind == STOA_BROADCAST ? receivers : 1));
	stoa_channel_close(channel);
	stoa_segment_close(segment);
}

TEST_THREADS(a_queue, 60)
{
	run(STOA_QUEUE, STOA_BALANCED, 1, 1);
}

TEST_THREADS(a_queue_asleep, 60)
{
	run(STOA_QUEUE, STOA_SLEEP, 1, 1);
}

TEST_THREADS(a_shared_queue, 60)
{
	run(STOA_QUEUE, STOA_BALANCED, SENDERS, RECEIVERS);
}

TEST_THREADS(a_shared_queue_asleep, 60)
{
	run(STOA_QUEUE, STOA_SLEEP, SENDERS, RECEIVERS);
}

TEST_THREADS(a_broadcast, 60)
{
	run(STOA_BROADCAST, STOA_BALANCED, SENDERS, RECEIVERS);
}

TEST_THREADS(a_broadcast_asleep, 60)
{
	run(STOA_BROADCAST, STOA_SLEEP, SENDERS, RECEIVERS);
}
