/* SPDX-License-Identifier: MIT */
/* `stoa stat`: everything that is known about a named object, and who uses it. */
#include "channel.h"
#include "pager.h"
#include "store.h"

#include "os/pages.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "os/local.h"

static void print_line(const char *label, const char *text)
{
	char safe[1024];

	printf("%-11s %s\n", label, text_safe_string(text, safe, sizeof(safe)));
}

static void print_size(const char *label, uint64_t bytes)
{
	char text[SIZE_TEXT];

	printf("%-11s %s (%" PRIu64 " bytes)\n", label, size_text(bytes, text), bytes);
}

static const char *huge_name(uint32_t huge)
{
	static const char *const names[] = {"huge where the system offers them", "4 KiB", "huge, or fail"};

	return huge <= STOA_HUGE_REQUIRE ? names[huge] : "?";
}

static void print_members(const struct object *object)
{
	struct stoa_member member;
	char text[SIZE_TEXT];

	if (object->is.other_system) {
		printf("%-11s %" PRIu32
		       " slots of another operating system's threads; who of them lives cannot be told "
		       "here\n",
		       "roster", object->is.roster_slots);
		return;
	}
	printf("%-11s %" PRIu32 " slots, %" PRIu32 " %s part; with the header %s of length before the data\n", "roster",
	       object->is.roster_slots, object->is.roster_alive,
	       object->is.roster_alive == 1 ? "thread takes" : "threads take", size_text(object->is.data_offset, text));
	for (uint32_t from = 1; stoa_inspect_member(object->inspector, from, &member) == 0; from = member.slot + 1) {
		if (!member.thread)
			continue;
		printf("%-11s   slot %" PRIu32 ": thread %" PRIu32 ", the slot's owner number %" PRIu32, "",
		       member.slot, member.thread, member.generation);
		if (member.claims)
			printf(", claims %" PRIu32 " %s", member.claims, member.claims == 1 ? "object" : "objects");
		printf("\n");
	}
}

static void print_born(int64_t born)
{
	char text[64];
	char age[DURATION_TEXT];
	int64_t now = time(NULL);

	if (!born || !local_time_text(born, text, sizeof(text)))
		return;
	duration_text(now > born ? (uint64_t)(now - born) * UINT64_C(1000000000) : 0, age);
	printf("%-11s %s (%s ago)\n", "made", text, age);
}

static void print_text(const struct object *object, const struct scan_object *users, bool users_known)
{
	const struct stoa_inspection *is = &object->is;
	char flags[OBJECT_FLAGS_TEXT];
	char owner[OBJECT_OWNER_TEXT];
	char list[900];
	struct stoa_channel_stat channel;
	struct stoa_pager_stat pager;

	print_line("name", object->name);
	print_line("kind", object_kind(is->kind));
	print_line("owner", object_owner(is->owner, owner));
	print_born(pages_born(stoa_inspect_descriptor(object->inspector)));
	if (is->kind == STOA_KIND_DAMAGED) {
		print_size("length", is->length);
		print_size("resident", is->resident);
		printf("%-11s %s: 'stoa check' tells more\n", "header", stoa_error_name(is->header));
		return;
	}
	print_size("reserve", is->reserve);
	print_size("committed", is->committed);
	print_size("resident", is->resident);
	print_line("flags", object_flags(is->flags, flags));
	print_line("pages", huge_name(is->huge));
	printf("%-11s %016" PRIx64 "\n", "identity", is->identity);
	if (is->roster_slots)
		print_members(object);
	if (channel_inspect(object, &channel))
		channel_print(object, &channel);
	if (pager_inspect(object, &pager))
		pager_print(&pager);
	object_users(users, list, sizeof(list));
	if (is->left)
		snprintf(list, sizeof(list), "nobody: its users are dead; 'stoa gc' removes it");
	print_line("used by", list[0] ? list : users_known ? "nobody that can be seen" : "not told by this system");
}

