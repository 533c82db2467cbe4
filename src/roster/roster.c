/* SPDX-License-Identifier: MIT */
/*
 * Enrolling, leaving and looking. Uses os and segment.
 *
 * Process side: a `roster` per memory object, with a small number that indexes each thread's table of memberships. A membership
 * belongs to its thread, whose robust list it hangs in; only that thread can take it out. When another thread closes the
 * last handle, memberships are retired: dead to all others and no hold on the memory, but two private pages that go when their
 * thread next comes by here, or ends.
 *
 * A thread may enrol in a fault handler, and its touch be made with an allocator's lock held: so what belongs to a thread comes from none.
 * Memberships are cut from whole pages, which are kept, and the table of the first few is in the thread's own storage.
 *
 * Shared side: enrolling is lock-free; a failed compare-and-swap means another thread got the slot.
 */
#include <base/counters.h>
#include <base/error.h>
#include <base/mutant.h>
#include <roster/roster.h>

#include <inttypes.h>
#include <string.h>

struct roster {
	struct roster *next;
	struct member *members;
	struct roster_page *pages; /* of slot 1 */
	uint64_t identity[2];
	os_handle memory;
	uint32_t slots;
	uint32_t users; /* handles */
	uint32_t index; /* in each thread's table */
	bool writable;
};

struct member {
	struct member *next;   /* of the same roster */
	struct roster *roster; /* NULL once abandoned */
	struct os_life *life;
};

CC_THREAD struct roster_hot roster_hot;

/* A thread's memberships, by roster index. */
static CC_THREAD struct {
	struct member **members; /* `few`, or in pages of their own */
	uint32_t length;         /* 0: the end of the thread is not noted yet */
	struct member *few[8];
} table;

static struct os_lock lock; /* guards everything below, and rosters' member lists */
static struct roster *rosters;
static struct member *spare;       /* for whoever enrols next */
static _Atomic uint32_t abandoned; /* memberships that wait for their thread */
static bool hooked;                /* thread exits and forks */

static void leave_all(void *value);

/* ---- memory ---- */

/* The lock is held. */
static struct member *allocate_member(void)
{
	struct member *member;

	if (!spare) {
		member = os_pages_allocate(OS_PAGE);
		for (size_t i = 0; member && i < OS_PAGE / sizeof(*member); i++) {
			member[i].next = spare;
			spare = &member[i];
		}
	}
	member = spare;
	if (member) {
		spare = member->next;
		*member = (struct member){NULL, NULL, NULL};
	}
	return member;
}

/* The lock is held. */
static void free_member(struct member *member)
{
	member->next = spare;
	spare = member;
}

static void free_table(void)
{
	if (table.length > CC_COUNT(table.few))
		os_pages_free(table.members, table.length * sizeof(struct member *));
	table.length = 0;
}

/* ---- forks and ends of threads ---- */

static void before_fork(void)
{
	os_lock(&lock);
}

static void after_fork_parent(void)
{
	os_unlock(&lock);
}

/* The child holds no membership: its private pages were wiped. Unmap them, and forget the parent's. */
static void after_fork_child(void)
{
	for (uint32_t i = 0; i < table.length; i++) {
		struct member *member = table.members[i];

		table.members[i] = NULL;
		if (member && !member->roster) {
			os_life_unmap(member->life);
			free_member(member);
		}
	}
	for (struct roster *roster = rosters; roster; roster = roster->next) {
		while (roster->members) {
			struct member *member = roster->members;

			roster->members = member->next;
			os_life_unmap(member->life);
			free_member(member);
		}
	}
	roster_hot = (struct roster_hot){NULL, NULL};
	store_rlx(&abandoned, 0);
	os_unlock(&lock);
}

static void detach(struct stoa_segment *segment, struct roster *roster);

/* The lock is held. */
static int set_up(void)
{
	int rc;

	if (hooked)
		return 0;
	rc = os_fork_hooks(before_fork, after_fork_parent, after_fork_child);
	if (!rc)
		rc = os_thread_exit_hook(leave_all);
	if (rc)
		return rc;
	segment_roster_detach = detach;
	hooked = true;
	return 0;
}

/* ---- rosters ---- */

