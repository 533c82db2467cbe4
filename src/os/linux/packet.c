/* SPDX-License-Identifier: MIT */
/*
 * Linux: whole messages with descriptors, and the wait for many sockets. Uses base and os.h. Senders may be enemies: no descriptor that
 * they send is opened but those there is room for, since closing one can already wait for whoever serves its file system.
 */
#include <os/linux/sys.h>
#include <os/local.h>

#include <base/error.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * OS_LOCAL_PASSED)];
};

/* ---- messages ---- */

static int send_failed(size_t length)
{
	switch (errno) {
	case EAGAIN: return error_set(-STOA_EBUSY, "the other end of a socket has yet to take what was sent before");
	case EMSGSIZE: return error_set(-STOA_ERANGE, "%zu bytes are too many for a message", length);
	case EBADF: return error_set(-STOA_EINVAL, "a message with a descriptor that is not open");
	case ETOOMANYREFS: return error_set(-STOA_ELIMIT, "too many descriptors are on their way");
	case ENOBUFS: return error_set(-STOA_ENOMEM, "the system has no memory for a message of %zu bytes", length);
	default: return sys_failed("sending a message");
	}
}

static void attach(struct msghdr *message, union control *control, const os_handle *passed, unsigned count)
{
	struct cmsghdr *header;
	int fds[OS_LOCAL_PASSED] = {-1};

	for (unsigned i = 0; i < count; i++)
		fds[i] = sys_fd(passed[i]);
	memset(control, 0, sizeof(*control));
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(count * sizeof(*fds));
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(*fds));
	memcpy(CMSG_DATA(header), fds, count * sizeof(*fds));
}

int os_local_send(os_handle socket, const void *bytes, size_t length, const os_handle *passed, unsigned count)
{
	union control control;
	struct iovec piece = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	ssize_t sent;

	if (!length || count > OS_LOCAL_PASSED)
		return error_set(-STOA_EINVAL, "a message has at least one byte, and at most %d descriptors",
				 OS_LOCAL_PASSED);
	if (count)
		attach(&message, &control, passed, count);
	do
		sent = SYS(sendmsg, sys_fd(socket), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? send_failed(length) : 0;
}

/* Returns the number of descriptors that came with a message, all of them in `fds`. */
static unsigned collect(struct msghdr *message, int *fds)
{
	unsigned count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t length = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + count, CMSG_DATA(header), length);
		count += (unsigned)(length / sizeof(int));
	}
	return count;
}

/* The other end may have died with messages of ours unread, which is told once before what it sent itself; that comes next. */
static ssize_t receive(int fd, struct msghdr *message)
{
	struct msghdr asked = *message;
	bool reset = false;
	ssize_t got;

	for (;;) {
		*message = asked;
		got = SYS(recvmsg, fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got >= 0 || errno != ECONNRESET || reset)
			return got;
		reset = true;
	}
}

static int check_message(const struct msghdr *message, size_t room, unsigned count, unsigned passed_room)
{
	if (message->msg_flags & MSG_CTRUNC && count < passed_room)
		return error_set(-STOA_ELIMIT, "descriptors came, and this process may not open as many%s",
				 sys_advice(EMFILE));
	if (message->msg_flags & MSG_CTRUNC)
		return error_set(-STOA_EFORMAT, "a message with more than %u descriptors", passed_room);
	if (message->msg_flags & MSG_TRUNC)
		return error_set(-STOA_EFORMAT, "a message of more than %zu bytes", room);
	return 0;
}

int os_local_receive(os_handle socket, void *bytes, size_t room, size_t *ret_length, os_handle *ret_passed,
		     unsigned passed_room, unsigned *ret_count)
{
	union control control;
	struct iovec piece = {bytes, room};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	int fds[OS_LOCAL_PASSED + 1], rc; /* one more: of the room for a message, some only fills a word */
	unsigned count;
	ssize_t got;

	if (passed_room > OS_LOCAL_PASSED)
		return error_set(-STOA_EINVAL, "a message has at most %d descriptors", OS_LOCAL_PASSED);
	if (passed_room) {
		message.msg_control = &control;
		message.msg_controllen =
			CMSG_LEN(passed_room * sizeof(int)); /* not CMSG_SPACE(): it may take one more */
	}
	got = receive(sys_fd(socket), &message);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return error_set(-STOA_EBUSY, "no message is there");
	if (got < 0)
		return sys_failed("receiving a message");
	count = passed_room ? collect(&message, fds) : 0;
	rc = got ? check_message(&message, room, count, passed_room)
		 : error_set(-STOA_ECLOSED, "the other end of a socket is closed");
	if (rc) {
		while (count)
			close(fds[--count]);
		return rc;
	}
	for (unsigned i = 0; i < count; i++)
		ret_passed[i] = fds[i];
	if (ret_count)
		*ret_count = count;
	*ret_length = (size_t)got;
	return 0;
}

/* ---- waiting ---- */

int os_poller_create(os_handle *ret_poller)
{
	int fd = SYS(epoll_create1, EPOLL_CLOEXEC);

	if (fd < 0)
		return sys_failed("waiting for several sockets");
	*ret_poller = fd;
	return 0;
}

