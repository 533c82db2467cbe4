/* SPDX-License-Identifier: MIT */
/*
 * Between UTF-8 and the system's 16-bit units, for what the tool asks Windows itself. Names may hold lone surrogates, which are no
 * characters: they pass through unharmed as three bytes each (the encoding called WTF-8).
 */
#ifndef TOOLS_OS_WIN32_WIDE_H
#define TOOLS_OS_WIN32_WIDE_H

#include <stddef.h>
#include <stdint.h>

/* New strings, for free(); NULL without memory. `units` and `bytes` are lengths without a final 0. */
wchar_t *wide_from_text(const char *text, size_t bytes);
char *wide_to_text(const wchar_t *wide, size_t units, size_t *ret_bytes);

/*
 * An absolute path in the form that has no limit of 260 units and gives no name a special meaning; one that has that form already is
 * taken as it is. As on Windows "NUL" and its like become devices, and dots and blanks at the end go.
 */
wchar_t *wide_path(const char *path);

/* The type of an entry, as in struct walk_entry, from its attributes and the tag of its reparse point. */
char walk_type(uint32_t attributes, uint32_t tag);

#endif
