/* SPDX-License-Identifier: MIT */
/*
 * Touches that wait: userfaultfd without UFFD_FEATURE_SIGBUS (kernel: Documentation/admin-guide/mm/userfaultfd.rst). Whoever touches what is not in
 * its map sleeps in the kernel, in a system call, too, until a thread of whichever process has put it there.
 *
 * The one hard idea: the range is registered for minor faults as well, so a page that others made is told once in each map, and enters it
 * forbidden to be written; no markers have to lie in the page tables beforehand, as inline faults need them. A page that is in no map of this
 * process can never be written unseen.
 */
#include <os/linux/userfault.h>

#include <base/atomic.h>
#include <base/error.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((uint64_t)1 << 1)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (UINT64_C(1) << 14)
#endif
#ifndef UFFDIO_POISON
struct uffdio_poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

_Atomic uint32_t os_trap_without;

static bool lacks(uint32_t what)
{
	return load_rlx(&os_trap_without) & what;
}

/* ---- opening ---- */

#define FEATURES                                                                                         \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MISSING_SHMEM | \
	 UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_THREAD_ID)

/* With touches by system calls: for who has CAP_SYS_PTRACE, or the device, or where vm.unprivileged_userfaultfd is 1. */
static int open_for_calls(void)
{
	int fd, device;

	if (lacks(OS_WITHOUT_CALLS))
		return -1;
	fd = (int)SYS(syscall, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;
	device = SYS(open, "/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	fd = SYS(ioctl, device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	close(device);
	return fd;
}

/* Has the kernel what poisons? It says so to whoever opens one: asked later, without descriptors left, it might not answer. */
static _Atomic uint32_t poisons;

int userfault_open_served(bool *ret_calls)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	int fd = open_for_calls(), error;

	*ret_calls = fd >= 0;
	if (fd < 0)
		fd = (int)SYS(syscall, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return error_set(errno == EMFILE || errno == ENFILE ? -STOA_ELIMIT : -STOA_ENOTSUP, "userfaultfd: %s",
				 strerror(errno));
	if (SYS(ioctl, fd, UFFDIO_API, &api) == 0) {
		store_rlx(&poisons, (api.features & UFFD_FEATURE_POISON) != 0);
		return fd;
	}
	error = errno;
	close(fd);
	return error_set(-STOA_ENOTSUP,
			 "userfaultfd cannot protect shared memory against writes: Linux 5.19 or later is needed (%s)",
			 strerror(error));
}

bool os_trap_serves_calls(const struct os_trap *trap)
{
	return trap->serves_calls;
}

bool os_trap_poisons_others(void)
{
	return load_rlx(&poisons) && !lacks(OS_WITHOUT_POISON);
}

/* ---- pages ---- */

static int go_on(struct userfault_place place, uint64_t length, uint64_t mode, uint64_t *ret_done)
{
	struct uffdio_continue range = {.range = {place.address, length}, .mode = mode};
	int rc = SYS(ioctl, place.fd, UFFDIO_CONTINUE, &range);

	*ret_done = rc == 0 ? length : range.mapped > 0 ? (uint64_t)range.mapped : 0;
	return rc == 0 ? 0 : errno;
}

int userfault_show(const struct os_trap *trap, struct userfault_place place, uint64_t length, bool writable)
{
	/* Others may write to theirs, whatever this process may. */
	bool opens = !writable && (place.fd != trap->fd || trap->writable), written = false;
	bool forbids = opens && !lacks(OS_WITHOUT_SHOWING);

	for (uint64_t at = 0, done; at < length; at += done) {
		struct userfault_place next = {place.fd, place.address + at};
		int error = go_on(next, length - at, forbids ? UFFDIO_CONTINUE_MODE_WP : 0, &done);

		if (error == ENOENT && length - at > OS_PAGE) /* as when copying (trap.c) */
			error = go_on(next, OS_PAGE, forbids ? UFFDIO_CONTINUE_MODE_WP : 0, &done);
		if (error == EINVAL && forbids) { /* Linux before 6.4 */
			forbids = false;
			continue;
		}
		written |= opens && !forbids;
		switch (error) {
		case 0:
		case EAGAIN:
		case EINTR: break;
		case EEXIST: done = done ? done : OS_PAGE; break; /* it was shown before */
		case EFAULT: return error_set(-STOA_EFORMAT, "a page that should be there is not");
		case ESRCH:
		case ENOENT: return -STOA_ECLOSED;
		case ENOMEM:
			return error_set(-STOA_ENOMEM, "no memory for the page tables of %llu bytes",
					 (unsigned long long)length);
		default: return sys_failed("showing %llu bytes of pages", (unsigned long long)length);
		}
	}
	return written ? OS_TRAP_WRITTEN : 0;
}

int userfault_heal(const struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	if (other || !load_rlx(&trap->refuses))
		return 0;
	return os_protect(trap->address + offset, length, OS_READ | (trap->writable ? OS_WRITE : 0));
}

int os_trap_show(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	int rc = userfault_heal(trap, other, offset, length), shown;
	struct userfault_place place = userfault_place(trap, other, offset);

	if (rc)
		return rc;
	shown = userfault_show(trap, place, length, false);
	/* Those that were there already wake nobody. */
	rc = shown < 0 ? shown : os_trap_wake(trap, other, offset, length);
	return rc ? rc : shown;
}

static int poison(struct os_trap *trap, const struct os_trap_other *other, struct userfault_place place,
		  uint64_t length)
{
	struct uffdio_poison range = {.range = {place.address, length}};
	bool existed = false;

	if (!os_trap_poisons_others()) {
		if (other)
			return error_set(-STOA_ENOTSUP,
					 "a touch in another process cannot be refused: that needs Linux 6.6 or later");
		store_rlx(&trap->refuses, 1);
		return os_protect((void *)(uintptr_t)place.address, length, 0);
	}
	while (range.range.len) {
		int rc = SYS(ioctl, place.fd, UFFDIO_POISON, &range);
		uint64_t done = rc == 0 ? range.range.len : range.updated > 0 ? (uint64_t)range.updated : 0;

		if (rc < 0 && userfault_is_gone(errno))
			return -STOA_ECLOSED;
		if (rc < 0 && errno != EAGAIN && errno != EINTR && errno != EEXIST)
			return sys_failed("poisoning %llu bytes of pages", (unsigned long long)length);
		if (rc < 0 && errno == EEXIST && !done) {
			existed = true;
			done = OS_PAGE;
		}
		range.range.start += done;
		range.range.len -= done;
	}
	return existed ? STOA_EXISTED : 0;
}

int os_trap_poison(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	struct userfault_place place = userfault_place(trap, other, offset);
	int rc = poison(trap, other, place, length), woken;

	/* Also where that failed: who touches again asks again. */
	woken = os_trap_wake(trap, other, offset, length);
	return woken ? woken : rc;
}

int os_trap_open(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	/* The traces, too: markers in the page tables. */
	return userfault_protect(userfault_place(trap, other, offset), length, false);
}

int os_trap_forgive(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	int rc = userfault_heal(trap, NULL, offset, length);

	/* What is there stays in the object, and is told once more in this map. */
	if (!rc && SYS(madvise, trap->address + offset, length, MADV_DONTNEED) < 0)
		rc = sys_failed("taking %llu bytes out of a map", (unsigned long long)length);
	return rc;
}

int os_trap_wake(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	struct userfault_place place = userfault_place(trap, other, offset);
	struct uffdio_range range = {place.address, length};

	if (SYS(ioctl, place.fd, UFFDIO_WAKE, &range) == 0)
		return 0;
	return userfault_is_gone(errno) ? -STOA_ECLOSED : sys_failed("waking those who wait for pages");
}

int os_trap_take(struct os_trap *trap, const struct os_trap_other *other, struct os_trap_event *ret_event)
{
	struct userfault_place place = userfault_place(trap, other, 0);
	struct uffd_msg message;
	ssize_t got;

	do
		got = SYS(read, place.fd, &message, sizeof(message));
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return STOA_CLOSED;
	if (got < 0)
		return userfault_is_gone(errno) ? -STOA_ECLOSED : sys_failed("reading a touch");
	if (got != (ssize_t)sizeof(message) || message.event != UFFD_EVENT_PAGEFAULT)
		return error_set(-STOA_EFORMAT, "a descriptor that does not tell of touches");
	*ret_event = (struct os_trap_event){
		.offset = message.arg.pagefault.address - place.address,
		.write = message.arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP),
		.thread = message.arg.pagefault.feat.ptid,
	};
	return 0;
}

/* ---- waiting for several ---- */

struct os_watch {
	int set;
	int poke;
};

int os_watch_create(struct os_watch **ret_watch)
{
	struct os_watch *watch = os_allocate(sizeof(*watch));
	int rc = 0;

	if (!watch)
		return -STOA_ENOMEM;
	watch->poke = -1;
	watch->set = SYS(epoll_create1, EPOLL_CLOEXEC);
	if (watch->set >= 0)
		watch->poke = SYS(eventfd, 0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->poke < 0)
		rc = sys_failed("making what waits for touches");
	if (!rc)
		rc = os_watch_add(watch, watch->poke, OS_WATCH_POKED, false);
	if (rc) {
		os_watch_close(watch);
		return rc;
	}
	*ret_watch = watch;
	return 0;
}

void os_watch_close(struct os_watch *watch)
{
	if (!watch)
		return;
	if (watch->poke >= 0)
		close(watch->poke);
	if (watch->set >= 0)
		close(watch->set);
	os_free(watch);
}

int os_watch_add(struct os_watch *watch, os_handle handle, uint64_t token, bool once)
{
	struct epoll_event event = {.events = EPOLLIN | (once ? (uint32_t)EPOLLET : 0), .data.u64 = token};

	if (SYS(epoll_ctl, watch->set, EPOLL_CTL_ADD, sys_fd(handle), &event) == 0)
		return 0;
	return sys_failed("waiting for one more descriptor");
}

void os_watch_remove(struct os_watch *watch, os_handle handle)
{
	(void)SYS(epoll_ctl, watch->set, EPOLL_CTL_DEL, sys_fd(handle), NULL);
}

void os_watch_poke(struct os_watch *watch)
{
	const uint64_t one = 1;
	/* A wake: not through SYS(), as it is refused only where one is waiting. */
	ssize_t rc = write(watch->poke, &one, sizeof(one));

	(void)rc; /* full: it is poked */
}

uint64_t os_watch_wait(struct os_watch *watch, uint64_t timeout)
{
	struct epoll_event event;
	int ms = timeout >= UINT64_C(1000000) * INT32_MAX ? -1 : (int)((timeout + 999999) / 1000000);
	int got = SYS(epoll_wait, watch->set, &event, 1, ms);
	uint64_t token = event.data.u64, pokes;

	if (got != 1)
		return OS_WATCH_NOTHING;
	/* What it takes is not looked at: not through SYS(). */
	if (token == OS_WATCH_POKED && read(watch->poke, &pokes, sizeof(pokes)) < 0)
		return OS_WATCH_NOTHING;
	return token;
}
