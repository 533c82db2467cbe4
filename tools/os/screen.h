/* SPDX-License-Identifier: MIT */
/*
 * A whole screen of text that changes, on the terminal, and its keys; where the system has no such thing nothing but screen_pause() works.
 * Implemented once per system under tools/os/<system>/.
 */
#ifndef TOOLS_OS_SCREEN_H
#define TOOLS_OS_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* False: input or output is no terminal, or one that cannot show it, or the system offers none. Else screen_end() before the process ends. */
bool screen_begin(void);
void screen_end(void);

unsigned screen_rows(void);
unsigned screen_columns(void);

/* Safe text, cut to the screen's width; then all of it is shown. What no line was given for is blank. */
#define SCREEN_BOLD (1u << 0)
#define SCREEN_REVERSE (1u << 1)
void screen_line(unsigned row, const char *text, unsigned how);
void screen_show(void);

/* A key, waited for at most so long. Letters are themselves. */
#define SCREEN_NOTHING 0 /* the time has passed, or the screen has another size now */
#define SCREEN_UP (-1)
#define SCREEN_DOWN (-2)
#define SCREEN_PAGE_UP (-3)
#define SCREEN_PAGE_DOWN (-4)
#define SCREEN_LEFT (-5)
#define SCREEN_RIGHT (-6)
#define SCREEN_END (-7) /* asked to end: screen_asked() tells by what */
int screen_key(uint64_t nanoseconds);
int screen_asked(void); /* a number for console_end_as(); 0: by the user, or the terminal is gone */

/* Without a screen: sleep. */
void screen_pause(uint64_t nanoseconds);

#endif
