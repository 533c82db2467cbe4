/* SPDX-License-Identifier: MIT */
/*
 * R4, memory made from an unlinked temporary file: it has no name, lies on a disk instead of in memory alone, grows like any other
 * segment, and is gone with the last process that has it, however that ends. Linux only: on Windows an open file keeps its name.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

static void check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "unlinked: %s: %s: %s\n", what, stoa_error_name(result), stoa_error_detail());
		exit(1);
	}
}

/* The child knows the segment by inheritance. It makes it larger, and writes its end. */
static void child(struct stoa_segment *segment, char *text)
{
	check(stoa_segment_commit(segment, 8 * MIB), "grow in the child");
	strcpy(text, "hello, parent");
	strcpy(text + 8 * MIB - 64, "the child was here");
	_exit(0);
}

int main(void)
{
	struct stoa_segment_options options = {.flags = STOA_RAW}; /* the file's bytes are the data */
	char path[] = "/var/tmp/stoa-example-XXXXXX", *text;
	struct stoa_segment *segment;
	struct stat file;
	int descriptor = mkostemp(path, O_CLOEXEC), status;
	pid_t pid;

	if (descriptor < 0 || unlink(path)) {
		perror(path);
		return 1;
	}
	check(stoa_segment_take_descriptor(descriptor, 1024 * MIB, &options, &segment), "map the descriptor");
	check(stoa_segment_commit(segment, MIB), "grow the file"); /* it was empty */
	text = stoa_segment_address(segment);
	strcpy(text, "hello, child");
	if (fstat(descriptor, &file)) /* the handle owns it, and keeps it open */
		return 1;
	printf("a file of %llu MiB with %lu names is memory that may grow to 1024 MiB\n",
	       (unsigned long long)file.st_size / MIB, (unsigned long)file.st_nlink);

	pid = fork();
	if (pid == 0)
		child(segment, text);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "unlinked: the child failed\n");
		return 1;
	}
	printf("the child answers '%s', and has made it %llu MiB: '%s'\n", text,
	       (unsigned long long)(stoa_segment_committed(segment) / MIB), text + 8 * MIB - 64);
	status = strcmp(text, "hello, parent") != 0 || strcmp(text + 8 * MIB - 64, "the child was here") != 0 ||
		 file.st_nlink != 0;
	stoa_segment_close(segment); /* the last: the file system has its space again */
	return status;
}
