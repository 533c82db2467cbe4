/* SPDX-License-Identifier: MIT */
/* A crash-safe file from inside: over any disk, with a log of any size, for tests. Uses base and os. */
#ifndef BACKING_GUARD_H
#define BACKING_GUARD_H

#include <backing/backing.h>
#include <backing/log.h>

#define GUARD_SUFFIX ".stoa-log"

/*
 * Make a backing of an opened file, which it owns on success, with the log `path`. `flags`: with STOA_BACKING_READ_ONLY the backing only
 * reads, but the file was opened to write, too: what the log holds may have to be brought there.
 */
int guard_attach(const struct disk *disk, os_handle data, const char *path, uint32_t flags, uint64_t half,
		 struct stoa_backing **ret_backing);

#endif
