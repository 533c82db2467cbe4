/* SPDX-License-Identifier: MIT */
/*
 * The server's memory: arenas, and one account of all that is committed, which never passes the limit. Memory is committed before anybody is told of
 * it; so a full machine is an error of the request, and never a signal in a client.
 *
 * Room is made in this order: warm pages that hold nothing go back to the system; what was deleted, and nobody holds any more, is freed;
 * objects are spilled to files, if there is a place for them, and whoever needs the room waits (SERVER_LATER); objects are evicted.
 */
#include <store/object_parts.h>

#include <base/error.h>
#include <inttypes.h>

#define ARENA_MIN (UINT64_C(1) << 30)
#define ARENA_MAX (UINT64_C(1) << 40)
#define ARENA_LIMITS \
	4u /* an arena has addresses for so many times the limit: holes cost nothing, and lack of addresses would */

#define DIRECTORY_STEP (UINT64_C(64) << 10) /* in which the directory grows */
#define STEP_BYTES \
	(UINT64_C(4) << 20) /* that are committed at a time: a millisecond or two, for which others wait at most */

#define SHARED_KEPT 64u /* with so many arenas, those that hold nothing are dropped before another one is made */

static uint64_t pages(uint64_t bytes)
{
	return (bytes + OS_PAGE - 1) & ~(OS_PAGE - 1);
}

struct os_extent memory_extent(const struct server_arena *arena)
{
	return (struct os_extent){.memory = arena->memory,
				  .address = arena->address,
				  .in_memory = true,
				  .cannot_shrink = true,
				  .huge = OS_HUGE_NEVER};
}

void memory_returned(struct stoa_server *server, uint64_t bytes)
{
	server->committed -= bytes;
	store_rlx(&server->header->bytes, server->committed);
	server->room_came = true;
	server->rooms++;
}

/* ---- room ---- */

/* Give free pages of some arena back, `bytes` or less. */
static bool cool(struct stoa_server *server, uint64_t bytes)
{
	for (struct server_arena *arena = server->shared; arena; arena = arena->next) {
		struct os_extent extent = memory_extent(arena);
		uint64_t from, to, cooled;

		if (!store_heap_coolable(arena->heap))
			continue;
		cooled = store_heap_cool(arena->heap, pages(bytes), &from, &to);
		if (!cooled)
			continue;
		/* What cannot be given back stays, and is counted once more when it is committed again. */
		(void)os_discard(&extent, from, to);
		memory_returned(server, cooled);
		return true;
	}
	return false;
}

/* Of the limit. A successor may have been given less than there is. */
static uint64_t left(const struct stoa_server *server)
{
	return server->committed < server->options.limit ? server->options.limit - server->committed : 0;
}

/* A step towards room for `bytes`, of which there is less. */
static int make_some_room(struct stoa_server *server, uint64_t bytes)
{
	char texts[2][ERROR_SIZE];

	if (bytes > server->options.limit)
		return error_set(-STOA_ERANGE, "%s are more than the store's limit of %s", error_size(bytes, texts[0]),
				 error_size(server->options.limit, texts[1]));
	if (cool(server, server->committed + bytes - server->options.limit) || object_reap(server))
		return 0;
	if (spill_some(server, bytes - left(server)))
		return SERVER_LATER;
	if (object_evict(server) || audit_lingering(server, false))
		return 0;
	add_rlx(&server->header->refusals, 1);
	return error_set(-STOA_ENOMEM, "%s more: the store has %s of its limit left", error_size(bytes, texts[0]),
			 error_size(left(server), texts[1]));
}

static int make_room(struct stoa_server *server, uint64_t bytes)
{
	int rc = 0;

	while (rc == 0 && bytes > left(server))
		rc = make_some_room(server, bytes);
	return rc;
}

static void took(struct stoa_server *server, uint64_t bytes)
{
	server->committed += bytes;
	store_rlx(&server->header->bytes, server->committed);
}

