/* SPDX-License-Identifier: MIT */
/* What Windows cannot do is refused by name, and nothing has changed then. */
#include <segment/common.h>

#include <os/win32/names.h>

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
	struct stoa_capabilities found;
	struct stoa_segment *segment;

	CHECK_RC(stoa_inspect_capabilities(&found), 0);
	CHECK_EQ(found.gives_back, 0);

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

/* A view has at most the access that it was mapped with; the main map of a segment reads and writes. */
TEST(no_view_is_given_more_than_it_was_mapped_with)
{
	struct stoa_segment_options options = {.commit = PAGE, .flags = STOA_EXECUTABLE};
	struct stoa_segment *segment;
	void *view;

	CHECK_RC(stoa_segment_create(NULL, MIB, &options, &segment), 0);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_EXEC), -STOA_ERIGHTS);
	check_detail("map another view");
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ), 0);
	CHECK_EQ(touch(bytes_of(segment)), REFUSED);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), 0);
	CHECK_EQ(touch(bytes_of(segment)), 0);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_EXEC, &view), 0);
	CHECK_RC(os_protect(view, PAGE, OS_READ | OS_WRITE), -STOA_ERIGHTS);
	CHECK_RC(os_protect(view, PAGE, OS_READ), 0);
	CHECK_RC(os_protect(view, PAGE, OS_READ | OS_EXEC), 0);
	CHECK_RC(stoa_view_unmap(view, PAGE), 0);
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

/* ---- names that another user was first with ---- */

static struct stoa_segment *segment_of(const char *name)
{
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, MIB, NULL, &segment), 0);
	return segment;
}

static int count_none(const struct stoa_segment_entry *entry, void *argument)
{
	(void)entry, (void)argument;
	return 0;
}

/* As another user makes objects who wants everybody to use them. */
static SECURITY_ATTRIBUTES *of_a_stranger(void)
{
	static SECURITY_DESCRIPTOR descriptor;
	static SECURITY_ATTRIBUTES attributes = {sizeof(attributes), &descriptor, FALSE};
	static unsigned char owner[SECURITY_MAX_SID_SIZE];
	DWORD room = sizeof(owner);

	CHECK(CreateWellKnownSid(WinBuiltinGuestsSid, NULL, owner, &room));
	CHECK(InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION));
	CHECK(SetSecurityDescriptorOwner(&descriptor, owner, FALSE));
	CHECK(SetSecurityDescriptorDacl(&descriptor, TRUE, NULL, FALSE));
	return &attributes;
}

/* Windows lets few give their objects away. */
static HANDLE stolen(HANDLE object)
{
	if (!object)
		SKIP("no object of another user can be made up here: error %lu", GetLastError());
	return object;
}

static HANDLE steal_section(const char *name, DWORD kind, uint64_t size)
{
	return stolen(CreateFileMappingA(INVALID_HANDLE_VALUE, of_a_stranger(), PAGE_READWRITE | kind,
					 (DWORD)(size >> 32), (DWORD)size, name));
}

static const char *full(const char *space, const char *kind, const char *name)
{
	static char texts[4][300];
	static unsigned next;
	char *text = texts[next++ % CC_COUNT(texts)];

	snprintf(text, sizeof(texts[0]), "%s\\stoa.%s.%s", space, kind, name);
	return text;
}

static void check_stolen(const char *name, int unlinked)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_create(name, MIB, NULL, &segment), -STOA_EACCES);
	check_detail("another user");
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_EACCES);
	check_detail("another user");
	CHECK_RC(stoa_segment_open(name, &reader, &segment), unlinked);
	CHECK_RC(stoa_segment_create_or_open(name, MIB, NULL, &segment), -STOA_EACCES);
	CHECK_RC(stoa_segment_unlink(name, 0), -STOA_EACCES);
	CHECK(segment == NULL);
}

TEST(a_strangers_gate_is_not_used)
{
	const char *name = test_name("gate");
	HANDLE gate = stolen(CreateMutexA(of_a_stranger(), FALSE, full("Local", "g", name)));

	check_stolen(name, -STOA_ENOENT);
	CloseHandle(gate);
	stoa_segment_close(segment_of(name));
}

/* It leads to a segment of ours even: its owner could lead our programs elsewhere at any time. */
TEST(a_strangers_record_is_not_believed)
{
	const char *name = test_name("record");
	struct stoa_segment *segment = segment_of(test_name("good"));
	HANDLE record = steal_section(full("Local", "n", name), SEC_COMMIT, PAGE);
	struct names_page *page = names_map_record(record, FILE_MAP_WRITE);
	unsigned char id[MEMORY_ID_BYTES];

	CHECK(page);
	CHECK(memory_id(segment->memory, id));
	names_write_record(page, 0, id, NULL, 0);
	check_stolen(name, -STOA_EACCES);
	CHECK_EQ(page->id[0], id[0]);
	UnmapViewOfFile(page);
	CloseHandle(record);
	stoa_segment_close(segment);
	stoa_segment_close(segment_of(name));
}

TEST(a_strangers_object_is_not_opened)
{
	static const unsigned char id[MEMORY_ID_BYTES] = {0x5a};
	const char *name = test_name("object");
	HANDLE object = steal_section(full("Local", "o", "5a000000000000000000000000000000"), SEC_RESERVE, 8 * MIB);
	struct stoa_segment *segment = segment_of(name);
	HANDLE record = (HANDLE)os_name_handle(segment->name);
	struct names_page *page = names_map_record(record, FILE_MAP_WRITE);

	CHECK(page);
	names_write_record(page, 0, id, NULL, 0);
	check_stolen(name, -STOA_EACCES);
	UnmapViewOfFile(page);
	stoa_segment_close(segment);
	CloseHandle(object);
}

/* What everybody may read can be made by anybody: with nothing behind it, or with a file that goes. */
static void check_unreadable(const char *name, HANDLE record)
{
	struct stoa_segment_options options = {.flags = STOA_GLOBAL | STOA_READ_ONLY};
	struct stoa_segment *segment = NULL;

	CHECK_RC(stoa_segment_open(name, &options, &segment), -STOA_EFORMAT);
	CHECK_RC(stoa_segment_list(STOA_GLOBAL, count_none, NULL), 0);
	CloseHandle(record);
}

TEST(records_that_cannot_be_touched)
{
	const char *name = test_name("empty"), *path = full("Global", "n", name);
	char file[300];
	HANDLE handle;

	check_unreadable(name, steal_section(path, SEC_RESERVE, PAGE));
	snprintf(file, sizeof(file), "%s\\record", test_dir());
	handle = CreateFileA(file, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_FLAG_DELETE_ON_CLOSE, NULL);
	CHECK(handle != INVALID_HANDLE_VALUE);
	check_unreadable(name,
			 stolen(CreateFileMappingA(handle, of_a_stranger(), PAGE_READWRITE, 0, (DWORD)PAGE, path)));
	CloseHandle(handle);
}
