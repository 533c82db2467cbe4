/* SPDX-License-Identifier: MIT */
/*
 * The three standard streams and the terminal: how the tool talks with its user on this system. Implemented once per system under
 * tools/os/<system>/.
 */
#ifndef TOOLS_OS_CONSOLE_H
#define TOOLS_OS_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * First of all in main(): streams carry bytes as they are written, and the arguments are UTF-8 where the system keeps them otherwise.
 * False: no memory.
 */
bool console_start(int *argc, char ***argv);
/*
 * Then: a terminal shows UTF-8, and is left as it was, however the process is asked to end. Where it is not ours but that of the process
 * that started this one, nothing is changed, and requests to end are left to that one, which ends us.
 */
void console_use(bool is_ours);

bool console_is_terminal(FILE *stream);
bool console_knows_escapes(FILE *stream); /* a terminal that obeys escape sequences */
unsigned console_columns(FILE *stream);   /* 0: no terminal, or it does not tell */
int console_character_columns(uint32_t code);

/*
 * Sleep until the input ends, by the user at a terminal or with the script that feeds it, or until this process is asked to end (Ctrl-C,
 * a signal, the window's end): 0, or a number for console_end_as().
 */
int console_hold(void);
/* End as whoever was asked to does, so that a parent sees it. */
void console_end_as(int number);

#endif
