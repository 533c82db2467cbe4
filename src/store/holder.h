/* SPDX-License-Identifier: MIT */
/*
 * A holder keeps the memory objects of a server while there is no server: a tiny process that has a descriptor of each, under a
 * name, and no map. A server hands it what has to outlive it; its successor, of the same user, gets all of that back.
 *
 * A holder serves one server at a time. It ends when a server says so (store_holder_end()), by SIGTERM, or after a while without a server
 * when it holds nothing. A service manager that keeps descriptors (systemd's fd store) does the same work behind these functions, through the program's own
 * (stoa/keeper.h); so names are what it takes: printable ASCII without ':'.
 *
 * Threads: one at a time. A forked child must not use its parent's.
 */
#ifndef STORE_HOLDER_H
#define STORE_HOLDER_H

#include <os/os.h>

#define STORE_HOLDER_NAME 32 /* bytes of a name with its final 0 */

struct store_holder;

/*
 * Connect to the holder that listens at `path`; where there is none, start one. -STOA_EBUSY: it serves another server, which lives.
 * -STOA_EACCES: it is another user's. -STOA_EVERSION: another library's, with another protocol. Errors of os_local_listen() and
 * os_process_detach(). Waits for up to 10 s where the holder is stopped (then -STOA_EBUSY).
 */
int store_holder_start(const char *path, struct store_holder **ret_holder);

/* The program's keeper in its place, which is there until close or end. -STOA_EINVAL: it lacks a function. */
struct stoa_keeper;
int store_holder_use(const struct stoa_keeper *keeper, struct store_holder **ret_holder);

/* Polls readable, outside of calls, when the holder has ended: what it held is no longer safe. Put all into a new one. OS_NO_HANDLE: it is lost, or a keeper, which never is. */
os_handle store_holder_handle(const struct store_holder *holder);
bool store_holder_is_lost(const struct store_holder *holder);
uint32_t store_holder_process(const struct store_holder *holder); /* its number, for people */

/*
 * Once this has returned 0, the object is held, though the caller die at its next instruction. What had the name before is let go.
 * -STOA_ELIMIT: the holder may not open one more. -STOA_ECLOSED: it has ended. -STOA_ENAME.
 */
int store_holder_put(struct store_holder *holder, const char *name, os_handle memory);

/* As many puts, in order, with few waits. Returns the first error; each of the others is then put, or not. */
struct store_held {
	char name[STORE_HOLDER_NAME];
	os_handle memory;
};
int store_holder_put_many(struct store_holder *holder, const struct store_held *held, uint32_t count);

/* -STOA_ENOENT */
int store_holder_drop(struct store_holder *holder, const char *name);

/*
 * Call `visit` for each object held, in no order, with a new handle, which is then the visitor's, until it returns non-zero; that is the
 * result. The visitor may put and drop: what it puts may be visited or not. -STOA_ELIMIT: this process may not open as many handles.
 */
int store_holder_visit(struct store_holder *holder, int (*visit)(const char *name, os_handle memory, void *argument),
		       void *argument);

/* Disconnect: all stays held. NULL is allowed. */
void store_holder_close(struct store_holder *holder);

/* The holder ends, and all it holds is let go; its socket is gone. Closes `holder`, also where that fails: -STOA_ECLOSED, it had ended before. */
int store_holder_end(struct store_holder *holder);

#endif
