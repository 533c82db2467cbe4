/* SPDX-License-Identifier: MIT */
/* Forked helpers of a case; see crew.h. */
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define JOB_TIMEOUT_MS 60000

/* The life of a member: until the bench closes its socket or is gone. */
static void serve(const struct crew *crew, int socket, unsigned member)
{
	unsigned job;
	int result;

	while (recv(socket, &job, sizeof(job), 0) == (ssize_t)sizeof(job)) {
		result = crew->work(crew->context, member, job);
		if (send(socket, &result, sizeof(result), MSG_NOSIGNAL) != (ssize_t)sizeof(result))
			break;
	}
}

static int start_one(struct crew *crew, unsigned cpu)
{
	unsigned member = crew->count;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	pid = fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid == 0) {
		/* Ends of the members before, else they would not see the bench go. */
		for (unsigned i = 0; i < member; i++)
			close(crew->sockets[i]);
		close(pair[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it waits for something that will not come */
		measure_pin(cpu);
		serve(crew, pair[1], member);
		_exit(0);
	}
	close(pair[1]);
	crew->pids[member] = pid;
	crew->sockets[member] = pair[0];
	crew->count++;
	return 0;
}

int crew_start(struct crew *crew, unsigned count, unsigned first_cpu)
{
	crew->count = 0;
	if (count > CREW_MAX) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned i = 0; i < count; i++) {
		if (start_one(crew, first_cpu + i)) {
			crew_stop(crew);
			return -1;
		}
	}
	return 0;
}

int crew_begin(struct crew *crew, unsigned job)
{
	for (unsigned i = 0; i < crew->count; i++) {
		if (send(crew->sockets[i], &job, sizeof(job), MSG_NOSIGNAL) != (ssize_t)sizeof(job))
			return -1;
	}
	return 0;
}

int crew_end(struct crew *crew)
{
	int failed = 0;

	for (unsigned i = 0; i < crew->count; i++) {
		struct pollfd answer = {.fd = crew->sockets[i], .events = POLLIN};
		int result;

		if (poll(&answer, 1, JOB_TIMEOUT_MS) != 1)
			return -1;
		if (recv(crew->sockets[i], &result, sizeof(result), 0) != (ssize_t)sizeof(result) || result)
			failed = -1;
	}
	return failed;
}

void crew_stop(struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		close(crew->sockets[i]);
		kill(crew->pids[i], SIGKILL); /* a member stuck in a job would not look at its socket */
	}
	for (unsigned i = 0; i < crew->count; i++) {
		while (waitpid(crew->pids[i], NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	crew->count = 0;
}
