/* SPDX-License-Identifier: MIT */
/*
 * Having a block there, or open for writing: what a touch needs. Whoever comes first claims the block and fills it, all others wait for that;
 * the backing's function runs where nobody sees its result.
 *
 * Linearisation of a fill: the kernel's copy of each page into the object, after which every map can read it; of an opening: its claim, since from
 * then on the block is written back before it counts as clean again.
 * What an enemy may do: give a word any value. Blocks and frames are checked, a holder is looked up; a block said to be there
 * that is not makes the touch fault again and again, which is noticed (touch.c).
 */
#include <base/mutant.h>
#include <pager/pager.h>

#include <inttypes.h>
#include <string.h>

/* ---- callbacks and their ranks ---- */

/* The rank of the pager whose callback this thread is in, + 1; 0: none. */
static CC_THREAD uint32_t within;
static CC_THREAD bool noted; /* among the callers */

/* The same, for whoever serves touches of other threads: thread << 32 | rank + 1. */
#define CALLERS_MAX 256
static _Atomic uint64_t callers[CALLERS_MAX];
static _Atomic uint32_t watched; /* served pagers of this process */

void pager_watch_ranks(bool begin)
{
	add_rlx(&watched, begin ? 1 : UINT32_MAX);
}

uint32_t pager_rank_within(uint32_t thread)
{
	for (unsigned i = 0; i < CALLERS_MAX; i++) {
		uint64_t caller = load_rlx(&callers[i]);

		if (caller >> 32 == thread)
			return (uint32_t)caller;
	}
	return 0;
}

/* This thread's place among them: its own, or a free one. Where none is free, touches that must not be are not refused. */
static void note_caller(uint32_t rank_plus_1)
{
	uint64_t thread = os_thread_id(), mine = thread << 32 | rank_plus_1;

	noted = rank_plus_1 != 0;
	for (unsigned i = 0; i < CALLERS_MAX; i++)
		if (load_rlx(&callers[i]) >> 32 == thread) {
			store_rlx(&callers[i], rank_plus_1 ? mine : 0);
			return;
		}
	for (unsigned i = 0; i < CALLERS_MAX && rank_plus_1; i++) {
		uint64_t none = 0;

		if (cas_rlx(&callers[i], &none, mine))
			return;
	}
}

int pager_check_rank(const struct stoa_pager *pager)
{
	if (CC_LIKELY(!within || pager->rank + 1 < within))
		return 0;
	return error_set(-STOA_EDEADLOCK,
			 "a fill or write of a pager of rank %" PRIu32 " touches one of rank %" PRIu32
			 ": give the one that is touched a lower rank",
			 within - 1, pager->rank);
}

uint32_t pager_call_begin(const struct stoa_pager *pager)
{
	uint32_t before = within;

	within = pager->rank + 1;
	if (CC_UNLIKELY(load_rlx(&watched)))
		note_caller(within);
	return before;
}

void pager_call_end(uint32_t before)
{
	within = before;
	if (CC_UNLIKELY(noted)) /* the pager that it was noted for may be closed by now */
		note_caller(before);
}

/* ---- buffers ---- */

unsigned char *pager_buffer_take(struct stoa_pager *pager)
{
	for (unsigned i = 0; i < CC_COUNT(pager->buffers); i++) {
		unsigned char *buffer =
			swap_acq_rel(&pager->buffers[i], NULL); /* A1: pairs with R1 in pager_buffer_give() */

		if (buffer)
			return buffer;
	}
	return os_pages_allocate(pager->buffer);
}

void pager_buffer_give(struct stoa_pager *pager, unsigned char *buffer)
{
	for (unsigned i = 0; i < CC_COUNT(pager->buffers); i++) {
		unsigned char *none = NULL;

		if (cas_rel(&pager->buffers[i], &none, buffer)) /* R1: pairs with A1 in pager_buffer_take() */
			return;
	}
	os_pages_free(buffer, pager->buffer);
}

/* ---- windows ---- */

/*
 * Each window that is armed alone may be a map of its own, of the 65530 that a process may have; and each costs page tables for all of it. So
 * windows are small as long as they are few, and then armed many at a time.
 */
#define ARMED_ALONE_MAX 8192
#define ARMED_TOGETHER 16 /* windows; a divisor of 64 */

