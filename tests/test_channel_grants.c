/* SPDX-License-Identifier: MIT */
/*
 * Channels that are handed over with the right to send or to receive alone: what such a handle can do, what the system keeps it from,
 * and that everything else, sleeping and the notice of deaths among it, works where the other side's part can only be read.
 */
#include <channel/grant.h>

#include <inttypes.h>

static struct stoa_channel *make(struct stoa_channel_options options)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_create(NULL, &options, &channel), 0);
	CHECK_EQ(stoa_channel_grants(channel), STOA_GRANT_SENDER | STOA_GRANT_RECEIVER);
	return channel;
}

/* ---- rights ---- */

static void exchange(struct stoa_sender *sender, struct stoa_receiver *receiver)
{
	struct stoa_message message;
	char text[8];

	CHECK_RC(stoa_sender_send(sender, "granted", 8, STOA_TRY), 0);
	CHECK_RC(stoa_receiver_recv(receiver, text, sizeof(text), STOA_TRY, &message), 0);
	CHECK_STR(text, "granted");
}

TEST(one_role_each)
{
	struct stoa_channel *whole = make((struct stoa_channel_options){.ring = 0}), *sending, *receiving, *more = NULL;
	struct stoa_receiver *receiver = NULL;
	struct stoa_sender *sender = NULL;
	int ends[2];

	sending = granted(whole, STOA_GRANT_SENDER);
	receiving = granted(whole, STOA_GRANT_RECEIVER);
	CHECK_RC(stoa_receiver_join(sending, NULL, &receiver), -STOA_ERIGHTS);
	check_detail("without the right to receive");
	CHECK_RC(stoa_sender_join(receiving, NULL, &sender), -STOA_ERIGHTS);
	check_detail("without the right to send");
	CHECK_RC(stoa_sender_join(sending, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(receiving, NULL, &receiver), 0);
	exchange(sender, receiver);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);

	/* What one has one can pass on, and no more. */
	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_channel_send_with_socket(sending, STOA_GRANT_RECEIVER, ends[0]), -STOA_ERIGHTS);
	CHECK_RC(stoa_channel_send_with_socket(receiving, STOA_GRANT_SENDER | STOA_GRANT_RECEIVER, ends[0]),
		 -STOA_ERIGHTS);
	check_refusal(stoa_channel_send_with_socket(whole, 0, ends[0]), "neither STOA_GRANT_SENDER nor");
	check_refusal(stoa_channel_send_with_socket(whole, 4, ends[0]), "a grant of 0x4");
	check_refusal(stoa_channel_send_with_socket(NULL, STOA_GRANT_SENDER, ends[0]), "no channel");
	check_refusal(stoa_channel_receive_with_socket(ends[1], NULL, NULL), "no place");
	CHECK_EQ(stoa_channel_grants(NULL), 0);
	channel_close(ends[0]);
	CHECK_RC(stoa_channel_receive_with_socket(ends[1], &more, NULL), -STOA_ECLOSED);
	channel_close(ends[1]);
	more = granted(sending, STOA_GRANT_SENDER);
	stoa_channel_close(more);
	more = granted(whole, STOA_GRANT_SENDER | STOA_GRANT_RECEIVER);
	CHECK_RC(stoa_sender_join(more, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(whole, NULL, &receiver), 0);
	exchange(sender, receiver);
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
	stoa_channel_close(more);
	stoa_channel_close(sending);
	stoa_channel_close(receiving);
	stoa_channel_close(whole);
}

