/* SPDX-License-Identifier: MIT */
/* Windows: no screen, as there is no ncurses for it; tables are printed one below the other. */
#include "../screen.h"

#include <windows.h>

bool screen_begin(void)
{
	return false;
}

void screen_end(void)
{
}

unsigned screen_rows(void)
{
	return 0;
}

unsigned screen_columns(void)
{
	return 0;
}

void screen_line(unsigned row, const char *text, unsigned how)
{
	(void)row, (void)text, (void)how;
}

void screen_show(void)
{
}

int screen_key(uint64_t nanoseconds)
{
	(void)nanoseconds;
	return SCREEN_END;
}

int screen_asked(void)
{
	return 0;
}

void screen_pause(uint64_t nanoseconds)
{
	uint64_t milliseconds = (nanoseconds + 999999) / 1000000;

	Sleep(milliseconds < INFINITE ? (DWORD)milliseconds : INFINITE - 1);
}
