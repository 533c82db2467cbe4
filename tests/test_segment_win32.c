/* SPDX-License-Identifier: MIT */
/* What Windows cannot do is refused by name, and nothing has changed then. */
#include <segment/common.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <winternl.h>

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

/* ---- sessions ---- */

static bool mutex_exists(const char *space, const struct segment_header *header)
{
	char name[128];
	HANDLE mutex;

	snprintf(name, sizeof(name), "%s\\stoa.l.%016llx%016llx.%x.1", space, (unsigned long long)header->identity[0],
		 (unsigned long long)header->identity[1], (unsigned)(OS_PAGE + OS_LIFE_OFFSET));
	mutex = OpenMutexA(SYNCHRONIZE, FALSE, name);
	if (mutex)
		CloseHandle(mutex);
	return mutex;
}

static void check_space(const char *name, uint32_t flags, const char *space, const char *other)
{
	struct stoa_segment_options options = {.commit = PAGE, .flags = flags};
	struct segment_header header;
	struct stoa_segment *segment;
	int rc = stoa_segment_create(name, MIB, &options, &segment);

	if (rc == -STOA_EACCES)
		SKIP("no global names: %s", stoa_error_detail());
	CHECK_RC(rc, 0);
	CHECK_RC(header_read(segment->memory, &header), 0);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), STOA_OWNED), 0);
	CHECK(mutex_exists(space, &header));
	CHECK(!mutex_exists(other, &header));
	stoa_segment_close(segment);
}

/* What proves that a thread lives is seen wherever its segment is: else other sessions would take its locks from it. */
TEST(lives_are_seen_where_their_segment_is)
{
	DWORD session = 0;

	CHECK(ProcessIdToSessionId(GetCurrentProcessId(), &session));
	if (!session)
		SKIP("session 0 has the names of the host");
	check_space(test_name("local"), 0, "Local", "Global");
	check_space(NULL, 0, "Local", "Global");
	check_space(test_name("global"), STOA_GLOBAL, "Global", "Local");
}

static void find_native(const char *name, void *ret_function)
{
	FARPROC found = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name);

	CHECK(found);
	memcpy(ret_function, &found, sizeof(found));
}

static HANDLE make_directory(const wchar_t *path)
{
	UNICODE_STRING name = {(USHORT)(wcslen(path) * 2), (USHORT)(wcslen(path) * 2), (wchar_t *)(uintptr_t)path};
	OBJECT_ATTRIBUTES attributes;
	LONG(NTAPI * create)(HANDLE * directory, ACCESS_MASK access, OBJECT_ATTRIBUTES * attributes);
	HANDLE directory = NULL;

	find_native("NtCreateDirectoryObject", &create);
	InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
	if (create(&directory, GENERIC_ALL, &attributes) < 0)
		SKIP("no other session can be made up here");
	return directory;
}

/* A section as a program of another session makes it. */
static HANDLE make_elsewhere(uint64_t size)
{
	static wchar_t path[] = L"\\Sessions\\77\\BaseNamedObjects\\stoa.o.00112233445566778899aabbccddeeff";
	UNICODE_STRING name = {sizeof(path) - 2, sizeof(path), path};
	LARGE_INTEGER length = {.QuadPart = (LONGLONG)size};
	OBJECT_ATTRIBUTES attributes;
	LONG(NTAPI * create)
	(HANDLE * section, ACCESS_MASK access, OBJECT_ATTRIBUTES * attributes, LARGE_INTEGER * size, ULONG protection,
	 ULONG kind, HANDLE file);
	HANDLE section = NULL;

	find_native("NtCreateSection", &create);
	InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
	if (create(&section, SECTION_ALL_ACCESS, &attributes, &length, PAGE_READWRITE, SEC_RESERVE, NULL) < 0)
		SKIP("no section of another session can be made up here");
	return section;
}

/* Its memory can be shared. Its threads cannot be told from dead ones, so nothing is taken from them. */
TEST(memory_of_another_session)
{
	HANDLE session = make_directory(L"\\Sessions\\77"), names = make_directory(L"\\Sessions\\77\\BaseNamedObjects");
	struct segment_header header = {.roster_slots = 100, .reserve = MIB};
	struct stoa_segment_stat stat;
	struct stoa_segment *segment;
	struct stoa_mutex *mutex;
	HANDLE section;

	header.data_offset = header_data_offset(header.roster_slots);
	section = make_elsewhere(header.data_offset + MIB + PAGE);
	CHECK_RC(header_seal(&header), 0);
	CHECK_RC(os_memory_set_length((os_handle)section, header.data_offset), 0);
	CHECK_RC(os_memory_write((os_handle)section, 0, &header, sizeof(header)), 0);
	CHECK_RC(stoa_segment_take_descriptor((int)(intptr_t)section, 0, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	mutex = stoa_segment_address(segment);
	memset(mutex, 5, PAGE);
	CHECK_RC(stoa_mutex_init(segment, mutex, 0), -STOA_ENOTSUP);
	check_detail("another session");
	CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_TRY), -STOA_ENOTSUP);
	CHECK_RC(stoa_event_set(segment, stoa_segment_address(segment)), -STOA_ENOTSUP);
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.roster_alive, 0);
	CHECK_EQ(bytes_of(segment)[0], 5);
	stoa_segment_close(segment);
	CloseHandle(names);
	CloseHandle(session);
}
