/* SPDX-License-Identifier: MIT */
/* Memory and files by the system calls of Linux; see rival.h. */
#include "../rival.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int rival_memory_make(size_t length, void **ret_bytes)
{
	void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return errno;
	/* Without huge pages in the kernel the advice fails, and is not needed. */
	(void)madvise(bytes, length, MADV_NOHUGEPAGE);
	*ret_bytes = bytes;
	return 0;
}

void rival_memory_free(void *bytes, size_t length)
{
	munmap(bytes, length);
}

int rival_sealed_make(const void *bytes, size_t length, intptr_t *ret_handle)
{
	int memory = memfd_create("stoa-bench", MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (memory < 0)
		return errno;
	for (size_t at = 0; at < length;) {
		ssize_t wrote = pwrite(memory, (const char *)bytes + at, length - at, (off_t)at);

		if (wrote < 0 && errno != EINTR)
			goto fail;
		at += wrote < 0 ? 0 : (size_t)wrote;
	}
	if (fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		goto fail;
	*ret_handle = memory;
	return 0;
fail:
	error = errno;
	close(memory);
	return error;
}

bool rival_sealed_end(intptr_t handle, const void *bytes, size_t length)
{
	void *map = mmap(NULL, length, PROT_READ, MAP_PRIVATE, (int)handle, 0);
	bool same = map != MAP_FAILED && memcmp(map, bytes, length) == 0;

	if (map != MAP_FAILED)
		munmap(map, length);
	close((int)handle);
	return same;
}

const char rival_commit_name[] = "one fallocate";
const char rival_commit_page_name[] = "fallocate of a page";

int rival_reserve_make(size_t length, struct rival_reserve *ret_reserve)
{
	int memory = memfd_create("stoa-bench", MFD_CLOEXEC);

	if (memory < 0)
		return errno;
	*ret_reserve = (struct rival_reserve){.handle = memory, .length = length};
	return 0;
}

int rival_reserve_commit(struct rival_reserve *reserve, size_t offset, size_t length)
{
	return fallocate((int)reserve->handle, 0, (off_t)offset, (off_t)length) ? errno : 0;
}

void rival_reserve_free(struct rival_reserve *reserve)
{
	close((int)reserve->handle);
}

const char rival_read_name[] = "pread";
const char rival_copy_name[] = "pread and pwrite of 256 KiB";

const char *rival_directory(void)
{
	const char *directory = getenv("TMPDIR");

	return directory && directory[0] ? directory : "/var/tmp";
}

int rival_directory_check(const char *directory)
{
	return access(directory, W_OK | X_OK) ? errno : 0;
}

int rival_file_make(const char *directory, struct rival_file *ret_file)
{
	snprintf(ret_file->path, sizeof(ret_file->path), "%s/stoa-bench-XXXXXX", directory);
	ret_file->handle = mkostemp(ret_file->path, O_CLOEXEC);
	return ret_file->handle < 0 ? errno : 0;
}

int rival_file_read(struct rival_file *file, void *bytes, size_t length, uint64_t offset)
{
	ssize_t got = pread((int)file->handle, bytes, length, (off_t)offset);

	return got == (ssize_t)length ? 0 : got < 0 ? errno : EIO;
}

int rival_file_write(struct rival_file *file, const void *bytes, size_t length, uint64_t offset)
{
	ssize_t put = pwrite((int)file->handle, bytes, length, (off_t)offset);

	return put == (ssize_t)length ? 0 : put < 0 ? errno : ENOSPC;
}

void rival_file_hide(struct rival_file *file)
{
	unlink(file->path);
}

void rival_file_end(struct rival_file *file)
{
	if (file->handle >= 0)
		close((int)file->handle);
}
