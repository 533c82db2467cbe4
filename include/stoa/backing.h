/* SPDX-License-Identifier: MIT */
/*
 * Backing stores: where the pages of a pager (stoa/pager.h) come from, and go back to. Ready ones: a file, memory; or functions of yours.
 *
 * A backing is a handle, of this process only. Its functions may be called from several threads at a time, for ranges that do not overlap
 * where one of them writes. Where several processes share a pager each has a backing of its own, of the same data: so a backing must not keep
 * in its own memory what another process would have to know.
 *
 * In a pager that works inline, fill() and write() run in whatever thread touches memory, inside a signal handler for a fault of that
 * very touch: all that may be called where the memory is touched may be called there. They must not touch memory of a pager of the
 * same or a higher rank. They must return, not jump. Those of the ready backings allocate no memory, and change errno.
 */
#ifndef STOA_BACKING_H
#define STOA_BACKING_H

#include <stdint.h>
#include <stoa/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stoa_backing;

#define STOA_BACKING_ERROR_MAX 127 /* errors of your own go down to -127 */

/*
 * A backing of yours. Each function returns 0 or a negative error, -STOA_E* or one of your own, which is kept for the page; anything else
 * counts as ESYSTEM. Ranges are in whole blocks of the pager, and never empty; the last may reach beyond the size.
 * fill: make the bytes [offset, offset + length) at `bytes`, private memory; beyond the size they are zero.
 * write: take them over. NULL: the backing only reads, and so do its pagers.
 * flush: return when all that write() was given before is durable. NULL: it always is.
 * size: bytes, at most 2^62.
 * close: by stoa_backing_close(). NULL: nothing is to be done.
 */
struct stoa_backing_calls {
	int (*fill)(void *context, uint64_t offset, uint64_t length, void *bytes);
	int (*write)(void *context, uint64_t offset, uint64_t length, const void *bytes);
	int (*flush)(void *context);
	int (*size)(void *context, uint64_t *ret_size);
	void (*close)(void *context);
};

/* The caller owns *ret_backing: stoa_backing_close(). The calls are copied. EINVAL (fill or size are missing), ENOMEM. */
STOA_API int stoa_backing_create(const struct stoa_backing_calls *calls, void *context,
				 struct stoa_backing **ret_backing);

/* All pagers on it must have been closed. NULL is allowed. Never fails; what was not flushed is not flushed by it. */
STOA_API void stoa_backing_close(struct stoa_backing *backing);

/*
 * Call its functions; may block as these do. A length of 0 does nothing. EINVAL (beyond 2^62); ERIGHTS (write to one that only reads); and
 * what they return.
 */
STOA_API int stoa_backing_fill(struct stoa_backing *backing, uint64_t offset, uint64_t length, void *bytes);
STOA_API int stoa_backing_write(struct stoa_backing *backing, uint64_t offset, uint64_t length, const void *bytes);
STOA_API int stoa_backing_flush(struct stoa_backing *backing);
STOA_API int stoa_backing_size(struct stoa_backing *backing, uint64_t *ret_size);

/* Memory of this process, zeroed: `size` bytes. ENOMEM, EINVAL. */
STOA_API int stoa_backing_memory(uint64_t size, struct stoa_backing **ret_backing);

/* stoa_backing_file(): flags */
#define STOA_BACKING_READ_ONLY (UINT32_C(1) << 0)
#define STOA_BACKING_CREATE (UINT32_C(1) << 1) /* when it is not there: make it, mode 0600, of `size` bytes, zeros */
#define STOA_BACKING_CRASH_SAFE (UINT32_C(1) << 2) /* no crash of the machine leaves a block half written */

/*
 * A regular file, of the length that it has now: what is written beyond is cut off, what is read there is zero. Read and written at places
 * (no file position), so any number of processes may have it, each with a backing of its own. A link as last component is followed only
 * to a regular file. A file that is made gets its name last: a failure, or a death, leaves none. `size` counts only then.
 * Nothing is ordered before flush, and a crash of the machine may leave some blocks new, some old, and some half so.
 * EINVAL, ENOENT, EACCES (owner in the detail), EKIND (not a regular file), ENAME. Its functions: EIO; ENOMEM (the file system is full),
 * ELIMIT (RLIMIT_FSIZE) from write.
 *
 * STOA_BACKING_CRASH_SAFE, in all processes that have the file: a write returns when it is durable, in a log beside the file
 * (`path`.stoa-log, up to 64 MiB, removed by its last user); after a crash of the machine who opens first brings the file in order: each
 * block is as one write() made it. Blocks are what one call of write() covers, up to 32 MiB. The same file without the flag is not in order
 * before that. One write at a time in all processes. A death in the middle of a write is repaired by the next who writes, or reads there.
 * A handle serves the process that opened it: a forked child only reads with it (ENOTSUP). Further errors: ENOTSUP (a file of several names),
 * EFORMAT (the log is damaged, or of another file), EVERSION, EBUSY, EDEADLOCK (write in a signal handler that has interrupted a write). A file that is made stays, complete and
 * empty, when its log cannot be made.
 */
STOA_API int stoa_backing_file(const char *path, uint32_t flags, uint64_t size, struct stoa_backing **ret_backing);

struct stoa_backing_zstd_options { /* all zero is the default: open, to read and write */
	uint32_t flags;            /* STOA_BACKING_READ_ONLY, STOA_BACKING_CREATE */
	uint32_t frame;            /* of a file that is made: bytes, a power of two, 4 KiB to 2 MiB; 0 is 64 KiB */
	uint64_t size;             /* of a file that is made */
	int32_t level;             /* zstd's; 0 is 3 */
	uint32_t reserved;         /* 0 */
};

/*
 * A file whose frames are compressed, each by itself; a frame is the least that is read and written, so blocks of a pager are whole frames
 * (EINVAL). What was flushed is there after a crash, and each frame is old or new, never torn. One handle in one process writes: another gets
 * EBUSY; those with STOA_BACKING_READ_ONLY read beside it what was flushed. A forked child only reads. `options` may be NULL. ENOTSUP where
 * the library was built without libzstd; EFORMAT (no such file, or damaged; also from fill), EVERSION; else as stoa_backing_file(). After an EIO from flush
 * it takes no more writes.
 */
STOA_API int stoa_backing_zstd(const char *path, const struct stoa_backing_zstd_options *options,
			       struct stoa_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