static bool is_armed(const struct stoa_pager *pager, uint64_t window)
{
	/* A2: pairs with R2 in arm_windows() */
	return load_acq(&pager->armed[window / 64]) >> (window % 64) & 1;
}

/* pager->arming is held. */
static int arm_windows(struct stoa_pager *pager, uint64_t first, uint64_t count)
{
	uint64_t offset = first * pager->window, length = count * pager->window;
	int rc;

	if (length > pager->size - offset)
		length = pager->size - offset;
	rc = os_trap_arm(pager->trap, offset, length);
	if (!rc) /* R2: they are armed; pairs with A2 in is_armed() */
		or_seq(&pager->armed[first / 64], ((UINT64_C(1) << count) - 1) << (first % 64));
	return rc;
}

static CC_NOINLINE int arm_window(struct stoa_pager *pager, uint64_t window)
{
	int rc = 0;

	os_lock(&pager->arming);
	if (!is_armed(pager, window)) {
		if (pager->armed_alone < ARMED_ALONE_MAX) {
			pager->armed_alone++;
			rc = arm_windows(pager, window, 1);
		} else {
			rc = arm_windows(pager, window / ARMED_TOGETHER * ARMED_TOGETHER, ARMED_TOGETHER);
		}
	}
	os_unlock(&pager->arming);
	return rc;
}

static inline int arm_block(struct stoa_pager *pager, uint64_t block)
{
	uint64_t window = (block << pager->shift) / pager->window;

	return CC_LIKELY(is_armed(pager, window)) ? 0 : arm_window(pager, window);
}

/* ---- reading ahead ---- */

/*
 * The way that a thread takes, which is this one, or one that this one serves: where it filled last, and how many blocks it goes on each time. What goes on by one is in order. Another step is
 * believed when it was taken three times on end, as touches at random do once in so many times as the square of the blocks.
 */
#define STEPS_BELIEVED 3

struct trail {
	const struct stoa_pager *pager;
	uint32_t toucher;
	uint64_t touched;
	uint64_t end; /* the last that was filled along with it */
	int64_t step;
	uint32_t steps; /* so many on end */
	uint32_t run;
};

#define TRAILS 4 /* of those who are served at the same time */
static CC_THREAD struct trail trails[TRAILS];
static CC_THREAD uint32_t toucher; /* 0: this thread */

void pager_touched_by(uint32_t thread)
{
	toucher = thread;
}

struct way {
	int64_t step;
	uint32_t run; /* blocks to fill, the one that is touched among them */
};

static uint32_t run_wanted(const struct stoa_pager *pager, struct trail *trail)
{
	uint32_t advice = load_rlx(&pager->advice), run = trail->run * 2;

	if (advice == STOA_ADVISE_SEQUENTIAL) {
		trail->step = 1;
		return pager->run_max;
	}
	if (advice == STOA_ADVISE_RANDOM || trail->steps < (trail->step == 1 ? 1 : STEPS_BELIEVED))
		return 1;
	return run < pager->run_max ? run : pager->run_max;
}

/* How many such steps lead from the block to others of the pager. */
static uint64_t steps_left(const struct stoa_pager *pager, uint64_t block, int64_t step)
{
	if (step > 0)
		return (pager->blocks - 1 - block) / (uint64_t)step;
	return step < 0 ? block / (uint64_t)-step : 0;
}

/* The block is filled for it: how it goes on from there. */
static struct way follow_trail(const struct stoa_pager *pager, uint64_t block)
{
	struct trail *trail = &trails[toucher % TRAILS];
	bool known = trail->pager == pager && trail->toucher == toucher;
	struct way way;
	uint64_t room;

	if (known && trail->step && block - trail->end == (uint64_t)trail->step) {
		trail->steps++;
	} else {
		trail->step = known ? (int64_t)(block - trail->touched) : 0;
		trail->steps = trail->step != 0;
		trail->run = 1;
	}
	trail->pager = pager;
	trail->toucher = toucher;
	trail->touched = trail->end = block;
	trail->run = run_wanted(pager, trail);
	way = (struct way){.step = trail->step, .run = trail->run};
	if (way.run > 1) {
		room = steps_left(pager, block, way.step);
		way.run = way.run - 1 < room ? way.run : (uint32_t)room + 1;
	}
	return way;
}

