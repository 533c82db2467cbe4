/* SPDX-License-Identifier: MIT */
/*
 * The mutex. Lock-free to try, blocking by design; the word is in object.h, the protocol in ARCHITECTURE.md.
 *
 * Linearisation: locking at the compare-and-swap that puts our identity in, unlocking at the one that takes it out.
 * Death: before the locking swap nothing has happened; from then on the word names a dead holder, which the next locker
 * replaces by itself (STOA_OWNER_DIED); after the unlocking swap the mutex is free, and sleepers that were not woken yet are
 * woken by the death of our life word, which they sleep on as well.
 * ABA: an identity holds a 32-bit generation; a swap that expects a dead identity could only be fooled after 2^32
 * enrolments in one slot.
 */
#include <base/counters.h>
#include <base/mutant.h>
#include <sync/item.h>
#include <sync/wait_set.h>

#include <inttypes.h>

int mutex_check_not_held(const struct item *item)
{
	if ((load_rlx(item->word) & ~MUTEX_WAITERS) != item->self)
		return 0;
	return error_set(-STOA_EDEADLOCK, "this thread already holds the mutex at offset %" PRIu64,
			 (uint64_t)((unsigned char *)item->word - item->segment->data));
}

int mutex_try(struct item *item)
{
	uint64_t seen = load_rlx(item->word);

	for (unsigned i = 0; i < ITEM_PATIENCE; i++) {
		uint64_t owner = seen & ~MUTEX_WAITERS;
		int alive;

		if (mutex_is_free(seen)) {
			if (item->peek)
				return 0;
			/* A1: pairs with R1 in mutex_release() */
			if (cas_acq(item->word, &seen, item->self | (seen & MUTEX_WAITERS)))
				return 0;
			continue;
		}
		if (owner == item->self)
			return mutex_check_not_held(item);
		alive = roster_look(item->segment, owner, false, &item->holder);
		if (alive < 0)
			return alive;
		item->seen = seen;
		item->has_holder = alive;
		if (alive)
			return ITEM_BUSY;
		if (item->peek)
			return 0;
		/* A2: what the dead owner wrote; pairs with L3 in mark_dead() and the kernel's marking of the life word */
		if (cas_acq(item->word, &seen, item->self | (seen & MUTEX_WAITERS))) {
			item->dead_word = owner;
			counters_add(COUNTER_OWNER_DEATHS);
			return MUTANT(DEATH_NOT_TOLD) ? 0 : STOA_OWNER_DIED;
		}
	}
	item->seen = seen;
	item->has_holder = false;
	return ITEM_BUSY;
}

static CC_NOINLINE void release_and_wake(struct object *mutex, uint64_t self)
{
	static CC_THREAD uint32_t unlocks;
	uint64_t ticket = (self & ROSTER_SLOT_MASK) << 18 | (++unlocks & 0x3ffff);
	uint64_t seen = self | MUTEX_WAITERS;
	uint64_t freed = ticket << 32 | MUTEX_WAITERS;

	/*
	 * Free, but still flagged: should we be stopped before the wake, the next one to unlock wakes. The ticket keeps another
	 * unlocker, who was stopped after its wake, from clearing our flag. An enemy may have written something else: it is
	 * not put right by us.
	 */
	if (!cas_rel(&mutex->word, &seen, freed)) /* R2: as R1; pairs with A1 in mutex_try() */
		return;
	os_wake(os_low_half(&mutex->word));
	cas_rlx(&mutex->word, &freed, UINT64_C(0));
}

void mutex_release(struct object *mutex, uint64_t self)
{
	uint64_t seen = self;

	/* R1: publishes what the lock guards; pairs with A1 in mutex_try() and A3 in stoa_mutex_lock() */
	if (CC_UNLIKELY(!cas_rel(&mutex->word, &seen, UINT64_C(0))))
		release_and_wake(mutex, self);
}

