/* SPDX-License-Identifier: MIT */
/* See wide.h. */
#include "wide.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PREFIX_ROOM 8 /* of the longest prefix of paths */

/* One character at `text`; bytes that are no UTF-8 count as U+FFFD. */
static uint32_t take(const unsigned char **text, const unsigned char *end)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t first = *(*text)++, value;
	unsigned more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	const unsigned char *next = *text;

	if (!more)
		return first;
	if (first < 0xc2 || first > 0xf4 || (size_t)(end - next) < more)
		return 0xfffd;
	value = first & (0x3fu >> more);
	for (unsigned i = 0; i < more; i++) {
		if ((next[i] & 0xc0) != 0x80)
			return 0xfffd;
		value = value << 6 | (next[i] & 0x3fu);
	}
	if (value < least[more + 1] || value > 0x10ffff)
		return 0xfffd;
	*text = next + more;
	return value;
}

wchar_t *wide_from_text(const char *text, size_t bytes)
{
	const unsigned char *next = (const unsigned char *)text, *end = next + bytes;
	wchar_t *wide = malloc((bytes + 1) * sizeof(*wide)), *to = wide;

	if (!wide)
		return NULL;
	while (next < end) {
		uint32_t value = take(&next, end);

		if (value >= 0x10000) {
			*to++ = (wchar_t)(0xd7c0 + (value >> 10));
			value = 0xdc00 | (value & 0x3ff);
		}
		*to++ = (wchar_t)value;
	}
	*to = 0;
	return wide;
}

static size_t put(char *to, uint32_t value)
{
	if (value < 0x80) {
		to[0] = (char)value;
		return 1;
	}
	if (value < 0x800) {
		to[0] = (char)(0xc0 | value >> 6);
		to[1] = (char)(0x80 | (value & 0x3f));
		return 2;
	}
	if (value < 0x10000) {
		to[0] = (char)(0xe0 | value >> 12);
		to[1] = (char)(0x80 | (value >> 6 & 0x3f));
		to[2] = (char)(0x80 | (value & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | value >> 18);
	to[1] = (char)(0x80 | (value >> 12 & 0x3f));
	to[2] = (char)(0x80 | (value >> 6 & 0x3f));
	to[3] = (char)(0x80 | (value & 0x3f));
	return 4;
}

char *wide_to_text(const wchar_t *wide, size_t units, size_t *ret_bytes)
{
	char *text = malloc(units * 3 + 1);
	size_t length = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < units; i++) {
		uint32_t value = wide[i];

		if (value >= 0xd800 && value < 0xdc00 && i + 1 < units && (wide[i + 1] & 0xfc00) == 0xdc00)
			value = 0x10000 + ((value & 0x3ff) << 10) + (wide[++i] & 0x3ffu);
		length += put(text + length, value);
	}
	text[length] = 0;
	if (ret_bytes)
		*ret_bytes = length;
	return text;
}

/* What Windows makes of a path: absolute, without "." and "..", and without dots and blanks at the end. */
static wchar_t *full_path(const wchar_t *path, size_t room_before)
{
	DWORD room = GetFullPathNameW(path, 0, NULL, NULL);
	wchar_t *full = room ? malloc((room + room_before) * sizeof(*full)) : NULL;

	if (full)
		GetFullPathNameW(path, room, full + room_before, NULL);
	return full;
}

wchar_t *wide_path(const char *path)
{
	static const wchar_t prefix[] = L"\\\\?\\", network[] = L"\\\\?\\UNC\\";
	wchar_t *wide = wide_from_text(path, strlen(path)), *full, *at;

	if (!wide || !wcsncmp(wide, prefix, wcslen(prefix)))
		return wide;
	full = full_path(wide, PREFIX_ROOM);
	free(wide);
	if (!full)
		return NULL;
	at = full + PREFIX_ROOM;
	if (at[0] != L'\\' || at[1] != L'\\')
		wcscpy(full, prefix);
	else if (at[2] == L'?' || at[2] == L'.') /* //?/C:/a, or a device */
		full[0] = 0;
	else {
		wcscpy(full, network);
		at += 2;
	}
	memmove(full + wcslen(full), at, (wcslen(at) + 1) * sizeof(*full));
	return full;
}
