/* SPDX-License-Identifier: MIT */
/* `stoa pipe`: all bytes, in order, the end, the statuses, and who leaves early; on every system. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILTER STOA_FILTER

/* What `filter sum` says of what `filter make` makes. */
static const char *expected_sum(uint64_t count)
{
	static char text[64];
	uint64_t state = 1, total = 0;

	for (uint64_t i = 0; i < count; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
		total = total * 31 + (unsigned char)(state >> 56);
	}
	snprintf(text, sizeof(text), "%" PRIu64 " %016" PRIx64, count, total);
	return text;
}

static void check_status(const struct run *run, int status)
{
	if (run->status != status)
		test_fail(__FILE__, __LINE__, "status %d, not %d: %s", run->status, status, run->err);
}

TEST_TIMEOUT(a_hundred_megabytes, 120)
{
	const struct run *run = run_stoa("pipe", "--", FILTER, "make", "100000000", "--", FILTER, "sum", NULL);

	check_status(run, 0);
	CHECK_STR(run->err, "");
	CHECK_HAS(run->out, expected_sum(100000000));
}

TEST_TIMEOUT(through_several_and_counted, 120)
{
	const struct run *run = run_stoa("pipe", "--json", "--", FILTER, "make", "10000000", "--", FILTER, "pass", "--",
					 FILTER, "pass", "--", FILTER, "sum", NULL);

	check_status(run, 0);
	CHECK_HAS(run->out, expected_sum(10000000));
	check_json(run->err);
	CHECK_HAS(run->err, "\"links\":[{\"bytes\":10000000,\"waited_for_input\":");
	CHECK_HAS(run->err, "},{\"bytes\":10000000,\"waited_for_input\":");
	run = run_stoa("pipe", "--stats", "--", FILTER, "make", "0", "--", FILTER, "sum", NULL);
	check_status(run, 0);
	CHECK_HAS(run->out, expected_sum(0));
	CHECK_HAS(run->err, ": 0 in ");
	CHECK_HAS(run->err, "; waited ");
}

TEST(small_buffers)
{
	const struct run *run =
		run_stoa("pipe", "--buffer=1", "--stats", "--", FILTER, "make", "3000000", "--", FILTER, "sum", NULL);

	check_status(run, 0);
	CHECK_HAS(run->out, expected_sum(3000000));
}

/* The first one's input is ours. */
TEST(an_input_passes)
{
	char *bytes = calloc(1, 300000);
	struct job *job;
	char text[64];
	size_t length;
	char *output;

	CHECK(bytes != NULL);
	job = start_stoa(make_input("in", bytes, 300000), job_path("out"), "pipe", "--", FILTER, "pass", "--", FILTER,
			 "sum", NULL);
	CHECK_EQ(end_stoa(job), 0);
	output = read_output("out", &length);
	snprintf(text, sizeof(text), "300000 %016d", 0);
	CHECK_HAS(output, text);
	free(output);
	free(bytes);
	job = start_stoa(JOB_PIPE, JOB_PIPE, "pipe", "--", FILTER, "pass", NULL);
	write_job(job, "alone", 5);
	end_job_input(job);
	memset(text, 0, sizeof(text));
	for (size_t got, at = 0; (got = read_job(job, text + at, sizeof(text) - at)) > 0; at += got)
		;
	CHECK_STR(text, "alone");
	CHECK_EQ(end_stoa(job), 0);
}

TEST(statuses_are_those_of_pipefail)
{
	static const struct {
		const char *statuses[3];
		int expected;
	} cases[] = {{{"0", "0", "0"}, 0},
		     {{"3", "0", "0"}, 3},
		     {{"3", "4", "0"}, 4},
		     {{"3", "4", "5"}, 5},
		     {{"0", "4", "0"}, 4}};

	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		const char *const *s = cases[i].statuses;

		check_status(run_stoa("pipe", "--", FILTER, "exit", s[0], "--", FILTER, "exit", s[1], "--", FILTER,
				      "exit", s[2], NULL),
			     cases[i].expected);
	}
}

/* It is told, and the others run all the same. */
TEST(commands_that_are_not_there)
{
	const struct run *run = run_stoa("pipe", "--", "no such command", "--", FILTER, "wait", NULL);

	check_status(run, 127);
	CHECK_STR(run->err, "stoa: pipe: 'no such command': no such command\n");
	CHECK_HAS(run->out, "ended");
	run = run_stoa("pipe", "--json", "--", FILTER, "exit", "0", "--", "no such command", "--", FILTER, "wait",
		       NULL);
	check_status(run, 127);
	CHECK_HAS(run->err, "{\"command\":\"no such command\",\"status\":127}");
	CHECK_HAS(run->out, "ended");
	run = run_stoa("pipe", "--", make_input("text.exe", "no program", 10), "--", FILTER, "wait", NULL);
	check_status(run, 126);
	CHECK_HAS(run->err, "text.exe': ");
	CHECK_HAS(run->out, "ended");
}

