/* SPDX-License-Identifier: MIT */
/*
 * A daemon on Linux. What systemd and its daemons say to each other is a promise of systemd's (sd_notify(3), sd_listen_fds(3)) that needs no library:
 * a datagram to a socket, and two variables.
 */
#include "../daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_LISTENING 3

static const int ends[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

static void (*stopping)(void *argument);
static void *stopping_argument;
static volatile sig_atomic_t ended_by;

/* ---- signals ---- */

static void end(int number)
{
	int before = errno;

	if (ended_by) {
		signal(number, SIG_DFL);
		raise(number);
	}
	ended_by = number;
	stopping(stopping_argument);
	errno = before;
}

void daemon_on_end(void (*stop)(void *argument), void *argument)
{
	/* SIGTERM is for daemons, also where a shell ignored it for itself. */
	struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_NODEFER};

	stopping = stop;
	stopping_argument = argument;
	for (size_t i = 0; i < ENDS; i++) {
		struct sigaction old;

		if (ends[i] == SIGTERM || ends[i] == SIGUSR1 ||
		    (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN))
			sigaction(ends[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

bool daemon_leaves(void)
{
	return ended_by == SIGUSR1;
}

const char *daemon_ended_by(void)
{
	switch (ended_by) {
	case SIGTERM: return "SIGTERM";
	case SIGUSR1: return "SIGUSR1";
	case SIGINT: return "SIGINT";
	case SIGHUP: return "SIGHUP";
	default: return NULL;
	}
}

/* ---- the service manager ---- */

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);

	return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

int daemon_listening(int *ret_descriptor)
{
	uint64_t count = number_of("LISTEN_PID") == (uint64_t)getpid() ? number_of("LISTEN_FDS") : 0;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (count != 1)
		return count ? -1 : 0;
	fcntl(FIRST_LISTENING, F_SETFD, FD_CLOEXEC);
	*ret_descriptor = FIRST_LISTENING;
	return 1;
}

void daemon_tell(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int to;

	if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = 0; /* an abstract one */
	to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (to < 0)
		return;
	(void)sendto(to, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(to);
}

/* ---- limits ---- */

uint64_t daemon_allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	return limit.rlim_cur;
}

uint64_t daemon_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

int64_t daemon_process(void)
{
	return getpid();
}
