/* SPDX-License-Identifier: MIT */
/*
 * An ordinary Win32 program, without stoa: what tests/test_kernel_win32.c works together with, as a code base would while it moves to
 * stoa. usage: foreign use|make NAME. Ends with 0 when all was as it should be, else with the line that found otherwise.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <string.h>

#define SIZE 65536
#define LIMIT 20000 /* milliseconds */

#define EXPECT(condition)                                                                                \
	do {                                                                                             \
		if (!(condition)) {                                                                      \
			fprintf(stderr, "foreign:%d: %s (%lu)\n", __LINE__, #condition, GetLastError()); \
			ExitProcess(__LINE__);                                                           \
		}                                                                                        \
	} while (0)

static const char *base;

static const char *named(const char *what)
{
	static char name[256];

	snprintf(name, sizeof(name), "%s.%s", base, what);
	return name;
}

/* Everything is there already. */
static void use_theirs(void)
{
	HANDLE section = OpenFileMappingA(FILE_MAP_WRITE, FALSE, named("section"));
	HANDLE mutex = OpenMutexA(SYNCHRONIZE | MUTEX_MODIFY_STATE, FALSE, named("mutex"));
	HANDLE event = OpenEventA(SYNCHRONIZE | EVENT_MODIFY_STATE, FALSE, named("event"));
	HANDLE semaphore = OpenSemaphoreA(SYNCHRONIZE | SEMAPHORE_MODIFY_STATE, FALSE, named("semaphore"));
	HANDLE done = OpenEventA(EVENT_MODIFY_STATE, FALSE, named("done"));
	MEMORY_BASIC_INFORMATION info;
	char *view;

	EXPECT(section && mutex && event && semaphore && done);
	view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
	EXPECT(view && strcmp(view, "from stoa") == 0);
	EXPECT(VirtualQuery(view + SIZE - 1, &info, sizeof(info)) && info.State == MEM_COMMIT);
	EXPECT(WaitForSingleObject(mutex, 0) == WAIT_TIMEOUT);
	EXPECT(ReleaseSemaphore(semaphore, 1, NULL));
	EXPECT(WaitForSingleObject(mutex, LIMIT) == WAIT_OBJECT_0);
	strcpy(view, "from Win32");
	EXPECT(ReleaseMutex(mutex));
	EXPECT(ReleaseSemaphore(semaphore, 2, NULL));
	EXPECT(!ReleaseSemaphore(semaphore, 4, NULL) && GetLastError() == ERROR_TOO_MANY_POSTS);
	EXPECT(WaitForSingleObject(event, LIMIT) == WAIT_OBJECT_0);
	EXPECT(WaitForSingleObject(event, 0) == WAIT_TIMEOUT);
	EXPECT(SetEvent(done));
}

/* Makes everything, says so by an event of theirs, and ends with the mutex held. */
static void make_own(void)
{
	HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, SIZE, named("section"));
	HANDLE reserve =
		CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, SIZE, named("reserve"));
	HANDLE mutex = CreateMutexA(NULL, TRUE, named("mutex"));
	HANDLE event = CreateEventA(NULL, FALSE, FALSE, named("event"));
	HANDLE semaphore = CreateSemaphoreA(NULL, 1, 3, named("semaphore"));
	HANDLE ready = OpenEventA(EVENT_MODIFY_STATE, FALSE, named("ready"));
	HANDLE again = OpenEventA(SYNCHRONIZE, FALSE, named("again"));
	MEMORY_BASIC_INFORMATION info;
	char *view, *reserved;

	EXPECT(section && reserve && mutex && event && semaphore && ready && again);
	view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
	reserved = MapViewOfFile(reserve, FILE_MAP_WRITE, 0, 0, 0);
	EXPECT(view && reserved && VirtualAlloc(reserved, 4096, MEM_COMMIT, PAGE_READWRITE));
	strcpy(view, "from Win32");
	strcpy(reserved, "reserved by Win32");
	EXPECT(SetEvent(ready));
	EXPECT(WaitForSingleObject(event, LIMIT) == WAIT_OBJECT_0);
	EXPECT(strcmp(view, "from stoa") == 0);
	EXPECT(VirtualQuery(reserved + SIZE / 2 - 1, &info, sizeof(info)) && info.State == MEM_COMMIT);
	EXPECT(reserved[SIZE / 2 - 1] == 7);
	EXPECT(WaitForSingleObject(semaphore, 0) == WAIT_OBJECT_0);
	EXPECT(WaitForSingleObject(semaphore, 0) == WAIT_OBJECT_0);
	EXPECT(WaitForSingleObject(semaphore, 0) == WAIT_TIMEOUT);
	EXPECT(ReleaseMutex(mutex));
	EXPECT(WaitForSingleObject(again, LIMIT) == WAIT_OBJECT_0);
	EXPECT(WaitForSingleObject(mutex, LIMIT) == WAIT_OBJECT_0);
	EXPECT(SetEvent(ready));
	TerminateProcess(GetCurrentProcess(), 0);
}

int main(int count, char **arguments)
{
	EXPECT(count == 3);
	base = arguments[2];
	if (strcmp(arguments[1], "use") == 0)
		use_theirs();
	else
		make_own();
	return 0;
}
