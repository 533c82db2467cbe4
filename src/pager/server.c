/* SPDX-License-Identifier: MIT */
/*
 * Serving: threads that resolve the touches which wait in the kernel (STOA_PAGER_SERVED). Each process that has a backing serves its own map; one of
 * them, whose keeper a word in the cursors names, serves the maps of those who have none, too.
 *
 * One thread leads: it takes touches one by one, as they come, and calls the backing. Another looks ten times a second whether the leader has been
 * at one touch ever since; then it leads, and a new one looks. So a backing that hangs holds up who touches that block, and others for
 * a tenth of a second. It looks as often whether the process that serves those without a backing is alive, and takes its place: what
 * the dead one had taken is told again. Where no such thread can be had the leader does this, too, between touches.
 * A process without a backing has one thread, which waits until none is alive that has one; from then on it resolves what needs no backing, and refuses the rest.
 */
#include <pager/pager.h>

#include <inttypes.h>

#define TICK UINT64_C(100000000)
#define TICK_SETTLING UINT64_C(1000000)
#define THREADS_MAX 16

#define TOKEN_OWN UINT64_C(1000) /* beyond all places */
#define TOKEN_BOARD UINT64_C(1001)

struct pager_server {
	struct stoa_pager *pager;
	struct os_watch *watch;
	_Atomic uint32_t stop; /* also what threads sleep on */
	_Atomic uint32_t threads;
	_Atomic uint32_t numbers; /* given to them */
	_Atomic uint64_t at;      /* the leader's number : 32 | its touches * 2, + 1 while it is at one : 32 */
	_Atomic uint32_t state;   /* of the first threads: 0, RUNNING, or the -error of the very first */
	_Atomic uint32_t chosen;  /* those without a backing are this process's to serve */
	_Atomic uint32_t missed;  /* not all of them could be watched */
	_Atomic uint32_t looks;   /* there is a thread that does */
	uint64_t looked;          /* the leader's: when it looked itself */
	bool settled;             /* nobody else takes their touches any more; of the thread that looks */
	uint64_t refused;         /* the leader's: what a callback touched */
	unsigned refusals;
};

/* ---- a touch ---- */

static struct pager_seat *seat_of(struct stoa_pager *pager, const struct pager_target *from)
{
	return from ? &pager->shared->seats[from->place] : pager->seat;
}

/* A backing's function that touches what it must not would wait for itself. */
static bool is_forbidden(struct stoa_pager *pager, uint64_t block, uint32_t thread)
{
	uint32_t within = pager_rank_within(thread);

	return within && pager->rank + 1 >= within &&
	       !(pager_word_is_backed(pager, block) && word_is_there(load_rlx(&pager->words[block])));
}

#define SIGNALS 3 /* then it is poisoned: a system call goes on waiting where the signal is handled */

/* Refused loudly, but not for good: the next who touches it does no wrong. */
static void refuse_callback(struct pager_server *server, const struct os_trap_event *event)
{
	struct stoa_pager *pager = server->pager;

	if (server->refused != event->offset) {
		server->refused = event->offset;
		server->refusals = 0;
	}
	if (server->refusals++ >= SIGNALS) {
		pager_refuse(pager, NULL, event->offset >> pager->shift, -STOA_EDEADLOCK);
		return;
	}
	os_fault_raise(event->thread, pager->address + event->offset);
	/* Who holds the signal back, or ignores it, touches again. */
	(void)pager_do(pager, NULL, PAGER_WAKE, event->offset >> pager->shift << pager->shift, pager->block);
}

/* Is it no more than that nobody waits for it any more? */
static bool is_gone(const struct stoa_pager *pager, const struct pager_target *from, uint64_t block, int rc)
{
	return rc == -STOA_ECLOSED && from && pager->backing &&
	       word_state(load_rlx(&pager->words[block])) != BLOCK_POISONED;
}

/* 0: there may be more; else not now. */
static int serve_touch(struct pager_server *server, const struct pager_target *from)
{
	struct stoa_pager *pager = server->pager;
	struct os_trap_event event;
	uint64_t start, block;
	int rc = pager_next_touch(pager, from, &event);

	if (rc)
		return rc;
	start = os_now();
	block = event.offset >> pager->shift;
	if (block >= pager->blocks) /* an enemy's note gave another place for its map */
		return -STOA_EFORMAT;
	if (!from && is_forbidden(pager, block, event.thread)) {
		refuse_callback(server, &event);
		return 0;
	}
	pager_touched_by(event.thread);
	rc = pager_resolve(pager, from, block, event.write, false);
	if (rc && !pager->backing && pager_has_server(pager)) /* by now: it is his */
		(void)pager_do(pager, NULL, PAGER_WAKE, block << pager->shift, pager->block);
	else if (rc && !is_gone(pager, from, block, rc))
		pager_refuse(pager, from, block, rc);
	pager_measure(seat_of(pager, from), start);
	return 0;
}

/* ---- who leads ---- */

static bool leads(const struct pager_server *server, uint32_t number)
{
	return !load_rlx(&server->stop) && load_rlx(&server->at) >> 32 == number;
}

