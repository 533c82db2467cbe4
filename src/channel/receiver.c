/* SPDX-License-Identifier: MIT */
/*
 * The receiving end: finding messages in the lanes, taking them, and giving back their room. Uses sync and all below it.
 *
 * A receiver's hold on a lane is the lowest position it may still read. Where it is alone, and in a broadcast, that is where the
 * first unreleased message begins, or the next one will; senders stay behind it. Several receivers of a queue share
 * a head per lane, which they move past a record by compare-and-swap; each holds a position before it tries to take what is
 * there, and nothing while it has nothing. Positions never repeat, so there is no ABA.
 *
 * A queue's head tells what was taken. What a dead receiver had taken is gone with it: its hold counts for nothing once it is
 * dead, and its place's next owner begins at the head.
 */
#include <channel/channel.h>

#include <inttypes.h>
#include <string.h>

#define UNKNOWN UINT64_MAX /* expected sequence: whatever comes first */

#define NOT_HELD UINT64_MAX     /* no position */
#define OTHERS (UINT64_MAX - 1) /* nor is this */

/* One lane, as this receiver sees it. */
struct inlet {
	unsigned char *ring;
	struct channel_lane *lane;
	_Atomic uint64_t *hold;
	_Atomic uint64_t *head;
	_Atomic uint64_t next;              /* where to look; several receivers of a queue look at the head */
	uint64_t expected;                  /* broadcast: sequence of the next message */
	uint32_t first;                     /* of the held ones, modulo STOA_UNRELEASED_MAX */
	uint32_t taken;                     /* behind the last of them */
	uint64_t backed;                    /* bytes of the area that were seen to be there */
	uint64_t held[STOA_UNRELEASED_MAX]; /* positions, in their order */
};

/* What an observer writes in place of the words of a reader. Nobody else sees it. */
struct bystander {
	struct channel_bells bells;
	struct channel_reader reader;
	_Atomic uint64_t holds[STOA_ENDS_MAX];
};

struct stoa_receiver {
	struct channel_end end;
	struct bystander *bystander; /* NULL: it has a place */
	struct record_form form;
	struct channel_shape shape;
	struct channel_reader *reader;
	/*
	 * Of a plain one: a message that is the only one held is noted here alone, by where it is. NOT_HELD: none is held; OTHERS: they
	 * are among those of the inlet. See settle().
	 */
	uint64_t only;
	uint64_t mask;
	bool shares; /* a queue's, with others */
	bool timed;
	bool plain; /* one lane that nobody shares, where nothing overtakes, and its records are without times and alignment */
	bool may_be_overtaken;
	bool may_be_detached;
	bool detached;
	uint64_t lag;
	uint64_t received, bytes, lost; /* as in *reader */
	uint64_t waited;                /* how many had been received when it last found none */
	uint32_t turn;                  /* the lane to look at first */
	struct inlet inlets[];
};

static struct inlet *inlet_of(struct stoa_receiver *receiver, uint32_t lane)
{
	return &receiver->inlets[lane];
}

static struct channel_record *record(const struct stoa_receiver *receiver, const struct inlet *inlet, uint64_t position)
{
	return record_at(inlet->ring, receiver->mask, position);
}

/* ---- looking ---- */

enum look {
	LOOK_NOTHING,
	LOOK_MESSAGE,
	LOOK_SKIP,
	LOOK_OVERTAKEN,
	LOOK_TAKEN, /* by another receiver, and perhaps overwritten since */
	LOOK_DAMAGED,
};

struct sight {
	uint64_t position;
	uint64_t size;
	uint32_t kind;
	uint64_t length;
	uint64_t offset; /* of a large one, in the area */
	uint64_t sequence;
	uint64_t time;
};

/* Was what lies at `position` given up by the sender before now? */
static bool overrun(const struct inlet *inlet, uint64_t position)
{
	fence_acq(); /* F4: what was read there, before the floor; pairs with F3 in raise_floor() */
	return load_rlx(&inlet->lane->floor) > position;
}

/* Has another receiver moved the head on? Then what was read at `position` means nothing: it may be a later record's payload. */
static bool taken_meanwhile(const struct stoa_receiver *receiver, const struct inlet *inlet, uint64_t position)
{
	if (!receiver->shares)
		return false;
	fence_acq(); /* F5: what was read there, before the head; pairs with A2 in lowest_held(), after which that is overwritten */
	return load_rlx(inlet->head) != position;
}

/* Where a large message lies. false: nowhere it could. */
static CC_NOINLINE bool look_at_place(const struct stoa_receiver *receiver, struct channel_record *found,
				      struct sight *sight)
{
	const struct channel_place *place = record_place(&receiver->form, found);

