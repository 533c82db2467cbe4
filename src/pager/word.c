/* SPDX-License-Identifier: MIT */
/*
 * Blocks' words: claiming, letting go, and waiting for who holds one. The protocol is in layout.h.
 *
 * Linearisation: each change is one compare-and-swap. Lock-free, but for who waits for a holder; ABA: the version counts to 4096, and a
 * swap can be fooled only where all else is the same, too, holder included: then it claims what it meant to claim.
 * Death: a sleeper sleeps on the holder's life as well, so both who dies holding and who dies between letting go and waking wakes it.
 */
#include <base/mutant.h>
#include <pager/pager.h>
#include <sync/wait_set.h>

#include <inttypes.h>

bool pager_word_is_backed(const struct stoa_pager *pager, uint64_t block)
{
	uint64_t window = block / PAGER_WORDS_WINDOW;

	/* A1: the memory behind the words; pairs with R1 in pager_back_word() */
	return load_acq(&pager->backed[window / 64]) >> (window % 64) & 1;
}

int pager_back_word(struct stoa_pager *pager, uint64_t block)
{
	uint64_t window = block / PAGER_WORDS_WINDOW, from, to;
	int rc = 0;

	if (CC_LIKELY(pager_word_is_backed(pager, block)))
		return 0;
	from = (uint64_t)((unsigned char *)&pager->words[window * PAGER_WORDS_WINDOW] - pager->control->data);
	to = from + PAGER_WORDS_WINDOW * sizeof(*pager->words);
	if (to > pager->control->reserve)
		to = pager->control->reserve;
	os_lock(&pager->arming);
	if (!pager_word_is_backed(pager, block)) {
		rc = segment_commit_range(pager->control, from, to);
		if (!rc) /* R1: as A1 says; pairs with A1 in pager_word_is_backed() */
			or_seq(&pager->backed[window / 64], UINT64_C(1) << (window % 64));
	}
	os_unlock(&pager->arming);
	return rc;
}

int pager_self(struct stoa_pager *pager, uint64_t *ret_identity)
{
	*ret_identity = roster_self(pager->control);
	return CC_LIKELY(*ret_identity) ? 0 : roster_enrol(pager->control, ret_identity);
}

/* For tests: whoever stands between two steps may stand there for long. */
static void dawdle(uint64_t word)
{
	_Atomic uint64_t nothing = 0;

	if (MUTANT(DAWDLE) && (word >> WORD_VERSION_SHIFT) % 32 == 7)
		os_wait(&(struct os_wait_word){os_low_half(&nothing), 0, OS_WORD_WOKEN}, 1, os_now() + 300000);
}

void pager_dawdle(const struct stoa_pager *pager, uint64_t block)
{
	dawdle(load_rlx(&pager->words[block]));
}

bool pager_claim(struct stoa_pager *pager, uint64_t block, uint64_t seen, enum pager_state state, uint64_t self)
{
	dawdle(seen);
	/* R2: nothing yet; A2: what the last holder did; pairs with R3 in pager_let_go() */
	return cas_seq(&pager->words[block], &seen, word_next(seen, state, self));
}

static bool is_mine(uint64_t word, uint64_t self)
{
	return (word & WORD_HOLDER) == (self & WORD_HOLDER);
}

bool pager_go_on(struct stoa_pager *pager, uint64_t block, enum pager_state state, uint64_t self)
{
	uint64_t seen = load_rlx(&pager->words[block]);

	while (is_mine(seen, self))
		/* R4: what was done in the last state; pairs with A2 in pager_claim() */
		if (cas_rel(&pager->words[block], &seen, word_next(seen, state, self)))
			return true;
	return false;
}

void pager_let_go(struct stoa_pager *pager, uint64_t block, enum pager_state state, uint64_t mask, uint64_t bits,
		  uint64_t self)
{
	_Atomic uint64_t *word = &pager->words[block];
	uint64_t seen = load_rlx(word), next;

	dawdle(seen);
	do {
		if (!is_mine(seen, self)) /* an enemy wrote it: it is not put right by us */
			return;
		next = (word_next(seen, state, 0) & ~mask) | bits;
	} while (!cas_rel(word, &seen, next)); /* R3: all that was done; pairs with A2 in pager_claim() */
	if (CC_UNLIKELY(seen & WORD_WAITERS))
		os_wake(os_low_half(word));
}

/* ---- waiting ---- */

struct wait {
	struct stoa_pager *pager;
	_Atomic uint64_t *word;
	uint64_t seen;
	struct roster_sight holder;
	bool dead;
};

static bool changed(const struct wait *wait)
{
	return (load_acq(wait->word) ^ wait->seen) & ~WORD_WAITERS; /* A3: as A2; pairs with R3 in pager_let_go() */
}

static bool is_over(void *owner, bool thorough)
{
	struct wait *wait = owner;
	int alive;

	if (changed(wait))
		return true;
	if (!thorough)
		return false;
	alive = roster_look(wait->pager->control, wait->seen & WORD_HOLDER, true, &wait->holder);
	/* A holder that cannot be is an enemy's: it counts as a dead one. */
	wait->dead = alive <= 0;
	return wait->dead;
}

static bool arm(struct item *item, struct os_wait_word *word)
{
	struct wait *wait = item->owner;
	uint64_t seen = load_rlx(wait->word);

	item->looks_again = true; /* who was stopped between letting go and waking is not waited for */
	if ((seen ^ wait->seen) & ~WORD_WAITERS ||
	    (!(seen & WORD_WAITERS) && !cas_rlx(wait->word, &seen, seen | WORD_WAITERS)))
		return false;
	*word = (struct os_wait_word){os_low_half(wait->word), (uint32_t)(seen | WORD_WAITERS), OS_WORD_WOKEN};
	return roster_look(wait->pager->control, wait->seen & WORD_HOLDER, true, &wait->holder) == 1 &&
	       roster_flag_waiters(&wait->holder);
}

static unsigned after_relay(const struct item *item, struct os_wait_word *words, unsigned room)
{
	const struct wait *wait = item->owner;

	if (room < 2)
		return 0;
	words[0] = (struct os_wait_word){os_low_half(wait->holder.life), (uint32_t)wait->holder.seen, OS_WORD_LIFE};
	words[1] = (struct os_wait_word){os_high_half(wait->holder.life), (uint32_t)(wait->holder.seen >> 32),
					 OS_WORD_COMPARED};
	return 2;
}

static void woke(struct item *item)
{
	struct wait *wait = item->owner;
	struct roster_sight now;

	if (roster_look(wait->pager->control, wait->seen & WORD_HOLDER, true, &now) == 0)
		os_wake(os_low_half(now.life));
}

static const struct item_source source = {is_over, arm, after_relay, woke};

int pager_wait(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self)
{
	struct wait wait = {.pager = pager, .word = &pager->words[block], .seen = seen};
	struct item item;
	int rc;

	if (is_mine(seen, self))
		return error_set(-STOA_EDEADLOCK, "block %" PRIu64 " is touched by what is just making it", block);
	pager_count(pager, PAGER_WAITS, 1);
	rc = item_init_source(&item, pager->control, &source, &wait);
	if (!rc)
		rc = wait_for_any(&item, 1, STOA_FOREVER, NULL);
	if (rc)
		return rc;
	return wait.dead && !changed(&wait) ? STOA_OWNER_DIED : 0;
}
