/* SPDX-License-Identifier: MIT */
/*
 * Eviction: where a store may (STOA_SERVER_EVICT), objects make room for new ones, those first that were not used for longest. The server is
 * not told of gets; but each lease, released or not, still names the object it was of, so the last few gets of each thread can be seen. A look at them sets
 * a bit for each object; a hand goes round over the entries (the clock of F. Corbató, 1968), takes the bit away where it is set, and ends
 * the object where it is not. What is held, pinned, being made, or no object, is passed by; so is memory that was handed out.
 */
#include <store/server.h>

#define ENDED_AT_A_TIME 32u

static bool test_bit(const uint64_t *bits, uint32_t number)
{
	return bits[number / 64] >> number % 64 & 1;
}

static void note_use(void *argument, uint32_t number, uint64_t generation, bool in_use)
{
	struct stoa_server *server = argument;

	(void)in_use;
	if (generation == store_generation_of(load_rlx(&server->book.directory.entries[number].state)))
		evict_used(server, number);
}

static void note_uses(struct stoa_server *server)
{
	for (uint32_t i = 0; i < server->session_count; i++)
		if (server->sessions[i] && server->sessions[i]->leases)
			lease_scan(server->sessions[i]->leases, server->sessions[i]->lines,
				   server->book.directory.shape.entries, note_use, server);
}

/* May it go? That somebody holds it right now is seen as a use. */
static bool may_end(const struct stoa_server *server, uint32_t number)
{
	const struct store_entry *entry = &server->book.directory.entries[number];

	return store_state_of(load_rlx(&entry->state)) == STORE_SEALED && entry->kind != STORE_REGION &&
	       !(load_rlx(&entry->flags) & STOA_OBJECT_PINNED);
}

void evict_used(struct stoa_server *server, uint32_t number)
{
	server->used[number / 64] |= UINT64_C(1) << number % 64;
}

bool object_evict(struct stoa_server *server)
{
	uint32_t ended = 0, reached = server->book.entries.reached;

	if (!(server->options.flags & STOA_SERVER_EVICT))
		return false;
	/* Once round to take bits away, and once more, with those that were used lately again. */
	for (uint64_t steps = 0; steps < 2 * (uint64_t)reached && ended < ENDED_AT_A_TIME; steps++) {
		uint32_t number = server->hand = server->hand + 1 < reached ? server->hand + 1 : 1;

		if (steps % reached == 0)
			note_uses(server);
		if (number >= reached || !may_end(server, number))
			continue;
		if (test_bit(server->used, number))
			server->used[number / 64] &= ~(UINT64_C(1) << number % 64);
		else if (!object_is_held(server, number) && object_end(server, number) == 0)
			ended++;
	}
	add_rlx(&server->header->evictions, ended);
	return ended != 0;
}
