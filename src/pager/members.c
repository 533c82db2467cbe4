/* SPDX-License-Identifier: MIT */
/*
 * Members: the processes that have the pager. Each leaves its remote on the board, so that any other can forbid writes in its map, at
 * any time, also while it is stopped; nobody has to answer.
 *
 * A member that joins counts `changes` up before it arms anything; who takes pages away, or forbids writes, looks at `changes` afterwards,
 * and does it again if it has moved. So one of the two comes second, and sees the other.
 */
#include <pager/pager.h>

#include <inttypes.h>
#include <string.h>

/* The mutex of members and board. Its owner's death changes nothing: each step below leaves all in order. */
static int lock_members(struct stoa_pager *pager)
{
	int rc = stoa_mutex_lock(pager->control, &pager->shared->cursors.mutex, STOA_FOREVER);

	return rc < 0 ? rc : 0;
}

static void unlock_members(struct stoa_pager *pager)
{
	(void)stoa_mutex_unlock(pager->control, &pager->shared->cursors.mutex);
}

bool pager_member_lives(struct stoa_pager *pager, uint32_t place)
{
	uint64_t identity = load_rlx(&pager->shared->members[place].identity);
	struct roster_sight sight;

	return identity && roster_look(pager->control, identity, false, &sight) == 1;
}

/* ---- the board ---- */

static void forget_remote(struct stoa_pager *pager, struct pager_remote *remote)
{
	const struct pager_remote gone = *remote;

	*remote = (struct pager_remote){.handle = OS_NO_HANDLE};
	if (gone.watched)
		pager_server_forget(pager, gone.handle);
	if (gone.serial)
		os_handle_close(gone.handle);
}

static int read_note(const void *note, os_handle passed, bool *ret_kept, void *argument)
{
	struct stoa_pager *pager = argument;
	struct pager_remote *remote;
	struct pager_note copy;

	memcpy(&copy, note, sizeof(copy));
	if (copy.place >= STOA_PAGER_MEMBERS || !copy.serial || copy.serial == pager->serial)
		return 0;
	remote = &pager->remotes[copy.place];
	if (remote->serial == copy.serial || load_rlx(&pager->shared->members[copy.place].serial) != copy.serial)
		return 0;
	forget_remote(pager, remote);
	*remote = (struct pager_remote){copy.serial, copy.base, passed, copy.flags & MEMBER_CLIENT, false};
	*ret_kept = true;
	return 0;
}

/* Who cannot be reached could write what counts as clean: nothing is forbidden, or taken away, without all of them. */
static int check_all_known(const struct stoa_pager *pager)
{
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		uint64_t serial = load_rlx(&pager->shared->members[i].serial);

		if (serial && serial != pager->serial && serial != pager->remotes[i].serial)
			return error_set(-STOA_EFORMAT, "member %" PRIu32 " of the pager has left no descriptor", i);
	}
	return 0;
}

/* Learn of all members. pager->reaching and the mutex are held. */
static int look_at_members(struct stoa_pager *pager)
{
	int rc;

	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++)
		if (load_rlx(&pager->shared->members[i].serial) != pager->remotes[i].serial)
			forget_remote(pager, &pager->remotes[i]);
	rc = pager->board[0] == OS_NO_HANDLE ? 0 : os_board_look(pager->board, read_note, pager);
	if (!rc && pager->board[0] != OS_NO_HANDLE)
		rc = check_all_known(pager);
	if (!rc)
		pager->seen = load_rlx(&pager->shared->cursors.changes);
	return rc;
}

/* What is to be done with the oldest note. */
#define NOTE_DEAD 100
#define NOTE_MOVED 101

/* It goes if there is no process behind it; else to the end: posted again before it is dropped, so that a death leaves it twice. */
static int turn_note(const void *note, os_handle passed, bool *ret_kept, void *argument)
{
	struct stoa_pager *pager = argument;
	struct pager_note copy;
	int rc;

	(void)ret_kept;
	memcpy(&copy, note, sizeof(copy));
	if (copy.place >= STOA_PAGER_MEMBERS || load_rlx(&pager->shared->members[copy.place].serial) != copy.serial)
		return NOTE_DEAD;
	if (os_trap_forbid_remote(passed, copy.base, 0, OS_PAGE) == -STOA_ECLOSED) {
		store_rel(&pager->shared->members[copy.place].serial,
			  0); /* R3: nothing; pairs with A1 in pager_forbid() */
		return NOTE_DEAD;
	}
	rc = os_board_post(pager->board, note, passed);
	return rc ? rc : NOTE_MOVED;
}

