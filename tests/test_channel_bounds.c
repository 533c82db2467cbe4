/* SPDX-License-Identifier: MIT */
/*
 * Channels at their bounds: the largest and smallest rings and messages, all places taken, positions where numbers wrap, ends that are
 * not the caller's any more, and values in shared memory that nobody who keeps the rules would write.
 */
#include <harness/test.h>

#include <channel/channel.h>
#include <pthread.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

#define MILLISECOND UINT64_C(1000000)

static struct stoa_channel *create(const struct stoa_channel_options *options)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_create(NULL, options, &channel), 0);
	return channel;
}

static struct stoa_sender *join_sender(struct stoa_channel *channel)
{
	struct stoa_sender *sender;

	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	return sender;
}

static struct stoa_receiver *join_receiver(struct stoa_channel *channel, uint32_t when_slow, uint64_t lag)
{
	const struct stoa_receiver_options options = {
		.when_slow = when_slow, .lag = lag, .from = when_slow ? STOA_FROM_OLDEST : STOA_FROM_NOW};
	struct stoa_receiver *receiver;

	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	return receiver;
}

/* ---- sizes ---- */

/* One message of `length` bytes there and back, with its first and last byte. */
static void pass(struct stoa_sender *sender, struct stoa_receiver *receiver, uint64_t length, uint32_t alignment)
{
	struct stoa_message message;
	struct stoa_loan loan;

	CHECK_RC(stoa_sender_loan(sender, length, STOA_TRY, &loan), 0);
	CHECK_EQ((uintptr_t)loan.bytes % alignment, 0);
	memset(loan.bytes, 0x5a, length);
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
	CHECK_EQ(message.length, length);
	CHECK_EQ((uintptr_t)message.bytes % alignment, 0);
	for (uint64_t i = 0; i < length; i++)
		CHECK_EQ(((const unsigned char *)message.bytes)[i], 0x5a);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

/* The largest message fits from every place in the ring; one byte more does not. */
static void try_largest(uint64_t ring, uint32_t alignment, uint32_t flags)
{
	const struct stoa_channel_options options = {.ring = ring, .alignment = alignment, .flags = flags};
	struct stoa_channel *channel = create(&options);
	struct stoa_sender *sender = join_sender(channel);
	struct stoa_receiver *receiver = join_receiver(channel, 0, 0);
	uint64_t most = channel->plan.payload_max;
	struct stoa_loan loan = {.length = 77};

	for (uint64_t step = 0; step < 2 * ring / CHANNEL_RECORD_UNIT && step < 300; step++) {
		pass(sender, receiver, most, alignment);
		pass(sender, receiver, step % 3 * 20, alignment);
	}
	CHECK_RC(stoa_sender_loan(sender, channel->plan.shape.large + 1, STOA_TRY, &loan), -STOA_ERANGE);
	CHECK_RC(stoa_sender_loan(sender, UINT64_MAX, STOA_TRY, &loan), -STOA_ERANGE);
	CHECK_EQ(loan.length, 77);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

TEST_TIMEOUT(the_largest_message_fits_everywhere, 60)
{
	for (uint64_t ring = 4096; ring <= 65536; ring *= 2)
		for (uint32_t alignment = 16; alignment <= 4096 && 4 * alignment <= ring; alignment *= 2) {
			try_largest(ring, alignment, 0);
			try_largest(ring, alignment, STOA_TIMES);
		}
}

/* What the largest channels would take is computed right, without making them. */
TEST(the_largest_rings)
{
	struct stoa_channel_options options = {.ring = UINT64_C(1) << 30};
	struct channel_plan plan;
	uint64_t size = 7, most;

	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_EQ(size >> 30, 1);
	CHECK_RC(channel_plan(&options, &plan), 0);
	most = (UINT64_C(1) << 28) - RECORD_HEADER_TIMED - CHANNEL_LINE;
	CHECK_EQ(plan.payload_max, most);
	CHECK_EQ(record_valid(&plan.form, 0, record_word(0, RECORD_MESSAGE | (uint32_t)most)),
		 (most + RECORD_HEADER + CHANNEL_RECORD_UNIT - 1) & ~(CHANNEL_RECORD_UNIT - 1));
	options.senders = options.receivers = STOA_ENDS_MAX;
	options.alignment = 4096;
	CHECK_RC(stoa_channel_size(&options, &size), 0);
	CHECK_EQ(size >> 30, 64);
	CHECK_RC(channel_plan(&options, &plan), 0);
	CHECK_EQ(plan.rings % 4096, 0);
	CHECK_EQ(plan.sending_length, plan.rings + (UINT64_C(64) << 30));
	CHECK(plan.heads + 64 * sizeof(struct channel_head) <= plan.receiving_length);
	size = 7;
	options.ring *= 2;
	CHECK_RC(stoa_channel_size(&options, &size), -STOA_EINVAL);
	options.ring = (UINT64_C(1) << 30) + 4096;
	CHECK_RC(stoa_channel_size(&options, &size), -STOA_EINVAL);
	options.ring = 8192;
	CHECK_RC(stoa_channel_size(&options, &size), -STOA_EINVAL); /* for that alignment */
	options.ring = 16384;
	options.large = CHANNEL_LARGE_MAX + 1;
	CHECK_RC(stoa_channel_size(&options, &size), -STOA_EINVAL);
	options.large = UINT64_MAX; /* in whole pages it is none */
	CHECK_RC(stoa_channel_size(&options, &size), -STOA_EINVAL);
	CHECK_EQ(size, 7);
}

/* ---- all places ---- */

static void fill_all_places(uint32_t kind)
{
	const struct stoa_channel_options options = {
		.kind = kind, .ring = 4096, .senders = STOA_ENDS_MAX, .receivers = STOA_ENDS_MAX};
	struct stoa_channel *channel = create(&options);
	struct stoa_sender *senders[STOA_ENDS_MAX], *one_more = NULL;
	struct stoa_receiver *receivers[STOA_ENDS_MAX];
	unsigned received = 0;

	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++) {
		senders[i] = join_sender(channel);
		receivers[i] = join_receiver(channel, 0, 0);
	}
	CHECK_RC(stoa_sender_join(channel, NULL, &one_more), -STOA_ELIMIT);
	CHECK(!one_more);
	for (uint64_t i = 0; i < STOA_ENDS_MAX; i++)
		CHECK_RC(stoa_sender_send(senders[i], &i, sizeof(i), STOA_TRY), 0);
	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++) {
		struct stoa_message message;
		uint64_t number, seen = 0;

		while (stoa_receiver_recv(receivers[i], &number, sizeof(number), STOA_TRY, &message) == 0) {
			CHECK_EQ(number, message.sender);
			CHECK(!(seen >> number & 1));
			seen |= UINT64_C(1) << number;
			received++;
		}
		if (kind == STOA_BROADCAST)
			CHECK_EQ(seen, UINT64_MAX);
		/* More lives than a sleep has words: it ends nevertheless. */
		CHECK_RC(stoa_receiver_recv(receivers[i], &number, sizeof(number), stoa_deadline_in(MILLISECOND),
					    &message),
			 STOA_TIMED_OUT);
	}
	CHECK_EQ(received, kind == STOA_BROADCAST ? STOA_ENDS_MAX * STOA_ENDS_MAX : STOA_ENDS_MAX);
	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++) {
		stoa_sender_leave(senders[i]);
		stoa_receiver_leave(receivers[i]);
	}
	stoa_channel_close(channel);
}

