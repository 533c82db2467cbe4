/* SPDX-License-Identifier: MIT */
/*
 * Seals: restrictions that the kernel keeps against every holder, this one too. Immutability needs that no writable map
 * exists, and a map made through a writable descriptor counts as one even when it is protected: so this handle's own is
 * replaced by one made through a read-only descriptor, and the roster's is let go.
 */
#include <base/atomic.h>
#include <base/error.h>
#include <segment/segment.h>

_Static_assert(OS_SEAL_GROW == STOA_SEAL_GROW && OS_SEAL_SHRINK == STOA_SEAL_SHRINK &&
		       OS_SEAL_FUTURE_WRITE == STOA_SEAL_FUTURE_WRITE && OS_SEAL_WRITE == STOA_SEAL_WRITE,
	       "seals are passed through");

static int become_reader(struct stoa_segment *segment)
{
	struct roster *roster = load_rlx(&segment->roster);
	int rc;

	if (roster) /* also of a reader: another handle's may have been passed to it */
		segment_roster_detach(segment, roster);
	if (!segment->writable)
		return 0;
	rc = os_map_read_only(segment->memory, segment->data_offset, segment->data, segment->reserve);
	if (rc < 0)
		return rc;
	segment->writable = false;
	segment->rights = 0;
	segment->flags |= STOA_READ_ONLY;
	return 0;
}

int stoa_segment_seal(struct stoa_segment *segment, uint32_t seals)
{
	const uint32_t known = STOA_SEAL_GROW | STOA_SEAL_SHRINK | STOA_SEAL_FUTURE_WRITE | STOA_SEAL_WRITE;
	struct os_memory_info info;
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (seals & ~known)
		return error_refuse("sealing", ERROR_SEALS, seals & ~known);
	rc = os_memory_info(segment->memory, &info);
	if (rc < 0)
		return rc;
	if (!info.takes_seals)
		return os_memory_seal(segment->memory, seals);
	if (!info.writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot seal");
	if (seals & STOA_SEAL_WRITE)
		rc = become_reader(segment);
	return rc < 0 ? rc : os_memory_seal(segment->memory, seals);
}
