/* SPDX-License-Identifier: MIT */
/*
 * Windows: a process may die at any call of the system. Each operation runs in a process of its own that is killed before its first call,
 * after it, before its second, and so on (windows/steps.h); those that sleep are woken in between. Each time the survivors must go on,
 * and what the dead one did is done or not. What it does to memory between two calls is the same code on every system: test_death.c
 * dies at each of its instructions.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), where this must fail.
 */
#include <sync/board.h>

#include <base/mutant.h>
#include <base/signal.h>
#include <channel/channel.h>
#include <pthread.h>
#include <stdio.h>
#include <windows/steps.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;
#define PATIENCE (5 * SECOND)
#else
#define PATIENCE (30 * SECOND)
#endif

struct operation {
	const char *name;
	void (*before)(void);  /* in the process that is to die: what it has done already */
	void (*around)(void);  /* in the test, then: who else takes part */
	void (*operate)(void); /* in the process that is to die */
	void (*release)(void); /* in the test, when that one sleeps, or is dead before it could; may be NULL */
	void (*judge)(void);   /* in the test, after its death */
	uint32_t least;        /* as many steps it has at least */
};

/* The one that dies, in test_shared() memory. */
struct victim {
	struct steps steps;
	const struct operation *operation;
	uint64_t mutants;
	_Atomic uint32_t ready, go, finished;
};
static struct victim *victim;

/* ---- sleepers: threads of the test ---- */

#define SLEEPERS_MAX 3
static pthread_t sleepers[SLEEPERS_MAX];
static unsigned sleeper_count;
static _Atomic uint32_t done, told; /* sleepers that got what they wait for; of them, told of a dead owner */

static void *sleep_for_mutex(void *unused)
{
	int rc = stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER);

	CHECK(rc >= 0);
	atomic_fetch_add(&told, rc == STOA_OWNER_DIED);
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
	atomic_fetch_add(&done, 1);
	return unused;
}

static void *sleep_for_event(void *unused)
{
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
	atomic_fetch_add(&done, 1);
	return unused;
}

static void *sleep_for_semaphore(void *unused)
{
	CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_FOREVER), 0);
	atomic_fetch_add(&done, 1);
	return unused;
}

static uint64_t sleeps(void)
{
	struct stoa_wait_stat stat;

	stoa_wait_stat(&stat);
	return stat.sleeps;
}

/* They sleep, or are just about to. */
static void start_sleepers(unsigned count, void *(*body)(void *unused))
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t before = sleeps();

		CHECK_EQ(pthread_create(&sleepers[sleeper_count++], NULL, body, NULL), 0);
		while (sleeps() == before)
			test_nap(1);
	}
	test_nap(2);
}

static bool come_through(uint32_t count, uint64_t patience)
{
	uint64_t end = stoa_deadline_in(patience);

	while (atomic_load(&done) < count && stoa_now() < end)
		test_nap(1);
	return atomic_load(&done) >= count;
}

static void must_come_through(uint32_t count)
{
	if (!come_through(count, PATIENCE))
		test_fail(__FILE__, __LINE__, "a sleeper was not woken: %u of %u came through, death %s",
			  atomic_load(&done), count, victim->steps.place);
}

static void end_sleepers(void)
{
	while (sleeper_count)
		CHECK_EQ(pthread_join(sleepers[--sleeper_count], NULL), 0);
	atomic_store(&done, 0);
	atomic_store(&told, 0);
}

/* ---- one death ---- */

static void be_the_victim(void *argument)
{
	victim = argument;
#ifdef STOA_MUTANTS
	mutants_chosen = victim->mutants;
#endif
	if (victim->operation->before)
		victim->operation->before();
	atomic_store(&victim->ready, 1);
	test_await(&victim->go, 1);
	steps_begin(&victim->steps);
	victim->operation->operate();
	steps_end();
	atomic_store(&victim->finished, 1);
	test_pause();
}

