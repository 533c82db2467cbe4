/* SPDX-License-Identifier: MIT */
/*
 * `stoa ls`: our named objects, one line each; with --all every shared-memory object on the host (ls_all.c). A name whose users are
 * all dead is shown, not opened: opening would remove it.
 */
#include "ls.h"

#include "channel.h"
#include "os/pages.h"
#include "pager.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct entry {
	char *name;
	uint32_t flags;
	uint32_t owner;
	bool in_use;
};

struct entries {
	struct entry *list;
	size_t count;
	size_t room;
	bool failed;
};

static int collect(const struct stoa_segment_entry *found, void *argument)
{
	struct entries *entries = argument;

	if (entries->count == entries->room) {
		size_t room = entries->room ? 2 * entries->room : 32;
		struct entry *list = realloc(entries->list, room * sizeof(*list));

		entries->failed = !list;
		if (!list)
			return 1;
		entries->list = list;
		entries->room = room;
	}
	entries->list[entries->count] = (struct entry){strdup(found->name), found->flags, found->owner, found->in_use};
	entries->failed = !entries->list[entries->count].name;
	return entries->failed || entries->count++ == SIZE_MAX;
}

static int by_name(const void *left, const void *right)
{
	const struct entry *a = left;
	const struct entry *b = right;
	int order = strcmp(a->name, b->name);

	return order ? order : (a->flags & STOA_GLOBAL) > (b->flags & STOA_GLOBAL);
}

static void free_entries(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		free(entries->list[i].name);
	free(entries->list);
}

/* What a row shows. */
struct row {
	const struct entry *entry;
	const struct stoa_inspection *is; /* NULL: could not be opened, or was not */
	const char *state;
	bool users_known;
	uint64_t users;
	int64_t age;                             /* seconds, -1 unknown */
	const struct stoa_channel_stat *channel; /* NULL: it is none */
	const struct stoa_pager_stat *pager;
};

static void size_cell(struct table *table, bool known, uint64_t bytes)
{
	char text[SIZE_TEXT];

	table_cell(table, known ? size_text(bytes, text) : "-", COLOUR_OFF);
}

static void print_row(struct table *table, const struct row *row)
{
	const struct stoa_inspection *is = row->is;
	uint32_t flags = is ? is->flags | row->entry->flags : row->entry->flags;
	char owner[OBJECT_OWNER_TEXT];
	char text[OBJECT_FLAGS_TEXT];
	char age[DURATION_TEXT] = "-";
	char users[24] = "-";
	char messages[CHANNEL_SUMMARY], pages[PAGER_SUMMARY];

	if (row->users_known)
		snprintf(users, sizeof(users), "%" PRIu64, row->users);
	if (row->age >= 0)
		duration_text((uint64_t)row->age * UINT64_C(1000000000), age);
	table_cell(table, row->entry->name, COLOUR_BOLD);
	table_cell(table, is ? object_kind(is->kind) : "-", is && is->header ? COLOUR_RED : COLOUR_OFF);
	size_cell(table, is && !is->header, is ? is->reserve : 0);
	size_cell(table, is && !is->header, is ? is->committed : 0);
	size_cell(table, is, is ? is->resident : 0);
	table_cell(table, users, COLOUR_OFF);
	table_cell(table, object_owner(row->entry->owner, owner), COLOUR_OFF);
	table_cell(table, age, COLOUR_OFF);
	table_cell(table, row->state, strcmp(row->state, "leftover") == 0 ? COLOUR_YELLOW : COLOUR_OFF);
	table_cell(table, object_flags(flags, text), COLOUR_OFF);
	table_cell(table,
		   row->channel ? channel_summary(row->channel, messages)
		   : row->pager ? pager_summary(row->pager, pages)
				: "-",
		   COLOUR_OFF);
}

static void json_known(struct json *json, const char *key, bool known, uint64_t number)
{
	if (known)
		json_number(json, key, number);
	else
		json_null(json, key);
}

static void print_json(const struct row *row, const struct scan_object *users)
{
	const struct stoa_inspection *is = row->is;
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", row->entry->name);
	json_text(&json, "kind", is ? object_kind(is->kind) : NULL);
	json_text(&json, "state", row->state);
	json_number(&json, "owner", row->entry->owner);
	object_json_flags(&json, row->entry->flags | (is ? is->flags : 0));
	json_known(&json, "reserve", is && !is->header, is ? is->reserve : 0);
	json_known(&json, "committed", is && !is->header, is ? is->committed : 0);
	json_known(&json, "resident", is, is ? is->resident : 0);
	json_known(&json, "roster_alive", is && !is->header && !is->other_system, is ? is->roster_alive : 0);
	channel_json(&json, row->channel, false);
	pager_json(&json, row->pager, false);
	json_known(&json, "age", row->age >= 0, row->age >= 0 ? (uint64_t)row->age : 0);
	if (row->users_known)
		object_json_users(&json, users);
	else
		json_null(&json, "users");
	json_end(&json);
}

/* Where the rows go. */
struct listing {
	const struct ls_options *options;
	const struct scan *scan;
	struct table *table;
};

static void show_row(const struct listing *listing, const struct row *row, const struct scan_object *users)
{
	if (listing->options->json)
		print_json(row, users);
	else
		print_row(listing->table, row);
}

