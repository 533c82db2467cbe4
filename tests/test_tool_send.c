/* SPDX-License-Identifier: MIT */
/* `stoa send` and `stoa recv`: what goes in comes out, in every format and size; who leaves, dies or is slow; on every system. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>

/* What came out, of the file "out", is this. */
static void check_output(const char *name, const void *bytes, size_t length)
{
	size_t got;
	char *output = read_output(name, &got);

	CHECK_EQ(got, length);
	CHECK(length == 0 || memcmp(output, bytes, length) == 0);
	free(output);
}

static void check_end(struct job *job, int status)
{
	int got = end_stoa(job);

	if (got != status)
		test_fail(__FILE__, __LINE__, "status %d, not %d: %s", got, status, job_errors(job));
	if (status == 0)
		CHECK_STR(job_errors(job), "");
}

/* A run of both: `in` comes out as `expected`. */
static void check_passage(const char *format, const void *in, size_t length, const void *expected,
			  size_t expected_length)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--timeout=15", format, NULL);
	struct job *sender = start_stoa(make_input("in", in, length), NULL, "send", name, "--timeout=15", format, NULL);

	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", expected, expected_length);
}

static char *new_bytes(size_t length)
{
	uint64_t random = test_seed();
	char *bytes = malloc(length + 8);

	CHECK(bytes != NULL);
	for (size_t i = 0; i < length; i += 8) {
		uint64_t next = test_random(&random);

		memcpy(bytes + i, &next, sizeof(next));
	}
	return bytes;
}

/* ---- formats ---- */

TEST(lines_of_any_bytes)
{
	static const char text[] = "one\n\n\ntwo\0three\r\n\xff\xfe\nlast\n";

	check_passage(NULL, text, sizeof(text) - 1, text, sizeof(text) - 1);
}

TEST(a_last_line_without_end_gets_one)
{
	check_passage(NULL, "a\nb", 3, "a\nb\n", 4);
	check_passage(NULL, "\n", 1, "\n", 1);
}

TEST(nothing_is_sent_of_nothing)
{
	check_passage(NULL, "", 0, "", 0);
	check_passage("--records", "", 0, "", 0);
	check_passage("--bytes", "", 0, "", 0);
}

/* Short ones and long ones, around the buffers' ends. */
TEST(lines_of_all_lengths)
{
	size_t length = 0, room = (size_t)8 << 20;
	char *text = malloc(room);
	uint64_t random = test_seed();

	CHECK(text != NULL);
	while (length + 200000 < room) {
		uint64_t pick = test_random(&random) % 100;
		size_t line = (size_t)(test_random(&random) % (pick == 0 ? 200000 : pick < 20 ? 5000 : 50));

		memset(text + length, 'a' + (int)pick % 26, line);
		text[length + line] = '\n';
		length += line + 1;
	}
	check_passage(NULL, text, length, text, length);
	free(text);
}

static size_t put_record(char *to, uint32_t length, int fill)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(length >> 8 * i);
	memset(to + 4, fill, length);
	return length + 4;
}

TEST(records_of_all_lengths)
{
	size_t length = 0, room = (size_t)8 << 20;
	char *records = malloc(room);
	uint64_t random = test_seed();

	CHECK(records != NULL);
	length += put_record(records, 0, 0);
	while (length + 260000 < room) {
		uint64_t pick = test_random(&random) % 100;
		uint32_t most = pick == 0 ? 260000 : pick < 20 ? 5000 : 50;

		length += put_record(records + length, (uint32_t)(test_random(&random) % most), (int)pick);
	}
	check_passage("--records", records, length, records, length);
	free(records);
}

