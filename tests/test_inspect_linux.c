/* SPDX-License-Identifier: MIT */
/* As test_inspect.c, where names and their memory outlive their users: on Windows they go with the last handle. */
#include <harness/test.h>

#include <unistd.h>

#include <stoa/stoa.h>

static void make_and_die(void *argument)
{
	struct stoa_segment_options options = {.commit = 8192, .flags = *(const uint32_t *)argument};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(test_name("x"), 1 << 20, &options, &segment), 0);
	_exit(0);
}

static void count_dead(void *argument, int severity, const char *sentence)
{
	CHECK_EQ(severity, STOA_REMARK);
	*(unsigned *)argument += strstr(sentence, "its users are dead") != NULL;
}

TEST(what_the_dead_left_is_looked_at_and_stays)
{
	static uint32_t flags[] = {0, STOA_RAW, STOA_PERSISTENT};
	struct stoa_inspector *inspector;
	struct stoa_inspection is;
	struct stoa_segment *segment;
	uint32_t removed;

	for (size_t i = 0; i < CC_COUNT(flags); i++) {
		unsigned told = 0;

		CHECK_EQ(test_join(test_role(make_and_die, &flags[i])), 0);
		for (unsigned k = 0; k < 2; k++) {
			CHECK_RC(stoa_inspect_open(test_name("x"), 0, &inspector), 0);
			CHECK_RC(stoa_inspect_get(inspector, &is), 0);
			CHECK_EQ(is.left, flags[i] != STOA_PERSISTENT);
			CHECK_EQ(is.committed, 8192);
			CHECK_EQ(is.reserve, 1 << 20);
			CHECK_RC(stoa_inspect_check(inspector, count_dead, &told), 0);
			stoa_inspect_close(inspector);
		}
		CHECK_EQ(told, flags[i] == STOA_PERSISTENT ? 0 : 2);
		CHECK_RC(stoa_segment_gc(0, &removed), 0);
		CHECK_EQ(removed, flags[i] != STOA_PERSISTENT);
	}
	CHECK_RC(stoa_segment_unlink(test_name("x"), 0), 0);
	CHECK_RC(stoa_segment_open(test_name("x"), NULL, &segment), -STOA_ENOENT);
}
