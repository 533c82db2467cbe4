/* SPDX-License-Identifier: MIT */
/* Users and groups on Linux. */
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
