/* SPDX-License-Identifier: MIT */
/*
 * What the memory functions find on this kernel, tried once for real rather than read off a version number.
 */
#include <os/linux/sys.h>

#include <base/atomic.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static bool can_populate(int fd)
{
	void *page = SYS(mmap, NULL, OS_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	bool can;

	if (page == MAP_FAILED)
		return false;
	can = SYS(madvise, page, OS_PAGE, MADV_POPULATE_READ) == 0;
	munmap(page, OS_PAGE);
	return can;
}

/* The object is immutable from here on. */
static bool can_map_immutable(int fd)
{
	void *page;

	if (SYS(fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE) < 0)
		return false;
	page = SYS(mmap, NULL, OS_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return false;
	munmap(page, OS_PAGE);
	return true;
}

static void probe(struct os_memory_capabilities *found)
{
	const char *setting;
	os_handle memory;
	int seals;

	found->huge_on_request = os_huge_offered(&setting);
	if (os_memory_create(OS_PAGE, 0, &memory) < 0)
		return;
	seals = SYS(fcntl, sys_fd(memory), F_GET_SEALS);
	found->noexec_seal = seals >= 0 && seals & F_SEAL_EXEC;
	if (os_memory_set_length(memory, OS_PAGE) == 0) {
		found->populate = can_populate(sys_fd(memory));
		found->gives_back = SYS(fallocate, sys_fd(memory), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					(off_t)OS_PAGE) == 0;
		found->read_only_maps = can_map_immutable(sys_fd(memory));
	}
	os_handle_close(memory);
}

const struct os_memory_capabilities *os_memory_capabilities(void)
{
	static struct os_memory_capabilities capabilities;
	static _Atomic uint32_t state; /* 0 not yet, 1 somebody writes it, 2 there */
	struct os_memory_capabilities found = {0};
	uint32_t expected = 0;

	if (load_acq(&state) == 2) /* A1: sees the findings; pairs with R1 below in os_memory_capabilities() */
		return &capabilities;
	probe(&found);
	if (cas_rlx(&state, &expected, 1)) {
		capabilities = found;
		store_rel(&state, 2); /* R1: publishes the findings; pairs with A1 in os_memory_capabilities() */
	}
	while (load_acq(&state) != 2) /* A2: as A1; pairs with R1 in os_memory_capabilities() */
		os_yield();
	return &capabilities;
}
