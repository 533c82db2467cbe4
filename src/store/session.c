/* SPDX-License-Identifier: MIT */
/*
 * Clients, as the server sees them. Each has a socket for the greeting and for descriptors, whose end is its end; a memory object with its
 * requests and completions; and one with its leases. Nothing that it writes there is believed: positions are the server's own, and
 * each request is copied before it is looked at. Who does not keep to the protocol is sent away, which harms itself alone.
 */
#include <store/object_parts.h>

#include <base/error.h>
#include <base/mutant.h>
#include <string.h>

#define LEASE_LINES_MAX 8192u
#define EXPECT_MAX UINT64_C(2048)
#define READ_AHEAD 16u /* requests; the client takes their completions while the next ones are done */

/* ---- greeting ---- */

/* Of those who connected and said nothing since, the first; NULL: there is none. */
static struct server_session *silent_one(const struct stoa_server *server)
{
	struct server_session *found = NULL;

	for (unsigned i = 0; i < server->session_count; i++) {
		struct server_session *session = server->sessions[i];

		if (session && !session->greeted && (!found || session->key < found->key))
			found = session;
	}
	return found;
}

unsigned session_drop_silent(struct stoa_server *server, unsigned count)
{
	struct server_session *silent;
	unsigned dropped = 0;

	while (dropped < count && (silent = silent_one(server)) != NULL) {
		session_end(server, silent);
		dropped++;
	}
	return dropped;
}

static unsigned first_free(const struct stoa_server *server)
{
	unsigned number = 0;

	while (number < server->options.clients && server->sessions[number])
		number++;
	return number;
}

/* Where all are taken, who has not greeted gives way to the next. */
static unsigned free_number(struct stoa_server *server)
{
	unsigned number = first_free(server);

	if (number == server->options.clients && session_drop_silent(server, 1))
		number = first_free(server);
	return number;
}

static int say(const struct server_session *session, struct store_message *message, const os_handle *passed,
	       unsigned count)
{
	store_message_mark(message);
	return os_local_send(session->socket, message, sizeof(*message), passed, count);
}

int session_say(const struct server_session *session, struct store_message *message, size_t length)
{
	store_message_mark(message);
	return os_local_send(session->socket, message, length, NULL, 0);
}

/* With descriptors. Where they cannot be sent the client is told why instead, by message->result. */
static int say_with(const struct server_session *session, struct store_message *message, const os_handle *passed,
		    unsigned count)
{
	int rc = say(session, message, passed, count);

	if (rc != -STOA_ELIMIT && rc != -STOA_ENOMEM)
		return rc;
	message->result = rc;
	return say(session, message, NULL, 0) < 0 ? -STOA_ECLOSED : rc;
}

void session_refuse(os_handle socket, int result)
{
	struct store_message message = {.kind = STORE_WELCOME, .result = result};

	store_message_mark(&message);
	(void)os_local_send(socket, &message, sizeof(message), NULL, 0);
	os_handle_close(socket);
}

static void enlist(struct stoa_server *server, struct server_session *session)
{
	session->record = &server->journal->session[session->number];
	server->sessions[session->number] = session;
	if (session->number >= server->session_count)
		server->session_count = session->number + 1;
}

/* No user takes all places. */
static int may_come(const struct stoa_server *server, uint32_t user)
{
	unsigned count = 0;

	for (unsigned i = 0; i < server->session_count; i++)
		count += server->sessions[i] && server->sessions[i]->peer.user == user;
	if (count < server->options.user_clients || account_unbound(user))
		return 0;
	return error_set(-STOA_ELIMIT, "a user may have %u clients", server->options.user_clients);
}

int session_accept(struct stoa_server *server, os_handle socket)
{
	unsigned number = free_number(server);
	struct server_session *session = os_allocate(sizeof(*session));
	int rc = -STOA_ENOMEM;

	if (!session)
		goto fail;
	*session = (struct server_session){.number = number,
					   .socket = socket,
					   .bell = OS_NO_HANDLE,
					   .client_bell = OS_NO_HANDLE,
					   .memory = OS_NO_HANDLE,
					   .leases_memory = OS_NO_HANDLE};
	if (number == server->options.clients) {
		os_free(session);
		session_refuse(socket, -STOA_ELIMIT);
		return error_set(-STOA_ELIMIT, "there are %u clients already", number);
	}
	rc = os_local_peer(socket, &session->peer);
	if (rc == 0)
		rc = may_come(server, session->peer.user);
	if (rc == 0)
		rc = os_poller_add(server->poller, socket, number);
	if (rc < 0)
		goto fail;
	session->key = ++server->keys;
	store_rlx(&server->journal->keys, server->keys);
	enlist(server, session);
	return 0;
fail:
	os_free(session);
	session_refuse(socket, rc);
	return rc;
}

