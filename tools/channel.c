/* SPDX-License-Identifier: MIT */
/* A channel's numbers: added up, as text, as JSON. Uses the public API. */
#include "channel.h"

#include <inttypes.h>

bool channel_inspect(const struct object *object, struct stoa_channel_stat *ret_stat)
{
	return object->is.kind == STOA_KIND_CHANNEL && stoa_inspect_channel(object->inspector, 0, ret_stat) == 0;
}

/* What an enemy wrote may not fit. */
static void add(uint64_t *sum, uint64_t more)
{
	*sum = *sum + more < more ? UINT64_MAX : *sum + more;
}

void channel_add_up(const struct stoa_channel_stat *stat, struct channel_totals *ret_totals)
{
	struct channel_totals totals = {0};

	for (uint32_t i = 0; i < stat->senders; i++) {
		add(&totals.sent, stat->sender[i].messages);
		add(&totals.sent_bytes, stat->sender[i].bytes);
		add(&totals.sleeps, stat->sender[i].sleeps);
		add(&totals.wakes, stat->sender[i].wakes);
		totals.used += stat->sender[i].used;
		totals.most += stat->sender[i].most;
		totals.lag += stat->sender[i].lag;
		totals.lag_bytes += stat->sender[i].lag_bytes;
	}
	for (uint32_t i = 0; i < stat->receivers; i++) {
		add(&totals.received, stat->receiver[i].messages);
		add(&totals.received_bytes, stat->receiver[i].bytes);
		add(&totals.lost, stat->receiver[i].lost);
		add(&totals.sleeps, stat->receiver[i].sleeps);
		add(&totals.wakes, stat->receiver[i].wakes);
	}
	*ret_totals = totals;
}

const char *channel_kind(uint32_t kind)
{
	static const char *const names[] = {"queue", "broadcast", "stream"};

	return kind <= STOA_STREAM ? names[kind] : "?";
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {"free", "alive", "dead", "unknown"};

	return state <= STOA_END_UNKNOWN ? names[state] : "?";
}

static const char *when_slow_name(uint32_t when_slow)
{
	static const char *const names[] = {"block", "drop oldest", "detach"};

	return when_slow <= STOA_DETACH ? names[when_slow] : "?";
}

const char *channel_summary(const struct stoa_channel_stat *stat, char buffer[CHANNEL_SUMMARY])
{
	struct channel_totals totals;
	char sent[SIZE_TEXT], behind[SIZE_TEXT];

	channel_add_up(stat, &totals);
	if (stat->kind == STOA_STREAM)
		snprintf(buffer, CHANNEL_SUMMARY, "stream %" PRIu32 ":%" PRIu32 ", %s written, %s behind",
			 stat->senders_alive, stat->receivers_alive, size_text(totals.sent_bytes, sent),
			 size_text(totals.lag_bytes, behind));
	else
		snprintf(buffer, CHANNEL_SUMMARY, "%s %" PRIu32 ":%" PRIu32 ", %" PRIu64 " sent, %" PRIu64 " behind",
			 channel_kind(stat->kind), stat->senders_alive, stat->receivers_alive, totals.sent, totals.lag);
	return buffer;
}

/* ---- text ---- */

/* "  0 alive, thread 4711, asleep: " */
static void print_end(const struct object *object, uint32_t place, uint32_t state, uint32_t slot, uint32_t asleep)
{
	struct stoa_member member;

	printf("%-11s   %" PRIu32 " %s", "", place, state_name(state));
	if (state == STOA_END_ALIVE && stoa_inspect_member(object->inspector, slot, &member) == 0 &&
	    member.slot == slot && member.thread)
		printf(", thread %" PRIu32, member.thread);
	printf("%s: ", asleep ? ", asleep" : "");
}

static void print_sender(const struct object *object, uint32_t place, const struct stoa_sender_stat *sender)
{
	char bytes[SIZE_TEXT], used[SIZE_TEXT], most[SIZE_TEXT];

	print_end(object, place, sender->state, sender->slot, sender->asleep);
	printf("%" PRIu64 " sent, %s; %s of the ring in use, %s at most; %" PRIu64 " behind; slept %" PRIu64
	       " times, woke %" PRIu64 "\n",
	       sender->messages, size_text(sender->bytes, bytes), size_text(sender->used, used),
	       size_text(sender->most, most), sender->lag, sender->sleeps, sender->wakes);
}

static void print_receiver(const struct object *object, uint32_t place, uint32_t kind,
			   const struct stoa_receiver_stat *receiver)
{
	char bytes[SIZE_TEXT], holds[SIZE_TEXT];

	print_end(object, place, receiver->state, receiver->slot, receiver->asleep);
	printf("%" PRIu64 " received, %s; holds %s; %" PRIu64 " behind; ", receiver->messages,
	       size_text(receiver->bytes, bytes), size_text(receiver->holds, holds), receiver->lag);
	if (kind == STOA_BROADCAST)
		printf("%" PRIu64 " lost, when slow %s; ", receiver->lost, when_slow_name(receiver->when_slow));
	printf("slept %" PRIu64 " times, woke %" PRIu64 "\n", receiver->sleeps, receiver->wakes);
}

