/* SPDX-License-Identifier: MIT */
/*
 * Segments: memory that many processes see. A segment reserves a range of addresses once, of any size, and commits
 * memory from its start as needed; what one process commits, all can use at once. Growth never moves anything.
 *
 * A segment is unnamed (reached by fork or by passing its descriptor), named (any process of the same user opens it), or
 * laid over a file. Inside, data starts at stoa_segment_address(); offsets count from there.
 *
 * Threads: every function may be called from any thread; a handle must not be closed while another thread uses it.
 * fork: a child inherits its parent's handles and maps. exec: descriptors are closed, see stoa_segment_inherit().
 * Signals: only stoa_segment_address/reserve/committed may be called in a signal handler.
 */
#ifndef STOA_SEGMENT_H
#define STOA_SEGMENT_H

#include <stdint.h>
#include <stoa/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_segment; /* a handle, of this process only */

#define STOA_RESERVE_MAX (UINT64_C(1) << 40) /* 1 TiB */
#define STOA_NAME_MAX 200                    /* bytes of UTF-8, without '/' and control characters */

/* stoa_segment_options.flags */
#define STOA_RAW \
	(UINT32_C(1) << 0) /* no header: byte 0 of the object is yours; no mutexes, events, semaphores inside */
#define STOA_PERSISTENT (UINT32_C(1) << 1)     /* the name stays when nobody uses the segment, until unlinked */
#define STOA_SHRINKABLE (UINT32_C(1) << 2)     /* stoa_segment_shrink() allowed: peers of the same user may cut it */
#define STOA_GLOBAL (UINT32_C(1) << 3)         /* a name in the host-wide directory, not in the user's own */
#define STOA_READ_ONLY (UINT32_C(1) << 4)      /* this handle only reads (open, file, adopt) */
#define STOA_EXECUTABLE (UINT32_C(1) << 5)     /* views with STOA_EXEC allowed */
#define STOA_FILE_CREATE (UINT32_C(1) << 6)    /* stoa_segment_file: create the file when it is not there, mode 0600 */
#define STOA_WORLD_READABLE (UINT32_C(1) << 7) /* with STOA_GLOBAL: other users may open it, with STOA_READ_ONLY */
#define STOA_ANY_KIND (UINT32_C(1) << 8) /* stoa_segment_open: also the segment of a named mutex, event or semaphore */

/* stoa_segment_options.huge */
#define STOA_HUGE_AUTO 0    /* 2 MiB pages where the system offers them on request and a commit covers them whole */
#define STOA_HUGE_NEVER 1   /* 4 KiB pages */
#define STOA_HUGE_REQUIRE 2 /* sizes are rounded up to 2 MiB; -STOA_ENOTSUP where the system offers none */

struct stoa_segment_options { /* all zero is the default */
	uint32_t flags;
	uint32_t huge;
	uint64_t commit; /* bytes to commit at creation, rounded up to pages */
	uint32_t
		roster_slots; /* threads that can take part at a time; 0 is 1023, at most 16383; a page each before the data */
	uint32_t reserved; /* 0 */
};

/*
 * Create a segment of `reserve` bytes (1 .. STOA_RESERVE_MAX, rounded up to whole pages) and map it for reading and
 * writing. `name` NULL makes an unnamed one. `options` may be NULL. The caller owns *ret_segment: stoa_segment_close().
 * All or nothing: a process killed inside leaves no name behind. Waits at most two seconds for another that makes or removes
 * the same name and was stopped in the middle. Errors: EINVAL, ENAME, EEXIST, EACCES, ENOMEM, ELIMIT, ENOTSUP, EBUSY (stopped),
 * ESYSTEM.
 */
STOA_API int stoa_segment_create(const char *name, uint64_t reserve, const struct stoa_segment_options *options,
				 struct stoa_segment **ret_segment);

/*
 * Open a named segment. Its reserve, flags and huge-page policy are those of its creation; from `options` (may be NULL)
 * only STOA_GLOBAL, STOA_READ_ONLY and STOA_ANY_KIND count. A segment of another user (STOA_WORLD_READABLE) can be read; reading it
 * does not keep its name, and its owner can cut it, which makes a reader's touch fault. Errors: ENAME, ENOENT, EACCES (owner in the detail), EFORMAT, EVERSION,
 * EKIND, EBUSY (who makes or removes the name is stopped), ENOMEM, ELIMIT, ESYSTEM.
 */
STOA_API int stoa_segment_open(const char *name, const struct stoa_segment_options *options,
			       struct stoa_segment **ret_segment);

