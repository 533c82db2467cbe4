/* SPDX-License-Identifier: MIT */
/* Channels: messages that are too large for their ring, in their lanes' areas. */
#include <harness/test.h>

#include <base/atomic.h>
#include <base/hash.h>
#include <channel/channel.h>
#include <channel_pair.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define MILLISECOND UINT64_C(1000000)

/* A message says what it is at its begin and its end, and in between wherever a page begins. */
static void mark(unsigned char *bytes, uint64_t length, uint64_t number)
{
	for (uint64_t at = 0; at + 8 <= length; at += 4096)
		memcpy(bytes + at, &number, 8);
	if (length >= 8)
		memcpy(bytes + length - 8, &number, 8);
}

static void check_marked(const struct stoa_message *message, uint64_t length, uint64_t number)
{
	const unsigned char *bytes = message->bytes;

	CHECK_EQ(message->length, length);
	for (uint64_t at = 0; at + 8 <= length; at += 4096) {
		uint64_t found;

		memcpy(&found, bytes + at, 8);
		CHECK(found == number || at + 16 > length); /* the end's mark may lie over it */
	}
	if (length >= 8)
		CHECK(memcmp(bytes + length - 8, &number, 8) == 0);
}

static int send_marked(struct stoa_sender *sender, uint64_t length, uint64_t number)
{
	struct stoa_loan loan;
	int rc = stoa_sender_loan(sender, length, STOA_TRY, &loan);

	if (rc)
		return rc;
	CHECK_EQ(loan.length, length);
	mark(loan.bytes, length, number);
	return stoa_sender_commit(sender, &loan);
}

static void receive_marked(struct stoa_receiver *receiver, uint64_t length, uint64_t number)
{
	struct stoa_message message;

	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
	check_marked(&message, length, number);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

/* From what just fits the ring to the largest, between small ones, in order. */
TEST(all_sizes)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.ring = 16 * KIB, .large = 8 * MIB}, NULL);
	const uint64_t most = pair.channel->plan.payload_max;
	const uint64_t lengths[] = {most,        most + 1,    8,           4096, 16 * KIB,    16 * KIB + 1,
				    64 * KIB,    1 * MIB + 7, 16,          0,    3 * MIB - 1, 8 * MIB,
				    8 * MIB - 1, most + 1,    5 * MIB + 1, 100};
	struct stoa_loan loan;

	CHECK_INT(most, <, 8 * KIB);
	for (unsigned i = 0; i < CC_COUNT(lengths); i++) {
		CHECK_RC(send_marked(pair.sender, lengths[i], i), 0);
		receive_marked(pair.receiver, lengths[i], i);
	}
	for (unsigned round = 0; round < 200; round++) {
		CHECK_RC(send_marked(pair.sender, 8, round), 0);
		CHECK_RC(send_marked(pair.sender, 10000 + round * 9001, round), 0);
		CHECK_RC(send_marked(pair.sender, 100, round), 0);
		receive_marked(pair.receiver, 8, round);
		receive_marked(pair.receiver, 10000 + round * 9001, round);
		receive_marked(pair.receiver, 100, round);
	}
	CHECK_RC(stoa_sender_loan(pair.sender, 8 * MIB + 1, STOA_TRY, &loan), -STOA_ERANGE);
	close_pair(&pair);
}

/* What was released is used again: a thousand messages of a MiB take the memory of one; with three on their way, of four at most. */
TEST(the_area_is_used_again)
{
	struct pair pair = open_pair(NULL, NULL);
	_Atomic uint64_t *used = &pair.channel->lanes[0].area_used;

	for (unsigned i = 0; i < 1000; i++) {
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
		receive_marked(pair.receiver, MIB, i);
	}
	CHECK_EQ(load_rlx(used), MIB);
	for (unsigned i = 0; i < 2; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	for (unsigned i = 0; i < 500; i++) {
		CHECK_RC(send_marked(pair.sender, MIB, i + 2), 0);
		receive_marked(pair.receiver, MIB, i);
	}
	CHECK_INT(load_rlx(used), <=, 4 * MIB);
	close_pair(&pair);
}

/* As many as the area holds; the next one finds room when the oldest is released, out of order or not. */
TEST(a_full_area)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.large = 4 * MIB}, NULL);
	struct stoa_message held[4], message;

	for (unsigned i = 0; i < 4; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	CHECK_RC(send_marked(pair.sender, MIB, 4), STOA_TIMED_OUT);
	CHECK_RC(send_marked(pair.sender, 100, 4), 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &held[i]), 0);
	for (unsigned i = 3; i > 0; i--)
		CHECK_RC(stoa_receiver_release(pair.receiver, &held[i]), 0);
	CHECK_RC(send_marked(pair.sender, MIB, 5), STOA_TIMED_OUT);
	check_marked(&held[0], MIB, 0);
	CHECK_RC(stoa_receiver_release(pair.receiver, &held[0]), 0);
	receive_marked(pair.receiver, 100, 4);
	for (unsigned i = 5; i < 9; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	for (unsigned i = 5; i < 9; i++)
		receive_marked(pair.receiver, MIB, i);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	close_pair(&pair);
}

