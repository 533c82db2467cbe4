/* SPDX-License-Identifier: MIT */
/*
 * The seam between stoa and the kernel. Every system or libc call that can fail goes through SYS(), so that a build with
 * STOA_FAULTS can make the n-th of them fail; otherwise SYS() is the call itself.
 */
#ifndef OS_LINUX_SYS_H
#define OS_LINUX_SYS_H

#include <base/cc.h>
#include <errno.h>
#include <os/os.h>
#include <stdint.h>

#ifdef STOA_FAULTS

/* Count calls from now on and let the `nth` (from 1; 0 is none) fail with `error`, without being made. */
void os_fault_arm(uint64_t nth, int error);
void os_fault_count(uint32_t thread); /* only the calls of this thread count from now on; 0: of all */
uint64_t os_fault_calls(void);        /* made since then */
const char *os_fault_hit(void);       /* the call that failed, or NULL */
int os_fault_here(const char *call);  /* for SYS(): count; non-zero, with errno set, to fail */
int64_t os_fault_allocations(void);   /* os_allocate() less os_free(), from the start */

#define SYS(call, ...) (os_fault_here(#call) ? (CC_TYPEOF(call(__VA_ARGS__))) - 1 : call(__VA_ARGS__))
#define SYS_POINTER(call, ...) (os_fault_here(#call) ? NULL : call(__VA_ARGS__)) /* for calls that fail with NULL */
#else
#define SYS(call, ...) call(__VA_ARGS__)
#define SYS_POINTER(call, ...) call(__VA_ARGS__)
#endif

/* The stoa error that an errno value stands for. */
int sys_error(int system_error);

/* Record "<format>: <errno's text>" and return the stoa error of errno, which stays as it was. */
int sys_failed(const char *format, ...) CC_PRINTF(1, 2);

/* What to do about an errno value, to be put behind a sentence; "" where there is nothing to say. */
const char *sys_advice(int system_error);

/* Record that `bytes` more do not fit into the file system of `fd`: which it is, what it has left, what to do. -STOA_ENOMEM. */
int sys_full(int fd, uint64_t bytes);

/* The user's name, or the number where it has none. `text` has room for `size` bytes. Returns `text`. */
const char *sys_user_name(uint32_t user, char *text, size_t size);

/* Read a small text file whole into `text`, with a final 0. -1 with errno. */
int sys_read_text(const char *path, char *text, size_t size);

static inline int sys_fd(os_handle handle)
{
	return (int)handle;
}

#endif
