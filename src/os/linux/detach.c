/* SPDX-License-Identifier: MIT */
/*
 * Linux: a process of its own, out of the middle of a program. Uses base and os.h.
 *
 * Why no exec: a library has no program to start, as it may be linked into one, or installed anywhere. So the process is a fork, and what makes
 * that hard is what it inherits:
 *   threads       none of them is there, but the locks they held: nothing here or in the body may want one
 *   fork handlers the program's (pthread_atfork) would run in a process that is not theirs: clone(2) is called without libc's fork
 *   SIGCHLD       would surprise the program: the child between has no exit signal, and only wait4(2) with __WALL sees it
 *   signals       handlers are reset; they are blocked from before the fork until then
 *   descriptors   all but the wanted ones are closed
 *   maps          shared ones would keep the memory of the dead; large private ones, a copy of the program's memory
 *
 * Kept are files' private maps (code and static data), stacks, the heap and small pieces: the linker has its tables there, should a call not be bound
 * yet. Who runs with a sanitizer keeps all private memory, since that has tables of its own.
 */
#include <os/linux/sys.h>
#include <os/local.h>

#include <base/error.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define LARGE (UINT64_C(1) << 20)

struct detached {
	char name[16];
	void (*body)(void *argument, const os_handle *handles);
	os_handle handles[OS_DETACHED_HANDLES];
	unsigned count;
	int null;
	_Alignas(16) unsigned char argument[OS_DETACHED_ARGUMENT];
};

/* Flags 0: as fork(2), but for the exit signal. All other arguments are 0, so their order does not matter. */
static pid_t start_process(long flags)
{
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
}

static int close_range_of(unsigned first, unsigned last)
{
	return (int)syscall(SYS_close_range, first, last, 0);
}

/* ---- in the child: only what is safe in a signal handler ---- */

static int close_others(const struct detached *detached)
{
	unsigned from = 3;

	for (;;) {
		unsigned next = UINT32_MAX;

		for (unsigned i = 0; i < detached->count; i++)
			if ((unsigned)detached->handles[i] >= from && (unsigned)detached->handles[i] < next)
				next = (unsigned)detached->handles[i];
		if (next > from && SYS(close_range_of, from, next == UINT32_MAX ? next : next - 1) < 0)
			return -1;
		if (next == UINT32_MAX)
			return 0;
		from = next + 1;
	}
}

