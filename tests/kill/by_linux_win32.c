/* SPDX-License-Identifier: MIT */
/*
 * Under Wine, the killer may be Linux: tests/kill_by_linux starts a test program with STOA_KILLER=stderr, and sends a SIGKILL to each
 * process that the program would have ended by TerminateProcess(). Wine hears of that death as of any: a connection closes. It ends at
 * once and anywhere, in the middle of a system call of Wine's, too.
 *
 * Part of the harness of every test program. The program's calls of three functions of the system are led here; what is
 * started and what is to be killed goes down the standard error output as lines
 *
 *   start PROCESS COMMAND-LINE        kill PROCESS
 */
#include <windows/imports.h>

#include <base/cc.h>
#include <harness/harness.h>
#include <kill/system.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static HANDLE killer; /* the pipe to it; NULL: there is none */
static DWORD killed[64];
typedef BOOL WINAPI create_function(LPCSTR program, LPSTR line, LPSECURITY_ATTRIBUTES process,
				    LPSECURITY_ATTRIBUTES thread, BOOL inherit, DWORD flags, LPVOID environment,
				    LPCSTR directory, LPSTARTUPINFOA how, LPPROCESS_INFORMATION ret_process);
typedef BOOL WINAPI terminate_function(HANDLE process, UINT code);
typedef BOOL WINAPI exit_code_function(HANDLE process, LPDWORD ret_code);
static create_function *create_process;
static terminate_function *terminate_process;
static exit_code_function *get_exit_code;

const char *killer_name(void)
{
	return killer ? "SIGKILL from Linux" : "TerminateProcess()";
}

static BOOL say(const char *verb, DWORD process, const char *rest)
{
	char text[1400];
	DWORD done;
	int length = snprintf(text, sizeof(text), "%s %lu %s\n", verb, process, rest);

	return WriteFile(killer, text, (DWORD)length, &done, NULL);
}

static BOOL WINAPI create_and_say(const char *program, char *line, SECURITY_ATTRIBUTES *process,
				  SECURITY_ATTRIBUTES *thread, BOOL inherit, DWORD flags, void *environment,
				  const char *directory, STARTUPINFOA *how, PROCESS_INFORMATION *ret_process)
{
	BOOL done = create_process(program, line, process, thread, inherit, flags, environment, directory, how,
				   ret_process);

	return done && say("start", ret_process->dwProcessId, line) && done;
}

static DWORD *place_of(DWORD process)
{
	for (unsigned i = 0; i < CC_COUNT(killed); i++)
		if (killed[i] == process)
			return &killed[i];
	return NULL;
}

/* What only ends itself, or a test that has failed, does so as ever. */
static BOOL WINAPI have_killed(HANDLE process, UINT code)
{
	DWORD number = code == HARNESS_KILLED ? GetProcessId(process) : 0, *place = place_of(0);

	if (!number || !place)
		return terminate_process(process, code);
	*place = number;
	return say("kill", number, "");
}

static BOOL WINAPI exit_code(HANDLE process, DWORD *ret_code)
{
	DWORD number = GetProcessId(process), *place = number ? place_of(number) : NULL;

	if (!place)
		return get_exit_code(process, ret_code);
	*place = 0;
	*ret_code = HARNESS_KILLED;
	return TRUE;
}

CC_CONSTRUCTOR static void follow(void)
{
	const char *wanted = getenv("STOA_KILLER");
	HANDLE errors = GetStdHandle(STD_ERROR_HANDLE);
	char number[24];

	if (!wanted)
		return;
	/* The first process has it as its error output, the others by its number. */
	killer = strcmp(wanted, "stderr") == 0 ? errors : (HANDLE)(uintptr_t)strtoull(wanted, NULL, 16);
	SetHandleInformation(killer, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
	snprintf(number, sizeof(number), "%p", killer);
	SetEnvironmentVariableA("STOA_KILLER", number);
	create_process = (create_function *)imports_redirect("CreateProcessA", (import_function *)create_and_say);
	terminate_process = (terminate_function *)imports_redirect("TerminateProcess", (import_function *)have_killed);
	get_exit_code = (exit_code_function *)imports_redirect("GetExitCodeProcess", (import_function *)exit_code);
}
