/* SPDX-License-Identifier: MIT */
/* Users' files: opening them, and what the system says about them. A file's handle is its memory object's. */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <string.h>

#define PATH_ROOM 32768

int memory_look_at_file(HANDLE file, struct memory *memory)
{
	BY_HANDLE_FILE_INFORMATION info;

	if (!GetFileInformationByHandle(file, &info))
		return sys_failed("asking about a file");
	if (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
		return 0;
	memory->kind = MEMORY_FILE;
	memory->size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
	memory->object[0] = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
	memory->object[1] = info.dwVolumeSerialNumber;
	return 0;
}

uint64_t memory_file_space(HANDLE file)
{
	FILE_STANDARD_INFO info;

	if (!GetFileInformationByHandleEx(file, FileStandardInfo, &info, sizeof(info)))
		return 0;
	return (uint64_t)info.AllocationSize.QuadPart;
}

static OVERLAPPED place_of(uint64_t offset)
{
	OVERLAPPED place = {0};

	place.Offset = (DWORD)offset;
	place.OffsetHigh = (DWORD)(offset >> 32);
	return place;
}

int memory_file_read(HANDLE file, uint64_t offset, void *bytes, size_t length, size_t *ret_read)
{
	size_t used = 0;

	while (used < length) {
		DWORD want = length - used < MEMORY_GRAIN ? (DWORD)(length - used) : (DWORD)MEMORY_GRAIN, got = 0;
		OVERLAPPED place = place_of(offset + used);

		if (!ReadFile(file, (char *)bytes + used, want, &got, &place) && GetLastError() != ERROR_HANDLE_EOF)
			return sys_failed("reading %u bytes at %" PRIu64, (unsigned)want, offset + used);
		if (got == 0)
			break;
		used += got;
	}
	*ret_read = used;
	return 0;
}

int memory_file_write(HANDLE file, uint64_t offset, const void *bytes, size_t length)
{
	size_t used = 0;

	while (used < length) {
		DWORD want = length - used < MEMORY_GRAIN ? (DWORD)(length - used) : (DWORD)MEMORY_GRAIN, wrote = 0;
		OVERLAPPED place = place_of(offset + used);

		if (!WriteFile(file, (const char *)bytes + used, want, &wrote, &place))
			return sys_failed("writing %u bytes at %" PRIu64, (unsigned)want, offset + used);
		used += wrote;
	}
	return 0;
}

/* The path as the system wants it: long ones in full, with the mark that lifts its limit. */
static int wide_path(const char *path, wchar_t *wide, wchar_t *scratch)
{
	static const wchar_t mark[] = L"\\\\?\\", network[] = L"\\\\?\\UNC\\";
	const size_t room = PATH_ROOM - CC_COUNT(network);
	DWORD length;
	bool shared;

	if (!sys_wide(path, wide, PATH_ROOM))
		return error_set(-STOA_EINVAL, "'%s' is no path: it is too long or no UTF-8", path);
	if (wcslen(wide) < MAX_PATH - 12 || wcsncmp(wide, mark, 4) == 0)
		return 0;
	length = GetFullPathNameW(wide, (DWORD)room, scratch, NULL);
	if (length == 0 || length >= room)
		return sys_failed("'%.200s...' is no path", path);
	shared = wcsncmp(scratch, L"\\\\", 2) == 0;
	wcscpy(wide, shared ? network : mark);
	wcscat(wide, shared ? scratch + 2 : scratch);
	return 0;
}

/* "DOMAIN\user" of a file that may be looked at at least. */
static bool owner_name(const wchar_t *wide, char *text, size_t room)
{
	union {
		SECURITY_DESCRIPTOR descriptor;
		unsigned char bytes[512];
	} buffer;
	const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	HANDLE file = CreateFileW(wide, READ_CONTROL, share, NULL, OPEN_EXISTING, 0, NULL);
	wchar_t user[128], domain[128], full[260];
	DWORD length, user_room = CC_COUNT(user), domain_room = CC_COUNT(domain);
	SID_NAME_USE use;
	BOOL by_default;
	PSID owner;
	bool done;

	if (file == INVALID_HANDLE_VALUE)
		return false;
	done = GetKernelObjectSecurity(file, OWNER_SECURITY_INFORMATION, &buffer.descriptor, sizeof(buffer), &length) &&
	       GetSecurityDescriptorOwner(&buffer.descriptor, &owner, &by_default) && owner &&
	       LookupAccountSidW(NULL, owner, user, &user_room, domain, &domain_room, &use);
	CloseHandle(file);
	if (!done)
		return false;
	wcscpy(full, domain);
	wcscat(full, *domain ? L"\\" : L"");
	wcscat(full, user);
	return WideCharToMultiByte(CP_UTF8, 0, full, -1, text, (int)room, NULL, NULL) > 0;
}

static int open_failed(const char *path, const wchar_t *wide, bool writable)
{
	DWORD error = GetLastError(), attributes = GetFileAttributesW(wide);
	char owner[600];

	if (attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY)
		return error_set(-STOA_EKIND, "'%s' is a directory", path);
	if (error == ERROR_ACCESS_DENIED && owner_name(wide, owner, sizeof(owner)))
		return error_set(-STOA_EACCES, "'%s' belongs to %s and this user may not open it%s", path, owner,
				 writable ? " for writing" : "");
	SetLastError(error);
	return sys_failed("opening '%s'%s", path, writable ? " for writing" : "");
}

static int open_wide(const char *path, const wchar_t *wide, bool writable, DWORD how, os_handle *ret_memory)
{
	DWORD access = FILE_GENERIC_READ | (writable ? (DWORD)FILE_GENERIC_WRITE : 0);
	DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	SECURITY_ATTRIBUTES *rights = sys_owner_only();
	HANDLE file;

	if (!rights)
		return -STOA_ESYSTEM;
	/* Mapping a part executable needs the right to execute; not everybody has it for every file. */
	file = CreateFileW(wide, access | FILE_EXECUTE, share, rights, how, FILE_ATTRIBUTE_NORMAL, NULL);
	if (file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_ACCESS_DENIED)
		file = CreateFileW(wide, access, share, rights, how, FILE_ATTRIBUTE_NORMAL, NULL);
	if (file == INVALID_HANDLE_VALUE)
		return open_failed(path, wide, writable);
	memory_refresh((os_handle)file, NULL);
	*ret_memory = (os_handle)file;
	return 0;
}

static int open_path(const char *path, bool writable, DWORD how, os_handle *ret_memory)
{
	wchar_t *wide = os_allocate((size_t)2 * PATH_ROOM * sizeof(*wide));
	int rc;

	if (!wide)
		return -STOA_ENOMEM;
	rc = wide_path(path, wide, wide + PATH_ROOM);
	if (rc == 0)
		rc = open_wide(path, wide, writable, how, ret_memory);
	os_free(wide);
	return rc;
}

int os_file_open(const char *path, bool writable, os_handle *ret_memory)
{
	return open_path(path, writable, OPEN_EXISTING, ret_memory);
}

/* Windows has no files without a name; but it tells whether others have one open. */
int os_file_prepare(const char *path, os_handle *ret_memory)
{
	return open_path(path, true, CREATE_NEW, ret_memory);
}

int os_file_publish(os_handle memory, const char *path)
{
	(void)memory, (void)path;
	return 0;
}

/* Opened by nobody else, as this is refused then, it is removed if it is the one that was made and still empty. */
static void remove_unused(const wchar_t *wide, const struct memory *made)
{
	FILE_DISPOSITION_INFO gone = {TRUE};
	struct memory found = {.kind = MEMORY_OTHER};
	HANDLE file = CreateFileW(wide, DELETE | FILE_READ_ATTRIBUTES, 0, NULL, OPEN_EXISTING,
				  FILE_FLAG_OPEN_REPARSE_POINT, NULL);

	if (file == INVALID_HANDLE_VALUE)
		return;
	if (memory_look_at_file(file, &found) == 0 && found.kind == MEMORY_FILE && found.size == 0 &&
	    memcmp(found.object, made->object, sizeof(found.object)) == 0)
		(void)SetFileInformationByHandle(file, FileDispositionInfo, &gone, sizeof(gone));
	CloseHandle(file);
}

void os_file_unmake(os_handle memory, const char *path)
{
	wchar_t *wide = os_allocate((size_t)2 * PATH_ROOM * sizeof(*wide));
	struct memory made;
	bool known = memory_look(memory, &made) == 0;

	os_handle_close(memory);
	if (wide && known && wide_path(path, wide, wide + PATH_ROOM) == 0)
		remove_unused(wide, &made);
	os_free(wide);
}

int os_file_set_length(os_handle file, uint64_t length)
{
	FILE_END_OF_FILE_INFO end = {.EndOfFile.QuadPart = (LONGLONG)length};

	if (!SetFileInformationByHandle(sys_handle(file), FileEndOfFileInfo, &end, sizeof(end)))
		return sys_failed("setting a length of %" PRIu64 " bytes", length);
	return 0;
}

int os_file_sync(os_handle file)
{
	return FlushFileBuffers(sys_handle(file)) ? 0 : sys_failed("writing a file to its disk");
}

/* A name is written with what it names. */
int os_file_sync_name(const char *path)
{
	(void)path;
	return 0;
}

int os_file_path(os_handle file, char path[OS_PATH_ROOM])
{
	BY_HANDLE_FILE_INFORMATION info;
	wchar_t wide[OS_PATH_ROOM];
	DWORD length;

	if (!GetFileInformationByHandle(sys_handle(file), &info))
		return sys_failed("asking about a file");
	if (info.nNumberOfLinks != 1)
		return error_set(-STOA_ENOTSUP, "the file has %u names, and must have one",
				 (unsigned)info.nNumberOfLinks);
	length = GetFinalPathNameByHandleW(sys_handle(file), wide, OS_PATH_ROOM, 0);
	if (length == 0)
		return sys_failed("asking for a file's path");
	if (length >= OS_PATH_ROOM || WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, OS_PATH_ROOM, NULL, NULL) <= 0)
		return error_set(-STOA_ENOTSUP, "the file's path is too long");
	return 0;
}

