/* SPDX-License-Identifier: MIT */
/*
 * Waiting for any or all of several things: mutexes, events, semaphores (of one or many segments), the end of processes, and
 * finished prefetches; and watching any of them through a descriptor for poll(2).
 */
#ifndef STOA_WAIT_H
#define STOA_WAIT_H

#include <stddef.h>
#include <stdint.h>
#include <stoa/error.h>
#include <stoa/segment.h>
#include <stoa/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_WAIT_MAX 32

#define STOA_WAIT_MUTEX 1     /* object: struct stoa_mutex *; taking it locks it */
#define STOA_WAIT_EVENT 2     /* struct stoa_event * */
#define STOA_WAIT_SEMAPHORE 3 /* struct stoa_semaphore * */
#define STOA_WAIT_PROCESS 4   /* struct stoa_process *; segment NULL; never consumed */
#define STOA_WAIT_PREFETCH 5  /* struct stoa_prefetch *; segment NULL; never consumed */
/* Ends of channels; segment NULL; never consumed: */
#define STOA_WAIT_RECEIVER 6     /* struct stoa_receiver *: there is something to receive, or to be told */
#define STOA_WAIT_SENDER 7       /* struct stoa_sender *: there is room for the loan that it was last refused */
#define STOA_WAIT_NO_SENDERS 8   /* struct stoa_receiver *: there were senders, and the last has left or died */
#define STOA_WAIT_NO_RECEIVERS 9 /* struct stoa_sender *: there were receivers, and the last has left or died */
#define STOA_WAIT_RECEIVERS 10   /* struct stoa_sender *: a receiver is here */
/* Ends of streams; segment NULL; never consumed: */
#define STOA_WAIT_READER 11 /* struct stoa_reader *: there is something to read, or to be told */
#define STOA_WAIT_WRITER 12 /* struct stoa_writer *: there is room where it was last refused, or something to be told */

struct stoa_waitable {
	struct stoa_segment *segment;
	void *object;
	uint32_t kind;
	uint32_t reserved; /* 0 */
};

/*
 * Wait until one of 1..STOA_WAIT_MAX things can be taken, take exactly that one and put its place in *ret_index; among several
 * the lowest. 0, STOA_OWNER_DIED (a mutex whose owner died), STOA_TIMED_OUT. Errors: EINVAL (a thing twice, count), ERIGHTS,
 * EDEADLOCK (a mutex this thread holds), EFORMAT, ELIMIT. Duplicates are refused.
 */
STOA_API int stoa_wait_any(const struct stoa_waitable *set, size_t count, uint64_t deadline, size_t *ret_index);

/*
 * Wait until all can be taken, and take all in one step: on return all or none are taken. While it tries, others may see
 * an object taken for a moment; if this process dies in between, whoever meets such an object gives it back. A mutex
 * among them whose owner died: STOA_OWNER_DIED, *ret_index (may be NULL) tells the first such. Same errors.
 */
STOA_API int stoa_wait_all(const struct stoa_waitable *set, size_t count, uint64_t deadline, size_t *ret_index);

/*
 * A process to wait for, by id: any process this user may see. The handle refers to that very process, even if its id is used
 * again. stoa_process_exited(): 1 when it has ended, else 0; EINVAL for NULL. ENOENT, EACCES, ELIMIT.
 */
struct stoa_process;
STOA_API int stoa_process_open(int64_t id, struct stoa_process **ret_process);
STOA_API int stoa_process_exited(const struct stoa_process *process);
STOA_API void stoa_process_close(struct stoa_process *process);

/*
 * A descriptor that becomes readable when `thing` can be taken (it is not taken; try it with STOA_TRY). A new watch is
 * armed; one notice per stoa_watch_arm(), until which the descriptor stays readable. A helper thread named "stoa-watch" sleeps on the object. The thing must outlive the watch. The
 * descriptor belongs to the watch. EINVAL, ERIGHTS, ELIMIT, ENOMEM.
 */
struct stoa_watch;
STOA_API int stoa_watch_open(const struct stoa_waitable *thing, struct stoa_watch **ret_watch);
STOA_API int stoa_watch_descriptor(const struct stoa_watch *watch);
STOA_API int stoa_watch_arm(
	struct stoa_watch
		*watch); /* clear the descriptor and wait for the next time; a notice on its way may still come */
STOA_API void stoa_watch_close(struct stoa_watch *watch);

/* What this process's waits have met since it started: for tests, tuning and bug reports. */
struct stoa_wait_stat {
	uint64_t sleeps;        /* times a thread slept in the kernel */
	uint64_t wakes;         /* times a wake system call was made */
	uint64_t owner_deaths;  /* dead owners found */
	uint64_t claims_undone; /* unfinished wait_all claims of dead processes resolved */
	uint64_t rescues;       /* wake-ups that came only from the periodic re-check */
	uint64_t enrolments;    /* threads enrolled in a roster */
};
STOA_API void stoa_wait_stat(struct stoa_wait_stat *ret_stat);

#ifdef __cplusplus
}
#endif
#endif
