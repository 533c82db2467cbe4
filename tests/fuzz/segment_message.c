/* SPDX-License-Identifier: MIT */
/*
 * What may come over a socket: bytes with descriptors. The first byte of the input says how many descriptors and of what; the rest is
 * the message, half the time with a beginning that is ours.
 */
#include <segment/segment.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void send_all(int socket, const void *bytes, size_t length, int memory, unsigned count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 16)];
	} control;
	struct iovec piece = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	struct cmsghdr *header;

	memset(&control, 0, sizeof(control));
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(header) + i * sizeof(int), &memory, sizeof(int));
	}
	(void)sendmsg(socket, &message, MSG_DONTWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const uint8_t start[12] = {'S', 'T', 'O', 'A', 'S', 'N', 'D', '\n', 1};
	uint8_t message[64] = {0};
	struct stoa_segment *segment;
	int ends[2], memory;
	size_t used;

	if (length < 1 || socketpair(AF_UNIX, bytes[0] & 1 ? SOCK_STREAM : SOCK_SEQPACKET, 0, ends) < 0)
		return 0;
	memory = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	used = length - 1 < sizeof(message) ? length - 1 : sizeof(message);
	memcpy(message, bytes + 1, used);
	if (bytes[0] & 2)
		memcpy(message, start, sizeof(start));
	(void)write(memory, bytes, length);
	send_all(ends[0], message, used, memory, bytes[0] >> 4);
	close(ends[0]);
	if (stoa_segment_receive_with_socket(ends[1], &segment, NULL) == 0)
		stoa_segment_close(segment);
	close(ends[1]);
	close(memory);
	return 0;
}
