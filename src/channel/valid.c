/* SPDX-License-Identifier: MIT */
/*
 * Is a channel as it should be? What a death at any instruction leaves is in order; what no sequence of ours writes is damage.
 *
 * First each word by itself. Then the words with each other, and the records: while the channel is used, they are of different moments. So what
 * looks wrong is told only if all words are the same afterwards: positions never come back, so nothing moved in between, and what lies
 * between the head, or what was given up, and the tail is not overwritten before one of these has moved. Uses look.
 */
#include <channel/look.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct validation {
	struct channel_look look;
	void (*tell)(void *argument, int severity, const char *sentence);
	void *argument;
	bool mute; /* count only */
	unsigned damages;
	/* Of the ring that is walked. */
	unsigned char *block;
	uint64_t block_at; /* in the sending part */
	bool block_read;
};

#define BLOCK 65536
#define POSITION_MAX (UINT64_C(1) << 62)
#define STILL_TRIES 50

static void tell(struct validation *validation, int severity, const char *format, ...) CC_PRINTF(3, 4);

static void tell(struct validation *validation, int severity, const char *format, ...)
{
	char sentence[300];
	va_list arguments;

	validation->damages += severity == STOA_DAMAGE;
	if (validation->mute)
		return;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	validation->tell(validation->argument, severity, sentence);
}

static const char *part_name(bool of_senders)
{
	return of_senders ? "sending part" : "receiving part";
}

/* ---- each word by itself ---- */

/* Bytes of the copy that nobody ever writes. */
static void check_unused(struct validation *validation, uint64_t from, uint64_t to)
{
	const struct channel_look *look = &validation->look;
	bool of_senders = from >= look->plan.receiving_length;
	uint64_t part = of_senders ? look->plan.receiving_length : 0;

	for (uint64_t at = from; at < to; at++) {
		if (!look->copy[at])
			continue;
		tell(validation, STOA_DAMAGE, "%s: byte %" PRIu64 " is not used and should be zero",
		     part_name(of_senders), at - part);
		return;
	}
}

#define UNUSED(base, type, field)                                \
	check_unused(validation, (base) + offsetof(type, field), \
		     (base) + offsetof(type, field) + sizeof(((type *)0)->field))

static void check_bells(struct validation *validation, bool of_senders)
{
	const struct channel_look *look = &validation->look;
	const struct channel_bells *bells = look_bells(look, of_senders);
	uint64_t base = (of_senders ? look->plan.receiving_length : 0) + CHANNEL_BELLS;
	uint32_t own = of_senders ? look->plan.shape.senders : look->plan.shape.receivers;
	uint32_t others = of_senders ? look->plan.shape.receivers : look->plan.shape.senders;

	if (own < STOA_ENDS_MAX && load_rlx(&bells->waiting) >> own)
		tell(validation, STOA_DAMAGE, "%s: sleepers %016" PRIx64 " are more than the %" PRIu32 " places",
		     part_name(of_senders), load_rlx(&bells->waiting), own);
	if (load_rlx(&bells->fences) > 1)
		tell(validation, STOA_DAMAGE, "%s: its word about barriers is %" PRIu32 ", and may be 0 or 1",
		     part_name(of_senders), load_rlx(&bells->fences));
	for (uint32_t place = 0; place < others; place++) {
		uint64_t bell = load_rlx(&bells->bells[place]);

		if ((uint32_t)bell != bell >> 32)
			tell(validation, STOA_DAMAGE, "%s: the halves of bell %" PRIu32 ", %016" PRIx64 ", differ",
			     part_name(of_senders), place, bell);
	}
	UNUSED(base, struct channel_bells, pad_12);
	check_unused(validation, base + offsetof(struct channel_bells, bells) + others * sizeof(uint64_t),
		     base + sizeof(*bells));
}

