/* SPDX-License-Identifier: MIT */
/* Channels: what a single process can see of loans, messages, their order, room and sizes. */
#include <harness/test.h>

#include <channel/channel.h>
#include <channel_pair.h>
#include <stoa/stoa.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static void send_number(struct stoa_sender *sender, uint64_t number)
{
	CHECK_RC(stoa_sender_send(sender, &number, sizeof(number), STOA_TRY), 0);
}

static uint64_t number_in(const struct stoa_message *message)
{
	uint64_t number;

	CHECK_EQ(message->length, sizeof(number));
	memcpy(&number, message->bytes, sizeof(number));
	return number;
}

static uint64_t receive_number(struct stoa_receiver *receiver)
{
	struct stoa_message message;
	uint64_t number;

	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
	number = number_in(&message);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	return number;
}

/* `length` bytes that follow from `number`. */
static void fill(unsigned char *bytes, uint64_t length, uint64_t number)
{
	for (uint64_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
}

static void check_filled(const unsigned char *bytes, uint64_t length, uint64_t number)
{
	for (uint64_t i = 0; i < length; i++)
		if (bytes[i] != (unsigned char)(number * 31 + i * 7 + (i >> 8)))
			test_fail(__FILE__, __LINE__, "byte %llu of %llu of message %llu is wrong",
				  (unsigned long long)i, (unsigned long long)length, (unsigned long long)number);
}

TEST(messages_come_in_order)
{
	struct pair pair = open_pair(NULL, NULL);
	struct stoa_message message;

	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	for (uint64_t i = 0; i < 100; i++)
		send_number(pair.sender, i);
	for (uint64_t i = 0; i < 100; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	CHECK_RC(stoa_receiver_receive(pair.receiver, stoa_deadline_in(MILLISECOND), &message), STOA_TIMED_OUT);
	close_pair(&pair);
}

/* Random sizes and backlogs, many times around the smallest ring, with each alignment. */
TEST(sizes_and_laps)
{
	uint64_t seed = test_seed();

	for (uint32_t alignment = 16; alignment <= 1024; alignment *= 4) {
		const struct stoa_channel_options options = {.ring = 4096, .alignment = alignment, .flags = STOA_TIMES};
		struct pair pair = open_pair(&options, NULL);
		uint64_t sent = 0, received = 0, lengths[4096], most = pair.channel->plan.payload_max, last = 0;

		while (received < 4000) {
			struct stoa_loan loan;
			struct stoa_message message;
			uint64_t length = test_random(&seed) % (test_random(&seed) % 4 ? 100 : most + 1);
			int rc = STOA_TIMED_OUT;

			length = length > most ? most : length;
			if (sent < 4000 && test_random(&seed) % 2)
				rc = stoa_sender_loan(pair.sender, length, STOA_TRY, &loan);
			if (rc == 0) {
				CHECK_EQ((uintptr_t)loan.bytes % alignment, 0);
				fill(loan.bytes, length, sent);
				lengths[sent++] = length;
				CHECK_RC(stoa_sender_commit(pair.sender, &loan), 0);
				continue;
			}
			rc = stoa_receiver_receive(pair.receiver, STOA_TRY, &message);
			if (rc == STOA_TIMED_OUT) {
				CHECK_EQ(sent, received);
				continue;
			}
			CHECK_RC(rc, 0);
			CHECK_EQ(message.sequence, received);
			CHECK_EQ(message.length, lengths[received]);
			CHECK(message.time >= last);
			last = message.time;
			check_filled(message.bytes, message.length, received++);
			CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
		}
		close_pair(&pair);
	}
}

TEST(loans_out_of_order)
{
	struct pair pair = open_pair(NULL, NULL);
	struct stoa_loan loans[5], more;
	struct stoa_message message;

	for (uint64_t i = 0; i < 5; i++) {
		CHECK_RC(stoa_sender_loan(pair.sender, 200, STOA_TRY, &loans[i]), 0);
		fill(loans[i].bytes, 200, i);
	}
	CHECK_RC(stoa_sender_commit(pair.sender, &loans[2]), 0);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	CHECK_RC(stoa_sender_commit(pair.sender, &loans[2]), -STOA_EINVAL);
	CHECK_RC(stoa_sender_cancel(pair.sender, &loans[1]), 0);
	loans[0].length = 10; /* shorter than it was lent */
	CHECK_RC(stoa_sender_commit(pair.sender, &loans[0]), 0);
	loans[3].length = 201;
	CHECK_RC(stoa_sender_commit(pair.sender, &loans[3]), -STOA_EINVAL);
	loans[3].length = 0;
	CHECK_RC(stoa_sender_commit(pair.sender, &loans[3]), 0);
	CHECK_RC(stoa_sender_cancel(pair.sender, &loans[4]), 0);
	CHECK_RC(stoa_sender_cancel(pair.sender, &loans[4]), -STOA_EINVAL);
	send_number(pair.sender, 7);

	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	CHECK_EQ(message.length, 10);
	check_filled(message.bytes, 10, 0);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	check_filled(message.bytes, 200, 2);
	CHECK_EQ(message.sequence, 1);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	CHECK_EQ(message.length, 0);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	CHECK_EQ(receive_number(pair.receiver), 7);

	for (uint64_t i = 0; i < STOA_LOANS_MAX; i++)
		CHECK_RC(stoa_sender_loan(pair.sender, 1, STOA_TRY, &more), 0);
	CHECK_RC(stoa_sender_loan(pair.sender, 1, STOA_TRY, &loans[0]), -STOA_ELIMIT);
	close_pair(&pair);
}

/* The ring is full of what one slow reader holds; its room comes back when the oldest is released. */
TEST(releases_out_of_order)
{
	const struct stoa_channel_options options = {.ring = 4096};
	struct pair pair = open_pair(&options, NULL);
	struct stoa_message held[STOA_UNRELEASED_MAX], one;
	uint64_t count = 0, bytes[8] = {0};

	while (stoa_sender_send(pair.sender, bytes, sizeof(bytes), STOA_TRY) == 0)
		bytes[0] = ++count;
	CHECK_INT(count, >, 30);
	CHECK_INT(count, <, STOA_UNRELEASED_MAX);
	for (uint64_t i = 0; i < count; i++)
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &held[i]), 0);
	for (uint64_t i = count - 1; i > 0; i--) {
		CHECK_EQ(*(const uint64_t *)held[i].bytes, i);
		CHECK_RC(stoa_receiver_release(pair.receiver, &held[i]), 0);
		CHECK_RC(stoa_receiver_release(pair.receiver, &held[i]), -STOA_EINVAL);
		CHECK_RC(stoa_sender_send(pair.sender, bytes, sizeof(bytes), STOA_TRY), STOA_TIMED_OUT);
	}
	CHECK_RC(stoa_receiver_release(pair.receiver, &held[0]), 0);
	for (uint64_t i = 0; i < count; i++)
		send_number(pair.sender, i);
	for (uint64_t i = 0; i < count; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &one), STOA_TIMED_OUT);
	close_pair(&pair);
}

