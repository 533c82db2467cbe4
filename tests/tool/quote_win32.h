/* SPDX-License-Identifier: MIT */
/* Arguments as programs of Windows take command lines apart. */
#ifndef TOOL_QUOTE_WIN32_H
#define TOOL_QUOTE_WIN32_H

#include <harness/test.h>

#define QUOTED_LINE 8192

/* A blank and one argument, quoted; returns how long that is. */
static inline size_t quote_argument(char *to, size_t room, const char *argument)
{
	size_t length = 0, backslashes = 0;

	CHECK_INT(2 * strlen(argument) + 4, <, room);
	to[length++] = ' ';
	to[length++] = '"';
	for (; *argument; argument++) {
		for (; *argument == '"' && backslashes; backslashes--)
			to[length++] = '\\';
		if (*argument == '"')
			to[length++] = '\\';
		backslashes = *argument == '\\' ? backslashes + 1 : 0;
		to[length++] = *argument;
	}
	for (; backslashes; backslashes--)
		to[length++] = '\\';
	to[length++] = '"';
	to[length] = 0;
	return length;
}

#endif