int memory_commit(struct stoa_server *server, const struct os_extent *extent, uint64_t from, uint64_t to)
{
	uint64_t done;
	int rc = make_room(server, to - from);

	if (rc == 0)
		rc = os_commit(extent, from, to, &done);
	if (rc == 0)
		took(server, to - from);
	return rc;
}

bool memory_may_fit(const struct stoa_server *server, uint64_t size)
{
	uint64_t there = left(server);

	for (const struct server_arena *arena = server->shared; arena; arena = arena->next)
		there += store_heap_coolable(arena->heap);
	return pages(store_extent(size, STOA_META_MAX)) <= there;
}

/* ---- arenas ---- */

static bool same_class(const struct server_class *a, const struct server_class *b)
{
	return a->kind == b->kind && a->owner == b->owner && a->access == b->access && a->reader == b->reader &&
	       a->writer == b->writer;
}

static void unlink_shared(struct stoa_server *server, const struct server_arena *arena)
{
	struct server_arena **link = &server->shared;

	while (*link && *link != arena)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = arena->next;
	server->shared_count--;
}

void memory_retire(struct stoa_server *server, struct server_arena *arena)
{
	unlink_shared(server, arena);
	account_of_user(server, arena->class.owner)->arenas--;
	if (arena->address)
		os_unmap(arena->address, arena->size);
	arena->address = NULL;
	store_heap_destroy(arena->heap);
	arena->heap = NULL;
	arena->lingers = true;
}

void memory_destroy(struct stoa_server *server, struct server_arena *arena)
{
	uint64_t bytes = arena->heap ? store_heap_committed(arena->heap) : arena->resident;

	unlink_shared(server, arena);
	if (arena->number && !arena->lingers)
		account_of_user(server, arena->class.owner)->arenas--;
	if (arena->number && !server->leaving) {
		uint64_t generation = load_rlx(&server->book.directory.arenas[arena->number].generation);

		server->arenas[arena->number] = NULL;
		server->arena_count--;
		directory_arena_drop(&server->book, arena->number);
		keep_drop_arena(server, arena->number, generation);
	}
	/* Clients may have a map of it still: no pages are to stay in there. */
	if (bytes && (arena->class.kind != STORE_OWN || arena->class.writer) && !server->leaving) {
		struct os_extent extent = memory_extent(arena);

		(void)os_discard(&extent, 0, arena->size);
	}
	if (arena->address)
		os_unmap(arena->address, arena->size);
	if (arena->memory != OS_NO_HANDLE)
		os_handle_close(arena->memory);
	store_heap_destroy(arena->heap);
	os_free(arena);
	if (bytes)
		memory_returned(server, bytes);
}

/* Nothing is in it: it goes, or lingers. */
static void end_arena(struct stoa_server *server, struct server_arena *arena)
{
	if (!audit_linger(server, arena))
		memory_destroy(server, arena);
}

static int enter_arena(struct stoa_server *server, struct server_arena *arena)
{
	struct store_arena fields = {.kind = arena->class.kind,
				     .owner = arena->class.owner,
				     .access = arena->class.access,
				     .reader = arena->class.reader,
				     .size = arena->size,
				     .key = arena->class.writer};
	int rc;

	/* It may need pages of the directory, for which the directory itself makes no room. */
	do
		rc = directory_arena_add(&server->book, &fields, &arena->number);
	while (rc == -STOA_ENOMEM && left(server) < DIRECTORY_STEP &&
	       (rc = make_some_room(server, DIRECTORY_STEP)) == 0);
	if (rc < 0)
		return rc;
	server->arenas[arena->number] = arena;
	server->arena_count++;
	account_of_user(server, arena->class.owner)->arenas++;
	return 0;
}

/* Arenas that hold nothing; of other classes than what is to be made now, as that has none. */
static bool drop_empty(struct stoa_server *server)
{
	struct server_arena *next;
	bool dropped = false;

	for (struct server_arena *arena = server->shared; arena; arena = next) {
		next = arena->next;
		if (arena->objects)
			continue;
		memory_destroy(server, arena);
		dropped = true;
	}
	return dropped;
}

