/* SPDX-License-Identifier: MIT */
/* Waits for any and for all, for processes and prefetches, and watches. Deaths are in test_death.c. */
#include <base/signal.h>
#include <sync/board.h>

#include <stdlib.h>

/* ---- any and all ---- */

TEST(wait_any_takes_exactly_one_the_lowest)
{
	struct stoa_waitable set[3];
	size_t index = 77;

	set_up();
	set[0] = event_of(&board->event);
	set[1] = semaphore_of(&board->semaphore);
	set[2] = mutex_of(&board->mutex);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), STOA_TIMED_OUT);
	CHECK_RC(stoa_wait_any(set, 2, stoa_deadline_in(SECOND / 100), &index), STOA_TIMED_OUT);
	CHECK_EQ(index, 77);
	CHECK_RC(stoa_wait_any(set, 3, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 2);
	CHECK_RC(stoa_wait_any(set, 3, STOA_TRY, &index), -STOA_EDEADLOCK);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_wait_any(set, 3, STOA_TRY, &index), 0);
	CHECK_EQ(index, 0);
	CHECK_RC(stoa_wait_any(set, 3, STOA_TRY, &index), 0);
	CHECK_EQ(index, 1);
	set[2] = set[0];
	CHECK_RC(stoa_wait_any(set, 3, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_RC(stoa_wait_all(set, 3, STOA_TRY, &index), -STOA_EINVAL);
	CHECK_SAYS(stoa_wait_any(set, 0, STOA_TRY, &index), -STOA_EINVAL, "1 to 32 things, not 0");
	CHECK_SAYS(stoa_wait_any(NULL, 1, STOA_TRY, &index), -STOA_EINVAL, "no wait set was given");
	CHECK_SAYS(stoa_wait_all(NULL, 1, STOA_TRY, &index), -STOA_EINVAL, "no wait set was given");
	set[1].reserved = 5;
	CHECK_SAYS(stoa_wait_any(set, 2, STOA_TRY, &index), -STOA_EINVAL,
		   "thing 1 of the wait set: the waitable's 'reserved' is 5");
	set[1].object = NULL;
	CHECK_SAYS(stoa_wait_all(set, 2, STOA_TRY, &index), -STOA_EINVAL,
		   "thing 1 of the wait set: the waitable has no object");
	CHECK_RC(stoa_wait_any(set, STOA_WAIT_MAX + 1, STOA_TRY, &index), -STOA_EINVAL);
	set[0].kind = 99;
	CHECK_RC(stoa_wait_any(set, 1, STOA_TRY, &index), -STOA_EINVAL);
	tear_down();
}

TEST(wait_all_takes_all_or_none)
{
	struct stoa_waitable set[4];
	size_t index;

	set_up();
	set[0] = mutex_of(&board->mutex);
	set[1] = event_of(&board->event);
	set[2] = event_of(&board->manual);
	set[3] = semaphore_of(&board->semaphore);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	CHECK_RC(stoa_wait_all(set, 4, STOA_TRY, &index), STOA_TIMED_OUT);
	CHECK_RC(stoa_wait_all(set, 4, stoa_deadline_in(SECOND / 100), &index), STOA_TIMED_OUT);
	/* None was taken: */
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), -STOA_ENOTOWNER);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_set(segment, &board->manual), 0);
	CHECK_RC(stoa_wait_all(set, 4, STOA_TRY, &index), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_TRY), 0);
	tear_down();
}

TEST(wait_all_that_backs_off_keeps_the_news_of_a_dead_owner)
{
	struct stoa_waitable set[2];
	size_t index = 9;
	pid_t owner;

	set_up();
	owner = test_role(hold_until_killed, NULL);
	test_await(&board->ready, 1);
	test_kill(owner);
	set[0] = event_of(&board->event);
	set[1] = mutex_of(&board->mutex);
	CHECK_RC(stoa_wait_all(set, 2, STOA_TRY, &index), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_wait_all(set, 2, STOA_TRY, &index), STOA_OWNER_DIED);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	tear_down();
}

