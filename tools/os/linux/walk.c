/* SPDX-License-Identifier: MIT */
/*
 * Reading directories on Linux: getdents64() with a large buffer, names and types from it, statx() only when asked for. A directory is
 * opened from its parent's descriptor when that is still open, else by its path from the root in pieces below PATH_MAX; no
 * symbolic link is followed on the way, so that a directory swapped for a link meanwhile leads nowhere else.
 */
#include "../walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#define READ_BYTES 65536
#define KEPT 64 /* directories that stay open */

struct kept {
	uint64_t id; /* 0: none */
	int descriptor;
	unsigned children; /* that were not begun yet */
};

struct walk {
	int root; /* -1: not opened yet */
	int root_error;
	struct kept now;        /* being read */
	struct kept kept[KEPT]; /* a ring */
	unsigned next;          /* in it, to be replaced */
	unsigned last;          /* where was found what was looked for */
	bool plain_open;        /* openat2() is refused here */
	bool no_loops;          /* nothing is mounted twice */
	size_t filled;
	size_t at;
	int64_t place; /* in the directory, behind the last entry */
	char *buffer;
	char path[];
};

const char *walk_error_text(int error)
{
	return error == WALK_LOOP ? "File system loop detected: it is one of the directories that it lies in"
				  : strerror(error);
}

int walk_error_name_too_long(void)
{
	return ENAMETOOLONG;
}

const char *walk_last_name(const char *path, size_t *ret_length)
{
	size_t end = strlen(path);
	size_t start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && end > 1 && path[start - 1] != '/'; start--)
		continue;
	start = end == 1 ? 0 : start;
	*ret_length = end - start;
	return path + start;
}

bool walk_takes_name(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

static char type_of_mode(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return 'f';
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFIFO: return 'p';
	case S_IFSOCK: return 's';
	case S_IFBLK: return 'b';
	case S_IFCHR: return 'c';
	default: return '?';
	}
}

static char type_of_entry(unsigned char type)
{
	switch (type) {
	case DT_REG: return 'f';
	case DT_DIR: return 'd';
	case DT_LNK: return 'l';
	case DT_FIFO: return 'p';
	case DT_SOCK: return 's';
	case DT_BLK: return 'b';
	case DT_CHR: return 'c';
	default: return '?';
	}
}

static struct walk_time time_of(const struct statx_timestamp *stamp, bool known)
{
	struct walk_time time = {0, 0, 0};

	if (known) {
		time.seconds = stamp->tv_sec;
		time.nanoseconds = stamp->tv_nsec;
		time.known = 1;
	}
	return time;
}

static int look_at(int directory, const char *name, char *ret_type, struct walk_attributes *ret_attributes)
{
	struct statx status;
	struct walk_attributes *to = ret_attributes;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &status) !=
	    0)
		return errno;
	*ret_type = type_of_mode(status.stx_mode);
	memset(to, 0, sizeof(*to));
	to->size = status.stx_size;
	to->inode = status.stx_ino;
	to->links = status.stx_nlink;
	to->flags = status.stx_attributes;
	to->mode = status.stx_mode & 07777u;
	to->user = status.stx_uid;
	to->group = status.stx_gid;
	to->modified = time_of(&status.stx_mtime, status.stx_mask & STATX_MTIME);
	to->changed = time_of(&status.stx_ctime, status.stx_mask & STATX_CTIME);
	to->accessed = time_of(&status.stx_atime, status.stx_mask & STATX_ATIME);
	to->born = time_of(&status.stx_btime, status.stx_mask & STATX_BTIME);
	return 0;
}

int walk_look(const char *path, char *ret_type, struct walk_attributes *ret_attributes)
{
	return look_at(AT_FDCWD, path, ret_type, ret_attributes);
}

#define MOUNTS 256

/* No file system is mounted at two places, so that none can lie below itself. Saves looking at each directory. */
static bool nothing_is_mounted_twice(void)
{
	dev_t devices[MOUNTS];
	unsigned count = 0;
	unsigned numbers[2];
	char *line = NULL;
	size_t room = 0;
	bool twice = false;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	while (mounts && !twice && getline(&line, &room, mounts) > 0) {
		dev_t device = sscanf(line, "%*u %*u %u:%u", &numbers[0], &numbers[1]) == 2
				       ? makedev(numbers[0], numbers[1])
				       : 0;

		twice = device == 0 || count == MOUNTS;
		for (unsigned i = 0; i < count && !twice; i++)
			twice = devices[i] == device;
		if (!twice)
			devices[count++] = device;
	}
	free(line);
	if (mounts)
		fclose(mounts);
	return count > 0 && !twice;
}

