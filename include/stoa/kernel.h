/* SPDX-License-Identifier: MIT */
/*
 * The plain kernel objects of Windows, for working with programs that do not use stoa, as while a code base moves to it piece
 * by piece: sections, mutexes, events and semaphores as CreateFileMapping(), CreateMutex(), CreateEvent() and
 * CreateSemaphore() make them. Names are used as they are ("Local\..." and "Global\..." too); all kinds share one namespace,
 * and a name goes with its last handle. None of stoa's own names are among them.
 *
 * Every call enters the kernel, as theirs do; prefer stoa/sync.h where both sides use stoa. On other systems stoa_kernel_open() and
 * stoa_kernel_segment() give -STOA_ENOTSUP. All functions: any thread, not from signal handlers.
 */
#ifndef STOA_KERNEL_H
#define STOA_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>
#include <stoa/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_kernel; /* a handle to one kernel object, of this process only */

#define STOA_KERNEL_MUTEX 1
#define STOA_KERNEL_EVENT 2
#define STOA_KERNEL_SEMAPHORE 3
#define STOA_KERNEL_WAIT_MAX 32

/*
 * Open or create the object `name` of a kind. 0 when created, STOA_EXISTED when opened. `options` (may be NULL) as for
 * stoa_event_open(), without segment_flags; a semaphore's counts go up to INT32_MAX here, and maximum 0 means that. One that is
 * created is open to this user's programs. The caller owns *ret_object: stoa_kernel_close(), which unlocks nothing. EINVAL, ENAME, ENOENT, EEXIST,
 * EKIND (the name belongs to another kind), EACCES, ELIMIT, ENOMEM, ENOTSUP, ESYSTEM.
 */
STOA_API int stoa_kernel_open(const char *name, uint32_t kind, const struct stoa_sync_options *options,
			      struct stoa_kernel **ret_object);
STOA_API void stoa_kernel_close(struct stoa_kernel *object); /* NULL is allowed */

/*
 * Wait for an object, or for one of 1..STOA_KERNEL_WAIT_MAX different ones, and take it: a mutex is locked, an automatic event reset,
 * a semaphore counted down. 0; STOA_OWNER_DIED: a mutex, yours now, whose last owner ended with it; STOA_TIMED_OUT. Deadlines have
 * the system's resolution, a millisecond or more. EINVAL, ERIGHTS, ESYSTEM.
 */
STOA_API int stoa_kernel_wait(struct stoa_kernel *object, uint64_t deadline);
STOA_API int stoa_kernel_wait_any(struct stoa_kernel *const *objects, size_t count, uint64_t deadline,
				  size_t *ret_index);

/*
 * Mutex: the thread that locked it gives it back, once for each time it locked it, as kernel mutexes are recursive; ENOTOWNER.
 * Event: set, reset. Semaphore: post; EOVERFLOW changes nothing. All: EINVAL (another kind), ERIGHTS, ESYSTEM.
 */
STOA_API int stoa_kernel_unlock(struct stoa_kernel *mutex);
STOA_API int stoa_kernel_set(struct stoa_kernel *event);
STOA_API int stoa_kernel_reset(struct stoa_kernel *event);
STOA_API int stoa_kernel_post(struct stoa_kernel *semaphore, uint32_t count);

/*
 * Open or create the section `name` as a raw segment: no header, byte 0 is the first of the section. `disposition` is 0,
 * STOA_OPEN_ONLY or STOA_CREATE_ONLY. Created, it is `size` bytes long and all committed, or with STOA_KERNEL_RESERVE in
 * `flags` nothing is (SEC_RESERVE): stoa_segment_commit() does that, seen at once by everybody. Opened, it is as long as it is; with a
 * `size` other than 0 at least that, or ERANGE. STOA_READ_ONLY in `flags`: opened for reading. 0 when created, STOA_EXISTED when
 * opened. Errors as stoa_kernel_open().
 */
#define STOA_KERNEL_RESERVE (UINT32_C(1) << 16)
STOA_API int stoa_kernel_segment(const char *name, uint64_t size, uint32_t disposition, uint32_t flags,
				 struct stoa_segment **ret_segment);

#ifdef __cplusplus
}
#endif
#endif
