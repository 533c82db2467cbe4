/* SPDX-License-Identifier: MIT */
/*
 * A server of `stoa find`: claims directories, reads them, sends their entries to the client in batches, and queues their
 * sub-directories for all. Started by the client as a process of its own; see find.h for the whole.
 *
 * The order that survives a kill: a directory's sub-directories are spread before the batch with the end of its entries is
 * handed over. So when the client has acknowledged every directory in the table, there is none left to come.
 */
#include "find.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define CHUNK 16                       /* directories claimed at once, at most */
#define GLANCE UINT64_C(50000000)      /* nanoseconds between looks at the client while walking */
#define LOCK_SLICE UINT64_C(250000000) /* and while waiting for a mutex */

struct server {
	struct find_area area;
	unsigned place;
	uint32_t number;
	struct find_filter filter;
	bool attributes;
	struct walk *walk;
	struct stoa_sender *sender;
	struct stoa_loan loan; /* the batch being written, if has_loan */
	bool has_loan;
	struct find_writer writer; /* in it */
	uint64_t glanced;
	struct find_text records; /* of sub-directories, not spread yet */
	size_t complete;          /* of these, bytes of directories that were read to their end */
	bool spread;              /* the directory being read was before */
	unsigned children;        /* else, its records */
	struct find_text path;
	uint64_t top; /* of the table, when last seen under the mutex */
	int exit;     /* FIND_EXIT_* once it must end early */
};

static int give_up(struct server *server, int status)
{
	server->exit = status;
	return -STOA_ECLOSED;
}

/* The search cannot go on. The sentence goes to the client, which ends all. */
static int fail_because(struct server *server, const char *what, const char *why)
{
	snprintf(server->area.shared->sentence, sizeof(server->area.shared->sentence), "%s%s%s", what, why ? ": " : "",
		 why ? why : "");
	return give_up(server, FIND_EXIT_FAILED);
}

static int fail(struct server *server, int result, const char *what)
{
	return fail_because(server, what,
			    result == -STOA_EFORMAT ? "the shared table is damaged" : stoa_error_detail());
}

/* Or wants no more: it receives from the time before the first server on until the end. */
static struct stoa_waitable client_gone(const struct server *server)
{
	return (struct stoa_waitable){NULL, server->sender, STOA_WAIT_NO_RECEIVERS, 0};
}

static bool client_is_gone(const struct server *server)
{
	const struct stoa_waitable gone = client_gone(server);

	return stoa_wait_any(&gone, 1, STOA_TRY, NULL) == 0;
}

/*
 * Lock in slices, as its owner may be a client that is stuck, or a server stopped by somebody: looks whether the client is there,
 * and gives up after the patience.
 */
static int lock(struct server *server)
{
	uint64_t patience = stoa_deadline_in(server->area.shared->patience);
	int result;

	do {
		result = stoa_mutex_lock(server->area.segment, &server->area.shared->mutex,
					 stoa_deadline_in(LOCK_SLICE));
		if (result < 0)
			return fail(server, result, "lock");
		if (result == STOA_TIMED_OUT && client_is_gone(server))
			return give_up(server, FIND_EXIT_ORPHAN);
		if (result == STOA_TIMED_OUT && stoa_now() > patience)
			return give_up(server, FIND_EXIT_PATIENCE);
	} while (result == STOA_TIMED_OUT);
	if (result == STOA_OWNER_DIED)
		find_table_repair(&server->area);
	return 0;
}

static void unlock(struct server *server)
{
	stoa_mutex_unlock(server->area.segment, &server->area.shared->mutex);
}

/* After some time of waiting for the client, or for others: is it well? It moves its beat. */
#define NO_BEAT UINT64_MAX
static int look_at_client(struct server *server, uint64_t *seen)
{
	struct find_shared *shared = server->area.shared;
	uint64_t beat;
	int result = lock(server);

	if (result < 0)
		return result;
	beat = shared->beat;
	unlock(server);
	if (beat == *seen)
		return give_up(server, FIND_EXIT_PATIENCE);
	*seen = beat;
	return 0;
}