/* ---- filling ---- */

struct filling {
	uint64_t block;
	uint32_t count; /* blocks from there on that are ours */
	uint64_t seen;  /* of the first */
	bool write;
	const struct pager_target *to;
	uint64_t self;
};

static bool claim_empty(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	uint64_t seen;

	if (pager_back_word(pager, block) || arm_block(pager, block))
		return false;
	seen = load_acq(&pager->words[block]); /* A3: pairs with R3 in pager_let_go() (word.c) */
	return !word_is_busy(seen) && word_state(seen) == BLOCK_EMPTY &&
	       pager_claim(pager, block, seen, BLOCK_FILLING, self);
}

static bool frame_or_let_go(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	if (pager_frame_try(pager, block, self))
		return true;
	pager_let_go(pager, block, BLOCK_EMPTY, 0, 0, self);
	return false;
}

/* Blocks behind the first that are empty, too: claim them, with frames. */
static void claim_more(struct stoa_pager *pager, struct filling *filling, uint32_t wanted)
{
	while (filling->count < wanted) {
		uint64_t block = filling->block + filling->count;

		if (!claim_empty(pager, block, filling->self) || !frame_or_let_go(pager, block, filling->self))
			return;
		filling->count++;
	}
}

/* Of those behind the first `kept` nothing was filled: they are as before. Their frames are freed by the hand. */
static void give_up(struct stoa_pager *pager, struct filling *filling, uint32_t kept)
{
	for (; filling->count > kept; filling->count--)
		pager_let_go(pager, filling->block + filling->count - 1, BLOCK_EMPTY, 0, 0, filling->self);
}

static int call_fill(struct stoa_pager *pager, const struct filling *filling, unsigned char *buffer)
{
	uint32_t before = pager_call_begin(pager);
	int rc = stoa_backing_fill(pager->backing, filling->block << pager->shift,
				   (uint64_t)filling->count << pager->shift, buffer);

	pager_call_end(before);
	pager_count(pager, PAGER_FILL_CALLS, 1);
	if (rc)
		pager_count(pager, PAGER_ERRORS, 1);
	return rc;
}

#define RETRY_AFTER UINT64_C(10000000)

/* The bytes of all that is being filled; where not all can be had, of the first. */
static int make_bytes(struct stoa_pager *pager, struct filling *filling, unsigned char *buffer)
{
	int rc = call_fill(pager, filling, buffer);

	if (rc && filling->count > 1) {
		give_up(pager, filling, 1);
		rc = call_fill(pager, filling, buffer);
	}
	while (rc && pager->on_error == STOA_PAGER_RETRY) {
		uint64_t until = os_now() + RETRY_AFTER;
		_Atomic uint32_t nothing = 0;

		while (os_now() < until)
			os_wait(&(struct os_wait_word){&nothing, 0, OS_WORD_WOKEN}, 1, until);
		rc = call_fill(pager, filling, buffer);
	}
	if (rc && pager->on_error == STOA_PAGER_ZEROS) {
		memset(buffer, 0, pager->block);
		rc = 0;
	}
	return rc;
}

/* One page is put there at once, or not at all: it may be open from the first moment. */
static bool opens_at_once(const struct stoa_pager *pager, const struct filling *filling)
{
	return filling->write && pager->block == OS_PAGE;
}

/*
 * All of it for everybody to read, and nothing for anybody to write: what is FILLING may yet be taken away, by us or by whoever finds us dead, and
 * other threads of this process write to what is open as soon as they can. So the first is opened last, in a state that says so.
 */
static int put_there(struct stoa_pager *pager, const struct filling *filling, const unsigned char *buffer,
		     bool *ret_written)
{
	uint64_t offset = filling->block << pager->shift, length = (uint64_t)filling->count << pager->shift;
	uint64_t later = opens_at_once(pager, filling) ? pager->block : 0;
	int rc = 0;

	*ret_written = false;
	if (length > later) {
		rc = pager_put(pager, filling->to, offset + later, length - later, buffer + later, false);
		*ret_written =
			rc == OS_TRAP_WRITTEN; /* before it was forbidden: where the system cannot do it at once */
		rc = *ret_written ? 0 : rc;
	}
	if (!rc && later && pager_go_on(pager, filling->block, BLOCK_PUTTING, filling->self))
		rc = pager_put(pager, filling->to, offset, later, buffer, true);
	return rc;
}

