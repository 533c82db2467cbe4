/* SPDX-License-Identifier: MIT */
/*
 * Directed kills of several processes at once: a wake-up that a second death swallows is what random kills do not find. Each
 * test builds the one situation, many times over: sleepers behind an owner, in a known order, and who is to die with whom.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where wake-ups must be lost.
 */
#include <harness/test.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/mutant.h>
#include <base/signal.h>
#include <os/os.h>
#include <stoa/stoa.h>

#define WAITERS 8
#define LOST "a wake-up was lost"

#ifdef STOA_MUTANTS
#define LIMIT (UINT64_C(2) * 1000000000)
#else
#define LIMIT (UINT64_C(15) * 1000000000)
#endif

struct reports {
	_Atomic uint32_t held, release, ready, done, rescued, died;
};

static struct stoa_segment *segment;
static struct stoa_mutex *mutex;
static struct stoa_event *event;
static struct stoa_semaphore *semaphore;
static struct reports *reports;
static uint32_t rescues; /* of the survivors of all rounds */

static void set_up(void)
{
	const struct stoa_segment_options options = {.commit = 4096, .roster_slots = 32};

	CHECK_RC(stoa_segment_create(NULL, 1 << 16, &options, &segment), 0);
	mutex = stoa_segment_address(segment);
	event = (void *)((char *)stoa_segment_address(segment) + 64);
	semaphore = (void *)((char *)stoa_segment_address(segment) + 128);
	reports = test_shared(sizeof(*reports));
}

static void fresh(void)
{
	memset(reports, 0, sizeof(*reports));
	CHECK_RC(stoa_mutex_init(segment, mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, event, 0), 0);
	CHECK_RC(stoa_semaphore_init(segment, semaphore, 0, 100), 0);
}

static void run_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* a hint that makes the bad order likely; any order is right */
}

/* ---- roles ---- */

static void owner(void *argument)
{
	(void)argument;
	run_on(1);
	CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	atomic_store(&reports->held, 1);
	while (!atomic_load(&reports->release))
		sched_yield();
	CHECK_RC(stoa_mutex_unlock(segment, mutex), 0);
	for (;;)
		pause();
}

static void report_and_stay(int result)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	CHECK(result >= 0);
	atomic_fetch_add(&reports->rescued, (uint32_t)stat.rescues);
	atomic_fetch_add(&reports->died, result == STOA_OWNER_DIED);
	atomic_fetch_add(&reports->done, 1);
	for (;;)
		pause();
}

static void waiter(void *argument)
{
	int result;

	(void)argument;
	run_on(0);
	atomic_fetch_add(&reports->ready, 1);
	result = stoa_mutex_lock(segment, mutex, STOA_FOREVER);
	if (result >= 0)
		CHECK_RC(stoa_mutex_unlock(segment, mutex), 0);
	report_and_stay(result);
}

static void semaphore_waiter(void *argument)
{
	(void)argument;
	run_on(0);
	atomic_fetch_add(&reports->ready, 1);
	report_and_stay(stoa_semaphore_wait(segment, semaphore, STOA_FOREVER));
}

/* ---- one round ---- */

struct crowd {
	pid_t roles[WAITERS];
	unsigned killed;
};

/* All asleep, in the order of their numbers. */
static void gather(struct crowd *crowd, void (*body)(void *argument), const char *name)
{
	crowd->killed = 0;
	for (unsigned i = 0; i < WAITERS; i++) {
		crowd->roles[i] = test_role_start(name, body, NULL);
		test_await(&reports->ready, i + 1);
		test_await_sleep(crowd->roles[i]);
	}
}

/* The first `count` get their signal; nobody is reaped before all have it. */
static void kill_first(struct crowd *crowd, unsigned count)
{
	for (; crowd->killed < count; crowd->killed++)
		CHECK_SYS(kill(crowd->roles[crowd->killed], SIGKILL));
}

static void idle(uint64_t nanoseconds)
{
	for (uint64_t end = stoa_deadline_in(nanoseconds); stoa_now() < end;)
		;
}

