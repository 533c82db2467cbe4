/* SPDX-License-Identifier: MIT */
/*
 * Windows: helper threads, what runs when a thread ends, and the lock of this process alone. There is no fork: its hooks are
 * never called.
 */
#include <os/win32/sys.h>

#include <base/atomic.h>
#include <base/error.h>

#include <string.h>

struct start {
	void (*body)(void *argument);
	void *argument;
};

static DWORD exit_slot = FLS_OUT_OF_INDEXES;
static void (*exit_hook)(void *value);

static DWORD WINAPI run(void *argument)
{
	struct start start = *(struct start *)argument;

	os_free(argument);
	start.body(start.argument);
	return 0;
}

/* A name for debuggers; systems before Windows 10 have none. */
static void name_thread(HANDLE thread, const char *name)
{
	HRESULT(WINAPI * set_description)(HANDLE thread, const wchar_t *description);
	HMODULE kernel = GetModuleHandleW(L"kernelbase.dll");
	FARPROC found = kernel ? GetProcAddress(kernel, "SetThreadDescription") : NULL;
	wchar_t wide[32];

	memcpy(&set_description, &found, sizeof(found));
	if (found && sys_wide(name, wide, CC_COUNT(wide)))
		(void)set_description(thread, wide);
}

int os_thread_start(const char *name, void (*body)(void *argument), void *argument)
{
	struct start *start = os_allocate(sizeof(*start));
	HANDLE thread;

	if (!start)
		return -STOA_ENOMEM;
	*start = (struct start){body, argument};
	thread = CreateThread(NULL, 0, run, start, 0, NULL);
	if (!thread) {
		os_free(start);
		(void)sys_failed("cannot start helper thread %s", name);
		return -STOA_ELIMIT;
	}
	name_thread(thread, name);
	CloseHandle(thread);
	return 0;
}

static void WINAPI call_exit_hook(void *value)
{
	if (value)
		exit_hook(value);
}

int os_thread_exit_hook(void (*leave)(void *value))
{
	exit_hook = leave;
	exit_slot = FlsAlloc(call_exit_hook);
	return exit_slot == FLS_OUT_OF_INDEXES ? error_set(-STOA_ELIMIT, "no fiber-local slot left") : 0;
}

int os_thread_exit_value(void *value)
{
	return FlsSetValue(exit_slot, value) ? 0 : error_set(-STOA_ENOMEM, "no memory for a thread-specific value");
}

/* As on Linux, over the system's own wait on an address, which serves the threads of one process. */
void os_lock(struct os_lock *lock)
{
	uint32_t seen = 0, two = 2;

	if (cas_acq(&lock->word, &seen, 1)) /* A1: pairs with R1 in os_unlock() */
		return;
	while (swap_acq_rel(&lock->word, 2)) /* A2: pairs with R1 in os_unlock() */
		WaitOnAddress(&lock->word, &two, sizeof(two), INFINITE);
}

void os_unlock(struct os_lock *lock)
{
	if (swap_rel(&lock->word, 0) == 2) /* R1: pairs with A1 and A2 in os_lock() */
		WakeByAddressSingle((void *)&lock->word);
}

int os_fork_hooks(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
	(void)before, (void)in_parent, (void)in_child;
	return 0;
}

uint64_t os_fork_generation(void)
{
	return 0;
}
