/* SPDX-License-Identifier: MIT */
/* `stoa pipe`: signals, scripts and descriptors, on Linux. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Both of its commands run. */
static struct job *start_two(void)
{
	struct job *job = start_stoa(JOB_NOTHING, JOB_PIPE, "pipe", "--", "sleep", "1000", "--", "sh", "-c",
				     "echo; exec sleep 1000", NULL);
	char byte;

	CHECK_EQ(read_job(job, &byte, 1), 1);
	return job;
}

/* It goes to all; and this process ends by it, too. */
TEST(a_signal_is_passed_on)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < CC_COUNT(numbers); i++) {
		struct job *job = start_two();

		CHECK_SYS(kill((pid_t)job_process(job), numbers[i]));
		CHECK_EQ(end_stoa(job), -numbers[i]);
	}
}

/* What the commands made of it counts. */
TEST(a_signal_that_is_taken)
{
	struct job *job = start_stoa(JOB_NOTHING, JOB_PIPE, "pipe", "--", "sh", "-c",
				     "trap 'exit 7' TERM; echo; while :; do sleep 0.01; done", NULL);
	char byte;

	CHECK_EQ(read_job(job, &byte, 1), 1);
	CHECK_SYS(kill((pid_t)job_process(job), SIGTERM));
	CHECK_EQ(end_stoa(job), 7);
}

TEST(a_script_without_a_first_line)
{
	const char *path = make_input("script", "echo \"$1\" \"$#\"\n", 15);
	const struct run *run;

	CHECK_SYS(chmod(path, 0600));
	run = run_stoa("pipe", "--", path, "a b", NULL);
	CHECK_EQ(run->status, 126);
	CHECK_HAS(run->err, "script': Permission denied\n");
	CHECK_SYS(chmod(path, 0700));
	run = run_stoa("pipe", "--", path, "a b", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_STR(run->out, "a b 1\n");
}

/* Which is found as a program is: not one of the same name that lies here. */
TEST(a_script_of_the_path)
{
	char there[600], path[8192];
	FILE *file;

	snprintf(there, sizeof(there), "%s/there", test_dir());
	CHECK_SYS(mkdir(there, 0700));
	CHECK_SYS(chmod(make_input("job", "echo here\n", 10), 0700));
	snprintf(path, sizeof(path), "%s/job", there);
	file = fopen(path, "w");
	CHECK(file != NULL);
	fputs("echo there \"$1\"\n", file);
	CHECK_EQ(fclose(file), 0);
	CHECK_SYS(chmod(path, 0700));
	snprintf(path, sizeof(path), "/no/such:%s:%s", there, getenv("PATH"));
	CHECK_SYS(setenv("PATH", path, 1));
	CHECK_SYS(chdir(test_dir()));
	CHECK_STR(run_stoa("pipe", "--", "job", "x", "--", "cat", NULL)->out, "there x\n");
	CHECK_SYS(setenv("PATH", "", 1));
	CHECK_STR(run_stoa("pipe", "--", "job", "x", NULL)->out, "here\n");
}

/* The statuses are a shell's. */
TEST(what_is_no_command)
{
	static char name[5000];
	const char *program = make_input("program", "\177ELF\0\0\0\n", 8);
	const struct run *run;

	CHECK_SYS(chmod(program, 0700));
	run = run_stoa("pipe", "--", program, NULL);
	CHECK_EQ(run->status, 126);
	CHECK_HAS(run->err, "program': Exec format error\n");
	memset(name, 'x', sizeof(name) - 1);
	CHECK_EQ(run_stoa("pipe", "--", name, NULL)->status, 127);
	CHECK_EQ(run_stoa("pipe", "--", "", NULL)->status, 127);
	CHECK_EQ(run_stoa("pipe", "--", test_dir(), NULL)->status, 126);
	CHECK_EQ(run_stoa("pipe", "--", "./no/such", NULL)->status, 127);
	CHECK_SYS(chmod(program, 0600));
	CHECK_SYS(setenv("PATH", test_dir(), 1));
	CHECK_EQ(run_stoa("pipe", "--", "program", NULL)->status, 126);
	CHECK_SYS(setenv("PATH", strcat(strcpy(name, test_dir()), "/.."), 1));
	CHECK_EQ(run_stoa("pipe", "--", strrchr(test_dir(), '/') + 1, NULL)->status, 127); /* a directory */
}

/* Commands have the descriptors that one alone has: none of the pipes of others. */
TEST(nothing_else_is_passed_on)
{
	static const char list[] = "echo /proc/self/fd/*";
	static char alone[sizeof(run_stoa("x", NULL)->out)];

	memcpy(alone, run_stoa("pipe", "--", "sh", "-c", list, NULL)->out, sizeof(alone));
	CHECK_HAS(alone, "/proc/self/fd/0 /proc/self/fd/1 ");
	CHECK_STR(run_stoa("pipe", "--", "true", "--", "sh", "-c", list, "--", "cat", NULL)->out, alone);
	CHECK_STR(run_stoa("pipe", "--stats", "--", "true", "--", "sh", "-c", list, "--", "cat", NULL)->out, alone);
}

/* Who writes to us learns that our first command has gone, while the second still runs. */
TEST(an_input_that_nobody_reads)
{
	struct job *job = start_stoa(JOB_PIPE, JOB_PIPE, "pipe", "--", "sh", "-c", "exec <&-; echo; exec sleep 1000",
				     "--", "cat", NULL);
	char byte;

	CHECK_EQ(read_job(job, &byte, 1), 1);
	signal(SIGPIPE, SIG_IGN);
	while (offer_job(job, 'x'))
		test_nap(1);
	CHECK_SYS(kill((pid_t)job_process(job), SIGTERM));
	CHECK_EQ(end_stoa(job), -SIGTERM);
}

TEST(a_signal_that_was_ignored_stays_so)
{
	const struct run *run;

	signal(SIGPIPE, SIG_IGN);
	run = run_stoa("pipe", "--", "sh", "-c", "kill -PIPE $$; echo alive", NULL);
	CHECK_STR(run->out, "alive\n");
}
