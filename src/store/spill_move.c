/* SPDX-License-Identifier: MIT */
/*
 * Objects on their way to files and back. Each move replaces one entry by another, as a client's put with STOA_OBJECT_REPLACE does: the new one is
 * WRITING while bytes are copied, a chunk at a time, through memory of the server's; when all of them are there it takes the place of the old
 * one, with one store, and that is DYING until nobody holds it. So whoever dies at whatever instruction leaves one of the two, whole:
 *
 *   killed                                             the successor
 *   while a file is written or renamed                 drops the entry that is WRITING, and the file
 *   it is SPILLED, and the old one has the place       drops it, and the file
 *   it has the place, and the old one is no DYING yet  ends the old one
 *   while bytes are read                               drops the entry that is WRITING
 *   it is SEALED, and the file's has the place         drops it, and the object is in its file
 *   it has the place                                   ends the file's entry, and removes the file when that is freed
 *
 * The maker of a PRIVATE object can write over it while it is read here: what is hashed is what is written.
 */
#include <store/spill.h>

#include <base/hash.h>
#include <string.h>

/* Not a failure: it is not wanted any more. */
#define CANCELLED (-STOA_EBUSY)

/* ---- beginning ---- */

static struct spill_move *free_move(struct server_spill *spill, bool out)
{
	struct spill_move *moves = spill->moves + (out ? 0 : SPILL_MOVES);

	for (unsigned i = 0; i < SPILL_MOVES; i++) {
		if (moves[i].stage != SPILL_IDLE)
			continue;
		if (!moves[i].bytes)
			moves[i].bytes = os_pages_allocate(SPILL_CHUNK);
		return moves[i].bytes ? &moves[i] : NULL;
	}
	return NULL;
}

bool spill_is_moved(const struct server_spill *spill, uint32_t from)
{
	for (unsigned i = 0; i < CC_COUNT(spill->moves); i++)
		if (spill->moves[i].stage != SPILL_IDLE && spill->moves[i].from == from)
			return true;
	return false;
}

static void submit(struct server_spill *spill, struct spill_move *move, enum spill_stage stage, enum os_job_kind kind)
{
	move->stage = stage;
	move->job.kind = kind;
	move->job.file =
		kind == OS_JOB_MAKE || kind == OS_JOB_OPEN || kind == OS_JOB_RENAME ? spill->folder : move->file;
	move->job.name = move->out ? move->half : move->name;
	move->job.to = move->name;
	/* There is room in the ring for one job of each move. */
	(void)os_ring_submit(spill->ring, &move->job);
}

/* What the entries of one object have in common. */
static struct store_entry fields_of(const struct store_entry *from, uint32_t kind)
{
	struct store_entry fields = {.kind = (uint8_t)(kind == STORE_FILE ? kind : from->kind),
				     .meta_length = from->meta_length,
				     .owner = from->owner,
				     .access = from->access,
				     .reader = from->reader,
				     .session = from->session,
				     .room = load_rlx(&from->size),
				     .made = from->made};

	store_rlx(&fields.size, fields.room);
	store_rlx(&fields.flags, load_rlx(&from->flags));
	return fields;
}

static uint64_t extent_of(uint32_t kind, uint64_t size, uint32_t meta_length)
{
	uint64_t extent = store_extent(size, meta_length);

	return kind == STORE_OWN ? (extent + OS_PAGE - 1) & ~(OS_PAGE - 1) : extent;
}

static int enter_moved(struct stoa_server *server, uint32_t from, const struct store_entry *fields,
		       struct spill_move *move)
{
	const uint8_t *id;
	uint32_t length;
	int rc;

	id = directory_id(&server->book, from, &length);
	rc = directory_enter_ahead(&server->book, id, length, fields, &move->to);
	if (rc < 0)
		return rc;
	move->from = from;
	move->from_state = load_rlx(&object_entry(server, from)->state);
	move->to_state = load_rlx(&object_entry(server, move->to)->state);
	move->size = fields->room;
	move->at = 0;
	move->result = 0;
	move->check = SPILL_CHECK;
	move->file = OS_NO_HANDLE;
	return 0;
}

