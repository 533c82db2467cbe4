/* SPDX-License-Identifier: MIT */
/*
 * Watching a waitable through a descriptor: a helper thread sleeps on it and raises a notifier. Uses os.
 *
 * `order` counts what the user asked for: it is raised by two for each arming, its lowest bit says stop. The helper serves the
 * order it last saw, and sleeps on the word itself when there is nothing to do.
 */
#include <base/error.h>
#include <sync/wait_set.h>

#define ORDER_STOP 1u

struct stoa_watch {
	struct item item;
	os_handle notifier;
	_Atomic uint32_t order;
	_Atomic uint32_t stopped;
	uint64_t made_in; /* fork generation: a child has the watch, but not its helper */
};

/* Sleep until the thing could be taken (true), or the order has changed. */
static bool wait_for_it(struct stoa_watch *watch, uint32_t order)
{
	struct os_wait_word changed = {&watch->order, order, OS_WORD_WOKEN};
	struct wait_frame frame = {.slept = false};
	int woken = OS_WAIT_CHANGED;
	bool free = false;

	while (load_rlx(&watch->order) == order) {
		int rc = item_try(&watch->item);

		free = rc != ITEM_BUSY; /* an error too: the user's own try will show it */
		if (free) {
			wait_count_rescue(woken);
			break;
		}
		woken = wait_sleep(&frame, &watch->item, 1, &changed, STOA_FOREVER);
	}
	wait_end(&frame, &watch->item, 1);
	return free;
}

static void watch_body(void *argument)
{
	struct stoa_watch *watch = argument;
	uint32_t served = 0;

	for (;;) {
		uint32_t order = load_acq(&watch->order); /* A1: pairs with R1 in give_order() */

		if (order & ORDER_STOP)
			break;
		if (order == served) {
			os_wait(&(struct os_wait_word){&watch->order, order, OS_WORD_WOKEN}, 1, STOA_FOREVER);
		} else if (wait_for_it(watch, order)) {
			os_notifier_raise(watch->notifier);
			served = order;
		}
	}
	store_rel(&watch->stopped,
		  1); /* R2: the helper touches nothing after the wake; pairs with A2 in stoa_watch_close() */
	os_wake(&watch->stopped);
}

static void give_order(struct stoa_watch *watch, uint32_t amount)
{
	store_rel(&watch->order, load_rlx(&watch->order) + amount); /* R1: pairs with A1 in watch_body() */
	os_wake(&watch->order);
}

int stoa_watch_open(const struct stoa_waitable *thing, struct stoa_watch **ret_watch)
{
	struct stoa_watch *watch = os_allocate(sizeof(*watch));
	int rc;

	if (!watch)
		return -STOA_ENOMEM;
	watch->order = 2;
	watch->made_in = os_fork_generation();
	rc = thing ? wait_item(thing, true, &watch->item) : error_set(-STOA_EINVAL, "nothing to watch was given");
	if (rc)
		goto out;
	rc = os_notifier_create(&watch->notifier);
	if (rc)
		goto out;
	rc = os_thread_start("stoa-watch", watch_body, watch);
	if (rc) {
		os_handle_close(watch->notifier);
		goto out;
	}
	*ret_watch = watch;
	watch = NULL;
out:
	os_free(watch);
	return rc;
}

int stoa_watch_descriptor(const struct stoa_watch *watch)
{
	return watch ? (int)watch->notifier : error_set(-STOA_EINVAL, "no watch was given");
}

int stoa_watch_arm(struct stoa_watch *watch)
{
	if (!watch)
		return error_set(-STOA_EINVAL, "no watch was given");
	if (watch->made_in != os_fork_generation())
		return error_set(-STOA_EINVAL, "the watch is the parent's; a forked child opens its own");
	os_notifier_clear(watch->notifier);
	give_order(watch, 2);
	return 0;
}

void stoa_watch_close(struct stoa_watch *watch)
{
	if (!watch)
		return;
	if (watch->made_in != os_fork_generation())
		store_rlx(&watch->stopped, 1);
	give_order(watch, ORDER_STOP);
	while (!load_acq(&watch->stopped)) /* A2: pairs with R2 in watch_body() */
		os_wait(&(struct os_wait_word){&watch->stopped, 0, OS_WORD_WOKEN}, 1, STOA_FOREVER);
	os_handle_close(watch->notifier);
	os_free(watch);
}