TEST(a_record_cut_short_is_no_record)
{
	static const size_t cuts[] = {1, 3, 4 + 10, 20 + 1, 20 + 4, 20 + 4 + 100000};
	const char *name = test_name("x");
	char *records = malloc(300000);

	CHECK(records != NULL);
	for (size_t i = 0; i < CC_COUNT(cuts); i++) {
		struct job *receiver, *sender;

		put_record(records + put_record(records, 16, 'a'), 200000, 'b');
		receiver = start_stoa(NULL, job_path("out"), "recv", name, "--records", NULL);
		sender = start_stoa(make_input("in", records, cuts[i]), NULL, "send", name, "--records", NULL);
		check_end(sender, 1);
		CHECK_HAS(job_errors(sender), "stoa: the input ends within a record: ");
		check_end(receiver, 0);
		check_output("out", records, cuts[i] < 20 ? 0 : 20);
	}
	free(records);
}

TEST_TIMEOUT(a_hundred_megabytes, 120)
{
	size_t length = 100000000;
	char *bytes = new_bytes(length);

	check_passage("--bytes", bytes, length, bytes, length);
	free(bytes);
}

/* One format sent, another received: messages are messages. */
TEST(formats_meet)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--records", NULL);
	struct job *sender = start_stoa(make_input("in", "a\n\nbc\n", 6), NULL, "send", name, NULL);

	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", "\1\0\0\0a\0\0\0\0\2\0\0\0bc", 15);
}

TEST(lines_longer_than_the_ring)
{
	char *text = malloc(100000);
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--ring=4KiB", NULL);

	CHECK(text != NULL);
	memset(text, 'x', 100000);
	text[5] = text[99999] = '\n';
	check_end(start_stoa(make_input("in", text, 100000), NULL, "send", name, "--ring=4KiB", NULL), 0);
	check_end(receiver, 0);
	check_output("out", text, 100000);
	free(text);
}

/* What lies before one that is longer than any message arrives. */
TEST(a_line_longer_than_a_message)
{
	size_t length = ((size_t)64 << 20) + 3;
	char *text = calloc(1, length);
	const char *name = test_name("x");
	struct job *sender, *receiver = start_stoa(NULL, job_path("out"), "recv", name, NULL);

	CHECK(text != NULL);
	text[0] = 'x';
	text[1] = '\n';
	sender = start_stoa(make_input("in", text, length), NULL, "send", name, NULL);
	CHECK_EQ(end_stoa(sender), 1);
	CHECK_HAS(job_errors(sender), "': a message of 67108865B: this channel carries at most 64MiB\n");
	check_end(receiver, 0);
	check_output("out", "x\n", 2);
	free(text);
}

/* Bytes have no such limit. */
TEST(bytes_through_a_small_ring)
{
	char *bytes = new_bytes(1000000);
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--ring=4KiB", "--bytes", NULL);
	struct job *sender =
		start_stoa(make_input("in", bytes, 1000000), NULL, "send", name, "--ring=4096", "--bytes", NULL);

	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", bytes, 1000000);
	free(bytes);
}

/* ---- counting ---- */

TEST(counts_and_statistics)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--json", NULL);
	struct job *sender = start_stoa(make_input("in", "one\ntwo\nthree\n", 14), NULL, "send", name, "--count", "2",
					"--stats", NULL);

	CHECK_EQ(end_stoa(sender), 0);
	CHECK_HAS(job_errors(sender), "send: 2 messages, 6B in ");
	CHECK_EQ(end_stoa(receiver), 0);
	check_json(job_errors(receiver));
	CHECK_HAS(job_errors(receiver), "{\"command\":\"recv\",\"name\":\"");
	CHECK_HAS(job_errors(receiver), "\"messages\":2,\"bytes\":6,\"lost\":0,\"seconds\":");
	CHECK_HAS(job_errors(receiver), ",\"complete\":true}\n");
	check_output("out", "one\ntwo\n", 8);
}

TEST(a_receiver_that_has_enough)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--count=2", NULL);
	struct job *sender = start_stoa(make_input("in", "one\ntwo\nthree\n", 14), NULL, "send", name, "--json", NULL);

	check_end(sender, 1);
	CHECK_HAS(job_errors(sender), "': the receivers left before they had received all\n");
	CHECK_HAS(job_errors(sender), "\"complete\":false}\n");
	check_end(receiver, 0);
	check_output("out", "one\ntwo\n", 8);
}