/* May there be another arena, of that user? A part of the descriptors is left for clients, and a part of the rest for other users. */
static int may_create(const struct stoa_server *server, const struct server_user *user)
{
	if (server->arena_count >= os_handles_limit() / 4 * 3)
		return error_set(-STOA_ELIMIT,
				 "the store has %u pieces of memory, and its server may not have more descriptors "
				 "(ulimit -n)",
				 server->arena_count);
	if (user->arenas >= server->options.user_pieces && !account_unbound(user->user))
		return error_set(-STOA_ELIMIT, "a user may have %u pieces of memory", server->options.user_pieces);
	return 0;
}

/* A memory object for an arena. */
static int create_memory(struct stoa_server *server, uint32_t owner, uint64_t size, os_handle *ret_memory)
{
	struct server_user *user = account_of_user(server, owner);
	int rc;

	if (!user)
		return -STOA_ENOMEM;
	do {
		rc = may_create(server, user);
		if (rc == 0)
			rc = os_memory_create(size, 0, ret_memory);
	} while (rc == -STOA_ELIMIT && (drop_empty(server) || object_reap(server) || audit_lingering(server, true)));
	return rc;
}

static int create_arena(struct stoa_server *server, const struct server_class *class, uint64_t size,
			struct server_arena **ret_arena)
{
	struct server_arena *arena = os_allocate(sizeof(*arena));
	void *address = NULL;
	int rc;

	if (!arena)
		return -STOA_ENOMEM;
	arena->class = *class;
	arena->size = size;
	arena->memory = OS_NO_HANDLE;
	rc = create_memory(server, class->owner, size, &arena->memory);
	/* Its maker could make the server unable to give pages back. One of its own is sealed in the end. */
	if (rc == 0 && (class->kind == STORE_PRIVATE || class->kind == STORE_REGION))
		rc = os_memory_seal(arena->memory, OS_SEAL_SEALS);
	if (rc == 0 && class->kind < STORE_OWN)
		rc = store_heap_create(size, &arena->heap);
	if (rc == 0 && class->kind == STORE_IMMUTABLE)
		rc = os_map(arena->memory, 0, size, OS_READ | OS_WRITE, &address);
	arena->address = address;
	if (rc == 0)
		rc = enter_arena(server, arena);
	if (rc == 0)
		rc = keep_arena(server, arena);
	if (rc < 0) {
		memory_destroy(server, arena);
		return rc;
	}
	if (arena->heap) {
		arena->next = server->shared;
		server->shared = arena;
		server->shared_count++;
	}
	*ret_arena = arena;
	return 0;
}

/* The arenas of the class are tried, the last used first. */
static struct server_arena *first_of(struct stoa_server *server, const struct server_class *class)
{
	for (struct server_arena **link = &server->shared, *arena; (arena = *link) != NULL; link = &arena->next) {
		if (!same_class(&arena->class, class))
			continue;
		*link = arena->next;
		arena->next = server->shared;
		return server->shared = arena;
	}
	return NULL;
}

static uint64_t arena_size(const struct stoa_server *server)
{
	uint64_t size = server->options.limit * ARENA_LIMITS;

	if (size < ARENA_MIN)
		size = ARENA_MIN;
	return size > ARENA_MAX ? ARENA_MAX : (size + OS_HUGE_PAGE - 1) & ~(OS_HUGE_PAGE - 1);
}

/* The rest of a span with its first page, if there is room: a call for each page costs as much as the page. */
static void warm_around(struct stoa_server *server, struct server_coming *coming)
{
	struct os_extent extent = memory_extent(coming->arena);
	uint64_t from, to, done = 0;

	while (store_heap_cold_around(coming->arena->heap, coming->offset, coming->extent, &from, &to) &&
	       to - from <= left(server) && os_commit(&extent, from, to, &done) == 0) {
		store_heap_warmed(coming->arena->heap, coming->offset, coming->extent, from, to);
		took(server, done);
	}
}

