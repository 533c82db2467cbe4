/* SPDX-License-Identifier: MIT */
/* Folders of files of one program. All is done through the folder's descriptor: what is renamed or linked above it changes nothing. */
#include <os/ring.h>

#include <base/error.h>
#include <dirent.h>
#include <fcntl.h>
#include <os/linux/sys.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who could change it could exchange files in it, or have this process write over others'. */
static int check_folder(int fd, const char *path)
{
	struct stat status;
	char text[64];

	if (SYS(fstat, fd, &status) < 0)
		return sys_failed("looking at '%s'", path);
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return error_set(-STOA_EACCES, "'%s' belongs to %s", path,
				 sys_user_name(status.st_uid, text, sizeof(text)));
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(-STOA_EACCES, "others can change '%s' (mode %03o); it must be this user's alone", path,
				 (unsigned)status.st_mode & 0777);
	return 0;
}

int os_folder_open(const char *path, os_handle *ret_folder)
{
	int fd, rc;

	if (SYS(mkdir, path, 0700) < 0 && errno != EEXIST)
		return sys_failed("making the directory '%s'", path);
	fd = SYS(open, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return error_set(-STOA_EKIND, "'%s' is no directory", path);
	if (fd < 0)
		return sys_failed("opening the directory '%s'", path);
	rc = check_folder(fd, path);
	if (rc < 0)
		close(fd);
	else
		*ret_folder = fd;
	return rc;
}

int os_folder_visit(os_handle folder, int (*visit)(const char *name, void *argument), void *argument)
{
	/* Its own position: that of a duplicate would be the folder's. */
	int fd = SYS(openat, sys_fd(folder), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *list = fd < 0 ? NULL : SYS_POINTER(fdopendir, fd);
	const struct dirent *entry;

	if (!list) {
		rc = sys_failed("listing a directory");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		entry = SYS_POINTER(readdir, list);
		if (!entry)
			break;
		rc = visit(entry->d_name, argument);
	}
	if (rc == 0 && errno)
		rc = sys_failed("listing a directory");
	closedir(list);
	return rc;
}

int os_folder_look(os_handle folder, const char *name, uint64_t *ret_length)
{
	struct stat status;

	if (SYS(fstatat, sys_fd(folder), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return sys_failed("looking at '%s'", name);
	if (!S_ISREG(status.st_mode))
		return error_set(-STOA_ENOENT, "'%s' is no regular file", name);
	*ret_length = (uint64_t)status.st_size;
	return 0;
}

int os_folder_mark(os_handle folder, const char *name)
{
	int fd = SYS(openat, sys_fd(folder), name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return sys_failed("making '%s'", name);
	close(fd);
	return 0;
}

int os_folder_remove(os_handle folder, const char *name)
{
	return SYS(unlinkat, sys_fd(folder), name, 0) < 0 ? sys_failed("removing '%s'", name) : 0;
}