/* wait_all backs off. A dead owner's mutex must still say so to the next one. */
void mutex_give_back(struct item *item)
{
	uint64_t seen = load_rlx(item->word);

	if (!item->dead_word) {
		mutex_release(item->object, item->self);
		return;
	}
	while ((seen & ~MUTEX_WAITERS) == item->self)
		if (cas_rel(item->word, &seen,
			    item->dead_word | (seen & MUTEX_WAITERS))) /* R3: pairs with A2 in mutex_try() */
			break;
	if (seen & MUTEX_WAITERS)
		os_wake(os_low_half(item->word));
	item->dead_word = 0;
}

int stoa_mutex_init(struct stoa_segment *segment, struct stoa_mutex *mutex, uint32_t flags)
{
	uint64_t self = 0;
	int rc = object_check_place(segment, mutex, STOA_RIGHT_WAIT);

	if (rc)
		return rc;
	if (flags & ~STOA_OWNED)
		return error_refuse("a mutex", ERROR_SYNC_FLAGS, flags & ~STOA_OWNED);
	if (flags & STOA_OWNED)
		rc = roster_enrol(segment, &self);
	return rc ? rc : object_init(segment, mutex, OBJECT_MUTEX, 0, self);
}

static CC_NOINLINE int lock_slowly(struct stoa_segment *segment, struct object *mutex, uint64_t deadline)
{
	struct item item;
	int rc = object_check(segment, mutex, OBJECT_MUTEX, STOA_RIGHT_WAIT);

	if (!rc)
		rc = item_init(&item, segment, mutex, ITEM_MUTEX, false);
	return rc ? rc : wait_for_any(&item, 1, deadline, NULL);
}

/* The checks of object_check(), as one branch. */
static inline bool is_mutex(const struct stoa_segment *segment, const struct object *object)
{
	uintptr_t offset = (uintptr_t)object - (uintptr_t)segment->data;

	return CC_LIKELY(offset <= segment->reserve - sizeof(*object) && segment->rights & STOA_RIGHT_WAIT &&
			 load_rlx(&object->kind) == OBJECT_MUTEX);
}

CC_HOT_CODE int stoa_mutex_lock(struct stoa_segment *segment, struct stoa_mutex *mutex, uint64_t deadline)
{
	struct object *object = (struct object *)(void *)mutex;
	uint64_t self, free_word = 0;

	if (CC_LIKELY(segment && is_mutex(segment, object))) {
		self = roster_self(segment);
		if (CC_LIKELY(self &&
			      cas_acq(&object->word, &free_word, self))) /* A3: pairs with R1 in mutex_release() */
			return 0;
	}
	return lock_slowly(segment, object, deadline);
}

static CC_NOINLINE int unlock_slowly(struct stoa_segment *segment, struct object *mutex)
{
	int rc = object_check(segment, mutex, OBJECT_MUTEX, STOA_RIGHT_WAIT);
	uint64_t self;

	/* This thread may have locked it through another handle on the same segment. */
	if (!rc)
		rc = roster_find(segment, &self);
	if (rc)
		return rc;
	if (!self || (load_rlx(&mutex->word) & ~MUTEX_WAITERS) != self)
		return error_set(-STOA_ENOTOWNER, "this thread does not hold the mutex at offset %" PRIu64,
				 (uint64_t)((unsigned char *)mutex - segment->data));
	mutex_release(mutex, self);
	return 0;
}

CC_HOT_CODE int stoa_mutex_unlock(struct stoa_segment *segment, struct stoa_mutex *mutex)
{
	struct object *object = (struct object *)(void *)mutex;

	if (CC_LIKELY(segment && is_mutex(segment, object))) {
		uint64_t self = roster_self(segment), held = self;

		if (CC_LIKELY(self && cas_rel(&object->word, &held,
					      UINT64_C(0)))) /* R4: as R1; pairs with A3 in stoa_mutex_lock() */
			return 0;
	}
	return unlock_slowly(segment, object);
}
