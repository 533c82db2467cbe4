/* SPDX-License-Identifier: MIT */
/*
 * Where names lie: /dev/shm/stoa.<uid>/NAME.seg for the user's own, /dev/shm/stoa.global.NAME.seg for the host's, each with
 * a lock file NAME.lock beside it. Everything here distrusts what it finds: others can write to /dev/shm.
 */
#ifndef OS_LINUX_PLACES_H
#define OS_LINUX_PLACES_H

#include <os/os.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct place {
	int directory;
	char object[256]; /* the name's object and its lock, in the directory */
	char lock[256];
};

/* Open the directory of a space, made and checked; -STOA_ENOENT without `create` when the user has none yet. */
int place_open_directory(uint32_t flags, bool create, int *ret_directory);

int place_open(const char *name, uint32_t flags, bool create, struct place *ret_place);

/* The two files of a directory entry without its suffix. */
void place_of_entry(const char *entry, struct place *place);
void place_close(struct place *place);

/* The name that a directory entry ending in `suffix` stands for, in place in `entry`; NULL when it is none of ours. */
char *place_name_of(char *entry, const char *suffix, uint32_t flags);

/* Is it a regular file of this user? Else the error that says what it is or whose. */
int place_check_own(const struct place *place, const char *entry, const struct stat *status);

/* Does the entry still refer to the open file? */
bool place_same_file(const struct place *place, const char *entry, int fd);

/* The error for a failed open of the entry, naming its owner where access was refused. */
int place_open_failed(const struct place *place, const char *entry);

/* The directory's path, for messages and for reading links back. */
void place_path(uint32_t flags, char *path, size_t size);

#endif