static void show_entry(const struct listing *listing, const struct entry *entry)
{
	struct row row = {.entry = entry, .state = entry->in_use ? "used" : "unused", .age = -1};
	const struct scan_object *found;
	struct scan_object users = {0};
	struct scan_user room[256];
	struct object object = {.name = entry->name};
	struct stoa_channel_stat channel;
	struct stoa_pager_stat pager;
	int64_t born;

	if (stoa_inspect_open(entry->name, entry->flags & STOA_GLOBAL, &object.inspector) < 0 ||
	    stoa_inspect_get(object.inspector, &object.is) < 0) {
		row.state = "unreadable";
		show_row(listing, &row, NULL);
		object_close(&object);
		return;
	}
	if (object.is.left)
		row.state = "leftover";
	found = object_in_scan(&object, listing->scan);
	if (found)
		object_others(found, &users, room, sizeof(room) / sizeof(room[0]));
	born = pages_born(stoa_inspect_descriptor(object.inspector));
	row.is = &object.is;
	row.channel = channel_inspect(&object, &channel) ? &channel : NULL;
	row.pager = pager_inspect(&object, &pager) ? &pager : NULL;
	row.users_known = object_users_known(listing->scan);
	row.users = users.user_count;
	row.age = born && time(NULL) >= born ? time(NULL) - born : -1;
	show_row(listing, &row, &users);
	object_close(&object);
}

static int list_names(const struct ls_options *options, struct entries *entries)
{
	int result = stoa_segment_list(0, collect, entries);

	if (result >= 0 && options->global)
		result = stoa_segment_list(STOA_GLOBAL, collect, entries);
	if (entries->failed)
		return tool_fail("out of memory");
	if (result < 0)
		return tool_fail_result(NULL, result);
	if (entries->count > 1)
		qsort(entries->list, entries->count, sizeof(entries->list[0]), by_name);
	return TOOL_GO;
}

static int ls_ours(const struct ls_options *options)
{
	static const struct table_column columns[] = {
		{"NAME", 0},
		{"KIND", 0},
		{"RESERVE", TABLE_RIGHT},
		{"COMMITTED", TABLE_RIGHT},
		{"RESIDENT", TABLE_RIGHT},
		{"PROCESSES", TABLE_RIGHT},
		{"OWNER", 0},
		{"AGE", TABLE_RIGHT},
		{"STATE", 0},
		{"FLAGS", 0},
		{"CONTENT", 0},
	};
	struct listing listing = {.options = options,
				  .table = table_create(columns, sizeof(columns) / sizeof(columns[0]))};
	struct entries entries = {0};
	struct scan *scan = NULL;
	int status = listing.table ? list_names(options, &entries) : tool_fail("out of memory");

	/* Without the scan the processes are missing, and nothing else. */
	if (status == TOOL_GO && entries.count > 0 && scan_host(false, NULL, &scan) != 0)
		scan = NULL;
	listing.scan = scan;
	for (size_t i = 0; i < entries.count && status == TOOL_GO; i++)
		show_entry(&listing, &entries.list[i]);
	if (status == TOOL_GO)
		status = options->json ? TOOL_OK : table_print(listing.table, stdout);
	scan_destroy(scan);
	free_entries(&entries);
	table_destroy(listing.table);
	return status;
}

int command_ls(int argc, char **argv)
{
	struct ls_options options = {0};
	const struct option_spec specs[] = {
		{'g', "global", OPTION_FLAG, &options.global, NULL, "also names of the host"},
		{'a', "all", OPTION_FLAG, &options.all, NULL,
		 "every shared-memory object on the host, whoever made it:\n"
		 "memfds, /dev/shm, System V, shared anonymous memory"},
		{'f', "files", OPTION_FLAG, &options.files, NULL,
		 "with --all: also files in other memory file systems that\n"
		 "nobody maps, e.g. in /run"},
		{'o', "orphaned", OPTION_FLAG, &options.orphaned, NULL, "with --all: only what nobody uses"},
		{'s', "store", OPTION_CHOICE, &options.store, "PATH",
		 "the objects of an object store: of the server at this socket,\n"
		 "or of the default one"},
		{0, "json", OPTION_FLAG, &options.json, NULL, "one JSON object per line"},
	};
	const struct usage usage = {
		"ls",
		"",
		"List this user's named segments, mutexes, events, semaphores, channels and pagers; with --all,\n"
		"every shared-memory object on the host, whatever program made it; with --store, the objects of a store. State: 'used', 'unused' (persistent, nobody\n"
		"has it open), 'leftover' (its users were killed; 'stoa gc' removes it), 'unreadable'. Of a channel the\n"
		"last column tells kind, senders and receivers, messages sent, and not received yet; of a\n"
		"pager the memory in use, of its budget, dirty blocks and processes. Changes nothing.",
		specs,
		sizeof(specs) / sizeof(specs[0]),
		0,
		0,
		"  $ stoa ls                    ours\n"
		"  $ stoa ls --all              what is on this host, and who uses it\n"
		"  $ stoa ls --all --orphaned   memory that serves nobody any more\n"
		"  $ stoa ls --all --json | jq 'select(.resident > 1e9) | .name'\n"
		"  $ stoa ls --store            objects of the store that 'stoad' serves",
	};
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);

	if (status != TOOL_GO)
		return status;
	if (!options.all && (options.files || options.orphaned))
		return tool_misuse("ls: --files and --orphaned go with --all");
	if (options.store && (options.all || options.global))
		return tool_misuse("ls: --store lists objects, and goes with neither --all nor --global");
	if (options.store)
		return store_ls(options.store, options.json);
	return options.all ? ls_all(&options) : ls_ours(&options);
}
