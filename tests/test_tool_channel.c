/* SPDX-License-Identifier: MIT */
/* What the tool's ls, stat and check say of channels: in order, in use, damaged. */
#include <harness/test.h>

#include "tool/run.h"

#include <channel/channel.h>
#include <stoa/stoa.h>
#include <string.h>

struct pair {
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
};

/* Six messages were sent, two received. */
static struct pair make(uint32_t kind)
{
	const struct stoa_channel_options options = {.kind = kind, .ring = 4096, .senders = 2, .receivers = 3};
	struct stoa_message message;
	struct pair pair;

	CHECK_RC(stoa_channel_create(test_name("x"), &options, &pair.channel), 0);
	CHECK_RC(stoa_sender_join(pair.channel, NULL, &pair.sender), 0);
	CHECK_RC(stoa_receiver_join(pair.channel, NULL, &pair.receiver), 0);
	for (unsigned i = 0; i < 6; i++)
		CHECK_RC(stoa_sender_send(pair.sender, "message", 7, STOA_TRY), 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_RC(stoa_receiver_receive(pair.receiver, STOA_TRY, &message), 0);
		CHECK_RC(stoa_receiver_release(pair.receiver, &message), 0);
	}
	return pair;
}

static void drop(struct pair *pair)
{
	stoa_sender_leave(pair->sender);
	stoa_receiver_leave(pair->receiver);
	stoa_channel_close(pair->channel);
}

TEST(ls_tells_the_main_numbers)
{
	struct pair pair = make(STOA_QUEUE);
	const struct run *run = run_stoa("ls", NULL);
	const char *line;

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "CONTENT");
	line = line_with(run->out, test_name("x"));
	CHECK(line != NULL);
	CHECK_HAS(line, " channel ");
	CHECK_HAS(line, "queue 1:1, 6 sent, 4 behind");
	run = run_stoa("ls", "--json", NULL);
	check_json(run->out);
	line = line_with(run->out, test_name("x"));
	CHECK(line != NULL);
	CHECK_HAS(line, "\"kind\":\"channel\"");
	CHECK_HAS(line, "\"channel\":{\"kind\":\"queue\",\"ring\":4096,");
	CHECK_HAS(line, "\"sent\":6,\"sent_bytes\":42,\"received\":2,\"received_bytes\":14,\"lost\":0,");
	CHECK_HAS(line, "\"lag\":4,");
	drop(&pair);
}

TEST(ls_tells_of_others_that_they_are_none)
{
	struct stoa_segment *segment;
	const struct run *run;

	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	run = run_stoa("ls", "--json", NULL);
	CHECK_HAS(line_with(run->out, test_name("s")), "\"channel\":null,");
	stoa_segment_close(segment);
}

TEST(stat_tells_of_each_end)
{
	struct pair pair = make(STOA_BROADCAST);
	const struct run *run = run_stoa("stat", test_name("x"), NULL);
	const char *line;

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "channel     broadcast, rings of 4KiB, messages of at most ");
	CHECK_HAS(run->out, "senders     1 of 2 places");
	CHECK_HAS(run->out, "receivers   1 of 3 places");
	line = line_with(run->out, " sent, ");
	CHECK(line != NULL);
	CHECK_HAS(line, "  0 alive, thread ");
	CHECK_HAS(line, ": 6 sent, 42B;");
	CHECK_HAS(line, " 4 behind; slept 0 times, woke 0");
	line = line_with(run->out, " received, ");
	CHECK(line != NULL);
	CHECK_HAS(line, ": 2 received, 14B;");
	CHECK_HAS(line, " 0 lost, when slow block;");
	CHECK_LACKS(run->out, "  1 free"); /* nobody ever had it */
	run = run_stoa("stat", "--json", test_name("x"), NULL);
	check_json(run->out);
	CHECK_HAS(run->out, "\"channel\":{\"kind\":\"broadcast\",");
	CHECK_HAS(run->out, "\"senders\":[{\"place\":0,\"state\":\"alive\",");
	CHECK_HAS(run->out, "{\"place\":2,\"state\":\"free\",");
	CHECK_HAS(run->out, "\"when_slow\":\"block\",\"messages\":2,\"bytes\":14,");
	drop(&pair);
}

