/* SPDX-License-Identifier: MIT */
/*
 * An enemy with one role of a channel writes random and chosen bytes over all that it may write, its side's roster too, while others have
 * the other role: they never crash, never come out of the channel's memory, and never stay beyond their deadlines; and what is theirs
 * stays as they wrote it. (test_channel_hostile.c has the enemy who may write everything.)
 */
#include <channel/enemy.h>

#include <inttypes.h>

#define WAIT (UINT64_C(2) * 1000000)      /* each deadline */
#define SLACK (UINT64_C(20) * 1000000000) /* a loaded machine, but no hang */
#define VICTIMS 2

struct board {
	uint32_t enemys; /* grant */
	_Atomic uint32_t stop, ready;
	_Atomic uint64_t calls, done, writes;
	uint64_t seed;
};
static struct board *board;
static struct stoa_channel *whole;

static struct stoa_channel *only(uint32_t grant)
{
	struct stoa_channel *channel = granted(whole, grant);

	stoa_channel_close(whole);
	whole = NULL;
	return channel;
}

/* ---- the enemy ---- */

static void attack(void *argument)
{
	uint32_t grant = board->enemys;
	struct stoa_channel *channel = only(grant);
	struct stoa_segment *mine = channel_segment(channel, grant == STOA_GRANT_SENDER);
	struct roster *roster;
	uint64_t random = board->seed ^ 0x5eed;

	(void)argument;
	CHECK_EQ(touch(bytes_of(channel_segment(channel, grant != STOA_GRANT_SENDER)) + CHANNEL_BELLS), REFUSED);
	CHECK_RC(roster_attach(mine, &roster), 0);
	/* Who is handed the channel later may find that there is none any more. */
	add_rlx(&board->ready, 1);
	test_await(&board->ready, 1 + VICTIMS);
	while (!load_rlx(&board->stop)) {
		for (unsigned i = 0; i < 500; i++)
			enemy_strike(mine, roster, &random);
		add_rlx(&board->writes, 500);
		if (test_random(&random) % 4 == 0)
			test_nap(1);
	}
	stoa_channel_close(channel);
}

/* ---- the others ---- */

static uint64_t began; /* of this process's present call */

static void begin(void)
{
	began = stoa_now();
}

static int timed(int result)
{
	uint64_t spent = stoa_now() - began;

	if (spent > WAIT + SLACK)
		test_fail(__FILE__, __LINE__, "a call took %" PRIu64 " ms", spent / 1000000);
	add_rlx(&board->calls, 1);
	add_rlx(&board->done, result == 0);
	return result;
}
#define TIMED(call) (begin(), timed(call))

static void check_inside(const struct stoa_channel *channel, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel->sending);

	CHECK(at >= channel->plan.rings && at <= channel->plan.sending_reserve);
	CHECK(length <= channel->plan.sending_reserve - at);
}

static void send_some(const struct stoa_channel *channel, struct stoa_sender *sender, uint64_t *random)
{
	struct stoa_loan loan;

	for (unsigned i = 0; i < 20; i++) {
		if (TIMED(stoa_sender_loan(sender, test_random(random) % 500, stoa_deadline_in(WAIT), &loan)))
			continue;
		check_inside(channel, loan.bytes, loan.length);
		memset(loan.bytes, 0x77, loan.length);
		CHECK_RC(stoa_sender_commit(sender, &loan), 0);
	}
}

static void receive_some(const struct stoa_channel *channel, struct stoa_receiver *receiver)
{
	struct stoa_message message;

	for (unsigned i = 0; i < 20; i++) {
		int rc = TIMED(stoa_receiver_receive(receiver, stoa_deadline_in(WAIT), &message));

		if (rc)
			continue;
		check_inside(channel, message.bytes, message.length);
		rc = stoa_receiver_release(receiver, &message);
		CHECK(rc == 0 || rc == STOA_OVERRUN);
	}
}

static void victim(void *argument)
{
	bool sends = board->enemys == STOA_GRANT_RECEIVER;
	struct stoa_channel *channel = only(sends ? STOA_GRANT_SENDER : STOA_GRANT_RECEIVER);
	uint64_t random = board->seed + (uint64_t)(uintptr_t)argument;

	add_rlx(&board->ready, 1);
	while (!load_rlx(&board->stop)) {
		uint32_t waiting = (uint32_t)(test_random(&random) % 3), flags = (uint32_t)(test_random(&random) % 2);
		struct stoa_receiver_options receiving = {.waiting = waiting, .flags = flags};
		struct stoa_sender_options sending = {.waiting = waiting, .flags = flags};
		struct stoa_receiver *receiver = NULL;
		struct stoa_sender *sender = NULL;

		if (channel->plan.shape.kind == STOA_BROADCAST)
			receiving.when_slow = (uint32_t)(test_random(&random) % 3);
		if (sends && TIMED(stoa_sender_join(channel, &sending, &sender)) == 0)
			send_some(channel, sender, &random);
		if (!sends && TIMED(stoa_receiver_join(channel, &receiving, &receiver)) == 0)
			receive_some(channel, receiver);
		stoa_sender_leave(sender);
		stoa_receiver_leave(receiver);
	}
	stoa_channel_close(channel);
}

static void fight(uint32_t enemys, struct stoa_channel_options options)
{
	unsigned char before[OS_PAGE];
	struct stoa_segment *theirs;
	pid_t enemy, victims[VICTIMS];

	CHECK_RC(stoa_channel_create(NULL, &options, &whole), 0);
	theirs = channel_segment(whole, enemys != STOA_GRANT_SENDER);
	memcpy(before, bytes_of(theirs), sizeof(before));
	board = test_shared(sizeof(*board));
	board->seed = test_seed();
	board->enemys = enemys;
	enemy = test_role(attack, NULL);
	for (uintptr_t i = 0; i < VICTIMS; i++)
		victims[i] = test_role(victim, (void *)i);
	test_await(&board->ready, 1 + VICTIMS);
	test_nap(test_rounds(1000, 60000));
	store_rlx(&board->stop, 1);
	for (unsigned i = 0; i < VICTIMS; i++)
		CHECK_EQ(test_join(victims[i]), 0);
	CHECK_EQ(test_join(enemy), 0);
	CHECK(!memcmp(before, bytes_of(theirs), sizeof(before)));
	CHECK_INT(load_rlx(&board->done), >, 0);
	test_figure("%" PRIu64 " calls, of which %" PRIu64 " were done, under %" PRIu64 " hostile writes",
		    load_rlx(&board->calls), load_rlx(&board->done), load_rlx(&board->writes));
	stoa_channel_close(whole);
}

TEST_TIMEOUT(an_enemy_who_receives, 120)
{
	fight(STOA_GRANT_RECEIVER, (struct stoa_channel_options){.ring = 4096, .senders = 2, .receivers = 2});
}

TEST_TIMEOUT(an_enemy_who_subscribes, 120)
{
	fight(STOA_GRANT_RECEIVER,
	      (struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 4096, .senders = 2, .receivers = 2});
}

TEST_TIMEOUT(an_enemy_who_sends, 120)
{
	fight(STOA_GRANT_SENDER, (struct stoa_channel_options){.ring = 4096, .senders = 2, .receivers = 2});
}

TEST_TIMEOUT(an_enemy_who_broadcasts, 120)
{
	fight(STOA_GRANT_SENDER,
	      (struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 4096, .senders = 2, .receivers = 2});
}
