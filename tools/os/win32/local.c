/* SPDX-License-Identifier: MIT */
/* Local time on Windows. Users have no numbers here, so no number has a name. */
#include "../local.h"

#include <stdio.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

bool local_user_name(uint32_t owner, char *buffer, size_t size)
{
	(void)owner, (void)buffer, (void)size;
	return false;
}

static int64_t ticks_of(const SYSTEMTIME *time)
{
	FILETIME ticks = {0, 0};

	SystemTimeToFileTime(time, &ticks);
	return (int64_t)((uint64_t)ticks.dwHighDateTime << 32 | ticks.dwLowDateTime);
}

bool local_time_text(int64_t seconds, char *buffer, size_t size)
{
	uint64_t since = (uint64_t)(seconds + INT64_C(11644473600)) * 10000000;
	FILETIME ticks = {(DWORD)since, (DWORD)(since >> 32)};
	SYSTEMTIME world, local;
	int64_t minutes;

	if (!FileTimeToSystemTime(&ticks, &world) || !SystemTimeToTzSpecificLocalTime(NULL, &world, &local))
		return false;
	minutes = (ticks_of(&local) - ticks_of(&world)) / 600000000;
	snprintf(buffer, size, "%04u-%02u-%02u %02u:%02u:%02u %c%02d%02d", local.wYear, local.wMonth, local.wDay,
		 local.wHour, local.wMinute, local.wSecond, minutes < 0 ? '-' : '+', abs((int)minutes) / 60,
		 abs((int)minutes) % 60);
	return true;
}
