/* SPDX-License-Identifier: MIT */
/* The built `stoad`, running beside the test. Linux only. */
#ifndef TOOL_DAEMON_H
#define TOOL_DAEMON_H

#include <harness/test.h>

#include <sys/types.h>

struct daemon {
	pid_t process;   /* 0: it has ended */
	int status;      /* then: exit status, or minus the signal */
	char place[200]; /* its socket, in the test's directory; STOA_STORE names it, for stoa and for the test */
	int told;        /* where it tells that it is ready */
	char errors[1 << 13];
};

/*
 * Start stoad with the arguments (NULL at the end) and the socket `place` in the test's directory; NULL: the arguments say where. Returns when it is ready, or
 * has ended. Its descriptor 3 is a copy of `listening`, with LISTEN_FDS, unless that is -1.
 */
void start_daemon_with(struct daemon *ret_daemon, const char *place, int listening, char *const *arguments);
void start_daemon(struct daemon *ret_daemon, const char *place, ...);

/* Send the signal, wait for its end. The exit status, or minus the signal; `errors` is what it said. */
int end_daemon(struct daemon *daemon, int signal);

/* The next that it tells a service manager, e.g. "READY=1"; "" when it tells nothing more. */
const char *daemon_says(struct daemon *daemon);

#endif
