/* SPDX-License-Identifier: MIT */
/*
 * The tests of death must be able to fail: the library is built with safeguards that can be taken out (base/mutant.h), and for each of
 * them the operation that needs it must be found wanting by the stepper.
 */
#include <harness/test.h>

#include <stdio.h>
#include <unistd.h>

#include <base/mutant.h>
#include <death/death.h>

uint64_t mutants_chosen;

static const struct step_operation *find(const char *name)
{
	const struct step_operation *const tables[] = {mutex_operations,   signal_operations, segment_operations,
						       channel_operations, stream_operations, pager_operations};

	for (size_t i = 0; i < CC_COUNT(tables); i++)
		for (const struct step_operation *operation = tables[i]; operation->name; operation++)
			if (strcmp(operation->name, name) == 0)
				return operation;
	test_fail(__FILE__, __LINE__, "there is no operation '%s'", name);
}

/* Survivors that hang are found when they are late, so they are not given long. */
static void prove(enum mutant mutant, const char *name)
{
	const struct step_operation *operation = find(name);
	char directory[64];
	const struct step_settings settings = {
		.names = directory,
		.limit = UINT64_C(3000000000),
		.every_below = 1000,
		.inside = 2,
		.failures_max = 1,
		.seed = test_seed(),
	};
	struct step_report report;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	snprintf(directory, sizeof(directory), "/dev/shm/stoa.%u", (unsigned)geteuid());
	mutants_chosen = MUTANT_BIT(mutant);
	step_prove(operation, &settings, &report);
	step_print(operation, &report);
	if (report.failures)
		test_fail(__FILE__, __LINE__, "%s: %s", name, report.message);
}

/* The name, the safeguard, the operation, and a part of what must be found. */
#define MUST_FIND(name, mutant, operation, message) \
	TEST_DEFINE(name, 120, false, message)      \
	{                                           \
		prove(MUTANT_##mutant, operation);  \
	}

MUST_FIND(dead_owners_live, DEAD_OWNERS_LIVE, "lock", "the mutex stays locked")
MUST_FIND(life_not_linked, UNLINKED, "lock", "the mutex stays locked")
MUST_FIND(death_not_told, DEATH_NOT_TOLD, "lock", "the outcome is 'free'")
MUST_FIND(no_waiters_flag, NO_WAITERS_FLAG, "unlock before sleepers", "a sleeper was not woken")
MUST_FIND(nothing_pending_at_enrol, NO_PENDING_AT_ENROL, "enrol and lock", "a slot was not recovered")
MUST_FIND(setter_not_covered, NO_WAKE_COVER, "set before sleepers", "a sleeper was not woken")
MUST_FIND(waiter_not_covered, NO_WAKE_COVER, "lock, first, owner dies", "a sleeper was not woken")
MUST_FIND(no_relay_for_setters, NO_RELAY_SLEEP, "set before sleepers", "a sleeper was not woken")
MUST_FIND(no_relay_for_waiters, NO_RELAY_SLEEP, "lock, first, owner dies", "a sleeper was not woken")
MUST_FIND(one_woken_at_set, WAKE_ONE, "set manual before sleepers", "a sleeper was not woken")
MUST_FIND(one_woken_at_unlock, WAKE_ONE, "lock, first, owner unlocks", "a sleeper was not woken")
MUST_FIND(claims_stay, CLAIMS_STAY, "wait_all", "half taken")
MUST_FIND(claims_given_back, CLAIMS_GIVEN_BACK, "wait_all", "half taken")
MUST_FIND(tail_believed, TAIL_BELIEVED, "send", "what comes next is not received")
MUST_FIND(dead_senders_unwatched, PEERS_UNWATCHED, "send to a sleeper", "a receiver sleeps")
MUST_FIND(joined_untold, JOINED_UNTOLD, "send to a sleeper", "a receiver sleeps")
MUST_FIND(no_relay_for_receivers, NO_RELAY_SLEEP, "send to two sleepers, the first dies", "a receiver sleeps")
MUST_FIND(receiver_not_covered, NO_WAKE_COVER, "send to two sleepers, the first dies", "a receiver sleeps")
MUST_FIND(dead_receivers_hold, DEAD_OWNERS_LIVE, "receive as one of several, met", "does not come next")
MUST_FIND(dead_cleaned, DEAD_CLEANED, "flush blocks", "block ")
MUST_FIND(writers_go_on, WRITERS_GO_ON, "flush blocks", "was not seen")
MUST_FIND(dead_fillers_live, DEAD_OWNERS_LIVE, "fill a block", "was not woken")
MUST_FIND(name_before_content, NAME_BEFORE_CONTENT, "create persistent", "an incomplete segment")
MUST_FIND(name_before_object, NAME_BEFORE_CONTENT, "semaphore by name", "killed ")
MUST_FIND(orphans_open, ORPHANS_OPEN, "create transient", "leads somewhere")
MUST_FIND(orphans_stay, ORPHANS_STAY, "close, the last user", "names are left")
