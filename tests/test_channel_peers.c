/* SPDX-License-Identifier: MIT */
/* Channels: what a sender can learn of its receivers: that one is here, that all was received. */
#include <harness/test.h>

#include <stoa/stoa.h>

#define MILLISECOND UINT64_C(1000000)

static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;

static void begin(uint32_t kind, uint32_t receivers, uint32_t flags)
{
	const struct stoa_channel_options options = {.kind = kind, .receivers = receivers, .ring = 4096};

	CHECK_RC(stoa_channel_create(test_name("x"), &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, &(struct stoa_sender_options){.flags = flags}, &sender), 0);
}

static void join(uint32_t when_slow)
{
	CHECK_RC(stoa_receiver_join(channel, &(struct stoa_receiver_options){.when_slow = when_slow}, &receiver), 0);
}

static void leave(void)
{
	stoa_receiver_leave(receiver);
	receiver = NULL;
}

static void end(void)
{
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

static void send_one(uint64_t length)
{
	static const char bytes[1000];

	CHECK_RC(stoa_sender_send(sender, bytes, length, STOA_TRY), 0);
}

static void receive_one(void)
{
	struct stoa_message message;

	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

static int here(uint64_t deadline)
{
	const struct stoa_waitable waitable = {NULL, sender, STOA_WAIT_RECEIVERS, 0};

	return stoa_wait_any(&waitable, 1, deadline, NULL);
}

/* ---- flushing ---- */

TEST(a_flush_waits_for_the_last_release)
{
	struct stoa_message first, second;

	begin(STOA_QUEUE, 1, 0);
	CHECK_RC(stoa_sender_flush(NULL, STOA_TRY), -STOA_EINVAL);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	send_one(10);
	send_one(0);
	CHECK_RC(stoa_sender_flush(sender, stoa_deadline_in(MILLISECOND)), STOA_TIMED_OUT);
	join(0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &first), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &second), 0);
	CHECK_RC(stoa_receiver_release(receiver, &second), 0);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_receiver_release(receiver, &first), 0);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	end();
}

/* Also where a lap ends, and where the last loan was given back. */
TEST(a_flush_at_any_position)
{
	struct stoa_loan loan;

	begin(STOA_QUEUE, 1, 0);
	join(0);
	for (uint64_t i = 0; i < 1000; i++) {
		send_one(i * 37 % 900);
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), STOA_TIMED_OUT);
		receive_one();
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
		CHECK_RC(stoa_sender_loan(sender, i * 41 % 900, STOA_TRY, &loan), 0);
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0); /* not sent: not waited for */
		CHECK_RC(stoa_sender_cancel(sender, &loan), 0);
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	}
	end();
}

/* What was cancelled behind the last message need not be looked at by a receiver that has got what it wanted. */
TEST(a_flush_passes_what_was_cancelled)
{
	struct stoa_loan loans[3];

	begin(STOA_QUEUE, 1, 0);
	join(0);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 3; i++)
			CHECK_RC(stoa_sender_loan(sender, round * 7 % 600, STOA_TRY, &loans[i]), 0);
		CHECK_RC(stoa_sender_commit(sender, &loans[0]), 0);
		CHECK_RC(stoa_sender_cancel(sender, &loans[1]), 0);
		CHECK_RC(stoa_sender_cancel(sender, &loans[2]), 0);
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), STOA_TIMED_OUT);
		receive_one();
		CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	}
	end();
}

TEST(a_flush_ends_with_the_receivers)
{
	begin(STOA_QUEUE, 1, STOA_UNTIL_PEERS_LEAVE);
	join(0);
	send_one(1);
	send_one(1);
	receive_one();
	leave();
	CHECK_RC(stoa_sender_flush(sender, STOA_FOREVER), STOA_CLOSED);
	join(0);
	receive_one();
	leave();
	CHECK_RC(stoa_sender_flush(sender, STOA_FOREVER), 0);
	end();
}

/* Of a broadcast: for those who are waited for anyhow. What is kept for those who come later stays. */
TEST(a_flush_of_a_broadcast)
{
	const struct stoa_receiver_options oldest = {.from = STOA_FROM_OLDEST};

	begin(STOA_BROADCAST, 1, 0);
	send_one(1);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	join(STOA_DROP_OLDEST);
	send_one(2);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	leave();
	join(STOA_BLOCK);
	send_one(3);
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), STOA_TIMED_OUT);
	receive_one();
	CHECK_RC(stoa_sender_flush(sender, STOA_TRY), 0);
	leave();
	CHECK_RC(stoa_receiver_join(channel, &oldest, &receiver), 0);
	for (int i = 0; i < 3; i++)
		receive_one();
	end();
}

