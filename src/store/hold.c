/* SPDX-License-Identifier: MIT */
/*
 * The process that holds a server's memory objects: a table of descriptors under names, and a loop. Uses base and os.
 *
 * It runs in a fork of a program with threads (os_process_detach()): nothing here allocates from the heap or takes a lock. It trusts the server no
 * more than it must: a message that is none costs the sender its connection, and what is held stays.
 *
 * The table cannot grow beyond what the process may open, less a reserve: so descriptors that come with a message, and the
 * successor's socket, always find a place.
 */
#include <store/hold.h>

#include <base/error.h>
#include <base/hash.h>
#include <string.h>

#define RESERVE 64u
#define ENTRIES_MAX (UINT32_C(1) << 20)
#define PATIENCE (UINT64_C(10) * 1000000000) /* with nothing to hold, and nobody to hold it for */

struct held_entry {
	char name[STORE_HOLDER_NAME];
	os_handle memory; /* OS_NO_HANDLE: the place is free */
	uint32_t next;    /* in its bucket, or among the free places; + 1, 0: the last */
	uint32_t unused;
};

struct hold {
	struct os_listener listener;
	os_handle server;  /* OS_NO_HANDLE: none is connected */
	os_handle process; /* of it; OS_NO_HANDLE: not known */
	bool ending;
	struct held_entry *entries;
	uint32_t *buckets; /* entry + 1 */
	uint32_t room;     /* entries; a power of two of buckets is at least as many */
	uint32_t mask;     /* of buckets */
	uint32_t used;     /* entries that have been in use; behind them all are untouched */
	uint32_t count;    /* in use */
	uint32_t free;     /* + 1 */
};

/* ---- the table ---- */

static bool make_table(struct hold *hold)
{
	uint32_t allowed = os_handles_allow();

	hold->room = allowed > RESERVE ? allowed - RESERVE : 1;
	if (hold->room > ENTRIES_MAX)
		hold->room = ENTRIES_MAX;
	for (hold->mask = 1; hold->mask < hold->room; hold->mask *= 2)
		;
	hold->entries = os_pages_allocate(hold->room * sizeof(*hold->entries));
	hold->buckets = os_pages_allocate(hold->mask * sizeof(*hold->buckets));
	hold->mask--;
	return hold->entries && hold->buckets;
}

/* Where the number of the entry stands, or would be put: a link of its bucket. */
static uint32_t *find(struct hold *hold, const char *name)
{
	uint32_t *link = &hold->buckets[hash_bytes(name, STORE_HOLDER_NAME) & hold->mask];

	while (*link && memcmp(hold->entries[*link - 1].name, name, STORE_HOLDER_NAME) != 0)
		link = &hold->entries[*link - 1].next;
	return link;
}

static uint32_t take_place(struct hold *hold)
{
	uint32_t place = hold->free;

	if (!place)
		return hold->used < hold->room ? ++hold->used : 0;
	hold->free = hold->entries[place - 1].next;
	return place;
}

/* The handle is the table's then, or closed. */
static int keep(struct hold *hold, const char *name, os_handle memory)
{
	uint32_t *link = find(hold, name), place = *link;

	if (place) {
		os_handle_close(hold->entries[place - 1].memory);
		hold->entries[place - 1].memory = memory;
		return 0;
	}
	place = take_place(hold);
	if (!place) {
		os_handle_close(memory);
		return -STOA_ELIMIT;
	}
	*link = place;
	memcpy(hold->entries[place - 1].name, name, STORE_HOLDER_NAME);
	hold->entries[place - 1].memory = memory;
	hold->entries[place - 1].next = 0;
	hold->count++;
	return 0;
}

static int drop(struct hold *hold, const char *name)
{
	uint32_t *link = find(hold, name), place = *link;
	struct held_entry *entry = &hold->entries[place - 1];

	if (!place)
		return -STOA_ENOENT;
	*link = entry->next;
	os_handle_close(entry->memory);
	entry->memory = OS_NO_HANDLE;
	entry->next = hold->free;
	hold->free = place;
	hold->count--;
	return 0;
}

/* ---- the server ---- */

static void dismiss(struct hold *hold)
{
	os_handle_close(hold->server);
	os_handle_close(hold->process);
	hold->server = hold->process = OS_NO_HANDLE;
}

static int reply(os_handle socket, int result, uint64_t place)
{
	struct hold_message message = {.magic = HOLD_MAGIC, .result = result, .place = place};

	return os_local_send(socket, &message, hold_length(0), NULL, 0);
}

static int put_all(struct hold *hold, const struct hold_message *request, const os_handle *passed)
{
	int first = 0;

	for (uint32_t i = 0; i < request->count; i++) {
		int rc = keep(hold, request->names[i], passed[i]);

		first = first ? first : rc;
	}
	return first;
}

static int give(struct hold *hold, uint64_t from)
{
	struct hold_message message = {.magic = HOLD_MAGIC};
	os_handle passed[HOLD_BATCH];
	int rc;

	for (; from < hold->used && message.count < HOLD_BATCH; from++) {
		const struct held_entry *entry = &hold->entries[from];

		if (entry->memory == OS_NO_HANDLE)
			continue;
		memcpy(message.names[message.count], entry->name, STORE_HOLDER_NAME);
		passed[message.count++] = entry->memory;
	}
	message.place = from;
	rc = os_local_send(hold->server, &message, hold_length(message.count), passed, message.count);
	return rc == -STOA_ELIMIT || rc == -STOA_ENOMEM ? reply(hold->server, rc, 0) : rc;
}