/* More than the book has lines for, in a ring that has room for all: they wait for each other. */
TEST(very_many)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.ring = 4096 * 8, .large = 64 * MIB}, NULL);
	uint64_t sent = 0, received = 0;

	for (unsigned round = 0; round < 5; round++) {
		while (send_marked(pair.sender, 9000, sent) == 0)
			sent++;
		CHECK_INT(sent - received, >, 100);
		while (received < sent - round)
			receive_marked(pair.receiver, 9000, received++);
	}
	close_pair(&pair);
}

TEST(loans_that_are_not_sent)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.large = 4 * MIB}, NULL);
	struct stoa_loan a, b, c;

	for (unsigned i = 0; i < 10; i++) {
		CHECK_RC(stoa_sender_loan(pair.sender, 3 * MIB, STOA_TRY, &a), 0);
		CHECK_RC(stoa_sender_cancel(pair.sender, &a), 0);
		CHECK_RC(stoa_sender_cancel(pair.sender, &a), -STOA_EINVAL);
	}
	CHECK_EQ(load_rlx(&pair.channel->lanes[0].area_used), 3 * MIB);
	CHECK_RC(stoa_sender_loan(pair.sender, MIB, STOA_TRY, &a), 0);
	CHECK_RC(stoa_sender_loan(pair.sender, MIB, STOA_TRY, &b), 0);
	CHECK_RC(stoa_sender_loan(pair.sender, MIB, STOA_TRY, &c), 0);
	mark(a.bytes, MIB, 1);
	a.length = MIB - 1;
	CHECK_RC(stoa_sender_cancel(pair.sender, &b), 0);
	mark(c.bytes, 100, 3);
	c.length = 100;
	CHECK_RC(stoa_sender_commit(pair.sender, &c), 0);
	a.length = MIB + 1;
	CHECK_RC(stoa_sender_commit(pair.sender, &a), -STOA_EINVAL);
	a.length = MIB;
	CHECK_RC(stoa_sender_commit(pair.sender, &a), 0);
	receive_marked(pair.receiver, MIB, 1);
	receive_marked(pair.receiver, 100, 3);
	CHECK_RC(send_marked(pair.sender, 4 * MIB, 4), 0);
	receive_marked(pair.receiver, 4 * MIB, 4);
	close_pair(&pair);
}

/* A broadcast keeps some for those who join, and tells who was too slow. */
TEST(broadcasts)
{
	const struct stoa_channel_options options = {
		.kind = STOA_BROADCAST, .receivers = 2, .large = 16 * MIB, .ring = 4096};
	struct pair pair = open_pair(&options, &(struct stoa_receiver_options){.when_slow = STOA_DROP_OLDEST});
	struct stoa_receiver *late;
	struct stoa_message message, next;
	uint64_t number = 0, lost;

	CHECK_RC(send_marked(pair.sender, MIB, number++), 0);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	check_marked(&message, MIB, 0);
	while (number < 100)
		CHECK_RC(send_marked(pair.sender, MIB, number++), 0);
	CHECK_INT(load_rlx(&pair.channel->lanes[0].area_used), <=, 8 * MIB);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), STOA_OVERRUN);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &next), 0);
	lost = next.lost;
	CHECK_INT(lost, >, 80);
	check_marked(&next, MIB, lost + 1);
	CHECK_RC(stoa_receiver_release(pair.receiver, &next), 0);

	CHECK_RC(stoa_receiver_join(pair.channel, &(struct stoa_receiver_options){.from = STOA_FROM_OLDEST}, &late), 0);
	CHECK_RC(stoa_receiver_receive(late, STOA_TRY, &message), 0);
	CHECK_INT(message.sequence, <, 99);
	check_marked(&message, MIB, message.sequence);
	while (send_marked(pair.sender, MIB, number) == 0)
		number++;
	check_marked(&message, MIB, message.sequence); /* it blocks the sender */
	CHECK_RC(stoa_receiver_release(late, &message), 0);
	for (uint64_t i = message.sequence + 1; i < number; i++)
		receive_marked(late, MIB, i);
	stoa_receiver_leave(late);
	close_pair(&pair);
}

