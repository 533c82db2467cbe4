/* SPDX-License-Identifier: MIT */
/*
 * Between UTF-8 and the system's 16-bit units, for what the tool asks Windows itself. Names may hold lone surrogates, which are no
 * characters: they pass through unharmed as three bytes each (the encoding called WTF-8).
 */
#ifndef TOOLS_OS_WIN32_WIDE_H
#define TOOLS_OS_WIN32_WIDE_H

#include <stddef.h>

/* New strings, for free(); NULL without memory. `units` and `bytes` are lengths without a final 0. */
wchar_t *wide_from_text(const char *text, size_t bytes);
char *wide_to_text(const wchar_t *wide, size_t units, size_t *ret_bytes);

/* An absolute path in the form that has no limit of 260 units and gives no name a special meaning. */
wchar_t *wide_path(const char *path);

#endif
