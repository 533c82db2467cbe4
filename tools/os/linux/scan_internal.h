/* SPDX-License-Identifier: MIT */
/* What the files of the Linux scan share: the growing set of objects and the devices that are memory. */
#ifndef TOOLS_OS_LINUX_SCAN_INTERNAL_H
#define TOOLS_OS_LINUX_SCAN_INTERNAL_H

#include <sys/types.h>

#include "../scan.h"

/* A file system whose files are memory. */
struct memory_device {
	dev_t device;
	char *directory; /* where it is mounted in our own mount namespace; NULL: not there */
	bool posix;      /* /dev/shm */
	bool hugetlb;
};

struct scanner {
	struct scan *scan;
	size_t room;
	/* Open addressing by (device, inode); entries are object numbers + 1. A power of two. */
	uint32_t *index;
	size_t index_size;
	struct memory_device *devices;
	size_t device_count;
	dev_t kernel_device; /* the kernel's own mount, where memfds, System V and anonymous shared memory live */
	char **namespaces;   /* mount namespaces whose mounts have been read */
	size_t namespace_count;
	bool all_files;
};

/* The object with that identity, or NULL. */
struct scan_object *scan_lookup(const struct scanner *scanner, uint64_t device, uint64_t inode);

/* The same, made when new (then *ret_new is true and its fields are zero or unknown). NULL: no memory. */
struct scan_object *scan_find(struct scanner *scanner, uint64_t device, uint64_t inode, bool *ret_new);

/* Note that the process uses the object. 0 or ENOMEM. */
int scan_use(struct scan_object *object, int64_t process, const char *command, bool maps, bool opens);

/* Fill what fstat() tells. */
struct stat;
void scan_take_stat(struct scan_object *object, const struct stat *st);

/* Read a mountinfo file and add its memory file systems. `ours`: paths are valid for this process. 0 or errno. */
int scan_mounts(struct scanner *scanner, const char *path, bool ours);
const struct memory_device *scan_device(const struct scanner *scanner, dev_t device);

int scan_processes(struct scanner *scanner, void (*progress)(uint64_t processes)); /* scan_process.c */
int scan_files(struct scanner *scanner);                                           /* scan_files.c */
int scan_sysv(struct scanner *scanner);                                            /* scan_files.c */

#endif