TEST(all_places_of_a_queue)
{
	fill_all_places(STOA_QUEUE);
}

TEST(all_places_of_a_broadcast)
{
	fill_all_places(STOA_BROADCAST);
}

/* A whole wait set of ends, each of which would like more words than there are. */
TEST(many_ends_in_one_wait)
{
	const struct stoa_channel_options options = {
		.ring = 4096, .senders = STOA_ENDS_MAX, .receivers = STOA_ENDS_MAX};
	struct stoa_channel *channel = create(&options);
	struct stoa_waitable set[STOA_WAIT_MAX];
	struct stoa_sender *senders[STOA_ENDS_MAX];
	struct stoa_receiver *receivers[STOA_ENDS_MAX];
	size_t index = 99;

	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++) {
		senders[i] = join_sender(channel);
		receivers[i] = join_receiver(channel, 0, 0);
	}
	for (uint32_t i = 0; i < STOA_WAIT_MAX; i++)
		set[i] = (struct stoa_waitable){NULL, receivers[i], i % 2 ? STOA_WAIT_RECEIVER : STOA_WAIT_NO_SENDERS,
						0};
	CHECK_RC(stoa_wait_any(set, STOA_WAIT_MAX, stoa_deadline_in(5 * MILLISECOND), &index), STOA_TIMED_OUT);
	CHECK_EQ(index, 99);
	CHECK_RC(stoa_sender_send(senders[63], "x", 1, STOA_TRY), 0);
	CHECK_RC(stoa_wait_any(set, STOA_WAIT_MAX, stoa_deadline_in(5 * MILLISECOND), &index), 0);
	CHECK_EQ(index, 1);
	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++) {
		stoa_sender_leave(senders[i]);
		stoa_receiver_leave(receivers[i]);
	}
	stoa_channel_close(channel);
}

