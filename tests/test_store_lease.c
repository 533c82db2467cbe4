/* SPDX-License-Identifier: MIT */
/*
 * Leases beside a server that deletes, replaces, overwrites and uses again: nobody who holds an object sees other bytes. And what threads,
 * forks and limits make of them.
 *
 * Built a second time for the library with safeguards taken out (base/mutant.h), each of which must be missed.
 */
#include <harness/test.h>

#include <base/atomic.h>
#include <base/mutant.h>
#include <os/os.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <store/directory.h>
#include <store/lease.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef STOA_MUTANTS
uint64_t mutants_chosen;
#endif

#define ROUNDS_MIN 100u

/* ---- one object that ends, again and again, just as somebody takes it ---- */

struct duel {
	_Atomic uint64_t state;
	_Alignas(64) _Atomic uint64_t freed; /* generations up to this one are gone */
	_Alignas(64) _Atomic uint32_t over, ready;
	_Atomic uint64_t takes;
	_Atomic uint32_t fences;
	_Alignas(64) uint8_t leases[64 + 64];
	bool held;
};

static void take_again(void *argument)
{
	struct duel *duel = argument;
	struct leases leases;
	uint64_t takes = 0;
	uint32_t lease;

	CHECK_RC(lease_open((struct store_leases *)(void *)duel->leases, 1, &duel->fences, &leases), 0);
	add_rlx(&duel->ready, 1);
	while (!load_rlx(&duel->over)) {
		uint64_t state = load_acq(&duel->state);

		if (store_state_of(state) != STORE_SEALED || lease_take(&leases, 1, &duel->state, state, &lease) != 0)
			continue;
		for (unsigned i = 0; i < 20; i++)
			if (load_rlx(&duel->freed) >= store_generation_of(state))
				test_fail(__FILE__, __LINE__, "an object that is held has gone");
		takes++;
		lease_release(&leases, lease);
	}
	add_rlx(&duel->takes, takes);
	lease_close(&leases);
}

static void note_duel(void *argument, uint32_t entry, uint64_t generation, bool in_use)
{
	struct duel *duel = argument;

	if (in_use && entry == 1 && generation == store_generation_of(load_rlx(&duel->state)))
		duel->held = true;
}

static void end_again(struct duel *duel, uint64_t generation)
{
	store_rel(&duel->state, store_state_word(generation, STORE_DYING));
	do {
		duel->held = false;
		CHECK(lease_barrier(&duel->fences));
		lease_scan((struct store_leases *)(void *)duel->leases, 1, 2, note_duel, duel);
		if (duel->held)
			sched_yield();
	} while (duel->held);
	store_rel(&duel->freed, generation);
}

static void fight(uint64_t rounds, bool fences)
{
	struct duel *duel = test_shared(sizeof(*duel));
	uint64_t random = test_seed(), until = os_now() + test_rounds(20, 100) * UINT64_C(1000000000), generation;
	pid_t role;

	store_rlx(&duel->fences, fences || !os_barrier_can_impose());
	role = test_role(take_again, duel);
	test_await(&duel->ready, 1);
	/* Fewer on a machine so busy that each turn of this process is long in coming. */
	for (generation = 1;
	     generation <= rounds && (generation <= ROUNDS_MIN || rounds == UINT64_MAX || os_now() < until);
	     generation++) {
		store_rel(&duel->state, store_state_word(generation, STORE_SEALED));
		for (uint64_t i = test_random(&random) % 32; i > 0; i--)
			cc_pause();
		end_again(duel, generation);
	}
	atomic_store(&duel->over, 1);
	CHECK_EQ(test_join(role), 0);
	test_figure("%llu takes in %llu rounds", (unsigned long long)load_rlx(&duel->takes),
		    (unsigned long long)generation - 1);
}

#ifdef STOA_MUTANTS