/* Commit what of an extent is cold, a step of it. MEMORY_STEPS: there is more. */
static int warm(struct stoa_server *server, struct server_coming *coming)
{
	struct server_arena *arena = coming->arena;
	struct os_extent extent = memory_extent(arena);
	uint64_t from, to, budget = STEP_BYTES;

	while (store_heap_cold(arena->heap, coming->offset, coming->extent, &from, &to)) {
		uint64_t done = 0;
		int rc;

		if (!budget) {
			server->stepped = true;
			return MEMORY_STEPS;
		}
		to = to - from > budget ? from + budget : to;
		rc = os_commit(&extent, from, to, &done);
		if (done)
			store_heap_warmed(arena->heap, coming->offset, coming->extent, from, from + done);
		coming->owed -= done;
		budget -= done;
		if (rc < 0)
			return rc;
	}
	if (budget < STEP_BYTES)
		warm_around(server, coming);
	return 0;
}

/* It is taken, and counted, as a whole. */
static void comes(struct stoa_server *server, struct server_coming *coming, struct server_arena *arena, uint64_t offset,
		  uint64_t extent, uint64_t owed)
{
	took(server, owed);
	arena->objects++;
	*coming = (struct server_coming){arena, offset, extent, owed};
}

/* It is all there: whose it is, is the caller's to say. */
static struct server_arena *came(struct stoa_server *server, struct server_coming *coming)
{
	struct server_arena *arena = coming->arena;

	/* Not as much was needed as had been feared. */
	if (coming->owed)
		memory_returned(server, coming->owed);
	*coming = (struct server_coming){0};
	return arena;
}

void memory_drop_coming(struct stoa_server *server, struct server_coming *coming)
{
	struct server_coming dropped = *coming;

	if (dropped.arena)
		memory_give(server, came(server, coming), dropped.offset, dropped.extent);
}

static int take_shared(struct stoa_server *server, struct server_coming *coming, const struct server_class *class,
		       uint64_t length)
{
	struct server_arena *arena = first_of(server, class);
	uint64_t offset, need;
	int rc = 0;

	if (!arena) {
		if (server->shared_count >= SHARED_KEPT)
			(void)drop_empty(server);
		rc = create_arena(server, class, arena_size(server), &arena);
	}
	/* After each step anew: it may have cooled the very pages that it would have been in, or freed a place that needs none. */
	while (rc == 0 && (need = store_heap_need(arena->heap, length)) > left(server))
		rc = make_some_room(server, need);
	if (rc == 0)
		rc = store_heap_take(arena->heap, length, &offset);
	if (rc == 0)
		comes(server, coming, arena, offset, length, need);
	return rc;
}

/*
 * Counted, and of its full length, but not committed: its maker does that, in its own time and not in everybody's. Nobody else sees it before it is
 * sealed, which is looked at then (memory_seal()).
 */
static int take_own(struct stoa_server *server, const struct server_class *class, uint64_t length,
		    struct server_arena **ret_arena)
{
	struct server_arena *arena;
	int rc = make_room(server, pages(length));

	if (rc == 0)
		rc = create_arena(server, class, pages(length), &arena);
	if (rc)
		return rc;
	rc = os_memory_set_length(arena->memory, arena->size);
	if (rc == 0)
		rc = os_memory_seal(arena->memory, OS_SEAL_GROW);
	if (rc < 0) {
		memory_destroy(server, arena);
		return rc;
	}
	arena->resident = arena->size;
	took(server, arena->size);
	arena->objects++;
	*ret_arena = arena;
	return 0;
}