TEST(what_is_in_one_piece_stays_with_its_user)
{
	struct stoa_channel *named, *placed;
	struct stoa_segment *segment;
	char token[STOA_TOKEN_SIZE];
	int ends[2];

	CHECK_EQ(channel_pair(CHANNEL_PACKETS, true, ends), 0);
	CHECK_RC(stoa_channel_create(test_name("whole"), NULL, &named), 0);
	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &segment), 0);
	CHECK_RC(stoa_channel_place(segment, 0, NULL, &placed), 0);
	CHECK_RC(stoa_channel_send_with_socket(named, STOA_GRANT_SENDER, ends[0]), -STOA_ENOTSUP);
	check_detail("by name or in a segment");
	CHECK_RC(stoa_channel_send_with_socket(placed, STOA_GRANT_SENDER, ends[0]), -STOA_ENOTSUP);
	CHECK_RC(stoa_channel_inherit(named, STOA_GRANT_SENDER, token), -STOA_ENOTSUP);
	CHECK_RC(stoa_channel_seal(named, STOA_GRANT_SENDER), -STOA_ENOTSUP);
	CHECK_EQ(stoa_channel_grants(named), STOA_GRANT_SENDER | STOA_GRANT_RECEIVER);
	channel_close(ends[0]);
	channel_close(ends[1]);
	stoa_channel_close(named);
	stoa_channel_close(placed);
	stoa_segment_close(segment);
}

TEST(the_other_part_cannot_be_written)
{
	struct stoa_channel *whole = make((struct stoa_channel_options){.senders = 2}), *sending, *receiving;

	sending = granted(whole, STOA_GRANT_SENDER);
	receiving = granted(whole, STOA_GRANT_RECEIVER);
	stoa_channel_close(whole);
	expect_only_reads(sending, 0);
	expect_only_reads(receiving, 1);
	stoa_channel_close(sending);
	stoa_channel_close(receiving);
}

/* ---- between processes that have one role each ---- */

#define MESSAGES 3000

struct board {
	struct stoa_channel_options options;
	uint32_t waiting;
	_Atomic uint32_t ready, rescues, sleeps;
	_Atomic uint64_t received;
};
static struct board *board;

static struct stoa_channel *channel_of_role(void *argument, uint32_t grant)
{
	int end = channel_connect(channel_name(), CHANNEL_PACKETS);
	struct stoa_channel *channel;

	board = argument;
	CHECK(end != -1);
	channel = granted_over(end, grant);
	channel_close(end);
	return channel;
}

static void tell_of_sleeps(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	add_rlx(&board->sleeps, (uint32_t)stat.sleeps);
	add_rlx(&board->rescues, (uint32_t)stat.rescues);
}

static void only_send(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_SENDER);
	struct stoa_sender_options options = {.waiting = board->waiting};
	struct stoa_sender *sender;
	uint64_t seed = test_seed();

	CHECK_RC(stoa_sender_join(channel, &options, &sender), 0);
	add_rlx(&board->ready, 1);
	while (load_rlx(&board->ready) < board->options.senders + board->options.receivers)
		test_nap(1);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct stoa_loan loan;
		uint64_t words = 1 + test_random(&seed) % 60;

		CHECK_RC(stoa_sender_loan(sender, words * 8, STOA_FOREVER, &loan), 0);
		for (uint64_t k = 0; k < words; k++)
			((uint64_t *)loan.bytes)[k] = i * 64 + k;
		CHECK_RC(stoa_sender_commit(sender, &loan), 0);
		if (i % 500 == 0)
			test_nap(3); /* so that the others sleep */
	}
	stoa_sender_leave(sender);
	tell_of_sleeps();
	stoa_channel_close(channel);
}

static void only_receive(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_RECEIVER);
	struct stoa_receiver_options options = {.waiting = board->waiting, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_receiver *receiver;
	struct stoa_message message;
	uint64_t next[2] = {0}, count = 0;
	int rc;

	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	add_rlx(&board->ready, 1);
	while ((rc = stoa_receiver_receive(receiver, STOA_FOREVER, &message)) == 0) {
		const uint64_t *words = message.bytes;

		CHECK(words[0] / 64 >= next[message.sender]);
		next[message.sender] = words[0] / 64 + 1;
		for (uint64_t k = 0; k < message.length / 8; k++)
			CHECK_EQ(words[k], words[0] + k);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		if (++count % 700 == 0)
			test_nap(3); /* so that the senders find no room */
	}
	CHECK_RC(rc, STOA_CLOSED);
	add_rlx(&board->received, count);
	stoa_receiver_leave(receiver);
	tell_of_sleeps();
	stoa_channel_close(channel);
}