static struct roster *find_roster(const struct stoa_segment *segment)
{
	for (struct roster *roster = rosters; roster; roster = roster->next)
		if (roster->writable == segment->writable &&
		    !memcmp(roster->identity, segment->identity, sizeof(roster->identity)))
			return roster;
	return NULL;
}

static uint32_t free_index(void)
{
	uint32_t index = 0;

	for (struct roster *roster = rosters; roster;) {
		bool taken = roster->index == index;

		index += taken;
		roster = taken ? rosters : roster->next;
	}
	return index;
}

static int map_roster(struct stoa_segment *segment, struct roster **ret_roster)
{
	struct roster *roster = os_allocate(sizeof(*roster));
	uint32_t access = OS_READ | (segment->writable ? OS_WRITE : 0);
	void *pages;
	int rc;

	if (!roster)
		return -STOA_ENOMEM;
	rc = os_memory_duplicate(segment->memory, access, &roster->memory);
	if (rc)
		goto out;
	rc = os_map(roster->memory, OS_PAGE, segment->roster_slots * OS_PAGE, access, &pages);
	if (rc) {
		os_handle_close(roster->memory);
		goto out;
	}
	roster->pages = pages;
	roster->slots = segment->roster_slots;
	roster->writable = segment->writable;
	memcpy(roster->identity, segment->identity, sizeof(roster->identity));
	roster->index = free_index();
	roster->next = rosters;
	rosters = roster;
	*ret_roster = roster;
	roster = NULL;
out:
	os_free(roster);
	return rc;
}

int roster_attach(struct stoa_segment *segment, struct roster **ret_roster)
{
	struct roster *roster = load_acq(&segment->roster); /* A1: pairs with R1 in roster_attach() */
	int rc = 0;

	if (CC_LIKELY(roster != NULL)) {
		*ret_roster = roster;
		return 0;
	}
	if (!segment->roster_slots || segment->of_other_system || segment->out_of_sight)
		return error_set(-STOA_ENOTSUP, "raw segments, and those of another operating system's programs or of "
						"another session, cannot hold mutexes, events and semaphores");
	rc = segment_back_slot(segment, 1); /* the relay word is there */
	if (rc)
		return rc;
	os_lock(&lock);
	rc = set_up();
	roster = load_rlx(&segment->roster);
	if (!rc && !roster) {
		roster = find_roster(segment);
		if (!roster)
			rc = map_roster(segment, &roster);
		if (!rc) {
			roster->users++;
			store_rel(&segment->roster,
				  roster); /* R1: publishes the roster; pairs with A1 in roster_attach() */
		}
	}
	os_unlock(&lock);
	if (!rc)
		*ret_roster = roster;
	return rc;
}

const _Atomic uint32_t *roster_relay(const struct roster *roster)
{
	return &roster->pages[0].relay;
}

struct roster_page *roster_page(const struct roster *roster, uint32_t slot)
{
	return &roster->pages[slot - 1];
}

/* ---- leaving ---- */

/* Take a membership of the calling thread out of its robust list and free it. The lock is held. */
static void leave(uint32_t index)
{
	struct member *member = table.members[index];

	table.members[index] = NULL;
	if (roster_hot.life == member->life)
		roster_hot = (struct roster_hot){NULL, NULL};
	if (member->roster) {
		struct member **link = &member->roster->members;

		while (*link != member)
			link = &(*link)->next;
		*link = member->next;
	} else {
		store_rlx(&abandoned, load_rlx(&abandoned) - 1);
	}
	os_life_leave(member->life, member->roster ? roster_relay(member->roster) : NULL);
	free_member(member);
}

/* A thread ends: what it holds is abandoned, at the latest now. */
static void leave_all(void *value)
{
	os_lock(&lock);
	for (uint32_t i = 0; i < table.length; i++)
		if (table.members[i])
			leave(i);
	os_unlock(&lock);
	(void)value; /* it only says that there is one */
	free_table();
}

/* Leave rosters that other threads have closed. */
static void leave_abandoned(void)
{
	for (uint32_t i = 0; i < table.length; i++)
		if (table.members[i] && !table.members[i]->roster)
			leave(i);
}

