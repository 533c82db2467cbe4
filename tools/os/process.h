/* SPDX-License-Identifier: MIT */
/* Starting and watching copies of this very program. Errors are the system's numbers, positive, for walk_error_text(). */
#ifndef TOOLS_OS_PROCESS_H
#define TOOLS_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* First of all: nothing we open takes the place of a closed standard descriptor, to which output would go, and which children would see. */
void process_guard_standard(void);

int64_t process_self(void);
unsigned process_cpu_count(void); /* that this process may run on */

/*
 * Run this program again with `arguments` (NULL ends them), without our output, but with our error output, and with our input, as
 * names like /dev/stdin/ lead there. It is reported here if the program cannot be started.
 */
int process_start(char *const *arguments, int64_t *ret_id);

struct process_end {
	bool killed; /* by a signal, or its like */
	int code;    /* that signal, or the exit status */
};
/* 1: has ended, and is forgotten by the system; 0: still runs. */
int process_ended(int64_t id, struct process_end *ret_end);
/* Wait until it has. */
void process_join(int64_t id, struct process_end *ret_end);
/* Somebody has stopped this child: it does nothing until somebody lets it go on. Where the system does not tell, false. */
bool process_stopped(int64_t id);
void process_kill(int64_t id); /* also one that is stopped */
/* "by a signal (Killed)": how a killed process's `code` reads behind "was ended". */
const char *process_killed_text(int code);

#endif
