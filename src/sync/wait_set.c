/* SPDX-License-Identifier: MIT */
/*
 * The sleep that all waits share, and the any-of wait. Uses roster.
 *
 * A waiter spins, then sleeps on the words of everything it waits for and on its segment's relay word. While it may hold
 * somebody's wake, its own death is covered by that word: the kernel then wakes another sleeper of the segment, who wakes all
 * of them to look again. One word can be covered at a time, so a wait across several segments is covered in the first; in the
 * others it sleeps on the objects alone, whose wakes go to all, and looks for dead owners every quarter of a second; so does
 * every wait where the system does not relay.
 */
#include <base/counters.h>
#include <base/mutant.h>
#include <sync/wait_set.h>

#include <inttypes.h>

#define RECHECK_NANOSECONDS UINT64_C(250000000)

/* ---- spinning ---- */

/*
 * Counted in pauses of the processor, about 25 ns each. A processor that idles takes 10 to 20 us to wake, so two threads that
 * answer each other at once would sleep at every turn unless each spins for longer than that. Spinning is long while it
 * succeeds, fades to nothing where it fails, and is tried again at every SPIN_PROBE-th wait.
 *
 * For a signal it looks all the time. Each look at a mutex takes the cache line from a holder who is about to write it: the
 * looks are rare, and rarer the longer it takes.
 */
#define SPIN_SIGNAL 1200
#define SPIN_MUTEX 600
#define SPIN_MUTEX_STEP 32 /* before the first look; doubles up to */
#define SPIN_MUTEX_STEP_MAX 64
#define SPIN_PROBE 256

struct patience {
	unsigned limit;
	unsigned waits;
};
static CC_THREAD struct patience for_signals = {SPIN_SIGNAL, 0};
static CC_THREAD struct patience for_mutexes = {SPIN_MUTEX, 0};
static _Atomic unsigned processors;

static bool any_looks_free(const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (item_looks_free(&items[i]))
			return true;
	return false;
}

/* `most` pauses at most, `step` before the first look. */
static void spin_patiently(const struct item *items, unsigned count, struct patience *patience, unsigned most,
			   unsigned step)
{
	unsigned limit = ++patience->waits % SPIN_PROBE ? patience->limit : most;

	for (unsigned done = 0; done < limit; done += step) {
		if (done && step > 1 && step < SPIN_MUTEX_STEP_MAX)
			step *= 2;
		for (unsigned i = 0; i < step; i++)
			cc_pause();
		if (any_looks_free(items, count)) {
			patience->limit = most;
			return;
		}
	}
	patience->limit = patience->limit > 16 ? patience->limit - patience->limit / 8 : 0;
}

static void spin(const struct item *items, unsigned count)
{
	if (!load_rlx(&processors))
		store_rlx(&processors, os_cpu_count());
	if (load_rlx(&processors) == 1)
		return;
	if (count == 1 && items[0].kind == ITEM_MUTEX)
		spin_patiently(items, count, &for_mutexes, SPIN_MUTEX, SPIN_MUTEX_STEP);
	else
		spin_patiently(items, count, &for_signals, SPIN_SIGNAL, 1);
}

/* ---- sleeping ---- */

struct sleep {
	struct os_wait_word words[OS_WAIT_WORDS_MAX];
	unsigned count;
	unsigned relay;            /* the place of the relay word; `count` when there is none */
	const struct roster *home; /* of the segment whose relay covers us */
	bool spans; /* some item is of another segment, or had not words enough: nobody tells of all its deaths */
};
_Static_assert(STOA_WAIT_MAX *ITEM_WORDS + 2 <= OS_WAIT_WORDS_MAX, "every item fits, with a relay and an extra word");

/* The segment whose relay word covers this wait: that of the first item in one. */
static const struct roster *home_of(const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (items[i].roster)
			return items[i].roster;
	return NULL;
}

/*
 * Objects, the relay, then what must be compared after the relay. The system queues word by word, and of several words that
 * were woken it reports the last. So:
 * - objects come before the relay, else their own wakes could hide the relay's, which is meant for somebody else;
 * - a setter that posts and dies after we were queued on its object and before we are on the relay wakes nobody: the high half
 *   of a signal word, compared after, tells that it posted. Likewise an owner that dies: its life word is compared after;
 * - a life word's wake may hide the relay's. Deaths are rare: it counts as the relay's.
 * Life words and relays wake one sleeper, who must not take that wake to its grave; so nobody sleeps on those of a segment
 * whose relay does not cover it. models/ shows that each of these loses a wake-up when done otherwise.
 *
 * false: something changed meanwhile.
 */
