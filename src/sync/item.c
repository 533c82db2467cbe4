/* SPDX-License-Identifier: MIT */
/* What all kinds of things in a wait have in common. Uses roster. See item.h. */
#include <base/signal.h>
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

int item_try(struct item *item)
{
	item->has_holder = false;
	return item->kind == ITEM_MUTEX ? mutex_try(item) : signal_try(item);
}

bool item_looks_free(const struct item *item)
{
	uint64_t word = load_rlx(item->word);

	return item->kind == ITEM_MUTEX ? !(word & ~MUTEX_WAITERS) : (word & SIGNAL_AVAILABLE) != 0;
}

_Static_assert(MUTEX_WAITERS == SIGNAL_WAITERS, "arming treats all words alike");

unsigned item_arm(struct item *item, struct os_wait_word *words)
{
	uint64_t flagged = item->seen | MUTEX_WAITERS;

	/*
	 * Whoever frees the object after this sees the flag and wakes; who freed it before makes the swap fail. The kernel
	 * compares the word once more before it lets us sleep.
	 */
	if (item->seen != flagged && !cas_rlx(item->word, &item->seen, flagged))
		return 0;
	item->armed = true;
	words[0] = (struct os_wait_word){os_low_half(item->word), (uint32_t)flagged};
	if (!item->has_holder)
		return 1;
	if (!roster_flag_waiters(&item->holder))
		return 0;
	/* Life before generation: the kernel compares in this order, and a new owner may have the same thread id. */
	words[1] = (struct os_wait_word){os_low_half(item->holder.life), (uint32_t)item->holder.seen};
	words[2] = (struct os_wait_word){os_high_half(item->holder.life), (uint32_t)(item->holder.seen >> 32)};
	return 3;
}

void item_pass_on_death(struct item *item)
{
	uint64_t now;

	if (!item->armed || !item->has_holder)
		return;
	now = load_rlx(item->holder.life);
	if (!(now & OS_LIFE_ID) || now >> 32 != item->holder.seen >> 32)
		os_wake(os_low_half(item->holder.life));
}

void item_pass_on_signal(struct item *item)
{
	uint64_t wanted = SIGNAL_AVAILABLE | SIGNAL_WAITERS;

	if (item->armed && item->kind != ITEM_MUTEX && (load_rlx(item->word) & wanted) == wanted)
		os_wake(os_low_half(item->word));
}