	sight->offset = load_rlx(&place->offset);
	sight->length = load_rlx(&place->length);
	return sight->length <= receiver->shape.large && sight->offset % OS_PAGE == 0 &&
	       sight->offset <= receiver->shape.large - sight->length;
}

static inline enum look look_at(const struct stoa_receiver *receiver, const struct inlet *inlet, struct sight *sight)
{
	uint64_t position = receiver->shares ? load_acq(inlet->head)
					     : load_rlx(&inlet->next); /* A2: pairs with R2 in claim_record() */
	struct channel_record *found = record(receiver, inlet, position);
	uint64_t word = load_acq(
		&found->word); /* A1: the record; pairs with R1 in skip_lap(), R2 in publish(), R7 in commit_only() */
	bool there = word >> 32 == record_tag(position);

	sight->position = position;
	sight->size = there ? record_valid(&receiver->form, position, word) : 0;
	if (CC_LIKELY(sight->size)) {
		sight->kind = (uint32_t)word & RECORD_KIND_MASK;
		sight->length = (uint32_t)word & RECORD_LENGTH_MASK;
		sight->sequence = load_rlx(&found->sequence);
		if (CC_UNLIKELY(receiver->timed) && record_is_message(sight->kind))
			sight->time = load_rlx(&found->time);
		if (CC_UNLIKELY(sight->kind == RECORD_LARGE) && !look_at_place(receiver, found, sight))
			sight->size = 0;
	}
	if (CC_UNLIKELY(receiver->may_be_overtaken) && overrun(inlet, position))
		return LOOK_OVERTAKEN;
	if (CC_UNLIKELY(!sight->size)) {
		if (taken_meanwhile(receiver, inlet, position))
			return LOOK_TAKEN;
		return there && word ? LOOK_DAMAGED : LOOK_NOTHING; /* 0: one position in 2^32 has its tag */
	}
	return record_is_message(sight->kind) ? LOOK_MESSAGE : LOOK_SKIP;
}

static bool has_something(void *end, bool thorough)
{
	struct stoa_receiver *receiver = end;

	(void)thorough;
	for (uint32_t lane = 0; lane < receiver->shape.senders; lane++) {
		struct sight sight;
		const struct inlet *inlet = inlet_of(receiver, lane);

		if (look_at(receiver, inlet, &sight) != LOOK_NOTHING)
			return true;
	}
	return false;
}

/* ---- taking ---- */

/* Is somebody asleep who may have waited for this? */
static inline void tell_sender(struct stoa_receiver *receiver, uint32_t lane, uint64_t hold)
{
	uint64_t waiting = channel_waiting(&receiver->end) & UINT64_C(1) << lane;

	if (CC_UNLIKELY(waiting) && hold >= load_rlx(&receiver->inlets[lane].lane->wants))
		channel_ring_bells(&receiver->end, waiting);
}

static inline void advance_hold(struct stoa_receiver *receiver, uint32_t lane, uint64_t hold)
{
	store_rel(inlet_of(receiver, lane)->hold, hold); /* R1: what was read there; pairs with A1 in regard_reader() */
	tell_sender(receiver, lane, hold);
}

/*
 * Several receivers: make the record ours by moving the head past it. The hold comes first, so that no sender finds the head
 * past the record and nobody who holds it. false: somebody else took it.
 */
static bool claim_record(const struct inlet *inlet, const struct sight *sight)
{
	uint64_t seen = sight->position;

	if (inlet->first == inlet->taken && !MUTANT(TAKEN_UNHELD))
		store_rlx(inlet->hold, seen);
	/* R2: the hold; pairs with A2 in lowest_held(), A2 in look_at(), A6 in begin_queue() */
	return cas_seq(inlet->head, &seen, sight->position + sight->size);
}

/* Some messages were taken, or released. */
static inline void note_held(struct stoa_receiver *receiver)
{
	if (receiver->plain)
		receiver->only = receiver->inlets[0].first == receiver->inlets[0].taken ? NOT_HELD : OTHERS;
}

/* The only one that is held becomes one of its inlet's. To be called before anything is done with those. */
static inline void settle(struct stoa_receiver *receiver)
{
	struct inlet *inlet = &receiver->inlets[0];

	if (receiver->only == NOT_HELD || receiver->only == OTHERS)
		return;
	inlet->held[inlet->taken++ % STOA_UNRELEASED_MAX] = receiver->only;
	receiver->only = OTHERS;
}

