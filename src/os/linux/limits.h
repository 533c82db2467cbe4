/* SPDX-License-Identifier: MIT */
/*
 * How much more memory this process may take, by what its memory groups and the host say. Over such a limit the kernel
 * does not refuse: it kills. So commits ask here first; a race for the last bytes can still be lost.
 */
#ifndef OS_LINUX_LIMITS_H
#define OS_LINUX_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limits_room {
	uint64_t bytes;  /* UINT64_MAX: no limit found */
	char where[192]; /* what sets the limit, for the sentence */
};

/*
 * The least room that any memory group of the process leaves, from a list in the form of /proc/self/cgroup and group trees
 * (versions 1 and 2, also both) under `root`. `swap` is the host's free swap. Groups that cannot be read do not limit.
 */
void limits_group_room(const char *list_path, const char *root, uint64_t swap, struct limits_room *ret_room);

/* The room on the host from a file in the form of /proc/meminfo; *ret_swap gets the free swap. */
void limits_host_room(const char *path, struct limits_room *ret_room, uint64_t *ret_swap);

/* Does the credit of the last look cover `bytes`? It is used up by that. No system call. */
bool limits_credit(uint64_t bytes);

/*
 * Nanoseconds that a credit lasts: a tenth of a second. More in tests that go through a commit instruction by instruction: whether it looks must not
 * depend on how fast they are.
 */
extern uint64_t limits_credit_time;

/* May `bytes` more of memory be taken? Looks, and grants a credit for what follows. 0 or -STOA_ENOMEM. */
int limits_memory(uint64_t bytes);

#endif