int os_poller_add(os_handle poller, os_handle handle, uint64_t key)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = key};

	if (SYS(epoll_ctl, sys_fd(poller), EPOLL_CTL_ADD, sys_fd(handle), &event) == 0)
		return 0;
	if (errno == EPERM || errno == EBADF)
		return error_set(-STOA_EINVAL, "descriptor %d is nothing that can be waited for", sys_fd(handle));
	if (errno == ENOSPC)
		return error_set(-STOA_ELIMIT, "this user waits for too many sockets (fs.epoll.max_user_watches)");
	return sys_failed("waiting for descriptor %d", sys_fd(handle));
}

void os_poller_remove(os_handle poller, os_handle handle)
{
	(void)SYS(epoll_ctl, sys_fd(poller), EPOLL_CTL_DEL, sys_fd(handle), NULL);
}

/* From now to the deadline, rounded up; -1: for ever. */
static int milliseconds_to(uint64_t deadline)
{
	uint64_t now = os_now(), left;

	if (deadline == UINT64_MAX)
		return -1;
	left = deadline > now ? (deadline - now - 1) / 1000000 + 1 : 0;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

#define EVENTS 64

int os_poller_wait(os_handle poller, uint64_t deadline, struct os_poller_event *events, unsigned room,
		   unsigned *ret_count)
{
	struct epoll_event found[EVENTS];
	int count;

	do {
		count = SYS(epoll_wait, sys_fd(poller), found, room < EVENTS ? (int)room : EVENTS,
			    milliseconds_to(deadline));
		if (count < 0 && errno != EINTR)
			return sys_failed("waiting for several sockets");
	} while (count < 0 || (count == 0 && os_now() < deadline));
	if (!count)
		return STOA_TIMED_OUT;
	for (int i = 0; i < count; i++)
		events[i] = (struct os_poller_event){
			.key = found[i].data.u64,
			.readable = found[i].events & EPOLLIN,
			.ended = found[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR),
		};
	*ret_count = (unsigned)count;
	return 0;
}

static int poll_until(struct pollfd *asked, unsigned count, uint64_t deadline)
{
	for (;;) {
		uint64_t now = os_now(), left = deadline > now ? deadline - now : 0;
		struct timespec limit = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
		int ready = SYS(ppoll, asked, count, deadline == UINT64_MAX ? NULL : &limit, NULL);

		if (ready > 0 || (ready == 0 && left == 0) || (ready < 0 && errno != EINTR && errno != EAGAIN))
			return ready;
	}
}

int os_wait_readable(const os_handle *handles, unsigned count, uint64_t deadline, uint32_t *ret_ready)
{
	struct pollfd asked[OS_WAIT_READABLE_MAX] = {0};
	uint32_t ready = 0;
	int rc;

	if (count > OS_WAIT_READABLE_MAX)
		return error_set(-STOA_EINVAL, "a wait is for at most %d descriptors", OS_WAIT_READABLE_MAX);
	for (unsigned i = 0; i < count; i++)
		asked[i] = (struct pollfd){.fd = sys_fd(handles[i]), .events = POLLIN};
	rc = poll_until(asked, count, deadline);
	if (rc <= 0)
		return rc ? sys_failed("waiting for descriptors") : STOA_TIMED_OUT;
	for (unsigned i = 0; i < count; i++) {
		if (asked[i].revents & POLLNVAL)
			return error_set(-STOA_EINVAL, "descriptor %d is not open", sys_fd(handles[i]));
		ready |= asked[i].revents ? UINT32_C(1) << i : 0;
	}
	*ret_ready = ready;
	return 0;
}

int os_cancel_hold(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

void os_cancel_again(int before)
{
	pthread_setcancelstate(before, NULL);
}

/* ---- bells ---- */

/*
 * Of a pipe that is opened twice for both directions: so each has flags of its own, as O_NONBLOCK is; and while one is open no write meets a
 * pipe without a reader (SIGPIPE), and no wait its end.
 */
int os_bell_create(os_handle ret_bells[2])
{
	int ends[2], bells[2] = {-1, -1}, rc = 0;
	char path[40];

	if (SYS(pipe2, ends, O_CLOEXEC) < 0)
		return sys_failed("no descriptor for a bell");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	for (unsigned i = 0; i < 2 && !rc; i++) {
		bells[i] = SYS(open, path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (bells[i] < 0)
			rc = sys_failed("no descriptor for a bell");
	}
	close(ends[0]);
	close(ends[1]);
	if (rc < 0) {
		os_handle_close(bells[0]);
		os_handle_close(bells[1]);
		return rc;
	}
	ret_bells[0] = bells[0];
	ret_bells[1] = bells[1];
	return 0;
}

void os_bell_ring(os_handle bell)
{
	ssize_t written;

	do
		written = SYS(write, sys_fd(bell), "", 1);
	while (written < 0 && errno == EINTR);
	/* EAGAIN: it has been rung to the brim. */
}

/* Whoever rings all the time does not keep the caller in here. */
void os_bell_clear(os_handle bell)
{
	char rings[4096];
	ssize_t got;

	do
		got = SYS(read, sys_fd(bell), rings, sizeof(rings));
	while (got < 0 && errno == EINTR);
}

bool os_local_ended(os_handle socket)
{
	struct pollfd ask = {.fd = sys_fd(socket)};

	return SYS(poll, &ask, 1, 0) > 0 && ask.revents & (POLLHUP | POLLERR | POLLNVAL);
}
