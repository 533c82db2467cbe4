/* SPDX-License-Identifier: MIT */
/*
 * wait_all: take all of several things in one step, or none. Uses roster.
 *
 * Obstruction is impossible because everybody claims in the same order (segment identity, then offset) and gives back all it
 * has before it sleeps. Steps, and what a death in each leaves:
 *
 *   log the objects' offsets, state OPEN     offsets without claims: harmless
 *   claim each; lock mutexes                 OPEN: whoever meets a claim gives it back; mutexes tell STOA_OWNER_DIED
 *   verify that all are still held           the same. This moment is the linearisation point: all are held at once
 *   state COMMITTED                          whoever meets a claim takes it: all or none, within each segment
 *   take each                                the same for those left
 *   state NONE                               done
 *
 * A reset between verify and take happens after the wait: the claim is gone, the event is as the reset left it. In a wait
 * across segments each has its own log; a death between two COMMITTED stores may take in one and give back in another.
 */
#include <base/mutant.h>
#include <base/signal.h>
#include <sync/wait_set.h>

struct all {
	struct item items[STOA_WAIT_MAX];
	uint8_t order[STOA_WAIT_MAX]; /* the items in claiming order */
	unsigned count;
	int result;     /* 0 or STOA_OWNER_DIED */
	size_t died_at; /* the item with the dead owner */
};

/* Insertion sort of at most 32. EINVAL when a thing is there twice. */
static int put_in_order(struct all *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		unsigned place = i;

		for (; place; place--) {
			int order = item_compare(&all->items[all->order[place - 1]], &all->items[i]);

			if (!order)
				return error_set(-STOA_EINVAL, "things %u and %u of the wait set are the same",
						 (unsigned)all->order[place - 1], i);
			if (order < 0)
				break;
			all->order[place] = all->order[place - 1];
		}
		all->order[place] = (uint8_t)i;
	}
	return 0;
}

static bool is_claimed(const struct item *item)
{
	return item->segment && item->kind != ITEM_MUTEX && item->kind != ITEM_SOURCE;
}

static struct roster_page *log_of(const struct item *item)
{
	return roster_page(item->roster, (uint32_t)(item->self & ROSTER_SLOT_MASK));
}

/* Write `state` into the log of every segment in the set. */
static void set_state(struct all *all, uint32_t state)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct item *item = &all->items[i];

		if (is_claimed(item))
			/* R5: decides all claims in this segment; pairs with A3 in meet_claim() */
			store_rel(&log_of(item)->claim_state, item->self >> 32 << 32 | state);
	}
}

static void log_claims(struct all *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct item *item = &all->items[i];

		if (is_claimed(item))
			store_rlx(&log_of(item)->claims[i],
				  (uint64_t)((unsigned char *)item->word - item->segment->data) + 1);
	}
	set_state(all, ROSTER_CLAIMS_OPEN);
}

static void clear_log(struct all *all)
{
	set_state(all, ROSTER_CLAIMS_NONE);
	for (unsigned i = 0; i < all->count; i++)
		if (is_claimed(&all->items[i]))
			store_rlx(&log_of(&all->items[i])->claims[i], UINT64_C(0));
}

/* Give back the first `count` in claiming order. */
static void back_off(struct all *all, unsigned count)
{
	while (count--) {
		struct item *item = &all->items[all->order[count]];

		if (item->kind == ITEM_MUTEX)
			mutex_give_back(item);
		else if (is_claimed(item))
			signal_finish_claim(item->object, item->self & ROSTER_SHORT_MASK, false);
	}
}

static int claim(struct all *all, unsigned place)
{
	size_t index = all->order[place];
	struct item *item = &all->items[index];
	int rc;

	if (is_claimed(item))
		return signal_claim(item);
	rc = item_try(item);
	if (rc == STOA_OWNER_DIED) {
		if (all->result != STOA_OWNER_DIED || index < all->died_at)
			all->died_at = index;
		all->result = rc;
		return 0;
	}
	return rc;
}

static bool all_held(const struct all *all)
{
	for (unsigned i = 0; i < all->count; i++)
		if (is_claimed(&all->items[i]) && !signal_claim_held(&all->items[i]))
			return false;
	return true;
}