/* Is it still the leader's to go on? */
static bool step_on(struct pager_server *server, uint32_t number)
{
	uint64_t at = load_rlx(&server->at);

	return at >> 32 == number && cas_rlx(&server->at, &at, (uint64_t)number << 32 | ((uint32_t)at + 1));
}

static void serve_place(struct pager_server *server, uint64_t token)
{
	struct stoa_pager *pager = server->pager;
	const struct pager_target from = {(uint32_t)token, pager_serial_of(pager, (uint32_t)token)};
	int rc = from.serial ? serve_touch(server, &from) : -STOA_ECLOSED;

	if (rc >= 0)
		return;
	/* It is gone, or its descriptor is none that tells of touches, and would be ready for ever. */
	pager_unwatch(pager, server->watch, &from);
	if (rc != -STOA_ECLOSED) /* it is tried again at the next tick */
		store_rlx(&server->missed, 1);
}

static void serve(struct pager_server *server, uint64_t token)
{
	if (token < STOA_PAGER_MEMBERS)
		serve_place(server, token);
	else if (token == TOKEN_OWN)
		(void)serve_touch(server, NULL);
	else if (load_rlx(&server->chosen) && (token == TOKEN_BOARD || token == OS_WATCH_POKED))
		store_rlx(&server->missed, !pager_watch_clients(server->pager, server->watch));
}

/* Does this process serve those without a backing, now that the last that did is dead? */
static void look_at_server(struct pager_server *server)
{
	struct stoa_pager *pager = server->pager;
	_Atomic uint64_t *word = &pager->shared->cursors.server;
	uint64_t self = load_rlx(&pager->shared->members[pager->place].identity), seen = load_rlx(word);
	struct roster_sight sight;

	if (!pager->serves)
		return;
	if (load_rlx(&server->missed))
		os_watch_poke(server->watch);
	if (seen != self && seen && roster_look(pager->control, seen, false, &sight) == 1)
		return;
	if (seen != self && !cas_rlx(word, &seen, self))
		return;
	if (!load_rlx(&server->chosen)) {
		store_rlx(&server->chosen, 1);
		os_watch_poke(server->watch);
		os_wake(os_low_half(&pager->shared->cursors.asked)); /* this keeper answers from now on */
	}
	if (!server->settled)
		server->settled = !pager_wake_clients(pager);
}

#define RUNNING UINT32_C(1000) /* no error is so large */

/* Who creates the pager waits for all threads that it has from the beginning: so nothing of it is just being started where a program forks. */
static void tell_begun(struct pager_server *server, uint32_t state)
{
	uint32_t starting = 0;

	if (cas_rlx(&server->state, &starting, state))
		os_wake(&server->state);
}

static int start_thread(struct pager_server *server);

static void start_looking(struct pager_server *server)
{
	store_rlx(&server->looks, 1);
	if (start_thread(server)) {
		store_rlx(&server->looks, 0);
		tell_begun(server, RUNNING);
	}
}

/* Where no other thread does: as often as that would. */
static void look_too(struct pager_server *server)
{
	if (load_rlx(&server->looks) || os_now() - server->looked < TICK)
		return;
	server->looked = os_now();
	look_at_server(server);
	start_looking(server);
}

static void lead(struct pager_server *server, uint32_t number)
{
	while (leads(server, number)) {
		uint64_t token = os_watch_wait(server->watch, load_rlx(&server->looks) ? UINT64_MAX : TICK);

		if (!step_on(server, number))
			return;
		serve(server, token);
		look_too(server);
		if (!step_on(server, number))
			return;
	}
}

static bool is_settling(const struct pager_server *server)
{
	return load_rlx(&server->chosen) && !server->settled && !load_rlx(&server->missed);
}

/* Until it is to stop, a tick is over, or the process that serves those without a backing dies. */
static void pause_for_a_tick(struct pager_server *server)
{
	struct stoa_segment *control = server->pager->control;
	uint64_t serving = load_rlx(&server->pager->shared->cursors.server);
	struct os_wait_word words[3] = {{&server->stop, 0, OS_WORD_WOKEN}};
	struct roster_sight sight;
	unsigned count = 1;

	if (serving && !load_rlx(&server->chosen) && roster_look(control, serving, false, &sight) == 1 &&
	    roster_flag_waiters(&sight)) {
		words[1] = (struct os_wait_word){os_low_half(sight.life), (uint32_t)sight.seen, OS_WORD_LIFE};
		words[2] =
			(struct os_wait_word){os_high_half(sight.life), (uint32_t)(sight.seen >> 32), OS_WORD_COMPARED};
		count = 3;
	}
	os_wait(words, count, os_now() + (is_settling(server) ? TICK_SETTLING : TICK));
	/* A death wakes one: he wakes the next. */
	if (count == 3 && roster_look(control, serving, false, &sight) == 0)
		os_wake(os_low_half(sight.life));
}