TEST(cancelled_loans_cost_no_room)
{
	const struct stoa_channel_options options = {.ring = 4096};
	struct pair pair = open_pair(&options, NULL);
	struct stoa_loan a, b;
	struct stoa_message message;

	for (unsigned i = 0; i < 1000; i++) {
		CHECK_RC(stoa_sender_loan(pair.sender, 500, STOA_TRY, &a), 0);
		CHECK_RC(stoa_sender_loan(pair.sender, 700, STOA_TRY, &b), 0);
		CHECK_RC(stoa_sender_cancel(pair.sender, i % 2 ? &a : &b), 0);
		CHECK_RC(stoa_sender_cancel(pair.sender, i % 2 ? &b : &a), 0);
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	}
	close_pair(&pair);
}

TEST(copies)
{
	struct pair pair = open_pair(NULL, NULL);
	unsigned char buffer[1000];
	struct stoa_message message;

	fill(buffer, sizeof(buffer), 1);
	CHECK_RC(stoa_sender_send(pair.sender, buffer, sizeof(buffer), STOA_TRY), 0);
	CHECK_RC(stoa_sender_send(pair.sender, NULL, 0, STOA_TRY), 0);
	memset(buffer, 0, sizeof(buffer));
	CHECK_RC(stoa_receiver_recv(pair.receiver, buffer, 999, STOA_TRY, &message), -STOA_ERANGE);
	CHECK_RC(stoa_receiver_recv(pair.receiver, buffer, 1000, STOA_TRY, &message), 0);
	CHECK(message.bytes == buffer && message.length == 1000);
	check_filled(buffer, 1000, 1);
	CHECK_RC(stoa_receiver_recv(pair.receiver, NULL, 0, STOA_TRY, &message), 0);
	CHECK_EQ(message.length, 0);
	CHECK_RC(stoa_receiver_recv(pair.receiver, buffer, 1000, STOA_TRY, &message), STOA_TIMED_OUT);
	close_pair(&pair);
}

