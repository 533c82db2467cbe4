/* SPDX-License-Identifier: MIT */
/*
 * The handler for faults: a vectored one, which is asked before those of frames, and before any debugger's last chance. What is not ours goes on
 * to the others.
 *
 * It runs in the thread that touched, at the touch, on its stack. The thread's last error, and errno, are as they were afterwards: a touch
 * changes neither.
 */
#include <os/trap.h>
#include <os/win32/sys.h>

#include <base/atomic.h>
#include <base/error.h>
#include <errno.h>

static bool (*_Atomic handler)(void *address, enum os_fault fault);
static struct os_lock lock;

/* Of an access violation, and of a page that the system could not read: what was done, and where. */
#define PARAMETERS 2
enum { DONE_READ, DONE_WRITE };

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *exception)
{
	const EXCEPTION_RECORD *record = exception->ExceptionRecord;
	bool (*handle)(void *address, enum os_fault fault) =
		load_acq(&handler); /* A1: pairs with R1 in os_fault_install() */
	DWORD last = GetLastError();
	int error = errno;
	bool again;

	if ((record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION && record->ExceptionCode != EXCEPTION_IN_PAGE_ERROR) ||
	    record->NumberParameters < PARAMETERS || record->ExceptionInformation[0] > DONE_WRITE || !handle)
		return EXCEPTION_CONTINUE_SEARCH;
	again = handle((void *)record->ExceptionInformation[1], // NOLINT(performance-no-int-to-ptr)
		       record->ExceptionInformation[0] == DONE_WRITE ? OS_FAULT_WRITE : OS_FAULT_READ);
	errno = error;
	SetLastError(last);
	return again ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

int os_fault_install(bool (*handle)(void *address, enum os_fault fault))
{
	int rc = 0;

	os_lock(&lock);
	if (!load_rlx(&handler)) {
		if (!AddVectoredExceptionHandler(1, on_exception))
			rc = sys_failed("installing a handler of exceptions");
		else
			store_rel(&handler, handle); /* R1: nothing; pairs with A1 in on_exception() */
	}
	os_unlock(&lock);
	return rc;
}

bool os_fault_installed(void)
{
	return load_rlx(&handler) != NULL;
}
