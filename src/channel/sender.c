/* SPDX-License-Identifier: MIT */
/*
 * The sending end: loans in the ring of its lane, and their publication. How far it may write is room.c's. Uses sync and all below it.
 *
 * Wait-free but for waiting for room: a lane has one writer. What is published is never taken back; until its word is written a
 * record does not exist, so a sender may die anywhere.
 *
 * The usual case, one loan at a time, is noted beside the others (`only`): it passes by all that several need.
 */
#include <channel/sender.h>

#include <inttypes.h>
#include <string.h>

/* Where the oldest unpublished record is, or will be. */
static uint64_t published(const struct stoa_sender *sender)
{
	return sender->first == sender->next ? sender->position
					     : sender->outstanding[sender->first % STOA_LOANS_MAX].position & ~RESOLVED;
}

/* ---- loans ---- */

/*
 * The word behind a record must be zero before the record is published. More of them are zeroed at once, so that their lines come
 * from the receiver all together; and when a message is on its way, rather than while one waits for it (prepare()).
 */
#define ZEROED_AHEAD UINT64_C(1024)
#define ZEROED_LEFT UINT64_C(512) /* that few are left: zero more */

static void zero_to(struct stoa_sender *sender, uint64_t from, uint64_t to)
{
	unsigned char *ring = sender->ring;
	uint64_t mask = sender->mask;

	to = to < sender->limit ? to : sender->limit;
	for (uint64_t at = from; at < to && !MUTANT(RECORD_NOT_ENDED); at += CHANNEL_RECORD_UNIT)
		store_rlx(&record_at(ring, mask, at)->word, 0);
	sender->zeroed = to;
}

/*
 * The lines of a wide record, and the one behind it that end_records() zeroes: to be asked for all at once, since who fills it gets
 * them from the receiver one after the other. Of a longer one the rest comes while these are filled.
 */
#define FETCHED_AT_ONCE UINT64_C(8192)

static inline void fetch_wide(const struct stoa_sender *sender, uint64_t position, uint64_t size)
{
	for (uint64_t at = 0; at <= size && at < FETCHED_AT_ONCE; at += CHANNEL_LINE)
		cc_prefetch_write(sender_record(sender, position + at));
}

/* A loan is to be given out. */
static void make_ready(struct stoa_sender *sender, uint64_t position, uint64_t size, bool wide)
{
	if (wide)
		fetch_wide(sender, position, size);
	else if (position + size >= sender->zeroed)
		zero_to(sender, position + size, position + size + ZEROED_AHEAD);
}

/* The word behind all loans is zero from now on. To be called before something is published, or lent behind them. */
static inline void end_records(struct stoa_sender *sender)
{
	if (CC_UNLIKELY(sender->position >= sender->zeroed))
		zero_to(sender, sender->position, sender->position + CHANNEL_RECORD_UNIT);
}

/* Begin again at a lower position: the word there is zero, those behind it may be payload. */
static void draw_back(struct stoa_sender *sender, uint64_t position)
{
	sender->position = position;
	sender->zeroed = position + CHANNEL_RECORD_UNIT;
	sender->clear = 0;
	sender->low = UINT64_MAX;
	area_drop(&sender->area, position);
}

/* Fill the lap up with a record that says so. Whatever is before it is published first. */
static void skip_lap(struct stoa_sender *sender)
{
	uint64_t next = (sender->position | sender->mask) + CHANNEL_RECORD_UNIT;

	end_records(sender);
	if (next >= sender->zeroed)
		zero_to(sender, next, next + CHANNEL_RECORD_UNIT);
	/* R1: the zero behind it; pairs with A1 in look_at() */
	store_rel(&sender_record(sender, sender->position)->word, record_word(sender->position, RECORD_SKIP_LAP));
	sender->position = next;
}

static CC_NOINLINE int refuse_loan(const struct stoa_sender *sender, uint64_t length)
{
	char texts[2][ERROR_SIZE];
	uint64_t most;

	if (!sender)
		return error_set(-STOA_EINVAL, "no sender, or no place for the loan, was given");
	if (channel_end_is_parents(&sender->end))
		return channel_end_check(&sender->end);
	most = sender->payload_max > sender->shape.large ? sender->payload_max : sender->shape.large;
	if (length > most)
		return error_set(-STOA_ERANGE, "a message of %s: this channel carries at most %s",
				 error_size(length, texts[0]), error_size(most, texts[1]));
	return error_set(-STOA_ELIMIT, "%d loans are out: commit or cancel some", STOA_LOANS_MAX);
}

