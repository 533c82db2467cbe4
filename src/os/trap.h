/* SPDX-License-Identifier: MIT */
/*
 * The operating system's means to make pages on first touch, in the same terms as os.h: a *trap* is a map of a memory object in which
 * touches of absent pages, and first writes, are told to this process before they happen; and what tells them is a *fault handler*.
 *
 * Pages are in the object for everybody at once; access is each map's own. Offsets are of whole pages, in the object.
 */
#ifndef OS_TRAP_H
#define OS_TRAP_H

#include <os/os.h>

enum os_trap_way {
	OS_TRAP_USERFAULT, /* any number of processes; whoever has a map's remote can forbid writes in it */
	OS_TRAP_PROTECT,   /* page protection and a second map: one process only */
	OS_TRAP_SERVED, /* as the first, but whoever touches sleeps until somebody who takes its events has made the page */
};
#define OS_TRAP_WAYS 3

/* Does this system, for this process, have that way? If not: -STOA_ENOTSUP, with what is lacking in the sentence. Tried anew each time. */
int os_trap_probe(enum os_trap_way way);

/* The least unit that a trap of that way can have. */
uint32_t os_trap_unit(enum os_trap_way way);

struct os_trap;

/*
 * Of the memory at least `length` bytes, and made by os_memory_create(), but for OS_TRAP_PROTECT: there the trap has memory of its own. Offsets and
 * lengths in the calls below, but for arming, are of whole units.
 */
struct os_trap_plan {
	enum os_trap_way way;
	os_handle memory;
	uint64_t length;
	uint32_t unit; /* a power of two */
	bool writable; /* else nobody ever asks for writing */
};

/* A map of whichever process; where calls below take one, NULL is this process's own. -STOA_ECLOSED, without a sentence: it is gone. */
struct os_trap_other {
	os_handle remote;
	uint64_t base;
};

/*
 * Map [0, length) of the object so that every touch faults. A forked child does not have the map. The caller keeps `memory`, which must
 * stay open.
 */
int os_trap_map(const struct os_trap_plan *plan, struct os_trap **ret_trap);
void os_trap_unmap(struct os_trap *trap);
void os_trap_forget(struct os_trap *trap); /* in a forked child, where something else may be at that place */
void *os_trap_address(const struct os_trap *trap);

/*
 * From now on touches in the range do as the pages there say: absent ones fault, present ones can be read, and written once
 * os_trap_allow() says so. Costs 8 bytes for each page, so it is done for a part when that is first touched. Again: harmless, but that writes are told again.
 */
int os_trap_arm(struct os_trap *trap, uint64_t offset, uint64_t length);

/*
 * Put pages there, whole, with these bytes; those that are there already stay as they are. In this map they can be written if `writable`, in
 * no other (OS_TRAP_SERVED: in no other they can be touched at all, before os_trap_show()). -STOA_ENOMEM. OS_TRAP_WRITTEN: done, but somebody wrote to them before that could be forbidden: they are not as `bytes` any more.
 */
#define OS_TRAP_WRITTEN 1
int os_trap_fill(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length,
		 const void *bytes, bool writable);

/* Is the page there, for everybody? Not to be asked while others put it there, or take it away. */
bool os_trap_has(const struct os_trap *trap, uint64_t offset);