static void await_stop(void)
{
	uint64_t end = stoa_deadline_in(PATIENCE);

	while (!atomic_load(&victim->steps.stopped) && !atomic_load(&victim->finished)) {
		if (stoa_now() > end)
			test_fail(__FILE__, __LINE__, "the victim comes neither to step %u nor to its end",
				  victim->steps.number);
		test_nap(1);
	}
}

/* false: it finished before that step. */
static bool kill_at(const struct operation *operation, uint32_t number)
{
	pid_t process;

	set_up();
	memset(victim, 0, sizeof(*victim));
	victim->operation = operation;
	victim->steps.number = number;
#ifdef STOA_MUTANTS
	victim->mutants = mutants_chosen;
#endif
	process = test_role_start("victim", be_the_victim, victim);
	test_await(&victim->ready, 1);
	if (operation->around)
		operation->around();
	atomic_store(&victim->go, 1);
	if (operation->release)
		test_await_sleep(process);
	else
		await_stop();
	if (operation->release && !atomic_load(&victim->steps.stopped)) {
		operation->release();
		await_stop();
		test_kill(process);
	} else {
		test_kill(process);
		if (operation->release)
			operation->release();
	}
	operation->judge();
	end_sleepers();
	tear_down();
	return atomic_load(&victim->steps.stopped);
}

static unsigned count_handles(void)
{
	unsigned count = 0;
	DWORD flags;

	for (uintptr_t handle = 4; handle < 8192; handle += 4)
		count += GetHandleInformation((HANDLE)handle, &flags) != 0;
	return count;
}

static void prove(const struct operation *operation)
{
	uint32_t number = 1;
	unsigned before = 0;

	TEST_LEAKS_OK(
		"winpthreads keeps an event for each lock of its own that two threads once met at; none is kept by each round");
	victim = test_shared(sizeof(*victim));
	/* A loaded machine lets one finish in fewer steps, as what it waits for is there before it sleeps: then once more. */
	for (unsigned early = 0; early < 20 && (number <= operation->least || !early);) {
		while (kill_at(operation, number))
			if (number++ == 1)
				before = count_handles();
		early++;
	}
	CHECK_INT(count_handles(), <, before + number);
	test_figure("%s: killed at each of %u steps", operation->name, number - 1);
	CHECK_INT(number - 1, >=, operation->least);
}

/* ---- operations ---- */

static void lock(void)
{
	CHECK(stoa_mutex_lock(segment, &board->mutex, STOA_FOREVER) >= 0);
}

static void unlock(void)
{
	CHECK_RC(stoa_mutex_unlock(segment, &board->mutex), 0);
}

static void lock_and_unlock(void)
{
	lock();
	unlock();
}

/* Of those who take part only this thread lives, and can lock. */
static void mutex_goes_on(void)
{
	struct stoa_segment_stat stat;
	int rc = stoa_mutex_lock(segment, &board->mutex, stoa_deadline_in(PATIENCE));

	if (rc < 0 || rc == STOA_TIMED_OUT)
		test_fail(__FILE__, __LINE__, "the mutex stays locked, death %s", victim->steps.place);
	unlock();
	end_sleepers();
	CHECK_RC(stoa_segment_stat(segment, &stat), 0);
	CHECK_EQ(stat.roster_alive, 1);
}

static void one_sleeper_comes_through(void)
{
	must_come_through(1);
	mutex_goes_on();
}

static void hold_before_a_sleeper(void)
{
	lock();
	start_sleepers(1, sleep_for_mutex);
}

static void a_sleeper_for_the_mutex(void)
{
	start_sleepers(1, sleep_for_mutex);
}

static pid_t owner;

static void another_holds_before_a_sleeper(void)
{
	owner = test_role(hold_until_killed, NULL);
	test_await(&board->ready, 1);
	start_sleepers(1, sleep_for_mutex);
}

static void kill_owner(void)
{
	test_kill(owner);
}

static void *lock_and_end(void *unused)
{
	steps_begin(&victim->steps);
	lock_and_unlock();
	return unused;
}

