/* SPDX-License-Identifier: MIT */
/*
 * Traps by userfaultfd (kernel: Documentation/admin-guide/mm/userfaultfd.rst), with UFFD_FEATURE_SIGBUS: the thread that touches gets a
 * signal and resolves the fault itself, so nobody is woken and no privilege is needed. And by page protection, where that is refused.
 *
 * The one hard idea: protection against writes is the map's, a page is everybody's. UFFDIO_COPY puts a page into the object, for all maps, and
 * each map finds it through the marker that arming left at its place: readable, not writable. Taking pages away drops the markers in all
 * maps, so whoever does it puts them back before another page can appear there.
 */
#include <os/linux/userfault.h>

#include <base/atomic.h>
#include <base/error.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12, or only there. Guard pages: madvise(2), Linux 6.13, of files since 6.15. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define FEATURES (UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

static int open_userfault(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
	int fd = (int)SYS(syscall, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int error;

	if (fd < 0)
		return error_set(errno == EMFILE || errno == ENFILE ? -STOA_ELIMIT : -STOA_ENOTSUP, "userfaultfd: %s",
				 strerror(errno));
	if (SYS(ioctl, fd, UFFDIO_API, &api) == 0)
		return fd;
	error = errno;
	close(fd);
	return error_set(-STOA_ENOTSUP,
			 "userfaultfd cannot protect shared memory against writes: Linux 5.19 or later is needed (%s)",
			 strerror(error));
}

static int open_way(enum os_trap_way way, bool *ret_calls)
{
	*ret_calls = false;
	return way == OS_TRAP_SERVED ? userfault_open_served(ret_calls) : open_userfault();
}

int os_trap_probe(enum os_trap_way way)
{
	bool calls;
	int fd;

	if (way == OS_TRAP_PROTECT)
		return 0;
	fd = open_way(way, &calls);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

uint32_t os_trap_unit(enum os_trap_way way)
{
	(void)way;
	return OS_PAGE;
}

/* ---- guard pages ---- */

static int guard(struct os_trap *trap, uint64_t offset, uint64_t length, bool install)
{
	int rc;

	do
		rc = SYS(madvise, trap->address + offset, length, install ? MADV_GUARD_INSTALL : MADV_GUARD_REMOVE);
	while (rc < 0 && (errno == EINTR || errno == EAGAIN));
	return rc == 0 ? 0 : sys_failed("guarding %llu bytes of pages", (unsigned long long)length);
}

/* Has this system them for such a map? The first page is tried, while nobody can touch it. */
static bool has_guards(struct os_trap *trap)
{
	return !(load_rlx(&os_trap_without) & OS_WITHOUT_GUARDS) && !guard(trap, 0, OS_PAGE, true);
}

static int register_map(struct os_trap *trap)
{
	struct uffdio_register range = {
		.range = {(uintptr_t)trap->address, trap->length},
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	int fd = open_way(trap->way, &trap->serves_calls);

	if (fd < 0)
		return fd;
	trap->fd = fd;
	if (trap->way == OS_TRAP_SERVED)
		range.mode |= UFFDIO_REGISTER_MODE_MINOR;
	if (SYS(ioctl, fd, UFFDIO_REGISTER, &range) < 0)
		return sys_failed("registering %llu bytes with userfaultfd", (unsigned long long)trap->length);
	return 0;
}

/* By page protection nobody else can use the pages, so nobody else needs to have them. */
static int make_memory(struct os_trap *trap)
{
	int rc = os_memory_create(trap->length, 0, &trap->memory);

	if (rc)
		return rc;
	trap->own = true;
	return os_memory_set_length(trap->memory, trap->length);
}

int os_trap_map(const struct os_trap_plan *plan, struct os_trap **ret_trap)
{
	struct os_trap *trap = os_allocate(sizeof(*trap));
	void *address = NULL;
	int rc;

	if (!trap)
		return -STOA_ENOMEM;
	*trap = (struct os_trap){
		.fd = -1, .memory = plan->memory, .length = plan->length, .writable = plan->writable, .way = plan->way};
	rc = trap->way == OS_TRAP_PROTECT ? make_memory(trap) : 0;
	if (!rc)
		rc = os_map(trap->memory, 0, trap->length, OS_READ | OS_WRITE, &address);
	if (!rc) {
		trap->address = address;
		rc = os_protect(address, trap->length, 0);
	}
	if (!rc && SYS(madvise, address, trap->length, MADV_DONTFORK) < 0)
		rc = sys_failed("keeping a map from forked children");
	if (!rc)
		rc = trap->way == OS_TRAP_PROTECT ? 0 : register_map(trap);
	trap->guards = !rc && trap->way == OS_TRAP_PROTECT && has_guards(trap);
	/* Nothing has to be armed: each page that is not yet in this map is told. */
	if (!rc && trap->way == OS_TRAP_SERVED)
		rc = os_protect(address, trap->length, OS_READ | (trap->writable ? OS_WRITE : 0));
	if (rc) {
		os_trap_unmap(trap);
		return rc;
	}
	*ret_trap = trap;
	return 0;
}

void os_trap_unmap(struct os_trap *trap)
{
	if (!trap)
		return;
	/* The map first: without its userfaultfd touches would find zeros. */
	if (trap->address)
		(void)os_unmap(trap->address, trap->length);
	os_trap_forget(trap);
}

void os_trap_forget(struct os_trap *trap)
{
	if (trap && trap->fd >= 0)
		close(trap->fd);
	if (trap && trap->own)
		os_handle_close(trap->memory);
	os_free(trap);
}

void *os_trap_address(const struct os_trap *trap)
{
	return trap->address;
}

os_handle os_trap_remote(const struct os_trap *trap)
{
	return trap->fd < 0 ? OS_NO_HANDLE : trap->fd;
}

/* An errno, or 0. */
static int protect_at_once(struct userfault_place place, uint64_t length, bool protect)
{
	struct uffdio_writeprotect range = {
		.range = {place.address, length},
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};
	int rc;

	do
		rc = SYS(ioctl, place.fd, UFFDIO_WRITEPROTECT, &range);
	while (rc < 0 && (errno == EAGAIN || errno == EINTR)); /* the map is just being changed by a fork */
	return rc == 0 ? 0 : errno;
}

int userfault_protect(struct userfault_place place, uint64_t length, bool protect)
{
	int error = protect_at_once(place, length, protect), rc;
	uint64_t half = length / 2 & ~(uint64_t)(OS_PAGE - 1);

	if (error == 0)
		return 0;
	/* Page protection may have made several maps of it, which Linux before 6.4 does not take together. */
	if (error == ENOENT && half && protect_at_once(place, OS_PAGE, protect) == 0) {
		rc = userfault_protect(place, half, protect);
		place.address += half;
		return rc ? rc : userfault_protect(place, length - half, protect);
	}
	errno = error;
	return userfault_is_gone(error) ? -STOA_ECLOSED : sys_failed("protecting pages against writes");
}

int os_trap_arm(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	int rc = 0;

	if (trap->guards) {
		rc = guard(trap, offset, length, true);
		return rc ? rc : os_protect(trap->address + offset, length, OS_READ);
	}
	if (trap->way != OS_TRAP_USERFAULT) /* nothing is there, or shown, without being told, as it is */
		return 0;
	rc = userfault_protect(userfault_place(trap, NULL, offset), length, true);
	return rc ? rc : os_protect(trap->address + offset, length, OS_READ | OS_WRITE);
}

/* One call's worth; *done counts what is there afterwards. */
static int copy(struct userfault_place place, uint64_t length, const void *bytes, bool writable, uint64_t *done)
{
	struct uffdio_copy page = {
		.dst = place.address,
		.src = (uintptr_t)bytes,
		.len = length,
		.mode = writable ? 0 : UFFDIO_COPY_MODE_WP,
	};

	if (SYS(ioctl, place.fd, UFFDIO_COPY, &page) == 0) {
		*done = length;
		return 0;
	}
	if (errno == ENOENT && length > OS_PAGE) /* over the border of two maps, perhaps, which page protection makes */
		return copy(place, OS_PAGE, bytes, writable, done);
	*done = page.copy > 0 ? (uint64_t)page.copy : 0;
	switch (errno) {
	case EAGAIN:
	case EINTR: return 0;
	case EEXIST: *done = OS_PAGE; return STOA_EXISTED;
	case ESRCH:
	case ENOENT: return -STOA_ECLOSED;
	case ENOMEM:
	case ENOSPC: return error_set(-STOA_ENOMEM, "no memory for %llu bytes of pages", (unsigned long long)length);
	default: return sys_failed("filling %llu bytes of pages", (unsigned long long)length);
	}
}

static int fill_by_copy(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length,
			const unsigned char *bytes, bool writable)
{
	bool existed = false;
	int rc = userfault_heal(trap, other, offset, length);

	if (rc)
		return rc;
	for (uint64_t at = 0, done; at < length; at += done) {
		rc = copy(userfault_place(trap, other, offset + at), length - at, bytes + at, writable, &done);

		if (rc < 0)
			return rc;
		existed |= rc == STOA_EXISTED;
	}
	/* What was there before keeps the protection that this map had, or is not in it. */
	if (existed && writable)
		return os_trap_allow(trap, other, offset, length);
	return existed && trap->way == OS_TRAP_SERVED ? os_trap_show(trap, other, offset, length) : 0;
}

int os_trap_fill(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length,
		 const void *bytes, bool writable)
{
	int rc;

	if (trap->way != OS_TRAP_PROTECT)
		return fill_by_copy(trap, other, offset, length, bytes, writable);
	/* Not through the map: where memory is full that would be a signal. */
	rc = os_memory_write(trap->memory, offset, bytes, length);
	if (!rc && (writable || !trap->guards))
		rc = os_protect(trap->address + offset, length, OS_READ | (writable ? OS_WRITE : 0));
	return rc || !trap->guards ? rc : guard(trap, offset, length, false);
}

bool os_trap_has(const struct os_trap *trap, uint64_t offset)
{
	/* What was swapped out counts as data, too. This moves the object's place, which nobody uses. */
	return lseek(sys_fd(trap->memory), (off_t)offset, SEEK_DATA) == (off_t)offset;
}

int os_trap_allow(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length)
{
	int rc = 0;

	if (trap->way == OS_TRAP_PROTECT)
		return os_protect(trap->address + offset, length, OS_READ | OS_WRITE);
	if (trap->way == OS_TRAP_SERVED) {
		rc = userfault_heal(trap, other, offset, length);
		if (!rc)
			rc = userfault_show(trap, userfault_place(trap, other, offset), length, true);
	}
	return rc < 0 ? rc : userfault_protect(userfault_place(trap, other, offset), length, false);
}

int os_trap_forbid(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	if (trap->way == OS_TRAP_PROTECT)
		return os_protect(trap->address + offset, length, OS_READ);
	return userfault_protect(userfault_place(trap, NULL, offset), length, true);
}

int os_trap_forbid_remote(os_handle remote, uint64_t base, uint64_t offset, uint64_t length)
{
	return userfault_protect((struct userfault_place){sys_fd(remote), base + offset}, length, true);
}

int os_trap_read(struct os_trap *trap, uint64_t offset, uint64_t length, void *bytes)
{
	size_t got = 0;
	/* Not through the map, where a page that an enemy took away would be a fault of ours. */
	int rc = os_memory_read(trap->memory, offset, bytes, length, &got);

	return !rc && got != length ? error_set(-STOA_EFORMAT, "the memory behind the pager was cut") : rc;
}

int os_trap_empty(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	int rc = 0;

	if (trap->guards)
		rc = guard(trap, offset, length, true);
	/* Readable, where it is guarded: so it is one map with what lies beside it. */
	if (!rc && trap->way == OS_TRAP_PROTECT)
		rc = os_protect(trap->address + offset, length, trap->guards ? OS_READ : 0);
	while (!rc && SYS(fallocate, sys_fd(trap->memory), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			  (off_t)length) < 0)
		if (errno != EINTR)
			rc = sys_failed("giving back %llu bytes of pages", (unsigned long long)length);
	return rc;
}
