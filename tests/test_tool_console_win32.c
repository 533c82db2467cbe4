/* SPDX-License-Identifier: MIT */
/*
 * The tool on a console of Windows: keys and the window's end, which end it and all its processes, and the console's settings, which are
 * found again as they were. Requests to end come as from the system: by a key's event, or, where only the system can make the event,
 * in a new thread at the place that the system would start one at. (Wine 8 has no event for Ctrl-Break.)
 */
#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <windows/start.h>
#include <winternl.h>

#include <tlhelp32.h>

#include <stoa/stoa.h>

#define BY_REQUEST 0xc000013a
#define SERVERS 3
#define PIPE 4096 /* bytes that a pipe takes unread */

struct tool {
	HANDLE process, output, input; /* our ends of its pipes */
	DWORD id;
};

static SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};

static bool launch(const char *arguments, DWORD flags, HANDLE input, HANDLE output, PROCESS_INFORMATION *ret_started)
{
	STARTUPINFOA how = {
		.cb = sizeof(how), .dwFlags = STARTF_USESTDHANDLES, .hStdInput = input, .hStdOutput = output};
	char line[1000];

	snprintf(line, sizeof(line), "\"%s\" %s", STOA_TOOL, arguments);
	return start_program(line, true, flags, &how, ret_started);
}

/* On a console of its own, without a window, between two pipes. */
static struct tool start(const char *arguments, DWORD flags)
{
	PROCESS_INFORMATION started;
	struct tool tool;
	HANDLE input, output;

	CHECK(CreatePipe(&input, &tool.input, &inherited, PIPE) && CreatePipe(&tool.output, &output, &inherited, PIPE));
	CHECK(SetHandleInformation(tool.input, HANDLE_FLAG_INHERIT, 0));
	CHECK(SetHandleInformation(tool.output, HANDLE_FLAG_INHERIT, 0));
	CHECK(launch(arguments, flags | CREATE_NO_WINDOW, input, output, &started));
	CloseHandle(input);
	CloseHandle(output);
	CloseHandle(started.hThread);
	tool.process = started.hProcess;
	tool.id = started.dwProcessId;
	return tool;
}

static DWORD finish(struct tool *tool)
{
	DWORD status = 0;

	WaitForSingleObject(tool->process, INFINITE);
	GetExitCodeProcess(tool->process, &status);
	CloseHandle(tool->process);
	CloseHandle(tool->output);
	CloseHandle(tool->input);
	return status;
}

/* ---- requests ---- */

/* In a role: a process has one console. */
static void press_ctrl_c(void *id)
{
	FreeConsole();
	CHECK(AttachConsole((DWORD)(uintptr_t)id));
	SetConsoleCtrlHandler(NULL, TRUE);
	CHECK(GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)); /* to all that are on this console */
}

static void request(const struct tool *tool, DWORD kind)
{
	LPTHREAD_START_ROUTINE place;
	FARPROC found = GetProcAddress(GetModuleHandleA("kernelbase.dll"), "CtrlRoutine");
	HANDLE thread;

	if (kind == CTRL_C_EVENT) {
		CHECK_EQ(test_join(test_role(press_ctrl_c, (void *)(uintptr_t)tool->id)), 0);
		return;
	}
	CHECK(found != NULL);
	memcpy(&place, &found, sizeof(place));
	thread = CreateRemoteThread(tool->process, NULL, 0, place, (void *)(uintptr_t)kind, 0, NULL);
	CHECK(thread != NULL);
	CloseHandle(thread);
}

static const DWORD requests[] = {CTRL_C_EVENT, CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT,
				 CTRL_SHUTDOWN_EVENT};

/* ---- find ---- */

