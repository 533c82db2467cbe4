/* SPDX-License-Identifier: MIT */
/* Where everything of a pager lies, by its header. What the header says may come from anybody. Uses base. */
#include <pager/pager.h>

#include <inttypes.h>

#define BLOCK_MIN UINT32_C(4096)
#define BLOCK_MAX (UINT32_C(2) << 20)

static uint64_t pages(uint64_t bytes)
{
	return segment_round_up(bytes, OS_PAGE);
}

static bool is_power_of_two(uint64_t number)
{
	return number && !(number & (number - 1));
}

int pager_plan(const struct pager_header *header, struct pager_plan *ret_plan)
{
	struct pager_plan plan;

	if (!is_power_of_two(header->block) || header->block < BLOCK_MIN || header->block > BLOCK_MAX)
		return error_set(-STOA_EINVAL, "a block of %" PRIu32 " bytes: it is a power of two from 4 KiB to 2 MiB",
				 header->block);
	if (!header->length || header->length > STOA_RESERVE_MAX ||
	    header->size != segment_round_up(header->length, header->block))
		return error_set(-STOA_EINVAL, "a size of %" PRIu64 " bytes: it must be 1 to 2^40", header->length);
	plan.blocks = header->size / header->block;
	if (header->frames < 8 || header->frames > UINT32_MAX / 2)
		return error_set(-STOA_EINVAL, "a budget of %" PRIu32 " blocks: it must be at least 8", header->frames);
	if (header->rank > 255 || header->on_error > STOA_PAGER_RETRY || header->way < STOA_PAGER_INLINE ||
	    header->way > STOA_PAGER_SERVED || header->dirty_percent > 100 || header->read_only > 1 ||
	    header->flags & ~(STOA_PAGER_NO_BACKGROUND | STOA_PAGER_NO_THREAD))
		return error_set(-STOA_EINVAL,
				 "rank %" PRIu32 ", on_error %" PRIu32 ", way %" PRIu32 ", dirty_percent %" PRIu32
				 " or flags 0x%" PRIx32 " is not one",
				 header->rank, header->on_error, header->way, header->dirty_percent, header->flags);
	plan.frames = sizeof(struct pager_shared);
	plan.links = plan.frames + pages(header->frames * sizeof(uint64_t));
	plan.words = plan.links + pages(header->frames * sizeof(uint32_t));
	plan.committed = plan.words;
	plan.reserve = plan.words + pages(plan.blocks * sizeof(uint64_t));
	*ret_plan = plan;
	return 0;
}
