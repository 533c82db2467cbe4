/* SPDX-License-Identifier: MIT */
/*
 * The handle of a backing: its arguments are checked here, once for all stores, and so is what functions of the user's return. Uses
 * base and os.
 */
#include <backing/backing.h>

#include <base/error.h>
#include <inttypes.h>

int stoa_backing_create(const struct stoa_backing_calls *calls, void *context, struct stoa_backing **ret_backing)
{
	struct stoa_backing *backing;

	if (!calls)
		return error_set(-STOA_EINVAL, "no functions were given");
	if (!calls->fill || !calls->size)
		return error_set(-STOA_EINVAL, "a backing has at least the functions fill and size");
	if (calls->flush && !calls->write)
		return error_set(-STOA_EINVAL, "a backing that does not write has nothing to flush");
	if (!ret_backing)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	backing = os_allocate(sizeof(*backing));
	if (!backing)
		return -STOA_ENOMEM;
	*backing = (struct stoa_backing){*calls, context};
	*ret_backing = backing;
	return 0;
}

void stoa_backing_close(struct stoa_backing *backing)
{
	if (!backing)
		return;
	if (backing->calls.close)
		backing->calls.close(backing->context);
	os_free(backing);
}

static int check_range(const struct stoa_backing *backing, uint64_t offset, uint64_t length, const void *bytes)
{
	if (!backing)
		return error_set(-STOA_EINVAL, "no backing was given");
	if (offset > BACKING_SIZE_MAX || length > BACKING_SIZE_MAX - offset || length > SIZE_MAX)
		return error_set(-STOA_EINVAL, "%" PRIu64 " bytes at %" PRIu64 " are no range of a backing", length,
				 offset);
	if (!bytes && length)
		return error_set(-STOA_EINVAL, "no bytes were given");
	return 0;
}

/* What a function returned, as far as it may return that: the caller of a pager gets it as it is. */
static int checked(int result, const char *function)
{
	if (result <= 0 && result >= -STOA_BACKING_ERROR_MAX)
		return result;
	return error_set(-STOA_ESYSTEM,
			 "the backing's %s() returned %d; it may return 0 or a negative error down to %d", function,
			 result, -STOA_BACKING_ERROR_MAX);
}

int stoa_backing_fill(struct stoa_backing *backing, uint64_t offset, uint64_t length, void *bytes)
{
	int rc = check_range(backing, offset, length, bytes);

	if (rc < 0 || length == 0)
		return rc;
	return checked(backing->calls.fill(backing->context, offset, length, bytes), "fill");
}

int stoa_backing_write(struct stoa_backing *backing, uint64_t offset, uint64_t length, const void *bytes)
{
	int rc = check_range(backing, offset, length, bytes);

	if (rc < 0)
		return rc;
	if (!backing->calls.write)
		return error_set(-STOA_ERIGHTS, "the backing only reads");
	return length ? checked(backing->calls.write(backing->context, offset, length, bytes), "write") : 0;
}

int stoa_backing_flush(struct stoa_backing *backing)
{
	if (!backing)
		return error_set(-STOA_EINVAL, "no backing was given");
	return backing->calls.flush ? checked(backing->calls.flush(backing->context), "flush") : 0;
}

int stoa_backing_size(struct stoa_backing *backing, uint64_t *ret_size)
{
	uint64_t size = 0;
	int rc;

	if (!backing)
		return error_set(-STOA_EINVAL, "no backing was given");
	if (!ret_size)
		return error_set(-STOA_EINVAL, "no place for the size was given");
	rc = checked(backing->calls.size(backing->context, &size), "size");
	if (rc == 0 && size > BACKING_SIZE_MAX)
		return error_set(-STOA_ESYSTEM, "the backing says that it has %" PRIu64 " bytes, more than 2^62", size);
	if (rc == 0)
		*ret_size = size;
	return rc;
}