/* One who has a place: in the roster, with a generation that was. */
static int check_owner(struct validation *validation, bool of_sender, uint32_t place, uint64_t owner)
{
	const struct channel_site *site = &validation->look.site;
	const char *what = of_sender ? "sender" : "receiver";
	uint64_t slot = owner & ROSTER_SLOT_MASK, generation = owner >> 32, life;
	uint32_t slots = site->parts[of_sender].slots;
	int state = channel_look_owner(site, of_sender, owner, &life);

	if (state < 0 || state == STOA_END_FREE)
		return state < 0 ? state : 0;
	if (slot < 1 || slot > slots)
		tell(validation, STOA_DAMAGE, "%s %" PRIu32 ": its owner has roster slot %" PRIu64 ", of %" PRIu32,
		     what, place, slot, slots);
	else if ((uint32_t)owner != ((generation & 0xffff) << ROSTER_GENERATION16_SHIFT | slot))
		tell(validation, STOA_DAMAGE,
		     "%s %" PRIu32 ": the halves of its owner %016" PRIx64 " name different threads", what, place,
		     owner);
	else if (state != STOA_END_UNKNOWN && life >> 32 < generation)
		tell(validation, STOA_DAMAGE,
		     "%s %" PRIu32 ": its owner is number %" PRIu64 " in roster slot %" PRIu64
		     ", which has had %" PRIu64,
		     what, place, generation, slot, life >> 32);
	else if (state == STOA_END_DEAD)
		tell(validation, STOA_REMARK, "%s %" PRIu32 ": its owner is dead; the next to join takes the place",
		     what, place);
	return 0;
}

static void check_position(struct validation *validation, const char *what, uint32_t place, const char *which,
			   uint64_t position)
{
	uint64_t unit = validation->look.plan.shape.kind == CHANNEL_STREAM ? 1 : CHANNEL_RECORD_UNIT;

	if (position % unit || position > POSITION_MAX)
		tell(validation, STOA_DAMAGE, "%s %" PRIu32 ": its %s %016" PRIx64 " is no position", what, place,
		     which, position);
}

static int check_lane(struct validation *validation, uint32_t place)
{
	const struct channel_look *look = &validation->look;
	const struct channel_lane *lane = look_lane(look, place);
	uint64_t base = (uint64_t)((const unsigned char *)lane - look->copy);

	check_position(validation, "sender", place, "tail", load_rlx(&lane->tail));
	check_position(validation, "sender", place, "floor", load_rlx(&lane->floor));
	check_position(validation, "sender", place, "given_up", load_rlx(&lane->given_up));
	if (load_rlx(&lane->most) > look->plan.shape.ring)
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": %" PRIu64 " bytes of a ring of %" PRIu64 " were in use", place,
		     load_rlx(&lane->most), look->plan.shape.ring);
	UNUSED(base, struct channel_lane, pad_56);
	UNUSED(base, struct channel_lane, pad_100);
	UNUSED(base, struct channel_lane, pad_112);
	if (load_rlx(&lane->area_used) > look->plan.shape.large || load_rlx(&lane->area_used) % OS_PAGE)
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": %" PRIu64 " bytes of an area of %" PRIu64 " were in use", place,
		     load_rlx(&lane->area_used), look->plan.shape.large);
	if (look->plan.shape.kind == STOA_QUEUE)
		check_position(validation, "sender", place, "head", look_head(look, place));
	if (look->plan.shape.kind != STOA_BROADCAST && (load_rlx(&lane->floor) || load_rlx(&lane->given_up)))
		tell(validation, STOA_DAMAGE, "sender %" PRIu32 ": it has a floor, which only a broadcast's has",
		     place);
	return check_owner(validation, true, place, load_rlx(&lane->owner));
}

static int check_reader(struct validation *validation, uint32_t place)
{
	const struct channel_look *look = &validation->look;
	const struct channel_shape *shape = &look->plan.shape;
	const struct channel_reader *reader = look_reader(look, place);
	uint64_t base = (uint64_t)((const unsigned char *)reader - look->copy);
	bool may_hold_nothing = shape->kind == STOA_QUEUE && shape->receivers > 1;
	uint32_t when_slow = load_rlx(&reader->when_slow);

	if (when_slow > (shape->kind == STOA_BROADCAST ? STOA_DETACH : STOA_BLOCK))
		tell(validation, STOA_DAMAGE,
		     "receiver %" PRIu32 ": when it is slow, %" PRIu32 " shall be done, which is nothing", place,
		     when_slow);
	for (uint32_t lane = 0; lane < shape->senders; lane++) {
		uint64_t hold = look_hold(look, place, lane);

		if (hold != HOLD_NONE || !may_hold_nothing)
			check_position(validation, "receiver", place, "hold", hold);
	}
	UNUSED(base, struct channel_reader, pad_48);
	UNUSED(base, struct channel_reader, pad_96);
	check_unused(validation, look->plan.holds + place * look->plan.hold_row + shape->senders * sizeof(uint64_t),
		     look->plan.holds + (place + 1) * look->plan.hold_row);
	return check_owner(validation, false, place, load_rlx(&reader->owner));
}