/* Who is told nothing: as when the last of more senders than a sleep has words for dies with the bell in its hand. */
static void *send_in_silence(void *argument)
{
	void **ends = argument;
	struct stoa_channel *channel = ends[0];

	while (!atomic_load(&channel->receiving_bells->waiting))
		test_nap(1);
	test_nap(20);
	atomic_store(&channel->receiving_bells->waiting, 0);
	CHECK_RC(stoa_sender_send(ends[1], "x", 1, STOA_TRY), 0);
	return NULL;
}

TEST(more_peers_than_a_sleep_has_words)
{
	const struct stoa_channel_options options = {.ring = 4096, .senders = STOA_ENDS_MAX};
	const struct stoa_receiver_options sleeping = {.waiting = STOA_SLEEP};
	struct stoa_channel *channel = create(&options);
	struct stoa_sender *senders[STOA_ENDS_MAX];
	struct stoa_wait_stat before, after;
	struct stoa_receiver *receiver;
	struct stoa_message message;
	pthread_t thread;

	stoa_wait_stat(&before);
	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++)
		senders[i] = join_sender(channel);
	CHECK_RC(stoa_receiver_join(channel, &sleeping, &receiver), 0);
	CHECK_EQ(pthread_create(&thread, NULL, send_in_silence, (void *[]){channel, senders[63]}), 0);
	CHECK_RC(stoa_receiver_receive(receiver, stoa_deadline_in(10000 * MILLISECOND), &message), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	stoa_wait_stat(&after);
	CHECK_INT(after.rescues, >, before.rescues); /* found by looking again, not at the deadline */
	for (uint32_t i = 0; i < STOA_ENDS_MAX; i++)
		stoa_sender_leave(senders[i]);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* ---- positions where numbers wrap ---- */

/* A lane and a queue's head as if `position` bytes had passed. */
static void move_to(struct stoa_channel *channel, uint64_t position)
{
	atomic_store(&channel->lanes[0].tail, position);
	atomic_store(&channel->lanes[0].floor, position);
	atomic_store(channel_head(channel, 0), position);
}

static void pass_the_wrap(uint32_t kind, uint32_t receivers)
{
	/* Tags have 32 bits and count units of 64 bytes: they begin anew here. */
	uint64_t wrap = UINT64_C(1) << 38;

	for (uint64_t before = 64; before <= 512; before += 64) {
		const struct stoa_channel_options options = {.kind = kind, .ring = 4096, .receivers = receivers};
		struct stoa_channel *channel = create(&options);
		struct stoa_receiver *receiver;
		struct stoa_sender *sender;
		struct stoa_message message;

		move_to(channel, wrap - before);
		sender = join_sender(channel);
		receiver = join_receiver(channel, 0, 0);
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t number;

			CHECK_RC(stoa_receiver_recv(receiver, &number, sizeof(number), STOA_TRY, &message),
				 STOA_TIMED_OUT);
			if (i % 5 == 2) { /* who comes next goes on there */
				stoa_sender_leave(sender);
				sender = join_sender(channel);
			}
			CHECK_RC(stoa_sender_send(sender, &i, sizeof(i), STOA_TRY), 0);
			CHECK_RC(stoa_receiver_recv(receiver, &number, sizeof(number), STOA_TRY, &message), 0);
			CHECK_EQ(number, i);
			CHECK_EQ(message.sequence, i);
		}
		stoa_sender_leave(sender);
		stoa_receiver_leave(receiver);
		stoa_channel_close(channel);
	}
}

