/* SPDX-License-Identifier: MIT */
/* glibc's locks, and the kernel's own futexes; see rival.h. */
#include "../rival.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <base/cc.h>

const bool rival_has_targets = true;

const char rival_lock_name[] = "glibc, process-shared";
const char rival_robust_lock_name[] = "glibc, robust";

static pthread_mutex_t *mutex_of(struct rival_lock *lock)
{
	static_assert(sizeof(pthread_mutex_t) <= sizeof(lock->body), "a mutex has room");
	return (void *)&lock->body;
}

int rival_lock_make(struct rival_lock *lock, bool robust)
{
	pthread_mutexattr_t attributes;
	int error;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(mutex_of(lock), &attributes);
	pthread_mutexattr_destroy(&attributes);
	return error;
}

void rival_lock_end(struct rival_lock *lock)
{
	(void)lock; /* goes with its memory */
}

static void spin(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		cc_compiler_barrier();
}

static inline int rounds_of(pthread_mutex_t *mutex, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside)
{
	int error = 0;

	for (unsigned i = 0; i < rounds; i++) {
		error |= pthread_mutex_lock(mutex);
		++*count;
		spin(inside);
		error |= pthread_mutex_unlock(mutex);
		spin(outside);
	}
	return error;
}

int rival_lock_rounds(struct rival_lock *lock, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside)
{
	pthread_mutex_t *mutex = mutex_of(lock);

	return inside || outside ? rounds_of(mutex, count, rounds, inside, outside)
				 : rounds_of(mutex, count, rounds, 0, 0);
}

const char rival_locked_name[] = "a bare ring, glibc robust";

int rival_lock_take(struct rival_lock *lock)
{
	return pthread_mutex_lock(mutex_of(lock));
}

int rival_lock_give(struct rival_lock *lock)
{
	return pthread_mutex_unlock(mutex_of(lock));
}

bool rival_helper_path(const char *name, char *path, size_t size, const char **ret_missing)
{
	ssize_t length = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	*ret_missing = "not in the build tree: it is made where its library was found (scripts/deps bench)";
	if (length <= 0)
		return false;
	path[length] = 0;
	slash = strrchr(path, '/'); /* from the tool's folder: helpers are not installed */
	if (!slash || (size_t)snprintf(slash, size - (size_t)(slash - path), "/../bench/%s", name) >=
			      size - (size_t)(slash - path))
		return false;
	return access(path, X_OK) == 0;
}

const char rival_signal_name[] = "futex";
const char rival_any_name[] = "futex_waitv";

const char *rival_any_missing(void)
{
	return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS
		       ? "this kernel has no futex_waitv (since Linux 5.16)"
		       : NULL;
}

int rival_signal_make(struct rival_signal *signal)
{
	store_rlx(&signal->word, 0);
	return 0;
}

void rival_signal_end(struct rival_signal *signal)
{
	(void)signal; /* goes with its memory */
}

int rival_signal_give(struct rival_signal *signal, uint32_t turn)
{
	/* R1: publishes the payload; pairs with A1 in rival_signal_take() and rival_signal_take_any() */
	store_rel(&signal->word, turn);
	return syscall(SYS_futex, &signal->word, FUTEX_WAKE, 1, NULL, NULL, 0) < 0 ? errno : 0;
}

int rival_signal_take(struct rival_signal *signal, uint32_t turn)
{
	uint32_t found;

	/* A1: the payload is there; pairs with R1 in rival_signal_give() */
	while ((found = load_acq(&signal->word)) != turn)
		syscall(SYS_futex, &signal->word, FUTEX_WAIT, found, NULL, NULL, 0);
	return 0;
}

int rival_signal_take_any(struct rival_signal *signals, unsigned count, unsigned place, uint32_t turn)
{
	struct futex_waitv list[8];

	memset(list, 0, sizeof(list));
	if (count > CC_COUNT(list))
		return EINVAL;
	for (;;) {
		for (unsigned i = 0; i < count; i++) {
			list[i].uaddr = (uint64_t)(uintptr_t)&signals[i].word;
			list[i].flags = FUTEX_32;
			list[i].val = load_acq(&signals[i].word); /* A1: as in rival_signal_take(); pairs with R1 */
		}
		if (list[place].val == turn)
			return 0;
		syscall(SYS_futex_waitv, list, count, 0, NULL, CLOCK_MONOTONIC);
	}
}
