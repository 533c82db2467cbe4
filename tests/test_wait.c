/* SPDX-License-Identifier: MIT */
/* Waits for any and for all, for processes and prefetches, and watches. Deaths are in test_death.c. */
#include <base/signal.h>
#include <sync/board.h>

#include <dirent.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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
	while (!atomic_load(&board->ready))
		usleep(1000);
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
	unsigned rounds = *(unsigned *)argument;
	struct stoa_waitable set[3] = {semaphore_of(&board->semaphore), event_of(&board->event),
				       mutex_of(&board->mutex)};

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
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), 0);
	other = test_role(snack, NULL);
	for (int i = 0; i < 3; i++)
		diners[i] = test_role(dine, &rounds);
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
static void signal_in_both(void *argument)
{
	struct stoa_segment *other = argument;
	struct stoa_event *event = stoa_segment_address(other);

	CHECK_RC(stoa_event_wait(segment, &board->reply, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_set(other, event), 0);
	CHECK_RC(stoa_event_wait(segment, &board->reply, STOA_FOREVER), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_RC(stoa_event_set(other, event), 0);
}

TEST(waits_span_segments)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *other;
	struct stoa_waitable set[2];
	size_t index;
	pid_t role;

	set_up();
	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &other), 0);
	CHECK_RC(stoa_event_init(other, stoa_segment_address(other), 0), 0);
	set[0] = event_of(&board->event);
	set[1] = (struct stoa_waitable){other, stoa_segment_address(other), STOA_WAIT_EVENT, 0};
	role = test_role(signal_in_both, other);
	CHECK_RC(stoa_event_set(segment, &board->reply), 0);
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_event_set(segment, &board->reply), 0);
	CHECK_RC(stoa_wait_all(set, 2, STOA_FOREVER, NULL), 0);
	CHECK_EQ(test_join(role), 0);
	stoa_segment_close(other);
	tear_down();
}

/* ---- what hostile readings found ---- */

static void wait_for_event(void *argument)
{
	CHECK_RC(stoa_event_wait(segment, argument, stoa_deadline_in(15 * SECOND)), 0);
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
	role = test_role(wait_for_event, &board->event);
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

static long wake_one(const _Atomic uint32_t *word)
{
	return syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void hold_in_other(void *argument)
{
	struct stoa_segment *other = argument;

	CHECK_RC(stoa_mutex_lock(other, stoa_segment_address(other), STOA_FOREVER), 0);
	atomic_store(&board->ready, 1);
	for (;;)
		pause();
}

static void wait_in_both(void *argument)
{
	struct stoa_segment *other = argument;
	struct stoa_waitable set[2] = {event_of(&board->event),
				       {other, stoa_segment_address(other), STOA_WAIT_MUTEX, 0}};
	struct stoa_wait_stat stat;
	size_t index;

	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), STOA_OWNER_DIED); /* found by the periodic look */
	stoa_wait_stat(&stat);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(stat.rescues, 1);
	CHECK_EQ(index, 1);
	CHECK_RC(stoa_mutex_unlock(other, stoa_segment_address(other)), 0);
}

/*
 * A relay or life word wakes one sleeper, who must pass that on even in death. A wait across segments is covered in its first
 * segment only, so it must not sleep on those words of another.
 */
TEST(a_wait_across_segments_takes_no_wake_that_it_cannot_pass_on)
{
	struct stoa_segment_options options = {.commit = 4096};
	struct stoa_segment *other;
	struct roster *first, *second;
	struct roster_sight sight;
	pid_t owner, waiter;

	set_up();
	CHECK_RC(stoa_segment_create(NULL, 4096, &options, &other), 0);
	CHECK_RC(stoa_mutex_init(other, stoa_segment_address(other), 0), 0);
	owner = test_role(hold_in_other, other);
	while (!atomic_load(&board->ready))
		usleep(1000);
	waiter = test_role(wait_in_both, other);
	test_await_sleep(waiter);
	CHECK_RC(roster_attach(segment, &first), 0);
	CHECK_RC(roster_attach(other, &second), 0);
	CHECK_EQ(wake_one(roster_relay(second)), 0);
	CHECK_EQ(roster_look(other, *(uint64_t *)stoa_segment_address(other) & ~MUTEX_WAITERS, false, &sight), 1);
	CHECK_EQ(wake_one(os_low_half(sight.life)), 0);
	test_await_sleep(waiter);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(wake_one(roster_relay(first)), 1);
	test_await_sleep(waiter);
	test_kill(owner);
	CHECK_EQ(test_join(waiter), 0);
	stoa_segment_close(other);
	tear_down();
}

