/* SPDX-License-Identifier: MIT */
/* Pipes of Windows; see rival.h. */
#include "../rival.h"

#include <stdbool.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define ROOM (1 << 20)

const char rival_pipe_name[] = "pipe";

int rival_pipe_make(struct rival_pipe *pipe)
{
	SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
	HANDLE from, to;

	if (!CreatePipe(&from, &to, &inherited, ROOM))
		return (int)GetLastError();
	*pipe = (struct rival_pipe){(intptr_t)from, (intptr_t)to};
	return 0;
}

int rival_pipe_write(struct rival_pipe *pipe, const void *bytes, size_t length)
{
	const char *rest = bytes;

	while (length) {
		DWORD got = 0;

		if (!WriteFile((HANDLE)pipe->to, rest, (DWORD)length, &got, NULL))
			return (int)GetLastError();
		rest += got;
		length -= got;
	}
	return 0;
}

int rival_pipe_read(struct rival_pipe *pipe, void *bytes, size_t size, size_t *ret_got)
{
	DWORD got = 0;

	if (!ReadFile((HANDLE)pipe->from, bytes, (DWORD)size, &got, NULL))
		return (int)GetLastError();
	*ret_got = got;
	return 0;
}

void rival_pipe_end(struct rival_pipe *pipe)
{
	CloseHandle((HANDLE)pipe->from);
	CloseHandle((HANDLE)pipe->to);
}
