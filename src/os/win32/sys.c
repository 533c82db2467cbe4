/* SPDX-License-Identifier: MIT */
/* Errors and names of the Windows half, and memory for our own structures. Uses base. */
#include <os/win32/sys.h>

#include <base/error.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	DWORD system;
	int error;
} errors[] = {
	{ERROR_FILE_NOT_FOUND, -STOA_ENOENT},
	{ERROR_PATH_NOT_FOUND, -STOA_ENOENT},
	{ERROR_BAD_NETPATH, -STOA_ENOENT},
	{ERROR_BAD_NET_NAME, -STOA_ENOENT},
	{ERROR_INVALID_PARAMETER, -STOA_EINVAL},
	{ERROR_INVALID_NAME, -STOA_ENAME},
	{ERROR_BAD_PATHNAME, -STOA_ENAME},
	{ERROR_FILENAME_EXCED_RANGE, -STOA_ENAME},
	{ERROR_ALREADY_EXISTS, -STOA_EEXIST},
	{ERROR_FILE_EXISTS, -STOA_EEXIST},
	{ERROR_ACCESS_DENIED, -STOA_EACCES},
	{ERROR_PRIVILEGE_NOT_HELD, -STOA_EACCES},
	{ERROR_INVALID_OWNER, -STOA_EACCES}, /* a thread that acts for another user */
	{ERROR_WRITE_PROTECT, -STOA_EACCES},
	{ERROR_NOT_ENOUGH_MEMORY, -STOA_ENOMEM},
	{ERROR_OUTOFMEMORY, -STOA_ENOMEM},
	{ERROR_COMMITMENT_LIMIT, -STOA_ENOMEM},
	{ERROR_COMMITMENT_MINIMUM, -STOA_ENOMEM},
	{ERROR_DISK_FULL, -STOA_ENOMEM},
	{ERROR_HANDLE_DISK_FULL, -STOA_ENOMEM},
	{ERROR_TOO_MANY_OPEN_FILES, -STOA_ELIMIT},
	{ERROR_NO_SYSTEM_RESOURCES, -STOA_ELIMIT},
	{ERROR_WORKING_SET_QUOTA, -STOA_ELIMIT},
	{ERROR_PAGEFILE_QUOTA, -STOA_ELIMIT},
	{ERROR_NOT_ENOUGH_QUOTA, -STOA_ELIMIT},
	{ERROR_MAX_THRDS_REACHED, -STOA_ELIMIT},
	{ERROR_FILE_TOO_LARGE, -STOA_ELIMIT},
	{ERROR_SHARING_VIOLATION, -STOA_EBUSY},
	{ERROR_LOCK_VIOLATION, -STOA_EBUSY},
	{ERROR_USER_MAPPED_FILE, -STOA_EBUSY},
	{ERROR_NOT_SUPPORTED, -STOA_ENOTSUP},
	{ERROR_CALL_NOT_IMPLEMENTED, -STOA_ENOTSUP},
	{ERROR_BROKEN_PIPE, -STOA_ECLOSED},
	{ERROR_NO_DATA, -STOA_ECLOSED},
	{ERROR_PIPE_NOT_CONNECTED, -STOA_ECLOSED},
	{ERROR_READ_FAULT, -STOA_EIO},
	{ERROR_WRITE_FAULT, -STOA_EIO},
	{ERROR_CRC, -STOA_EIO},
	{ERROR_IO_DEVICE, -STOA_EIO},
	{ERROR_NOT_READY, -STOA_EIO},
	{ERROR_SWAPERROR, -STOA_EIO},
};

int sys_error(DWORD system_error)
{
	for (size_t i = 0; i < CC_COUNT(errors); i++)
		if (errors[i].system == system_error)
			return errors[i].error;
	return -STOA_ESYSTEM;
}

/* The system's own words, without the final full stop and line end. */
static void describe(DWORD error, char *text, size_t room)
{
	wchar_t wide[256];
	DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, wide,
				      CC_COUNT(wide), NULL);
	int bytes;

	while (length && (wide[length - 1] <= L' ' || wide[length - 1] == L'.'))
		length--;
	bytes = WideCharToMultiByte(CP_UTF8, 0, wide, (int)length, text, (int)room - 1, NULL, NULL);
	if (bytes <= 0)
		snprintf(text, room, "system error %lu", error);
	else
		text[bytes] = 0;
}

int sys_failed(const char *format, ...)
{
	DWORD error = GetLastError();
	char what[256], why[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	describe(error, why, sizeof(why));
	error_set(-STOA_ESYSTEM, "%s: %s", what, why);
	SetLastError(error);
	return sys_error(error);
}

bool sys_wide(const char *text, wchar_t *wide, size_t room)
{
	return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, (int)room) > 0;
}

void sys_place_name(const char *kind, const struct sys_place *place, uint32_t number, wchar_t name[SYS_NAME_ROOM])
{
	char text[SYS_NAME_ROOM];

	snprintf(text, sizeof(text), "%s\\stoa.%s.%016" PRIx64 "%016" PRIx64 ".%" PRIx64 ".%" PRIx32,
		 place->space == SYS_GLOBAL ? "Global" : "Local", kind, place->identity[0], place->identity[1],
		 place->offset, number);
	for (size_t i = 0; i < SYS_NAME_ROOM; i++) {
		name[i] = (unsigned char)text[i];
		if (!text[i])
			break;
	}
}

void *os_allocate(size_t bytes)
{
	void *allocation = calloc(1, bytes); /* not through SYS(): that is Linux's seam */

	if (!allocation)
		(void)error_set(-STOA_ENOMEM, "no memory for %zu bytes of the library's own", bytes);
	return allocation;
}

void os_free(void *allocation)
{
	free(allocation);
}

void *os_pages_allocate(uint64_t bytes)
{
	void *pages = VirtualAlloc(NULL, (SIZE_T)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

	if (!pages)
		(void)error_set(-STOA_ENOMEM, "no memory for %" PRIu64 " bytes of our own", bytes);
	return pages;
}

void os_pages_free(void *pages, uint64_t bytes)
{
	(void)bytes;
	(void)VirtualFree(pages, 0, MEM_RELEASE);
}
