/* SPDX-License-Identifier: MIT */
/*
 * systemd's fd store (sd_pid_notify_with_fds(3)) as a keeper: the service manager has a copy of each descriptor, and gives all of them to the next start of the
 * service. A message to its socket is never answered; but it closes a descriptor that comes with BARRIER=1 when it has taken all messages before that,
 * which is the answer. What it keeps beyond its limit it drops in silence: so this counts.
 *
 * Other managers that speak this protocol do as well.
 */
#include "../daemon.h"
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <stoa/error.h>
#include <stoa/keeper.h>

#define BUCKETS 4096u
#define PATIENCE 10 /* seconds */

struct kept {
	struct kept *next;
	int given; /* the descriptor that came with this program's start, until it is visited; -1: none */
	char name[STOA_KEPT_NAME];
};

static struct store {
	int manager; /* its socket */
	uint64_t limit, count;
	struct kept *buckets[BUCKETS];
} store;

/* ---- which there are ---- */

static struct kept **find(const char *name)
{
	struct kept **link;
	uint32_t hash = 5381;

	for (const char *at = name; *at; at++)
		hash = hash * 33 + (unsigned char)*at;
	link = &store.buckets[hash % BUCKETS];
	while (*link && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	return link;
}

static bool note(const char *name, int given)
{
	struct kept *kept = malloc(sizeof(*kept));

	if (!kept)
		return false;
	*kept = (struct kept){.given = given};
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	*find(name) = kept;
	store.count++;
	return true;
}

static void forget(struct kept **link)
{
	struct kept *kept = *link;

	*link = kept->next;
	if (kept->given >= 0)
		close(kept->given);
	free(kept);
	store.count--;
}

/* ---- what the manager is told ---- */

static int error_of(int number)
{
	switch (number) {
	case EAGAIN: return -STOA_EBUSY;
	case ENOMEM:
	case ENOBUFS: return -STOA_ENOMEM;
	case EMFILE:
	case ETOOMANYREFS: return -STOA_ELIMIT;
	default: return -STOA_ESYSTEM;
	}
}

/* A message, with a descriptor unless that is -1. */
static int tell(const char *text, int descriptor)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec bytes = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	ssize_t sent;

	if (descriptor >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &descriptor, sizeof(descriptor));
	}
	do
		sent = sendmsg(store.manager, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? error_of(errno) : 0;
}

/* Until all messages before this one have been taken. */
static int settle(void)
{
	struct pollfd end = {.events = 0};
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_of(errno);
	rc = tell("BARRIER=1", ends[1]);
	close(ends[1]);
	end.fd = ends[0];
	while (rc == 0) {
		int ready = poll(&end, 1, PATIENCE * 1000);

		if (ready > 0)
			break;
		if (ready == 0)
			rc = -STOA_EBUSY;
		else if (errno != EINTR)
			rc = error_of(errno);
	}
	close(ends[0]);
	return rc;
}

static int tell_drop(const char *name)
{
	char text[80];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s%s", SERVICE_KEPT, name);
	return tell(text, -1);
}

/* ---- the keeper's functions ---- */

static int put_one(const struct stoa_kept *kept)
{
	struct kept **before = find(kept->name);
	char text[96];
	int rc;

	if (*before) {
		rc = tell_drop(kept->name);
		if (rc < 0)
			return rc;
		forget(before);
	}
	if (store.count >= store.limit)
		return -STOA_ELIMIT;
	if (!note(kept->name, -1))
		return -STOA_ENOMEM;
	/* Not polled: whose client has died is for the next server to see. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s%s", SERVICE_KEPT, kept->name);
	rc = tell(text, (int)kept->descriptor);
	if (rc < 0)
		forget(find(kept->name));
	return rc;
}

/* What cannot all be kept is not kept in part, as far as this can tell: it counts against the limit. */
static int put(void *argument, const struct stoa_kept *kept, uint32_t count)
{
	uint32_t done = 0;
	int rc = 0;

	(void)argument;
	while (done < count && (rc = put_one(&kept[done])) == 0)
		done++;
	if (rc == 0)
		return settle();
	while (done--) {
		(void)tell_drop(kept[done].name);
		forget(find(kept[done].name));
	}
	return rc;
}

static int drop(void *argument, const char *name)
{
	struct kept **link = find(name);
	int rc;

	(void)argument;
	if (!*link)
		return -STOA_ENOENT;
	rc = tell_drop(name);
	if (rc == 0)
		forget(link);
	return rc;
}

static int visit(void *argument, int (*visit_one)(const char *name, intptr_t descriptor, void *visit_argument),
		 void *visit_argument)
{
	int rc = 0;

	(void)argument;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct kept *kept = store.buckets[i]; kept && rc == 0; kept = kept->next) {
			int given = kept->given;

			kept->given = -1;
			if (given >= 0)
				rc = visit_one(kept->name, given, visit_argument);
		}
	return rc;
}

static int clear(void *argument)
{
	int rc = 0;

	(void)argument;
	for (unsigned i = 0; i < BUCKETS && rc == 0; i++)
		while (store.buckets[i] && rc == 0) {
			rc = tell_drop(store.buckets[i]->name);
			if (rc == 0)
				forget(&store.buckets[i]);
		}
	return rc == 0 ? settle() : rc;
}

/* ---- at the start ---- */

/* The manager has them still, whatever becomes of these copies. */
static bool take_given(void)
{
	char name[SERVICE_NAME];
	unsigned count;
	int first = service_given(&count);

	for (unsigned i = 0; i < count; i++) {
		const char *own = service_name(i, name) + strlen(SERVICE_KEPT);

		if (strncmp(name, SERVICE_KEPT, strlen(SERVICE_KEPT)) != 0)
			continue;
		fcntl(first + (int)i, F_SETFD, FD_CLOEXEC);
		if (strlen(own) >= STOA_KEPT_NAME || *find(own))
			close(first + (int)i);
		else if (!note(own, first + (int)i))
			return false;
	}
	return true;
}

const struct stoa_keeper *daemon_keeper(void)
{
	static const struct stoa_keeper keeper = {.put = put, .drop = drop, .visit = visit, .clear = clear};
	const struct timeval patience = {.tv_sec = PATIENCE};

	store.limit = service_number("FDSTORE");
	store.manager = store.limit ? service_connect() : -1;
	if (store.manager < 0 || !take_given())
		return NULL;
	(void)setsockopt(store.manager, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return &keeper;
}
