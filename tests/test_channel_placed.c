/* SPDX-License-Identifier: MIT */
/*
 * Channels and streams that were placed in a segment, as they are found and checked from outside: in order, damaged, and where an enemy has
 * written what lies there. Nothing is read beyond what is committed, and nothing that looks like a channel makes a check fail.
 */
#include <channel/stream.h>
#include <segment/common.h>

#include <inttypes.h>

#define RESERVE (UINT64_C(4) * MIB)

struct findings {
	unsigned counts[2];
	char last[300];     /* damage */
	const char *wanted; /* in one of them */
	bool seen;
};

static void note(void *argument, int severity, const char *sentence)
{
	struct findings *findings = argument;

	CHECK(severity == STOA_REMARK || severity == STOA_DAMAGE);
	findings->counts[severity]++;
	if (severity != STOA_DAMAGE)
		return;
	findings->seen |= findings->wanted && strstr(sentence, findings->wanted);
	snprintf(findings->last, sizeof(findings->last), "%s", sentence);
}

static struct stoa_segment *segment;
static struct stoa_inspector *inspector;

static void set_up(uint64_t commit)
{
	const struct stoa_segment_options options = {.commit = commit};

	CHECK_RC(stoa_segment_create(test_name("user's"), RESERVE, &options, &segment), 0);
	CHECK_RC(stoa_inspect_open(test_name("user's"), 0, &inspector), 0);
}

static void end(void)
{
	stoa_inspect_close(inspector);
	stoa_segment_close(segment);
}

static struct findings look_for(const char *text, uint64_t offset)
{
	struct findings findings = {.wanted = text};
	int rc = stoa_inspect_check_channel(inspector, offset, note, &findings);

	CHECK_RC(rc < 0 ? rc : 0, 0);
	CHECK_EQ(rc < 50 ? rc : 50, findings.counts[STOA_DAMAGE]); /* of more a remark tells */
	return findings;
}

static struct findings findings_at(uint64_t offset)
{
	return look_for(NULL, offset);
}

static void expect_in_order(uint64_t offset)
{
	struct findings findings = findings_at(offset);

	if (findings.counts[STOA_DAMAGE])
		test_fail(__FILE__, __LINE__, "at %" PRIu64 ": %s", offset, findings.last);
	CHECK_EQ(findings.counts[STOA_REMARK], 0);
}

static void expect_damage(uint64_t offset, const char *text)
{
	struct findings findings = look_for(text, offset);

	if (!findings.seen)
		test_fail(__FILE__, __LINE__, "at %" PRIu64 ": %u damages, e.g. '%s', and none of '%s'", offset,
			  findings.counts[STOA_DAMAGE], findings.last, text);
}

/* Where, from the begin on, channels are found: at most as many as there is room for. */
static unsigned find_all(uint64_t *offsets, unsigned room)
{
	uint64_t at = 0, length;
	unsigned count = 0;
	int rc;

	while ((rc = stoa_inspect_find_channel(inspector, at, &at, &length)) == 0) {
		CHECK_INT(length, >=, PAGE);
		CHECK_EQ(at % PAGE, 0);
		CHECK_INT(at + length, <=, stoa_segment_committed(segment));
		if (count < room)
			offsets[count] = at;
		count++;
		at += length;
	}
	CHECK_RC(rc, -STOA_ENOENT);
	return count;
}

static struct stoa_channel *place(uint64_t offset, struct stoa_channel_options options)
{
	struct stoa_channel *channel;

	CHECK_RC(stoa_channel_place(segment, offset, &options, &channel), 0);
	return channel;
}

static struct stoa_stream *place_stream(uint64_t offset)
{
	const struct stoa_stream_options options = {.ring = 4096};
	struct stoa_stream *stream;

	CHECK_RC(stoa_stream_place(segment, offset, &options, &stream), 0);
	return stream;
}

/* ---- in order ---- */

static void use(struct stoa_channel *channel, uint64_t offset)
{
	static unsigned char bytes[70000];
	struct stoa_receiver *receiver;
	struct stoa_sender *sender;
	struct stoa_message message;

	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_receiver_join(channel, NULL, &receiver), 0);
	for (unsigned i = 0; i < 300; i++) {
		CHECK_RC(stoa_sender_send(sender, bytes, i % 10 ? i : sizeof(bytes), STOA_TRY), 0);
		if (i % 20 == 0)
			expect_in_order(offset);
		CHECK_RC(stoa_receiver_receive(receiver, STOA_TRY, &message), 0);
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	}
	stoa_sender_leave(sender);
	expect_in_order(offset);
	stoa_receiver_leave(receiver);
	expect_in_order(offset);
}

