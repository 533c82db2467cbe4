/* SPDX-License-Identifier: MIT */
/*
 * What senders and receivers have in common: taking a place, leaving it, waiting, and waking the other side. Uses sync, roster.
 *
 * Sleeping and waking. A sleeper notes its bell's value, sets its bit in its side's `waiting`, imposes a barrier on the threads of
 * all other processes, looks once more, and sleeps while its bell has that value. Who stores something that may be
 * waited for looks at the bits afterwards, with no fence of its own:
 *
 *   sleeper: sleeps_on = bell; set bit;  BARRIER on all;  look;  sleep while bell == sleeps_on
 *   waker:   store;  (compiler barrier)  bits? -> bell = sleeps_on + 1 by compare-and-swap, wake
 *
 * Of a store and a barrier one comes first in the waker's thread: either the sleeper's look sees what was stored, or the
 * waker's look sees the bit. Only one waker moves a bell from the value slept on; so one system call is made per sleep.
 *
 * A waker may die between storing and looking at the bits. So a sleeper sleeps on the lives of all ends of the other side, too, and
 * who joins there wakes it to do so. The kernel wakes one sleeper of a dead life; that one wakes the others. The relay
 * word covers the death of that one, as in every wait, and that of a waker who has moved a bell. A bell is two equal halves of a
 * word, moved at once: the low one is slept on, the high one compared after the relay was queued on.
 *
 * All that is slept on belongs to the other side: bell, lives, and the relay word of the segment whose roster has those lives, which its
 * wakers cover. So an end that can only read the other side's part sleeps as any other; but it cannot set the flag in a life word that
 * asks for a wake at its end. Where the parts are apart each end sets it in its own when it joins.
 */
#include <channel/channel.h>

#include <inttypes.h>

/* ---- places ---- */

static uint32_t places_of(const struct stoa_channel *channel, bool senders)
{
	return senders ? channel->plan.shape.senders : channel->plan.shape.receivers;
}

_Atomic uint64_t *channel_owner(const struct stoa_channel *channel, bool of_sender, uint32_t place)
{
	return of_sender ? &channel->lanes[place].owner : &channel->readers[place].owner;
}

static _Atomic uint32_t *joined_of(const struct stoa_channel *channel, bool of_sender, uint32_t place)
{
	return of_sender ? &channel->lanes[place].joined : &channel->readers[place].joined;
}

/* The same without a map, for which there may be no memory just now: nobody is dead for that. */
static bool lives_by_reading(const struct stoa_segment *segment, uint64_t owner)
{
	uint64_t slot = owner & ROSTER_SLOT_MASK, life = 0;

	return slot >= 1 && slot <= segment->roster_slots &&
	       os_life_read(segment->memory, slot * OS_PAGE + OS_LIFE_OFFSET, &life) == 0 && life & OS_LIFE_ID &&
	       !(life & OS_LIFE_DIED) && life >> 32 == owner >> 32;
}

bool channel_lives(const struct stoa_channel *channel, bool of_sender, uint64_t owner)
{
	struct roster_sight sight;
	int rc = roster_look(channel_segment(channel, of_sender), owner, false, &sight);

	/* Damaged: who cannot be shown to live is not waited for. */
	return rc < 0 ? lives_by_reading(channel_segment(channel, of_sender), owner) : rc == 1;
}

bool channel_peers_left(const struct channel_end *end)
{
	const struct stoa_channel *channel = end->channel;
	bool senders = !end->is_sender, any = false;

	for (uint32_t place = 0; place < places_of(channel, senders); place++) {
		uint64_t owner = load_acq(channel_owner(
			channel, senders, place)); /* A1: what it wrote; pairs with R1 in channel_end_leave() */

		if (owner && channel_lives(channel, senders, owner))
			return false;
		any |= load_rlx(joined_of(channel, senders, place)) != 0;
	}
	return any;
}

/* 1: the place is ours; 0: it is taken. */
static int take_place(struct channel_end *end, uint32_t place)
{
	_Atomic uint64_t *owner = channel_owner(end->channel, end->is_sender, place);
	uint64_t seen = load_rlx(owner);

	if (seen && channel_lives(end->channel, end->is_sender, seen))
		return 0;
	/* A2: what the last owner wrote, who may have died; pairs with R1 in channel_end_leave() */
	return cas_acq(owner, &seen, end->identity) ? 1 : 0;
}

const char *channel_end_noun(bool of_stream, bool is_sender)
{
	if (of_stream)
		return is_sender ? "writer" : "reader";
	return is_sender ? "sender" : "receiver";
}

