/* SPDX-License-Identifier: MIT */
/*
 * What a client is told of a store beside its objects: who has one, who is connected, figures. It comes in pieces, each of which is asked for by
 * itself; what was heard is checked against its own length before anybody is told.
 */
#include <store/client.h>

#include <base/error.h>
#include <os/local.h>
#include <stoa/store_stat.h>
#include <store/metrics.h>
#include <string.h>

struct watching {
	int (*visit)(const struct stoa_store_client *client, void *argument);
	void *argument;
	uint64_t space; /* os_process_space() */
};

static int visit_record(const struct watching *watching, const struct store_client_record *record, uint64_t space)
{
	const struct stoa_store_client client = {
		.connection = record->key,
		.charged = record->charged,
		.process = record->process,
		.user = record->user,
		.leases = record->leases,
		.drafts = record->drafts,
		.allocations = record->regions,
		.waits = record->waits,
		.flags = (record->flags & (STOA_CLIENT_MAKER | STOA_CLIENT_SELF)) |
			 (space && space == watching->space ? 0 : STOA_CLIENT_ELSEWHERE),
	};

	return watching->visit(&client, watching->argument);
}

/* From the first to the last, or until a visit has an end. `number` 0: all clients. */
static int visit_clients(struct stoa_store *store, uint32_t number, uint64_t state, const struct watching *watching)
{
	struct store_report report;
	uint64_t from = 0;
	int rc = 0;

	do {
		struct store_message question = {
			.arena = STORE_REPORT_CLIENTS, .count = number, .generation = state, .size = from};

		rc = client_report(store, &question, sizeof(report.clients[0]), STORE_REPORT_RECORDS, &report);
		/* It went meanwhile: those who were told had it. */
		if (rc == -STOA_ENOENT && from)
			return 0;
		if (rc)
			return rc;
		for (uint32_t i = 0; rc == 0 && i < report.head.count; i++)
			rc = visit_record(watching, &report.clients[i], report.head.space);
		/* A server that goes backward would never come to an end. */
		if (rc == 0 && report.head.size && report.head.size <= from)
			return error_set(-STOA_EFORMAT, "the server tells of its clients again and again");
		from = report.head.size;
	} while (rc == 0 && from);
	return rc;
}

/* No answer is no outcome of these. */
static int told(int rc)
{
	return rc == STOA_TIMED_OUT ? error_set(-STOA_EBUSY, "the store's server does not answer") : rc;
}

/* Sealed, or one that is made and can be followed. */
static int find_any(struct stoa_store *store, const void *id, uint32_t id_length, uint32_t *ret_entry,
		    uint64_t *ret_state)
{
	int rc = client_find(store, id, id_length, ret_entry, ret_state);

	if (rc == -STOA_ENOENT &&
	    directory_find(&store->directory, id, id_length, ret_entry, ret_state) == DIRECTORY_FOUND)
		rc = 0;
	return rc;
}

/* What a server says of an object, with its id. What a visit returned is its own. */
static int of_object(int rc, const void *id, uint32_t id_length)
{
	return rc == -STOA_ENOENT || rc == -STOA_EACCES ? client_refuse(rc, id, id_length) : told(rc);
}

struct relay {
	const struct watching *watching;
	int result; /* of the caller's visit */
};

/* So that what a visit returns is never taken for what the server says. */
static int relay_visit(const struct stoa_store_client *client, void *argument)
{
	struct relay *relay = argument;

	relay->result = relay->watching->visit(client, relay->watching->argument);
	return relay->result ? 1 : 0;
}

static int holders(struct stoa_store *store, uint32_t number, uint64_t state, const void *id, uint32_t id_length,
		   int (*visit)(const struct stoa_store_client *client, void *argument), void *argument)
{
	const struct watching caller = {visit, argument, 0};
	struct relay relay = {.watching = &caller};
	const struct watching watching = {relay_visit, &relay, os_process_space()};
	int rc = visit_clients(store, number, state, &watching);

	if (relay.result)
		return relay.result;
	return id ? of_object(rc, id, id_length) : told(rc);
}

int stoa_store_holders(struct stoa_store *store, const void *id, uint32_t id_length,
		       int (*visit)(const struct stoa_store_client *client, void *argument), void *argument)
{
	uint64_t state;
	uint32_t entry;
	int rc = client_usable(store);

	if (rc == 0 && (!id || !id_length || id_length > STOA_ID_MAX))
		return error_set(-STOA_EINVAL, "an id has 1 to %u bytes, not %u", STOA_ID_MAX, id_length);
	if (rc == 0)
		rc = find_any(store, id, id_length, &entry, &state);
	if (rc < 0)
		return rc == -STOA_ENOENT ? client_refuse(rc, id, id_length) : rc;
	return holders(store, entry, state, id, id_length, visit, argument);
}

int stoa_manager_holders(struct stoa_store *manager, const struct stoa_allocation *allocation,
			 int (*visit)(const struct stoa_store_client *client, void *argument), void *argument)
{
	return stoa_store_holders(manager, allocation->id, allocation->id_length, visit, argument);
}

int stoa_store_clients(struct stoa_store *store, int (*visit)(const struct stoa_store_client *client, void *argument),
		       void *argument)
{
	int rc = client_usable(store);

	return rc < 0 ? rc : holders(store, 0, 0, NULL, 0, visit, argument);
}

int stoa_store_metrics(struct stoa_store *store, char *ret_text, uint64_t room, uint64_t *ret_length)
{
	struct store_message question = {.arena = STORE_REPORT_FIGURES};
	struct store_report report;
	int rc = client_usable(store);

	if (rc == 0)
		rc = told(client_report(store, &question, sizeof(report.figures[0]), FIGURE_COUNT, &report));
	if (rc == 0 && report.head.count != FIGURE_COUNT)
		rc = error_set(-STOA_EFORMAT, "the server told %u figures", report.head.count);
	return rc < 0 ? rc : store_metrics_write(report.figures, ret_text, room, ret_length);
}
