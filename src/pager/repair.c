/* SPDX-License-Identifier: MIT */
/*
 * What the dead leave: a block held by who is no more. Whoever meets it takes the holder's place, by a compare-and-swap that expects the dead
 * holder, and does what layout.h says of its state; dying in here leaves the same again.
 *
 * The dead holder's process may have threads that still run for a moment: that they can write to is taken away, or counts as dirty.
 */
#include <base/mutant.h>
#include <pager/pager.h>

/* What was being filled, or taken away: take it away. */
static int finish_evicting(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	struct pager_batch batch = {.count = 1, .of[0].block = block};
	int rc = pager_empty(pager, &batch);

	if (!rc)
		pager_frames_forget(pager, block);
	pager_let_go(pager, block, rc ? BLOCK_LEFT : BLOCK_EMPTY, WORD_HEAT | WORD_AGED, 0, self);
	return rc;
}

int pager_repair(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self)
{
	enum pager_state state = word_state(seen);
	bool evict = state == BLOCK_FILLING || state == BLOCK_EVICTING || state == BLOCK_LEFT;

	if (!pager_claim(pager, block, seen, evict ? BLOCK_EVICTING : BLOCK_OPENING, self))
		return 0;
	pager_count(pager, PAGER_REPAIRS, 1);
	if (evict)
		return finish_evicting(pager, block, self);
	pager_let_go(pager, block, MUTANT(DEAD_CLEANED) ? BLOCK_CLEAN : BLOCK_DIRTY, 0, 0, self);
	return 0;
}
