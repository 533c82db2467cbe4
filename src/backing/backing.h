/* SPDX-License-Identifier: MIT */
/*
 * Backing stores from inside: a handle is a table of calls and their context, for those of the library as for the user's. Uses base
 * and os.
 *
 * What is called here may run in the handler of a fault: no memory is allocated in fill and write, and what one process learns from the
 * data another process finds there, too.
 */
#ifndef BACKING_BACKING_H
#define BACKING_BACKING_H

#include <os/os.h>
#include <stoa/backing.h>

/* Offsets and lengths stay below, so that their sums do. */
#define BACKING_SIZE_MAX (UINT64_C(1) << 62)

struct stoa_backing {
	struct stoa_backing_calls calls;
	void *context;
};

/* How much of `length` bytes at `offset` lies below `size`. */
static inline size_t backing_inside(uint64_t size, uint64_t offset, uint64_t length)
{
	uint64_t left = offset < size ? size - offset : 0;

	return (size_t)(length < left ? length : left);
}

/* What stoa_backing_file() does with each flag is asked here, once for all kinds of files: -STOA_EINVAL with its sentence. */
int backing_check_file(const char *path, uint32_t flags, uint32_t known, uint64_t size,
		       struct stoa_backing **ret_backing);

/* -STOA_EKIND */
int backing_check_regular(os_handle handle, uint64_t *ret_length);

/* With options that were checked; in builds with libzstd, else -STOA_ENOTSUP. */
int backing_zstd(const char *path, const struct stoa_backing_zstd_options *options, struct stoa_backing **ret_backing);

#endif
