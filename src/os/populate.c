/* SPDX-License-Identifier: MIT */
/* See populate.h. Uses os_memory_read() only. */
#include <os/populate.h>

#include <base/error.h>
#include <inttypes.h>

int populate_by_reading(os_handle memory, uint64_t offset, uint64_t length)
{
	char scratch[4 * OS_PAGE];
	uint64_t end = offset + length;

	while (offset < end) {
		size_t want = end - offset < sizeof(scratch) ? (size_t)(end - offset) : sizeof(scratch), got;
		int rc = os_memory_read(memory, offset, scratch, want, &got);

		if (rc < 0)
			return rc;
		if (got == 0)
			return error_set(-STOA_EIO, "the object was cut to %" PRIu64 " bytes meanwhile", offset);
		offset += got;
	}
	return 0;
}
