/* SPDX-License-Identifier: MIT */
/*
 * Segments that go from process to process: as descriptors, over channels, into programs that are started; and what an enemy can
 * send. Channels are what the system has for it, see segment/channel.h.
 */
#include <segment/channel.h>
#include <segment/common.h>

static struct stoa_segment *make(uint64_t commit)
{
	struct stoa_segment_options options = {.commit = commit};
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, &options, &segment), 0);
	return segment;
}

static struct stoa_segment *receive(int end)
{
	struct stoa_segment *segment;
	uint32_t from;

	CHECK_RC(stoa_segment_receive_with_socket(end, &segment, &from), 0);
	CHECK_EQ(from, os_user_id());
	CHECK(!os_handle_inherited(segment->memory));
	return segment;
}

static int connect_as(enum channel_kind kind)
{
	int end = channel_connect(channel_name(), kind);

	CHECK(end != -1);
	return end;
}

/* ---- over channels ---- */

static void add_and_commit(void *argument)
{
	int end = connect_as((enum channel_kind)(uintptr_t)argument);
	struct stoa_segment *segment = receive(end);

	CHECK_EQ(stoa_segment_reserve(segment), GIB);
	CHECK_EQ(bytes_of(segment)[0], 1);
	CHECK_RC(stoa_segment_commit(segment, 3 * PAGE), 0);
	bytes_of(segment)[2 * PAGE] = 2;
	/* And back again, the other way over the same channel. */
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), 0);
	stoa_segment_close(segment);
	channel_close(end);
}

static void send_to_a_peer(enum channel_kind kind)
{
	struct stoa_segment *segment = make(PAGE), *again;
	int listener = channel_listen(kind), end;
	pid_t role;

	CHECK(listener != -1);
	bytes_of(segment)[0] = 1;
	role = test_role(add_and_commit, (void *)(uintptr_t)kind);
	end = channel_accept(listener);
	CHECK(end != -1);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), 0);
	again = receive(end);
	CHECK_EQ(test_join(role), 0);
	CHECK_EQ(bytes_of(segment)[2 * PAGE], 2);
	CHECK_EQ(bytes_of(again)[2 * PAGE], 2);
	bytes_of(again)[0] = 3;
	CHECK_EQ(bytes_of(segment)[0], 3);
	channel_close(end);
	stoa_segment_close(again);
	stoa_segment_close(segment);
}

TEST(sent_over_streams_and_packets)
{
	send_to_a_peer(CHANNEL_BYTES);
	send_to_a_peer(CHANNEL_PACKETS);
}

/* Two children of one parent, who gives them nothing but the channel's name. The first has ended before the other receives. */
static void one_sibling(void *argument)
{
	struct stoa_segment *segment = make(PAGE);
	int listener = channel_listen(CHANNEL_PACKETS), end;

	CHECK(listener != -1);
	atomic_store((_Atomic uint32_t *)argument, 1);
	end = channel_accept(listener);
	CHECK(end != -1);
	memcpy(bytes_of(segment), "from one", 9);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), 0);
	stoa_segment_close(segment);
	channel_close(end);
}

static void other_sibling(void *argument)
{
	_Atomic uint32_t *step = argument;
	struct stoa_segment *segment;
	int end;

	test_await(step, 1);
	end = connect_as(CHANNEL_PACKETS);
	atomic_store(step, 2);
	test_await(step, 3);
	segment = receive(end);
	CHECK_STR((const char *)bytes_of(segment), "from one");
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	stoa_segment_close(segment);
	channel_close(end);
}

TEST(r4_siblings)
{
	_Atomic uint32_t *step = test_shared(sizeof(*step));
	pid_t one, other;

	channel_name(); /* the same for both */
	one = test_role(one_sibling, (void *)step);
	other = test_role(other_sibling, (void *)step);
	test_await(step, 2);
	CHECK_EQ(test_join(one), 0);
	atomic_store(step, 3);
	CHECK_EQ(test_join(other), 0);
}

static void connect_and_end(void *argument)
{
	(void)argument;
	channel_close(connect_as(CHANNEL_PACKETS));
}

static void connect_and_be_killed(void *argument)
{
	connect_as(CHANNEL_PACKETS);
	atomic_store((_Atomic uint32_t *)argument, 1);
	test_pause();
}

