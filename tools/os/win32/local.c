/* SPDX-License-Identifier: MIT */
/* Users and local time on Windows. */
#include "../local.h"
#include "wide.h"

#include <stdio.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* What the library puts in a number's place: FNV-1a of the security identifier. */
static uint32_t number_of(PSID sid)
{
	const unsigned char *next = sid;
	uint32_t value = UINT32_C(0x811c9dc5);

	for (DWORD left = GetLengthSid(sid); left; left--)
		value = (value ^ *next++) * UINT32_C(0x01000193);
	return value;
}

/* There is no way back from the number: it is ours, or nobody's that we could name. */
bool local_user_name(uint32_t owner, char *buffer, size_t size)
{
	union {
		TOKEN_USER user;
		unsigned char bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} room;
	wchar_t name[257];
	DWORD length = sizeof(room), units = sizeof(name) / sizeof(*name);
	HANDLE token;
	char *text = NULL;
	bool known;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return false;
	if (GetTokenInformation(token, TokenUser, &room, length, &length) && number_of(room.user.User.Sid) == owner &&
	    GetUserNameW(name, &units) && units > 1)
		text = wide_to_text(name, units - 1, NULL);
	CloseHandle(token);
	if (text)
		snprintf(buffer, size, "%s", text);
	known = text != NULL;
	free(text);
	return known;
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
