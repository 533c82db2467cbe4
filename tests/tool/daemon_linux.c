/* SPDX-License-Identifier: MIT */
/* stoad beside the test: it says that it is ready as it does to systemd. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

static unsigned daemons;

static void path_of(char path[200], const char *name)
{
	snprintf(path, 200, "%s/%s", test_dir(), name);
}

/* A socket that the daemon tells its state to, and its name in the environment. */
static int open_told(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int told = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK_SYS(told);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/told-%u", test_dir(), daemons);
	CHECK_SYS(bind(told, (struct sockaddr *)&address, sizeof(address)));
	CHECK_SYS(setenv("NOTIFY_SOCKET", address.sun_path, 1));
	return told;
}

static void errors_path(const struct daemon *daemon, char path[200])
{
	char name[40];

	snprintf(name, sizeof(name), "stoad-%d.err", (int)daemon->process);
	path_of(path, name);
}

static noreturn void become(const struct daemon *daemon, int listening, char *const *arguments)
{
	struct daemon self = *daemon;
	char path[200], number[32];
	int errors, null = open("/dev/null", O_RDWR);

	self.process = getpid();
	errors_path(&self, path);
	errors = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(null, 0);
	dup2(null, 1);
	dup2(errors, 2);
	if (listening >= 0) {
		if (listening == 3 ? fcntl(3, F_SETFD, 0) : dup2(listening, 3) < 0)
			_exit(126);
		snprintf(number, sizeof(number), "%d", (int)getpid());
		setenv("LISTEN_PID", number, 1);
		setenv("LISTEN_FDS", "1", 1);
	}
	execv(STOA_DAEMON, arguments);
	_exit(127);
}

static void take_end(struct daemon *daemon, int status)
{
	char path[200];
	ssize_t got;
	int errors;

	daemon->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	errors_path(daemon, path);
	errors = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_SYS(errors);
	got = read(errors, daemon->errors, sizeof(daemon->errors) - 1);
	CHECK_SYS(got);
	daemon->errors[got] = 0;
	close(errors);
	daemon->process = 0;
}

static bool wait_told(const struct daemon *daemon, int milliseconds)
{
	struct pollfd told = {daemon->told, POLLIN, 0};

	return poll(&told, 1, milliseconds) == 1;
}

const char *daemon_says(struct daemon *daemon)
{
	static char text[256];
	ssize_t got = wait_told(daemon, 0) ? recv(daemon->told, text, sizeof(text) - 1, 0) : 0;

	CHECK_SYS(got);
	text[got] = 0;
	return text;
}

void start_daemon_with(struct daemon *ret_daemon, const char *place, int listening, char *const *arguments)
{
	int status;

	*ret_daemon = (struct daemon){.told = -1};
	if (place) {
		path_of(ret_daemon->place, place);
		CHECK_SYS(setenv("STOA_STORE", ret_daemon->place, 1));
	}
	daemons++;
	ret_daemon->told = open_told();
	ret_daemon->process = fork();
	CHECK_SYS(ret_daemon->process);
	if (ret_daemon->process == 0)
		become(ret_daemon, listening, arguments);
	while (!wait_told(ret_daemon, 10))
		if (waitpid(ret_daemon->process, &status, WNOHANG) == ret_daemon->process) {
			take_end(ret_daemon, status);
			close(ret_daemon->told);
			return;
		}
	CHECK_STR(daemon_says(ret_daemon), "READY=1");
}

void start_daemon(struct daemon *ret_daemon, const char *place, ...)
{
	char *arguments[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t) "stoad"};
	va_list list;

	va_start(list, place);
	for (int i = 1; (arguments[i] = va_arg(list, char *)) != NULL; i++)
		CHECK_INT(i, <=, ARGUMENTS_MAX);
	va_end(list);
	start_daemon_with(ret_daemon, place, -1, arguments);
}

int end_daemon(struct daemon *daemon, int signal)
{
	int status;

	CHECK_SYS(kill(daemon->process, signal));
	CHECK_EQ(waitpid(daemon->process, &status, 0), daemon->process);
	take_end(daemon, status);
	if (daemon->status == 0)
		CHECK_STR(daemon_says(daemon), "STOPPING=1");
	close(daemon->told);
	return daemon->status;
}