int spill_move_out(struct stoa_server *server, uint32_t from)
{
	struct server_spill *spill = server->spill;
	const struct store_entry *entry = object_entry(server, from);
	struct store_entry fields = fields_of(entry, STORE_FILE);
	struct spill_move *move = free_move(spill, true);
	size_t got = 0;
	int rc;

	if (!move)
		return -STOA_EBUSY;
	fields.offset = entry->kind;
	fields.extent = extent_of(entry->kind, fields.room, entry->meta_length);
	move->out = true;
	rc = enter_moved(server, from, &fields, move);
	if (rc < 0)
		return rc;
	spill_header_fill(server, move->to, &move->header);
	rc = os_memory_read(server->arenas[entry->arena]->memory, entry->offset + store_line_up(entry->room),
			    move->header.meta, entry->meta_length, &got);
	move->result = rc < 0 ? rc : got != entry->meta_length ? -STOA_EIO : 0;
	spill_name(server, move->to, move->header.generation, SPILL_HALF, move->half);
	spill_name(server, move->to, move->header.generation, SPILL_WHOLE, move->name);
	spill_count(server, spill_length(move->size));
	move->going = entry->extent;
	spill->going += move->going;
	spill->largest = move->size > spill->largest ? move->size : spill->largest;
	spill->outs++;
	submit(spill, move, SPILL_OPEN, OS_JOB_MAKE);
	return 0;
}

int spill_move_in(struct stoa_server *server, uint32_t from)
{
	struct server_spill *spill = server->spill;
	const struct store_entry *entry = object_entry(server, from);
	uint32_t kind = entry->offset == STORE_OWN ? STORE_OWN : STORE_IMMUTABLE;
	struct server_class class = {kind, entry->owner, entry->access, entry->reader, 0};
	struct store_entry fields = fields_of(entry, kind);
	struct spill_move *move = free_move(spill, false);
	struct server_arena *arena;
	int rc;

	if (!move)
		return -STOA_EBUSY;
	fields.kind = (uint8_t)kind;
	fields.extent = extent_of(kind, fields.room, entry->meta_length);
	rc = memory_take(server, &spill->coming, &class, fields.extent, &arena, &fields.offset);
	if (rc)
		return rc;
	fields.arena = arena->number;
	move->out = false;
	rc = enter_moved(server, from, &fields, move);
	if (rc < 0) {
		memory_give(server, arena, fields.offset, fields.extent);
		return rc;
	}
	spill_name(server, from, store_generation_of(move->from_state), SPILL_WHOLE, move->name);
	spill->ins++;
	submit(spill, move, SPILL_OPEN, OS_JOB_OPEN);
	return 0;
}

/* ---- bytes ---- */

static bool is_wanted(const struct stoa_server *server, const struct spill_move *move)
{
	return load_rlx(&object_entry(server, move->from)->state) == move->from_state;
}

/* The next bytes that there is a buffer for, with the header before the first ones. */
static uint32_t next_bytes(const struct spill_move *move, uint32_t *ret_head)
{
	uint64_t left = move->size - move->at;

	*ret_head = move->at ? 0 : (uint32_t)sizeof(struct spill_header);
	return left < SPILL_CHUNK - *ret_head ? (uint32_t)left : SPILL_CHUNK - *ret_head;
}

static void transfer(struct server_spill *spill, struct spill_move *move, enum spill_stage stage, uint64_t offset,
		     uint32_t length)
{
	move->chunk = length;
	move->there = 0;
	move->job.bytes = move->bytes;
	move->job.offset = offset;
	move->job.length = length;
	submit(spill, move, stage, move->out ? OS_JOB_WRITE : OS_JOB_READ);
}

/* Out: fill the buffer, and write it. A header that stands for all is only written when all is. */
static int send_chunk(struct stoa_server *server, struct spill_move *move)
{
	const struct store_entry *entry = object_entry(server, move->from);
	uint64_t offset = move->at ? spill_length(move->at) : 0;
	uint32_t head, length = next_bytes(move, &head);
	size_t got = 0;
	int rc;

	if (!is_wanted(server, move))
		return CANCELLED;
	rc = os_memory_read(server->arenas[entry->arena]->memory, entry->offset + move->at, move->bytes + head, length,
			    &got);
	if (rc < 0 || got != length)
		return rc < 0 ? rc : -STOA_EIO;
	move->check = hash_words(move->check, move->bytes + head, length);
	move->at += length;
	if (move->at == move->size)
		spill_header_close(&move->header, move->check);
	if (head)
		memset(move->bytes, 0, head);
	if (head && move->at == move->size)
		memcpy(move->bytes, &move->header, head);
	transfer(server->spill, move, SPILL_BYTES, offset, head + length);
	return 0;
}

static void ask_chunk(struct stoa_server *server, struct spill_move *move)
{
	uint64_t offset = move->at ? spill_length(move->at) : 0;
	uint32_t head, length = next_bytes(move, &head);

	transfer(server->spill, move, SPILL_BYTES, offset, head + length);
}

/* Into the memory of the new entry, which nobody knows yet; nobody but the server can write it. */
static int place_bytes(struct stoa_server *server, const struct spill_move *move, uint64_t at, const void *bytes,
		       size_t length)
{
	const struct store_entry *entry = object_entry(server, move->to);
	const struct server_arena *arena = server->arenas[entry->arena];

	if (!arena->address)
		return length ? os_memory_write(arena->memory, entry->offset + at, bytes, length) : 0;
	if (length)
		memcpy(arena->address + entry->offset + at, bytes, length);
	return 0;
}

