/* SPDX-License-Identifier: MIT */
/* Rounds of writing, losing power and looking: crash.h. */
#include "crash.h"

#include <inttypes.h>
#include <stoa/stoa.h>

#define RANGE 6u

struct crash {
	const struct crash_store *store;
	struct sim sim;
	struct stoa_backing *backing;
	uint64_t random;
	uint64_t written[CRASH_BLOCKS]; /* the version that was written last */
	uint64_t durable[CRASH_BLOCKS]; /* no older one may be there after a crash */
	uint64_t used;                  /* versions so far */
	unsigned crashes, openings_cut, newer;
};

static uint64_t pick(struct crash *crash, uint64_t below)
{
	return test_random(&crash->random) % below;
}

/* Every sector tells what it is of; a quarter of it is the same in all, so that it can be compressed. */
static void make_block(unsigned char *bytes, uint64_t block, uint64_t version)
{
	for (unsigned at = 0; at < CRASH_BLOCK; at += SIM_SECTOR) {
		uint64_t *words = (uint64_t *)(void *)(bytes + at), state = version * CRASH_BLOCKS + block + at;

		for (unsigned i = 0; i < SIM_SECTOR / sizeof(*words); i++)
			words[i] = !version ? 0 : i == 0 ? version : i % 4 ? test_random(&state) : block;
	}
	if (block == CRASH_BLOCKS - 1)
		memset(bytes + CRASH_SIZE % CRASH_BLOCK, 0, CRASH_BLOCK - CRASH_SIZE % CRASH_BLOCK);
}

static void check_block(struct crash *crash, unsigned block, const unsigned char *bytes, bool exactly)
{
	unsigned char expected[CRASH_BLOCK];
	uint64_t version;

	memcpy(&version, bytes, sizeof(version));
	make_block(expected, block, version);
	if (memcmp(bytes, expected, CRASH_BLOCK) != 0)
		test_fail(__FILE__, __LINE__, "block %u is torn, after %u crashes", block, crash->crashes);
	if (version < (exactly ? crash->written[block] : crash->durable[block]) || version > crash->used)
		test_fail(__FILE__, __LINE__,
			  "block %u is lost: version %" PRIu64 ", durable %" PRIu64 ", written %" PRIu64
			  ", after %u crashes",
			  block, version, crash->durable[block], crash->written[block], crash->crashes);
	crash->newer += version > crash->durable[block];
	crash->written[block] = version;
}

/* After an opening: what is there stays. */
static void check_all(struct crash *crash, bool exactly)
{
	static unsigned char bytes[CRASH_BLOCKS * CRASH_BLOCK];

	for (unsigned i = 0; i < CRASH_BLOCKS; i++) {
		int rc = stoa_backing_fill(crash->backing, (uint64_t)i * CRASH_BLOCK, CRASH_BLOCK,
					   bytes + (uint64_t)i * CRASH_BLOCK);

		if (rc < 0)
			test_fail(__FILE__, __LINE__, "block %u cannot be read: %s", i, stoa_error_detail());
		check_block(crash, i, bytes + (uint64_t)i * CRASH_BLOCK, exactly);
		crash->durable[i] = crash->written[i];
	}
}

/* Only the power, or what was made to fail, may be the reason. */
static bool done(struct crash *crash, int rc)
{
	bool failed = crash->sim.fault.operations && crash->sim.matching >= crash->sim.fault.nth;

	if (rc < 0 && !crash->sim.off && !failed)
		test_fail(__FILE__, __LINE__, "with the power there: %s: %s", stoa_error_name(rc), stoa_error_detail());
	return rc == 0;
}

