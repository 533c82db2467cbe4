/* SPDX-License-Identifier: MIT */
/*
 * Does anybody else have a memory object? The kernel grants a lease for writing on a file only if nobody else has it open, and a map keeps what it was made
 * of open (fcntl(2), F_SETLEASE). What memfd_create() returned, and copies of that, do not count: so who is to be seen must have been given a descriptor
 * of its own.
 */
#include <os/linux/sys.h>
#include <os/local.h>

#include <base/error.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int open_again(os_handle memory, int mode)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", sys_fd(memory));
	return SYS(open, path, mode | O_CLOEXEC);
}

int os_memory_reopen(os_handle memory, uint32_t access, os_handle *ret_memory)
{
	int fd = open_again(memory, access & OS_WRITE ? O_RDWR : O_RDONLY);

	if (fd < 0)
		return sys_failed("opening memory once more");
	*ret_memory = fd;
	return 0;
}

int os_memory_alone(os_handle memory)
{
	int fd = open_again(memory, O_RDONLY), rc;

	if (fd < 0)
		return sys_failed("asking who has memory");
	/* Whoever opens it now, through this process, has a signal sent: not one that ends the process. */
	rc = SYS(fcntl, fd, F_SETSIG, SIGURG);
	if (rc == 0)
		rc = SYS(fcntl, fd, F_SETLEASE, F_WRLCK);
	if (rc == 0)
		rc = 1;
	else
		rc = errno == EAGAIN ? 0 : error_set(-STOA_ENOTSUP, "the system does not say who has memory");
	close(fd); /* and with it the lease goes */
	return rc;
}
