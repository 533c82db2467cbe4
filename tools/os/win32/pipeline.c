/* SPDX-License-Identifier: MIT */
/*
 * Pipelines on Windows: anonymous pipes of the system between the programs. Where bytes are counted, a thread reads from one and writes to the
 * next. Ctrl-C goes to all that share the console; this process lets it pass, and tells how the others took it.
 */
#include "../pipeline.h"
#include "started.h"

#include <stdlib.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stoa/sync.h>

#define PIECE 65536u

int pipeline_ended_by(int status)
{
	(void)status;
	return 0; /* the status itself says it here */
}

static BOOL WINAPI let_pass(DWORD kind)
{
	return kind == CTRL_C_EVENT || kind == CTRL_BREAK_EVENT;
}

/* ---- counting ---- */

struct relay {
	struct pipeline_link *link;
	HANDLE from, to, thread;
};

static DWORD WINAPI carry(void *argument)
{
	struct relay *relay = argument;
	char *bytes = malloc(PIECE);
	bool taken = bytes != NULL;

	while (taken) {
		uint64_t begun = stoa_now();
		DWORD got = 0;

		if (!ReadFile(relay->from, bytes, PIECE, &got, NULL))
			break;
		relay->link->waited_for_input += stoa_now() - begun;
		begun = stoa_now();
		for (DWORD at = 0, done = 0; at < got && taken; at += done)
			taken = WriteFile(relay->to, bytes + at, got - at, &done, NULL);
		relay->link->waited_for_output += stoa_now() - begun;
		relay->link->bytes += taken ? got : 0;
	}
	/* Whoever still writes learns that nobody reads, and the other way round. */
	CloseHandle(relay->from);
	CloseHandle(relay->to);
	free(bytes);
	return 0;
}

static void start_relay(struct relay *relay)
{
	relay->thread = CreateThread(NULL, 0, carry, relay, 0, NULL);
	if (!relay->thread) {
		CloseHandle(relay->from);
		CloseHandle(relay->to);
	}
}

/* ---- starting ---- */

static void close_if(HANDLE handle)
{
	if (handle)
		CloseHandle(handle);
}

static void inherit(HANDLE handle, bool is_to)
{
	if (handle && handle != INVALID_HANDLE_VALUE)
		SetHandleInformation(handle, HANDLE_FLAG_INHERIT, is_to ? HANDLE_FLAG_INHERIT : 0);
}

/* Only what is its own is inherited; the next one's pipes are not made yet, or not marked. */
static DWORD spawn(char *const *words, HANDLE input, HANDLE output, HANDLE *ret_process)
{
	STARTUPINFOEXW how = {.StartupInfo = {.cb = sizeof(how.StartupInfo),
					      .dwFlags = STARTF_USESTDHANDLES,
					      .hStdInput = input,
					      .hStdOutput = output,
					      .hStdError = GetStdHandle(STD_ERROR_HANDLE)}};
	PROCESS_INFORMATION started;
	wchar_t *line = started_command_line(words);
	DWORD error;

	if (!line)
		return ERROR_NOT_ENOUGH_MEMORY;
	inherit(input, true);
	inherit(output, true);
	inherit(how.StartupInfo.hStdError, true);
	error = started_create(NULL, line, 0, &how, &started);
	inherit(input, false);
	inherit(output, false);
	free(line);
	if (error)
		return error;
	CloseHandle(started.hThread);
	*ret_process = started.hProcess;
	return 0;
}

static void start_command(struct pipeline *pipeline, size_t i, HANDLE input, HANDLE output, HANDLE *ret_process)
{
	char *const *words = pipeline->commands[i];
	DWORD error = spawn(words, input ? input : GetStdHandle(STD_INPUT_HANDLE),
			    output ? output : GetStdHandle(STD_OUTPUT_HANDLE), ret_process);
	bool found = error != ERROR_FILE_NOT_FOUND && error != ERROR_PATH_NOT_FOUND;

	if (!error)
		return;
	pipeline->statuses[i] = found ? 126 : 127;
	pipeline->refused(words[0], found, (int)error);
}

static DWORD open_link(const struct pipeline *pipeline, size_t i, struct relay *relays, HANDLE *ret_written,
		       HANDLE *ret_read)
{
	DWORD room = pipeline->buffer < (1u << 30) ? (DWORD)pipeline->buffer : 1u << 30;
	HANDLE first[2], second[2];

	if (!CreatePipe(&first[0], &first[1], NULL, room))
		return GetLastError();
	if (pipeline->counts && !CreatePipe(&second[0], &second[1], NULL, room)) {
		CloseHandle(first[0]);
		CloseHandle(first[1]);
		return GetLastError();
	}
	*ret_written = first[1];
	*ret_read = pipeline->counts ? second[0] : first[0];
	if (pipeline->counts)
		relays[i] = (struct relay){.link = &pipeline->links[i], .from = first[0], .to = second[1]};
	return 0;
}

/* `outer` is what stands behind the last; "": nothing. */
static void name_links(const struct pipeline *pipeline, size_t i, const char *outer)
{
	const char *next = i + 1 < pipeline->count ? pipeline->names[i] : outer;

	if (i > 0)
		SetEnvironmentVariableA("STOA_STREAM_IN", pipeline->names[i - 1]);
	SetEnvironmentVariableA("STOA_STREAM_OUT", next[0] ? next : NULL);
}

static void start_all(struct pipeline *pipeline, struct relay *relays, HANDLE *processes)
{
	char outer[512] = "";
	HANDLE input = NULL;

	if (GetEnvironmentVariableA("STOA_STREAM_OUT", outer, sizeof(outer)) >= sizeof(outer))
		outer[0] = 0; /* no name is that long */
	for (size_t i = 0; i < pipeline->count; i++) {
		HANDLE output = NULL, next = NULL;
		DWORD error = 0;

		if (i + 1 < pipeline->count)
			error = open_link(pipeline, i, relays, &output, &next);
		if (error) {
			for (; i < pipeline->count; i++) {
				pipeline->statuses[i] = 126;
				pipeline->refused(pipeline->commands[i][0], true, (int)error);
			}
		} else {
			name_links(pipeline, i, outer);
			start_command(pipeline, i, input, output, &processes[i]);
		}
		close_if(input);
		close_if(output);
		input = next;
	}
}

static int status_of(HANDLE process)
{
	DWORD status = 0;

	WaitForSingleObject(process, INFINITE);
	GetExitCodeProcess(process, &status);
	CloseHandle(process);
	return (int)status;
}

int pipeline_run(struct pipeline *pipeline)
{
	struct relay *relays = calloc(pipeline->count, sizeof(*relays));
	HANDLE *processes = calloc(pipeline->count, sizeof(HANDLE));
	int error = 0;

	if (!relays || !processes) {
		error = ERROR_NOT_ENOUGH_MEMORY;
		goto out;
	}
	SetConsoleCtrlHandler(let_pass, TRUE);
	start_all(pipeline, relays, processes);
	for (size_t i = 0; i + 1 < pipeline->count; i++)
		if (relays[i].link)
			start_relay(&relays[i]);
	for (size_t i = 0; i < pipeline->count; i++)
		if (processes[i])
			pipeline->statuses[i] = status_of(processes[i]);
	for (size_t i = 0; i + 1 < pipeline->count; i++) {
		if (!relays[i].thread)
			continue;
		WaitForSingleObject(relays[i].thread, INFINITE);
		CloseHandle(relays[i].thread);
	}
out:
	free(processes);
	free(relays);
	return error;
}
