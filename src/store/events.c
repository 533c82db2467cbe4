/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions, on the server: sessions whose ring of requests has become a ring of events. The server is the one that writes there; how far it is are
 * its own numbers, so whatever the client scribbles it spoils its own events. Where the ring is full an event is counted as lost, and nobody waits.
 *
 * What is there already is told a few at a time, by number of entry, as there is room. An entry that has not been come to yet is not told of when it
 * changes: it will be listed as it is then. So there is no gap, and nothing twice. Where objects go to files they get other entries meanwhile: what
 * moves to behind where the list has come to is told at once; what moves the other way may be listed twice, and what becomes of it is told.
 *
 * Killed in the middle of a change: the journal has which one, before it is made (journal.h). The successor sees in the entry whether it was made, and
 * tells those that have not been told: how far each is told is replaced by one store. So events are neither lost nor told twice.
 */
#include <store/object_parts.h>

#include <base/error.h>
#include <string.h>

#define LISTED_ALL UINT32_MAX
#define LIST_TOLD 64u    /* at a time */
#define LIST_LOOKS 1024u /* entries */
#define ENTRY_BITS 24
#define ENTRY_MASK UINT64_C(0xffffff)

static struct store_event *ring_of(const struct server_session *session)
{
	return (struct store_event *)(void *)session->ring;
}

static uint64_t capacity_of(const struct server_session *session)
{
	return session->ring_size / sizeof(struct store_event);
}

static bool has_room(const struct server_session *session)
{
	/* A1: the client has copied what was there; pairs with R1 in subscribe.c */
	uint64_t taken = load_acq(&session->shared->taken);

	return session->subscription->told - taken < capacity_of(session);
}

/* ---- how far it is ---- */

/* All of it at once, for a successor. */
static void note(struct server_subscription *subscription)
{
	struct journal_session *record = subscription->session->record;
	uint32_t other = !load_rlx(&record->which);
	struct journal_told *to = &record->told[other];

	store_rlx(&to->told, subscription->told);
	store_rlx(&to->lost, subscription->lost);
	store_rlx(&to->event, subscription->event);
	store_rlx(&to->listed, subscription->listed);
	cc_compiler_barrier();
	store_rlx(&record->which, other);
}

static void read_note(const struct journal_session *record, struct server_subscription *subscription)
{
	const struct journal_told *from = &record->told[load_rlx(&record->which) & 1];

	subscription->told = load_rlx(&from->told);
	subscription->lost = load_rlx(&from->lost);
	subscription->event = load_rlx(&from->event);
	subscription->listed = load_rlx(&from->listed);
}

void events_publish(const struct server_session *session)
{
	store_rel(&session->shared->told, session->subscription->told); /* R2: events; pairs with A3 in subscribe.c */
	/* R3: after the events before which there was room; pairs with A2 in subscribe.c */
	store_rel(&session->shared->lost, session->subscription->lost);
}

/* ---- telling ---- */

static bool matches(const struct stoa_server *server, const struct server_subscription *subscription, uint32_t number)
{
	uint32_t length;
	const uint8_t *id = directory_id(&server->book, number, &length);

	return length >= subscription->prefix_length &&
	       memcmp(id, subscription->prefix, subscription->prefix_length) == 0;
}

static bool may_read(const struct stoa_server *server, const struct server_subscription *subscription, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);

	return object_may_read(subscription->session, entry->owner, entry->access, entry->reader);
}

/* There is room. `number` 0: it has no object. */
static void write_event(const struct stoa_server *server, struct server_subscription *subscription, uint32_t what,
			uint32_t number)
{
	struct server_session *session = subscription->session;
	struct store_event *to = &ring_of(session)[subscription->told % capacity_of(session)];
	struct store_event event = {.lost = subscription->lost, .date = server->date, .what = what};

	if (number) {
		const uint8_t *id = directory_id(&server->book, number, &event.id_length);

		memcpy(event.id, id, event.id_length);
		event.size = load_rlx(&object_entry(server, number)->size);
	}
	*to = event;
	subscription->told++;
}

