/* SPDX-License-Identifier: MIT */
/*
 * The operating system as the rest of stoa sees it: one contract, implemented once per system under src/os/<system>/.
 * Nothing here is bent to one system; what a system cannot do is a capability or -STOA_ENOTSUP. Every function returns 0 or
 * a negative -STOA_E* with error_set() done, unless said otherwise, and leaves its outputs alone on failure.
 */
#ifndef OS_OS_H
#define OS_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor or HANDLE. */
typedef intptr_t os_handle;
#define OS_NO_HANDLE ((os_handle)-1)

/* ---- clock, threads, randomness ---- */

/* Nanoseconds that never go back, the same for all processes. Whether they count while the machine sleeps differs. */
uint64_t os_now(void);
uint32_t os_thread_id(void);      /* as life words have it, at most OS_LIFE_ID; may be a system call */
bool os_thread_runs(uint32_t id); /* has a thread of this process that id? */
uint32_t os_user_id(void);        /* a number that stands for the user; 0 where one user may do everything */
void os_yield(void);
unsigned os_cpu_count(void); /* running in this machine */
int os_random(void *bytes, size_t length);

/* Run `body(argument)` in a detached thread, which takes no signals of the program's, named `name` (at most 15 bytes). */
int os_thread_start(const char *name, void (*body)(void *argument), void *argument);

/*
 * os_thread_exit_hook(): once per process, name what to call when a thread ends. It is called for each thread whose
 * os_thread_exit_value() is not NULL, with that value; in that thread, and not where the whole process ends. It serves to let go
 * early and to free memory: nothing may depend on it, as threads are killed, too. Setting a value allocates nothing, but where the system
 * has few places for such values in the thread itself, and other hooks took them before (32 in glibc).
 */
int os_thread_exit_hook(void (*leave)(void *value));
int os_thread_exit_value(void *value);

/*
 * A lock of this process alone, for slow paths; zero is unlocked. Its holder is not ended by what can wait (cancellation of a
 * thread), so that it is never left locked while the process goes on.
 */
struct os_lock {
	_Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody may sleep */
	int held_off;          /* the system half's */
};
void os_lock(struct os_lock *lock);
void os_unlock(struct os_lock *lock);

/*
 * Have the functions called around each fork of this process: before, then one of the others. Systems without fork never
 * call them.
 */
int os_fork_hooks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/* How many forks lie between this process and the one that first asked: differs between a process and its children. */
uint64_t os_fork_generation(void);
extern _Atomic uint64_t os_forks; /* the same, for fast paths; counted from when it was first asked for */

/* ---- sleeping and waking: words in memory shared between processes ---- */

enum os_wait_kind {
	OS_WORD_WOKEN,    /* whoever changes it wakes */
	OS_WORD_LIFE,     /* the low half of a life word: its owner's end wakes as well */
	OS_WORD_COMPARED, /* nobody wakes it: it is only compared before the sleep */
};

struct os_wait_word {
	const _Atomic uint32_t *word;
	uint32_t value; /* sleep only while *word == value */
	enum os_wait_kind kind;
};
#define OS_WAIT_WORDS_MAX 128

/*
 * Sleep until some word is woken or differs from its value, or the deadline (absolute; UINT64_MAX never) passes. Spurious
 * returns are allowed; callers re-check. Returns the number of a word that was woken, OS_WAIT_CHANGED when none is known to have
 * been (a value differed, a signal came), or OS_WAIT_TIMED_OUT. Never fails.
 */
#define OS_WAIT_CHANGED (-1)
#define OS_WAIT_TIMED_OUT (-2)
int os_wait(const struct os_wait_word *words, unsigned count, uint64_t deadline);

/* Wake every sleeper on the word, in all processes that sleep on it in the same memory; see os_memory_identify(). */
void os_wake(const _Atomic uint32_t *word);

/*
 * With os_capabilities()->relays_wakes; else nothing is done. Should this thread die, from now until os_wake_uncover(), the
 * system wakes one sleeper on `word`, whose value must be 0. A
 * setter covers the time between its store and its os_wake() with it; a sleeper passes on a wake that it would take to its
 * grave. One word per thread at a time: returns what was covered before, to be given back to os_wake_uncover(). No
 * system call.
 *
 * The word must never hold thread ids: they repeat across containers, and a system that finds this thread's there would
 * take this thread for its owner.
 */