int walk_create(const char *root, struct walk **ret_walk)
{
	size_t length = strlen(root);
	struct walk *walk = calloc(1, sizeof(*walk) + length + 1);

	if (!walk)
		return ENOMEM;
	walk->buffer = malloc(READ_BYTES);
	if (!walk->buffer) {
		free(walk);
		return ENOMEM;
	}
	memcpy(walk->path, root, length + 1);
	walk->root = -1;
	walk->no_loops = nothing_is_mounted_twice();
	*ret_walk = walk;
	return 0;
}

static void drop(struct kept *kept)
{
	if (kept->id)
		close(kept->descriptor);
	kept->id = 0;
}

/* All but `id`. False: none was. */
static bool close_kept(struct walk *walk, uint64_t id)
{
	bool any = false;

	for (unsigned i = 0; i < KEPT; i++) {
		if (!walk->kept[i].id || walk->kept[i].id == id)
			continue;
		drop(&walk->kept[i]);
		any = true;
	}
	return any;
}

void walk_destroy(struct walk *walk)
{
	if (!walk)
		return;
	walk_end(walk, 0);
	close_kept(walk, 0);
	if (walk->root >= 0)
		close(walk->root);
	free(walk->buffer);
	free(walk);
}

/* Children of one directory come one after the other. */
static struct kept *find_kept(struct walk *walk, uint64_t id)
{
	for (unsigned i = 0; i < KEPT && walk->kept[walk->last].id != id; i++)
		walk->last = (walk->last + 1) % KEPT;
	return id && walk->kept[walk->last].id == id ? &walk->kept[walk->last] : NULL;
}

bool walk_knows(struct walk *walk, uint64_t id)
{
	return find_kept(walk, id) != NULL;
}

static int begin(struct walk *walk, uint64_t id, int descriptor)
{
	drop(&walk->now);
	walk->now = (struct kept){id, descriptor, 0};
	walk->filled = 0;
	walk->at = 0;
	walk->place = 0;
	return 0;
}

/* Kept in a free place, or in that of the one that was kept longest ago: its children come last. */
void walk_end(struct walk *walk, unsigned children)
{
	unsigned tries = KEPT;

	walk->now.children = children;
	if (children && walk->now.id) {
		while (tries-- && walk->kept[walk->next].id)
			walk->next = (walk->next + 1) % KEPT;
		drop(&walk->kept[walk->next]);
		walk->kept[walk->next] = walk->now;
		walk->next = (walk->next + 1) % KEPT;
		walk->now.id = 0;
	}
	drop(&walk->now);
}

/* No more descriptors for us? Then for fewer that stay open. */
static bool makes_room(struct walk *walk, int error, uint64_t parent)
{
	return (error == EMFILE || error == ENFILE) && close_kept(walk, parent);
}

int walk_begin_in(struct walk *walk, uint64_t id, uint64_t parent, const char *name)
{
	struct kept *kept = find_kept(walk, parent);
	int descriptor;
	int error;

	do {
		descriptor = openat(kept ? kept->descriptor : -1, name, OPEN_FLAGS);
		error = errno;
	} while (descriptor < 0 && makes_room(walk, error, parent));
	if (kept && --kept->children == 0)
		drop(kept);
	return descriptor < 0 ? error : begin(walk, id, descriptor);
}

static int open_root(struct walk *walk)
{
	if (walk->root < 0 && walk->root_error == 0) {
		walk->root = open(walk->path, OPEN_FLAGS);
		walk->root_error = walk->root < 0 ? errno : 0;
	}
	return walk->root_error;
}

/* Name by name, where openat2() is not to be had. Returns a descriptor or minus an error number. */
static int open_by_names(int from, char *path)
{
	int at = from;

	while (path) {
		char *slash = strchr(path, '/');
		int next;
		int error;

		if (slash)
			*slash = 0;
		next = openat(at, path, slash ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : OPEN_FLAGS);
		error = errno;
		if (at != from)
			close(at);
		if (next < 0)
			return -error;
		at = next;
		path = slash ? slash + 1 : NULL;
	}
	return at;
}