static void tell_one(struct stoa_server *server, struct server_subscription *subscription, uint32_t what,
		     uint32_t number)
{
	if (has_room(subscription->session))
		write_event(server, subscription, what, number);
	else
		subscription->lost++;
	subscription->event = server->event;
	note(subscription);
	session_tell_later(server, subscription->session);
}

/* Is that, of the entry `number`, told by the list? */
static bool is_listed(const struct stoa_server *server, const struct server_subscription *to, uint32_t what,
		      uint32_t number, uint32_t old)
{
	bool moved = !object_entry(server, number)->serial; /* by the server */

	if (what == STOA_EVENT_PRESENT)
		return old < to->listed || number >= to->listed;
	return number >= to->listed && !moved;
}

static void tell_all(struct stoa_server *server, uint32_t what, uint32_t number, uint32_t old)
{
	for (struct server_subscription *to = server->subscriptions; to; to = to->next) {
		/* What it is told already, by a server that died; what it will be told by the list. */
		if (to->event == server->event || is_listed(server, to, what, number, old) ||
		    !matches(server, to, number))
			continue;
		if (may_read(server, to, number))
			tell_one(server, to, what, number);
		else if (old && may_read(server, to, old)) /* of what came in its place it learns nothing */
			tell_one(server, to, STOA_EVENT_DELETED, old);
	}
}

void events_note(struct stoa_server *server, uint32_t what, uint32_t number, uint32_t old)
{
	struct journal *journal = server->journal;

	if (object_entry(server, number)->kind == STORE_REGION)
		return;
	store_rlx(&journal->event_state, load_rlx(&object_entry(server, number)->state));
	store_rlx(&journal->event, ++server->event);
	cc_compiler_barrier();
	store_rlx(&journal->event_of, (uint64_t)what << 2 * ENTRY_BITS | (uint64_t)old << ENTRY_BITS | number);
	cc_compiler_barrier();
}

void events_noted(struct stoa_server *server)
{
	uint64_t of = load_rlx(&server->journal->event_of);

	if (!of)
		return;
	cc_compiler_barrier();
	tell_all(server, (uint32_t)(of >> 2 * ENTRY_BITS), (uint32_t)(of & ENTRY_MASK),
		 (uint32_t)(of >> ENTRY_BITS & ENTRY_MASK));
	cc_compiler_barrier();
	store_rlx(&server->journal->event_of, 0);
}

void events_none(struct stoa_server *server)
{
	store_rlx(&server->journal->event_of, 0);
}

/* ---- what is there already ---- */

bool events_to_list(const struct server_session *session)
{
	return session->subscription->listed != LISTED_ALL && has_room(session);
}

static bool is_there(const struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = object_entry(server, number);
	enum store_state state = store_state_of(load_rlx(&entry->state));

	return (state == STORE_SEALED || state == STORE_SPILLED) && entry->kind != STORE_REGION;
}

unsigned events_list(struct stoa_server *server, struct server_session *session)
{
	struct server_subscription *subscription = session->subscription;
	unsigned told = 0, looks = 0;

	while (told < LIST_TOLD && looks < LIST_LOOKS && events_to_list(session)) {
		uint32_t number = subscription->listed;

		looks++;
		if (number >= server->book.entries.reached) {
			write_event(server, subscription, STOA_EVENT_LISTED, 0);
			subscription->listed = LISTED_ALL;
			told++;
		} else {
			subscription->listed++;
			if (is_there(server, number) && matches(server, subscription, number) &&
			    may_read(server, subscription, number)) {
				write_event(server, subscription, STOA_EVENT_PRESENT, number);
				told++;
			}
		}
		note(subscription);
	}
	if (told)
		session_tell_later(server, session);
	return looks;
}