/* A memory object of `length` bytes, committed and mapped. */
static int make_memory(struct stoa_server *server, uint64_t length, uint32_t access, os_handle *ret_memory,
		       void **ret_address)
{
	struct os_extent extent = {.in_memory = true, .cannot_shrink = true, .huge = OS_HUGE_NEVER};
	void *address = NULL;
	int rc = os_memory_create(length, 0, &extent.memory);

	if (rc < 0)
		return rc;
	rc = os_map(extent.memory, 0, length, access, &address);
	if (rc < 0)
		goto fail;
	extent.address = address;
	rc = memory_commit(server, &extent, 0, length);
	if (rc < 0)
		goto fail;
	/* Its client can write it, and might seal it against a successor's writing. */
	rc = os_memory_seal(extent.memory, OS_SEAL_GROW | OS_SEAL_SEALS);
	if (rc < 0) {
		memory_returned(server, length);
		goto fail;
	}
	*ret_memory = extent.memory;
	*ret_address = address;
	return 0;
fail:
	if (address)
		os_unmap(address, length);
	os_handle_close(extent.memory);
	return rc;
}

static uint64_t session_length(const struct server_session *session)
{
	return sizeof(struct store_session) + session->ring_size;
}

static uint64_t leases_length(const struct server_session *session)
{
	return (lease_bytes(session->lines) + OS_PAGE - 1) & ~(OS_PAGE - 1);
}

/* What the session itself takes is its user's, too: else a user would have all the memory by connecting. */
static int charge_own(struct stoa_server *server, struct server_session *session)
{
	uint64_t bytes = session_length(session) + leases_length(session);
	int rc = account_charge_for(server, NULL, session->peer.user, bytes);

	if (rc == 0)
		session->own = bytes;
	return rc;
}

static int make_session(struct stoa_server *server, struct server_session *session, uint32_t lines)
{
	void *address;
	int rc;

	session->ring_size = SESSION_RING_DEFAULT;
	session->lines = lines;
	/* It may have had a part of it when there was no room for the rest. */
	rc = session->own ? 0 : charge_own(server, session);
	if (rc < 0)
		return rc;
	rc = session->shared
		     ? 0
		     : make_memory(server, session_length(session), OS_READ | OS_WRITE, &session->memory, &address);
	if (rc < 0)
		return rc;
	if (!session->shared)
		session->shared = address;
	session->ring = (unsigned char *)(session->shared + 1);
	rc = make_memory(server, leases_length(session), OS_READ | OS_WRITE, &session->leases_memory, &address);
	if (rc == 0)
		session->leases = address;
	return rc;
}

/* One for each direction; the client's handles of them go into `passed`, to be closed when they have been sent. */
static int make_bells(struct stoa_server *server, struct server_session *session, os_handle *passed)
{
	os_handle bell[2], client_bell[2];
	int rc = os_bell_create(bell);

	if (rc < 0)
		return rc;
	rc = os_bell_create(client_bell);
	if (rc < 0) {
		os_handle_close(bell[0]);
		os_handle_close(bell[1]);
		return rc;
	}
	session->bell = bell[0];
	session->client_bell = client_bell[0];
	passed[PASSED_BELL] = bell[1];
	passed[PASSED_CLIENT_BELL] = client_bell[1];
	return os_poller_add(server->poller, session->bell, SERVER_KEY_BELL | session->number);
}

/* From now on a successor would know of it. */
static int note_session(struct stoa_server *server, struct server_session *session)
{
	struct journal_session *record = session->record;
	int rc = keep_session(server, session);

	if (rc < 0)
		return rc;
	record->ring_size = session->ring_size;
	record->lines = session->lines;
	store_rlx(&record->head, 0);
	store_rlx(&record->completed, 0);
	store_rlx(&record->serial, 0);
	store_rlx(&record->welcomed, 0);
	store_rlx(&record->subscribed, 0);
	cc_compiler_barrier();
	store_rlx(&record->key, session->key);
	return 0;
}