/* Take what was seen, or skip it. false: it is somebody else's now. */
static inline bool take(struct stoa_receiver *receiver, struct inlet *inlet, const struct sight *sight, bool skip)
{
	uint64_t next = sight->position + sight->size;

	if (receiver->shares && !claim_record(inlet, sight))
		return false;
	store_rlx(&inlet->next, next);
	if (!receiver->shares && receiver->shape.kind == STOA_QUEUE)
		store_rel(inlet->head, next); /* R4: our place, and its hold; pairs with A2 in lowest_held() */
	if (!skip) {
		inlet->held[inlet->taken++ % STOA_UNRELEASED_MAX] = sight->position;
		note_held(receiver);
	}
	return true;
}

/* Where the hold belongs. */
static uint64_t resting_hold(const struct stoa_receiver *receiver, const struct inlet *inlet)
{
	if (CC_UNLIKELY(inlet->first != inlet->taken))
		return inlet->held[inlet->first % STOA_UNRELEASED_MAX];
	return receiver->shares ? HOLD_NONE : load_rlx(&inlet->next);
}

/* Nothing was taken: hold back no room that was skipped, or that others took. */
static void let_go(struct stoa_receiver *receiver, uint32_t lane)
{
	const struct inlet *inlet = inlet_of(receiver, lane);
	uint64_t hold = resting_hold(receiver, inlet);

	if (load_rlx(inlet->hold) != hold)
		advance_hold(receiver, lane, hold);
}

static uint64_t floor_of(const struct inlet *inlet)
{
	/* A3: the records kept, and before it A4: `sent`; pairs with F3 in raise_floor(), R4 in announce() */
	return whole_position(load_acq(&inlet->lane->floor));
}

/* Messages were overwritten before we came to them: go on with the oldest that is kept, or not at all. */
static void catch_up(struct stoa_receiver *receiver, struct inlet *inlet)
{
	uint64_t floor = floor_of(inlet);

	if (receiver->may_be_detached)
		receiver->detached = true;
	else if (floor > load_rlx(&inlet->next)) /* a sender that meets a new receiver lowers it again */
		store_rlx(&inlet->next, floor);
}

static bool lags_too_much(const struct stoa_receiver *receiver, const struct inlet *inlet, uint64_t sequence)
{
	uint64_t sent = load_rlx(&inlet->lane->sent); /* may be behind */

	return receiver->lag && sent > sequence && sent - sequence > receiver->lag;
}

static inline void fill_in(struct stoa_receiver *receiver, struct inlet *inlet, uint32_t lane,
			   const struct sight *sight, struct stoa_message *message)
{
	struct channel_reader *reader = receiver->reader;
	uint64_t payload = record_payload(&receiver->form, sight->position, sight->kind);
	uint64_t lost = 0;

	if (receiver->shape.kind == STOA_BROADCAST) {
		lost = inlet->expected == UNKNOWN ? 0 : sight->sequence - inlet->expected;
		inlet->expected = sight->sequence + 1;
		if (CC_UNLIKELY(lost))
			store_rlx(&reader->lost, receiver->lost += lost);
	}
	store_rlx(&reader->received, ++receiver->received);
	store_rlx(&reader->bytes, receiver->bytes += sight->length);
	*message = (struct stoa_message){
		.bytes = CC_UNLIKELY(sight->kind == RECORD_LARGE)
				 ? channel_area(receiver->end.channel, lane) + sight->offset
				 : inlet->ring + (sight->position & receiver->mask) + payload,
		.length = sight->length,
		.sequence = sight->sequence,
		.time = receiver->timed ? sight->time : 0,
		.lost = lost,
		.sender = lane,
		.opaque = {sight->position, (inlet->taken - 1) % STOA_UNRELEASED_MAX},
	};
}

#define NOTHING 16    /* no outcome of the public API */
#define PATIENCE 1000 /* a hostile writer can make tries fail for ever */

static CC_NOINLINE int refuse_lane(uint32_t lane)
{
	return error_set(-STOA_EFORMAT, "lane %" PRIu32 " of the channel was overwritten", lane);
}

static CC_NOINLINE int refuse_message(const struct sight *sight, uint32_t lane, uint64_t room)
{
	if (sight->length <= room)
		return error_set(-STOA_ELIMIT, "%d messages of sender %" PRIu32 " are unreleased: release some",
				 STOA_UNRELEASED_MAX, lane);
	return error_set(-STOA_ERANGE,
			 "the message has %" PRIu64 " bytes, the buffer %" PRIu64
			 "; receive it in place, or with a larger one",
			 sight->length, room);
}

/*
 * The sender commits an area from its begin on; one who lies shall not have us touch what is not there. Of a message that another
 * receiver has taken meanwhile it does not matter: it will not be ours.
 */
