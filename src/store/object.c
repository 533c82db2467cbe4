/* SPDX-License-Identifier: MIT */
/*
 * Objects, on the server: made, sealed, replaced, deleted, freed.
 *
 * Each call changes what clients see with one store: the place of an id, or an entry's state. What is DYING has no place any more; it is
 * freed when a look at all leases, after a barrier on all clients, finds it in none (object_reap()).
 */
#include <store/server.h>

#include <base/error.h>
#include <base/mutant.h>
#include <string.h>

/* ---- who may what; quotas ---- */

bool object_may_read(const struct server_session *session, uint32_t owner, uint32_t access, uint32_t reader)
{
	uint32_t user = session->peer.user;

	if (user == owner || user == 0 || access == STORE_BY_ALL)
		return true;
	return access == STORE_BY_USER ? user == reader
				       : access == STORE_BY_GROUP && os_peer_in_group(&session->peer, reader);
}

static bool may_delete(const struct server_session *session, const struct store_entry *entry)
{
	if (session->peer.user == entry->owner || session->peer.user == 0)
		return true;
	return entry->flags & STOA_OBJECT_SHARED_DELETE &&
	       object_may_read(session, entry->owner, entry->access, entry->reader);
}

/* The account of a user; made when there is none. NULL: no memory. */
static struct server_user *user_account(struct stoa_server *server, uint32_t user)
{
	struct server_user *account = server->users;

	while (account && account->user != user)
		account = account->next;
	if (account)
		return account;
	account = os_allocate(sizeof(*account));
	if (!account)
		return NULL;
	account->user = user;
	account->next = server->users;
	return server->users = account;
}

/* May that be charged? Of the session there is no more question when it has ended. */
static bool may_have(const struct stoa_server *server, const struct server_session *session,
		     const struct server_user *account, uint64_t bytes)
{
	return (!session || bytes <= server->options.client_limit - session->charged) &&
	       bytes <= server->options.user_limit - account->charged;
}

/*
 * To a user, and to the session that made it, if that is still there. What was deleted counts until it is freed; so that is done before
 * anybody is refused.
 */
static int charge_for(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes)
{
	struct server_user *account = user_account(server, user);
	char text[ERROR_SIZE];

	if (!account)
		return -STOA_ENOMEM;
	if (!may_have(server, session, account, bytes))
		(void)object_reap(server);
	if (session && bytes > server->options.client_limit - session->charged)
		return error_set(-STOA_ELIMIT, "a client may have %s", error_size(server->options.client_limit, text));
	if (bytes > server->options.user_limit - account->charged)
		return error_set(-STOA_ELIMIT, "a user's clients may have %s",
				 error_size(server->options.user_limit, text));
	if (session)
		session->charged += bytes;
	account->charged += bytes;
	return 0;
}

static int charge(struct stoa_server *server, struct server_session *session, uint64_t bytes)
{
	return charge_for(server, session, session->peer.user, bytes);
}

#define TAG_BITS 12

uint32_t object_session_tag(const struct server_session *session)
{
	return (uint32_t)session->key << TAG_BITS | session->number;
}

static struct server_session *maker_of(const struct stoa_server *server, const struct store_entry *entry)
{
	uint32_t number = entry->session & ((1u << TAG_BITS) - 1);
	struct server_session *session = number < server->options.clients ? server->sessions[number] : NULL;

	return session && object_session_tag(session) == entry->session ? session : NULL;
}

static void discharge(struct stoa_server *server, struct server_session *session, uint32_t user, uint64_t bytes)
{
	/* A session of the same tag, a million sessions later, has not been charged for it. */
	if (session)
		session->charged -= bytes < session->charged ? bytes : session->charged;
	user_account(server, user)->charged -= bytes;
}

/* ---- freeing ---- */

static struct store_entry *entry_of(const struct stoa_server *server, uint32_t entry)
{
	return &server->book.directory.entries[entry];
}

/* Room for one more of the dying, before anything is changed: that it is noted cannot fail later. */
static int make_dying_room(struct stoa_server *server)
{
	uint32_t room = server->dying_room ? server->dying_room * 2 : 1024, *more;

	if (server->dying_count < server->dying_room)
		return 0;
	more = os_allocate(room * sizeof(*more));
	if (!more)
		return -STOA_ENOMEM;
	if (server->dying_count)
		memcpy(more, server->dying, server->dying_count * sizeof(*more));
	os_free(server->dying);
	server->dying = more;
	server->dying_room = room;
	return 0;
}

