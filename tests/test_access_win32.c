/* SPDX-License-Identifier: MIT */
/*
 * Who may do what with the kernel objects that the library makes: this user and nobody else, by his own SID, unless more was granted;
 * and a handle has no more access than it was asked for. Lists are read as the system gives them back, rights as it has mapped them.
 */
#include <segment/channel.h>
#include <segment/common.h>

#include <os/win32/names.h>
#include <os/win32/nt.h>

/* ---- lists ---- */

struct list {
	union {
		SECURITY_DESCRIPTOR descriptor;
		unsigned char bytes[1024];
	} room;
	PSID owner;
	ACL *entries;
};

static unsigned char this_user[SECURITY_MAX_SID_SIZE], everybody[SECURITY_MAX_SID_SIZE], owners[SECURITY_MAX_SID_SIZE],
	the_system[SECURITY_MAX_SID_SIZE];

static void learn_users(void)
{
	DWORD world = sizeof(everybody), own = sizeof(owners), system = sizeof(the_system), length;
	union {
		TOKEN_USER user;
		unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} token_user;
	HANDLE token;

	CHECK(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token));
	CHECK(GetTokenInformation(token, TokenUser, &token_user, sizeof(token_user), &length));
	CHECK(CopySid(sizeof(this_user), this_user, token_user.user.User.Sid));
	CHECK(CreateWellKnownSid(WinWorldSid, NULL, everybody, &world));
	CHECK(CreateWellKnownSid(WinCreatorOwnerRightsSid, NULL, owners, &own));
	CHECK(CreateWellKnownSid(WinLocalSystemSid, NULL, the_system, &system));
	CloseHandle(token);
}

static void read_list(HANDLE object, struct list *list)
{
	BOOL present = FALSE, by_default;
	DWORD length;

	CHECK(GetKernelObjectSecurity(object, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
				      &list->room.descriptor, sizeof(list->room), &length));
	CHECK(GetSecurityDescriptorOwner(&list->room.descriptor, &list->owner, &by_default) && list->owner);
	CHECK(GetSecurityDescriptorDacl(&list->room.descriptor, &present, &list->entries, &by_default));
	CHECK(present && list->entries); /* without a list everybody may do everything */
}

/* What the list allows the SID; nobody is denied anything. */
static DWORD granted(const struct list *list, PSID sid)
{
	DWORD granted = 0;

	for (DWORD i = 0; i < list->entries->AceCount; i++) {
		ACCESS_ALLOWED_ACE *entry;
		void *found;

		CHECK(GetAce(list->entries, i, &found));
		entry = found;
		CHECK_EQ(entry->Header.AceType, ACCESS_ALLOWED_ACE_TYPE);
		if (EqualSid(&entry->SidStart, sid))
			granted |= entry->Mask;
	}
	return granted;
}

static bool is_one_of(const struct list *list, DWORD number, PSID one, PSID other)
{
	void *found;
	PSID sid;

	CHECK(GetAce(list->entries, number, &found));
	sid = &((ACCESS_ALLOWED_ACE *)found)->SidStart;
	return EqualSid(sid, one) || EqualSid(sid, other);
}

/* `all` is what GENERIC_ALL becomes for the kind of object. */
static void check_owner_only(HANDLE object, DWORD all)
{
	SECURITY_DESCRIPTOR_CONTROL control;
	struct list list;
	DWORD rights, revision;

	read_list(object, &list);
	CHECK(EqualSid(list.owner, this_user));
	CHECK_EQ(list.entries->AceCount, 1);
	/* Nothing is added that a folder would hand down. */
	CHECK(GetSecurityDescriptorControl(&list.room.descriptor, &control, &revision));
	CHECK(control & SE_DACL_PROTECTED);
	rights = granted(&list, this_user);
	CHECK(rights & GENERIC_ALL || (rights & all) == all);
}

/* Everybody may read too, and do nothing else. */
static void check_world_readable(HANDLE section)
{
	const DWORD reading = GENERIC_READ | SECTION_MAP_READ | SECTION_QUERY | READ_CONTROL;
	struct list list;
	DWORD rights;

	read_list(section, &list);
	CHECK(EqualSid(list.owner, this_user));
	CHECK_EQ(list.entries->AceCount, 2);
	rights = granted(&list, this_user);
	CHECK(rights & GENERIC_ALL || (rights & SECTION_ALL_ACCESS) == SECTION_ALL_ACCESS);
	rights = granted(&list, everybody);
	CHECK(rights & (GENERIC_READ | SECTION_MAP_READ));
	CHECK_EQ(rights & ~reading, 0);
}