static bool arm(struct sleep *sleep, struct item *items, unsigned count, const struct os_wait_word *extra)
{
	for (unsigned i = 0; i < count; i++) {
		if (!item_arm(&items[i], &sleep->words[sleep->count++]))
			return false;
		sleep->spans |= items[i].roster && items[i].roster != sleep->home;
	}
	if (extra)
		sleep->words[sleep->count++] = *extra;
	sleep->relay = sleep->count;
	if (sleep->home && !MUTANT(NO_RELAY_SLEEP)) {
		const _Atomic uint32_t *relay = roster_relay(sleep->home);

		sleep->words[sleep->count++] = (struct os_wait_word){relay, load_rlx(relay), OS_WORD_WOKEN};
	}
	for (unsigned i = 0; i < count; i++) {
		/* Objects need at most two each; what is left is for whoever wants more. */
		unsigned others = 2 * (count - 1 - i), left = OS_WAIT_WORDS_MAX - sleep->count, used;

		left = left > others ? left - others : 0;
		if (!items[i].roster || items[i].roster != sleep->home)
			continue;
		used = item_arm_after_relay(&items[i], sleep->words + sleep->count, left);
		sleep->count += used;
		sleep->spans |= items[i].kind == ITEM_SOURCE && (used + 2 > left || items[i].looks_again);
	}
	return true;
}

int wait_sleep(struct wait_frame *frame, struct item *items, unsigned count, const struct os_wait_word *extra,
	       uint64_t deadline)
{
	struct sleep sleep; /* 2 KiB, of which few words are used: not cleared */
	uint64_t until = deadline;
	int woken;

	sleep.count = 0;
	sleep.home = home_of(items, count);
	sleep.spans = false;
	if (sleep.home && !frame->covering) {
		frame->covered_before = os_wake_cover(roster_relay(sleep.home));
		frame->covering = true;
	}
	if (!arm(&sleep, items, count, extra)) {
		for (unsigned i = 0; i < count; i++)
			item_pass_on_death(&items[i]);
		return OS_WAIT_CHANGED;
	}
	if ((sleep.spans || !os_capabilities()->relays_wakes) && !MUTANT(NO_RECHECK)) {
		uint64_t soon = os_now() + RECHECK_NANOSECONDS;

		until = soon < deadline ? soon : deadline;
	}
	frame->slept = true;
	woken = os_wait(sleep.words, sleep.count, until);
	/* Somebody died who may have left wakes undone: everybody in the segment looks again. */
	if (sleep.home && woken >= (int)sleep.relay && !MUTANT(NO_RELAY_SLEEP))
		os_wake(sleep.words[sleep.relay].word);
	for (unsigned i = 0; i < count; i++)
		item_pass_on_death(&items[i]);
	if (woken == OS_WAIT_TIMED_OUT && until != deadline)
		return WAIT_RECHECK;
	return woken;
}

void wait_count_rescue(int woken)
{
	if (woken == WAIT_RECHECK)
		counters_add(COUNTER_RESCUES);
}

void wait_end(struct wait_frame *frame, struct item *items, unsigned count)
{
	for (unsigned i = 0; frame->slept && i < count; i++)
		item_pass_on_signal(&items[i]);
	if (frame->covering)
		os_wake_uncover(frame->covered_before);
	frame->covering = false;
}

/* ---- any of ---- */

static int try_each(struct item *items, unsigned count, size_t *ret_index)
{
	for (unsigned i = 0; i < count; i++) {
		int rc = item_try(&items[i]);

		if (rc == ITEM_BUSY)
			continue;
		if (rc >= 0 && ret_index)
			*ret_index = i;
		return rc;
	}
	return ITEM_BUSY;
}

int wait_for_any(struct item *items, unsigned count, uint64_t deadline, size_t *ret_index)
{
	struct wait_frame frame = {.slept = false};
	int rc = try_each(items, count, ret_index), woken = OS_WAIT_CHANGED;

	if (rc != ITEM_BUSY)
		return rc;
	if (deadline == STOA_TRY)
		return STOA_TIMED_OUT;
	spin(items, count);
	for (;;) {
		rc = try_each(items, count, ret_index);
		if (rc != ITEM_BUSY) {
			wait_count_rescue(woken);
			break;
		}
		if (deadline != STOA_FOREVER && os_now() >= deadline) {
			rc = STOA_TIMED_OUT;
			break;
		}
		woken = wait_sleep(&frame, items, count, NULL, deadline);
	}
	wait_end(&frame, items, count);
	return rc;
}

/* ---- the public sets ---- */

static int signal_item(const struct stoa_waitable *thing, uint32_t kind, bool peek, struct item *ret_item)
{
	int rc = object_check(thing->segment, thing->object, kind, STOA_RIGHT_WAIT);
	struct object *object = thing->object;

	if (rc)
		return rc;
	return item_init(ret_item, thing->segment, object,
			 load_rlx(&object->kind) == OBJECT_EVENT_MANUAL ? ITEM_LATCH : ITEM_SIGNAL, peek);
}