static bool is_there(struct stoa_receiver *receiver, uint32_t lane, const struct sight *sight)
{
	const struct stoa_segment *segment = receiver->end.channel->segments[1];
	uint64_t at = (uint64_t)(channel_area(receiver->end.channel, lane) - segment->data), end;
	struct inlet *inlet = inlet_of(receiver, lane);

	if (CC_LIKELY(sight->kind != RECORD_LARGE))
		return true;
	end = (sight->offset + sight->length + OS_PAGE - 1) & ~(uint64_t)(OS_PAGE - 1);
	if (end <= inlet->backed)
		return true;
	if (!segment_is_there(segment, at + inlet->backed, end - inlet->backed))
		return taken_meanwhile(receiver, inlet, sight->position);
	inlet->backed = end;
	return true;
}

static inline int take_next(struct stoa_receiver *receiver, uint32_t lane, uint64_t room,
			    struct stoa_message *ret_message)
{
	struct inlet *inlet = inlet_of(receiver, lane);
	struct sight sight;

	for (unsigned tries = 0; tries < PATIENCE; tries++) {
		switch (look_at(receiver, inlet, &sight)) {
		case LOOK_NOTHING: return NOTHING;
		case LOOK_DAMAGED: return refuse_lane(lane);
		case LOOK_SKIP: (void)take(receiver, inlet, &sight, true); break;
		case LOOK_OVERTAKEN: catch_up(receiver, inlet); break;
		case LOOK_TAKEN: break;
		case LOOK_MESSAGE:
			receiver->detached |= lags_too_much(receiver, inlet, sight.sequence);
			if (receiver->detached)
				break;
			if (sight.length > room && taken_meanwhile(receiver, inlet, sight.position))
				break;
			if (!is_there(receiver, lane, &sight))
				return refuse_lane(lane);
			if (inlet->taken - inlet->first == STOA_UNRELEASED_MAX || sight.length > room)
				return refuse_message(&sight, lane, room);
			if (!take(receiver, inlet, &sight, false))
				break;
			fill_in(receiver, inlet, lane, &sight, ret_message);
			return 0;
		}
		if (receiver->detached)
			return error_set(-STOA_ECLOSED, "detached: this receiver was too slow");
	}
	return NOTHING;
}

/* Try one lane, for a message of at most `room` bytes. 0, NOTHING, or an error. */
static int try_lane(struct stoa_receiver *receiver, uint32_t lane, uint64_t room, struct stoa_message *ret_message)
{
	int rc = take_next(receiver, lane, room, ret_message);

	if (CC_UNLIKELY(rc))
		let_go(receiver, lane);
	return rc;
}

#define GLANCES 64 /* before it is looked whether, and how, to wait */

#define GATHER_FROM 8  /* so many without a wait are a stream of them */
#define GATHER 32      /* pauses: about a microsecond */
#define GATHER_STEPS 8 /* at the most */

/*
 * Nothing is there. In a stream of messages who looks at once meets the sender at every line, and each takes it from the other; so
 * let some gather, as many as came without a wait, and go on as long as they come fast. A single message that was waited for does not
 * make that longer. `sent` may be anything: it is a hint.
 */
static CC_NOINLINE void let_gather(struct stoa_receiver *receiver)
{
	const struct channel_lane *lane = receiver->inlets[0].lane;
	uint64_t run = receiver->received - receiver->waited, sent, before;

	receiver->waited = receiver->received;
	if (run < GATHER_FROM)
		return;
	sent = load_rlx(&lane->sent);
	for (unsigned step = 0; step < GATHER_STEPS; step++) {
		for (uint64_t i = run < GATHER ? run : GATHER; i; i--)
			cc_pause();
		before = sent;
		sent = load_rlx(&lane->sent);
		if (sent - before < GATHER_FROM)
			return;
	}
}

/* Wait a little for the record there. Its word; 0 is none. */
static CC_APART uint64_t await_record(struct stoa_receiver *receiver, uint64_t position, uint64_t deadline)
{
	const struct channel_record *found = record(receiver, &receiver->inlets[0], position);
	unsigned most = deadline == STOA_TRY || receiver->end.waiting == STOA_SLEEP ? 0 : GLANCES, glances = 0;
	uint64_t word = 0;

	if (!most)
		return 0;
	let_gather(receiver);
	/* A8: the record; pairs with R1 in skip_lap(), R2 in publish(), R7 in commit_only() */
	while ((word = load_acq(&found->word)) >> 32 != record_tag(position)) {
		if (glances == most)
			return 0;
		channel_pause(glances++);
	}
	return word;
}