#define MUST_BE_MISSED(name, mutant)                                     \
	TEST_DEFINE(name, 120, false, "an object that is held has gone") \
	{                                                                \
		mutants_chosen = MUTANT_BIT(MUTANT_##mutant);            \
		fight(UINT64_MAX, false);                                \
	}

MUST_BE_MISSED(without_a_second_look, LEASE_UNCHECKED)
MUST_BE_MISSED(without_a_barrier, LEASES_UNFENCED)

#else

/* ---- clients and a server ---- */

#define LINES 16
#define CLIENTS 3
#define IDS 4
#define SLOTS 16 /* places for an object's bytes */
#define WORDS_EACH 64

struct board {
	_Atomic uint32_t over, ready, fences;
	_Atomic uint64_t gets, changed;
	_Atomic uint64_t bytes[SLOTS][WORDS_EACH];
	uint64_t length;
	_Alignas(64) uint8_t leases[CLIENTS][64 + LINES * 64];
};

static int back(void *argument, uint64_t from, uint64_t to)
{
	(void)argument;
	(void)from;
	(void)to;
	return 0;
}

static struct store_leases *leases_of(struct board *board, unsigned client)
{
	return (struct store_leases *)(void *)board->leases[client];
}

struct client {
	struct board *board;
	void *map;
	unsigned number;
};

static void get_and_look(struct board *board, const struct directory *directory, struct leases *leases, uint32_t number,
			 uint64_t *random)
{
	uint32_t id = number, entry, lease;
	struct directory_where where = {0};
	uint64_t state, made;
	int rc;

	if (directory_find(directory, &id, sizeof(id), &entry, &state) != DIRECTORY_FOUND ||
	    store_state_of(state) != STORE_SEALED)
		return;
	rc = lease_take(leases, entry, directory_state(directory, entry), state, &lease);
	if (rc == LEASE_CHANGED) {
		add_rlx(&board->changed, 1);
		return;
	}
	CHECK_RC(rc, 0);
	CHECK_RC(directory_look(directory, entry, &where), 0);
	made = where.size;
	for (unsigned i = 0; i < WORDS_EACH; i++)
		if (load_rlx(&board->bytes[where.offset / (8 * WORDS_EACH)][i]) != made * IDS + id)
			test_fail(__FILE__, __LINE__, "foreign bytes in an object that is held");
	for (uint64_t i = test_random(random) % 64; i > 0; i--)
		cc_pause();
	if (load_rlx(&board->bytes[where.offset / (8 * WORDS_EACH)][0]) != made * IDS + id)
		test_fail(__FILE__, __LINE__, "foreign bytes in an object that is held");
	lease_release(leases, lease);
	add_rlx(&board->gets, 1);
}

static void get_on(void *argument)
{
	struct client *client = argument;
	struct board *board = client->board;
	struct directory directory;
	struct leases leases;
	uint64_t random = client->number + 1;

	CHECK_RC(directory_open(client->map, board->length, &directory), 0);
	CHECK_RC(lease_open(leases_of(board, client->number), LINES, &directory.header->fences, &leases), 0);
	add_rlx(&board->ready, 1);
	while (!load_rlx(&board->over))
		get_and_look(board, &directory, &leases, (uint32_t)(test_random(&random) % IDS), &random);
	lease_close(&leases);
}

struct server {
	struct board *board;
	struct directory_book book;
	uint64_t random, made;
	uint32_t arena;
	uint32_t of[IDS];      /* entry of each id; 0 none */
	uint32_t owner[SLOTS]; /* entry whose bytes are there; 0 none */
	uint32_t dying;        /* that waits for its leases; 0 none */
	uint64_t generation;
	bool held;
	uint64_t waits, again;
};

static void note_lease(void *argument, uint32_t entry, uint64_t generation, bool in_use)
{
	struct server *server = argument;

	if (in_use && entry == server->dying && generation == server->generation)
		server->held = true;
}

/* Who has it? The state was changed before. */
static bool is_held(struct server *server)
{
	server->held = false;
	CHECK(lease_barrier(&server->book.directory.header->fences));
	for (unsigned i = 0; i < CLIENTS; i++)
		lease_scan(leases_of(server->board, i), LINES, server->book.directory.shape.entries, note_lease,
			   server);
	return server->held;
}

static void end_entry(struct server *server, uint32_t entry)
{
	uint32_t slot = (uint32_t)(server->book.directory.entries[entry].offset / (8 * WORDS_EACH));

	server->dying = entry;
	server->generation = directory_set_state(&server->book, entry, STORE_DYING);
	directory_remove(&server->book, entry);
	server->waits++;
	while (is_held(server)) {
		server->again++;
		sched_yield();
	}
	for (unsigned i = 0; i < WORDS_EACH; i++) /* they are anybody's now */
		store_rlx(&server->board->bytes[slot][i], ~UINT64_C(0));
	server->owner[slot] = 0;
	directory_free(&server->book, entry);
}

static uint32_t make(struct server *server, uint32_t id)
{
	struct store_entry fields = {.arena = server->arena, .kind = STORE_PRIVATE, .room = ~UINT32_C(0)};
	uint32_t slot, entry;

	do
		slot = (uint32_t)(test_random(&server->random) % SLOTS);
	while (server->owner[slot]);
	server->made++;
	for (unsigned i = 0; i < WORDS_EACH; i++)
		store_rlx(&server->board->bytes[slot][i], server->made * IDS + id);
	fields.offset = (uint64_t)slot * 8 * WORDS_EACH;
	fields.extent = store_extent(fields.room, 0);
	CHECK_RC(directory_enter(&server->book, &id, sizeof(id), &fields, &entry), 0);
	server->owner[slot] = entry;
	directory_seal(&server->book, entry, server->made);
	return entry;
}

static void serve_once(struct server *server)
{
	uint32_t id = (uint32_t)(test_random(&server->random) % IDS), old = server->of[id], entry;

	if (!old) {
		server->of[id] = make(server, id);
		CHECK_RC(directory_place(&server->book, server->of[id]), 0);
	} else if (test_random(&server->random) % 4) {
		entry = make(server, id);
		directory_hand_over(&server->book, old, entry);
		server->of[id] = entry;
		end_entry(server, old);
	} else {
		server->of[id] = 0;
		end_entry(server, old);
	}
}

static void delete_beside_gets(unsigned rounds, bool fences)
{
	const struct store_shape shape = {4, 8, 2, 4};
	const uint64_t key[2] = {test_seed(), 17};
	struct board *board = test_shared(sizeof(*board));
	struct client *clients = test_shared(CLIENTS * sizeof(*clients));
	struct server server = {.board = board, .random = key[0]};
	uint64_t until = os_now() + test_rounds(20, 100) * UINT64_C(1000000000);
	struct directory_plan plan;
	pid_t roles[CLIENTS];
	void *map;

	CHECK_RC(directory_plan(&shape, &plan), 0);
	map = test_shared(plan.length);
	board->length = plan.length;
	CHECK_RC(directory_create(map, &shape, key, back, NULL, &server.book), 0);
	store_rlx(&server.book.directory.header->fences, fences || !os_barrier_can_impose());
	CHECK_RC(directory_arena_add(&server.book,
				     &(struct store_arena){.kind = STORE_PRIVATE, .size = UINT64_C(1) << 40},
				     &server.arena),
		 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){board, map, i};
		roles[i] = test_role(get_on, &clients[i]);
	}
	test_await(&board->ready, CLIENTS);
	/* Fewer on a machine so busy that each turn of this process is long in coming. */
	for (unsigned i = 0; i < rounds && (i < ROUNDS_MIN || os_now() < until); i++)
		serve_once(&server);
	atomic_store(&board->over, 1);
	for (unsigned i = 0; i < CLIENTS; i++)
		CHECK_EQ(test_join(roles[i]), 0);
	test_figure("%llu gets, %llu times it had changed; %llu ended, leases waited for %llu times",
		    (unsigned long long)load_rlx(&board->gets), (unsigned long long)load_rlx(&board->changed),
		    (unsigned long long)server.waits, (unsigned long long)server.again);
	CHECK_RC(directory_valid(map, plan.length), 0);
	directory_close(&server.book);
}