static void have_a_thread_come_and_go(void)
{
	pthread_t thread;

	steps_end(); /* of this thread */
	CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* A thread that takes part when another closes the last handle. */
static void *hold(void *unused)
{
	lock();
	atomic_store(&board->ready, 1);
	test_pause();
	return unused;
}

static void have_a_thread_hold(void)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, hold, NULL), 0);
	test_await(&board->ready, 1);
}

static void close_segment(void)
{
	stoa_segment_close(segment);
}

static void one_sleeper_for_the_event(void)
{
	start_sleepers(1, sleep_for_event);
}

static void two_sleepers_for_the_event(void)
{
	start_sleepers(2, sleep_for_event);
}

static void two_sleepers_for_the_semaphore(void)
{
	start_sleepers(2, sleep_for_semaphore);
}

static void set(void)
{
	CHECK_RC(stoa_event_set(segment, &board->event), 0);
}

static void post_two(void)
{
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 2), 0);
}

static bool available(const uint64_t *opaque)
{
	return *(const volatile uint64_t *)opaque & SIGNAL_AVAILABLE;
}

/* What was set reaches the sleeper; what was not, can still be set. */
static void set_or_not(void)
{
	if (available(board->event.opaque))
		must_come_through(1);
	else if (!come_through(1, SECOND / 50))
		set();
	must_come_through(1);
}

static void posted_or_not(void)
{
	if (available(board->semaphore.opaque))
		must_come_through(2);
	else if (!come_through(1, SECOND / 50))
		post_two();
	must_come_through(2);
}

static void wait_for_event(void)
{
	CHECK_RC(stoa_event_wait(segment, &board->event, STOA_FOREVER), 0);
}

/* The dead one took at most one with it. */
static void each_gets_one(void)
{
	unsigned sets = 0;

	while (atomic_load(&done) < 2) {
		uint32_t before = atomic_load(&done);

		CHECK_INT(++sets, <=, 3);
		set();
		for (uint64_t end = stoa_deadline_in(PATIENCE); available(board->event.opaque);)
			if (stoa_now() > end)
				must_come_through(before + 1);
		(void)come_through(before + 1, SECOND / 50);
	}
}

static void make_both_available(void)
{
	set();
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
}

static void take_both(void)
{
	struct stoa_waitable both[] = {event_of(&board->event), semaphore_of(&board->semaphore)};

	CHECK_RC(stoa_wait_all(both, 2, STOA_FOREVER, NULL), 0);
}

static void both_or_none(void)
{
	int event = stoa_event_wait(segment, &board->event, STOA_TRY);
	int semaphore = stoa_semaphore_wait(segment, &board->semaphore, STOA_TRY);

	if (event < 0 || event != semaphore)
		test_fail(__FILE__, __LINE__, "half taken: %d, %d, death %s", event, semaphore, victim->steps.place);
}

/* Both come in turn while it sleeps for them. */
static void both_were_taken_or_can_be(void)
{
	set();
	CHECK_RC(stoa_semaphore_post(segment, &board->semaphore, 1), 0);
	take_both();
}

/* ---- channels ---- */

#define CHANNEL_OFFSET 65536
static struct stoa_channel *channel;
static struct stoa_sender *sender;
static struct stoa_receiver *receiver;

static void place_channel(void)
{
	CHECK_RC(stoa_channel_place(segment, CHANNEL_OFFSET, &(struct stoa_channel_options){.ring = 4096}, &channel),
		 0);
}

static void join_as_sender(void)
{
	CHECK_RC(stoa_sender_join(channel, NULL, &sender), 0);
}

static void join_as_receiver(void)
{
	CHECK_RC(stoa_receiver_join(channel, &(struct stoa_receiver_options){.waiting = STOA_SLEEP}, &receiver), 0);
}

static void place_and_join_as_sender(void)
{
	place_channel();
	join_as_sender();
}

static void place_and_join_as_receiver(void)
{
	place_channel();
	join_as_receiver();
}

