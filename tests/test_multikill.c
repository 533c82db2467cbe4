/* SPDX-License-Identifier: MIT */
/*
 * Directed kills of several processes at once: a wake-up that a second death swallows is what random kills do not find. Each
 * test builds the one situation, many times over: sleepers behind an owner, in a known order, and who is to die with whom.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where wake-ups must be lost.
 */
#include <multikill/crowd.h>

#include <base/signal.h>
#include <kill/system.h>
#include <sched.h>
#include <unistd.h>

/* ---- roles ---- */

static void owner(void *argument)
{
	begin(argument, 1);
	CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	atomic_store(&reports->held, 1);
	while (!atomic_load(&reports->release))
		sched_yield();
	CHECK_RC(stoa_mutex_unlock(segment, mutex), 0);
	test_pause();
}

static void semaphore_waiter(void *argument)
{
	begin(argument, 0);
	atomic_fetch_add(&reports->ready, 1);
	report_and_stay(stoa_semaphore_wait(segment, semaphore, STOA_FOREVER));
}

/* ---- one round ---- */

static unsigned kills;

static void kill_one(pid_t role)
{
	slay(role);
	kills++;
}

struct crowd {
	pid_t roles[WAITERS];
	unsigned killed;
};

/* All asleep, in the order of their numbers. */
static void gather(struct crowd *crowd, void (*body)(void *argument), const char *name)
{
	crowd->killed = 0;
	for (unsigned i = 0; i < WAITERS; i++) {
		crowd->roles[i] = test_role_start(name, body, reports);
		test_await(&reports->ready, i + 1);
		test_await_sleep(crowd->roles[i]);
	}
}

/* The first `count` get their signal; nobody is reaped before all have it. */
static void kill_first(struct crowd *crowd, unsigned count)
{
	for (; crowd->killed < count; crowd->killed++)
		kill_one(crowd->roles[crowd->killed]);
}

static void idle(uint64_t nanoseconds)
{
	for (uint64_t end = stoa_deadline_in(nanoseconds); stoa_now() < end;)
		;
}

static void disperse(struct crowd *crowd)
{
	for (unsigned i = 0; i < WAITERS; i++)
		if (i < crowd->killed)
			test_join(crowd->roles[i]);
		else
			test_kill(crowd->roles[i]);
}

static pid_t start_owner(void)
{
	pid_t role = test_role(owner, reports);

	test_await(&reports->held, 1);
	return role;
}

/* ---- the situations ---- */

static void owner_and_first_waiters(unsigned rounds, unsigned dying)
{
	uint64_t random = test_seed();
	struct crowd crowd;

	set_up();
	for (unsigned round = 0; round < rounds; round++) {
		unsigned order = (unsigned)(test_random(&random) % 3);
		pid_t role;

		fresh();
		role = start_owner();
		gather(&crowd, waiter, "waiter");
		if (order == 0)
			kill_first(&crowd, dying);
		kill_one(role);
		if (order == 2)
			idle(test_random(&random) % 100000);
		kill_first(&crowd, dying);
		test_join(role);
		expect_done(WAITERS - dying, round);
		CHECK_INT(atomic_load(&reports->died), >=, 1);
		disperse(&crowd);
	}
	stoa_segment_close(segment);
	segment = NULL;
}

static void waiters_at_unlock(unsigned rounds, unsigned dying)
{
	uint64_t random = test_seed();
	struct crowd crowd;

	set_up();
	for (unsigned round = 0; round < rounds; round++) {
		pid_t role;

		fresh();
		role = start_owner();
		gather(&crowd, waiter, "waiter");
		atomic_store(&reports->release, 1);
		idle(test_random(&random) % 60000);
		kill_first(&crowd, dying);
		expect_done(WAITERS - dying, round);
		disperse(&crowd);
		test_kill(role);
	}
	stoa_segment_close(segment);
	segment = NULL;
}

/* Each survivor gets one, whatever the dying took with them. */
static void takers_at_post(unsigned rounds, unsigned dying)
{
	uint64_t random = test_seed();
	struct crowd crowd;

	set_up();
	for (unsigned round = 0; round < rounds; round++) {
		fresh();
		gather(&crowd, semaphore_waiter, "taker");
		CHECK_RC(stoa_semaphore_post(segment, semaphore, WAITERS), 0);
		idle(test_random(&random) % 60000);
		kill_first(&crowd, dying);
		expect_done(WAITERS - dying, round);
		disperse(&crowd);
	}
	stoa_segment_close(segment);
	segment = NULL;
}

