/* SPDX-License-Identifier: MIT */
/*
 * One segment and one process at a time: creation, what a commit does and does not do, views, access, numbers. Uses the public API; looks at the memory object only where the promise is about the object.
 */
#include <segment/common.h>

static struct stoa_segment *make(uint64_t reserve, uint64_t commit, uint32_t flags)
{
	struct stoa_segment_options options = {.commit = commit, .flags = flags};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, reserve, &options, &segment), 0);
	return segment;
}

TEST(commit_makes_exactly_the_pages)
{
	struct stoa_segment *segment = make(300 * GIB, 0, 0);
	unsigned char *data = bytes_of(segment);

	CHECK_EQ(stoa_segment_reserve(segment), 300 * GIB);
	CHECK_EQ(stoa_segment_committed(segment), 0);
	CHECK_EQ(touch(data), ABSENT);
	CHECK_RC(stoa_segment_commit(segment, 5000), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_EQ(blocks(segment), 3 * PAGE);
	CHECK_EQ(touch(data + 2 * PAGE - 1), 0);
	CHECK_EQ(data[2 * PAGE - 1], 1);
	CHECK_EQ(touch(data + 2 * PAGE), ABSENT);
	CHECK_RC(stoa_segment_commit(segment, 1), 0);
	CHECK_RC(stoa_segment_commit(segment, 0), 0);
	CHECK_EQ(stoa_segment_committed(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_commit(segment, 300 * GIB + 1), -STOA_ERANGE);
	CHECK_RC(stoa_segment_commit(NULL, 1), -STOA_EINVAL);
	stoa_segment_close(segment);
}

TEST(smallest_segments)
{
	struct stoa_segment *segment = make(1, 1, 0);
	struct stoa_segment_stat stat;

	CHECK_EQ(blocks(segment), 2 * PAGE);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.reserve, PAGE);
	CHECK_EQ(stat.committed, PAGE);
	CHECK_EQ(stat.owner, os_user_id());
	CHECK_INT(stat.resident, >=, 2 * PAGE);
	CHECK_INT(stat.resident, <=, 3 * PAGE);
	CHECK_EQ(stat.roster_slots, 1023);
	CHECK_EQ(stat.roster_alive, 0);
	CHECK(stat.identity != 0);
	stoa_segment_close(segment);
	segment = make(1, 1, STOA_RAW);
	CHECK_EQ(blocks(segment), PAGE);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.identity, 0);
	CHECK_EQ(stat.roster_slots, 0);
	stoa_segment_close(segment);
}

TEST(the_largest_reserve)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, STOA_RESERVE_MAX + 1, NULL, &segment), -STOA_EINVAL);
	CHECK_RC(stoa_segment_create(NULL, 0, NULL, &segment), -STOA_EINVAL);
	need_room(STOA_RESERVE_MAX);
	CHECK_RC(stoa_segment_create(NULL, STOA_RESERVE_MAX, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + STOA_RESERVE_MAX - 1), ABSENT);
	stoa_segment_close(segment);
}

static int never_called(const struct stoa_segment_entry *entry, void *argument)
{
	(void)entry, (void)argument;
	return -STOA_EIO;
}