/* Make room for a record of a message of that length, at the position or, if it does not fit there, at the next lap's begin. */
static int make_room(struct stoa_sender *sender, uint64_t length, uint32_t kind, uint64_t deadline)
{
	uint64_t position = sender->position, size = record_size(&sender->form, position, length, kind), needs;
	bool fits = (position & sender->mask) + size <= sender->form.ring;
	int rc = 0;

	if (!fits) {
		position = (position | sender->mask) + CHANNEL_RECORD_UNIT;
		size = record_size(&sender->form, position, length, kind);
	}
	needs = position + size + CHANNEL_RECORD_UNIT;
	if (needs > sender->limit)
		rc = sender_wait_for_room(sender, needs, sender->shape.ring / 8, deadline);
	if (!rc && !fits)
		skip_lap(sender);
	return rc;
}

/* A loan of a plain record needs no second look as long as it ends here; and where are more words to be zeroed? */
static void look_ahead(struct stoa_sender *sender)
{
	uint64_t lap_end = (sender->position | sender->mask) + CHANNEL_RECORD_UNIT;

	sender->clear = sender->zeroed - CHANNEL_RECORD_UNIT; /* not beyond the limit */
	if (sender->clear > lap_end)
		sender->clear = lap_end;
	if (sender->form.alignment || sender->timed) /* there are no plain ones */
		sender->clear = 0;
	sender->low = sender->zeroed < sender->limit ? sender->zeroed - ZEROED_LEFT : UINT64_MAX;
}

/* Some were given out, or came back. */
static void note_outstanding(struct stoa_sender *sender)
{
	sender->only = sender->first == sender->next ? NOT_OUT : OTHERS;
}

/* Give out a record that has room, as the next loan. */
static inline void lend(struct stoa_sender *sender, uint64_t length, uint64_t size, uint64_t payload, uint32_t kind,
			struct stoa_loan *loan)
{
	uint32_t at = sender->next++ % STOA_LOANS_MAX;
	uint64_t position = sender->position;
	struct outstanding *out = &sender->outstanding[at];

	out->position = position;
	out->room = length;
	out->size = (uint32_t)size;
	out->info = kind;
	sender->position = position + size;
	loan->bytes = sender->ring + (position & sender->mask) + payload;
	loan->length = length;
	loan->opaque[0] = position;
	loan->opaque[1] = at;
	note_outstanding(sender);
}

/* The only one that is out becomes one of the outstanding. To be called before anything is done with those. */
static void settle(struct stoa_sender *sender)
{
	uint64_t position = sender->only & ~WIDE, room = sender->only_room;
	uint32_t kind = sender->only & WIDE ? RECORD_WIDE : RECORD_MESSAGE;

	if (sender->only == NOT_OUT || sender->only == OTHERS)
		return;
	sender->outstanding[sender->next++ % STOA_LOANS_MAX] = (struct outstanding){
		.position = position,
		.room = room,
		.size = (uint32_t)record_size(&sender->form, position, room, kind),
		.info = kind,
	};
	note_outstanding(sender);
}

/* The record itself: room for it, a zero behind it. */
static int loan_record(struct stoa_sender *sender, uint64_t length, uint32_t kind, uint64_t deadline,
		       struct stoa_loan *loan)
{
	uint64_t size;
	int rc = make_room(sender, length, kind, deadline);

	if (rc)
		return rc;
	end_records(sender);
	size = record_size(&sender->form, sender->position, length, kind);
	make_ready(sender, sender->position, size, kind == RECORD_WIDE);
	look_ahead(sender);
	lend(sender, length, size, record_payload(&sender->form, sender->position, kind), kind, loan);
	return 0;
}

#define AREA_HISTORY 4 /* messages of a size that a broadcast keeps for those who join, before it takes more memory */