/* What an entry is charged for. */
static uint64_t charge_of(const struct store_entry *entry)
{
	return entry->kind == STORE_REGION ? load_rlx(&entry->size) : entry->extent;
}

/* Its entry and bytes come back: nobody has or gets it. */
static void free_object(struct stoa_server *server, uint32_t number)
{
	struct store_entry *entry = entry_of(server, number);
	struct server_arena *arena = server->arenas[entry->arena];
	uint64_t offset = entry->offset, extent = entry->extent;

	discharge(server, maker_of(server, entry), entry->owner, charge_of(entry));
	directory_free(&server->book, number);
	memory_give(server, arena, offset, extent);
}

/* It is not found any more; who holds it keeps it. There is room among the dying. */
static void end_object(struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = entry_of(server, number);
	struct server_session *maker = maker_of(server, entry);

	if (maker && entry->kind == STORE_REGION && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP))
		maker->regions--;
	directory_set_state(&server->book, number, STORE_DYING);
	directory_remove(&server->book, number);
	server->dying[server->dying_count++] = number;
	server_count(&server->header->objects, UINT64_MAX);
}

/* Leases are their client's to write. Of what it may not read it holds nothing, so it cannot keep that from being freed. */
bool object_may_hold(const struct stoa_server *server, const struct server_session *session, uint32_t number,
		     uint64_t generation)
{
	const struct store_entry *entry = entry_of(server, number);

	return generation == store_generation_of(load_rlx(&entry->state)) &&
	       object_may_read(session, entry->owner, entry->access, entry->reader);
}

struct look {
	struct stoa_server *server;
	const struct server_session *session; /* whose leases */
	uint32_t *found;                      /* entries whose bit was set */
	uint32_t count;
};

static void note_lease(void *argument, uint32_t number, uint64_t generation, bool in_use)
{
	struct look *look = argument;
	uint64_t *word = &look->server->held[number / 64], bit = UINT64_C(1) << number % 64;

	if (!in_use || *word & bit || !object_may_hold(look->server, look->session, number, generation))
		return;
	*word |= bit;
	look->found[look->count++] = number;
}

/* All leases there can be. */
static uint64_t lease_count(const struct stoa_server *server)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < server->session_count; i++)
		if (server->sessions[i])
			count += (uint64_t)server->sessions[i]->lines * LEASES_PER_LINE;
	return count;
}

bool object_reap(struct stoa_server *server)
{
	struct look look = {.server = server};
	uint32_t kept = 0, before = server->dying_count;

	if (!before)
		return false;
	look.found = os_allocate((size_t)(lease_count(server) + 1) * sizeof(*look.found));
	if (!look.found)
		return false;
	/* They are DYING, then the leases; pairs with order() in lease_take() */
	if (!lease_barrier(&server->header->fences)) {
		os_free(look.found);
		return false;
	}
	for (uint32_t i = 0; i < server->session_count; i++) {
		look.session = server->sessions[i];
		if (look.session && look.session->leases)
			lease_scan(look.session->leases, look.session->lines, server->book.entries.reached, note_lease,
				   &look);
	}
	for (uint32_t i = 0; i < before; i++) {
		uint32_t number = server->dying[i];

		if (server->held[number / 64] >> number % 64 & 1)
			server->dying[kept++] = number;
		else
			free_object(server, number);
	}
	server->dying_count = kept;
	while (look.count) {
		uint32_t number = look.found[--look.count];

		server->held[number / 64] &= ~(UINT64_C(1) << number % 64);
	}
	os_free(look.found);
	return kept != before;
}

int object_end(struct stoa_server *server, uint32_t number)
{
	int rc = make_dying_room(server);

	if (rc == 0)
		end_object(server, number);
	return rc;
}

struct search {
	uint32_t number;
	uint64_t generation;
	bool found;
};

static void compare_lease(void *argument, uint32_t number, uint64_t generation, bool in_use)
{
	struct search *search = argument;

	search->found = search->found || (in_use && number == search->number && generation == search->generation);
}

