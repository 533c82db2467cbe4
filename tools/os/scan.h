/* SPDX-License-Identifier: MIT */
/*
 * Every shared-memory object on this host, whoever made it: the system-specific half of `stoa ls --all`. Implemented once per
 * system under tools/os/<system>/. Reads what the system tells about its processes and changes nothing.
 */
#ifndef TOOLS_OS_SCAN_H
#define TOOLS_OS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scan_kind {
	SCAN_MEMFD,     /* unnamed memory held by descriptors and maps */
	SCAN_FILE,      /* a file in a file system that is memory: POSIX shared memory lies in /dev/shm */
	SCAN_SYSV,      /* a System V segment */
	SCAN_ANONYMOUS, /* shared without name or descriptor: only forked relatives see it */
	SCAN_SECTION,   /* a named section of Windows */
};

#define SCAN_UNKNOWN UINT64_MAX /* a number that could not be learnt */

struct scan_user {
	int64_t process;
	char *command; /* its short name, as bytes from the system: make it safe before printing */
	bool maps;     /* has it mapped */
	bool opens;    /* holds a descriptor of it */
};

struct scan_object {
	enum scan_kind kind;
	char *name; /* a path, a memfd's label, a System V key and id */
	uint64_t size;
	uint64_t resident; /* bytes of memory behind it */
	uint32_t owner;    /* user id, UINT32_MAX when not known */
	uint32_t mode;     /* permission bits */
	int64_t creator;   /* process, 0 when not known */
	int64_t changed;   /* seconds since 1970 of the last change, 0 when not known */
	bool deleted;      /* a file whose name is gone */
	bool shared;       /* somebody maps it so that writes are seen by others */
	struct scan_user *users;
	size_t user_count;
	uint64_t attached; /* System V: maps, as the kernel counts them */
	/* Identity on this host: device and inode, or the System V id; 0 and 0 where there is none. */
	uint64_t device;
	uint64_t inode;
};

/* What keeps processes out of our sight altogether. */
enum scan_hidden {
	SCAN_HIDDEN_NONE,
	SCAN_HIDDEN_NAMESPACE, /* we see those of our own pid namespace, as in a container */
	SCAN_HIDDEN_MOUNT,     /* /proc shows an ordinary user its own only */
	SCAN_HIDDEN_USERS,     /* this system tells no users at all */
};

struct scan {
	struct scan_object *objects;
	size_t count;
	uint64_t processes;         /* looked into */
	uint64_t processes_refused; /* belong to others: their maps and descriptors are not ours to see */
	enum scan_hidden hidden;    /* others may run that are not even counted */
	uint64_t directories_refused;
	uint64_t other_files; /* in memory file systems other than /dev/shm, mapped by nobody, and left out */
	uint64_t other_bytes;
};

/*
 * Scan. `all_files`: list also the files of memory file systems other than /dev/shm that nobody maps. 0 or an errno value.
 * *ret_scan: scan_destroy(). `progress`, when not NULL, is called with the number of processes done so far.
 */
int scan_host(bool all_files, void (*progress)(uint64_t processes), struct scan **ret_scan);
void scan_destroy(struct scan *scan);

/* How this user may see what was refused: "run as root to see all". */
const char *scan_remedy(void);

/* Nobody uses it, so its memory serves nothing: 1 yes, 0 no, -1 not known, as processes are hidden or refused. */
int scan_orphaned(const struct scan *scan, const struct scan_object *object);

#endif