/* Room for a message in the area, before anything is taken of the ring. */
static int room_in_area(struct stoa_sender *sender, uint64_t size, uint64_t deadline, uint64_t *ret_offset)
{
	struct channel_area *area = &sender->area;
	uint64_t ring = sender->shape.ring, surplus;
	int rc;

	for (;;) {
		area_pass(area, load_rlx(&sender->floor));
		surplus = area_surplus(area, sender->shape.kind == STOA_QUEUE ? 1 : AREA_HISTORY * size);
		if (surplus) {
			(void)sender_find_room(sender, surplus + ring, 0, false);
			area_pass(area, load_rlx(&sender->floor));
		}
		rc = area_take(area, size, ret_offset);
		if (rc)
			return rc < 0 ? rc : 0;
		rc = sender_wait_for_room(sender, area_waits_for(area) + ring, 0, deadline);
		if (rc)
			return rc;
	}
}

/* A message that lies in the area. */
static int loan_large(struct stoa_sender *sender, uint64_t length, uint64_t deadline, struct stoa_loan *loan)
{
	uint64_t size = (length + OS_PAGE - 1) & ~(uint64_t)(OS_PAGE - 1), offset;
	struct stoa_loan place;
	int rc = room_in_area(sender, size, deadline, &offset);

	if (!rc)
		rc = loan_record(sender, sizeof(struct channel_place), RECORD_LARGE, deadline, &place);
	if (rc)
		return rc;
	store_rlx(&record_place(&sender->form, sender_record(sender, place.opaque[0]))->offset, offset);
	sender->outstanding[place.opaque[1]].room = length;
	area_keep(&sender->area, offset, size, sender->position);
	place.bytes = sender->area.bytes + offset;
	place.length = length;
	*loan = place;
	return 0;
}

static inline uint64_t plain_size(const struct stoa_sender *sender, uint64_t length)
{
	return (sender->header + length + CHANNEL_RECORD_UNIT - 1) & ~(CHANNEL_RECORD_UNIT - 1);
}

/* Nothing is to be looked at, and so nothing waited for. */
static inline bool is_plain(const struct stoa_sender *sender, uint64_t length, uint64_t size)
{
	return length <= sender->plain_max && sender->position + size <= sender->clear &&
	       !channel_end_is_parents(&sender->end);
}

static CC_NOINLINE int loan_with_care(struct stoa_sender *sender, uint64_t length, uint64_t deadline,
				      struct stoa_loan *loan)
{
	uint64_t size = plain_size(sender, length);
	bool fits = length <= sender->payload_max;

	settle(sender);
	if ((!fits && length > sender->shape.large) || sender->next - sender->first == STOA_LOANS_MAX ||
	    channel_end_is_parents(&sender->end))
		return refuse_loan(sender, length);
	if (is_plain(sender, length, size)) {
		lend(sender, length, size, sender->header, RECORD_MESSAGE, loan);
		return 0;
	}
	if (!fits)
		return loan_large(sender, length, deadline, loan);
	return loan_record(sender, length, length < RECORD_WIDE_FROM ? RECORD_MESSAGE : RECORD_WIDE, deadline, loan);
}

/* Note it as the only one that is out. */
static inline void lend_only(struct stoa_sender *sender, uint64_t mark, uint64_t length, uint64_t size,
			     uint64_t payload, struct stoa_loan *loan)
{
	uint64_t position = sender->position;

	sender->position = position + size;
	sender->only = position | mark;
	sender->only_room = length;
	loan->bytes = sender->ring + (position & sender->mask) + payload;
	loan->length = length;
	loan->opaque[0] = position;
	loan->opaque[1] = sender->next % STOA_LOANS_MAX;
}

/* A wide record in few instructions, where nothing is to be waited for. */
static CC_APART int loan_wide(struct stoa_sender *sender, uint64_t length, uint64_t deadline, struct stoa_loan *loan)
{
	uint64_t position = sender->position, place = position & sender->mask, size;

	if (length < RECORD_WIDE_FROM || length > sender->wide_max || sender->only != NOT_OUT ||
	    channel_end_is_parents(&sender->end))
		return loan_with_care(sender, length, deadline, loan);
	size = (length + 2 * CHANNEL_LINE - 1) & ~(uint64_t)(CHANNEL_LINE - 1);
	if (place + size > sender->form.ring || position + size + CHANNEL_RECORD_UNIT > sender->limit ||
	    position >= sender->zeroed)
		return loan_with_care(sender, length, deadline, loan);
	fetch_wide(sender, position, size);
	lend_only(sender, WIDE, length, size, CHANNEL_LINE, loan);
	return 0;
}

CC_HOT_CODE int stoa_sender_loan(struct stoa_sender *sender, uint64_t length, uint64_t deadline,
				 struct stoa_loan *ret_loan)
{
	uint64_t size;