_Atomic(int (*)(const struct stoa_waitable *thing, struct item *ret_item)) wait_channel_item;

static int channel_item(const struct stoa_waitable *thing, struct item *ret_item)
{
	int (*item)(const struct stoa_waitable *thing, struct item *ret_item) = load_rlx(&wait_channel_item);

	if (!item)
		return error_set(-STOA_EINVAL, "no channel has ends in this process");
	return item(thing, ret_item);
}

int wait_item(const struct stoa_waitable *thing, bool peek, struct item *ret_item)
{
	_Atomic uint64_t *word;
	int rc;

	if (!thing->object)
		return error_set(-STOA_EINVAL, "the waitable has no object");
	if (thing->reserved)
		return error_set(-STOA_EINVAL, "the waitable's 'reserved' is %" PRIu32 ", not 0", thing->reserved);
	if (thing->segment && thing->kind >= STOA_WAIT_PROCESS)
		return error_set(-STOA_EINVAL,
				 "processes, prefetches and ends of channels lie in no segment: it must be NULL");
	switch (thing->kind) {
	case STOA_WAIT_MUTEX:
		rc = object_check(thing->segment, thing->object, OBJECT_MUTEX, STOA_RIGHT_WAIT);
		if (!rc)
			rc = item_init(ret_item, thing->segment, thing->object, ITEM_MUTEX, peek);
		/* Before anything is taken: whether it would be found depends on what else is in the set. */
		return rc || peek ? rc : mutex_check_not_held(ret_item);
	case STOA_WAIT_EVENT: return signal_item(thing, OBJECT_EVENT_AUTO, peek, ret_item);
	case STOA_WAIT_SEMAPHORE: return signal_item(thing, OBJECT_SEMAPHORE, peek, ret_item);
	case STOA_WAIT_PROCESS:
		rc = process_latch(thing->object, &word);
		if (rc)
			return rc;
		break;
	case STOA_WAIT_PREFETCH: word = segment_prefetch_word(thing->object); break;
	case STOA_WAIT_RECEIVER:
	case STOA_WAIT_SENDER:
	case STOA_WAIT_NO_SENDERS:
	case STOA_WAIT_NO_RECEIVERS:
	case STOA_WAIT_RECEIVERS:
	case STOA_WAIT_READER:
	case STOA_WAIT_WRITER: return channel_item(thing, ret_item);
	default: return error_set(-STOA_EINVAL, "%" PRIu32 " is not a kind of waitable", thing->kind);
	}
	item_init_latch(ret_item, word);
	return 0;
}

int wait_check_set(const struct stoa_waitable *set, size_t count)
{
	if (!set)
		return error_set(-STOA_EINVAL, "no wait set was given");
	if (!count || count > STOA_WAIT_MAX)
		return error_set(-STOA_EINVAL, "a wait set has 1 to %d things, not %zu", STOA_WAIT_MAX, count);
	return 0;
}

int stoa_wait_any(const struct stoa_waitable *set, size_t count, uint64_t deadline, size_t *ret_index)
{
	struct item items[STOA_WAIT_MAX];

	int rc = wait_check_set(set, count);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		rc = wait_item(&set[i], false, &items[i]);
		if (rc)
			return error_prefix(rc, "thing %zu of the wait set", i);
		for (size_t k = 0; k < i; k++)
			if (!item_compare(&items[k], &items[i]))
				return error_set(-STOA_EINVAL, "things %zu and %zu of the wait set are the same", k, i);
	}
	return wait_for_any(items, (unsigned)count, deadline, ret_index);
}

void stoa_wait_stat(struct stoa_wait_stat *ret_stat)
{
	if (!ret_stat)
		return;
	*ret_stat = (struct stoa_wait_stat){
		.sleeps = load_rlx(&counters[COUNTER_SLEEPS]),
		.wakes = load_rlx(&counters[COUNTER_WAKES]),
		.owner_deaths = load_rlx(&counters[COUNTER_OWNER_DEATHS]),
		.claims_undone = load_rlx(&counters[COUNTER_CLAIMS_UNDONE]),
		.rescues = load_rlx(&counters[COUNTER_RESCUES]),
		.enrolments = load_rlx(&counters[COUNTER_ENROLMENTS]),
	};
}

uint64_t stoa_now(void)
{
	return os_now();
}

uint64_t stoa_deadline_in(uint64_t nanoseconds)
{
	uint64_t now = os_now();

	return nanoseconds < STOA_FOREVER - now ? now + nanoseconds : STOA_FOREVER;
}
