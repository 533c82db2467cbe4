/* SPDX-License-Identifier: MIT */
/*
 * What a server for local clients asks of the system beside os.h: sockets with a path, who is at their other end, a wait for many, and a process
 * of its own. Linux only so far: nothing of it is compiled elsewhere. As in os.h, functions return 0 or a negative -STOA_E* with
 * error_set() done, unless said otherwise, and leave their outputs alone on failure. Sockets carry whole messages, wait for nobody,
 * and are closed with os_handle_close().
 */
#ifndef OS_LOCAL_H
#define OS_LOCAL_H

#include <os/os.h>

/* ---- listening ---- */

#define OS_LOCAL_PATH 107 /* bytes that a socket's path may have */

/* A socket that clients connect to. Polls readable when os_local_accept() has something to do. */
struct os_listener {
	os_handle socket;
	os_handle lock;          /* see os_local_listen(); OS_NO_HANDLE: it was adopted */
	uint64_t identity[2];    /* of the socket file */
	char path[OS_PATH_ROOM]; /* absolute; "" when it was adopted */
};

/*
 * Listen at `path`. `mode` says who may connect (0600: this user; 0666: all), whatever the umask is; the directory must be there.
 *
 * Who listens at a path holds the lock on "<path>.lock", as long as a copy of it is open; so the lock goes with the process that dies. Whoever gets it
 * finds only what the dead have left, and takes the socket file away. The lock file is removed by os_local_unlisten(); after a death it
 * stays for the next one, who locks the same file.
 *
 * -STOA_EEXIST: a living server listens there (also one that knows nothing of the lock). -STOA_EKIND: something is there that is
 * no socket. -STOA_ENAME: the path is too long. -STOA_ENOENT: no such directory. -STOA_EACCES: not for this user, or others could put another
 * socket in its place, since the directory is for all to write: it must be this user's or root's and sticky then, as /tmp is.
 */
int os_local_listen(const char *path, uint32_t mode, struct os_listener *ret_listener);

/* Listen with a socket that a service manager has made; it is the listener's from then on. -STOA_EKIND: it is another kind of socket, or none. */
int os_local_adopt(os_handle socket, struct os_listener *ret_listener);

/* Stop, and remove the socket file, if it is still this one, and the lock file; adopted ones are only closed. */
void os_local_unlisten(struct os_listener *listener);

/* Let go of it, for another process that has it too: nothing is removed. */
void os_local_disown(struct os_listener *listener);

/* -STOA_EBUSY: nobody is there. -STOA_ELIMIT: no descriptor left; whoever is there stays there. */
int os_local_accept(const struct os_listener *listener, os_handle *ret_socket);

/*
 * -STOA_ENOENT: nobody listens there. -STOA_EACCES. -STOA_EKIND: another kind of socket does. -STOA_EBUSY: too many are waiting to be
 * accepted. -STOA_ENAME.
 */
int os_local_connect(const char *path, os_handle *ret_socket);

/* Two sockets that are connected to each other. */
int os_local_pair(os_handle ret_sockets[2]);

/* ---- who is at the other end ---- */

#define OS_PEER_GROUPS 256
struct os_peer {
	uint32_t user, group; /* effective, when the two were connected */
	uint32_t process;     /* 0: one that has no number here */
	uint32_t group_count;
	uint32_t groups[OS_PEER_GROUPS]; /* beside `group`; of more than that, the lowest */
};
int os_local_peer(os_handle socket, struct os_peer *ret_peer);
/* Which of the system's spaces of process numbers (pid namespaces) this process's `process` is of; 0: not known. */
uint64_t os_process_space(void);
bool os_peer_in_group(const struct os_peer *peer, uint32_t group);

/* A handle to that process: polls readable when it has ended; see os_process_ended(). -STOA_ECLOSED: it has. */
int os_local_peer_process(os_handle socket, os_handle *ret_process);

/* A name and the number, or the number, for sentences. `text` has room for `size` bytes. Return `text`. */
const char *os_user_name(uint32_t user, char *text, size_t size);
const char *os_group_name(uint32_t group, char *text, size_t size);

/* ---- who has memory ---- */

/* As os_memory_duplicate(), but a handle that is open by itself: os_memory_alone() sees it, as long as a copy or a map of it is there. */
int os_memory_reopen(os_handle memory, uint32_t access, os_handle *ret_memory);

/* 1: no handle from os_memory_reopen() is open any more, in any process, and none is mapped. 0: one is. -STOA_ENOTSUP: the system cannot tell. */
int os_memory_alone(os_handle memory);

/* ---- messages ---- */

#define OS_LOCAL_PASSED 16 /* handles with a message, at most */

/*
 * Send a message of `length` bytes (at least 1) with `count` handles, of which the receiver gets copies. -STOA_EBUSY: the other end has not
 * taken what was sent before. -STOA_ECLOSED. -STOA_ERANGE: longer than a message may be (about 200 KiB). -STOA_ELIMIT: too many
 * handles are on their way.
 */