/*
 * One attempt. 0: all taken. ITEM_BUSY: none, and *ret_missing is what was missing (NULL: a reset came between, try again). Or
 * an error.
 */
static int try_all(struct all *all, struct item **ret_missing)
{
	int rc = 0;
	unsigned place;

	*ret_missing = NULL;
	all->result = 0;
	log_claims(all);
	for (place = 0; place < all->count && !rc; place++)
		rc = claim(all, place);
	if (!rc && all_held(all)) {
		set_state(all, ROSTER_CLAIMS_COMMITTED);
		for (unsigned i = 0; i < all->count; i++)
			if (is_claimed(&all->items[i]))
				signal_finish_claim(all->items[i].object, all->items[i].self & ROSTER_SHORT_MASK, true);
		clear_log(all);
		return 0;
	}
	if (rc == ITEM_BUSY)
		*ret_missing = &all->items[all->order[place - 1]];
	back_off(all, rc ? place - 1 : place);
	clear_log(all);
	return rc ? rc : ITEM_BUSY;
}

static int wait_for_all(struct all *all, uint64_t deadline)
{
	int woken = OS_WAIT_CHANGED;

	for (;;) {
		struct wait_frame frame = {.slept = false};
		struct item *missing;
		int rc = try_all(all, &missing);

		if (rc != ITEM_BUSY) {
			wait_count_rescue(woken);
			return rc;
		}
		if (deadline == STOA_TRY || (deadline != STOA_FOREVER && os_now() >= deadline))
			return STOA_TIMED_OUT;
		if (!missing)
			continue;
		missing->armed = false;
		woken = wait_sleep(&frame, missing, 1, NULL, deadline);
		wait_end(&frame, missing, 1);
	}
}

int stoa_wait_all(const struct stoa_waitable *set, size_t count, uint64_t deadline, size_t *ret_index)
{
	struct all all = {.count = (unsigned)count};
	int rc = wait_check_set(set, count);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		rc = wait_item(&set[i], false, &all.items[i]);
		if (!rc && is_claimed(&all.items[i]))
			rc = roster_enrol(set[i].segment, &all.items[i].self);
		if (rc)
			return error_prefix(rc, "thing %zu of the wait set", i);
	}
	rc = put_in_order(&all);
	if (!rc)
		rc = wait_for_all(&all, deadline);
	if (!rc && all.result == STOA_OWNER_DIED) {
		if (ret_index)
			*ret_index = all.died_at;
		rc = STOA_OWNER_DIED;
	}
	return rc;
}

/* ---- the dead ---- */

/* The place may have been put to another use since. */
static void finish_one(struct object *object, uint64_t claim, bool take)
{
	uint32_t kind = load_rlx(&object->kind);

	if (kind == OBJECT_EVENT_AUTO || kind == OBJECT_EVENT_MANUAL || kind == OBJECT_SEMAPHORE)
		signal_finish_claim(object, claim, take);
}

/* Finish what the last owner of a slot claimed. The log is memory that anybody may have written. */
static void finish_claims(struct stoa_segment *segment, struct roster_page *page, uint64_t identity)
{
	uint64_t generation = identity >> 32,
		 state = load_acq(&page->claim_state); /* A1: pairs with R5 in set_state() */
	uint64_t claim = (generation & 0xffff) << ROSTER_GENERATION16_SHIFT | (identity & ROSTER_SLOT_MASK);
	uint64_t committed = stoa_segment_committed(segment);
	bool take = state == (generation << 32 | ROSTER_CLAIMS_COMMITTED) && !MUTANT(CLAIMS_GIVEN_BACK);

	if (MUTANT(CLAIMS_STAY))
		return;
	for (unsigned i = 0; i < ROSTER_CLAIMS_MAX; i++) {
		uint64_t offset = load_rlx(&page->claims[i]) - 1;

		if ((offset % 8 || offset >= committed || committed - offset < sizeof(struct object)) &&
		    !MUTANT(OFFSET_UNCHECKED))
			continue;
		finish_one((struct object *)(void *)(segment->data + offset), claim, take);
	}
}

void (*const roster_finish_claims)(struct stoa_segment *segment, struct roster_page *page,
				   uint64_t identity) = finish_claims;
