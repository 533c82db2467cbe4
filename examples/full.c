/* SPDX-License-Identifier: MIT */
/*
 * Full memory is an error of the call that asked for it. In a /dev/shm of 2 MiB, as containers have them, plain code is killed by
 * SIGBUS when it touches what it was promised; a commit that cannot be kept is refused instead, in every process.
 * Linux only: Windows counts memory when it is committed, and kills nobody.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stoa/stoa.h>

#define MIB (UINT64_C(1) << 20)

static int put(const char *path, const char *format, unsigned id)
{
	int descriptor = open(path, O_WRONLY | O_CLOEXEC);

	return descriptor < 0 || dprintf(descriptor, format, id, id) < 0 || close(descriptor);
}

/* A /dev/shm of our own. It needs namespaces, which not every container may make. */
static int make_it_small(void)
{
	unsigned user = geteuid(), group = getegid();

	if (unshare(CLONE_NEWNS) &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) || put("/proc/self/setgroups", "deny", 0) ||
	     put("/proc/self/uid_map", "%u %u 1", user) || put("/proc/self/gid_map", "%u %u 1", group)))
		return -1;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	       mount("none", "/dev/shm", "tmpfs", 0, "size=2m,mode=1777");
}

/* What most programs do. */
static void plain(void)
{
	int descriptor = open("/dev/shm/plain", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *data;

	data = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	if (descriptor >= 0 && !ftruncate(descriptor, 64 * (off_t)MIB) && data != MAP_FAILED)
		memset(data, 1, 64 * MIB);
	_exit(0);
}

int main(void)
{
	struct stoa_segment *segment;
	int result, status = 0;
	pid_t child;

	if (make_it_small())
		return printf("this process may not mount a small /dev/shm: nothing to show here\n") < 0;
	child = fork();
	if (child == 0)
		plain();
	waitpid(child, &status, 0);
	unlink("/dev/shm/plain");
	printf("plain:  ftruncate to 64 MiB succeeds, writing it ends in: %s\n",
	       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "success");

	result = stoa_segment_create("full", 1024 * MIB, NULL, &segment);
	if (result < 0)
		return printf("create: %s\n", stoa_error_detail()) != 0;
	result = stoa_segment_commit(segment, MIB);
	memset(stoa_segment_address(segment), 1, MIB);
	printf("stoa:   committing 1 MiB: %s; it is there and stays\n", stoa_error_name(result));
	result = stoa_segment_commit(segment, 64 * MIB);
	printf("stoa:   committing 64 MiB: %s: %s\n", stoa_error_name(result), stoa_error_detail());
	stoa_segment_close(segment);
	return WIFSIGNALED(status) && result == -STOA_ENOMEM ? 0 : 1;
}
