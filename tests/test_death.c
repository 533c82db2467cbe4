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
		.every_below = test_rounds(1200, 30000),
		.samples = getenv("STOA_TEST_SLOW") ? 0 : test_rounds(60, 10000),
		.inside = test_rounds(2, 12),
		.failures_max = 1,
		.seed = test_seed(),
	};
}

static void prove_all(const struct step_operation *operations)
{
	const struct step_settings settings = how();
	struct step_report report, worst = {0};
	const char *failed = NULL;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	for (const struct step_operation *operation = operations; operation->name; operation++) {
		bool proved = step_prove(operation, &settings, &report);

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

TEST_TIMEOUT(segments, 300)
{
	prove_all(segment_operations);
}
