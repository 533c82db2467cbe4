/* SPDX-License-Identifier: MIT */
/* See system.h. */
#include <kill/system.h>

#include <harness/harness.h>
#include <os/win32/sys.h>
#include <stdio.h>
#include <windows/objects_each.h>

const unsigned kills_each = 15;

void slay(pid_t role)
{
	HANDLE process = OpenProcess(PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)role);

	CHECK(process && TerminateProcess(process, HARNESS_KILLED));
	CloseHandle(process);
}

/* A function of the system's that no header declares, on all threads of the process. */
static void on_all_threads(const char *function, pid_t role)
{
	HANDLE process = OpenProcess(PROCESS_SUSPEND_RESUME, FALSE, (DWORD)role);
	FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), function);
	LONG(NTAPI * call)(HANDLE process);

	CHECK(process && found);
	memcpy(&call, &found, sizeof(call));
	CHECK(call(process) >= 0);
	CloseHandle(process);
}

void halt(pid_t role)
{
	on_all_threads("NtSuspendProcess", role);
}

void resume(pid_t role)
{
	on_all_threads("NtResumeProcess", role);
}

void run_on(unsigned cpu)
{
	SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu);
}

static wchar_t noted[SYS_NAME_ROOM], mark[64]; /* parts of names */

void note_objects(const volatile void *address)
{
	struct sys_place place;

	CHECK(sys_place_of(address, &place));
	swprintf(noted, SYS_NAME_ROOM, L".%016llx%016llx.", place.identity[0], place.identity[1]);
	swprintf(mark, CC_COUNT(mark), L".%hs", test_name(""));
}

static void count_noted(const wchar_t *kind, const wchar_t *name, void *argument)
{
	(void)kind;
	*(unsigned *)argument += wcsstr(name, noted) || wcsstr(name, mark);
}

unsigned count_objects(void)
{
	unsigned count = 0;

	objects_each(count_noted, &count);
	return count;
}