/* ---- every object that has a name ---- */

enum { SECTION, NAME_RECORD, GATE_MUTEX, WORD_EVENT, LIFE_MUTEX, KINDS };
static const struct {
	const wchar_t *prefix, *type;
	DWORD all;
} kinds[KINDS] = {
	[SECTION] = {L"stoa.o.", L"Section", SECTION_ALL_ACCESS},
	[NAME_RECORD] = {L"stoa.n.", L"Section", SECTION_ALL_ACCESS},
	[GATE_MUTEX] = {L"stoa.g.", L"Mutant", MUTEX_ALL_ACCESS},
	[WORD_EVENT] = {L"stoa.w.", L"Event", EVENT_ALL_ACCESS},
	[LIFE_MUTEX] = {L"stoa.l.", L"Mutant", MUTEX_ALL_ACCESS},
};

static HANDLE open_directory(void)
{
	wchar_t path[64];
	DWORD session = 0;
	struct nt_text text = {.text = path};
	struct nt_object_attributes attributes = {.length = sizeof(attributes), .name = &text};
	HANDLE directory = NULL;

	CHECK(ProcessIdToSessionId(GetCurrentProcessId(), &session));
	if (session)
		swprintf(path, CC_COUNT(path), L"\\Sessions\\%lu\\BaseNamedObjects", session);
	else
		wcscpy(path, L"\\BaseNamedObjects");
	text.bytes = (USHORT)(wcslen(path) * sizeof(*path));
	text.room = sizeof(path);
	CHECK(NT_DONE(nt_functions()->open_directory(&directory, NT_DIRECTORY_QUERY, &attributes)));
	return directory;
}

static HANDLE open_by_kind(unsigned kind, const wchar_t *name)
{
	wchar_t path[MAX_PATH];

	swprintf(path, CC_COUNT(path), L"Local\\%ls", name);
	switch (kind) {
	case SECTION:
	case NAME_RECORD: return OpenFileMappingW(READ_CONTROL, FALSE, path);
	case WORD_EVENT: return OpenEventW(READ_CONTROL, FALSE, path);
	default: return OpenMutexW(READ_CONTROL, FALSE, path);
	}
}

/* Unnamed memory is not even this user's to open: see test_segment_win32.c. */
static bool is_unnamed(HANDLE memory)
{
	struct list list;

	read_list(memory, &list);
	CHECK(EqualSid(list.owner, this_user));
	return list.entries->AceCount == 1 && granted(&list, owners) == READ_CONTROL;
}

static void check_entry(const struct nt_directory_entry *entry, unsigned *seen)
{
	wchar_t name[MAX_PATH] = L"";
	HANDLE object;

	for (unsigned kind = 0; kind < KINDS; kind++) {
		size_t length = wcslen(kinds[kind].prefix);

		if (entry->name.bytes / sizeof(*name) < length ||
		    wcsncmp(entry->name.text, kinds[kind].prefix, length) != 0)
			continue;
		CHECK(wcsncmp(entry->type.text, kinds[kind].type, wcslen(kinds[kind].type)) == 0);
		memcpy(name, entry->name.text, entry->name.bytes);
		object = open_by_kind(kind, name);
		if (!object) /* of another test, and gone; or its end's place is not */
			continue;
		if (kind != SECTION || !is_unnamed(object))
			check_owner_only(object, kinds[kind].all);
		CloseHandle(object);
		seen[kind]++;
	}
	if (wcsncmp(entry->name.text, L"stoa.", 5) != 0)
		return;
	/* A kind that this test does not know would not be looked at. */
	CHECK(wcschr(L"ongwl", entry->name.text[5]) && entry->name.text[6] == L'.');
}

static void look_at_all(unsigned *seen)
{
	union {
		struct nt_directory_entry entry;
		unsigned char room[4096];
	} buffer;
	HANDLE directory = open_directory();
	ULONG context = 0, length;

	for (bool first = true;; first = false) {
		memset(&buffer.entry, 0, sizeof(buffer.entry));
		if (!NT_DONE(nt_functions()->query_directory(directory, &buffer, sizeof(buffer), TRUE, first, &context,
							     &length)) ||
		    !buffer.entry.name.text)
			break;
		check_entry(&buffer.entry, seen);
	}
	CloseHandle(directory);
}

