/* SPDX-License-Identifier: MIT */
/* Channels: several messages at once. */
#include <harness/test.h>

#include <channel/channel.h>
#include <channel_pair.h>
#include <stoa/stoa.h>
#include <string.h>

#define MANY 50

/* Numbers from `first` on, as messages of different sizes. */
static unsigned char texts[MANY][3000];
static void make_batch(struct stoa_bytes *messages, uint32_t count, uint64_t first)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t number = first + i;

		memcpy(texts[i], &number, sizeof(number));
		messages[i] = (struct stoa_bytes){texts[i], i % 7 == 6 ? 2000 + i : 8 + i};
	}
}

static void check_numbers(const struct stoa_message *messages, uint32_t count, uint64_t first)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t number;

		CHECK_INT(messages[i].length, >=, sizeof(number));
		memcpy(&number, messages[i].bytes, sizeof(number));
		CHECK_EQ(number, first + i);
	}
}

TEST(there_and_back)
{
	struct pair pair = open_pair(NULL, NULL);
	struct stoa_message got[64], none;
	struct stoa_bytes batch[MANY];
	uint32_t sent = 77, count;
	uint64_t first = 0;

	for (unsigned round = 0; round < 300; round++, first += MANY) {
		make_batch(batch, MANY, first);
		CHECK_RC(stoa_sender_send_batch(pair.sender, batch, MANY, STOA_TRY, &sent), 0);
		CHECK_EQ(sent, MANY);
		CHECK_EQ(load_rlx(&pair.channel->lanes[0].sent), first + MANY);
		CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, round % 2 ? 64 : 20, STOA_TRY, &count), 0);
		CHECK_EQ(count, round % 2 ? MANY : 20);
		check_numbers(got, count, first);
		if (count < MANY) {
			uint32_t more;

			CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got + count, 64 - count, STOA_TRY, &more),
				 0);
			CHECK_EQ(more, MANY - count);
			check_numbers(got, MANY, first);
		}
		CHECK_RC(stoa_receiver_release_batch(pair.receiver, got, MANY), 0);
		CHECK_RC(stoa_receiver_release_batch(pair.receiver, got, 1), -STOA_EINVAL);
	}
	CHECK_EQ(load_rlx(channel_hold(pair.channel, 0, 0)), load_rlx(&pair.channel->lanes[0].tail));
	CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), STOA_TIMED_OUT);
	CHECK_RC(stoa_sender_send_batch(pair.sender, NULL, 0, STOA_TRY, &sent), 0);
	CHECK_EQ(sent, 0);
	CHECK_RC(stoa_receiver_release_batch(pair.receiver, NULL, 0), 0);
	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &none), STOA_TIMED_OUT);
	close_pair(&pair);
}

/* What fits is sent, and told; the rest can be sent when there is room. */
TEST(more_than_there_is_room)
{
	struct pair pair = open_pair(&(struct stoa_channel_options){.ring = 4096}, NULL);
	struct stoa_bytes batch[MANY];
	struct stoa_message got[64];
	uint32_t sent, done = 0, count, received = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		uint64_t number = i;

		memcpy(texts[i], &number, sizeof(number));
		batch[i] = (struct stoa_bytes){texts[i], i % 10 == 9 ? 900 : 100};
	}
	while (done < MANY) {
		int rc = stoa_sender_send_batch(pair.sender, batch + done, MANY - done, STOA_TRY, &sent);

		CHECK_RC(rc, done + sent == MANY ? 0 : STOA_TIMED_OUT);
		CHECK_INT(sent, >, 0);
		done += sent;
		CHECK_EQ(load_rlx(&pair.channel->lanes[0].sent), done);
		CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), 0);
		CHECK_EQ(received + count, done);
		check_numbers(got, count, received);
		received = done;
		CHECK_RC(stoa_receiver_release_batch(pair.receiver, got, count), 0);
	}
	batch[3].length = UINT64_MAX;
	CHECK_RC(stoa_sender_send_batch(pair.sender, batch, MANY, STOA_TRY, &sent), -STOA_ERANGE);
	CHECK_EQ(sent, 3);
	batch[1].bytes = NULL;
	CHECK_RC(stoa_sender_send_batch(pair.sender, batch, MANY, STOA_TRY, &sent), -STOA_EINVAL);
	CHECK_EQ(sent, 1);
	CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), 0);
	CHECK_EQ(count, 4);
	close_pair(&pair);
}