/*
 * The usual case in few instructions: the receiver is plain, and the message is in the ring. It is noted as the only one that is
 * held. false: it is not that, or nothing came.
 */
static inline bool take_plain(struct stoa_receiver *receiver, uint64_t room, uint64_t deadline,
			      struct stoa_message *message)
{
	struct inlet *inlet = &receiver->inlets[0];
	uint64_t position = load_rlx(&inlet->next), place = position & receiver->mask;
	const struct channel_record *found = (void *)(inlet->ring + place);
	uint64_t word = load_acq(&found->word); /* A9: as A8; pairs with R2 in publish(), R7 in commit_only() */
	uint64_t length, size, count, bytes, payload = receiver->form.payload;

	if (CC_UNLIKELY(word >> 32 != record_tag(position))) {
		word = await_record(receiver, position, deadline);
		if (!word)
			return false;
	}
	length = (uint32_t)word - RECORD_MESSAGE;
	if ((uint32_t)word & RECORD_WIDE) { /* a large one has this, too, and is too long then */
		length = (uint32_t)word - RECORD_WIDE;
		payload = CHANNEL_LINE;
	}
	size = (length + payload + CHANNEL_RECORD_UNIT - 1) & ~(CHANNEL_RECORD_UNIT - 1);
	if (CC_UNLIKELY(length > RECORD_LENGTH_MASK || length > room || place + size > receiver->form.ring))
		return false;
	message->bytes = inlet->ring + place + payload;
	message->length = length;
	message->sequence = load_rlx(&found->sequence);
	message->time = 0;
	message->lost = 0;
	message->sender = 0;
	message->opaque[0] = position;
	message->opaque[1] = inlet->taken % STOA_UNRELEASED_MAX;
	count = receiver->received + 1;
	bytes = receiver->bytes + length;
	receiver->only = position;
	receiver->received = count;
	receiver->bytes = bytes;
	store_rlx(&inlet->next, position + size);
	store_rel(inlet->head, position + size); /* R5: as R4; pairs with A2 in lowest_held() */
	store_rlx(&receiver->reader->received, count);
	store_rlx(&receiver->reader->bytes, bytes);
	return true;
}

#define STAY 16 /* messages taken from one lane while others may have some, too */

static int try_lanes(struct stoa_receiver *receiver, uint64_t room, struct stoa_message *ret_message)
{
	uint32_t lanes = receiver->shape.senders;

	for (uint32_t i = 0; i < lanes; i++) {
		uint32_t lane = receiver->turn / STAY % lanes;
		int rc = try_lane(receiver, lane, room, ret_message);

		receiver->turn = rc == NOTHING ? (receiver->turn / STAY + 1) * STAY : receiver->turn + 1;
		if (rc != NOTHING)
			return rc;
	}
	return NOTHING;
}

/* The same where others are held. */
static CC_APART bool take_plain_among(struct stoa_receiver *receiver, uint64_t room, struct stoa_message *message)
{
	const struct inlet *inlet = &receiver->inlets[0];
	bool taken;

	settle(receiver);
	taken = inlet->taken - inlet->first != STOA_UNRELEASED_MAX && take_plain(receiver, room, STOA_TRY, message);
	settle(receiver);
	return taken;
}

/* The next message of at most `room` bytes. */
static CC_APART int receive_with_care(struct stoa_receiver *receiver, uint64_t room, uint64_t deadline,
				      struct stoa_message *ret_message)
{
	int rc;

	if (receiver->plain && take_plain_among(receiver, room, ret_message))
		return 0;
	for (bool again = false;; again = true) {
		rc = try_lanes(receiver, room, ret_message);
		if (rc != NOTHING)
			return rc;
		if (again && channel_too_late(deadline))
			return STOA_TIMED_OUT;
		rc = channel_end_wait(&receiver->end, deadline);
		if (rc)
			return rc;
	}
}

static inline int receive(struct stoa_receiver *receiver, uint64_t room, uint64_t deadline,
			  struct stoa_message *ret_message)
{
	if (CC_UNLIKELY(channel_end_is_parents(&receiver->end)))
		return channel_end_check(&receiver->end);
	if (CC_LIKELY(receiver->only == NOT_HELD && take_plain(receiver, room, deadline, ret_message)))
		return 0;
	return receive_with_care(receiver, room, deadline, ret_message);
}

CC_HOT_CODE int stoa_receiver_receive(struct stoa_receiver *receiver, uint64_t deadline,
				      struct stoa_message *ret_message)
{
	if (CC_UNLIKELY(!receiver || !ret_message))
		return error_set(-STOA_EINVAL, "no receiver, or no place for the message, was given");
	return receive(receiver, UINT64_MAX, deadline, ret_message);
}