static void dine(void *argument)
{
	unsigned rounds = board->rounds;
	struct stoa_waitable set[3] = {semaphore_of(&board->semaphore), event_of(&board->event),
				       mutex_of(&board->mutex)};

	(void)argument;
	for (unsigned i = 0; i < rounds; i++) {
		CHECK_RC(stoa_wait_all(set, 3, STOA_FOREVER, NULL), 0);
		board->plain++;
		CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
		CHECK_RC(stoa_event_set(segment, &board->event), 0);
		CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	}
}

/* Others take single things of the set all the time. */
static void snack(void *argument)
{
	(void)argument;
	while (!atomic_load(&board->done)) {
		if (!stoa_event_wait(segment, &board->event, STOA_TRY))
			CHECK_RC(stoa_event_set(segment, &board->event), 0);
		if (!stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY))
			CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	}
}

TEST_THREADS(wait_all_excludes_and_never_deadlocks, 60)
{
	unsigned rounds = test_rounds(2000, 200000);
	pid_t diners[3], other;

	set_up();
	board->rounds = rounds;
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), 0);
	other = test_role(snack, NULL);
	for (int i = 0; i < 3; i++)
		diners[i] = test_role(dine, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(test_join(diners[i]), 0);
	atomic_store(&board->done, 1);
	CHECK_EQ(test_join(other), 0);
	CHECK_EQ(board->plain, 3ull * rounds);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), 0);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), 0);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), STOA_TIMED_OUT);
	tear_down();
}

/* Waits across segments. */
static struct stoa_segment *other;

static void signal_in_both(void *argument)
{
	struct stoa_event *event = stoa_segment_address(other);

	(void)argument;
	CHECK_RC(stoa_event_wait(segment, &board->reply, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_set(other, event), 0);
	CHECK_RC(stoa_event_wait(segment, &board->reply, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_set(other, event), 0);
}

TEST(waits_span_segments)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_waitable set[2];
	size_t index;
	pid_t role;

	set_up();
	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &other), 0);
	CHECK_RC(stoa_event_init(other, stoa_segment_address(other), 0), 0);
	set[0] = event_of(&board->event);
	set[1] = (struct stoa_waitable){other, stoa_segment_address(other), STOA_WAIT_EVENT, 0};
	test_share(&other, NULL);
	role = test_role(signal_in_both, NULL);
	CHECK_RC(stoa_event_set(segment, &board->reply), 0);
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_event_set(segment, &board->reply), 0);
	CHECK_RC(stoa_wait_all(set, 2, STOA_FOREVER, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	stoa_segment_close(other);
	other = NULL;
	tear_down();
}

/* ---- what hostile readings found ---- */

static void wait_for_event(void *argument)
{
	(void)argument;
	CHECK_RC(stoa_event_wait(segment, &board->event, stoa_deadline_in(15 * SECOND)), 0);
}

/*
 * A set while the event is claimed must neither wake nor clear WAITERS: a sleeper that looks again keeps the flag without
 * writing it, and would be forgotten.
 */
TEST(a_set_on_a_claimed_event_keeps_the_waiters_flag)
{
	struct object *event;
	struct item item;
	pid_t role;

	set_up();
	event = (struct object *)(void *)&board->event;
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(item_init(&item, segment, event, ITEM_SIGNAL, false), 0);
	CHECK_RC(roster_enrol(segment, &item.self), 0);
	CHECK_RC(signal_claim(&item), 0);
	CHECK(signal_claim_held(&item));
	role = test_role(wait_for_event, NULL);
	test_await_sleep(role);
	CHECK(atomic_load(&event->word) & SIGNAL_WAITERS);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK(atomic_load(&event->word) & SIGNAL_WAITERS);
	signal_finish_claim(event, item.self & ROSTER_SHORT_MASK, true); /* takes one; the set in between is left */
	CHECK_EQ(test_join(role), 0);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	tear_down();
}

TEST(a_reset_breaks_a_claim)
{
	struct object *event;
	struct item item;

	set_up();
	event = (struct object *)(void *)&board->event;
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(item_init(&item, segment, event, ITEM_SIGNAL, false), 0);
	CHECK_RC(roster_enrol(segment, &item.self), 0);
	CHECK_RC(signal_claim(&item), 0);
	CHECK_RC(stoa_event_reset(segment, &board->event), 0);
	CHECK(!signal_claim_held(&item));
	signal_finish_claim(event, item.self & ROSTER_SHORT_MASK, true); /* too late: nothing is there to take */
	CHECK_EQ(signal_count(atomic_load(&event->word)), 0);
	tear_down();
}

/* ---- processes, watches ---- */

static void idle(void *argument)
{
	(void)argument;
	test_pause();
}

TEST(the_end_of_a_process_is_a_waitable)
{
	struct stoa_process *process;
	struct stoa_waitable set[2];
	size_t index;
	pid_t role;

	set_up();
	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	role = test_role(idle, NULL);
	CHECK_RC(stoa_process_open(role, &process), 0);
	set[0] = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	set[1] = event_of(&board->event);
	CHECK_EQ(stoa_process_exited(process), 0);
	CHECK_SAYS(stoa_process_exited(NULL), -STOA_EINVAL, "no process was given");
	CHECK_RC(stoa_wait_any(set, 2, stoa_deadline_in(SECOND / 100), &index), STOA_TIMED_OUT);
	test_kill(role);
	while (!stoa_process_exited(process))
		test_nap(1);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), 0); /* a try sees what is so */
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 0);
	CHECK_EQ(stoa_process_exited(process), 1);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), 0);
	stoa_process_close(process);
	if (stoa_process_open(role, &process) == 0) { /* some system's part still knows it */
		CHECK_EQ(stoa_process_exited(process), 1);
		stoa_process_close(process);
	}
	CHECK_RC(stoa_process_open(0, &process), -STOA_EINVAL);
	tear_down();
}

