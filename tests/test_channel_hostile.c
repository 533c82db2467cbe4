/* SPDX-License-Identifier: MIT */
/*
 * An enemy who may write a channel writes random bytes and chosen ones over all of it, while others join, send, receive, sleep, leave and
 * are killed. What they get may be wrong, as it is the enemy's to write; but they never crash, never come out of the channel's memory,
 * and never stay beyond their deadlines.
 */
#include <harness/test.h>

#include <channel/channel.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

#define WAIT (UINT64_C(2) * 1000000)      /* each deadline */
#define SLACK (UINT64_C(20) * 1000000000) /* a loaded machine, but no hang */
#define ROUND (UINT64_C(300) * 1000000)
#define VICTIMS 4
#define MARGIN UINT64_C(4096) /* before and behind the channel: nobody's to write */
#define ARENA (UINT64_C(1) << 20)
#define PATTERN 0xa5

struct board {
	struct stoa_channel_options options;
	_Atomic uint32_t stop, truce; /* 1: the enemy shall put all back as it was at first, and rest; 2: it has */
	_Atomic uint32_t line[VICTIMS + 1]; /* of the call that each is in, or was in last */
	_Atomic uint64_t entered[VICTIMS + 1], calls, errors, messages, writes;
	_Atomic uint32_t number, ready; /* of the next victim; victims that have begun */
	_Atomic uint32_t ended;         /* victims that have */
	uint64_t seed;
};

static struct stoa_segment *arena;
static struct board *board;

static unsigned char *begin_of_channel(void)
{
	return (unsigned char *)stoa_segment_address(arena) + MARGIN;
}

/* ---- the enemy ---- */

static uint64_t nasty_value(uint64_t *random, uint64_t present, uint64_t position)
{
	static const uint64_t values[] = {0,         1,    63,         64,         UINT64_MAX,       UINT64_MAX - 63,
					  INT64_MAX, 4095, 0x7fffffff, 0xffffffff, UINT64_C(1) << 38};
	uint64_t choice = test_random(random);

	switch (choice % 7) {
	case 0: return values[(choice >> 8) % CC_COUNT(values)];
	case 1: return present ^ UINT64_C(1) << ((choice >> 8) % 64);
	case 2: return present + (choice >> 8) % 5 - 2;
	case 3: return present + ((choice >> 8) % 256 - 128) * CHANNEL_RECORD_UNIT;
	case 4: return position + (choice >> 8) % 8192;
	case 5: return present;
	default: return choice;
	}
}

/* A record that could be there: its position's tag, with any kind and length. */
static void forge_record(const struct stoa_channel *channel, uint64_t *random)
{
	uint64_t choice = test_random(random), info = test_random(random);
	uint32_t lane = (uint32_t)(choice % channel->plan.shape.senders);
	uint64_t from = choice & 256 ? load_rlx(&channel->lanes[lane].tail) : load_rlx(channel_head(channel, lane));
	uint64_t position = (from + ((choice >> 32) % 8) * CHANNEL_RECORD_UNIT) & ~(CHANNEL_RECORD_UNIT - 1);
	uint32_t length = (uint32_t)info & (info & 1 << 30 ? RECORD_LENGTH_MASK : 1023);
	struct channel_record *record =
		record_at(channel_ring(channel, lane), channel->plan.shape.ring - CHANNEL_RECORD_UNIT, position);

	if ((uint32_t)(info >> 32) % 6 << RECORD_LENGTH_BITS == RECORD_LARGE)
		length = info % 8 ? sizeof(struct channel_place) : length;
	store_rlx(&record->word, record_word(position, (uint32_t)(info >> 32) % 6 << RECORD_LENGTH_BITS | length));
}