static int say_welcome(struct stoa_server *server, const struct server_session *session, os_handle bell,
		       os_handle client_bell)
{
	struct store_message message = {.kind = STORE_WELCOME,
					.count = session->number,
					.size = session->ring_size,
					.length = server->book.directory.length};
	const os_handle passed[PASSED_COUNT] = {[PASSED_DIRECTORY] = server->directory_reader,
						[PASSED_SESSION] = session->memory,
						[PASSED_LEASES] = session->leases_memory,
						[PASSED_BELL] = bell,
						[PASSED_CLIENT_BELL] = client_bell};
	int rc = say_with(session, &message, passed, PASSED_COUNT);

	/* Who dies before this leaves a client that may have heard nothing: it is told again, and ignores what it knows. */
	if (rc == 0)
		store_rlx(&session->record->welcomed, 1);
	return rc;
}

static int welcome(struct stoa_server *server, struct server_session *session, const struct store_message *hello)
{
	uint32_t lines = hello->count ? hello->count : LEASE_LINES_DEFAULT;
	struct store_message refusal = {.kind = STORE_WELCOME};
	os_handle passed[PASSED_COUNT] = {[PASSED_BELL] = OS_NO_HANDLE, [PASSED_CLIENT_BELL] = OS_NO_HANDLE};
	int rc = lines <= LEASE_LINES_MAX ? 0 : -STOA_EINVAL;

	if (rc == 0)
		rc = spill_is_turn(server, &session->turn) ? make_session(server, session, lines) : SERVER_LATER;

	if (rc == 0)
		rc = make_bells(server, session, passed);
	if (rc == 0)
		rc = note_session(server, session);
	if (rc == SERVER_LATER) {
		session->hello = *hello;
		spill_wait_turn(server, &session->turn);
		return 0;
	}
	spill_end_turn(server, &session->turn);
	if (rc < 0) {
		refusal.result = rc;
		(void)say(session, &refusal, NULL, 0);
	} else {
		session->greeted = true;
		add_rlx(&server->header->sessions, 1);
		rc = say_welcome(server, session, passed[PASSED_BELL], passed[PASSED_CLIENT_BELL]);
	}
	os_handle_close(passed[PASSED_BELL]);
	os_handle_close(passed[PASSED_CLIENT_BELL]);
	return rc;
}

static int hand_out(struct stoa_server *server, struct server_session *session, const struct store_message *asked)
{
	struct store_message message = {.kind = STORE_ARENA, .arena = asked->arena, .generation = asked->generation};
	os_handle memory = OS_NO_HANDLE;
	bool writable = false;
	int rc;

	message.result = memory_hand_out(server, session, asked->arena, asked->generation, &memory, &writable);
	if (message.result < 0)
		return say(session, &message, NULL, 0);
	message.size = server->arenas[asked->arena]->size;
	message.count = writable;
	rc = say_with(session, &message, &memory, 1);
	os_handle_close(memory);
	/* Other clients leave theirs lying, or the system is full: that is no fault of this one's. */
	return rc == message.result ? 0 : rc;
}

void session_message(struct stoa_server *server, struct server_session *session)
{
	struct store_message message;
	size_t length;
	unsigned passed;
	int rc = os_local_receive(session->socket, &message, sizeof(message), &length, NULL, 0, &passed);

	if (rc == -STOA_EBUSY || rc == -STOA_ENOMEM) /* it stays there until there is memory for it */
		return;
	if (rc == 0 && (length != sizeof(message) || !store_message_is_marked(&message)))
		rc = -STOA_EFORMAT;
	if (rc == 0 && message.kind == STORE_HELLO && !session->greeted && !session->turn.number)
		rc = welcome(server, session, &message);
	else if (rc == 0 && message.kind == STORE_ASK_ARENA && session->greeted)
		rc = hand_out(server, session, &message);
	else if (rc == 0 && message.kind == STORE_ASK_REPORT && session->greeted)
		rc = report_answer(server, session, &message);
	else if (rc == 0)
		rc = -STOA_EFORMAT;
	if (rc < 0)
		session_end(server, session);
}

void session_greet_again(struct stoa_server *server, struct server_session *session)
{
	struct store_message hello = session->hello;

	if (welcome(server, session, &hello) < 0)
		session_end(server, session);
}

static void close_handle(struct stoa_server *server, os_handle handle, bool polled)
{
	if (handle == OS_NO_HANDLE)
		return;
	if (polled)
		os_poller_remove(server->poller, handle);
	os_handle_close(handle);
}