int memory_grow(struct stoa_server *server, struct server_arena *arena, uint64_t length, uint64_t *ret_length)
{
	struct os_extent extent = memory_extent(arena);
	uint64_t from = arena->resident, to = length - from > STEP_BYTES ? from + STEP_BYTES : length, done;
	int rc = make_room(server, length - from);

	if (rc == 0)
		rc = os_commit(&extent, from, to, &done);
	if (rc < 0)
		return rc;
	took(server, to - from);
	arena->resident = *ret_length = to;
	server->stepped = server->stepped || to < length;
	return 0;
}

/* A step of what a region begins with. */
static int fill_region(struct stoa_server *server, struct server_coming *coming, uint64_t length)
{
	struct server_arena *arena = coming->arena;
	struct os_extent extent = memory_extent(arena);
	uint64_t from = arena->resident, to = length - from > STEP_BYTES ? from + STEP_BYTES : length, done;
	int rc = os_commit(&extent, from, to, &done);

	arena->resident += done;
	coming->owed -= done;
	server->stepped = server->stepped || to < length;
	return rc == 0 && to < length ? MEMORY_STEPS : rc;
}

/* Is that what it asked for before? Its requests are its to change. */
static bool is_coming(const struct server_coming *coming, const struct server_class *class, uint64_t extent)
{
	return coming->arena && same_class(&coming->arena->class, class) && coming->extent == extent;
}

int memory_take_region(struct stoa_server *server, struct server_coming *coming, const struct server_class *class,
		       uint64_t length, uint64_t reserve, struct server_arena **ret_arena)
{
	struct server_arena *arena;
	int rc = 0;

	if (!is_coming(coming, class, reserve) || coming->arena->resident + coming->owed != length) {
		memory_drop_coming(server, coming);
		rc = make_room(server, length);
		if (rc == 0)
			rc = create_arena(server, class, reserve, &arena);
		if (rc == 0)
			comes(server, coming, arena, 0, reserve, length);
	}
	if (rc == 0)
		rc = fill_region(server, coming, length);
	if (rc < 0)
		memory_drop_coming(server, coming);
	if (rc == 0)
		*ret_arena = came(server, coming);
	return rc;
}

int memory_take(struct stoa_server *server, struct server_coming *coming, const struct server_class *class,
		uint64_t extent, struct server_arena **ret_arena, uint64_t *ret_offset)
{
	int rc = 0;

	if (class->kind == STORE_OWN) {
		*ret_offset = 0;
		return take_own(server, class, extent, ret_arena);
	}
	if (!is_coming(coming, class, extent)) {
		memory_drop_coming(server, coming);
		rc = take_shared(server, coming, class, extent);
	}
	if (rc == 0)
		rc = warm(server, coming);
	if (rc < 0)
		memory_drop_coming(server, coming);
	if (rc == 0) {
		*ret_offset = coming->offset;
		*ret_arena = came(server, coming);
	}
	return rc;
}

void memory_give(struct stoa_server *server, struct server_arena *arena, uint64_t offset, uint64_t extent)
{
	bool orphan = arena->class.kind == STORE_PRIVATE && !arena->class.writer;

	arena->objects--;
	if (arena->heap)
		store_heap_give(arena->heap, offset, extent);
	if (!arena->objects && (!arena->heap || orphan))
		end_arena(server, arena);
	else
		server->room_came = true;
	server->rooms++;
}

void memory_orphan(struct stoa_server *server, const struct server_session *session)
{
	struct server_arena *next;

	for (struct server_arena *arena = server->shared; arena; arena = next) {
		next = arena->next;
		if (arena->class.writer != session->key)
			continue;
		arena->class.writer = 0;
		if (!arena->objects)
			end_arena(server, arena);
		else
			audit_clean(arena);
	}
}

int memory_seal(struct stoa_server *server, struct server_arena *arena)
{
	struct os_memory_info info;
	int rc = os_memory_info(arena->memory, &info);

	(void)server;
	if (rc < 0)
		return rc;
	if (!(info.seals & OS_SEAL_WRITE))
		return error_set(-STOA_EBUSY, "its maker has not sealed it");
	/* Nobody can punch holes any more; so it stays as it is. */
	if (info.resident < arena->size)
		return error_set(-STOA_EINVAL, "its maker has left holes in it");
	arena->class.writer = 0;
	return 0;
}