int os_local_send(os_handle socket, const void *bytes, size_t length, const os_handle *passed, unsigned count);

/*
 * Receive a message of up to `room` bytes and `passed_room` handles, which are the caller's (0: ret_passed and ret_count may be NULL). Whatever else comes, no handle is left
 * open, and of those there is no room for none is ever opened; only `bytes` may have been written then. -STOA_EBUSY: nothing is there.
 * -STOA_ECLOSED: the other end is closed, and all that came before has been received; or it sent an empty message. -STOA_EFORMAT: there was more in
 * it than there is room for. -STOA_ELIMIT: handles came, and this process may not open as many. The message is lost with both.
 */
int os_local_receive(os_handle socket, void *bytes, size_t room, size_t *ret_length, os_handle *ret_passed,
		     unsigned passed_room, unsigned *ret_count);

/* The path as it is from the root, to a buffer of OS_PATH_ROOM. -STOA_ENAME: too long. */
int os_local_absolute(const char *path, char *ret_absolute);

/* ---- waiting ---- */

/* A set of handles to wait for; each is told as long as it is so. Closed with os_handle_close(). */
int os_poller_create(os_handle *ret_poller);
int os_poller_add(os_handle poller, os_handle handle,
		  uint64_t key);                           /* -STOA_EEXIST, -STOA_EINVAL: cannot be waited for */
void os_poller_remove(os_handle poller, os_handle handle); /* before it is closed */

struct os_poller_event {
	uint64_t key;
	bool readable; /* a message, a client, a raised notifier, or an ended process */
	bool ended;    /* the other end is closed; messages may be left */
};

/* 0: `*ret_count` of them, 1 to `room`; STOA_TIMED_OUT, with *ret_count untouched. The deadline is absolute; 0 does not wait; UINT64_MAX: none. */
int os_poller_wait(os_handle poller, uint64_t deadline, struct os_poller_event *events, unsigned room,
		   unsigned *ret_count);

/* Wait for one of up to 32 handles; OS_NO_HANDLE never is. 0: bit i of *ret_ready: handles[i] is readable or its other end is closed; STOA_TIMED_OUT. */
#define OS_WAIT_READABLE_MAX 32
int os_wait_readable(const os_handle *handles, unsigned count, uint64_t deadline, uint32_t *ret_ready);

/* Has the other end of a connected socket been closed? Messages may be left. */
bool os_local_ended(os_handle socket);

/*
 * A bell between two processes, of which neither trusts the other: two handles, one for each. A ring by either shows as readable on both until it is
 * cleared on either. Nothing that the other does to its handle makes these two wait, nor ends this one: as notifiers are one object
 * with one mode, whoever has a copy could make all others wait for it.
 */
int os_bell_create(os_handle ret_bells[2]);
void os_bell_ring(os_handle bell);
void os_bell_clear(os_handle bell);

/*
 * Whoever waits in here with something on its stack that others know of must not be ended by the cancellation of its thread: that is held off until
 * os_cancel_again(), which gets what this returned.
 */
int os_cancel_hold(void);
void os_cancel_again(int before);

/* ---- the machine ---- */

uint64_t os_memory_total(void); /* bytes; 0: not known */

/* The first run of committed pages of a memory object from `from` on. false: there is none. */
bool os_memory_next(os_handle memory, uint64_t from, uint64_t *ret_begin, uint64_t *ret_end);
uint64_t os_date(void); /* nanoseconds since 1970, in steps of a few milliseconds */

/* ---- a process of its own ---- */

/*
 * Run body(argument) in a new process, which is nobody's child, outlives this one and its terminal, and has of it only `handles` (at most
 * OS_DETACHED_HANDLES) and a copy of the `length` bytes at `argument` (at most OS_DETACHED_ARGUMENT). The process ends when the body returns.
 * It is named `name` (15 bytes), works in "/", ignores SIGINT, SIGHUP, SIGQUIT and SIGPIPE, and SIGTERM ends it.
 *
 * It comes from the middle of a program that may have any number of threads, of which it has none. So the body may not allocate from the
 * heap nor use what takes locks; error_set() makes no sentences there. Shared maps of the program are gone in it, and so is its memory but for
 * small pieces: the body uses what it has on its stack, its static data, and os_pages_allocate().
 *
 * The program is not told of it by SIGCHLD, nor by wait(2). -STOA_ELIMIT: no more processes; -STOA_ENOTSUP: before Linux 5.9, or no
 * /proc: then the body has not run.
 */
#define OS_DETACHED_HANDLES 4
#define OS_DETACHED_ARGUMENT 8192
int os_process_detach(const char *name, void (*body)(void *argument, const os_handle *handles), const void *argument,
		      size_t length, const os_handle *handles, unsigned count);

/* This process may open as many handles as the system lets it, from now on. Returns how many that is. */
uint32_t os_handles_allow(void);

uint32_t os_handles_limit(void); /* how many it may open as it is */

#endif