/* Each who joins posts one note and looks at two: so the board holds hardly more than there are members. The mutex is held. */
static void tidy_board(struct stoa_pager *pager)
{
	for (unsigned i = 0; i < 2; i++)
		if (os_board_look(pager->board, turn_note, pager) >= NOTE_DEAD)
			(void)os_board_drop(pager->board);
}

static int post_note(struct stoa_pager *pager, uint64_t serial, uint32_t place)
{
	const struct pager_note note = {.serial = serial,
					.base = (uintptr_t)pager->address,
					.place = place,
					.flags = pager->backing ? 0 : MEMBER_CLIENT};
	os_handle remote = os_trap_remote(pager->trap);

	_Static_assert(sizeof(note) == OS_NOTE_SIZE, "a note is what a board takes");
	if (remote == OS_NO_HANDLE)
		return 0;
	tidy_board(pager);
	return os_board_post(pager->board, &note, remote);
}

/* ---- joining and leaving ---- */

static int free_place(struct stoa_pager *pager, uint32_t *ret_place)
{
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++)
		if (!load_rlx(&pager->shared->members[i].serial)) {
			*ret_place = i;
			return 0;
		}
	/*
	 * Those who were killed. Their keeper is dead, and perhaps not yet all of their threads; so a place is free only when
	 * there is no map any more, which the system tells of each remote.
	 */
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		struct pager_remote *remote = &pager->remotes[i];

		if (!pager_member_lives(pager, i) && i != pager->place &&
		    (!remote->serial ||
		     os_trap_forbid_remote(remote->handle, remote->base, 0, OS_PAGE) == -STOA_ECLOSED)) {
			*ret_place = i;
			return 0;
		}
	}
	return error_set(-STOA_ELIMIT, "%d processes share the pager already", STOA_PAGER_MEMBERS);
}

static void clear_seat(struct pager_seat *seat)
{
	for (unsigned i = 0; i < STOA_PINS_MAX; i++)
		store_rlx(&seat->pins[i].first, 0);
	store_rlx(&seat->pins_used, 0);
	/* What was asked for is answered: to nobody, also by whoever is just doing it. */
	store_rlx(&seat->request.state, (load_rlx(&seat->request.state) + 1) & ~UINT64_C(1));
}

/* The mutex is held. What the place's last owner counted stays: the sums are the pager's. */
static int take_member(struct stoa_pager *pager, uint64_t identity)
{
	struct pager_cursors *cursors = &pager->shared->cursors;
	uint64_t serial = load_rlx(&cursors->joins) + 1;
	struct pager_member *member;
	uint32_t place = 0;
	int rc = free_place(pager, &place);

	if (rc)
		return rc;
	member = &pager->shared->members[place];
	store_rlx(&cursors->joins, serial);
	store_rlx(&member->serial, 0);
	clear_seat(&pager->shared->seats[place]);
	rc = post_note(pager, serial, place);
	if (rc)
		return rc;
	store_rlx(&member->identity, identity);
	store_rlx(&member->base, (uint64_t)(uintptr_t)pager->address);
	store_rlx(&member->process, os_process_id());
	store_rlx(&member->flags, (!pager->backing ? MEMBER_CLIENT
				   : pager->serves ? 0
						   : MEMBER_READS) |
					  (os_trap_serves_calls(pager->trap) ? MEMBER_CALLS : 0));
	store_rel(&member->serial, serial); /* R1: all of the member; pairs with A1 in pager_forbid() */
	pager->place = place;
	pager->serial = serial;
	pager->seat = &pager->shared->seats[place];
	return 0;
}

int pager_join(struct stoa_pager *pager, uint64_t identity)
{
	int rc;

	os_lock(&pager->reaching);
	rc = lock_members(pager);
	if (!rc) {
		rc = look_at_members(pager);
		if (!rc)
			rc = take_member(pager, identity);
		/* F1: the member, before anything is armed; pairs with F2 in pager_forbid() */
		add_seq(&pager->shared->cursors.changes, 1);
		unlock_members(pager);
	}
	os_unlock(&pager->reaching);
	return rc;
}

void pager_part(struct stoa_pager *pager)
{
	os_lock(&pager->reaching);
	if (pager->serial && !lock_members(pager)) {
		clear_seat(pager->seat);
		store_rel(&pager->shared->members[pager->place].serial,
			  0); /* R2: nothing is pinned; pairs with A1 in pager_forbid() */
		unlock_members(pager);
	}
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++)
		forget_remote(pager, &pager->remotes[i]);
	os_unlock(&pager->reaching);
}

/* ---- reaching all ---- */

struct run {
	uint64_t offset, length;
};