/* Whoever has closed, ended or was killed takes nothing, and nothing stays with it. */
TEST(nobody_is_there_any_more)
{
	struct stoa_segment *segment = make(PAGE), *none = NULL;
	_Atomic uint32_t *ready = test_shared(sizeof(*ready));

	for (unsigned i = 0; i < 2; i++) {
		int listener = channel_listen(CHANNEL_PACKETS), end;
		pid_t role;

		CHECK(listener != -1);
		role = i ? test_role(connect_and_be_killed, (void *)ready) : test_role(connect_and_end, NULL);
		end = channel_accept(listener);
		CHECK(end != -1);
		if (i) {
			test_await(ready, 1);
			test_kill(role);
		} else {
			CHECK_EQ(test_join(role), 0);
		}
		CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), -STOA_ECLOSED);
		CHECK_RC(stoa_segment_receive_with_socket(end, &none, NULL), -STOA_ECLOSED);
		CHECK(none == NULL);
		channel_close(end);
	}
	stoa_segment_close(segment);
}

static void expect_reader(struct stoa_segment *segment)
{
	unsigned char *data = bytes_of(segment);
	void *view = NULL;
	int descriptor = -1;

	CHECK_EQ(data[0], 1);
	CHECK_EQ(touch(data), REFUSED);
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_protect(segment, 0, PAGE, STOA_READ | STOA_WRITE), -STOA_ERIGHTS);
	CHECK_RC(stoa_view_map(segment, 0, PAGE, STOA_READ | STOA_WRITE, &view), -STOA_ERIGHTS);
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), -STOA_ERIGHTS);
	CHECK_EQ(descriptor, -1);
	CHECK_RC(stoa_mutex_lock(segment, (struct stoa_mutex *)(void *)(data + 64), STOA_TRY), -STOA_ERIGHTS);
	check_no_way_to_write((int)segment->memory, data);
}

static void only_read(void *argument)
{
	int end = connect_as((enum channel_kind)(uintptr_t)argument);
	struct stoa_segment *segment = receive(end);

	expect_reader(segment);
	stoa_segment_close(segment);
	channel_close(end);
}

TEST(what_is_granted_to_read_cannot_be_written)
{
	struct stoa_segment *segment = make(PAGE);
	int listener = channel_listen(CHANNEL_PACKETS), end;
	pid_t role;

	CHECK(listener != -1);
	bytes_of(segment)[0] = 1;
	role = test_role(only_read, (void *)CHANNEL_PACKETS);
	end = channel_accept(listener);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, end), 0);
	CHECK_EQ(test_join(role), 0);
	/* The grant took nothing from the owner. */
	CHECK_RC(stoa_segment_commit(segment, 2 * PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + PAGE), 0);
	channel_close(end);
	stoa_segment_close(segment);
}

TEST(raw_segments_travel_with_their_reserve)
{
	struct stoa_segment_options raw = {.flags = STOA_RAW, .commit = 1};
	struct stoa_segment *segment, *received;
	int ends[2];

	CHECK_SYS(channel_pair(CHANNEL_BYTES, true, ends));
	CHECK_RC(stoa_segment_create(NULL, 7 * MIB, &raw, &segment), 0);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, ends[0]), 0);
	received = receive(ends[1]);
	CHECK_EQ(stoa_segment_reserve(received), 7 * MIB);
	CHECK_RC(stoa_segment_commit(received, 7 * MIB), 0);
	bytes_of(received)[7 * MIB - 1] = 7;
	CHECK_EQ(bytes_of(segment)[7 * MIB - 1], 7);
	stoa_segment_close(received);
	stoa_segment_close(segment);
	channel_close(ends[0]);
	channel_close(ends[1]);
}

