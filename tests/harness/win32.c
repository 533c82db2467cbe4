/* SPDX-License-Identifier: MIT */
/*
 * The Windows half of the test harness, over the Win32 API; tested under Wine, and so it leans on nothing that Wine lacks.
 *
 * There is no fork: each test and each role is this program, started again in the test's job. What they share lies in one section
 * that each maps at the same address; with the program's own addresses fixed (by the linker), a function or static object has one
 * address in all of them. So a process is told what to do by a struct start in the section. Views of segments are made to lie
 * elsewhere in each role.
 */
#include <harness/harness.h>

#include <fcntl.h>
#include <inttypes.h>
#include <io.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <winternl.h>

#include <tlhelp32.h>

#include <windows/start.h>

#define TOKEN_ROOM 128

const unsigned test_start_cost = 5;

/* A segment that roles get a handle of. */
struct share {
	struct stoa_segment **segment;
	void (*after)(void);
	int (*inherit)(struct stoa_segment *segment, char *token);
	int (*adopt)(const char *token, struct stoa_segment **ret_segment);
	char token[TOKEN_ROOM];
};
static struct share shares[8];

/* What a new process is to do. */
struct start {
	const struct test *test;
	void (*body)(void *argument); /* of a role; NULL: run the test */
	void *argument;
	struct share shares[CC_COUNT(shares)];
	_Atomic uint32_t started;
};

/* The section: handed out in order, zeroed for each test. */
struct arena {
	struct test_status status;
	_Atomic uint64_t used;
	unsigned char memory[];
};
#define ARENA ((struct arena *)(uintptr_t)0x10000000000)
#define ARENA_SIZE (64u << 20)
static HANDLE section;

static void *arena_take(size_t size)
{
	uint64_t at = atomic_fetch_add(&ARENA->used, (size + 63) & ~UINT64_C(63));

	return at + size > ARENA_SIZE - 2 * sizeof(struct arena) ? NULL : ARENA->memory + at;
}

static bool map_arena(void)
{
	return MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, ARENA) == ARENA;
}

void *test_shared(size_t size)
{
	void *memory = arena_take(size);

	CHECK(memory);
	return memory;
}

/* ---- processes ---- */

static SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};

static bool launch(const struct start *start, HANDLE output, PROCESS_INFORMATION *ret_process)
{
	STARTUPINFOA how = {
		.cb = sizeof(how), .dwFlags = STARTF_USESTDHANDLES, .hStdOutput = output, .hStdError = output};
	char program[1024], line[1200];

	GetModuleFileNameA(NULL, program, sizeof(program));
	snprintf(line, sizeof(line), "\"%s\" --child %p %p", program, (void *)section, (const void *)start);
	return start_program(line, true, CREATE_SUSPENDED, &how, ret_process);
}

/* ---- leaks ---- */

enum { MAX_HANDLE = 1024, MAX_MAPPINGS = 512 };

struct holdings {
	bool handles[MAX_HANDLE];
	void *mappings[MAX_MAPPINGS];
	unsigned mapping_count, threads;
};

static unsigned count_threads(void)
{
	HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
	THREADENTRY32 thread = {.dwSize = sizeof(thread)};
	unsigned count = 0;

	for (BOOL more = Thread32First(snapshot, &thread); more; more = Thread32Next(snapshot, &thread))
		count += thread.th32OwnerProcessID == GetCurrentProcessId();
	CloseHandle(snapshot);
	return count;
}

static void take_stock(struct holdings *now)
{
	MEMORY_BASIC_INFORMATION region;
	DWORD flags;

	memset(now, 0, sizeof(*now));
	for (unsigned i = 1; i < MAX_HANDLE; i++)
		now->handles[i] = GetHandleInformation((HANDLE)(uintptr_t)(4 * i), &flags);
	for (char *at = NULL; VirtualQuery(at, &region, sizeof(region));
	     at = (char *)region.BaseAddress + region.RegionSize)
		if (region.Type == MEM_MAPPED && region.BaseAddress == region.AllocationBase &&
		    now->mapping_count < MAX_MAPPINGS)
			now->mappings[now->mapping_count++] = region.AllocationBase;
	now->threads = count_threads();
}

static bool mapped_before(const struct holdings *before, const void *mapping)
{
	for (unsigned i = 0; i < before->mapping_count; i++)
		if (before->mappings[i] == mapping)
			return true;
	return false;
}