TEST(what_was_sent_to_enough_is_all)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, "--count=3", NULL);
	struct job *sender = start_stoa(make_input("in", "one\ntwo\nthree\n", 14), NULL, "send", name, NULL);

	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", "one\ntwo\nthree\n", 14);
}

/* ---- who is there ---- */

TEST(waits_have_an_end)
{
	const char *name = test_name("x");
	const struct run *run = run_stoa("send", name, "-t", "10ms", NULL);

	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "': no receiver came in 10ms\n");
	run = run_stoa("recv", name, "--timeout", "10ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "': nothing came in 10ms\n");
	CHECK_EQ(run_stoa("stat", name, NULL)->status, 1);
}

/* Nobody receives: what fits is there, and the sender says that the rest is not. */
TEST(a_sender_alone)
{
	const char *name = test_name("x");
	struct job *sender =
		start_stoa(make_input("in", "one\n", 4), NULL, "send", name, "--no-wait", "-t", "10ms", NULL);

	check_end(sender, 1);
	CHECK_HAS(job_errors(sender), "': not all was received in 10ms\n");
	sender = start_stoa(make_input("in", "one\n", 4), NULL, "send", name, "--no-wait", "--broadcast", NULL);
	check_end(sender, 0);
}

TEST(a_receiver_that_comes_late)
{
	const char *name = test_name("x");
	struct job *sender = start_stoa(make_input("in", "one\ntwo\n", 8), NULL, "send", name, "--no-wait", NULL);
	struct job *receiver = start_stoa(NULL, job_path("out"), "recv", name, NULL);

	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", "one\ntwo\n", 8);
}

/* Who was killed may have had the name open a moment longer than the last to close it; whoever asks for it next removes it. */
static void check_gone(const char *name)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_open(name, 0, &channel), -STOA_ENOENT);
}

/* What it had sent arrives; and nobody takes a part for the whole. */
TEST(a_sender_that_is_killed)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_PIPE, "recv", name, NULL);
	struct job *sender = start_stoa(JOB_PIPE, NULL, "send", name, NULL);
	char line[16] = "";
	size_t got = 0;

	write_job(sender, "one\ntw", 6);
	while (got < 4)
		got += read_job(receiver, line + got, sizeof(line) - got);
	CHECK_STR(line, "one\n");
	kill_stoa(sender);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 0);
	check_end(receiver, 1);
	CHECK_HAS(job_errors(receiver), "': a sender died; what it had sent was received\n");
	check_gone(name);
}

/* Another goes on in its place. */
TEST(a_sender_that_is_replaced)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_PIPE, "recv", name, "--senders=2", NULL);
	struct job *first = start_stoa(JOB_PIPE, NULL, "send", name, "--senders=2", NULL), *second;
	char line[16];

	write_job(first, "one\n", 4);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 4);
	second = start_stoa(JOB_PIPE, NULL, "send", name, "--senders=2", NULL);
	write_job(second, "two\n", 4);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 4);
	kill_stoa(first);
	check_end(start_stoa(make_input("in", "three\n", 6), NULL, "send", name, NULL), 0);
	check_end(second, 0);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 6);
	check_end(receiver, 0);
	check_gone(name);
}

TEST(a_receiver_that_is_killed)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_PIPE, "recv", name, NULL);
	struct job *sender = start_stoa(JOB_PIPE, NULL, "send", name, NULL);
	char line[16];

	write_job(sender, "one\n", 4);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 4);
	kill_stoa(receiver);
	write_job(sender, "two\n", 4);
	check_end(sender, 1);
	CHECK_HAS(job_errors(sender), "': the receivers left before all was sent\n");
	check_gone(name);
}

/* The place of the dead is free for the next, who gets the rest. */
TEST(a_receiver_that_is_replaced)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_PIPE, "recv", name, NULL);
	struct job *sender = start_stoa(JOB_PIPE, NULL, "send", name, "--no-wait", NULL);
	char line[16];

	write_job(sender, "one\n", 4);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 4);
	kill_stoa(receiver);
	write_job(sender, "two\n", 4);
	receiver = start_stoa(NULL, job_path("out"), "recv", name, NULL);
	check_end(sender, 0);
	check_end(receiver, 0);
	check_output("out", "two\n", 4);
	check_gone(name);
}

