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

uint64_t os_now(void); /* monotonic nanoseconds */
uint32_t os_thread_id(void); /* as the kernel writes it into life words; cached; right after fork too */
uint32_t os_user_id(void);
void os_yield(void);
unsigned os_cpu_count(void); /* that this process may run on */
int os_random(void *bytes, size_t length);

/* Run `body(argument)` in a detached thread with all signals blocked, named `name` (at most 15 bytes). */
int os_thread_start(const char *name, void (*body)(void *argument), void *argument);

/*
 * Call `leave(value)` when the calling thread ends, for each value registered with the key. One key per process; set with
 * os_thread_exit_value().
 */
int os_thread_exit_hook(void (*leave)(void *value));
int os_thread_exit_value(void *value);

/* ---- sleeping and waking: words in memory shared between processes ---- */

struct os_wait_word {
	const _Atomic uint32_t *word;
	uint32_t value; /* sleep only while *word == value */
};
#define OS_WAIT_WORDS_MAX 128

/*
 * Sleep until some word is woken or differs from its value, or the deadline (absolute; UINT64_MAX never) passes. Spurious
 * returns are allowed; callers re-check. 0, or STOA_TIMED_OUT. Never fails: an impossible request returns 0 after a yield.
 */
int os_wait(const struct os_wait_word *words, unsigned count, uint64_t deadline);

/* Wake every sleeper on the word, in all processes. */
void os_wake(const _Atomic uint32_t *word);

/*
 * Should this thread die, from now until os_wake_clear(), the system wakes one sleeper on `word` (if the word's low 30
 * bits are zero, see capabilities.relays_wakes). A setter covers the time between its store and its os_wake() with it, a
 * sleeper passes on a wake that it might take to its grave. One word per thread at a time. No system call.
 */
void os_wake_on_death(const _Atomic uint32_t *word);
void os_wake_clear(void);

/* ---- life words: proof that a thread has stopped running ---- */

/*
 * The shared part of a life page, at the page's end. `life` holds the owner's thread id, 0 when dead, and two flags;
 * `generation` counts owners. Both change together, in one 64-bit compare-and-swap.
 */
#define OS_LIFE_OFFSET 4072 /* in the page; what follows a life word lies in the next, private page */
#define OS_LIFE_ID UINT32_C(0x3fffffff)
#define OS_LIFE_DIED UINT32_C(0x40000000)
#define OS_LIFE_WAITERS UINT32_C(0x80000000)

/* The private half: in this process only, zero in a forked child. */
struct os_life {
	uint64_t links[2];	   /* os: the kernel's list runs through here */
	_Atomic uint64_t identity; /* roster: what this thread writes into lock words; 0: not a member */
	_Atomic uint64_t *word;	   /* the life word: generation << 32 | life */
	_Atomic uint32_t abandoned; /* roster: the handle is closed, leave when this thread comes by */
};

/*
 * Map the page at `offset` of `memory` with its private half behind it. The mapping stays until os_life_leave(). Nothing is
 * claimed yet.
 */
int os_life_map(os_handle memory, uint64_t offset, struct os_life **ret_life);
void os_life_unmap(struct os_life *life);

/*
 * Try to become the owner of a mapped life word that was seen as `seen` (dead): the word becomes {generation + 1, this
 * thread | its waiters flag}, and from the same instant the system marks it OS_LIFE_DIED and wakes a sleeper when this
 * thread ends, however it ends. true when done, and *ret_word is the new value; wake sleepers if it has OS_LIFE_WAITERS.
 */
bool os_life_enter(struct os_life *life, uint64_t seen, uint64_t *ret_word);

/* The calling thread, owner of `life`, stops being so, as if it had ended; the page is unmapped. */
void os_life_leave(struct os_life *life);

/* ---- capabilities: probed once, when first asked ---- */

struct os_capabilities {
	bool relays_wakes;	/* a dying thread's pending wake is passed on also when the word is not zero */
	bool waits_on_many;	/* os_wait() sleeps on several words at once */
	bool life_words;	/* os_life_* work */
	bool noexec_seal;	/* unnamed memory can be sealed non-executable */
	bool huge_on_request;	/* shared memory uses huge pages when advised */
	bool populate;		/* pages can be brought in with errors returned */
};
const struct os_capabilities *os_capabilities(void);

/* ---- memory objects, maps, names, files, transfer ---- */

#define OS_PAGE UINT64_C(4096)

#endif
