/* SPDX-License-Identifier: MIT */
/* Users and local time on Linux. */
#include "../local.h"

#include <pwd.h>
#include <stdio.h>
#include <time.h>

bool local_user_name(uint32_t owner, char *buffer, size_t size)
{
	const struct passwd *entry = getpwuid(owner);

	if (entry)
		snprintf(buffer, size, "%s", entry->pw_name);
	return entry;
}

bool local_time_text(int64_t seconds, char *buffer, size_t size)
{
	time_t then = (time_t)seconds;
	struct tm local;

	return localtime_r(&then, &local) && strftime(buffer, size, "%Y-%m-%d %H:%M:%S %z", &local) > 0;
}