static void find_handles(const struct holdings *before, const struct holdings *now, char *text, size_t size)
{
	struct {
		PUBLIC_OBJECT_TYPE_INFORMATION of;
		wchar_t name[64];
	} type;
	unsigned count = 0, example = 0;

	for (unsigned i = 0; i < MAX_HANDLE; i++)
		if (now->handles[i] && !before->handles[i]) {
			count++;
			example = 4 * i;
		}
	memset(&type, 0, sizeof(type));
	if (count)
		NtQueryObject((HANDLE)(uintptr_t)example, ObjectTypeInformation, &type, sizeof(type), NULL);
	if (count)
		snprintf(text, size, "leak: %u handle(s), e.g. 0x%x, a %ls", count, example,
			 type.of.TypeName.Buffer ? type.of.TypeName.Buffer : L"?");
}

static bool roles_left(void);

static bool find_leak(const struct holdings *before, char *text, size_t size)
{
	static struct holdings now;
	unsigned count = 0;
	void *example = NULL;

	text[0] = 0;
	take_stock(&now);
	for (unsigned i = 0; i < now.mapping_count; i++)
		if (!mapped_before(before, now.mappings[i])) {
			count++;
			example = now.mappings[i];
		}
	if (roles_left())
		snprintf(text, size, "leak: a child process is left, running or not waited for");
	else if (now.threads > before->threads)
		snprintf(text, size, "leak: %u thread(s)", now.threads - before->threads);
	else if (count)
		snprintf(text, size, "leak: %u mapping(s), e.g. %p", count, example);
	else
		find_handles(before, &now, text, size);
	return text[0];
}

/* As on Linux: what is ending may take a while. */
static void check_leaks(const struct holdings *before, bool foretold)
{
	ULONGLONG until = GetTickCount64() + (foretold ? 100 : 5000);
	char text[256];

	while (!atomic_load(&test_status->leaks_ok) && find_leak(before, text, sizeof(text))) {
		if (GetTickCount64() >= until)
			test_conclude(TEST_FAILED, NULL, 0, "%s", text);
		if (GetTickCount64() >= until)
			return;
		test_nap(2);
	}
}

/* ---- the directory of a test ---- */

static char dir[MAX_PATH];

static void name_dir(uint32_t pid)
{
	char base[MAX_PATH - 40];

	GetTempPathA(sizeof(base), base);
	snprintf(dir, sizeof(dir), "%sstoa-test-%" PRIu32, base, pid);
}

const char *test_dir(void)
{
	if (!CreateDirectoryA(dir, NULL) && GetLastError() != ERROR_ALREADY_EXISTS)
		test_fail(__FILE__, __LINE__, "%s: error %lu", dir, GetLastError());
	return dir;
}

static void remove_tree(const char *path)
{
	char pattern[MAX_PATH + 8], entry[2 * MAX_PATH + 8];
	WIN32_FIND_DATAA found;
	HANDLE search;

	snprintf(pattern, sizeof(pattern), "%s\\*", path);
	search = FindFirstFileA(pattern, &found);
	for (BOOL more = search != INVALID_HANDLE_VALUE; more; more = FindNextFileA(search, &found)) {
		if (strcmp(found.cFileName, ".") == 0 || strcmp(found.cFileName, "..") == 0)
			continue;
		snprintf(entry, sizeof(entry), "%s\\%s", path, found.cFileName);
		SetFileAttributesA(entry, FILE_ATTRIBUTE_NORMAL);
		if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
			remove_tree(entry);
		else
			DeleteFileA(entry);
	}
	if (search != INVALID_HANDLE_VALUE)
		FindClose(search);
	RemoveDirectoryA(path);
}

/* ---- one test ---- */

static const struct start *my_start;

static LONG WINAPI on_crash(EXCEPTION_POINTERS *what)
{
	DWORD code = what->ExceptionRecord->ExceptionCode;

	fflush(NULL);
	if (!my_start->body)
		test_conclude(TEST_FAILED, NULL, 0, "crash: exception 0x%lx at %p", code,
			      what->ExceptionRecord->ExceptionAddress);
	TerminateProcess(GetCurrentProcess(), code);
	return EXCEPTION_EXECUTE_HANDLER;
}

noreturn void test_end(void)
{
	uint32_t pid = atomic_load(&test_status->pid);
	HANDLE test = pid == GetCurrentProcessId() ? NULL : OpenProcess(PROCESS_TERMINATE, FALSE, pid);

	fflush(NULL);
	if (test)
		TerminateProcess(test, 1);
	for (;;)
		TerminateProcess(GetCurrentProcess(), 1);
}

static void *nothing(void *argument)
{
	return argument;
}

/* What the system's libraries open at the first use of files, names, threads and thread-local storage is not the test's. */
static void warm_up(void)
{
	HANDLE named = CreateEventA(NULL, FALSE, FALSE, "Local\\stoa-test");
	FILE *first = fopen("NUL", "r");
	pthread_t thread;

	if (first)
		fclose(first);
	if (pthread_create(&thread, NULL, nothing, NULL) == 0)
		pthread_join(thread, NULL);
	CloseHandle(named);
	test_name("first");
}