static void attach_channel(void)
{
	CHECK_RC(stoa_channel_attach(segment, CHANNEL_OFFSET, &channel), 0);
}

static void send_message(void)
{
	CHECK_RC(stoa_sender_send(sender, "message", 8, STOA_TRY), 0);
}

static void receive_message(void)
{
	struct stoa_message message;

	CHECK_RC(stoa_receiver_receive(receiver, stoa_deadline_in(2 * PATIENCE), &message), 0);
	CHECK_STR(message.bytes, "message");
	CHECK_RC(stoa_receiver_release(receiver, &message), 0);
}

static void *sleep_for_message(void *unused)
{
	join_as_receiver();
	receive_message();
	stoa_receiver_leave(receiver);
	atomic_fetch_add(&done, 1);
	return unused;
}

static void one_sleeper_for_a_message(void)
{
	attach_channel();
	start_sleepers(1, sleep_for_message);
}

static void attach_and_join_as_sender(void)
{
	attach_channel();
	join_as_sender();
}

/* What was sent reaches the sleeper by itself; what was not, is sent by who takes the dead one's place. */
static void sent_or_not(void)
{
	uint64_t word = load_acq(&record_at(channel_ring(channel, 0), 0, 0)->word);

	if (word >> 32 == record_tag(0))
		must_come_through(1);
	join_as_sender();
	if (!atomic_load(&done))
		send_message();
	must_come_through(1);
	end_sleepers();
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

/* Taken with the dead one or still there; the next one comes in any case. */
static void received_or_not(void)
{
	struct stoa_message message;
	int rc;

	join_as_receiver();
	rc = stoa_receiver_receive(receiver, STOA_TRY, &message);
	if (rc == 0)
		CHECK_RC(stoa_receiver_release(receiver, &message), 0);
	else
		CHECK_RC(rc, STOA_TIMED_OUT);
	send_message();
	receive_message();
	stoa_receiver_leave(receiver);
	stoa_sender_leave(sender);
	stoa_channel_close(channel);
}

#define NAME test_name("death")

static void create_write_close(void)
{
	struct stoa_segment *named;

	CHECK(stoa_segment_create_or_open(NAME, 1 << 20, &(struct stoa_segment_options){.commit = 4096}, &named) >= 0);
	*(volatile uint64_t *)stoa_segment_address(named) = 1;
	stoa_segment_close(named);
}

static void name_can_be_had(void)
{
	struct stoa_segment *named;

	CHECK_RC(stoa_segment_create_or_open(NAME, 1 << 20, &(struct stoa_segment_options){.commit = 4096}, &named), 0);
	CHECK_EQ(*(volatile uint64_t *)stoa_segment_address(named), 0);
	stoa_segment_close(named);
	CHECK_RC(stoa_segment_open(NAME, NULL, &named), -STOA_ENOENT);
}

static struct stoa_segment *kept;

static void keep_the_name(void)
{
	CHECK_RC(stoa_segment_create(NAME, 1 << 20, &(struct stoa_segment_options){.commit = 4096}, &kept), 0);
}

static void open_and_close(void)
{
	struct stoa_segment *named;

	CHECK_RC(stoa_segment_open(NAME, NULL, &named), 0);
	stoa_segment_close(named);
}

static void name_is_kept(void)
{
	open_and_close();
	stoa_segment_close(kept);
	name_can_be_had();
}

#define LENGTH (UINT64_C(512) << 10)

static void commit(void)
{
	CHECK_RC(stoa_segment_commit(segment, LENGTH), 0);
}

static void commit_goes_on(void)
{
	CHECK_RC(stoa_segment_commit(segment, LENGTH), 0);
	CHECK_EQ(stoa_segment_committed(segment), LENGTH);
	for (uint64_t at = sizeof(struct board); at < LENGTH; at += 4096)
		CHECK_EQ(((volatile unsigned char *)stoa_segment_address(segment))[at], 0);
}

static const struct operation operations[] = {
	{"first lock", NULL, NULL, lock_and_unlock, NULL, mutex_goes_on, 4},
	{"lock behind an owner", NULL, hold_before_a_sleeper, lock_and_unlock, unlock, one_sleeper_comes_through, 10},
	{"lock behind an owner that dies", NULL, another_holds_before_a_sleeper, lock_and_unlock, kill_owner,
	 one_sleeper_comes_through, 10},
	{"unlock before a sleeper", lock, a_sleeper_for_the_mutex, unlock, NULL, one_sleeper_comes_through, 2},
	{"a thread comes and goes", NULL, NULL, have_a_thread_come_and_go, NULL, mutex_goes_on, 4},
	{"close under a holder", have_a_thread_hold, a_sleeper_for_the_mutex, close_segment, NULL,
	 one_sleeper_comes_through, 2},
	{"set before a sleeper", NULL, one_sleeper_for_the_event, set, NULL, set_or_not, 2},
	{"post before sleepers", NULL, two_sleepers_for_the_semaphore, post_two, NULL, posted_or_not, 2},
	{"wait beside sleepers", NULL, two_sleepers_for_the_event, wait_for_event, set, each_gets_one, 10},
	{"wait for all at once", NULL, make_both_available, take_both, NULL, both_or_none, 2},
	{"wait for all in a sleep", NULL, NULL, take_both, make_both_available, both_were_taken_or_can_be, 10},
	{"send before a sleeper", place_and_join_as_sender, one_sleeper_for_a_message, send_message, NULL, sent_or_not,
	 2},
	{"receive in a sleep", place_and_join_as_receiver, attach_and_join_as_sender, receive_message, send_message,
	 received_or_not, 10},
	{"create, write, close", NULL, NULL, create_write_close, NULL, name_can_be_had, 20},
	{"open and close", NULL, keep_the_name, open_and_close, NULL, name_is_kept, 6},
	{"commit", NULL, NULL, commit, NULL, commit_goes_on, 2},
};

static void prove_it(const char *name)
{
	size_t i = 0;

	while (i < CC_COUNT(operations) && strcmp(operations[i].name, name) != 0)
		i++;
	CHECK(i < CC_COUNT(operations));
	prove(&operations[i]);
}

/* ---- two at once ---- */

static void wait_in_steps(void *argument)
{
	victim = argument;
#ifdef STOA_MUTANTS
	mutants_chosen = victim->mutants;
#endif
	steps_begin(&victim->steps);
	wait_for_event();
	steps_end();
	atomic_store(&victim->finished, 1);
	test_pause();
}

static pid_t wait_until(struct victim *waiter, const char *call)
{
	pid_t process;

#ifdef STOA_MUTANTS
	waiter->mutants = mutants_chosen;
#endif
	strcpy(waiter->steps.call, call);
	process = test_role_start("waiter", wait_in_steps, waiter);
	test_await(&waiter->steps.stopped, 1);
	return process;
}

/*
 * The kernel's event, which says that the word changed, is reset by one that dies before it compares the word; another has compared,
 * and is about to sleep. Nobody tells that one: it looks again by itself.
 */
static void a_reset_dies_with_its_waiter(void)
{
	struct victim *late, *dying;
	pid_t processes[2];
	uint64_t end;

	set_up();
	late = test_shared(sizeof(*late));
	dying = test_shared(sizeof(*dying));
	processes[0] = wait_until(late, "WaitForMultipleObjects");
	processes[1] = wait_until(dying, "ResetEvent");
	set();
	atomic_store(&dying->steps.stopped, 0);
	dying->steps.after = true;
	atomic_store(&dying->steps.go_on, 1);
	test_await(&dying->steps.stopped, 1);
	test_kill(processes[1]);
	CHECK(!atomic_load(&late->finished));
	atomic_store(&late->steps.go_on, 1);
	for (end = stoa_deadline_in(PATIENCE); !atomic_load(&late->finished); test_nap(1))
		if (stoa_now() > end)
			test_fail(__FILE__, __LINE__, "a sleeper was not woken: another died after its reset");
	test_kill(processes[0]);
	tear_down();
}

/* ---- the tests, and the mutants that must fail them ---- */

#ifdef STOA_MUTANTS
#define MUST_FIND(name, mutant, message, call)                \
	TEST_DEFINE(name, 120, false, message)                \
	{                                                     \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant); \
		call;                                         \
	}

