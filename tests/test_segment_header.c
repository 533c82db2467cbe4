/* SPDX-License-Identifier: MIT */
/*
 * Headers from enemies: every field, random bytes, and a writer that scribbles over the header while it is opened and while
 * handles are in use. Opening may fail by name; it must never give a handle that is out of bounds, crash or hang.
 */
#include <segment/common.h>

/* An enemy computes the check as well as we do. */
static void fix_check(struct segment_header *header)
{
	header->check = header_check(header);
}

static struct segment_header good_header(void)
{
	struct segment_header header = {.roster_slots = 1023, .data_offset = 4 * MIB, .reserve = GIB};

	CHECK_RC(header_seal(&header), 0);
	CHECK_RC(header_valid(&header, false), 0);
	return header;
}

static void expect(struct segment_header header, int expected)
{
	fix_check(&header);
	CHECK_RC(header_valid(&header, false), expected);
}

TEST(each_field_is_checked)
{
	const struct segment_header good = good_header();
	struct segment_header bad;

	expect((bad = good, bad.magic[3] = 'x', bad), -STOA_EFORMAT);
	expect((bad = good, bad.layout++, bad), -STOA_EVERSION);
	expect((bad = good, bad.must_know = 1, bad), -STOA_EVERSION);
	expect((bad = good, bad.may_ignore = UINT64_MAX, bad), 0);
	expect((bad = good, bad.kind = 6, bad), -STOA_EFORMAT);
	expect((bad = good, bad.flags = STOA_READ_ONLY, bad), -STOA_EFORMAT);
	expect((bad = good, bad.flags = STOA_RAW, bad), -STOA_EFORMAT);
	expect((bad = good, bad.huge = 3, bad), -STOA_EFORMAT);
	expect((bad = good, bad.roster_slots = 0, bad), -STOA_EFORMAT);
	expect((bad = good, bad.roster_slots = 16384, bad.data_offset = 66 * MIB, bad), -STOA_EFORMAT);
	expect((bad = good, bad.roster_slots = 1024, bad), -STOA_EFORMAT);
	expect((bad = good, bad.roster_slots = 1024, bad.data_offset = 6 * MIB, bad), 0);
	expect((bad = good, bad.data_offset = 0, bad), -STOA_EFORMAT);
	expect((bad = good, bad.data_offset = UINT64_MAX & ~(2 * MIB - 1), bad), -STOA_EFORMAT);
	expect((bad = good, bad.reserve = 0, bad), -STOA_EFORMAT);
	expect((bad = good, bad.reserve = GIB + 1, bad), -STOA_EFORMAT);
	expect((bad = good, bad.reserve = STOA_RESERVE_MAX + PAGE, bad), -STOA_EFORMAT);
	expect((bad = good, bad.reserve = UINT64_MAX, bad), -STOA_EFORMAT);
	expect((bad = good, bad.unused = 1, bad), -STOA_EFORMAT);
	bad = good;
	bad.owner++;
	CHECK_RC(header_valid(&bad, false), -STOA_EFORMAT); /* the check alone */
	bad = good;
	bad.roster_slots = 0;
	bad.data_offset = 0;
	bad.flags = STOA_RAW;
	fix_check(&bad);
	CHECK_RC(header_valid(&bad, true), 0);
	CHECK_RC(header_valid(&good, true), -STOA_EFORMAT);
}

/* Change some bytes, or put a whole field to an edge; half the time with a check that fits. */
static void damage(struct segment_header *header, uint64_t *random)
{
	static const uint64_t edges[] = {0, 1, 4095, 4096, UINT32_MAX, UINT64_C(1) << 40, INT64_MAX, UINT64_MAX};
	uint8_t *bytes = (uint8_t *)header;

	for (uint64_t n = test_random(random) % 4; n; n--)
		bytes[test_random(random) % sizeof(*header)] = (uint8_t)test_random(random);
	if (test_random(random) % 2)
		memcpy(bytes + test_random(random) % (sizeof(*header) / 8) * 8,
		       &edges[test_random(random) % CC_COUNT(edges)], 8);
	if (test_random(random) % 2)
		memcpy(bytes + test_random(random) % (sizeof(*header) / 4) * 4,
		       &edges[test_random(random) % CC_COUNT(edges)], 4);
	if (test_random(random) % 2)
		fix_check(header);
}