const void *os_wake_cover(const _Atomic uint32_t *word);
void os_wake_uncover(const void *before);

/*
 * Barriers on others, so that a frequent store followed by a load needs none of its own when a rare one elsewhere can impose it:
 * - os_barrier_join(): from now on this process's threads are reached by the barriers that any process imposes. false: the system
 *   cannot do that; each thread must pass barriers of its own.
 * - os_barrier_can_impose(), and os_barrier_impose(): every thread of the processes that have joined passes a full barrier, as does the
 *   caller. false: not done.
 */
bool os_barrier_join(void);
bool os_barrier_can_impose(void);
bool os_barrier_impose(void);

/* The half of a 64-bit word that is slept on, and the other. Little-endian. */
static inline const _Atomic uint32_t *os_low_half(const _Atomic uint64_t *word)
{
	return (const _Atomic uint32_t *)(const void *)word;
}

static inline const _Atomic uint32_t *os_high_half(const _Atomic uint64_t *word)
{
	return (const _Atomic uint32_t *)(const void *)word + 1;
}

/* ---- life words: proof that a thread has stopped running ---- */

/*
 * The shared part of a life page, at the page's end. `life` holds the owner's thread id, 0 when dead, and two flags;
 * `generation` counts owners. Both change together, in one 64-bit compare-and-swap.
 */
#define OS_LIFE_OFFSET \
	4072 /* in the page, so that what a system keeps behind a life word is in the next, private page */
#define OS_LIFE_ID UINT32_C(0x3fffffff)
#define OS_LIFE_DIED UINT32_C(0x40000000)
#define OS_LIFE_WAITERS UINT32_C(0x80000000)

/* The private half: in this process only, zero in a forked child. */
struct os_life {
	uint64_t links[2];         /* the system half's: where a system marks the words itself, its list of them */
	_Atomic uint64_t *word;    /* the life word: generation << 32 | life */
	_Atomic uint64_t identity; /* roster: what this thread writes into lock words; 0: not a member */
	_Atomic uint64_t nobody;   /* always 0: the word that names no owner, for one that has to be let go of */
};

/*
 * Map the page at `offset` of `memory`, and make a private half. The mapping stays until os_life_leave(). Nothing is
 * claimed yet. -STOA_ENOTSUP: the memory has no identity.
 */
int os_life_map(os_handle memory, uint64_t offset, struct os_life **ret_life);
void os_life_unmap(struct os_life *life);

/*
 * The life word as it is now, with an id only if its owner runs; where the system does not mark the words of those who end, this
 * finds it out and, if the map may be written, does. The second reads it at `offset` of the memory, without a map: 0 beyond its length.
 */
uint64_t os_life_look(_Atomic uint64_t *word);
int os_life_read(os_handle memory, uint64_t offset, uint64_t *ret_word);

/*
 * Try to become the owner of a mapped life word that was seen as `seen` (dead): the word becomes {generation + 1, this
 * thread | its waiters flag}, and from the same instant the end of this thread, however it ends, shows to all
 * (os_life_look()) and wakes a sleeper on the word. true when done, and *ret_word is the new value; wake sleepers if it has OS_LIFE_WAITERS.
 */
bool os_life_enter(struct os_life *life, uint64_t seen, uint64_t *ret_word);

/*
 * The calling thread, owner of `life`, stops being so, as if it had ended; the page is unmapped. Its death in here is covered by
 * `relay` (NULL after os_life_retire()).
 */
void os_life_leave(struct os_life *life, const _Atomic uint32_t *relay);

/*
 * Let go of the memory object on behalf of another thread of this process, which owns `life`: its life word there is marked
 * dead and its sleepers are woken, where that cannot be otherwise on `relay`, which they sleep on too; the private half stays until
 * its thread calls os_life_leave().
 */
void os_life_retire(struct os_life *life, const _Atomic uint32_t *relay);

/* ---- the end of other processes, and descriptors to poll ---- */

/* A handle to a process by id. ENOENT, EACCES, ELIMIT. */
uint64_t os_process_id(void);
int os_process_open(int64_t id, os_handle *ret_process);
bool os_process_ended(os_handle process);

/*
 * Call `ended(argument)` once, from a helper thread, when the process has ended. Stop with os_process_unwatch(), after which
 * it is not running and will not run. A forked child must watch anew.
 */