static void strike(const struct stoa_channel *channel, uint64_t *random)
{
	uint64_t choice = test_random(random), length = channel->plan.receiving_length + channel->plan.sending_length;
	uint64_t receiving = channel->plan.heads + channel->plan.shape.senders * sizeof(struct channel_head);
	uint64_t at, tail = load_rlx(&channel->lanes[0].tail);
	_Atomic uint64_t *word;

	switch (choice % 8) {
	case 0: forge_record(channel, random); return;
	case 1: /* all that receivers write */
	case 2: at = CHANNEL_BELLS + (choice >> 8) % (receiving - CHANNEL_BELLS); break;
	case 3: /* all that senders write, but for the rings */
	case 4:
		at = channel->plan.receiving_length + CHANNEL_BELLS +
		     (choice >> 8) % (channel->plan.rings - CHANNEL_BELLS);
		break;
	case 5: /* both sides' sleepers and bells */
		at = (choice & 128 ? channel->plan.receiving_length : 0) + CHANNEL_BELLS + (choice >> 8) % 384;
		break;
	default: at = (choice >> 8) % length; break;
	}
	word = (void *)(channel->receiving + at / 8 * 8);
	store_rlx(word, nasty_value(random, load_rlx(word), tail));
}

static void attack(void *argument)
{
	struct stoa_channel *channel;
	unsigned char *whole;
	uint64_t random, length;

	board = argument;
	random = board->seed ^ 0x5eed;
	CHECK_RC(stoa_channel_attach(arena, MARGIN, &channel), 0);
	CHECK_RC(stoa_channel_size(&board->options, &length), 0);
	whole = malloc(length);
	CHECK(whole != NULL);
	memcpy(whole, channel->receiving, length);
	while (!atomic_load(&board->stop)) {
		unsigned few = (unsigned)(test_random(&random) % 3);

		if (atomic_load(&board->truce)) {
			memcpy(channel->receiving, whole, length);
			atomic_store(&board->truce, 2);
			/* Who did not run while there was none finds the next one: asked for, not kept. */
			while (atomic_load(&board->truce) == 2 && !atomic_load(&board->stop))
				sched_yield();
		}
		/* Now and then all as it was at first, or so few strikes that the others get somewhere. */
		if (test_random(&random) % 8 == 0)
			memcpy(channel->receiving, whole, length);
		for (unsigned i = 0; i < (few ? few * few * 4 : 2000); i++)
			strike(channel, &random);
		atomic_fetch_add(&board->writes, few ? few * few * 4 : 2000);
		if (few)
			test_nap(1);
	}
	free(whole);
	stoa_channel_close(channel);
}

/* ---- the others ---- */

static uint32_t number;

static void begin(uint32_t line)
{
	atomic_store(&board->line[number], line);
	atomic_store(&board->entered[number], stoa_now());
}

static int finish(int result)
{
	uint64_t spent = stoa_now() - atomic_exchange(&board->entered[number], 0);

	if (spent > WAIT + SLACK)
		test_fail(__FILE__, __LINE__, "a call with a deadline of %d ms took %" PRIu64 " ms",
			  (int)(WAIT / 1000000), spent / 1000000);
	atomic_fetch_add(&board->calls, 1);
	atomic_fetch_add(&board->errors, result < 0);
	return result;
}

#define CALL(call) (begin(__LINE__), finish(call))

static void check_inside(const struct stoa_channel *channel, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel->sending);

	CHECK(at >= channel->plan.rings && at <= channel->plan.sending_reserve);
	CHECK(length <= channel->plan.sending_reserve - at);
	CHECK_EQ(at % channel->plan.shape.alignment, 0);
}

static void send_some(struct stoa_channel *channel, struct stoa_sender *sender, uint64_t *random)
{
	uint64_t most = channel->plan.payload_max;
	struct stoa_loan loans[4];
	unsigned count = 0;

	(void)CALL(stoa_sender_send(sender, "message", 8, stoa_deadline_in(WAIT)));
	while (count < CC_COUNT(loans)) {
		uint64_t length =
			test_random(random) % ((test_random(random) % 8 ? most : channel->plan.shape.large) + 1);

		if (CALL(stoa_sender_loan(sender, length, stoa_deadline_in(WAIT), &loans[count])))
			break;
		check_inside(channel, loans[count].bytes, length);
		memset(loans[count++].bytes, 0x77, length);
	}
	while (count) {
		uint64_t choice = test_random(random), chosen = choice % count;
		struct stoa_loan loan = loans[chosen];

		loans[chosen] = loans[--count];
		loan.length = choice & 256 ? loan.length / 2 : loan.length;
		CHECK_RC(CALL(choice & 512 ? stoa_sender_cancel(sender, &loan) : stoa_sender_commit(sender, &loan)), 0);
	}
}