/* Whether at least `count` come through, by wake-ups alone. */
static void expect_done(uint32_t count, unsigned round)
{
	uint64_t end = stoa_deadline_in(LIMIT);

	while (atomic_load(&reports->done) < count && stoa_now() < end)
		usleep(200);
	if (atomic_load(&reports->done) < count)
		test_fail(__FILE__, __LINE__, LOST ": %u of %u survivors came through, round %u",
			  atomic_load(&reports->done), count, round);
	if (os_capabilities()->relays_wakes && atomic_load(&reports->rescued))
		test_fail(__FILE__, __LINE__, LOST " and found by the periodic re-check, round %u", round);
	rescues += atomic_load(&reports->rescued);
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
	pid_t role = test_role(owner, NULL);

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
		CHECK_SYS(kill(role, SIGKILL));
		if (order == 2)
			idle(test_random(&random) % 100000);
		kill_first(&crowd, dying);
		test_join(role);
		expect_done(WAITERS - dying, round);
		CHECK_INT(atomic_load(&reports->died), >=, 1);
		disperse(&crowd);
	}
	stoa_segment_close(segment);
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
}

#ifndef STOA_MUTANTS
static void event_waiter(void *argument)
{
	(void)argument;
	run_on(0);
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
	if (os_capabilities()->relays_wakes && atomic_load(&reports->rescued))
		test_fail(__FILE__, __LINE__, LOST " and found by the periodic re-check, round %u", round);
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
}
#endif

/* ---- the same slot and the same thread id, but another owner ---- */

struct namespace_role {
	_Atomic uint32_t thread_id, refused, enrolled;
	bool locks;
};

/* The first process of a new process namespace: its thread id is 1, in every one. */
static void first_in_namespace(void *argument)
{
	struct namespace_role *role = argument;
	pid_t child;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWPID : CLONE_NEWPID) != 0) {
		atomic_store(&role->refused, (uint32_t)errno);
		return;
	}
	child = fork();
	CHECK_SYS(child);
	if (child) {
		waitpid(child, NULL, 0);
		_exit(0); /* a leak sanitizer cannot look from in here */
	}
	atomic_store(&role->thread_id, os_thread_id());
	if (role->locks)
		CHECK_RC(stoa_mutex_lock(segment, mutex, STOA_FOREVER), 0);
	else
		CHECK_RC(stoa_mutex_init(segment, (void *)(semaphore + 4), STOA_OWNED), 0);
	atomic_store(&role->enrolled, 1);
	for (;;)
		pause();
}

static pid_t start_in_namespace(struct namespace_role *role, bool locks)
{
	pid_t pid;

	memset(role, 0, sizeof(*role));
	role->locks = locks;
	pid = test_role_start("namespace", first_in_namespace, role);
	while (!atomic_load(&role->enrolled) && !atomic_load(&role->refused))
		usleep(500);
	if (atomic_load(&role->refused)) {
		test_join(pid);
		stoa_segment_close(segment);
		SKIP("a process namespace is refused: %s", strerror((int)atomic_load(&role->refused)));
	}
	CHECK_EQ(atomic_load(&role->thread_id), 1);
	return pid;
}

/* The role's child is the namespace's first process, and dies with the namespace or before. */
static void kill_namespace(pid_t role)
{
	char path[64];
	int child = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)role, (int)role);
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%d", &child) == 1 && child > 1);
	fclose(file);
	CHECK_SYS(kill(child, SIGKILL));
	CHECK_EQ(test_join(role), 0);
}

/*
 * A sleeper is stopped while the owner dies and a namesake takes the slot: the life word's low half is then what it was before.
 * Let go again, the sleeper must not sleep on.
 */
