/* SPDX-License-Identifier: MIT */
/*
 * The plain means of this system, which the library is measured against. Implemented once per system under bench/os/<system>/.
 * Functions return 0 or the system's error number, positive, for bench_fail_system(). What several processes use lies in memory
 * that they share, and may hold a handle that each of them has inherited under the same number.
 */
#ifndef BENCH_OS_RIVAL_H
#define BENCH_OS_RIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/atomic.h>

/* The targets in the cases' tables were set for this system and what it has as baselines. */
extern const bool rival_has_targets;

/* ---- memory ---- */

/* Private memory of small pages, usable and zero. */
int rival_memory_make(size_t length, void **ret_bytes);
void rival_memory_free(void *bytes, size_t length);

/* New memory with those bytes that nobody can write any more, as quick as the system makes it (stores only, so Linux). */
int rival_sealed_make(const void *bytes, size_t length, intptr_t *ret_handle);
/* Give it up; are these the bytes? */
bool rival_sealed_end(intptr_t handle, const void *bytes, size_t length);

/* Memory that is reserved and then committed part by part. */
struct rival_reserve {
	intptr_t handle;
	char *address;
	size_t length;
};
extern const char rival_commit_name[]; /* names are what the cases' tables say behind "baseline" */
extern const char rival_commit_page_name[];
int rival_reserve_make(size_t length, struct rival_reserve *ret_reserve);
int rival_reserve_commit(struct rival_reserve *reserve, size_t offset, size_t length);
void rival_reserve_free(struct rival_reserve *reserve);

/* ---- files ---- */

struct rival_file {
	intptr_t handle; /* -1: none */
	char path[4096]; /* UTF-8 */
};
extern const char rival_read_name[];
extern const char rival_copy_name[];
/* Where files go when nobody says; and whether they could go to a place. */
const char *rival_directory(void);
int rival_directory_check(const char *directory);
int rival_file_make(const char *directory, struct rival_file *ret_file);
int rival_file_read(struct rival_file *file, void *bytes, size_t length, uint64_t offset);
int rival_file_write(struct rival_file *file, const void *bytes, size_t length, uint64_t offset);
/* Nobody opens it any more: it loses its name, where a system lets go of names of open files. */
void rival_file_hide(struct rival_file *file);
/* The file is gone afterwards. */
void rival_file_end(struct rival_file *file);

/* ---- pages that are made on first touch ---- */

/*
 * The bare mechanism: touches of what is absent, and first writes, come to a handler in the touching thread, which calls fill() for a block into a
 * buffer of the thread's and has the system put it there; and that is all: no word, no budget, one process. Pages can be read then and written at
 * the next fault, unless the first touch was a write.
 */
struct rival_pages {
	void (*fill)(void *bytes, size_t length, uint64_t offset);
	size_t length, block;
	size_t keep; /* bytes that may be there, in order; then the oldest 64 blocks go. 0: all */
	char *address;
	intptr_t memory, faults;
	size_t first, end; /* with `keep`: what is there */
};
extern const char rival_pages_name[];
const char *rival_pages_missing(void);           /* why there is no such mechanism; NULL: there is one */
int rival_pages_make(struct rival_pages *pages); /* what is above `address` was filled in */
void rival_pages_end(struct rival_pages *pages);
/* From now on its faults are handled, and those of nobody else, until it is called with NULL. */
int rival_pages_use(struct rival_pages *pages);
int rival_pages_forget(struct rival_pages *pages); /* nothing is there */
int rival_pages_clean(struct rival_pages *pages);  /* what is there can be read only */

/* A file as memory; at most so many pages of it at a time are in the map, those that were touched last. */
struct rival_mapped {
	char *address;
	size_t length;
	unsigned keep, at;
	size_t *touched;
};
extern const char rival_mapped_name[];
int rival_mapped_make(const char *path, size_t length, unsigned keep, struct rival_mapped *ret_mapped);
void rival_mapped_end(struct rival_mapped *mapped);
unsigned char rival_mapped_touch(struct rival_mapped *mapped, size_t page);

