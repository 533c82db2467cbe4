/* SPDX-License-Identifier: MIT */
/* A disk of two files in memory, for parsers of files: one has the input, the other is of fixed length. Every access beyond is seen by a sanitizer. */
#ifndef TESTS_FUZZ_BYTES_H
#define TESTS_FUZZ_BYTES_H

#include <backing/disk.h>
#include <stdlib.h>
#include <stoa/error.h>
#include <string.h>

#define BYTES_ROOM (UINT64_C(1) << 18)

struct bytes {
	struct disk disk; /* first */
	unsigned char *files[2];
	uint64_t lengths[2];
};

static int bytes_open(const struct disk *disk, const char *path, bool create, os_handle *ret_file)
{
	(void)disk, (void)path, (void)create;
	*ret_file = 0;
	return 0;
}

static void bytes_close(const struct disk *disk, os_handle file)
{
	(void)disk, (void)file;
}

static int bytes_read(const struct disk *disk, os_handle file, uint64_t offset, void *into, size_t length,
		      size_t *ret_read)
{
	const struct bytes *bytes = (const struct bytes *)(const void *)disk;
	uint64_t left = offset < bytes->lengths[file] ? bytes->lengths[file] - offset : 0;

	*ret_read = (size_t)(length < left ? length : left);
	memcpy(into, bytes->files[file] + (left ? offset : 0), *ret_read);
	return 0;
}

static int bytes_write(const struct disk *disk, os_handle file, uint64_t offset, const void *from, size_t length)
{
	struct bytes *bytes = (struct bytes *)(void *)(uintptr_t)disk;

	if (offset > BYTES_ROOM || length > BYTES_ROOM - offset)
		return -STOA_ENOMEM;
	memcpy(bytes->files[file] + offset, from, length);
	if (offset + length > bytes->lengths[file])
		bytes->lengths[file] = offset + length;
	return 0;
}

static int bytes_length(const struct disk *disk, os_handle file, uint64_t *ret_length)
{
	*ret_length = ((const struct bytes *)(const void *)disk)->lengths[file];
	return 0;
}

static int bytes_nothing(const struct disk *disk, os_handle file)
{
	(void)disk, (void)file;
	return 0;
}

static int bytes_lock(const struct disk *disk, os_handle file, unsigned byte, enum os_lock_kind kind, bool wait)
{
	(void)disk, (void)file, (void)byte, (void)kind, (void)wait;
	return 0;
}

static int bytes_sync_name(const struct disk *disk, const char *path)
{
	(void)disk, (void)path;
	return 0;
}

static bool bytes_is_at(const struct disk *disk, os_handle file, const char *path)
{
	(void)disk, (void)file, (void)path;
	return true;
}

static int bytes_remove(const struct disk *disk, os_handle file, const char *path)
{
	(void)disk, (void)file, (void)path;
	return 0;
}

static void bytes_begin(struct bytes *bytes, const uint8_t *input, size_t length, uint64_t other)
{
	bytes->disk = (struct disk){bytes_open,   bytes_close, bytes_read,      bytes_write, bytes_nothing,
				    bytes_length, bytes_lock,  bytes_sync_name, bytes_is_at, bytes_remove};
	length = length < BYTES_ROOM ? length : BYTES_ROOM;
	for (int i = 0; i < 2; i++) {
		bytes->files[i] = calloc(1, BYTES_ROOM);
		if (!bytes->files[i])
			abort();
	}
	memcpy(bytes->files[0], input, length);
	bytes->lengths[0] = length;
	bytes->lengths[1] = other;
}

static void bytes_end(struct bytes *bytes)
{
	free(bytes->files[0]);
	free(bytes->files[1]);
}

#endif