/* Each message to one of the receivers; what one holds is not overwritten, while the others go on. */
TEST(several_receivers_share)
{
	const struct stoa_channel_options options = {.ring = 4096, .senders = 3, .receivers = 2};
	struct stoa_channel *channel;
	struct stoa_sender *senders[3];
	struct stoa_receiver *receivers[2];
	uint64_t next[3] = {0, 0, 0}, seed = test_seed(), sent[3] = {0, 0, 0};
	struct stoa_message message;
	unsigned got = 0;

	CHECK_RC(stoa_channel_create(NULL, &options, &channel), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_RC(stoa_sender_join(channel, NULL, &senders[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		CHECK_RC(stoa_receiver_join(channel, NULL, &receivers[i]), 0);
	while (got < 10000) {
		unsigned who = (unsigned)(test_random(&seed) % 3);

		if (stoa_sender_send(senders[who], &sent[who], 8, STOA_TRY) == 0)
			sent[who]++;
		if (stoa_receiver_receive(receivers[got % 2], STOA_TRY, &message))
			continue;
		/* In this one process even the order among receivers can be told. */
		CHECK_EQ(number_in(&message), next[message.sender]++);
		CHECK_RC(stoa_receiver_release(receivers[got++ % 2], &message), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		stoa_sender_leave(senders[i]);
	for (unsigned i = 0; i < 2; i++)
		stoa_receiver_leave(receivers[i]);
	stoa_channel_close(channel);
}

TEST(a_broadcast_reaches_all)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .receivers = 3, .ring = 4096};
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_receiver *receivers[3];

	CHECK_RC(stoa_channel_create(NULL, &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receivers[0]), 0);
	for (uint64_t i = 0; i < 10; i++)
		send_number(sender, i);
	CHECK_RC(stoa_receiver_join(channel, &(struct stoa_receiver_options){.from = STOA_FROM_OLDEST}, &receivers[1]),
		 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receivers[2]), 0);
	for (uint64_t i = 10; i < 20; i++)
		send_number(sender, i);
	for (uint64_t i = 0; i < 20; i++) {
		CHECK_EQ(receive_number(receivers[0]), i);
		CHECK_EQ(receive_number(receivers[1]), i);
	}
	for (uint64_t i = 10; i < 20; i++)
		CHECK_EQ(receive_number(receivers[2]), i);
	for (unsigned i = 0; i < 3; i++)
		stoa_receiver_leave(receivers[i]);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

/* Exactly as many are told lost as were; what is received is whole and in order. */
TEST(the_slow_lose_the_oldest)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	struct pair pair = open_pair(&options, &(struct stoa_receiver_options){.when_slow = STOA_DROP_OLDEST});
	uint64_t seed = test_seed(), sent = 0, next = 0, lost = 0;
	struct stoa_message message;

	while (next < 20000) {
		unsigned burst = (unsigned)(test_random(&seed) % 400);

		for (unsigned i = 0; i < burst; i++)
			send_number(pair.sender, sent++);
		while (stoa_receiver_receive(pair.receiver, STOA_TRY, &message) == 0) {
			next += message.lost;
			lost += message.lost;
			CHECK_EQ(message.sequence, next);
			CHECK_EQ(number_in(&message), next++);
			CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
			if (test_random(&seed) % 50 == 0)
				break;
		}
	}
	CHECK_INT(lost, >, 100);
	while (stoa_receiver_receive(pair.receiver, STOA_TRY, &message) == 0) {
		next += message.lost + 1;
		CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	}
	CHECK_EQ(next, sent);

	/* Held while it is overwritten: told at the release. */
	send_number(pair.sender, sent++);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	for (unsigned i = 0; i < 400; i++)
		send_number(pair.sender, sent++);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), STOA_OVERRUN);
	close_pair(&pair);
}

TEST(those_who_lag_are_detached)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	struct pair pair = open_pair(&options, &(struct stoa_receiver_options){.when_slow = STOA_DETACH, .lag = 5});
	struct stoa_message message;

	for (uint64_t i = 0; i < 5; i++)
		send_number(pair.sender, i);
	for (uint64_t i = 0; i < 5; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	for (uint64_t i = 0; i < 6; i++)
		send_number(pair.sender, i);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), -STOA_ECLOSED);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), -STOA_ECLOSED);
	close_pair(&pair);

	pair = open_pair(&options, &(struct stoa_receiver_options){.when_slow = STOA_DETACH});
	for (uint64_t i = 0; i < 200; i++)
		send_number(pair.sender, i);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), -STOA_ECLOSED);
	close_pair(&pair);
}