int stoa_receiver_receive_batch(struct stoa_receiver *receiver, struct stoa_message *messages, uint32_t most,
				uint64_t deadline, uint32_t *ret_count)
{
	uint32_t count = 1;
	int rc;

	if (!receiver || !messages || !most || !ret_count)
		return error_set(-STOA_EINVAL, "no receiver, or no place for messages, was given");
	rc = receive(receiver, UINT64_MAX, deadline, &messages[0]);
	if (rc)
		return rc;
	/* What is wrong with the next one is told by the next call. */
	while (count < most && ((receiver->plain && take_plain_among(receiver, UINT64_MAX, &messages[count])) ||
				!try_lanes(receiver, UINT64_MAX, &messages[count])))
		count++;
	*ret_count = count;
	return 0;
}

/* ---- releasing ---- */

static CC_NOINLINE int refuse_release(const struct stoa_receiver *receiver)
{
	if (receiver && channel_end_is_parents(&receiver->end))
		return channel_end_check(&receiver->end);
	return error_set(-STOA_EINVAL, "the message is not held: it was released before, or never received");
}

/* The message is held no more; the lane's hold stays where it is. 0, STOA_OVERRUN, or -STOA_EINVAL without a sentence. */
static inline int let_loose(struct stoa_receiver *receiver, const struct stoa_message *message)
{
	struct inlet *inlet;
	bool late;

	if (CC_UNLIKELY(message->sender >= receiver->shape.senders))
		return -STOA_EINVAL;
	inlet = inlet_of(receiver, message->sender);
	if (CC_UNLIKELY(inlet->held[message->opaque[1] % STOA_UNRELEASED_MAX] != message->opaque[0]))
		return -STOA_EINVAL;
	late = CC_UNLIKELY(receiver->may_be_overtaken) && overrun(inlet, message->opaque[0]);
	inlet->held[message->opaque[1] % STOA_UNRELEASED_MAX] = NOT_HELD;
	return late ? STOA_OVERRUN : 0;
}

/* Some of the lane's messages are held no more: the hold moves on, if the oldest is one of them. */
static inline void move_hold(struct stoa_receiver *receiver, uint32_t lane)
{
	struct inlet *inlet = inlet_of(receiver, lane);

	if (CC_UNLIKELY(inlet->held[inlet->first % STOA_UNRELEASED_MAX] != NOT_HELD))
		return;
	while (inlet->first != inlet->taken && inlet->held[inlet->first % STOA_UNRELEASED_MAX] == NOT_HELD)
		inlet->first++;
	note_held(receiver);
	advance_hold(receiver, lane, resting_hold(receiver, inlet));
}

static CC_APART int release_with_care(struct stoa_receiver *receiver, const struct stoa_message *message)
{
	int rc;

	settle(receiver);
	rc = let_loose(receiver, message);
	if (rc < 0)
		return refuse_release(receiver);
	move_hold(receiver, message->sender);
	return rc;
}

static CC_NOINLINE int tell_only_sender(struct stoa_receiver *receiver, uint64_t hold)
{
	tell_sender(receiver, 0, hold);
	return 0;
}

/* In few instructions: the only message that is held, of the only lane. */
CC_HOT_CODE int stoa_receiver_release(struct stoa_receiver *receiver, const struct stoa_message *message)
{
	const struct inlet *inlet;
	uint64_t hold;

	if (CC_UNLIKELY(!receiver || !message || channel_end_is_parents(&receiver->end)))
		return refuse_release(receiver);
	inlet = &receiver->inlets[0];
	if (CC_UNLIKELY(whole_position(message->opaque[0]) != receiver->only || message->sender))
		return release_with_care(receiver, message);
	hold = load_rlx(&inlet->next);
	receiver->only = NOT_HELD;
	store_rel(inlet->hold, hold); /* R6: as R1; pairs with A1 in regard_reader() */
	if (CC_UNLIKELY(channel_waiting(&receiver->end)))
		return tell_only_sender(receiver, hold);
	return 0;
}

int stoa_receiver_release_batch(struct stoa_receiver *receiver, const struct stoa_message *messages, uint32_t count)
{
	uint64_t lanes = 0;
	int rc = 0;

	if (!receiver || (!messages && count) || channel_end_is_parents(&receiver->end))
		return refuse_release(receiver);
	settle(receiver);
	for (uint32_t i = 0; i < count && rc >= 0; i++) {
		int one = let_loose(receiver, &messages[i]);

		if (one >= 0)
			lanes |= UINT64_C(1) << messages[i].sender;
		if (one)
			rc = one;
	}
	for (uint32_t lane = 0; lanes; lane++, lanes >>= 1)
		if (lanes & 1)
			move_hold(receiver, lane);
	return rc < 0 ? refuse_release(receiver) : rc;
}