/* Until the leader seems to hang: then it leads no more, but this thread, as its number says. */
static void look_after(struct pager_server *server, uint32_t number)
{
	uint64_t before = 0;

	while (!load_rlx(&server->stop)) {
		uint64_t at = load_rlx(&server->at);

		if (at & 1 && at == before && load_rlx(&server->threads) < THREADS_MAX &&
		    cas_rlx(&server->at, &at, (uint64_t)number << 32))
			return;
		before = at;
		look_at_server(server);
		pause_for_a_tick(server);
	}
}

/* ---- a process without a backing ---- */

static void look_after_itself(struct pager_server *server)
{
	struct stoa_pager *pager = server->pager;

	while (!load_rlx(&server->stop)) {
		if (pager_has_server(pager)) {
			pause_for_a_tick(server);
			continue;
		}
		/* What the last server took is told again; also what a thread of its took while it was dying. */
		(void)pager_do(pager, NULL, PAGER_WAKE, 0, pager->size);
		while (os_watch_wait(server->watch, TICK) == TOKEN_OWN && !pager_has_server(pager))
			(void)serve_touch(server, NULL);
	}
}

/* ---- threads ---- */

static void end_thread(struct pager_server *server)
{
	/* R2: all that it did; pairs with A2 in await_end(). It is not touched any more: the last one's end lets it be freed. */
	sub_acq_rel(&server->threads, 1);
}

static void run(void *argument)
{
	struct pager_server *server = argument;
	uint32_t number = add_rlx(&server->numbers, 1) + 1;
	uint64_t self;
	int rc = pager_self(server->pager, &self);

	if (rc) {
		tell_begun(server, number > 1 ? RUNNING : (uint32_t)-rc);
		store_rlx(&server->looks, 0);
		os_watch_poke(server->watch);
	} else if (!server->pager->backing) {
		tell_begun(server, RUNNING);
		look_after_itself(server);
	} else {
		if (number > 1) {
			tell_begun(server, RUNNING);
			look_after(server, number);
		} else {
			store_rlx(&server->at, (uint64_t)number << 32);
		}
		if (!load_rlx(&server->stop)) {
			start_looking(server);
			lead(server, number);
		}
	}
	end_thread(server);
}

static int start_thread(struct pager_server *server)
{
	int rc;

	add_rlx(&server->threads, 1);
	rc = os_thread_start("stoa-serve", run, server);
	if (rc)
		end_thread(server);
	return rc;
}

/* Nobody is told; but threads end at once, unless the backing holds them. */
static void await_end(struct pager_server *server)
{
	_Atomic uint32_t nothing = 0;

	while (load_acq(&server->threads)) /* A2: pairs with R2 in end_thread() */
		os_wait(&(struct os_wait_word){&nothing, 0, OS_WORD_WOKEN}, 1, os_now() + UINT64_C(200000));
}

static int watch_own(struct pager_server *server)
{
	struct stoa_pager *pager = server->pager;
	int rc = os_watch_create(&server->watch);

	if (!rc)
		rc = os_watch_add(server->watch, os_trap_remote(pager->trap), TOKEN_OWN, false);
	/* Each who joins leaves a note there, which nobody takes. */
	if (!rc && pager->serves)
		rc = os_watch_add(server->watch, pager->board[0], TOKEN_BOARD, true);
	return rc;
}

int pager_server_start(struct stoa_pager *pager)
{
	struct pager_server *server = os_allocate(sizeof(*server));
	int rc;

	if (!server)
		return -STOA_ENOMEM;
	server->pager = pager;
	pager->server = server;
	pager_watch_ranks(true);
	rc = watch_own(server);
	if (!rc)
		rc = start_thread(server);
	while (!rc && !load_rlx(&server->state))
		os_wait(&(struct os_wait_word){&server->state, 0, OS_WORD_WOKEN}, 1, UINT64_MAX);
	if (!rc && load_rlx(&server->state) != RUNNING) {
		rc = -(int)load_rlx(&server->state);
		rc = error_set(rc, "a thread that serves the pager could not become a member: %s", stoa_error_text(rc));
	}
	return rc;
}

void pager_server_stop(struct stoa_pager *pager)
{
	struct pager_server *server = pager->server;

	if (!server)
		return;
	store_rlx(&server->stop, 1);
	os_wake(&server->stop);
	if (server->watch)
		os_watch_poke(server->watch);
	await_end(server);
	os_lock(&pager->reaching);
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++)
		pager->remotes[i].watched = false;
	os_unlock(&pager->reaching);
	if (load_rlx(&server->chosen)) {
		uint64_t self = load_rlx(&pager->shared->members[pager->place].identity);

		(void)cas_rlx(&pager->shared->cursors.server, &self, 0);
	}
	pager_server_free(pager);
}

void pager_server_free(struct stoa_pager *pager)
{
	struct pager_server *server = pager->server;

	if (!server)
		return;
	pager->server = NULL;
	os_watch_close(server->watch);
	os_free(server);
	pager_watch_ranks(false);
}

void pager_server_forget(struct stoa_pager *pager, os_handle remote)
{
	if (pager->server)
		os_watch_remove(pager->server->watch, remote);
}
