/* SPDX-License-Identifier: MIT */
/*
 * What the server tells of itself and its clients: who has an object, who is connected, figures. Nothing is kept for who asks, and each question costs
 * about as much as a look at so many leases, whatever the asker says; who does not take the answers is sent away.
 *
 * Who may read an object may know who else has it. Of all clients each user sees its own; the administrator and the server's user see all. Figures are
 * for everybody, as the directory's header is.
 */
#include <store/object_parts.h>

#include <base/error.h>
#include <os/local.h>
#include <stddef.h>
#include <stoa/store_stat.h>
#include <string.h>

#define LEASES_AT_A_TIME 65536u /* or those of one client, which are at most as many */

/* ---- clients ---- */

struct lease_count {
	const struct stoa_server *server;
	const struct server_session *session;
	uint32_t number; /* 0: any */
	uint32_t found;
};

static void count_lease(void *argument, uint32_t number, uint64_t generation, bool in_use)
{
	struct lease_count *count = argument;

	/* Of what the entry is now; and what it may not read it does not have, whatever it wrote. */
	if (in_use && (!count->number ||
		       (number == count->number && object_may_hold(count->server, count->session, number, generation))))
		count->found++;
}

/* Leases that a look at the session's looks at. */
static uint32_t lease_words(const struct server_session *session)
{
	uint32_t reached = load_rlx(&session->leases->reached);

	return (reached < session->lines ? reached : session->lines) * LEASES_PER_LINE;
}

static bool sees_all(const struct server_session *asker)
{
	return asker->peer.user == 0 || asker->peer.user == os_user_id();
}

static struct store_client_record describe_client(const struct server_session *session,
						  const struct server_session *asker)
{
	return (struct store_client_record){
		.key = session->key,
		.charged = session->charged,
		.process = session->peer.process,
		.user = session->peer.user,
		.drafts = session->draft_count,
		.regions = session->regions,
		.waits = session->waits,
		.flags = session == asker ? STOA_CLIENT_SELF : 0,
	};
}

/* Does the session belong into the answer? */
static bool fill_record(struct lease_count *count, const struct server_session *asker, const struct store_entry *entry,
			struct store_client_record *ret)
{
	const struct server_session *session = count->session;
	bool maker = entry && object_maker(count->server, entry) == session;

	if (!entry && !sees_all(asker) && session->peer.user != asker->peer.user)
		return false;
	lease_scan(session->leases, session->lines, count->server->book.directory.shape.entries, count_lease, count);
	if (entry && !maker && !count->found)
		return false;
	*ret = describe_client(session, asker);
	ret->leases = count->found;
	ret->flags |= maker ? STOA_CLIENT_MAKER : 0;
	return true;
}

/* The entry that was asked about, if there is one, and the asker may know. 0: of all. */
static int find_entry(const struct stoa_server *server, const struct server_session *asker, uint32_t number,
		      uint64_t state)
{
	const struct store_entry *entry = object_entry(server, number);
	uint64_t now;

	if (!number)
		return 0;
	if (number >= server->book.entries.reached)
		return -STOA_ENOENT;
	now = load_rlx(&entry->state);
	if (store_generation_of(now) != store_generation_of(state) || store_state_of(now) == STORE_FREE ||
	    store_state_of(now) == STORE_DYING)
		return -STOA_ENOENT;
	return object_may_read(asker, entry->owner, entry->access, entry->reader) ? 0 : -STOA_EACCES;
}

static int report_clients(const struct stoa_server *server, const struct server_session *asker,
			  const struct store_message *asked, struct store_report *report)
{
	uint32_t number = asked->count, looked = 0, i;
	const struct store_entry *entry = number ? object_entry(server, number) : NULL;
	int rc = find_entry(server, asker, number, asked->generation);

	if (rc < 0)
		return rc;
	for (i = asked->size < server->session_count ? (uint32_t)asked->size : server->session_count;
	     i < server->session_count && looked < LEASES_AT_A_TIME && report->head.count < STORE_REPORT_RECORDS; i++) {
		struct lease_count count = {.server = server, .session = server->sessions[i], .number = number};

		if (!count.session || !count.session->greeted)
			continue;
		looked += lease_words(count.session);
		if (fill_record(&count, asker, entry, &report->clients[report->head.count]))
			report->head.count++;
	}
	report->head.size = i < server->session_count ? i : 0;
	report->head.space = server->space;
	return 0;
}

/* ---- figures ---- */

