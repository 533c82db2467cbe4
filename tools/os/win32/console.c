/* SPDX-License-Identifier: MIT */
/*
 * The standard streams and the console on Windows. The streams carry bytes; a console is told that they are UTF-8, and to obey escape
 * sequences, and gets its former settings back at the end, also where a key or the window's end is that end.
 */
#include "../console.h"
#include "asked.h"
#include "wide.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#ifndef ENABLE_VIRTUAL_TERMINAL_PROCESSING
#define ENABLE_VIRTUAL_TERMINAL_PROCESSING 4
#endif
#define STREAM_BYTES 65536
#define ENDED_BY_REQUEST 0xc000013au /* the status that the system gives for Ctrl-C */
#define LAST_WORDS 5000              /* milliseconds for the end after a window was closed; the system gives no more */

/* A stream that is a console: what it was like. */
struct screen {
	HANDLE handle;
	DWORD mode;
	bool is_console;
	bool escapes;
};
static struct screen screens[2]; /* of the output and the error output */
static UINT code_page;

/* Twice does no harm. */
static void restore(void)
{
	for (size_t i = 0; i < sizeof(screens) / sizeof(*screens); i++)
		if (screens[i].escapes)
			SetConsoleMode(screens[i].handle, screens[i].mode);
	if (code_page)
		SetConsoleOutputCP(code_page);
}

static void flush_and_restore(void)
{
	fflush(stdout);
	fflush(stderr);
	restore();
}

