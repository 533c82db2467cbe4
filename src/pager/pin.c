/* SPDX-License-Identifier: MIT */
/*
 * Getting blocks without touching them, and pins. A pin is a hazard pointer (M. M. Michael, "Hazard Pointers", 2004): a range in the member's own page,
 * written before it is looked whether the blocks are there. Who evicts claims a block first and then looks at the pins; so one of the two
 * sees the other. What a dead process had pinned counts for nothing, and there is no count that it could leave wrong.
 */
#include <pager/pager.h>

#include <inttypes.h>

/* ---- what who evicts asks ---- */

static bool is_pinned(const struct pager_seat *seat, uint64_t used, uint64_t block)
{
	for (uint64_t i = 0; i < used; i++) {
		uint64_t first = load_acq(&seat->pins[i].first); /* A1: the count; pairs with R1 in take_pin() */

		if (first && block - (first - 1) < load_rlx(&seat->pins[i].count))
			return true;
	}
	return false;
}

void pager_spare_pinned(struct stoa_pager *pager, struct pager_batch *batch)
{
	fence_seq(); /* F1: the claims, before the pins; pairs with F2 in take_pin() */
	for (uint32_t place = 0; place < STOA_PAGER_MEMBERS; place++) {
		const struct pager_seat *seat = &pager->shared->seats[place];
		uint64_t used = load_rlx(&seat->pins_used);

		if (!used || !load_rlx(&pager->shared->members[place].serial) || !pager_member_lives(pager, place))
			continue;
		used = used < STOA_PINS_MAX ? used : STOA_PINS_MAX;
		for (unsigned i = 0; i < batch->count; i++)
			if (!batch->of[i].result && is_pinned(seat, used, batch->of[i].block))
				batch->of[i].result = -STOA_EBUSY;
	}
}

/* ---- pinning ---- */

static uint64_t pinned_by_all(struct stoa_pager *pager)
{
	uint64_t sum = 0;

	for (uint32_t place = 0; place < STOA_PAGER_MEMBERS; place++) {
		const struct pager_seat *seat = &pager->shared->seats[place];
		uint64_t used = load_rlx(&seat->pins_used);

		if (!used || !load_rlx(&pager->shared->members[place].serial) || !pager_member_lives(pager, place))
			continue;
		for (uint64_t i = 0; i < used && i < STOA_PINS_MAX; i++)
			if (load_rlx(&seat->pins[i].first)) {
				uint64_t count = load_rlx(&seat->pins[i].count);

				sum += count < pager->blocks ? count : pager->blocks;
			}
	}
	return sum;
}

/* pager->pinning is held. */
static struct pager_pin *find_pin(struct stoa_pager *pager, uint64_t first_plus_1, uint64_t count)
{
	for (unsigned i = 0; i < STOA_PINS_MAX; i++) {
		struct pager_pin *pin = &pager->seat->pins[i];

		if (load_rlx(&pin->first) != first_plus_1 || (first_plus_1 && load_rlx(&pin->count) != count))
			continue;
		if (i >= load_rlx(&pager->seat->pins_used))
			store_rlx(&pager->seat->pins_used, i + 1);
		return pin;
	}
	return NULL;
}

static int take_pin(struct stoa_pager *pager, uint64_t first, uint64_t count, struct pager_pin **ret_pin)
{
	struct pager_pin *pin;
	uint64_t all;

	os_lock(&pager->pinning);
	pin = find_pin(pager, 0, 0);
	if (pin) {
		store_rlx(&pin->count, count);
		store_rel(&pin->first, first + 1); /* R1: the count; pairs with A1 in is_pinned() */
	}
	os_unlock(&pager->pinning);
	if (!pin)
		return error_set(-STOA_ELIMIT, "%d ranges are pinned by this process: unpin some", STOA_PINS_MAX);
	fence_seq(); /* F2: the pin, before the blocks are looked at; pairs with F1 in pager_spare_pinned() */
	all = pinned_by_all(pager);
	if (all > pager->frames / 4 * 3) {
		store_rlx(&pin->first, 0);
		return error_set(-STOA_ELIMIT,
				 "%" PRIu64 " blocks would be pinned, of a budget of %" PRIu32
				 ": three quarters of it can be",
				 all, pager->frames);
	}
	*ret_pin = pin;
	return 0;
}

