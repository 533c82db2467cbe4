/* SPDX-License-Identifier: MIT */
/* Observers of a broadcast: they see what others receive, learn what they missed, and leave no trace. */
#include <harness/test.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <stoa/stoa.h>

#define MILLISECOND UINT64_C(1000000)
#define OBSERVE                       \
	{                             \
		.flags = STOA_OBSERVE \
	}

static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *observer;

static void begin(uint32_t receivers, uint64_t ring)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .receivers = receivers, .ring = ring};

	CHECK_RC(stoa_channel_create(test_name("x"), &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
}

static void observe(uint32_t flags, uint32_t from)
{
	const struct stoa_receiver_options options = {.flags = STOA_OBSERVE | flags, .from = from};

	CHECK_RC(stoa_receiver_join(channel, &options, &observer), 0);
}

static void end(void)
{
	stoa_sender_leave(sender);
	stoa_receiver_leave(observer);
	stoa_channel_close(channel);
}

static void send_number(uint64_t number)
{
	CHECK_RC(stoa_sender_send(sender, &number, sizeof(number), STOA_TRY), 0);
}

static uint64_t receive_number(struct stoa_receiver *receiver, uint64_t *ret_lost)
{
	struct stoa_message message;
	uint64_t number;

	CHECK_RC(stoa_receiver_recv(receiver, &number, sizeof(number), STOA_TRY, &message), 0);
	CHECK_EQ(message.length, sizeof(number));
	CHECK_EQ(message.sequence, number);
	*ret_lost = message.lost;
	return number;
}

static void check_next(struct stoa_receiver *receiver, uint64_t number)
{
	uint64_t lost;

	CHECK_EQ(receive_number(receiver, &lost), number);
	CHECK_EQ(lost, 0);
}

TEST(from_now_and_from_the_oldest)
{
	struct stoa_message message;

	begin(1, 4096);
	for (uint64_t i = 0; i < 3; i++)
		send_number(i);
	observe(0, STOA_FROM_OLDEST);
	for (uint64_t i = 0; i < 3; i++)
		check_next(observer, i);
	stoa_receiver_leave(observer);
	observe(0, STOA_FROM_NOW);
	CHECK_RC(stoa_receiver_receive(observer, STOA_TRY, &message), STOA_TIMED_OUT);
	send_number(3);
	check_next(observer, 3);
	end();
}

/* The one place is another's; and there may be more of them than places. */
TEST(observers_take_no_place)
{
	static struct stoa_receiver *others[STOA_ENDS_MAX];
	const struct stoa_receiver_options options = OBSERVE;
	static struct stoa_channel_stat stat;
	struct stoa_receiver *receiver;

	begin(1, 4096);
	observe(0, 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	for (unsigned i = 0; i < STOA_ENDS_MAX; i++)
		CHECK_RC(stoa_receiver_join(channel, &options, &others[i]), 0);
	send_number(0);
	check_next(observer, 0);
	check_next(receiver, 0);
	for (unsigned i = 0; i < STOA_ENDS_MAX; i++)
		check_next(others[i], 0);
	CHECK_RC(stoa_channel_stat(channel, &stat), 0);
	CHECK_EQ(stat.receivers_alive, 1);
	CHECK_EQ(stat.receiver[0].joined, 1);
	CHECK_EQ(stat.receiver[0].messages, 1);
	for (unsigned i = 0; i < STOA_ENDS_MAX; i++)
		stoa_receiver_leave(others[i]);
	stoa_receiver_leave(receiver);
	end();
}

TEST(no_sender_waits_and_what_was_missed_is_counted)
{
	const uint64_t total = 10000;
	uint64_t seen = 0, lost = 0, missed, number = 0;
	struct stoa_message held;

	begin(1, 4096);
	observe(0, 0);
	send_number(0);
	/* Held, and overwritten meanwhile. */
	CHECK_RC(stoa_receiver_receive(observer, STOA_TRY, &held), 0);
	for (uint64_t i = 1; i < total; i++) {
		send_number(i);
		if (i % 1000 == 999 && number < i) {
			number = receive_number(observer, &missed);
			seen++;
			lost += missed;
		}
	}
	CHECK_RC(stoa_receiver_release(observer, &held), STOA_OVERRUN);
	while (number < total - 1) {
		number = receive_number(observer, &missed);
		seen++;
		lost += missed;
	}
	CHECK_INT(lost, >, 0);
	CHECK_EQ(seen + lost, total - 1);
	end();
}

/* Byte by byte: nothing in the channel is different after it was observed. */
TEST(nothing_is_written)
{
	const struct stoa_channel_options options = {
		.kind = STOA_BROADCAST, .ring = 4096, .senders = 2, .receivers = 2};
	struct stoa_segment *segment;
	unsigned char *before;
	uint64_t size, lost;

	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_RC(stoa_segment_create(NULL, 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 0, &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	before = malloc(size);
	CHECK(before != NULL);
	observe(STOA_UNTIL_PEERS_LEAVE, 0);
	for (uint64_t i = 0; i < 500; i++)
		send_number(i);
	memcpy(before, stoa_segment_address(segment), size);
	while (receive_number(observer, &lost) < 499)
		;
	CHECK_RC(stoa_receiver_receive(observer, stoa_deadline_in(5 * MILLISECOND), &(struct stoa_message){0}),
		 STOA_TIMED_OUT);
	stoa_receiver_leave(observer);
	observe(0, STOA_FROM_OLDEST);
	receive_number(observer, &lost);
	stoa_receiver_leave(observer);
	observer = NULL;
	CHECK_EQ(memcmp(before, stoa_segment_address(segment), size), 0);
	free(before);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	stoa_segment_close(segment);
}

TEST(what_cannot_be_observed)
{
	const struct stoa_receiver_options options = OBSERVE;
	struct stoa_receiver_options detached = OBSERVE;
	struct stoa_waitable waitable = {NULL, NULL, STOA_WAIT_RECEIVER, 0};
	struct stoa_channel *queue;
	struct stoa_watch *watch;

	detached.when_slow = STOA_DETACH;
	CHECK_RC(stoa_channel_create(NULL, NULL, &queue), 0);
	CHECK_RC(stoa_receiver_join(queue, &options, &observer), -STOA_EINVAL);
	stoa_channel_close(queue);
	begin(1, 4096);
	CHECK_RC(stoa_receiver_join(channel, &detached, &observer), -STOA_EINVAL);
	observe(0, 0);
	waitable.object = observer;
	CHECK_RC(stoa_wait_any(&waitable, 1, STOA_TRY, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_watch_open(&waitable, &watch), -STOA_EINVAL);
	end();
}

/* ---- beside others ---- */

struct meeting {
	char name[100];
	_Atomic uint32_t sending, observed;
	uint64_t messages;
};

static struct meeting *new_meeting(uint64_t messages)
{
	struct meeting *meeting = test_shared(sizeof(*meeting));

	strcpy(meeting->name, test_name("x"));
	meeting->messages = messages;
	return meeting;
}

static void send_and_leave(void *argument)
{
	struct meeting *meeting = argument;

	CHECK_RC(stoa_channel_open(meeting->name, 0, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	for (uint64_t i = 0; i < meeting->messages; i++) {
		unsigned char bytes[900];
		size_t length = 8 + i * 37 % 890;

		memset(bytes, (int)i, length);
		CHECK_RC(stoa_sender_send(sender, bytes, length, STOA_FOREVER), 0);
	}
	atomic_store(&meeting->sending, 1);
	test_await(&meeting->observed, 1);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

/* Asleep between the looks, it sees a message, and the end. Without a place in the roster. */
TEST(an_observer_waits)
{
	struct meeting *meeting = new_meeting(1);
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST};
	struct stoa_wait_stat stat;
	struct stoa_message message;
	pid_t role;

	CHECK_RC(stoa_channel_create(meeting->name, &options, &channel), 0);
	observe(STOA_UNTIL_PEERS_LEAVE, 0);
	CHECK_RC(stoa_receiver_receive(observer, stoa_deadline_in(20 * MILLISECOND), &message), STOA_TIMED_OUT);
	role = test_role(send_and_leave, meeting);
	CHECK_RC(stoa_receiver_receive(observer, STOA_FOREVER, &message), 0);
	CHECK_EQ(message.length, 8);
	CHECK_RC(stoa_receiver_release(observer, &message), 0);
	atomic_store(&meeting->observed, 1);
	CHECK_RC(stoa_receiver_receive(observer, STOA_FOREVER, &message), STOA_CLOSED);
	CHECK_EQ(test_join(role), 0);
	stoa_wait_stat(&stat);
	CHECK_EQ(stat.enrolments, 0);
	end();
}

TEST(an_observer_sees_a_death)
{
	struct meeting *meeting = new_meeting(1);
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST};
	struct stoa_message message;
	pid_t role;

	CHECK_RC(stoa_channel_create(meeting->name, &options, &channel), 0);
	observe(STOA_UNTIL_PEERS_LEAVE, 0);
	role = test_role(send_and_leave, meeting);
	CHECK_RC(stoa_receiver_receive(observer, STOA_FOREVER, &message), 0);
	test_kill(role);
	CHECK_RC(stoa_receiver_receive(observer, STOA_FOREVER, &message), STOA_CLOSED);
	end();
}

/* At full speed: what recv() gives is whole, and what it does not is counted. */
TEST_TIMEOUT(what_is_seen_is_whole, 120)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	struct meeting *meeting = new_meeting(test_rounds(300000, 10000000));
	uint64_t next = 0, seen = 0, lost = 0;
	pid_t role;

	CHECK_RC(stoa_channel_create(meeting->name, &options, &channel), 0);
	observe(STOA_UNTIL_PEERS_LEAVE, 0);
	role = test_role(send_and_leave, meeting);
	while (next < meeting->messages) {
		unsigned char bytes[900];
		struct stoa_message message;

		CHECK_RC(stoa_receiver_recv(observer, bytes, sizeof(bytes), STOA_FOREVER, &message), 0);
		CHECK_EQ(message.sequence, next + message.lost);
		CHECK_EQ(message.length, 8 + message.sequence * 37 % 890);
		for (uint64_t i = 0; i < message.length; i++)
			CHECK_EQ(bytes[i], (unsigned char)message.sequence);
		next = message.sequence + 1;
		lost += message.lost;
		seen++;
	}
	test_note("%llu seen, %llu not", (unsigned long long)seen, (unsigned long long)lost);
	CHECK_EQ(seen + lost, meeting->messages);
	atomic_store(&meeting->observed, 1);
	CHECK_EQ(test_join(role), 0);
	end();
}