static int open_filled(struct stoa_pager *pager, const struct filling *filling)
{
	if (!filling->write || opens_at_once(pager, filling) ||
	    !pager_go_on(pager, filling->block, BLOCK_OPENING, filling->self))
		return 0;
	return pager_do(pager, filling->to, PAGER_ALLOW, filling->block << pager->shift, pager->block);
}

/*
 * Where some map may have it poisoned it is shown in all. The bits of its word that may be forgotten: not a mark that comes meanwhile. *ret_written:
 * the system could not show it without its being open for a moment; who dies in there leaves it so.
 */
static uint64_t heal(struct stoa_pager *pager, uint64_t block, uint64_t word, uint64_t self, bool *ret_written)
{
	int rc;

	*ret_written = false;
	if (!pager->served)
		return WORD_ERROR;
	if (!(word & WORD_ERROR) || (pager->writable && !pager_go_on(pager, block, BLOCK_OPENING, self)))
		return 0;
	rc = pager_show_all(pager, block);
	*ret_written = rc == OS_TRAP_WRITTEN;
	return rc < 0 ? 0 : WORD_ERROR;
}

static void let_go_filled(struct stoa_pager *pager, const struct filling *filling, bool written)
{
	uint64_t lap = load_rlx(&pager->shared->cursors.hand) / pager->frames;
	unsigned opened = 0;

	for (uint32_t i = 0; i < filling->count; i++) {
		uint64_t block = filling->block + i, word = load_rlx(&pager->words[block]), heat = 0;
		bool open, healed_open;
		uint64_t forgotten = heal(pager, block, word, filling->self, &healed_open);

		open = written || healed_open || (filling->write && i == 0);
		opened += open;
		/* It came back soon after it had been evicted: it is worth keeping. One that never was there has no other versions than this fill's. */
		if ((lap - (word >> WORD_LAP_SHIFT & 15)) % 16 <= 1 &&
		    word >> WORD_VERSION_SHIFT > (filling->write && i == 0 ? 2 : 1)) {
			heat = UINT64_C(2) << WORD_HEAT_SHIFT;
			pager_count(pager, PAGER_REFAULTS, 1);
		}
		pager_let_go(pager, block, open ? BLOCK_DIRTY : BLOCK_CLEAN, WORD_HEAT | WORD_AGED | forgotten, heat,
			     filling->self);
	}
	pager_count(pager, PAGER_FILLS, filling->count);
	if (opened)
		pager_count(pager, PAGER_OPENS, opened);
}

/* Pages may be there, or not: nobody may find them so. */
static void take_back(struct stoa_pager *pager, const struct filling *filling)
{
	for (uint32_t i = 0; i < filling->count; i++) {
		struct pager_batch one = {.count = 1, .of[0].block = filling->block + i};
		int failed = pager_go_on(pager, one.of[0].block, BLOCK_EVICTING, filling->self)
				     ? pager_empty(pager, &one)
				     : 0;

		pager_let_go(pager, one.of[0].block, failed ? BLOCK_LEFT : BLOCK_EMPTY, 0, 0, filling->self);
	}
}

/* Blocks that nobody has touched yet. */
static bool fill_untouched(struct stoa_pager *pager, struct filling *filling, unsigned char *buffer)
{
	bool written;
	int rc = call_fill(pager, filling, buffer);

	if (rc) {
		give_up(pager, filling, 0);
		return false;
	}
	rc = put_there(pager, filling, buffer, &written);
	if (rc)
		take_back(pager, filling);
	else
		let_go_filled(pager, filling, written);
	return !rc;
}

/* Those before the block, at once. The result is the first of them. */
static uint64_t fill_before(struct stoa_pager *pager, const struct filling *filled, uint32_t run, unsigned char *buffer)
{
	struct filling filling = {.block = filled->block, .to = filled->to, .self = filled->self};

	while (filling.count + 1 < run && claim_empty(pager, filling.block - 1, filling.self) &&
	       frame_or_let_go(pager, filling.block - 1, filling.self)) {
		filling.block--;
		filling.count++;
	}
	if (filling.count)
		(void)fill_untouched(pager, &filling, buffer);
	return filling.block;
}

