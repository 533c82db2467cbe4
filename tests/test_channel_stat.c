/* SPDX-License-Identifier: MIT */
/* What is told of a channel from outside, by its handle and by an inspector: numbers, and whether it is as it should be. */
#include <harness/test.h>

#include <channel/look.h>
#include <channel_pair.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static void send(struct stoa_sender *sender, unsigned count, uint64_t length)
{
	static const unsigned char bytes[4096];

	for (unsigned i = 0; i < count; i++)
		CHECK_RC(stoa_sender_send(sender, bytes, length, STOA_TRY), 0);
}

static void receive(struct stoa_receiver *receiver, unsigned count)
{
	struct stoa_message message;

	for (unsigned i = 0; i < count; i++) {
		CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
}

/* What was sent takes so many bytes of the rings. */
static uint64_t tail_of(const struct stoa_channel *channel)
{
	return load_rlx(&channel->lanes[0].tail);
}

/* By the handle; an inspector tells the same. */
static struct stoa_channel_stat stat_of(const struct stoa_channel *channel)
{
	struct stoa_channel_stat stat, seen;
	struct stoa_inspector *inspector;

	CHECK_RC(stoa_channel_stat(channel, &stat), 0);
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_channel(inspector, 0, &seen), 0);
	CHECK_EQ(memcmp(&stat, &seen, sizeof(stat)), 0);
	stoa_inspect_close(inspector);
	return stat;
}

static void count(void *argument, int severity, const char *sentence)
{
	unsigned *counts = argument;

	CHECK(sentence[0] != 0);
	CHECK(severity == STOA_REMARK || severity == STOA_DAMAGE);
	counts[severity]++;
	if (severity == STOA_DAMAGE)
		test_note("%s", sentence);
}

static void count_only(void *argument, int severity, const char *sentence)
{
	(void)sentence;
	((unsigned *)argument)[severity]++;
}

static unsigned damages_of(const struct stoa_channel *channel)
{
	const struct channel_site site = channel_site(channel);
	unsigned counts[2] = {0};

	CHECK_RC(channel_valid(&site, count, counts), 0);
	return counts[STOA_DAMAGE];
}

TEST(a_queue_in_numbers)
{
	const struct stoa_channel_options options = {
		.ring = 8192, .senders = 3, .receivers = 1, .alignment = 32, .flags = STOA_TIMES, .large = 1 << 20};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_channel_stat stat = stat_of(pair.channel);
	struct stoa_message message;
	uint64_t size, small, left;

	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_EQ(stat.kind, STOA_QUEUE);
	CHECK_EQ(stat.flags, STOA_TIMES);
	CHECK_EQ(stat.senders, 3);
	CHECK_EQ(stat.receivers, 1);
	CHECK_EQ(stat.ring, 8192);
	CHECK_EQ(stat.large, 1 << 20);
	CHECK_EQ(stat.message_max, 1 << 20);
	CHECK_EQ(stat.alignment, 32);
	CHECK_EQ(stat.size, size);
	CHECK_EQ(stat.senders_alive, 1);
	CHECK_EQ(stat.receivers_alive, 1);
	CHECK_EQ(stat.sender[0].state, STOA_END_ALIVE);
	CHECK_EQ(stat.sender[0].slot, 1);
	CHECK_EQ(stat.sender[0].joined, 1);
	CHECK_EQ(stat.sender[0].most, 0);
	CHECK_EQ(stat.sender[1].state, STOA_END_FREE);
	CHECK_EQ(stat.receiver[0].state, STOA_END_ALIVE);
	CHECK_RC(stoa_sender_send(pair.sender, "", stat.message_max + 1, STOA_TRY), -STOA_ERANGE);

	send(pair.sender, 10, 20);
	small = tail_of(pair.channel) / 10;
	CHECK(small >= 32 + 20);
	send(pair.sender, 10, 100);
	left = tail_of(pair.channel) - 5 * small;
	receive(pair.receiver, 5);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.sender[0].messages, 20);
	CHECK_EQ(stat.sender[0].bytes, 1200);
	CHECK_EQ(stat.sender[0].lag, 15);
	CHECK_EQ(stat.sender[0].lag_bytes, left);
	CHECK_EQ(stat.sender[0].used, left);
	CHECK_EQ(stat.sender[0].most, stat.sender[0].used);
	CHECK_EQ(stat.receiver[0].messages, 5);
	CHECK_EQ(stat.receiver[0].bytes, 100);
	CHECK_EQ(stat.receiver[0].lag, 15);
	CHECK_EQ(stat.receiver[0].lag_bytes, stat.sender[0].lag_bytes);
	CHECK_EQ(stat.receiver[0].holds, 0);

	CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.sender[0].lag, 14);
	CHECK_EQ(stat.sender[0].used, left);
	CHECK_EQ(stat.receiver[0].holds, small);
	CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	receive(pair.receiver, 14);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.sender[0].lag, 0);
	CHECK_EQ(stat.sender[0].used, 0);
	CHECK_EQ(stat.receiver[0].messages, 20);
	CHECK_EQ(stat.receiver[0].bytes, 1200);
	CHECK_EQ(damages_of(pair.channel), 0);
	close_pair(&pair);
}

