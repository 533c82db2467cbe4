/* SPDX-License-Identifier: MIT */
/* See channel.h: Unix sockets, and exec. */
#include <segment/channel.h>
#include <segment/linux.h>

#include <sys/socket.h>
#include <sys/un.h>

static int type_of(enum channel_kind kind)
{
	return (kind == CHANNEL_BYTES ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC;
}

int channel_pair(enum channel_kind kind, bool waits, int *ret_ends)
{
	return socketpair(AF_UNIX, type_of(kind) | (waits ? 0 : SOCK_NONBLOCK), 0, ret_ends);
}

const char *channel_name(void)
{
	static char name[108];

	snprintf(name, sizeof(name), "%s/channel", test_dir());
	return name;
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	return address;
}

int channel_listen(enum channel_kind kind)
{
	struct sockaddr_un address = address_of(channel_name());
	int listener = socket(AF_UNIX, type_of(kind), 0);

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 1) != 0)
		return -1;
	return listener;
}

int channel_accept(int listener)
{
	int end = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	close(listener);
	unlink(channel_name());
	return end;
}

int channel_connect(const char *name, enum channel_kind kind)
{
	struct sockaddr_un address = address_of(name);
	int end = socket(AF_UNIX, type_of(kind), 0);

	return connect(end, (struct sockaddr *)&address, sizeof(address)) == 0 ? end : -1;
}

int channel_lonely(enum channel_kind kind)
{
	return socket(AF_UNIX, type_of(kind), 0);
}

void channel_close(int end)
{
	close(end);
}

void channel_put(int end, const void *bytes, size_t first, size_t length, int descriptor)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec piece = {(void *)(uintptr_t)bytes, first};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	if (descriptor >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&message) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &descriptor, sizeof(descriptor));
	}
	CHECK_EQ(sendmsg(end, &message, 0), first);
	if (first < length)
		CHECK_EQ(send(end, (const char *)bytes + first, length - first, 0), length - first);
}

void channel_put_half(int end, const void *bytes, size_t first, int descriptor)
{
	channel_put(end, bytes, first, first, descriptor);
}

int strange_descriptor(void)
{
	int ends[2];

	CHECK_SYS(pipe2(ends, O_CLOEXEC));
	close(ends[1]);
	return ends[0];
}

bool is_open(int descriptor)
{
	return fcntl(descriptor, F_GETFD) != -1;
}

void check_no_way_to_write(int memory, void *data)
{
	CHECK_EQ(mprotect(data, PAGE, PROT_READ | PROT_WRITE), -1);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 4 * MIB) == MAP_FAILED);
	CHECK_EQ(ftruncate(memory, 0), -1);
	CHECK_EQ(pwrite(memory, "x", 1, 0), -1);
}

static void become_program(struct stoa_segment *segment, const char *setting)
{
	char token[STOA_TOKEN_SIZE], told[sizeof(token) + 32], own[600];
	char *arguments[] = {(char *)"again", NULL}, *environment[] = {own, told, NULL};

	snprintf(own, sizeof(own), "%s", setting);
	told[0] = 0;
	if (segment) {
		if (stoa_segment_inherit(segment, token) < 0)
			_exit(8);
		snprintf(told, sizeof(told), "STOA_TEST_TOKEN=%s", token);
	}
	execve("/proc/self/exe", arguments, environment);
	_exit(9);
}

intptr_t program_start(struct stoa_segment *segment, const char *setting)
{
	pid_t child = fork();

	CHECK_SYS(child);
	if (child == 0)
		become_program(segment, setting);
	return child;
}

int program_join(intptr_t program)
{
	int status;

	CHECK_SYS(waitpid((pid_t)program, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
