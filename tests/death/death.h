/* SPDX-License-Identifier: MIT */
/*
 * The operations whose victim may die at any instruction, for the stepper. Each is a scene: who else is there, what the victim
 * does, and what must hold afterwards. test_death.c proves them; the mutants of the library must fail them.
 */
#ifndef TESTS_DEATH_H
#define TESTS_DEATH_H

#include <stepper/stepper.h>
#include <stoa/stoa.h>

extern const struct step_operation mutex_operations[];
extern const struct step_operation signal_operations[];
extern const struct step_operation segment_operations[];
extern const struct step_operation channel_operations[];
extern const struct step_operation stream_operations[];
extern bool death_apart; /* of these two: the parts are two segments, and each end can write but its own side's */

struct stoa_channel;
struct stoa_channel_options;
struct stoa_stream;
int death_make_apart(const struct stoa_channel_options *options, struct stoa_channel **ret_whole,
		     struct stoa_channel **ret_to_send, struct stoa_channel **ret_to_receive);
int death_make_stream_apart(uint64_t ring, struct stoa_stream **ret_whole, struct stoa_stream **ret_to_write,
			    struct stoa_stream **ret_to_read);
extern const struct step_operation pager_operations[];
extern const struct step_operation pager_served_operations[];
extern const struct step_operation pager_member_operations[];

/* The objects of a scene, each on a cache line of its own, at the start of an unnamed segment's data. */
struct death_objects {
	_Alignas(64) struct stoa_mutex mutex;
	_Alignas(64) struct stoa_mutex other;
	_Alignas(64) struct stoa_event automatic;
	_Alignas(64) struct stoa_event manual;
	_Alignas(64) struct stoa_event spare;
	_Alignas(64) struct stoa_semaphore semaphore;
};

struct death_scene {
	struct stoa_segment *segment;
	struct death_objects *objects;
};

/* world->hidden: what helpers report. */
struct death_reports {
	_Atomic uint32_t ready;    /* helpers about to do what they are for */
	_Atomic uint32_t started;  /* by the victim or the world: helpers may begin */
	_Atomic uint32_t go;       /* the owner may unlock */
	_Atomic uint32_t released; /* ... and did */
	_Atomic uint32_t done;     /* helpers that got what they waited for */
	_Atomic uint32_t died;     /* ... of these with STOA_OWNER_DIED */
	_Atomic uint32_t rescued;  /* wake-ups that only came from the periodic re-check */
	_Atomic uint32_t errors;
	_Atomic int32_t error;  /* the last one */
	_Atomic uint32_t given; /* signals given by the world */
};

struct death_reports *death_reports(const struct step_world *world);
struct death_scene *death_scene(const struct step_world *world);

/* An unnamed segment with the objects, all unset, unlocked and 0; `slots` in its roster. */
int death_setup(struct step_world *world, uint32_t slots);

/* What the operation itself does must not fail: says why, and ends the process. */
void death_must(struct step_world *world, int result);

/* A helper's report of a result: counts it as done, or as an error. */
void death_report(struct step_world *world, int result);

/* Wait until `count` helpers are done; rescues and errors are bad, too. */
int death_all_done(struct step_world *world, uint32_t count);

/* A deadline within which everything must have happened. */
uint64_t death_deadline(const struct step_world *world);

/* What lies in the channel's memory is in order, as `stoa check` sees it; else step_bad(). */
struct stoa_channel;
int death_check_channel(struct step_world *world, const struct stoa_channel *channel);

/* Lock and unlock twice: 0 or STOA_OWNER_DIED from the first, 0 from the second; else step_bad(). */
int death_check_mutex(struct step_world *world, struct stoa_mutex *mutex);

/* So many threads can take part at a time. */
int death_check_roster(struct step_world *world, unsigned threads);

/*
 * A helper, which sleeps: once it is woken, it hardly comes to run, beside one who is busy on its processor; the last helper, then.
 * And kill it, and that one.
 */
int death_hold_back(struct step_world *world, unsigned number);
void death_kill_held_back(struct step_world *world, unsigned number);

#endif
