/* SPDX-License-Identifier: MIT */
/* Clock, CPUs and time limit on Windows; see host.h. */
#include "../host.h"

#include <os/win32/wide.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

uint64_t host_now(void)
{
	static int64_t frequency;
	LARGE_INTEGER value;
	uint64_t ticks, rate;

	if (!frequency) {
		QueryPerformanceFrequency(&value);
		frequency = value.QuadPart;
	}
	rate = (uint64_t)frequency;
	QueryPerformanceCounter(&value);
	ticks = (uint64_t)value.QuadPart;
	return ticks / rate * UINT64_C(1000000000) + ticks % rate * UINT64_C(1000000000) / rate;
}

void host_sleep(uint64_t nanoseconds)
{
	Sleep((DWORD)((nanoseconds + 999999) / 1000000));
}

void host_yield(void)
{
	SwitchToThread();
}

/* The process's mask, which children get and which pinning a thread leaves as it is. */
static DWORD_PTR allowed(void)
{
	DWORD_PTR ours, all;

	return GetProcessAffinityMask(GetCurrentProcess(), &ours, &all) && ours ? ours : 1;
}

unsigned host_cpus(void)
{
	unsigned count = 0;

	for (DWORD_PTR set = allowed(); set; set &= set - 1)
		count++;
	return count;
}

void host_pin(unsigned place)
{
	DWORD_PTR set = allowed();

	for (place %= host_cpus(); place; place--)
		set &= set - 1;
	/* A refusal leaves the thread where it was: noisier, still correct. */
	(void)SetThreadAffinityMask(GetCurrentThread(), set & (~set + 1));
}

void host_unpin(void)
{
	(void)SetThreadAffinityMask(GetCurrentThread(), allowed());
}

const char *host_library(const void *something)
{
	static wchar_t wide[32768];
	static char *path;
	HMODULE module;
	DWORD length;

	if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
				something, &module))
		return NULL;
	length = GetModuleFileNameW(module, wide, sizeof(wide) / sizeof(*wide));
	free(path);
	path = wide_to_text(wide, length, NULL);
	return path;
}

void host_describe(char *words, size_t size)
{
	const char *processor = getenv("PROCESSOR_IDENTIFIER");

	snprintf(words, size, "%s, Windows", processor ? processor : "unknown processor");
}

FILE *host_create(const char *path)
{
	wchar_t *wide = wide_path(path);
	FILE *file = wide ? _wfopen(wide, L"wb") : NULL;

	free(wide);
	return file;
}

static void CALLBACK expired(void *argument, BOOLEAN fired)
{
	(void)fired;
	fprintf(stderr, "\nstoa: bench: a pair took longer than a minute, the case hangs: %s\n",
		(const char *)argument);
	TerminateProcess(GetCurrentProcess(), 1);
}

void host_watch(const char *name, unsigned seconds)
{
	static HANDLE timer;

	if (timer && DeleteTimerQueueTimer(NULL, timer, INVALID_HANDLE_VALUE))
		timer = NULL;
	if (seconds && !timer)
		(void)CreateTimerQueueTimer(&timer, NULL, expired, (void *)(uintptr_t)name, seconds * 1000, 0,
					    WT_EXECUTEONLYONCE);
}