static void check_gaps(struct validation *validation)
{
	const struct channel_plan *plan = &validation->look.plan;
	uint64_t sending = plan->receiving_length, heads_end = plan->heads;
	uint64_t lanes_end = plan->lanes + plan->shape.senders * sizeof(struct channel_lane);

	for (uint32_t lane = 0; lane < plan->shape.senders; lane++, heads_end += sizeof(struct channel_head))
		check_unused(validation, heads_end + (plan->shape.kind == STOA_QUEUE ? sizeof(uint64_t) : 0),
			     heads_end + sizeof(struct channel_head));
	check_unused(validation, sizeof(struct channel_header), CHANNEL_BELLS);
	check_unused(validation, heads_end, plan->receiving_length);
	check_unused(validation, sending + sizeof(struct channel_header), sending + CHANNEL_BELLS);
	check_unused(validation, sending + CHANNEL_BELLS + sizeof(struct channel_bells), sending + plan->lanes);
	check_unused(validation, sending + lanes_end, sending + plan->rings);
}

static int check_words(struct validation *validation)
{
	const struct channel_shape *shape = &validation->look.plan.shape;
	int rc = 0;

	check_gaps(validation);
	check_bells(validation, true);
	check_bells(validation, false);
	for (uint32_t lane = 0; lane < shape->senders && !rc; lane++)
		rc = check_lane(validation, lane);
	for (uint32_t reader = 0; reader < shape->receivers && !rc; reader++)
		rc = check_reader(validation, reader);
	return rc;
}

/* ---- the words with each other ---- */

static int read_record(struct validation *validation, uint64_t at, struct channel_record *ret_record)
{
	uint64_t block = at / BLOCK * BLOCK;
	int rc = 0;

	if (!validation->block_read || validation->block_at != block)
		rc = channel_look_read(&validation->look.site.parts[1], block, validation->block, BLOCK);
	validation->block_read = !rc;
	validation->block_at = block;
	if (!rc)
		memcpy(ret_record, validation->block + (at - block), RECORD_HEADER);
	return rc;
}

/* Does a large message lie in the part of the area that its sender says it uses? */
static int check_place(struct validation *validation, uint32_t lane, uint64_t position)
{
	const struct channel_look *look = &validation->look;
	uint64_t used = load_rlx(&look_lane(look, lane)->area_used), offset, length;
	struct channel_place place;
	int rc = channel_look_read(&look->site.parts[1], look_place(look, lane, position) + look->plan.form.payload,
				   &place, sizeof(place));

	if (rc)
		return rc;
	offset = load_rlx(&place.offset);
	length = load_rlx(&place.length);
	if (offset % OS_PAGE || offset > used || length > used - offset)
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": the message at position %" PRIu64 " has %" PRIu64 " bytes at %" PRIu64
		     " of its area, of which %" PRIu64 " are in use",
		     lane, position, length, offset, used);
	return 0;
}

/* What is found from one position of a lane up to the last record published. */
struct chain {
	uint64_t end;
	uint64_t messages;
	uint64_t next;   /* number of the message to come after the last; 0: there is none */
	uint64_t before; /* the same for those before the tail */
};

static int follow(struct validation *validation, uint32_t lane, uint64_t from, struct chain *chain)
{
	const struct channel_look *look = &validation->look;
	uint64_t tail = load_rlx(&look_lane(look, lane)->tail), most = from + look->plan.shape.ring;

	*chain = (struct chain){.end = from};
	validation->block_read = false;
	for (;;) {
		struct channel_record record = {.word = 0};
		uint64_t word, size, sequence;
		int rc = read_record(validation, look_place(look, lane, chain->end), &record);

		if (rc)
			return rc;
		word = load_rlx(&record.word);
		sequence = load_rlx(&record.sequence);
		if (!word)
			return 0;
		size = word >> 32 == record_tag(chain->end) ? record_valid(&look->plan.form, chain->end, word) : 0;
		if (!size || chain->end + size > most) {
			tell(validation, STOA_DAMAGE,
			     "sender %" PRIu32 ": what lies at position %" PRIu64 " of its ring, %016" PRIx64
			     ", is no record",
			     lane, chain->end, word);
			return 0;
		}
		if (record_is_message(word)) {
			if (chain->messages && sequence != chain->next)
				tell(validation, STOA_DAMAGE,
				     "sender %" PRIu32 ": message %" PRIu64 " is behind message %" PRIu64, lane,
				     sequence, chain->next - 1);
			chain->messages++;
			chain->next = sequence + 1;
			if (chain->end < tail)
				chain->before = chain->next;
			if (((uint32_t)word & RECORD_KIND_MASK) == RECORD_LARGE)
				rc = check_place(validation, lane, chain->end);
			if (rc)
				return rc;
		}
		chain->end += size;
	}
}