TEST(options_are_checked)
{
	static const struct {
		struct stoa_segment_options options;
		const char *detail;
	} wrong[] = {
		{{.flags = UINT32_C(1) << 31}, "creating a segment does not take 0x80000000"},
		{{.flags = STOA_READ_ONLY}, "creating a segment does not take STOA_READ_ONLY"},
		{{.flags = STOA_FILE_CREATE | 0x600}, "does not take STOA_FILE_CREATE|0x600"},
		{{.flags = STOA_READ_ONLY | STOA_ANY_KIND}, "does not take STOA_READ_ONLY|STOA_ANY_KIND"},
		{{.flags = STOA_PERSISTENT}, "without a name"},
		{{.flags = STOA_GLOBAL}, "without a name"},
		{{.flags = STOA_WORLD_READABLE}, "without a name"},
		{{.huge = 3}, "huge 3 is none"},
		{{.roster_slots = 16384}, "at most 16383"},
		{{.reserved = 1}, "'reserved' is 1, not 0"},
	};
	struct stoa_segment_options too_much = {.commit = 2 * PAGE};
	struct stoa_segment_stat stat;
	struct stoa_segment *segment = NULL;

	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		check_refusal(stoa_segment_create(NULL, PAGE, &wrong[i].options, &segment), wrong[i].detail);
	CHECK_RC(stoa_segment_create(NULL, PAGE, &too_much, &segment), -STOA_ERANGE);
	check_refusal(stoa_segment_create(NULL, PAGE, NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_create_or_open(NULL, PAGE, NULL, &segment), "create-or-open needs a name");
	check_refusal(stoa_segment_open(NULL, NULL, &segment), "no name to open");
	check_refusal(stoa_segment_open("x", NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_unlink(NULL, 0), "no name to unlink");
	check_refusal(stoa_segment_unlink("x", STOA_RAW | STOA_GLOBAL), "unlinking does not take STOA_RAW");
	check_refusal(stoa_segment_list(STOA_RAW, never_called, NULL), "listing does not take STOA_RAW");
	check_refusal(stoa_segment_list(0, NULL, NULL), "no function");
	check_refusal(stoa_segment_gc(0x40, NULL), "cleaning up does not take STOA_FILE_CREATE");
	check_refusal(stoa_segment_stat(NULL, &stat), "no segment");
	CHECK(segment == NULL);
	stoa_segment_close(NULL);
}

TEST(views_show_the_same_bytes)
{
	struct stoa_segment *segment = make(GIB, 8 * PAGE, 0);
	unsigned char *data = bytes_of(segment), *view;
	void *address;

	CHECK_RC(stoa_view_map(segment, 2 * PAGE, 3 * PAGE, STOA_READ | STOA_WRITE, &address), 0);
	view = address;
	data[2 * PAGE + 7] = 42;
	CHECK_EQ(view[7], 42);
	view[8] = 43;
	CHECK_EQ(data[2 * PAGE + 8], 43);
	CHECK_RC(stoa_view_unmap(view, 3 * PAGE), 0);

	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE | STOA_PRIVATE, &address), 0);
	view = address;
	view[0] = 9;
	CHECK_EQ(data[0], 0);
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);

	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ, &address), 0);
	CHECK_EQ(touch(address), REFUSED);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);

	/* Not committed yet: faults now, works after the commit. */
	CHECK_RC(stoa_view_map(segment, 8 * PAGE, PAGE, STOA_READ | STOA_WRITE, &address), 0);
	CHECK_EQ(touch(address), ABSENT);
	CHECK_RC(stoa_segment_commit(segment, 9 * PAGE), 0);
	CHECK_EQ(touch(address), 0);
	CHECK_EQ(data[8 * PAGE], 1);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);
	stoa_segment_close(segment);
}

TEST(views_are_checked)
{
	struct stoa_segment *segment = make(GIB, PAGE, 0);
	void *address = NULL;

	CHECK_RC(stoa_view_map(segment, 1, PAGE, STOA_READ, &address), -STOA_EINVAL);
	CHECK_RC(stoa_view_map(segment, 0, 0, STOA_READ, &address), -STOA_EINVAL);
	check_refusal(stoa_view_map(segment, 0, PAGE, 16, &address), "access to a segment does not take 0x10");
	check_refusal(stoa_view_map(NULL, 0, PAGE, STOA_READ, &address), "no segment");
	check_refusal(stoa_view_map(segment, 0, PAGE, STOA_READ, NULL), "no place for the view's address");
	check_refusal(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_PRIVATE),
		      "STOA_PRIVATE is for views only");
	check_refusal(stoa_segment_seal(segment, STOA_SEAL_GROW | 0x40), "sealing does not take 0x40");
	check_refusal(stoa_segment_seal(NULL, 0), "no segment");
	check_refusal(stoa_segment_stat(segment, NULL), "no place for the statistics");
	CHECK_RC(stoa_view_map(segment, GIB - PAGE, 2 * PAGE, STOA_READ, &address), -STOA_ERANGE);
	CHECK_RC(stoa_view_map(segment, 0, UINT64_MAX, STOA_READ, &address), -STOA_ERANGE);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_EXEC, &address), -STOA_ERIGHTS);
	CHECK_RC(stoa_view_unmap((char *)stoa_segment_address(segment) + 1, PAGE), -STOA_EINVAL);
	CHECK(address == NULL);
	stoa_segment_close(segment);
}

