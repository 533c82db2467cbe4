/* SPDX-License-Identifier: MIT */
/* Scenes of lock, unlock, enrolling, leaving and closing: free, fought for, and with sleepers. Uses death.h. */
#include <stdatomic.h>
#include <unistd.h>

#include "death.h"

#include <segment/segment.h>

static int setup_two_slots(struct step_world *world)
{
	return death_setup(world, 2);
}

static int setup(struct step_world *world)
{
	return death_setup(world, 8);
}

/* The roster's pages have memory already: what is left of enrolling is short, and killed before every instruction. */
static int setup_backed(struct step_world *world)
{
	if (death_setup(world, 2) < 0)
		return -1;
	return segment_back_slot(death_scene(world)->segment, 1) || segment_back_slot(death_scene(world)->segment, 2);
}

static int lock_it(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);

	return stoa_mutex_lock(scene->segment, &scene->objects->mutex, STOA_FOREVER);
}

static int unlock_it(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);

	return stoa_mutex_unlock(scene->segment, &scene->objects->mutex);
}

static void enrol(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);

	death_must(world, stoa_mutex_lock(scene->segment, &scene->objects->other, STOA_FOREVER));
	death_must(world, stoa_mutex_unlock(scene->segment, &scene->objects->other));
}

static void lock(struct step_world *world)
{
	death_must(world, lock_it(world));
}

static void unlock(struct step_world *world)
{
	death_must(world, unlock_it(world));
}

/* ---- helpers ---- */

static void wait_for(const _Atomic uint32_t *word)
{
	while (!atomic_load(word))
		usleep(200);
}

/* Locks, says how that went, unlocks. */
static void waiter(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int result;

	enrol(world);
	wait_for(&reports->started);
	atomic_fetch_add(&reports->ready, 1);
	result = lock_it(world);
	if (result >= 0)
		unlock_it(world);
	death_report(world, result);
}

/* Holds the lock until told to go. */
static void owner(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);

	lock(world);
	atomic_store(&reports->started, 1);
	wait_for(&reports->go);
	unlock(world);
	atomic_store(&reports->released, 1);
	for (;;)
		pause();
}

static bool waiters_asleep(struct step_world *world, unsigned first, unsigned count)
{
	struct death_reports *reports = death_reports(world);

	if (!step_reaches(world, &reports->ready, count))
		return false;
	for (unsigned i = first; i < first + count; i++)
		if (!step_asleep(world, world->helpers[i]))
			return false;
	return true;
}

/* ---- a free lock ---- */

static int verify_lock(struct step_world *world)
{
	int result = death_check_mutex(world, &death_scene(world)->objects->mutex);

	if (result < 0)
		return result;
	return result == STOA_OWNER_DIED;
}

static int verify_first_lock(struct step_world *world)
{
	int result = verify_lock(world);

	/* This process takes part with one thread already; its slot comes free with the thread, not with the lock. */
	return result >= 0 && death_check_roster(world, 1) < 0 ? -1 : result;
}

/* Somebody arrives while the victim stands at its point: he gets the lock, or sleeps and is woken by the death. */
static int meet_waiter(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int number;

	atomic_store(&reports->started, 1);
	number = step_helper(world, waiter);
	if (number < 0 || !step_reaches(world, &reports->ready, 1))
		return step_bad(world, "a stranger cannot enrol while the victim stands still");
	if (!step_asleep_or(world, (unsigned)number, &reports->done, 1))
		return step_bad(world, "a stranger neither gets the lock nor sleeps");
	return 0;
}

/* The waiter has seen the death, if there was one to see; nothing may be left for the next. */
static int verify_met(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int left;

	if (death_all_done(world, 1) < 0)
		return -1;
	left = death_check_mutex(world, &death_scene(world)->objects->mutex);
	if (left < 0)
		return left;
	if (left == STOA_OWNER_DIED)
		return step_bad(world, "the death of an owner was told late or twice");
	return (int)atomic_load(&reports->died);
}

/* ---- a lock that another holds ---- */

static int setup_fight(struct step_world *world)
{
	if (death_setup(world, 8) < 0 || step_helper(world, owner) < 0 ||
	    !step_reaches(world, &death_reports(world)->started, 1))
		return step_bad(world, "the owner does not lock");
	if (step_helper(world, waiter) < 0 || step_helper(world, waiter) < 0 || !waiters_asleep(world, 1, 2))
		return step_bad(world, "the waiters do not sleep");
	return 0;
}

static void let_owner_unlock(struct step_world *world)
{
	atomic_store(&death_reports(world)->go, 1);
	step_reaches(world, &death_reports(world)->released, 1);
}

static int settle_owner_unlocks(struct step_world *world)
{
	let_owner_unlock(world);
	return 0;
}

static void kill_owner(struct step_world *world)
{
	step_kill_helper(world, 0);
}

static int settle_owner_dies(struct step_world *world)
{
	kill_owner(world);
	return 0;
}

/* How many deaths of an owner the survivors saw: the owner's, the victim's. */
static int verify_fight(struct step_world *world)
{
	int left;

	if (death_all_done(world, 2) < 0)
		return -1;
	left = death_check_mutex(world, &death_scene(world)->objects->mutex);
	if (left < 0)
		return left;
	return (int)atomic_load(&death_reports(world)->died) + (left == STOA_OWNER_DIED);
}

static int verify_unlock_fight(struct step_world *world)
{
	int seen = verify_fight(world);

	return seen <= 1 ? seen : step_bad(world, "%d deaths of an owner were told, there was one at most", seen);
}

