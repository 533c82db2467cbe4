/* SPDX-License-Identifier: MIT */
/*
 * Senders and receivers killed at random moments, at full rate, and replaced: the others go on, and what is received is whole, in
 * order, and comes once.
 */
#include <kill/kill.h>

#include <base/atomic.h>
#include <base/hash.h>
#include <string.h>

/* In the segment of the guarded things, behind them. */
struct ledger {
	_Atomic uint64_t taken[3][4096]; /* by sender and sequence: the latest that was taken, + 1 */
};
#define LEDGER_OFFSET 65536
#define CHANNEL_OFFSET (UINT64_C(1) << 20)

/* This process's ends. */
static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;
static uint64_t last[3], turns;
static bool began[3];

static struct ledger *ledger(void)
{
	CHECK_RC(stoa_segment_commit(segment, LEDGER_OFFSET + sizeof(struct ledger)), 0);
	return (void *)((char *)stoa_segment_address(segment) + LEDGER_OFFSET);
}

static void open_channel(void)
{
	if (!channel)
		CHECK_RC(stoa_channel_attach(segment, CHANNEL_OFFSET, &channel), 0);
}

static void send_one(unsigned number)
{
	struct stoa_loan loan, other;
	uint64_t length, check;

	open_channel();
	if (!sender) {
		/* The place of who was killed is free as soon as that is dead, which a kill does not wait for. */
		int rc;

		while ((rc = stoa_sender_join(channel, NULL, &sender)) == -STOA_ELIMIT)
			;
		CHECK_RC(rc, 0);
	}
	length = 8 + (turns++ * 37 + number) % 300;
	CHECK_RC(stoa_sender_loan(sender, length + 100, STOA_FOREVER, &loan), 0);
	if (turns % 16 == 0) {
		CHECK_RC(stoa_sender_loan(sender, 50, STOA_FOREVER, &other), 0);
		CHECK_RC(stoa_sender_cancel(sender, turns % 32 ? &other : &loan), 0);
		if (turns % 32 == 0)
			loan = other, length = 50;
	}
	memset(loan.bytes, (int)turns, length);
	check = hash_bytes((unsigned char *)loan.bytes + 8, length - 8);
	memcpy(loan.bytes, &check, 8);
	loan.length = length;
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
}

static void look_at(const struct stoa_message *message)
{
	uint64_t check;

	CHECK_INT(message->length, >=, 8);
	memcpy(&check, message->bytes, 8);
	CHECK_EQ(check, hash_bytes((const unsigned char *)message->bytes + 8, message->length - 8));
	CHECK_INT(message->sender, <, 3);
	if (began[message->sender])
		CHECK_INT(message->sequence, >, last[message->sender]);
	last[message->sender] = message->sequence;
	began[message->sender] = true;
}

static void join_as(const struct stoa_receiver_options *options)
{
	int rc;

	open_channel();
	while (!receiver && (rc = stoa_receiver_join(channel, options, &receiver)) != 0)
		CHECK_RC(rc, -STOA_ELIMIT);
}

