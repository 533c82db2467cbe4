/* SPDX-License-Identifier: MIT */
/*
 * What all files here share: errno turned into stoa's errors with a sentence, memory for our own structures, closing, and
 * (with STOA_FAULTS) calls that fail on demand.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifdef STOA_FAULTS
#include <base/atomic.h>

static _Atomic uint64_t fault_calls;
static _Atomic uint64_t fault_nth;
static _Atomic int fault_error;
static _Atomic(const char *) fault_call;
static _Atomic int64_t fault_allocations;
static _Atomic uint32_t fault_thread;

void os_fault_arm(uint64_t nth, int error)
{
	store_rlx(&fault_nth, 0);
	store_rlx(&fault_calls, 0);
	store_rlx(&fault_error, error);
	store_rlx(&fault_call, NULL);
	store_rlx(&fault_nth, nth);
}

void os_fault_count(uint32_t thread)
{
	store_rlx(&fault_thread, thread);
}

uint64_t os_fault_calls(void)
{
	return load_rlx(&fault_calls);
}

const char *os_fault_hit(void)
{
	return load_rlx(&fault_call);
}

int64_t os_fault_allocations(void)
{
	return load_rlx(&fault_allocations);
}

static void count_allocation(int64_t change)
{
	add_rlx(&fault_allocations, change);
}

int os_fault_here(const char *call)
{
	uint64_t nth = load_rlx(&fault_nth);
	uint32_t thread = load_rlx(&fault_thread);

	if (thread && thread != os_thread_id())
		return 0;
	if (add_rlx(&fault_calls, 1) + 1 != nth)
		return 0;
	store_rlx(&fault_call, call);
	errno = load_rlx(&fault_error);
	return 1;
}
#else
static void count_allocation(int64_t change)
{
	(void)change;
}
#endif

int sys_error(int system_error)
{
	switch (system_error) {
	case ENOMEM:
	case ENOSPC:
	case EDQUOT: return -STOA_ENOMEM;
	case EMFILE:
	case ENFILE:
	case ENOLCK:
	case EFBIG:
	case EAGAIN:
	case EMLINK: return -STOA_ELIMIT;
	case EACCES:
	case EPERM:
	case EROFS: return -STOA_EACCES;
	case ENOENT:
	case ENOTDIR: return -STOA_ENOENT;
	case EEXIST: return -STOA_EEXIST;
	case EIO:
	case EREMOTEIO: return -STOA_EIO;
	case EBUSY:
	case ETXTBSY: return -STOA_EBUSY;
	case ENAMETOOLONG: return -STOA_ENAME;
	case EOPNOTSUPP:
	case ENOSYS: return -STOA_ENOTSUP;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN: return -STOA_ECLOSED;
	default: return -STOA_ESYSTEM;
	}
}

const char *sys_advice(int system_error)
{
	switch (system_error) {
	case EMFILE: return "; close some, or raise the limit (ulimit -n)";
	case ENFILE: return "; the host's limit is fs.file-max";
	case ENOSPC: return "; see what is there (stoa ls, df, df -i) and remove some (stoa gc)";
	default: return "";
	}
}

int sys_failed(const char *format, ...)
{
	int system_error = errno;
	char what[384], reason[96];
	va_list arguments;

	if (error_muted())
		return sys_error(system_error);
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	return error_set(sys_error(system_error), "%s: %s%s", what, strerror_r(system_error, reason, sizeof(reason)),
			 sys_advice(system_error));
}

/* The directory that an open file was made in. "" where the system does not tell, as for what has none. */
static void directory_of(int fd, char *path, size_t size)
{
	char link[40], *last;
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	length = SYS(readlink, link, path, size - 1);
	path[length > 0 ? length : 0] = 0;
	last = strrchr(path, '/');
	if (last)
		*last = 0;
}

int sys_full(int fd, uint64_t bytes)
{
	char path[256], text[ERROR_SIZE], left[ERROR_SIZE + 8] = "too little";
	struct statfs system = {0};

	directory_of(fd, path, sizeof(path));
	if (SYS(fstatfs, fd, &system) == 0 && system.f_files && !system.f_ffree)
		snprintf(left, sizeof(left), "no inode");
	else if (system.f_blocks)
		error_size((uint64_t)system.f_bavail * (uint64_t)system.f_bsize, left);
	return error_set(-STOA_ENOMEM, "%s more do not fit: the file system of '%s' has %s left%s",
			 error_size(bytes, text), *path ? path : "this memory", left,
			 system.f_type == TMPFS_MAGIC
				 ? "; remove segments (stoa ls, stoa gc, stoa rm), or have it mounted larger"
				 : "");
}

const char *sys_user_name(uint32_t user, char *text, size_t size)
{
	char buffer[1024];
	struct passwd entry, *found = NULL;

	if (SYS(getpwuid_r, user, &entry, buffer, sizeof(buffer), &found) == 0 && found)
		snprintf(text, size, "%s (user id %u)", found->pw_name, user);
	else
		snprintf(text, size, "user id %u", user);
	return text;
}

int sys_read_text(const char *path, char *text, size_t size)
{
	int fd = SYS(open, path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = -1;

	if (fd < 0)
		return -1;
	while (used + 1 < size && (got = SYS(read, fd, text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	text[used] = 0;
	return got < 0 ? -1 : 0;
}

void *os_allocate(size_t bytes)
{
	void *allocation = SYS_POINTER(calloc, 1, bytes);

	if (!allocation)
		error_set(-STOA_ENOMEM, "no memory for %zu bytes of our own", bytes);
	else
		count_allocation(1);
	return allocation;
}

void os_free(void *allocation)
{
	if (allocation)
		count_allocation(-1);
	free(allocation);
}

void *os_pages_allocate(uint64_t bytes)
{
	void *pages = SYS(mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages != MAP_FAILED)
		return pages;
	(void)error_set(-STOA_ENOMEM, "no memory for %llu bytes of our own", (unsigned long long)bytes);
	return NULL;
}

void os_pages_free(void *pages, uint64_t bytes)
{
	(void)munmap(pages, bytes);
}

void os_handle_close(os_handle handle)
{
	/* Not tried again after EINTR: the descriptor is gone then too. */
	if (handle != OS_NO_HANDLE)
		close(sys_fd(handle));
}
