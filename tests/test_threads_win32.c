/* SPDX-License-Identifier: MIT */
/* Threads as only Windows has them: fibers, a process that ends in the middle of all, a DLL that is unloaded too early. */
#include <harness/test.h>

#include <stdlib.h>
#include <stoa/stoa.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define MIB (UINT64_C(1) << 20)

static struct stoa_segment *make(const char *name)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(name, MIB, &options, &segment), 0);
	CHECK_RC(stoa_mutex_init(segment, stoa_segment_address(segment), 0), 0);
	return segment;
}

static struct stoa_mutex *mutex_of(struct stoa_segment *segment)
{
	return stoa_segment_address(segment);
}

/* ---- fibers ---- */

static struct stoa_segment *shared;
static void *main_fiber;

static void CALLBACK lock_in_a_fiber(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_mutex_lock(shared, mutex_of(shared), STOA_TRY), 0);
	SwitchToFiber(main_fiber);
}

static void expect_held(void *argument)
{
	struct stoa_segment *segment;

	(void)argument;
	CHECK_RC(stoa_segment_open(test_name("fiber"), NULL, &segment), 0);
	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), STOA_TIMED_OUT);
	stoa_segment_close(segment);
}

/* A mutex is its thread's. That goes on when the fiber in which it locked is deleted. */
TEST(a_deleted_fiber_gives_nothing_up)
{
	void *fiber;

	shared = make(test_name("fiber"));
	main_fiber = ConvertThreadToFiber(NULL);
	CHECK(main_fiber);
	fiber = CreateFiber(0, lock_in_a_fiber, NULL);
	CHECK(fiber);
	SwitchToFiber(fiber);
	DeleteFiber(fiber);
	CHECK_EQ(test_join(test_role(expect_held, NULL)), 0);
	CHECK_RC(stoa_mutex_unlock(shared, mutex_of(shared)), 0);
	CHECK(ConvertFiberToThread());
	stoa_segment_close(shared);
}

static DWORD WINAPI lock_and_become_a_fiber(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_mutex_lock(shared, mutex_of(shared), STOA_TRY), 0);
	CHECK(ConvertThreadToFiber(NULL));
	return 0;
}

/* However its thread was at its end: the kernel gives up what it held. */
TEST(a_thread_that_ends_as_a_fiber)
{
	HANDLE thread;

	shared = make(NULL);
	thread = CreateThread(NULL, 0, lock_and_become_a_fiber, NULL, 0, NULL);
	CHECK(thread);
	CHECK_EQ(WaitForSingleObject(thread, 20000), WAIT_OBJECT_0);
	CloseHandle(thread);
	CHECK_RC(stoa_mutex_lock(shared, mutex_of(shared), STOA_TRY), STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(shared, mutex_of(shared)), 0);
	stoa_segment_close(shared);
	TEST_LEAKS_OK("what the membership of a fiber's thread took stays until the process ends");
}

/* ---- the end of a process ---- */

static DWORD WINAPI enrol(void *stop)
{
	while (!stop) {
		struct stoa_segment *segment = make(NULL);

		CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
		CHECK_RC(stoa_mutex_unlock(segment, mutex_of(segment)), 0);
		stoa_segment_close(segment);
	}
	return 0;
}

/* Its other threads are ended first, wherever they are: with the library's own locks. Nobody may wait for these then. */
static void exit_in_the_middle(void *argument)
{
	struct stoa_segment *segment = make(NULL);

	CHECK_RC(stoa_mutex_lock(segment, mutex_of(segment), STOA_TRY), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK(CreateThread(NULL, 0, enrol, NULL, 0, NULL));
	test_nap((unsigned)(uintptr_t)argument);
	ExitProcess(7);
}

TEST_TIMEOUT(a_process_ends_whatever_its_threads_do, 120)
{
	unsigned rounds = test_rounds(12, 200);
	uint64_t random = test_seed();

	for (unsigned i = 0; i < rounds; i++) {
		uintptr_t wait = 5 + test_random(&random) % 20;

		CHECK_EQ(test_join(test_role(exit_in_the_middle, (void *)wait)), 7);
	}
}

/* ---- the library as a DLL ---- */

struct dll {
	HMODULE module;
	int (*create)(const char *name, uint64_t reserve, const struct stoa_segment_options *options,
		      struct stoa_segment **ret_segment);
	void *(*address)(const struct stoa_segment *segment);
	int (*init)(struct stoa_segment *segment, struct stoa_mutex *mutex, uint32_t flags);
	int (*lock)(struct stoa_segment *segment, struct stoa_mutex *mutex, uint64_t deadline);
	struct stoa_segment *segment;
};
static struct dll dll;

static void find(const char *name, void *ret_function)
{
	FARPROC found = GetProcAddress(dll.module, name);

	CHECK(found);
	memcpy(ret_function, &found, sizeof(found));
}

static HANDLE locked, unloaded;

static DWORD WINAPI lock_through_the_dll(void *argument)
{
	(void)argument;
	CHECK_RC(dll.lock(dll.segment, dll.address(dll.segment), STOA_TRY), 0);
	SetEvent(locked);
	WaitForSingleObject(unloaded, INFINITE);
	return 0;
}

/* Threads that took part call into it when they end: it stays, as long as the process does. */
TEST(a_dll_that_is_unloaded_stays)
{
	struct stoa_segment_options options = {.commit = 4096};
	char path[600], *name;
	HANDLE thread;

	GetModuleFileNameA(NULL, path, sizeof(path) - 40);
	name = strrchr(path, '\\');
	strcpy(name ? name + 1 : path, "..\\libstoa-0.dll");
	dll.module = LoadLibraryA(path);
	if (!dll.module)
		SKIP("no '%s': error %lu", path, GetLastError());
	find("stoa_segment_create", &dll.create);
	find("stoa_segment_address", &dll.address);
	find("stoa_mutex_init", &dll.init);
	find("stoa_mutex_lock", &dll.lock);
	CHECK_RC(dll.create(NULL, MIB, &options, &dll.segment), 0);
	CHECK_RC(dll.init(dll.segment, dll.address(dll.segment), 0), 0);
	locked = CreateEventA(NULL, TRUE, FALSE, NULL);
	unloaded = CreateEventA(NULL, TRUE, FALSE, NULL);
	thread = CreateThread(NULL, 0, lock_through_the_dll, NULL, 0, NULL);
	CHECK(thread);
	CHECK_EQ(WaitForSingleObject(locked, 20000), WAIT_OBJECT_0);
	CHECK(FreeLibrary(dll.module));
	SetEvent(unloaded);
	CHECK_EQ(WaitForSingleObject(thread, 20000), WAIT_OBJECT_0);
	CHECK(GetModuleHandleA("libstoa-0.dll") == dll.module);
	CHECK_RC(dll.lock(dll.segment, dll.address(dll.segment), STOA_TRY), STOA_OWNER_DIED);
	TEST_LEAKS_OK("the segment is left to the library that was unloaded");
}

/* ---- process ids ---- */

/* Windows opens a process by any of four numbers, of which one is its own. */
TEST(a_number_beside_a_process_is_none)
{
	struct stoa_process *process = NULL;
	int64_t self = GetCurrentProcessId();

	for (int64_t beside = 1; beside < 4; beside++)
		CHECK_RC(stoa_process_open(self + beside, &process), -STOA_ENOENT);
	CHECK(process == NULL);
	CHECK_RC(stoa_process_open(self, &process), 0);
	CHECK_EQ(stoa_process_exited(process), 0);
	stoa_process_close(process);
}
