/* SPDX-License-Identifier: MIT */
/* What the scenes share: objects, reports, and checks that a stranger makes. Uses the public API. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "death.h"

#include <channel/look.h>
#include <os/os.h>

struct death_reports *death_reports(const struct step_world *world)
{
	return world->hidden;
}

struct death_scene *death_scene(const struct step_world *world)
{
	return world->local;
}

uint64_t death_deadline(const struct step_world *world)
{
	return stoa_deadline_in(world->limit);
}

int death_setup(struct step_world *world, uint32_t slots)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = slots};
	struct death_scene *scene = calloc(1, sizeof(*scene));
	struct death_objects *objects;

	if (!scene)
		return step_bad(world, "out of memory");
	world->local = scene;
	os_capabilities(); /* probed once in a process, here and not in each victim */
	if (stoa_segment_create(NULL, 1 << 20, &options, &scene->segment))
		return step_bad(world, "create: %s", stoa_error_detail());
	objects = stoa_segment_address(scene->segment);
	scene->objects = objects;
	if (stoa_mutex_init(scene->segment, &objects->mutex, 0) ||
	    stoa_mutex_init(scene->segment, &objects->other, 0) ||
	    stoa_event_init(scene->segment, &objects->automatic, 0) ||
	    stoa_event_init(scene->segment, &objects->manual, STOA_MANUAL) ||
	    stoa_event_init(scene->segment, &objects->spare, 0) ||
	    stoa_semaphore_init(scene->segment, &objects->semaphore, 0, 100))
		return step_bad(world, "init: %s", stoa_error_detail());
	return stoa_event_reset(scene->segment, &objects->automatic); /* attaches the roster, likewise */
}

void death_must(struct step_world *world, int result)
{
	if (result >= 0)
		return;
	step_bad(world, "it failed: %s: %s", stoa_error_name(result), stoa_error_detail());
	_exit(99);
}

void death_report(struct step_world *world, int result)
{
	struct death_reports *reports = death_reports(world);
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	atomic_fetch_add(&reports->rescued, (uint32_t)stat.rescues);
	if (result == STOA_OWNER_DIED)
		atomic_fetch_add(&reports->died, 1);
	else if (result) {
		atomic_store(&reports->error, result);
		atomic_fetch_add(&reports->errors, 1);
	}
	atomic_fetch_add(&reports->done, 1);
}

int death_all_done(struct step_world *world, uint32_t count)
{
	struct death_reports *reports = death_reports(world);

	if (!step_reaches(world, &reports->done, count))
		return step_bad(world, "a sleeper was not woken: %u of %u are done", atomic_load(&reports->done),
				count);
	if (atomic_load(&reports->errors))
		return step_bad(world, "a waiter got %s", stoa_error_name(atomic_load(&reports->error)));
	if (atomic_load(&reports->rescued) && os_capabilities()->relays_wakes)
		return step_bad(world, "a wake-up was lost, and found by the periodic re-check only");
	return 0;
}

int death_check_mutex(struct step_world *world, struct stoa_mutex *mutex)
{
	struct stoa_segment *segment = death_scene(world)->segment;
	int first = stoa_mutex_lock(segment, mutex, death_deadline(world)), again;

	if (first == STOA_TIMED_OUT)
		return step_bad(world, "the mutex stays locked");
	if (first < 0)
		return step_bad(world, "lock: %s", stoa_error_detail());
	if (stoa_mutex_unlock(segment, mutex))
		return step_bad(world, "unlock: %s", stoa_error_detail());
	again = stoa_mutex_lock(segment, mutex, death_deadline(world));
	if (again || stoa_mutex_unlock(segment, mutex))
		return step_bad(world, "the second lock gave %s", stoa_error_name(again));
	return first;
}

struct taker {
	struct step_world *world;
	struct stoa_mutex mutex;
	pthread_t thread;
	pthread_barrier_t *barrier;
	int result;
	char detail[200];
};

static void *take_part(void *argument)
{
	struct taker *taker = argument;
	struct death_scene *scene = death_scene(taker->world);
	unsigned char *place = (unsigned char *)scene->objects + 2048 + 64 * (taker->result);
	struct stoa_mutex *mutex = (struct stoa_mutex *)(void *)place;

	taker->result = stoa_mutex_init(scene->segment, mutex, 0);
	if (!taker->result)
		taker->result = stoa_mutex_lock(scene->segment, mutex, STOA_TRY);
	pthread_barrier_wait(taker->barrier);
	return NULL;
}

/* Slots of the dead must come free: all threads take part at the same time. */
int death_check_roster(struct step_world *world, unsigned threads)
{
	struct taker takers[8];
	pthread_barrier_t barrier;
	int bad = 0;

	if (threads > 8 || pthread_barrier_init(&barrier, NULL, threads))
		return step_bad(world, "no barrier");
	for (unsigned i = 0; i < threads; i++) {
		takers[i] = (struct taker){.world = world, .barrier = &barrier, .result = (int)i};
		if (pthread_create(&takers[i].thread, NULL, take_part, &takers[i]))
			return step_bad(world, "no thread");
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(takers[i].thread, NULL);
		if (takers[i].result)
			bad = takers[i].result;
	}
	pthread_barrier_destroy(&barrier);
	return bad ? step_bad(world, "a slot was not recovered: %s for one of %u threads", stoa_error_name(bad),
			      threads)
		   : 0;
}

static void tell_damage(void *argument, int severity, const char *sentence)
{
	char *told = argument;

	if (severity == STOA_DAMAGE && !told[0])
		snprintf(told, 200, "%s", sentence);
}

int death_check_channel(struct step_world *world, const struct stoa_channel *channel)
{
	const struct channel_site site = channel_site(channel);
	char told[200] = "";
	int rc = channel_valid(&site, tell_damage, told);

	if (rc)
		return step_bad(world, "looking at it: %s", stoa_error_name(rc));
	return told[0] ? step_bad(world, "damage: %s", told) : 0;
}

static void stay_on_first_processor(pid_t pid)
{
	cpu_set_t all, first;
	unsigned number = 0;

	CPU_ZERO(&first);
	if (sched_getaffinity(0, sizeof(all), &all) == 0)
		while (!CPU_ISSET(number, &all))
			number++;
	CPU_SET(number, &first);
	(void)sched_setaffinity(pid, sizeof(first), &first);
}

static void be_busy(struct step_world *world)
{
	(void)world;
	stay_on_first_processor(0);
	for (;;)
		cc_pause();
}

int death_hold_back(struct step_world *world, unsigned number)
{
	const struct sched_param none = {0};

	stay_on_first_processor(world->helpers[number]);
	(void)sched_setscheduler(world->helpers[number], SCHED_IDLE, &none);
	return step_helper(world, be_busy);
}

void death_kill_held_back(struct step_world *world, unsigned number)
{
	kill(world->helpers[number], SIGKILL);
	step_kill_helper(world, world->helper_count - 1); /* who is busy, and in its way */
	step_kill_helper(world, number);
}
