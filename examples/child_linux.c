/* SPDX-License-Identifier: MIT */
/* Children on Linux; see child.h. */
#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int child_start(struct child *child, const char *argument)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "example", argument, (char *)NULL);
		_exit(127);
	}
	*child = (struct child){pid, 0};
	return pid < 0 ? -1 : 0;
}

int child_wait(struct child *child)
{
	int status;

	return waitpid((pid_t)child->id, &status, 0) > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_kill(struct child *child)
{
	kill((pid_t)child->id, SIGKILL);
}

void child_sleep(void)
{
	for (;;)
		pause();
}