/* ---- begin and end ---- */

static void link_in(struct stoa_server *server, struct server_session *session,
		    struct server_subscription *subscription)
{
	subscription->session = session;
	subscription->next = server->subscriptions;
	server->subscriptions = subscription;
	session->subscription = subscription;
}

int events_subscribe(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	const struct store_request *head = &request->head;
	struct store_session *shared = session->shared;
	struct server_subscription *subscription;

	/* The ring has nothing else in it then, and what a successor finds done can only be this. */
	if (load_rlx(&session->record->serial) || head->flags & ~STOA_SUBSCRIBE_LIST)
		return -STOA_EINVAL;
	subscription = os_allocate(sizeof(*subscription));
	if (!subscription)
		return -STOA_ENOMEM;
	subscription->prefix_length = head->id_length;
	memcpy(subscription->prefix, request->id, head->id_length);
	subscription->listed = head->flags & STOA_SUBSCRIBE_LIST ? 1 : LISTED_ALL;
	subscription->event = server->event;
	shared->prefix_length = head->id_length;
	memcpy(shared->prefix, request->id, head->id_length);
	link_in(server, session, subscription);
	note(subscription);
	cc_compiler_barrier();
	store_rlx(&session->record->subscribed, 1);
	return 0;
}

void events_end(struct stoa_server *server, struct server_session *session)
{
	struct server_subscription **link = &server->subscriptions;

	if (!session->subscription)
		return;
	while (*link != session->subscription)
		link = &(*link)->next;
	*link = session->subscription->next;
	os_free(session->subscription);
	session->subscription = NULL;
}

/* ---- after a dead server ---- */

int events_adopt(struct stoa_server *server, struct server_session *session)
{
	struct server_subscription *subscription;
	uint32_t length = session->shared->prefix_length;

	/* It had not been told that it is one: its request is done again. */
	if (!session->serial)
		store_rlx(&session->record->subscribed, 0);
	if (!load_rlx(&session->record->subscribed))
		return 0;
	if (length > STOA_ID_MAX)
		return error_set(-STOA_EFORMAT, "a subscription's memory is damaged");
	subscription = os_allocate(sizeof(*subscription));
	if (!subscription)
		return -STOA_ENOMEM;
	/* Its client can write this: then it is told of other objects that it may read. */
	subscription->prefix_length = length;
	memcpy(subscription->prefix, session->shared->prefix, length);
	read_note(session->record, subscription);
	link_in(server, session, subscription);
	return 0;
}

/* Has the change been made? `lost`: and the object is gone, with its id. */
static bool was_made(const struct stoa_server *server, uint32_t what, uint32_t number, uint64_t before, bool *ret_lost)
{
	uint64_t now = load_rlx(&object_entry(server, number)->state);
	bool same = store_generation_of(now) == store_generation_of(before);

	if (what == STOA_EVENT_SEALED || what == STOA_EVENT_PRESENT)
		return same && is_there(server, number);
	*ret_lost = !same || store_state_of(now) == STORE_FREE;
	return !same || store_state_of(now) == STORE_DYING;
}

void events_adopted(struct stoa_server *server)
{
	struct journal *journal = server->journal;
	uint64_t of = load_rlx(&journal->event_of);
	uint32_t number = (uint32_t)(of & ENTRY_MASK), what = (uint32_t)(of >> 2 * ENTRY_BITS), lost = server->lost;
	bool unknown = false;

	server->event = load_rlx(&journal->event);
	if (of && number < server->book.entries.reached &&
	    was_made(server, what, number, load_rlx(&journal->event_state), &unknown) && !unknown)
		events_noted(server);
	events_none(server);
	/* Which ones those were nobody knows. */
	for (struct server_subscription *to = server->subscriptions; to; to = to->next) {
		to->lost += lost + (unknown && to->event != server->event);
		to->event = server->event;
		note(to);
		events_publish(to->session);
	}
}
