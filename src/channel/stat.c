/* SPDX-License-Identifier: MIT */
/*
 * A channel in numbers. All follows from words that senders and receivers keep for each other: nothing is counted for this alone.
 * Whoever writes the channel may have written anything there; so distances are no longer than the ring, and messages no more than fit in it.
 * Uses look.
 */
#include <channel/look.h>

_Static_assert(STOA_STREAM == CHANNEL_STREAM, "kinds are passed through");

/* Bytes from a position up to a later one. They may have been read at two moments, or be lies. */
static uint64_t distance(const struct channel_look *look, uint64_t from, uint64_t to)
{
	if (to <= from)
		return 0;
	return to - from < look->plan.shape.ring ? to - from : look->plan.shape.ring;
}

static uint64_t tail_of(const struct channel_look *look, uint32_t lane)
{
	return whole_position(load_rlx(&look_lane(look, lane)->tail));
}

struct lag {
	uint64_t messages, bytes;
};

#define SKIPS 64 /* cancelled messages in a row that are looked behind */

/* The number of the first message from `position` on, UINT64_MAX if it cannot be read. */
static int find_sequence(const struct channel_look *look, uint32_t lane, uint64_t position, uint64_t *ret_sequence)
{
	uint64_t tail = tail_of(look, lane), sequence = UINT64_MAX;

	for (unsigned i = 0; i < SKIPS && position < tail && sequence == UINT64_MAX; i++) {
		struct channel_record record = {.word = 0};
		uint64_t word, size = 0;
		int rc = channel_look_read(&look->site.parts[1], look_place(look, lane, position), &record,
					   RECORD_HEADER);

		if (rc)
			return rc;
		word = load_rlx(&record.word);
		if (word >> 32 == record_tag(position))
			size = record_valid(&look->plan.form, position, word);
		if (!size)
			break;
		if (record_is_message(word))
			sequence = load_rlx(&record.sequence);
		position += size;
	}
	*ret_sequence = sequence;
	return 0;
}

/* What lies between a position and what is sent. */
static int measure(const struct channel_look *look, uint32_t lane, uint64_t position, struct lag *ret_lag)
{
	uint64_t tail = tail_of(look, lane), sent = load_rlx(&look_lane(look, lane)->sent), sequence;
	struct lag lag = {.bytes = distance(look, position, tail)};
	uint64_t most = lag.bytes / CHANNEL_RECORD_UNIT;
	int rc = find_sequence(look, lane, position, &sequence);

	if (rc)
		return rc;
	if (sequence < sent && sent - sequence <= most)
		lag.messages = sent - sequence;
	else if (lag.bytes && sent) /* of the usual size */
		lag.messages = (uint64_t)((double)lag.bytes * (double)sent / (double)tail);
	if (lag.messages > most)
		lag.messages = most;
	*ret_lag = lag;
	return 0;
}

static bool counts(uint32_t state)
{
	return state == STOA_END_ALIVE || state == STOA_END_UNKNOWN;
}

/* Where the sender of a lane must not overwrite: from here on. */
static void lower(uint64_t *least, uint64_t position)
{
	if (position < *least)
		*least = position;
}

/* What a receiver has to do with a lane of a queue. */
static void regard_in_queue(const struct channel_look *look, uint32_t place, uint32_t lane,
			    struct stoa_receiver_stat *receiver, const struct stoa_sender_stat *sender, uint64_t *least)
{
	uint64_t tail = tail_of(look, lane), hold = look_hold(look, place, lane);

	receiver->lag += sender->lag;
	receiver->lag_bytes += sender->lag_bytes;
	if (hold == HOLD_NONE || hold < tail - distance(look, 0, tail)) /* still joining */
		return;
	receiver->holds += distance(look, whole_position(hold), whole_position(look_head(look, lane)));
	lower(least, whole_position(hold));
}

/* The same in a broadcast: how far behind it is, too. */
static int regard_in_broadcast(const struct channel_look *look, uint32_t place, uint32_t lane,
			       struct stoa_receiver_stat *receiver, struct stoa_sender_stat *sender, uint64_t *least)
{
	uint64_t hold = look_hold(look, place, lane), floor = load_rlx(&look_lane(look, lane)->floor);
	struct lag lag;
	int rc = measure(look, lane, whole_position(hold > floor ? hold : floor), &lag);

	if (rc)
		return rc;
	receiver->lag += lag.messages;
	receiver->lag_bytes += lag.bytes;
	if (lag.bytes > sender->lag_bytes) {
		sender->lag = lag.messages;
		sender->lag_bytes = lag.bytes;
	}
	if (hold >= floor && receiver->when_slow == STOA_BLOCK) {
		receiver->holds += distance(look, whole_position(hold), tail_of(look, lane));
		lower(least, whole_position(hold));
	}
	return 0;
}

/* Receivers are known already. */
static int stat_lane(const struct channel_look *look, uint32_t lane, struct stoa_channel_stat *stat)
{
	struct stoa_sender_stat *sender = &stat->sender[lane];
	uint64_t least = tail_of(look, lane);
	struct lag lag;
	int rc = 0;

	if (stat->kind == STOA_QUEUE) {
		lower(&least, whole_position(look_head(look, lane)));
		rc = measure(look, lane, whole_position(look_head(look, lane)), &lag);
		if (rc)
			return rc;
		sender->lag = lag.messages;
		sender->lag_bytes = lag.bytes;
	}
	for (uint32_t place = 0; place < stat->receivers && !rc; place++) {
		struct stoa_receiver_stat *receiver = &stat->receiver[place];

		if (!counts(receiver->state))
			continue;
		if (stat->kind == STOA_QUEUE)
			regard_in_queue(look, place, lane, receiver, sender, &least);
		else
			rc = regard_in_broadcast(look, place, lane, receiver, sender, &least);
	}
	sender->used = distance(look, least, tail_of(look, lane));
	return rc;
}

