/* SPDX-License-Identifier: MIT */
/* A plain search with FindFirstFile, one directory after the other, as most programs for Windows do it; see rival.h. */
#include "../rival.h"

#include <os/win32/wide.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

const char rival_search_case[] = "find.windows";
const char rival_search_about[] = "stoa find in the system's folder, everything in the cache";
const char rival_search_name[] = "FindFirstFile";

void rival_search_choose(bool quick, struct rival_search *ret_search)
{
	static char *tree;
	wchar_t wide[MAX_PATH + 16];
	UINT length = GetWindowsDirectoryW(wide, MAX_PATH);

	if (quick)
		wcscpy(wide + length, L"\\system32");
	free(tree);
	tree = wide_to_text(wide, wcslen(wide), NULL);
	*ret_search = (struct rival_search){
		.tree = tree,
		.name = rival_search_name,
		.arguments = {"stoa", "bench", "--rival-search", tree, NULL},
		.missing = length && tree ? NULL : "no folder of the system",
	};
}

/* A path of any length, in both encodings; names are put behind it and taken off again. */
struct place {
	wchar_t wide[32768];
	size_t units;
	char text[3 * 32768];
	size_t bytes;
};

static bool is_folder(const WIN32_FIND_DATAW *found)
{
	bool link = found->dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT &&
		    (found->dwReserved0 == IO_REPARSE_TAG_SYMLINK || found->dwReserved0 == IO_REPARSE_TAG_MOUNT_POINT);

	return found->dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY && !link;
}

/* Put a name and what stands before it behind the path, and print the whole. False: too long. */
static bool enter(struct place *place, const wchar_t *name)
{
	size_t units = wcslen(name), bytes = 0;
	char *text = wide_to_text(name, units, &bytes);
	bool fits = text && place->units + units + 4 < sizeof(place->wide) / sizeof(*place->wide);

	if (fits) {
		place->wide[place->units] = L'\\';
		wcscpy(place->wide + place->units + 1, name);
		place->text[place->bytes] = '/';
		memcpy(place->text + place->bytes + 1, text, bytes);
		place->units += 1 + units;
		place->bytes += 1 + bytes;
		place->text[place->bytes] = '\n';
		fwrite(place->text, 1, place->bytes + 1, stdout);
	}
	free(text);
	return fits;
}

/* What lies in it, then in the folders in it. 0, or 1: something could not be read. */
static int search(struct place *place)
{
	size_t units = place->units, bytes = place->bytes;
	WIN32_FIND_DATAW found;
	HANDLE list;
	int status = 0;

	wcscpy(place->wide + units, L"\\*");
	list = FindFirstFileExW(place->wide, FindExInfoBasic, &found, FindExSearchNameMatch, NULL,
				FIND_FIRST_EX_LARGE_FETCH);
	if (list == INVALID_HANDLE_VALUE)
		return 1;
	do {
		if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0)
			continue;
		if (!enter(place, found.cFileName))
			status = 1;
		else if (is_folder(&found))
			status |= search(place);
		place->units = units;
		place->bytes = bytes;
	} while (FindNextFileW(list, &found));
	FindClose(list);
	return status;
}

int rival_search_run(const char *tree)
{
	static struct place place;
	wchar_t *wide = wide_path(tree);

	if (!wide)
		return 1;
	place.units = wcslen(wide);
	place.bytes = strlen(tree);
	memcpy(place.wide, wide, place.units * sizeof(*wide));
	memcpy(place.text, tree, place.bytes);
	free(wide);
	puts(tree);
	return search(&place);
}
