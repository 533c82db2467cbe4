/* SPDX-License-Identifier: MIT */
/*
 * The pager: a range of addresses whose pages are made on first touch, by your code (stoa/backing.h), in any number of threads and
 * processes, within a budget of memory.
 *
 * The first touch of a block, by whichever thread of whichever process, has it filled where nobody can see it half made, once; all who
 * touched it go on. The first write makes it dirty. Dirty blocks go back to the backing when they are flushed, in the background, on
 * close, and before their memory is used for others; a write after that is noticed again. All of this happens to plain pointers.
 *
 * A pager is used by any number of threads. A forked child does not have its memory (touching it is SIGSEGV), and must not use
 * its parent's handle (ENOTOWNER). Any process may be killed at any instruction: what was flushed stays, what was dirty is
 * still there for the others, and nobody waits for it. Nothing here may be called from a signal handler; touching memory may, where the
 * backing's functions may, but not in one that interrupts a call of this header by the same thread.
 *
 * Whoever has a pager can write all of it: the processes that share one trust each other.
 */
#ifndef STOA_PAGER_H
#define STOA_PAGER_H

#include <stdint.h>
#include <stoa/backing.h>
#include <stoa/error.h>
#include <stoa/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_pager; /* a handle, of this process only */

/* stoa_pager_options.on_error: a block cannot be filled. */
#define STOA_PAGER_POISON 0 /* touches are SIGBUS (Windows: access violations) until get() or pin() could fill it */
#define STOA_PAGER_ZEROS 1  /* it is filled with zeros, and not written back unless it is written to */
#define STOA_PAGER_RETRY 2  /* it is tried again, a hundred times a second, until it can be */

/* stoa_pager_options.way: how touches are noticed. */
#define STOA_PAGER_AUTO 0    /* the first of these that the system has */
#define STOA_PAGER_INLINE 1  /* userfaultfd: the touching thread fills; no privilege */
#define STOA_PAGER_PROTECT 2 /* page protection: the same, slower, and in one process only; Windows has no other */
#define STOA_PAGER_SERVED 3  /* userfaultfd: who touches waits for a thread of a process that has a backing */

/* stoa_pager_options.flags */
#define STOA_PAGER_NO_BACKGROUND (1u << 0) /* nothing is written back without need */
/* No thread of the library's: a process takes part as long as the thread that created, or received, the pager lives; STOA_ADVISE_WILL_NEED does nothing. Goes with NO_BACKGROUND. */
#define STOA_PAGER_NO_THREAD (1u << 1)

/*
 * With STOA_PAGER_SERVED no handlers are installed, the backing is called by threads of the library's and by calls of this header alone, and
 * system calls may touch the range, too, where this process is allowed to handle that (else they fail with EFAULT; stoa_pager_stat() tells). A process
 * may have the pager without a backing: it is served by one that has one, its calls of this header as well (ECLOSED: there is none left). One whose
 * backing does not write serves nobody, unless that is so of the creator's.
 */

#define STOA_PAGER_MEMBERS 64 /* processes that share a pager, at a time */

struct stoa_pager_options { /* all zero is the default */
	uint64_t size;      /* bytes; 0: the backing's. At most 1 TiB */
	uint64_t budget;    /* bytes of memory for pages, at least 8 blocks; 0: 256 MiB, or the size if that is less */
	uint32_t block;     /* bytes that are filled at a time: a power of two to 2 MiB; at least 4 KiB (Windows: 64) */
	uint32_t read_ahead; /* bytes filled at a time where touches go on by steps; 0: 128 KiB; 1: a block only */
	uint32_t way;
	uint32_t on_error;
	uint32_t flags;
	uint32_t rank;          /* a fill or write of this pager may touch pagers of lower ranks only; at most 255 */
	uint32_t dirty_age;     /* milliseconds that a block may stay dirty, about; 0: 5000 */
	uint32_t dirty_percent; /* of the budget that may be dirty; 0: 50 */
};

/*
 * Have touches of this process's pagers handled: installs a handler for SIGBUS and SIGSEGV (Windows: a vectored one), once and for good,
 * which passes on all that is not a pager's to the handlers that were there before. Handlers installed later must do the same. ESYSTEM.
 */
STOA_API int stoa_pager_install_handlers(void);

