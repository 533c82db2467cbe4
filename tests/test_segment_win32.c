/* SPDX-License-Identifier: MIT */
/* What Windows cannot do is refused by name, and nothing has changed then. */
#include <segment/common.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

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

/* ---- who may do what with a handle ---- */

/* A further handle with that access, from one that reads. */
static bool widened(HANDLE reader, DWORD access)
{
	HANDLE wider;

	if (!DuplicateHandle(GetCurrentProcess(), reader, GetCurrentProcess(), &wider, access, FALSE, 0))
		return false;
	CloseHandle(wider);
	return true;
}

static HANDLE reader_of(const struct stoa_segment *segment)
{
	int descriptor;

	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ, &descriptor), 0);
	return (HANDLE)(intptr_t)descriptor;
}

/* Nobody, not even the same user's programs, gets more out of a handle of unnamed memory than it has. */
TEST(a_reader_of_unnamed_memory_stays_one)
{
	struct stoa_segment *segment;
	HANDLE reader;

	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &segment), 0);
	reader = reader_of(segment);
	CHECK(widened(reader, SECTION_MAP_READ | SECTION_QUERY));
	CHECK(!widened(reader, SECTION_MAP_READ | SECTION_MAP_WRITE));
	CHECK(!widened(reader, SECTION_ALL_ACCESS));
	CHECK(!widened(reader, GENERIC_ALL));
	CHECK(MapViewOfFile(reader, FILE_MAP_WRITE, 0, 0, 1) == NULL);
	CHECK(CreateFileMappingW(reader, NULL, PAGE_READWRITE, 0, 0, NULL) == NULL);
	CloseHandle(reader);
	stoa_segment_close(segment);
}

/*
 * The list that says so: the owner may look at it, and by that entry no more, not change it (Wine lets owners change lists
 * whatever they say, so the list is read here).
 */
TEST(the_list_of_unnamed_memory_allows_nothing)
{
	unsigned char room[1024], owners[SECURITY_MAX_SID_SIZE];
	SECURITY_DESCRIPTOR *descriptor = (void *)room;
	DWORD length = sizeof(owners);
	BOOL present, by_default;
	struct stoa_segment *segment;
	ACCESS_ALLOWED_ACE *entry;
	void *found;
	ACL *list;

	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &segment), 0);
	CHECK(CreateWellKnownSid(WinCreatorOwnerRightsSid, NULL, owners, &length));
	CHECK(GetKernelObjectSecurity((HANDLE)segment->memory, DACL_SECURITY_INFORMATION, descriptor, sizeof(room),
				      &length));
	CHECK(GetSecurityDescriptorDacl(descriptor, &present, &list, &by_default) && present && list);
	CHECK_EQ(list->AceCount, 1);
	CHECK(GetAce(list, 0, &found));
	entry = found;
	CHECK_EQ(entry->Header.AceType, ACCESS_ALLOWED_ACE_TYPE);
	CHECK_EQ(entry->Mask, READ_CONTROL);
	CHECK(EqualSid(&entry->SidStart, owners));
	stoa_segment_close(segment);
}

/* Whoever may open the name is trusted: its user's programs may, and so may widen what they have. */
TEST(a_reader_of_a_name_is_its_users)
{
	struct stoa_segment *segment;
	HANDLE reader;

	CHECK_RC(stoa_segment_create(test_name("w"), MIB, NULL, &segment), 0);
	reader = reader_of(segment);
	CHECK(widened(reader, SECTION_MAP_READ | SECTION_MAP_WRITE));
	CloseHandle(reader);
	stoa_segment_close(segment);
}
