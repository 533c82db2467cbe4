/* SPDX-License-Identifier: MIT */
/*
 * Linux: sleeping on words with futex and futex_waitv, and covering a wake-up against the death of who makes or takes it.
 *
 * The hard idea: when a thread dies, the kernel looks at the word its robust list names as "operation pending". If no thread
 * id stands in that word, it wakes one sleeper there: meant for a mutex unlock that was cut short, it is exactly what
 * any setter needs between its store and its wake. (Linux, kernel/futex/core.c, handle_futex_death().)
 */
#include <base/atomic.h>
#include <base/cc.h>
#include <base/counters.h>
#include <base/mutant.h>
#include <os/linux/robust.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

CC_THREAD struct robust_list_head *robust_cached;

static long get_robust_list(struct robust_list_head **ret_head, size_t *ret_length)
{
	return syscall(SYS_get_robust_list, 0, ret_head, ret_length);
}

struct robust_list_head *robust_head_find(void)
{
	struct robust_list_head *head = NULL;
	size_t length = 0;

	if (SYS(get_robust_list, &head, &length) || !head || length != sizeof(*head) ||
	    head->futex_offset != ROBUST_OFFSET)
		return NULL;
	robust_cached = head;
	return head;
}

static struct timespec time_of(uint64_t nanoseconds)
{
	return (struct timespec){
		.tv_sec = (time_t)(nanoseconds / UINT64_C(1000000000)),
		.tv_nsec = (long)(nanoseconds % UINT64_C(1000000000)),
	};
}

/* One word: the plain futex call is cheaper than futex_waitv. */
static long wait_one(const struct os_wait_word *word, const struct timespec *until)
{
	return syscall(SYS_futex, word->word, FUTEX_WAIT_BITSET, word->value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static long wait_many(const struct os_wait_word *words, unsigned count, const struct timespec *until)
{
	struct futex_waitv vector[OS_WAIT_WORDS_MAX];

	for (unsigned i = 0; i < count; i++)
		vector[i] = (struct futex_waitv){
			.val = words[i].value, .uaddr = (uintptr_t)words[i].word, .flags = FUTEX_32};
	return syscall(SYS_futex_waitv, vector, count, 0, until, CLOCK_MONOTONIC);
}

int os_wait(const struct os_wait_word *words, unsigned count, uint64_t deadline)
{
	struct timespec until, *limit = NULL;
	uint64_t slice = deadline;
	long done;

	/* Without futex_waitv only the first word can be slept on: look at the others again every 10 ms. */
	if (count > 1 && !os_capabilities()->waits_on_many) {
		uint64_t soon = os_now() + UINT64_C(10000000);

		count = 1;
		slice = soon < deadline ? soon : deadline;
	}
	if (slice < (uint64_t)INT64_MAX) {
		until = time_of(slice);
		limit = &until;
	}
	counters_add(COUNTER_SLEEPS);
	done = count == 1 ? SYS(wait_one, words, limit) : SYS(wait_many, words, count, limit);
	if (done >= 0)
		return (int)done;
	if (errno == ETIMEDOUT)
		return slice == deadline ? OS_WAIT_TIMED_OUT : OS_WAIT_CHANGED;
	if (errno != EAGAIN && errno != EINTR)
		sched_yield();
	return OS_WAIT_CHANGED;
}

void os_wake(const _Atomic uint32_t *word)
{
	counters_add(COUNTER_WAKES);
	/* Fails only at an address that is none; not through SYS(). */
	syscall(SYS_futex, word, FUTEX_WAKE, MUTANT(WAKE_ONE) ? 1 : INT_MAX, NULL, NULL, 0);
}

bool os_barrier_join(void)
{
	/* Refused by a sandbox, or unknown: the thread passes barriers of its own; not through SYS(). */
	return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool os_barrier_can_impose(void)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0); /* not through SYS() */

	return commands > 0 && commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED;
}

bool os_barrier_impose(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0; /* not through SYS() */
}

/*
 * Only this thread and, at its death, the kernel on its behalf read list_op_pending: program order is enough, so these are plain
 * stores that the compiler must not move.
 */
const void *os_wake_cover(const _Atomic uint32_t *word)
{
	struct robust_list_head *head = robust_head();
	const void *before;

	if (CC_UNLIKELY(!head) || MUTANT(NO_WAKE_COVER))
		return NULL;
	before = head->list_op_pending;
	cc_compiler_barrier();
	head->list_op_pending = (struct robust_list *)((uintptr_t)word - (uintptr_t)(intptr_t)ROBUST_OFFSET);
	cc_compiler_barrier();
	return before;
}

void os_wake_uncover(const void *before)
{
	struct robust_list_head *head = robust_head();

	cc_compiler_barrier();
	if (CC_LIKELY(head != NULL))
		head->list_op_pending = (struct robust_list *)(uintptr_t)before;
	cc_compiler_barrier();
}