/* A role that gets its channel of this process. */
static pid_t start(void (*body)(void *argument), const struct stoa_channel *whole, uint32_t grant)
{
	int listener = channel_listen(CHANNEL_PACKETS), end;
	pid_t role;

	CHECK(listener != -1);
	role = test_role(body, board);
	end = channel_accept(listener);
	CHECK(end != -1);
	CHECK_RC(stoa_channel_send_with_socket(whole, grant, end), 0);
	channel_close(end);
	return role;
}

static void set_board(const struct stoa_channel_options *options, uint32_t waiting)
{
	board = test_shared(sizeof(*board));
	board->options = *options;
	board->waiting = waiting;
}

static void traffic(struct stoa_channel_options options, uint32_t waiting)
{
	struct stoa_channel *whole = make(options);
	uint64_t all = options.senders * (uint64_t)MESSAGES;
	pid_t roles[8];
	unsigned count = 0;

	set_board(&options, waiting);
	for (uint32_t i = 0; i < options.receivers; i++)
		roles[count++] = start(only_receive, whole, STOA_GRANT_RECEIVER);
	for (uint32_t i = 0; i < options.senders; i++)
		roles[count++] = start(only_send, whole, STOA_GRANT_SENDER);
	stoa_channel_close(whole); /* nobody has both any more */
	while (count)
		CHECK_EQ(test_join(roles[--count]), 0);
	CHECK_EQ(load_rlx(&board->received), options.kind == STOA_BROADCAST ? all * options.receivers : all);
	if (waiting == STOA_SLEEP)
		CHECK_INT(load_rlx(&board->sleeps), >, 0);
	if (os_capabilities()->relays_wakes)
		CHECK_EQ(load_rlx(&board->rescues), 0);
}

TEST_TIMEOUT(a_queue_of_one_to_one, 60)
{
	traffic((struct stoa_channel_options){.ring = 8192, .senders = 1, .receivers = 1}, STOA_SLEEP);
	traffic((struct stoa_channel_options){.ring = 8192, .senders = 1, .receivers = 1}, STOA_BALANCED);
}

TEST_TIMEOUT(a_shared_queue, 60)
{
	traffic((struct stoa_channel_options){.ring = 8192, .senders = 2, .receivers = 2}, STOA_SLEEP);
}

TEST_TIMEOUT(a_broadcast, 60)
{
	traffic((struct stoa_channel_options){.kind = STOA_BROADCAST, .ring = 8192, .senders = 2, .receivers = 2},
		STOA_SLEEP);
}

/* ---- the end of the other side ---- */

static void send_until_killed(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_SENDER);
	struct stoa_sender *sender;

	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_sender_send(sender, "last", 5, STOA_TRY), 0);
	add_rlx(&board->ready, 1);
	test_pause();
}

static void receive_until_killed(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_RECEIVER);
	struct stoa_receiver *receiver;

	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	add_rlx(&board->ready, 1);
	test_pause();
}

static void outlive_senders(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_RECEIVER);
	struct stoa_receiver_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_receiver *receiver;
	struct stoa_message message;
	char text[8];

	CHECK_RC(stoa_receiver_join(channel, &options, &receiver), 0);
	CHECK_RC(stoa_receiver_recv(receiver, text, sizeof(text), STOA_FOREVER, &message), 0);
	add_rlx(&board->ready, 1);
	CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), STOA_CLOSED);
	stoa_receiver_leave(receiver);
	tell_of_sleeps();
	stoa_channel_close(channel);
}

