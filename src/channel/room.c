/* SPDX-License-Identifier: MIT */
/*
 * How far a sender may write, and waiting for more. Uses sync and all below it.
 *
 * `limit` is how far this sender may write: a ring's size beyond the lowest position that somebody may still read. It is
 * computed anew, from the receivers' words, only when it is reached. In a broadcast it moves the lane's floor: the floor is
 * raised first, then the holds are looked at again (a receiver that joins sets its hold, then looks at the floor; so one of
 * the two sees the other), and only then is overwritten. A reader that may be overtaken looks at the floor after it
 * has read.
 */
#include <channel/sender.h>

/* Does reader `place` hold something that must not be overwritten? Then *least is lowered to it. */
static void regard_reader(const struct stoa_sender *sender, uint32_t place, bool ask_life, uint64_t *least)
{
	const struct stoa_channel *channel = sender->end.channel;
	const struct channel_reader *reader = &channel->readers[place];
	uint64_t owner = load_rlx(&reader->owner);
	/* A1: what it read; pairs with R1 in advance_hold(), R6 in stoa_receiver_release() */
	uint64_t hold = whole_position(load_acq(channel_hold(channel, place, sender->end.place)));

	/* A hold before the floor protects nothing: its owner is still joining, or died, or lies. */
	if (!owner || hold >= *least || hold < load_rlx(&sender->floor))
		return;
	if (sender->shape.kind == STOA_BROADCAST && load_rlx(&reader->when_slow) != STOA_BLOCK)
		return;
	if (ask_life && !channel_lives(channel, false, owner))
		return;
	*least = hold;
}

/* The lowest position that a receiver may still read, or will receive: at most a ring's size beyond the floor. */
static uint64_t lowest_held(const struct stoa_sender *sender, bool ask_life)
{
	const struct stoa_channel *channel = sender->end.channel;
	/* Nobody can have read more than was published; the tail may lack the rest of a lap that was skipped. */
	uint64_t least = whole_position(load_rlx(&sender->lane->tail)), head, floor = load_rlx(&sender->floor);

	if (least - floor > sender->shape.ring) /* overwritten by somebody else */
		least = floor;
	if (sender->shape.kind == STOA_QUEUE) {
		/* A2: before the holds: who moved the head past a record held it already; pairs with R2 in claim_record() */
		head = whole_position(load_acq(channel_head(channel, sender->end.place)));
		if (head < least && head >= floor)
			least = head;
	}
	for (uint32_t place = 0; place < sender->shape.receivers; place++)
		regard_reader(sender, place, ask_life, &least);
	return least;
}

/* The begin of the first record at or behind `wanted`, if that is not behind `most`; else of the last at or before `most`. */
static uint64_t walk(const struct stoa_sender *sender, uint64_t from, uint64_t wanted, uint64_t most)
{
	while (from < wanted) {
		uint64_t word = load_rlx(&sender_record(sender, from)->word), size = 0;

		if (word >> 32 == record_tag(from))
			size = record_valid(&sender->form, from, word);
		if (!size ||
		    !word) /* overwritten by somebody else: what is left of it cannot be received in any case */
			return most;
		if (from + size > most)
			break;
		from += size;
	}
	return from;
}

/* Raise the floor of a broadcast to `wanted`. */
static uint64_t raise_floor(struct stoa_sender *sender, uint64_t wanted, uint64_t least, bool ask_life)
{
	uint64_t floor = load_rlx(&sender->floor), raised = walk(sender, floor, wanted, least);

	store_rlx(&sender->lane->floor, raised);
	fence_seq(); /* F1: the floor, before the holds are looked at again; pairs with F2 in begin_broadcast() */
	least = lowest_held(sender, ask_life);
	if (least < raised && !MUTANT(HOLDS_SEEN_ONCE)) {
		raised = walk(sender, floor, least, least);
		store_rlx(&sender->lane->floor, raised);
	}
	store_rlx(&sender->lane->given_up, raised);
	fence_rel(); /* F3: both, the floor before what it gives up is overwritten; pairs with F4 in overrun() */
	return raised;
}

bool sender_find_room(struct stoa_sender *sender, uint64_t needs, uint64_t more, bool ask_life)
{
	uint64_t least = lowest_held(sender, ask_life), used;

	if (sender->shape.kind == STOA_BROADCAST)
		least = raise_floor(sender, needs - sender->shape.ring + more, least, ask_life);
	store_rlx(&sender->floor, least);
	sender->limit = least + sender->shape.ring;
	used = sender->position > least ? sender->position - least : 0;
	if (used > load_rlx(&sender->lane->most))
		store_rlx(&sender->lane->most, used);
	return needs <= sender->limit;
}

/* How far the floor could be raised, if that is as far as is needed; for a broadcast the begin of a record. */
static bool could_have_room(const struct stoa_sender *sender, bool ask_life)
{
	uint64_t needs = load_rlx(&sender->needs), floor = load_rlx(&sender->floor), ring = sender->shape.ring, least;

	if (needs <= floor + ring)
		return true;
	least = lowest_held(sender, ask_life);
	if (sender->shape.kind == STOA_BROADCAST)
		least = walk(sender, floor, needs - ring, least);
	return least + ring >= needs;
}

/* Also asked by a thread that watches this end through a descriptor: nothing is changed. */
bool sender_has_room(void *end, bool thorough)
{
	return could_have_room(end, false) || (thorough && could_have_room(end, true));
}

CC_NOINLINE int sender_wait_for_room(struct stoa_sender *sender, uint64_t needs, uint64_t more, uint64_t deadline)
{
	int rc = channel_end_check(&sender->end);
	bool again = false;

	store_rlx(&sender->needs, needs);
	store_rlx(&sender->lane->wants, needs - sender->shape.ring);
	while (!rc && !sender_find_room(sender, needs, more, false) && !sender_find_room(sender, needs, more, true)) {
		rc = again && channel_too_late(deadline) ? STOA_TIMED_OUT : channel_end_wait(&sender->end, deadline);
		again = true;
	}
	return rc;
}

/* Where does the last message end that is not received for sure? What was cancelled or skipped behind it nobody releases. */
static uint64_t last_message_end(const struct stoa_sender *sender)
{
	uint64_t tail = whole_position(load_rlx(&sender->lane->tail)), at = load_rlx(&sender->floor), last = at;

	while (at < tail) {
		uint64_t word = load_rlx(&sender_record(sender, at)->word), size = 0;

		if (word && word >> 32 == record_tag(at))
			size = record_valid(&sender->form, at, word);
		if (!size || size > tail - at) /* overwritten, or the floor is not where a record begins */
			return tail;
		at += size;
		if (record_is_message(word))
			last = at;
	}
	return last;
}

int stoa_sender_flush(struct stoa_sender *sender, uint64_t deadline)
{
	bool again = false;
	uint64_t last;
	int rc;

	if (!sender)
		return error_set(-STOA_EINVAL, "no sender was given");
	rc = channel_end_check(&sender->end);
	if (rc)
		return rc;
	/* All is received when the whole ring could be written behind it. */
	last = last_message_end(sender);
	store_rlx(&sender->needs, last + sender->shape.ring);
	store_rlx(&sender->lane->wants, last);
	while (!rc && !could_have_room(sender, true)) {
		rc = again && channel_too_late(deadline) ? STOA_TIMED_OUT : channel_end_wait(&sender->end, deadline);
		again = true;
	}
	return rc;
}
