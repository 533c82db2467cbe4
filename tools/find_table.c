/* SPDX-License-Identifier: MIT */
/*
 * The directory table: who claims which directory, and how its sub-directories join, so that a kill anywhere is mended. Works on the
 * segment of `stoa find`; the caller holds find_shared.mutex unless it says otherwise.
 *
 * A kill between any two stores leaves one of these, and the next to lock the mutex is told STOA_OWNER_DIED and calls repair:
 * - claim: some records before the cursor's move name the dead server. They still wait: the next claim overwrites the name,
 *   and requeue looks below the cursor only. From `redo`: the record names the dead server and may still be chained; requeue
 *   rebuilds the chain from the records, which alone count.
 * - spread: records are written behind `top`, where nobody looks; the journal is set; storing `top` adds them all; then the
 *   directory is marked. If repair finds the journal set and `top` moved, the records are in, and it sets the mark.
 * - `total` and `passed` only count records; repair counts anew.
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

static void write_record(struct find_area *area, uint64_t offset, uint64_t parent, const void *name, uint32_t length)
{
	struct find_directory *directory = (struct find_directory *)(void *)(area->base + offset);

	memset(directory, 0, record_bytes(length));
	directory->parent = parent;
	directory->length = length;
	memcpy(area->base + offset + HEAD, name, length);
}

int find_table_start(struct find_area *area)
{
	struct find_table *table = &area->shared->table;
	uint64_t arena = area->shared->arena;
	int result = stoa_segment_commit(area->segment, arena + COMMIT_AHEAD);

	if (result < 0)
		return result;
	memset(table, 0, sizeof(*table));
	write_record(area, arena, 0, "", 0);
	table->cursor = arena;
	table->top = arena + record_bytes(0);
	table->total = 1;
	return 0;
}

uint64_t find_table_waiting(const struct find_area *area)
{
	const struct find_table *table = &area->shared->table;
	uint64_t total = table->total;
	uint64_t passed = table->passed;

	return (total > passed ? total - passed : 0) + (table->redo != 0);
}

unsigned find_table_claim(struct find_area *area, uint32_t server, unsigned max, uint64_t *ret_offsets)
{
	struct find_table *table = &area->shared->table;
	uint64_t top = table->top;
	uint64_t at = table->redo;
	struct find_record record;
	unsigned count = 0;

	if (at && find_table_look(area, at, top, &record)) {
		record.directory->owner = server;
		table->redo = record.directory->next;
		ret_offsets[0] = at;
		return 1;
	}
	for (at = table->cursor; count < max && find_table_look(area, at, top, &record); at = record.next) {
		record.directory->owner = server;
		ret_offsets[count++] = at;
	}
	if (count) {
		table->cursor = at;
		table->passed += count;
	}
	return count;
}

/* What `names` takes as records; *ret_count gets how many they are. */
static uint64_t measure(const unsigned char *names, size_t bytes, uint64_t *ret_count)
{
	uint64_t need = 0;
	uint16_t length;

	*ret_count = 0;
	for (size_t at = 0; at < bytes; at += sizeof(length) + length) {
		memcpy(&length, names + at, sizeof(length));
		need += record_bytes(length);
		++*ret_count;
	}
	return need;
}

static void write_records(struct find_area *area, uint64_t to, uint64_t parent, const unsigned char *names,
			  size_t bytes)
{
	uint16_t length;

	for (size_t at = 0; at < bytes; at += sizeof(length) + length) {
		memcpy(&length, names + at, sizeof(length));
		write_record(area, to, parent, names + at + sizeof(length), length);
		to += record_bytes(length);
	}
}

/* Some more than needed, so that most calls commit nothing; the bare need where the reserve or memory ends. */
static int commit(struct find_area *area, uint64_t end)
{
	uint64_t ahead = (end + COMMIT_AHEAD - 1) / COMMIT_AHEAD * COMMIT_AHEAD;

	if (ahead <= area->reserve && stoa_segment_commit(area->segment, ahead) == 0)
		return 0;
	return stoa_segment_commit(area->segment, end);
}

int find_table_spread(struct find_area *area, uint64_t directory, const unsigned char *names, size_t bytes)
{
	struct find_table *table = &area->shared->table;
	uint64_t top = table->top;
	uint64_t count;
	uint64_t need = measure(names, bytes, &count);
	struct find_record record;
	int result;

	if (!find_table_look(area, directory, top, &record))
		return -STOA_EFORMAT;
	if (record.directory->spread)
		return 0;
	if (count) {
		result = commit(area, top + need);
		if (result < 0)
			return result;
		write_records(area, top, directory, names, bytes);
	}
	table->journal_from = top;
	table->journal = directory;
	table->top = top + need;
	record.directory->spread = 1;
	table->total += count;
	table->journal = 0;
	return 0;
}

static uint64_t count_records(const struct find_area *area, uint64_t end)
{
	struct find_record record;
	uint64_t count = 0;

	for (uint64_t at = area->shared->arena; find_table_look(area, at, end, &record); at = record.next)
		count++;
	return count;
}

void find_table_repair(struct find_area *area)
{
	struct find_table *table = &area->shared->table;
	uint64_t top = table->top;
	struct find_record record;

	if (table->journal && top != table->journal_from && find_table_look(area, table->journal, top, &record))
		record.directory->spread = 1;
	table->journal = 0;
	table->total = count_records(area, top);
	table->passed = count_records(area, table->cursor);
}

void find_table_requeue(struct find_area *area, uint32_t server, struct find_requeued *ret_requeued)
{
	struct find_table *table = &area->shared->table;
	uint64_t cursor = table->cursor;
	uint64_t chain = 0;
	struct find_record record;

	memset(ret_requeued, 0, sizeof(*ret_requeued));
	for (uint64_t at = area->shared->arena; find_table_look(area, at, cursor, &record); at = record.next) {
		struct find_directory *directory = record.directory;

		if (directory->acknowledged || (directory->owner != server && directory->owner != 0))
			continue;
		if (directory->owner == server) {
			ret_requeued->directories++;
			ret_requeued->spread += directory->spread;
		}
		directory->owner = 0;
		directory->next = chain;
		chain = at;
	}
	table->redo = chain;
}

bool find_table_valid(const struct find_area *area)
{
	const struct find_table *table = &area->shared->table;
	struct find_record record;
	uint64_t at = area->shared->arena;
	uint64_t total = 0;
	uint64_t passed = 0;

	while (at < table->top) {
		if (!find_table_look(area, at, table->top, &record))
			return false;
		total++;
		passed += at < table->cursor;
		/* A parent has spread before its child is there. */
		if (at > area->shared->arena) {
			struct find_record parent;

			if (!find_table_look(area, record.parent, at, &parent) || !parent.directory->spread)
				return false;
		}
		at = record.next;
	}
	return at == table->top && total == table->total && passed == table->passed && table->journal == 0;
}