/*
 * A handle closes. Was it the last one on this memory, then this thread's membership leaves now; those of others are retired,
 * which ends their fast path.
 */
static void detach(struct stoa_segment *segment, struct roster *roster)
{
	struct roster **link = &rosters;

	os_lock(&lock);
	store_rlx(&segment->roster, NULL);
	if (roster->users > 1 || segment_pass_roster(segment, roster)) {
		roster->users = roster->users > 1 ? roster->users - 1 : 1;
		os_unlock(&lock);
		return;
	}
	if (roster->index < table.length && table.members[roster->index])
		leave(roster->index);
	while (roster->members) {
		struct member *member = roster->members;

		roster->members = member->next;
		member->roster = NULL;
		os_life_retire(member->life, roster_relay(roster));
		store_rlx(&member->life->identity, 0);
		store_rlx(&abandoned, load_rlx(&abandoned) + 1);
	}
	while (*link != roster)
		link = &(*link)->next;
	*link = roster->next;
	os_unlock(&lock);
	os_unmap(roster->pages, roster->slots * OS_PAGE);
	os_handle_close(roster->memory);
	os_free(roster);
}

/* ---- enrolling ---- */

/* The first time; or again, in a thread that touches something while it ends. */
static int start_table(void)
{
	int rc = os_thread_exit_value(&table);

	if (rc)
		return rc;
	memset(table.few, 0, sizeof(table.few));
	table.members = table.few;
	table.length = CC_COUNT(table.few);
	return 0;
}

static int grow_table(uint32_t index)
{
	uint32_t page = OS_PAGE / sizeof(struct member *), length = (index / page + 1) * page;
	struct member **bigger;
	int rc = table.length ? 0 : start_table();

	if (rc || index < table.length)
		return rc;
	bigger = os_pages_allocate(length * sizeof(struct member *));
	if (!bigger)
		return -STOA_ENOMEM;
	memcpy(bigger, table.members, table.length * sizeof(struct member *));
	free_table();
	table.members = bigger;
	table.length = length;
	return 0;
}

/* Try to become the owner of `slot`. 1: done; 0: it is taken. */
static int try_slot(struct stoa_segment *segment, struct roster *roster, uint32_t slot, struct member *member)
{
	struct roster_page *page = roster_page(roster, slot);
	uint64_t generation, seen, word;
	int rc = segment_back_slot(segment, slot);

	if (rc)
		return rc;
	seen = os_life_look(&page->life);
	if (seen & OS_LIFE_ID)
		return 0;
	roster_finish_claims(segment, page, (seen >> 32) << 32 | slot);
	/* Sleepers of the last owner, should whoever was woken at its death not have passed it on yet. */
	if (seen & OS_LIFE_WAITERS)
		os_wake(os_low_half(&page->life));
	rc = os_life_map(roster->memory, slot * OS_PAGE, &member->life);
	if (rc)
		return rc;
	if (!os_life_enter(member->life, seen, &word)) {
		os_life_unmap(member->life);
		return 0;
	}
	store_rlx(&page->claim_state, 0);
	for (unsigned i = 0; i < ROSTER_CLAIMS_MAX; i++)
		store_rlx(&page->claims[i], 0);
	generation = word >> 32;
	store_rlx(&member->life->identity,
		  generation << 32 | (generation & 0xffff) << ROSTER_GENERATION16_SHIFT | slot);
	return 1;
}

/*
 * The kernel marks at most 2048 words of a dying thread (ROBUST_LIST_LIMIT), the program's own robust mutexes among them. Those
 * beyond would stay "alive" for ever.
 */
#define MEMBERSHIPS_MAX 1024u

static int check_memberships(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < table.length; i++)
		count += table.members[i] != NULL;
	if (count >= MEMBERSHIPS_MAX)
		return error_set(-STOA_ELIMIT, "this thread takes part in %u segments; close some", MEMBERSHIPS_MAX);
	return 0;
}

