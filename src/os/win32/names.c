/* SPDX-License-Identifier: MIT */
/*
 * Names: making, opening and removing them. See names.h for what there is of each.
 *
 * A record that is live while its object is gone has no users, only somebody who looks at it or who used it before it
 * was removed: the next maker takes it over.
 *
 * Where users of a removed name are left and the new owner of the name is gone, the name is taken as long as anybody
 * holds the new object, by whatever way: the record alone cannot tell.
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

static int squatted(const char *name)
{
	switch (GetLastError()) {
	case ERROR_INVALID_HANDLE: return error_set(-STOA_EFORMAT, "a kernel object of another kind has that name");
	case ERROR_ACCESS_DENIED: return error_set(-STOA_EACCES, "it belongs to another user");
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

static int publish_failed(const char *name, uint32_t flags)
{
	HANDLE record;
	wchar_t wide[NAMES_ROOM];

	if (GetLastError() != ERROR_ACCESS_DENIED || !(flags & OS_NAME_GLOBAL) ||
	    names_wide(NAMES_RECORD_PREFIX, name, flags, wide) < 0)
		return squatted(name);
	record = names_open_record(wide);
	if (record)
		CloseHandle(record);
	if (record || GetLastError() == ERROR_ACCESS_DENIED)
		return error_set(-STOA_EACCES, "it belongs to another user");
	return error_set(-STOA_EACCES, "a global name needs the right SeCreateGlobalPrivilege, which services and "
				       "administrators have");
}

/* Does the record lead to an object that somebody has? */
static bool in_use(struct names_page *page, uint32_t flags)
{
	struct names_record found;
	HANDLE object = names_read_page(page, &found) ? names_open_object(&found, flags, MEMORY_READ_ACCESS) : NULL;

	if (object)
		CloseHandle(object);
	return object != NULL;
}

/* Under the gate. */
static int publish(const char *name, uint32_t flags, const unsigned char id[MEMORY_ID_BYTES], const void *bytes,
		   size_t length, HANDLE *ret_record)
{
	SECURITY_ATTRIBUTES *rights = rights_of(flags);
	struct names_page *page;
	wchar_t wide[NAMES_ROOM];
	HANDLE record;
	int rc = rights ? names_wide(NAMES_RECORD_PREFIX, name, flags, wide) : -STOA_ESYSTEM;

	if (rc < 0)
		return rc;
	record = CreateFileMappingW(INVALID_HANDLE_VALUE, rights, PAGE_READWRITE, 0, (DWORD)OS_PAGE, wide);
	if (!record)
		return publish_failed(name, flags);
	page = names_map_record(record, FILE_MAP_WRITE);
	if (!page)
		rc = sys_failed("writing the record of '%s'", name);
	else if (in_use(page, flags))
		rc = error_set(-STOA_EEXIST, "it exists and is in use: open it, or remove its name (stoa rm)");
	else
		names_write_record(page, flags, id, bytes, length);
	if (page)
		(void)UnmapViewOfFile(page);
	if (rc == 0)
		*ret_record = record;
	else
		CloseHandle(record);
	return rc;
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
		return rc;
	}
	*ret_name = use;
	return 0;
}

/* ---- using ---- */

static int no_such_name(void)
{
	return error_set(-STOA_ENOENT, "nothing has that name");
}

static int open_both(const char *name, uint32_t flags, HANDLE *ret_record, HANDLE *ret_object,
		     struct names_record *ret_found)
{
	DWORD access = flags & OS_NAME_READ_ONLY ? MEMORY_READ_ACCESS : MEMORY_WRITE_ACCESS;
	wchar_t wide[NAMES_ROOM];
	HANDLE record, object = NULL;
	int rc = names_wide(NAMES_RECORD_PREFIX, name, flags, wide);

	if (rc < 0)
		return rc;
	record = names_open_record(wide);
	if (!record)
		return GetLastError() == ERROR_FILE_NOT_FOUND ? no_such_name() : squatted(name);
	if (!names_read_record(record, ret_found))
		SetLastError(ERROR_FILE_NOT_FOUND);
	else
		object = names_open_object(ret_found, flags, access);
	if (object) {
		*ret_record = record;
		*ret_object = object;
		return 0;
	}
	rc = GetLastError() == ERROR_FILE_NOT_FOUND ? no_such_name() : squatted(name);
	CloseHandle(record);
	return rc;
}

/* *ret_own: it is this user's. */
static int open_named(const char *name, uint32_t flags, HANDLE *ret_record, os_handle *ret_memory, void *bytes,
		      size_t *ret_length, bool *ret_own)
{
	struct names_record found;
	HANDLE object = NULL, gate = NULL;
	int rc = enter_gate(name, flags, &gate);

	/* Another user's gate is closed to us; what everybody may read is read without. */
	if (rc == 0 || (rc == -STOA_EACCES && flags & OS_NAME_READ_ONLY))
		rc = open_both(name, flags, ret_record, &object, &found);
	if (gate)
		leave_gate(gate);
	if (rc < 0)
		return rc;
	memory_refresh((os_handle)object, NULL);
	memcpy(bytes, found.bytes, found.length);
	*ret_memory = (os_handle)object;
	*ret_length = found.length;
	*ret_own = gate != NULL;
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
	struct names_page *page = NULL;
	wchar_t wide[NAMES_ROOM];
	HANDLE record;
	int rc = names_wide(NAMES_RECORD_PREFIX, name, flags, wide);

	if (rc < 0)
		return rc;
	record = OpenFileMappingW(MEMORY_READ_ACCESS | SECTION_MAP_WRITE, FALSE, wide);
	if (!record)
		return GetLastError() == ERROR_FILE_NOT_FOUND ? no_such_name() : squatted(name);
	page = names_map_record(record, FILE_MAP_WRITE);
	if (!page)
		rc = sys_failed("removing '%s'", name);
	else if (!in_use(page, flags))
		rc = no_such_name();
	else
		store_rlx(&page->state, NAMES_GONE);
	if (page)
		(void)UnmapViewOfFile(page);
	CloseHandle(record);
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
