/* SPDX-License-Identifier: MIT */
/*
 * Writing blocks back, and taking their memory for others. Whoever needs a frame evicts a batch himself, in any process: the hand of a clock (F. J.
 * Corbato, "A Paging Experiment with the Multics System", 1968) goes over the frames; what was touched again since, or came back soon
 * after it had been evicted, has heat, and is passed by. (A map does not tell who reads a page that is there; a refault does.)
 *
 * The one hard idea is the order, for each block, all of it while it is held: forbid writes in all maps, read the pages, write them back; then
 * take the pages away, which also takes away what forbade writes, forbid them again, and only then let go. So no page can appear, or be
 * written, in a map that does not tell of it. Whether a block is pinned is looked at while it is held, and before its state says that
 * its pages go: who dies in between must leave them. models/pager.pml has each step left out.
 */
#include <base/mutant.h>
#include <pager/pager.h>

#include <inttypes.h>

void pager_batch_add(struct pager_batch *batch, uint64_t block, uint64_t seen)
{
	unsigned at = batch->count++;

	for (; at > 0 && batch->of[at - 1].block > block; at--)
		batch->of[at] = batch->of[at - 1];
	batch->of[at].block = block;
	batch->of[at].seen = seen;
	batch->of[at].result = 0;
}

/* ---- writing back ---- */

/* Blocks from `from` that lie in one piece, are to be written, and fit a buffer. */
static unsigned run_of(const struct stoa_pager *pager, const struct pager_batch *batch, unsigned from)
{
	unsigned count = 0;

	while (from + count < batch->count && batch->of[from + count].block == batch->of[from].block + count &&
	       !batch->of[from + count].result && ((uint64_t)count + 1) << pager->shift <= pager->buffer)
		count++;
	return count;
}

static int write_run(struct stoa_pager *pager, uint64_t block, uint64_t count, unsigned char *buffer)
{
	uint64_t offset = block << pager->shift, length = count << pager->shift;
	uint32_t before;
	int rc = os_trap_read(pager->trap, offset, length, buffer);

	if (rc)
		return rc;
	before = pager_call_begin(pager);
	rc = stoa_backing_write(pager->backing, offset, length, buffer);
	pager_call_end(before);
	pager_count(pager, PAGER_WRITE_CALLS, 1);
	if (rc)
		pager_count(pager, PAGER_ERRORS, 1);
	else
		pager_count(pager, PAGER_WRITES, count);
	return rc;
}

static void fail_all(struct pager_batch *batch, int rc)
{
	for (unsigned i = 0; i < batch->count; i++)
		if (!batch->of[i].result)
			batch->of[i].result = rc;
}

void pager_clean(struct stoa_pager *pager, struct pager_batch *batch)
{
	unsigned char *buffer;
	int rc = MUTANT(WRITERS_GO_ON) ? 0 : pager_forbid(pager, batch);

	if (rc) {
		fail_all(batch, rc);
		return;
	}
	buffer = pager_buffer_take(pager);
	if (!buffer) {
		fail_all(batch, -STOA_ENOMEM);
		return;
	}
	for (unsigned from = 0, count; from < batch->count; from += count) {
		count = run_of(pager, batch, from);
		if (!count) {
			count = 1;
			continue;
		}
		rc = write_run(pager, batch->of[from].block, count, buffer);
		for (unsigned i = 0; i < count; i++)
			batch->of[from + i].result = rc;
	}
	pager_buffer_give(pager, buffer);
}

int pager_empty(struct stoa_pager *pager, const struct pager_batch *batch)
{
	unsigned at = 0;

	while (at < batch->count) {
		uint64_t first = batch->of[at].block, count = 0;
		int rc;

		while (at < batch->count && batch->of[at].block == first + count) {
			count++;
			at++;
		}
		rc = os_trap_empty(pager->trap, first << pager->shift, count << pager->shift);
		if (rc)
			return rc;
	}
	/*
	 * By page protection all of it is inaccessible, and that is not forgotten. (Neither do the kernels that were tried forget what
	 * was forbidden in a map that had it so; but they do not promise that.)
	 */
	if (pager->served || os_trap_remote(pager->trap) == OS_NO_HANDLE)
		return 0; /* where touches are served, a page comes into a map only as somebody shows it there */
	return pager_forbid(pager, batch);
}

