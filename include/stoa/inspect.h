/* SPDX-License-Identifier: MIT */
/*
 * Looking at named objects and at this system from outside: for tools, tests and monitoring. Nothing here maps or changes what it
 * looks at, and damaged objects can be opened too: that is what checking is for.
 *
 * Threads: an inspector is used by one thread at a time. Not for signal handlers. May block on nobody.
 */
#ifndef STOA_INSPECT_H
#define STOA_INSPECT_H

#include <stdint.h>
#include <stoa/channel_stat.h>
#include <stoa/error.h>
#include <stoa/pager_stat.h>
#include <stoa/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_inspector; /* a handle, of this process only */

/*
 * Open what has the name, of whatever kind and in whatever state, for looking. An inspector is no user of the name: a transient one goes
 * with its last user, though its memory stays until the inspector is closed; and what dead users left is not removed, but can be
 * looked at. `flags`: 0 or STOA_GLOBAL. The caller owns *ret_inspector. EINVAL,
 * ENAME, ENOENT, EACCES (owner in the detail), EFORMAT (no object at all: e.g. a symbolic link), ENOMEM, ELIMIT, EBUSY, ESYSTEM.
 */
STOA_API int stoa_inspect_open(const char *name, uint32_t flags, struct stoa_inspector **ret_inspector);
STOA_API void stoa_inspect_close(struct stoa_inspector *inspector); /* NULL is allowed */

#define STOA_KIND_DAMAGED UINT32_MAX /* beside the kinds of stoa/segment.h: its header cannot be read */

struct stoa_inspection {
	uint32_t kind;  /* STOA_KIND_* */
	int32_t header; /* 0, or why the header is refused: -STOA_EFORMAT, -STOA_EVERSION; its fields below are 0 then */
	/* From the system. */
	uint64_t length;    /* of the whole memory object: header, roster and data */
	uint64_t resident;  /* bytes of memory behind it */
	uint64_t object[2]; /* the object's identity among those open now: device and inode where there are such */
	uint32_t owner;     /* numeric user id */
	uint32_t
		left; /* 1: transient, and its users were dead when it was opened for looking: stoa_segment_gc() removes it */
	/* From the header. */
	uint32_t flags; /* STOA_RAW, STOA_PERSISTENT, ... */
	uint32_t huge;  /* STOA_HUGE_* */
	uint64_t reserve;
	uint64_t committed;   /* from length and data_offset */
	uint64_t data_offset; /* of the data in the object; before it lie the header's page and the roster's */
	uint64_t identity;    /* random, made at creation */
	uint32_t roster_slots;
	uint32_t roster_alive; /* threads now taking part; 0 of another system's */
	uint32_t
		other_system; /* 1: its threads are those of another operating system: who of them lives cannot be told */
	uint32_t reserved;    /* 0 */
};

/* How it is now. EINVAL, ESYSTEM, EIO. */
STOA_API int stoa_inspect_get(const struct stoa_inspector *inspector, struct stoa_inspection *ret_inspection);

/* The object's descriptor, read-only, for the system's own calls. It belongs to the inspector. EINVAL. */
STOA_API int stoa_inspect_descriptor(const struct stoa_inspector *inspector);

/* A place of the roster that some thread has used. */
struct stoa_member {
	uint32_t slot;       /* from 1 */
	uint32_t generation; /* how many threads have had it */
	uint32_t thread;     /* id of the thread that has it now, as in its own container; 0: it has ended. Of another
				system's: of the last one, as its word says */
	uint32_t claims;     /* objects that it holds for an unfinished wait for all */
};

/* The first used place from slot `from` on. ENOENT when there is none: the end. EFORMAT when the header is refused. */
STOA_API int stoa_inspect_member(const struct stoa_inspector *inspector, uint32_t from, struct stoa_member *ret_member);

/*
 * A channel in the object, at `offset` of its data: 0 for one that has a name of its own. As stoa_channel_stat(), without joining
 * and without being seen. EINVAL, ERANGE, ENOTSUP (raw), EFORMAT (none is there), EVERSION, ENOMEM, EIO, ESYSTEM.
 */
STOA_API int stoa_inspect_channel(const struct stoa_inspector *inspector, uint64_t offset,
				  struct stoa_channel_stat *ret_stat);

/*
 * A pager that has a name. As stoa_pager_stat(), without joining and without being seen. EINVAL, EFORMAT (it is none), EVERSION, ENOMEM,
 * ESYSTEM.
 */
STOA_API int stoa_inspect_pager(const struct stoa_inspector *inspector, struct stoa_pager_stat *ret_stat);

/* What a check tells: remarks about what is in order and worth knowing, and damage. */
#define STOA_REMARK 0
#define STOA_DAMAGE 1

/*
 * Compare everything that has a fixed meaning (header, lengths, every roster page, a named mutex, event, semaphore, channel or pager)
 * with what it may be, and call report(argument, STOA_REMARK or STOA_DAMAGE, sentence) for each finding. The number of damages, or a
 * negative error when it cannot be read. Data in segments means nothing to stoa and is not looked at, nor what was placed there. While others use the
 * object it changes under the check; every single finding still holds for some moment.
 */
STOA_API int stoa_inspect_check(const struct stoa_inspector *inspector,
				void (*report)(void *argument, int severity, const char *sentence), void *argument);

/*
 * The same for a channel or stream that the user has placed in the object, at `offset` of its data: nobody but who placed it knows
 * that it is there. What does not begin with the mark of one is damage, as is what ends beyond what is committed. The rest of the object is not
 * looked at. EINVAL (no whole pages), ERANGE (beyond the reserve), ENOTSUP (raw), EFORMAT (the object's own header is damaged), ENOMEM, EIO, ESYSTEM.
 */
STOA_API int stoa_inspect_check_channel(const struct stoa_inspector *inspector, uint64_t offset,
					void (*report)(void *argument, int severity, const char *sentence),
					void *argument);

/*
 * The first place, at or behind `from`, where the mark of a channel or stream of this version lies at the begin of a page: at *ret_offset, with
 * *ret_length bytes, behind which to go on; one page where what it says of its length cannot be. Data can look like that, too: a copy, or what is
 * left of one. All that is committed is gone through, by reading. ENOENT: there is none; else as stoa_inspect_check_channel().
 */
STOA_API int stoa_inspect_find_channel(const struct stoa_inspector *inspector, uint64_t from, uint64_t *ret_offset,
				       uint64_t *ret_length);

/* What this library found out about the system it runs on; each 0 or 1. */
struct stoa_capabilities {
	uint32_t relays_wakes;    /* a dying waiter's wake-up is passed on; tried out, takes milliseconds */
	uint32_t waits_on_many;   /* sleeping on several words at once */
	uint32_t life_words;      /* the system tells the end of threads */
	uint32_t noexec_seal;     /* unnamed memory is sealed against execution */
	uint32_t huge_on_request; /* shared memory uses huge pages when asked */
	uint32_t populate;        /* pages can be brought in with errors returned */
	uint32_t read_only_maps;  /* immutable memory can be mapped shared by readers */
	uint32_t gives_back;      /* committed memory can be given back: discard, shrink */
};
STOA_API int stoa_inspect_capabilities(struct stoa_capabilities *ret_capabilities);

#ifdef __cplusplus
}
#endif
#endif
