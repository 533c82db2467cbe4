/* SPDX-License-Identifier: MIT */
/*
 * Linux: the end of other processes by pidfd, told by one helper thread for all that are watched; and eventfd notifiers.
 *
 * The helper "stoa-exits" sleeps in epoll over the pidfds, each of which tells once. Watches are found by number, not by pointer, so that one which was
 * removed while its notice was on the way is simply not found. The lock is held while `ended` runs, which makes
 * os_process_unwatch() a fence. A forked child has no helper thread: it starts from nothing.
 */
#include <base/error.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

struct os_process_watch {
	struct os_process_watch *next;
	uint64_t number;
	os_handle process;
	void (*ended)(void *argument);
	void *argument;
	bool told;
};

static struct os_lock lock;
static struct os_process_watch *watches;
static uint64_t last_number;
static int exits = -1; /* the epoll descriptor */

static int open_pidfd(pid_t id)
{
	return (int)syscall(SYS_pidfd_open, id, 0);
}

uint64_t os_process_id(void)
{
	return (uint64_t)getpid();
}

int os_process_open(int64_t id, os_handle *ret_process)
{
	int got;

	if (id <= 0 || id > INT32_MAX)
		return error_set(-STOA_EINVAL, "%lld is not a process id", (long long)id);
	got = SYS(open_pidfd, (pid_t)id);
	if (got < 0 && errno == ESRCH)
		return error_set(-STOA_ENOENT, "there is no process %lld", (long long)id);
	if (got < 0 && (errno == EMFILE || errno == ENFILE))
		return error_set(-STOA_ELIMIT, "no descriptor left to watch process %lld%s", (long long)id,
				 sys_advice(errno));
	if (got < 0 && errno == EPERM)
		return error_set(-STOA_EACCES, "process %lld may not be watched by this user", (long long)id);
	if (got < 0)
		return error_set(-STOA_ESYSTEM, "pidfd_open(%lld): %s", (long long)id, strerror(errno));
	*ret_process = got;
	return 0;
}

bool os_process_ended(os_handle process)
{
	struct pollfd poll_one = {.fd = (int)process, .events = POLLIN};

	int got;

	do
		got = SYS(poll, &poll_one, 1, 0);
	while (got < 0 && (errno == EINTR || errno == EAGAIN));
	return got == 1;
}

static void tell(struct os_process_watch *watch)
{
	if (!watch->told)
		watch->ended(watch->argument);
	watch->told = true;
}

static void tell_by_number(uint64_t number)
{
	for (struct os_process_watch *watch = watches; watch; watch = watch->next)
		if (watch->number == number)
			tell(watch);
}

/* Where the system does not say who has ended (somebody closed our descriptor), we look ourselves, every 10 ms. */
static void look_at_all(void)
{
	const struct timespec nap = {.tv_nsec = 10000000};

	for (struct os_process_watch *watch = watches; watch; watch = watch->next)
		if (os_process_ended(watch->process))
			tell(watch);
	os_unlock(&lock);
	nanosleep(&nap, NULL);
	os_lock(&lock);
}

static void sleep_and_tell(void *argument)
{
	int descriptor = *(int *)argument;
	struct epoll_event events[16];

	os_free(argument);
	for (;;) {
		int count = SYS(epoll_wait, descriptor, events, 16, -1);
		bool failed = count < 0 && errno != EINTR;

		os_lock(&lock);
		if (failed)
			look_at_all();
		for (int i = 0; i < count; i++)
			tell_by_number(events[i].data.u64);
		os_unlock(&lock);
	}
}

static void before_fork(void)
{
	os_lock(&lock);
}

static void after_fork(void)
{
	os_unlock(&lock);
}

/* What a parent watches is the parent's: its epoll set must not be used by two processes. */
static void after_fork_in_child(void)
{
	if (exits >= 0)
		close(exits);
	exits = -1;
	watches = NULL;
	os_unlock(&lock);
}

/* Called with the lock held. */
static int start_helper(void)
{
	static bool forks_handled;
	int *argument, descriptor, rc;

	if (exits >= 0)
		return 0;
	if (!forks_handled) {
		rc = os_fork_hooks(before_fork, after_fork, after_fork_in_child);
		if (rc)
			return rc;
		forks_handled = true;
	}
	descriptor = SYS(epoll_create1, EPOLL_CLOEXEC);
	if (descriptor < 0)
		return error_set(-STOA_ELIMIT, "no descriptor left to watch processes: %s%s", strerror(errno),
				 sys_advice(errno));
	argument = os_allocate(sizeof(*argument));
	if (!argument) {
		close(descriptor);
		return -STOA_ENOMEM;
	}
	*argument = descriptor;
	rc = os_thread_start("stoa-exits", sleep_and_tell, argument);
	if (rc) {
		os_free(argument);
		close(descriptor);
		return rc;
	}
	exits = descriptor;
	return 0;
}

int os_process_watch(os_handle process, void (*ended)(void *argument), void *argument,
		     struct os_process_watch **ret_watch)
{
	struct os_process_watch *watch = os_allocate(sizeof(*watch));
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT}; /* told once, even where removing it fails */
	int rc;

	if (!watch)
		return -STOA_ENOMEM;
	os_lock(&lock);
	rc = start_helper();
	if (rc)
		goto out;
	*watch = (struct os_process_watch){watches, ++last_number, process, ended, argument, false};
	event.data.u64 = watch->number;
	if (SYS(epoll_ctl, exits, EPOLL_CTL_ADD, (int)process, &event)) {
		rc = error_set(-STOA_ELIMIT, "cannot watch a process: %s", strerror(errno));
		goto out;
	}
	watches = watch;
	*ret_watch = watch;
	watch = NULL;
out:
	os_unlock(&lock);
	os_free(watch);
	return rc;
}

void os_process_unwatch(struct os_process_watch *watch)
{
	os_lock(&lock);
	for (struct os_process_watch **link = &watches; *link; link = &(*link)->next) {
		if (*link != watch)
			continue;
		*link = watch->next;
		(void)SYS(epoll_ctl, exits, EPOLL_CTL_DEL, (int)watch->process, NULL);
		break;
	}
	os_unlock(&lock);
	os_free(watch);
}

int os_notifier_create(os_handle *ret_notifier)
{
	int descriptor = SYS(eventfd, 0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (descriptor < 0)
		return error_set(-STOA_ELIMIT, "no descriptor left for a notifier: %s%s", strerror(errno),
				 sys_advice(errno));
	*ret_notifier = descriptor;
	return 0;
}

void os_notifier_raise(os_handle notifier)
{
	uint64_t one = 1;
	ssize_t written;

	do
		written = write((int)notifier, &one, sizeof(one)); /* not through SYS(): */
	while (written < 0 && errno == EINTR);
	/* EAGAIN: it is raised to the brim already. Nothing else can be, as it is our descriptor. */
}

void os_notifier_clear(os_handle notifier)
{
	uint64_t count;
	ssize_t got;

	do
		got = SYS(read, (int)notifier, &count, sizeof(count));
	while (got < 0 && errno == EINTR);
	/* EAGAIN: it was clear. */
}