static int get_all(struct stoa_pager *pager, uint64_t first, uint64_t count, uint32_t access)
{
	int rc = 0;

	if (!pager->backing)
		return pager_ask(pager, ASK_GET, first, count, access & STOA_WRITE ? ASK_FLAG_WRITE : 0);
	for (uint64_t i = 0; i < count && !rc; i++)
		rc = pager_resolve(pager, NULL, first + i, access & STOA_WRITE, true);
	return rc;
}

static int check(const struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t access)
{
	int rc = pager_check_range(pager, offset, length);

	if (!rc && (!access || access & ~(STOA_READ | STOA_WRITE)))
		rc = error_set(-STOA_EINVAL, "access 0x%" PRIx32 " is neither STOA_READ nor STOA_WRITE", access);
	return rc;
}

/* The blocks that have some of the range. */
static uint64_t blocks_of(const struct stoa_pager *pager, uint64_t offset, uint64_t length)
{
	return ((offset + length - 1) >> pager->shift) - (offset >> pager->shift) + 1;
}

int stoa_pager_get(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t access)
{
	int rc = check(pager, offset, length, access);

	if (rc || !length)
		return rc;
	return get_all(pager, offset >> pager->shift, blocks_of(pager, offset, length), access);
}

/* ---- in the background, with a completion ---- */

#define STEP_BLOCKS 64 /* between two looks whether it is to stop */

static int bring(const struct segment_fetch *fetch, uint64_t at, uint64_t length)
{
	return stoa_pager_get(fetch->owner, fetch->offset + at, length, STOA_READ);
}

int stoa_pager_prefetch(struct stoa_pager *pager, uint64_t offset, uint64_t length, struct stoa_prefetch **ret_prefetch)
{
	int rc = pager_check_range(pager, offset, length);

	if (!rc && (!length || !ret_prefetch))
		rc = error_set(-STOA_EINVAL, "a prefetch of 0 bytes, or no place for it");
	if (rc)
		return rc;
	return segment_prefetch_start(&(struct segment_fetch){.bring = bring,
							      .owner = pager,
							      .offset = offset,
							      .length = length,
							      .step = (uint64_t)STEP_BLOCKS << pager->shift},
				      ret_prefetch);
}

/* ---- pins ---- */

int stoa_pager_pin(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t access)
{
	int rc = check(pager, offset, length, access);
	struct pager_pin *pin;

	if (!rc && !length)
		rc = error_set(-STOA_EINVAL, "a pin of 0 bytes");
	if (!rc)
		rc = take_pin(pager, offset >> pager->shift, blocks_of(pager, offset, length), &pin);
	if (rc)
		return rc;
	rc = get_all(pager, offset >> pager->shift, blocks_of(pager, offset, length), access);
	if (rc)
		store_rlx(&pin->first, 0);
	return rc;
}

int stoa_pager_unpin(struct stoa_pager *pager, uint64_t offset, uint64_t length)
{
	int rc = pager_check_range(pager, offset, length);
	struct pager_pin *pin = NULL;

	if (rc)
		return rc;
	os_lock(&pager->pinning);
	if (length)
		pin = find_pin(pager, (offset >> pager->shift) + 1, blocks_of(pager, offset, length));
	if (pin)
		store_rlx(&pin->first, 0);
	os_unlock(&pager->pinning);
	return pin ? 0
		   : error_set(-STOA_EINVAL, "%" PRIu64 " bytes at %" PRIu64 " are not pinned as one range", length,
			       offset);
}