static void learn_screen(struct screen *screen, DWORD which)
{
	screen->handle = GetStdHandle(which);
	screen->is_console = GetConsoleMode(screen->handle, &screen->mode);
	screen->escapes =
		screen->is_console && SetConsoleMode(screen->handle, screen->mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

/* Whole sentences at a time, as a console does not put together characters that come in pieces. */
static void start_streams(void)
{
	static char buffers[2][STREAM_BYTES];

	_setmode(0, _O_BINARY);
	_setmode(1, _O_BINARY);
	_setmode(2, _O_BINARY);
	setvbuf(stdout, buffers[0], _IOFBF, STREAM_BYTES);
	setvbuf(stderr, buffers[1], _IOFBF, STREAM_BYTES);
}

/*
 * The next word of a command line as the system's own rules cut it: blanks end it outside of quotes; 2n backslashes before a quote are n,
 * and one more makes the quote a plain one. The word is written over what was read. Returns where to go on.
 */
static wchar_t *cut_word(wchar_t *from, wchar_t **ret_end)
{
	wchar_t *to = from;
	bool quoted = false;

	while (*from && (quoted || (*from != L' ' && *from != L'\t'))) {
		size_t backslashes = wcsspn(from, L"\\");

		from += backslashes;
		if (*from != L'"') {
			wmemset(to, L'\\', backslashes);
			to += backslashes;
			if (!backslashes)
				*to++ = *from++;
			continue;
		}
		wmemset(to, L'\\', backslashes / 2);
		to += backslashes / 2;
		if (backslashes % 2 || (quoted && from[1] == L'"')) {
			*to++ = L'"';
			from += backslashes % 2 ? 1 : 2;
		} else {
			quoted = !quoted;
			from++;
		}
	}
	*ret_end = to;
	return from;
}

/* The program's own name has rules of its own: no backslash means anything. */
static wchar_t *skip_program(wchar_t *from)
{
	wchar_t end = *from == L'"' ? L'"' : L' ';

	from += end == L'"';
	while (*from && *from != end && (end == L'"' || *from != L'\t'))
		from++;
	return *from ? from + 1 : from;
}

/* The C library's would be in the system's old character set, and with patterns already expanded. */
static bool take_arguments(int *argc, char ***argv)
{
	wchar_t *line = _wcsdup(GetCommandLineW()), *at, *end;
	char **arguments = line ? calloc(wcslen(line) / 2 + 3, sizeof(*arguments)) : NULL;
	int count = 1;

	if (!arguments) {
		free(line);
		return false;
	}
	arguments[0] = (*argv)[0];
	at = skip_program(line);
	for (at += wcsspn(at, L" \t"); *at; at += wcsspn(at, L" \t")) {
		wchar_t *word = at;

		at = cut_word(word, &end);
		arguments[count] = wide_to_text(word, (size_t)(end - word), NULL);
		if (!arguments[count++])
			return false;
	}
	free(line);
	*argc = count;
	*argv = arguments;
	return true;
}

bool console_start(int *argc, char ***argv)
{
	/* Drives without a disk, and crashes, are errors: no window is to ask somebody about them. Our processes inherit that. */
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	start_streams();
	return take_arguments(argc, argv);
}

/* ---- requests to end ---- */

#define MOMENT 1000 /* milliseconds for who is told first */

static _Atomic(HANDLE) asked;   /* to be set, by who holds */
static _Atomic int tells, told; /* for who wants to be told first */

static bool is_last(DWORD kind)
{
	return kind == CTRL_CLOSE_EVENT || kind == CTRL_LOGOFF_EVENT || kind == CTRL_SHUTDOWN_EVENT;
}

/* As the system would without us, in a thread of its own and with this status, but for the console. Our job ends our processes. */
static BOOL WINAPI on_request(DWORD kind)
{
	HANDLE holder = asked;

	if (tells && !told) {
		told = (int)kind + 1;
		Sleep(MOMENT);
	}
	if (!holder) {
		restore();
		TerminateProcess(GetCurrentProcess(), ENDED_BY_REQUEST);
	}
	SetEvent(holder);
	/* After the window's end the process lasts as long as this does: until the main thread has done its part. */
	if (is_last(kind))
		Sleep(LAST_WORDS);
	return TRUE;
}

void console_ask_first(void)
{
	tells = 1;
}

int console_asked(void)
{
	return told;
}

static BOOL WINAPI on_request_to_parent(DWORD kind)
{
	if (is_last(kind))
		Sleep(LAST_WORDS);
	return TRUE;
}

void console_use(bool is_ours)
{
	if (!is_ours) {
		SetConsoleCtrlHandler(on_request_to_parent, TRUE);
		return;
	}
	SetConsoleCtrlHandler(on_request, TRUE);
	atexit(flush_and_restore);
	learn_screen(&screens[0], STD_OUTPUT_HANDLE);
	learn_screen(&screens[1], STD_ERROR_HANDLE);
	if (screens[0].is_console || screens[1].is_console) {
		code_page = GetConsoleOutputCP();
		SetConsoleOutputCP(CP_UTF8);
	}
}

static const struct screen *screen_of(FILE *stream)
{
	return &screens[stream == stderr];
}

bool console_is_terminal(FILE *stream)
{
	return screen_of(stream)->is_console;
}

bool console_knows_escapes(FILE *stream)
{
	const char *term = getenv("TERM");

	return screen_of(stream)->escapes && !(term && !strcmp(term, "dumb"));
}

unsigned console_columns(FILE *stream)
{
	CONSOLE_SCREEN_BUFFER_INFO info;

	if (!screen_of(stream)->is_console || !GetConsoleScreenBufferInfo(screen_of(stream)->handle, &info))
		return 0;
	return (unsigned)(info.srWindow.Right - info.srWindow.Left + 1);
}

/* Characters that take no column, and those that take two: the blocks of them, as there is no wcwidth() here. */
static const struct {
	uint32_t first, last;
	int columns;
} blocks[] = {
	{0x0300, 0x036f, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05bd, 0},   {0x0610, 0x061a, 0},
	{0x064b, 0x065f, 0},   {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},
	{0x200b, 0x200f, 0},   {0x20d0, 0x20f0, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0x33ff, 2},
	{0x3400, 0x4dbf, 2},   {0x4e00, 0x9fff, 2},   {0xa000, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
	{0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},
	{0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2},
	{0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2}, {0xe0100, 0xe01ef, 0},
};

int console_character_columns(uint32_t code)
{
	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
		if (code >= blocks[i].first && code <= blocks[i].last)
			return blocks[i].columns;
	return 1;
}

/* ---- holding ---- */

static HANDLE input_ended;

static DWORD WINAPI read_input(void *unused)
{
	char bytes[256];
	DWORD got;

	(void)unused;
	while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes, sizeof(bytes), &got, NULL) && got)
		continue;
	SetEvent(input_ended);
	return 0;
}

int console_hold(void)
{
	HANDLE ends[2] = {CreateEventW(NULL, TRUE, FALSE, NULL), input_ended = CreateEventW(NULL, TRUE, FALSE, NULL)};
	HANDLE reader;
	DWORD which;

	if (!ends[0] || !ends[1])
		return 0;
	asked = ends[0];
	fflush(stdout); /* who reads it may ask for the end */
	reader = CreateThread(NULL, 0, read_input, NULL, 0, NULL);
	which = WaitForMultipleObjects(reader ? 2 : 1, ends, FALSE, INFINITE);
	if (reader)
		CloseHandle(reader);
	return which == WAIT_OBJECT_0 ? CTRL_C_EVENT + 1 : 0;
}

/* The thread that reads is in the midst of it, so the C library's exit() is not for us. */
void console_end_as(int number)
{
	(void)number;
	flush_and_restore();
	TerminateProcess(GetCurrentProcess(), ENDED_BY_REQUEST);
}
