/* SPDX-License-Identifier: MIT */
/* Files on Linux. */
#include "../files.h"

#include "../flow.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_ONCE (UINT64_C(1) << 30) /* the kernel moves no more than about 2 GiB */

/* ---- input ---- */

int files_open(const char *path, struct files_input *ret_input)
{
	bool standard = !path || strcmp(path, "-") == 0;
	struct files_input input = {.descriptor = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)};
	struct stat status;
	off_t at;
	int error;

	if (input.descriptor < 0)
		return errno;
	if (fstat(input.descriptor, &status) != 0 || S_ISDIR(status.st_mode)) {
		error = S_ISDIR(status.st_mode) ? EISDIR : errno;
		files_close(&input);
		return error;
	}
	at = lseek(input.descriptor, 0, SEEK_CUR);
	/* Files of /proc say that they are empty. */
	if (S_ISREG(status.st_mode) && at >= 0 && status.st_size > 0) {
		input.known = true;
		input.size = status.st_size > at ? (uint64_t)(status.st_size - at) : 0;
	}
	*ret_input = input;
	return 0;
}

void files_close(struct files_input *input)
{
	if (input->descriptor > STDERR_FILENO)
		close(input->descriptor);
	input->descriptor = -1;
}

int64_t files_read_some(const struct files_input *input, void *to, uint64_t room)
{
	ssize_t got;

	do
		got = read(input->descriptor, to, room < AT_ONCE ? room : AT_ONCE);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

int64_t files_read(const struct files_input *input, void *to, uint64_t room)
{
	uint64_t done = 0;

	while (done < room) {
		uint64_t left = room - done;
		ssize_t got = read(input->descriptor, (char *)to + done, left < AT_ONCE ? left : AT_ONCE);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (uint64_t)got;
	}
	return (int64_t)done;
}

/* ---- output ---- */

static int release(struct files_output *output, int error)
{
	if (output->descriptor >= 0)
		close(output->descriptor);
	free(output->path);
	free(output->temporary);
	*output = (struct files_output){.descriptor = -1};
	return error;
}

/* Beside `path`, with the rights that it has, or that a new file gets. */
static int open_beside(struct files_output *output, const struct stat *there)
{
	size_t room = strlen(output->path) + 16;
	mode_t mask = umask(0);

	umask(mask);
	output->temporary = malloc(room);
	if (!output->temporary)
		return ENOMEM;
	snprintf(output->temporary, room, "%s.stoa-XXXXXX", output->path);
	output->descriptor = mkostemp(output->temporary, O_CLOEXEC);
	if (output->descriptor < 0)
		return errno;
	if (fchmod(output->descriptor, there ? there->st_mode & 07777 : 0666 & ~mask) == 0)
		return 0;
	unlink(output->temporary);
	return errno;
}

int files_create(const char *path, struct files_output *ret_output)
{
	struct files_output output = {.descriptor = -1};
	struct stat status;
	bool there = stat(path, &status) == 0;
	int error = 0;

	/* A file that may not become as long is an error, no signal. */
	signal(SIGXFSZ, SIG_IGN);
	/* Where a link leads to, the link stays. */
	output.path = there ? realpath(path, NULL) : strdup(path);
	if (!output.path)
		return errno;
	if (there && !S_ISREG(status.st_mode)) {
		output.descriptor = open(output.path, O_WRONLY | O_CLOEXEC);
		error = output.descriptor < 0 ? errno : 0;
	} else {
		error = open_beside(&output, there ? &status : NULL);
	}
	if (error)
		return release(&output, error);
	*ret_output = output;
	return 0;
}

int files_write(const struct files_output *output, const void *from, uint64_t length)
{
	const char *at = from;

	while (length > 0) {
		ssize_t done = write(output->descriptor, at, length < AT_ONCE ? length : AT_ONCE);

		if (flow_asked())
			return EINTR;
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		at += done;
		length -= (uint64_t)done;
	}
	return 0;
}

int files_commit(struct files_output *output)
{
	int descriptor = output->descriptor;

	output->descriptor = -1;
	if (close(descriptor) != 0 || (output->temporary && rename(output->temporary, output->path) != 0)) {
		int error = errno;

		files_drop(output);
		return error;
	}
	return release(output, 0);
}

void files_drop(struct files_output *output)
{
	if (output->temporary)
		unlink(output->temporary);
	(void)release(output, 0);
}