/* The owner's death goes to a survivor or to the victim, who dies with the lock: at least one is told, at most two. */
static int verify_death_fight(struct step_world *world)
{
	int seen = verify_fight(world);

	if (seen < 0)
		return seen;
	if (seen < 1 || seen > 2)
		return step_bad(world, "%d deaths of an owner were told, there were 1 or 2", seen);
	return seen - 1;
}

/* ---- the same, but the victim sleeps first and two others behind it: the first wake-up is the victim's to lose ---- */

static int setup_owner(struct step_world *world)
{
	if (death_setup(world, 8) < 0 || step_helper(world, owner) < 0 ||
	    !step_reaches(world, &death_reports(world)->started, 1))
		return step_bad(world, "the owner does not lock");
	return 0;
}

static void line_up(struct step_world *world)
{
	if (world->helper_count > 1)
		return;
	if (step_helper(world, waiter) < 0 || step_helper(world, waiter) < 0 || !waiters_asleep(world, 1, 2))
		step_bad(world, "the waiters do not sleep");
}

static void line_up_and_unlock(struct step_world *world)
{
	line_up(world);
	let_owner_unlock(world);
}

static void line_up_and_kill_owner(struct step_world *world)
{
	line_up(world);
	kill_owner(world);
}

static int settle_line_up_and_unlock(struct step_world *world)
{
	line_up_and_unlock(world);
	return 0;
}

static int settle_line_up_and_kill_owner(struct step_world *world)
{
	line_up_and_kill_owner(world);
	return 0;
}

/* ---- unlocking before sleepers ---- */

static int setup_unlock(struct step_world *world)
{
	if (death_setup(world, 8) < 0)
		return -1;
	for (unsigned i = 0; i < 2; i++)
		if (step_helper(world, waiter) < 0)
			return -1;
	return 0;
}

static void lock_before_sleepers(struct step_world *world)
{
	lock(world);
	atomic_store(&death_reports(world)->started, 1);
	if (!waiters_asleep(world, 0, 2))
		_exit(98);
}

/* Dead before it unlocked: one sleeper is told. Afterwards: none is. All are woken. */
static int verify_unlock(struct step_world *world)
{
	int seen = verify_fight(world);

	if (seen > 1)
		return step_bad(world, "%d deaths of an owner were told, there was one at most", seen);
	return seen < 0 ? seen : !seen;
}

static int verify_unlock_alone(struct step_world *world)
{
	int result = verify_lock(world);

	return result < 0 ? result : !result;
}

static int setup_alone(struct step_world *world)
{
	return death_setup(world, 2);
}

/* ---- leaving: closing the handle while holding a lock that others wait for ---- */

static void close_it(struct step_world *world)
{
	stoa_segment_close(death_scene(world)->segment);
}

static int verify_close(struct step_world *world)
{
	int seen = verify_fight(world);

	if (seen >= 0 && seen != 1)
		return step_bad(world, "%d deaths of an owner were told, there was one", seen);
	return seen < 0 ? seen : 0;
}

const struct step_operation mutex_operations[] = {
	{.name = "lock",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup_two_slots,
	 .prepare = enrol,
	 .operate = lock,
	 .verify = verify_lock},
	{.name = "lock, met",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup,
	 .prepare = enrol,
	 .operate = lock,
	 .meet = meet_waiter,
	 .verify = verify_met},
	{.name = "enrol and lock",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup_two_slots,
	 .operate = lock,
	 .verify = verify_first_lock},
	{.name = "enrol again and lock",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup_backed,
	 .operate = lock,
	 .verify = verify_first_lock},
	{.name = "enrol and lock, met",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup,
	 .operate = lock,
	 .meet = meet_waiter,
	 .verify = verify_met},
	{.name = "lock, owner unlocks",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup_fight,
	 .prepare = enrol,
	 .operate = lock,
	 .unblock = let_owner_unlock,
	 .settle = settle_owner_unlocks,
	 .verify = verify_unlock_fight,
	 .unordered = true},
	{.name = "lock, owner dies",
	 .outcome_names = {"one died", "both died"},
	 .setup = setup_fight,
	 .prepare = enrol,
	 .operate = lock,
	 .unblock = kill_owner,
	 .settle = settle_owner_dies,
	 .verify = verify_death_fight,
	 .unordered = true},
	{.name = "lock, first, owner unlocks",
	 .outcome_names = {"free", "died owning"},
	 .setup = setup_owner,
	 .prepare = enrol,
	 .operate = lock,
	 .unblock = line_up_and_unlock,
	 .settle = settle_line_up_and_unlock,
	 .verify = verify_unlock_fight,
	 .unordered = true},
	{.name = "lock, first, owner dies",
	 .outcome_names = {"one died", "both died"},
	 .setup = setup_owner,
	 .prepare = enrol,
	 .operate = lock,
	 .unblock = line_up_and_kill_owner,
	 .settle = settle_line_up_and_kill_owner,
	 .verify = verify_death_fight,
	 .unordered = true},
	{.name = "unlock",
	 .outcome_names = {"died owning", "free"},
	 .setup = setup_alone,
	 .prepare = lock,
	 .operate = unlock,
	 .verify = verify_unlock_alone},
	{.name = "unlock before sleepers",
	 .outcome_names = {"died owning", "free"},
	 .setup = setup_unlock,
	 .prepare = lock_before_sleepers,
	 .operate = unlock,
	 .verify = verify_unlock},
	{.name = "close before sleepers",
	 .outcome_names = {"died owning"},
	 .setup = setup_unlock,
	 .prepare = lock_before_sleepers,
	 .operate = close_it,
	 .verify = verify_close},
	{.name = NULL},
};