/* Wait for directories to claim, as long as the client is there and beats. */
static int wait_for_work(struct server *server)
{
	struct stoa_waitable set[2] = {
		client_gone(server),
		{server->area.segment, &server->area.shared->work, STOA_WAIT_SEMAPHORE, 0},
	};
	uint64_t slice = server->area.shared->patience / 2;
	uint64_t seen = NO_BEAT;
	size_t which = 0;
	int result;

	while ((result = stoa_wait_any(set, 2, stoa_deadline_in(slice), &which)) == STOA_TIMED_OUT) {
		if (look_at_client(server, &seen) < 0)
			return -STOA_ECLOSED;
		slice = server->area.shared->patience;
	}
	if (result < 0)
		return fail(server, result, "wait");
	return which == 0 ? give_up(server, FIND_EXIT_ORPHAN) : 0;
}

/* Wake servers that sleep for want of directories, at most as many as there are directories. Under the mutex. */
static void wake_idle(struct server *server)
{
	struct find_shared *shared = server->area.shared;
	uint64_t waiting = shared->table.waiting;
	uint32_t count = waiting < shared->idle ? (uint32_t)waiting : shared->idle;

	shared->idle -= count;
	if (count)
		stoa_semaphore_post(server->area.segment, &shared->work, count);
}

/* Queue the sub-directories of all that was read. Under the mutex. What the directory being read has collected stays. */
static int spread(struct server *server)
{
	struct find_text *records = &server->records;
	int result = find_table_spread(&server->area, server->number, records->bytes, server->complete);

	if (result < 0)
		return fail(server, result, "directory table");
	records->length -= server->complete;
	if (records->length)
		memmove(records->bytes, records->bytes + server->complete, records->length);
	server->complete = 0;
	return 0;
}

static int hand_over(struct server *server)
{
	struct stoa_wait_stat stat;
	struct find_batch head;
	int result;

	if (server->complete) {
		result = lock(server);
		if (result < 0)
			return result;
		result = spread(server);
		wake_idle(server);
		unlock(server);
		if (result < 0)
			return result;
	}
	stoa_wait_stat(&stat);
	head = (struct find_batch){server->place, server->number, stat.sleeps, stat.wakes};
	memcpy(server->loan.bytes, &head, sizeof(head));
	server->loan.length = sizeof(struct find_batch) + server->writer.used;
	server->has_loan = false;
	result = stoa_sender_commit(server->sender, &server->loan);
	return result < 0 ? fail(server, result, "send a batch") : 0;
}

/* Begin a batch, when the client has received enough of the last ones. */
static int take_loan(struct server *server)
{
	uint64_t slice = server->area.shared->patience / 2;
	uint64_t seen = NO_BEAT;
	int result;

	while ((result = stoa_sender_loan(server->sender, sizeof(struct find_batch) + FIND_BATCH,
					  stoa_deadline_in(slice), &server->loan)) == STOA_TIMED_OUT) {
		if (look_at_client(server, &seen) < 0)
			return -STOA_ECLOSED;
		slice = server->area.shared->patience;
	}
	if (result == STOA_CLOSED)
		return give_up(server, FIND_EXIT_ORPHAN);
	if (result < 0)
		return fail(server, result, "begin a batch");
	find_writer_start(&server->writer, (unsigned char *)server->loan.bytes + sizeof(struct find_batch));
	server->has_loan = true;
	return 0;
}

static int open_section(struct server *server, uint64_t directory, uint32_t flags)
{
	int result = 0;

	if (server->has_loan && find_writer_open(&server->writer, directory, flags))
		return 0;
	if (server->has_loan)
		result = hand_over(server);
	if (result == 0)
		result = take_loan(server);
	if (result == 0)
		find_writer_open(&server->writer, directory, flags);
	return result;
}