static void outlive_receivers(void *argument)
{
	struct stoa_channel *channel = channel_of_role(argument, STOA_GRANT_SENDER);
	struct stoa_sender_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct stoa_sender *sender;
	int rc;

	CHECK_RC(stoa_sender_join(channel, &options, &sender), 0);
	while ((rc = stoa_sender_send(sender, "text", 5, STOA_TRY)) == 0)
		;
	CHECK_RC(rc, STOA_TIMED_OUT);
	add_rlx(&board->ready, 1);
	CHECK_RC(stoa_sender_send(sender, "text", 5, STOA_FOREVER), STOA_CLOSED);
	stoa_sender_leave(sender);
	tell_of_sleeps();
	stoa_channel_close(channel);
}

/* Told by the system, and not found out when the wait looked again. */
static void end_of(void (*mortal)(void *argument), uint32_t grant, void (*survivor)(void *argument))
{
	const struct stoa_channel_options options = {.ring = 4096};

	for (unsigned i = 0; i < test_rounds(5, 100); i++) {
		struct stoa_channel *whole = make(options);
		pid_t dies, lives;

		set_board(&options, STOA_SLEEP);
		dies = start(mortal, whole, grant);
		test_await(&board->ready, 1);
		lives = start(survivor, whole, grant ^ (STOA_GRANT_SENDER | STOA_GRANT_RECEIVER));
		stoa_channel_close(whole);
		test_await(&board->ready, 2);
		test_await_sleep(lives);
		test_kill(dies);
		CHECK_EQ(test_join(lives), 0);
		CHECK_INT(load_rlx(&board->sleeps), >, 0);
		if (os_capabilities()->relays_wakes)
			CHECK_EQ(load_rlx(&board->rescues), 0);
	}
}

TEST_TIMEOUT(a_senders_death_is_told, 60)
{
	end_of(send_until_killed, STOA_GRANT_SENDER, outlive_senders);
}

TEST_TIMEOUT(a_receivers_death_is_told, 60)
{
	end_of(receive_until_killed, STOA_GRANT_RECEIVER, outlive_receivers);
}

/* ---- programs that inherit ---- */

static int be_an_heir(const char *token)
{
	struct stoa_receiver *receiver;
	struct stoa_channel *channel, *again;
	struct stoa_sender *sender;
	struct stoa_message message;
	char text[16];

	if (stoa_channel_adopt(token, &channel) != 0)
		return 2;
	if (stoa_channel_adopt(token, &again) != -STOA_ENOENT)
		return 3;
	if (stoa_channel_grants(channel) != STOA_GRANT_RECEIVER ||
	    stoa_sender_join(channel, NULL, &sender) != -STOA_ERIGHTS)
		return 4;
	if (stoa_receiver_join(channel, NULL, &receiver) != 0 ||
	    stoa_receiver_recv(receiver, text, sizeof(text), STOA_TRY, &message) != 0 ||
	    strcmp(text, "to an heir") != 0)
		return 5;
	/* No handle came that writes. */
	for (intptr_t handle = 3; handle < 400; handle++) {
		struct os_memory_info info;

		if (handle != channel->segments[0]->memory && os_memory_info(handle, &info) == 0 && info.in_memory &&
		    info.writable && info.identity[0] == channel->segments[1]->identity[0] &&
		    info.identity[1] == channel->segments[1]->identity[1])
			return 6;
	}
	stoa_receiver_leave(receiver);
	stoa_channel_close(channel);
	return 0;
}

CC_CONSTRUCTOR static void be_what_we_were_told(void)
{
	const char *token = getenv("STOA_TEST_GRANT");
	int rc;

	if (!token)
		return;
	rc = be_an_heir(token);
	if (rc)
		fprintf(stderr, "step %d: %s\n", rc, stoa_error_detail());
	fflush(stderr);
	_Exit(rc);
}

