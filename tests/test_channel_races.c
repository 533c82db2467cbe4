/* SPDX-License-Identifier: MIT */
/*
 * The orders that channels rest on, each provoked many times: a message that nobody sent must not be seen in what an earlier lap left,
 * what a receiver holds must not be overwritten, and no wake-up be lost between a look and a sleep.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where each must fail.
 */
#include <harness/test.h>

#include <base/mutant.h>
#include <channel/layout.h>
#include <stoa/stoa.h>
#include <string.h>

#define RING 4096
#ifdef STOA_MUTANTS
#define PATIENCE (UINT64_C(2) * 1000000000)
#define ROUNDS(few, soak, mutant) mutant
#else
#define PATIENCE (UINT64_C(15) * 1000000000)
#define ROUNDS(few, soak, mutant) test_rounds(few, soak)
#endif

struct board {
	_Atomic uint32_t joined, over;
	_Atomic uint64_t received;
	uint64_t messages;
};
static struct stoa_segment *segment;
static struct board *board;
static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;

static void set_up(const struct stoa_channel_options *options)
{
	const struct stoa_segment_options segment_options = {.roster_slots = 8};

	CHECK_RC(stoa_segment_create(NULL, 1 << 20, &segment_options, &segment), 0);
	test_share(&segment, NULL);
	CHECK_RC(stoa_channel_place(segment, 0, options, &channel), 0);
	board = test_shared(sizeof(*board));
}

static void tear_down(void)
{
	stoa_channel_close(channel);
	stoa_segment_close(segment);
	segment = NULL;
}

static void begin(void *argument)
{
	board = argument;
	CHECK_RC(stoa_channel_attach(segment, 0, &channel), 0);
}

static void end(void)
{
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
}

static uint64_t soon(void)
{
	return stoa_deadline_in(PATIENCE);
}

static void idle(uint64_t nanoseconds)
{
	for (uint64_t until = stoa_deadline_in(nanoseconds); stoa_now() < until;)
		;
}

/* All words of a message are its number: one that is overwritten shows. */
static void send_number(uint64_t number, uint64_t length)
{
	struct stoa_loan loan;
	uint64_t *words;

	CHECK_RC(stoa_sender_loan(sender, length / 8 * 8, soon(), &loan), 0);
	words = loan.bytes;
	for (uint64_t i = 0; i < loan.length / 8; i++)
		words[i] = number;
	CHECK_RC(stoa_sender_commit(sender, &loan), 0);
}

static void look_at(const struct stoa_message *message)
{
	const volatile uint64_t *words = message->bytes;

	CHECK_EQ(message->length % 8, 0);
	for (uint64_t i = 0; i < message->length / 8; i++)
		if (words[i] != message->sequence)
			test_fail(__FILE__, __LINE__, "a torn message");
}

/* ---- what an earlier lap left ---- */

/* A payload that is a record, wherever one could be looked for in the next lap. */
static void fill_with_records(const struct stoa_loan *loan)
{
	unsigned char *bytes = loan->bytes, *end = bytes + loan->length;
	uint64_t in_ring = (uint64_t)(bytes - (unsigned char *)stoa_segment_address(segment)) % RING;
	uint64_t position = loan->opaque[0] / RING * RING + in_ring + RING, word,
		 to_line = -in_ring % CHANNEL_RECORD_UNIT;

	bytes += to_line;
	position += to_line;
	for (; bytes + sizeof(word) <= end; bytes += CHANNEL_RECORD_UNIT, position += CHANNEL_RECORD_UNIT) {
		word = record_word(position, RECORD_MESSAGE | 8);
		memcpy(bytes, &word, sizeof(word));
	}
}

static void leave_records(unsigned rounds)
{
	uint64_t random = test_seed();

	set_up(&(struct stoa_channel_options){.ring = RING});
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t length = 1 + test_random(&random) % 900;
		struct stoa_message message;
		struct stoa_loan loan;

		CHECK_RC(stoa_sender_loan(sender, length, STOA_TRY, &loan), 0);
		fill_with_records(&loan);
		CHECK_RC(stoa_sender_commit(sender, &loan), 0);
		CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
		CHECK_EQ(message.length, length);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		if (stoa_receiver_receive(receiver, STOA_TRY, &message) != STOA_TIMED_OUT)
			test_fail(__FILE__, __LINE__, "a message that nobody sent");
	}
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	tear_down();
}

/* ---- joining what is being overwritten ---- */

