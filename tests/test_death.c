/* SPDX-License-Identifier: MIT */
/*
 * Any process may die at any instruction: every operation of death/ is proved with the stepper, and its kill points printed.
 * test_mutants.c shows that this can fail.
 */
#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <death/death.h>
#include <os/linux/limits.h>

static const char *directory(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/dev/shm/stoa.%u", (unsigned)geteuid());
	return path;
}

static struct step_settings how(void)
{
	return (struct step_settings){
		.names = directory(),
		.limit = UINT64_C(10000000000),
		.every_below = test_rounds(700, 30000),
		.samples = getenv("STOA_TEST_SLOW") ? 0 : test_rounds(60, 10000),
		.inside = test_rounds(2, 12),
		.failures_max = 1,
		.seed = test_seed(),
	};
}

/*
 * What the proof must have seen: each outcome, and all points where something changes. Evenly spread ones may be left out,
 * but few, in loops whose turns others' speed or the host's figures decide about. And where others race with the victim, one change
 * that the recorded race came to may not come again (a compare-and-swap that failed): the points before and after it.
 */
#define LOST_IN_RACES_MAX 2
static bool is_complete(const struct step_operation *operation, struct step_report *report)
{
	uint32_t lost = report->missed - report->skipped;

	for (int i = 0; i < STEP_OUTCOMES_MAX && operation->outcome_names[i]; i++)
		if (!report->outcomes[i]) {
			snprintf(report->message, sizeof(report->message), "no kill has the outcome '%s'",
				 operation->outcome_names[i]);
			return false;
		}
	if (lost > (operation->unordered ? LOST_IN_RACES_MAX : 0) || report->skipped > report->kills / 10) {
		snprintf(report->message, sizeof(report->message),
			 "the victim did not come to %u of %u points, %u in loops", report->missed, report->kills,
			 report->skipped);
		return false;
	}
	return true;
}

static void prove_all(const struct step_operation *operations)
{
	const struct step_settings settings = how();
	struct step_report report, worst = {0};
	const char *failed = NULL;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	/*
	 * Recorded one by one, instructions take long, so who is recorded would look at the memory that is left before each of its commits; a victim
	 * that runs to its point would not, and never come to those.
	 */
	limits_credit_time = UINT64_C(86400000000000);
	CHECK_RC(limits_memory(4096), 0);
	for (const struct step_operation *operation = operations; operation->name; operation++) {
		bool proved = step_prove(operation, &settings, &report) && is_complete(operation, &report);

		step_print(operation, &report);
		if (proved || failed)
			continue;
		failed = operation->name;
		worst = report;
	}
	if (failed)
		test_fail(__FILE__, __LINE__, "%s: %s", failed, worst.message);
}

TEST_TIMEOUT(mutexes, 300)
{
	prove_all(mutex_operations);
}

TEST_TIMEOUT(signals, 300)
{
	prove_all(signal_operations);
}

TEST_TIMEOUT(channels, 300)
{
	prove_all(channel_operations);
}

/* The same, with ends that can write but their own side's part. */
TEST_TIMEOUT(channels_apart, 300)
{
	death_apart = true;
	prove_all(channel_operations);
}

TEST_TIMEOUT(streams, 300)
{
	prove_all(stream_operations);
}

TEST_TIMEOUT(streams_apart, 300)
{
	death_apart = true;
	prove_all(stream_operations);
}

TEST_TIMEOUT(pagers, 600)
{
	prove_all(pager_operations);
}

TEST_TIMEOUT(pagers_served, 600)
{
	prove_all(pager_served_operations);
}

/* Tens of thousands of instructions, for the members that each looks at. */
TEST_TIMEOUT(pager_members, 600)
{
	prove_all(pager_member_operations);
}

TEST_TIMEOUT(segments, 300)
{
	prove_all(segment_operations);
}
