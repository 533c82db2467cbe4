/* SPDX-License-Identifier: MIT */
/*
 * The host scan's passes over what has a name of its own: the files of memory file systems, and System V segments. Uses
 * /proc/self/mountinfo, /proc/sysvipc/shm and directory walks that never leave their file system.
 */
#include "scan_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEPTH_MAX 32 /* of directories: each holds a descriptor open */

const struct memory_device *scan_device(const struct scanner *scanner, dev_t device)
{
	for (size_t i = 0; i < scanner->device_count; i++)
		if (scanner->devices[i].device == device)
			return &scanner->devices[i];
	return NULL;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
}

static int add_device(struct scanner *scanner, dev_t device, const char *directory, bool hugetlb)
{
	struct memory_device *devices;
	struct memory_device *added;

	if (scan_device(scanner, device))
		return 0;
	devices = realloc(scanner->devices, (scanner->device_count + 1) * sizeof(*devices));
	if (!devices)
		return ENOMEM;
	scanner->devices = devices;
	added = &devices[scanner->device_count];
	*added = (struct memory_device){.device = device, .hugetlb = hugetlb};
	if (directory) {
		added->posix = strcmp(directory, "/dev/shm") == 0;
		added->directory = strdup(directory);
		if (!added->directory)
			return ENOMEM;
	}
	scanner->device_count++;
	return 0;
}

/* One line: id parent major:minor root mountpoint options... - type source options */
static int take_mount(struct scanner *scanner, char *line, bool ours)
{
	unsigned major_number;
	unsigned minor_number;
	int root_at = 0;
	char *separator = strstr(line, " - ");
	char *root;
	char *directory;
	bool hugetlb;

	if (!separator || sscanf(line, "%*u %*u %u:%u %n", &major_number, &minor_number, &root_at) < 2 || !root_at)
		return 0;
	hugetlb = strncmp(separator + 3, "hugetlbfs ", 10) == 0;
	if (!hugetlb && strncmp(separator + 3, "tmpfs ", 6) != 0 && strncmp(separator + 3, "ramfs ", 6) != 0)
		return 0;
	root = strtok(line + root_at, " ");
	directory = root ? strtok(NULL, " ") : NULL;
	if (!directory)
		return 0;
	unescape(directory);
	/* A bind mount of one directory is not a walk's start: its whole file system is elsewhere, or out of reach. */
	if (strcmp(root, "/") != 0 && strcmp(directory, "/dev/shm") != 0)
		ours = false;
	return add_device(scanner, makedev(major_number, minor_number), ours ? directory : NULL, hugetlb);
}

int scan_mounts(struct scanner *scanner, const char *path, bool ours)
{
	char *line = NULL;
	size_t room = 0;
	int error = 0;
	FILE *mounts = fopen(path, "re");

	if (!mounts)
		return errno;
	while (!error && getline(&line, &room, mounts) > 0)
		error = take_mount(scanner, line, ours);
	free(line);
	fclose(mounts);
	return error;
}

/* A walk through one memory file system. */
struct walk {
	struct scanner *scanner;
	const struct memory_device *device;
	unsigned depth;
};

static int take_file(struct walk *walk, const char *path, const struct stat *st)
{
	struct scanner *scanner = walk->scanner;
	struct scan_object *object;
	bool is_new;

	if (!walk->device->posix && !scanner->all_files && !scan_lookup(scanner, st->st_dev, st->st_ino)) {
		scanner->scan->other_files++;
		scanner->scan->other_bytes += (uint64_t)st->st_blocks * 512;
		return 0;
	}
	object = scan_find(scanner, st->st_dev, st->st_ino, &is_new);
	if (!object)
		return ENOMEM;
	object->kind = SCAN_FILE;
	scan_take_stat(object, st);
	/* The name in the directory is better than the one a process in another mount namespace saw. */
	free(object->name);
	object->name = strdup(path);
	return object->name ? 0 : ENOMEM;
}

static int walk_directory(struct walk *walk, int directory, const char *path);

static int walk_entry(struct walk *walk, int directory, const char *path, const char *name)
{
	char *full;
	struct stat st;
	int error = 0;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != walk->device->device)
		return 0;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	if (asprintf(&full, "%s/%s", path, name) < 0)
		return ENOMEM;
	if (S_ISREG(st.st_mode)) {
		error = take_file(walk, full, &st);
	} else if (walk->depth < DEPTH_MAX) {
		int below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		walk->depth++;
		if (below >= 0)
			error = walk_directory(walk, below, full);
		else if (errno != ENOENT)
			walk->scanner->scan->directories_refused++;
		walk->depth--;
	}
	free(full);
	return error;
}

/* Takes over the descriptor. */
static int walk_directory(struct walk *walk, int directory, const char *path)
{
	struct dirent *entry;
	int error = 0;
	DIR *stream = fdopendir(directory);

	if (!stream) {
		close(directory);
		return errno;
	}
	while (!error && (entry = readdir(stream)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = walk_entry(walk, directory, path, entry->d_name);
	closedir(stream);
	return error;
}

int scan_files(struct scanner *scanner)
{
	int error = 0;

	for (size_t i = 0; i < scanner->device_count && !error; i++) {
		struct walk walk = {scanner, &scanner->devices[i], 0};
		const char *path = walk.device->directory;
		int directory = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

		if (directory >= 0)
			error = walk_directory(&walk, directory, path);
		else if (path && errno != ENOENT)
			scanner->scan->directories_refused++;
	}
	return error;
}

/* One line of /proc/sysvipc/shm; its columns have stood in this order since Linux 2.6, `rss` since 2.6.37. */
static int take_sysv_line(struct scanner *scanner, const char *line)
{
	long key;
	uint64_t id;
	unsigned mode;
	uint64_t size;
	int64_t creator;
	uint64_t attached;
	unsigned owner;
	int64_t changed;
	uint64_t resident;
	struct scan_object *object;
	bool is_new;

	if (sscanf(line,
		   "%ld %" SCNu64 " %o %" SCNu64 " %" SCNd64 " %*d %" SCNu64 " %u %*u %*u %*u %*d %*d %" SCNd64
		   " %" SCNu64,
		   &key, &id, &mode, &size, &creator, &attached, &owner, &changed, &resident) != 9)
		return 0;
	object = scan_find(scanner, 0, id, &is_new);
	if (!object)
		return ENOMEM;
	object->kind = SCAN_SYSV;
	object->size = size;
	object->resident = resident;
	object->owner = owner;
	object->mode = mode & 0777;
	object->deleted = (mode & 01000) != 0;
	object->creator = creator;
	object->changed = changed;
	object->attached = attached;
	object->shared = true;
	free(object->name);
	if (asprintf(&object->name, "key 0x%08x id %" PRIu64, (unsigned)key, id) < 0)
		object->name = NULL;
	return object->name ? 0 : ENOMEM;
}

int scan_sysv(struct scanner *scanner)
{
	char *line = NULL;
	size_t room = 0;
	int error = 0;
	FILE *table = fopen("/proc/sysvipc/shm", "re");

	if (!table)
		return 0; /* a kernel without System V */
	while (!error && getline(&line, &room, table) > 0)
		error = take_sysv_line(scanner, line);
	free(line);
	fclose(table);
	return error;
}