/* So many threads at once, each with its number; the time from when the first begins until the last ends. 0, or the system's error number. */
int rival_threads(unsigned count, void (*work)(void *context, unsigned number), void *context, uint64_t *ret_time);

/*
 * A child of this process, which calls `work` with its end of a pair of connected sockets and ends then. Children die with us. rival_twin_end() kills
 * it and waits.
 */
struct rival_twin {
	intptr_t process;
	intptr_t socket;
};
int rival_twin_start(struct rival_twin *twin, void (*work)(void *context, int socket), void *context);
void rival_twin_end(struct rival_twin *twin);
/*
 * In a twin that has something to put in order at its end: it does not die with us any more, by its first thread; then any may wait until we have died, or
 * let go of it. Let go, and wait for its end.
 */
void rival_twin_outlast(void);
void rival_twin_wait(int socket);
void rival_twin_leave(struct rival_twin *twin);

/* ---- locks ---- */

/* A robust one is of several processes, and tells who died with it; a plain one may be of threads of one process. */
struct rival_lock {
	bool robust;
	char pad[63];
	union {
		intptr_t handle;
		char room[64];
	} body;
};
extern const char rival_lock_name[];
extern const char rival_robust_lock_name[];
int rival_lock_make(struct rival_lock *lock, bool robust);
void rival_lock_end(struct rival_lock *lock);
/*
 * So many times: take it, count, spin `inside` turns of an empty loop, give it back, spin `outside` turns. Here and not one by one, as
 * a call of ours around each would be measured too.
 */
int rival_lock_rounds(struct rival_lock *lock, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside);

/* A robust one, by itself; nobody has died with it. */
extern const char rival_locked_name[]; /* a ring behind it */
int rival_lock_take(struct rival_lock *lock);
int rival_lock_give(struct rival_lock *lock);

/* The helper of that name, with another library; false, and why there is none. */
bool rival_helper_path(const char *name, char *path, size_t size, const char **ret_missing);

/* ---- signals ---- */

struct rival_signal {
	_Atomic uint32_t word;
	uint32_t pad0;
	intptr_t handle;
	char pad1[48];
};
extern const char rival_signal_name[];
extern const char rival_any_name[];
const char *rival_any_missing(void); /* why one cannot wait for one of several; NULL: one can */
int rival_signal_make(struct rival_signal *signal);
void rival_signal_end(struct rival_signal *signal);
/* Signal number `turn`, from 1 on, is given and taken once, by one process each. What was written before is there after. */
int rival_signal_give(struct rival_signal *signal, uint32_t turn);
int rival_signal_take(struct rival_signal *signal, uint32_t turn);
/* Sleep on all `count`; the one that comes must be at `place`. */
int rival_signal_take_any(struct rival_signal *signals, unsigned count, unsigned place, uint32_t turn);

/* ---- pipes ---- */

struct rival_pipe {
	intptr_t from;
	intptr_t to;
};
extern const char rival_pipe_name[];
int rival_pipe_make(struct rival_pipe *pipe);
int rival_pipe_write(struct rival_pipe *pipe, const void *bytes, size_t length); /* all of it */
int rival_pipe_read(struct rival_pipe *pipe, void *bytes, size_t size, size_t *ret_got);
void rival_pipe_end(struct rival_pipe *pipe);

/* ---- searching a directory tree ---- */

extern const char rival_search_case[];
extern const char rival_search_about[];
extern const char rival_search_name[];
struct rival_search {
	const char *tree;    /* what is searched */
	const char *name;    /* what does it */
	const char *program; /* as peer_start() wants them */
	const char *arguments[5];
	const char *missing; /* why there is no such program; NULL: there is one */
};
void rival_search_choose(bool quick, struct rival_search *ret_search);
/* What this program does for `stoa bench --rival-search TREE`, where the system has no program of its own: the exit status, -1: it has. */
int rival_search_run(const char *tree);

#endif
