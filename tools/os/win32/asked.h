/* SPDX-License-Identifier: MIT */
/* Requests to end (Ctrl-C, the window's end) that are first told, and only then obeyed. Part of console.c. */
#ifndef TOOLS_OS_WIN32_ASKED_H
#define TOOLS_OS_WIN32_ASKED_H

/* From now on a request makes console_asked() non-zero, and ends the process a moment later. */
void console_ask_first(void);
int console_asked(void); /* 0, or a number for console_end_as() */

#endif
