/* SPDX-License-Identifier: MIT */
/* The system's files as a disk. Uses os. */
#include <backing/disk.h>

#include <string.h>

static int system_open(const struct disk *disk, const char *path, bool create, os_handle *ret_file)
{
	(void)disk;
	return os_file_open_own(path, create, ret_file);
}

static void system_close(const struct disk *disk, os_handle file)
{
	(void)disk;
	os_handle_close(file);
}

static int system_read(const struct disk *disk, os_handle file, uint64_t offset, void *bytes, size_t length,
		       size_t *ret_read)
{
	(void)disk;
	return os_memory_read(file, offset, bytes, length, ret_read);
}

static int system_write(const struct disk *disk, os_handle file, uint64_t offset, const void *bytes, size_t length)
{
	/* Beyond the limit a signal would end the process, also where nothing grows. */
	int rc = os_length_allowed(offset + length);

	(void)disk;
	return rc < 0 ? rc : os_memory_write(file, offset, bytes, length);
}

static int system_sync(const struct disk *disk, os_handle file)
{
	(void)disk;
	return os_file_sync(file);
}

static int system_length(const struct disk *disk, os_handle file, uint64_t *ret_length)
{
	struct os_memory_info info;
	int rc = os_memory_info(file, &info);

	(void)disk;
	if (rc == 0)
		*ret_length = info.length;
	return rc;
}

static int system_lock(const struct disk *disk, os_handle file, unsigned byte, enum os_lock_kind kind, bool wait)
{
	(void)disk;
	return os_file_lock(file, byte, kind, wait);
}

static int system_sync_name(const struct disk *disk, const char *path)
{
	(void)disk;
	return os_file_sync_name(path);
}

static bool system_is_at(const struct disk *disk, os_handle file, const char *path)
{
	(void)disk;
	return os_file_is_at(file, path);
}

static int system_remove(const struct disk *disk, os_handle file, const char *path)
{
	(void)disk;
	return os_file_remove(file, path);
}

const struct disk disk_system = {
	.open = system_open,
	.close = system_close,
	.read = system_read,
	.write = system_write,
	.sync = system_sync,
	.length = system_length,
	.lock = system_lock,
	.sync_name = system_sync_name,
	.is_at = system_is_at,
	.remove = system_remove,
};

int disk_read(const struct disk *disk, os_handle file, uint64_t offset, void *bytes, size_t length)
{
	size_t got = 0;
	int rc = length ? disk->read(disk, file, offset, bytes, length, &got) : 0;

	if (rc == 0)
		memset((char *)bytes + got, 0, length - got);
	return rc;
}
