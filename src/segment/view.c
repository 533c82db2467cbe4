/* SPDX-License-Identifier: MIT */
/*
 * Further maps of a segment, and this process's access to the main one. The rules of a handle (read-only, executable or
 * not) are kept here; those of the object are the kernel's.
 */
#include <base/error.h>
#include <inttypes.h>
#include <segment/segment.h>

_Static_assert(OS_READ == STOA_READ && OS_WRITE == STOA_WRITE && OS_EXEC == STOA_EXEC && OS_PRIVATE == STOA_PRIVATE,
	       "access is passed through");

static int check_access(const struct stoa_segment *segment, uint32_t access, uint32_t known)
{
	if (access & STOA_PRIVATE & ~known)
		return error_set(-STOA_EINVAL, "STOA_PRIVATE is for views only");
	if (access & ~known)
		return error_refuse("access to a segment", ERROR_ACCESS, access & ~known);
	if (access & STOA_WRITE && !(access & STOA_PRIVATE) && !segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot be mapped for writing");
	if (access & STOA_EXEC && !(segment->flags & STOA_EXECUTABLE))
		return error_set(-STOA_ERIGHTS, "the segment was not made with STOA_EXECUTABLE");
	return 0;
}

int stoa_segment_protect(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t access)
{
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	rc = segment_check_range(segment, offset, length);
	if (rc == 0)
		rc = check_access(segment, access, STOA_READ | STOA_WRITE | STOA_EXEC);
	return rc < 0 ? rc : os_protect(segment->data + offset, length, access);
}

int stoa_view_map(struct stoa_segment *segment, uint64_t offset, uint64_t length, uint32_t access, void **ret_address)
{
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!ret_address)
		return error_set(-STOA_EINVAL, "no place for the view's address was given");
	if (length > segment->reserve)
		return error_set(-STOA_ERANGE, "%" PRIu64 " bytes are more than the reserve of %" PRIu64, length,
				 segment->reserve);
	rc = segment_check_range(segment, offset, segment_round_up(length, OS_PAGE));
	if (rc == 0)
		rc = check_access(segment, access, STOA_READ | STOA_WRITE | STOA_EXEC | STOA_PRIVATE);
	return rc < 0 ? rc : os_map(segment->memory, segment->data_offset + offset, length, access, ret_address);
}

int stoa_view_unmap(void *address, uint64_t length)
{
	if (!address || (uintptr_t)address % OS_PAGE || length == 0 || length > STOA_RESERVE_MAX)
		return error_set(-STOA_EINVAL, "%p with %" PRIu64 " bytes is not a view", address, length);
	return os_unmap(address, length);
}
