/* SPDX-License-Identifier: MIT */
/* What trap.c and served.c share. */
#ifndef OS_LINUX_USERFAULT_H
#define OS_LINUX_USERFAULT_H

#include <base/atomic.h>
#include <os/linux/sys.h>
#include <os/trap.h>

struct os_trap {
	unsigned char *address;
	uint64_t length;
	os_handle memory;
	bool own; /* the memory is the trap's */
	bool writable;
	bool serves_calls;
	bool guards;              /* OS_TRAP_PROTECT: what is not there is told by guard pages, which split no map */
	_Atomic uint32_t refuses; /* touches of some pages, by page protection */
	enum os_trap_way way;
	int fd; /* -1: none, OS_TRAP_PROTECT */
};

/* A place in a map, as the kernel wants it. */
struct userfault_place {
	int fd;
	uint64_t address;
};

static inline struct userfault_place userfault_place(const struct os_trap *trap, const struct os_trap_other *other,
						     uint64_t offset)
{
	if (other)
		return (struct userfault_place){sys_fd(other->remote), other->base + offset};
	return (struct userfault_place){trap->fd, (uintptr_t)trap->address + offset};
}

/* Is that errno what a process that is gone, or has unmapped the range, gives? */
static inline bool userfault_is_gone(int error)
{
	return error == ESRCH || error == ENOENT;
}

int userfault_protect(struct userfault_place place, uint64_t length, bool protect);

/* A userfaultfd for OS_TRAP_SERVED. Tells whether it handles touches by system calls. */
int userfault_open_served(bool *ret_calls);

/* Make present pages of the range those of the map; those that are there are left. As os_trap_show() returns. */
int userfault_show(const struct os_trap *trap, struct userfault_place place, uint64_t length, bool writable);

/* Take back what os_trap_poison() did by page protection, in this process's own map: whatever comes there, also what others healed. */
int userfault_heal(const struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

#endif