struct os_process_watch;
int os_process_watch(os_handle process, void (*ended)(void *argument), void *argument,
		     struct os_process_watch **ret_watch);
void os_process_unwatch(struct os_process_watch *watch);

/* A handle that the system's wait for several (poll, WaitForMultipleObjects) finds ready after raise, until clear. Closed with os_handle_close(). */
int os_notifier_create(os_handle *ret_notifier);
void os_notifier_raise(os_handle notifier);
void os_notifier_clear(os_handle notifier);

/* ---- capabilities: probed once, when first asked ---- */

struct os_capabilities {
	bool relays_wakes;  /* os_wake_cover() works, for sleepers of os_wait() too */
	bool waits_on_many; /* os_wait() sleeps on several words at once */
	bool life_words;    /* os_life_* work */
	bool lives_by_name; /* what proves a life word is a kernel object with a name; else the system marks the word itself */
};
const struct os_capabilities *os_capabilities(void);

/* Try os_wake_cover() for real, with threads that die; takes milliseconds. For diagnosis and tests. */
bool os_probe_relay(void);

/* ---- memory objects, maps, names, files, transfer ---- */

#define OS_PAGE UINT64_C(4096)
#define OS_HUGE_PAGE (UINT64_C(2) << 20)

/* Memory for this process's own structures, zeroed; NULL with -STOA_ENOMEM's sentence set. Freed with os_free(). */
void *os_allocate(size_t bytes);
void os_free(void *allocation);

/* The same in whole pages, and not from an allocator: so also in a fault handler, wherever the touch was. */
void *os_pages_allocate(uint64_t bytes);
void os_pages_free(void *pages, uint64_t bytes);

void os_handle_close(os_handle handle);

/*
 * A memory object is a run of bytes that several processes map. It is made for at most `size` bytes and begins with length
 * 0; its length grows by os_memory_set_length() (before anybody else knows the object) and os_commit(). What lies beyond the
 * length faults when touched. Handles are not inherited by new programs unless os_handle_inherit() says so.
 */
#define OS_MEMORY_EXECUTABLE (1u << 0) /* may be mapped executable */
#define OS_MEMORY_SHRINKABLE (1u << 1) /* the length may be cut; otherwise the system refuses it to every holder */

int os_memory_create(uint64_t size, uint32_t flags, os_handle *ret_memory);

/*
 * All processes know this memory by the same 128 random bits. Systems that find sleepers, and the living, by name and not by
 * their place in memory make the names of it. To be said before the maps whose words are slept on. -STOA_ENOTSUP: this process
 * does not see the names that others give such things of this memory, so it finds neither; all else works.
 */
int os_memory_identify(os_handle memory, const uint64_t identity[2]);

int os_memory_set_length(os_handle memory, uint64_t length);

/* Copy bytes in and out without a map. A read beyond the object's length gives fewer bytes. */
int os_memory_write(os_handle memory, uint64_t offset, const void *bytes, size_t length);
int os_memory_read(os_handle memory, uint64_t offset, void *bytes, size_t length, size_t *ret_read);

/* Restrictions that the system imposes on every holder of the object, for ever. */
#define OS_SEAL_GROW (1u << 0)
#define OS_SEAL_SHRINK (1u << 1)
#define OS_SEAL_FUTURE_WRITE (1u << 2)
#define OS_SEAL_WRITE (1u << 3)
#define OS_SEAL_SEALS (1u << 4) /* no others can be added */
/* -STOA_ENOTSUP: this kind of object takes no seals. -STOA_EBUSY: somebody has a writable map. */
int os_memory_seal(os_handle memory, uint32_t seals);

struct os_memory_info {
	uint64_t length;
	uint64_t resident;    /* bytes of memory or disk behind it */
	uint64_t identity[2]; /* equal for handles of one object, as long as one of them is open */
	uint32_t owner;       /* user id */
	uint32_t seals;       /* OS_SEAL_* */
	bool takes_seals;
	bool regular; /* bytes that can be mapped, in pages of OS_PAGE; not a directory, pipe, device or huge-page pool */
	bool in_memory; /* its pages are memory that only it holds, not a cache of a disk */
	bool writable;  /* through this handle */
};
int os_memory_info(os_handle memory, struct os_memory_info *ret_info);

