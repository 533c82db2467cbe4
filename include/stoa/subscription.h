/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions to an object store: what is sealed there, and what goes. Linux only.
 *
 * Threads: any number may call next at once, and each event goes to one of them; close when none does. A forked child must not use its parent's
 * (ECLOSED). Not for signal handlers.
 */
#ifndef STOA_SUBSCRIPTION_H
#define STOA_SUBSCRIPTION_H

#include <stdint.h>
#include <stoa/error.h>
#include <stoa/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Events: objects that are sealed, and that go, whose ids begin with the `prefix_length` bytes of `prefix` (0: all). Of those that this user may not
 * read nothing is told. With STOA_SUBSCRIBE_LIST also what is there already: each once, PRESENT, then LISTED; what changes meanwhile is told so that there
 * is neither a gap nor anything twice, but where objects go to files: there one may be PRESENT twice, and it may be told that one went which was not told of.
 *
 * A subscription is a connection of its own, and counts as a client; it lives until it is closed, before or after `store`. It has room for 4096 events:
 * who does not take them in time stops nobody, and learns how many it has lost. ELIMIT: too many clients; EINVAL.
 *
 * A server's death: its successor goes on, and nothing is told twice or left out, but what it could not read any more: that is told as lost. ECLOSED: there
 * is none, or it has nothing of what was there; what had come before is taken first.
 */
#define STOA_SUBSCRIBE_LIST (1u << 0)
struct stoa_subscription;
STOA_API int stoa_store_subscribe(struct stoa_store *store, const void *prefix, uint32_t prefix_length, uint32_t flags,
				  struct stoa_subscription **ret_subscription);

/* To poll, for reading, and for nothing else: it is ready if there may be something, until next has found nothing. It is the subscription's. */
STOA_API int stoa_subscription_descriptor(const struct stoa_subscription *subscription);

/* stoa_store_event.what */
#define STOA_EVENT_SEALED 1  /* there is such an object now, perhaps in place of another one */
#define STOA_EVENT_DELETED 2 /* it is not there any more */
#define STOA_EVENT_EVICTED 3 /* it is not there any more: there was no room */
#define STOA_EVENT_PRESENT 4 /* it was there already */
#define STOA_EVENT_LISTED 5  /* that was all; no object */
#define STOA_EVENT_LOST 6    /* no object; only `lost` */
struct stoa_store_event {
	uint32_t what;
	uint32_t id_length;
	uint64_t size;
	uint64_t lost; /* so many before this one were lost, for want of room */
	uint64_t date; /* nanoseconds since 1970 */
	uint8_t id[STOA_ID_MAX];
};

/* The next event; waits until `deadline`. STOA_TIMED_OUT, ECLOSED, EFORMAT. */
STOA_API int stoa_subscription_next(struct stoa_subscription *subscription, uint64_t deadline,
				    struct stoa_store_event *ret_event);

/* No thread is in next. NULL is allowed. */
STOA_API void stoa_subscription_close(struct stoa_subscription *subscription);

#ifdef __cplusplus
}
#endif
#endif
