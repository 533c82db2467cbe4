/* SPDX-License-Identifier: MIT */
/*
 * What the dead leave: a block held by who is no more. Whoever meets it takes the holder's place, by a compare-and-swap that expects the dead
 * holder, and does what layout.h says of its state; dying in here leaves the same again.
 *
 * The dead holder's process may have threads that still run for a moment, and others may rely on what they wrote last: what they could write to
 * counts as dirty, and is never taken away.
 */
#include <base/mutant.h>
#include <pager/pager.h>

/* What was being filled, or taken away: take it away. */
static int finish_evicting(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	struct pager_batch batch = {.count = 1, .of[0].block = block};
	int rc = pager_empty(pager, &batch);
	/* Some map may have it poisoned: then it is so for all. */
	bool poisoned = load_rlx(&pager->words[block]) & WORD_ERROR;

	if (!rc)
		pager_frames_forget(pager, block);
	pager_let_go(pager, block,
		     rc         ? BLOCK_LEFT
		     : poisoned ? BLOCK_POISONED
				: BLOCK_EMPTY,
		     WORD_HEAT | WORD_AGED, 0, self);
	return rc;
}

/* A page that was being put there, to be written at once: it is, and may have been written, or it is not. */
static int finish_putting(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	if (os_trap_has(pager->trap, block << pager->shift)) {
		pager_let_go(pager, block, BLOCK_DIRTY, 0, 0, self);
		return 0;
	}
	return pager_go_on(pager, block, BLOCK_EVICTING, self) ? finish_evicting(pager, block, self) : 0;
}

/* How it is held by who repairs it: dying there must leave what the dead had left. */
static enum pager_state state_of_repair(enum pager_state left)
{
	switch (left) {
	case BLOCK_FILLING:
	case BLOCK_EVICTING:
	case BLOCK_LEFT: return BLOCK_EVICTING;
	case BLOCK_PUTTING:
	case BLOCK_CHOOSING: return left;
	default: return BLOCK_OPENING;
	}
}

int pager_repair(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self)
{
	enum pager_state state = state_of_repair(word_state(seen));

	if (!pager_claim(pager, block, seen, state, self))
		return 0;
	pager_count(pager, PAGER_REPAIRS, 1);
	if (state == BLOCK_PUTTING)
		return finish_putting(pager, block, self);
	if (state == BLOCK_EVICTING)
		return finish_evicting(pager, block, self);
	pager_let_go(pager, block, state == BLOCK_OPENING && !MUTANT(DEAD_CLEANED) ? BLOCK_DIRTY : BLOCK_CLEAN, 0, 0,
		     self);
	return 0;
}
