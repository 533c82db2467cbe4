/* SPDX-License-Identifier: MIT */
/* Linux: the calling thread's robust list head, which wait.c and life.c share. Linux-private. */
#ifndef OS_LINUX_ROBUST_H
#define OS_LINUX_ROBUST_H

#include <base/cc.h>
#include <linux/futex.h>

extern CC_THREAD struct robust_list_head *robust_cached;

/* Asks the kernel; NULL when there is none or libc lays it out in a way that we do not know. */
struct robust_list_head *robust_head_find(void);

/*
 * The head that libc registered for this thread. It lies in the thread's own descriptor, so the cached address stays right in
 * a forked child, whose libc registers the same address again.
 */
static inline struct robust_list_head *robust_head(void)
{
	return CC_LIKELY(robust_cached != NULL) ? robust_cached : robust_head_find();
}

/* glibc: the word lies 32 bytes before the list's `next` field. Life pages are laid out for this distance. */
#define ROBUST_OFFSET (-32)

#endif
