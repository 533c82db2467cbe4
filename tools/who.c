/* SPDX-License-Identifier: MIT */
/* `stoa who`: which processes have an object of a store, or are its clients at all. Uses the public API. */
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>

#include "os/local.h"
#include "os/names.h"

#define NAME_TEXT 64
#define NUMBER_TEXT 24

struct who {
	bool as_json;
	bool elsewhere; /* some have no number here */
	struct table *table;
	const char *id; /* as it is shown; NULL: all clients */
};

/* The process's number, as far as that means something here; 0: it does not. */
static uint32_t number_of(const struct stoa_store_client *client)
{
	return client->flags & STOA_CLIENT_ELSEWHERE ? 0 : client->process;
}

static const char *number_text(uint32_t number, char buffer[NUMBER_TEXT])
{
	snprintf(buffer, NUMBER_TEXT, number ? "%" PRIu32 : "-", number);
	return buffer;
}

static void print_json(const struct who *who, const struct stoa_store_client *client)
{
	char command[NAME_TEXT], user[NAME_TEXT];
	uint32_t number = number_of(client);
	struct json json;

	json_begin(&json, stdout);
	if (who->id)
		json_text(&json, "id", who->id);
	json_number(&json, "connection", client->connection);
	if (number)
		json_number(&json, "pid", number);
	else
		json_null(&json, "pid");
	json_number(&json, "server_pid", client->process);
	json_text(&json, "command", number && names_process(number, command, sizeof(command)) ? command : NULL);
	json_number(&json, "user", client->user);
	json_text(&json, "user_name", local_user_name(client->user, user, sizeof(user)) ? user : NULL);
	json_number(&json, "leases", client->leases);
	if (who->id)
		json_bool(&json, "maker", (client->flags & STOA_CLIENT_MAKER) != 0);
	json_number(&json, "charged", client->charged);
	json_number(&json, "drafts", client->drafts);
	json_number(&json, "allocations", client->allocations);
	json_number(&json, "waits", client->waits);
	json_end(&json);
}

/* How often it has the object, and whether it has made it. */
static void print_object_cells(struct who *who, const struct stoa_store_client *client)
{
	char text[NUMBER_TEXT];

	table_cell(who->table, number_text(client->leases, text), COLOUR_OFF);
	table_cell(who->table, client->flags & STOA_CLIENT_MAKER ? "yes" : "-", COLOUR_OFF);
}

static void print_client_cells(struct who *who, const struct stoa_store_client *client)
{
	char text[SIZE_TEXT], number[NUMBER_TEXT];

	table_cell(who->table, number_text(client->leases, number), COLOUR_OFF);
	table_cell(who->table, size_text(client->charged, text), COLOUR_OFF);
	table_cell(who->table, number_text(client->drafts, number), COLOUR_OFF);
	table_cell(who->table, number_text(client->allocations, number), COLOUR_OFF);
	table_cell(who->table, number_text(client->waits, number), COLOUR_OFF);
}

static int print_client(const struct stoa_store_client *client, void *argument)
{
	char number[NUMBER_TEXT], name[NAME_TEXT];
	struct who *who = argument;
	uint32_t process = number_of(client);

	if (client->flags & STOA_CLIENT_SELF)
		return 0;
	who->elsewhere = who->elsewhere || !process;
	if (who->as_json) {
		print_json(who, client);
		return 0;
	}
	if (who->id)
		table_cell(who->table, who->id, COLOUR_BOLD);
	table_cell(who->table, number_text(process, number), COLOUR_OFF);
	if (!local_user_name(client->user, name, sizeof(name)))
		snprintf(name, sizeof(name), "%" PRIu32, client->user);
	table_cell(who->table, name, COLOUR_OFF);
	table_cell(who->table, process && names_process(process, name, sizeof(name)) ? name : "-", COLOUR_OFF);
	if (who->id)
		print_object_cells(who, client);
	else
		print_client_cells(who, client);
	return 0;
}

static int ask_one(struct who *who, struct stoa_store *store, const char *word)
{
	struct store_id id;
	int result, status = store_id_parse("who", word, &id);
	char text[STORE_ID_TEXT];

	if (status != TOOL_GO)
		return status;
	who->id = store_id_text(id.bytes, id.length, text);
	result = stoa_store_holders(store, id.bytes, id.length, print_client, who);
	return result < 0 ? store_fail(&id, result) : TOOL_OK;
}

static int ask_all(struct who *who, struct stoa_store *store)
{
	int result = stoa_store_clients(store, print_client, who);

	return result < 0 ? tool_fail_result(NULL, result) : TOOL_OK;
}

static struct table *make_table(bool of_objects)
{
	static const struct table_column objects[] = {
		{"ID", 0}, {"PID", TABLE_RIGHT}, {"USER", 0}, {"COMMAND", 0}, {"HOLDS", TABLE_RIGHT}, {"MADE IT", 0},
	};
	static const struct table_column clients[] = {
		{"PID", TABLE_RIGHT},    {"USER", 0},
		{"COMMAND", 0},          {"HOLDS", TABLE_RIGHT},
		{"MADE", TABLE_RIGHT},   {"MAKING", TABLE_RIGHT},
		{"MEMORY", TABLE_RIGHT}, {"WAITS", TABLE_RIGHT},
	};

	return of_objects ? table_create(objects, sizeof(objects) / sizeof(objects[0]))
			  : table_create(clients, sizeof(clients) / sizeof(clients[0]));
}

static int tell(struct who *who, struct stoa_store *store, char **words, int count)
{
	int status, worst = count ? TOOL_OK : ask_all(who, store);

	for (int i = 0; i < count; i++) {
		status = ask_one(who, store, words[i]);
		worst = status > worst ? status : worst;
	}
	if (!who->as_json && (worst == TOOL_OK || table_rows(who->table))) {
		status = table_print(who->table, stdout);
		worst = status > worst ? status : worst;
	}
	if (who->elsewhere)
		tool_warn(
			"who: some processes have no number here, as they, the server and this process do not see the same "
			"ones (pid namespaces); --json tells the server's numbers");
	return worst;
}

int command_who(int argc, char **argv)
{
	const char *where = NULL;
	struct who who = {0};
	const struct option_spec options[] = {
		{'s', "store", OPTION_TEXT, &where, "PATH", STORE_HELP},
		{0, "json", OPTION_FLAG, &who.as_json, NULL,
		 "one JSON object for each: id, pid, command, user, leases, maker,\ncharged, drafts, allocations, waits"},
	};
	const struct usage usage = {
		"who",
		"[ID...]",
		"Tell which processes have these objects of a store now, or memory that it has handed out, and which of those that are\n"
		"there have made them. Without ID: all its clients, how many objects each has (HOLDS), what it has made (MADE) and is\n"
		"making, memory that ends with it, requests that wait. Who may read an object may ask; of clients other users see their own.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		-1,
		"  $ stoa who model          who keeps it from being freed?\n"
		"  $ stoa who                all clients\n"
		"  $ stoa who --json | jq .pid",
	};
	struct stoa_store *store;
	int operands, status = options_parse(&usage, argc, argv, &operands);

	if (status == TOOL_GO)
		status = store_connect("who", where, 0, &store);
	if (status != TOOL_GO)
		return status;
	who.table = make_table(operands > 0);
	status = who.table ? tell(&who, store, argv + 1, operands) : tool_fail("out of memory");
	table_destroy(who.table);
	stoa_store_close(store);
	return status;
}
