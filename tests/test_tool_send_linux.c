/* SPDX-License-Identifier: MIT */
/* `stoa send` and `stoa recv`: signals, and streams that fail, on Linux. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <signal.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/stat.h>

static void signal_job(struct job *job, int number)
{
	CHECK_SYS(kill((pid_t)job_process(job), number));
}

/* In use, and asleep. */
static void begin(const char *name, struct job **ret_sender, struct job **ret_receiver)
{
	char line[16];

	*ret_receiver = start_stoa(NULL, JOB_PIPE, "recv", name, NULL);
	*ret_sender = start_stoa(JOB_PIPE, NULL, "send", name, NULL);
	write_job(*ret_sender, "one\n", 4);
	CHECK_EQ(read_job(*ret_receiver, line, sizeof(line)), 4);
	test_await_sleep((pid_t)job_process(*ret_sender));
	test_await_sleep((pid_t)job_process(*ret_receiver));
}

static void check_gone(const char *name)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_open(name, 0, &channel), -STOA_ENOENT);
}

TEST(a_signal_ends_a_sender)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	const char *name = test_name("x");

	for (size_t i = 0; i < CC_COUNT(numbers); i++) {
		struct job *sender, *receiver;

		begin(name, &sender, &receiver);
		signal_job(sender, numbers[i]);
		CHECK_EQ(end_stoa(sender), -numbers[i]);
		CHECK_STR(job_errors(sender), "");
		CHECK_EQ(end_stoa(receiver), 0);
		check_gone(name);
	}
}

TEST(a_signal_ends_a_receiver)
{
	const char *name = test_name("x");
	struct job *sender, *receiver;

	begin(name, &sender, &receiver);
	signal_job(receiver, SIGINT);
	CHECK_EQ(end_stoa(receiver), -SIGINT);
	CHECK_STR(job_errors(receiver), "");
	write_job(sender, "two\n", 4);
	CHECK_EQ(end_stoa(sender), 1);
	check_gone(name);
}

TEST(a_signal_ends_a_watcher)
{
	const char *name = test_name("x");
	struct stoa_channel *channel;
	struct job *job, *sender = start_stoa(JOB_PIPE, NULL, "send", name, "--broadcast", "--no-wait", NULL);
	char byte;

	write_job(sender, "one\n", 4);
	while (stoa_channel_open(name, 0, &channel) < 0)
		test_nap(1);
	stoa_channel_close(channel);
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "tap", name, "--from-oldest", NULL);
	CHECK_EQ(read_job(job, &byte, 1), 1);
	signal_job(job, SIGINT);
	CHECK_EQ(end_stoa(job), -SIGINT);
	CHECK_STR(job_errors(job), "");
	job = start_stoa(JOB_NOTHING, JOB_PIPE, "tap", name, "--from-oldest", NULL);
	CHECK_EQ(read_job(job, &byte, 1), 1);
	end_job_output(job);
	write_job(sender, "two\nthree\n", 10);
	CHECK_EQ(end_stoa(job), -SIGPIPE);
	CHECK_EQ(end_stoa(sender), 0);
	check_gone(name);
}

/* Who waits for a peer, or for room. */
TEST(a_signal_ends_waits)
{
	const char *name = test_name("x");
	struct job *job = start_stoa(JOB_PIPE, NULL, "send", name, NULL);
	struct stoa_channel *channel;

	test_await_sleep((pid_t)job_process(job));
	while (stoa_channel_open(name, 0, &channel) < 0)
		test_nap(1);
	stoa_channel_close(channel);
	test_nap(20);
	signal_job(job, SIGINT);
	CHECK_EQ(end_stoa(job), -SIGINT);
	job = start_stoa("/dev/zero", NULL, "send", name, "--bytes", "--no-wait", "--ring=4KiB", NULL);
	while (stoa_channel_open(name, 0, &channel) < 0)
		test_nap(1);
	stoa_channel_close(channel);
	test_nap(20);
	signal_job(job, SIGTERM);
	CHECK_EQ(end_stoa(job), -SIGTERM);
	check_gone(name);
}

