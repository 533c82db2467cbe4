/* SPDX-License-Identifier: MIT */
/*
 * Counting with ptrace(2), which needs no hardware that counts and no privilege: a virtual machine often has neither. The one hard
 * idea: the traced child stops after each instruction (a system call is one), or at each entry of a call and at each return.
 */
#include "../count.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 124, REFUSED = 125 }; /* exit statuses of the child */

const char *count_missing(void)
{
	return NULL;
}

static void be_counted(const struct counted *what)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(REFUSED);
	if (what->prepare(what->context))
		_exit(FAILED);
	raise(SIGSTOP);
	_exit(what->work(what->context) ? FAILED : 0);
}

static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

int count_run(const struct counted *what, bool calls, uint64_t *ret_count)
{
	pid_t child = fork();
	uint64_t stops = 0;
	int status;

	if (child < 0)
		return errno;
	if (child == 0)
		be_counted(what);
	for (status = wait_for(child); WIFSTOPPED(status); stops++) {
		if (ptrace(calls ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, child, NULL, NULL)) {
			int error = errno;

			kill(child, SIGKILL);
			wait_for(child);
			return error;
		}
		status = wait_for(child);
	}
	*ret_count = calls ? stops / 2 : stops; /* the first stop is none, the last call does not return */
	return !WIFEXITED(status) || WEXITSTATUS(status) == FAILED ? -1 : WEXITSTATUS(status) == REFUSED ? EPERM : 0;
}
