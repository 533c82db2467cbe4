/* SPDX-License-Identifier: MIT */
/* Starting and watching copies of this program on Windows. Children die with us: they are in a job that ends with its handle. */
#include "../process.h"
#include "native.h"
#include "started.h"
#include "wide.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* Whom we started and have not seen the end of. A handle keeps the id from being used again. */
struct child {
	struct child *next;
	int64_t id;
	HANDLE process;
	HANDLE thread; /* its first, which does its work */
};
static struct child *children;

/* Exit statuses that the system gives to processes that it ended have the bits of an error or warning set. */
#define SYSTEM_ENDED 0x80000000u
#define KILLED_STATUS 0xc000013au

#define TRIES 5

void process_guard_standard(void)
{
	/* New handles never take the places of the standard ones here. */
}

int64_t process_self(void)
{
	return GetCurrentProcessId();
}

unsigned process_cpu_count(void)
{
	DWORD_PTR ours, all;
	unsigned count = 0;

	if (!GetProcessAffinityMask(GetCurrentProcess(), &ours, &all))
		return 1;
	for (; ours; ours &= ours - 1)
		count++;
	return count ? count : 1;
}

/* One argument as the C runtime takes command lines apart: quoted, backslashes doubled where a quote follows. */
static char *quote(char *to, const char *argument)
{
	size_t backslashes = 0;

	*to++ = '"';
	for (; *argument; argument++) {
		if (*argument == '"')
			for (backslashes++; backslashes; backslashes--)
				*to++ = '\\';
		backslashes = *argument == '\\' ? backslashes + 1 : 0;
		*to++ = *argument;
	}
	for (; backslashes; backslashes--)
		*to++ = '\\';
	*to++ = '"';
	*to++ = ' ';
	return to;
}

wchar_t *started_command_line(char *const *arguments)
{
	size_t room = 1;
	char *text, *end;
	wchar_t *wide;

	for (char *const *argument = arguments; *argument; argument++)
		room += 2 * strlen(*argument) + 3;
	end = text = malloc(room);
	if (!text)
		return NULL;
	for (char *const *argument = arguments; *argument; argument++)
		end = quote(end, *argument);
	wide = wide_from_text(text, (size_t)(end - text));
	free(text);
	return wide;
}

/* For their end with ours, however that comes. NULL where the system refuses: then the child's own look at its parent must do. */
static HANDLE shared_job(void)
{
	static HANDLE job;
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
							       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};

	if (!job) {
		job = CreateJobObjectW(NULL, NULL);
		if (job)
			SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits));
	}
	return job;
}

static HANDLE inheritable(DWORD which)
{
	HANDLE standard = GetStdHandle(which);

	if (standard && standard != INVALID_HANDLE_VALUE)
		SetHandleInformation(standard, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
	return standard;
}

DWORD started_create(wchar_t *program, wchar_t *command, DWORD flags, STARTUPINFOEXW *how,
		     PROCESS_INFORMATION *ret_started)
{
	DWORD error = 0;

	/* Of a thousand new processes Wine loses about one before it runs anything, and says so with this error. */
	for (unsigned i = 0; i == 0 || (i < TRIES && error == ERROR_INTERNAL_ERROR); i++)
		error = CreateProcessW(program, command, NULL, NULL, TRUE, flags, NULL, NULL, &how->StartupInfo,
				       ret_started)
				? 0
				: GetLastError();
	return error;
}

/* In a group of its own, whose processes Ctrl-C leaves alone: it is ours. */
static DWORD create(wchar_t *program, wchar_t *command, STARTUPINFOEXW *how, PROCESS_INFORMATION *ret_started)
{
	return started_create(program, command, CREATE_NEW_PROCESS_GROUP | EXTENDED_STARTUPINFO_PRESENT, how,
			      ret_started);
}

/*
 * The job belongs to what the child is made with: one that joined afterwards could be left behind by a parent that is killed in between. Where
 * the system does not know that, it joins afterwards, and looks at its parent.
 */
static DWORD create_in_job(wchar_t *program, wchar_t *command, STARTUPINFOEXW *how, PROCESS_INFORMATION *ret_started)
{
	union {
		max_align_t alignment;
		char bytes[256];
	} room;
	LPPROC_THREAD_ATTRIBUTE_LIST list = (LPPROC_THREAD_ATTRIBUTE_LIST)(void *)room.bytes;
	SIZE_T size = sizeof(room);
	HANDLE job = shared_job();
	DWORD error;

	if (job && InitializeProcThreadAttributeList(list, 1, 0, &size)) {
		how->lpAttributeList = list;
		error = UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, &job, sizeof(job), NULL,
						  NULL)
				? create(program, command, how, ret_started)
				: GetLastError();
		DeleteProcThreadAttributeList(list);
		if (!error)
			return 0;
	}
	how->lpAttributeList = NULL;
	error = create(program, command, how, ret_started);
	if (!error && job)
		AssignProcessToJobObject(job, ret_started->hProcess);
	return error;
}