static void receive_some(struct stoa_channel *channel, struct stoa_receiver *receiver, uint64_t *random)
{
	struct stoa_message messages[8];
	unsigned char bytes[1024], sum = 0;
	unsigned count = 0;

	if (CALL(stoa_receiver_recv(receiver, bytes, sizeof(bytes), stoa_deadline_in(WAIT), &messages[0])) == 0)
		CHECK(messages[0].length <= sizeof(bytes));
	while (count < CC_COUNT(messages)) {
		const struct stoa_message *message = &messages[count];

		if (CALL(stoa_receiver_receive(receiver, stoa_deadline_in(WAIT), &messages[count])))
			break;
		check_inside(channel, message->bytes, message->length);
		CHECK(message->sender < channel->plan.shape.senders);
		for (uint64_t i = 0; i < message->length; i++)
			sum += ((const unsigned char *)message->bytes)[i];
		count++;
	}
	atomic_fetch_add(&board->messages, count + sum % 1);
	while (count) {
		uint64_t chosen = test_random(random) % count;
		int rc = CALL(stoa_receiver_release(receiver, &messages[chosen]));

		CHECK(rc == 0 || rc == STOA_OVERRUN);
		messages[chosen] = messages[--count];
	}
}

static void wait_for_all(struct stoa_sender *sender, struct stoa_receiver *receiver)
{
	struct stoa_waitable set[4];
	size_t count = 0, index;

	if (sender) {
		set[count++] = (struct stoa_waitable){NULL, sender, STOA_WAIT_SENDER, 0};
		set[count++] = (struct stoa_waitable){NULL, sender, STOA_WAIT_NO_RECEIVERS, 0};
	}
	if (receiver) {
		set[count++] = (struct stoa_waitable){NULL, receiver, STOA_WAIT_RECEIVER, 0};
		set[count++] = (struct stoa_waitable){NULL, receiver, STOA_WAIT_NO_SENDERS, 0};
	}
	if (count)
		(void)CALL(stoa_wait_any(set, count, stoa_deadline_in(WAIT), &index));
}

/* As one, the other, or both ends, from joining to leaving. */
static void live_once(struct stoa_channel *channel, uint64_t *random)
{
	uint64_t choice = test_random(random);
	struct stoa_sender_options sending = {.waiting = (uint32_t)(choice % 3), .flags = (uint32_t)(choice >> 8 & 1)};
	struct stoa_receiver_options receiving = {.waiting = (uint32_t)(choice >> 9) % 3, .flags = choice >> 16 & 1};
	struct stoa_receiver *receiver = NULL;
	struct stoa_sender *sender = NULL;

	if (channel->plan.shape.kind == STOA_BROADCAST) {
		receiving.when_slow = (uint32_t)(choice >> 17) % 3;
		receiving.from = choice >> 20 & 1;
		receiving.lag = receiving.when_slow == STOA_DETACH ? choice >> 21 & 15 : 0;
	}
	if (choice >> 32 & 3)
		(void)CALL(stoa_sender_join(channel, &sending, &sender));
	if (choice >> 34 & 3)
		(void)CALL(stoa_receiver_join(channel, &receiving, &receiver));
	for (unsigned turns = (unsigned)(choice >> 36) % 8; turns; turns--) {
		if (sender)
			send_some(channel, sender, random);
		if (receiver)
			receive_some(channel, receiver, random);
		if (turns % 4 == 0)
			wait_for_all(sender, receiver);
	}
	begin(__LINE__);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	(void)finish(0);
}

static void victim(void *argument)
{
	struct stoa_channel *channel, *other;
	uint64_t random;

	board = argument;
	number = atomic_fetch_add(&board->number, 1) % (VICTIMS + 1);
	random = board->seed + number;
	CHECK_RC(CALL(stoa_channel_attach(arena, MARGIN, &channel)), 0);
	atomic_fetch_add(&board->ready, 1);
	while (!atomic_load(&board->stop)) {
		live_once(channel, &random);
		if (CALL(stoa_channel_attach(arena, MARGIN, &other)) == 0)
			stoa_channel_close(other);
	}
	begin(__LINE__);
	stoa_channel_close(channel);
	(void)finish(0);
	atomic_fetch_add(&board->ended, 1);
}

/* ---- the fight ---- */