/* Those on the way from the block, one by one, as others lie between. What is there already is passed by. The result is the last. */
static uint64_t fill_on_the_way(struct stoa_pager *pager, const struct filling *filled, struct way way,
				unsigned char *buffer)
{
	uint64_t block = filled->block;

	while (way.run-- > 1) {
		struct filling filling = {
			.block = block + (uint64_t)way.step, .count = 1, .to = filled->to, .self = filled->self};

		if (claim_empty(pager, filling.block, filling.self) &&
		    (!frame_or_let_go(pager, filling.block, filling.self) || !fill_untouched(pager, &filling, buffer)))
			break;
		block = filling.block;
	}
	return block;
}

/* The block was filled, and let go of. */
static void read_ahead(struct stoa_pager *pager, const struct filling *filled, struct way way, unsigned char *buffer)
{
	struct trail *trail = &trails[toucher % TRAILS];
	uint64_t end;

	if (way.run == 1 || way.step == 1)
		return;
	end = way.step == -1 ? fill_before(pager, filled, way.run, buffer)
			     : fill_on_the_way(pager, filled, way, buffer);
	if (trail->pager == pager)
		trail->end = end;
}

static void poison(struct stoa_pager *pager, const struct filling *filling, int rc)
{
	uint64_t error = rc < -127 ? 127 : (uint64_t)-rc;

	pager_let_go(pager, filling->block, BLOCK_POISONED, WORD_ERROR, error << WORD_ERROR_SHIFT, filling->self);
}

/* The block was seen empty, or poisoned: fill it, and perhaps some that come next. 0: look again, if it is not done. */
static int fill(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, uint64_t seen, bool write,
		uint64_t self, bool *ret_done)
{
	struct filling filling = {.block = block, .count = 1, .seen = seen, .write = write, .to = to, .self = self};
	unsigned char *buffer;
	struct way way;
	bool written;
	int rc;

	if (!pager->backing)
		return error_set(-STOA_ECLOSED, "no process is left that has the pager's backing");
	if (!pager_claim(pager, block, seen, BLOCK_FILLING, self))
		return 0;
	rc = pager_frame_take(pager, block, self);
	buffer = rc ? NULL : pager_buffer_take(pager);
	if (!buffer) {
		pager_let_go(pager, block, word_state(seen), 0, 0, self);
		return rc ? rc : -STOA_ENOMEM;
	}
	way = follow_trail(pager, block);
	if (way.step == 1)
		claim_more(pager, &filling, way.run);
	trails[toucher % TRAILS].end += filling.count - 1;
	rc = make_bytes(pager, &filling, buffer);
	if (rc) {
		poison(pager, &filling, rc);
	} else {
		rc = put_there(pager, &filling, buffer, &written);
		if (rc) {
			take_back(pager, &filling);
		} else {
			rc = open_filled(pager, &filling);
			let_go_filled(pager, &filling, written);
			if (!rc) {
				pager_count(pager, PAGER_MISSES, 1);
				read_ahead(pager, &filling, way, buffer);
			}
		}
		*ret_done = !rc;
	}
	pager_buffer_give(pager, buffer);
	return rc;
}

/* ---- opening ---- */

/* The block was seen there: let this process write it. 0: look again, if it is not open. */
static int open_block(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, uint64_t seen,
		      uint64_t self, bool *ret_open)
{
	uint64_t heat = seen & WORD_HEAT ? 0 : UINT64_C(1) << WORD_HEAT_SHIFT;
	bool healed_open;
	int rc;

	if (MUTANT(OPENED_UNCLAIMED)) {
		*ret_open = cas_rlx(&pager->words[block], &seen, word_next(seen, BLOCK_DIRTY, 0));
		pager_dawdle(pager, block);
		return *ret_open ? pager_do(pager, to, PAGER_ALLOW, block << pager->shift, pager->block) : 0;
	}
	if (!pager_claim(pager, block, seen, BLOCK_OPENING, self))
		return 0;
	rc = pager_do(pager, to, PAGER_ALLOW, block << pager->shift, pager->block);
	/* Also where it failed: some of its pages may be open. */
	pager_let_go(pager, block, BLOCK_DIRTY, rc ? 0 : heal(pager, block, seen, self, &healed_open), heat, self);
	*ret_open = !rc;
	if (word_state(seen) == BLOCK_CLEAN)
		pager_count(pager, PAGER_OPENS, 1);
	return rc;
}