/* The next blocks of the batch from *at on that lie in one piece. */
static struct run next_run(const struct stoa_pager *pager, const struct pager_batch *batch, unsigned *at)
{
	uint64_t first = batch->of[*at].block, count = 0;

	while (*at < batch->count && batch->of[*at].block == first + count) {
		count++;
		(*at)++;
	}
	return (struct run){first << pager->shift, count << pager->shift};
}

static int forbid_in(struct stoa_pager *pager, struct pager_remote *remote, const struct pager_batch *batch)
{
	int rc = 0;

	for (unsigned at = 0; at < batch->count && !rc;) {
		struct run run = next_run(pager, batch, &at);

		rc = remote ? os_trap_forbid_remote(remote->handle, remote->base, run.offset, run.length)
			    : os_trap_forbid(pager->trap, run.offset, run.length);
	}
	if (remote && rc == -STOA_ECLOSED) {
		forget_remote(pager, remote);
		rc = 0;
	}
	return rc;
}

/* pager->reaching is held. */
static int meet(struct stoa_pager *pager, uint64_t changes)
{
	int rc = pager->seen == changes ? 0 : lock_members(pager);

	if (!rc && pager->seen != changes) {
		rc = look_at_members(pager);
		unlock_members(pager);
	}
	return rc;
}

/* pager->reaching is held. */
static int forbid_in_all(struct stoa_pager *pager, const struct pager_batch *batch, uint64_t changes)
{
	int rc = meet(pager, changes);

	if (!rc)
		rc = forbid_in(pager, NULL, batch);
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS && !rc; i++)
		if (pager->remotes[i].serial)
			rc = forbid_in(pager, &pager->remotes[i], batch);
	return rc;
}

int pager_forbid(struct stoa_pager *pager, const struct pager_batch *batch)
{
	uint64_t changes = load_acq(&pager->shared->cursors.changes), now; /* A1: pairs with R1 in take_member() */
	int rc;

	for (;;) {
		os_lock(&pager->reaching);
		rc = forbid_in_all(pager, batch, changes);
		os_unlock(&pager->reaching);
		fence_seq(); /* F2: what was forbidden, before the members; pairs with F1 in pager_join() */
		now = load_acq(&pager->shared->cursors.changes); /* A2: as A1; pairs with R1 in take_member() */
		if (rc || now == changes)
			return rc;
		changes = now;
	}
}

/* ---- one map ---- */

/* pager->reaching is held, if there is a target. NULL with *ret_gone: it is gone. */
static const struct os_trap_other *other_of(struct stoa_pager *pager, const struct pager_target *to,
					    struct os_trap_other *room, bool *ret_gone)
{
	*ret_gone = false;
	if (!to)
		return NULL;
	*room = (struct os_trap_other){pager->remotes[to->place].handle, pager->remotes[to->place].base};
	*ret_gone = !to->serial || pager->remotes[to->place].serial != to->serial;
	return room;
}

static const struct os_trap_other *reach(struct stoa_pager *pager, const struct pager_target *to,
					 struct os_trap_other *room, bool *ret_gone)
{
	uint64_t changes;

	if (to)
		os_lock(&pager->reaching);
	if (to && pager->remotes[to->place].serial != to->serial) {  /* perhaps he is new */
		changes = load_acq(&pager->shared->cursors.changes); /* A5: as A1; pairs with R1 in take_member() */
		(void)meet(pager, changes);
	}
	return other_of(pager, to, room, ret_gone);
}

static int reached(struct stoa_pager *pager, const struct pager_target *to, bool gone, int rc)
{
	if (to)
		os_unlock(&pager->reaching);
	return gone ? -STOA_ECLOSED : rc;
}

int pager_put(struct stoa_pager *pager, const struct pager_target *to, uint64_t offset, uint64_t length,
	      const void *bytes, bool writable)
{
	struct os_trap_other room;
	bool gone;
	const struct os_trap_other *other = reach(pager, to, &room, &gone);

	return reached(pager, to, gone, gone ? 0 : os_trap_fill(pager->trap, other, offset, length, bytes, writable));
}

int pager_do(struct stoa_pager *pager, const struct pager_target *to, enum pager_act act, uint64_t offset,
	     uint64_t length)
{
	static int (*const acts[])(struct os_trap *, const struct os_trap_other *, uint64_t, uint64_t) = {
		[PAGER_ALLOW] = os_trap_allow, [PAGER_SHOW] = os_trap_show, [PAGER_POISON] = os_trap_poison,
		[PAGER_OPEN] = os_trap_open,   [PAGER_WAKE] = os_trap_wake,
	};
	struct os_trap_other room;
	bool gone;
	const struct os_trap_other *other = reach(pager, to, &room, &gone);

	return reached(pager, to, gone, gone ? 0 : acts[act](pager->trap, other, offset, length));
}

