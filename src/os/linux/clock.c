/* SPDX-License-Identifier: MIT */
/* Linux: clock, identity, processors, randomness. Uses base. */
#include <base/error.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t os_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint32_t os_thread_id(void)
{
	return (uint32_t)syscall(SYS_gettid); /* cannot fail; not through SYS() */
}

bool os_thread_runs(uint32_t id)
{
	int before = errno;
	/* Signal 0 only asks, and is refused for want of such a thread alone; not through SYS(). */
	bool runs = syscall(SYS_tgkill, getpid(), (pid_t)id, 0) == 0;

	errno = before;
	return runs;
}

uint32_t os_user_id(void)
{
	return (uint32_t)geteuid();
}

void os_yield(void)
{
	sched_yield();
}

/* Not only those that this process may use: a thread bound to one processor waits for threads on others. */
unsigned os_cpu_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 1 ? (unsigned)count : 1;
}

int os_random(void *bytes, size_t length)
{
	unsigned char *next = bytes;

	while (length) {
		ssize_t got = SYS(getrandom, next, length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_set(-STOA_ESYSTEM, "getrandom: %s", strerror(errno));
		next += got;
		length -= (size_t)got;
	}
	return 0;
}
