/* SPDX-License-Identifier: MIT */
/*
 * Frames: the budget, one for each block that has pages. Lock-free. Free ones wait in a stack (R. K. Treiber, "Systems Programming: Coping
 * with Parallelism", 1986), whose head has a tag against ABA; when it is empty the hand goes on (evict.c).
 *
 * Death: who takes a frame off the stack and dies, or frees one and dies before it is in the stack, leaves it free and `linked`: nobody pushes it
 * again. It is taken when the hand comes by, which is why the hand does not pass by what is free (evict.c). models/pager_frames.pml has both. A hostile
 * writer can make the stack anything: numbers are checked, and tries counted.
 */
#include <pager/pager.h>

#define PATIENCE 1000 /* a hostile writer can make a compare-and-swap fail for ever */

static void push(struct stoa_pager *pager, uint32_t frame)
{
	_Atomic uint64_t *stack = &pager->shared->cursors.stack;
	uint64_t head = load_rlx(stack), next;

	for (unsigned i = 0; i < PATIENCE; i++) {
		store_rlx(&pager->links[frame], (uint32_t)head);
		next = ((head >> 32) + 1) << 32 | (frame + 1);
		if (cas_rel(stack, &head, next)) /* R1: the link; pairs with A1 in pop() */
			return;
	}
}

/* A frame that was in the stack: frame + 1, 0 for none. It may have been taken by the hand, all the same. */
static uint32_t pop(struct stoa_pager *pager)
{
	_Atomic uint64_t *stack = &pager->shared->cursors.stack;
	uint64_t head = load_acq(stack); /* A1: pairs with R1 in push() */

	for (unsigned i = 0; i < PATIENCE; i++) {
		uint32_t top = (uint32_t)head;

		if (!top || top > pager->frames)
			return 0;
		if (cas_acq_rel(stack,
				&head, /* A2, R2: as A1 and R1, and of who pushed below us; pairs with R1 in push() */
				((head >> 32) + 1) << 32 | load_rlx(&pager->links[top - 1])))
			return top;
	}
	return 0;
}

bool pager_frame_free(struct stoa_pager *pager, uint32_t frame, uint64_t seen)
{
	uint64_t freed = frame_next(seen, 0) | FRAME_LINKED;

	/* One that is linked is in the stack already, or was taken out of it and left behind. */
	if (!cas_rlx(&pager->frame_table[frame], &seen, freed))
		return false;
	if (!(seen & FRAME_LINKED))
		push(pager, frame);
	return true;
}

static bool claim_frame(struct stoa_pager *pager, uint32_t frame, uint64_t seen, uint64_t block, bool from_stack)
{
	uint64_t taken = frame_next(seen, block + 1);

	if (from_stack)
		taken &= ~FRAME_LINKED;
	/* R3: that the block is held; pairs with A3 in pager_evict() (evict.c), which would free the frame of a block that is not there */
	return cas_rel(&pager->frame_table[frame], &seen, taken);
}

bool pager_frame_claim(struct stoa_pager *pager, uint32_t frame, uint64_t seen, uint64_t block)
{
	return claim_frame(pager, frame, seen, block, false);
}

/* From the stack. false: it is empty. */
static bool take_free(struct stoa_pager *pager, uint64_t block)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		uint32_t top = pop(pager);
		uint64_t seen;

		if (!top)
			return false;
		seen = load_rlx(&pager->frame_table[top - 1]);
		while (seen & FRAME_BLOCK) { /* the hand was faster: it is not in the stack any more */
			if (cas_rlx(&pager->frame_table[top - 1], &seen, seen & ~FRAME_LINKED))
				break;
		}
		if (!(seen & FRAME_BLOCK) && claim_frame(pager, top - 1, seen, block, true))
			return true;
	}
	return false;
}

/* Frames that were never used, or left behind: the hand takes them as it goes. */
static bool take_at_hand(struct stoa_pager *pager, uint64_t block)
{
	_Atomic uint64_t *hand = &pager->shared->cursors.hand;

	for (unsigned i = 0; i < PAGER_BATCH; i++) {
		uint64_t at = load_rlx(hand), seen = load_rlx(&pager->frame_table[at % pager->frames]);

		if (seen & FRAME_BLOCK)
			return false;
		if (cas_rlx(hand, &at, at + 1) && pager_frame_claim(pager, (uint32_t)(at % pager->frames), seen, block))
			return true;
	}
	return false;
}

#define WAIT_FOR_OTHERS UINT64_C(100000)

int pager_frame_take(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	uint64_t looked = 0;

	for (;;) {
		struct pager_turn turn;

		if (take_free(pager, block) || take_at_hand(pager, block))
			return 0;
		pager_evict(pager, block, self, &turn);
		if (turn.taken)
			return 0;
		looked += turn.looked;
		if (turn.freed) {
			looked = 0;
		} else if (turn.busy) {
			/* Others are at work on them; nobody is known whose end could be waited for. */
			os_wait(&(struct os_wait_word){os_low_half(&pager->shared->cursors.stack),
						       (uint32_t)load_rlx(&pager->shared->cursors.stack),
						       OS_WORD_WOKEN},
				1, os_now() + WAIT_FOR_OTHERS);
			looked = 0;
		} else if (looked > UINT64_C(5) * pager->frames) { /* also the hottest had cooled down */
			return error_set(-STOA_ENOMEM,
					 "no memory for a block within the budget: all of it is pinned, or cannot be "
					 "written back");
		}
	}
}

bool pager_frame_try(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	struct pager_turn turn;

	if (take_free(pager, block) || take_at_hand(pager, block))
		return true;
	pager_evict(pager, block, self, &turn);
	return turn.taken || take_free(pager, block);
}

void pager_frames_forget(struct stoa_pager *pager, uint64_t block)
{
	for (uint32_t frame = 0; frame < pager->frames; frame++) {
		uint64_t seen = load_rlx(&pager->frame_table[frame]);

		if ((seen & FRAME_BLOCK) == block + 1)
			(void)pager_frame_free(pager, frame, seen);
	}
}