#if defined(__x86_64__)
/* The kernel's to refuse; the sentence is the system's. */
TEST(seals_of_what_has_a_name)
{
	struct stoa_segment_options options = {.commit = PAGE};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(test_name("sealed"), MIB, &options, &segment), 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_WRITE), -STOA_ENOTSUP);
	check_detail("seals");
	CHECK_EQ(touch(bytes_of(segment)), 0); /* nothing has changed */
	check_refusal(stoa_segment_seal(segment, 0x100), "sealing does not take 0x100");
	stoa_segment_close(segment);
	/* An unnamed one cannot be cut on any system; saying so again is no error. */
	segment = make(MIB, PAGE, 0);
	CHECK_RC(stoa_segment_seal(segment, STOA_SEAL_SHRINK), 0);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	stoa_segment_close(segment);
}

TEST(executable_views)
{
	static const unsigned char return_42[] = {0xb8, 42, 0, 0, 0, 0xc3};
	struct stoa_segment *segment = make(MIB, PAGE, STOA_EXECUTABLE);
	int (*function)(void);
	void *address;

	memcpy(bytes_of(segment), return_42, sizeof(return_42));
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_EXEC, &address), 0);
	memcpy(&function, &address, sizeof(function));
	CHECK_EQ(function(), 42);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);
	stoa_segment_close(segment);
}
#endif

TEST(protect_changes_this_process)
{
	struct stoa_segment *segment = make(GIB, 8 * PAGE, 0);
	unsigned char *data = bytes_of(segment);

	CHECK_RC(stoa_segment_protect(segment, PAGE, 2 * PAGE, STOA_READ), 0);
	CHECK_EQ(touch(data), 0);
	CHECK_EQ(touch(data + PAGE), REFUSED);
	CHECK_EQ(probe_byte(data + PAGE, false), 0);
	CHECK_RC(stoa_segment_protect(segment, PAGE, PAGE, STOA_NONE), 0);
	CHECK_EQ(probe_byte(data + PAGE, false), REFUSED);
	CHECK_RC(stoa_segment_protect(segment, 0, 8 * PAGE, STOA_READ | STOA_WRITE), 0);
	CHECK_EQ(touch(data + PAGE), 0);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_EXEC), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_PRIVATE), -STOA_EINVAL);
	CHECK_RC(stoa_segment_protect(segment, 7, PAGE, STOA_READ), -STOA_EINVAL);
	CHECK_RC(stoa_segment_protect(segment, GIB, PAGE, STOA_READ), -STOA_ERANGE);
	stoa_segment_close(segment);
}

TEST(a_page_at_a_time)
{
	struct stoa_segment *segment = make(GIB, 0, 0);

	for (uint64_t length = PAGE; length <= 4 * MIB; length += PAGE) {
		CHECK_RC(stoa_segment_commit(segment, length), 0);
		bytes_of(segment)[length - 1] = 1;
	}
	CHECK_EQ(stoa_segment_committed(segment), 4 * MIB);
	CHECK_EQ(blocks(segment), 4 * MIB + PAGE);
	stoa_segment_close(segment);
}

TEST(roster_pages_are_backed_on_demand)
{
	struct stoa_segment *segment = make(GIB, 0, 0);

	CHECK_EQ(blocks(segment), PAGE);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1), 0);
	CHECK_RC(segment_back_slot(segment, 1022), 0);
	CHECK_EQ(blocks(segment), 3 * PAGE);
	CHECK_RC(segment_back_slot(segment, 1023), 0);
	CHECK_RC(segment_back_slot(segment, 0), -STOA_EINVAL);
	CHECK_RC(segment_back_slot(segment, 1024), -STOA_EINVAL);
	stoa_segment_close(segment);
}

static struct stoa_segment *crowded;

/* Threads of one process share the handle: what each of them commits is there for it, whoever was first. */
static void commit_in_a_crowd(void *argument)
{
	_Atomic uint32_t *next = argument;
	uint32_t mine;

	while ((mine = atomic_fetch_add(next, 1)) < 512) {
		CHECK_RC(stoa_segment_commit(crowded, (mine + 1) * PAGE), 0);
		bytes_of(crowded)[mine * PAGE] = 1;
		CHECK_RC(segment_back_slot(crowded, mine % 8 + 1), 0);
	}
}

TEST_THREADS(a_crowd_of_committers, 60)
{
	_Atomic uint32_t *next = test_shared(sizeof(*next));
	pid_t roles[4];

	crowded = make(GIB, 0, 0);
	test_share(&crowded, NULL);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		roles[i] = test_role(commit_in_a_crowd, next);
	for (size_t i = 0; i < CC_COUNT(roles); i++)
		CHECK_EQ(test_join(roles[i]), 0);
	CHECK_EQ(blocks(crowded), 512 * PAGE + 8 * PAGE + PAGE);
	stoa_segment_close(crowded);
}
