/* SPDX-License-Identifier: MIT */
/* `stoa top` where there is no screen: tables and JSON, one after another, of what has a name. */
#include <harness/test.h>

#include "tool/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>

static struct stoa_channel *make(void)
{
	const struct stoa_channel_options options = {.ring = 4096, .receivers = 2};
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_create(test_name("x"), &options, &channel), 0);
	return channel;
}

/* The number behind a key in a line of JSON. */
static double number_of(const char *line, const char *key)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = line ? strstr(line, quoted) : NULL;
	CHECK(at != NULL);
	return strtod(at + strlen(quoted), NULL);
}

TEST(one_table_without_a_terminal)
{
	struct stoa_channel *channel = make();
	struct stoa_segment *segment;
	struct stoa_sender *sender;
	const struct run *run;
	const char *line;

	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	for (unsigned i = 0; i < 7; i++)
		CHECK_RC(stoa_sender_send(sender, "message", 7, STOA_TRY), 0);
	run = run_stoa("top", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_STR(run->err, "");
	CHECK_HAS(run->out, "NAME");
	CHECK_HAS(run->out, "MSG/S");
	CHECK_LACKS(run->out, "\033");
	line = line_with(run->out, test_name("x"));
	CHECK(line != NULL);
	CHECK_HAS(line, " queue ");
	CHECK_HAS(line, " 1:0 ");
	line = line_with(run->out, test_name("s"));
	CHECK(line != NULL);
	CHECK_HAS(line, " segment ");
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	stoa_segment_close(segment);
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)); text++)
		count++;
	return count;
}

TEST(as_many_as_were_asked_for)
{
	struct stoa_channel *channel = make();
	const struct run *run = run_stoa("top", "--count", "3", "--interval", "1ms", NULL);

	CHECK_EQ(run->status, 0);
	CHECK_EQ(count_of(run->out, "MSG/S"), 3);
	CHECK_EQ(count_of(run->out, test_name("x")), 3);
	run = run_stoa("top", "-n", "2", "-i", "1ms", "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_EQ(count_of(run->out, test_name("x")), 2);
	stoa_channel_close(channel);
}

static void converse(void *argument)
{
	struct stoa_channel *channel;
	struct stoa_sender *sender;
	struct stoa_receiver *receiver;
	struct stoa_message message;

	(void)argument;
	CHECK_RC(stoa_channel_open(test_name("x"), 0, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	for (;;) {
		CHECK_RC(stoa_sender_send(sender, "message", 7, STOA_FOREVER), 0);
		CHECK_RC(stoa_receiver_receive(receiver, STOA_FOREVER, &message), 0);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
}

/* How fast depends on the machine; that it is 7 bytes a message does not. */
TEST(rates_are_of_what_was_sent_meanwhile)
{
	struct stoa_channel *channel = make();
	pid_t role = test_role(converse, NULL);
	struct stoa_channel_stat before, after;
	const struct run *run;
	const char *line;
	double messages;

	do
		CHECK_RC(stoa_channel_stat(channel, &before), 0);
	while (!before.sender[0].messages);
	run = run_stoa("top", "--json", "--interval", "300ms", "--count", "1", NULL);
	CHECK_RC(stoa_channel_stat(channel, &after), 0);
	CHECK_EQ(run->status, 0);
	line = line_with(run->out, test_name("x"));
	CHECK_HAS(line, "\"kind\":\"queue\"");
	messages = number_of(line, "messages_per_second") * number_of(line, "seconds");
	CHECK(messages >= 1);
	CHECK(messages <= (double)(after.sender[0].messages - before.sender[0].messages) * 1.001 + 1);
	CHECK(number_of(line, "bytes_per_second") > 0);
	CHECK_EQ((uint64_t)number_of(line, "senders_alive"), 1);
	CHECK_EQ((uint64_t)number_of(line, "receivers_alive"), 1);
	CHECK_EQ((uint64_t)number_of(line, "users"), 1);
	/* Nobody was there beside these two. */
	CHECK_EQ(after.sender[0].joined, 1);
	CHECK_EQ(after.receiver[0].joined, 1);
	CHECK_EQ(after.receiver[1].joined, 0);
	test_kill(role);
	stoa_channel_close(channel);
}

TEST(the_order_is_as_asked)
{
	struct stoa_segment *segments[2];
	const struct run *run;
	const char *first, *second;

	CHECK_RC(stoa_segment_create(test_name("a"), 1 << 20, NULL, &segments[0]), 0);
	CHECK_RC(stoa_segment_create(test_name("b"), 1 << 20, NULL, &segments[1]), 0);
	run = run_stoa("top", "--sort", "name", "--interval", "1ms", "-n", "1", NULL);
	CHECK_EQ(run->status, 0);
	first = strstr(run->out, test_name("a"));
	second = strstr(run->out, test_name("b"));
	CHECK(first && second && first < second);
	run = run_stoa("top", "--sort", "name", "--reverse", "--interval", "1ms", "-n", "1", NULL);
	first = strstr(run->out, test_name("a"));
	second = strstr(run->out, test_name("b"));
	CHECK(first && second && second < first);
	run = run_stoa("top", "--sort", "colour", NULL);
	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "no order 'colour'");
	CHECK_EQ(run_stoa("top", "--interval", "x", NULL)->status, 2);
	stoa_segment_close(segments[0]);
	stoa_segment_close(segments[1]);
}

TEST(only_those_that_were_named)
{
	struct stoa_segment *segments[2];
	const struct run *run;
	char pattern[64];

	CHECK_RC(stoa_segment_create(test_name("one"), 1 << 20, NULL, &segments[0]), 0);
	CHECK_RC(stoa_segment_create(test_name("two"), 1 << 20, NULL, &segments[1]), 0);
	run = run_stoa("top", "--json", "-n", "1", "-i", "1ms", test_name("one"), NULL);
	CHECK_EQ(run->status, 0);
	CHECK_EQ(count_of(run->out, "\n"), 1);
	CHECK_HAS(run->out, test_name("one"));
	snprintf(pattern, sizeof(pattern), "%.*s?[vw]*", (int)strlen(test_name("two")) - 3, test_name("two"));
	run = run_stoa("top", "--json", "-n", "1", "-i", "1ms", pattern, NULL);
	CHECK_EQ(count_of(run->out, "\n"), 1);
	CHECK_HAS(run->out, test_name("two"));
	run = run_stoa("top", "--json", "-n", "1", "-i", "1ms", "no such name", test_name("two"), test_name("one"),
		       NULL);
	CHECK_EQ(count_of(run->out, "\n"), 2);
	stoa_segment_close(segments[0]);
	stoa_segment_close(segments[1]);
}