bool object_is_held(const struct stoa_server *server, uint32_t number)
{
	struct search search = {number, store_generation_of(load_rlx(&entry_of(server, number)->state)), false};

	for (uint32_t i = 0; i < server->session_count && !search.found; i++)
		if (server->sessions[i] && server->sessions[i]->leases)
			lease_scan(server->sessions[i]->leases, server->sessions[i]->lines,
				   server->book.directory.shape.entries, compare_lease, &search);
	return search.found;
}

/* ---- making ---- */

int object_find(const struct stoa_server *server, const struct server_request *request, uint32_t *ret_entry)
{
	uint32_t entry = directory_lookup(&server->book, request->id, request->head.id_length);

	if (!entry || store_state_of(load_rlx(&entry_of(server, entry)->state)) != STORE_SEALED)
		return -STOA_ENOENT;
	*ret_entry = entry;
	return 0;
}

/* May there be a new object of that id, which is to be `entry`'s (0: of none yet)? *ret_old: the one it would replace; 0: none. */
static int may_make(struct stoa_server *server, const struct server_session *session, const uint8_t *id,
		    uint32_t id_length, uint32_t entry, uint32_t flags, uint32_t *ret_old)
{
	*ret_old = directory_lookup(&server->book, id, id_length);
	if (*ret_old == entry)
		*ret_old = 0;
	if (!*ret_old)
		return 0;
	/* One that is followed is its maker's as long as it is made. */
	if (!(flags & STOA_OBJECT_REPLACE) ||
	    store_state_of(load_rlx(&entry_of(server, *ret_old)->state)) != STORE_SEALED)
		return -STOA_EEXIST;
	if (!may_delete(session, entry_of(server, *ret_old)))
		return -STOA_EACCES;
	return make_dying_room(server);
}

static struct server_class class_of(const struct server_session *session, const struct store_request *head)
{
	return (struct server_class){
		.kind = head->kind,
		.owner = session->peer.user,
		.access = head->access,
		.reader = head->access == STORE_BY_USER || head->access == STORE_BY_GROUP ? head->reader : 0,
		.writer = head->kind == STORE_IMMUTABLE ? 0 : session->key};
}

static void describe_entry(const struct stoa_server *server, const struct server_session *session,
			   const struct store_request *head, const struct server_arena *arena,
			   struct store_entry *fields)
{
	fields->arena = arena->number;
	store_rlx(&fields->size, fields->room);
	fields->owner = arena->class.owner;
	fields->access = arena->class.access;
	fields->reader = arena->class.reader;
	store_rlx(&fields->flags, head->flags);
	fields->session = object_session_tag(session);
	fields->serial = head->serial;
	fields->made = server->date;
}

/* An entry of the directory. What was deleted has its entries until it is freed; so that is done before anybody is refused. */
static int enter_directory(struct stoa_server *server, const struct server_request *request,
			   const struct store_entry *fields, uint32_t *ret_entry)
{
	int rc;

	do
		rc = directory_enter(&server->book, request->id, request->head.id_length, fields, ret_entry);
	while ((rc == -STOA_ENOMEM || rc == -STOA_ELIMIT) && (object_reap(server) || object_evict(server)));
	return rc;
}

/* Room and an entry for what is asked for, WRITING. */
static int enter(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		 uint32_t *ret_entry)
{
	const struct store_request *head = &request->head;
	struct server_class class = class_of(session, head);
	uint64_t meta_length = head->op == STORE_OP_CREATE ? head->of : head->meta_length;
	struct store_entry fields = {.kind = head->kind, .meta_length = (uint16_t)meta_length};
	struct server_arena *arena;
	int rc;

	if (meta_length > STOA_META_MAX)
		return -STOA_EINVAL;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	fields.extent = store_extent(head->size, fields.meta_length);
	if (head->kind == STORE_OWN) /* so that what it costs is charged */
		fields.extent = (fields.extent + OS_PAGE - 1) & ~(OS_PAGE - 1);
	rc = charge(server, session, fields.extent);
	if (rc < 0)
		return rc;
	rc = memory_take(server, &class, fields.extent, &arena, &fields.offset);
	if (rc < 0)
		goto refund;
	fields.room = head->size;
	describe_entry(server, session, head, arena, &fields);
	rc = enter_directory(server, request, &fields, ret_entry);
	if (rc == 0)
		return 0;
	memory_give(server, arena, fields.offset, fields.extent);
refund:
	discharge(server, session, session->peer.user, fields.extent);
	return rc;
}

