/* SPDX-License-Identifier: MIT */
/*
 * Memory objects: sections of the paging file. What a handle refers to is asked of the system each time, as programs
 * close and reuse the handles they were given.
 *
 * Every section is made under a random name, which the system reports for each handle of it: that is how two handles,
 * in whatever process, are known to be of one object, and how a name's record leads to its object. Only this user may
 * open it; an unnamed one nobody.
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/nt.h>
#include <stdio.h>
#include <string.h>

static const wchar_t object_prefix[] = L"stoa.o.";

/* ---- names of sections ---- */

void memory_name(bool global, const unsigned char id[MEMORY_ID_BYTES], wchar_t name[MEMORY_NAME_ROOM])
{
	static const wchar_t digits[] = L"0123456789abcdef";
	size_t at;

	wcscpy(name, global ? L"Global\\" : L"Local\\");
	wcscat(name, object_prefix);
	at = wcslen(name);
	for (size_t i = 0; i < MEMORY_ID_BYTES; i++) {
		name[at++] = digits[id[i] >> 4];
		name[at++] = digits[id[i] & 15];
	}
	name[at] = 0;
}

/* The name of a kernel object with the directory it is in. Returns its length; 0 without a name. */
static size_t full_name(HANDLE handle, wchar_t *name, size_t room)
{
	union {
		struct nt_text text;
		unsigned char bytes[sizeof(struct nt_text) + MAX_PATH * 2 * sizeof(wchar_t)];
	} buffer;
	const struct nt *nt = nt_functions();
	ULONG length;
	size_t count;

	if (!nt->query_object || !NT_DONE(nt->query_object(handle, NT_OBJECT_NAME, &buffer, sizeof(buffer), &length)) ||
	    !buffer.text.text)
		return 0;
	count = buffer.text.bytes / sizeof(wchar_t);
	if (count >= room)
		return 0;
	memcpy(name, buffer.text.text, count * sizeof(wchar_t));
	name[count] = 0;
	return count;
}

static int digit(wchar_t letter)
{
	return letter >= L'0' && letter <= L'9'   ? letter - L'0'
	       : letter >= L'a' && letter <= L'f' ? letter - L'a' + 10
						  : -1;
}

/* The id at the end of a name of ours; *ret_head is the length of what precedes it. */
static bool id_of(const wchar_t *name, size_t length, unsigned char id[MEMORY_ID_BYTES], size_t *ret_head)
{
	const size_t prefix = wcslen(object_prefix), tail = prefix + (size_t)2 * MEMORY_ID_BYTES;
	const wchar_t *next;

	if (length < tail || wcsncmp(name + length - tail, object_prefix, prefix) != 0)
		return false;
	next = name + length - 2 * MEMORY_ID_BYTES;
	*ret_head = length - 2 * MEMORY_ID_BYTES;
	for (size_t i = 0; i < MEMORY_ID_BYTES; i++, next += 2) {
		if (digit(next[0]) < 0 || digit(next[1]) < 0)
			return false;
		id[i] = (unsigned char)(digit(next[0]) << 4 | digit(next[1]));
	}
	return true;
}

bool memory_id(os_handle memory, unsigned char id[MEMORY_ID_BYTES])
{
	wchar_t name[MAX_PATH];
	size_t length = full_name(sys_handle(memory), name, CC_COUNT(name)), head;

	return id_of(name, length, id, &head);
}

/* ---- what a handle refers to ---- */

/* FNV-1a, 64 bits. */
static uint64_t hash(const void *bytes, size_t length)
{
	const unsigned char *next = bytes;
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	while (length--)
		value = (value ^ *next++) * UINT64_C(0x100000001b3);
	return value;
}

/* The space that a full name is in. What is in neither this session's nor another's is an app container's own. */
static enum sys_space space_of(const wchar_t *name)
{
	static const wchar_t host[] = L"\\BaseNamedObjects\\", sessions[] = L"\\Sessions\\";
	DWORD own = 0, session = 0;

	if (wcsncmp(name, host, CC_COUNT(host) - 1) == 0)
		return SYS_GLOBAL;
	if (wcsncmp(name, sessions, CC_COUNT(sessions) - 1) != 0)
		return SYS_LOCAL;
	for (name += CC_COUNT(sessions) - 1; *name >= L'0' && *name <= L'9'; name++)
		session = session * 10 + (DWORD)(*name - L'0');
	if (wcsncmp(name, host, CC_COUNT(host) - 1) != 0 || !ProcessIdToSessionId(GetCurrentProcessId(), &own))
		return SYS_LOCAL;
	return session == own ? SYS_LOCAL : SYS_ELSEWHERE;
}

