/* SPDX-License-Identifier: MIT */
/* Files as stores of bytes: their length, and when what they hold is on stable storage. memory.c opens and makes them. */
#include <os/linux/sys.h>

#include <unistd.h>

int os_file_set_length(os_handle file, uint64_t length)
{
	int rc = os_length_allowed(length);

	if (rc < 0)
		return rc;
	do
		rc = SYS(ftruncate, sys_fd(file), (off_t)length);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? sys_failed("setting a length of %llu bytes", (unsigned long long)length) : 0;
}

int os_file_sync(os_handle file)
{
	int rc;

	do
		rc = SYS(fdatasync, sys_fd(file));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? sys_failed("writing a file to its disk") : 0;
}
