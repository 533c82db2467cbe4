/* SPDX-License-Identifier: MIT */
/*
 * What stores with a format of their own ask of files, as a table: the system's files, or in tests a disk that loses power. Uses os.
 *
 * A disk keeps what was written and not yet synced in any order, in pieces of DISK_SECTOR bytes: each of them is old or new after a crash,
 * whatever became of the others. sync() makes all durable that was written to that file before, by whomever; sync_name() that the file has
 * its name. Nothing else is relied on.
 */
#ifndef BACKING_DISK_H
#define BACKING_DISK_H

#include <os/os.h>

#define DISK_SECTOR 512u

struct disk {
	/* os_file_open_own() and the like: os.h says what each does. */
	int (*open)(const struct disk *disk, const char *path, bool create, os_handle *ret_file);
	void (*close)(const struct disk *disk, os_handle file);
	int (*read)(const struct disk *disk, os_handle file, uint64_t offset, void *bytes, size_t length,
		    size_t *ret_read);
	int (*write)(const struct disk *disk, os_handle file, uint64_t offset, const void *bytes, size_t length);
	int (*sync)(const struct disk *disk, os_handle file);
	int (*length)(const struct disk *disk, os_handle file, uint64_t *ret_length);
	int (*lock)(const struct disk *disk, os_handle file, unsigned byte, enum os_lock_kind kind, bool wait);
	int (*sync_name)(const struct disk *disk, const char *path);
	bool (*is_at)(const struct disk *disk, os_handle file, const char *path);
	int (*remove)(const struct disk *disk, os_handle file, const char *path);
};

extern const struct disk disk_system;

/* Read all of it; what the file does not have is zero. */
int disk_read(const struct disk *disk, os_handle file, uint64_t offset, void *bytes, size_t length);

#endif
