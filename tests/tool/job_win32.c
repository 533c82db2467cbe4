/* SPDX-License-Identifier: MIT */
/* The tool beside the test, over the Win32 API. */
#include "job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "../tools/os/win32/wide.h"
#include "quote_win32.h"

#define JOBS 64
#define KILLED 0x40000009u /* of whom kill_stoa() ends */

struct job {
	HANDLE process, input, output;
	char errors[1 << 12];
};
static struct job jobs[JOBS];
static unsigned job_count;

/* What the child gets, which it alone inherits; *ret_ours is our end of a pipe, or NULL. */
static HANDLE open_stream(const char *what, bool is_input, HANDLE *ret_ours)
{
	HANDLE ends[2], stream;

	*ret_ours = NULL;
	if (what == JOB_PIPE) {
		CHECK(CreatePipe(&ends[0], &ends[1], NULL, 65536));
		*ret_ours = ends[is_input];
		return ends[!is_input];
	}
	stream = CreateFileA(what ? what : "NUL", is_input ? GENERIC_READ : GENERIC_WRITE,
			     FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
			     is_input || !what ? OPEN_EXISTING : CREATE_ALWAYS, 0, NULL);
	CHECK(stream != INVALID_HANDLE_VALUE);
	return stream;
}

static const char *errors_path(const struct job *job)
{
	char name[32];

	snprintf(name, sizeof(name), "job-%u.err", (unsigned)(job - jobs));
	return job_path(name);
}

static void start_line(struct job *job, const char *line, HANDLE streams[3])
{
	STARTUPINFOW how = {.cb = sizeof(how),
			    .dwFlags = STARTF_USESTDHANDLES,
			    .hStdInput = streams[0],
			    .hStdOutput = streams[1],
			    .hStdError = streams[2]};
	PROCESS_INFORMATION process;
	wchar_t *wide = wide_from_text(line, strlen(line));
	bool done = false;

	CHECK(wide != NULL);
	for (int i = 0; i < 3; i++)
		SetHandleInformation(streams[i], HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
	/* Of a thousand new processes Wine loses about one before it runs anything, and says so. */
	SetLastError(ERROR_INTERNAL_ERROR);
	for (unsigned i = 0; i < 5 && !done && GetLastError() == ERROR_INTERNAL_ERROR; i++)
		done = CreateProcessW(NULL, wide, NULL, NULL, TRUE, 0, NULL, NULL, &how, &process);
	CHECK(done);
	free(wide);
	CloseHandle(process.hThread);
	job->process = process.hProcess;
}

struct job *start_stoa(const char *input, const char *output, const char *first, ...)
{
	char line[QUOTED_LINE] = "\"" STOA_TOOL "\"";
	size_t length = strlen(line);
	struct job *job = &jobs[job_count++];
	HANDLE streams[3];
	va_list list;

	CHECK_INT(job_count, <=, JOBS);
	va_start(list, first);
	for (const char *argument = first; argument; argument = va_arg(list, const char *))
		length += quote_argument(line + length, sizeof(line) - length, argument);
	va_end(list);
	streams[0] = open_stream(input, true, &job->input);
	streams[1] = open_stream(output, false, &job->output);
	streams[2] = CreateFileA(errors_path(job), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
				 CREATE_ALWAYS, 0, NULL);
	CHECK(streams[2] != INVALID_HANDLE_VALUE);
	start_line(job, line, streams);
	for (int i = 0; i < 3; i++)
		CloseHandle(streams[i]);
	return job;
}

int end_stoa(struct job *job)
{
	DWORD status = 0, got = 0;
	HANDLE errors;

	end_job_input(job);
	WaitForSingleObject(job->process, INFINITE);
	GetExitCodeProcess(job->process, &status);
	CloseHandle(job->process);
	end_job_output(job);
	errors = CreateFileA(errors_path(job), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0,
			     NULL);
	CHECK(errors != INVALID_HANDLE_VALUE);
	CHECK(ReadFile(errors, job->errors, sizeof(job->errors) - 1, &got, NULL));
	job->errors[got] = 0;
	CloseHandle(errors);
	return (int)status;
}

const char *job_errors(const struct job *job)
{
	return job->errors;
}

void kill_stoa(struct job *job)
{
	CHECK(TerminateProcess(job->process, KILLED));
	end_stoa(job);
}

int64_t job_process(const struct job *job)
{
	return GetProcessId(job->process);
}

void write_job(struct job *job, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		DWORD done = 0;

		CHECK(WriteFile(job->input, at, (DWORD)length, &done, NULL));
		at += done;
		length -= done;
	}
}

bool offer_job(struct job *job, char byte)
{
	DWORD done;

	return WriteFile(job->input, &byte, 1, &done, NULL);
}

static void end(HANDLE *pipe)
{
	if (*pipe)
		CloseHandle(*pipe);
	*pipe = NULL;
}

void end_job_input(struct job *job)
{
	end(&job->input);
}

size_t read_job(struct job *job, void *to, size_t room)
{
	DWORD got = 0;

	CHECK(ReadFile(job->output, to, (DWORD)room, &got, NULL) || GetLastError() == ERROR_BROKEN_PIPE);
	return got;
}

void end_job_output(struct job *job)
{
	end(&job->output);
}
