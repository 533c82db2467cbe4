/* SPDX-License-Identifier: MIT */
/* As test_kill.c, of what no other system has: memory that is shared is cut. */
#include <kill/kill.h>

static void commit(unsigned number)
{
	static uint64_t length = 4096;
	volatile uint64_t *last;

	length = length % (UINT64_C(32) << 20) + 64 * 4096;
	CHECK_RC(stoa_segment_commit(segment, length), 0);
	last = (uint64_t *)(void *)((char *)stoa_segment_address(segment) + 4096);
	*last = number;
}

static void shrink(unsigned number)
{
	CHECK_RC(stoa_segment_shrink(segment, 4096 + 64 * 4096), 0);
	commit(number);
}

TEST_TIMEOUT(committers_and_shrinkers, 240)
{
	KILL_EACH_IN(STOA_SHRINKABLE, ROLE("committer", commit, 2, false, AT_WORK),
		     ROLE("shrinker", shrink, 1, false, AT_WORK));
}