TEST(after_256_gib)
{
	pass_the_wrap(STOA_QUEUE, 1);
	pass_the_wrap(STOA_QUEUE, 2);
	pass_the_wrap(STOA_BROADCAST, 1);
}

/* ---- values that nobody who keeps the rules would write ---- */

static const uint64_t nasty[] = {
	1, 63, 4095, 4097, 8191, (UINT64_C(1) << 62) + 4095, UINT64_MAX, UINT64_MAX - 4095, UINT64_MAX - 63, INT64_MAX};

static void use(struct stoa_sender *sender, struct stoa_receiver *receiver)
{
	struct stoa_message message;
	unsigned char bytes[2048];

	for (unsigned i = 0; i < 20; i++) {
		if (sender)
			(void)stoa_sender_send(sender, bytes, 700, stoa_deadline_in(MILLISECOND / 10));
		if (receiver)
			(void)stoa_receiver_recv(receiver, bytes, sizeof(bytes), stoa_deadline_in(MILLISECOND / 10),
						 &message);
	}
}

/* Each word that positions are taken from, before ends join and while they are at work. The one lane's ring ends the memory. */
static void try_nasty(uint32_t kind, uint32_t receivers, uint32_t when_slow, unsigned word, uint64_t value)
{
	const struct stoa_channel_options options = {.kind = kind, .ring = 4096, .receivers = receivers};
	struct stoa_channel *channel = create(&options);
	_Atomic uint64_t *words[] = {&channel->lanes[0].tail, &channel->lanes[0].floor, channel_hold(channel, 0, 0),
				     channel_head(channel, 0)};
	struct stoa_sender *sender = join_sender(channel);
	struct stoa_receiver *receiver = join_receiver(channel, when_slow, 0), *other = NULL;

	use(sender, receiver);
	for (unsigned i = 0; i < 4; i++) {
		atomic_store(words[word], value);
		use(sender, NULL);
		atomic_store(words[word], value);
		use(NULL, receiver);
	}
	stoa_sender_leave(sender);
	atomic_store(words[word], value);
	sender = NULL;
	(void)stoa_sender_join(channel, NULL, &sender);
	(void)stoa_receiver_join(channel, NULL, &other);
	use(sender, other);
	atomic_store(words[word], value);
	use(sender, other);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_receiver_leave(other);
	stoa_channel_close(channel);
}

TEST_TIMEOUT(nasty_positions, 60)
{
	for (unsigned word = 0; word < 4; word++)
		for (unsigned i = 0; i < CC_COUNT(nasty); i++) {
			try_nasty(STOA_QUEUE, 1, STOA_BLOCK, word, nasty[i]);
			try_nasty(STOA_QUEUE, 2, STOA_BLOCK, word, nasty[i]);
			try_nasty(STOA_BROADCAST, 2, STOA_BLOCK, word, nasty[i]);
			try_nasty(STOA_BROADCAST, 1, STOA_DROP_OLDEST, word, nasty[i]);
		}
}

/* A header that says more alignment than its ring has room for. */
TEST(headers_are_checked_as_options_are)
{
	const struct stoa_segment_options options = {.commit = 1 << 16};
	struct stoa_channel *channel = NULL;
	struct stoa_segment *segment;
	struct channel_plan plan;

	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &options, &segment), 0);
	CHECK_RC(channel_plan(&(struct stoa_channel_options){.ring = 4096}, &plan), 0);
	plan.shape.alignment = 2048;
	channel_header_write(&plan, stoa_segment_address(segment));
	channel_header_write(&plan, (unsigned char *)stoa_segment_address(segment) + plan.receiving_length);
	CHECK_RC(stoa_channel_attach(segment, 0, &channel), -STOA_EFORMAT);
	CHECK(!channel);
	stoa_segment_close(segment);
}

/* ---- deadlines, lag and losses ---- */

/* A floor that is never reached: the receiver is told that it was overtaken however often it catches up. */
TEST(deadlines_hold_where_nobody_can_catch_up)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	struct stoa_channel *channel = create(&options);
	struct stoa_receiver *receiver = join_receiver(channel, STOA_DROP_OLDEST, 0);
	struct stoa_message message;

	atomic_store(&channel->lanes[0].floor, 1);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	CHECK_RC(stoa_receiver_receive(receiver, stoa_deadline_in(MILLISECOND), &message), STOA_TIMED_OUT);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* Messages are published before they are counted: who is ahead of the count does not lag. */