TEST(the_blocking_are_waited_for)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096, .receivers = 2};
	struct pair pair = open_pair(&options, NULL);
	uint64_t count = 0, number = 0;

	while (stoa_sender_send(pair.sender, &count, 8, STOA_TRY) == 0)
		count++;
	CHECK_INT(count, <, 128);
	CHECK_RC(stoa_sender_send(pair.sender, &number, 8, stoa_deadline_in(MILLISECOND)), STOA_TIMED_OUT);
	for (uint64_t i = 0; i < count; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	CHECK_RC(stoa_sender_send(pair.sender, &number, 8, STOA_TRY), 0);
	stoa_receiver_leave(pair.receiver);
	for (uint64_t i = 0; i < 1000; i++) /* nobody is there */
		send_number(pair.sender, i);
	pair.receiver = NULL;
	close_pair(&pair);
}

/* What is left when a sender dies after its last record's word, before it counts it: who joins then has lost nothing. */
TEST(the_uncounted_are_counted_by_the_next)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096, .receivers = 2};
	struct pair pair = open_pair(&options, NULL);
	struct channel_lane *lane = pair.channel->lanes;
	struct stoa_receiver *late;
	struct stoa_message message;
	uint64_t tail, sent;

	send_number(pair.sender, 0);
	tail = load_rlx(&lane->tail);
	sent = load_rlx(&lane->sent);
	send_number(pair.sender, 1);
	store_rlx(&lane->tail, tail);
	store_rlx(&lane->sent, sent);
	stoa_sender_leave(pair.sender);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	CHECK_RC(stoa_receiver_join(pair.channel, NULL, &late), 0);
	send_number(pair.sender, 2);
	CHECK_RC(stoa_receiver_receive(late, STOA_TRY, &message), 0);
	CHECK_EQ(number_in(&message), 2);
	CHECK_EQ(message.sequence, 2);
	CHECK_EQ(message.lost, 0);
	stoa_receiver_leave(late);
	for (uint64_t i = 0; i < 3; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	close_pair(&pair);
}

/* A sender died that had raised the floor, and had not yet looked whether somebody joined below it. */
TEST(a_floor_that_was_only_raised_gives_nothing_up)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	struct pair pair = open_pair(&options, NULL);
	struct channel_lane *lane = pair.channel->lanes;
	uint64_t count = 0;

	while (count < 10)
		send_number(pair.sender, count++);
	store_rlx(&lane->floor, load_rlx(&lane->tail));
	stoa_sender_leave(pair.sender);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	while (count < 400 && stoa_sender_send(pair.sender, &count, 8, STOA_TRY) == 0)
		count++;
	CHECK_INT(count, <, 128);
	for (uint64_t i = 0; i < count; i++)
		CHECK_EQ(receive_number(pair.receiver), i);
	close_pair(&pair);
}