static void drop_memory(struct stoa_server *server, os_handle memory, void *address, uint64_t length)
{
	os_handle_close(memory);
	if (!address)
		return;
	os_unmap(address, length);
	memory_returned(server, length);
}

static void leave_telling(struct stoa_server *server, const struct server_session *session)
{
	struct server_session **link = &server->telling;

	while (*link && *link != session)
		link = &(*link)->next_telling;
	if (*link)
		*link = session->next_telling;
}

void session_end(struct stoa_server *server, struct server_session *session)
{
	server->sessions[session->number] = NULL;
	spill_end_turn(server, &session->turn);
	if (!server->leaving) {
		store_rlx(&session->record->key, 0);
		keep_drop_session(server, session);
		waiting_end(server, session);
		if (!MUTANT(DRAFTS_STAY))
			object_abort_all(server, session, 0);
		if (!MUTANT(REGIONS_STAY))
			object_end_regions(server, session);
		memory_drop_coming(server, &session->coming);
		memory_orphan(server, session);
		if (session->greeted)
			add_rlx(&server->header->sessions, UINT64_MAX);
	}
	if (session->own)
		account_refund(server, NULL, session->peer.user, session->own);
	events_end(server, session);
	leave_telling(server, session);
	close_handle(server, session->socket, true);
	close_handle(server, session->bell, true);
	close_handle(server, session->client_bell, false);
	drop_memory(server, session->memory, session->shared, session_length(session));
	drop_memory(server, session->leases_memory, session->leases, leases_length(session));
	os_free(session->seen);
	os_free(session);
}

/* ---- requests ---- */

bool session_has_work(const struct stoa_server *server, const struct server_session *session)
{
	if (CC_UNLIKELY(session->subscription != NULL))
		return events_to_list(session);
	/* Its next request has been looked at, and nothing has changed since. */
	if (session->turn.number && session->turn.rooms == server->rooms)
		return false;
	return session->greeted && load_rlx(&session->shared->tail) != session->head;
}

/* The number of bytes that follow for `op`. */
static bool has_data(uint16_t op)
{
	return op == STORE_OP_PUT;
}

/* Are the lengths of a request's parts what they must be? */
static bool parts_fit(const struct store_request *head)
{
	uint64_t before = sizeof(*head) + (uint64_t)head->id_length + head->meta_length;
	bool wants_id = head->op == STORE_OP_PUT || head->op == STORE_OP_CREATE || head->op == STORE_OP_DELETE ||
			head->op == STORE_OP_WAIT || head->op == STORE_OP_MARK || head->op == STORE_OP_FETCH;

	if (head->id_length > STOA_ID_MAX || head->meta_length > STOA_META_MAX || before > head->length)
		return false;
	/* The prefix of all ids has no bytes. */
	if (wants_id != (head->id_length != 0) && head->op != STORE_OP_SUBSCRIBE)
		return false;
	if (has_data(head->op))
		return head->size <= SESSION_COPY_MAX && head->length - before == head->size;
	return head->length == before;
}

/* How far requests have been read, ahead of what has been done. */
struct reader {
	uint64_t head, serial;
	uint64_t there; /* bytes of requests from `head` on, as the client says */
};

/* Copy and check the next request, and go on behind it. false: it is none. */
static bool read_request(const struct server_session *session, struct reader *reader, struct server_request *ret)
{
	uint64_t at = reader->head % session->ring_size, to_end = session->ring_size - at;
	struct store_request *head = &ret->head;

	memcpy(head, session->ring + at, sizeof(*head));
	ret->record = session->ring + at;
	ret->taken = store_line_up(head->length);
	if (head->op == STORE_OP_SKIP) {
		if (head->length != to_end || to_end > reader->there)
			return false;
	} else {
		if (head->length < sizeof(*head) || head->length > STORE_REQUEST_MAX || ret->taken > reader->there ||
		    ret->taken > to_end || !parts_fit(head) || head->serial <= reader->serial)
			return false;
		ret->meta = session->ring + at + sizeof(*head) + head->id_length;
		ret->data = ret->meta + head->meta_length;
		memcpy(ret->id, session->ring + at + sizeof(*head), head->id_length);
		reader->serial = head->serial;
	}
	reader->head += ret->taken;
	reader->there -= ret->taken;
	return true;
}