/* Does the receiver live, and has it told where it holds the lanes? */
static int is_settled(const struct channel_look *look, uint32_t place, bool *ret_settled)
{
	const struct channel_reader *reader = look_reader(look, place);
	uint64_t owner = load_rlx(&reader->owner);
	int state = channel_look_owner(&look->site, false, owner, NULL);

	*ret_settled = state == STOA_END_ALIVE && load_rlx(&reader->settled) == owner;
	return state < 0 ? state : 0;
}

/* The position from which on all records of a lane are kept. */
static int first_kept(const struct channel_look *look, uint32_t lane, uint64_t *ret_position)
{
	bool settled;
	int rc = is_settled(look, 0, &settled);

	if (look->plan.shape.kind == STOA_BROADCAST)
		*ret_position = load_rlx(&look_lane(look, lane)->given_up);
	else if (look->plan.shape.receivers == 1 && settled && look_hold(look, 0, lane) < look_head(look, lane))
		*ret_position = look_hold(look, 0, lane);
	else
		*ret_position = look_head(look, lane);
	return rc;
}

/* One lane: records from the first that is kept, up to the tail and what is behind it already. */
static int compare_lane(struct validation *validation, uint32_t place, uint64_t *ret_end)
{
	const struct channel_look *look = &validation->look;
	const struct channel_lane *lane = look_lane(look, place);
	bool queue = look->plan.shape.kind == STOA_QUEUE;
	uint64_t tail = load_rlx(&lane->tail), floor = load_rlx(&lane->floor), sent = load_rlx(&lane->sent);
	uint64_t from;
	struct chain chain;
	int rc = first_kept(look, place, &from);

	*ret_end = 0;
	if (rc)
		return rc;
	if ((from | tail | floor) % CHANNEL_RECORD_UNIT || (from | tail | floor) > POSITION_MAX)
		return 0; /* told already */
	rc = follow(validation, place, from, &chain);
	if (rc)
		return rc;
	*ret_end = chain.end;
	if (tail > chain.end)
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": from %" PRIu64 " on its records reach to %" PRIu64
		     ", and not to its tail %" PRIu64,
		     place, from, chain.end, tail);
	if (queue && look_head(look, place) > chain.end)
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": its head %" PRIu64 " is behind its last record, %" PRIu64, place,
		     look_head(look, place), chain.end);
	if (!queue && (floor < from || floor > chain.end))
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": its floor %" PRIu64 " is not among the records from %" PRIu64 " to %" PRIu64,
		     place, floor, from, chain.end);
	if (chain.messages && (sent > chain.next || sent < chain.before))
		tell(validation, STOA_DAMAGE,
		     "sender %" PRIu32 ": it has sent %" PRIu64 " messages, and its last is number %" PRIu64, place,
		     sent, chain.next - 1);
	return 0;
}

/* Who has told where it holds a broadcast is not overwritten, if the sender is to wait for it. */
static int compare_holds(struct validation *validation, uint32_t lane, uint64_t end)
{
	const struct channel_look *look = &validation->look;
	bool queue = look->plan.shape.kind == STOA_QUEUE;
	uint64_t most = queue ? look_head(look, lane) : end, given_up = load_rlx(&look_lane(look, lane)->given_up);

	for (uint32_t place = 0; place < look->plan.shape.receivers; place++) {
		uint64_t hold = look_hold(look, place, lane);
		bool settled;
		int rc = is_settled(look, place, &settled);

		if (rc)
			return rc;
		if (hold != HOLD_NONE && hold > most)
			tell(validation, STOA_DAMAGE,
			     "receiver %" PRIu32 ": it holds position %" PRIu64 " of sender %" PRIu32
			     ", which is behind the %s, %" PRIu64,
			     place, hold, lane, queue ? "head" : "last record", most);
		if (settled && hold < given_up && load_rlx(&look_reader(look, place)->when_slow) == STOA_BLOCK)
			tell(validation, STOA_DAMAGE,
			     "receiver %" PRIu32 ": it holds position %" PRIu64 " of sender %" PRIu32
			     ", which has given up all up to %" PRIu64,
			     place, hold, lane, given_up);
	}
	return 0;
}