/*
 * What is the same for all handles of a section: its name. Sections of others may have none; then the handle's own
 * number serves, which programs inherit with it.
 */
static void name_object(HANDLE section, struct memory *memory)
{
	unsigned char id[MEMORY_ID_BYTES];
	wchar_t name[MAX_PATH];
	size_t length = full_name(section, name, CC_COUNT(name)), head;

	memory->space = length ? space_of(name) : SYS_LOCAL;
	if (length && id_of(name, length, id, &head)) {
		memcpy(memory->object, id, sizeof(memory->object));
		memory->object[1] ^= hash(name, head * sizeof(wchar_t));
		memory->spare = MEMORY_SPARE < memory->size ? MEMORY_SPARE : 0;
		memory->size -= memory->spare;
	} else if (length) {
		memory->object[0] = length;
		memory->object[1] = hash(name, length * sizeof(wchar_t));
	} else {
		memory->object[0] = memory->size;
		memory->object[1] = (uint64_t)(uintptr_t)section;
	}
}

static ACCESS_MASK access_of(HANDLE handle)
{
	struct nt_object_info info;
	const struct nt *nt = nt_functions();
	ULONG length;

	if (!nt->query_object || !NT_DONE(nt->query_object(handle, NT_OBJECT_BASIC, &info, sizeof(info), &length)))
		return 0;
	return info.access;
}

int memory_look(os_handle handle, struct memory *ret_memory)
{
	struct nt_section_info info;
	const struct nt *nt = nt_functions();
	struct memory memory = {.kind = MEMORY_OTHER};
	HANDLE object = sys_handle(handle);
	ACCESS_MASK access;
	DWORD flags;
	int rc = 0;

	if (!GetHandleInformation(object, &flags))
		return sys_failed("asking what a handle refers to");
	access = access_of(object);
	if (nt->query_section && NT_DONE(nt->query_section(object, NT_SECTION_BASIC, &info, sizeof(info), NULL))) {
		memory.kind = info.attributes & SEC_IMAGE ? MEMORY_OTHER : MEMORY_SECTION;
		memory.size = (uint64_t)info.size.QuadPart;
		memory.of_file = info.attributes & SEC_FILE;
		memory.executable = access & SECTION_MAP_EXECUTE;
		memory.writable = access & SECTION_MAP_WRITE;
		name_object(object, &memory);
	} else if (GetFileType(object) == FILE_TYPE_DISK) {
		memory.of_file = true;
		memory.space = SYS_GLOBAL; /* files are the host's */
		memory.executable = access & FILE_EXECUTE;
		memory.writable = access & FILE_WRITE_DATA;
		rc = memory_look_at_file(object, &memory);
	}
	if (rc < 0)
		return rc;
	memory_refresh(handle, memory.object);
	*ret_memory = memory;
	return 0;
}

uint32_t memory_owner(HANDLE handle)
{
	union {
		SECURITY_DESCRIPTOR descriptor;
		unsigned char bytes[512];
	} buffer;
	BOOL by_default;
	DWORD length;
	PSID owner;

	if (!GetKernelObjectSecurity(handle, OWNER_SECURITY_INFORMATION, &buffer.descriptor, sizeof(buffer), &length) ||
	    !GetSecurityDescriptorOwner(&buffer.descriptor, &owner, &by_default) || !owner)
		return OS_SENDER_UNKNOWN;
	return sys_user_number(owner);
}

/* ---- making and sharing ---- */

static int create_failed(uint64_t size, bool global)
{
	if (GetLastError() == ERROR_ACCESS_DENIED && global)
		return error_set(-STOA_EACCES,
				 "a global object needs the right SeCreateGlobalPrivilege, which services and "
				 "administrators have; names of the user's own need nothing");
	return sys_failed("making memory for %" PRIu64 " bytes", size);
}

int memory_create(uint64_t size, bool executable, bool global, SECURITY_ATTRIBUTES *rights, os_handle *ret_memory)
{
	DWORD protection = SEC_RESERVE | (executable ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE);
	unsigned char id[MEMORY_ID_BYTES];
	wchar_t name[MEMORY_NAME_ROOM];
	HANDLE section;
	int rc = rights ? os_random(id, sizeof(id)) : -STOA_ESYSTEM;

	if (rc < 0)
		return rc;
	size = ((size + OS_PAGE - 1) & ~(OS_PAGE - 1)) + MEMORY_SPARE;
	memory_name(global, id, name);
	section = CreateFileMappingW(INVALID_HANDLE_VALUE, rights, protection, (DWORD)(size >> 32), (DWORD)size, name);
	if (section && GetLastError() == ERROR_ALREADY_EXISTS) {
		CloseHandle(section);
		return error_set(-STOA_ESYSTEM, "the system's random numbers repeat");
	}
	/* Programs in a sandbox may have no place for names. */
	if (!section && GetLastError() == ERROR_ACCESS_DENIED && !global)
		section = CreateFileMappingW(INVALID_HANDLE_VALUE, rights, protection, (DWORD)(size >> 32), (DWORD)size,
					     NULL);
	if (!section)
		return create_failed(size, global);
	memory_refresh((os_handle)section, NULL);
	*ret_memory = (os_handle)section;
	return 0;
}