/* The entry is complete: it gets its id's place, which `old` has. On failure it is still WRITING. */
static int publish(struct stoa_server *server, uint32_t number, uint32_t old, uint64_t size)
{
	uint32_t length;
	const uint8_t *id;
	int rc = 0;

	/* What was placed by a server that died before it was sealed has its place. */
	if (!old && !directory_has_place(&server->book, number))
		rc = directory_place(&server->book, number);
	if (rc < 0)
		return rc;
	directory_seal(&server->book, number, size);
	if (old)
		directory_hand_over(&server->book, old, number);
	directory_set_flags(&server->book, number, entry_of(server, number)->flags & ~STOA_OBJECT_REPLACE);
	evict_used(server, number);
	server_count(&server->header->objects, 1);
	server_count(&server->header->puts, 1);
	if (old)
		end_object(server, old);
	id = directory_id(&server->book, number, &length);
	waiting_sealed(server, id, length);
	return 0;
}

void object_describe(const struct stoa_server *server, uint32_t number, struct store_completion *ret)
{
	const struct store_entry *entry = entry_of(server, number);

	ret->entry = number;
	ret->state = load_rlx(&entry->state);
	ret->arena = entry->arena;
	ret->offset = entry->offset;
	ret->size = load_rlx(&server->book.directory.arenas[entry->arena].generation);
}

static void fill_extent(struct stoa_server *server, uint32_t number, const struct server_request *request)
{
	const struct store_entry *entry = entry_of(server, number);
	unsigned char *at = server->arenas[entry->arena]->address + entry->offset;
	struct store_tail *tail;

	memcpy(at, request->data, request->head.size);
	at += store_line_up(request->head.size);
	memcpy(at, request->meta, request->head.meta_length);
	tail = (struct store_tail *)(void *)(at + store_line_up(request->head.meta_length));
	store_rlx(&tail->length, request->head.size);
}

int object_put(struct stoa_server *server, struct server_session *session, const struct server_request *request,
	       struct store_completion *ret)
{
	uint32_t number, old;
	int rc = may_make(server, session, request->id, request->head.id_length, 0, request->head.flags, &old);

	if (rc == 0)
		rc = enter(server, session, request, &number);
	if (rc < 0)
		return rc;
	/* Room for it may have been made of the one that it replaces. */
	if (old)
		old = directory_lookup(&server->book, request->id, request->head.id_length);
	rc = old ? make_dying_room(server) : 0;
	if (rc == 0) {
		fill_extent(server, number, request);
		rc = publish(server, number, old, request->head.size);
	}
	if (rc < 0) {
		directory_set_state(&server->book, number, STORE_DYING);
		free_object(server, number);
		return rc;
	}
	object_describe(server, number, ret);
	return 0;
}

int object_create(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		  struct store_completion *ret)
{
	uint32_t number, old;
	int rc = may_make(server, session, request->id, request->head.id_length, 0, request->head.flags, &old);

	if (rc == 0 && session->draft_count == SERVER_DRAFTS)
		rc = error_set(-STOA_ELIMIT, "a client may make %u objects at a time", SERVER_DRAFTS);
	if (rc == 0)
		rc = enter(server, session, request, &number);
	if (rc < 0)
		return rc;
	/* So that it is found while it is made. */
	if (request->head.flags & STOA_OBJECT_FOLLOWED)
		rc = directory_place(&server->book, number);
	if (rc < 0) {
		directory_set_state(&server->book, number, STORE_DYING);
		free_object(server, number);
		return rc;
	}
	session->drafts[session->draft_count++] = number;
	object_describe(server, number, ret);
	if (request->head.flags & STOA_OBJECT_FOLLOWED)
		waiting_sealed(server, request->id, request->head.id_length);
	return 0;
}

/* It is none any more. */
static void forget_draft(struct server_session *session, uint32_t number)
{
	for (uint32_t i = 0; i < session->draft_count; i++)
		if (session->drafts[i] == number) {
			session->drafts[i] = session->drafts[--session->draft_count];
			return;
		}
}

