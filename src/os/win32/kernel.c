/* SPDX-License-Identifier: MIT */
/*
 * Windows: plain kernel objects, shared by name with programs that are not ours. An object is first opened with no more access
 * than is used, as its maker may grant no more; created when there is none.
 */
#include <os/win32/memory.h>

#include <base/error.h>
#include <inttypes.h>
#include <os/win32/nt.h>

/* A name goes as it is. */
static int wide_name(const char *name, wchar_t wide[MAX_PATH])
{
	if (*name && sys_wide(name, wide, MAX_PATH))
		return 0;
	return error_set(-STOA_ENAME,
			 "'%.64s' cannot be the name of a kernel object: it is empty, too long or not UTF-8", name);
}

static int failed(const char *name, bool creating)
{
	DWORD error = GetLastError();

	if (error == ERROR_INVALID_HANDLE)
		return error_set(-STOA_EKIND, "the name '%s' belongs to a kernel object of another kind", name);
	if (error == ERROR_PATH_NOT_FOUND && creating)
		return error_set(-STOA_ENAME, "'%s': kernel objects have no folders but 'Local\\' and 'Global\\'",
				 name);
	return sys_failed("the kernel object '%s'", name);
}

static DWORD access_of(const struct os_kernel_options *options)
{
	DWORD signal = options->kind == OS_KERNEL_EVENT       ? EVENT_MODIFY_STATE
		       : options->kind == OS_KERNEL_SEMAPHORE ? SEMAPHORE_MODIFY_STATE
							      : 0;

	if (options->kind == OS_KERNEL_MUTEX)
		return SYNCHRONIZE | MUTEX_MODIFY_STATE;
	return (options->may_wait ? SYNCHRONIZE : 0) | (options->may_signal ? signal : 0);
}

static HANDLE open_object(const wchar_t *name, const struct os_kernel_options *options)
{
	DWORD access = access_of(options);

	switch (options->kind) {
	case OS_KERNEL_MUTEX: return OpenMutexW(access, FALSE, name);
	case OS_KERNEL_EVENT: return OpenEventW(access, FALSE, name);
	case OS_KERNEL_SEMAPHORE: return OpenSemaphoreW(access, FALSE, name);
	}
	return NULL;
}

static HANDLE create_object(const wchar_t *name, const struct os_kernel_options *options, SECURITY_ATTRIBUTES *rights)
{
	switch (options->kind) {
	case OS_KERNEL_MUTEX: return CreateMutexW(rights, options->owned, name);
	case OS_KERNEL_EVENT: return CreateEventW(rights, options->manual, options->signaled, name);
	case OS_KERNEL_SEMAPHORE: return CreateSemaphoreW(rights, (LONG)options->initial, (LONG)options->maximum, name);
	}
	return NULL;
}

/* What creating gave: of several that create at once one does, and the others have opened. */
static int created(HANDLE object, const char *name, bool may_open)
{
	if (!object)
		return failed(name, true);
	if (GetLastError() != ERROR_ALREADY_EXISTS)
		return 0;
	if (may_open)
		return STOA_EXISTED;
	CloseHandle(object);
	return error_set(-STOA_EEXIST, "there is a kernel object '%s' already", name);
}

int os_kernel_open(const char *name, const struct os_kernel_options *options, os_handle *ret_object)
{
	SECURITY_ATTRIBUTES *rights = sys_owner_only();
	wchar_t wide[MAX_PATH];
	HANDLE object = NULL;
	int rc = rights ? wide_name(name, wide) : -STOA_ESYSTEM;

	if (rc < 0)
		return rc;
	if (options->may_open)
		object = open_object(wide, options);
	if (object) {
		rc = STOA_EXISTED;
	} else if (options->may_open && (!options->may_create || GetLastError() != ERROR_FILE_NOT_FOUND)) {
		rc = failed(name, false);
	} else {
		SetLastError(ERROR_SUCCESS);
		object = create_object(wide, options, rights);
		/* Another one was first, who grants less than all. */
		if (!object && options->may_open && GetLastError() == ERROR_ACCESS_DENIED) {
			object = open_object(wide, options);
			SetLastError(object ? ERROR_ALREADY_EXISTS : ERROR_ACCESS_DENIED);
		}
		rc = created(object, name, options->may_open);
	}
	if (rc >= 0)
		*ret_object = (os_handle)object;
	return rc;
}

