/* SPDX-License-Identifier: MIT */
/*
 * The signal word's algorithm (bits: base/signal.h): posting, taking, claiming. Lock-free; the linearisation point of each
 * is its one successful compare-and-swap.
 *
 * Death: the poster has the segment's relay word pending from before its swap until after its wake, so that sleepers look
 * again if it dies between. A claim is finished by whoever meets it, as the dead claimer's log decided.
 * Stop: WAITERS is cleared only after the wake, and only if nothing has moved (the sequence number tells even when the
 * count came back to the same), so that a poster stopped in between does not make later posts skip the wake. The sequence
 * has 8 bits: 256 posts inside that window, ending in the same count with another poster stopped at the same place,
 * would delay sleepers until the next contended post.
 */
#include <base/counters.h>
#include <base/mutant.h>
#include <base/signal.h>
#include <inttypes.h>
#include <sync/item.h>

#define SEQUENCE_ONE (UINT64_C(1) << SIGNAL_SEQUENCE_SHIFT)

static uint64_t next_sequence(uint64_t word)
{
	uint64_t mask = SIGNAL_SEQUENCE_MASK << SIGNAL_SEQUENCE_SHIFT;

	return (word & ~mask) | ((word + SEQUENCE_ONE) & mask);
}

/*
 * After a swap that left `word`: if somebody may sleep and the object is available, wake all, then clear WAITERS if the word is
 * still exactly that. While it is claimed neither is done: a sleeper that looks again keeps the flag without a swap, so it
 * must stay, and whoever ends the claim wakes.
 */
static void wake_waiters(_Atomic uint64_t *place, uint64_t word)
{
	if (!(word & SIGNAL_WAITERS) || !(word & SIGNAL_AVAILABLE))
		return;
	os_wake(os_low_half(place));
	cas_rlx(place, &word, word & ~SIGNAL_WAITERS);
}

/* How high the count may be: an event's one more while a claim waits for its decision, so that a set is not lost. */
static uint64_t limit_of(const struct object *object, uint64_t claim)
{
	uint64_t maximum = load_rlx(&object->maximum);

	if (maximum > SIGNAL_COUNT_MAX)
		maximum = SIGNAL_COUNT_MAX;
	if (claim && load_rlx(&object->kind) == OBJECT_EVENT_AUTO)
		maximum++;
	return maximum;
}

static int post(struct object *object, uint32_t count, bool saturate)
{
	uint64_t seen = load_rlx(&object->word), posted;

	/* A set event is set again: who takes it must see what this setter wrote, and its first setter may be stopped. */
	do {
		uint64_t claim = seen & SIGNAL_CLAIM_MASK, now = signal_count(seen);
		uint64_t limit = limit_of(object, claim), after = now + count;

		if (after > limit && !saturate)
			return error_set(-STOA_EOVERFLOW,
					 "the semaphore is at %" PRIu64 " of %" PRIu64 "; posting %" PRIu32
					 " would pass that",
					 now, limit, count);
		posted = next_sequence(signal_with(seen, after < limit ? after : limit, claim));
		/* R1: publishes the poster's writes; pairs with A1 in signal_try() */
	} while (!cas_acq_rel(&object->word, &seen, posted));
	wake_waiters(&object->word, posted);
	return 0;
}

int signal_post(struct stoa_segment *segment, struct object *object, uint32_t count, bool saturate)
{
	struct roster *roster;
	const void *before;
	int rc = roster_attach(segment, &roster);

	if (rc)
		return rc;
	before = os_wake_cover(roster_relay(roster));
	rc = post(object, count, saturate);
	if (rc == -STOA_EOVERFLOW && load_rlx(&object->word) & SIGNAL_CLAIM_MASK) {
		/* A dead claimer may have taken one without counting down yet: looking finishes its claim. */
		struct item item;

		rc = item_init(&item, segment, object, ITEM_SIGNAL, true);
		if (!rc)
			rc = item_try(&item);
		if (rc >= 0)
			rc = post(object, count, saturate);
	}
	os_wake_uncover(before);
	return rc;
}

void signal_reset(struct object *object)
{
	uint64_t seen = load_rlx(&object->word);

	/* A claim is broken with it: the claimer checks before it decides. R2: pairs with A1 in signal_try() */
	while (!cas_acq_rel(&object->word, &seen, next_sequence(signal_with(seen, 0, 0))))
		;
}