/* A set for a role to wait for, in whatever way; in test_shared() memory. */
struct crowd {
	struct stoa_waitable things[STOA_WAIT_MAX];
	size_t count;
	const struct board *board; /* where who made the set has it */
	pid_t process;             /* the one among the things */
};

/* The same set through handles of this process. */
static struct crowd my_own(const struct crowd *crowd)
{
	struct crowd mine = *crowd;

	for (size_t i = 0; i < mine.count; i++) {
		struct stoa_waitable *thing = &mine.things[i];
		struct stoa_process *process;
		struct stoa_prefetch *prefetch;

		if (thing->kind == STOA_WAIT_PROCESS) {
			CHECK_RC(stoa_process_open(mine.process, &process), 0);
			thing->object = process;
		} else if (thing->kind == STOA_WAIT_PREFETCH) {
			CHECK_RC(stoa_segment_prefetch(segment, 0, 4096, &prefetch), 0);
			thing->object = prefetch;
		} else {
			thing->segment = segment;
			thing->object = (char *)board + ((char *)thing->object - (const char *)mine.board);
		}
	}
	return mine;
}

static void wait_for_any_of(void *argument)
{
	struct crowd crowd = my_own(argument);
	size_t index = 77;
	int rc = stoa_wait_any(crowd.things, crowd.count, STOA_FOREVER, &index);

	if (rc < 0)
		test_fail(__FILE__, __LINE__, "wait_any: %s", stoa_error_detail());
	board->plain = index;
	atomic_store(&board->done, (uint32_t)rc + 1);
}

TEST(a_sleeping_wait_is_woken_by_the_end_of_a_process)
{
	struct crowd *crowd;
	struct stoa_process *process;
	pid_t role, waiter;

	set_up();
	crowd = test_shared(sizeof(*crowd));
	role = test_role(idle, NULL);
	crowd->board = board;
	crowd->process = role;
	CHECK_RC(stoa_process_open(role, &process), 0);
	crowd->things[crowd->count++] = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	waiter = test_role(wait_for_any_of, crowd);
	test_await_sleep(waiter);
	CHECK_EQ(atomic_load(&board->done), 0);
	test_kill(role);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(board->plain, 0);
	stoa_process_close(process);
	tear_down();
}