static void compare_stream(struct validation *validation)
{
	const struct channel_look *look = &validation->look;
	uint64_t tail = load_rlx(&look_lane(look, 0)->tail), hold = look_hold(look, 0, 0);

	if (hold > tail || tail - hold > look->plan.shape.ring)
		tell(validation, STOA_DAMAGE,
		     "stream: %" PRIu64 " bytes are read of %" PRIu64 " written, with a ring of %" PRIu64, hold, tail,
		     look->plan.shape.ring);
}

/* Bells are moved by one, from the value slept on. */
static void compare_bells(struct validation *validation, bool of_senders, uint32_t place)
{
	const struct channel_look *look = &validation->look;
	uint32_t bell = (uint32_t)load_rlx(&look_bells(look, !of_senders)->bells[place]);
	uint32_t asleep = of_senders ? load_rlx(&look_lane(look, place)->sleeps_on)
				     : load_rlx(&look_reader(look, place)->sleeps_on);
	uint64_t owner =
		of_senders ? load_rlx(&look_lane(look, place)->owner) : load_rlx(&look_reader(look, place)->owner);
	uint32_t joined =
		of_senders ? load_rlx(&look_lane(look, place)->joined) : load_rlx(&look_reader(look, place)->joined);
	const char *what = of_senders ? "sender" : "receiver";

	if (bell - asleep > 1)
		tell(validation, STOA_DAMAGE, "%s %" PRIu32 ": it slept on bell %" PRIu32 ", which has %" PRIu32, what,
		     place, asleep, bell);
	if (load_rlx(&look_bells(look, of_senders)->waiting) >> place & 1 && !owner && !joined)
		tell(validation, STOA_DAMAGE, "%s %" PRIu32 ": it sleeps, and nobody has ever had the place", what,
		     place);
}

static int compare(struct validation *validation)
{
	const struct channel_shape *shape = &validation->look.plan.shape;
	uint64_t end;
	int rc = 0;

	for (uint32_t place = 0; place < shape->receivers; place++)
		compare_bells(validation, false, place);
	if (shape->kind == CHANNEL_STREAM)
		compare_stream(validation);
	for (uint32_t lane = 0; lane < shape->senders && !rc; lane++) {
		compare_bells(validation, true, lane);
		if (shape->kind == CHANNEL_STREAM)
			continue;
		rc = compare_lane(validation, lane, &end);
		if (!rc)
			rc = compare_holds(validation, lane, end);
	}
	return rc;
}

/* What is wrong is told if nothing has moved since the words were copied. Then once more, with them as they are now. */
static int compare_still(struct validation *validation, unsigned char *later, bool *ret_done)
{
	struct channel_look *look = &validation->look;
	unsigned before = validation->damages;
	int rc;

	validation->mute = true;
	rc = compare(validation);
	validation->mute = false;
	*ret_done = validation->damages == before;
	validation->damages = before;
	if (rc || *ret_done)
		return rc;
	rc = channel_look_again(look, later);
	if (rc)
		return rc;
	*ret_done = memcmp(look->copy, later, look->words) == 0;
	if (*ret_done)
		return compare(validation);
	memcpy(look->copy, later, look->words);
	return 0;
}

static int validate(struct validation *validation, unsigned char *later)
{
	bool done = false;
	int rc = check_words(validation);

	for (unsigned i = 0; i < STILL_TRIES && !rc && !done; i++)
		rc = compare_still(validation, later, &done);
	if (!rc && !done)
		tell(validation, STOA_REMARK,
		     "its words move too fast to be compared with each other; each by itself was looked at");
	return rc;
}

int channel_valid(const struct channel_site *site,
		  void (*tell_finding)(void *argument, int severity, const char *sentence), void *argument)
{
	struct validation validation = {.tell = tell_finding, .argument = argument};
	unsigned char *later;
	int rc = channel_look(site, &validation.look);

	if (rc == -STOA_EFORMAT || rc == -STOA_EVERSION) {
		tell(&validation, STOA_DAMAGE, "header: %s", stoa_error_detail());
		return 0;
	}
	if (rc)
		return rc;
	later = os_allocate(validation.look.words + BLOCK);
	if (later) {
		validation.block = later + validation.look.words;
		rc = validate(&validation, later);
		os_free(later);
	}
	channel_look_end(&validation.look);
	return later ? rc : -STOA_ENOMEM;
}
