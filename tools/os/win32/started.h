/* SPDX-License-Identifier: MIT */
/* Starting processes on Windows: what process.c and pipeline.c share. Part of process.c. */
#ifndef TOOLS_OS_WIN32_STARTED_H
#define TOOLS_OS_WIN32_STARTED_H

#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* The words, quoted as programs take command lines apart; free(). NULL: no memory. */
wchar_t *started_command_line(char *const *words);

/* CreateProcessW() with inheritance, tried again where Wine loses a new process. 0 or the system's error. */
DWORD started_create(wchar_t *program, wchar_t *command, DWORD flags, STARTUPINFOEXW *how,
		     PROCESS_INFORMATION *ret_started);

#endif