/* A word in private memory becomes available for good. */
void signal_latch(_Atomic uint64_t *word)
{
	uint64_t seen = load_rlx(word);

	/* R3: publishes the result; pairs with A1 in signal_try() */
	while (!cas_acq_rel(word, &seen, signal_with(seen, 1, 0)))
		;
	os_wake(os_low_half(word));
}

void signal_finish_claim(struct object *object, uint64_t claim, bool take)
{
	uint64_t seen = load_acq(&object->word); /* A2: pairs with R4 in signal_finish_claim() */
	bool counts = load_rlx(&object->kind) != OBJECT_EVENT_MANUAL;

	while ((seen & SIGNAL_CLAIM_MASK) == claim) {
		uint64_t count = signal_count(seen), limit = limit_of(object, 0), finished;

		if (take && counts && count)
			count--;
		if (count > limit)
			count = limit;
		finished = next_sequence(signal_with(seen, count, 0));
		/* R4: hands on what was posted meanwhile; pairs with A2 in signal_finish_claim(), A1 in signal_try() */
		if (!cas_acq_rel(&object->word, &seen, finished))
			continue;
		wake_waiters(&object->word, finished);
		return;
	}
}

/*
 * Somebody claims the object. Alive: busy. Dead: do with it what its log says; 0 means look again.
 *
 * A slot with another generation than the claim's has a new owner, who finished all claims of the last one before it entered:
 * what we saw is gone, or an enemy wrote it; giving it back is harmless in both cases.
 */
static int meet_claim(struct item *item, uint64_t seen)
{
	uint64_t claim = seen & SIGNAL_CLAIM_MASK, state;
	uint64_t generation16 = claim >> ROSTER_GENERATION16_SHIFT;
	int alive = roster_look(item->segment, claim, true, &item->holder);

	if (alive < 0)
		return alive;
	item->has_holder = alive;
	item->seen = seen;
	if (alive || MUTANT(CLAIMS_STAY))
		return ITEM_BUSY;
	state = load_acq(&roster_page(item->roster, claim & ROSTER_SLOT_MASK)
				  ->claim_state); /* A3: pairs with R5 in set_state() */
	signal_finish_claim(item->object, claim,
			    (uint32_t)state == ROSTER_CLAIMS_COMMITTED && (state >> 32 & 0xffff) == generation16 &&
				    !MUTANT(CLAIMS_GIVEN_BACK));
	counters_add(COUNTER_CLAIMS_UNDONE);
	return 0;
}

int signal_try(struct item *item)
{
	uint64_t seen = load_acq(item->word); /* A1: pairs with R1 in post(), R3 in signal_latch() */

	for (unsigned i = 0; i < ITEM_PATIENCE; i++) {
		if (item->segment && seen & SIGNAL_CLAIM_MASK) {
			int rc = meet_claim(item, seen);

			if (rc)
				return rc;
			seen = load_acq(item->word); /* A4: as A1; pairs with R4 in signal_finish_claim() */
			continue;
		}
		if (!(seen & SIGNAL_AVAILABLE) || !signal_count(seen))
			break;
		if (item->peek || item->kind == ITEM_LATCH)
			return 0;
		/* R6: orders takers; pairs with A1 in signal_try() */
		if (cas_acq_rel(item->word, &seen, signal_with(seen, signal_count(seen) - 1, 0)))
			return 0;
	}
	item->seen = seen;
	return ITEM_BUSY;
}

/* ---- for wait_all ---- */

/* Claim it for this thread, without taking it. 0, ITEM_BUSY or an error. */
int signal_claim(struct item *item)
{
	int rc = ITEM_BUSY;

	item->peek = true; /* item_try() looks, and finishes dead claims */
	for (unsigned i = 0; i < ITEM_PATIENCE; i++) {
		uint64_t seen, claimed;

		rc = item_try(item);
		if (rc)
			break;
		seen = load_rlx(item->word);
		if (!(seen & SIGNAL_AVAILABLE) || seen & SIGNAL_CLAIM_MASK)
			continue;
		claimed = next_sequence(signal_with(seen, signal_count(seen), item->self & ROSTER_SHORT_MASK));
		if (cas_acq_rel(item->word, &seen,
				claimed)) /* R7: the log was written before; pairs with A3 in meet_claim() */
			break;
	}
	item->peek = false;
	return rc;
}

bool signal_claim_held(const struct item *item)
{
	return (load_acq(item->word) & SIGNAL_CLAIM_MASK) ==
	       (item->self & ROSTER_SHORT_MASK); /* A5: pairs with R2 in signal_reset() */
}