static int add_item(struct server *server, uint64_t directory, const struct find_item *item)
{
	int result;

	if (find_writer_add(&server->writer, item))
		return 0;
	find_writer_close(&server->writer, 0);
	result = hand_over(server);
	if (result == 0)
		result = open_section(server, directory, 0);
	if (result == 0)
		find_writer_add(&server->writer, item);
	return result;
}

static int add_error(struct server *server, uint64_t directory, const char *name, size_t length, int error)
{
	struct find_item item = {.name = name, .length = (uint32_t)length, .kind = FIND_KIND_ERROR, .error = error};

	if (length > FIND_NAME_BYTES)
		item.length = FIND_NAME_BYTES;
	return add_item(server, directory, &item);
}

/* Whether a sub-directory is one of those that it lies in, below DIR or DIR itself: then it has no end. */
static bool is_loop(struct server *server, uint64_t directory, const char *name)
{
	struct walk_identity identity;
	struct find_record record;
	unsigned levels = 0;

	if (!walk_may_loop(server->walk, name, &identity))
		return false;
	for (; directory && find_table_look(&server->area, directory, server->top, &record); directory = record.parent)
		levels++;
	return walk_lies_in(server->walk, &identity, levels);
}

static int take_entry(struct server *server, uint64_t directory, const struct walk_entry *entry)
{
	struct find_item item; /* not cleared: large, and for each entry */
	const uint64_t *size = NULL;
	int error = 0;

	if (entry->length > FIND_NAME_BYTES)
		return add_error(server, directory, entry->name, entry->length, walk_error_name_too_long());
	item.name = entry->name;
	item.length = (uint32_t)entry->length;
	item.type = entry->type;
	item.kind = FIND_KIND_NAME;
	if (server->attributes || entry->type == '?') {
		error = walk_attributes(server->walk, entry->name, &item.type, &item.attributes);
		if (error == 0 && server->attributes)
			item.kind = FIND_KIND_ATTRIBUTES;
		size = error == 0 ? &item.attributes.size : NULL;
	}
	if (item.type == 'd' && is_loop(server, directory, entry->name))
		return add_error(server, directory, entry->name, entry->length, WALK_LOOP);
	if (item.type == 'd' && !server->spread) {
		if (!find_table_collect(&server->records, directory, entry->name, entry->length))
			return fail_because(server, "no memory for the names of directories", NULL);
		server->children++;
	}
	if (error) {
		int result = add_error(server, directory, entry->name, entry->length, error);

		if (result < 0)
			return result;
	}
	if (!find_filter_accepts(&server->filter, entry->name, entry->length, item.type, size))
		return 0;
	return add_item(server, directory, &item);
}

static int begin_directory(struct server *server, uint64_t offset)
{
	struct find_record record;
	char name[FIND_NAME_BYTES + 1];
	int result;

	if (!find_table_look(&server->area, offset, server->top, &record))
		return -1;
	server->spread = record.directory->spread;
	server->children = 0;
	if (record.parent && walk_knows(server->walk, record.parent)) {
		memcpy(name, record.name, record.length);
		name[record.length] = 0;
		return walk_begin_in(server->walk, offset, record.parent, name);
	}
	result = find_table_path(&server->area, offset, server->top, "", 0, &server->path);
	if (result < 0)
		return -1;
	if (server->path.length)
		server->path.bytes[server->path.length - 1] = 0;
	return walk_begin(server->walk, offset, server->path.bytes);
}

static int glance(struct server *server)
{
	uint64_t now = stoa_now();

	if (now - server->glanced < GLANCE)
		return 0;
	server->glanced = now;
	return client_is_gone(server) ? give_up(server, FIND_EXIT_ORPHAN) : 0;
}

static int read_entries(struct server *server, uint64_t offset)
{
	struct walk_entry entry;
	bool more = true;
	unsigned count = 0;
	int result = 0;

	while (result == 0) {
		int error = walk_next(server->walk, &entry, &more);

		if (error)
			return add_error(server, offset, "", 0, error);
		if (!more)
			return 0;
		result = take_entry(server, offset, &entry);
		if (result == 0 && ++count % 1024 == 0)
			result = glance(server);
	}
	return result;
}

