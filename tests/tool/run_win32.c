/* SPDX-License-Identifier: MIT */
/* Runs the built tool with its outputs in files, over the Win32 API. */
#include "run.h"

#include "quote_win32.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "../tools/os/win32/wide.h"

static struct run last;

static HANDLE make_file(const char *name)
{
	SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
	char path[1024];
	HANDLE file;

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited,
			   CREATE_ALWAYS, 0, NULL);
	CHECK(file != INVALID_HANDLE_VALUE);
	return file;
}

static size_t take_file(HANDLE file, char *to, size_t room)
{
	DWORD length = 0;

	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	CHECK(ReadFile(file, to, (DWORD)room - 1, &length, NULL));
	CHECK_INT(length, <, room - 1);
	to[length] = 0;
	CloseHandle(file);
	return length;
}

static int run_line(const char *line, HANDLE out, HANDLE err)
{
	STARTUPINFOW how = {.cb = sizeof(how), .dwFlags = STARTF_USESTDHANDLES, .hStdOutput = out, .hStdError = err};
	PROCESS_INFORMATION process;
	wchar_t *wide = wide_from_text(line, strlen(line));
	DWORD status = 0;
	bool done = false;

	CHECK(wide != NULL);
	/* Of a thousand new processes Wine loses about one before it runs anything, and says so. */
	SetLastError(ERROR_INTERNAL_ERROR);
	for (unsigned i = 0; i < 5 && !done && GetLastError() == ERROR_INTERNAL_ERROR; i++)
		done = CreateProcessW(NULL, wide, NULL, NULL, TRUE, 0, NULL, NULL, &how, &process);
	CHECK(done);
	free(wide);
	WaitForSingleObject(process.hProcess, INFINITE);
	GetExitCodeProcess(process.hProcess, &status);
	CloseHandle(process.hProcess);
	CloseHandle(process.hThread);
	return (int)status;
}

const struct run *run_stoa(const char *first, ...)
{
	char line[QUOTED_LINE] = "\"" STOA_TOOL "\"";
	size_t length = strlen(line);
	HANDLE out = make_file("run.out"), err = make_file("run.err");
	va_list list;

	va_start(list, first);
	for (const char *argument = first; argument; argument = va_arg(list, const char *))
		length += quote_argument(line + length, sizeof(line) - length, argument);
	va_end(list);
	last.status = run_line(line, out, err);
	last.out_length = take_file(out, last.out, sizeof(last.out));
	take_file(err, last.err, sizeof(last.err));
	return &last;
}

void check_json_in_python(const char *text)
{
	(void)text; /* there is none on this side */
}
