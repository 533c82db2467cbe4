/* SPDX-License-Identifier: MIT */
/*
 * Concurrency Kit's ring from one to one. See wire.h.
 *
 * Used well: the ring carries pointers, which is what its fastest form does (CK_RING_PROTOTYPE would copy a message in and out), to
 * slots that are written and read in place; memory is mapped before the processes part, so pointers mean the same in both. A
 * slot is used again when twice the ring has gone by: then its reader, which has one at a time, is done with it. There is no way
 * to sleep.
 */
#include <ck_ring.h>
#include <string.h>
#include <sys/mman.h>

#include "../measure.h"
#include "wire.h"

const bool wire_has_threads = false;

#define ENTRIES_MAX 4096u

struct way {
	ck_ring_t ring;
	ck_ring_buffer_t entries[ENTRIES_MAX];
};

static struct {
	struct way *ways;
	unsigned char *slots;
	unsigned entries;
	uint64_t next;
} wire;

static void *memory(size_t length)
{
	void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

int wire_open(const struct wire_plan *plan)
{
	for (wire.entries = 4; wire.entries * 4 * plan->size <= plan->room && wire.entries < ENTRIES_MAX;)
		wire.entries *= 2;
	wire.ways = memory(2 * sizeof(*wire.ways));
	wire.slots = memory(2 * 2 * wire.entries * plan->size);
	if (!wire.ways || !wire.slots)
		return wire_refuse("mmap", "out of memory");
	for (unsigned i = 0; i < 2; i++)
		ck_ring_init(&wire.ways[i].ring, wire.entries);
	return 0;
}

int wire_join(const struct wire_plan *plan, unsigned side)
{
	(void)plan, (void)side;
	return 0;
}

int wire_put(const struct wire_plan *plan, unsigned side, uint64_t number)
{
	struct way *way = &wire.ways[side];
	unsigned char *slot = wire.slots + (wire.next++ % (2 * wire.entries) + side * 2 * wire.entries) * plan->size;

	/* There is room before the slot is written: else one that is still queued could be it. */
	while (ck_ring_size(&way->ring) >= wire.entries - 1)
		ck_pr_stall();
	measure_fill(slot, plan->size, number);
	return ck_ring_enqueue_spsc(&way->ring, way->entries, slot) ? 0 : wire_refuse("ck_ring", "full");
}

int wire_take(const struct wire_plan *plan, unsigned side)
{
	struct way *way = &wire.ways[1 - side];
	void *slot;

	while (!ck_ring_dequeue_spsc(&way->ring, way->entries, &slot))
		ck_pr_stall();
	measure_use(measure_sum(slot, plan->size));
	return 0;
}