/* Who may only read may still run what is there, if the segment was made for it. */
TEST(what_can_be_run_can_be_run_elsewhere)
{
	struct stoa_segment_options executable = {.flags = STOA_EXECUTABLE, .commit = PAGE};
	static const unsigned char return_42[] = {0xb8, 42, 0, 0, 0, 0xc3};
	struct stoa_segment *segment, *received;
	int (*function)(void);
	void *address = NULL;
	int ends[2];

	CHECK_SYS(channel_pair(CHANNEL_BYTES, true, ends));
	CHECK_RC(stoa_segment_create(NULL, MIB, &executable, &segment), 0);
	memcpy(bytes_of(segment), return_42, sizeof(return_42));
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	received = receive(ends[1]);
	CHECK_RC(stoa_view_map(received, 0, PAGE, STOA_READ | STOA_WRITE | STOA_EXEC, &address), -STOA_ERIGHTS);
	CHECK_RC(stoa_view_map(received, 0, PAGE, STOA_READ | STOA_EXEC, &address), 0);
	memcpy(&function, &address, sizeof(function));
	CHECK_EQ(function(), 42);
	CHECK_RC(stoa_view_unmap(address, PAGE), 0);
	check_no_way_to_write((int)received->memory, bytes_of(received));
	stoa_segment_close(received);
	stoa_segment_close(segment);
	segment = make(PAGE);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	received = receive(ends[1]);
	CHECK_RC(stoa_view_map(received, 0, PAGE, STOA_READ | STOA_EXEC, &address), -STOA_ERIGHTS);
	stoa_segment_close(received);
	stoa_segment_close(segment);
	channel_close(ends[0]);
	channel_close(ends[1]);
}

/* Named segments and files go the same way, and a name's memory without its name. */
TEST(named_segments_and_files_travel)
{
	struct stoa_segment_options options = {.commit = PAGE}, create = {.commit = PAGE, .flags = STOA_FILE_CREATE};
	struct stoa_segment *segments[2], *received;
	char path[600];
	int ends[2];

	CHECK_SYS(channel_pair(CHANNEL_PACKETS, true, ends));
	snprintf(path, sizeof(path), "%s/file", test_dir());
	CHECK_RC(stoa_segment_create(test_name("sent"), GIB, &options, &segments[0]), 0);
	CHECK_RC(stoa_segment_file(path, PAGE, &create, &segments[1]), 0);
	for (unsigned i = 0; i < CC_COUNT(segments); i++) {
		bytes_of(segments[i])[0] = 1;
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ, ends[0]), 0);
		received = receive(ends[1]);
		CHECK_EQ(touch(bytes_of(received)), REFUSED);
		stoa_segment_close(received);
		CHECK_RC(stoa_segment_send_with_socket(segments[i], STOA_READ | STOA_WRITE, ends[0]), 0);
		stoa_segment_close(segments[i]);
		received = receive(ends[1]);
		CHECK_EQ(bytes_of(received)[0], 1);
		CHECK_EQ(touch(bytes_of(received)), 0);
		stoa_segment_close(received);
	}
	CHECK(!name_exists(test_name("sent")));
	channel_close(ends[0]);
	channel_close(ends[1]);
}

/* ---- what enemies send ---- */

struct wire {
	char magic[8];
	uint32_t version, flags;
	uint64_t reserve, unused;
};
static const struct wire good = {"STOASND\n", 1, 0, 0, 0};

static void expect_refusal(const struct wire *message, size_t length, int descriptor, int expected)
{
	struct stoa_segment *segment = NULL;
	char padded[2 * sizeof(good)] = {0};
	int ends[2];

	memcpy(padded, message, sizeof(*message));
	CHECK_SYS(channel_pair(CHANNEL_PACKETS, true, ends));
	channel_put(ends[0], padded, length, length, descriptor);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &segment, NULL), expected);
	CHECK(segment == NULL);
	/* Whatever it was, it is gone from the channel: the next one is taken. */
	channel_put(ends[0], &good, sizeof(good), sizeof(good), -1);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &segment, NULL), -STOA_EFORMAT);
	channel_close(ends[0]);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &segment, NULL), -STOA_ECLOSED);
	CHECK(segment == NULL);
	channel_close(ends[1]);
}

