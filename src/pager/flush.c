/* SPDX-License-Identifier: MIT */
/*
 * Going over the blocks that are there, to write them back or to drop them: by the frames, or by the blocks of a range where those are fewer.
 * Who waits for a block that somebody else holds holds none meanwhile, so no two wait for each other.
 */
#include <pager/pager.h>

#include <inttypes.h>

/* A walk, and what it does with what it meets. */
struct walk {
	struct stoa_pager *pager;
	uint64_t self;
	uint64_t first, end; /* blocks */
	bool write;          /* write back what is dirty */
	bool drop;           /* take away what is there */
	bool aged;           /* write only what was dirty at the last walk */
	bool keep;           /* what is dirty, untouched */
	bool wait;           /* for those that are held */
	int rc;              /* of the last failure */
	struct pager_batch batch;
};

/* Do what was collected, and hold nothing afterwards. */
static void settle(struct walk *walk)
{
	struct stoa_pager *pager = walk->pager;
	struct pager_batch *batch = &walk->batch;

	if (walk->drop) {
		int rc = batch->count ? pager_write_and_evict(pager, batch, walk->write, walk->self) : 0;

		walk->rc = rc ? rc : walk->rc;
		batch->count = 0;
		return;
	}
	if (batch->count)
		pager_clean(pager, batch);
	for (unsigned i = 0; i < batch->count; i++) {
		int rc = batch->of[i].result;

		pager_let_go(pager, batch->of[i].block, rc ? BLOCK_DIRTY : BLOCK_CLEAN, WORD_AGED, 0, walk->self);
		walk->rc = rc ? rc : walk->rc;
	}
	batch->count = 0;
}

/* Claim it, if it is one of those. false: it changed, look again. */
static bool collect(struct walk *walk, uint64_t block, uint64_t seen)
{
	struct stoa_pager *pager = walk->pager;
	enum pager_state state = word_state(seen);

	if (state == BLOCK_POISONED && walk->drop)
		return cas_rel(&pager->words[block], &seen, /* R1: nothing; pairs with A1 in visit() */
			       word_next(seen, BLOCK_EMPTY, 0) & ~(pager->served ? 0 : WORD_ERROR));
	if (state != BLOCK_DIRTY && !(walk->drop && (state == BLOCK_CLEAN || state == BLOCK_LEFT)))
		return true;
	if (walk->keep && state == BLOCK_DIRTY)
		return true;
	if (walk->aged && !(seen & WORD_AGED)) {
		(void)cas_rlx(&pager->words[block], &seen, seen | WORD_AGED);
		return true;
	}
	if (!pager_choose(pager, block, seen, walk->self))
		return false;
	if (state == BLOCK_DIRTY && !walk->write)
		pager_count(pager, PAGER_DROPPED, 1);
	pager_batch_add(&walk->batch, block, seen);
	if (walk->batch.count == PAGER_BATCH)
		settle(walk);
	return true;
}

static void visit(struct walk *walk, uint64_t block)
{
	struct stoa_pager *pager = walk->pager;

	if (block < walk->first || block >= walk->end || pager_back_word(pager, block))
		return;
	for (;;) {
		uint64_t seen = load_acq(&pager->words[block]); /* A1: pairs with R3 in pager_let_go() (word.c) */
		int rc;

		if (!word_is_busy(seen)) {
			if (collect(walk, block, seen))
				return;
			continue;
		}
		/* One of ours: a block may be named by two frames. */
		if (!walk->wait || (seen & WORD_HOLDER) == (walk->self & WORD_HOLDER))
			return;
		settle(walk);
		rc = pager_wait(pager, block, seen, walk->self);
		if (rc == STOA_OWNER_DIED)
			rc = pager_repair(pager, block, seen, walk->self);
		if (rc) {
			walk->rc = rc;
			return;
		}
	}
}

static int go(struct walk *walk)
{
	struct stoa_pager *pager = walk->pager;
	uint64_t blocks = walk->end - walk->first;
	int rc = pager_check_rank(pager);

	if (!rc)
		rc = pager_self(pager, &walk->self);
	if (rc)
		return rc;
	if (blocks <= pager->frames) {
		for (uint64_t i = 0; i < blocks; i++)
			visit(walk, walk->first + i);
	} else {
		for (uint32_t i = 0; i < pager->frames; i++) {
			uint64_t held = load_rlx(&pager->frame_table[i]) & FRAME_BLOCK;

			if (held)
				visit(walk, held - 1);
		}
	}
	settle(walk);
	return walk->rc;
}

