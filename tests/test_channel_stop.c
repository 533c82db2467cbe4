/* SPDX-License-Identifier: MIT */
/*
 * An end that is stopped, anywhere in what it does, and neither ends nor goes on: who is not to wait for it goes on, for many laps
 * of the ring. Let go again, it finds what its policy says.
 */
#include <harness/test.h>

#include <kill/system.h>
#include <sched.h>
#include <stoa/stoa.h>

#define MESSAGES 300 /* while it is stopped: several rings full */
#define ROUNDS test_rounds(20, 2000)
#define RING 4096

struct board {
	_Atomic uint32_t joined, release;
	_Atomic uint64_t next, lost, detached, taken;
};
static struct stoa_segment *segment;
static struct board *board;
static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;

/* No wait of this test's own ends with it, unless something waits that should not. */
static uint64_t soon(void)
{
	return stoa_deadline_in(UINT64_C(15) * 1000000000);
}

static void set_up(const struct stoa_channel_options *options)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 8};

	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &segment_options, &segment), 0);
	test_share(&segment, NULL);
	CHECK_RC(stoa_channel_place(segment, 0, options, &channel), 0);
	board = test_shared(sizeof(*board));
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
}

static void tear_down(void)
{
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
	stoa_segment_close(segment);
	segment = NULL;
}

static pid_t start(const char *name, void (*body)(void *argument))
{
	uint32_t joined = atomic_load(&board->joined);
	pid_t role = test_role_start(name, body, board);

	test_await(&board->joined, joined + 1);
	return role;
}

static void begin(void *argument)
{
	board = argument;
	CHECK_RC(stoa_channel_attach(segment, 0, &channel), 0);
}

/* After a while of its own, at whatever it is. */
static void stop_somewhere(pid_t role, uint64_t *random)
{
	for (uint64_t end = stoa_deadline_in(test_random(random) % 300000); stoa_now() < end;)
		;
	halt(role);
}

static void send_one(void)
{
	unsigned char bytes[200] = {0};

	CHECK_RC(stoa_sender_send(sender, bytes, sizeof(bytes), soon()), 0);
}

