/* SPDX-License-Identifier: MIT */
/* See kill.h. */
#include <kill/kill.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct worker {
	unsigned number;
	struct role role;
	struct board *board;
	pid_t process;
};

struct board {
	_Alignas(64) struct {
		_Alignas(64) _Atomic uint64_t beats;
		_Atomic uint32_t phase;
	} states[WORKERS];
	_Atomic uint64_t repairs;
	uint64_t mutants; /* for the workers, where they are no forks */
	unsigned count;
	struct worker workers[WORKERS];
};

struct stoa_segment *segment;
struct guarded *guarded;
void (*kill_prepare)(void);
pid_t (*kill_start)(const struct role *role, void (*body)(void *argument), void *argument);
uint64_t kill_recovered_within;
static struct board *board;

static uint64_t sum_of_values(void)
{
	uint64_t sum = guarded->turn;

	for (unsigned i = 0; i < CC_COUNT(guarded->values); i++)
		sum = sum * 31 + guarded->values[i];
	return sum;
}

void change(int locked)
{
	volatile uint64_t *values = guarded->values;

	if (locked == STOA_OWNER_DIED)
		atomic_fetch_add(&board->repairs, 1);
	else if (guarded->inside || guarded->sum != sum_of_values())
		atomic_store(&guarded->torn, 1);
	*(volatile uint64_t *)&guarded->inside = 1;
	*(volatile uint64_t *)&guarded->turn = guarded->turn + 1;
	for (unsigned i = 0; i < CC_COUNT(guarded->values); i++)
		values[i] = values[i] + guarded->turn + i;
	guarded->sum = sum_of_values();
	*(volatile uint64_t *)&guarded->inside = 0;
}

/* Few, so that those of the dead are needed. Where it is not noticed that they died, that is to be found out, and not that there are no more. */
#ifdef STOA_MUTANTS
#define SLOTS 0
#else
#define SLOTS 16
#endif

/* ---- roles: one turn each ---- */

void hold(unsigned number)
{
	int locked = stoa_mutex_lock(segment, &guarded->mutex, STOA_FOREVER);

	(void)number;
	CHECK_INT(locked, >=, 0);
	change(locked);
	CHECK_RC(stoa_mutex_unlock(segment, &guarded->mutex), 0);
}

void be_at(unsigned number, enum phase phase)
{
	atomic_store(&board->states[number].phase, phase);
}

/* Takes part for about as long as coming and going takes. */
static void *enrol_and_leave(void *argument)
{
	unsigned number = *(const unsigned *)argument;

	for (unsigned i = 0; i < 100; i++) {
		hold(number);
		be_at(number, AT_WORK);
	}
	be_at(number, GOING);
	return argument;
}