noreturn static void run_test(void)
{
	static struct holdings before;

	warm_up();
	atomic_store(&test_status->pid, (uint32_t)GetCurrentProcessId());
	take_stock(&before);
	my_start->test->body();
	fflush(NULL);
	remove_tree(dir);
	check_leaks(&before, my_start->test->must_fail);
	test_conclude(TEST_PASSED, NULL, 0, "passed");
	fflush(NULL);
	_exit(0);
}

/* Make views lie elsewhere than in the process that started this one: gaps of each size are taken. */
static void take_gaps(void)
{
	for (size_t size = 1 << 16; size <= (size_t)1 << 34; size <<= 1)
		VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
}

noreturn static void run_role(void)
{
	take_gaps();
	memcpy(shares, my_start->shares, sizeof(shares));
	for (unsigned i = 0; i < CC_COUNT(shares); i++) {
		if (!shares[i].token[0])
			continue;
		CHECK_RC(shares[i].adopt(shares[i].token, shares[i].segment), 0);
		if (shares[i].after)
			shares[i].after();
	}
	atomic_store(&((struct start *)(uintptr_t)my_start)->started, 1);
	my_start->body(my_start->argument);
	fflush(NULL);
	_exit(0);
}

void system_child(int count, char **arguments)
{
	if (count != 4 || strcmp(arguments[1], "--child") != 0)
		return;
	section = (HANDLE)(uintptr_t)strtoull(arguments[2], NULL, 16);
	my_start = (const struct start *)(uintptr_t)strtoull(arguments[3], NULL, 16);
	if (!map_arena())
		ExitProcess(3);
	test_status = &ARENA->status;
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	SetUnhandledExceptionFilter(on_crash);
	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stderr, NULL, _IONBF, 0);
	name_dir(my_start->body ? atomic_load(&test_status->pid) : (uint32_t)GetCurrentProcessId());
	if (my_start->body)
		run_role();
	run_test();
}

void system_start(void)
{
	section = CreateFileMappingA(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0, ARENA_SIZE, NULL);
	if (!section || !map_arena()) {
		fprintf(stderr, "no memory to share with the tests: error %lu\n", GetLastError());
		ExitProcess(1);
	}
	test_status = &ARENA->status;
	_setmode(_fileno(stdout), _O_BINARY);
}

static HANDLE open_output(void)
{
	char base[MAX_PATH - 14], path[MAX_PATH];

	GetTempPathA(sizeof(base), base);
	GetTempFileNameA(base, "out", 0, path);
	return CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
			   &inherited, CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

/* Whatever joins the job ends with it, at the latest when this process ends. */
static HANDLE make_job(void)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = {.BasicLimitInformation.LimitFlags =
							      JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
	HANDLE job = CreateJobObjectA(NULL, NULL);

	SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof(limit));
	return job;
}

static void conclude(HANDLE process, unsigned seconds)
{
	DWORD ended = WaitForSingleObject(process, seconds * 1000), code = 0;

	if (ended == WAIT_TIMEOUT)
		test_conclude(TEST_FAILED, NULL, 0, "hang: not finished after %u s", seconds);
	GetExitCodeProcess(process, &code);
	test_conclude(TEST_FAILED, NULL, 0, "ended early with exit status %ld", code);
}

void system_run(const struct test *test, unsigned seconds, FILE **ret_output)
{
	HANDLE output = open_output(), job = make_job();
	PROCESS_INFORMATION process;
	struct start *start;

	memset(ARENA->memory, 0,
	       atomic_load(&ARENA->used) < ARENA_SIZE / 2 ? atomic_load(&ARENA->used) : ARENA_SIZE / 2);
	atomic_store(&ARENA->used, 0);
	start = arena_take(sizeof(*start));
	start->test = test;
	if (launch(start, output, &process) && AssignProcessToJobObject(job, process.hProcess)) {
		ResumeThread(process.hThread);
		conclude(process.hProcess, seconds);
		TerminateJobObject(job, 1);
		finish_program(&process);
		name_dir(process.dwProcessId);
		remove_tree(dir);
	} else {
		test_conclude(TEST_FAILED, NULL, 0, "no process: error %lu", GetLastError());
	}
	CloseHandle(job);
	*ret_output = fdopen(_open_osfhandle((intptr_t)output, _O_RDONLY | _O_TEXT), "r");
}

/* ---- roles ---- */

static struct role {
	PROCESS_INFORMATION is; /* dwProcessId 0: free */
	struct start *start;
} roles[64];