static void take_one(unsigned number)
{
	struct stoa_message message;
	uint64_t before;

	(void)number;
	join_as(NULL);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
	look_at(&message);
	before = atomic_exchange(&ledger()->taken[message.sender][message.sequence % 4096], message.sequence + 1);
	CHECK_INT(before, <, message.sequence + 1);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

static void follow_one(unsigned number)
{
	struct stoa_message message;
	bool first;

	(void)number;
	join_as(NULL);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
	first = !began[message.sender];
	CHECK_EQ(message.lost, 0);
	if (!first)
		CHECK_EQ(message.sequence, last[message.sender] + 1);
	look_at(&message);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

static void glance(unsigned number)
{
	unsigned char buffer[512];
	struct stoa_message message;

	(void)number;
	join_as(&(struct stoa_receiver_options){.when_slow = STOA_DROP_OLDEST});
	CHECK_RC(stoa_receiver_recv(receiver, buffer, sizeof(buffer), STOA_FOREVER, &message), 0);
	if (began[message.sender])
		CHECK_EQ(message.sequence, last[message.sender] + 1 + message.lost);
	look_at(&message);
}

static void leave_as_receiver(unsigned number)
{
	be_at(number, GOING);
	stoa_receiver_leave(receiver);
	receiver = NULL;
	memset(began, 0, sizeof(began));
}

/* Loses nothing as long as it is attached. */
static void lag(unsigned number)
{
	unsigned char buffer[512];
	struct stoa_message message;
	int rc;

	join_as(&(struct stoa_receiver_options){.when_slow = STOA_DETACH, .lag = 10});
	rc = stoa_receiver_recv(receiver, buffer, sizeof(buffer), STOA_FOREVER, &message);
	if (rc == -STOA_ECLOSED) {
		leave_as_receiver(number);
		return;
	}
	CHECK_RC(rc, 0);
	CHECK_EQ(message.lost, 0);
	if (began[message.sender])
		CHECK_EQ(message.sequence, last[message.sender] + 1);
	look_at(&message);
}

/* ---- those who come, do one thing, and go ---- */

static void come_and_send(unsigned number)
{
	be_at(number, COMING);
	send_one(number);
	be_at(number, GOING);
	stoa_sender_leave(sender);
	sender = NULL;
}

static void come_and_take(unsigned number)
{
	be_at(number, COMING);
	take_one(number);
	leave_as_receiver(number);
}

static void come_and_follow(unsigned number)
{
	be_at(number, COMING);
	follow_one(number);
	leave_as_receiver(number);
}

/* ---- in the segment, for all ---- */

static void place(const struct stoa_channel_options *options)
{
	struct stoa_channel *placed;

	kill_recovered_within = UINT64_C(10) * 1000000;
	CHECK_RC(stoa_channel_place(segment, CHANNEL_OFFSET, options, &placed), 0);
	stoa_channel_close(placed);
}

static void place_for_one_each(void)
{
	place(&(struct stoa_channel_options){.ring = 4096});
}

static void place_for_two_receivers(void)
{
	place(&(struct stoa_channel_options){.ring = 4096, .receivers = 2});
}

static void place_for_two_senders(void)
{
	place(&(struct stoa_channel_options){.ring = 4096, .senders = 2});
}

static void place_broadcast(void)
{
	place(&(struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 4096, .receivers = 2});
}

TEST_TIMEOUT(one_to_one, 240)
{
	kill_prepare = place_for_one_each;
	KILL_EACH(ROLE("the one sender", send_one, 1, true, AT_WORK), ROLE("its receiver", take_one, 1, true, AT_WORK));
}

TEST_TIMEOUT(one_sender, 240)
{
	kill_prepare = place_for_two_receivers;
	KILL_EACH(ROLE("sender to two", send_one, 1, true, AT_WORK),
		  ROLE("receiver of two", take_one, 2, false, AT_WORK));
}

TEST_TIMEOUT(several_senders, 240)
{
	kill_prepare = place_for_two_senders;
	KILL_EACH(ROLE("sender of two", send_one, 2, false, AT_WORK),
		  ROLE("the one receiver", take_one, 1, true, AT_WORK));
}

TEST_TIMEOUT(broadcasts, 240)
{
	kill_prepare = place_broadcast;
	KILL_EACH(ROLE("sender to all", send_one, 1, true, AT_WORK),
		  ROLE("receiver that blocks", follow_one, 1, false, AT_WORK),
		  ROLE("receiver that drops", glance, 1, false, AT_WORK));
}

TEST_TIMEOUT(detached, 240)
{
	kill_prepare = place_broadcast;
	KILL_EACH(ROLE("sender to those who lag", send_one, 1, true, AT_WORK),
		  ROLE("receiver that is detached", lag, 2, false, AT_WORK));
}

TEST_TIMEOUT(senders_come_and_go, 240)
{
	kill_prepare = place_for_two_senders;
	KILL_EACH(ROLE("sender that comes", come_and_send, 1, false, COMING),
		  ROLE("sender that goes", come_and_send, 1, false, GOING),
		  ROLE("who receives from them", take_one, 1, true, AT_WORK));
}

TEST_TIMEOUT(receivers_come_and_go, 240)
{
	kill_prepare = place_for_two_receivers;
	KILL_EACH(ROLE("who sends to them", send_one, 1, true, AT_WORK),
		  ROLE("receiver that comes", come_and_take, 1, false, COMING),
		  ROLE("receiver that goes", come_and_take, 1, false, GOING));
}

TEST_TIMEOUT(subscribers_come_and_go, 240)
{
	kill_prepare = place_broadcast;
	KILL_EACH(ROLE("who sends to all of them", send_one, 1, true, AT_WORK),
		  ROLE("subscriber that comes", come_and_follow, 1, false, COMING),
		  ROLE("subscriber that goes", come_and_follow, 1, false, GOING));
}
