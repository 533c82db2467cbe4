/* SPDX-License-Identifier: MIT */
/* Bringing pages in by reading them, for the systems' os_populate() where nothing better is to be had. */
#ifndef OS_POPULATE_H
#define OS_POPULATE_H

#include <os/os.h>

/*
 * Read the bytes through the handle: slower, copies, but an unreadable page is an error and neither a signal nor an exception, and
 * the cache has the pages afterwards.
 */
int populate_by_reading(os_handle memory, uint64_t offset, uint64_t length);

#endif