/* Is that an entry which the session makes? */
static bool is_draft(const struct stoa_server *server, const struct server_session *session, uint32_t number,
		     uint64_t state)
{
	const struct store_entry *entry;

	if (!number || number >= server->book.entries.reached || store_state_of(state) != STORE_WRITING)
		return false;
	entry = entry_of(server, number);
	return load_rlx(&entry->state) == state && entry->session == object_session_tag(session);
}

int object_abort(struct stoa_server *server, struct server_session *session, uint32_t number, uint64_t state)
{
	bool followed;

	if (!is_draft(server, session, number, state))
		return -STOA_ENOENT;
	followed = directory_has_place(&server->book, number);
	if (followed && make_dying_room(server) < 0)
		return -STOA_ENOMEM;
	forget_draft(session, number);
	journal_change(server->journal, number, state);
	directory_set_state(&server->book, number, STORE_DYING);
	if (followed) { /* somebody may hold it */
		directory_remove(&server->book, number);
		server->dying[server->dying_count++] = number;
	} else {
		free_object(server, number);
	}
	return 0;
}

int object_seal(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	const struct store_request *head = &request->head;
	struct store_entry *entry;
	const uint8_t *id;
	uint32_t length, old;
	int rc;

	if (!is_draft(server, session, head->entry, head->state))
		return -STOA_ENOENT;
	entry = entry_of(server, head->entry);
	if (head->size > entry->room)
		return -STOA_ERANGE;
	id = directory_id(&server->book, head->entry, &length);
	rc = may_make(server, session, id, length, head->entry, entry->flags, &old);
	if (rc == 0 && entry->kind == STORE_OWN)
		rc = memory_seal(server, server->arenas[entry->arena]);
	if (rc == 0) {
		journal_change(server->journal, head->entry, head->state);
		rc = publish(server, head->entry, old, head->size);
	}
	if (rc == 0)
		forget_draft(session, head->entry);
	else if (rc == -STOA_EEXIST || rc == -STOA_EACCES) /* it never can be; else its maker may try again */
		(void)object_abort(server, session, head->entry, head->state);
	return rc;
}

void object_abort_all(struct stoa_server *server, struct server_session *session, uint64_t serial)
{
	for (uint32_t i = session->draft_count; i--;) {
		const struct store_entry *entry = entry_of(server, session->drafts[i]);

		if (!serial || entry->serial == serial)
			(void)object_abort(server, session, session->drafts[i], load_rlx(&entry->state));
	}
}

/* ---- memory that is no object ---- */

int object_allocate(struct stoa_server *server, struct server_session *session, const struct server_request *request,
		    struct store_completion *ret)
{
	const struct store_request *head = &request->head;
	struct server_class class = class_of(session, head);
	struct store_entry fields = {.kind = STORE_REGION, .room = head->of, .extent = head->of};
	struct server_arena *arena;
	uint32_t number, old;
	int rc = may_make(server, session, request->id, head->id_length, 0, 0, &old);

	if (rc < 0)
		return rc;
	if (!head->size || head->size > head->of || head->of > STOA_MANAGER_RESERVE_MAX ||
	    (head->size | head->of) % OS_PAGE)
		return -STOA_EINVAL;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	rc = make_dying_room(server);
	if (rc == 0)
		rc = charge(server, session, head->size);
	if (rc < 0)
		return rc;
	rc = memory_take_region(server, &class, head->size, head->of, &arena);
	if (rc < 0)
		goto refund;
	arena->writable = head->flags & STORE_WRITABLE;
	describe_entry(server, session, head, arena, &fields);
	store_rlx(&fields.size, head->size); /* what is committed, and charged, from the beginning */
	rc = enter_directory(server, request, &fields, &number);
	if (rc < 0) {
		memory_give(server, arena, 0, head->of);
		goto refund;
	}
	rc = publish(server, number, 0, head->size);
	if (rc < 0) {
		directory_set_state(&server->book, number, STORE_DYING);
		free_object(server, number);
		return rc;
	}
	if (!(head->flags & STOA_ALLOCATION_KEEP))
		session->regions++;
	object_describe(server, number, ret);
	return 0;
refund:
	discharge(server, session, session->peer.user, head->size);
	return rc;
}