int os_kernel_signal(os_handle object, enum os_kernel_kind kind, uint32_t count)
{
	HANDLE handle = sys_handle(object);
	BOOL done = kind == OS_KERNEL_MUTEX   ? ReleaseMutex(handle)
		    : kind == OS_KERNEL_EVENT ? SetEvent(handle)
					      : ReleaseSemaphore(handle, (LONG)count, NULL);

	if (done)
		return 0;
	if (GetLastError() == ERROR_NOT_OWNER)
		return error_set(-STOA_ENOTOWNER, "this thread does not hold the kernel mutex");
	if (GetLastError() == ERROR_TOO_MANY_POSTS)
		return error_set(-STOA_EOVERFLOW, "%" PRIu32 " more would pass the kernel semaphore's maximum", count);
	return sys_failed("signaling a kernel object");
}

int os_kernel_reset(os_handle event)
{
	return ResetEvent(sys_handle(event)) ? 0 : sys_failed("resetting a kernel event");
}

/* Milliseconds until then, rounded up. */
static DWORD time_until(uint64_t deadline)
{
	uint64_t now = os_now(), left = deadline > now ? (deadline - now + 999999) / 1000000 : 0;

	return deadline == UINT64_MAX ? INFINITE : left > SYS_SLEEP_MAX ? SYS_SLEEP_MAX : (DWORD)left;
}

int os_kernel_wait(const os_handle *objects, unsigned count, uint64_t deadline, unsigned *ret_index)
{
	HANDLE handles[OS_KERNEL_WAIT_MAX];

	for (unsigned i = 0; i < count; i++)
		handles[i] = sys_handle(objects[i]);
	for (;;) {
		DWORD got = WaitForMultipleObjects(count, handles, FALSE, time_until(deadline));
		bool died = got >= WAIT_ABANDONED_0 && got < WAIT_ABANDONED_0 + count;

		if (died || got < WAIT_OBJECT_0 + count) {
			*ret_index = got - (died ? WAIT_ABANDONED_0 : WAIT_OBJECT_0);
			return died ? STOA_OWNER_DIED : 0;
		}
		if (got != WAIT_TIMEOUT)
			return sys_failed("waiting for kernel objects");
		if (os_now() >= deadline)
			return STOA_TIMED_OUT;
	}
}

/* ---- sections ---- */

static int section_size(HANDLE section, const char *name, uint64_t *ret_size)
{
	struct nt_section_info info;

	if (!nt_functions()->query_section ||
	    !NT_DONE(nt_functions()->query_section(section, NT_SECTION_BASIC, &info, sizeof(info), NULL)))
		return error_set(-STOA_ESYSTEM, "the system does not tell how long the section '%s' is", name);
	*ret_size = (uint64_t)info.size.QuadPart;
	return 0;
}

static HANDLE create_section(const wchar_t *name, const struct os_kernel_section *how, SECURITY_ATTRIBUTES *rights)
{
	SetLastError(ERROR_SUCCESS);
	return CreateFileMappingW(INVALID_HANDLE_VALUE, rights,
				  PAGE_READWRITE | (how->committed ? SEC_COMMIT : SEC_RESERVE),
				  (DWORD)(how->size >> 32), (DWORD)how->size, name);
}

int os_kernel_section(const char *name, const struct os_kernel_section *how, os_handle *ret_memory, uint64_t *ret_size)
{
	DWORD access = SECTION_MAP_READ | SECTION_QUERY | (how->writable ? SECTION_MAP_WRITE : 0);
	SECURITY_ATTRIBUTES *rights = sys_owner_only();
	HANDLE section = NULL;
	wchar_t wide[MAX_PATH];
	int rc = rights ? wide_name(name, wide) : -STOA_ESYSTEM, known;

	if (rc < 0)
		return rc;
	if (how->may_open)
		section = OpenFileMappingW(access, FALSE, wide);
	if (section) {
		rc = STOA_EXISTED;
	} else if (how->may_open && (!how->may_create || GetLastError() != ERROR_FILE_NOT_FOUND)) {
		rc = failed(name, false);
	} else {
		section = create_section(wide, how, rights);
		rc = created(section, name, how->may_open);
	}
	if (rc < 0)
		return rc;
	known = section_size(section, name, ret_size);
	if (known < 0) {
		CloseHandle(section);
		return known;
	}
	memory_refresh((os_handle)section, NULL);
	*ret_memory = (os_handle)section;
	return rc;
}