	if (CC_UNLIKELY(!sender || !ret_loan))
		return refuse_loan(NULL, length);
	size = plain_size(sender, length);
	if (CC_UNLIKELY(!is_plain(sender, length, size) || sender->only != NOT_OUT))
		return loan_wide(sender, length, deadline, ret_loan);
	lend_only(sender, 0, length, size, sender->header, ret_loan);
	return 0;
}

/* NULL: it is not on loan. */
static inline struct outstanding *find_loan(struct stoa_sender *sender, const struct stoa_loan *loan)
{
	struct outstanding *out;

	if (CC_UNLIKELY(!sender || !loan || channel_end_is_parents(&sender->end)))
		return NULL;
	out = &sender->outstanding[loan->opaque[1] % STOA_LOANS_MAX];
	return CC_LIKELY(out->position == loan->opaque[0] && loan->length <= out->room) ? out : NULL;
}

/* Publish the oldest, which is resolved. A record is as long as its loan was, which a shorter message does not tell. */
static inline void publish(struct stoa_sender *sender, uint64_t position, uint32_t info)
{
	struct channel_record *to = sender_record(sender, position);

	if (CC_LIKELY(record_is_message(info))) {
		store_rlx(&to->sequence, sender->sequence++);
		if (CC_UNLIKELY(sender->timed))
			store_rlx(&to->time, os_now());
		sender->bytes += info & RECORD_LENGTH_MASK;
		if (CC_UNLIKELY((info & RECORD_KIND_MASK) == RECORD_LARGE))
			sender->bytes +=
				load_rlx(&record_place(&sender->form, to)->length) - sizeof(struct channel_place);
	}
	/* R2: the record; pairs with A1 in look_at(), A8 in await_record(), A9 in take_plain() */
	store_rel(&to->word, record_word(position, info));
}

/* All before `tail` is published: say so. Who is to be woken? */
static inline uint64_t announce(struct stoa_sender *sender, uint64_t tail)
{
	struct channel_lane *lane = sender->lane;

	/* In this order: see layout.h. */
	store_rel(&lane->sent, sender->sequence); /* R3: the records; pairs with A3 in adopt_lane() */
	store_rel(&lane->tail, tail);             /* R4: `sent`; pairs with A3 in adopt_lane() */
	store_rlx(&lane->bytes, sender->bytes);
	return channel_waiting(&sender->end);
}

static void announce_and_wake(struct stoa_sender *sender, uint64_t tail)
{
	uint64_t waiting = announce(sender, tail);

	if (waiting)
		channel_ring_bells(&sender->end, waiting);
}

/* The loan is resolved, others are out: publish what is resolved up to the first that is not. */
static CC_NOINLINE void resolve_among(struct stoa_sender *sender, struct outstanding *out, uint32_t info)
{
	end_records(sender);
	out->info = info;
	out->position |= RESOLVED;
	if (out != &sender->outstanding[sender->first % STOA_LOANS_MAX])
		return;
	do {
		out = &sender->outstanding[sender->first++ % STOA_LOANS_MAX];
		publish(sender, out->position & ~RESOLVED, out->info);
		out->position = NOT_OUT;
		out = &sender->outstanding[sender->first % STOA_LOANS_MAX];
	} while (sender->first != sender->next && out->position & RESOLVED);
	note_outstanding(sender);
	announce_and_wake(sender, published(sender));
}

/* The only loan that is out is resolved, and not announced. */
static inline void publish_only(struct stoa_sender *sender, struct outstanding *out, uint32_t info)
{
	end_records(sender);
	sender->first = sender->next;
	publish(sender, out->position, info);
	out->position = NOT_OUT;
	note_outstanding(sender);
}

/* The loan is resolved; `info` says how. */
static inline void resolve(struct stoa_sender *sender, struct outstanding *out, uint32_t info)
{
	if (CC_UNLIKELY(sender->next - sender->first != 1)) {
		resolve_among(sender, out, info);
		return;
	}
	publish_only(sender, out, info);
	announce_and_wake(sender, sender->position);
}

static uint32_t skip_info(uint64_t size)
{
	return RECORD_SKIP | (uint32_t)(size / CHANNEL_RECORD_UNIT);
}

