/* SPDX-License-Identifier: MIT */
/*
 * Channels between processes: every message arrives exactly once and whole, in its sender's order, whatever the sizes, the number
 * of ends and how they wait. In all a million messages; in long rounds, more than a hundred.
 */
#include <harness/test.h>

#include <base/atomic.h>
#include <base/hash.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>

#define ENDS 4
#define LENGTH_MAX 700

struct part {
	struct plan *plan;
	uint32_t who;
};

/* How a run goes; in memory that the roles share. */
struct plan {
	struct part parts[ENDS];
	char name[64];
	struct stoa_channel_options options;
	uint32_t waiting;
	uint64_t messages; /* of each sender */
	uint64_t seed;
	_Atomic uint32_t receivers, senders; /* that have joined */
	_Atomic uint64_t received;
	_Atomic uint64_t lost;
	_Atomic uint64_t sleeps, wakes, rescues;
	_Atomic uint8_t seen[];
};
static struct plan *plan;

struct body {
	uint64_t check; /* of what follows */
	uint32_t sender, length;
	uint64_t number;
	unsigned char filling[LENGTH_MAX];
};
#define BODY_MIN offsetof(struct body, filling)

static uint64_t body_check(const struct body *body)
{
	return hash_bytes((const unsigned char *)body + sizeof(body->check), body->length - sizeof(body->check));
}

static void send_one(struct stoa_sender *sender, uint32_t who, uint64_t number, uint64_t *seed)
{
	uint32_t length = (uint32_t)(BODY_MIN + test_random(seed) % (test_random(seed) % 8 ? 20 : LENGTH_MAX));
	struct stoa_loan loan;
	struct body *body;

	CHECK_RC(stoa_sender_loan(sender, LENGTH_MAX + BODY_MIN, STOA_FOREVER, &loan), 0);
	if (test_random(seed) % 100 == 0) {
		CHECK_RC(stoa_sender_cancel(sender, &loan), 0);
		CHECK_RC(stoa_sender_loan(sender, length, STOA_FOREVER, &loan), 0);
	}
	body = loan.bytes;
	body->sender = who;
	body->length = length;
	body->number = number;
	memset(body->filling, (int)number, length - BODY_MIN);
	body->check = body_check(body);
	loan.length = length;
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
}

static void count_waits(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	add_rlx(&plan->sleeps, stat.sleeps);
	add_rlx(&plan->wakes, stat.wakes);
	add_rlx(&plan->rescues, stat.rescues);
}

