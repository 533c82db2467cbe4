/* SPDX-License-Identifier: MIT */
/*
 * The server's loop: one thread, which looks at each client's ring as long as there is something to do, and else sleeps until a socket or a bell
 * has something. Before it sleeps it says so in the directory's header and imposes a barrier on all clients, so that none of them needs one
 * for looking at that word after it has asked.
 */
#include <store/server.h>

#include <base/error.h>
#include <base/mutant.h>
#include <stdio.h>
#include <string.h>

#define SPILL_TIMES 10u     /* the limit: what is spilled at most, if nothing else is said */
#define IDLE_LOOKS 2000u    /* before it sleeps */
#define ROUNDS_PER_POLL 64u /* busy rounds before it looks at the sockets */
#define EVENTS 64u
#define SCAN_EVERY UINT64_C(2000000) /* nanoseconds between looks at leases for dying objects */
#define SCAN_SHARE 10u               /* of the time, at most so much for these looks: 1/10 */
#define DEAF_FOR UINT64_C(50000000)  /* nanoseconds between looks whether there are descriptors again */
#define ACCEPTS_AT_A_TIME 16u
#define HOLD_EVERY UINT64_C(2000000000) /* nanoseconds between tries to have a holder again */
#define DROPS_AT_A_TIME 16u             /* a client takes more than the one descriptor of who only connects */

/* ---- starting and ending ---- */

static int fill_in(struct stoa_server_options *options)
{
	struct stoa_server_options o = *options;
	uint64_t all;

	if (!o.limit)
		o.limit = os_memory_total() / 2;
	/* Who may have all there is runs out of room, which others' objects may make, and not of a quota. */
	if (!o.spill_folder)
		o.spill_limit = 0;
	else if (!o.spill_limit)
		o.spill_limit = o.limit > SERVER_LIMIT_MAX / SPILL_TIMES ? SERVER_LIMIT_MAX : o.limit * SPILL_TIMES;
	all = o.spill_limit < SERVER_LIMIT_MAX ? o.limit + o.spill_limit : UINT64_MAX;
	if (!o.client_limit || o.client_limit >= all)
		o.client_limit = UINT64_MAX;
	if (!o.user_limit || o.user_limit >= all)
		o.user_limit = UINT64_MAX;
	if (!o.objects)
		o.objects = SERVER_OBJECTS_DEFAULT;
	if (!o.clients)
		o.clients = SERVER_CLIENTS_DEFAULT;
	if (!o.user_clients)
		o.user_clients = o.clients - o.clients / 4;
	if (!o.user_pieces)
		o.user_pieces = os_handles_limit() / 4 * 3 / 2;
	if (!o.socket_mode)
		o.socket_mode = 0600;
	if (o.limit > SERVER_LIMIT_MAX)
		o.limit = SERVER_LIMIT_MAX;
	if (o.limit < SERVER_LIMIT_MIN)
		return error_set(-STOA_EINVAL, "a store needs a limit of 16MiB at least");
	if (o.objects >= STORE_ENTRIES_MAX)
		return error_set(-STOA_EINVAL, "%u objects are more than a store can have, %u", o.objects,
				 STORE_ENTRIES_MAX - 1);
	if (o.clients > SERVER_CLIENTS_MAX)
		return error_set(-STOA_EINVAL, "%u clients are more than a store can have, %u", o.clients,
				 SERVER_CLIENTS_MAX);
	*options = o;
	return 0;
}

/* The caller's path is needed later, too: for another holder. */
static int copy_path(struct stoa_server *server)
{
	if (!server->options.socket)
		return 0;
	if (snprintf(server->path, sizeof(server->path), "%s", server->options.socket) >= (int)sizeof(server->path))
		return error_set(-STOA_ENAME, "the socket's path is too long");
	server->options.socket = server->path;
	return 0;
}

static int start_polling(struct stoa_server *server)
{
	int rc = os_poller_create(&server->poller);

	if (rc == 0)
		rc = os_notifier_create(&server->call);
	if (rc == 0)
		rc = os_notifier_create(&server->spare);
	return rc == 0 ? os_poller_add(server->poller, server->call, SERVER_KEY_CALL) : rc;
}