int memory_hand_out(struct stoa_server *server, const struct server_session *session, uint32_t number,
		    uint64_t generation, os_handle *ret_memory, bool *ret_writable)
{
	struct server_arena *arena = number && number <= SERVER_ARENAS ? server->arenas[number] : NULL;
	bool writable;

	if (!arena || arena->lingers || load_rlx(&server->book.directory.arenas[number].generation) != generation)
		return -STOA_ENOENT;
	writable = arena->class.writer && arena->class.writer == session->key;
	if (!writable && !object_may_read(session, arena->class.owner, arena->class.access, arena->class.reader))
		return -STOA_EACCES;
	writable = writable || arena->writable;
	*ret_writable = writable;
	/* Apart from the server's own, so that the system can tell when it is closed. */
	return os_memory_reopen(arena->memory, writable ? OS_READ | OS_WRITE : OS_READ, ret_memory);
}

/* ---- the whole ---- */

/* In the middle of a change of the directory: so nothing is evicted for this, as that would change it, too. */
static int commit_directory(void *argument, uint64_t from, uint64_t to)
{
	struct stoa_server *server = argument;
	uint64_t done, wanted = server->committed + to - from;
	int rc;

	while (wanted > server->options.limit && server->header && cool(server, wanted - server->options.limit))
		wanted = server->committed + to - from;
	if (wanted > server->options.limit)
		return error_set(-STOA_ENOMEM, "no room for what the store notes about objects");
	rc = os_commit(&server->directory_extent, from, to, &done);
	if (rc < 0)
		return rc;
	server->committed = wanted;
	/* While it is made there is no header yet. */
	if (server->header)
		store_rlx(&server->header->bytes, wanted);
	return 0;
}

static int create_directory(struct stoa_server *server, const struct store_shape *shape)
{
	struct directory_plan plan;
	uint64_t key[2];
	void *map;
	int rc = directory_plan(shape, &plan);

	if (rc == 0)
		rc = os_memory_create(plan.length, 0, &server->directory_extent.memory);
	if (rc == 0)
		rc = os_memory_set_length(server->directory_extent.memory, plan.length);
	if (rc == 0)
		rc = os_map(server->directory_extent.memory, 0, plan.length, OS_READ | OS_WRITE, &map);
	if (rc < 0)
		return rc;
	server->directory_extent.address = map;
	server->directory_length = plan.length;
	rc = os_random(key, sizeof(key));
	if (rc == 0)
		rc = directory_create(map, shape, key, commit_directory, server, &server->book);
	return rc;
}

static int create_journal(struct stoa_server *server)
{
	struct os_extent extent = {.in_memory = true, .cannot_shrink = true};
	uint64_t length = journal_length(server->options.clients);
	void *address;
	int rc = os_memory_create(length, 0, &server->journal_memory);

	extent.memory = server->journal_memory;
	if (rc == 0)
		rc = os_map(extent.memory, 0, length, OS_READ | OS_WRITE, &address);
	if (rc < 0)
		return rc;
	server->journal = address;
	server->journal_length = length;
	extent.address = address;
	rc = memory_commit(server, &extent, 0, length);
	if (rc == 0)
		journal_begin(server->journal, server->options.clients);
	return rc;
}

/* What the server has beside the directory. */
static int make_tables(struct stoa_server *server)
{
	server->header = server->book.directory.header;
	server->arenas = os_allocate((SERVER_ARENAS + 1) * sizeof(struct server_arena *));
	server->held = os_allocate((server->book.directory.shape.entries + 63) / 64 * sizeof(uint64_t));
	server->used = os_allocate((server->book.directory.shape.entries + 63) / 64 * sizeof(uint64_t));
	server->recent = os_allocate((server->book.directory.shape.entries + 63) / 64 * sizeof(uint64_t));
	if (!server->arenas || !server->held || !server->used || !server->recent)
		return -STOA_ENOMEM;
	store_rlx(&server->header->limit, server->options.limit);
	store_rlx(&server->header->spill_limit, server->spill ? server->options.spill_limit : 0);
	return os_memory_duplicate(server->directory_extent.memory, OS_READ, &server->directory_reader);
}

