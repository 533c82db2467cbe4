/* SPDX-License-Identifier: MIT */
/* Windows: pages on first touch are not there yet, and say so; see os/trap.h for what they are. */
#include <base/error.h>
#include <os/trap.h>

static int refuse(void)
{
	return error_set(-STOA_ENOTSUP, "pages that are made on first touch are not there for Windows");
}

int os_trap_probe(enum os_trap_way way)
{
	(void)way;
	return refuse();
}

int os_trap_map(os_handle memory, uint64_t length, enum os_trap_way way, struct os_trap **ret_trap)
{
	(void)memory;
	(void)length;
	(void)way;
	(void)ret_trap;
	return refuse();
}

void os_trap_unmap(struct os_trap *trap)
{
	(void)trap;
}

void os_trap_forget(struct os_trap *trap)
{
	(void)trap;
}

void *os_trap_address(const struct os_trap *trap)
{
	(void)trap;
	return NULL;
}

os_handle os_trap_remote(const struct os_trap *trap)
{
	(void)trap;
	return OS_NO_HANDLE;
}

int os_trap_arm(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	(void)trap;
	(void)offset;
	(void)length;
	return refuse();
}

int os_trap_fill(struct os_trap *trap, uint64_t offset, uint64_t length, const void *bytes, bool writable)
{
	(void)bytes;
	(void)writable;
	return os_trap_arm(trap, offset, length);
}

bool os_trap_has(const struct os_trap *trap, uint64_t offset)
{
	(void)trap;
	(void)offset;
	return false;
}

int os_trap_allow(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	return os_trap_arm(trap, offset, length);
}

int os_trap_forbid(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	return os_trap_arm(trap, offset, length);
}

int os_trap_forbid_remote(os_handle remote, uint64_t base, uint64_t offset, uint64_t length)
{
	(void)remote;
	(void)base;
	return os_trap_arm(NULL, offset, length);
}

int os_trap_empty(struct os_trap *trap, uint64_t offset, uint64_t length)
{
	return os_trap_arm(trap, offset, length);
}

void *os_pages_allocate(uint64_t bytes)
{
	return os_allocate(bytes);
}

void os_pages_free(void *pages, uint64_t bytes)
{
	(void)bytes;
	os_free(pages);
}

int os_fault_install(bool (*handle)(void *address, enum os_fault fault))
{
	(void)handle;
	return refuse();
}

bool os_fault_installed(void)
{
	return false;
}

int os_board_create(os_handle ret_ends[2])
{
	(void)ret_ends;
	return refuse();
}

int os_board_post(const os_handle ends[2], const void *note, os_handle passed)
{
	(void)ends;
	(void)note;
	(void)passed;
	return refuse();
}

int os_board_look(const os_handle ends[2],
		  int (*visit)(const void *note, os_handle passed, bool *ret_kept, void *argument), void *argument)
{
	(void)ends;
	(void)visit;
	(void)argument;
	return refuse();
}

int os_board_drop(const os_handle ends[2])
{
	(void)ends;
	return STOA_CLOSED;
}