static int start_listening(struct stoa_server *server)
{
	int rc;

	if (server->options.flags & STOA_SERVER_ADOPT)
		rc = os_local_adopt(server->options.descriptor, &server->listener);
	else if (server->options.socket)
		rc = os_local_listen(server->options.socket, server->options.socket_mode, &server->listener);
	else
		return 0;
	if (rc < 0)
		return rc;
	server->listens = true;
	return os_poller_add(server->poller, server->listener.socket, SERVER_KEY_LISTENER);
}

static int start_holder(struct stoa_server *server)
{
	char path[OS_PATH_ROOM];
	int rc;

	if (server->options.keeper)
		return store_holder_use(server->options.keeper, &server->holder);
	if (!server->options.socket)
		return error_set(-STOA_EINVAL, "only a store with a socket can be held for a successor");
	if (snprintf(path, sizeof(path), "%s.held", server->options.socket) >= (int)sizeof(path))
		return error_set(-STOA_ENAME, "the socket's path is too long");
	rc = store_holder_start(path, &server->holder);
	if (rc == 0)
		rc = os_poller_add(server->poller, store_holder_handle(server->holder), SERVER_KEY_HOLDER);
	return rc < 0 ? error_prefix(rc, "the process that holds the store's memory") : 0;
}

/* What a dead server left at this path, if memory is to outlive servers, else an empty store. */
static int start_memory(struct stoa_server *server)
{
	int rc;

	if (!(server->options.flags & STOA_SERVER_HELD)) {
		rc = memory_start(server);
		return rc == 0 ? spill_started(server) : rc;
	}
	rc = start_holder(server);
	if (rc == 0)
		rc = adopt_all(server);
	if (rc == 0)
		rc = spill_started(server);
	/* It stays held for another try. */
	server->leaving = rc < 0;
	if (rc != ADOPT_NOTHING)
		return rc;
	rc = memory_start(server);
	if (rc == 0)
		rc = spill_started(server);
	return rc == 0 ? keep_all(server) : rc;
}

int stoa_server_start(const struct stoa_server_options *options, struct stoa_server **ret_server)
{
	struct stoa_server *server = os_allocate(sizeof(*server));
	int rc;

	if (!server)
		return -STOA_ENOMEM;
	if (options)
		server->options = *options;
	server->call = server->poller = server->spare = server->journal_memory = server->directory_reader =
		OS_NO_HANDLE;
	server->directory_extent = (struct os_extent){.in_memory = true, .cannot_shrink = true, .memory = OS_NO_HANDLE};
	rc = fill_in(&server->options);
	if (rc == 0)
		rc = copy_path(server);
	if (rc < 0)
		goto fail;
	server->sessions = os_allocate(server->options.clients * sizeof(struct server_session *));
	if (!server->sessions) {
		rc = -STOA_ENOMEM;
		goto fail;
	}
	server->started = os_date();
	server->space = os_process_space();
	(void)os_barrier_join();
	rc = start_polling(server);
	/* First of all, so that no two servers take over the same memory. */
	if (rc == 0)
		rc = start_listening(server);
	if (rc == 0)
		rc = spill_start(server);
	if (rc == 0)
		rc = start_memory(server);
	if (rc < 0)
		goto fail;
	if (!os_barrier_can_impose())
		store_rlx(&server->header->fences, 1);
	*ret_server = server;
	return 0;
fail:
	if (server->options.flags & STOA_SERVER_ADOPT)
		server->listens = false; /* the socket stays the caller's */
	stoa_server_close(server);
	return rc;
}

/* One that is lost is looked for, lest it holds everything for ever. */
static void end_holder(struct stoa_server *server)
{
	bool lost = store_holder_end(server->holder) < 0;

	server->holder = NULL;
	if (lost && !server->options.keeper)
		(void)start_holder(server);
	if (server->holder)
		(void)store_holder_end(server->holder);
}

void stoa_server_close(struct stoa_server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; server->sessions && i < server->session_count; i++)
		if (server->sessions[i])
			session_end(server, server->sessions[i]);
	while (server->arrived)
		os_handle_close(server->arriving[--server->arrived]);
	if (server->listens)
		os_local_unlisten(&server->listener);
	spill_end(server);
	memory_end(server);
	if (server->leaving)
		store_holder_close(server->holder);
	else if (server->holder)
		end_holder(server);
	if (server->call != OS_NO_HANDLE)
		os_handle_close(server->call);
	if (server->spare != OS_NO_HANDLE)
		os_handle_close(server->spare);
	if (server->poller != OS_NO_HANDLE)
		os_handle_close(server->poller);
	while (server->users) {
		struct server_user *user = server->users;

		server->users = user->next;
		os_free(user);
	}
	os_free(server->dying);
	os_free(server->sessions);
	os_free(server);
}

