/* SPDX-License-Identifier: MIT */
/* See start.h. */
#include "start.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 5

bool start_program(const char *line, bool inherits, DWORD flags, STARTUPINFOA *how, PROCESS_INFORMATION *ret_process)
{
	STARTUPINFOA plain = {.cb = sizeof(plain)};
	char *copy = _strdup(line); /* which the system may write to */
	bool done = false;

	/* Of a thousand new processes Wine loses about one before it runs anything, and says so. */
	SetLastError(ERROR_INTERNAL_ERROR);
	for (unsigned i = 0; copy && i < TRIES && !done && GetLastError() == ERROR_INTERNAL_ERROR; i++)
		done = CreateProcessA(NULL, copy, NULL, NULL, inherits, flags, NULL, NULL, how ? how : &plain,
				      ret_process);
	free(copy);
	return done;
}

DWORD finish_program(PROCESS_INFORMATION *process)
{
	DWORD code = 1;

	WaitForSingleObject(process->hProcess, INFINITE);
	GetExitCodeProcess(process->hProcess, &code);
	CloseHandle(process->hProcess);
	CloseHandle(process->hThread);
	return code;
}
