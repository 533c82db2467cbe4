/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a thread of the library's for as long as this process has a pager. It is who the process is to the others: a member, and its pins,
 * live as long as it does. It brings in what was asked for in advance; and of all keepers one, chosen by a word that the next takes over from a
 * dead one, writes back what has been dirty for long, or when too much is.
 */
#include <pager/pager.h>

#include <base/atomic.h>

#define RANGES 16

enum { STARTING, RUNNING, FAILED, ENDED };

struct pager_keeper {
	struct stoa_pager *pager;
	_Atomic uint32_t state;
	_Atomic uint32_t poke; /* counts what there is to be done */
	_Atomic uint32_t go;   /* the process is a member, and has a seat to count on */
	_Atomic uint32_t stop;
	bool background;
	int error;
	uint64_t identity;

	struct os_lock lock; /* guards the ranges */
	unsigned first, count;
	struct {
		uint64_t first, end;
	} ranges[RANGES]; /* of blocks to be brought in */
};

static void tell_state(struct pager_keeper *keeper, uint32_t state)
{
	store_rel(&keeper->state, state); /* R1: what it did; pairs with A1 in await_change() */
	os_wake(&keeper->state);
}

static uint32_t await_change(struct pager_keeper *keeper, uint32_t from)
{
	uint32_t state;

	while ((state = load_acq(&keeper->state)) == from) /* A1: pairs with R1 in tell_state() */
		os_wait(&(struct os_wait_word){&keeper->state, from, OS_WORD_WOKEN}, 1, UINT64_MAX);
	return state;
}

/* ---- bringing in ---- */

static bool next_range(struct pager_keeper *keeper, uint64_t *ret_first, uint64_t *ret_end)
{
	bool found;

	os_lock(&keeper->lock);
	found = keeper->count > 0;
	if (found) {
		*ret_first = keeper->ranges[keeper->first].first;
		*ret_end = keeper->ranges[keeper->first].end;
		keeper->first = (keeper->first + 1) % RANGES;
		keeper->count--;
	}
	os_unlock(&keeper->lock);
	return found;
}

static void bring_in(struct pager_keeper *keeper)
{
	uint64_t first, end;

	while (next_range(keeper, &first, &end)) {
		if (!keeper->pager->backing) {
			(void)pager_ask(keeper->pager, ASK_GET, first, end - first, 0);
			continue;
		}
		for (uint64_t block = first; block < end && !load_rlx(&keeper->stop); block++)
			if (pager_resolve(keeper->pager, NULL, block, false, false))
				break;
	}
}

void pager_keeper_bring_in(struct stoa_pager *pager, uint64_t first, uint64_t end)
{
	struct pager_keeper *keeper = pager->keeper;
	/* More than half of the budget would only push itself out. */
	uint64_t most = first + pager->frames / 2;

	if (!keeper)
		return;
	os_lock(&keeper->lock);
	if (keeper->count < RANGES && first < end) {
		unsigned at = (keeper->first + keeper->count++) % RANGES;

		keeper->ranges[at].first = first;
		keeper->ranges[at].end = end < most ? end : most;
	}
	os_unlock(&keeper->lock);
	add_rlx(&keeper->poke, 1);
	os_wake(&keeper->poke);
}

/* ---- writing back ---- */

/* Is it this keeper's job, now that the last one's is dead? */
static bool is_chosen(struct pager_keeper *keeper)
{
	_Atomic uint64_t *chosen = &keeper->pager->shared->cursors.background;
	uint64_t seen = load_rlx(chosen);
	struct roster_sight sight;

	if (seen == keeper->identity)
		return true;
	if (seen && roster_look(keeper->pager->control, seen, false, &sight) == 1)
		return false;
	return cas_rlx(chosen, &seen, keeper->identity);
}

/* How many are dirty, about: what the dead did last is not counted. */
static uint64_t count_dirty(const struct stoa_pager *pager)
{
	uint64_t opened = 0, written = 0;

	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		const _Atomic uint64_t *counters = pager->shared->seats[i].counters;

		opened += load_rlx(&counters[PAGER_OPENS]);
		written += load_rlx(&counters[PAGER_WRITES]) + load_rlx(&counters[PAGER_DROPPED]);
	}
	return opened > written ? opened - written : 0;
}

#define UNCOUNTED 8 /* times as seldom where nothing seems to be dirty */