void enrol(unsigned number)
{
	pthread_t thread;

	be_at(number, COMING);
	CHECK_EQ(pthread_create(&thread, NULL, enrol_and_leave, &board->workers[number].number), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- the killing ---- */

static void work(void *argument)
{
	const struct worker *worker = argument;

	board = worker->board;
#ifdef STOA_MUTANTS
	mutants_chosen = board->mutants;
#endif
	for (;;) {
		worker->role.turn(worker->number);
		atomic_fetch_add(&board->states[worker->number].beats, 1);
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Until all survivors have done two more turns: the second began after the kill. */
static uint64_t recovery(unsigned victim, unsigned kill_number)
{
	uint64_t start = stoa_now(), before[WORKERS];

	for (unsigned i = 0; i < board->count; i++)
		before[i] = atomic_load(&board->states[i].beats);
	for (unsigned i = 0; i < board->count; i++) {
		while (i != victim && atomic_load(&board->states[i].beats) < before[i] + 2) {
			if (stoa_now() - start > PATIENCE)
				test_fail(__FILE__, __LINE__,
					  "worker %u (%s) stands still after worker %u was killed (kill %u)", i,
					  board->workers[i].role.name, victim, kill_number);
			usleep(20);
		}
	}
	return stoa_now() - start;
}

static void find_guarded(void)
{
	guarded = stoa_segment_address(segment);
}

/* No use of a dead process keeps anything. */
static void end_all(void)
{
	uint64_t end = stoa_deadline_in(PATIENCE);
	unsigned used;

	note_objects(guarded);
	used = count_objects();
	for (unsigned i = 0; i < board->count; i++)
		test_kill(board->workers[i].process);
	stoa_segment_close(segment);
	segment = NULL;
	while (count_objects() && stoa_now() < end)
		usleep(1000);
	if (count_objects())
		test_fail(__FILE__, __LINE__, "of %u objects %u are left", used, count_objects());
	test_note("%u objects of the system were in use, none is left", used);
}

static void set_up(uint32_t flags)
{
	const struct stoa_segment_options options = {
		.flags = flags, .commit = sizeof(struct guarded), .roster_slots = SLOTS};

	CHECK_RC(stoa_segment_create(NULL, UINT64_C(64) << 20, &options, &segment), 0);
	find_guarded();
	test_share(&segment, find_guarded);
	CHECK_RC(stoa_mutex_init(segment, &guarded->mutex, 0), 0);
	CHECK_RC(stoa_event_init(segment, &guarded->event, 0), 0);
	CHECK_RC(stoa_semaphore_init(segment, &guarded->semaphore, 0, 1000), 0);
	guarded->sum = sum_of_values();
	board = test_shared(sizeof(*board));
	if (kill_prepare)
		kill_prepare();
#ifdef STOA_MUTANTS
	board->mutants = mutants_chosen;
#endif
}

static void start(struct worker *worker)
{
	worker->process =
		kill_start ? kill_start(&worker->role, work, worker) : test_role_start(worker->role.name, work, worker);
}

/* One of the role's workers, the first of which has this number, at a random moment of what it is to be killed in. */
static struct worker *strike(const struct role *role, unsigned first, uint64_t *random)
{
	struct worker *victim = &board->workers[first + test_random(random) % role->workers];
	uint64_t end = stoa_deadline_in(PATIENCE), moment;

	usleep((useconds_t)(test_random(random) % 3000));
	while (role->when != AT_WORK && atomic_load(&board->states[victim->number].phase) != role->when)
		if (stoa_now() > end)
			test_fail(__FILE__, __LINE__, "worker %u (%s) stands still", victim->number, role->name);
	moment = stoa_deadline_in(test_random(random) % 20000);
	while (role->when != AT_WORK && stoa_now() < moment)
		;
	test_kill(victim->process);
	return victim;
}

static uint64_t p99(const uint64_t *sorted, unsigned count)
{
	return sorted[count - 1 - count / 100];
}

static void report(const struct role *role, uint64_t *times, unsigned kills, uint64_t undisturbed)
{
	qsort(times, kills, sizeof(*times), by_size);
	test_figure("%s: %u kills by %s, %u recovered; recovery p50 %" PRIu64 " us, p99 %" PRIu64 " us, worst %" PRIu64
		    " us",
		    role->name, kills, killer_name(), kills, times[kills / 2] / 1000, p99(times, kills) / 1000,
		    times[kills - 1] / 1000);
	if (kill_recovered_within && test_rounds(0, 1))
		CHECK_INT(p99(times, kills), <, kill_recovered_within + undisturbed);
}

/* The first worker of each role goes to `firsts`. */
static void start_all(const struct role *roles, unsigned count, unsigned firsts[WORKERS])
{
	unsigned number = 0;

	for (unsigned i = 0; i < count; i++)
		board->count += roles[i].workers;
	for (unsigned i = 0; i < count; i++) {
		firsts[i] = number;
		for (unsigned k = 0; k < roles[i].workers; k++, number++) {
			CHECK_INT(number, <, WORKERS);
			board->workers[number] = (struct worker){.number = number, .role = roles[i], .board = board};
			start(&board->workers[number]);
		}
	}
}

void kill_each(uint32_t flags, const struct role *roles, unsigned count)
{
	unsigned kills = KILLS, firsts[WORKERS];
	uint64_t *times = calloc((size_t)count * kills, 2 * sizeof(*times)), *quiet = times + count * kills;
	uint64_t random = test_seed();

	set_up(flags);
	start_all(roles, count, firsts);
	for (unsigned i = 0; i < count * kills; i++) {
		const struct role *role = &roles[i % count];
		struct worker *victim;

		quiet[i] = recovery(WORKERS, i);
		victim = strike(role, firsts[i % count], &random);
		if (role->needed)
			start(victim);
		times[i % count * kills + i / count] = recovery(victim->number, i);
		if (!role->needed)
			start(victim);
		CHECK_EQ(atomic_load(&guarded->torn), 0);
	}
	end_all();
	qsort(quiet, count * kills, sizeof(*quiet), by_size);
	test_figure("the same with nobody killed: p50 %" PRIu64 " us, p99 %" PRIu64 " us",
		    quiet[count * kills / 2] / 1000, p99(quiet, count * kills) / 1000);
	for (unsigned i = 0; i < count; i++)
		report(&roles[i], &times[i * kills], kills, p99(quiet, count * kills));
	test_note("%" PRIu64 " abandoned locks repaired", atomic_load(&board->repairs));
	free(times);
}
