/* SPDX-License-Identifier: MIT */
/* What the kernel can do, found by trying it: a version number would miss what distributions patch and sandboxes forbid. */
#include "doctor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <stoa/inspect.h>

/* Newer than the oldest headers that we build with. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1u << 14)
#endif
#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct scan_request)

/* As the kernel's struct pm_scan_arg. */
struct scan_request {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof_mask, return_mask;
};

void probe_kernel(struct doctor_finding *finding)
{
	struct utsname names;
	unsigned major = 0;
	unsigned minor = 0;

	if (uname(&names) != 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2) {
		found(finding, DOCTOR_WARN, "its version is not a number");
		return;
	}
	if (major > 5 || (major == 5 && minor >= 16)) {
		found(finding, DOCTOR_OK, "Linux %s on %s", names.release, names.machine);
		return;
	}
	found(finding, DOCTOR_WARN, "Linux %s on %s", names.release, names.machine);
	so(finding, "older than 5.16: waits on several things look again every few milliseconds instead of sleeping");
	remedy(finding, "use a newer kernel; 6.1 and later are tested");
}

void probe_page_size(struct doctor_finding *finding)
{
	long bytes = sysconf(_SC_PAGESIZE);

	found(finding, bytes == 4096 ? DOCTOR_OK : DOCTOR_OFF, "%ld bytes", bytes);
	if (bytes != 4096)
		so(finding, "segments are laid out in pages of 4096 bytes and cannot be mapped here");
}

void probe_waitv(struct doctor_finding *finding)
{
	/* Nothing to wait for: refused as an argument where the call exists. */
	long got = syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0);

	if (got != 0 && errno != ENOSYS && errno != EPERM) {
		found(finding, DOCTOR_OK, "futex_waitv works");
		return;
	}
	found(finding, DOCTOR_OFF, "futex_waitv: %s", strerror(errno));
	so(finding,
	   "a wait for a mutex cannot also sleep on its owner's life, nor wait_any on several objects: they look again "
	   "at intervals");
	remedy(finding, errno == EPERM ? "a sandbox (seccomp) forbids it: allow futex_waitv" : "Linux 5.16 or later");
}

void probe_relay(struct doctor_finding *finding)
{
	struct stoa_capabilities capabilities;

	if (stoa_inspect_capabilities(&capabilities) < 0) {
		found(finding, DOCTOR_WARN, "%s", stoa_error_detail());
	} else if (!capabilities.life_words) {
		found(finding, DOCTOR_OFF, "the kernel tells nobody when a thread ends");
		so(finding, "mutexes cannot be used");
		remedy(finding, "allow set_robust_list and get_robust_list in the sandbox");
	} else if (!capabilities.waits_on_many) {
		found(finding, DOCTOR_WARN, "a dying waiter takes its wake-up along, as waiting on many is off");
		so(finding, "when a process dies just as it is woken, the next waiter goes on after up to 10 ms");
		remedy(finding, "see \"wait on many\"");
	} else if (!capabilities.relays_wakes) {
		found(finding, DOCTOR_WARN, "a dying waiter takes its wake-up along, as on no Linux with futex_waitv");
		so(finding, "when a process dies just as it is woken, others may sleep until their deadline");
		remedy(finding, "use Linux 5.16 or later itself; something stands in for it here");
	} else {
		found(finding, DOCTOR_OK, "the end of a thread wakes others; a dying waiter's wake-up is passed on");
	}
}

void probe_membarrier(struct doctor_finding *finding)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED)) {
		found(finding, DOCTOR_OK, "global expedited");
		return;
	}
	found(finding, DOCTOR_OFF, "no global expedited membarrier");
	so(finding, "senders must order their stores with a fence each, about 5 ns");
	remedy(finding, "Linux 4.16 or later with CONFIG_MEMBARRIER, and a sandbox that allows membarrier");
}

