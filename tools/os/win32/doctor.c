/* SPDX-License-Identifier: MIT */
/* What this Windows offers to stoa. Probes by asking and trying on objects of its own; changes nothing. */
#include "../doctor.h"
#include "native.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static void probe_system(struct doctor_finding *finding)
{
	LONG(WINAPI * get_version)(OSVERSIONINFOW * version);
	const char *(*wine_version)(void);
	bool wine = native_function("wine_get_version", &wine_version);
	OSVERSIONINFOW version = {.dwOSVersionInfoSize = sizeof(version)};

	finding->topic = "system";
	if (native_function("RtlGetVersion", &get_version))
		get_version(&version);
	snprintf(finding->state, sizeof(finding->state), "Windows %lu.%lu, build %lu%s%s", version.dwMajorVersion,
		 version.dwMinorVersion, version.dwBuildNumber, wine ? ", by Wine " : "", wine ? wine_version() : "");
	if (version.dwMajorVersion < 10) {
		finding->level = DOCTOR_WARN;
		snprintf(finding->consequence, sizeof(finding->consequence), "stoa is made for Windows 10 and later");
	}
}

static void probe_memory(struct doctor_finding *finding)
{
	MEMORYSTATUSEX memory = {.dwLength = sizeof(memory)};

	finding->topic = "commit limit";
	GlobalMemoryStatusEx(&memory);
	snprintf(finding->state, sizeof(finding->state), "%llu MiB of %llu MiB can still be committed",
		 (unsigned long long)memory.ullAvailPageFile >> 20, (unsigned long long)memory.ullTotalPageFile >> 20);
	if (memory.ullAvailPageFile < memory.ullTotalPageFile / 10) {
		finding->level = DOCTOR_WARN;
		snprintf(finding->consequence, sizeof(finding->consequence), "commits will soon fail with STOA_ENOMEM");
		snprintf(finding->remedy, sizeof(finding->remedy), "end programs, or enlarge the page file");
	}
}

static bool has_privilege(const wchar_t *name)
{
	PRIVILEGE_SET set = {.PrivilegeCount = 1, .Control = PRIVILEGE_SET_ALL_NECESSARY};
	HANDLE token;
	BOOL held = FALSE;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return false;
	if (LookupPrivilegeValueW(NULL, name, &set.Privilege[0].Luid))
		(void)PrivilegeCheck(token, &set, &held);
	CloseHandle(token);
	return held;
}

static void probe_global(struct doctor_finding *finding)
{
	DWORD session = 0;

	finding->topic = "global names";
	(void)ProcessIdToSessionId(GetCurrentProcessId(), &session);
	if (!session || has_privilege(L"SeCreateGlobalPrivilege")) {
		snprintf(finding->state, sizeof(finding->state), "can be made");
		return;
	}
	finding->level = DOCTOR_OFF;
	snprintf(finding->state, sizeof(finding->state), "cannot be made in session %lu", session);
	snprintf(finding->consequence, sizeof(finding->consequence), "STOA_GLOBAL fails with STOA_EACCES");
	snprintf(finding->remedy, sizeof(finding->remedy), "grant 'Create global objects' (SeCreateGlobalPrivilege)");
}

static void probe_growing_files(struct doctor_finding *finding)
{
	LONG(NTAPI * extend)(HANDLE section, LARGE_INTEGER * size);

	finding->topic = "growing files";
	if (native_function("NtExtendSection", &extend)) {
		snprintf(finding->state, sizeof(finding->state), "NtExtendSection is there");
		return;
	}
	finding->level = DOCTOR_OFF;
	snprintf(finding->state, sizeof(finding->state), "NtExtendSection is missing");
	snprintf(finding->consequence, sizeof(finding->consequence), "a mapped file keeps its length");
}

static void probe_wakes(struct doctor_finding *finding)
{
	finding->topic = "deaths";
	finding->level = DOCTOR_WARN;
	snprintf(finding->state, sizeof(finding->state), "wake-ups of the dead are not passed on by Windows");
	snprintf(finding->consequence, sizeof(finding->consequence),
		 "a wait whose waker is killed in the act goes on after up to 250 ms");
}

static void (*const probes[])(struct doctor_finding *finding) = {
	probe_system, probe_memory, probe_global, probe_growing_files, probe_wakes,
};

int doctor_probe(size_t i, struct doctor_finding *ret_finding)
{
	if (i >= sizeof(probes) / sizeof(*probes))
		return 0;
	*ret_finding = (struct doctor_finding){.level = DOCTOR_OK};
	probes[i](ret_finding);
	return 1;
}