/* ---- showing, where touches are served ---- */

/* Its word says that it is there, but it is not: somebody took it away behind our back. It may be filled anew, if nothing was written to it. */
static int forget_lost(struct stoa_pager *pager, uint64_t block, uint64_t self)
{
	struct pager_batch one = {.count = 1, .of[0].block = block};
	int failed = pager_go_on(pager, block, BLOCK_EVICTING, self) ? pager_empty(pager, &one) : 0;

	pager_let_go(pager, block, failed ? BLOCK_LEFT : BLOCK_EMPTY, 0, 0, self);
	return 0;
}

/* Where it cannot be shown without being open for a moment, who dies in there leaves it so. */
static enum pager_state holding_shown(const struct stoa_pager *pager, uint64_t seen)
{
	return pager->writes || word_state(seen) == BLOCK_DIRTY ? BLOCK_OPENING : BLOCK_CHOOSING;
}

/* The block was seen there: have it in that map. 0: look again, if it is not done. */
static int show_block(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, uint64_t seen,
		      uint64_t self, bool *ret_done)
{
	bool dirty = word_state(seen) == BLOCK_DIRTY, open, healed_open = false;
	uint64_t heat = seen & WORD_HEAT ? 0 : UINT64_C(1) << WORD_HEAT_SHIFT, forgotten;
	int rc;

	if (!pager_claim(pager, block, seen, holding_shown(pager, seen), self))
		return 0;
	rc = pager_do(pager, to, PAGER_SHOW, block << pager->shift, pager->block);
	if (rc == -STOA_EFORMAT && !dirty)
		return forget_lost(pager, block, self);
	*ret_done = rc >= 0;
	forgotten = rc < 0 ? 0 : heal(pager, block, seen, self, &healed_open);
	open = dirty || healed_open || rc == OS_TRAP_WRITTEN;
	if (!dirty && open)
		pager_count(pager, PAGER_OPENS, 1);
	pager_let_go(pager, block, open ? BLOCK_DIRTY : BLOCK_CLEAN, forgotten, heat, self);
	return rc < 0 ? rc : 0;
}

/* ---- all together ---- */

static int poisoned(uint64_t block, uint64_t seen)
{
	int error = (int)(seen >> WORD_ERROR_SHIFT & 127);

	if (!error)
		return error_set(-STOA_EFORMAT, "block %" PRIu64 " is said to be poisoned by nothing", block);
	return error_set(-error, "block %" PRIu64 " could not be filled: %s", block, stoa_error_text(-error));
}

/* The block was seen there, so the touch needs no fill, whoever made one while it waited. 0: look again, if it is not done. */
static int use_block(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, uint64_t seen, bool write,
		     uint64_t self, bool *ret_done)
{
	int rc = 0;

	if (write)
		rc = open_block(pager, to, block, seen, self, ret_done);
	else if (pager->served)
		rc = show_block(pager, to, block, seen, self, ret_done);
	else
		*ret_done = true;
	if (*ret_done)
		pager_count(pager, PAGER_HITS, 1);
	return rc;
}

/* One step; *ret_done: it is as wanted. */
static int step(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, bool write, bool again,
		uint64_t self, bool *ret_done)
{
	uint64_t seen = load_acq(&pager->words[block]); /* A4: as A3; pairs with R3 in pager_let_go() (word.c) */
	int rc;

	if (word_is_busy(seen)) {
		rc = pager_wait(pager, block, seen, self);
		return rc == STOA_OWNER_DIED ? pager_repair(pager, block, seen, self) : rc;
	}
	switch (word_state(seen)) {
	case BLOCK_POISONED:
		if (!again)
			return poisoned(block, seen);
		return fill(pager, to, block, seen, write, self, ret_done);
	case BLOCK_EMPTY: return fill(pager, to, block, seen, write, self, ret_done);
	case BLOCK_CLEAN:
	case BLOCK_DIRTY: return use_block(pager, to, block, seen, write, self, ret_done);
	default: return pager_repair(pager, block, seen, self); /* what could not be taken away */
	}
}