/* The harness sees any descriptor that is not closed. */
TEST(messages_that_are_not_ours)
{
	struct stoa_segment *segment = make(PAGE);
	int memory = (int)segment->memory, strange = strange_descriptor();
	struct wire bad;

	expect_refusal(&good, sizeof(good), -1, -STOA_EFORMAT);
	expect_refusal(&good, sizeof(good), strange, -STOA_EKIND);
	expect_refusal((bad = good, bad.magic[0] = 'X', &bad), sizeof(bad), memory, -STOA_EFORMAT);
	expect_refusal((bad = good, bad.version = 2, &bad), sizeof(bad), memory, -STOA_EVERSION);
	expect_refusal((bad = good, bad.flags = 64, &bad), sizeof(bad), memory, -STOA_EFORMAT);
	expect_refusal((bad = good, bad.unused = 1, &bad), sizeof(bad), memory, -STOA_EFORMAT);
	expect_refusal((bad = good, bad.reserve = UINT64_MAX, &bad), sizeof(bad), memory, -STOA_EFORMAT);
	expect_refusal((bad = good, bad.flags = STOA_RAW, bad.reserve = 1, &bad), sizeof(bad), memory, -STOA_ERANGE);
	CHECK(is_open(memory) && is_open(strange));
	channel_close(strange);
	stoa_segment_close(segment);
}

/* A packet is the message or none of it. */
TEST(packets_of_another_length)
{
	struct stoa_segment *segment = make(PAGE);
	int memory = (int)segment->memory;

	expect_refusal(&good, sizeof(good) - 1, memory, -STOA_EFORMAT);
	expect_refusal(&good, sizeof(good) + 1, memory, -STOA_EFORMAT);
	expect_refusal(&good, 2 * sizeof(good), memory, -STOA_EFORMAT);
	expect_refusal(&good, 1, memory, -STOA_EFORMAT);
	stoa_segment_close(segment);
}

TEST(streams_that_break_off)
{
	struct stoa_segment *segment = make(PAGE), *received = NULL;
	int memory = (int)segment->memory, ends[2];

	CHECK_SYS(channel_pair(CHANNEL_BYTES, true, ends));
	channel_put(ends[0], &good, 10, sizeof(good), memory);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), 0); /* in pieces, but whole */
	stoa_segment_close(received);
	received = NULL;
	channel_put_half(ends[0], &good, 10, memory);
	channel_close(ends[0]);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_EFORMAT);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_ECLOSED);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[1]), -STOA_ECLOSED);
	channel_close(ends[1]);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[1]), -STOA_EINVAL);
	check_refusal(stoa_segment_send_with_socket(segment, STOA_WRITE, ends[1]), "STOA_READ|STOA_WRITE");
	CHECK(received == NULL);
	stoa_segment_close(segment);
}

TEST(a_channel_that_was_never_connected)
{
	static const enum channel_kind kinds[] = {CHANNEL_BYTES, CHANNEL_PACKETS};
	struct stoa_segment *segment = make(PAGE), *received = NULL;
	int strange = strange_descriptor();

	for (size_t i = 0; i < CC_COUNT(kinds); i++) {
		int lonely = channel_lonely(kinds[i]);

		CHECK_SYS(lonely);
		check_refusal(stoa_segment_send_with_socket(segment, STOA_READ, lonely), "needs a connected");
		check_refusal(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, lonely),
			      "needs a connected");
		check_refusal(stoa_segment_receive_with_socket(lonely, &received, NULL), "needs a connected");
		channel_close(lonely);
	}
	check_refusal(stoa_segment_send_with_socket(segment, STOA_READ, strange), "needs a connected");
	check_refusal(stoa_segment_receive_with_socket(strange, &received, NULL), "needs a connected");
	channel_close(strange);
	CHECK(received == NULL);
	stoa_segment_close(segment);
}

TEST(a_channel_that_would_block)
{
	struct stoa_segment *segment = make(PAGE), *received = NULL;
	int ends[2];

	CHECK_SYS(channel_pair(CHANNEL_PACKETS, false, ends));
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_EBUSY);
	check_detail("would block");
	CHECK(received == NULL);
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ, ends[0]), 0);
	received = receive(ends[1]);
	stoa_segment_close(received);
	received = NULL;
	channel_close(ends[0]);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_ECLOSED);
	CHECK(received == NULL);
	channel_close(ends[1]);
	stoa_segment_close(segment);
}

/* What has come of a message is lost with the error: it must not say "try again". */
TEST(half_a_message_without_waiting)
{
	struct stoa_segment *segment = make(PAGE), *received = NULL;
	int ends[2];

	CHECK_SYS(channel_pair(CHANNEL_BYTES, false, ends));
	channel_put_half(ends[0], &good, 10, (int)segment->memory);
	CHECK_RC(stoa_segment_receive_with_socket(ends[1], &received, NULL), -STOA_EFORMAT);
	CHECK(received == NULL);
	channel_close(ends[0]);
	channel_close(ends[1]);
	stoa_segment_close(segment);
}

