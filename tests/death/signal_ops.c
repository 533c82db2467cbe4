/* SPDX-License-Identifier: MIT */
/*
 * Scenes of events, semaphores and wait_all: what is set or posted is taken exactly as often, and who sleeps is woken, wherever
 * the setter or a taker dies. Uses death.h, and the bits of the signal word.
 */
#include <stdatomic.h>
#include <unistd.h>

#include "death.h"

#include <base/signal.h>

enum what { AUTOMATIC, MANUAL, SEMAPHORE };

static int take(struct step_world *world, enum what what, uint64_t deadline)
{
	struct death_scene *scene = death_scene(world);

	if (what == AUTOMATIC)
		return stoa_event_wait(scene->segment, &scene->objects->automatic, deadline);
	if (what == MANUAL)
		return stoa_event_wait(scene->segment, &scene->objects->manual, deadline);
	return stoa_semaphore_wait(scene->segment, &scene->objects->semaphore, deadline);
}

static int give(struct step_world *world, enum what what, uint32_t count)
{
	struct death_scene *scene = death_scene(world);

	if (what == AUTOMATIC)
		return stoa_event_set(scene->segment, &scene->objects->automatic);
	if (what == MANUAL)
		return stoa_event_set(scene->segment, &scene->objects->manual);
	return stoa_semaphore_post(scene->segment, &scene->objects->semaphore, count);
}

static bool available(const struct step_world *world, enum what what)
{
	struct death_objects *objects = death_scene(world)->objects;
	const uint64_t *word = what == AUTOMATIC ? objects->automatic.opaque
			       : what == MANUAL  ? objects->manual.opaque
						 : objects->semaphore.opaque;

	return (*(const volatile uint64_t *)word & SIGNAL_AVAILABLE) != 0;
}

/* The first signal of a process looks for memory for the roster; with that behind it, giving and taking are short. */
static void warm(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);
	const struct stoa_waitable set[] = {{scene->segment, &scene->objects->other, STOA_WAIT_MUTEX, 0}};

	death_must(world, stoa_event_set(scene->segment, &scene->objects->spare));
	death_must(world, stoa_event_reset(scene->segment, &scene->objects->spare));
	death_must(world, stoa_wait_all(set, 1, STOA_FOREVER, NULL));
	death_must(world, stoa_mutex_unlock(scene->segment, &scene->objects->other));
}

/* ---- sleepers ---- */

static void sleep_on(struct step_world *world, enum what what)
{
	atomic_fetch_add(&death_reports(world)->ready, 1);
	death_report(world, take(world, what, STOA_FOREVER));
}

static void sleeper_automatic(struct step_world *world)
{
	sleep_on(world, AUTOMATIC);
}

static void sleeper_manual(struct step_world *world)
{
	sleep_on(world, MANUAL);
}

static void sleeper_semaphore(struct step_world *world)
{
	sleep_on(world, SEMAPHORE);
}

static int put_to_sleep(struct step_world *world, void (*sleeper)(struct step_world *world), unsigned count)
{
	struct death_reports *reports = death_reports(world);

	for (unsigned i = 0; i < count; i++) {
		int number = step_helper(world, sleeper);

		if (number < 0 || !step_reaches(world, &reports->ready, i + 1) ||
		    !step_asleep(world, world->helpers[number]))
			return step_bad(world, "a sleeper does not sleep");
	}
	return 0;
}

static int setup_sleepers(struct step_world *world, void (*sleeper)(struct step_world *world), unsigned count)
{
	return death_setup(world, 8) < 0 ? -1 : put_to_sleep(world, sleeper, count);
}

static int setup_automatic(struct step_world *world)
{
	return setup_sleepers(world, sleeper_automatic, 2);
}

static int setup_manual(struct step_world *world)
{
	return setup_sleepers(world, sleeper_manual, 3);
}

static int setup_semaphore(struct step_world *world)
{
	return setup_sleepers(world, sleeper_semaphore, 3);
}

/*
 * Until nothing more can happen by itself: how many sleepers are done. What is available while somebody sleeps must find him
 * within the limit, or the wake-up is lost.
 */
static int settled(struct step_world *world, enum what what)
{
	struct death_reports *reports = death_reports(world);
	uint64_t end = step_now() + world->limit;
	uint32_t sleepers = atomic_load(&reports->ready), before;
	unsigned quiet = 0;

	for (;;) {
		before = atomic_load(&reports->done);
		if (before == sleepers)
			break;
		if (step_now() > end)
			return step_bad(world, "a sleeper was not woken: %u of %u are done, and it is available",
					before, sleepers);
		usleep(500);
		if (!step_all_quiet(world))
			return step_bad(world, "a sleeper neither sleeps nor ends");
		quiet = available(world, what) || atomic_load(&reports->done) != before ? 0 : quiet + 1;
		if (quiet == 4)
			break;
	}
	return atomic_load(&reports->errors) ? death_all_done(world, 0) : (int)atomic_load(&reports->done);
}