static void add_sessions(const struct stoa_server *server, uint64_t figures[FIGURE_COUNT])
{
	for (uint32_t i = 0; i < server->session_count; i++) {
		const struct server_session *session = server->sessions[i];

		if (!session)
			continue;
		figures[FIGURE_DRAFTS] += session->draft_count;
		figures[FIGURE_ALLOCATIONS] += session->regions;
		figures[FIGURE_WAITS] += session->waits;
	}
}

static void gather(const struct stoa_server *server, uint64_t figures[FIGURE_COUNT])
{
	struct stoa_store_stat stat;

	memset(figures, 0, FIGURE_COUNT * sizeof(*figures));
	store_header_stat(server->header, &stat);
	figures[FIGURE_OBJECTS] = stat.objects;
	figures[FIGURE_BYTES] = stat.committed;
	figures[FIGURE_LIMIT] = stat.limit;
	figures[FIGURE_CLIENTS] = stat.clients;
	figures[FIGURE_PUTS] = stat.puts;
	figures[FIGURE_DELETES] = stat.deletes;
	figures[FIGURE_EVICTIONS] = stat.evictions;
	figures[FIGURE_REFUSALS] = stat.refusals;
	figures[FIGURE_SERVERS] = stat.servers;
	figures[FIGURE_OBJECTS_LIMIT] = server->book.directory.shape.entries - 1 - (server->spill ? SPILL_ENTRIES : 0);
	figures[FIGURE_CLIENTS_LIMIT] = server->options.clients;
	figures[FIGURE_CONNECTIONS] = server->keys;
	figures[FIGURE_DYING] = server->dying_count;
	figures[FIGURE_ARENAS] = server->arena_count;
	figures[FIGURE_LOST] = server->lost;
	figures[FIGURE_HELD] = server->holder != NULL;
	figures[FIGURE_STARTED] = server->started;
	figures[FIGURE_SLEEPS] = server->tally.sleeps;
	figures[FIGURE_REPORTS] = server->tally.reports;
	figures[FIGURE_SPILLED] = stat.spilled;
	figures[FIGURE_SPILLED_BYTES] = stat.spilled_bytes;
	figures[FIGURE_SPILL_LIMIT] = stat.spill_limit;
	figures[FIGURE_SPILLS] = stat.spills;
	figures[FIGURE_RESTORES] = stat.restores;
	figures[FIGURE_SPILL_FAILURES] = stat.spill_failures;
	figures[FIGURE_SPILL_LOSSES] = stat.spill_losses;
	add_sessions(server, figures);
	for (const struct server_arena *arena = server->shared; arena; arena = arena->next)
		figures[FIGURE_WARM] += store_heap_coolable(arena->heap);
	memcpy(&figures[FIGURE_REQUESTS], server->tally.requests, sizeof(server->tally.requests));
}

void report_figures_for_threads(struct stoa_server *server)
{
	bool taken = false;

	os_lock(&server->lock);
	if (server->figures_wanted) {
		server->figures_wanted = false;
		gather(server, server->figures);
		/* Under the lock, as the figures. */
		store_rlx(&server->figures_taken, load_rlx(&server->figures_taken) + 1);
		taken = true;
	}
	os_unlock(&server->lock);
	if (taken)
		os_wake(&server->figures_taken);
}

/* ---- answering ---- */

int report_answer(struct stoa_server *server, const struct server_session *session, const struct store_message *asked)
{
	struct store_report report = {.head = {.kind = STORE_REPORT,
					       .arena = asked->arena,
					       .generation = asked->generation,
					       .length = asked->length}};
	size_t length = offsetof(struct store_report, clients);
	int rc;

	server->tally.reports++;
	switch (asked->arena) {
	case STORE_REPORT_CLIENTS: report.head.result = report_clients(server, session, asked, &report); break;
	case STORE_REPORT_FIGURES:
		report.head.count = FIGURE_COUNT;
		gather(server, report.figures);
		break;
	default: return error_set(-STOA_EFORMAT, "no such report: %u", asked->arena);
	}
	if (report.head.result == 0)
		length +=
			report.head.count *
			(asked->arena == STORE_REPORT_FIGURES ? sizeof(uint64_t) : sizeof(struct store_client_record));
	rc = session_say(session, &report.head, length);
	if (rc != -STOA_ENOMEM)
		return rc;
	/* The system has no memory for as much. */
	report.head.result = rc;
	report.head.count = 0;
	return session_say(session, &report.head, sizeof(report.head)) < 0 ? -STOA_ECLOSED : 0;
}