void stoa_server_leave(struct stoa_server *server)
{
	store_rlx(&server->left, 1);
	stoa_server_stop(server);
}

void stoa_server_stop(struct stoa_server *server)
{
	store_rlx(&server->stopping, 1);
	os_notifier_raise(server->call);
}

int stoa_server_stat(const struct stoa_server *server, struct stoa_store_stat *ret_stat)
{
	store_header_stat(server->header, ret_stat);
	return 0;
}

int server_attach(struct stoa_server *server, os_handle socket)
{
	int rc = 0;

	os_lock(&server->lock);
	if (server->arrived < CC_COUNT(server->arriving))
		server->arriving[server->arrived++] = socket;
	else
		rc = error_set(-STOA_EBUSY, "too many connect at a time");
	os_unlock(&server->lock);
	if (rc == 0)
		os_notifier_raise(server->call);
	return rc;
}

/* ---- the loop ---- */

static void take_arrivals(struct stoa_server *server)
{
	os_lock(&server->lock);
	while (server->arrived)
		(void)session_accept(server, server->arriving[--server->arrived]);
	os_unlock(&server->lock);
}

/*
 * No descriptor is left for who wants to be let in: it is told so with the one that was kept for this. Where even that fails the listener is not
 * polled for a while: it would be ready all the time.
 */
static void refuse(struct stoa_server *server)
{
	os_handle socket;

	os_handle_close(server->spare);
	server->spare = OS_NO_HANDLE;
	if (os_local_accept(&server->listener, &socket) == 0)
		session_refuse(socket, -STOA_ELIMIT);
	if (os_notifier_create(&server->spare) == 0)
		return;
	os_poller_remove(server->poller, server->listener.socket);
	server->deaf = true;
}

static void listen_again(struct stoa_server *server)
{
	if (server->spare == OS_NO_HANDLE && os_notifier_create(&server->spare) < 0)
		return;
	if (os_poller_add(server->poller, server->listener.socket, SERVER_KEY_LISTENER) == 0)
		server->deaf = false;
}

static void take_connections(struct stoa_server *server)
{
	os_handle socket;

	for (unsigned i = 0; i < ACCEPTS_AT_A_TIME && !server->deaf; i++) {
		int rc = os_local_accept(&server->listener, &socket);

		if (rc == -STOA_EBUSY)
			return;
		if (rc == 0)
			(void)session_accept(server, socket);
		else if (!session_drop_silent(server, DROPS_AT_A_TIME))
			refuse(server);
	}
}

static void leave_holder(struct stoa_server *server)
{
	if (!server->holder)
		return;
	if (store_holder_handle(server->holder) != OS_NO_HANDLE)
		os_poller_remove(server->poller, store_holder_handle(server->holder));
	store_holder_close(server->holder);
	server->holder = NULL;
}

/*
 * The holder has ended, as somebody killed it; or it is lost, as an answer of it was. While there is none, this server's death would be the end of all
 * objects.
 */
static void hold_again(struct stoa_server *server)
{
	leave_holder(server);
	if (start_holder(server) < 0 || (!MUTANT(HOLDER_BLANK) && keep_all(server) < 0))
		leave_holder(server);
	server->next_hold = os_now() + HOLD_EVERY;
}

static bool wants_holder(const struct stoa_server *server)
{
	return server->options.flags & STOA_SERVER_HELD && (!server->holder || store_holder_is_lost(server->holder));
}

static void handle(struct stoa_server *server, const struct os_poller_event *event)
{
	uint32_t number = (uint32_t)event->key;
	struct server_session *session;

	if (event->key == SERVER_KEY_CALL) {
		os_notifier_clear(server->call);
		take_arrivals(server);
		report_figures_for_threads(server);
		return;
	}
	if (event->key == SERVER_KEY_FILES) {
		if (server->spill)
			os_notifier_clear(spill_event(server));
		return;
	}
	if (event->key == SERVER_KEY_HOLDER) {
		hold_again(server);
		return;
	}
	if (event->key == SERVER_KEY_LISTENER) {
		take_connections(server);
		return;
	}
	session = number < server->options.clients ? server->sessions[number] : NULL;
	if (!session)
		return; /* it has ended in this very round */
	if (event->key & SERVER_KEY_BELL)
		os_bell_clear(session->bell);
	else
		session_message(
			server,
			session); /* its end comes as one; of an earlier session of that number there is nothing */
}

