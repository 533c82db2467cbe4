/* SPDX-License-Identifier: MIT */
/* The standard streams and the terminal on Linux. */
#include "../console.h"

#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

bool console_start(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	/* Only to learn the width of characters; numbers and messages stay as they are. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
	return true;
}

/* Terminals are used as they are, and signals end a process as they should. */
void console_use(bool is_ours)
{
	(void)is_ours;
}

bool console_is_terminal(FILE *stream)
{
	return isatty(fileno(stream));
}

bool console_knows_escapes(FILE *stream)
{
	const char *term = getenv("TERM");

	return console_is_terminal(stream) && term && strcmp(term, "dumb") != 0;
}

unsigned console_columns(FILE *stream)
{
	struct winsize size;

	return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int console_character_columns(uint32_t code)
{
	return wcwidth((wchar_t)code);
}

static volatile sig_atomic_t stopped_by;

static void stop(int number)
{
	stopped_by = number;
}

/* Signals come only while it sleeps, so that none is missed. */
int console_hold(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct sigaction action = {.sa_handler = stop};
	sigset_t blocked;
	sigset_t before;
	char byte;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct sigaction old;

		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaddset(&blocked, ends[i]);
		sigaction(ends[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, &before);
	fflush(stdout); /* who reads it may send the signal */
	while (!stopped_by && (ppoll(&input, 1, NULL, &before) < 0 || read(STDIN_FILENO, &byte, 1) > 0))
		;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return stopped_by;
}

void console_end_as(int number)
{
	signal(number, SIG_DFL);
	raise(number);
}
