/* SPDX-License-Identifier: MIT */
/*
 * Linux: what this kernel can do for waiting, found out once.
 *
 * Kernels wake through a dying thread's pending word, if that is zero, since 5.5 ("futex: Prevent robust futex exit race");
 * they have had futex_waitv since 5.16. The relay word is always zero: who has the call passes wakes on, so nothing is tried at
 * start-up. Without the call nobody sleeps on the relay, whatever the kernel would do with it.
 */
#include <base/mutant.h>
#include <os/linux/robust.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct os_capabilities found;

static void *die_with_wake_pending(void *argument)
{
	struct timespec nap = {.tv_nsec = 2000000};

	nanosleep(&nap, NULL); /* let the other one fall asleep; too early only makes the answer a careful "no" */
	os_wake_cover(argument);
	return NULL;
}

static bool try_relay(void)
{
	_Atomic uint32_t word = 0;
	struct timespec until;
	uint64_t limit = os_now() + UINT64_C(100000000);
	pthread_t thread;
	long woken;

	if (SYS(pthread_create, &thread, NULL, die_with_wake_pending, &word))
		return false;
	until = (struct timespec){(time_t)(limit / 1000000000), (long)(limit % 1000000000)};
	/* A failure is an answer here, as is the next one; not through SYS(). */
	woken = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY);
	pthread_join(thread, NULL);
	return woken == 0;
}

bool os_probe_relay(void)
{
	return robust_head() && (try_relay() || try_relay());
}

static void probe(void)
{
	/* An empty request is invalid where the call exists, and unknown (or forbidden) elsewhere; not through SYS(). */
	found.waits_on_many = syscall(SYS_futex_waitv, NULL, 0, 0, NULL, CLOCK_MONOTONIC) < 0 && errno == EINVAL &&
			      !MUTANT(WAIT_ON_ONE);
	found.life_words = robust_head() != NULL;
	found.relays_wakes = found.life_words && found.waits_on_many && !MUTANT(NO_RELAY);
}

const struct os_capabilities *os_capabilities(void)
{
	pthread_once(&once, probe);
	return &found;
}
