/* SPDX-License-Identifier: MIT */
/* Windows: clock, processors, randomness. Uses base. */
#include <os/win32/sys.h>

#include <base/error.h>

/* In the system's advapi32 since Windows XP under this name only. */
BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG length);

/* One clock for the whole system: processes may compare what they read. */
uint64_t os_now(void)
{
	static LONGLONG frequency;
	LARGE_INTEGER now;
	uint64_t whole, rest;

	if (!frequency) {
		LARGE_INTEGER found;

		QueryPerformanceFrequency(&found);
		frequency = found.QuadPart;
	}
	QueryPerformanceCounter(&now);
	whole = (uint64_t)(now.QuadPart / frequency);
	rest = (uint64_t)(now.QuadPart % frequency);
	return whole * UINT64_C(1000000000) + rest * UINT64_C(1000000000) / (uint64_t)frequency;
}

uint32_t os_thread_id(void)
{
	return GetCurrentThreadId() & OS_LIFE_ID;
}

bool os_thread_runs(uint32_t id)
{
	HANDLE thread = OpenThread(THREAD_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id);
	bool runs = thread && GetProcessIdOfThread(thread) == GetCurrentProcessId() &&
		    WaitForSingleObject(thread, 0) == WAIT_TIMEOUT;

	if (thread)
		CloseHandle(thread);
	return runs;
}

uint64_t os_process_id(void)
{
	return GetCurrentProcessId();
}

void os_yield(void)
{
	if (!SwitchToThread())
		Sleep(0);
}

unsigned os_cpu_count(void)
{
	DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);

	return count > 1 ? count : 1;
}

int os_random(void *bytes, size_t length)
{
	if (length > ULONG_MAX || !SystemFunction036(bytes, (ULONG)length))
		return error_set(-STOA_ESYSTEM, "the system gives no random numbers");
	return 0;
}
