/* SPDX-License-Identifier: MIT */
/* Requests that are completed later: when an object of some id is sealed, or when there may be room. Each session has a bounded number of them. */
#include <store/server.h>

#include <string.h>

/* Is there what it waits for? It may have come after its client looked. */
static bool is_there(const struct stoa_server *server, const struct server_request *request)
{
	uint32_t entry;

	if (!request->head.id_length)
		return memory_may_fit(server, request->head.size);
	if (object_find(server, request, &entry) == 0)
		return true;
	/* What has a place, and is not sealed, is followed while it is made. */
	return request->head.flags & STOA_OBJECT_FOLLOWED &&
	       directory_lookup(&server->book, request->id, request->head.id_length);
}

static int add(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	struct server_waiter *waiter;

	if (session->waits == SESSION_COMPLETIONS)
		return -STOA_ELIMIT;
	waiter = os_allocate(sizeof(*waiter));
	if (!waiter)
		return -STOA_ENOMEM;
	waiter->serial = request->head.serial;
	waiter->session = session->number;
	waiter->size = request->head.size;
	waiter->id_length = (uint8_t)request->head.id_length;
	memcpy(waiter->id, request->id, request->head.id_length);
	waiter->next = server->waiters;
	server->waiters = waiter;
	session->waits++;
	return 1;
}

int waiting_add(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	return is_there(server, request) ? 0 : add(server, session, request);
}

int waiting_add_fetch(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	int rc = add(server, session, request);

	if (rc == 1)
		server->waiters->fetches = true;
	return rc;
}

static void complete(struct stoa_server *server, const struct server_waiter *waiter, int result)
{
	struct server_session *session = server->sessions[waiter->session];
	struct store_completion completion = {.serial = waiter->serial, .result = result};

	session_complete(session, &completion);
	session_tell_later(server, session);
}

/* Take out those that `chosen` says, and complete them. */
static void finish(struct stoa_server *server, bool (*chosen)(const struct server_waiter *waiter, const void *by),
		   const void *by, bool told, int result)
{
	struct server_waiter **link = &server->waiters;

	while (*link) {
		struct server_waiter *waiter = *link;

		if (!chosen(waiter, by)) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		if (told) {
			server->sessions[waiter->session]->waits--;
			complete(server, waiter, result);
		}
		os_free(waiter);
	}
}

struct waited {
	uint32_t session;
	uint32_t length;
	uint64_t serial;
	const uint8_t *id;
};

static bool is_serial(const struct server_waiter *waiter, const void *by)
{
	const struct waited *waited = by;

	return waiter->session == waited->session && waiter->serial == waited->serial;
}

void waiting_cancel(struct stoa_server *server, struct server_session *session, uint64_t serial)
{
	struct waited by = {.session = session->number, .serial = serial};

	finish(server, is_serial, &by, true, STOA_TIMED_OUT);
}

static bool is_session(const struct server_waiter *waiter, const void *by)
{
	return waiter->session == ((const struct waited *)by)->session;
}

void waiting_end(struct stoa_server *server, const struct server_session *session)
{
	struct waited by = {.session = session->number};

	finish(server, is_session, &by, false, 0);
}

static bool is_id(const struct server_waiter *waiter, const void *by)
{
	const struct waited *waited = by;

	return waiter->id_length == waited->length && memcmp(waiter->id, waited->id, waited->length) == 0;
}

void waiting_sealed(struct stoa_server *server, const uint8_t *id, uint32_t id_length)
{
	struct waited by = {.id = id, .length = id_length};

	if (server->waiters)
		finish(server, is_id, &by, true, 0);
}

static bool is_fetching(const struct server_waiter *waiter, const void *by)
{
	return waiter->fetches && is_id(waiter, by);
}

void waiting_fetched(struct stoa_server *server, const uint8_t *id, uint32_t id_length, int result)
{
	struct waited by = {.id = id, .length = id_length};

	if (server->waiters)
		finish(server, is_fetching, &by, true, result);
}

static bool is_for_room(const struct server_waiter *waiter, const void *by)
{
	return !waiter->id_length && memory_may_fit(by, waiter->size);
}

static bool is_for_any_room(const struct server_waiter *waiter, const void *by)
{
	(void)by;
	return !waiter->id_length;
}

void waiting_try(struct stoa_server *server)
{
	finish(server, is_for_any_room, NULL, true, 0);
}

bool waiting_for_room(const struct stoa_server *server)
{
	const struct server_waiter *waiter = server->waiters;

	while (waiter && waiter->id_length)
		waiter = waiter->next;
	return waiter;
}

void waiting_room(struct stoa_server *server)
{
	if (server->waiters)
		finish(server, is_for_room, server, true, 0);
}