/* A shorter message leaves a gap up to the record's end: cut the record if it is the last, else fill the gap. */
static CC_NOINLINE void shorten(struct stoa_sender *sender, struct outstanding *out, uint64_t length)
{
	uint64_t size = record_size(&sender->form, out->position, length, out->info);
	uint64_t gap = out->size - size, at = out->position + size;

	if (!gap)
		return;
	if (out->position + out->size == sender->position) {
		store_rlx(&sender_record(sender, at)->word, 0);
		draw_back(sender, at);
	} else {
		/* The gap is published with the record, since nobody comes to it before. */
		store_rlx(&sender_record(sender, at)->word, record_word(at, skip_info(gap)));
	}
	out->size = (uint32_t)size;
}

/* The length of what lies in the area; the record has its own. */
static CC_NOINLINE uint32_t finish_large(struct stoa_sender *sender, const struct outstanding *out, uint64_t length)
{
	store_rlx(&record_place(&sender->form, sender_record(sender, out->position))->length, length);
	return RECORD_LARGE | (uint32_t)sizeof(struct channel_place);
}

static CC_NOINLINE int refuse_commit(const struct stoa_sender *sender)
{
	if (sender && channel_end_is_parents(&sender->end))
		return channel_end_check(&sender->end);
	return error_set(-STOA_EINVAL, "not on loan from this sender, or longer than it was");
}

/* What its record's word will say. */
static inline uint32_t finish(struct stoa_sender *sender, struct outstanding *out, uint64_t length)
{
	if (CC_UNLIKELY(out->info == RECORD_LARGE))
		return finish_large(sender, out, length);
	if (CC_UNLIKELY(length != out->room))
		shorten(sender, out, length);
	return out->info | (uint32_t)length;
}

static inline void prepare(struct stoa_sender *sender)
{
	zero_to(sender, sender->zeroed, sender->position + ZEROED_AHEAD);
	look_ahead(sender);
}

static CC_NOINLINE int commit_with_care(struct stoa_sender *sender, const struct stoa_loan *loan)
{
	struct outstanding *out;

	settle(sender);
	out = find_loan(sender, loan);
	if (!out)
		return refuse_commit(sender);
	resolve(sender, out, finish(sender, out, loan->length));
	return 0;
}

/* Publish the only loan that is out, as long as it was lent, and announce it. Who is to be woken? */
static inline uint64_t commit_only(struct stoa_sender *sender, uint64_t position, uint64_t length, uint32_t kind)
{
	struct channel_record *to = sender_record(sender, position);
	struct channel_lane *lane = sender->lane;
	uint64_t sequence = sender->sequence, bytes = sender->bytes + length;

	store_rlx(&to->sequence, sequence++);
	/* R7: the record; pairs with A1 in look_at(), A8 in await_record(), A9 in take_plain() */
	store_rel(&to->word, record_word(position, kind | (uint32_t)length));
	sender->only = NOT_OUT;
	sender->sequence = sequence;
	sender->bytes = bytes;
	/* In this order: see layout.h. */
	store_rel(&lane->sent, sequence);         /* R8: as R3; pairs with A3 in adopt_lane() */
	store_rel(&lane->tail, sender->position); /* R9: as R4; pairs with A3 in adopt_lane() */
	store_rlx(&lane->bytes, bytes);
	return channel_waiting(&sender->end);
}

/* A wide record in few instructions; the line behind it came while it was filled. */
static CC_APART int commit_wide(struct stoa_sender *sender, const struct stoa_loan *loan)
{
	uint64_t position = whole_position(loan->opaque[0]), waiting;

	if ((position | WIDE) != sender->only || loan->length != sender->only_room)
		return commit_with_care(sender, loan);
	end_records(sender);
	waiting = commit_only(sender, position, loan->length, RECORD_WIDE);
	if (CC_UNLIKELY(waiting))
		channel_ring_bells(&sender->end, waiting);
	return 0;
}

/* What may be due when a message is published. It is on its way: those who poll lose no time by this. */
static CC_APART int follow_up(struct stoa_sender *sender, uint64_t waiting)
{
	if (waiting)
		channel_ring_bells(&sender->end, waiting);
	if (sender->position > sender->low)
		prepare(sender);
	return 0;
}

