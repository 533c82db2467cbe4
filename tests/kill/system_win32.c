/* SPDX-License-Identifier: MIT */
/* See system.h. */
#include <kill/system.h>

#include <harness/harness.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

const unsigned start_cost = 5;
const unsigned kills_each = 25;

void slay(pid_t role)
{
	HANDLE process = OpenProcess(PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)role);

	CHECK(process && TerminateProcess(process, HARNESS_KILLED));
	CloseHandle(process);
}

void run_on(unsigned cpu)
{
	SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu);
}
