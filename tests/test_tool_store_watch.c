/* SPDX-License-Identifier: MIT */
/* The tool's looks at a store at work: who has what, what its server counts, what comes and goes. */
#include <harness/test.h>

#include "tool/daemon.h"
#include "tool/job.h"
#include "tool/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <stoa/stoa.h>
#include <store/exposition.h>

#define MIB (UINT64_C(1) << 20)

/* ---- who has it, and figures ---- */

TEST(who_tells_processes_and_what_they_have)
{
	struct stoa_object first, second;
	char number[40], self[40];
	struct stoa_store *store;
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_put(store, "mine", 4, "data", 4, NULL), 0);
	CHECK_EQ(run_stoa("put", "other", make_input("in", "data", 4), NULL)->status, 0);
	CHECK_RC(stoa_store_get(store, "other", 5, 0, &first), 0);
	CHECK_RC(stoa_store_get(store, "other", 5, 0, &second), 0);
	run = run_stoa("who", "other", NULL);
	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	snprintf(self, sizeof(self), "%d", getpid());
	CHECK_HAS(line_with(run->out, "other"), self);
	CHECK_HAS(line_with(run->out, "other"), "test_tool_store"); /* this program */
	CHECK_HAS(line_with(run->out, "other"), "  2  -");
	run = run_stoa("who", "mine", "nothing", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(line_with(run->out, "mine"), "  -  yes");
	CHECK_HAS(run->err, "stoa: object 'nothing': ");
	run = run_stoa("who", "nothing", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_STR(run->out, "");
	run = run_stoa("who", "other", "mine", "--json", "--store", daemon.place, NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	snprintf(number, sizeof(number), "\"pid\":%d,", getpid());
	CHECK_HAS(line_with(run->out, "\"id\":\"other\""), number);
	CHECK_HAS(line_with(run->out, "\"id\":\"other\""), "\"leases\":2,\"maker\":false,");
	CHECK_HAS(line_with(run->out, "\"id\":\"mine\""), "\"leases\":0,\"maker\":true,");
	/* All clients but the one that asks. */
	run = run_stoa("who", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, self), "test_tool_store");
	CHECK_LACKS(run->out, " stoa ");
	run = run_stoa("who", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(run->out, number);
	CHECK_HAS(run->out, "\"leases\":2,\"charged\":");
	stoa_object_release(store, &first);
	stoa_object_release(store, &second);
	stoa_store_close(store);
	run = run_stoa("who", "other", "--json", NULL);
	CHECK_STR(run->out, "");
	CHECK_EQ(run->status, 0);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(metrics_are_what_a_monitor_reads)
{
	struct daemon daemon;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_EQ(run_stoa("put", "x", NULL)->status, 0);
	run = run_stoa("stat", "--store", "--metrics", NULL);
	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	metrics_check(run->out);
	CHECK(metrics_value(run->out, "stoa_store_objects") == 1);
	CHECK(metrics_value(run->out, "stoa_store_limit_bytes") == (double)(64 * MIB));
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	CHECK_EQ(run_stoa("stat", "--store", "--metrics", NULL)->status, 1);
}

TEST(top_is_a_table_without_a_terminal)
{
	struct stoa_store *store;
	struct daemon daemon;
	const struct run *run;
	char number[40];

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	CHECK_RC(stoa_store_open(NULL, NULL, &store), 0);
	CHECK_RC(stoa_store_put(store, "mine", 4, "data", 4, NULL), 0);
	run = run_stoa("top", "--store", "-i", "20ms", "-n", "2", NULL);
	CHECK_STR(run->err, "");
	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, "memory "), " of 64MiB (");
	CHECK_HAS(line_with(run->out, "memory "), "objects 1  puts/s 0  deletes/s 0");
	CHECK_HAS(line_with(run->out, "test_tool_store"), " 128B ");
	CHECK_LACKS(run->out, "\033");
	run = run_stoa("top", "--store", "-i", "20ms", "-n", "2", "--json", NULL);
	CHECK_EQ(run->status, 0);
	check_json(run->out);
	snprintf(number, sizeof(number), "\"clients\":[{\"pid\":%d,", getpid());
	CHECK_HAS(line_with(run->out, "\"objects\":1,"), number);
	CHECK_EQ(run_stoa("top", "--store", "name", NULL)->status, 2);
	stoa_store_close(store);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	run = run_stoa("top", "--store", "-i", "20ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->err, daemon.place);
}
/* ---- what comes and goes ---- */

TEST(subscribe_tells_what_comes_and_goes)
{
	struct daemon daemon;
	struct job *job;
	const struct run *run;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	make_input("in", "123", 3);
	CHECK_EQ(run_stoa("put", "part-0", job_path("in"), NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "other", NULL)->status, 0);
	job = start_stoa(JOB_NOTHING, job_path("out"), "subscribe", "part-", "--list", "-n", "3", "--json", NULL);
	test_await_sleep((pid_t)job_process(job));
	CHECK_EQ(run_stoa("put", "part-1", NULL)->status, 0);
	CHECK_EQ(run_stoa("put", "party", NULL)->status, 0);
	CHECK_EQ(run_stoa("rm", "--store", "part-0", NULL)->status, 0);
	CHECK_EQ(end_stoa(job), 0);
	run = run_stoa("subscribe", "part-", "--list", "--count=1", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "present");
	CHECK_HAS(run->out, "  part-1\n");
	run = run_stoa("subscribe", "never", "--list", "--json", "--timeout", "20ms", NULL);
	CHECK_EQ(run->status, 1);
	CHECK_HAS(run->out, "{\"event\":\"listed\",\"id\":null,\"size\":null,\"date\":");
	CHECK_HAS(run->err, "subscribe: nothing happened in 20ms");
	/* Asked to end, and without a reader. */
	job = start_stoa(JOB_NOTHING, JOB_NOTHING, "subscribe", NULL);
	test_await_sleep((pid_t)job_process(job));
	CHECK_SYS(kill((pid_t)job_process(job), SIGINT));
	CHECK_INT(end_stoa(job), !=, 0);
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
}

TEST(subscribe_tells_the_end_of_the_server)
{
	struct daemon daemon;
	struct job *job;

	start_daemon(&daemon, "s", "--limit=64MiB", "-q", NULL);
	job = start_stoa(JOB_NOTHING, JOB_NOTHING, "subscribe", NULL);
	test_await_sleep((pid_t)job_process(job));
	CHECK_EQ(end_daemon(&daemon, SIGTERM), 0);
	CHECK_EQ(end_stoa(job), 1);
}