TEST(a_full_ring_is_the_most)
{
	const struct stoa_channel_options options = {.ring = 4096};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_channel_stat stat;
	uint64_t sent = 0, used;

	while (stoa_sender_send(pair.sender, "full", 4, STOA_TRY) == 0)
		sent++;
	stat = stat_of(pair.channel);
	used = stat.sender[0].used;
	CHECK_EQ(used, tail_of(pair.channel));
	CHECK_EQ(stat.sender[0].most, used);
	CHECK_EQ(stat.sender[0].lag, sent);
	CHECK_EQ(damages_of(pair.channel), 0);
	receive(pair.receiver, (unsigned)sent);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.sender[0].used, 0);
	CHECK_EQ(stat.sender[0].most, used);
	CHECK_EQ(damages_of(pair.channel), 0);
	close_pair(&pair);
}

/* Around the ring, with cancelled messages in between, which nobody counts. */
TEST(laps_and_gaps)
{
	const struct stoa_channel_options options = {.ring = 4096};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	uint64_t seed = test_seed(), sent = 0, received = 0;

	for (unsigned i = 0; i < test_rounds(2000 / test_start_cost, 2000); i++) {
		uint64_t choice = test_random(&seed), length = (choice >> 16) % 900;
		struct stoa_channel_stat stat;
		struct stoa_loan loans[2];
		struct stoa_message message;

		if (choice % 2 && !stoa_sender_loan(pair.sender, length, STOA_TRY, &loans[0])) {
			if (!stoa_sender_loan(pair.sender, length / 2, STOA_TRY, &loans[1])) {
				CHECK_RC(stoa_sender_commit(pair.sender, &loans[1]), 0);
				sent++;
			}
			if (choice & 256)
				CHECK_RC(stoa_sender_cancel(pair.sender, &loans[0]), 0);
			else
				CHECK_RC(stoa_sender_commit(pair.sender, &loans[0]), 0);
			sent += !(choice & 256);
		} else if (!stoa_receiver_receive(pair.receiver, STOA_TRY, &message)) {
			CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
			received++;
		}
		CHECK_RC(stoa_channel_stat(pair.channel, &stat), 0);
		CHECK_EQ(stat.sender[0].messages, sent);
		CHECK_EQ(stat.receiver[0].messages, received);
		CHECK_EQ(stat.sender[0].lag, sent - received);
		CHECK(stat.sender[0].lag_bytes <= 4096 && stat.sender[0].used <= 4096);
		CHECK_EQ(damages_of(pair.channel), 0);
	}
	close_pair(&pair);
}

TEST(several_receivers_of_a_queue)
{
	const struct stoa_channel_options options = {.ring = 4096, .receivers = 3};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_receiver *other;
	struct stoa_channel_stat stat;
	struct stoa_message message;

	CHECK_RC(stoa_receiver_join(pair.channel, NULL, &other), 0);
	send(pair.sender, 6, 8);
	CHECK_RC(stoa_receiver_receive(other, STOA_TRY, &message), 0);
	receive(pair.receiver, 2);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.receivers_alive, 2);
	CHECK_EQ(stat.sender[0].lag, 3);
	CHECK_EQ(stat.sender[0].used, tail_of(pair.channel)); /* the other has the first */
	CHECK_EQ(stat.receiver[0].lag, 3);
	CHECK_EQ(stat.receiver[0].holds, 0);
	CHECK_EQ(stat.receiver[1].lag, 3);
	CHECK_EQ(stat.receiver[1].holds, tail_of(pair.channel) / 2);
	CHECK_EQ(stat.receiver[1].messages, 1);
	CHECK_EQ(stat.receiver[2].state, STOA_END_FREE);
	CHECK_EQ(damages_of(pair.channel), 0);
	CHECK_RC(stoa_receiver_release(other, &message), 0);
	stoa_receiver_leave(other);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.sender[0].used, tail_of(pair.channel) / 2);
	CHECK_EQ(stat.receiver[1].state, STOA_END_FREE);
	CHECK_EQ(stat.receiver[1].messages, 1); /* of the place */
	CHECK_EQ(stat.receiver[1].lag, 0);
	close_pair(&pair);
}