MUST_FIND(dead_owners_live, DEAD_OWNERS_LIVE, "a sleeper was not woken", prove_it("lock behind an owner that dies"))
MUST_FIND(nobody_asks_for_the_mutex, UNLINKED, "a sleeper was not woken", prove_it("lock behind an owner that dies"))
MUST_FIND(no_look_again_at_set, NO_RECHECK, "a sleeper was not woken", prove_it("set before a sleeper"))
MUST_FIND(no_look_again_at_post, NO_RECHECK, "a sleeper was not woken", prove_it("post before sleepers"))
MUST_FIND(no_look_again_after_a_reset, NO_RECHECK, "a sleeper was not woken", a_reset_dies_with_its_waiter())
#else
#define PROVE(name, operation)       \
	TEST_TIMEOUT(name, 240)      \
	{                            \
		prove_it(operation); \
	}

PROVE(first_lock, "first lock")
PROVE(lock_behind_an_owner, "lock behind an owner")
PROVE(lock_behind_an_owner_that_dies, "lock behind an owner that dies")
PROVE(unlock_before_a_sleeper, "unlock before a sleeper")
PROVE(a_thread_comes_and_goes, "a thread comes and goes")
PROVE(close_under_a_holder, "close under a holder")
PROVE(set_before_a_sleeper, "set before a sleeper")
PROVE(post_before_sleepers, "post before sleepers")
PROVE(wait_beside_sleepers, "wait beside sleepers")
PROVE(wait_for_all_at_once, "wait for all at once")
PROVE(wait_for_all_in_a_sleep, "wait for all in a sleep")
PROVE(send_before_a_sleeper, "send before a sleeper")
PROVE(receive_in_a_sleep, "receive in a sleep")
PROVE(create_write_and_close, "create, write, close")
PROVE(open_and_close_a_name, "open and close")
PROVE(commit_memory, "commit")