struct meeting {
	char name[100];
	_Atomic uint32_t ready, go;
};

static void open_channel(const char *name)
{
	CHECK_RC(stoa_channel_open(name, 0, &channel), 0);
}

static void receive_late(void *argument)
{
	struct meeting *meeting = argument;

	open_channel(meeting->name);
	join(0);
	atomic_store(&meeting->ready, 1);
	test_await(&meeting->go, 1);
	for (int i = 0; i < 3; i++) {
		test_nap(5);
		receive_one();
	}
	leave();
	stoa_channel_close(channel);
}

static void hold_and_pause(void *argument)
{
	struct meeting *meeting = argument;
	struct stoa_message message;

	open_channel(meeting->name);
	join(0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
	atomic_store(&meeting->ready, 1);
	test_pause();
}

static struct meeting *new_meeting(void)
{
	struct meeting *meeting = test_shared(sizeof(*meeting));

	strcpy(meeting->name, test_name("x"));
	return meeting;
}

TEST(a_sleeping_flush_is_woken)
{
	struct meeting *meeting = new_meeting();
	pid_t role;

	begin(STOA_QUEUE, 1, 0);
	for (int i = 0; i < 3; i++)
		send_one(100);
	role = test_role(receive_late, meeting);
	test_await(&meeting->ready, 1);
	atomic_store(&meeting->go, 1);
	CHECK_RC(stoa_sender_flush(sender, STOA_FOREVER), 0);
	CHECK_EQ(test_join(role), 0);
	end();
}

/* What it had taken is gone with it: there is nothing more to wait for. */
TEST(a_flush_does_not_wait_for_the_dead)
{
	struct meeting *meeting = new_meeting();
	pid_t role;

	begin(STOA_QUEUE, 1, 0);
	send_one(100);
	role = test_role(hold_and_pause, meeting);
	test_await(&meeting->ready, 1);
	CHECK_RC(stoa_sender_flush(sender, stoa_deadline_in(MILLISECOND)), STOA_TIMED_OUT);
	test_kill(role);
	CHECK_RC(stoa_sender_flush(sender, STOA_FOREVER), 0);
	end();
}

/* ---- who is here ---- */

TEST(receivers_come_and_go)
{
	begin(STOA_BROADCAST, 2, STOA_UNTIL_PEERS_LEAVE);
	CHECK_RC(here(STOA_TRY), STOA_TIMED_OUT);
	for (int i = 0; i < 3; i++) {
		/* The same thread again: the place's last owner, and no other. */
		join(0);
		CHECK_RC(here(STOA_TRY), 0);
		leave();
		CHECK_RC(here(STOA_TRY), STOA_TIMED_OUT);
	}
	/* Sleeps, though all have left. */
	CHECK_RC(here(stoa_deadline_in(20 * MILLISECOND)), STOA_TIMED_OUT);
	end();
}

TEST(receivers_are_asked_for_by_senders)
{
	struct stoa_waitable waitable = {NULL, NULL, STOA_WAIT_RECEIVERS, 0};

	begin(STOA_QUEUE, 1, 0);
	join(0);
	waitable.object = receiver;
	CHECK_RC(stoa_wait_any(&waitable, 1, STOA_TRY, NULL), -STOA_EINVAL);
	end();
}

static void receive_numbers(void *argument)
{
	struct meeting *meeting = argument;
	struct stoa_message message;

	open_channel(meeting->name);
	join(0);
	for (unsigned char i = 0; i < 10; i++) {
		CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
		CHECK_EQ(*(const unsigned char *)message.bytes, i);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
	leave();
	stoa_channel_close(channel);
}

/* Who is said to be here misses nothing. */
TEST(a_broadcast_that_waits_for_its_receiver)
{
	struct meeting *meeting = new_meeting();
	unsigned rounds = test_rounds(20, 500);

	begin(STOA_BROADCAST, 3, 0);
	for (unsigned round = 0; round < rounds; round++) {
		pid_t role = test_role(receive_numbers, meeting);

		CHECK_RC(here(STOA_FOREVER), 0);
		for (unsigned char i = 0; i < 10; i++)
			CHECK_RC(stoa_sender_send(sender, &i, 1, STOA_FOREVER), 0);
		CHECK_EQ(test_join(role), 0);
	}
	end();
}
