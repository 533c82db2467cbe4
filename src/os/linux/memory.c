/* SPDX-License-Identifier: MIT */
/*
 * Memory objects: memfds, tmpfs files and the user's files, all of them descriptors here. Creation, information, seals,
 * second handles, inheritance, and opening files.
 *
 * A memfd is born with mode 0777, which lets any user who receives a read-only descriptor reopen it for writing through
 * /proc: hence the fchmod() before anybody else can see it.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static int open_memfd(uint32_t flags)
{
	unsigned execution = flags & OS_MEMORY_EXECUTABLE ? MFD_EXEC : MFD_NOEXEC_SEAL;
	int fd = SYS(memfd_create, "stoa", MFD_CLOEXEC | MFD_ALLOW_SEALING | execution);

	/* Kernels before 6.3 know neither flag. */
	if (fd < 0 && errno == EINVAL)
		fd = SYS(memfd_create, "stoa", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

int os_memory_create(uint64_t size, uint32_t flags, os_handle *ret_memory)
{
	int fd = open_memfd(flags), rc;

	(void)size; /* memfds have no maximum of their own */
	if (fd < 0)
		return sys_failed("creating unnamed memory");
	if (SYS(fchmod, fd, flags & OS_MEMORY_EXECUTABLE ? 0700 : 0600) < 0) {
		rc = sys_failed("making unnamed memory private");
		goto fail;
	}
	if (!(flags & OS_MEMORY_SHRINKABLE)) {
		rc = os_memory_seal(fd, OS_SEAL_SHRINK);
		if (rc < 0)
			goto fail;
	}
	*ret_memory = fd;
	return 0;
fail:
	close(fd);
	return rc;
}

int os_memory_identify(os_handle memory, const uint64_t identity[2])
{
	(void)memory, (void)identity; /* the kernel knows a word by its page of the object */
	return 0;
}

int os_memory_set_length(os_handle memory, uint64_t length)
{
	int rc = os_length_allowed(length);

	if (rc < 0)
		return rc;
	if (SYS(ftruncate, sys_fd(memory), (off_t)length) < 0)
		return sys_failed("setting a length of %llu bytes", (unsigned long long)length);
	return 0;
}

int os_memory_write(os_handle memory, uint64_t offset, const void *bytes, size_t length)
{
	const char *from = bytes;

	while (length) {
		ssize_t wrote = SYS(pwrite, sys_fd(memory), from, length, (off_t)offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == ENOSPC)
			return sys_full(sys_fd(memory), (length + OS_PAGE - 1) / OS_PAGE * OS_PAGE);
		if (wrote < 0)
			return sys_failed("writing %zu bytes at %llu", length, (unsigned long long)offset);
		from += wrote;
		offset += (uint64_t)wrote;
		length -= (size_t)wrote;
	}
	return 0;
}

int os_memory_read(os_handle memory, uint64_t offset, void *bytes, size_t length, size_t *ret_read)
{
	size_t used = 0;

	while (used < length) {
		ssize_t got = SYS(pread, sys_fd(memory), (char *)bytes + used, length - used, (off_t)(offset + used));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return sys_failed("reading %zu bytes at %llu", length, (unsigned long long)offset);
		if (got == 0)
			break;
		used += (size_t)got;
	}
	*ret_read = used;
	return 0;
}

static const struct {
	uint32_t seal;
	int linux_seal;
} seal_table[] = {
	{OS_SEAL_GROW, F_SEAL_GROW},   {OS_SEAL_SHRINK, F_SEAL_SHRINK}, {OS_SEAL_FUTURE_WRITE, F_SEAL_FUTURE_WRITE},
	{OS_SEAL_WRITE, F_SEAL_WRITE}, {OS_SEAL_SEALS, F_SEAL_SEAL},
};

/* Files of a disk know no seals; those of tmpfs are sealed against them. */
static bool takes_seals(int fd)
{
	int seals = SYS(fcntl, fd, F_GET_SEALS);

	return seals >= 0 && !(seals & F_SEAL_SEAL);
}

int os_memory_seal(os_handle memory, uint32_t seals)
{
	int wanted = 0;

	for (size_t i = 0; i < CC_COUNT(seal_table); i++)
		if (seals & seal_table[i].seal)
			wanted |= seal_table[i].linux_seal;
	if (SYS(fcntl, sys_fd(memory), F_ADD_SEALS, wanted) == 0)
		return 0;
	if (errno == EBUSY)
		return error_set(-STOA_EBUSY, "a writable map of the memory exists, so it cannot become immutable");
	if ((errno == EINVAL || errno == EPERM) && !takes_seals(sys_fd(memory)))
		return error_set(-STOA_ENOTSUP,
				 "files, named segments and memory that was made without seals take none");
	if (errno == EPERM)
		return error_set(-STOA_ERIGHTS, "no seal can be added: the handle only reads");
	return sys_failed("sealing");
}

static uint32_t seals_of(int linux_seals)
{
	uint32_t seals = 0;

	for (size_t i = 0; i < CC_COUNT(seal_table); i++)
		if (linux_seals & seal_table[i].linux_seal)
			seals |= seal_table[i].seal;
	return seals;
}

uint32_t os_memory_seals(os_handle memory)
{
	int seals = SYS(fcntl, sys_fd(memory), F_GET_SEALS);

	return seals < 0 ? 0 : seals_of(seals);
}

int os_memory_info(os_handle memory, struct os_memory_info *ret_info)
{
	int fd = sys_fd(memory), seals, mode;
	struct stat status;
	struct statfs system = {0};

	/* File systems in user space may not tell what they are; memory always does. */
	if (SYS(fstat, fd, &status) < 0 || (SYS(fstatfs, fd, &system) < 0 && errno != ENOSYS))
		return sys_failed("asking what a descriptor refers to");
	mode = SYS(fcntl, fd, F_GETFL);
	if (mode < 0)
		return sys_failed("asking for a descriptor's access mode");
	seals = SYS(fcntl, fd, F_GET_SEALS);
	if (seals < 0 && errno != EINVAL)
		return sys_failed("asking for seals");
	*ret_info = (struct os_memory_info){
		.length = (uint64_t)status.st_size,
		.resident = (uint64_t)status.st_blocks * 512,
		.identity = {status.st_dev, status.st_ino},
		.owner = status.st_uid,
		.seals = seals < 0 ? 0 : seals_of(seals),
		.takes_seals = seals >= 0 && !(seals & F_SEAL_SEAL),
		.regular = S_ISREG(status.st_mode) && (uint64_t)system.f_type != HUGETLBFS_MAGIC,
		.in_memory = (uint64_t)system.f_type == TMPFS_MAGIC || (uint64_t)system.f_type == RAMFS_MAGIC,
		.writable = (mode & O_ACCMODE) == O_RDWR,
	};
	return 0;
}

uint64_t os_memory_length(os_handle memory)
{
	struct stat status;

	return SYS(fstat, sys_fd(memory), &status) < 0 ? 0 : (uint64_t)status.st_size;
}

/* A hole reads as zeros. */
bool os_memory_there(os_handle memory, uint64_t offset, uint64_t length)
{
	uint64_t present = os_memory_length(memory);

	return offset <= present && length <= present - offset;
}

int os_memory_duplicate(os_handle memory, uint32_t access, os_handle *ret_memory)
{
	bool writable = access & OS_WRITE;
	int mode = SYS(fcntl, sys_fd(memory), F_GETFL), fd;
	char path[40];

	if (mode < 0)
		return sys_failed("asking for a descriptor's access mode");
	if (writable && (mode & O_ACCMODE) != O_RDWR)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot make a writable descriptor");
	if (writable == ((mode & O_ACCMODE) == O_RDWR)) {
		fd = SYS(fcntl, sys_fd(memory), F_DUPFD_CLOEXEC, 3);
	} else {
		snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", sys_fd(memory));
		fd = SYS(open, path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return sys_failed("making a second descriptor%s", writable ? "" : " that only reads");
	*ret_memory = fd;
	return 0;
}

int os_handle_inherit(os_handle handle)
{
	return SYS(fcntl, sys_fd(handle), F_SETFD, 0) < 0 ? sys_failed("letting a descriptor be inherited") : 0;
}

bool os_handle_inherited(os_handle handle)
{
	return SYS(fcntl, sys_fd(handle), F_GETFD) == 0;
}

int os_handle_keep(os_handle handle)
{
	return SYS(fcntl, sys_fd(handle), F_SETFD, FD_CLOEXEC) < 0
		       ? sys_failed("keeping a descriptor from being inherited")
		       : 0;
}

int os_file_open(const char *path, bool writable, os_handle *ret_memory)
{
	/* O_NONBLOCK: a pipe or device in the place must not hold us up; it means nothing to a regular file. */
	int fd = SYS(open, path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	char owner[64];

	if (fd < 0 && (errno == EACCES || errno == EPERM) && SYS(stat, path, &status) == 0) {
		sys_user_name(status.st_uid, owner, sizeof(owner));
		return error_set(-STOA_EACCES, "'%s' belongs to %s and this user may not open it%s", path, owner,
				 writable ? " for writing" : "");
	}
	if (fd < 0 && errno == EISDIR)
		return error_set(-STOA_EKIND, "'%s' is a directory", path);
	if (fd < 0)
		return sys_failed("opening '%s'", path);
	*ret_memory = fd;
	return 0;
}

static int open_nameless(const char *directory)
{
	return open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* In the directory that the path's last part is of. */
static int make_nameless(const char *path)
{
	char directory[PATH_MAX] = ".";
	const char *end = strrchr(path, '/');

	/* "/" itself keeps its slash. */
	if (end && (size_t)(end - path) < sizeof(directory) - 1)
		snprintf(directory, sizeof(directory), "%.*s", end == path ? 1 : (int)(end - path), path);
	return SYS(open_nameless, directory);
}

int os_file_prepare(const char *path, os_handle *ret_memory)
{
	struct stat status;
	int fd;

	/* Nothing could be opened there, and a file cannot be made in its place. */
	if (SYS(lstat, path, &status) == 0 && S_ISLNK(status.st_mode))
		return error_set(-STOA_ENOENT, "'%s' is a link that leads nowhere", path);
	fd = make_nameless(path);
	/* File systems that have no such files. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = SYS(open, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return sys_failed("making '%s'", path);
	*ret_memory = fd;
	return 0;
}

int os_file_publish(os_handle memory, const char *path)
{
	struct stat status;
	char from[48];

	if (SYS(fstat, sys_fd(memory), &status) < 0)
		return sys_failed("making '%s'", path);
	if (status.st_nlink)
		return 0;
	/* Not /proc/self: that is the main thread, which may have ended. */
	snprintf(from, sizeof(from), "/proc/thread-self/fd/%d", sys_fd(memory));
	return SYS(linkat, AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? sys_failed("making '%s'", path) : 0;
}

/* Where it had its name from the start others may have opened it: what they have written stays. */
void os_file_unmake(os_handle memory, const char *path)
{
	struct stat made, found;

	if (SYS(fstat, sys_fd(memory), &made) == 0 && made.st_nlink && made.st_size == 0 &&
	    SYS(lstat, path, &found) == 0 && made.st_dev == found.st_dev && made.st_ino == found.st_ino)
		(void)SYS(unlink, path);
	os_handle_close(memory);
}
