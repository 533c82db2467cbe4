/* SPDX-License-Identifier: MIT */
/* `stoa tap`: what it shows of messages, and that nobody waits for it; on every system. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>

static struct stoa_channel *channel;
static struct stoa_sender *sender;

static void begin(const char *name, uint32_t flags, uint64_t ring)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = ring, .flags = flags};

	CHECK_RC(stoa_channel_create(name, &options, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
}

static void end(void)
{
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

static void send_bytes(const void *bytes, size_t length)
{
	CHECK_RC(stoa_sender_send(sender, bytes, length, STOA_TRY), 0);
}

TEST(messages_are_shown)
{
	const char *name = test_name("x");
	const struct run *run;

	begin(name, 0, 0);
	send_bytes("a line\n", 7);
	send_bytes("", 0);
	send_bytes("\0\1\xff", 3);
	send_bytes("\xc3\xbc\033[31m", 7);
	run = run_stoa("tap", name, "--from-oldest", "--count=4", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_STR(run->err, "");
	CHECK_HAS(line_with(run->out, "a line"), "  0        0        7  \"a line\\n\"");
	CHECK_HAS(run->out, "  0        1        0  \"\"\n");
	CHECK_HAS(run->out, "  0        2        3  00 01 ff\n");
	CHECK_HAS(run->out, "  0        3        7  c3 bc 1b 5b 33 31 6d\n");
	CHECK_EQ(strchr(run->out, '\033'), NULL);
	run = run_stoa("tap", name, "--from-oldest", "--count=1", "--hex", "--payload=3", "--stats", NULL);
	CHECK_HAS(run->out, "  0        0        7  61 20 6c...\n");
	CHECK_HAS(run->err, "tap: 1 messages, 7B in ");
	run = run_stoa("tap", name, "--from-oldest", "--count=1", "-p0", NULL);
	CHECK_HAS(run->out, "  0        0        7  \n");
	end();
}

TEST(messages_as_json)
{
	char text[200];
	const char *name = test_name("x");
	const struct run *run;
	unsigned long long time = 0;

	begin(name, STOA_TIMES, 0);
	memset(text, 'x', sizeof(text));
	send_bytes(text, sizeof(text));
	send_bytes("\xff", 1);
	send_bytes("ab\xc3\xbc", 4);
	run = run_stoa("tap", name, "--from-oldest", "--count=3", "--json", "--payload=3", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	CHECK_EQ(sscanf(run->out, "{\"time\":%llu,", &time), 1);
	CHECK_INT(time, >, 1700000000LL * 1000000000);
	CHECK_HAS(
		run->out,
		",\"time_of_sender\":true,\"sender\":0,\"sequence\":0,\"length\":200,\"lost\":0,\"payload\":\"xxx\"}\n");
	CHECK_HAS(run->out, ",\"payload_hex\":\"ff\"}\n");
	CHECK_HAS(run->out, ",\"length\":4,\"lost\":0,\"payload\":\"ab\"}\n"); /* no half of a character */
	end();
}

/* Its output is full, and it stands still: senders go on, and a receiver gets all. */
TEST(nobody_waits_for_it)
{
	static const char fill[100];
	static char sink[65536];
	const char *name = test_name("x");
	struct stoa_receiver *receiver;
	struct stoa_message message;
	size_t got = 0, length;
	struct job *job;

	begin(name, 0, 4096);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "tap", name, "--json", NULL);
	/* Until it is there, and from then on. */
	for (uint64_t i = 0, rounds = 5000; i < rounds || !got; i++) {
		send_bytes(fill, sizeof(fill));
		CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
		CHECK_EQ(message.sequence, i);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
		if (i > 100 && !got) {
			test_nap(1);
			got = i > 1000 ? read_job(job, sink, 10) : 0;
		}
	}
	stoa_receiver_leave(receiver);
	end();
	while ((length = read_job(job, sink, sizeof(sink) - 1)) > 0)
		got += length;
	CHECK_EQ(end_stoa(job), 0);
	CHECK_STR(job_errors(job), "");
}

TEST(what_it_missed_is_told)
{
	static const char fill[100];
	static char text[1 << 20];
	const char *name = test_name("x");
	size_t length, used = 0;
	struct job *job;

	begin(name, 0, 4096);
	send_bytes(fill, sizeof(fill));
	/* Nobody reads it: it stands still when the pipe is full, with thousands to come. */
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "tap", name, "--from-oldest", NULL);
	used = read_job(job, text, sizeof(text) - 1);
	for (unsigned i = 0; i < 100000; i++)
		send_bytes(fill, sizeof(fill));
	end();
	while ((length = read_job(job, text + used, sizeof(text) - 1 - used)) > 0)
		used += length;
	CHECK_EQ(end_stoa(job), 0);
	CHECK_HAS(text, " of sender 0 not seen\n");
}

TEST(what_cannot_be_watched)
{
	const char *name = test_name("x");
	struct stoa_channel *queue;
	const struct run *run = run_stoa("tap", name, NULL);

	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "': nothing has that name");
	CHECK_RC(stoa_channel_create(name, NULL, &queue), 0);
	run = run_stoa("tap", name, NULL);
	CHECK_HAS(run->err, "': a queue cannot be watched: each of its messages is for one receiver\n");
	CHECK_EQ(run->status, 1);
	stoa_channel_close(queue);
	begin(name, 0, 0);
	run = run_stoa("tap", name, "--timeout=10ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "': nothing came in 10ms\n");
	CHECK_EQ(run_stoa("tap", name, "--payload=1MiB", NULL)->status, 2);
	CHECK_EQ(run_stoa("tap", NULL)->status, 2);
	end();
}

TEST(it_ends_with_the_last_sender)
{
	const char *name = test_name("x");
	struct job *job, *source;
	char byte[300];

	source = start_stoa(JOB_PIPE, JOB_NOTHING, "send", name, "--broadcast", "--no-wait", NULL);
	write_job(source, "one\n", 4);
	while (run_stoa("stat", name, NULL)->status)
		test_nap(1);
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "tap", name, "--from-oldest", NULL);
	CHECK_INT(read_job(job, byte, sizeof(byte)), >, 0);
	kill_stoa(source);
	CHECK_EQ(end_stoa(job), 0);
	CHECK_STR(job_errors(job), "");
	CHECK_RC(stoa_channel_open(name, 0, &channel), -STOA_ENOENT);
}
