/* SPDX-License-Identifier: MIT */
/*
 * Files as stores of bytes: their length, what of them is on stable storage, where they lie, and locks on them. memory.c opens and makes
 * the user's.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int os_file_set_length(os_handle file, uint64_t length)
{
	int rc = os_length_allowed(length);

	if (rc < 0)
		return rc;
	do
		rc = SYS(ftruncate, sys_fd(file), (off_t)length);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? sys_failed("setting a length of %llu bytes", (unsigned long long)length) : 0;
}

int os_file_sync(os_handle file)
{
	int rc;

	do
		rc = SYS(fdatasync, sys_fd(file));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? sys_failed("writing a file to its disk") : 0;
}

int os_file_sync_name(const char *path)
{
	char directory[PATH_MAX] = ".";
	const char *end = strrchr(path, '/');
	int fd, rc;

	if (end && (size_t)(end - path) < sizeof(directory) - 1)
		snprintf(directory, sizeof(directory), "%.*s", end == path ? 1 : (int)(end - path), path);
	fd = SYS(open, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return sys_failed("opening '%s'", directory);
	do
		rc = SYS(fsync, fd);
	while (rc < 0 && errno == EINTR);
	/* File systems that know no such thing of directories. */
	rc = rc < 0 && errno != EINVAL ? sys_failed("writing '%s' to its disk", directory) : 0;
	close(fd);
	return rc;
}

int os_file_path(os_handle file, char path[OS_PATH_ROOM])
{
	struct stat status;
	ssize_t length;
	char link[40];

	if (SYS(fstat, sys_fd(file), &status) < 0)
		return sys_failed("asking about a file");
	if (status.st_nlink != 1)
		return error_set(-STOA_ENOTSUP, "the file has %lu names, and must have one",
				 (unsigned long)status.st_nlink);
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", sys_fd(file));
	length = SYS(readlink, link, path, OS_PATH_ROOM - 1);
	if (length < 0)
		return sys_failed("asking for a file's path");
	path[length] = 0;
	if (path[0] != '/' || length == OS_PATH_ROOM - 1)
		return error_set(-STOA_ENOTSUP, "the file's path is too long, or out of this process's reach");
	return 0;
}

int os_file_open_own(const char *path, bool create, os_handle *ret_file)
{
	int fd =
		SYS(open, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (create ? O_CREAT : 0), 0600);
	struct stat status;
	int rc = 0;

	if (fd < 0 && (errno == ELOOP || errno == EISDIR))
		return error_set(-STOA_EKIND, "'%s' is a link or a directory", path);
	if (fd < 0)
		return sys_failed("opening '%s'", path);
	if (SYS(fstat, fd, &status) < 0)
		rc = sys_failed("looking at '%s'", path);
	else if (!S_ISREG(status.st_mode))
		rc = error_set(-STOA_EKIND, "'%s' is no regular file", path);
	if (rc < 0)
		close(fd);
	else
		*ret_file = fd;
	return rc;
}

bool os_file_is_at(os_handle file, const char *path)
{
	struct stat opened, found;

	return SYS(fstat, sys_fd(file), &opened) == 0 && SYS(lstat, path, &found) == 0 &&
	       opened.st_dev == found.st_dev && opened.st_ino == found.st_ino;
}

int os_file_remove(os_handle file, const char *path)
{
	if (!os_file_is_at(file, path))
		return error_set(-STOA_ENOENT, "'%s' is another file now", path);
	return SYS(unlink, path) < 0 ? sys_failed("removing '%s'", path) : 0;
}

/* Far behind all bytes, as on systems where a locked byte cannot be read. */
#define LOCKS ((off_t)1 << 62)

int os_file_lock(os_handle file, unsigned byte, enum os_lock_kind kind, bool wait)
{
	static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
	struct flock lock = {.l_type = types[kind], .l_whence = SEEK_SET, .l_start = LOCKS + byte, .l_len = 1};
	int rc;

	do
		rc = SYS(fcntl, sys_fd(file), wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(-STOA_EBUSY, "another process has the lock");
	return sys_failed("locking a file");
}