/* Give the rest so that all come to their end, and see that nothing is left over. */
static int finish(struct step_world *world, enum what what)
{
	struct death_reports *reports = death_reports(world);
	uint32_t sleepers = atomic_load(&reports->ready);

	for (uint32_t done = atomic_load(&reports->done); done < sleepers; done++) {
		death_must(world, give(world, what, 1));
		if (death_all_done(world, what == MANUAL ? sleepers : done + 1) < 0)
			return -1;
		if (what == MANUAL)
			break;
	}
	if (death_all_done(world, sleepers) < 0)
		return -1;
	if (what != MANUAL && take(world, what, STOA_TRY) != STOA_TIMED_OUT)
		return step_bad(world, "more was taken and left over than ever given");
	return 0;
}

/* ---- giving ---- */

static void set_automatic(struct step_world *world)
{
	death_must(world, give(world, AUTOMATIC, 1));
}

static void set_manual(struct step_world *world)
{
	death_must(world, give(world, MANUAL, 1));
}

static void post_two(struct step_world *world)
{
	death_must(world, give(world, SEMAPHORE, 2));
}

static int verify_given(struct step_world *world, enum what what, int all)
{
	int done = settled(world, what);

	if (done < 0)
		return done;
	if (done != 0 && done != all)
		return step_bad(world, "%d sleepers were served, it must be 0 or %d", done, all);
	return finish(world, what) < 0 ? -1 : done == all;
}

static int verify_set_automatic(struct step_world *world)
{
	return verify_given(world, AUTOMATIC, 1);
}

static int verify_set_manual(struct step_world *world)
{
	return verify_given(world, MANUAL, 3);
}

static int verify_post(struct step_world *world)
{
	return verify_given(world, SEMAPHORE, 2);
}

static int verify_set_alone(struct step_world *world, enum what what)
{
	int result = take(world, what, STOA_TRY);

	if (result < 0)
		return step_bad(world, "wait: %s", stoa_error_detail());
	return result == 0;
}

static int setup_alone(struct step_world *world)
{
	return death_setup(world, 4);
}

static int verify_automatic_alone(struct step_world *world)
{
	return verify_set_alone(world, AUTOMATIC);
}

/* ---- taking what is there ---- */

static int setup_given(struct step_world *world)
{
	if (death_setup(world, 4) < 0 || give(world, AUTOMATIC, 1) || give(world, MANUAL, 1) ||
	    give(world, SEMAPHORE, 2))
		return step_bad(world, "setting: %s", stoa_error_detail());
	return 0;
}

static void take_automatic(struct step_world *world)
{
	death_must(world, take(world, AUTOMATIC, STOA_FOREVER));
}

static void take_manual(struct step_world *world)
{
	death_must(world, take(world, MANUAL, STOA_FOREVER));
}

static void take_semaphore(struct step_world *world)
{
	death_must(world, take(world, SEMAPHORE, STOA_FOREVER));
}

static int verify_took_automatic(struct step_world *world)
{
	int set = verify_set_alone(world, AUTOMATIC);

	return set < 0 ? set : !set;
}

static int verify_took_manual(struct step_world *world)
{
	return verify_set_alone(world, MANUAL) == 1 ? 0 : step_bad(world, "a wait took a manual event");
}

static int verify_took_semaphore(struct step_world *world)
{
	int left = 0;

	while (left < 5 && take(world, SEMAPHORE, STOA_TRY) == 0)
		left++;
	if (left != 1 && left != 2)
		return step_bad(world, "the count is %d, it must be 2 or 1", left);
	return left == 1;
}

/* ---- taking after a sleep, with another sleeper behind: the wake must not be taken to the grave ---- */

/* Counted, so not into one that nobody has taken yet: an event would swallow it. */
static void give_one(struct step_world *world, enum what what)
{
	uint64_t end = step_now() + world->limit;

	while (available(world, what) && step_now() < end)
		usleep(200);
	if (available(world, what))
		step_bad(world, "the victim sleeps, and so do all who could take what is there");
	atomic_fetch_add(&death_reports(world)->given, 1);
	death_must(world, give(world, what, 1));
}

/* Each time that the victim sleeps: another sleeper may have been faster. */
static void give_automatic(struct step_world *world)
{
	give_one(world, AUTOMATIC);
}

static void give_semaphore(struct step_world *world)
{
	give_one(world, SEMAPHORE);
}

/* The victim may have died before it slept; the others are to get one all the same. */
static int settle_given(struct step_world *world, enum what what)
{
	if (!atomic_load(&death_reports(world)->given))
		give_one(world, what);
	return world->message[0] ? -1 : 0;
}