TEST(a_program_inherits_a_role)
{
	struct stoa_channel *whole = make((struct stoa_channel_options){.receivers = 2});
	struct stoa_segment *also; /* a program is started with handles of ours only with a segment among them */
	char token[STOA_TOKEN_SIZE], setting[STOA_TOKEN_SIZE + 32];
	struct stoa_sender *sender;

	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &also), 0);
	CHECK_RC(stoa_sender_join(whole, NULL, &sender), 0);
	CHECK_RC(stoa_sender_send(sender, "to an heir", 11, STOA_TRY), 0);
	CHECK_RC(stoa_channel_inherit(whole, STOA_GRANT_SENDER, token), 0); /* undone by the next */
	CHECK_RC(stoa_channel_inherit(whole, STOA_GRANT_RECEIVER, token), 0);
	CHECK(!os_handle_inherited(whole->segments[1]->memory));
	snprintf(setting, sizeof(setting), "STOA_TEST_GRANT=%s", token);
	CHECK_EQ(program_join(program_start(also, setting)), 0);
	stoa_sender_leave(sender);
	stoa_channel_close(whole);
	stoa_segment_close(also);
}

TEST(tokens_that_are_not_ours)
{
	static const char *const texts[] = {"",
					    "stoach1:3:4:0",
					    "stoach1:3:3:0:0",
					    "stoach1:-3:4:0:0",
					    "stoach1:03:4:0:0",
					    "stoa1:3:-1:0:0:0",
					    "stoach1:3:4:0:0 ",
					    "stoach1:99999999999:4:0:0"};
	struct stoa_channel *whole = make((struct stoa_channel_options){.ring = 0}), *none = NULL;
	char token[STOA_TOKEN_SIZE], wrong[STOA_TOKEN_SIZE];

	for (size_t i = 0; i < CC_COUNT(texts); i++) {
		CHECK_RC(stoa_channel_adopt(texts[i], &none), -STOA_EFORMAT);
		check_detail("not a token of an inherited channel");
	}
	CHECK_RC(stoa_channel_inherit(whole, STOA_GRANT_SENDER, token), 0);
	/* The parts in the other order. */
	snprintf(wrong, sizeof(wrong), "stoach1:%" PRIu64 ":%" PRIu64 ":0:0", (uint64_t)whole->lent[0],
		 (uint64_t)whole->segments[1]->memory);
	CHECK_RC(stoa_channel_adopt(wrong, &none), -STOA_ENOENT);
	check_refusal(stoa_channel_adopt(NULL, &none), "no token");
	check_refusal(stoa_channel_adopt(token, NULL), "no place");
	check_refusal(stoa_channel_inherit(whole, STOA_GRANT_SENDER, NULL), "no room");
	check_refusal(stoa_channel_inherit(NULL, STOA_GRANT_SENDER, token), "no channel");
	CHECK(none == NULL);
	stoa_channel_close(whole);
}

/* ---- what is not a channel ---- */

TEST(channels_and_segments_are_not_mistaken)
{
	static const enum channel_kind kinds[] = {CHANNEL_PACKETS, CHANNEL_BYTES};
	struct stoa_channel *whole = make((struct stoa_channel_options){.ring = 0}), *none = NULL;
	struct stoa_segment *segment, *nothing = NULL;
	int ends[2];

	CHECK_RC(stoa_segment_create(NULL, PAGE, NULL, &segment), 0);
	for (size_t i = 0; i < CC_COUNT(kinds); i++) {
		CHECK_EQ(channel_pair(kinds[i], true, ends), 0);
		CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
		if (kinds[i] == CHANNEL_BYTES)
			channel_close(ends[0]);
		CHECK_RC(stoa_channel_receive_with_socket(ends[1], &none, NULL), -STOA_EFORMAT);
		if (kinds[i] == CHANNEL_BYTES) {
			channel_close(ends[1]);
			CHECK_EQ(channel_pair(kinds[i], true, ends), 0);
		}
		CHECK_RC(stoa_channel_send_with_socket(whole, STOA_GRANT_RECEIVER, ends[0]), 0);
		CHECK_RC(stoa_segment_receive_with_socket(ends[1], &nothing, NULL), -STOA_EFORMAT);
		channel_close(ends[0]);
		channel_close(ends[1]);
	}
	CHECK(none == NULL && nothing == NULL);
	stoa_segment_close(segment);
	stoa_channel_close(whole);
}
