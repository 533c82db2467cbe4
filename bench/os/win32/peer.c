/* SPDX-License-Identifier: MIT */
/* Other processes on Windows; see peer.h. They are in a job that ends with its handle, which is ours. */
#include "../peer.h"

#include <os/win32/wide.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define TRIES 5
#define LINE 2048
#define KILLED_STATUS 0xc000013au

/* NULL where the system refuses: then a peer ends when its input does. */
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

static wchar_t *command_line(const char *const *arguments)
{
	char line[LINE];
	size_t used = 0;

	for (const char *const *argument = arguments; *argument && used < sizeof(line); argument++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "\"%s\" ", *argument);
	return used < sizeof(line) ? wide_from_text(line, used) : NULL;
}

/* A pipe, or nothing: our end, and the peer's, which alone is inherited. */
static DWORD make_stream(bool piped, bool peer_reads, HANDLE *ret_ours, HANDLE *ret_theirs)
{
	SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
	HANDLE read_end, write_end;

	*ret_ours = INVALID_HANDLE_VALUE;
	if (!piped) {
		*ret_theirs = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
					  &inherited, OPEN_EXISTING, 0, NULL);
		return *ret_theirs == INVALID_HANDLE_VALUE ? GetLastError() : 0;
	}
	*ret_theirs = INVALID_HANDLE_VALUE;
	if (!CreatePipe(&read_end, &write_end, &inherited, 65536))
		return GetLastError();
	*ret_ours = peer_reads ? write_end : read_end;
	*ret_theirs = peer_reads ? read_end : write_end;
	SetHandleInformation(*ret_ours, HANDLE_FLAG_INHERIT, 0);
	return 0;
}

static void let_go(HANDLE handle)
{
	if (handle && handle != INVALID_HANDLE_VALUE)
		CloseHandle(handle);
}

static DWORD start(wchar_t *command, STARTUPINFOW *how, HANDLE *ret_process)
{
	static wchar_t program[32768];
	PROCESS_INFORMATION started;
	DWORD error = ERROR_INTERNAL_ERROR;
	HANDLE job = shared_job();

	if (!GetModuleFileNameW(NULL, program, sizeof(program) / sizeof(*program)))
		return GetLastError();
	/* Of a thousand new processes Wine loses about one before it runs anything, and says so with this error. */
	for (unsigned i = 0; i < TRIES && error == ERROR_INTERNAL_ERROR; i++)
		error = CreateProcessW(program, command, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, how, &started)
				? 0
				: GetLastError();
	if (error)
		return error;
	if (job)
		AssignProcessToJobObject(job, started.hProcess);
	ResumeThread(started.hThread);
	CloseHandle(started.hThread);
	*ret_process = started.hProcess;
	return 0;
}

int peer_start(struct peer *peer, const char *program, const char *const *arguments, unsigned how)
{
	STARTUPINFOW streams = {.cb = sizeof(streams), .dwFlags = STARTF_USESTDHANDLES};
	HANDLE to = INVALID_HANDLE_VALUE, from = to, process = to, null = to;
	wchar_t *command = program ? NULL : command_line(arguments); /* no other programs are there to be measured */
	DWORD error = command ? 0 : ERROR_FILE_NOT_FOUND;

	*peer = (struct peer){-1, -1, -1};
	if (!error)
		error = make_stream(how & PEER_READS, true, &to, &streams.hStdInput);
	if (!error)
		error = make_stream(how & PEER_WRITES, false, &from, &streams.hStdOutput);
	streams.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	if (!error && how & PEER_QUIET) {
		HANDLE none;

		error = make_stream(false, false, &none, &null);
		streams.hStdError = null;
	} else if (!error && streams.hStdError && streams.hStdError != INVALID_HANDLE_VALUE) {
		SetHandleInformation(streams.hStdError, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
	}
	if (!error)
		error = start(command, &streams, &process);
	let_go(streams.hStdInput);
	let_go(streams.hStdOutput);
	let_go(null);
	free(command);
	if (error) {
		let_go(to);
		let_go(from);
		return (int)error;
	}
	*peer = (struct peer){(intptr_t)process, (intptr_t)to, (intptr_t)from};
	return 0;
}

bool peer_write(struct peer *peer, const void *bytes, size_t length)
{
	DWORD written;

	return WriteFile((HANDLE)peer->to, bytes, (DWORD)length, &written, NULL) && written == length;
}

size_t peer_read(struct peer *peer, void *bytes, size_t size)
{
	DWORD got;

	return ReadFile((HANDLE)peer->from, bytes, (DWORD)size, &got, NULL) ? got : 0;
}

int peer_end(struct peer *peer, bool kill)
{
	DWORD status = KILLED_STATUS;

	let_go((HANDLE)peer->to);
	let_go((HANDLE)peer->from);
	if (peer->process == -1)
		return -1;
	if (kill)
		TerminateProcess((HANDLE)peer->process, KILLED_STATUS);
	WaitForSingleObject((HANDLE)peer->process, INFINITE);
	GetExitCodeProcess((HANDLE)peer->process, &status);
	CloseHandle((HANDLE)peer->process);
	*peer = (struct peer){-1, -1, -1};
	return status > INT32_MAX ? -1 : (int)status; /* ends that are the system's doing have the highest bit */
}
