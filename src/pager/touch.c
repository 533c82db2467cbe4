/* SPDX-License-Identifier: MIT */
/*
 * Touches: which pager an address belongs to, and what becomes of a fault there. The handler runs in the thread that touched, at the touch.
 *
 * A touch that faults again and again at one place, though its block is said to be there, has met a page that somebody took away behind the pager's
 * back: then the block is forgotten and filled anew, or, if it was dirty, what was in it is lost and the touch is refused.
 */
#include <pager/pager.h>

#define PAGERS_MAX 64 /* of a process */
#define AGAIN_MAX 100

static _Atomic(struct stoa_pager *) shown[PAGERS_MAX];

/* The last fault of this thread. */
static CC_THREAD struct {
	const void *address;
	uint64_t version; /* of the block's word */
	unsigned again;
} last;

static struct stoa_pager *pager_of(const void *address)
{
	for (unsigned i = 0; i < PAGERS_MAX; i++) {
		struct stoa_pager *pager = load_acq(&shown[i]); /* A1: pairs with R1 in pager_show() */

		/* A parent's is shown in its forked child, too, which may have one of its own at the same place. */
		if (pager && pager->made_in == load_rlx(&os_forks) &&
		    (uintptr_t)address - (uintptr_t)pager->address < pager->size)
			return pager;
	}
	return NULL;
}

/* What changes when somebody has done something to the block. */
static uint64_t version_of(const struct stoa_pager *pager, uint64_t block)
{
	return pager_word_is_backed(pager, block) ? load_rlx(&pager->words[block]) & ~(WORD_HEAT | WORD_AGED) : 0;
}

/* Does it go round in circles here? */
static bool is_stuck(const struct stoa_pager *pager, uint64_t block, const void *address)
{
	uint64_t version = version_of(pager, block);

	if (last.address != address || last.version != version) {
		last.address = address;
		last.version = version;
		last.again = 0;
	}
	return ++last.again > AGAIN_MAX;
}

static bool mend(struct stoa_pager *pager, uint64_t block)
{
	last.again = 0;
	if (word_state(load_rlx(&pager->words[block])) == BLOCK_DIRTY)
		return false;
	return !pager_forget_clean(pager, block);
}

void pager_measure(struct pager_seat *seat, uint64_t start)
{
	uint64_t took = os_now() - start;
	unsigned bucket = 0;

	for (took >>= 8; took && bucket < PAGER_HISTOGRAM - 1; took >>= 1)
		bucket++;
	add_rlx(&seat->histogram[bucket], 1);
	add_rlx(&seat->counters[PAGER_FAULTS], 1);
}

static bool handle(void *address, enum os_fault fault)
{
	struct stoa_pager *pager = pager_of(address);
	uint64_t start, block, word;
	bool write;

	if (!pager)
		return false;
	start = os_now();
	block = (uint64_t)((unsigned char *)address - pager->address) >> pager->shift;
	write = fault == OS_FAULT_WRITE;
	/* Where the system does not tell: a page that can be read is touched again only by who writes. */
	if (fault == OS_FAULT_UNKNOWN && pager_word_is_backed(pager, block)) {
		word = load_rlx(&pager->words[block]);
		write = word_is_there(word);
	}
	if (is_stuck(pager, block, address) && !mend(pager, block))
		return false;
	if (pager_resolve(pager, NULL, block, write, false))
		return false;
	last.version = version_of(pager, block); /* what this touch has changed does not count */
	pager_measure(pager->seat, start);
	return true;
}

int pager_show(struct stoa_pager *pager)
{
	for (unsigned i = 0; i < PAGERS_MAX; i++) {
		struct stoa_pager *there = load_rlx(&shown[i]);

		if (there && there->made_in == pager->made_in)
			continue;
		if (cas_rel(&shown[i], &there, pager)) /* R1: the pager; pairs with A1 in pager_of() */
			return 0;
	}
	return error_set(-STOA_ELIMIT, "this process has %d pagers; close some", PAGERS_MAX);
}

void pager_hide(struct stoa_pager *pager)
{
	for (unsigned i = 0; i < PAGERS_MAX; i++)
		if (load_rlx(&shown[i]) == pager)
			store_rlx(&shown[i], NULL);
}

int stoa_pager_install_handlers(void)
{
	return os_fault_install(handle);
}
