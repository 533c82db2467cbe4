/* SPDX-License-Identifier: MIT */
/* Private memory and files by the calls of Windows; see rival.h. */
#include "../rival.h"

#include <os/win32/wide.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

int rival_memory_make(size_t length, void **ret_bytes)
{
	void *bytes = VirtualAlloc(NULL, length, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

	if (!bytes)
		return (int)GetLastError();
	*ret_bytes = bytes;
	return 0;
}

void rival_memory_free(void *bytes, size_t length)
{
	(void)length;
	VirtualFree(bytes, 0, MEM_RELEASE);
}

const char rival_commit_name[] = "one VirtualAlloc, private memory";
const char rival_commit_page_name[] = "VirtualAlloc of a private page";

int rival_reserve_make(size_t length, struct rival_reserve *ret_reserve)
{
	char *address = VirtualAlloc(NULL, length, MEM_RESERVE, PAGE_READWRITE);

	if (!address)
		return (int)GetLastError();
	*ret_reserve = (struct rival_reserve){-1, address, length};
	return 0;
}

int rival_reserve_commit(struct rival_reserve *reserve, size_t offset, size_t length)
{
	return VirtualAlloc(reserve->address + offset, length, MEM_COMMIT, PAGE_READWRITE) ? 0 : (int)GetLastError();
}

void rival_reserve_free(struct rival_reserve *reserve)
{
	VirtualFree(reserve->address, 0, MEM_RELEASE);
}

const char rival_read_name[] = "ReadFile";
const char rival_copy_name[] = "ReadFile and WriteFile of 256 KiB";

const char *rival_directory(void)
{
	static char *directory;
	wchar_t wide[MAX_PATH + 1];
	DWORD length = GetTempPathW(MAX_PATH + 1, wide);

	free(directory);
	directory = wide_to_text(wide, length, NULL);
	return directory ? directory : "";
}

/* A path of one's own in a directory. */
static wchar_t *new_path(const char *directory, char *path, size_t size)
{
	static unsigned count;
	int length = snprintf(path, size, "%s/stoa-bench-%lu-%u", directory, GetCurrentProcessId(), ++count);

	return length > 0 && (size_t)length < size ? wide_path(path) : NULL;
}

static HANDLE create(const wchar_t *path, DWORD more)
{
	return CreateFileW(path, GENERIC_READ | GENERIC_WRITE | DELETE,
			   FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, CREATE_NEW,
			   FILE_ATTRIBUTE_TEMPORARY | more, NULL);
}

/* By trying: what a directory lets one do is not to be read off it. */
int rival_directory_check(const char *directory)
{
	static char path[4096];
	wchar_t *wide = directory[0] ? new_path(directory, path, sizeof(path)) : NULL;
	HANDLE file = wide ? create(wide, FILE_FLAG_DELETE_ON_CLOSE) : INVALID_HANDLE_VALUE;
	DWORD error = !wide ? ERROR_PATH_NOT_FOUND : file == INVALID_HANDLE_VALUE ? GetLastError() : 0;

	free(wide);
	if (!error)
		CloseHandle(file);
	return (int)error;
}

int rival_file_make(const char *directory, struct rival_file *ret_file)
{
	wchar_t *wide = new_path(directory, ret_file->path, sizeof(ret_file->path));
	HANDLE file = wide ? create(wide, 0) : INVALID_HANDLE_VALUE;
	DWORD error = !wide ? ERROR_PATH_NOT_FOUND : file == INVALID_HANDLE_VALUE ? GetLastError() : 0;

	free(wide);
	ret_file->handle = (intptr_t)file;
	return (int)error;
}

int rival_file_read(struct rival_file *file, void *bytes, size_t length, uint64_t offset)
{
	OVERLAPPED place = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
	DWORD got;

	if (!ReadFile((HANDLE)file->handle, bytes, (DWORD)length, &got, &place))
		return (int)GetLastError();
	return got == length ? 0 : ERROR_HANDLE_EOF;
}

int rival_file_write(struct rival_file *file, const void *bytes, size_t length, uint64_t offset)
{
	OVERLAPPED place = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
	DWORD put;

	if (!WriteFile((HANDLE)file->handle, bytes, (DWORD)length, &put, &place))
		return (int)GetLastError();
	return put == length ? 0 : ERROR_DISK_FULL;
}

void rival_file_hide(struct rival_file *file)
{
	(void)file; /* a mapped file keeps its name here */
}

void rival_file_end(struct rival_file *file)
{
	wchar_t *wide;

	if (file->handle == -1)
		return;
	CloseHandle((HANDLE)file->handle);
	wide = wide_path(file->path);
	if (wide)
		DeleteFileW(wide);
	free(wide);
}
