/* SPDX-License-Identifier: MIT */
/* Another process that runs this very program: C has no word for that, so it is all that the examples do otherwise per system. */
#ifndef EXAMPLES_CHILD_H
#define EXAMPLES_CHILD_H

#include <stdint.h>

struct child {
	int64_t id; /* as stoa_process_open() wants it */
	intptr_t handle;
};

/* Start this program again; its main() finds `argument` as argv[1]. 0, or -1. It inherits what stoa_segment_inherit() marked. */
int child_start(struct child *child, const char *argument);

/* Wait for its end: its exit status, or -1 when it was killed. */
int child_wait(struct child *child);

void child_kill(struct child *child);

/* In the child: do nothing until somebody kills it. */
void child_sleep(void);

#endif