static int settle_automatic(struct step_world *world)
{
	return settle_given(world, AUTOMATIC);
}

static int settle_semaphore(struct step_world *world)
{
	return settle_given(world, SEMAPHORE);
}

static int setup_one_automatic(struct step_world *world)
{
	return setup_sleepers(world, sleeper_automatic, 1);
}

static int setup_one_semaphore(struct step_world *world)
{
	return setup_sleepers(world, sleeper_semaphore, 1);
}

/* What the others did not get and is not left, the victim took: nothing (0), or one (1). */
static int verify_shared(struct step_world *world, enum what what)
{
	int given = (int)atomic_load(&death_reports(world)->given), done = settled(world, what), left = 0, taken;

	if (done < 0)
		return done;
	while (left <= given && take(world, what, STOA_TRY) == 0)
		left++;
	taken = given - done - left;
	if (taken < world->victim_ended || taken > 1)
		return step_bad(world, "%d given, %d arrived, %d left: the victim, which %s, took %d", given, done,
				left, world->victim_ended ? "came to its end" : "did not come to its end", taken);
	return finish(world, what) < 0 ? -1 : taken;
}

static int verify_shared_automatic(struct step_world *world)
{
	return verify_shared(world, AUTOMATIC);
}

static int verify_shared_semaphore(struct step_world *world)
{
	return verify_shared(world, SEMAPHORE);
}

/* ---- the same with the victim first in line, and two sleepers behind it ---- */

static void line_up(struct step_world *world, void (*sleeper)(struct step_world *world))
{
	if (world->helper_count == 0)
		put_to_sleep(world, sleeper, 2);
}

static void line_up_and_set(struct step_world *world)
{
	line_up(world, sleeper_automatic);
	give_automatic(world);
}

static void line_up_and_post(struct step_world *world)
{
	line_up(world, sleeper_semaphore);
	give_semaphore(world);
}

static int settle_line_up_and_set(struct step_world *world)
{
	line_up(world, sleeper_automatic);
	return settle_automatic(world);
}

static int settle_line_up_and_post(struct step_world *world)
{
	line_up(world, sleeper_semaphore);
	return settle_semaphore(world);
}

/* ---- wait_all: everything or nothing, and nobody who came in between sleeps for ever ---- */

static int wait_for_all(struct step_world *world, uint64_t deadline)
{
	struct death_scene *scene = death_scene(world);
	const struct stoa_waitable set[] = {
		{scene->segment, &scene->objects->semaphore, STOA_WAIT_SEMAPHORE, 0},
		{scene->segment, &scene->objects->mutex, STOA_WAIT_MUTEX, 0},
		{scene->segment, &scene->objects->automatic, STOA_WAIT_EVENT, 0},
	};

	return stoa_wait_all(set, 3, deadline, NULL);
}

static void take_all(struct step_world *world)
{
	death_must(world, wait_for_all(world, STOA_FOREVER));
}

static void take_any(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);
	const struct stoa_waitable set[] = {
		{scene->segment, &scene->objects->automatic, STOA_WAIT_EVENT, 0},
		{scene->segment, &scene->objects->semaphore, STOA_WAIT_SEMAPHORE, 0},
	};
	size_t index;

	death_must(world, stoa_wait_any(set, 2, STOA_FOREVER, &index));
}

/* 2 posted and the event set: what is left, and whether the mutex had an owner who died. */
static int verify_all(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);
	int locked = stoa_mutex_lock(scene->segment, &scene->objects->mutex, death_deadline(world));
	int count = 0, set;

	if (locked != 0 && locked != STOA_OWNER_DIED)
		return step_bad(world, "the mutex: %s", stoa_error_name(locked));
	while (count < 5 && take(world, SEMAPHORE, STOA_TRY) == 0)
		count++;
	set = take(world, AUTOMATIC, STOA_TRY) == 0;
	if (count == 2 && set)
		return 0;
	if (count == 1 && !set && locked == STOA_OWNER_DIED)
		return 1;
	return step_bad(world, "half taken: the semaphore has %d of 2, the event is %s, the mutex gave %s", count,
			set ? "set" : "not set", stoa_error_name(locked));
}

static int verify_any(struct step_world *world)
{
	int count = 0, set;

	while (count < 5 && take(world, SEMAPHORE, STOA_TRY) == 0)
		count++;
	set = take(world, AUTOMATIC, STOA_TRY) == 0;
	if (count != 2)
		return step_bad(world, "the semaphore has %d of 2", count);
	return !set;
}

static void sleeper_all(struct step_world *world)
{
	atomic_fetch_add(&death_reports(world)->ready, 1);
	death_report(world, wait_for_all(world, STOA_FOREVER));
}