TEST(in_order)
{
	const struct stoa_channel_options queue = {.ring = 4096, .senders = 2, .receivers = 3, .large = 1 << 18};
	const struct stoa_channel_options broadcast = {.kind = STOA_BROADCAST, .ring = 8192, .large = 1 << 18};
	struct stoa_channel *channels[2];
	struct stoa_stream *stream;
	struct stoa_writer *writer;
	uint64_t offsets[4];

	set_up(0);
	CHECK_EQ(find_all(NULL, 0), 0);
	channels[0] = place(PAGE, queue);
	channels[1] = place(MIB, broadcast);
	stream = place_stream(3 * MIB);
	/* The begin of a page, and nowhere else: what is in the rings is no channel, and the second parts are not either. */
	memcpy(channel_ring(channels[0], 0), channels[0]->receiving, 64);
	memcpy(bytes_of(segment) + 100, channels[0]->receiving, 64);
	CHECK_EQ(find_all(offsets, 4), 3);
	CHECK_EQ(offsets[0], PAGE);
	CHECK_EQ(offsets[1], MIB);
	CHECK_EQ(offsets[2], 3 * MIB);
	memset(channel_ring(channels[0], 0), 0, 64);
	for (unsigned i = 0; i < 3; i++)
		expect_in_order(offsets[i]);
	use(channels[0], PAGE);
	use(channels[1], MIB);
	CHECK_RC(stoa_writer_join(stream, NULL, &writer), 0);
	CHECK_RC(stoa_stream_write(writer, "bytes", 5, STOA_TRY, NULL), 0);
	expect_in_order(3 * MIB);
	stoa_writer_leave(writer);
	expect_in_order(3 * MIB);
	stoa_stream_close(stream);
	stoa_channel_close(channels[0]);
	stoa_channel_close(channels[1]);
	end();
}

static void join_and_die(void *argument)
{
	struct stoa_segment *opened;
	struct stoa_channel *channel;
	struct stoa_sender *sender;

	CHECK_RC(stoa_segment_open(test_name("user's"), NULL, &opened), 0);
	CHECK_RC(stoa_channel_attach(opened, 2 * PAGE, &channel), 0);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	atomic_store((_Atomic uint32_t *)argument, 1);
	test_pause();
}

TEST(the_dead_are_a_remark)
{
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));
	struct findings findings;
	pid_t role;

	set_up(0);
	stoa_channel_close(place(2 * PAGE, (struct stoa_channel_options){.ring = 4096}));
	role = test_role(join_and_die, (void *)ready);
	test_await(ready, 1);
	expect_in_order(2 * PAGE);
	test_kill(role);
	findings = findings_at(2 * PAGE);
	CHECK_EQ(findings.counts[STOA_DAMAGE], 0);
	CHECK_EQ(findings.counts[STOA_REMARK], 1);
	end();
}

/* ---- damaged ---- */

static void flip(void *at)
{
	*(unsigned char *)at ^= 0x40;
}

TEST(damaged_words)
{
	struct stoa_channel *channel;
	struct stoa_stream *stream;
	struct stoa_sender *sender;

	set_up(0);
	channel = place(PAGE, (struct stoa_channel_options){.ring = 4096, .senders = 2, .receivers = 2});
	stream = place_stream(MIB);
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
	CHECK_RC(stoa_sender_send(sender, "message", 8, STOA_TRY), 0);
	const struct {
		uint64_t at;
		void *byte;
		const char *text;
	} damages[] = {
		{PAGE, channel->receiving + 16, "a channel's header is damaged"},
		{PAGE, channel->receiving + 1, "does not begin with the mark"},
		{PAGE, channel->receiving + 9, "another layout"},
		{PAGE, channel->receiving + 30, "header is damaged"},
		{PAGE, channel->receiving + 100, "receiving part: byte 100 is not used"},
		{PAGE, channel->sending + 32, "header is damaged"},
		{PAGE, channel->sending + 3, "does not begin with the mark"},
		{PAGE, &channel->sending_bells->bells[0], "the halves of bell 0"},
		{PAGE, (char *)&channel->lanes[1].owner + 7, "its owner has roster slot 0"},
		{PAGE, (char *)&channel->lanes[0].tail + 1, "and not to its tail"},
		{PAGE, channel_ring(channel, 0) + 3, "is no record"},
		{PAGE, (char *)channel_head(channel, 0) + 1, "position 16384"},
		{MIB, channel_hold(&stream->channel, 0, 0), "bytes are read"},
		{MIB, stream->channel.receiving_bells, "sleepers"},
	};
	for (size_t i = 0; i < CC_COUNT(damages); i++) {
		expect_in_order(damages[i].at);
		flip(damages[i].byte);
		expect_damage(damages[i].at, damages[i].text);
		flip(damages[i].byte);
	}
	/* The one is no part of the other. */
	flip(stream->channel.receiving + 16);
	expect_in_order(PAGE);
	expect_damage(MIB, "header is damaged");
	CHECK_EQ(find_all(NULL, 0), 3); /* each of its parts, as nothing tells how long it is */
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
	stoa_stream_close(stream);
	end();
}

