/* SPDX-License-Identifier: MIT */
/*
 * Names: making, opening and removing them. See names.h for what there is of each.
 *
 * A record that is live while its object is gone has no users, only somebody who looks at it or who used it before it
 * was removed: the next maker takes it over, unless one of the name's other records is free.
 *
 * Where users of as many removed names are left as a name has records, the next owner shares one with them. Then, and
 * only then, the name stays taken for as long as anybody holds its object, even if that one is no user: the record, which
 * others keep there, cannot tell.
 */
#include <os/win32/names.h>

#include <base/atomic.h>
#include <base/error.h>
#include <string.h>

#define PAUSE_MAX 2000 /* milliseconds */

/* Newer than the headers of Debian 12. */
#ifndef ERROR_DYNAMIC_CODE_BLOCKED
#define ERROR_DYNAMIC_CODE_BLOCKED 1655
#endif

struct os_name {
	HANDLE record;
};

/* ---- the gate ---- */

static int of_another_user(void)
{
	return error_set(-STOA_EACCES,
			 "it belongs to another user, or to a program whose rights are beyond this one's");
}

static int squatted(const char *name)
{
	switch (GetLastError()) {
	case ERROR_INVALID_HANDLE: return error_set(-STOA_EFORMAT, "a kernel object of another kind has that name");
	case ERROR_ACCESS_DENIED: return of_another_user();
	default: return sys_failed("opening '%s'", name);
	}
}

static int enter_gate(const char *name, uint32_t flags, HANDLE *ret_gate)
{
	SECURITY_ATTRIBUTES *rights = sys_owner_only();
	wchar_t wide[NAMES_ROOM];
	int rc = rights ? names_wide(NAMES_GATE_PREFIX, name, flags, wide) : -STOA_ESYSTEM;
	HANDLE gate;

	if (rc < 0)
		return rc;
	gate = CreateMutexW(rights, FALSE, wide);
	if (!gate)
		return squatted(name);
	/* Who owns it can let us wait, or let two of us in at once. */
	if (!sys_is_ours(gate)) {
		CloseHandle(gate);
		return of_another_user();
	}
	switch (WaitForSingleObject(gate, PAUSE_MAX)) {
	case WAIT_OBJECT_0:
	case WAIT_ABANDONED: *ret_gate = gate; return 0; /* a dead holder leaves a whole record */
	case WAIT_TIMEOUT:
		rc = error_set(-STOA_EBUSY, "a process that makes or removes '%s' does not go on; it may be stopped",
			       name);
		break;
	default: rc = sys_failed("waiting for others that make or remove '%s'", name);
	}
	CloseHandle(gate);
	return rc;
}

static void leave_gate(HANDLE gate)
{
	ReleaseMutex(gate);
	CloseHandle(gate);
}

/* ---- making ---- */

static SECURITY_ATTRIBUTES *rights_of(uint32_t flags)
{
	return flags & OS_NAME_WORLD_READABLE ? sys_world_readable() : sys_owner_only();
}

int os_name_prepare(const char *name, uint32_t flags, uint64_t size, os_handle *ret_memory)
{
	wchar_t wide[NAMES_ROOM];
	int rc = names_wide(NAMES_RECORD_PREFIX, name, flags, wide);

	if (rc < 0)
		return rc;
	if (flags & OS_NAME_SHRINKABLE)
		return memory_not_shrinkable();
	if (flags & OS_NAME_PERSISTENT)
		return error_set(-STOA_ENOTSUP,
				 "Windows has no persistent names: a name goes with the last process that uses it");
	/*
	 * Whether its maps may be executable is not said here; each map's access is its own. Some processes may make no
	 * such.
	 */
	rc = memory_create(size, true, flags & OS_NAME_GLOBAL, rights_of(flags), ret_memory);
	if (rc < 0 && GetLastError() == ERROR_DYNAMIC_CODE_BLOCKED)
		rc = memory_create(size, false, flags & OS_NAME_GLOBAL, rights_of(flags), ret_memory);
	return rc;
}

static int publish_failed(const char *name, uint32_t flags, const wchar_t *wide)
{
	HANDLE record;

	if (GetLastError() != ERROR_ACCESS_DENIED || !(flags & OS_NAME_GLOBAL))
		return squatted(name);
	record = names_open_record(wide, 0);
	if (record)
		CloseHandle(record);
	if (record || GetLastError() == ERROR_ACCESS_DENIED)
		return of_another_user();
	return error_set(-STOA_EACCES, "a global name needs the right SeCreateGlobalPrivilege, which services and "
				       "administrators have");
}

/* May what others may have made be used for what the flags say? What is another user's can be read, by its global name. */
static int check_owner(HANDLE section, uint32_t flags)
{
	const uint32_t reading = OS_NAME_GLOBAL | OS_NAME_READ_ONLY;

	return (flags & reading) == reading || sys_is_ours(section) ? 0 : of_another_user();
}

