/* SPDX-License-Identifier: MIT */
/* tool/filter.c on Windows. */
#include "filter_system.h"

#include <fcntl.h>
#include <io.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

void filter_start(void)
{
	_setmode(0, _O_BINARY);
	_setmode(1, _O_BINARY);
}

void filter_die(void)
{
	TerminateProcess(GetCurrentProcess(), 9);
}