/* In few instructions: the only loan that is out, of a plain record, as long as it was lent. */
CC_HOT_CODE int stoa_sender_commit(struct stoa_sender *sender, const struct stoa_loan *loan)
{
	uint64_t position, waiting;

	if (CC_UNLIKELY(!sender || !loan || channel_end_is_parents(&sender->end)))
		return refuse_commit(sender);
	position = whole_position(loan->opaque[0]);
	if (CC_UNLIKELY(position != sender->only || loan->length != sender->only_room))
		return commit_wide(sender, loan);
	waiting = commit_only(sender, position, loan->length, RECORD_MESSAGE);
	if (CC_UNLIKELY(waiting || sender->position > sender->low))
		return follow_up(sender, waiting);
	return 0;
}

int stoa_sender_cancel(struct stoa_sender *sender, const struct stoa_loan *loan)
{
	struct outstanding *out;

	if (sender)
		settle(sender);
	out = find_loan(sender, loan);
	if (!out)
		return refuse_commit(sender);
	if (out->position + out->size == sender->position) {
		draw_back(sender, out->position); /* the last: its place is the next one's */
		out->position = NOT_OUT;
		sender->next--;
		note_outstanding(sender);
		return 0;
	}
	resolve(sender, out, skip_info(out->size));
	return 0;
}

int stoa_sender_send(struct stoa_sender *sender, const void *bytes, uint64_t length, uint64_t deadline)
{
	struct stoa_loan loan;
	int rc;

	if (CC_UNLIKELY(!bytes && length))
		return error_set(-STOA_EINVAL, "no bytes were given");
	rc = stoa_sender_loan(sender, length, deadline, &loan);
	if (rc)
		return rc;
	if (length)
		memcpy(loan.bytes, bytes, length);
	return stoa_sender_commit(sender, &loan);
}

/*
 * Each is published as it is written, so that who polls goes on at once; only what tells sleepers, and those who join, is
 * stored once, at the end, or before something is waited for.
 */
int stoa_sender_send_batch(struct stoa_sender *sender, const struct stoa_bytes *messages, uint32_t count,
			   uint64_t deadline, uint32_t *ret_sent)
{
	uint32_t sent, announced = 0;
	bool alone;
	int rc = 0;

	if (!sender || (!messages && count) || !ret_sent)
		return error_set(-STOA_EINVAL, "no sender, no messages, or no place for their count, was given");
	alone = sender->only == NOT_OUT; /* else they come behind what is out */
	for (sent = 0; sent < count; sent++) {
		const struct stoa_bytes *message = &messages[sent];
		struct stoa_loan loan;

		if (alone && sent != announced &&
		    !is_plain(sender, message->length, plain_size(sender, message->length))) {
			announce_and_wake(sender, sender->position);
			announced = sent;
		}
		rc = message->bytes || !message->length ? stoa_sender_loan(sender, message->length, deadline, &loan)
							: error_set(-STOA_EINVAL, "no bytes were given");
		if (rc)
			break;
		if (message->length)
			memcpy(loan.bytes, message->bytes, message->length);
		if (alone) {
			struct outstanding *out = &sender->outstanding[loan.opaque[1]];

			settle(sender);
			publish_only(sender, out, finish(sender, out, message->length));
		} else {
			(void)stoa_sender_commit(sender, &loan);
		}
	}
	if (alone && sent != announced)
		announce_and_wake(sender, sender->position);
	*ret_sent = sent;
	return rc;
}

/* ---- joining and leaving ---- */

#define POSITION_MAX \
	(UINT64_C(1) << 62) /* nobody comes that far by sending; so sums of positions and sizes do not wrap */

static int refuse_lane(const struct stoa_sender *sender)
{
	return error_set(-STOA_EFORMAT, "lane %" PRIu32 " of the channel was overwritten", sender->end.place);
}

/*
 * Go on where the last owner of the lane ended: behind the last record that it published. Its count and its tail may be behind,
 * the count not further than by what lies behind the tail. -STOA_EFORMAT: the memory was overwritten.
 */