/* One of the name's records, opened. -STOA_ENOENT: there is none of that number. */
static int open_record(const char *name, uint32_t flags, unsigned number, DWORD access, HANDLE *ret_record)
{
	wchar_t wide[NAMES_ROOM];
	int rc = names_wide_record(name, flags, number, wide);
	HANDLE record;

	if (rc < 0)
		return rc;
	record = names_open_record(wide, access);
	if (!record)
		return GetLastError() == ERROR_FILE_NOT_FOUND ? -STOA_ENOENT : squatted(name);
	rc = check_owner(record, flags);
	if (rc < 0)
		CloseHandle(record);
	else
		*ret_record = record;
	return rc;
}

/* The object that the record leads to. -STOA_ENOENT: to none that somebody has. */
static int open_object(const char *name, uint32_t flags, HANDLE record, DWORD access, struct names_record *ret_found,
		       HANDLE *ret_object)
{
	HANDLE object = NULL;
	int rc;

	SetLastError(ERROR_FILE_NOT_FOUND);
	if (names_read_record(record, ret_found))
		object = names_open_object(ret_found, flags, access);
	if (!object)
		return GetLastError() == ERROR_FILE_NOT_FOUND ? -STOA_ENOENT : squatted(name);
	rc = check_owner(object, flags);
	if (rc == 0 && !names_of_memory(object))
		rc = error_set(-STOA_EFORMAT, "a file's section has that name, no memory");
	if (rc < 0)
		CloseHandle(object);
	else
		*ret_object = object;
	return rc;
}

/* How to open a record and the object that it leads to. */
struct wanted {
	DWORD record, object; /* access, beyond reading */
};

/* The name's record in use, and its object. -STOA_ENOENT, without a sentence: none is. */
static int find_in_use(const char *name, uint32_t flags, struct wanted wanted, struct names_record *ret_found,
		       HANDLE *ret_record, HANDLE *ret_object)
{
	int rc = -STOA_ENOENT;

	for (unsigned number = 0; rc == -STOA_ENOENT && number < NAMES_RECORDS; number++) {
		rc = open_record(name, flags, number, wanted.record, ret_record);
		if (rc < 0)
			continue;
		rc = open_object(name, flags, *ret_record, MEMORY_READ_ACCESS | wanted.object, ret_found, ret_object);
		if (rc < 0)
			CloseHandle(*ret_record);
	}
	return rc;
}

/* The record for a new owner: one that nobody has, or any if each has left users. Under the gate; the name is not in use. */
static int choose_record(const char *name, uint32_t flags, wchar_t wide[NAMES_ROOM])
{
	for (unsigned number = 0; number < NAMES_RECORDS; number++) {
		HANDLE record;
		int rc = open_record(name, flags, number, 0, &record);

		if (rc == -STOA_ENOENT)
			return names_wide_record(name, flags, number, wide);
		if (rc < 0)
			return rc;
		CloseHandle(record);
	}
	return names_wide_record(name, flags, 0, wide);
}

/* Under the gate. */
static int make_record(const char *name, uint32_t flags, const wchar_t *wide, HANDLE *ret_record,
		       struct names_page **ret_page)
{
	SECURITY_ATTRIBUTES *rights = rights_of(flags);
	HANDLE record;
	int rc;

	if (!rights)
		return -STOA_ESYSTEM;
	record = CreateFileMappingW(INVALID_HANDLE_VALUE, rights, PAGE_READWRITE, 0, (DWORD)OS_PAGE, wide);
	if (!record)
		return publish_failed(name, flags, wide);
	/* Another user may have made it meanwhile. */
	rc = check_owner(record, flags);
	*ret_page = rc == 0 ? names_map_record(record, FILE_MAP_WRITE) : NULL;
	if (rc == 0 && !*ret_page)
		rc = sys_failed("writing the record of '%s'", name);
	if (rc < 0)
		CloseHandle(record);
	else
		*ret_record = record;
	return rc;
}

/* Under the gate. */
static int publish(const char *name, uint32_t flags, const unsigned char id[MEMORY_ID_BYTES], const void *bytes,
		   size_t length, HANDLE *ret_record)
{
	struct names_record found;
	struct names_page *page = NULL;
	wchar_t wide[NAMES_ROOM];
	HANDLE record, object;
	int rc = find_in_use(name, flags & OS_NAME_GLOBAL, (struct wanted){0, 0}, &found, &record, &object);

	if (rc == 0) {
		CloseHandle(record);
		CloseHandle(object);
		return error_set(-STOA_EEXIST, "it exists and is in use: open it, or remove its name (stoa rm)");
	}
	if (rc == -STOA_ENOENT)
		rc = choose_record(name, flags & OS_NAME_GLOBAL, wide);
	if (rc == 0)
		rc = make_record(name, flags & ~OS_NAME_READ_ONLY, wide, ret_record, &page);
	if (rc < 0)
		return rc;
	names_write_record(page, flags, id, bytes, length);
	(void)UnmapViewOfFile(page);
	return 0;
}