void probe_memfd(struct doctor_finding *finding)
{
	int seals = F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE;
	int descriptor = memfd_create("stoa-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	bool noexec = descriptor >= 0;

	if (!noexec)
		descriptor = memfd_create("stoa-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (descriptor < 0) {
		found(finding, DOCTOR_OFF, "memfd_create: %s", strerror(errno));
		so(finding, "unnamed segments cannot be made");
		return;
	}
	if (fcntl(descriptor, F_ADD_SEALS, seals) != 0) {
		found(finding, DOCTOR_WARN, "seals: %s", strerror(errno));
		so(finding, "peers cannot be held from cutting or writing a segment that they were given");
	} else if (!noexec) {
		found(finding, DOCTOR_WARN, "seals work, sealing against execution does not");
		so(finding, "the memory of segments could be executed as a program by who holds its descriptor");
		remedy(finding, "Linux 6.3 or later");
	} else {
		found(finding, DOCTOR_OK, "seals, also against execution");
	}
	close(descriptor);
}

void probe_populate(struct doctor_finding *finding)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int got = page == MAP_FAILED ? -1 : madvise(page, 4096, 23 /* MADV_POPULATE_WRITE, Linux 5.14 */);

	if (got == 0) {
		found(finding, DOCTOR_OK, "MADV_POPULATE_READ and _WRITE work");
	} else {
		found(finding, DOCTOR_OFF, "MADV_POPULATE_WRITE: %s", strerror(errno));
		so(finding, "prefetch reads through a buffer, and commits cannot bring in huge pages");
		remedy(finding, "Linux 5.14 or later");
	}
	if (page != MAP_FAILED)
		munmap(page, 4096);
}

/* The features of a userfaultfd; closes it. */
static uint64_t fault_features(int descriptor)
{
	struct uffdio_api api = {.api = UFFD_API};
	uint64_t features = ioctl(descriptor, UFFDIO_API, &api) == 0 ? api.features : 0;

	close(descriptor);
	return features;
}

void probe_userfaultfd(struct doctor_finding *finding)
{
	const uint64_t shared = UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_SIGBUS;
	int full = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int device = full < 0 ? open("/dev/userfaultfd", O_RDWR | O_CLOEXEC) : -1;
	int user = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int error = errno;
	bool kernel_faults = full >= 0 || device >= 0;
	uint64_t features = user >= 0 ? fault_features(user) : 0;

	if (full >= 0)
		close(full);
	if (device >= 0)
		close(device);
	if (user < 0) {
		found(finding, DOCTOR_OFF, "userfaultfd: %s", strerror(error));
		so(finding, "pages made on first touch fall back to SIGSEGV handlers");
		remedy(finding, "Linux 5.11 or later with CONFIG_USERFAULTFD, and a sandbox that allows userfaultfd");
	} else if ((features & shared) != shared || !(features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM)) {
		found(finding, DOCTOR_WARN, "no write protection of shared memory");
		so(finding, "dirty pages of shared ranges are found by scanning, not by faults");
		remedy(finding, "Linux 5.19 or later");
	} else if (!kernel_faults) {
		found(finding, DOCTOR_WARN, "faults of programs only, not inside system calls");
		so(finding, "read(2) into a page that is not made yet gives EFAULT to this user");
		remedy(finding, "sudo sysctl vm.unprivileged_userfaultfd=1, or give this user /dev/userfaultfd");
	} else {
		found(finding, DOCTOR_OK, "shared memory, write protection, faults inside system calls%s",
		      features & UFFD_FEATURE_POISON ? ", poison" : "");
	}
}

void probe_pagemap_scan(struct doctor_finding *finding)
{
	struct scan_request request = {.size = sizeof(request), .anyof_mask = 2, .return_mask = 2};
	int descriptor = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int got = descriptor < 0 ? -1 : ioctl(descriptor, PAGEMAP_SCAN_REQUEST, &request);

	if (got >= 0) {
		found(finding, DOCTOR_OK, "works");
	} else {
		found(finding, DOCTOR_OFF, "%s", strerror(errno));
		so(finding, "dirty pages of mapped files are found by faults only; 'stoa map' cannot show huge pages");
		remedy(finding, "Linux 6.7 or later");
	}
	if (descriptor >= 0)
		close(descriptor);
}

void probe_io_uring(struct doctor_finding *finding)
{
	struct io_uring_params params = {0};
	uint64_t disabled = 0;
	/* No entries: refused as an argument where the call is allowed. */
	long got = syscall(SYS_io_uring_setup, 0, &params);

	if (got < 0 && errno == EINVAL) {
		found(finding, DOCTOR_OK, "allowed");
		return;
	}
	found(finding, DOCTOR_OFF, "%s", got < 0 ? strerror(errno) : "odd answer");
	if (got >= 0)
		close((int)got);
	so(finding, "nothing for segments; page stores read and write with threads instead");
	if (doctor_read_number("/proc/sys/kernel/io_uring_disabled", &disabled) && disabled > 0)
		remedy(finding, "sudo sysctl kernel.io_uring_disabled=0");
}
