/* SPDX-License-Identifier: MIT */
/*
 * The screen on Linux, by ncurses. Requests to end, and news of another size, are blocked but for the moments in which a key is waited for: so
 * none is missed, and none comes while ncurses is at work, which could not be left there. Uses ncurses.
 */
#include "../screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static volatile sig_atomic_t asked_by;
static struct sigaction old[ENDS];
static sigset_t before;
static SCREEN *screen;
static bool shown; /* what is drawn next is another picture */

static void ask(int number)
{
	asked_by = number;
}

/* Before ncurses, which leaves handlers that are there already alone. */
static void catch_ends(void)
{
	struct sigaction action = {.sa_handler = ask};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < ENDS; i++) {
		if (sigaction(ends[i], NULL, &old[i]) == 0 && old[i].sa_handler == SIG_IGN)
			continue;
		sigaddset(&blocked, ends[i]);
		sigaction(ends[i], &action, NULL);
	}
	sigaddset(&blocked, SIGWINCH); /* ncurses catches it; getch() tells of it, which follows the wait */
	sigprocmask(SIG_BLOCK, &blocked, &before);
}

bool screen_begin(void)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return false;
	catch_ends();
	screen = newterm(NULL, stdout, stdin);
	if (!screen || !tigetstr("cup") || tigetstr("cup") == (char *)-1) {
		screen_end();
		return false;
	}
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	return true;
}

void screen_end(void)
{
	if (screen) {
		endwin();
		delscreen(screen);
	}
	screen = NULL;
	for (size_t i = 0; i < ENDS; i++) /* what was not seen yet ends this process, too */
		sigaction(ends[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

unsigned screen_rows(void)
{
	return (unsigned)LINES;
}

unsigned screen_columns(void)
{
	return (unsigned)COLS;
}

void screen_line(unsigned row, const char *text, unsigned how)
{
	if (shown)
		erase(); /* not before: getch() shows what has changed */
	shown = false;
	if (row >= (unsigned)LINES)
		return;
	attrset(A_NORMAL | (how & SCREEN_BOLD ? A_BOLD : 0) | (how & SCREEN_REVERSE ? A_REVERSE : 0));
	mvaddnstr((int)row, 0, text, COLS > 0 ? 4 * COLS : 0);
	if (how & SCREEN_REVERSE)
		hline(' ' | A_REVERSE, COLS);
	attrset(A_NORMAL);
}

void screen_show(void)
{
	refresh();
	shown = true;
}

static int translate(int key)
{
	switch (key) {
	case KEY_UP: return SCREEN_UP;
	case KEY_DOWN: return SCREEN_DOWN;
	case KEY_PPAGE: return SCREEN_PAGE_UP;
	case KEY_NPAGE: return SCREEN_PAGE_DOWN;
	case KEY_LEFT: return SCREEN_LEFT;
	case KEY_RIGHT: return SCREEN_RIGHT;
	default: return key > 0 && key < 128 ? key : SCREEN_NOTHING;
	}
}

int screen_key(uint64_t nanoseconds)
{
	const struct timespec wait = {.tv_sec = (time_t)(nanoseconds / 1000000000),
				      .tv_nsec = (long)(nanoseconds % 1000000000)};
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	int key = getch(); /* what ncurses has read already */

	if (key == ERR) {
		int ready = asked_by ? 0 : ppoll(&input, 1, &wait, &before);

		key = getch();
		if (asked_by || (key == ERR && ready > 0)) /* the terminal is gone */
			return SCREEN_END;
	}
	return translate(key);
}

int screen_asked(void)
{
	return asked_by == SIGINT ? 0 : asked_by;
}

void screen_pause(uint64_t nanoseconds)
{
	struct timespec left = {.tv_sec = (time_t)(nanoseconds / 1000000000),
				.tv_nsec = (long)(nanoseconds % 1000000000)};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}
