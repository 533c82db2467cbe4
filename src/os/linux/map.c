/* SPDX-License-Identifier: MIT */
/*
 * Maps: placing them, changing their access, bringing pages in, and advice about huge pages.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <os/populate.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static int protection_of(uint32_t access)
{
	return (access & OS_READ ? PROT_READ : 0) | (access & OS_WRITE ? PROT_WRITE : 0) |
	       (access & OS_EXEC ? PROT_EXEC : 0);
}

/*
 * Map anywhere. *ret_kind tells how: before 6.7 the kernel refused even read-only shared maps of immutable memory; private
 * ones show the same bytes.
 */
static void *map_anywhere(os_handle memory, uint64_t offset, uint64_t length, uint32_t access, int *ret_kind)
{
	int protection = protection_of(access);
	void *address;

	*ret_kind = MAP_NORESERVE | (access & OS_PRIVATE ? MAP_PRIVATE : MAP_SHARED);
	address = SYS(mmap, NULL, length, protection, *ret_kind, sys_fd(memory), (off_t)offset);
	if (address != MAP_FAILED || errno != EPERM || access & OS_WRITE)
		return address;
	*ret_kind = MAP_NORESERVE | MAP_PRIVATE;
	return SYS(mmap, NULL, length, protection, *ret_kind, sys_fd(memory), (off_t)offset);
}

/*
 * Put the map over the one at `at`. What the handle or a seal refuses is tried elsewhere first, with one page: before 6.12 a
 * map refused in place has already taken away what was there, and another thread's map may come to lie in the gap.
 */
static void *map_over(void *at, os_handle memory, uint64_t offset, uint64_t length, uint32_t access)
{
	int kind;
	void *trial = map_anywhere(memory, offset, OS_PAGE, access, &kind);

	if (trial == MAP_FAILED)
		return trial;
	munmap(trial, OS_PAGE);
	return SYS(mmap, at, length, protection_of(access), kind | MAP_FIXED, sys_fd(memory), (off_t)offset);
}

/* Room for `length` bytes at the same remainder modulo OS_HUGE_PAGE as `offset`, held by an inaccessible map. */
static void *reserve_aligned(uint64_t offset, uint64_t length)
{
	uint64_t room = length + OS_HUGE_PAGE;
	unsigned char *start = SYS(mmap, NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t skip;

	if (start == MAP_FAILED)
		return MAP_FAILED;
	skip = (offset - (uintptr_t)start) & (OS_HUGE_PAGE - 1);
	if (skip)
		munmap(start, skip);
	munmap(start + skip + length, room - skip - length);
	return start + skip;
}

static int map_failed(uint64_t length)
{
	if (errno == EACCES || errno == EPERM)
		return error_set(
			-STOA_ERIGHTS,
			"the map is refused: the handle only reads, a seal forbids it, or its file system forbids execution");
	if (errno == ENOMEM)
		return error_set(
			-STOA_ELIMIT,
			"no room for a map of %llu bytes: the address space, RLIMIT_AS or vm.max_map_count is used up",
			(unsigned long long)length);
	return sys_failed("mapping %llu bytes", (unsigned long long)length);
}

int os_map(os_handle memory, uint64_t offset, uint64_t length, uint32_t access, void **ret_address)
{
	void *room = NULL, *address;
	int kind;

	length = (length + OS_PAGE - 1) & ~(OS_PAGE - 1);
	if (length >= OS_HUGE_PAGE) {
		room = reserve_aligned(offset, length);
		if (room == MAP_FAILED)
			return map_failed(length);
	}
	address = room ? map_over(room, memory, offset, length, access)
		       : map_anywhere(memory, offset, length, access, &kind);
	if (address == MAP_FAILED) {
		int rc = map_failed(length);

		if (room)
			munmap(room, length);
		return rc;
	}
	/* A core file with a reserve of a terabyte in it takes minutes, and locks stay held meanwhile. Only advice. */
	(void)SYS(madvise, address, length, MADV_DONTDUMP);
	*ret_address = address;
	return 0;
}

int os_map_read_only(os_handle memory, uint64_t offset, void *address, uint64_t length)
{
	os_handle reader = OS_NO_HANDLE;
	int rc = os_memory_duplicate(memory, OS_READ, &reader);

	if (rc < 0)
		return rc;
	if (map_over(address, reader, offset, length, OS_READ) == MAP_FAILED)
		rc = map_failed(length);
	else
		(void)SYS(madvise, address, length, MADV_DONTDUMP);
	os_handle_close(reader);
	return rc;
}

int os_unmap(void *address, uint64_t length)
{
	if (SYS(munmap, address, (length + OS_PAGE - 1) & ~(OS_PAGE - 1)) < 0)
		return error_set(-STOA_EINVAL, "%p with %llu bytes is not a view", address, (unsigned long long)length);
	return 0;
}

int os_protect(void *address, uint64_t length, uint32_t access)
{
	if (SYS(mprotect, address, length, protection_of(access)) == 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return error_set(-STOA_ERIGHTS, "this handle's memory cannot be given that access");
	if (errno == ENOMEM)
		return error_set(-STOA_ELIMIT, "too many differently protected parts: vm.max_map_count is reached");
	return sys_failed("changing access to %llu bytes", (unsigned long long)length);
}

int os_populate(os_handle memory, uint64_t offset, void *address, uint64_t length)
{
	uint64_t pages = (length + OS_PAGE - 1) & ~(OS_PAGE - 1);
	int rc;

	do
		rc = SYS(madvise, address, pages, MADV_POPULATE_READ);
	while (rc < 0 && (errno == EINTR || errno == EAGAIN));
	if (rc == 0)
		return 0;
	if (errno == EHWPOISON || errno == EIO)
		return error_set(-STOA_EIO, "a page between %llu and %llu is lost", (unsigned long long)offset,
				 (unsigned long long)(offset + length));
	if (errno == EFAULT || errno == EINVAL || errno == ENOMEM)
		return populate_by_reading(memory, offset, length);
	return sys_failed("bringing in %llu bytes at %llu", (unsigned long long)length, (unsigned long long)offset);
}

bool os_huge_offered(const char **ret_setting)
{
	static const char *const settings[] = {"always", "within_size", "advise", "never", "deny", "force"};
	char text[128], marked[24];

	if (sys_read_text("/sys/kernel/mm/transparent_hugepage/shmem_enabled", text, sizeof(text)) < 0) {
		*ret_setting = "absent";
		return false;
	}
	for (size_t i = 0; i < CC_COUNT(settings); i++) {
		strcpy(marked, "[");
		strcat(strcat(marked, settings[i]), "]");
		if (!strstr(text, marked))
			continue;
		*ret_setting = settings[i];
		return strcmp(settings[i], "never") != 0 && strcmp(settings[i], "deny") != 0;
	}
	*ret_setting = "unknown";
	return false;
}

int os_huge_refused(void)
{
	const char *setting;

	(void)os_huge_offered(&setting);
	return error_set(
		-STOA_ENOTSUP,
		"no huge pages for shared memory: transparent_hugepage/shmem_enabled is '%s', needed is 'advise'",
		setting);
}

void os_huge_apply(void *address, uint64_t length, uint32_t huge)
{
	/* Advice: where it cannot be followed small pages serve as well. */
	(void)SYS(madvise, address, length, huge == OS_HUGE_NEVER ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}
