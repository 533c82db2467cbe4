/* SPDX-License-Identifier: MIT */
/* Functions of ntdll, which programs are not linked with and of which a system may lack any. */
#ifndef TOOLS_OS_WIN32_NATIVE_H
#define TOOLS_OS_WIN32_NATIVE_H

#include <stdbool.h>

/* Set the pointer to a function at `ret_function`; false, and a null pointer, when there is none of that name. */
bool native_function(const char *name, void *ret_function);

#endif
