/* SPDX-License-Identifier: MIT */
/*
 * Committing memory and giving it back. The common call, for something committed already, is one load and one comparison
 * with what this process has verified; all else asks the system.
 *
 * `verified` only grows while the segment cannot be cut. Where it can, `verified` stays 0, so that every commit looks at the
 * object's present length, and `backed` remembers how far this process has seen memory.
 */
#include <base/atomic.h>
#include <base/error.h>
#include <inttypes.h>
#include <segment/segment.h>

static void raise_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t seen = load_rlx(word);

	while (seen < value && !cas_rlx(word, &seen, value))
		;
}

static void lower_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t seen = load_rlx(word);

	while (seen > value && !cas_rlx(word, &seen, value))
		;
}

/* How far memory is known to be there. */
static uint64_t known(const struct stoa_segment *segment)
{
	uint64_t backed = load_rlx(&segment->backed), committed;

	if (!segment->can_be_cut)
		return backed;
	committed = stoa_segment_committed(segment);
	return committed < backed ? committed : backed;
}

/* How far a commit of `length` goes: to the byte in files, to the page or the huge page in memory. */
static uint64_t commit_end(const struct stoa_segment *segment, uint64_t length)
{
	uint64_t end = segment_round_up(length, segment->extent.huge == OS_HUGE_REQUIRED ? OS_HUGE_PAGE : OS_PAGE);

	if (segment->is_file)
		return length;
	/* A foreign header may require huge pages for a reserve that does not consist of them. */
	return end < segment->reserve ? end : segment->reserve;
}

int segment_explain_length(int rc, uint64_t data_offset, uint64_t length)
{
	char texts[2][ERROR_SIZE];

	if (rc != -STOA_ELIMIT || !data_offset)
		return rc;
	return error_prefix(rc, "%s of data behind %s for the header and the roster", error_size(length, texts[0]),
			    error_size(data_offset, texts[1]));
}

static CC_NOINLINE int commit_slowly(struct stoa_segment *segment, uint64_t length)
{
	char texts[2][ERROR_SIZE];
	uint64_t from, to, done;
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (length > segment->reserve)
		return error_set(-STOA_ERANGE, "committing %s is beyond the reserve of %s",
				 error_size(length, texts[0]), error_size(segment->reserve, texts[1]));
	if (!segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot commit");
	to = commit_end(segment, length);
	from = known(segment);
	if (to <= from)
		return 0;
	rc = os_commit(&segment->extent, from, to, &done);
	if (done) {
		raise_to(&segment->backed, from + done);
		if (!segment->can_be_cut)
			raise_to(&segment->verified, from + done);
	}
	return segment_explain_length(rc, segment->data_offset, to);
}

int stoa_segment_commit(struct stoa_segment *segment, uint64_t length)
{
	if (CC_LIKELY(segment && length <= load_rlx(&segment->verified)))
		return 0;
	return commit_slowly(segment, length);
}

int segment_commit_range(const struct stoa_segment *segment, uint64_t from, uint64_t to)
{
	uint64_t done;

	return segment_explain_length(os_commit(&segment->extent, from, to, &done), segment->data_offset, to);
}

bool segment_is_there(const struct stoa_segment *segment, uint64_t offset, uint64_t length)
{
	return os_memory_there(segment->memory, segment->data_offset + offset, length);
}

/* A range that discard and recommit may touch. */
static int check_committed(const struct stoa_segment *segment, uint64_t offset, uint64_t length)
{
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	rc = segment_check_range(segment, offset, length);
	if (rc < 0)
		return rc;
	if (!segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot change what is committed");
	if (offset + length > segment_round_up(stoa_segment_committed(segment), OS_PAGE))
		return error_set(-STOA_EUNCOMMITTED, "%" PRIu64 " bytes at %" PRIu64 " are not all committed", length,
				 offset);
	return 0;
}

int stoa_segment_discard(struct stoa_segment *segment, uint64_t offset, uint64_t length)
{
	int rc = check_committed(segment, offset, length);

	return rc < 0 ? rc : os_discard(&segment->extent, offset, offset + length);
}

int stoa_segment_recommit(struct stoa_segment *segment, uint64_t offset, uint64_t length)
{
	int rc = check_committed(segment, offset, length);
	uint64_t done, end = offset + length;

	if (rc < 0)
		return rc;
	/* A file's last page may be part of one; it must not grow here. */
	if (end > stoa_segment_committed(segment))
		end = stoa_segment_committed(segment);
	return end > offset ? os_commit(&segment->extent, offset, end, &done) : 0;
}

int stoa_segment_shrink(struct stoa_segment *segment, uint64_t length)
{
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!segment->writable)
		return error_set(-STOA_ERIGHTS, "a read-only handle cannot cut a segment");
	if (!segment->is_file && !(segment->flags & STOA_SHRINKABLE))
		return error_set(-STOA_ERIGHTS, "the segment was not made with STOA_SHRINKABLE");
	if (!segment->is_file)
		length = segment_round_up(length, OS_PAGE);
	if (length >= stoa_segment_committed(segment))
		return 0;
	rc = os_cut(&segment->extent, length);
	if (rc == 0)
		lower_to(&segment->backed, length);
	return rc;
}

int segment_back_slot(struct stoa_segment *segment, uint32_t slot)
{
	uint64_t bit = UINT64_C(1) << slot % 64, done;
	struct os_extent page = segment->extent;
	int rc;

	if (slot == 0 || slot > segment->roster_slots)
		return error_set(-STOA_EINVAL, "roster slot %" PRIu32 " of %" PRIu32, slot, segment->roster_slots);
	if (load_rlx(&segment->backed_slots[slot / 64]) & bit)
		return 0;
	if (!segment->writable) {
		if (!os_memory_there(segment->memory, slot * OS_PAGE, OS_PAGE))
			return error_set(-STOA_EFORMAT, "roster slot %" PRIu32 " of the segment is not there", slot);
		or_rlx(&segment->backed_slots[slot / 64], bit);
		return 0;
	}
	page.offset = slot * OS_PAGE;
	page.address = NULL;
	page.huge = OS_HUGE_NEVER;
	rc = os_commit(&page, 0, OS_PAGE, &done);
	if (rc < 0)
		return error_prefix(rc, "memory for roster slot %" PRIu32, slot);
	or_rlx(&segment->backed_slots[slot / 64], bit);
	return 0;
}
