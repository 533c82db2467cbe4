/* SPDX-License-Identifier: MIT */
/*
 * Bytes through the standard streams on Linux. A signal interrupts a read that waits; one that comes just before it puts the end of
 * the input in its place, so that none is missed.
 */
#include "../flow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

static volatile sig_atomic_t asked_by;
static int nothing = -1; /* an input that has ended */

static void ask(int number)
{
	int before = errno;

	asked_by = number;
	if (nothing >= 0)
		dup2(nothing, STDIN_FILENO);
	errno = before;
}

void flow_begin(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = ask, .sa_flags = (int)SA_RESETHAND};

	nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct sigaction old;

		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

int flow_asked(void)
{
	return asked_by;
}

int flow_broken(void)
{
	return SIGPIPE;
}

/* Whoever shares a stream with us may have made it one that does not wait: then it is waited for here. */
static bool awaited(int error, int stream, short events)
{
	struct pollfd end = {stream, events, 0};

	if (error != EAGAIN)
		return false;
	(void)poll(&end, 1, -1);
	return true;
}

ptrdiff_t flow_read(void *to, size_t room)
{
	ssize_t got;

	do
		got = asked_by ? 0 : read(STDIN_FILENO, to, room);
	while (got < 0 && (errno == EINTR || awaited(errno, STDIN_FILENO, POLLIN)));
	return asked_by ? 0 : got;
}

int flow_write(const void *from, size_t length)
{
	const char *at = from;

	while (length > 0) {
		ssize_t done = write(STDOUT_FILENO, at, length);

		if (done < 0 && errno == EAGAIN && asked_by)
			return EINTR;
		if (done < 0 && (awaited(errno, STDOUT_FILENO, POLLOUT) || (errno == EINTR && !asked_by)))
			continue;
		if (done < 0)
			return errno;
		at += done;
		length -= (size_t)done;
	}
	return 0;
}
