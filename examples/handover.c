/* SPDX-License-Identifier: MIT */
/*
 * R4, handing memory over: by fork, by a descriptor over a socket (read-only, enforced by the kernel), and by a name that the
 * producer leaves behind and the consumer removes. Linux only: Windows has none of the three; grow.c and named.c show what it has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "handover: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

static struct stoa_segment *make(const char *name, uint32_t flags, const char *text)
{
	struct stoa_segment_options options = {.flags = flags, .commit = 4096};
	struct stoa_segment *segment;

	check(stoa_segment_create(name, 1 << 20, &options, &segment), "create");
	strcpy(stoa_segment_address(segment), text);
	return segment;
}

/* A sibling that shares nothing with us but a socket. */
static int receiver(int socket)
{
	struct stoa_segment *segment;
	int may_write;
	uint32_t sender;

	check(stoa_segment_receive_with_socket(socket, &segment, &sender), "receive");
	may_write = mprotect(stoa_segment_address(segment), 4096, PROT_READ | PROT_WRITE) == 0;
	printf("receiver: '%s', from user %u; to write it: ", (char *)stoa_segment_address(segment), sender);
	puts(may_write ? "allowed?!" : "refused by the kernel");
	stoa_segment_close(segment);
	return may_write;
}

int main(void)
{
	struct stoa_segment *segment = make(NULL, 0, "hello, child");
	char name[64], *text = stoa_segment_address(segment);
	int sockets[2], status;

	if (fork() == 0) { /* 1: a child inherits the mapping */
		strcpy(text, "hello, parent");
		_exit(0);
	}
	wait(NULL);
	printf("fork:     the child answers '%s'\n", text);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return 1;
	fflush(NULL);
	if (fork() == 0) { /* 2: over a socket, read-only */
		stoa_segment_close(segment);
		exit(receiver(sockets[1]));
	}
	check(stoa_segment_send_with_socket(segment, STOA_READ, sockets[0]), "send");
	if (wait(&status) < 0 || status)
		return 1;
	stoa_segment_close(segment);

	snprintf(name, sizeof(name), "handover-%ld", (long)getpid()); /* 3: by name; nobody has it open meanwhile */
	stoa_segment_close(make(name, STOA_PERSISTENT, "left by a producer that is gone"));
	check(stoa_segment_open(name, NULL, &segment), "open by name");
	check(stoa_segment_unlink(name, 0), "remove the name");
	printf("name:     '%s'\n", (char *)stoa_segment_address(segment));
	stoa_segment_close(segment);
	return stoa_segment_open(name, NULL, &segment) == -STOA_ENOENT ? 0 : 1;
}