/* It was overwritten while it was copied: as if it had not been received, it is one of the lost that the next of its sender tells. */
static void take_back(struct stoa_receiver *receiver, const struct stoa_message *message)
{
	struct channel_reader *reader = receiver->reader;

	inlet_of(receiver, message->sender)->expected = message->sequence - message->lost;
	store_rlx(&reader->lost, receiver->lost -= message->lost);
	store_rlx(&reader->received, --receiver->received);
	store_rlx(&reader->bytes, receiver->bytes -= message->length);
}

#define OVERRUNS 16 /* in a row, between two looks at the clock */

int stoa_receiver_recv(struct stoa_receiver *receiver, void *buffer, uint64_t room, uint64_t deadline,
		       struct stoa_message *ret_message)
{
	struct stoa_message message;
	unsigned overruns = 0;
	int rc;

	if (!receiver || !ret_message || (!buffer && room))
		return error_set(-STOA_EINVAL, "no receiver, no buffer, or no place for the message, was given");
	do {
		rc = receive(receiver, room, deadline, &message);
		if (rc)
			return rc;
		if (buffer)
			memcpy(buffer, message.bytes, message.length);
		rc = stoa_receiver_release(receiver, &message);
		if (rc == STOA_OVERRUN) {
			take_back(receiver, &message);
			if (++overruns % OVERRUNS == 0 && channel_too_late(deadline))
				return STOA_TIMED_OUT;
		}
	} while (rc == STOA_OVERRUN);
	message.bytes = buffer;
	*ret_message = message;
	return rc;
}

/* ---- joining and leaving ---- */

static void begin_queue(struct stoa_receiver *receiver, struct inlet *inlet)
{
	uint64_t head =
		whole_position(load_acq(inlet->head)); /* A6: what its mover took; pairs with R2 in claim_record() */

	store_rlx(&inlet->next, head);
	store_rlx(inlet->hold, receiver->shares ? HOLD_NONE : head);
}

/* Where a receiver of a broadcast starts. The hold is set before the floor is looked at: see room.c. */
static void begin_broadcast(struct stoa_receiver *receiver, struct inlet *inlet, uint32_t from)
{
	uint64_t position = floor_of(inlet), floor;
	struct sight sight;
	enum look found;

	if (from == STOA_FROM_NOW) {
		/* A5: `sent`, and the records; pairs with R4 in announce(), R6 in adopt_lane() */
		uint64_t tail = whole_position(load_acq(&inlet->lane->tail));

		position = tail > position ? tail : position;
	}
	for (unsigned tries = 0; tries < PATIENCE; tries++) {
		store_rlx(inlet->hold, position);
		fence_seq(); /* F2: the hold, before the floor; pairs with F1 in raise_floor() */
		floor = whole_position(load_rlx(&inlet->lane->floor));
		if (floor <= position)
			break;
		position = floor;
	}
	store_rlx(&inlet->next, position);
	/* What is there tells its number; if nothing is, the next one's is that of what was sent. */
	inlet->expected =
		load_acq(&inlet->lane->sent); /* A7: the records; pairs with R3 in announce(), R5 in adopt_lane() */
	found = look_at(receiver, inlet, &sight);
	if (found != LOOK_NOTHING)
		inlet->expected = found == LOOK_MESSAGE ? sight.sequence : UNKNOWN;
}

static int check_options(const struct stoa_channel *channel, const struct stoa_receiver_options *options)
{
	if (options->waiting > STOA_SLEEP || options->flags & ~(STOA_UNTIL_PEERS_LEAVE | STOA_OBSERVE))
		return error_set(-STOA_EINVAL, "a receiver does not take waiting %" PRIu32 ", flags 0x%" PRIx32,
				 options->waiting, options->flags);
	if (options->when_slow > STOA_DETACH || options->from > STOA_FROM_OLDEST)
		return error_set(-STOA_EINVAL, "when_slow %" PRIu32 " or from %" PRIu32 " is unknown",
				 options->when_slow, options->from);
	if (channel->plan.shape.kind == STOA_QUEUE && options->flags & STOA_OBSERVE)
		return error_set(-STOA_EINVAL, "a queue cannot be observed: each of its messages is for one receiver");
	if (options->flags & STOA_OBSERVE && options->when_slow == STOA_DETACH)
		return error_set(-STOA_EINVAL, "an observer is not detached: it is in nobody's way");
	if (channel->plan.shape.kind == STOA_QUEUE && (options->when_slow || options->from || options->lag))
		return error_set(-STOA_EINVAL, "when_slow, from and lag are a broadcast's: a queue keeps every message "
					       "for its receiver");
	if (options->lag && options->when_slow != STOA_DETACH)
		return error_set(-STOA_EINVAL, "a lag needs when_slow STOA_DETACH");
	return 0;
}