/* The lowest free slot, so that few pages are ever used. The lock is held. */
static int enter(struct stoa_segment *segment, struct roster *roster)
{
	struct member *member;
	int rc = roster->writable ? check_memberships()
				  : error_set(-STOA_ERIGHTS, "who only reads a segment cannot take part in it");

	if (!rc)
		rc = grow_table(roster->index);
	if (rc)
		return rc;
	member = allocate_member();
	if (!member)
		return -STOA_ENOMEM;
	for (uint32_t slot = 1; slot <= roster->slots; slot++) {
		rc = try_slot(segment, roster, slot, member);
		if (rc)
			break;
	}
	if (rc <= 0) {
		free_member(member);
		return rc ? rc
			  : error_set(-STOA_ELIMIT,
				      "all %" PRIu32 " roster slots of the segment are taken by live "
				      "threads; create it with more roster_slots",
				      roster->slots);
	}
	member->roster = roster;
	member->next = roster->members;
	roster->members = member;
	table.members[roster->index] = member;
	counters_add(COUNTER_ENROLMENTS);
	return 0;
}

/* The calling thread's live membership, or NULL. Abandoned ones, and those that a fork wiped, are cleared away. */
static struct member *find_member(const struct roster *roster)
{
	struct member *member;

	if (roster->index < table.length && !load_rlx(&abandoned)) {
		member = table.members[roster->index];
		if (member && load_rlx(&member->life->identity))
			return member;
	}
	os_lock(&lock);
	leave_abandoned();
	if (roster->index < table.length && table.members[roster->index] &&
	    !load_rlx(&table.members[roster->index]->life->identity))
		leave(roster->index);
	os_unlock(&lock);
	return roster->index < table.length ? table.members[roster->index] : NULL;
}

static uint64_t make_hot(const struct roster *roster, const struct member *member)
{
	roster_hot = (struct roster_hot){roster, member->life};
	return load_rlx(&member->life->identity);
}

int roster_find(struct stoa_segment *segment, uint64_t *ret_identity)
{
	struct roster *roster;
	const struct member *member;
	int rc = roster_attach(segment, &roster);

	if (rc)
		return rc;
	member = find_member(roster);
	*ret_identity = member ? make_hot(roster, member) : 0;
	return 0;
}

int roster_enrol(struct stoa_segment *segment, uint64_t *ret_identity)
{
	struct roster *roster;
	int rc = roster_attach(segment, &roster);

	if (!rc && !find_member(roster)) {
		os_lock(&lock);
		rc = enter(segment, roster);
		os_unlock(&lock);
	}
	if (!rc)
		*ret_identity = make_hot(roster, table.members[roster->index]);
	return rc;
}

/* ---- looking ---- */

int roster_look(struct stoa_segment *segment, uint64_t identity, bool is_short, struct roster_sight *ret_sight)
{
	uint32_t slot = (uint32_t)(identity & ROSTER_SLOT_MASK);
	struct roster *roster;
	uint64_t generation, named;
	int rc = roster_attach(segment, &roster);

	if (rc)
		return rc;
	if (slot < 1 || slot > roster->slots)
		return error_set(-STOA_EFORMAT,
				 "a lock word names roster slot %" PRIu32 " of %" PRIu32 ": the memory was overwritten",
				 slot, roster->slots);
	rc = segment_back_slot(segment, slot);
	if (rc)
		return rc;
	ret_sight->life = &roster_page(roster, slot)->life;
	ret_sight->writable = roster->writable;
	ret_sight->seen = os_life_look(ret_sight->life);
	generation = ret_sight->seen >> 32;
	named = identity >> 32;
	if (is_short) {
		generation &= 0xffff;
		named = (identity & ROSTER_SHORT_MASK) >> ROSTER_GENERATION16_SHIFT;
	}
	return ((ret_sight->seen & OS_LIFE_ID) && generation == named) || MUTANT(DEAD_OWNERS_LIVE);
}

bool roster_flag_waiters(struct roster_sight *sight)
{
	uint64_t flagged = sight->seen | OS_LIFE_WAITERS;

	if (sight->seen & OS_LIFE_WAITERS || MUTANT(NO_WAITERS_FLAG))
		return true;
	if (!sight->writable)
		return false;
	if (!cas_rlx(sight->life, &sight->seen, flagged)) /* the sleep itself compares the word again */
		return false;
	sight->seen = flagged;
	return true;
}