static void be_sender(void *argument)
{
	const struct part *part = argument;
	uint32_t who = part->who;
	struct stoa_sender_options options = {0};
	uint64_t seed;
	struct stoa_channel *channel;
	struct stoa_sender *sender;

	plan = part->plan;
	options.waiting = plan->waiting;
	seed = plan->seed + who;
	CHECK_RC(stoa_channel_open(plan->name, 0, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, &options, &sender), 0);
	/* Else the receivers would find everybody gone before the last had come. */
	add_rlx(&plan->senders, 1);
	while (load_rlx(&plan->senders) < plan->options.senders)
		test_nap(1);
	for (uint64_t i = 0; i < plan->messages; i++)
		send_one(sender, who, i, &seed);
	count_waits();
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

static void look_at(const struct stoa_message *message, uint64_t *next)
{
	const struct body *body = message->bytes;

	CHECK_EQ(message->length, body->length);
	CHECK_INT(body->sender, <, ENDS);
	CHECK_EQ(body->check, body_check(body));
	CHECK_INT(body->number, >=, next[body->sender]);
	next[body->sender] = body->number + 1;
	add_rlx(&plan->seen[body->sender * plan->messages + body->number], 1);
	add_rlx(&plan->received, 1);
	add_rlx(&plan->lost, message->lost);
}

/* A few held at a time, released in any order; all of them before a wait, as the oldest held keeps its sender's room. */
struct hand {
	struct stoa_receiver *receiver;
	struct stoa_message held[3];
	unsigned count;
};

static void put_down(struct hand *hand, unsigned which)
{
	CHECK_RC(stoa_receiver_release(hand->receiver, &hand->held[which]), 0);
	hand->held[which] = hand->held[--hand->count];
}

static int pick_up(struct hand *hand)
{
	int rc = stoa_receiver_receive(hand->receiver, STOA_TRY, &hand->held[hand->count]);

	if (rc != STOA_TIMED_OUT)
		return rc;
	while (hand->count)
		put_down(hand, 0);
	return stoa_receiver_receive(hand->receiver, STOA_FOREVER, &hand->held[0]);
}

static void be_receiver(void *argument)
{
	const struct part *part = argument;
	struct stoa_receiver_options options = {.flags = STOA_UNTIL_PEERS_LEAVE};
	uint64_t next[ENDS] = {0}, seed;
	struct hand hand = {.count = 0};
	struct stoa_channel *channel;
	int rc;

	plan = part->plan;
	options.waiting = plan->waiting;
	seed = plan->seed ^ part->who;
	CHECK_RC(stoa_channel_open(plan->name, 0, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, &options, &hand.receiver), 0);
	add_rlx(&plan->receivers, 1);
	while ((rc = pick_up(&hand)) == 0) {
		look_at(&hand.held[hand.count++], next);
		while (hand.count == CC_COUNT(hand.held) || (hand.count && test_random(&seed) % 2))
			put_down(&hand, (unsigned)(test_random(&seed) % hand.count));
	}
	CHECK_RC(rc, STOA_CLOSED);
	while (hand.count)
		put_down(&hand, 0);
	count_waits();
	stoa_receiver_leave(hand.receiver);
	stoa_channel_close(channel);
}

static void run(const struct stoa_channel_options *options, uint32_t waiting, uint64_t messages)
{
	uint32_t senders = options->senders ? options->senders : 1,
		 receivers = options->receivers ? options->receivers : 1;
	uint64_t all = senders * messages;
	struct stoa_channel *channel;
	pid_t roles[2 * ENDS];

	plan = test_shared(sizeof(*plan) + all);
	snprintf(plan->name, sizeof(plan->name), "%s", test_name("run"));
	plan->options = *options;
	plan->waiting = waiting;
	plan->messages = messages;
	plan->seed = test_seed();
	CHECK_RC(stoa_channel_create(plan->name, options, &channel), 0);
	for (uint32_t i = 0; i < ENDS; i++)
		plan->parts[i] = (struct part){plan, i};
	for (uint32_t i = 0; i < receivers; i++)
		roles[i] = test_role(be_receiver, &plan->parts[i]);
	while (load_rlx(&plan->receivers) < receivers)
		test_nap(1);
	for (uint32_t i = 0; i < senders; i++)
		roles[receivers + i] = test_role(be_sender, &plan->parts[i]);
	for (uint32_t i = 0; i < senders + receivers; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	stoa_channel_close(channel);
	CHECK_EQ(load_rlx(&plan->received), options->kind == STOA_BROADCAST ? receivers * all : all);
	CHECK_EQ(load_rlx(&plan->lost), 0);
	for (uint64_t i = 0; i < all; i++)
		CHECK_EQ(load_rlx(&plan->seen[i]), options->kind == STOA_BROADCAST ? receivers : 1);
	test_note("%llu sleeps, %llu wakes, %llu rescues", (unsigned long long)load_rlx(&plan->sleeps),
		  (unsigned long long)load_rlx(&plan->wakes), (unsigned long long)load_rlx(&plan->rescues));
	if (waiting == STOA_SLEEP)
		CHECK_INT(load_rlx(&plan->sleeps), >, 0);
}

#define QUEUE(senders_, receivers_) \
	(&(struct stoa_channel_options){.ring = 8192, .senders = (senders_), .receivers = (receivers_)})

TEST_TIMEOUT(one_to_one, 60)
{
	run(QUEUE(1, 1), STOA_BALANCED, test_rounds(400000, 40000000));
}

TEST_TIMEOUT(one_to_one_asleep, 60)
{
	run(QUEUE(1, 1), STOA_SLEEP, test_rounds(5000, 200000));
}

TEST_TIMEOUT(one_to_one_awake, 60)
{
	run(QUEUE(1, 1), STOA_SPIN, test_rounds(5000, 200000));
}

TEST_TIMEOUT(many_to_one, 60)
{
	run(QUEUE(4, 1), STOA_BALANCED, test_rounds(50000, 5000000));
}

TEST_TIMEOUT(one_to_many, 60)
{
	run(QUEUE(1, 4), STOA_BALANCED, test_rounds(200000, 20000000));
}

TEST_TIMEOUT(many_to_many, 60)
{
	run(QUEUE(3, 3), STOA_BALANCED, test_rounds(50000, 6000000));
}

TEST_TIMEOUT(many_to_many_asleep, 60)
{
	run(QUEUE(3, 3), STOA_SLEEP, test_rounds(2000, 100000));
}

TEST_TIMEOUT(to_all, 60)
{
	run(&(struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 8192, .senders = 2, .receivers = 3},
	    STOA_BALANCED, test_rounds(25000, 2000000));
}

TEST_TIMEOUT(to_all_asleep, 60)
{
	run(&(struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 8192, .senders = 2, .receivers = 3},
	    STOA_SLEEP, test_rounds(2000, 100000));
}
