/* SPDX-License-Identifier: MIT */
/*
 * A lane's area, where the messages lie that are too large for its ring, as its sender keeps book of it. Uses segment.
 *
 * Pages are taken one message behind the other, from the area's begin again where that is free, and come back in the order of the
 * messages' records: each is free when nobody reads before its record's end any more. So the area is a ring whose length is
 * what was ever needed at a time: it is committed only when the next message fits neither behind the last nor before the oldest.
 *
 * The book is this process's own. All that a sender leaves behind is how much it used at the most; the next one takes that for one message, whose
 * record ends where it begins itself. A word that says too little lets it overwrite what the dead sent; this is what one who
 * may write the lane could do in any case.
 */
#include <channel/area.h>

void area_open(struct channel_area *area, const struct stoa_channel *channel, uint32_t lane, uint64_t tail)
{
	uint64_t used, size = channel->plan.shape.large;

	area->segment = channel->segments[1];
	area->bytes = channel_area(channel, lane);
	area->size = size;
	area->backed = channel->owns_segments ? 0 : size;
	area->used = &channel->lanes[lane].area_used;
	used = load_rlx(area->used) & ~(uint64_t)(OS_PAGE - 1);
	area->most = used < size ? used : size;
	if (area->most)
		area_keep(area, 0, area->most, tail);
}

void area_keep(struct channel_area *area, uint64_t offset, uint64_t size, uint64_t end)
{
	area->kept[area->next++ % AREA_KEPT_MAX] = (struct area_kept){offset, size, end};
}

void area_pass(struct channel_area *area, uint64_t floor)
{
	while (area->first != area->next && area->kept[area->first % AREA_KEPT_MAX].end <= floor)
		area->first++;
}

void area_drop(struct channel_area *area, uint64_t position)
{
	while (area->first != area->next && area->kept[(area->next - 1) % AREA_KEPT_MAX].end > position)
		area->next--;
}

uint64_t area_waits_for(const struct channel_area *area)
{
	return area->kept[area->first % AREA_KEPT_MAX].end;
}

uint64_t area_surplus(const struct channel_area *area, uint64_t bytes)
{
	uint64_t sum = 0;

	for (uint32_t i = area->next; i != area->first; i--) {
		const struct area_kept *kept = &area->kept[(i - 1) % AREA_KEPT_MAX];

		sum += kept->size;
		if (sum >= bytes)
			return kept->end;
	}
	return 0;
}

/* Where would they go? false: nowhere. */
static bool find(const struct channel_area *area, uint64_t size, uint64_t *ret_offset)
{
	const struct area_kept *oldest = &area->kept[area->first % AREA_KEPT_MAX];
	const struct area_kept *last = &area->kept[(area->next - 1) % AREA_KEPT_MAX];
	uint64_t behind;

	*ret_offset = 0;
	if (area->first == area->next)
		return true;
	behind = last->offset + last->size;
	if (last->offset < oldest->offset) { /* it began at the front again */
		*ret_offset = behind;
		return size <= oldest->offset - behind;
	}
	if (size <= oldest->offset && size > area->most - behind)
		return true;
	*ret_offset = behind;
	return size <= area->size - behind;
}

int area_take(struct channel_area *area, uint64_t size, uint64_t *ret_offset)
{
	uint64_t end;
	int rc;

	if (area->next - area->first == AREA_KEPT_MAX || !find(area, size, ret_offset))
		return 0;
	end = *ret_offset + size;
	if (end > area->backed) {
		uint64_t at = (uint64_t)(area->bytes - area->segment->data);

		rc = segment_commit_range(area->segment, at + area->backed, at + end);
		if (rc)
			return rc;
		area->backed = end;
	}
	if (end > area->most) {
		area->most = end;
		store_rlx(area->used, end); /* before the record that leads there is published */
	}
	return 1;
}
