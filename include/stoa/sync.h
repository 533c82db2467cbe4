/* SPDX-License-Identifier: MIT */
/*
 * Mutex, event and semaphore between processes. Each is a 16-byte value that you place anywhere in the data of a segment
 * that has a header (8-byte aligned; give hot ones a cache line of their own), or open by name.
 *
 * Any owner or waiter may be killed at any instruction: a mutex is handed on with STOA_OWNER_DIED, no wake-up is lost. Waiting
 * spins briefly, then sleeps. No system call is made when nobody sleeps.
 *
 * Every call takes the handle of the segment that the object lies in. Objects are checked, not trusted: damaged ones
 * give -STOA_EFORMAT or behave as if held, never as a crash. All functions: any thread, not from signal handlers; a
 * forked child takes part anew (it holds no mutex of its parent).
 */
#ifndef STOA_SYNC_H
#define STOA_SYNC_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_mutex {
	uint64_t opaque[2];
};
struct stoa_event {
	uint64_t opaque[2];
};
struct stoa_semaphore {
	uint64_t opaque[2];
};

/* Deadlines: nanoseconds of the monotonic clock, absolute. */
#define STOA_TRY UINT64_C(0) /* do not wait: STOA_TIMED_OUT at once */
#define STOA_FOREVER UINT64_MAX
STOA_API uint64_t stoa_now(void);
STOA_API uint64_t stoa_deadline_in(uint64_t nanoseconds); /* now + nanoseconds, saturating */

/* Flags for initialising. */
#define STOA_OWNED (1u << 0)    /* mutex: the caller holds it from the start */
#define STOA_SIGNALED (1u << 1) /* event: set from the start */
#define STOA_MANUAL (1u << 2)   /* event: stays set, and wakes all, until reset; otherwise one wait takes it */
#define STOA_SEMAPHORE_MAX UINT32_C(0xffffff)

/*
 * Make the value at `mutex` (in committed data of `segment`) a mutex. Nobody else may use it yet. EINVAL (not inside the
 * segment's data, unaligned), EUNCOMMITTED, ERIGHTS, ENOTSUP (raw segment, or one of another operating system), ELIMIT (roster full, STOA_OWNED only).
 */
STOA_API int stoa_mutex_init(struct stoa_segment *segment, struct stoa_mutex *mutex, uint32_t flags);

/*
 * Lock. 0: yours. STOA_OWNER_DIED: yours, and the last owner died with it. STOA_TIMED_OUT. Not recursive: -STOA_EDEADLOCK when this
 * thread holds it. A thread's first lock in a segment enrols it (about 12 us; ELIMIT when the roster is full,
 * ENOMEM). Unlock: ENOTOWNER when this thread does not hold it. A holder that exits or is killed abandons.
 */
STOA_API int stoa_mutex_lock(struct stoa_segment *segment, struct stoa_mutex *mutex, uint64_t deadline);
STOA_API int stoa_mutex_unlock(struct stoa_segment *segment, struct stoa_mutex *mutex);

/* An event. set: 0 also when already set. wait: 0 or STOA_TIMED_OUT; an automatic event is taken by exactly one wait. */
STOA_API int stoa_event_init(struct stoa_segment *segment, struct stoa_event *event, uint32_t flags);
STOA_API int stoa_event_set(struct stoa_segment *segment, struct stoa_event *event);
STOA_API int stoa_event_reset(struct stoa_segment *segment, struct stoa_event *event);
STOA_API int stoa_event_wait(struct stoa_segment *segment, struct stoa_event *event, uint64_t deadline);

/* A counting semaphore, 0 <= initial <= maximum <= STOA_SEMAPHORE_MAX. post: EOVERFLOW changes nothing. */
STOA_API int stoa_semaphore_init(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint32_t initial,
				 uint32_t maximum);
STOA_API int stoa_semaphore_post(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint32_t count);
STOA_API int stoa_semaphore_wait(struct stoa_segment *segment, struct stoa_semaphore *semaphore, uint64_t deadline);

/*
 * By name. Each opens or creates a small named segment (same namespace as stoa_segment_create(); unlink with
 * stoa_segment_unlink(), close with stoa_segment_close() on *ret_segment) that holds just the object; use it with the
 * functions above. `rights` restricts this handle: the other calls then fail with -STOA_ERIGHTS. They are a guard against
 * mistakes, not against a hostile process of the same user, which could write the object anyway.
 */
#define STOA_RIGHT_WAIT (1u << 0)   /* lock/unlock, wait */
#define STOA_RIGHT_SIGNAL (1u << 1) /* set, reset, post */
#define STOA_OPEN_ONLY 1            /* must exist: ENOENT */
#define STOA_CREATE_ONLY 2          /* must not: EEXIST */

struct stoa_sync_options {      /* all zero: create or open, all rights, transient, unowned/unset/0 */
	uint32_t disposition;   /* 0, STOA_OPEN_ONLY, STOA_CREATE_ONLY */
	uint32_t rights;        /* 0: all */
	uint32_t flags;         /* STOA_OWNED, STOA_SIGNALED, STOA_MANUAL: used only by the creator */
	uint32_t segment_flags; /* STOA_PERSISTENT, STOA_GLOBAL */
	uint32_t initial;       /* semaphore */
	uint32_t maximum;       /* semaphore; 0 is STOA_SEMAPHORE_MAX */
};

/* 0 when created, STOA_EXISTED when opened. Errors as stoa_segment_create_or_open(), and EKIND for another kind's name. */
STOA_API int stoa_mutex_open(const char *name, const struct stoa_sync_options *options,
			     struct stoa_segment **ret_segment, struct stoa_mutex **ret_mutex);
STOA_API int stoa_event_open(const char *name, const struct stoa_sync_options *options,
			     struct stoa_segment **ret_segment, struct stoa_event **ret_event);
STOA_API int stoa_semaphore_open(const char *name, const struct stoa_sync_options *options,
				 struct stoa_segment **ret_segment, struct stoa_semaphore **ret_semaphore);

#ifdef __cplusplus
}
#endif
#endif
