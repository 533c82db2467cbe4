/* SPDX-License-Identifier: MIT */
/*
 * Workers that go through their roles and are killed and replaced in turn, at random moments and full rate. After each kill every survivor must
 * make progress, and what the mutex guards must be whole or be told as abandoned.
 */
#ifndef TESTS_KILL_H
#define TESTS_KILL_H

#include <harness/test.h>

#include <base/mutant.h>
#include <kill/system.h>
#include <stoa/stoa.h>

#define WORKERS 3   /* at most */
#ifdef STOA_MUTANTS /* where to stand still is expected */
#define PATIENCE (UINT64_C(3) * 1000000000)
#define KILLS 1000
#else
#define PATIENCE (UINT64_C(30) * 1000000000)
#define KILLS test_rounds(kills_each, 1000)
#endif

/* In the segment's data. */
struct guarded {
	_Alignas(64) struct stoa_mutex mutex;
	_Alignas(64) struct stoa_event event;
	_Alignas(64) struct stoa_semaphore semaphore;
	_Alignas(64) uint64_t turn, inside, values[16], sum; /* under the mutex */
	_Atomic uint32_t torn;                               /* found broken by a locker who was not told */
};

/* What a worker tells about itself: so that it can be killed while it comes, or goes. */
enum phase { AT_WORK, COMING, GOING };

struct role {
	const char *name;
	void (*turn)(unsigned number);
	unsigned workers;
	bool needed;     /* the others stand still without it: its replacement comes before they are looked at */
	enum phase when; /* killed then; AT_WORK: at any time */
};

extern struct stoa_segment *segment;
extern struct guarded *guarded;

/* What else a test wants in the segment, before any worker: called in its own process. May be NULL. */
extern void (*kill_prepare)(void);

/*
 * How a worker is started, where it is handed something then; NULL: test_role_start(). Called for each that is replaced, too, in the test's own
 * process.
 */
extern pid_t (*kill_start)(const struct role *role, void (*body)(void *argument), void *argument);

/*
 * Long rounds: the 99th percentile of each role's recoveries must be less than this, in nanoseconds, more than what the same takes with nobody
 * killed, which is what a busy machine does. 0: it is only told.
 */
extern uint64_t kill_recovered_within;

/* Each role is the victim KILLS times, in turn with the others, in a segment with these flags. */
void kill_each(uint32_t flags, const struct role *roles, unsigned count);

#define ROLE(...)           \
	{                   \
		__VA_ARGS__ \
	} /* the fields of a struct role */
#define KILL_EACH_IN(flags, ...)                                              \
	do {                                                                  \
		const struct role roles_[] = {__VA_ARGS__};                   \
		kill_each(flags, roles_, sizeof(roles_) / sizeof(roles_[0])); \
	} while (0)
#define KILL_EACH(...) KILL_EACH_IN(0, __VA_ARGS__)

/* The worker is in that phase now. */
void be_at(unsigned number, enum phase phase);

/* Under the mutex, which was locked with this result: check what the last owner left, then change it in many steps. */
void change(int locked);

/* Roles, one turn each: lock and unlock; a thread comes, does that, and goes. */
void hold(unsigned number);
void enrol(unsigned number);

#endif