TEST_THREADS(one_that_ends_as_it_is_taken, 120)
{
	fight(test_rounds(30000, 10000000), false);
}

TEST_THREADS(one_that_ends_as_it_is_taken_with_fences, 120)
{
	fight(test_rounds(100000, 100000000), true);
}

TEST_THREADS(deleting_beside_gets, 120)
{
	delete_beside_gets(test_rounds(30000, 3000000), false);
}

TEST_THREADS(deleting_beside_gets_with_fences, 120)
{
	delete_beside_gets(test_rounds(30000, 3000000), true);
}

/* ---- one process ---- */

struct alone {
	struct leases leases;
	struct store_leases *shared;
	_Atomic uint32_t fences;
	_Atomic uint64_t state;
	uint32_t lines;
};

static void open_alone(struct alone *alone, uint32_t lines)
{
	*alone = (struct alone){.shared = test_shared(lease_bytes(lines)), .lines = lines};
	store_rlx(&alone->state, store_state_word(5, STORE_SEALED));
	CHECK_RC(lease_open(alone->shared, lines, &alone->fences, &alone->leases), 0);
}

static int take(struct alone *alone, uint32_t *ret_lease)
{
	return lease_take(&alone->leases, 3, &alone->state, store_state_word(5, STORE_SEALED), ret_lease);
}

