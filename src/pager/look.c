/* SPDX-License-Identifier: MIT */
/* Copying a pager's words out of its control segment. Uses os, roster's layout. */
#include <pager/look.h>

#include <base/error.h>

#include <inttypes.h>
#include <string.h>

struct pager_site pager_site(const struct stoa_segment *control)
{
	return (struct pager_site){
		.memory = control->memory,
		.at = control->data_offset,
		.room = control->reserve,
		.slots = control->roster_slots,
		.lives_known = !control->of_other_system && !control->out_of_sight,
	};
}

int pager_look_read(const struct pager_look *look, uint64_t offset, void *bytes, size_t length)
{
	size_t got = 0;
	int rc = os_memory_read(look->site.memory, look->site.at + offset, bytes, length, &got);

	if (!rc)
		memset((unsigned char *)bytes + got, 0, length - got);
	return rc;
}

static int check_header(const struct pager_header *header, struct pager_plan *ret_plan)
{
	if (memcmp(header->magic, PAGER_MAGIC, sizeof(header->magic)) != 0)
		return error_set(-STOA_EFORMAT, "a pager's header without its mark");
	if (header->version != PAGER_VERSION || header->features)
		return error_set(-STOA_EVERSION,
				 "a pager of version %" PRIu32 " with features 0x%" PRIx32
				 ", this library speaks %u without any",
				 header->version, header->features, PAGER_VERSION);
	/* The sentence says what is wrong. */
	if (pager_plan(header, ret_plan))
		return -STOA_EFORMAT;
	if (header->frames > 8 && header->frames > ret_plan->blocks)
		return error_set(-STOA_EFORMAT, "a budget of %" PRIu32 " blocks for %" PRIu64, header->frames,
				 ret_plan->blocks);
	return 0;
}

int pager_look(const struct pager_site *site, struct pager_look *ret_look)
{
	struct pager_look look = {.site = *site};
	struct os_memory_info info;
	uint64_t begin;
	int rc = pager_look_read(&look, 0, &look.header, sizeof(look.header));

	if (!rc)
		rc = check_header(&look.header, &look.plan);
	if (!rc && look.plan.reserve > site->room)
		rc = error_set(-STOA_EFORMAT, "a pager that ends beyond its memory");
	if (!rc)
		rc = os_memory_info(site->memory, &info);
	if (rc)
		return rc;
	begin = site->at + look.plan.words;
	look.words = info.length > begin ? (info.length - begin) / sizeof(uint64_t) : 0;
	if (look.words > look.plan.blocks)
		look.words = look.plan.blocks;
	*ret_look = look;
	return 0;
}

int pager_look_identity(const struct pager_look *look, uint64_t identity)
{
	uint64_t slot = identity & ROSTER_SLOT_MASK, life = 0;
	int rc;

	if (!identity)
		return STOA_END_FREE;
	if (!look->site.lives_known)
		return STOA_END_UNKNOWN;
	if (slot < 1 || slot > look->site.slots)
		return STOA_END_DEAD;
	rc = os_life_read(look->site.memory, slot * OS_PAGE + OS_LIFE_OFFSET, &life);
	if (rc)
		return rc;
	return life & OS_LIFE_ID && !(life & OS_LIFE_DIED) && life >> 32 == identity >> 32 ? STOA_END_ALIVE
											   : STOA_END_DEAD;
}

uint64_t *pager_look_set(const struct pager_look *look)
{
	return os_allocate((look->plan.blocks / 64 + 1) * sizeof(uint64_t));
}

#define PIECE 512 /* words read at a time: a page */

int pager_look_frames(const struct pager_look *look, int (*visit)(void *argument, uint32_t frame, uint64_t held),
		      void *argument)
{
	uint64_t piece[PIECE];
	int rc = 0;

	for (uint32_t from = 0; from < look->header.frames && rc >= 0; from += PIECE) {
		uint32_t count = look->header.frames - from < PIECE ? look->header.frames - from : PIECE;

		rc = pager_look_read(look, look->plan.frames + from * sizeof(uint64_t), piece,
				     count * sizeof(uint64_t));
		for (uint32_t i = 0; i < count && rc >= 0; i++)
			rc = visit(argument, from + i, piece[i]);
	}
	return rc < 0 ? rc : 0;
}

/* Is any block of the piece in the set? */
static bool is_wanted(const uint64_t *set, uint64_t from)
{
	uint64_t any = !set;

	for (uint64_t i = 0; set && i < PIECE / 64; i++)
		any |= set[from / 64 + i];
	return any;
}

int pager_look_words(const struct pager_look *look, const uint64_t *set,
		     int (*visit)(void *argument, uint64_t block, uint64_t word), void *argument)
{
	uint64_t piece[PIECE];
	int rc = 0;

	for (uint64_t from = 0; from < look->words && rc >= 0; from += PIECE) {
		uint64_t count = look->words - from < PIECE ? look->words - from : PIECE;

		if (count == PIECE && !is_wanted(set, from))
			continue;
		rc = pager_look_read(look, look->plan.words + from * sizeof(uint64_t), piece, count * sizeof(uint64_t));
		for (uint64_t i = 0; i < count && rc >= 0; i++)
			if (!set || set[(from + i) / 64] >> (from + i) % 64 & 1)
				rc = visit(argument, from + i, piece[i]);
	}
	return rc < 0 ? rc : 0;
}
