/* SPDX-License-Identifier: MIT */
/* Copying a channel's words out of its memory. Uses os, roster's layout. */
#include <channel/look.h>

#include <inttypes.h>
#include <string.h>

static struct channel_part part_of(const struct stoa_segment *segment, const unsigned char *at)
{
	uint64_t offset = (uint64_t)(at - segment->data);

	return (struct channel_part){
		.memory = segment->memory,
		.at = segment->data_offset + offset,
		.room = segment->reserve - offset,
		.slots = segment->roster_slots,
	};
}

static bool tells_lives(const struct stoa_segment *segment)
{
	return !segment->of_other_system && !segment->out_of_sight;
}

struct channel_site channel_site(const struct stoa_channel *channel)
{
	return (struct channel_site){
		.parts = {part_of(channel_segment(channel, false), channel->receiving),
			  part_of(channel_segment(channel, true), channel->sending)},
		.apart = channel_is_apart(channel),
		.lives_known =
			tells_lives(channel_segment(channel, false)) && tells_lives(channel_segment(channel, true)),
	};
}

int channel_look_read(const struct channel_part *part, uint64_t offset, void *bytes, size_t length)
{
	size_t got = 0;
	int rc = os_memory_read(part->memory, part->at + offset, bytes, length, &got);

	if (!rc)
		memset((unsigned char *)bytes + got, 0, length - got);
	return rc;
}

int channel_look_owner(const struct channel_site *site, bool of_sender, uint64_t owner, uint64_t *ret_life)
{
	const struct channel_part *part = &site->parts[of_sender];
	uint64_t slot = owner & ROSTER_SLOT_MASK, life = 0;
	int rc = 0;

	if (owner && site->lives_known && slot >= 1 && slot <= part->slots)
		rc = os_life_read(part->memory, slot * OS_PAGE + OS_LIFE_OFFSET, &life);
	if (rc)
		return rc;
	if (ret_life)
		*ret_life = life;
	if (!owner)
		return STOA_END_FREE;
	if (!site->lives_known)
		return STOA_END_UNKNOWN;
	return life & OS_LIFE_ID && !(life & OS_LIFE_DIED) && life >> 32 == owner >> 32 ? STOA_END_ALIVE
											: STOA_END_DEAD;
}

static int read_header(const struct channel_part *part, struct channel_plan *ret_plan)
{
	struct channel_header header;
	int rc = channel_look_read(part, 0, &header, sizeof(header));

	return rc ? rc : channel_header_read(&header, ret_plan);
}

static int check_room(const struct channel_part *part, uint64_t length)
{
	if (length <= part->room)
		return 0;
	return error_set(-STOA_EFORMAT, "%" PRIu64 " bytes of a channel that end beyond the memory", length);
}

static int read_headers(struct channel_look *look)
{
	struct channel_part *parts = look->site.parts;
	struct channel_plan other;
	int rc = read_header(&parts[0], &look->plan);

	if (!rc)
		rc = check_room(&parts[0], look->plan.receiving_length);
	if (!rc && !look->site.apart) {
		parts[1] = parts[0];
		parts[1].at += look->plan.receiving_length;
		parts[1].room -= look->plan.receiving_length;
	}
	if (!rc)
		rc = check_room(&parts[1], look->plan.sending_reserve);
	if (!rc)
		rc = read_header(&parts[1], &other);
	if (!rc && memcmp(&look->plan.shape, &other.shape, sizeof(other.shape)) != 0)
		rc = error_set(-STOA_EFORMAT, "a channel's two parts do not belong together");
	return rc;
}

int channel_look_mark(const struct channel_part *part, uint64_t *ret_length)
{
	struct channel_header header;
	struct channel_plan plan;
	int rc = channel_look_read(part, 0, &header, sizeof(header));

	if (rc || !channel_header_is_marked(&header))
		return rc;
	*ret_length = OS_PAGE;
	if (channel_header_read(&header, &plan) == 0 && plan.receiving_length + plan.sending_reserve <= part->room)
		*ret_length = plan.receiving_length + plan.sending_reserve;
	return 1;
}

/* The receiving part first: what a receiver has come to was sent before. */
int channel_look_again(const struct channel_look *look, unsigned char *copy)
{
	uint64_t receiving = look->plan.receiving_length;
	int rc = channel_look_read(&look->site.parts[0], 0, copy, receiving);

	return rc ? rc : channel_look_read(&look->site.parts[1], 0, copy + receiving, look->words - receiving);
}

int channel_look(const struct channel_site *site, struct channel_look *ret_look)
{
	struct channel_look look = {.site = *site};
	int rc = read_headers(&look);

	if (rc)
		return rc;
	look.words = look.plan.receiving_length + look.plan.rings;
	look.copy = os_allocate(look.words);
	if (!look.copy)
		return -STOA_ENOMEM;
	rc = channel_look_again(&look, look.copy);
	if (rc)
		channel_look_end(&look);
	else
		*ret_look = look;
	return rc;
}

void channel_look_end(struct channel_look *look)
{
	os_free(look->copy);
}
