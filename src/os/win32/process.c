/* SPDX-License-Identifier: MIT */
/* Windows: the end of other processes, watched by the system's thread pool; and notifiers, which are events. */
#include <os/win32/sys.h>

#include <base/error.h>

struct os_process_watch {
	HANDLE wait;
	void (*ended)(void *argument);
	void *argument;
};

static int no_process(int64_t id)
{
	return error_set(-STOA_ENOENT, "there is no process %lld", (long long)id);
}

int os_process_open(int64_t id, os_handle *ret_process)
{
	HANDLE process;

	if (id <= 0 || id > UINT32_MAX)
		return error_set(-STOA_EINVAL, "%lld is not a process id", (long long)id);
	process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)id);
	if (!process && GetLastError() == ERROR_INVALID_PARAMETER)
		return no_process(id);
	/* Windows takes the three numbers behind a process's for that process too. */
	if (process && GetProcessId(process) != (DWORD)id) {
		CloseHandle(process);
		return no_process(id);
	}
	if (!process && id % 4 == 0)
		process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)id);
	if (!process && GetLastError() == ERROR_ACCESS_DENIED)
		return error_set(-STOA_EACCES, "process %lld may not be watched by this user", (long long)id);
	if (!process)
		return sys_failed("opening process %lld", (long long)id);
	*ret_process = (os_handle)process;
	return 0;
}

bool os_process_ended(os_handle process)
{
	return WaitForSingleObject(sys_handle(process), 0) == WAIT_OBJECT_0;
}

static void CALLBACK tell(void *argument, BOOLEAN timed_out)
{
	struct os_process_watch *watch = argument;

	if (!timed_out)
		watch->ended(watch->argument);
}

int os_process_watch(os_handle process, void (*ended)(void *argument), void *argument,
		     struct os_process_watch **ret_watch)
{
	struct os_process_watch *watch = os_allocate(sizeof(*watch));

	if (!watch)
		return -STOA_ENOMEM;
	watch->ended = ended;
	watch->argument = argument;
	if (!RegisterWaitForSingleObject(&watch->wait, sys_handle(process), tell, watch, INFINITE,
					 WT_EXECUTEONLYONCE)) {
		os_free(watch);
		(void)sys_failed("cannot watch a process");
		return -STOA_ELIMIT;
	}
	*ret_watch = watch;
	return 0;
}

void os_process_unwatch(struct os_process_watch *watch)
{
	/* With this handle it waits until a call that runs has returned. */
	UnregisterWaitEx(watch->wait, INVALID_HANDLE_VALUE);
	os_free(watch);
}

int os_notifier_create(os_handle *ret_notifier)
{
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);

	if (!event)
		return sys_failed("creating a notifier");
	*ret_notifier = (os_handle)event;
	return 0;
}

void os_notifier_raise(os_handle notifier)
{
	SetEvent(sys_handle(notifier));
}

void os_notifier_clear(os_handle notifier)
{
	ResetEvent(sys_handle(notifier));
}
