/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe file over a disk that loses its power at random, thousands of times. Built a second time for the library with safeguards
 * taken out (base/mutant.h), where this must fail; as it must with a disk that lies.
 */
#include <backing/crash.h>

#include <backing/guard.h>
#include <base/mutant.h>

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;
#endif

/* Halves so small that the log turns all the time, and one write may take more than one. */
static int open_guarded(struct sim *sim, struct stoa_backing **ret_backing)
{
	os_handle data = sim_file(sim, "data", CRASH_SIZE);

	return guard_attach(&sim->disk, data, "data" GUARD_SUFFIX, 0, UINT64_C(20) << 10, ret_backing);
}

static const struct crash_store guarded = {.open = open_guarded, .writes_are_durable = true, .dies = true};

#ifdef STOA_MUTANTS
#define MUST_FIND(name, mutant, message)                      \
	TEST_DEFINE(name, 120, false, message)                \
	{                                                     \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant); \
		crash_rounds(&guarded, 20000);                \
	}

MUST_FIND(in_place_before_the_log_is_durable, LOG_UNSYNCED, "block ")
MUST_FIND(log_used_again_too_early, LOG_REUSED, "block ")
MUST_FIND(log_ended_before_the_file_is_durable, LOG_ENDED_EARLY, "block ")
#else
TEST_TIMEOUT(no_crash_tears_or_loses_a_block, 120)
{
	crash_rounds(&guarded, test_rounds(2000, 200000));
}

TEST_TIMEOUT(nor_one_in_the_middle_of_a_write, 120)
{
	struct crash_store store = guarded;

	store.in_the_middle = true;
	crash_rounds(&store, test_rounds(2000, 200000));
}

TEST_TIMEOUT(nor_one_where_operations_fail_too, 120)
{
	struct crash_store store = guarded;

	store.in_the_middle = store.faults = true;
	crash_rounds(&store, test_rounds(8000, 200000));
}

TEST_DEFINE(a_disk_that_lies_is_found, 120, false, "block ")
{
	struct crash_store store = guarded;

	store.lies = true;
	crash_rounds(&store, 20000);
}
#endif