int object_grow(struct stoa_server *server, struct server_session *session, const struct store_request *head)
{
	struct store_entry *entry;
	struct server_arena *arena;
	uint64_t more;
	int rc;

	if (!head->entry || head->entry >= server->book.entries.reached)
		return -STOA_ENOENT;
	entry = entry_of(server, head->entry);
	if (load_rlx(&entry->state) != head->state || store_state_of(head->state) != STORE_SEALED)
		return -STOA_ENOENT;
	arena = server->arenas[entry->arena];
	if (entry->kind != STORE_REGION || head->size > entry->room || head->size % OS_PAGE)
		return -STOA_EINVAL;
	if (arena->class.writer != session->key &&
	    !(arena->writable && object_may_read(session, entry->owner, entry->access, entry->reader)))
		return -STOA_ERIGHTS;
	if (head->size <= load_rlx(&entry->size))
		return 0;
	if (head->size > server->options.limit)
		return -STOA_ERANGE;
	more = head->size - load_rlx(&entry->size);
	rc = charge_for(server, maker_of(server, entry), entry->owner, more);
	if (rc < 0)
		return rc;
	rc = memory_grow(server, arena, head->size);
	if (rc < 0)
		discharge(server, maker_of(server, entry), entry->owner, more);
	else
		directory_grow(&server->book, head->entry, head->size);
	return rc;
}

void object_end_regions(struct stoa_server *server, struct server_session *session)
{
	uint32_t tag = object_session_tag(session);

	for (uint32_t i = 1; session->regions && i < server->book.entries.reached; i++) {
		const struct store_entry *entry = entry_of(server, i);

		if (store_state_of(load_rlx(&entry->state)) == STORE_SEALED && entry->kind == STORE_REGION &&
		    entry->session == tag && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP) &&
		    make_dying_room(server) == 0)
			end_object(server, i);
	}
}

int object_mark(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint32_t number;
	int rc = object_find(server, request, &number);

	if (rc == 0 && !may_delete(session, entry_of(server, number)))
		rc = -STOA_EACCES;
	if (rc == 0 && request->head.flags & ~STOA_OBJECT_PINNED)
		rc = -STOA_EINVAL;
	if (rc == 0)
		directory_set_flags(&server->book, number,
				    (load_rlx(&entry_of(server, number)->flags) & ~STOA_OBJECT_PINNED) |
					    request->head.flags);
	return rc;
}

int object_delete(struct stoa_server *server, struct server_session *session, const struct server_request *request)
{
	uint32_t number;
	int rc = object_find(server, request, &number);

	/* Who names an entry means that one, not what has its id since. */
	if (rc == 0 && request->head.entry &&
	    (request->head.entry != number || request->head.state != load_rlx(&entry_of(server, number)->state)))
		rc = -STOA_ENOENT;
	if (rc == 0 && !may_delete(session, entry_of(server, number)))
		rc = -STOA_EACCES;
	if (rc == 0)
		rc = make_dying_room(server);
	if (rc < 0)
		return rc;
	journal_change(server->journal, number, load_rlx(&entry_of(server, number)->state));
	end_object(server, number);
	server_count(&server->header->deletes, 1);
	return 0;
}

/* ---- after a dead server ---- */

/* Its bytes cannot be told from others', or are gone: it never was. */
static void drop_adopted(struct stoa_server *server, uint32_t number)
{
	directory_set_state(&server->book, number, STORE_DYING);
	directory_remove(&server->book, number);
	directory_free(&server->book, number);
}

/* Its extent is marked as its own in the arena's book. */
static int mark_adopted(struct stoa_server *server, const struct store_entry *entry)
{
	struct server_arena *arena = server->arenas[entry->arena];
	int rc = arena ? 0 : -STOA_EFORMAT;

	if (rc == 0 && arena->heap)
		rc = store_heap_mark(arena->heap, entry->offset, entry->extent);
	else if (rc == 0 && (arena->objects || entry->extent > arena->size))
		rc = -STOA_EFORMAT;
	if (rc == 0)
		arena->objects++;
	return rc;
}

/* One that is being made: it goes on if its maker lives, and is not the server itself. */
static bool goes_on(struct stoa_server *server, const struct store_entry *entry, uint32_t number)
{
	struct server_session *session = maker_of(server, entry);

	if (!session || (entry->kind != STORE_PRIVATE && entry->kind != STORE_OWN) ||
	    session->draft_count == SERVER_DRAFTS)
		return false;
	session->drafts[session->draft_count++] = number;
	return true;
}