int memory_start(struct stoa_server *server)
{
	struct store_shape shape;
	uint32_t own = server->spill ? SPILL_ENTRIES : 0;
	int rc = directory_shape(server->options.objects + own, SERVER_ARENAS, &shape);

	if (rc == 0)
		rc = create_directory(server, &shape);
	if (rc == 0)
		rc = make_tables(server);
	if (rc == 0)
		rc = create_journal(server);
	if (rc == 0)
		store_rlx(&server->header->server, 1);
	return rc;
}

/* ---- after a dead server ---- */

int memory_adopt(struct stoa_server *server, os_handle memory)
{
	struct os_memory_info info;
	void *map;
	int rc = os_memory_info(memory, &info);

	server->directory_extent.memory = memory;
	if (rc == 0 && (info.length < OS_PAGE || !(info.seals & OS_SEAL_SHRINK)))
		rc = error_set(-STOA_EFORMAT, "what was held is no directory of a store");
	if (rc == 0)
		rc = os_map(memory, 0, info.length, OS_READ | OS_WRITE, &map);
	if (rc < 0)
		return rc;
	server->directory_extent.address = map;
	server->directory_length = info.length;
	rc = directory_open(map, info.length, &server->book.directory);
	if (rc == 0)
		rc = make_tables(server);
	if (rc < 0)
		return rc;
	store_rlx(&server->header->objects, 0);
	store_rlx(&server->header->sessions, 0);
	store_rlx(&server->header->spilled, 0);
	store_rlx(&server->header->spilled_bytes, 0);
	return 0;
}

struct entries {
	struct stoa_server *server;
	void (*visit)(void *argument, uint32_t entry, enum directory_finding finding);
	void *argument;
};

static int commit_for_entries(void *argument, uint64_t from, uint64_t to)
{
	return commit_directory(((const struct entries *)argument)->server, from, to);
}

static void visit_entry(void *argument, uint32_t entry, enum directory_finding finding)
{
	const struct entries *entries = argument;

	entries->visit(entries->argument, entry, finding);
}

int memory_adopt_entries(struct stoa_server *server,
			 void (*visit)(void *argument, uint32_t entry, enum directory_finding finding), void *argument)
{
	struct entries entries = {server, visit, argument};
	struct directory_tally tally;
	int rc = directory_adopt(server->directory_extent.address, server->book.directory.length, commit_for_entries,
				 &entries, visit_entry, &server->book, &tally);

	server->book.commit = commit_directory;
	server->book.argument = server;
	if (rc == 0)
		server->lost = tally.lost;
	return rc;
}

int memory_adopt_arena(struct stoa_server *server, uint32_t number, os_handle memory)
{
	struct server_arena *arena = os_allocate(sizeof(*arena));
	struct store_arena record = {0};
	void *address = NULL;
	struct os_memory_info info;
	int rc = arena ? os_memory_info(memory, &info) : -STOA_ENOMEM;

	if (rc == 0)
		rc = directory_arena_read(&server->book.directory, number, &record);
	if (rc == 0 && !account_of_user(server, record.owner))
		rc = -STOA_ENOMEM;
	if (rc == DIRECTORY_CHANGED || (rc == 0 && !(info.seals & OS_SEAL_SHRINK)))
		rc = -STOA_EFORMAT;
	if (rc == 0 && record.kind == STORE_OWN && info.length != record.size)
		rc = -STOA_EFORMAT;
	if (rc == 0 && record.kind < STORE_OWN)
		rc = store_heap_create(record.size, &arena->heap);
	if (rc == 0 && record.kind == STORE_IMMUTABLE)
		rc = os_map(memory, 0, record.size, OS_READ | OS_WRITE, &address);
	if (rc) {
		if (arena)
			store_heap_destroy(arena->heap);
		os_free(arena);
		os_handle_close(memory);
		return rc;
	}
	arena->class = (struct server_class){record.kind, record.owner, record.access, record.reader, record.key};
	if (info.seals & OS_SEAL_WRITE)
		arena->class.writer = 0;
	arena->memory = memory;
	arena->address = address;
	arena->size = record.size;
	arena->resident = record.kind == STORE_OWN ? record.size : 0; /* of a region its entry says how much */
	arena->number = number;
	if (arena->heap) {
		arena->next = server->shared;
		server->shared = arena;
		server->shared_count++;
	}
	server->arena_count++;
	server->arenas[number] = arena;
	account_of_user(server, record.owner)->arenas++;
	return 0;
}