static void write_back(struct pager_keeper *keeper, uint64_t *aged_at)
{
	struct stoa_pager *pager = keeper->pager;
	uint64_t dirty = count_dirty(pager), now = os_now();

	if (dirty * 100 > (uint64_t)pager->frames * pager->dirty_percent) {
		(void)pager_write_back(pager, 0, pager->blocks, false, false);
	} else if (now - *aged_at >= pager->dirty_age * UINT64_C(500000) * (dirty ? 1 : UNCOUNTED)) {
		/* Twice in that time: what is dirty at both is old. And now and then for what the dead did not count. */
		*aged_at = now;
		(void)pager_write_back(pager, 0, pager->blocks, true, false);
	}
}

/* Is it this process that serves those who have no backing? */
static bool serves(const struct pager_keeper *keeper)
{
	const struct stoa_pager *pager = keeper->pager;

	return pager->served && pager->backing && load_rlx(&pager->shared->cursors.server) == keeper->identity;
}

#define TICK UINT64_C(100000000)
#define TICK_IDLE UINT64_C(1000000000)

static void live(struct pager_keeper *keeper)
{
	uint64_t aged_at;

	while (!load_acq(&keeper->go)) /* A3: the member; pairs with R3 in pager_keeper_go() */
		os_wait(&(struct os_wait_word){&keeper->go, 0, OS_WORD_WOKEN}, 1, UINT64_MAX);
	aged_at = os_now();
	while (!load_acq(&keeper->stop)) { /* A2: pairs with R2 in pager_keeper_stop() */
		_Atomic uint64_t *asked = &keeper->pager->shared->cursors.asked;
		struct os_wait_word words[] = {
			{&keeper->poke, load_rlx(&keeper->poke), OS_WORD_WOKEN},
			{os_low_half(asked), (uint32_t)load_acq(asked),
			 OS_WORD_WOKEN}, /* A4: the request; pairs with R1 in pager_ask() (ask.c) */
		};
		bool chosen =
			keeper->background && keeper->pager->backing && keeper->pager->writes && is_chosen(keeper);
		bool ticks = keeper->background || keeper->pager->served;

		bring_in(keeper);
		if (serves(keeper))
			pager_answer(keeper->pager);
		if (chosen)
			write_back(keeper, &aged_at);
		if (!load_rlx(&keeper->stop))
			os_wait(words, keeper->pager->served ? 2 : 1,
				!ticks ? UINT64_MAX : os_now() + (chosen || keeper->pager->served ? TICK : TICK_IDLE));
	}
}

static void run(void *argument)
{
	struct pager_keeper *keeper = argument;

	keeper->error = pager_self(keeper->pager, &keeper->identity);
	if (keeper->error) {
		tell_state(keeper, FAILED);
		return;
	}
	tell_state(keeper, RUNNING);
	live(keeper);
	tell_state(keeper, ENDED);
}

int pager_keeper_start(struct stoa_pager *pager, bool background, uint64_t *ret_identity)
{
	struct pager_keeper *keeper = os_allocate(sizeof(*keeper));
	int rc;

	if (!keeper)
		return -STOA_ENOMEM;
	keeper->pager = pager;
	keeper->background = background;
	pager->keeper = keeper;
	rc = os_thread_start("stoa-pager", run, keeper);
	if (!rc && await_change(keeper, STARTING) == FAILED)
		rc = error_set(keeper->error, "the pager's thread could not become a member: %s",
			       stoa_error_text(keeper->error));
	if (rc) {
		pager->keeper = NULL;
		os_free(keeper);
		return rc;
	}
	*ret_identity = keeper->identity;
	return 0;
}

void pager_keeper_go(struct stoa_pager *pager)
{
	if (!pager->keeper) /* STOA_PAGER_NO_THREAD */
		return;
	store_rel(&pager->keeper->go, 1); /* R3: all that the handle has; pairs with A3 in live() */
	os_wake(&pager->keeper->go);
}

void pager_keeper_stop(struct stoa_pager *pager)
{
	struct pager_keeper *keeper = pager->keeper;

	if (!keeper)
		return;
	store_rel(&keeper->stop, 1); /* R2: nothing; pairs with A2 in live() */
	pager_keeper_go(pager);
	add_rlx(&keeper->poke, 1);
	os_wake(&keeper->poke);
	(void)await_change(keeper, RUNNING);
	pager->keeper = NULL;
	os_free(keeper);
}
