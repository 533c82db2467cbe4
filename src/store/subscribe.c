/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions, on the client's side: a connection of its own, whose ring the server writes and this process reads. So nothing that it does, or does not
 * do, is in the way of gets and puts; and a successor takes it over as any other connection.
 *
 * The descriptor is a poller over the bell and the socket. Between two calls either the bell is raised, or the server raises it with the next event: the
 * bell is cleared only where there was no event, and then `waiting` is set before the last look; and who clears that word raises the bell itself.
 */
#include <store/client.h>

#include <base/error.h>
#include <os/local.h>
#include <stoa/subscription.h>
#include <string.h>

#define RECHECK UINT64_C(250000000) /* nanoseconds */
#define RETRY 10u                   /* milliseconds between tries to connect, while there is no server */

struct stoa_subscription {
	struct stoa_store *store; /* the connection; its own */
	os_handle poller;
	struct os_lock lock; /* what follows */
	uint64_t taken, lost;
	bool armed;   /* `waiting` is set */
	bool listing; /* there is more to come of what was there before */
	bool ended;   /* no more will come */
};

static uint64_t capacity_of(const struct stoa_store *store)
{
	return store->ring_size / sizeof(struct store_event);
}

/* ---- taking ---- */

/* The server may go on with a list that had no room. */
static void tell_room(struct stoa_subscription *subscription, uint64_t told)
{
	if (subscription->listing && told - subscription->taken <= capacity_of(subscription->store) / 2)
		client_ring(subscription->store);
}

static void disarm(struct stoa_subscription *subscription)
{
	if (!subscription->armed)
		return;
	subscription->armed = false;
	store_rlx(&subscription->store->session->waiting, 0);
	os_bell_ring(subscription->store->client_bell);
}

/* The next one in the ring, which has one. */
static int take_next(struct stoa_subscription *subscription, uint64_t told, struct stoa_store_event *ret)
{
	struct stoa_store *store = subscription->store;
	struct store_event event;

	if (told - subscription->taken > capacity_of(store))
		return error_set(-STOA_EFORMAT, "the server tells of more events than there is room for");
	memcpy(&event, store->ring + subscription->taken % capacity_of(store) * sizeof(event), sizeof(event));
	if (event.id_length > STOA_ID_MAX)
		return error_set(-STOA_EFORMAT, "an event that is none");
	*ret = (struct stoa_store_event){.what = event.what,
					 .id_length = event.id_length,
					 .size = event.size,
					 .lost = event.lost - subscription->lost,
					 .date = event.date};
	memcpy(ret->id, event.id, event.id_length);
	subscription->lost = event.lost;
	subscription->taken++;
	store_rel(&store->session->taken, subscription->taken); /* R1: it is copied; pairs with A1 in events.c */
	if (event.what == STOA_EVENT_LISTED)
		subscription->listing = false;
	disarm(subscription);
	tell_room(subscription, told);
	return 0;
}

/* STOA_TIMED_OUT: there is nothing. */
static int look(struct stoa_subscription *subscription, struct stoa_store_event *ret)
{
	const struct store_session *session = subscription->store->session;
	/* A2: first, so that those that were lost before are no more than what comes after the events; pairs with R3 in events.c */
	uint64_t lost = load_acq(&session->lost);
	uint64_t told = load_acq(&session->told); /* A3: the events; pairs with R2 in events.c */

	if (told != subscription->taken)
		return take_next(subscription, told, ret);
	if (lost == subscription->lost)
		return STOA_TIMED_OUT;
	*ret = (struct stoa_store_event){.what = STOA_EVENT_LOST, .lost = lost - subscription->lost};
	subscription->lost = lost;
	return 0;
}

/* The same; where there is nothing, the descriptor is not ready until there may be. */
static int look_and_arm(struct stoa_subscription *subscription, struct stoa_store_event *ret)
{
	struct stoa_store *store = subscription->store;
	int rc = look(subscription, ret);

	if (rc != STOA_TIMED_OUT)
		return rc;
	os_bell_clear(store->client_bell);
	store_rlx(&store->session->waiting, 1);
	subscription->armed = true;
	fence_seq(); /* Q1: the word, then the look; pairs with Q9 in session_tell() */
	return look(subscription, ret);
}

/* Has the server ended, without a successor? What came before is taken first. */
static void look_for_end(struct stoa_subscription *subscription)
{
	if (os_local_ended(subscription->store->socket))
		subscription->ended = true;
	else
		client_discard(subscription->store);
}

