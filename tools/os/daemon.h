/* SPDX-License-Identifier: MIT */
/* What a daemon asks of the system: to be ended by signals, what a service manager gives and wants to know, limits. */
#ifndef TOOLS_OS_DAEMON_H
#define TOOLS_OS_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From now on the first request to end (SIGTERM, SIGUSR1; SIGINT and SIGHUP unless they were ignored) calls stop(argument), in a signal handler; a second one ends
 * the process. What writes to a pipe that nobody reads gets an error.
 */
void daemon_on_end(void (*stop)(void *argument), void *argument);
bool daemon_leaves(void);          /* it was SIGUSR1, by which a daemon makes way for the next one */
const char *daemon_ended_by(void); /* "SIGTERM"; NULL: by none so far */

/*
 * What keeps descriptors for the next start of this program: the service manager, if it has said for how many it will (systemd: FDSTORE, where the unit has
 * FileDescriptorStoreMax=). The keeper has those that it kept before. NULL: there is none, or no memory. To be called before daemon_listening(), once.
 */
struct stoa_keeper;
const struct stoa_keeper *daemon_keeper(void);

/*
 * The descriptor of a socket that a service manager listens with for this process (systemd: LISTEN_FDS): 1; 0: there is none; -1: there are several. The environment
 * tells it only once.
 */
int daemon_listening(int *ret_descriptor);

/* Tell the service manager, if there is one that wants to know (systemd: NOTIFY_SOCKET), e.g. "READY=1". */
void daemon_tell(const char *state);

/* As many descriptors as this process may have; returns how many that is, 0: not known. */
uint64_t daemon_allow_descriptors(void);

uint64_t daemon_memory(void); /* bytes that this machine has; 0: not known */
int64_t daemon_process(void);

#endif