TEST(peers_that_leave)
{
	const struct stoa_receiver_options receiving = {.flags = STOA_UNTIL_PEERS_LEAVE};
	const struct stoa_sender_options sending = {.flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_channel *channel;
	struct stoa_sender *sender, *second;
	struct stoa_receiver *receiver;
	struct stoa_message message;
	uint64_t number = 0;

	CHECK_RC(stoa_channel_create(NULL, &(struct stoa_channel_options){.ring = 4096}, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, &receiving, &receiver), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), STOA_TIMED_OUT); /* nobody came yet */
	CHECK_RC(stoa_sender_join(channel, &sending, &sender), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &second), -STOA_ELIMIT);
	send_number(sender, 1);
	stoa_sender_leave(sender);
	CHECK_EQ(receive_number(receiver), 1);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), STOA_CLOSED);
	CHECK_RC(stoa_sender_join(channel, &sending, &sender), 0); /* the place's next owner goes on */
	send_number(sender, 2);
	CHECK_EQ(receive_number(receiver), 2);
	stoa_receiver_leave(receiver);
	while (stoa_sender_send(sender, &number, 8, STOA_TRY) == 0)
		number++;
	CHECK_RC(stoa_sender_send(sender, &number, 8, STOA_FOREVER), STOA_CLOSED);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