/* They come behind a loan that is out, when that is resolved. */
TEST(behind_a_loan)
{
	struct pair pair = open_pair(NULL, NULL);
	struct stoa_bytes batch[MANY];
	struct stoa_message got[64];
	struct stoa_loan loan;
	uint32_t sent, count;

	make_batch(batch, MANY, 1);
	CHECK_RC(stoa_sender_loan(pair.sender, 8, STOA_TRY, &loan), 0);
	memset(loan.bytes, 0, 8);
	CHECK_RC(stoa_sender_send_batch(pair.sender, batch, MANY, STOA_TRY, &sent), 0);
	CHECK_EQ(sent, MANY);
	CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), STOA_TIMED_OUT);
	CHECK_RC(stoa_sender_commit(pair.sender, &loan), 0);
	CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), 0);
	CHECK_EQ(count, MANY + 1);
	check_numbers(got, count, 0);
	close_pair(&pair);
}

/* Released from several senders, out of order, and those that were overwritten. */
TEST(of_several_senders)
{
	const struct stoa_channel_options options = {.senders = 3};
	const struct stoa_channel_options broadcast = {.kind = STOA_BROADCAST, .ring = 4096};
	struct pair pair = open_pair(&options, NULL);
	struct stoa_sender *others[2];
	struct stoa_message got[64], turned[64];
	struct stoa_bytes batch[MANY];
	uint64_t next[3] = {0, 0, 0};
	uint32_t sent, count;

	for (unsigned i = 0; i < 2; i++)
		CHECK_RC(stoa_sender_join(pair.channel, NULL, &others[i]), 0);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 3; i++) {
			make_batch(batch, 10, round * 10);
			CHECK_RC(stoa_sender_send_batch(i ? others[i - 1] : pair.sender, batch, 10, STOA_TRY, &sent),
				 0);
		}
		CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), 0);
		CHECK_EQ(count, 30);
		for (unsigned i = 0; i < 30; i++) {
			CHECK_EQ(*(const uint64_t *)got[i].bytes, next[got[i].sender]++);
			turned[29 - i] = got[i];
		}
		CHECK_RC(stoa_receiver_release_batch(pair.receiver, turned, 30), 0);
	}
	for (uint32_t lane = 0; lane < 3; lane++)
		CHECK_EQ(load_rlx(channel_hold(pair.channel, 0, lane)), load_rlx(&pair.channel->lanes[lane].tail));
	stoa_sender_leave(others[0]);
	stoa_sender_leave(others[1]);
	close_pair(&pair);

	pair = open_pair(&broadcast, &(struct stoa_receiver_options){.when_slow = STOA_DROP_OLDEST});
	make_batch(batch, 5, 0);
	CHECK_RC(stoa_sender_send_batch(pair.sender, batch, 5, STOA_TRY, &sent), 0);
	CHECK_RC(stoa_receiver_receive_batch(pair.receiver, got, 64, STOA_TRY, &count), 0);
	CHECK_EQ(count, 5);
	for (unsigned i = 0; i < 60; i++)
		CHECK_RC(stoa_sender_send_batch(pair.sender, batch, 5, STOA_TRY, &sent), 0);
	CHECK_RC(stoa_receiver_release_batch(pair.receiver, got, count), STOA_OVERRUN);
	close_pair(&pair);
}

static void be_receiver(void *argument)
{
	struct stoa_channel *channel;
	struct stoa_receiver *receiver;
	const char *name = argument;
	struct stoa_message got[32];
	uint64_t next = 0;
	uint32_t count;
	int rc;

	CHECK_RC(stoa_channel_open(name, 0, &channel), 0);
	CHECK_RC(stoa_receiver_join(
			 channel,
			 &(struct stoa_receiver_options){.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE},
			 &receiver),
		 0);
	while ((rc = stoa_receiver_receive_batch(receiver, got, 32, STOA_FOREVER, &count)) == 0) {
		for (uint32_t i = 0; i < count; i++)
			CHECK_EQ(*(const uint64_t *)got[i].bytes, next++);
		CHECK_RC(stoa_receiver_release_batch(receiver, got, count), 0);
	}
	CHECK_RC(rc, STOA_CLOSED);
	CHECK_EQ(next, 400 * MANY);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* Both sleep: who waits for room in the midst of a batch has told what it sent before. */
TEST(between_sleepers)
{
	char *name = test_shared(64);
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_bytes batch[MANY];
	uint32_t sent;
	pid_t role;

	strcpy(name, test_name("batch"));
	CHECK_RC(stoa_channel_create(name, &(struct stoa_channel_options){.ring = 4096, .large = 65536}, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, &(struct stoa_sender_options){.waiting = STOA_SLEEP}, &sender), 0);
	role = test_role(be_receiver, name);
	for (uint64_t round = 0; round < 400; round++) {
		make_batch(batch, MANY, round * MANY);
		CHECK_RC(stoa_sender_send_batch(sender, batch, MANY, STOA_FOREVER, &sent), 0);
		CHECK_EQ(sent, MANY);
	}
	stoa_sender_leave(sender);
	CHECK_EQ(test_join(role), 0);
	stoa_channel_close(channel);
}