TEST(a_broadcast_in_numbers)
{
	const struct stoa_channel_options options = {.ring = 4096, .kind = STOA_BROADCAST, .receivers = 3};
	const struct stoa_receiver_options dropping = {.when_slow = STOA_DROP_OLDEST};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_receiver *other;
	struct stoa_channel_stat stat;
	struct stoa_message message;

	CHECK_RC(stoa_receiver_join(pair.channel, &dropping, &other), 0);
	send(pair.sender, 6, 8);
	receive(pair.receiver, 2);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.kind, STOA_BROADCAST);
	CHECK_EQ(stat.receiver[0].lag, 4);
	CHECK_EQ(stat.receiver[0].holds, tail_of(pair.channel) / 6 * 4);
	CHECK_EQ(stat.receiver[1].when_slow, STOA_DROP_OLDEST);
	CHECK_EQ(stat.receiver[1].lag, 6);
	CHECK_EQ(stat.receiver[1].holds, 0);
	CHECK_EQ(stat.sender[0].lag, 6); /* the slowest */
	CHECK_EQ(stat.sender[0].used, tail_of(pair.channel) / 6 * 4);
	/* Far behind: what it lost is no lag. */
	for (unsigned i = 0; i < 1000; i++) {
		send(pair.sender, 1, 8);
		receive(pair.receiver, i ? 1 : 5);
	}
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.receiver[0].lag, 0);
	CHECK(stat.receiver[1].lag > 0 && stat.receiver[1].lag <= 4096 / CHANNEL_RECORD_UNIT);
	CHECK_EQ(stat.receiver[1].lost, 0);
	CHECK_RC(stoa_receiver_receive(other, STOA_TRY, &message), 0);
	CHECK_RC(stoa_receiver_release(other, &message), 0);
	stat = stat_of(pair.channel);
	CHECK_EQ(stat.receiver[1].lost, message.lost);
	CHECK_EQ(stat.receiver[1].lag, 1006 - message.sequence - 1);
	CHECK_EQ(damages_of(pair.channel), 0);
	stoa_receiver_leave(other);
	close_pair(&pair);
}

/* ---- sleeping, dying ---- */

