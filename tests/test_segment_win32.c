/* SPDX-License-Identifier: MIT */
/* What Windows cannot do is refused by name, and nothing has changed then. */
#include <segment/common.h>

static void refused(const char *name, uint32_t flags)
{
	struct stoa_segment_options options = {.flags = flags};
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), -STOA_ENOTSUP);
	check_detail("Windows");
	CHECK(segment == NULL);
}

TEST(no_persistent_names)
{
	refused(test_name("p"), STOA_PERSISTENT);
	CHECK(!name_exists(test_name("p")));
}

TEST(nothing_that_can_be_cut)
{
	refused(NULL, STOA_SHRINKABLE);
	refused(test_name("s"), STOA_SHRINKABLE);
	CHECK(!name_exists(test_name("s")));
}

TEST(memory_is_not_given_back)
{
	struct stoa_segment_options options = {.commit = 4 * PAGE};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	memset(bytes_of(segment), 7, 4 * PAGE);
	CHECK_RC(stoa_segment_discard(segment, 0, 2 * PAGE), -STOA_ENOTSUP);
	check_detail("Windows");
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_GROW), -STOA_ENOTSUP);
	CHECK_RC(stoa_segment_shrink(segment, PAGE), -STOA_ERIGHTS);
	CHECK_EQ(bytes_of(segment)[0], 7);
	CHECK_EQ(bytes_of(segment)[4 * PAGE - 1], 7);
	CHECK_EQ(stoa_segment_committed(segment), 4 * PAGE);
	CHECK_RC(stoa_segment_commit(segment, 5 * PAGE), 0);
	stoa_segment_close(segment);
}
