/* SPDX-License-Identifier: MIT */
/* See system.h. */
#include <kill/system.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* What tests/harness/win32.c gives to what it kills. */
#define KILLED 0x4b494c4cu

const unsigned start_cost = 5;

void slay(pid_t role)
{
	HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)role);

	CHECK(process && TerminateProcess(process, KILLED));
	CloseHandle(process);
}

void run_on(unsigned cpu)
{
	SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu);
}
