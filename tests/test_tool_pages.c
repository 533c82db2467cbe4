/* SPDX-License-Identifier: MIT */
/* What the tool says of pagers: pages, where there is no screen; ls, stat and check. */
#include <harness/test.h>

#include "tool/job.h"
#include "tool/run.h"

#include <pager/pager.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa/stoa.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCKS 256

static struct stoa_backing *backing;

/* Ten blocks are there, three of them dirty. */
static struct stoa_pager *make(void)
{
	const struct stoa_pager_options options = {
		.budget = 64 * PAGE, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct stoa_pager *pager;
	volatile unsigned char *bytes;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_backing_memory(BLOCKS * PAGE, &backing), 0);
	CHECK_RC(stoa_pager_create(test_name("p"), backing, &options, &pager), 0);
	bytes = stoa_pager_address(pager);
	for (unsigned i = 0; i < 10; i++)
		(void)bytes[i * PAGE];
	for (unsigned i = 0; i < 3; i++)
		bytes[i * PAGE] = 1;
	return pager;
}

static void drop(struct stoa_pager *pager)
{
	CHECK_RC(stoa_pager_close(pager), 0);
	stoa_backing_close(backing);
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)); text++)
		count++;
	return count;
}

TEST(a_table)
{
	struct stoa_pager *pager = make();
	struct stoa_segment *segment;
	const struct run *run;
	const char *line;

	CHECK_RC(stoa_segment_create(test_name("s"), 1 << 20, NULL, &segment), 0);
	run = run_stoa("pages", "--interval", "1ms", "--count", "2", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_STR(run->err, "");
	CHECK_EQ(count_of(run->out, "  HIT  REFAULT  "), 2);
	CHECK_LACKS(run->out, "\033");
	CHECK_LACKS(run->out, test_name("s"));
	line = line_with(run->out, test_name("p"));
	CHECK(line != NULL);
	CHECK_HAS(line, "    40KiB   16%  12KiB         0        0  23%        -    -    -      1"); /* 3 of 13 */
	run = run_stoa("pages", "-n", "1", "-i", "1ms", "no-such-name", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_LACKS(run->out, test_name("p"));
	stoa_segment_close(segment);
	drop(pager);
}

TEST(a_picture)
{
	struct stoa_pager *pager = make();
	const struct run *run = run_stoa("pages", "--latency", "-i", "1ms", "-n", "1", test_name("p"), NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, ": 1MiB in blocks of 4KiB, budget 256KiB, ");
	CHECK_HAS(run->out, "how long faults took since it was made:\n");
	CHECK_HAS(run->out, " ####");
	drop(pager);
}

TEST(lines_for_programs)
{
	struct stoa_pager *pager = make();
	const struct run *run = run_stoa("pages", "--json", "--count", "2", "--interval", "1ms", NULL);
	char member[64];

	CHECK_EQ(run->status, 0);
	check_json(run->out);
	check_json_in_python(run->out);
	CHECK_EQ(count_of(run->out, test_name("p")), 2);
	CHECK_HAS(run->out, "\"block\":4096,\"budget\":64,");
	CHECK_HAS(run->out, "\"resident_blocks\":10,\"clean\":7,\"dirty\":3,\"busy\":0,\"poisoned\":0,\"pinned\":0,");
	CHECK_EQ(count_of(run->out, "\"hit_ratio\":0.230769231,"), 2);
	CHECK_EQ(count_of(run->out, "\"hits\":3,\"misses\":10,"), 2);
	CHECK_HAS(run->out, "\"faults\":13,\"waits\":0,\"fills\":10,\"fill_calls\":10,\"refaults\":0,\"opens\":3,");
	snprintf(member, sizeof(member), "\"members\":[{\"process\":%d,\"alive\":true,\"place\":0,", (int)getpid());
	CHECK_HAS(run->out, member);
	drop(pager);
}

/* Each line, until one has the part: none of those before has anything but what was `before`. */
static void await_line(struct job *job, const char *before, const char *part)
{
	char line[8192];
	size_t used;

	do {
		for (used = 0; used == 0 || line[used - 1] != '\n'; used++) {
			CHECK(used < sizeof(line) - 1);
			CHECK_EQ(read_job(job, line + used, 1), 1);
		}
		line[used] = 0;
		if (!strstr(line, part))
			CHECK_HAS(line, before);
	} while (!strstr(line, part));
}

/* What was seen since the look before, and else all. */
TEST(hits_of_now)
{
	struct stoa_pager *pager = make();
	volatile unsigned char *bytes = stoa_pager_address(pager);
	struct job *job =
		start_stoa(JOB_NOTHING, JOB_PIPE, "pages", "--json", "--interval", "100ms", test_name("p"), NULL);

	await_line(job, "\"hit_ratio\":0.230769231,", "\"hit_ratio\":0.230769231,");
	for (unsigned i = 3; i < 10; i++)
		bytes[i * PAGE] = 1;
	await_line(job, "\"hit_ratio\":0.230769231,", "\"hit_ratio\":1,");
	await_line(job, "\"hit_ratio\":1,", "\"hit_ratio\":0.5,"); /* 10 of 20 */
	kill_stoa(job);
	drop(pager);
}

TEST(hits_of_nothing)
{
	const struct stoa_pager_options options = {.budget = 64 * PAGE, .flags = STOA_PAGER_NO_BACKGROUND};
	struct stoa_pager *pager;
	const struct run *run;

	CHECK_RC(stoa_pager_install_handlers(), 0);
	CHECK_RC(stoa_backing_memory(BLOCKS * PAGE, &backing), 0);
	CHECK_RC(stoa_pager_create(test_name("p"), backing, &options, &pager), 0);
	run = run_stoa("pages", "--json", "-n", "1", "-i", "1ms", NULL);
	check_json_in_python(run->out);
	CHECK_HAS(run->out, "\"hit_ratio\":null,");
	run = run_stoa("pages", "-n", "1", "-i", "1ms", NULL);
	CHECK_HAS(line_with(run->out, test_name("p")),
		  "         0    0%      0         0        0    -        -    -    -      1");
	drop(pager);
}

/* In another process, which has no backing: what the first filled has only to be shown there. */
static int sockets[2];

static void touch_what_is_there(void *argument)
{
	struct stoa_pager *pager;
	volatile unsigned char *bytes;

	(void)argument;
	CHECK_RC(stoa_pager_receive_with_socket(sockets[1], NULL, &pager), 0);
	bytes = stoa_pager_address(pager);
	for (unsigned i = 0; i < 6; i++)
		(void)bytes[i * PAGE];
	CHECK_RC(stoa_pager_close(pager), 0);
}

TEST(hits_of_another_process)
{
	const struct stoa_pager_options options = {
		.way = STOA_PAGER_SERVED, .budget = 64 * PAGE, .read_ahead = 1, .flags = STOA_PAGER_NO_BACKGROUND};
	struct stoa_pager_stat stat;
	struct stoa_pager *pager;
	const struct run *run;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
	CHECK_RC(stoa_backing_memory(BLOCKS * PAGE, &backing), 0);
	if (stoa_pager_create(test_name("p"), backing, &options, &pager) == -STOA_ENOTSUP)
		SKIP("no userfaultfd here");
	for (unsigned i = 0; i < 4; i++)
		(void)((volatile unsigned char *)stoa_pager_address(pager))[i * PAGE];
	CHECK_RC(stoa_pager_send_with_socket(pager, sockets[0]), 0);
	CHECK_EQ(test_join(test_role(touch_what_is_there, NULL)), 0);
	while (stoa_pager_stat(pager, &stat) == 0 && stat.faults < 10)
		test_nap(1); /* the thread that serves counts after it has woken who touched */
	run = run_stoa("pages", "--json", "-n", "1", "-i", "1ms", NULL);
	CHECK_HAS(run->out, "\"hit_ratio\":0.4,");
	CHECK_HAS(run->out, "\"hits\":4,\"misses\":6,");
	run = run_stoa("pages", "-n", "1", "-i", "1ms", NULL);
	CHECK_HAS(line_with(run->out, test_name("p")), "  40%  ");
	close(sockets[0]);
	close(sockets[1]);
	drop(pager);
}

TEST(ls_and_stat)
{
	struct stoa_pager *pager = make();
	const struct run *run = run_stoa("ls", NULL);
	char member[64];

	CHECK_EQ(run->status, 0);
	CHECK_HAS(line_with(run->out, test_name("p")), " pager ");
	CHECK_HAS(line_with(run->out, test_name("p")), "40KiB of 256KiB there, 3 dirty, 1 process");
	run = run_stoa("ls", "--json", NULL);
	check_json(run->out);
	CHECK_HAS(line_with(run->out, test_name("p")),
		  "\"channel\":null,\"pager\":{\"length\":1048576,\"block\":4096,");
	run = run_stoa("stat", test_name("p"), NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "pager       1MiB in blocks of 4KiB, budget 256KiB, ");
	CHECK_HAS(run->out, "blocks      10 of 64 there: 7 clean, 3 dirty, 0 busy; 0 pinned, 0 poisoned\n");
	CHECK_HAS(run->out, "faults      13, of which 0 waited for others\n");
	CHECK_HAS(run->out, "hits        3 of 13 touches that were seen found their block there: 23%\n");
	CHECK_HAS(run->out, "filled      10 blocks with 10 calls; 0 had been evicted shortly before; 0 failed\n");
	CHECK_HAS(run->out, "members     1 of 1 alive\n");
	snprintf(member, sizeof(member), "process %d: 13 faults, 10 blocks filled, 0 pinned\n", (int)getpid());
	CHECK_HAS(run->out, member);
	run = run_stoa("stat", "--json", test_name("p"), NULL);
	check_json(run->out);
	CHECK_HAS(run->out, "\"pager\":{\"length\":1048576,");
	CHECK_HAS(run->out, "\"latency\":[");
	drop(pager);
}

TEST(check_tells)
{
	struct stoa_pager *pager = make();
	_Atomic uint64_t *word = &pager->words[5];
	uint64_t good = load_rlx(word);
	const struct run *run = run_stoa("check", test_name("p"), NULL);

	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, ": in order\n");
	store_rlx(word, good | WORD_WAITERS);
	run = run_stoa("check", test_name("p"), NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, ": damage: block 5: its word ");
	store_rlx(word, good);
	pager->shared->header.magic[0] ^= 1;
	run = run_stoa("check", test_name("p"), NULL);
	CHECK_EQ(run->status, 3);
	CHECK_HAS(run->out, ": damage: pager: a pager's header without its mark");
	run = run_stoa("pages", "-i", "1ms", "-n", "1", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_LACKS(run->out, test_name("p"));
	run = run_stoa("stat", test_name("p"), NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "kind        pager\n");
	pager->shared->header.magic[0] ^= 1;
	drop(pager);
}

TEST(what_is_asked_wrongly)
{
	const struct run *run = run_stoa("pages", "--sort", "name", NULL);

	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "pages: no option '--sort'");
	run = run_stoa("pages", "--help", NULL);
	CHECK_EQ(run->status, 0);
	CHECK_HAS(run->out, "REFAULT is the share");
	CHECK_HAS(run->out, "HIT is the share");
	run = run_stoa("page", NULL);
	CHECK_EQ(run->status, 2);
	CHECK_HAS(run->err, "did you mean 'pages'?");
}
