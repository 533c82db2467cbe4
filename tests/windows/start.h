/* SPDX-License-Identifier: MIT */
/* Starting programs, for tests on Windows. */
#ifndef TESTS_WINDOWS_START_H
#define TESTS_WINDOWS_START_H

#include <stdbool.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* By its command line. `how` may be NULL. The handles of *ret_process are the caller's; false: GetLastError(). */
bool start_program(const char *line, bool inherits, DWORD flags, STARTUPINFOA *how, PROCESS_INFORMATION *ret_process);

/* Wait for its end, close both handles: its exit code. */
DWORD finish_program(PROCESS_INFORMATION *process);

#endif
