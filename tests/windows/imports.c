/* SPDX-License-Identifier: MIT */
/* See imports.h. The tables are those of the executable file, as it was loaded. */
#include <windows/imports.h>

#define WIN32_LEAN_AND_MEAN
#include <string.h>
#include <windows.h>

void imports_each(void (*visit)(const char *library, const char *function, import_function **place, void *argument),
		  void *argument)
{
	char *program = (char *)GetModuleHandleW(NULL);
	const IMAGE_NT_HEADERS *headers =
		(const void *)(program + ((const IMAGE_DOS_HEADER *)(const void *)program)->e_lfanew);
	const IMAGE_DATA_DIRECTORY *directory = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
	const IMAGE_IMPORT_DESCRIPTOR *library = (const void *)(program + directory->VirtualAddress);

	for (; library->Name; library++) {
		const IMAGE_THUNK_DATA *named = (const void *)(program + library->OriginalFirstThunk);
		import_function **places = (void *)(program + library->FirstThunk);

		for (size_t i = 0; named[i].u1.AddressOfData; i++) {
			const IMAGE_IMPORT_BY_NAME *entry = (const void *)(program + named[i].u1.AddressOfData);

			if (!IMAGE_SNAP_BY_ORDINAL(named[i].u1.Ordinal))
				visit(program + library->Name, (const char *)entry->Name, &places[i], argument);
		}
	}
}

struct wanted {
	const char *function;
	import_function *instead, *before;
};

static void redirect(const char *library, const char *function, import_function **place, void *argument)
{
	struct wanted *wanted = argument;
	DWORD protection;

	(void)library;
	if (strcmp(function, wanted->function) != 0 ||
	    !VirtualProtect(place, sizeof(*place), PAGE_READWRITE, &protection))
		return;
	wanted->before = *place;
	*place = wanted->instead;
	VirtualProtect(place, sizeof(*place), protection, &protection);
}

import_function *imports_redirect(const char *function, import_function *instead)
{
	struct wanted wanted = {function, instead, NULL};

	imports_each(redirect, &wanted);
	return wanted.before;
}
