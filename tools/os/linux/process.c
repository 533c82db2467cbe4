/* SPDX-License-Identifier: MIT */
/* Starting and watching copies of this program on Linux. */
#include "../process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void process_guard_standard(void)
{
	int descriptor;

	do
		descriptor = open("/dev/null", O_RDONLY);
	while (descriptor >= 0 && descriptor <= STDERR_FILENO);
	if (descriptor >= 0)
		close(descriptor);
}

int64_t process_self(void)
{
	return getpid();
}

unsigned process_cpu_count(void)
{
	cpu_set_t set;
	long count;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	count = sysconf(_SC_NPROCESSORS_ONLN);
	return count > 0 ? (unsigned)count : 1;
}

/* SIGCHLD ignored, which a parent may have left to us, would make the system forget how our children ended. */
static void keep_children(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	sigaction(SIGCHLD, &action, NULL);
}

int process_start(char *const *arguments, int64_t *ret_id)
{
	posix_spawn_file_actions_t actions;
	pid_t id;
	int error = posix_spawn_file_actions_init(&actions);

	if (error)
		return error;
	keep_children();
	error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (!error)
		error = posix_spawn(&id, "/proc/self/exe", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (!error)
		*ret_id = id;
	return error;
}

static int take_end(int64_t id, int options, struct process_end *ret_end)
{
	int status = 0;
	pid_t got;

	do
		got = waitpid((pid_t)id, &status, options);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return 0;
	/* Not our child any more: it has ended, how is not known. */
	ret_end->killed = got < 0 || WIFSIGNALED(status);
	ret_end->code = got < 0 ? SIGKILL : WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
	return 1;
}

int process_ended(int64_t id, struct process_end *ret_end)
{
	return take_end(id, WNOHANG, ret_end);
}

void process_join(int64_t id, struct process_end *ret_end)
{
	take_end(id, 0, ret_end);
}

/* Not by a debugger: whose child it is then. */
bool process_stopped(int64_t id)
{
	siginfo_t found = {.si_pid = 0};

	return waitid(P_PID, (id_t)id, &found, WSTOPPED | WNOHANG | WNOWAIT) == 0 && found.si_pid != 0;
}

void process_kill(int64_t id)
{
	kill((pid_t)id, SIGKILL);
}

const char *process_killed_text(int code)
{
	static char text[80];

	snprintf(text, sizeof(text), "by a signal (%s)", strsignal(code));
	return text;
}
