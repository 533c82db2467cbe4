/* SPDX-License-Identifier: MIT */
/*
 * A file as a backing, read and written at places: no position, nothing kept here but the size, so any number of processes have it at
 * once, each with a backing of its own. Uses base and os.
 */
#include <backing/backing.h>
#include <backing/guard.h>
#include <backing/pack.h>

#include <base/error.h>
#include <inttypes.h>
#include <string.h>

#define FILE_FLAGS (STOA_BACKING_READ_ONLY | STOA_BACKING_CREATE | STOA_BACKING_CRASH_SAFE)

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

int backing_check_regular(os_handle handle, uint64_t *ret_length)
{
	struct os_memory_info info;
	int rc = os_memory_info(handle, &info);

	if (rc < 0)
		return rc;
	if (!info.regular)
		return error_set(-STOA_EKIND, "not a regular file");
	*ret_length = info.length;
	return 0;
}

/* Make a backing of an opened file, which it owns on success. */
static int attach(os_handle handle, uint32_t flags, struct stoa_backing **ret_backing)
{
	static const struct stoa_backing_calls reads = {.fill = file_fill, .size = file_size, .close = file_close};
	static const struct stoa_backing_calls writes = {
		.fill = file_fill, .write = file_write, .flush = file_flush, .size = file_size, .close = file_close};
	uint64_t length = 0;
	struct file *file;
	int rc = backing_check_regular(handle, &length);

	if (rc < 0)
		return rc;
	file = os_allocate(sizeof(*file));
	if (!file)
		return -STOA_ENOMEM;
	*file = (struct file){handle, length};
	rc = stoa_backing_create(flags & STOA_BACKING_READ_ONLY ? &reads : &writes, file, ret_backing);
	if (rc < 0)
		os_free(file);
	return rc;
}

/* Where the log of a crash-safe file lies, the same for all who open it. */
static int find_log(os_handle handle, char path[OS_PATH_ROOM])
{
	uint64_t length = 0;
	int rc = backing_check_regular(handle, &length);

	if (rc == 0)
		rc = os_file_path(handle, path);
	if (rc == 0 && strlen(path) + sizeof(GUARD_SUFFIX) > OS_PATH_ROOM)
		rc = error_set(-STOA_ENAME, "its path is too long for that of a log");
	if (rc == 0)
		strcat(path, GUARD_SUFFIX);
	return rc;
}

/* Is there a log? Then its file is opened for writing, too, by who only reads: it may have to be brought in order first. */
static int needs_log(os_handle handle, uint32_t flags, bool *ret_needed)
{
	char path[OS_PATH_ROOM];
	os_handle log;
	int rc;

	*ret_needed = flags & STOA_BACKING_CRASH_SAFE;
	if (!*ret_needed || !(flags & STOA_BACKING_READ_ONLY))
		return 0;
	rc = find_log(handle, path);
	if (rc == 0)
		rc = os_file_open_own(path, false, &log);
	if (rc == 0)
		os_handle_close(log);
	*ret_needed = rc != -STOA_ENOENT;
	return *ret_needed ? rc : 0;
}

static int attach_guarded(os_handle handle, uint32_t flags, struct stoa_backing **ret_backing)
{
	char path[OS_PATH_ROOM];
	int rc = find_log(handle, path);

	return rc < 0 ? rc : guard_attach(&disk_system, handle, path, flags, LOG_HALF, ret_backing);
}

static int open_file(const char *path, uint32_t flags, struct stoa_backing **ret_backing)
{
	os_handle handle = OS_NO_HANDLE;
	bool guarded;
	int rc = os_file_open(path, !(flags & STOA_BACKING_READ_ONLY), &handle);

	if (rc < 0)
		return rc;
	rc = needs_log(handle, flags, &guarded);
	if (rc == 0 && guarded && flags & STOA_BACKING_READ_ONLY) {
		os_handle_close(handle);
		rc = os_file_open(path, true, &handle);
		if (rc < 0)
			return error_prefix(rc, "it has a log, which must be looked at");
	}
	if (rc == 0)
		rc = guarded ? attach_guarded(handle, flags, ret_backing) : attach(handle, flags, ret_backing);
	if (rc == 0)
		return 0;
	os_handle_close(handle);
	return error_prefix(rc, "'%s'", path);
}

/* It gets its name last, so that a failure leaves none, and nobody finds it shorter than it will be. */
static int make_plain(os_handle handle, const char *path, struct stoa_backing **ret_backing)
{
	struct stoa_backing *backing = NULL;
	int rc = attach(handle, 0, &backing);

	rc = rc < 0 ? error_prefix(rc, "'%s'", path) : os_file_publish(handle, path);
	if (rc == 0) {
		*ret_backing = backing;
		return 0;
	}
	if (backing)
		os_free(backing->context); /* the handle is still the caller's */
	os_free(backing);
	return rc;
}

/* The log lies beside the name, so that comes first; its length is durable before, as what the log holds lies within. */
static int make_guarded(os_handle handle, const char *path)
{
	int rc = os_file_sync(handle);

	return rc < 0 ? error_prefix(rc, "'%s'", path) : os_file_publish(handle, path);
}

static int make_file(const char *path, uint32_t flags, uint64_t size, struct stoa_backing **ret_backing)
{
	os_handle handle = OS_NO_HANDLE;
	int rc = os_file_prepare(path, &handle);

	if (rc < 0)
		return rc;
	rc = os_file_set_length(handle, size);
	if (rc == 0)
		rc = flags & STOA_BACKING_CRASH_SAFE ? make_guarded(handle, path)
						     : make_plain(handle, path, ret_backing);
	if (rc < 0) {
		(void)os_file_set_length(handle, 0); /* where it had its name from the start */
		os_file_unmake(handle, path);
		return rc;
	}
	if (!(flags & STOA_BACKING_CRASH_SAFE))
		return 0;
	os_handle_close(handle);
	rc = os_file_sync_name(path);
	return rc < 0 ? rc : open_file(path, flags, ret_backing);
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

int stoa_backing_zstd(const char *path, const struct stoa_backing_zstd_options *options,
		      struct stoa_backing **ret_backing)
{
	const struct stoa_backing_zstd_options none = {0};
	int rc;

	options = options ? options : &none;
	rc = backing_check_file(path, options->flags, STOA_BACKING_READ_ONLY | STOA_BACKING_CREATE, options->size,
				ret_backing);
	if (rc < 0)
		return rc;
	if (options->frame && !pack_frame_valid(options->frame))
		return error_set(-STOA_EINVAL, "a frame of %" PRIu32 " bytes: it is a power of two from 4096 to 2 MiB",
				 options->frame);
	if (options->reserved)
		return error_set(-STOA_EINVAL, "the option 'reserved' is %" PRIu32 ", not 0", options->reserved);
	return backing_zstd(path, options, ret_backing);
}