static void sleep_for_one(void *argument)
{
	struct stoa_receiver_options options = {.waiting = STOA_SLEEP};
	struct stoa_channel *channel;
	struct stoa_receiver *receiver;
	struct stoa_message message;

	(void)argument;
	CHECK_RC(stoa_channel_open(test_name("x"), 0, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
}

static void await_sleeper(const struct stoa_channel *channel, struct stoa_channel_stat *ret_stat)
{
	do {
		test_nap(1);
		CHECK_RC(stoa_channel_stat(channel, ret_stat), 0);
	} while (!ret_stat->receiver[0].asleep);
}

TEST(sleepers_wakes_and_the_dead)
{
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_channel_stat stat;
	pid_t role;

	CHECK_RC(stoa_channel_create(test_name("x"), NULL, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	role = test_role(sleep_for_one, NULL);
	await_sleeper(channel, &stat);
	CHECK_EQ(stat.receivers_alive, 1);
	CHECK_EQ(damages_of(channel), 0);
	send(sender, 1, 8);
	do
		CHECK_RC(stoa_channel_stat(channel, &stat), 0);
	while (stat.receiver[0].messages == 0);
	await_sleeper(channel, &stat);
	CHECK(stat.receiver[0].sleeps >= 2);
	CHECK(stat.sender[0].wakes >= 1);
	CHECK_EQ(stat.sender[0].sleeps, 0);
	CHECK_EQ(stat.sender[0].lag, 0);
	CHECK_EQ(stat.receiver[0].holds, tail_of(channel)); /* it has not released the first */
	test_kill(role);
	stat = stat_of(channel);
	CHECK_EQ(stat.receiver[0].state, STOA_END_DEAD);
	CHECK_EQ(stat.receiver[0].asleep, 0);
	CHECK_EQ(stat.receiver[0].holds, 0);
	CHECK_EQ(stat.receivers_alive, 0);
	CHECK_EQ(stat.sender[0].used, 0);
	CHECK_EQ(damages_of(channel), 0);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

/* ---- without taking part ---- */

TEST(looking_changes_nothing)
{
	const struct stoa_channel_options options = {.ring = 4096, .kind = STOA_BROADCAST, .receivers = 2};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_segment_stat segment_before, segment_after;
	unsigned char *before;
	uint64_t size;

	send(pair.sender, 7, 100);
	receive(pair.receiver, 3);
	CHECK_RC(stoa_channel_size(&options, &size), 0);
	before = malloc(size);
	CHECK(before != NULL);
	memcpy(before, pair.channel->receiving, size);
	CHECK_RC(stoa_segment_stat(channel_segment(pair.channel, true), &segment_before), 0);
	for (unsigned i = 0; i < 10; i++)
		(void)stat_of(pair.channel);
	CHECK_EQ(damages_of(pair.channel), 0);
	CHECK_EQ(memcmp(before, pair.channel->receiving, size), 0);
	CHECK_RC(stoa_segment_stat(channel_segment(pair.channel, true), &segment_after), 0);
	CHECK_EQ(segment_before.roster_alive, segment_after.roster_alive);
	CHECK_EQ(segment_before.resident, segment_after.resident);
	free(before);
	close_pair(&pair);
}

TEST(a_read_only_handle_looks_and_does_not_join)
{
	const struct stoa_channel_options options = {.ring = 4096};
	const struct stoa_segment_options read_only = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment, *looking;
	struct stoa_channel *channel, *seen = NULL;
	struct stoa_sender *sender, *none;
	struct stoa_receiver *nobody;
	struct stoa_channel_stat stat;

	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 65536, &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	send(sender, 3, 8);
	CHECK_RC(stoa_segment_open(test_name("s"), &read_only, &looking), 0);
	CHECK_RC(stoa_channel_place(looking, 65536, &options, &seen), -STOA_ERIGHTS);
	CHECK_RC(stoa_channel_attach(looking, 0, &seen), -STOA_EFORMAT);
	CHECK_RC(stoa_channel_attach(looking, 65536, &seen), 0);
	CHECK_RC(stoa_sender_join(seen, NULL, &none), -STOA_ERIGHTS);
	CHECK_RC(stoa_receiver_join(seen, NULL, &nobody), -STOA_ERIGHTS);
	CHECK_RC(stoa_channel_stat(seen, &stat), 0);
	CHECK_EQ(stat.sender[0].messages, 3);
	CHECK_EQ(stat.sender[0].lag, 3);
	CHECK_EQ(stat.senders_alive, 1);
	stoa_channel_close(seen);
	stoa_segment_close(looking);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	stoa_segment_close(segment);
}

TEST(misuse_is_an_error)
{
	const struct stoa_channel_options options = {.ring = 4096};
	struct stoa_channel_stat stat = {.kind = 77};
	struct stoa_inspector *inspector;
	struct stoa_segment *segment;
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_stat(NULL, &stat), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_channel(NULL, 0, &stat), -STOA_EINVAL);
	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 65536, &options, &channel), 0);
	CHECK_RC(stoa_channel_stat(channel, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_open(test_name("s"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_channel(inspector, 0, &stat), -STOA_EFORMAT);
	CHECK_RC(stoa_inspect_channel(inspector, 100, &stat), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_channel(inspector, 1 << 20, &stat), -STOA_ERANGE);
	CHECK_RC(stoa_inspect_channel(inspector, (1 << 20) - 4096, &stat), -STOA_EFORMAT); /* not committed */
	CHECK_RC(stoa_inspect_channel(inspector, 65536, NULL), -STOA_EINVAL);
	CHECK_EQ(stat.kind, 77);
	CHECK_RC(stoa_inspect_channel(inspector, 65536, &stat), 0);
	CHECK_EQ(stat.ring, 4096);
	stoa_inspect_close(inspector);
	stoa_channel_close(channel);
	stoa_segment_close(segment);
}

/* ---- lies ---- */

static void check_bounds(const struct stoa_channel_stat *stat, const struct stoa_channel_stat *right)
{
	uint64_t all = right->ring * right->senders;

	CHECK_EQ(stat->ring, right->ring);
	CHECK_EQ(stat->message_max, right->message_max);
	for (unsigned i = 0; i < right->senders; i++) {
		CHECK(stat->sender[i].state <= STOA_END_UNKNOWN && stat->sender[i].asleep <= 1);
		CHECK(stat->sender[i].used <= right->ring && stat->sender[i].most <= right->ring);
		CHECK(stat->sender[i].lag_bytes <= right->ring);
		CHECK(stat->sender[i].lag <= right->ring / CHANNEL_RECORD_UNIT);
	}
	for (unsigned i = 0; i < right->receivers; i++) {
		CHECK(stat->receiver[i].state <= STOA_END_UNKNOWN && stat->receiver[i].asleep <= 1);
		CHECK(stat->receiver[i].holds <= all && stat->receiver[i].lag_bytes <= all);
		CHECK(stat->receiver[i].lag <= all / CHANNEL_RECORD_UNIT);
	}
}

static uint64_t lie(uint64_t *seed, uint64_t truth)
{
	static const uint64_t lies[] = {0, 1, 63, 64, UINT64_MAX, UINT64_MAX - 63, INT64_MAX, UINT64_C(1) << 62};
	uint64_t choice = test_random(seed);

	switch (choice % 4) {
	case 0: return lies[(choice >> 8) % 8];
	case 1: return truth + ((choice >> 8) % 64 - 32) * 64;
	case 2: return truth ^ UINT64_C(1) << (choice >> 8) % 64;
	default: return choice;
	}
}

static void lie_about(uint32_t kind)
{
	const struct stoa_channel_options options = {.ring = 4096, .kind = kind, .senders = 2, .receivers = 3};
	struct pair pair = open_named_pair(test_name("x"), &options, NULL);
	struct stoa_channel_stat right, stat;
	uint64_t seed = test_seed(), size;
	const struct channel_site site = channel_site(pair.channel);
	unsigned char *whole;
	unsigned found = 0, rounds = test_rounds(3000 / test_start_cost, 100000);

	send(pair.sender, 20, 100);
	receive(pair.receiver, 10);
	CHECK_RC(stoa_channel_stat(pair.channel, &right), 0);
	CHECK_RC(stoa_channel_size(&options, &size), 0);
	whole = malloc(size);
	CHECK(whole != NULL);
	memcpy(whole, pair.channel->receiving, size);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned counts[2] = {0};

		for (unsigned i = 0; i <= round % 5; i++) {
			uint64_t choice = test_random(&seed), words = pair.channel->plan.receiving_length;
			uint64_t at = choice % 2
					      ? CHANNEL_BELLS + (choice >> 8) % (words - CHANNEL_BELLS)
					      : words + CHANNEL_BELLS + (choice >> 8) % (size - words - CHANNEL_BELLS);
			_Atomic uint64_t *word = (void *)(pair.channel->receiving + at / 8 * 8);

			store_rlx(word, lie(&seed, load_rlx(word)));
		}
		CHECK_RC(stoa_channel_stat(pair.channel, &stat), 0);
		check_bounds(&stat, &right);
		CHECK_RC(channel_valid(&site, count_only, counts), 0);
		found += counts[STOA_DAMAGE] != 0;
		memcpy(pair.channel->receiving, whole, size);
	}
	CHECK(found > rounds / 4);
	CHECK_EQ(damages_of(pair.channel), 0);
	free(whole);
	close_pair(&pair);
}

TEST(lies_about_a_queue_are_bounded)
{
	lie_about(STOA_QUEUE);
}

TEST(lies_about_a_broadcast_are_bounded)
{
	lie_about(STOA_BROADCAST);
}

TEST(a_stream_in_numbers)
{
	const struct stoa_stream_options options = {.ring = 4096};
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	struct stoa_reader *reader;
	struct stoa_inspector *inspector;
	struct stoa_channel_stat stat;
	unsigned counts[2] = {0};
	unsigned char bytes[1000] = {0};
	uint64_t length;

	CHECK_RC(stoa_stream_create(test_name("x"), &options, &stream), 0);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
	CHECK_RC(stoa_reader_join(stream, NULL, &reader), 0);
	for (unsigned i = 0; i < 9; i++) {
		CHECK_RC(stoa_stream_write(writer, bytes, 1000, STOA_TRY, &length), 0);
		CHECK_RC(stoa_stream_read(reader, bytes, 900 + i % 2 * 100, STOA_TRY, &length), 0);
	}
	CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
	CHECK_RC(stoa_inspect_channel(inspector, 0, &stat), 0);
	CHECK_EQ(stat.kind, STOA_STREAM);
	CHECK_EQ(stat.senders_alive, 1);
	CHECK_EQ(stat.receivers_alive, 1);
	CHECK_EQ(stat.sender[0].bytes, 9000);
	CHECK_EQ(stat.receiver[0].bytes, 8500);
	CHECK_EQ(stat.sender[0].used, 500);
	CHECK_EQ(stat.receiver[0].lag_bytes, 500);
	CHECK_RC(stoa_inspect_check(inspector, count, counts), 0);
	CHECK_EQ(counts[STOA_DAMAGE], 0);
	stoa_inspect_close(inspector);
	stoa_writer_leave(writer);
	stoa_reader_leave(reader);
	stoa_stream_close(stream);
}
