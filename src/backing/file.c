/* SPDX-License-Identifier: MIT */
/*
 * A file as a backing, read and written at places: no position, nothing kept here but the size, so any number of processes have it at
 * once, each with a backing of its own. Uses base and os.
 */
#include <backing/backing.h>

#include <base/error.h>
#include <inttypes.h>
#include <string.h>

#define FILE_FLAGS (STOA_BACKING_READ_ONLY | STOA_BACKING_CREATE)

struct file {
	os_handle handle;
	uint64_t size;
};

static int file_fill(void *context, uint64_t offset, uint64_t length, void *bytes)
{
	const struct file *file = context;
	size_t inside = backing_inside(file->size, offset, length), got = 0;
	int rc = inside ? os_memory_read(file->handle, offset, bytes, inside, &got) : 0;

	/* Less than that is there when somebody has cut the file. */
	if (rc == 0)
		memset((char *)bytes + got, 0, (size_t)length - got);
	return rc;
}

static int file_write(void *context, uint64_t offset, uint64_t length, const void *bytes)
{
	const struct file *file = context;
	size_t inside = backing_inside(file->size, offset, length);
	int rc;

	if (!inside)
		return 0;
	/* Beyond the limit a signal would end the process, also where nothing grows. */
	rc = os_length_allowed(offset + inside);
	return rc < 0 ? rc : os_memory_write(file->handle, offset, bytes, inside);
}

static int file_flush(void *context)
{
	const struct file *file = context;

	return os_file_sync(file->handle);
}

static int file_size(void *context, uint64_t *ret_size)
{
	const struct file *file = context;

	*ret_size = file->size;
	return 0;
}

static void file_close(void *context)
{
	struct file *file = context;

	os_handle_close(file->handle);
	os_free(file);
}

/* Make a backing of an opened file, which it owns on success. */
static int attach(os_handle handle, uint32_t flags, struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls reads = {.fill = file_fill, .size = file_size, .close = file_close};
	static const struct stoa_backing_calls writes = {
		.fill = file_fill, .write = file_write, .flush = file_flush, .size = file_size, .close = file_close};
	struct os_memory_info info;
	struct file *file;
	int rc = os_memory_info(handle, &info);

	if (rc < 0)
		return rc;
	if (!info.regular)
		return error_set(-STOA_EKIND, "not a regular file");
	file = os_allocate(sizeof(*file));
	if (!file)
		return -STOA_ENOMEM;
	*file = (struct file){handle, info.length};
	rc = stoa_backing_create(flags & STOA_BACKING_READ_ONLY ? &reads : &writes, file, ret_backing);
	if (rc < 0)
		os_free(file);
	return rc;
}

static int open_file(const char *path, uint32_t flags, struct stoa_backing **ret_backing)
{
	os_handle handle = OS_NO_HANDLE;
	int rc = os_file_open(path, !(flags & STOA_BACKING_READ_ONLY), &handle);

	if (rc < 0)
		return rc;
	rc = attach(handle, flags, ret_backing);
	if (rc == 0)
		return 0;
	os_handle_close(handle);
	return error_prefix(rc, "'%s'", path);
}

/* It gets its name last, so that a failure leaves none, and nobody finds it shorter than it will be. */
static int make_file(const char *path, uint32_t flags, uint64_t size, struct stoa_backing **ret_backing)
{
	struct stoa_backing *backing = NULL;
	os_handle handle = OS_NO_HANDLE;
	int rc = os_file_prepare(path, &handle);

	if (rc < 0)
		return rc;
	rc = os_file_set_length(handle, size);
	if (rc == 0)
		rc = attach(handle, flags, &backing);
	rc = rc < 0 ? error_prefix(rc, "'%s'", path) : os_file_publish(handle, path);
	if (rc == 0) {
		*ret_backing = backing;
		return 0;
	}
	if (backing)
		os_free(backing->context); /* the handle is still ours */
	os_free(backing);
	os_file_unmake(handle, path);
	return rc;
}

int backing_check_file(const char *path, uint32_t flags, uint32_t known, uint64_t size,
		       struct stoa_backing **ret_backing)
{
	if (!path)
		return error_set(-STOA_EINVAL, "no path was given");
	if (!ret_backing)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	if (flags & ~known)
		return error_refuse("this backing", ERROR_BACKING_FLAGS, flags & ~known);
	if (flags & STOA_BACKING_READ_ONLY && flags & STOA_BACKING_CREATE)
		return error_set(-STOA_EINVAL, "a backing that only reads cannot create its file");
	if (flags & STOA_BACKING_CREATE && !size)
		return error_set(-STOA_EINVAL, "'%s' may have to be made: say of how many bytes", path);
	if (size > BACKING_SIZE_MAX)
		return error_set(-STOA_EINVAL, "a file of %" PRIu64 " bytes is more than 2^62", size);
	return 0;
}

int stoa_backing_file(const char *path, uint32_t flags, uint64_t size, struct stoa_backing **ret_backing)
{
	int rc = backing_check_file(path, flags, FILE_FLAGS, size, ret_backing);

	if (rc < 0)
		return rc;
	/* Others may make it, and remove it, in between. */
	do {
		rc = open_file(path, flags, ret_backing);
		if (rc == -STOA_ENOENT && flags & STOA_BACKING_CREATE)
			rc = make_file(path, flags, size, ret_backing);
	} while (rc == -STOA_EEXIST && flags & STOA_BACKING_CREATE);
	return rc;
}
