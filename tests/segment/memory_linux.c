/* SPDX-License-Identifier: MIT */
/* What is behind memory on Linux: asked by a child that touches it, and of the file system. */
#include <segment/linux.h>

int probe_byte(volatile unsigned char *byte, bool write)
{
	pid_t child = fork();
	int status;

	CHECK_SYS(child);
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		if (write)
			*byte = 1;
		else
			(void)*byte;
		_exit(0);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

uint64_t committed_blocks(const struct stoa_segment *segment)
{
	struct stat status;

	CHECK_SYS(fstat((int)segment->memory, &status));
	return (uint64_t)status.st_blocks * 512;
}

void need_room(uint64_t reserve)
{
	size_t length = (size_t)(reserve + 2 * MIB);
	void *room = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		SKIP("no room for a map of %llu bytes: %s", (unsigned long long)length, strerror(errno));
	munmap(room, length);
}

const bool gives_back = true;
const unsigned open_cost = 1;
const char *const device_path = "/dev/null";

bool files_grow(void)
{
	return true;
}

uint64_t page_table_bytes(void)
{
	char line[256];
	unsigned long long kib = 0;
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		(void)sscanf(line, "VmPTE: %llu", &kib);
	if (status)
		fclose(status);
	return kib * 1024;
}

bool name_exists(const char *name)
{
	char path[400];
	bool found = false;

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/dev/shm/stoa.%u/%s%s", geteuid(), name, i ? ".lock" : ".seg");
		found |= access(path, F_OK) == 0;
	}
	return found;
}

void make_folder(const char *path)
{
	CHECK_SYS(mkdir(path, 0700));
}
