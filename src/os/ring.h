/* SPDX-License-Identifier: MIT */
/*
 * Work on files that nobody waits for: jobs are handed in, done by the system meanwhile, and taken when they are done; and a folder of files that
 * belongs to one program. One thread hands in and takes. As in os.h, functions return 0 or a negative -STOA_E*, with error_set() done.
 */
#ifndef OS_RING_H
#define OS_RING_H

#include <os/os.h>

enum os_ring_way {
	OS_RING_ANY,     /* the first one that this system has for this process */
	OS_RING_KERNEL,  /* the kernel's own rings: Linux 5.11, where nothing forbids them */
	OS_RING_THREADS, /* threads of this process, which call the system for it */
};

enum os_job_kind {
	OS_JOB_MAKE, /* a new file `name` in the folder `file`, to be written; it must not be there. The result is its handle */
	OS_JOB_OPEN,   /* a file `name` in the folder, to be read; no link is followed. The result is its handle */
	OS_JOB_READ,   /* `length` bytes at `offset`; the result is how many there were */
	OS_JOB_WRITE,  /* the result is how many were written */
	OS_JOB_RENAME, /* `name` to `to` in the folder `file`, instead of what is there */
	OS_JOB_REMOVE, /* `name` in the folder */
	OS_JOB_CLOSE,  /* the handle `file` */
};

/* The caller's; it stays where it is, and unchanged, until it is taken. So do the names and bytes it points to. */
struct os_job {
	enum os_job_kind kind;
	os_handle file;
	const char *name, *to;
	void *bytes;
	uint64_t offset;
	uint32_t length;
	int64_t result; /* a negative -STOA_E*, without a sentence */
	struct os_job *next;
	uint64_t user; /* the caller's */
};

struct os_ring;

/* For up to `depth` jobs at a time. OS_RING_KERNEL: -STOA_ENOTSUP, where the system has none, or not for this process. */
int os_ring_create(enum os_ring_way way, unsigned depth, struct os_ring **ret_ring);
/* Waits until all has been done; what was not taken is lost. NULL is allowed. */
void os_ring_close(struct os_ring *ring);

enum os_ring_way os_ring_way(const struct os_ring *ring);

/* Polls readable when there is something to take; a notifier, to be cleared before taking. The ring's. */
os_handle os_ring_event(const struct os_ring *ring);

/* Hand in; it begins with os_ring_go() at the latest. false: as many as can be are under way. */
bool os_ring_submit(struct os_ring *ring, struct os_job *job);

/* Let what was handed in begin. Where it cannot now, for want of something, it is to be tried again. */
int os_ring_go(struct os_ring *ring);

/* One that is done; NULL: none. */
struct os_job *os_ring_take(struct os_ring *ring);

/* The same, waiting for it; NULL: none is under way. */
struct os_job *os_ring_wait(struct os_ring *ring);

/* For tests: this process is to do without the kernel's rings, as if the system had none for it. */
extern _Atomic uint32_t os_ring_without;

/* ---- folders ---- */

/*
 * A folder that only this user can change; made, for this user alone, if it is not there. Closed with os_handle_close(). -STOA_EACCES: others can
 * change it, or it is not this user's to use; -STOA_EKIND: something else is there; -STOA_ENOENT: where it would be made is nothing.
 */
int os_folder_open(const char *path, os_handle *ret_folder);

/* Call `visit` for each name in it until it returns non-zero, which is then the result. What it removes meanwhile may be visited, too. */
int os_folder_visit(os_handle folder, int (*visit)(const char *name, void *argument), void *argument);

/* The length of a regular file. -STOA_ENOENT: there is none, or it is something else. */
int os_folder_look(os_handle folder, const char *name, uint64_t *ret_length);

/* An empty file, if there is none of that name. */
int os_folder_mark(os_handle folder, const char *name);
int os_folder_remove(os_handle folder, const char *name);

#endif