int channel_refuse_end(bool of_stream, bool is_sender)
{
	static const char *const verbs[2][2] = {{"receive", "send"}, {"read", "write"}};

	return error_set(-STOA_ERIGHTS, "this handle is without the right to %s", verbs[of_stream][is_sender]);
}

#define PATIENCE 1000 /* who writes the same roster can make tries fail for ever */

/* Those of the other side may not be able to write into our roster that they want to know of our end: they always do. */
static void be_watched(struct stoa_segment *segment, uint64_t identity)
{
	struct roster_sight sight;

	for (unsigned tries = 0; tries < PATIENCE; tries++)
		if (roster_look(segment, identity, false, &sight) != 1 || roster_flag_waiters(&sight))
			return;
}

static int enrol(struct channel_end *end, struct stoa_channel *channel, bool is_sender)
{
	struct stoa_segment *segment = channel_segment(channel, is_sender);
	int rc;

	if (!segment->writable)
		return channel_refuse_end(channel_is_stream(channel), is_sender);
	rc = roster_enrol(segment, &end->identity);
	if (!rc && channel_is_apart(channel))
		be_watched(segment, end->identity);
	return rc;
}

static int end_item(const struct stoa_waitable *thing, struct item *ret_item);

int channel_end_join(struct channel_end *end, struct stoa_channel *channel, bool is_sender)
{
	uint32_t places = places_of(channel, is_sender), place = 0;
	int rc = enrol(end, channel, is_sender);

	if (rc)
		return rc;
	end->made_in = os_fork_generation();
	store_rlx(&wait_channel_item, end_item);
	end->channel = channel;
	end->is_sender = is_sender;
	while (place < places && !(rc = take_place(end, place)))
		place++;
	if (rc < 0)
		return rc;
	if (place == places)
		return error_set(-STOA_ELIMIT, "all %" PRIu32 " places for %ss are taken by the living", places,
				 channel_end_noun(channel_is_stream(channel), is_sender));
	end->place = place;
	end->own = is_sender ? channel->sending_bells : channel->receiving_bells;
	end->peers = is_sender ? channel->receiving_bells : channel->sending_bells;
	end->sleeps_on = is_sender ? &channel->lanes[place].sleeps_on : &channel->readers[place].sleeps_on;
	and_rlx(&end->own->waiting, ~(UINT64_C(1) << place)); /* the last owner's */
	end->fences = !os_barrier_join();
	if (!os_barrier_can_impose())
		store_rlx(&end->own->fences, 1);
	end->patience = 0;
	/* Who sleeps on the other side shall sleep on our life, too. Before that this end is as if it had never come. */
	if (!MUTANT(JOINED_UNTOLD))
		channel_ring_bells(end, channel_waiting(end));
	add_rlx(joined_of(channel, is_sender, place), 1);
	return 0;
}

void channel_end_observe(struct channel_end *end, struct stoa_channel *channel, struct channel_bells *silent)
{
	end->made_in = os_fork_generation();
	store_rlx(&wait_channel_item, end_item);
	end->channel = channel;
	end->observes = true;
	end->own = end->peers = silent;
}

void channel_end_leave(struct channel_end *end)
{
	uint64_t identity = end->identity, settled = identity;

	if (end->observes || channel_end_is_parents(end))
		return;
	if (!end->is_sender) /* whoever joins here next, this thread again perhaps, has not settled */
		(void)cas_rlx(&end->channel->readers[end->place].settled, &settled, 0);
	/* R1: everything this end wrote; pairs with A1 in channel_peers_left(), A2 in take_place(). Not if it is another's now. */
	if (cas_rel(channel_owner(end->channel, end->is_sender, end->place), &identity, 0))
		channel_ring_bells(end, channel_waiting(end));
}

int channel_end_check(const struct channel_end *end)
{
	uint64_t owner;

	if (channel_end_is_parents(end))
		return error_set(-STOA_ENOTOWNER,
				 "this end is the parent's; a forked child opens the channel and joins");
	if (end->observes)
		return 0;
	owner = load_rlx(channel_owner(end->channel, end->is_sender, end->place));
	if (owner != end->identity || !channel_lives(end->channel, end->is_sender, owner))
		return error_set(-STOA_ENOTOWNER, "this end is gone: the thread that joined has ended");
	return 0;
}

/* ---- waking ---- */

/* A bell that was rung `count` times. Both halves move at once; who sleeps on the low one compares the high one, too. */
static uint64_t bell_word(uint32_t count)
{
	return (uint64_t)count << 32 | count;
}