struct objects {
	struct stoa_mutex mutex;
	struct stoa_event event;
};

/* A member with a mutex, that sleeps: its life and its word have objects. */
static void sleep_with_a_mutex(void *argument)
{
	struct stoa_segment *segment;
	struct objects *objects;

	CHECK_RC(stoa_segment_open(test_name("all"), NULL, &segment), 0);
	objects = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_lock(segment, &objects->mutex, STOA_FOREVER), 0);
	atomic_store((_Atomic uint32_t *)argument, 1);
	CHECK_RC(stoa_event_wait(segment, &objects->event, STOA_FOREVER), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &objects->mutex), 0);
	stoa_segment_close(segment);
}

/* Gates are there for a moment only. */
static void open_and_close(void *argument)
{
	struct stoa_segment *segment;

	while (!atomic_load((_Atomic uint32_t *)argument)) {
		CHECK_RC(stoa_segment_open(test_name("all"), NULL, &segment), 0);
		stoa_segment_close(segment);
	}
}

TEST_TIMEOUT(every_named_object_is_its_users_alone, 60)
{
	struct stoa_segment_options options = {.commit = PAGE};
	_Atomic uint32_t *flags = test_shared(2 * sizeof(*flags));
	struct stoa_segment *segment, *unnamed;
	unsigned seen[KINDS] = {0};
	struct objects *objects;
	pid_t sleeper, opener;

	learn_users();
	CHECK_RC(stoa_segment_create(test_name("all"), MIB, &options, &segment), 0);
	CHECK_RC(stoa_segment_create(NULL, MIB, NULL, &unnamed), 0);
	objects = stoa_segment_address(segment);
	CHECK_RC(stoa_mutex_init(segment, &objects->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &objects->event, 0), 0);
	sleeper = test_role(sleep_with_a_mutex, (void *)flags);
	opener = test_role(open_and_close, (void *)(flags + 1));
	test_await(flags, 1);
	while (!seen[SECTION] || !seen[NAME_RECORD] || !seen[GATE_MUTEX] || !seen[WORD_EVENT] || !seen[LIFE_MUTEX])
		look_at_all(seen);
	atomic_store(flags + 1, 1);
	CHECK_EQ(test_join(opener), 0);
	CHECK_RC(stoa_event_set(segment, &objects->event), 0);
	CHECK_EQ(test_join(sleeper), 0);
	check_owner_only((HANDLE)segment->memory, SECTION_ALL_ACCESS);
	check_owner_only((HANDLE)os_name_handle(segment->name), SECTION_ALL_ACCESS);
	CHECK(is_unnamed((HANDLE)unnamed->memory));
	stoa_segment_close(unnamed);
	stoa_segment_close(segment);
}

/* ---- others ---- */

TEST(plain_kernel_objects_are_their_makers_alone)
{
	static const struct {
		uint32_t kind;
		const char *type;
		DWORD all;
	} plain[] = {{STOA_KERNEL_MUTEX, "mutex", MUTEX_ALL_ACCESS},
		     {STOA_KERNEL_EVENT, "event", EVENT_ALL_ACCESS},
		     {STOA_KERNEL_SEMAPHORE, "semaphore", SEMAPHORE_ALL_ACCESS}};
	struct stoa_kernel *object;
	struct stoa_segment *segment;
	char name[200];
	HANDLE handle;

	learn_users();
	for (size_t i = 0; i < CC_COUNT(plain); i++) {
		snprintf(name, sizeof(name), "%s.%s", test_name("plain"), plain[i].type);
		CHECK_RC(stoa_kernel_open(name, plain[i].kind, NULL, &object), 0);
		handle = i == 0   ? OpenMutexA(READ_CONTROL, FALSE, name)
			 : i == 1 ? OpenEventA(READ_CONTROL, FALSE, name)
				  : OpenSemaphoreA(READ_CONTROL, FALSE, name);
		CHECK(handle);
		check_owner_only(handle, plain[i].all);
		CloseHandle(handle);
		stoa_kernel_close(object);
	}
	snprintf(name, sizeof(name), "%s.section", test_name("plain"));
	CHECK_RC(stoa_kernel_segment(name, PAGE, STOA_CREATE_ONLY, 0, &segment), 0);
	check_owner_only((HANDLE)segment->memory, SECTION_ALL_ACCESS);
	stoa_segment_close(segment);
}