static void namesake(unsigned rounds)
{
	struct namespace_role *role;

	set_up();
	role = test_shared(sizeof(*role));
	for (unsigned round = 0; round < rounds; round++) {
		pid_t sleeper, first, second;

		fresh();
		first = start_in_namespace(role, true);
		sleeper = test_role(waiter, NULL);
		test_await(&reports->ready, 1);
		test_await_sleep(sleeper);
		CHECK_SYS(kill(sleeper, SIGSTOP));
		CHECK_SYS(waitpid(sleeper, NULL, WUNTRACED));
		kill_namespace(first);
		second = start_in_namespace(role, false);
		CHECK_SYS(kill(sleeper, SIGCONT));
		expect_done(1, round);
		CHECK_EQ(atomic_load(&reports->died), 1);
		test_kill(sleeper);
		kill_namespace(second);
	}
	stoa_segment_close(segment);
}

/* ---- the tests, and the mutants that must fail them ---- */

#define SITUATIONS(_)                                                  \
	_(owner_and_first_waiter, owner_and_first_waiters(rounds, 1))  \
	_(owner_and_three_waiters, owner_and_first_waiters(rounds, 3)) \
	_(first_waiter_at_unlock, waiters_at_unlock(rounds, 1))        \
	_(three_waiters_at_unlock, waiters_at_unlock(rounds, 3))       \
	_(first_taker_at_post, takers_at_post(rounds, 1))              \
	_(three_takers_at_post, takers_at_post(rounds, 3))             \
	_(first_taker_at_set, takers_at_set(rounds, 1))                \
	_(three_takers_at_set, takers_at_set(rounds, 3))               \
	_(namesake_in_the_slot, namesake(test_rounds(5, 100)))

#ifdef STOA_MUTANTS
unsigned mutants_chosen;

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
#define NO_GENERATION_SLEEP MUTANT_BIT(MUTANT_NO_GENERATION_SLEEP)
/* Alone it is repaired: the one who was woken, and dies, is covered. */
#define WAKE_ONE_UNCOVERED (MUTANT_BIT(MUTANT_WAKE_ONE) | NO_WAKE_COVER)

MUST_LOSE(uncovered_waiter_at_death, NO_WAKE_COVER, owner_and_first_waiters(rounds, 1))
MUST_LOSE(uncovered_waiters_at_death, NO_WAKE_COVER, owner_and_first_waiters(rounds, 3))
MUST_LOSE(no_relay_at_death, NO_RELAY_SLEEP, owner_and_first_waiters(rounds, 1))
MUST_LOSE(one_woken_at_unlock, WAKE_ONE_UNCOVERED, waiters_at_unlock(rounds, 1))
MUST_LOSE(one_woken_at_post, WAKE_ONE_UNCOVERED, takers_at_post(rounds, 1))
MUST_LOSE(namesake_not_told_apart, NO_GENERATION_SLEEP, namesake(rounds))

/* The same loss, in a library that knows of it: it looks again, and counts what that rescued. */
TEST_TIMEOUT(uncovered_waiters_look_again, 120)
{
	mutants_chosen = NO_WAKE_COVER | MUTANT_BIT(MUTANT_NO_RELAY);
	for (unsigned i = 0; i < 100 && !rescues; i++)
		owner_and_first_waiters(10, 1);
	CHECK_INT(rescues, >, 0);
}
#else
#define TEST_OF(name, call)                                    \
	TEST_TIMEOUT(name, 120)                                \
	{                                                      \
		const unsigned rounds = test_rounds(30, 2000); \
                                                               \
		call;                                          \
	}

TEST_OF(owner_and_first_waiter, owner_and_first_waiters(rounds, 1))
TEST_OF(owner_and_three_waiters, owner_and_first_waiters(rounds, 3))
TEST_OF(first_waiter_at_unlock, waiters_at_unlock(rounds, 1))
TEST_OF(three_waiters_at_unlock, waiters_at_unlock(rounds, 3))
TEST_OF(first_taker_at_post, takers_at_post(rounds, 1))
TEST_OF(three_takers_at_post, takers_at_post(rounds, 3))
TEST_OF(first_taker_at_set, takers_at_set(rounds, 1))
TEST_OF(three_takers_at_set, takers_at_set(rounds, 3))
TEST_OF(namesake_in_the_slot, namesake(rounds / 5))
#endif
