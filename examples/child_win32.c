/* SPDX-License-Identifier: MIT */
/* Children on Windows; see child.h. */
#include "child.h"

#include <process.h>
#include <stdio.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define KILLED 0xc000013au /* what Ctrl-C leaves */

int child_start(struct child *child, const char *argument)
{
	static wchar_t program[32768];
	wchar_t wide[128];

	fflush(NULL);
	if (!GetModuleFileNameW(NULL, program, sizeof(program) / sizeof(*program)) ||
	    swprintf(wide, sizeof(wide) / sizeof(*wide), L"%hs", argument) < 0)
		return -1;
	child->handle = _wspawnl(_P_NOWAIT, program, L"example", wide, NULL);
	child->id = child->handle == -1 ? 0 : GetProcessId((HANDLE)child->handle);
	return child->handle == -1 ? -1 : 0;
}

int child_wait(struct child *child)
{
	DWORD status;

	if (WaitForSingleObject((HANDLE)child->handle, INFINITE) != WAIT_OBJECT_0 ||
	    !GetExitCodeProcess((HANDLE)child->handle, &status))
		return -1;
	CloseHandle((HANDLE)child->handle);
	return status > INT32_MAX ? -1 : (int)status;
}

void child_kill(struct child *child)
{
	TerminateProcess((HANDLE)child->handle, KILLED);
}

void child_sleep(void)
{
	Sleep(INFINITE);
}
