/* SPDX-License-Identifier: MIT */
/*
 * Boards: descriptors that wait in the queue of a pair of stream sockets. The queue is the kernel's, so what was posted outlives whoever posted
 * it; MSG_PEEK gives a copy of a note and of its descriptor, and SO_PEEK_OFF moves on to the next (unix(7), socket(7)).
 */
#include <os/linux/sys.h>
#include <os/trap.h>

#include <base/error.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union passed {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int os_board_create(os_handle ret_ends[2])
{
	int ends[2];

	if (SYS(socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return sys_failed("making a pair of sockets");
	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

int os_board_post(const os_handle ends[2], const void *note, os_handle passed)
{
	union passed control;
	struct iovec piece = {(void *)(uintptr_t)note, OS_NOTE_SIZE};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *header;
	ssize_t sent;
	int fd = sys_fd(passed);

	memset(&control, 0, sizeof(control));
	message.msg_controllen = sizeof(control.bytes);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	do
		sent = SYS(sendmsg, sys_fd(ends[1]), &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent == OS_NOTE_SIZE)
		return 0;
	if (sent >= 0 || errno == EAGAIN)
		return error_set(-STOA_EBUSY, "no room for another process's descriptor");
	if (errno == EPIPE)
		return error_set(-STOA_ESYSTEM, "the sockets that keep others' descriptors are gone");
	if (errno == ETOOMANYREFS)
		return error_set(-STOA_ELIMIT, "too many descriptors of this user are on their way (RLIMIT_NOFILE)");
	return sys_failed("leaving a descriptor for others");
}

/* The next note: 0, STOA_CLOSED (none), or an error. *ret_passed is -1 when none came with it; -STOA_ELIMIT: it had no room here. */
static int take(int from, int flags, void *note, int *ret_passed)
{
	union passed control;
	struct iovec piece = {note, OS_NOTE_SIZE};
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got;

	*ret_passed = -1;
	do
		got = SYS(recvmsg, from, &message, flags | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != EAGAIN)
		return sys_failed("looking at the descriptors that others left");
	for (struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL; header;
	     header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
		    header->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(ret_passed, CMSG_DATA(header), sizeof(int));
	if (got > 0 && *ret_passed < 0 && message.msg_flags & MSG_CTRUNC)
		return error_set(-STOA_ELIMIT, "no descriptor is left to reach another process by (RLIMIT_NOFILE)");
	return got == OS_NOTE_SIZE ? 0 : STOA_CLOSED;
}

int os_board_look(const os_handle ends[2],
		  int (*visit)(const void *note, os_handle passed, bool *ret_kept, void *argument), void *argument)
{
	int from = sys_fd(ends[0]), start = 0, rc;

	if (SYS(setsockopt, from, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0)
		return sys_failed("going to the first descriptor that others left");
	do {
		char note[OS_NOTE_SIZE];
		bool kept = false;
		int passed;

		rc = take(from, MSG_PEEK, note, &passed);
		if (!rc && passed >= 0)
			rc = visit(note, passed, &kept, argument);
		if (passed >= 0 && !kept)
			close(passed);
	} while (!rc);
	start = -1;
	(void)SYS(setsockopt, from, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start));
	return rc == STOA_CLOSED ? 0 : rc;
}

int os_board_drop(const os_handle ends[2])
{
	char note[OS_NOTE_SIZE];
	int passed, rc = take(sys_fd(ends[0]), 0, note, &passed);

	if (passed >= 0)
		close(passed);
	return rc;
}