TEST(options_are_checked)
{
	static const struct stoa_channel_options wrong[] = {
		{.kind = 2},
		{.flags = 2},
		{.senders = 65},
		{.receivers = 65},
		{.ring = 5000},
		{.ring = 2048},
		{.alignment = 8},
		{.alignment = 48},
		{.ring = UINT64_C(1) << 31},
		{.segment_flags = STOA_RAW},
		{.ring = 4096, .alignment = 4096},
	};
	struct stoa_channel *channel = NULL;
	struct stoa_receiver *receiver = NULL;
	struct stoa_sender *sender = NULL;

	for (unsigned i = 0; i < CC_COUNT(wrong); i++)
		CHECK_RC(stoa_channel_create(NULL, &wrong[i], &channel), -STOA_EINVAL);
	CHECK_RC(stoa_channel_create(NULL, NULL, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_channel_create(NULL, NULL, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, &(struct stoa_receiver_options){.from = STOA_FROM_OLDEST}, &receiver),
		 -STOA_EINVAL);
	CHECK_RC(stoa_receiver_join(channel, &(struct stoa_receiver_options){.waiting = 3}, &receiver), -STOA_EINVAL);
	CHECK_RC(stoa_sender_join(channel, &(struct stoa_sender_options){.flags = 2}, &sender), -STOA_EINVAL);
	CHECK_RC(stoa_sender_join(NULL, NULL, &sender), -STOA_EINVAL);
	stoa_channel_close(channel);
}

TEST(names_and_places)
{
	const char *name = test_name("channel"), *data = test_name("data");
	const struct stoa_channel_options options = {.ring = 4096, .senders = 2};
	struct stoa_channel *made, *opened, *channel = NULL;
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;
	uint64_t size;

	CHECK_RC(stoa_channel_open(name, 0, &channel), -STOA_ENOENT);
	CHECK_RC(stoa_channel_create_or_open(name, &options, &made), 0);
	CHECK_RC(stoa_channel_create(name, &options, &opened), -STOA_EEXIST);
	CHECK_RC(stoa_channel_create_or_open(name, NULL, &opened), STOA_EXISTED);
	CHECK_EQ(opened->plan.shape.senders, 2);
	CHECK_RC(stoa_mutex_open(name, NULL, &segment, &mutex), -STOA_EKIND);
	stoa_channel_close(opened);
	stoa_channel_close(made);
	CHECK_RC(stoa_channel_open(name, 0, &channel), -STOA_ENOENT);

	CHECK_RC(stoa_segment_create(data, 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_channel_open(data, 0, &channel), -STOA_EKIND);
	CHECK_RC(stoa_channel_attach(segment, 4096, &channel), -STOA_EFORMAT);
	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_RC(stoa_channel_place(segment, 100, &options, &made), -STOA_EINVAL);
	CHECK_RC(stoa_channel_place(segment, (1 << 20) - size + 4096, &options, &made), -STOA_ERANGE);
	CHECK_RC(stoa_channel_place(segment, 4096, &options, &made), 0);
	CHECK_RC(stoa_channel_attach(segment, 4096, &opened), 0);
	CHECK_RC(stoa_channel_attach(segment, 0, &channel), -STOA_EFORMAT);
	stoa_channel_close(opened);
	stoa_channel_close(made);
	((unsigned char *)stoa_segment_address(segment))[4096 + 20] ^= 1;
	CHECK_RC(stoa_channel_attach(segment, 4096, &opened), -STOA_EFORMAT);
	stoa_segment_close(segment);
}

static struct stoa_waitable end_of(void *end, uint32_t kind)
{
	return (struct stoa_waitable){NULL, end, kind, 0};
}

/* A waitable beside others, and a descriptor to poll. */
TEST(ends_in_wait_sets)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.ring = 4096}, NULL);
	struct stoa_segment *segment;
	struct stoa_event *event;
	struct stoa_waitable set[4];
	struct stoa_watch *watch;
	uint64_t number = 0;
	size_t index = 9;

	CHECK_RC(stoa_event_open(test_name("event"), NULL, &segment, &event), 0);
	set[0] = (struct stoa_waitable){segment, event, STOA_WAIT_EVENT, 0};
	set[1] = end_of(pair.receiver, STOA_WAIT_RECEIVER);
	set[2] = end_of(pair.receiver, STOA_WAIT_NO_SENDERS);
	set[3] = end_of(pair.sender, STOA_WAIT_NO_RECEIVERS);
	CHECK_RC(stoa_wait_any(set, 4, stoa_deadline_in(MILLISECOND), &index), STOA_TIMED_OUT);
	send_number(pair.sender, 1);
	CHECK_RC(stoa_wait_any(set, 4, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_event_set(segment, event), 0);
	CHECK_RC(stoa_wait_all(set, 2, STOA_FOREVER, NULL), 0);
	CHECK_RC(stoa_event_wait(segment, event, STOA_TRY), STOA_TIMED_OUT);
	CHECK_EQ(receive_number(pair.receiver), 1);
	set[1] = end_of(pair.receiver, STOA_WAIT_SENDER);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), -STOA_EINVAL);
	set[1] = set[2];
	CHECK_RC(stoa_wait_any(set, 3, STOA_TRY, &index), -STOA_EINVAL); /* the same twice */

	CHECK_RC(stoa_watch_open(&(struct stoa_waitable){NULL, pair.receiver, STOA_WAIT_RECEIVER, 0}, &watch), 0);
	CHECK(!test_readable(stoa_watch_descriptor(watch), 10));
	send_number(pair.sender, 2);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	CHECK_EQ(receive_number(pair.receiver), 2);
	stoa_watch_close(watch);

	while (stoa_sender_send(pair.sender, &number, 8, STOA_TRY) == 0)
		number++;
	set[1] = end_of(pair.sender, STOA_WAIT_SENDER);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), STOA_TIMED_OUT);
	CHECK_RC(stoa_watch_open(&set[1], &watch), 0);
	CHECK(!test_readable(stoa_watch_descriptor(watch), 10));
	receive_number(pair.receiver);
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK(test_readable(stoa_watch_descriptor(watch), -1));
	stoa_watch_close(watch);

	stoa_receiver_leave(pair.receiver);
	pair.receiver = NULL;
	CHECK_RC(stoa_wait_any(&set[3], 1, STOA_FOREVER, &index), 0);
	stoa_segment_close(segment);
	close_pair(&pair);
}
