/* SPDX-License-Identifier: MIT */
/*
 * Eviction: where a store may (STOA_SERVER_EVICT), objects make room for new ones, those first that were not used for longest. The server is
 * not told of gets; but each lease, released or not, still names the object it was of, and shows whether it was used again; so the last few gets
 * of each thread since the last look can be seen. They set a bit for each object; a hand goes round over the entries (the clock of
 * F. Corbató, 1968), takes the bit away where it is set, and ends the object where it is not, or has it spilled (spill.c), where there are files
 * for that. What has just been seen, is held, pinned, or being made is passed by; so is memory that was handed out.
 */
#include <store/object_parts.h>

#include <string.h>

#define ENDED_AT_A_TIME 32u

static bool test_bit(const uint64_t *bits, uint32_t number)
{
	return bits[number / 64] >> number % 64 & 1;
}

struct uses {
	struct stoa_server *server;
	const struct server_session *session;
};

static void note_use(void *argument, uint32_t number, uint64_t generation)
{
	const struct uses *uses = argument;
	struct stoa_server *server = uses->server;

	if (!object_may_hold(server, uses->session, number, generation))
		return;
	evict_used(server, number);
	server->recent[number / 64] |= UINT64_C(1) << number % 64;
}

/* false: no memory to note what was seen. */
static bool note_uses(struct stoa_server *server)
{
	for (uint32_t i = 0; i < server->session_count; i++) {
		struct server_session *session = server->sessions[i];
		struct uses uses = {server, session};

		if (!session || !session->leases)
			continue;
		if (!session->seen)
			session->seen = os_allocate((size_t)session->lines * LEASES_PER_LINE * sizeof(*session->seen));
		if (!session->seen)
			return false;
		lease_used(session->leases, session->lines, server->book.entries.reached, session->seen, note_use,
			   &uses);
	}
	return true;
}

/* May it go, if nobody uses it? */
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

unsigned evict_visit(struct stoa_server *server, bool even_recent,
		     enum evict_answer (*visit)(struct stoa_server *server, uint32_t number, void *argument),
		     void *argument)
{
	uint32_t reached = server->book.entries.reached;
	enum evict_answer answer = EVICT_PASSED;
	struct object_look look;
	unsigned taken = 0;

	memset(server->recent, 0, (reached + 63) / 64 * sizeof(*server->recent));
	if (!note_uses(server) || !object_look_begin(server, &look))
		return 0;
	if (server->spill)
		spill_used(server, server->recent);
	/* Once round to take bits away, and once more. */
	for (uint64_t steps = 0; steps < 2 * (uint64_t)reached && answer != EVICT_ENOUGH; steps++) {
		uint32_t number = server->hand = server->hand + 1 < reached ? server->hand + 1 : 1;

		if (number >= reached || !may_end(server, number) || (test_bit(server->recent, number) && !even_recent))
			continue;
		if (test_bit(server->used, number)) {
			server->used[number / 64] &= ~(UINT64_C(1) << number % 64);
			continue;
		}
		if (object_look_held(&look, number))
			continue;
		/* It may reap: a look within this one takes away only the bits that it has set itself. */
		answer = visit(server, number, argument);
		taken += answer == EVICT_TAKEN;
	}
	object_look_end(&look);
	return taken;
}

static enum evict_answer end_one(struct stoa_server *server, uint32_t number, void *argument)
{
	unsigned *ended = argument;

	if (*ended == ENDED_AT_A_TIME)
		return EVICT_ENOUGH;
	if (object_end(server, number, STOA_EVENT_EVICTED) < 0)
		return EVICT_PASSED;
	++*ended;
	return EVICT_TAKEN;
}

bool object_evict(struct stoa_server *server)
{
	unsigned ended = 0;

	if (!(server->options.flags & STOA_SERVER_EVICT))
		return false;
	evict_visit(server, false, end_one, &ended);
	server_count(&server->header->evictions, ended);
	return ended != 0;
}