/*
 * The seals alone; 0 for what takes none. Asks the system about memory only: a descriptor of a file system that some other
 * process serves is not touched, and so cannot keep the caller waiting.
 */
uint32_t os_memory_seals(os_handle memory);

/* The length alone; 0 when even that fails. */
uint64_t os_memory_length(os_handle memory);

/* May [offset, offset + length), in whole pages, be read through a map, by one who cannot commit it? */
bool os_memory_there(os_handle memory, uint64_t offset, uint64_t length);

/*
 * A second handle to the same object, with OS_WRITE or without, and with OS_EXEC if this one may be mapped so (a system may not
 * tell that apart). A read-only one of an unnamed object cannot be turned into a writable one by another user; the system enforces that.
 */
int os_memory_duplicate(os_handle memory, uint32_t access, os_handle *ret_memory);

/*
 * Let programs that this process turns into, or starts and lets inherit, have the handle under the same number. There it is
 * "inherited" until os_handle_keep() makes it private again.
 */
int os_handle_inherit(os_handle handle);
bool os_handle_inherited(os_handle handle);
int os_handle_keep(os_handle handle);

/* ---- maps ---- */

#define OS_READ (1u << 0)
#define OS_WRITE (1u << 1)
#define OS_EXEC (1u << 2)
#define OS_PRIVATE (1u << 3) /* copy on write */

/*
 * Map [offset, offset + length) of the object, present or not; offset in whole pages, the address at offset's remainder
 * modulo OS_HUGE_PAGE when length is at least that. Nothing is allocated, but for private maps where the system wants to be sure of
 * their copies. Where it can be told so the map is not part of dumps of the process.
 */
int os_map(os_handle memory, uint64_t offset, uint64_t length, uint32_t access, void **ret_address);

/* Replace a map by one through which nobody can write to the object, at the same address and without a gap. */
int os_map_read_only(os_handle memory, uint64_t offset, void *address, uint64_t length);
int os_unmap(void *address, uint64_t length);
int os_protect(void *address, uint64_t length, uint32_t access);

/* Read the pages in. -STOA_EIO: a page cannot be had. Does not need to be quick to stop: call it in steps. */
int os_populate(os_handle memory, uint64_t offset, void *address, uint64_t length);

/* ---- commit ---- */

/* A mapped part of an object, as the calls below need it. */
struct os_extent {
	os_handle memory;
	unsigned char *address;
	uint64_t offset; /* in the object, of the byte at `address` */
	bool in_memory;
	bool cannot_shrink; /* sealed so */
	uint32_t huge;      /* OS_HUGE_*; what os_huge_apply() was told */
};

#define OS_HUGE_NEVER 0
#define OS_HUGE_WHERE_OFFERED 1 /* for whole blocks of OS_HUGE_PAGE */
#define OS_HUGE_REQUIRED 2      /* also where it takes long; commit whole blocks then */

/*
 * Back bytes [from, to) of the extent with memory (or disk blocks), growing the object's length to cover `to`, never cutting it. *ret_done,
 * also on failure, tells how far from `from` on the range is backed for sure. Limits of the process, its memory groups and the host are
 * looked at first: -STOA_ELIMIT, -STOA_ENOMEM. Any number of processes may do this at once.
 */
int os_commit(const struct os_extent *extent, uint64_t from, uint64_t to, uint64_t *ret_done);

/* The look at limits alone, for who backs the bytes otherwise: os_memory_write() makes the pages that it writes. */
int os_commit_allowed(const struct os_extent *extent, uint64_t from, uint64_t to);

/* Give the pages back; they read as zero. The length stays. -STOA_ERIGHTS where a seal forbids it; -STOA_ENOTSUP. */
int os_discard(const struct os_extent *extent, uint64_t from, uint64_t to);

/* Cut the object's length to `length` bytes of the extent. -STOA_ENOTSUP, -STOA_EBUSY. */
int os_cut(const struct os_extent *extent, uint64_t length);

/* Start writing [from, to) to the file, or wait until it is on stable storage. */
int os_flush(const struct os_extent *extent, uint64_t from, uint64_t to, bool durable);

/* May an object be made as long as `length`? -STOA_ELIMIT with the limit in the sentence. */
int os_length_allowed(uint64_t length);

