/* SPDX-License-Identifier: MIT */
/* See native.h. */
#include "native.h"

#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

bool native_function(const char *name, void *ret_function)
{
	HMODULE module = GetModuleHandleW(L"ntdll.dll");
	FARPROC found = module ? GetProcAddress(module, name) : NULL;

	memcpy(ret_function, &found, sizeof(found));
	return found;
}
