/* SPDX-License-Identifier: MIT */
/* Waiting on items: the sleep that everything shares, and the any-of wait. */
#ifndef SYNC_WAIT_SET_H
#define SYNC_WAIT_SET_H

#include <sync/item.h>

/* The dressing of one wait: what was covered before it, and whether it has slept. Zero to begin with. */
struct wait_frame {
	bool covering;
	const void *covered_before;
	bool slept;
};

/*
 * Sleep once, until one of the items may have changed, `extra` did (NULL: none; only for a single item), or the deadline has
 * passed. All items were found busy by item_try(). OS_WAIT_TIMED_OUT, WAIT_RECHECK when only the periodic look came, or
 * anything else: try again.
 */
#define WAIT_RECHECK (-3)
int wait_sleep(struct wait_frame *frame, struct item *items, unsigned count, const struct os_wait_word *extra,
	       uint64_t deadline);

/* Ends what wait_sleep() began: wakes are passed on, and the thread's death matters no more. */
void wait_end(struct wait_frame *frame, struct item *items, unsigned count);

/* A wait ended after a sleep that gave `woken`: counted if only the periodic look came. */
void wait_count_rescue(int woken);

/* Wait for and take one of the items. 0, STOA_OWNER_DIED, STOA_TIMED_OUT or an error; `ret_index` may be NULL. */
int wait_for_any(struct item *items, unsigned count, uint64_t deadline, size_t *ret_index);

/* Is there a set, of a possible size? EINVAL. */
int wait_check_set(const struct stoa_waitable *set, size_t count);

/* How the layer above sets up the item of a channel's end. Set once by that layer, before any end exists. */
extern _Atomic(int (*)(const struct stoa_waitable *thing, struct item *ret_item)) wait_channel_item;

/* Check a public waitable and set up its item. `peek`: it will only be looked at. */
int wait_item(const struct stoa_waitable *thing, bool peek, struct item *ret_item);

/* The word that is latched when the process has ended. ELIMIT, ENOMEM. */
int process_latch(struct stoa_process *process, _Atomic uint64_t **ret_word);

#endif
