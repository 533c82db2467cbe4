/* SPDX-License-Identifier: MIT */
/* What tests that kill many processes ask of the system, beside the harness. */
#ifndef TESTS_KILL_SYSTEM_H
#define TESTS_KILL_SYSTEM_H

#include <harness/test.h>

/* Kill the role as test_kill() does, and leave it to be joined. */
void slay(pid_t role);

/* The role stands still when halt() returns, wherever it is, until it is resumed. */
void halt(pid_t role);
void resume(pid_t role);

/* This thread, where the system lets it. */
void run_on(unsigned cpu);

/* What kills: for the reports. */
const char *killer_name(void);

/*
 * What the system keeps beside files for the memory at the address, and under names of this test: how many objects, with nobody left
 * who uses them. The memory is noted while it is there; only of one segment at a time.
 */
void note_objects(const volatile void *address);
unsigned count_objects(void);

/* Of each role. Windows has two killers, see by_linux_win32.c. */
extern const unsigned kills_each;

#endif