static bool was_being_made(const struct stoa_server *server, const struct store_entry *entry)
{
	const struct server_session *session = maker_of(server, entry);

	return session && session->key == server->redo.key && entry->serial == server->redo.serial;
}

/* Is it what a dead server had sealed, but had not given the place of the one that it replaces? */
static bool was_left(const struct stoa_server *server, const struct store_entry *entry, uint32_t number)
{
	const struct server_session *session = maker_of(server, entry);
	uint64_t state = load_rlx(&entry->state);

	if (!session || session->key != server->redo.key || store_state_of(state) != STORE_SEALED ||
	    MUTANT(LEFT_DROPPED))
		return false;
	return entry->serial == server->redo.serial ||
	       (number == server->redo.entry &&
		server->redo.state == store_state_word(store_generation_of(state), STORE_WRITING));
}

/* Memory that goes with its maker, who is gone? */
static bool is_orphan(const struct store_entry *entry, const struct server_session *maker)
{
	return entry->kind == STORE_REGION && !maker && !(load_rlx(&entry->flags) & STOA_ALLOCATION_KEEP);
}

static void adopt_region(struct stoa_server *server, const struct store_entry *entry, struct server_session *maker)
{
	uint32_t flags = load_rlx(&entry->flags);

	if (entry->kind != STORE_REGION)
		return;
	server->arenas[entry->arena]->writable = flags & STORE_WRITABLE;
	memory_adopt_region(server->arenas[entry->arena], load_rlx(&entry->size));
	if (maker && store_state_of(load_rlx(&entry->state)) == STORE_SEALED && !(flags & STOA_ALLOCATION_KEEP))
		maker->regions++;
}

int object_adopt(struct stoa_server *server, uint32_t number, enum directory_finding finding)
{
	const struct store_entry *entry = entry_of(server, number);
	enum store_state state = store_state_of(load_rlx(&entry->state));
	struct server_user *account;
	struct server_session *session;
	int rc;

	if (finding == DIRECTORY_LOST)
		return 0;
	account = user_account(server, entry->owner);
	if (!account || make_dying_room(server) < 0)
		return -STOA_ENOMEM;
	rc = state == STORE_SPILLED ? -STOA_EFORMAT : mark_adopted(server, entry);
	if (rc == -STOA_ENOMEM)
		return rc;
	if (rc < 0) {
		drop_adopted(server, number);
		return 0;
	}
	session = maker_of(server, entry);
	account->charged += charge_of(entry);
	if (session)
		session->charged += charge_of(entry);
	adopt_region(server, entry, session);
	if (is_orphan(entry, session))
		finding = DIRECTORY_LEFT;
	else if (finding == DIRECTORY_LEFT && was_left(server, entry, number)) {
		server->redo.left = number;
		return 0;
	}
	if (finding == DIRECTORY_GOOD &&
	    (state == STORE_SEALED || (state == STORE_WRITING && goes_on(server, entry, number)))) {
		if (was_being_made(server, entry))
			server->redo.made = number;
		if (state == STORE_SEALED)
			server_count(&server->header->objects, 1);
		return 0;
	}
	/* Of those that nobody can hold, too, as the arena's book is not complete yet. */
	directory_set_state(&server->book, number, STORE_DYING);
	directory_remove(&server->book, number);
	server->dying[server->dying_count++] = number;
	return 0;
}

int object_adopted(struct stoa_server *server)
{
	uint32_t number = server->redo.left, old, length;
	const uint8_t *id;
	int rc = number ? make_dying_room(server) : 0;

	if (rc < 0 || !number)
		return rc;
	id = directory_id(&server->book, number, &length);
	old = directory_lookup(&server->book, id, length);
	if (old)
		directory_hand_over(&server->book, old, number);
	else
		rc = directory_place(&server->book, number);
	if (rc < 0)
		return rc;
	directory_set_flags(&server->book, number, entry_of(server, number)->flags & ~STOA_OBJECT_REPLACE);
	server_count(&server->header->objects, 1);
	if (was_being_made(server, entry_of(server, number)))
		server->redo.made = number;
	if (old)
		end_object(server, old);
	return 0;
}
