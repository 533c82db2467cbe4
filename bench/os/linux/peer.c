/* SPDX-License-Identifier: MIT */
/* Other processes on Linux; see peer.h. Input and output are one socket, which tells instead of killing when its other end is gone. */
#include "../peer.h"
#include "../host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child. */
static void become(const char *program, const char *const *arguments, unsigned how, int socket)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it waits for something that will not come */
	host_unpin();
	if (null < 0 || dup2(how & PEER_READS ? socket : null, STDIN_FILENO) < 0 ||
	    dup2(how & PEER_WRITES ? socket : null, STDOUT_FILENO) < 0 ||
	    (how & PEER_QUIET && dup2(null, STDERR_FILENO) < 0))
		_exit(126);
	/* The arguments are not written to; execv(3) only cannot say so. */
	execvp(program ? program : "/proc/self/exe", (char *const *)(uintptr_t)arguments);
	_exit(127);
}

int peer_start(struct peer *peer, const char *program, const char *const *arguments, unsigned how)
{
	int pair[2] = {-1, -1};
	pid_t pid;

	*peer = (struct peer){-1, -1, -1};
	if (how & (PEER_READS | PEER_WRITES) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return errno;
	pid = fork();
	if (pid == 0)
		become(program, arguments, how, pair[1]);
	if (pair[1] >= 0)
		close(pair[1]);
	if (pid < 0) {
		int error = errno;

		if (pair[0] >= 0)
			close(pair[0]);
		return error;
	}
	*peer = (struct peer){pid, pair[0], pair[0]};
	return 0;
}

bool peer_write(struct peer *peer, const void *bytes, size_t length)
{
	return send((int)peer->to, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

size_t peer_read(struct peer *peer, void *bytes, size_t size)
{
	ssize_t got;

	do
		got = recv((int)peer->from, bytes, size, 0);
	while (got < 0 && errno == EINTR);
	return got > 0 ? (size_t)got : 0;
}

int peer_end(struct peer *peer, bool kill_it)
{
	int status = 0;

	if (peer->to >= 0)
		close((int)peer->to);
	if (peer->process < 0)
		return -1;
	if (kill_it)
		kill((pid_t)peer->process, SIGKILL);
	while (waitpid((pid_t)peer->process, &status, 0) < 0 && errno == EINTR)
		continue;
	*peer = (struct peer){-1, -1, -1};
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