TEST(ahead_of_the_count_is_no_lag)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST};
	struct stoa_channel *channel = create(&options);
	struct stoa_sender *sender = join_sender(channel);
	struct stoa_receiver *receiver = join_receiver(channel, STOA_DETACH, 8);
	struct stoa_message message;
	uint64_t number;

	for (uint64_t i = 0; i < 3; i++)
		CHECK_RC(stoa_sender_send(sender, &i, sizeof(i), STOA_TRY), 0);
	atomic_store(&channel->lanes[0].sent, 0); /* as it is in the middle of publishing several */
	for (uint64_t i = 0; i < 3; i++) {
		CHECK_RC(stoa_receiver_recv(receiver, &number, sizeof(number), STOA_TRY, &message), 0);
		CHECK_EQ(number, i);
	}
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* ---- ends that are not the caller's any more ---- */

static void *join_and_end(void *argument)
{
	void **ends = argument;

	ends[1] = join_sender(ends[0]);
	ends[2] = join_receiver(ends[0], 0, 0);
	return NULL;
}

/* The thread that joined has ended: others take its places, and what is left of its ends does them no harm. */
TEST(ends_of_a_thread_that_ended)
{
	struct stoa_channel *channel = create(NULL);
	void *ends[3] = {channel, NULL, NULL};
	struct stoa_receiver *receiver;
	struct stoa_sender *sender;
	struct stoa_message message;
	struct stoa_loan loan;
	uint64_t number = 5;
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, join_and_end, ends), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_RC(stoa_sender_loan(ends[1], 8, STOA_TRY, &loan), 0);
	CHECK_RC(stoa_receiver_receive(ends[2], stoa_deadline_in(MILLISECOND), &message), -STOA_ENOTOWNER);
	sender = join_sender(channel);
	receiver = join_receiver(channel, 0, 0);
	CHECK_RC(stoa_receiver_receive(ends[2], STOA_FOREVER, &message), -STOA_ENOTOWNER);
	stoa_sender_leave(ends[1]);
	stoa_receiver_leave(ends[2]);
	CHECK(atomic_load(&channel->lanes[0].owner) != 0);
	CHECK(atomic_load(&channel->readers[0].owner) != 0);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), STOA_TIMED_OUT);
	CHECK_RC(stoa_sender_send(sender, &number, sizeof(number), STOA_TRY), 0);
	CHECK_RC(stoa_receiver_recv(receiver, &number, sizeof(number), STOA_TRY, &message), 0);
	CHECK_EQ(message.sequence, 0);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* Who was refused a message is in nobody's way when another takes it, also where it has passed something to come there. */
TEST(who_is_refused_holds_nothing)
{
	const struct stoa_channel_options options = {.receivers = 2, .ring = 4096};
	struct stoa_channel *channel = create(&options);
	struct stoa_sender *sender = join_sender(channel);
	struct stoa_receiver *small = join_receiver(channel, 0, 0), *other = join_receiver(channel, 0, 0);
	struct stoa_loan loans[2];
	struct stoa_message message;
	unsigned char buffer[600] = {0};

	for (unsigned i = 0; i < 2; i++)
		CHECK_RC(stoa_sender_loan(sender, sizeof(buffer), STOA_TRY, &loans[i]), 0);
	CHECK_RC(stoa_sender_cancel(sender, &loans[0]), 0);
	CHECK_RC(stoa_sender_commit(sender, &loans[1]), 0);
	CHECK_RC(stoa_receiver_recv(small, buffer, 8, STOA_TRY, &message), -STOA_ERANGE);
	CHECK_RC(stoa_receiver_recv(other, buffer, sizeof(buffer), STOA_TRY, &message), 0);
	for (unsigned i = 0; i < 20; i++) {
		CHECK_RC(stoa_sender_send(sender, buffer, sizeof(buffer), STOA_TRY), 0);
		CHECK_RC(stoa_receiver_recv(other, buffer, sizeof(buffer), STOA_TRY, &message), 0);
	}
	stoa_sender_leave(sender);
	stoa_receiver_leave(small);
	stoa_receiver_leave(other);
	stoa_channel_close(channel);
}
