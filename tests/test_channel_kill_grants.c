/* SPDX-License-Identifier: MIT */
/*
 * As test_channel_kill.c, with channels that are handed over: each sender and each receiver is a process that can write but its own side's
 * part. They are killed at random moments, at full rate, and replaced by others, who are handed the channel in their turn. What a survivor
 * sent comes once, in order and entirely, but for what a dead receiver of a queue had in its hands: one message.
 */
#include <channel/grant.h>
#include <kill/kill.h>

#include <base/hash.h>
#include <channel/look.h>

#define LEDGER_OFFSET 65536
#define SENDERS 2
#define BEHIND \
	1024 /* messages: many more than a ring holds; what was sent so long ago is released, or lost with the dead */

/* In the segment of the guarded things, behind them. */
struct ledger {
	_Atomic uint32_t lives;                /* of senders, so far */
	_Atomic uint32_t lost;                 /* messages that no receiver of two has told of */
	_Atomic uint64_t next[SENDERS];        /* of a queue to one receiver: life << 32 | the number that comes next */
	_Atomic uint64_t taken[SENDERS][4096]; /* of one to two: by sequence, the latest that was taken, + 1 */
};

struct text {
	uint64_t check;
	uint32_t life;   /* of its sender */
	uint32_t number; /* of it in that life, from 0 */
	unsigned char bytes[300];
};
#define TEXT_HEAD offsetof(struct text, bytes)

static struct stoa_channel *whole; /* the test's own process alone has both rights */

/* This process's ends. */
static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;
static uint32_t life, number;
static struct {
	bool began;
	uint64_t sequence;
	uint32_t life, number;
} last[SENDERS];

static struct ledger *ledger(void)
{
	CHECK_RC(stoa_segment_commit(segment, LEDGER_OFFSET + sizeof(struct ledger)), 0);
	return (void *)((char *)stoa_segment_address(segment) + LEDGER_OFFSET);
}

/* ---- handing over ---- */

static void send_one(unsigned worker);

static pid_t start_with_grant(const struct role *role, void (*body)(void *argument), void *argument)
{
	uint32_t grant = role->turn == send_one ? STOA_GRANT_SENDER : STOA_GRANT_RECEIVER;
	int listener = channel_listen(CHANNEL_PACKETS), end;
	pid_t process;

	CHECK(listener != -1);
	process = test_role_start(role->name, body, argument);
	end = channel_accept(listener);
	CHECK(end != -1);
	CHECK_RC(stoa_channel_send_with_socket(whole, grant, end), 0);
	channel_close(end);
	return process;
}

static void be_handed(uint32_t grant)
{
	struct stoa_segment *theirs;
	int end;

	if (channel)
		return;
	stoa_channel_close(whole); /* what came with a fork */
	whole = NULL;
	end = channel_connect(channel_name(), CHANNEL_PACKETS);
	CHECK(end != -1);
	channel = granted_over(end, grant);
	channel_close(end);
	theirs = channel_segment(channel, grant != STOA_GRANT_SENDER);
	CHECK(!theirs->writable);
}

/* ---- senders ---- */

static void send_one(unsigned worker)
{
	struct stoa_loan loan;
	struct text *text;
	uint64_t length;
	int rc;

	(void)worker;
	be_handed(STOA_GRANT_SENDER);
	if (!sender) {
		/* The place of who was killed is free as soon as that is dead, which a kill does not wait for. */
		while ((rc = stoa_sender_join(channel, NULL, &sender)) == -STOA_ELIMIT)
			;
		CHECK_RC(rc, 0);
		life = atomic_fetch_add(&ledger()->lives, 1) + 1;
	}
	length = TEXT_HEAD + (number * UINT64_C(37) + life) % sizeof(text->bytes);
	CHECK_RC(stoa_sender_loan(sender, length, STOA_FOREVER, &loan), 0);
	text = loan.bytes;
	text->life = life;
	text->number = number++;
	memset(text->bytes, (int)number, length - TEXT_HEAD);
	text->check = hash_bytes(&text->life, length - sizeof(text->check));
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
}

/* ---- receivers ---- */

/* One message, whole, and behind the last of its place. */
static const struct text *receive(struct stoa_message *message)
{
	const struct text *text;
	int rc;

	be_handed(STOA_GRANT_RECEIVER);
	while (!receiver && (rc = stoa_receiver_join(channel, NULL, &receiver)) != 0)
		CHECK_RC(rc, -STOA_ELIMIT);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, message), 0);
	text = message->bytes;
	CHECK_INT(message->length, >=, TEXT_HEAD);
	CHECK_INT(message->sender, <, SENDERS);
	CHECK_EQ(text->check, hash_bytes(&text->life, message->length - sizeof(text->check)));
	if (last[message->sender].began)
		CHECK_INT(message->sequence, >, last[message->sender].sequence);
	return text;
}