static int adopt_lane(struct stoa_sender *sender)
{
	uint64_t tail = load_acq(&sender->lane->tail); /* A3: pairs with R3, R4 in announce() */
	uint64_t walked = 0, floor, kept;

	sender->sequence = load_rlx(&sender->lane->sent);
	if (tail % CHANNEL_RECORD_UNIT || tail > POSITION_MAX)
		return refuse_lane(sender);
	for (;;) {
		uint64_t word = load_rlx(&sender_record(sender, tail)->word), size;

		if (!word || word >> 32 != record_tag(tail) || MUTANT(TAIL_BELIEVED))
			break;
		size = record_valid(&sender->form, tail, word);
		if (!size || (walked += size) > sender->shape.ring)
			return refuse_lane(sender);
		if (record_is_message(word))
			sender->sequence = load_rlx(&sender_record(sender, tail)->sequence) + 1;
		tail += size;
	}
	sender->position = tail;
	sender->low = UINT64_MAX;
	sender->zeroed = tail; /* is zero, but nothing behind it may be */
	sender->bytes = load_rlx(&sender->lane->bytes);
	/* As if the whole ring were in use; room is looked for when it is needed. */
	floor = tail > sender->shape.ring ? tail - sender->shape.ring : 0;
	/* The lane's floor may have been raised without another look at the holds: what it gave up is all that counts. */
	kept = whole_position(load_rlx(&sender->lane->given_up));
	if (sender->shape.kind == STOA_BROADCAST && kept > floor)
		floor = kept < tail ? kept : tail;
	if (sender->shape.kind == STOA_BROADCAST)
		store_rlx(&sender->lane->floor, floor);
	/* In this order, as when it publishes: who joins goes by both. */
	store_rel(&sender->lane->sent, sender->sequence); /* R5: the records; pairs with A7 in begin_broadcast() */
	store_rel(&sender->lane->tail, tail);             /* R6: `sent`; pairs with A5 in begin_broadcast() */
	store_rlx(&sender->floor, floor);
	sender->limit = floor + sender->shape.ring;
	if (sender->shape.large)
		area_open(&sender->area, sender->end.channel, sender->end.place, tail);
	return 0;
}

int stoa_sender_join(struct stoa_channel *channel, const struct stoa_sender_options *options,
		     struct stoa_sender **ret_sender)
{
	static const struct stoa_sender_options defaults = {.waiting = STOA_BALANCED};
	struct stoa_sender *sender;
	int rc;

	options = options ? options : &defaults;
	if (!channel || !ret_sender)
		return error_set(-STOA_EINVAL, "no channel, or no place for the sender, was given");
	if (options->waiting > STOA_SLEEP || options->flags & ~STOA_UNTIL_PEERS_LEAVE)
		return error_set(-STOA_EINVAL, "a sender does not take waiting %" PRIu32 ", flags 0x%" PRIx32,
				 options->waiting, options->flags);
	sender = os_allocate(sizeof(*sender));
	if (!sender)
		return -STOA_ENOMEM;
	sender->end.ready = sender_has_room;
	sender->end.waiting = options->waiting;
	sender->end.flags = options->flags;
	rc = channel_end_join(&sender->end, channel, true);
	if (rc) {
		os_free(sender);
		return rc;
	}
	sender->shape = channel->plan.shape;
	sender->form = channel->plan.form;
	sender->timed = sender->shape.flags & STOA_TIMES;
	sender->lane = &channel->lanes[sender->end.place];
	sender->ring = channel_ring(channel, sender->end.place);
	sender->mask = ring_mask(&sender->shape);
	sender->payload_max = channel->plan.payload_max;
	sender->header = sender->form.payload;
	sender->plain_max = sender->payload_max < RECORD_WIDE_FROM ? sender->payload_max : RECORD_WIDE_FROM - 1;
	if (!sender->timed && !sender->form.alignment && sender->form.wide_alignment == CHANNEL_LINE)
		sender->wide_max = sender->payload_max;
	sender->only = NOT_OUT;
	for (unsigned i = 0; i < STOA_LOANS_MAX; i++)
		sender->outstanding[i].position = NOT_OUT;
	rc = adopt_lane(sender);
	if (rc) {
		channel_end_leave(&sender->end);
		os_free(sender);
		return rc;
	}
	*ret_sender = sender;
	return 0;
}

void stoa_sender_leave(struct stoa_sender *sender)
{
	if (!sender)
		return;
	settle(sender);
	/* Those before the first that is still out are published already. What is out is cancelled, what was committed is sent. */
	while (sender->first != sender->next && !channel_end_check(&sender->end)) {
		struct outstanding *out = &sender->outstanding[sender->first % STOA_LOANS_MAX];

		resolve(sender, out, skip_info(out->size));
	}
	channel_end_leave(&sender->end);
	os_free(sender);
}