#ifndef STOA_MUTANTS
static void event_waiter(void *argument)
{
	begin(argument, 0);
	atomic_fetch_add(&reports->ready, 1);
	report_and_stay(stoa_event_wait(segment, event, STOA_FOREVER));
}

/* Until the event is taken: by one who died with it, else it must reach a survivor. */
static void expect_taken(unsigned round)
{
	const volatile uint64_t *word = event->opaque;
	uint64_t end = stoa_deadline_in(LIMIT);

	while (*word & SIGNAL_AVAILABLE && stoa_now() < end)
		usleep(200);
	if (*word & SIGNAL_AVAILABLE)
		test_fail(__FILE__, __LINE__, LOST ": the event is set and %d waiters sleep, round %u", WAITERS, round);
	expect_no_rescue(round);
}

static void takers_at_set(unsigned rounds, unsigned dying)
{
	uint64_t random = test_seed();
	struct crowd crowd;

	set_up();
	for (unsigned round = 0; round < rounds; round++) {
		fresh();
		gather(&crowd, event_waiter, "taker");
		CHECK_RC(stoa_event_set(segment, event), 0);
		idle(test_random(&random) % 60000);
		kill_first(&crowd, dying);
		expect_taken(round);
		CHECK_INT(atomic_load(&reports->done), <=, 1);
		disperse(&crowd);
	}
	stoa_segment_close(segment);
	segment = NULL;
}
#endif

/* ---- the tests, and the mutants that must fail them ---- */

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;

#define MUST_LOSE(name, mutants, call)        \
	TEST_DEFINE(name, 120, false, LOST)   \
	{                                     \
		const unsigned rounds = 1000; \
                                              \
		mutants_chosen = mutants;     \
		call;                         \
	}

#define NO_WAKE_COVER MUTANT_BIT(MUTANT_NO_WAKE_COVER)
#define NO_RELAY_SLEEP MUTANT_BIT(MUTANT_NO_RELAY_SLEEP)
/* Alone it is repaired: the one who was woken, and dies, is covered. */
#define WAKE_ONE_UNCOVERED (MUTANT_BIT(MUTANT_WAKE_ONE) | NO_WAKE_COVER)

MUST_LOSE(uncovered_waiter_at_death, NO_WAKE_COVER, owner_and_first_waiters(rounds, 1))
MUST_LOSE(uncovered_waiters_at_death, NO_WAKE_COVER, owner_and_first_waiters(rounds, 3))
MUST_LOSE(no_relay_at_death, NO_RELAY_SLEEP, owner_and_first_waiters(rounds, 1))
MUST_LOSE(one_woken_at_unlock, WAKE_ONE_UNCOVERED, waiters_at_unlock(rounds, 1))
MUST_LOSE(one_woken_at_post, WAKE_ONE_UNCOVERED, takers_at_post(rounds, 1))

/* The same loss, in a library that knows of it: it looks again, and counts what that rescued. */
TEST_TIMEOUT(uncovered_waiters_look_again, 120)
{
	mutants_chosen = NO_WAKE_COVER | MUTANT_BIT(MUTANT_NO_RELAY);
	for (unsigned i = 0; i < 100 && !rescues; i++)
		owner_and_first_waiters(10, 1);
	CHECK_INT(rescues, >, 0);
}
#else
#define TEST_OF(name, call)                                                      \
	TEST_TIMEOUT(name, 120)                                                  \
	{                                                                        \
		const unsigned rounds = test_rounds(30 / test_start_cost, 2000); \
                                                                                 \
		call;                                                            \
		test_figure("%s: %u kills by %s", #name, kills, killer_name());  \
	}

TEST_OF(owner_and_first_waiter, owner_and_first_waiters(rounds, 1))
TEST_OF(owner_and_three_waiters, owner_and_first_waiters(rounds, 3))
TEST_OF(first_waiter_at_unlock, waiters_at_unlock(rounds, 1))
TEST_OF(three_waiters_at_unlock, waiters_at_unlock(rounds, 3))
TEST_OF(first_taker_at_post, takers_at_post(rounds, 1))
TEST_OF(three_takers_at_post, takers_at_post(rounds, 3))
TEST_OF(first_taker_at_set, takers_at_set(rounds, 1))
TEST_OF(three_takers_at_set, takers_at_set(rounds, 3))
#endif