/* Its bytes are all there is to count. */
static void stat_stream(const struct channel_look *look, struct stoa_sender_stat *writer,
			struct stoa_receiver_stat *reader)
{
	writer->bytes = load_rlx(&look_lane(look, 0)->tail);
	reader->bytes = look_hold(look, 0, 0);
	writer->used = distance(look, reader->bytes, writer->bytes);
	writer->lag_bytes = reader->lag_bytes = reader->holds = writer->used;
}

static void bound_most(struct stoa_sender_stat *sender, uint64_t ring, uint64_t large)
{
	if (sender->most < sender->used)
		sender->most = sender->used;
	if (sender->most > ring)
		sender->most = ring;
	if (sender->area > large)
		sender->area = large;
}

static int stat_sender(const struct channel_look *look, uint32_t place, struct stoa_sender_stat *ret_sender)
{
	const struct channel_lane *lane = look_lane(look, place);
	uint64_t owner = load_rlx(&lane->owner);
	int state = channel_look_owner(&look->site, true, owner, NULL);

	if (state < 0)
		return state;
	*ret_sender = (struct stoa_sender_stat){
		.state = (uint32_t)state,
		.slot = (uint32_t)(owner & ROSTER_SLOT_MASK),
		.joined = load_rlx(&lane->joined),
		.asleep = counts((uint32_t)state) && load_rlx(&look_bells(look, true)->waiting) >> place & 1,
		.messages = load_rlx(&lane->sent),
		.bytes = load_rlx(&lane->bytes),
		.sleeps = load_rlx(&lane->sleeps),
		.wakes = load_rlx(&lane->wakes),
		.most = load_rlx(&lane->most),
		.area = load_rlx(&lane->area_used),
	};
	return 0;
}

static int stat_receiver(const struct channel_look *look, uint32_t place, struct stoa_receiver_stat *ret_receiver)
{
	const struct channel_reader *reader = look_reader(look, place);
	uint64_t owner = load_rlx(&reader->owner);
	int state = channel_look_owner(&look->site, false, owner, NULL);

	if (state < 0)
		return state;
	*ret_receiver = (struct stoa_receiver_stat){
		.state = (uint32_t)state,
		.slot = (uint32_t)(owner & ROSTER_SLOT_MASK),
		.joined = load_rlx(&reader->joined),
		.asleep = counts((uint32_t)state) && load_rlx(&look_bells(look, false)->waiting) >> place & 1,
		.when_slow = load_rlx(&reader->when_slow),
		.messages = load_rlx(&reader->received),
		.bytes = load_rlx(&reader->bytes),
		.lost = load_rlx(&reader->lost),
		.sleeps = load_rlx(&reader->sleeps),
		.wakes = load_rlx(&reader->wakes),
	};
	return 0;
}

static int fill_in(const struct channel_look *look, struct stoa_channel_stat *stat)
{
	int rc = 0;

	for (uint32_t place = 0; place < stat->senders && !rc; place++) {
		rc = stat_sender(look, place, &stat->sender[place]);
		stat->senders_alive += stat->sender[place].state == STOA_END_ALIVE;
	}
	for (uint32_t place = 0; place < stat->receivers && !rc; place++) {
		rc = stat_receiver(look, place, &stat->receiver[place]);
		stat->receivers_alive += stat->receiver[place].state == STOA_END_ALIVE;
	}
	for (uint32_t lane = 0; lane < stat->senders && !rc; lane++) {
		if (stat->kind == STOA_STREAM)
			stat_stream(look, &stat->sender[0], &stat->receiver[0]);
		else
			rc = stat_lane(look, lane, stat);
		bound_most(&stat->sender[lane], stat->ring, stat->large);
	}
	return rc;
}

int channel_stat(const struct channel_site *site, struct stoa_channel_stat *ret_stat)
{
	struct stoa_channel_stat stat = {0};
	struct channel_look look;
	int rc = channel_look(site, &look);

	if (rc)
		return rc;
	stat.kind = look.plan.shape.kind;
	stat.flags = look.plan.shape.flags;
	stat.senders = look.plan.shape.senders;
	stat.receivers = look.plan.shape.receivers;
	stat.ring = look.plan.shape.ring;
	stat.large = look.plan.shape.large;
	stat.alignment = look.plan.shape.alignment;
	stat.message_max = look.plan.payload_max > stat.large ? look.plan.payload_max : stat.large;
	if (stat.kind == STOA_STREAM)
		stat.message_max = 0;
	stat.size = look.plan.receiving_length + look.plan.sending_reserve;
	rc = fill_in(&look, &stat);
	channel_look_end(&look);
	if (!rc)
		*ret_stat = stat;
	return rc;
}

int stoa_channel_stat(const struct stoa_channel *channel, struct stoa_channel_stat *ret_stat)
{
	struct channel_site site;

	if (!channel)
		return error_set(-STOA_EINVAL, "no channel was given");
	if (!ret_stat)
		return error_set(-STOA_EINVAL, "no place for the statistics was given");
	site = channel_site(channel);
	return channel_stat(&site, ret_stat);
}