/* ---- descriptors ---- */

TEST(descriptors_given_and_taken)
{
	const struct stoa_segment_options global = {.flags = STOA_GLOBAL};
	struct stoa_segment *segment = make(PAGE), *again, *none = NULL;
	int descriptor, strange = strange_descriptor();

	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ, &descriptor), 0);
	CHECK(is_open(descriptor) && !os_handle_inherited(descriptor));
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	bytes_of(segment)[0] = 1;
	expect_reader(again);
	stoa_segment_close(again);
	CHECK(!is_open(descriptor));
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	CHECK_RC(stoa_segment_commit(again, 2 * PAGE), 0);
	CHECK_EQ(touch(bytes_of(segment) + PAGE), 0);
	stoa_segment_close(again);

	check_refusal(stoa_segment_dup_descriptor(segment, STOA_WRITE, &descriptor), "STOA_READ|STOA_WRITE");
	check_refusal(stoa_segment_dup_descriptor(segment, 0, &descriptor), "STOA_READ|STOA_WRITE");
	check_refusal(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_EXEC, &descriptor),
		      "a descriptor does not take STOA_EXEC");
	check_refusal(stoa_segment_dup_descriptor(NULL, STOA_READ, &descriptor), "no segment");
	check_refusal(stoa_segment_dup_descriptor(segment, STOA_READ, NULL), "no place for the descriptor");
	CHECK_RC(stoa_segment_take_descriptor(strange, 0, NULL, &none), -STOA_EKIND);
	CHECK(is_open(strange)); /* still ours after the failure */
	check_refusal(stoa_segment_take_descriptor(-1, 0, NULL, &none), "-1 is not a descriptor");
	check_refusal(stoa_segment_take_descriptor(strange, 0, NULL, NULL), "no place for the handle");
	check_refusal(stoa_segment_take_descriptor(strange, 0, &global, &none), "does not take STOA_GLOBAL");
	check_refusal(stoa_segment_take_descriptor(strange, STOA_RESERVE_MAX + 1, NULL, &none), "more than 2^40");
	CHECK(none == NULL);
	channel_close(strange);
	stoa_segment_close(segment);
}

TEST(a_reader_hands_on_reading)
{
	const struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment = make(PAGE), *again;
	int descriptor, next;

	bytes_of(segment)[0] = 1;
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	CHECK_RC(stoa_segment_dup_descriptor(again, STOA_READ, &next), 0);
	stoa_segment_close(again);
	CHECK_RC(stoa_segment_take_descriptor(next, 0, NULL, &again), 0);
	expect_reader(again);
	stoa_segment_close(again);
	/* Who may write can choose not to, and then hands on reading only. */
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, &reader, &again), 0);
	CHECK_EQ(touch(bytes_of(again)), REFUSED);
	CHECK_RC(stoa_segment_dup_descriptor(again, STOA_READ | STOA_WRITE, &next), -STOA_ERIGHTS);
	stoa_segment_close(again);
	stoa_segment_close(segment);
}

/* ---- programs that are started ---- */

/* Inherited with a name: who started us closes the segment and then the marker, so that the name lives by our use alone. */
static int outlive_the_starter(const char *name, const char *marker)
{
	struct stoa_segment *other;
	int rc;

	while ((rc = stoa_segment_open(marker, NULL, &other)) == 0) {
		stoa_segment_close(other);
		test_nap(1);
	}
	if (rc != -STOA_ENOENT || stoa_segment_open(name, NULL, &other) != 0)
		return 5;
	stoa_segment_close(other);
	return 0;
}

static int be_an_heir(const char *token, const char *mode)
{
	struct stoa_segment *segment, *twice;
	int rc = 0;

	if (stoa_segment_adopt(token, &segment) != 0)
		return 2;
	if (bytes_of(segment)[0] != 17 || stoa_segment_adopt(token, &twice) != -STOA_ENOENT)
		return 3;
	if (os_handle_inherited(segment->memory) || stoa_segment_commit(segment, 2 * PAGE) != 0)
		return 4;
	bytes_of(segment)[PAGE] = 18;
	if (strcmp(mode, "named") == 0)
		rc = outlive_the_starter((const char *)bytes_of(segment) + 8, (const char *)bytes_of(segment) + 256);
	stoa_segment_close(segment);
	return rc;
}

