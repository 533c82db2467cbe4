/* SPDX-License-Identifier: MIT */
/* Users, groups and processes by their names, where an object store asks for them. */
#ifndef TOOLS_OS_NAMES_H
#define TOOLS_OS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number behind a name, or behind the number itself in decimal. */
bool names_user_number(const char *name, uint32_t *ret_number);
bool names_group_number(const char *name, uint32_t *ret_number);

/* The name of group `number`; false where it has none. */
bool names_group(uint32_t number, char *buffer, size_t size);

/* The name of the program that process `process` runs; false where it is gone, or not to be seen. */
bool names_process(uint32_t process, char *buffer, size_t size);

#endif