static int place_rest(struct stoa_server *server, const struct spill_move *move)
{
	uint64_t at = store_line_up(move->size);
	uint32_t meta_length = object_entry(server, move->to)->meta_length;
	struct store_tail tail = {0};
	int rc = place_bytes(server, move, at, move->header.meta, meta_length);

	store_rlx(&tail.length, move->size);
	return rc < 0 ? rc : place_bytes(server, move, at + store_line_up(meta_length), &tail, sizeof(tail));
}

/* In: the buffer is full. */
static int take_chunk(struct stoa_server *server, struct spill_move *move)
{
	uint32_t head, length = next_bytes(move, &head);
	int rc;

	if (!is_wanted(server, move))
		return CANCELLED;
	if (head) {
		memcpy(&move->header, move->bytes, head);
		if (!spill_header_good(server, move->from, &move->header))
			return -STOA_EFORMAT;
	}
	rc = place_bytes(server, move, move->at, move->bytes + head, length);
	move->check = hash_words(move->check, move->bytes + head, length);
	move->at += length;
	if (rc < 0 || move->at < move->size)
		return rc;
	return move->check == move->header.bytes_check ? place_rest(server, move) : -STOA_EFORMAT;
}

/* ---- the end ---- */

/* The entry that was to be is none: it had been charged to nobody. */
static void undo(struct stoa_server *server, struct spill_move *move)
{
	const struct store_entry *entry = object_entry(server, move->to);

	account_move(server, object_maker(server, entry), entry->owner, account_size_of(entry));
	object_undo(server, move->to);
}

/* The new entry is complete; the old one has its id's place. There is room among the dying. */
static void replace(struct stoa_server *server, struct spill_move *move)
{
	const struct store_entry *to = object_entry(server, move->to);

	directory_set_flags(&server->book, move->to, load_rlx(&object_entry(server, move->from)->flags));
	events_before(server, STOA_EVENT_PRESENT, move->to, move->from);
	if (move->out)
		directory_set_state(&server->book, move->to, STORE_SPILLED);
	else
		directory_seal(&server->book, move->to, move->size);
	directory_hand_over(&server->book, move->from, move->to);
	events_after(server);
	account_move(server, object_maker(server, to), to->owner, account_size_of(to));
	if (move->out)
		server_count(&server->header->spilled, 1);
	object_hide(server, move->from);
}

/* Has somebody begun to use it? If that cannot be seen now, yes. */
static bool is_held(struct stoa_server *server, uint32_t number)
{
	struct object_look look;
	bool held;

	if (!object_look_begin(server, &look))
		return true;
	held = object_look_held(&look, number);
	object_look_end(&look);
	return held;
}

static void end_out(struct stoa_server *server, struct spill_move *move)
{
	const struct store_entry *from = object_entry(server, move->from);

	server->spill->outs--;
	server->spill->going -= move->going;
	/* Who has begun to use it meanwhile would keep its memory, and others would get another copy. */
	if (move->result == 0 && (!is_wanted(server, move) || load_rlx(&from->flags) & STOA_OBJECT_PINNED ||
				  is_held(server, move->from) || object_dying_room(server) < 0))
		move->result = CANCELLED;
	if (move->result == 0) {
		replace(server, move);
		server_count(&server->header->spills, 1);
		server->spill->failing = false;
		return;
	}
	spill_remove(server, move->half, 0);
	undo(server, move);
	if (move->result != CANCELLED)
		spill_failed(server, move->result);
}

/* Its file is gone, or is not what was written. */
static bool is_lost(int result)
{
	return result == -STOA_EFORMAT || result == -STOA_ENOENT;
}

static void end_in(struct stoa_server *server, struct spill_move *move)
{
	struct server_arena *arena = server->arenas[object_entry(server, move->to)->arena];
	const uint8_t *id;
	uint32_t length;

	server->spill->ins--;
	if (!is_wanted(server, move))
		move->result = CANCELLED;
	/* It is its maker, and seals it as a client does. */
	if (move->result == 0 && arena->class.kind == STORE_OWN) {
		move->result = os_memory_seal(arena->memory, OS_SEAL_WRITE);
		if (move->result == 0)
			move->result = memory_seal(server, arena);
	}
	if (move->result == 0 && object_dying_room(server) < 0)
		move->result = -STOA_ENOMEM;
	if (move->result == 0) {
		replace(server, move);
		evict_used(server, move->to);
		spill_guard(server, move->to);
		server_count(&server->header->restores, 1);
		id = directory_id(&server->book, move->to, &length);
		waiting_sealed(server, id, length);
		return;
	}
	undo(server, move);
	if (move->result == CANCELLED && !is_wanted(server, move))
		return;
	spill_unrestored(server, move->from, move->result, is_lost(move->result));
}

