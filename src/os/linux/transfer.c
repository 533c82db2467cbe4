/* SPDX-License-Identifier: MIT */
/*
 * One message with descriptors over a Unix socket. What arrives may be anything: every descriptor that came is either
 * handed to the caller or closed, whatever the message was.
 */
#include <os/linux/sys.h>

#include <base/error.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than the headers of Debian 12: a descriptor too, if the socket's owner asked for it. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Room for our descriptors, credentials if the socket's owner asked for them, and a few descriptors too many. */
#define PASSED_MAX 8
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX) + CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
};

static int socket_failed(const char *what)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return error_set(-STOA_EBUSY, "%s would block, and the socket is non-blocking", what);
	/* EINVAL: receiving from a stream that was never connected. */
	if (errno == ENOTSOCK || errno == EBADF || errno == EDESTADDRREQ || errno == ENOTCONN || errno == EINVAL)
		return error_set(-STOA_EINVAL, "%s needs a connected Unix socket", what);
	return sys_failed("%s", what);
}

/* The rest of a message that a stream took or gave only in part. */
static int send_rest(int socket, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = SYS(send, socket, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return socket_failed("sending a segment");
		bytes += sent;
		length -= (size_t)sent;
	}
	return 0;
}

int os_send(os_handle socket, const void *bytes, size_t length, const os_handle *passed, unsigned count)
{
	union control control;
	struct iovec piece = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *header;
	int fds[OS_PASSED_MAX] = {-1};
	ssize_t sent;

	for (unsigned i = 0; i < count; i++)
		fds[i] = sys_fd(passed[i]);
	memset(&control, 0, sizeof(control));
	message.msg_controllen = CMSG_SPACE(count * sizeof(*fds));
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(*fds));
	memcpy(CMSG_DATA(header), fds, count * sizeof(*fds));
	do
		sent = SYS(sendmsg, sys_fd(socket), &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return socket_failed("sending a segment");
	return send_rest(sys_fd(socket), (const char *)bytes + sent, length - (size_t)sent);
}

/* Collect what came with a message. Returns the number of descriptors, all of them in `fds`. */
static unsigned collect(struct msghdr *message, int *fds, uint32_t *sender)
{
	unsigned count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t length = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET)
			continue;
		if (header->cmsg_type == SCM_RIGHTS) {
			memcpy(fds + count, CMSG_DATA(header), length);
			count += (unsigned)(length / sizeof(int));
		}
		if (header->cmsg_type == SCM_PIDFD && length >= sizeof(int)) {
			int process;

			memcpy(&process, CMSG_DATA(header), sizeof(process));
			if (process >= 0)
				close(process);
		}
		if (header->cmsg_type == SCM_CREDENTIALS && length >= sizeof(struct ucred)) {
			struct ucred who;

			memcpy(&who, CMSG_DATA(header), sizeof(who));
			*sender = who.uid;
		}
	}
	return count;
}

int os_socket_peer(os_handle socket, uint32_t *ret_user)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	if (SYS(getsockopt, sys_fd(socket), SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return socket_failed("asking who is at the other end");
	/* (uid_t)-1 is what a socket without a peer says. */
	*ret_user = who.uid;
	return 0;
}

static int receive_rest(int socket, char *bytes, size_t length)
{
	while (length) {
		ssize_t got = SYS(recv, socket, bytes, length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		/* What has come cannot be received again: not EBUSY, which would ask to try once more. */
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return error_set(-STOA_EFORMAT, "a message that is not stoa's: %zu bytes of it are missing",
					 length);
		if (got < 0)
			return socket_failed("receiving a segment");
		if (got == 0)
			return error_set(-STOA_EFORMAT, "the other end closed in the middle of a message");
		bytes += got;
		length -= (size_t)got;
	}
	return 0;
}

/* Is it one whole message with `wanted` descriptors? A packet is whole at once; of a stream the rest may follow. */
static int check_received(os_handle socket, const struct msghdr *message, char *bytes, size_t got, size_t length,
			  unsigned count, unsigned wanted)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (message->msg_flags & MSG_CTRUNC && count < wanted)
		return error_set(-STOA_ELIMIT, "a descriptor came, and this process may not open one more");
	if (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC) || count != wanted)
		return error_set(-STOA_EFORMAT, "a message that is not stoa's: %zu bytes with %u descriptors%s", got,
				 count, message->msg_flags & MSG_CTRUNC ? " or more" : "");
	if (SYS(getsockopt, sys_fd(socket), SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return socket_failed("receiving a segment");
	if (got < length && type != SOCK_STREAM)
		return error_set(-STOA_EFORMAT, "a message that is not stoa's: %zu bytes", got);
	return receive_rest(sys_fd(socket), bytes + got, length - got);
}

int os_receive(os_handle socket, void *bytes, size_t length, os_handle *ret_passed, unsigned wanted,
	       uint32_t *ret_sender)
{
	union control control;
	struct iovec piece = {bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};
	int fds[sizeof(control) / sizeof(int)], rc;
	uint32_t sender = OS_SENDER_UNKNOWN;
	unsigned count;
	ssize_t got;

	message.msg_controllen = sizeof(control);
	do
		got = SYS(recvmsg, sys_fd(socket), &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return socket_failed("receiving a segment");
	count = collect(&message, fds, &sender);
	if (got == 0 && count == 0)
		return error_set(-STOA_ECLOSED, "the other end has closed the socket");
	rc = check_received(socket, &message, bytes, (size_t)got, length, count, wanted);
	if (rc < 0) {
		while (count)
			close(fds[--count]);
		return rc;
	}
	if (sender == OS_SENDER_UNKNOWN)
		(void)os_socket_peer(socket, &sender);
	while (count--)
		ret_passed[count] = fds[count];
	*ret_sender = sender;
	return 0;
}