TEST(where_none_is)
{
	struct findings findings;
	struct stoa_inspector *raw;
	struct stoa_segment *other;
	uint64_t at = 7, length = 7;

	set_up(2 * PAGE);
	expect_damage(0, "does not begin with the mark");
	expect_damage(2 * PAGE, "does not begin with the mark"); /* nothing is there */
	expect_damage(RESERVE - PAGE, "does not begin with the mark");
	CHECK_RC(stoa_inspect_check_channel(inspector, 100, note, &findings), -STOA_EINVAL);
	CHECK_RC(stoa_inspect_check_channel(inspector, RESERVE, note, &findings), -STOA_ERANGE);
	CHECK_RC(stoa_inspect_check_channel(inspector, UINT64_MAX - PAGE + 1, note, &findings), -STOA_ERANGE);
	check_refusal(stoa_inspect_check_channel(NULL, 0, note, &findings), "no inspector");
	check_refusal(stoa_inspect_check_channel(inspector, 0, NULL, NULL), "no function");
	check_refusal(stoa_inspect_find_channel(NULL, 0, &at, &length), "no inspector");
	check_refusal(stoa_inspect_find_channel(inspector, 0, NULL, &length), "no place");
	CHECK_RC(stoa_inspect_find_channel(inspector, UINT64_MAX, &at, &length), -STOA_ENOENT);
	CHECK(at == 7 && length == 7);
	end();
	CHECK_RC(stoa_segment_create(test_name("raw"), MIB, &(struct stoa_segment_options){.flags = STOA_RAW}, &other),
		 0);
	CHECK_RC(stoa_inspect_open(test_name("raw"), 0, &raw), 0);
	CHECK_RC(stoa_inspect_check_channel(raw, 0, note, &findings), -STOA_ENOTSUP);
	CHECK_RC(stoa_inspect_find_channel(raw, 0, &at, &length), -STOA_ENOTSUP);
	stoa_inspect_close(raw);
	stoa_segment_close(other);
}

/* A header as ours are, at the end of what is committed: it says more than there is. */
TEST(ends_beyond_what_is_committed)
{
	struct stoa_channel_options options = {.ring = 4096, .large = MIB};
	struct channel_plan plan;
	uint64_t at, length;

	set_up(8 * PAGE);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_RC(channel_plan(&options, &plan), 0);
		for (uint64_t page = 0; page < 8; page++) {
			memset(bytes_of(segment), 0, 8 * PAGE);
			channel_header_write(&plan, bytes_of(segment) + page * PAGE);
			if (page * PAGE + plan.receiving_length < 8 * PAGE)
				channel_header_write(&plan, bytes_of(segment) + page * PAGE + plan.receiving_length);
			expect_damage(page * PAGE, "end beyond the memory");
			CHECK_RC(stoa_inspect_find_channel(inspector, page * PAGE, &at, &length), 0);
			CHECK_EQ(at, page * PAGE);
			CHECK_EQ(length, PAGE);
		}
		options = (struct stoa_channel_options){
			.ring = CHANNEL_RING_MAX, .senders = 64, .receivers = 64, .large = CHANNEL_LARGE_MAX};
	}
	end();
}

/* ---- hostile ---- */

static uint64_t nasty_word(uint64_t *random, uint64_t present)
{
	static const uint64_t values[] = {0, 1, 64, UINT64_MAX, INT64_MAX, UINT64_C(1) << 62, RESERVE};
	uint64_t choice = test_random(random);

	switch (choice % 4) {
	case 0: return values[(choice >> 8) % CC_COUNT(values)];
	case 1: return present ^ UINT64_C(1) << ((choice >> 8) % 64);
	case 2: return present + ((choice >> 8) % 16 - 8) * 64;
	default: return choice;
	}
}

