/* SPDX-License-Identifier: MIT */
/* See system.h. */
#include <kill/system.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

const unsigned start_cost = 5;

void slay(pid_t role)
{
	HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)role);

	CHECK(process && TerminateProcess(process, 1));
	CloseHandle(process);
}

void run_on(unsigned cpu)
{
	SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu);
}
