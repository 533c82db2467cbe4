/* SPDX-License-Identifier: MIT */
/*
 * The directory table: who claims which directory, and how its sub-directories join, so that a kill anywhere is mended. Works on the
 * segment of `stoa find`; the caller holds find_shared.mutex unless it says otherwise.
 *
 * Only the records below `top` count, and in them `owner` and `acknowledged`; chains, counters and `spread` follow from them. A
 * kill between any two stores leaves one of these, and the next to lock the mutex is told STOA_OWNER_DIED and calls repair, which makes
 * all that follows anew:
 * - claim: a record names the dead server and may still be chained. It is the server's, until the client queues it again.
 * - spread: records are written behind `top`, where nobody looks; storing `top` adds them all. Whether their parent is marked and whether
 *   they are chained follows.
 * Stores to the fields that this order rests on are atomic, so that the compiler keeps them in it; a dead process's stores up to
 * its last instruction are visible to all.
 */
#include "find.h"

#include <string.h>

#define HEAD sizeof(struct find_directory)
#define COMMIT_AHEAD (UINT64_C(256) << 10)

static uint64_t record_bytes(uint64_t length)
{
	return (HEAD + length + 1 + 7) & ~UINT64_C(7);
}

bool find_table_look(const struct find_area *area, uint64_t offset, uint64_t limit, struct find_record *ret_record)
{
	struct find_directory *directory;
	uint32_t length;

	if (limit > area->reserve || offset < area->shared->arena || offset % 8 != 0 || offset >= limit ||
	    limit - offset < HEAD)
		return false;
	directory = (struct find_directory *)(void *)(area->base + offset);
	length = directory->length;
	if (length > FIND_NAME_BYTES || record_bytes(length) > limit - offset)
		return false;
	ret_record->directory = directory;
	ret_record->parent = directory->parent;
	ret_record->name = (const char *)(area->base + offset + HEAD);
	ret_record->length = length;
	ret_record->next = offset + record_bytes(length);
	return ret_record->parent < offset;
}

static void write_record(void *to, uint64_t parent, const void *name, uint32_t length)
{
	struct find_directory *directory = to;

	memset(directory, 0, record_bytes(length));
	directory->parent = parent;
	directory->length = length;
	memcpy(directory + 1, name, length);
}

int find_table_start(struct find_area *area)
{
	struct find_table *table = &area->shared->table;
	uint64_t arena = area->shared->arena;
	int result = stoa_segment_commit(area->segment, arena + COMMIT_AHEAD);

	if (result < 0)
		return result;
	memset(table, 0, sizeof(*table));
	write_record(area->base + arena, 0, "", 0);
	table->chains[0] = arena;
	table->top = arena + record_bytes(0);
	table->total = 1;
	table->waiting = 1;
	return 0;
}

/* A server's own chain: at first nobody else's, later it may share one. */
static _Atomic uint64_t *chain_of(struct find_area *area, uint32_t server)
{
	return &area->shared->table.chains[server % FIND_JOBS_MAX];
}

unsigned find_table_claim(struct find_area *area, uint32_t server, unsigned max, uint64_t *ret_offsets)
{
	struct find_table *table = &area->shared->table;
	struct find_record record;
	unsigned count = 0;

	for (uint32_t i = 0; i < FIND_JOBS_MAX && !count; i++) {
		_Atomic uint64_t *chain = chain_of(area, server + i);

		while (count < max && *chain && find_table_look(area, *chain, table->top, &record)) {
			record.directory->owner = server;
			ret_offsets[count++] = *chain;
			*chain = record.directory->next;
		}
	}
	table->waiting -= count;
	return count;
}

bool find_table_collect(struct find_text *records, uint64_t parent, const char *name, size_t length)
{
	if (!find_text_reserve(records, record_bytes(length)))
		return false;
	write_record(records->bytes + records->length, parent, name, (uint32_t)length);
	records->length += record_bytes(length);
	return true;
}

/* Some more than needed, so that most calls commit nothing; the bare need where the reserve or memory ends. */
static int commit(struct find_area *area, uint64_t end)
{
	uint64_t ahead = (end + COMMIT_AHEAD - 1) / COMMIT_AHEAD * COMMIT_AHEAD;

	if (ahead <= area->reserve && stoa_segment_commit(area->segment, ahead) == 0)
		return 0;
	return stoa_segment_commit(area->segment, end);
}

int find_table_spread(struct find_area *area, uint32_t server, const void *records, size_t bytes)
{
	struct find_table *table = &area->shared->table;
	_Atomic uint64_t *chain = chain_of(area, server);
	uint64_t top = table->top;
	uint64_t last = *chain;
	uint64_t count = 0;
	struct find_record record;
	struct find_record parent;
	int result = commit(area, top + bytes);

	if (result < 0)
		return result;
	memcpy(area->base + top, records, bytes);
	table->top = top + bytes;
	for (uint64_t at = top; find_table_look(area, at, top + bytes, &record); at = record.next) {
		if (find_table_look(area, record.parent, top, &parent))
			parent.directory->spread = 1;
		record.directory->next = last;
		last = at;
		count++;
	}
	*chain = last;
	table->total += count;
	table->waiting += count;
	return 0;
}

void find_table_repair(struct find_area *area)
{
	struct find_requeued unused;

	find_table_requeue(area, 0, &unused);
}

void find_table_requeue(struct find_area *area, uint32_t server, struct find_requeued *ret_requeued)
{
	struct find_table *table = &area->shared->table;
	uint64_t top = table->top;
	struct find_record record;
	struct find_record parent;

	memset(ret_requeued, 0, sizeof(*ret_requeued));
	table->total = 0;
	table->waiting = 0;
	for (unsigned i = 0; i < FIND_JOBS_MAX; i++)
		table->chains[i] = 0;
	for (uint64_t at = area->shared->arena; find_table_look(area, at, top, &record); at = record.next) {
		struct find_directory *directory = record.directory;

		table->total++;
		if (find_table_look(area, record.parent, at, &parent))
			parent.directory->spread = 1;
		if (directory->owner == server && !directory->acknowledged) {
			ret_requeued->directories++;
			ret_requeued->spread += directory->spread;
			directory->owner = 0;
		}
		if (directory->owner)
			continue;
		directory->next = table->chains[0];
		table->chains[0] = at;
		table->waiting++;
	}
}

/* How many directories are chained, and whether none of them is claimed. */
static uint64_t count_chained(const struct find_area *area, bool *ret_unclaimed)
{
	const struct find_table *table = &area->shared->table;
	struct find_record record;
	uint64_t count = 0;

	*ret_unclaimed = true;
	for (unsigned i = 0; i < FIND_JOBS_MAX; i++)
		for (uint64_t at = table->chains[i];
		     count <= table->total && find_table_look(area, at, table->top, &record);
		     at = record.directory->next) {
			count++;
			*ret_unclaimed &= record.directory->owner == 0;
		}
	return count;
}

bool find_table_valid(const struct find_area *area)
{
	const struct find_table *table = &area->shared->table;
	struct find_record record;
	struct find_record parent;
	uint64_t at = area->shared->arena;
	uint64_t total = 0;
	uint64_t waiting = 0;
	bool unclaimed;

	for (; find_table_look(area, at, table->top, &record); at = record.next) {
		total++;
		waiting += record.directory->owner == 0;
		/* A parent has spread before its child is there. */
		if (at > area->shared->arena &&
		    (!find_table_look(area, record.parent, at, &parent) || !parent.directory->spread))
			return false;
	}
	return at == table->top && total == table->total && waiting == table->waiting &&
	       waiting == count_chained(area, &unclaimed) && unclaimed;
}