/* Only the oldest makes room: who is up to date loses nothing, and who comes late finds what is kept. */
TEST(no_more_is_given_up_than_needed)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .receivers = 2, .large = 16 * MIB};
	struct pair pair = open_pair(&options, &(struct stoa_receiver_options){.when_slow = STOA_DROP_OLDEST});
	struct stoa_receiver *late;
	struct stoa_message message;
	uint64_t number = 0;

	while (number < 50) {
		CHECK_RC(send_marked(pair.sender, MIB, number++), 0);
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
		CHECK_RC(send_marked(pair.sender, MIB, number++), 0);
		check_marked(&message, MIB, number - 2);
		CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
		receive_marked(pair.receiver, MIB, number - 1);
		CHECK_RC(stoa_receiver_join(pair.channel, &(struct stoa_receiver_options){.from = STOA_FROM_OLDEST},
					    &late),
			 0);
		for (uint64_t i = number > 4 ? number - 4 : 0; i < number; i++)
			receive_marked(late, MIB, i);
		stoa_receiver_leave(late);
	}
	CHECK_INT(load_rlx(&pair.channel->lanes[0].area_used), <=, 8 * MIB);
	close_pair(&pair);
}

/* A sender that was refused nothing can be waited for, whatever is on its way. */
TEST(ready_unless_refused)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.large = 4 * MIB}, NULL);
	struct stoa_waitable sender = {NULL, pair.sender, STOA_WAIT_SENDER, 0};

	for (unsigned i = 0; i < 4; i++) {
		CHECK_RC(stoa_wait_any(&sender, 1, STOA_TRY, NULL), 0);
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	}
	CHECK_RC(send_marked(pair.sender, MIB, 4), STOA_TIMED_OUT);
	CHECK_RC(stoa_wait_any(&sender, 1, STOA_TRY, NULL), STOA_TIMED_OUT);
	receive_marked(pair.receiver, MIB, 0);
	CHECK_RC(stoa_wait_any(&sender, 1, STOA_TRY, NULL), 0);
	close_pair(&pair);
}

/* What a sender left stays whole while the next one sends. */
TEST(the_next_sender)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.large = 8 * MIB}, NULL);

	for (unsigned i = 0; i < 3; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	receive_marked(pair.receiver, MIB, 0);
	stoa_sender_leave(pair.sender);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	for (unsigned i = 3; i < 8; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	CHECK_RC(send_marked(pair.sender, MIB, 8), STOA_TIMED_OUT);
	for (unsigned i = 1; i < 8; i++)
		receive_marked(pair.receiver, MIB, i);
	for (unsigned i = 8; i < 16; i++)
		CHECK_RC(send_marked(pair.sender, MIB, i), 0);
	for (unsigned i = 8; i < 16; i++)
		receive_marked(pair.receiver, MIB, i);
	close_pair(&pair);
}

TEST(in_a_segment)
{
	const struct stoa_channel_options options = {.large = 2 * MIB + 5, .alignment = 256}, none = {.ring = 4096};
	struct stoa_segment *segment;
	struct stoa_channel *channel;
	uint64_t size, without;
	struct stoa_loan loan;
	struct pair pair;

	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_RC(stoa_channel_size(&none, &without), 0);
	CHECK_INT(size, >, 2 * MIB + without);
	CHECK_RC(stoa_segment_create(NULL, 16 * MIB, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 4 * MIB, &options, &pair.channel), 0);
	CHECK_INT(stoa_segment_committed(segment), >=, 4 * MIB + size);
	CHECK_RC(stoa_channel_attach(segment, 4 * MIB, &channel), 0);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &pair.receiver), 0);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_RC(send_marked(pair.sender, 2 * MIB + 4096, i), 0);
		receive_marked(pair.receiver, 2 * MIB + 4096, i);
	}
	close_pair(&pair);
	stoa_channel_close(channel);
	CHECK_RC(stoa_channel_place(segment, 0, &none, &pair.channel), 0);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	CHECK_RC(stoa_sender_loan(pair.sender, 2000, STOA_TRY, &loan), -STOA_ERANGE);
	stoa_sender_leave(pair.sender);
	stoa_channel_close(pair.channel);
	stoa_segment_close(segment);
	CHECK_RC(stoa_channel_create(NULL, &(struct stoa_channel_options){.large = (UINT64_C(1) << 40) + 1}, &channel),
		 -STOA_EINVAL);
}