/* Writes to these pages do not fault any more, in this map. */
int os_trap_allow(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

/*
 * Writes fault from now on, whether pages are there or not; when this returns none is under way. The second does it in the map at `base` of
 * whichever process has `remote`: -STOA_ECLOSED, without a sentence, when that process is gone.
 */
int os_trap_forbid(struct os_trap *trap, uint64_t offset, uint64_t length);
int os_trap_forbid_remote(os_handle remote, uint64_t base, uint64_t offset, uint64_t length);

/* Copy pages out that are there, and cannot be taken away meanwhile. */
int os_trap_read(struct os_trap *trap, uint64_t offset, uint64_t length, void *bytes);

/*
 * Take the pages away from everybody. Where they were forbidden to be written that is forgotten, in all maps: forbid it again before a page
 * is put there. (OS_TRAP_PROTECT: not forgotten.) -STOA_ELIMIT: they are gone, but somebody else's memory is at their place.
 */
int os_trap_empty(struct os_trap *trap, uint64_t offset, uint64_t length);

/* What can be given to other processes. The trap's; OS_NO_HANDLE where there is none. */
os_handle os_trap_remote(const struct os_trap *trap);

/* ---- OS_TRAP_SERVED: touches wait ---- */

/*
 * Touches of pages that are there, but were never shown in that map, or were taken away since, are told as well. Show them: they can be read
 * then, also where they were poisoned. OS_TRAP_WRITTEN: and written, as this system cannot forbid it at once. -STOA_EFORMAT: one is not there.
 */
int os_trap_show(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

/*
 * From now on touches of these pages, which are not shown there, fail: a fault, or EFAULT in a system call. -STOA_ENOTSUP. STOA_EXISTED: not of
 * all; some are shown, or poisoned, or were forbidden to be written, which leaves a trace also where they were taken away.
 */
int os_trap_poison(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

/* Such traces go, and what is shown there can be written. */
int os_trap_open(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

/* Undo that in this process's own map: touches are told again. Not while others rely on the pages' being there. */
int os_trap_forgive(struct os_trap *trap, uint64_t offset, uint64_t length);

/* Whoever waits for pages in the range touches again. */
int os_trap_wake(struct os_trap *trap, const struct os_trap_other *other, uint64_t offset, uint64_t length);

struct os_trap_event {
	uint64_t offset; /* of the touch */
	bool write;
	uint32_t thread; /* as os_thread_id() in its own process */
};

/* The next touch that waits: 0; STOA_CLOSED: none. -STOA_EFORMAT: such a remote never tells of any. */
int os_trap_take(struct os_trap *trap, const struct os_trap_other *other, struct os_trap_event *ret_event);

/* Do system calls that touch the range wait, too? Else they fail with EFAULT. And can os_trap_poison() reach other processes' maps? */
bool os_trap_serves_calls(const struct os_trap *trap);
bool os_trap_poisons_others(void); /* known once one was probed */

/* For tests: what this process is to do without, as if the system had not got it. */
#define OS_WITHOUT_POISON (1u << 0)  /* Linux 6.6 */
#define OS_WITHOUT_SHOWING (1u << 1) /* without a moment in which it can be written: Linux 6.4 */
#define OS_WITHOUT_CALLS (1u << 2)   /* the privilege to handle touches by system calls */
#define OS_WITHOUT_GUARDS (1u << 3)  /* guard pages: Linux 6.15 */
extern _Atomic uint32_t os_trap_without;

/* Waiting for any of several handles. One thread waits at a time; the other calls may be made by any. */
struct os_watch;
int os_watch_create(struct os_watch **ret_watch);
void os_watch_close(struct os_watch *watch);

/* `token` is returned when there is something to take from it; `once`: when something more has come. Removed before it is closed. */
int os_watch_add(struct os_watch *watch, os_handle handle, uint64_t token, bool once);
void os_watch_remove(struct os_watch *watch, os_handle handle);

/* Let who waits return OS_WATCH_POKED; kept if nobody waits. Or what it returns when `timeout` nanoseconds are over. */
#define OS_WATCH_POKED UINT64_MAX
#define OS_WATCH_NOTHING (UINT64_MAX - 1)
void os_watch_poke(struct os_watch *watch);
uint64_t os_watch_wait(struct os_watch *watch, uint64_t timeout);

/* ---- the handler ---- */

enum os_fault { OS_FAULT_READ, OS_FAULT_WRITE, OS_FAULT_UNKNOWN };

/*
 * Have `handle` called for faults of this process, in the thread that touched, whose other signals wait meanwhile. True: try the touch again.
 * False: it is none of ours, and goes to whatever handled it before. What it calls must be fit for a signal handler of a fault at
 * that very place, and must return. Installed once, for good; another call with the same function does nothing.
 */
int os_fault_install(bool (*handle)(void *address, enum os_fault fault));
bool os_fault_installed(void);

/* Send SIGBUS, with the place as its value, to that thread of this process, which is just touching it. */
void os_fault_raise(uint32_t thread, const void *address);

/* ---- a board: handles left for whoever comes later ---- */

/*
 * Two ends of one queue in the system. What was posted stays until it is taken, whoever posted it has ended or not; looking leaves it
 * there. All calls for one board must be made by one at a time, of all processes.
 */
#define OS_NOTE_SIZE 32
int os_board_create(os_handle ret_ends[2]);
int os_board_post(const os_handle ends[2], const void *note, os_handle passed); /* -STOA_EBUSY: it is full */

/*
 * Call `visit` for each note until it returns non-zero. `passed` is its to keep if it sets *ret_kept. -STOA_ELIMIT: this process can have no
 * more handles; some notes were not visited.
 */
int os_board_look(const os_handle ends[2],
		  int (*visit)(const void *note, os_handle passed, bool *ret_kept, void *argument), void *argument);

/* Take the oldest away. 0, STOA_CLOSED without a sentence: there is none. */
int os_board_drop(const os_handle ends[2]);

#endif
