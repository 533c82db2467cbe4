/* SPDX-License-Identifier: MIT */
/*
 * Looking at segments: one handle's numbers, the names there are, and removing those that dead processes left.
 */
#include <base/error.h>
#include <inttypes.h>
#include <segment/segment.h>

_Static_assert(STOA_KIND_MUTEX == SEGMENT_KIND_MUTEX && STOA_KIND_EVENT == SEGMENT_KIND_EVENT &&
		       STOA_KIND_SEMAPHORE == SEGMENT_KIND_SEMAPHORE,
	       "kinds are passed through");

/* Read, not mapped: touching the page of a slot that nobody used would take memory for it. */
static uint32_t count_alive(const struct stoa_segment *segment)
{
	uint32_t alive = 0;

	if (segment->of_other_system || segment->out_of_sight)
		return 0;
	for (uint32_t slot = 1; slot <= segment->roster_slots; slot++) {
		uint64_t life;

		if (os_life_read(segment->memory, slot * OS_PAGE + OS_LIFE_OFFSET, &life) < 0)
			return alive;
		alive += (life & OS_LIFE_ID) != 0;
	}
	return alive;
}

int stoa_segment_stat(const struct stoa_segment *segment, struct stoa_segment_stat *ret_stat)
{
	struct os_memory_info info;
	int rc;

	if (!segment)
		return error_set(-STOA_EINVAL, "no segment was given");
	if (!ret_stat)
		return error_set(-STOA_EINVAL, "no place for the statistics was given");
	rc = os_memory_info(segment->memory, &info);
	if (rc < 0)
		return rc;
	*ret_stat = (struct stoa_segment_stat){
		.reserve = segment->reserve,
		.committed = stoa_segment_committed(segment),
		.resident = info.resident,
		.identity = segment->header_identity,
		.owner = info.owner,
		.flags = segment->flags,
		.seals = info.seals,
		.huge = segment->huge,
		.roster_slots = segment->roster_slots,
		.roster_alive = count_alive(segment),
		.kind = segment->kind,
	};
	return 0;
}

struct visitor {
	int (*visit)(const struct stoa_segment_entry *entry, void *argument);
	void *argument;
};

static int visit_entry(const struct os_name_entry *found, void *argument)
{
	const struct visitor *visitor = argument;
	struct stoa_segment_entry entry = {
		.name = found->name,
		.flags = (found->flags & OS_NAME_GLOBAL ? STOA_GLOBAL : 0) |
			 (found->flags & OS_NAME_PERSISTENT ? STOA_PERSISTENT : 0) |
			 (found->flags & OS_NAME_WORLD_READABLE ? STOA_WORLD_READABLE : 0),
		.owner = found->owner,
		.in_use = found->in_use,
	};

	/* Others can put anything into the shared place. */
	return segment_check_name(found->name) < 0 ? 0 : visitor->visit(&entry, visitor->argument);
}

int stoa_segment_list(uint32_t flags, int (*visit)(const struct stoa_segment_entry *entry, void *argument),
		      void *argument)
{
	struct visitor visitor = {visit, argument};

	if (!visit)
		return error_set(-STOA_EINVAL, "no function to list to was given");
	if (flags & ~STOA_GLOBAL)
		return error_refuse("listing", ERROR_SEGMENT_FLAGS, flags & ~STOA_GLOBAL);
	return os_name_list(flags ? OS_NAME_GLOBAL : 0, visit_entry, &visitor);
}

int stoa_segment_gc(uint32_t flags, uint32_t *ret_removed)
{
	uint32_t removed;
	int rc;

	if (flags & ~STOA_GLOBAL)
		return error_refuse("cleaning up", ERROR_SEGMENT_FLAGS, flags & ~STOA_GLOBAL);
	rc = os_name_sweep(flags ? OS_NAME_GLOBAL : 0, &removed);
	if (rc == 0 && ret_removed)
		*ret_removed = removed;
	return rc;
}
