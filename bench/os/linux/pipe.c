/* SPDX-License-Identifier: MIT */
/* Pipes of Linux; see rival.h. */
#include "../rival.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define ROOM (1 << 20) /* what every user may have; more than the usual 64 KiB means fewer wake-ups */

const char rival_pipe_name[] = "pipe";

/* Members of the crew inherit both ends. */
int rival_pipe_make(struct rival_pipe *made)
{
	int ends[2];

	if (pipe(ends))
		return errno;
	(void)fcntl(ends[1], F_SETPIPE_SZ, ROOM);
	*made = (struct rival_pipe){ends[0], ends[1]};
	return 0;
}

int rival_pipe_write(struct rival_pipe *pipe, const void *bytes, size_t length)
{
	const char *rest = bytes;

	while (length) {
		ssize_t got = write((int)pipe->to, rest, length);

		if (got < 0 && errno != EINTR)
			return errno;
		rest += got < 0 ? 0 : got;
		length -= got < 0 ? 0 : (size_t)got;
	}
	return 0;
}

int rival_pipe_read(struct rival_pipe *pipe, void *bytes, size_t size, size_t *ret_got)
{
	ssize_t got;

	do
		got = read((int)pipe->from, bytes, size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno;
	*ret_got = (size_t)got;
	return 0;
}

void rival_pipe_end(struct rival_pipe *pipe)
{
	close((int)pipe->from);
	close((int)pipe->to);
}