/* Look at sockets and bells, waiting until the deadline. */
static void poll_events(struct stoa_server *server, uint64_t deadline)
{
	struct os_poller_event events[EVENTS];
	unsigned count = 0;

	if (os_poller_wait(server->poller, deadline, events, EVENTS, &count) < 0)
		return;
	for (unsigned i = 0; i < count; i++)
		handle(server, &events[i]);
}

static bool anything_asked(const struct stoa_server *server)
{
	for (unsigned i = 0; i < server->session_count; i++)
		if (server->sessions[i] && session_has_work(server, server->sessions[i]))
			return true;
	return false;
}

static unsigned work(struct stoa_server *server)
{
	unsigned done = 0;

	for (unsigned i = 0; i < server->session_count; i++)
		if (server->sessions[i] && session_has_work(server, server->sessions[i])) {
			done += session_work(server, server->sessions[i]);
			session_tell_all(server);
		}
	return done;
}

/* Free what was deleted and nobody holds any more, when it is time to look; tell those who wait for room. */
static void tend(struct stoa_server *server)
{
	uint64_t begin;

	if (server->dying_count && (begin = os_now()) >= server->next_scan) {
		uint64_t end;

		(void)object_reap(server);
		end = os_now();
		server->next_scan = end + SCAN_EVERY + (end - begin) * SCAN_SHARE;
	}
	if (server->room_came) {
		server->room_came = false;
		waiting_room(server);
	}
	if (wants_holder(server) && os_now() >= server->next_hold)
		hold_again(server);
	session_tell_all(server);
}

/* Until when to sleep at most. */
static uint64_t wake_up(const struct stoa_server *server)
{
	uint64_t at = server->dying_count ? server->next_scan : UINT64_MAX;

	if (server->deaf && os_now() + DEAF_FOR < at)
		at = os_now() + DEAF_FOR;
	if (server->session_count && server->next_audit < at)
		at = server->next_audit;
	if (wants_holder(server) && server->next_hold < at)
		at = server->next_hold;
	return spill_wake_up(server) < at ? spill_wake_up(server) : at;
}

/* Sleeping is near, or it has worked for a while. */
static void audit_if_due(struct stoa_server *server)
{
	if (server->session_count && os_now() >= server->next_audit)
		audit_look(server);
	if (server->room_came)
		tend(server);
}

static void sleep_until_asked(struct stoa_server *server)
{
	struct store_header *header = server->header;
	uint64_t deadline;

	audit_if_due(server);
	deadline = wake_up(server);
	store_rlx(&header->asleep, 1);
	/* Q11: the flag, then the look at the rings; pairs with Q10 in call.c */
	if (!lease_barrier(&header->fences)) {
		fence_seq();
		deadline = os_now() + SCAN_EVERY; /* who asks now may not see that this sleeps */
	}
	if (!anything_asked(server)) {
		server->tally.sleeps++;
		poll_events(server, deadline);
	}
	store_rlx(&header->asleep, 0);
	if (server->deaf)
		listen_again(server);
}

/* What the last server was doing when it died comes before all else. */
static void finish_last(struct stoa_server *server)
{
	for (unsigned i = 0; server->redo.key && i < server->session_count; i++)
		if (server->sessions[i] && server->sessions[i]->key == server->redo.key)
			(void)session_work(server, server->sessions[i]);
	server->redo.key = 0;
}

int stoa_server_run(struct stoa_server *server)
{
	unsigned idle = 0, rounds = 0;

	store_rlx(&server->header->asleep, 0);
	finish_last(server);
	while (!load_rlx(&server->stopping)) {
		spill_work(server);
		if (work(server) || server->stepped) {
			idle = 0;
			if (++rounds % ROUNDS_PER_POLL == 0 || server->stepped) {
				poll_events(server, 0);
				tend(server);
				audit_if_due(server);
			}
			server->stepped = false;
			continue;
		}
		tend(server);
		if (++idle < IDLE_LOOKS)
			cc_pause();
		else
			sleep_until_asked(server);
	}
	session_tell_all(server);
	/* Between two requests, as if it had been killed there. */
	server->leaving = server->holder && load_rlx(&server->left);
	return 0;
}