static void note(const struct stoa_message *message, const struct text *text)
{
	last[message->sender].began = true;
	last[message->sender].sequence = message->sequence;
	last[message->sender].life = text->life;
	last[message->sender].number = text->number;
}

/* Nothing comes between: the next number of the same life, or the first of another, once the one before has ended. */
static void check_next(const struct stoa_message *message, const struct text *text)
{
	if (!last[message->sender].began)
		return;
	CHECK_EQ(message->sequence, last[message->sender].sequence + 1);
	if (text->life == last[message->sender].life)
		CHECK_EQ(text->number, last[message->sender].number + 1);
	else
		CHECK_EQ(text->number, 0);
}

/* The only receiver of a queue: goes on where the dead one was, who may have taken one more than it told of. */
static void take_all(unsigned worker)
{
	struct stoa_message message;
	const struct text *text = receive(&message);
	_Atomic uint64_t *next = &ledger()->next[message.sender];
	uint64_t expected = atomic_load(next), got = (uint64_t)text->life << 32 | text->number;

	(void)worker;
	check_next(&message, text);
	if (last[message.sender].began)
		CHECK(got == expected || text->number == 0);
	else if (got >> 32 == expected >> 32)
		CHECK(got == expected || got == expected + 1);
	else
		CHECK_INT(text->number, <=, 1);
	note(&message, text);
	atomic_store(next, got + 1);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

/* One of two of a queue: each message goes to one of them, and none to nobody but those in the hands of the dead. */
static void take_some(unsigned worker)
{
	struct stoa_message message;
	const struct text *text = receive(&message);
	struct ledger *book = ledger();
	_Atomic uint64_t *taken = book->taken[message.sender];
	uint64_t sequence = message.sequence;

	(void)worker;
	CHECK_INT(atomic_exchange(&taken[sequence % 4096], sequence + 1), <, sequence + 1);
	if (sequence >= BEHIND && atomic_load(&taken[(sequence - BEHIND) % 4096]) != sequence - BEHIND + 1)
		CHECK_INT(atomic_fetch_add(&book->lost, 1), <, KILLS);
	note(&message, text);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

/* Of a broadcast: all from the first on. */
static void follow(unsigned worker)
{
	struct stoa_message message;
	const struct text *text = receive(&message);

	(void)worker;
	CHECK_EQ(message.lost, 0);
	check_next(&message, text);
	note(&message, text);
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

/* ---- the killing ---- */

static void prepare(struct stoa_channel_options options)
{
	options.ring = 4096;
	CHECK_RC(stoa_channel_create(NULL, &options, &whole), 0);
	kill_start = start_with_grant;
	kill_recovered_within = UINT64_C(10) * 1000000;
}

static void count_damage(void *argument, int severity, const char *sentence)
{
	if (severity == STOA_DAMAGE)
		test_fail(__FILE__, __LINE__, "%s", sentence);
	(void)argument;
}

/* What they left is in order, all of them are dead, and the system keeps nothing of theirs. */
static void finish(void)
{
	const struct channel_site site = channel_site(whole);
	uint64_t end = stoa_deadline_in(PATIENCE);
	struct stoa_channel_stat stat;

	CHECK_RC(channel_valid(&site, count_damage, NULL), 0);
	CHECK_RC(stoa_channel_stat(whole, &stat), 0);
	CHECK_EQ(stat.senders_alive + stat.receivers_alive, 0);
	for (unsigned i = 0; i < 2; i++) {
		note_objects(bytes_of(whole->segments[i]));
		while (count_objects() && stoa_now() < end)
			test_nap(1);
		CHECK_EQ(count_objects(), 0);
	}
	stoa_channel_close(whole);
}

TEST_TIMEOUT(one_to_one, 240)
{
	prepare((struct stoa_channel_options){.senders = 1});
	KILL_EACH(ROLE("the one who only sends", send_one, 1, true, AT_WORK),
		  ROLE("the one who only receives", take_all, 1, true, AT_WORK));
	finish();
}

TEST_TIMEOUT(several_senders, 240)
{
	prepare((struct stoa_channel_options){.senders = SENDERS});
	KILL_EACH(ROLE("one of two who only send", send_one, SENDERS, false, AT_WORK),
		  ROLE("their only receiver", take_all, 1, true, AT_WORK));
	finish();
}

TEST_TIMEOUT(several_receivers, 240)
{
	prepare((struct stoa_channel_options){.receivers = 2});
	KILL_EACH(ROLE("their only sender", send_one, 1, true, AT_WORK),
		  ROLE("one of two who only receive", take_some, 2, false, AT_WORK));
	finish();
}

TEST_TIMEOUT(a_broadcast, 240)
{
	prepare((struct stoa_channel_options){.kind = STOA_BROADCAST, .receivers = 2});
	KILL_EACH(ROLE("the one who only broadcasts", send_one, 1, true, AT_WORK),
		  ROLE("one of two who only follow", follow, 2, false, AT_WORK));
	finish();
}