struct count {
	uint32_t in_use, lately, wrong;
};

static void count_lease(void *argument, uint32_t entry, uint64_t generation, bool in_use)
{
	struct count *count = argument;

	count->wrong += entry != 3 || generation != 5;
	count->in_use += in_use;
	count->lately += !in_use;
}

static struct count scan(const struct alone *alone)
{
	struct count count = {0};

	lease_scan(alone->shared, alone->lines, 100, count_lease, &count);
	return count;
}

TEST(all_leases_of_a_thread)
{
	static struct alone alone;
	bool taken[64] = {false};
	uint32_t lease;

	open_alone(&alone, 8);
	CHECK_EQ(lease_take(&alone.leases, 3, &alone.state, store_state_word(6, STORE_SEALED), &lease), LEASE_CHANGED);
	CHECK_EQ(scan(&alone).in_use, 0);
	for (unsigned round = 0; round < 3; round++) {
		memset(taken, 0, sizeof(taken));
		for (unsigned i = 0; i < 64; i++) {
			CHECK_RC(take(&alone, &lease), 0);
			CHECK(lease < 64 && !taken[lease]);
			taken[lease] = true;
		}
		CHECK_EQ(scan(&alone).in_use, 64);
		CHECK_RC(take(&alone, &lease), -STOA_ELIMIT);
		CHECK_RC(take(&alone, &lease), -STOA_ELIMIT);
		lease_release(&alone.leases, 37);
		CHECK_RC(take(&alone, &lease), 0);
		CHECK_EQ(lease, 37);
		lease_release(&alone.leases, 64);
		lease_release(&alone.leases, UINT32_MAX);
		for (unsigned i = 0; i < 64; i++)
			lease_release(&alone.leases, i);
		CHECK(scan(&alone).in_use == 0 && scan(&alone).lately == 64 && scan(&alone).wrong == 0);
	}
	lease_close(&alone.leases);
}

/* Takes what it is told, then waits to be told to end. */
struct worker {
	struct alone *alone;
	pthread_t thread;
	uint32_t count;
	uint32_t leases[64];
	int result;
	_Atomic uint32_t taken, go;
};

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (uint32_t i = 0; i < worker->count && worker->result == 0; i++)
		worker->result = take(worker->alone, &worker->leases[i]);
	store_rlx(&worker->taken, 1);
	os_wake(&worker->taken);
	while (!load_rlx(&worker->go))
		test_nap(1);
	return NULL;
}

static void start(struct worker *worker, struct alone *alone, uint32_t count)
{
	*worker = (struct worker){.alone = alone, .count = count};
	CHECK_EQ(pthread_create(&worker->thread, NULL, work, worker), 0);
	test_await(&worker->taken, 1);
}

static void stop(struct worker *worker)
{
	store_rlx(&worker->go, 1);
	CHECK_EQ(pthread_join(worker->thread, NULL), 0);
}

TEST(lines_of_threads_that_ended)
{
	static struct alone alone;
	static struct worker workers[4];
	uint32_t lease;

	/* One line for each of four threads; a fifth finds none, until one of them has ended. What that one held stays. */
	open_alone(&alone, 4);
	for (unsigned i = 0; i < 4; i++) {
		start(&workers[i], &alone, 3);
		CHECK_RC(workers[i].result, 0);
	}
	CHECK_RC(take(&alone, &lease), -STOA_ELIMIT);
	stop(&workers[2]);
	for (unsigned i = 0; i < 5; i++)
		CHECK_RC(take(&alone, &lease), 0);
	CHECK_EQ(scan(&alone).in_use, 17);
	CHECK_RC(take(&alone, &lease), -STOA_ELIMIT);
	/* Released by another thread than took it. */
	lease_release(&alone.leases, workers[2].leases[1]);
	CHECK_RC(take(&alone, &lease), 0);
	CHECK_EQ(lease, workers[2].leases[1]);
	for (unsigned i = 0; i < 4; i++)
		if (i != 2)
			stop(&workers[i]);
	for (unsigned i = 0; i < 200; i++) {
		start(&workers[0], &alone, 1);
		CHECK_RC(workers[0].result, 0);
		stop(&workers[0]);
		lease_release(&alone.leases, workers[0].leases[0]);
	}
	lease_close(&alone.leases);
}