/* A second wait_all arrives while the victim is half-way: it gets all in the end if the victim took nothing. */
static int meet_all(struct step_world *world)
{
	struct death_reports *reports = death_reports(world);
	int number = step_helper(world, sleeper_all);

	if (number < 0 || !step_reaches(world, &reports->ready, 1) ||
	    !step_asleep_or(world, (unsigned)number, &reports->done, 1))
		return step_bad(world, "a second wait_all neither sleeps nor ends");
	return 0;
}

/* The event tells: taken by the victim for good, so that the other waits for it rightly, or the other must get all. */
static int verify_met_all(struct step_world *world)
{
	struct death_scene *scene = death_scene(world);
	int locked, done = settled(world, AUTOMATIC), left = 0;

	if (done < 0)
		return done;
	if (done == 0) {
		death_must(world, give(world, AUTOMATIC, 1));
		if (death_all_done(world, 1) < 0)
			return -1;
	}
	locked = stoa_mutex_lock(scene->segment, &scene->objects->mutex, death_deadline(world));
	if (locked != STOA_OWNER_DIED)
		return step_bad(world, "the other ended with the mutex, the next lock gave %s",
				stoa_error_name(locked));
	while (left < 5 && take(world, SEMAPHORE, STOA_TRY) == 0)
		left++;
	if (left != done)
		return step_bad(world, "the semaphore has %d, it must be %d", left, done);
	return !done;
}

const struct step_operation signal_operations[] = {
	{.name = "set",
	 .outcome_names = {"unset", "set"},
	 .setup = setup_alone,
	 .prepare = warm,
	 .operate = set_automatic,
	 .verify = verify_automatic_alone},
	{.name = "set, first in the process",
	 .outcome_names = {"unset", "set"},
	 .setup = setup_alone,
	 .operate = set_automatic,
	 .verify = verify_automatic_alone},
	{.name = "set before sleepers",
	 .outcome_names = {"unset", "set"},
	 .setup = setup_automatic,
	 .prepare = warm,
	 .operate = set_automatic,
	 .verify = verify_set_automatic},
	{.name = "set manual before sleepers",
	 .outcome_names = {"unset", "set"},
	 .setup = setup_manual,
	 .prepare = warm,
	 .operate = set_manual,
	 .verify = verify_set_manual},
	{.name = "post before sleepers",
	 .outcome_names = {"not posted", "posted"},
	 .setup = setup_semaphore,
	 .prepare = warm,
	 .operate = post_two,
	 .verify = verify_post},
	{.name = "event wait",
	 .outcome_names = {"left", "taken"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_automatic,
	 .verify = verify_took_automatic},
	{.name = "manual event wait",
	 .outcome_names = {"set"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_manual,
	 .verify = verify_took_manual},
	{.name = "semaphore wait",
	 .outcome_names = {"left", "taken"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_semaphore,
	 .verify = verify_took_semaphore},
	{.name = "event wait, asleep",
	 .outcome_names = {"left to the other", "taken"},
	 .setup = setup_one_automatic,
	 .prepare = warm,
	 .operate = take_automatic,
	 .unblock = give_automatic,
	 .settle = settle_automatic,
	 .verify = verify_shared_automatic,
	 .unordered = true},
	{.name = "semaphore wait, asleep",
	 .outcome_names = {"left to the other", "taken"},
	 .setup = setup_one_semaphore,
	 .prepare = warm,
	 .operate = take_semaphore,
	 .unblock = give_semaphore,
	 .settle = settle_semaphore,
	 .verify = verify_shared_semaphore,
	 .unordered = true},
	{.name = "event wait, first in line",
	 .outcome_names = {"left to the others", "taken"},
	 .setup = setup_alone,
	 .prepare = warm,
	 .operate = take_automatic,
	 .unblock = line_up_and_set,
	 .settle = settle_line_up_and_set,
	 .verify = verify_shared_automatic,
	 .unordered = true},
	{.name = "semaphore wait, first in line",
	 .outcome_names = {"left to the others", "taken"},
	 .setup = setup_alone,
	 .prepare = warm,
	 .operate = take_semaphore,
	 .unblock = line_up_and_post,
	 .settle = settle_line_up_and_post,
	 .verify = verify_shared_semaphore,
	 .unordered = true},
	{.name = "wait_any",
	 .outcome_names = {"left", "taken"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_any,
	 .verify = verify_any},
	{.name = "wait_all",
	 .outcome_names = {"none", "all"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_all,
	 .verify = verify_all},
	{.name = "wait_all, met",
	 .outcome_names = {"none", "all"},
	 .setup = setup_given,
	 .prepare = warm,
	 .operate = take_all,
	 .meet = meet_all,
	 .verify = verify_met_all,
	 .unordered = true},
	{.name = NULL},
};