/* False: not all are there yet. */
static bool find_servers(DWORD client, HANDLE ret_servers[SERVERS])
{
	PROCESSENTRY32 entry = {.dwSize = sizeof(entry)};
	HANDLE list = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
	DWORD found[SERVERS];
	unsigned count = 0;

	for (BOOL more = Process32First(list, &entry); more && count < SERVERS; more = Process32Next(list, &entry))
		if (entry.th32ParentProcessID == client && !strcmp(entry.szExeFile, "stoa.exe"))
			found[count++] = entry.th32ProcessID;
	CloseHandle(list);
	for (unsigned i = 0; i < SERVERS && count == SERVERS; i++)
		ret_servers[i] = OpenProcess(SYNCHRONIZE | PROCESS_SUSPEND_RESUME, FALSE, found[i]);
	return count == SERVERS;
}

/* More entries than the servers have room for until their client prints some, which nobody reads. */
static void make_tree(void)
{
	char path[MAX_PATH], name[151];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (unsigned i = 0; i < 30; i++) {
		snprintf(path, sizeof(path), "%s\\%u", test_dir(), i);
		CHECK(CreateDirectoryA(path, NULL));
		for (unsigned k = 0; k < 100; k++) {
			HANDLE file;

			snprintf(path, sizeof(path), "%s\\%u\\%02u%s", test_dir(), i, k, name);
			file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
			CHECK(file != INVALID_HANDLE_VALUE);
			CloseHandle(file);
		}
	}
}

static struct tool start_search(const char *patience, HANDLE ret_servers[SERVERS])
{
	struct tool tool;
	char line[MAX_PATH + 60];

	snprintf(line, sizeof(line), "find \"%s\" --jobs %d --patience %s", test_dir(), SERVERS, patience);
	tool = start(line, 0);
	while (!find_servers(tool.id, ret_servers))
		test_nap(20);
	return tool;
}

static void await_servers(HANDLE servers[SERVERS])
{
	for (unsigned i = 0; i < SERVERS; i++) {
		CHECK(servers[i] != NULL);
		WaitForSingleObject(servers[i], INFINITE);
		CloseHandle(servers[i]);
	}
}

TEST_TIMEOUT(a_search_ends_with_all_its_servers_when_asked_to, 120)
{
	make_tree();
	for (size_t i = 0; i < CC_COUNT(requests); i++) {
		HANDLE servers[SERVERS] = {NULL};
		struct tool tool = start_search("1h", servers);
		char byte;
		DWORD got;

		CHECK(ReadFile(tool.output, &byte, 1, &got, NULL)); /* it is at work */
		request(&tool, requests[i]);
		CHECK_EQ(finish(&tool), BY_REQUEST);
		await_servers(servers);
	}
}

static void stop(HANDLE servers[SERVERS])
{
	LONG(NTAPI * suspend)(HANDLE process);
	FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtSuspendProcess");

	CHECK(found != NULL);
	memcpy(&suspend, &found, sizeof(suspend));
	for (unsigned i = 0; i < SERVERS; i++)
		CHECK(suspend(servers[i]) >= 0);
}

/* They cannot look for their client then. */
TEST_TIMEOUT(stopped_servers_end_with_their_client, 60)
{
	HANDLE servers[SERVERS] = {NULL};
	struct tool tool;

	make_tree();
	tool = start_search("1h", servers);
	stop(servers);
	CHECK(TerminateProcess(tool.process, 77));
	CHECK_EQ(finish(&tool), 77);
	await_servers(servers);
}

static uint64_t read_all(const struct tool *tool)
{
	static char bytes[1 << 16];
	uint64_t total = 0;
	DWORD got;

	while (ReadFile(tool->output, bytes, sizeof(bytes), &got, NULL) && got)
		total += got;
	return total;
}

/* The entries have the same length in any order. */
TEST_TIMEOUT(stopped_servers_are_replaced, 60)
{
	HANDLE servers[SERVERS] = {NULL};
	struct tool tool;
	uint64_t total;

	make_tree();
	tool = start_search("1h", servers);
	total = read_all(&tool);
	CHECK_EQ(finish(&tool), 0);
	await_servers(servers);
	tool = start_search("2s", servers);
	stop(servers);
	CHECK_EQ(read_all(&tool), total);
	CHECK_EQ(finish(&tool), 0);
	await_servers(servers);
}

