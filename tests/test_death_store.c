/* SPDX-License-Identifier: MIT */
/*
 * Whoever dies at any instruction of a store, the others go on: clients, and servers that are held. The operations of death/store_*.c are
 * proved with the stepper; and with a safeguard taken out each of them must be found wanting.
 */
#include <harness/test.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/mutant.h>
#include <death/store_scene.h>

/* Else the path would depend on the time: the limits of memory are looked at now and then. */
uint64_t mutants_chosen = MUTANT_BIT(MUTANT_NO_LIMITS);

/* Holders that a world has left behind. */
static void end_children(void)
{
	int found;

	do {
		FILE *file = fopen("/proc/thread-self/children", "r");
		int pid;

		found = 0;
		while (file && fscanf(file, "%d", &pid) == 1) {
			kill(pid, SIGKILL);
			found += waitpid(pid, NULL, 0) == pid;
		}
		if (file)
			fclose(file);
	} while (found);
}

static bool is_complete(const struct step_operation *operation, struct step_report *report)
{
	for (int i = 0; i < STEP_OUTCOMES_MAX && operation->outcome_names[i]; i++)
		if (!report->outcomes[i]) {
			snprintf(report->message, sizeof(report->message), "no kill has the outcome '%s'",
				 operation->outcome_names[i]);
			return false;
		}
	if (report->missed > report->skipped || report->skipped > report->kills / 10) {
		snprintf(report->message, sizeof(report->message),
			 "the victim did not come to %u of %u points, %u in loops", report->missed, report->kills,
			 report->skipped);
		return false;
	}
	return true;
}

static bool prove(const struct step_operation *operation, uint64_t seed, struct step_report *report)
{
	const struct step_settings settings = {
		.names = test_dir(),
		.limit = UINT64_C(10000000000),
		.samples = getenv("STOA_TEST_SLOW") ? 0 : test_rounds(5, 10000),
		.interesting_max = test_rounds(30, 0),
		.inside = test_rounds(1, 12),
		.failures_max = 1,
		.seed = seed,
	};
	bool proved = step_prove(operation, &settings, report);

	end_children();
	if (getenv("STOA_DEATH_LOG")) {
		FILE *f = fopen(getenv("STOA_DEATH_LOG"), "a");
		fprintf(f, "%s: %u instr %u interesting %u kills %u missed %.1f s, %s\n", operation->name,
			report->instructions, report->interesting, report->kills, report->missed,
			(double)report->nanoseconds / 1e9, report->message);
		fclose(f);
	}
	step_print(operation, report);
	return proved && is_complete(operation, report);
}

static void prove_all(const struct step_operation *operations)
{
	const char *only = getenv("STOA_DEATH_ONLY");
	uint64_t seed = test_seed();

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	for (const struct step_operation *operation = operations; operation->name; operation++) {
		struct step_report report;

		if (only && !strstr(operation->name, only))
			continue;
		if (!prove(operation, seed, &report))
			test_fail(__FILE__, __LINE__, "%s: %s", operation->name, report.message);
	}
}

TEST_TIMEOUT(servers, 600)
{
	prove_all(store_server_operations);
}

TEST_TIMEOUT(adoption, 600)
{
	prove_all(store_adoption_operations);
}

TEST_TIMEOUT(clients, 600)
{
	prove_all(store_client_operations);
}