int os_file_open_own(const char *path, bool create, os_handle *ret_file)
{
	struct memory found = {.kind = MEMORY_OTHER};
	os_handle file = OS_NO_HANDLE;
	int rc = open_path(path, true, create ? OPEN_ALWAYS : OPEN_EXISTING, &file);

	if (rc < 0)
		return rc;
	rc = memory_look_at_file(sys_handle(file), &found);
	if (rc == 0 && found.kind != MEMORY_FILE)
		rc = error_set(-STOA_EKIND, "'%s' is no regular file", path);
	if (rc < 0)
		os_handle_close(file);
	else
		*ret_file = file;
	return rc;
}

/* Do something with the path as the system wants it. false: it is no path. */
static bool with_wide(const char *path, bool (*act)(const wchar_t *wide, HANDLE file), os_handle file)
{
	wchar_t *wide = os_allocate((size_t)2 * PATH_ROOM * sizeof(*wide));
	bool done = wide && wide_path(path, wide, wide + PATH_ROOM) == 0 && act(wide, sys_handle(file));

	os_free(wide);
	return done;
}

static bool is_at(const wchar_t *wide, HANDLE file)
{
	const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	HANDLE there =
		CreateFileW(wide, FILE_READ_ATTRIBUTES, share, NULL, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	struct memory opened = {.kind = MEMORY_OTHER}, found = {.kind = MEMORY_OTHER};
	bool same;

	if (there == INVALID_HANDLE_VALUE)
		return false;
	same = memory_look_at_file(file, &opened) == 0 && memory_look_at_file(there, &found) == 0 &&
	       memcmp(opened.object, found.object, sizeof(found.object)) == 0;
	CloseHandle(there);
	return same;
}

bool os_file_is_at(os_handle file, const char *path)
{
	return with_wide(path, is_at, file);
}

static bool remove_it(const wchar_t *wide, HANDLE file)
{
	return is_at(wide, file) && DeleteFileW(wide);
}

int os_file_remove(os_handle file, const char *path)
{
	return with_wide(path, remove_it, file) ? 0 : sys_failed("removing '%s'", path);
}

/* Far behind all bytes, as a locked byte cannot be read. A lock cannot be changed: it is given back first. */
int os_file_lock(os_handle file, unsigned byte, enum os_lock_kind kind, bool wait)
{
	OVERLAPPED place = place_of((UINT64_C(1) << 62) + byte);
	DWORD flags =
		(kind == OS_LOCK_EXCLUSIVE ? LOCKFILE_EXCLUSIVE_LOCK : 0) | (wait ? 0 : LOCKFILE_FAIL_IMMEDIATELY);

	(void)UnlockFileEx(sys_handle(file), 0, 1, 0, &place);
	if (kind == OS_LOCK_NONE)
		return 0;
	place = place_of((UINT64_C(1) << 62) + byte);
	if (LockFileEx(sys_handle(file), flags, 0, 1, 0, &place))
		return 0;
	if (GetLastError() == ERROR_LOCK_VIOLATION || GetLastError() == ERROR_IO_PENDING)
		return error_set(-STOA_EBUSY, "another process has the lock");
	return sys_failed("locking a file");
}
