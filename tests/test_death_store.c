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
	/* No samples of what changes nothing: how often malloc() comes to a place is another time each time, as a server's thread was there before. */
	const struct step_settings settings = {
		.names = test_dir(),
		.limit = UINT64_C(10000000000),
		.interesting_max = test_rounds(24, 0),
		.inside = test_rounds(1, 12),
		.failures_max = 1,
		.seed = seed,
	};
	bool proved = step_prove(operation, &settings, report);

	end_children();
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

TEST_TIMEOUT(holders, 600)
{
	prove_all(store_holder_operations);
}

TEST_TIMEOUT(clients, 600)
{
	prove_all(store_client_operations);
}

/* ---- with a safeguard taken out ---- */

static const struct step_operation *find(const char *name)
{
	const struct step_operation *const tables[] = {store_client_operations, store_server_operations,
						       store_adoption_operations, store_holder_operations};

	for (size_t i = 0; i < CC_COUNT(tables); i++)
		for (const struct step_operation *operation = tables[i]; operation->name; operation++)
			if (strcmp(operation->name, name) == 0)
				return operation;
	test_fail(__FILE__, __LINE__, "there is no operation '%s'", name);
}

/* Survivors that hang are found when they are late, so they are not given long. */
static void prove_without(enum mutant mutant, const char *name)
{
	const struct step_operation *operation = find(name);
	const struct step_settings settings = {
		.names = test_dir(),
		.limit = UINT64_C(3000000000),
		.failures_max = 1,
		.seed = test_seed(),
	};
	struct step_report report;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	mutants_chosen |= MUTANT_BIT(mutant);
	step_prove(operation, &settings, &report);
	end_children();
	step_print(operation, &report);
	if (report.failures)
		test_fail(__FILE__, __LINE__, "%s: %s", name, report.message);
}

#define MUST_FIND(name, mutant, operation, message)        \
	TEST_DEFINE(name, 120, false, message)             \
	{                                                  \
		prove_without(MUTANT_##mutant, operation); \
	}

MUST_FIND(changes_unnoted, CHANGES_UNNOTED, "server: delete", "the client was told STOA_ENOENT")
MUST_FIND(puts_done_again, DONE_AGAIN, "server: put", "the client was told STOA_EEXIST")
MUST_FIND(aborts_done_again, DONE_AGAIN, "server: abort", "the client was told STOA_ENOENT")
MUST_FIND(batches_done_again, DONE_AGAIN, "server: put, delete", "the client was told STOA_EEXIST")
MUST_FIND(done_overwritten, DONE_OVERWRITTEN, "server: delete, done by another", "the client was told STOA_ENOENT")
MUST_FIND(done_before_told, DONE_BEFORE_TOLD, "server: delete", "the client was told STOA_TIMED_OUT")
MUST_FIND(left_dropped, LEFT_DROPPED, "server: seal, replace", "the successor did not do it")
MUST_FIND(welcome_once, WELCOME_ONCE, "server: session begins", "who came when the server died")
MUST_FIND(drafts_stay, DRAFTS_STAY, "client: create, abort", "objects that nobody makes")
MUST_FIND(regions_stay, REGIONS_STAY, "client: alloc", "the objects are others")
MUST_FIND(arenas_unkept, ARENAS_UNKEPT, "server: put, new arena", "1 objects")
MUST_FIND(sessions_unkept, SESSIONS_UNKEPT, "server: session begins", "1 sessions")
MUST_FIND(holder_blank, HOLDER_BLANK, "holder: dies", "'new' is lost")