static int next(struct stoa_subscription *subscription, uint64_t deadline, struct stoa_store_event *ret)
{
	const os_handle sleeps_on[] = {subscription->store->client_bell, subscription->store->socket};

	for (;;) {
		uint32_t ready = 0;
		uint64_t now;
		bool ended;
		int rc;

		os_lock(&subscription->lock);
		ended = subscription->ended;
		rc = look_and_arm(subscription, ret);
		os_unlock(&subscription->lock);
		if (rc != STOA_TIMED_OUT)
			return rc;
		if (ended)
			return error_set(-STOA_ECLOSED, "the store's server has ended");
		now = os_now();
		/* Without waiting, too, one learns of the end. */
		if (os_wait_readable(sleeps_on, CC_COUNT(sleeps_on),
				     deadline < now + RECHECK ? deadline : now + RECHECK, &ready) == 0 &&
		    ready & 2) {
			os_lock(&subscription->lock);
			look_for_end(subscription);
			os_unlock(&subscription->lock);
			continue;
		}
		if (now >= deadline)
			return STOA_TIMED_OUT;
	}
}

int stoa_subscription_next(struct stoa_subscription *subscription, uint64_t deadline,
			   struct stoa_store_event *ret_event)
{
	struct stoa_store_event event;
	int rc = client_usable(subscription->store);

	if (rc == 0)
		rc = next(subscription, deadline, &event);
	if (rc == 0)
		*ret_event = event;
	return rc;
}

/* ---- begin and end ---- */

/* A connection to the same store; where its server has just died, to the one that comes. */
static int connect_again(const struct stoa_store *store, struct stoa_store **ret_store)
{
	const struct stoa_store_options options = {.leases = 1};
	uint64_t patience = client_patience(0);
	int rc;

	while ((rc = stoa_store_open(store->where, &options, ret_store)) != 0) {
		if (rc != -STOA_ENOENT && rc != -STOA_ECLOSED)
			return rc;
		if (os_now() >= patience || os_local_ended(store->socket))
			return rc;
		client_nap(RETRY, patience);
	}
	if (memcmp((*ret_store)->directory.key, store->directory.key, sizeof(store->directory.key)) == 0)
		return 0;
	stoa_store_close(*ret_store);
	*ret_store = NULL;
	return error_set(-STOA_ECLOSED, "another store is there now");
}

static int start(struct stoa_subscription *subscription, const void *prefix, uint32_t prefix_length, uint32_t flags)
{
	struct store_request request = {.op = STORE_OP_SUBSCRIBE, .id_length = (uint16_t)prefix_length, .flags = flags};
	struct stoa_store *store = subscription->store;
	struct store_completion done;
	int rc = os_poller_create(&subscription->poller);

	if (rc == 0)
		rc = os_poller_add(subscription->poller, store->client_bell, 0);
	if (rc == 0)
		rc = os_poller_add(subscription->poller, store->socket, 1);
	if (rc < 0)
		return rc;
	rc = client_call(store, &request, &(struct client_bytes){.id = prefix}, &done, client_patience(0));
	if (rc == STOA_TIMED_OUT)
		return error_set(-STOA_EBUSY, "the store's server does not answer");
	if (rc < 0)
		return error_prefix(rc, "events of the store");
	/* The descriptor says that there may be something, until the first look. */
	os_bell_ring(store->client_bell);
	return rc;
}

int stoa_store_subscribe(struct stoa_store *store, const void *prefix, uint32_t prefix_length, uint32_t flags,
			 struct stoa_subscription **ret_subscription)
{
	struct stoa_subscription *subscription;
	int rc = client_usable(store);

	if (rc < 0)
		return rc;
	if (flags & ~STOA_SUBSCRIBE_LIST || prefix_length > STOA_ID_MAX || (prefix_length && !prefix))
		return error_set(-STOA_EINVAL, "a prefix has up to %u bytes, not %u; or no such flags: 0x%x",
				 STOA_ID_MAX, prefix_length, flags);
	subscription = os_allocate(sizeof(*subscription));
	if (!subscription)
		return -STOA_ENOMEM;
	subscription->poller = OS_NO_HANDLE;
	subscription->listing = flags & STOA_SUBSCRIBE_LIST;
	rc = connect_again(store, &subscription->store);
	if (rc == 0)
		rc = start(subscription, prefix, prefix_length, flags);
	if (rc < 0) {
		stoa_subscription_close(subscription);
		return rc;
	}
	*ret_subscription = subscription;
	return 0;
}

int stoa_subscription_descriptor(const struct stoa_subscription *subscription)
{
	return (int)subscription->poller;
}

void stoa_subscription_close(struct stoa_subscription *subscription)
{
	if (!subscription)
		return;
	if (subscription->poller != OS_NO_HANDLE)
		os_handle_close(subscription->poller);
	stoa_store_close(subscription->store);
	os_free(subscription);
}