static DWORD start(wchar_t *program, wchar_t *command, struct child *child)
{
	SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
	HANDLE null = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited,
				  OPEN_EXISTING, 0, NULL);
	STARTUPINFOEXW how = {.StartupInfo = {.cb = sizeof(how),
					      .dwFlags = STARTF_USESTDHANDLES,
					      .hStdInput = inheritable(STD_INPUT_HANDLE),
					      .hStdOutput = null,
					      .hStdError = inheritable(STD_ERROR_HANDLE)}};
	PROCESS_INFORMATION started;
	DWORD error = create_in_job(program, command, &how, &started);

	if (!error) {
		child->id = started.dwProcessId;
		child->process = started.hProcess;
		child->thread = started.hThread;
	}
	if (null != INVALID_HANDLE_VALUE)
		CloseHandle(null);
	return error;
}

int process_start(char *const *arguments, int64_t *ret_id)
{
	static wchar_t program[32768];
	struct child *child = malloc(sizeof(*child));
	wchar_t *command = started_command_line(arguments);
	DWORD error = ERROR_NOT_ENOUGH_MEMORY;

	if (child && command) {
		DWORD length = GetModuleFileNameW(NULL, program, sizeof(program) / sizeof(*program));

		error = length ? start(program, command, child) : GetLastError();
	}
	free(command);
	if (error) {
		free(child);
		return (int)error;
	}
	child->next = children;
	children = child;
	*ret_id = child->id;
	return 0;
}

static int take_end(int64_t id, DWORD time, struct process_end *ret_end)
{
	struct child **link = &children, *child;
	DWORD status = KILLED_STATUS;

	while (*link && (*link)->id != id)
		link = &(*link)->next;
	child = *link;
	if (child) {
		if (WaitForSingleObject(child->process, time) == WAIT_TIMEOUT)
			return 0;
		GetExitCodeProcess(child->process, &status);
		CloseHandle(child->process);
		CloseHandle(child->thread);
		*link = child->next;
		free(child);
	}
	ret_end->killed = (status & SYSTEM_ENDED) != 0;
	ret_end->code = (int)(status & ~SYSTEM_ENDED);
	return 1;
}

int process_ended(int64_t id, struct process_end *ret_end)
{
	return take_end(id, 0, ret_end);
}

void process_join(int64_t id, struct process_end *ret_end)
{
	take_end(id, INFINITE, ret_end);
}

static const struct child *find_child(int64_t id)
{
	const struct child *child = children;

	while (child && child->id != id)
		child = child->next;
	return child;
}

#define THREAD_SUSPEND_COUNT 35 /* ThreadSuspendCount, Windows 8.1 */

bool process_stopped(int64_t id)
{
	LONG(NTAPI * query)(HANDLE thread, int what, void *buffer, ULONG room, ULONG *length);
	const struct child *child = find_child(id);
	ULONG count = 0;

	return child && native_function("NtQueryInformationThread", &query) &&
	       query(child->thread, THREAD_SUSPEND_COUNT, &count, sizeof(count), NULL) >= 0 && count > 0;
}

void process_kill(int64_t id)
{
	const struct child *child = find_child(id);

	if (child)
		TerminateProcess(child->process, KILLED_STATUS);
}

const char *process_killed_text(int code)
{
	static char text[32];

	switch ((unsigned)code | SYSTEM_ENDED) {
	case KILLED_STATUS: return "by another process, or Ctrl-C";
	case 0xc0000005u: return "by an access violation";
	case 0xc0000006u: return "by an in-page error";
	case 0xc00000fdu: return "by a stack overflow";
	default: snprintf(text, sizeof(text), "by the system (0x%08x)", (unsigned)code | SYSTEM_ENDED); return text;
	}
}