/* This test's own receiver, of what its sender sent, misses none. */
static void send_and_receive(unsigned count)
{
	struct stoa_message message;

	for (unsigned i = 0; i < count; i++) {
		send_one();
		CHECK_RC(stoa_receiver_receive(receiver, soon(), &message), 0);
		CHECK_EQ(message.lost, 0);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
}

static void await_count(const _Atomic uint64_t *count, uint64_t value)
{
	uint64_t end = soon();

	while (atomic_load(count) < value && stoa_now() < end)
		sched_yield();
	CHECK_INT(atomic_load(count), >=, value);
}

/* ---- broadcasts ---- */

/* Receives until the sender leaves; every message that it does not get is told as lost. */
static void subscribe(void *argument, uint32_t when_slow)
{
	const struct stoa_receiver_options options = {.flags = STOA_UNTIL_PEERS_LEAVE, .when_slow = when_slow};
	unsigned char buffer[256];
	struct stoa_message message;
	uint64_t next = 0;
	bool first = true;
	int rc;

	begin(argument);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	atomic_fetch_add(&board->joined, 1);
	while ((rc = stoa_receiver_recv(receiver, buffer, sizeof(buffer), STOA_FOREVER, &message)) == 0) {
		if (!first)
			CHECK_EQ(message.sequence, next + message.lost);
		first = false;
		next = message.sequence + 1;
		atomic_fetch_add(&board->lost, message.lost);
		atomic_store(&board->next, next);
	}
	CHECK_RC(rc, when_slow == STOA_DETACH ? -STOA_ECLOSED : STOA_CLOSED);
	atomic_fetch_add(&board->detached, rc == -STOA_ECLOSED);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

static void be_dropper(void *argument)
{
	subscribe(argument, STOA_DROP_OLDEST);
}

static void be_detached(void *argument)
{
	subscribe(argument, STOA_DETACH);
}

#define BROADCAST (&(struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = RING, .receivers = 2})

TEST_TIMEOUT(a_stopped_subscriber_that_drops, 60)
{
	uint64_t random = test_seed(), sent = 0;
	pid_t role;

	set_up(BROADCAST);
	role = start("dropper", be_dropper);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned before = (unsigned)(test_random(&random) % 10);

		send_and_receive(before);
		stop_somewhere(role, &random);
		send_and_receive(MESSAGES);
		sent += before + MESSAGES;
		resume(role);
		await_count(&board->next, sent);
	}
	CHECK_INT(atomic_load(&board->lost), >, 0);
	CHECK_INT(atomic_load(&board->lost), <, sent);
	stoa_sender_leave(sender);
	sender = NULL;
	CHECK_EQ(test_join(role), 0);
	tear_down();
}

TEST_TIMEOUT(a_stopped_subscriber_that_is_detached, 60)
{
	uint64_t random = test_seed();

	set_up(BROADCAST);
	for (unsigned round = 0; round < test_rounds(5, 300); round++) {
		pid_t role = start("detached", be_detached);

		stop_somewhere(role, &random);
		send_and_receive(MESSAGES);
		resume(role);
		CHECK_EQ(test_join(role), 0);
		CHECK_EQ(atomic_load(&board->detached), round + 1);
	}
	tear_down();
}

/* ---- queues ---- */

static void take_and_hold(void *argument)
{
	struct stoa_message message;

	begin(argument);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	atomic_fetch_add(&board->joined, 1);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
	atomic_fetch_add(&board->taken, 1);
	while (!atomic_load(&board->release))
		test_nap(1);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

/* How many this test's own receiver gets now. */
static unsigned drain(void)
{
	struct stoa_message message;
	unsigned count = 0;
	int rc;

	while ((rc = stoa_receiver_receive(receiver, STOA_TRY, &message)) == 0) {
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		count++;
	}
	CHECK_RC(rc, STOA_TIMED_OUT);
	return count;
}

/* How many find room without anybody's help. */
static unsigned fill(unsigned most)
{
	unsigned count = 0;
	int rc = 0;

	while (count < most && (rc = stoa_sender_send(sender, "x", 1, STOA_TRY)) == 0)
		count++;
	CHECK(rc == 0 || rc == STOA_TIMED_OUT);
	return count;
}

#define SHARED (&(struct stoa_channel_options){.ring = RING, .receivers = 2})

TEST_TIMEOUT(a_receiver_stopped_with_a_message, 60)
{
	unsigned count;
	pid_t role;

	set_up(SHARED);
	role = start("holder", take_and_hold);
	send_one();
	await_count(&board->taken, 1);
	halt(role);
	/* The room of what it holds is all that it keeps back. */
	count = fill(RING);
	CHECK_INT(count, >, RING / 64 / 2);
	CHECK_EQ(drain(), count);
	atomic_store(&board->release, 1);
	resume(role);
	CHECK_EQ(test_join(role), 0);
	send_and_receive(MESSAGES);
	tear_down();
}

TEST_TIMEOUT(a_receiver_stopped_asleep, 60)
{
	pid_t role;

	set_up(SHARED);
	role = start("sleeper", take_and_hold);
	test_await_sleep(role);
	halt(role);
	send_and_receive(MESSAGES);
	CHECK_EQ(atomic_load(&board->taken), 0);
	resume(role);
	send_one();
	await_count(&board->taken, 1);
	atomic_store(&board->release, 1);
	CHECK_EQ(test_join(role), 0);
	tear_down();
}

static void take_and_count(void *argument)
{
	const struct stoa_receiver_options options = {.flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_message message;

	begin(argument);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	atomic_fetch_add(&board->joined, 1);
	while (stoa_receiver_receive(receiver, STOA_FOREVER, &message) == 0) {
		atomic_fetch_add(&board->taken, 1);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

TEST_TIMEOUT(a_receiver_stopped_anywhere, 60)
{
	uint64_t random = test_seed(), sent = 0, received = 0;
	pid_t role;

	set_up(SHARED);
	role = start("taker", take_and_count);
	for (unsigned round = 0; round < ROUNDS; round++) {
		sent += fill((unsigned)(test_random(&random) % 40));
		stop_somewhere(role, &random);
		sent += fill(MESSAGES);
		received += drain();
		/* What it took, but has not counted yet, is one at most. */
		CHECK_INT(sent - received - atomic_load(&board->taken), <=, 1);
		resume(role);
		await_count(&board->taken, sent - received);
	}
	stoa_sender_leave(sender);
	sender = NULL;
	CHECK_EQ(test_join(role), 0);
	tear_down();
}

static void send_for_ever(void *argument)
{
	begin(argument);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	atomic_fetch_add(&board->joined, 1);
	while (!atomic_load(&board->release)) {
		CHECK_RC(stoa_sender_send(sender, "another's", 9, STOA_FOREVER), 0);
		atomic_fetch_add(&board->next, 1);
	}
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

/* As many messages as are wanted of this sender, and whatever of the other's comes in between. */
static void receive_from(uint32_t place, unsigned wanted)
{
	struct stoa_message message;

	while (wanted) {
		CHECK_RC(stoa_receiver_receive(receiver, soon(), &message), 0);
		wanted -= message.sender == place;
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
}

TEST_TIMEOUT(a_stopped_sender, 60)
{
	uint64_t random = test_seed();
	pid_t role;

	set_up(&(struct stoa_channel_options){.ring = RING, .senders = 2});
	role = start("sender", send_for_ever);
	for (unsigned round = 0; round < ROUNDS; round++) {
		receive_from(1, 1 + (unsigned)(test_random(&random) % 20)); /* it is at work */
		stop_somewhere(role, &random);
		for (unsigned i = 0; i < MESSAGES; i++) {
			send_one();
			receive_from(0, 1);
		}
		resume(role);
	}
	atomic_store(&board->release, 1);
	drain();
	CHECK_EQ(test_join(role), 0);
	tear_down();
}
