/* SPDX-License-Identifier: MIT */
/* What this Windows offers to stoa. Probes by asking, and by trying on objects and a file of its own, which are gone afterwards. */
#include "../doctor.h"
#include "native.h"
#include "wide.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

/* A field of the finding at hand. */
#define TELL(field, ...) snprintf(finding->field, sizeof(finding->field), __VA_ARGS__)

static void probe_system(struct doctor_finding *finding)
{
	LONG(WINAPI * get_version)(OSVERSIONINFOW * version);
	const char *(*wine_version)(void);
	bool wine = native_function("wine_get_version", &wine_version);
	OSVERSIONINFOW version = {.dwOSVersionInfoSize = sizeof(version)};

	if (native_function("RtlGetVersion", &get_version))
		get_version(&version);
	TELL(state, "Windows %lu.%lu, build %lu%s%s", version.dwMajorVersion, version.dwMinorVersion,
	     version.dwBuildNumber, wine ? ", as played by Wine " : "", wine ? wine_version() : "");
	if (version.dwMajorVersion < 10 && !wine) { /* there it is a setting, which changes nothing */
		finding->level = DOCTOR_WARN;
		TELL(consequence, "stoa is made for Windows 10 and later");
	}
}

static void probe_memory(struct doctor_finding *finding)
{
	MEMORYSTATUSEX memory = {.dwLength = sizeof(memory)};

	GlobalMemoryStatusEx(&memory);
	TELL(state, "%llu MiB of %llu MiB can still be committed", memory.ullAvailPageFile / MIB,
	     memory.ullTotalPageFile / MIB);
	if (memory.ullAvailPageFile < memory.ullTotalPageFile / 10) {
		finding->level = DOCTOR_WARN;
		TELL(consequence, "commits will soon fail with STOA_ENOMEM");
		TELL(remedy, "end programs, or enlarge the page file");
	}
}

/* As containers and services set them. */
static void probe_job(struct doctor_finding *finding)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
	uint64_t most = UINT64_MAX;
	BOOL inside = FALSE;

	memset(&limits, 0, sizeof(limits));
	if (!IsProcessInJob(GetCurrentProcess(), NULL, &inside) || !inside ||
	    !QueryInformationJobObject(NULL, JobObjectExtendedLimitInformation, &limits, sizeof(limits), NULL)) {
		TELL(state, "none limits this process");
		return;
	}
	if (limits.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_PROCESS_MEMORY)
		most = limits.ProcessMemoryLimit;
	if (limits.BasicLimitInformation.LimitFlags & JOB_OBJECT_LIMIT_JOB_MEMORY && limits.JobMemoryLimit < most)
		most = limits.JobMemoryLimit;
	if (most == UINT64_MAX) {
		TELL(state, "it sets no limit to memory");
		return;
	}
	finding->level = DOCTOR_WARN;
	TELL(state, "this process can commit no more than %llu MiB", (unsigned long long)(most / MIB));
	TELL(consequence, "commits beyond fail with STOA_ENOMEM, also where the system has memory");
	TELL(remedy, "raise the limit where the job (container, service) is made");
}

static void probe_global(struct doctor_finding *finding)
{
	wchar_t name[64];
	DWORD session = 0;
	HANDLE section;

	_snwprintf(name, sizeof(name) / sizeof(*name), L"Global\\stoa-doctor-%lu", GetCurrentProcessId());
	section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, name);
	if (section) {
		CloseHandle(section);
		TELL(state, "can be made");
		return;
	}
	finding->level = DOCTOR_OFF;
	(void)ProcessIdToSessionId(GetCurrentProcessId(), &session);
	TELL(state, "cannot be made in session %lu", session);
	TELL(consequence, "STOA_GLOBAL fails with STOA_EACCES");
	TELL(remedy,
	     "run as a service or an administrator, or have 'Create global objects' (SeCreateGlobalPrivilege) granted");
}

/* A mapped file of `path`, made for this, whose commit goes beyond what the first one mapped. */
static int grow_a_file(const char *path)
{
	struct stoa_segment_options options = {.flags = STOA_FILE_CREATE, .commit = 65536};
	struct stoa_segment *segment;
	int result = stoa_segment_file(path, MIB, &options, &segment);

	if (result < 0)
		return result;
	result = stoa_segment_commit(segment, MIB);
	stoa_segment_close(segment);
	return result;
}

static void probe_growing_files(struct doctor_finding *finding)
{
	wchar_t directory[MAX_PATH + 1], wide[MAX_PATH + 64];
	char *path;
	int result;

	GetTempPathW(MAX_PATH + 1, directory);
	_snwprintf(wide, sizeof(wide) / sizeof(*wide), L"%lsstoa-doctor-%lu", directory, GetCurrentProcessId());
	path = wide_to_text(wide, wcslen(wide), NULL);
	result = path ? grow_a_file(path) : -STOA_ENOMEM;
	DeleteFileW(wide);
	free(path);
	if (result >= 0) {
		TELL(state, "a mapped file grows in place, in every process");
		return;
	}
	finding->level = result == -STOA_ENOTSUP ? DOCTOR_OFF : DOCTOR_WARN;
	if (result == -STOA_ENOTSUP)
		TELL(state, "a mapped file keeps its length");
	else
		TELL(state, "could not be tried: %.100s", stoa_error_detail());
	TELL(consequence, "a commit of stoa_segment_file() beyond the file's length may fail");
	TELL(remedy, "make files as long as they will be before they are mapped");
}

static DWORD WINAPI take_and_end(void *mutex)
{
	return WaitForSingleObject(mutex, INFINITE);
}

/* Whether the end of a thread with a mutex is seen by others. */
static bool end_is_seen(void)
{
	HANDLE mutex = CreateMutexW(NULL, FALSE, NULL);
	HANDLE thread = mutex ? CreateThread(NULL, 0, take_and_end, mutex, 0, NULL) : NULL;
	bool seen = false;

	if (thread) {
		WaitForSingleObject(thread, INFINITE);
		seen = WaitForSingleObject(mutex, 0) == WAIT_ABANDONED;
		CloseHandle(thread);
	}
	if (mutex)
		CloseHandle(mutex);
	return seen;
}

static void probe_deaths(struct doctor_finding *finding)
{
	struct stoa_capabilities capabilities;

	if (stoa_inspect_capabilities(&capabilities) < 0 || !capabilities.life_words || !end_is_seen()) {
		finding->level = DOCTOR_OFF;
		TELL(state, "the end of a thread is not seen by others");
		TELL(consequence, "who waits for a mutex of the dead waits for ever");
	} else if (capabilities.relays_wakes) {
		TELL(state, "the end of a thread wakes others, and its wake-ups are passed on");
	} else {
		finding->level = DOCTOR_WARN;
		TELL(state, "the end of a thread wakes others, but nobody passes on a wake-up that died with it");
		TELL(consequence,
		     "when a process dies just as it wakes or is woken, the next goes on after up to 250 ms");
	}
}

static const struct {
	const char *topic;
	void (*probe)(struct doctor_finding *finding);
} probes[] = {
	{"system", probe_system},       {"commit limit", probe_memory},         {"job", probe_job},
	{"global names", probe_global}, {"growing files", probe_growing_files}, {"deaths", probe_deaths},
};

int doctor_probe(size_t i, struct doctor_finding *ret_finding)
{
	if (i >= sizeof(probes) / sizeof(*probes))
		return 0;
	*ret_finding = (struct doctor_finding){.topic = probes[i].topic, .level = DOCTOR_OK};
	probes[i].probe(ret_finding);
	return 1;
}