TEST(many_held_by_one_thread_leave_lines_to_others)
{
	static struct alone alone;
	static struct worker worker;
	uint32_t leases[56];

	open_alone(&alone, 8);
	for (unsigned i = 0; i < 56; i++)
		CHECK_RC(take(&alone, &leases[i]), 0);
	for (unsigned i = 0; i < 56; i++)
		lease_release(&alone.leases, leases[i]);
	/* This thread keeps one line. */
	start(&worker, &alone, 56);
	CHECK_RC(worker.result, 0);
	stop(&worker);
	lease_close(&alone.leases);
}

TEST(several_stores_at_once)
{
	static struct alone alones[LEASE_CACHE * 3];
	uint32_t lease;

	for (unsigned i = 0; i < CC_COUNT(alones); i++)
		open_alone(&alones[i], 4);
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < CC_COUNT(alones); i++) {
			CHECK_RC(take(&alones[i], &lease), 0);
			CHECK_EQ(scan(&alones[i]).in_use, round + 1);
			CHECK_EQ(lease / LEASES_PER_LINE, 0); /* the thread's own line, though others displaced it */
		}
	}
	for (unsigned i = 0; i < CC_COUNT(alones); i++)
		lease_close(&alones[i].leases);
}

TEST(a_forked_child_does_nothing)
{
	static struct alone alone;
	uint32_t lease, other;
	int status;
	pid_t child;

	open_alone(&alone, 4);
	CHECK_RC(take(&alone, &lease), 0);
	child = fork();
	CHECK_SYS(child);
	if (child == 0) {
		lease_release(&alone.leases, lease);
		_exit(take(&alone, &other) == -STOA_ECLOSED ? 0 : 1);
	}
	CHECK_SYS(waitpid(child, &status, 0));
	CHECK_EQ(status, 0);
	CHECK_EQ(scan(&alone).in_use, 1);
	lease_release(&alone.leases, lease);
	lease_close(&alone.leases);
}

static void count_any(void *argument, uint32_t entry, uint64_t generation, bool in_use)
{
	struct count *count = argument;

	CHECK(entry > 0 && entry < 100 && generation <= STORE_GENERATION_MASK);
	count->in_use += in_use;
}

TEST(what_a_hostile_client_writes)
{
	static struct alone alone;
	uint64_t random = test_seed();
	struct count count = {0};

	open_alone(&alone, 16);
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 0; i < 16 * LEASES_PER_LINE; i++)
			store_rlx(&alone.shared->words[i],
				  test_random(&random) & (round % 2 ? UINT64_MAX : ~(uint64_t)0xffff00));
		store_rlx(&alone.shared->reached, (uint32_t)test_random(&random));
		lease_scan(alone.shared, 16, 100, count_any, &count);
	}
	CHECK(count.in_use > 0);
	lease_close(&alone.leases);
}

TEST(threads_of_this_process)
{
	static struct alone alone;
	static struct worker worker;
	pid_t child = fork();

	CHECK_SYS(child);
	if (child == 0)
		test_pause();
	CHECK(os_thread_runs(os_thread_id()));
	CHECK(!os_thread_runs((uint32_t)child));
	CHECK(!os_thread_runs(1) && !os_thread_runs(0) && !os_thread_runs(OS_LIFE_ID));
	open_alone(&alone, 4);
	start(&worker, &alone, 1);
	CHECK(os_thread_runs(alone.leases.owners[0]));
	stop(&worker);
	while (os_thread_runs(alone.leases.owners[0]))
		test_nap(1);
	lease_close(&alone.leases);
	test_kill(child);
}
#endif
