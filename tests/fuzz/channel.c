/* SPDX-License-Identifier: MIT */
/*
 * A channel of random bytes: attached as it comes and, made likely, with headers of ours; then used by both ends. The input's first bytes
 * choose the options, the next ones what is overwritten where, the rest what is done. Whatever comes out lies within the rings.
 */
#include <channel/look.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define ARENA (UINT64_C(1) << 16)

struct input {
	const uint8_t *next;
	size_t left;
};

static uint64_t take(struct input *input, unsigned count)
{
	uint64_t value = 0;

	for (; count && input->left; count--, input->left--)
		value = value << 8 | *input->next++;
	return value;
}

static void judge(const struct stoa_channel *channel, const void *bytes, uint64_t length)
{
	uint64_t at = (uint64_t)((const unsigned char *)bytes - channel->sending);

	if (at < channel->plan.rings || at > channel->plan.sending_reserve ||
	    length > channel->plan.sending_reserve - at)
		abort();
}

/* What an enemy may write: a word anywhere, or a record's word at a position that somebody comes to. */
static void overwrite(struct stoa_channel *channel, struct input *input)
{
	uint64_t where = take(input, 2), kind = take(input, 1), value = take(input, 1 + kind % 8);
	uint64_t all = channel->plan.receiving_length + channel->plan.sending_reserve;
	uint64_t position =
		load_rlx(kind & 32 ? &channel->lanes[0].tail : channel_hold(channel, 0, 0)) + where % 16 * 64;
	uint64_t mask = channel->plan.shape.ring - CHANNEL_RECORD_UNIT;

	if (kind & 16)
		store_rlx(&record_at(channel_ring(channel, 0), mask, position)->word,
			  record_word(position, (uint32_t)value));
	else if (kind & 64)
		store_rlx((_Atomic uint64_t *)(void *)(channel->receiving + where * 8 % all), value);
	else if (kind & 128)
		store_rlx(&channel->lanes[0].tail + where % 16, value);
	else
		store_rlx(channel_hold(channel, 0, 0) + where % 64, value);
}

static void send(struct stoa_channel *channel, struct stoa_sender *sender, struct input *input)
{
	uint64_t choice = take(input, 2);
	struct stoa_loan loan;

	if (!sender || stoa_sender_loan(sender, choice % (channel->plan.payload_max + 1), STOA_TRY, &loan))
		return;
	judge(channel, loan.bytes, loan.length);
	memset(loan.bytes, 1, loan.length);
	if (choice & 0x8000)
		loan.length /= 2;
	if (choice & 0x4000 ? stoa_sender_cancel(sender, &loan) : stoa_sender_commit(sender, &loan))
		abort();
}

static void receive(struct stoa_channel *channel, struct stoa_receiver *receiver, struct input *input)
{
	struct stoa_message message;
	unsigned char copy[2048];
	uint64_t choice = take(input, 1);

	if (!receiver)
		return;
	if (choice & 1) {
		(void)stoa_receiver_recv(receiver, copy, sizeof(copy), choice & 2 ? STOA_TRY : stoa_deadline_in(1),
					 &message);
	} else if (stoa_receiver_receive(receiver, choice & 2 ? STOA_TRY : stoa_deadline_in(1), &message) == 0) {
		judge(channel, message.bytes, message.length);
		if (choice & 4 && stoa_receiver_release(receiver, &message) < 0)
			abort();
	}
}

/* From outside: whatever lies there, the numbers are such as can be. */
static void ignore(void *argument, int severity, const char *sentence)
{
	if (!sentence[0] || severity > STOA_DAMAGE)
		abort();
	(void)argument;
}

static void look(const struct stoa_channel *channel)
{
	const struct channel_site site = channel_site(channel);
	struct stoa_channel_stat stat;

	if (channel_valid(&site, ignore, NULL))
		abort();
	if (stoa_channel_stat(channel, &stat))
		return; /* its header was overwritten */
	for (uint32_t i = 0; i < stat.senders; i++)
		if (stat.sender[i].used > stat.ring || stat.sender[i].most > stat.ring ||
		    stat.sender[i].lag_bytes > stat.ring || stat.sender[i].lag > stat.ring / CHANNEL_RECORD_UNIT)
			abort();
}

static void use(struct stoa_channel *channel, struct input *input)
{
	struct stoa_receiver_options options = {.waiting = (uint32_t)take(input, 1) % 3};
	struct stoa_receiver *receiver = NULL;
	struct stoa_sender *sender = NULL;

	if (channel->plan.shape.kind == STOA_BROADCAST)
		options.when_slow = (uint32_t)take(input, 1) % 3, options.from = take(input, 1) & 1;
	while (input->left) {
		switch (take(input, 1) % 8) {
		case 0: look(channel); break;
		case 1: overwrite(channel, input); break;
		case 2:
		case 3: send(channel, sender, input); break;
		case 4:
		case 5: receive(channel, receiver, input); break;
		case 6:
			stoa_sender_leave(sender);
			sender = NULL;
			(void)stoa_sender_join(channel, NULL, &sender);
			break;
		default:
			stoa_receiver_leave(receiver);
			receiver = NULL;
			(void)stoa_receiver_join(channel, &options, &receiver);
		}
	}
	stoa_sender_leave(sender);
	stoa_receiver_leave(receiver);
}

static struct stoa_segment *arena(void)
{
	static struct stoa_segment *segment;
	static const struct stoa_segment_options options = {.commit = ARENA};

	if (!segment && stoa_segment_create(NULL, ARENA, &options, &segment))
		abort();
	return segment;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct input input = {bytes, length};
	uint64_t choice = take(&input, 1);
	const struct stoa_channel_options options = {.kind = choice & 1,
						     .flags = choice & 2 ? STOA_TIMES : 0,
						     .senders = 1 + (choice >> 2 & 1),
						     .receivers = 1 + (choice >> 3 & 1),
						     .ring = choice & 16 ? 4096 : 8192,
						     .alignment = 16u << (choice >> 5),
						     .large = choice & 4 ? 0 : 8192};
	unsigned char *at = stoa_segment_address(arena());
	struct stoa_channel *channel;
	struct channel_plan plan;

	if (choice == 0xff) {
		memset(at, 0, ARENA);
		memcpy(at, input.next, input.left < ARENA ? input.left : ARENA);
		if (stoa_channel_attach(arena(), 0, &channel) == 0)
			stoa_channel_close(channel);
		return 0;
	}
	if (channel_plan(&options, &plan))
		return 0;
	/* At the end of the memory, so that what lies behind it is nobody's. */
	if (stoa_channel_place(arena(), ARENA - plan.receiving_length - plan.sending_reserve, &options, &channel))
		abort();
	use(channel, &input);
	stoa_channel_close(channel);
	return 0;
}
