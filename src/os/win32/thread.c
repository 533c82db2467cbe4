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
static BOOLEAN(NTAPI *process_ends)(void);
static CC_THREAD void *exit_value;

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

/* The system calls us back, at the end of threads and in threads of our own: a DLL must not be unloaded before. */
static void stay_loaded(void)
{
	HMODULE self;

	(void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
				 (const wchar_t *)(const void *)&exit_slot, &self);
}

int os_thread_start(const char *name, void (*body)(void *argument), void *argument)
{
	struct start *start = os_allocate(sizeof(*start));
	HANDLE thread;

	if (!start)
		return -STOA_ENOMEM;
	*start = (struct start){body, argument};
	stay_loaded();
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

/*
 * The system's fiber-local values tell of threads that end, before it takes the loader's lock: so other locks may be waited for here.
 * They tell too much, and the kernel gives up what an ended thread held anyhow, so what follows is left alone:
 * - a process that ends: its other threads were ended wherever they were, with locks that nobody will give back;
 * - a fiber that is deleted, by whichever thread: the thread that ran it goes on, and may hold what it locked there. So a thread
 *   that is a fiber when it is to be noted is not, and the memory for its memberships stays until the process ends.
 */
static void WINAPI call_exit_hook(void *thread)
{
	void *value = exit_value;

	if ((process_ends && process_ends()) || (uintptr_t)thread != GetCurrentThreadId() || IsThreadAFiber() || !value)
		return;
	exit_value = NULL;
	exit_hook(value);
}

int os_thread_exit_hook(void (*leave)(void *value))
{
	HMODULE native = GetModuleHandleW(L"ntdll.dll");
	FARPROC found = native ? GetProcAddress(native, "RtlDllShutdownInProgress") : NULL;

	memcpy(&process_ends, &found, sizeof(found));
	exit_hook = leave;
	stay_loaded();
	exit_slot = FlsAlloc(call_exit_hook);
	return exit_slot == FLS_OUT_OF_INDEXES ? error_set(-STOA_ELIMIT, "no fiber-local slot left") : 0;
}

int os_thread_exit_value(void *value)
{
	exit_value = value;
	if (IsThreadAFiber() || FlsSetValue(exit_slot, (void *)(uintptr_t)GetCurrentThreadId()))
		return 0;
	return error_set(-STOA_ENOMEM, "no memory for a thread-specific value");
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

_Atomic uint64_t os_forks;

uint64_t os_fork_generation(void)
{
	return 0;
}