/* What every handle must be, whatever the header was. */
static void check_handle(struct stoa_segment *segment)
{
	struct stoa_segment_stat stat;

	CHECK_INT(stoa_segment_reserve(segment), <=, STOA_RESERVE_MAX);
	CHECK_INT(stoa_segment_committed(segment), <=, stoa_segment_reserve(segment));
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_INT(stat.roster_alive, <=, stat.roster_slots);
	CHECK_INT(stat.roster_slots, <=, 16383);
}

static void open_it(const struct stoa_segment *source)
{
	struct stoa_segment *segment = NULL;
	int descriptor, rc;

	CHECK_RC(stoa_segment_dup_descriptor(source, STOA_READ | STOA_WRITE, &descriptor), 0);
	rc = stoa_segment_take_descriptor(descriptor, 16 * MIB, NULL, &segment);
	if (rc == 0) {
		check_handle(segment);
		stoa_segment_close(segment);
		return;
	}
	CHECK(rc == -STOA_EFORMAT || rc == -STOA_EVERSION || rc == -STOA_EKIND || rc == -STOA_ENOMEM);
	CHECK(segment == NULL);
	os_handle_close(descriptor);
}

TEST_TIMEOUT(random_headers, 60)
{
	uint64_t random = test_seed();
	unsigned rounds = test_rounds(3000 / open_cost, 100000);
	struct segment_header header;
	struct stoa_segment *segment;

	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &segment), 0);
	CHECK_RC(stoa_segment_commit(segment, PAGE), 0);
	for (unsigned i = 0; i < rounds; i++) {
		header = good_header();
		damage(&header, &random);
		CHECK_RC(os_memory_write(segment->memory, 0, &header, sizeof(header)), 0);
		open_it(segment);
	}
	stoa_segment_close(segment);
}

static struct stoa_segment *field;

struct battle {
	uint64_t seed;
	_Atomic uint32_t over;
};

static void scribble(void *argument)
{
	struct battle *battle = argument;
	uint64_t random = battle->seed;
	uint8_t *page;
	void *map;

	CHECK_RC(os_map(field->memory, 0, PAGE, OS_READ | OS_WRITE, &map), 0);
	page = map;
	while (!atomic_load(&battle->over)) {
		struct segment_header header = good_header();

		damage(&header, &random);
		memcpy(page, &header, sizeof(header));
		page[test_random(&random) % PAGE] = (uint8_t)test_random(&random);
	}
}

TEST_TIMEOUT(scribbled_over_while_opened_and_used, 60)
{
	struct battle *battle = test_shared(sizeof(*battle));
	unsigned rounds = test_rounds(2000 / open_cost, 50000);
	pid_t enemy;

	battle->seed = test_seed();
	CHECK_RC(stoa_segment_create(NULL, GIB, NULL, &field), 0);
	test_share(&field, NULL);
	enemy = test_role(scribble, battle);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t length = i % 512 * PAGE + 1;

		open_it(field);
		/* The victim's handle goes by what it took at its own opening. */
		CHECK_RC(stoa_segment_commit(field, length), 0);
		bytes_of(field)[length - 1] = (uint8_t)i;
		CHECK_RC(segment_back_slot(field, i % 1023 + 1), 0);
		check_handle(field);
		CHECK_EQ(stoa_segment_reserve(field), GIB);
		CHECK_EQ(bytes_of(field)[length - 1], (uint8_t)i);
	}
	atomic_store(&battle->over, 1);
	CHECK_EQ(test_join(enemy), 0);
	stoa_segment_close(field);
}