/* ---- what a system may lack: this file is also built for a library that is told so ---- */

#define KILL_IF(what) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (what), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* The next wake system call kills. */
static void set_without_waking(void *argument)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		KILL_IF(FUTEX_WAKE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {CC_COUNT(steps), steps};
	struct rlimit no_core = {0, 0};

	(void)argument;
	CHECK_SYS(setrlimit(RLIMIT_CORE, &no_core));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		SKIP("system calls cannot be filtered: %s", strerror(errno));
	stoa_event_set(segment, &board->event);
	stoa_event_set(segment, &board->reply);
}

/* How many of the sleeper's wake-ups came from looking again: none where the system relays, whoever dies. */
static void check_rescues(pid_t sleeper)
{
	CHECK_EQ(test_join(test_role(set_without_waking, NULL)), -SIGSYS);
	CHECK_EQ(test_join(sleeper), 0);
	if (os_capabilities()->waits_on_many)
		CHECK_EQ(board->plain, os_capabilities()->relays_wakes ? 0 : 1);
}

static void wait_and_tell(void *argument)
{
	struct stoa_wait_stat stat;

	(void)argument;
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
	stoa_wait_stat(&stat);
	board->plain = stat.rescues;
}

static void wait_for_both_and_tell(void *argument)
{
	struct stoa_waitable both[2] = {event_of(&board->event), mutex_of(&board->mutex)};
	struct stoa_wait_stat stat;

	(void)argument;
	CHECK_RC(stoa_wait_all(both, 2, STOA_FOREVER, NULL), 0);
	stoa_wait_stat(&stat);
	board->plain = stat.rescues;
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

TEST(a_setter_that_dies_before_its_wake_leaves_no_sleeper_behind)
{
	void (*const sleepers[])(void *argument) = {wait_and_tell, wait_for_both_and_tell};

	for (size_t i = 0; i < CC_COUNT(sleepers); i++) {
		pid_t sleeper;

		set_up();
		sleeper = test_role_start("sleeper", sleepers[i], NULL);
		test_await_sleep(sleeper);
		check_rescues(sleeper);
		tear_down();
	}
}

/* ---- processes, watches ---- */

static void idle(void *argument)
{
	(void)argument;
	for (;;)
		pause();
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
	kill(role, SIGKILL);
	while (!stoa_process_exited(process))
		usleep(1000);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), 0); /* a try sees what is so */
	CHECK_RC(stoa_wait_any(set, 2, STOA_FOREVER, &index), 0);
	CHECK_EQ(index, 0);
	CHECK_EQ(stoa_process_exited(process), 1);
	CHECK_RC(stoa_wait_any(set, 2, STOA_TRY, &index), 0);
	stoa_process_close(process);
	CHECK_EQ(test_join(role), -SIGKILL);
	CHECK_RC(stoa_process_open(role, &process), -STOA_ENOENT);
	CHECK_RC(stoa_process_open(0, &process), -STOA_EINVAL);
	tear_down();
}

/* A set for a role to wait for, in whatever way. */
struct crowd {
	struct stoa_waitable things[STOA_WAIT_MAX];
	size_t count;
};

