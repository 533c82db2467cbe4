/* SPDX-License-Identifier: MIT */
/*
 * Reading directories, as `stoa find` needs it. Every function that can fail returns 0 or the system's error number (positive), for
 * walk_error_text(). Names are bytes as the system has them.
 */
#ifndef TOOLS_OS_WALK_H
#define TOOLS_OS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct walk_time {
	int64_t seconds; /* since 1970 */
	uint32_t nanoseconds;
	uint32_t known; /* 0: this file system does not tell */
};

struct walk_attributes {
	uint64_t size;
	uint64_t inode;
	uint64_t links;
	uint64_t flags; /* the system's: immutable, append-only, compressed ... */
	uint32_t mode;  /* permission bits */
	uint32_t user;
	uint32_t group;
	uint32_t padding;
	struct walk_time modified;
	struct walk_time changed;
	struct walk_time accessed;
	struct walk_time born;
};

struct walk_entry {
	const char *name; /* valid until the next call */
	size_t length;
	char type; /* 'f' file, 'd' directory, 'l' link, 'p' pipe, 's' socket, 'b' 'c' devices, '?' not told */
};

#define WALK_LOOP (-1) /* in an error's place: the directory is one of those that it lies in */

const char *walk_error_text(int error);
int walk_error_name_too_long(void);

/*
 * Of a path as a user wrote it: its last name, *ret_length bytes from the returned place; all of it for one that has none, such as "/".
 * And whether a name may stand right behind it: else a '/' belongs between.
 */
const char *walk_last_name(const char *path, size_t *ret_length);
bool walk_takes_name(const char *path);

/* The type and attributes of `path` itself, not of what it links to. */
int walk_look(const char *path, char *ret_type, struct walk_attributes *ret_attributes);

/*
 * A reader of the directories below `root`, one at a time. Directories have ids of the caller's choice (not 0). Some that
 * were read last, of those that are parents, stay open, so that a child of one of them is reached in one step however deep it lies.
 */
struct walk;
int walk_create(const char *root, struct walk **ret_walk);
void walk_destroy(struct walk *walk);

/* Whether directory `id`, which was read, is still open. */
bool walk_knows(struct walk *walk, uint64_t id);
/* Begin to read directory `id`: `name` in directory `parent`, which walk_knows(). */
int walk_begin_in(struct walk *walk, uint64_t id, uint64_t parent, const char *name);
/* The same by its path below the root, "a/b/c", of any length; "" is the root. Links on the way are refused. */
int walk_begin(struct walk *walk, uint64_t id, const char *path);
/* The next entry, without "." and "..": sets *ret_more to false at the end. */
int walk_next(struct walk *walk, struct walk_entry *ret_entry, bool *ret_more);
/* Type and attributes of `name` in the directory being read. */
int walk_attributes(struct walk *walk, const char *name, char *ret_type, struct walk_attributes *ret_attributes);
/*
 * What a directory is, whatever its path. Only one that something is mounted on can be one of those that it lies in, as directories
 * have one name: true if `name` in the directory being read may be. Then look there and in `levels` - 1 directories above it.
 */
struct walk_identity {
	uint64_t inode;
	uint32_t device[2];
};
bool walk_may_loop(struct walk *walk, const char *name, struct walk_identity *ret_identity);
bool walk_lies_in(struct walk *walk, const struct walk_identity *identity, unsigned levels);
/* Done with the directory being read; so many directories in it are to be read soon. */
void walk_end(struct walk *walk, unsigned children);

#endif