/*
 * Open, or create when absent; STOA_EXISTED when it was there. Of several racing callers exactly one creates. What was there
 * keeps its reserve, which may be another than asked for (stoa_segment_reserve()), its flags and policy; at least options->commit
 * is committed in both cases (ERANGE when that is beyond its reserve).
 */
STOA_API int stoa_segment_create_or_open(const char *name, uint64_t reserve, const struct stoa_segment_options *options,
					 struct stoa_segment **ret_segment);

/*
 * Map the user's file `path`, raw: its bytes are the data. `reserve` is how far it may grow (0: its present size). The
 * committed length is the file's size; commit extends the file. A link as last component is followed only if it leads to
 * a regular file of a user we may access. A file that is made (STOA_FILE_CREATE) gets its name last: a failure leaves none.
 * Errors as create, and ENOENT, EKIND (not a regular file), ERANGE (reserve below the file's size), EIO.
 */
STOA_API int stoa_segment_file(const char *path, uint64_t reserve, const struct stoa_segment_options *options,
			       struct stoa_segment **ret_segment);

/*
 * Unmap and close; the name goes when the last user of a transient segment closes or dies. With the process's
 * last handle on it, mutexes that its threads hold inside are abandoned: their next owner is told STOA_OWNER_DIED. NULL is allowed. Never fails.
 */
STOA_API void stoa_segment_close(struct stoa_segment *segment);

/* Remove the name now; those who have the segment open keep it. `flags`: 0 or STOA_GLOBAL. ENAME, ENOENT, EACCES. */
STOA_API int stoa_segment_unlink(const char *name, uint32_t flags);

/* First byte of the data. Constant while the handle is open; differs between processes. */
STOA_API void *stoa_segment_address(const struct stoa_segment *segment);
STOA_API uint64_t stoa_segment_reserve(const struct stoa_segment *segment);

/*
 * Bytes committed as the system tells now, by whomever. One system call. It is the object's length: while a commit runs somewhere
 * in 2 MiB pages, or after such a one failed, it may be ahead of the memory behind it; commit() itself is never.
 */
STOA_API uint64_t stoa_segment_committed(const struct stoa_segment *segment);

/*
 * Make at least the first `length` bytes usable in every process, at once. Cumulative and idempotent; a length at or below
 * what this process knows as committed returns in nanoseconds without a system call. Publishes no data: order that
 * with a mutex, an event or an atomic of your own. On failure what was committed before stays so, and nothing else
 * changes for anybody, unless others raced for the last memory: then a part of the growth may stay. Full memory, a full file system, RLIMIT_FSIZE and memory cgroups (best effort: headroom is
 * looked at first, the kernel's killer may win a race) are errors here and never a signal later.
 * Errors: ENOMEM, ELIMIT, ERANGE (beyond the reserve), ERIGHTS (read-only handle or sealed against growth), EIO.
 */
STOA_API int stoa_segment_commit(struct stoa_segment *segment, uint64_t length);

/*
 * Give back the pages inside [offset, offset + length) (whole pages, committed): they read as zero and must be committed
 * again, with stoa_segment_recommit(), before use; touching them earlier may raise SIGBUS where memory is full.
 * Of a file this destroys the contents there. Errors: EINVAL (not page aligned), ERANGE, EUNCOMMITTED, ERIGHTS.
 */
STOA_API int stoa_segment_discard(struct stoa_segment *segment, uint64_t offset, uint64_t length);
STOA_API int stoa_segment_recommit(struct stoa_segment *segment, uint64_t offset, uint64_t length);

/*
 * Cut the committed length to `length` in every process (segments created STOA_SHRINKABLE, and files): touching beyond
 * faults again. ERIGHTS otherwise.
 */
STOA_API int stoa_segment_shrink(struct stoa_segment *segment, uint64_t length);

/* Access for stoa_segment_protect() and stoa_view_map(). */
#define STOA_NONE 0u
#define STOA_READ (1u << 0)
#define STOA_WRITE (1u << 1)
#define STOA_EXEC (1u << 2)
#define STOA_PRIVATE (1u << 3) /* view: copy on write, changes stay in this process */

/* Change this process's access to whole pages of the main map. EINVAL, ERANGE, ERIGHTS, ELIMIT. */
STOA_API int stoa_segment_protect(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t access);

/*
 * Map [offset, offset + length) once more (offset in whole pages), committed or not. Several views of one byte are one
 * byte; see stoa-memory(7) for what the compiler may assume. The caller owns it: stoa_view_unmap() with the same length.
 * EINVAL, ERANGE, ERIGHTS, ELIMIT, ENOMEM.
 */
STOA_API int stoa_view_map(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t access,
			   void **ret_address);