/* Tell the map what pages to use. -STOA_ENOTSUP: wanted, and the system has none to offer. */
bool os_huge_offered(const char **ret_setting); /* the system's setting, for messages */
int os_huge_refused(void);                      /* -STOA_ENOTSUP, with what is lacking in the sentence */
void os_huge_apply(void *address, uint64_t length, uint32_t huge);

/* ---- names ---- */

/*
 * Names lie in two spaces: the user's own, where what others made is never taken for it, and the host's. The user's own may be that
 * of a login session. A name refers to a memory object and a short record. While it is in use a transient name stays; when its
 * last user lets go or dies, it and its object are gone for whoever looks next.
 */
#define OS_NAME_GLOBAL (1u << 0)
#define OS_NAME_PERSISTENT (1u << 1)
#define OS_NAME_WORLD_READABLE (1u << 2)
#define OS_NAME_READ_ONLY (1u << 3)  /* open: the handle only reads */
#define OS_NAME_SHRINKABLE (1u << 4) /* prepare: as OS_MEMORY_SHRINKABLE */
#define OS_NAME_RECORD_MAX 256

/* One handle's use of a name. */
struct os_name;

/* An object that os_name_publish() can give a name to, as yet seen by nobody. */
int os_name_prepare(const char *name, uint32_t flags, uint64_t size, os_handle *ret_memory);

/*
 * Give it the name, all or nothing. -STOA_EEXIST: the name is taken; the object stays nameless. -STOA_EACCES: the place is
 * somebody else's.
 */
int os_name_publish(os_handle memory, const char *name, uint32_t flags, const void *record, size_t record_length,
		    struct os_name **ret_name);

/*
 * Open the object that has the name and begin to use it. *ret_record_length is at most OS_NAME_RECORD_MAX. *ret_name is NULL
 * for an object of another user, which can be read but not kept.
 */
int os_name_open(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 struct os_name **ret_name);

/*
 * Open it to look, reading only, without becoming a user: nothing is removed. *ret_left: its users are dead, so who opens or makes the name
 * next removes it. The record of another user's object cannot be read.
 */
int os_name_look(const char *name, uint32_t flags, os_handle *ret_memory, void *record, size_t *ret_record_length,
		 bool *ret_left);

/* Let go. The last user of a transient name removes it. */
void os_name_close(struct os_name *name);

/* Remove the name now, whoever uses it. */
int os_name_unlink(const char *name, uint32_t flags);

/*
 * For os_handle_inherit(): what keeps the use alive (OS_NO_HANDLE for NULL), and the way back (NULL for OS_NO_HANDLE). Disown is
 * close without letting go: the handle stays open.
 */
os_handle os_name_handle(const struct os_name *name);
int os_name_adopt(os_handle handle, struct os_name **ret_name);
void os_name_disown(struct os_name *name);

struct os_name_entry {
	const char *name;
	uint32_t flags; /* OS_NAME_GLOBAL, OS_NAME_PERSISTENT, OS_NAME_WORLD_READABLE */
	uint32_t owner;
	bool in_use;
};

/* Call `visit` for each name of the space until it returns non-zero; that is the result. */
int os_name_list(uint32_t flags, int (*visit)(const struct os_name_entry *entry, void *argument), void *argument);

/* Remove what dead processes of this user left in the space; *ret_removed counts names. */
int os_name_sweep(uint32_t flags, uint32_t *ret_removed);

/* ---- files ---- */

int os_file_open(const char *path, bool writable, os_handle *ret_memory);

/*
 * Make a user's file, for this user alone, that nobody finds under its path before os_file_publish(): -STOA_EEXIST, from either, when
 * something is there. A system that has no files without a name makes it with one. Who does not come as far calls os_file_unmake()
 * instead of os_handle_close(): then nothing is left, unless others already use what they found.
 */
int os_file_prepare(const char *path, os_handle *ret_memory);
int os_file_publish(os_handle memory, const char *path);
void os_file_unmake(os_handle memory, const char *path);

/* Cut or lengthen it; what is added reads as zeros. */
int os_file_set_length(os_handle file, uint64_t length);

/* Return when what was written to the file, by whichever process, and its length are on stable storage. After an error it is unknown what is. */
int os_file_sync(os_handle file);

/* The same of the path's last part: that it is there, or is not. Systems that cannot be told so do it by themselves. */
int os_file_sync_name(const char *path);