/* Read some, and have what they will look at come from memory meanwhile. */
static unsigned read_ahead(const struct stoa_server *server, const struct server_session *session,
			   struct reader *reader, struct server_request requests[READ_AHEAD])
{
	const struct store_bucket *homes[READ_AHEAD];
	unsigned count = 0, known = 0;

	while (count < READ_AHEAD && reader->there && read_request(session, reader, &requests[count])) {
		const struct server_request *request = &requests[count++];

		if (request->head.op != STORE_OP_SKIP && request->head.id_length)
			homes[known++] = directory_home(&server->book, request->id, request->head.id_length);
	}
	/* One after the other, so that the processor looks for all the pages at the same time. */
	while (known)
		cc_prefetch_write(homes[--known]);
	for (unsigned i = 0; i < count; i++)
		cc_prefetch_write(&session->shared->completions[(session->completed + i) % SESSION_COMPLETIONS]);
	return count;
}

void session_complete(struct server_session *session, const struct store_completion *completion)
{
	session->shared->completions[session->completed % SESSION_COMPLETIONS] = *completion;
	session->completed++;
	cc_compiler_barrier();
	/* For a successor, which so never tells less than the client has seen. */
	store_rlx(&session->record->completed, session->completed);
	session->tell = true;
}

/* Several at a time: the client looks at the count all the while, and each change of it takes the line from there and back. */
static void session_publish(const struct server_session *session)
{
	store_rel(&session->shared->completed, session->completed); /* R1: all so far; pairs with A2 in call.c */
	if (CC_UNLIKELY(session->subscription != NULL))
		events_publish(session);
}

void session_tell(struct server_session *session)
{
	if (!session->tell)
		return;
	session->tell = false;
	session_publish(session);
	fence_seq(); /* Q9: what was told, then the look; pairs with Q8 in call.c */
	if (load_rlx(&session->shared->waiting))
		os_bell_ring(session->client_bell);
}

void session_tell_later(struct stoa_server *server, struct server_session *session)
{
	session->tell = true;
	if (session->tell_later)
		return;
	session->tell_later = true;
	session->next_telling = server->telling;
	server->telling = session;
}

void session_tell_all(struct stoa_server *server)
{
	while (server->telling) {
		struct server_session *session = server->telling;

		server->telling = session->next_telling;
		session->tell_later = false;
		session_tell(session);
	}
}

/* The bytes of the next request come from the client's cache while this one is done. */
static void expect(const struct server_request *request)
{
	for (uint64_t at = 0; at < request->taken && at < EXPECT_MAX; at += STORE_LINE)
		cc_prefetch(request->record + at);
}

/* false: it is not done yet, and stays at the head. */
static bool do_request(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint64_t before = session->serial;

	if (request->head.op != STORE_OP_SKIP) {
		session->serial = request->head.serial;
		if (MUTANT(DONE_BEFORE_TOLD))
			journal_done(session->record, session->serial, session->head + request->taken);
		if (!request_execute(server, session, request)) {
			session->serial = before;
			return false;
		}
	}
	session->head += request->taken;
	journal_done(session->record, session->serial, session->head);
	return true;
}

unsigned session_work(struct stoa_server *server, struct server_session *session)
{
	/* A4: the records before it; pairs with R3 in call.c */
	uint64_t tail = load_acq(&session->shared->tail);
	struct reader reader = {session->head, session->serial, tail - session->head};
	struct server_request requests[READ_AHEAD];
	unsigned done = 0, count = 1;
	bool whole = true;

	if (CC_UNLIKELY(session->subscription != NULL))
		return events_list(server, session);
	if (reader.there > session->ring_size || reader.there % STORE_LINE)
		count = 0;
	server->date = os_date();
	while (count && whole && session->head != tail && done < SERVER_BATCH && !session->subscription) {
		count = read_ahead(server, session, &reader, requests);
		for (unsigned i = 0; i < count && whole; i++) {
			if (i + 1 < count)
				expect(&requests[i + 1]);
			whole = do_request(server, session, &requests[i]);
			if (CC_UNLIKELY(session->subscription != NULL))
				break; /* from here on the ring is the server's */
		}
		done += count;
		/* First: who sees its put done, and looks for what others are told of it, finds that. */
		for (const struct server_session *other = server->telling; other; other = other->next_telling)
			session_publish(other);
		session_publish(session);
	}
	if (!count) {
		session_end(server, session);
		return done + 1;
	}
	store_rel(&session->shared->head, session->head); /* R2: their bytes are used; pairs with A3 in call.c */
	session->tell = true;
	session_tell(session);
	return done;
}