/* As many bytes as fit between the two may have been written; then the one before finds nobody. */
TEST(a_reader_that_leaves_early)
{
	const struct run *run =
		run_stoa("pipe", "--", FILTER, "make", "1000000000000", "--", FILTER, "take", "10", NULL);

	check_status(run, BROKEN_STATUS);
	CHECK_STR(run->err, "");
	run = run_stoa("pipe", "--stats", "--", FILTER, "make", "1000000000000", "--", FILTER, "take", "10", NULL);
	check_status(run, BROKEN_STATUS);
	run = run_stoa("pipe", "--", FILTER, "make", "10", "--", FILTER, "take", "10", NULL);
	check_status(run, 0);
}

TEST(one_that_is_killed)
{
	const struct run *run = run_stoa("pipe", "--", FILTER, "die", "--", FILTER, "wait", NULL);

	check_status(run, KILLED_STATUS);
	CHECK_HAS(run->out, "ended");
	run = run_stoa("pipe", "--stats", "--", FILTER, "make", "1000000000000", "--", FILTER, "die", "--", FILTER,
		       "wait", NULL);
	check_status(run, KILLED_STATUS);
	CHECK_HAS(run->out, "ended");
}

TEST(words_are_passed_as_they_are)
{
	static const char *const words[] = {"", "a b", "quo\"te", "back\\slash\\", "*", "-x", "--stats", "|"};
	const struct run *run =
		run_stoa("pipe", "--separator=/", "--", FILTER, "say", words[0], words[1], words[2], words[3], words[4],
			 words[5], words[6], words[7], "--", "/", FILTER, "pass", NULL);
	char expected[200] = "";

	for (size_t i = 0; i < CC_COUNT(words); i++)
		snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s\n", words[i]);
	strcat(expected, "--\n");
	check_status(run, 0);
	CHECK_STR(run->out, expected);
}

TEST(misuse_is_told)
{
	static const struct {
		const char *words[5];
		const char *sentence;
	} cases[] = {
		{{NULL}, "stoa: pipe: needs -- COMMAND [-- COMMAND...]; try 'stoa pipe --help'\n"},
		{{"--", "--", FILTER}, "stoa: pipe: no command before a '--'; try 'stoa pipe --help'\n"},
		{{"--", FILTER, "--"}, "stoa: pipe: no command behind the last '--'; try 'stoa pipe --help'\n"},
		{{"--", FILTER, "--", "--", FILTER}, "stoa: pipe: no command before a '--'; try 'stoa pipe --help'\n"},
		{{"--buffer=much", "--", FILTER}, "stoa: pipe: --buffer much is not a size; use e.g. 1GiB\n"},
	};

	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		const char *const *w = cases[i].words;
		const struct run *run = run_stoa("pipe", w[0], w[1], w[2], w[3], w[4], NULL);

		check_status(run, 2);
		CHECK_STR(run->err, cases[i].sentence);
		CHECK_STR(run->out, "");
	}
}

/* Of the two that `text` has of one who told: nobody, or a name. */
static void take_names(const char *text, const char *who, char names[2][100])
{
	const char *line = line_with(text, who);

	CHECK(line != NULL);
	CHECK_EQ(sscanf(strstr(line, ": from ") + 7, "%99s to %99[^.]", names[0], names[1]), 2);
}

/* Programs that use stoa find a name for what lies between them; a pipeline in a pipeline has what that one has. */
TEST(links_have_names)
{
	char first[2][100], inner[2][2][100], last[2][100];
	const struct run *run =
		run_stoa("pipe", "--separator=/", "--", FILTER, "names", "first", "/", STOA_TOOL, "pipe", "--", FILTER,
			 "names", "inner1", "--", FILTER, "names", "inner2", "/", FILTER, "names", "last", NULL);

	check_status(run, 0);
	take_names(run->err, "first", first);
	take_names(run->err, "inner1", inner[0]);
	take_names(run->err, "inner2", inner[1]);
	take_names(run->err, "last", last);
	CHECK_STR(first[0], "nobody");
	CHECK_STR(last[1], "nobody");
	CHECK_STR(first[1], inner[0][0]);
	CHECK_STR(inner[0][1], inner[1][0]);
	CHECK_STR(inner[1][1], last[0]);
	CHECK(strcmp(first[1], inner[0][1]) != 0 && strcmp(inner[0][1], last[0]) != 0 &&
	      strcmp(first[1], last[0]) != 0);
}

/* Channels beside it. */
TEST(send_and_recv_in_pipes)
{
	const char *name = test_name("x");
	struct job *sender = start_stoa(JOB_NOTHING, JOB_NOTHING, "pipe", "--", FILTER, "make", "20000000", "--",
					STOA_TOOL, "send", name, "--bytes", NULL);
	const struct run *run = run_stoa("pipe", "--", STOA_TOOL, "recv", name, "--bytes", "--", FILTER, "sum", NULL);

	check_status(run, 0);
	CHECK_HAS(run->out, expected_sum(20000000));
	CHECK_EQ(end_stoa(sender), 0);
}