static _Atomic uint32_t *sleeps_on_of(const struct stoa_channel *channel, bool sender, uint32_t place)
{
	return sender ? &channel->lanes[place].sleeps_on : &channel->readers[place].sleeps_on;
}

static void count_wake(const struct channel_end *end)
{
	_Atomic uint64_t *wakes =
		end->is_sender ? &end->channel->lanes[end->place].wakes : &end->channel->readers[end->place].wakes;

	store_rlx(wakes, load_rlx(wakes) + 1);
}

CC_NOINLINE void channel_ring_bells(struct channel_end *end, uint64_t waiting)
{
	uint32_t places = places_of(end->channel, !end->is_sender);
	struct roster *roster;
	const void *before;

	if (!waiting || roster_attach(channel_segment(end->channel, end->is_sender), &roster))
		return;
	before = os_wake_cover(roster_relay(roster));
	for (uint32_t place = 0; place < places; place++) {
		uint32_t asleep = load_rlx(sleeps_on_of(end->channel, !end->is_sender, place));
		_Atomic uint64_t *bell = &end->own->bells[place];
		uint64_t silent = bell_word(asleep);

		if (!(waiting >> place & 1) || load_rlx(bell) != silent ||
		    !cas_rlx(bell, &silent, bell_word(asleep + 1)))
			continue;
		os_wake(os_low_half(bell));
		count_wake(end);
	}
	os_wake_uncover(before);
}

/* ---- sleeping ---- */

static uint64_t bit_of(const struct channel_end *end)
{
	return UINT64_C(1) << end->place;
}

static bool end_ready(void *owner, bool thorough)
{
	struct channel_end *end = owner;

	return end->ready(end, thorough);
}

static bool peers_left(void *owner, bool thorough)
{
	(void)thorough;
	return channel_peers_left(owner);
}

/* Is a receiver here, that has set its holds? Asked for a sender. */
static bool receivers_here(void *owner, bool thorough)
{
	const struct channel_end *end = owner;
	const struct stoa_channel *channel = end->channel;

	(void)thorough;
	for (uint32_t place = 0; place < places_of(channel, false); place++) {
		/* A3: pairs with R3 in set_up_receiver() */
		uint64_t settled = load_acq(&channel->readers[place].settled);

		if (settled && load_rlx(channel_owner(channel, false, place)) == settled &&
		    channel_lives(channel, false, settled))
			return true;
	}
	return false;
}

static struct stoa_segment *segment_of_peers(const struct channel_end *end)
{
	return channel_segment(end->channel, !end->is_sender);
}

/* Note those on the other side that live, whose ends the system will tell us. false: one changed meanwhile. */
static bool watch_peers(const struct channel_end *end, struct item *item)
{
	const struct stoa_channel *channel = end->channel;
	bool senders = !end->is_sender;

	for (uint32_t place = 0; place < places_of(channel, senders); place++) {
		uint64_t owner = load_rlx(channel_owner(channel, senders, place));
		struct roster_sight sight;

		if (!owner || roster_look(segment_of_peers(end), owner, false, &sight) != 1 || MUTANT(PEERS_UNWATCHED))
			continue;
		if (roster_flag_waiters(&sight))
			item->watched |= UINT64_C(1) << place;
		else if (sight.writable)
			return false;
		else
			item->looks_again = true; /* who joined as it should has the flag */
	}
	return true;
}

/*
 * Say that this end sleeps, and on which value of its bell. Two threads of this process may sleep as one end, its owner and a
 * watch: with the lock neither clears the bit of the other, nor notes an older value than the other sleeps on.
 */
static uint32_t set_bit(struct channel_end *end)
{
	uint32_t value;

	os_lock(&end->lock);
	value = (uint32_t)load_rlx(&end->peers->bells[end->place]);
	end->sleepers++;
	store_rlx(end->sleeps_on, value);
	or_seq(&end->own->waiting, bit_of(end)); /* R2: `sleeps_on`; pairs with A1 in channel_waiting() */
	os_unlock(&end->lock);
	return value;
}

static void clear_bit(struct channel_end *end)
{
	os_lock(&end->lock);
	if (!--end->sleepers)
		and_rlx(&end->own->waiting, ~bit_of(end));
	os_unlock(&end->lock);
}

/* Has any end ever been on the other side? */
static bool any_joined(const struct channel_end *end)
{
	for (uint32_t place = 0; place < places_of(end->channel, !end->is_sender); place++)
		if (load_rlx(joined_of(end->channel, !end->is_sender, place)))
			return true;
	return false;
}

