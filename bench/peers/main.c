/* SPDX-License-Identifier: MIT */
/*
 * Blocks of messages by another library, on request of `stoa bench`. Arguments: KIND trip|flow spin|block SIZE ROOM BATCH.
 * Each 32-bit number of messages that arrives on standard input, a socket as standard output is, is answered with a 64-bit count and
 * so many doubles: nanoseconds of trips, or a rate. The first answer comes unasked: 0, it is ready. A count of UINT64_MAX: it
 * failed, a text of 256 bytes says why. Uses Linux, and wire.h for the library. Ends when the socket closes.
 *
 * The one hard idea: the other side tells when it was done by the common clock, so that no wake-up of ours is in a rate.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../measure.h"
#include "../os/host.h"
#include "wire.h"

char wire_reason[256];

int wire_refuse(const char *what, const char *why)
{
	snprintf(wire_reason, sizeof(wire_reason), "%s: %s", what, why);
	return -1;
}

static bool get(int socket, void *bytes, size_t length)
{
	return recv(socket, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static bool give(int socket, const void *bytes, size_t length)
{
	return send(socket, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void pin(const struct wire_plan *plan, unsigned side)
{
	if (plan->trip || !wire_has_threads)
		host_pin(side);
}

/* ---- the other side ---- */

static void serve(const struct wire_plan *plan, int socket)
{
	uint32_t messages;
	int rc = wire_join(plan, 1);
	uint64_t done = rc ? 0 : 1;

	if (rc)
		fprintf(stderr, "stoa-bench: the receiving side: %s\n", wire_reason);
	while (give(socket, &done, sizeof(done)) && !rc && get(socket, &messages, sizeof(messages))) {
		done = 1; /* "here I am" */
		if (!give(socket, &done, sizeof(done)))
			return;
		for (uint32_t i = 0; !rc && i < messages; i++) {
			rc = wire_take(plan, 1);
			if (!rc && plan->trip)
				rc = wire_put(plan, 1, i);
		}
		done = rc ? 0 : host_now();
	}
}

static int part(const struct wire_plan *plan, pid_t *ret_child)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	child = fork();
	if (child < 0)
		return -1;
	if (child) {
		close(pair[1]);
		*ret_child = child;
		return pair[0];
	}
	close(pair[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(plan, 1);
	serve(plan, pair[1]);
	_exit(0);
}

/* ---- this side ---- */

static int trips(const struct wire_plan *plan, unsigned messages, unsigned batch, struct series *samples)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < messages; i += batch) {
		uint64_t start = host_now();

		for (unsigned k = 0; !rc && k < batch; k++) {
			rc = wire_put(plan, 0, i);
			if (!rc)
				rc = wire_take(plan, 0);
		}
		series_add(samples, (double)(host_now() - start) / batch);
	}
	return rc;
}

static int block(const struct wire_plan *plan, int other, uint32_t messages, unsigned batch, struct series *samples)
{
	uint64_t done = 0, start;
	int rc = 0;

	messages -= plan->trip ? messages % batch : 0;
	if (!give(other, &messages, sizeof(messages)) || !get(other, &done, sizeof(done)) || !done)
		return wire_refuse("the other side", "is gone");
	start = host_now();
	if (plan->trip)
		rc = trips(plan, messages, batch, samples);
	for (uint32_t i = 0; !plan->trip && !rc && i < messages; i++)
		rc = wire_put(plan, 0, i);
	if (rc)
		return rc;
	if (!get(other, &done, sizeof(done)) || !done)
		return wire_refuse("the other side", "failed");
	if (!plan->trip)
		series_add(samples,
			   messages * (plan->size >= 1 << 20 ? (double)plan->size : 1000) / (double)(done - start));
	return 0;
}

static bool answer(int rc, const struct series *samples)
{
	uint64_t count = rc ? UINT64_MAX : samples->count;

	return give(STDOUT_FILENO, &count, sizeof(count)) &&
	       (rc ? give(STDOUT_FILENO, wire_reason, sizeof(wire_reason))
		   : !count || give(STDOUT_FILENO, samples->values, count * sizeof(*samples->values)));
}

int main(int argc, char **argv)
{
	struct series none = {0};
	struct wire_plan plan = {0};
	uint64_t ready = 0;
	uint32_t messages;
	unsigned batch;
	pid_t child = -1;
	int other, rc;

	if (argc != 7)
		return 2;
	plan.kind = argv[1];
	plan.trip = strcmp(argv[2], "trip") == 0;
	plan.spin = strcmp(argv[3], "spin") == 0;
	plan.size = strtoull(argv[4], NULL, 10);
	plan.room = strtoull(argv[5], NULL, 10);
	batch = (unsigned)strtoul(argv[6], NULL, 10);
	host_cpus(); /* before anything is pinned */
	rc = wire_open(&plan);
	other = rc ? -1 : part(&plan, &child);
	if (!rc && (other < 0 || !get(other, &ready, sizeof(ready)) || !ready))
		rc = wire_refuse("the other side", "did not begin");
	pin(&plan, 0);
	if (!rc)
		rc = wire_join(&plan, 0);
	for (bool asked = answer(rc, &none); asked && !rc && get(STDIN_FILENO, &messages, sizeof(messages));) {
		struct series samples = {0};

		rc = block(&plan, other, messages, batch, &samples);
		asked = answer(rc, &samples);
		series_free(&samples);
	}
	if (child > 0) { /* in whatever it waits for, it would not see the socket close */
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return rc ? 1 : 0;
}