/* The one path of an open file, by which others find it too, through whatever links they came. -STOA_ENOTSUP where it has several, or none. */
#define OS_PATH_ROOM 4096
int os_file_path(os_handle file, char path[OS_PATH_ROOM]);

/*
 * Files that the library keeps beside the user's: opened, or made, for this user alone, to read and write, and never through a
 * link; whether a path still leads to what was opened; removed from there.
 */
int os_file_open_own(const char *path, bool create, os_handle *ret_file);
bool os_file_is_at(os_handle file, const char *path);
int os_file_remove(os_handle file, const char *path);

/*
 * Take, change or give back a lock on a byte of a file: OS_LOCK_*. It is the handle's, and its copies' after a fork; it goes with the last of
 * them, so with the process. What is locked can still be read and written. -STOA_EBUSY without `wait`: somebody has it.
 */
enum os_lock_kind { OS_LOCK_NONE, OS_LOCK_SHARED, OS_LOCK_EXCLUSIVE };
int os_file_lock(os_handle file, unsigned byte, enum os_lock_kind kind, bool wait);

/* ---- transfer ---- */

/*
 * Send a message with `count` handles over what connects two processes here, a local socket or a named pipe; receive one, of exactly
 * `length` bytes and so many handles. Where only processes of one user can hand each other handles, another user's message is
 * -STOA_EACCES.
 */
#define OS_PASSED_MAX 4
int os_send(os_handle socket, const void *bytes, size_t length, const os_handle *passed, unsigned count);
int os_receive(os_handle socket, void *bytes, size_t length, os_handle *ret_passed, unsigned count,
	       uint32_t *ret_sender);
#define OS_SENDER_UNKNOWN UINT32_MAX

/*
 * The user at the other end, as the system noted it when the two were connected; of a pair, who made it. OS_SENDER_UNKNOWN
 * where it does not tell.
 */
int os_socket_peer(os_handle socket, uint32_t *ret_user);

/* ---- plain kernel objects, shared by name with programs that are not ours ---- */

enum os_kernel_kind { OS_KERNEL_MUTEX = 1, OS_KERNEL_EVENT, OS_KERNEL_SEMAPHORE };

struct os_kernel_options {
	enum os_kernel_kind kind;
	bool may_open, may_create;
	bool may_wait, may_signal; /* of this handle; a mutex is locked and unlocked by who may wait */
	bool owned;                /* created: a mutex is the caller's, */
	bool signaled, manual;     /* an event is set, and stays so until it is reset, */
	uint32_t initial, maximum; /* a semaphore has that count of that many */
};

/*
 * 0 when created, STOA_EXISTED when opened; -STOA_ENOTSUP where there are no such objects (then the functions below are never
 * called), -STOA_EKIND, -STOA_ENOENT, -STOA_EEXIST. Closed with os_handle_close().
 */
int os_kernel_open(const char *name, const struct os_kernel_options *options, os_handle *ret_object);

/* Unlock, set, post `count`. -STOA_ENOTOWNER, -STOA_EOVERFLOW. */
int os_kernel_signal(os_handle object, enum os_kernel_kind kind, uint32_t count);
int os_kernel_reset(os_handle event);

/* Wait for one of them and take it. 0, STOA_OWNER_DIED, STOA_TIMED_OUT. */
#define OS_KERNEL_WAIT_MAX 32
int os_kernel_wait(const os_handle *objects, unsigned count, uint64_t deadline, unsigned *ret_index);

/* A memory object of that name. `size` and `committed` count for one that is created; *ret_size is what it has. */
struct os_kernel_section {
	bool may_open, may_create, writable, committed;
	uint64_t size;
};
int os_kernel_section(const char *name, const struct os_kernel_section *section, os_handle *ret_memory,
		      uint64_t *ret_size);

/* What the memory functions have found on this system. */
struct os_memory_capabilities {
	bool noexec_seal;     /* unnamed memory is sealed against execution */
	bool populate;        /* os_populate() without copying */
	bool read_only_maps;  /* read-only shared maps of OS_SEAL_WRITE objects */
	bool huge_on_request; /* shared memory uses huge pages when asked */
	bool gives_back;      /* os_discard(), os_cut() */
};
const struct os_memory_capabilities *os_memory_capabilities(void);

#endif