/* ---- create --hold ---- */

static struct tool hold(const char *name, DWORD flags)
{
	char line[300];
	struct tool tool;
	DWORD got;

	snprintf(line, sizeof(line), "create %s --reserve 1MiB --hold --json", name);
	tool = start(line, flags);
	CHECK(ReadFile(tool.output, line, sizeof(line), &got, NULL)); /* it is there */
	return tool;
}

TEST_TIMEOUT(a_held_segment_goes_when_its_holder_is_asked_to, 60)
{
	const char *name = test_name("held");
	struct stoa_segment *segment;

	for (size_t i = 0; i < CC_COUNT(requests); i++) {
		struct tool tool = hold(name, 0);

		CHECK_RC(stoa_segment_open(name, NULL, &segment), 0);
		stoa_segment_close(segment);
		request(&tool, requests[i]);
		CHECK_EQ(finish(&tool), BY_REQUEST);
		CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
	}
}

TEST(a_held_segment_goes_with_the_end_of_the_input)
{
	const char *name = test_name("held");
	struct tool tool = hold(name, 0);
	struct stoa_segment *segment;

	CloseHandle(tool.input);
	tool.input = NULL;
	CHECK_EQ(finish(&tool), 0);
	CHECK_RC(stoa_segment_open(name, NULL, &segment), -STOA_ENOENT);
}

/* ---- settings ---- */

static struct {
	HANDLE handle;
	UINT page;
	DWORD mode;
} screen;

static void open_screen(void)
{
	screen.handle = CreateFileA("CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
				    &inherited, OPEN_EXISTING, 0, NULL);
	CHECK(screen.handle != INVALID_HANDLE_VALUE);
	CHECK(SetConsoleOutputCP(437) && SetConsoleMode(screen.handle, ENABLE_PROCESSED_OUTPUT));
	screen.page = 437;
	CHECK(GetConsoleMode(screen.handle, &screen.mode));
}

static bool is_as_before(void)
{
	DWORD mode = 0;

	CHECK(GetConsoleMode(screen.handle, &mode));
	return GetConsoleOutputCP() == screen.page && mode == screen.mode;
}

/* In a role, on the console of process `number`, which is in a group of its own: the tool, which writes to the console, and Ctrl-C or not. */
static void look_at_settings(void *number)
{
	PROCESS_INFORMATION started;
	DWORD status;

	FreeConsole();
	CHECK(AttachConsole((DWORD)(uintptr_t)number));
	SetConsoleCtrlHandler(NULL, TRUE);
	open_screen();
	CHECK(launch("doctor", 0, NULL, screen.handle, &started));
	WaitForSingleObject(started.hProcess, INFINITE);
	CHECK(GetExitCodeProcess(started.hProcess, &status) && status == 0);
	CHECK(is_as_before());
	SetConsoleCtrlHandler(NULL, FALSE); /* which a new process would inherit */
	CHECK(launch("find C:\\windows --jobs 2", 0, NULL, screen.handle, &started));
	while (GetConsoleOutputCP() == screen.page) /* what comes last */
		test_nap(1);
	CHECK_EQ(GetConsoleOutputCP(), CP_UTF8);
	SetConsoleCtrlHandler(NULL, TRUE);
	CHECK(GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0));
	WaitForSingleObject(started.hProcess, INFINITE);
	CHECK(GetExitCodeProcess(started.hProcess, &status));
	CHECK_EQ(status, BY_REQUEST);
	CHECK(is_as_before());
}

TEST_TIMEOUT(the_console_is_left_as_it_was, 60)
{
	struct tool keeper = hold(test_name("keeper"), CREATE_NEW_PROCESS_GROUP);
	int status = test_join(test_role(look_at_settings, (void *)(uintptr_t)keeper.id));

	CloseHandle(keeper.input);
	keeper.input = NULL;
	finish(&keeper);
	CHECK_EQ(status, 0);
}
