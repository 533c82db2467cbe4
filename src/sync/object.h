/* SPDX-License-Identifier: MIT */
/*
 * Mutexes, events and semaphores as they lie in shared memory: 16 bytes each, placed by the user.
 *
 *   byte  0 .. 7   word      the whole state, changed by compare-and-swap only: a crash leaves it before or after
 *   byte  8 .. 11  kind      written once, by init; says whether these bytes are what the caller thinks
 *   byte 12 .. 15  maximum   semaphore: its maximum; event: 1; mutex: 0. Written once
 *
 * Mutex word: the owner's roster identity, and WAITERS. Free: the low 30 bits are 0. While an unlocker wakes, the generation's
 * place has its ticket:
 *
 *  63                       32 31 30 29              14 13             0
 * +---------------------------+--+--+------------------+---------------+
 * | generation                |W | 0| generation, low  | slot          |
 * +---------------------------+--+--+------------------+---------------+
 *
 * Event and semaphore words are signal words: base/signal.h.
 */
#ifndef SYNC_OBJECT_H
#define SYNC_OBJECT_H

#include <base/atomic.h>
#include <base/error.h>
#include <os/os.h>
#include <segment/segment.h>
#include <stoa/sync.h>

#define OBJECT_MUTEX UINT32_C(0x78746d73)        /* "smtx" */
#define OBJECT_EVENT_AUTO UINT32_C(0x61766573)   /* "seva" */
#define OBJECT_EVENT_MANUAL UINT32_C(0x6d766573) /* "sevm" */
#define OBJECT_SEMAPHORE UINT32_C(0x6d657373)    /* "ssem" */

#define MUTEX_WAITERS (UINT64_C(1) << 31)
#define MUTEX_OWNER UINT64_C(0x3fffffff) /* never 0 in a held mutex: slots count from 1 */

static inline bool mutex_is_free(uint64_t word)
{
	return !(word & MUTEX_OWNER);
}

struct object {
	_Atomic uint64_t word;
	_Atomic uint32_t kind;
	_Atomic uint32_t maximum;
};
_Static_assert(sizeof(struct object) == 16 && offsetof(struct object, kind) == 8 &&
		       offsetof(struct object, maximum) == 12,
	       "layout");
_Static_assert(sizeof(struct stoa_mutex) == sizeof(struct object) &&
		       sizeof(struct stoa_event) == sizeof(struct object) &&
		       sizeof(struct stoa_semaphore) == sizeof(struct object),
	       "the public values are these");

/* Is `object` an aligned place in the segment's data, and has the handle `right`? EINVAL, ERIGHTS, ENOTSUP. */
int object_check_place(const struct stoa_segment *segment, const void *object, uint32_t right);

/* The above, and is it of `kind`? EFORMAT otherwise. */
int object_check(const struct stoa_segment *segment, const void *object, uint32_t kind, uint32_t right);

/* Make the bytes an object. ERIGHTS, EINVAL, EUNCOMMITTED. */
int object_init(const struct stoa_segment *segment, void *place, uint32_t kind, uint32_t maximum, uint64_t word);

#endif