int memory_not_shrinkable(void)
{
	return error_set(-STOA_ENOTSUP, "memory cannot be cut on Windows: a section never shrinks");
}

int os_memory_create(uint64_t size, uint32_t flags, os_handle *ret_memory)
{
	if (flags & OS_MEMORY_SHRINKABLE)
		return memory_not_shrinkable();
	return memory_create(size, flags & OS_MEMORY_EXECUTABLE, false, sys_handle_only(), ret_memory);
}

int os_memory_seal(os_handle memory, uint32_t seals)
{
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0)
		return rc;
	if (now.kind == MEMORY_SECTION && !(seals & ~OS_SEAL_SHRINK))
		return 0;
	return error_set(-STOA_ENOTSUP,
			 "Windows has no seals: rights are the handle's, so hand out one that only reads");
}

uint32_t os_memory_seals(os_handle memory)
{
	struct memory now;

	return memory_look(memory, &now) == 0 && now.kind == MEMORY_SECTION ? OS_SEAL_SHRINK : 0;
}

uint64_t os_memory_length(os_handle memory)
{
	uint64_t length, resident;
	struct memory now;
	struct map map;

	/* The longest map of a segment's memory is that of its data, which is committed from its start. */
	if (map_longest(memory, &map) && !map.of_file)
		return map.offset + memory_run(map.address, map.mapped);
	if (memory_look(memory, &now) < 0)
		return 0;
	if (now.kind != MEMORY_SECTION || now.of_file)
		return now.size;
	memory_measure(memory, &now, &length, &resident);
	return length;
}

int os_memory_info(os_handle memory, struct os_memory_info *ret_info)
{
	uint64_t length, resident;
	struct memory now;
	int rc = memory_look(memory, &now);
	bool section = rc == 0 && now.kind == MEMORY_SECTION;

	if (rc < 0)
		return rc;
	if (section && !now.of_file) {
		memory_measure(memory, &now, &length, &resident);
	} else {
		length = now.size;
		resident = section ? now.size : memory_file_space(sys_handle(memory));
	}
	*ret_info = (struct os_memory_info){
		.length = length,
		.resident = resident,
		.identity = {now.object[0], now.object[1]},
		.owner = memory_owner(sys_handle(memory)),
		.seals = section ? OS_SEAL_SHRINK : 0,
		.regular = now.kind != MEMORY_OTHER,
		.in_memory = section && !now.of_file,
		.writable = now.writable,
	};
	return 0;
}

/* What a handle that only reads is opened with. */
static DWORD reading(const struct memory *memory, bool execute)
{
	execute = execute && memory->executable;
	if (memory->kind == MEMORY_SECTION)
		return MEMORY_READ_ACCESS | (execute ? SECTION_MAP_EXECUTE : 0);
	return FILE_GENERIC_READ | (execute ? FILE_EXECUTE : 0);
}

int os_memory_duplicate(os_handle memory, uint32_t access, os_handle *ret_memory)
{
	HANDLE self = GetCurrentProcess(), copy;
	bool writable = access & OS_WRITE;
	struct sys_place place;
	struct memory now;
	int rc = memory_look(memory, &now);

	if (rc < 0)
		return rc;
	if (writable && !now.writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot make a writable one");
	if (!DuplicateHandle(self, sys_handle(memory), self, &copy, reading(&now, access & OS_EXEC), FALSE,
			     writable ? DUPLICATE_SAME_ACCESS : 0))
		return sys_failed("making a second handle%s", writable ? "" : " that only reads");
	memory_refresh((os_handle)copy, NULL);
	if (sys_identity_of(memory, &place)) {
		rc = memory_look((os_handle)copy, &now);
		if (rc == 0)
			rc = memory_identify((os_handle)copy, &now, place.identity);
	}
	if (rc < 0) {
		CloseHandle(copy);
		return rc;
	}
	*ret_memory = (os_handle)copy;
	return 0;
}
