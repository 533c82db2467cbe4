/* SPDX-License-Identifier: MIT */
/*
 * The directories and file names behind names, and the checks on what is found there. The user's directory is made on
 * demand with mode 0700; before use its owner, mode and file system are verified through the open descriptor, so that
 * nobody can squat it or swap it. In the shared one only files of this user are trusted.
 */
#include <os/linux/places.h>

#include <base/error.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <os/linux/sys.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BASE "/dev/shm"
#define GLOBAL_PREFIX "stoa.global."
#define OBJECT_SUFFIX ".seg"
#define LOCK_SUFFIX ".lock"

void place_path(uint32_t flags, char *path, size_t size)
{
	if (flags & OS_NAME_GLOBAL)
		snprintf(path, size, BASE);
	else
		snprintf(path, size, BASE "/stoa.%u", geteuid());
}

/* Name who holds the path that we cannot use. */
static int squatted(const char *path, const char *why)
{
	struct stat status;
	char owner[64];

	if (SYS(lstat, path, &status) < 0)
		return sys_failed("looking at '%s'", path);
	sys_user_name(status.st_uid, owner, sizeof(owner));
	return error_set(-STOA_EACCES, "'%s' cannot hold names: %s; it belongs to %s", path, why, owner);
}

static int check_directory(int directory, uint32_t flags, const char *path)
{
	struct stat status;
	struct statfs system;

	if (SYS(fstat, directory, &status) < 0 || SYS(fstatfs, directory, &system) < 0)
		return sys_failed("looking at '%s'", path);
	if ((uint64_t)system.f_type != TMPFS_MAGIC)
		return error_set(-STOA_ENOTSUP, "'%s' is not on a tmpfs, so named segments cannot live there", path);
	if (flags & OS_NAME_GLOBAL)
		return (status.st_mode & 0002) && !(status.st_mode & S_ISVTX)
			       ? squatted(path, "anybody may remove what others have there (no sticky bit)")
			       : 0;
	if (status.st_uid != geteuid())
		return squatted(path, "it is somebody else's");
	if (status.st_mode & 0077)
		return squatted(path, "other users may enter it (chmod 700 it)");
	return 0;
}

int place_open_directory(uint32_t flags, bool create, int *ret_directory)
{
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char path[64];
	int fd, rc;

	place_path(flags, path, sizeof(path));
	fd = SYS(open, path, how);
	if (fd < 0 && errno == ENOENT && create && !(flags & OS_NAME_GLOBAL)) {
		if (SYS(mkdir, path, 0700) < 0 && errno != EEXIST)
			return sys_failed("making '%s'", path);
		fd = SYS(open, path, how);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return squatted(path, "it is not a directory");
	if (fd < 0 && errno == EACCES)
		return squatted(path, "it cannot be opened");
	if (fd < 0)
		return sys_failed("opening '%s'", path);
	rc = check_directory(fd, flags, path);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*ret_directory = fd;
	return 0;
}

int place_open(const char *name, uint32_t flags, bool create, struct place *ret_place)
{
	int rc = place_open_directory(flags, create, &ret_place->directory);
	char entry[240];

	if (rc < 0)
		return rc;
	snprintf(entry, sizeof(entry), "%s%.220s", flags & OS_NAME_GLOBAL ? GLOBAL_PREFIX : "", name);
	place_of_entry(entry, ret_place);
	return 0;
}

void place_of_entry(const char *entry, struct place *place)
{
	snprintf(place->object, sizeof(place->object), "%.240s" OBJECT_SUFFIX, entry);
	snprintf(place->lock, sizeof(place->lock), "%.240s" LOCK_SUFFIX, entry);
}

void place_close(struct place *place)
{
	close(place->directory);
}

char *place_name_of(char *entry, const char *suffix, uint32_t flags)
{
	size_t length = strlen(entry), tail = strlen(suffix), head = strlen(GLOBAL_PREFIX);

	if (length <= tail || strcmp(entry + length - tail, suffix) != 0)
		return NULL;
	entry[length - tail] = 0;
	if (!(flags & OS_NAME_GLOBAL))
		return entry;
	return strncmp(entry, GLOBAL_PREFIX, head) == 0 && entry[head] ? entry + head : NULL;
}

int place_check_own(const struct place *place, const char *entry, const struct stat *status)
{
	char owner[64];

	(void)place;
	if (!S_ISREG(status->st_mode))
		return error_set(-STOA_EFORMAT, "'%s' in the place of the name is %s, not a segment", entry,
				 S_ISLNK(status->st_mode) ? "a symbolic link" : "not a regular file");
	/* A stranger may have linked another file of ours here. */
	if (status->st_uid == geteuid() && status->st_nlink > 1)
		return error_set(-STOA_EFORMAT, "'%s' is a file with %lu names, not a segment", entry,
				 (unsigned long)status->st_nlink);
	if (status->st_uid == geteuid())
		return 0;
	sys_user_name(status->st_uid, owner, sizeof(owner));
	return error_set(-STOA_EACCES, "'%s' belongs to %s", entry, owner);
}

bool place_same_file(const struct place *place, const char *entry, int fd)
{
	struct stat named, opened;

	return SYS(fstatat, place->directory, entry, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       SYS(fstat, fd, &opened) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

int place_open_failed(const struct place *place, const char *entry)
{
	int system_error = errno;
	struct stat status;
	char owner[64];

	if (system_error == ELOOP || system_error == ENXIO || system_error == EISDIR)
		return error_set(-STOA_EFORMAT, "'%s' in the place of the name is %s, not a segment", entry,
				 system_error == ELOOP ? "a symbolic link" : "not a regular file");
	if ((system_error == EACCES || system_error == EPERM) &&
	    SYS(fstatat, place->directory, entry, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		sys_user_name(status.st_uid, owner, sizeof(owner));
		return error_set(-STOA_EACCES, "'%s' belongs to %s", entry, owner);
	}
	errno = system_error;
	return sys_failed("opening '%s'", entry);
}