static void wait_for_any_of(void *argument)
{
	const struct crowd *crowd = argument;
	size_t index = 77;
	int rc = stoa_wait_any(crowd->things, crowd->count, STOA_FOREVER, &index);

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
	crowd = calloc(1, sizeof(*crowd));
	role = test_role(idle, NULL);
	CHECK_RC(stoa_process_open(role, &process), 0);
	crowd->things[crowd->count++] = (struct stoa_waitable){NULL, process, STOA_WAIT_PROCESS, 0};
	waiter = test_role(wait_for_any_of, crowd);
	test_await_sleep(waiter);
	CHECK_EQ(atomic_load(&board->done), 0);
	test_kill(role);
	CHECK_EQ(test_join(waiter), 0);
	CHECK_EQ(board->plain, 0);
	stoa_process_close(process);
	free(crowd);
	tear_down();
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
	for (;;)
		pause();
}

/* Nothing of it can be taken: a live holder has the mutexes. */
static void fill(struct crowd *crowd, struct stoa_process *process)
{
	*crowd = (struct crowd){.count = 0};
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
	full->crowd = calloc(1, sizeof(*full->crowd));
	full->holder = test_role(hold_all_until_killed, NULL);
	full->ending = test_role(idle, NULL);
	test_await(&board->ready, 1);
	CHECK_RC(stoa_process_open(full->ending, &full->process), 0);
	fill(full->crowd, full->process);
}

static void tear_down_full(struct full *full, bool holder_lives, bool process_lives)
{
	if (holder_lives)
		test_kill(full->holder);
	if (process_lives)
		test_kill(full->ending);
	stoa_process_close(full->process);
	free(full->crowd);
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

static void free_mutexes(const struct full *full)
{
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
	const struct crowd *crowd = argument;
	size_t index = 77;
	int rc = stoa_wait_all(crowd->things, crowd->count, STOA_FOREVER, &index);

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
	struct pollfd descriptor = {.fd = stoa_watch_descriptor(watch), .events = POLLIN};

	return poll(&descriptor, 1, milliseconds);
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

/* Until as many threads of this process are called that. */
static void await_threads(const char *wanted, unsigned count)
{
	for (unsigned found = count + 1; found != count; usleep(1000)) {
		DIR *tasks = opendir("/proc/self/task");
		const struct dirent *task;

		CHECK(tasks);
		for (found = 0; (task = readdir(tasks));) {
			char path[300], comm[32] = "";
			FILE *file;

			snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
			file = fopen(path, "re");
			if (!file)
				continue;
			if (fgets(comm, sizeof(comm), file))
				comm[strcspn(comm, "\n")] = 0;
			fclose(file);
			found += strcmp(comm, wanted) == 0;
		}
		closedir(tasks);
	}
}

TEST(a_watchs_helper_says_what_it_is)
{
	struct stoa_waitable things[2];
	struct stoa_watch *watches[2];

	set_up();
	await_threads("stoa-watch", 0);
	for (unsigned i = 0; i < 2; i++) {
		things[i] = event_of(i ? &board->reply : &board->event);
		CHECK_RC(stoa_watch_open(&things[i], &watches[i]), 0);
		await_threads("stoa-watch", i + 1);
	}
	for (unsigned i = 0; i < 2; i++)
		stoa_watch_close(watches[i]);
	await_threads("stoa-watch", 0);
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

static void with_parents_watch(void *argument)
{
	struct stoa_watch *watch = argument;

	CHECK_RC(stoa_watch_arm(watch), -STOA_EINVAL);
	stoa_watch_close(watch);
}

TEST(a_forked_child_can_close_its_parents_watch)
{
	struct stoa_waitable thing;
	struct stoa_watch *watch;

	set_up();
	thing = event_of(&board->event);
	CHECK_RC(stoa_watch_open(&thing, &watch), 0);
	CHECK_EQ(test_join(test_role(with_parents_watch, watch)), 0);
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
	CHECK_EQ(readable(watch, -1), 1);
	stoa_watch_close(watch);
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
	crowd = calloc(1, sizeof(*crowd));
	role = test_role(idle, NULL);
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
	free(crowd);
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