int os_name_publish(os_handle memory, const char *name, uint32_t flags, const void *record, size_t record_length,
		    struct os_name **ret_name)
{
	struct os_name *use = os_allocate(sizeof(*use));
	unsigned char id[MEMORY_ID_BYTES];
	HANDLE gate;
	int rc;

	if (!use)
		return -STOA_ENOMEM;
	if (record_length > OS_NAME_RECORD_MAX || !memory_id(memory, id))
		rc = error_set(-STOA_EINVAL, "the object was not made for a name, or its record is too long");
	else
		rc = enter_gate(name, flags, &gate);
	if (rc == 0) {
		rc = publish(name, flags, id, record, record_length, &use->record);
		leave_gate(gate);
	}
	if (rc < 0) {
		os_free(use);
		return rc == -STOA_EFORMAT ? -STOA_EEXIST : rc; /* what is there, no name of ours, is there */
	}
	*ret_name = use;
	return 0;
}

/* ---- using ---- */

static int no_such_name(void)
{
	return error_set(-STOA_ENOENT, "nothing has that name");
}

/* *ret_own: it is this user's. */
static int open_named(const char *name, uint32_t flags, HANDLE *ret_record, os_handle *ret_memory, void *bytes,
		      size_t *ret_length, bool *ret_own)
{
	struct wanted wanted = {0, flags & OS_NAME_READ_ONLY ? 0 : MEMORY_WRITE_ACCESS};
	struct names_record found;
	HANDLE object = NULL, gate = NULL;
	int rc = enter_gate(name, flags, &gate);

	/* Another user's gate is closed to us; what everybody may read is read without. */
	if (rc == 0 || (rc == -STOA_EACCES && flags & OS_NAME_READ_ONLY))
		rc = find_in_use(name, flags, wanted, &found, ret_record, &object);
	if (gate)
		leave_gate(gate);
	if (rc < 0)
		return rc == -STOA_ENOENT ? no_such_name() : rc;
	memory_refresh((os_handle)object, NULL);
	memcpy(bytes, found.bytes, found.length);
	*ret_memory = (os_handle)object;
	*ret_length = found.length;
	*ret_own = gate && sys_is_ours(*ret_record);
	return 0;
}

int os_name_open(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 struct os_name **ret_name)
{
	struct os_name *use = os_allocate(sizeof(*use));
	bool own = false;
	int rc =
		use ? open_named(name, flags, &use->record, ret_memory, record, ret_record_length, &own) : -STOA_ENOMEM;

	if (rc < 0) {
		os_free(use);
		return rc;
	}
	if (!own) {
		os_name_close(use);
		use = NULL;
	}
	*ret_name = use;
	return 0;
}

/* The kernel removes what nobody uses: nothing is ever left. */
int os_name_look(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 bool *ret_left)
{
	HANDLE use;
	bool own;
	int rc = open_named(name, flags | OS_NAME_READ_ONLY, &use, ret_memory, record, ret_record_length, &own);

	if (rc < 0)
		return rc;
	CloseHandle(use);
	*ret_left = false;
	return 0;
}

void os_name_close(struct os_name *name)
{
	if (!name)
		return;
	os_handle_close((os_handle)name->record);
	os_free(name);
}

/* Under the gate. */
static int unlink_name(const char *name, uint32_t flags)
{
	struct names_page *page;
	struct names_record found;
	HANDLE record, object;
	int rc = find_in_use(name, flags & OS_NAME_GLOBAL, (struct wanted){SECTION_MAP_WRITE, 0}, &found, &record,
			     &object);

	if (rc < 0)
		return rc == -STOA_ENOENT ? no_such_name() : rc;
	page = names_map_record(record, FILE_MAP_WRITE);
	if (page) {
		store_rlx(&page->state, NAMES_GONE);
		(void)UnmapViewOfFile(page);
	} else {
		rc = sys_failed("removing '%s'", name);
	}
	CloseHandle(record);
	CloseHandle(object);
	return rc;
}

int os_name_unlink(const char *name, uint32_t flags)
{
	HANDLE gate;
	int rc = enter_gate(name, flags, &gate);

	if (rc < 0)
		return rc;
	rc = unlink_name(name, flags);
	leave_gate(gate);
	return rc;
}

/* ---- inheritance: the record is the use, and goes from program to program beside the memory ---- */

os_handle os_name_handle(const struct os_name *name)
{
	return name ? (os_handle)name->record : OS_NO_HANDLE;
}

int os_name_adopt(os_handle handle, struct os_name **ret_name)
{
	struct os_name *use;
	struct memory record;
	int rc;

	if (handle == OS_NO_HANDLE) {
		*ret_name = NULL;
		return 0;
	}
	rc = memory_look(handle, &record);
	if (rc < 0)
		return rc;
	if (record.kind != MEMORY_SECTION)
		return error_set(-STOA_EFORMAT, "the inherited handle is not that of a name");
	use = os_allocate(sizeof(*use));
	if (!use)
		return -STOA_ENOMEM;
	use->record = sys_handle(handle);
	*ret_name = use;
	return 0;
}

void os_name_disown(struct os_name *name)
{
	os_free(name);
}