static struct role *find_role(DWORD pid)
{
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		if (roles[i].is.dwProcessId == pid)
			return &roles[i];
	test_fail(__FILE__, __LINE__, "no role has the number %lu, or there are too many", pid);
}

static bool roles_left(void)
{
	for (unsigned i = 0; i < CC_COUNT(roles); i++)
		if (roles[i].is.dwProcessId)
			return true;
	return false;
}

void test_share_with(struct stoa_segment **segment, void (*after)(void),
		     int (*inherit)(struct stoa_segment *segment, char *token),
		     int (*adopt)(const char *token, struct stoa_segment **ret_segment))
{
	unsigned i = 0;

	while (i < CC_COUNT(shares) && shares[i].segment && shares[i].segment != segment)
		i++;
	CHECK(i < CC_COUNT(shares));
	shares[i] = (struct share){segment, after, inherit, adopt, ""};
}

/* Whether it lies in that program or library; NULL: in this one. */
static bool in_module(const char *name, uintptr_t address)
{
	const char *module = (const char *)GetModuleHandleA(name);
	const IMAGE_DOS_HEADER *start = (const void *)module;
	const IMAGE_NT_HEADERS *headers = (const void *)(module + start->e_lfanew);

	return address - (uintptr_t)module < headers->OptionalHeader.SizeOfImage;
}

/* Does the address mean the same in a role? Numbers do, and what is in the arena or the program. */
static bool same_in_roles(uintptr_t address)
{
	return address < 0x10000 || address - (uintptr_t)ARENA < ARENA_SIZE || in_module(NULL, address);
}

pid_t test_role_start(const char *name, void (*body)(void *argument), void *argument)
{
	struct start *start = arena_take(sizeof(*start));
	struct role *role = find_role(0);

	CHECK(start);
	if (!same_in_roles((uintptr_t)argument))
		test_fail(__FILE__, __LINE__, "%s: an argument must be a number, test_shared() or static", name);
	*start = (struct start){my_start->test, body, argument, {{NULL, NULL, NULL, NULL, ""}}, 0};
	for (unsigned i = 0; i < CC_COUNT(shares) && shares[i].segment; i++) {
		start->shares[i] = shares[i];
		start->shares[i].token[0] = 0;
		if (*shares[i].segment)
			CHECK_RC(shares[i].inherit(*shares[i].segment, start->shares[i].token), 0);
	}
	fflush(NULL);
	if (!launch(start, GetStdHandle(STD_OUTPUT_HANDLE), &role->is))
		test_fail(__FILE__, __LINE__, "%s: no process: error %lu", name, GetLastError());
	role->start = start;
	ResumeThread(role->is.hThread);
	return (pid_t)role->is.dwProcessId;
}

static int meaning(DWORD code)
{
	switch (code) {
	case HARNESS_KILLED: return TEST_KILLED;
	case STATUS_ACCESS_VIOLATION:
	case STATUS_IN_PAGE_ERROR: return -SIGSEGV;
	default: return (int)code;
	}
}

int test_join(pid_t pid)
{
	struct role *role = find_role((DWORD)pid);
	DWORD code = finish_program(&role->is);

	role->is.dwProcessId = 0;
	return meaning(code);
}

void test_kill(pid_t pid)
{
	CHECK(TerminateProcess(find_role((DWORD)pid)->is.hProcess, HARNESS_KILLED));
	test_join(pid);
}

/* A number for the place in the system where the thread is; 0 while it runs code of its own. */
static uintptr_t place_in_system(HANDLE thread)
{
	CONTEXT context = {.ContextFlags = CONTEXT_CONTROL};
	BOOL known;

	SuspendThread(thread);
	known = GetThreadContext(thread, &context);
	ResumeThread(thread);
	return known && in_module("ntdll", context.Rip) ? context.Rsp ^ context.Rip : 0;
}

/* Wine does not tell a thread's state. One that is at the same place in the same system call for a while sleeps. */
void test_await_sleep(pid_t pid)
{
	struct role *role = find_role((DWORD)pid);
	uintptr_t before = 0, place;

	for (unsigned same = 0; same < 4; test_nap(2)) {
		if (WaitForSingleObject(role->is.hProcess, 0) == WAIT_OBJECT_0)
			test_fail(__FILE__, __LINE__, "process %lu is gone", role->is.dwProcessId);
		place = atomic_load(&role->start->started) ? place_in_system(role->is.hThread) : 0;
		same = place && place == before ? same + 1 : 0;
		before = place;
	}
}

bool test_readable(intptr_t descriptor, int milliseconds)
{
	return WaitForSingleObject((HANDLE)descriptor, milliseconds < 0 ? INFINITE : (DWORD)milliseconds) ==
	       WAIT_OBJECT_0;
}