/* ---- after a dead server ---- */

/* Map memory that a dead server left, if it is exactly as long as it must be. */
static int map_adopted(struct stoa_server *server, os_handle memory, uint64_t length, void **ret_address)
{
	struct os_memory_info info;
	int rc = os_memory_info(memory, &info);

	if (rc < 0)
		return rc;
	if (info.length != length || !(info.seals & OS_SEAL_SHRINK))
		return error_set(-STOA_EFORMAT, "a session's memory is not as long as it was");
	rc = os_map(memory, 0, length, OS_READ | OS_WRITE, ret_address);
	if (rc == 0)
		server->committed += length;
	return rc;
}

/* Killed between noting that a request was done and moving on: it is still at the head. */
static void pass_done(struct server_session *session)
{
	struct reader reader = {session->head, session->serial - 1, load_rlx(&session->shared->tail) - session->head};
	struct server_request request;

	if (!reader.there || reader.there > session->ring_size || reader.there % STORE_LINE || !session->serial)
		return;
	if (read_request(session, &reader, &request) && request.head.op != STORE_OP_SKIP &&
	    request.head.serial == session->serial)
		session->head = reader.head;
}

static int map_session_memory(struct stoa_server *server, struct server_session *session)
{
	void *address;
	int rc = map_adopted(server, session->memory, session_length(session), &address);

	if (rc < 0)
		return rc;
	session->shared = address;
	session->ring = (unsigned char *)(session->shared + 1);
	rc = map_adopted(server, session->leases_memory, leases_length(session), &address);
	if (rc == 0)
		session->leases = address;
	return rc;
}

int session_adopt(struct stoa_server *server, uint32_t number, const os_handle parts[KEEP_PARTS])
{
	struct server_session *session = os_allocate(sizeof(*session));
	const struct journal_session *record = &server->journal->session[number];
	int rc;

	if (!session) {
		for (unsigned i = 0; i < KEEP_PARTS; i++)
			os_handle_close(parts[i]);
		return -STOA_ENOMEM;
	}
	*session = (struct server_session){.number = number,
					   .greeted = true,
					   .socket = parts[0],
					   .memory = parts[1],
					   .leases_memory = parts[2],
					   .bell = parts[3],
					   .client_bell = parts[4],
					   .key = load_rlx(&record->key),
					   .head = load_rlx(&record->head),
					   .completed = load_rlx(&record->completed),
					   .serial = load_rlx(&record->serial),
					   .ring_size = record->ring_size,
					   .lines = record->lines};
	enlist(server, session);
	rc = os_local_peer(session->socket, &session->peer);
	if (rc == 0 &&
	    (session->ring_size != SESSION_RING_DEFAULT || !session->lines || session->lines > LEASE_LINES_MAX))
		rc = error_set(-STOA_EFORMAT, "a session's record is damaged");
	if (rc == 0)
		rc = map_session_memory(server, session);
	/* It has it already; so whatever the limit is now. */
	if (rc == 0 && !account_of_user(server, session->peer.user))
		rc = -STOA_ENOMEM;
	if (rc == 0) {
		session->own = session_length(session) + leases_length(session);
		account_of_user(server, session->peer.user)->charged += session->own;
	}
	if (rc == 0)
		rc = events_adopt(server, session);
	if (rc == 0)
		rc = os_poller_add(server->poller, session->socket, number);
	if (rc == 0)
		rc = os_poller_add(server->poller, session->bell, SERVER_KEY_BELL | number);
	if (rc < 0) {
		session->greeted = false; /* it is not counted yet */
		server->leaving = rc != -STOA_EFORMAT;
		session_end(server, session);
		return rc;
	}
	add_rlx(&server->header->sessions, 1);
	if (!session->subscription)
		pass_done(session);
	store_rlx(&session->shared->completed, session->completed);
	store_rlx(&session->shared->head, session->head);
	os_bell_ring(session->client_bell);
	/* Either end of a bell does for both. A client that has gone meanwhile is found out by the poller. */
	if (!load_rlx(&record->welcomed) && !MUTANT(WELCOME_ONCE))
		(void)say_welcome(server, session, session->bell, session->client_bell);
	return 0;
}