static bool write_some(struct crash *crash)
{
	static unsigned char bytes[RANGE * CRASH_BLOCK];
	unsigned first = (unsigned)pick(crash, CRASH_BLOCKS), count = 1 + (unsigned)pick(crash, RANGE);

	if (count > CRASH_BLOCKS - first)
		count = CRASH_BLOCKS - first;
	crash->used++;
	for (unsigned i = 0; i < count; i++)
		make_block(bytes + (uint64_t)i * CRASH_BLOCK, first + i, crash->used);
	if (!done(crash, stoa_backing_write(crash->backing, (uint64_t)first * CRASH_BLOCK,
					    (uint64_t)count * CRASH_BLOCK, bytes)))
		return false;
	for (unsigned i = first; i < first + count; i++) {
		crash->written[i] = crash->used;
		if (crash->store->writes_are_durable)
			crash->durable[i] = crash->used;
	}
	return true;
}

static bool flush(struct crash *crash)
{
	if (!done(crash, stoa_backing_flush(crash->backing)))
		return false;
	memcpy(crash->durable, crash->written, sizeof(crash->durable));
	return true;
}

static bool read_one(struct crash *crash)
{
	unsigned block = (unsigned)pick(crash, CRASH_BLOCKS);
	unsigned char bytes[CRASH_BLOCK];

	if (!done(crash, stoa_backing_fill(crash->backing, (uint64_t)block * CRASH_BLOCK, CRASH_BLOCK, bytes)))
		return false;
	check_block(crash, block, bytes, true);
	return true;
}

/* Open it, with the power going now and then, until that succeeds. */
static void open_again(struct crash *crash, bool died)
{
	for (unsigned tries = 0;; tries++) {
		CHECK_INT(tries, <, 100);
		crash->sim.power = pick(crash, 3) ? 0 : 1 + pick(crash, 20);
		if (done(crash, crash->store->open(&crash->sim, &crash->backing)))
			break;
		crash->openings_cut++;
		died = false;
		sim_crash(&crash->sim);
	}
	crash->sim.power = 0;
	check_all(crash, died);
}

/* One operation of the disk, or all from one on. */
static void choose_fault(struct crash *crash)
{
	static const int errors[] = {-STOA_EIO, -STOA_ENOMEM};

	crash->sim.fault = (struct sim_fault){.operations = 1u << pick(crash, 3),
					      .nth = 1 + pick(crash, 30),
					      .count = pick(crash, 2),
					      .error = errors[pick(crash, 2)]};
	crash->sim.matching = 0;
}

static void one_round(struct crash *crash)
{
	bool dies = crash->store->dies && pick(crash, 4) == 0, on = true;

	crash->sim.power = 1 + pick(crash, 80);
	if (crash->store->faults)
		choose_fault(crash);
	for (unsigned steps = (unsigned)pick(crash, 40); steps && on; steps--) {
		unsigned what = (unsigned)pick(crash, 10);

		on = what < 7 ? write_some(crash) : what < 9 ? flush(crash) : read_one(crash);
		on = on || (!crash->sim.off && pick(crash, 4)); /* and goes on after an error */
	}
	if (dies && !crash->sim.off)
		crash->sim.power = 1; /* it dies anyway, without closing */
	else if (pick(crash, 2))
		crash->sim.off = true;
	stoa_backing_close(crash->backing);
	crash->crashes++;
	crash->sim.fault = (struct sim_fault){.operations = 0};
	if (dies)
		sim_restart(&crash->sim);
	else
		sim_crash(&crash->sim);
	open_again(crash, dies && crash->store->writes_are_durable);
}

void crash_rounds(const struct crash_store *store, unsigned rounds)
{
	static struct crash crash;

	crash = (struct crash){.store = store, .random = test_seed()};
	sim_init(&crash.sim, test_random(&crash.random));
	crash.sim.cut_in_the_middle = store->in_the_middle;
	CHECK_RC(store->open(&crash.sim, &crash.backing), 0);
	crash.sim.lies_about_syncs = store->lies;
	check_all(&crash, true);
	while (crash.crashes < rounds)
		one_round(&crash);
	stoa_backing_close(crash.backing);
	test_figure("%u crashes, %u more while it was opened, %u blocks newer than they had to be", crash.crashes,
		    crash.openings_cut, crash.newer);
	sim_destroy(&crash.sim);
}