/* What only read before does so in the new program. */
static int be_an_heir_who_reads(const char *token)
{
	struct stoa_segment *segment;
	int descriptor, rc = 0;

	if (stoa_segment_adopt(token, &segment) != 0)
		return 2;
	if (bytes_of(segment)[0] != 17)
		return 3;
	if (stoa_segment_commit(segment, 2 * PAGE) != -STOA_ERIGHTS ||
	    stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor) != -STOA_ERIGHTS)
		rc = 4;
	stoa_segment_close(segment);
	return rc;
}

/* It has nothing of ours but a channel's name. */
static int be_a_stranger(const char *channel)
{
	int end = channel_connect(channel, CHANNEL_PACKETS);
	struct stoa_segment *segment;
	uint32_t sender;

	if (end == -1 || stoa_segment_receive_with_socket(end, &segment, &sender) != 0)
		return 2;
	if (sender != os_user_id() || strcmp((const char *)bytes_of(segment), "to a stranger") != 0)
		return 3;
	if (stoa_segment_commit(segment, 2 * PAGE) != 0)
		return 4;
	bytes_of(segment)[PAGE] = 19;
	stoa_segment_close(segment);
	channel_close(end);
	return 0;
}

/* What the program that was started does, before the harness would. */
CC_CONSTRUCTOR static void be_what_we_were_told(void)
{
	const char *token = getenv("STOA_TEST_TOKEN"), *mode = getenv("STOA_TEST_MODE");
	const char *channel = getenv("STOA_TEST_CHANNEL");
	int rc;

	if (!channel && (!token || !mode))
		return;
	rc = channel                       ? be_a_stranger(channel)
	     : strcmp(mode, "reader") == 0 ? be_an_heir_who_reads(token)
					   : be_an_heir(token, mode);
	if (rc)
		fprintf(stderr, "step %d: %s\n", rc, stoa_error_detail());
	fflush(stderr);
	_Exit(rc);
}

TEST(r4_a_program_inherits)
{
	struct stoa_segment_options raw = {.flags = STOA_RAW, .commit = 1};
	struct stoa_segment *segment = make(PAGE);

	for (unsigned i = 0; i < 2; i++) {
		bytes_of(segment)[0] = 17;
		CHECK_EQ(program_join(program_start(segment, "STOA_TEST_MODE=plain")), 0);
		CHECK_EQ(bytes_of(segment)[PAGE], 18);
		stoa_segment_close(segment);
		if (i == 0)
			CHECK_RC(stoa_segment_create(NULL, MIB, &raw, &segment), 0);
	}
}

TEST(a_program_inherits_to_read)
{
	const struct stoa_segment_options reader = {.flags = STOA_READ_ONLY};
	struct stoa_segment *segment = make(PAGE), *again;
	int descriptor;

	bytes_of(segment)[0] = 17;
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, NULL, &again), 0);
	CHECK_EQ(program_join(program_start(again, "STOA_TEST_MODE=reader")), 0);
	stoa_segment_close(again);
	/* Also where the handle could write, and the segment may not. */
	CHECK_RC(stoa_segment_dup_descriptor(segment, STOA_READ | STOA_WRITE, &descriptor), 0);
	CHECK_RC(stoa_segment_take_descriptor(descriptor, 0, &reader, &again), 0);
	CHECK_EQ(program_join(program_start(again, "STOA_TEST_MODE=reader")), 0);
	stoa_segment_close(again);
	stoa_segment_close(segment);
}

TEST(an_inherited_use_keeps_the_name_and_ends_it)
{
	struct stoa_segment_options options = {.commit = PAGE};
	struct stoa_segment *segment, *marker, *none = NULL;
	char name[128], mark[128];
	intptr_t program;

	snprintf(name, sizeof(name), "%s", test_name("heir"));
	snprintf(mark, sizeof(mark), "%s", test_name("mark"));
	CHECK_RC(stoa_segment_create(name, GIB, &options, &segment), 0);
	bytes_of(segment)[0] = 17;
	strcpy((char *)bytes_of(segment) + 8, name);
	strcpy((char *)bytes_of(segment) + 256, mark);
	CHECK_RC(stoa_segment_create(mark, PAGE, NULL, &marker), 0);
	program = program_start(segment, "STOA_TEST_MODE=named");
	/* Our own use ends here at once; the program that inherits keeps the name, and as the last one removes it. */
	stoa_segment_close(segment);
	stoa_segment_close(marker);
	CHECK_EQ(program_join(program), 0);
	CHECK(!name_exists(name));
	CHECK_RC(stoa_segment_open(name, NULL, &none), -STOA_ENOENT);
}