static void send_until_over(void *argument)
{
	begin(argument);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	atomic_store(&board->joined, 1);
	for (uint64_t number = 0; !atomic_load(&board->over); number++)
		send_number(number, 400 + number * 8 % 496);
	end();
}

/* The oldest that is kept is what goes next: who has joined holds it, or has come too late for it. */
static void join_again_and_again(unsigned rounds)
{
	const struct stoa_receiver_options options = {.from = STOA_FROM_OLDEST};
	pid_t role;

	set_up(&(struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = RING});
	role = test_role(send_until_over, board);
	test_await(&board->joined, 1);
	for (unsigned i = 0; i < rounds; i++) {
		struct stoa_message message;

		CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
		for (uint64_t k = 0, next = 0; k < 3; k++) {
			int rc = stoa_receiver_receive(receiver, soon(), &message);

			if (rc || message.lost || (k && message.sequence != next))
				test_fail(__FILE__, __LINE__, "a torn sequence: %s", stoa_error_name(rc));
			next = message.sequence + 1;
			idle(1000);
			look_at(&message);
			CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		}
		stoa_receiver_leave(receiver);
	}
	atomic_store(&board->over, 1);
	CHECK_EQ(test_join(role), 0);
	tear_down();
}

/* ---- several receivers and a small ring ---- */

static void take_until_closed(void *argument)
{
	const struct stoa_receiver_options options = {.flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_message message;
	int rc;

	begin(argument);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	atomic_fetch_add(&board->joined, 1);
	while ((rc = stoa_receiver_receive(receiver, soon(), &message)) == 0) {
		look_at(&message);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		atomic_fetch_add(&board->received, 1);
	}
	CHECK_RC(rc, STOA_CLOSED);
	end();
}

static void share(unsigned messages)
{
	pid_t roles[3];

	set_up(&(struct stoa_channel_options){.ring = RING, .receivers = CC_COUNT(roles)});
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(take_until_closed, board);
	test_await(&board->joined, CC_COUNT(roles));
	for (uint64_t number = 0; number < messages; number++)
		send_number(number, 600 + number * 8 % 296);
	stoa_sender_leave(sender);
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(atomic_load(&board->received), messages);
	tear_down();
}

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;

#define MUST_FIND(name, mutant, call, message)                \
	TEST_DEFINE(name, 120, false, message)                \
	{                                                     \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant); \
		call;                                         \
	}
#else
/* ---- a send while the receiver goes to sleep: no mutant, as models/bells.pml has that of the barrier ---- */

static void sleep_and_receive(void *argument)
{
	const struct stoa_receiver_options options = {.waiting = STOA_SLEEP};
	struct stoa_message message;
	uint64_t count = 0;

	begin(argument);
	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	atomic_store(&board->joined, 1);
	while (count < board->messages) {
		CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		atomic_store(&board->received, ++count);
	}
	end();
}

static void send_to_who_goes_to_sleep(unsigned messages)
{
	uint64_t random = test_seed();
	pid_t role;

	set_up(&(struct stoa_channel_options){.ring = RING});
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	board->messages = messages;
	role = test_role(sleep_and_receive, board);
	test_await(&board->joined, 1);
	for (uint64_t i = 0; i < messages; i++) {
		uint64_t until = soon();

		idle(test_random(&random) % 4000);
		send_number(i, 8);
		while (atomic_load(&board->received) <= i)
			if (stoa_now() > until)
				test_fail(__FILE__, __LINE__, "a wake-up was lost");
	}
	CHECK_EQ(test_join(role), 0);
	stoa_sender_leave(sender);
	tear_down();
}

#define MUST_FIND(name, mutant, call, message) \
	TEST_TIMEOUT(name, 120)                \
	{                                      \
		call;                          \
	}

TEST_TIMEOUT(sending_to_who_goes_to_sleep, 120)
{
	send_to_who_goes_to_sleep(test_rounds(3000, 300000));
}
#endif

MUST_FIND(payload_that_looks_like_records, RECORD_NOT_ENDED, leave_records(ROUNDS(2000, 1000000, 2000)),
	  "a message that nobody sent")
MUST_FIND(joining_at_the_oldest, HOLDS_SEEN_ONCE, join_again_and_again(ROUNDS(2000, 200000, 1000000)), "a torn")
MUST_FIND(sharing_a_small_ring, TAKEN_UNHELD, share(ROUNDS(20000, 2000000, 1000000)), "a torn message")