STOA_API int stoa_view_unmap(void *address, uint64_t length);

/* Permanent restrictions enforced by the kernel on every holder (unnamed segments). */
#define STOA_SEAL_GROW (1u << 0)         /* no more commits */
#define STOA_SEAL_SHRINK (1u << 1)       /* no cuts; set at creation unless STOA_SHRINKABLE */
#define STOA_SEAL_FUTURE_WRITE (1u << 2) /* present writable maps go on, new ones cannot be made; discard is refused */
#define STOA_SEAL_WRITE (1u << 3)        /* immutable; EBUSY while anybody, this handle too, has a writable map */

/*
 * Add seals. With STOA_SEAL_WRITE this handle's own map is first made read-only (and stays so, even when the seal is refused
 * with EBUSY because a peer, or another handle of this process, has a writable map), and its part in the roster ends: a mutex that this
 * process holds in the segment is abandoned. ENOTSUP on named segments and files, EBUSY, ERIGHTS.
 */
STOA_API int stoa_segment_seal(struct stoa_segment *segment, uint32_t seals);

/* Flush to the file. Without STOA_DURABLE the system is told to start; with it, returns when on stable storage. */
#define STOA_DURABLE (1u << 0)
STOA_API int stoa_segment_flush(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t flags);

/*
 * Bring committed pages into memory with a worker thread; the caller goes on. Wait with stoa_prefetch_wait() or in a wait
 * set (stoa/wait.h). A page that cannot be read is -STOA_EIO from the wait, not SIGBUS. `stoa_prefetch_close()` first waits
 * for the worker; close it before its segment. A forked child must not use its parent's. EINVAL, ERANGE, EUNCOMMITTED, ENOMEM, ELIMIT.
 */
struct stoa_prefetch;
STOA_API int stoa_segment_prefetch(struct stoa_segment *segment, uint64_t offset, uint64_t length,
				   struct stoa_prefetch **ret_prefetch);
STOA_API int stoa_prefetch_wait(struct stoa_prefetch *prefetch, uint64_t deadline); /* 0, STOA_TIMED_OUT, -STOA_EIO */
STOA_API void stoa_prefetch_close(struct stoa_prefetch *prefetch);

struct stoa_segment_stat {
	uint64_t reserve;
	uint64_t committed; /* bytes usable */
	uint64_t resident;  /* bytes of memory or disk blocks behind them, header and roster included */
	uint64_t identity;  /* random, made at creation; 0 for raw segments */
	uint32_t owner;     /* numeric user id */
	uint32_t flags;     /* STOA_RAW, STOA_PERSISTENT, ... */
	uint32_t seals;
	uint32_t huge;
	uint32_t roster_slots;
	uint32_t roster_alive; /* threads now taking part */
	uint32_t kind;         /* STOA_KIND_* */
	uint32_t reserved;     /* 0 */
};
#define STOA_KIND_DATA 0
#define STOA_KIND_MUTEX 1 /* holds one named object, made by stoa_mutex_open() */
#define STOA_KIND_EVENT 2
#define STOA_KIND_SEMAPHORE 3
#define STOA_KIND_CHANNEL 4 /* a channel, made by stoa_channel_create() */
#define STOA_KIND_PAGER 5   /* a pager, made by stoa_pager_create() */
STOA_API int stoa_segment_stat(const struct stoa_segment *segment, struct stoa_segment_stat *ret_stat);

/*
 * Call `visit` for each name of this user, or with STOA_GLOBAL in `flags` for each of the host's, in no order, until it returns
 * non-zero: that is then the result. The entry is valid during the call; visit may open, unlink and close. EACCES, ELIMIT.
 */
struct stoa_segment_entry {
	const char *name;
	uint32_t flags;    /* STOA_GLOBAL, STOA_PERSISTENT, STOA_WORLD_READABLE */
	uint32_t owner;    /* numeric user id */
	uint32_t in_use;   /* 1: somebody has it open; also said of another user's, which cannot be known */
	uint32_t reserved; /* 0 */
};
STOA_API int stoa_segment_list(uint32_t flags, int (*visit)(const struct stoa_segment_entry *entry, void *argument),
			       void *argument);

/*
 * Remove the transient names whose users are all dead: this user's own, or with STOA_GLOBAL this user's among the host's.
 * Opening or creating such a name does the same for that one. `ret_removed` may be NULL. EACCES, ELIMIT.
 */
STOA_API int stoa_segment_gc(uint32_t flags, uint32_t *ret_removed);

/* The page size that discard, protect and views count in. */
STOA_API uint64_t stoa_page_size(void);

#ifdef __cplusplus
}
#endif
#endif
