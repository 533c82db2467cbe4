/* SPDX-License-Identifier: MIT */
/* Users, groups and processes on Linux. */
#include "../names.h"

#include "../../tool.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

static bool decimal(const char *name, uint32_t *ret_number)
{
	uint64_t number;

	if (!number_parse(name, &number) || number >= UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

bool names_user_number(const char *name, uint32_t *ret_number)
{
	const struct passwd *entry = getpwnam(name);

	if (entry)
		*ret_number = entry->pw_uid;
	return entry || decimal(name, ret_number);
}

bool names_group_number(const char *name, uint32_t *ret_number)
{
	const struct group *entry = getgrnam(name);

	if (entry)
		*ret_number = entry->gr_gid;
	return entry || decimal(name, ret_number);
}

bool names_group(uint32_t number, char *buffer, size_t size)
{
	const struct group *entry = getgrgid(number);

	if (entry)
		snprintf(buffer, size, "%s", entry->gr_name);
	return entry;
}

bool names_process(uint32_t process, char *buffer, size_t size)
{
	char path[40];
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/comm", process);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(buffer, 1, size - 1, file);
	fclose(file);
	/* It ends with a line's end, which a program's name may have, too. */
	buffer[length ? length - 1 : 0] = 0;
	return length > 0;
}
