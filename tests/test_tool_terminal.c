/* SPDX-License-Identifier: MIT */
/* The tool on a terminal: colours and progress where they are wanted, and nothing else than text where they are not. */
#include <harness/test.h>

#include "tool/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A program on a terminal of its own, and what has been read from that. */
struct terminal {
	pid_t pid;
	int master;
	size_t length;
	char text[1 << 18];
};

static noreturn void become(const char *slave, const char *out, char *const *arguments)
{
	const struct winsize size = {.ws_row = 25, .ws_col = 1000};
	int terminal;

	setsid();
	terminal = open(slave, O_RDWR); /* now the controlling one */
	ioctl(terminal, TIOCSWINSZ, &size);
	dup2(terminal, 0);
	dup2(out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600) : terminal, 1);
	dup2(terminal, 2);
	execv(STOA_TOOL, arguments);
	_exit(127);
}

/* With its output in `out`, or on the terminal too when that is NULL. */
static struct terminal *start(const char *term, const char *out, char *const *arguments)
{
	static struct terminal last;
	const char *slave;

	last.length = 0;
	last.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (last.master < 0 || grantpt(last.master) != 0 || unlockpt(last.master) != 0)
		SKIP("no pseudo-terminals: %s", strerror(errno));
	slave = ptsname(last.master);
	CHECK(slave != NULL);
	CHECK_SYS(setenv("TERM", term, 1));
	last.pid = fork();
	CHECK_SYS(last.pid);
	if (last.pid == 0)
		become(slave, out, arguments);
	return &last;
}

/* Read on; false at the end. */
static bool read_more(struct terminal *terminal)
{
	ssize_t got = read(terminal->master, terminal->text + terminal->length,
			   sizeof(terminal->text) - 1 - terminal->length);

	if (got < 0 && errno == EINTR)
		return true;
	if (got <= 0)
		return false;
	terminal->length += (size_t)got;
	CHECK_INT(terminal->length, <, sizeof(terminal->text) - 1);
	terminal->text[terminal->length] = 0;
	return true;
}

static int finish(struct terminal *terminal)
{
	int status;

	while (read_more(terminal))
		continue;
	CHECK_EQ(waitpid(terminal->pid, &status, 0), terminal->pid);
	CHECK_SYS(close(terminal->master));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const char *all[] = {"stoa", "ls", "--all", NULL};

static const char *look(const char *term)
{
	struct terminal *terminal = start(term, NULL, (char *const *)(uintptr_t)all);

	CHECK_EQ(finish(terminal), 0);
	CHECK_HAS(terminal->text, "RESIDENT");
	CHECK_HAS(terminal->text, "on a terminal");
	return terminal->text;
}

TEST(colours_are_for_terminals_that_have_them)
{
	int memory = memfd_create("on a terminal", MFD_CLOEXEC);

	CHECK_SYS(memory);
	CHECK_SYS(unsetenv("NO_COLOR"));
	CHECK_HAS(look("xterm"), "\033[1m");
	CHECK_HAS(look("xterm"), "\033[0m");
	CHECK_LACKS(look("dumb"), "\033");
	CHECK_SYS(setenv("NO_COLOR", "1", 1));
	CHECK_LACKS(look("xterm"), "\033[1m");
	CHECK_LACKS(look("xterm"), "\033[0m");
	CHECK_SYS(setenv("NO_COLOR", "", 1)); /* empty does not count */
	CHECK_HAS(look("xterm"), "\033[1m");
	CHECK_SYS(close(memory));
}

TEST(names_cannot_command_a_terminal)
{
	char path[4200];
	char *arguments[] = {(char *)"stoa", (char *)"find", path, NULL};
	struct terminal *terminal;

	snprintf(path, sizeof(path), "%s/esc\033[31m", test_dir());
	CHECK_SYS(mkdir(path, 0700));
	snprintf(path, sizeof(path), "%s", test_dir());
	terminal = start("xterm", NULL, arguments);
	CHECK_EQ(finish(terminal), 0);
	CHECK_HAS(terminal->text, "esc\\e[31m");
	CHECK_LACKS(terminal->text, "\033[31m");
}

/* The whole host takes long enough; it is ended as soon as progress is seen. */
TEST_TIMEOUT(a_long_search_shows_progress_on_a_terminal, 60)
{
	static const char *arguments[] = {"stoa", "find", "/", "--json", "--jobs", "1", NULL};
	struct terminal *terminal = start("xterm", "/dev/null", (char *const *)(uintptr_t)arguments);

	while (!strstr(terminal->text, " entries"))
		CHECK(read_more(terminal));
	CHECK_HAS(terminal->text, "\r\033[K");
	kill(terminal->pid, SIGTERM);
	CHECK_EQ(finish(terminal), -SIGTERM);
	while (waitpid(-1, NULL, 0) > 0)
		continue;
}

TEST_TIMEOUT(a_dumb_terminal_shows_no_progress, 60)
{
	static const char *arguments[] = {"stoa", "find", "/usr", "--json", "--jobs", "1", NULL};
	struct terminal *terminal = start("dumb", "/dev/null", (char *const *)(uintptr_t)arguments);

	finish(terminal);
	if (terminal->length)
		CHECK_LACKS(terminal->text, "\033");
}