TEST(places_are_taken)
{
	const char *name = test_name("x");
	struct job *sender = start_stoa(JOB_PIPE, NULL, "send", name, NULL);
	struct job *receiver = start_stoa(NULL, JOB_PIPE, "recv", name, NULL);
	const struct run *run;
	char line[16];

	write_job(sender, "one\n", 4);
	CHECK_EQ(read_job(receiver, line, sizeof(line)), 4);
	run = run_stoa("recv", name, NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, "': all 1 places for receivers are taken by the living\n");
	check_end(sender, 0);
	check_end(receiver, 0);
}

/* ---- several ---- */

#define NUMBERS 20000

static void check_numbers(const char *output, unsigned char *seen)
{
	size_t length;
	char *text = read_output(output, &length);
	long last = -1;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		long number = strtol(line, NULL, 10);

		CHECK_INT(number, >, last);
		CHECK_INT(number, <, NUMBERS);
		last = number;
		seen[number]++;
	}
	free(text);
}

static const char *make_numbers(void)
{
	static char text[NUMBERS * 7];
	size_t length = 0;

	for (int i = 0; i < NUMBERS; i++)
		length += (size_t)sprintf(text + length, "%d\n", i);
	return make_input("numbers", text, length);
}

/* Of a queue each gets some, in order; together they get each once. */
TEST(workers_share_a_queue)
{
	static unsigned char seen[NUMBERS];
	const struct stoa_channel_options options = {.receivers = 2, .ring = 4096};
	const char *name = test_name("x");
	struct stoa_channel *channel; /* for who comes when all is over */
	struct job *receivers[2], *sender;

	CHECK_RC(stoa_channel_create(name, &options, &channel), 0);
	receivers[0] = start_stoa(NULL, job_path("out0"), "recv", name, NULL);
	receivers[1] = start_stoa(NULL, job_path("out1"), "recv", name, NULL);
	sender = start_stoa(make_numbers(), NULL, "send", name, NULL);
	check_end(sender, 0);
	check_end(receivers[0], 0);
	check_end(receivers[1], 0);
	check_numbers("out0", seen);
	check_numbers("out1", seen);
	stoa_channel_close(channel);
	for (int i = 0; i < NUMBERS; i++)
		CHECK_EQ(seen[i], 1);
}

/* Of a broadcast each gets all. The test keeps what was sent, for whoever comes late. */
TEST(listeners_of_a_broadcast)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .receivers = 3, .ring = 1 << 22};
	const char *name = test_name("x"), *numbers = make_numbers();
	struct stoa_channel *channel;
	struct job *jobs[3];
	size_t length;
	char *text;

	CHECK_RC(stoa_channel_create(name, &options, &channel), 0);
	jobs[0] = start_stoa(NULL, job_path("out0"), "recv", name, "--from-oldest", NULL);
	jobs[1] = start_stoa(numbers, NULL, "send", name, NULL);
	check_end(jobs[1], 0);
	jobs[2] = start_stoa(NULL, job_path("out2"), "recv", name, "--from-oldest", NULL);
	check_end(jobs[0], 0);
	check_end(jobs[2], 0);
	text = read_output("numbers", &length);
	check_output("out0", text, length);
	check_output("out2", text, length);
	free(text);
	stoa_channel_close(channel);
}

/* ---- the slow ---- */

#define MESSAGES 100000

/* A sender that waits for nobody, against one whose output nobody takes. */
static struct job *overtake(const char *policy, struct stoa_channel **ret_channel)
{
	const struct stoa_channel_options options = {.kind = STOA_BROADCAST, .ring = 4096};
	const char *name = test_name("x");
	struct stoa_waitable here = {NULL, NULL, STOA_WAIT_RECEIVERS, 0};
	struct stoa_sender *sender;
	struct job *job;