static void print_json(const struct object *object, const struct scan_object *users, bool users_known)
{
	const struct stoa_inspection *is = &object->is;
	int64_t made = pages_born(stoa_inspect_descriptor(object->inspector));
	struct stoa_channel_stat channel;
	struct stoa_pager_stat pager;
	struct stoa_member member;
	struct json json;

	json_begin(&json, stdout);
	json_text(&json, "name", object->name);
	json_text(&json, "kind", object_kind(is->kind));
	json_text(&json, "header", stoa_error_name(is->header));
	json_number(&json, "owner", is->owner);
	if (made > 0)
		json_signed(&json, "made", made);
	else
		json_null(&json, "made");
	json_number(&json, "length", is->length);
	json_number(&json, "reserve", is->reserve);
	json_number(&json, "committed", is->committed);
	json_number(&json, "resident", is->resident);
	json_number(&json, "data_offset", is->data_offset);
	json_bool(&json, "leftover", is->left != 0);
	json_number(&json, "roster_slots", is->roster_slots);
	json_bool(&json, "other_system", is->other_system != 0);
	object_json_flags(&json, is->flags);
	json_array_begin(&json, "members");
	for (uint32_t from = 1; stoa_inspect_member(object->inspector, from, &member) == 0; from = member.slot + 1) {
		json_object_begin(&json, NULL);
		json_number(&json, "slot", member.slot);
		json_number(&json, "generation", member.generation);
		json_number(&json, "thread", member.thread);
		json_number(&json, "claims", member.claims);
		json_object_end(&json);
	}
	json_array_end(&json);
	channel_json(&json, channel_inspect(object, &channel) ? &channel : NULL, true);
	pager_json(&json, pager_inspect(object, &pager) ? &pager : NULL, true);
	if (users_known)
		object_json_users(&json, users);
	else
		json_null(&json, "users");
	json_end(&json);
}

#define USERS_MAX 1024

static int stat_one(const char *name, uint32_t flags, const struct scan *scan, bool as_json)
{
	struct scan_user room[USERS_MAX];
	struct scan_object users = {0};
	const struct scan_object *found;
	struct object object;
	int status = object_open(name, flags, &object);

	if (status != TOOL_GO)
		return status;
	found = object_in_scan(&object, scan);
	if (found)
		object_others(found, &users, room, USERS_MAX);
	if (as_json)
		print_json(&object, &users, object_users_known(scan));
	else
		print_text(&object, &users, object_users_known(scan));
	object_close(&object);
	return TOOL_OK;
}

int command_stat(int argc, char **argv)
{
	bool global = false;
	bool as_json = false;
	bool metrics = false;
	const char *where = NULL;
	const struct option_spec options[] = {
		{'g', "global", OPTION_FLAG, &global, NULL, "names of the host, not of this user"},
		{'s', "store", OPTION_CHOICE, &where, "PATH",
		 "objects of an object store, or without any the store itself:\n"
		 "that of the server at this socket, or the default one"},
		{0, "metrics", OPTION_FLAG, &metrics, NULL,
		 "of the store itself: all that its server counts, as Prometheus\nreads it"},
		{0, "json", OPTION_FLAG, &as_json, NULL, "one JSON object for each name"},
	};
	const struct usage usage = {
		"stat",
		"NAME...",
		"Tell what a named segment, mutex, event, semaphore, channel or pager is like now: its sizes, the threads\n"
		"that take part, the processes that use it; of a channel, what each end has sent, received and lags behind; of\n"
		"a pager, what is there, what was filled and written back, and how long touches took.\n"
		"Changes nothing.",
		options,
		sizeof(options) / sizeof(options[0]),
		0,
		-1,
		"  $ stoa stat cache            everything about the segment 'cache'\n"
		"  $ stoa stat cache --json | jq .committed\n"
		"  $ stoa stat --store          how full is the store?\n"
		"  $ stoa stat --store model    everything about its object 'model'\n"
		"  $ stoa stat --store --metrics | grep puts_total",
	};
	struct scan *scan = NULL;
	int operands;
	int status = options_parse(&usage, argc, argv, &operands);
	int worst = TOOL_OK;

	if (status != TOOL_GO)
		return status;
	if (where && global)
		return tool_misuse("stat: --store is about objects, and does not go with --global");
	if (metrics && (!where || operands || as_json))
		return tool_misuse("stat: --metrics goes with --store, and with neither NAME nor --json");
	if (metrics)
		return store_metrics(where);
	if (where)
		return store_stat(where, argv + 1, operands, as_json);
	if (!operands)
		return tool_misuse("stat: needs NAME...; try 'stoa stat --help'");
	/* Without it the users are missing, and nothing else. */
	if (scan_host(false, NULL, &scan) != 0)
		scan = NULL;
	for (int i = 1; i <= operands; i++) {
		status = stat_one(argv[i], global ? STOA_GLOBAL : 0, scan, as_json);
		worst = status > worst ? status : worst;
		if (i < operands && !as_json)
			printf("\n");
	}
	scan_destroy(scan);
	return worst;
}