int pager_resolve(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, bool write, bool again)
{
	bool done = false;
	uint64_t self = 0;
	int rc = pager_check_rank(pager);

	if (!rc && write && !pager->writes)
		rc = error_set(-STOA_ERIGHTS, "the pager's backing only reads");
	if (!rc)
		rc = pager_self(pager, &self);
	if (!rc)
		rc = pager_back_word(pager, block);
	if (!rc)
		rc = arm_block(pager, block);
	while (!rc && !done)
		rc = step(pager, to, block, write, again, self, &done);
	return rc;
}

/* ---- refusing, where touches are served ---- */

#define REFUSALS 1000 /* a hostile writer can make a compare-and-swap fail for ever */

static void mark(struct stoa_pager *pager, uint64_t block, uint64_t error)
{
	uint64_t seen = load_rlx(&pager->words[block]);

	for (unsigned i = 0; i < REFUSALS && !(seen & WORD_ERROR); i++)
		if (cas_rlx(&pager->words[block], &seen, seen | error))
			return;
}

/* Hold the block, to poison it in a map. False: look again. */
static bool claim_refused(struct stoa_pager *pager, uint64_t block, uint64_t seen, uint64_t error, uint64_t self)
{
	uint64_t next = word_next(seen, word_is_there(seen) ? holding_shown(pager, seen) : BLOCK_FILLING, self);

	/* The mark comes with the claim: who dies from here on leaves what a map may be poisoned by. */
	if (!(seen & WORD_ERROR))
		next |= error;
	return cas_seq(&pager->words[block], &seen,
		       next); /* A6: as pager_claim(); pairs with R3 in pager_let_go() (word.c) */
}

/* In that map. It is held, so it may be opened there, if that is what it takes. True: it was. */
static bool poison_held(struct stoa_pager *pager, const struct pager_target *to, uint64_t block)
{
	uint64_t offset = block << pager->shift;

	if (pager_do(pager, to, PAGER_POISON, offset, pager->block) != STOA_EXISTED ||
	    pager_do(pager, to, PAGER_OPEN, offset, pager->block))
		return false;
	(void)pager_do(pager, to, PAGER_POISON, offset, pager->block);
	return true;
}

static enum pager_state after_refusal(const struct stoa_pager *pager, uint64_t seen, bool opened)
{
	if (!word_is_there(seen))
		return BLOCK_POISONED;
	return opened && pager->writable ? BLOCK_DIRTY : word_state(seen);
}

/* It is somebody else's. If he waits for this very touch, or nobody knows whether it is there, it is poisoned all the same. */
static void refuse_unheld(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, uint64_t seen,
			  uint64_t error, bool waits)
{
	uint64_t offset = block << pager->shift;

	if (word_is_busy(seen) && !waits) {
		(void)pager_do(pager, to, PAGER_WAKE, offset, pager->block);
		return;
	}
	mark(pager, block, error);
	(void)pager_do(pager, to, PAGER_POISON, offset, pager->block);
	/* He may have healed it, and let go of it, in between. */
	mark(pager, block, error);
}

/*
 * The block is held while its place is poisoned: else whoever fills it could let it go, and another evict it, before the place is poisoned that he
 * should have shown. Who finds it held has the touch made again. models/pager_served.pml takes this, and the other safeguards, away.
 */
void pager_refuse(struct stoa_pager *pager, const struct pager_target *to, uint64_t block, int error)
{
	uint64_t self, seen = 0, bits = (error < -127 ? UINT64_C(127) : (uint64_t)-error) << WORD_ERROR_SHIFT;
	bool waits = error == -STOA_EDEADLOCK, held = false;

	if (pager_self(pager, &self) || pager_back_word(pager, block)) {
		(void)pager_do(pager, to, PAGER_POISON, block << pager->shift, pager->block);
		return;
	}
	for (unsigned i = 0; i < REFUSALS && !held; i++) {
		seen = load_acq(&pager->words[block]); /* A5: as A3; pairs with R3 in pager_let_go() (word.c) */
		if (word_is_busy(seen) || word_state(seen) == BLOCK_LEFT)
			break;
		held = claim_refused(pager, block, seen, bits, self);
	}
	if (held)
		pager_let_go(pager, block, after_refusal(pager, seen, poison_held(pager, to, block)), 0, 0, self);
	else
		refuse_unheld(pager, to, block, seen, bits, waits);
}