/*
 * All looks come after the barrier: at who is there, since who joins then sees the bit; and at what was stored. If there is
 * nobody whose end the system will tell us, somebody may have come since, and gone again without a word.
 */
static bool source_arm(struct item *item, struct os_wait_word *word)
{
	struct channel_end *end = item->owner;

	item->watched = 0;
	item->looks_again = false;
	item->seen = set_bit(end);
	*word = (struct os_wait_word){os_low_half(&end->peers->bells[end->place]), (uint32_t)item->seen, OS_WORD_WOKEN};
	if (!os_barrier_impose())
		fence_seq(); /* F2: the bit, before what we look at; pairs with F1 in channel_waiting() */
	if (!watch_peers(end, item))
		return false;
	if (end->flags & STOA_UNTIL_PEERS_LEAVE && !item->watched && !item->looks_again && any_joined(end) &&
	    item->source->ready != receivers_here)
		return false;
	return !item->source->ready(end, true);
}

/*
 * The bell once more: who moved it and died before the relay was slept on has woken nobody, and nobody else moves it then. Who
 * has gone since it was looked at may have left something that we have not seen, or may not come to ring our bell: then
 * a value is given that differs, and the sleep ends at once.
 */
static unsigned source_after_relay(const struct item *item, struct os_wait_word *words, unsigned room)
{
	const struct channel_end *end = item->owner;
	const _Atomic uint32_t *bell = os_high_half(&end->peers->bells[end->place]);
	unsigned count = 0;

	if (room)
		words[count++] = (struct os_wait_word){bell, (uint32_t)item->seen, OS_WORD_COMPARED};
	for (uint32_t place = 0; place < STOA_ENDS_MAX && count + 2 <= room; place++) {
		struct roster_sight sight;
		uint64_t owner;

		if (!(item->watched >> place & 1))
			continue;
		owner = load_rlx(channel_owner(end->channel, !end->is_sender, place));
		if (!owner || roster_look(segment_of_peers(end), owner, false, &sight) != 1) {
			words[0].value = ~load_rlx(bell);
			break;
		}
		words[count++] = (struct os_wait_word){os_low_half(sight.life), (uint32_t)sight.seen | OS_LIFE_WAITERS,
						       OS_WORD_LIFE};
		words[count++] =
			(struct os_wait_word){os_high_half(sight.life), (uint32_t)(owner >> 32), OS_WORD_COMPARED};
	}
	return count;
}

/* One sleeper was told of a death: the others sleep on that life, too. */
static void source_woke(struct item *item)
{
	struct channel_end *end = item->owner;

	clear_bit(end);
	for (uint32_t place = 0; place < STOA_ENDS_MAX; place++) {
		struct roster_sight sight;
		uint64_t owner = 0;

		if (item->watched >> place & 1)
			owner = load_rlx(channel_owner(end->channel, !end->is_sender, place));
		if (owner && roster_look(segment_of_peers(end), owner, false, &sight) == 0)
			os_wake(os_low_half(sight.life));
	}
}

static const struct item_source end_source = {end_ready, source_arm, source_after_relay, source_woke};
static const struct item_source peers_source = {peers_left, source_arm, source_after_relay, source_woke};
static const struct item_source here_source = {receivers_here, source_arm, source_after_relay, source_woke};

/* Ends as things in a wait set. */
static int end_item(const struct stoa_waitable *thing, struct item *ret_item)
{
	struct channel_end *end = thing->object;
	bool of_stream = thing->kind == STOA_WAIT_READER || thing->kind == STOA_WAIT_WRITER;
	bool of_peers = thing->kind == STOA_WAIT_NO_SENDERS || thing->kind == STOA_WAIT_NO_RECEIVERS;
	bool is_sender = thing->kind == STOA_WAIT_SENDER || thing->kind == STOA_WAIT_NO_RECEIVERS ||
			 thing->kind == STOA_WAIT_RECEIVERS || thing->kind == STOA_WAIT_WRITER;

	if (end->is_sender != is_sender || channel_is_stream(end->channel) != of_stream)
		return error_set(-STOA_EINVAL, "kind %" PRIu32 " of waitable is for a %s, which this is not",
				 thing->kind, channel_end_noun(of_stream, is_sender));
	if (end->observes)
		return error_set(-STOA_EINVAL, "an observer is woken by nobody: it cannot be waited for beside others");
	if (channel_end_is_parents(end))
		return channel_end_check(end);
	if (thing->kind == STOA_WAIT_RECEIVERS)
		return item_init_source(ret_item, segment_of_peers(end), &here_source, end);
	return item_init_source(ret_item, segment_of_peers(end), of_peers ? &peers_source : &end_source, end);
}