static void set_up_receiver(struct stoa_receiver *receiver, const struct stoa_receiver_options *options)
{
	struct stoa_channel *channel = receiver->end.channel;
	struct bystander *bystander = receiver->bystander;
	struct channel_reader *reader = bystander ? &bystander->reader : &channel->readers[receiver->end.place];

	receiver->reader = reader;
	receiver->received = receiver->waited = load_rlx(&reader->received);
	receiver->bytes = load_rlx(&reader->bytes);
	receiver->lost = load_rlx(&reader->lost);
	receiver->shares = receiver->shape.kind == STOA_QUEUE && receiver->shape.receivers > 1;
	receiver->timed = receiver->shape.flags & STOA_TIMES;
	receiver->lag = options->lag;
	receiver->turn = receiver->end.place * STAY; /* several receivers begin with different senders */
	receiver->may_be_overtaken = bystander || options->when_slow != STOA_BLOCK;
	receiver->may_be_detached = options->when_slow == STOA_DETACH;
	receiver->plain = receiver->shape.kind == STOA_QUEUE && !receiver->shares && receiver->shape.senders == 1 &&
			  !receiver->timed && !receiver->form.alignment;
	receiver->only = receiver->plain ? NOT_HELD : OTHERS;
	store_rlx(&reader->when_slow, options->when_slow);
	store_rlx(&reader->lag, options->lag);
	for (uint32_t lane = 0; lane < receiver->shape.senders; lane++) {
		struct inlet *inlet = inlet_of(receiver, lane);

		inlet->ring = channel_ring(channel, lane);
		inlet->lane = &channel->lanes[lane];
		inlet->hold = bystander ? &bystander->holds[lane] : channel_hold(channel, receiver->end.place, lane);
		inlet->head = channel_head(channel, lane);
		inlet->backed = channel->owns_segments ? 0 : receiver->shape.large;
		for (unsigned i = 0; i < STOA_UNRELEASED_MAX; i++)
			inlet->held[i] = NOT_HELD;
		if (receiver->shape.kind == STOA_QUEUE)
			begin_queue(receiver, inlet);
		else
			begin_broadcast(receiver, inlet, options->from);
	}
	store_rel(&reader->settled, receiver->end.identity); /* R3: the holds; pairs with A3 in receivers_here() */
	/* A sender may sleep for room that the place's last owner held, or for us: it looked before this was there. */
	channel_ring_bells(&receiver->end, channel_waiting(&receiver->end));
}

int stoa_receiver_join(struct stoa_channel *channel, const struct stoa_receiver_options *options,
		       struct stoa_receiver **ret_receiver)
{
	static const struct stoa_receiver_options defaults = {.waiting = STOA_BALANCED};
	struct stoa_receiver *receiver;
	size_t size;
	int rc;

	options = options ? options : &defaults;
	if (!channel || !ret_receiver)
		return error_set(-STOA_EINVAL, "no channel, or no place for the receiver, was given");
	rc = check_options(channel, options);
	if (rc)
		return rc;
	size = sizeof(*receiver) + channel->plan.shape.senders * sizeof(struct inlet);
	receiver = os_allocate(size + (options->flags & STOA_OBSERVE ? sizeof(struct bystander) : 0));
	if (!receiver)
		return -STOA_ENOMEM;
	if (options->flags & STOA_OBSERVE)
		receiver->bystander = (void *)((unsigned char *)receiver + size);
	receiver->shape = channel->plan.shape;
	receiver->form = channel->plan.form;
	receiver->mask = ring_mask(&receiver->shape);
	receiver->end.ready = has_something;
	receiver->end.waiting = options->waiting;
	receiver->end.flags = options->flags;
	if (receiver->bystander)
		channel_end_observe(&receiver->end, channel, &receiver->bystander->bells);
	else
		rc = channel_end_join(&receiver->end, channel, false);
	if (rc) {
		os_free(receiver);
		return rc;
	}
	set_up_receiver(receiver, options);
	*ret_receiver = receiver;
	return 0;
}

void stoa_receiver_leave(struct stoa_receiver *receiver)
{
	if (!receiver)
		return;
	/* Who has left holds nothing. */
	channel_end_leave(&receiver->end);
	os_free(receiver);
}
