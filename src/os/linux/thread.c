/* SPDX-License-Identifier: MIT */
/* Linux: helper threads, and the hook that runs when a thread ends. Uses base and pthreads. */
#include <base/error.h>
#include <os/linux/sys.h>
#include <os/os.h>

#include <base/atomic.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

struct start {
	void (*body)(void *argument);
	void *argument;
	char name[16];
};

static pthread_key_t exit_key;

static void *run(void *argument)
{
	struct start start = *(struct start *)argument;

	os_free(argument);
	pthread_setname_np(pthread_self(), start.name);
	start.body(start.argument);
	return NULL;
}

int os_thread_start(const char *name, void (*body)(void *argument), void *argument)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
	struct start *start = os_allocate(sizeof(*start));
	pthread_t thread;
	sigset_t all, before;
	int failed;

	if (!start)
		return -STOA_ENOMEM;
	start->body = body;
	start->argument = argument;
	strncpy(start->name, name, sizeof(start->name) - 1);

	/* But for faults: they cannot wait, and what is called in such a thread may touch a pager. */
	sigfillset(&all);
	for (size_t i = 0; i < CC_COUNT(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = SYS(pthread_create, &thread, NULL, run, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed) {
		os_free(start);
		return error_set(-STOA_ELIMIT, "cannot start helper thread %s: %s", name, strerror(failed));
	}
	pthread_detach(thread);
	return 0;
}

int os_thread_exit_hook(void (*leave)(void *value))
{
	int failed = SYS(pthread_key_create, &exit_key, leave);

	if (failed)
		return error_set(-STOA_ELIMIT, "no thread-specific key left: %s", strerror(failed));
	return 0;
}

int os_thread_exit_value(void *value)
{
	if (SYS(pthread_setspecific, exit_key, value))
		return error_set(-STOA_ENOMEM, "no memory for a thread-specific value");
	return 0;
}

/*
 * A futex lock of three states (U. Drepper, "Futexes Are Tricky", mutex 2). A fork hook of whoever needs the lock in a
 * child takes it around the fork.
 */
void os_lock(struct os_lock *lock)
{
	uint32_t seen = 0;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (!cas_acq(&lock->word, &seen, 1)) {       /* A1: pairs with R1 in os_unlock() */
		while (swap_acq_rel(&lock->word, 2)) /* A2: pairs with R1 in os_unlock() */
			os_wait(&(struct os_wait_word){&lock->word, 2, OS_WORD_WOKEN}, 1, UINT64_MAX);
	}
	lock->held_off = state;
}

void os_unlock(struct os_lock *lock)
{
	int state = lock->held_off;

	if (swap_rel(&lock->word, 0) == 2) /* R1: pairs with A1 and A2 in os_lock() */
		os_wake(&lock->word);
	pthread_setcancelstate(state, NULL);
}

int os_fork_hooks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
	if (SYS(pthread_atfork, before, in_parent, in_child))
		return error_set(-STOA_ENOMEM, "no memory for fork handlers");
	return 0;
}

_Atomic uint64_t os_forks;
static pthread_once_t forks_counted = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
	add_rlx(&os_forks, 1);
}

static void count_forks(void)
{
	/* Failing for want of memory, it leaves children to be taken for their parents: their waits then end late, not wrong. */
	(void)SYS(pthread_atfork, NULL, NULL, count_fork);
}

uint64_t os_fork_generation(void)
{
	pthread_once(&forks_counted, count_forks);
	return load_rlx(&os_forks);
}