/* ---- waiting ---- */

#define LOOKS_MAX 1200 /* of about 25 ns: longer than an idle processor takes to wake */
#define LOOKS_PROBE 256

/* Look for a while. It is long as long as it succeeds, fades to nothing where it fails, and is tried again now and then. */
static bool look_patiently(struct channel_end *end)
{
	unsigned limit = end->waits++ % LOOKS_PROBE ? end->patience : LOOKS_MAX;

	for (unsigned i = 0; i < limit; i++) {
		if (end->ready(end, false)) {
			end->patience = LOOKS_MAX;
			return true;
		}
		cc_pause();
	}
	end->patience = end->patience > 16 ? end->patience - end->patience / 8 : 0;
	return false;
}

#define SPIN_ROUND 1024 /* looks between two at who is alive */
#define SPIN_CLOCK 64   /* and at the clock */

static int spin(struct channel_end *end, uint64_t deadline)
{
	for (;;) {
		for (unsigned i = 0; i < SPIN_ROUND; i++) {
			if (end->ready(end, !i))
				return 0;
			if (i % SPIN_CLOCK == SPIN_CLOCK - 1 && deadline != STOA_FOREVER && os_now() >= deadline)
				return STOA_TIMED_OUT;
			channel_pause(i);
		}
		if (end->flags & STOA_UNTIL_PEERS_LEAVE && channel_peers_left(end))
			return end->ready(end, true) ? 0 : STOA_CLOSED;
	}
}

static void count_sleep(const struct channel_end *end)
{
	_Atomic uint64_t *sleeps =
		end->is_sender ? &end->channel->lanes[end->place].sleeps : &end->channel->readers[end->place].sleeps;

	store_rlx(sleeps, load_rlx(sleeps) + 1);
}

static int sleep_until_ready(struct channel_end *end, uint64_t deadline)
{
	struct wait_frame frame = {.slept = false};
	struct item item;
	int rc, woken = OS_WAIT_CHANGED;

	rc = item_init_source(&item, segment_of_peers(end), &end_source, end);
	while (!rc) {
		if (end->ready(end, true)) {
			wait_count_rescue(woken);
			break;
		}
		if (end->flags & STOA_UNTIL_PEERS_LEAVE && channel_peers_left(end)) {
			rc = end->ready(end, true) ? 0 : STOA_CLOSED;
			wait_count_rescue(woken);
		} else if (deadline != STOA_FOREVER && os_now() >= deadline)
			rc = STOA_TIMED_OUT;
		if (rc)
			break;
		count_sleep(end);
		woken = wait_sleep(&frame, &item, 1, NULL, deadline);
	}
	wait_end(&frame, &item, 1);
	return rc;
}

#define NAP_MIN UINT64_C(50000)
#define NAP_MAX UINT64_C(2000000)

/* Nobody knows that it waits, so nobody wakes it. */
static int look_now_and_then(struct channel_end *end, uint64_t deadline)
{
	_Atomic uint32_t nothing = 0;

	for (uint64_t nap = NAP_MIN;; nap = 2 * nap < NAP_MAX ? 2 * nap : NAP_MAX) {
		uint64_t now = os_now(), until = deadline - now < nap ? deadline : now + nap;

		if (end->ready(end, true))
			return 0;
		if (end->flags & STOA_UNTIL_PEERS_LEAVE && channel_peers_left(end))
			return end->ready(end, true) ? 0 : STOA_CLOSED;
		if (now >= deadline)
			return STOA_TIMED_OUT;
		os_wait(&(struct os_wait_word){&nothing, 0, OS_WORD_WOKEN}, 1, until);
	}
}

bool channel_too_late(uint64_t deadline)
{
	return deadline == STOA_TRY || (deadline != STOA_FOREVER && os_now() >= deadline);
}

int channel_end_wait(struct channel_end *end, uint64_t deadline)
{
	int rc;

	if (deadline == STOA_TRY) {
		if (end->flags & STOA_UNTIL_PEERS_LEAVE && channel_peers_left(end))
			return end->ready(end, true) ? 0 : STOA_CLOSED;
		return STOA_TIMED_OUT;
	}
	rc = channel_end_check(end);
	if (rc)
		return rc;
	if (end->waiting == STOA_SPIN)
		return spin(end, deadline);
	if (end->observes)
		return look_now_and_then(end, deadline);
	if (end->waiting == STOA_BALANCED && look_patiently(end))
		return 0;
	return sleep_until_ready(end, deadline);
}
