/* SPDX-License-Identifier: MIT */
/* The locks and events of Windows; see rival.h. */
#include "../rival.h"

#include <stdio.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <base/cc.h>

const bool rival_has_targets = false; /* measured under Wine only, which says little about Windows */

const char rival_lock_name[] = "SRWLOCK, of one process";
const char rival_robust_lock_name[] = "kernel mutex";

static const SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};

static SRWLOCK *srwlock_of(struct rival_lock *lock)
{
	return (void *)&lock->body;
}

int rival_lock_make(struct rival_lock *lock, bool robust)
{
	SECURITY_ATTRIBUTES attributes = inherited;
	HANDLE mutex;

	lock->robust = robust;
	InitializeSRWLock(srwlock_of(lock));
	if (!robust)
		return 0;
	mutex = CreateMutexW(&attributes, FALSE, NULL);
	lock->body.handle = (intptr_t)mutex;
	return mutex ? 0 : (int)GetLastError();
}

void rival_lock_end(struct rival_lock *lock)
{
	if (lock->robust && lock->body.handle)
		CloseHandle((HANDLE)lock->body.handle);
}

static void spin(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		cc_compiler_barrier();
}

static int robust_rounds(HANDLE mutex, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside)
{
	bool good = true;

	for (unsigned i = 0; i < rounds; i++) {
		good &= WaitForSingleObject(mutex, INFINITE) == WAIT_OBJECT_0;
		++*count;
		spin(inside);
		good &= ReleaseMutex(mutex) != 0;
		spin(outside);
	}
	return good ? 0 : ERROR_INVALID_HANDLE;
}

static inline void plain_rounds(SRWLOCK *plain, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside)
{
	for (unsigned i = 0; i < rounds; i++) {
		AcquireSRWLockExclusive(plain);
		++*count;
		spin(inside);
		ReleaseSRWLockExclusive(plain);
		spin(outside);
	}
}

int rival_lock_rounds(struct rival_lock *lock, uint64_t *count, unsigned rounds, unsigned inside, unsigned outside)
{
	if (lock->robust)
		return robust_rounds((HANDLE)lock->body.handle, count, rounds, inside, outside);
	if (inside || outside)
		plain_rounds(srwlock_of(lock), count, rounds, inside, outside);
	else
		plain_rounds(srwlock_of(lock), count, rounds, 0, 0);
	return 0;
}

const char rival_locked_name[] = "a bare ring, kernel mutex";

int rival_lock_take(struct rival_lock *lock)
{
	return WaitForSingleObject((HANDLE)lock->body.handle, INFINITE) == WAIT_OBJECT_0 ? 0 : (int)GetLastError();
}

int rival_lock_give(struct rival_lock *lock)
{
	return ReleaseMutex((HANDLE)lock->body.handle) ? 0 : (int)GetLastError();
}

bool rival_helper_path(const char *name, char *path, size_t size, const char **ret_missing)
{
	(void)name, (void)path, (void)size;
	*ret_missing = "not on this system: helpers with other libraries are made for Linux";
	return false;
}

const char rival_signal_name[] = "kernel event";
const char rival_any_name[] = "WaitForMultipleObjects";

const char *rival_any_missing(void)
{
	return NULL;
}

int rival_signal_make(struct rival_signal *signal)
{
	SECURITY_ATTRIBUTES attributes = inherited;
	HANDLE event = CreateEventW(&attributes, FALSE, FALSE, NULL);

	signal->handle = (intptr_t)event;
	return event ? 0 : (int)GetLastError();
}

void rival_signal_end(struct rival_signal *signal)
{
	if (signal->handle)
		CloseHandle((HANDLE)signal->handle);
}

int rival_signal_give(struct rival_signal *signal, uint32_t turn)
{
	(void)turn;
	return SetEvent((HANDLE)signal->handle) ? 0 : (int)GetLastError();
}

int rival_signal_take(struct rival_signal *signal, uint32_t turn)
{
	(void)turn;
	return WaitForSingleObject((HANDLE)signal->handle, INFINITE) == WAIT_OBJECT_0 ? 0 : (int)GetLastError();
}

int rival_signal_take_any(struct rival_signal *signals, unsigned count, unsigned place, uint32_t turn)
{
	HANDLE list[MAXIMUM_WAIT_OBJECTS];

	(void)turn;
	if (count > CC_COUNT(list))
		return ERROR_INVALID_PARAMETER;
	for (unsigned i = 0; i < count; i++)
		list[i] = (HANDLE)signals[i].handle;
	return WaitForMultipleObjects(count, list, FALSE, INFINITE) == WAIT_OBJECT_0 + place ? 0 : ERROR_INVALID_DATA;
}