static void look_at_victims(void)
{
	for (unsigned i = 0; i <= VICTIMS; i++) {
		uint64_t entered = atomic_load(&board->entered[i]), now = stoa_now();

		if (entered && entered < now && now - entered > WAIT + 2 * SLACK)
			test_fail(__FILE__, __LINE__, "the call in line %u has not ended for %" PRIu64 " ms",
				  atomic_load(&board->line[i]), (now - entered) / 1000000);
	}
	test_nap(1);
}

static void await_victims(uint32_t count)
{
	while (atomic_load(&board->ready) < count)
		look_at_victims();
}

static void watch_victims(uint64_t until)
{
	while (stoa_now() < until)
		look_at_victims();
}

static void check_margins(void)
{
	const unsigned char *at = begin_of_channel();
	uint64_t length;

	CHECK_RC(stoa_channel_size(&board->options, &length), 0);
	for (uint64_t i = 0; i < MARGIN; i++) {
		CHECK_EQ(at[i - MARGIN], PATTERN);
		CHECK_EQ(at[length + i], PATTERN);
	}
}

/* Whoever is killed in between leaves its place to others. */
static void fight(unsigned rounds)
{
	pid_t enemy = test_role(attack, board), victims[VICTIMS];

	atomic_store(&board->truce, 1);
	test_await(&board->truce, 2);
	for (unsigned i = 0; i < VICTIMS; i++)
		victims[i] = test_role(victim, board);
	await_victims(VICTIMS);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t mortal;

		if (i) {
			atomic_store(&board->truce, 1);
			test_await(&board->truce, 2);
		}
		atomic_store(&board->number, VICTIMS);
		atomic_store(&board->ready, 0);
		atomic_store(&board->entered[VICTIMS], 0);
		mortal = test_role(victim, board);
		await_victims(1);
		atomic_store(&board->truce, 0);
		watch_victims(stoa_deadline_in(ROUND));
		test_kill(mortal);
		atomic_store(&board->entered[VICTIMS], 0);
	}
	atomic_store(&board->stop, 1);
	while (atomic_load(&board->ended) < VICTIMS) /* a call that never ends is told, not joined */
		look_at_victims();
	for (unsigned i = 0; i < VICTIMS; i++)
		CHECK_EQ(test_join(victims[i]), 0);
	CHECK_EQ(test_join(enemy), 0);
	check_margins();
}

static void set_up(const struct stoa_channel_options *options)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 2 * VICTIMS};
	struct stoa_channel *channel;
	uint64_t length;

	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	board->options = *options;
	CHECK_RC(stoa_channel_size(options, &length), 0);
	CHECK_RC(stoa_segment_create(NULL, ARENA, &segment_options, &arena), 0);
	CHECK_RC(stoa_segment_commit(arena, MARGIN + length + MARGIN), 0);
	CHECK_RC(stoa_channel_place(arena, MARGIN, options, &channel), 0);
	memset(begin_of_channel() - MARGIN, PATTERN, MARGIN);
	memset(begin_of_channel() + length, PATTERN, MARGIN);
	stoa_channel_close(channel);
	test_share(&arena, NULL);
}

static void bear(struct stoa_channel_options options)
{
	set_up(&options);
	fight(test_rounds(5, 200));
	CHECK_INT(atomic_load(&board->messages), >, 0);
	test_figure("%" PRIu64 " calls, %" PRIu64 " of them refused, and %" PRIu64 " messages under %" PRIu64
		    " hostile writes",
		    atomic_load(&board->calls), atomic_load(&board->errors), atomic_load(&board->messages),
		    atomic_load(&board->writes));
	stoa_segment_close(arena);
}

TEST_TIMEOUT(a_queue_of_one_to_one, 120)
{
	bear((struct stoa_channel_options){.ring = 4096, .large = 1 << 16});
}

TEST_TIMEOUT(a_shared_queue, 120)
{
	bear((struct stoa_channel_options){
		.ring = 4096, .senders = 2, .receivers = 3, .flags = STOA_TIMES, .large = 1 << 14});
}

TEST_TIMEOUT(a_broadcast, 120)
{
	bear((struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 8192, .senders = 2, .receivers = 3});
}

TEST_TIMEOUT(an_aligned_broadcast, 120)
{
	bear((struct stoa_channel_options){
		.kind = STOA_BROADCAST, .ring = 16384, .alignment = 4096, .senders = 1, .receivers = 2});
}