TEST(check_knows_the_dead_from_the_damaged)
{
	struct pair pair = make(STOA_QUEUE);
	const struct run *run = run_stoa("check", test_name("x"), NULL);
	_Atomic uint64_t *bell = &pair.channel->sending_bells->bells[0];
	uint64_t tail = load_rlx(&pair.channel->lanes[0].tail), owner = load_rlx(&pair.channel->lanes[0].owner);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, ": in order");
	CHECK_LACKS(run->out, "remark");
	/* One who was there before. */
	store_rlx(&pair.channel->lanes[1].owner, owner + ((UINT64_C(1) << 32) + (1 << 14)));
	run = run_stoa("check", test_name("x"), NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, "damage: sender 1: its owner is number 2 in roster slot 1, which has had 1");
	store_rlx(&pair.channel->lanes[1].owner, 0);

	store_rlx(&pair.channel->lanes[0].tail, tail + CHANNEL_RECORD_UNIT);
	run = run_stoa("check", test_name("x"), NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, "damage: sender 0: ");
	CHECK_HAS(run->out, "and not to its tail");
	CHECK_HAS(run->out, "1 damage. Whoever may write the memory");
	store_rlx(&pair.channel->lanes[0].tail, tail);

	store_rlx(bell, load_rlx(bell) + 1);
	run = run_stoa("check", "--json", test_name("x"), NULL);
	CHECK_EQ(run->status, 3);
	check_json(run->out);
	CHECK_HAS(run->out, "\"severity\":\"damage\",\"text\":\"sending part: the halves of bell 0");
	store_rlx(bell, load_rlx(bell) - 1);

	pair.channel->sending[16] ^= 1;
	run = run_stoa("check", test_name("x"), NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, "damage: header: a channel's header is damaged");
	CHECK_EQ(run_stoa("stat", test_name("x"), NULL)->status, 0); /* the rest is told */
	CHECK_EQ(run_stoa("ls", NULL)->status, 0);
	pair.channel->sending[16] ^= 1;
	CHECK_EQ(run_stoa("check", test_name("x"), NULL)->status, 0);
	drop(&pair);
}

static void join_and_die(void *argument)
{
	struct stoa_channel *channel;
	struct stoa_receiver *receiver;

	(void)argument;
	CHECK_RC(stoa_channel_open(test_name("x"), 0, &channel), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	for (;;)
		test_nap(1000);
}

TEST(the_dead_are_a_remark)
{
	struct pair pair = make(STOA_QUEUE);
	pid_t role = test_role(join_and_die, NULL);
	struct stoa_channel_stat stat;
	const struct run *run;

	do
		CHECK_RC(stoa_channel_stat(pair.channel, &stat), 0);
	while (stat.receivers_alive < 2);
	test_kill(role);
	run = run_stoa("check", test_name("x"), NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "remark: receiver 1: its owner is dead; the next to join takes the place");
	CHECK_HAS(run_stoa("stat", test_name("x"), NULL)->out, "  1 dead: 0 received");
	drop(&pair);
}

/* ---- placed in a segment ---- */

TEST(check_of_what_was_placed)
{
	const struct stoa_channel_options options = {.ring = 4096};
	const char *name = test_name("x");
	struct stoa_channel *channels[2];
	struct stoa_segment *segment;
	struct stoa_stream *stream;
	const struct run *run;

	CHECK_RC(stoa_segment_create(name, 1 << 22, NULL, &segment), 0);
	CHECK_HAS(run_stoa("check", "-a", name, NULL)->out, ": no channel is found in its data\n");
	CHECK_RC(stoa_channel_place(segment, 4096, &options, &channels[0]), 0);
	CHECK_RC(stoa_channel_place(segment, 1 << 20, &options, &channels[1]), 0);
	CHECK_RC(stoa_stream_place(segment, 1 << 21, NULL, &stream), 0);
	run = run_stoa("check", "--channels", name, NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, ": in order\n");
	CHECK_HAS(run->out, ", channel at 4096: in order\n");
	CHECK_HAS(run->out, ", channel at 1048576: in order\n");
	CHECK_HAS(run->out, ", channel at 2097152: in order\n");
	CHECK_STR(run_stoa("check", "-qa", name, NULL)->out, "");

	channels[1]->sending[16] ^= 1;
	CHECK_EQ(run_stoa("check", name, NULL)->status, 0); /* data means nothing */
	CHECK_EQ(run_stoa("check", "-c", "4KiB", name, NULL)->status, 0);
	run = run_stoa("check", "--channel", "1MiB", name, NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, ", channel at 1048576: damage: header: a channel's header is damaged");
	CHECK_HAS(run->out, ", channel at 1048576: 1 damage. Whoever may write the memory can have done that; close it "
			    "everywhere, and place it anew");
	CHECK_EQ(run_stoa("check", "--quiet", "-a", name, NULL)->status, 3);
	run = run_stoa("check", "--json", "-a", name, NULL);
	CHECK_EQ(run->status, 3);
	check_json(run->out);
	CHECK_HAS(run->out, "\"channel\":1048576,\"severity\":\"damage\",");
	CHECK_HAS(run->out, "\"channel\":1048576,\"damages\":1");
	CHECK_HAS(run->out, "\"channel\":2097152,\"damages\":0");
	channels[1]->sending[16] ^= 1;

	CHECK_EQ(run_stoa("check", "-c", "8KiB", name, NULL)->status, 3); /* none is there, as somebody says */
	run = run_stoa("check", "-c", "100", name, NULL);
	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "not in whole pages");
	run = run_stoa("check", "-c", "1TiB", name, NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "beyond the segment's reserve");
	CHECK_EQ(run_stoa("check", "-c", "much", name, NULL)->status, 2);
	stoa_channel_close(channels[0]);
	stoa_channel_close(channels[1]);
	stoa_stream_close(stream);
	stoa_segment_close(segment);
}