/*
 * The helper thread that watches processes is there, and has told of one. While it starts it allocates: a role that is begun just then finds the
 * allocator's lock held for ever, if that one does not care for forks, as that of GCC's address sanitizer.
 */
static void start_helper(void)
{
	pid_t role = test_role(idle, NULL);
	struct stoa_process *process;
	struct stoa_waitable thing;
	struct stoa_watch *watch;

	CHECK_RC(stoa_process_open(role, &process), 0);
	thing = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	test_kill(role);
	CHECK_EQ(test_readable(stoa_watch_descriptor(watch), -1), 1);
	stoa_watch_close(watch);
	stoa_process_close(process);
}

/* As many things as a wait takes, of every kind but finished ones: 10 events, 10 semaphores, 11 mutexes and a process. */
#define EVENTS 10
#define SEMAPHORES 10
#define MUTEXES 11
_Static_assert(EVENTS + SEMAPHORES + MUTEXES + 1 == STOA_WAIT_MAX, "a full set");

static struct stoa_mutex *mutexes(void)
{
	return (void *)(board + 1);
}

static struct stoa_event *events(void)
{
	return (void *)(mutexes() + MUTEXES);
}

static struct stoa_semaphore *semaphores(void)
{
	return (void *)(events() + EVENTS);
}

static void hold_all_until_killed(void *argument)
{
	(void)argument;
	for (int i = 0; i < MUTEXES; i++)
		CHECK_RC(stoa_mutex_init(segment, mutexes() + i, STOA_OWNED), 0);
	atomic_store(&board->ready, 1);
	test_pause();
}

/* Nothing of it can be taken: a live holder has the mutexes. */
static void fill(struct crowd *crowd, struct stoa_process *process)
{
	*crowd = (struct crowd){.board = board};
	for (int i = 0; i < EVENTS; i++) {
		CHECK_RC(stoa_event_init(segment, events() + i, i % 2 ? STOA_MANUAL : 0), 0);
		crowd->things[crowd->count++] = event_of(events() + i);
	}
	for (int i = 0; i < SEMAPHORES; i++) {
		CHECK_RC(stoa_semaphore_init(segment, semaphores() + i, 0, 3), 0);
		crowd->things[crowd->count++] = semaphore_of(semaphores() + i);
	}
	for (int i = 0; i < MUTEXES; i++)
		crowd->things[crowd->count++] = mutex_of(mutexes() + i);
	crowd->things[crowd->count++] = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	CHECK_EQ(crowd->count, STOA_WAIT_MAX);
}

struct full {
	struct crowd *crowd;
	struct stoa_process *process;
	pid_t holder, ending; /* of the mutexes; the process that is waited for */
};

static void set_up_full(struct full *full)
{
	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	set_up();
	full->crowd = test_shared(sizeof(*full->crowd));
	full->holder = test_role(hold_all_until_killed, NULL);
	full->ending = test_role(idle, NULL);
	test_await(&board->ready, 1);
	CHECK_RC(stoa_process_open(full->ending, &full->process), 0);
	fill(full->crowd, full->process);
	full->crowd->process = full->ending;
	start_helper();
}

static void tear_down_full(struct full *full, bool holder_lives, bool process_lives)
{
	if (holder_lives)
		test_kill(full->holder);
	if (process_lives)
		test_kill(full->ending);
	stoa_process_close(full->process);
	tear_down();
}

static void free_event(const struct full *full)
{
	(void)full;
	CHECK_RC(stoa_event_set(segment, events() + 3), 0);
}

static void free_semaphore(const struct full *full)
{
	(void)full;
	CHECK_RC(stoa_semaphore_post(segment, semaphores() + SEMAPHORES - 1, 1), 0);
}

/* Not while the waiter still looks at one after the other: it would find the first held, and a later one free. */
static void free_mutexes(const struct full *full)
{
	const struct object *last = (const void *)(mutexes() + MUTEXES - 1);

	while (!(load_rlx(&last->word) & MUTEX_WAITERS))
		test_nap(1);
	test_kill(full->holder);
}

static void end_process(const struct full *full)
{
	test_kill(full->ending);
}