TEST(r4_strangers_over_a_channel)
{
	struct stoa_segment *segment = make(PAGE);
	int listener = channel_listen(CHANNEL_PACKETS), end;
	char setting[600];
	intptr_t program;

	CHECK(listener != -1);
	snprintf(setting, sizeof(setting), "STOA_TEST_CHANNEL=%s", channel_name());
	program = program_start(NULL, setting);
	end = channel_accept(listener);
	CHECK(end != -1);
	strcpy((char *)bytes_of(segment), "to a stranger");
	CHECK_RC(stoa_segment_send_with_socket(segment, STOA_READ | STOA_WRITE, end), 0);
	CHECK_EQ(program_join(program), 0);
	CHECK_EQ(bytes_of(segment)[PAGE], 19);
	channel_close(end);
	stoa_segment_close(segment);
}

/* The token, with another number in the place of the descriptor's. */
static void replace_number(const char *token, int number, char *changed)
{
	const char *rest = strchr(token + strlen("stoa1:"), ':');

	CHECK(rest);
	snprintf(changed, STOA_TOKEN_SIZE, "stoa1:%d%s", number, rest);
}

TEST(tokens_that_are_not_ours)
{
	static const char *const wrong[] = {"",
					    "stoa1",
					    "stoa1:3:-1:0:0",
					    "stoa2:3:-1:0:0:0",
					    "stoa1: 3:-1:0:0:0",
					    "stoa1:+3:-1:0:0:0",
					    "stoa1:3:-1:0:0:0 ",
					    "stoa1:3:-2:0:0:0",
					    "stoa1:99999999999:-1:0:0:0",
					    "stoa1:3:-1:40:0:0",
					    "stoa1:3:-1:0:fffffffffffffff:0",
					    "stoa1:3:-1:0:0:0xx34567890123456789012345678901234567890123456789012345"};
	struct stoa_segment *segment = make(PAGE), *other = make(PAGE), *none = NULL;
	char token[STOA_TOKEN_SIZE], changed[STOA_TOKEN_SIZE];
	int strange = strange_descriptor();

	for (size_t i = 0; i < CC_COUNT(wrong); i++)
		CHECK_RC(stoa_segment_adopt(wrong[i], &none), -STOA_EFORMAT);
	check_refusal(stoa_segment_adopt(NULL, &none), "no token");
	check_refusal(stoa_segment_adopt(wrong[0], NULL), "no place for the handle");
	check_refusal(stoa_segment_inherit(NULL, token), "no segment");
	check_refusal(stoa_segment_inherit(segment, NULL), "no room for the token");
	check_refusal(stoa_segment_receive_with_socket(-1, NULL, NULL), "no place for the handle");
	/* A number that is inherited too, but is another thing; it must stay as it is. */
	CHECK_RC(stoa_segment_inherit(segment, token), 0);
	CHECK_RC(os_handle_inherit(strange), 0);
	CHECK_RC(os_handle_inherit(other->memory), 0);
	replace_number(token, strange, changed);
	CHECK_RC(stoa_segment_adopt(changed, &none), -STOA_ENOENT);
	replace_number(token, (int)other->memory, changed);
	CHECK_RC(stoa_segment_adopt(changed, &none), -STOA_ENOENT);
	CHECK(os_handle_inherited(strange) && os_handle_inherited(other->memory));
	/* One that is not inherited, and one that is not there. */
	CHECK_RC(os_handle_keep(segment->memory), 0);
	CHECK_RC(stoa_segment_adopt(token, &none), -STOA_ENOENT);
	channel_close(strange);
	replace_number(token, strange, changed);
	CHECK_RC(stoa_segment_adopt(changed, &none), -STOA_ENOENT);
	CHECK(none == NULL);
	stoa_segment_close(other);
	stoa_segment_close(segment);
}
