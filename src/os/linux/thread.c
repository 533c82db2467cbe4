/* SPDX-License-Identifier: MIT */
/* Linux: helper threads, and the hook that runs when a thread ends. Uses base and pthreads. */
#include <base/error.h>
#include <os/linux/sys.h>
#include <os/os.h>

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
	struct start *start = os_allocate(sizeof(*start));
	pthread_t thread;
	sigset_t all, before;
	int failed;

	if (!start)
		return -STOA_ENOMEM;
	start->body = body;
	start->argument = argument;
	strncpy(start->name, name, sizeof(start->name) - 1);

	sigfillset(&all);
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