/*
 * A pager on `backing`, which is borrowed until close. `name` (may be NULL) is for people to see it by (stoa ls); it is shared by handing it on. The
 * caller owns *ret_pager. ENOTOWNER: no handlers are installed. ENOTSUP: the system has not that way. EINVAL, ENAME, EEXIST, ENOMEM, ELIMIT; what
 * the backing's size() returns.
 */
STOA_API int stoa_pager_create(const char *name, struct stoa_backing *backing, const struct stoa_pager_options *options,
			       struct stoa_pager **ret_pager);

/*
 * Write back what is dirty, and leave. All touching must have ended. The result is that of the last write-back: the pager is closed in any
 * case, and what could not be written is lost, unless another process has the pager still. NULL is allowed.
 */
STOA_API int stoa_pager_close(struct stoa_pager *pager);

/* The first byte, at a place of this process's own; and how many there are. NULL and 0 for NULL. */
STOA_API void *stoa_pager_address(const struct stoa_pager *pager);
STOA_API uint64_t stoa_pager_size(const struct stoa_pager *pager);

/*
 * Hand it to another process over a connected Unix socket, and receive one: with a backing of the receiver's own, of the same data; or NULL, if it is
 * served. The way, budget and all else are the creator's. ENOTSUP: STOA_PAGER_PROTECT, so always on Windows; or NULL before Linux 6.6. Errors as stoa_segment_send_with_socket() and _receive_;
 * ELIMIT: too many share it.
 */
STOA_API int stoa_pager_send_with_socket(const struct stoa_pager *pager, int socket);
STOA_API int stoa_pager_receive_with_socket(int socket, struct stoa_backing *backing, struct stoa_pager **ret_pager);

/*
 * Have the blocks of [offset, offset + length) there, or open for writing with STOA_WRITE, without touching them: an error comes as a value, and
 * what could not be filled before is tried again. They may go again at any time. EINVAL, ERANGE, ERIGHTS (write: the backing only reads), ENOMEM, EDEADLOCK
 * (from a fill of the same or a lower rank); what fill() returned. From a thread that is new to the pager also ELIMIT (too many threads use it) and
 * ENOTSUP (a C library that cannot tell of a thread's end).
 */
STOA_API int stoa_pager_get(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t access);

/*
 * The same for reading, in a thread of its own: wait with stoa_prefetch_wait() or in a wait set (stoa/wait.h); what fill() returned comes from
 * there, as do errors of stoa_pager_get() in that thread. Close it before the pager. EINVAL, ERANGE, ENOMEM, ELIMIT.
 */
STOA_API int stoa_pager_prefetch(struct stoa_pager *pager, uint64_t offset, uint64_t length,
				 struct stoa_prefetch **ret_prefetch);

/*
 * The same as get(), and they stay until unpin(), or until this process ends: reads do not fault meanwhile. Up to STOA_PINS_MAX at a time in a
 * process; all pins of all processes together at most three quarters of the budget: ELIMIT. unpin: the very range. EINVAL.
 */
#define STOA_PINS_MAX 192
STOA_API int stoa_pager_pin(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t access);
STOA_API int stoa_pager_unpin(struct stoa_pager *pager, uint64_t offset, uint64_t length);

/*
 * Write back all blocks of the range that are dirty; a write that happens meanwhile is in it or stays dirty. With STOA_DURABLE return when
 * they, and all that was written back before, are on stable storage. EINVAL, ERANGE, ERIGHTS; what write() and flush() return.
 */
STOA_API int stoa_pager_flush(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t flags);

/*
 * Forget the blocks of the range, dirty or not: the next touch fills them anew. What is written to them meanwhile may be lost or not. Whole blocks:
 * EINVAL. EBUSY: one is pinned; those before it are forgotten.
 */
STOA_API int stoa_pager_discard(struct stoa_pager *pager, uint64_t offset, uint64_t length);

/* stoa_pager_advise() */
#define STOA_ADVISE_NORMAL 0     /* read ahead where blocks are touched in order, backward, or by steps */
#define STOA_ADVISE_RANDOM 1     /* do not */
#define STOA_ADVISE_SEQUENTIAL 2 /* always */
#define STOA_ADVISE_WILL_NEED 3  /* bring the range in, in the background */
#define STOA_ADVISE_DONT_NEED 4  /* write the range back, and give its memory to others */
STOA_API int stoa_pager_advise(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t advice);

#ifdef __cplusplus
}
#endif
#endif
