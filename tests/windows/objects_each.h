/* SPDX-License-Identifier: MIT */
/* The names of kernel objects of stoa, in this session and of the host: what is left when all is over. */
#ifndef TESTS_WINDOWS_OBJECTS_EACH_H
#define TESTS_WINDOWS_OBJECTS_EACH_H

#include <wchar.h>

/* Call `visit` for each, with its kind ("Section") and its name without the directory. */
void objects_each(void (*visit)(const wchar_t *kind, const wchar_t *name, void *argument), void *argument);

#endif
