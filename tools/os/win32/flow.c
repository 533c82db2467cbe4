/* SPDX-License-Identifier: MIT */
/*
 * Bytes through the standard streams on Windows. A read that waits cannot be relied upon to be interrupted: who is asked to end and does
 * not within a moment is ended. To the others that is a death like any other.
 */
#include "../flow.h"
#include "asked.h"

#include <errno.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PIECE (1u << 20) /* of one write: the C library's and the console's limits are beyond it */

void flow_begin(void)
{
	console_ask_first();
}

int flow_asked(void)
{
	return console_asked();
}

int flow_broken(void)
{
	return 0;
}

static int errno_of(DWORD error)
{
	switch (error) {
	case ERROR_BROKEN_PIPE:
	case ERROR_NO_DATA: return EPIPE;
	case ERROR_INVALID_HANDLE: return EBADF;
	case ERROR_DISK_FULL: return ENOSPC;
	default: return EIO;
	}
}

ptrdiff_t flow_read(void *to, size_t room)
{
	DWORD got = 0;

	if (console_asked())
		return 0;
	if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), to, room < PIECE ? (DWORD)room : PIECE, &got, NULL) &&
	    GetLastError() != ERROR_BROKEN_PIPE && GetLastError() != ERROR_HANDLE_EOF) {
		errno = errno_of(GetLastError());
		return console_asked() ? 0 : -1;
	}
	return console_asked() ? 0 : (ptrdiff_t)got;
}

int flow_write(const void *from, size_t length)
{
	const char *at = from;

	while (length > 0) {
		DWORD done = 0;

		if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), at, length < PIECE ? (DWORD)length : PIECE, &done,
			       NULL))
			return errno_of(GetLastError());
		at += done;
		length -= done;
	}
	return 0;
}