void memory_adopt_region(struct server_arena *arena, uint64_t length)
{
	struct os_extent extent = memory_extent(arena);
	uint64_t end = os_memory_length(arena->memory);

	arena->resident = length;
	if (end > length)
		(void)os_discard(&extent, length, pages(end));
}

/* Say which pages of the arena are committed. */
static int find_warm(struct server_arena *arena)
{
	uint64_t from, to = 0;
	int rc = 0;

	/* Who can write it can make it longer than it is. */
	while (rc == 0 && to < arena->size && os_memory_next(arena->memory, to, &from, &to) && from < arena->size)
		rc = store_heap_mark_warm(arena->heap, from, to < arena->size ? to : arena->size);
	return rc == 0 ? store_heap_adopted(arena->heap) : rc;
}

static bool session_lives(const struct stoa_server *server, uint64_t key)
{
	for (uint32_t i = 0; i < server->session_count; i++)
		if (server->sessions[i] && server->sessions[i]->key == key)
			return true;
	return false;
}

int memory_adopted(struct stoa_server *server)
{
	struct server_arena *arena;

	/* The directory is counted already, by commit_directory(). */
	/* Not beyond: even a look at records that were never used would get pages for them, which nobody has counted. */
	for (uint32_t i = 1; i < server->book.arenas.reached; i++) {
		int rc;

		arena = server->arenas[i];
		if (!arena) {
			if (load_rlx(&server->book.directory.arenas[i].generation) & 1)
				directory_arena_drop(&server->book, i);
			continue;
		}
		rc = arena->heap ? find_warm(arena) : 0;
		if (rc < 0)
			return rc;
		server->committed += arena->heap ? store_heap_committed(arena->heap) : arena->resident;
		if (!arena->objects && (!arena->heap || (arena->class.kind == STORE_PRIVATE &&
							 !session_lives(server, arena->class.writer)))) {
			end_arena(server, arena);
			continue;
		}
		/* What is committed and was never written looks like a hole: let it be one. */
		audit_clean(arena);
		if (arena->class.writer && !session_lives(server, arena->class.writer))
			arena->class.writer = 0;
	}
	store_rlx(&server->header->bytes, server->committed);
	add_rlx(&server->header->server, 1);
	return 0;
}

void memory_end(struct stoa_server *server)
{
	if (server->journal)
		os_unmap(server->journal, server->journal_length);
	if (server->journal_memory != OS_NO_HANDLE)
		os_handle_close(server->journal_memory);
	for (uint32_t i = 1; server->arenas && i <= SERVER_ARENAS; i++)
		if (server->arenas[i])
			memory_destroy(server, server->arenas[i]);
	os_free(server->arenas);
	os_free(server->held);
	os_free(server->used);
	os_free(server->recent);
	directory_close(&server->book);
	if (server->directory_extent.address)
		os_unmap(server->directory_extent.address, server->directory_length);
	if (server->directory_extent.memory != OS_NO_HANDLE)
		os_handle_close(server->directory_extent.memory);
	if (server->directory_reader != OS_NO_HANDLE)
		os_handle_close(server->directory_reader);
}