/* As everything that writes into a pipe does. */
TEST(an_output_that_nobody_reads)
{
	const char *name = test_name("x");
	struct job *sender, *receiver;

	begin(name, &sender, &receiver);
	end_job_output(receiver);
	write_job(sender, "two\n", 4);
	CHECK_EQ(end_stoa(receiver), -SIGPIPE);
	CHECK_STR(job_errors(receiver), "");
	CHECK_EQ(end_stoa(sender), 0); /* it was received */
	check_gone(name);
}

TEST(an_output_that_is_full)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, "/dev/full", "recv", name, NULL);
	struct job *sender = start_stoa(make_input("in", "one\n", 4), NULL, "send", name, NULL);

	CHECK_EQ(end_stoa(sender), 0);
	CHECK_EQ(end_stoa(receiver), 1);
	CHECK_STR(job_errors(receiver), "stoa: cannot write the output: No space left on device\n");
}

/* What is opened does not take their places: no memory is written as if it were an output. */
TEST(closed_streams)
{
	const char *name = test_name("x");
	struct job *receiver, *sender;
	char command[5000];

	snprintf(command, sizeof(command), "exec '%s' recv %s <&- >&- 2>&-", STOA_TOOL, name);
	receiver = start_stoa(NULL, NULL, "pipe", "--", "sh", "-c", command, NULL);
	sender = start_stoa(make_input("in", "one\n", 4), NULL, "send", name, NULL);
	CHECK_EQ(end_stoa(sender), 0);
	CHECK_EQ(end_stoa(receiver), 1);
}

/* It is not read up to its end. */
TEST(a_line_without_an_end)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, NULL, "recv", name, NULL);
	struct job *sender = start_stoa("/dev/zero", NULL, "send", name, NULL);

	CHECK_EQ(end_stoa(sender), 1);
	CHECK_HAS(job_errors(sender),
		  "': a line of 134217728 bytes and more: this channel carries at most 64MiB; --bytes");
	CHECK_EQ(end_stoa(receiver), 0);
}

TEST(an_input_that_cannot_be_read)
{
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, NULL, "recv", name, NULL);
	struct job *sender = start_stoa(test_dir(), NULL, "send", name, NULL);

	CHECK_EQ(end_stoa(sender), 1);
	CHECK_STR(job_errors(sender), "stoa: cannot read the input: Is a directory\n");
	CHECK_EQ(end_stoa(receiver), 0);
}

/* Another program that shares them can have made them so. */
TEST(streams_that_do_not_wait)
{
	static char line[200000], got[sizeof(line)];
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_UNWAITING, "recv", name, NULL);
	struct job *sender = start_stoa(JOB_UNWAITING, NULL, "send", name, NULL);
	size_t length = 0, more;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	write_job(sender, "one\n", 4);
	CHECK_EQ(read_job(receiver, got, sizeof(got)), 4);
	test_await_sleep((pid_t)job_process(sender));
	write_job(sender, line, sizeof(line)); /* more than a pipe has room for */
	test_await_sleep((pid_t)job_process(receiver));
	end_job_input(sender);
	while ((more = read_job(receiver, got + length, sizeof(got) - length)) > 0)
		length += more;
	CHECK_EQ(length, sizeof(line));
	CHECK(memcmp(got, line, length) == 0);
	CHECK_EQ(end_stoa(sender), 0);
	CHECK_STR(job_errors(sender), "");
	CHECK_EQ(end_stoa(receiver), 0);
	CHECK_STR(job_errors(receiver), "");
}

/* And they are left when asked to, also where nothing moves. */
TEST(a_signal_ends_streams_that_do_not_wait)
{
	static char line[200000];
	const char *name = test_name("x");
	struct job *receiver = start_stoa(NULL, JOB_UNWAITING, "recv", name, NULL);
	struct job *sender = start_stoa(JOB_UNWAITING, NULL, "send", name, NULL);
	char byte;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	write_job(sender, line, sizeof(line));
	CHECK_EQ(read_job(receiver, &byte, 1), 1);
	test_await_sleep((pid_t)job_process(sender));
	test_await_sleep((pid_t)job_process(receiver));
	signal_job(sender, SIGTERM);
	CHECK_EQ(end_stoa(sender), -SIGTERM);
	signal_job(receiver, SIGTERM);
	CHECK_EQ(end_stoa(receiver), -SIGTERM);
	check_gone(name);
}
