/* SPDX-License-Identifier: MIT */
/*
 * The named sections of this session and of the host, whoever made them, from the system's object directories. Windows tells no
 * ordinary user who has a section open or mapped: users stay unknown, and nothing is called orphaned, as a section without
 * users does not exist.
 */
#include "../scan.h"
#include "native.h"
#include "wide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <winternl.h>

#ifndef DIRECTORY_QUERY
#define DIRECTORY_QUERY 1
#endif

struct directory_entry {
	UNICODE_STRING name;
	UNICODE_STRING type;
};
struct section_information {
	void *base;
	ULONG attributes;
	LARGE_INTEGER size;
};

static uint64_t size_of(const wchar_t *name)
{
	/* Query access alone would be taken for FILE_MAP_COPY, which is the same number. */
	HANDLE section = OpenFileMappingW(SECTION_QUERY | FILE_MAP_READ, FALSE, name);
	LONG(NTAPI * query)(HANDLE section, int what, void *buffer, SIZE_T room, SIZE_T *length);
	struct section_information found;
	uint64_t size = SCAN_UNKNOWN;

	if (section && native_function("NtQuerySection", &query) && query(section, 0, &found, sizeof(found), NULL) >= 0)
		size = (uint64_t)found.size.QuadPart;
	if (section)
		CloseHandle(section);
	return size;
}

static int add(struct scan *scan, const wchar_t *space, const UNICODE_STRING *name)
{
	struct scan_object *objects = realloc(scan->objects, (scan->count + 1) * sizeof(*objects));
	size_t units = name->Length / sizeof(wchar_t), before = wcslen(space);
	struct scan_object *object;
	wchar_t *full;

	if (!objects)
		return ENOMEM;
	scan->objects = objects;
	full = malloc((before + units + 1) * sizeof(*full));
	if (!full)
		return ENOMEM;
	wcscpy(full, space);
	memcpy(full + before, name->Buffer, units * sizeof(*full));
	full[before + units] = 0;
	object = &objects[scan->count];
	*object = (struct scan_object){
		.kind = SCAN_SECTION,
		.name = wide_to_text(full, before + units, NULL),
		.size = size_of(full),
		.resident = SCAN_UNKNOWN,
		.owner = UINT32_MAX,
	};
	free(full);
	if (!object->name)
		return ENOMEM;
	scan->count++;
	return 0;
}

/* Sections of one directory; `space` is what programs put before their names to reach it. */
static int scan_directory(struct scan *scan, const wchar_t *path, const wchar_t *space)
{
	LONG(NTAPI * open)(HANDLE * directory, ACCESS_MASK access, OBJECT_ATTRIBUTES * attributes);
	LONG(NTAPI * query)
	(HANDLE directory, void *buffer, ULONG room, BOOLEAN single, BOOLEAN restart, ULONG *context, ULONG *length);
	UNICODE_STRING name = {(USHORT)(wcslen(path) * sizeof(wchar_t)), (USHORT)((wcslen(path) + 1) * sizeof(wchar_t)),
			       (wchar_t *)(uintptr_t)path};
	OBJECT_ATTRIBUTES attributes;
	static struct directory_entry buffer[512];
	ULONG context = 0, length;
	HANDLE directory;
	int error = 0;

	InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL);
	if (!native_function("NtOpenDirectoryObject", &open) || !native_function("NtQueryDirectoryObject", &query) ||
	    open(&directory, DIRECTORY_QUERY, &attributes) < 0) {
		scan->directories_refused++;
		return 0;
	}
	while (!error && query(directory, buffer, sizeof(buffer), TRUE, FALSE, &context, &length) >= 0)
		if (buffer[0].type.Length == 7 * sizeof(wchar_t) && !wcsncmp(buffer[0].type.Buffer, L"Section", 7))
			error = add(scan, space, &buffer[0].name);
	CloseHandle(directory);
	return error;
}

int scan_host(bool all_files, void (*progress)(uint64_t processes), struct scan **ret_scan)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	wchar_t session_path[64];
	DWORD session = 0;
	int error;

	(void)all_files, (void)progress;
	if (!scan)
		return ENOMEM;
	scan->hidden = SCAN_HIDDEN_USERS;
	error = scan_directory(scan, L"\\BaseNamedObjects", L"Global\\");
	if (!error && ProcessIdToSessionId(GetCurrentProcessId(), &session) && session) {
		swprintf(session_path, sizeof(session_path) / sizeof(*session_path),
			 L"\\Sessions\\%lu\\BaseNamedObjects", session);
		error = scan_directory(scan, session_path, L"Local\\");
	}
	if (error) {
		scan_destroy(scan);
		return error;
	}
	*ret_scan = scan;
	return 0;
}

void scan_destroy(struct scan *scan)
{
	for (size_t i = 0; scan && i < scan->count; i++)
		free(scan->objects[i].name);
	if (scan)
		free(scan->objects);
	free(scan);
}

int scan_orphaned(const struct scan *scan, const struct scan_object *object)
{
	(void)scan, (void)object;
	return 0;
}

const char *scan_remedy(void)
{
	return "run as an administrator to see all";
}