/* Each in its turn ends a sleeping wait for any. */
TEST(a_full_set_of_all_kinds_waits_for_any)
{
	const struct {
		void (*free_one)(const struct full *full);
		uint64_t index;
		int outcome;
	} cases[] = {
		{free_event, 3, 0},
		{free_semaphore, EVENTS + SEMAPHORES - 1, 0},
		{free_mutexes, EVENTS + SEMAPHORES, STOA_OWNER_DIED},
		{end_process, STOA_WAIT_MAX - 1, 0},
	};

	for (size_t i = 0; i < CC_COUNT(cases); i++) {
		struct full full;
		pid_t waiter;

		set_up_full(&full);
		CHECK_RC(stoa_wait_any(full.crowd->things, full.crowd->count, STOA_TRY, NULL), STOA_TIMED_OUT);
		waiter = test_role(wait_for_any_of, full.crowd);
		test_await_sleep(waiter);
		cases[i].free_one(&full);
		CHECK_EQ(test_join(waiter), 0);
		CHECK_EQ(board->plain, cases[i].index);
		CHECK_EQ(atomic_load(&board->done), cases[i].outcome + 1);
		tear_down_full(&full, cases[i].free_one != free_mutexes, cases[i].free_one != end_process);
	}
}

static void wait_for_all_of(void *argument)
{
	struct crowd crowd = my_own(argument);
	size_t index = 77;
	int rc = stoa_wait_all(crowd.things, crowd.count, STOA_FOREVER, &index);

	if (rc < 0)
		test_fail(__FILE__, __LINE__, "wait_all: %s", stoa_error_detail());
	board->plain = index;
	atomic_store(&board->done, (uint32_t)rc + 1);
}

/* The last thing that is missing is the end of a process, and its waiter sleeps. */
TEST(a_full_set_of_all_kinds_waits_for_all)
{
	struct full full;
	pid_t waiter;

	set_up_full(&full);
	for (int i = 0; i < EVENTS; i++)
		CHECK_RC(stoa_event_set(segment, events() + i), 0);
	for (int i = 0; i < SEMAPHORES; i++)
		CHECK_RC(stoa_semaphore_post(segment, semaphores() + i, 1), 0);
	test_kill(full.holder);
	CHECK_RC(stoa_wait_all(full.crowd->things, full.crowd->count, STOA_TRY, NULL), STOA_TIMED_OUT);
	waiter = test_role(wait_for_all_of, full.crowd);
	test_await_sleep(waiter);
	CHECK_EQ(atomic_load(&board->done), 0);
	test_kill(full.ending);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(atomic_load(&board->done), STOA_OWNER_DIED + 1);
	CHECK_EQ(board->plain, EVENTS + SEMAPHORES);
	for (int i = 0; i < EVENTS; i++)
		CHECK_RC(stoa_event_wait(segment, events() + i, STOA_TRY), i % 2 ? 0 : STOA_TIMED_OUT);
	for (int i = 0; i < SEMAPHORES; i++)
		CHECK_RC(stoa_semaphore_wait(segment, semaphores() + i, STOA_TRY), STOA_TIMED_OUT);
	for (int i = 0; i < MUTEXES; i++)
		CHECK_RC(stoa_mutex_lock(segment, mutexes() + i, STOA_TRY), STOA_OWNER_DIED);
	tear_down_full(&full, false, false);
}

static int readable(const struct stoa_watch *watch, int milliseconds)
{
	return test_readable(stoa_watch_descriptor(watch), milliseconds);
}