int pager_next_touch(struct stoa_pager *pager, const struct pager_target *from, struct os_trap_event *ret_event)
{
	struct os_trap_other room;
	bool gone;
	const struct os_trap_other *other = reach(pager, from, &room, &gone);

	return reached(pager, from, gone, gone ? 0 : os_trap_take(pager->trap, other, ret_event));
}

int pager_show_all(struct stoa_pager *pager, uint64_t block)
{
	uint64_t offset = block << pager->shift;
	int rc = os_trap_show(pager->trap, NULL, offset, pager->block);
	bool written = rc == OS_TRAP_WRITTEN;

	if (rc < 0)
		return rc;
	os_lock(&pager->reaching);
	rc = meet(pager, load_acq(&pager->shared->cursors.changes)); /* A3: as A1; pairs with R1 in take_member() */
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS && rc >= 0; i++) {
		struct pager_remote *remote = &pager->remotes[i];

		if (!remote->serial)
			continue;
		rc = os_trap_show(pager->trap, &(struct os_trap_other){remote->handle, remote->base}, offset,
				  pager->block);
		written |= rc == OS_TRAP_WRITTEN;
		if (rc == -STOA_ECLOSED) {
			forget_remote(pager, remote);
			rc = 0;
		}
	}
	os_unlock(&pager->reaching);
	return written ? OS_TRAP_WRITTEN : rc;
}

/* ---- clients ---- */

/* Whatever `changes` says: a note is there before its member is, both while the mutex is held. pager->reaching is held. */
static int look_anew(struct stoa_pager *pager)
{
	int rc = lock_members(pager);

	if (!rc) {
		rc = look_at_members(pager);
		unlock_members(pager);
	}
	return rc;
}

bool pager_watch_clients(struct stoa_pager *pager, struct os_watch *watch)
{
	bool all;

	os_lock(&pager->reaching);
	all = !look_anew(pager);
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		struct pager_remote *remote = &pager->remotes[i];

		if (!remote->serial || !remote->client || remote->watched)
			continue;
		remote->watched = !os_watch_add(watch, remote->handle, i, false);
		all &= remote->watched;
	}
	os_unlock(&pager->reaching);
	return all;
}

/* A dead process's keeper is dead, and perhaps not yet all of its threads: as long as it has a map. pager->reaching is held. */
static bool dead_server_remains(struct stoa_pager *pager)
{
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		const struct pager_remote *remote = &pager->remotes[i];

		if (remote->serial && !remote->client && !pager_member_lives(pager, i) &&
		    os_trap_forbid_remote(remote->handle, remote->base, 0, OS_PAGE) != -STOA_ECLOSED)
			return true;
	}
	return false;
}

bool pager_wake_clients(struct stoa_pager *pager)
{
	bool remains;

	os_lock(&pager->reaching);
	/* Those who joined since this process last looked wait, too. */
	remains = look_anew(pager) || dead_server_remains(pager);
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		const struct pager_remote *remote = &pager->remotes[i];

		if (remote->serial && remote->client)
			(void)os_trap_wake(pager->trap, &(struct os_trap_other){remote->handle, remote->base}, 0,
					   pager->size);
	}
	os_unlock(&pager->reaching);
	return remains;
}

void pager_unwatch(struct stoa_pager *pager, struct os_watch *watch, const struct pager_target *from)
{
	struct pager_remote *remote = &pager->remotes[from->place];

	os_lock(&pager->reaching);
	/* Not who has taken his place meanwhile. */
	if (remote->watched && remote->serial == from->serial) {
		os_watch_remove(watch, remote->handle);
		remote->watched = false;
	}
	os_unlock(&pager->reaching);
}

uint64_t pager_serial_of(struct stoa_pager *pager, uint32_t place)
{
	uint64_t serial;

	os_lock(&pager->reaching);
	serial = pager->remotes[place].serial;
	os_unlock(&pager->reaching);
	return serial;
}

bool pager_has_server(struct stoa_pager *pager)
{
	for (uint32_t i = 0; i < STOA_PAGER_MEMBERS; i++) {
		const struct pager_member *member = &pager->shared->members[i];

		if (load_acq(&member->serial) && /* A4: the member; pairs with R1 in take_member() */
		    !(load_rlx(&member->flags) & (MEMBER_CLIENT | MEMBER_READS)) && pager_member_lives(pager, i))
			return true;
	}
	return false;
}