static int walk_directory(struct server *server, uint64_t offset)
{
	int error;
	int result = open_section(server, offset, FIND_FIRST);

	if (result < 0)
		return result;
	error = begin_directory(server, offset);
	if (error < 0)
		return fail(server, -STOA_EFORMAT, "directory table");
	if (error > 0)
		result = add_error(server, offset, "", 0, error);
	else
		result = read_entries(server, offset);
	if (result < 0)
		return result;
	find_writer_close(&server->writer, FIND_LAST);
	server->complete = server->records.length;
	if (error == 0)
		walk_end(server->walk, server->children);
	return 0;
}

/* How many to claim: few when few wait, so that all servers have some. */
static unsigned chunk(const struct server *server)
{
	uint64_t share = server->area.shared->table.waiting / (UINT64_C(2) * server->area.shared->jobs);

	return share < 1 ? 1 : share > CHUNK ? CHUNK : (unsigned)share;
}

/* Spread, claim, and if there is nothing to claim, say so. 1: the search is finished. */
static int claim(struct server *server, uint64_t *offsets, unsigned *ret_count)
{
	struct find_shared *shared = server->area.shared;
	int result = lock(server);

	if (result < 0)
		return result;
	if (server->complete)
		result = spread(server);
	*ret_count = 0;
	if (result == 0 && !shared->finished) {
		*ret_count = find_table_claim(&server->area, server->number, chunk(server), offsets);
		shared->idle += *ret_count == 0;
		wake_idle(server);
	}
	server->top = shared->table.top;
	if (result == 0 && shared->finished)
		result = 1;
	unlock(server);
	return result;
}

static int serve(struct server *server)
{
	uint64_t offsets[CHUNK];
	unsigned count;
	int result;

	while ((result = claim(server, offsets, &count)) == 0) {
		for (unsigned i = 0; i < count && result == 0; i++)
			result = walk_directory(server, offsets[i]);
		if (result == 0)
			result = glance(server);
		if (result == 0 && count == 0 && server->has_loan)
			result = hand_over(server);
		if (result == 0 && count == 0)
			result = wait_for_work(server);
		if (result < 0)
			return result;
	}
	return result < 0 ? result : 0;
}

static int start(struct server *server)
{
	const struct stoa_sender_options options = {.waiting = STOA_SLEEP, .flags = STOA_UNTIL_PEERS_LEAVE};
	struct find_shared *shared = server->area.shared;
	int error;
	int result;

	server->attributes = shared->attributes;
	server->top = shared->arena;
	find_area_filter(&server->area, &server->filter);
	result = stoa_sender_join(server->area.channel, &options, &server->sender);
	if (result < 0)
		return fail(server, result, "join the channel");
	if (client_is_gone(server))
		return give_up(server, FIND_EXIT_ORPHAN);
	error = walk_create(find_area_root(&server->area), &server->walk);
	if (error) {
		return fail_because(server, walk_error_text(error), NULL);
	}
	return 0;
}

int find_server(int argc, char **argv)
{
	struct server *server = calloc(1, sizeof(*server));
	uint64_t place = 0;
	uint64_t number = 0;
	int result;

	if (!server || argc != 5 || !number_parse(argv[3], &place) || !number_parse(argv[4], &number)) {
		free(server);
		return tool_misuse("find: --server is for 'stoa find' itself");
	}
	server->place = (unsigned)place;
	server->number = (uint32_t)number;
	server->exit = FIND_EXIT_FAILED;
	result = find_area_adopt(argv[2], &server->area);
	if (result < 0) {
		tool_fail_result("find: server", result);
		free(server);
		return FIND_EXIT_FAILED;
	}
	result = start(server);
	if (result == 0)
		result = serve(server);
	if (result == 0)
		server->exit = FIND_EXIT_DONE;
	result = server->exit;
	walk_destroy(server->walk);
	find_text_free(&server->records);
	find_text_free(&server->path);
	stoa_sender_leave(server->sender);
	find_area_close(&server->area);
	free(server);
	return result;
}