/* ---- batches of blocks that this thread has claimed ---- */

/* Those that could not be written back, or are pinned, are let go as they were; the others stay in the batch. */
static void let_go_failed(struct stoa_pager *pager, struct pager_batch *batch, uint64_t self)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < batch->count; i++) {
		if (!batch->of[i].result) {
			batch->of[kept++] = batch->of[i];
			continue;
		}
		/* Passed by for a while: it is not tried again at once. */
		pager_let_go(pager, batch->of[i].block, word_state(batch->of[i].seen), WORD_HEAT,
			     UINT64_C(1) << WORD_HEAT_SHIFT, self);
	}
	batch->count = kept;
}

static void split_dirty(struct pager_batch *batch, struct pager_batch *dirty)
{
	unsigned kept = 0;

	dirty->count = 0;
	for (unsigned i = 0; i < batch->count; i++)
		if (word_state(batch->of[i].seen) == BLOCK_DIRTY)
			dirty->of[dirty->count++] = batch->of[i];
		else
			batch->of[kept++] = batch->of[i];
	batch->count = kept;
}

bool pager_choose(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t self)
{
	switch (word_state(seen)) {
	case BLOCK_CLEAN: return pager_claim(pager, block, seen, BLOCK_CHOOSING, self);
	case BLOCK_DIRTY: return pager_claim(pager, block, seen, BLOCK_CLEANING, self);
	default: return pager_claim(pager, block, seen, BLOCK_EVICTING, self); /* nobody counts on its pages */
	}
}

/* Those that are to be evicted, and neither pinned nor dirty any more. */
static void go_on_evicting(struct stoa_pager *pager, struct pager_batch *batch, uint64_t self)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < batch->count; i++)
		if (pager_go_on(pager, batch->of[i].block, BLOCK_EVICTING, self))
			batch->of[kept++] = batch->of[i];
	batch->count = kept;
}

/* Take the pages of all in the batch away, which are claimed as EVICTING, and let go. */
static int evict_batch(struct stoa_pager *pager, struct pager_batch *batch, uint64_t self)
{
	uint64_t lap = load_rlx(&pager->shared->cursors.hand) / pager->frames << WORD_LAP_SHIFT & WORD_LAP;
	int rc;

	if (!batch->count)
		return 0;
	rc = pager_empty(pager, batch);
	for (unsigned i = 0; i < batch->count; i++) {
		if (rc)
			pager_let_go(pager, batch->of[i].block, BLOCK_LEFT, 0, 0, self);
		else
			pager_let_go(pager, batch->of[i].block, BLOCK_EMPTY, WORD_LAP | WORD_HEAT | WORD_AGED, lap,
				     self);
	}
	if (!rc)
		pager_count(pager, PAGER_EVICTIONS, batch->count);
	return rc;
}

int pager_write_and_evict(struct stoa_pager *pager, struct pager_batch *batch, bool write, uint64_t self)
{
	struct pager_batch dirty = {.count = 0};
	int rc = 0;

	pager_spare_pinned(pager, batch);
	for (unsigned i = 0; i < batch->count; i++)
		rc = batch->of[i].result ? batch->of[i].result : rc;
	let_go_failed(pager, batch, self);
	if (write)
		split_dirty(batch, &dirty);
	if (dirty.count) {
		pager_clean(pager, &dirty);
		for (unsigned i = 0; i < dirty.count; i++)
			rc = dirty.of[i].result ? dirty.of[i].result : rc;
		let_go_failed(pager, &dirty, self);
		for (unsigned i = 0; i < dirty.count; i++)
			pager_batch_add(batch, dirty.of[i].block, dirty.of[i].seen);
	}
	go_on_evicting(pager, batch, self);
	if (batch->count) {
		int failed = evict_batch(pager, batch, self);

		if (failed)
			batch->count = 0;
		rc = rc ? rc : failed;
	}
	return rc;
}