	CHECK_RC(stoa_channel_create(name, &options, ret_channel), 0);
	CHECK_RC(stoa_sender_join(*ret_channel, NULL, &sender), 0);
	here.object = sender;
	job = start_stoa(NULL, JOB_PIPE, "recv", name, policy, "--json", NULL);
	CHECK_RC(stoa_wait_any(&here, 1, STOA_FOREVER, NULL), 0);
	for (uint64_t i = 0; i < MESSAGES; i++)
		CHECK_RC(stoa_sender_send(sender, &i, sizeof(i), STOA_TRY), 0);
	stoa_sender_leave(sender);
	return job;
}

TEST(what_is_lost_is_told)
{
	static char sink[65536];
	struct stoa_channel *channel;
	struct job *job = overtake("--drop-oldest", &channel);
	unsigned long long messages, lost;

	while (read_job(job, sink, sizeof(sink)))
		;
	CHECK_EQ(end_stoa(job), 4);
	CHECK_HAS(job_errors(job), " lost, as this receiver was too slow\n");
	CHECK_EQ(sscanf(strstr(job_errors(job), "\"messages\":"), "\"messages\":%llu", &messages), 1);
	CHECK_EQ(sscanf(strstr(job_errors(job), "\"lost\":"), "\"lost\":%llu", &lost), 1);
	CHECK_EQ(messages + lost, MESSAGES);
	CHECK_INT(lost, >, 0);
	stoa_channel_close(channel);
}

TEST(the_detached_are_told)
{
	static char sink[65536];
	struct stoa_channel *channel;
	struct job *job = overtake("--detach=0", &channel);

	while (read_job(job, sink, sizeof(sink)))
		;
	CHECK_EQ(end_stoa(job), 1);
	CHECK_HAS(job_errors(job), "': detached: this receiver was too slow\n");
	stoa_channel_close(channel);
}

/* ---- misuse ---- */

TEST(misuse_is_told)
{
	static const struct {
		const char *words[4];
		const char *sentence;
	} cases[] = {
		{{"send"}, "stoa: send: needs NAME; try 'stoa send --help'\n"},
		{{"recv"}, "stoa: recv: needs NAME; try 'stoa recv --help'\n"},
		{{"send", "x", "--records", "--bytes"}, "stoa: send: --records and --bytes exclude each other\n"},
		{{"recv", "x", "--drop-oldest", "--detach=0"},
		 "stoa: recv: --drop-oldest and --detach exclude each other\n"},
		{{"recv", "x", "--detach=some"}, "stoa: recv: --detach some is not a number; use e.g. 4\n"},
		{{"recv", "x", "--receivers=65"},
		 "stoa: recv: a channel has at most 64 senders, and as many receivers\n"},
		{{"send", "a/b"}, "stoa: channel 'a/b': the name has a '/'"},
		{{"send", "x", "--ring=5000"}, "stoa: channel 'x': "},
		{{"recv", "x", "--drop-oldest"}, "stoa: channel 'x': when_slow, from and lag are a broadcast's"},
	};

	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		const char *const *w = cases[i].words;
		const struct run *run = run_stoa(w[0], w[1], w[2], w[3], NULL);

		CHECK_HAS(run->err, cases[i].sentence);
		CHECK_EQ(run->status, 2);
	}
}

/* The name belongs to something else. */
TEST(a_name_of_something_else)
{
	struct stoa_segment *segment;
	struct stoa_channel *queue;
	const char *name = test_name("x");

	CHECK_RC(stoa_channel_create(name, NULL, &queue), 0);
	CHECK_EQ(run_stoa("send", name, "--broadcast", NULL)->status, 1);
	CHECK_HAS(run_stoa("recv", name, "--broadcast", NULL)->err, "': it is there, as a queue, and no broadcast\n");
	stoa_channel_close(queue);

	CHECK_RC(stoa_segment_create(name, 1 << 20, NULL, &segment), 0);
	CHECK_EQ(run_stoa("send", name, NULL)->status, 1);
	CHECK_EQ(run_stoa("recv", name, NULL)->status, 1);
	stoa_segment_close(segment);
}
