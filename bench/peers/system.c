/* SPDX-License-Identifier: MIT */
/*
 * What the system itself has for messages: pipes and Unix sockets, for stream and for whole messages. See wire.h.
 *
 * Used well: buffers as large as every user may ask for; one call per message sent, as it has to be on its way then; and a
 * receiver takes as much as there is in one call: up to 256 KiB of a stream, or 64 whole messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../measure.h"
#include "wire.h"

const bool wire_has_threads = false;

#define ROOM (1 << 20)
#define MANY 64u /* messages of a call */

enum kind { PIPE, STREAM, SEQPACKET };

static struct {
	enum kind kind;
	int to[2];   /* what a side writes to */
	int from[2]; /* what it reads from */
	unsigned char *message;
	unsigned char *bytes; /* received */
	size_t space;
	unsigned many;
	size_t have, used; /* of a stream; of messages, how many */
} wire;

static int refuse(const char *what)
{
	return wire_refuse(what, strerror(errno));
}

static int open_pipes(void)
{
	for (unsigned side = 0; side < 2; side++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC))
			return refuse("pipe");
		(void)fcntl(ends[1], F_SETPIPE_SZ, ROOM);
		wire.to[side] = ends[1];
		wire.from[1 - side] = ends[0];
	}
	return 0;
}

static int open_sockets(int type)
{
	int pair[2], room = ROOM;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair))
		return refuse("socketpair");
	for (unsigned side = 0; side < 2; side++) {
		wire.to[side] = wire.from[side] = pair[side];
		(void)setsockopt(pair[side], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	}
	return 0;
}

int wire_open(const struct wire_plan *plan)
{
	int rc;

	wire.kind = strcmp(plan->kind, "pipe") == 0 ? PIPE : strcmp(plan->kind, "stream") == 0 ? STREAM : SEQPACKET;
	rc = wire.kind == PIPE ? open_pipes() : open_sockets(wire.kind == STREAM ? SOCK_STREAM : SOCK_SEQPACKET);
	if (rc)
		return rc;
	wire.many = plan->trip ? 1 : MANY;
	wire.space = wire.kind == SEQPACKET ? wire.many * plan->size : plan->size > ROOM / 4 ? plan->size : ROOM / 4;
	wire.message = malloc(plan->size);
	wire.bytes = malloc(wire.space);
	return wire.message && wire.bytes ? 0 : wire_refuse("malloc", "out of memory");
}

/* Who is left with the other side's ends would never see that it is gone. */
int wire_join(const struct wire_plan *plan, unsigned side)
{
	(void)plan;
	close(wire.to[1 - side]);
	if (wire.kind == PIPE)
		close(wire.from[1 - side]);
	return 0;
}

int wire_put(const struct wire_plan *plan, unsigned side, uint64_t number)
{
	size_t sent = 0;

	measure_fill(wire.message, plan->size, number);
	while (sent < plan->size) {
		ssize_t got = wire.kind == PIPE
				      ? write(wire.to[side], wire.message + sent, plan->size - sent)
				      : send(wire.to[side], wire.message + sent, plan->size - sent, MSG_NOSIGNAL);

		if (got < 0 && errno != EINTR)
			return refuse("sending");
		sent += got < 0 ? 0 : (size_t)got;
	}
	return 0;
}

/* As many messages as are there, at least one. */
static int fill_messages(size_t size, int from)
{
	struct mmsghdr list[MANY];
	struct iovec parts[MANY];
	int got;

	memset(list, 0, sizeof(list));
	for (unsigned i = 0; i < wire.many; i++) {
		parts[i] = (struct iovec){wire.bytes + i * size, size};
		list[i].msg_hdr.msg_iov = &parts[i];
		list[i].msg_hdr.msg_iovlen = 1;
	}
	do
		got = recvmmsg(from, list, wire.many, MSG_WAITFORONE, NULL);
	while (got < 0 && errno == EINTR);
	if (got <= 0 || list[0].msg_len != size)
		return got < 0 ? refuse("receiving") : wire_refuse("receiving", "the other side is gone");
	wire.have = (size_t)got;
	wire.used = 0;
	return 0;
}

static int take_message(size_t size, int from)
{
	if (wire.used == wire.have && fill_messages(size, from))
		return -1;
	measure_use(measure_sum(wire.bytes + wire.used++ * size, size));
	return 0;
}

/* A message that lies across the end of the buffer moves to its beginning. */
static int take_bytes(size_t size, int from)
{
	while (wire.have - wire.used < size) {
		ssize_t got;

		if (wire.used + size > wire.space || wire.used == wire.have) {
			memmove(wire.bytes, wire.bytes + wire.used, wire.have - wire.used);
			wire.have -= wire.used;
			wire.used = 0;
		}
		got = read(from, wire.bytes + wire.have, wire.space - wire.have);
		if (got == 0 || (got < 0 && errno != EINTR))
			return got ? refuse("receiving") : wire_refuse("receiving", "the other side is gone");
		wire.have += got < 0 ? 0 : (size_t)got;
	}
	measure_use(measure_sum(wire.bytes + wire.used, size));
	wire.used += size;
	return 0;
}

int wire_take(const struct wire_plan *plan, unsigned side)
{
	return wire.kind == SEQPACKET ? take_message(plan->size, wire.from[side])
				      : take_bytes(plan->size, wire.from[side]);
}