/* ---- going on ---- */

static void end_move(struct stoa_server *server, struct spill_move *move)
{
	move->stage = SPILL_IDLE;
	if (move->out)
		end_out(server, move);
	else
		end_in(server, move);
	server->rooms++;
}

/* Close what is open, then end. */
static void stop_move(struct stoa_server *server, struct spill_move *move, int result)
{
	if (move->result == 0)
		move->result = result;
	if (move->file == OS_NO_HANDLE)
		end_move(server, move);
	else
		submit(server->spill, move, SPILL_CLOSE, OS_JOB_CLOSE);
}

static void opened(struct stoa_server *server, struct spill_move *move)
{
	int rc = move->result;

	if (move->job.result < 0) {
		stop_move(server, move, (int)move->job.result);
		return;
	}
	move->file = move->job.result;
	if (rc == 0 && move->out)
		rc = send_chunk(server, move);
	else if (rc == 0)
		ask_chunk(server, move);
	if (rc < 0)
		stop_move(server, move, rc);
}

static void chunk_done(struct stoa_server *server, struct spill_move *move)
{
	bool more = move->at < move->size;
	int rc = 0;

	if (!move->out)
		rc = take_chunk(server, move);
	if (rc < 0) {
		stop_move(server, move, rc);
		return;
	}
	if (!move->out && move->at < move->size) {
		ask_chunk(server, move);
	} else if (move->out && more) {
		rc = send_chunk(server, move);
		if (rc < 0)
			stop_move(server, move, rc);
	} else if (move->out && move->stage == SPILL_BYTES && move->size > SPILL_CHUNK - sizeof(move->header)) {
		memcpy(move->bytes, &move->header, sizeof(move->header));
		transfer(server->spill, move, SPILL_HEADER, 0, sizeof(move->header));
	} else {
		stop_move(server, move, 0);
	}
}

static void transferred(struct stoa_server *server, struct spill_move *move)
{
	int64_t result = move->job.result;

	if (result <= 0) {
		/* A file that ends is cut off; a disk that takes nothing is full of something. */
		stop_move(server, move, result < 0 ? (int)result : move->out ? -STOA_EIO : -STOA_EFORMAT);
		return;
	}
	move->there += (uint32_t)result;
	if (move->there >= move->chunk) {
		chunk_done(server, move);
		return;
	}
	move->job.bytes = move->bytes + move->there;
	move->job.offset += (uint64_t)result;
	move->job.length -= (uint32_t)result;
	submit(server->spill, move, move->stage, move->job.kind);
}

static void go_on(struct stoa_server *server, struct spill_move *move)
{
	switch (move->stage) {
	case SPILL_OPEN: opened(server, move); return;
	case SPILL_BYTES:
	case SPILL_HEADER: transferred(server, move); return;
	case SPILL_CLOSE:
		move->file = OS_NO_HANDLE;
		if (move->job.result < 0 && move->out && move->result == 0)
			move->result = (int)move->job.result;
		if (move->out && move->result == 0)
			submit(server->spill, move, SPILL_RENAME, OS_JOB_RENAME);
		else
			end_move(server, move);
		return;
	case SPILL_RENAME:
		move->result = move->job.result < 0 ? (int)move->job.result : 0;
		end_move(server, move);
		return;
	case SPILL_IDLE: return;
	}
}

bool spill_move_on(struct stoa_server *server)
{
	struct os_job *job;
	bool any = false;

	while ((job = os_ring_take(server->spill->ring)) != NULL) {
		any = true;
		if (job->user)
			spill_removed(server, cc_container_of(job, struct spill_removal, job));
		else
			go_on(server, cc_container_of(job, struct spill_move, job));
	}
	return any;
}

void spill_close_moves(struct stoa_server *server)
{
	struct server_spill *spill = server->spill;
	struct os_job *job;

	while ((job = os_ring_wait(spill->ring)) != NULL) {
		struct spill_move *move = cc_container_of(job, struct spill_move, job);

		if (job->user)
			os_free(cc_container_of(job, struct spill_removal, job));
		else if (move->stage == SPILL_OPEN && job->result >= 0)
			os_handle_close(job->result);
		else if (move->stage != SPILL_CLOSE)
			os_handle_close(move->file);
	}
	os_ring_close(spill->ring);
	for (unsigned i = 0; i < CC_COUNT(spill->moves); i++)
		if (spill->moves[i].bytes)
			os_pages_free(spill->moves[i].bytes, SPILL_CHUNK);
}