TEST(a_file_is_its_makers_alone)
{
	struct stoa_segment_options create = {.flags = STOA_FILE_CREATE};
	struct stoa_segment *segment;
	struct list list;
	char path[600];

	learn_users();
	snprintf(path, sizeof(path), "%s/file", test_dir());
	CHECK_RC(stoa_segment_file(path, PAGE, &create, &segment), 0);
	read_list((HANDLE)segment->memory, &list);
	CHECK(EqualSid(list.owner, this_user));
	CHECK(granted(&list, this_user) & (GENERIC_ALL | FILE_READ_DATA));
	CHECK_EQ(granted(&list, everybody), 0);
	/* Wine, which has modes and no lists, names the system too. */
	for (DWORD i = 0; i < list.entries->AceCount; i++)
		CHECK(is_one_of(&list, i, this_user, the_system));
	stoa_segment_close(segment);
}

/* ---- grants ---- */

static void may_be_refused(int rc)
{
	if (rc == -STOA_EACCES && strstr(stoa_error_detail(), "SeCreateGlobalPrivilege"))
		SKIP("no right to make global names");
	CHECK_RC(rc, 0);
}

TEST(what_everybody_may_read_nobody_else_may_write)
{
	struct stoa_segment_options options = {.flags = STOA_GLOBAL | STOA_WORLD_READABLE};
	struct stoa_segment_options reader = {.flags = STOA_GLOBAL | STOA_READ_ONLY};
	struct stoa_segment *segment, *again;

	learn_users();
	may_be_refused(stoa_segment_create(test_name("world"), MIB, &options, &segment));
	check_world_readable((HANDLE)segment->memory);
	check_world_readable((HANDLE)os_name_handle(segment->name));
	/* What a reader asks for is no more than everybody has. */
	CHECK_RC(stoa_segment_open(test_name("world"), &reader, &again), 0);
	stoa_segment_close(again);
	stoa_segment_close(segment);
	/* Global alone grants nothing. */
	options.flags = STOA_GLOBAL;
	may_be_refused(stoa_segment_create(test_name("global"), MIB, &options, &segment));
	check_owner_only((HANDLE)segment->memory, SECTION_ALL_ACCESS);
	check_owner_only((HANDLE)os_name_handle(segment->name), SECTION_ALL_ACCESS);
	stoa_segment_close(segment);
}

static DWORD access_of(os_handle handle)
{
	struct nt_object_info info;
	ULONG length;

	CHECK(NT_DONE(nt_functions()->query_object((HANDLE)handle, NT_OBJECT_BASIC, &info, sizeof(info), &length)));
	return info.access;
}

static void check_reader(const struct stoa_segment *segment)
{
	CHECK_EQ(access_of(segment->memory), SECTION_MAP_READ | SECTION_QUERY | READ_CONTROL);
	check_no_way_to_write((int)segment->memory, bytes_of(segment));
}

/* By whatever way the segment came. */
TEST(a_handle_that_reads_has_no_other_access)
{
	struct stoa_segment_options reader = {.flags = STOA_READ_ONLY}, options = {.commit = PAGE};
	struct stoa_segment *segment, *again;
	int descriptor, ends[2];

	CHECK_RC(stoa_segment_create(test_name("read"), MIB, &options, &segment), 0);
	CHECK_EQ(access_of(segment->memory) & SECTION_MAP_WRITE, SECTION_MAP_WRITE);
	CHECK_RC(stoa_segment_open(test_name("read"), &reader, &again), 0);
	check_reader(again);
	stoa_segment_close(again);
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	check_reader(again);
	stoa_segment_close(again);
	CHECK_SYS(channel_pair(CHANNEL_PACKETS, true, ends));
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &again, NULL), 0);
	check_reader(again);
	stoa_segment_close(again);
	channel_close(ends[0]);
	channel_close(ends[1]);
	stoa_segment_close(segment);
}

/* ---- the session's names, and the host's ---- */