void channel_print(const struct object *object, const struct stoa_channel_stat *stat)
{
	char ring[SIZE_TEXT], most[SIZE_TEXT];

	printf("%-11s %s, rings of %s", "channel", channel_kind(stat->kind), size_text(stat->ring, ring));
	if (stat->kind != STOA_STREAM)
		printf(", messages of at most %s, aligned to %" PRIu32, size_text(stat->message_max, most),
		       stat->alignment);
	printf("%s\n", stat->flags & STOA_TIMES ? ", with times" : "");
	printf("%-11s %" PRIu32 " of %" PRIu32 " places\n", "senders", stat->senders_alive, stat->senders);
	for (uint32_t i = 0; i < stat->senders; i++)
		if (stat->sender[i].joined || stat->sender[i].state != STOA_END_FREE)
			print_sender(object, i, &stat->sender[i]);
	printf("%-11s %" PRIu32 " of %" PRIu32 " places\n", "receivers", stat->receivers_alive, stat->receivers);
	for (uint32_t i = 0; i < stat->receivers; i++)
		if (stat->receiver[i].joined || stat->receiver[i].state != STOA_END_FREE)
			print_receiver(object, i, stat->kind, &stat->receiver[i]);
}

/* ---- JSON ---- */

static void json_end_state(struct json *json, uint32_t place, uint32_t state, uint32_t slot, uint32_t joined,
			   uint32_t asleep)
{
	json_number(json, "place", place);
	json_text(json, "state", state_name(state));
	json_number(json, "slot", slot);
	json_number(json, "joined", joined);
	json_bool(json, "asleep", asleep != 0);
}

static void json_sender(struct json *json, uint32_t place, const struct stoa_sender_stat *sender)
{
	json_object_begin(json, NULL);
	json_end_state(json, place, sender->state, sender->slot, sender->joined, sender->asleep);
	json_number(json, "messages", sender->messages);
	json_number(json, "bytes", sender->bytes);
	json_number(json, "sleeps", sender->sleeps);
	json_number(json, "wakes", sender->wakes);
	json_number(json, "used", sender->used);
	json_number(json, "most", sender->most);
	json_number(json, "lag", sender->lag);
	json_number(json, "lag_bytes", sender->lag_bytes);
	json_object_end(json);
}

static void json_receiver(struct json *json, uint32_t place, const struct stoa_receiver_stat *receiver)
{
	json_object_begin(json, NULL);
	json_end_state(json, place, receiver->state, receiver->slot, receiver->joined, receiver->asleep);
	json_text(json, "when_slow", when_slow_name(receiver->when_slow));
	json_number(json, "messages", receiver->messages);
	json_number(json, "bytes", receiver->bytes);
	json_number(json, "lost", receiver->lost);
	json_number(json, "sleeps", receiver->sleeps);
	json_number(json, "wakes", receiver->wakes);
	json_number(json, "lag", receiver->lag);
	json_number(json, "lag_bytes", receiver->lag_bytes);
	json_number(json, "holds", receiver->holds);
	json_object_end(json);
}

static void json_totals(struct json *json, const struct stoa_channel_stat *stat)
{
	struct channel_totals totals;

	channel_add_up(stat, &totals);
	json_text(json, "kind", channel_kind(stat->kind));
	json_number(json, "ring", stat->ring);
	json_number(json, "message_max", stat->message_max);
	json_number(json, "sender_places", stat->senders);
	json_number(json, "receiver_places", stat->receivers);
	json_number(json, "senders_alive", stat->senders_alive);
	json_number(json, "receivers_alive", stat->receivers_alive);
	json_number(json, "sent", totals.sent);
	json_number(json, "sent_bytes", totals.sent_bytes);
	json_number(json, "received", totals.received);
	json_number(json, "received_bytes", totals.received_bytes);
	json_number(json, "lost", totals.lost);
	json_number(json, "sleeps", totals.sleeps);
	json_number(json, "wakes", totals.wakes);
	json_number(json, "used", totals.used);
	json_number(json, "most", totals.most);
	json_number(json, "lag", totals.lag);
	json_number(json, "lag_bytes", totals.lag_bytes);
}

static void json_ends(struct json *json, const struct stoa_channel_stat *stat)
{
	json_array_begin(json, "senders");
	for (uint32_t i = 0; i < stat->senders; i++)
		json_sender(json, i, &stat->sender[i]);
	json_array_end(json);
	json_array_begin(json, "receivers");
	for (uint32_t i = 0; i < stat->receivers; i++)
		json_receiver(json, i, &stat->receiver[i]);
	json_array_end(json);
}

void channel_json(struct json *json, const struct stoa_channel_stat *stat, bool ends)
{
	if (!stat) {
		json_null(json, "channel");
		return;
	}
	json_object_begin(json, "channel");
	json_totals(json, stat);
	if (ends) {
		json_number(json, "alignment", stat->alignment);
		json_bool(json, "times", (stat->flags & STOA_TIMES) != 0);
		json_ends(json, stat);
	}
	json_object_end(json);
}