/* ---- the hand ---- */

struct catch
{
	uint64_t wanted; /* the block that a frame is wanted for: it has none yet */
	struct pager_batch batch;
	struct pager_turn turn;
};

/* Does it need no further frame? */
static bool is_caught(const struct catch *caught, uint64_t block)
{
	unsigned i = 0;

	while (i < caught->batch.count && caught->batch.of[i].block != block)
		i++;
	return i < caught->batch.count || block == caught->wanted;
}

/* May this block's memory be used for another? Then it is claimed. */
static void consider(struct stoa_pager *pager, uint32_t frame, uint64_t held, uint64_t self, struct catch *caught)
{
	uint64_t block = (held & FRAME_BLOCK) - 1, seen;

	if (block >= pager->blocks || pager_back_word(pager, block))
		return;
	seen = load_acq(&pager->words[block]); /* A1: pairs with R3 in pager_let_go() */
	/* Each time that a block is dropped it leaves a frame behind: all may be one block's, and ours. */
	if (word_is_busy(seen) && (seen & WORD_HOLDER) == (self & WORD_HOLDER)) {
		if (is_caught(caught, block))
			caught->turn.freed += pager_frame_free(pager, frame, held);
		return;
	}
	if (word_is_busy(seen)) {
		struct roster_sight sight;

		if (roster_look(pager->control, seen & WORD_HOLDER, true, &sight) == 1)
			caught->turn.busy = true;
		else if (!pager_repair(pager, block, seen, self))
			caught->turn.busy = true; /* not any more: it is worth another look */
		return;
	}
	if (!word_is_there(seen) && word_state(seen) != BLOCK_LEFT) { /* a frame that somebody left behind */
		caught->turn.freed += pager_frame_free(pager, frame, held);
		return;
	}
	if (seen & WORD_HEAT) {
		(void)cas_rlx(&pager->words[block], &seen, seen - (UINT64_C(1) << WORD_HEAT_SHIFT));
		return;
	}
	if (word_state(seen) == BLOCK_DIRTY && !pager->writes)
		return;
	if (pager_choose(pager, block, seen, self))
		pager_batch_add(&caught->batch, block, seen);
	else
		caught->turn.busy = true;
}

void pager_evict(struct stoa_pager *pager, uint64_t block, uint64_t self, struct pager_turn *ret_turn)
{
	uint32_t width = pager_hand_width(pager);
	uint64_t from = add_rlx(&pager->shared->cursors.hand, width);
	struct catch caught = {.wanted = block, .turn.looked = width};
	uint64_t held[PAGER_BATCH];

	for (uint32_t i = 0; i < width; i++) {
		uint32_t frame = (uint32_t)((from + i) % pager->frames);

		held[i] = load_acq(&pager->frame_table[frame]); /* A3: pairs with R3 in claim_frame() (frames.c) */
		if (held[i] & FRAME_BLOCK)
			consider(pager, frame, held[i], self, &caught);
		else if (!caught.turn.taken) /* in the stack, or left behind by who died with it */
			caught.turn.taken = pager_frame_claim(pager, frame, held[i], block);
	}
	(void)pager_write_and_evict(pager, &caught.batch, true, self);
	for (uint32_t i = 0; i < width; i++)
		for (unsigned k = 0; k < caught.batch.count; k++)
			if ((held[i] & FRAME_BLOCK) == caught.batch.of[k].block + 1)
				caught.turn.freed +=
					pager_frame_free(pager, (uint32_t)((from + i) % pager->frames), held[i]);
	*ret_turn = caught.turn;
}