static bool exists(const char *space, const char *name)
{
	char path[300];
	HANDLE record;

	snprintf(path, sizeof(path), "%s\\stoa.n.%s", space, name);
	record = OpenFileMappingA(READ_CONTROL, FALSE, path);
	if (record)
		CloseHandle(record);
	return record;
}

TEST(names_are_the_sessions_unless_asked_to_be_the_hosts)
{
	struct stoa_segment_options global = {.flags = STOA_GLOBAL};
	const char *name = test_name("space");
	struct stoa_segment *local, *host, *none = NULL;
	DWORD session = 0;

	CHECK(ProcessIdToSessionId(GetCurrentProcessId(), &session));
	if (!session)
		SKIP("session 0 has the names of the host");
	CHECK_RC(stoa_segment_create(name, MIB, NULL, &local), 0);
	CHECK(exists("Local", name) && !exists("Global", name));
	CHECK_RC(stoa_segment_open(name, &global, &none), -STOA_ENOENT);
	may_be_refused(stoa_segment_create(name, MIB, &global, &host));
	CHECK(exists("Local", name) && exists("Global", name));
	stoa_segment_close(local);
	CHECK(!exists("Local", name) && exists("Global", name));
	CHECK_RC(stoa_segment_open(name, NULL, &none), -STOA_ENOENT);
	CHECK(none == NULL);
	stoa_segment_close(host);
}

static void give_up(const wchar_t *privilege)
{
	TOKEN_PRIVILEGES change = {.PrivilegeCount = 1};
	HANDLE token;

	CHECK(OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token));
	CHECK(LookupPrivilegeValueW(NULL, privilege, &change.Privileges[0].Luid));
	change.Privileges[0].Attributes = SE_PRIVILEGE_REMOVED;
	CHECK(AdjustTokenPrivileges(token, FALSE, &change, 0, NULL, NULL));
	CloseHandle(token);
}

static void make_a_global_name(void *argument)
{
	struct stoa_segment_options options = {.flags = STOA_GLOBAL};
	struct stoa_segment *segment = NULL;
	HANDLE plain;

	(void)argument;
	give_up(L"SeCreateGlobalPrivilege");
	plain = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, "Global\\stoa-test-plain");
	if (plain)
		SKIP("here everybody may make global names, as Wine lets them; not yet tried on Windows");
	CHECK_EQ(GetLastError(), ERROR_ACCESS_DENIED);
	CHECK_RC(stoa_segment_create(test_name("global"), MIB, &options, &segment), -STOA_EACCES);
	check_detail("SeCreateGlobalPrivilege");
	CHECK_RC(stoa_segment_create_or_open(test_name("global"), MIB, &options, &segment), -STOA_EACCES);
	check_detail("SeCreateGlobalPrivilege");
	CHECK(segment == NULL);
	options.flags = 0;
	CHECK_RC(stoa_segment_create(test_name("global"), MIB, &options, &segment), 0);
	stoa_segment_close(segment);
}

TEST(a_global_name_needs_a_right)
{
	CHECK_EQ(test_join(test_role(make_a_global_name, NULL)), 0);
}

/* An object of another kind has the name: it is there for who makes, and none of ours for who opens. */
TEST(a_name_that_another_kind_of_object_has)
{
	struct stoa_segment *segment = NULL;
	HANDLE squatter;
	char path[300];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "Local\\stoa.%c.%s", i ? 'g' : 'n', test_name("squat"));
		squatter = CreateEventA(NULL, FALSE, FALSE, path);
		CHECK(squatter);
		CHECK_RC(stoa_segment_create(test_name("squat"), MIB, NULL, &segment), -STOA_EEXIST);
		check_detail("another kind");
		CHECK_RC(stoa_segment_open(test_name("squat"), NULL, &segment), -STOA_EFORMAT);
		CHECK_RC(stoa_segment_create_or_open(test_name("squat"), MIB, NULL, &segment), -STOA_EFORMAT);
		CHECK_RC(stoa_segment_unlink(test_name("squat"), 0), -STOA_EFORMAT);
		CHECK(segment == NULL);
		CloseHandle(squatter);
	}
	CHECK_RC(stoa_segment_create(test_name("squat"), MIB, NULL, &segment), 0);
	stoa_segment_close(segment);
}
