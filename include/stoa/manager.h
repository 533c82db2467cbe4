/* SPDX-License-Identifier: MIT */
/*
 * A manager of memory: the server of a store (stoa/store.h) hands out memory that any number of processes share, reserved large and
 * committed as needed, under its limits. What each may do with it the kernel enforces: the descriptor it gets allows that much and no more.
 *
 * An allocation belongs to the process that made it: when that ends, or dies, the memory comes back, as soon as those who have it open let
 * go, too; unless it was made to be kept, and goes on until somebody frees it. All is charged to its maker. Growth is seen at once by everybody, and moves
 * nothing. Linux only.
 *
 * Threads: as for the store; one allocation's struct is used by one thread at a time. A forked child may use what is mapped, as long as its parent has it.
 */
#ifndef STOA_MANAGER_H
#define STOA_MANAGER_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>
#include <stoa/store.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_MANAGER_RESERVE_MAX (UINT64_C(1) << 40)

struct stoa_allocation {
	void *address;
	uint64_t length;     /* bytes committed when it was opened or grown last; see stoa_manager_length() */
	uint64_t reserve;    /* bytes of addresses; beyond the length a touch faults */
	intptr_t descriptor; /* with the same rights, to be passed on; closed by release and free */
	uint32_t prot;       /* STOA_READ, or STOA_READ | STOA_WRITE */
	uint32_t id_length;
	uint8_t id[STOA_ID_MAX]; /* by which others get it */
	uint64_t hold[4];        /* the library's */
};

struct stoa_allocation_options { /* all zero: for processes of this user, which may write it, too; its id is random */
	const void *id;          /* a name */
	uint32_t id_length;
	uint32_t access; /* STOA_ACCESS_*: who may get it beside its owner */
	uint32_t reader;
	uint32_t flags;    /* STOA_ALLOCATION_* */
	uint64_t reserve;  /* how long it may grow, at most STOA_MANAGER_RESERVE_MAX; 0: its first length */
	uint64_t deadline; /* as in stoa_object_options */
};
#define STOA_ALLOCATION_KEEP (1u << 8) /* it does not go with the process that made it */

/*
 * Get `length` bytes, zeros, committed, mapped for reading and writing. `prot` is what others get who may have it: STOA_READ, or STOA_READ |
 * STOA_WRITE. EEXIST, ENOMEM (no room), ELIMIT (quota), ERANGE, EINVAL, STOA_TIMED_OUT.
 */
STOA_API int stoa_manager_alloc(struct stoa_store *manager, uint64_t length, uint32_t prot,
				const struct stoa_allocation_options *options, struct stoa_allocation *ret_allocation);

/* Open one by its id, as it is now. ENOENT, EACCES, EKIND (an object). */
STOA_API int stoa_manager_get(struct stoa_store *manager, const void *id, uint32_t id_length,
			      struct stoa_allocation *ret_allocation);

/*
 * Map one whose descriptor another process has passed on, with what the descriptor allows; a copy of it is kept. It needs no
 * manager, has no id, and cannot be grown. When it is freed its bytes read as zeros. EFORMAT: it could be cut under us.
 */
STOA_API int stoa_manager_map(intptr_t descriptor, struct stoa_allocation *ret_allocation);

/* Commit at least `length` bytes, for who may write it; everybody sees them at once. allocation->length is what is there then. ENOMEM, ELIMIT, ERANGE (reserve), ERIGHTS, ENOENT (freed). Much comes in steps: where it fails it may have grown by a part. */
STOA_API int stoa_manager_grow(struct stoa_store *manager, struct stoa_allocation *allocation, uint64_t length);

/* Bytes committed now, by whomever. */
STOA_API uint64_t stoa_manager_length(const struct stoa_allocation *allocation);

/*
 * Let go of it: it is unmapped here. Its owner, or who has made it, frees it: nobody gets it any more, and the memory comes back when all have let go.
 * `manager` is NULL for what stoa_manager_map() gave. Never fails: a manager that is not there frees it when it is told so by this process's end. free: EACCES.
 */
STOA_API void stoa_manager_release(struct stoa_store *manager, struct stoa_allocation *allocation);
STOA_API int stoa_manager_free(struct stoa_store *manager, struct stoa_allocation *allocation);

#ifdef __cplusplus
}
#endif
#endif
