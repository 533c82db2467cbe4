/* SPDX-License-Identifier: MIT */
/* What all kinds of things in a wait have in common. Uses roster. See item.h. */
#include <base/mutant.h>
#include <base/signal.h>
#include <string.h>
#include <sync/item.h>

int item_init(struct item *item, struct stoa_segment *segment, struct object *object, enum item_kind kind, bool peek)
{
	*item = (struct item){.kind = kind, .peek = peek, .segment = segment, .object = object, .word = &object->word};
	if (kind == ITEM_MUTEX && !peek) {
		item->self = roster_self(segment);
		if (!item->self) {
			int rc = roster_enrol(segment, &item->self);

			if (rc)
				return rc;
		}
	}
	return roster_attach(segment, &item->roster);
}

void item_init_latch(struct item *item, _Atomic uint64_t *word)
{
	*item = (struct item){.kind = ITEM_LATCH, .word = word};
}

int item_init_source(struct item *item, struct stoa_segment *segment, const struct item_source *source, void *owner)
{
	*item = (struct item){.kind = ITEM_SOURCE, .segment = segment, .source = source, .owner = owner};
	return roster_attach(segment, &item->roster);
}

int item_try(struct item *item)
{
	item->has_holder = false;
	if (item->kind == ITEM_SOURCE)
		return item->source->ready(item->owner, true) ? 0 : ITEM_BUSY;
	return item->kind == ITEM_MUTEX ? mutex_try(item) : signal_try(item);
}

static bool looks_free(const struct item *item, uint64_t word)
{
	return item->kind == ITEM_MUTEX ? mutex_is_free(word) : (word & SIGNAL_AVAILABLE) != 0;
}

bool item_looks_free(const struct item *item)
{
	uint64_t word;

	if (item->kind == ITEM_SOURCE)
		return item->source->ready(item->owner, false);
	word = load_rlx(item->word);

	return looks_free(item, word);
}

int item_compare(const struct item *a, const struct item *b)
{
	uintptr_t at = (uintptr_t)a->word, bt = (uintptr_t)b->word;
	int by_segment;

	if (a->kind == ITEM_SOURCE || b->kind == ITEM_SOURCE)
		return a->owner == b->owner ? (a->source > b->source) - (a->source < b->source)
					    : ((uintptr_t)a->owner > (uintptr_t)b->owner) -
						      ((uintptr_t)a->owner < (uintptr_t)b->owner);
	if (!a->segment != !b->segment)
		return a->segment ? 1 : -1;
	if (a->segment) {
		by_segment = memcmp(a->segment->identity, b->segment->identity, sizeof(a->segment->identity));
		if (by_segment)
			return by_segment;
		at -= (uintptr_t)a->segment->data;
		bt -= (uintptr_t)b->segment->data;
	}
	return (at > bt) - (at < bt);
}

_Static_assert(MUTEX_WAITERS == SIGNAL_WAITERS, "arming treats all words alike");

bool item_arm(struct item *item, struct os_wait_word *word)
{
	uint64_t flagged = item->seen | MUTEX_WAITERS;

	if (item->kind == ITEM_SOURCE) {
		item->armed = true;
		return item->source->arm(item, word);
	}
	if (looks_free(item, item->seen))
		return false;
	/*
	 * Whoever frees the object after this sees the flag and wakes; who freed it before makes the swap fail. The kernel
	 * compares the word once more before it lets us sleep.
	 */
	if (item->seen != flagged && !cas_rlx(item->word, &item->seen, flagged))
		return false;
	item->armed = true;
	*word = (struct os_wait_word){os_low_half(item->word), (uint32_t)flagged, OS_WORD_WOKEN};
	return !item->has_holder || roster_flag_waiters(&item->holder);
}

unsigned item_arm_after_relay(const struct item *item, struct os_wait_word *words, unsigned room)
{
	unsigned count = 0;

	if (item->kind == ITEM_SOURCE)
		return item->source->after_relay(item, words, room);
	if (item->has_holder) {
		words[count++] = (struct os_wait_word){os_low_half(item->holder.life), (uint32_t)item->holder.seen,
						       OS_WORD_LIFE};
		/* After it, as the kernel compares in this order, and the slot's next owner may have the same thread id. */
		if (item->kind == ITEM_MUTEX && !MUTANT(NO_GENERATION_SLEEP))
			words[count++] = (struct os_wait_word){os_high_half(item->holder.life),
							       (uint32_t)(item->holder.seen >> 32), OS_WORD_COMPARED};
	}
	/* Nobody wakes this half. It tells whether anything happened to the signal since we looked: each step counts it up. */
	if (item->kind != ITEM_MUTEX && item->segment)
		words[count++] =
			(struct os_wait_word){os_high_half(item->word), (uint32_t)(item->seen >> 32), OS_WORD_COMPARED};
	return count;
}

void item_pass_on_death(struct item *item)
{
	uint64_t now;

	if (item->armed && item->kind == ITEM_SOURCE) {
		item->armed = false;
		item->source->woke(item);
		return;
	}
	if (!item->armed || !item->has_holder)
		return;
	now = load_rlx(item->holder.life);
	if (!(now & OS_LIFE_ID) || now >> 32 != item->holder.seen >> 32)
		os_wake(os_low_half(item->holder.life));
}

void item_pass_on_signal(struct item *item)
{
	uint64_t wanted = SIGNAL_AVAILABLE | SIGNAL_WAITERS;

	if (item->armed && item->kind != ITEM_MUTEX && item->kind != ITEM_SOURCE &&
	    (load_rlx(item->word) & wanted) == wanted)
		os_wake(os_low_half(item->word));
}
