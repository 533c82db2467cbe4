/* SPDX-License-Identifier: MIT */
/*
 * kill -9 at random moments, at full rate: three workers go through their roles, and workers of each role are killed and replaced
 * in turn (kill/kill.h).
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where this must fail.
 *
 * Random kills find gross mistakes in all the paths at once; the rare orders are found by test_death.c and test_multikill.c.
 */
#include <kill/kill.h>

#include <sched.h>

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;

TEST_DEFINE(dead_owners_live, 120, false, "stands still")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEAD_OWNERS_LIVE);
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_DEFINE(death_not_told, 120, false, "guarded->torn")
{
	mutants_chosen = MUTANT_BIT(MUTANT_DEATH_NOT_TOLD);
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_DEFINE(life_not_linked, 120, false, "stands still")
{
	mutants_chosen = MUTANT_BIT(MUTANT_UNLINKED);
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}
#else
static void set(unsigned number)
{
	(void)number;
	CHECK_RC(stoa_event_set(segment, &guarded->event), 0);
}

static void wait_for_event(unsigned number)
{
	(void)number;
	CHECK_INT(stoa_event_wait(segment, &guarded->event, STOA_FOREVER), >=, 0);
}

static void post(unsigned number)
{
	int result = stoa_semaphore_post(segment, &guarded->semaphore, 1);

	(void)number;
	if (result != -STOA_EOVERFLOW)
		CHECK_INT(result, >=, 0);
	else
		sched_yield();
}

static void take(unsigned number)
{
	(void)number;
	CHECK_INT(stoa_semaphore_wait(segment, &guarded->semaphore, STOA_FOREVER), >=, 0);
}

static void use_and_close(struct stoa_segment *own, unsigned number)
{
	if (stoa_segment_committed(own) < 4096 || stoa_segment_reserve(own) != 1 << 20)
		test_fail(__FILE__, __LINE__, "an incomplete segment was opened");
	*(volatile uint64_t *)stoa_segment_address(own) = number;
	be_at(number, GOING);
	stoa_segment_close(own);
	be_at(number, COMING);
}

static void open_and_close(unsigned number)
{
	struct stoa_segment *own;
	int result = stoa_segment_open(test_name("kill"), NULL, &own);

	if (result == -STOA_ENOENT)
		return;
	if (result < 0)
		test_fail(__FILE__, __LINE__, "open: %s", stoa_error_detail());
	use_and_close(own, number);
}

static void create_and_close(unsigned number)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = 4};
	struct stoa_segment *own;
	int result = stoa_segment_create_or_open(test_name("kill"), 1 << 20, &options, &own);

	if (result < 0)
		test_fail(__FILE__, __LINE__, "create or open: %s", stoa_error_detail());
	use_and_close(own, number);
}

static uint64_t *word_before(struct stoa_segment *own, uint64_t length)
{
	return (uint64_t *)(void *)((char *)stoa_segment_address(own) + length) - 1;
}

/* Grows a segment from nothing, with the others or alone: its memory goes with its last user. */
static void grow(unsigned number)
{
	struct stoa_segment *own;

	if (stoa_segment_create_or_open(test_name("kill"), UINT64_C(64) << 20, NULL, &own) < 0)
		test_fail(__FILE__, __LINE__, "create or open: %s", stoa_error_detail());
	for (uint64_t length = 4096; length <= UINT64_C(1) << 20; length += 8 * 4096) {
		CHECK_RC(stoa_segment_commit(own, length), 0);
		*(volatile uint64_t *)word_before(own, length) = number;
		CHECK_INT(stoa_segment_committed(own), >=, length);
	}
	stoa_segment_close(own);
}

static void claim(unsigned number)
{
	const struct stoa_waitable all[] = {
		{segment, &guarded->mutex, STOA_WAIT_MUTEX, 0},
		{segment, &guarded->semaphore, STOA_WAIT_SEMAPHORE, 0},
	};
	int result = stoa_wait_all(all, 2, STOA_FOREVER, NULL);

	(void)number;
	CHECK_INT(result, >=, 0);
	change(result);
	CHECK_RC(stoa_mutex_unlock(segment, &guarded->mutex), 0);
}

TEST_TIMEOUT(lock_holders, 240)
{
	KILL_EACH(ROLE("lock holder", hold, 3, false, AT_WORK));
}

TEST_TIMEOUT(setters_and_waiters, 240)
{
	KILL_EACH(ROLE("setter", set, 1, true, AT_WORK), ROLE("waiter", wait_for_event, 2, false, AT_WORK));
}

TEST_TIMEOUT(posters_and_takers, 240)
{
	KILL_EACH(ROLE("poster", post, 1, true, AT_WORK), ROLE("taker", take, 2, false, AT_WORK));
}

TEST_TIMEOUT(enrollers_and_leavers, 240)
{
	KILL_EACH(ROLE("enroller", enrol, 2, false, COMING), ROLE("leaver", enrol, 1, false, GOING));
}

TEST_TIMEOUT(creators_openers_closers, 240)
{
	KILL_EACH(ROLE("creator", create_and_close, 1, false, COMING), ROLE("opener", open_and_close, 1, false, COMING),
		  ROLE("closer", create_and_close, 1, false, GOING));
	/* What the last one left goes with the next opener. */
	CHECK_RC(stoa_segment_open(test_name("kill"), NULL, &segment), -STOA_ENOENT);
}

TEST_TIMEOUT(committers, 240)
{
	KILL_EACH(ROLE("committer", grow, 3, false, AT_WORK));
	CHECK_RC(stoa_segment_open(test_name("kill"), NULL, &segment), -STOA_ENOENT);
}

TEST_TIMEOUT(claimers, 240)
{
	KILL_EACH(ROLE("claimer", claim, 2, false, AT_WORK), ROLE("poster to claimers", post, 1, true, AT_WORK));
}
#endif
