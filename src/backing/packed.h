/* SPDX-License-Identifier: MIT */
/* A compressed file from inside: over any disk, for tests. Uses base and os. */
#ifndef BACKING_PACKED_H
#define BACKING_PACKED_H

#include <backing/backing.h>
#include <backing/pack.h>

/* Make a backing of an opened file of frames, which it owns on success. A writer holds the lock already. */
int packed_attach(const struct disk *disk, os_handle file, bool writable, int level, struct stoa_backing **ret_backing);

#endif