TEST(a_waiter_dies_after_its_reset)
{
	a_reset_dies_with_its_waiter();
}

/* Not one call of the system, whatever it is, when nobody waits. */
TEST(what_nobody_waits_for_takes_no_call)
{
	struct steps *steps = test_shared(sizeof(*steps));
	struct stoa_waitable both[2];

	set_up();
	both[0] = event_of(&board->event);
	both[1] = semaphore_of(&board->semaphore);
	for (unsigned i = 0; i < 1000; i++) {
		if (i == 1) /* the first enrols */
			steps_begin(steps);
		lock_and_unlock();
		make_both_available();
		CHECK_RC(stoa_wait_any(both, 2, STOA_FOREVER, NULL), 0);
		CHECK_RC(stoa_semaphore_wait(segment, &board->semaphore, STOA_FOREVER), 0);
		CHECK_RC(stoa_event_set(segment, &board->manual), 0);
		CHECK_RC(stoa_event_wait(segment, &board->manual, STOA_FOREVER), 0);
		CHECK_RC(stoa_event_reset(segment, &board->manual), 0);
		make_both_available();
		take_both();
	}
	steps_end();
	if (steps->calls)
		test_fail(__FILE__, __LINE__, "%u calls, the first of %s()", steps->calls, steps->first);
	/* It would have seen them: */
	steps_begin(steps);
	CHECK_RC(stoa_event_wait(segment, &board->event, stoa_deadline_in(SECOND / 100)), STOA_TIMED_OUT);
	steps_end();
	CHECK_INT(steps->calls, >=, 3);
	tear_down();
}
#endif
