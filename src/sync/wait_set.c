/* SPDX-License-Identifier: MIT */
/*
 * The sleep that all waits share, and the any-of wait. Uses roster.
 *
 * A waiter spins, then sleeps on the words of everything it waits for and on the relay word of each segment among them. While it
 * may hold somebody's wake, its own death is covered by the first segment's relay word: the kernel then wakes another sleeper
 * of that segment, who wakes all of them to look again. One word can be covered at a time; waits across several
 * segments look again every quarter of a second as well, which is all they lose.
 */
#include <base/counters.h>
#include <sync/wait_set.h>

#include <inttypes.h>

#define RECHECK_NANOSECONDS UINT64_C(250000000)

/* ---- spinning ---- */

#define SPIN_MAX 120 /* pauses: a few microseconds */
#define SPIN_MIN 4

/* Adapts per thread: near twice what the last successful spins took, shrinking with each that failed. */
static CC_THREAD unsigned spin_limit = SPIN_MAX;
static _Atomic unsigned processors;

static void spin(const struct item *items, unsigned count)
{
	unsigned limit = spin_limit;

	if (!load_rlx(&processors))
		store_rlx(&processors, os_cpu_count());
	if (load_rlx(&processors) == 1)
		return;
	for (unsigned turn = 0; turn < limit; turn++) {
		cc_pause();
		for (unsigned i = 0; i < count; i++) {
			if (!item_looks_free(&items[i]))
				continue;
			spin_limit = (limit * 7 + turn * 2 + SPIN_MIN) / 8;
			if (spin_limit > SPIN_MAX)
				spin_limit = SPIN_MAX;
			return;
		}
	}
	spin_limit = limit - limit / 8 > SPIN_MIN ? limit - limit / 8 : SPIN_MIN;
}

/* ---- sleeping ---- */

struct sleep {
	struct os_wait_word words[OS_WAIT_WORDS_MAX];
	unsigned relays; /* words[0 .. relays) are relay words */
	unsigned count;
};
_Static_assert(STOA_WAIT_MAX *(ITEM_WORDS + 1) <= OS_WAIT_WORDS_MAX, "every item fits, with a relay word each");

/*
 * Relay words come first: the system queues word by word. Were a relay queued after an object, a setter could die in
 * between, its death wake nobody on the relay, and we sleep on a word that it changed and never woke.
 */
static void add_relays(struct sleep *sleep, const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const _Atomic uint32_t *relay = items[i].roster ? roster_relay(items[i].roster) : NULL;

		for (unsigned k = 0; relay && k < sleep->count; k++)
			if (sleep->words[k].word == relay)
				relay = NULL;
		if (relay)
			sleep->words[sleep->count++] = (struct os_wait_word){relay, load_rlx(relay)};
	}
	sleep->relays = sleep->count;
}

/* false: something changed meanwhile. */
static bool arm(struct sleep *sleep, struct item *items, unsigned count, const struct os_wait_word *extra)
{
	add_relays(sleep, items, count);
	for (unsigned i = 0; i < count; i++) {
		unsigned words = item_arm(&items[i], sleep->words + sleep->count);

		if (!words)
			return false;
		sleep->count += words;
	}
	if (extra)
		sleep->words[sleep->count++] = *extra;
	return true;
}

static void cover(struct wait_frame *frame, const struct item *items, unsigned count)
{
	for (unsigned i = 0; i < count && !frame->covering; i++) {
		if (!items[i].roster)
			continue;
		frame->covered_before = os_wake_cover(roster_relay(items[i].roster));
		frame->covering = true;
	}
}

int wait_sleep(struct wait_frame *frame, struct item *items, unsigned count, const struct os_wait_word *extra,
	       uint64_t deadline)
{
	struct sleep sleep = {.count = 0};
	uint64_t until = deadline;
	int woken;

	cover(frame, items, count);
	if (!arm(&sleep, items, count, extra))
		return OS_WAIT_CHANGED;
	if (sleep.relays > 1 || !os_capabilities()->relays_wakes) {
		uint64_t soon = os_now() + RECHECK_NANOSECONDS;

		until = soon < deadline ? soon : deadline;
	}
	frame->slept = true;
	woken = os_wait(sleep.words, sleep.count, until);
	if (woken >= 0 && (unsigned)woken < sleep.relays)
		os_wake(sleep.words[woken].word); /* somebody died: everybody in that segment looks again */
	for (unsigned i = 0; i < count; i++)
		item_pass_on_death(&items[i]);
	if (woken == OS_WAIT_TIMED_OUT && until != deadline)
		return WAIT_RECHECK;
	return woken;
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
			if (woken == WAIT_RECHECK)
				counters_add(COUNTER_RESCUES);
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

int wait_item(const struct stoa_waitable *thing, bool peek, struct item *ret_item)
{
	_Atomic uint64_t *word;
	int rc;

	if (!thing->object)
		return error_set(-STOA_EINVAL, "a waitable has no object");
	switch (thing->kind) {
	case STOA_WAIT_MUTEX:
		rc = object_check(thing->segment, thing->object, OBJECT_MUTEX, STOA_RIGHT_WAIT);
		return rc ? rc : item_init(ret_item, thing->segment, thing->object, ITEM_MUTEX, peek);
	case STOA_WAIT_EVENT: return signal_item(thing, OBJECT_EVENT_AUTO, peek, ret_item);
	case STOA_WAIT_SEMAPHORE: return signal_item(thing, OBJECT_SEMAPHORE, peek, ret_item);
	case STOA_WAIT_PROCESS:
		rc = process_latch(thing->object, &word);
		if (rc)
			return rc;
		break;
	case STOA_WAIT_PREFETCH: word = segment_prefetch_word(thing->object); break;
	default: return error_set(-STOA_EINVAL, "%" PRIu32 " is not a kind of waitable", thing->kind);
	}
	item_init_latch(ret_item, word);
	return 0;
}

int stoa_wait_any(const struct stoa_waitable *set, size_t count, uint64_t deadline, size_t *ret_index)
{
	struct item items[STOA_WAIT_MAX];

	if (!set || !count || count > STOA_WAIT_MAX)
		return error_set(-STOA_EINVAL, "a wait set has 1 to %d things, not %zu", STOA_WAIT_MAX, count);
	for (size_t i = 0; i < count; i++) {
		int rc = wait_item(&set[i], false, &items[i]);

		if (rc)
			return rc;
		for (size_t k = 0; k < i; k++)
			if (items[k].word == items[i].word)
				return error_set(-STOA_EINVAL, "things %zu and %zu of the wait set are the same", k, i);
	}
	return wait_for_any(items, (unsigned)count, deadline, ret_index);
}

void stoa_wait_stat(struct stoa_wait_stat *ret_stat)
{
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
