/* SPDX-License-Identifier: MIT */
/*
 * A user's file as a segment: raw, so that its bytes are the data and its length is the committed length, to the byte. And
 * flushing, which means something for files only.
 */
#include <base/error.h>
#include <inttypes.h>
#include <segment/header.h>
#include <segment/segment.h>

#define FILE_FLAGS (STOA_RAW | STOA_SHRINKABLE | STOA_READ_ONLY | STOA_EXECUTABLE | STOA_FILE_CREATE)

/* Lay a segment over an opened file. On success it owns `file`. */
static int attach_file(os_handle file, uint64_t reserve, uint32_t flags, struct stoa_segment **ret_segment)
{
	struct os_memory_info info;
	struct segment_header header = {.flags = STOA_RAW | (flags & STOA_EXECUTABLE)};
	int rc = os_memory_info(file, &info);

	if (rc < 0)
		return rc;
	if (!info.regular)
		return error_set(-STOA_EKIND, "not a regular file");
	if (reserve == 0)
		reserve = info.length;
	if (reserve == 0)
		return error_set(-STOA_EINVAL, "the file is empty: say how far it may grow");
	if (reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_ERANGE, "the file has %" PRIu64 " bytes, more than the 2^40 of a segment",
				 reserve);
	if (reserve < info.length)
		return error_set(-STOA_ERANGE, "the file has %" PRIu64 " bytes, the reserve only %" PRIu64, info.length,
				 reserve);
	header.reserve = segment_round_up(reserve, OS_PAGE);
	rc = segment_attach(file, &header, !(flags & STOA_READ_ONLY), NULL, ret_segment);
	if (rc == 0) {
		(*ret_segment)->is_file = true;
		(*ret_segment)->can_be_cut = true;
	}
	return rc;
}

/* The same, with what the options want committed. On failure `file` is still the caller's. */
static int attach_and_commit(os_handle file, uint64_t reserve, const struct stoa_segment_options *options,
			     struct stoa_segment **ret_segment)
{
	struct stoa_segment *segment;
	int rc = attach_file(file, reserve, options ? options->flags : 0, &segment);

	if (rc < 0)
		return rc;
	if (options && options->commit)
		rc = stoa_segment_commit(segment, options->commit);
	if (rc < 0) {
		segment->memory = OS_NO_HANDLE;
		stoa_segment_close(segment);
		return rc;
	}
	*ret_segment = segment;
	return 0;
}

static int open_file(const char *path, uint64_t reserve, const struct stoa_segment_options *options,
		     struct stoa_segment **ret_segment)
{
	os_handle file = OS_NO_HANDLE;
	int rc = os_file_open(path, !(options && options->flags & STOA_READ_ONLY), &file);

	if (rc < 0)
		return rc;
	rc = attach_and_commit(file, reserve, options, ret_segment);
	if (rc == 0)
		return 0;
	os_handle_close(file);
	return error_prefix(rc, "'%s'", path);
}

/* It gets its name last, so that a failure leaves none. */
static int make_file(const char *path, uint64_t reserve, const struct stoa_segment_options *options,
		     struct stoa_segment **ret_segment)
{
	struct stoa_segment *segment = NULL;
	os_handle file = OS_NO_HANDLE;
	int rc;

	if (!reserve)
		return error_set(-STOA_EINVAL, "'%s' is to be made: say how far it may grow", path);
	rc = os_file_prepare(path, &file);
	if (rc < 0)
		return rc;
	rc = attach_and_commit(file, reserve, options, &segment);
	rc = rc < 0 ? error_prefix(rc, "'%s'", path) : os_file_publish(file, path);
	if (rc == 0) {
		*ret_segment = segment;
		return 0;
	}
	if (segment)
		segment->memory = OS_NO_HANDLE;
	stoa_segment_close(segment);
	os_file_unmake(file, path);
	return rc;
}

static int open_or_make_file(const char *path, uint64_t reserve, const struct stoa_segment_options *options,
			     struct stoa_segment **ret_segment)
{
	bool create = options && options->flags & STOA_FILE_CREATE;
	int rc;

	/* Others may make it, and remove it, in between. */
	do {
		rc = open_file(path, reserve, options, ret_segment);
		if (rc == -STOA_ENOENT && create)
			rc = make_file(path, reserve, options, ret_segment);
	} while (rc == -STOA_EEXIST && create);
	return rc;
}

int stoa_segment_file(const char *path, uint64_t reserve, const struct stoa_segment_options *options,
		      struct stoa_segment **ret_segment)
{
	uint32_t flags = options ? options->flags : 0;

	if (!path)
		return error_set(-STOA_EINVAL, "no path was given");
	if (!ret_segment)
		return error_set(-STOA_EINVAL, "no place for the handle was given");
	if (reserve > STOA_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "a reserve of %" PRIu64 " bytes is more than 2^40", reserve);
	if (flags & ~FILE_FLAGS)
		return error_refuse("a file", ERROR_SEGMENT_FLAGS, flags & ~FILE_FLAGS);
	if (options && options->huge > STOA_HUGE_REQUIRE)
		return error_set(-STOA_EINVAL, "huge %" PRIu32 " is none of STOA_HUGE_*", options->huge);
	if (options && options->reserved)
		return error_set(-STOA_EINVAL, "the option 'reserved' is %" PRIu32 ", not 0", options->reserved);
	if (flags & STOA_READ_ONLY && flags & STOA_FILE_CREATE)
		return error_set(-STOA_EINVAL, "a read-only handle cannot create the file");
	if (flags & STOA_READ_ONLY && options->commit)
		return error_set(-STOA_EINVAL, "a read-only handle cannot commit");
	return open_or_make_file(path, reserve, options, ret_segment);
}

int stoa_segment_flush(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t flags)
{
	uint64_t from, to;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (flags & ~STOA_DURABLE)
		return error_refuse("flushing", ERROR_FLUSH_FLAGS, flags & ~STOA_DURABLE);
	if (offset > segment->reserve || length > segment->reserve - offset)
		return error_set(-STOA_ERANGE, "%" PRIu64 " bytes at %" PRIu64 " lie outside the reserve of %" PRIu64,
				 length, offset, segment->reserve);
	if (!segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle has nothing to flush");
	from = offset / OS_PAGE * OS_PAGE;
	to = segment_round_up(offset + length, OS_PAGE);
	return length ? os_flush(&segment->extent, from, to, flags & STOA_DURABLE) : 0;
}
