/* SPDX-License-Identifier: MIT */
/* The two kinds of rings, between their files: ring.c chooses, uring.c is the kernel's, pool.c has threads. */
#ifndef OS_LINUX_RING_H
#define OS_LINUX_RING_H

#include <os/ring.h>

#include <fcntl.h>

struct ring_way {
	void (*close)(void *state);
	int (*submit)(void *state, struct os_job *job);
	int (*go)(void *state);
	struct os_job *(*take)(void *state);
	void (*await)(void *state); /* until one is done, for close */
};

extern const struct ring_way uring_way, pool_way;
int uring_create(unsigned depth, os_handle event, void **ret_state);
int pool_create(unsigned depth, os_handle event, void **ret_state);

#define RING_MAKE_FLAGS (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)
#define RING_OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define RING_MODE 0600

#endif
