/* SPDX-License-Identifier: MIT */
/*
 * A daemon on Linux. What systemd and its daemons say to each other is a promise of systemd's (sd_notify(3), sd_listen_fds(3)) that needs no library:
 * a datagram to a socket, and two variables.
 */
#include "../daemon.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

uint64_t service_number(const char *name)
{
	const char *text = getenv(name);

	return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

int service_given(unsigned *ret_count)
{
	uint64_t count = service_number("LISTEN_PID") == (uint64_t)getpid() ? service_number("LISTEN_FDS") : 0;

	*ret_count = count < INT_MAX - SERVICE_FIRST ? (unsigned)count : 0;
	return SERVICE_FIRST;
}

const char *service_name(unsigned place, char name[SERVICE_NAME])
{
	const char *at = getenv("LISTEN_FDNAMES");
	size_t length;

	while (at && place--) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	length = at ? strcspn(at, ":") : 0;
	length = length < SERVICE_NAME ? length : SERVICE_NAME - 1;
	memcpy(name, at ? at : "", length);
	name[length] = 0;
	return name;
}

int daemon_listening(int *ret_descriptor)
{
	char name[SERVICE_NAME];
	unsigned count, sockets = 0;
	int first = service_given(&count);

	/* What was kept is the keeper's, if there is one. */
	for (unsigned i = 0; i < count; i++) {
		if (strncmp(service_name(i, name), SERVICE_KEPT, strlen(SERVICE_KEPT)) == 0)
			continue;
		fcntl(first + (int)i, F_SETFD, FD_CLOEXEC);
		if (!sockets++)
			*ret_descriptor = first + (int)i;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return sockets > 1 ? -1 : (int)sockets;
}

int service_connect(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int to;

	if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -1;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = 0; /* an abstract one */
	to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (to >= 0 && connect(to, (const struct sockaddr *)&address,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
		close(to);
		to = -1;
	}
	return to;
}

void daemon_tell(const char *state)
{
	int to = service_connect();

	if (to < 0)
		return;
	(void)send(to, state, strlen(state), MSG_NOSIGNAL);
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
