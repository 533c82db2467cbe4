/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction of the directory table of `stoa find`: whoever claims or spreads may be killed anywhere; after repair and
 * requeue the table is whole, no directory is lost, none is there twice.
 */
#include <harness/test.h>

#include "../tools/find.h"

#include <stdio.h>
#include <stepper/stepper.h>

#define SERVER 5u
#define OTHER 6u

static const struct step_settings settings = {
	.limit = UINT64_C(5000000000), .every_below = 1500, .inside = 2, .failures_max = 1, .seed = 1};

/*
 * The table lies in the world's shared page, with room behind the fields it uses of find_shared. A segment that is committed as far
 * makes commits return at once, as they do in a search but for the first of many.
 */
#define ARENA 768u

static struct find_area area;

static int start(struct step_world *world)
{
	int result = stoa_segment_create(NULL, STEP_CONTROL_SIZE,
					 &(struct stoa_segment_options){.commit = STEP_CONTROL_SIZE}, &area.segment);

	if (result < 0)
		return step_bad(world, "%s", stoa_error_detail());
	area.base = world->control;
	area.reserve = STEP_CONTROL_SIZE;
	area.shared = world->control;
	area.shared->arena = ARENA;
	/* What find_table_start() would do, but for its commit, which reaches further. */
	area.shared->table.chains[0] = ARENA;
	area.shared->table.top = ARENA + 40;
	area.shared->table.total = 1;
	area.shared->table.waiting = 1;
	world->local = &area;
	return 0;
}

static struct find_text records; /* of the root's sub-directories */

static int collect(struct step_world *world)
{
	records.length = 0;
	if (find_table_collect(&records, ARENA, "a", 1) && find_table_collect(&records, ARENA, "somewhat longer", 15) &&
	    find_table_collect(&records, ARENA, "c", 1))
		return 0;
	return step_bad(world, "no memory");
}

/* Do what the client does after a death; then claim all, and check that every directory comes once. */
static int check_all(struct step_world *world, unsigned expected)
{
	struct find_requeued requeued;
	uint64_t offsets[8];
	unsigned claimed;
	unsigned count = 0;
	uint64_t seen[16] = {0};

	find_table_repair(&area);
	find_table_requeue(&area, SERVER, &requeued);
	if (!find_table_valid(&area))
		return step_bad(world, "the table is not valid after repair");
	while ((claimed = find_table_claim(&area, OTHER, 1, offsets)) != 0) {
		for (unsigned i = 0; i < count; i++)
			if (seen[i] == offsets[0])
				return step_bad(world, "a directory is claimed twice");
		if (count == 16)
			return step_bad(world, "too many directories");
		seen[count++] = offsets[0];
	}
	return count == expected ? 0 : step_bad(world, "%u directories instead of %u", count, expected);
}

/* ---- spread ---- */

static int spread_setup(struct step_world *world)
{
	uint64_t offset;

	if (start(world) < 0 || collect(world) < 0)
		return -1;
	return find_table_claim(&area, SERVER, 1, &offset) == 1 ? 0 : step_bad(world, "no root");
}

static void spread_operate(struct step_world *world)
{
	(void)world;
	find_table_spread(&area, SERVER, records.bytes, records.length);
}

static int spread_verify(struct step_world *world)
{
	const struct find_directory *root = (const struct find_directory *)(const void *)(area.base + ARENA);
	bool spread;

	find_table_repair(&area);
	spread = root->spread;
	if (check_all(world, spread ? 4 : 1) < 0)
		return -1;
	return spread;
}

#define FIRST (ARENA + 40) /* of the root's sub-directories, chained below the two that are claimed */

/* ---- claims: of the chain of another, and of what is to be done again ---- */

static int claim_setup(struct step_world *world)
{
	uint64_t offset;

	if (start(world) < 0 || collect(world) < 0)
		return -1;
	find_table_claim(&area, OTHER, 1, &offset);
	find_table_spread(&area, OTHER, records.bytes, records.length);
	((struct find_directory *)(void *)(area.base + offset))->acknowledged = 1;
	return 0;
}

static void claim_operate(struct step_world *world)
{
	uint64_t offsets[8];

	(void)world;
	find_table_claim(&area, SERVER, 2, offsets);
}

static int claim_verify(struct step_world *world)
{
	uint64_t chained = area.shared->table.chains[OTHER];

	if (check_all(world, 3) < 0)
		return -1;
	return chained == FIRST;
}

static int redo_setup(struct step_world *world)
{
	struct find_requeued requeued;
	uint64_t offsets[8];

	if (claim_setup(world) < 0)
		return -1;
	find_table_claim(&area, 4, 2, offsets);
	find_table_requeue(&area, 4, &requeued);
	return requeued.directories == 2 ? 0 : step_bad(world, "not queued again");
}

static int redo_verify(struct step_world *world)
{
	uint64_t chained = area.shared->table.chains[0];

	if (check_all(world, 3) < 0)
		return -1;
	return chained == FIRST;
}

static void prove(const struct step_operation *operation)
{
	struct step_report report;

	if (step_unavailable())
		SKIP("%s", step_unavailable());
	step_prove(operation, &settings, &report);
	step_print(operation, &report);
	if (report.failures)
		test_fail(__FILE__, __LINE__, "%s: %s", operation->name, report.message);
	CHECK_EQ(report.missed, 0);
	CHECK(report.outcomes[0] > 0 && report.outcomes[1] > 0);
}

TEST_TIMEOUT(spreading_survives_death_at_every_instruction, 120)
{
	prove(&(struct step_operation){.name = "find: spread",
				       .outcome_names = {"not spread", "spread"},
				       .setup = spread_setup,
				       .operate = spread_operate,
				       .verify = spread_verify});
}

TEST_TIMEOUT(claiming_survives_death_at_every_instruction, 120)
{
	prove(&(struct step_operation){.name = "find: claim",
				       .outcome_names = {"not claimed", "claimed"},
				       .setup = claim_setup,
				       .operate = claim_operate,
				       .verify = claim_verify});
}

TEST_TIMEOUT(claiming_again_survives_death_at_every_instruction, 120)
{
	prove(&(struct step_operation){.name = "find: claim again",
				       .outcome_names = {"not claimed", "claimed"},
				       .setup = redo_setup,
				       .operate = claim_operate,
				       .verify = redo_verify});
}