/* An enemy's place is one in the area, that is there, or the message is refused. */
TEST(places_of_an_enemy)
{
	const struct {
		uint64_t offset, length;
		int rc;
	} places[] = {
		{0, 100000, 0},
		{4096, 4096, 0},
		{4096, 100, 0},
		{1, 4096, -STOA_EFORMAT},
		{UINT64_MAX - 4095, 8192, -STOA_EFORMAT},
		{0, 8 * MIB + 1, -STOA_EFORMAT},
		{8 * MIB, 1, -STOA_EFORMAT},
		{8 * MIB - 4096, 4097, -STOA_EFORMAT},
		{4096, UINT64_MAX, -STOA_EFORMAT},
		{0, 2 * MIB, -STOA_EFORMAT}, /* not committed */
		{7 * MIB, 4096, -STOA_EFORMAT},
	};

	for (unsigned i = 0; i < CC_COUNT(places); i++) {
		struct pair pair = open_pair(&(struct stoa_channel_options){.large = 8 * MIB}, NULL);
		struct channel_place *place;
		struct stoa_message message;

		CHECK_RC(send_marked(pair.sender, 100000, 1), 0);
		place = record_place(&pair.channel->plan.form, (void *)channel_ring(pair.channel, 0));
		CHECK_EQ(load_rlx(&place->offset), 0);
		CHECK_EQ(load_rlx(&place->length), 100000);
		store_rlx(&place->offset, places[i].offset);
		store_rlx(&place->length, places[i].length);
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), places[i].rc);
		if (places[i].rc == 0) {
			CHECK(message.bytes == channel_area(pair.channel, 0) + places[i].offset);
			CHECK_EQ(message.length, places[i].length);
		}
		close_pair(&pair);
	}
}

/* ---- between processes ---- */

struct exchange {
	char name[64];
	uint64_t seed, messages;
	uint32_t waiting;
	_Atomic uint32_t ready;
};

#define LENGTH_MAX (400 * KIB)

/* Hash, number, then random bytes. */
static uint64_t length_of(uint64_t *seed)
{
	uint64_t most = test_random(seed) % 4 ? 2000 : LENGTH_MAX;

	return 16 + test_random(seed) % (most - 16);
}

static void be_sender(void *argument)
{
	const struct exchange *exchange = argument;
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	uint64_t seed = exchange->seed;

	CHECK_RC(stoa_channel_open(exchange->name, 0, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, &(struct stoa_sender_options){.waiting = exchange->waiting}, &sender), 0);
	for (uint64_t i = 0; i < exchange->messages; i++) {
		uint64_t length = length_of(&seed), check;
		struct stoa_loan loan;
		unsigned char *bytes;

		CHECK_RC(stoa_sender_loan(sender, length, STOA_FOREVER, &loan), 0);
		bytes = loan.bytes;
		memcpy(bytes + 8, &i, 8);
		memset(bytes + 16, (int)(i * 13), length - 16);
		check = hash_bytes(bytes + 8, length - 8);
		memcpy(bytes, &check, 8);
		CHECK_RC(stoa_sender_commit(sender, &loan), 0);
	}
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

static void be_receiver(void *argument)
{
	struct exchange *exchange = argument;
	const struct stoa_receiver_options options = {.waiting = exchange->waiting, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_channel *channel;
	struct stoa_receiver *receiver;
	struct stoa_message message;
	uint64_t seed = exchange->seed, next = 0;
	int rc;

	CHECK_RC(stoa_channel_open(exchange->name, 0, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	store_rlx(&exchange->ready, 1);
	while ((rc = stoa_receiver_receive(receiver, STOA_FOREVER, &message)) == 0) {
		uint64_t check, number;

		CHECK_EQ(message.length, length_of(&seed));
		memcpy(&check, message.bytes, 8);
		memcpy(&number, (const unsigned char *)message.bytes + 8, 8);
		CHECK_EQ(number, next++);
		CHECK_EQ(check, hash_bytes((const unsigned char *)message.bytes + 8, message.length - 8));
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
	CHECK_RC(rc, STOA_CLOSED);
	CHECK_EQ(next, exchange->messages);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

static void exchange_all(uint32_t waiting, uint64_t messages)
{
	const struct stoa_channel_options options = {.ring = 4096, .large = 2 * MIB};
	struct exchange *exchange = test_shared(sizeof(*exchange));
	struct stoa_channel *channel;
	pid_t roles[2];

	snprintf(exchange->name, sizeof(exchange->name), "%s", test_name("large"));
	exchange->seed = test_seed();
	exchange->messages = messages;
	exchange->waiting = waiting;
	CHECK_RC(stoa_channel_create(exchange->name, &options, &channel), 0);
	roles[0] = test_role(be_receiver, exchange);
	while (!load_rlx(&exchange->ready))
		test_nap(1);
	roles[1] = test_role(be_sender, exchange);
	CHECK_EQ(test_join(roles[1]), 0);
	CHECK_EQ(test_join(roles[0]), 0);
	stoa_channel_close(channel);
}

TEST_TIMEOUT(from_process_to_process, 60)
{
	exchange_all(STOA_BALANCED, test_rounds(3000, 300000));
}

TEST_TIMEOUT(from_process_to_process_asleep, 60)
{
	exchange_all(STOA_SLEEP, test_rounds(1000, 100000));
}