TEST(a_watch_makes_a_descriptor_readable)
{
	struct stoa_waitable thing;
	struct stoa_watch *watch;

	set_up();
	thing = event_of(&board->event);
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(readable(watch, 20), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_EQ(readable(watch, -1), 1);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0); /* it was not taken */
	CHECK_RC(stoa_watch_arm(watch), 0);
	CHECK_EQ(readable(watch, 20), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_EQ(readable(watch, -1), 1);
	stoa_watch_close(watch);
	thing = mutex_of(&board->mutex);
	CHECK_RC(stoa_mutex_lock(segment, &board->mutex, STOA_TRY), 0);
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(readable(watch, 20), 0);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	CHECK_EQ(readable(watch, -1), 1);
	stoa_watch_close(watch);
	tear_down();
}

TEST(semaphores_processes_and_prefetches_are_watched_too)
{
	struct stoa_prefetch *prefetch;
	struct stoa_process *process;
	struct stoa_waitable thing;
	struct stoa_watch *watch;
	pid_t role;

	set_up();
	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	thing = semaphore_of(&board->semaphore);
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(readable(watch, 20), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	CHECK_EQ(readable(watch, -1), 1);
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY), 0); /* it was not taken */
	stoa_watch_close(watch);
	role = test_role(idle, NULL);
	CHECK_RC(stoa_process_open(role, &process), 0);
	thing = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(readable(watch, 20), 0);
	test_kill(role);
	CHECK_EQ(readable(watch, -1), 1);
	CHECK_RC(stoa_watch_arm(watch), 0);
	CHECK_EQ(readable(watch, -1), 1); /* it stays ended */
	stoa_watch_close(watch);
	stoa_process_close(process);
	CHECK_RC(stoa_segment_prefetch(segment, 0, 4096, &prefetch), 0);
	thing = (struct stoa_waitable){NULL, prefetch, STOA_WAIT_PREFETCH, 0};
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(readable(watch, -1), 1);
	stoa_watch_close(watch);
	stoa_prefetch_close(prefetch);
	tear_down();
}

TEST(one_thing_through_two_handles_is_there_twice)
{
	struct stoa_segment *second;
	struct stoa_waitable set[2];

	set_up();
	second = open_again(segment);
	set[0] = event_of(&board->event);
	set[1] = (struct stoa_waitable){second,
					(char *)stoa_segment_address(second) + ((char *)&board->event - (char *)board),
					STOA_WAIT_EVENT, 0};
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, NULL), -STOA_EINVAL);
	CHECK_RC(stoa_wait_all(set, 2, STOA_TRY, NULL), -STOA_EINVAL);
	stoa_segment_close(second);
	tear_down();
}

TEST(a_prefetch_and_a_process_are_parts_of_all)
{
	struct stoa_prefetch *prefetch;
	struct crowd *crowd;
	struct stoa_process *process;
	pid_t role, waiter;

	set_up();
	TEST_LEAKS_OK("the helper thread that watches processes stays for the next one");
	crowd = test_shared(sizeof(*crowd));
	role = test_role(idle, NULL);
	crowd->board = board;
	crowd->process = role;
	CHECK_RC(stoa_segment_prefetch(segment, 0, 4096, &prefetch), 0);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_FOREVER), 0);
	CHECK_RC(stoa_process_open(role, &process), 0);
	crowd->things[0] = (struct stoa_waitable){NULL, prefetch, STOA_WAIT_PREFETCH, 0};
	crowd->things[1] = event_of(&board->event);
	crowd->things[2] = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	crowd->count = 3;
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_wait_all(crowd->things, 2, STOA_TRY, NULL), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	start_helper();
	CHECK_RC(stoa_wait_all(crowd->things, 3, STOA_TRY, NULL), STOA_TIMED_OUT);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), 0); /* all or none */
	waiter = test_role(wait_for_all_of, crowd);
	test_await_sleep(waiter);
	test_kill(role);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(atomic_load(&board->done), 1);
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_TRY), STOA_TIMED_OUT);
	stoa_process_close(process);
	stoa_prefetch_close(prefetch);
	tear_down();
}

TEST(a_finished_prefetch_is_a_waitable)
{
	struct stoa_prefetch *prefetch;
	struct stoa_waitable set[2];
	size_t index;

	set_up();
	CHECK_RC(stoa_segment_prefetch(segment, 0, 4096, &prefetch), 0);
	set[0] = event_of(&board->event);
	set[1] = (struct stoa_waitable){NULL, prefetch, STOA_WAIT_PREFETCH, 0};
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_prefetch_wait(prefetch, STOA_TRY), 0);
	stoa_prefetch_close(prefetch);
	tear_down();
}