/* Does it have what its kind of request has? */
static int check_request(const struct hold_message *request, size_t length, unsigned passed)
{
	int rc = hold_check(request, length);

	if (rc)
		return rc;
	switch (request->op) {
	case HOLD_PUT: return request->count && passed == request->count ? 0 : -STOA_EFORMAT;
	case HOLD_DROP: return request->count == 1 && !passed ? 0 : -STOA_EFORMAT;
	case HOLD_GET:
	case HOLD_END: return !request->count && !passed ? 0 : -STOA_EFORMAT;
	default: return -STOA_EFORMAT;
	}
}

/* Returns an error when the connection is of no more use. */
static int serve_request(struct hold *hold, const struct hold_message *request, size_t length, const os_handle *passed,
			 unsigned count)
{
	int rc = check_request(request, length, count);

	if (rc) {
		while (count)
			os_handle_close(passed[--count]);
		(void)reply(hold->server, rc, 0);
		return rc;
	}
	switch (request->op) {
	case HOLD_PUT: return reply(hold->server, put_all(hold, request, passed), 0);
	case HOLD_DROP: return reply(hold->server, drop(hold, request->names[0]), 0);
	case HOLD_GET: return give(hold, request->place);
	default: hold->ending = true; return 0;
	}
}

/* One message, if there is one. A server that is dead has said all when there is none, though others may have its socket. */
static void serve(struct hold *hold)
{
	struct hold_message request = {.op = 0};
	os_handle passed[HOLD_BATCH];
	unsigned count;
	size_t length;
	int rc = os_local_receive(hold->server, &request, sizeof(request), &length, passed, HOLD_BATCH, &count);

	if (rc == -STOA_EBUSY)
		rc = hold->process != OS_NO_HANDLE && os_process_ended(hold->process) ? -STOA_ECLOSED : 0;
	else if (rc == -STOA_ELIMIT || rc == -STOA_ENOMEM)
		rc = reply(hold->server, rc, 0);
	else if (!rc)
		rc = serve_request(hold, &request, length, passed, count);
	if (rc)
		dismiss(hold);
}

/* Hear a server out that may be gone. true: it is not. */
static bool is_served(struct hold *hold)
{
	uint32_t ready;

	for (unsigned i = 0; i < 4096 && hold->server != OS_NO_HANDLE && !hold->ending; i++) {
		const os_handle handles[] = {hold->server, hold->process};

		if (os_wait_readable(handles, 2, 0, &ready))
			break;
		serve(hold);
	}
	return hold->server != OS_NO_HANDLE;
}

static int check_server(struct hold *hold, os_handle socket)
{
	struct os_peer peer;
	int rc = os_local_peer(socket, &peer);

	if (rc)
		return rc;
	if (peer.user != 0 && peer.user != os_user_id())
		return -STOA_EACCES;
	return is_served(hold) ? -STOA_EBUSY : 0;
}

static void let_in(struct hold *hold)
{
	os_handle socket, process = OS_NO_HANDLE;
	uint32_t ready;
	int rc = os_local_accept(&hold->listener, &socket);

	if (rc == -STOA_EBUSY)
		return;
	if (rc) { /* whoever is there stays there: do not look at once again */
		(void)os_wait_readable(NULL, 0, os_now() + 10000000, &ready);
		return;
	}
	rc = check_server(hold, socket);
	if (!rc && os_local_peer_process(socket, &process) == -STOA_ECLOSED)
		rc = -STOA_ECLOSED;
	if (reply(socket, rc, os_process_id()) || rc) {
		os_handle_close(socket);
		os_handle_close(process);
		return;
	}
	hold->server = socket;
	hold->process = process;
}

/* ---- the process ---- */

static void loop(struct hold *hold)
{
	while (!hold->ending) {
		const os_handle handles[] = {hold->listener.socket, hold->server, hold->process};
		bool idle = hold->server == OS_NO_HANDLE && !hold->count;
		uint32_t ready;
		int rc = os_wait_readable(handles, 3, idle ? os_now() + PATIENCE : UINT64_MAX, &ready);

		if (rc == STOA_TIMED_OUT)
			return;
		if (rc) {
			os_yield();
			continue;
		}
		if (ready & ~UINT32_C(1))
			serve(hold);
		if (ready & 1 && !hold->ending)
			let_in(hold);
	}
}

void hold_run(void *argument, const os_handle *handles)
{
	struct hold hold = {
		.listener = *(const struct os_listener *)argument, .server = OS_NO_HANDLE, .process = OS_NO_HANDLE};

	hold.listener.socket = handles[0];
	hold.listener.lock = handles[1];
	if (make_table(&hold))
		loop(&hold);
	os_local_unlisten(&hold.listener);
	for (uint32_t i = 0; i < hold.used; i++)
		os_handle_close(hold.entries[i].memory);
	if (hold.ending && hold.server != OS_NO_HANDLE)
		(void)reply(hold.server, 0, 0);
	dismiss(&hold);
}