int pager_write_back(struct stoa_pager *pager, uint64_t first, uint64_t end, bool aged, bool wait)
{
	struct walk walk = {.pager = pager, .first = first, .end = end, .write = true, .aged = aged, .wait = wait};

	return go(&walk);
}

int pager_drop(struct stoa_pager *pager, uint64_t first, uint64_t end, bool write_back)
{
	struct walk walk = {
		.pager = pager, .first = first, .end = end, .write = write_back, .drop = true, .wait = true};

	return go(&walk);
}

int pager_forget_clean(struct stoa_pager *pager, uint64_t block)
{
	struct walk walk = {.pager = pager, .first = block, .end = block + 1, .drop = true, .keep = true, .wait = true};

	return go(&walk);
}

/* ---- the public calls ---- */

int stoa_pager_flush(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t flags)
{
	uint64_t first, end;
	int rc = pager_check_range(pager, offset, length);

	if (!rc && flags & ~STOA_DURABLE)
		rc = error_refuse("a flush", ERROR_FLUSH_FLAGS, flags & ~STOA_DURABLE);
	if (rc || !length || !pager->writes)
		return rc;
	first = offset >> pager->shift;
	end = ((offset + length - 1) >> pager->shift) + 1;
	if (!pager->backing)
		return pager_ask(pager, ASK_WRITE_BACK, first, end - first,
				 flags & STOA_DURABLE ? ASK_FLAG_DURABLE : 0);
	rc = pager_write_back(pager, first, end, false, true);
	if (!rc && flags & STOA_DURABLE)
		rc = stoa_backing_flush(pager->backing);
	return rc;
}

static int check_blocks(const struct stoa_pager *pager, uint64_t offset, uint64_t length)
{
	int rc = pager_check_range(pager, offset, length);

	/* The last block may reach beyond the user's length. */
	if (!rc && (offset % pager->block || (length % pager->block && offset + length != pager->length)))
		rc = error_set(-STOA_EINVAL, "%" PRIu64 " bytes at %" PRIu64 " are not whole blocks of %" PRIu32,
			       length, offset, pager->block);
	return rc;
}

static int drop(struct stoa_pager *pager, uint64_t first, uint64_t end, bool write_back)
{
	int rc = pager->backing ? pager_drop(pager, first, end, write_back)
				: pager_ask(pager, ASK_DROP, first, end - first, write_back ? ASK_FLAG_WRITE : 0);

	/* In this process's own map; in others' a touch that was refused is refused until the block was filled. */
	if (!rc && pager->served)
		rc = os_trap_forgive(pager->trap, first << pager->shift, (end - first) << pager->shift);
	return rc;
}

int stoa_pager_discard(struct stoa_pager *pager, uint64_t offset, uint64_t length)
{
	int rc = check_blocks(pager, offset, length);

	if (rc || !length)
		return rc;
	return drop(pager, offset >> pager->shift, (offset + length - 1 + pager->block) >> pager->shift, false);
}

int stoa_pager_advise(struct stoa_pager *pager, uint64_t offset, uint64_t length, uint32_t advice)
{
	int rc = pager_check_range(pager, offset, length);
	uint64_t first, end;

	if (rc)
		return rc;
	first = offset >> pager->shift;
	end = length ? ((offset + length - 1) >> pager->shift) + 1 : first;
	switch (advice) {
	case STOA_ADVISE_NORMAL:
	case STOA_ADVISE_RANDOM:
	case STOA_ADVISE_SEQUENTIAL: store_rlx(&pager->advice, advice); return 0;
	case STOA_ADVISE_WILL_NEED: pager_keeper_bring_in(pager, first, end); return 0;
	case STOA_ADVISE_DONT_NEED: return first < end ? drop(pager, first, end, true) : 0;
	default: return error_set(-STOA_EINVAL, "%" PRIu32 " is no advice", advice);
	}
}