/* Words of the channel, which the headers' checks do not guard; sometimes with headers that are right for another shape. */
static void scribble(struct stoa_channel *channel, uint64_t length, uint64_t *random)
{
	unsigned count = 1 + (unsigned)(test_random(random) % 40);

	for (unsigned i = 0; i < count; i++) {
		uint64_t choice = test_random(random), at = (choice >> 8) % (length - PAGE) / 8 * 8;
		_Atomic uint64_t *word;

		if (choice % 4 == 0)
			at = (choice >> 8) % 512 / 8 * 8 + CHANNEL_BELLS;
		if (choice % 4 == 1)
			at = (uint64_t)((unsigned char *)channel->lanes - channel->receiving) +
			     (choice >> 8) % 256 / 8 * 8;
		word = (_Atomic uint64_t *)(void *)(channel->receiving + at);
		if (at % channel->plan.receiving_length >= 64)
			store_rlx(word, nasty_word(random, load_rlx(word)));
	}
}

static void lie_about_shape(struct stoa_channel *channel, uint64_t *random)
{
	const struct stoa_channel_options options = {.kind = (uint32_t)(test_random(random) % 2),
						     .ring = UINT64_C(4096) << test_random(random) % 19,
						     .senders = (uint32_t)(test_random(random) % 64) + 1,
						     .receivers = (uint32_t)(test_random(random) % 64) + 1,
						     .large = test_random(random) % 3 * MIB};
	struct channel_plan plan;

	CHECK_RC(channel_plan(&options, &plan), 0);
	channel_header_write(&plan, channel->receiving);
	if (plan.receiving_length < RESERVE - MIB - PAGE)
		channel_header_write(&plan, channel->receiving + plan.receiving_length);
}

TEST_TIMEOUT(an_enemy_wrote_it, 60)
{
	const struct stoa_channel_options options = {.ring = 4096, .senders = 2, .receivers = 2, .large = 1 << 16};
	uint64_t random = test_seed(), length, damaged = 0, rounds = test_rounds(200, 20000);
	unsigned char *before;

	set_up(RESERVE);
	CHECK_RC(stoa_channel_size(&options, &length), 0);
	before = malloc(RESERVE);
	CHECK(before != NULL);
	for (uint64_t i = 0; i < rounds; i++) {
		struct stoa_channel *channel = place(MIB, options);
		struct findings findings;

		scribble(channel, length, &random);
		if (test_random(&random) % 2)
			lie_about_shape(channel, &random);
		if (i % 50 == 0)
			memcpy(before, bytes_of(segment), RESERVE);
		findings = findings_at(MIB);
		damaged += findings.counts[STOA_DAMAGE] != 0;
		(void)find_all(NULL, 0);
		if (i % 50 == 0)
			CHECK(!memcmp(before, bytes_of(segment), RESERVE));
		stoa_channel_close(channel);
	}
	CHECK_INT(damaged, >, rounds / 2);
	free(before);
	end();
}

static void overwrite(void *argument)
{
	_Atomic uint32_t *stop = argument;
	uint64_t random = test_seed();
	struct stoa_segment *opened;
	const struct stoa_channel_options options = {.ring = 4096, .senders = 2, .receivers = 2};

	CHECK_RC(stoa_segment_open(test_name("user's"), NULL, &opened), 0);
	atomic_store(stop, 1);
	while (atomic_load(stop) != 2) {
		struct stoa_channel *channel;

		CHECK_RC(stoa_channel_place(opened, MIB, &options, &channel), 0);
		for (unsigned i = 0; i < 50; i++) {
			scribble(channel, 16 * PAGE, &random);
			lie_about_shape(channel, &random);
		}
		stoa_channel_close(channel);
	}
	stoa_segment_close(opened);
}

/* While it is looked at, too. */
TEST_TIMEOUT(an_enemy_writes_it, 60)
{
	_Atomic uint32_t *stop = test_shared(sizeof(*stop));
	struct findings findings = {.counts = {0}};
	uint64_t until;
	pid_t enemy;

	set_up(RESERVE);
	enemy = test_role(overwrite, (void *)stop);
	test_await(stop, 1);
	until = stoa_deadline_in(test_rounds(500, 20000) * UINT64_C(1000000));
	while (stoa_now() < until) {
		CHECK_INT(stoa_inspect_check_channel(inspector, MIB, note, &findings), >=, 0);
		(void)find_all(NULL, 0);
	}
	atomic_store(stop, 2);
	CHECK_EQ(test_join(enemy), 0);
	CHECK_INT(findings.counts[STOA_DAMAGE], >, 0);
	end();
}