/* `path` is shorter than PATH_MAX; `last` whether it is to be read, not just passed through. */
static int open_piece(struct walk *walk, int from, char *path, bool last)
{
	struct open_how how = {.flags = O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	long descriptor;

	how.flags |= (uint64_t)(last ? OPEN_FLAGS : O_PATH);
	if (!walk->plain_open) {
		descriptor = syscall(SYS_openat2, from, path, &how, sizeof(how));
		if (descriptor >= 0 || (errno != ENOSYS && errno != EPERM))
			return descriptor >= 0 ? (int)descriptor : -errno;
		walk->plain_open = true;
	}
	return open_by_names(from, path);
}

/* Where to cut a path of PATH_MAX bytes or more: at the last '/' that makes a piece short enough. */
static char *cut(char *path)
{
	char *slash = path + PATH_MAX - 2;

	if (strlen(path) < PATH_MAX - 1)
		return NULL;
	while (slash > path && *slash != '/')
		slash--;
	return slash > path ? slash : NULL;
}

static int begin_path(struct walk *walk, uint64_t id, char *path)
{
	int at = walk->root;
	char *slash;

	do {
		int next;

		slash = cut(path);
		if (slash)
			*slash = 0;
		next = open_piece(walk, at, path, !slash);
		if (at != walk->root)
			close(at);
		if (next < 0)
			return -next;
		at = next;
		path = slash ? slash + 1 : path;
	} while (slash);
	return begin(walk, id, at);
}

int walk_begin(struct walk *walk, uint64_t id, const char *path)
{
	int error = open_root(walk);
	char *copy;

	if (error)
		return error;
	do {
		copy = strdup(*path ? path : ".");
		error = copy ? begin_path(walk, id, copy) : ENOMEM;
		free(copy);
	} while (error && makes_room(walk, error, 0));
	return error;
}

/* Nothing lies behind the last place there can be, which file systems tell behind the last entry: saves asking for more. */
static ssize_t read_more(struct walk *walk)
{
	return walk->place == INT64_MAX ? 0 : getdents64(walk->now.descriptor, walk->buffer, READ_BYTES);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

int walk_next(struct walk *walk, struct walk_entry *ret_entry, bool *ret_more)
{
	const struct dirent64 *entry;

	do {
		if (walk->at >= walk->filled) {
			ssize_t got = read_more(walk);

			if (got < 0)
				return errno;
			if (got == 0) {
				*ret_more = false;
				return 0;
			}
			walk->filled = (size_t)got;
			walk->at = 0;
		}
		entry = (const struct dirent64 *)(const void *)(walk->buffer + walk->at);
		walk->at += entry->d_reclen;
		walk->place = entry->d_off;
	} while (is_dots(entry->d_name));
	ret_entry->name = entry->d_name;
	ret_entry->length = strlen(entry->d_name);
	ret_entry->type = type_of_entry(entry->d_type);
	*ret_more = true;
	return 0;
}

int walk_attributes(struct walk *walk, const char *name, char *ret_type, struct walk_attributes *ret_attributes)
{
	return look_at(walk->now.descriptor, name, ret_type, ret_attributes);
}

static bool identify(int directory, const char *name, struct walk_identity *ret_identity, bool *ret_mounted)
{
	struct statx status;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH), STATX_INO,
		  &status) != 0)
		return false;
	*ret_identity = (struct walk_identity){status.stx_ino, {status.stx_dev_major, status.stx_dev_minor}};
	/* A system that does not tell makes us look at all. */
	*ret_mounted =
		!(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) || status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return true;
}

bool walk_may_loop(struct walk *walk, const char *name, struct walk_identity *ret_identity)
{
	bool mounted;

	return !walk->no_loops && identify(walk->now.descriptor, name, ret_identity, &mounted) && mounted;
}

bool walk_lies_in(struct walk *walk, const struct walk_identity *identity, unsigned levels)
{
	int here = walk->now.descriptor;
	int at = here;
	bool found = false;

	while (levels-- > 0 && at >= 0 && !found) {
		struct walk_identity seen;
		bool mounted;
		int above;

		found = identify(at, "", &seen, &mounted) && memcmp(&seen, identity, sizeof(seen)) == 0;
		above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (at != here)
			close(at);
		at = above;
	}
	if (at >= 0 && at != here)
		close(at);
	return found;
}