static void reset_signals(void)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int number = 1; number <= SIGRTMAX; number++)
		(void)sigaction(number, &action, NULL);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < CC_COUNT(ignored); i++)
		(void)sigaction(ignored[i], &action, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* What would be missed at once: this stack, and this thread's variables; with what is near it. */
struct needed {
	uint64_t places[3];
	uint64_t file_end; /* where a file's map ends: what begins there is the rest of its static data */
};

/* Give up [start, end), but for what is within LARGE of a needed place. */
static void drop_private(uint64_t start, uint64_t end, const struct needed *needed)
{
	for (size_t i = 0; i < CC_COUNT(needed->places); i++) {
		uint64_t first = (needed->places[i] & ~(OS_PAGE - 1)) - LARGE, last = first + 2 * LARGE;

		if (first >= end || last <= start)
			continue;
		if (start < first)
			drop_private(start, first, needed);
		if (last < end)
			drop_private(last, end, needed);
		return;
	}
	(void)munmap((void *)(uintptr_t)start, end - start);
}

static const char *skip_words(const char *at, unsigned count)
{
	while (count--) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	return at;
}

/* A line of /proc/self/maps: start-end rights offset device inode path. */
static void drop_map(const char *line, struct needed *needed)
{
	char *at;
	uint64_t start = strtoull(line, &at, 16), end = strtoull(at + 1, NULL, 16);
	const char *rights = skip_words(line, 1), *inode = skip_words(line, 4), *path = skip_words(line, 5);
	bool of_file = inode[0] != '0', data = start == needed->file_end;

	if (rights[3] == 's')
		(void)munmap((void *)(uintptr_t)start, end - start);
	else if (!of_file && !data && (!path[0] || !strncmp(path, "[anon", 5)) && end - start > LARGE && !CC_WATCHED)
		drop_private(start, end - LARGE, needed); /* what was there first, the linker's, is at the end */
	if (of_file)
		needed->file_end = end;
}

/* The kernel gives whole lines and goes on behind the last one's address, so it may change meanwhile. */
static int drop_maps(void)
{
	struct needed needed = {{(uintptr_t)&needed, (uintptr_t)&errno, (uintptr_t)pthread_self()}, 0};
	int fd = SYS(open, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	char text[8192];
	size_t used = 0;
	ssize_t got;

	if (fd < 0)
		return -1;
	while ((got = SYS(read, fd, text + used, sizeof(text) - used)) > 0) {
		char *line = text, *end;

		used += (size_t)got;
		while ((end = memchr(line, '\n', used - (size_t)(line - text)))) {
			*end = 0;
			drop_map(line, &needed);
			line = end + 1;
		}
		used -= (size_t)(line - text);
		memmove(text, line, used);
	}
	close(fd);
	return got < 0 ? -1 : 0;
}

static int leave_all(const struct detached *detached)
{
	error_mute();
	reset_signals();
	(void)setsid();
	if (chdir("/") < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (SYS(dup2, detached->null, fd) < 0)
			return -1;
	if (close_others(detached) < 0 || drop_maps() < 0)
		return -1;
	(void)prctl(PR_SET_NAME, detached->name);
	return 0;
}

/* The child between: the new process is its child, and so nobody's as soon as it has ended. Its exit status is an errno. */
static void run_between(struct detached *detached)
{
	pid_t child = leave_all(detached) < 0 ? -1 : SYS(start_process, 0);

	if (child)
		_exit(child < 0 ? errno : 0);
	detached->body(detached->argument, detached->handles);
	_exit(0);
}

/* ---- in the program ---- */

static int await(pid_t child)
{
	int status;
	pid_t got;

	do
		got = waitpid(child, &status, __WALL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return sys_failed("waiting for a process");
	if (!WIFEXITED(status))
		return error_set(-STOA_ESYSTEM, "a process that was to work on its own was ended by signal %d",
				 WTERMSIG(status));
	errno = WEXITSTATUS(status);
	if (errno == ENOSYS || errno == ENOENT)
		return error_set(-STOA_ENOTSUP, "a process that works on its own needs Linux 5.9 and /proc");
	return errno ? sys_failed("starting a process that works on its own") : 0;
}

static int start(struct detached *detached)
{
	sigset_t all, before;
	pid_t child;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = SYS(start_process, 0);
	if (child == 0)
		run_between(detached);
	rc = child < 0 ? sys_failed("no process to work on its own") : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return child < 0 ? rc : await(child);
}

/* Above what is to lead to /dev/null. */
static int duplicate_high(os_handle handle, const char *what)
{
	int fd = SYS(fcntl, sys_fd(handle), F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? sys_failed("no descriptor for %s", what) : fd;
}

static int prepare(struct detached *detached, const os_handle *handles, unsigned count)
{
	int null = SYS(open, "/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return sys_failed("opening /dev/null");
	detached->null = duplicate_high(null, "/dev/null");
	close(null);
	if (detached->null < 0)
		return detached->null;
	for (; detached->count < count; detached->count++) {
		int fd = duplicate_high(handles[detached->count], "a process that works on its own");

		if (fd < 0)
			return fd;
		detached->handles[detached->count] = fd;
	}
	return 0;
}

int os_process_detach(const char *name, void (*body)(void *argument, const os_handle *handles), const void *argument,
		      size_t length, const os_handle *handles, unsigned count)
{
	struct detached detached = {.body = body, .null = -1};
	int rc;

	if (length > OS_DETACHED_ARGUMENT || count > OS_DETACHED_HANDLES)
		return error_set(-STOA_EINVAL, "%zu bytes and %u descriptors are too many for a process", length,
				 count);
	snprintf(detached.name, sizeof(detached.name), "%s", name);
	if (length)
		memcpy(detached.argument, argument, length);
	rc = prepare(&detached, handles, count);
	if (!rc)
		rc = start(&detached);
	while (detached.count)
		close(sys_fd(detached.handles[--detached.count]));
	if (detached.null >= 0)
		close(detached.null);
	return rc;
}

uint32_t os_handles_allow(void)
{
	struct rlimit limit;

	if (SYS(getrlimit, RLIMIT_NOFILE, &limit) < 0)
		return 256;
	limit.rlim_cur = limit.rlim_max;
	if (SYS(setrlimit, RLIMIT_NOFILE, &limit) < 0)
		(void)SYS(getrlimit, RLIMIT_NOFILE, &limit);
	return limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}

uint32_t os_handles_limit(void)
{
	struct rlimit limit;

	if (SYS(getrlimit, RLIMIT_NOFILE, &limit) < 0)
		return 256;
	return limit.rlim_cur < UINT32_MAX ? (uint32_t)limit.rlim_cur : UINT32_MAX;
}
